//! Frames: what peers say to each other, on QUIC, on TLS/TCP, in a pipe or in a file.
//!
//! A frame is `type u16 | len u32 | body`. Types are append-only and unknown ones are skipped; every body
//! ends with a length-prefixed tail for fields of newer versions. Lengths are checked before anything
//! is allocated. What a message means for a session is in `session`.

use std::collections::BTreeMap;

use crate::authority::Certificate;
use crate::batch::Packed;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature};
use crate::limits;
use crate::log::{ForkProof, LogId, Position};
use crate::receipt::Receipt;
use crate::space::{NetworkId, SpaceId};

/// Oldest protocol version that this program accepts.
pub const PROTOCOL_MIN: u16 = 1;
/// The protocol version that this program speaks.
pub const PROTOCOL_NOW: u16 = 1;

/// Length and head of a log as peers compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Entries that are stored, chain-valid and covered by a checkpoint; for a frozen log, up to the
    /// fork.
    pub len: u64,
    /// Id of the last of them.
    pub head: [u8; 32],
    /// The log forked and is closed.
    pub frozen: bool,
}

impl Tip {
    /// Whether a peer is told of this log: it has entries, or is known to have forked at its start.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.len > 0 || self.frozen
    }

    /// As a position.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            len: self.len,
            head: self.head,
        }
    }
}

/// Digest of a space: BLAKE3 over its logs in id order, each with first-held entry (0), length, head
/// and frozen flag. It covers what is stored, whatever its verdict, or two replicas with different
/// views of authority would resend for ever.
#[must_use]
pub fn space_digest(logs: &BTreeMap<LogId, Tip>) -> [u8; 32] {
    let mut writer = Writer::new();
    for (log, tip) in logs.iter().filter(|(_, tip)| tip.counts()) {
        writer
            .fixed(&log.0)
            .u64(0)
            .u64(tip.len)
            .fixed(&tip.head)
            .u8(u8::from(tip.frozen));
    }
    hash::SPACE_DIGEST.hash(&[&writer.into_bytes()])
}

/// One space as a peer offers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// First 8 bytes of the space's id.
    pub space: [u8; 8],
    /// See [`space_digest`].
    pub digest: [u8; 32],
    /// The sender lacks receipts that cover all it holds there.
    pub lacks_receipts: bool,
}

/// The first 8 bytes of a space's id, which name it within a session.
#[must_use]
pub fn space_prefix(space: &SpaceId) -> [u8; 8] {
    *space.0.first_chunk().unwrap_or(&[0; 8])
}

/// First message of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Oldest version accepted.
    pub min: u16,
    /// Version spoken.
    pub max: u16,
    /// Optional abilities, as bits; none are defined yet.
    pub features: u32,
    /// Random id of the sender's store.
    pub epoch: [u8; 16],
    /// The first of the spaces that the sender shares with the receiver, authority first.
    pub offers: Offers,
}

/// Spaces that the sender shares with the receiver, as many as one frame takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// The spaces, at most [`limits::OFFERS_MAX`].
    pub spaces: Vec<Offer>,
    /// With these every space that is shared at present has been offered; otherwise more follow.
    pub complete: bool,
}

/// One log in a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The log.
    pub log: LogId,
    /// Its length.
    pub len: u64,
    /// First 16 bytes of the id of its last entry.
    pub head: [u8; 16],
    /// It forked and is closed.
    pub frozen: bool,
    /// First entry held; 0 unless the log was pruned.
    pub first: u64,
    /// Entries whose payload is not held although it was not erased.
    pub missing: u32,
}

/// Logs of a space, as many as one frame takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    /// First 8 bytes of the space's id.
    pub space: [u8; 8],
    /// With these every log of the space has been named; otherwise more follow, or these are added to what was
    /// named before.
    pub complete: bool,
    /// The logs in id order, at most [`limits::ROWS_MAX`].
    pub rows: Vec<Row>,
}

/// A batch on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireBatch {
    /// First 8 bytes of the log's id.
    pub log: [u8; 8],
    /// Position before its first entry.
    pub start: Position,
    /// The entries.
    pub packed: Packed,
}

impl WireBatch {
    /// Length of the log behind its last entry.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.len.saturating_add(self.packed.count as u64)
    }
}

/// What an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorScope {
    /// The whole connection, which is closed.
    Connection,
    /// One space.
    Space,
    /// One log.
    Log,
    /// One entry.
    Entry,
    /// A scope of a newer version: the connection goes on.
    Other(u8),
}

