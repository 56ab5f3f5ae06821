//! Plots as SVG, drawn on the server, each with the table of its numbers.
//!
//! A plot in a page has no colours of its own: classes say what a shape is, and the page's style sheet what that looks like, by day, by
//! night and on paper. It has no `style` attribute and no script, so that the strictest content policy lets it through. What is told apart
//! by colour is told apart by a pattern too. Bars stand in the order in which they are given: no plot is a ranking. A plot is described
//! for those who do not see it (`role="img"`, `title`, `desc`), and its numbers are all in the table beside it, for a plot leaves out
//! labels for which there is no room. Words are the caller's, and are escaped. The same input gives the same text.
//!
//! Classes: `a` solid, `a-pale` the ground behind it, `a-line` and `a-dot` lines and dots of patterns in its colour; `b` the outline of
//! what is hatched, `b-ground` and `b-hatch` its ground and lines; `seg` the outline of a part, `blank` an empty one; `grid`, `base`,
//! `limit` lines; `ax`, `strong`, `in` (within a bar) text. [`STYLE`] has them all for a file that stands alone.
//!
//! Rejected, each tried: `charts-rs` 2.3.0 (15 crates, 75 s to build with two cores) and `plotters` 0.3.7 (4 crates). Both write colours
//! into every shape and take no class, no pattern and no description; `charts-rs` measures text by a Latin font that it brings, which has
//! no Chinese; what is left of `plotters` is where the ticks stand, which is a few lines here.

mod axis;
mod canvas;
#[cfg(test)]
mod tests;

use axis::{Axis, grouped};
use canvas::{Anchor, Canvas, Fill, clipped, wide};

/// Width of all plots, in units of their own.
const WIDTH: f64 = 500.0;
/// Height of plots with upright bars.
const HEIGHT: f64 = 250.0;
/// Where upright bars end: the right margin, the room for a number above, and the line below.
const RIGHT: f64 = 496.0;
const TOP: f64 = 37.0;
const BOTTOM: f64 = 224.0;
/// Sizes of text, as the classes have them.
const SMALL: f64 = 12.0;
const NORMAL: f64 = 13.0;
/// The widest label of a row.
const LABEL_MAX: f64 = 150.0;
/// Rows that are drawn; the table has all.
const ROWS_MAX: usize = 400;
/// What stands between two parts of a figure.
const COMMA: char = '，';
/// What stands where there is no figure.
const NONE: &str = "—";

/// The style of a file that stands alone: the light colours of the pages.
pub const STYLE: &str = ".plot{font-family:\"Noto Sans CJK SC\",\"Source Han Sans SC\",\"PingFang SC\",\"Microsoft YaHei\",sans-serif}\
.plot text{fill:#1d2729;font-size:13px}.plot .ax{fill:#556063;font-size:12px}.plot .strong{font-weight:700}.plot .in{fill:#fff;font-weight:700}\
.plot .paper{fill:#fff}.plot .grid{stroke:#e3dccf;stroke-width:1}.plot .base{stroke:#857d6f;stroke-width:1}\
.plot .limit{stroke:#a5231b;stroke-width:1.5}.plot .a,.plot .a-dot{fill:#0f5c63}.plot .a-pale{fill:#e7f1f0;stroke:#a9cbca}\
.plot .a-line{stroke:#0f5c63;stroke-width:1.5;fill:none}.plot .a-ground{fill:#e7f1f0}.plot .b{stroke:#b4532a;stroke-width:1.5}\
.plot .b-ground{fill:#fcf0e8}.plot .b-hatch{stroke:#b4532a;stroke-width:2;fill:none}.plot .seg{stroke:#0a434a;stroke-width:1}\
.plot .blank{fill:#fff}";

/// What is said about a plot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// A word by which the plot's parts are known in a page: letters, digits and `-`, another for each plot.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it shows, with its figures, for those who do not see it.
    pub desc: String,
    /// What it counts and by which filter; in a file that stands alone it is below the plot.
    pub caption: String,
}

/// The numbers of a plot: the names of the columns, and the rows.
pub type Table = (Vec<String>, Vec<Vec<String>>);

/// A plot.
pub trait Plot {
    /// What is said about it.
    fn frame(&self) -> &Frame;

    /// Its numbers, for the page and for csv.
    fn table(&self) -> Table;

    /// What its patterns mean: an SVG of each, to stand in the same page as the plot, and its name.
    fn legend(&self) -> Vec<(String, String)>;

    /// The plot as a part of a page.
    fn svg(&self) -> String;

