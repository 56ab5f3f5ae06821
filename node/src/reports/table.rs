//! Tables as reports fill them, before they are shown, printed, exported or proved: cells know what they are, not how they look.

use lianxin_protocol::catalogue::{Catalogue, Field, Label};
use lianxin_protocol::log::RecordId;
use serde_json::{Map, Value, json};

use super::known::Row;
use super::set::Figure;
use crate::clock;

/// What people read where nothing is known.
const NOTHING: &str = "—";
/// Persons in a cell below which no exact number leaves the sub-district (DOMAIN 12.1.8).
pub const SMALL: i64 = 5;

/// One cell.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    /// Nothing is known or asked.
    #[default]
    None,
    /// A word of this program, by its name in the locales without `rw-`.
    Word(&'static str),
    /// An option of a field: kind, field, code.
    Choice(&'static str, &'static str, String),
    /// A status of a kind.
    Status(&'static str, String),
    /// A name, a number of a record, or a date.
    Text(String),
    /// A record, by its number or what else it is called.
    Record(RecordId, String),
    /// A number that opens the list of what it counts.
    Count(Figure),
    /// The same of persons in a small place: shown as 不足 5 where it is less.
    Masked(Figure),
    /// n/N with its percentage.
    Ratio(Figure, Figure),
    /// Money in fen.
    Money(Figure),
    /// A number that counts nothing that could be listed.
    Number(i64),
    /// Tenths: days.
    Tenths(i64),
}

impl Cell {
    /// A record by its number, or by its title where it has none.
    #[must_use]
    pub fn record(row: &Row) -> Self {
        let name = row.number.clone().or_else(|| row.title.clone());
        Self::Record(row.id, name.unwrap_or_else(|| row.id.hyphenated()))
    }

    /// A text, if there is one.
    #[must_use]
    pub fn text(text: Option<impl Into<String>>) -> Self {
        text.map_or(Self::None, |text| Self::Text(text.into()))
    }

    /// The figure whose records the cell opens.
    #[must_use]
    pub const fn figure(&self) -> Option<&Figure> {
        match self {
            Self::Count(figure) | Self::Masked(figure) | Self::Money(figure) => Some(figure),
            Self::Ratio(figure, _) => Some(figure),
            Self::None
            | Self::Word(_)
            | Self::Choice(..)
            | Self::Status(..)
            | Self::Text(_)
            | Self::Record(..)
            | Self::Number(_)
            | Self::Tenths(_) => None,
        }
    }

    /// Whether its number is not told.
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        match self {
            Self::Masked(figure) => is_small(figure.value),
            _ => false,
        }
    }

    /// As JSON: numbers as numbers, money in fen, ratios as `{n, of}`, words by their codes.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            // Money is in fen here; where people read it, in yuan.
            Self::Word("u-yuan") => json!("u-fen"),
            Self::Word(word) => json!(word),
            Self::Choice(_, _, code) | Self::Status(_, code) => json!(code),
            Self::Text(text) | Self::Record(_, text) => json!(text),
            Self::Masked(figure) if is_small(figure.value) => json!(format!("<{SMALL}")),
            Self::Count(figure) | Self::Money(figure) | Self::Masked(figure) => {
                json!(figure.known())
            }
            Self::Ratio(n, of) => json!({ "n": n.known(), "of": of.known() }),
            Self::Number(number) => json!(number),
            Self::Tenths(tenths) => json!(tenths_text(*tenths).parse::<f64>().ok()),
        }
    }
}

/// Whether so many persons are few enough to be known by it.
#[must_use]
pub const fn is_small(value: i64) -> bool {
    0 < value && value < SMALL
}

/// Tenths as people read them: `12.5`.
#[must_use]
pub fn tenths_text(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    let tenths = tenths.unsigned_abs();
    format!("{sign}{}.{}", tenths / 10, tenths % 10)
}

