//! The reports of the field, R1 to R18, and the figures F1 to F22 (DOMAIN 3 and 12): what was done in a period, as far as it was known at
//! a time, each number with the records that it counts.
//!
//! A report is a pure function of what had arrived by its cut-off, its period and this version's definitions: the same table on every
//! device that holds the same, whatever came when and in which order. [`known`] reads, [`set`] is the small language in which records
//! are narrowed and counted, [`quantities`] has each base quantity once; each report is a file over these and adds tables. Showing,
//! printing and exporting are others' work, and so is who may open what: a number is the same for everybody.
//!
//! Owns what a figure means. Must not rank sites or persons: lines stand in the order of codes, names or places.
//!
//! Rejected: figures kept as records change (they would be right only as long as no rule changes, and could not be asked for an
//! earlier cut-off); SQL over JSON (each figure would say anew what counts).

mod annual;
mod articles;
mod consultations;
mod deputies;
pub mod drawing;
mod facts;
mod figures;
pub mod files;
mod key_supervision;
pub mod known;
mod law;
mod livestreams;
mod outreach;
mod overdue;
mod points;
mod printed;
mod privacy;
pub mod proof;
mod quality;
pub mod quantities;
mod reply_time;
mod results;
pub mod set;
pub mod shown;
pub mod snapshot;
mod stations;
pub mod table;
mod theme_months;
mod topics;
mod units;

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::{Map, Value, json};

use crate::clock::{self, day_number};
use crate::error::{Code, Error, Result};
use crate::journal::Overview;
use drawing::Drawing;
use known::{Known, Mark};
use quantities::Base;
use set::{Figure, Period, Reach};
use table::{Cell, Table};

/// The version of the definitions, printed on every report: raised whenever a figure could differ.
pub const DEFINITIONS: u32 = 3;
/// A device of which nothing arrived for longer is named on the report, in days.
pub const QUIET_DAYS: u64 = 7;
/// The sentence that names kinds of which there is nothing here, by their codes.
pub const AWAY: &str = "away";
/// Years that a period may span.
const YEARS_MAX: i64 = 200;

/// A report by its number.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// `R1` to `R18`, or `figures`.
    pub id: &'static str,
    /// The kinds of record that it reads.
    kinds: &'static [&'static str],
    /// Base quantities whose definitions are printed under it, by their names in the locales without `rd-`.
    pub defines: &'static [&'static str],
    fill: fn(&Base<'_>, &mut Tables),
}

/// All reports, in their order.
pub const ALL: [Definition; 19] = [
    annual::R1,
    stations::R2,
    reply_time::R3,
    overdue::R4,
    results::R5,
    key_supervision::R6,
    consultations::R7,
    articles::R8,
    points::R9,
    deputies::R10,
    topics::R11,
    units::R12,
    theme_months::R13,
    livestreams::R14,
    outreach::R15,
    privacy::R16,
    quality::R17,
    printed::R18,
    figures::FIGURES,
];

/// What is asked of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which.
    pub report: String,
    /// The first day, in Beijing: `2026-01-01`.
    pub from: String,
    /// The last day.
    pub to: String,
    /// What had arrived by then is known, in Unix milliseconds.
    pub as_of_ms: u64,
    /// Nobody asked for a cut-off: all that has arrived is known, though the hub's clock may have been ahead when it did.
    pub is_open: bool,
    /// The cut-off had not come when this was asked: until then more may arrive.
    pub is_ahead: bool,
    /// Of test data, and of nothing else.
    pub test_data: bool,
    /// Of one deputy, by the record, number or name in the register: R10 alone.
    pub deputy: Option<String>,
}

impl Asked {
    /// Checks what was typed. `as_of` is a time (RFC 3339) or a day, whose end it means; without one it is now.
    ///
    /// # Errors
    /// [`Code::NoReport`] for an unknown one, [`Code::BadPeriod`] for what is no period or cut-off.
    pub fn read(
        report: &str,
        (from, to): (&str, &str),
        as_of: Option<&str>,
        now_ms: u64,
    ) -> Result<Self> {
        let report = find(report)?.id.to_owned();
        let bad = |what: &str| Error::new(Code::BadPeriod, what.to_owned());
        let number = |day: &str| day_number(day).filter(|_| day.len() == 10);
        let from_day = number(from).ok_or_else(|| bad("--from is a day such as 2026-01-01"))?;
        let to_day = number(to).ok_or_else(|| bad("--to is a day such as 2026-12-31"))?;
        if to_day < from_day {
            return Err(bad("the last day of the period is before the first"));
        }
        if to_day - from_day > YEARS_MAX * 366 {
            return Err(bad("the period is too long"));
        }
        let as_of_ms = match as_of {
            None => now_ms,
            Some(day) if number(day).is_some() => {
                let begins = clock::day_begins(day);
                let begins = begins.ok_or_else(|| bad("the cut-off is before 1970"))?;
                clock::beijing_day(begins).1.saturating_sub(1)
            }
            Some(time) => clock::unix_ms(time).ok_or_else(|| {
                bad("the cut-off is a day such as 2026-12-31 or a time with its offset")
            })?,
        };
        Ok(Self {
            report,
            from: from.to_owned(),
            to: to.to_owned(),
            as_of_ms,
            is_open: as_of.is_none(),
            is_ahead: as_of_ms > now_ms,
            test_data: false,
            deputy: None,
        })
    }

