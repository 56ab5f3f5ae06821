//! Records as people see them: documents and parts projected into rows, and the queries over both.
//!
//! A row holds what lists, filters and figures need; everything else of a record is rebuilt from its
//! changes when it is looked at, which takes a tenth of a millisecond. No document is stored: what is
//! derived cannot disagree with the log. A projection is a pure function of (entries that count, parts,
//! authority, catalogue); `lianxin reproject` makes identical rows from the same logs.

mod content;
pub mod delivery;
mod numbers;
mod query;
pub mod reproject;
pub mod save;

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Authority, Reason, Role};
use lianxin_protocol::catalogue::Actor;
use lianxin_protocol::document::{
    ActorId, ChangeHash, Document, Fate, GuardedChange, Limits, Offered, Refusal, Scalar,
};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::identity::{DeviceKey, short};
use lianxin_protocol::log::{Author, Entry, EntryKind, LogId, RecordId};
use lianxin_protocol::part::{Part, PartRef, reference};
use lianxin_protocol::space::SpaceId;
use lianxin_protocol::verdict::is_known;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::segments::{Place, Segments, split_key};
use crate::journal::{Journal, exceptions};
use crate::store;

pub use content::{ConflictValue, Conflicts, Content, NEWER_ENTRIES, ShownEvent};
pub use numbers::is_numbered;
pub use query::{
    Filter, Listed, called, count, find, list, named, peer_seen, peers, queue, referring, rows,
    tally, with_number,
};

/// What a device may do in a record's workflow, by its role.
#[must_use]
pub fn acts_for(role: Option<Role>) -> BTreeSet<Actor> {
    use Actor::{Clerk, Deputy, Hub, Privacy, Resident, Supervisor, Unit};
    match role {
        Some(Role::Station | Role::Laptop) => [Clerk, Deputy, Resident].into(),
        Some(Role::Operator | Role::Hub) => {
            [Clerk, Deputy, Hub, Supervisor, Unit, Privacy, Resident].into()
        }
        Some(Role::Courier | Role::Reader | Role::Other(_)) | None => BTreeSet::new(),
    }
}

/// A change with the entry that carries it.
#[derive(Clone, Debug)]
struct Carried {
    key: i64,
    hash: ChangeHash,
    log: LogId,
    device: DeviceKey,
    actor: ActorId,
    hlc: u64,
}

/// Everything that is known of one record.
#[derive(Debug)]
pub struct Gathered {
    /// Its number in this store.
    pub key: i64,
    /// Entries that it was gathered from.
    pub version: i64,
    /// Its space.
    pub space: SpaceId,
    /// Its id.
    pub id: RecordId,
    document: Document,
    changes: Vec<Carried>,
    /// Entries that the gate does not let count, and why; those without rights are not among them.
    held: BTreeMap<i64, Reason>,
    /// Changes that are not here and that others build on.
    missing: BTreeSet<ChangeHash>,
    /// Some entries are of a kind that a newer version knows.
    newer: bool,
    parts: BTreeMap<PartRef, Part>,
}

/// A log of the store as reading needs it.
#[derive(Clone, Copy, Debug)]
struct KnownLog {
    id: LogId,
    author: Author,
}

/// Gives entries by their keys: the journal, which knows what is not written yet, or a reader.
trait Entries {
    fn entry(&mut self, connection: &Connection, key: i64) -> Result<(Entry, LogId, Author)>;
    /// Something of this log is not what was stored.
    fn suspect(&mut self, log: LogId);
}

impl Entries for Journal {
    fn entry(&mut self, connection: &Connection, key: i64) -> Result<(Entry, LogId, Author)> {
        let (log, seq) = split_key(key);
        let known = self.log_id(log).map(|(id, log)| (id, log.author));
        let (id, author) = known.ok_or_else(unknown_log)?;
        Ok((Self::entry(self, connection, &id, seq)?, id, author))
    }

    fn suspect(&mut self, log: LogId) {
        Self::suspect(self, [log]);
    }
}

fn unknown_log() -> Error {
    Error::new(Code::StoreCorrupt, "an entry of a log that is not stored")
}

/// A connection that reads, with what it has unpacked lately. One for each thread.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    segments: Segments,
    logs: BTreeMap<i64, KnownLog>,
}

struct FromStore<'a> {
    segments: &'a mut Segments,
    logs: &'a mut BTreeMap<i64, KnownLog>,
}

