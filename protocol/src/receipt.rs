//! Receipts: what the hub has stored, judged and held back of a log, under its signature.
//!
//! Owns the bytes of a receipt and what it covers. It keeps none and orders none: which of two is the newer
//! is for the store that keeps them, since it depends on the authority log. Ranges ascend and do not overlap,
//! so there is one encoding of one statement.
//!
//! Rejected: a receipt for each entry. One for a log says the same in a fiftieth of the bytes and of the signatures.

use std::ops::Range;

use crate::authority::Reason;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::limits;
use crate::log::{LogId, Position};
use crate::space::SpaceId;

/// Entries that a receipt holds back, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Sequence numbers.
    pub range: Range<u64>,
    /// Why they do not count.
    pub reason: Reason,
}

/// Hub-signed statement of what of a log it has stored, judged and held back 中心回执.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The space.
    pub space: SpaceId,
    /// The log.
    pub log: LogId,
    /// The hub's store.
    pub epoch: [u8; 16],
    /// Stored durably up to here.
    pub stored: Position,
    /// Judged, merged and visible at the hub up to here.
    pub judged_len: u64,
    /// Held back, in ascending order, not overlapping.
    pub exceptions: Vec<Exception>,
    /// The hub's clock when it committed, in Unix milliseconds: the legal time of receipt.
    pub received_at_ms: u64,
    /// By the authority key.
    pub signature: Signature,
}

impl Receipt {
    /// Signs a receipt; the signature passed in is replaced.
    #[must_use]
    pub fn signed(mut self, authority: &Signer) -> Self {
        self.signature = authority.sign(&hash::RECEIPT, &[&self.body()]);
        self
    }

    /// Whether the authority key signed this.
    #[must_use]
    pub fn verifies(&self, authority: &DeviceKey) -> bool {
        authority.verifies(&hash::RECEIPT, &[&self.body()], &self.signature)
    }

    /// Whether entry `seq` is stored and not held back.
    #[must_use]
    pub fn covers(&self, seq: u64) -> bool {
        seq < self.stored.len && self.reason(seq).is_none()
    }

    /// Why entry `seq` is held back, if it is.
    #[must_use]
    pub fn reason(&self, seq: u64) -> Option<Reason> {
        let exception = self
            .exceptions
            .iter()
            .find(|exception| exception.range.contains(&seq));
        exception.map(|exception| exception.reason)
    }

    fn body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .fixed(&self.space.0)
            .fixed(&self.log.0)
            .fixed(&self.epoch)
            .u64(self.stored.len)
            .fixed(&self.stored.head)
            .u64(self.judged_len)
            .length(self.exceptions.len());
        for exception in &self.exceptions {
            writer
                .u64(exception.range.start)
                .u64(exception.range.end)
                .u8(exception.reason.code());
        }
        writer.u64(self.received_at_ms);
        writer.into_bytes()
    }

    /// The bytes that are stored, sent and verified.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.body();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads [`Receipt::encode`]; the signature still has to be checked.
    ///
    /// # Errors
    /// The bytes are not a receipt, or its ranges are not ascending.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let receipt = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(receipt)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let space = SpaceId(reader.fixed()?);
        let log = LogId(reader.fixed()?);
        let epoch = reader.fixed()?;
        let stored = Position {
            len: reader.u64()?,
            head: reader.fixed()?,
        };
        let judged_len = reader.u64()?;
        let count = reader.count(limits::EXCEPTIONS_MAX, 17)?;
        let mut exceptions: Vec<Exception> = Vec::with_capacity(count);
        for _ in 0..count {
            let range = reader.u64()?..reader.u64()?;
            let floor = exceptions.last().map_or(0, |last| last.range.end);
            // rule:ascend
            if range.is_empty() || range.start < floor {
                return reader.fail("ranges out of order");
            }
            match Reason::of(reader.u8()?) {
                Some(reason) => exceptions.push(Exception { range, reason }),
                None => return reader.fail("an unknown reason"),
            }
        }
        if judged_len > stored.len {
            return reader.fail("more judged than stored");
        }
        let received_at_ms = reader.u64()?;
        let signature = reader.fixed()?;
        Ok(Self {
            space,
            log,
            epoch,
            stored,
            judged_len,
            exceptions,
            received_at_ms,
            signature,
        })
    }
}

#[cfg(test)]
mod tests;