    /// The same of one deputy.
    ///
    /// # Errors
    /// [`Code::Usage`] for a report that has no line a deputy.
    pub fn of_deputy(self, deputy: Option<String>) -> Result<Self> {
        let deputy = deputy.filter(|it| !it.trim().is_empty());
        if deputy.is_some() && self.report != deputies::R10.id {
            let message = "R10 alone is of one deputy";
            return Err(Error::new(Code::Usage, message));
        }
        Ok(Self { deputy, ..self })
    }

    /// The same of test data.
    #[must_use]
    pub fn of_test_data(self, test_data: bool) -> Self {
        Self { test_data, ..self }
    }

    fn period(&self) -> Period {
        Period {
            from: self.from.clone(),
            to: self.to.clone(),
        }
    }
}

/// The report with this number, in any case.
///
/// # Errors
/// [`Code::NoReport`] when there is none.
pub fn find(id: &str) -> Result<&'static Definition> {
    let found = ALL
        .iter()
        .find(|report| report.id.eq_ignore_ascii_case(id.trim()));
    found.ok_or_else(|| {
        let message = "reports are R1 to R18 and figures";
        Error::new(Code::NoReport, message)
    })
}

/// What a report fills.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Table>,
    totals: BTreeMap<String, Figure>,
    notes: Vec<Note>,
    drawings: Vec<Drawing>,
}

/// A sentence under a report: its name in the locales without `rn-`, a number, and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Which.
    pub code: &'static str,
    /// How many.
    pub count: i64,
    /// Which ones, where they have names.
    pub names: Vec<String>,
}

impl Tables {
    /// Leaves the lines of one name, and what is said of all names out.
    fn only(&mut self, name: &str) {
        for table in &mut self.tables {
            let is_it = |line: &table::Line| match line.cells.first() {
                Some(Cell::Text(first)) => first == name,
                _ => false,
            };
            table.lines.retain(is_it);
        }
        self.notes.clear();
    }

    fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    fn draw(&mut self, drawing: Drawing) {
        self.drawings.push(drawing);
    }

    /// A figure by its name, in `totals`.
    fn total(&mut self, name: &str, figure: Figure) {
        self.totals.insert(name.to_owned(), figure);
    }

    /// Makes one sentence of those that say the same of different columns.
    fn merge_notes(&mut self) {
        let mut merged: BTreeMap<&'static str, Note> = BTreeMap::new();
        for note in self.notes.drain(..) {
            let into = merged.entry(note.code).or_insert_with(|| Note {
                names: Vec::new(),
                ..note.clone()
            });
            into.names.extend(note.names);
            into.names.sort();
            into.names.dedup();
            into.count = i64::try_from(into.names.len()).unwrap_or(i64::MAX);
        }
        self.notes = merged.into_values().collect();
    }

    /// A sentence, unless it would speak of nothing.
    fn note(&mut self, code: &'static str, count: i64, names: Vec<String>) {
        if count > 0 {
            self.notes.push(Note { code, count, names });
        }
    }
}

/// A report.
#[derive(Debug)]
pub struct Report {
    /// Its definition.
    pub definition: &'static Definition,
    /// What was asked.
    pub asked: Asked,
    /// Whose it is.
    pub unit: String,
    /// Of whom alone it is.
    pub deputy: Option<String>,
    /// The names of its sites, in the order of their codes.
    pub sites: Vec<String>,
    /// Records of the kinds it reads that are here and have not arrived at the hub.
    pub waiting: u64,
    /// 期后补录: records of the period that arrived after the cut-off, by their numbers in this store.
    pub late: Vec<i64>,
    /// Records that are left out because they are test data, or are not where that is asked for.
    pub others: u64,
    /// When something of each device last arrived.
    pub watermark: Vec<Mark>,
    /// The tables.
    pub tables: Vec<Table>,
    /// The figures by name.
    pub totals: BTreeMap<String, Figure>,
    /// Sentences under it.
    pub notes: Vec<Note>,
    /// What it draws.
    pub drawings: Vec<Drawing>,
}

