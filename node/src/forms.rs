//! 本单位表样: an office's own ledger (任意台账, xlsx) or letter (docx). What its columns or places are is settled once and kept with the
//! file in the bulletin; from then on every device fills it from its records, in the office's own look.
//!
//! Owns what a file's names mean. Must not look into files: [`sheets`] does, and fills them.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use lianxin_protocol::catalogue::{Catalogue, Draft, Fact, Kind};
use rusqlite::Connection;
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::ledger::{Cell, Column, cell, column_out};
use crate::records::save::{self, Author, Saved};
use crate::records::{self, Listed, pieces};
use crate::sheets::docx::{fill_docx, places};
use crate::sheets::fill::Template;
use crate::sheets::{self, Refusal};

/// The kind of a form.
pub const KIND: &str = "office_form";
/// Bytes of a file that is kept: it goes to every device. Empty forms are some dozens of KiB.
pub const FILE_BYTES_MAX: usize = 512 * 1024;
/// Forms that are offered: the newest.
const FORMS_MAX: usize = 200;
/// Columns or places, as the kind bounds them.
const PLACES_MAX: usize = 200;
/// Characters of a form's name, as the kind bounds them.
const NAME_CHARS_MAX: usize = 64;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A workbook: a row a record.
    Ledger,
    /// A document: one of one record.
    Letter,
}

impl Shape {
    /// As its kind has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Letter => "letter",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [Self::Ledger, Self::Letter];
        all.into_iter().find(|it| it.word() == word)
    }
}

/// A column of a ledger or a place in a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The letters of the column, or the name of the place.
    pub key: String,
    /// What stands at its head, or the name of the place.
    pub name: String,
}

/// An office's file that was looked at, with what its places were taken for.
#[derive(Debug)]
pub struct Looked {
    /// Of which records it is.
    pub kind: &'static Kind,
    /// What it is.
    pub shape: Shape,
    /// The sheet with the table.
    pub sheet: Option<String>,
    /// Its places in their order.
    pub places: Vec<(Place, Option<Column>)>,
    bytes: Vec<u8>,
}

impl Looked {
    /// Looks at a file; `sheet` is where the table of a workbook is, the first with a head else.
    ///
    /// # Errors
    /// Any [`Refusal`]; [`Refusal::FileTooLarge`] beyond [`FILE_BYTES_MAX`], [`Refusal::Macros`] where there are any, [`Refusal::NoRows`] for a letter without places.
    pub fn at(kind: &'static Kind, bytes: Vec<u8>, sheet: Option<&str>) -> Result<Self, Refusal> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Refusal::FileTooLarge);
        }
        if sheets::has_macros(&bytes) {
            return Err(Refusal::Macros);
        }
        let (shape, sheet, places) = if sheets::is_document(&bytes) {
            let names = places(&bytes)?.into_iter();
            let places = names.map(|name| Place {
                key: name.clone(),
                name,
            });
            (Shape::Letter, None, places.collect::<Vec<_>>())
        } else {
            let template = Template::open(bytes.clone(), sheet)?;
            let heads = template.heads().iter();
            let places = heads.map(|head| Place {
                key: head.column.clone(),
                name: head.text.clone(),
            });
            let places = places.collect();
            (Shape::Ledger, Some(template.sheet().to_owned()), places)
        };
        if places.is_empty() {
            return Err(Refusal::NoRows);
        }
        if places.len() > PLACES_MAX {
            return Err(Refusal::TooMuch);
        }
        let taken = |place: Place| {
            let column = column_out(kind, &place.name);
            (place, column)
        };
        Ok(Self {
            kind,
            shape,
            sheet,
            places: places.into_iter().map(taken).collect(),
            bytes,
        })
    }

    /// Takes the place of this key or name for a column, or for none with an empty code.
    ///
    /// # Errors
    /// [`Code::Usage`] where the file has no such place or its records no such column.
    pub fn take(&mut self, place: &str, code: &str) -> Result<()> {
        let kind = self.kind;
        let mut places = self.places.iter_mut();
        let found = places.find(|(it, _)| it.key == place || it.name == place);
        let Some((_, column)) = found else {
            let message = "the file has no such column: --dry-run lists them";
            return Err(Error::new(Code::Usage, message));
        };
        *column = match code {
            "" => None,
            code => {
                let unknown = || {
                    let code = &kind.code;
                    let message = format!(
                        "there is no such field: `lianxin record template {code}` has them"
                    );
                    Error::new(Code::Usage, message)
                };
                Some(Column::parse(kind, code).ok_or_else(unknown)?)
            }
        };
        Ok(())
    }
}

