//! What was written and does not count, change by change, for people who look at what is held back: said by each change
//! alone, whatever became of it.

use std::collections::BTreeMap;

use lianxin_protocol::catalogue::{Catalogue, Kind, TAKEN_AS};
use lianxin_protocol::document::{GuardedChange, Limits, NewEvent, Scalar, retold};
use lianxin_protocol::log::{EntryKind, RecordId};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value, json};

use super::rewrite::is_link;
use super::sight::Sight;
use super::{Part, PartRef, all_parts, gather, in_place};
use crate::actor::Actor;
use crate::error::Result;
use crate::journal::{Books, HeldBack, aside};

/// What one change says.
#[derive(Clone, Debug)]
pub struct Wrote {
    /// Account that it names; empty where it names none.
    pub by: String,
    /// When, by its writer's clock, in Unix milliseconds.
    pub at_ms: u64,
    /// Fields with their values, texts in place; null where it clears one.
    pub fields: Map<String, Value>,
    /// Codes of the steps that it takes.
    pub events: Vec<String>,
}

/// What was written of one record.
#[derive(Clone, Debug)]
pub struct Written {
    /// The record.
    pub record: RecordId,
    /// Code of its kind; empty if nothing is known of it.
    pub kind: String,
    /// 登记编号.
    pub number: Option<String>,
    /// Title, where the kind has one.
    pub title: Option<String>,
    /// Status as folded.
    pub status: String,
    /// The record that stands in its place.
    pub again: Option<RecordId>,
    /// What is held back of it, in the order of the log.
    pub changes: Vec<Wrote>,
}

/// What is held back under one name, record by record.
///
/// # Errors
/// The store cannot be read.
pub fn written(
    connection: &Connection,
    books: &mut Books,
    held: &HeldBack,
    actor: &Actor,
) -> Result<Vec<Written>> {
    let mut all = Vec::new();
    for record in &held.records {
        let mut statement =
            connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
        let key = statement.query_row([record.0], |row| row.get(0));
        let Some(key) = key.optional()? else { continue };
        let gathered = gather(connection, books, key)?;
        let mut content = gathered.content(books.authority());
        let veil = content.veil.clone();
        let veil = veil.within(connection, &content.kind, &content.facts)?;
        let sight = veil.lets(actor);
        let kind = Catalogue::current().kind(&content.kind);
        content.cover(kind, sight);
        all.push(Written {
            record: *record,
            again: gathered.again(),
            changes: changes(connection, books, (key, record), held, (kind, sight))?,
            kind: content.kind,
            number: content.number,
            title: content.title,
            status: content.status,
        });
    }
    Ok(all)
}

fn changes(
    connection: &Connection,
    books: &mut Books,
    (key, record): (i64, &RecordId),
    held: &HeldBack,
    (kind, sight): (Option<&Kind>, Sight),
) -> Result<Vec<Wrote>> {
    let placed = in_place(connection, books, key)?;
    let beside = aside(connection, key, record)?;
    let parts = all_parts(connection, key, &beside)?;
    let placed = placed.iter().map(|it| (it.log, false, &it.entry));
    let entries = placed.chain(beside.iter().map(|it| (it.log, true, &it.entry)));
    let changes = entries.filter(|(.., entry)| entry.header.kind == EntryKind::Change);
    let opened = changes.filter_map(|(log, branch, entry)| {
        let raw = entry.payload.as_deref()?;
        let digest = &entry.header.digest;
        let change = GuardedChange::open(raw, digest, &log.actor(), &Limits::default()).ok()?;
        Some((log, branch, &entry.header, change))
    });
    let opened: Vec<_> = opened.collect();
    let founding = opened
        .iter()
        .find(|(log, _, header, _)| record.is_founded_at(log, header.seq));
    let Some((.., founding)) = founding else {
        return Ok(Vec::new());
    };
    let wanted = opened.iter().filter(|(log, branch, header, _)| {
        *log == held.log && *branch == held.branch && held.range.contains(&header.seq)
    });
    let wrote = wanted.filter_map(|(_, _, header, change)| {
        let edit = retold(change, founding)?;
        let fields = edit.fields.iter().filter(|(key, _)| !is_link(key));
        let mut fields: Map<_, _> = fields
            .map(|(key, value)| (key.clone(), shown(&parts, key, value.as_ref())))
            .collect();
        fields.extend(edit.events.iter().flat_map(|event| data(&parts, event)));
        for (key, value) in &mut fields {
            let field = kind.and_then(|kind| kind.field_or_datum(key));
            *value = sight.shown(field, value.take());
        }
        Some(Wrote {
            by: edit.by,
            at_ms: header.hlc >> 16,
            fields,
            events: edit.events.into_iter().map(|event| event.event).collect(),
        })
    });
    Ok(wrote.collect())
}

fn data(parts: &BTreeMap<PartRef, Part>, event: &NewEvent) -> BTreeMap<String, Value> {
    let data = event.data.iter().filter(|(key, _)| *key != TAKEN_AS);
    data.map(|(key, value)| (key.clone(), shown(parts, key, Some(value))))
        .collect()
}

fn shown(parts: &BTreeMap<PartRef, Part>, key: &str, value: Option<&Scalar>) -> Value {
    match value {
        None => Value::Null,
        Some(Scalar::Str(text)) => json!(text),
        Some(Scalar::Int(number)) => json!(number),
        Some(Scalar::Bool(yes)) => json!(yes),
        Some(Scalar::Part(reference)) => {
            let part = parts.get(reference);
            json!(part.and_then(|part| part.texts.get(key)))
        }
    }
}

/// How many records stand in lists of which nothing counts.
///
/// # Errors
/// The store cannot be read.
pub fn held_count(connection: &Connection) -> Result<u64> {
    let sql = "SELECT count(*) FROM records WHERE held IS NOT NULL AND kind <> ''";
    Ok(connection
        .prepare_cached(sql)?
        .query_row([], |row| row.get(0))?)
}

/// The records that stand in the place of others, each with that other's number in this store, those of one device alone
/// if it is named: newest first, written after `since_ms`.
///
/// # Errors
/// The store cannot be read.
pub fn written_again(
    connection: &Connection,
    device: Option<[u8; 32]>,
    since_ms: u64,
    most: usize,
) -> Result<Vec<(i64, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT rewrites.record, old.id FROM rewrites
         JOIN records AS old ON old.record = rewrites.old AND old.held IS NOT NULL
         JOIN records AS new ON new.id = rewrites.record AND new.record = old.again
         WHERE stands AND hlc >= ?2 AND (?1 IS NULL OR device = ?1)
         GROUP BY rewrites.record, old.id ORDER BY max(hlc) DESC, rewrites.record LIMIT ?3",
    )?;
    let since = i64::try_from(since_ms << 16).unwrap_or(i64::MAX);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(rusqlite::params![device, since, most], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