impl ErrorScope {
    const fn number(self) -> u8 {
        match self {
            Self::Connection => 0,
            Self::Space => 1,
            Self::Log => 2,
            Self::Entry => 3,
            Self::Other(number) => number,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            0 => Self::Connection,
            1 => Self::Space,
            2 => Self::Log,
            3 => Self::Entry,
            other => Self::Other(other),
        })
    }
}

/// Error codes: append-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// No protocol version in common.
    VersionUnsupported,
    /// The peer may not do this.
    NotAuthorised,
    /// The peer's device was revoked.
    Revoked,
    /// A space of another network.
    UnknownSpace,
    /// Bytes that are no frame, or a frame at the wrong time.
    BadFrame,
    /// Beyond a bound.
    TooLarge,
    /// Entries that do not follow what is stored.
    ChainMismatch,
    /// A signature does not hold.
    BadSignature,
    /// The peer's store is another than remembered.
    StaleEpoch,
    /// Kept, and held back.
    Quarantined,
    /// The entries were pruned; a snapshot is needed.
    NeedSnapshot,
    /// Too much at once; come back later.
    Busy,
    /// The day's quota is used up.
    QuotaExceeded,
    /// A fault of the sender of this error.
    Internal,
    /// A code of a newer version.
    Other(u16),
}

impl ErrorCode {
    const ALL: [Self; 14] = [
        Self::VersionUnsupported,
        Self::NotAuthorised,
        Self::Revoked,
        Self::UnknownSpace,
        Self::BadFrame,
        Self::TooLarge,
        Self::ChainMismatch,
        Self::BadSignature,
        Self::StaleEpoch,
        Self::Quarantined,
        Self::NeedSnapshot,
        Self::Busy,
        Self::QuotaExceeded,
        Self::Internal,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        if let Self::Other(number) = self {
            return number;
        }
        let at = Self::ALL.iter().position(|code| *code == self);
        at.and_then(|at| u16::try_from(at + 1).ok())
            .unwrap_or(u16::MAX)
    }

    /// The code of a number.
    #[must_use]
    pub fn of(number: u16) -> Self {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| Self::ALL.get(at))
            .copied()
            .unwrap_or(Self::Other(number))
    }
}

/// A request to join with an invite, proven over the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrol {
    /// Public half of the invite key.
    pub invite: DeviceKey,
    /// The device's age recipient.
    pub recipient: [u8; 32],
    /// See [`crate::identity::Channel::device_proof`].
    pub proof: Signature,
}

/// The hub's answer: it made the invite, and this is the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The network.
    pub network: NetworkId,
    /// The root key's statement for the authority key.
    pub certificate: Certificate,
    /// The code in this device's numbers.
    pub device_code: String,
    /// See [`crate::identity::Channel::hub_proof`].
    pub proof: [u8; 32],
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens a session.
    Hello(Hello),
    /// More spaces, or spaces again, after Hello.
    Offers(Offers),
    /// Logs of a space.
    Vector(Vector),
    /// Send this log from here on, whatever you believe I have.
    Want {
        /// First 8 bytes of the log's id.
        log: [u8; 8],
        /// First entry wanted.
        from: u64,
    },
    /// Entries.
    Batch(WireBatch),
    /// A receipt.
    Receipt(Receipt),
    /// A proof that a log forked.
    Fork(Box<ForkProof>),
    /// Are you there?
    Ping(u64),
    /// Yes.
    Pong(u64),
    /// Something was refused.
    Error {
        /// What.
        code: ErrorCode,
        /// How much of the connection it concerns.
        scope: ErrorScope,
        /// When to try again, in seconds; 0 for no advice.
        retry_after_s: u32,
    },
    /// The sender is done.
    Bye(u16),
    /// Opens an enrolment.
    Enrol(Enrol),
    /// Answers it.
    Enrolled(Enrolled),
    /// A type of a newer version, skipped.
    Unknown(u16),
}

impl Message {
    /// The type of [`Message::Enrol`], with which a stream begins that is no session.
    pub const ENROL: u16 = 12;

    const fn type_code(&self) -> u16 {
        match self {
            Self::Hello(_) => 1,
            Self::Offers(_) => 2,
            Self::Vector { .. } => 3,
            Self::Want { .. } => 4,
            Self::Batch(_) => 5,
            Self::Receipt(_) => 6,
            Self::Fork(_) => 7,
            Self::Ping(_) => 8,
            Self::Pong(_) => 9,
            Self::Error { .. } => 10,
            Self::Bye(_) => 11,
            Self::Enrol(_) => Self::ENROL,
            Self::Enrolled(_) => 13,
            Self::Unknown(code) => *code,
        }
    }

