//! An office's own workbook (任意台账), filled: its head row is found, and rows are written below it in the style of those that stand there.
//!
//! Parts that are not concerned are copied without being unpacked, and of those that are, what is not concerned stays byte for byte:
//! titles, widths, print set-up, pictures, macros. Rows between the head and what stands below the table (sums, remarks, signatures) are
//! taken for samples: their values go, their look stays. More rows than that push down what is below, and with it every reference: sums
//! over the rows, merged areas, filters, conditional formats, checks, print areas, charts, pictures anchored below. Fewer rows leave the
//! others empty, for a form with fifteen lines stays a form with fifteen lines. Values of formulas are left out, for they would be those
//! of the samples, and the program that opens the file is told to work them out.
//!
//! Limits: remarks on cells (comments) below the table stay where they are; a pivot table over the rows is not refreshed.

mod sheet;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write as _};

use quick_xml::events::Event;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::formula::{Change, Growth, changed};
use super::grid::{Area, Grid, is_total};
use super::number::Class;
use super::parts::{Package, attribute, name_key, numeric};
use super::splice::{Places, Splice, escaped, with_attribute};
use super::write::Value;
use super::xlsx::{Layout, Xlsx, column, letters};
use super::{COLUMNS_MAX, FILE_BYTES_MAX, Kind, Refusal, Workbook};
use sheet::{SheetXml, areas, plain};

/// What a row below a table begins with, besides sums.
const BELOW: [&str; 14] = [
    "注",
    "备注：",
    "备注:",
    "说明：",
    "说明:",
    "填表",
    "填报",
    "制表",
    "审核",
    "审批",
    "负责人",
    "单位负责人",
    "联系人",
    "经办",
];
/// A column of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its letters, such as `B`.
    pub column: String,
    /// Its name.
    pub text: String,
}

/// A template that was understood.
#[derive(Debug)]
pub struct Template {
    bytes: Vec<u8>,
    sheet: String,
    part: String,
    heads: Vec<Head>,
    /// The last row of the head, from 1.
    head_row: u32,
    /// The rows of the samples; the last is before the first where there are none.
    first: u32,
    last: u32,
    formats: Vec<Class>,
    from_1904: bool,
    workbook: String,
}

/// A template that was filled.
#[derive(Debug)]
pub struct Filled {
    /// The file.
    pub bytes: Vec<u8>,
    /// Rows that were written.
    pub rows: usize,
    /// Texts that were cut because a cell cannot hold them; each ends in `…`.
    pub cut: usize,
}

