//! 导出: a list as a file, in the form that whoever needs it takes: a workbook, csv in the encoding of their program, the office's own ledger,
//! or what a city platform reads. That several records leave the house is written into the access log.
//!
//! What takes longer than a moment is written behind a page that says how far it has come. It is held for the login that asked, in memory
//! alone; whoever asks for another, or logs out, lets go of it, and it is not written any further.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderValue;
use axum::response::Response;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::App;
use super::choices::Choices;
use super::list::{Asked, LEDGER, filter_of, said_of};
use super::page::{Answer, Page, Session, attached, go, html};
use crate::command::{known_kind, ledger_row};
use crate::error::{Code, Error, Result};
use crate::forms::{self, Form, Shape};
use crate::journal::Books;
use crate::ledger::open311;
use crate::ledger::out::Going;
use crate::records::delivery::{self, Coverage};
use crate::records::{self, Record, save};
use crate::reports::files::XLSX;
use crate::sheets::Encoding;

/// Where it is chosen how, and the file.
pub(super) const PAGE: &str = "/records/export";
const FILE: &str = "/records/table";
/// Name in the address of the form, and of the office's own.
const FORM: &str = "form";
const OFFICE: &str = "office";
/// Name in the address of what has no page wait for it: the file is written behind one at once.
const BEHIND: &str = "behind";
/// Records of a list that is read at once.
const ROWS: usize = 500;
/// How long a file may take before a page says how far it has come.
const SOON: Duration = Duration::from_secs(1);
/// Files that are written or held at once, one of each login: what is over is let go of.
const FILES_MAX: usize = 4;

#[derive(Template)]
#[template(path = "export.html")]
struct Export {
    page: Page,
    back: String,
    said: String,
    /// Kinds to choose from, where none is chosen: codes and names.
    kinds: Vec<(String, String)>,
    /// Where the file is, with its filter: a form is added to it.
    file: String,
    /// The office's own ledgers of this kind: ids and names.
    own: Vec<(String, String)>,
    open311: bool,
    /// Whether whoever looks may add a form.
    adds: bool,
}

/// Where it is chosen how a list is exported.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("export", &[]);
            let page = Page::new(connection, books, &session, &line, (LEDGER, title))?;
            let asked = Asked::of(pairs).whole();
            let kind = asked.kind.as_deref();
            let kind = kind.and_then(|code| Catalogue::current().kind(code));
            let back = asked.address().unwrap_or_else(|| LEDGER.to_owned());
            let file = back.replacen(LEDGER, FILE, 1);
            let joint = if file.contains('?') { '&' } else { '?' };
            let own = forms::all(connection, kind.map(|kind| kind.code.as_str()))?;
            let own = own.iter().filter_map(|row| {
                let (name, _, shape) = forms::about(row)?;
                let is_ledger = shape == Shape::Ledger;
                is_ledger.then(|| (row.id.hyphenated(), name.to_owned()))
            });
            let kinds = Catalogue::current().kinds();
            let kinds = kinds.filter(|it| kind.is_none() && !it.create.by_program);
            let kinds = kinds.map(|it| (it.code.clone(), lang.label(&it.label).to_owned()));
            Ok(Export {
                said: said_of(&asked, books.authority(), lang),
                kinds: kinds.collect(),
                own: own.collect(),
                open311: kind.is_some_and(|kind| kind.code == open311::KIND),
                adds: page.actor.may_issue().is_ok(),
                file: format!("{file}{joint}"),
                back,
                page,
            })
        })
        .await?;
    html(&page)
}

/// A file that was written.
struct File {
    name: String,
    media: &'static str,
    bytes: Vec<u8>,
    /// What the access log says of it.
    said: String,
}

/// A file that is being written, or was.
#[derive(Default)]
struct Writing {
    /// Records that are in it, and how many there will be; 0 where nobody has counted.
    done: AtomicU64,
    of: AtomicU64,
    /// Nobody waits for it any more.
    left: AtomicBool,
    outcome: Mutex<Option<Result<Arc<File>>>>,
    ended: Notify,
}

impl Writing {
    fn outcome(&self) -> MutexGuard<'_, Option<Result<Arc<File>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One record more is in it.
    fn goes_on(&self) -> Result<()> {
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.left.load(Ordering::Relaxed) {
            let message = "another file was asked for, or nobody waits for this one";
            return Err(Error::new(Code::NoPage, message));
        }
        Ok(())
    }
}

/// Who waits for a file.
struct Waits(Arc<Writing>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::Relaxed);
    }
}

