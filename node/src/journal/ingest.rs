//! What comes from others: made durable first, indexed behind it.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::admit::{Place, place};
use lianxin_protocol::authority::Reason;
use lianxin_protocol::batch::{self, Packed};
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    Entry, EntryKind, ForkProof, GenesisReason, LogId, Position, Run, VerifiedRun,
};
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::payloads::{lacks_more_than_parts, note_missing};
use super::segments::{entry_key, split_key};
use super::touches::{Touches, Waiting};
use super::{Journal, insert_part, insert_run, insert_segment, note_returned, quota};
use crate::error::{Code, Error, Result};

/// Which logs are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of which no more is on its way: in the middle of a log its records would be merged more than once.
    Whole,
    /// All.
    All,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingested {
    /// It is in its log now.
    Stored,
    /// It was there before, or stands on a branch that is known to contradict what is stored.
    Known,
    /// Entries before it are missing; ask for the log from here.
    Gap {
        /// Length of the stored log.
        have: u64,
    },
    /// It contradicts what is stored: the log is frozen, and this proves it to anyone. The proof is
    /// absent when the logs part before this run; ask for it from `from`.
    Forked {
        /// The proof, once both branches are here.
        proof: Option<Box<ForkProof>>,
        /// Where the peer's branch is needed from, if it must be asked for.
        from: u64,
    },
    /// The space is not one that this device may hold.
    NotHeld,
    /// Payloads were left out that nobody may erase; another peer may have them.
    Incomplete,
    /// The hub has taken as much of its author as it takes in a day.
    OverQuota,
    /// The database cannot read what it has of the log, and takes nothing more of it.
    Unreadable,
}

