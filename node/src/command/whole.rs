//! The store as a whole: what is where, its digests, and what an archive of it holds.

use lianxin_protocol::archive::Item;
use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::{LogId, Position};
use lianxin_protocol::message::space_digest;
use lianxin_protocol::space::SiteId;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::record::device_name;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::journal::{Books, Journal, Overview};
use crate::records::delivery::Delivery;
use crate::reply::Reply;
use crate::warnings::Warning;
use crate::{records, requests, store};

fn position_json(position: Position) -> Value {
    json!({ "len": position.len, "head": Hex(&position.head).to_string() })
}

pub(super) fn archive_plan(overview: &Overview, connection: &Connection) -> Result<Reply> {
    let head = overview.archive_head(overview.wall.now_ms())?;
    let logs = overview.archive_logs();
    let spaces: Vec<_> = logs
        .iter()
        .map(|(space, logs)| {
            let logs: Vec<_> = logs.iter().map(LogId::to_string).collect();
            json!({ "space": Hex(&Item::Space(*space).encode()).to_string(), "logs": logs })
        })
        .collect();
    Ok(Reply::ok(json!({
        "head": Hex(&Item::Head(Box::new(head)).encode()).to_string(),
        "spaces": spaces,
        "records": records::count_all(connection)?,
    })))
}

pub(super) fn status(
    books: &mut Books,
    connection: &Connection,
    unreceipted_minutes: u64,
) -> Result<Reply> {
    let all = records::count_all(connection)?;
    let delivery = Delivery::read(connection, books)?;
    let now = books.wall.now_ms();
    let oldest_s = delivery
        .oldest_ms
        .map(|since| now.saturating_sub(since) / 1_000);
    let me = books.identity().key();
    let member = books.authority().members().get(&me).cloned();
    let site_code = |site: Option<SiteId>| {
        let site = site.and_then(|site| books.authority().sites().get(&site));
        site.map(|site| site.code.clone())
    };
    let role = match &member {
        Some(member) => member.grant.role.word().to_owned(),
        None => "pending".to_owned(),
    };
    let text = |key: &str| -> Result<Option<String>> {
        Ok(store::meta(connection, key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    let (device_code, site) = match &member {
        Some(member) => (
            Some(member.grant.device_code.clone()),
            site_code(member.grant.site),
        ),
        None => (text("device_code")?, text("site_code")?),
    };
    let mut peers = Vec::new();
    for (device, seen, path) in records::peers(connection)? {
        let known = books.authority().members().get(&device);
        peers.push(json!({
            "device": device_name(books, &device),
            "site": known.and_then(|member| site_code(member.grant.site)),
            "role": known.map(|member| member.grant.role.word()),
            "last_seen": clock::rfc3339(seen),
            "path": path,
            "words": invites::kept_words(connection, &device)?,
        }));
    }
    let conflict_s = records::oldest_dispute_ms(connection)?;
    let conflict_s = conflict_s.map(|at| clock::now_ms().saturating_sub(at) / 1_000);
    let late = oldest_s.is_some_and(|age| age / 60 >= unreceipted_minutes);
    let unusual: Vec<_> = books
        .unusual()
        .iter()
        .map(|(device, why)| json!({ "device": device_name(books, device), "reason": why.word() }))
        .collect();
    let warnings = Warning::all(books);
    let pressing = warnings.iter().any(|it| it.needs_somebody(books));
    let warnings: Vec<_> = warnings
        .into_iter()
        .map(|warning| warning.json(|device| device_name(books, device)))
        .collect();
    let attention = late || delivery.conflicts > 0 || delivery.quarantined > 0 || pressing;
    let (name, district) = books.authority().names();
    let value = json!({
        "role": role,
        "device": me.to_string(),
        "device_code": device_code,
        "site": site,
        "network": books.identity().network.to_string(),
        "name": name,
        "district": district,
        "records": all,
        "unreceipted": delivery.unreceipted,
        "oldest_unreceipted_s": oldest_s,
        "conflicts": delivery.conflicts,
        "oldest_conflict_s": conflict_s,
        "quarantined": delivery.quarantined,
        "words": invites::kept_words(connection, &me)?,
        "requests": requests::open(connection)?.len(),
        "sites": books.authority().sites().len(),
        "peers": peers,
        "unusual": unusual,
        "warnings": warnings,
        "epoch": Hex(&books.identity().epoch).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(Reply {
        value,
        exit: u8::from(attention),
    })
}

pub(super) fn digest(overview: &Overview, connection: &Connection) -> Result<Reply> {
    let states = records::state_digests(connection)?;
    let nothing = records::empty_digest();
    let mut spaces = Vec::new();
    for (id, space) in overview.authority().spaces() {
        let tips = overview.tips(id);
        let held = overview
            .authority()
            .readable(&overview.identity().key())
            .contains(id);
        if !held && tips.is_empty() {
            continue;
        }
        spaces.push(json!({
            "space": id.to_string(),
            "kind": space.kind(),
            "log_digest": Hex(&space_digest(&tips)).to_string(),
            "state_digest": Hex(states.get(id).unwrap_or(&nothing)).to_string(),
        }));
    }
    Ok(Reply::ok(json!({ "spaces": spaces })))
}

pub(super) fn archive_page(
    books: &mut Books,
    connection: &Connection,
    log: &str,
    from: u64,
) -> Result<Reply> {
    let id = lianxin_protocol::hash::parse_hex(log).map(LogId);
    let id = id.ok_or_else(|| Error::new(Code::Usage, "a log has 64 digits"))?;
    let page = books.archive_page(connection, &id, from)?;
    Ok(Reply::ok(json!({
        "items": Hex(&page.items).to_string(),
        "count": page.count,
        "next": page.next,
        "end": position_json(page.end),
        "frozen": page.frozen.map(position_json),
    })))
}

pub(super) fn verify(books: &mut Books, connection: &Connection) -> Result<Reply> {
    let report = books.verify(connection)?;
    let exit = if report.bad.is_empty() { 0 } else { 2 };
    let value = json!({
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "receipts": report.receipts,
        "bad": report.bad,
    });
    Ok(Reply { value, exit })
}

pub(super) fn reproject(journal: &mut Journal, connection: &Connection) -> Result<Reply> {
    let mut suspects = std::collections::BTreeSet::new();
    let fresh = records::reproject::fill(connection, &mut suspects);
    journal.suspect(suspects);
    let records = fresh?.take_place(|_, slice| slice(journal, connection))?;
    reprojected(journal, connection, records)
}

/// What is said of fresh projections that are in place, wherever they were filled.
///
/// # Errors
/// The store cannot be read.
pub fn reprojected(overview: &Overview, connection: &Connection, records: u64) -> Result<Reply> {
    let digests = records::state_digests(connection)?;
    let nothing = records::empty_digest();
    let mut states = Vec::new();
    for space in overview.authority().spaces().keys() {
        states.extend_from_slice(digests.get(space).unwrap_or(&nothing));
    }
    let state = lianxin_protocol::hash::STATE_DIGEST.hash(&[&states]);
    let state_digest = Hex(&state).to_string();
    let value = json!({ "records": records, "state_digest": state_digest });
    Ok(Reply::ok(value))
}
