//! Every command as one enum, and the one function that carries it out on a store.
//!
//! The doors are the command line when the store is free, the local socket when a daemon has it, and
//! later the API. A command is plain data and its reply one JSON object, so all doors say the same. What
//! makes or joins a network, runs a daemon or opens a network session is in [`crate::setup`], [`crate::sync`]
//! and [`crate::cli`].

mod account;
mod conflict;
mod form;
mod invites;
mod kind;
mod orders;
mod quarantine;
mod record;
mod report;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::{Hex, parse_hex_bytes};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroize as _;

use crate::accounts::{self, PasswordHash};
use crate::actor::Actor;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal, Overview};
use crate::records::delivery::State;
use crate::records::save::{self, Author};
use crate::records::sight;
use crate::records::{self, Filter};
use crate::reply::{Reply, with_schema};
use crate::reports::Asked;
use crate::requests;
use crate::store;
use crate::sync::stick;
use crate::writer::Writer;

pub use conflict::Take;
pub use form::{looked, places_json};
use invites::{invite_create, invite_list, invite_revoke};
pub(crate) use kind::kind_files;
pub use orders::AddressChange;
use orders::{hub_address, hub_resume, peer_add, site_create, site_list};
pub(crate) use record::{add_rows, known_kind, ledger_row, record_keys, take_steps};
use record::{
    export_page, messages, record_act, record_add, record_alike, record_articles, record_history,
    record_json, record_list, record_names, record_set, request_list, saved_reply,
};
pub use report::proved;
pub use whole::reprojected;
use whole::{archive_page, archive_plan, digest, reproject, status, verify};

/// Rows of a list when the caller names no number, and at most.
const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;

/// A secret key in hexadecimal digits, on its way to the process that has the store. It is never printed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// From the digits.
    #[must_use]
    pub fn new(digits: &str) -> Self {
        Self(digits.to_owned())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Secret")
    }
}

/// A command on a store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// It reads, beside whoever writes.
    Query(Query),
    /// It runs inside a transaction.
    Write(Write),
}

impl From<Query> for Command {
    fn from(query: Query) -> Self {
        Self::Query(query)
    }
}

impl From<Write> for Command {
    fn from(write: Write) -> Self {
        Self::Write(write)
    }
}

impl Command {
    /// The name in the reply's schema.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Query(query) => query.name(),
            Self::Write(write) => write.name(),
        }
    }

    /// Whether it looks at records that may have come and not been merged yet. A new record that belongs to no other needs none of
    /// them.
    #[must_use]
    pub fn needs_lists(&self) -> bool {
        let Self::Write(Write::RecordAdd { kind, .. }) = self else {
            return true;
        };
        let kind = Catalogue::current().kind(kind);
        kind.is_none_or(|kind| kind.parent.is_some())
    }

    /// Carries it out for whoever has the store to himself.
    ///
    /// # Errors
    /// Each command's own; nothing was changed then.
    pub fn carry_out(self, writer: &mut Writer) -> Result<Reply> {
        match self {
            Self::Query(query) => {
                writer.read(|journal, connection| query.execute(journal, connection))
            }
            Self::Write(write) => {
                let work =
                    |journal: &mut _, connection: &_| write.clone().execute(journal, connection);
                writer.persist(work).map(|(reply, _)| reply)
            }
        }
    }
}

/// Which records `record list` lists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are those of the command line, which documents them"
)]
pub struct Listing {
    pub kind: Option<String>,
    pub status: Option<String>,
    pub state: Option<String>,
    /// Code of a site.
    pub site: Option<String>,
    /// When they were recorded: from the first of these times on and before the second, in Unix milliseconds.
    pub recorded_ms: Option<(u64, u64)>,
    pub search: Option<String>,
    /// The text is of the person concerned.
    pub of_person: bool,
    /// `field=value`, for fields by which lists are filtered.
    pub values: Vec<String>,
    pub limit: Option<usize>,
    pub after: Option<String>,
    pub account: Option<String>,
}