/// The percentage of a ratio in tenths, rounded half up; nothing where there is no base.
#[must_use]
pub fn percent(n: i64, of: i64) -> Option<i64> {
    (of > 0).then(|| (n * 2_000 + of).div_euclid(2 * of))
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its cells, one a column.
    pub cells: Vec<Cell>,
    /// It heads a group of lines, and has the first cell alone.
    pub heads: bool,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Its name in the locales without `rt-`, and in JSON.
    pub code: &'static str,
    /// Its columns: names in the locales without `rc-`, and keys in JSON.
    pub columns: Vec<&'static str>,
    /// Its lines.
    pub lines: Vec<Line>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(code: &'static str, columns: &[&'static str]) -> Self {
        Self {
            code,
            columns: columns.to_vec(),
            lines: Vec::new(),
        }
    }

    /// Adds a line.
    pub fn line(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().collect();
        self.lines.push(Line {
            cells,
            heads: false,
        });
    }

    /// Adds a head over the lines that follow.
    pub fn head(&mut self, word: &'static str) {
        self.lines.push(Line {
            cells: vec![Cell::Word(word)],
            heads: true,
        });
    }

    /// Its lines as JSON objects; `group` says under which head each stands.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let mut group = None;
        let mut objects = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            if line.heads {
                group = line.cells.first().map(Cell::json);
                continue;
            }
            let mut object = Map::from_iter([("table".to_owned(), json!(self.code))]);
            object.extend(group.clone().map(|group| ("group".to_owned(), group)));
            let cells = self.columns.iter().zip(&line.cells);
            object.extend(cells.map(|(code, cell)| ((*code).to_owned(), cell.json())));
            objects.push(Value::Object(object));
        }
        objects
    }

    /// The cell at a place.
    #[must_use]
    pub fn cell(&self, line: usize, column: usize) -> Option<&Cell> {
        self.lines.get(line)?.cells.get(column)
    }
}

/// A cell as one line of text, for people.
#[must_use]
pub fn shown(cell: &Cell, say: &dyn Fn(&str) -> String, zh: bool) -> String {
    let label = |label: &Label| match zh {
        true => label.zh.clone(),
        false => label.en.clone(),
    };
    let known = |figure: &Figure, text: fn(i64) -> String| {
        figure.known().map_or_else(|| NOTHING.to_owned(), text)
    };
    match cell {
        Cell::None => NOTHING.to_owned(),
        Cell::Word(word) => say(word),
        Cell::Choice(kind, field, code) => {
            let kind = Catalogue::current().kind(kind);
            let field = kind.and_then(|kind| kind.field(field));
            let options = field.map(Field::options).unwrap_or_default();
            let option = options.iter().find(|option| option.code == *code);
            option.map_or_else(|| code.clone(), |option| label(&option.label))
        }
        Cell::Status(kind, code) => {
            let status = Catalogue::current()
                .kind(kind)
                .and_then(|it| it.status(code));
            status.map_or_else(|| code.clone(), |status| label(&status.label))
        }
        Cell::Text(text) | Cell::Record(_, text) => text.clone(),
        Cell::Masked(figure) if is_small(figure.value) => format!("<{SMALL}"),
        Cell::Count(figure) | Cell::Masked(figure) => known(figure, |it| it.to_string()),
        Cell::Ratio(n, of) => {
            let both = n.known().zip(of.known());
            let percent = both.and_then(|(n, of)| Some((n, of, percent(n, of)?)));
            percent.map_or_else(
                || NOTHING.to_owned(),
                |(n, of, tenths)| format!("{n}/{of}，{}%", tenths_text(tenths)),
            )
        }
        Cell::Money(figure) => known(figure, yuan),
        Cell::Number(number) => number.to_string(),
        Cell::Tenths(tenths) => tenths_text(*tenths),
    }
}

/// Fen as yuan: `1234.50`.
#[must_use]
pub fn yuan(fen: i64) -> String {
    let sign = if fen < 0 { "-" } else { "" };
    let fen = fen.unsigned_abs();
    format!("{sign}{}.{:02}", fen / 100, fen % 100)
}

/// A moment of a report as people read it, by Beijing time.
#[must_use]
pub fn moment(unix_ms: u64) -> String {
    clock::Beijing::of(unix_ms).text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_keep_their_sign_below_one() {
        for (tenths, text) in [
            (125, "12.5"),
            (5, "0.5"),
            (0, "0.0"),
            (-5, "-0.5"),
            (-15, "-1.5"),
        ] {
            assert_eq!(tenths_text(tenths), text);
        }
    }
}
