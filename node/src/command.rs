//! Every command as one enum, and the one function that carries it out on a store.
//!
//! The doors are the command line when the store is free, the local socket when a daemon has it, and
//! later the API. A command is plain data and its reply one JSON object, so all doors say the same. What
//! makes or joins a network, runs a daemon or opens a network session is in [`crate::setup`], [`crate::sync`]
//! and [`crate::cli`].

use std::collections::BTreeMap;

use lianxin_protocol::archive::Item;
use lianxin_protocol::authority::{Invite, Membership, Role, SiteInfo, SiteKind};
use lianxin_protocol::catalogue::{Catalogue, Field, Kind, Outcome};
use lianxin_protocol::hash::{Hex, parse_hex_bytes};
use lianxin_protocol::identity::{DeviceKey, InviteCode, short};
use lianxin_protocol::log::{LogId, Position};
use lianxin_protocol::message::space_digest;
use lianxin_protocol::number::{DeviceCode, SiteCode};
use lianxin_protocol::request::{Ask, Outcome as Answer};
use lianxin_protocol::space::SiteId;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::accounts;
use crate::clock;
use crate::error::{Code, Error, Kind as ErrorKind, Result};
use crate::journal::Journal;
use crate::records::delivery::{self, Coverage, Delivery};
use crate::records::save::{self, Author};
use crate::records::{self, Content, Filter, Listed, gather_written};
use crate::requests::{self, Asked, INVITE_MAX_HOURS, Wanted};
use crate::setup::Card;
use crate::store;
use crate::sync::{enrol, stick};

/// Rows of a list when the caller names no number, and at most.
const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;
/// Records of one kind that are told of beside the one they refer to.
const RELATED_MAX: usize = 1_000;
/// Longest submission id in bytes.
const SUBMISSION_MAX: usize = 200;

/// A command on a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are those of the command line, which documents them"
)]
pub enum Command {
    /// Adds a site.
    SiteCreate {
        name: String,
        kind: String,
        code: Option<String>,
    },
    /// Makes a single-use invite.
    InviteCreate {
        site: String,
        role: String,
        expires_hours: u64,
    },
    /// The request with which a device that waits 待入网 asks the hub on a stick.
    JoinRequest,
    /// Takes the hub's answer to it, in hexadecimal digits.
    JoinFinish { grant: String },
    /// Hub: answers such a request, in hexadecimal digits.
    InviteAdmit { request: String },
    /// Hub: the answer to such a request, once it is granted.
    InviteGrant { request: String },
    /// Makes a link that logs a browser of this computer in, once.
    Open,
    /// Records new records.
    RecordAdd {
        kind: String,
        rows: Vec<Value>,
        first_row: usize,
        account: Option<String>,
    },
    /// Changes fields.
    RecordSet {
        id: String,
        input: Value,
        account: Option<String>,
    },
    /// Takes a workflow step.
    RecordAct {
        id: String,
        event: String,
        input: Value,
        account: Option<String>,
    },
    /// Lists records, newest first.
    RecordList {
        kind: Option<String>,
        status: Option<String>,
        search: Option<String>,
        limit: Option<usize>,
        after: Option<String>,
    },
    /// Shows one record.
    RecordShow { id: String },
    /// Shows every change of a record.
    RecordHistory { id: String },
    /// Lists what operators' PCs have asked of the hub, newest first.
    RequestList { limit: Option<usize> },
    /// The one-screen truth. A record without receipt needs attention after these minutes.
    Status { unreceipted_minutes: u64 },
    /// Digests by which two nodes are compared.
    Digest,
    /// Checks every chain, checkpoint, digest and receipt.
    Verify,
    /// Rebuilds every projection from the logs.
    Reproject,
    /// A page of records with their documents, for export.
    ExportPage {
        after: Option<String>,
        documents: bool,
    },
    /// What an archive begins with, and the logs that follow.
    ArchivePlan,
    /// Items of one log for an archive.
    ArchivePage { log: String, from: u64 },
}

/// What a command gives.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// One JSON object; its first key is `schema`.
    pub value: Value,
    /// 0, or 1 when something needs attention, or 2 or 3 (CONTRACT).
    pub exit: u8,
}

impl Reply {
    fn ok(value: Value) -> Self {
        Self { value, exit: 0 }
    }
}

