//! What lists are filtered by: the values of the fields that the catalogue marks, in a table that has them in the order of
//! lists.
//!
//! The rows of a record follow from its own row (kind, facts, arrival) and nothing else: they are taken away by what they were made
//! from, and no second index is needed to find them.
//!
//! Rejected: an index on an expression over the facts for each field, which is looked at for every row that is written, also of
//! kinds that have no such field.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Fact, Field, FieldType, Kind};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::numbers::same_number;
use super::query::named;
use crate::error::Result;

/// The values by which a record is found, as a row of it says them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Indexed {
    kind: String,
    id: [u8; 16],
    arrived: i64,
    /// Field and value.
    values: BTreeSet<(String, String)>,
}

impl Indexed {
    pub(super) fn new(kind: &str, id: [u8; 16], arrived: i64, facts: &Map<String, Value>) -> Self {
        Self {
            kind: kind.to_owned(),
            id,
            arrived,
            values: values(kind, facts),
        }
    }

    /// Those of a record by its row as it stands; none of one that has not been filled yet.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(connection: &Connection, key: i64) -> Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT kind, record, arrived, facts FROM records WHERE id = ?1 AND kind <> ''",
        )?;
        let row = statement.query_row([key], |row| {
            let facts: Option<String> = row.get(3)?;
            let facts = facts.and_then(|facts| serde_json::from_str(&facts).ok());
            let kind: String = row.get(0)?;
            let facts = facts.unwrap_or_default();
            Ok(Self::new(&kind, row.get(1)?, row.get(2)?, &facts))
        });
        Ok(row.optional()?.unwrap_or_default())
    }

    /// Puts these in the place of those that a record had before.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn replace(&self, connection: &Connection, key: i64, before: &Self) -> Result<()> {
        let place = |it: &Self| (it.kind.clone(), it.id, it.arrived);
        let stays = place(self) == place(before);
        let gone = |it: &&(String, String)| !stays || !self.values.contains(*it);
        let mut delete = connection.prepare_cached(
            "DELETE FROM indexed_fields
             WHERE kind = ?1 AND field = ?2 AND value = ?3 AND arrived = ?4 AND id = ?5",
        )?;
        for (field, value) in before.values.iter().filter(gone) {
            delete.execute(params![
                before.kind,
                field,
                value,
                before.arrived,
                before.id
            ])?;
        }
        let new = |it: &&(String, String)| !stays || !before.values.contains(*it);
        let mut insert = connection.prepare_cached(
            "INSERT INTO indexed_fields (kind, field, value, arrived, id, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (field, value) in self.values.iter().filter(new) {
            insert.execute(params![self.kind, field, value, self.arrived, self.id, key])?;
        }
        Ok(())
    }
}

/// Says that records arrived at the hub at this time, those that are said to have come later or not at all.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn arrive(connection: &Connection, keys: &[i64], at_ms: i64) -> Result<()> {
    let mut statement =
        connection.prepare_cached("UPDATE records SET arrived = ?2 WHERE id = ?1")?;
    for key in keys {
        let before = Indexed::of(connection, *key)?;
        statement.execute([*key, at_ms])?;
        let after = Indexed {
            arrived: at_ms,
            ..before.clone()
        };
        after.replace(connection, *key, &before)?;
    }
    Ok(())
}

/// The values that facts have in the fields that are marked. What a field cannot hold came from elsewhere, and is not found by it.
fn values(kind: &str, facts: &Map<String, Value>) -> BTreeSet<(String, String)> {
    let kind = Catalogue::standard().kind(kind);
    let value = |field: &Field| {
        let held = match field.key.split_once('.') {
            None => facts.get(&field.key),
            Some((group, name)) => facts.get(group).and_then(|group| group.get(name)),
        };
        let text = held?.as_str()?;
        let fits = field.accepts(&Fact::Str(text.to_owned()));
        fits.then(|| (field.key.clone(), spelt(field, text)))
    };
    let fields = kind.into_iter().flat_map(Kind::indexed);
    fields.filter_map(value).collect()
}

/// A value as the index has it: a number of a record can be typed in more than one way.
fn spelt(field: &Field, text: &str) -> String {
    if field.names().is_empty() {
        text.to_owned()
    } else {
        same_number(text)
    }
}

/// What a record of a kind must have in one field: one of these spellings of a value.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) field: String,
    pub(super) spellings: Vec<String>,
}

/// What records of a kind must have so that a list shows them, what picks out the fewest first; nothing where the kind has no such
/// field to filter by. A reference is found however it was given: by id, by number or, where there is none, by name.
pub(super) fn wanted(
    connection: &Connection,
    kind: &Kind,
    values: &BTreeMap<String, String>,
) -> Result<Option<Vec<Wanted>>> {
    let mut all = Vec::with_capacity(values.len());
    for (key, value) in values {
        let Some(field) = kind.indexed().find(|field| field.key == *key) else {
            return Ok(None);
        };
        let mut spellings = BTreeSet::from([spelt(field, value.trim())]);
        if !field.names().is_empty()
            && let Some(row) = named(connection, value, field.names())?
        {
            spellings.insert(row.id.hyphenated());
            spellings.extend(row.number.or(row.title));
        }
        // Of choices there are few, so that each has many records.
        let many = matches!(field.kind, FieldType::Enum { .. });
        let wanted = Wanted {
            field: key.clone(),
            spellings: spellings.into_iter().collect(),
        };
        all.push((many, wanted));
    }
    all.sort_by_key(|(many, _)| *many);
    Ok(Some(all.into_iter().map(|(_, wanted)| wanted).collect()))
}
