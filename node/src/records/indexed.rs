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
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::numbers::same_number;
use super::query::named;
use crate::error::Result;
use crate::store::packed;

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

    /// Those of a record by its row as it stands; none of one that has not been filled yet, and none of a sealed one: whoever asks for
    /// a value is told which records have it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(connection: &Connection, key: i64) -> Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT kind, record, arrived, iif(veil IS 'all', NULL, facts) FROM records WHERE id = ?1 AND kind <> ''",
        )?;
        let row = statement.query_row([key], |row| {
            let facts: Option<Vec<u8>> = row.get(3)?;
            let facts =
                facts.and_then(|facts| serde_json::from_slice(&packed::unpack(&facts)?).ok());
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

/// Says that a record arrived at the hub at this time.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn arrive(connection: &Connection, key: i64, at_ms: i64) -> Result<()> {
    let before = Indexed::of(connection, key)?;
    connection
        .prepare_cached("UPDATE records SET arrived = ?2 WHERE id = ?1")?
        .execute([key, at_ms])?;
    let after = Indexed {
        arrived: at_ms,
        ..before.clone()
    };
    after.replace(connection, key, &before)
}

/// The values that facts have in the fields that are marked. What a field cannot hold came from elsewhere, and is not found by it.
fn values(kind: &str, facts: &Map<String, Value>) -> BTreeSet<(String, String)> {
    let kind = Catalogue::current().kind(kind);
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
        let value = &field.written(value).unwrap_or_else(|| text::line(value));
        let mut spellings = BTreeSet::from([spelt(field, value)]);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn indexed(arrived: i64, facts: &Value) -> Indexed {
        let facts = facts.as_object().cloned().unwrap_or_default();
        Indexed::new("opinion", [1; 16], arrived, &facts)
    }

    #[test]
    fn what_no_field_can_hold_is_in_no_index_however_it_came() {
        let found = |facts: Value| indexed(1, &facts).values.len();
        let community = |text: &str| json!({ "place": { "community": text } });
        assert_eq!(found(community(&"社".repeat(64))), 1);
        assert_eq!(found(community(&"社".repeat(65))), 0);
        assert_eq!(
            found(json!({ "place": "东社区", "category": "unheard_of" })),
            0
        );
        assert_eq!(
            found(json!({ "category": ["help"], "due_on": 20_261_231 })),
            0
        );
        // What is there and not marked is not looked at.
        assert_eq!(found(json!({ "urgency": "urgent", "number": "1" })), 0);
        let other = Indexed::new("unheard_of", [1; 16], 1, &Map::new());
        assert!(other.values.is_empty());
    }

    #[test]
    fn only_what_differs_is_written() -> Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("../store/schema.sql"))?;
        let rows = || -> Result<u64> {
            let sql = "SELECT count(*) FROM indexed_fields";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        };
        let help = json!({ "category": "help", "due_on": "2026-12-31" });
        let first = indexed(1, &help);
        let before = connection.total_changes();
        let changes = || connection.total_changes() - before;
        first.replace(&connection, 7, &Indexed::default())?;
        assert_eq!((rows()?, changes()), (2, 2));
        first.replace(&connection, 7, &indexed(1, &help))?;
        assert_eq!(changes(), 2);
        let later = indexed(1, &json!({ "category": "consult", "due_on": "2026-12-31" }));
        later.replace(&connection, 7, &first)?;
        assert_eq!((rows()?, changes()), (2, 4));
        // In another place of the list all are written anew.
        indexed(2, &help).replace(&connection, 7, &later)?;
        assert_eq!((rows()?, changes()), (2, 8));
        Indexed::default().replace(&connection, 7, &indexed(2, &help))?;
        assert_eq!(rows()?, 0);
        Ok(())
    }
}