/// Makes a report.
///
/// # Errors
/// [`Code::NoReport`], or the store cannot be read.
pub fn run(connection: &Connection, overview: &Overview, asked: Asked) -> Result<Report> {
    let definition = find(&asked.report)?;
    let known = Known::read(connection, overview, definition.kinds, &asked)?;
    let asked = Asked {
        as_of_ms: known.as_of_ms,
        is_open: false,
        ..asked
    };
    let base = Base::new(&known, asked.period());
    let mut filled = Tables::default();
    (definition.fill)(&base, &mut filled);
    let deputy = asked.deputy.as_deref();
    let deputy = deputy.map(|given| known.call(given, &["deputy"]));
    if let Some(name) = &deputy {
        filled.only(name);
    }
    filled.note("ahead", i64::from(asked.is_ahead), Vec::new());
    let away = known.away();
    let count = i64::try_from(away.len()).unwrap_or(i64::MAX);
    filled.note(AWAY, count, away);
    let in_period = |row: &&known::Row| {
        let day = row.counts_on();
        day.is_some_and(|day| base.period.has(day))
    };
    let late = known.later.iter().filter(in_period);
    let late = late.map(|row| row.key).collect();
    let Tables {
        tables,
        totals,
        notes,
        drawings,
    } = filled;
    Ok(Report {
        definition,
        asked,
        unit: known.unit.clone(),
        deputy,
        sites: known.sites.iter().map(|site| site.name.clone()).collect(),
        waiting: known.waiting,
        others: known.others,
        late,
        watermark: known.watermark,
        tables,
        totals,
        notes,
        drawings,
    })
}

impl Report {
    /// Devices of which nothing arrived in the last days before the cut-off.
    pub fn quiet(&self) -> impl Iterator<Item = &Mark> {
        let since = self
            .asked
            .as_of_ms
            .saturating_sub(QUIET_DAYS * 24 * 60 * 60 * 1_000);
        let quiet = move |mark: &&Mark| mark.last_ms.is_none_or(|last| last < since);
        self.watermark.iter().filter(quiet)
    }

    /// As JSON (CONTRACT): `rows` of all tables, `totals` by name, what it was asked and knows.
    #[must_use]
    pub fn json(&self) -> Value {
        let rows: Vec<_> = self.tables.iter().flat_map(Table::json).collect();
        let totals = self.totals.iter();
        let totals: Map<_, _> = totals
            .map(|(name, figure)| (name.clone(), json!(figure.known())))
            .collect();
        let watermark = self.watermark.iter().map(|mark| {
            let last = mark.last_ms.map(clock::rfc3339);
            json!({ "device": mark.code, "site": mark.site, "last_arrival": last })
        });
        let notes = self.notes.iter();
        let notes = notes
            .map(|note| json!({ "note": note.code, "count": note.count, "names": note.names }));
        json!({
            "report": self.definition.id,
            "from": self.asked.from,
            "to": self.asked.to,
            "as_of": clock::rfc3339(self.asked.as_of_ms),
            "definitions": DEFINITIONS,
            "test_data": self.asked.test_data,
            "unit": self.unit,
            "deputy": self.deputy,
            "sites": self.sites.len(),
            "site_names": self.sites,
            "rows": rows,
            "totals": totals,
            "watermark": watermark.collect::<Vec<_>>(),
            "quiet_devices": self.quiet().count(),
            "not_arrived": self.waiting,
            "late_arrivals": self.late.len(),
            "notes": notes.collect::<Vec<_>>(),
        })
    }

    /// Every figure once: the totals by their names, and what cells count besides as `table.line.column`, the second number of a ratio with
    /// `.of`. Lines are numbered from 1, heads among them.
    fn figures(&self) -> impl Iterator<Item = (String, &Figure)> {
        // A file that proves a number has none for what is not here.
        let totals = self.totals.iter();
        let totals = totals.filter(|(_, figure)| figure.reach == Reach::Here);
        let totals = totals.map(|(name, figure)| (name.clone(), figure));
        let cells = self.tables.iter().flat_map(|table| {
            let lines = (1..).zip(&table.lines);
            lines.flat_map(move |(line, it)| {
                let cells = table.columns.iter().zip(&it.cells);
                cells.flat_map(move |(column, cell)| {
                    let name = format!("{}.{line}.{column}", table.code);
                    let of = match cell {
                        Cell::Ratio(_, of) => Some((format!("{name}.of"), of)),
                        _ => None,
                    };
                    // What is masked is proved to nobody outside.
                    cell.figure()
                        .filter(|_| !cell.is_masked())
                        .map(|figure| (name, figure))
                        .into_iter()
                        .chain(of)
                })
            })
        });
        let is_told = |figure: &Figure| self.totals.values().any(|total| total == figure);
        let cells = cells.filter(move |(_, it)| !it.of.is_empty() && !is_told(it));
        totals.chain(cells)
    }

    /// The figure of a cell by its place, `0.3.2`: table, line, column; or of a total by its name.
    #[must_use]
    pub fn figure(&self, place: &str) -> Option<&Figure> {
        if let Some(figure) = self.totals.get(place) {
            return Some(figure);
        }
        let mut places = place.split('.').map(str::parse::<usize>);
        let mut next = || places.next()?.ok();
        let (table, line, column) = (next()?, next()?, next()?);
        self.tables.get(table)?.cell(line, column)?.figure()
    }
}
