//! Saves: a checked draft becomes parts, one Automerge change, entries in this device's log, and a row,
//! all in the caller's transaction. Everything that can be refused is refused before anything is written.

mod effects;

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Membership, Role as DeviceRole, Verb};
use lianxin_protocol::catalogue::{
    Catalogue, Draft, Fact, Field, Home, Kind, Known, Refusal, Retention, Role, TAKEN_AS,
    Transition, set_dates,
};
use lianxin_protocol::document::{self, ChangeHash, Document, Edit, EditError, NewEvent, Scalar};
use lianxin_protocol::hash::{self, Hex};
use lianxin_protocol::limits;
use lianxin_protocol::log::{DigestMode, EntryKind, NewEntry, RecordId};
use lianxin_protocol::number::SiteCode;
use lianxin_protocol::part::{Part, PartRef, reference};
use lianxin_protocol::request::{Act, Ask, Datum};
use lianxin_protocol::space::{Space, SpaceId};
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value, json};

use super::apart::Write;
use super::articles;
use super::numbers::{HUB_NO, Series, hub_number, is_numbered, next_number, under_number};
use super::sight::{self, ACCESS_LOG, Veil};
use super::{Content, Gathered, Listed, Projection, gather};
use crate::accounts;
use crate::actor::Actor;
use crate::clock::{self, Beijing};
use crate::error::{Code, Error, Result};
use crate::journal::{Basis, Journal, Overview};
use crate::store;

// The guard in front of Automerge stands beside the wire's bounds and knows nothing of them: here they
// meet, and must agree.
const _: () = assert!(limits::CHANGE_DEFAULT_MAX == document::DEFAULT_CHANGE_BYTES);
const _: () = assert!(limits::CHANGE_MAX == document::HARD_CHANGE_BYTES);

/// Who saves, and when.
#[derive(Clone, Debug)]
pub struct Author {
    /// Who.
    pub actor: Actor,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What a save made.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The record's number in this store.
    pub key: i64,
    /// The record.
    pub id: RecordId,
    /// Nothing was saved: the hub was asked to.
    pub requested: bool,
}

/// A new record.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// What it holds.
    pub draft: &'a Draft,
    /// A retry finds the record that the first try made.
    pub submission: Option<Submission<'a>>,
    /// The resident was told what happens with the data 已告知.
    pub told: bool,
}

/// Datum of the event that registers: the privacy notice was shown.
const NOTICE_SHOWN: &str = "notice_shown";

/// What was sent, under an id that its sender chose: the same again is a retry and is answered alike; something else under the
/// id is refused, or its words would be lost while all seems well.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    id: &'a str,
    content: [u8; 32],
}

impl<'a> Submission<'a> {
    /// What was sent, whatever the order of its keys.
    #[must_use]
    pub fn of(id: &'a str, sent: &Value) -> Self {
        let mut text = sent.clone();
        text.sort_all_objects();
        let content = hash::PAYLOAD.hash(&[text.to_string().as_bytes()]);
        Self { id, content }
    }

    /// The record that it made or changed, if it came before.
    ///
    /// # Errors
    /// [`Code::OtherContent`] if something else came under the id.
    pub fn known(&self, connection: &Connection) -> Result<Option<RecordId>> {
        let mut statement = connection
            .prepare_cached("SELECT record, content FROM submissions WHERE submission = ?1")?;
        let known = statement.query_row([self.id], |row| {
            Ok((RecordId(row.get(0)?), row.get::<_, [u8; 32]>(1)?))
        });
        match known.optional()? {
            Some((_, content)) if content != self.content => {
                let message = "something else was sent under this id before";
                Err(Error::new(Code::OtherContent, message))
            }
            known => Ok(known.map(|(record, _)| record)),
        }
    }

    /// It was carried out.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back.
    pub fn keep(&self, connection: &Connection, record: &RecordId) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO submissions (submission, record, content) VALUES (?1, ?2, ?3)",
        )?;
        statement.execute(params![self.id, record.0, self.content])?;
        Ok(())
    }
}

/// The record of a submission, whatever was sent.
///
/// # Errors
/// The store cannot be read.
pub fn submitted(connection: &Connection, submission: &str) -> Result<Option<RecordId>> {
    let mut statement =
        connection.prepare_cached("SELECT record FROM submissions WHERE submission = ?1")?;
    let known = statement.query_row([submission], |row| row.get(0));
    Ok(known.optional()?.map(RecordId))
}

/// Those of these submissions that were carried out before.
///
/// # Errors
/// The store cannot be read.
pub fn all_submitted(connection: &Connection, ids: Vec<String>) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for id in ids {
        if submitted(connection, &id)?.is_some() {
            known.insert(id);
        }
    }
    Ok(known)
}

/// Records a new record. A submission that was carried out before gives the record that it made then.
///
/// # Errors
/// [`Code::OtherContent`] if something else was submitted under the same id,
/// [`Code::NotPermitted`] when this device may not write, [`Code::RoleRefused`] when this account may not,
/// [`Code::TooLarge`] for texts beyond a part.
pub fn add(
    connection: &Connection,
    journal: &mut Journal,
    new: &New<'_>,
    author: &Author,
) -> Result<Saved> {
    let New {
        kind,
        draft,
        submission,
        told,
    } = *new;
    if let Some(submission) = submission
        && let Some(id) = submission.known(connection)?
    {
        let key = super::find(connection, &id.hyphenated())?;
        let requested = false;
        return Ok(Saved { key, id, requested });
    }
    author.actor.may_create(kind)?;
    let saved = found(connection, journal, (kind, draft), told, author)?;
    if let Some(submission) = submission {
        submission.keep(connection, &saved.id)?;
    }
    Ok(saved)
}

/// Writes a record that only this program makes, with what is nested in it.
///
/// # Errors
/// [`Code::NotPermitted`] when this device may not write, [`Code::TooLarge`] for texts beyond a part.
pub fn by_program(
    connection: &Connection,
    journal: &mut Journal,
    (kind, draft): (&Kind, &Draft),
    author: &Author,
) -> Result<Saved> {
    found(connection, journal, (kind, draft), false, author)
}

/// Founds a record and what is nested in it.
fn found(
    connection: &Connection,
    journal: &mut Journal,
    (kind, draft): (&Kind, &Draft),
    told: bool,
    author: &Author,
) -> Result<Saved> {
    let stamp = articles::stamp(connection, journal, (kind, draft), |_| None)?;
    let stamped = stamp.map(|stamp| {
        let mut draft = draft.clone();
        draft.facts.extend([stamp]);
        draft
    });
    let draft = stamped.as_ref().unwrap_or(draft);
    let place = place(connection, journal, kind, &draft.facts)?;
    let mut series = Series::default();
    let first = plan(
        connection,
        journal,
        (kind, draft),
        &place,
        told,
        author,
        &mut series,
    )?;
    let within = (first.gathered.id, place.space);
    let mut planned = vec![first];
    plan_nested(
        connection,
        journal,
        within,
        &draft.nested,
        author,
        (&mut series, &mut planned),
    )?;
    write_all(connection, journal, planned, author)
}

