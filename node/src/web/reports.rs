//! 统计: reports of a period on a page that prints, each number with the records that it counts, and as files to take away.
//!
//! What is asked for is all in the address: dates and a number, nothing of what people said. Links from a report keep its cut-off, so that a list
//! has what the number counted, whatever has come since.

use askama::Template;
use axum::extract::{Form, Path, Query, State};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::list::{Row, encoded};
use super::page::{Answer, Page, Session, attached, go, html};
use super::words::Lang;
use crate::clock::{self, Beijing};
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::records;
use crate::records::delivery::Coverage;
use crate::reports::shown::{Changed, Shown, shown_in};
use crate::reports::{self, Asked, files, proof, snapshot, table};

/// Records on a page of a list.
const ROWS: usize = 100;

/// What an address asks for; without dates the year so far.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    as_of: String,
    /// The place of a figure in its report.
    #[serde(default)]
    cell: String,
    /// How many records of a list come before.
    #[serde(default)]
    skip: usize,
    /// The form of a file.
    #[serde(default)]
    form: String,
    /// Of test data, if it says anything.
    #[serde(default)]
    test: String,
    /// Of one deputy, by the record.
    #[serde(default)]
    deputy: String,
}

impl Wanted {
    /// The same as a report takes it.
    fn asked(&self, report: &str, now_ms: u64) -> Result<Asked> {
        let (from, to) = this_year(now_ms);
        let or = |typed: &str, other: String| match typed.trim() {
            "" => other,
            typed => typed.to_owned(),
        };
        let as_of = Some(self.as_of.trim()).filter(|it| !it.is_empty());
        Asked::read(
            report,
            (&or(&self.from, from), &or(&self.to, to)),
            as_of,
            now_ms,
        )
        .map(|asked| asked.of_test_data(!self.test.is_empty()))?
        .of_deputy(Some(self.deputy.clone()))
    }
}

/// The first day of the year, and its last.
fn this_year(now_ms: u64) -> (String, String) {
    let year = Beijing::of(now_ms).date().0;
    (format!("{year:04}-01-01"), format!("{year:04}-12-31"))
}

/// The address of a report with what was asked of it, to which more can be added.
fn address(asked: &Asked, page: &str) -> String {
    format!(
        "/reports/{}{page}?from={}&to={}&as_of={}{}{}",
        asked.report,
        asked.from,
        asked.to,
        clock::rfc3339(asked.as_of_ms),
        if asked.test_data { "&test=1" } else { "" },
        asked.deputy.as_deref().map_or_else(String::new, |deputy| {
            format!("&deputy={}", encoded(deputy))
        }),
    )
}

/// Markup that [`plots`](crate::plots) made, or that an issued report keeps of it: nothing but shapes and escaped words.
pub(super) struct Svg(String);

impl Svg {
    /// Of markup that has nothing in it but what plots are made of; of other markup nothing.
    pub(super) fn of(markup: &str) -> Self {
        /// The elements of a plot.
        const ELEMENTS: [&str; 13] = [
            "svg", "title", "desc", "defs", "pattern", "rect", "path", "text", "g", "line",
            "circle", "tspan", "clipPath",
        ];
        let elements = markup.split('<').skip(1).map(|rest| {
            let name = rest.trim_start_matches('/');
            let end = name.find(|it: char| !it.is_ascii_alphanumeric());
            name.get(..end.unwrap_or(name.len())).unwrap_or_default()
        });
        let plain = elements.into_iter().all(|name| ELEMENTS.contains(&name));
        // No attribute of these begins with "on", and none names another document.
        let quiet = !markup.contains(" on") && !markup.contains("href");
        Self(if plain && quiet {
            markup.to_owned()
        } else {
            String::new()
        })
    }
}

