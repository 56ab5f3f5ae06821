//! Requests: what an operator's PC asks of the hub, and the hub carrying it out.
//!
//! Both ends of one thing stand here. At an operator's PC [`ask`] writes an entry into its log of the space
//! `hub`, with or without a line. At the hub [`due`] names what waits, and [`carry_out`] does one of it and
//! appends its answer, in one transaction: after a crash either both are there or neither, so nothing is
//! done twice. What is asked is checked by the same functions at both ends; the hub believes nothing.
//!
//! The order is that of arrival: log by log as they first came, each from its beginning. What waits (for
//! changes that the asker saw, see [`Act`]) keeps nothing else waiting; what cannot be done is answered
//! with a reason and never tried again. Requests that do not count, of a revoked device beyond its cut for
//! one, are not looked at, until they are adopted. The asker's role counts at the moment of carrying out.
//!
//! A step that the hub takes for someone is signed by the hub; its event names `account@DEVICE`, where the
//! device's code comes from the hub's own knowledge of who signed the request.
//!
//! Rejected: answering with the hub's bare change or order. It would tell the asker of success alone, and
//! a hub that found no effect of its own would do it again.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::authority::{Authority, Invite, Membership, Order, Role, SiteInfo, SiteKind};
use lianxin_protocol::catalogue::{Catalogue, Fact};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::limits;
use lianxin_protocol::log::{EntryId, EntryKind, NewEntry, RecordId};
use lianxin_protocol::number::{DeviceCode, SiteCode};
use lianxin_protocol::request::{Act, Ask, Datum, Outcome, Refusal, Request};
use lianxin_protocol::space::{SiteId, Space, SpaceId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::Value;

use crate::actor::Actor;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::journal::segments::split_key;
use crate::journal::{Journal, Overview};
use crate::records;
use crate::records::save::{self, Author, Saved};

/// Longest life of an invite, in hours.
pub(crate) const INVITE_MAX_HOURS: u64 = 14 * 24;
/// Longest account id that the hub writes into a record, in bytes.
const ACCOUNT_MAX: usize = 64;

/// Refusals, the code of the same failure without a request, and what it says.
const FAILURES: [(Refusal, Code, &str); 12] = [
    (
        Refusal::NotPermitted,
        Code::NotPermitted,
        "this device may not do this",
    ),
    (
        Refusal::StepRefused,
        Code::StepRefused,
        "the step does not lead on from here",
    ),
    (
        Refusal::FieldsRefused,
        Code::FieldsRefused,
        "some fields are not as they must be",
    ),
    (Refusal::TooLarge, Code::TooLarge, "this is too much"),
    (Refusal::TooLarge, Code::RecordFull, "the record is full"),
    (
        Refusal::RecordUnsound,
        Code::RecordUnsound,
        "the record cannot be written on",
    ),
    (
        Refusal::CodeTaken,
        Code::BadCode,
        "the code was given before",
    ),
    (
        Refusal::BadCode,
        Code::BadCode,
        "this is no code, name or role that can be given",
    ),
    (Refusal::NoSite, Code::NoSite, "there is no such site"),
    (Refusal::Exists, Code::BadCode, "it is there already"),
    (Refusal::Expired, Code::Usage, "the invite's time is over"),
    (
        Refusal::NotSupported,
        Code::HubOnly,
        "this is not carried out on request",
    ),
];

// ---- queries ----

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A step of a record's workflow.
    Act {
        /// The record.
        record: RecordId,
        /// Its space.
        space: SpaceId,
        /// The step.
        event: String,
    },
    /// A site of this code.
    Site(String),
    /// An invite for a device of this code.
    Invite(String),
    /// Another order.
    Order {
        /// The word for it.
        order: &'static str,
        /// The device, log, record, request or setting that it is about.
        about: String,
    },
}

/// Words of the orders that no hub carries out yet.
const ORDERS: [&str; 6] = ["revoke", "adopt", "erase", "approve", "rotate", "policy"];

