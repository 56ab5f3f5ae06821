//! The check value of a workbook that goes out: over the cells of its rows as anybody reads them, on the sheet 说明. Whoever opens the file in
//! a table program and changes one cell, adds a row or puts them in another order has another value; colours, widths and empty rows
//! change nothing.

use std::borrow::Cow;

use lianxin_protocol::hash::{self, Hasher, Hex};

use super::parts::Package;
use super::write::{NOTES, Value, held};
use super::xlsx::Xlsx;
use super::{Cell, Kind, Refusal, Workbook as _};

/// What the sheet 说明 calls it, and the number of rows.
pub(super) const CHECK: &str = "校验值";
pub(super) const ROWS: &str = "行数";
/// Ends a cell, and a row.
const CELL: u8 = 0x1f;
const ROW: u8 = 0x1e;

/// A check value that is being worked out.
pub(super) struct Seal(Hasher);

impl std::fmt::Debug for Seal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seal")
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self(hash::EXPORT.hasher())
    }
}

impl Seal {
    /// Takes a row. Empty cells at its end are none, and a row of nothing else is none.
    fn row<'t>(&mut self, cells: impl Iterator<Item = Cow<'t, str>>) {
        let mut empty = 0;
        let mut any = false;
        for cell in cells {
            if cell.is_empty() {
                empty += 1;
                continue;
            }
            for _ in 0..std::mem::take(&mut empty) {
                self.0.update(&[CELL]);
            }
            self.0.update(cell.as_bytes());
            self.0.update(&[CELL]);
            any = true;
        }
        if any {
            self.0.update(&[ROW]);
        }
    }

    /// Takes a row that is written.
    pub(super) fn written(&mut self, values: &[Value<'_>]) {
        self.row(values.iter().map(|value| Cow::Owned(of_value(value))));
    }

    /// Takes the head.
    pub(super) fn heads(&mut self, heads: &[&str]) {
        self.row(heads.iter().map(|head| plain(&held(head, &mut 0))));
    }

    pub(super) fn finish(self) -> String {
        Hex(&self.0.finish()).to_string()
    }
}

/// A text as it comes back out of a file.
fn plain(text: &str) -> Cow<'static, str> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    Cow::Owned(text.trim().to_owned())
}

fn of_value(value: &Value<'_>) -> String {
    let text = plain(&held(&value.text(), &mut 0)).into_owned();
    match value {
        Value::DateTime(_) => minute(&text),
        Value::Decimal(_) => number(&text),
        _ => text,
    }
}

/// A moment to the minute, where there are no seconds.
fn minute(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    match text.matches(':').count() {
        2 => text.strip_suffix(":00").unwrap_or(&text).to_owned(),
        _ => text,
    }
}

/// A number with two decimals at most.
fn number(text: &str) -> String {
    let Ok(number) = text.parse::<f64>() else {
        return text.to_owned();
    };
    let text = format!("{number:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn of_cell(cell: &Cell) -> Cow<'static, str> {
    match cell.kind {
        Kind::Date => Cow::Owned(minute(&cell.text)),
        Kind::Number if cell.text.contains('.') => Cow::Owned(number(&cell.text)),
        Kind::Bool if &*cell.text == "TRUE" => Cow::Borrowed("是"),
        Kind::Bool => Cow::Borrowed("否"),
        _ => plain(&cell.text),
    }
}

/// What a workbook of ours says of itself, and what its rows say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its rows under the head, without empty ones.
    pub rows: usize,
    /// The rows that it had, empty ones too.
    pub stated_rows: String,
    /// Whether every cell is as it was.
    pub holds: bool,
}