impl Command {
    /// The name in the reply's schema.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SiteCreate { .. } => "site-create",
            Self::InviteCreate { .. } => "invite-create",
            Self::JoinRequest => "join-request",
            Self::JoinFinish { .. } => "join",
            Self::InviteAdmit { .. } => "invite-admit",
            Self::InviteGrant { .. } => "invite-grant",
            Self::Open => "open",
            Self::RecordAdd { .. } => "record-add",
            Self::RecordSet { .. } => "record-set",
            Self::RecordAct { .. } => "record-act",
            Self::RecordList { .. } => "record-list",
            Self::RecordShow { .. } => "record-show",
            Self::RecordHistory { .. } => "record-history",
            Self::RequestList { .. } => "request-list",
            Self::Status { .. } => "status",
            Self::Digest => "digest",
            Self::Verify => "verify",
            Self::Reproject => "reproject",
            Self::ExportPage { .. } => "export-page",
            Self::ArchivePlan => "archive-plan",
            Self::ArchivePage { .. } => "archive-page",
        }
    }

    /// Whether it must run inside a transaction.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(
            self,
            Self::SiteCreate { .. }
                | Self::InviteCreate { .. }
                | Self::JoinRequest
                | Self::JoinFinish { .. }
                | Self::InviteAdmit { .. }
                | Self::Open
                | Self::RecordAdd { .. }
                | Self::RecordSet { .. }
                | Self::RecordAct { .. }
                | Self::Reproject
        )
    }

    /// Carries it out. Inside the caller's transaction if [`Command::writes`].
    ///
    /// # Errors
    /// Each command's own; nothing was changed then.
    pub fn execute(self, journal: &mut Journal, connection: &Connection) -> Result<Reply> {
        let schema = format!("lianxin.{}/1", self.name());
        let mut reply = match self {
            Self::SiteCreate { name, kind, code } => {
                site_create(journal, connection, &name, &kind, code.as_deref())
            }
            Self::InviteCreate {
                site,
                role,
                expires_hours,
            } => invite_create(journal, connection, &site, &role, expires_hours),
            Self::JoinRequest => {
                let request = stick::request(journal, connection)?;
                let words = stick::words_of(&request)?;
                let request = Hex(&request).to_string();
                Ok(Reply::ok(json!({ "words": words, "request": request })))
            }
            Self::JoinFinish { grant } => {
                stick::finish(journal, connection, &digits(&grant)?).map(Reply::ok)
            }
            Self::InviteAdmit { request } => {
                stick::admit(journal, connection, &digits(&request)?).map(Reply::ok)
            }
            Self::InviteGrant { request } => {
                let grant = stick::grant(journal, connection, &digits(&request)?)?;
                Ok(Reply::ok(json!({ "grant": Hex(&grant).to_string() })))
            }
            Self::Open => open(connection),
            Self::RecordAdd {
                kind,
                rows,
                first_row,
                account,
            } => {
                let kind = known_kind(&kind)?;
                let author = author(journal, connection, account.as_deref())?;
                record_add(journal, connection, kind, &rows, first_row, &author)
            }
            Self::RecordSet { id, input, account } => {
                let key = records::find(connection, &id)?;
                let author = author(journal, connection, account.as_deref())?;
                let draft = kind_of(journal, connection, key)?.read_edit(&input);
                let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
                let saved = save::set(connection, journal, key, &draft, &author)?;
                saved_reply(journal, connection, &saved)
            }
            Self::RecordAct {
                id,
                event,
                input,
                account,
            } => {
                let key = records::find(connection, &id)?;
                let author = author(journal, connection, account.as_deref())?;
                let saved = save::act(connection, journal, key, &event, &input, &author)?;
                saved_reply(journal, connection, &saved)
            }
            Self::RecordList {
                kind,
                status,
                search,
                limit,
                after,
            } => {
                let after = after.map(|after| {
                    let cursor = lianxin_protocol::log::RecordId::parse(&after);
                    cursor.ok_or_else(|| {
                        Error::new(Code::Usage, "--after takes the `next` of a list")
                    })
                });
                let limit = limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
                let filter = Filter {
                    kind,
                    status,
                    search,
                    limit,
                    after: after.transpose()?,
                    conflicts: None,
                    whole: false,
                };
                record_list(journal, connection, &filter)
            }
            Self::RecordShow { id } => {
                let key = records::find(connection, &id)?;
                let value = record_json(journal, connection, key)?;
                Ok(Reply::ok(value))
            }
            Self::RecordHistory { id } => {
                let key = records::find(connection, &id)?;
                let gathered = gather_written(connection, journal, key)?;
                let names = accounts::names(connection)?;
                let changes = records::history(&gathered, |by| account_name(&names, by));
                Ok(Reply::ok(
                    json!({ "id": gathered.id.hyphenated(), "changes": changes }),
                ))
            }
            Self::RequestList { limit } => {
                let limit = limit.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX);
                let names = accounts::names(connection)?;
                let newest = requests::newest(connection, limit)?;
                let newest = newest.iter().map(|it| request_json(journal, &names, it));
                Ok(Reply::ok(json!({ "requests": newest.collect::<Vec<_>>() })))
            }
            Self::Status {
                unreceipted_minutes,
            } => status(journal, connection, unreceipted_minutes),
            Self::Digest => digest(journal, connection),
            Self::Verify => {
                let report = journal.verify(connection)?;
                let exit = if report.bad.is_empty() { 0 } else { 2 };
                let value = json!({
                    "entries": report.entries,
                    "checkpoints": report.checkpoints,
                    "receipts": report.receipts,
                    "bad": report.bad,
                });
                Ok(Reply { value, exit })
            }
            Self::Reproject => {
                journal.reproject(connection)?;
                let mut count = 0_u64;
                loop {
                    let stale = records::stale(connection, 1_024)?;
                    if stale.is_empty() {
                        break;
                    }
                    for key in stale {
                        let gathered = gather_written(connection, journal, key)?;
                        let projection = records::Projection::of(&gathered, journal.authority());
                        projection.write(connection, journal)?;
                        count += 1;
                    }
                }
                let mut states = Vec::new();
                for space in journal.authority().spaces().keys() {
                    states.extend_from_slice(&records::state_digest(connection, space)?);
                }
                let state = lianxin_protocol::hash::STATE_DIGEST.hash(&[&states]);
                let state_digest = Hex(&state).to_string();
                Ok(Reply::ok(
                    json!({ "records": count, "state_digest": state_digest }),
                ))
            }
            Self::ExportPage { after, documents } => {
                export_page(journal, connection, after.as_deref(), documents)
            }
            Self::ArchivePlan => archive_plan(journal, connection),
            Self::ArchivePage { log, from } => {
                let id = lianxin_protocol::hash::parse_hex(&log).map(LogId);
                let id = id.ok_or_else(|| Error::new(Code::Usage, "a log has 64 digits"))?;
                let page = journal.archive_page(connection, &id, from)?;
                Ok(Reply::ok(json!({
                    "items": Hex(&page.items).to_string(),
                    "count": page.count,
                    "next": page.next,
                    "end": position_json(page.end),
                    "frozen": page.frozen.map(position_json),
                })))
            }
        }?;
        reply.value = with_schema(&schema, reply.value);
        Ok(reply)
    }
}

