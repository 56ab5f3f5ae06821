//! Questions to the rows: one record by whatever names it, lists, queues, counts, who refers to whom.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::Reason;
use lianxin_protocol::catalogue::{
    Catalogue, Follows, Home, Kind, OPEN_UNDER, Retention, Transition,
};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::SpaceId;
use lianxin_protocol::text;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use serde_json::{Map, Value};

use super::Content;
use super::all_parts;
use super::articles;
use super::delivery::State;
use super::indexed::{self, Wanted};
use super::numbers::{numbered, same_number};
use super::rewrite::FORMER_NUMBER;
use super::sight::Veil;
use crate::actor::Actor;
use crate::error::{Code, Error, Result};
use crate::journal::aside;
use crate::search::{self, Among, Search};
use crate::store::packed;

/// The numbers in this store of what has this id, and of what was written in its place where itself it is not here.
///
/// # Errors
/// The store cannot be read.
pub fn with_id(connection: &Connection, record: &RecordId) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
    let key = statement
        .query_row([record.0], |row| row.get(0))
        .optional()?;
    if let Some(key) = key {
        return Ok(vec![key]);
    }
    let mut statement = connection.prepare_cached(
        "SELECT record FROM rewrites WHERE old = ?1 ORDER BY hlc, record LIMIT 1",
    )?;
    let key = statement
        .query_row([record.0], |row| row.get(0))
        .optional()?;
    Ok(key.into_iter().collect())
}

/// The number in this store of a record, by id or 登记编号.
///
/// # Errors
/// [`Code::NoRecord`] when there is none, [`Code::SameNumber`] when a device has copied the number of another.
pub fn find(connection: &Connection, id: &str) -> Result<i64> {
    let found: Option<i64> = match RecordId::parse(&text::plain(id)) {
        Some(record) => {
            let mut statement =
                connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
            statement
                .query_row([record.0], |row| row.get(0))
                .optional()?
        }
        None => {
            let found = rows(connection, &with_number(connection, id)?)?;
            // Who has a number that counts comes before who had it, and what is held back comes last.
            let number = numbered(id);
            let rank = |row: &Listed| (row.held.is_some(), row.number != number);
            let best = found.iter().map(rank).min();
            let found: Vec<_> = found
                .into_iter()
                .filter(|row| Some(rank(row)) == best)
                .collect();
            if found.len() > 1 {
                let ids: Vec<_> = found.iter().map(|row| row.id.hyphenated()).collect();
                let message = format!("records with this number: {}", ids.join(", "));
                return Err(Error::new(Code::SameNumber, message));
            }
            found.first().map(|row| row.key)
        }
    };
    found.ok_or_else(|| Error::new(Code::NoRecord, "this device has no such record"))
}

/// The records with this number, oldest first, those that are held back as well, and those that were written again in the
/// place of one. Devices give no number twice, so that more than one that counts means that somebody copied it.
///
/// # Errors
/// [`Code::NoRecord`] for what is no number.
pub fn with_number(connection: &Connection, text: &str) -> Result<Vec<i64>> {
    /// Copies that are told apart.
    const MOST: u32 = 16;
    let number = numbered(text)
        .ok_or_else(|| Error::new(Code::NoRecord, "this is neither a record id nor a number"))?;
    // What was written again may have had it before, also where the branch that was lost never came.
    let mut statement = connection.prepare_cached(
        "SELECT id, record FROM records WHERE number = ?1
         UNION SELECT id, record FROM records WHERE former = ?1
         ORDER BY record LIMIT ?2",
    )?;
    let found = statement.query_map(params![number, MOST], |row| row.get(0))?;
    let mut found = found.collect::<Result<Vec<i64>, _>>()?;
    for row in rows(connection, &found)? {
        let again = row.again.map(|again| stands_for(connection, again));
        let again = again.transpose()?.flatten();
        found.extend(again.filter(|again| !found.contains(again)));
    }
    Ok(found)
}

/// The number in this store of a record that counts: this one, or the one that was written in its place.
pub(crate) fn stands_for(connection: &Connection, mut id: RecordId) -> Result<Option<i64>> {
    /// How often one record is written again.
    const MOST: u32 = 16;
    let mut statement = connection
        .prepare_cached("SELECT id, held IS NULL, again FROM records WHERE record = ?1")?;
    for _ in 0..MOST {
        let found = statement.query_row([id.0], |row| {
            let again: Option<[u8; 16]> = row.get(2)?;
            Ok((row.get(0)?, row.get(1)?, again.map(RecordId)))
        });
        match found.optional()? {
            Some((key, true, _)) => return Ok(Some(key)),
            Some((_, false, Some(again))) => id = again,
            Some((_, false, None)) | None => break,
        }
    }
    Ok(None)
}

/// The record that a reference names, if this device has it and it counts: by id, by a number that no other has, or as the only
/// one of these kinds with that title.
///
/// # Errors
/// The store cannot be read.
pub fn named(connection: &Connection, text: &str, kinds: &[String]) -> Result<Option<Listed>> {
    let found = match find(connection, text) {
        Ok(key) => Some(key),
        Err(error) if error.code() == Code::NoRecord => {
            let mut same = of_name(connection, text, kinds)?;
            same.pop().filter(|_| same.is_empty())
        }
        Err(error) if error.code() == Code::SameNumber => None,
        Err(error) => return Err(error),
    };
    let row = rows(connection, found.as_slice())?.pop();
    Ok(row.filter(|row| kinds.contains(&row.kind) && row.held.is_none()))
}

