//! Damage stays where it is: a log in which something cannot be read is cut back to what is whole, and the rest is
//! fetched back from peers like anything else that is missing.
//!
//! Whoever reads a segment that is not what was stored there makes its log a suspect ([`Segments`](super::segments)). Suspects
//! are walked through from their beginning, signatures and parts included, when the journal is read anew. What cannot
//! be read, and what stands behind it, is kept as it lies, in tables of its own, and is out of the log: vectors, digests and
//! the hub's receipts say what is really held. A part is taken out alone, and is *missing* from then on. When the
//! entries come back, what is whole behind them takes its place again without a line.
//!
//! An own log that was cut ends: others may hold what was lost. That is how a store fell behind, and the way back is the
//! same: the entries return, and writing goes on in a new log. A hub whose authority log was cut gives no orders until its
//! recovery card is shown.
//!
//! Where the database itself cannot read a page, nothing is moved, since rows in such pages cannot be taken away either: the log
//! is left as if it were not there, until the store is filled anew (`lianxin store refill`).
//!
//! Rejected: to stop at the first thing that cannot be read. One bit in one log of one device then keeps everybody else's
//! records from being saved, merged and shown. And to delete what is damaged: it may be all that is left of it.

use lianxin_protocol::admit::{Place, place};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::log::{EntryKind, GenesisReason, LogId, Position};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::offered::Seal;
use super::segments::{entry_key, part};
use super::touches::Waiting;
use super::{Books, Journal, Log, Overview, mark_stale, take_out};
use crate::error::{Code, Result};
use crate::search;
use crate::store::{self, packed};

/// What a walk through a log found.
#[derive(Debug)]
struct Found {
    /// What of it is whole.
    whole: Position,
    /// First entry of its last whole segment.
    last_first: u64,
    /// What its last whole entry cites of the authority log.
    authority_len: u32,
    /// Parts whose payloads are not what was stored.
    parts: Vec<u64>,
}

/// How much is damaged in a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Entries that were taken out of their logs and have not come back.
    pub entries: u64,
    /// Logs that the database cannot read.
    pub unreadable: u64,
    /// Records that could not be read when they were to be merged.
    pub records: u64,
}

impl Journal {
    /// Walks through the suspects and cuts those in which something is damaged, each in a transaction of its own. Says
    /// whether it did; the logs must then be read again.
    pub(super) fn mend(&mut self, connection: &mut Connection) -> Result<bool> {
        let suspects = std::mem::take(&mut self.segments.suspects);
        self.forget_read();
        if store::is_stuck(connection) {
            store::revive(connection)?;
        }
        let mut mended = false;
        for id in suspects {
            let Some(log) = self.logs.get(&id).cloned() else {
                continue;
            };
            let done = match self.walk(connection, &id, &log) {
                Ok(found) if found.whole == log.end && found.parts.is_empty() => continue,
                Ok(found) => self.cut(connection, &id, &log, &found),
                Err(error) => Err(error),
            };
            mended = true;
            match done {
                Ok(()) => tracing::error!(
                    log = %lianxin_protocol::hash::Hex(&id.prefix()),
                    "a log is damaged: what is missing is fetched back"
                ),
                Err(error) if error.is_of_a_page() => {
                    tracing::error!(
                        log = %lianxin_protocol::hash::Hex(&id.prefix()),
                        error = %error.chain(),
                        "the database cannot read a log"
                    );
                    store::revive(connection)?;
                    connection.execute(
                        "INSERT INTO damaged_logs (log, len, unreadable) VALUES (?1, ?2, 1)
                         ON CONFLICT (log) DO UPDATE SET unreadable = 1",
                        params![id.0, log.end.len],
                    )?;
                }
                Err(error) => return Err(error),
            }
            self.segments.suspects.remove(&id);
        }
        Ok(mended)
    }

    /// Finds how far a log is whole.
    fn walk(&mut self, connection: &Connection, id: &LogId, log: &Log) -> Result<Found> {
        let mut found = Found {
            whole: Position::start(id),
            last_first: 0,
            authority_len: 0,
            parts: Vec::new(),
        };
        while found.whole.len < log.end.len {
            let first = found.whole.len;
            let segment = match self.segments.containing(connection, log.place(id), first) {
                Ok(segment) => segment,
                Err(error) if error.code() == Code::StoreCorrupt && !error.is_of_a_page() => break,
                Err(error) => return Err(error),
            };
            let mut parts = Vec::new();
            let mut spoilt = Vec::new();
            for seq in segment.parts() {
                let payload = part(connection, entry_key(log.key, seq)?)?;
                let header = segment.get(seq).map(|entry| &entry.header);
                let fits = |payload: &[u8]| header.is_some_and(|it| it.fits(payload));
                if payload.as_deref().is_some_and(|it| !fits(it)) {
                    spoilt.push(seq);
                    parts.push(None);
                } else {
                    parts.push(payload);
                }
            }
            let Ok(run) = super::outgoing::cut_run(id, &segment, parts, segment.start.len) else {
                break;
            };
            let author = (first > 0).then_some(log.author);
            let Ok(run) = run.verify(author, found.authority_len) else {
                break;
            };
            if segment.start != found.whole || run.author() != log.author {
                break;
            }
            found.parts.extend(spoilt);
            found.whole = run.end();
            found.last_first = first;
            found.authority_len = run.authority_len();
        }
        Ok(found)
    }

