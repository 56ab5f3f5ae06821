//! The first page: at a station what was recorded today and what waits for the clerk; at the sub-district
//! the network at a glance.

use askama::Template;
use axum::extract::State;
use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::space::Space;
use rusqlite::Connection;

use super::intake;
use super::list::{Row, next_for};
use super::page::{Answer, Page, Session, html};
use super::sheet::About;
use super::shown;
use super::words::Lang;
use super::{App, sites};
use crate::clock::{self, Beijing};
use crate::drafts::{self, Draft};
use crate::error::Result;
use crate::records::delivery::Coverage;
use crate::records::{self, Filter};

/// Rows of a list on this page.
const ROWS: usize = 30;
/// Draft laws on this page.
const LAWS: usize = 5;

/// A draft in a list.
struct DraftRow {
    id: String,
    title: String,
    at: String,
    lacks: u64,
}

/// A record whose next step is this clerk's.
struct Todo {
    row: Row,
    step: String,
    event: String,
    waits: String,
}

/// What a draft is called, and how much it lacks.
fn drafted(connection: &Connection, draft: &Draft, lang: Lang) -> Result<(Option<String>, u64)> {
    let (record, what) = match About::parse(&draft.kind) {
        Ok(About::Step(record, event)) => (record, Some(event)),
        Ok(About::Edit(record)) => (record, None),
        Ok(About::New(_)) | Err(_) => return Ok(intake::judge(draft)),
    };
    let Ok(key) = records::find(connection, &record) else {
        return Ok((None, 0));
    };
    let row = records::rows(connection, &[key])?.pop();
    let kind = row
        .as_ref()
        .and_then(|row| Catalogue::standard().kind(&row.kind));
    let step = what.as_deref().and_then(|event| kind?.transition(event));
    let step = step.map_or_else(
        || lang.say("edit", &[]),
        |step| lang.label(&step.label).to_owned(),
    );
    let title = shown::title(
        kind,
        row.as_ref().and_then(|row| row.title.as_deref()),
        lang,
    );
    Ok((Some(format!("{step} · {title}")), 0))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    page: Page,
    today: String,
    rows: Vec<Row>,
    more: bool,
    /// How many were recorded today and have arrived, in words.
    counted: String,
    todos: Vec<Todo>,
    drafts: Vec<DraftRow>,
    /// Draft laws that comments are collected on.
    laws: Vec<Row>,
    no_password: bool,
}

/// Draft laws that are open for comments.
fn asked_here() -> Filter {
    Filter {
        kind: Some("legis_consultation".to_owned()),
        status: Some("open".to_owned()),
        limit: LAWS,
        held: Some(false),
        ..Filter::default()
    }
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let line_shown = line.clone();
    let account = session.account.clone();
    let no_password = !account.has_password;
    let home = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-home", &[]);
            let page = Page::new(connection, books, &session, &line, ("/", title))?;
            if page.office() {
                return Ok(Err(page));
            }
            let now_ms = clock::now_ms();
            let coverage = Coverage::of(books);
            let filter = Filter {
                limit: ROWS + 1,
                whole: true,
                ..Filter::default()
            };
            let today = Beijing::of(now_ms).date();
            let mut found = records::list(connection, &filter)?;
            // What the sub-district publishes is nobody's work of today here.
            let bulletin = Space::Bulletin.id(&books.identity().network);
            let drafts_of_law = records::list(connection, &asked_here())?;
            let mut laws = Vec::new();
            for row in &drafts_of_law {
                laws.push(Row::new(connection, books, &coverage, row, &page)?);
            }
            found.retain(|row| {
                // What was written again is there as what stands in its place.
                row.again.is_none()
                    && row.space != bulletin
                    && Beijing::of(row.recorded_ms()).date() == today
            });
            let more = found.len() > ROWS;
            found.truncate(ROWS);
            let mut rows = Vec::with_capacity(found.len());
            for row in &found {
                let shown = Row::new(connection, books, &coverage, row, &page)?;
                rows.push(shown.with_kind(row, lang));
            }
            // What does not count is shown, and counted nowhere.
            let counts = found.iter().filter(|row| row.held.is_none()).count();
            let received = rows.iter().filter(|row| row.arrived()).count();
            // Beyond the rows of this page nobody has counted.
            let id = if more {
                "home-recorded-many"
            } else {
                "home-recorded"
            };
            let with = [("count", counts.into()), ("received", received.into())];
            let counted = lang.say(id, &with);
            let mut todos = Vec::new();
            for kind in Catalogue::standard().kinds() {
                for (status, step) in next_for(kind, page.actor.roles()) {
                    for row in records::queue(connection, &kind.code, &status.code, ROWS)? {
                        todos.push(Todo {
                            waits: shown::age(row.recorded_ms(), now_ms, lang),
                            row: Row::new(connection, books, &coverage, &row, &page)?,
                            step: lang.label(&step.label).to_owned(),
                            event: step.event.clone(),
                        });
                    }
                }
            }
            let mut shown_drafts = Vec::new();
            for draft in drafts::list(connection, &account.id)? {
                let (title, lacks) = drafted(connection, &draft, lang)?;
                shown_drafts.push(DraftRow {
                    title: title.unwrap_or_else(|| lang.say("draft-untitled", &[])),
                    lacks,
                    at: shown::at(draft.updated_ms, now_ms, lang),
                    id: draft.id,
                });
            }
            Ok(Ok(Home {
                today: shown::day(now_ms, lang),
                counted,
                rows,
                more,
                todos,
                drafts: shown_drafts,
                laws,
                no_password,
                page,
            }))
        })
        .await?;
    match home {
        Ok(home) => html(&home),
        Err(page) => sites::overview(&app, page, line_shown, no_password).await,
    }
}
