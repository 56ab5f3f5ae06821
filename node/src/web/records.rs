//! One record: what it holds, its way, its signed history, its receipts, and the steps that lead on.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{
    self, Catalogue, Fact, Field, FieldType, Kind, Outcome, Refusal, Retention, Role, Transition,
};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::short;
use lianxin_protocol::request::Outcome as RequestOutcome;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::choices::Choices;
use super::conflicts::{self, Conflict};
use super::fields::{self, Input};
use super::list::{Due, due};
use super::page::{self, Answer, Page, Session, go, html, known};
use super::related::{self, Begin, Related};
use super::sheet::{About, Sheet, Under};
use super::shown::{self, Shown};
use super::sync::{self, Why};
use super::words::Lang;
use super::{App, Line};
use crate::accounts;
use crate::clock;
use crate::drafts::{self, Draft, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal, Overview};
use crate::records::delivery::State as Reached;
use crate::records::save;
use crate::records::{self, Content, Gathered, Record};
use crate::requests::{self, Asked};

/// The hub's case number: filled in by the hub, never typed.
const HUB_NO: &str = "hub_no";

/// How somebody is told, and how they wanted to be.
const WAY: &str = "way";
const WANTED: &str = "reply_wanted";

/// A fact with its label, and the records that it names.
struct Said {
    label: String,
    value: String,
    links: Vec<(String, String)>,
}

impl Said {
    /// Whether it needs the whole width.
    fn is_long(&self) -> bool {
        const LONG_CHARS: usize = 40;
        self.value.chars().count() > LONG_CHARS
    }

    fn new(label: String, value: String) -> Self {
        let links = Vec::new();
        Self {
            label,
            value,
            links,
        }
    }
}

/// What was answered.
struct Reply {
    text: String,
    /// What came of the matter.
    result: String,
    /// Who answered, and when.
    by: String,
}

/// A rung of the handling.
struct Rung {
    word: String,
    /// `done`, `now` or `todo`.
    stage: &'static str,
    /// When it was reached, or whose turn it is.
    said: String,
    mine: bool,
}

/// Whom to tell, and how they can be reached.
struct Tell {
    said: String,
    name: String,
    phone: String,
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
    under: Under,
}

/// What was typed for a step that is not offered any more.
struct LeftOver {
    draft: String,
    label: String,
    words: Vec<Said>,
}

/// A step that was not taken.
struct Undone {
    said: String,
    /// What was typed for it, where the step is not offered any more.
    words: Vec<Said>,
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
    reply: Option<Reply>,
    rungs: Vec<Rung>,
    /// When the hub had all of it; nothing as long as it has not.
    synced: Option<String>,
    tell: Option<Tell>,
    mine: bool,
    printed: String,
    facts: Vec<Said>,
    person: Vec<Said>,
    steps: Vec<Step>,
    changes: Vec<Change>,
    proofs: Vec<Proof>,
    next: Option<Offer>,
    offers: Vec<Offer>,
    undone: Option<Undone>,
    left_over: Vec<LeftOver>,
    related: Vec<Related>,
    /// Where another of its kind is begun.
    begun: Option<Begin>,
    /// Whether somebody is given a slip for it.
    slip: bool,
    conflicts: Vec<Conflict>,
    asked: Vec<Request>,
    why: Option<Why>,
    editable: bool,
    test_data: bool,
    /// What is said of a record that does not count, or that stands for another, with the other's address.
    places: Vec<(String, String)>,
    /// The changes that it waits for.
    waits_for: Vec<String>,
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

impl View {
    fn tab(&self) -> &'static str {
        match self.tab.as_deref() {
            Some("way") => "way",
            Some("history") => "history",
            Some("receipts") => "receipts",
            _ => "content",
        }
    }

    fn note(&self) -> &'static str {
        match self.note.as_deref() {
            Some("new") => "new",
            Some("again") => "again",
            Some("done") => "done",
            _ => "",
        }
    }
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
        .read(move |books, connection| {
            build(connection, books, (&session, &line), &id, &view, None)
        })
        .await?;
    html(&record)
}

