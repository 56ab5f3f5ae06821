//! Slips 登记单: what is printed on them to ask by, and who may ask.
//!
//! A slip has a number, a query code and a QR code. The query code follows from the record's id
//! ([`RecordId::query_code`]), so that every device that holds the record knows it and none has to keep it; the QR code has the id itself.
//! Attempts are counted by whoever takes them in.
//!
//! Rejected: drawn codes, kept as hashes by the device that printed them. A resident who went to another desk was sent back to
//! the first.

use lianxin_protocol::log::RecordId;
use lianxin_protocol::{base32, text};
use rusqlite::Connection;

use crate::error::{Code, Result};
use crate::records::{self, Listed};

/// How a QR code begins.
const SCANNED: &str = "LX1:";
/// Digits of an id in it.
const ID_DIGITS: usize = 32;

/// What the QR code of a record's slip says: its id and, once the hub has signed for it, the beginning of that receipt's digest.
#[must_use]
pub fn scannable(record: &RecordId, proof: Option<&str>) -> String {
    let id = record.hyphenated().replace('-', "");
    let proof = proof.map(|proof| format!(":{proof}")).unwrap_or_default();
    format!("{SCANNED}{id}{proof}").to_uppercase()
}

/// The record that a QR code names, as a scanner types it through any input method.
fn scanned(typed: &str) -> Option<RecordId> {
    let symbols = text::code(typed);
    let id = symbols.strip_prefix(SCANNED)?.get(..ID_DIGITS)?;
    RecordId::parse(id)
}

/// Whether a code is that of a record, or of the one in whose place it was written. What people mistype is read as meant: case,
/// width, spaces and hyphens do not count, O is 0, I and L are 1.
fn fits(row: &Listed, typed: &str) -> bool {
    let code: String = text::code(typed).chars().map(base32::meant).collect();
    let before = row.supersedes();
    let before = before.and_then(RecordId::parse);
    let mut ids = [row.id].into_iter().chain(before);
    ids.any(|id| id.query_code() == code)
}

/// The record that a slip asks for, by its number and query code or by its QR code in the place of either: if it was written again,
/// the one that stands in its place.
///
/// # Errors
/// The store cannot be read.
pub fn asked(connection: &Connection, number: &str, code: &str) -> Result<Option<Listed>> {
    let (named, code) = match (scanned(number), scanned(code)) {
        (Some(record), Some(again)) => (Some(record).filter(|it| *it == again), None),
        // A scanner types into whichever field it finds.
        (Some(record), None) => (Some(record), Some(code).filter(|it| !text::is_blank(it))),
        (None, Some(record)) => (Some(record), None),
        (None, None) => (None, Some(code)),
    };
    let keys = match named {
        Some(record) => records::with_id(connection, &record)?,
        None => match records::with_number(connection, number) {
            Err(error) if error.code() == Code::NoRecord => return Ok(None),
            keys => keys?,
        },
    };
    let rows = records::rows(connection, &keys)?;
    let fitting = rows
        .into_iter()
        .rfind(|row| code.is_none_or(|code| fits(row, code)));
    let again = fitting.as_ref().and_then(|row| row.again);
    let key = match again {
        Some(again) => records::stands_for(connection, again)?,
        None => None,
    };
    let stands = records::rows(connection, key.as_slice())?.pop();
    Ok(stands.or(fitting))
}
