//! `store refill`: a store that cannot be healed is set aside whole, and a new one is filled from what can be read of it and
//! from peers.
//!
//! Whatever goes wrong, nothing of the old store is lost: it is moved and only read. The device stays the same device, and its
//! numbers go on where the files beside the store say that they were.

use std::path::Path;

use lianxin_protocol::hash::Hex;
use lianxin_protocol::space::Space;
use serde_json::{Value, json};

use crate::clock;
use crate::error::{Kind, Result};
use crate::journal::refill;
use crate::reply::{Reply, with_schema};
use crate::store::aside::Aside;
use crate::store::{Lock, Store};
use crate::writer::Writer;

/// Sets the store of a directory aside and fills a new one with what can be read of it. Gives where the old one is, and the
/// tables of which something is lost.
///
/// # Errors
/// [`crate::error::Code::InUse`] while a process writes there; [`crate::error::Code::IdentityLost`] when the store does not
/// say who the device is, and nothing was moved then.
pub fn from_old(directory: &Path) -> Result<(String, Vec<&'static str>)> {
    let lock = Lock::take(directory)?;
    let aside = Aside::begin(directory)?;
    let mut lost = refill::begin(&aside.old, &aside.new.writer()?)?;
    let mut writer = Writer::open_with(&aside.new, lock)?;
    let authority = Space::Authority.id(&writer.journal.identity().network);
    let (logs, torn) = refill::old_logs(&aside.old, &authority)?;
    if torn {
        lost.push("logs");
    }
    for log in &logs {
        writer.transact(clock::now_ms(), |journal, connection| {
            journal.take_in(connection, &aside.old, log)
        })?;
    }
    writer.transact(clock::now_ms(), |journal, connection| {
        journal.taken_in(connection, clock::now_ms())
    })?;
    writer.catch_up(|_| {})?;
    drop(writer);
    let set_aside = aside.directory.display().to_string();
    aside.finish()?;
    Ok((set_aside, lost))
}

/// What `store refill` says once it has asked the peers that it could reach. `asked` is what a session with them came to.
///
/// # Errors
/// The new store cannot be read.
pub fn report(
    directory: &Path,
    (set_aside, lost): (String, Vec<&'static str>),
    asked: Result<Reply>,
) -> Result<Reply> {
    let writer = Writer::open(&Store::open(directory)?)?;
    let journal = &writer.journal;
    let lacks = journal.lacks();
    let (sessions, answered) = match &asked {
        Ok(reply) => {
            let sessions = reply.value.get("sessions").cloned();
            let some = sessions.as_ref().and_then(Value::as_array);
            let answered = some.is_some_and(|all| !all.is_empty());
            (sessions.unwrap_or_else(|| json!([])), answered)
        }
        Err(_) => (json!([]), false),
    };
    let lacking: Vec<_> = lacks
        .iter()
        .map(|it| {
            json!({
                "log": Hex(&it.log.prefix()).to_string(),
                "device": it.device.map(|device| device.to_string()),
                "own": it.device.is_none_or(|device| device == journal.identity().key()),
                "from": it.held,
                "to": it.had,
                "texts": it.texts,
            })
        })
        .collect();
    let needs_card = journal.awaits_card();
    let exit = match (lacks.is_empty() && lost.is_empty(), answered) {
        (true, _) if !needs_card => 0,
        (true, _) | (false, true) => 1,
        (false, false) => Kind::Partial.exit_code(),
    };
    let value = json!({
        "set_aside": set_aside,
        "logs": journal.authors().len(),
        "entries": journal.entries(),
        "lacking": lacking,
        "lost": lost,
        "needs_card": needs_card,
        "sessions": sessions,
        "unreached": asked.err().map(|error| error.chain()),
    });
    let value = with_schema("lianxin.store-refill/1", value);
    Ok(Reply { value, exit })
}
