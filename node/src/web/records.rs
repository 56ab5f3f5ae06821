//! Lists of records, one record with its way, its steps and its proofs, and corrections to it.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{
    Actor, Catalogue, Field, Kind, Outcome, Refusal, Retention, Status, Transition,
};
use lianxin_protocol::identity::short;
use lianxin_protocol::log::RecordId;
use lianxin_protocol::request::Outcome as RequestOutcome;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::conflicts::{self, Conflict};
use super::fields::{self, Input};
use super::page::{Answer, Page, Session, go, html};
use super::shown::{self, Shown};
use super::sync::{self, Why};
use super::{App, Line};
use crate::accounts;
use crate::clock;
use crate::drafts::Typed;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::records::delivery::{self, Coverage, State as Reached};
use crate::records::save::{self, Author};
use crate::records::{self, Content, Filter, Listed, acts_for, gather_written};
use crate::requests;

/// Rows of a page.
const ROWS: usize = 50;
/// The hub's case number: filled in by the hub, never typed.
const HUB_NO: &str = "hub_no";

// ---- rows ----

/// A record in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) number: String,
    pub(super) title: String,
    pub(super) status: String,
    pub(super) state: Shown,
    pub(super) at: String,
    /// Its site, on pages that show several.
    pub(super) site: String,
    pub(super) conflict: bool,
    pub(super) due: Option<Due>,
    reached: Reached,
}

/// When an answer is due.
pub(super) struct Due {
    pub(super) said: String,
    pub(super) over: bool,
}

impl Row {
    pub(super) fn new(
        connection: &Connection,
        journal: &Journal,
        coverage: &Coverage,
        row: &Listed,
        page: &Page,
    ) -> Result<Self> {
        let kind = Catalogue::standard().kind(&row.kind);
        let mut shown = Self::plain(connection, coverage, row, (page.lang, page.now_ms))?;
        shown.due = due(&row.facts, kind, &row.status, page);
        if page.office() {
            shown.site = shown::site(journal.authority(), row, page.lang);
        }
        Ok(shown)
    }

    /// A row without what depends on who looks.
    pub(super) fn plain(
        connection: &Connection,
        coverage: &Coverage,
        row: &Listed,
        (lang, now_ms): (super::words::Lang, u64),
    ) -> Result<Self> {
        let kind = Catalogue::standard().kind(&row.kind);
        let reached = coverage.reached(connection, row.key)?;
        let (state, status) = delivery::shown(reached, &row.kind, &row.status);
        Ok(Self {
            id: row.id.hyphenated(),
            number: row.number.clone().unwrap_or_default(),
            title: match &row.title {
                Some(title) => title.clone(),
                None => lang.say("record-untitled", &[]),
            },
            status: shown::status(kind, &status, lang),
            state: Shown::of(state, lang),
            at: shown::at(row.recorded_ms(), now_ms, lang),
            site: String::new(),
            conflict: row.conflicts > 0,
            due: None,
            reached: state,
        })
    }

    /// Whether the hub has it.
    pub(super) fn arrived(&self) -> bool {
        !matches!(self.reached, Reached::Saved | Reached::Sending)
    }
}

/// When an answer is due, as long as there is none.
fn due(facts: &Map<String, Value>, kind: Option<&Kind>, status: &str, page: &Page) -> Option<Due> {
    let date = facts.get("due_on")?.as_str()?;
    let told = kind.and_then(|kind| kind.status(status))?.tells.is_some();
    let days = clock::Beijing::of(page.now_ms).days_until(date)?;
    let done = told || matches!(status, "answered" | "withdrawn" | "discarded" | "merged");
    let (id, count) = match days {
        _ if done => return None,
        ..0 => ("due-over", days.unsigned_abs()),
        0 => ("due-today", 0),
        _ => ("due-in", days.unsigned_abs()),
    };
    Some(Due {
        said: page.n(id, &u64::from(count)),
        over: days < 0,
    })
}

