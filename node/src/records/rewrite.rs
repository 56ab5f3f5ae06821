//! What a fork took, written again by the device that wrote it (SPEC, *Written again*).
//!
//! When the hub has answered a fork, what stands on the branch that lost never counts. The device that wrote it, if it
//! is in good standing, writes each of those saves again in its new log: what a lost record was founded with and all
//! that was written on it becomes a new record, and a lost change of a record that counts is made once more upon what
//! counts. Who built on what was lost does the same with his own changes, once theirs is there to build on.
//!
//! Links make it happen once, whatever comes first and however often it is tried: a founding change names the record
//! that it takes the place of in the field `supersedes`, and every such change puts a field `rewrites/` with the beginning
//! of the digest of the change that it writes again. A link says something only of what the same key wrote. Where two
//! stores of one device have written one record again, the one that was written first stands, on every node.
//!
//! Owns these links, the tables `rewrites` and `rewritten`, and the plan of what is to be written again. Must not judge
//! what counts: that is the gate's and the authority's.
//!
//! Rejected: to write a lost record again under its own id. The id names the place of its founding change, which is lost.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Membership, Reason};
use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::document::{ChangeHash, Edit, GuardedChange, Limits, Scalar, retold};
use lianxin_protocol::hash::{Hex, parse_hex};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{Entry, EntryKind, LogId, RecordId};
use lianxin_protocol::part::{Part, PartRef};
use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::save::{self, Save};
use super::{Gathered, Kept, Placed, all_parts, gather, in_place, numbers};
use crate::error::{Code, Error, Result};
use crate::journal::{Aside, Journal, aside};

/// Field of a founding change: the id of the record that this one takes the place of.
pub(super) const SUPERSEDES: &str = "supersedes";
/// Beginning of the key of a field: this change writes again the change whose digest begins with the digits that follow.
const REWRITES: &str = "rewrites/";
/// Field of a record that was written again under another number, because its own was given twice.
pub(super) const FORMER_NUMBER: &str = "former_number";

/// A record's id, or the beginning of a change's digest.
type Old = [u8; 16];

/// Records that are looked at in one go: a save waits no longer than that takes.
const DUE_MAX: usize = 128;

fn old_of(change: &ChangeHash) -> Old {
    change.first_chunk().copied().unwrap_or_default()
}

/// Whether a field is a link between changes, which says nothing to people.
pub(super) fn is_link(key: &str) -> bool {
    key.starts_with(REWRITES)
}

/// What the counting changes of a record write again: whose device says so, and when by its hybrid clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rewrites {
    links: BTreeSet<(Old, DeviceKey, i64)>,
    /// The record that it takes the place of.
    supersedes: Option<Old>,
}

impl Rewrites {
    /// Those of a record.
    pub(super) fn of(gathered: &Gathered) -> Self {
        let mut all = BTreeSet::new();
        for (change, key, _) in gathered.document.puts(REWRITES) {
            let digits = key.strip_prefix(REWRITES).and_then(parse_hex);
            let carried = gathered.device_of(&change);
            let links = digits.zip(carried);
            all.extend(links.map(|(old, carried)| (old, carried.device, stored(carried.hlc))));
        }
        let record = superseded(gathered);
        let supersedes = record.as_ref().map(|it| it.old.0);
        all.extend(record.map(|it| (it.old.0, it.device, it.hlc)));
        Self {
            links: all,
            supersedes,
        }
    }

