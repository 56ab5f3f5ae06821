//! One record: what it holds, how far it has come, its answer, and on other tabs its way, its signed history and its receipts.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State};
use lianxin_protocol::authority::Authority;
use lianxin_protocol::catalogue::{
    self, Catalogue, ESTIMATED_DATES, Fact, Field, Kind, Outcome, Retention,
};
use lianxin_protocol::hash::Hex;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::conflicts::{self, Conflict};
use super::forms;
use super::letter;
use super::list::{Due, due};
use super::offers::{self, Attempt, Done, Offer, Onward, WANTED, WAY};
use super::page::{Answer, Page, Session, html};
use super::past::{self, Change, Request, Step, Who};
use super::related::{self, Begin, Related};
use super::reveal;
use super::shown::{self, Shown};
use super::sync::{self, Why};
use super::words::Lang;
use super::{App, Line};
use crate::error::Result;
use crate::journal::{Books, Overview};
use crate::records::delivery::{self, Coverage, State as Reached};
use crate::records::duplicates::merging;
use crate::records::merged::{self, Way};
use crate::records::save;
use crate::records::sight::Title;
use crate::records::{self, Content, Gathered, Listed, Record};
use crate::requests;

/// A fact with its label, and the records that it names.
pub(super) struct Said {
    pub(super) label: String,
    pub(super) value: String,
    links: Vec<(String, String)>,
}

impl Said {
    /// Whether it needs the whole width.
    fn is_long(&self) -> bool {
        const LONG_CHARS: usize = 40;
        self.value.chars().count() > LONG_CHARS
    }

    pub(super) fn new(label: String, value: String) -> Self {
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
    /// Whether the number is shown in part only.
    masked: bool,
}

/// A receipt of the hub that covers entries of the record.
struct Proof {
    log: String,
    stored: u64,
    judged: u64,
    at: String,
}

#[derive(Template)]
#[template(path = "record.html")]
pub(super) struct RecordPage {
    page: Page,
    id: String,
    number: String,
    title: String,
    kind: String,
    status: String,
    state: Shown,
    tab: &'static str,
    note: &'static str,
    /// What has just been done to it.
    done: Option<Done>,
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
    /// What is kept from whoever looks, if anything is.
    kept: Option<reveal::Kept>,
    /// Of the values about a person, some are shown only to whoever says why.
    masked: bool,
    /// Nobody said why.
    lacks_reason: bool,
    steps: Vec<Step>,
    changes: Vec<Change>,
    proofs: Vec<Proof>,
    onward: Onward,
    related: Vec<Related>,
    /// Where another of its kind is begun.
    begun: Option<Begin>,
    /// Whether there is a letter that tells what came of it.
    letter: bool,
    /// Whether there is a form to print of it.
    paper: bool,
    /// The office's own letters of its kind: ids and names.
    own: Vec<(String, String)>,
    /// Whether somebody is given a slip for it.
    slip: bool,
    conflicts: Vec<Conflict>,
    /// Whether two changes of it were merged by themselves lately.
    merged: bool,
    asked: Vec<Request>,
    why: Option<Why>,
    editable: bool,
    test_data: bool,
    /// Marks that lie over its status.
    marks: Vec<String>,
    /// What is said of a record that does not count, or that stands for another, with the other's address.
    places: Vec<(String, String)>,
    /// The changes that it waits for.
    waits_for: Vec<String>,
    waiting: usize,
    unreadable: bool,
}

impl RecordPage {
    /// Where the first of what is not there yet is begun.
    fn begins(&self) -> impl Iterator<Item = &Begin> {
        let begins = self.related.iter().filter(|it| it.only_begins());
        begins.filter_map(|it| it.add.as_ref())
    }
}

/// What a record's page was asked for.
#[derive(Clone, Default, Deserialize)]
pub(super) struct View {
    tab: Option<String>,
    note: Option<String>,
    /// The step that was just taken.
    did: Option<String>,
    /// The step whose form is open.
    step: Option<String>,
    /// Whoever sent it is asked whether it is meant.
    ask: Option<String>,
    /// What a form lacked that asked for what is kept.
    lacks: Option<String>,
}

impl View {
    /// Whether the form of this step is open.
    pub(super) fn opens(&self, step: &str) -> bool {
        self.step.as_deref() == Some(step)
    }

    /// Whether it is asked there whether the step is meant.
    pub(super) fn asks(&self, step: &str) -> bool {
        self.opens(step) && self.ask.is_some()
    }

    fn tab(&self) -> &'static str {
        match self.tab.as_deref() {
            Some("way") => "way",
            Some("history") => "history",
            Some("receipts") => "receipts",
            _ => "content",
        }
    }

