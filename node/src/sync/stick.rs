//! Joining on a stick: a device that waits 待入网 writes a request, the hub answers it with a grant, and the grant
//! makes the device a member without a line ever having been there.
//!
//! Request and grant may be carried again: the same device gets the same rights, and nobody else does. The
//! formats and what they prove are in `lianxin_protocol::invite`.

use lianxin_protocol::identity::{DeviceKey, InviteCode};
use lianxin_protocol::invite::{Grant, Request};
use lianxin_protocol::session::Event;
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};

use super::attend::{Answer, Attendant, Prepared};
use super::enrol;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::journal::Journal;
use crate::store;

/// Where a store keeps the request that it waits for an answer to.
const KEPT: &str = "join_request";

/// The request of this device, which must have been set up from an invite's card. Asked for again, it is the
/// same one: an answer to any of its copies will do.
///
/// # Errors
/// [`Code::NothingToDo`] for a device that the hub has confirmed.
pub fn request(journal: &Journal, connection: &Connection) -> Result<Vec<u8>> {
    let (kept, code) = (
        store::meta(connection, KEPT)?,
        pending(journal, connection)?,
    );
    let Some(code) = code else {
        let message = "this device is confirmed and needs no request";
        return Err(Error::new(Code::NothingToDo, message));
    };
    if let Some(kept) = kept {
        return Ok(kept);
    }
    let array = |key: &str| -> Result<[u8; 32]> {
        let bytes = store::meta(connection, key)?.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| Error::new(Code::StoreCorrupt, format!("the store lacks its {key}")))
    };
    let identity = journal.identity();
    let hub = (identity.network, DeviceKey(array("hub_key")?));
    let recipient = PublicKey::from(&StaticSecret::from(array("age_seed")?)).to_bytes();
    let nonce = clock::random()?;
    let bytes = Request::new(hub, &identity.device, &recipient, &code, nonce).encode();
    store::set_meta(connection, KEPT, &bytes)?;
    Ok(bytes)
}

/// Hub: grants what a request asks for. Says what, and the four words. Once that is durable, [`grant`] makes the
/// answer.
///
/// # Errors
/// [`Code::HubOnly`] elsewhere; [`Code::BadFile`] for what is no request, or one to another hub or network;
/// [`Code::InviteRefused`] for an invite that is unknown, used by another device, or out of date.
pub fn admit(journal: &mut Journal, connection: &Connection, bytes: &[u8]) -> Result<Value> {
    let request = own(journal, bytes)?;
    let refused = || Error::new(Code::InviteRefused, "an invite was refused");
    invites::proof_key(connection, &request.enrol.invite)?.ok_or_else(refused)?;
    // rule:stick-invite
    enrol::grant(journal, connection, &request.enrol, request.device)?;
    let exporter = request.binding();
    let words = request.channel(&exporter).words_digest();
    invites::keep_words(connection, &request.device, &words)?;
    let member = journal.authority().members().get(&request.device);
    Ok(json!({
        "device": request.device.to_string(),
        "device_code": member.map(|member| member.grant.device_code.clone()),
        "words": invites::four_words(&words),
    }))
}

/// Hub: the answer to a request that was granted, with the whole authority log.
///
/// # Errors
/// As [`admit`].
pub fn grant(journal: &mut Journal, connection: &Connection, bytes: &[u8]) -> Result<Vec<u8>> {
    let request = own(journal, bytes)?;
    let refused = || Error::new(Code::InviteRefused, "this request was not granted");
    if journal.authority().invite_user(&request.enrol.invite) != Some(request.device) {
        return Err(refused());
    }
    let proof = invites::proof_key(connection, &request.enrol.invite)?.ok_or_else(refused)?;
    let enrolled = enrol::answer(journal, &request.device)?;
    let space = Space::Authority.id(&journal.identity().network);
    let mut authority = Vec::new();
    for (log, tip) in journal.tips(&space) {
        let mut from = 0;
        while let Some(batch) = journal.load(connection, &log, (from, None), usize::MAX)? {
            from = batch.end();
            authority.push((log, batch));
        }
        // What goes out on a stick was shown to a peer, like what goes out on a line.
        // rule:offered-first
        journal.offer(&log, tip.position())?;
    }
    Ok(request.grant(&proof, enrolled, authority).encode())
}

