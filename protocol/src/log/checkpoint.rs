//! A signature over a log's length and head, and with them over every entry before it.
//!
//! Owns the signed bytes. Must not say whether a chain leads to the position: that is [`run`](super::run)'s.

use super::place::{LogId, Position};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash;
use crate::identity::{DeviceKey, Signature, Signer};
use crate::space::SpaceId;

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

    /// The place that it signs.
    #[must_use]
    pub const fn position(&self) -> Position {
        Position {
            len: self.len,
            head: self.head,
        }
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