/// Writes into the access log 查阅日志 that somebody looks at what is kept of a record, or takes several away, and why.
///
/// # Errors
/// [`Code::NotPermitted`] when this device may not write, [`Code::TooLarge`] for a reason beyond a part.
pub fn log_access(
    connection: &Connection,
    journal: &mut Journal,
    (record, action, reason): (Option<&RecordId>, &str, &str),
    author: &Author,
) -> Result<Saved> {
    let kind = known(ACCESS_LOG)?;
    let fact = |key: &str, value: &str| (key.to_owned(), Some(Fact::Str(value.to_owned())));
    let reason = BTreeMap::from([("reason".to_owned(), reason.to_owned())]);
    let person = person(connection, journal, author.actor.account())?;
    let draft = Draft {
        facts: [fact("action", action), fact("result", "done")]
            .into_iter()
            .chain(person.map(|mark| fact(sight::PERSON, &mark)))
            .chain(record.map(|record| fact("record", &record.hyphenated())))
            .collect(),
        texts: BTreeMap::from([(Retention::Text, reason)]),
        nested: Vec::new(),
    };
    by_program(connection, journal, (kind, &draft), author)
}

/// A mark of whoever has an account here, the same on every device of the network where they have one of that name. The name itself
/// is not told.
fn person(connection: &Connection, overview: &Overview, account: &str) -> Result<Option<String>> {
    const MARK_BYTES: usize = 16;
    let Some(account) = accounts::find(connection, account)? else {
        return Ok(None);
    };
    let name = text::folded(&account.name);
    let network = overview.identity().network;
    let mark = hash::PERSON.hash(&[&network.0, name.as_bytes()]);
    Ok(mark.get(..MARK_BYTES).map(|mark| Hex(mark).to_string()))
}

/// Adds records to the one that they belong to, in their order: the articles of a draft law.
///
/// # Errors
/// As [`add`].
pub fn add_nested(
    connection: &Connection,
    journal: &mut Journal,
    whole: &Listed,
    nested: &[(String, Draft)],
    author: &Author,
) -> Result<()> {
    let (mut series, mut planned) = (Series::default(), Vec::new());
    let within = (whole.id, whole.space);
    plan_nested(
        connection,
        journal,
        within,
        nested,
        author,
        (&mut series, &mut planned),
    )?;
    write_all(connection, journal, planned, author).map(|_| ())
}

fn plan_nested(
    connection: &Connection,
    journal: &mut Journal,
    (id, space): (RecordId, SpaceId),
    nested: &[(String, Draft)],
    author: &Author,
    (series, planned): (&mut Series, &mut Vec<Planned>),
) -> Result<()> {
    for (code, nested) in nested {
        let child = known(code)?;
        // Whoever may make the whole may make such parts of it.
        if !child.create.by_program {
            author.actor.may_create(child)?;
        }
        let mut nested = nested.clone();
        if let Some(parent) = &child.parent {
            let whole = Some(Fact::Str(id.hyphenated()));
            nested.facts.insert(parent.field.clone(), whole);
        }
        let place = Place {
            space: match child.home {
                Home::Bulletin => bulletin(journal)?,
                Home::Device | Home::Parent => space,
            },
            parent: None,
        };
        planned.push(plan(
            connection,
            journal,
            (child, &nested),
            &place,
            false,
            author,
            series,
        )?);
    }
    Ok(())
}

/// A save that can be written: nothing about it can be refused any more.
struct Planned {
    gathered: Gathered,
    save: Save,
}

/// Writes what was planned, the first first, and says what became of that.
fn write_all(
    connection: &Connection,
    journal: &mut Journal,
    planned: Vec<Planned>,
    author: &Author,
) -> Result<Saved> {
    let mut first = None;
    for Planned { mut gathered, save } in planned {
        let saved = save.write(connection, journal, &mut gathered, author.now_ms);
        let saved = match (saved, &first) {
            (saved, None) => saved?,
            // The first is written: all of them, or none.
            (saved, Some(_)) => saved.map_err(|error| {
                Error::because(
                    Code::Internal,
                    "what belongs to a save cannot be written",
                    error,
                )
            })?,
        };
        first.get_or_insert(saved);
    }
    first.ok_or_else(|| Error::new(Code::Internal, "an empty save"))
}

/// Where a new record goes.
struct Place {
    space: SpaceId,
    /// The record that it belongs to.
    parent: Option<Listed>,
}

fn place(
    connection: &Connection,
    journal: &Journal,
    kind: &Kind,
    facts: &BTreeMap<String, Option<Fact>>,
) -> Result<Place> {
    let mut parent = None;
    if let Some(it) = &kind.parent {
        let named = kind.field(&it.field).map(Field::names).unwrap_or_default();
        let text = facts.get(&it.field).and_then(Option::as_ref);
        let text = text.and_then(Fact::as_str).unwrap_or_default();
        let found = super::named(connection, text, named)?;
        parent = Some(found.ok_or_else(|| {
            let message = "the record that this belongs to is not on this device";
            Error::new(Code::NoRecord, message)
        })?);
    }
    let space = match (kind.home, &parent) {
        (Home::Bulletin, _) => bulletin(journal)?,
        (Home::Parent, Some(parent)) => {
            if let Some(space) = journal.authority().space(&parent.space) {
                may_write(journal, space)?;
            }
            parent.space
        }
        (Home::Device, _) | (Home::Parent, None) => home(connection, journal)?,
    };
    Ok(Place { space, parent })
}

fn bulletin(overview: &Overview) -> Result<SpaceId> {
    may_write(overview, Space::Bulletin)?;
    Ok(Space::Bulletin.id(&overview.identity().network))
}

pub(super) fn known(code: &str) -> Result<&'static Kind> {
    let kind = Catalogue::current().kind(code);
    kind.ok_or_else(|| Error::new(Code::Internal, "the catalogue names a kind that it lacks"))
}

/// Whether whoever brings a record of this kind is told what happens with their data 已告知.
#[must_use]
pub fn asks_notice(kind: &Kind) -> bool {
    let event = kind.register_event.as_ref();
    let event = event.and_then(|event| kind.transition(event));
    event.is_some_and(|event| event.data.iter().any(|datum| datum.key == NOTICE_SHOWN))
}

