//! Tables as offices have them: read from the files that come in (xlsx, csv), written to files that go out (xlsx, csv), and
//! filled into an office's own template (xlsx, docx).
//!
//! What it must not do: follow anything in a file, trust a size that a file states, or take a file's name for what it is. A file comes
//! from outside; everything that it makes this program hold is bounded by a constant below, and what goes over one is a [`Refusal`].
//! No refusal carries words out of the file.
//!
//! - [`read`] finds out what a file is, takes the first sheet with rows, finds the head row under titles, and gives texts with their kind.
//! - [`write::Book`] and [`write::Csv`] write: text is never a formula, the same input gives the same bytes.
//! - [`fill::Template`] and [`docx::fill_docx`] put values into a template and leave the rest of its parts as they are.
//! - [`seal::check`] says whether a workbook that we wrote is as it was.
//! - [`paper::Document`] writes letters and forms that an office edits.
//!
//! Sources: ECMA-376 part 1 (SpreadsheetML §18, WordprocessingML §17), ISO/IEC 26300-3 (OpenDocument), MS-XLS and MS-CFB, RFC 4180,
//! GB 18030 as the WHATWG Encoding Standard has it, OWASP "CSV injection".
//!
//! Rejected: reading with calamine 0.38, which would know more forms. It believes what a file states before it has seen it: `uniqueCount`
//! of shared strings is reserved as it stands (tried: a workbook of 10 KiB aborts the process, which nothing can catch). It stays as a
//! witness in tests of what is written here. The way in which a template is filled has to know the cells of a sheet anyway.
//!
//! Limits: xls, et, xlsb, ods, password-protected files and web pages named .xls are recognised and refused by name: any office program
//! saves them as .xlsx.

pub mod docx;
pub mod fill;
pub mod paper;
pub mod seal;
pub mod text;
pub mod write;

mod formula;
mod grid;
mod number;
mod parts;
mod splice;
mod xlsx;

#[cfg(test)]
mod tests;

pub use text::{Encoding, decode_text};

use grid::Grid;
use parts::Package;

/// Bytes of a file: a ledger of 200,000 rows is about 20 MiB as xlsx.
pub const FILE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of all parts of a file that are read, unpacked.
pub const UNPACKED_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Files inside a packed file: office files have some dozens.
pub const PARTS_MAX: usize = 10_000;
/// Rows with something in them.
pub const ROWS_MAX: usize = 200_000;
/// Columns.
pub const COLUMNS_MAX: u32 = 512;
/// Cells, empty ones between others too: 200,000 rows of 40 columns.
pub const CELLS_MAX: usize = 8_000_000;
/// Bytes of the text of all cells, which a file can repeat by reference.
pub const TEXT_BYTES_MAX: usize = 192 * 1024 * 1024;
/// Characters of a cell, which is the bound of Excel too.
pub const CELL_CHARS_MAX: usize = 32_767;
/// Sheets of a workbook that are looked at.
pub const SHEETS_MAX: usize = 1_000;

