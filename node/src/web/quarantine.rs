//! What does not count 已隔离: whose it is, why, what was written, and, at the hub, a form that lets it count.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use lianxin_protocol::authority::Reason;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::list::Row;
use super::page::{Answer, Page, Session, go, html};
use super::shown;
use super::words::Lang;
use crate::accounts;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, HeldBack, Overview};
use crate::records::delivery::Coverage;
use crate::records::sight::Title;
use crate::records::{self, Written, Wrote};
use crate::requests;

/// Rows of what was written again.
const ROWS: usize = 50;
/// Longest reason in characters.
const REASON_CHARS: usize = 500;
/// The step that keeps the reason, where a kind has it, and its datum.
const NOTE: (&str, &str) = ("note", "text");

/// Something that is held back under one name.
struct Held {
    id: String,
    device: String,
    reason: String,
    place: String,
    count: String,
    lost: bool,
}

impl Held {
    fn of(overview: &Overview, held: &HeldBack, lang: Lang) -> Self {
        let log = Hex(&held.log.prefix()).to_string();
        let log: String = log.chars().take(8).collect();
        let place = [
            ("log", log.into()),
            ("from", held.range.start.saturating_add(1).into()),
            ("to", held.range.end.into()),
        ];
        let count = held.records.len() as u64;
        Self {
            id: held.id(),
            device: shown::device(overview.authority(), &held.author.device),
            reason: shown::reason(held.reason, lang),
            place: lang.say("quarantine-places", &place),
            count: lang.say("quarantine-count", &[("count", count.into())]),
            lost: held.branch,
        }
    }
}

#[derive(Template)]
#[template(path = "quarantine.html")]
struct List {
    page: Page,
    held: Vec<Held>,
    /// Records that were written again, each with the one in its place.
    again: Vec<(Row, Row)>,
    /// Something counts now.
    adopted: bool,
}

/// What the list was asked for.
#[derive(Default, Deserialize)]
pub(super) struct View {
    adopted: Option<String>,
}

/// All that is held back.
pub(super) async fn list(
    State(app): State<App>,
    session: Session,
    Query(view): Query<View>,
) -> Answer {
    let adopted = view.adopted.is_some();
    let line = (app.doors.line)();
    let list = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("quarantine", &[]);
            let page = Page::new(connection, books, &session, &line, ("/quarantine", title))?;
            let all = books.held_back(connection)?;
            let open = all.iter().filter(|held| !held.superseded);
            let held = open.map(|held| Held::of(books, held, lang)).collect();
            let coverage = Coverage::of(books);
            let mut again = Vec::new();
            for (new, old) in records::written_again(connection, None, 0, ROWS)? {
                let rows = records::rows(connection, &[old, new])?;
                let shown = rows
                    .iter()
                    .map(|row| Row::new(connection, books, &coverage, row, &page));
                let shown: Vec<_> = shown.collect::<Result<_>>()?;
                if let Ok([old, new]) = <[Row; 2]>::try_from(shown) {
                    again.push((old, new));
                }
            }
            Ok(List {
                page,
                held,
                again,
                adopted,
            })
        })
        .await?;
    html(&list)
}

/// A record with what is held back of it.
struct Record {
    id: String,
    title: String,
    number: String,
    kind: String,
    changes: Vec<Change>,
}

/// What one change says.
struct Change {
    at: String,
    who: String,
    facts: Vec<(String, String)>,
    steps: String,
}

#[derive(Template)]
#[template(path = "quarantined.html")]
struct One {
    page: Page,
    held: Held,
    records: Vec<Record>,
    next: String,
    may_adopt: bool,
    typed: String,
    lacks_reason: bool,
}

/// One of them.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let one = app
        .read(move |books, connection| build(connection, books, (&session, &line), &id, None))
        .await?;
    html(&one)
}

