//! One record as people see it: the plain form from which its page, its slip, what commands say of it and exports are made, so
//! that all of them say the same.

use std::rc::Rc;

use lianxin_protocol::authority::Reason;
use lianxin_protocol::catalogue::{Catalogue, Field, Gather, Kind, Retention};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::receipt::Receipt;
use rusqlite::Connection;

use super::delivery::{self, Coverage, State};
use super::sight::{self, Sight, Title};
use super::{Content, Gathered, Listed, called, gather, referring, rows};
use crate::actor::Actor;
use crate::clock;
use crate::error::Result;
use crate::journal::Books;
use crate::reports::known::day_of;
use crate::search::{Excerpt, Search};

/// A record, with how far it has come.
#[derive(Debug)]
pub struct Record {
    /// Its number in this store.
    pub key: i64,
    /// Its id.
    pub id: RecordId,
    /// Its kind, if this version knows it.
    pub kind: Option<&'static Kind>,
    /// Its title, with the names of other records in the place of their ids.
    title: Option<String>,
    /// What it holds, as far as it is shown.
    pub content: Content,
    /// How far it has come, whatever its workflow says.
    pub reached: State,
    /// Why it is held back, or what it waits for.
    pub reason: Option<Reason>,
    /// The state that is shown.
    pub state: State,
    /// The status that is shown.
    pub status: String,
    /// When it came to the hub, in Unix milliseconds by the hub's clock.
    pub received_ms: Option<u64>,
    /// The receipts that cover its entries.
    pub receipts: Vec<Rc<Receipt>>,
    /// Its row, if it has one.
    pub row: Option<Listed>,
    /// How much of it is shown here: the rest is not in what it holds.
    pub sight: Sight,
    /// What it was made from.
    pub gathered: Gathered,
}

/// Records of one kind that refer to another record, of which that one's kind says that they are gathered there.
#[derive(Debug)]
pub struct Related {
    /// How they refer to it.
    pub gather: &'static Gather,
    /// Their kind.
    pub kind: &'static Kind,
    /// Their rows.
    pub rows: Vec<Listed>,
    /// Whether there are more.
    pub more: bool,
}

impl Related {
    /// Whether they are shown as parts of the other.
    #[must_use]
    pub const fn is_nested(&self) -> bool {
        self.gather.field.is_some()
    }

    /// Each with what it holds, as much of it as is shown of both.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn contents(
        &self,
        connection: &Connection,
        books: &mut Books,
        (sight, actor): (Sight, &Actor),
    ) -> Result<Vec<(&Listed, Content)>> {
        let contents = self.rows.iter().map(|row| {
            let mut content = gather(connection, books, row.key)?.content(books.authority());
            let own = content.veil.lets(actor);
            content.cover(Some(self.kind), sight.min(own));
            Ok((row, content))
        });
        contents.collect()
    }
}

/// Where a text stands in what is shown of a record besides its title to somebody who has opened nothing: in its fields, or in what was
/// said with a step. What was replaced is looked for and not shown here.
///
/// # Errors
/// The store cannot be read.
pub fn excerpt(
    connection: &Connection,
    books: &mut Books,
    row: &Listed,
    (actor, search): (&Actor, &Search),
) -> Result<Option<Excerpt>> {
    let Some(kind) = Catalogue::current().kind(&row.kind) else {
        return Ok(None);
    };
    let mut content = gather(connection, books, row.key)?.content(books.authority());
    // The content may be newer than the row.
    let veil = content.veil.clone();
    let veil = veil.within(connection, &content.kind, &content.facts)?;
    let sight = veil.lets(actor).min(row.sight(actor));
    content.cover(Some(kind), sight);
    if !sight.has_words() {
        return Ok(None);
    }
    let is_text = |field: &Field| field.retention == Some(Retention::Text) && !field.masked;
    let texts = kind.fields.iter().filter(|field| is_text(field));
    let texts = texts.filter(|field| kind.title.as_ref() != Some(&field.key));
    let texts = texts.flat_map(|field| content.held(&field.key));
    let data = content.events.iter().flat_map(|event| &event.data);
    let data = data.filter(|(key, _)| kind.field_or_datum(key).is_some_and(is_text));
    let data = data.filter_map(|(_, value)| value.as_str().map(str::to_owned));
    Ok(texts.chain(data).find_map(|text| search.excerpt(&text)))
}

impl Record {
    /// The Beijing day on which it happened, was held or began, by which it counts; nothing where it says none that is shown.
    #[must_use]
    pub fn happened_on(&self) -> Option<String> {
        let mut keys = self.kind?.counts_on.iter();
        keys.find_map(|key| day_of(self.content.held(key).first()?))
    }

    /// Reads it by its number in this store, as far as whoever looks is shown it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(
        connection: &Connection,
        books: &mut Books,
        key: i64,
        actor: &Actor,
    ) -> Result<Self> {
        let gathered = gather(connection, books, key)?;
        let mut content = gathered.content(books.authority());
        let row = rows(connection, &[key])?.pop();
        let sight = match &row {
            Some(row) => {
                // The content may be newer than the row.
                let veil = content.veil.clone();
                let veil = veil.within(connection, &content.kind, &content.facts)?;
                sight::on_page(connection, books, (row, &veil), actor, clock::now_ms())?
            }
            None => content.veil.lets(actor),
        };
        let kind = Catalogue::current().kind(&content.kind);
        content.cover(kind, sight);
        let coverage = Coverage::of(books);
        let (reached, reason) = coverage.judged(connection, key)?;
        let (state, status) = delivery::shown(reached, &content.kind, &content.status);
        let received_ms = match gathered.founding_entry() {
            Some(entry) => books.arrived_at(connection, entry)?,
            None => None,
        };
        Ok(Self {
            key,
            id: gathered.id,
            kind,
            title: called(connection, &content.kind, content.title.clone())?,
            reached,
            reason,
            state,
            status,
            received_ms,
            receipts: coverage.of_record(connection, key)?,
            row,
            sight,
            content,
            gathered,
        })
    }

    /// Its title, as far as it is shown.
    #[must_use]
    pub fn title(&self) -> Title<'_> {
        if self.sight.has_words() {
            Title::of(self.title.as_deref())
        } else {
            Title::Kept
        }
    }

    /// Whether it stands in figures.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.gathered.held().is_none()
    }

    /// Whether somebody made it to try the program out.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.content.fields.get("test_data") == Some(&serde_json::Value::Bool(true))
    }

    /// What refers to it, kind by kind, so many of each at most. That a sealed record does is kept as all of it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn related(
        &self,
        connection: &Connection,
        actor: &Actor,
        most: usize,
    ) -> Result<Vec<Related>> {
        let (Some(row), Some(kind)) = (&self.row, self.kind) else {
            return Ok(Vec::new());
        };
        let mut related = Vec::new();
        for gather in &kind.gathers {
            let Some(kind) = Catalogue::current().kind(&gather.kind) else {
                continue;
            };
            let mut rows = referring(connection, row, (&kind.code, &gather.by), most + 1)?;
            let more = rows.len() > most;
            if kind.parent.is_none() {
                rows.retain(|row| row.sight(actor).has_facts());
            }
            rows.truncate(most);
            related.push(Related {
                gather,
                kind,
                rows,
                more,
            });
        }
        Ok(related)
    }
}
