//! A report in words: what its page, its print, its csv and its xlsx have in common.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::Catalogue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::drawing::Drawing;
use super::table::{Cell, Table, moment, shown, tenths_text};
use super::{AWAY, DEFINITIONS, QUIET_DAYS, Report};
use crate::plots::{self, Frame, Plot};
use crate::words::Lang;

/// A cell in words.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownCell {
    /// What it says.
    pub text: String,
    /// The place of the figure whose list it opens.
    pub place: Option<String>,
    /// The record that it opens, by id.
    pub record: Option<String>,
    /// A number, where a sheet should have one: of a ratio its n.
    pub number: Option<f64>,
    /// Whether it stands at the right.
    pub is_number: bool,
}

/// A line in words.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownLine {
    /// It heads those that follow.
    pub heads: bool,
    /// Its cells.
    pub cells: Vec<ShownCell>,
}

/// A table in words.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct ShownTable {
    /// Its name in addresses and file names.
    pub code: String,
    /// What it is called.
    pub title: String,
    /// Its columns, and whether they are numbers.
    pub columns: Vec<(String, bool)>,
    /// Its lines.
    pub lines: Vec<ShownLine>,
}

/// A plot in words, with the table of its numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ShownPlot {
    /// What it is called.
    pub title: String,
    /// The plot, as markup that [`plots`] made: every word in it is escaped there.
    pub svg: String,
    /// What its patterns mean: markup, and a name.
    pub legend: Vec<(String, String)>,
    /// The names of the columns of its numbers.
    pub heads: Vec<String>,
    /// Its numbers.
    pub rows: Vec<Vec<String>>,
    /// What it counts.
    pub caption: String,
    /// The plot as a file that stands alone; what was issued keeps none.
    #[serde(skip)]
    pub file: String,
}

/// A report in words.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Shown {
    /// Its name.
    pub title: String,
    /// Whose it is, of what period, as of when, and by which definitions.
    pub head: Vec<String>,
    /// Its tables.
    pub tables: Vec<ShownTable>,
    /// Its plots.
    #[serde(default)]
    pub plots: Vec<ShownPlot>,
    /// What may be missing, and what stands apart.
    pub notes: Vec<String>,
    /// What its figures mean.
    pub definitions: Vec<String>,
}

impl ShownTable {
    /// What a column is called.
    #[must_use]
    pub fn column(&self, place: &usize) -> &str {
        self.columns.get(*place).map_or("", |(name, _)| name)
    }
}

impl Shown {
    /// Whether no table has a line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.lines.is_empty())
    }

    /// Whether a table has more columns than stand side by side on upright paper.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        const UPRIGHT: usize = 7;
        let tables = self.tables.iter().filter(|table| !table.lines.is_empty());
        tables
            .map(|table| table.columns.len())
            .any(|count| count > UPRIGHT)
    }
}

/// A number that is another one by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The table, what the line is of, and the column.
    pub place: [String; 3],
    /// As it was issued; nothing where the line was not there.
    pub was: Option<String>,
    /// As it would be now.
    pub now: Option<String>,
}

impl Shown {
    /// What of this report would be another number now, table by table. Lines are the same where what they are of is; what a table has in
    /// words alone is not compared.
    #[must_use]
    pub fn changed(&self, now: &Self) -> Vec<Changed> {
        let mut changed = Vec::new();
        let lacks = ShownTable {
            lines: Vec::new(),
            ..self.tables.first().cloned().unwrap_or_default()
        };
        for table in &self.tables {
            let again = now.tables.iter().find(|it| it.code == table.code);
            changed.extend(table.changed(again.unwrap_or(&lacks)));
        }
        for plot in &self.plots {
            let again = now.plots.iter().find(|it| it.title == plot.title);
            let again = again.map_or_else(|| lacks.clone(), ShownPlot::table);
            changed.extend(plot.table().changed(&again));
        }
        changed
    }
}

impl ShownPlot {
    /// Its numbers as a table; the first of each line says what it is of.
    fn table(&self) -> ShownTable {
        let columns = self.heads.iter().enumerate();
        let columns = columns.map(|(at, head)| (head.clone(), at > 0));
        let lines = self.rows.iter().map(|row| {
            let cells = row.iter().enumerate().map(|(at, text)| ShownCell {
                text: text.clone(),
                place: None,
                record: None,
                number: None,
                is_number: at > 0,
            });
            ShownLine {
                heads: false,
                cells: cells.collect(),
            }
        });
        ShownTable {
            code: String::new(),
            title: self.title.clone(),
            columns: columns.collect(),
            lines: lines.collect(),
        }
    }
}