/// Why a file was not read or a template not filled. The text of a message is for logs and the command line; pages say it by
/// [`Refusal::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file has more than [`FILE_BYTES_MAX`].
    #[error("the file is larger than 32 MiB")]
    FileTooLarge,
    /// What the file unpacks to is more than [`UNPACKED_BYTES_MAX`], or it has more than [`PARTS_MAX`] parts.
    #[error("the file unpacks to more than 256 MiB")]
    UnpacksTooLarge,
    /// More than [`ROWS_MAX`], or more sheets than [`SHEETS_MAX`].
    #[error("the sheet has more than 200,000 rows")]
    TooManyRows,
    /// Something stands to the right of column [`COLUMNS_MAX`].
    #[error("row {row} has more than 512 columns")]
    TooManyColumns {
        /// The row as the user sees it, from 1.
        row: u32,
    },
    /// More than [`CELLS_MAX`] or [`TEXT_BYTES_MAX`].
    #[error("the sheet has too much in it: split it")]
    TooMuch,
    /// A cell of more than [`CELL_CHARS_MAX`]. Row and column are 0 where the text stands apart from its cell.
    #[error("the cell in row {row}, column {column} has more than 32,767 characters")]
    CellTooLong {
        /// From 1.
        row: u32,
        /// From 1.
        column: u32,
    },
    /// The file opens only with a password.
    #[error("the file is protected by a password: save it without")]
    Encrypted,
    /// An xls, et, xlsb or ods.
    #[error("this form of table is not read: save it as .xlsx")]
    OldForm,
    /// HTML or XML that calls itself a table, as web systems export it.
    #[error("this is a web page named as a table: open it and save it as .xlsx")]
    WebPage,
    /// A form with macros: it goes to every device, and what runs there is not for one office to say.
    #[error("the file has macros: save it without, as .xlsx or .docx")]
    Macros,
    /// Something else, such as a Word document, a picture or a PDF.
    #[error("this is no table")]
    NotATable,
    /// It begins like a table, and its parts contradict each other or are cut off.
    #[error("the file is damaged")]
    Damaged,
    /// Text in none of the encodings of [`Encoding`].
    #[error("the text is in no known encoding")]
    UnknownEncoding,
    /// No sheet has the name that was asked for.
    #[error("there is no sheet of this name")]
    NoSuchSheet,
    /// No sheet has anything in it; a template: no sheet has a head row.
    #[error("there are no rows")]
    NoRows,
    /// A template was to be filled in a column that it has not.
    #[error("the template has no such column")]
    NoSuchColumn,
}

impl Refusal {
    /// A stable word for it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::FileTooLarge => "file-too-large",
            Self::UnpacksTooLarge => "unpacks-too-large",
            Self::TooManyRows => "too-many-rows",
            Self::TooManyColumns { .. } => "too-many-columns",
            Self::TooMuch => "too-much",
            Self::CellTooLong { .. } => "cell-too-long",
            Self::Encrypted => "encrypted",
            Self::OldForm => "old-form",
            Self::WebPage => "web-page",
            Self::Macros => "macros",
            Self::NotATable => "not-a-table",
            Self::Damaged => "damaged",
            Self::UnknownEncoding => "unknown-encoding",
            Self::NoSuchSheet => "no-such-sheet",
            Self::NoRows => "no-rows",
            Self::NoSuchColumn => "no-such-column",
        }
    }
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or white space alone.
    #[default]
    Empty,
    /// Text as typed. All cells of csv are text.
    Text,
    /// A number: `12`, `12.5`, or `12.5%` where the cell is formatted so.
    Number,
    /// A day `2026-11-28` or a time of a day `2026-11-28T09:30`, with `:SS` where there are seconds.
    Date,
    /// `TRUE` or `FALSE`.
    Bool,
    /// What the other program could not work out, such as `#N/A`, or a formula that it never worked out. It is no value.
    Refused,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// As typed, without white space around it; ISO 8601 for [`Kind::Date`].
    pub text: Box<str>,
    /// What it is.
    pub kind: Kind,
}

/// One row under the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The row as the user sees it in the file, from 1. In csv it is the record, as a table program numbers it.
    pub number: u32,
    /// The cells up to the last that is not empty: short rows are short.
    pub cells: Vec<Cell>,
    /// It is one of the last rows and says 合计, 总计 or the like.
    pub total: bool,
    /// Whoever opens the file does not see it: it was filtered out or folded away.
    pub hidden: bool,
}

/// What form a file had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Office Open XML.
    Xlsx,
    /// Text, with its encoding and what stands between two cells.
    Text(Encoding, char),
}

/// A table that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// What the file was.
    pub form: Form,
    /// The names of all sheets, in their order; empty for text.
    pub sheets: Vec<String>,
    /// Which of them this is; 0 for text.
    pub sheet: usize,
    /// The last row of the head as the user sees it, from 1.
    pub head_row: u32,
    /// The names of the columns. Where the head has several rows, they are joined by a space.
    pub heads: Vec<String>,
    /// The rows under the head that are not empty.
    pub rows: Vec<Row>,
}