    /// Takes what is damaged out of a log, durably.
    fn cut(&mut self, connection: &Connection, id: &LogId, log: &Log, found: &Found) -> Result<()> {
        if found.whole.len < log.end.len && self.is_own(&log.author) {
            // Others may hold what was lost: nothing is written behind it.
            // rule:new-log-restored
            self.offered.seal(Seal::Sealed, [(*id, found.whole)])?;
            self.closed.insert(*id, GenesisReason::Restore);
            let offered = self.offered.mark(id).map_or(0, |mark| mark.at.len);
            if offered > found.whole.len {
                self.lacking.insert(*id, offered);
            }
            if log.author.device == self.identity.key() {
                self.found_anew(connection)?;
            }
        }
        let transaction = connection.unchecked_transaction()?;
        for seq in &found.parts {
            put_aside(connection, id, log, (*seq, seq.saturating_add(1)), true)?;
            let key = entry_key(log.key, *seq)?;
            search::forget(connection, (key, key.saturating_add(1)))?;
            connection.execute("DELETE FROM parts WHERE entry = ?1", [key])?;
            connection.execute("INSERT OR IGNORE INTO missing (entry) VALUES (?1)", [key])?;
            mark_stale(connection, log.key, &(*seq..seq.saturating_add(1)))?;
        }
        let (from, end) = (found.whole.len, log.end.len);
        if from < end {
            connection.execute(
                "INSERT INTO damaged_logs (log, len) VALUES (?1, ?2)
                 ON CONFLICT (log) DO UPDATE SET len = max(len, excluded.len)",
                params![id.0, end],
            )?;
            put_aside(connection, id, log, (from, end), false)?;
            put_aside(connection, id, log, (from, end), true)?;
            take_out(connection, log.key, from, end)?;
            self.shorten(connection, log, found)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Writes the row of a log that was cut. A fork beyond what is left is proven again by who holds it.
    fn shorten(&self, connection: &Connection, log: &Log, found: &Found) -> Result<()> {
        let Position { len, head } = found.whole;
        let frozen = log.forked.filter(|frozen| frozen.at <= len);
        if frozen.is_none() {
            connection.execute("DELETE FROM forks WHERE log = ?1", [log.key])?;
        }
        let tip = frozen.map(|frozen| {
            if frozen.tip.len <= len {
                frozen.tip
            } else {
                found.whole
            }
        });
        connection.execute(
            "UPDATE logs SET len = ?2, head = ?3, authority_len = ?4, last_first = ?5,
                             indexed_len = min(indexed_len, ?2), judged_len = min(judged_len, ?2),
                             forked_at = ?6, tip_len = ?7, tip_head = ?8
             WHERE id = ?1",
            params![
                log.key,
                len,
                head,
                found.authority_len,
                found.last_first,
                frozen.map(|frozen| frozen.at),
                tip.map(|tip| tip.len),
                tip.map(|tip| tip.head),
            ],
        )?;
        Ok(())
    }

    /// Reads what is known to be damaged.
    pub(super) fn read_damage(&mut self, connection: &Connection) -> Result<()> {
        self.damaged.clear();
        self.damaged_parts.clear();
        let mut statement =
            connection.prepare_cached("SELECT log, len, unreadable FROM damaged_logs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let log = LogId(row.get(0)?);
            if row.get(2)? {
                self.unreadable.insert(log);
            } else {
                self.damaged.insert(log, row.get(1)?);
            }
        }
        let mut statement = connection.prepare_cached(
            "SELECT damaged_rows.log, damaged_rows.seq FROM damaged_rows
             JOIN logs ON logs.log = damaged_rows.log
             JOIN missing ON missing.entry = (logs.id << 40) + damaged_rows.seq
             WHERE damaged_rows.part",
        )?;
        let rows = statement.query_map([], |row| Ok((LogId(row.get(0)?), row.get(1)?)))?;
        self.damaged_parts = rows.collect::<Result<_, _>>()?;
        self.unread = connection.query_row("SELECT count(*) FROM unread", [], |row| row.get(0))?;
        let parts = self.damaged_parts.iter().map(|(log, _)| *log);
        self.untold = self.damaged.keys().copied().chain(parts).collect();
        Ok(())
    }

    /// Whether there is damage that peers have not been told of.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// Says with the transaction under way what is damaged: peers are asked for it, and receipts say what is held.
    pub(super) fn tell_damage(&mut self) {
        for id in &self.untold {
            if let Some(log) = self.books.logs.get(id) {
                let mut parts = self.books.damaged_parts.range((*id, 0)..=(*id, u64::MAX));
                let first = parts.next().map_or(log.end.len, |(_, seq)| *seq);
                self.touched.insert(*id);
                self.unreceipted.insert(*id);
                self.moved.wanted.push((*id, first.min(log.end.len)));
                self.moved.records = true;
                self.moved.stale = true;
            }
        }
    }

    /// A part that was damaged has come back.
    pub(super) fn part_is_back(
        &mut self,
        connection: &Connection,
        id: &LogId,
        seq: u64,
    ) -> Result<()> {
        if self.damaged_parts.remove(&(*id, seq)).is_some() {
            connection.execute(
                "DELETE FROM damaged_rows WHERE log = ?1 AND seq = ?2 AND part",
                params![id.0, seq],
            )?;
        }
        Ok(())
    }

    /// Puts back what lies whole behind entries that have come back, and forgets the damage once the log is as long as it was.
    pub(super) fn put_back(&mut self, connection: &Connection, id: &LogId) -> Result<()> {
        let Some(had) = self.damaged.get(id).copied() else {
            return Ok(());
        };
        while self.put_back_one(connection, id)? {}
        if self.len_of(id) < had {
            return Ok(());
        }
        connection.execute(
            "DELETE FROM damaged_rows WHERE log = ?1 AND NOT part",
            [id.0],
        )?;
        connection.execute(
            "DELETE FROM damaged_rows WHERE log = ?1 AND part AND NOT EXISTS
             (SELECT 1 FROM missing JOIN logs ON logs.id = missing.entry >> 40
              WHERE logs.log = ?1 AND missing.entry & 1099511627775 = damaged_rows.seq)",
            [id.0],
        )?;
        connection.execute("DELETE FROM damaged_logs WHERE log = ?1", [id.0])?;
        self.damaged.remove(id);
        self.moved.records = true;
        Ok(())
    }

    fn put_back_one(&mut self, connection: &Connection, id: &LogId) -> Result<bool> {
        let Some(log) = self
            .logs
            .get(id)
            .cloned()
            .filter(|log| log.forked.is_none())
        else {
            return Ok(false);
        };
        let mut statement = connection.prepare_cached(
            "SELECT seq, start, bytes FROM damaged_rows
             WHERE log = ?1 AND NOT part AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
        )?;
        let row = statement.query_row(params![id.0, log.end.len], |row| {
            let start = Position {
                len: row.get(0)?,
                head: row.get(1)?,
            };
            Ok((start, row.get::<_, Vec<u8>>(2)?))
        });
        let Some((start, main)) = row.optional()? else {
            return Ok(false);
        };
        let Ok(headers) = batch::unpack(id, start, &main, Parts::LeftOut) else {
            return Ok(false);
        };
        let mut parts = Vec::new();
        for entry in &headers.entries {
            if entry.header.kind == EntryKind::Part {
                let payload = part_aside(connection, id, entry.header.seq)?;
                parts.push(payload.filter(|payload| entry.header.fits(payload)));
            }
        }
        let Ok(run) = batch::unpack(id, start, &main, Parts::Rows(parts)) else {
            return Ok(false);
        };
        let packed = batch::pack(&run);
        let author = (start.len > 0).then_some(log.author);
        let Ok(run) = run.verify(author, 0) else {
            return Ok(false);
        };
        let skip = match place(&run, log.end, |seq| self.id_at(connection, id, seq))? {
            Place::Append { skip } if run.end().len > log.end.len => skip,
            _ => return Ok(false),
        };
        if run.author() != log.author {
            return Ok(false);
        }
        self.store(connection, &run, &packed, skip)?;
        Ok(true)
    }

    // ---- records that cannot be read ----

    /// Sets a record aside that could not be read, so that the others are merged. It is tried again at the next start, and
    /// when something of it comes.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn set_unread(&mut self, connection: &Connection, record: i64) -> Result<()> {
        let added = connection
            .prepare_cached("INSERT OR IGNORE INTO unread (record) VALUES (?1)")?
            .execute([record])?;
        connection
            .prepare_cached("DELETE FROM stale WHERE record = ?1")?
            .execute([record])?;
        self.waiting = Waiting::default();
        self.unread = self.unread.saturating_add(added as u64);
        self.moved.records = true;
        Ok(())
    }

    /// A record was merged: if it had been set aside, it is not any more.
    pub(crate) fn was_read(&mut self, connection: &Connection, record: i64) -> Result<()> {
        if self.unread > 0 {
            let gone = connection
                .prepare_cached("DELETE FROM unread WHERE record = ?1")?
                .execute([record])?;
            self.unread = self.unread.saturating_sub(gone as u64);
        }
        Ok(())
    }

    /// Has the records that were set aside tried again.
    pub(super) fn read_again(connection: &Connection) -> Result<()> {
        connection.execute_batch(
            "INSERT OR IGNORE INTO stale (record) SELECT record FROM unread; DELETE FROM unread;",
        )?;
        Ok(())
    }

    /// How far a log can be called judged: up to the first entry of a record that cannot be read.
    pub(super) fn judged_to(&self, connection: &Connection, log: &Log) -> Result<u64> {
        if self.unread == 0 {
            return Ok(log.indexed_len);
        }
        let mut statement = connection.prepare_cached(
            "SELECT min(touches.entry) FROM unread CROSS JOIN touches ON touches.record = unread.record
             WHERE touches.entry >= ?1 AND touches.entry < ?2",
        )?;
        let range = (entry_key(log.key, 0)?, entry_key(log.key, (1 << 40) - 1)?);
        let first: Option<i64> = statement.query_row(range, |row| row.get(0))?;
        let first = first.map(|key| super::segments::split_key(key).1);
        Ok(first.map_or(log.indexed_len, |first| first.min(log.indexed_len)))
    }
}

impl Books {
    /// Makes logs suspects: something that was read of them was not what was stored.
    pub fn suspect(&mut self, logs: impl IntoIterator<Item = LogId>) {
        self.segments.suspects.extend(logs);
    }

