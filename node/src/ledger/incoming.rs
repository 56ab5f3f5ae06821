//! A table that came in: which of its rows become records, which are here already, which are refused and why, and what of our own was
//! altered in it.
//!
//! A table that takes a step on records, such as what became of each item that was reported up, names them by their number. A row that
//! says what its record says already is known; one that says otherwise is named, and not taken: what was told to people is put right by
//! whoever knows why.
//!
//! A row is known again by its number in another system, by the fields that its kind is found by, and where it has neither, by all that
//! stands in it. Rows that have a
//! number of ours come from an export: they are compared, cell by cell, and what was altered is named; nothing of it is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use lianxin_protocol::catalogue::{Catalogue, Kind, Transition};
use lianxin_protocol::hash::{self, Hex};
use serde_json::{Value, json};

use super::out::{scratch, unwritten};
use super::{
    Column, NO_SYSTEM, cell, column, column_of, columns_of_heads, is_computed, key, outside_keys,
    record,
};
use crate::clock;
use crate::error::Result;
use crate::sheets::write::{self, Book};
use crate::sheets::{self, Row, Table};

/// Rows of one transaction: bounds how long others wait for the writer.
const CHUNK: usize = 250;
/// The field of numbers in other systems.
const OUTSIDE: &str = "external_ref";
/// The same of a table that takes a step: each moves others along.
const STEPS_CHUNK: usize = 25;
/// Rows of our own that are compared.
const COMPARED_MAX: usize = 20_000;

/// What the store is asked while a table is looked at.
pub trait Look {
    /// The record with a number, as exports have it.
    ///
    /// # Errors
    /// The store cannot be read.
    fn shown(&mut self, number: &str) -> Result<Option<Value>>;

    /// By what the records of a kind are known again, each with its id.
    ///
    /// # Errors
    /// The store cannot be read.
    fn keys(&mut self, kind: &Kind) -> Result<BTreeMap<String, String>>;
    /// Which of these submissions were carried out here before.
    ///
    /// # Errors
    /// The store cannot be read.
    fn submitted(&mut self, ids: Vec<String>) -> Result<BTreeSet<String>>;
}

/// What became of a row that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The row as its program numbers it.
    pub row: u32,
    /// The field, or the column where it is none.
    pub field: String,
    /// Which rule.
    pub code: String,
    /// What is wrong, in English.
    pub message: String,
}

/// A cell of our own that is not what its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// The row as its program numbers it.
    pub row: u32,
    /// The number of the record.
    pub number: String,
    /// The key of the field.
    pub field: String,
    /// What the record says.
    pub old: String,
    /// What stands in the table.
    pub new: String,
}

/// What is to become of a table, and what became of it.
#[derive(Debug)]
pub struct Incoming {
    /// The kind of its records.
    pub kind: &'static Kind,
    /// The step that it takes on each, if it makes none.
    pub step: Option<&'static Transition>,
    /// What its columns are, in their order.
    pub columns: Vec<Option<Column>>,
    /// Columns that are no field of the kind.
    pub left_out: Vec<String>,
    /// Rows among all that are looked at which whoever opens the file does not see.
    pub hidden: u64,
    /// Rows that can be recorded, each with its number in the table; of a table that takes a step, the `id` of a record and the `input`.
    pub new: Vec<(u32, Value)>,
    /// Rows that are in the store, those that were recorded from it too.
    pub accepted: u64,
    /// Of these, those that were there before.
    pub known: u64,
    /// Rows that were refused.
    pub refused: Vec<Refused>,
    /// Cells of our own that were altered.
    pub altered: Vec<Altered>,
}

