//! Office Open XML workbooks: cells by their cached values (ECMA-376 part 1, §18.3), read once from front to end.

use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};

use super::grid::{Area, Grid};
use super::number::{self, Class};
use super::parts::{Package, Relation, Xml, attribute, numeric, push_text, raw_attribute};
use super::{Cell, Kind, Refusal, Sheet, Workbook};

/// Where a workbook is by habit.
const WORKBOOK: &str = "xl/workbook.xml";
/// Shared strings of a file.
const STRINGS_MAX: usize = 8_000_000;
/// Number formats and cell formats of a file; Excel has 65,490.
const FORMATS_MAX: usize = 200_000;
/// Rows of Excel.
pub(super) const SHEET_ROWS: u32 = 1_048_576;
/// Columns of Excel.
pub(super) const SHEET_COLUMNS: u32 = 16_384;
/// What stands in a cell whose formula was never worked out.
const UNCOMPUTED: &str = "#UNCOMPUTED!";

/// A workbook.
pub(super) struct Xlsx<'p, 'b> {
    package: &'p mut Package<'b>,
    pub(super) layout: Layout,
    strings: Strings,
}

/// Which parts a workbook has.
pub(super) struct Layout {
    pub(super) workbook: String,
    sheets: Vec<Sheet>,
    /// The part of each sheet.
    pub(super) parts: Vec<String>,
    pub(super) from_1904: bool,
    /// What each cell format makes of a number.
    pub(super) formats: Vec<Class>,
}

impl Layout {
    fn read(package: &mut Package<'_>) -> Result<(Self, Option<String>), Refusal> {
        let of_kind = |relations: &std::collections::BTreeMap<String, Relation>, kind: &str| {
            relations
                .values()
                .find(|it| it.kind == kind)
                .map(|it| it.part.clone())
        };
        let package_relations = package.relations("")?;
        let workbook =
            of_kind(&package_relations, "officeDocument").unwrap_or_else(|| WORKBOOK.to_owned());
        let relations = package.relations(&workbook)?;
        let (mut sheets, mut parts, mut from_1904) = (Vec::new(), Vec::new(), false);
        let mut xml = package.xml(&workbook)?.ok_or(Refusal::Damaged)?;
        loop {
            match xml.next()? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "workbookPr" => {
                        from_1904 = raw_attribute(&tag, "date1904", |it| {
                            Some(matches!(it, "1" | "true" | "on"))
                        }) == Some(true);
                    }
                    "sheet" => {
                        let relation = attribute(&tag, "id").and_then(|id| relations.get(&id));
                        let (Some(name), Some(relation)) = (attribute(&tag, "name"), relation)
                        else {
                            continue;
                        };
                        // Charts and macros are sheets too.
                        if relation.kind == "worksheet" {
                            let hidden = attribute(&tag, "state").is_some_and(|it| it != "visible");
                            sheets.push(Sheet { name, hidden });
                            parts.push(relation.part.clone());
                        }
                    }
                    _ => {}
                },
                Event::Eof => break,
                _ => {}
            }
        }
        drop(xml);
        let formats = match of_kind(&relations, "styles") {
            Some(part) => formats(package, &part)?,
            None => Vec::new(),
        };
        Ok((
            Self {
                workbook,
                sheets,
                parts,
                from_1904,
                formats,
            },
            of_kind(&relations, "sharedStrings"),
        ))
    }
}

impl<'p, 'b> Xlsx<'p, 'b> {
    pub(super) fn open(package: &'p mut Package<'b>) -> Result<Self, Refusal> {
        let (layout, strings) = Layout::read(package)?;
        let strings = match strings {
            Some(part) => Strings::read(package, &part)?,
            None => Strings::default(),
        };
        Ok(Self {
            package,
            layout,
            strings,
        })
    }

    pub(super) fn into_layout(self) -> Layout {
        self.layout
    }
}