/// The records of these kinds that are called so, or where there is none, that have it among their other names; those that were taken
/// out of their register are left out.
///
/// # Errors
/// The store cannot be read.
pub fn of_name(connection: &Connection, text: &str, kinds: &[String]) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM records WHERE kind = ?1 AND title = ?2 AND held IS NULL LIMIT 16",
    )?;
    let mut same = Vec::new();
    for kind in kinds {
        let keys = statement.query_map([kind.as_str(), text], |row| row.get::<_, i64>(0))?;
        same.extend(keys.collect::<Result<Vec<_>, _>>()?);
    }
    retain_present(connection, &mut same)?;
    if same.is_empty() {
        same = by_other_name(connection, text, kinds)?;
        retain_present(connection, &mut same)?;
    }
    Ok(same)
}

/// Leaves those that were not taken out of their register: no name means what was.
fn retain_present(connection: &Connection, keys: &mut Vec<i64>) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT kind, status FROM records WHERE id = ?1")?;
    let mut present = Vec::with_capacity(keys.len());
    for key in keys.iter().copied() {
        let (kind, status): (String, String) =
            statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let kind = Catalogue::current().kind(&kind);
        if kind.is_none_or(|kind| !kind.is_gone(&status)) {
            present.push(key);
        }
    }
    *keys = present;
    Ok(())
}

/// The records of these kinds that have a text among their other names.
fn by_other_name(connection: &Connection, text: &str, kinds: &[String]) -> Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "SELECT records.id FROM mentions CROSS JOIN records ON records.id = mentions.record
         WHERE mentions.target = ?1 AND mentions.field = ?2 AND records.kind = ?3 AND records.held IS NULL
         LIMIT 16",
    )?;
    let mut found = Vec::new();
    for kind in kinds {
        let kind = Catalogue::current().kind(kind);
        let alias = kind.and_then(|kind| Some((kind, kind.alias()?)));
        if let Some((kind, alias)) = alias {
            let of = params![same_number(text), alias.key, kind.code];
            let keys = statement.query_map(of, |row| row.get::<_, i64>(0))?;
            found.extend(keys.collect::<Result<Vec<_>, _>>()?);
        }
    }
    Ok(found)
}

/// By what others refer to a record: its id, its number or, if it has none, its title and its other names.
fn targets(to: &Listed) -> Vec<String> {
    let mut targets = vec![to.id.hyphenated()];
    targets.extend(to.number.clone());
    if to.number.is_none() {
        targets.extend(to.title.clone());
    }
    let alias = Catalogue::current().kind(&to.kind).and_then(Kind::alias);
    let names = alias.and_then(|alias| to.facts.get(&alias.key)?.as_array());
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    targets.extend(names.map(same_number));
    targets
}

/// Places for so many values in a statement, from a number on.
fn places(from: usize, count: usize) -> String {
    let places: Vec<_> = (from..from + count).map(|it| format!("?{it}")).collect();
    places.join(", ")
}

/// How often a step has had its effect on a record, as its row says.
///
/// # Errors
/// The store cannot be read.
pub fn times_taken(connection: &Connection, key: i64, event: &str) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT steps FROM records WHERE id = ?1")?;
    let steps: Option<Option<Vec<u8>>> = statement.query_row([key], |row| row.get(0)).optional()?;
    let Some(steps) = steps.flatten() else {
        return Ok(0);
    };
    let steps = packed::unpack(&steps).unwrap_or_default();
    let steps: Vec<Value> = serde_json::from_slice(&steps).unwrap_or_default();
    let of = |step: &&Value| step.get(0).and_then(Value::as_str) == Some(event);
    Ok(steps.iter().filter(of).count() as u64)
}

/// A name in a field of a register that is no record's there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmatched {
    /// The name, as it was typed.
    pub name: String,
    /// Codes of the kinds whose records it could be of.
    pub kinds: Vec<String>,
    /// Records in which it stands.
    pub count: u64,
    /// One of them.
    pub example: i64,
}

/// Names that were typed where a register is named and that are in none, those first that stand in most records. Looks at all
/// references there are: asked for by hand.
///
/// # Errors
/// The store cannot be read.
pub fn unmatched(connection: &Connection, most: usize) -> Result<Vec<Unmatched>> {
    let mut statement = connection.prepare_cached(
        "SELECT mentions.target, count(DISTINCT mentions.record), min(mentions.record)
         FROM mentions CROSS JOIN records ON records.id = mentions.record
         WHERE records.kind = ?1 AND mentions.field = ?2 AND records.held IS NULL
             AND records.veil IS NOT 'all'
         GROUP BY mentions.target",
    )?;
    let catalogue = Catalogue::current();
    let mut found: BTreeMap<(String, Vec<String>), (u64, i64)> = BTreeMap::new();
    for kind in catalogue.kinds() {
        for field in catalogue.naming(kind) {
            let of = params![kind.code, field.key];
            let rows = statement.query_map(of, |row| {
                Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
            })?;
            for row in rows {
                let (name, count, example): (String, u64, i64) = row?;
                let of = found
                    .entry((name, field.names().to_vec()))
                    .or_insert((0, example));
                of.0 += count;
            }
        }
    }
    let mut unmatched = Vec::new();
    for ((name, kinds), (count, example)) in found {
        if RecordId::parse(&name).is_none() && named(connection, &name, &kinds)?.is_none() {
            unmatched.push(Unmatched {
                name,
                kinds,
                count,
                example,
            });
        }
    }
    unmatched.sort_by(|a, b| (b.count, &a.name).cmp(&(a.count, &b.name)));
    unmatched.truncate(most);
    Ok(unmatched)
}

