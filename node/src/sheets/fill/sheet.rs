//! The sheet of a template: what stands in it, the rows that are written, and the sheet with them.

use std::collections::BTreeMap;

use quick_xml::events::Event;

use super::super::formula::{Change, Growth, changed};
use super::super::grid::Area;
use super::super::number::{Class, serial};
use super::super::parts::{attribute, numeric};
use super::super::splice::{Placed, Places, Splice, escaped, with_attribute};
use super::super::write::{DIGITS_EXACT, Value, held};
use super::super::xlsx::{SHEET_ROWS, area, column, letters, place};
use super::super::{ROWS_MAX, Refusal, UNPACKED_BYTES_MAX};
use super::Template;

/// Merged areas of new rows.
const MERGED_MAX: u64 = 2_000_000;
/// Bytes of a formula; Excel has 8,192 characters.
const FORMULA_BYTES_MAX: usize = 32 * 1024;
/// A column of running numbers, which is filled where nothing is mapped to it.
const RUNNING: &str = "序号";

/// The sheet of a template, with what new rows are made after.
pub(super) struct SheetXml<'t> {
    xml: &'t str,
    template: &'t Template,
    /// What stands before the names of elements.
    prefix: String,
    samples: BTreeMap<u32, &'t str>,
    /// Styles of columns, by their first and last, from 0.
    columns: Vec<(u32, u32, String)>,
    /// Formulas that others share: where they stand, and their text.
    shared: BTreeMap<u32, (u32, u32, String)>,
    merged: Vec<Area>,
}

/// A cell of a sample row.
#[derive(Default)]
struct Sample {
    style: Option<String>,
    formula: Option<String>,
}