    /// The suspects that there are.
    pub(crate) fn suspects(&self) -> impl Iterator<Item = LogId> {
        self.segments.suspects.iter().copied()
    }

    /// Whether some log has to be walked through, which [`Journal::reload`] does.
    #[must_use]
    pub fn is_suspicious(&self) -> bool {
        !self.segments.suspects.is_empty()
    }
}

impl Overview {
    /// What is damaged at present.
    #[must_use]
    pub fn damage(&self) -> Damage {
        let lacking = self.damaged.iter().map(|(log, len)| {
            let held = self.logs.get(log).map_or(0, |known| known.end.len);
            len.saturating_sub(held)
        });
        Damage {
            entries: lacking
                .sum::<u64>()
                .saturating_add(self.damaged_parts.len() as u64),
            unreadable: self.unreadable.len() as u64,
            records: self.unread,
        }
    }

    /// How long a log was before it was cut, if it is not whole again.
    pub(super) fn damaged_len(&self, log: &LogId) -> Option<u64> {
        self.damaged.get(log).copied()
    }

    /// How many entries of its own this store has shown and lacks, other than by damage.
    pub(crate) fn fell_behind_by(&self) -> u64 {
        let lacking = self.lacking.iter();
        let lacking = lacking
            .filter(|(log, _)| !self.damaged.contains_key(*log) && !self.is_unreadable(log))
            .map(|(log, len)| len.saturating_sub(self.len_of(log)));
        lacking.sum()
    }