/// What may speak against taking steps on a record, as it stands.
#[derive(Debug, Default)]
pub struct Against {
    /// Names in the record that are in no register, where a step wants them matched.
    pub unmatched: Vec<String>,
    /// See [`meant`], where a step is guarded.
    pub meant: BTreeMap<String, Vec<String>>,
    /// It was said of another text of its article than the one that stands now, where a step leads on.
    pub is_outdated: bool,
}

impl Against {
    /// What these steps are judged by.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of<'a>(
        connection: &Connection,
        kind: &Kind,
        record: (i64, &Content),
        steps: impl IntoIterator<Item = &'a Transition>,
    ) -> Result<Self> {
        let (mut matched, mut guarded, mut leads) = (false, false, false);
        for step in steps {
            matched |= step.matched;
            guarded |= !step.guards.is_empty();
            leads |= step.to.is_some();
        }
        let mut against = Self::default();
        if matched {
            against.unmatched = unmatched_in(connection, kind, record.1)?;
        }
        if guarded {
            against.meant = meant(connection, kind, record)?;
        }
        if leads {
            against.is_outdated = articles::is_outdated(connection, kind, record.1)?;
        }
        Ok(against)
    }

    /// The values of a field, for guards.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<String> {
        self.meant.get(key).cloned().unwrap_or_default()
    }
}

/// The values of a record's fields, with the id of whoever is meant in the place of a name, a number or another name: so that two
/// ways of writing one name are one.
///
/// # Errors
/// The store cannot be read.
pub fn meant(
    connection: &Connection,
    kind: &Kind,
    (key, content): (i64, &Content),
) -> Result<BTreeMap<String, Vec<String>>> {
    let mut meant = BTreeMap::new();
    let guards = kind.transitions.iter().flat_map(|step| &step.guards);
    for code in guards.filter_map(|guard| guard.open.as_ref()) {
        let open = open_under(connection, (kind, key), code)?;
        meant.insert(format!("{OPEN_UNDER}{code}"), open);
    }
    for field in &kind.fields {
        let mut values = content.held(&field.key);
        if !field.names().is_empty() {
            for value in &mut values {
                if let Some(row) = named(connection, value, field.names())? {
                    *value = row.id.hyphenated();
                }
            }
        }
        meant.insert(field.key.clone(), values);
    }
    Ok(meant)
}

/// The ids of the records of a kind that belong to one and are open.
fn open_under(
    connection: &Connection,
    (kind, key): (&Kind, i64),
    code: &str,
) -> Result<Vec<String>> {
    /// Promises of one suggestion have never come near this.
    const MOST: usize = 200;
    let under = Catalogue::current().kind(code);
    let gather = kind.gathers.iter().find(|it| it.kind == code);
    let row = rows(connection, &[key])?.pop();
    let (Some(under), Some(gather), Some(row)) = (under, gather, row) else {
        return Ok(Vec::new());
    };
    let all = referring(connection, &row, (code, &gather.by), MOST)?;
    let open = all.iter().filter(|it| under.is_open(&it.status));
    Ok(open.map(|it| it.id.hyphenated()).collect())
}

/// The names in a record that are in no register that they could be of.
///
/// # Errors
/// The store cannot be read.
fn unmatched_in(connection: &Connection, kind: &Kind, content: &Content) -> Result<Vec<String>> {
    let mut unmatched = Vec::new();
    for field in Catalogue::current().naming(kind) {
        for name in content.held(&field.key) {
            if named(connection, &name, field.names())?.is_none() && !unmatched.contains(&name) {
                unmatched.push(name);
            }
        }
    }
    Ok(unmatched)
}