/// What was typed for a step, and what is wrong with it.
struct Attempt<'a> {
    step: &'a Transition,
    typed: &'a Typed,
    refusals: &'a [Refusal],
    under: Under,
    /// Why nothing was done, where that is no matter of the fields.
    said: Option<String>,
}

fn build(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    id: &str,
    view: &View,
    attempt: Option<&Attempt<'_>>,
) -> Result<RecordPage> {
    let lang = session.lang();
    let key = records::find(connection, id)?;
    let record = Record::read(connection, books, key)?;
    let (content, kind) = (&record.content, record.kind);
    // The address names the tab and the browser's history shows titles: the number is enough there.
    let heading = content.number.clone();
    let heading = heading.unwrap_or_else(|| lang.say("record", &[]));
    let page = Page::new(connection, books, session, line, ("/records", heading))?;
    let who = Who(accounts::names(connection)?);
    let member = books.authority().members().get(&books.identity().key());
    let why = sync::why((record.reached, record.reason), line, member, lang);
    let (facts, person, words) = facts(connection, kind, content, &page);
    let requests = requests::of_record(connection, key)?;
    let data = kind.into_iter().flat_map(|kind| &kind.transitions);
    let named = Choices::of(connection, books, data.flat_map(|step| &step.data))?;
    let kept = drafts::about(connection, &session.account.id, &format!("step/{id}/"))?;
    let (next, offers) = offers(&record, &requests, (view, attempt, &named), &kept, &page)?;
    let tried = attempt.and_then(|attempt| {
        let mut offered = next.iter().chain(&offers);
        undone(
            attempt,
            offered.any(|it| it.event == attempt.step.event),
            lang,
        )
    });
    let offered = next.iter().chain(&offers).map(|it| it.event.as_str());
    let tried_now = attempt.map(|attempt| attempt.step.event.as_str());
    let shown_events = offered.chain(tried_now).collect();
    let unsent = left_over(kind, &kept, &shown_events, lang);
    let again = record.gathered.again().is_some();
    let mine = next.is_some();
    let arrived = matches!(
        record.state,
        Reached::Merged | Reached::Answered | Reached::Refused
    );
    Ok(RecordPage {
        reply: kind.and_then(|kind| reply(connection, content, kind, &page)),
        rungs: kind
            .filter(|_| record.counts() && arrived)
            .map(|kind| rungs(content, kind, mine, &page))
            .unwrap_or_default(),
        synced: arrived.then(|| synced(&record, &page)),
        tell: kind.and_then(|kind| tell(next.as_ref(), content, kind, &page)),
        mine,
        printed: shown::moment(page.now_ms, lang),
        related: related::of(connection, books, &record, &page)?,
        begun: kind
            .filter(|kind| page.actor.creates(kind) && kind.parent.is_none())
            .map(|kind| Begin {
                href: format!("/new/{}", kind.code),
                said: page.with("saved-another", page.label(&kind.label)),
            }),
        slip: !again && kind.is_some_and(|kind| kind.field("identity_mode").is_some()),
        asked: asked(&requests, books, kind, &who, lang),
        id: record.id.hyphenated(),
        number: content.number.clone().unwrap_or_default(),
        kind: kind.map_or_else(
            || content.kind.clone(),
            |it| lang.label(&it.label).to_owned(),
        ),
        status: shown::status(kind, &record.status, lang),
        state: standing(&record, lang),
        tab: view.tab(),
        note: view.note(),
        recorded: record
            .row
            .as_ref()
            .map(|row| shown::moment(row.recorded_ms(), lang))
            .unwrap_or_default(),
        due: due(&content.facts, kind, &content.status, &page),
        words,
        facts,
        person,
        steps: steps(connection, books, (content, kind), &who, lang),
        changes: changes(books, record.gathered.written(), kind, &who, lang),
        proofs: proofs(&record, lang),
        next,
        offers,
        undone: tried,
        left_over: unsent,
        conflicts: conflicts::of(content, kind, books, lang),
        // Nothing has to be done about what stands elsewhere.
        why: why.filter(|_| !again),
        places: places(connection, &record.gathered, content, &page)?,
        waits_for: waits_for(books, &record.gathered, lang),
        editable: kind.is_some()
            && record.counts()
            && content.waiting == 0
            && save::may_edit(books, &record.gathered),
        test_data: record.is_test(),
        waiting: content.waiting,
        unreadable: !content.unreadable.is_empty(),
        title: shown::title(kind, record.title.as_deref(), lang),
        page,
    })
}

