//! What moves while a page is open: a stream that says that something changed, and the states of the
//! records that a page shows. The stream carries the strip's words and no record; pages pull the rest.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Json};
use lianxin_protocol::log::RecordId;
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::page::{Answer, Session, strip};
use super::shown::{self, Shown};
use crate::clock;
use crate::error::Result;
use crate::records::delivery::{self, Coverage, Delivery};
use crate::records::{self, Filter};

/// Streams open at once: a page closes its own while it is not in sight.
pub(super) const STREAMS: usize = 64;
/// Shortest time between two messages: a burst of commits is told once.
const PAUSE: Duration = Duration::from_millis(250);
/// The strip is told again after this long even if nothing was committed: ages grow, lines break.
const REFRESH: Duration = Duration::from_secs(5);
/// Between two signs of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Records that one page may ask for.
const RECORDS_MAX: usize = 200;

/// The strip as JSON.
async fn message(app: &App, session: &Session) -> Result<String> {
    let line = (app.doors.line)();
    let lang = session.lang();
    app.read(move |books, connection| {
        let delivery = Delivery::read(connection, books)?;
        let now_ms = clock::now_ms();
        let strip = strip(connection, books, (&delivery, &line), (lang, now_ms))?;
        Ok(json!({
            "level": strip.level,
            "online": strip.online,
            "line": strip.line,
            "waiting": strip.waiting,
            "receipt": strip.receipt,
        })
        .to_string())
    })
    .await
}

/// The stream.
pub(super) async fn stream(State(app): State<App>, session: Session) -> Answer {
    let Ok(place) = Arc::clone(&app.streams).try_acquire_owned() else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "too many open pages\n").into_response());
    };
    let changes = app.changes.subscribe();
    let stopping = app.stopping.clone();
    let state = (app, session, changes, stopping, place, None::<String>);
    let stream = futures_util::stream::unfold(state, |state| async move {
        let (app, session, mut changes, mut stopping, place, mut last) = state;
        loop {
            // The first message comes at once.
            let mut moved = true;
            if last.is_some() {
                moved = tokio::select! {
                    _ = changes.next() => true,
                    () = tokio::time::sleep(REFRESH) => false,
                    _ = stopping.changed() => return None,
                };
            }
            if moved {
                tokio::time::sleep(PAUSE).await;
                // What came meanwhile is told along with it; having fallen behind changes nothing.
                changes.skip();
            }
            let text = message(&app, &session).await.ok()?;
            if moved || last.as_ref() != Some(&text) {
                let event = Event::default().event("moved").data(&text);
                last = Some(text);
                let state = (app, session, changes, stopping, place, last);
                return Some((Ok::<_, Infallible>(event), state));
            }
        }
    });
    let alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(stream).keep_alive(alive).into_response())
}

/// Records that a page shows.
#[derive(Deserialize)]
pub(super) struct Shows {
    ids: String,
    /// Its newest record, if it lists them newest first.
    newest: Option<String>,
}

/// The states of records, and how many newer ones there are.
pub(super) async fn states(
    State(app): State<App>,
    session: Session,
    Query(shows): Query<Shows>,
) -> Answer {
    let lang = session.lang();
    let value = app
        .read(move |books, connection| {
            let coverage = Coverage::of(books);
            let mut states = Vec::new();
            for id in shows.ids.split(',').take(RECORDS_MAX) {
                let Ok(key) = records::find(connection, id) else {
                    continue;
                };
                let Some(row) = records::rows(connection, &[key])?.pop() else {
                    continue;
                };
                let reached = coverage.judged(connection, key)?.0;
                let (state, status) = delivery::shown(reached, &row.kind, &row.status);
                let kind = lianxin_protocol::catalogue::Catalogue::current().kind(&row.kind);
                let shown = Shown::of(state, lang);
                let ladder: Vec<_> = shown.ladder.iter().map(|rung| rung.stage).collect();
                states.push(json!({
                    "id": id,
                    "state": shown.code,
                    "word": shown.word,
                    "means": shown.means,
                    "ladder": ladder,
                    "status": shown::status(kind, &status, lang),
                    "conflict": row.conflicts > 0,
                }));
            }
            let newest = shows.newest.as_deref().and_then(RecordId::parse);
            let newer = match newest {
                None => 0,
                Some(newest) => {
                    let filter = Filter {
                        limit: RECORDS_MAX,
                        // As the list has them.
                        whole: true,
                        ..Filter::default()
                    };
                    let rows = records::list(connection, &filter)?;
                    rows.iter().take_while(|row| row.id != newest).count()
                }
            };
            let newer_said = lang.say("list-newer", &[("count", newer.into())]);
            Ok(json!({ "records": states, "newer": newer, "newer_said": newer_said }))
        })
        .await?;
    Ok(Json(value).into_response())
}
