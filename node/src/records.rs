//! Records as people see them: documents and parts projected into rows, and the queries over both.
//!
//! A row holds what lists, filters and figures need; everything else of a record is rebuilt from its
//! changes when it is looked at, which takes a tenth of a millisecond. No document is stored: what is
//! derived cannot disagree with the log. A projection is a pure function of (entries, parts, authority, catalogue);
//! `lianxin reproject` makes identical rows from the same logs.
//!
//! Nothing is hidden: a record whose founding change does not count has a row as well, made from what was written of it
//! all the same, with the reason. It stands in lists and is found; it is in no figure, no queue and no digest.

pub mod apart;
pub mod articles;
pub mod calendar;
mod content;
pub mod delivery;
pub mod duplicates;
pub mod inbox;
pub(crate) mod indexed;
pub mod likeness;
pub mod merged;
mod numbers;
pub mod pieces;
mod query;
pub mod reproject;
pub mod rewrite;
pub mod save;
pub mod sight;
pub mod similar;
mod tallies;
pub(crate) mod version;
pub mod view;
pub mod waiting;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Authority, Reason, Role};
use lianxin_protocol::catalogue::{Catalogue, Kind, Outcome};
use lianxin_protocol::document::{
    ActorId, ChangeHash, Document, Fate, GuardedChange, Limits, Offered, Refusal, Scalar,
};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::identity::{DeviceKey, short};
use lianxin_protocol::log::{Author, DigestMode, Entry, EntryKind, Header, LogId, RecordId};
use lianxin_protocol::part::{Part, PartRef, reference, reference_of};
use lianxin_protocol::space::SpaceId;
use lianxin_protocol::verdict::is_known;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::segments::split_key;
use crate::journal::{Aside, Basis, Books, Journal, Overview, Which, aside, basis, exceptions};
use crate::published;
use crate::search;
use crate::store::packed;

pub use content::{ConflictValue, Conflicts, Content, NEWER_ENTRIES, ShownEvent};
use delivery::{Coverage, State};
use inbox::Letters;
use indexed::Indexed;
pub use numbers::{case_numbers_ahead, is_numbered};
pub(crate) use query::stands_for;
pub use query::{
    Against, COUNTED, Filter, Listed, Unmatched, arrivals, called, came, disputed, find, list,
    meant, name_of, named, of_name, oldest_dispute_ms, peer_seen, peers, recorded, referring,
    referring_by_space, rows, times_taken, unmatched, values_of, with_id, with_number,
};
use rewrite::{Rewrites, SUPERSEDES};
use sight::{Sight, Veil};
pub(crate) use tallies::Counted;
pub use tallies::{count, count_all, tally};
pub use view::{Record, excerpt};
pub use written::{Written, Wrote, held_count, written, written_again};

/// A change with the entry that carries it.
#[derive(Clone, Debug)]
struct Carried {
    key: i64,
    hash: ChangeHash,
    log: LogId,
    device: DeviceKey,
    actor: ActorId,
    hlc: u64,
    /// Why it does not count by rights, cuts and forks.
    withheld: Option<Reason>,
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose log.
    pub device: DeviceKey,
    /// The log.
    pub log: LogId,
    /// The place in it, from 0.
    pub seq: u64,
}

/// What was written of a record of which nothing counts at present.
#[derive(Debug)]
struct Kept {
    /// Why its founding change does not count.
    reason: Reason,
    /// Gathered from all that was written. None: it is what counts, and another record stands in its place.
    written: Option<Gathered>,
    /// Who founded it.
    founder: DeviceKey,
}