/// A request to this hub.
fn own(journal: &Journal, bytes: &[u8]) -> Result<Request> {
    let identity = journal.identity();
    if identity.authority.is_none() {
        let message = "only the hub answers a request to join";
        return Err(Error::new(Code::HubOnly, message));
    }
    let request = Request::decode(bytes)
        .map_err(|error| Error::because(Code::BadFile, "this is no request to join", error))?;
    // rule:stick-to-this-hub
    if (request.network, request.hub) != (identity.network, identity.key()) {
        let message = "this request is to another hub";
        return Err(Error::new(Code::BadFile, message));
    }
    Ok(request)
}

/// Takes the hub's answer: the device is a member from now on, unless the answer lacks the order that says so.
///
/// # Errors
/// [`Code::BadFile`] for what is no grant; [`Code::HubUnproven`] for one that answers another request or was not
/// made by the hub of the invite. Nothing was changed then.
pub fn finish(journal: &mut Journal, connection: &Connection, bytes: &[u8]) -> Result<Value> {
    let bad = |error| {
        Error::because(
            Code::BadFile,
            "this is no answer to a request to join",
            error,
        )
    };
    let grant = Grant::decode(bytes).map_err(bad)?;
    let (kept, code) = (
        store::meta(connection, KEPT)?,
        pending(journal, connection)?,
    );
    let (Some(kept), Some(code)) = (kept, code) else {
        let message = "this device waits for no answer";
        return Err(Error::new(Code::NothingToDo, message));
    };
    let request = Request::decode(&kept).map_err(|error| {
        Error::because(Code::StoreCorrupt, "the kept request is damaged", error)
    })?;
    // rule:stick-answer
    if !grant.answers(&request, &code) {
        let message = "this answer is to another request, or not from the hub of the invite";
        return Err(Error::new(Code::HubUnproven, message));
    }
    // All of it is checked before any of it is stored.
    let space = Space::Authority.id(&request.network);
    let mut attendant = Attendant::new(request.hub);
    let mut runs = Vec::new();
    for (log, batch) in grant.authority {
        let received = Event::Received { space, log, batch };
        let prepared = attendant.prepare(received, |log| journal.author_of(log));
        match prepared {
            Some(Prepared::Run(run, packed)) => runs.push(Prepared::Run(run, packed)),
            // rule:stick-batches
            _ => return Err(bad_batch()),
        }
    }
    for run in runs {
        for answer in run.attend(journal, connection)? {
            if !matches!(answer, Answer::Committed(_)) {
                tracing::warn!("a part of the authority log on the stick was not taken");
            }
        }
    }
    // The logs prove themselves, and not that they are whole: without the order that lets this device in, it
    // goes on waiting.
    let member = journal.authority().members().get(&request.device);
    if member.is_none_or(|member| member.grant.recipient != request.enrol.recipient) {
        return Ok(json!({
            "network": request.network.to_string(),
            "device": request.device.to_string(),
            "confirmed": false,
        }));
    }
    confirmed(connection, &request)
}

fn confirmed(connection: &Connection, request: &Request) -> Result<Value> {
    let exporter = request.binding();
    let words = request.channel(&exporter).words_digest();
    invites::keep_words(connection, &request.device, &words)?;
    connection.execute(
        "DELETE FROM meta WHERE key IN ('pending_invite', ?1)",
        [KEPT],
    )?;
    let text = |key: &str| -> Result<Option<String>> {
        Ok(store::meta(connection, key)?.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    Ok(json!({
        "network": request.network.to_string(),
        "device": request.device.to_string(),
        "device_code": text("device_code")?,
        "site": text("site_code")?,
        "words": invites::four_words(&words),
        "confirmed": true,
    }))
}

/// The four words of a request, for whoever carries it.
///
/// # Errors
/// It is no request.
pub fn words_of(bytes: &[u8]) -> Result<Vec<&'static str>> {
    let request = Request::decode(bytes)
        .map_err(|error| Error::because(Code::BadFile, "this is no request to join", error))?;
    let exporter = request.binding();
    Ok(invites::four_words(
        &request.channel(&exporter).words_digest(),
    ))
}

fn bad_batch() -> Error {
    Error::new(
        Code::BadFile,
        "the authority log on the stick does not verify",
    )
}

/// The invite of a device that has not been told yet that it is let in.
fn pending(journal: &Journal, connection: &Connection) -> Result<Option<InviteCode>> {
    let code = store::meta(connection, "pending_invite")?;
    let code = code.and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(code) = code.filter(|_| journal.role().is_none()) else {
        return Ok(None);
    };
    let damaged = |error| Error::because(Code::StoreCorrupt, "the kept invite is damaged", error);
    InviteCode::parse(&code).map(Some).map_err(damaged)
}
