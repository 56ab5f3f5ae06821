//! Payloads that are not here: parts that a relay left out or that were erased.
//!
//! Only parts may be absent. One that a held erase order names is erased; any other is *missing*: the hub's receipt says so, it is
//! asked for of every peer that is met, and it is put in its place when it comes. Otherwise a relay that strips a part, or a
//! device that erased it, would lose it for everyone behind.
//!
//! Owns the tables `missing` and `erasures`. An order to erase counts only in a log of a device with the role hub at that
//! place; carrying it out is not done here.

use std::collections::BTreeMap;

use lianxin_protocol::authority::{Reason, Role};
use lianxin_protocol::limits;
use lianxin_protocol::log::{Entry, EntryKind, LogId, VerifiedRun};
use lianxin_protocol::part::EraseOrder;
use lianxin_protocol::receipt::Exception;
use rusqlite::{Connection, params};

use super::segments::{entry_key, split_key};
use super::{Journal, insert_part, mark_stale};
use crate::error::Result;

/// An entry whose payload is absent, unless an order that counts says that it must be; 1099511627775 is the mask of a place
/// in a log.
const MISSING: &str =
    "SELECT missing.entry FROM missing WHERE missing.entry >= ?1 AND missing.entry < ?2
     AND NOT EXISTS (SELECT 1 FROM logs JOIN erasures ON erasures.log = logs.log
         AND erasures.seq = missing.entry & 1099511627775
         JOIN logs hub ON hub.id = erasures.by >> 40 AND hub.space = logs.space
         WHERE logs.id = missing.entry >> 40 AND NOT EXISTS (SELECT 1 FROM exceptions
             WHERE exceptions.log = hub.id AND exceptions.first <= erasures.by & 1099511627775
             AND exceptions.after > erasures.by & 1099511627775))
     ORDER BY missing.entry";

/// Whether a run lacks a payload that no order may erase.
pub(super) fn lacks_more_than_parts(run: &VerifiedRun) -> bool {
    let mut absent = run
        .run()
        .entries
        .iter()
        .filter(|entry| entry.payload.is_none());
    // rule:absent-parts-only
    absent.any(|entry| entry.header.kind != EntryKind::Part || !entry.header.flags.erasable())
}

/// Notes the parts of a log that come without payload.
pub(super) fn note_missing(connection: &Connection, log: i64, entries: &[Entry]) -> Result<()> {
    let absent = |entry: &&Entry| entry.header.kind == EntryKind::Part && entry.payload.is_none();
    for entry in entries.iter().filter(absent) {
        connection
            .prepare_cached("INSERT OR IGNORE INTO missing (entry) VALUES (?1)")?
            .execute([entry_key(log, entry.header.seq)?])?;
    }
    Ok(())
}

/// Parts of a log that are missing, as exceptions.
pub(super) fn missing(connection: &Connection, log: i64) -> Result<Vec<Exception>> {
    let mut statement = connection.prepare_cached(MISSING)?;
    let range = (entry_key(log, 0)?, entry_key(log, (1 << 40) - 1)?);
    let rows = statement.query_map(range, |row| row.get::<_, i64>(0))?;
    let mut exceptions = Vec::new();
    for key in rows {
        let (_, seq) = split_key(key?);
        exceptions.push(Exception {
            range: seq..seq + 1,
            reason: Reason::Missing,
        });
    }
    Ok(exceptions)
}

/// Whether an entry is a part that is missing.
pub(super) fn is_missing(connection: &Connection, entry: i64) -> Result<bool> {
    let mut statement = connection.prepare_cached(MISSING)?;
    Ok(statement.exists([entry, entry + 1])?)
}

impl Journal {
    /// Puts the parts of a run that was stored before in their place, where they were missing. The run verified, so
    /// they are the ones that its headers name. Says whether there were any.
    pub(super) fn fill(&mut self, connection: &Connection, run: &VerifiedRun) -> Result<bool> {
        let id = run.run().log;
        let Some(key) = self.logs.get(&id).map(|log| log.key) else {
            return Ok(false);
        };
        let mut filled = false;
        for entry in &run.run().entries {
            let Some(payload) = entry.payload.as_ref() else {
                continue;
            };
            let entry_key = entry_key(key, entry.header.seq)?;
            // What an order says must go is not put back.
            if entry.header.kind == EntryKind::Part && is_missing(connection, entry_key)? {
                connection
                    .prepare_cached("DELETE FROM missing WHERE entry = ?1")?
                    .execute([entry_key])?;
                // rule:missing-filled
                insert_part(connection, entry_key, payload)?;
                mark_stale(connection, key, &(entry.header.seq..entry.header.seq + 1))?;
                self.part_is_back(connection, &id, entry.header.seq)?;
                filled = true;
            }
        }
        if filled {
            self.touched.insert(id);
            self.unreceipted.insert(id);
            self.moved.stale = true;
        }
        Ok(filled)
    }

    /// Logs of which parts are missing, each with the first place from which a peer may have them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn payloads_wanted(&mut self, connection: &Connection) -> Result<Vec<(LogId, u64)>> {
        let mut statement = connection.prepare_cached(MISSING)?;
        let rows = statement.query_map([0, i64::MAX], |row| row.get::<_, i64>(0))?;
        let mut first: BTreeMap<i64, u64> = BTreeMap::new();
        for key in rows {
            let (log, seq) = split_key(key?);
            first.entry(log).or_insert(seq);
            if first.len() > usize::from(limits::WANTS_MAX) {
                break;
            }
        }
        let found = first.into_iter();
        let found = found.filter_map(|(log, seq)| Some((self.log_id(log)?.0, seq)));
        Ok(found.collect())
    }

    /// Makes the rows of an order to erase, if its writer is a hub at that place. Its targets stand in the same space.
    pub(super) fn index_erasure(
        &mut self,
        connection: &Connection,
        log: i64,
        entry: &Entry,
    ) -> Result<()> {
        let order = entry.payload.as_deref().map(EraseOrder::decode);
        let (Some(Ok(order)), Some((id, by))) = (order, self.log_id(log)) else {
            return Ok(());
        };
        let author = by.author;
        if self.authority.role_at(&id, &author, entry.header.seq) != Some(Role::Hub) {
            return Ok(());
        }
        let by_entry = entry_key(log, entry.header.seq)?;
        // An order may come before the log that it speaks of, so its targets are kept by name.
        for target in &order.targets {
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO erasures (log, seq, by) VALUES (?1, ?2, ?3)",
                )?
                .execute(params![target.log.0, target.seq, by_entry])?;
            self.unreceipted.insert(target.log);
        }
        Ok(())
    }
}