impl Entries for FromStore<'_> {
    fn entry(&mut self, connection: &Connection, key: i64) -> Result<(Entry, LogId, Author)> {
        let (log, seq) = split_key(key);
        let known = match self.logs.get(&log) {
            Some(known) => *known,
            None => {
                let mut statement = connection
                    .prepare_cached("SELECT log, space, device FROM logs WHERE id = ?1")?;
                let known = statement.query_row([log], |row| {
                    Ok(KnownLog {
                        id: LogId(row.get(0)?),
                        author: Author {
                            space: SpaceId(row.get(1)?),
                            device: DeviceKey(row.get(2)?),
                        },
                    })
                })?;
                self.logs.insert(log, known);
                known
            }
        };
        let place = Place {
            key: log,
            log: &known.id,
            author: known.author,
        };
        let segment = self.segments.containing(connection, place, seq)?;
        let entry = segment.get(seq).cloned().ok_or_else(unknown_log)?;
        Ok((entry, known.id, known.author))
    }

    fn suspect(&mut self, log: LogId) {
        self.segments.suspects.insert(log);
    }
}

impl Reader {
    /// Reads through a connection of its own.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            segments: Segments::default(),
            logs: BTreeMap::new(),
        }
    }

    /// The connection.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Goes on with another connection if this one has met a page that the database cannot read.
    ///
    /// # Errors
    /// The store cannot be opened again.
    pub fn revive(&mut self) -> Result<()> {
        store::renew(&mut self.connection)
    }

    /// The logs of which something that was read is not what was stored, once.
    pub fn suspects(&mut self) -> BTreeSet<LogId> {
        std::mem::take(&mut self.segments.suspects)
    }

    /// Gathers a record by its number in this store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn gather(&mut self, key: i64) -> Result<Gathered> {
        // One snapshot for version and entries, or the version would promise what was not read.
        let snapshot = self.connection.unchecked_transaction()?;
        let mut entries = FromStore {
            segments: &mut self.segments,
            logs: &mut self.logs,
        };
        let gathered = gather(&snapshot, &mut entries, key, false)?;
        snapshot.finish()?;
        Ok(gathered)
    }
}

/// Gathers a record inside the writer's transaction, with what it has not written yet.
///
/// # Errors
/// The store cannot be read.
pub fn gather_written(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
) -> Result<Gathered> {
    gather(connection, journal, key, false)
}

/// Merges a record and writes its row. One that cannot be read is set aside, and the others go on.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub fn merge(connection: &Connection, journal: &mut Journal, key: i64) -> Result<()> {
    match gather_written(connection, journal, key) {
        Err(error) if is_local(&error) => {
            tracing::error!(error = %error.chain(), "a record cannot be read and is set aside");
            journal.set_unread(connection, key)
        }
        gathered => {
            let projection = Projection::of(&gathered?, journal.authority());
            projection.write(connection, journal)?;
            Ok(())
        }
    }
}

/// Whether a failure to read lies in one record alone, and the connection reads on.
pub(crate) fn is_local(error: &Error) -> bool {
    error.code() == Code::StoreCorrupt && !error.is_of_a_page()
}

/// Gathers what was written of a record, whatever of it counts by rights and cuts: for people who look at what is held
/// back, and for nothing else.
///
/// # Errors
/// The store cannot be read.
pub fn gather_held(connection: &Connection, journal: &mut Journal, key: i64) -> Result<Gathered> {
    gather(connection, journal, key, true)
}

/// Gathers what entries that are not in place say of a record.
#[must_use]
pub fn gather_entries(id: RecordId, log: LogId, author: Author, entries: &[Entry]) -> Gathered {
    let of_record = entries.iter().filter(|entry| entry.header.record == id);
    let placed = of_record.map(|entry| Placed {
        key: 0,
        seq: entry.header.seq,
        entry: entry.clone(),
        log,
        author,
        permitted: true,
    });
    let payloads = entries
        .iter()
        .filter(|it| it.header.kind == EntryKind::Part);
    let payloads = payloads.filter_map(|entry| entry.payload.as_deref());
    let parts = payloads.filter_map(|it| Some((reference(it), Part::decode(it).ok()?)));
    let gathered = Gathered::new(id, author.space);
    assemble(gathered, true, placed.collect(), parts.collect())
}

/// An entry and where it stands.
struct Placed {
    key: i64,
    seq: u64,
    entry: Entry,
    log: LogId,
    author: Author,
    permitted: bool,
}