impl Incoming {
    /// Looks at a table. `said` are columns that people have named, as name and field; `system` is where outside numbers are from.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn plan(
        kind: &'static Kind,
        table: &Table,
        (said, system): (&[(String, String)], &str),
        look: &mut impl Look,
    ) -> Result<Self> {
        let columns = columns_of_heads(&table.heads, said, |head| column(kind, head, said));
        let mut incoming = Self::begun((kind, None), table, columns);
        let rows = incoming.judge(table, system);
        let rows = incoming.compare(rows, look)?;
        incoming.take_new(rows, look)?;
        Ok(incoming)
    }

    /// Looks at a table that takes a step on the records that it names, as [`Incoming::plan`] does.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn plan_steps(
        (kind, step): (&'static Kind, &'static Transition),
        table: &Table,
        said: &[(String, String)],
        look: &mut impl Look,
    ) -> Result<Self> {
        let columns = columns_of_heads(&table.heads, said, |head| column_of(step, head, said));
        let mut incoming = Self::begun((kind, Some(step)), table, columns);
        let mut seen = BTreeMap::new();
        for row in table.rows.iter().filter(|row| !row.total) {
            let Some(number) = incoming.number_of(row).map(str::to_owned) else {
                let message = "this row names no record: it has no number";
                incoming.refuse(row.number, "number", "required", message);
                continue;
            };
            if let Some(first) = seen.insert(number.clone(), row.number) {
                let message = format!("the same stands in row {first}");
                incoming.refuse(row.number, "number", "twice", &message);
                continue;
            }
            incoming.plan_step(step, (row, table), &number, look)?;
        }
        Ok(incoming)
    }

    /// Looks at one row: what it names, whether the step is possible there, and whether it was taken before.
    fn plan_step(
        &mut self,
        step: &'static Transition,
        (row, table): (&Row, &Table),
        number: &str,
        look: &mut impl Look,
    ) -> Result<()> {
        let input = match record(&self.columns, row, NO_SYSTEM) {
            Ok(input) => input,
            Err(bad) => {
                self.refuse_cells(row, table, bad);
                return Ok(());
            }
        };
        if let Err(refusals) = self.kind.read_event(&step.event, &input) {
            for it in refusals {
                self.refuse(row.number, &it.field, it.code, &it.message);
            }
            return Ok(());
        }
        let shown = look.shown(number)?.filter(|shown| {
            shown.get("kind").and_then(Value::as_str) == Some(self.kind.code.as_str())
        });
        let Some(shown) = shown else {
            let message = "no record of this kind has this number here";
            self.refuse(row.number, "number", "no_record", message);
            return Ok(());
        };
        let mut tells = step.data.iter().filter(|it| it.required);
        if tells.any(|it| self.kind.field(&it.key).is_some() && has(&shown, &it.key)) {
            let before = self.altered.len();
            self.differs((row, &input), number, &shown);
            if self.altered.len() == before {
                self.known += 1;
                self.accepted += 1;
            }
            return Ok(());
        }
        let status = shown.get("status").and_then(Value::as_str);
        if !status.is_some_and(|status| step.applies_to(status)) {
            let message = "the step does not lead on from where this record stands";
            self.refuse(row.number, "status", "not_possible", message);
            return Ok(());
        }
        self.new
            .push((row.number, json!({ "id": number, "input": input })));
        Ok(())
    }

    /// The next rows to take in, so many that nobody waits long for the writer.
    pub fn next_chunk(&mut self) -> Vec<(u32, Value)> {
        let most = self.step.map_or(CHUNK, |_| STEPS_CHUNK);
        let rest = self.new.split_off(self.new.len().min(most));
        std::mem::replace(&mut self.new, rest)
    }

    /// What a table is before its rows were looked at.
    fn begun(
        (kind, step): (&'static Kind, Option<&'static Transition>),
        table: &Table,
        mut columns: Vec<Option<Column>>,
    ) -> Self {
        // Of two columns for one field the second would take the place of the first.
        let mut taken = BTreeSet::new();
        for column in &mut columns {
            let field = column.and_then(|column| column.field());
            if field.is_some_and(|field| !taken.insert(field.key.as_str())) {
                *column = None;
            }
        }
        let numbered = columns.iter().any(|it| matches!(it, Some(Column::Number)));
        // What is no field is only compared with what has a number.
        let is_read = |column: &Option<Column>| match column {
            Some(Column::Field(_) | Column::Yuan(_) | Column::Wan(_) | Column::Ordinal) => true,
            Some(_) => numbered,
            None => false,
        };
        let hidden = table.rows.iter().filter(|row| row.hidden && !row.total);
        let left_out = table.heads.iter().zip(&columns);
        let left_out = left_out.filter(|(head, column)| !is_read(column) && !head.is_empty());
        Self {
            kind,
            step,
            left_out: left_out.map(|(head, _)| head.clone()).collect(),
            hidden: hidden.count() as u64,
            columns,
            new: Vec::new(),
            accepted: 0,
            known: 0,
            refused: Vec::new(),
            altered: Vec::new(),
        }
    }

    fn refuse_cells(&mut self, row: &Row, table: &Table, bad: Vec<usize>) {
        for place in bad {
            let head = table.heads.get(place - 1).map_or("", String::as_str);
            let message = "the other program could not work this cell out";
            self.refuse(row.number, head, "no_value", message);
        }
    }

    fn refuse(&mut self, row: u32, field: &str, code: &str, message: &str) {
        self.refused.push(Refused {
            row,
            field: field.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        });
    }

    /// Reads the rows as records, and refuses those that are none by the catalogue.
    fn judge<'t>(&mut self, table: &'t Table, system: &str) -> Vec<(&'t Row, Value)> {
        let mut judged = Vec::with_capacity(table.rows.len());
        for row in table.rows.iter().filter(|row| !row.total) {
            let record = match record(&self.columns, row, system) {
                Ok(record) => record,
                Err(bad) => {
                    self.refuse_cells(row, table, bad);
                    continue;
                }
            };
            // What is compared only needs not be whole.
            if self.number_of(row).is_some() {
                judged.push((row, record));
                continue;
            }
            match Catalogue::current().read(self.kind, &record) {
                Ok(_) => judged.push((row, record)),
                Err(refusals) => {
                    for it in refusals {
                        self.refuse(row.number, &it.field, it.code, &it.message);
                    }
                }
            }
        }
        judged
    }

    /// The number of ours that a row has.
    fn number_of<'r>(&self, row: &'r Row) -> Option<&'r str> {
        let mut columns = self.columns.iter();
        let place = columns.position(|it| matches!(it, Some(Column::Number)))?;
        let text = row.cells.get(place)?.text.trim();
        (!text.is_empty()).then_some(text)
    }

    /// Compares the rows that have a number of ours with their records, and gives back the others.
    fn compare<'t>(
        &mut self,
        rows: Vec<(&'t Row, Value)>,
        look: &mut impl Look,
    ) -> Result<Vec<(&'t Row, Value)>> {
        let mut others = Vec::with_capacity(rows.len());
        let mut compared = 0;
        for (row, record) in rows {
            let Some(number) = self.number_of(row) else {
                others.push((row, record));
                continue;
            };
            compared += 1;
            if compared > COMPARED_MAX {
                let message = "no more rows with numbers are compared at once";
                self.refuse(row.number, "number", "too_many", message);
                continue;
            }
            let Some(shown) = look.shown(number)? else {
                let message = "no record here has this number";
                self.refuse(row.number, "number", "no_record", message);
                continue;
            };
            self.known += 1;
            let number = number.to_owned();
            self.differs((row, &record), &number, &shown);
        }
        Ok(others)
    }

    /// Names the cells of a row, which was read as `typed`, that are not what its record says. Of a table that is not ours an empty cell
    /// says nothing, and a number in another system is one of several.
    fn differs(&mut self, (row, typed): (&Row, &Value), number: &str, shown: &Value) {
        let typed = json!({ "fields": typed });
        let is_ours = self.step.is_none() && self.number_of(row).is_some();
        for (column, it) in self.columns.iter().zip(&row.cells) {
            let Some((column, field)) = column.and_then(|it| Some((it, it.field()?))) else {
                continue;
            };
            // What a step says beside what it sets stands in no record, and what is worked out of one is nobody's to alter.
            if self.kind.field(&field.key).is_none() || is_computed(field) {
                continue;
            }
            let old = cell(self.kind, column, (1, shown)).shown();
            let new = came(it);
            // As our own tables show it, or as it would be recorded.
            let recorded = cell(self.kind, column, (1, &typed)).shown();
            let is_same = [&new, &recorded].iter().any(|it| it.trim() == old.trim());
            let is_silent = !is_ours && (new.trim().is_empty() || field.key == OUTSIDE);
            if !is_same && !is_silent {
                self.altered.push(Altered {
                    row: row.number,
                    number: number.to_owned(),
                    field: field.key.clone(),
                    old,
                    new,
                });
            }
        }
    }

    /// Takes the rows that are not here yet.
    fn take_new(&mut self, rows: Vec<(&Row, Value)>, look: &mut impl Look) -> Result<()> {
        let has_outside = rows.iter().any(|(_, record)| outside(record).is_some());
        let known = match self.kind.found_by.is_empty() && !has_outside {
            true => BTreeMap::new(),
            false => look.keys(self.kind)?,
        };
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut compared = 0;
        for (row, mut record) in rows {
            let by = outside(&record).or_else(|| key(self.kind, |key| held(&record, key)));
            let by = by.unwrap_or_else(|| sorted(&record));
            if let Some(first) = seen.get(&by) {
                let message = format!("the same stands in row {first}");
                self.refuse(row.number, "", "twice", &message);
                continue;
            }
            seen.insert(by.clone(), row.number);
            if let Some(id) = known.get(&by) {
                self.known += 1;
                self.accepted += 1;
                compared += 1;
                if compared <= COMPARED_MAX
                    && let Some(shown) = look.shown(id)?
                {
                    let number = shown.get("number").and_then(Value::as_str);
                    self.differs((row, &record), number.unwrap_or(id), &shown);
                }
                continue;
            }
            let digest = hash::IMPORT.hash(&[self.kind.code.as_bytes(), &[0], by.as_bytes()]);
            if let Value::Object(fields) = &mut record {
                let id = format!("import-{}", Hex(&digest));
                fields.insert("submission_id".to_owned(), json!(id));
            }
            self.new.push((row.number, record));
        }
        self.forget_submitted(look)
    }

    /// Leaves out what was recorded from this table before, on this device.
    fn forget_submitted(&mut self, look: &mut impl Look) -> Result<()> {
        let id = |record: &Value| {
            let id = record.get("submission_id").and_then(Value::as_str);
            id.unwrap_or_default().to_owned()
        };
        let ids = self.new.iter().map(|(_, record)| id(record)).collect();
        let known = look.submitted(ids)?;
        let before = self.new.len();
        self.new.retain(|(_, record)| !known.contains(&id(record)));
        let gone = before.saturating_sub(self.new.len()) as u64;
        self.known += gone;
        self.accepted += gone;
        Ok(())
    }

    /// Takes in what `record add`, or the steps, said of these rows, whose first it called 0.
    pub fn took(&mut self, rows: &[u32], reply: &Value) {
        let refused = reply.get("refused").and_then(Value::as_array);
        let mut bad = BTreeSet::new();
        for it in refused.into_iter().flatten() {
            let text = |key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default();
            let place = it.get("row").and_then(Value::as_u64);
            let place = place.and_then(|place| usize::try_from(place).ok());
            let row = place.and_then(|place| rows.get(place)).copied();
            let row = row.unwrap_or_default();
            bad.insert(row);
            self.refuse(row, text("field"), text("code"), text("message"));
        }
        self.accepted += (rows.len() as u64).saturating_sub(bad.len() as u64);
    }

    /// Writes the rows that were refused as they stand in the table, with the reasons behind them, as a workbook.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_refused(&self, table: &Table, to: impl Write + Send) -> Result<()> {
        let mut heads: Vec<&str> = table.heads.iter().map(String::as_str).collect();
        heads.extend(["原行号", "问题"]);
        let now = clock::rfc3339(clock::now_ms());
        let mut book = Book::begin("有问题的行", &heads, &now, &scratch()).map_err(unwritten)?;
        let mut by_row: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for it in &self.refused {
            let said = format!("{} {}：{}", it.field, it.code, it.message);
            by_row
                .entry(it.row)
                .or_default()
                .push(said.trim().to_owned());
        }
        let rows = table.rows.iter();
        for row in rows.filter(|row| by_row.contains_key(&row.number)) {
            let cells = row.cells.iter();
            let mut values: Vec<_> = cells.map(|it| write::Value::Text(&it.text)).collect();
            values.resize(table.heads.len(), write::Value::Empty);
            let said = by_row.get(&row.number).map(|said| said.join("；"));
            let said = said.unwrap_or_default();
            values.push(write::Value::Integer(i64::from(row.number)));
            values.push(write::Value::Text(&said));
            book.row(&values).map_err(unwritten)?;
        }
        let count = by_row.len().to_string();
        book.finish(&[("有问题的行", &count)], to)
            .map_err(unwritten)?;
        Ok(())
    }
}

