//! What a store keeps of invites: at the hub the key with which it proves that it made one, and of every device that
//! joined what its four words are taken from.

use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::words;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Result;

/// Keeps the key with which the hub proves that it made an invite.
///
/// # Errors
/// The store cannot be written.
pub fn keep_proof_key(connection: &Connection, invite: &DeviceKey, proof: &[u8; 32]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO invites (key, proof) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET proof = excluded.proof",
    )?;
    statement.execute(params![invite.0, proof])?;
    Ok(())
}

/// The key that [`keep_proof_key`] kept.
///
/// # Errors
/// The store cannot be read.
pub fn proof_key(connection: &Connection, invite: &DeviceKey) -> Result<Option<[u8; 32]>> {
    let mut statement = connection.prepare_cached("SELECT proof FROM invites WHERE key = ?1")?;
    Ok(statement
        .query_row([invite.0], |row| row.get(0))
        .optional()?)
}

/// Keeps what the four words of a device are taken from: the hub for every device that it let in, a device for
/// itself.
///
/// # Errors
/// The store cannot be written.
pub fn keep_words(connection: &Connection, device: &DeviceKey, digest: &[u8; 32]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO words (device, digest) VALUES (?1, ?2)
         ON CONFLICT (device) DO UPDATE SET digest = excluded.digest",
    )?;
    statement.execute(params![device.0, digest])?;
    Ok(())
}

/// The four words of a device, if this store was there when it joined.
///
/// # Errors
/// The store cannot be read.
pub fn kept_words(
    connection: &Connection,
    device: &DeviceKey,
) -> Result<Option<Vec<&'static str>>> {
    let mut statement = connection.prepare_cached("SELECT digest FROM words WHERE device = ?1")?;
    let digest: Option<[u8; 32]> = statement
        .query_row([device.0], |row| row.get(0))
        .optional()?;
    Ok(digest.map(|digest| four_words(&digest)))
}

/// What two people read to each other.
#[must_use]
pub fn four_words(digest: &[u8; 32]) -> Vec<&'static str> {
    words::phrase(digest).to_vec()
}