/// A command that changes nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are those of the command line, which documents them"
)]
pub enum Query {
    /// Lists sites.
    SiteList,
    /// Lists invites and what became of them.
    InviteList,
    /// Lists records, newest first.
    RecordList(Listing),
    /// By what the records of a kind are known again when an import brings them: see [`ledger::key`](crate::ledger::key).
    RecordKeys { kind: String },
    /// Which of these submissions were carried out here.
    Submitted { ids: Vec<String> },
    /// Shows one record, with the steps that an account may take.
    RecordShow {
        id: String,
        #[serde(default)]
        account: Option<String>,
    },
    /// Shows every change of a record.
    RecordHistory {
        id: String,
        #[serde(default)]
        account: Option<String>,
    },
    /// Lists the names that were typed where a register is named and that are in none, those first that stand in most records.
    RecordNames { limit: Option<usize> },
    /// Lists matters that are likely one, brought twice, the newest groups first.
    RecordAlike {
        limit: Option<usize>,
        #[serde(default)]
        account: Option<String>,
    },
    /// Lists what has happened elsewhere to what people here wrote and nobody has read yet, newest first; what was read, if that is asked
    /// for.
    Inbox {
        seen: bool,
        limit: Option<usize>,
        #[serde(default)]
        account: Option<String>,
    },
    /// Lists the records with fields that two devices changed at once, what waits longest first.
    ConflictList {
        limit: Option<usize>,
        after: Option<String>,
        #[serde(default)]
        account: Option<String>,
    },
    /// Shows the values of each such field of a record.
    ConflictShow {
        id: String,
        #[serde(default)]
        account: Option<String>,
    },
    /// Lists what is kept and does not count.
    QuarantineList,
    /// Shows the records of one such thing.
    QuarantineShow { id: String },
    /// Lists what operators' PCs have asked of the hub, newest first.
    RequestList { limit: Option<usize> },
    /// Lists the accounts of this device with their roles.
    AccountList,
    /// The one-screen truth. A record without receipt needs attention after these minutes.
    Status { unreceipted_minutes: u64 },
    /// Digests by which two nodes are compared.
    Digest,
    /// Checks every chain, checkpoint, digest and receipt.
    Verify,
    /// A page of records with their documents, for export.
    ExportPage {
        after: Option<String>,
        documents: bool,
        #[serde(default)]
        account: Option<String>,
        /// Those of one kind.
        #[serde(default)]
        kind: Option<String>,
        /// Recorded from the first of these times on and before the second, in Unix milliseconds.
        #[serde(default)]
        recorded_ms: Option<(u64, u64)>,
    },
    /// Lists the office's own forms in use.
    FormList,
    /// One of them, with its file.
    FormShow { name: String },
    /// The files of the kinds that were published.
    KindFiles,
    /// A report of a period, as far as it was known by a cut-off; as a file of a form too, and with its proof.
    Report {
        report: String,
        from: String,
        to: String,
        as_of: Option<String>,
        form: Option<String>,
        proof: bool,
        test_data: bool,
        account: Option<String>,
        deputy: Option<String>,
    },
    /// Compares the entries of a proof with those that are here.
    CheckProof { proof: Value },
    /// What an archive begins with, and the logs that follow.
    ArchivePlan,
    /// Items of one log for an archive.
    ArchivePage { log: String, from: u64 },
}

