//! Kinds that the sub-district publishes, as commands.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::record::saved_reply;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::published::{self, Looked};
use crate::records::save::Author;
use crate::reply::Reply;

fn shown(looked: &Looked) -> Value {
    json!({
        "kind": looked.code(),
        "name": looked.name,
        "version": looked.version(),
        "is_new": looked.is_new,
        "fields_added": looked.fields,
    })
}

pub(super) fn publish(
    journal: &mut Journal,
    connection: &Connection,
    (text, dry_run): (&str, bool),
    author: &Author,
) -> Result<Reply> {
    if dry_run {
        return Ok(Reply::ok(shown(&published::look(
            connection, journal, text,
        )?)));
    }
    let (looked, saved) = published::publish(connection, journal, text, author)?;
    let mut reply = saved_reply(journal, connection, &saved, author)?;
    if let (Value::Object(said), Value::Object(more)) = (&mut reply.value, shown(&looked)) {
        said.extend(more);
    }
    Ok(reply)
}

pub(super) fn files(books: &mut Books, connection: &Connection) -> Result<Reply> {
    let texts = published::texts(connection, books)?;
    Ok(Reply::ok(json!({ "files": texts })))
}

/// The files that a reply to [`files`] holds.
///
/// # Errors
/// [`Code::Internal`] for a reply of another form.
pub(crate) fn kind_files(reply: &Value) -> Result<Vec<String>> {
    let texts = reply.get("files").cloned().unwrap_or_default();
    serde_json::from_value(texts)
        .map_err(|error| Error::because(Code::Internal, "no list of kinds came", error))
}