/// Keeps a form for everybody.
///
/// # Errors
/// [`Code::RoleRefused`] for whoever is not of the sub-district; [`Code::SameForm`] while one of this name is in use; [`Code::Usage`] for a name that is none and where no place is taken for
/// anything; as a save.
pub fn keep(
    connection: &Connection,
    journal: &mut Journal,
    (name, looked): (&str, &Looked),
    author: &Author,
) -> Result<Saved> {
    author.actor.may_issue()?;
    let name = lianxin_protocol::text::plain(name.trim());
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.contains('\n') {
        let message = "a form needs a name of 64 characters at most";
        return Err(Error::new(Code::Usage, message));
    }
    let mut known = all(connection, None)?.into_iter();
    if known.any(|row| about(&row).is_some_and(|(it, ..)| it == name)) {
        let message = "a form of this name is in use: withdraw it first, or choose another name";
        return Err(Error::new(Code::SameForm, message));
    }
    let missing = || Error::new(Code::Internal, "a kind of the catalogue is missing");
    let kind = Catalogue::current().kind(KIND).ok_or_else(missing)?;
    let columns = looked.places.iter().filter_map(|(place, column)| {
        let column = column.as_ref()?;
        let item = format!("columns/{}={}", place.key, column.code());
        Some((item, Some(Fact::Bool(true))))
    });
    let fact = |key: &str, value: &str| (key.to_owned(), Some(Fact::Str(value.to_owned())));
    let mut facts: BTreeMap<_, _> = columns.collect();
    if facts.is_empty() {
        let message = "no column of this file is a field: say what at least one of them is";
        return Err(Error::new(Code::Usage, message));
    }
    facts.extend([
        fact("name", &name),
        fact("records", &looked.kind.code),
        fact("form", looked.shape.word()),
    ]);
    facts.extend(looked.sheet.as_ref().map(|sheet| fact("sheet", sheet)));
    let draft = Draft {
        facts,
        texts: BTreeMap::new(),
        nested: pieces::of(&Base64::encode_string(&looked.bytes))?,
    };
    save::by_program(connection, journal, (kind, &draft), author)
}

/// A form that can be filled.
#[derive(Debug)]
pub struct Form {
    /// What the office calls it.
    pub name: String,
    /// Of which records it is.
    pub kind: &'static Kind,
    /// What it is.
    pub shape: Shape,
    /// What is put where, by the letters of a column or the name of a place.
    columns: Vec<(String, Column)>,
    sheet: Option<String>,
    bytes: Vec<u8>,
}

/// The forms in use, newest first: those of a kind, if one is named.
///
/// # Errors
/// The store cannot be read.
pub fn all(connection: &Connection, kind: Option<&str>) -> Result<Vec<Listed>> {
    let of = kind.map(|kind| ("records".to_owned(), kind.to_owned()));
    let filter = records::Filter {
        kind: Some(KIND.to_owned()),
        status: Some("in_use".to_owned()),
        held: Some(false),
        values: of.into_iter().collect(),
        limit: FORMS_MAX,
        ..records::Filter::default()
    };
    records::list(connection, &filter)
}

/// The name, the kind and the shape of a form, as its row has them.
#[must_use]
pub fn about(row: &Listed) -> Option<(&str, &'static Kind, Shape)> {
    let text = |key: &str| row.fact(key).and_then(Value::as_str);
    let kind = Catalogue::current().kind(text("records")?)?;
    Some((text("name")?, kind, Shape::parse(text("form")?)?))
}

