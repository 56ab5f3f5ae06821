//! What can be read of a store that was set aside, taken into the new one in its place.
//!
//! Logs come in run by run, verified like those of a peer; what hangs on something that cannot be read waits for that to
//! come back (module `damage`). The device and, at a hub, its authority key stay what they were. Own logs end and others go on
//! from them, since the store that was set aside may have shown more of them than can be read; the authority log alone
//! goes on where nothing of it is lost. The epoch is a new one.

use std::collections::BTreeMap;

use lianxin_protocol::admit::{Place, place};
use lianxin_protocol::authority::Order;
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::codec::Reader;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{
    Author, EntryKind, ForkProof, GenesisReason, LogId, Position, Run, VerifiedRun,
};
use lianxin_protocol::receipt::Receipt;
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::segments::{entry_key, split_key};
use super::{EPOCH, Journal, resume};
use crate::error::{Code, Error, Result};
use crate::store::{self, Store, aside, packed};
use crate::{accounts, clock};

/// Primary tables beside the logs, each with its key.
const TABLES: [(&str, &str); 8] = [
    ("accounts", "id"),
    ("drafts", "id"),
    ("counters", "kind, year"),
    ("submissions", "submission"),
    ("noticed", "change"),
    ("invites", "key"),
    ("words", "device"),
    ("peers", "device"),
];

/// Segments by their first entry: the head before it, and the bytes.
type Segments = BTreeMap<u64, ([u8; 32], Vec<u8>)>;

/// A log of the old store.
#[derive(Clone, Copy, Debug)]
pub struct OldLog {
    id: LogId,
    key: i64,
    author: Author,
    len: u64,
}

/// A log of which not everything is here that was.
#[derive(Clone, Copy, Debug)]
pub struct Lacking {
    /// The log.
    pub log: LogId,
    /// Its device, if that is known.
    pub device: Option<DeviceKey>,
    /// Entries that are here.
    pub held: u64,
    /// Entries that there were, as far as that can be known.
    pub had: u64,
    /// Entries that are here without the texts that belong to them.
    pub texts: u64,
}

/// Begins the new store: who the device is, and what stands beside the logs. Gives the tables of which something is lost.
///
/// # Errors
/// [`Code::IdentityLost`] when the device's key cannot be read; the new store cannot be written.
pub fn begin(old: &Store, connection: &Connection) -> Result<Vec<&'static str>> {
    let transaction = connection.unchecked_transaction()?;
    aside::copy(old, &transaction, "meta", "key")?;
    is_known(&transaction)?;
    store::set_meta(&transaction, EPOCH, &clock::random::<16>()?)?;
    store::set_meta(&transaction, resume::HEARD, &[])?;
    let mut lost = Vec::new();
    for (table, key) in TABLES {
        if !aside::copy(old, &transaction, table, key)? {
            lost.push(table);
        }
    }
    let none = "SELECT count(*) = 0 FROM accounts";
    if transaction.query_row(none, [], |row| row.get(0))? {
        accounts::id_of(&transaction, "工作人员")?;
    }
    transaction.commit()?;
    Ok(lost)
}

/// Whether a store says who its device is.
///
/// # Errors
/// [`Code::IdentityLost`] when it does not, or cannot be read there.
pub fn is_known(connection: &Connection) -> Result<()> {
    for key in ["network", "device_seed"] {
        if !matches!(store::meta(connection, key), Ok(Some(_))) {
            let message = "the device's key cannot be read in this store";
            return Err(Error::new(Code::IdentityLost, message));
        }
    }
    Ok(())
}

/// The logs of the old store, those with orders first. Says whether some could not be read.
///
/// # Errors
/// The old store cannot be opened.
pub fn old_logs(old: &Store, authority: &SpaceId) -> Result<(Vec<OldLog>, bool)> {
    let found = aside::salvage(old, "logs", "id, log, space, device, len", "id")?;
    let log = |row: &Vec<Value>| -> Option<OldLog> {
        let [
            Value::Integer(key),
            Value::Blob(id),
            Value::Blob(space),
            Value::Blob(device),
            len,
        ] = row.as_slice()
        else {
            return None;
        };
        let Value::Integer(len) = len else {
            return None;
        };
        let bytes = |blob: &Vec<u8>| <[u8; 32]>::try_from(blob.as_slice()).ok();
        Some(OldLog {
            id: LogId(bytes(id)?),
            key: *key,
            author: Author {
                space: SpaceId(bytes(space)?),
                device: DeviceKey(bytes(device)?),
            },
            len: u64::try_from(*len).ok()?,
        })
    };
    let logs: BTreeMap<i64, OldLog> = found
        .rows
        .iter()
        .filter_map(log)
        .map(|log| (log.key, log))
        .collect();
    let mut logs: Vec<OldLog> = logs.into_values().collect();
    logs.sort_by_key(|log| (log.author.space != *authority, log.key));
    Ok((logs, found.torn))
}