impl Wanted {
    /// Words of JSON for the kind of request and for what it is about.
    #[must_use]
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Act { event, .. } => ("act", event),
            Self::Site(code) => ("site", code),
            Self::Invite(code) => ("invite", code),
            Self::Order { order, about } => (order, about),
        }
    }

    fn of(ask: &Ask) -> Self {
        let (order, about) = match ask {
            Ask::Act(act) => {
                return Self::Act {
                    record: act.record,
                    space: act.space,
                    event: act.event.clone(),
                };
            }
            Ask::Site { info, .. } => return Self::Site(info.code.clone()),
            Ask::Invite { invite, .. } => return Self::Invite(invite.device_code.clone()),
            Ask::Revoke { device, .. } => ("revoke", device.to_string()),
            Ask::Adopt { log, .. } => ("adopt", log.to_string()),
            Ask::Erase { record, .. } => ("erase", record.hyphenated()),
            Ask::Approve { request } => ("approve", request.to_string()),
            Ask::Rotate(rotation) => ("rotate", rotation.old.to_string()),
            Ask::Policy { name, .. } => ("policy", name.clone()),
        };
        Self::Order { order, about }
    }
}

/// A request as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The entry that asks.
    pub id: EntryId,
    /// For what.
    pub wanted: Wanted,
    /// Account of whoever asks, on that device.
    pub account: String,
    /// The device that asks.
    pub device: DeviceKey,
    /// When, by that device's clock, in Unix milliseconds.
    pub at_ms: u64,
    /// What became of it and when, by the hub's clock; none while it is open.
    pub answer: Option<(Outcome, u64)>,
    key: i64,
}

/// An entry counts unless it lies in an exception; 1099511627775 is the mask of a place in a log.
macro_rules! counts {
    () => {
        "NOT EXISTS (SELECT 1 FROM exceptions WHERE exceptions.log = requests.entry >> 40
            AND exceptions.first <= (requests.entry & 1099511627775)
            AND exceptions.after > (requests.entry & 1099511627775))"
    };
}

const OPEN: &str = concat!("requests.answer IS NULL AND ", counts!());
const SHOWN: &str = concat!("(requests.answer IS NOT NULL OR ", counts!(), ")");
const OF_RECORD: &str = "JOIN records ON records.record = requests.record WHERE records.id = ?1";

/// Whether a step was asked of the hub and has no answer yet: it is not asked for again.
#[must_use]
pub fn is_open_for(asked: &[Asked], event: &str) -> bool {
    asked
        .iter()
        .any(|it| it.answer.is_none() && it.wanted.words().1 == event)
}

/// Requests of a record, oldest first: those that are answered, and those that count. Only a device that
/// holds the space `hub` has any.
///
/// # Errors
/// The store cannot be read.
pub fn of_record(connection: &Connection, key: i64) -> Result<Vec<Asked>> {
    let only = format!("{OF_RECORD} AND {SHOWN} ORDER BY requests.at_ms, requests.id");
    select(connection, &only, &[key])
}

/// A request by its id.
///
/// # Errors
/// The store cannot be read.
pub fn with_id(connection: &Connection, id: &[u8; 32]) -> Result<Option<Asked>> {
    let mut statement = connection.prepare_cached(&sql("WHERE requests.id = ?1"))?;
    Ok(statement.query_row([id], asked).optional()?)
}

/// Requests that count and have no answer, in the order in which they came here.
///
/// # Errors
/// The store cannot be read.
pub fn open(connection: &Connection) -> Result<Vec<Asked>> {
    let only = format!("WHERE {OPEN} ORDER BY requests.arrival");
    select(connection, &only, &[])
}

/// The steps that were asked of the hub and have no answer: each with its record.
///
/// # Errors
/// The store cannot be read.
pub fn open_steps(connection: &Connection) -> Result<BTreeSet<(RecordId, String)>> {
    let open = open(connection)?.into_iter();
    let steps = open.filter_map(|asked| match asked.wanted {
        Wanted::Act { record, event, .. } => Some((record, event)),
        Wanted::Site(_) | Wanted::Invite(_) | Wanted::Order { .. } => None,
    });
    Ok(steps.collect())
}

/// The newest requests of all kinds, answered or open, newest first.
///
/// # Errors
/// The store cannot be read.
pub fn newest(connection: &Connection, most: usize) -> Result<Vec<Asked>> {
    let only = format!("WHERE {SHOWN} ORDER BY requests.at_ms DESC, requests.id LIMIT ?1");
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    select(connection, &only, &[most])
}