    fn has(&self, change: &ChangeHash, device: &DeviceKey) -> bool {
        let from = (old_of(change), *device, i64::MIN);
        let mut found = self.links.range(from..);
        found
            .next()
            .is_some_and(|it| (it.0, it.1) == (from.0, from.1))
    }

    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.supersedes.is_none()
    }

    /// Writes them; what is shown of another record because of them is made anew where they are others than before.
    pub(super) fn write(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        (key, stands): (i64, bool),
    ) -> Result<()> {
        let mut statement = connection
            .prepare_cached("SELECT old, device, hlc, stands FROM rewrites WHERE record = ?1")?;
        let rows = statement.query_map([key], |row| {
            let stands: bool = row.get(3)?;
            Ok((row.get(0)?, DeviceKey(row.get(1)?), row.get(2)?, stands))
        })?;
        let before = rows.collect::<Result<BTreeSet<(Old, DeviceKey, i64, bool)>, _>>()?;
        let mut now = BTreeMap::new();
        for (old, device, hlc) in &self.links {
            // The earliest change that says so.
            now.entry((*old, *device)).or_insert(*hlc);
        }
        let now = now.into_iter();
        let now: BTreeSet<_> = now
            .map(|((old, device), hlc)| (old, device, hlc, stands))
            .collect();
        if before == now {
            return Ok(());
        }
        connection
            .prepare_cached("DELETE FROM rewrites WHERE record = ?1")?
            .execute([key])?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO rewrites (old, device, record, hlc, stands) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for (old, device, hlc, stands) in &now {
            insert.execute(params![old, device.0, key, hlc, stands])?;
        }
        let mut others = connection.prepare_cached(
            "SELECT id FROM records WHERE record = ?1
             UNION SELECT record FROM rewrites WHERE old = ?1",
        )?;
        let mut again = BTreeSet::new();
        // Who adds one link has one record merged again, however many he had added before.
        let changed = before.symmetric_difference(&now).map(|(old, ..)| *old);
        for old in changed.chain(self.supersedes).collect::<BTreeSet<_>>() {
            let keys = others.query_map([old], |row| row.get(0))?;
            again.extend(keys.collect::<Result<Vec<i64>, _>>()?);
        }
        again.remove(&key);
        again
            .into_iter()
            .try_for_each(|other| journal.merge_again(connection, other))
    }
}

/// A hybrid clock as it is stored; no honest one is cut.
fn stored(hlc: u64) -> i64 {
    i64::try_from(hlc).unwrap_or(i64::MAX)
}

/// The word of a founding change that its record takes the place of another.
struct Superseded {
    old: RecordId,
    device: DeviceKey,
    hlc: i64,
}

fn superseded(gathered: &Gathered) -> Option<Superseded> {
    let founder = gathered.document.founder()?;
    let puts = gathered.document.puts(SUPERSEDES);
    let (_, _, value) = puts
        .into_iter()
        .find(|(change, key, _)| *change == founder && *key == SUPERSEDES)?;
    let Scalar::Str(text) = value else {
        return None;
    };
    let carried = gathered.device_of(&founder)?;
    Some(Superseded {
        old: RecordId::parse(text)?,
        device: carried.device,
        hlc: stored(carried.hlc),
    })
}

/// The record that stands in the place of another by the word of the device that founded that one, and when it was
/// written.
fn standing(
    connection: &Connection,
    old: &RecordId,
    device: &DeviceKey,
) -> Result<Option<(i64, RecordId)>> {
    let mut statement = connection.prepare_cached(
        "SELECT rewrites.hlc, records.record FROM rewrites
         CROSS JOIN records ON records.id = rewrites.record
         WHERE old = ?1 AND device = ?2 ORDER BY rewrites.hlc, records.record LIMIT 1",
    )?;
    let found = statement.query_row(params![old.0, device.0], |row| {
        Ok((row.get(0)?, RecordId(row.get(1)?)))
    });
    Ok(found.optional()?)
}

/// What of a record is written again already, there or elsewhere.
struct Again<'a> {
    connection: &'a Connection,
    /// What the record itself says, where it stands.
    own: Rewrites,
}

impl<'a> Again<'a> {
    fn of(gathered: &Gathered, connection: &'a Connection) -> Self {
        let own = match gathered.kept {
            None => Rewrites::of(gathered),
            Some(_) => Rewrites::default(),
        };
        Self { connection, own }
    }

