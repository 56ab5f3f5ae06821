//! References in formulas (ECMA-376 part 1, §18.17.2) when rows are put in, and when a formula is copied to another row.
//!
//! Only references are read; the rest of a formula passes through as it is.

use super::xlsx::{SHEET_ROWS, column};

/// Rows of a sheet that become more: `first` to `last`, from 1, get `more` after them. `last` before `first` means that there are none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) more: u32,
}

impl Growth {
    /// Where a row goes.
    pub(super) const fn row(self, row: u32) -> u32 {
        if row > self.last {
            row.saturating_add(self.more)
        } else {
            row
        }
    }

    /// Where the first and the last row of an area go. One that ends with the rows grows with them; where there are none yet, so does one
    /// of several rows that begins where they will begin.
    pub(super) const fn rows(self, top: u32, bottom: u32) -> (u32, u32) {
        if self.last < self.first {
            let begins = top == self.first && bottom > top;
            return (if begins { top } else { self.row(top) }, self.row(bottom));
        }
        let bottom = if bottom >= self.last {
            bottom.saturating_add(self.more)
        } else {
            bottom
        };
        (self.row(top), bottom)
    }
}

/// What is done with references.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change<'a> {
    /// Rows of the sheet of this name are put in. References without a sheet's name are to that sheet where `own`.
    Grow {
        growth: Growth,
        sheet: &'a str,
        own: bool,
    },
    /// The formula is copied so many rows and columns down and to the right.
    Copy { rows: i64, columns: i64 },
}

/// Functions over one cell that becomes an area when its row becomes several.
const OVER_AREAS: [&str; 6] = ["SUM(", "COUNT(", "COUNTA(", "AVERAGE(", "MAX(", "MIN("];

/// A formula after a change.
pub(super) fn changed(formula: &str, change: Change<'_>) -> String {
    let mut out = String::with_capacity(formula.len() + 8);
    let mut rest = formula;
    // The sheet's name that stands before the next reference.
    let mut of: Option<String> = None;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' => quoted(rest, '"'),
            '\'' => quoted(rest, '\''),
            '[' => bracketed(rest),
            it if is_word(it) => word(rest),
            it => it.len_utf8(),
        };
        let (token, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        if first == '\'' || (is_word(first) && after.starts_with('!')) {
            // `[1]` before it means a sheet of another workbook, whose name is none here.
            let foreign = out.ends_with(']');
            of = Some(if foreign {
                String::new()
            } else {
                token.trim_matches('\'').replace("''", "'")
            });
            out.push_str(token);
            rest = after;
            continue;
        }
        if is_word(first) && !after.starts_with('(') {
            // An area is two of them.
            let second = after.strip_prefix(':').filter(|it| it.starts_with(is_word));
            let second = second.map(|it| it.split_at_checked(word(it)).unwrap_or((it, "")));
            if let Some((to, rests)) = second.filter(|(to, _)| is_area(token, to)) {
                match area(token, to, change, of.as_deref()) {
                    Some(changed) => out.push_str(&changed),
                    None => out.push_str(rest.strip_suffix(rests).unwrap_or_default()),
                }
                rest = rests;
                of = None;
                continue;
            }
            let alone = after.starts_with(')')
                && OVER_AREAS.iter().any(|it| {
                    let tail = out
                        .len()
                        .checked_sub(it.len())
                        .and_then(|from| out.get(from..));
                    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(it))
                });
            match single(token, change, of.as_deref(), alone) {
                Some(changed) => out.push_str(&changed),
                None => out.push_str(token),
            }
            of = None;
        } else {
            out.push_str(token);
            if first != '!' {
                of = None;
            }
        }
        rest = after;
    }
    out
}

const fn is_word(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '$' | '_' | '.' | '\\') || !it.is_ascii()
}

fn word(text: &str) -> usize {
    text.find(|it| !is_word(it)).unwrap_or(text.len())
}

