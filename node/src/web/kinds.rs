//! 下发登记表: the kinds that the sub-district has published, and a file to be published, which is looked at first.

use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;

use super::App;
use super::page::{Answer, Page, Session, go, html};
use super::upload::Upload;
use crate::error::Code;
use crate::published::{self, Looked};

/// Bytes of a form with a file in it.
pub(super) const FORM_MAX: usize = lianxin_protocol::catalogue::KIND_BYTES_MAX + 16 * 1024;
/// Where they are listed.
pub(super) const PAGE: &str = "/kinds";

/// A published kind in its newest form.
struct Row {
    id: String,
    name: String,
    code: String,
    version: u32,
}

#[derive(Template)]
#[template(path = "kinds.html")]
struct Kinds {
    page: Page,
    rows: Vec<Row>,
    /// Whether whoever looks may publish.
    publishes: bool,
    /// What is wrong with the file that was sent, for whoever wrote it.
    wrong: Option<String>,
}

async fn listed(app: App, session: Session, wrong: Option<String>) -> crate::error::Result<Kinds> {
    let line = (app.doors.line)();
    app.read(move |books, connection| {
        let title = session.lang().say("kinds", &[]);
        let page = Page::new(connection, books, &session, &line, (PAGE, title))?;
        let mut rows: Vec<Row> = Vec::new();
        for row in published::all(connection, books)? {
            let Some((code, name, version)) = published::about(&row) else {
                continue;
            };
            // The newest of each comes first.
            if rows.iter().all(|it| it.code != code) {
                rows.push(Row {
                    id: row.id.hyphenated(),
                    name: name.to_owned(),
                    code: code.to_owned(),
                    version,
                });
            }
        }
        Ok(Kinds {
            rows,
            publishes: page.actor.may_issue().is_ok(),
            wrong,
            page,
        })
    })
    .await
}

/// Those that are published, and a form to publish one.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    html(&listed(app, session, None).await?)
}

/// A file that was looked at.
struct Kept {
    text: String,
    /// Taken out when it is published, so that a form that is sent twice publishes it once.
    looked: Mutex<Option<Looked>>,
}

/// Looks at a file.
pub(super) async fn look(State(app): State<App>, session: Session, form: Multipart) -> Answer {
    let sent = Upload::read(form, Code::BadKind).await?;
    let text = String::from_utf8(sent.bytes.to_vec());
    let asking = session.clone();
    let looked = app
        .read(move |books, connection| {
            asking.actor(connection, books)?.may_issue()?;
            let Ok(text) = text else {
                return Ok(Err("this is no text in UTF-8".to_owned()));
            };
            Ok(match published::look(connection, books, &text) {
                Ok(looked) => Ok((text, looked)),
                Err(error) if error.code() == Code::BadKind => Err(error.to_string()),
                Err(error) => return Err(error),
            })
        })
        .await?;
    match looked {
        Ok((text, looked)) => {
            let looked = Mutex::new(Some(looked));
            let id = app.kept.put_large(&session, Kept { text, looked }, 50)?;
            Ok(go(&format!("{PAGE}/{id}")))
        }
        Err(wrong) => {
            let page = listed(app, session, Some(wrong)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
        }
    }
}

#[derive(Template)]
#[template(path = "kind_looked.html")]
struct Preview {
    page: Page,
    id: String,
    name: String,
    code: String,
    version: u32,
    is_new: bool,
    fields: Vec<String>,
}

/// What a file would bring.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(kept) = app.kept.get::<Kept>(&session, &id) else {
        return Ok(go(PAGE));
    };
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let title = session.lang().say("kinds", &[]);
            let page = Page::new(connection, books, &session, &line, (PAGE, title))?;
            let looked = kept.looked.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(looked.as_ref().map(|looked| Preview {
                id,
                name: looked.name.clone(),
                code: looked.code().to_owned(),
                version: looked.version(),
                is_new: looked.is_new,
                fields: looked.fields.clone(),
                page,
            }))
        })
        .await?;
    match page {
        Some(page) => html(&page),
        None => Ok(go(PAGE)),
    }
}

/// Publishes it.
pub(super) async fn publish(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(kept) = app.kept.get::<Kept>(&session, &id) else {
        return Ok(go(PAGE));
    };
    app.write(move |journal, connection| {
        let mut looked = kept.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.is_none() {
            return Ok(());
        }
        let author = session.author(connection, journal)?;
        published::publish(connection, journal, &kept.text, &author)?;
        *looked = None;
        Ok(())
    })
    .await?;
    Ok(go(PAGE))
}
