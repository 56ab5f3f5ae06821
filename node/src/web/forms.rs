//! 本单位表样: the office's own ledgers and letters. A file is looked at, what each of its columns or places is gets settled once, and it is
//! kept for every device; it is filled where records are exported, and on the page of a record.

use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::Form as Sent;
use axum::extract::{Multipart, Path, Query, State};
use lianxin_protocol::catalogue::{Catalogue, Kind};
use rusqlite::Connection;
use serde::Deserialize;

use super::App;
use super::page::{Answer, Page, Session, attached, go, html, open};
use super::upload::Upload;
use super::words::Lang;
use crate::command::{known_kind, ledger_row};
use crate::error::{Code, Error, Result};
use crate::forms::{self, Form, Looked, Shape};
use crate::ledger::all_columns;
use crate::records::{self, Record};
use crate::sheets::paper;

/// Bytes of a form with a file in it.
pub(super) const FORM_MAX: usize = forms::FILE_BYTES_MAX + 64 * 1024;
/// Where they are listed.
const PAGE: &str = "/forms";
/// Stands before the place of a column in the names of a form.
const COLUMN: &str = "c";

/// A form in a list.
struct Row {
    id: String,
    name: String,
    kind: String,
    shape: &'static str,
}

/// Kinds with their codes, group by group.
type Kinds = Vec<(String, String)>;

#[derive(Template)]
#[template(path = "forms.html")]
struct Forms {
    page: Page,
    rows: Vec<Row>,
    kinds: Kinds,
    kind: String,
    /// Whether whoever looks may add one.
    adds: bool,
    /// Why the file was not read.
    refused: Option<String>,
}

/// What an address says.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    refused: String,
}

/// Those in use, and a form to add one.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("forms", &[]);
            let page = Page::new(connection, books, &session, &line, (PAGE, title))?;
            let rows = forms::all(connection, None)?;
            let rows = rows.iter().filter_map(|row| {
                let (name, kind, shape) = forms::about(row)?;
                Some(Row {
                    id: row.id.hyphenated(),
                    name: name.to_owned(),
                    kind: lang.label(&kind.label).to_owned(),
                    shape: shape.word(),
                })
            });
            let kinds = Catalogue::current().kinds();
            let kinds = kinds.filter(|kind| !kind.create.by_program);
            let kinds = kinds.map(|kind| (kind.code.clone(), lang.label(&kind.label).to_owned()));
            Ok(Forms {
                rows: rows.collect(),
                kinds: kinds.collect(),
                kind: asked.kind,
                adds: page.actor.may_issue().is_ok(),
                refused: super::import::known_refusal(&asked.refused)
                    .then(|| lang.say(&format!("table-{}", asked.refused), &[])),
                page,
            })
        })
        .await?;
    html(&page)
}

/// A file that was looked at, and what it is to be called.
struct Kept {
    name: String,
    /// Taken out when it is kept, so that a form that is sent twice keeps it once.
    looked: Mutex<Option<Looked>>,
}

/// Looks at a file.
pub(super) async fn look(State(app): State<App>, session: Session, form: Multipart) -> Answer {
    let sent = Upload::read(form, Code::BadTable).await?;
    let kind = known_kind(sent.typed("kind"))?;
    // What it is called on the computer it comes from is mostly what the office calls it.
    let name = Some(sent.typed("name")).filter(|name| !name.is_empty());
    let name = name.unwrap_or(sent.stem.trim()).chars().take(64).collect();
    let bytes = sent.bytes;
    let asking = session.clone();
    let looked = app
        .read(move |books, connection| {
            asking.actor(connection, books)?.may_issue()?;
            Ok(Looked::at(kind, bytes.to_vec(), None))
        })
        .await?;
    match looked {
        Ok(looked) => {
            let looked = Mutex::new(Some(looked));
            let id = app.kept.put_large(&session, Kept { name, looked }, 50)?;
            Ok(go(&format!("{PAGE}/{id}")))
        }
        Err(refusal) => Ok(go(&format!(
            "{PAGE}?kind={}&refused={}",
            kind.code,
            refusal.code()
        ))),
    }
}

/// A column of a table, and what it can be taken for.
pub(super) struct Choice {
    pub(super) name: String,
    /// How its choice is called in the form.
    pub(super) field: String,
    /// The code that is taken, none where it is left out.
    pub(super) code: String,
}

/// The columns that a kind's records can fill, with their names.
pub(super) fn codes(kind: &'static Kind, lang: Lang) -> Vec<(String, String)> {
    let columns = all_columns(kind);
    columns.map(|it| (it.code(), it.label(lang))).collect()
}

#[derive(Template)]
#[template(path = "form_columns.html")]
struct Columns {
    page: Page,
    id: String,
    name: String,
    kind: String,
    letter: bool,
    columns: Vec<Choice>,
    codes: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "form_kept.html")]
struct KeptPage {
    page: Page,
    id: String,
    name: String,
    kind: String,
    /// Where it is filled, for a ledger.
    export: String,
    /// Heads or places, each with what is put there.
    columns: Vec<(String, String)>,
}

