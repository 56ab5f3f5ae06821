//! 导出: a list as a file, in the form that whoever needs it takes: a workbook, csv in the encoding of their program, the office's own ledger,
//! or what a city platform reads. That several records leave the house is written into the access log.

use askama::Template;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Kind};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::App;
use super::choices::Choices;
use super::list::{Asked, LEDGER, filter_of, said_of};
use super::page::{Answer, Page, Session, attached, html};
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
/// Records of a list that is read at once.
const ROWS: usize = 500;

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

/// The records of a list as a file.
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
    let asked = Asked::of(pairs).whole();
    let none = || {
        let message = "choose a kind: a table has the records of one";
        Error::new(Code::NoKind, message)
    };
    let kind = known_kind(asked.kind.as_deref().ok_or_else(none)?)?;
    let (line, reading) = ((app.doors.line)(), session.clone());
    let file = app
        .read(move |books, connection| {
            let title = reading.lang().say("export", &[]);
            let page = Page::new(connection, books, &reading, &line, (LEDGER, title))?;
            match own {
                Some(id) => own_ledger(books, connection, (&asked, kind, &id), &page),
                None if form == "open311" => city(books, connection, (&asked, kind), &page),
                None => table(books, connection, (&asked, kind, &form), &page),
            }
        })
        .await?;
    let said = file.said;
    app.write(move |journal, connection| {
        let author = session.author(connection, journal)?;
        save::log_access(connection, journal, (None, "export", &said), &author)
    })
    .await?;
    Ok(attached(&file.name, file.media, file.bytes))
}

/// Gives the records of a list one after the other, as ledgers read them.
fn each(
    books: &mut Books,
    connection: &Connection,
    asked: &Asked,
    page: &Page,
    mut take: impl FnMut(Value) -> Result<()>,
) -> Result<()> {
    let named = Choices::of(connection, books, asked.fields())?;
    let (mut filter, state) = filter_of(books, (asked, &named), page, ROWS);
    let coverage = Coverage::of(books);
    loop {
        let (found, next) = delivery::list(connection, &coverage, filter.clone(), state)?;
        for it in &found {
            let record = Record::read(connection, books, it.row.key, &page.actor)?;
            take(ledger_row(books, record))?;
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
fn table(
    books: &mut Books,
    connection: &Connection,
    (asked, kind, form): (&Asked, &'static Kind, &str),
    page: &Page,
) -> Result<File> {
    let (form, encoding, media, end) = match form {
        "csv" => ("csv", Encoding::Utf8Bom, "text/csv; charset=utf-8", "csv"),
        "gb18030" => ("csv", Encoding::Gb18030, "text/csv; charset=gb18030", "csv"),
        _ => ("xlsx", Encoding::Utf8Bom, XLSX, "xlsx"),
    };
    let mut bytes = Vec::new();
    let mut going = Going::begin(kind, (form, encoding), &mut bytes)?;
    each(books, connection, asked, page, |record| {
        going.record(&record)
    })?;
    let filter = asked.address().unwrap_or_default();
    let filter = filter.split_once('?').map_or("", |(_, filter)| filter);
    let notes = [
        ("类别", kind.label.zh.as_str()),
        ("导出人", &page.who),
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
fn own_ledger(
    books: &mut Books,
    connection: &Connection,
    (asked, kind, id): (&Asked, &'static Kind, &str),
    page: &Page,
) -> Result<File> {
    let key = records::find(connection, id)?;
    let row = records::rows(connection, &[key])?.pop();
    let none = || Error::new(Code::NoForm, "there is no such form");
    let form = Form::read(connection, books, &row.ok_or_else(none)?)?;
    if form.kind.code != kind.code || form.shape != Shape::Ledger {
        return Err(none());
    }
    let mut records = Vec::new();
    each(books, connection, asked, page, |record| {
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
fn city(
    books: &mut Books,
    connection: &Connection,
    (asked, kind): (&Asked, &'static Kind),
    page: &Page,
) -> Result<File> {
    let mut requests = Vec::new();
    each(books, connection, asked, page, |record| {
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
