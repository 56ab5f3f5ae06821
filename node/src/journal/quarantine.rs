//! What is kept and does not count 已隔离: entries in place that rights, cuts, forks or the gate hold back, and branches that
//! are not in place. Shown to people, who may let the former count by an adoption.

use std::collections::BTreeSet;
use std::ops::Range;

use lianxin_protocol::authority::{Order, Reason};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{Author, EntryKind, LogId, Position, RecordId};
use lianxin_protocol::space::Space;
use rusqlite::{Connection, params};

use super::segments::entry_key;
use super::{Books, Journal, Overview, withheld};
use crate::error::{Code, Error, Result};

/// Entries of one log that do not count, for one reason.
#[derive(Clone, Debug)]
pub struct HeldBack {
    /// Their log.
    pub log: LogId,
    /// Who wrote it.
    pub author: Author,
    /// Their places.
    pub range: Range<u64>,
    /// Id of the last of them.
    pub head: [u8; 32],
    /// Why.
    pub reason: Reason,
    /// The records that they speak of.
    pub records: BTreeSet<RecordId>,
    /// They stand on a branch that is not in place.
    pub branch: bool,
    /// Their device has written all of them again.
    pub superseded: bool,
}

impl HeldBack {
    /// What people name it by: log, places, and the last of its entries, so that who was shown it means these and no
    /// others that have come since.
    #[must_use]
    pub fn id(&self) -> String {
        let (log, [a, b, c, d, e, f, g, h, ..]) = (Hex(&self.log.prefix()).to_string(), self.head);
        let head = Hex(&[a, b, c, d, e, f, g, h]).to_string();
        format!("{log}:{}-{}:{head}", self.range.start, self.range.end)
    }
}

/// What lacks something is held back by nobody.
const fn is_held(reason: Reason) -> bool {
    !matches!(reason, Reason::Waiting | Reason::Missing)
}

impl Journal {
    /// Lets entries count that rights or cuts hold back. The hub alone can.
    ///
    /// # Errors
    /// [`Code::Superseded`] for what its device has written again; [`Code::RecordWaiting`] while not all of them have been
    /// looked at;
    /// [`Code::NotAdopted`] for a branch that lost, and for what the gate refuses, which no order can change; those of
    /// [`Journal::order`].
    pub fn adopt(&mut self, connection: &Connection, held: &HeldBack, now_ms: u64) -> Result<()> {
        let refused = |why: &str| Err(Error::new(Code::NotAdopted, why));
        if held.superseded {
            let message = "its device has written this again: adopted, it would count twice";
            return Err(Error::new(Code::Superseded, message));
        }
        if held.branch || held.reason == Reason::Forked {
            return refused(
                "another branch of this log counts: what was lost has to be recorded again",
            );
        }
        if held.reason == Reason::Guard {
            return refused("these changes break the rules of records, which no order can change");
        }
        let (log, from, len) = (held.log, held.range.start, held.range.end);
        if self
            .logs
            .get(&log)
            .is_none_or(|known| known.indexed_len < len)
        {
            let message = "not all of these entries have been looked at yet";
            return Err(Error::new(Code::RecordWaiting, message));
        }
        let head = held.head;
        let to = Position { len, head };
        self.order(connection, &[Order::Adopt { log, from, to }], now_ms)
    }
}

impl Overview {
    /// Whether a person at this device can let it count.
    #[must_use]
    pub fn may_adopt(&self, held: &HeldBack) -> bool {
        let closed = matches!(held.reason, Reason::Forked | Reason::Guard);
        self.gives_orders() && !held.superseded && !held.branch && !closed
    }
}

impl Books {
    /// All that is held back, log by log. Orders that are no orders any more are not among it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn held_back(&mut self, connection: &Connection) -> Result<Vec<HeldBack>> {
        let authority = Space::Authority.id(&self.identity.network);
        let logs = self
            .logs
            .iter()
            .filter(|(_, log)| log.author.space != authority);
        let mut logs: Vec<_> = logs.map(|(id, log)| (log.key, *id, log.author)).collect();
        logs.sort_by_key(|(key, ..)| *key);
        let mut all = Vec::new();
        for (key, log, author) in logs {
            let held = |range, head, reason, records| HeldBack {
                log,
                author,
                range,
                head,
                reason,
                records,
                branch: false,
                superseded: false,
            };
            for exception in withheld(connection, key)? {
                let (range, reason) = (exception.range, exception.reason);
                if !is_held(reason) {
                    continue;
                }
                let records = records_in(connection, key, &range)?;
                let head = self.head_at(connection, &log, range.end)?;
                let superseded = is_rewritten(connection, key, &range)?;
                all.push(HeldBack {
                    superseded,
                    ..held(range, head, reason, records)
                });
            }
            for branch in self.branches(connection, &log)? {
                let entries = branch.entries;
                let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
                    continue;
                };
                let range = first.header.seq..last.header.seq.saturating_add(1);
                let head = last.header.id().0;
                let changes = entries
                    .iter()
                    .filter(|it| it.header.kind == EntryKind::Change);
                let records: BTreeSet<_> = changes.clone().map(|it| it.header.record).collect();
                let mut superseded = !records.is_empty();
                for change in changes {
                    superseded &= is_again(connection, &change.header.digest, &author.device)?;
                }
                all.push(HeldBack {
                    branch: true,
                    superseded,
                    ..held(range, head, Reason::Forked, records)
                });
            }
        }
        Ok(all)
    }

    /// What people call by this name.
    ///
    /// # Errors
    /// [`Code::NotHeld`] when nothing is held back under it.
    pub fn held_back_as(&mut self, connection: &Connection, id: &str) -> Result<HeldBack> {
        let all = self.held_back(connection)?;
        let found = all.into_iter().find(|held| held.id() == id.trim());
        found.ok_or_else(|| Error::new(Code::NotHeld, "nothing is held back under this name"))
    }
}

/// Whether the device of a range's entries has written again all of them that speak of records.
fn is_rewritten(connection: &Connection, log: i64, range: &Range<u64>) -> Result<bool> {
    let keys = [entry_key(log, range.start)?, entry_key(log, range.end)?];
    let mut statement = connection.prepare_cached(
        "SELECT count(*), count(rewritten.entry) FROM touches
         LEFT JOIN rewritten ON rewritten.entry = touches.entry
         WHERE touches.entry >= ?1 AND touches.entry < ?2",
    )?;
    let (all, again): (u64, u64) =
        statement.query_row(keys, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(all > 0 && all == again)
}

/// Whether the device that wrote a change has written it again in a record that stands.
fn is_again(connection: &Connection, change: &[u8; 32], device: &DeviceKey) -> Result<bool> {
    let old: Option<&[u8; 16]> = change.first_chunk();
    let mut statement = connection
        .prepare_cached("SELECT 1 FROM rewrites WHERE old = ?1 AND device = ?2 AND stands")?;
    Ok(statement.exists(params![old, device.0])?)
}

fn records_in(connection: &Connection, log: i64, range: &Range<u64>) -> Result<BTreeSet<RecordId>> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT records.record FROM touches JOIN records ON records.id = touches.record
         WHERE touches.entry >= ?1 AND touches.entry < ?2",
    )?;
    let keys = [entry_key(log, range.start)?, entry_key(log, range.end)?];
    let records = statement.query_map(keys, |row| Ok(RecordId(row.get(0)?)))?;
    Ok(records.collect::<Result<_, _>>()?)
}