fn gather(
    connection: &Connection,
    entries: &mut impl Entries,
    key: i64,
    held_too: bool,
) -> Result<Gathered> {
    let mut statement = connection
        .prepare_cached("SELECT record, space, version, founded FROM records WHERE id = ?1")?;
    let (id, space, version, founded) = statement.query_row([key], |row| {
        let founded: bool = row.get(3)?;
        Ok((
            RecordId(row.get(0)?),
            SpaceId(row.get(1)?),
            row.get(2)?,
            founded,
        ))
    })?;
    let mut placed = Vec::new();
    let mut rights: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for entry_key in touches(connection, key)? {
        let (log, seq) = split_key(entry_key);
        let without = match rights.entry(log) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(exceptions(connection, log)?)
            }
        };
        let held = without
            .iter()
            .any(|exception| exception.range.contains(&seq));
        let (entry, log, author) = entries.entry(connection, entry_key)?;
        placed.push(Placed {
            key: entry_key,
            seq,
            entry,
            log,
            author,
            permitted: held_too || !held,
        });
    }
    let payloads = payloads(connection, key)?;
    let spoilt = |placed: &&Placed| {
        let payload = payloads.get(&placed.key);
        payload.is_some_and(|payload| !placed.entry.header.fits(payload))
    };
    if let Some(spoilt) = placed.iter().find(spoilt) {
        entries.suspect(spoilt.log);
        let message = "a part is not what was stored";
        return Err(Error::new(Code::StoreCorrupt, message));
    }
    let parts = read_parts(&payloads);
    let gathered = Gathered {
        key,
        version,
        ..Gathered::new(id, space)
    };
    Ok(assemble(gathered, founded, placed, parts))
}

/// Builds the document of a record from its entries. `founded` says that its space is known.
fn assemble(
    record: Gathered,
    founded: bool,
    placed: Vec<Placed>,
    parts: BTreeMap<PartRef, Part>,
) -> Gathered {
    let mut changes = Vec::new();
    let mut offered = Vec::new();
    let mut held = BTreeMap::new();
    let mut newer = false;
    let limits = Limits::default();
    for Placed {
        key,
        seq,
        entry,
        log,
        author,
        permitted,
    } in placed
    {
        if author.space != record.space {
            // Of no record, once it is known which space is the record's.
            if entry.header.kind == EntryKind::Change && permitted {
                let why = if founded {
                    Reason::Guard
                } else {
                    Reason::Waiting
                };
                held.insert(key, why);
            }
            continue;
        }
        let (EntryKind::Change, Some(raw)) = (entry.header.kind, &entry.payload) else {
            newer |= permitted && !is_known(entry.header.kind);
            continue;
        };
        let actor = log.actor();
        offered.push(Offered {
            actor,
            place: seq,
            founds: record.id.is_founded_at(&log, seq),
            permitted,
            change: GuardedChange::open(raw, &entry.header.digest, &actor, &limits),
        });
        changes.push(Carried {
            key,
            hash: entry.header.digest,
            log,
            device: author.device,
            actor,
            hlc: entry.header.hlc,
        });
    }
    let built = Document::build(offered);
    if built.defect {
        tracing::error!("Automerge refused a change that counts; the record is shown without it");
    }
    let mut missing = BTreeSet::new();
    for (carried, fate) in changes.iter().zip(&built.fates) {
        match fate {
            Fate::Counts | Fate::Refused(Refusal::NotPermitted) => {}
            Fate::Refused(refusal) => {
                tracing::warn!(%refusal, "a change does not count");
                held.insert(carried.key, Reason::Guard);
            }
            Fate::Waits { missing: lacks } => {
                missing.extend(lacks.iter().copied());
                held.insert(carried.key, Reason::Waiting);
            }
        }
    }
    // By fate and not by hash: another log may hold a copy of a change that counts.
    let fates = changes.into_iter().zip(&built.fates);
    let changes = fates
        .filter(|(_, fate)| **fate == Fate::Counts)
        .map(|(it, _)| it)
        .collect();
    Gathered {
        document: built.document,
        changes,
        held,
        missing,
        newer,
        parts,
        ..record
    }
}

/// The parts of a record that are held, by how the document refers to them.
fn parts(connection: &Connection, record: i64) -> Result<BTreeMap<PartRef, Part>> {
    Ok(read_parts(&payloads(connection, record)?))
}