impl Template {
    /// Opens a template. The table is on the first sheet that has a head of more than one column, or on the one that is named.
    ///
    /// # Errors
    /// [`Refusal::NotATable`] and [`Refusal::OldForm`] for what is no xlsx; [`Refusal::NoRows`] where no sheet has a head; others for what is damaged or too large.
    pub fn open(bytes: Vec<u8>, sheet: Option<&str>) -> Result<Self, Refusal> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Refusal::FileTooLarge);
        }
        if !bytes.starts_with(b"PK\x03\x04") {
            let old = bytes.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]);
            return Err(if old {
                Refusal::OldForm
            } else {
                Refusal::NotATable
            });
        }
        let mut package = Package::open(&bytes)?;
        if !package.has("[content_types].xml")
            || package.has("word/document.xml")
            || package.has("xl/workbook.bin")
        {
            return Err(Refusal::NotATable);
        }
        let mut book = Xlsx::open(&mut package)?;
        let names: Vec<String> = book.sheets().iter().map(|it| it.name.clone()).collect();
        if sheet.is_some_and(|sheet| !names.iter().any(|it| it == sheet)) {
            return Err(Refusal::NoSuchSheet);
        }
        let mut found = None;
        for (index, name) in names.iter().enumerate() {
            if sheet.is_some_and(|sheet| sheet != name) {
                continue;
            }
            let grid = book.grid(index)?;
            if let Some(head) = grid
                .head()
                .filter(|head| head.names.iter().filter(|it| !it.is_empty()).count() > 1)
            {
                found = Some((index, name.clone(), grid, head));
                break;
            }
        }
        let (index, sheet, grid, head) = found.ok_or(Refusal::NoRows)?;
        let Layout {
            workbook,
            parts,
            formats,
            from_1904,
            ..
        } = book.into_layout();
        let part = parts.get(index).cloned().ok_or(Refusal::Damaged)?;
        let first = head.bottom + 2;
        let last = match below(&grid, head.bottom + 1, head.names.len()) {
            Some(below) => below,
            None => last_row(&package.text(&part)?.ok_or(Refusal::Damaged)?)?.max(first - 1),
        };
        drop(package);
        let heads = (0..).zip(head.names).filter(|(_, text)| !text.is_empty());
        let heads = heads
            .map(|(at, text)| Head {
                column: letters(at),
                text,
            })
            .collect();
        Ok(Self {
            bytes,
            sheet,
            part,
            heads,
            head_row: head.bottom + 1,
            first,
            last,
            formats,
            from_1904,
            workbook,
        })
    }

    /// The columns that have a name.
    #[must_use]
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// The name of the sheet.
    #[must_use]
    pub fn sheet(&self) -> &str {
        &self.sheet
    }

    /// The last row of the head as the user sees it, from 1.
    #[must_use]
    pub const fn head_row(&self) -> u32 {
        self.head_row
    }

    /// Writes rows below the head. The values of a row stand in the order of `columns`, which are letters of columns.
    ///
    /// # Errors
    /// [`Refusal::NoSuchColumn`] for a column that the template does not name; [`Refusal::TooManyRows`]; [`Refusal::TooMuch`] where the
    /// sheet would be larger than any that is read; [`Refusal::Damaged`] where a part contradicts another.
    pub fn fill<'v>(
        &self,
        columns: &[&str],
        rows: impl IntoIterator<Item = Vec<Value<'v>>>,
    ) -> Result<Filled, Refusal> {
        let columns: Vec<u32> = columns
            .iter()
            .map(|it| self.column(it))
            .collect::<Result<_, _>>()?;
        let mut package = Package::open(&self.bytes)?;
        let xml = package.text(&self.part)?.ok_or(Refusal::Damaged)?;
        let sheet = SheetXml::read(&xml, self)?;
        let mut cut = 0;
        let (rows, count) = sheet.rows(&columns, rows, &mut cut)?;
        let samples = self.last + 1 - self.first;
        let written = u32::try_from(count).map_err(|_| Refusal::TooManyRows)?;
        let more = written.saturating_sub(samples);
        let growth = Growth {
            first: self.first,
            last: self.last,
            more,
        };
        let mut parts = BTreeMap::new();
        let own = Change::Grow {
            growth,
            sheet: &self.sheet,
            own: true,
        };
        parts.insert(
            name_key(&self.part),
            Some(sheet.with(&rows.finish(own)?, growth, self.first + written)?),
        );
        self.others(&mut package, growth, &mut parts)?;
        let bytes = packed(&mut package, &parts)?;
        Ok(Filled {
            bytes,
            rows: count,
            cut,
        })
    }

    fn column(&self, letters: &str) -> Result<u32, Refusal> {
        if !self.heads.iter().any(|head| head.column == letters) {
            return Err(Refusal::NoSuchColumn);
        }
        column(letters)
            .filter(|it| *it < COLUMNS_MAX)
            .ok_or(Refusal::NoSuchColumn)
    }

    /// The other parts that change; `None` for one that goes.
    fn others(
        &self,
        package: &mut Package<'_>,
        growth: Growth,
        parts: &mut BTreeMap<String, Option<String>>,
    ) -> Result<(), Refusal> {
        let outside = Change::Grow {
            growth,
            sheet: &self.sheet,
            own: false,
        };
        let workbook = package.text(&self.workbook)?.ok_or(Refusal::Damaged)?;
        parts.insert(
            name_key(&self.workbook),
            Some(recalculating(&workbook, outside)?),
        );
        let relations = package.relations(&self.workbook)?;
        if let Some(chain) = relations.values().find(|it| it.kind == "calcChain") {
            parts.insert(name_key(&chain.part), None);
            let folder = self
                .workbook
                .rsplit_once('/')
                .map_or(String::new(), |(folder, _)| format!("{folder}/"));
            let file = self.workbook.rsplit('/').next().unwrap_or_default();
            for (name, tag, key) in [
                (
                    format!("{folder}_rels/{file}.rels"),
                    "Relationship",
                    "Target",
                ),
                ("[Content_Types].xml".to_owned(), "Override", "PartName"),
            ] {
                if let Some(xml) = package.text(&name)? {
                    parts.insert(
                        name_key(&name),
                        Some(without(&xml, tag, key, "calcChain.xml")?),
                    );
                }
            }
        }
        if growth.more == 0 {
            return Ok(());
        }
        for relation in package.relations(&self.part)?.into_values() {
            let Some(xml) = package.text(&relation.part)? else {
                continue;
            };
            let changed = match relation.kind.as_str() {
                "table" => references(&xml, growth)?,
                "drawing" => anchors(&xml, growth)?,
                _ => continue,
            };
            parts.insert(name_key(&relation.part), Some(changed));
        }
        let names: Vec<String> = package
            .archive()
            .file_names()
            .filter_map(|it| Some(it.ok()?.into_owned()))
            .collect();
        for name in names {
            let key = name_key(&name);
            let named = (key.starts_with("xl/worksheets/") || key.starts_with("xl/charts/"))
                && key.ends_with(".xml");
            if !named || parts.contains_key(&key) {
                continue;
            }
            let xml = package.text(&name)?.ok_or(Refusal::Damaged)?;
            let after = formulas(&xml, outside)?;
            if after != xml {
                parts.insert(key, Some(after));
            }
        }
        Ok(())
    }
}

