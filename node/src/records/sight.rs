//! Who is shown what of a record that this device holds (DOMAIN §0.9): cards and texts of one that is kept confidential 保密 to the
//! account that registered it and to the sub-district; of a sealed one 封存 its number and its state; a number to telephone only
//! to whoever says why.
//!
//! The catalogue marks what does so ([`Veils`]); of values that two people wrote at once the stricter one holds, and what belongs to
//! another record is kept as that one is. A row carries its veil, so that a list asks nothing else; the title and the values of a row are
//! read by naming who looks, and a [`Record`] holds nothing that they are not shown.
//!
//! This is what pages and commands show. A device holds its records whole, and whoever owns it and its key has all of them: a command
//! that names no account is theirs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use lianxin_protocol::authority::Role as DeviceRole;
use lianxin_protocol::catalogue::{Catalogue, Fact, Facts, Field, FieldType, Kind, Role, Veils};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::RecordId;
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value};

use super::save::{self, Author};
use super::{Content, Listed, Record, gather, query, referring, rows};
use crate::actor::Actor;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};

/// What of a record is kept from whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Veil {
    /// Nothing but numbers to telephone.
    #[default]
    None,
    /// Cards and texts, from all but this account and the sub-district.
    Words {
        /// Who registered it.
        registrar: String,
    },
    /// All but number and state, until two people open it.
    All,
}

/// How much of a record somebody is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// Number and state.
    Number,
    /// No cards and no texts.
    Outline,
    /// Numbers to telephone only in part.
    Masked,
    /// All.
    Whole,
}

impl Veil {
    /// What is kept of a record with these values; `others` are values that lost against them and are not settled yet.
    pub(super) fn of<'a>(
        kind: &Kind,
        facts: &Facts,
        others: impl Iterator<Item = (&'a str, &'a Value)> + Clone,
        overlays: &BTreeSet<String>,
        registrar: impl FnOnce() -> String,
    ) -> Self {
        let of_field = |field: &Field| {
            let others = others.clone().filter(|(key, _)| *key == field.key);
            let fact = facts.get(&field.key);
            let of_fact = |value: &Value| match (&field.kind, value) {
                (FieldType::Enum { options }, Value::String(code)) => {
                    let option = options.iter().find(|option| option.code == *code);
                    option.and_then(|option| option.veils)
                }
                (FieldType::Bool, Value::Bool(true)) => field.veils,
                _ => None,
            };
            let values = others.map(|(_, value)| of_fact(value));
            values
                .chain([fact.map(Fact::to_json).as_ref().and_then(of_fact)])
                .max()
                .flatten()
        };
        let can = |field: &&Field| match &field.kind {
            FieldType::Enum { options } => options.iter().any(|option| option.veils.is_some()),
            _ => field.veils.is_some(),
        };
        let by_fields = kind.fields.iter().filter(can).filter_map(of_field).max();
        let known = kind.overlays.iter();
        let by_overlays = known
            .filter(|overlay| overlays.contains(&overlay.code))
            .filter_map(|overlay| overlay.veils)
            .max();
        match kind.veils.max(by_fields).max(by_overlays) {
            None => Self::None,
            Some(Veils::Words) => Self::Words {
                registrar: registrar(),
            },
            Some(Veils::All) => Self::All,
        }
    }

    /// As a row has it: `all`, or `words:` and the account.
    pub(super) fn column(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Words { registrar } => Some(format!("words:{registrar}")),
            Self::All => Some("all".to_owned()),
        }
    }

    pub(super) fn read(column: Option<&str>) -> Self {
        match column {
            None => Self::None,
            // What this version does not know is kept from everybody.
            Some(column) => column
                .strip_prefix("words:")
                .map_or(Self::All, |registrar| Self::Words {
                    registrar: registrar.to_owned(),
                }),
        }
    }

    /// This, and what is kept of the records that it belongs to.
    pub(super) fn within(
        self,
        connection: &Connection,
        kind: &str,
        facts: &Map<String, Value>,
    ) -> Result<Self> {
        let above = above(connection, kind, facts)?.into_iter();
        Ok(above.fold(self, |veil, row| match (veil, row.veil) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (veil, Self::None) => veil,
            (_, whole) => whole,
        }))
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Words { .. } => 1,
            Self::All => 2,
        }
    }

    /// How much somebody is shown who has opened nothing.
    #[must_use]
    pub fn lets(&self, actor: &Actor) -> Sight {
        let for_office = !actor
            .roles()
            .is_disjoint(&[Role::Hub, Role::Supervisor].into());
        match self {
            _ if actor.owns_store() => Sight::Whole,
            Self::All => Sight::Number,
            Self::Words { registrar } if !for_office && actor.account() != registrar => {
                Sight::Outline
            }
            Self::None | Self::Words { .. } => Sight::Masked,
        }
    }
}

