//! Showing what is kept: a number to telephone, and a sealed record. Whoever asks says why, that is written into the access log
//! first, and then it is shown to them, on the record's page alone.
//!
//! A number is shown until the login ends, a quarter of an hour at most; a sealed record to two people who have both said why.

use axum::Form;
use axum::extract::{Path, State};
use lianxin_protocol::catalogue::{Field, Kind};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde::Deserialize;

use super::page::{Answer, Page, Session, go};
use super::{App, shown};
use crate::error::{Code, Result};
use crate::journal::Books;
use crate::records::sight::{self, OPENERS, Sight};
use crate::records::{self, Record};

/// How long a number is shown.
pub(super) const SHOWN_MS: u64 = 15 * 60 * 1_000;

/// That a login has said why it wants to see what is kept of a record.
pub(super) struct Revealed(pub(super) RecordId);

/// What a record's page says of what it does not show.
pub(super) struct Kept {
    /// What is kept, and who is shown it.
    pub(super) head: String,
    pub(super) said: String,
    /// How many have said why they open it, of so many that must.
    pub(super) so_far: Option<String>,
    /// Whether whoever looks may ask for it.
    pub(super) asks: bool,
    pub(super) button: String,
}

impl Kept {
    /// What is kept of a record, if anything is kept from whoever looks.
    pub(super) fn of(
        connection: &Connection,
        books: &mut Books,
        record: &Record,
        page: &Page,
    ) -> Result<Option<Self>> {
        let kept = match record.sight {
            Sight::Whole | Sight::Masked => return Ok(None),
            Sight::Outline => Self {
                head: page.t("kept-words"),
                said: page.t("kept-words-means"),
                so_far: None,
                asks: false,
                button: String::new(),
            },
            Sight::Number => {
                let openers = match &record.row {
                    Some(row) => sight::openers(connection, books, row, page.now_ms)?,
                    None => Vec::new(),
                };
                let me = (books.identity().key(), page.actor.account().to_owned());
                let asked = openers.iter().any(|it| it.who == me);
                let since = openers.first().map(|first| {
                    let with = [
                        ("count", sight::people(&openers).into()),
                        ("needed", OPENERS.into()),
                        ("at", shown::at(first.at_ms, page.now_ms, page.lang).into()),
                    ];
                    page.lang
                        .say(if asked { "kept-asked" } else { "kept-so-far" }, &with)
                });
                Self {
                    head: page.t("kept-all"),
                    said: page.t("kept-all-means"),
                    so_far: since,
                    asks: sight::may_open(&page.actor) && !asked,
                    button: page.t("kept-open"),
                }
            }
        };
        Ok(Some(kept))
    }
}

/// Whether some of what a record holds is shown in part only.
pub(super) fn masks(record: &Record, kind: &Kind) -> bool {
    let masked = kind.fields.iter().filter(|field| field.masked);
    let holds = |field: &Field| !record.content.held(&field.key).is_empty();
    record.sight == Sight::Masked && masked.into_iter().any(holds)
}

/// Why somebody wants to see it.
#[derive(Deserialize)]
pub(super) struct Why {
    reason: String,
}

/// Shows what is kept to somebody who says why.
pub(super) async fn ask(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(Why { reason }): Form<Why>,
) -> Answer {
    let back = format!("/records/{id}");
    let of = session.clone();
    let shown = app
        .write(move |journal, connection| {
            let key = records::find(connection, &id)?;
            let author = of.author(connection, journal)?;
            sight::reveal(connection, journal, key, &reason, &author)
        })
        .await;
    match shown {
        Err(error) if error.code() == Code::NoReason => {
            Ok(go(&format!("{back}?lacks=reason#reveal")))
        }
        shown => {
            app.kept.put(&session, None, Revealed(shown?))?;
            Ok(go(&format!("{back}#reveal")))
        }
    }
}
