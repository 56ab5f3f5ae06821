//! Reports as files: csv, xlsx and a page that prints; and as text for a terminal.

use askama::Template;

use super::shown::{Shown, ShownCell, shown_in};
use super::{Report, table};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::ledger::out::{scratch, unwritten};
use crate::sheets::Encoding;
use crate::sheets::write::{Book, Csv, Value};
use crate::wide::width;
use crate::words::Lang;

#[derive(Template)]
#[template(path = "report_file.html")]
struct Page<'a> {
    lang: &'static str,
    shown: &'a Shown,
    lines: [String; 3],
}

/// The media type of a workbook (ECMA-376).
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// The bytes of a report in a form: `csv`, `xlsx`, `html` or `text`, in Chinese. A workbook says who took it away, and when.
///
/// # Errors
/// [`Code::Usage`] for another form.
pub fn of(report: &Report, form: &str, who: &str) -> Result<Vec<u8>> {
    let mut shown = shown_in(report, Lang::Zh);
    // A page has it with its list.
    if !report.late.is_empty() {
        let count = [("count", report.late.len().into())];
        shown.notes.push(Lang::Zh.say("report-late", &count));
    }
    match form {
        "html" => html(&shown),
        "csv" => csv(&shown),
        "xlsx" => workbook(report, &shown, who),
        "text" => Ok(text(&shown).into_bytes()),
        _ => Err(Error::new(
            Code::Usage,
            "a report is json, csv, xlsx or html",
        )),
    }
}

/// A plot of a report by its place: a picture (`svg`), or its numbers (`csv`). None where the report has no such plot.
///
/// # Errors
/// It cannot be written.
pub fn plot(report: &Report, place: usize, form: &str) -> Result<Option<Vec<u8>>> {
    let Some(plot) = shown_in(report, Lang::Zh).plots.into_iter().nth(place) else {
        return Ok(None);
    };
    if form == "svg" {
        return Ok(Some(plot.file.into_bytes()));
    }
    numbers(&plot.heads, &plot.rows).map(Some)
}

/// The numbers of a plot as csv.
///
/// # Errors
/// It cannot be written.
pub fn numbers(heads: &[String], rows: &[Vec<String>]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut csv = Csv::begin(&mut bytes, Encoding::Utf8Bom, &heads).map_err(unwritten)?;
    for row in rows {
        let row: Vec<_> = row.iter().map(|cell| Value::Text(cell)).collect();
        csv.row(&row).map_err(unwritten)?;
    }
    csv.finish().map_err(unwritten)?;
    Ok(bytes)
}

/// A cell as a table program has it.
fn value(cell: &ShownCell) -> Value<'_> {
    match cell.number {
        // Whole numbers of reports are far from what a float cannot hold.
        Some(number) if number.fract() == 0.0 => match cell.text.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Decimal(number),
        },
        Some(number) => Value::Decimal(number),
        None => Value::Text(&cell.text),
    }
}

