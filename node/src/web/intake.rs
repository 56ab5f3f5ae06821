//! Recording: the form of a kind, its drafts, and registering. What was typed is in the store within a
//! second of a pause; nothing that is wrong with it loses any of it.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use lianxin_protocol::catalogue::{Catalogue, Kind, Refusal};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::articles::{ARTICLES_MAX, canonical, within};
use super::choices::{self, Choices};
use super::fields::{self, Fault, Input};
use super::page::{Answer, Page, Session, go, html, kind_of, known};
use super::shown;
use crate::clock;
use crate::drafts::{self, Draft, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::records::save;
use crate::records::{self, gather};

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

/// A kind that can be recorded here.
struct Tile {
    code: String,
    label: String,
    about: String,
}

#[derive(Template)]
#[template(path = "new.html")]
struct Tiles {
    page: Page,
    tiles: Vec<Tile>,
}

#[derive(Template)]
#[template(path = "intake.html")]
struct Intake {
    page: Page,
    /// What the record is about, in words that stand elsewhere: the article of a draft.
    about: Option<(String, String)>,
    asks_notice: bool,
    kind: &'static Kind,
    draft: String,
    parts: Vec<Part>,
    faults: Vec<Fault>,
    notice: bool,
    kept: Option<String>,
}

fn form(
    (page, named, about): (Page, &Choices, Option<(String, String)>),
    kind: &'static Kind,
    draft: &Draft,
    refusals: Option<&[Refusal]>,
) -> Answer {
    let lang = page.lang;
    let wrong = refusals.unwrap_or_default();
    let parts = kind.sections.iter().map(|section| {
        let of_section = section
            .fields
            .iter()
            .filter_map(|key| kind.fields.iter().find(|field| field.key == *key));
        let inputs: Vec<_> = of_section
            .map(|field| fields::input(field, named, &draft.typed, wrong, lang))
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
        asks_notice: save::asks_notice(kind),
        about,
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
        let text = text::line(draft.typed.get(key.as_deref()?)?.first()?);
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
    books: &mut Books,
    session: &Session,
    line: &super::Line,
    kind: &Kind,
) -> Result<Page> {
    let lang = session.lang();
    let label = lang.label(&kind.label);
    let title = lang.say("intake-title", &[("text", label.into())]);
    Page::new(connection, books, session, line, ("/new", title))
}

/// What can be recorded here.
pub(super) async fn choose(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let tiles = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-new", &[]);
            let page = Page::new(connection, books, &session, &line, ("/new", title))?;
            let kinds = Catalogue::standard().kinds();
            let kinds = kinds.filter(|kind| kind.parent.is_none() && page.actor.creates(kind));
            let tiles = kinds.map(|kind| Tile {
                code: kind.code.clone(),
                label: lang.label(&kind.label).to_owned(),
                about: kind
                    .about
                    .as_ref()
                    .map_or("", |about| lang.label(about))
                    .to_owned(),
            });
            Ok(Tiles {
                tiles: tiles.collect(),
                page,
            })
        })
        .await?;
    html(&tiles)
}

/// Where a form is begun from.
#[derive(Default, Deserialize)]
pub(super) struct From {
    from: Option<String>,
}

/// What a new record of a kind starts with when it is begun from another one's page.
fn begun(connection: &Connection, books: &mut Books, kind: &Kind, from: &str) -> Result<Typed> {
    let mut typed = Typed::new();
    let (key, content, whole) = known(connection, books, from)?;
    let row = records::rows(connection, &[key])?.pop();
    let row = row.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
    let held = fields::typed(whole.fields.iter(), &content.fields);
    // A comment on an article: on the consultation that the article belongs to.
    if let (Some(parent), Some(path)) = (&whole.parent, kind.field("article_path")) {
        let consultation = held.get(&parent.field).and_then(|values| values.first());
        let gathered = kind.field(&parent.field).zip(consultation);
        if let Some((field, consultation)) = gathered {
            let whole = records::named(connection, consultation, field.names())?;
            typed.extend(whole.map(|it| (field.key.clone(), vec![choices::label(&it)])));
            let article = held.get("path").cloned().unwrap_or_default();
            typed.insert(path.key.clone(), article);
        }
        return Ok(typed);
    }
    let gather = whole
        .gathers
        .iter()
        .find(|it| it.kind == kind.code && it.adds);
    let gather = gather.ok_or_else(|| Error::new(Code::NoPage, "nothing is begun from there"))?;
    typed.insert(gather.by.clone(), vec![choices::label(&row)]);
    for (field, value) in &gather.sets {
        typed.insert(field.clone(), vec![value.clone()]);
    }
    for (theirs, ours) in &gather.copies {
        if let Some(values) = held.get(ours) {
            typed.insert(theirs.clone(), values.clone());
        }
    }
    Ok(typed)
}

/// The article that a comment is on, to be read while it is written down.
fn about(
    connection: &Connection,
    books: &mut Books,
    kind: &Kind,
    named: &Choices,
    typed: &Typed,
) -> Result<Option<(String, String)>> {
    let (Some(_), Some(field)) = (kind.field("article_path"), kind.field("consultation")) else {
        return Ok(None);
    };
    let typed = named.ids([field].into_iter(), typed);
    let first = |key: &str| typed.get(key).and_then(|values| values.first());
    let (Some(consultation), Some(path)) = (first("consultation"), first("article_path")) else {
        return Ok(None);
    };
    let Some(whole) = records::named(connection, consultation, field.names())? else {
        return Ok(None);
    };
    let of = ("draft_article", "consultation");
    let articles = records::referring(connection, &whole, of, ARTICLES_MAX)?;
    let paths = articles.iter().map(|article| {
        let path = article.facts.get("path").and_then(Value::as_str);
        canonical(path.unwrap_or_default())
    });
    let paths: Vec<_> = paths.collect();
    let place = within(path, paths.iter()).cloned();
    let article = articles
        .iter()
        .zip(&paths)
        .find(|(_, it)| Some(*it) == place.as_ref());
    if let Some((article, _)) = article {
        let content = gather(connection, books, article.key)?.content(books.authority());
        let text = content.fields.get("text").and_then(Value::as_str);
        return Ok(text.map(|text| (path.clone(), text.to_owned())));
    }
    Ok(None)
}

/// What the form of a draft needs beside it.
type Around = (Page, Choices, Option<(String, String)>);

fn around(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &super::Line),
    kind: &Kind,
    typed: &Typed,
) -> Result<Around> {
    let page = page(connection, books, session, line, kind)?;
    page.actor.may_create(kind)?;
    let named = Choices::of(connection, books, fields::of_form(kind))?;
    let about = about(connection, books, kind, &named, typed)?;
    Ok((page, named, about))
}