/// The records that one belongs to, the nearest first, as their rows have them.
fn above(connection: &Connection, kind: &str, facts: &Map<String, Value>) -> Result<Vec<Listed>> {
    /// Records that belong to one another.
    const DEEP: usize = 4;
    let parent_of = |kind: &str, facts: &Map<String, Value>| {
        let parent = Catalogue::current().kind(kind)?.parent.as_ref()?;
        RecordId::parse(facts.get(&parent.field)?.as_str()?)
    };
    let mut found = Vec::new();
    let mut next = parent_of(kind, facts);
    while let Some(id) = next.take().filter(|_| found.len() < DEEP) {
        let sql = format!("SELECT {} FROM records WHERE record = ?1", query::LISTED);
        let mut statement = connection.prepare_cached(&sql)?;
        let row = statement.query_row([id.0], query::listed).optional()?;
        if let Some(row) = row {
            next = parent_of(&row.kind, &row.facts);
            found.push(row);
        }
    }
    Ok(found)
}

impl Sight {
    /// Whether cards and texts are shown.
    #[must_use]
    pub fn has_words(self) -> bool {
        self >= Self::Masked
    }

    /// Whether facts are shown.
    #[must_use]
    pub fn has_facts(self) -> bool {
        self >= Self::Outline
    }

    /// Whether a field is shown as it is.
    #[must_use]
    pub fn shows(self, field: &Field) -> bool {
        self.has_facts()
            && (field.retention.is_none() || self.has_words())
            && (!field.masked || self == Self::Whole)
    }

    /// What is shown of a value of a field, or of the data of a step.
    #[must_use]
    pub fn shown(self, field: Option<&Field>, value: Value) -> Value {
        let is_text = field.is_some_and(|field| field.retention.is_some());
        let masked = field.is_some_and(|field| field.masked);
        match value {
            _ if !self.has_facts() || (is_text && !self.has_words()) => Value::Null,
            Value::String(text) if masked && self < Self::Whole => {
                Value::String(self::masked(&text))
            }
            value => value,
        }
    }
}

/// A number to telephone of which some digits are not shown: 138****0000.
#[must_use]
pub fn masked(text: &str) -> String {
    const LONG: usize = 9;
    let text: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    let (first, last) = match text.len() {
        LONG.. => (3, 4),
        5..LONG => (0, 2),
        _ => (0, 0),
    };
    let start = text.iter().take(first);
    let end = text.iter().skip(text.len().saturating_sub(last));
    start.chain(&['*'; 4]).chain(end).collect()
}

/// The title of a row, for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Title<'a> {
    /// It has none.
    None,
    /// They are not shown it.
    Kept,
    /// The title.
    Is(&'a str),
}

impl<'a> Title<'a> {
    /// The title of something that is kept from nobody.
    #[must_use]
    pub fn of(title: Option<&'a str>) -> Self {
        title.map_or(Self::None, Self::Is)
    }

    /// The title that is shown.
    #[must_use]
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Is(text) => Some(text),
            Self::None | Self::Kept => None,
        }
    }
}

impl Listed {
    /// How much of it somebody is shown in lists: there nobody has opened anything.
    #[must_use]
    pub fn sight(&self, actor: &Actor) -> Sight {
        self.veil.lets(actor)
    }

    /// Its title, for whoever looks.
    #[must_use]
    pub fn title(&self, actor: &Actor) -> Title<'_> {
        if self.sight(actor).has_words() {
            Title::of(self.title.as_deref())
        } else {
            Title::Kept
        }
    }

    /// What of it is kept from whom.
    #[must_use]
    pub const fn veil(&self) -> &Veil {
        &self.veil
    }

    /// Whether it is kept from more people than another one.
    #[must_use]
    pub fn is_kept_more(&self, than: &Veil) -> bool {
        self.veil.rank() > than.rank()
    }

    /// What it is called where others name it: its title, and its number if anything of it is kept from anybody.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.veil {
            Veil::None => self.title.as_deref(),
            Veil::Words { .. } | Veil::All => self.number.as_deref(),
        }
    }

    /// A fact of it that is kept from nobody.
    #[must_use]
    pub fn fact(&self, key: &str) -> Option<&Value> {
        match self.veil {
            Veil::All => None,
            Veil::None | Veil::Words { .. } => self.facts.get(key),
        }
    }

    /// What it holds in the clear, as nested JSON, for whoever looks.
    #[must_use]
    pub fn facts(&self, actor: &Actor) -> &Map<String, Value> {
        static NOTHING: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        if self.sight(actor).has_facts() {
            &self.facts
        } else {
            &NOTHING
        }
    }
}

