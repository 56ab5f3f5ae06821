//! The work of the sub-district: what waits for whom, by the step that comes next, longest first.

use askama::Template;
use axum::extract::State;
use lianxin_protocol::catalogue::Catalogue;

use super::App;
use super::list::{Row, next_for};
use super::page::{Answer, Page, Session, html};
use super::shown;
use crate::records;
use crate::records::delivery::Coverage;

/// Rows of a group.
const ROWS: usize = 100;

/// Records that wait for the same step.
struct Group {
    code: String,
    /// The status as people know it.
    status: String,
    event: String,
    step: String,
    rows: Vec<(Row, String)>,
    more: bool,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    page: Page,
    groups: Vec<Group>,
    count: u64,
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let queue = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-queue", &[]);
            let page = Page::new(connection, books, &session, &line, ("/queue", title))?;
            let coverage = Coverage::of(books);
            let mut groups = Vec::new();
            for kind in Catalogue::standard().kinds() {
                for (status, step) in next_for(kind, page.actor.roles()) {
                    let mut found = records::queue(connection, &kind.code, &status.code, ROWS + 1)?;
                    let more = found.len() > ROWS;
                    found.truncate(ROWS);
                    let mut rows = Vec::new();
                    for row in &found {
                        let waits = shown::age(row.recorded_ms(), page.now_ms, lang);
                        rows.push((Row::new(connection, books, &coverage, row, &page)?, waits));
                    }
                    let at_hub = kind.shown_status(&status.code, true);
                    groups.push(Group {
                        code: format!("{}-{}", kind.code, status.code),
                        status: format!(
                            "{} · {}",
                            lang.label(&kind.label),
                            shown::status(Some(kind), at_hub, lang)
                        ),
                        event: step.event.clone(),
                        step: lang.label(&step.label).to_owned(),
                        rows,
                        more,
                    });
                }
            }
            let count = groups.iter().map(|group| group.rows.len() as u64).sum();
            Ok(Queue {
                page,
                groups,
                count,
            })
        })
        .await?;
    html(&queue)
}