fn sql(only: &str) -> String {
    format!(
        "SELECT requests.entry, requests.id, requests.kind, requests.subject, requests.record,
                requests.space, requests.account, requests.at_ms, logs.device, answers.entry,
                answers.refusal, answers.at_ms
         FROM requests JOIN logs ON logs.id = requests.entry >> 40
         LEFT JOIN answers ON answers.entry = requests.answer {only}"
    )
}

fn select(connection: &Connection, only: &str, parameters: &[i64]) -> Result<Vec<Asked>> {
    let mut statement = connection.prepare_cached(&sql(only))?;
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), asked)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn asked(row: &Row<'_>) -> rusqlite::Result<Asked> {
    let (kind, subject): (String, String) = (row.get(2)?, row.get(3)?);
    let order = ORDERS.into_iter().find(|order| *order == kind);
    let wanted = match (kind.as_str(), order) {
        ("site", _) => Wanted::Site(subject),
        ("invite", _) => Wanted::Invite(subject),
        (_, Some(order)) => Wanted::Order {
            order,
            about: subject,
        },
        (_, None) => Wanted::Act {
            record: RecordId(row.get(4)?),
            space: SpaceId(row.get(5)?),
            event: subject,
        },
    };
    let answered: Option<i64> = row.get(9)?;
    let answer = match answered {
        None => None,
        Some(_) => {
            let refusal: Option<u8> = row.get(10)?;
            let refusal = refusal.and_then(Refusal::of);
            let outcome = refusal.map_or(Outcome::Done, Outcome::Refused);
            Some((outcome, row.get(11)?))
        }
    };
    Ok(Asked {
        id: EntryId(row.get(1)?),
        wanted,
        account: row.get(6)?,
        device: DeviceKey(row.get(8)?),
        at_ms: row.get(7)?,
        answer,
        key: row.get(0)?,
    })
}

/// The account and, for a step that the hub took for someone, the device that an event's `by` names.
#[must_use]
pub fn asker(by: &str) -> (&str, Option<&str>) {
    by.split_once('@')
        .map_or((by, None), |(account, device)| (account, Some(device)))
}

// ---- asking ----

/// Takes a step of a record's workflow, or asks the hub to, at an operator's PC and for one that the hub numbers.
///
/// # Errors
/// As [`save::ready`] and [`save::take`]; [`Code::NothingToDo`] when the hub has been asked already.
pub fn act(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    step: (&str, &Value),
    author: &Author,
) -> Result<Saved> {
    let ready = save::ready(
        connection,
        journal,
        key,
        step,
        (&author.actor, author.now_ms),
    )?;
    if !ready.is_numbered() || journal.identity().authority.is_some() {
        return save::take(connection, journal, ready, author);
    }
    may_ask(journal)?;
    let id = ready.id();
    ask(connection, journal, ready.into_ask()?, author)?;
    Ok(Saved {
        key,
        id,
        requested: true,
    })
}

/// Whether this device is one that asks the hub: an operator's PC that the network knows and has not
/// revoked.
///
/// # Errors
/// [`Code::HubOnly`] for any other device.
pub fn may_ask(overview: &Overview) -> Result<()> {
    if permitted(overview.authority(), &overview.identity().key()) {
        return Ok(());
    }
    let message = "only the hub can do this, or an operator's PC can ask it to";
    Err(Error::new(Code::HubOnly, message))
}

fn permitted(authority: &Authority, device: &DeviceKey) -> bool {
    authority.members().get(device).is_some_and(|member| {
        member.grant.role == Role::Operator && member.membership == Membership::Active
    })
}

/// Writes down what is asked of the hub.
///
/// # Errors
/// [`Code::HubOnly`] where nothing may be asked, [`Code::NothingToDo`] when the same was asked and waits for
/// its answer, [`Code::TooLarge`] beyond the bounds of a request.
pub fn ask(
    connection: &Connection,
    journal: &mut Journal,
    ask: Ask,
    author: &Author,
) -> Result<()> {
    may_ask(journal)?;
    let wanted = Wanted::of(&ask);
    if open(connection)?.iter().any(|asked| asked.wanted == wanted) {
        let message = "the hub has been asked already and has not answered yet";
        return Err(Error::new(Code::NothingToDo, message));
    }
    let account = author.actor.account().to_owned();
    let payload = Request::Ask { account, ask }.encode();
    // What others could not read must not be written.
    if payload.len() > limits::PAYLOAD_MAX || Request::decode(&payload).is_err() {
        return Err(Error::new(Code::TooLarge, "this is too much for a request"));
    }
    write(connection, journal, payload, author.now_ms)
}