/// Everything that is known of one record.
#[derive(Debug)]
pub struct Gathered {
    /// Its number in this store.
    pub key: i64,
    /// What it was gathered from.
    pub basis: Basis,
    /// Its space.
    pub space: SpaceId,
    /// Its id.
    pub id: RecordId,
    document: Document,
    changes: Vec<Carried>,
    /// Entries that the gate does not let count, and why; those without rights are not among them.
    held: BTreeMap<i64, Reason>,
    /// Changes that do not count here and that others build on, with where they stand if they are kept beside what is
    /// in place.
    missing: BTreeMap<ChangeHash, Option<Place>>,
    /// Set where nothing counts, or nothing that stands in figures.
    kept: Option<Box<Kept>>,
    /// The record that its founder has written in its place.
    again: Option<RecordId>,
    /// Changes that a fork took and that nobody has written again.
    lost: u64,
    /// Entries in place that do not count and that their own device has written again.
    rewritten: BTreeSet<i64>,
    /// Some entries are of a kind that a newer version knows.
    newer: bool,
    /// The last of its entries in each log, where everything that was written counts and is here.
    ends: Option<BTreeMap<i64, u64>>,
    parts: BTreeMap<PartRef, Part>,
    /// What the index of texts holds of it.
    texts: search::Indexed,
}

/// Merges a record and writes its row. One that cannot be read is set aside, and the others go on.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub fn merge(connection: &Connection, journal: &mut Journal, key: i64) -> Result<()> {
    match gather(connection, journal, key) {
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

/// Indexes and merges what this transaction has taken in, if that is little: it needs no other one then, and the first receipt
/// for it says all that there is to say.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back.
pub fn merge_little(connection: &Connection, journal: &mut Journal) -> Result<()> {
    /// About a millisecond for whoever waits behind it.
    const ENTRIES: u64 = 64;
    const RECORDS: usize = 16;
    match journal.left_to_index() {
        Some(1..=ENTRIES) => {}
        _ => return Ok(()),
    }
    journal.index(connection, Which::Whole, ENTRIES)?;
    // What is left waits for the merger, and what was merged may have something to carry out behind it.
    journal.look_again();
    let stale = stale(connection, journal, RECORDS + 1)?;
    if stale.len() > RECORDS {
        return Ok(());
    }
    for key in stale {
        merge(connection, journal, key)?;
    }
    journal.judged(connection)
}

/// Whether a failure to read lies in one record alone, and the connection reads on.
pub(crate) fn is_local(error: &Error) -> bool {
    error.code() == Code::StoreCorrupt && !error.is_of_a_page()
}

/// An entry and where it stands.
struct Placed {
    key: i64,
    seq: u64,
    entry: Entry,
    log: LogId,
    author: Author,
    /// Why it does not count by rights, cuts and forks.
    withheld: Option<Reason>,
}

/// Gathers a record by its number in this store: within the writer's transaction, or in a snapshot.
///
/// # Errors
/// The store cannot be read.
pub fn gather(connection: &Connection, books: &mut Books, key: i64) -> Result<Gathered> {
    let sql = concat!(
        "SELECT record, space, founded, ",
        basis!(),
        " FROM records WHERE id = ?1"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let (id, space, founded, basis) = statement.query_row([key], |row| {
        let founded: bool = row.get(2)?;
        Ok((
            RecordId(row.get(0)?),
            SpaceId(row.get(1)?),
            founded,
            Basis::read(row, 3)?,
        ))
    })?;
    let record = Gathered {
        key,
        basis,
        ..Gathered::new(id, space)
    };
    let placed = in_place(connection, books, key)?;
    let all_count = placed.iter().all(|it| it.withheld.is_none());
    let payloads = payloads(connection, key)?;
    let here =
        |it: &Placed| it.entry.header.kind != EntryKind::Part || payloads.contains_key(&it.key);
    let all_here = placed.iter().all(here);
    let ends: BTreeMap<i64, u64> = placed
        .iter()
        .map(|it| (split_key(it.key).0, it.seq))
        .collect();
    let spoilt = |placed: &&Placed| {
        let payload = payloads.get(&placed.key);
        payload.is_some_and(|payload| !placed.entry.header.fits(payload))
    };
    if let Some(spoilt) = placed.iter().find(spoilt) {
        books.suspect([spoilt.log]);
        let message = "a part is not what was stored";
        return Err(Error::new(Code::StoreCorrupt, message));
    }
    let digests = placed.iter().map(|it| (it.key, &it.entry.header));
    let parts = read_parts(&payloads, &digests.collect());
    let mut gathered = assemble(record, founded, false, placed, parts);
    gathered.texts = search::Indexed::of(connection, key, payloads.into_keys().collect())?;
    let mut beside = aside(connection, key, &id)?;
    // From elsewhere anybody can name it.
    beside.retain(|it| it.author.space == space);
    if gathered.document.is_empty() {
        let placed = in_place(connection, books, key)?;
        let kept = kept(&gathered, connection, placed, &beside, founded)?;
        gathered.kept = kept.map(Box::new);
    }
    let whole = all_count && gathered.held.is_empty() && beside.is_empty();
    gathered.ends = (whole && all_here).then_some(ends);
    if whole && gathered.document.puts(SUPERSEDES).is_empty() {
        return Ok(gathered);
    }
    if !gathered.missing.is_empty() {
        for it in &beside {
            if let Some(place) = gathered.missing.get_mut(&it.entry.header.digest) {
                *place = Some(Place {
                    device: it.author.device,
                    log: it.log,
                    seq: it.entry.header.seq,
                });
            }
        }
    }
    rewrite::look(
        &mut gathered,
        connection,
        &in_place(connection, books, key)?,
        &beside,
    )?;
    Ok(gathered)
}

/// The entries of a record that are in place.
fn in_place(connection: &Connection, books: &mut Books, record: i64) -> Result<Vec<Placed>> {
    let mut placed = Vec::new();
    let mut rights: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for key in touches(connection, record)? {
        let (log, seq) = split_key(key);
        let without = match rights.entry(log) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                new.insert(exceptions(connection, log)?)
            }
        };
        let withheld = without
            .iter()
            .find(|exception| exception.range.contains(&seq));
        let withheld = withheld.map(|exception| exception.reason);
        let (log, author) = books.log_of(log)?;
        let entry = books.entry(connection, &log, seq)?;
        placed.push(Placed {
            key,
            seq,
            entry,
            log,
            author,
            withheld,
        });
    }
    Ok(placed)
}