/// How far it has come; of a record that another stands for, it says so.
fn standing(record: &Record, lang: Lang) -> Shown {
    let shown = Shown::of(record.state, lang);
    match record.gathered.again() {
        None => shown,
        Some(_) => Shown {
            means: lang.say("row-again-means", &[]),
            ..shown
        },
    }
}

/// Whether a record in this status has an answer that whoever brought the matter is told or was told.
fn is_answered(kind: &Kind, status: &str) -> bool {
    let tells = |code: &str| {
        let told = kind.status(code).and_then(|status| status.tells.as_deref());
        told == Some("answered")
    };
    let next = kind
        .status(status)
        .and_then(|status| status.next.as_deref());
    let next = next.and_then(|event| kind.transition(event));
    tells(status) || next.and_then(|step| step.to.as_deref()).is_some_and(tells)
}

/// The answer, once it may be told: the last text that a step gave which leads to one or makes one.
fn reply(connection: &Connection, content: &Content, kind: &Kind, page: &Page) -> Option<Reply> {
    const TEXT: &str = "text";
    if !is_answered(kind, &content.status) {
        return None;
    }
    let answers = |event: &str| {
        kind.transition(event).is_some_and(|step| {
            let makes = step.makes.as_ref().is_some_and(|make| make.kind == "reply");
            // What goes on from an answer, such as telling of it, carries no other.
            let leads = step.to.as_deref().filter(|to| {
                let told = kind.status(to).is_some_and(|status| status.tells.is_some());
                !told && is_answered(kind, to)
            });
            makes || leads.is_some()
        })
    };
    let applied = |outcome: &Outcome| matches!(outcome, Outcome::Applied { .. });
    let events = content.events.iter().rev();
    let mut events = events.filter(|event| applied(&event.outcome) && answers(&event.event));
    let at_ms = events.clone().next()?.at_ms;
    let text = events.find_map(|event| event.data.get(TEXT)?.as_str())?;
    let said = |key: &str| {
        let field = kind.field(key)?;
        let value = held(&content.fields, key)?;
        let mut links = links(connection, field, value, page.lang).into_iter();
        let name = links.next().map(|(name, _)| name);
        Some(name.unwrap_or_else(|| shown::value(Some(field), value, page.lang)))
    };
    let at = shown::at(u64::try_from(at_ms).ok()?, page.now_ms, page.lang);
    Some(Reply {
        text: text.to_owned(),
        result: said("resolution").unwrap_or_default(),
        by: said("lead")
            .into_iter()
            .chain([at])
            .collect::<Vec<_>>()
            .join(" · "),
    })
}

