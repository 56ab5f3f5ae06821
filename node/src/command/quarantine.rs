//! What is held back, for people: listed, looked at, and let count.

use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::RecordId;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

use super::record::device_name;
use crate::error::{Code, Error, Result};
use crate::journal::{HeldBack, Journal};
use crate::records::{Content, gather_written};
use crate::reply::Reply;

fn entry_json(journal: &Journal, held: &HeldBack) -> Value {
    json!({
        "id": held.id(),
        "device": device_name(journal, &held.author.device),
        "log": Hex(&held.log.0).to_string(),
        "from": held.range.start,
        "to": held.range.end,
        "records": held.records.len(),
        "reason": held.reason.word(),
        "lost_branch": held.branch,
        "superseded": held.superseded,
    })
}

pub(super) fn list(journal: &mut Journal, connection: &Connection) -> Result<Reply> {
    let all = journal.held_back(connection)?;
    // What its device has written again needs nobody.
    let open = all.iter().filter(|held| !held.superseded);
    let entries: Vec<_> = open.map(|held| entry_json(journal, held)).collect();
    Ok(Reply::ok(json!({ "entries": entries })))
}

fn find(journal: &mut Journal, connection: &Connection, id: &str) -> Result<HeldBack> {
    let all = journal.held_back(connection)?;
    let found = all.into_iter().find(|held| held.id() == id.trim());
    found.ok_or_else(|| Error::new(Code::NotHeld, "nothing is held back under this name"))
}

/// What a record says of itself, whatever of it counts.
fn written(
    journal: &mut Journal,
    connection: &Connection,
    record: RecordId,
) -> Result<Option<Content>> {
    let mut statement = connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
    let key = statement
        .query_row([record.0], |row| row.get(0))
        .optional()?;
    let gathered = key.map(|key| gather_written(connection, journal, key));
    let content = gathered.transpose()?.map(|it| it.content(journal.authority()));
    // What nothing is known of but an edit says nothing of itself.
    Ok(content.filter(|content| !content.kind.is_empty()))
}

pub(super) fn show(journal: &mut Journal, connection: &Connection, id: &str) -> Result<Reply> {
    let held = find(journal, connection, id)?;
    let mut records = Vec::new();
    for record in &held.records {
        records.push(match written(journal, connection, *record)? {
            Some(content) => json!({
                "id": record.hyphenated(),
                "kind": content.kind,
                "number": content.number,
                "title": content.title,
                "status": content.status,
            }),
            None => json!({ "id": record.hyphenated() }),
        });
    }
    Ok(Reply::ok(
        json!({ "entry": entry_json(journal, &held), "records": records }),
    ))
}

pub(super) fn adopt(journal: &mut Journal, connection: &Connection, id: &str) -> Result<Reply> {
    let held = find(journal, connection, id)?;
    journal.adopt(connection, &held, journal.wall.now_ms())?;
    Ok(Reply::ok(json!({ "entry": entry_json(journal, &held) })))
}