#[derive(Template)]
#[template(path = "export_file.html")]
struct Coming {
    page: Page,
    id: String,
    /// Records that are in it so far, and how many there will be.
    running: Option<(u64, Option<u64>)>,
}

/// The file if it has come to its end; gone if it failed.
fn ready(writing: &Writing) -> Result<Option<Arc<File>>> {
    let mut outcome = writing.outcome();
    match outcome.take() {
        Some(Ok(file)) => {
            *outcome = Some(Ok(Arc::clone(&file)));
            Ok(Some(file))
        }
        Some(Err(error)) => {
            // It has been said why; there is no file to come.
            writing.left.store(true, Ordering::Relaxed);
            Err(error)
        }
        None if writing.left.load(Ordering::Relaxed) => {
            let message = "the file was not written: ask for it again";
            Err(Error::new(Code::NoPage, message))
        }
        None => Ok(None),
    }
}

fn sent(file: &File) -> Response {
    attached(&file.name, file.media, file.bytes.clone())
}

/// How far a file has come; when it is there, it comes by itself.
pub(super) async fn coming(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(waits) = app.kept.get::<Waits>(&session, &id) else {
        return Ok(go(PAGE));
    };
    let is_ready = ready(&waits.0)?.is_some();
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let title = session.lang().say("export", &[]);
            let page = Page::new(connection, books, &session, &line, (LEDGER, title))?;
            let [done, of] = [&waits.0.done, &waits.0.of].map(|it| it.load(Ordering::Relaxed));
            Ok(Coming {
                running: (!is_ready).then_some((done, Some(of).filter(|of| *of > 0))),
                id,
                page,
            })
        })
        .await?;
    let mut answer = html(&page)?;
    let next = match is_ready {
        true => format!("0; url={FILE}/{}/file", page.id),
        false => "1".to_owned(),
    };
    if let Ok(next) = HeaderValue::from_str(&next) {
        answer.headers_mut().insert("refresh", next);
    }
    Ok(answer)
}

/// A file that was written behind a page.
pub(super) async fn written(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(waits) = app.kept.get::<Waits>(&session, &id) else {
        return Ok(go(PAGE));
    };
    match ready(&waits.0)? {
        Some(file) => Ok(sent(&file)),
        None => Ok(go(&format!("{FILE}/{id}"))),
    }
}

/// The records of a list as a file, at once if that takes no longer than a moment.
pub(super) async fn file(
    State(app): State<App>,
    session: Session,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer {
    let named = |name: &str| {
        let found = pairs.iter().find(|(it, _)| it == name);
        found.map(|(_, text)| text.clone())
    };
    let (form, own) = (named(FORM).unwrap_or_default(), named(OFFICE));
    let soon = match named(BEHIND) {
        Some(_) => Duration::ZERO,
        None => SOON,
    };
    let asked = Asked::of(pairs).whole();
    let none = || {
        let message = "choose a kind: a table has the records of one";
        Error::new(Code::NoKind, message)
    };
    let kind = known_kind(asked.kind.as_deref().ok_or_else(none)?)?;
    let waits = Waits(Arc::default());
    let wanted = Wanted {
        asked,
        kind,
        form,
        own,
    };
    tokio::spawn(write(
        app.clone(),
        session.clone(),
        wanted,
        Arc::clone(&waits.0),
    ));
    let ended = tokio::time::timeout(soon, waits.0.ended.notified()).await;
    if ended.is_ok()
        && let Some(file) = ready(&waits.0)?
    {
        return Ok(sent(&file));
    }
    let id = app.kept.put_large(&session, waits, FILES_MAX)?;
    Ok(go(&format!("{FILE}/{id}")))
}

/// What is to be in a file.
struct Wanted {
    asked: Asked,
    kind: &'static Kind,
    form: String,
    own: Option<String>,
}

/// Writes a file, and into the access log that it leaves.
async fn write(app: App, session: Session, wanted: Wanted, writing: Arc<Writing>) {
    let written = write_for(&app, session, wanted, Arc::clone(&writing)).await;
    *writing.outcome() = Some(written.map(Arc::new));
    writing.ended.notify_one();
}

async fn write_for(
    app: &App,
    session: Session,
    wanted: Wanted,
    writing: Arc<Writing>,
) -> Result<File> {
    let (line, reading) = ((app.doors.line)(), session.clone());
    let file = app
        .read(move |books, connection| {
            let Wanted {
                asked,
                kind,
                form,
                own,
            } = wanted;
            let title = reading.lang().say("export", &[]);
            let page = Page::new(connection, books, &reading, &line, (LEDGER, title))?;
            if asked.is_of_all(kind) {
                let tally = records::tally(connection, &kind.code)?;
                let all = tally.into_iter().map(|(.., count)| count).sum();
                writing.of.store(all, Ordering::Relaxed);
            }
            let mut from = From {
                books,
                connection,
                asked: &asked,
                page: &page,
                writing: &writing,
            };
            match own {
                Some(id) => own_ledger(&mut from, (kind, &id)),
                None if form == "open311" => city(&mut from, kind),
                None => table(&mut from, (kind, &form)),
            }
        })
        .await?;
    let said = file.said.clone();
    app.write(move |journal, connection| {
        let author = session.author(connection, journal)?;
        save::log_access(connection, journal, (None, "export", &said), &author)
    })
    .await?;
    Ok(file)
}

/// Where the records of a file come from, and who watches.
struct From<'a> {
    books: &'a mut Books,
    connection: &'a Connection,
    asked: &'a Asked,
    page: &'a Page,
    writing: &'a Writing,
}