impl Journal {
    /// Stores a verified run. `packed` is the run as it came, kept as it is when it is stored whole.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn ingest(
        &mut self,
        connection: &Connection,
        run: &VerifiedRun,
        packed: &Packed,
    ) -> Result<Ingested> {
        let id = run.run().log;
        let space = run.author().space;
        let holds = self
            .authority
            .readable(&self.identity.key())
            .contains(&space);
        let authority_space = Space::Authority.id(&self.identity.network);
        // rule:batch-space
        let refused = if space == authority_space {
            !self.is_certified(run)
        } else {
            !holds
        };
        if refused {
            return Ok(Ingested::NotHeld);
        }
        if self.is_unreadable(&id) {
            return Ok(Ingested::Unreadable);
        }
        if lacks_more_than_parts(run) {
            return Ok(Ingested::Incomplete);
        }
        let stored = self
            .logs
            .get(&id)
            .map_or(Position::start(&id), |log| log.end);
        let found = place(run, stored, |seq| self.id_at(connection, &id, seq))?;
        let over = match found {
            Place::Append { .. } | Place::Fork { .. } => !self.takes(run, Some(packed)),
            // Otherwise the rest of a log that was refused would be asked for without end.
            Place::Gap { .. } => !self.takes(run, None),
            Place::Duplicate => false,
        };
        if over {
            return Ok(Ingested::OverQuota);
        }
        let frozen = self.logs.get(&id).and_then(|log| log.forked);
        let skip = match (found, frozen) {
            (Place::Duplicate, frozen) => {
                let filled = self.fill(connection, run)?;
                let split = frozen.is_some() && self.split(connection, run)?;
                return Ok(if filled || split {
                    Ingested::Stored
                } else {
                    Ingested::Known
                });
            }
            (Place::Fork { seq }, frozen) if frozen.is_none_or(|frozen| seq < frozen.at) => {
                return self.fork(connection, run, packed, seq);
            }
            // A frozen log takes nothing more but what a pin names.
            (_, Some(_)) => return self.take_branch(connection, run, packed),
            (Place::Append { skip }, None) => skip,
            (Place::Gap { have }, None) => return Ok(Ingested::Gap { have }),
            (Place::Fork { seq }, None) => return self.fork(connection, run, packed, seq),
        };
        let floor = self.logs.get(&id).map_or(0, |log| log.authority_len);
        let first_new = run.run().entries.get(skip);
        if first_new.is_some_and(|entry| entry.header.authority_len < floor) {
            return Ok(Ingested::Gap { have: stored.len });
        }
        self.store(connection, run, packed, skip)?;
        let run_author = run.author().device;
        self.note_begun(run.run(), run_author);
        self.measure_clock_of(run_author, run.run());
        if self.is_own(&run.author()) {
            // Someone had more of this device's log than this store: it came back, and ends here.
            let now = self.logs.get(&id).map_or(0, |log| log.end.len);
            note_returned(connection, now.saturating_sub(stored.len))?;
            let expected = self.closed.contains_key(&id);
            // rule:new-log-behind
            self.close(id, GenesisReason::Restore)?;
            self.tails.remove(&id);
            self.open_tail(connection, &id)?;
            if !expected && run_author == self.identity.key() && self.identity.authority.is_none() {
                self.found_anew(connection)?;
            }
        }
        self.put_back(connection, &id)?;
        if space == authority_space {
            self.catch_up_authority(connection)?;
        }
        Ok(Ingested::Stored)
    }

    /// Whether this hub takes a run of its author's today, or anything at all. Nobody else counts, and nothing of
    /// its own is counted.
    fn takes(&mut self, run: &VerifiedRun, stored: Option<&Packed>) -> bool {
        let author = run.author();
        if self.identity.authority.is_none() || self.is_own(&author) {
            return true;
        }
        let member = self.authority.members().get(&author.device);
        let granted = member.map_or(0, |member| member.grant.bytes_per_day);
        let load = quota::Load {
            who: member.map(|_| author.device),
            space: author.space,
            begins: stored.is_some() && !self.logs.contains_key(&run.run().log),
            bytes: stored.map_or(0, |packed| stored_bytes(run, packed)),
            most: match granted {
                0 => limits::DEVICE_BYTES_A_DAY,
                granted => granted,
            },
        };
        let now_ms = self.wall.now_ms();
        self.quota.takes(load, now_ms)
    }

    pub(super) fn store(
        &mut self,
        connection: &Connection,
        run: &VerifiedRun,
        packed: &Packed,
        skip: usize,
    ) -> Result<()> {
        let id = run.run().log;
        if !self.logs.contains_key(&id) {
            let first = run.first().unwrap_or_default();
            let start = Position::start(&id);
            self.insert_log(connection, &id, &run.author(), start, first)?;
        }
        let Some(log) = self.logs.get(&id).cloned() else {
            return Ok(());
        };
        let new = run.run().entries.get(skip..).unwrap_or_default();
        for entry in new
            .iter()
            .filter(|entry| entry.header.kind == EntryKind::Part)
        {
            if let Some(payload) = &entry.payload {
                insert_part(connection, entry_key(log.key, entry.header.seq)?, payload)?;
            }
        }
        note_missing(connection, log.key, new)?;
        // A short run is joined to the short segment before it, so that live changes that came one by
        // one do not leave a row each.
        let before = usize::try_from(log.end.len - log.last_first).unwrap_or(usize::MAX);
        let short = log.end.len > 0 && before + new.len() <= limits::BATCH_ENTRIES;
        let joined = if short {
            let last = log.end.len - 1;
            let segment = self.segments.containing(connection, log.place(&id), last)?;
            let all = segment.entries.iter().chain(new);
            let bytes: u64 = all.map(|entry| u64::from(entry.header.payload_len)).sum();
            Some(segment).filter(|_| bytes <= limits::BATCH_TARGET_BYTES as u64)
        } else {
            None
        };
        let piece = |start, entries| Run {
            log: id,
            start,
            entries,
            checkpoint: run.run().checkpoint.clone(),
        };
        let first = if let Some(segment) = joined {
            let mut entries = segment.entries.clone();
            entries.extend_from_slice(new);
            insert_run(connection, log.key, &piece(segment.start, entries))?;
            segment.start.len
        } else if skip == 0 {
            let start = run.run().start;
            let key = entry_key(log.key, start.len)?;
            let main = batch::stored(run.run(), &packed.main);
            insert_segment(connection, key, packed.count, &start.head, &main)?;
            start.len
        } else {
            insert_run(connection, log.key, &piece(log.end, new.to_vec()))?;
            log.end.len
        };
        // An adoption names an entry: until that entry is here, it was believed.
        let marked = self.authority.adopted(&id).next().is_some();
        let range = if marked { 0 } else { log.end.len }..run.end().len;
        if let Some(log) = self.logs.get_mut(&id) {
            log.end = run.end();
            log.authority_len = run.authority_len();
            log.last_first = first;
        }
        self.touched.insert(id);
        self.unreceipted.insert(id);
        self.note_arrived(&id);
        self.hear(&id, new);
        self.noted.put(&id, run.end().len - new.len() as u64, new);
        self.judge_log(connection, &id, range)
    }

    // ---- reading entries ----

    // ---- indexing ----

    /// Lets touches know what was stored and not indexed yet, at most `most` entries, and marks the
    /// records stale. Says whether more is left.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn index(&mut self, connection: &Connection, which: Which, most: u64) -> Result<bool> {
        let mut left = most;
        let touched: Vec<_> = self.touched.iter().copied().collect();
        self.note_behind(touched);
        // Logs in the order in which they came, so that requests are found in that order as well.
        let logs = self.unindexed(which);
        for id in logs.into_values() {
            let Some(log) = self.logs.get(&id).cloned() else {
                continue;
            };
            let mut seq = log.indexed_len;
            let mut touches = Touches::default();
            while seq < log.end.len && left > 0 {
                let (kind, record) = match self.noted.take(&id, seq) {
                    Some(noted) if !has_rows(noted.0) => noted,
                    _ => {
                        let place = log.place(&id);
                        let segment = self.segments.containing(connection, place, seq)?;
                        let entry = segment.get(seq).ok_or_else(not_stored)?;
                        self.index_entry(connection, &log.author.space, log.key, entry)?;
                        (entry.header.kind, entry.header.record)
                    }
                };
                touches.note(kind, &record, &id, entry_key(log.key, seq)?);
                seq += 1;
                left -= 1;
            }
            let mut stale =
                connection.prepare_cached("INSERT OR IGNORE INTO stale (record) VALUES (?1)")?;
            for (record, key) in touches.write(connection, &log.author.space, &self.waiting)? {
                stale.execute([key])?;
                self.waiting.put(record, key);
            }
            if let Some(log) = self.logs.get_mut(&id) {
                log.indexed_len = seq;
            }
            self.touched.insert(id);
        }
        self.judged(connection)?;
        Ok(!self.unindexed(which).is_empty())
    }

    /// How many entries wait to be indexed, those of the transaction under way among them, if the ends of all their logs are here.
    pub(crate) fn left_to_index(&mut self) -> Option<u64> {
        let touched: Vec<_> = self.touched.iter().copied().collect();
        self.note_behind(touched);
        let mut left = 0_u64;
        for id in &self.behind {
            let Some(log) = self.logs.get(id) else {
                continue;
            };
            let unindexed = log.end.len.saturating_sub(log.indexed_len);
            if unindexed > 0 && self.is_awaited(id, log) {
                return None;
            }
            left = left.saturating_add(unindexed);
        }
        Some(left)
    }

    /// Logs that are not indexed to their ends, by their numbers.
    fn unindexed(&self, which: Which) -> BTreeMap<i64, LogId> {
        let logs = self.behind.iter().filter_map(|id| {
            let log = self.logs.get(id)?;
            let behind = log.indexed_len < log.end.len;
            let wanted = behind && (which == Which::All || !self.is_awaited(id, log));
            wanted.then_some((log.key, *id))
        });
        logs.collect()
    }

    /// Makes the rows of an entry that has some beside its record's.
    pub(super) fn index_entry(
        &mut self,
        connection: &Connection,
        space: &SpaceId,
        log: i64,
        entry: &Entry,
    ) -> Result<()> {
        match entry.header.kind {
            EntryKind::Request => self.note_request(connection, space, log, entry)?,
            EntryKind::Arrival => self.index_arrival(connection, log, entry)?,
            EntryKind::Erase => self.index_erasure(connection, log, entry)?,
            _ => return Ok(()),
        }
        self.moved.records = true;
        Ok(())
    }

    /// Moves the judged length of logs up to the first of their entries whose record is stale. A log of which none is left is
    /// receipted at once, and while merging goes on the others are from time to time: who waits for it sees that it does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn judged(&mut self, connection: &Connection) -> Result<()> {
        /// A few times before a session that waits gives up.
        const TOLD_EVERY_MS: u64 = 2_000;
        let behind = |id: &&LogId| {
            let log = self.logs.get(*id);
            log.is_some_and(|log| log.judged_len < log.indexed_len)
        };
        let unjudged: Vec<_> = self.behind.iter().filter(behind).copied().collect();
        let now = self.wall.now_ms();
        let told = *self.judging_told_ms.get_or_insert(now);
        let tells = now.abs_diff(told) >= TOLD_EVERY_MS;
        let mut waits = false;
        for id in unjudged {
            let Some(log) = self.logs.get(&id) else {
                continue;
            };
            let stale = first_stale(connection, log)?;
            waits |= stale.is_some();
            let judged_len = match stale {
                Some(first) => first.min(self.judged_to(connection, log)?),
                None => self.judged_to(connection, log)?,
            };
            if let Some(log) = self.logs.get_mut(&id)
                && log.judged_len < judged_len
            {
                log.judged_len = judged_len;
                if tells || stale.is_none() {
                    self.touched.insert(id);
                    self.unreceipted.insert(id);
                }
            }
        }
        if tells || !waits {
            self.judging_told_ms = waits.then_some(now);
        }
        Ok(())
    }

    /// Notes what the gate said of a record's entries, in the place of what it said before: those that do not count,
    /// each with its reason.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn hold(
        &mut self,
        connection: &Connection,
        record: i64,
        held: &BTreeMap<i64, Reason>,
    ) -> Result<()> {
        let mut statement =
            connection.prepare_cached("SELECT entry, reason FROM held WHERE record = ?1")?;
        let before = statement.query_map([record], |row| {
            Ok((
                row.get(0)?,
                Reason::of(row.get(1)?).unwrap_or(Reason::NewerVersion),
            ))
        })?;
        let before = before.collect::<Result<BTreeMap<i64, Reason>, _>>()?;
        if before == *held {
            return Ok(());
        }
        connection
            .prepare_cached("DELETE FROM held WHERE record = ?1")?
            .execute([record])?;
        let mut insert = connection
            .prepare_cached("INSERT INTO held (entry, record, reason) VALUES (?1, ?2, ?3)")?;
        for (entry, reason) in held {
            insert.execute(params![entry, record, reason.code()])?;
        }
        let differs = |(entry, reason): &(&i64, &Reason)| before.get(*entry) != Some(*reason);
        let changed = held.iter().filter(differs).map(|(entry, _)| *entry);
        let gone = before
            .keys()
            .filter(|entry| !held.contains_key(*entry))
            .copied();
        let logs: BTreeSet<i64> = changed.chain(gone).map(|key| split_key(key).0).collect();
        for log in logs {
            if let Some((id, _)) = self.log_id(log) {
                self.touched.insert(id);
                self.unreceipted.insert(id);
            }
        }
        Ok(())
    }

    // ---- projections ----

    /// How far each log was indexed.
    pub(crate) fn indexed(&self) -> BTreeMap<LogId, u64> {
        let logs = self.logs.iter();
        logs.map(|(id, log)| (*id, log.indexed_len)).collect()
    }

    /// Every projection was made anew, from logs as far as `indexed` and by so many orders; what has come since is
    /// indexed, judged and merged behind it.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub(crate) fn reprojected(
        &mut self,
        connection: &Connection,
        indexed: &BTreeMap<LogId, u64>,
        cited: u32,
    ) -> Result<()> {
        self.books.overview.for_each_log(|id, log| {
            let to = indexed.get(id).copied().unwrap_or_default();
            log.indexed_len = to.min(log.end.len);
            log.judged_len = log.judged_len.min(log.indexed_len);
        });
        self.touched.extend(self.books.overview.logs.keys());
        if cited != self.authority.cited().0 {
            let all = "INSERT OR IGNORE INTO stale (record) SELECT id FROM records";
            connection.execute(all, [])?;
        }
        self.waiting = Waiting::default();
        self.unread = connection.query_row("SELECT count(*) FROM unread", [], |row| row.get(0))?;
        self.judge_all(connection)?;
        self.index_aside(connection)?;
        self.count_twice(connection)?;
        self.forget_terms();
        self.moved.records = true;
        Ok(())
    }
}

