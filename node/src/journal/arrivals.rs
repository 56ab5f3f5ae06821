//! When entries arrived at the hub: written there in the transaction that stores them, read everywhere alike.
//!
//! The rows are a projection of the entries of kind `arrival`, made when those are indexed. Whether one counts is asked
//! when it is looked up: who may write arrivals is a matter of the authority log, and an arrival may come before the
//! entries that it covers.
//!
//! Lists are in the order in which records arrived, so that an arrival moves the rows of all that came with it, in every index. What
//! one transaction does not move waits in memory, where nothing else has to wait for it; what a process leaves that ends is found
//! by the next among the rows that stand as if they had not arrived.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lianxin_protocol::arrival::{self, Arrival};
use lianxin_protocol::authority::Role;
use lianxin_protocol::limits;
use lianxin_protocol::log::{Author, Entry, EntryKind, LogId, NewEntry, Position, RecordId};
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::segments::{entry_key, split_key};
use super::{Books, Journal, Overview, ROWS_AT_ONCE, exceptions};
use crate::error::Result;
use crate::records::{self, indexed};

/// Entries whose records lists are to show where they arrived. One that waits to be merged gets its place then.
#[derive(Debug)]
struct Span {
    next: i64,
    end: i64,
    at_ms: i64,
}

impl Span {
    /// Puts records there, those of so many entries. Gives of how many.
    fn place(&mut self, connection: &Connection, most: usize) -> Result<usize> {
        let mut statement = connection.prepare_cached(
            "SELECT entry, id FROM touches CROSS JOIN records ON records.id = touches.record
             WHERE entry >= ?1 AND entry < ?2 AND kind IS NOT NULL AND arrived > ?3 ORDER BY entry LIMIT ?4",
        )?;
        let bounds = params![self.next, self.end, self.at_ms, most as i64];
        let came = statement.query_map(bounds, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let came = came.collect::<Result<Vec<(i64, i64)>, _>>()?;
        let records: BTreeSet<_> = came.iter().map(|(_, record)| *record).collect();
        for record in records {
            indexed::arrive(connection, record, self.at_ms)?;
        }
        if came.len() < most {
            self.next = self.end;
        } else if let Some((entry, _)) = came.last() {
            self.next = entry + 1;
        }
        Ok(came.len())
    }
}

/// Records that lists do not show yet where they arrived.
#[derive(Debug, Default)]
pub(super) struct Unplaced {
    /// The last record that was looked at of those that an earlier process may have left, until all were.
    left: Option<RecordId>,
    spans: VecDeque<Span>,
}

impl Unplaced {
    /// Spans that are kept, about 2 MiB of them.
    const MOST: usize = 1 << 16;

    fn push(&mut self, span: Span) {
        if self.spans.len() < Self::MOST {
            self.spans.push_back(span);
        } else {
            *self = Self::unknown();
        }
    }

    /// What is not known: all that stand as if they had not arrived are looked at.
    pub(super) const fn unknown() -> Self {
        Self {
            left: Some(RecordId([0; 16])),
            spans: VecDeque::new(),
        }
    }
}

impl Journal {
    /// Puts more records where they arrived, as many as one transaction should. Says whether some may be left.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn place_more(&mut self, connection: &Connection) -> Result<bool> {
        if let Some(after) = self.unplaced.left {
            self.unplaced.left = self.place_left(connection, after)?;
        } else if let Some(span) = self.unplaced.spans.front_mut() {
            span.place(connection, ROWS_AT_ONCE)?;
            if span.next >= span.end {
                self.unplaced.spans.pop_front();
            }
            self.records_changed();
        }
        Ok(self.unplaced.left.is_some() || !self.unplaced.spans.is_empty())
    }