    /// The plot as a file that stands alone, with its title, legend and caption, in light colours.
    fn svg_file(&self) -> String;
}

/// What each plot draws; the rest is the same for all.
trait Draw {
    fn told(&self) -> &Frame;
    fn numbers(&self) -> Table;
    fn keys(&self) -> Vec<(Fill, &str)>;
    fn draw(&self, canvas: &mut Canvas);
}

impl<D: Draw> Plot for D {
    fn frame(&self) -> &Frame {
        self.told()
    }

    fn table(&self) -> Table {
        self.numbers()
    }

    fn legend(&self) -> Vec<(String, String)> {
        let key =
            |(fill, name): (Fill, &str)| (canvas::key(&self.told().id, fill), name.to_owned());
        self.keys().into_iter().map(key).collect()
    }

    fn svg(&self) -> String {
        let mut canvas = Canvas::new(&self.told().id, WIDTH);
        self.draw(&mut canvas);
        canvas.part(self.told(), &self.keys())
    }

    fn svg_file(&self) -> String {
        let mut canvas = Canvas::new(&self.told().id, WIDTH);
        self.draw(&mut canvas);
        canvas.file(self.told(), &self.keys())
    }
}

/// Upright bars in pairs, one pair for each month: solid and hatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Months {
    /// What is said about it.
    pub frame: Frame,
    /// The names of the columns of the table: month, first and second series with their unit.
    pub heads: [String; 3],
    /// The names of the series.
    pub series: [String; 2],
    /// Each month's name and figures.
    pub months: Vec<(String, [i64; 2])>,
}

impl Draw for Months {
    fn told(&self) -> &Frame {
        &self.frame
    }

    fn numbers(&self) -> Table {
        let rows = self
            .months
            .iter()
            .map(|(month, [a, b])| vec![month.clone(), a.to_string(), b.to_string()]);
        (self.heads.to_vec(), rows.collect())
    }

    fn keys(&self) -> Vec<(Fill, &str)> {
        let [a, b] = &self.series;
        vec![(Fill::Solid, a), (Fill::Hatch, b)]
    }

    fn draw(&self, canvas: &mut Canvas) {
        let values = self
            .months
            .iter()
            .flat_map(|(_, pair)| pair.iter().copied());
        let axis = Axis::upright(canvas, values);
        let pitch = axis.pitch(self.months.len());
        // A gap of three between the two, and a sixth of the pitch between pairs.
        let bar = ((pitch * 0.84 - 3.0) / 2.0).clamp(1.2, 36.0);
        let numbers = self
            .months
            .iter()
            .flat_map(|(_, pair)| pair)
            .map(|it| wide(&grouped(*it), SMALL));
        let numbered = numbers.fold(0.0, f64::max) <= bar + 4.0;
        let names = self.months.iter().map(|(name, _)| name.as_str());
        axis.names(canvas, names, pitch);
        for (at, (_, pair)) in self.months.iter().enumerate() {
            let middle = axis.middle(at, pitch);
            for (value, fill, x) in [
                (pair[0], Fill::Solid, middle - 1.5 - bar),
                (pair[1], Fill::Hatch, middle + 1.5),
            ] {
                axis.bar(canvas, fill, x, bar, value);
                if numbered {
                    axis.number(canvas, x + bar / 2.0, value);
                }
            }
        }
    }
}

/// Bars that become shorter from step to step, each with its share of the step before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funnel {
    /// What is said about it.
    pub frame: Frame,
    /// The names of the columns of the table: step, number, share of the step before.
    pub heads: [String; 3],
    /// What is said of the first step, such as 全部.
    pub all: String,
    /// What is counted, such as 件.
    pub unit: String,
    /// Each step's name and number.
    pub steps: Vec<(String, u64)>,
}

impl Funnel {
    /// Of each step, its number out of that of the step before, with the percentage.
    fn shares(&self) -> impl Iterator<Item = Option<String>> {
        let before =
            std::iter::once(None).chain(self.steps.iter().map(|(_, number)| Some(*number)));
        self.steps
            .iter()
            .zip(before)
            .map(|((_, number), before)| before.map(|before| share(*number, before)))
    }
}