/// Statuses from which the usual next step is one that these may take, with the step, in the order of the
/// process. The status is the folded one, as stored.
pub(super) fn next_for<'a>(
    kind: &'a Kind,
    acts: &BTreeSet<Actor>,
) -> Vec<(&'a Status, &'a Transition)> {
    let found = kind.statuses.iter().filter_map(|status| {
        let step = kind.transition(status.next.as_deref()?)?;
        let folded = match &status.stands_for {
            Some(folded) => kind.status(folded)?,
            None => status,
        };
        (!step.who.is_disjoint(acts)).then_some((folded, step))
    });
    found.collect()
}

// ---- lists ----

/// What a list was asked for. Text to search for is never part of an address: it may be somebody's name.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Asked {
    kind: Option<String>,
    status: Option<String>,
    state: Option<String>,
    after: Option<String>,
    q: Option<String>,
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    page: Page,
    asked: Asked,
    rows: Vec<Row>,
    kinds: Vec<(String, String)>,
    statuses: Vec<(String, String)>,
    states: Vec<(&'static str, String)>,
    next: Option<String>,
    newest: String,
}

impl List {
    fn is(&self, name: &Option<String>, value: &str) -> bool {
        name.as_deref() == Some(value)
    }

    fn filtered(&self) -> bool {
        let asked = [
            &self.asked.kind,
            &self.asked.status,
            &self.asked.state,
            &self.asked.q,
        ];
        asked.iter().any(|it| it.is_some())
    }
}

/// The list, by address.
pub(super) async fn list(
    State(app): State<App>,
    session: Session,
    Query(mut asked): Query<Asked>,
) -> Answer {
    asked.q = None;
    listed(&app, session, asked).await
}

/// The list, with a text to search for.
pub(super) async fn search(
    State(app): State<App>,
    session: Session,
    Form(asked): Form<Asked>,
) -> Answer {
    listed(&app, session, asked).await
}

async fn listed(app: &App, session: Session, asked: Asked) -> Answer {
    let line = (app.doors.line)();
    let some = |text: Option<String>| {
        let text = text.map(|text| text.trim().chars().take(100).collect::<String>());
        text.filter(|text| !text.is_empty())
    };
    let asked = Asked {
        kind: some(asked.kind),
        status: some(asked.status),
        state: some(asked.state),
        after: some(asked.after),
        q: some(asked.q),
    };
    let list = app
        .read(move |journal, connection| {
            let lang = session.lang();
            let title = lang.say("menu-list", &[]);
            let page = Page::new(connection, journal, &session, &line, ("/records", title))?;
            let coverage = Coverage::read(connection, journal)?;
            let (rows, next) = rows(connection, journal, &coverage, &asked, &page)?;
            let chosen = asked.kind.as_deref().unwrap_or("opinion");
            let kind = Catalogue::standard().kind(chosen);
            let kinds = Catalogue::standard().kinds();
            let states = [
                "saved",
                "sending",
                "received",
                "merged",
                "answered",
                "refused",
                "quarantined",
            ];
            Ok(List {
                newest: rows.first().map(|row| row.id.clone()).unwrap_or_default(),
                rows,
                next,
                kinds: kinds
                    .map(|kind| (kind.code.clone(), lang.label(&kind.label).to_owned()))
                    .collect(),
                statuses: kind
                    .into_iter()
                    .flat_map(|kind| &kind.statuses)
                    .map(|status| (status.code.clone(), lang.label(&status.label).to_owned()))
                    .collect(),
                states: states
                    .iter()
                    .map(|state| (*state, lang.say(&format!("state-{state}"), &[])))
                    .collect(),
                asked,
                page,
            })
        })
        .await?;
    html(&list)
}