/// Records of a kind that refer to this one by a field: by its id, its number or, if it has none, its title, and by
/// its other names. In the order in which they came together, then oldest first. What belongs to it stands in its space: from
/// elsewhere anybody can name it.
///
/// # Errors
/// The store cannot be read.
pub fn referring(
    connection: &Connection,
    to: &Listed,
    (kind, by): (&str, &str),
    most: usize,
) -> Result<Vec<Listed>> {
    let of = Catalogue::current().kind(kind);
    let parent = of.and_then(|kind| kind.parent.as_ref());
    let with_it = of.is_some_and(|kind| kind.home != Home::Device);
    let within = parent
        .filter(|parent| with_it && parent.field == by)
        .map(|_| to.space.0);
    let targets = targets(to);
    let sql = format!(
        "SELECT DISTINCT {LISTED} FROM mentions CROSS JOIN records ON records.id = mentions.record
         WHERE mentions.target IN ({}) AND mentions.field = ?1 AND records.kind = ?2
             AND (?4 IS NULL OR records.space = ?4) AND records.held IS NULL
         ORDER BY CASE WHEN ?5 THEN json_extract(CAST(unpacked(facts) AS TEXT), '$.place') END NULLS LAST,
             records.record LIMIT ?3",
        places(6, targets.len())
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut values: Vec<SqlValue> = vec![
        by.to_owned().into(),
        kind.to_owned().into(),
        i64::try_from(most).unwrap_or(i64::MAX).into(),
        within.map_or(SqlValue::Null, |space| space.to_vec().into()),
        i64::from(parent.is_some_and(|parent| parent.place.is_some())).into(),
    ];
    values.extend(targets.into_iter().map(SqlValue::from));
    let found = statement.query_map(params_from_iter(values), listed)?;
    collect(connection, found)
}

/// How many records of a kind refer to this one by a field, space by space, without those in some statuses.
///
/// # Errors
/// The store cannot be read.
pub fn referring_by_space(
    connection: &Connection,
    to: &Listed,
    (kind, by): (&str, &str),
    unless: &BTreeSet<String>,
) -> Result<BTreeMap<SpaceId, u64>> {
    let targets = targets(to);
    let unless: Vec<_> = unless.iter().cloned().collect();
    let sql = format!(
        "SELECT records.space, count(DISTINCT records.id)
         FROM mentions CROSS JOIN records ON records.id = mentions.record
         WHERE mentions.target IN ({}) AND mentions.field = ?1 AND records.kind = ?2
             AND records.held IS NULL AND records.status NOT IN ({})
         GROUP BY records.space",
        places(3, targets.len()),
        places(3 + targets.len(), unless.len())
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let values = [by.to_owned(), kind.to_owned()].into_iter();
    let values = values.chain(targets).chain(unless);
    let rows = statement.query_map(params_from_iter(values), |row| {
        Ok((SpaceId(row.get(0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Which records a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Code of a kind.
    pub kind: Option<String>,
    /// Code of a status, as shown.
    pub status: Option<String>,
    /// Text in number, title or any text, in any case, width and form; of which nothing is to be seen, all. Texts that are kept from
    /// whoever searches are not looked at: to be found would tell of them; nor are cards, unless they hold the store.
    pub search: Option<(String, Actor)>,
    /// The text is of the person concerned: it is looked for in what says who that is, and nowhere else.
    pub of_person: bool,
    /// Only those with, or without, fields in conflict.
    pub conflicts: Option<bool>,
    /// Only records that belong to no other and that people make.
    pub whole: bool,
    /// Only those of which nothing counts, or only the others.
    pub held: Option<bool>,
    /// Only those that have come so far by what is stored.
    pub reached: Option<Vec<State>>,
    /// Only those that have these values in these fields, which the catalogue marks as
    /// [`indexed`](lianxin_protocol::catalogue::Field::indexed). Kinds without such a field have none.
    pub values: BTreeMap<String, String>,
    /// Only those recorded from the first of these times on and before the second, by the recording device's clock, in Unix
    /// milliseconds; newest first by that clock, unless a value of a field is asked for.
    pub recorded_ms: Option<(u64, u64)>,
    /// Not those that were taken out of their register.
    pub present: bool,
    /// Only those of this space.
    pub space: Option<SpaceId>,
    /// Not those of this space.
    pub outside: Option<SpaceId>,
    /// Not those in whose place another record stands.
    pub stands: bool,
    /// Rows at most.
    pub limit: usize,
    /// Id of the last record of the page before.
    pub after: Option<RecordId>,
}

impl Filter {
    /// Whether the list is in the order in which records were made.
    fn is_by_day(&self) -> bool {
        self.recorded_ms.is_some() && self.values.is_empty()
    }
}

/// One row of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its number in this store.
    pub key: i64,
    /// The record.
    pub id: RecordId,
    /// Code of its kind.
    pub kind: String,
    /// 登记编号.
    pub number: Option<String>,
    pub(super) title: Option<String>,
    /// Folded status.
    pub status: String,
    /// Fields in conflict.
    pub conflicts: i64,
    /// How far the record has come by what is stored, whatever its workflow says.
    pub reached: State,
    /// When it came to the hub, by the hub's clock; what has not come there, last of all.
    pub arrived: i64,
    /// How pressing it is, as [`pressing`](super::waiting::pressing) has it.
    pub pressing: Option<i64>,
    /// Its space.
    pub space: SpaceId,
    /// What it holds in the clear, as nested JSON: [`Listed::facts`] for whoever looks.
    pub(super) facts: Map<String, Value>,
    /// What of it is kept from whom.
    pub(super) veil: Veil,
    /// Why nothing of it counts, where nothing does.
    pub held: Option<Reason>,
    /// The record that was written in its place.
    pub again: Option<RecordId>,
}

impl Listed {
    /// How many people brought it.
    #[must_use]
    pub fn heads(&self, follows: &Follows) -> u64 {
        self.fact(&follows.heads)
            .and_then(Value::as_u64)
            .unwrap_or(1)
    }

    /// The id of the record in whose place it was written, if there is one.
    #[must_use]
    pub fn supersedes(&self) -> Option<&str> {
        self.facts.get("supersedes").and_then(Value::as_str)
    }

    /// When it was recorded, by the recording device's clock, in Unix milliseconds.
    #[must_use]
    pub const fn recorded_ms(&self) -> u64 {
        self.id.made_ms()
    }
}

pub(super) const LISTED: &str = "records.id, records.record, records.kind, number, title, status, conflicts, space, facts, held, again,
    reached, records.arrived, pressing, veil";

pub(super) fn listed(row: &rusqlite::Row<'_>) -> rusqlite::Result<Listed> {
    let facts: Option<Vec<u8>> = row.get(8)?;
    let held: Option<u8> = row.get(9)?;
    let again: Option<[u8; 16]> = row.get(10)?;
    Ok(Listed {
        key: row.get(0)?,
        id: RecordId(row.get(1)?),
        kind: row.get(2)?,
        number: row.get(3)?,
        title: row.get(4)?,
        status: row.get(5)?,
        conflicts: row.get(6)?,
        space: SpaceId(row.get(7)?),
        facts: facts
            .and_then(|facts| serde_json::from_slice(&packed::unpack(&facts)?).ok())
            .unwrap_or_default(),
        held: held.map(|code| Reason::of(code).unwrap_or(Reason::NewerVersion)),
        again: again.map(RecordId),
        reached: State::of(row.get(11)?),
        arrived: row.get(12)?,
        pressing: row.get(13)?,
        veil: Veil::read(row.get::<_, Option<String>>(14)?.as_deref()),
    })
}

/// What stands for a text that may be a record's id: that record's name, if it is here and has one.
///
/// # Errors
/// The store cannot be read.
pub fn name_of(connection: &Connection, text: &str) -> Result<String> {
    if RecordId::parse(text).is_none() {
        return Ok(text.to_owned());
    }
    let Ok(key) = find(connection, text) else {
        return Ok(text.to_owned());
    };
    let row = rows(connection, &[key])?.pop();
    Ok(row
        .and_then(|row| row.name().map(str::to_owned))
        .unwrap_or_else(|| text.to_owned()))
}

/// What a record is called, where what names it is itself a record: a sheet is called by its unit.
///
/// # Errors
/// The store cannot be read.
pub fn called(
    connection: &Connection,
    kind: &str,
    title: Option<String>,
) -> Result<Option<String>> {
    let kind = Catalogue::current().kind(kind);
    let by_record = kind.is_some_and(|kind| {
        let fields = kind.named_by.iter().filter_map(|key| kind.field(key));
        fields.into_iter().any(|field| !field.names().is_empty())
    });
    let title = match title {
        Some(title) if by_record => title,
        title => return Ok(title),
    };
    let mut words = Vec::new();
    for word in title.split(' ') {
        let mut statement = connection.prepare_cached(
            "SELECT iif(veil IS NULL, title, number) FROM records WHERE record = ?1",
        )?;
        let named: Option<Option<String>> = match RecordId::parse(word) {
            Some(id) => statement.query_row([id.0], |row| row.get(0)).optional()?,
            None => None,
        };
        words.push(named.flatten().unwrap_or_else(|| word.to_owned()));
    }
    Ok(Some(words.join(" ")))
}

/// Reads rows, each called by its name.
pub(super) fn collect(
    connection: &Connection,
    rows: impl Iterator<Item = rusqlite::Result<Listed>>,
) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    for row in rows {
        let mut row = row?;
        row.title = called(connection, &row.kind, row.title)?;
        row.veil = row.veil.within(connection, &row.kind, &row.facts)?;
        found.push(row);
    }
    Ok(found)
}

/// The smallest id of a record that is made at a time.
fn first_id(unix_ms: u64) -> [u8; 16] {
    let mut id = [0; 16];
    let [_, _, time @ ..] = unix_ms.to_be_bytes();
    for (place, byte) in id.iter_mut().zip(time) {
        *place = byte;
    }
    id
}

/// How far records of a day are counted: more than one desk records, and few enough to be counted each time that a page is made.
pub const COUNTED: u64 = 1_000;

/// How many records count, up to [`COUNTED`], that were recorded from a time on and before another, by the clocks of those who recorded them, in
/// Unix milliseconds, and how many of these have come to the hub. Not counted are what stands in a space, and parts of others.
///
/// # Errors
/// The store cannot be read.
pub fn recorded(
    connection: &Connection,
    (from_ms, until_ms): (u64, u64),
    outside: &SpaceId,
) -> Result<(u64, u64)> {
    let filter = Filter {
        whole: true,
        held: Some(false),
        recorded_ms: Some((from_ms, until_ms)),
        outside: Some(*outside),
        stands: true,
        ..Filter::default()
    };
    let (sql, values) = sql(connection, &filter, None, &[])?;
    let sql = format!(
        "SELECT count(*), coalesce(sum(reached IN ({}, {})), 0) FROM ({sql} LIMIT {COUNTED})",
        State::Received.code(),
        State::Merged.code()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(params_from_iter(values), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?)
}

/// How many records of a kind count, up to ten times [`COUNTED`], that came to the hub from a time on and before another, by the
/// hub's clock in Unix milliseconds.
///
/// # Errors
/// The store cannot be read.
pub fn came(connection: &Connection, kind: &str, from_ms: u64, until_ms: u64) -> Result<u64> {
    // The index has all but what is held back, which is little.
    let mut statement = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM records INDEXED BY records_kind
                 WHERE kind = ?1 AND arrived >= ?2 AND arrived < ?3 LIMIT 10 * ?4))
              - (SELECT count(*) FROM records INDEXED BY records_held
                 WHERE held IS NOT NULL AND kind = ?1 AND arrived >= ?2 AND arrived < ?3)",
    )?;
    let range = params![kind, from_ms, until_ms, COUNTED];
    Ok(statement
        .query_row(range, |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or_default())
}

/// The rows of these records, in the order given; those that are not shown are left out.
///
/// # Errors
/// The store cannot be read.
pub fn rows(connection: &Connection, keys: &[i64]) -> Result<Vec<Listed>> {
    let sql = format!("SELECT {LISTED} FROM records WHERE id = ?1 AND kind <> ''");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        found.extend(statement.query_row([key], listed).optional()?);
    }
    collect(connection, found.into_iter().map(Ok))
}

/// Records, those first that came to the hub last, and before them those that have not come there: whoever wrote one may
/// have had a wrong clock.
///
/// # Errors
/// The store cannot be read.
pub fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Listed>> {
    let sought = Sought::of(connection, filter)?;
    let sought = sought.as_ref();
    if filter.status.is_none() && filter.values.is_empty() {
        return one_run(connection, filter, sought, &[]);
    }
    // An index has its records in order kind by kind.
    let kinds = Catalogue::current().kinds();
    let kinds = kinds.filter(|kind| filter.kind.as_ref().is_none_or(|code| *code == kind.code));
    let mut found = Vec::new();
    for kind in kinds {
        let mut of_kind = Filter {
            kind: Some(kind.code.clone()),
            ..filter.clone()
        };
        if let Some(status) = filter.status.as_deref() {
            let Some(known) = kind.status(status) else {
                continue;
            };
            // A derived status is stored as the one that it stands for.
            let stored = known.stands_for.as_deref().unwrap_or(status);
            of_kind.status = Some(stored.to_owned());
        }
        let Some(wanted) = indexed::wanted(connection, kind, &filter.values)? else {
            continue;
        };
        let Some((first, others)) = wanted.split_first() else {
            found.extend(one_run(connection, &of_kind, sought, &[])?);
            continue;
        };
        // And spelling by spelling.
        for spelling in &first.spellings {
            let mut run = vec![Wanted {
                field: first.field.clone(),
                spellings: vec![spelling.clone()],
            }];
            run.extend_from_slice(others);
            found.extend(one_run(connection, &of_kind, sought, &run)?);
        }
    }
    let by_day = filter.is_by_day();
    found.sort_by_key(|row| std::cmp::Reverse((if by_day { 0 } else { row.arrived }, row.id)));
    found.truncate(filter.limit);
    Ok(found)
}

/// In which texts of a record something is looked for. Who brought it is found by whoever says why (DOMAIN 7.5), or holds the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    All,
    /// Not in what says who brought it.
    Words,
    /// In that alone.
    Card,
}

/// A text that somebody searches for, and where it may be.
struct Sought<'a> {
    search: Search,
    within: Within,
    actor: &'a Actor,
    among: Among,
}

impl<'a> Sought<'a> {
    fn of(connection: &Connection, filter: &'a Filter) -> Result<Option<Self>> {
        let Some((typed, actor)) = &filter.search else {
            return Ok(None);
        };
        // A number is found however it was typed.
        let number = numbered(typed);
        let search = match filter.of_person {
            true => Search::of_person(typed),
            false => Search::of(number.as_ref().unwrap_or(typed)),
        };
        let Some(search) = search else {
            return Ok(None);
        };
        // Of a sealed record nobody else is shown a word in a list.
        let among = search.among(connection, actor.owns_store())?;
        Ok(Some(Self {
            search,
            within: match (filter.of_person, actor.owns_store()) {
                (true, _) => Within::Card,
                (false, true) => Within::All,
                (false, false) => Within::Words,
            },
            actor,
            among,
        }))
    }

    /// Whether it is in a record, and in something of it that is shown to whoever searches.
    fn is_in(&self, connection: &Connection, row: &Listed) -> Result<bool> {
        let former = row.facts.get(FORMER_NUMBER).and_then(Value::as_str);
        let mut numbers = row.number.as_deref().into_iter().chain(former);
        // A number says nothing of what is kept.
        if self.within != Within::Card && numbers.any(|number| self.search.is_in(number)) {
            return Ok(true);
        }
        let title = row.title.as_deref().filter(|_| self.within != Within::Card);
        let sounds = title.is_some_and(|title| self.search.is_sound_of(title));
        if !sounds && !says(connection, row, (&self.search, self.within))? {
            return Ok(false);
        }
        let row = collect(connection, [Ok(row.clone())].into_iter())?.pop();
        Ok(row.is_some_and(|row| row.sight(self.actor).has_words()))
    }
}

/// Records in the order in which one index has them: of one kind where a status is asked for, as it is stored, or a value of a
/// field, the first of which has one spelling.
fn one_run(
    connection: &Connection,
    filter: &Filter,
    sought: Option<&Sought<'_>>,
    wanted: &[Wanted],
) -> Result<Vec<Listed>> {
    let (sql, values) = sql(connection, filter, sought.map(|it| &it.among), wanted)?;
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while found.len() < filter.limit {
        let Some(row) = rows.next()? else { break };
        let row = listed(row)?;
        if let Some(sought) = sought
            && !sought.is_in(connection, &row)?
        {
            continue;
        }
        found.push(row);
    }
    collect(connection, found.into_iter().map(Ok))
}

/// The statement of a list with its values: what is not asked for is not in it. The index is named, since the planner cannot
/// know which of them is short.
fn sql(
    connection: &Connection,
    filter: &Filter,
    among: Option<&Among>,
    wanted: &[Wanted],
) -> Result<(String, Vec<SqlValue>)> {
    let mut values: Vec<SqlValue> = Vec::new();
    let mut place = |value: SqlValue| {
        values.push(value);
        format!("?{}", values.len())
    };
    let mut asked = vec!["records.kind <> ''".to_owned()];
    // Where the order comes from; a few records are sorted.
    let few = among.filter(|among| among.many.is_empty());
    let walks = wanted.is_empty() || few.is_some();
    let by_day = wanted.is_empty() && filter.is_by_day();
    let order = match (walks, by_day) {
        (_, true) => ["0", "records.record"],
        (true, false) => ["records.arrived", "records.record"],
        (false, false) => ["indexed_fields.arrived", "indexed_fields.id"],
    };
    let [arrived, id] = order;
    if let Some((from, until)) = filter.recorded_ms {
        let (from, until) = (first_id(from).to_vec(), first_id(until).to_vec());
        asked.push(format!("{id} >= {}", place(from.into())));
        asked.push(format!("{id} < {}", place(until.into())));
    }
    if let Some(space) = &filter.space {
        asked.push(format!("space = {}", place(space.0.to_vec().into())));
    }
    if let Some(space) = &filter.outside {
        asked.push(format!("space <> {}", place(space.0.to_vec().into())));
    }
    if filter.stands {
        asked.push("again IS NULL".to_owned());
    }
    if filter.present {
        // Codes of the catalogue: nothing to quote.
        let statuses = Catalogue::current().kinds().flat_map(|kind| &kind.statuses);
        let gone: BTreeSet<_> = statuses.filter(|it| it.gone).map(|it| &it.code).collect();
        let gone: Vec<_> = gone.iter().map(|code| format!("'{code}'")).collect();
        asked.push(format!("status NOT IN ({})", gone.join(", ")));
    }
    if let Some(after) = filter.after.filter(|_| by_day) {
        asked.push(format!("{id} < {}", place(after.0.to_vec().into())));
    } else if let Some(after) = filter.after {
        let mut statement =
            connection.prepare_cached("SELECT arrived FROM records WHERE record = ?1")?;
        let last = statement.query_row([after.0], |row| row.get(0));
        // Nothing follows on what is not there.
        let last: i64 = last.optional()?.unwrap_or(i64::MIN);
        let last = (place(last.into()), place(after.0.to_vec().into()));
        asked.push(format!("({arrived}, {id}) < ({}, {})", last.0, last.1));
    }
    let kind = filter.kind.as_ref().map(|kind| place(kind.clone().into()));
    if let Some(kind) = &kind {
        asked.push(format!("records.kind = {kind}"));
    }
    if let Some(status) = &filter.status {
        asked.push(format!("status = {}", place(status.clone().into())));
    }
    let either = |what, yes: &str, no: &str| match what {
        Some(true) => Some(yes.to_owned()),
        Some(false) => Some(no.to_owned()),
        None => None,
    };
    asked.extend(either(filter.conflicts, "conflicts > 0", "conflicts = 0"));
    asked.extend(either(filter.held, "held IS NOT NULL", "held IS NULL"));
    let on_the_way = filter
        .reached
        .as_ref()
        .is_some_and(|reached| !reached.contains(&State::Merged));
    if let Some(reached) = &filter.reached {
        let codes: Vec<_> = reached.iter().map(|it| it.code().to_string()).collect();
        asked.push(format!("reached IN ({})", codes.join(", ")));
    }
    if on_the_way {
        // In these words the index has it.
        asked.push("reached <> 3".to_owned());
    }
    if filter.whole {
        // Codes of the catalogue, which are small letters: nothing to quote.
        let kinds = Catalogue::current().kinds();
        let parts = kinds.filter(|kind| kind.parent.is_some() || kind.create.by_program);
        let parts: Vec<_> = parts.map(|kind| format!("'{}'", kind.code)).collect();
        asked.push(format!("records.kind NOT IN ({})", parts.join(", ")));
    }
    let few_of = |among: &Among| {
        let ids: Vec<_> = among.few.iter().map(i64::to_string).collect();
        format!("[{}]", ids.join(", "))
    };
    if let Some(among) = among.filter(|_| few.is_none()) {
        let few = place(few_of(among).into());
        let mut any = vec![format!(
            "records.id IN (SELECT value FROM json_each({few}))"
        )];
        for (condition, value) in &among.many {
            any.push(match value {
                Some(value) => condition.replace("?1", &place(value.clone().into())),
                None => condition.clone(),
            });
        }
        asked.push(format!("({})", any.join(" OR ")));
    }
    for (nth, Wanted { field, spellings }) in wanted.iter().enumerate() {
        let drives = nth == 0 && few.is_none();
        let table = if drives { "indexed_fields" } else { "beside" };
        let kind = kind.as_deref().unwrap_or("records.kind");
        let field = place(field.clone().into());
        let spellings = spellings.iter().map(|it| place(it.clone().into()));
        let spellings: Vec<_> = spellings.collect();
        let has = format!(
            "{table}.kind = {kind} AND {table}.field = {field} AND {table}.value IN ({})",
            spellings.join(", ")
        );
        asked.push(if drives {
            has
        } else {
            format!(
                "EXISTS (SELECT 1 FROM indexed_fields AS beside WHERE {has}
                     AND beside.arrived = {arrived} AND beside.id = {id})"
            )
        });
    }
    let from = if let Some(few) = few {
        let few = place(few_of(few).into());
        format!("json_each({few}) AS among CROSS JOIN records ON records.id = among.value")
    } else if wanted.is_empty() {
        format!("records INDEXED BY {}", index(filter, by_day, on_the_way))
    } else {
        "indexed_fields CROSS JOIN records ON records.id = indexed_fields.record".to_owned()
    };
    let asked = asked.join(" AND ");
    let order = if by_day {
        format!("{id} DESC")
    } else {
        format!("{arrived} DESC, {id} DESC")
    };
    let sql = format!("SELECT {LISTED} FROM {from} WHERE {asked} ORDER BY {order}");
    Ok((sql, values))
}

/// The index that is in the order of a list and the shortest that has all of it.
const fn index(filter: &Filter, by_day: bool, on_the_way: bool) -> &'static str {
    match filter {
        _ if by_day => "sqlite_autoindex_records_1",
        Filter {
            held: Some(true), ..
        } => "records_held",
        Filter {
            conflicts: Some(true),
            ..
        } => "records_conflicts",
        Filter { space: Some(_), .. } => "records_space",
        _ if on_the_way => "records_reached",
        Filter {
            kind: Some(_),
            status: Some(_),
            ..
        } => "records_status",
        Filter { kind: Some(_), .. } => "records_kind",
        _ => "records_arrived",
    }
}