/// A command that changes the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the fields are those of the command line, which documents them"
)]
pub enum Write {
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
    /// Hub: takes one back that nobody has used.
    InviteRevoke { id: String },
    /// Where the hub is found; changed at the hub only.
    HubAddress { change: AddressChange },
    /// Hub: orders are given again after it was restored or copied.
    HubResume { root: Secret, alone: bool },
    /// Looks for the hub at this address first.
    PeerAdd { address: String },
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
    /// Takes the text of a draft law apart into articles, or sets what a newer one changes.
    RecordArticles {
        id: String,
        text: String,
        newer: bool,
        account: Option<String>,
    },
    /// Writes into the access log that an account has taken several records away.
    Exported { said: String, account: String },
    /// Keeps an office's own ledger or letter, with what its columns are.
    FormAdd {
        name: String,
        kind: String,
        /// In hexadecimal digits.
        file: String,
        sheet: Option<String>,
        /// Columns that are not found by their names, each with a field.
        columns: Vec<(String, String)>,
        #[serde(default)]
        account: Option<String>,
    },
    /// Publishes a kind of record, or a newer form of one.
    KindPublish {
        /// The file.
        text: String,
        /// Only looks at it.
        dry_run: bool,
        #[serde(default)]
        account: Option<String>,
    },
    /// Issues a report, so that it prints for ever as it is now.
    ReportIssue {
        report: String,
        from: String,
        to: String,
        as_of: Option<String>,
        account: Option<String>,
    },
    /// Chooses between the values of a field in conflict.
    ConflictResolve {
        id: String,
        field: String,
        take: Take,
        reason: String,
        account: Option<String>,
    },
    /// Takes one step on many records: rows with `id` and `input`.
    RecordActs {
        kind: String,
        event: String,
        rows: Vec<Value>,
        account: Option<String>,
    },
    /// Says why somebody looks at what is kept of a record, which the access log keeps, and shows it to them.
    RecordReveal {
        id: String,
        reason: String,
        account: Option<String>,
    },
    /// Lists what a person has brought. Why somebody asks for that, the access log keeps; whom they ask for it does not.
    RecordPerson { listing: Listing, reason: String },
    /// Gives an account these roles, by their letters, and no others; without any, all that the device's grant permits.
    AccountRoles { name: String, roles: Vec<String> },
    /// Adds an account with a password, in these roles or in all that the device's grant permits.
    AccountAdd {
        name: String,
        roles: Vec<String>,
        password: PasswordHash,
    },
    /// Gives an account another name.
    AccountRename { name: String, to: String },
    /// Gives an account another password; its browsers are logged out.
    AccountReset {
        name: String,
        password: PasswordHash,
    },
    /// Hub: lets it count.
    QuarantineAdopt { id: String },
    /// Rebuilds every projection from the logs.
    Reproject,
}

impl Query {
    /// The name in the reply's schema.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SiteList => "site-list",
            Self::InviteList => "invite-list",
            Self::RecordList(_) => "record-list",
            Self::RecordKeys { .. } => "record-keys",
            Self::Submitted { .. } => "submitted",
            Self::RecordShow { .. } => "record-show",
            Self::RecordHistory { .. } => "record-history",
            Self::RecordNames { .. } => "record-names",
            Self::RecordAlike { .. } => "record-alike",
            Self::Inbox { .. } => "inbox",
            Self::ConflictList { .. } => "conflict-list",
            Self::ConflictShow { .. } => "conflict-show",
            Self::QuarantineList => "quarantine-list",
            Self::QuarantineShow { .. } => "quarantine-show",
            Self::RequestList { .. } => "request-list",
            Self::AccountList => "account-list",
            Self::Status { .. } => "status",
            Self::Digest => "digest",
            Self::Verify => "verify",
            Self::ExportPage { .. } => "export-page",
            Self::FormList => "form-list",
            Self::FormShow { .. } => "form-show",
            Self::KindFiles => "kind-files",
            Self::Report { .. } => "report",
            Self::CheckProof { .. } => "verify",
            Self::ArchivePlan => "archive-plan",
            Self::ArchivePage { .. } => "archive-page",
        }
    }

    /// Carries it out on what is durable.
    ///
    /// # Errors
    /// Each command's own.
    pub fn execute(self, books: &mut Books, connection: &Connection) -> Result<Reply> {
        let schema = format!("lianxin.{}/1", self.name());
        let mut reply = match self {
            Self::SiteList => Ok(site_list(books)),
            Self::InviteList => invite_list(books, connection),
            Self::ConflictList {
                limit,
                after,
                account,
            } => {
                let actor = reader(books, connection, account.as_deref())?;
                let after = after.as_deref().map(cursor).transpose()?;
                let page = (after, list_limit(limit));
                conflict::list(books, connection, page, &actor)
            }
            Self::ConflictShow { id, account } => {
                let actor = reader(books, connection, account.as_deref())?;
                conflict::show(books, connection, &id, &actor)
            }
            Self::QuarantineList => quarantine::list(books, connection),
            Self::QuarantineShow { id } => quarantine::show(books, connection, &id),
            Self::RecordList(listing) => record_listing(books, connection, listing),
            Self::RecordKeys { kind } => {
                let keys = record_keys(books, connection, known_kind(&kind)?)?;
                Ok(Reply::ok(json!({ "keys": keys })))
            }
            Self::Submitted { ids } => {
                let known = save::all_submitted(connection, ids)?;
                Ok(Reply::ok(json!({ "known": known })))
            }
            Self::RecordShow { id, account } => {
                let key = records::find(connection, &id)?;
                let actor = reader(books, connection, account.as_deref())?;
                let value = record_json(books, connection, key, &actor)?;
                Ok(Reply::ok(value))
            }
            Self::RecordHistory { id, account } => {
                let actor = reader(books, connection, account.as_deref())?;
                record_history(books, connection, &id, &actor)
            }
            Self::RecordNames { limit } => record_names(connection, list_limit(limit)),
            Self::RecordAlike { limit, account } => {
                let actor = reader(books, connection, account.as_deref())?;
                record_alike(books, connection, &actor, list_limit(limit))
            }
            Self::Inbox {
                seen,
                limit,
                account,
            } => {
                let actor = reader(books, connection, account.as_deref())?;
                messages(connection, (actor.account(), seen), list_limit(limit))
            }
            Self::RequestList { limit } => request_list(books, connection, list_limit(limit)),
            Self::AccountList => account::list(books, connection),
            Self::Status {
                unreceipted_minutes,
            } => status(books, connection, unreceipted_minutes),
            Self::Digest => digest(books, connection),
            Self::Verify => verify(books, connection),
            Self::ExportPage {
                after,
                documents,
                account,
                kind,
                recorded_ms,
            } => {
                let filter = Filter {
                    kind,
                    recorded_ms,
                    ..Filter::default()
                };
                let what = (documents, account.as_deref());
                export_page(books, connection, (filter, after.as_deref()), what)
            }
            Self::FormList => form::list(connection),
            Self::FormShow { name } => form::show(books, connection, &name),
            Self::KindFiles => kind::files(books, connection),
            Self::Report {
                report,
                from,
                to,
                as_of,
                form,
                proof,
                test_data,
                account,
                deputy,
            } => {
                let now_ms = books.wall.now_ms();
                let asked = Asked::read(&report, (&from, &to), as_of.as_deref(), now_ms)?;
                let asked = asked.of_test_data(test_data).of_deputy(deputy)?;
                let form = form.as_deref().map(|form| (form, account.as_deref()));
                report::made(books, connection, asked, (form, proof))
            }
            Self::CheckProof { proof } => report::checked(books, connection, &proof),
            Self::ArchivePlan => archive_plan(books, connection),
            Self::ArchivePage { log, from } => archive_page(books, connection, &log, from),
        }?;
        reply.value = with_schema(&schema, reply.value);
        Ok(reply)
    }
}

