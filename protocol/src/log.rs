//! Logs: signed, hash-chained, single-writer sequences of entries, and their verification.
//!
//! Only headers are chained; a payload hangs on its header by a digest, so it can be left out or
//! erased and the chain still verifies. A checkpoint signs length and head and with them every entry
//! before it. Foreign bytes become a [`Run`] (unverified) and only [`Run::verify`] makes a
//! [`VerifiedRun`], which is the only thing that a journal takes: the compiler keeps unverified bytes
//! out. Whether the author *may* write is not decided here (module `authority`).
//!
//! Encodings are canonical, so an entry rebuilt from its fields has the bytes that were signed; the
//! checkpoint proves it each time.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::limits;
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
        let [a, b, c, d, e, f, ..] = self.0;
        *self == Self::founded(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), log, seq)
    }

    /// The UUID's usual text.
    #[must_use]
    pub fn hyphenated(&self) -> String {
        uuid::Uuid::from_bytes(self.0).hyphenated().to_string()
    }

    /// Reads a UUID's text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text)
            .ok()
            .map(|uuid| Self(*uuid.as_bytes()))
    }
}

/// What an entry is. Numbers are for ever; unknown ones are kept and passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// First entry of a log: [`Genesis`].
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
            extension: reader.take(extension_len)?.to_vec(),
        })
    }

    /// The entry's id.
    #[must_use]
    pub fn id(&self) -> EntryId {
        let mut writer = Writer::new();
        self.write(&mut writer);
        EntryId(hash::ENTRY.hash(&[&writer.into_bytes()]))
    }

    /// Whether `payload` is the one that this header names, to the last byte: the digest of a change
    /// leaves out its magic and checksum, so these are compared too, or whoever passes a change on
    /// could spoil it for one device and not for another. A payload with a digest of a newer way is
    /// taken by its length alone.
    #[must_use]
    pub fn fits(&self, payload: &[u8]) -> bool {
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

/// Why a log began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GenesisReason {
    /// The first log of this device in this space.
    New,
    /// The store came back from a backup.
    Restore,
    /// The store was found on another machine or fell behind what it had offered.
    Clone,
    /// The log before it is frozen by a fork.
    Fork,
    /// The device's key was changed.
    Rotate,
    /// A reason of a newer version, by its number: the log is one like any other.
    Other(u8),
}

impl GenesisReason {
    const ALL: [Self; 5] = [
        Self::New,
        Self::Restore,
        Self::Clone,
        Self::Fork,
        Self::Rotate,
    ];

    /// The number on the wire and in the store: for ever.
    #[must_use]
    pub fn code(self) -> u8 {
        if let Self::Other(code) = self {
            return code;
        }
        let at = Self::ALL.iter().position(|reason| *reason == self);
        u8::try_from(at.unwrap_or_default()).unwrap_or_default()
    }

    /// The reason of a number.
    #[must_use]
    pub fn of(code: u8) -> Self {
        let known = Self::ALL.get(usize::from(code)).copied();
        known.unwrap_or(Self::Other(code))
    }
}

/// Payload of the first entry of a log: who writes it and what it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The space of the log.
    pub space: SpaceId,
    /// Its single writer.
    pub device: DeviceKey,
    /// Random id of this incarnation.
    pub incarnation: [u8; 16],
    /// The log before this one: its id and how far it went.
    pub previous: Option<(LogId, Position)>,
    /// Why this log began.
    pub reason: GenesisReason,
    /// Id of the last entry of the authority log that the author knew, whose length the header has; zeros at 0.
    /// With it a log proves which orders it was begun under, the same to every device, whichever of its
    /// checkpoints a device happens to hold.
    pub authority_head: [u8; 32],
}