/// `498/526，94.7%`; of nothing there is no share.
fn share(part: u64, whole: u64) -> String {
    let figure = format!("{part}/{whole}{COMMA}");
    if whole == 0 {
        return format!("{figure}{NONE}");
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let tenths = (part * 2000 + whole) / (whole * 2);
    format!("{figure}{}.{}%", tenths / 10, tenths % 10)
}

impl Draw for Funnel {
    fn told(&self) -> &Frame {
        &self.frame
    }

    fn numbers(&self) -> Table {
        let row = |((name, number), share): (&(String, u64), Option<String>)| {
            vec![
                name.clone(),
                number.to_string(),
                share.unwrap_or_else(|| NONE.to_owned()),
            ]
        };
        (
            self.heads.to_vec(),
            self.steps.iter().zip(self.shares()).map(row).collect(),
        )
    }

    fn keys(&self) -> Vec<(Fill, &str)> {
        Vec::new()
    }

    fn draw(&self, canvas: &mut Canvas) {
        const PITCH: f64 = 40.0;
        const BAR: f64 = 28.0;
        let steps = self
            .steps
            .get(..self.steps.len().min(ROWS_MAX))
            .unwrap_or_default();
        let left = label_width(steps.iter().map(|(name, _)| name.as_str())) + 8.0;
        let shares: Vec<String> = self
            .shares()
            .map(|it| it.unwrap_or_else(|| self.all.clone()))
            .collect();
        let right = shares.iter().map(|it| wide(it, NORMAL)).fold(0.0, f64::max) + 14.0;
        // Half of the plot is for bars, whatever is said beside them.
        let right = right.min(WIDTH / 2.0 - left + 60.0);
        let track = WIDTH - left - right;
        let most = steps
            .iter()
            .map(|(_, number)| *number)
            .max()
            .unwrap_or_default()
            .max(1);
        let mut y = 6.0;
        for ((name, number), share) in steps.iter().zip(&shares) {
            canvas.text(
                "strong",
                left - 8.0,
                y + 19.0,
                Anchor::End,
                &clipped(name, NORMAL, LABEL_MAX),
            );
            canvas.rect("a-pale", None, (left, y, track, BAR));
            let length = track * portion(*number, most);
            canvas.rect("a", None, (left, y, length, BAR));
            let said = format!("{} {}", grouped(*number), self.unit);
            let free = track - length - 6.0;
            let inside = wide(&said, NORMAL) + 20.0 <= length;
            let (class, x) = if inside {
                ("in", left + 10.0)
            } else {
                ("", left + length + 6.0)
            };
            if inside || wide(&said, NORMAL) <= free {
                canvas.text(class, x, y + 19.0, Anchor::Start, &said);
            }
            let share = clipped(share, NORMAL, right - 10.0);
            canvas.text("", left + track + 10.0, y + 19.0, Anchor::Start, &share);
            y += PITCH;
        }
        canvas.height = y - PITCH + BAR + 10.0;
    }
}

/// How many took how many days, against a limit: solid within, hatched over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Days {
    /// What is said about it.
    pub frame: Frame,
    /// The names of the columns of the table: days, number.
    pub heads: [String; 2],
    /// What is said of those within the limit and of those over it.
    pub sides: [String; 2],
    /// What stands at the limit, such as 期限 30 天.
    pub limit_name: String,
    /// The limit in days; whoever takes as many is within.
    pub limit: u32,
    /// How many days each took; below zero where a date was typed wrongly.
    pub days: Vec<i64>,
}

/// Days from and to, both counted; open where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bin {
    from: Option<i64>,
    to: Option<i64>,
    number: u64,
}

impl Bin {
    fn name(&self) -> String {
        match (self.from, self.to) {
            (None, _) => "<0".to_owned(),
            (Some(from), None) => format!("≥{from}"),
            (Some(from), Some(to)) if from == to => from.to_string(),
            (Some(from), Some(to)) => format!("{from}–{to}"),
        }
    }
}

/// Widths of bins in days.
const BIN_DAYS: [i64; 14] = [1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 90, 180, 365, 3650];
/// Bins that fit beside each other with their names.
const BINS_MAX: i64 = 14;
/// Up to how many times the limit days are told apart.
const BEYOND: i64 = 4;