impl Write {
    /// The name in the reply's schema.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SiteCreate { .. } => "site-create",
            Self::InviteCreate { .. } => "invite-create",
            Self::InviteRevoke { .. } => "invite-revoke",
            Self::HubAddress { .. } => "hub-address",
            Self::HubResume { .. } => "hub-resume",
            Self::PeerAdd { .. } => "peer-add",
            Self::JoinRequest => "join-request",
            Self::JoinFinish { .. } => "join",
            Self::InviteAdmit { .. } => "invite-admit",
            Self::InviteGrant { .. } => "invite-grant",
            Self::Open => "open",
            Self::RecordAdd { .. } => "record-add",
            Self::RecordSet { .. } => "record-set",
            Self::RecordAct { .. } => "record-act",
            Self::RecordActs { .. } => "record-acts",
            Self::RecordArticles { .. } => "record-articles",
            Self::ConflictResolve { .. } => "conflict-resolve",
            Self::RecordReveal { .. } => "record-show",
            Self::RecordPerson { .. } => "record-list",
            Self::ReportIssue { .. } => "report-issue",
            Self::Exported { .. } => "exported",
            Self::FormAdd { .. } => "form-add",
            Self::KindPublish { .. } => "kind-publish",
            Self::AccountRoles { .. } => "account-roles",
            Self::AccountAdd { .. } => "account-add",
            Self::AccountRename { .. } => "account-rename",
            Self::AccountReset { .. } => "account-reset",
            Self::QuarantineAdopt { .. } => "quarantine-adopt",
            Self::Reproject => "reproject",
        }
    }

    /// Carries it out inside the caller's transaction.
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
            Self::InviteRevoke { id } => invite_revoke(journal, connection, &id),
            Self::HubAddress { change } => hub_address(journal, connection, &change),
            Self::HubResume { root, alone } => hub_resume(journal, connection, &root, alone),
            Self::QuarantineAdopt { id } => quarantine::adopt(journal, connection, &id),
            Self::PeerAdd { address } => peer_add(connection, &address),
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
                let author = author(journal, connection, account.as_deref())?;
                record_set(journal, connection, &id, &input, &author)
            }
            Self::RecordAct {
                id,
                event,
                input,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                record_act(journal, connection, &id, (&event, &input), &author)
            }
            Self::ConflictResolve {
                id,
                field,
                take,
                reason,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                let choice = (id.as_str(), field.as_str(), &take, reason.as_str());
                conflict::resolve(journal, connection, choice, &author)
            }
            Self::RecordActs {
                kind,
                event,
                rows,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                let step = (known_kind(&kind)?, event.as_str());
                Ok(Reply::ok(take_steps(
                    journal, connection, step, &rows, &author,
                )?))
            }
            Self::RecordArticles {
                id,
                text,
                newer,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                record_articles(journal, connection, &id, (&text, newer), &author)
            }
            Self::RecordReveal {
                id,
                reason,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                record::reveal(journal, connection, (&id, &reason), &author)
            }
            Self::RecordPerson { listing, reason } => {
                let author = author(journal, connection, listing.account.as_deref())?;
                sight::look_for_person(connection, journal, &reason, &author)?;
                record_listing(journal, connection, listing)
            }
            Self::ReportIssue {
                report,
                from,
                to,
                as_of,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                let asked = Asked::read(&report, (&from, &to), as_of.as_deref(), author.now_ms)?;
                report::issue(journal, connection, asked, &author)
            }
            Self::Exported { said, account } => {
                let author = author(journal, connection, Some(&account))?;
                let saved =
                    save::log_access(connection, journal, (None, "export", &said), &author)?;
                saved_reply(journal, connection, &saved, &author)
            }
            Self::FormAdd {
                name,
                kind,
                file,
                sheet,
                columns,
                account,
            } => {
                let kind = known_kind(&kind)?;
                let new = form::New {
                    name: &name,
                    kind,
                    file: digits(&file)?,
                    sheet: sheet.as_deref(),
                    columns: &columns,
                };
                let author = author(journal, connection, account.as_deref())?;
                form::add(journal, connection, new, &author)
            }
            Self::KindPublish {
                text,
                dry_run,
                account,
            } => {
                let author = author(journal, connection, account.as_deref())?;
                kind::publish(journal, connection, (&text, dry_run), &author)
            }
            Self::AccountRoles { name, roles } => {
                account::set_roles(journal, connection, &name, &roles)
            }
            Self::AccountAdd {
                name,
                roles,
                password,
            } => account::add(journal, connection, &name, &roles, &password),
            Self::AccountRename { name, to } => account::rename(journal, connection, &name, &to),
            Self::AccountReset { name, password } => {
                account::reset(journal, connection, &name, &password)
            }
            Self::Reproject => reproject(journal, connection),
        }?;
        reply.value = with_schema(&schema, reply.value);
        Ok(reply)
    }
}