/// What was written of a record of which nothing counts, in place or beside it, whatever of it counts by rights, cuts and
/// forks.
fn kept(
    record: &Gathered,
    connection: &Connection,
    mut placed: Vec<Placed>,
    beside: &[Aside],
    founded: bool,
) -> Result<Option<Kept>> {
    let parts = all_parts(connection, record.key, beside)?;
    for it in beside {
        placed.push(Placed {
            key: it.key,
            seq: it.entry.header.seq,
            entry: it.entry.clone(),
            log: it.log,
            author: it.author,
            withheld: Some(Reason::Forked),
        });
    }
    let blank = Gathered {
        key: record.key,
        basis: record.basis,
        ..Gathered::new(record.id, record.space)
    };
    let written = assemble(blank, founded, true, placed, parts);
    let founder = written.document.founder();
    let Some(founder) = founder.and_then(|founder| written.device_of(&founder)) else {
        return Ok(None);
    };
    // By rights it counts, and what its log wrote here before breaks the rules of records.
    let by_gate = record.held.get(&founder.key).copied();
    Ok(Some(Kept {
        reason: founder.withheld.or(by_gate).unwrap_or(Reason::Guard),
        founder: founder.device,
        written: Some(written),
    }))
}

/// Builds the document of a record from its entries. `founded` says that its space is known, `all` that what rights, cuts
/// and forks withhold is taken as well.
fn assemble(
    record: Gathered,
    founded: bool,
    all: bool,
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
        withheld,
    } in placed
    {
        let permitted = all || withheld.is_none();
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
            withheld,
        });
    }
    let built = Document::build(offered);
    if built.defect {
        tracing::error!("Automerge refused a change that counts; the record is shown without it");
    }
    let here: BTreeSet<_> = changes.iter().map(|carried| carried.hash).collect();
    let mut missing = BTreeMap::new();
    for (carried, fate) in changes.iter().zip(&built.fates) {
        match fate {
            Fate::Counts | Fate::Refused(Refusal::NotPermitted) => {}
            Fate::Refused(refusal) => {
                tracing::warn!(%refusal, "a change does not count");
                held.insert(carried.key, Reason::Guard);
            }
            Fate::Waits { missing: lacks } => {
                // What is here and waits itself is waited for by nobody else.
                let lacks = lacks.iter().filter(|hash| !here.contains(*hash));
                missing.extend(lacks.map(|hash| (*hash, None)));
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
    Ok(read_parts(&payloads(connection, record)?, &BTreeMap::new()))
}

/// The payloads of a record's parts, by the keys of their entries.
fn payloads(connection: &Connection, record: i64) -> Result<BTreeMap<i64, Vec<u8>>> {
    let mut statement = connection.prepare_cached(
        "SELECT touches.entry, parts.payload FROM touches CROSS JOIN parts ON parts.entry = touches.entry
         WHERE touches.record = ?1",
    )?;
    let payload = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, packed::payload(row.get(1)?)));
    let rows = statement.query_map([record], payload)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What their authors did not write as parts says nothing. `fit` are headers that are known to fit their payloads, whose digests are
/// not computed again.
fn read_parts(
    payloads: &BTreeMap<i64, Vec<u8>>,
    fit: &BTreeMap<i64, &Header>,
) -> BTreeMap<PartRef, Part> {
    let salted = |header: &&&Header| header.flags.digest_mode() == Some(DigestMode::Salted);
    let read = |(key, payload): (&i64, &Vec<u8>)| {
        let header = fit.get(key).filter(salted);
        let reference =
            header.map_or_else(|| reference(payload), |header| reference_of(&header.digest));
        Some((reference, Part::decode(payload).ok()?))
    };
    payloads.iter().filter_map(read).collect()
}

/// The parts of a record that are held, in place and beside it.
fn all_parts(
    connection: &Connection,
    record: i64,
    beside: &[Aside],
) -> Result<BTreeMap<PartRef, Part>> {
    let mut parts = parts(connection, record)?;
    let payloads = beside
        .iter()
        .filter(|it| it.entry.header.kind == EntryKind::Part)
        .filter_map(|it| it.entry.payload.as_deref());
    parts.extend(payloads.filter_map(|it| Some((reference(it), Part::decode(it).ok()?))));
    Ok(parts)
}

/// Whether these changes of a record are stored here, whether they count or not.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn holds(
    connection: &Connection,
    books: &mut Books,
    record: i64,
    changes: &[ChangeHash],
) -> Result<bool> {
    let mut missing: BTreeSet<ChangeHash> = changes.iter().copied().collect();
    for key in touches(connection, record)? {
        let (log, seq) = split_key(key);
        let (log, _) = books.log_of(log)?;
        let entry = books.entry(connection, &log, seq)?;
        missing.remove(&entry.header.digest);
    }
    Ok(missing.is_empty())
}