impl ShownTable {
    /// Its lines, each under what it is of: the head above it and its words, or the record. Of several that are of the same, each after the other.
    fn by_words(&self) -> BTreeMap<(String, usize), &ShownLine> {
        let (mut lines, mut times) = (BTreeMap::new(), BTreeMap::new());
        let mut head = "";
        for line in &self.lines {
            // What a line is of stands before its first number; a record may be called otherwise by now.
            let before = line.cells.iter().take_while(|cell| !cell.is_number);
            if line.heads {
                head = before
                    .map(|cell| cell.text.as_str())
                    .next()
                    .unwrap_or_default();
                continue;
            }
            let record = line.cells.iter().find_map(|cell| cell.record.as_deref());
            let words: Vec<_> = match record {
                Some(record) => vec![head, record],
                None => [head]
                    .into_iter()
                    .chain(before.map(|cell| cell.text.as_str()))
                    .collect(),
            };
            let words: Vec<_> = words.into_iter().filter(|it| !it.is_empty()).collect();
            let words = words.join(" · ");
            let nth: &mut usize = times.entry(words.clone()).or_default();
            lines.insert((words, *nth), line);
            *nth += 1;
        }
        lines
    }

    fn changed(&self, now: &Self) -> Vec<Changed> {
        let (was, now) = (self.by_words(), now.by_words());
        let all: BTreeSet<_> = was.keys().chain(now.keys()).collect();
        let mut changed = Vec::new();
        for of in all {
            let lines = [was.get(of), now.get(of)];
            for (column, (name, _)) in self.columns.iter().enumerate() {
                let cells = lines.map(|line| line.and_then(|line| line.cells.get(column)));
                let [was, now] = cells.map(|cell| {
                    let number = cell.filter(|cell| cell.is_number);
                    number.map(|cell| cell.text.clone())
                });
                if was != now {
                    let named = lines.into_iter().flatten().next();
                    let named =
                        named.and_then(|line| line.cells.iter().find(|it| it.record.is_some()));
                    let of = named.map_or_else(|| of.0.clone(), |cell| cell.text.clone());
                    let place = [self.title.clone(), of, name.clone()];
                    changed.push(Changed { place, was, now });
                }
            }
        }
        changed
    }
}

/// Puts a report into words.
pub(crate) fn shown_in(report: &Report, lang: Lang) -> Shown {
    let say = |code: &str| lang.say(&format!("rw-{code}"), &[]);
    let asked = &report.asked;
    let mut head = vec![
        report.unit.clone(),
        lang.say(
            "report-period",
            &[
                ("from", asked.from.as_str().into()),
                ("to", asked.to.as_str().into()),
            ],
        ),
        lang.say("report-as-of", &[("at", moment(asked.as_of_ms).into())]),
        lang.say(
            "report-sites",
            &[
                ("count", report.sites.len().into()),
                ("names", report.sites.join("、").into()),
            ],
        ),
        lang.say("report-definitions", &[("version", DEFINITIONS.into())]),
    ];
    if let Some(deputy) = &report.deputy {
        let said = lang.say("report-deputy", &[("name", deputy.as_str().into())]);
        head.insert(1, said);
    }
    let sort = match asked.test_data {
        true => "report-test",
        false => "report-statuses",
    };
    head.push(lang.say(sort, &[]));
    let tables = report.tables.iter().enumerate();
    let tables = tables.map(|(place, table)| of_table(table, place, lang, &say));
    let definitions = report.definition.defines.iter();
    Shown {
        title: lang.say(&format!("rr-{}", report.definition.id), &[]),
        head,
        tables: tables.collect(),
        plots: drawn(report, lang, &say),
        notes: notes(report, lang),
        definitions: definitions
            .map(|code| lang.say(&format!("rd-{code}"), &[]))
            .collect(),
    }
}