    /// Whether the database cannot read a log.
    pub(super) fn is_unreadable(&self, log: &LogId) -> bool {
        self.unreadable.contains(log)
    }
}

/// Keeps segments, or parts, of a stretch of a log as they lie.
fn put_aside(
    connection: &Connection,
    id: &LogId,
    log: &Log,
    (from, end): (u64, u64),
    parts: bool,
) -> Result<()> {
    let sql = if parts {
        "INSERT OR REPLACE INTO damaged_rows (log, seq, part, start, bytes)
         SELECT ?1, entry & 1099511627775, 1, x'', payload FROM parts WHERE entry >= ?2 AND entry < ?3"
    } else {
        "INSERT OR REPLACE INTO damaged_rows (log, seq, part, start, bytes)
         SELECT ?1, entry & 1099511627775, 0, start, main FROM segments WHERE entry >= ?2 AND entry < ?3"
    };
    let keys = (entry_key(log.key, from)?, entry_key(log.key, end)?);
    connection.execute(sql, params![id.0, keys.0, keys.1])?;
    Ok(())
}

fn part_aside(connection: &Connection, id: &LogId, seq: u64) -> Result<Option<Vec<u8>>> {
    let mut statement = connection
        .prepare_cached("SELECT bytes FROM damaged_rows WHERE log = ?1 AND seq = ?2 AND part")?;
    let row = statement.query_row(params![id.0, seq], |row| row.get(0));
    Ok(row.optional()?.map(packed::payload))
}