/// Compares a workbook with its check value.
///
/// # Errors
/// [`Refusal::NotATable`] for what is no workbook or has no check value; others for what cannot be read.
pub fn check(bytes: &[u8]) -> Result<Sealed, Refusal> {
    if bytes.len() > super::FILE_BYTES_MAX {
        return Err(Refusal::FileTooLarge);
    }
    if !bytes.starts_with(b"PK\x03\x04") {
        return Err(Refusal::NotATable);
    }
    let mut package = Package::open(bytes)?;
    let mut book = Xlsx::open(&mut package)?;
    let notes = book.sheets().iter().position(|sheet| sheet.name == NOTES);
    let notes = book.grid(notes.filter(|at| *at > 0).ok_or(Refusal::NotATable)?)?;
    let stated = |name: &str| {
        let mut rows = notes.rows();
        let row = rows.find(|row| row.first().is_some_and(|cell| &*cell.text == name));
        row.and_then(|row| row.get(1))
            .map(|cell| cell.text.to_string())
    };
    let check = stated(CHECK).ok_or(Refusal::NotATable)?;
    let stated_rows = stated(ROWS).unwrap_or_default();
    let grid = book.grid(0)?;
    let mut seal = Seal::default();
    let mut rows = 0;
    for row in grid.rows() {
        seal.row(row.iter().map(of_cell));
        rows += 1;
    }
    Ok(Sealed {
        rows: usize::saturating_sub(rows, 1),
        stated_rows,
        holds: seal.finish() == check,
    })
}

#[cfg(test)]
mod tests {
    use super::super::write::Book;
    use super::*;

    fn book(rows: &[Vec<Value<'_>>]) -> anyhow::Result<Vec<u8>> {
        let heads = ["编号", "内容", "日期", "时间", "数", "元", "是否"];
        let time = "2026-11-30T09:00:00Z";
        let mut book = Book::begin("台账", &heads, time, &std::env::temp_dir())?;
        for row in rows {
            book.row(row)?;
        }
        let mut bytes = Vec::new();
        book.finish(&[("筛选", "全部")], &mut bytes)?;
        Ok(bytes)
    }

    fn row<'t>(number: &'t str, words: &'t str) -> Vec<Value<'t>> {
        vec![
            Value::Text(number),
            Value::Text(words),
            Value::Date("2026-11-30"),
            Value::DateTime("2026-11-30T09:30:00"),
            Value::Integer(12),
            Value::Decimal(12.5),
            Value::Bool(true),
        ]
    }

    #[test]
    fn a_workbook_holds_as_it_was_written_whatever_stands_in_its_cells() -> anyhow::Result<()> {
        let long = "长".repeat(40_000);
        let rows = [
            row("1", " 两行\r\n第二行 "),
            row("2", "=1+1"),
            row("3", &long),
            vec![
                Value::Text("4"),
                Value::Empty,
                Value::Date("不是日期"),
                Value::DateTime("2026-11-30T09:30:05"),
            ],
            vec![
                Value::Text("123456789012345678"),
                Value::Integer(i64::MAX),
                Value::Empty,
                Value::Empty,
                Value::Empty,
                Value::Decimal(3.0),
            ],
            vec![],
            row("5", "_x0041_\u{1}<&>"),
        ];
        let sealed = check(&book(&rows)?)?;
        assert_eq!(
            (sealed.holds, sealed.rows, sealed.stated_rows.as_str()),
            (true, 6, "7")
        );
        Ok(())
    }

    #[test]
    fn one_cell_one_row_or_another_order_is_another_value() -> anyhow::Result<()> {
        let whole = [row("1", "甲"), row("2", "乙")];
        let check_of = |rows: &[Vec<Value<'_>>]| -> anyhow::Result<String> {
            let mut seal = Seal::default();
            rows.iter().for_each(|row| seal.written(row));
            Ok(seal.finish())
        };
        let value = check_of(&whole)?;
        for other in [
            vec![row("1", "甲"), row("2", "丙")],
            vec![row("2", "乙"), row("1", "甲")],
            vec![row("1", "甲")],
            vec![row("1", "甲"), row("2", "乙"), row("2", "乙")],
            // What stands in one cell is not what stands in two.
            vec![vec![Value::Text("1甲")], row("2", "乙")],
        ] {
            assert_ne!(check_of(&other)?, value);
        }
        Ok(())
    }

    #[test]
    fn what_has_no_check_value_is_none_of_ours() {
        assert_eq!(check(b"PK"), Err(Refusal::NotATable));
        assert_eq!(check("登记编号,内容".as_bytes()), Err(Refusal::NotATable));
    }
}