/// Bytes that a door carries as hexadecimal digits.
fn digits(text: &str) -> Result<Vec<u8>> {
    parse_hex_bytes(text).ok_or_else(|| Error::new(Code::BadInput, "expected hexadecimal digits"))
}

/// Puts the schema first, as CONTRACT has it.
#[must_use]
pub fn with_schema(schema: &str, value: Value) -> Value {
    let Value::Object(fields) = value else {
        return json!({ "schema": schema, "value": value });
    };
    let mut object = Map::new();
    object.insert("schema".to_owned(), json!(schema));
    object.extend(fields.into_iter().filter(|(key, _)| key != "schema"));
    Value::Object(object)
}

// ---- accounts ----

/// Who acts: the named account, made on first use since whoever calls owns the store, or the first.
fn author(journal: &Journal, connection: &Connection, name: Option<&str>) -> Result<Author> {
    let account = match name {
        Some(name) => accounts::id_of(connection, name)?,
        None => connection.query_row(
            "SELECT account FROM accounts ORDER BY id LIMIT 1",
            [],
            |row| row.get(0),
        )?,
    };
    Ok(Author {
        account,
        now_ms: journal.wall.now_ms(),
    })
}

/// Key under which a daemon keeps the address of its pages.
pub const WEB_ADDRESS: &str = "web";

fn open(connection: &Connection) -> Result<Reply> {
    let address = store::meta(connection, WEB_ADDRESS)?;
    let address = address.and_then(|bytes| String::from_utf8(bytes).ok());
    let unknown = || Error::new(Code::NoPages, "no pages have been served here yet");
    let address = address.ok_or_else(unknown)?;
    let secret = accounts::new_link(connection, clock::now_ms())?;
    Ok(Reply::ok(
        json!({ "url": format!("http://{address}/login/{secret}") }),
    ))
}

/// What to call whoever an event or a change names. Names stay on the device whose accounts they are.
fn account_name(names: &BTreeMap<String, String>, by: &str) -> String {
    let (account, device) = requests::asker(by);
    match (names.get(account), device) {
        (Some(name), None) => name.clone(),
        (Some(name), Some(device)) => format!("{name}@{device}"),
        (None, _) => by.to_owned(),
    }
}