/// One sheet of a workbook.
struct Sheet {
    name: String,
    hidden: bool,
}

/// A workbook of which one sheet after the other is read.
trait Workbook {
    fn sheets(&self) -> &[Sheet];
    fn grid(&mut self, index: usize) -> Result<Grid, Refusal>;
}

/// Reads a table, whatever the file's name. Of a workbook it takes the named sheet, else the first visible one with rows under a head.
///
/// # Errors
/// Any [`Refusal`].
pub fn read(bytes: &[u8], sheet: Option<&str>) -> Result<Table, Refusal> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::FileTooLarge);
    }
    match bytes {
        [b'P', b'K', 3, 4, ..] => {
            let mut package = Package::open(bytes)?;
            if package.has("content.xml") || package.has("xl/workbook.bin") {
                Err(Refusal::OldForm)
            } else if package.has("[content_types].xml") && !package.has("word/document.xml") {
                choose(&mut xlsx::Xlsx::open(&mut package)?, Form::Xlsx, sheet)
            } else {
                Err(Refusal::NotATable)
            }
        }
        // A compound file: an old workbook, or a packed one under a password.
        [0xd0, 0xcf, 0x11, 0xe0, ..] if holds(bytes, ENCRYPTED) => Err(Refusal::Encrypted),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Err(Refusal::OldForm),
        [0x09, 0x00 | 0x02 | 0x04 | 0x08, _, 0x00, ..] => Err(Refusal::OldForm),
        [b'%', b'P', b'D', b'F', ..] => Err(Refusal::NotATable),
        _ => {
            let (text, encoding) = decode_text(bytes)?;
            if text::is_page(&text) {
                return Err(Refusal::WebPage);
            }
            let (grid, between) = text::grid(&text)?;
            let form = Form::Text(encoding, between);
            grid.table(form).ok_or(Refusal::NoRows)
        }
    }
}

/// Whether a file is a Word document, whatever its name.
#[must_use]
pub fn is_document(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
        && Package::open(bytes).is_ok_and(|package| package.has("word/document.xml"))
}

/// Whether a packed office file brings macros, which run where it is opened.
#[must_use]
pub fn has_macros(bytes: &[u8]) -> bool {
    const MACROS: [&str; 2] = ["xl/vbaproject.bin", "word/vbaproject.bin"];
    bytes.starts_with(b"PK\x03\x04")
        && Package::open(bytes).is_ok_and(|package| MACROS.iter().any(|part| package.has(part)))
}

/// The name of the stream in which a workbook under a password lies, as compound files spell names (MS-OFFCRYPTO 2.3).
const ENCRYPTED: &str = "EncryptedPackage";

/// Whether a name stands in a compound file, in UTF-16.
fn holds(bytes: &[u8], name: &str) -> bool {
    let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    bytes.windows(name.len()).any(|window| window == name)
}

fn choose(book: &mut impl Workbook, form: Form, named: Option<&str>) -> Result<Table, Refusal> {
    let sheets: Vec<_> = book.sheets().iter().map(|it| it.name.clone()).collect();
    let hidden: Vec<_> = book.sheets().iter().map(|it| it.hidden).collect();
    if sheets.len() > SHEETS_MAX {
        return Err(Refusal::TooManyRows);
    }
    let order: Vec<usize> = match named {
        Some(name) => {
            let found = sheets.iter().position(|it| it == name);
            vec![found.ok_or(Refusal::NoSuchSheet)?]
        }
        None => {
            let mut order: Vec<_> = (0..sheets.len()).collect();
            order.sort_by_key(|index| hidden.get(*index));
            order
        }
    };
    let mut headed = None;
    for index in order {
        let Some(mut table) = book.grid(index)?.table(form) else {
            continue;
        };
        let rows = !table.rows.is_empty();
        table.sheet = index;
        if rows || headed.is_none() {
            headed = Some(table);
        }
        if rows {
            break;
        }
    }
    let mut table = headed.ok_or(Refusal::NoRows)?;
    table.sheets = sheets;
    Ok(table)
}
