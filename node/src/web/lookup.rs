//! 凭码查询: a resident asks with the number and the code of a slip how the matter stands. The answer is its
//! status and nothing else; guesses are slowed down.

use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::text;
use serde::Deserialize;

use super::App;
use super::page::{Answer, Failure, Page, Session, go, html};
use super::shown;
use super::words::Lang;
use crate::clock::Monotonic;
use crate::records::delivery::{self, Coverage};
use crate::slips;

/// Wrong codes that may be tried in a window, on the whole device: at 40 bits a guess in ten thousand
/// years.
const TRIES: u32 = 10;
/// Characters that are read where a number or a QR code is typed.
const NUMBER_CHARS: usize = 60;
const WINDOW_MS: u64 = 10 * 60 * 1_000;

/// Wrong codes tried lately.
#[derive(Debug)]
pub(super) struct Attempts {
    clock: Monotonic,
    window: Mutex<(u64, u32)>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            clock: Monotonic::start(),
            window: Mutex::default(),
        }
    }
}

impl Attempts {
    fn too_many(&self) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if self.clock.ms() > window.0 + WINDOW_MS {
            *window = (self.clock.ms(), 0);
        }
        window.1 >= TRIES
    }

    fn failed(&self) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.1 = window.1.saturating_add(1);
    }
}

/// What the resident may know.
struct Standing {
    number: String,
    status: String,
    recorded: String,
    due: Option<String>,
}

#[derive(Template)]
#[template(path = "lookup.html")]
struct Lookup {
    page: Page,
    number: String,
    standing: Option<Standing>,
    fault: Option<String>,
}

async fn shown_page(
    app: &App,
    session: Session,
    number: String,
    found: Result<Option<Standing>, String>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-lookup", &[]);
            Page::new(connection, books, &session, &line, ("/lookup", title))
        })
        .await?;
    let (standing, fault) = match found {
        Ok(standing) => (standing, None),
        Err(fault) => (None, Some(fault)),
    };
    html(&Lookup {
        page,
        number,
        standing,
        fault,
    })
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    shown_page(&app, session, String::new(), Ok(None)).await
}

/// What stands on the slip.
#[derive(Clone, Deserialize)]
pub(super) struct Typed {
    number: String,
    code: String,
}

/// Takes a question, and counts it if it is wrong. A number that does not exist and a code that does not fit look alike.
pub(super) async fn ask(
    State(app): State<App>,
    session: Session,
    Form(typed): Form<Typed>,
) -> Answer {
    let lang = session.lang();
    let number: String = text::line(&typed.number)
        .chars()
        .take(NUMBER_CHARS)
        .collect();
    if app.lookup.too_many() {
        let fault = lang.say("lookup-wait", &[]);
        let page = shown_page(&app, session, number, Err(fault)).await?;
        return Ok((StatusCode::TOO_MANY_REQUESTS, page).into_response());
    }
    let asked = Typed { number, ..typed };
    if standing(&app, &asked, lang).await?.is_none() {
        app.lookup.failed();
    }
    let id = app.kept.put(&session, None, asked)?;
    Ok(go(&format!("/lookup/{id}")))
}

/// How it stands now, at the address of the question, as long as that is kept. To load it again is no guess.
pub(super) async fn answer(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(asked) = app.kept.get::<Typed>(&session, &id) else {
        return Ok(go("/lookup"));
    };
    let lang = session.lang();
    let standing = standing(&app, &asked, lang).await?;
    let unknown = || lang.say("lookup-unknown", &[]);
    let found = standing.map(Some).ok_or_else(unknown);
    shown_page(&app, session, asked.number.clone(), found).await
}

/// How the record of a slip stands, if there is one.
async fn standing(app: &App, asked: &Typed, lang: Lang) -> Result<Option<Standing>, Failure> {
    let asked = asked.clone();
    let standing = app.read(move |books, connection| {
        let Some(row) = slips::asked(connection, &asked.number, &asked.code)? else {
            return Ok(None);
        };
        let reached = Coverage::of(books).reached(connection, &row)?;
        let (_, status) = delivery::shown(reached, &row.kind, &row.status);
        let kind = Catalogue::current().kind(&row.kind);
        let due = row.fact("due_on");
        let due_field = kind.and_then(|kind| kind.field("due_on"));
        Ok(Some(Standing {
            number: row.number.clone().unwrap_or_default(),
            status: shown::status(kind, &status, lang),
            recorded: shown::moment(row.recorded_ms(), lang),
            due: due.map(|due| shown::value(due_field, due, lang)),
        }))
    });
    Ok(standing.await?)
}