impl<'t> SheetXml<'t> {
    pub(super) fn read(xml: &'t str, template: &'t Template) -> Result<Self, Refusal> {
        let mut sheet = Self {
            xml,
            template,
            prefix: String::new(),
            samples: BTreeMap::new(),
            columns: Vec::new(),
            shared: BTreeMap::new(),
            merged: Vec::new(),
        };
        let mut places = Places::of(xml);
        let mut row = 0_u32;
        while let Some(placed) = places.next()? {
            let empty = matches!(placed.event, Event::Empty(_));
            let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
                continue;
            };
            match tag.local_name().as_ref() {
                "sheetData" => {
                    sheet.prefix = tag
                        .name()
                        .as_ref()
                        .strip_suffix("sheetData")
                        .unwrap_or_default()
                        .to_owned();
                }
                "col" => {
                    if let (Some(from), Some(to), Some(style)) = (
                        numeric(tag, "min"),
                        numeric(tag, "max"),
                        attribute(tag, "style"),
                    ) {
                        sheet
                            .columns
                            .push((from.saturating_sub(1), to.saturating_sub(1), style));
                    }
                }
                "row" => {
                    row = numeric(tag, "r").unwrap_or(row.saturating_add(1));
                    let end = if empty {
                        placed.end
                    } else {
                        places.past_end()?.1
                    };
                    let raw = places.raw(placed.start, end);
                    sheet.share(raw, row)?;
                    if (template.first..=template.last).contains(&row) {
                        sheet.samples.insert(row, raw);
                    }
                }
                "mergeCell" => sheet
                    .merged
                    .extend(attribute(tag, "ref").as_deref().and_then(area)),
                _ => {}
            }
        }
        Ok(sheet)
    }

    /// Notes the formulas of a row that others share.
    fn share(&mut self, row: &str, number: u32) -> Result<(), Refusal> {
        if !row.contains("\"shared\"") && !row.contains("'shared'") {
            return Ok(());
        }
        each_cell(row, |cell| {
            if let (Some(index), Some(text)) = (cell.shared, cell.formula)
                && !text.is_empty()
            {
                self.shared.insert(index, (number, cell.column, text));
            }
        })
    }

    /// The text of a formula, also where another has it.
    fn formula(&self, cell: &CellXml, row: u32) -> Option<String> {
        match (&cell.formula, cell.shared) {
            (Some(text), _) if !text.is_empty() => Some(text.clone()),
            (Some(_), Some(index)) => {
                let (from_row, from_column, text) = self.shared.get(&index)?;
                let rows = i64::from(row) - i64::from(*from_row);
                Some(changed(
                    text,
                    Change::Copy {
                        rows,
                        columns: i64::from(cell.column) - i64::from(*from_column),
                    },
                ))
            }
            _ => None,
        }
    }

    fn samples_of(&self, row: u32) -> Result<BTreeMap<u32, Sample>, Refusal> {
        let mut cells = BTreeMap::new();
        if let Some(raw) = self.samples.get(&row) {
            each_cell(raw, |cell| {
                let formula = self.formula(&cell, row);
                cells.insert(
                    cell.column,
                    Sample {
                        style: cell.style,
                        formula,
                    },
                );
            })?;
        }
        Ok(cells)
    }

    /// The new rows, and how many values were given for. A row that had a sample of its own keeps its look; the others look like the first.
    pub(super) fn rows<'v>(
        &self,
        columns: &[u32],
        rows: impl IntoIterator<Item = Vec<Value<'v>>>,
        cut: &mut usize,
    ) -> Result<(NewRows, usize), Refusal> {
        let template = self.template;
        let running = template
            .heads
            .iter()
            .find(|it| it.text == RUNNING)
            .and_then(|it| column(&it.column));
        let running = running.filter(|it| !columns.contains(it));
        let common = self.samples_of(template.first)?;
        // The style of a new cell is that of the sample, of the first sample, or of the column.
        let plain = |column: &u32| {
            let style = common.get(column).and_then(|it| it.style.clone());
            let columns = self
                .columns
                .iter()
                .find(|(from, to, _)| (*from..=*to).contains(column));
            (*column, style.or_else(|| Some(columns?.2.clone())))
        };
        let plain: BTreeMap<_, _> = columns.iter().chain(&running).map(plain).collect();
        let style = |column: &u32, samples: &BTreeMap<u32, Sample>| {
            let own = samples.get(column).and_then(|it| it.style.clone());
            own.or_else(|| plain.get(column).cloned().flatten())
        };
        let mut out = NewRows::default();
        let mut count = 0_usize;
        let mut rows = rows.into_iter();
        for row in template.first.. {
            let values = rows.next();
            if values.is_none() && row > template.last {
                break;
            }
            if row > SHEET_ROWS || count >= ROWS_MAX && values.is_some() {
                return Err(Refusal::TooManyRows);
            }
            count += usize::from(values.is_some());
            let own = self.samples.contains_key(&row);
            if values.is_none() && !own {
                continue;
            }
            let from = if own { row } else { template.first };
            let read;
            let samples = if from == template.first {
                &common
            } else {
                read = self.samples_of(from)?;
                &read
            };
            let mut cells: BTreeMap<u32, (Option<String>, Content)> = BTreeMap::new();
            for (column, sample) in samples {
                let content = match &sample.formula {
                    Some(formula) => {
                        Content::Formula(formula.clone(), i64::from(row) - i64::from(from))
                    }
                    None => Content::Nothing,
                };
                cells.insert(*column, (sample.style.clone(), content));
            }
            for (column, value) in columns.iter().zip(values.iter().flatten()) {
                let style = style(column, samples);
                let content = self.content(value, style.as_deref(), cut);
                cells.insert(*column, (style, content));
            }
            if let (Some(column), Some(_)) = (running, &values) {
                let style = style(&column, samples);
                cells.insert(column, (style, Content::Number(count.to_string())));
            }
            self.row(&mut out, row, from, &cells);
            if (out.xml.len() + out.formula_bytes) as u64 > UNPACKED_BYTES_MAX / 2 {
                return Err(Refusal::TooMuch);
            }
        }
        Ok((out, count))
    }

    fn content(&self, value: &Value<'_>, style: Option<&str>, cut: &mut usize) -> Content {
        let class = style
            .and_then(|it| it.parse::<usize>().ok())
            .and_then(|it| self.template.formats.get(it));
        let dated = class.is_some_and(|it| matches!(it, Class::Day | Class::Moment));
        match value {
            Value::Empty => Content::Nothing,
            Value::Integer(number) if number.unsigned_abs() <= DIGITS_EXACT => {
                Content::Number(number.to_string())
            }
            Value::Decimal(number) if number.is_finite() => Content::Number(number.to_string()),
            Value::Date(text) | Value::DateTime(text) if dated => {
                match serial(text, self.template.from_1904) {
                    Some(number) => Content::Number(number.to_string()),
                    None => Content::Text(held(&value.text(), cut)),
                }
            }
            value => Content::Text(held(&value.text(), cut)),
        }
    }

    fn row(
        &self,
        rows: &mut NewRows,
        row: u32,
        from: u32,
        cells: &BTreeMap<u32, (Option<String>, Content)>,
    ) {
        let p = &self.prefix;
        let NewRows {
            xml: out,
            formulas,
            formula_bytes,
        } = rows;
        out.push_str(&format!(
            "<{p}row r=\"{row}\"{}>",
            self.samples
                .get(&from)
                .map_or(String::new(), |raw| row_look(raw))
        ));
        for (column, (style, content)) in cells {
            let style = style
                .as_ref()
                .map_or(String::new(), |it| format!(" s=\"{}\"", escaped(it)));
            let at = format!("{}{row}", letters(*column));
            match content {
                Content::Nothing if style.is_empty() => {}
                Content::Nothing => out.push_str(&format!("<{p}c r=\"{at}\"{style}/>")),
                Content::Number(number) => out.push_str(&format!("<{p}c r=\"{at}\"{style}><{p}v>{number}</{p}v></{p}c>")),
                Content::Formula(text, down) => {
                    out.push_str(&format!("<{p}c r=\"{at}\"{style}><{p}f>"));
                    *formula_bytes += text.len();
                    formulas.push((out.len(), text.clone(), *down));
                    out.push_str(&format!("</{p}f></{p}c>"));
                }
                Content::Text(text) => out.push_str(&format!(
                    "<{p}c r=\"{at}\"{style} t=\"inlineStr\"><{p}is><{p}t xml:space=\"preserve\">{}</{p}t></{p}is></{p}c>",
                    cell_text(text)
                )),
            }
        }
        out.push_str(&format!("</{p}row>"));
    }

    /// The whole sheet with the new rows, which end before `end`.
    pub(super) fn with(&self, rows: &str, growth: Growth, end: u32) -> Result<String, Refusal> {
        let own = Change::Grow {
            growth,
            sheet: &self.template.sheet,
            own: true,
        };
        let mut places = Places::of(self.xml);
        let mut splice = Splice::of(self.xml);
        let (mut row, mut put) = (0_u32, false);
        while let Some(placed) = places.next()? {
            splice.bounded()?;
            let empty = matches!(placed.event, Event::Empty(_));
            let raw = places.raw(placed.start, placed.end);
            let tag = match &placed.event {
                Event::Start(tag) | Event::Empty(tag) => tag,
                Event::End(tag) if tag.local_name().as_ref() == "sheetData" && !put => {
                    splice.put(placed.start, placed.start, rows);
                    put = true;
                    continue;
                }
                _ => continue,
            };
            match tag.local_name().as_ref() {
                "sheetData" if empty => {
                    let p = &self.prefix;
                    splice.put(
                        placed.start,
                        placed.end,
                        &format!("<{p}sheetData>{rows}</{p}sheetData>"),
                    );
                    put = true;
                }
                "row" => {
                    row = numeric(tag, "r").unwrap_or(row.saturating_add(1));
                    let end = if empty {
                        placed.end
                    } else {
                        places.past_end()?.1
                    };
                    if row > growth.last && !put {
                        splice.put(placed.start, placed.start, rows);
                        put = true;
                    }
                    let raw = places.raw(placed.start, end);
                    if (growth.first..=growth.last).contains(&row) {
                        splice.put(placed.start, end, "");
                    } else if let Some(changed) = self.outside(raw, row, growth, own)? {
                        splice.put(placed.start, end, &changed);
                    }
                }
                "mergeCells" => {
                    let end = if empty {
                        placed.end
                    } else {
                        places.past_end()?.1
                    };
                    splice.put(placed.start, end, &self.merge_cells(growth)?);
                }
                "dimension" => {
                    if let Some(it) = attribute(tag, "ref").as_deref().and_then(area) {
                        let bottom = growth.row(it.bottom + 1).max(end - 1);
                        let whole = reference((it.top + 1, it.left), (bottom, it.right));
                        splice.put(
                            placed.start,
                            placed.end,
                            &with_attribute(raw, "ref", &whole),
                        );
                    }
                }
                _ => beside(&mut places, &placed, growth, own, &mut splice)?,
            }
        }
        Ok(splice.finish())
    }

    /// A row that is no sample, where something of it changes.
    fn outside(
        &self,
        raw: &str,
        row: u32,
        growth: Growth,
        own: Change<'_>,
    ) -> Result<Option<String>, Refusal> {
        let computed = raw.contains(&format!("<{}f", self.prefix));
        let number = growth.row(row);
        if number == row && !computed {
            return Ok(None);
        }
        if number > SHEET_ROWS {
            return Err(Refusal::TooManyRows);
        }
        let mut places = Places::of(raw);
        let mut splice = Splice::of(raw);
        let mut column = 0;
        while let Some(placed) = places.next()? {
            splice.bounded()?;
            let empty = matches!(placed.event, Event::Empty(_));
            let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
                continue;
            };
            let tag_raw = places.raw(placed.start, placed.end);
            match tag.local_name().as_ref() {
                "row" => splice.put(
                    placed.start,
                    placed.end,
                    &with_attribute(tag_raw, "r", &number.to_string()),
                ),
                "c" => {
                    column = attribute(tag, "r")
                        .as_deref()
                        .and_then(place)
                        .map_or(column, |it| it.1);
                    let at = format!("{}{number}", letters(column));
                    let head = with_attribute(tag_raw, "r", &at);
                    if empty {
                        splice.put(placed.start, placed.end, &head);
                    } else {
                        let (inner_end, end) = places.past_end()?;
                        let inner = places.raw(placed.end, inner_end);
                        let cell = format!("{tag_raw}{inner}{}", places.raw(inner_end, end));
                        let mut formula = None;
                        each_cell(&cell, |it| {
                            formula = self.formula(&it, row).map(|text| (text, it.whole));
                        })?;
                        match formula {
                            None => splice.put(placed.start, placed.end, &head),
                            Some((text, whole)) => {
                                let p = &self.prefix;
                                let open = match whole {
                                    Some(at) => format!(
                                        "<{p}f t=\"array\" ref=\"{}\">",
                                        escaped(&areas(&at, growth))
                                    ),
                                    None => format!("<{p}f>"),
                                };
                                // Without the value that it had, it is no text, truth or error any more.
                                let head = if attribute(tag, "t").is_some() {
                                    with_attribute(&head, "t", "n")
                                } else {
                                    head
                                };
                                let text = escaped(&changed(&text, own));
                                splice.put(
                                    placed.start,
                                    end,
                                    &format!("{head}{open}{text}</{p}f></{p}c>"),
                                );
                            }
                        }
                    }
                    column += 1;
                }
                _ => {}
            }
        }
        Ok(Some(splice.finish()))
    }

    /// Merged areas: those of a sample row in each row that looks like it, the others moved.
    fn merge_cells(&self, growth: Growth) -> Result<String, Refusal> {
        let sample = |area: &Area| area.top + 1 >= growth.first && area.bottom < growth.last;
        let mut out = String::new();
        let mut count = 0;
        let mut put = |top: u32, bottom: u32, area: &Area| {
            count += 1;
            let p = &self.prefix;
            out.push_str(&format!(
                "<{p}mergeCell ref=\"{}{top}:{}{bottom}\"/>",
                letters(area.left),
                letters(area.right)
            ));
        };
        for area in self.merged.iter().filter(|area| !sample(area)) {
            let (top, bottom) = growth.rows(area.top + 1, area.bottom + 1);
            put(top, bottom, area);
        }
        let flat: Vec<&Area> = self
            .merged
            .iter()
            .filter(|area| sample(area) && area.top == area.bottom)
            .collect();
        let first: Vec<&&Area> = flat
            .iter()
            .filter(|area| area.top + 1 == growth.first)
            .collect();
        if first.len() as u64 * u64::from(growth.last + growth.more) > MERGED_MAX {
            return Err(Refusal::TooMuch);
        }
        for area in &flat {
            put(area.top + 1, area.top + 1, area);
        }
        let bare = (growth.first..=growth.last).filter(|row| !self.samples.contains_key(row));
        for row in bare.chain(growth.last + 1..=growth.last + growth.more) {
            for area in &first {
                put(row, row, area);
            }
        }
        let p = &self.prefix;
        Ok(match count {
            0 => String::new(),
            count => format!("<{p}mergeCells count=\"{count}\">{out}</{p}mergeCells>"),
        })
    }
}