    /// Puts records where they arrived that stand as if they had not, behind one in the order of their ids. Gives the last that it
    /// looked at, unless that was all.
    fn place_left(&mut self, connection: &Connection, after: RecordId) -> Result<Option<RecordId>> {
        let mut statement = connection.prepare_cached(
            "SELECT id, record FROM records
             WHERE kind IS NOT NULL AND arrived = ?1 AND record > ?2 ORDER BY record LIMIT ?3",
        )?;
        let bounds = params![i64::MAX, after.0, ROWS_AT_ONCE as i64];
        let rows = statement.query_map(bounds, |row| Ok((row.get(0)?, RecordId(row.get(1)?))))?;
        let rows = rows.collect::<Result<Vec<(i64, RecordId)>, _>>()?;
        for (key, id) in &rows {
            let mut arrived = i64::MAX;
            for entry in records::touches(connection, *key)? {
                let (log, seq) = split_key(entry);
                if let Some((log, _)) = self.log_id(log)
                    && id.is_founded_at(&log, seq)
                {
                    arrived = self.came_at(connection, &log, seq)?;
                }
            }
            if arrived < i64::MAX {
                indexed::arrive(connection, *key, arrived)?;
                self.records_changed();
            }
        }
        let all = rows.len() < ROWS_AT_ONCE;
        Ok(rows.last().map(|(_, id)| *id).filter(|_| !all))
    }

    /// Notes that entries of a log were stored that came from elsewhere: the hub will say when.
    pub(super) fn note_arrived(&mut self, id: &LogId) {
        let Some(log) = self.logs.get(id) else { return };
        let space = self.authority.space(&log.author.space);
        let is_hub = self.identity.authority.is_some();
        // rule:arrival-not-hubs
        let has_records = matches!(space, Some(Space::Site(_) | Space::Hub | Space::Bulletin));
        if is_hub && has_records && !self.is_hubs(&log.author.device) {
            self.arrived.insert(*id);
        }
    }

    /// At the hub, appends the arrivals of this transaction, one entry for each space that something was stored in.
    pub(super) fn write_arrivals(&mut self, connection: &Connection, now_ms: u64) -> Result<()> {
        let mut spaces: BTreeMap<SpaceId, Vec<Arrival>> = BTreeMap::new();
        // The clock may have been set back; what arrived later is not said to have been here earlier.
        // rule:arrival-time
        self.arrival_ms = self.arrival_ms.max(now_ms);
        for id in std::mem::take(&mut self.arrived) {
            if let Some(log) = self.logs.get(&id) {
                spaces.entry(log.author.space).or_default().push(Arrival {
                    log: id,
                    position: log.tip().position(),
                    received_at_ms: self.arrival_ms,
                });
            }
        }
        for (space, arrivals) in spaces {
            // rule:arrival-written rule:limits-written
            for list in arrivals.chunks(limits::ARRIVALS_MAX) {
                let entry = NewEntry::plain(EntryKind::Arrival, arrival::encode(list));
                self.append(connection, space, vec![entry], now_ms)?;
            }
        }
        Ok(())
    }

    /// Reads on which time the next arrival must not fall behind.
    pub(super) fn read_last_arrival(&mut self, connection: &Connection) -> Result<()> {
        // Its own alone: whatever others sign must not move this clock.
        let mut statement =
            connection.prepare_cached("SELECT max(at_ms) FROM arrivals WHERE hub = ?1")?;
        let device = self.identity.key();
        for (_, log) in self.books.logs_by(&device) {
            let last: Option<u64> = statement.query_row([log.key], |row| row.get(0))?;
            self.arrival_ms = self.arrival_ms.max(last.unwrap_or_default());
        }
        Ok(())
    }

    /// Makes the rows of an entry of kind `arrival`, whoever wrote it.
    pub(super) fn index_arrival(
        &mut self,
        connection: &Connection,
        hub: i64,
        entry: &Entry,
    ) -> Result<()> {
        let list = entry.payload.as_deref().map(arrival::decode);
        // What cannot be read says nothing; it is kept and passed on like every entry.
        let Some(Ok(list)) = list else { return Ok(()) };
        let mut insert = connection.prepare_cached(
            "INSERT OR REPLACE INTO arrivals (log, hub, len, place, head, at_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for arrival in list {
            insert.execute(params![
                arrival.log.0,
                hub,
                arrival.position.len,
                entry.header.seq,
                arrival.position.head,
                arrival.received_at_ms,
            ])?;
            if self.is_said_by_hub(hub) {
                self.order_by_arrival(connection, &arrival)?;
            }
        }
        Ok(())
    }

