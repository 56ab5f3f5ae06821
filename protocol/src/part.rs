//! Parts 附部: the erasable payloads beside a record's document, and the orders that erase them.
//!
//! One part holds all texts, or the whole person card, of one save. Its digest is salted and the salt
//! is stored and deleted with it, so that what remains in the log cannot be tested against guesses
//! (a phone number has few values). The document refers to a part by the first 16 bytes of its digest.

use std::collections::BTreeMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::log::{DigestMode, EntryId, LogId, digest};

/// What the document holds in place of a text: the first 16 bytes of the part's digest.
pub type PartRef = [u8; 16];

/// The texts or the card of one save, by flat field key.
#[derive(Clone, PartialEq, Eq)]
pub struct Part {
    /// Drawn afresh for every part.
    pub salt: [u8; 16],
    /// Field key and text.
    pub texts: BTreeMap<String, String>,
}

impl std::fmt::Debug for Part {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Part({} fields)", self.texts.len())
    }
}

impl Part {
    /// The payload's bytes: salt, count, then key and text in key order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        // rule:erase-payload
        writer.fixed(&self.salt).length(self.texts.len());
        for (key, text) in &self.texts {
            writer.str(key).str(text);
        }
        writer.into_bytes()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// The bytes are not a part, or its keys are not in strictly ascending order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let salt = reader.fixed()?;
        let count = reader.count(limits::PART_FIELDS_MAX, 8)?;
        let mut texts = BTreeMap::new();
        for _ in 0..count {
            let key = reader.str(limits::NAME_MAX)?;
            // rule:ascend
            if texts
                .last_key_value()
                .is_some_and(|(last, _): (&String, _)| last.as_str() >= key)
            {
                return reader.fail("field keys out of order");
            }
            texts.insert(key.to_owned(), reader.str(limits::PART_MAX)?.to_owned());
        }
        reader.finish()?;
        Ok(Self { salt, texts })
    }
}

/// How the document refers to a part with this payload.
#[must_use]
pub fn reference(payload: &[u8]) -> PartRef {
    reference_of(&digest(DigestMode::Salted, payload))
}

/// How the document refers to a part with this digest.
#[must_use]
pub fn reference_of(digest: &[u8; 32]) -> PartRef {
    *digest.first_chunk().unwrap_or(&[0; 16])
}

/// One erasable entry, named so that every device finds it whatever it has indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErasureTarget {
    /// Its log.
    pub log: LogId,
    /// Its place there.
    pub seq: u64,
    /// Its id.
    pub id: EntryId,
}

/// Payload of an `erase` entry: whose payloads must go, and why. It holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EraseOrder {
    /// Reason code of the catalogue.
    pub reason: u8,
    /// What must go, in ascending order.
    pub targets: Vec<ErasureTarget>,
}

/// Targets that fit one order.
const TARGETS_MAX: usize = limits::PAYLOAD_MAX / 72;

impl EraseOrder {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.into_bytes()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// The bytes are not an order, or its targets are not in strictly ascending order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let order = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(order)
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u8(self.reason).length(self.targets.len());
        for target in &self.targets {
            writer
                .fixed(&target.log.0)
                .u64(target.seq)
                .fixed(&target.id.0);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let reason = reader.u8()?;
        let count = reader.count(TARGETS_MAX, 72)?;
        let mut targets: Vec<ErasureTarget> = Vec::with_capacity(count);
        for _ in 0..count {
            let target = ErasureTarget {
                log: LogId(reader.fixed()?),
                seq: reader.u64()?,
                id: EntryId(reader.fixed()?),
            };
            // rule:ascend
            if target.seq > limits::STORED_MAX || targets.last().is_some_and(|last| *last >= target)
            {
                return reader.fail("targets out of order");
            }
            targets.push(target);
        }
        Ok(Self { reason, targets })
    }
}

/// Payload of an `erased` entry: the order that this device has carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Id of the `erase` entry.
    pub order: EntryId,
}

impl Erased {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.order.0.to_vec()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// The bytes are not 32.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let order = EntryId(reader.fixed()?);
        reader.finish()?;
        Ok(Self { order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule:ascend
    #[test]
    fn a_part_comes_back_and_has_one_encoding() -> Result<(), DecodeError> {
        let texts =
            [("body", "路灯不亮"), ("title", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let part = Part {
            salt: [7; 16],
            texts: texts.into(),
        };
        let bytes = part.encode();
        assert_eq!(Part::decode(&bytes)?, part);
        for cut in 0..bytes.len() {
            assert!(
                bytes
                    .get(..cut)
                    .is_some_and(|bytes| Part::decode(bytes).is_err())
            );
        }
        let mut swapped = Writer::new();
        swapped
            .fixed(&[7; 16])
            .length(2)
            .str("title")
            .str("")
            .str("body")
            .str("x");
        assert!(Part::decode(&swapped.into_bytes()).is_err());
        Ok(())
    }

    #[test]
    fn the_salt_changes_the_reference() {
        let part = |salt| {
            Part {
                salt: [salt; 16],
                texts: BTreeMap::new(),
            }
            .encode()
        };
        assert_ne!(reference(&part(1)), reference(&part(2)));
        assert!(
            !format!(
                "{:?}",
                Part {
                    salt: [0; 16],
                    texts: BTreeMap::new()
                }
            )
            .contains("salt")
        );
    }

    // rule:ascend
    #[test]
    fn orders_are_sorted_sets() -> Result<(), DecodeError> {
        let target = |seq| ErasureTarget {
            log: LogId([1; 32]),
            seq,
            id: EntryId([2; 32]),
        };
        let order = EraseOrder {
            reason: 3,
            targets: vec![target(1), target(2)],
        };
        assert_eq!(EraseOrder::decode(&order.encode())?, order);
        let twice = EraseOrder {
            reason: 3,
            targets: vec![target(1), target(1)],
        };
        assert!(EraseOrder::decode(&twice.encode()).is_err());
        Ok(())
    }
}