/// The rungs of its kind, those left out that it has passed by.
fn rungs(content: &Content, kind: &Kind, mine: bool, page: &Page) -> Vec<Rung> {
    let lang = page.lang;
    let reached = |rung: &catalogue::Rung| {
        let events = content.events.iter().filter(|event| {
            rung.by.contains(&event.event) && matches!(event.outcome, Outcome::Applied { .. })
        });
        events.map(|event| event.at_ms).max()
    };
    let all: Vec<_> = kind
        .rungs
        .iter()
        .map(|rung| (rung, reached(rung)))
        .collect();
    let last = all.iter().rposition(|(_, at)| at.is_some());
    let passed = |at: usize| last.is_some_and(|last| at < last);
    let open = kind.is_open(&content.status);
    let refused = kind.status(&content.status);
    let refused = refused.is_some_and(|status| status.tells.as_deref() == Some("refused"));
    let mut rungs = Vec::new();
    for (at, (rung, reached)) in all.iter().enumerate() {
        let word = lang.label(&rung.label).to_owned();
        let day = |at_ms: i64| {
            let at_ms = u64::try_from(at_ms).unwrap_or_default();
            shown::short_day(at_ms, page.now_ms, lang)
        };
        let stage = match reached {
            Some(_) => "done",
            None if passed(at) => continue,
            // Where the matter has ended otherwise, nothing follows.
            None if refused || !open => break,
            None if rungs.iter().all(|rung: &Rung| rung.stage == "done") => "now",
            None => "todo",
        };
        let mine = mine && stage == "now";
        rungs.push(Rung {
            said: match reached {
                Some(at_ms) => day(*at_ms),
                None if mine => page.t("home-todo"),
                None => String::new(),
            },
            word,
            stage,
            mine,
        });
    }
    if !rungs.is_empty() && (refused || !open) && last.is_none_or(|last| last + 1 < all.len()) {
        rungs.push(Rung {
            word: shown::status(Some(kind), &content.status, lang),
            stage: "now",
            said: if mine {
                page.t("home-todo")
            } else {
                String::new()
            },
            mine,
        });
    }
    rungs
}

/// That the hub has it, and since when.
fn synced(record: &Record, page: &Page) -> String {
    let since = record.receipts.iter().map(|receipt| receipt.received_at_ms);
    let since = since.max().or(record.received_ms);
    match since {
        Some(at_ms) => page.with("synced-at", &shown::at(at_ms, page.now_ms, page.lang)),
        None => page.t("synced"),
    }
}

/// Whom to tell, for a step by which somebody is told.
fn tell(next: Option<&Offer>, content: &Content, kind: &Kind, page: &Page) -> Option<Tell> {
    let step = kind.transition(&next?.event)?;
    let to = step.to.as_deref().and_then(|to| kind.status(to))?;
    to.tells.as_ref()?;
    step.data.iter().find(|field| field.key == WAY)?;
    let text = |key: &str| held(&content.fields, key).and_then(Value::as_str);
    let wanted = text(WANTED).unwrap_or("none");
    let name = text("person.call_name").or_else(|| text("person.name"));
    Some(Tell {
        said: page.t(&format!("tell-{wanted}")),
        name: name.unwrap_or_default().to_owned(),
        phone: text("person.phone").unwrap_or_default().to_owned(),
    })
}

/// What a step begins with: how whoever brought the matter wanted to be told, and today.
fn begun(step: &Transition, content: &Content, page: &Page) -> Typed {
    let mut typed = Typed::new();
    for field in &step.data {
        let given = match field.key.as_str() {
            WAY => {
                let wanted = content.fields.get(WANTED).and_then(Value::as_str);
                wanted.filter(|it| *it != "none").map(str::to_owned)
            }
            "on" => Some(clock::Beijing::of(page.now_ms).iso_date()),
            _ => None,
        };
        typed.extend(given.map(|given| (field.key.clone(), vec![given])));
    }
    typed
}

/// The receipts that cover it.
fn proofs(record: &Record, lang: Lang) -> Vec<Proof> {
    let proofs = record.receipts.iter().map(|receipt| Proof {
        log: receipt.log.to_string().chars().take(12).collect(),
        stored: receipt.stored.len,
        judged: receipt.judged_len,
        at: shown::moment(receipt.received_at_ms, lang),
    });
    proofs.collect()
}

/// What stands in whose place, with addresses.
fn places(
    connection: &Connection,
    gathered: &Gathered,
    content: &Content,
    page: &Page,
) -> Result<Vec<(String, String)>> {
    let text = |key: &str| content.fields.get(key).and_then(Value::as_str);
    let mut places = Vec::new();
    if let Some(again) = gathered.again() {
        let id = again.hyphenated();
        let row = records::find(connection, &id).ok();
        let row = records::rows(connection, row.as_slice())?.pop();
        let number = row.and_then(|row| row.number).unwrap_or_default();
        places.push((page.with("record-again", &number), format!("/records/{id}")));
    }
    if let (Some(old), None) = (text("supersedes"), gathered.held()) {
        let said = match text("former_number") {
            Some(former) => page.with("record-stands-renumbered", former),
            None => page.t("record-stands"),
        };
        // The other may be on another computer alone.
        let here = records::find(connection, old).is_ok();
        let href = here.then(|| format!("/records/{old}"));
        places.push((said, href.unwrap_or_default()));
    }
    Ok(places)
}