impl Workbook for Xlsx<'_, '_> {
    fn sheets(&self) -> &[Sheet] {
        &self.layout.sheets
    }

    fn grid(&mut self, index: usize) -> Result<Grid, Refusal> {
        let part = self.layout.parts.get(index).ok_or(Refusal::NoSuchSheet)?;
        let xml = self.package.xml(part)?.ok_or(Refusal::Damaged)?;
        Reading {
            xml,
            layout: &self.layout,
            strings: &self.strings,
            grid: Grid::default(),
            row: 0,
            column: 0,
        }
        .grid()
    }
}

/// One string after the other, and where each ends: as many can be in a file as it has bytes.
#[derive(Default)]
struct Strings {
    all: String,
    ends: Vec<u32>,
}

impl Strings {
    fn read(package: &mut Package<'_>, part: &str) -> Result<Self, Refusal> {
        let mut strings = Self::default();
        let Some(mut xml) = package.xml(part)? else {
            return Ok(strings);
        };
        loop {
            match xml.next()? {
                Event::Start(tag) if tag.local_name().as_ref() == "si" => {
                    strings.all.push_str(&string(&mut xml)?);
                    strings
                        .ends
                        .push(u32::try_from(strings.all.len()).map_err(|_| Refusal::TooMuch)?);
                    if strings.ends.len() > STRINGS_MAX {
                        return Err(Refusal::TooMuch);
                    }
                }
                Event::Eof => return Ok(strings),
                _ => {}
            }
        }
    }

    fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or_default();
        self.all.get(start as usize..end as usize)
    }
}

/// The text of a string item whose start was read: its runs, without how it is pronounced.
fn string(xml: &mut Xml<impl BufRead>) -> Result<String, Refusal> {
    let mut text = String::new();
    let (mut depth, mut within, mut spoken) = (1_usize, false, false);
    loop {
        match xml.next()? {
            Event::Start(tag) => {
                depth += 1;
                match tag.local_name().as_ref() {
                    "t" => within = !spoken,
                    "rPh" => spoken = true,
                    _ => {}
                }
            }
            Event::End(tag) => {
                depth -= 1;
                match tag.local_name().as_ref() {
                    "t" => within = false,
                    "rPh" => spoken = false,
                    _ => {}
                }
                if depth == 0 {
                    return Ok(unescaped(text));
                }
            }
            Event::Eof => return Err(Refusal::Damaged),
            event if within => push_text(&event, &mut text)?,
            _ => {}
        }
    }
}

/// `_x000D_` stands for a character that XML cannot hold (ECMA-376 part 1, §22.9.2.19).
fn unescaped(text: String) -> String {
    if !text.contains("_x") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("_x") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let digits = from.get(2..6).filter(|it| {
            it.bytes().all(|it| it.is_ascii_hexdigit()) && from.get(6..7) == Some("_")
        });
        let held = digits.and_then(|it| char::from_u32(u32::from_str_radix(it, 16).ok()?));
        let (held, taken) = held.map_or(('_', 1), |held| (held, 7));
        out.push(held);
        rest = from.get(taken..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

fn formats(package: &mut Package<'_>, part: &str) -> Result<Vec<Class>, Refusal> {
    let mut own = std::collections::BTreeMap::new();
    let mut formats = Vec::new();
    let Some(mut xml) = package.xml(part)? else {
        return Ok(formats);
    };
    let mut within = false;
    loop {
        match xml.next()? {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "numFmt" => {
                    if let (Some(id), Some(code)) =
                        (numeric(&tag, "numFmtId"), attribute(&tag, "formatCode"))
                    {
                        own.insert(id, Class::of(&code));
                    }
                }
                "cellXfs" => within = true,
                "xf" if within => {
                    let id = numeric(&tag, "numFmtId").unwrap_or_default();
                    formats.push(own.get(&id).copied().unwrap_or_else(|| Class::built_in(id)));
                }
                _ => {}
            },
            Event::End(tag) if tag.local_name().as_ref() == "cellXfs" => within = false,
            Event::Eof => return Ok(formats),
            _ => {}
        }
        if own.len() + formats.len() > FORMATS_MAX {
            return Err(Refusal::TooMuch);
        }
    }
}

/// One sheet while it is read.
struct Reading<'s, R> {
    xml: Xml<R>,
    layout: &'s Layout,
    strings: &'s Strings,
    grid: Grid,
    row: u32,
    column: u32,
}