/// The newest form in use of this name.
///
/// # Errors
/// [`Code::NoForm`] where there is none.
pub fn named(connection: &Connection, name: &str) -> Result<Listed> {
    let mut forms = all(connection, None)?.into_iter();
    let wanted = |row: &Listed| {
        let number = row.number.as_deref() == Some(name);
        number || about(row).is_some_and(|(it, ..)| it == name)
    };
    forms.find(wanted).ok_or_else(no_form)
}

fn no_form() -> Error {
    let message = "there is no form of this name: `lianxin form list` has them";
    Error::new(Code::NoForm, message)
}

impl Form {
    /// Reads one.
    ///
    /// # Errors
    /// [`Code::NoForm`] where the record is none, of a kind that this version does not know, or not here whole.
    pub fn read(connection: &Connection, books: &mut Books, row: &Listed) -> Result<Self> {
        let (name, kind, shape) = about(row)
            .filter(|_| row.kind == KIND)
            .ok_or_else(no_form)?;
        let text = |key: &str| row.fact(key).and_then(Value::as_str);
        let incomplete = |_| Error::new(Code::NoForm, "this form has not come whole yet");
        let bytes = pieces::read(connection, books, row)?;
        let bytes = Base64::decode_vec(&bytes).map_err(incomplete)?;
        let content = records::gather(connection, books, row.key)?.content(books.authority());
        let columns = content.held("columns");
        let columns = columns.iter().filter_map(|item| {
            let (key, code) = item.rsplit_once('=')?;
            Some((key.to_owned(), Column::parse(kind, code)?))
        });
        Ok(Self {
            name: name.to_owned(),
            kind,
            shape,
            columns: columns.collect(),
            sheet: text("sheet").map(str::to_owned),
            bytes,
        })
    }

    /// As a door carries it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let columns = self.columns.iter();
        let columns = columns.map(|(key, column)| serde_json::json!([key, column.code()]));
        serde_json::json!({
            "name": self.name,
            "records": self.kind.code,
            "form": self.shape.word(),
            "sheet": self.sheet,
            "columns": columns.collect::<Vec<_>>(),
            "file": Base64::encode_string(&self.bytes),
        })
    }

    /// Reads what a door carried.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let kind = Catalogue::current().kind(text("records")?)?;
        let columns = value.get("columns").and_then(Value::as_array)?.iter();
        let columns = columns.map(|pair| {
            let part = |at: usize| pair.get(at).and_then(Value::as_str);
            Some((part(0)?.to_owned(), Column::parse(kind, part(1)?)?))
        });
        Some(Self {
            name: text("name")?.to_owned(),
            kind,
            shape: Shape::parse(text("form")?)?,
            columns: columns.collect::<Option<_>>()?,
            sheet: text("sheet").map(str::to_owned),
            bytes: Base64::decode_vec(text("file")?).ok()?,
        })
    }

    /// Fills a ledger with records, given as exports have them, a row each. Says how many texts had to be cut.
    ///
    /// # Errors
    /// [`Code::TooLarge`] for more rows than a sheet is read with, [`Code::BadTable`] where the file is none.
    pub fn ledger(&self, records: &[Value]) -> Result<(Vec<u8>, usize)> {
        let template = Template::open(self.bytes.clone(), self.sheet.as_deref());
        let template = template.map_err(refused)?;
        let rows: Vec<Vec<Cell>> = (1..)
            .zip(records)
            .map(|(place, record)| {
                let columns = self.columns.iter();
                let cells = columns.map(|(_, column)| cell(self.kind, *column, (place, record)));
                cells.collect()
            })
            .collect();
        let columns: Vec<&str> = self.columns.iter().map(|(key, _)| key.as_str()).collect();
        let values = rows.iter().map(|row| row.iter().map(Cell::value).collect());
        let filled = template.fill(&columns, values);
        let filled = filled.map_err(refused)?;
        Ok((filled.bytes, filled.cut))
    }

    /// Fills a letter with one record, given as exports have it. Places that were taken for nothing stay as they are.
    ///
    /// # Errors
    /// [`Code::BadTable`] where the file is none.
    pub fn letter(&self, record: &Value) -> Result<Vec<u8>> {
        let columns = self.columns.iter();
        let values = columns.map(|(key, column)| {
            let shown = cell(self.kind, *column, (1, record)).shown();
            (key.clone(), shown)
        });
        let filled = fill_docx(&self.bytes, &values.collect());
        Ok(filled.map_err(refused)?.bytes)
    }

    /// Its columns or places, each with what is put there.
    ///
    /// # Errors
    /// [`Code::BadTable`] where the file is none.
    pub fn places(&self) -> Result<Vec<(Place, Option<Column>)>> {
        let looked = Looked::at(self.kind, self.bytes.clone(), self.sheet.as_deref());
        let places = looked.map_err(refused)?.places.into_iter();
        let kept = |key: &str| self.columns.iter().find(|(it, _)| it == key);
        let places = places.map(|(place, _)| {
            let column = kept(&place.key).map(|(_, column)| *column);
            (place, column)
        });
        Ok(places.collect())
    }
}