/// A page of rows. The state is told by receipts and not stored, so rows in another state are passed over
/// until the page is full.
fn rows(
    connection: &Connection,
    journal: &Journal,
    coverage: &Coverage,
    asked: &Asked,
    page: &Page,
) -> Result<(Vec<Row>, Option<String>)> {
    /// Rows looked at for one page at most.
    const LOOKED_AT: usize = 2_000;
    let mut filter = Filter {
        kind: asked.kind.clone(),
        status: asked.status.clone(),
        search: asked.q.clone(),
        conflicts: None,
        limit: ROWS,
        after: asked.after.as_deref().and_then(RecordId::parse),
    };
    let mut found = Vec::new();
    let mut looked_at = 0;
    loop {
        let batch = records::list(connection, &filter)?;
        for row in &batch {
            let reached = coverage.reached(connection, row.key)?;
            let (state, status) = delivery::shown(reached, &row.kind, &row.status);
            let wanted = asked.state.as_deref().is_none_or(|it| it == state.word())
                && asked.status.as_ref().is_none_or(|it| *it == status);
            if wanted {
                found.push(Row::new(connection, journal, coverage, row, page)?);
            }
            filter.after = Some(row.id);
            if found.len() == ROWS {
                let next = Some(row.id.hyphenated());
                return Ok((found, next));
            }
        }
        looked_at += batch.len();
        if batch.len() < ROWS {
            return Ok((found, None));
        }
        if looked_at >= LOOKED_AT {
            let next = filter.after.map(|after| after.hyphenated());
            return Ok((found, next));
        }
    }
}

// ---- one record ----

/// A fact with its label.
struct Said {
    label: String,
    value: String,
}

/// A group of facts.
struct Group {
    label: String,
    facts: Vec<Said>,
}

/// An event on the record's way.
struct Step {
    label: String,
    at: String,
    who: String,
    data: Vec<Said>,
    /// Why it has no effect.
    void: Option<String>,
}

/// A signed change.
struct Change {
    hash: String,
    at: String,
    who: String,
    what: String,
    verified: bool,
}

/// A receipt of the hub that covers entries of the record.
struct Proof {
    log: String,
    stored: u64,
    judged: u64,
    at: String,
}

/// What an operator's PC has asked of the hub, as long as it was not granted.
struct Request {
    said: String,
    what: String,
    who: String,
    at: String,
    refused: bool,
}

/// A step that may be taken, with its form.
struct Offer {
    event: String,
    label: String,
    inputs: Vec<Input>,
    open: bool,
    /// It ends the matter, so it is not the first button in reach.
    grave: bool,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    page: Page,
    id: String,
    number: String,
    title: String,
    kind: String,
    status: String,
    state: Shown,
    tab: &'static str,
    note: &'static str,
    recorded: String,
    due: Option<Due>,
    words: Option<Said>,
    groups: Vec<Group>,
    person: Vec<Said>,
    steps: Vec<Step>,
    changes: Vec<Change>,
    proofs: Vec<Proof>,
    next: Option<Offer>,
    offers: Vec<Offer>,
    conflicts: Vec<Conflict>,
    asked: Vec<Request>,
    why: Option<Why>,
    editable: bool,
    test_data: bool,
    waiting: usize,
    unreadable: bool,
}

/// What a record's page was asked for.
#[derive(Clone, Default, Deserialize)]
pub(super) struct View {
    tab: Option<String>,
    note: Option<String>,
    step: Option<String>,
}

/// One record.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(view): Query<View>,
) -> Answer {
    let line = (app.doors.line)();
    let record = app
        .read(move |journal, connection| {
            build(connection, journal, (&session, &line), &id, &view, None)
        })
        .await?;
    html(&record)
}

/// What was typed for a step, and what is wrong with it.
struct Attempt<'a> {
    event: &'a str,
    typed: &'a Typed,
    refusals: &'a [Refusal],
}

