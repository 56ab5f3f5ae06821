//! What references may name: the records that a form offers, under names that people read.
//!
//! A form shows and takes names; a record keeps ids, so that a name can be corrected or erased and two people of
//! one name stay two. What is typed and names nothing here is kept as it was typed: the register may not have
//! arrived yet.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, Home, Kind};
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::Value;

use crate::drafts::Typed;
use crate::error::Result;
use crate::journal::Journal;
use crate::records::{self, Listed};

/// Records of a register that are offered.
const REGISTER: usize = 300;
/// Newest records of a kind without a register that are offered.
const NEWEST: usize = 30;
/// Characters of a name: with a number it still fits a reference.
const NAME_CHARS: usize = 30;

/// A record on offer.
pub(super) struct Named {
    pub(super) id: String,
    pub(super) label: String,
}

/// Records on offer, by kind.
#[derive(Default)]
pub(super) struct Choices(BTreeMap<String, Vec<Named>>);

impl Choices {
    /// What these fields may name.
    pub(super) fn of<'a>(
        connection: &Connection,
        journal: &Journal,
        fields: impl Iterator<Item = &'a Field>,
    ) -> Result<Self> {
        let kinds: BTreeSet<&String> = fields.flat_map(Field::names).collect();
        let mut choices = BTreeMap::new();
        for code in kinds {
            if let Some(kind) = Catalogue::standard().kind(code) {
                choices.insert(code.clone(), offered(connection, journal, kind)?);
            }
        }
        Ok(Self(choices))
    }

    /// What a field may name.
    pub(super) fn named(&self, field: &Field) -> impl Iterator<Item = &Named> {
        let kinds = field.names().iter();
        kinds.filter_map(|kind| self.0.get(kind)).flatten()
    }

    /// Whether a field picks from registers, which are short enough to be shown whole.
    pub(super) fn is_register(field: &Field) -> bool {
        let kinds = field.names().iter();
        let mut kinds = kinds.filter_map(|code| Catalogue::standard().kind(code));
        let register = |kind: &Kind| kind.home == Home::Bulletin && kind.prefix.is_none();
        !field.names().is_empty() && kinds.all(register)
    }

    /// What was typed, with ids for the names that are on offer.
    pub(super) fn ids<'a>(&self, fields: impl Iterator<Item = &'a Field>, typed: &Typed) -> Typed {
        let mut typed = typed.clone();
        for field in fields.filter(|field| !field.names().is_empty()) {
            let Some(values) = typed.get_mut(&field.key) else {
                continue;
            };
            let id = |label: &str| {
                let mut same = self.named(field).filter(|it| it.label == label.trim());
                same.next().map(|it| it.id.clone())
            };
            let set = matches!(field.kind, FieldType::Set { .. });
            for value in values.iter_mut() {
                *value = match id(value) {
                    Some(id) => id,
                    None if set => {
                        let items = items(value);
                        let items = items.map(|item| id(item).unwrap_or_else(|| item.to_owned()));
                        items.collect::<Vec<_>>().join("\n")
                    }
                    None => continue,
                };
            }
        }
        typed
    }

    /// What a record holds as a form shows it: names for ids.
    pub(super) fn labels<'a>(
        &self,
        connection: &Connection,
        fields: impl Iterator<Item = &'a Field>,
        mut typed: Typed,
    ) -> Result<Typed> {
        for field in fields.filter(|field| !field.names().is_empty()) {
            for value in typed.get_mut(&field.key).into_iter().flatten() {
                let mut lines = Vec::new();
                for item in value.lines() {
                    let offered = self.named(field).find(|it| it.id == item);
                    lines.push(match offered {
                        Some(named) => named.label.clone(),
                        None => match records::named(connection, item, field.names())? {
                            Some(row) if row.id.hyphenated() == item => label(&row),
                            _ => item.to_owned(),
                        },
                    });
                }
                *value = lines.join("\n");
            }
        }
        Ok(typed)
    }
}

/// The items that were typed into one field, a line or a mark of enumeration apart.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let items = text.split(['\n', '\u{3001}', ',', '\u{ff0c}', ';', '\u{ff1b}']);
    items.map(str::trim).filter(|item| !item.is_empty())
}

/// The name of a record in a form: its number if it has one, and the beginning of its title.
pub(super) fn label(row: &Listed) -> String {
    let title = row.title.as_deref().unwrap_or_default();
    let mut name: String = title.chars().take(NAME_CHARS).collect();
    if name.len() < title.len() {
        name.push('…');
    }
    match &row.number {
        Some(number) => format!("{number} {name}").trim_end().to_owned(),
        None => name,
    }
}

fn offered(connection: &Connection, journal: &Journal, kind: &Kind) -> Result<Vec<Named>> {
    let register = kind.home == Home::Bulletin;
    let filter = records::Filter {
        kind: Some(kind.code.clone()),
        limit: if register { REGISTER } else { NEWEST },
        ..records::Filter::default()
    };
    let bulletin = Space::Bulletin.id(&journal.identity().network);
    // What can go no further is not offered; nor is a register's entry that somebody made elsewhere.
    let lives = |row: &Listed| {
        let goes_on = kind
            .transitions
            .iter()
            .any(|step| step.to.is_some() && step.applies_to(&row.status));
        let current = row.facts.get("active") != Some(&Value::Bool(false));
        current && (goes_on || kind.statuses.is_empty()) && (!register || row.space == bulletin)
    };
    let rows = records::list(connection, &filter)?;
    let mut offered: Vec<Named> = Vec::new();
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| lives(row) && row.title.is_some()) {
        let (mut label, id) = (label(row), row.id.hyphenated());
        if !seen.insert(label.clone()) {
            let end: String = id
                .chars()
                .rev()
                .take(4)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            label = format!("{label} #{end}");
        }
        offered.push(Named { id, label });
    }
    if register {
        offered.sort_by(|a, b| a.label.cmp(&b.label));
    }
    Ok(offered)
}
