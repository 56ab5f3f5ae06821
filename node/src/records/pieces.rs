//! What is too long for one part: kept in pieces, which are records of a kind of their own that belong to another, in their order.

use std::collections::BTreeMap;

use lianxin_protocol::catalogue::{Draft, Fact, Retention};
use rusqlite::Connection;
use serde_json::Value;

use super::{Listed, gather, referring};
use crate::error::{Code, Error, Result};
use crate::journal::Books;

/// The kind of a piece, and the field by which it belongs.
pub(crate) const PIECE: &str = "kept_page";
pub(crate) const WHOLE: &str = "whole";
/// Characters of a piece, as its kind bounds them.
const PIECE_CHARS: usize = 15_000;
/// Pieces of one text.
const PIECES_MAX: usize = 64;

/// A text as what is nested in the record that is kept with it.
///
/// # Errors
/// [`Code::TooLarge`] beyond 960,000 characters.
pub fn of(text: &str) -> Result<Vec<(String, Draft)>> {
    let characters: Vec<char> = text.chars().collect();
    let pieces = characters.chunks(PIECE_CHARS);
    if pieces.len() > PIECES_MAX {
        return Err(Error::new(Code::TooLarge, "it is too long to be kept"));
    }
    let nested = (1_i64..).zip(pieces).map(|(place, piece)| {
        let text = BTreeMap::from([("text".to_owned(), piece.iter().collect())]);
        let draft = Draft {
            facts: BTreeMap::from([("place".to_owned(), Some(Fact::Int(place)))]),
            texts: BTreeMap::from([(Retention::Text, text)]),
            nested: Vec::new(),
        };
        (PIECE.to_owned(), draft)
    });
    Ok(nested.collect())
}

/// The text that was kept with a record, as far as its pieces are here.
///
/// # Errors
/// The store cannot be read.
pub fn read(connection: &Connection, books: &mut Books, whole: &Listed) -> Result<String> {
    let rows = referring(connection, whole, (PIECE, WHOLE), PIECES_MAX)?;
    let mut pieces: BTreeMap<i64, String> = BTreeMap::new();
    for row in &rows {
        let content = gather(connection, books, row.key)?.content(books.authority());
        let place = content.fields.get("place").and_then(Value::as_i64);
        let text = content.fields.get("text").and_then(Value::as_str);
        pieces.extend(place.zip(text.map(str::to_owned)));
    }
    Ok(pieces.into_values().collect())
}