impl Content {
    /// Takes out what somebody is not shown.
    pub(super) fn cover(&mut self, kind: Option<&Kind>, sight: Sight) {
        if sight == Sight::Whole {
            return;
        }
        if !sight.has_facts() {
            self.facts.clear();
            self.fields.clear();
            self.conflicts.clear();
            self.apart.clear();
            self.events.clear();
            self.mentions.clear();
            self.title = None;
            return;
        }
        let Some(kind) = kind else { return };
        if !sight.has_words() {
            self.title = None;
        }
        let covered =
            |field: &&Field| field.masked || (field.retention.is_some() && !sight.has_words());
        for field in kind.fields.iter().filter(covered) {
            let show = |fields: &mut Map<String, Value>, name: &str| {
                if let Some(value) = fields.remove(name) {
                    match sight.shown(Some(field), value) {
                        Value::Null => {}
                        value => {
                            fields.insert(name.to_owned(), value);
                        }
                    }
                }
            };
            match field.key.split_once('.') {
                None => show(&mut self.fields, &field.key),
                Some((group, name)) => {
                    if let Some(Value::Object(group)) = self.fields.get_mut(group) {
                        show(group, name);
                    }
                }
            }
            // What is shown in part is told apart whole, and masked where it is shown.
            let hidden = self.apart.iter_mut().filter(|_| !sight.has_words());
            for apart in hidden.filter(|it| it.field == field.key) {
                for it in &mut apart.writes {
                    it.value = sight.shown(Some(field), it.value.take());
                }
            }
            if let Some(values) = self.conflicts.get_mut(&field.key) {
                for it in values {
                    it.value = sight.shown(Some(field), it.value.take());
                }
            }
        }
        for event in &mut self.events {
            for (key, value) in &mut event.data {
                *value = sight.shown(kind.field_or_datum(key), value.take());
            }
            event.data.retain(|_, value| !value.is_null());
        }
    }
}

/// How long an opened record stays open, in milliseconds.
pub const OPEN_MS: u64 = 24 * 60 * 60 * 1_000;
/// People who must have said why they open a sealed record.
pub const OPENERS: usize = 2;

/// Somebody who said why they open a sealed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    /// The device, and the account there.
    pub who: (DeviceKey, String),
    /// The mark of the person, if the entry has one.
    pub person: Option<String>,
    /// When, by that device's clock, in Unix milliseconds.
    pub at_ms: u64,
}

impl Opener {
    /// Whether both are one person: the same account, or accounts of one name on two devices.
    fn is_same(&self, other: &Self) -> bool {
        self.who == other.who || (self.person.is_some() && self.person == other.person)
    }
}

/// Who has said lately why they open a sealed record, one entry for each account, oldest first. What a site's device says opens nothing
/// elsewhere: only the sub-district's devices count, and this one. Somebody with an account on each of two devices is one person; an
/// entry of another device that does not mark whose it is counts for nobody.
///
/// # Errors
/// The store cannot be read.
pub fn openers(
    connection: &Connection,
    books: &mut Books,
    row: &Listed,
    now_ms: u64,
) -> Result<Vec<Opener>> {
    /// Entries of the access log that are looked at.
    const MOST: usize = 1_000;
    let mut openers: Vec<Opener> = Vec::new();
    for log in referring(connection, row, (ACCESS_LOG, "record"), MOST)? {
        let text = |key: &str| log.facts.get(key).and_then(Value::as_str);
        if (text("action"), text("result")) != (Some(REVEAL), Some("done")) {
            continue;
        }
        let at_ms = log.recorded_ms();
        if at_ms + OPEN_MS <= now_ms || at_ms > now_ms + OPEN_MS {
            continue;
        }
        let gathered = gather(connection, books, log.key)?;
        let Some((device, account)) = gathered.made_by() else {
            continue;
        };
        let counts = device == books.identity().key()
            || matches!(
                books.authority().role(&device),
                Some(DeviceRole::Hub | DeviceRole::Operator)
            );
        let person = text(PERSON).map(str::to_owned);
        let opener = Opener {
            who: (device, account),
            person,
            at_ms,
        };
        let known = opener.person.is_some() || device == books.identity().key();
        if counts && known && !openers.iter().any(|it| it.who == opener.who) {
            openers.push(opener);
        }
    }
    Ok(openers)
}

/// How many people these are.
#[must_use]
pub fn people(openers: &[Opener]) -> usize {
    let mut people: Vec<&Opener> = Vec::new();
    for opener in openers {
        if !people.iter().any(|it| it.is_same(opener)) {
            people.push(opener);
        }
    }
    people.len()
}

