//! Entries: the header, which is chained, and the payload that hangs on it by its digest.
//!
//! Owns the header's bytes, and whether a payload is the one that a header names. Must not look at the entry before
//! or after it, nor into a payload: what is of a newer version is kept bit by bit and can still be verified.

use sha2::{Digest as _, Sha256};

use super::place::{EntryId, RecordId};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::limits;

/// What an entry is. Numbers are for ever; unknown ones are kept and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// First entry of a log: [`Genesis`](crate::log::Genesis).
    Genesis,
    /// One uncompressed Automerge change.
    Change,
    /// Erasable texts or a card (module `part`).
    Part,
    /// Names entries whose payloads must go.
    Erase,
    /// A device's statement that it has erased them.
    Erased,
    /// An operator's order for the authority log or for erasure.
    Request,
    /// An authority order (module `authority`).
    Authority,
    /// What of which logs arrived at the hub, and when (module `arrival`).
    Arrival,
    /// A kind of a newer version: kept and forwarded, shown as "needs a newer version".
    Other(u8),
}

impl EntryKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Genesis => 1,
            Self::Change => 2,
            Self::Part => 3,
            Self::Erase => 4,
            Self::Erased => 5,
            Self::Request => 6,
            Self::Authority => 7,
            Self::Arrival => 8,
            Self::Other(code) => code,
        }
    }

    pub(crate) const fn of(code: u8) -> Self {
        match code {
            1 => Self::Genesis,
            2 => Self::Change,
            3 => Self::Part,
            4 => Self::Erase,
            5 => Self::Erased,
            6 => Self::Request,
            7 => Self::Authority,
            8 => Self::Arrival,
            // rule:newer-kept
            other => Self::Other(other),
        }
    }
}

/// How a payload's digest is made: stated in the header, so that a device can verify and relay kinds
/// that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestMode {
    /// BLAKE3 of the payload.
    Plain,
    /// BLAKE3 of salt and payload under a context of its own; the salt is the payload's first 16
    /// bytes and goes when the payload goes.
    Salted,
    /// Automerge's SHA-256 change hash.
    Change,
}

/// Header flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    const ERASABLE: u8 = 0b100;
    const GROUP_GOES_ON: u8 = 0b1000;

    /// Flags of a new entry.
    #[must_use]
    pub const fn new(digest: DigestMode, erasable: bool, group_goes_on: bool) -> Self {
        let mode = match digest {
            DigestMode::Plain => 0,
            DigestMode::Salted => 1,
            DigestMode::Change => 2,
        };
        Self(
            mode | if erasable { Self::ERASABLE } else { 0 }
                | if group_goes_on {
                    Self::GROUP_GOES_ON
                } else {
                    0
                },
        )
    }

    /// How the digest is made; `None` for a way of a newer version, whose payload cannot be checked.
    #[must_use]
    pub const fn digest_mode(self) -> Option<DigestMode> {
        match self.0 & 0b11 {
            0 => Some(DigestMode::Plain),
            1 => Some(DigestMode::Salted),
            2 => Some(DigestMode::Change),
            _ => None,
        }
    }

    /// Whether the payload may be erased.
    #[must_use]
    pub const fn erasable(self) -> bool {
        self.0 & Self::ERASABLE != 0
    }

    /// Whether the next entry belongs to the same save and must not be separated from this one.
    #[must_use]
    pub const fn group_goes_on(self) -> bool {
        self.0 & Self::GROUP_GOES_ON != 0
    }

    /// The byte of the header.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Flags of a received header; bits of newer versions are kept.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

/// Header version that this program writes.
pub const HEADER_VERSION: u8 = 1;
/// Bytes of a header without extension.
pub const HEADER_LEN: usize = 109;

/// The hashed and chained half of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format version: the fields below keep their places in every version.
    pub version: u8,
    /// What the entry is.
    pub kind: EntryKind,
    /// How its payload is to be treated.
    pub flags: Flags,
    /// Position in the log, from 0.
    pub seq: u64,
    /// Id of the entry before; the log's id for the first.
    pub prev: [u8; 32],
    /// The record that it belongs to, or [`RecordId::NONE`].
    pub record: RecordId,
    /// Hybrid logical clock: Unix milliseconds in the upper 48 bits, a counter in the lower 16. Advisory.
    pub hlc: u64,
    /// Length of the authority log that the author knew; never shrinks within a log.
    pub authority_len: u32,
    /// Length of the payload in bytes, also when it is absent.
    pub payload_len: u32,
    /// Digest of the payload.
    pub digest: [u8; 32],
    /// Fields of a newer version.
    pub extension: Vec<u8>,
}