/// Plans a new record.
fn plan(
    connection: &Connection,
    journal: &mut Journal,
    (kind, draft): (&Kind, &Draft),
    place: &Place,
    told: bool,
    author: &Author,
    series: &mut Series,
) -> Result<Planned> {
    let registers = kind.register_event.as_ref();
    let registers = registers.and_then(|event| kind.transition(event));
    let (draft, marks) = &dated(connection, journal, (kind, draft, registers), place, author)?;
    let mut save = Save::new(kind.code.as_str(), author, draft)?;
    // The id names the place that the founding change will have: behind what this save writes before it.
    let log = journal.prepare(connection, place.space, author.now_ms)?;
    let before = series.planned(place.space, save.entries());
    let seq = journal.len_of(&log) + before + save.parts.len() as u64;
    // Ids of one save keep the order in which it makes them: they are what lists are sorted by.
    let id = RecordId::founded(author.now_ms + u64::from(series.made), &log, seq);
    series.made = series.made.saturating_add(1);
    let suffix = kind.parent.as_ref().and_then(|it| it.suffix.as_deref());
    let number = match (&kind.prefix, suffix, &place.parent) {
        (Some(prefix), _, _) => Some(next_number(connection, journal, prefix, author.now_ms)?),
        (None, Some(suffix), Some(parent)) => {
            under_number(connection, journal, parent, suffix, series)?
        }
        (None, _, _) => None,
    };
    let fields = &mut save.edit.fields;
    fields.extend(number.map(|number| ("number".to_owned(), Some(Scalar::Str(number)))));
    for flag in &kind.flags {
        let named = kind.field(&flag.by).map(Field::names).unwrap_or_default();
        let text = draft.facts.get(&flag.by).and_then(Option::as_ref);
        let Some(text) = text.and_then(Fact::as_str) else {
            continue;
        };
        let other = super::named(connection, text, named)?;
        if other.is_some_and(|other| !flag.unless.contains(&other.status)) {
            fields.insert(flag.field.clone(), Some(Scalar::Bool(true)));
        }
    }
    save.edit.kind = Some(kind.code.clone());
    if let Some(registers) = registers {
        let told =
            (told && asks_notice(kind)).then(|| (NOTICE_SHOWN.to_owned(), Scalar::Bool(true)));
        let marks = marks.facts.iter();
        let marks = marks.filter_map(|(key, fact)| Some((key.clone(), scalar(fact.as_ref()?))));
        let data = marks.chain(told).collect();
        let role = author.actor.registers_as(kind);
        save.add_event(&registers.event, data, (author.now_ms, role));
    }
    Ok(Planned {
        gathered: Gathered::new(id, place.space),
        save,
    })
}

/// A new record with the dates that it has by a rule, and those that its registering sets. What was only taken over from the record
/// that it belongs to is nobody's own choice, and gives way.
fn dated(
    connection: &Connection,
    journal: &mut Journal,
    (kind, draft, registers): (&Kind, &Draft, Option<&Transition>),
    place: &Place,
    author: &Author,
) -> Result<(Draft, Draft)> {
    let (mut draft, mut marks) = (draft.clone(), Draft::default());
    let registers = registers.map(|step| step.dates.as_slice());
    let registers = registers.unwrap_or_default();
    if kind.create.dates.is_empty() && registers.is_empty() {
        return Ok((draft, marks));
    }
    let today = Beijing::of(author.now_ms).iso_date();
    let terms = journal.terms(connection)?;
    let whole = place.parent.as_ref();
    let gathers = whole.and_then(|whole| known(&whole.kind).ok());
    let gathers = gathers.map(|whole| whole.gathers.as_slice());
    let by = kind.parent.as_ref().map(|parent| &parent.field);
    let gathers = gathers.unwrap_or_default().iter();
    for gather in gathers.filter(|it| it.kind == kind.code && by == Some(&it.by)) {
        for date in &kind.create.dates {
            let theirs = gather.copies.get(&date.field);
            let theirs = theirs.and_then(|ours| whole?.fact(ours)?.as_str());
            let given = draft.facts.get(&date.field).and_then(Option::as_ref);
            if theirs.is_some() && given.and_then(Fact::as_str) == theirs {
                let own = draft.facts.remove(&date.field);
                set_dates(&kind.create.dates, &mut draft, &today, |_| None, &terms)
                    .map_err(|refusal| fields_refused(&[refusal]))?;
                if let Some(own) = own {
                    draft.facts.entry(date.field.clone()).or_insert(own);
                }
            }
        }
    }
    set_dates(&kind.create.dates, &mut draft, &today, |_| None, &terms)
        .map_err(|refusal| fields_refused(&[refusal]))?;
    let held = |asked: Known<'_>| match asked {
        Known::Value(key) => {
            let held = draft.facts.get(key)?.as_ref()?;
            held.as_str().map(str::to_owned)
        }
        Known::DayOf(_) => None,
    };
    set_dates(registers, &mut marks, &today, held, &terms)
        .map_err(|refusal| fields_refused(&[refusal]))?;
    Ok((draft, marks))
}

/// Whoever makes records of a kind corrects them, but for what stands in a status in which others do, and for what steps set; others
/// take steps.
fn may_correct(
    (content, document): (&Content, &Document),
    draft: &Draft,
    author: &Author,
) -> Result<()> {
    let Some(kind) = Catalogue::current().kind(&content.kind) else {
        return Ok(());
    };
    author.actor.may_correct(kind, &content.status)?;
    let founding = |key: &str| document.founding().any(|(it, _)| it == key);
    let began = |key: &str| kind.waits(&content.status) && founding(key);
    let led = Content::led(kind, draft, author.actor.roles(), began);
    if led.is_empty() {
        Ok(())
    } else {
        Err(fields_refused(&led))
    }
}