/// Lists records.
fn record_listing(books: &mut Books, connection: &Connection, listing: Listing) -> Result<Reply> {
    let Listing {
        kind,
        status,
        state,
        site,
        recorded_ms,
        search,
        of_person,
        values,
        limit,
        after,
        account,
    } = listing;
    let actor = reader(books, connection, account.as_deref())?;
    let state = state.as_deref().map(reached).transpose()?;
    let of_kind = kind.as_deref().map(known_kind).transpose()?;
    status
        .as_deref()
        .map_or(Ok(()), |it| known_status(of_kind, it))?;
    let none = || Error::new(Code::NoSite, "there is no such site");
    let site = site.map(|code| books.authority().site_by_code(&code).ok_or_else(none));
    let site = site.transpose()?;
    let network = books.identity().network;
    let filter = Filter {
        values: having(kind.as_deref(), &values)?,
        kind,
        status,
        space: site.map(|site| Space::Site(site).id(&network)),
        recorded_ms,
        search: search.map(|typed| (typed, actor.clone())),
        of_person,
        limit: list_limit(limit),
        after: after.as_deref().map(cursor).transpose()?,
        ..Filter::default()
    };
    record_list(books, connection, filter, state, &actor)
}

/// Rows of a list that are given when so many are asked for.
fn list_limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(LIST_DEFAULT).clamp(1, LIST_MAX)
}

