//! `import`: the rows of an office's own table as records, once however often they come.
//!
//! A row is known again by the fields that its kind is found by, and where the kind has none, by all that stands in it. Rows that have a
//! number of ours come from an export: they are compared, cell by cell, and what was altered is named; nothing of it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::{self, Hex};
use serde_json::{Value, json};

use super::{Door, Import, Output, progress};
use crate::command::{Query, Write, known_kind};
use crate::error::{self, Code, Error, Result};
use crate::ledger::out::{scratch, unwritten};
use crate::ledger::{self, Column};
use crate::reply::{Reply, with_schema};
use crate::sheets::write::{self, Book};
use crate::sheets::{self, Row, Table};
use crate::{clock, store};

/// Rows of one transaction: bounds how long others wait for the writer.
const CHUNK: usize = 250;
/// Rows of our own that are compared.
const COMPARED_MAX: usize = 20_000;

/// What became of a row that is no record.
struct Refused {
    row: u32,
    field: String,
    code: String,
    message: String,
}

/// What became of a table.
#[derive(Default)]
struct Outcome {
    accepted: u64,
    known: u64,
    refused: Vec<Refused>,
    altered: Vec<Value>,
}

impl Outcome {
    fn refuse(&mut self, row: u32, field: &str, code: &str, message: &str) {
        self.refused.push(Refused {
            row,
            field: field.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        });
    }
}

/// Reads a table, records its rows and says what became of each.
pub(super) fn run(
    asked: &Import,
    data: &Path,
    account: Option<&str>,
    output: Output,
) -> Result<u8> {
    let kind = known_kind(&asked.kind)?;
    let table = read(asked)?;
    let said = asked.maps.iter().map(|map| {
        let pair = map.split_once('=');
        let pair = pair.map(|(head, field)| (head.trim().to_owned(), field.trim().to_owned()));
        pair.ok_or_else(|| {
            Error::new(
                Code::Usage,
                "--map takes the name of a column, =, and a field",
            )
        })
    });
    let said = said.collect::<Result<Vec<_>>>()?;
    if let Some((_, field)) = said.iter().find(|(_, field)| kind.field(field).is_none()) {
        let message = format!(
            "a {} has no field {field}: `lianxin record template {}` has them",
            kind.code, kind.code
        );
        return Err(Error::new(Code::Usage, message));
    }
    let columns: Vec<_> = table
        .heads
        .iter()
        .map(|head| ledger::column(kind, head, &said))
        .collect();
    let unmapped: Vec<&String> = table
        .heads
        .iter()
        .zip(&columns)
        .filter(|(head, column)| column.is_none() && !head.is_empty())
        .map(|(head, _)| head)
        .collect();
    let mut door = Door::open(data)?;
    let mut outcome = Outcome::default();
    let rows = judge(kind, &columns, &table, (&asked.system, &mut outcome));
    let rows = compare(&mut door, kind, &columns, rows, account, &mut outcome)?;
    record(
        &mut door,
        kind,
        rows,
        (account, asked.dry_run),
        &mut outcome,
    )?;
    outcome.refused.sort_by_key(|it| it.row);
    if let Some(path) = &asked.errors {
        write_errors(path, &table, &outcome.refused)?;
    }
    let mapped = table
        .heads
        .iter()
        .zip(&columns)
        .filter_map(|(head, column)| {
            let field = match (*column)? {
                Column::Number => "number",
                Column::Status => "status",
                Column::Field(field) | Column::Yuan(field) => field.key.as_str(),
            };
            Some(json!({ "column": head, "field": field }))
        });
    let refused = outcome.refused.iter().map(
        |it| json!({ "row": it.row, "field": it.field, "code": it.code, "message": it.message }),
    );
    let value = json!({
        "kind": kind.code,
        "dry_run": asked.dry_run,
        "accepted": outcome.accepted,
        "known": outcome.known,
        "refused": refused.collect::<Vec<_>>(),
        "altered": outcome.altered,
        "columns": mapped.collect::<Vec<_>>(),
        "left_out": unmapped,
    });
    let exit = if outcome.refused.is_empty() { 0 } else { 3 };
    output.print(&Reply {
        value: with_schema("lianxin.import/1", value),
        exit,
    })
}