/// Changes fields of a record.
///
/// # Errors
/// [`Code::RoleRefused`] for an account that makes no such records; [`Code::NothingToDo`] when the record has these values already, [`Code::NotPermitted`],
/// [`Code::FieldsRefused`] for emptying what a step has set.
pub fn set(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    draft: &Draft,
    author: &Author,
) -> Result<Saved> {
    let mut gathered = writable(connection, journal, key)?;
    let view = gathered.document().view();
    let content = gathered.content(journal.authority());
    may_correct((&content, &gathered.document), draft, author)?;
    if let Some(kind) = Catalogue::current().kind(&content.kind) {
        let refusals = content.keeps(kind, draft);
        if !refusals.is_empty() {
            return Err(fields_refused(&refusals));
        }
        let touched = kind.before(|key| match draft.facts.get(key) {
            Some(fact) => Some(fact.as_ref()?.as_str()?.to_owned()),
            None => content.date(key),
        });
        // What was so before is not this correction's doing.
        let was = kind.before(|key| content.date(key));
        let now: Vec<_> = touched.into_iter().filter(|it| !was.contains(it)).collect();
        if !now.is_empty() {
            return Err(fields_refused(&now));
        }
    }
    let mut draft = draft.clone();
    if let Some(kind) = Catalogue::current().kind(&content.kind) {
        let terms = journal.terms(connection)?;
        let moved = kind.moved_terms(&draft, |key| content.date(key), &terms);
        draft.facts.extend(moved);
        let held = |key: &str| content.held(key).into_iter().next();
        let stamp = articles::stamp(connection, journal, (kind, &draft), held)?;
        draft.facts.extend(stamp);
    }
    let mut save = Save::new(&content.kind, author, &draft)?;
    // Clearing a field clears every key under it as well: the items of a set, the parts of a group.
    let cleared: Vec<_> = draft
        .facts
        .iter()
        .filter(|(_, fact)| fact.is_none())
        .collect();
    for (cleared, _) in cleared {
        for key in view.fields.keys() {
            let under = key.strip_prefix(cleared.as_str());
            if under.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.'])) {
                save.edit.fields.entry(key.clone()).or_insert(None);
            }
        }
    }
    save.write(connection, journal, &mut gathered, author.now_ms)
}

/// What somebody takes for a field in conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The value that this change wrote.
    Value(ChangeHash),
    /// Words of their own, made of those that there are.
    Words(String),
}

/// Chooses between the values of fields in conflict, all in one change like any other; that it was a choice stands in it as
/// the event `settle`. What is not kept needs a reason.
///
/// # Errors
/// As [`set`]; [`Code::NothingToDo`] where a value that is picked stands there no more; [`Code::FieldsRefused`] for words that the
/// field does not hold, and for a reason that is missing or too long.
pub fn settle(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    (picks, reason): (&BTreeMap<String, Pick>, &str),
    author: &Author,
) -> Result<Saved> {
    let mut gathered = writable(connection, journal, key)?;
    let content = gathered.content(journal.authority());
    let kind = Catalogue::current().kind(&content.kind);
    let mut draft = Draft::default();
    let mut refusals = Vec::new();
    let mut discards = false;
    for (field, pick) in picks {
        let gone = || {
            let message = "this conflict has been settled meanwhile";
            Error::new(Code::NothingToDo, message)
        };
        let values = content.conflicts.get(field).ok_or_else(gone)?;
        match pick {
            Pick::Value(change) => {
                let open = content.apart.iter().find(|it| it.field == *field);
                let stands = values.iter().any(|value| value.change == *change);
                let open = open.filter(|_| stands).ok_or_else(gone)?;
                let mut standing = open.standing();
                let taken = standing.find(|it| it.change == *change).ok_or_else(gone)?;
                discards |= open.standing().any(|other| !taken.keeps(other));
                put(&mut draft, (kind, field), taken)?;
            }
            Pick::Words(words) => {
                let kind = kind.ok_or_else(gone)?;
                match kind.read_edit(&under(field, json!(words))) {
                    Ok(words) => {
                        draft.facts.extend(words.facts);
                        for (retention, texts) in words.texts {
                            draft.texts.entry(retention).or_default().extend(texts);
                        }
                    }
                    Err(refused) => refusals.extend(refused),
                }
            }
        }
    }
    may_correct((&content, &gathered.document), &draft, author)?;
    if let Some(kind) = kind {
        refusals.extend(content.keeps(kind, &draft));
    }
    let step = kind.and_then(|kind| Some((kind, kind.transition(SETTLE)?)));
    // Whoever has no role yet, at a device that is not confirmed 待入网, chooses without saying why.
    let role = step.and_then(|(_, step)| author.actor.takes(SETTLE, &step.who).ok());
    if discards && role.is_some() && text::is_blank(reason) {
        refusals.push(Refusal {
            field: REASON.to_owned(),
            code: "required",
            message: "say why the other value is not kept".to_owned(),
        });
    }
    if !refusals.is_empty() {
        return Err(fields_refused(&refusals));
    }
    let mut save = Save::new(&content.kind, author, &draft)?;
    save.anew = picks.keys().cloned().collect();
    if let (Some((kind, _)), Some(role)) = (step, role) {
        save.say(kind, (SETTLE, reason, None), (role, author))?;
    }
    save.write(connection, journal, &mut gathered, author.now_ms)
}

/// Takes a choice back: puts, for each field, a value that was not taken. It is one change, and names the choice in the event
/// `unsettle`.
///
/// # Errors
/// As [`set`]; [`Code::NothingToDo`] where the choice does not stand there any more, [`Code::StepRefused`] when it is longer ago than
/// [`UNSETTLE_DAYS`] by the day of the choice as its device says, [`Code::FieldsRefused`] for a reason that is too long.
pub fn unsettle(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    (change, picks, reason): (&ChangeHash, &BTreeMap<String, ChangeHash>, &str),
    author: &Author,
) -> Result<Saved> {
    let mut gathered = writable(connection, journal, key)?;
    let content = gathered.content(journal.authority());
    let message = "a record of a kind that this version lacks";
    let kind = known(&content.kind).map_err(|_| Error::new(Code::StepRefused, message))?;
    let step = kind.transition(UNSETTLE);
    let step = step.ok_or_else(|| Error::new(Code::StepRefused, "there is no such step"))?;
    let role = author.actor.takes(UNSETTLE, &step.who)?;
    let mut draft = Draft::default();
    for (field, pick) in picks {
        let open = content.apart.iter().find(|it| it.field == *field);
        let taken = open.and_then(|open| {
            let mut values = open.not_taken(change).into_iter();
            let value = values.find(|value| value.change == *pick)?;
            let choice = open.standing().next()?;
            Some((choice, value))
        });
        let gone = || Error::new(Code::NothingToDo, "this choice does not stand any more");
        let (choice, value) = taken.ok_or_else(gone)?;
        if !may_take_back(choice.at_ms, author.now_ms) {
            let message = "this choice is too long ago to be taken back: correct the field instead";
            return Err(Error::new(Code::StepRefused, message));
        }
        put(&mut draft, (Some(kind), field), value)?;
    }
    may_correct((&content, &gathered.document), &draft, author)?;
    let refusals = content.keeps(kind, &draft);
    if !refusals.is_empty() {
        return Err(fields_refused(&refusals));
    }
    if picks.is_empty() {
        return Err(Error::new(Code::NothingToDo, "no field was named"));
    }
    let mut save = Save::new(&content.kind, author, &draft)?;
    save.anew = picks.keys().cloned().collect();
    let undoes = Hex(change).to_string();
    save.say(
        kind,
        (UNSETTLE, reason, Some((UNDOES, &undoes))),
        (role, author),
    )?;
    save.write(connection, journal, &mut gathered, author.now_ms)
}