/// Whether a text is in some of the texts of a record, also in what was replaced since and in what is kept beside what is in place.
fn says(
    connection: &Connection,
    row: &Listed,
    (search, within): (&Search, Within),
) -> Result<bool> {
    let beside = match row.held {
        Some(_) => aside(connection, row.key, &row.id)?,
        None => Vec::new(),
    };
    let parts = all_parts(connection, row.key, &beside)?;
    let kind = Catalogue::current().kind(&row.kind);
    let texts = parts.values().flat_map(|part| &part.texts);
    let in_card = |kind: &Kind, key: &str| {
        let field = kind.field_or_datum(key);
        field.is_some_and(|field| field.retention == Some(Retention::Card))
    };
    let is_card = |key: &str| match kind {
        Some(kind) => in_card(kind, key),
        // What a newer version calls as some kind here calls what is in its card.
        None => Catalogue::standard().kinds().any(|kind| in_card(kind, key)),
    };
    let mut texts = texts.filter(|(key, _)| match within {
        Within::All => true,
        Within::Words => !is_card(key),
        Within::Card => is_card(key),
    });
    Ok(texts.any(|(key, text)| match search::is_masked(kind, key) {
        true => search.is_whole(text),
        false => search.is_in(text),
    }))
}

/// Records with fields in conflict, those first that are it longest, after one of them.
///
/// # Errors
/// The store cannot be read.
pub fn disputed(
    connection: &Connection,
    after: Option<&RecordId>,
    most: usize,
) -> Result<Vec<Listed>> {
    let mut statement =
        connection.prepare_cached("SELECT disputed FROM records WHERE record = ?1")?;
    let last: Option<i64> = match after {
        Some(after) => statement
            .query_row([after.0], |row| row.get(0))
            .optional()?
            .flatten(),
        None => None,
    };
    let (since, id) = match (last, after) {
        (Some(since), Some(after)) => (since, after.0),
        _ => (i64::MIN, [0; 16]),
    };
    let sql = format!(
        "SELECT {LISTED} FROM records INDEXED BY records_disputed
         WHERE disputed IS NOT NULL AND (disputed, records.record) > (?1, ?2) AND records.kind <> ''
         ORDER BY disputed, records.record LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(params![since, id, most as u64], listed)?;
    collect(connection, found)
}

/// Since when the record is in conflict that is it longest, in Unix milliseconds by the clocks of those who wrote it.
///
/// # Errors
/// The store cannot be read.
pub fn oldest_dispute_ms(connection: &Connection) -> Result<Option<u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT disputed FROM records INDEXED BY records_disputed
         WHERE disputed IS NOT NULL ORDER BY disputed LIMIT 1",
    )?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// The values that records of a kind have in a field by which lists are filtered, in order.