impl std::fmt::Display for Svg {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl askama::FastWritable for Svg {
    fn write_into(
        &self,
        out: &mut dyn std::fmt::Write,
        _: &dyn askama::Values,
    ) -> askama::Result<()> {
        out.write_str(&self.0).map_err(askama::Error::from)
    }
}

impl askama::filters::HtmlSafe for Svg {}

// ---- all of them ----

struct Choice {
    id: &'static str,
    title: String,
    about: String,
}

#[derive(Template)]
#[template(path = "reports.html")]
struct Index {
    page: Page,
    choices: Vec<Choice>,
    from: String,
    to: String,
    query: String,
}

/// The list of reports.
pub(super) async fn index(
    State(app): State<App>,
    session: Session,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let line = (app.doors.line)();
    let index = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-reports", &[]);
            let page = Page::new(connection, books, &session, &line, ("/reports", title))?;
            let asked = wanted.asked("R1", page.now_ms)?;
            let choices = reports::ALL.iter().map(|report| Choice {
                id: report.id,
                title: lang.say(&format!("rr-{}", report.id), &[]),
                about: lang.say(&format!("ra-{}", report.id), &[]),
            });
            Ok(Index {
                choices: choices.collect(),
                query: format!("from={}&to={}", asked.from, asked.to),
                from: asked.from,
                to: asked.to,
                page,
            })
        })
        .await?;
    html(&index)
}

// ---- one ----

#[derive(Template)]
#[template(path = "report.html")]
struct Report {
    page: Page,
    id: String,
    from: String,
    to: String,
    /// The day of the cut-off, where one was asked for.
    as_of: String,
    shown: Shown,
    /// Addresses to which a place or a form is added.
    list: String,
    file: String,
    /// Records of the period that came after the cut-off.
    late: u64,
    /// The address of the same of test data, where there is some and it is not asked for.
    of_test_data: Option<String>,
    test: bool,
    /// The last one that was issued for the period: its address, its number, when, and the list of what came since.
    issued: Option<Issued>,
    /// Whether whoever looks may issue it.
    issues: bool,
    /// Deputies of whom alone it can be: records and names; and which is chosen.
    deputies: Vec<(String, String)>,
    deputy: String,
}

/// The deputies of the register of whom alone a report can be, by their names.
fn deputies(connection: &Connection, report: &str) -> Result<Vec<(String, String)>> {
    /// Deputies that can be chosen from.
    const MOST: usize = 1_000;
    if report != "R10" {
        return Ok(Vec::new());
    }
    let filter = records::Filter {
        kind: Some("deputy".to_owned()),
        held: Some(false),
        present: true,
        limit: MOST,
        ..records::Filter::default()
    };
    let rows = records::list(connection, &filter)?;
    let named = rows.iter().map(|row| {
        let name = row.name().map(str::to_owned);
        (row.id.hyphenated(), name.unwrap_or_default())
    });
    let mut named: Vec<_> = named.filter(|(_, name)| !name.is_empty()).collect();
    named.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(named)
}

/// A report that was issued before for the same period.
struct Issued {
    href: String,
    number: String,
    at: String,
    /// How many records of the period have come since, and the address of their list.
    since: u64,
    list: String,
}

impl Issued {
    fn read(connection: &Connection, books: &Books, asked: &Asked) -> Result<Option<Self>> {
        let Some((row, as_of_ms)) = snapshot::last(connection, asked)? else {
            return Ok(None);
        };
        let then = Asked {
            as_of_ms,
            ..asked.clone()
        };
        let list = format!("{}&cell=late", address(&then, "/list"));
        Ok(Some(Self {
            href: format!("/reports/issued/{}", row.id.hyphenated()),
            number: row.number.unwrap_or_default(),
            at: table::moment(as_of_ms),
            since: reports::run(connection, books, then)?.late.len() as u64,
            list,
        }))
    }
}

/// A report.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say(&format!("rr-{}", reports::find(&id)?.id), &[]);
            let page = Page::new(connection, books, &session, &line, ("/reports", title))?;
            let asked = wanted.asked(&id, page.now_ms)?;
            let report = reports::run(connection, books, asked)?;
            Ok(Report {
                id: report.asked.report.clone(),
                from: report.asked.from.clone(),
                to: report.asked.to.clone(),
                as_of: wanted.as_of.clone(),
                shown: shown_in(&report, lang),
                list: address(&report.asked, "/list"),
                file: address(&report.asked, "/file"),
                late: report.late.len() as u64,
                of_test_data: (report.others > 0 && !report.asked.test_data)
                    .then(|| address(&report.asked.clone().of_test_data(true), "")),
                test: report.asked.test_data,
                issued: Issued::read(connection, books, &report.asked)?,
                issues: page.actor.may_issue().is_ok()
                    && !report.asked.test_data
                    && report.deputy.is_none(),
                deputies: deputies(connection, &report.asked.report)?,
                deputy: wanted.deputy.clone(),
                page,
            })
        })
        .await?;
    html(&page)
}

