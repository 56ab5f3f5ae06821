//! What references may name: the records that a form offers, under names that people read.
//!
//! A form shows and takes names; a record keeps ids, so that a name can be corrected or erased and two people of
//! one name stay two. What is typed and names nothing here, or more than one, is kept as it was typed: the
//! register may not have arrived yet. What a record refers to already stays what it is, even if it would no
//! longer be offered, and whoever else has come to bear the same name while its form was open.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, Home, Kind};
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::Value;

use crate::drafts::Typed;
use crate::error::Result;
use crate::journal::Overview;
use crate::records::{self, Listed};

/// Records of a register that are offered.
const REGISTER: usize = 300;
/// Newest records of a kind without a register that are offered.
const NEWEST: usize = 30;
/// Characters of a name: with a number it still fits a reference.
const NAME_CHARS: usize = 30;
/// Hexadecimal digits of an id that tell records of one name apart.
const END_CHARS: usize = 6;

/// A record on offer.
pub(super) struct Named {
    pub(super) id: String,
    /// Its name, told apart from others of the same name.
    pub(super) label: String,
    name: String,
    /// Whether the record in the form refers to it already.
    held: bool,
}

impl Named {
    fn of(row: &Listed, held: bool) -> Self {
        let name = label(row);
        Self {
            id: row.id.hyphenated(),
            label: name.clone(),
            name,
            held,
        }
    }

    /// The name with the end of the id, as those of one name are told apart.
    fn full(&self) -> String {
        let end = self.id.len().saturating_sub(END_CHARS);
        format!("{} #{}", self.name, self.id.get(end..).unwrap_or_default())
    }
}

/// The register of sites.
const SITE: &str = "site";

/// Records on offer, by kind.
#[derive(Default)]
pub(super) struct Choices(BTreeMap<String, Vec<Named>>);

impl Choices {
    /// What these fields may name.
    pub(super) fn of<'a>(
        connection: &Connection,
        overview: &Overview,
        fields: impl Iterator<Item = &'a Field>,
    ) -> Result<Self> {
        let kinds: BTreeSet<&String> = fields.flat_map(Field::names).collect();
        let mut choices = BTreeMap::new();
        for code in kinds {
            if let Some(kind) = Catalogue::current().kind(code) {
                choices.insert(code.clone(), offered(connection, overview, kind)?);
            }
        }
        let mut choices = Self(choices);
        choices.tell_apart();
        Ok(choices)
    }

    /// And what a record refers to already, on offer or not.
    pub(super) fn holding<'a>(
        mut self,
        connection: &Connection,
        fields: impl Iterator<Item = &'a Field>,
        held: &Typed,
    ) -> Result<Self> {
        for field in fields.filter(|field| !field.names().is_empty()) {
            let values = held.get(&field.key).into_iter().flatten();
            for item in values.flat_map(|value| value.lines()) {
                let offered = self.0.values_mut().flatten();
                if let Some(named) = offered.into_iter().find(|it| it.id == item) {
                    named.held = true;
                } else if let Some(row) = records::named(connection, item, field.names())?
                    && row.id.hyphenated() == item
                    && row.name().is_some()
                {
                    let kind = self.0.entry(row.kind.clone()).or_default();
                    kind.push(Named::of(&row, true));
                }
            }
        }
        self.tell_apart();
        Ok(self)
    }

    /// Those of one name get the ends of their ids behind it, all of them.
    fn tell_apart(&mut self) {
        let mut bearers: BTreeMap<String, usize> = BTreeMap::new();
        for named in self.0.values().flatten() {
            *bearers.entry(named.name.clone()).or_default() += 1;
        }
        for named in self.0.values_mut().flatten() {
            let alone = bearers.get(&named.name) == Some(&1);
            named.label = if alone {
                named.name.clone()
            } else {
                named.full()
            };
        }
    }

    /// The one record that a text names: by its label, or by the name alone if the record in the form refers
    /// to it already.
    fn id(&self, field: &Field, text: &str) -> Option<String> {
        let text = text.trim();
        let only = |is: &dyn Fn(&Named) -> bool| {
            let mut found = self.named(field).filter(|named| is(named));
            let first = found.next().filter(|_| found.next().is_none());
            first.map(|named| named.id.clone())
        };
        only(&|named| named.label == text || named.full() == text)
            .or_else(|| only(&|named| named.held && named.name == text))
    }

    /// What a field may name.
    pub(super) fn named(&self, field: &Field) -> impl Iterator<Item = &Named> {
        let kinds = field.names().iter();
        kinds.filter_map(|kind| self.0.get(kind)).flatten()
    }

    /// Whether a field picks from registers, which are short enough to be shown whole.
    pub(super) fn is_register(field: &Field) -> bool {
        let kinds = field.names().iter();
        let mut kinds = kinds.filter_map(|code| Catalogue::current().kind(code));
        let register = |kind: &Kind| kind.home == Home::Bulletin && kind.prefix.is_none();
        !field.names().is_empty() && kinds.all(register)
    }

    /// What was typed, with ids for the names that are on offer.
    pub(super) fn ids<'a>(&self, fields: impl Iterator<Item = &'a Field>, typed: &Typed) -> Typed {
        let mut typed = typed.clone();
        for field in fields.filter(|field| !field.names().is_empty()) {
            let set = matches!(field.kind, FieldType::Set { .. });
            for value in typed.get_mut(&field.key).into_iter().flatten() {
                let mut found = Vec::new();
                // A name may have marks in it that separate others: a line that is one is not divided.
                for line in value.lines() {
                    match self.id(field, line) {
                        Some(id) => found.push(id),
                        None if set => found.extend(items(line).map(|item| {
                            let id = self.id(field, item);
                            id.unwrap_or_else(|| item.to_owned())
                        })),
                        None => found.push(line.to_owned()),
                    }
                }
                *value = found.join("\n");
            }
        }
        typed
    }

    /// What a record holds as a form shows it: names for ids.
    pub(super) fn labels<'a>(
        &self,
        fields: impl Iterator<Item = &'a Field>,
        mut typed: Typed,
    ) -> Typed {
        for field in fields.filter(|field| !field.names().is_empty()) {
            for value in typed.get_mut(&field.key).into_iter().flatten() {
                let lines = value.lines().map(|item| {
                    let named = self.named(field).find(|named| named.id == item);
                    named.map_or(item, |named| named.label.as_str())
                });
                *value = lines.collect::<Vec<_>>().join("\n");
            }
        }
        typed
    }
}