/// What a new cell holds.
enum Content {
    Nothing,
    Text(String),
    Number(String),
    /// Of the sample, and how many rows further down it stands.
    Formula(String, i64),
}

/// New rows as XML. What their formulas refer to is known once they are counted.
#[derive(Default)]
pub(super) struct NewRows {
    xml: String,
    /// Where a formula goes, that of the sample, and how many rows further down it stands.
    formulas: Vec<(usize, String, i64)>,
    formula_bytes: usize,
}

impl NewRows {
    pub(super) fn finish(self, own: Change<'_>) -> Result<String, Refusal> {
        let mut splice = Splice::of(&self.xml);
        for (at, sample, rows) in &self.formulas {
            let text = changed(
                &changed(sample, own),
                Change::Copy {
                    rows: *rows,
                    columns: 0,
                },
            );
            splice.put(*at, *at, &escaped(&text));
            splice.bounded()?;
        }
        Ok(splice.finish())
    }
}

/// A cell as it stands in a sheet.
struct CellXml {
    column: u32,
    style: Option<String>,
    formula: Option<String>,
    shared: Option<u32>,
    /// The area of a formula that stands for several cells.
    whole: Option<String>,
}

/// Looks at the cells of a row, or of one cell.
fn each_cell(row: &str, mut look: impl FnMut(CellXml)) -> Result<(), Refusal> {
    let mut places = Places::of(row);
    let mut column = 0;
    while let Some(placed) = places.next()? {
        let empty = matches!(placed.event, Event::Empty(_));
        let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
            continue;
        };
        if tag.local_name().as_ref() != "c" {
            continue;
        }
        column = attribute(tag, "r")
            .as_deref()
            .and_then(place)
            .map_or(column, |it| it.1);
        let mut cell = CellXml {
            column,
            style: attribute(tag, "s"),
            formula: None,
            shared: None,
            whole: None,
        };
        column += 1;
        if !empty {
            let mut depth = 1_usize;
            while depth > 0 {
                let Some(inner) = places.next()? else {
                    return Err(Refusal::Damaged);
                };
                let bare = matches!(inner.event, Event::Empty(_));
                match &inner.event {
                    Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "f" => {
                        let kind = attribute(tag, "t").unwrap_or_default();
                        cell.shared = (kind == "shared").then(|| numeric(tag, "si")).flatten();
                        cell.whole = (kind == "array").then(|| attribute(tag, "ref")).flatten();
                        let text = if bare {
                            String::new()
                        } else {
                            let (end, _) = places.past_end()?;
                            plain(places.raw(inner.end, end))?
                        };
                        if text.len() > FORMULA_BYTES_MAX {
                            return Err(Refusal::Damaged);
                        }
                        cell.formula = Some(text);
                    }
                    Event::Start(_) => depth += 1,
                    Event::End(_) => depth -= 1,
                    _ => {}
                }
            }
        }
        look(cell);
    }
    Ok(())
}