#[derive(Template)]
#[template(path = "report_list.html")]
struct List {
    page: Page,
    report: String,
    back: String,
    /// What is counted: the line and the column.
    counted: String,
    value: String,
    rows: Vec<Row>,
    count: u64,
    next: Option<String>,
}

/// The records behind a number, as far as whoever looks is shown them.
pub(super) async fn list(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let asked = wanted.asked(&id, clock::now_ms())?;
            let report = reports::run(connection, books, asked)?;
            let (counted, value, mut keys) = behind(&report, &wanted.cell, lang)?;
            keys.dedup();
            let title = lang.say("report-counted", &[]);
            let page = Page::new(connection, books, &session, &line, ("/reports", title))?;
            let count = keys.len();
            let shown: Vec<_> = keys.into_iter().skip(wanted.skip).take(ROWS).collect();
            let next = wanted.skip.saturating_add(ROWS);
            let coverage = Coverage::of(books);
            let mut rows = Vec::with_capacity(shown.len());
            for row in &records::rows(connection, &shown)? {
                let it = Row::new(connection, books, &coverage, row, &page)?;
                rows.push(it.with_kind(row, lang));
            }
            let here = address(&report.asked, "/list");
            Ok(List {
                report: lang.say(&format!("rr-{}", report.definition.id), &[]),
                back: address(&report.asked, ""),
                counted,
                value,
                rows,
                count: count as u64,
                next: (next < count).then(|| format!("{here}&cell={}&skip={next}", wanted.cell)),
                page,
            })
        })
        .await?;
    html(&page)
}

/// What a place of a report counts, how many that is, and the records by their numbers in this store.
fn behind(report: &reports::Report, cell: &str, lang: Lang) -> Result<(String, String, Vec<i64>)> {
    if cell == "late" {
        let counted = lang.say("report-late-title", &[]);
        return Ok((counted, report.late.len().to_string(), report.late.clone()));
    }
    let none = || Error::new(Code::NoPage, "this report has no such number");
    let figure = report.figure(cell).ok_or_else(none)?;
    let keys = figure.of.iter().map(|part| part.key).collect();
    let shown = shown_in(report, lang);
    let mut places = cell.split('.').map(str::parse::<usize>);
    let mut next = || places.next().and_then(std::result::Result::ok);
    let named = next()
        .zip(next())
        .zip(next())
        .and_then(|((table, line), column)| {
            let table = shown.tables.get(table)?;
            let line = table.lines.get(line)?;
            let (name, _) = table.columns.get(column)?;
            let value = line.cells.get(column)?.text.clone();
            let first = line.cells.iter().take(column).find(|it| !it.is_number);
            let first = first.map(|it| it.text.as_str()).unwrap_or_default();
            Some((format!("{first} · {name}"), value))
        });
    let (counted, value) = named.unwrap_or_else(|| (cell.to_owned(), figure.value.to_string()));
    Ok((counted, value, keys))
}

// ---- issued ----

/// Issues a report as it is now, and shows it.
pub(super) async fn issue(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(wanted): Form<Wanted>,
) -> Answer {
    // Counted beside the writer: nobody's save waits for it.
    let report = app
        .read(move |books, connection| {
            let asked = wanted.asked(&id, clock::now_ms())?;
            reports::run(connection, books, asked)
        })
        .await?;
    let saved = app
        .write(move |journal, connection| {
            let author = session.author(connection, journal)?;
            snapshot::issue(connection, journal, &report, &author)
        })
        .await?;
    Ok(go(&format!("/reports/issued/{}", saved.id.hyphenated())))
}

