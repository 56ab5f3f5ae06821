//! A draft law that is pasted or sent as a file, to become articles.

use axum::Form;
use axum::extract::{Multipart, Path, State};
use serde::Deserialize;

use super::App;
use super::page::{Answer, Session, go, open};
use super::upload::Upload;
use crate::error::{Code, Result};
use crate::papers;
use crate::records::articles;

/// What was pasted.
#[derive(Deserialize)]
pub(super) struct Pasted {
    text: String,
    /// It takes the place of what is there.
    newer: Option<String>,
}

/// Takes a draft apart and adds its articles behind those that are there; or, if it is a newer one, sets what differs.
pub(super) async fn paste(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(Pasted { text, newer }): Form<Pasted>,
) -> Answer {
    take(&app, session, id, (text, newer.is_some())).await
}

/// The same of a file.
pub(super) async fn upload(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    form: Multipart,
) -> Answer {
    let sent = Upload::read(form, Code::BadPaper).await?;
    let text = papers::text_of(&sent.bytes)?;
    take(&app, session, id, (text, sent.has("newer"))).await
}

async fn take(app: &App, session: Session, id: String, (text, newer): (String, bool)) -> Answer {
    let back = format!("/records/{id}?note=done");
    app.write(move |journal, connection| -> Result<()> {
        let (record, _) = open(connection, journal, &session, &id)?;
        let author = session.author(connection, journal)?;
        articles::take(connection, journal, record.key, (&text, newer), &author).map(drop)
    })
    .await?;
    Ok(go(&back))
}