fn build(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &super::Line),
    id: &str,
    typed: Option<&str>,
) -> Result<One> {
    let lang = session.lang();
    let title = lang.say("quarantine", &[]);
    let page = Page::new(connection, books, session, line, ("/quarantine", title))?;
    let held = books.held_back_as(connection, id)?;
    let may_adopt = books.may_adopt(&held);
    let next = match held.reason {
        _ if held.superseded => "quarantine-next-done",
        Reason::Forked => "quarantine-next-forked",
        Reason::Guard => "quarantine-next-guard",
        _ if may_adopt => "quarantine-next-adopt",
        _ => "quarantine-next-elsewhere",
    };
    let names = accounts::names(connection)?;
    let who = |by: &str| {
        let (account, device) = requests::asker(by);
        let name = names.get(account).cloned();
        let both = name.into_iter().chain(device.map(str::to_owned));
        both.collect::<Vec<_>>().join(" · ")
    };
    let written = records::written(connection, books, &held, &page.actor)?;
    let records = written.iter().map(|it| record(it, &who, lang));
    Ok(One {
        records: records.collect(),
        next: lang.say(next, &[]),
        may_adopt,
        typed: typed.unwrap_or_default().to_owned(),
        lacks_reason: typed.is_some(),
        held: Held::of(books, &held, lang),
        page,
    })
}

fn record(written: &Written, who: &impl Fn(&str) -> String, lang: Lang) -> Record {
    let kind = Catalogue::current().kind(&written.kind);
    let label = kind.map(|kind| lang.label(&kind.label).to_owned());
    Record {
        id: written.record.hyphenated(),
        title: match (&written.title, kind) {
            (None, None) => lang.say("quarantine-unknown", &[]),
            (title, kind) => shown::title(kind, Title::of(title.as_deref()), lang),
        },
        number: written.number.clone().unwrap_or_default(),
        kind: label.unwrap_or_else(|| written.kind.clone()),
        changes: written
            .changes
            .iter()
            .map(|it| change(it, kind, who(&it.by), lang))
            .collect(),
    }
}

fn change(wrote: &Wrote, kind: Option<&Kind>, who: String, lang: Lang) -> Change {
    let facts = wrote.fields.iter().filter(|(_, value)| !value.is_null());
    let facts = facts.map(|(key, value)| {
        let (plain, item) = key
            .split_once('/')
            .map_or((key.as_str(), None), |(set, item)| (set, Some(item)));
        let field = kind.and_then(|kind| kind.field_or_datum(plain));
        let label = field.map_or_else(|| plain.to_owned(), |it| lang.label(&it.label).to_owned());
        let item = item.map(|item| Value::from(vec![item]));
        (
            label,
            shown::value(field, item.as_ref().unwrap_or(value), lang),
        )
    });
    let step = |event: &String| {
        let step = kind.and_then(|kind| kind.transition(event));
        step.map_or_else(|| event.clone(), |it| lang.label(&it.label).to_owned())
    };
    let steps: Vec<_> = wrote.events.iter().map(step).collect();
    Change {
        at: shown::moment(wrote.at_ms, lang),
        who,
        facts: facts.collect(),
        steps: steps.join("、"),
    }
}

/// Why it shall count.
#[derive(Deserialize)]
pub(super) struct Typed {
    reason: String,
}

/// Lets it count.
pub(super) async fn adopt(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(typed): Form<Typed>,
) -> Answer {
    let line = (app.doors.line)();
    let reason = text::kept(typed.reason.trim());
    let lang = session.lang();
    let missed = app
        .write(move |journal, connection| {
            // The words stay on the page.
            if text::is_blank(&reason) || reason.chars().count() > REASON_CHARS {
                let who = (&session, &line);
                return build(connection, journal, who, &id, Some(&reason)).map(Some);
            }
            let held = journal.held_back_as(connection, &id)?;
            let author = session.author(connection, journal)?;
            journal.adopt(connection, &held, author.now_ms)?;
            let said = lang.say("quarantine-note", &[("text", reason.as_str().into())]);
            for written in records::written(connection, journal, &held, &author.actor)? {
                let kind = Catalogue::current().kind(&written.kind);
                if kind.is_none_or(|kind| kind.transition(NOTE.0).is_none()) {
                    continue;
                }
                let key = records::find(connection, &written.record.hyphenated())?;
                let step = (NOTE.0, &json!({ NOTE.1: said }));
                match requests::act(connection, journal, key, step, &author) {
                    Ok(_) => {}
                    // What still waits for something else counts all the same, without the note.
                    Err(error) if error.code() == Code::RecordWaiting => {}
                    Err(error) => {
                        let message = "the reason cannot be noted";
                        return Err(Error::because(error.code(), message, error));
                    }
                }
            }
            Ok(None)
        })
        .await?;
    match missed {
        None => Ok(go("/quarantine?adopted=1")),
        Some(page) => html(&page),
    }
}