    /// Whether this change is, by the word of the device that wrote it.
    fn has(&self, change: &ChangeHash, device: &DeviceKey) -> Result<bool> {
        if self.own.has(change, device) {
            return Ok(true);
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT 1 FROM rewrites WHERE old = ?1 AND device = ?2 AND stands")?;
        Ok(statement.exists(params![old_of(change), device.0])?)
    }
}

/// Looks which record stands in the place of this one, or of which this one is a second, and what of it is lost.
pub(super) fn look(
    gathered: &mut Gathered,
    connection: &Connection,
    placed: &[Placed],
    beside: &[Aside],
) -> Result<()> {
    // rule:rewrite-own-only
    if let Some(kept) = &gathered.kept {
        let again = standing(connection, &gathered.id, &kept.founder)?;
        gathered.again = again.map(|(_, id)| id);
    } else if let Some(Superseded { old, device, hlc }) = superseded(gathered)
        && let Some(first) = standing(connection, &old, &device)?
        && first < (hlc, gathered.id)
    {
        gathered.again = Some(first.1);
        gathered.kept = Some(Box::new(Kept {
            reason: Reason::Forked,
            written: None,
            founder: device,
        }));
    }
    let again = Again::of(gathered, connection);
    let mut group: Vec<(LogId, i64)> = Vec::new();
    for it in placed.iter().filter(|it| it.author.space == gathered.space) {
        group.retain(|(log, _)| *log == it.log);
        group.push((it.log, it.key));
        if it.entry.header.kind != EntryKind::Change {
            continue;
        }
        let forked = it.withheld == Some(Reason::Forked);
        if forked || gathered.held.contains_key(&it.key) {
            if again.has(&it.entry.header.digest, &it.author.device)? {
                gathered.rewritten.extend(group.iter().map(|(_, key)| *key));
            } else {
                gathered.lost += u64::from(forked);
            }
        }
        group.clear();
    }
    let changes = beside
        .iter()
        .filter(|it| it.entry.header.kind == EntryKind::Change);
    for it in changes {
        let written = again.has(&it.entry.header.digest, &it.author.device)?;
        gathered.lost += u64::from(!written);
    }
    Ok(())
}

/// A retry of a record's submission leads on to the record that stands in its place.
pub(super) fn hand_on(connection: &Connection, from: i64, to: &RecordId) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE submissions SET record = ?2
         WHERE record = (SELECT record FROM records WHERE id = ?1)",
    )?;
    statement.execute(params![from, to.0])?;
    Ok(())
}

// ---- writing again ----

/// A change of this device that is lost, or builds on what is.
struct Lost {
    log: LogId,
    key: i64,
    entry: Entry,
}

impl Lost {
    fn change(&self) -> Option<GuardedChange> {
        let header = &self.entry.header;
        let raw = self.entry.payload.as_deref()?;
        GuardedChange::open(raw, &header.digest, &self.log.actor(), &Limits::default()).ok()
    }
}

/// Where lost changes of a record are written again.
enum Target {
    /// As a record of its own.
    New,
    /// In this record.
    Record(i64),
}

/// What of one record is to be written again.
struct Plan {
    record: RecordId,
    target: Target,
    /// What each change did, in the order of the log, with the change's digest.
    edits: Vec<(ChangeHash, Edit)>,
    parts: BTreeMap<PartRef, Part>,
}

impl Plan {
    /// How much its first change writes again itself.
    fn links(&self) -> usize {
        let first = self.edits.first();
        first.map_or(0, |(_, edit)| {
            edit.fields.keys().filter(|key| is_link(key)).count()
        })
    }
}

