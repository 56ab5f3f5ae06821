//! What peers claim to have of this device's own logs and this store lacks.
//!
//! Owns the list of claims that are not settled. A claim is no proof: it pauses a log, so that what is saved
//! meanwhile goes into another one, and it is forgotten once the same peer holds what this store holds. Only
//! entries that verify close a log for good (`ingest`). Claims outlive a restart, because a store that was put
//! back must not write on before the missing entries have come.
//!
//! Rejected: to close a log at the first claim. Anyone who may open a session could then make this device begin
//! a log a save, for ever. Here a peer pauses [`limits::CLAIMS_PER_PEER`] logs of a space and is not heard after
//! that until it has settled them.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::codec::{DecodeError, Reader, Writer};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::limits;
use lianxin_protocol::log::LogId;
use rusqlite::Connection;

use super::{Journal, Overview};
use crate::error::{Code, Error, Result};
use crate::store;

/// Key of the `meta` table.
const KEY: &str = "claims";

/// Claims by log and peer.
pub(super) type Claims = BTreeMap<LogId, BTreeSet<DeviceKey>>;

/// Reads the claims that a store keeps.
///
/// # Errors
/// The store cannot be read.
pub(super) fn read(connection: &Connection) -> Result<Claims> {
    let bytes = store::meta(connection, KEY)?.unwrap_or_default();
    decode(&bytes).map_err(|error| {
        let message = "the claims in the store are damaged";
        Error::because(Code::StoreCorrupt, message, error)
    })
}

fn decode(bytes: &[u8]) -> Result<Claims, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut claims = Claims::new();
    while reader.remaining() > 0 {
        let log = LogId(reader.fixed()?);
        let peer = DeviceKey(reader.fixed()?);
        claims.entry(log).or_default().insert(peer);
    }
    Ok(claims)
}

impl Journal {
    /// A peer says that it has more of a log than this store: if the log is this device's own, it is not
    /// written on until that is settled.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn peer_is_ahead(
        &mut self,
        connection: &Connection,
        log: &LogId,
        peer: &DeviceKey,
    ) -> Result<()> {
        // A claim never holds up the authority log, which goes on only by the root key.
        let own = |log: &LogId| {
            let known = self.logs.get(log).map(|known| known.author);
            known.filter(|author| author.device == self.identity.key())
        };
        let Some(author) = own(log).filter(|_| !self.closed.contains_key(log)) else {
            return Ok(());
        };
        let unsettled = self.claims.iter().filter(|(other, peers)| {
            peers.contains(peer) && own(other).is_some_and(|it| it.space == author.space)
        });
        if unsettled.count() >= limits::CLAIMS_PER_PEER {
            return Ok(());
        }
        if self.claims.entry(*log).or_default().insert(*peer) {
            tracing::warn!("a peer says that it has more of this device's log than this store");
            self.write_claims(connection)?;
        }
        Ok(())
    }

    /// A peer holds what this store holds: what it has claimed is settled.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn peer_agrees(&mut self, connection: &Connection, peer: &DeviceKey) -> Result<()> {
        let mut changed = false;
        self.claims.retain(|_, peers| {
            changed |= peers.remove(peer);
            !peers.is_empty()
        });
        if changed {
            self.write_claims(connection)?;
        }
        self.note_heard(connection)
    }

    fn write_claims(&self, connection: &Connection) -> Result<()> {
        let mut writer = Writer::new();
        for (log, peers) in &self.claims {
            for peer in peers {
                writer.fixed(&log.0).fixed(&peer.0);
            }
        }
        store::set_meta(connection, KEY, &writer.into_bytes())
    }
}

impl Overview {
    /// Whether a log waits for what a peer has claimed.
    pub(super) fn is_paused(&self, log: &LogId) -> bool {
        self.claims.contains_key(log)
    }
}