pub(crate) fn touches(connection: &Connection, record: i64) -> Result<Vec<i64>> {
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
            basis: Basis::default(),
            space,
            id,
            document: Document::new(),
            changes: Vec::new(),
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
            kept: None,
            again: None,
            lost: 0,
            rewritten: BTreeSet::new(),
            newer: false,
            ends: Some(BTreeMap::new()),
            parts: BTreeMap::new(),
            texts: search::Indexed::default(),
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
        self.basis.grow(entries.len());
        // The change is the last of them.
        self.texts.extend(entries.iter().copied().take(parts.len()));
        self.parts.extend(parts);
        let last = entries.last().copied().unwrap_or_default();
        if let Some(ends) = &mut self.ends {
            let (log, seq) = split_key(last);
            ends.insert(log, seq);
        }
        self.changes.push(Carried {
            key: last,
            hash: change,
            log: *log.0,
            device: log.1,
            actor: log.0.actor(),
            hlc,
            withheld: None,
        });
    }

    /// Changes that others of this record build on and that do not count here, with where those stand that are kept all
    /// the same.
    #[must_use]
    pub const fn missing(&self) -> &BTreeMap<ChangeHash, Option<Place>> {
        &self.missing
    }

    /// Why nothing of it counts, although something was written.
    #[must_use]
    pub fn held(&self) -> Option<Reason> {
        self.kept.as_ref().map(|kept| kept.reason)
    }

    /// All that was written of it, where nothing counts; else what counts.
    #[must_use]
    pub fn written(&self) -> &Self {
        let written = self.kept.as_ref().and_then(|kept| kept.written.as_ref());
        written.unwrap_or(self)
    }

    /// The record that was written in its place.
    #[must_use]
    pub const fn again(&self) -> Option<RecordId> {
        self.again
    }

    /// Who made it: the device and the account that it names.
    #[must_use]
    pub fn made_by(&self) -> Option<(DeviceKey, String)> {
        let first = self.document.founder()?;
        let device = self.device_of(&first)?.device;
        Some((device, self.document.founded_by().unwrap_or_default()))
    }

    /// The entry of the change that founded it, if that counts.
    #[must_use]
    pub fn founding_entry(&self) -> Option<i64> {
        let first = self.document.founder()?;
        self.device_of(&first).map(|carried| carried.key)
    }

    /// Has Automerge merge what is shown of it, which is then what the content is read from. Says whether it could: where not,
    /// this software has a defect.
    #[must_use]
    pub fn merged(&self) -> bool {
        self.written().document.merge()
    }

    /// What is shown of it: of a record of which nothing counts, what was written of it all the same.
    #[must_use]
    pub fn content(&self, authority: &Authority) -> Content {
        Content::of(self.written(), authority)
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

/// The number that a record had before it was written again.
fn former_number(content: &Content) -> Option<&str> {
    content.facts.get(rewrite::FORMER_NUMBER)?.as_str()
}

/// A row to be written, and what it was made from.
#[derive(Debug)]
pub struct Projection {
    key: i64,
    id: RecordId,
    space: SpaceId,
    basis: Basis,
    held: BTreeMap<i64, Reason>,
    content: Content,
    /// Its facts as packed JSON.
    facts: Vec<u8>,
    /// The steps that count, likewise, where there are any.
    steps: Option<Vec<u8>>,
    state: [u8; 32],
    /// Why it stands in no figure.
    reason: Option<Reason>,
    again: Option<RecordId>,
    lost: u64,
    rewritten: BTreeSet<i64>,
    rewrites: Rewrites,
    /// As [`Gathered`] has them.
    ends: Option<BTreeMap<i64, u64>>,
    /// Its founding change, if it counts.
    founder: Option<Carried>,
    /// What is to be written to the index of texts.
    texts: search::Update,
}

impl Projection {
    /// Makes a record's row.
    #[must_use]
    pub fn of(gathered: &Gathered, authority: &Authority) -> Self {
        let mut content = gathered.content(authority);
        let state = content.state_digest();
        // No row has them.
        content.fields = serde_json::Map::new();
        let steps = Some(content.taken()).filter(|steps| !steps.is_empty());
        let kind = Catalogue::current().kind(&content.kind);
        let searched = content.veil != Veil::All && kind.is_none_or(Kind::is_searched);
        let names = searched.then(|| search::Names {
            title: content.title.clone(),
            number: content.number.clone(),
            former: former_number(&content).map(str::to_owned),
        });
        Self {
            texts: gathered.texts.update(names.as_ref()),
            key: gathered.key,
            id: gathered.id,
            space: gathered.space,
            basis: gathered.basis,
            held: gathered.held.clone(),
            facts: packed::pack(&serde_json::to_vec(&content.facts).unwrap_or_default()),
            steps: steps.map(|steps| packed::pack(&serde_json::to_vec(&steps).unwrap_or_default())),
            content,
            state,
            reason: gathered.held(),
            again: gathered.again,
            lost: gathered.lost,
            rewritten: gathered.rewritten.clone(),
            ends: gathered
                .ends
                .clone()
                .filter(|_| gathered.held.is_empty() && gathered.held().is_none()),
            rewrites: Rewrites::of(gathered),
            founder: gathered
                .document
                .founder()
                .and_then(|founder| gathered.device_of(&founder).cloned()),
        }
    }

    /// When the record came to the hub, as lists are ordered by: nobody's clock but the hub's decides what is newest. What
    /// has not come there comes first.
    fn arrived(&self, connection: &Connection, overview: &Overview) -> Result<i64> {
        let Some(founder) = &self.founder else {
            return Ok(i64::MAX);
        };
        if overview.authority().role(&founder.device) == Some(Role::Hub) {
            return Ok(i64::try_from(founder.hlc >> 16).unwrap_or(i64::MAX));
        }
        overview.came_at(connection, &founder.log, split_key(founder.key).1)
    }

    /// Writes the row if the record's basis is still the one it was made from. Says whether it was.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn write(&self, connection: &Connection, journal: &mut Journal) -> Result<bool> {
        let content = &self.content;
        let counted = Counted::of(connection, self.key)?;
        if (counted.basis, counted.record) != (self.basis, self.id) {
            return Ok(false);
        }
        let counts = self.reason.is_none();
        let place = counts.then_some((content.kind.as_str(), content.status.as_str()));
        counted.move_to(connection, place)?;
        if self.texts.write(connection, self.key)? {
            journal.look_again();
        }
        let coverage = Coverage::of(journal);
        let (reached, sole) = match &self.ends {
            Some(ends) => coverage.of_all_to(connection, ends)?,
            None => (None, None),
        };
        let before = if counted.is_new {
            Indexed::default()
        } else {
            Indexed::of(connection, self.key)?
        };
        let arrived = self.arrived(connection, journal)?;
        self.write_row(connection, arrived, (reached, sole))?;
        journal.merged(connection, (self.key, &self.id))?;
        journal.was_read(connection, self.key)?;
        self.write_mentions(connection, counted.is_new)?;
        let nothing = serde_json::Map::new();
        let facts = match content.veil {
            Veil::All => &nothing,
            Veil::None | Veil::Words { .. } => &content.facts,
        };
        let indexed = Indexed::new(&content.kind, self.id.0, arrived, facts);
        indexed.replace(connection, self.key, &before)?;
        if let Some(number) = &content.number {
            numbers::note_twice(connection, journal, number)?;
        }
        // Of most records there is nothing there to replace.
        if !counted.is_new || !self.held.is_empty() {
            journal.hold(connection, self.key, &self.held)?;
        }
        if !counted.is_new || !self.rewritten.is_empty() {
            self.write_rewritten(connection)?;
        }
        if !counted.is_new || !self.rewrites.is_empty() {
            let place = (self.key, self.reason.is_none());
            self.rewrites.write(connection, journal, place)?;
        }
        if reached.is_none() {
            delivery::restate(connection, &coverage, self.key)?;
        }
        let letters = Letters::of(content, &self.space, journal);
        let letters = if counts { letters } else { Letters::default() };
        if !counted.is_new || !letters.is_empty() {
            letters.write(connection, self.key)?;
        }
        if self.reason.is_none() {
            numbers::take_numbers(connection, journal, content.case_numbers())?;
        }
        if let (Some(again), Some(Reason::Forked), false) =
            (self.again, self.reason, journal.is_shadow())
        {
            rewrite::hand_on(connection, self.key, &again)?;
        }
        journal.records_changed();
        let kind = Catalogue::current().kind(&content.kind);
        if kind.is_some_and(|kind| kind.calendar.is_some() || kind.terms.is_some()) {
            journal.forget_terms();
        }
        if counts && !journal.is_shadow() {
            published::merged(connection, journal, (&content.kind, &content.facts))?;
        }
        Ok(true)
    }

    /// Writes what lists show of it: when it arrived, and how far it has come, as far as that is known of all its logs or of the only one.
    fn write_row(
        &self,
        connection: &Connection,
        arrived: i64,
        (reached, sole): (Option<State>, Option<(i64, u64)>),
    ) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "UPDATE records SET kind = ?2, number = ?3, title = ?4, status = ?5, facts = ?6,
                                conflicts = ?7, waiting = ?8, state = ?9, held = ?10,
                                lost = ?11, again = ?12, arrived = ?13,
                                reached = ifnull(?14, reached), sole = ?15, last = ?16,
                                former = ?17, pressing = ?18, veil = ?19, disputed = ?20, steps = ?21
             WHERE id = ?1",
        )?;
        let content = &self.content;
        // Nobody is asked to settle a conflict in what does not count.
        let conflicts = if self.reason.is_none() {
            content.conflicts.len()
        } else {
            0
        };
        let disputed = content.disputed_ms().filter(|_| conflicts > 0);
        statement.execute(params![
            self.key,
            content.kind,
            content.number,
            content.title,
            content.status,
            self.facts,
            i64::try_from(conflicts).unwrap_or(i64::MAX),
            i64::try_from(content.waiting).unwrap_or(i64::MAX),
            self.state,
            self.reason.map(Reason::code),
            self.lost,
            self.again.map(|again| again.0),
            arrived,
            reached.map(State::code),
            sole.map(|(log, _)| log),
            sole.map(|(_, last)| last),
            former_number(content),
            waiting::pressing(&content.kind, &content.status, &content.facts),
            content.veil.column(),
            disputed,
            self.steps,
        ])?;
        Ok(())
    }

    fn write_mentions(&self, connection: &Connection, is_new: bool) -> Result<()> {
        if !is_new {
            connection
                .prepare_cached("DELETE FROM mentions WHERE record = ?1")?
                .execute([self.key])?;
        }
        // What does not count refers to nothing.
        let counts = self.reason.is_none();
        for (field, target) in self.content.mentions.iter().filter(|_| counts) {
            connection
                .prepare_cached("INSERT INTO mentions (record, field, target) VALUES (?1, ?2, ?3)")?
                .execute(params![self.key, field, target])?;
        }
        Ok(())
    }
}