/// Records of which this device has something to write again, if it is in good standing: those among some that were not
/// looked at before, which are noted. Nothing once all were.
///
/// # Errors
/// The store cannot be read.
pub fn due(
    connection: &Connection,
    journal: &mut Journal,
    looked_at: &mut BTreeSet<i64>,
) -> Result<Option<Vec<i64>>> {
    let me = journal.identity().key();
    // rule:rewrite-by-author
    let member = journal.authority().members().get(&me);
    if member.is_none_or(|member| member.membership != Membership::Active) {
        return Ok(None);
    }
    let mut found = BTreeSet::new();
    let own = journal.logs.values().filter(|log| log.author.device == me);
    for log in own {
        let range = (log.key << 40, (log.key + 1) << 40);
        let mut statement = connection.prepare_cached(
            "SELECT json_extract(CAST(unpacked(facts) AS TEXT), '$.supersedes') IS NULL, records.record, records.id
             FROM records WHERE lost > 0 AND (
                 EXISTS (SELECT 1 FROM aside WHERE aside.record = records.id AND aside.log = ?1)
                 OR EXISTS (SELECT 1 FROM touches WHERE touches.record = records.id
                     AND entry >= ?2 AND entry < ?3))
             UNION SELECT 1, records.record, records.id FROM held
                 JOIN records ON records.id = held.record WHERE held.entry >= ?2 AND held.entry < ?3
                     AND held.entry NOT IN (SELECT entry FROM rewritten)",
        )?;
        let rows = statement.query_map(params![log.key, range.0, range.1], |row| {
            Ok((
                row.get::<_, bool>(0)?,
                row.get::<_, [u8; 16]>(1)?,
                row.get::<_, i64>(2)?,
            ))
        })?;
        found.extend(rows.collect::<Result<Vec<_>, _>>()?);
    }
    // Of what was written again before and is lost once more, the last carries all that was before it: those first.
    let found = found.into_iter().map(|(_, _, key)| key);
    let found = found.filter(|key| !looked_at.contains(key)).take(DUE_MAX);
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        return Ok(None);
    }
    let mut due = Vec::new();
    for key in found {
        looked_at.insert(key);
        if let Some(plan) = plan(connection, journal, key)? {
            due.push((plan.links(), key));
        }
    }
    due.sort_by_key(|(links, _)| std::cmp::Reverse(*links));
    Ok(Some(due.into_iter().map(|(_, key)| key).collect()))
}

/// Writes again what this device lost of a record that [`due`] named.
///
/// # Errors
/// The store cannot be written; the transaction must be rolled back. [`Code::TooLarge`] and its like where a change does
/// not fit any more.
pub fn carry_out(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    now_ms: u64,
) -> Result<()> {
    let Some(plan) = plan(connection, journal, key)? else {
        return Ok(());
    };
    let Plan {
        record,
        target,
        edits,
        parts,
    } = plan;
    let mut target = match target {
        Target::Record(key) => Some(gather(connection, journal, key)?),
        Target::New => None,
    };
    let space: [u8; 32] = connection
        .prepare_cached("SELECT space FROM records WHERE id = ?1")?
        .query_row([key], |row| row.get(0))?;
    let space = SpaceId(space);
    let count = edits.len();
    for (change, mut edit) in edits {
        let digits = Hex(&old_of(&change)).to_string();
        edit.fields
            .insert(format!("{REWRITES}{digits}"), Some(Scalar::Bool(true)));
        follow(connection, journal, &mut edit)?;
        let mut save = Save::again(edit, &parts)?;
        let log = journal.prepare(connection, space, now_ms)?;
        let gathered = match &mut target {
            Some(gathered) => {
                if !gathered.document().is_open(&log.actor()) {
                    journal.begin_anew(&log)?;
                }
                gathered
            }
            None => {
                let seq = journal.len_of(&log) + save.entries() - 1;
                let [a, b, c, d, e, f, ..] = record.0;
                let recorded_ms = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
                let id = RecordId::founded(recorded_ms, &log, seq);
                renumber(connection, journal, (save.fields(), space), now_ms)?;
                // What was written again and is lost once more goes on standing for the first.
                let old = || Some(Scalar::Str(record.hyphenated()));
                let fields = save.fields();
                fields.entry(SUPERSEDES.to_owned()).or_insert_with(old);
                let digits = Hex(&record.0).to_string();
                fields.insert(format!("{REWRITES}{digits}"), Some(Scalar::Bool(true)));
                target.insert(Gathered::new(id, space))
            }
        };
        save.write(connection, journal, gathered, now_ms)?;
    }
    if let Some(target) = target {
        // What of it is lost is known only now that the links stand.
        journal.merge_again(connection, target.key)?;
    }
    tracing::info!(changes = count, "what a fork took was written again");
    Ok(())
}