// ---- orders: given at the hub, asked for at an operator's PC ----

fn may_order(journal: &Journal) -> Result<()> {
    match journal.identity().authority {
        Some(_) => Ok(()),
        None => requests::may_ask(journal),
    }
}

/// A reply that says what will be there once the hub has answered: not finished, nothing lost.
fn asked_for(requested: bool, mut value: Value) -> Reply {
    if let (true, Value::Object(fields)) = (requested, &mut value) {
        fields.insert("requested".to_owned(), json!(true));
        let exit = ErrorKind::Partial.exit_code();
        return Reply { value, exit };
    }
    Reply::ok(value)
}

fn site_create(
    journal: &mut Journal,
    connection: &Connection,
    name: &str,
    kind: &str,
    code: Option<&str>,
) -> Result<Reply> {
    may_order(journal)?;
    let name = name.trim();
    if name.is_empty() || name.len() > lianxin_protocol::limits::NAME_MAX {
        return Err(Error::new(Code::Usage, "a site's name has 1 to 200 bytes"));
    }
    let kind = SiteKind::parse(kind).ok_or_else(|| {
        Error::new(
            Code::Usage,
            "a site is a workstation, collection_point or livestream",
        )
    })?;
    let open = requests::open(connection)?;
    let asked = |code: &str| {
        open.iter()
            .any(|it| it.wanted == Wanted::Site(code.to_owned()))
    };
    let taken = |code: &str| journal.authority().site_by_code(code).is_some();
    let code = match code {
        Some(code) => {
            let bad = |error| Error::because(Code::BadCode, "this is no site code", error);
            let code: SiteCode = code.parse().map_err(bad)?;
            if code == SiteCode::HUB || taken(&code.to_string()) {
                let message = format!("the site code {code} is taken");
                return Err(Error::new(Code::BadCode, message));
            }
            code.to_string()
        }
        None => {
            let free = (0..).map(|n| format!("S{}{}", letter(n / 10), n % 10));
            let free = free.take(240).find(|code| !taken(code) && !asked(code));
            free.ok_or_else(|| {
                Error::new(Code::BadCode, "give a --code; the usual ones are taken")
            })?
        }
    };
    let site = SiteId(clock::random()?);
    let info = SiteInfo {
        code: code.clone(),
        name: name.to_owned(),
        kind,
    };
    let author = author(journal, connection, None)?;
    let requested = requests::give(connection, journal, Ask::Site { site, info }, &author)?;
    let value = json!({
        "site": uuid_text(&site.0),
        "code": code,
        "name": name,
    });
    Ok(asked_for(requested, value))
}

fn letter(n: u32) -> char {
    const LETTERS: &[u8] = lianxin_protocol::number::DEVICE_LETTERS;
    let at = usize::try_from(n).unwrap_or_default() % LETTERS.len();
    LETTERS.get(at).map_or('A', |letter| char::from(*letter))
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    lianxin_protocol::log::RecordId(*bytes).hyphenated()
}