fn write(
    connection: &Connection,
    journal: &mut Journal,
    payload: Vec<u8>,
    now_ms: u64,
) -> Result<()> {
    let space = Space::Hub.id(&journal.identity().network);
    let entry = NewEntry::plain(EntryKind::Request, payload);
    journal.append(connection, space, vec![entry], now_ms)?;
    Ok(())
}

/// Gives an order for a site or an invite: at the hub at once, at an operator's PC as a request. Says
/// whether it was only asked for.
///
/// # Errors
/// [`Code::HubOnly`] elsewhere; [`Code::BadCode`] and [`Code::NoSite`] for what cannot be given.
pub fn give(
    connection: &Connection,
    journal: &mut Journal,
    wanted: Ask,
    author: &Author,
) -> Result<bool> {
    let at_hub = journal.identity().authority.is_some();
    let refused = if at_hub {
        order(connection, journal, &wanted, author.now_ms)?
    } else {
        may_ask(journal)?;
        check(journal.authority(), &wanted, author.now_ms).err()
    };
    if let Some(refusal) = refused {
        let known = FAILURES.iter().find(|(known, ..)| *known == refusal);
        let (code, message) = known.map_or((Code::NotPermitted, ""), |(_, code, it)| (*code, *it));
        return Err(Error::new(code, message));
    }
    if !at_hub {
        ask(connection, journal, wanted, author)?;
    }
    Ok(!at_hub)
}

// ---- carrying out ----

/// At the hub: entries of the requests that are open, in the order in which they are to be carried out.
/// None elsewhere, and none at a hub that lacks entries of its own: it may have answered already.
///
/// # Errors
/// The store cannot be read.
pub fn due(connection: &Connection, overview: &Overview) -> Result<Vec<i64>> {
    if overview.identity().authority.is_none() {
        return Ok(Vec::new());
    }
    let open = open(connection)?;
    if !open.is_empty() && overview.lacks_own() {
        tracing::debug!("requests wait: this hub was restored and lacks entries of its own");
        return Ok(Vec::new());
    }
    Ok(open.iter().map(|asked| asked.key).collect())
}

/// At the hub: carries out one request that [`due`] named, and answers it. Says whether it did; it does
/// not when the request has been answered meanwhile, or waits for what its asker saw.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back. What can be refused is an
/// answer and no error.
pub fn carry_out(
    connection: &Connection,
    journal: &mut Journal,
    key: i64,
    now_ms: u64,
) -> Result<bool> {
    let only = format!("WHERE requests.entry = ?1 AND {OPEN}");
    let Some(asked) = select(connection, &only, &[key])?.pop() else {
        return Ok(false);
    };
    let (log, seq) = split_key(key);
    let log = journal.log_id(log).map(|(id, _)| id);
    let entry = log.map(|log| journal.entry(connection, &log, seq));
    let payload = entry.transpose()?.and_then(|entry| entry.payload);
    let request = payload.as_deref().map(Request::decode);
    // A row was made of it, so it can be read.
    let Some(Ok(Request::Ask { account, ask })) = request else {
        return Ok(false);
    };
    let member = journal.authority().members().get(&asked.device);
    let device = member.map(|member| (member.grant.device_code.clone(), member.grant.role));
    let refusal = match (ask, device) {
        _ if !permitted(journal.authority(), &asked.device) => Some(Refusal::NotPermitted),
        (_, None) => Some(Refusal::NotPermitted),
        // An account that brings a device of its own would name another asker.
        (Ask::Act(_), Some(_)) if !is_account(&account) => Some(Refusal::FieldsRefused),
        (Ask::Act(act), Some((device, role))) => {
            let actor = Actor::asking(&format!("{account}@{device}"), role);
            match take_step(connection, journal, &act, &Author { actor, now_ms })? {
                Step::Waits => return Ok(false),
                Step::Taken => None,
                Step::Refused(refusal) => Some(refusal),
            }
        }
        (ask, Some(_)) => match order(connection, journal, &ask, now_ms) {
            Err(error) if error.leaves_nothing() => Some(Refusal::NotPermitted),
            done => done?,
        },
    };
    let (id, outcome) = (asked.id, refusal.map_or(Outcome::Done, Outcome::Refused));
    tracing::info!(
        request = %id,
        refused = refusal.map(Refusal::word),
        "a request was carried out"
    );
    let payload = Request::Answer { to: id, outcome }.encode();
    write(connection, journal, payload, now_ms)?;
    Ok(true)
}