/// Whether an error of [`carry_out`] concerns one record alone: then the others are written all the same, and a person
/// has to look at it.
///
/// # Errors
/// Any other.
pub fn failed(error: Error) -> Result<()> {
    match error.code() {
        Code::TooLarge | Code::RecordFull | Code::NotPermitted | Code::RecordUnsound => {
            tracing::warn!(error = %error.chain(), "what a fork took cannot be written again");
            Ok(())
        }
        _ => Err(error),
    }
}

/// A number that another record has as well stays with that one; this one has its own from now on.
fn renumber(
    connection: &Connection,
    journal: &mut Journal,
    (fields, space): (&mut BTreeMap<String, Option<Scalar>>, SpaceId),
    now_ms: u64,
) -> Result<()> {
    const NUMBER: &str = "number";
    let Some(Some(Scalar::Str(number))) = fields.get(NUMBER).cloned() else {
        return Ok(());
    };
    let mut statement = connection
        .prepare_cached("SELECT 1 FROM records WHERE number = ?1 AND held IS NULL LIMIT 1")?;
    if !statement.exists([&number])? {
        return Ok(());
    }
    let fresh = numbers::another(connection, journal, (&number, space), now_ms)?;
    fields.insert(NUMBER.to_owned(), fresh.map(Scalar::Str));
    fields.insert(FORMER_NUMBER.to_owned(), Some(Scalar::Str(number)));
    Ok(())
}

/// What refers to a record that this device has written again refers to the new one.
fn follow(connection: &Connection, journal: &Journal, edit: &mut Edit) -> Result<()> {
    let me = journal.identity().key();
    let fresh = |text: &str| -> Result<Option<String>> {
        let Some(old) = RecordId::parse(text) else {
            return Ok(None);
        };
        Ok(standing(connection, &old, &me)?.map(|(_, id)| id.hyphenated()))
    };
    let mut fields = BTreeMap::new();
    for (key, value) in std::mem::take(&mut edit.fields) {
        let item = key.split_once('/').filter(|_| !is_link(&key));
        let renamed = match item {
            Some((set, item)) => fresh(item)?.map(|id| format!("{set}/{id}")),
            None => None,
        };
        let value = match value {
            Some(Scalar::Str(text)) if key != SUPERSEDES => {
                Some(Scalar::Str(fresh(&text)?.unwrap_or(text)))
            }
            other => other,
        };
        fields.insert(renamed.unwrap_or(key), value);
    }
    edit.fields = fields;
    for value in edit
        .events
        .iter_mut()
        .flat_map(|event| event.data.values_mut())
    {
        if let Scalar::Str(text) = value
            && let Some(id) = fresh(text)?
        {
            *text = id;
        }
    }
    Ok(())
}

