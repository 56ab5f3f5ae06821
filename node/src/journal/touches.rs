//! Which entries belong to which records, noted for many entries at a time.
//!
//! Owns the rows of `touches`, and with them that a record has a row and a number in this store. How many entries are noted of
//! a record is half of its [`Basis`]: a merge made from fewer is not written back. Must not know what an entry says.
//!
//! Both ways are asked: the entries of a record when it is read, the records of a stretch of a log when rights, forks,
//! arrivals and receipts move. So the table is one tree by entry, to which a log only appends, and one by record.
//!
//! Rejected: to note entries one by one. A save is two or three entries of one record, whose row was written as often. To count
//! in the record's row what is noted of it: in a first sync each row was written as often as its record had been saved.

use std::collections::{BTreeMap, VecDeque};

use lianxin_protocol::log::{Entry, EntryKind, LogId, RecordId};
use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::segments::split_key;
use crate::error::Result;

/// What indexing needs of entries that were stored and are not indexed yet, so that it need not read them back: kind and
/// record of each. What is not here any more, or is too much, is read.
#[derive(Debug, Default)]
pub(super) struct Noted {
    logs: BTreeMap<LogId, (u64, VecDeque<(EntryKind, RecordId)>)>,
    count: usize,
}

impl Noted {
    /// Entries that are kept, about 6 MiB of them.
    const MOST: usize = 1 << 18;

    /// A log goes on with these entries from `first` on.
    pub(super) fn put(&mut self, log: &LogId, first: u64, entries: &[Entry]) {
        if self.count.saturating_add(entries.len()) > Self::MOST {
            return;
        }
        let (from, kept) = self.logs.entry(*log).or_default();
        if from.saturating_add(kept.len() as u64) != first {
            self.count -= kept.len();
            kept.clear();
            *from = first;
        }
        let new = entries.iter().map(|it| (it.header.kind, it.header.record));
        kept.extend(new);
        self.count += entries.len();
    }

    /// Takes the entry at a place, and forgets those before it.
    pub(super) fn take(&mut self, log: &LogId, seq: u64) -> Option<(EntryKind, RecordId)> {
        let (from, kept) = self.logs.get_mut(log)?;
        let skip = usize::try_from(seq.checked_sub(*from)?).unwrap_or(usize::MAX);
        let gone = kept.drain(..skip.min(kept.len())).count();
        let found = kept.pop_front();
        let gone = gone + usize::from(found.is_some());
        *from += gone as u64;
        self.count -= gone;
        if kept.is_empty() {
            self.logs.remove(log);
        }
        found
    }
}

/// What a record's row is made from: how often what counts of it has moved, and how many entries are noted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    version: i64,
    entries: i64,
}

/// The columns of `records` that [`Basis::read`] reads.
macro_rules! basis {
    () => {
        "version, (SELECT count(*) FROM touches WHERE touches.record = records.id)"
    };
}
pub(crate) use basis;

impl Basis {
    /// That of a record which has a row, with its number.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(connection: &Connection, record: &RecordId) -> Result<(i64, Self)> {
        let sql = concat!("SELECT id, ", basis!(), " FROM records WHERE record = ?1");
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.query_row([record.0], |row| Ok((row.get(0)?, Self::read(row, 1)?)))?)
    }

    /// Reads it from the first of its columns on.
    pub(crate) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            version: row.get(first)?,
            entries: row.get(first + 1)?,
        })
    }

    /// So many more entries were noted.
    pub(crate) fn grow(&mut self, entries: usize) {
        self.entries += i64::try_from(entries).unwrap_or_default();
    }
}

/// Records that wait to be merged, with their numbers, as far as memory has them: of another of their entries nothing but the
/// place has to be noted.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeMap<RecordId, i64>);

impl Waiting {
    /// Records that are kept, about 2 MiB of them.
    const MOST: usize = 1 << 16;

    /// A record waits from now on.
    pub(super) fn put(&mut self, record: RecordId, number: i64) {
        if self.0.len() < Self::MOST {
            self.0.insert(record, number);
        }
    }

    /// It does not any more.
    pub(super) fn merged(&mut self, record: &RecordId) {
        self.0.remove(record);
    }
}

/// Entries of one log that are to be noted.
#[derive(Debug, Default)]
pub(super) struct Touches {
    /// In the order in which they are first spoken of, which is that of their numbers.
    records: Vec<Touched>,
    places: BTreeMap<RecordId, usize>,
}

#[derive(Debug)]
struct Touched {
    record: RecordId,
    founded: bool,
    keys: Vec<i64>,
}

impl Touches {
    /// Notes an entry if it is one of a record's. A request names its record inside: it is an entry of the space `hub`, and
    /// a row for it there would be a record that nobody wrote.
    pub(super) fn note(&mut self, kind: EntryKind, record: &RecordId, log: &LogId, key: i64) {
        if *record == RecordId::NONE || kind == EntryKind::Request {
            return;
        }
        let founded = record.is_founded_at(log, split_key(key).1);
        let next = self.records.len();
        let place = *self.places.entry(*record).or_insert(next);
        if let Some(touched) = self.records.get_mut(place) {
            touched.founded |= founded;
            touched.keys.push(key);
        } else {
            self.records.push(Touched {
                record: *record,
                founded,
                keys: vec![key],
            });
        }
    }

    /// Writes what was noted, and gives the records that did not wait before, with their numbers. An entry that was noted before
    /// changes nothing.
    pub(super) fn write(
        self,
        connection: &Connection,
        space: &SpaceId,
        waiting: &Waiting,
    ) -> Result<Vec<(RecordId, i64)>> {
        let mut fresh = Vec::new();
        let mut rows = Vec::new();
        for it in self.records {
            let id = match waiting.0.get(&it.record) {
                Some(id) if !it.founded => *id,
                _ => {
                    let id = row_of(connection, &it.record, space, it.founded)?;
                    fresh.push((it.record, id));
                    id
                }
            };
            rows.extend(it.keys.into_iter().map(|key| (key, id)));
        }
        // A tree that is only appended to is the cheapest there is.
        rows.sort_unstable();
        let mut insert = connection
            .prepare_cached("INSERT OR IGNORE INTO touches (entry, record) VALUES (?1, ?2)")?;
        for (key, id) in rows {
            insert.execute([key, id])?;
        }
        Ok(fresh)
    }
}

/// The number in this store of a record of which entries of a space speak. Its row is made if there is none. `founded` says that
/// one of them stands where the record was founded.
pub(super) fn row_of(
    connection: &Connection,
    record: &RecordId,
    space: &SpaceId,
    founded: bool,
) -> Result<i64> {
    if !founded {
        let mut statement =
            connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
        let found = statement
            .query_row([record.0], |row| row.get(0))
            .optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    // Whoever named the id before its founder came may stand in another space.
    let mut statement = connection.prepare_cached(
        "INSERT INTO records (record, space, founded) VALUES (?1, ?2, ?3)
         ON CONFLICT (record) DO UPDATE SET space = excluded.space, founded = 1
         RETURNING id",
    )?;
    let row = params![record.0, space.0, founded];
    Ok(statement.query_row(row, |row| row.get(0))?)
}