/// Whether a choice of one moment may still be taken back at another, both in Unix milliseconds: by their days in Beijing.
#[must_use]
pub fn may_take_back(chosen_ms: u64, now_ms: u64) -> bool {
    let day = |unix_ms| clock::beijing_day(unix_ms).0;
    day(now_ms) <= day(chosen_ms).saturating_add(UNSETTLE_DAYS * DAY_MS)
}

/// Days for which a choice may be taken back.
pub const UNSETTLE_DAYS: u64 = 7;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The event of a change that chooses between two values, and of one that takes a choice back; every kind has them.
pub const SETTLE: &str = "settle";
/// See [`SETTLE`].
pub const UNSETTLE: &str = "unsettle";
/// Datum that names the choice that is taken back, by its digest.
pub const UNDOES: &str = "undoes";
/// Datum that says why.
pub const REASON: &str = "reason";

/// Puts into a draft what a write put, or that it cleared the field.
fn put(draft: &mut Draft, (kind, field): (Option<&Kind>, &str), write: &Write) -> Result<()> {
    let fact = match &write.scalar {
        None => None,
        Some(Scalar::Str(text)) => Some(Fact::Str(text.clone())),
        Some(Scalar::Int(number)) => Some(Fact::Int(*number)),
        Some(Scalar::Bool(yes)) => Some(Fact::Bool(*yes)),
        Some(Scalar::Part(_)) => {
            let absent = || {
                let message = "the words of this value are not on this device";
                Error::new(Code::NoRecord, message)
            };
            let text = write.value.as_str().ok_or_else(absent)?.to_owned();
            let retention = kind.and_then(|kind| kind.field(field)?.retention);
            let texts = draft.texts.entry(retention.unwrap_or(Retention::Text));
            texts.or_default().insert(field.to_owned(), text);
            return Ok(());
        }
    };
    draft.facts.insert(field.to_owned(), fact);
    Ok(())
}

/// A value under a flat key, as nested JSON.
pub(crate) fn under(field: &str, value: Value) -> Value {
    match field.split_once('.') {
        None => json!({ field: value }),
        Some((group, name)) => json!({ group: { name: value } }),
    }
}

/// A step that may be taken: judged, and not written.
#[derive(Debug)]
pub struct Ready {
    /// The record's number in this store.
    pub key: i64,
    gathered: Gathered,
    kind: &'static Kind,
    step: &'static Transition,
    draft: Draft,
    /// In which it is taken.
    role: Role,
}

impl Ready {
    /// Whether the hub numbers it, so that it is taken there or asked for.
    #[must_use]
    pub fn is_numbered(&self) -> bool {
        is_numbered(self.kind, &self.step.event)
    }

    /// The record.
    #[must_use]
    pub const fn id(&self) -> RecordId {
        self.gathered.id
    }

    /// What the hub is asked. A request cannot be erased, so it carries facts alone.
    ///
    /// # Errors
    /// [`Code::HubOnly`] for a step that carries texts.
    pub fn into_ask(mut self) -> Result<Ask> {
        // rule:request-facts-only
        if self.draft.texts.values().any(|texts| !texts.is_empty()) {
            let message = "a step that carries texts cannot be asked for";
            return Err(Error::new(Code::HubOnly, message));
        }
        let facts = self.draft.facts.into_iter().filter_map(|(key, fact)| {
            let datum = match fact? {
                Fact::Str(text) => Datum::Str(text),
                Fact::Int(number) => Datum::Int(number),
                Fact::Bool(yes) => Datum::Bool(yes),
            };
            (key != HUB_NO).then_some((key, datum))
        });
        let facts = facts.collect();
        let mut seen = self.gathered.document().heads();
        seen.sort_unstable();
        seen.truncate(limits::REQUEST_SEEN_MAX);
        Ok(Ask::Act(Act {
            record: self.gathered.id,
            space: self.gathered.space,
            event: self.step.event.clone(),
            seen,
            facts,
        }))
    }
}

/// Judges a step of a record's workflow. `input` is what the step carries; the case number of an acceptance is
/// filled in by the hub.
///
/// # Errors
/// [`Code::StepRefused`] when it is not possible in the record's status or not for this device, [`Code::RoleRefused`] when
/// not for this account, [`Code::FieldsRefused`] when it does not carry what it must.
pub fn ready(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    (event, input): (&str, &Value),
    (actor, now_ms): (&Actor, u64),
) -> Result<Ready> {
    let gathered = writable(connection, journal, key)?;
    let content = gathered.content(journal.authority());
    let kind = Catalogue::current().kind(&content.kind);
    let refuse = |message: String| Error::new(Code::StepRefused, message);
    let kind =
        kind.ok_or_else(|| refuse("a record of a kind that this version lacks".to_owned()))?;
    let step = kind.transition(event).ok_or_else(|| {
        let known: Vec<_> = kind
            .transitions
            .iter()
            .map(|step| step.event.as_str())
            .collect();
        refuse(format!(
            "there is no step `{event}`; steps: {}",
            known.join(", ")
        ))
    })?;
    if !sight::on_step(connection, journal, (key, &content), actor)?.has_facts() {
        let message = "what this record holds is not shown to this account";
        return Err(Error::new(Code::NotShown, message));
    }
    if step.beside {
        return Err(refuse(format!("`{event}` is taken with another step")));
    }
    if !content.bears(step) {
        return Err(refuse(format!(
            "there is nothing for `{event}` to take away"
        )));
    }
    if !step.applies_to(&content.status) {
        let message = format!(
            "`{event}` does not lead on from status `{}`",
            content.status
        );
        return Err(refuse(message));
    }
    let day = Beijing::of(now_ms).iso_date();
    let date = |key: &str| content.date(key);
    if step.is_early(date, &day) {
        let first = step.not_before.as_ref().and_then(|key| content.date(key));
        let message = format!(
            "`{event}` is possible from {} on",
            first.unwrap_or_default()
        );
        return Err(refuse(message));
    }
    if !step.guards.is_empty() {
        let meant = super::meant(connection, kind, (key, &content))?;
        if let Some(why) = step.barred(|key| meant.get(key).cloned().unwrap_or_default()) {
            return Err(refuse(why.en.clone()));
        }
    }
    let open = step.open_on(content.times(event), date, &day);
    let role = actor.takes(event, open)?;
    let draft = read_step(kind, event, input);
    let mut draft = draft.map_err(|refusals| fields_refused(&refusals))?;
    name_accounts(connection, journal, (step, &mut draft), actor)?;
    let early = step.before(&draft, date);
    if !early.is_empty() {
        return Err(fields_refused(&early));
    }
    goes_to_a_site(connection, journal, (step, &draft), gathered.space)?;
    leads_elsewhere(
        connection,
        (kind, step),
        &draft,
        (gathered.id, &content.veil),
    )?;
    Ok(Ready {
        key,
        gathered,
        kind,
        step,
        draft,
        role,
    })
}