fn build(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    id: &str,
    view: &View,
    attempt: Option<&Attempt<'_>>,
) -> Result<RecordPage> {
    let lang = session.lang();
    let key = records::find(connection, id)?;
    let gathered = gather_written(connection, journal, key)?;
    let content = gathered.content(journal.authority());
    let kind = Catalogue::standard().kind(&content.kind);
    let title = match &content.title {
        Some(title) => title.clone(),
        None => lang.say("record-untitled", &[]),
    };
    // The address names the tab and the browser's history shows titles: the number is enough there.
    let heading = content
        .number
        .clone()
        .unwrap_or_else(|| lang.say("record", &[]));
    let page = Page::new(connection, journal, session, line, ("/records", heading))?;
    let coverage = Coverage::read(connection, journal)?;
    let (reached, held) = coverage.judged(connection, key)?;
    let (state, status) = delivery::shown(reached, &content.kind, &content.status);
    let names = accounts::names(connection)?;
    // For a step that the hub took for an operator, the operator's device is named, not the hub's.
    let who = |by: Option<&str>, device: Option<String>| {
        let (account, asker) = by.map_or(("", None), requests::asker);
        let name = names.get(account).cloned();
        let device = asker.map(str::to_owned).or(device);
        let both = name.into_iter().chain(device);
        both.collect::<Vec<_>>().join(" · ")
    };
    let mut proofs = Vec::new();
    for receipt in coverage.of_record(connection, key)? {
        proofs.push(Proof {
            log: receipt.log.to_string().chars().take(12).collect(),
            stored: receipt.stored.len,
            judged: receipt.judged_len,
            at: shown::moment(receipt.received_at_ms, lang),
        });
    }
    let steps = content.events.iter().map(|event| {
        let step = kind.and_then(|kind| kind.transition(&event.event));
        let data = event.data.iter().map(|(key, value)| {
            let field = step.and_then(|step| step.data.iter().find(|field| field.key == *key));
            let label = field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned());
            let value = shown::value(field, value, lang);
            Said { label, value }
        });
        let device = event
            .device
            .map(|key| shown::device(journal.authority(), &key));
        Step {
            label: step.map_or_else(
                || event.event.clone(),
                |step| lang.label(&step.label).to_owned(),
            ),
            at: shown::moment(u64::try_from(event.at_ms).unwrap_or_default(), lang),
            who: who(Some(&event.by), device),
            data: data.filter(|line| !line.value.is_empty()).collect(),
            void: match &event.outcome {
                Outcome::Applied { .. } => None,
                Outcome::Void { reason } => Some(lang.label(&reason.label()).to_owned()),
            },
        }
    });
    let steps: Vec<_> = steps.collect();
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let devices: BTreeMap<String, String> = journal
        .authority()
        .members()
        .iter()
        .map(|(key, member)| (short(key), member.grant.device_code.clone()))
        .collect();
    let history = records::history(&gathered, str::to_owned);
    let changes = history.iter().rev().map(|change| {
        let fields = change.get("fields").and_then(Value::as_array);
        let named = fields
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|key| {
                let field = kind.and_then(|kind| kind.field(key));
                field.map_or_else(|| key.to_owned(), |it| lang.label(&it.label).to_owned())
            });
        let mut named: BTreeSet<_> = named.collect();
        // A step is told under its own tab; here it counts as one signed change.
        if change
            .get("events")
            .and_then(Value::as_u64)
            .unwrap_or_default()
            > 0
        {
            named.insert(lang.say("history-step", &[]));
        }
        let named: Vec<_> = named.into_iter().collect();
        let device = text(change, "device").map(|key| devices.get(&key).cloned().unwrap_or(key));
        Change {
            hash: text(change, "hash")
                .unwrap_or_default()
                .chars()
                .take(12)
                .collect(),
            at: text(change, "at")
                .map(|at| rfc3339_shown(&at, lang))
                .unwrap_or_default(),
            who: who(text(change, "account").as_deref(), device),
            what: named.join("、"),
            verified: change.get("verified") == Some(&Value::Bool(true)),
        }
    });
    let changes = changes.collect();
    let member = journal.authority().members().get(&journal.identity().key());
    let why = sync::why((reached, held), line, member, page.now_ms, lang);
    let (groups, person, words) = groups(kind, &content, &page);
    let mut asked = Vec::new();
    for it in requests::of_record(connection, key)? {
        let refused = match &it.answer {
            None => false,
            Some((RequestOutcome::Refused(_), _)) => true,
            Some(_) => continue,
        };
        let (_, event) = it.wanted.words();
        let step = kind.and_then(|kind| kind.transition(event));
        asked.push(Request {
            said: lang.say(
                if refused {
                    "request-refused"
                } else {
                    "request-open"
                },
                &[],
            ),
            what: step.map_or_else(|| event.to_owned(), |it| lang.label(&it.label).to_owned()),
            who: who(
                Some(&it.account),
                Some(shown::device(journal.authority(), &it.device)),
            ),
            at: shown::moment(it.at_ms, lang),
            refused,
        });
    }
    let (next, mut offers) = offers(kind, &content, journal, view, attempt, &page);
    // What was asked of the hub is not asked again while it is open.
    let open = |event: &str| {
        let open = asked.iter().filter(|it| !it.refused);
        open.map(|it| &it.what).any(|what| {
            let step = kind.and_then(|kind| kind.transition(event));
            step.is_some_and(|step| lang.label(&step.label) == what)
        })
    };
    let next = next.filter(|offer| !open(&offer.event));
    offers.retain(|offer| !open(&offer.event));
    let row = records::rows(connection, &[key])?.pop();
    Ok(RecordPage {
        asked,
        id: gathered.id.hyphenated(),
        number: content.number.clone().unwrap_or_default(),
        kind: kind.map_or_else(
            || content.kind.clone(),
            |it| lang.label(&it.label).to_owned(),
        ),
        status: shown::status(kind, &status, lang),
        state: Shown::of(state, lang),
        tab: match view.tab.as_deref() {
            Some("way") => "way",
            Some("history") => "history",
            Some("receipts") => "receipts",
            _ => "content",
        },
        note: match view.note.as_deref() {
            Some("new") => "new",
            Some("again") => "again",
            Some("done") => "done",
            _ => "",
        },
        recorded: row
            .as_ref()
            .map(|row| shown::moment(row.recorded_ms(), lang))
            .unwrap_or_default(),
        due: due(&content.facts, kind, &content.status, &page),
        words,
        groups,
        person,
        steps,
        changes,
        proofs,
        next,
        offers,
        conflicts: conflicts::of(&content, kind, journal, lang),
        why,
        editable: kind.is_some() && content.waiting == 0,
        test_data: content.fields.get("test_data") == Some(&Value::Bool(true)),
        waiting: content.waiting,
        unreadable: !content.unreadable.is_empty(),
        title,
        page,
    })
}