/// Whether indexing reads what an entry of this kind says.
const fn has_rows(kind: EntryKind) -> bool {
    matches!(
        kind,
        EntryKind::Request | EntryKind::Arrival | EntryKind::Erase
    )
}

fn not_stored() -> Error {
    Error::new(Code::StoreCorrupt, "an entry that is counted is not stored")
}

/// The first entry of a log, behind those that are judged, of whose record something is still to be merged.
fn first_stale(connection: &Connection, log: &super::Log) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT entry FROM touches WHERE entry >= ?1 AND entry < ?2
             AND EXISTS (SELECT 1 FROM stale WHERE stale.record = touches.record)
         ORDER BY entry LIMIT 1",
    )?;
    let keys = (
        entry_key(log.key, log.judged_len)?,
        entry_key(log.key, log.indexed_len)?,
    );
    let first = statement.query_row(keys, |row| row.get(0)).optional()?;
    Ok(first.map(|key| split_key(key).1))
}

/// Bytes that a run takes here: its first section as it came, and its parts unpacked, however well blanks pack on the line.
fn stored_bytes(run: &VerifiedRun, packed: &Packed) -> u64 {
    let parts = run.run().entries.iter();
    let parts = parts.filter(|entry| entry.header.kind == EntryKind::Part);
    let parts: usize = parts
        .filter_map(|entry| entry.payload.as_deref())
        .map(<[u8]>::len)
        .sum();
    (packed.main.len() + parts) as u64
}