/// The payloads of a record's parts, by the keys of their entries.
fn payloads(connection: &Connection, record: i64) -> Result<BTreeMap<i64, Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT touches.entry, parts.payload FROM touches CROSS JOIN parts ON parts.entry = touches.entry
         WHERE touches.record = ?1",
    )?;
    let rows = statement.query_map([record], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What their authors did not write as parts says nothing.
fn read_parts(payloads: &BTreeMap<i64, Vec<u8>>) -> BTreeMap<PartRef, Part> {
    let parts = payloads.values();
    let parts = parts.filter_map(|payload| Some((reference(payload), Part::decode(payload).ok()?)));
    parts.collect()
}

/// Whether these changes of a record are stored here, whether they count or not.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn holds(
    connection: &Connection,
    journal: &mut Journal,
    record: i64,
    changes: &[ChangeHash],
) -> Result<bool> {
    let mut missing: BTreeSet<ChangeHash> = changes.iter().copied().collect();
    for key in touches(connection, record)? {
        let (entry, _, _) = Entries::entry(journal, connection, key)?;
        missing.remove(&entry.header.digest);
    }
    Ok(missing.is_empty())
}

fn touches(connection: &Connection, record: i64) -> Result<Vec<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT entry FROM touches WHERE record = ?1 ORDER BY entry")?;
    let keys = statement.query_map([record], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

impl Gathered {
    /// A record that this save begins.
    #[must_use]
    pub fn new(id: RecordId, space: SpaceId) -> Self {
        Self {
            key: 0,
            version: 0,
            space,
            id,
            document: Document::new(),
            changes: Vec::new(),
            held: BTreeMap::new(),
            missing: BTreeSet::new(),
            newer: false,
            parts: BTreeMap::new(),
        }
    }

    /// Its document, to be edited.
    pub const fn document(&mut self) -> &mut Document {
        &mut self.document
    }

    /// Takes in what a save has just written, so that the row can be made without reading it back.
    pub fn saved(
        &mut self,
        key: i64,
        entries: &[i64],
        change: ChangeHash,
        log: (&LogId, DeviceKey),
        hlc: u64,
        parts: Vec<(PartRef, Part)>,
    ) {
        self.key = key;
        self.version += i64::try_from(entries.len()).unwrap_or_default();
        self.parts.extend(parts);
        self.changes.push(Carried {
            key: entries.last().copied().unwrap_or_default(),
            hash: change,
            log: *log.0,
            device: log.1,
            actor: log.0.actor(),
            hlc,
        });
    }

    /// Digests of the changes that others of this record build on and that are not here.
    pub fn missing(&self) -> impl Iterator<Item = &ChangeHash> {
        self.missing.iter()
    }

    /// The entry of the change that founded it, if that counts.
    #[must_use]
    pub fn founding_entry(&self) -> Option<i64> {
        let first = self.document.founder()?;
        self.device_of(&first).map(|carried| carried.key)
    }

    /// What is shown of it.
    #[must_use]
    pub fn content(&self, authority: &Authority) -> Content {
        Content::of(self, authority)
    }

    /// All texts by the reference that the document holds in their place, for an export.
    #[must_use]
    pub fn texts(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let texts = self.parts.iter();
        texts
            .map(|(reference, part)| (Hex(reference).to_string(), part.texts.clone()))
            .collect()
    }

    fn device_of(&self, change: &ChangeHash) -> Option<&Carried> {
        self.changes.iter().find(|carried| carried.hash == *change)
    }

    /// A standard Automerge document.
    ///
    /// # Errors
    /// A change was manipulated so that Automerge cannot write it again.
    pub fn automerge(&self) -> Result<Vec<u8>> {
        self.document.save().map_err(|error| {
            Error::because(
                Code::Unsound,
                "a record cannot be written as a document",
                error,
            )
        })
    }
}

/// A row to be written, and the version that it was made from.
#[derive(Debug)]
pub struct Projection {
    key: i64,
    id: RecordId,
    version: i64,
    held: BTreeMap<i64, Reason>,
    content: Content,
    state: [u8; 32],
}

impl Projection {
    /// Makes a record's row.
    #[must_use]
    pub fn of(gathered: &Gathered, authority: &Authority) -> Self {
        let content = gathered.content(authority);
        let state = content.state_digest();
        Self {
            key: gathered.key,
            id: gathered.id,
            version: gathered.version,
            held: gathered.held.clone(),
            content,
            state,
        }
    }

    /// Writes the row if the record's version is still the one it was made from. Says whether it was.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn write(&self, connection: &Connection, journal: &mut Journal) -> Result<bool> {
        let content = &self.content;
        let mut statement = connection.prepare_cached(
            "UPDATE records SET kind = ?3, number = ?4, title = ?5, status = ?6, facts = ?7,
                                conflicts = ?8, waiting = ?9, state = ?10
             WHERE id = ?1 AND version = ?2 AND record = ?11",
        )?;
        let written = statement.execute(params![
            self.key,
            self.version,
            content.kind,
            content.number,
            content.title,
            content.status,
            Value::Object(content.facts.clone()).to_string(),
            i64::try_from(content.conflicts.len()).unwrap_or(i64::MAX),
            i64::try_from(content.waiting).unwrap_or(i64::MAX),
            self.state,
            self.id.0,
        ])?;
        if written == 0 {
            return Ok(false);
        }
        connection
            .prepare_cached("DELETE FROM stale WHERE record = ?1")?
            .execute([self.key])?;
        journal.was_read(connection, self.key)?;
        self.write_mentions(connection)?;
        journal.hold(connection, self.key, &self.held)?;
        numbers::take_numbers(connection, journal, content.case_numbers())?;
        journal.records_changed();
        Ok(true)
    }

    fn write_mentions(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM mentions WHERE record = ?1")?
            .execute([self.key])?;
        for (field, target) in &self.content.mentions {
            connection
                .prepare_cached("INSERT INTO mentions (record, field, target) VALUES (?1, ?2, ?3)")?
                .execute(params![self.key, field, target])?;
        }
        Ok(())
    }
}

