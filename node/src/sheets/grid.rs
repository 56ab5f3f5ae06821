//! A sheet as it was read, and the table in it: which row is its head, what its columns are called, which rows are sums.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CELL_CHARS_MAX, CELLS_MAX, COLUMNS_MAX, Cell, Form, Kind, ROWS_MAX, Refusal, Row,
    TEXT_BYTES_MAX, Table,
};

/// Rows with something in them among which the head is looked for.
const HEAD_WITHIN: usize = 20;
/// Rows of a head at most.
const HEAD_ROWS_MAX: u32 = 5;
/// Merged areas that are kept; those of heads are few.
const MERGED_MAX: usize = 100_000;
/// Rows at the end that may be sums, for signatures can stand below them.
const TOTALS_WITHIN: usize = 5;
/// What a row of sums begins with.
pub(super) const TOTALS: [&str; 6] = ["合计", "总计", "小计", "共计", "累计", "总和"];

/// A merged area, from 0 and to its last row and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) top: u32,
    pub(super) left: u32,
    pub(super) bottom: u32,
    pub(super) right: u32,
}

impl Area {
    const fn covers(self, row: u32, column: u32) -> bool {
        self.top <= row && row <= self.bottom && self.left <= column && column <= self.right
    }
}

/// A sheet's cells by row from 0. All that is added is bounded.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: BTreeMap<u32, Vec<Cell>>,
    merged: Vec<Area>,
    /// Rows that whoever opens the file does not see.
    hidden: BTreeSet<u32>,
    cells: usize,
    bytes: usize,
}

/// Where the head of a table is.
#[derive(Debug)]
pub(super) struct Head {
    /// The last row, from 0.
    pub(super) bottom: u32,
    /// The names of the columns from the first.
    pub(super) names: Vec<String>,
}

impl Grid {
    /// Adds a cell, without the white space around it; an empty one is nothing.
    pub(super) fn add(&mut self, row: u32, column: u32, cell: Cell) -> Result<(), Refusal> {
        let trimmed = cell.text.trim();
        if trimmed.is_empty() {
            return Ok(());
        }
        let trimmed = if trimmed.len() == cell.text.len() {
            cell
        } else {
            Cell {
                text: trimmed.into(),
                kind: cell.kind,
            }
        };
        self.put(row, column, trimmed)
    }

    /// Adds a cell as it is.
    pub(super) fn put(&mut self, row: u32, column: u32, cell: Cell) -> Result<(), Refusal> {
        let seen = row.saturating_add(1);
        if column >= COLUMNS_MAX {
            return Err(Refusal::TooManyColumns { row: seen });
        }
        if cell.text.len() > CELL_CHARS_MAX && cell.text.chars().count() > CELL_CHARS_MAX {
            return Err(Refusal::CellTooLong {
                row: seen,
                column: column + 1,
            });
        }
        self.bytes += cell.text.len();
        let cells = self.rows.entry(row).or_default();
        let at = column as usize;
        if at >= cells.len() {
            self.cells += at + 1 - cells.len();
            if self.cells > CELLS_MAX {
                return Err(Refusal::TooMuch);
            }
            cells.resize(at + 1, Cell::default());
        }
        if let Some(place) = cells.get_mut(at) {
            *place = cell;
        }
        if self.bytes > TEXT_BYTES_MAX {
            return Err(Refusal::TooMuch);
        }
        if self.rows.len() > ROWS_MAX {
            return Err(Refusal::TooManyRows);
        }
        Ok(())
    }