/// The number in another system that a row has.
fn outside(record: &Value) -> Option<String> {
    outside_keys(record.get(OUTSIDE)).into_iter().next()
}

/// Whether a record, as exports have it, has a field.
fn has(shown: &Value, key: &str) -> bool {
    let fields = shown.get("fields");
    fields.is_some_and(|fields| held(fields, key).is_some())
}

/// A record as text, whatever the order of the columns that it came from.
fn sorted(record: &Value) -> String {
    match record {
        Value::Object(fields) => {
            let fields: BTreeMap<&String, String> =
                fields.iter().map(|(key, it)| (key, sorted(it))).collect();
            format!("{fields:?}")
        }
        other => other.to_string(),
    }
}

/// A cell of a table as our own export shows it.
fn came(cell: &sheets::Cell) -> String {
    match cell.kind {
        sheets::Kind::Bool if &*cell.text == "TRUE" => "是".to_owned(),
        sheets::Kind::Bool => "否".to_owned(),
        sheets::Kind::Date => cell.text.replacen('T', " ", 1),
        _ => sheets::text::unguarded(&cell.text).to_owned(),
    }
}

/// The value of a field of an object that can be recorded, as a text.
fn held(record: &Value, key: &str) -> Option<String> {
    let value = match key.split_once('.') {
        None => record.get(key)?,
        Some((group, name)) => record.get(group)?.get(name)?,
    };
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}