///
/// # Errors
/// The store cannot be read.
pub fn values_of(
    connection: &Connection,
    (kind, field): (&str, &str),
    most: usize,
) -> Result<Vec<String>> {
    // From one value to the next, whatever number of records has it.
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE each (value) AS (
             SELECT min(value) FROM indexed_fields WHERE kind = ?1 AND field = ?2
             UNION ALL
             SELECT (SELECT min(value) FROM indexed_fields
                     WHERE kind = ?1 AND field = ?2 AND value > each.value)
             FROM each WHERE each.value IS NOT NULL)
         SELECT value FROM each WHERE value IS NOT NULL LIMIT ?3",
    )?;
    let values = statement.query_map(params![kind, field, most as u64], |row| row.get(0))?;
    Ok(values.collect::<Result<_, _>>()?)
}

/// Notes when and where a peer was spoken to.
///
/// # Errors
/// The store cannot be written.
pub fn peer_seen(connection: &Connection, peer: &DeviceKey, at_ms: u64, path: &str) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO peers (device, last_seen_ms, path) VALUES (?1, ?2, ?3)
         ON CONFLICT (device) DO UPDATE SET last_seen_ms = max(last_seen_ms, excluded.last_seen_ms),
             path = excluded.path",
    )?;
    statement.execute(params![peer.0, at_ms, path])?;
    Ok(())
}

