//! A table that goes out: csv or a workbook, row by row, with what it is on a sheet of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use lianxin_protocol::catalogue::Kind;
use serde_json::Value;

use super::{Column, cell, columns};
use crate::clock::{self, Beijing};
use crate::error::{Code, Error, Result};
use crate::sheets::Encoding;
use crate::sheets::write::{self, Book, Csv, WriteError};

/// Where the rows of a workbook wait: in memory where the system has such a directory, since they are in clear.
#[must_use]
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}

/// A failure to write a table.
pub(crate) fn unwritten(error: WriteError) -> Error {
    let code = match &error {
        WriteError::TooMuch => Code::TooLarge,
        WriteError::File(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Code::DiskFull
        }
        WriteError::Time => Code::Internal,
        WriteError::Workbook(_) | WriteError::File(_) | WriteError::Csv(_) => Code::File,
    };
    Error::because(code, "a table cannot be written", error)
}

enum Form<W: Write> {
    Csv(Box<Csv<W>>),
    Book(Box<Book>, W),
}

/// A table that is being written.
pub struct Going<W: Write + Send> {
    kind: &'static Kind,
    columns: Vec<(String, Column)>,
    form: Form<W>,
    rows: u64,
}

impl<W: Write + Send> std::fmt::Debug for Going<W> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Going")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send> Going<W> {
    /// Begins one of a kind's records: `csv` or `xlsx`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(kind: &'static Kind, (form, encoding): (&str, Encoding), to: W) -> Result<Self> {
        let columns = columns(kind);
        let heads: Vec<&str> = columns.iter().map(|(head, _)| head.as_str()).collect();
        let form = match form {
            "csv" => {
                let csv = Csv::begin(to, encoding, &heads).map_err(unwritten)?;
                Form::Csv(Box::new(csv))
            }
            _ => {
                let now = clock::rfc3339(clock::now_ms());
                let book = Book::begin(&kind.label.zh, &heads, &now, &scratch());
                Form::Book(Box::new(book.map_err(unwritten)?), to)
            }
        };
        Ok(Self {
            kind,
            columns,
            form,
            rows: 0,
        })
    }

    /// Adds a record, as exports have it.
    ///
    /// # Errors
    /// It cannot be written; [`Code::TooLarge`] beyond what a sheet holds.
    pub fn record(&mut self, record: &Value) -> Result<()> {
        let place = self.rows + 1;
        let columns = self.columns.iter();
        let cells = columns.map(|(_, column)| cell(self.kind, *column, (place, record)));
        let cells: Vec<_> = cells.collect();
        let values: Vec<write::Value<'_>> = cells.iter().map(super::Cell::value).collect();
        self.rows += 1;
        match &mut self.form {
            Form::Csv(csv) => csv.row(&values),
            Form::Book(book, _) => book.row(&values),
        }
        .map_err(unwritten)
    }

    /// Ends it, with what it is: a workbook has it on its second sheet. Gives the number of rows.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self, notes: &[(&str, &str)]) -> Result<u64> {
        let at = Beijing::of(clock::now_ms()).text();
        let mut all = notes.to_vec();
        all.push(("导出时间", at.as_str()));
        match self.form {
            Form::Csv(csv) => csv.finish(),
            Form::Book(book, to) => book.finish(&all, to),
        }
        .map_err(unwritten)?;
        Ok(self.rows)
    }
}
