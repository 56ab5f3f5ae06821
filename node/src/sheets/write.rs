//! Tables that go out: a workbook with its explanations beside it, and csv.
//!
//! A text is text, whatever it begins with. The same input gives the same bytes: the time is an argument, and the parts of the packed
//! file carry none. Memory does not grow with the rows: those of a workbook go through a file without a name in a directory of the
//! caller's, in clear, which the system removes with the process.

use std::io::Write;
use std::path::Path;

use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Workbook, Worksheet, XlsxError,
};

use crate::wide::width;

use super::number::serial;
use super::seal::{self, Seal};
use super::text::{Encoded, Encoding, guarded};
use super::{CELL_CHARS_MAX, COLUMNS_MAX, ROWS_MAX};

/// The fonts of Chinese office papers.
const FONT: &str = "宋体";
/// Points.
const FONT_SIZE: f64 = 11.0;
/// Pixels that go with the font.
const ROW_HEIGHT: u32 = 18;
const COLUMN_WIDTH: u32 = 72;
/// Widths of columns, in digits.
const WIDTH_MIN: usize = 6;
const WIDTH_MAX: usize = 36;
/// Digits of all columns up to which a page is as wide as the table: at more, print would be too small to read.
const PAGE_DIGITS_MAX: f64 = 220.0;
/// The number of A4.
const A4: u8 = 9;
/// Digits that a number of a table program keeps.
pub(super) const DIGITS_EXACT: u64 = 999_999_999_999_999;
pub(super) const NOTES: &str = "说明";
const YES: &str = "是";
const NO: &str = "否";
/// What stands at the end of a text that a cell cannot hold.
const CUT: char = '…';