fn refused(refusal: Refusal) -> Error {
    let code = match refusal {
        Refusal::TooManyRows | Refusal::TooMuch => Code::TooLarge,
        _ => Code::BadTable,
    };
    Error::new(code, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use super::*;
    use crate::sheets::paper::{At, Document};

    fn letter(places: &[&str]) -> std::io::Result<Vec<u8>> {
        let mut document = Document::begin(0);
        for place in places {
            document.line(place, At::In);
        }
        document.finish()
    }

    fn opinion() -> Option<&'static Kind> {
        Catalogue::current().kind("opinion")
    }

    #[test]
    fn places_are_known_by_what_offices_call_them_and_by_their_codes() -> anyhow::Result<()> {
        let kind = opinion().ok_or_else(no_form)?;
        let places = letter(&["{{登记编号}}", "【办理情况】", "{{#today}}", "{{天气}}"])?;
        let mut looked = Looked::at(kind, places, None)?;
        let codes = |looked: &Looked| -> Vec<Option<String>> {
            let places = looked.places.iter();
            places
                .map(|(_, column)| column.map(|it| it.code()))
                .collect()
        };
        let known = ["#number", "#answer", "#today"].map(|it| Some(it.to_owned()));
        let [number, answer, today] = known;
        assert_eq!(codes(&looked), [number, answer, today, None]);
        looked.take("天气", "place.text")?;
        looked.take("#today", "")?;
        assert_eq!(codes(&looked)[3].as_deref(), Some("place.text"));
        assert_eq!(codes(&looked)[2], None);
        for (place, code) in [("没有", "body"), ("天气", "没有"), ("天气", "body:yuan")] {
            assert!(looked.take(place, code).is_err(), "{place} {code}");
        }
        Ok(())
    }

    #[test]
    fn what_brings_macros_or_has_no_places_is_no_form() -> anyhow::Result<()> {
        let kind = opinion().ok_or_else(no_form)?;
        let refused = |bytes: Vec<u8>| Looked::at(kind, bytes, None).err();
        assert_eq!(refused(letter(&["没有要填的地方"])?), Some(Refusal::NoRows));
        let file = Cursor::new(letter(&["{{登记编号}}"])?);
        let mut file = zip::ZipWriter::new_append(file)?;
        file.start_file(
            "word/vbaProject.bin",
            zip::write::SimpleFileOptions::default(),
        )?;
        file.write_all(b"macro")?;
        assert_eq!(refused(file.finish()?.into_inner()), Some(Refusal::Macros));
        assert_eq!(
            refused(vec![b'P'; FILE_BYTES_MAX + 1]),
            Some(Refusal::FileTooLarge)
        );
        Ok(())
    }
}