/// The first row below the table, from 0: sums, remarks, signatures, or an area merged over most of the table.
fn below(grid: &Grid, from: u32, width: usize) -> Option<u32> {
    let wide =
        |area: &&Area| area.left == 0 && (area.right as usize + 1) * 2 > width && area.right > 0;
    let wide: BTreeSet<u32> = grid
        .merged()
        .iter()
        .filter(wide)
        .map(|area| area.top)
        .collect();
    let below = |row: &u32| {
        let cells = grid.row(*row);
        cells
            .iter()
            .find(|cell| cell.kind != Kind::Empty)
            .is_some_and(|first| {
                let said = BELOW.iter().any(|it| first.text.starts_with(it));
                // A single text in a row of a wide table is the title of what follows.
                let alone = cells.iter().filter(|it| it.kind != Kind::Empty).count() == 1;
                let title =
                    alone && width > 2 && first.kind == Kind::Text && !is_number(&first.text);
                said || wide.contains(row) || is_total(cells) || title
            })
    };
    (from..=grid.last()?).find(below)
}

/// Whether a text counts rows, such as `1` or `一`.
fn is_number(text: &str) -> bool {
    text.chars()
        .all(|it| it.is_ascii_digit() || "一二三四五六七八九十.、…".contains(it))
}

/// The last row that a sheet has, from 1: lines drawn for values are rows without any.
fn last_row(xml: &str) -> Result<u32, Refusal> {
    let mut places = Places::of(xml);
    let (mut row, mut last) = (0_u32, 0_u32);
    while let Some(placed) = places.next()? {
        let (Event::Start(tag) | Event::Empty(tag)) = &placed.event else {
            continue;
        };
        match tag.local_name().as_ref() {
            "row" => row = numeric(tag, "r").unwrap_or(row.saturating_add(1)),
            "c" => last = last.max(row),
            _ => {}
        }
    }
    Ok(last)
}

/// A part whose references are in attributes: a table, with its filter.
fn references(xml: &str, growth: Growth) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut splice = Splice::of(xml);
    while let Some(placed) = places.next()? {
        if let Event::Start(tag) | Event::Empty(tag) = &placed.event
            && let Some(before) = attribute(tag, "ref")
        {
            let raw = places.raw(placed.start, placed.end);
            splice.put(
                placed.start,
                placed.end,
                &with_attribute(raw, "ref", &escaped(&areas(&before, growth))),
            );
        }
    }
    Ok(splice.finish())
}