/// The drawings of a report that have something to show.
fn drawn(report: &Report, lang: Lang, word: &dyn Fn(&str) -> String) -> Vec<ShownPlot> {
    let period = [
        ("from", report.asked.from.as_str().into()),
        ("to", report.asked.to.as_str().into()),
    ];
    let caption = lang.say("report-period", &period);
    let head = |code: &str| lang.say(&format!("rc-{code}"), &[]);
    let frame = |code: &str| Frame {
        id: code.to_owned(),
        title: lang.say(&format!("rp-{code}"), &[]),
        desc: caption.clone(),
        caption: caption.clone(),
    };
    let number = |it: i64| u64::try_from(it).unwrap_or_default();
    let plot = |drawing: &Drawing| -> Option<Box<dyn Plot>> {
        match drawing {
            Drawing::Months { months, .. } if months.is_empty() => None,
            Drawing::Months {
                code,
                series,
                months,
            } => Some(Box::new(plots::Months {
                frame: frame(code),
                heads: [head("month"), word(series[0]), word(series[1])],
                series: series.map(word),
                months: months.clone(),
            })),
            Drawing::Funnel { steps, .. } if steps.iter().all(|(_, n)| *n == 0) => None,
            Drawing::Funnel { code, steps } => Some(Box::new(plots::Funnel {
                frame: frame(code),
                heads: [head("item"), head("count"), head("ratio")],
                all: word("all"),
                unit: word("u-cases"),
                steps: steps
                    .iter()
                    .map(|(step, n)| (word(step), number(*n)))
                    .collect(),
            })),
            Drawing::Days { days, .. } if days.is_empty() => None,
            Drawing::Days { code, days } => Some(Box::new(plots::Days {
                frame: frame(code),
                heads: [head("days_over"), head("count")],
                sides: [word("in-time"), word("late")],
                limit_name: head("due_on"),
                limit: 0,
                days: days.clone(),
            })),
            Drawing::Categories { of, .. } if of.is_empty() => None,
            Drawing::Categories { code, of } => Some(Box::new(plots::Categories {
                frame: frame(code),
                heads: [head("topic"), head("count")],
                categories: of
                    .iter()
                    .map(|(cell, n)| (shown(cell, word, lang == Lang::Zh), *n))
                    .collect(),
            })),
            Drawing::Articles { articles, .. } if articles.is_empty() => None,
            Drawing::Articles {
                code,
                parts,
                articles,
            } => Some(Box::new(plots::Articles {
                frame: frame(code),
                heads: [head("article"), head("count")],
                parts: parts.iter().map(|part| head(part)).collect(),
                articles: articles
                    .iter()
                    .map(|(path, of)| (path.clone(), of.iter().map(|it| number(*it)).collect()))
                    .collect(),
            })),
        }
    };
    let plots = report.drawings.iter().filter_map(plot);
    let shown = plots.map(|plot| {
        let (heads, rows) = plot.table();
        ShownPlot {
            title: plot.frame().title.clone(),
            svg: plot.svg(),
            legend: plot.legend(),
            heads,
            rows,
            caption: caption.clone(),
            file: plot.svg_file(),
        }
    });
    shown.collect()
}

fn kind_name(code: &str, lang: Lang) -> String {
    let kind = Catalogue::current().kind(code);
    kind.map_or_else(
        || code.to_owned(),
        |kind| lang.label(&kind.label).to_owned(),
    )
}

fn notes(report: &Report, lang: Lang) -> Vec<String> {
    let mut notes = Vec::new();
    let quiet: Vec<_> = report.quiet().map(|mark| mark.code.clone()).collect();
    if !quiet.is_empty() {
        notes.push(lang.say(
            "report-quiet",
            &[
                ("count", quiet.len().into()),
                ("days", QUIET_DAYS.into()),
                ("devices", quiet.join("、").into()),
            ],
        ));
    }
    if report.waiting > 0 {
        notes.push(lang.say("report-not-arrived", &[("count", report.waiting.into())]));
    }
    let own = report.notes.iter().map(|note| {
        let names = note.names.iter().map(|name| match note.code {
            AWAY => kind_name(name, lang),
            _ => name.clone(),
        });
        let names = names.collect::<Vec<_>>().join("、");
        lang.say(
            &format!("rn-{}", note.code),
            &[("count", note.count.into()), ("names", names.into())],
        )
    });
    notes.extend(own);
    notes
}

fn of_table(table: &Table, place: usize, lang: Lang, say: &dyn Fn(&str) -> String) -> ShownTable {
    let is_number = |cell: &Cell| {
        matches!(
            cell,
            Cell::Count(_)
                | Cell::Masked(_)
                | Cell::Ratio(..)
                | Cell::Money(_)
                | Cell::Number(_)
                | Cell::Tenths(_)
        )
    };
    let columns = table.columns.iter().enumerate().map(|(column, code)| {
        let cells = table.lines.iter().filter_map(|line| line.cells.get(column));
        let label = lang.say(&format!("rc-{code}"), &[]);
        (label, cells.into_iter().any(&is_number))
    });
    let lines = table.lines.iter().enumerate().map(|(line, it)| {
        let cells = it.cells.iter().enumerate().map(|(column, cell)| {
            let figure = cell.figure().filter(|figure| !figure.of.is_empty());
            ShownCell {
                text: shown(cell, say, lang == Lang::Zh),
                place: figure.map(|_| format!("{place}.{line}.{column}")),
                record: match cell {
                    Cell::Record(id, _) => Some(id.hyphenated()),
                    _ => None,
                },
                number: number(cell),
                is_number: is_number(cell),
            }
        });
        ShownLine {
            heads: it.heads,
            cells: cells.collect(),
        }
    });
    ShownTable {
        code: table.code.to_owned(),
        title: lang.say(&format!("rt-{}", table.code), &[]),
        columns: columns.collect(),
        lines: lines.collect(),
    }
}

/// What a sheet has as a number; a percentage as its text.
fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Ratio(..) => None,
        Cell::Money(figure) => super::table::yuan(figure.known()?).parse().ok(),
        Cell::Tenths(tenths) => tenths_text(*tenths).parse().ok(),
        _ => match cell.json() {
            Value::Number(number) => number.as_f64(),
            _ => None,
        },
    }
}
