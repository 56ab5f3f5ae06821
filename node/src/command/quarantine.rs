//! What is held back, for people: listed, looked at, and let count.

use lianxin_protocol::hash::Hex;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::account_name;
use super::record::device_name;
use crate::accounts;
use crate::actor::Actor;
use crate::clock;
use crate::error::Result;
use crate::journal::{Books, HeldBack, Journal, Overview};
use crate::records;
use crate::reply::Reply;

fn entry_json(overview: &Overview, held: &HeldBack) -> Value {
    json!({
        "id": held.id(),
        "device": device_name(overview, &held.author.device),
        "log": Hex(&held.log.0).to_string(),
        "from": held.range.start,
        "to": held.range.end,
        "records": held.records.len(),
        "reason": held.reason.word(),
        "lost_branch": held.branch,
        "superseded": held.superseded,
    })
}

pub(super) fn list(books: &mut Books, connection: &Connection) -> Result<Reply> {
    let all = books.held_back(connection)?;
    // What its device has written again needs nobody.
    let open = all.iter().filter(|held| !held.superseded);
    let entries: Vec<_> = open.map(|held| entry_json(books, held)).collect();
    Ok(Reply::ok(json!({ "entries": entries })))
}

pub(super) fn show(books: &mut Books, connection: &Connection, id: &str) -> Result<Reply> {
    let held = books.held_back_as(connection, id)?;
    let names = accounts::names(connection)?;
    let owner = Actor::owner(books).owning_the_store();
    let records = records::written(connection, books, &held, &owner)?;
    let records = records.iter().map(|it| {
        let changes = it.changes.iter().map(|change| {
            json!({
                "at": clock::rfc3339(change.at_ms),
                "account": account_name(&names, &change.by),
                "fields": change.fields,
                "events": change.events,
            })
        });
        let changes: Vec<_> = changes.collect();
        // An edit of what is not here says nothing of the record but what it changed.
        let known = !it.kind.is_empty();
        json!({
            "id": it.record.hyphenated(),
            "kind": known.then_some(&it.kind),
            "number": it.number,
            "title": it.title,
            "status": known.then_some(&it.status),
            "superseded_by": it.again.map(|again| again.hyphenated()),
            "changes": changes,
        })
    });
    let records: Vec<_> = records.collect();
    Ok(Reply::ok(
        json!({ "entry": entry_json(books, &held), "records": records }),
    ))
}

pub(super) fn adopt(journal: &mut Journal, connection: &Connection, id: &str) -> Result<Reply> {
    let held = journal.held_back_as(connection, id)?;
    journal.adopt(connection, &held, journal.wall.now_ms())?;
    Ok(Reply::ok(json!({ "entry": entry_json(journal, &held) })))
}