/// Pictures and charts below the rows go down with what they stand beside.
fn anchors(xml: &str, growth: Growth) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut splice = Splice::of(xml);
    let mut below = false;
    let mut corner = String::new();
    while let Some(placed) = places.next()? {
        let Event::Start(tag) = &placed.event else {
            continue;
        };
        match tag.local_name().as_ref() {
            it @ ("from" | "to") => it.clone_into(&mut corner),
            "row" => {
                let (end, _) = places.past_end()?;
                let Ok(row) = places.raw(placed.end, end).trim().parse::<u32>() else {
                    continue;
                };
                if corner == "from" {
                    below = row >= growth.last;
                }
                if below {
                    splice.put(
                        placed.end,
                        end,
                        &row.saturating_add(growth.more).to_string(),
                    );
                }
            }
            _ => {}
        }
    }
    Ok(splice.finish())
}

/// A part with formulas that may refer to the sheet.
fn formulas(xml: &str, change: Change<'_>) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut splice = Splice::of(xml);
    while let Some(placed) = places.next()? {
        let Event::Start(tag) = &placed.event else {
            continue;
        };
        if matches!(
            tag.local_name().as_ref(),
            "f" | "formula" | "formula1" | "formula2"
        ) {
            let (end, _) = places.past_end()?;
            let before = plain(places.raw(placed.end, end))?;
            let after = changed(&before, change);
            if after != before {
                splice.put(placed.end, end, &escaped(&after));
            }
        }
    }
    Ok(splice.finish())
}

/// Elements that stand after `calcPr` in a workbook (ECMA-376 part 1, §18.2.27).
const AFTER_CALC: [&str; 9] = [
    "oleSize",
    "customWorkbookViews",
    "pivotCaches",
    "smartTagPr",
    "smartTagTypes",
    "webPublishing",
    "fileRecoveryPr",
    "webPublishObjects",
    "extLst",
];

/// The workbook, with its names following the rows, and told to work out all formulas when it is opened.
fn recalculating(xml: &str, change: Change<'_>) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut splice = Splice::of(xml);
    let (mut told, mut prefix) = (false, String::new());
    while let Some(placed) = places.next()? {
        match &placed.event {
            Event::Start(tag) if tag.local_name().as_ref() == "workbook" => {
                prefix = tag
                    .name()
                    .as_ref()
                    .strip_suffix("workbook")
                    .unwrap_or_default()
                    .to_owned();
            }
            Event::Start(tag) if tag.local_name().as_ref() == "definedName" => {
                let (end, _) = places.past_end()?;
                let before = plain(places.raw(placed.end, end))?;
                let after = changed(&before, change);
                if after != before {
                    splice.put(placed.end, end, &escaped(&after));
                }
            }
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "calcPr" => {
                let raw = places.raw(placed.start, placed.end);
                splice.put(
                    placed.start,
                    placed.end,
                    &with_attribute(raw, "fullCalcOnLoad", "1"),
                );
                told = true;
            }
            Event::Start(tag) | Event::Empty(tag)
                if !told && AFTER_CALC.contains(&tag.local_name().as_ref()) =>
            {
                splice.put(
                    placed.start,
                    placed.start,
                    &format!("<{prefix}calcPr fullCalcOnLoad=\"1\"/>"),
                );
                told = true;
            }
            Event::End(tag) if !told && tag.local_name().as_ref() == "workbook" => {
                splice.put(
                    placed.start,
                    placed.start,
                    &format!("<{prefix}calcPr fullCalcOnLoad=\"1\"/>"),
                );
                told = true;
            }
            _ => {}
        }
    }
    Ok(splice.finish())
}