    /// Lists show records in the order in which they arrived: those that came with this arrival, as far as they are indexed, the
    /// first of them now.
    fn order_by_arrival(&mut self, connection: &Connection, arrival: &Arrival) -> Result<()> {
        let Some(log) = self.logs.get(&arrival.log) else {
            return Ok(());
        };
        let mut before = connection.prepare_cached(
            "SELECT len FROM arrivals WHERE log = ?1 AND len < ?2 ORDER BY len DESC LIMIT 1",
        )?;
        let before = before.query_row(params![arrival.log.0, arrival.position.len], |row| {
            row.get(0)
        });
        let from: u64 = before.optional()?.unwrap_or_default();
        let to = arrival.position.len.min(log.end.len);
        let mut span = Span {
            next: entry_key(log.key, from.min(to))?,
            end: entry_key(log.key, to)?,
            at_ms: i64::try_from(arrival.received_at_ms).unwrap_or(i64::MAX),
        };
        // Where one record came twice the first counts: they are gone through in that order.
        if self.unplaced.spans.is_empty() {
            self.rows_left -= span.place(connection, self.rows_left)?;
        }
        if span.next < span.end {
            self.unplaced.push(span);
            self.moved.untidy = true;
        }
        Ok(())
    }
}

impl Books {
    /// When an entry arrived at the hub, in Unix milliseconds by the hub's clock: the first arrival that covers it. What a
    /// device with the role hub wrote arrived when it was written.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn arrived_at(&mut self, connection: &Connection, entry: i64) -> Result<Option<u64>> {
        let (key, seq) = split_key(entry);
        let Some((id, log)) = self.log_id(key) else {
            return Ok(None);
        };
        let author = log.author;
        if self.authority.role_at(&id, &author, seq) == Some(Role::Hub) {
            let entry = self.entry(connection, &id, seq)?;
            return Ok(Some(entry.header.hlc >> 16));
        }
        for (hub_id, hub_author, hub) in self.told_by(connection, &id, &author.space)? {
            let held = exceptions(connection, hub)?;
            let mut statement = connection.prepare_cached(
                "SELECT len, place, head, at_ms FROM arrivals
                 WHERE log = ?1 AND hub = ?2 AND len > ?3 ORDER BY place",
            )?;
            let mut rows = statement.query(params![id.0, hub, seq])?;
            while let Some(row) = rows.next()? {
                let (place, at_ms): (u64, u64) = (row.get(1)?, row.get(3)?);
                let position = Position {
                    len: row.get(0)?,
                    head: row.get(2)?,
                };
                let role = self.authority.role_at(&hub_id, &hub_author, place);
                let held = held.iter().any(|it| it.range.contains(&place));
                let counts = role == Some(Role::Hub) && !held;
                if counts && self.stands(connection, &id, position)? {
                    return Ok(Some(at_ms));
                }
            }
        }
        Ok(None)
    }

    /// The logs of its space that speak of the arrival of a log, in the order in which they were begun.
    fn told_by(
        &self,
        connection: &Connection,
        log: &LogId,
        space: &SpaceId,
    ) -> Result<Vec<(LogId, Author, i64)>> {
        let mut statement =
            connection.prepare_cached("SELECT DISTINCT hub FROM arrivals WHERE log = ?1")?;
        let hubs = statement.query_map([log.0], |row| row.get::<_, i64>(0))?;
        let mut found = BTreeMap::new();
        for key in hubs {
            if let Some((id, hub)) = self.log_id(key?)
                && hub.author.space == *space
            {
                found.insert((hub.first.0, id), (id, hub.author, hub.key));
            }
        }
        Ok(found.into_values().collect())
    }
}

impl Overview {
    /// When an entry arrived at the hub, as lists are ordered by; the end of time for what has not.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn came_at(&self, connection: &Connection, log: &LogId, seq: u64) -> Result<i64> {
        let mut statement = connection.prepare_cached(
            "SELECT hub, at_ms FROM arrivals WHERE log = ?1 AND len > ?2 ORDER BY len LIMIT 64",
        )?;
        let mut said = statement.query(params![log.0, seq])?;
        while let Some(row) = said.next()? {
            if self.is_said_by_hub(row.get(0)?) {
                return Ok(row.get(1)?);
            }
        }
        Ok(i64::MAX)
    }

    /// Whether the log of this number is one of a device that has the role hub.
    pub(crate) fn is_said_by_hub(&self, hub: i64) -> bool {
        let author = self.log_id(hub).map(|(_, log)| log.author.device);
        author.is_some_and(|device| self.authority.role(&device) == Some(Role::Hub))
    }
}