/// What a record waits for, each change by whoever wrote it or, where it is not here, by its digest.
fn waits_for(overview: &Overview, gathered: &Gathered, lang: Lang) -> Vec<String> {
    let waits = gathered
        .missing()
        .iter()
        .map(|(change, place)| match place {
            Some(place) => {
                let device = shown::device(overview.authority(), &place.device);
                let with = [("device", device.into()), ("entry", (place.seq + 1).into())];
                lang.say("record-waits-place", &with)
            }
            None => {
                let [a, b, c, d, ..] = *change;
                let digits = Hex(&[a, b, c, d]).to_string();
                lang.say("record-waits-change", &[("text", digits.into())])
            }
        });
    waits.collect()
}

/// Names of accounts.
struct Who(BTreeMap<String, String>);

impl Who {
    /// Who did something, in which role, and on which device. For a step that the hub took for an operator, the operator's device is
    /// named, not the hub's.
    fn name(&self, by: Option<&str>, role: Option<&str>, device: Option<String>) -> String {
        let (account, asker) = by.map_or(("", None), requests::asker);
        let name = self.0.get(account).cloned();
        let device = asker.map(str::to_owned).or(device);
        let said = name
            .into_iter()
            .chain(role.map(str::to_owned))
            .chain(device);
        said.collect::<Vec<_>>().join(" · ")
    }
}

/// A record's way.
fn steps(
    connection: &Connection,
    overview: &Overview,
    (content, kind): (&Content, Option<&Kind>),
    who: &Who,
    lang: Lang,
) -> Vec<Step> {
    let steps = content.events.iter().map(|event| {
        let step = kind.and_then(|kind| kind.transition(&event.event));
        let data = event.data.iter().map(|(key, value)| {
            let plain = key.split_once('/').map_or(key.as_str(), |(set, _)| set);
            let field = step.and_then(|step| step.data.iter().find(|field| field.key == plain));
            let label = field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned());
            let value = shown::value(field, value, lang);
            let named = field.map(Field::names).unwrap_or_default();
            let item = key.split_once('/').map(|(_, item)| item);
            let text = item.unwrap_or(value.as_str());
            let value = match records::named(connection, text, named) {
                Ok(Some(row)) => shown::title(None, row.title.as_deref(), lang),
                _ if item.is_some() => text.to_owned(),
                _ => value,
            };
            Said::new(label, value)
        });
        let device = event
            .device
            .map(|key| shown::device(overview.authority(), &key));
        let role = event.role.map(Role::label);
        Step {
            label: step.map_or_else(
                || event.event.clone(),
                |step| lang.label(&step.label).to_owned(),
            ),
            at: shown::moment(u64::try_from(event.at_ms).unwrap_or_default(), lang),
            who: who.name(
                Some(&event.by),
                role.as_ref().map(|it| lang.label(it)),
                device,
            ),
            data: data.filter(|line| !line.value.is_empty()).collect(),
            void: match &event.outcome {
                Outcome::Applied { .. } => None,
                Outcome::Void { reason } => Some(lang.label(&reason.label()).to_owned()),
            },
        }
    });
    steps.collect()
}

/// Its signed history, newest first.
fn changes(
    overview: &Overview,
    gathered: &Gathered,
    kind: Option<&Kind>,
    who: &Who,
    lang: Lang,
) -> Vec<Change> {
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let devices: BTreeMap<String, String> = overview
        .authority()
        .members()
        .iter()
        .map(|(key, member)| (short(key), member.grant.device_code.clone()))
        .collect();
    let history = records::history(gathered, str::to_owned);
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
            who: who.name(text(change, "account").as_deref(), None, device),
            what: named.join("、"),
            verified: change.get("verified") == Some(&Value::Bool(true)),
        }
    });
    changes.collect()
}