    /// The whole frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write_body(&mut writer);
        let body = writer.into_bytes();
        let mut frame = Writer::new();
        // The tail for newer versions is empty in this one.
        frame
            .u16(self.type_code())
            .length(body.len() + 2)
            .fixed(&body)
            .u16(0);
        frame.into_bytes()
    }

    fn write_body(&self, writer: &mut Writer) {
        match self {
            Self::Hello(hello) => {
                writer
                    .u16(hello.min)
                    .u16(hello.max)
                    .u32(hello.features)
                    .fixed(&hello.epoch);
                write_offers(writer, &hello.offers);
            }
            Self::Offers(offers) => write_offers(writer, offers),
            Self::Vector(vector) => write_vector(writer, vector),
            Self::Want { log, from } => {
                writer.fixed(log).u64(*from);
            }
            Self::Batch(batch) => {
                writer
                    .fixed(&batch.log)
                    .u64(batch.start.len)
                    .fixed(&batch.start.head)
                    .u16(batch.packed.count)
                    .bytes(&batch.packed.main)
                    .bytes(&batch.packed.parts);
            }
            Self::Receipt(receipt) => {
                writer.fixed(&receipt.encode());
            }
            Self::Fork(proof) => proof.write(writer),
            Self::Ping(token) | Self::Pong(token) => {
                writer.u64(*token);
            }
            Self::Error {
                code,
                scope,
                retry_after_s,
            } => {
                writer
                    .u16(code.number())
                    .u8(scope.number())
                    .u32(*retry_after_s);
            }
            Self::Bye(code) => {
                writer.u16(*code);
            }
            Self::Enrol(enrol) => {
                writer
                    .fixed(&enrol.invite.0)
                    .fixed(&enrol.recipient)
                    .fixed(&enrol.proof);
            }
            Self::Enrolled(enrolled) => {
                writer.fixed(&enrolled.network.0);
                enrolled.certificate.write(writer);
                writer.str(&enrolled.device_code).fixed(&enrolled.proof);
            }
            Self::Unknown(_) => {}
        }
    }

    /// Reads the body of a frame of type `code`.
    ///
    /// # Errors
    /// The body of a known type is malformed.
    pub fn decode(code: u16, body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let message = match code {
            1 => Self::Hello(Hello {
                min: reader.u16()?,
                max: reader.u16()?,
                features: reader.u32()?,
                epoch: reader.fixed()?,
                offers: read_offers(&mut reader)?,
            }),
            2 => Self::Offers(read_offers(&mut reader)?),
            3 => Self::Vector(read_vector(&mut reader)?),
            4 => Self::Want {
                log: reader.fixed()?,
                from: reader.u64()?,
            },
            5 => Self::Batch(read_batch(&mut reader)?),
            6 => Self::Receipt(Receipt::read(&mut reader)?),
            7 => Self::Fork(Box::new(ForkProof::read(&mut reader)?)),
            8 => Self::Ping(reader.u64()?),
            9 => Self::Pong(reader.u64()?),
            10 => Self::Error {
                code: ErrorCode::of(reader.u16()?),
                scope: ErrorScope::read(&mut reader)?,
                retry_after_s: reader.u32()?,
            },
            11 => Self::Bye(reader.u16()?),
            Self::ENROL => Self::Enrol(Enrol {
                invite: DeviceKey(reader.fixed()?),
                recipient: reader.fixed()?,
                proof: reader.fixed()?,
            }),
            13 => Self::Enrolled(Enrolled {
                network: NetworkId(reader.fixed()?),
                certificate: Certificate::read(&mut reader)?,
                device_code: reader.str(limits::NAME_MAX)?.to_owned(),
                proof: reader.fixed()?,
            }),
            newer => return Ok(Self::Unknown(newer)),
        };
        let tail = usize::from(reader.u16()?);
        reader.take(tail)?;
        reader.finish()?;
        Ok(message)
    }
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => reader.fail("a flag that is neither 0 nor 1"),
    }
}

fn write_offers(writer: &mut Writer, offers: &Offers) {
    writer.length(offers.spaces.len());
    for offer in &offers.spaces {
        writer
            .fixed(&offer.space)
            .fixed(&offer.digest)
            .u8(u8::from(offer.lacks_receipts));
    }
    writer.u8(u8::from(offers.complete));
}