fn invite_create(
    journal: &mut Journal,
    connection: &Connection,
    site: &str,
    role: &str,
    expires_hours: u64,
) -> Result<Reply> {
    may_order(journal)?;
    let roles = || {
        Error::new(
            Code::Usage,
            "a role is station, laptop, operator, courier or reader",
        )
    };
    let role = Role::parse(role)
        .filter(|role| *role != Role::Hub)
        .ok_or_else(roles)?;
    if expires_hours == 0 || expires_hours > INVITE_MAX_HOURS {
        let message = format!("an invite lives 1 to {INVITE_MAX_HOURS} hours");
        return Err(Error::new(Code::Usage, message));
    }
    let site_code: SiteCode = site
        .parse()
        .map_err(|error| Error::because(Code::NoSite, "this is no site code", error))?;
    let at_hub = site_code == SiteCode::HUB;
    let site = if at_hub {
        None
    } else {
        journal.authority().site_by_code(&site_code.to_string())
    };
    if site.is_none() && !(at_hub && role == Role::Operator) {
        return Err(Error::new(
            Code::NoSite,
            format!("there is no site {site_code}"),
        ));
    }
    let open = requests::open(connection)?;
    let asked = open.iter().filter_map(|it| match &it.wanted {
        Wanted::Invite(code) => Some(code),
        Wanted::Act { .. } | Wanted::Site(_) => None,
    });
    let given = journal.authority().codes().iter().chain(asked);
    let given = given.filter_map(|code| code.parse().ok()).collect();
    let device_code: Option<DeviceCode> = site_code.next_device(&given);
    let device_code = device_code
        .ok_or_else(|| Error::new(Code::BadCode, "all device codes of this site were given"))?;
    let code = loop {
        if let Some(code) = InviteCode::from_random(clock::random()?) {
            break code;
        }
    };
    let expires_ms = journal.wall.now_ms() + expires_hours * 3_600_000;
    let invite = Invite {
        key: code.invite_key().public(),
        site,
        role,
        device_code: device_code.to_string(),
        expires_ms,
    };
    let proof_key = code.hub_proof_key();
    let author = author(journal, connection, None)?;
    let ask = Ask::Invite { invite, proof_key };
    let requested = requests::give(connection, journal, ask, &author)?;
    let (name, district) = journal.authority().names();
    // Where the joining device will find the hub: as the hub knows it, or as this device reaches it.
    let (hub, addresses) = match crate::setup::hub_of(connection)? {
        Some((hub, addresses)) => (hub, addresses),
        None => {
            let addresses = store::meta(connection, "addresses")?;
            let addresses = addresses.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            (journal.identity().key(), addresses.unwrap_or_default())
        }
    };
    let addresses: Vec<String> = addresses;
    let card = Card {
        code: code.clone(),
        network: journal.identity().network,
        hub,
        addresses: addresses.clone(),
        site: site.map(|site| (site, site_code.to_string())),
        device_code: device_code.to_string(),
        district: district.to_owned(),
    };
    let value = json!({
        "invite": code.to_string(),
        "card": card.text(),
        "device_code": device_code.to_string(),
        "expires_at": clock::rfc3339(expires_ms),
        "hub_addresses": addresses,
        "network": journal.identity().network.to_string(),
        "hub": hub.to_string(),
        "site": site.map(|site| uuid_text(&site.0)),
        "site_code": site_code.to_string(),
        "role": role.word(),
        "district": district,
        "name": name,
    });
    Ok(asked_for(requested, value))
}

// ---- records ----

fn kind_of(journal: &mut Journal, connection: &Connection, key: i64) -> Result<&'static Kind> {
    let kind: Option<String> =
        connection.query_row("SELECT kind FROM records WHERE id = ?1", [key], |row| {
            row.get(0)
        })?;
    let kind = match kind {
        Some(kind) => kind,
        None => {
            gather_written(connection, journal, key)?
                .content(journal.authority())
                .kind
        }
    };
    known_kind(&kind)
}

fn known_kind(code: &str) -> Result<&'static Kind> {
    Catalogue::standard().kind(code).ok_or_else(|| {
        let known: Vec<_> = Catalogue::standard()
            .kinds()
            .map(|kind| kind.code.as_str())
            .collect();
        let message = format!(
            "there is no kind of record of that name; kinds: {}",
            known.join(", ")
        );
        Error::new(Code::NoKind, message)
    })
}

fn record_add(
    journal: &mut Journal,
    connection: &Connection,
    kind: &Kind,
    rows: &[Value],
    first_row: usize,
    author: &Author,
) -> Result<Reply> {
    let mut added = Vec::with_capacity(rows.len());
    let mut refused = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let submission = match row.get("submission_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if (1..=SUBMISSION_MAX).contains(&id.len()) => Some(&**id),
            // Taken as absent, it would let a retry record the same matter twice.
            Some(_) => {
                refused.push(json!({
                    "row": first_row + index,
                    "field": "submission_id",
                    "code": "wrong_type",
                    "message": format!("expected text of 1 to {SUBMISSION_MAX} bytes"),
                }));
                continue;
            }
        };
        match Catalogue::standard().read(kind, row) {
            Ok(draft) => {
                let new = save::New {
                    kind,
                    draft: &draft,
                    submission,
                    told: false,
                };
                match save::add(connection, journal, &new, author) {
                    Ok(saved) => added.push(saved),
                    // The other rows count all the same; anything else concerns all of them and
                    // shows at the first.
                    Err(error) if error.code() == Code::TooLarge => refused.push(json!({
                        "row": first_row + index,
                        "field": "",
                        "code": "too_large",
                        "message": error.chain(),
                    })),
                    Err(error) => return Err(error),
                }
            }
            Err(refusals) => {
                for refusal in refusals {
                    refused.push(json!({
                        "row": first_row + index,
                        "field": refusal.field,
                        "code": refusal.code,
                        "message": refusal.message,
                    }));
                }
            }
        }
    }
    let coverage = Coverage::read(connection, journal)?;
    let added = added
        .iter()
        .map(|saved| brief(&coverage, connection, saved));
    let added = added.collect::<Result<Vec<_>>>()?;
    let exit = if refused.is_empty() {
        0
    } else {
        ErrorKind::Partial.exit_code()
    };
    Ok(Reply {
        value: json!({ "records": added, "refused": refused }),
        exit,
    })
}