impl Genesis {
    /// The log that begins with this payload.
    #[must_use]
    pub fn log(&self) -> LogId {
        LogId::of(&self.space, &self.device, &self.incarnation)
    }

    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .fixed(&self.space.0)
            .fixed(&self.device.0)
            .fixed(&self.incarnation);
        write_place(&mut writer, self.previous.as_ref());
        writer.u8(self.reason.code()).fixed(&self.authority_head);
        writer.into_bytes()
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// The bytes are not a genesis.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let space = SpaceId(reader.fixed()?);
        let device = DeviceKey(reader.fixed()?);
        let incarnation = reader.fixed()?;
        let previous = read_place(&mut reader)?;
        let reason = GenesisReason::of(reader.u8()?);
        let authority_head = reader.fixed()?;
        reader.finish()?;
        Ok(Self {
            space,
            device,
            incarnation,
            previous,
            reason,
            authority_head,
        })
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

/// A signature over a log's length and head, and with them over every entry before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Entries covered.
    pub len: u64,
    /// Id of the last of them.
    pub head: [u8; 32],
    /// Length of the authority log that the author knew when signing.
    pub authority_len: u32,
    /// Id of that log's last entry: a witness against a hub that shows two histories.
    pub authority_head: [u8; 32],
    /// Hybrid logical clock at signing. Advisory.
    pub hlc: u64,
    /// By the log's device.
    pub signature: Signature,
}

impl Checkpoint {
    /// Signs a position.
    #[must_use]
    pub fn sign(
        signer: &Signer,
        space: &SpaceId,
        log: &LogId,
        position: Position,
        authority: (u32, [u8; 32]),
        hlc: u64,
    ) -> Self {
        let mut unsigned = Self {
            len: position.len,
            head: position.head,
            authority_len: authority.0,
            authority_head: authority.1,
            hlc,
            signature: [0; 64],
        };
        unsigned.signature = signer.sign(&hash::CHECKPOINT, &[&unsigned.body(space, log)]);
        unsigned
    }

    /// Whether `device` signed this for `log` in `space`.
    #[must_use]
    pub fn verifies(&self, space: &SpaceId, log: &LogId, device: &DeviceKey) -> bool {
        device.verifies(
            &hash::CHECKPOINT,
            &[&self.body(space, log)],
            &self.signature,
        )
    }

    fn body(&self, space: &SpaceId, log: &LogId) -> Vec<u8> {
        let mut writer = Writer::new();
        writer
            .fixed(&space.0)
            .fixed(&log.0)
            .u64(self.len)
            .fixed(&self.head)
            .u32(self.authority_len)
            .fixed(&self.authority_head)
            .u64(self.hlc);
        writer.into_bytes()
    }

    /// Appends the fields that the chain before it does not already say, in the order in which they
    /// are signed.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .u32(self.authority_len)
            .fixed(&self.authority_head)
            .u64(self.hlc)
            .fixed(&self.signature);
    }

    /// Reads [`Checkpoint::write`]; length and head are those of the chain that precedes it.
    ///
    /// # Errors
    /// The bytes end.
    pub fn read(reader: &mut Reader<'_>, position: Position) -> Result<Self, DecodeError> {
        Ok(Self {
            len: position.len,
            head: position.head,
            authority_len: reader.u32()?,
            authority_head: reader.fixed()?,
            hlc: reader.u64()?,
            signature: reader.fixed()?,
        })
    }
}

/// Why a run of entries is not a piece of the log that it claims. Nothing of such a run is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// No entries, or more than [`limits::BATCH_ENTRIES`].
    #[error("a run has 1 to 64 entries")]
    Count,
    /// Entry numbers are not consecutive.
    #[error("entry {0} is not at its place in the log")]
    Sequence(u64),
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the one before it")]
    Link(u64),
    /// The cited authority log shrank, in an entry or in the checkpoint that stands in its place.
    #[error("entry {0} or its checkpoint cites less of the authority log than the entry before it")]
    AuthorityShrank(u64),
    /// A payload does not fit its header, or is longer than its kind may be.
    #[error("the payload of entry {0} is not the one that its header names")]
    Payload(u64),
    /// The run ends inside a save group.
    #[error("the run ends inside a save")]
    SplitGroup,
    /// The log does not begin with a genesis that fits its id.
    #[error("the log does not begin with its genesis")]
    Genesis,
    /// The checkpoint is not signed by the log's device, or for another position.
    #[error("the checkpoint's signature does not hold")]
    Signature,
}