fn rfc3339_shown(at: &str, lang: super::words::Lang) -> String {
    clock::unix_ms(at).map_or_else(|| at.to_owned(), |ms| shown::moment(ms, lang))
}

/// The value of a field in nested JSON.
fn held<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => fields.get(key),
        Some((group, name)) => fields.get(group)?.get(name),
    }
}

type Grouped = (Vec<Group>, Vec<Said>, Option<Said>);

/// What a record holds, in the sections of its form, then what its handling has added. Who said it stands
/// apart, and so do the resident's own words.
fn groups(kind: Option<&Kind>, content: &Content, page: &Page) -> Grouped {
    let lang = page.lang;
    let Some(kind) = kind else {
        // A kind of a newer version: as it is.
        let facts = content.fields.iter().map(|(key, value)| Said {
            label: key.clone(),
            value: shown::value(None, value, lang),
        });
        let group = Group {
            label: page.t("record-newer"),
            facts: facts.collect(),
        };
        return (vec![group], Vec::new(), None);
    };
    let fact = |field: &Field| {
        let value = held(&content.fields, &field.key)?;
        let value = shown::value(Some(field), value, lang);
        let label = lang.label(&field.label).to_owned();
        (!value.is_empty()).then_some(Said { label, value })
    };
    let apart = |field: &&Field| {
        let own_words = kind.title_from.as_ref() == Some(&field.key);
        let title = kind.title.as_ref() == Some(&field.key);
        !own_words && !title && field.retention != Some(Retention::Card)
    };
    let mut placed = BTreeSet::new();
    let mut groups = Vec::new();
    for section in &kind.sections {
        let fields = section
            .fields
            .iter()
            .filter_map(|key| kind.fields.iter().find(|field| field.key == *key));
        placed.extend(section.fields.iter().cloned());
        groups.push(Group {
            label: lang.label(&section.label).to_owned(),
            facts: fields.filter(apart).filter_map(fact).collect(),
        });
    }
    let envelope = [
        "id",
        "number",
        "status",
        "site_id",
        "device_id",
        "state",
        "events",
    ];
    let rest = kind.fields.iter().filter(|field| {
        !placed.contains(&field.key) && !envelope.contains(&field.key.as_str()) && apart(field)
    });
    groups.insert(
        0,
        Group {
            label: page.t("record-handling"),
            facts: rest.filter_map(fact).collect(),
        },
    );
    groups.retain(|group| !group.facts.is_empty());
    let card = kind
        .fields
        .iter()
        .filter(|field| field.retention == Some(Retention::Card));
    let words = kind
        .title_from
        .as_ref()
        .and_then(|key| kind.field(key))
        .and_then(fact);
    (groups, card.filter_map(fact).collect(), words)
}