/// Puts the ids of accounts in the place of their names, where a step names a second person: an account of this device that may take
/// the step as well, and another than the one that takes it.
fn name_accounts(
    connection: &Connection,
    overview: &Overview,
    (step, draft): (&Transition, &mut Draft),
    actor: &Actor,
) -> Result<()> {
    for field in step.data.iter().filter(|field| field.account) {
        let Some(Some(Fact::Str(name))) = draft.facts.get(&field.key) else {
            continue;
        };
        let named = accounts::named(connection, name)?.or(accounts::find(connection, name)?);
        let second = named.filter(|account| {
            let may = Actor::of(account, overview).takes(&step.event, &step.who);
            account.id != actor.account() && may.is_ok()
        });
        let Some(second) = second else {
            let refusal = Refusal {
                field: field.key.clone(),
                code: "no_account",
                message: "this is no other account of this device that may do so".to_owned(),
            };
            return Err(fields_refused(&[refusal]));
        };
        let id = Some(Fact::Str(second.id));
        draft.facts.insert(field.key.clone(), id);
    }
    Ok(())
}

/// Refuses a step that passes a record on to no site of the network, or to the one whose it is.
fn goes_to_a_site(
    connection: &Connection,
    overview: &Overview,
    (step, draft): (&Transition, &Draft),
    from: SpaceId,
) -> Result<()> {
    let Some(key) = &step.to_site else {
        return Ok(());
    };
    let given = draft.facts.get(key).and_then(Option::as_ref);
    let Some(given) = given.and_then(Fact::as_str) else {
        return Ok(());
    };
    let refused = |code, message: &str| {
        let refusal = Refusal {
            field: key.clone(),
            code,
            message: message.to_owned(),
        };
        Err(fields_refused(&[refusal]))
    };
    let register = ["site".to_owned()];
    let listed = super::named(connection, given, &register)?;
    let code = listed.as_ref().and_then(|row| row.fact("code"));
    let code = code.and_then(Value::as_str).unwrap_or(given);
    let folded = text::folded(given);
    let mut sites = overview.authority().sites().iter();
    let site = sites.find(|(id, site)| {
        site.code == code || id.to_string() == given || text::folded(&site.name) == folded
    });
    match site {
        Some((id, _)) if Space::Site(*id).id(&overview.identity().network) == from => {
            refused("own_site", "the record is this site's already")
        }
        None if listed.is_none() => refused("no_site", "there is no such site here"),
        _ => Ok(()),
    }
}

/// Refuses a step that would put a record in its own place, also by way of others: then nobody would handle any of them.
fn leads_elsewhere(
    connection: &Connection,
    (kind, step): (&Kind, &Transition),
    draft: &Draft,
    (id, of): (RecordId, &Veil),
) -> Result<()> {
    /// More than anybody puts in the place of each other.
    const MOST: usize = 64;
    let own = |field: &&Field| step.to.is_some() && field.names().contains(&kind.code);
    for field in step.data.iter().filter(own) {
        let given = draft.facts.get(&field.key).and_then(Option::as_ref);
        let mut text = given.and_then(Fact::as_str).map(str::to_owned);
        for round in 0..MOST {
            let Some(named) = text.take() else { break };
            let Some(row) = super::named(connection, &named, field.names())? else {
                if round == 0 {
                    // Nobody would handle it any more.
                    let refusal = Refusal {
                        field: field.key.clone(),
                        code: "nothing",
                        message: "this is no record of that kind here".to_owned(),
                    };
                    return Err(fields_refused(&[refusal]));
                }
                break;
            };
            let follows = kind.follows.as_ref().filter(|it| it.field == field.key);
            if round == 0 && follows.is_some_and(|it| !it.into.contains(&row.status)) {
                let refusal = Refusal {
                    field: field.key.clone(),
                    code: "ended",
                    message: "that one has its answer already, or is at its end".to_owned(),
                };
                return Err(fields_refused(&[refusal]));
            }
            if round == 0 && follows.is_some() && row.is_kept_more(of) {
                let refusal = Refusal {
                    field: field.key.clone(),
                    code: "kept",
                    message: "that one is kept from more people: its answer would be told here"
                        .to_owned(),
                };
                return Err(fields_refused(&[refusal]));
            }
            if row.id == id {
                let refusal = Refusal {
                    field: field.key.clone(),
                    code: "itself",
                    message: "this leads back to the record itself".to_owned(),
                };
                return Err(fields_refused(&[refusal]));
            }
            let next = row.facts.get(&field.key).and_then(Value::as_str);
            text = next.map(str::to_owned);
        }
    }
    Ok(())
}

/// Takes a step, with what it does beside its record.
///
/// # Errors
/// [`Code::FieldsRefused`] for a record that it would make; else the store cannot be written.
pub fn take(
    connection: &Connection,
    journal: &mut Journal,
    ready: Ready,
    author: &Author,
) -> Result<Saved> {
    let numbered = ready.is_numbered();
    let Ready {
        key,
        gathered,
        kind,
        step,
        mut draft,
        role,
    } = ready;
    let number = if numbered {
        Some(hub_number(connection, journal, author.now_ms)?)
    } else {
        None
    };
    if let Some(number) = &number {
        let text = Some(Fact::Str(number.text.clone()));
        draft.facts.insert(HUB_NO.to_owned(), text);
    }
    if !step.dates.is_empty() {
        let today = Beijing::of(author.now_ms).iso_date();
        let content = gathered.content(journal.authority());
        let terms = journal.terms(connection)?;
        step.set_dates(&mut draft, &today, |asked| content.known(asked), &terms)
            .map_err(|refusal| fields_refused(&[refusal]))?;
        // What a rule gives is held to the same as what is typed.
        let early = step.before(&draft, |key| content.date(key));
        if !early.is_empty() {
            return Err(fields_refused(&early));
        }
    }
    let mut save = Save::new(&kind.code, author, &draft)?;
    save.become_event(&step.event, (author.now_ms, Some(role)));
    let mut series = Series::default();
    series.planned(gathered.space, save.entries());
    let mut planned = Vec::new();
    if step.makes.is_some() || !step.moves.is_empty() {
        let whole = super::rows(connection, &[key])?.pop();
        let message = "this record is not merged yet";
        let whole = whole.ok_or_else(|| Error::new(Code::StepRefused, message))?;
        let taken = effects::Taken {
            whole: &whole,
            step,
            draft: &draft,
            role,
            author,
        };
        planned = taken.effects(connection, journal, &mut series)?;
    }
    planned.insert(0, Planned { gathered, save });
    let saved = write_all(connection, journal, planned, author)?;
    if let Some(number) = &number {
        // Given only now that it stands in a record: a write that is refused must not leave a gap either.
        number.give(connection, journal)?;
    }
    Ok(saved)
}