/// Who writes a log, as its genesis says and its id confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The space of the log.
    pub space: SpaceId,
    /// The device that signs it.
    pub device: DeviceKey,
}

/// Consecutive entries of one log up to a checkpoint, as received or as about to be signed.
/// Unverified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The log.
    pub log: LogId,
    /// Position before the first entry.
    pub start: Position,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Covers the last of them.
    pub checkpoint: Checkpoint,
}

impl Run {
    /// The author that the genesis in this run names.
    ///
    /// # Errors
    /// The run does not begin at 0 with a genesis that hashes to the log's id.
    pub fn author(&self) -> Result<Author, ChainError> {
        let genesis = self
            .entries
            .first()
            .filter(|entry| entry.header.kind == EntryKind::Genesis && self.start.len == 0)
            .and_then(|entry| entry.payload.as_deref())
            .and_then(|payload| Genesis::decode(payload).ok())
            .ok_or(ChainError::Genesis)?;
        if genesis.log() == self.log && genesis.device.is_sound() {
            Ok(Author {
                space: genesis.space,
                device: genesis.device,
            })
        } else {
            Err(ChainError::Genesis)
        }
    }

    /// Checks chain, payloads, group and signature; at 0 also that the chain hangs on the log's id and
    /// that the genesis is that of the log. `known` is the log's author from what is stored,
    /// or `None` for a log that begins with this run; `authority_floor` is what the entry before
    /// cited.
    ///
    /// # Errors
    /// See [`ChainError`]; nothing of the run can be used.
    pub fn verify(
        self,
        known: Option<Author>,
        authority_floor: u32,
    ) -> Result<VerifiedRun, ChainError> {
        if self.entries.is_empty() || self.entries.len() > limits::BATCH_ENTRIES {
            return Err(ChainError::Count);
        }
        let author = match known {
            Some(author) => author,
            None => self.author()?,
        };
        if self.start.len == 0 {
            if self.start != Position::start(&self.log) {
                return Err(ChainError::Link(0));
            }
            let first = self.entries.first();
            if first.is_some_and(|entry| entry.payload.is_some()) && self.author()? != author {
                return Err(ChainError::Genesis);
            }
        }
        let mut position = self.start;
        let mut floor = authority_floor;
        let mut ids = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let header = &entry.header;
            let seq = position.len;
            if header.seq != seq {
                return Err(ChainError::Sequence(seq));
            }
            if header.prev != position.head {
                return Err(ChainError::Link(seq));
            }
            if header.authority_len < floor {
                return Err(ChainError::AuthorityShrank(seq));
            }
            if (header.kind == EntryKind::Genesis) != (seq == 0) {
                return Err(ChainError::Genesis);
            }
            let payload_fits = usize::try_from(header.payload_len)
                .is_ok_and(|len| len <= payload_max(header.kind))
                && entry
                    .payload
                    .as_deref()
                    .is_none_or(|payload| header.fits(payload));
            if !payload_fits {
                return Err(ChainError::Payload(seq));
            }
            floor = header.authority_len;
            let id = header.id();
            ids.push(id);
            position = Position {
                len: seq.saturating_add(1),
                head: id.0,
            };
        }
        if self
            .entries
            .last()
            .is_some_and(|entry| entry.header.flags.group_goes_on())
        {
            return Err(ChainError::SplitGroup);
        }
        let checkpoint = &self.checkpoint;
        let covers = checkpoint.len == position.len && checkpoint.head == position.head;
        if !covers || !checkpoint.verifies(&author.space, &self.log, &author.device) {
            return Err(ChainError::Signature);
        }
        if checkpoint.authority_len < floor {
            return Err(ChainError::AuthorityShrank(position.len));
        }
        Ok(VerifiedRun {
            run: self,
            author,
            ids,
            authority_len: floor,
        })
    }
}

