//! Which entries belong to which records, noted for many entries at a time.
//!
//! Owns the rows of `touches`, and with them that a record has a row and a number in this store. The version of a record
//! moves with every entry that is noted of it, so that a merge made from fewer is not written back. Must not know what an
//! entry says.
//!
//! Both ways are asked: the entries of a record when it is read, the records of a stretch of a log when rights, forks,
//! arrivals and receipts move. So the table is one tree by entry, to which a log only appends, and one by record.
//!
//! Rejected: to note entries one by one. A save is two or three entries of one record, whose row was written as often.

use std::collections::{BTreeMap, VecDeque};

use lianxin_protocol::log::{Entry, EntryKind, LogId, RecordId};
use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, params};

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

    /// Writes what was noted, and gives the numbers of the records. An entry that was noted before changes nothing.
    pub(super) fn write(self, connection: &Connection, space: &SpaceId) -> Result<Vec<i64>> {
        let mut ids = Vec::with_capacity(self.records.len());
        let mut rows = Vec::new();
        for it in self.records {
            let count = i64::try_from(it.keys.len()).unwrap_or(i64::MAX);
            let id = row_of(connection, &it.record, space, it.founded, count)?;
            rows.extend(it.keys.into_iter().map(|key| (key, id)));
            ids.push(id);
        }
        // A tree that is only appended to is the cheapest there is.
        rows.sort_unstable();
        let mut insert = connection
            .prepare_cached("INSERT OR IGNORE INTO touches (entry, record) VALUES (?1, ?2)")?;
        for (key, id) in rows {
            if insert.execute([key, id])? == 0 {
                connection
                    .prepare_cached("UPDATE records SET version = version - 1 WHERE id = ?1")?
                    .execute([id])?;
            }
        }
        Ok(ids)
    }
}

/// The number in this store of a record of which entries of a space speak. Its row is made if there is none, and its
/// version moves by their `count`. `founded` says that one of them stands where the record was founded.
pub(super) fn row_of(
    connection: &Connection,
    record: &RecordId,
    space: &SpaceId,
    founded: bool,
    count: i64,
) -> Result<i64> {
    // Whoever named the id before its founder came may stand in another space.
    let mut statement = connection.prepare_cached(
        "INSERT INTO records (record, space, founded, version) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (record) DO UPDATE SET version = version + ?4,
             space = CASE WHEN ?3 THEN excluded.space ELSE space END,
             founded = max(founded, ?3)
         RETURNING id",
    )?;
    let row = params![record.0, space.0, founded, count];
    Ok(statement.query_row(row, |row| row.get(0))?)
}