/// Judges what a step carries. A step that the hub numbers is judged with a number in its place: one that is
/// refused must not leave a gap.
///
/// # Errors
/// All refusals at once, as [`Kind::read_event`] has them.
pub fn read_step(kind: &Kind, event: &str, input: &Value) -> Result<Draft, Vec<Refusal>> {
    let mut input = input.clone();
    if let Value::Object(fields) = &mut input
        && is_numbered(kind, event)
    {
        fields.insert(HUB_NO.to_owned(), json!("1"));
    }
    kind.read_event(event, &input)
}

/// The error that names refused fields; it never repeats what was typed.
#[must_use]
pub fn fields_refused(refusals: &[Refusal]) -> Error {
    let named: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("{}: {}", refusal.field, refusal.message))
        .collect();
    let fixed = refusals.iter().any(|refusal| refusal.code == "fixed");
    let code = if fixed {
        Code::Fixed
    } else {
        Code::FieldsRefused
    };
    Error::new(code, named.join("; "))
}

/// The space of this device's new records: its site's, or the hub's.
fn home(connection: &Connection, overview: &Overview) -> Result<SpaceId> {
    let network = overview.identity().network;
    let member = overview
        .authority()
        .members()
        .get(&overview.identity().key());
    let space = match member.map(|member| (&member.grant, member.grant.role)) {
        Some((_, DeviceRole::Operator | DeviceRole::Hub)) => Space::Hub,
        Some((grant, _)) => {
            let no_site = || Error::new(Code::NotPermitted, "this device stands at no site");
            Space::Site(grant.site.ok_or_else(no_site)?)
        }
        None => {
            // Not confirmed yet 待入网: the invite said where.
            let code = store::meta(connection, "device_code")?.unwrap_or_default();
            if code.starts_with(SiteCode::HUB.to_string().as_bytes()) {
                return Ok(Space::Hub.id(&network));
            }
            let site = store::meta(connection, "site")?;
            let site = site.and_then(|site| <[u8; 16]>::try_from(site).ok());
            let unknown =
                || Error::new(Code::NotEnrolled, "the hub has not told this device's site");
            return Ok(
                Space::Site(lianxin_protocol::space::SiteId(site.ok_or_else(unknown)?))
                    .id(&network),
            );
        }
    };
    may_write(overview, space)?;
    Ok(space.id(&network))
}

pub(super) fn may_write(overview: &Overview, space: Space) -> Result<()> {
    // A revoked device goes on recording: its entries wait for an operator's decision.
    let known = overview
        .authority()
        .members()
        .get(&overview.identity().key());
    let allowed = known.is_none_or(|member| {
        member.membership != Membership::Active
            || overview
                .authority()
                .permits(&member.grant.device, space, Verb::Write)
    });
    let refuse = || {
        Error::new(
            Code::NotPermitted,
            "this device may not write in this space",
        )
    };
    if allowed { Ok(()) } else { Err(refuse()) }
}

/// Whether this device may write in a record's space.
#[must_use]
pub fn may_edit(overview: &Overview, gathered: &Gathered) -> bool {
    let space = overview.authority().space(&gathered.space);
    space.is_none_or(|space| may_write(overview, space).is_ok())
}

/// Gathers a record to write on it. A log that can write no more there ends, so that the save begins another.
fn writable(connection: &Connection, journal: &mut Journal, key: i64) -> Result<Gathered> {
    let gathered = gather(connection, journal, key)?;
    if gathered.document.is_empty() || gathered.held().is_some() {
        // Its founder has not come, or was revoked a moment ago, and lists have not caught up.
        let message = "no change of this record counts at present";
        return Err(Error::new(Code::RecordWaiting, message));
    }
    if let Some(space) = journal.authority().space(&gathered.space) {
        may_write(journal, space)?;
    }
    if let Some(log) = journal.own_log(gathered.space)
        && !gathered.document.is_open(&log.actor())
    {
        // rule:new-log-refused
        journal.begin_anew(&log)?;
    }
    Ok(gathered)
}

fn scalar(fact: &Fact) -> Scalar {
    match fact {
        Fact::Str(text) => Scalar::Str(text.clone()),
        Fact::Int(number) => Scalar::Int(*number),
        Fact::Bool(yes) => Scalar::Bool(*yes),
    }
}

/// A save that has been planned and not written.
pub(super) struct Save {
    edit: Edit,
    /// Fields that it says anew although they have their value.
    anew: BTreeSet<String>,
    parts: Vec<(PartRef, Part, Vec<u8>)>,
}

impl Save {
    fn new(kind: &str, author: &Author, draft: &Draft) -> Result<Self> {
        let mut fields: BTreeMap<String, Option<Scalar>> = BTreeMap::new();
        for (key, value) in &draft.facts {
            fields.insert(key.clone(), value.as_ref().map(scalar));
        }
        let mut parts = Vec::new();
        for texts in draft.texts.values().filter(|texts| !texts.is_empty()) {
            let part = Part {
                salt: clock::random()?,
                texts: texts.clone(),
            };
            let payload = part.encode();
            if payload.len() > limits::PART_MAX {
                let message = format!("the texts of one save of a {kind} are too long together");
                return Err(Error::new(Code::TooLarge, message));
            }
            let reference = reference(&payload);
            for key in texts.keys() {
                fields.insert(key.clone(), Some(Scalar::Part(reference)));
            }
            parts.push((reference, part, payload));
        }
        let edit = Edit {
            kind: None,
            by: author.actor.account().to_owned(),
            fields,
            events: Vec::new(),
        };
        let anew = BTreeSet::new();
        Ok(Self { edit, anew, parts })
    }