impl Days {
    /// Bins that end at the limit on one side and begin after it on the other.
    fn bins(&self) -> Vec<Bin> {
        let limit = i64::from(self.limit);
        let most = self.days.iter().copied().max().unwrap_or_default();
        let last = most.clamp(limit + 1, (limit.max(1)).saturating_mul(BEYOND));
        let count = |days: i64| (limit + 1 + days - 1) / days + (last - limit + days - 1) / days;
        let widest = (limit + 1).max(last - limit) / (BINS_MAX / 2) + 1;
        let days = BIN_DAYS
            .into_iter()
            .find(|days| count(*days) <= BINS_MAX)
            .unwrap_or(widest);
        let mut bins = Vec::new();
        if self.days.iter().any(|it| *it < 0) {
            bins.push(Bin {
                from: None,
                to: Some(-1),
                number: 0,
            });
        }
        // The day of the beginning stands with the first days, so that the others are whole.
        let mut from = 0;
        while from <= last {
            let to = (from + days - 1 + i64::from(from == 0 && days > 1)).min(if from <= limit {
                limit
            } else {
                last
            });
            let open = to == last && most > last;
            bins.push(Bin {
                from: Some(from),
                to: (!open).then_some(to),
                number: 0,
            });
            from = to + 1;
        }
        for taken in &self.days {
            let within = |bin: &&mut Bin| {
                bin.from.is_none_or(|from| from <= *taken) && bin.to.is_none_or(|to| *taken <= to)
            };
            if let Some(bin) = bins.iter_mut().find(within) {
                bin.number += 1;
            }
        }
        bins
    }
}

impl Draw for Days {
    fn told(&self) -> &Frame {
        &self.frame
    }

    fn numbers(&self) -> Table {
        let rows = self
            .bins()
            .into_iter()
            .map(|bin| vec![bin.name(), bin.number.to_string()]);
        (self.heads.to_vec(), rows.collect())
    }

    fn keys(&self) -> Vec<(Fill, &str)> {
        let [within, over] = &self.sides;
        vec![(Fill::Solid, within), (Fill::Hatch, over)]
    }

    fn draw(&self, canvas: &mut Canvas) {
        let bins = self.bins();
        let numbers: Vec<i64> = bins
            .iter()
            .map(|bin| i64::try_from(bin.number).unwrap_or(i64::MAX))
            .collect();
        let axis = Axis::upright(canvas, numbers.iter().copied());
        let pitch = axis.pitch(bins.len());
        let bar = (pitch - 4.0).clamp(1.2, 60.0);
        let names: Vec<String> = bins.iter().map(Bin::name).collect();
        axis.names(canvas, names.iter().map(String::as_str), pitch);
        let over = |bin: &Bin| bin.from.is_some_and(|from| from > i64::from(self.limit));
        for (at, (bin, number)) in bins.iter().zip(numbers).enumerate() {
            let middle = axis.middle(at, pitch);
            let fill = if over(bin) { Fill::Hatch } else { Fill::Solid };
            axis.bar(canvas, fill, middle - bar / 2.0, bar, number);
            if wide(&grouped(number), SMALL) <= pitch {
                axis.number(canvas, middle, number);
            }
        }
        if let Some(at) = bins.iter().position(over) {
            let x = axis.middle(at, pitch) - pitch / 2.0;
            canvas.line("limit", Some("5 3"), (x, 16.0), (x, BOTTOM));
            let room = wide(&self.limit_name, SMALL) + 6.0;
            let (x, anchor) = if x + room > WIDTH {
                (x - 5.0, Anchor::End)
            } else {
                (x + 5.0, Anchor::Start)
            };
            canvas.text(
                "ax",
                x,
                14.0,
                anchor,
                &clipped(&self.limit_name, SMALL, 200.0),
            );
        }
    }
}

/// A bar for each category, lying, in the order in which they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Categories {
    /// What is said about it.
    pub frame: Frame,
    /// The names of the columns of the table: category, number.
    pub heads: [String; 2],
    /// Each category's name and figure.
    pub categories: Vec<(String, i64)>,
}

/// Rows of lying bars.
const ROW: f64 = 26.0;
const ROW_BAR: f64 = 18.0;

impl Draw for Categories {
    fn told(&self) -> &Frame {
        &self.frame
    }

    fn numbers(&self) -> Table {
        let rows = self
            .categories
            .iter()
            .map(|(name, value)| vec![name.clone(), value.to_string()]);
        (self.heads.to_vec(), rows.collect())
    }

    fn keys(&self) -> Vec<(Fill, &str)> {
        Vec::new()
    }