/// The steps that this device may take, the usual one apart.
fn offers(
    kind: Option<&Kind>,
    content: &Content,
    journal: &Journal,
    view: &View,
    attempt: Option<&Attempt<'_>>,
    page: &Page,
) -> (Option<Offer>, Vec<Offer>) {
    let Some(kind) = kind.filter(|_| content.waiting == 0) else {
        return (None, Vec::new());
    };
    let acts = acts_for(journal.role());
    let usual = kind.statuses.iter().find(|status| {
        let folded = status.stands_for.as_ref().unwrap_or(&status.code);
        *folded == content.status && status.next.is_some()
    });
    let usual = usual.and_then(|status| status.next.as_deref());
    let none = Typed::new();
    let mut next = None;
    let mut others = Vec::new();
    for step in kind.offered(&content.status, &acts) {
        let tried = attempt.filter(|attempt| attempt.event == step.event);
        let (typed, refusals) = tried.map_or((&none, [].as_slice()), |it| (it.typed, it.refusals));
        let inputs = step.data.iter().filter(|field| field.key != HUB_NO);
        let inputs = inputs.map(|field| fields::input(field, typed, refusals, page.lang));
        let is_usual = usual == Some(step.event.as_str());
        let offer = Offer {
            event: step.event.clone(),
            label: page.label(&step.label).to_owned(),
            inputs: inputs.collect(),
            open: tried.is_some() || view.step.as_ref() == Some(&step.event),
            grave: matches!(
                step.event.as_str(),
                "withdraw" | "refuse" | "restrict" | "discard"
            ),
        };
        if is_usual {
            next = Some(offer);
        } else {
            others.push(offer);
        }
    }
    others.sort_by_key(|offer| offer.grave);
    (next, others)
}

/// What became of a step.
enum Taken {
    Done,
    Wrong(Box<RecordPage>),
}