/// The items that were typed into one field, a line or a mark of enumeration apart.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let items = text.split(['\n', '\u{3001}', ',', '\u{ff0c}', ';', '\u{ff1b}']);
    items.map(str::trim).filter(|item| !item.is_empty())
}

/// The name of a record in a form: its number if it has one, and the beginning of its title.
pub(super) fn label(row: &Listed) -> String {
    let title = row.name().unwrap_or_default();
    let mut name: String = title.chars().take(NAME_CHARS).collect();
    if name.len() < title.len() {
        name.push('…');
    }
    match &row.number {
        Some(number) if name == *number => name,
        Some(number) => format!("{number} {name}").trim_end().to_owned(),
        None => name,
    }
}

fn offered(connection: &Connection, overview: &Overview, kind: &Kind) -> Result<Vec<Named>> {
    let register = kind.home == Home::Bulletin;
    let filter = records::Filter {
        kind: Some(kind.code.clone()),
        limit: if register { REGISTER } else { NEWEST },
        held: Some(false),
        present: true,
        ..records::Filter::default()
    };
    let bulletin = Space::Bulletin.id(&overview.identity().network);
    // What can go no further is not offered; nor is a register's entry that somebody made elsewhere.
    let lives = |row: &Listed| {
        let goes_on = kind
            .transitions
            .iter()
            .any(|step| step.to.is_some() && step.applies_to(&row.status));
        let current = row.fact("active") != Some(&Value::Bool(false));
        current && (goes_on || kind.statuses.is_empty()) && (!register || row.space == bulletin)
    };
    let rows = records::list(connection, &filter)?;
    let rows = rows.iter().filter(|row| lives(row) && row.name().is_some());
    let rows: Vec<_> = rows.collect();
    let mut offered: Vec<_> = rows.iter().map(|row| Named::of(row, false)).collect();
    if kind.code == SITE {
        // Sites of the network that nobody has entered in the register: known by their codes.
        let is_listed = |code: &str| {
            let mut codes = rows
                .iter()
                .map(|row| row.fact("code").and_then(Value::as_str));
            codes.any(|it| it == Some(code))
        };
        let sites = overview.authority().sites().values();
        let sites = sites.filter(|site| !is_listed(&site.code));
        offered.extend(sites.map(|site| Named {
            id: site.code.clone(),
            label: site.name.clone(),
            name: site.name.clone(),
            held: false,
        }));
    }
    if register {
        offered.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    }
    Ok(offered)
}