impl OldLog {
    /// Rows of a table that are keyed by the log's entries.
    fn rows(&self, old: &Store, table: &str, columns: &str) -> Result<Vec<Vec<Value>>> {
        let (first, end) = (entry_key(self.key, 0)?, entry_key(self.key, (1 << 40) - 1)?);
        let of_log = format!("{table} WHERE entry >= {first} AND entry < {end}");
        Ok(aside::salvage(old, &of_log, columns, "entry")?.rows)
    }

    /// Its segments.
    fn segments(&self, old: &Store) -> Result<Segments> {
        let rows = self
            .rows(old, "segments", "entry, start, main")?
            .into_iter();
        let segment = |row: Vec<Value>| {
            let [Value::Integer(key), Value::Blob(start), Value::Blob(main)] = row.as_slice()
            else {
                return None;
            };
            let start = start.as_slice().try_into().ok()?;
            Some((split_key(*key).1, (start, main.clone())))
        };
        Ok(rows.filter_map(segment).collect())
    }

    /// Parts as they lie, by their entry.
    fn parts(&self, old: &Store) -> Result<BTreeMap<u64, Vec<u8>>> {
        let rows = self.rows(old, "parts", "entry, payload")?.into_iter();
        let part = |row: Vec<Value>| match row.as_slice() {
            [Value::Integer(key), Value::Blob(payload)] => {
                Some((split_key(*key).1, payload.clone()))
            }
            _ => None,
        };
        Ok(rows.filter_map(part).collect())
    }

    /// Blobs of the rows of a table that are keyed by the log.
    fn blobs(&self, old: &Store, table: &str, columns: &str) -> Result<Vec<Vec<Value>>> {
        let of_log = format!("{table} WHERE log = {}", self.key);
        Ok(aside::salvage(old, &of_log, columns, "log")?.rows)
    }

    /// A segment with its parts as a run, if it is what was signed.
    fn run(
        &self,
        start: Position,
        main: &[u8],
        parts: &BTreeMap<u64, Vec<u8>>,
    ) -> Option<VerifiedRun> {
        let headers = batch::unpack(&self.id, start, main, Parts::LeftOut).ok()?;
        let of_parts = headers
            .entries
            .iter()
            .filter(|it| it.header.kind == EntryKind::Part);
        let payloads = of_parts.map(|entry| {
            let payload = parts.get(&entry.header.seq).cloned().map(packed::payload);
            payload.filter(|payload| entry.header.fits(payload))
        });
        let payloads = Parts::Rows(payloads.collect());
        let run = batch::unpack(&self.id, start, main, payloads).ok()?;
        let author = (start.len > 0).then_some(self.author);
        let run = run.verify(author, 0).ok()?;
        (run.author() == self.author).then_some(run)
    }
}

impl Journal {
    /// Takes in what can be read of a log of the old store.
    ///
    /// # Errors
    /// The new store cannot be written; the transaction must be rolled back.
    pub fn take_in(&mut self, connection: &Connection, old: &Store, log: &OldLog) -> Result<()> {
        let (segments, parts) = (log.segments(old)?, log.parts(old)?);
        for (first, (head, main)) in &segments {
            let start = Position {
                len: *first,
                head: *head,
            };
            let taken = match log.run(start, main, &parts) {
                Some(run) => self.take_in_run(connection, &run)?,
                None => false,
            };
            if !taken {
                keep_aside(connection, &log.id, (*first, 0), head, main)?;
            }
        }
        let held = self.len_of(&log.id);
        if held < log.len {
            for (seq, payload) in parts.range(held..) {
                keep_aside(connection, &log.id, (*seq, 1), &[], payload)?;
            }
            connection.execute(
                "INSERT OR REPLACE INTO damaged_logs (log, len) VALUES (?1, ?2)",
                params![log.id.0, log.len],
            )?;
            self.damaged.insert(log.id, log.len);
        } else {
            connection.execute("DELETE FROM damaged_rows WHERE log = ?1", [log.id.0])?;
        }
        if held == 0 {
            return Ok(());
        }
        // Texts that could not be read are asked for like any other damaged part, and named until they come.
        if let Some(known) = self.logs.get(&log.id) {
            connection.execute(
                "INSERT OR IGNORE INTO damaged_rows (log, seq, part, start, bytes)
                 SELECT ?1, entry & 1099511627775, 1, x'', x'' FROM missing WHERE entry >> 40 = ?2",
                params![log.id.0, known.key],
            )?;
            let mut statement = connection
                .prepare_cached("SELECT seq FROM damaged_rows WHERE log = ?1 AND part")?;
            let parts = statement.query_map([log.id.0], |row| row.get(0))?;
            for seq in parts {
                self.damaged_parts.insert((log.id, seq?));
            }
        }
        self.take_in_fork(connection, old, log)?;
        let is_authority = log.author.space == Space::Authority.id(&self.identity.network);
        if self.is_own(&log.author) {
            self.tails.remove(&log.id);
            self.open_tail(connection, &log.id)?;
            if !is_authority || held < log.len {
                self.close(log.id, GenesisReason::Restore)?;
            }
        }
        if is_authority {
            self.catch_up_authority(connection)?;
        }
        for row in log.blobs(old, "receipts", "receipt")? {
            if let [Value::Blob(receipt)] = row.as_slice()
                && let Ok(receipt) = Receipt::decode(receipt)
            {
                self.take_receipt(connection, &receipt)?;
            }
        }
        Ok(())
    }