/// Takes a step.
pub(super) async fn step(
    State(app): State<App>,
    session: Session,
    Path((id, event)): Path<(String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let typed = fields::from_pairs(pairs);
    let author = Author {
        account: session.account.id.clone(),
        now_ms: clock::now_ms(),
    };
    let back = format!("/records/{id}?note=done");
    let taken = app
        .write(move |journal, connection| {
            let key = records::find(connection, &id)?;
            let gathered = gather_written(connection, journal, key)?;
            let content = gathered.content(journal.authority());
            let kind = super::page::kind_of(&content.kind)?;
            let known = kind.transition(&event);
            let step =
                known.ok_or_else(|| Error::new(Code::StepRefused, "there is no such step"))?;
            let mut input = fields::to_json(step.data.iter(), &typed);
            if let Value::Object(fields) = &mut input {
                fields.remove(HUB_NO);
            }
            // The catalogue judges it twice: here for words beside the fields, in the save for good.
            let mut judged = input.clone();
            if let (Value::Object(fields), true) = (
                &mut judged,
                step.data.iter().any(|field| field.key == HUB_NO),
            ) {
                fields.insert(HUB_NO.to_owned(), Value::from("1"));
            }
            if let Err(refusals) = kind.read_event(&event, &judged) {
                let attempt = Attempt {
                    event: &event,
                    typed: &typed,
                    refusals: &refusals,
                };
                let view = View::default();
                let who = (&session, &line);
                let page = build(connection, journal, who, &id, &view, Some(&attempt))?;
                return Ok(Taken::Wrong(Box::new(page)));
            }
            save::act(connection, journal, key, &event, &input, &author)?;
            Ok(Taken::Done)
        })
        .await?;
    match taken {
        Taken::Done => Ok(go(&back)),
        Taken::Wrong(page) => Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&*page)?).into_response()),
    }
}

// ---- corrections ----

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    page: Page,
    id: String,
    number: String,
    title: String,
    words: String,
    inputs: Vec<Input>,
    faults: Vec<fields::Fault>,
}

/// The fields that can be corrected: the form's, but for the resident's own words. Those stay as they were
/// registered; what is to be added is added as a step.
fn correctable(kind: &Kind) -> impl Iterator<Item = &Field> {
    fields::of_form(kind).filter(|field| kind.title_from.as_ref() != Some(&field.key))
}

fn edit_page(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    id: &str,
    attempt: Option<(&Typed, &[Refusal])>,
) -> Result<EditPage> {
    let key = records::find(connection, id)?;
    let content = gather_written(connection, journal, key)?.content(journal.authority());
    let kind = super::page::kind_of(&content.kind)?;
    let number = content.number.clone().unwrap_or_default();
    let page = Page::new(
        connection,
        journal,
        session,
        line,
        ("/records", number.clone()),
    )?;
    let now = fields::typed(correctable(kind), &content.fields);
    let (typed, refusals) = attempt.unwrap_or((&now, &[]));
    let inputs = correctable(kind).map(|field| fields::input(field, typed, refusals, page.lang));
    let words = kind.title_from.as_ref();
    let words = words
        .and_then(|key| content.fields.get(key))
        .and_then(Value::as_str);
    Ok(EditPage {
        id: id.to_owned(),
        number,
        title: content.title.clone().unwrap_or_default(),
        words: words.unwrap_or_default().to_owned(),
        inputs: inputs.collect(),
        faults: fields::faults(correctable(kind), refusals, page.lang),
        page,
    })
}

/// The form for corrections.
pub(super) async fn edit(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |journal, connection| {
            edit_page(connection, journal, (&session, &line), &id, None)
        })
        .await?;
    html(&page)
}