fn brief(coverage: &Coverage, connection: &Connection, saved: &save::Saved) -> Result<Value> {
    let number: Option<String> = connection
        .prepare_cached("SELECT number FROM records WHERE id = ?1")?
        .query_row([saved.key], |row| row.get(0))?;
    let reached = coverage.reached(connection, saved.key)?;
    Ok(json!({ "id": saved.id.hyphenated(), "number": number, "state": reached.word() }))
}

fn saved_reply(
    journal: &mut Journal,
    connection: &Connection,
    saved: &save::Saved,
) -> Result<Reply> {
    let mut gathered = gather_written(connection, journal, saved.key)?;
    let content = gathered.content(journal.authority());
    let reached = Coverage::read(connection, journal)?.reached(connection, saved.key)?;
    let (state, status) = delivery::shown(reached, &content.kind, &content.status);
    let heads = gathered.document().heads();
    let heads: Vec<_> = heads.iter().map(|head| Hex(head).to_string()).collect();
    let value = json!({
        "id": saved.id.hyphenated(),
        "number": content.number,
        "heads": heads,
        "state": state.word(),
        "status": status,
    });
    Ok(asked_for(saved.requested, value))
}

fn record_list(journal: &Journal, connection: &Connection, filter: &Filter) -> Result<Reply> {
    let rows = records::list(connection, filter)?;
    let coverage = Coverage::read(connection, journal)?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in &rows {
        let reached = coverage.reached(connection, row.key)?;
        let (state, status) = delivery::shown(reached, &row.kind, &row.status);
        // A status that follows from the receipt is stored as the one that it stands for.
        if filter
            .status
            .as_ref()
            .is_some_and(|wanted| *wanted != status)
        {
            continue;
        }
        listed.push(json!({
            "id": row.id.hyphenated(),
            "kind": row.kind,
            "number": row.number,
            "title": row.title,
            "status": status,
            "state": state.word(),
            "conflicts": row.conflicts,
        }));
    }
    let next = rows
        .last()
        .filter(|_| rows.len() == filter.limit)
        .map(|row| row.id.hyphenated());
    Ok(Reply::ok(json!({ "records": listed, "next": next })))
}

fn device_name(journal: &Journal, device: &DeviceKey) -> String {
    let member = journal.authority().members().get(device);
    member.map_or_else(|| short(device), |member| member.grant.device_code.clone())
}

fn record_json(journal: &mut Journal, connection: &Connection, key: i64) -> Result<Value> {
    let gathered = gather_written(connection, journal, key)?;
    let content = gathered.content(journal.authority());
    let names = accounts::names(connection)?;
    let coverage = Coverage::read(connection, journal)?;
    let reached = coverage.reached(connection, key)?;
    let (state, status) = delivery::shown(reached, &content.kind, &content.status);
    let conflicts: Vec<_> = content
        .conflicts
        .iter()
        .map(|(field, values)| {
            let values: Vec<_> = values
                .iter()
                .map(|value| {
                    json!({
                        "value": value.value,
                        "device": value.device.map(|device| device_name(journal, &device)),
                        "at": clock::rfc3339(value.at_ms),
                    })
                })
                .collect();
            json!({ "field": field, "values": values })
        })
        .collect();
    let events: Vec<_> = content
        .events
        .iter()
        .map(|event| {
            let (applied, from, to, reason) = match &event.outcome {
                Outcome::Applied { from, to } => (true, Some(from), Some(to), None),
                Outcome::Void { reason } => (false, None, None, Some(reason.as_str())),
            };
            json!({
                "event": event.event,
                "at": clock::rfc3339(u64::try_from(event.at_ms).unwrap_or_default()),
                "account": account_name(&names, &event.by),
                "device": event.device.map(|device| device_name(journal, &device)),
                "data": event.data,
                "applied": applied,
                "from": from,
                "to": to,
                "reason": reason,
            })
        })
        .collect();
    let receipts: Vec<_> = coverage
        .of_record(connection, key)?
        .into_iter()
        .map(|receipt| {
            json!({
                "log": receipt.log.to_string(),
                "stored_len": receipt.stored.len,
                "judged_len": receipt.judged_len,
                "received_at": clock::rfc3339(receipt.received_at_ms),
                "epoch": Hex(&receipt.epoch).to_string(),
            })
        })
        .collect();
    let requests = requests::of_record(connection, key)?;
    let waits = |event: &str| {
        let is_open = |it: &Asked| it.answer.is_none() && it.wanted.words().1 == event;
        requests.iter().any(is_open)
    };
    let acts = records::acts_for(journal.role());
    let steps: Vec<_> = Catalogue::standard()
        .kind(&content.kind)
        .map(|kind| {
            kind.offered(&content.status, &acts)
                .filter(|step| !waits(&step.event))
                .map(|step| step.event.clone())
                .collect()
        })
        .unwrap_or_default();
    let requests = requests
        .iter()
        .map(|asked| request_json(journal, &names, asked));
    let requests: Vec<_> = requests.collect();
    let related = Related::read(connection, journal, key, &content)?;
    let mut fields = content.fields;
    fields.extend(related.nested);
    Ok(json!({
        "id": gathered.id.hyphenated(),
        "kind": content.kind,
        "number": content.number,
        "title": records::called(connection, &content.kind, content.title)?,
        "fields": fields,
        "refers": related.refers,
        "linked": related.linked,
        "conflicts": conflicts,
        "status": status,
        "overlays": content.overlays,
        "events": events,
        "steps": steps,
        "requests": requests,
        "state": state.word(),
        "receipts": receipts,
        "waiting": content.waiting,
        "unreadable": content.unreadable,
    }))
}