impl<R: BufRead> Reading<'_, R> {
    fn grid(mut self) -> Result<Grid, Refusal> {
        loop {
            match self.xml.next()? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "row" => {
                        // Rows and cells may leave out where they are, and then follow the one before.
                        if let Some(row) = numeric(&tag, "r") {
                            self.row = row.saturating_sub(1);
                        }
                        let hidden = attribute(&tag, "hidden");
                        if hidden.is_some_and(|it| matches!(&*it, "1" | "true")) {
                            self.grid.hide(self.row);
                        }
                        self.column = 0;
                    }
                    "c" => {
                        let (place, shape) = (raw_attribute(&tag, "r", place), Shape::of(&tag));
                        (self.row, self.column) = place.unwrap_or((self.row, self.column));
                        self.cell(shape)?;
                        self.column = self.column.saturating_add(1);
                    }
                    "mergeCell" => {
                        if let Some(area) = raw_attribute(&tag, "ref", area) {
                            self.grid.merge(area);
                        }
                    }
                    _ => {}
                },
                Event::End(tag) if tag.local_name().as_ref() == "row" => {
                    self.row = self.row.saturating_add(1);
                }
                Event::Eof => return Ok(self.grid),
                _ => {}
            }
        }
    }

    fn cell(&mut self, shape: Shape) -> Result<(), Refusal> {
        let mut value = None;
        let mut computed = false;
        loop {
            match self.xml.next()? {
                Event::Start(tag) => match tag.local_name().as_ref() {
                    "v" => {
                        let mut text = String::new();
                        loop {
                            match self.xml.next()? {
                                Event::End(_) => break,
                                Event::Eof => return Err(Refusal::Damaged),
                                event => push_text(&event, &mut text)?,
                            }
                        }
                        value = Some(text);
                    }
                    "is" => value = Some(string(&mut self.xml)?),
                    "f" => {
                        computed = true;
                        self.xml.skip()?;
                    }
                    _ => self.xml.skip()?,
                },
                Event::End(_) => break,
                Event::Eof => return Err(Refusal::Damaged),
                _ => {}
            }
        }
        let Some(value) = value else {
            let text = if computed { UNCOMPUTED } else { "" };
            return self.add(Cell {
                text: text.into(),
                kind: Kind::Refused,
            });
        };
        let cell = self.made(&shape, value)?;
        self.add(cell)
    }

    fn made(&self, shape: &Shape, value: String) -> Result<Cell, Refusal> {
        let of = |text: String, kind| {
            Ok(Cell {
                text: text.into(),
                kind,
            })
        };
        match shape.held {
            Held::Shared => {
                let index = value.trim().parse().map_err(|_| Refusal::Damaged)?;
                of(
                    self.strings.get(index).ok_or(Refusal::Damaged)?.to_owned(),
                    Kind::Text,
                )
            }
            Held::Inline => of(value, Kind::Text),
            Held::Formula => of(unescaped(value), Kind::Text),
            Held::Bool => of(
                if matches!(value.trim(), "1" | "true") {
                    "TRUE"
                } else {
                    "FALSE"
                }
                .to_owned(),
                Kind::Bool,
            ),
            Held::Error => of(value, Kind::Refused),
            Held::Date => of(
                value
                    .trim()
                    .trim_end_matches('Z')
                    .trim_end_matches("T00:00:00")
                    .to_owned(),
                Kind::Date,
            ),
            Held::Number if value.trim().is_empty() => of(String::new(), Kind::Empty),
            Held::Number => match value.trim().parse() {
                Ok(number) => {
                    let class = self
                        .layout
                        .formats
                        .get(shape.format)
                        .copied()
                        .unwrap_or(Class::Plain);
                    Ok(number::cell(number, class, self.layout.from_1904))
                }
                Err(_) => of(value, Kind::Text),
            },
        }
    }

    fn add(&mut self, cell: Cell) -> Result<(), Refusal> {
        if self.row >= SHEET_ROWS {
            return Err(Refusal::Damaged);
        }
        self.grid.add(self.row, self.column, cell)
    }
}

