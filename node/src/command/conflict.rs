//! Fields that two devices changed at once, for people at a command line: listed, looked at, and chosen between.
//!
//! A choice is the same signed change as on the page; here it is made for one field at a time, and which value is meant is said by whose
//! it is or by its place.

use std::collections::BTreeMap;

use lianxin_protocol::catalogue::{Field, FieldType};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::record::{conflict_json, device_name, known_kind, saved_reply};
use crate::actor::Actor;
use crate::clock::{self, Beijing};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal, Overview};
use crate::records::save::{self, Author, Pick};
use crate::records::{self, ConflictValue, Record, gather};
use crate::reply::Reply;

/// What somebody takes for a field in conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Take {
    /// The value that this device wrote.
    Mine,
    /// The one that another device wrote.
    Theirs,
    /// Both, one under the other, each with who wrote it and when.
    Both,
    /// The value in this place, from 1, as the record shows them.
    Place(usize),
    /// Words of their own.
    Text(String),
}

/// The records in conflict, what waits longest first. What is kept from the account is not told.
pub(super) fn list(
    books: &mut Books,
    connection: &Connection,
    (after, limit): (Option<RecordId>, usize),
    actor: &Actor,
) -> Result<Reply> {
    let mut found = records::disputed(connection, after.as_ref(), limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|row| row.id.hyphenated());
    let mut listed = Vec::with_capacity(found.len());
    for row in &found {
        let content = gather(connection, books, row.key)?.content(books.authority());
        let shown = row.sight(actor).has_facts();
        let fields: Vec<_> = content.conflicts.keys().filter(|_| shown).collect();
        listed.push(json!({
            "id": row.id.hyphenated(),
            "kind": row.kind,
            "number": row.number,
            "title": row.title(actor).text(),
            "fields": fields,
            "since_at": content.disputed_ms().map(clock::rfc3339),
        }));
    }
    Ok(Reply::ok(json!({ "records": listed, "next": next })))
}

/// The values of each field of a record in conflict.
pub(super) fn show(
    books: &mut Books,
    connection: &Connection,
    id: &str,
    actor: &Actor,
) -> Result<Reply> {
    let key = records::find(connection, id)?;
    let record = Record::read(connection, books, key, actor)?;
    let conflicts = record.content.conflicts.iter();
    let conflicts = conflicts.map(|(field, values)| conflict_json(books, field, values));
    Ok(Reply::ok(json!({
        "id": record.id.hyphenated(),
        "number": record.content.number,
        "conflicts": conflicts.collect::<Vec<_>>(),
    })))
}

/// Chooses for one field.
pub(super) fn resolve(
    journal: &mut Journal,
    connection: &Connection,
    (id, key, take, reason): (&str, &str, &Take, &str),
    author: &Author,
) -> Result<Reply> {
    let record_key = records::find(connection, id)?;
    let record = Record::read(connection, journal, record_key, &author.actor)?;
    let kind = known_kind(&record.content.kind)?;
    let field = kind.field(key);
    let shows = field.map_or_else(|| record.sight.has_facts(), |it| record.sight.shows(it));
    if !shows {
        let message = "what this record holds is not shown to this account";
        return Err(Error::new(Code::NotShown, message));
    }
    let none = || Error::new(Code::NothingToDo, "there is no conflict in this field");
    let values = record.content.conflicts.get(key).ok_or_else(none)?;
    let pick = pick(journal, (field, values), take)?;
    let picks = BTreeMap::from([(key.to_owned(), pick)]);
    let saved = save::settle(connection, journal, record_key, (&picks, reason), author)?;
    saved_reply(journal, connection, &saved, author)
}

/// What is meant by what was said.
fn pick(
    overview: &Overview,
    (field, values): (Option<&Field>, &[ConflictValue]),
    take: &Take,
) -> Result<Pick> {
    let own = overview.identity().key();
    let one = |is_meant: &dyn Fn(&ConflictValue) -> bool| {
        let mut meant = values.iter().filter(|value| is_meant(value));
        match (meant.next(), meant.next()) {
            (Some(value), None) => Ok(Pick::Value(value.change)),
            (first, _) => {
                let how = if first.is_some() { "several" } else { "none" };
                let message = format!(
                    "{how} of the values is so: --take takes the place of one, from 1 to {}",
                    values.len()
                );
                Err(Error::new(Code::Usage, message))
            }
        }
    };
    match take {
        Take::Mine => one(&|value| value.device == Some(own)),
        Take::Theirs => one(&|value| value.device != Some(own)),
        Take::Place(place) => {
            let value = place.checked_sub(1).and_then(|at| values.get(at));
            let message = format!("there are values 1 to {}", values.len());
            let value = value.ok_or_else(|| Error::new(Code::Usage, message))?;
            Ok(Pick::Value(value.change))
        }
        Take::Text(words) => Ok(Pick::Words(words.clone())),
        Take::Both => {
            let is_text = field.is_some_and(|it| matches!(it.kind, FieldType::Text { .. }));
            if !is_text {
                let message = "only a text has room for both: take one of the values";
                return Err(Error::new(Code::Usage, message));
            }
            Ok(Pick::Words(both(overview, values)))
        }
    }
}

/// All values of a text, one under the other, each with who wrote it and when.
fn both(overview: &Overview, values: &[ConflictValue]) -> String {
    let said = values.iter().filter_map(|value| {
        let text = value.value.as_str().filter(|it| !it.is_empty())?;
        let device = value.device.map(|it| device_name(overview, &it));
        let at = Beijing::of(value.at_ms).text();
        Some(format!("{text}（{}，{at}）", device.unwrap_or_default()))
    });
    said.collect::<Vec<_>>().join("\n")
}
