//! `join` and `invite admit`: a device joins with a code, a card or a file; without a line, its request and the
//! hub's answer travel as two small files.

use std::path::Path;

use lianxin_protocol::hash::{Hex, parse_hex_bytes};
use lianxin_protocol::invite::Request;
use lianxin_protocol::limits;
use serde_json::{Value, json};

use super::{Door, Join, Output, progress, runtime, service};
use crate::command::Write;
use crate::error::{self, Code, Error, Result};
use crate::reply::{Reply, with_schema};
use crate::store;
use crate::sync::join::{Line, Ticket};

/// Joins, or goes on joining.
pub(super) fn run(directory: &Path, join: &Join, output: &Output) -> Result<u8> {
    if let Some(grant) = &join.grant {
        let grant = Hex(&read(grant)?).to_string();
        let reply = Door::open(directory)?.call(Write::JoinFinish { grant })?;
        return output.print(&reply);
    }
    let ticket = match (&join.invite, &join.file) {
        (Some(code), _) => Some(Ticket::typed(code)?),
        (None, Some(file)) => Some(Ticket::file(file)?),
        (None, None) => None,
    };
    let mut value = match &ticket {
        Some(ticket) => {
            let _wait = progress::spinner("asking the hub");
            // Whoever wants a request has no line, unless they say where the hub is.
            let line = match (&join.hub, &join.request_out) {
                (None, Some(_)) => Line::None,
                (hub, _) => Line::to(hub.as_deref()),
            };
            match runtime()?.block_on(service::join(directory, ticket, line)) {
                // The store was made, and its request was not written or is wanted again.
                Err(error) if error.code() == Code::AlreadySetUp && join.request_out.is_some() => {
                    waiting()
                }
                joined => joined?,
            }
        }
        None => waiting(),
    };
    let waits = value.get("confirmed") == Some(&Value::Bool(false));
    if let (Some(out), Value::Object(fields), true) = (&join.request_out, &mut value, waits) {
        let reply = Door::open(directory)?.call(Write::JoinRequest)?;
        if let Some(ticket) = &ticket {
            is_of(ticket, &reply, directory)?;
        }
        write(out, &reply, "request")?;
        let words = reply.value.get("words").cloned().unwrap_or_default();
        fields.insert("words".to_owned(), words);
        fields.insert("request".to_owned(), json!(out.display().to_string()));
    }
    output.print(&Reply { value, exit: 0 })
}

/// What is said of a device that waits for its confirmation.
fn waiting() -> Value {
    with_schema("lianxin.join/1", json!({ "confirmed": false }))
}

/// Whether a store that was there before waits with this very invite.
fn is_of(ticket: &Ticket, reply: &Reply, directory: &Path) -> Result<()> {
    let bytes = file_of(reply, "request")?;
    let asks = Request::decode(&bytes)
        .is_ok_and(|request| request.enrol.invite == ticket.code.invite_key().public());
    if asks {
        return Ok(());
    }
    let message = format!("{} waits with another invite", directory.display());
    Err(Error::new(Code::AlreadySetUp, message))
}

/// Answers a request at the hub.
pub(super) fn admit(directory: &Path, request: &Path, out: &Path, output: &Output) -> Result<u8> {
    let request = Hex(&read(request)?).to_string();
    let mut door = Door::open(directory)?;
    let mut reply = door.call(Write::InviteAdmit {
        request: request.clone(),
    })?;
    let grant = door.call(Write::InviteGrant { request })?;
    write(out, &grant, "grant")?;
    if let Value::Object(fields) = &mut reply.value {
        fields.insert("grant".to_owned(), json!(out.display().to_string()));
    }
    output.print(&reply)
}

/// A file that somebody brought: an ordinary one, and no longer than an answer can be.
fn read(path: &Path) -> Result<Vec<u8>> {
    // Asked first: opening a pipe would wait, and a device may never end.
    let about = std::fs::metadata(path).map_err(error::file(path))?;
    if !about.is_file() || about.len() > limits::GRANT_MAX as u64 {
        let message = format!("{} is not a file of this kind", path.display());
        return Err(Error::new(Code::BadFile, message));
    }
    std::fs::read(path).map_err(error::file(path))
}

fn file_of(reply: &Reply, key: &str) -> Result<Vec<u8>> {
    let text = reply.value.get(key).and_then(Value::as_str);
    let bytes = text.and_then(parse_hex_bytes);
    bytes.ok_or_else(|| Error::new(Code::Internal, "a reply without its file"))
}

fn write(path: &Path, reply: &Reply, key: &str) -> Result<()> {
    store::replace_private(path, &file_of(reply, key)?)
}
