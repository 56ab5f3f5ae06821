//! 回收站: drafts that were thrown away and what was taken out of registers, to be taken back for thirty days. A draft goes for good
//! then; what stood in a register stays in its history.

use askama::Template;
use axum::extract::{Path, State};
use lianxin_protocol::catalogue::Catalogue;

use super::App;
use super::home::DraftRow;
use super::list::Row;
use super::page::{Answer, Page, Session, go, html};
use crate::clock;
use crate::drafts;
use crate::records::delivery::Coverage;
use crate::records::{self, Filter};

/// Rows of each kind of register.
const ROWS: usize = 50;

#[derive(Template)]
#[template(path = "trash.html")]
struct Trash {
    page: Page,
    days: String,
    drafts: Vec<DraftRow>,
    rows: Vec<Row>,
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let trash = app
        .read(move |books, connection| {
            let title = session.lang().say("trash", &[]);
            let page = Page::new(connection, books, &session, &line, ("/trash", title))?;
            let drafts = drafts::trashed(connection, page.actor.account())?.into_iter();
            let drafts = drafts.map(|draft| DraftRow::of(connection, draft, &page));
            let coverage = Coverage::of(books);
            let mut rows = Vec::new();
            for kind in Catalogue::current().kinds() {
                for status in kind.statuses.iter().filter(|status| status.gone) {
                    let filter = Filter {
                        kind: Some(kind.code.clone()),
                        status: Some(status.code.clone()),
                        held: Some(false),
                        stands: true,
                        limit: ROWS,
                        ..Filter::default()
                    };
                    for row in &records::list(connection, &filter)? {
                        let shown = Row::new(connection, books, &coverage, row, &page)?;
                        rows.push(shown.with_kind(row, page.lang));
                    }
                }
            }
            Ok(Trash {
                days: drafts::TRASH_DAYS.to_string(),
                drafts: drafts.collect::<Result<_, _>>()?,
                rows,
                page,
            })
        })
        .await?;
    html(&trash)
}

/// Takes a draft back.
pub(super) async fn restore(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let account = session.account.id;
    let back = format!("/drafts/{id}");
    app.write(move |_, connection| {
        drafts::expire(connection, clock::now_ms())?;
        drafts::restore(connection, &account, &id)
    })
    .await?;
    Ok(go(&back))
}