#[derive(Template)]
#[template(path = "report_issued.html")]
struct IssuedPage {
    page: Page,
    id: String,
    number: String,
    withdrawn: bool,
    back: String,
    /// Where its plots are as files: nowhere.
    file: &'static str,
    shown: Option<Shown>,
    /// Records of its period that came after its cut-off, and the address of their list.
    late: u64,
    late_list: String,
    /// What would be another number now, if somebody asked.
    changed: Option<Vec<Changed>>,
}

/// What is asked of an issued report besides.
#[derive(Deserialize)]
pub(super) struct Compared {
    #[serde(default)]
    compare: String,
}

/// A report as it was issued.
pub(super) async fn issued(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(Compared { compare }): Query<Compared>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let key = records::find(connection, &id)?;
            let row = records::rows(connection, &[key])?.pop();
            let row = row.filter(|row| row.kind == snapshot::KIND);
            let none = || Error::new(Code::NoRecord, "this device has no such record");
            let row = row.ok_or_else(none)?;
            let shown = snapshot::read(connection, books, &row)?;
            let title = session.lang().say("report-issued", &[]);
            let page = Page::new(connection, books, &session, &line, ("/reports", title))?;
            let text = |key: &str| row.fact(key).and_then(Value::as_str).unwrap_or_default();
            // A report that this version does not make prints as it was.
            let (period, as_of) = ((text("from"), text("to")), Some(text("as_of")));
            let asked = Asked::read(text("report"), period, as_of, page.now_ms);
            let late_list = asked.as_ref().ok().map(|asked| address(asked, "/list"));
            let now = match asked {
                Ok(asked) if shown.is_some() => Some(reports::run(connection, books, asked)?),
                _ => None,
            };
            // Of what had arrived by then: what came later is told apart.
            let changed = shown.as_ref().zip(now.as_ref());
            let changed = changed.filter(|_| !compare.is_empty());
            let changed = changed.map(|(shown, now)| shown.changed(&shown_in(now, Lang::Zh)));
            Ok(IssuedPage {
                changed,
                late: now.map_or(0, |now| now.late.len() as u64),
                late_list: late_list.unwrap_or_default(),
                id: row.id.hyphenated(),
                number: row.number.clone().unwrap_or_default(),
                withdrawn: row.status == "withdrawn",
                file: "",
                back: format!(
                    "/reports/{}?from={}&to={}",
                    text("report"),
                    text("from"),
                    text("to")
                ),
                shown,
                page,
            })
        })
        .await?;
    html(&page)
}

// ---- to take away ----

/// A report as a file: csv, xlsx, html, json, or its proof.
pub(super) async fn file(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let form = wanted.form.clone();
    let (name, bytes) = app
        .read(move |books, connection| {
            let asked = wanted.asked(&id, clock::now_ms())?;
            let report = reports::run(connection, books, asked)?;
            let bytes = match wanted.form.as_str() {
                "json" => format!("{:#}\n", report.json()).into_bytes(),
                "proof" => format!("{}\n", proof::make(connection, books, &report)?).into_bytes(),
                "plot-svg" | "plot-csv" => {
                    let none = || Error::new(Code::NoPage, "this report has no such plot");
                    let form = wanted.form.trim_start_matches("plot-");
                    let place = wanted.cell.parse().map_err(|_| none())?;
                    files::plot(&report, place, form)?.ok_or_else(none)?
                }
                form => files::of(&report, form, &session.account.name)?,
            };
            let Asked { from, to, .. } = &report.asked;
            Ok((
                format!("lianxin-{}-{from}-{to}", report.definition.id),
                bytes,
            ))
        })
        .await?;
    let (kind, end) = match form.as_str() {
        "plot-svg" => ("image/svg+xml", "svg"),
        "csv" | "plot-csv" => ("text/csv; charset=utf-8", "csv"),
        "xlsx" => (files::XLSX, "xlsx"),
        "html" => ("text/html; charset=utf-8", "html"),
        "proof" => ("application/json", "proof.json"),
        _ => ("application/json", "json"),
    };
    Ok(attached(&format!("{name}.{end}"), kind, bytes))
}