/// What a cell says of itself.
struct Shape {
    held: Held,
    format: usize,
}

enum Held {
    Shared,
    Inline,
    Formula,
    Bool,
    Error,
    Date,
    Number,
}

impl Shape {
    fn of(tag: &BytesStart<'_>) -> Self {
        let held = raw_attribute(tag, "t", |it| {
            Some(match it {
                "s" => Held::Shared,
                "inlineStr" => Held::Inline,
                "str" => Held::Formula,
                "b" => Held::Bool,
                "e" => Held::Error,
                "d" => Held::Date,
                _ => Held::Number,
            })
        });
        let format = numeric(tag, "s").and_then(|it| usize::try_from(it).ok());
        Self {
            held: held.unwrap_or(Held::Number),
            format: format.unwrap_or_default(),
        }
    }
}

/// Row and column from 0 of a reference such as `B3` or `$B$3`.
pub(super) fn place(reference: &str) -> Option<(u32, u32)> {
    let reference = reference.trim();
    let bare = reference.strip_prefix('$').unwrap_or(reference);
    let letters = bare.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, digits) = bare.split_at_checked(letters)?;
    let digits = digits.strip_prefix('$').unwrap_or(digits);
    let row: u32 = digits
        .bytes()
        .all(|it| it.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()?;
    if row == 0 || row > SHEET_ROWS {
        return None;
    }
    Some((row - 1, column(letters)?))
}

/// The column of its letters, from 0.
pub(super) fn column(letters: &str) -> Option<u32> {
    if letters.is_empty() || letters.len() > 3 {
        return None;
    }
    let number = letters.bytes().try_fold(0_u32, |number, letter| {
        let digit = letter
            .to_ascii_uppercase()
            .checked_sub(b'A')
            .filter(|digit| *digit < 26)?;
        Some(number * 26 + u32::from(digit) + 1)
    })?;
    (number <= SHEET_COLUMNS).then(|| number - 1)
}

/// The letters of a column from 0.
pub(super) fn letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(
            b'A' + u8::try_from(rest % 26).unwrap_or_default(),
        ));
        rest /= 26;
    }
    letters.into_iter().rev().collect()
}

/// An area such as `A1:C2`, or of one cell.
pub(super) fn area(reference: &str) -> Option<Area> {
    let (from, to) = reference.split_once(':').unwrap_or((reference, reference));
    let ((top, left), (bottom, right)) = (place(from)?, place(to)?);
    Some(Area {
        top,
        left,
        bottom,
        right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_and_written() {
        assert_eq!(place("A1"), Some((0, 0)));
        assert_eq!(place("$AB$12"), Some((11, 27)));
        assert_eq!(place("XFD1048576"), Some((1_048_575, 16_383)));
        for wrong in [
            "", "A", "1", "A0", "XFE1", "A1048577", "AAAA1", "中1", "A１",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        for at in [0, 25, 26, 701, 702, 16_383] {
            assert_eq!(column(&letters(at)), Some(at));
        }
    }

    #[test]
    fn what_xml_cannot_hold_is_read_back() {
        assert_eq!(
            unescaped("a_x000D_b_x005F_x0041_".to_owned()),
            "a\rb_x0041_"
        );
        assert_eq!(unescaped("_x_x00_中_xD800_".to_owned()), "_x_x00_中_xD800_");
    }
}