impl Header {
    /// Appends the canonical encoding.
    pub fn write(&self, writer: &mut Writer) {
        let len = HEADER_LEN + self.extension.len();
        writer
            .u8(self.version)
            .u16(u16::try_from(len).unwrap_or(u16::MAX))
            .u8(self.kind.code())
            .u8(self.flags.bits())
            .u64(self.seq)
            .fixed(&self.prev)
            .fixed(&self.record.0)
            .u64(self.hlc)
            .u32(self.authority_len)
            .u32(self.payload_len)
            .fixed(&self.digest)
            .fixed(&self.extension);
    }

    /// Reads one header.
    ///
    /// # Errors
    /// The bytes end, or the length is not one that a header can have.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u8()?;
        let len = usize::from(reader.u16()?);
        let Some(extension_len) = len
            .checked_sub(HEADER_LEN)
            .filter(|extension| *extension <= limits::HEADER_EXTENSION_MAX)
        else {
            return reader.fail("a header length out of bounds");
        };
        Ok(Self {
            version,
            kind: EntryKind::of(reader.u8()?),
            flags: Flags::from_bits(reader.u8()?),
            seq: reader.u64()?,
            prev: reader.fixed()?,
            record: RecordId(reader.fixed()?),
            hlc: reader.u64()?,
            authority_len: reader.u32()?,
            payload_len: reader.u32()?,
            digest: reader.fixed()?,
            // rule:newer-kept
            extension: reader.take(extension_len)?.to_vec(),
        })
    }

    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> EntryId {
        let mut writer = Writer::with_capacity(HEADER_LEN + self.extension.len());
        self.write(&mut writer);
        EntryId(hash::ENTRY.hash(&[&writer.into_bytes()]))
    }

    /// Whether `payload` is the one that this header names, to the last byte: the digest of a change
    /// leaves out its magic and checksum, so these are compared too, or whoever passes a change on
    /// could spoil it for one device and not for another. A payload with a digest of a newer way is
    /// taken by its length alone.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
        // rule:digest-checked
        let Some(mode) = self.flags.digest_mode() else {
            return u32::try_from(payload.len()) == Ok(self.payload_len);
        };
        u32::try_from(payload.len()) == Ok(self.payload_len)
            && digest(mode, payload) == self.digest
            && (mode != DigestMode::Change || starts_as_change(payload, &self.digest))
    }
}

/// The digest of a payload. For a change: SHA-256 over everything after magic and checksum, which is
/// how Automerge hashes a chunk.
#[must_use]
pub fn digest(mode: DigestMode, payload: &[u8]) -> [u8; 32] {
    match mode {
        DigestMode::Plain => hash::PAYLOAD.hash(&[payload]),
        DigestMode::Salted => hash::PART.hash(&[payload]),
        DigestMode::Change => Sha256::digest(payload.get(8..).unwrap_or_default()).into(),
    }
}

/// The first bytes of every Automerge chunk.
pub(crate) const CHANGE_MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// Whether a payload begins with Automerge's magic and the checksum that goes with `digest`.
pub(crate) fn starts_as_change(payload: &[u8], digest: &[u8; 32]) -> bool {
    payload.first_chunk() == Some(&CHANGE_MAGIC) && payload.get(4..8) == digest.get(..4)
}

/// Length limit of a payload by the kind of its entry.
#[must_use]
pub const fn payload_max(kind: EntryKind) -> usize {
    match kind {
        EntryKind::Change => limits::CHANGE_MAX,
        EntryKind::Part => limits::PART_MAX,
        EntryKind::Genesis
        | EntryKind::Erase
        | EntryKind::Erased
        | EntryKind::Request
        | EntryKind::Authority
        | EntryKind::Arrival
        | EntryKind::Other(_) => limits::PAYLOAD_MAX,
    }
}

/// Header and payload. The payload is absent when it was left out or erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The chained half.
    pub header: Header,
    /// The payload, if it is here.
    pub payload: Option<Vec<u8>>,
}