/// What becomes of a failure to carry out a request: one that lies in what is stored of this request's
/// record is left to `verify` and keeps nothing else waiting.
///
/// # Errors
/// The failure, if others would meet it as well.
pub(crate) fn failed(error: Error) -> Result<()> {
    if error.code() == Code::StoreCorrupt {
        tracing::error!(error = %error.chain(), "a request cannot be carried out");
        return Ok(());
    }
    Err(error)
}

fn is_account(id: &str) -> bool {
    (1..=ACCOUNT_MAX).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric())
}

enum Step {
    Taken,
    Refused(Refusal),
    /// Something that the asker saw has not come.
    Waits,
}

/// Takes a step for its asker, by the way that a step taken at the hub goes.
fn take_step(
    connection: &Connection,
    journal: &mut Journal,
    act: &Act,
    author: &Author,
) -> Result<Step> {
    let mut statement = connection.prepare_cached(
        "SELECT id, kind FROM records WHERE record = ?1 AND space = ?2 AND state IS NOT NULL
             AND held IS NULL",
    )?;
    let found = statement
        .query_row(params![act.record.0, act.space.0], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
        })
        .optional()?;
    let Some((key, kind)) = found else {
        return Ok(Step::Waits);
    };
    // A frozen log takes nothing more: what lies beyond its fork will never come.
    let frozen = |log: &crate::journal::Log| log.author.space == act.space && log.forked.is_some();
    if !records::holds(connection, journal, key, &act.seen)? && !journal.logs.values().any(frozen) {
        return Ok(Step::Waits);
    }
    let kind = Catalogue::current().kind(kind.as_deref().unwrap_or_default());
    // The hub signs nothing for others that they can sign themselves.
    let Some(kind) = kind.filter(|kind| records::is_numbered(kind, &act.event)) else {
        return Ok(Step::Refused(Refusal::StepRefused));
    };
    let facts = act.facts.iter().map(|(key, datum)| {
        let fact = match datum {
            Datum::Str(text) => Fact::Str(text.clone()),
            Datum::Int(number) => Fact::Int(*number),
            Datum::Bool(yes) => Fact::Bool(*yes),
        };
        (key.clone(), fact)
    });
    let input = Value::Object(kind.nest(&facts.collect(), &BTreeMap::new()));
    match self::act(connection, journal, key, (&act.event, &input), author) {
        Ok(_) => Ok(Step::Taken),
        Err(error) if error.code() == Code::RecordWaiting => Ok(Step::Waits),
        Err(error) if error.leaves_nothing() => {
            let known = FAILURES.iter().find(|(_, code, _)| *code == error.code());
            let refusal = known.map_or(Refusal::StepRefused, |(refusal, ..)| *refusal);
            Ok(Step::Refused(refusal))
        }
        Err(error) => Err(error),
    }
}