impl Projection {
    fn write_rewritten(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("DELETE FROM rewritten WHERE record = ?1")?
            .execute([self.key])?;
        for entry in &self.rewritten {
            connection
                .prepare_cached("INSERT INTO rewritten (entry, record) VALUES (?1, ?2)")?
                .execute([*entry, self.key])?;
        }
        Ok(())
    }
}

/// Stale records, in the order of their numbers, so that records written in rounds share segments. At the hub oldest first, since its
/// receipts say how far it has come; elsewhere newest first, since that is what people look for on a new computer.
///
/// # Errors
/// The store cannot be read.
pub fn stale(connection: &Connection, overview: &Overview, most: usize) -> Result<Vec<i64>> {
    let sql = if overview.identity().authority.is_some() {
        "SELECT record FROM stale ORDER BY record LIMIT ?1"
    } else {
        "SELECT record FROM stale ORDER BY record DESC LIMIT ?1"
    };
    let mut statement = connection.prepare_cached(sql)?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let keys = statement.query_map([most], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

/// Digests of what counts in each space, of those that have anything: records in id order with the digests of their content. What is
/// held back is not in them, though lists show it: a branch that lost is kept where it was met and travels no further, so that nodes
/// which hold the same of all that travels differ in it. All are made in one walk.
///
/// # Errors
/// The store cannot be read.
pub fn state_digests(connection: &Connection) -> Result<BTreeMap<SpaceId, [u8; 32]>> {
    let mut statement = connection.prepare_cached(
        "SELECT space, record, state FROM records
         WHERE state IS NOT NULL AND kind <> '' AND held IS NULL ORDER BY record",
    )?;
    let mut rows = statement.query([])?;
    let mut bytes: BTreeMap<SpaceId, Vec<u8>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let of_space = bytes.entry(SpaceId(row.get(0)?)).or_default();
        of_space.extend_from_slice(&row.get::<_, [u8; 16]>(1)?);
        of_space.extend_from_slice(&row.get::<_, [u8; 32]>(2)?);
    }
    let digests = bytes.into_iter();
    Ok(digests
        .map(|(space, bytes)| (space, hash::STATE_DIGEST.hash(&[&bytes])))
        .collect())
}

/// The same of a space that has nothing.
#[must_use]
pub fn empty_digest() -> [u8; 32] {
    hash::STATE_DIGEST.hash(&[&[]])
}

/// A record's history as JSON: every change with its author, and the values of the fields that it touched before and
/// after, those that steps had set among them, texts in place, as far as they are shown; what has no effect is marked (`void`). Of a
/// sealed record none.
#[must_use]
pub fn history(
    gathered: &Gathered,
    content: &Content,
    sight: Sight,
    account: impl Fn(&str) -> String,
) -> Vec<Value> {
    if !sight.has_facts() {
        return Vec::new();
    }
    let kind = gathered.document.view().kind;
    let kind = kind.and_then(|kind| Catalogue::current().kind(&kind));
    let entries = gathered.document.history();
    let events = gathered.document.view().events.into_iter();
    let steps_by_key: BTreeMap<_, _> = events.map(|event| (event.key, event.event)).collect();
    // What steps have set, as long as nobody has written it since.
    let mut set: BTreeMap<&str, &Value> = BTreeMap::new();
    entries
        .iter()
        .map(|change| {
            let carried = gathered.device_of(&change.hash);
            let of = |key: &str, value: Value| {
                let field = kind.and_then(|kind| kind.field(key));
                sight.shown(field, value)
            };
            let shown = |key: &str, value: &Scalar| of(key, gathered.json(key, value));
            let mut values = Vec::with_capacity(change.fields.len());
            for field in &change.fields {
                let mut old: Vec<_> = field.old.iter().map(|it| shown(&field.key, it)).collect();
                let old = match (set.get(field.key.as_str()), old.len()) {
                    (Some(set), 0 | 1) => of(&field.key, (*set).clone()),
                    (_, 0 | 1) => old.pop().unwrap_or(Value::Null),
                    _ => Value::Array(old),
                };
                let new = field.new.as_ref().map(|it| shown(&field.key, it));
                let void = content
                    .unheeded
                    .contains_key(&(change.hash, field.key.clone()));
                if !void {
                    set.remove(field.key.as_str());
                }
                let void = void.then_some(true);
                values.push(json!({ "field": field.key, "old": old, "new": new, "void": void }));
            }
            let applied = |it: &&ShownEvent| {
                it.change == change.hash && matches!(it.outcome, Outcome::Applied { .. })
            };
            for event in content.events.iter().filter(applied) {
                let fields = event
                    .data
                    .iter()
                    .filter(|(key, _)| kind.is_some_and(|it| it.field(key).is_some()));
                set.extend(fields.map(|(key, value)| (key.as_str(), value)));
            }
            let fields: Vec<_> = change.fields.iter().map(|field| &field.key).collect();
            let steps = change.events.iter();
            let steps: Vec<_> = steps.filter_map(|key| steps_by_key.get(key)).collect();
            json!({
                "hash": Hex(&change.hash).to_string(),
                "device": carried.map(|carried| short(&carried.device)),
                "account": change.by.as_deref().map(&account),
                "at": carried.map(|carried| clock::rfc3339(carried.hlc >> 16)),
                "fields": fields,
                "values": values,
                "events": change.events.len(),
                "steps": steps,
                // Entries are stored only after their checkpoint held; the guard compared the hash.
                "verified": carried.is_some(),
            })
        })
        .collect()
}