fn read(asked: &Import) -> Result<Table> {
    let about = std::fs::metadata(&asked.file).map_err(error::file(&asked.file))?;
    let too_large = about.len() > sheets::FILE_BYTES_MAX as u64;
    if !about.is_file() || too_large {
        let message = format!("{} is no file of at most 32 MiB", asked.file.display());
        return Err(Error::new(Code::BadTable, message));
    }
    let bytes = std::fs::read(&asked.file).map_err(error::file(&asked.file))?;
    sheets::read(&bytes, asked.sheet.as_deref())
        .map_err(|refusal| Error::new(Code::BadTable, refusal.to_string()))
}

/// A row with what it becomes.
struct Judged<'t> {
    row: &'t Row,
    record: Value,
}

/// Reads the rows as records, and refuses those that are none by the catalogue.
fn judge<'t>(
    kind: &'static Kind,
    columns: &[Option<Column>],
    table: &'t Table,
    (system, outcome): (&str, &mut Outcome),
) -> Vec<Judged<'t>> {
    let mut judged = Vec::with_capacity(table.rows.len());
    for row in table.rows.iter().filter(|row| !row.total) {
        let record = match ledger::record(columns, row, system) {
            Ok(record) => record,
            Err(bad) => {
                for place in bad {
                    let head = table.heads.get(place - 1).map_or("", String::as_str);
                    outcome.refuse(
                        row.number,
                        head,
                        "no_value",
                        "the other program could not work this cell out",
                    );
                }
                continue;
            }
        };
        let has_number = number_of(columns, row).is_some();
        match Catalogue::standard().read(kind, &record) {
            // What is compared only needs not be whole.
            _ if has_number => judged.push(Judged { row, record }),
            Ok(_) => judged.push(Judged { row, record }),
            Err(refusals) => {
                for it in refusals {
                    outcome.refuse(row.number, &it.field, it.code, &it.message);
                }
            }
        }
    }
    judged
}

/// The number of ours that a row has.
fn number_of<'r>(columns: &[Option<Column>], row: &'r Row) -> Option<&'r str> {
    let place = columns
        .iter()
        .position(|it| matches!(it, Some(Column::Number)))?;
    let text = row.cells.get(place)?.text.trim();
    (!text.is_empty()).then_some(text)
}

/// Compares the rows that have a number of ours with their records, and gives back the others.
fn compare<'t>(
    door: &mut Door,
    kind: &'static Kind,
    columns: &[Option<Column>],
    rows: Vec<Judged<'t>>,
    account: Option<&str>,
    outcome: &mut Outcome,
) -> Result<Vec<Judged<'t>>> {
    let mut others = Vec::with_capacity(rows.len());
    let mut compared = 0;
    for judged in rows {
        let Some(number) = number_of(columns, judged.row) else {
            others.push(judged);
            continue;
        };
        compared += 1;
        if compared > COMPARED_MAX {
            outcome.refuse(
                judged.row.number,
                "number",
                "too_many",
                "no more rows with numbers are compared at once",
            );
            continue;
        }
        let show = Query::RecordShow {
            id: number.to_owned(),
            account: account.map(str::to_owned),
        };
        let shown = match door.call(show) {
            Ok(shown) => shown.value,
            Err(error) if matches!(error.code(), Code::NoRecord | Code::SameNumber) => {
                outcome.refuse(
                    judged.row.number,
                    "number",
                    "no_record",
                    "no record here has this number",
                );
                continue;
            }
            Err(error) => return Err(error),
        };
        outcome.known += 1;
        for (column, cell) in columns.iter().zip(&judged.row.cells) {
            let Some(column @ Column::Field(field)) = column else {
                continue;
            };
            let was = ledger::cell(kind, *column, &shown).shown();
            let is = cell
                .text
                .replacen('T', " ", usize::from(cell.kind == sheets::Kind::Date));
            let is = match &*is {
                "TRUE" => "是".to_owned(),
                "FALSE" => "否".to_owned(),
                _ => sheets::text::unguarded(&is).to_owned(),
            };
            if was.trim() != is.trim() {
                outcome.altered.push(json!({
                    "row": judged.row.number, "number": number, "field": field.key, "old": was, "new": is,
                }));
            }
        }
    }
    Ok(others)
}