    /// A save that does once more what an edit did, with its texts sealed anew. A text that is not here any more is left
    /// out.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(super) fn again(mut edit: Edit, known: &BTreeMap<PartRef, Part>) -> Result<Self> {
        let mut fresh: BTreeMap<PartRef, Option<PartRef>> = BTreeMap::new();
        let mut parts = Vec::new();
        let mut seal = |old: &PartRef| -> Result<Option<PartRef>> {
            if let Some(sealed) = fresh.get(old) {
                return Ok(*sealed);
            }
            let mut sealed = None;
            if let Some(part) = known.get(old) {
                let part = Part {
                    salt: clock::random()?,
                    texts: part.texts.clone(),
                };
                let payload = part.encode();
                sealed = Some(reference(&payload));
                parts.push((reference(&payload), part, payload));
            }
            fresh.insert(*old, sealed);
            Ok(sealed)
        };
        let mut data = BTreeMap::new();
        for (key, value) in std::mem::take(&mut edit.fields) {
            match value {
                Some(Scalar::Part(old)) => {
                    data.extend(seal(&old)?.map(|it| (key, Some(Scalar::Part(it)))));
                }
                value => {
                    data.insert(key, value);
                }
            }
        }
        edit.fields = data;
        for event in &mut edit.events {
            let mut data = BTreeMap::new();
            for (key, value) in std::mem::take(&mut event.data) {
                match value {
                    Scalar::Part(old) => {
                        data.extend(seal(&old)?.map(|it| (key, Scalar::Part(it))));
                    }
                    value => {
                        data.insert(key, value);
                    }
                }
            }
            event.data = data;
        }
        let anew = BTreeSet::new();
        Ok(Self { edit, anew, parts })
    }

    /// The fields that it writes.
    pub(super) const fn fields(&mut self) -> &mut BTreeMap<String, Option<Scalar>> {
        &mut self.edit.fields
    }

    /// Entries that it will write: its parts and the change.
    pub(super) fn entries(&self) -> u64 {
        self.parts.len() as u64 + 1
    }

    /// Adds an event, taken at this time in this role.
    fn add_event(
        &mut self,
        event: &str,
        mut data: BTreeMap<String, Scalar>,
        (now_ms, role): (u64, Option<Role>),
    ) {
        let letter = role.map(|role| Scalar::Str(role.letter().to_owned()));
        data.extend(letter.map(|letter| (TAKEN_AS.to_owned(), letter)));
        self.edit.events.push(NewEvent {
            event: event.to_owned(),
            at_ms: i64::try_from(now_ms).unwrap_or(i64::MAX),
            data,
        });
    }

    /// Adds a step that is written along with it: its reason, if there is one, and what it names.
    fn say(
        &mut self,
        kind: &Kind,
        (event, reason, names): (&str, &str, Option<(&str, &str)>),
        (role, author): (Role, &Author),
    ) -> Result<()> {
        let mut input = Map::new();
        if !text::is_blank(reason) {
            input.insert(REASON.to_owned(), json!(reason));
        }
        input.extend(names.map(|(key, name)| (key.to_owned(), json!(name))));
        let said = kind.read_event(event, &Value::Object(input));
        let said = said.map_err(|refusals| fields_refused(&refusals))?;
        let mut step = Self::new(&kind.code, author, &said)?;
        step.become_event(event, (author.now_ms, Some(role)));
        self.edit.events = step.edit.events;
        self.parts.extend(step.parts);
        Ok(())
    }

    /// Makes what it holds the data of an event.
    fn become_event(&mut self, event: &str, taken: (u64, Option<Role>)) {
        let data = std::mem::take(&mut self.edit.fields);
        let given = |(key, value): (String, Option<Scalar>)| Some((key, value?));
        let data = data.into_iter().filter_map(given).collect();
        self.add_event(event, data, taken);
    }

    /// Writes the save: parts first, then the change that refers to them, as one group.
    pub(super) fn write(
        self,
        connection: &Connection,
        journal: &mut Journal,
        gathered: &mut Gathered,
        now_ms: u64,
    ) -> Result<Saved> {
        let log = journal.prepare(connection, gathered.space, now_ms)?;
        let place = journal.len_of(&log) + self.parts.len() as u64;
        if gathered.document.is_empty() && !gathered.id.is_founded_at(&log, place) {
            let message = "a record was planned for another place in this device's log";
            return Err(Error::new(Code::Internal, message));
        }
        let change = gathered
            .document()
            .edit_anew(&log.actor(), &self.edit, &self.anew)
            .map_err(refused)?;
        let record = gathered.id;
        let mut group = Vec::with_capacity(self.parts.len() + 1);
        let mut parts = Vec::with_capacity(self.parts.len());
        for (reference, part, payload) in self.parts {
            group.push(NewEntry {
                kind: EntryKind::Part,
                // rule:digest-modes
                digest: DigestMode::Salted,
                erasable: true,
                record,
                payload,
            });
            parts.push((reference, part));
        }
        group.push(NewEntry {
            kind: EntryKind::Change,
            // rule:digest-modes
            digest: DigestMode::Change,
            erasable: false,
            record,
            payload: change.bytes,
        });
        let entries = journal.append(connection, gathered.space, group, now_ms)?;
        let (key, basis) = Basis::of(connection, &record)?;
        let device = journal.identity().key();
        let hlc = journal.now();
        gathered.saved(key, &entries, change.hash, (&log, device), hlc, parts);
        if gathered.basis == basis {
            Projection::of(gathered, journal.authority()).write(connection, journal)?;
        }
        Ok(Saved {
            key,
            id: record,
            requested: false,
        })
    }
}

fn refused(error: EditError) -> Error {
    match error {
        EditError::NothingToDo => Error::new(Code::NothingToDo, "the edit changes nothing"),
        EditError::TooLarge { .. } => {
            Error::because(Code::TooLarge, "the save is too large", error)
        }
        EditError::LogClosed => {
            let message = "this save is larger than what this device may still write here";
            Error::new(Code::RecordFull, message)
        }
        error => Error::because(
            Code::RecordUnsound,
            "the record cannot be written on",
            error,
        ),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    // rule:request-facts-only
    #[test]
    fn a_step_that_carries_texts_is_not_asked_for() {
        let kind = Catalogue::current().kind("opinion");
        let kind = kind.unwrap_or_else(|| unreachable!());
        let step = kind.transition("accept").unwrap_or_else(|| unreachable!());
        let ready = |texts: BTreeMap<String, String>| Ready {
            key: 1,
            gathered: Gathered::new(RecordId([1; 16]), SpaceId([2; 32])),
            kind,
            step,
            draft: Draft {
                facts: BTreeMap::new(),
                texts: BTreeMap::from([(Retention::Text, texts)]),
                nested: Vec::new(),
            },
            role: Role::Hub,
        };
        assert!(ready(BTreeMap::new()).into_ask().is_ok());
        let words = BTreeMap::from([("note".to_owned(), "路灯不亮".to_owned())]);
        let refused = ready(words).into_ask().err().map(|error| error.code());
        assert_eq!(refused, Some(Code::HubOnly));
    }
}