/// Gives the records of a list one after the other, as ledgers read them.
fn each(from: &mut From<'_>, mut take: impl FnMut(Value) -> Result<()>) -> Result<()> {
    let From {
        books,
        connection,
        asked,
        page,
        writing,
    } = from;
    let named = Choices::of(connection, books, asked.fields())?;
    let (mut filter, state) = filter_of(books, (asked, &named), page, ROWS);
    let coverage = Coverage::of(books);
    loop {
        let (found, next) = delivery::list(connection, &coverage, filter.clone(), state)?;
        for it in &found {
            let record = Record::read(connection, books, it.row.key, &page.actor)?;
            take(ledger_row(books, record))?;
            writing.goes_on()?;
        }
        match next {
            Some(next) => filter.after = Some(next),
            None => return Ok(()),
        }
    }
}

fn logged(kind: &Kind, rows: u64, form: &str) -> String {
    format!("导出{}台账 {rows} 条（{form}）", kind.label.zh)
}

/// A table with every column.
fn table(from: &mut From<'_>, (kind, form): (&'static Kind, &str)) -> Result<File> {
    let (form, encoding, media, end) = match form {
        "csv" => ("csv", Encoding::Utf8Bom, "text/csv; charset=utf-8", "csv"),
        "gb18030" => ("csv", Encoding::Gb18030, "text/csv; charset=gb18030", "csv"),
        _ => ("xlsx", Encoding::Utf8Bom, XLSX, "xlsx"),
    };
    let mut bytes = Vec::new();
    let mut going = Going::begin(kind, (form, encoding), &mut bytes)?;
    each(from, |record| going.record(&record))?;
    let filter = from.asked.address().unwrap_or_default();
    let filter = filter.split_once('?').map_or("", |(_, filter)| filter);
    let notes = [
        ("类别", kind.label.zh.as_str()),
        ("导出人", &from.page.who),
        ("筛选", filter),
    ];
    let rows = going.finish(&notes)?;
    Ok(File {
        name: format!("lianxin-{}.{end}", kind.code),
        media,
        bytes,
        said: logged(kind, rows, form),
    })
}

/// The office's own ledger, filled. It begins with what was recorded first.
fn own_ledger(from: &mut From<'_>, (kind, id): (&'static Kind, &str)) -> Result<File> {
    let key = records::find(from.connection, id)?;
    let row = records::rows(from.connection, &[key])?.pop();
    let none = || Error::new(Code::NoForm, "there is no such form");
    let form = Form::read(from.connection, from.books, &row.ok_or_else(none)?)?;
    if form.kind.code != kind.code || form.shape != Shape::Ledger {
        return Err(none());
    }
    let mut records = Vec::new();
    each(from, |record| {
        records.push(record);
        Ok(())
    })?;
    records.reverse();
    let (bytes, _) = form.ledger(&records)?;
    Ok(File {
        name: format!("lianxin-{}-form.xlsx", kind.code),
        media: XLSX,
        bytes,
        said: logged(kind, records.len() as u64, &form.name),
    })
}

/// What a city platform reads.
fn city(from: &mut From<'_>, kind: &'static Kind) -> Result<File> {
    let mut requests = Vec::new();
    each(from, |record| {
        requests.extend(open311::request(&record));
        Ok(())
    })?;
    let said = logged(kind, requests.len() as u64, "Open311");
    Ok(File {
        name: "lianxin-requests.json".to_owned(),
        media: "application/json",
        bytes: format!("{:#}\n", json!(requests)).into_bytes(),
        said,
    })
}
