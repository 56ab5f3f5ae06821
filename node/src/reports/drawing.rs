//! What a report draws where people look rather than read: numbers that stand in its tables as well, before they have words.

use super::table::Cell;

/// A plot without words. Bars stand in the order that they are given in.
#[derive(Clone, Debug)]
pub enum Drawing {
    /// Two numbers a month.
    Months {
        /// Its name in the locales without `rp-`.
        code: &'static str,
        /// The names of the two, in the locales without `rw-`.
        series: [&'static str; 2],
        /// Months as `2026-03`.
        months: Vec<(String, [i64; 2])>,
    },
    /// How many came from step to step.
    Funnel {
        /// Likewise.
        code: &'static str,
        /// The steps, in the locales without `rw-`.
        steps: Vec<(&'static str, i64)>,
    },
    /// How many took how many days.
    Days {
        /// Likewise.
        code: &'static str,
        /// Days beside a limit, which is 0: what is below was in time.
        days: Vec<i64>,
    },
    /// A number each.
    Categories {
        /// Likewise.
        code: &'static str,
        /// What they are of.
        of: Vec<(Cell, i64)>,
    },
    /// What became of what was reported up, article by article.
    Articles {
        /// Likewise.
        code: &'static str,
        /// The parts, in the locales without `rc-`.
        parts: Vec<&'static str>,
        /// Each article with its numbers, in the order of the parts.
        articles: Vec<(String, Vec<i64>)>,
    },
}