/// An empty form.
pub(super) async fn blank(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Query(From { from }): Query<From>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let line = (app.doors.line)();
    let ((page, named, about), typed) = app
        .read(move |books, connection| {
            let mut typed = Typed::new();
            if let Some(from) = from {
                let start = begun(connection, books, kind, &from)?;
                let named = Choices::of(connection, books, fields::of_form(kind))?;
                let named = named.holding(connection, fields::of_form(kind), &start)?;
                typed = named.labels(fields::of_form(kind), start);
            }
            let around = around(connection, books, (&session, &line), kind, &typed)?;
            Ok((around, typed))
        })
        .await?;
    let draft = Draft {
        id: Hex(&clock::random::<16>()?).to_string(),
        kind: kind.code.clone(),
        typed,
        updated_ms: 0,
    };
    form((page, &named, about), kind, &draft, None)
}

/// A draft's form.
pub(super) async fn resume(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let ((page, named, about), draft, kind) = app
        .read(move |books, connection| {
            let draft = drafts::find(connection, &session.account.id, &id)?;
            let gone = || Error::new(Code::NoRecord, "there is no such draft of this account");
            let draft = draft.ok_or_else(gone)?;
            let kind = kind_of(&draft.kind)?;
            let around = around(connection, books, (&session, &line), kind, &draft.typed)?;
            Ok((around, draft, kind))
        })
        .await?;
    form((page, &named, about), kind, &draft, None)
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
    Wrong(Box<(Around, Draft, Vec<Refusal>)>),
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
    let sent = app
        .write(move |journal, connection| {
            let author = session.author(connection, journal)?;
            let account = author.actor.account();
            if let Some(known) = save::submitted(connection, &id)? {
                return Ok(Sent::Record(known.hyphenated(), true));
            }
            let named = Choices::of(connection, journal, fields::of_form(kind))?;
            let given = named.ids(fields::of_form(kind), &typed);
            let judged = kind.read(&fields::to_json(fields::of_form(kind), &given));
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
                    let around = around(connection, journal, (&session, &line), kind, &typed)?;
                    let draft = Draft {
                        id: id.clone(),
                        kind: kind.code.clone(),
                        typed: typed.clone(),
                        updated_ms: author.now_ms,
                    };
                    let refusals = judged.err().unwrap_or_default();
                    Ok(Sent::Wrong(Box::new((around, draft, refusals))))
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
            let ((page, named, about), draft, refusals) = *wrong;
            let page = form((page, &named, about), kind, &draft, Some(&refusals))?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}
