//! Every command as one enum, and the one function that carries it out on a store.
//!
//! The doors are the command line when the store is free, the local socket when a daemon has it, and
//! later the API. A command is plain data and its reply one JSON object, so all doors say the same. What
//! makes or joins a network, runs a daemon or opens a network session is in [`crate::setup`], [`crate::sync`]
//! and [`crate::cli`].

use lianxin_protocol::authority::{Invite, Membership, Order, Role, SiteKind};
use lianxin_protocol::catalogue::{Catalogue, Kind, Outcome};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::{DeviceKey, InviteCode, short};
use lianxin_protocol::message::space_digest;
use lianxin_protocol::number::{DeviceCode, SiteCode};
use lianxin_protocol::space::SiteId;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::clock;
use crate::error::{Code, Error, Kind as ErrorKind, Result};
use crate::journal::Journal;
use crate::records::save::{self, Author};
use crate::records::{self, Coverage, Filter, gather_written};
use crate::store;
use crate::sync::enrol;

/// Rows of a list when the caller names no number, and at most.
const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;
/// Longest submission id in bytes.
const SUBMISSION_MAX: usize = 200;
/// Longest life of an invite in hours.
const INVITE_MAX_HOURS: u64 = 14 * 24;

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
            Self::RecordAdd { .. } => "record-add",
            Self::RecordSet { .. } => "record-set",
            Self::RecordAct { .. } => "record-act",
            Self::RecordList { .. } => "record-list",
            Self::RecordShow { .. } => "record-show",
            Self::RecordHistory { .. } => "record-history",
            Self::Status { .. } => "status",
            Self::Digest => "digest",
            Self::Verify => "verify",
            Self::Reproject => "reproject",
            Self::ExportPage { .. } => "export-page",
        }
    }

    /// Whether it must run inside a transaction.
    #[must_use]
    pub const fn writes(&self) -> bool {
        matches!(
            self,
            Self::SiteCreate { .. }
                | Self::InviteCreate { .. }
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
            Self::RecordAdd {
                kind,
                rows,
                first_row,
                account,
            } => {
                let kind = known_kind(&kind)?;
                let author = author(connection, account.as_deref())?;
                record_add(journal, connection, kind, &rows, first_row, &author)
            }
            Self::RecordSet { id, input, account } => {
                let key = records::find(connection, &id)?;
                let author = author(connection, account.as_deref())?;
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
                let author = author(connection, account.as_deref())?;
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
                let names = accounts(connection)?;
                let changes = records::history(&gathered, |account| {
                    names
                        .get(account)
                        .cloned()
                        .unwrap_or_else(|| account.to_owned())
                });
                Ok(Reply::ok(
                    json!({ "id": gathered.id.hyphenated(), "changes": changes }),
                ))
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
        }?;
        reply.value = with_schema(&schema, reply.value);
        Ok(reply)
    }
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

/// Makes an account, if there is none of this name, and gives its id.
///
/// # Errors
/// The store cannot be written.
pub fn account_id(connection: &Connection, name: &str) -> Result<String> {
    use rusqlite::OptionalExtension as _;
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 40 || name.chars().any(char::is_control) {
        return Err(Error::new(
            Code::Usage,
            "an account name has 1 to 40 characters on one line",
        ));
    }
    let mut statement =
        connection.prepare_cached("SELECT account FROM accounts WHERE name = ?1")?;
    if let Some(account) = statement.query_row([name], |row| row.get(0)).optional()? {
        return Ok(account);
    }
    let account = Hex(&clock::random::<8>()?).to_string();
    connection
        .prepare_cached("INSERT INTO accounts (account, name) VALUES (?1, ?2)")?
        .execute([account.as_str(), name])?;
    Ok(account)
}

/// Who acts: the named account, made on first use since whoever calls owns the store, or the first.
fn author(connection: &Connection, name: Option<&str>) -> Result<Author> {
    let account = match name {
        Some(name) => account_id(connection, name)?,
        None => connection.query_row(
            "SELECT account FROM accounts ORDER BY id LIMIT 1",
            [],
            |row| row.get(0),
        )?,
    };
    Ok(Author {
        account,
        now_ms: clock::now_ms(),
    })
}

fn accounts(connection: &Connection) -> Result<std::collections::BTreeMap<String, String>> {
    let mut statement = connection.prepare_cached("SELECT account, name FROM accounts")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

// ---- hub ----

fn hub_only(journal: &Journal) -> Result<()> {
    match journal.identity().authority {
        Some(_) => Ok(()),
        None => Err(Error::new(Code::HubOnly, "only the hub can do this")),
    }
}

fn site_create(
    journal: &mut Journal,
    connection: &Connection,
    name: &str,
    kind: &str,
    code: Option<&str>,
) -> Result<Reply> {
    hub_only(journal)?;
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
            let free = free.take(240).find(|code| !taken(code));
            free.ok_or_else(|| {
                Error::new(Code::BadCode, "give a --code; the usual ones are taken")
            })?
        }
    };
    let site = SiteId(clock::random()?);
    let order = Order::Site {
        site,
        code: code.clone(),
        name: name.to_owned(),
        kind,
    };
    journal.order(connection, &[order], clock::now_ms())?;
    Ok(Reply::ok(json!({
        "site": uuid_text(&site.0),
        "code": code,
        "name": name,
    })))
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
    hub_only(journal)?;
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
    let given = journal
        .authority()
        .codes()
        .iter()
        .filter_map(|code| code.parse().ok())
        .collect();
    let device_code: Option<DeviceCode> = site_code.next_device(&given);
    let device_code = device_code
        .ok_or_else(|| Error::new(Code::BadCode, "all device codes of this site were given"))?;
    let code = loop {
        if let Some(code) = InviteCode::from_random(clock::random()?) {
            break code;
        }
    };
    let expires_ms = clock::now_ms() + expires_hours * 3_600_000;
    let invite = Invite {
        key: code.invite_key().public(),
        site,
        role,
        device_code: device_code.to_string(),
        expires_ms,
    };
    let key = invite.key;
    journal.order(connection, &[Order::Invite(invite)], clock::now_ms())?;
    enrol::keep_proof_key(connection, &key, &code.hub_proof_key())?;
    let (name, district) = journal.authority().names();
    let addresses = store::meta(connection, "addresses")?;
    let addresses: Vec<String> = addresses
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    Ok(Reply::ok(json!({
        "invite": code.to_string(),
        "device_code": device_code.to_string(),
        "expires_at": clock::rfc3339(expires_ms),
        "hub_addresses": addresses,
        "network": journal.identity().network.to_string(),
        "hub": journal.identity().key().to_string(),
        "site": site.map(|site| uuid_text(&site.0)),
        "site_code": site_code.to_string(),
        "role": role.word(),
        "district": district,
        "name": name,
    })))
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
        match kind.read(row) {
            Ok(draft) => {
                match save::add(connection, journal, kind, &draft, submission, author) {
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
    let (state, status) = records::shown(reached, &content.kind, &content.status);
    let heads = gathered.document().heads();
    let heads: Vec<_> = heads.iter().map(|head| Hex(head).to_string()).collect();
    Ok(Reply::ok(json!({
        "id": saved.id.hyphenated(),
        "number": content.number,
        "heads": heads,
        "state": state.word(),
        "status": status,
    })))
}

fn record_list(journal: &Journal, connection: &Connection, filter: &Filter) -> Result<Reply> {
    let rows = records::list(connection, filter)?;
    let coverage = Coverage::read(connection, journal)?;
    let mut listed = Vec::with_capacity(rows.len());
    for row in &rows {
        let reached = coverage.reached(connection, row.key)?;
        let (state, status) = records::shown(reached, &row.kind, &row.status);
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
    let names = accounts(connection)?;
    let coverage = Coverage::read(connection, journal)?;
    let reached = coverage.reached(connection, key)?;
    let (state, status) = records::shown(reached, &content.kind, &content.status);
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
                "account": names.get(&event.by).unwrap_or(&event.by),
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
    let acts = records::acts_for(journal.role());
    let steps: Vec<_> = Catalogue::standard()
        .kind(&content.kind)
        .map(|kind| {
            kind.offered(&content.status, &acts)
                .map(|step| step.event.clone())
                .collect()
        })
        .unwrap_or_default();
    Ok(json!({
        "id": gathered.id.hyphenated(),
        "kind": content.kind,
        "number": content.number,
        "title": content.title,
        "fields": content.fields,
        "conflicts": conflicts,
        "status": status,
        "overlays": content.overlays,
        "events": events,
        "steps": steps,
        "state": state.word(),
        "receipts": receipts,
        "waiting": content.waiting,
        "unreadable": content.unreadable,
    }))
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

// ---- the store as a whole ----

fn status(
    journal: &mut Journal,
    connection: &Connection,
    unreceipted_minutes: u64,
) -> Result<Reply> {
    let count = |sql: &str| -> Result<u64> { Ok(connection.query_row(sql, [], |row| row.get(0))?) };
    let all = count("SELECT count(*) FROM records WHERE kind IS NOT NULL AND kind <> ''")?;
    let conflicts = count("SELECT count(*) FROM records WHERE conflicts > 0")?;
    let quarantined = quarantined(journal, connection)?;
    let (unreceipted, oldest) = records::unreceipted(connection, journal)?;
    let now = clock::now_ms();
    let oldest_s = oldest.map(|hlc| now.saturating_sub(hlc >> 16) / 1_000);
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
    let mut statement = connection
        .prepare_cached("SELECT device, last_seen_ms, path FROM peers ORDER BY device")?;
    let rows = statement.query_map([], |row| {
        Ok((
            DeviceKey(row.get(0)?),
            row.get::<_, u64>(1)?,
            row.get::<_, String>(2)?,
        ))
    })?;
    for row in rows {
        let (device, seen, path) = row?;
        let known = journal.authority().members().get(&device);
        peers.push(json!({
            "device": device_name(journal, &device),
            "site": known.and_then(|member| site_code(member.grant.site)),
            "role": known.map(|member| member.grant.role.word()),
            "last_seen": clock::rfc3339(seen),
            "path": path,
        }));
    }
    let blocked = member
        .as_ref()
        .is_some_and(|it| matches!(it.membership, Membership::Blocked { .. }));
    let late = oldest_s.is_some_and(|age| age / 60 >= unreceipted_minutes);
    let attention = late || conflicts > 0 || quarantined > 0 || blocked;
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
        "unreceipted": unreceipted,
        "oldest_unreceipted_s": oldest_s,
        "conflicts": conflicts,
        "quarantined": quarantined,
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

/// Records with an entry that does not count: by this device's own judgement, or by the hub's.
fn quarantined(journal: &Journal, connection: &Connection) -> Result<u64> {
    let own: u64 = connection.query_row(
        "SELECT count(DISTINCT touches.record) FROM exceptions JOIN touches
             ON touches.entry >= (exceptions.log << 40) + exceptions.first
            AND touches.entry < (exceptions.log << 40) + min(exceptions.after, 1 << 39)",
        [],
        |row| row.get(0),
    )?;
    if own > 0 || journal.identity().authority.is_some() {
        return Ok(own);
    }
    let mut held = 0;
    for space in journal.authority().spaces().keys() {
        for receipt in journal.receipts(connection, space)? {
            held += receipt
                .exceptions
                .iter()
                .map(|it| it.range.end - it.range.start)
                .sum::<u64>();
        }
    }
    Ok(held)
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