fn read_offers(reader: &mut Reader<'_>) -> Result<Offers, DecodeError> {
    let count = reader.count(limits::OFFERS_MAX, 41)?;
    let mut spaces = Vec::with_capacity(count);
    for _ in 0..count {
        spaces.push(Offer {
            space: reader.fixed()?,
            digest: reader.fixed()?,
            lacks_receipts: read_flag(reader)?,
        });
    }
    let complete = read_flag(reader)?;
    Ok(Offers { spaces, complete })
}

fn write_vector(writer: &mut Writer, vector: &Vector) {
    writer
        .fixed(&vector.space)
        .u8(u8::from(vector.complete))
        .length(vector.rows.len());
    for row in &vector.rows {
        write_row(writer, row);
    }
}

fn read_vector(reader: &mut Reader<'_>) -> Result<Vector, DecodeError> {
    let space = reader.fixed()?;
    let complete = read_flag(reader)?;
    let count = reader.count(limits::ROWS_MAX, 57)?;
    let rows = (0..count)
        .map(|_| read_row(reader))
        .collect::<Result<Vec<_>, _>>()?;
    // rule:ascend
    if !rows.is_sorted_by(|left, right| left.log < right.log) {
        return reader.fail("logs out of order");
    }
    Ok(Vector {
        space,
        complete,
        rows,
    })
}

fn read_batch(reader: &mut Reader<'_>) -> Result<WireBatch, DecodeError> {
    let log = reader.fixed()?;
    let start = Position {
        len: reader.u64()?,
        head: reader.fixed()?,
    };
    let count = reader.u16()?;
    let main = reader.bytes(limits::BATCH_COMPRESSED_MAX)?.to_vec();
    let parts = reader.bytes(limits::BATCH_COMPRESSED_MAX)?.to_vec();
    Ok(WireBatch {
        log,
        start,
        packed: Packed { count, main, parts },
    })
}

const FROZEN: u8 = 1;
const PRUNED: u8 = 2;
const MISSING: u8 = 4;

fn write_row(writer: &mut Writer, row: &Row) {
    let flags = if row.frozen { FROZEN } else { 0 }
        | if row.first > 0 { PRUNED } else { 0 }
        | if row.missing > 0 { MISSING } else { 0 };
    writer
        .fixed(&row.log.0)
        .u64(row.len)
        .fixed(&row.head)
        .u8(flags);
    if row.first > 0 {
        writer.u64(row.first);
    }
    if row.missing > 0 {
        writer.u32(row.missing);
    }
}

fn read_row(reader: &mut Reader<'_>) -> Result<Row, DecodeError> {
    let log = LogId(reader.fixed()?);
    let len = reader.u64()?;
    let head = reader.fixed()?;
    let flags = reader.u8()?;
    if flags & !(FROZEN | PRUNED | MISSING) != 0 {
        return reader.fail("unknown flags");
    }
    let first = if flags & PRUNED == 0 {
        0
    } else {
        reader.u64()?
    };
    let missing = if flags & MISSING == 0 {
        0
    } else {
        reader.u32()?
    };
    let stated = (flags & PRUNED != 0) == (first > 0) && (flags & MISSING != 0) == (missing > 0);
    if !stated {
        return reader.fail("a flag for nothing");
    }
    Ok(Row {
        log,
        len,
        head,
        frozen: flags & FROZEN != 0,
        first,
        missing,
    })
}

/// Cuts an ordered byte stream into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    read: usize,
}

impl FrameReader {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 && self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        } else if self.read > limits::FRAME_MAX {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether part of a frame is here and the rest of it is not; call after
    /// [`FrameReader::next_frame`] has given all whole ones.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.read < self.buffer.len()
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// The frame is longer than [`limits::FRAME_MAX`] or the body of a known type is malformed; the
    /// stream cannot be read on after that.
    pub fn next_frame(&mut self) -> Result<Option<Message>, DecodeError> {
        Ok(self.next_sized()?.map(|(message, _)| message))
    }

    /// The next whole frame and how many bytes it has.
    ///
    /// # Errors
    /// As [`FrameReader::next_frame`].
    pub fn next_sized(&mut self) -> Result<Option<(Message, usize)>, DecodeError> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let mut head = Reader::new(rest);
        let (Ok(code), Ok(len)) = (head.u16(), head.u32()) else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len > limits::FRAME_MAX - limits::FRAME_HEAD {
            return head.fail("a frame beyond its bound");
        }
        if head.remaining() < len {
            return Ok(None);
        }
        let body = head.take(len)?;
        let message = Message::decode(code, body)?;
        self.read += limits::FRAME_HEAD + len;
        Ok(Some((message, limits::FRAME_HEAD + len)))
    }
}

#[cfg(test)]
mod tests;