/// Records beside one: those nested in it, those that refer to it, and those that it names.
#[derive(Default)]
struct Related {
    nested: Map<String, Value>,
    linked: Vec<Value>,
    refers: Map<String, Value>,
}

impl Related {
    fn read(
        connection: &Connection,
        journal: &mut Journal,
        key: i64,
        content: &Content,
    ) -> Result<Self> {
        let mut related = Self::default();
        let Some(kind) = Catalogue::standard().kind(&content.kind) else {
            return Ok(related);
        };
        let brief = |row: &Listed| {
            json!({
                "id": row.id.hyphenated(),
                "kind": row.kind,
                "number": row.number,
                "title": row.title,
            })
        };
        for (field, target) in &content.mentions {
            let kinds = kind.field(field).map(Field::names).unwrap_or_default();
            if let Some(row) = records::named(connection, target, kinds)? {
                related.refers.insert(target.clone(), brief(&row));
            }
        }
        let Some(row) = records::rows(connection, &[key])?.pop() else {
            return Ok(related);
        };
        for gather in &kind.gathers {
            let of = (gather.kind.as_str(), gather.by.as_str());
            let found = records::referring(connection, &row, of, RELATED_MAX)?;
            let Some(name) = &gather.field else {
                related.linked.extend(found.iter().map(|row| {
                    let mut brief = brief(row);
                    if let Value::Object(brief) = &mut brief {
                        brief.insert("field".to_owned(), json!(gather.by));
                        brief.insert("status".to_owned(), json!(row.status));
                    }
                    brief
                }));
                continue;
            };
            let mut nested = Vec::with_capacity(found.len());
            for child in &found {
                let gathered = gather_written(connection, journal, child.key)?;
                let mut fields = gathered.content(journal.authority()).fields;
                fields.remove(&gather.by);
                fields.insert("id".to_owned(), json!(child.id.hyphenated()));
                nested.push(Value::Object(fields));
            }
            if !nested.is_empty() {
                related.nested.insert(name.clone(), json!(nested));
            }
        }
        Ok(related)
    }
}

/// A request as JSON. What a step, a site and an invite are about has a key of its own each.
fn request_json(journal: &Journal, names: &BTreeMap<String, String>, asked: &Asked) -> Value {
    let (outcome, code) = match &asked.answer {
        None => (None, None),
        Some((Answer::Done, _)) => (Some("done"), None),
        Some((Answer::Refused(refusal), _)) => (Some("refused"), Some(refusal.word())),
    };
    let mut value = json!({
        "id": asked.id.to_string(),
        "account": account_name(names, &asked.account),
        "device": device_name(journal, &asked.device),
        "at": clock::rfc3339(asked.at_ms),
        "outcome": outcome,
        "code": code,
        "answered_at": asked.answer.map(|(_, at_ms)| clock::rfc3339(at_ms)),
    });
    if let Value::Object(fields) = &mut value {
        let about = match &asked.wanted {
            Wanted::Act { record, event, .. } => {
                fields.insert("record".to_owned(), json!(record.hyphenated()));
                ("event", event)
            }
            Wanted::Site(code) => ("site", code),
            Wanted::Invite(code) => ("device_code", code),
        };
        fields.insert(about.0.to_owned(), json!(about.1));
    }
    value
}