    /// What is said of a record that has just been made; later that is history.
    fn note(&self, row: Option<&Listed>, now_ms: u64) -> &'static str {
        let just =
            row.is_some_and(|row| now_ms.saturating_sub(row.recorded_ms()) < offers::JUST_MS);
        match self.note.as_deref().filter(|_| just) {
            Some("new") => "new",
            Some("again") => "again",
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

pub(super) fn build(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    id: &str,
    view: &View,
    attempt: Option<&Attempt<'_>>,
) -> Result<RecordPage> {
    let lang = session.lang();
    let key = records::find(connection, id)?;
    let actor = session.actor(connection, books)?;
    let record = Record::read(connection, books, key, &actor)?;
    let (content, kind) = (&record.content, record.kind);
    // The address names the tab and the browser's history shows titles: the number is enough there.
    let heading = content.number.clone();
    let heading = heading.unwrap_or_else(|| lang.say("record", &[]));
    let page = Page::new(connection, books, session, line, ("/records", heading))?;
    let who = Who::read(connection)?;
    let member = books.authority().members().get(&books.identity().key());
    let why = sync::why((record.reached, record.reason), line, member, lang);
    let from = (connection, books.authority());
    let (facts, person, words) = facts(from, kind, content, &page);
    let requests = requests::of_record(connection, key)?;
    let onward = Onward::of(
        (connection, books),
        (&record, &requests),
        (view, attempt),
        (&page, session),
    )?;
    let again = record.gathered.again().is_some();
    let mine = onward.next.is_some();
    let arrived = matches!(
        record.state,
        Reached::Merged | Reached::Answered | Reached::Refused
    );
    Ok(RecordPage {
        reply: kind.and_then(|kind| answer(connection, content, kind, &page)),
        letter: kind.is_some_and(|kind| letter::is_there(&record, kind)),
        paper: kind.is_some_and(|kind| kind.paper.is_some()) && record.sight.has_words(),
        own: match kind.filter(|_| record.sight.has_words()) {
            Some(kind) => forms::letters(connection, kind)?,
            None => Vec::new(),
        },
        rungs: kind
            .filter(|_| record.counts() && arrived)
            .map(|kind| rungs(content, kind, mine, &page))
            .unwrap_or_default(),
        synced: arrived.then(|| synced(&record, &page)),
        tell: kind.and_then(|kind| tell(onward.next.as_ref(), &record, kind, &page)),
        kept: reveal::Kept::of(connection, books, &record, &page)?,
        masked: kind.is_some_and(|kind| reveal::masks(&record, kind)),
        lacks_reason: view.lacks.is_some(),
        mine,
        printed: shown::moment(page.now_ms, lang),
        related: related::of(connection, books, &record, &page)?,
        begun: kind
            .filter(|kind| page.actor.creates(kind) && kind.parent.is_none())
            .map(|kind| Begin {
                href: format!("/new/{}?after={}", kind.code, record.id.hyphenated()),
                said: page.with("saved-another", page.label(&kind.label)),
            }),
        slip: !again
            && record.sight.has_facts()
            && kind.is_some_and(|kind| kind.field("identity_mode").is_some()),
        asked: past::asked(&requests, books, kind, &who, lang),
        id: record.id.hyphenated(),
        number: content.number.clone().unwrap_or_default(),
        kind: kind.map_or_else(
            || content.kind.clone(),
            |it| lang.label(&it.label).to_owned(),
        ),
        status: shown::status(kind, &record.status, lang),
        state: standing(&record, lang),
        tab: view.tab(),
        note: view.note(record.row.as_ref(), page.now_ms),
        done: match view.did.as_deref() {
            Some(did) => offers::done(connection, did, (&record, &requests), &page)?,
            None => None,
        },
        recorded: record
            .row
            .as_ref()
            .map(|row| shown::moment(row.recorded_ms(), lang))
            .unwrap_or_default(),
        due: due(&content.facts, kind, &content.status, &page),
        words,
        facts,
        person,
        steps: past::steps(connection, books, (content, kind), &who, lang),
        changes: past::changes(connection, books, &record, &who, (page.now_ms, lang)),
        proofs: proofs(&record, lang),
        onward,
        conflicts: conflicts::of(content, kind, lang),
        merged: past::is_merged_lately(&record.gathered, page.now_ms),
        // Nothing has to be done about what stands elsewhere.
        why: why.filter(|_| !again),
        places: places(connection, books, &record, &page)?,
        waits_for: waits_for(books, &record.gathered, lang),
        editable: kind.is_some_and(|kind| page.actor.may_correct(kind, &content.status).is_ok())
            && record.counts()
            && content.waiting == 0
            && record.sight.has_words()
            && save::may_edit(books, &record.gathered),
        test_data: record.is_test(),
        marks: kind
            .map(|kind| {
                let marks = kind.overlays.iter();
                let marks = marks.filter(|it| content.overlays.contains(&it.code));
                marks.map(|it| page.label(&it.label).to_owned()).collect()
            })
            .unwrap_or_default(),
        waiting: content.waiting,
        unreadable: !content.unreadable.is_empty(),
        title: shown::title(kind, record.title(), lang),
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

/// The answer as it is shown.
fn answer(connection: &Connection, content: &Content, kind: &Kind, page: &Page) -> Option<Reply> {
    let (text, at_ms) = content.answer(kind)?;
    let said = |key: &str| {
        let field = kind.field(key)?;
        let value = held(&content.fields, key)?;
        let mut links = links(connection, field, value, page.lang).into_iter();
        let name = links.next().map(|(name, _)| name);
        Some(name.unwrap_or_else(|| shown::value(Some(field), value, page.lang)))
    };
    let at = shown::at(at_ms, page.now_ms, page.lang);
    Some(Reply {
        text,
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
fn tell(next: Option<&Offer>, record: &Record, kind: &Kind, page: &Page) -> Option<Tell> {
    let content = &record.content;
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
        masked: kind
            .field("person.phone")
            .is_some_and(|field| !record.sight.shows(field)),
    })
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
    overview: &Overview,
    record: &Record,
    page: &Page,
) -> Result<Vec<(String, String)>> {
    let (gathered, content) = (&record.gathered, &record.content);
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
    places.extend(follows(connection, overview, record, page)?);
    Ok(places)
}

/// Which matter this one goes the way of, and what goes its way.
fn follows(
    connection: &Connection,
    overview: &Overview,
    record: &Record,
    page: &Page,
) -> Result<Vec<(String, String)>> {
    /// Matters that are merged into one; with more, they are counted no further.
    const MOST: usize = 1_000;
    let mut said = Vec::new();
    let (Some(kind), Some(row)) = (record.kind, &record.row) else {
        return Ok(said);
    };
    let Some(follows) = &kind.follows else {
        return Ok(said);
    };
    let of = (kind, follows);
    let way = merged::way(connection, row, of)?;
    let main = way.main();
    match main.filter(|main| main.id != row.id) {
        Some(main) => {
            let reached = Coverage::of(overview).reached(connection, main)?;
            let (_, status) = delivery::shown(reached, &main.kind, &main.status);
            let with = [
                ("number", main.number.clone().unwrap_or_default().into()),
                (
                    "status",
                    shown::status(Some(kind), &status, page.lang).into(),
                ),
            ];
            let href = format!("/records/{}", main.id.hyphenated());
            said.push((page.lang.say("follows", &with), href));
        }
        None if main.is_none() => said.push((page.t("follows-elsewhere"), String::new())),
        None => {}
    }
    let circle = matches!(way, Way::Circle(_));
    if circle {
        let mends =
            merging().is_some_and(|(_, _, step)| page.actor.takes(&step.event, &step.who).is_ok());
        let href = if mends { "/duplicates" } else { "" };
        said.push((page.t("follows-circle"), href.to_owned()));
    }
    // Of those that were merged into each other one is counted with all.
    if circle && main.is_some_and(|main| main.id != row.id) {
        return Ok(said);
    }
    let merged = merged::followers(connection, row, of, MOST)?;
    if !merged.is_empty() {
        let count: u64 = merged.iter().chain([row]).map(|it| it.heads(follows)).sum();
        let with = [("count", merged.len().into()), ("heads", count.into())];
        said.push((page.lang.say("followed", &with), String::new()));
    }
    Ok(said)
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

/// The value of a field in nested JSON.
pub(super) fn held<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => fields.get(key),
        Some((group, name)) => fields.get(group)?.get(name),
    }
}

pub(super) type Facts = (Vec<Said>, Vec<Said>, Option<Said>);

/// What a record holds, in the order of its form, then what its handling has added. Who said it stands apart, and so do the
/// resident's own words.
pub(super) fn facts(
    (connection, authority): (&Connection, &Authority),
    kind: Option<&Kind>,
    content: &Content,
    page: &Page,
) -> Facts {
    let lang = page.lang;
    let Some(kind) = kind else {
        // A kind of a newer version: as it is.
        let facts = content
            .fields
            .iter()
            .map(|(key, value)| Said::new(key.clone(), shown::value(None, value, lang)));
        return (facts.collect(), Vec::new(), None);
    };
    let guessed = content.held(ESTIMATED_DATES);
    let fact = |field: &Field| {
        let held = held(&content.fields, &field.key)?;
        let mut value = shown::value(Some(field), held, lang);
        if field.names().iter().any(|kind| kind == "site") {
            let sites = content.held(&field.key).into_iter();
            let sites = sites.map(|given| shown::site_named(authority, &given));
            value = sites.collect::<Vec<_>>().join("、");
        }
        let label = lang.label(&field.label).to_owned();
        if value.is_empty() {
            return None;
        }
        let value = if guessed.contains(&field.key) {
            page.with("date-estimated", &value)
        } else {
            value
        };
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
        // Stands beside each of the dates that it names.
        ESTIMATED_DATES,
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
pub(super) fn links(
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
                let kind = Catalogue::current().kind(&row.kind);
                let title = shown::title(kind, Title::of(row.name()), lang);
                let name = match &row.number {
                    Some(number) if title != *number => format!("{title} {number}"),
                    Some(number) => number.clone(),
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