    fn draw(&self, canvas: &mut Canvas) {
        let rows = self
            .categories
            .get(..self.categories.len().min(ROWS_MAX))
            .unwrap_or_default();
        let left = label_width(rows.iter().map(|(name, _)| name.as_str())) + 10.0;
        let room = rows
            .iter()
            .map(|(_, value)| wide(&grouped(*value), SMALL))
            .fold(0.0, f64::max)
            + 8.0;
        let values = rows.iter().map(|(_, value)| *value);
        let (low, high) = axis::span(values);
        let (from, to) = (left + if low < 0 { room } else { 0.0 }, WIDTH - room);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a place on a plot has four digits"
        )]
        let x = |value: i64| {
            from + (to - from) * ((value as f64 - low as f64) / (high as f64 - low as f64))
        };
        let mut y = 8.0;
        for (name, value) in rows {
            canvas.text(
                "",
                left - 8.0,
                y + 14.0,
                Anchor::End,
                &clipped(name, NORMAL, LABEL_MAX),
            );
            let (zero, end) = (x(0), x(*value));
            canvas.rect("a", None, (zero.min(end), y, (end - zero).abs(), ROW_BAR));
            let (at, anchor) = if *value < 0 {
                (end - 4.0, Anchor::End)
            } else {
                (end + 4.0, Anchor::Start)
            };
            canvas.text("ax", at, y + 13.5, anchor, &grouped(*value));
            y += ROW;
        }
        canvas.line("base", None, (x(0), 4.0), (x(0), y));
        canvas.height = y + 6.0;
    }
}

/// A lying bar for each article of a draft, made of parts of which each has a pattern, with its sum beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Articles {
    /// What is said about it.
    pub frame: Frame,
    /// The name of the first column of the table, and of the last, which has the sums.
    pub heads: [String; 2],
    /// The names of the parts; eight can be told apart.
    pub parts: Vec<String>,
    /// Each article's name and the numbers of its parts.
    pub articles: Vec<(String, Vec<u64>)>,
}

impl Articles {
    /// The number of each part that has a name.
    fn parts_of<'s>(&'s self, numbers: &'s [u64]) -> impl Iterator<Item = u64> + 's {
        (0..self.parts.len()).map(|at| numbers.get(at).copied().unwrap_or_default())
    }

    fn sum(&self, numbers: &[u64]) -> u64 {
        self.parts_of(numbers).fold(0, u64::saturating_add)
    }
}

impl Draw for Articles {
    fn told(&self) -> &Frame {
        &self.frame
    }

    fn numbers(&self) -> Table {
        let [first, last] = &self.heads;
        let heads = std::iter::once(first)
            .chain(&self.parts)
            .chain([last])
            .cloned()
            .collect();
        let row = |(name, numbers): &(String, Vec<u64>)| {
            let cells = self.parts_of(numbers).map(|it| it.to_string());
            std::iter::once(name.clone())
                .chain(cells)
                .chain([self.sum(numbers).to_string()])
                .collect()
        };
        (heads, self.articles.iter().map(row).collect())
    }

    fn keys(&self) -> Vec<(Fill, &str)> {
        Fill::PARTS
            .into_iter()
            .cycle()
            .zip(self.parts.iter().map(String::as_str))
            .collect()
    }

    fn draw(&self, canvas: &mut Canvas) {
        let rows = self
            .articles
            .get(..self.articles.len().min(ROWS_MAX))
            .unwrap_or_default();
        let left = label_width(rows.iter().map(|(name, _)| name.as_str())) + 10.0;
        let sums: Vec<u64> = rows.iter().map(|(_, numbers)| self.sum(numbers)).collect();
        let room = sums
            .iter()
            .map(|it| wide(&grouped(*it), SMALL))
            .fold(0.0, f64::max)
            + 8.0;
        let most = sums.iter().copied().max().unwrap_or_default().max(1);
        let track = WIDTH - left - room;
        let mut y = 8.0;
        for ((name, numbers), sum) in rows.iter().zip(sums) {
            canvas.text(
                "",
                left - 8.0,
                y + 14.0,
                Anchor::End,
                &clipped(name, NORMAL, LABEL_MAX),
            );
            let mut before = 0_u64;
            for (number, fill) in self.parts_of(numbers).zip(Fill::PARTS.into_iter().cycle()) {
                let x = left + track * portion(before, most);
                before = before.saturating_add(number);
                let end = left + track * portion(before, most);
                canvas.filled(fill, (x, y, end - x, ROW_BAR));
            }
            canvas.text(
                "ax",
                left + track * portion(sum, most) + 4.0,
                y + 13.5,
                Anchor::Start,
                &grouped(sum),
            );
            y += ROW;
        }
        canvas.line("base", None, (left, 4.0), (left, y));
        canvas.height = y + 6.0;
    }
}

/// A part of a whole, from 0 to 1.
#[expect(
    clippy::cast_precision_loss,
    reason = "a place on a plot has four digits"
)]
fn portion(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64).clamp(0.0, 1.0)
}

/// The room for the labels of rows.
fn label_width<'n>(names: impl Iterator<Item = &'n str>) -> f64 {
    names
        .map(|it| wide(it, NORMAL))
        .fold(30.0, f64::max)
        .min(LABEL_MAX)
}