fn plan(connection: &Connection, journal: &mut Journal, key: i64) -> Result<Option<Plan>> {
    let gathered = gather(connection, journal, key)?;
    let placed = in_place(connection, journal, key)?;
    let beside = aside(connection, key, &gathered.id)?;
    let all = placed
        .iter()
        .map(|it| (it.log, it.key, it.author.device, &it.entry));
    let all: Vec<_> = all
        .chain(
            beside
                .iter()
                .map(|it| (it.log, it.key, it.author.device, &it.entry)),
        )
        .filter(|(.., entry)| entry.header.kind == EntryKind::Change)
        .collect();
    let lost = lost(connection, journal, (&gathered, &placed, &beside))?;
    let Some(first) = lost.first() else {
        return Ok(None);
    };
    let founded = |log: &LogId, entry: &Entry| gathered.id.is_founded_at(log, entry.header.seq);
    let founding = all.iter().find(|(log, _, _, entry)| founded(log, entry));
    let Some((log, key, _, entry)) = founding else {
        return Ok(None);
    };
    let founding = Lost {
        log: *log,
        key: *key,
        entry: (*entry).clone(),
    };
    let target = match (gathered.again, &gathered.kept) {
        (Some(again), _) => match super::stands_for(connection, again)? {
            Some(again) => Target::Record(again),
            None => return Ok(None),
        },
        (None, None) if !gathered.document.is_empty() => Target::Record(gathered.key),
        (None, Some(kept))
            if kept.reason == Reason::Forked && founded(&first.log, &first.entry) =>
        {
            Target::New
        }
        _ => return Ok(None),
    };
    let Some(founding) = founding.change() else {
        return Ok(None);
    };
    let mut edits: Vec<(ChangeHash, Edit)> = Vec::new();
    let mut by = gathered.document.view().by.unwrap_or_default();
    for lost in &lost {
        let Some(mut edit) = lost.change().and_then(|change| retold(&change, &founding)) else {
            continue;
        };
        if edit.by.is_empty() {
            edit.by.clone_from(&by);
        }
        by.clone_from(&edit.by);
        if !edits.is_empty() || matches!(target, Target::Record(_)) {
            edit.kind = None;
        }
        edits.push((lost.entry.header.digest, edit));
    }
    let parts = all_parts(connection, gathered.key, &beside)?;
    // Nothing of a newer kind is copied by a program that cannot read it.
    let known = match (&target, edits.first()) {
        (Target::New, Some((_, edit))) => {
            let kind = edit.kind.as_deref().unwrap_or_default();
            Catalogue::current().kind(kind).is_some()
        }
        _ => true,
    };
    Ok((known && !edits.is_empty()).then_some(Plan {
        record: gathered.id,
        target,
        edits,
        parts,
    }))
}

/// The changes of a record that this device has to write again, in the order in which it wrote them.
fn lost(
    connection: &Connection,
    journal: &mut Journal,
    (gathered, placed, beside): (&Gathered, &[Placed], &[Aside]),
) -> Result<Vec<Lost>> {
    let me = journal.identity().key();
    if let Some(space) = journal.authority().space(&gathered.space)
        && save::may_write(journal, space).is_err()
    {
        return Ok(Vec::new());
    }
    let again = Again::of(gathered, connection);
    let mut authors: BTreeMap<ChangeHash, DeviceKey> = BTreeMap::new();
    let mut mine: BTreeMap<(i64, ChangeHash), (Lost, bool)> = BTreeMap::new();
    let placed = placed.iter().map(|it| {
        let forked = it.withheld == Some(Reason::Forked);
        let bound = gathered.held.contains_key(&it.key);
        (it.log, it.key, it.author.device, &it.entry, forked, bound)
    });
    let beside = beside
        .iter()
        .map(|it| (it.log, it.key, it.author.device, &it.entry, true, false));
    let changes = placed.chain(beside);
    for (log, key, device, entry, forked, bound) in
        changes.filter(|it| it.3.header.kind == EntryKind::Change)
    {
        let change = entry.header.digest;
        authors.insert(change, device);
        // rule:rewrite-once
        if device == me && (forked || bound) && !again.has(&change, &me)? {
            let entry = entry.clone();
            mine.insert((key, change), (Lost { log, key, entry }, forked));
        }
    }
    let mut found: Vec<Lost> = Vec::new();
    for (lost, forked) in mine.into_values() {
        if forked {
            if journal.is_settled(connection, &lost.log)? {
                found.push(lost);
            }
            continue;
        }
        // It builds on what was lost: once all of that is written again, so is this.
        let Some(change) = lost.change() else {
            continue;
        };
        let mut builds_on_lost = false;
        let mut ready = true;
        for dep in change.deps() {
            if gathered.document.has(dep) {
                continue;
            }
            builds_on_lost = true;
            let planned = found.iter().any(|it| it.entry.header.digest == *dep);
            ready &= planned
                || match authors.get(dep) {
                    Some(device) => again.has(dep, device)?,
                    None => false,
                };
        }
        if builds_on_lost && ready {
            found.push(lost);
        }
    }
    found.sort_by_key(|lost| lost.key);
    Ok(found)
}