/// What goes into one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing.
    Empty,
    /// Text, of which a cell holds [`CELL_CHARS_MAX`] characters. Long numbers of documents and telephones are text.
    Text(&'a str),
    /// A whole number; one of more than fifteen digits is written as text, for a table program would round it.
    Integer(i64),
    /// A number shown with two decimals.
    Decimal(f64),
    /// A day, `2026-11-28`. One that is none, or lies before 1900, is written as text.
    Date(&'a str),
    /// A day with its time, `2026-11-28T09:30`, with or without seconds.
    DateTime(&'a str),
    /// 是 or 否.
    Bool(bool),
}

impl Value<'_> {
    /// As text: in csv, and where a cell cannot hold it otherwise.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Value::Empty => String::new(),
            Value::Text(text) | Value::Date(text) => (*text).to_owned(),
            Value::Integer(number) => number.to_string(),
            Value::Decimal(number) if number.is_finite() => format!("{number:.2}"),
            Value::Decimal(_) => String::new(),
            Value::DateTime(text) => text.replacen('T', " ", 1),
            Value::Bool(true) => YES.to_owned(),
            Value::Bool(false) => NO.to_owned(),
        }
    }
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// More than [`ROWS_MAX`], or more columns than [`COLUMNS_MAX`].
    #[error("a sheet holds at most 200,000 rows and 512 columns")]
    TooMuch,
    /// The time is no `2026-11-28T09:30:00Z`.
    #[error("the time of the file is no time")]
    Time,
    /// The workbook could not be put together, mostly because a file operation failed.
    #[error("the workbook could not be written")]
    Workbook(#[from] XlsxError),
    /// The file could not be written.
    #[error("the file could not be written")]
    File(#[from] std::io::Error),
    /// A record of csv could not be written.
    #[error("the file could not be written")]
    Csv(#[from] csv::Error),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows under the head.
    pub rows: usize,
    /// Texts that were cut because a cell cannot hold them; each ends in `…`.
    pub cut: usize,
}

/// A text as a cell can hold it, without characters that XML has none of.
pub(super) fn held(text: &str, cut: &mut usize) -> String {
    let sound = sound(text);
    if sound.len() <= CELL_CHARS_MAX {
        return sound;
    }
    // Excel counts UTF-16.
    let mut units = 0;
    let end = sound.char_indices().find(|(_, it)| {
        units += it.len_utf16();
        units >= CELL_CHARS_MAX
    });
    match end {
        Some((at, it)) if at + it.len_utf8() < sound.len() => {
            *cut += 1;
            let mut text: String = sound.get(..at).unwrap_or_default().to_owned();
            text.push(CUT);
            text
        }
        _ => sound,
    }
}

/// A text without characters that XML 1.0 does not have.
pub(super) fn sound(text: &str) -> String {
    text.chars().filter(|it| !is_unsound(*it)).collect()
}

/// Characters that XML 1.0 does not have.
const fn is_unsound(it: char) -> bool {
    matches!(it, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// A workbook that is being written: the rows on its first sheet, what they are on its second.
pub struct Book {
    workbook: Workbook,
    formats: Formats,
    widths: Vec<usize>,
    written: Written,
    seal: Seal,
}

impl std::fmt::Debug for Book {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Book")
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

struct Formats {
    text: Format,
    head: Format,
    integer: Format,
    decimal: Format,
    date: Format,
    moment: Format,
    wrapped: Format,
}

impl Formats {
    fn new() -> Self {
        let text = Format::new()
            .set_font_name(FONT)
            .set_font_size(FONT_SIZE)
            .set_font_charset(134)
            .set_align(FormatAlign::Top);
        let of = |code: &str| text.clone().set_num_format(code);
        Self {
            head: text
                .clone()
                .set_bold()
                .set_text_wrap()
                .set_align(FormatAlign::Center)
                .set_align(FormatAlign::VerticalCenter)
                .set_border_bottom(FormatBorder::Thin),
            integer: of("0"),
            decimal: of("0.00"),
            date: of("yyyy-mm-dd"),
            moment: of("yyyy-mm-dd hh:mm"),
            wrapped: text.clone().set_text_wrap(),
            text,
        }
    }
}

impl Book {
    /// Begins a workbook.
    ///
    /// `sheet` is the name of the first sheet, `created` the time of the file as `2026-11-28T01:30:00Z`, and `scratch` the directory
    /// in which the rows wait.
    ///
    /// # Errors
    /// [`WriteError`] where there are too many columns, the time is none, or the directory cannot be written to.
    pub fn begin(
        sheet: &str,
        heads: &[&str],
        created: &str,
        scratch: &Path,
    ) -> Result<Self, WriteError> {
        if heads.len() > COLUMNS_MAX as usize {
            return Err(WriteError::TooMuch);
        }
        let created = ExcelDateTime::parse_from_str(created).map_err(|_| WriteError::Time)?;
        let formats = Formats::new();
        let mut workbook = Workbook::new();
        workbook.set_tempdir(scratch)?;
        workbook.set_default_format(&formats.text, ROW_HEIGHT, COLUMN_WIDTH)?;
        workbook.set_properties(&DocProperties::new().set_creation_datetime(&created));
        let page = workbook.add_worksheet_with_constant_memory()?;
        page.set_name(sheet_name(sheet))?.set_freeze_panes(1, 0)?;
        set_up(page);
        page.set_repeat_rows(0, 0)?;
        let mut widths = Vec::new();
        let mut cut = 0;
        let mut seal = Seal::default();
        seal.heads(heads);
        for (column, head) in (0..).zip(heads) {
            page.write_string_with_format(0, column, held(head, &mut cut), &formats.head)?;
            // The button of the filter takes two digits.
            widths.push(width(head) + 3);
        }
        Ok(Self {
            workbook,
            formats,
            widths,
            written: Written { rows: 0, cut },
            seal,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`WriteError::TooMuch`]; [`WriteError::Workbook`] where the scratch directory is full.
    pub fn row(&mut self, values: &[Value<'_>]) -> Result<(), WriteError> {
        if self.written.rows >= ROWS_MAX || values.len() > self.widths.len() {
            return Err(WriteError::TooMuch);
        }
        self.written.rows += 1;
        self.seal.written(values);
        let row = u32::try_from(self.written.rows).map_err(|_| WriteError::TooMuch)?;
        let page = self.workbook.worksheet_from_index(0)?;
        let formats = &self.formats;
        for ((column, value), width) in (0..).zip(values).zip(&mut self.widths) {
            let (number, format) = match value {
                Value::Empty => continue,
                #[expect(clippy::cast_precision_loss, reason = "fifteen digits are exact")]
                Value::Integer(number) if number.unsigned_abs() <= DIGITS_EXACT => {
                    (Some(*number as f64), &formats.integer)
                }
                Value::Decimal(number) => {
                    (Some(*number).filter(|it| it.is_finite()), &formats.decimal)
                }
                Value::Date(day) => (
                    serial(day, false).filter(|it| it.fract() == 0.0),
                    &formats.date,
                ),
                Value::DateTime(moment) => (serial(moment, false), &formats.moment),
                Value::Text(_) | Value::Integer(_) | Value::Bool(_) => (None, &formats.text),
            };
            let taken = match number {
                Some(number) => {
                    page.write_number_with_format(row, column, number, format)?;
                    value.text().len()
                }
                None => {
                    let text = held(&value.text(), &mut self.written.cut);
                    let taken = text
                        .lines()
                        .map(crate::wide::width)
                        .max()
                        .unwrap_or_default();
                    if !text.is_empty() {
                        page.write_string_with_format(row, column, text, &formats.wrapped)?;
                    }
                    taken
                }
            };
            *width = (*width).max(taken + 1);
        }
        Ok(())
    }

    /// Adds what the rows are, as pairs of name and value, how many there are and their check value, and writes the file.
    ///
    /// # Errors
    /// [`WriteError`] where the file cannot be written.
    pub fn finish(
        mut self,
        notes: &[(&str, &str)],
        to: impl Write + Send,
    ) -> Result<Written, WriteError> {
        let columns = u16::try_from(self.widths.len()).map_err(|_| WriteError::TooMuch)?;
        let last = u32::try_from(self.written.rows).map_err(|_| WriteError::TooMuch)?;
        let page = self.workbook.worksheet_from_index(0)?;
        for (column, width) in (0..).zip(&self.widths) {
            page.set_column_width(column, digits(*width))?;
        }
        if self.widths.iter().map(|it| digits(*it)).sum::<f64>() <= PAGE_DIGITS_MAX {
            page.set_print_fit_to_pages(1, 0);
        }
        if let Some(right) = columns.checked_sub(1) {
            page.autofilter(0, 0, last, right)?;
        }
        let page = self.workbook.add_worksheet();
        page.set_name(NOTES)?;
        set_up(page);
        page.set_print_fit_to_pages(1, 0);
        page.set_column_width(0, 20)?.set_column_width(1, 80)?;
        let (rows, check) = (self.written.rows.to_string(), self.seal.finish());
        let ours = [(seal::ROWS, rows.as_str()), (seal::CHECK, check.as_str())];
        for (row, (name, value)) in (0..).zip(notes.iter().chain(&ours)) {
            page.write_string_with_format(
                row,
                0,
                held(name, &mut self.written.cut),
                &self.formats.wrapped,
            )?;
            page.write_string_with_format(
                row,
                1,
                held(value, &mut self.written.cut),
                &self.formats.wrapped,
            )?;
        }
        self.workbook.save_to_writer(to)?;
        Ok(self.written)
    }
}

fn set_up(page: &mut Worksheet) {
    page.set_paper_size(A4).set_landscape();
    page.set_margins(0.5, 0.5, 0.6, 0.7, 0.3, 0.3);
    page.set_footer("&C第 &P 页，共 &N 页");
}

/// A name that a sheet can have.
fn sheet_name(wanted: &str) -> String {
    let allowed =
        |it: &char| !matches!(it, '[' | ']' | ':' | '*' | '?' | '/' | '\\') && !it.is_control();
    let name: String = wanted.chars().filter(allowed).take(31).collect();
    let name = name.trim().trim_matches('\'');
    if name.is_empty() || name == NOTES {
        "数据".to_owned()
    } else {
        name.to_owned()
    }
}

fn digits(width: usize) -> f64 {
    f64::from(u8::try_from(width.clamp(WIDTH_MIN, WIDTH_MAX)).unwrap_or(u8::MAX))
}

/// Csv that is being written, with ends of lines as Windows has them. Text that looks like a formula has an apostrophe before it.
#[derive(Debug)]
pub struct Csv<W: Write> {
    records: csv::Writer<Encoded<W>>,
    rows: usize,
}

impl<W: Write> Csv<W> {
    /// Begins with the head.
    ///
    /// # Errors
    /// [`WriteError`] where nothing can be written.
    pub fn begin(to: W, encoding: Encoding, heads: &[&str]) -> Result<Self, WriteError> {
        let mut builder = csv::WriterBuilder::new();
        builder.terminator(csv::Terminator::CRLF).flexible(true);
        let mut records = builder.from_writer(Encoded::begin(to, encoding)?);
        records.write_record(heads.iter().map(|it| guarded(it).into_owned()))?;
        Ok(Self { records, rows: 0 })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`WriteError`] where nothing can be written.
    pub fn row(&mut self, values: &[Value<'_>]) -> Result<(), WriteError> {
        if self.rows >= ROWS_MAX {
            return Err(WriteError::TooMuch);
        }
        self.rows += 1;
        let fields = values.iter().map(|value| match value {
            Value::Text(text) => guarded(text).into_owned(),
            // A day that is none is a text like others.
            Value::Date(text) | Value::DateTime(text) if serial(text, false).is_none() => {
                guarded(text).into_owned()
            }
            value => value.text(),
        });
        Ok(self.records.write_record(fields)?)
    }

    /// Ends it.
    ///
    /// # Errors
    /// [`WriteError`] where nothing can be written.
    pub fn finish(mut self) -> Result<Written, WriteError> {
        self.records.flush()?;
        Ok(Written {
            rows: self.rows,
            cut: 0,
        })
    }
}
