//! Recording: the form of a kind, its drafts, and registering. What was typed is in the store within a
//! second of a pause; nothing that is wrong with it loses any of it.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Catalogue, Kind, Refusal};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::articles::{ARTICLES_MAX, canonical, within};
use super::choices::{self, Choices};
use super::fields::{self, Fault, Input};
use super::page::{Answer, Hand, Page, Session, go, html, kind_of, known};
use super::sheet::{self, About, Sheet};
use super::shown;
use super::words::Lang;
use crate::clock;
use crate::drafts::{self, Draft, Typed, Window};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::save;
use crate::records::{self, gather};

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
    window: Window,
    parts: Vec<Part>,
    faults: Vec<Fault>,
    notice: bool,
    kept: Option<String>,
    /// What happened instead of what was asked, and a record that it concerns.
    said: Option<Said>,
}

/// Why a form comes again although nothing in it may be wrong.
#[derive(Default)]
struct Said {
    text: String,
    record: Option<String>,
}

fn form(
    (page, named, about): (Page, &Choices, Option<(String, String)>),
    kind: &'static Kind,
    (draft, window): (&Draft, Window),
    wrong: &[Refusal],
    said: Option<Said>,
) -> Answer {
    let lang = page.lang;
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
        window,
        said,
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
    draft: Option<String>,
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

/// An empty form, or that of a draft that stands in the address. What was registered is never begun anew by going back.
pub(super) async fn blank(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Query(From { from, draft }): Query<From>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let line = (app.doors.line)();
    let draft = draft.filter(|id| drafts::is_id(id));
    let id = draft.map_or_else(drafts::new_id, Ok)?;
    let begun = app
        .read(move |books, connection| {
            if let Some(known) = save::submitted(connection, &id)? {
                return Ok(Err(known));
            }
            let mut draft = Draft {
                id: id.clone(),
                kind: kind.code.clone(),
                typed: Typed::new(),
                updated_ms: 0,
                window: String::new(),
            };
            let kept = drafts::find(connection, &session.account.id, &id)?;
            if let Some(kept) = kept.filter(|kept| kept.kind == kind.code) {
                draft = kept;
            } else if let Some(from) = from {
                let start = begun(connection, books, kind, &from)?;
                let named = Choices::of(connection, books, fields::of_form(kind))?;
                let named = named.holding(connection, fields::of_form(kind), &start)?;
                draft.typed = named.labels(fields::of_form(kind), start);
            }
            let around = around(connection, books, (&session, &line), kind, &draft.typed)?;
            Ok(Ok((around, draft)))
        })
        .await?;
    match begun {
        Ok(((page, named, about), draft)) => {
            let window = sheet::opened(&draft)?;
            form((page, &named, about), kind, (&draft, window), &[], None)
        }
        Err(known) => Ok(go(&registered(&known))),
    }
}

/// Where a form leads that has been registered already.
pub(super) fn registered(record: &RecordId) -> String {
    format!("/records/{}?note=again", record.hyphenated())
}

/// A draft's form.
pub(super) async fn resume(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let resumed = app
        .read(move |books, connection| {
            if let Some(known) = save::submitted(connection, &id)? {
                return Ok(Err(registered(&known)));
            }
            let draft = drafts::find(connection, &session.account.id, &id)?;
            let gone = || Error::new(Code::NoRecord, "there is no such draft of this account");
            let draft = draft.ok_or_else(gone)?;
            let about = About::parse(&draft.kind)?;
            if !matches!(about, About::New(_)) {
                return Ok(Err(about.path(&draft.id)));
            }
            let kind = kind_of(&draft.kind)?;
            let around = around(connection, books, (&session, &line), kind, &draft.typed)?;
            Ok(Ok((around, draft, kind)))
        })
        .await?;
    match resumed {
        Ok(((page, named, about), draft, kind)) => {
            let window = sheet::opened(&draft)?;
            form((page, &named, about), kind, (&draft, window), &[], None)
        }
        Err(to) => Ok(go(&to)),
    }
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
    Record(RecordId, bool),
    Draft,
    /// It comes again.
    Again(Box<Again>),
}

/// A form that comes again, with everything that was typed.
struct Again {
    around: Around,
    draft: Draft,
    window: Window,
    wrong: Vec<Refusal>,
    said: Option<Said>,
}

/// Registers, or keeps as a draft. Whatever comes of it, what was typed is in a record, in a draft or on the page that answers.
pub(super) async fn register(
    State(app): State<App>,
    hand: Hand,
    Path(kind): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let sheet = Sheet::of(pairs)?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => {
            let now_ms = clock::now_ms();
            let kept = app
                .write(move |_, connection| sheet.keep(connection, &account.id, &kind.code, now_ms))
                .await?;
            return Ok(go(&format!("/login?to=/drafts/{}", kept.id)));
        }
    };
    let line = (app.doors.line)();
    let sent = app
        .write(move |journal, connection| {
            sent(connection, journal, (&session, &line), kind, &sheet)
        })
        .await?;
    match sent {
        Sent::Record(id, true) => Ok(go(&registered(&id))),
        Sent::Record(id, false) => Ok(go(&format!("/records/{}?note=new", id.hyphenated()))),
        Sent::Draft => Ok(go("/")),
        Sent::Again(again) => {
            let (page, named, about) = again.around;
            let status = if again.said.is_some() {
                StatusCode::CONFLICT
            } else {
                StatusCode::UNPROCESSABLE_ENTITY
            };
            let draft = (&again.draft, again.window);
            let page = form((page, &named, about), kind, draft, &again.wrong, again.said)?;
            Ok((status, page).into_response())
        }
    }
}