/// The rows of a report under one head: tables one after the other, each but the first with its name and its own head.
fn rows(shown: &Shown, mut put: impl FnMut(&[Value<'_>]) -> Result<()>) -> Result<()> {
    for (place, table) in shown
        .tables
        .iter()
        .filter(|it| !it.lines.is_empty())
        .enumerate()
    {
        if place > 0 {
            put(&[])?;
            put(&[Value::Text(&table.title)])?;
            let heads = table.columns.iter().map(|(head, _)| Value::Text(head));
            put(&heads.collect::<Vec<_>>())?;
        }
        for line in &table.lines {
            put(&line.cells.iter().map(value).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// The head of the first table that has lines, as wide as the widest table.
fn heads(shown: &Shown) -> Vec<&str> {
    let tables = || shown.tables.iter().filter(|it| !it.lines.is_empty());
    let first = tables().next().into_iter().flat_map(|table| &table.columns);
    let mut heads: Vec<&str> = first.map(|(head, _)| head.as_str()).collect();
    let widest = tables().map(|table| table.columns.len()).max();
    heads.resize(widest.unwrap_or_default().max(heads.len()), "");
    heads
}

fn csv(shown: &Shown) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut csv = Csv::begin(&mut bytes, Encoding::Utf8Bom, &heads(shown)).map_err(unwritten)?;
    rows(shown, |values| csv.row(values).map_err(unwritten))?;
    // What it is stands below, so that the first row is the head.
    let below = shown
        .head
        .iter()
        .chain(&shown.notes)
        .chain(&shown.definitions);
    for line in [""]
        .into_iter()
        .chain(std::iter::once(shown.title.as_str()))
        .chain(below.map(String::as_str))
    {
        csv.row(&[Value::Text(line)]).map_err(unwritten)?;
    }
    csv.finish().map_err(unwritten)?;
    Ok(bytes)
}

fn workbook(report: &Report, shown: &Shown, who: &str) -> Result<Vec<u8>> {
    let created = clock::rfc3339(report.asked.as_of_ms);
    let mut book =
        Book::begin(&shown.title, &heads(shown), &created, &scratch()).map_err(unwritten)?;
    rows(shown, |values| book.row(values).map_err(unwritten))?;
    let head = shown.head.iter().map(|line| ("报表", line.as_str()));
    let notes = shown.notes.iter().map(|line| ("说明", line.as_str()));
    let definitions = shown.definitions.iter().map(|line| ("口径", line.as_str()));
    let now = table::moment(clock::now_ms());
    let taken = [("导出人", who), ("导出时间", now.as_str())];
    let all = head.chain(notes).chain(definitions).chain(taken);
    let all: Vec<_> = all.collect();
    let mut bytes = Vec::new();
    book.finish(&all, &mut bytes).map_err(unwritten)?;
    Ok(bytes)
}

/// A report as lines of a terminal: columns as wide as what stands in them, numbers at the right.
fn text(shown: &Shown) -> String {
    let mut lines = vec![shown.title.clone(), shown.head.join(" · ")];
    for table in shown.tables.iter().filter(|it| !it.lines.is_empty()) {
        lines.extend([String::new(), table.title.clone()]);
        let heads: Vec<&str> = table
            .columns
            .iter()
            .map(|(head, _)| head.as_str())
            .collect();
        let rows = table.lines.iter().filter(|line| !line.heads);
        let rows: Vec<Vec<&str>> = rows
            .map(|line| line.cells.iter().map(|it| it.text.as_str()).collect())
            .collect();
        let widths: Vec<usize> = (0..heads.len())
            .map(|place| {
                let cells = rows.iter().filter_map(|row| row.get(place));
                let cells = cells.chain(heads.get(place));
                cells.map(|cell| width(cell)).max().unwrap_or_default()
            })
            .collect();
        let padded = |cells: &[&str]| {
            let cells = cells.iter().zip(&widths).zip(&table.columns);
            let cells = cells.map(|((cell, most), (_, is_number))| {
                let gap = " ".repeat(most.saturating_sub(width(cell)));
                match is_number {
                    true => format!("{gap}{cell}"),
                    false => format!("{cell}{gap}"),
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        lines.push(padded(&heads));
        let mut rows = rows.iter();
        for line in &table.lines {
            let head = line.cells.first().filter(|_| line.heads);
            match head {
                Some(head) => lines.push(head.text.clone()),
                None => lines.extend(rows.next().map(|row| padded(row))),
            }
        }
    }
    if shown.is_empty() {
        lines.extend([String::new(), Lang::Zh.say("report-nothing", &[])]);
    }
    for more in [&shown.notes, &shown.definitions]
        .into_iter()
        .filter(|it| !it.is_empty())
    {
        lines.push(String::new());
        lines.extend(more.iter().cloned());
    }
    lines.join("\n") + "\n"
}

fn html(shown: &Shown) -> Result<Vec<u8>> {
    let lang = Lang::Zh;
    let line = |id: &str| lang.say(id, &[]);
    let page = Page {
        lang: lang.tag(),
        shown,
        lines: [
            line("report-made-by"),
            line("report-checked-by"),
            line("report-date"),
        ],
    };
    let unwritable = |error| Error::because(Code::Internal, "a report cannot be written", error);
    Ok(page.render().map_err(unwritable)?.into_bytes())
}