/// How far the records of a list have come.
fn reached(word: &str) -> Result<State> {
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    state.ok_or_else(|| {
        let known = State::ALL.map(State::word);
        let (meant, known) = (meant(word, known), known.join(", "));
        Error::new(Code::Usage, format!("--state takes one of: {known}{meant}"))
    })
}

/// Refuses a status that no record can have.
fn known_status(kind: Option<&Kind>, code: &str) -> Result<()> {
    let kinds = Catalogue::current().kinds();
    let kinds = kinds.filter(|it| kind.is_none_or(|kind| kind.code == it.code));
    let known = kinds.flat_map(|kind| &kind.statuses);
    let known: BTreeSet<_> = known.map(|status| status.code.as_str()).collect();
    if known.contains(code) {
        return Ok(());
    }
    let meant = meant(code, known.iter().copied());
    let known: Vec<_> = known.into_iter().collect();
    let message = format!(
        "no such record has a status of that name; statuses: {}{meant}",
        known.join(", ")
    );
    Err(Error::new(Code::Usage, message))
}

/// What may have been meant by a name that is not known, as the end of a sentence.
pub(crate) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// From here on two names are alike (Jaro and Winkler).
    const ALIKE: f64 = 0.8;
    let alike = |known: &&str| strsim::jaro_winkler(&name.to_lowercase(), known);
    let near = known
        .into_iter()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)));
    let near = near.filter(|near| alike(near) >= ALIKE);
    near.map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default()
}

/// What records must have: `field=value`, each field once. It is not repeated what was typed.
fn having(kind: Option<&str>, typed: &[String]) -> Result<BTreeMap<String, String>> {
    let kinds = || Catalogue::current().kinds();
    let kinds = || kinds().filter(|it| kind.is_none_or(|kind| kind == it.code));
    let usage = |message: String| Err(Error::new(Code::Usage, message));
    let mut values = BTreeMap::new();
    for typed in typed {
        let Some((key, value)) = typed.split_once('=') else {
            return usage("--where takes field=value".to_owned());
        };
        let fields = || kinds().flat_map(Kind::indexed);
        let mut named = fields().filter(|field| field.key == key).peekable();
        if named.peek().is_none() {
            let known: BTreeSet<_> = fields().map(|field| field.key.as_str()).collect();
            let known: Vec<_> = known.into_iter().collect();
            return usage(format!("--where takes one of: {}", known.join(", ")));
        }
        let Some(value) = named.find_map(|field| field.written(value)) else {
            return usage(format!("--where {key}: this is no value of it"));
        };
        if values.insert(key.to_owned(), value).is_some() {
            return usage(format!("--where names {key} twice"));
        }
    }
    Ok(values)
}

/// Where a list goes on.
fn cursor(after: &str) -> Result<RecordId> {
    let cursor = RecordId::parse(after);
    cursor.ok_or_else(|| Error::new(Code::Usage, "--after takes the `next` of a list"))
}

/// Bytes that a door carries as hexadecimal digits.
fn digits(text: &str) -> Result<Vec<u8>> {
    parse_hex_bytes(text).ok_or_else(|| Error::new(Code::BadInput, "expected hexadecimal digits"))
}

// ---- accounts ----

/// Who acts: the named account, made on first use since whoever calls owns the store, or the first.
fn author(journal: &Journal, connection: &Connection, name: Option<&str>) -> Result<Author> {
    if let Some(name) = name {
        accounts::id_of(connection, name)?;
    }
    Ok(Author {
        actor: reader(journal, connection, name)?,
        now_ms: journal.wall.now_ms(),
    })
}

/// Who reads: the account that is named, or whoever owns the store, in the roles of its first account.
fn reader(overview: &Overview, connection: &Connection, name: Option<&str>) -> Result<Actor> {
    let account = match name {
        Some(name) => accounts::named(connection, name)?,
        None => accounts::first(connection)?,
    };
    let actor = account.map_or_else(
        || Actor::owner(overview),
        |account| Actor::of(&account, overview),
    );
    Ok(match name {
        Some(_) => actor,
        None => actor.owning_the_store(),
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