fn sent(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &super::Line),
    kind: &'static Kind,
    sheet: &Sheet,
) -> Result<Sent> {
    let author = session.author(connection, journal)?;
    let account = author.actor.account();
    let lang = session.lang();
    let submission = sheet.submission(&kind.code);
    let other = match submission.known(connection) {
        Ok(Some(known)) => return Ok(Sent::Record(known, true)),
        Ok(None) => None,
        Err(error) if error.code() == Code::OtherContent => save::submitted(connection, &sheet.id)?,
        Err(error) => return Err(error),
    };
    let mut said = other.map(|known| Said {
        text: lang.say("intake-other", &[]),
        record: Some(known.hyphenated()),
    });
    let named = Choices::of(connection, journal, fields::of_form(kind))?;
    let given = named.ids(fields::of_form(kind), &sheet.typed);
    let judged = kind.read(&fields::to_json(fields::of_form(kind), &given));
    let mut wrong = Vec::new();
    match judged {
        Ok(draft) if !sheet.as_draft && said.is_none() => {
            let new = save::New {
                kind,
                draft: &draft,
                submission: Some(submission),
                told: sheet.typed.contains_key(NOTICE),
            };
            match save::add(connection, journal, &new, &author) {
                Ok(saved) => {
                    drafts::discard(connection, account, &sheet.id)?;
                    return Ok(Sent::Record(saved.id, false));
                }
                // Refused before anything was written.
                Err(error) if error.leaves_nothing() => said = Some(Said::of(&error, lang)),
                Err(error) => return Err(error),
            }
        }
        Ok(_) => {}
        Err(refusals) => wrong = refusals,
    }
    let mut draft = Draft {
        id: sheet.id.clone(),
        kind: kind.code.clone(),
        typed: sheet.typed.clone(),
        updated_ms: 0,
        window: sheet.window.id.clone(),
    };
    match sheet.keep(connection, account, &kind.code, author.now_ms) {
        Ok(kept) if sheet.as_draft && !kept.beside => return Ok(Sent::Draft),
        Ok(kept) => {
            if kept.beside && said.is_none() {
                let text = lang.say("draft-beside", &[("time", "".into())]);
                said = Some(Said { text, record: None });
            }
            draft.id = kept.id;
            draft.updated_ms = author.now_ms;
        }
        // Too many drafts, or too long for one: then it stands on the page alone.
        Err(error) if error.leaves_nothing() => {
            let full = lang.say("draft-full", &[]);
            said = Some(said.map_or_else(
                || Said {
                    text: full.clone(),
                    record: None,
                },
                |said| Said {
                    text: format!("{} {full}", said.text),
                    ..said
                },
            ));
        }
        Err(error) => return Err(error),
    }
    if sheet.as_draft {
        wrong.clear();
    }
    let around = around(connection, journal, (session, line), kind, &sheet.typed)?;
    Ok(Sent::Again(Box::new(Again {
        around,
        draft,
        window: sheet.window.clone(),
        wrong,
        said,
    })))
}

impl Said {
    /// What a refusal says, in words.
    fn of(error: &Error, lang: Lang) -> Self {
        let text = super::page::sentence(error.code(), lang);
        Self { text, record: None }
    }
}