/// What was asked of the hub about it and not granted.
fn asked(
    requests: &[Asked],
    overview: &Overview,
    kind: Option<&Kind>,
    who: &Who,
    lang: Lang,
) -> Vec<Request> {
    let mut asked = Vec::new();
    for it in requests {
        let (id, refused) = match &it.answer {
            None => ("request-open", false),
            Some((RequestOutcome::Refused(_), _)) => ("request-refused", true),
            Some(_) => continue,
        };
        let (_, event) = it.wanted.words();
        let step = kind.and_then(|kind| kind.transition(event));
        let device = shown::device(overview.authority(), &it.device);
        asked.push(Request {
            said: lang.say(id, &[]),
            what: step.map_or_else(|| event.to_owned(), |it| lang.label(&it.label).to_owned()),
            who: who.name(Some(&it.account), None, Some(device)),
            at: shown::moment(it.at_ms, lang),
            refused,
        });
    }
    asked
}

fn rfc3339_shown(at: &str, lang: Lang) -> String {
    clock::unix_ms(at).map_or_else(|| at.to_owned(), |ms| shown::moment(ms, lang))
}

/// The value of a field in nested JSON.
fn held<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => fields.get(key),
        Some((group, name)) => fields.get(group)?.get(name),
    }
}

type Facts = (Vec<Said>, Vec<Said>, Option<Said>);

/// What a record holds, in the order of its form, then what its handling has added. Who said it stands apart, and so do the
/// resident's own words.
fn facts(connection: &Connection, kind: Option<&Kind>, content: &Content, page: &Page) -> Facts {
    let lang = page.lang;
    let Some(kind) = kind else {
        // A kind of a newer version: as it is.
        let facts = content
            .fields
            .iter()
            .map(|(key, value)| Said::new(key.clone(), shown::value(None, value, lang)));
        return (facts.collect(), Vec::new(), None);
    };
    let fact = |field: &Field| {
        let held = held(&content.fields, &field.key)?;
        let value = shown::value(Some(field), held, lang);
        let label = lang.label(&field.label).to_owned();
        if value.is_empty() {
            return None;
        }
        let mut said = Said::new(label, value);
        said.links = links(connection, field, held, lang);
        Some(said)
    };
    let apart = |field: &&Field| {
        let own_words = kind.words.as_ref() == Some(&field.key);
        let title = kind.title.as_ref() == Some(&field.key);
        // That it is no real one stands beside its title.
        let test = field.key == "test_data";
        !own_words && !title && !test && field.retention != Some(Retention::Card)
    };
    let envelope = [
        "id",
        "number",
        "status",
        "site_id",
        "device_id",
        "state",
        "events",
    ];
    // What nobody chose says nothing, unless the form asks for it.
    let folded = kind.sections.iter().filter(|section| section.folded);
    let folded: BTreeSet<_> = folded.flat_map(|section| &section.fields).collect();
    let chosen = |field: &&Field| {
        let default = field.default.as_ref().map(Fact::to_json);
        default.is_none() || default.as_ref() != held(&content.fields, &field.key)
    };
    let sections = kind.sections.iter().flat_map(|section| &section.fields);
    let placed: Vec<_> = sections.collect();
    let form = placed
        .iter()
        .filter_map(|key| kind.fields.iter().find(|field| field.key == **key))
        .filter(|field| !folded.contains(&field.key) || chosen(field));
    let rest = kind.fields.iter().filter(|field| {
        chosen(field) && !placed.contains(&&field.key) && !envelope.contains(&field.key.as_str())
    });
    let facts = form.chain(rest).filter(apart).filter_map(fact).collect();
    let card = kind
        .fields
        .iter()
        .filter(|field| field.retention == Some(Retention::Card));
    let words = kind
        .words
        .as_ref()
        .and_then(|key| kind.field(key))
        .and_then(fact);
    let title = kind.title.as_ref();
    let card = card.filter(|field| title != Some(&field.key));
    (facts, card.filter_map(fact).collect(), words)
}