/// Stale records, oldest number first, so that records written in rounds share segments.
///
/// # Errors
/// The store cannot be read.
pub fn stale(connection: &Connection, most: usize) -> Result<Vec<i64>> {
    let mut statement =
        connection.prepare_cached("SELECT record FROM stale ORDER BY record LIMIT ?1")?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let keys = statement.query_map([most], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Digest of what a space shows: records in id order with the digests of their content. A record of
/// which nothing counts is not shown.
///
/// # Errors
/// The store cannot be read.
pub fn state_digest(connection: &Connection, space: &SpaceId) -> Result<[u8; 32]> {
    let mut statement = connection.prepare_cached(
        "SELECT record, state FROM records WHERE space = ?1 AND state IS NOT NULL AND kind <> ''
         ORDER BY record",
    )?;
    let mut rows = statement.query([space.0])?;
    let mut bytes = Vec::new();
    while let Some(row) = rows.next()? {
        bytes.extend_from_slice(&row.get::<_, [u8; 16]>(0)?);
        bytes.extend_from_slice(&row.get::<_, [u8; 32]>(1)?);
    }
    Ok(hash::STATE_DIGEST.hash(&[&bytes]))
}

/// A record's history as JSON: every change with its author, and the values of the fields that it touched before and
/// after, texts in place.
#[must_use]
pub fn history(gathered: &Gathered, account: impl Fn(&str) -> String) -> Vec<Value> {
    let entries = gathered.document.history();
    entries
        .iter()
        .map(|change| {
            let carried = gathered.device_of(&change.hash);
            let shown = |key: &str, value: &Scalar| gathered.json(key, value);
            let values = change.fields.iter().map(|field| {
                let mut old: Vec<_> = field.old.iter().map(|it| shown(&field.key, it)).collect();
                let old = match old.len() {
                    0 | 1 => old.pop().unwrap_or(Value::Null),
                    _ => Value::Array(old),
                };
                let new = field.new.as_ref().map(|it| shown(&field.key, it));
                json!({ "field": field.key, "old": old, "new": new })
            });
            let fields: Vec<_> = change.fields.iter().map(|field| &field.key).collect();
            json!({
                "hash": Hex(&change.hash).to_string(),
                "device": carried.map(|carried| short(&carried.device)),
                "account": change.by.as_deref().map(&account),
                "at": carried.map(|carried| clock::rfc3339(carried.hlc >> 16)),
                "fields": fields,
                "values": values.collect::<Vec<_>>(),
                "events": change.events.len(),
                // Entries are stored only after their checkpoint held; the guard compared the hash.
                "verified": carried.is_some(),
            })
        })
        .collect()
}