/// When something of each device last arrived at the hub, by the hub's clock in Unix milliseconds: its own entries say so to whoever
/// holds them, where only the hub speaks to the sites itself.
///
/// # Errors
/// The store cannot be read.
pub fn arrivals(connection: &Connection) -> Result<BTreeMap<DeviceKey, u64>> {
    let mut statement = connection.prepare_cached(
        "SELECT device, max((SELECT at_ms FROM arrivals WHERE arrivals.log = logs.log ORDER BY len DESC LIMIT 1))
         FROM logs GROUP BY device",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((DeviceKey(row.get(0)?), row.get::<_, Option<u64>>(1)?))
    })?;
    let mut arrivals = BTreeMap::new();
    for row in rows {
        let (device, at_ms) = row?;
        arrivals.extend(at_ms.map(|at_ms| (device, at_ms)));
    }
    Ok(arrivals)
}

/// Devices that were spoken to: key, time in Unix milliseconds, address.
///
/// # Errors
/// The store cannot be read.
pub fn peers(connection: &Connection) -> Result<Vec<(DeviceKey, u64, String)>> {
    let mut statement = connection
        .prepare_cached("SELECT device, last_seen_ms, path FROM peers ORDER BY device")?;
    let rows = statement.query_map([], |row| {
        Ok((DeviceKey(row.get(0)?), row.get(1)?, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