fn export_page(
    journal: &mut Journal,
    connection: &Connection,
    after: Option<&str>,
    documents: bool,
) -> Result<Reply> {
    let after = after.and_then(lianxin_protocol::log::RecordId::parse);
    let filter = Filter {
        limit: 200,
        after,
        ..Filter::default()
    };
    let rows = records::list(connection, &filter)?;
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut value = record_json(journal, connection, row.key)?;
        if let (true, Value::Object(fields)) = (documents, &mut value) {
            let gathered = gather_written(connection, journal, row.key)?;
            fields.insert("texts".to_owned(), json!(gathered.texts()));
            fields.insert(
                "automerge".to_owned(),
                json!(Hex(&gathered.automerge()?).to_string()),
            );
        }
        records.push(value);
    }
    let next = rows
        .last()
        .filter(|_| rows.len() == filter.limit)
        .map(|row| row.id.hyphenated());
    Ok(Reply::ok(json!({ "records": records, "next": next })))
}

fn position_json(position: Position) -> Value {
    json!({ "len": position.len, "head": Hex(&position.head).to_string() })
}

fn archive_plan(journal: &Journal, connection: &Connection) -> Result<Reply> {
    let head = journal.archive_head(journal.wall.now_ms())?;
    let logs = journal.archive_logs();
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
        "records": record_count(connection)?,
    })))
}

// ---- the store as a whole ----

fn record_count(connection: &Connection) -> Result<u64> {
    let sql = "SELECT count(*) FROM records WHERE kind IS NOT NULL AND kind <> ''";
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

fn status(
    journal: &mut Journal,
    connection: &Connection,
    unreceipted_minutes: u64,
) -> Result<Reply> {
    let all = record_count(connection)?;
    let delivery = Delivery::read(connection, journal)?;
    let now = journal.wall.now_ms();
    let oldest_s = delivery
        .oldest_ms
        .map(|since| now.saturating_sub(since) / 1_000);
    let me = journal.identity().key();
    let member = journal.authority().members().get(&me).cloned();
    let site_code = |site: Option<SiteId>| {
        let site = site.and_then(|site| journal.authority().sites().get(&site));
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
        let known = journal.authority().members().get(&device);
        peers.push(json!({
            "device": device_name(journal, &device),
            "site": known.and_then(|member| site_code(member.grant.site)),
            "role": known.map(|member| member.grant.role.word()),
            "last_seen": clock::rfc3339(seen),
            "path": path,
            "words": enrol::kept_words(connection, &device)?,
        }));
    }
    let blocked = member
        .as_ref()
        .is_some_and(|it| matches!(it.membership, Membership::Blocked { .. }));
    let late = oldest_s.is_some_and(|age| age / 60 >= unreceipted_minutes);
    let attention = late || delivery.conflicts > 0 || delivery.quarantined > 0 || blocked;
    let (name, district) = journal.authority().names();
    let value = json!({
        "role": role,
        "device": me.to_string(),
        "device_code": device_code,
        "site": site,
        "network": journal.identity().network.to_string(),
        "name": name,
        "district": district,
        "records": all,
        "unreceipted": delivery.unreceipted,
        "oldest_unreceipted_s": oldest_s,
        "conflicts": delivery.conflicts,
        "quarantined": delivery.quarantined,
        "words": enrol::kept_words(connection, &me)?,
        "requests": requests::open(connection)?.len(),
        "sites": journal.authority().sites().len(),
        "peers": peers,
        "epoch": Hex(&journal.identity().epoch).to_string(),
        "version": env!("CARGO_PKG_VERSION"),
    });
    Ok(Reply {
        value,
        exit: u8::from(attention),
    })
}

fn digest(journal: &Journal, connection: &Connection) -> Result<Reply> {
    let mut spaces = Vec::new();
    for (id, space) in journal.authority().spaces() {
        let tips = journal.tips(id);
        let held = journal
            .authority()
            .readable(&journal.identity().key())
            .contains(id);
        if !held && tips.is_empty() {
            continue;
        }
        spaces.push(json!({
            "space": id.to_string(),
            "kind": space.kind(),
            "log_digest": Hex(&space_digest(&tips)).to_string(),
            "state_digest": Hex(&records::state_digest(connection, id)?).to_string(),
        }));
    }
    Ok(Reply::ok(json!({ "spaces": spaces })))
}