/// What a field names, with the addresses of what of it is here. Nothing, if nothing of it is: its value says it.
fn links(
    connection: &Connection,
    field: &Field,
    held: &Value,
    lang: Lang,
) -> Vec<(String, String)> {
    if field.names().is_empty() {
        return Vec::new();
    }
    let items = match held {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut here = false;
    let named = items.iter().filter_map(Value::as_str).map(|text| {
        match records::named(connection, text, field.names()) {
            Ok(Some(row)) => {
                here = true;
                let kind = Catalogue::standard().kind(&row.kind);
                let title = shown::title(kind, row.title.as_deref(), lang);
                let name = match &row.number {
                    Some(number) => format!("{title} {number}"),
                    None => title,
                };
                (name, format!("/records/{}", row.id.hyphenated()))
            }
            _ => (text.to_owned(), String::new()),
        }
    });
    let named = named.collect();
    if here { named } else { Vec::new() }
}

/// The steps that this person may take, the usual one apart.
fn offers(
    record: &Record,
    requests: &[Asked],
    (view, attempt, named): (&View, Option<&Attempt<'_>>, &Choices),
    drafts: &[Draft],
    page: &Page,
) -> Result<(Option<Offer>, Vec<Offer>)> {
    let content = &record.content;
    let kind = record.kind.filter(|_| record.counts());
    let Some(kind) = kind.filter(|_| content.waiting == 0) else {
        return Ok((None, Vec::new()));
    };
    let usual = kind.statuses.iter().find(|status| {
        let folded = status.stands_for.as_ref().unwrap_or(&status.code);
        *folded == content.status && status.next.is_some()
    });
    let usual = usual.and_then(|status| status.next.as_deref());
    let mut next = None;
    let mut others = Vec::new();
    let times = |step: &str| content.times(step);
    let offered = kind.offered(&content.status, page.actor.roles(), times);
    // What was asked of the hub is not asked again while it is open.
    for step in offered.filter(|step| !requests::is_open_for(requests, &step.event)) {
        let tried = attempt.filter(|attempt| attempt.step.event == step.event);
        let about = About::Step(record.id.hyphenated(), step.event.clone());
        let kept = drafts.iter().find(|draft| draft.kind == about.text());
        let begun = begun(step, content, page);
        let (typed, refusals) = match (tried, kept) {
            (Some(tried), _) => (tried.typed, tried.refusals),
            (None, Some(kept)) => (&kept.typed, [].as_slice()),
            (None, None) => (&begun, [].as_slice()),
        };
        let inputs = step.data.iter().filter(|field| field.key != HUB_NO);
        let inputs = inputs.map(|field| fields::input(field, named, typed, refusals, page.lang));
        let is_usual = usual == Some(step.event.as_str());
        let offer = Offer {
            event: step.event.clone(),
            label: page.label(&step.label).to_owned(),
            inputs: inputs.collect(),
            open: tried.is_some() || kept.is_some() || view.step.as_ref() == Some(&step.event),
            grave: matches!(
                step.event.as_str(),
                "withdraw" | "refuse" | "restrict" | "discard"
            ),
            under: match tried {
                Some(tried) => tried.under.clone(),
                None => Under::of(&about, kept)?,
            },
        };
        if is_usual {
            next = Some(offer);
        } else {
            others.push(offer);
        }
    }
    others.sort_by_key(|offer| offer.grave);
    Ok((next, others))
}

/// What was typed for steps that are not offered any more.
fn left_over(
    kind: Option<&Kind>,
    kept: &[Draft],
    offered: &BTreeSet<&str>,
    lang: Lang,
) -> Vec<LeftOver> {
    let mut left = Vec::new();
    for draft in kept {
        let Ok(About::Step(_, event)) = About::parse(&draft.kind) else {
            continue;
        };
        let step = kind.and_then(|kind| kind.transition(&event));
        if let Some(step) = step.filter(|_| !offered.contains(event.as_str())) {
            left.push(LeftOver {
                draft: draft.id.clone(),
                label: lang.label(&step.label).to_owned(),
                words: typed_words(step, &draft.typed, lang),
            });
        }
    }
    left
}

/// What was typed for a step, in words.
fn typed_words(step: &Transition, typed: &Typed, lang: Lang) -> Vec<Said> {
    let words = step.data.iter().filter_map(|field| {
        let value = typed.get(&field.key)?.join("\n");
        let value = match &field.kind {
            FieldType::Enum { .. } => shown::value(Some(field), &Value::from(value), lang),
            _ => value,
        };
        (!value.trim().is_empty()).then(|| Said {
            label: lang.label(&field.label).to_owned(),
            value,
            links: Vec::new(),
        })
    });
    words.collect()
}

/// What is said of a step that was not taken. What was typed for it stands in its form, or here if that is not offered any more.
fn undone(attempt: &Attempt<'_>, offered: bool, lang: Lang) -> Option<Undone> {
    if offered && attempt.said.is_none() {
        return None;
    }
    Some(Undone {
        said: match &attempt.said {
            Some(said) => said.clone(),
            None => page::sentence(Code::StepRefused, lang),
        },
        words: if offered {
            Vec::new()
        } else {
            typed_words(attempt.step, attempt.typed, lang)
        },
    })
}

/// What became of a step.
enum Taken {
    Done,
    Wrong(StatusCode, Box<RecordPage>),
}

/// Takes a step, once for each form that was shown. What cannot be carried out is kept as a draft and shown again.
pub(super) async fn step(
    State(app): State<App>,
    session: Session,
    Path((id, event)): Path<(String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let sheet = Sheet::of(pairs)?;
    let back = format!("/records/{id}?note=done");
    let taken = app
        .write(move |journal, connection| {
            take(
                connection,
                journal,
                (&session, &line),
                (&id, &event),
                &sheet,
            )
        })
        .await?;
    match taken {
        Taken::Done => Ok(go(&back)),
        Taken::Wrong(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

fn take(
    connection: &Connection,
    journal: &mut Journal,
    who: (&Session, &Line),
    (id, event): (&str, &str),
    sheet: &Sheet,
) -> Result<Taken> {
    let (key, _, kind) = known(connection, journal, id)?;
    let step = kind.transition(event);
    let step = step.ok_or_else(|| Error::new(Code::StepRefused, "there is no such step"))?;
    let about = About::Step(id.to_owned(), event.to_owned());
    let text = about.text();
    let submission = sheet.submission(&text);
    let first = match submission.known(connection) {
        Ok(Some(_)) => return Ok(Taken::Done),
        Ok(None) => true,
        // Somebody went back, wrote something else and sent that: it is a step of its own.
        Err(error) if error.code() == Code::OtherContent => false,
        Err(error) => return Err(error),
    };
    let named = Choices::of(connection, journal, step.data.iter())?;
    let given = named.ids(step.data.iter(), &sheet.typed);
    let mut input = fields::to_json(step.data.iter(), &given);
    if let Value::Object(fields) = &mut input {
        fields.remove(HUB_NO);
    }
    let author = who.0.author(connection, journal)?;
    let account = author.actor.account();
    // Judged twice: here for words beside the fields, in the save for good.
    let (refusals, said) = match save::read_step(kind, event, &input) {
        Err(refusals) => (refusals, None),
        Ok(_) => match requests::act(connection, journal, key, (event, &input), &author) {
            Ok(saved) => {
                if first {
                    submission.keep(connection, &saved.id)?;
                }
                drafts::discard(connection, account, &sheet.id)?;
                return Ok(Taken::Done);
            }
            Err(error) if error.leaves_nothing() => (Vec::new(), Some(error)),
            Err(error) => return Err(error),
        },
    };
    let status = said
        .as_ref()
        .map_or(StatusCode::UNPROCESSABLE_ENTITY, page::status_of);
    let attempt = Attempt {
        step,
        typed: &sheet.typed,
        refusals: &refusals,
        under: sheet.undone(connection, account, &about, author.now_ms)?,
        said: said.map(|error| page::sentence(error.code(), who.0.lang())),
    };
    let view = View::default();
    let page = build(connection, journal, who, id, &view, Some(&attempt))?;
    Ok(Taken::Wrong(status, Box::new(page)))
}