/// A run whose chain, payloads and signature hold. Only [`Run::verify`] and [`Tail::sign`] make one.
#[derive(Clone, Debug)]
pub struct VerifiedRun {
    run: Run,
    author: Author,
    ids: Vec<EntryId>,
    authority_len: u32,
}

impl VerifiedRun {
    /// The run.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Who wrote it.
    #[must_use]
    pub const fn author(&self) -> Author {
        self.author
    }

    /// Ids of the entries, in order.
    #[must_use]
    pub fn ids(&self) -> &[EntryId] {
        &self.ids
    }

    /// Authority length that the last entry cites.
    #[must_use]
    pub const fn authority_len(&self) -> u32 {
        self.authority_len
    }

    /// Length and head of the authority log that the log's genesis cites, if this run has it: which orders the log
    /// was begun under.
    #[must_use]
    pub fn first(&self) -> Option<(u32, [u8; 32])> {
        let first = self.run.entries.first().filter(|it| it.header.seq == 0)?;
        let genesis = Genesis::decode(first.payload.as_deref()?).ok()?;
        Some((first.header.authority_len, genesis.authority_head))
    }

    /// Position after the last entry.
    #[must_use]
    pub const fn end(&self) -> Position {
        Position {
            len: self.run.checkpoint.len,
            head: self.run.checkpoint.head,
        }
    }
}

/// What is to become an entry of one's own log.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// What it is.
    pub kind: EntryKind,
    /// How its digest is made.
    pub digest: DigestMode,
    /// Whether its payload may be erased.
    pub erasable: bool,
    /// The record that it belongs to.
    pub record: RecordId,
    /// The payload.
    pub payload: Vec<u8>,
}

impl NewEntry {
    /// An entry with a plain digest that belongs to no record.
    #[must_use]
    pub const fn plain(kind: EntryKind, payload: Vec<u8>) -> Self {
        Self {
            kind,
            digest: DigestMode::Plain,
            erasable: false,
            record: RecordId::NONE,
            payload,
        }
    }
}

/// The end of one's own log, where entries are appended and then signed.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The log.
    pub log: LogId,
    /// Its author.
    pub author: Author,
    /// Position before the first entry held here.
    pub start: Position,
    /// Position after the last.
    pub end: Position,
    /// Entries since `start`.
    pub entries: Vec<Entry>,
}

impl Tail {
    /// A log that is about to begin; its genesis is its first entry.
    #[must_use]
    pub fn begin(genesis: &Genesis, hlc: u64, authority_len: u32) -> Self {
        let log = genesis.log();
        let start = Position::start(&log);
        let author = Author {
            space: genesis.space,
            device: genesis.device,
        };
        let mut tail = Self {
            log,
            author,
            start,
            end: start,
            entries: Vec::new(),
        };
        let entry = NewEntry::plain(EntryKind::Genesis, genesis.encode());
        tail.push_group(vec![entry], hlc, authority_len);
        tail
    }

    /// The same log without entries, to go on after a run that was cut off.
    #[must_use]
    pub const fn clone_empty(&self) -> Self {
        Self {
            log: self.log,
            author: self.author,
            start: self.start,
            end: self.end,
            entries: Vec::new(),
        }
    }

    /// Appends the entries of one save.
    pub fn push_group(&mut self, group: Vec<NewEntry>, hlc: u64, authority_len: u32) {
        let last = group.len().saturating_sub(1);
        for (index, new) in group.into_iter().enumerate() {
            let header = Header {
                version: HEADER_VERSION,
                kind: new.kind,
                flags: Flags::new(new.digest, new.erasable, index < last),
                seq: self.end.len,
                prev: self.end.head,
                record: new.record,
                hlc,
                authority_len,
                payload_len: u32::try_from(new.payload.len()).unwrap_or(u32::MAX),
                digest: digest(new.digest, &new.payload),
                extension: Vec::new(),
            };
            self.end = Position {
                len: self.end.len.saturating_add(1),
                head: header.id().0,
            };
            self.entries.push(Entry {
                header,
                payload: Some(new.payload),
            });
        }
    }