/// To the closing quote; two of them are one within.
fn quoted(text: &str, quote: char) -> usize {
    let mut from = 1;
    loop {
        let Some(at) = text.get(from..).and_then(|it| it.find(quote)) else {
            return text.len();
        };
        from += at + 1;
        if !text.get(from..).is_some_and(|it| it.starts_with(quote)) {
            return from;
        }
        from += 1;
    }
}

fn bracketed(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, it) in text.char_indices() {
        match it {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// A reference to a cell or, without letters, to a row.
#[derive(Clone, Copy, Debug)]
struct Place<'t> {
    fixed_column: bool,
    letters: &'t str,
    fixed_row: bool,
    row: u32,
}

impl<'t> Place<'t> {
    fn of(token: &'t str) -> Option<Self> {
        let bare = token.strip_prefix('$').unwrap_or(token);
        let fixed = bare.len() < token.len();
        let (letters, digits) =
            bare.split_at_checked(bare.bytes().take_while(u8::is_ascii_alphabetic).count())?;
        let (fixed_column, fixed_row, digits) = match (letters.is_empty(), digits.strip_prefix('$'))
        {
            (true, None) => (false, fixed, digits),
            (true, Some(_)) => return None,
            (false, Some(digits)) => (fixed, true, digits),
            (false, None) => (fixed, false, digits),
        };
        let row = digits
            .bytes()
            .all(|it| it.is_ascii_digit())
            .then(|| digits.parse().ok())
            .flatten()?;
        if row == 0 || row > SHEET_ROWS || !(letters.is_empty() || column(letters).is_some()) {
            return None;
        }
        Some(Self {
            fixed_column,
            letters,
            fixed_row,
            row,
        })
    }

    fn text(self, row: u32) -> String {
        let dollar = |fixed| if fixed { "$" } else { "" };
        format!(
            "{}{}{}{row}",
            dollar(self.fixed_column),
            self.letters,
            dollar(self.fixed_row)
        )
    }

    /// As it stands in a copy of the formula; a place outside the sheet is none.
    fn copied(self, rows: i64, columns: i64) -> String {
        let row = if self.fixed_row {
            Some(self.row)
        } else {
            u32::try_from(i64::from(self.row) + rows).ok()
        };
        let row = row.filter(|row| (1..=SHEET_ROWS).contains(row));
        let letters = match column(self.letters) {
            Some(at) if !self.fixed_column && columns != 0 => {
                u32::try_from(i64::from(at) + columns)
                    .ok()
                    .map(super::xlsx::letters)
            }
            _ => Some(self.letters.to_owned()),
        };
        match (row, letters) {
            (Some(row), Some(letters)) => Place {
                letters: &letters,
                ..self
            }
            .text(row),
            _ => "#REF!".to_owned(),
        }
    }
}

fn concerns(change: Change<'_>, of: Option<&str>) -> bool {
    match (change, of) {
        (Change::Copy { .. }, _) => true,
        (Change::Grow { own, .. }, None) => own,
        (Change::Grow { sheet, .. }, Some(of)) => of.to_lowercase() == sheet.to_lowercase(),
    }
}

fn is_area(from: &str, to: &str) -> bool {
    matches!((Place::of(from), Place::of(to)), (Some(from), Some(to)) if from.letters.is_empty() == to.letters.is_empty())
}

fn single(token: &str, change: Change<'_>, of: Option<&str>, alone: bool) -> Option<String> {
    let place = Place::of(token).filter(|it| !it.letters.is_empty())?;
    if !concerns(change, of) {
        return None;
    }
    match change {
        Change::Grow { growth, .. }
            if alone
                && growth.first == growth.last
                && place.row == growth.last
                && growth.more > 0 =>
        {
            let (top, bottom) = growth.rows(place.row, place.row);
            Some(format!("{}:{}", place.text(top), place.text(bottom)))
        }
        Change::Grow { growth, .. } => Some(place.text(growth.row(place.row))),
        Change::Copy { rows, columns } => Some(place.copied(rows, columns)),
    }
}

fn area(from: &str, to: &str, change: Change<'_>, of: Option<&str>) -> Option<String> {
    let (from, to) = (Place::of(from)?, Place::of(to)?);
    if !concerns(change, of) {
        return None;
    }
    Some(match change {
        Change::Grow { growth, .. } => {
            let (top, bottom) = growth.rows(from.row.min(to.row), from.row.max(to.row));
            let (first, second) = if from.row <= to.row {
                (top, bottom)
            } else {
                (bottom, top)
            };
            format!("{}:{}", from.text(first), to.text(second))
        }
        Change::Copy { rows, columns } => format!(
            "{}:{}",
            from.copied(rows, columns),
            to.copied(rows, columns)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_follow_the_rows_that_are_put_in() {
        let growth = Growth {
            first: 4,
            last: 5,
            more: 10,
        };
        let own = Change::Grow {
            growth,
            sheet: "台账 1",
            own: true,
        };
        for (before, after) in [
            ("SUM(C4:C5)", "SUM(C4:C15)"),
            ("SUM($C$4:$C$5)/C6", "SUM($C$4:$C$15)/C16"),
            ("SUM(C5:C4)", "SUM(C15:C4)"),
            ("SUM(C4:C4)+C4+C3", "SUM(C4:C4)+C4+C3"),
            ("SUBTOTAL(9,C4:C5)", "SUBTOTAL(9,C4:C15)"),
            ("SUM(4:5)+SUM($7:$8)", "SUM(4:15)+SUM($17:$18)"),
            ("SUM(C:C)+LOG10(C9)", "SUM(C:C)+LOG10(C19)"),
            ("\"C9\"&C9&\"a\"\"C9\"", "\"C9\"&C19&\"a\"\"C9\""),
            (
                "'台账 1'!C9+别表!C9+'别''表'!C9:C10",
                "'台账 1'!C19+别表!C9+'别''表'!C9:C10",
            ),
            (
                "表1[[#All],[C9]]+[1]台账!C9+'[1]台账 1'!C9",
                "表1[[#All],[C9]]+[1]台账!C9+'[1]台账 1'!C9",
            ),
            ("C9A+_C9+1.5E3+中C9", "C9A+_C9+1.5E3+中C9"),
            ("IF(C9>0,\"是\",TRUE)", "IF(C19>0,\"是\",TRUE)"),
        ] {
            assert_eq!(changed(before, own), after);
        }
        let other = Change::Grow {
            growth,
            sheet: "台账",
            own: false,
        };
        assert_eq!(changed("C9+台账!$A$1:$H$9", other), "C9+台账!$A$1:$H$19");
        let one = Growth {
            first: 4,
            last: 4,
            more: 9,
        };
        let one = Change::Grow {
            growth: one,
            sheet: "x",
            own: true,
        };
        assert_eq!(
            changed("sum(C4)+C4+SUM(C4:C4)", one),
            "sum(C4:C13)+C4+SUM(C4:C13)"
        );
        let none = Growth {
            first: 4,
            last: 3,
            more: 9,
        };
        let none = Change::Grow {
            growth: none,
            sheet: "x",
            own: true,
        };
        assert_eq!(
            changed("$1:$3+C4+SUM(C4:C9)", none),
            "$1:$3+C13+SUM(C4:C18)"
        );
    }

    #[test]
    fn a_formula_is_copied_to_another_row() {
        let copy = Change::Copy {
            rows: 3,
            columns: 0,
        };
        assert_eq!(
            changed("B4*$C4+D$4+SUM(A$1:B4)&Sheet2!B4", copy),
            "B7*$C7+D$4+SUM(A$1:B7)&Sheet2!B7"
        );
        assert_eq!(
            changed(
                "B4+$C4",
                Change::Copy {
                    rows: -4,
                    columns: 1
                }
            ),
            "#REF!+#REF!"
        );
        assert_eq!(
            changed(
                "B4+$C4",
                Change::Copy {
                    rows: 0,
                    columns: 1
                }
            ),
            "C4+$C4"
        );
        // Nothing of it panics on what is no formula.
        for text in [
            "", "'", "\"", "[", "]", "$", "!", "A1!", "''!A1", ":", "A1:", "A1:B", "中:文", "[[[",
        ] {
            changed(text, copy);
        }
    }
}