/// Code of the kind whose records say who looked at what.
pub const ACCESS_LOG: &str = "access_log";
/// Its field that marks whose account it was.
pub const PERSON: &str = "person";
/// What is done when something is shown that is kept.
pub const REVEAL: &str = "reveal";
/// What is done when a number to telephone is shown.
pub const VIEW_CONTACT: &str = "view_contact";
/// What is done when somebody looks for all that a person has brought.
const SEARCH_PERSON: &str = "search_person";

/// How much of a record somebody is shown on its own page: there a sealed one may be open, and a number may have been asked for.
///
/// # Errors
/// The store cannot be read.
pub(super) fn on_page(
    connection: &Connection,
    books: &mut Books,
    (row, veil): (&Listed, &Veil),
    actor: &Actor,
    now_ms: u64,
) -> Result<Sight> {
    let mut sight = veil.lets(actor);
    if sight == Sight::Number {
        // Whoever opens a record has opened what belongs to it.
        let mut all = openers(connection, books, row, now_ms)?;
        for whole in above(connection, &row.kind, &row.facts)? {
            all.extend(openers(connection, books, &whole, now_ms)?);
        }
        let me = books.identity().key();
        let mine = |it: &Opener| it.who.0 == me && it.who.1 == actor.account();
        if people(&all) >= OPENERS && all.iter().any(mine) {
            sight = Sight::Masked;
        }
    }
    if sight == Sight::Masked && actor.has_revealed(&row.id) {
        sight = Sight::Whole;
    }
    Ok(sight)
}

/// How much of a record somebody is shown who takes a step on it.
///
/// # Errors
/// The store cannot be read.
pub(super) fn on_step(
    connection: &Connection,
    books: &mut Books,
    (key, content): (i64, &Content),
    actor: &Actor,
) -> Result<Sight> {
    let veil = content.veil.clone();
    let veil = veil.within(connection, &content.kind, &content.facts)?;
    match (&veil, rows(connection, &[key])?.pop()) {
        (Veil::All, Some(row)) => on_page(connection, books, (&row, &veil), actor, clock::now_ms()),
        _ => Ok(veil.lets(actor)),
    }
}

/// Characters of a reason, as the access log has it.
const REASON_CHARS: usize = 500;

/// Writes into the access log why somebody wants to see what is kept of a record: a number to telephone, which they are shown then,
/// or all of a sealed one, which two people are shown. Gives the record's id.
///
/// # Errors
/// [`Code::NotShown`] where that is for others, [`Code::NoReason`] without a reason of a fitting length, and as
/// [`save::log_access`].
pub fn reveal(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    reason: &str,
    author: &Author,
) -> Result<RecordId> {
    let reason = said_why(reason)?;
    let record = Record::read(connection, journal, key, &author.actor)?;
    let action = match record.sight {
        Sight::Masked | Sight::Whole => VIEW_CONTACT,
        Sight::Number if may_open(&author.actor) => REVEAL,
        Sight::Number | Sight::Outline => {
            let message = "what this record holds is not shown to this account";
            return Err(Error::new(Code::NotShown, message));
        }
    };
    let about = (Some(&record.id), action, reason.as_str());
    save::log_access(connection, journal, about, author)?;
    Ok(record.id)
}

/// Writes into the access log why somebody looks for all that one person has brought. Whom they look for is not written.
///
/// # Errors
/// [`Code::NoReason`] without a reason of a fitting length, and as [`save::log_access`].
pub fn look_for_person(
    connection: &Connection,
    journal: &mut Journal,
    reason: &str,
    author: &Author,
) -> Result<()> {
    let reason = said_why(reason)?;
    save::log_access(connection, journal, (None, SEARCH_PERSON, &reason), author)?;
    Ok(())
}

fn said_why(reason: &str) -> Result<String> {
    let reason = text::kept(reason.trim());
    if text::is_blank(&reason) || reason.chars().count() > REASON_CHARS {
        let message = format!("say why, in {REASON_CHARS} characters at most");
        return Err(Error::new(Code::NoReason, message));
    }
    Ok(reason)
}

/// Whether somebody may ask for a sealed record to be opened.
#[must_use]
pub fn may_open(actor: &Actor) -> bool {
    !actor
        .roles()
        .is_disjoint(&[Role::Hub, Role::Supervisor, Role::Privacy].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_masked_whatever_its_length() {
        for (number, shown) in [
            ("13800000000", "138****0000"),
            ("138-0000-0000", "138****0000"),
            ("053200000000", "053****0000"),
            ("8600000", "****00"),
            ("110", "****"),
            ("", "****"),
            ("打给门卫", "****"),
        ] {
            assert_eq!(masked(number), shown, "{number}");
        }
    }
}
