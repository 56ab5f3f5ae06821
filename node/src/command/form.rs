//! An office's own forms as commands.

use lianxin_protocol::catalogue::Kind;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::record::saved_reply;
use crate::error::{Code, Error, Result};
use crate::forms::{self, Form, Looked};
use crate::journal::{Books, Journal};
use crate::records::Listed;
use crate::records::save::Author;
use crate::reply::Reply;

/// A form that is to be kept.
pub(super) struct New<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'static Kind,
    pub(super) file: Vec<u8>,
    pub(super) sheet: Option<&'a str>,
    /// Columns or places that were named, each with a field.
    pub(super) columns: &'a [(String, String)],
}

/// What became of the columns of a file: each with its head and its field, and those that are none.
#[must_use]
pub fn places_json(looked: &Looked) -> Value {
    let taken = looked.places.iter().filter_map(|(place, column)| {
        let column = column.as_ref()?;
        Some(json!({ "place": place.key, "name": place.name, "field": column.code() }))
    });
    let left = looked.places.iter().filter(|(_, column)| column.is_none());
    json!({
        "form": looked.shape.word(),
        "columns": taken.collect::<Vec<_>>(),
        "left_out": left.map(|(place, _)| &place.name).collect::<Vec<_>>(),
    })
}

/// Looks at a file.
///
/// # Errors
/// [`Code::BadTable`] for what is neither ledger nor letter, [`Code::BadInput`] for columns that are none.
pub fn looked(
    kind: &'static Kind,
    (file, sheet): (Vec<u8>, Option<&str>),
    columns: &[(String, String)],
) -> Result<Looked> {
    let refused = |refusal: crate::sheets::Refusal| Error::new(Code::BadTable, refusal.to_string());
    let mut looked = Looked::at(kind, file, sheet).map_err(refused)?;
    for (place, code) in columns {
        looked.take(place, code)?;
    }
    Ok(looked)
}

pub(super) fn add(
    journal: &mut Journal,
    connection: &Connection,
    new: New<'_>,
    author: &Author,
) -> Result<Reply> {
    let looked = looked(new.kind, (new.file, new.sheet), new.columns)?;
    let saved = forms::keep(connection, journal, (new.name, &looked), author)?;
    let mut reply = saved_reply(journal, connection, &saved, author)?;
    if let (Value::Object(said), Value::Object(places)) = (&mut reply.value, places_json(&looked)) {
        said.extend(places);
    }
    Ok(reply)
}

pub(super) fn list(connection: &Connection) -> Result<Reply> {
    let shown = |row: &Listed| {
        let (name, kind, shape) = forms::about(row)?;
        Some(json!({
            "id": row.id.hyphenated(),
            "number": row.number,
            "name": name,
            "kind": kind.code,
            "form": shape.word(),
        }))
    };
    let rows = forms::all(connection, None)?;
    let forms: Vec<_> = rows.iter().filter_map(shown).collect();
    Ok(Reply::ok(json!({ "forms": forms })))
}

pub(super) fn show(books: &mut Books, connection: &Connection, name: &str) -> Result<Reply> {
    let row = forms::named(connection, name)?;
    let form = Form::read(connection, books, &row)?;
    Ok(Reply::ok(form.to_json()))
}
