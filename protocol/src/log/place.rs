//! Names: of logs, records and entries, and of places in a log.
//!
//! Owns how ids are derived, and the one encoding of a place. Must not know what stands at a place.

use crate::base32;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::DeviceKey;
use crate::space::{SpaceId, id};

id!(
    /// One device's entries in one space in one incarnation 日志.
    LogId, 32
);
id!(
    /// A record 记录: one Automerge document; a UUIDv7.
    RecordId, 16
);
id!(
    /// Id of an entry 条目: the hash of its header.
    EntryId, 32
);

impl LogId {
    /// The log of a device in a space in one incarnation.
    #[must_use]
    pub fn of(space: &SpaceId, device: &DeviceKey, incarnation: &[u8; 16]) -> Self {
        Self(hash::LOG.hash(&[&space.0, &device.0, incarnation]))
    }

    /// The Automerge actor of every change in this log.
    #[must_use]
    pub fn actor(&self) -> [u8; 16] {
        let digest = hash::ACTOR.hash(&[&self.0]);
        *digest.first_chunk().unwrap_or(&[0; 16])
    }

    /// The first 8 bytes, which name a log within one session.
    #[must_use]
    pub fn prefix(&self) -> [u8; 8] {
        *self.0.first_chunk().unwrap_or(&[0; 8])
    }
}

impl RecordId {
    /// No record: entries that belong to none.
    pub const NONE: Self = Self([0; 16]);

    /// The id of a record whose founding change stands at place `seq` of `log`: a UUIDv7 (RFC 9562, section 5.7) of a
    /// time in Unix milliseconds, whose 74 random bits are the first of the place's hash. So an id names one log, and
    /// with it one space: nobody else can found a record of this id.
    ///
    /// ```
    /// use lianxin_protocol::log::{LogId, RecordId};
    /// let id = RecordId::founded(1_700_000_000_000, &LogId([7; 32]), 3);
    /// assert!(id.is_founded_at(&LogId([7; 32]), 3));
    /// assert!(!id.is_founded_at(&LogId([7; 32]), 4));
    /// ```
    #[must_use]
    pub fn founded(unix_ms: u64, log: &LogId, seq: u64) -> Self {
        let digest = hash::RECORD.hash(&[&log.0, &seq.to_be_bytes()]);
        let mut first = [0; 16];
        first.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
        let bits = u128::from_be_bytes(first);
        let (high, low) = (bits >> 116, (bits << 12) >> 66);
        let time = u128::from(unix_ms & ((1 << 48) - 1)) << 80;
        Self((time | 7 << 76 | high << 64 | 2 << 62 | low).to_be_bytes())
    }

    /// Whether a founding change at this place gives this id, whatever its time.
    #[must_use]
    pub fn is_founded_at(&self, log: &LogId, seq: u64) -> bool {
        *self == Self::founded(self.made_ms(), log, seq)
    }

    /// When the record was made, by the clock of the device that made it, in Unix milliseconds.
    #[must_use]
    pub const fn made_ms(&self) -> u64 {
        let [a, b, c, d, e, f, ..] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The UUID's usual text.
    #[must_use]
    pub fn hyphenated(&self) -> String {
        uuid::Uuid::from_bytes(self.0).hyphenated().to_string()
    }

    /// The query code 查询码 that the record's slips have: 40 bits of the hash of its id, in eight symbols of [`base32`]. Whoever
    /// holds the record can tell it; whoever does not know the id cannot.
    ///
    /// ```
    /// assert_eq!(lianxin_protocol::log::RecordId([1; 16]).query_code().len(), 8);
    /// ```
    #[must_use]
    pub fn query_code(&self) -> String {
        // rule:query-code
        let hash = hash::QUERY_CODE.hash(&[&self.0]);
        base32::encode(hash.first_chunk::<5>().unwrap_or(&[0; 5]))
    }

    /// Reads a UUID's text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text)
            .ok()
            .map(|uuid| Self(*uuid.as_bytes()))
    }
}

/// Length of a log and id of its last entry; for an empty log the head is the log's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Entries.
    pub len: u64,
    /// Id of entry `len - 1`.
    pub head: [u8; 32],
}

impl Position {
    /// The position of a log without entries.
    #[must_use]
    pub const fn start(log: &LogId) -> Self {
        Self {
            len: 0,
            head: log.0,
        }
    }
}

/// Appends a place in another log, or that there is none.
pub(crate) fn write_place(writer: &mut Writer, place: Option<&(LogId, Position)>) {
    match place {
        None => writer.u8(0),
        Some((log, position)) => writer
            .u8(1)
            .fixed(&log.0)
            .u64(position.len)
            .fixed(&position.head),
    };
}

/// Reads [`write_place`].
pub(crate) fn read_place(
    reader: &mut Reader<'_>,
) -> Result<Option<(LogId, Position)>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => {
            let log = LogId(reader.fixed()?);
            let (len, head) = (reader.u64()?, reader.fixed()?);
            Ok(Some((log, Position { len, head })))
        }
        _ => reader.fail("a flag that is neither 0 nor 1"),
    }
}