/// Corrects a record: only what is different is written, so that others' corrections stay.
pub(super) async fn change(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let typed = fields::from_pairs(pairs);
    let author = Author {
        account: session.account.id.clone(),
        now_ms: clock::now_ms(),
    };
    let back = format!("/records/{id}?note=done");
    let wrong = app
        .write(move |journal, connection| {
            let key = records::find(connection, &id)?;
            let content = gather_written(connection, journal, key)?.content(journal.authority());
            let kind = super::page::kind_of(&content.kind)?;
            let before = fields::typed(correctable(kind), &content.fields);
            let input = difference(kind, &before, &typed);
            let judged = kind.read_edit(&input);
            match judged {
                Ok(draft) if draft.facts.is_empty() && draft.texts.is_empty() => Ok(None),
                Ok(draft) => {
                    save::set(connection, journal, key, &draft, &author)?;
                    Ok(None)
                }
                Err(refusals) => {
                    let attempt = Some((&typed, refusals.as_slice()));
                    let who = (&session, &line);
                    edit_page(connection, journal, who, &id, attempt).map(Some)
                }
            }
        })
        .await?;
    match wrong {
        None => Ok(go(&back)),
        Some(page) => Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response()),
    }
}

/// What an edit's form changes, as JSON; a field that was emptied is cleared.
fn difference(kind: &Kind, before: &Typed, typed: &Typed) -> Value {
    let is_blank = |values: Option<&Vec<String>>| {
        values.is_none_or(|values| values.iter().all(|value| value.trim().is_empty()))
    };
    let same = |field: &Field| {
        let (old, new) = (before.get(&field.key), typed.get(&field.key));
        let normal = |values: Option<&Vec<String>>| {
            let values = values.into_iter().flatten();
            values
                .map(|it| it.trim().replace("\r\n", "\n"))
                .collect::<Vec<_>>()
        };
        (is_blank(old) && is_blank(new)) || normal(old) == normal(new)
    };
    // A box that is not ticked sends nothing.
    let mut typed = typed.clone();
    for field in correctable(kind) {
        if field.kind == lianxin_protocol::catalogue::FieldType::Bool {
            let off = || vec!["false".to_owned()];
            typed.entry(field.key.clone()).or_insert_with(off);
        }
    }
    let off = |field: &Field| {
        field.kind == lianxin_protocol::catalogue::FieldType::Bool
            && is_blank(before.get(&field.key))
            && typed
                .get(&field.key)
                .is_some_and(|it| it.iter().all(|it| it == "false"))
    };
    let changed = correctable(kind).filter(|field| !same(field) && !off(field));
    fields::to_json(changed, &typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_correction_names_only_what_is_different() {
        let kind = Catalogue::standard().kind("opinion").unwrap();
        let held = json!({
            "category": "help", "urgency": "normal", "people_count": 2, "test_data": true,
            "place": {"community": "测试社区"}, "deputies": ["甲", "乙"],
        });
        let Value::Object(held) = held else { return };
        let before = fields::typed(correctable(kind), &held);
        let mut typed = before.clone();
        assert_eq!(difference(kind, &before, &typed), json!({}));
        typed.insert("urgency".to_owned(), vec!["urgent".to_owned()]);
        typed.insert("place.community".to_owned(), vec![String::new()]);
        typed.insert("deputies".to_owned(), vec!["甲\r\n乙".to_owned()]);
        typed.remove("test_data");
        let changed = difference(kind, &before, &typed);
        assert_eq!(
            changed,
            json!({ "urgency": "urgent", "place": {"community": ""}, "test_data": false })
        );
        assert!(kind.read_edit(&changed).is_ok());
        assert!(correctable(kind).all(|field| field.key != "body"));
    }

    #[test]
    fn the_usual_next_step_is_offered_to_whom_it_belongs() {
        let kind = Catalogue::standard().kind("opinion").unwrap();
        let steps = |acts: &BTreeSet<Actor>| -> Vec<String> {
            let next = next_for(kind, acts);
            next.iter()
                .map(|(status, step)| format!("{}>{}", status.code, step.event))
                .collect()
        };
        use lianxin_protocol::authority::Role;
        assert_eq!(steps(&acts_for(Some(Role::Station))), ["answered>inform"]);
        let office = steps(&acts_for(Some(Role::Operator)));
        assert_eq!(
            office.first().map(String::as_str),
            Some("registered>accept")
        );
        assert!(office.contains(&"accepted>dispatch".to_owned()));
    }
}
