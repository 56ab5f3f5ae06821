//! Recording: the form of a kind, its drafts, and registering. What was typed is in the store within a
//! second of a pause; nothing that is wrong with it loses any of it.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lianxin_protocol::catalogue::{Kind, Refusal};
use lianxin_protocol::hash::Hex;
use rusqlite::Connection;

use super::App;
use super::fields::{self, Fault, Input};
use super::page::{Answer, Page, Session, go, html, kind_of};
use super::shown;
use crate::clock;
use crate::drafts::{self, Draft, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::records::save::{self, Author};

/// Name in the form of what is done with it, and of the draft's id.
const DO: &str = "do";
const DRAFT: &str = "draft";
/// Name of the box that says that the resident was told what happens with the data.
const NOTICE: &str = "notice_shown";

/// A section of the form.
struct Part {
    code: String,
    label: String,
    folded: bool,
    inputs: Vec<Input>,
}

#[derive(Template)]
#[template(path = "intake.html")]
struct Intake {
    page: Page,
    kind: &'static Kind,
    draft: String,
    parts: Vec<Part>,
    faults: Vec<Fault>,
    notice: bool,
    kept: Option<String>,
}

fn form(page: Page, kind: &'static Kind, draft: &Draft, refusals: Option<&[Refusal]>) -> Answer {
    let lang = page.lang;
    let wrong = refusals.unwrap_or_default();
    let parts = kind.sections.iter().map(|section| {
        let of_section = section
            .fields
            .iter()
            .filter_map(|key| kind.fields.iter().find(|field| field.key == *key));
        let inputs: Vec<_> = of_section
            .map(|field| fields::input(field, &draft.typed, wrong, lang))
            .collect();
        Part {
            code: section.code.clone(),
            label: lang.label(&section.label).to_owned(),
            // What is wrong must not hide.
            folded: section.folded && inputs.iter().all(|input| input.error.is_none()),
            inputs,
        }
    });
    let kept = (draft.updated_ms > 0).then(|| shown::at(draft.updated_ms, page.now_ms, lang));
    let parts = parts.collect();
    html(&Intake {
        faults: fields::faults(fields::of_form(kind), wrong, lang),
        notice: draft.typed.contains_key(NOTICE),
        draft: draft.id.clone(),
        page,
        kind,
        parts,
        kept,
    })
}

/// What a draft is called in a list, and how many fields it lacks before it can be registered.
pub(super) fn judge(draft: &Draft) -> (Option<String>, u64) {
    let Ok(kind) = kind_of(&draft.kind) else {
        return (None, 0);
    };
    let first = |key: &Option<String>| {
        let text = draft.typed.get(key.as_deref()?)?.first()?.trim();
        let title: String = text.chars().take(30).collect();
        (!title.is_empty()).then_some(title)
    };
    let title = first(&kind.title).or_else(|| first(&kind.title_from));
    let judged = kind.read(&fields::to_json(fields::of_form(kind), &draft.typed));
    (
        title,
        judged.err().map_or(0, |refusals| refusals.len() as u64),
    )
}

fn page(
    connection: &Connection,
    journal: &mut Journal,
    session: &Session,
    line: &super::Line,
    kind: &Kind,
) -> Result<Page> {
    let lang = session.lang();
    let label = lang.label(&kind.label);
    let title = lang.say("intake-title", &[("text", label.into())]);
    Page::new(connection, journal, session, line, ("/new/opinion", title))
}

/// An empty form.
pub(super) async fn blank(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let line = (app.doors.line)();
    let page = app
        .read(move |journal, connection| page(connection, journal, &session, &line, kind))
        .await?;
    let draft = Draft {
        id: Hex(&clock::random::<16>()?).to_string(),
        kind: kind.code.clone(),
        typed: Typed::new(),
        updated_ms: 0,
    };
    form(page, kind, &draft, None)
}

/// A draft's form.
pub(super) async fn resume(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let (page, draft, kind) = app
        .read(move |journal, connection| {
            let draft = drafts::find(connection, &session.account.id, &id)?;
            let gone = || Error::new(Code::NoRecord, "there is no such draft of this account");
            let draft = draft.ok_or_else(gone)?;
            let kind = kind_of(&draft.kind)?;
            Ok((
                page(connection, journal, &session, &line, kind)?,
                draft,
                kind,
            ))
        })
        .await?;
    form(page, kind, &draft, None)
}

/// Typed things, with those names taken out that are no fields.
fn taken_apart(pairs: Vec<(String, String)>) -> Result<(Typed, String, bool)> {
    let mut typed = fields::from_pairs(pairs);
    let id = typed.remove(DRAFT).and_then(|ids| ids.into_iter().next());
    let as_draft = typed
        .remove(DO)
        .is_some_and(|what| what.iter().any(|what| what == DRAFT));
    let id = id.filter(|id| drafts::is_id(id));
    let id = id.ok_or_else(|| Error::new(Code::BadInput, "a form came without its draft's id"))?;
    Ok((typed, id, as_draft))
}

/// Keeps a draft while somebody types.
pub(super) async fn keep(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let mut typed = fields::from_pairs(pairs);
    typed.remove(DO);
    typed.remove(DRAFT);
    let kind = typed
        .remove("kind")
        .and_then(|kinds| kinds.into_iter().next());
    let kind = kind_of(kind.as_deref().unwrap_or_default())?;
    if !drafts::is_id(&id) {
        return Err(Error::new(Code::BadInput, "this is no draft's id").into());
    }
    let now_ms = clock::now_ms();
    let account = session.account.id.clone();
    let kept = app
        .write(move |_, connection| {
            // What was registered meanwhile, in another tab or a moment ago, is no draft any more.
            if save::submitted(connection, &id)?.is_some() {
                return Ok(false);
            }
            drafts::keep(connection, &account, (&id, &kind.code), &typed, now_ms)?;
            Ok(true)
        })
        .await?;
    if !kept {
        return Ok(StatusCode::CONFLICT.into_response());
    }
    let (hour, minute) = clock::Beijing::of(now_ms).time();
    let said = session.lang().say(
        "draft-kept",
        &[("time", format!("{hour:02}:{minute:02}").into())],
    );
    Ok(said.into_response())
}

/// Throws a draft away.
pub(super) async fn discard(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let account = session.account.id;
    app.write(move |_, connection| drafts::discard(connection, &account, &id))
        .await?;
    Ok(go("/"))
}

/// What became of a form that was sent.
enum Sent {
    /// It is a record; `true` if it had been one before.
    Record(String, bool),
    Draft,
    Wrong(Box<(Page, Draft, Vec<Refusal>)>),
}

/// Registers, or keeps as a draft.
pub(super) async fn register(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, super::page::Failure> {
    let kind = kind_of(&kind)?;
    let (mut typed, id, as_draft) = taken_apart(pairs)?;
    typed.remove("kind");
    let line = (app.doors.line)();
    let author = Author {
        account: session.account.id.clone(),
        now_ms: clock::now_ms(),
    };
    let sent = app
        .write(move |journal, connection| {
            let account = author.account.as_str();
            if let Some(known) = save::submitted(connection, &id)? {
                return Ok(Sent::Record(known.hyphenated(), true));
            }
            let judged = kind.read(&fields::to_json(fields::of_form(kind), &typed));
            let told = typed.contains_key(NOTICE);
            match judged {
                Ok(draft) if !as_draft => {
                    let new = save::New {
                        kind,
                        draft: &draft,
                        submission: Some(&id),
                        told,
                    };
                    let saved = match save::add(connection, journal, &new, &author) {
                        // Refused before anything was written: what was typed is kept all the same.
                        Err(error) if error.leaves_nothing() => {
                            let (place, now_ms) = ((id.as_str(), &*kind.code), author.now_ms);
                            drafts::keep(connection, account, place, &typed, now_ms)?;
                            return Err(error);
                        }
                        saved => saved?,
                    };
                    drafts::discard(connection, account, &id)?;
                    Ok(Sent::Record(saved.id.hyphenated(), false))
                }
                judged => {
                    drafts::keep(
                        connection,
                        account,
                        (&id, &kind.code),
                        &typed,
                        author.now_ms,
                    )?;
                    if as_draft {
                        return Ok(Sent::Draft);
                    }
                    let page = page(connection, journal, &session, &line, kind)?;
                    let draft = Draft {
                        id: id.clone(),
                        kind: kind.code.clone(),
                        typed: typed.clone(),
                        updated_ms: author.now_ms,
                    };
                    let refusals = judged.err().unwrap_or_default();
                    Ok(Sent::Wrong(Box::new((page, draft, refusals))))
                }
            }
        })
        .await?;
    match sent {
        Sent::Record(id, again) => {
            let note = if again { "again" } else { "new" };
            Ok(go(&format!("/records/{id}?note={note}")))
        }
        Sent::Draft => Ok(go("/")),
        Sent::Wrong(wrong) => {
            let (page, draft, refusals) = *wrong;
            let page = form(page, kind, &draft, Some(&refusals))?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