/// What a new row takes over from the tag of a sample: its style, and its height where someone set it.
fn row_look(raw: &str) -> String {
    let mut look = String::new();
    let Ok(Some(placed)) = Places::of(raw).next() else {
        return look;
    };
    if let Event::Start(tag) | Event::Empty(tag) = &placed.event {
        let kept: &[&str] = match attribute(tag, "customHeight").as_deref() {
            Some("1" | "true") => &["s", "customFormat", "ht", "customHeight"],
            _ => &["s", "customFormat"],
        };
        for key in kept {
            if let Some(value) = attribute(tag, key) {
                look.push_str(&format!(" {key}=\"{}\"", escaped(&value)));
            }
        }
    }
    look
}

/// Text of a cell: what looks like the mark of a character that XML cannot hold is marked itself (ECMA-376 part 1, §22.9.2.19).
fn cell_text(text: &str) -> String {
    let marked = |rest: &str| {
        rest.get(2..7).is_some_and(|it| {
            it.ends_with('_') && it.bytes().take(4).all(|it| it.is_ascii_hexdigit())
        })
    };
    let mut out = String::with_capacity(text.len());
    for (at, it) in text.char_indices() {
        match it {
            '_' if text
                .get(at..)
                .is_some_and(|rest| rest.starts_with("_x") && marked(rest)) =>
            {
                out.push_str("_x005F_");
            }
            '\r' => out.push_str("_x000D_"),
            it => out.push(it),
        }
    }
    escaped(&out)
}

