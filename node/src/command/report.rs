//! Reports and their proofs as commands.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::record::saved_reply;
use crate::error::Result;
use crate::journal::{Books, Journal};
use crate::records::save::Author;
use crate::reply::{Reply, with_schema};
use crate::reports::proof::{self, Checked};
use crate::reports::{self, Asked, snapshot};

/// A report as JSON; in `file` the same in a form, taken away by an account, as hexadecimal digits, in `proof` its proof.
pub(super) fn made(
    books: &mut Books,
    connection: &Connection,
    asked: Asked,
    (form, proved): (Option<(&str, Option<&str>)>, bool),
) -> Result<Reply> {
    let report = reports::run(connection, books, asked)?;
    let mut value = report.json();
    if let Value::Object(fields) = &mut value {
        if proved {
            let proof = proof::make(connection, books, &report)?;
            fields.insert("proof".to_owned(), proof);
        }
        if let Some((form, account)) = form {
            let bytes = reports::files::of(&report, form, account.unwrap_or("—"))?;
            let bytes = lianxin_protocol::hash::Hex(&bytes).to_string();
            fields.insert("file".to_owned(), Value::String(bytes));
        }
    }
    Ok(Reply::ok(value))
}

/// Recounts the bytes of a proof without any store.
///
/// # Errors
/// [`Code::BadProof`](crate::error::Code::BadProof) for what is none.
pub fn proved(bytes: &[u8]) -> Result<Reply> {
    let (proof, said) = proof::read(bytes)?;
    Ok(verified(&proof::check(&proof, &said)))
}

/// The same, compared with a store.
pub(super) fn checked(books: &mut Books, connection: &Connection, value: &Value) -> Result<Reply> {
    let (proof, said) = proof::read(value.to_string().as_bytes())?;
    let mut checked = proof::check(&proof, &said);
    proof::against(&proof, connection, books, &mut checked)?;
    Ok(verified(&checked))
}

/// What a check found, with exit 2 if anything does not hold.
fn verified(checked: &Checked) -> Reply {
    let value = json!({
        "figures": checked.figures,
        "records": checked.records,
        "entries": checked.compared,
        "absent": checked.absent,
        "checkpoints": 0,
        "receipts": 0,
        "bad": checked.bad,
    });
    let exit = if checked.bad.is_empty() { 0 } else { 2 };
    Reply {
        value: with_schema("lianxin.verify/1", value),
        exit,
    }
}

/// Issues a report.
pub(super) fn issue(
    journal: &mut Journal,
    connection: &Connection,
    asked: Asked,
    author: &Author,
) -> Result<Reply> {
    let report = reports::run(connection, journal, asked)?;
    let saved = snapshot::issue(connection, journal, &report, author)?;
    saved_reply(journal, connection, &saved, author)
}
