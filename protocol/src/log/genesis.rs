//! The payload of a log's first entry: who writes the log, and what it follows.
//!
//! Owns its bytes. Whether they are those of the log that they stand in, [`Run::verify`](super::Run::verify) says.

use super::place::{LogId, Position, read_place, write_place};
use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::DeviceKey;
use crate::space::SpaceId;

/// Who writes a log, as its genesis says and its id confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Author {
    /// The space of the log.
    pub space: SpaceId,
    /// The device that signs it.
    pub device: DeviceKey,
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
///
/// ```
/// use lianxin_protocol::identity::Signer;
/// use lianxin_protocol::log::{Genesis, GenesisReason, LogId};
/// use lianxin_protocol::space::SpaceId;
///
/// let genesis = Genesis {
///     space: SpaceId([5; 32]),
///     device: Signer::from_seed(&[4; 32]).public(),
///     incarnation: [9; 16],
///     previous: None,
///     reason: GenesisReason::New,
///     authority_head: [0; 32],
/// };
/// assert_eq!(genesis.log(), LogId::of(&genesis.space, &genesis.device, &[9; 16]));
/// assert_eq!(Genesis::decode(&genesis.encode()), Ok(genesis));
/// ```
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