/// A part without the elements that name a part that goes.
fn without(xml: &str, element: &str, key: &str, gone: &str) -> Result<String, Refusal> {
    let mut places = Places::of(xml);
    let mut splice = Splice::of(xml);
    while let Some(placed) = places.next()? {
        let empty = matches!(placed.event, Event::Empty(_));
        if let Event::Start(tag) | Event::Empty(tag) = &placed.event {
            let named = attribute(tag, key).is_some_and(|it| {
                it.to_ascii_lowercase()
                    .ends_with(&gone.to_ascii_lowercase())
            });
            if tag.local_name().as_ref() == element && named {
                let end = if empty {
                    placed.end
                } else {
                    places.past_end()?.1
                };
                splice.put(placed.start, end, "");
            }
        }
    }
    Ok(splice.finish())
}

/// The file anew: parts that did not change as they lie, without being unpacked.
pub(super) fn packed(
    package: &mut Package<'_>,
    parts: &BTreeMap<String, Option<String>>,
) -> Result<Vec<u8>, Refusal> {
    let mut file = ZipWriter::new(Cursor::new(Vec::new()));
    let archive = package.archive();
    for index in 0..archive.len() {
        let part = archive.by_index_raw(index).map_err(|_| Refusal::Damaged)?;
        let name = part.name().map_err(|_| Refusal::Damaged)?.into_owned();
        match parts.get(&name_key(&name)) {
            None => file.raw_copy_file(part).map_err(|_| Refusal::Damaged)?,
            Some(None) => {}
            Some(Some(text)) => {
                let mut options =
                    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
                if let Some(time) = part.last_modified() {
                    options = options.last_modified_time(time);
                }
                file.start_file(name, options)
                    .map_err(|_| Refusal::Damaged)?;
                file.write_all(text.as_bytes())
                    .map_err(|_| Refusal::Damaged)?;
            }
        }
    }
    Ok(file.finish().map_err(|_| Refusal::Damaged)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROWTH: Growth = Growth {
        first: 4,
        last: 6,
        more: 10,
    };

    #[test]
    fn pictures_below_the_rows_go_down_and_those_beside_them_stay() {
        let at = |from: u32, to: u32| {
            format!(
                "<a:from><a:col>9</a:col><a:row>{from}</a:row></a:from><a:to><a:row>{to}</a:row></a:to><a:pic/>"
            )
        };
        let xml =
            |it: [(u32, u32); 3]| format!("<a>{}</a>", it.map(|(from, to)| at(from, to)).concat());
        let before = xml([(0, 2), (5, 9), (6, 9)]);
        assert_eq!(
            anchors(&before, GROWTH),
            Ok(xml([(0, 2), (5, 9), (16, 19)]))
        );
    }

    #[test]
    fn tables_charts_and_names_follow_the_rows() {
        let table = "<table ref=\"A3:H6\" id=\"1\"><autoFilter ref=\"A3:H6\"/><tableColumn name=\"a\"/></table>";
        assert_eq!(references(table, GROWTH), Ok(table.replace("H6", "H16")));
        let other = Change::Grow {
            growth: GROWTH,
            sheet: "来访 台账",
            own: false,
        };
        let chart = "<c:chart><c:f>'来访 台账'!$D$4:$D$6</c:f><c:f>别表!$D$4:$D$6</c:f><c:formatCode>D9</c:formatCode></c:chart>";
        assert_eq!(
            formulas(chart, other),
            Ok(chart.replacen("$D$6", "$D$16", 1))
        );
        for (before, after) in [
            (
                "<workbook><sheets/></workbook>",
                "<workbook><sheets/><calcPr fullCalcOnLoad=\"1\"/></workbook>",
            ),
            (
                "<x:workbook><x:sheets/><x:extLst/></x:workbook>",
                "<x:workbook><x:sheets/><x:calcPr fullCalcOnLoad=\"1\"/><x:extLst/></x:workbook>",
            ),
            (
                "<workbook><calcPr fullCalcOnLoad=\"0\"></calcPr></workbook>",
                "<workbook><calcPr fullCalcOnLoad=\"1\"></calcPr></workbook>",
            ),
        ] {
            assert_eq!(recalculating(before, other), Ok(after.to_owned()));
        }
    }
}