/// Text without the marks of XML.
pub(super) fn plain(raw: &str) -> Result<String, Refusal> {
    Ok(quick_xml::escape::unescape(raw)
        .map_err(|_| Refusal::Damaged)?
        .into_owned())
}

/// Areas, each moved or grown. One cell of a single sample is an area that grows.
pub(super) fn areas(list: &str, growth: Growth) -> String {
    let moved = |it: &str| {
        let Some(area) = area(it) else {
            return it.to_owned();
        };
        let (top, bottom) = growth.rows(area.top + 1, area.bottom + 1);
        reference((top, area.left), (bottom, area.right))
    };
    list.split_ascii_whitespace()
        .map(moved)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What stands beside the cells and refers to them: filters, formats, checks, links, breaks.
fn beside(
    places: &mut Places<'_>,
    placed: &Placed<'_>,
    growth: Growth,
    own: Change<'_>,
    splice: &mut Splice<'_>,
) -> Result<(), Refusal> {
    let empty = matches!(placed.event, Event::Empty(_));
    let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
        return Ok(());
    };
    let raw = places.raw(placed.start, placed.end);
    let mut put = |key, value: &str| {
        let tag = with_attribute(raw, key, &escaped(value));
        splice.put(placed.start, placed.end, &tag);
    };
    match tag.local_name().as_ref() {
        "autoFilter" | "sortState" | "sortCondition" => {
            if let Some(before) = attribute(tag, "ref") {
                // A filter over a head without rows is one over the rows to come.
                let none = |it: &Area| growth.last < growth.first && it.bottom + 1 == growth.last;
                let after = match area(&before).filter(none) {
                    Some(it) => {
                        reference((it.top + 1, it.left), (growth.last + growth.more, it.right))
                    }
                    None => areas(&before, growth),
                };
                put("ref", &after);
            }
        }
        "protectedRange" | "conditionalFormatting" | "dataValidation" | "ignoredError" => {
            if let Some(before) = attribute(tag, "sqref") {
                put("sqref", &areas(&before, growth));
            }
        }
        "brk" => {
            let after = numeric(tag, "id").filter(|it| *it >= growth.last && *it < SHEET_ROWS);
            if let Some(after) = after {
                put("id", &(after + growth.more).to_string());
            }
        }
        "colBreaks" if !empty => {
            places.past_end()?;
        }
        "hyperlinks" if !empty => {
            let (inner, end) = places.past_end()?;
            let kept = links(places.raw(placed.end, inner), growth)?;
            let whole = format!("{raw}{kept}{}", places.raw(inner, end));
            splice.put(placed.start, end, if kept.is_empty() { "" } else { &whole });
        }
        it @ ("formula" | "formula1" | "formula2" | "f" | "sqref") if !empty => {
            let (end, _) = places.past_end()?;
            let before = plain(places.raw(placed.end, end))?;
            let after = if it == "sqref" {
                areas(&before, growth)
            } else {
                changed(&before, own)
            };
            if after != before {
                splice.put(placed.end, end, &escaped(&after));
            }
        }
        _ => {}
    }
    Ok(())
}

/// An area by its first and its last row, from 1, and column, from 0.
fn reference(from: (u32, u32), to: (u32, u32)) -> String {
    let at = |(row, column)| format!("{}{row}", letters(column));
    if from == to {
        at(from)
    } else {
        format!("{}:{}", at(from), at(to))
    }
}

/// Links of cells; that of a sample would lie on a new value, and goes.
fn links(xml: &str, growth: Growth) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut out = String::new();
    while let Some(placed) = places.next()? {
        let empty = matches!(placed.event, Event::Empty(_));
        let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
            continue;
        };
        let at = attribute(tag, "ref").unwrap_or_default();
        let top = area(&at).map_or(0, |it| it.top + 1);
        let raw = with_attribute(
            places.raw(placed.start, placed.end),
            "ref",
            &escaped(&areas(&at, growth)),
        );
        let end = if empty {
            placed.end
        } else {
            places.past_end()?.1
        };
        if !(growth.first..=growth.last).contains(&top) {
            out.push_str(&raw);
            out.push_str(places.raw(placed.end, end));
        }
    }
    Ok(out)
}