/// Records the rows that are not here yet.
fn record(
    door: &mut Door,
    kind: &'static Kind,
    rows: Vec<Judged<'_>>,
    (account, dry_run): (Option<&str>, bool),
    outcome: &mut Outcome,
) -> Result<()> {
    let known = known_keys(door, kind)?;
    let mut bar = progress::Bar::new(rows.len() as u64, "recording");
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut waiting: Vec<(u32, Value)> = Vec::new();
    for Judged { row, mut record } in rows {
        let held = |key: &str| {
            let value = match key.split_once('.') {
                None => record.get(key)?,
                Some((group, name)) => record.get(group)?.get(name)?,
            };
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Null => None,
                other => Some(other.to_string()),
            }
        };
        let key = ledger::key(kind, held);
        if key.as_ref().is_some_and(|key| known.contains(key)) {
            outcome.known += 1;
            outcome.accepted += 1;
            bar.inc(1);
            continue;
        }
        let by = key.unwrap_or_else(|| record.to_string());
        if let Some(first) = seen.get(&by) {
            let message = format!("the same stands in row {first}");
            outcome.refuse(row.number, "", "twice", &message);
            continue;
        }
        let digest = hash::EXPORT.hash(&[kind.code.as_bytes(), &[0], by.as_bytes()]);
        seen.insert(by, row.number);
        if let Value::Object(fields) = &mut record {
            let id = format!("import-{}", Hex(&digest));
            fields.insert("submission_id".to_owned(), json!(id));
        }
        waiting.push((row.number, record));
        if waiting.len() == CHUNK {
            send(
                door,
                kind,
                std::mem::take(&mut waiting),
                (account, dry_run),
                (&mut bar, outcome),
            )?;
        }
    }
    send(door, kind, waiting, (account, dry_run), (&mut bar, outcome))
}

/// The keys of all records of a kind that are here.
fn known_keys(door: &mut Door, kind: &Kind) -> Result<BTreeSet<String>> {
    if kind.found_by.is_empty() {
        return Ok(BTreeSet::new());
    }
    let keys = Query::RecordKeys {
        kind: kind.code.clone(),
    };
    let reply = door.call(keys)?;
    let keys = reply.value.get("keys").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(Value::as_str);
    Ok(keys.map(str::to_owned).collect())
}

fn send(
    door: &mut Door,
    kind: &Kind,
    rows: Vec<(u32, Value)>,
    (account, dry_run): (Option<&str>, bool),
    (bar, outcome): (&mut progress::Bar, &mut Outcome),
) -> Result<()> {
    let count = rows.len() as u64;
    if dry_run || rows.is_empty() {
        outcome.accepted += count;
        bar.inc(count);
        return Ok(());
    }
    let (numbers, rows): (Vec<u32>, Vec<Value>) = rows.into_iter().unzip();
    let reply = door.call(Write::RecordAdd {
        kind: kind.code.clone(),
        rows,
        first_row: 0,
        account: account.map(str::to_owned),
    })?;
    let refused = reply.value.get("refused").and_then(Value::as_array);
    let mut rows = BTreeSet::new();
    for it in refused.into_iter().flatten() {
        let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default();
        let place = it.get("row").and_then(Value::as_u64);
        let place = place.and_then(|place| usize::try_from(place).ok());
        let row = place
            .and_then(|place| numbers.get(place))
            .copied()
            .unwrap_or_default();
        rows.insert(row);
        outcome.refuse(row, text("field"), text("code"), text("message"));
    }
    outcome.accepted += count.saturating_sub(rows.len() as u64);
    bar.inc(count);
    Ok(())
}

/// Writes the rows that were refused as they stand in the table, with the reasons behind them.
fn write_errors(path: &Path, table: &Table, refused: &[Refused]) -> Result<()> {
    let mut heads: Vec<&str> = table.heads.iter().map(String::as_str).collect();
    heads.extend(["原行号", "问题"]);
    let now = clock::rfc3339(clock::now_ms());
    let mut book = Book::begin("有问题的行", &heads, &now, &scratch()).map_err(unwritten)?;
    let mut by_row: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for it in refused {
        let said = format!("{} {}：{}", it.field, it.code, it.message);
        by_row
            .entry(it.row)
            .or_default()
            .push(said.trim().to_owned());
    }
    for row in table
        .rows
        .iter()
        .filter(|row| by_row.contains_key(&row.number))
    {
        let mut values: Vec<write::Value<'_>> = row
            .cells
            .iter()
            .map(|it| write::Value::Text(&it.text))
            .collect();
        values.resize(table.heads.len(), write::Value::Empty);
        let said = by_row
            .get(&row.number)
            .map(|said| said.join("；"))
            .unwrap_or_default();
        values.push(write::Value::Integer(i64::from(row.number)));
        values.push(write::Value::Text(&said));
        book.row(&values).map_err(unwritten)?;
    }
    let file: File = store::create_private(path)?;
    let count = by_row.len().to_string();
    book.finish(&[("有问题的行", &count)], file)
        .map_err(unwritten)?;
    Ok(())
}
