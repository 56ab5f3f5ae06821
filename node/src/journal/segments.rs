//! Reading entries back: segments as stored, unpacked and kept for a while.
//!
//! Entries are named by one integer, `log << 40 | sequence`, which is also the key of segments, parts and
//! touches. Records written in rounds lie in a handful of segments at a time, so a small cache makes a
//! merge of ten thousand records read each segment once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::log::{Author, Checkpoint, Entry, EntryKind, LogId, Position, RecordId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::{Code, Error, Result};
use crate::store::packed;

/// Bits of an entry key that hold the sequence number.
const SEQ_BITS: u32 = 40;
/// Segments kept: a few times the rounds that a merge reads across; about 2 MiB for whoever reads.
const CACHED: usize = 64;

/// The key of an entry.
///
/// # Errors
/// A log beyond 2^40 entries, or a store beyond 2^23 logs.
pub(crate) fn entry_key(log: i64, seq: u64) -> Result<i64> {
    let seq = i64::try_from(seq).ok().filter(|seq| *seq < 1 << SEQ_BITS);
    let log = Some(log).filter(|log| (0..1 << 23).contains(log));
    match (log, seq) {
        (Some(log), Some(seq)) => Ok(log << SEQ_BITS | seq),
        _ => Err(Error::new(Code::TooLarge, "a log has outgrown this store")),
    }
}

/// Log and sequence number of an entry key.
pub(crate) fn split_key(key: i64) -> (i64, u64) {
    (
        key >> SEQ_BITS,
        u64::try_from(key & ((1 << SEQ_BITS) - 1)).unwrap_or_default(),
    )
}

/// A log whose segments are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// Its number in this store.
    pub(crate) key: i64,
    /// Its id.
    pub(crate) log: &'a LogId,
    /// Who signs it.
    pub(crate) author: Author,
}

/// Consecutive entries, without the payloads of parts.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Position before the first entry.
    pub(crate) start: Position,
    /// The entries.
    pub(crate) entries: Vec<Entry>,
    /// Covers the last of them.
    pub(crate) checkpoint: Checkpoint,
    /// The parts' digests and the packed first section, as stored.
    pub(crate) main: Vec<u8>,
}

impl Segment {
    /// The entry with this sequence number, if it is here.
    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        let at = seq.checked_sub(self.start.len)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Sequence numbers of its parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = u64> {
        let is_part = |entry: &&Entry| entry.header.kind == EntryKind::Part;
        self.entries
            .iter()
            .filter(is_part)
            .map(|entry| entry.header.seq)
    }
}

/// A bounded cache of segments, one for each thread that reads.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    cache: BTreeMap<i64, (u64, Arc<Segment>)>,
    tick: u64,
    /// Logs of which something that was read is not what was stored.
    pub(crate) suspects: BTreeSet<LogId>,
}

impl Segments {
    /// The segment that holds an entry.
    ///
    /// # Errors
    /// The store cannot be read, or does not hold the entry although the log's row says so: the log is a suspect then.
    pub(crate) fn containing(
        &mut self,
        connection: &Connection,
        log: Place<'_>,
        seq: u64,
    ) -> Result<Arc<Segment>> {
        let found = self.find(connection, log, seq);
        if let Err(error) = &found
            && error.code() == Code::StoreCorrupt
        {
            self.suspects.insert(*log.log);
        }
        found
    }

    fn find(&mut self, connection: &Connection, log: Place<'_>, seq: u64) -> Result<Arc<Segment>> {
        let key = entry_key(log.key, seq)?;
        self.tick += 1;
        if let Some((first, (used, segment))) = self.cache.range_mut(..=key).next_back()
            && split_key(*first).0 == log.key
            && segment.get(seq).is_some()
            && segment.checkpoint.len > seq
        {
            *used = self.tick;
            return Ok(Arc::clone(segment));
        }
        let mut statement = connection.prepare_cached(
            "SELECT entry, start, main FROM segments WHERE entry <= ?1 ORDER BY entry DESC LIMIT 1",
        )?;
        let row = statement.query_row([key], |row| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, [u8; 32]>(1)?,
                row.get::<_, Vec<u8>>(2)?,
            ))
        });
        let missing = || Error::new(Code::StoreCorrupt, "an entry that is counted is not stored");
        let (first, head, main) = row.optional()?.ok_or_else(missing)?;
        let (of, len) = split_key(first);
        if of != log.key {
            return Err(missing());
        }
        let start = Position { len, head };
        let run = batch::unpack(log.log, start, &main, Parts::LeftOut).map_err(|error| {
            Error::because(Code::StoreCorrupt, "a stored segment cannot be read", error)
        })?;
        // Packed bytes that were changed may still unpack: the signature vouches for headers and what these name.
        let Author { space, device } = log.author;
        if !run.checkpoint.verifies(&space, log.log, &device) {
            let message = "a stored segment is not what was signed";
            return Err(Error::new(Code::StoreCorrupt, message));
        }
        let segment = Segment {
            start,
            entries: run.entries,
            checkpoint: run.checkpoint,
            main,
        };
        if segment.get(seq).is_none() {
            return Err(missing());
        }
        let segment = Arc::new(segment);
        if self.cache.len() >= CACHED {
            let oldest = self
                .cache
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(key, _)| *key);
            oldest.map(|key| self.cache.remove(&key));
        }
        self.cache.insert(first, (self.tick, Arc::clone(&segment)));
        Ok(segment)
    }

    /// Forgets everything, after a rollback.
    pub(crate) fn clear(&mut self) {
        self.cache.clear();
    }
}

/// The payload of a part, unless it was erased.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn part(connection: &Connection, key: i64) -> Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT payload FROM parts WHERE entry = ?1")?;
    let row = statement.query_row([key], |row| row.get(0)).optional()?;
    Ok(row.map(packed::payload))
}

/// Where a record was founded in a log, as far as this store has indexed: a hint, which packs better.
pub(crate) fn founded(
    connection: &Connection,
    (key, log): (i64, &LogId),
    record: &RecordId,
) -> Option<u64> {
    let range = (
        entry_key(key, 0).ok()?,
        entry_key(key, (1 << SEQ_BITS) - 1).ok()?,
    );
    // The founding change follows the parts of its save.
    let mut statement = connection
        .prepare_cached(
            "SELECT touches.entry FROM records JOIN touches ON touches.record = records.id
             WHERE records.record = ?1 AND touches.entry BETWEEN ?2 AND ?3 AND records.founded
             ORDER BY touches.entry LIMIT 8",
        )
        .ok()?;
    let row = params![record.0, range.0, range.1];
    let rows = statement.query_map(row, |row| row.get(0)).ok()?;
    let mut places = rows.filter_map(|key| Some(split_key(key.ok()?).1));
    places.find(|seq| record.is_founded_at(log, *seq))
}
