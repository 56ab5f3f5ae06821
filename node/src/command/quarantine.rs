//! What is held back, for people: listed, looked at, and let count.

use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::RecordId;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Value, json};

use super::record::device_name;
use crate::error::{Code, Error, Result};
use crate::journal::{HeldBack, Journal};
use crate::records::{Gathered, gather_entries, gather_held};
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
        "lost_branch": held.branch.is_some(),
    })
}

pub(super) fn list(journal: &mut Journal, connection: &Connection) -> Result<Reply> {
    let all = journal.held_back(connection)?;
    let entries: Vec<_> = all.iter().map(|held| entry_json(journal, held)).collect();
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
    held: &HeldBack,
    record: RecordId,
) -> Result<Option<Gathered>> {
    if let Some(entries) = &held.branch {
        return Ok(Some(gather_entries(record, held.log, held.author, entries)));
    }
    let mut statement = connection.prepare_cached("SELECT id FROM records WHERE record = ?1")?;
    let key = statement
        .query_row([record.0], |row| row.get(0))
        .optional()?;
    key.map(|key| gather_held(connection, journal, key))
        .transpose()
}

pub(super) fn show(journal: &mut Journal, connection: &Connection, id: &str) -> Result<Reply> {
    let held = find(journal, connection, id)?;
    let mut records = Vec::new();
    for record in &held.records {
        let gathered = written(journal, connection, &held, *record)?;
        let content = gathered.map(|gathered| gathered.content(journal.authority()));
        // An edit of a lost branch says nothing of the record but what it changed.
        let content = content.filter(|content| !content.kind.is_empty());
        records.push(match content {
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