/// Gives an order at the hub, or says why not.
fn order(
    connection: &Connection,
    journal: &mut Journal,
    ask: &Ask,
    now_ms: u64,
) -> Result<Option<Refusal>> {
    if let Err(refusal) = check(journal.authority(), ask, now_ms) {
        return Ok(Some(refusal));
    }
    match ask {
        Ask::Act(_) => return Ok(Some(Refusal::NotPermitted)),
        // Refused by the check above.
        Ask::Revoke { .. }
        | Ask::Adopt { .. }
        | Ask::Erase { .. }
        | Ask::Approve { .. }
        | Ask::Rotate(_)
        | Ask::Policy { .. } => return Ok(Some(Refusal::NotSupported)),
        Ask::Site { site, info } => {
            let SiteInfo { code, name, kind } = info.clone();
            let site = *site;
            let order = Order::Site {
                site,
                code,
                name,
                kind,
            };
            journal.order(connection, &[order], now_ms)?;
        }
        Ask::Invite { invite, proof_key } => {
            // Its life is counted by the hub's clock, and the asker's may be wrong.
            let latest = now_ms.saturating_add(INVITE_MAX_HOURS * 3_600_000);
            let invite = Invite {
                expires_ms: invite.expires_ms.min(latest),
                ..invite.clone()
            };
            let key = invite.key;
            journal.order(connection, &[Order::Invite(invite)], now_ms)?;
            invites::keep_proof_key(connection, &key, proof_key)?;
        }
    }
    Ok(None)
}

/// Whether an order can be given as the authority log stands.
fn check(authority: &Authority, ask: &Ask, now_ms: u64) -> Result<(), Refusal> {
    match ask {
        Ask::Act(_) => Ok(()),
        Ask::Site { site, info } => check_site(authority, site, info),
        Ask::Invite { invite, .. } => check_invite(authority, invite, now_ms),
        Ask::Revoke { .. }
        | Ask::Adopt { .. }
        | Ask::Erase { .. }
        | Ask::Approve { .. }
        | Ask::Rotate(_)
        | Ask::Policy { .. } => Err(Refusal::NotSupported),
    }
}

fn check_site(authority: &Authority, site: &SiteId, info: &SiteInfo) -> Result<(), Refusal> {
    let name = info.name.trim();
    let named = !name.is_empty() && name == info.name && name.len() <= limits::NAME_MAX;
    let code = info.code.parse().ok();
    let code = code.filter(|code: &SiteCode| code.to_string() == info.code);
    let known = !matches!(info.kind, SiteKind::Other(_));
    if !named || !known || name.chars().any(char::is_control) || code.is_none() {
        Err(Refusal::BadCode)
    } else if code == Some(SiteCode::HUB) || authority.site_by_code(&info.code).is_some() {
        Err(Refusal::CodeTaken)
    } else if authority.sites().contains_key(site) {
        // A second order would rename it.
        Err(Refusal::Exists)
    } else {
        Ok(())
    }
}

fn check_invite(authority: &Authority, invite: &Invite, now_ms: u64) -> Result<(), Refusal> {
    let site_code = match invite.site {
        Some(site) => authority.sites().get(&site).map(|info| info.code.clone()),
        None if invite.role == Role::Operator => Some(SiteCode::HUB.to_string()),
        None => None,
    };
    let site_code = site_code.ok_or(Refusal::NoSite)?;
    let code = invite.device_code.parse().ok().filter(|code: &DeviceCode| {
        code.to_string() == invite.device_code && code.site().to_string() == site_code
    });
    let given = !matches!(invite.role, Role::Hub | Role::Other(_));
    if code.is_none() || !given || !invite.key.is_sound() {
        Err(Refusal::BadCode)
    } else if authority.knows_invite(&invite.key) {
        Err(Refusal::Exists)
    } else if authority.codes().contains(&invite.device_code) {
        Err(Refusal::CodeTaken)
    } else if invite.expires_ms <= now_ms {
        Err(Refusal::Expired)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_found_without_looking_at_what_is_answered() -> rusqlite::Result<()> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(include_str!("store/schema.sql"))?;
        let plan = |only: &str| -> rusqlite::Result<String> {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", sql(only)))?;
            let values = vec![1_i64; statement.parameter_count()];
            let values = rusqlite::params_from_iter(values);
            let steps = statement.query_map(values, |row| row.get::<_, String>(3))?;
            Ok(steps.collect::<Result<Vec<_>, _>>()?.join("; "))
        };
        let open = plan(&format!("WHERE {OPEN} ORDER BY requests.arrival"))?;
        assert!(open.contains("USING INDEX requests_open"), "{open}");
        assert!(!open.contains("TEMP B-TREE"), "{open}");
        let of_record = plan(OF_RECORD)?;
        assert!(
            of_record.contains("USING INDEX requests_record"),
            "{of_record}"
        );
        Ok(())
    }
}