/// A form in use, with what goes into its columns.
async fn in_use(app: App, session: Session, id: String) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("forms", &[]);
            let page = Page::new(connection, books, &session, &line, (PAGE, title))?;
            let key = records::find(connection, &id)?;
            let row = records::rows(connection, &[key])?.pop();
            let none = || Error::new(Code::NoForm, "there is no such form");
            let form = Form::read(connection, books, &row.ok_or_else(none)?)?;
            let columns = form.places()?.into_iter();
            let columns = columns.map(|(place, column)| {
                let label = column.map_or_else(String::new, |it| it.label(lang));
                (place.name, label)
            });
            Ok(KeptPage {
                columns: columns.collect(),
                kind: lang.label(&form.kind.label).to_owned(),
                export: match form.shape {
                    Shape::Ledger => format!("{}?kind={}", super::export::PAGE, form.kind.code),
                    Shape::Letter => String::new(),
                },
                name: form.name,
                id,
                page,
            })
        })
        .await?;
    html(&page)
}

/// What each of its columns was taken for: to be settled, or as it was kept.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    // What is kept for a while has an id without hyphens.
    if id.contains('-') {
        return in_use(app, session, id).await;
    }
    let Some(kept) = app.kept.get::<Kept>(&session, &id) else {
        return Ok(go(PAGE));
    };
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("forms", &[]);
            let page = Page::new(connection, books, &session, &line, (PAGE, title))?;
            let looked = kept.looked.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(looked) = looked.as_ref() else {
                return Ok(None);
            };
            let places = looked.places.iter().enumerate();
            let columns = places.map(|(at, (place, column))| Choice {
                name: place.name.clone(),
                field: format!("{COLUMN}{at}"),
                code: column.map_or_else(String::new, |it| it.code()),
            });
            Ok(Some(Columns {
                id,
                name: kept.name.clone(),
                kind: lang.label(&looked.kind.label).to_owned(),
                letter: looked.shape == Shape::Letter,
                columns: columns.collect(),
                codes: codes(looked.kind, lang),
                page,
            }))
        })
        .await?;
    match page {
        Some(page) => html(&page),
        None => Ok(go(PAGE)),
    }
}

/// Keeps it as it was settled.
pub(super) async fn keep(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Sent(pairs): Sent<Vec<(String, String)>>,
) -> Answer {
    let Some(kept) = app.kept.get::<Kept>(&session, &id) else {
        return Ok(go(PAGE));
    };
    let author = session.clone();
    app.write(move |journal, connection| {
        let mut kept_one = kept.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(looked) = kept_one.as_mut() else {
            return Ok(());
        };
        let keys: Vec<_> = looked.places.iter().map(|(it, _)| it.key.clone()).collect();
        let mut name = kept.name.clone();
        for (field, said) in &pairs {
            if field == "name" {
                name.clone_from(said);
            }
            let place = field
                .strip_prefix(COLUMN)
                .and_then(|at| at.parse::<usize>().ok());
            if let Some(key) = place.and_then(|at| keys.get(at)) {
                looked.take(key, said)?;
            }
        }
        let author = author.author(connection, journal)?;
        forms::keep(connection, journal, (&name, looked), &author)?;
        *kept_one = None;
        Ok(())
    })
    .await?;
    Ok(go(PAGE))
}

/// The letters of a kind: ids and names.
pub(super) fn letters(connection: &Connection, kind: &Kind) -> Result<Vec<(String, String)>> {
    let rows = forms::all(connection, Some(&kind.code))?;
    let letters = rows.iter().filter_map(|row| {
        let (name, _, shape) = forms::about(row)?;
        (shape == Shape::Letter).then(|| (row.id.hyphenated(), name.to_owned()))
    });
    Ok(letters.collect())
}

/// A letter of the office, filled from one record.
pub(super) async fn letter(
    State(app): State<App>,
    session: Session,
    Path((id, form)): Path<(String, String)>,
) -> Answer {
    let (name, bytes) = app
        .read(move |books, connection| {
            let (record, kind) = open(connection, books, &session, &id)?;
            let key = records::find(connection, &form)?;
            let row = records::rows(connection, &[key])?.pop();
            let none = || Error::new(Code::NoForm, "there is no such form");
            let form = Form::read(connection, books, &row.ok_or_else(none)?)?;
            if form.kind.code != kind.code || form.shape != Shape::Letter {
                return Err(none());
            }
            let name = file_name(&record, "docx");
            Ok((name, form.letter(&ledger_row(books, record))?))
        })
        .await?;
    Ok(attached(&name, paper::MEDIA, bytes))
}

/// What a file of a record is called: by its number, which names nobody.
pub(super) fn file_name(record: &Record, end: &str) -> String {
    let number = record.content.number.clone();
    // The number of a sheet has a slash in it.
    let name = number.unwrap_or_else(|| record.id.hyphenated());
    format!("{}.{end}", name.replace('/', "-"))
}