    /// Stores a run if it goes on from what is there. Says whether nothing of it is missing now.
    fn take_in_run(&mut self, connection: &Connection, run: &VerifiedRun) -> Result<bool> {
        let id = run.run().log;
        let stored = self
            .logs
            .get(&id)
            .map_or(Position::start(&id), |log| log.end);
        Ok(
            match place(run, stored, |seq| self.id_at(connection, &id, seq))? {
                Place::Append { skip } => {
                    let packed = batch::pack(run.run());
                    self.store(connection, run, &packed, skip)?;
                    true
                }
                Place::Duplicate => true,
                Place::Gap { .. } | Place::Fork { .. } => false,
            },
        )
    }

    /// The proof that a log forked, and runs of its branches.
    fn take_in_fork(&mut self, connection: &Connection, old: &Store, log: &OldLog) -> Result<()> {
        for row in log.blobs(old, "forks", "proof")? {
            if let [Value::Blob(proof)] = row.as_slice()
                && let Ok(proof) = ForkProof::read(&mut Reader::new(proof))
            {
                self.take_fork(connection, &proof)?;
            }
        }
        for row in log.blobs(old, "branches", "first, start, main, parts")? {
            let [
                Value::Integer(first),
                Value::Blob(head),
                Value::Blob(main),
                Value::Blob(parts),
            ] = row.as_slice()
            else {
                continue;
            };
            let (Ok(len), Ok(head)) = (u64::try_from(*first), head.as_slice().try_into()) else {
                continue;
            };
            let start = Position { len, head };
            let run = batch::unpack(&log.id, start, main, Parts::Section(parts)).ok();
            let author = (len > 0).then_some(log.author);
            let run = run.and_then(|run: Run| run.verify(author, 0).ok());
            if let Some(run) = run {
                let packed = batch::pack(run.run());
                self.take_branch(connection, &run, &packed)?;
            }
        }
        Ok(())
    }

    /// All logs of the old store are in. Begins the new epoch where this hub gives orders.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn taken_in(&mut self, connection: &Connection, now_ms: u64) -> Result<()> {
        if self.gives_orders() && self.authority.key().is_some() {
            let epoch = self.identity.epoch;
            self.order(connection, &[Order::Epoch { epoch }], now_ms)?;
        }
        // Own logs go on in others, and the numbers that were given are known from the files beside the store alone.
        self.found_anew(connection)
    }

    /// The logs of which not everything is here that was in the store before, or that this device has shown.
    #[must_use]
    pub fn lacks(&self) -> Vec<Lacking> {
        let mut had = self.damaged.clone();
        for (log, len) in &self.lacking {
            let known = had.entry(*log).or_default();
            *known = (*known).max(*len);
        }
        let mut texts: BTreeMap<LogId, u64> = BTreeMap::new();
        for (log, _) in &self.damaged_parts {
            *texts.entry(*log).or_default() += 1;
            had.entry(*log).or_insert_with(|| self.len_of(log));
        }
        let lacks = had.into_iter().map(|(log, had)| Lacking {
            log,
            device: self.logs.get(&log).map(|known| known.author.device),
            held: self.len_of(&log),
            had,
            texts: texts.get(&log).copied().unwrap_or_default(),
        });
        lacks
            .filter(|it| it.held < it.had || it.texts > 0)
            .collect()
    }
}

fn keep_aside(
    connection: &Connection,
    log: &LogId,
    (seq, part): (u64, u8),
    start: &[u8],
    bytes: &[u8],
) -> Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO damaged_rows (log, seq, part, start, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![log.0, seq, part, start, bytes],
    )?;
    Ok(())
}