    /// Signs what is held: a checkpoint over everything up to the end.
    #[must_use]
    pub fn sign(self, signer: &Signer, authority: (u32, [u8; 32]), hlc: u64) -> VerifiedRun {
        let checkpoint = Checkpoint::sign(
            signer,
            &self.author.space,
            &self.log,
            self.end,
            authority,
            hlc,
        );
        let next = self
            .entries
            .iter()
            .skip(1)
            .map(|entry| EntryId(entry.header.prev));
        let last = self.entries.last().map(|_| EntryId(self.end.head));
        let ids = next.chain(last).collect();
        let authority_len = self
            .entries
            .last()
            .map_or(0, |entry| entry.header.authority_len);
        VerifiedRun {
            author: self.author,
            ids,
            authority_len,
            run: Run {
                log: self.log,
                start: self.start,
                entries: self.entries,
                checkpoint,
            },
        }
    }
}

/// One side of a fork: headers from the forked place to a checkpoint that covers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Headers from the forked sequence number on.
    pub headers: Vec<Header>,
    /// Covers the last of them.
    pub checkpoint: Checkpoint,
}

/// Proof that a device wrote two different entries at one place: anyone can check it with the
/// device's key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkProof {
    /// The author of the log.
    pub author: Author,
    /// The log.
    pub log: LogId,
    /// The two branches, the one with the smaller first entry id first.
    pub branches: [Branch; 2],
}

impl ForkProof {
    /// The forked place, if both branches are signed, begin at one place after the same entry and
    /// differ there. It speaks for `author` only: the proof does not show that the log is his, so
    /// whoever acts on it compares `author` with that of the stored log.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        let [left, right] = &self.branches;
        let first = (left.headers.first()?, right.headers.first()?);
        let place = (first.0.seq, first.0.prev) == (first.1.seq, first.1.prev);
        let ordered = first.0.id() < first.1.id();
        let signed = self.branches.iter().all(|branch| self.branch_holds(branch));
        (place && ordered && signed).then_some(first.0.seq)
    }

    fn branch_holds(&self, branch: &Branch) -> bool {
        let linked = branch.headers.windows(2).all(|pair| match pair {
            [before, after] => {
                after.prev == before.id().0 && after.seq == before.seq.saturating_add(1)
            }
            _ => false,
        });
        let last = branch.headers.last();
        linked
            && last.is_some_and(|last| {
                branch.checkpoint.len == last.seq.saturating_add(1)
                    && branch.checkpoint.head == last.id().0
            })
            && branch
                .checkpoint
                .verifies(&self.author.space, &self.log, &self.author.device)
    }

    /// Appends the encoding.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .fixed(&self.author.space.0)
            .fixed(&self.author.device.0)
            .fixed(&self.log.0);
        for branch in &self.branches {
            writer.length(branch.headers.len());
            for header in &branch.headers {
                header.write(writer);
            }
            branch.checkpoint.write(writer);
        }
    }

    /// Reads a proof; it still has to be checked.
    ///
    /// # Errors
    /// The bytes are not a proof.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let space = SpaceId(reader.fixed()?);
        let device = DeviceKey(reader.fixed()?);
        let log = LogId(reader.fixed()?);
        let mut branch = || {
            let count = reader.count(limits::FORK_HEADERS_MAX, HEADER_LEN)?;
            let headers = (0..count)
                .map(|_| Header::read(reader))
                .collect::<Result<Vec<_>, _>>()?;
            let position = headers.last().map_or_else(
                || Position::start(&log),
                |last| Position {
                    len: last.seq.saturating_add(1),
                    head: last.id().0,
                },
            );
            Ok(Branch {
                headers,
                checkpoint: Checkpoint::read(reader, position)?,
            })
        };
        Ok(Self {
            author: Author { space, device },
            log,
            branches: [branch()?, branch()?],
        })
    }
}

#[cfg(test)]
mod tests;