    /// The rows with something in them, in their order.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[Cell]> {
        self.rows.values().map(Vec::as_slice)
    }

    /// A row is not shown. Of more than can be read, none is noted.
    pub(super) fn hide(&mut self, row: u32) {
        if self.hidden.len() <= ROWS_MAX {
            self.hidden.insert(row);
        }
    }

    pub(super) fn merge(&mut self, area: Area) {
        if self.merged.len() < MERGED_MAX && area.top <= area.bottom && area.left <= area.right {
            self.merged.push(area);
        }
    }

    pub(super) fn merged(&self) -> &[Area] {
        &self.merged
    }

    fn at(&self, row: u32, column: u32) -> Option<&Cell> {
        self.rows.get(&row)?.get(column as usize)
    }

    /// The cells of a row.
    pub(super) fn row(&self, row: u32) -> &[Cell] {
        self.rows.get(&row).map_or(&[], Vec::as_slice)
    }

    /// The last row with something in it.
    pub(super) fn last(&self) -> Option<u32> {
        self.rows.last_key_value().map(|(row, _)| *row)
    }

    /// How many names a row could give: cells of text, a merged area once, and no `填报单位：…`.
    fn names_in(&self, row: u32, merged: &[Area]) -> usize {
        let own = self
            .row(row)
            .iter()
            .filter(|cell| is_name(Some(cell)))
            .count();
        // An area that began above stands in this row too.
        let from_above = merged
            .iter()
            .filter(|area| area.top < row && row <= area.bottom);
        own + from_above
            .filter(|area| is_name(self.at(area.top, area.left)))
            .count()
    }

    /// Finds the head: the first row that has nearly as many names as the one with most, and what is merged with it.
    pub(super) fn head(&self) -> Option<Head> {
        let window: Vec<u32> = self.rows.keys().copied().take(HEAD_WITHIN).collect();
        let last = *window.last()?;
        let merged: Vec<Area> = self
            .merged
            .iter()
            .copied()
            .filter(|area| area.top <= last && area.bottom - area.top < HEAD_ROWS_MAX)
            .collect();
        let end = self.last()?;
        let counts: Vec<(u32, usize)> = window
            .iter()
            .map(|row| (*row, self.names_in(*row, &merged)))
            .collect();
        // A head has rows below it; that of an empty template has none, and many more names than the title above.
        let followed = counts
            .iter()
            .filter(|(row, _)| *row < end)
            .map(|(_, names)| *names)
            .max()
            .unwrap_or_default();
        let any = counts.iter().map(|(_, names)| *names).max()?;
        let most = if any >= followed * 2 { any } else { followed };
        // Three quarters, because a column may have no name and a row under the head may be all text.
        // Where nothing is text, the first row it is.
        // A row below may have a remark more than the head has names.
        let is_head = |row: u32, names: usize| {
            let plain = || {
                let cells = self.row(row).iter();
                cells
                    .clone()
                    .all(|cell| !cell.text.contains([':', '：', '0', '1', '2']))
            };
            names * 4 >= most * 3 || (names >= 2 && names * 3 >= most * 2 && plain())
        };
        let (row, _) = counts.iter().find(|(row, names)| is_head(*row, *names))?;
        let (mut top, mut bottom) = (*row, *row);
        for area in merged
            .iter()
            .filter(|area| area.top <= *row && *row <= area.bottom && area.top < area.bottom)
        {
            if is_name(self.at(area.top, area.left)) {
                (top, bottom) = (top.min(area.top), bottom.max(area.bottom));
            }
        }
        if top > 0 && self.groups(top - 1, top, &merged) {
            top -= 1;
        }
        // Two rows of one head that nobody has merged, of which the fuller one was found.
        let mut merged = merged;
        if top == bottom {
            let below = self.spans(bottom, bottom + 1, &merged);
            let above = || self.spans(top.checked_sub(1)?, top, &merged);
            match (below, above()) {
                (Some(spans), _) => {
                    bottom += 1;
                    merged.extend(spans);
                }
                (None, Some(spans)) => {
                    top -= 1;
                    merged.extend(spans);
                }
                (None, None) => {}
            }
        }
        Some(Head {
            bottom,
            names: self.names(top, bottom, &merged),
        })
    }

    /// What the names of a row span, where the row below it says what is in each column that they span and nothing else: then both are one
    /// head. A column of its own must come before them, and be blank below, unless they are merged: a row of data begins with something.
    fn spans(&self, upper: u32, lower: u32, merged: &[Area]) -> Option<Vec<Area>> {
        let blank = |row: u32, column: u32| {
            let cell = self.at(row, column);
            cell.is_none_or(|cell| cell.kind == Kind::Empty)
        };
        // A name of a column has no number in it, and is short.
        let names = |column: u32| {
            let cell = self.at(lower, column);
            let text = cell.map_or("", |cell| &cell.text);
            is_name(cell) && !text.contains(|it: char| it.is_ascii_digit()) && text.len() <= 60
        };
        let cells = self.row(upper).len().max(self.row(lower).len());
        let width = u32::try_from(cells).ok()?;
        let mut spans = Vec::new();
        let (mut alone, mut left) = (0, 0);
        while left < width {
            let next = (left + 1..width).find(|column| !blank(upper, *column));
            let end = next.unwrap_or(width);
            let under = (left..end).filter(|column| !blank(lower, *column));
            let area = Area {
                top: upper,
                left,
                bottom: upper,
                right: end - 1,
            };
            match (is_name(self.at(upper, left)), under.count()) {
                (true, 0) => alone += 1,
                (false, 0) if blank(upper, left) => {}
                (true, 2..) if (left..end).all(names) => {
                    if alone == 0 && !merged.contains(&area) {
                        return None;
                    }
                    spans.push(area);
                }
                _ => return None,
            }
            left = end;
        }
        (alone + spans.len() > 1 && !spans.is_empty()).then_some(spans)
    }

    /// Whether a row names groups of the columns that the row below it names: at least one is merged over some of them.
    fn groups(&self, row: u32, below: u32, merged: &[Area]) -> bool {
        let names = self.names_in(row, merged);
        let over = |area: &&Area| area.top == row && area.bottom == row && area.left < area.right;
        let full =
            |area: &Area| (area.left..=area.right).all(|column| is_name(self.at(below, column)));
        let areas: Vec<_> = merged.iter().filter(over).collect();
        let remarks = self.row(row).iter().any(|cell| is_remark(&cell.text));
        names >= 2 && !remarks && !areas.is_empty() && areas.into_iter().all(full)
    }

    fn names(&self, top: u32, bottom: u32, merged: &[Area]) -> Vec<String> {
        let rows: Vec<u32> = (top..=bottom).collect();
        let own = rows
            .iter()
            .map(|row| self.row(*row).len())
            .max()
            .unwrap_or_default();
        let areas = merged
            .iter()
            .filter(|area| area.bottom >= top && area.top <= bottom);
        let wide = areas
            .map(|area| area.right as usize + 1)
            .max()
            .unwrap_or_default();
        let width = own.max(wide).min(COLUMNS_MAX as usize);
        let mut names: Vec<String> = (0..)
            .take(width)
            .map(|column| self.name(&rows, column, merged))
            .collect();
        while names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        names
    }

    /// The name of a column: its texts from top to bottom, a merged area once, without line breaks.
    fn name(&self, rows: &[u32], column: u32, merged: &[Area]) -> String {
        let mut name = String::new();
        let mut before = None;
        for row in rows {
            let area = merged.iter().find(|area| area.covers(*row, column));
            let place = area.map_or((*row, column), |area| (area.top, area.left));
            if before.replace(place) == Some(place) {
                continue;
            }
            let text: String = self
                .at(place.0, place.1)
                .map_or("", |cell| &cell.text)
                .chars()
                .filter(|it| !matches!(it, '\r' | '\n'))
                .collect();
            if !text.is_empty() && !name.is_empty() {
                name.push(' ');
            }
            name.push_str(text.trim());
        }
        name
    }

    /// Calls columns that have no name, and something below it, by their letters.
    fn name_by_letters(&self, head: &mut Head) {
        for (_, cells) in self.rows.range(head.bottom.saturating_add(1)..) {
            if is_total(cells) {
                continue;
            }
            let filled = cells.iter().enumerate();
            for (column, _) in filled.filter(|(_, cell)| cell.kind != Kind::Empty) {
                if head.names.len() <= column {
                    head.names.resize(column + 1, String::new());
                }
                if let Some(name) = head.names.get_mut(column).filter(|name| name.is_empty()) {
                    *name = letters(column);
                }
            }
        }
    }

    /// The table; `None` where there is nothing.
    pub(super) fn table(self, form: Form) -> Option<Table> {
        let mut head = self.head()?;
        self.name_by_letters(&mut head);
        let rows = self.rows.into_iter().filter(|(row, _)| *row > head.bottom);
        let mut rows: Vec<Row> = rows
            .map(|(row, cells)| Row {
                number: row.saturating_add(1),
                cells,
                total: false,
                hidden: self.hidden.contains(&row),
            })
            .collect();
        for row in rows.iter_mut().rev().take(TOTALS_WITHIN) {
            row.total = is_total(&row.cells);
        }
        Some(Table {
            form,
            sheets: Vec::new(),
            sheet: 0,
            head_row: head.bottom.saturating_add(1),
            heads: head.names,
            rows,
        })
    }
}

/// What a column without a name is called: `B列`.
fn letters(column: usize) -> String {
    let letter = |place: usize| char::from(b'A' + u8::try_from(place % 26).unwrap_or_default());
    let mut name = String::new();
    let mut left = Some(column);
    while let Some(place) = left {
        name.insert(0, letter(place));
        left = (place / 26).checked_sub(1);
    }
    format!("{name}列")
}

/// Whether a cell could be a column's name.
fn is_name(cell: Option<&Cell>) -> bool {
    cell.is_some_and(|cell| cell.kind == Kind::Text && !is_remark(&cell.text))
}

/// `填报单位：某社区`, as it stands above heads and below tables.
fn is_remark(text: &str) -> bool {
    text.contains(['：', ':'])
}

/// Whether a row of sums begins so; white space between the two characters is common.
pub(super) fn is_total(cells: &[Cell]) -> bool {
    let Some(first) = cells.iter().find(|cell| cell.kind != Kind::Empty) else {
        return false;
    };
    let bare: String = first
        .text
        .chars()
        .filter(|it| !it.is_whitespace())
        .collect();
    TOTALS.contains(&bare.trim_end_matches(['：', ':']))
}
