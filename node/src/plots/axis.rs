//! Upright bars on an axis of numbers: where a number stands, which numbers have a line, and what there is room to say.

use super::canvas::{Anchor, Canvas, Fill, clipped, wide};
use super::{BOTTOM, HEIGHT, RIGHT, SMALL, TOP};

/// Steps between the lowest and the highest number at most.
const LINES: i128 = 4;

/// An axis of numbers, with room for its own names at the left.
#[derive(Debug)]
pub(super) struct Axis {
    low: i64,
    high: i64,
    left: f64,
}

/// The lowest and the highest of zero and these numbers, never the same.
pub(super) fn span(values: impl Iterator<Item = i64>) -> (i64, i64) {
    let (low, high) = values.fold((0, 0), |(low, high): (i64, i64), it| {
        (low.min(it), high.max(it))
    });
    (low, if low == high { 1 } else { high })
}

/// Numbers at which a line stands: multiples of 1, 2 or 5 and its tenfolds, zero among them.
fn ticks(low: i64, high: i64) -> Vec<i64> {
    let (low, high) = (i128::from(low), i128::from(high));
    let wanted = (high - low + LINES - 1) / LINES;
    let mut tens = 1_i128;
    while tens * 10 < wanted {
        tens *= 10;
    }
    let fits = [1, 2, 5, 10]
        .into_iter()
        .map(|it| it * tens)
        .find(|it| *it >= wanted);
    let step = fits.unwrap_or(tens * 10);
    let first = low.div_euclid(step) + i128::from(low.rem_euclid(step) != 0);
    let ticks = (first..).map(|at| at * step).take_while(|it| *it <= high);
    ticks.filter_map(|it| i64::try_from(it).ok()).collect()
}

/// Digits in groups of three.
pub(super) fn grouped(number: impl ToString) -> String {
    let text = number.to_string();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", text.as_str()),
    };
    let mut out = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Axis {
    /// Draws the lines and their numbers.
    pub(super) fn upright(canvas: &mut Canvas, values: impl Iterator<Item = i64>) -> Self {
        let (low, high) = span(values);
        let ticks = ticks(low, high);
        let room = ticks
            .iter()
            .map(|it| wide(&grouped(*it), SMALL))
            .fold(0.0, f64::max);
        let axis = Self {
            low,
            high,
            left: (room + 14.0).max(30.0),
        };
        canvas.height = HEIGHT;
        for tick in ticks {
            let y = axis.y(tick);
            canvas.line(
                if tick == 0 { "base" } else { "grid" },
                None,
                (axis.left, y),
                (RIGHT, y),
            );
            canvas.text("ax", axis.left - 8.0, y + 4.0, Anchor::End, &grouped(tick));
        }
        axis
    }

    /// Where a number stands. Below zero there is room for a number under the bar.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a place on a plot has four digits"
    )]
    fn y(&self, value: i64) -> f64 {
        let (low, high) = (self.low as f64, self.high as f64);
        let bottom = if self.low < 0 { BOTTOM - 14.0 } else { BOTTOM };
        bottom - (value as f64 - low) / (high - low) * (bottom - TOP)
    }

    /// The room of each of so many bars.
    #[expect(clippy::cast_precision_loss, reason = "bars are few")]
    pub(super) fn pitch(&self, bars: usize) -> f64 {
        (RIGHT - self.left) / bars.max(1) as f64
    }

    /// The middle of a bar's room.
    #[expect(clippy::cast_precision_loss, reason = "bars are few")]
    pub(super) fn middle(&self, at: usize, pitch: f64) -> f64 {
        self.left + (at as f64 + 0.5) * pitch
    }

    /// Draws a bar from zero.
    pub(super) fn bar(&self, canvas: &mut Canvas, fill: Fill, x: f64, width: f64, value: i64) {
        let (zero, end) = (self.y(0), self.y(value));
        canvas.filled(fill, (x, zero.min(end), width, (end - zero).abs()));
    }

    /// Writes a number at the end of its bar.
    pub(super) fn number(&self, canvas: &mut Canvas, x: f64, value: i64) {
        let y = self.y(value) + if value < 0 { 12.0 } else { -4.0 };
        canvas.text("ax", x, y, Anchor::Middle, &grouped(value));
    }

    /// Writes names under the bars: as many as there is room for, the first among them.
    pub(super) fn names<'n>(
        &self,
        canvas: &mut Canvas,
        names: impl Iterator<Item = &'n str> + Clone,
        pitch: f64,
    ) {
        let room = names
            .clone()
            .map(|it| wide(it, SMALL))
            .fold(0.0, f64::max)
            .min(90.0)
            + 8.0;
        let mut free = f64::NEG_INFINITY;
        for (at, name) in names.enumerate() {
            let middle = self.middle(at, pitch);
            if middle - room / 2.0 >= free - 0.01 && middle + room / 2.0 <= RIGHT + 8.0 || at == 0 {
                canvas.text(
                    "ax",
                    middle,
                    BOTTOM + 18.0,
                    Anchor::Middle,
                    &clipped(name, SMALL, 90.0),
                );
                free = middle + room / 2.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_at_round_numbers() {
        assert_eq!(ticks(0, 63), [0, 20, 40, 60]);
        assert_eq!(ticks(0, 1), [0, 1]);
        assert_eq!(ticks(0, 7), [0, 2, 4, 6]);
        assert_eq!(ticks(-7, 25), [0, 10, 20]);
        assert_eq!(ticks(0, 1_000_001), [0, 500_000, 1_000_000]);
        assert_eq!(ticks(-3, 0), [-3, -2, -1, 0]);
        for (low, high) in [
            (0, i64::MAX),
            (i64::MIN, 0),
            (i64::MIN, i64::MAX),
            (-1, 1),
            (0, 9_999_999),
        ] {
            let ticks = ticks(low, high);
            assert!(
                (2..=6).contains(&ticks.len()) && ticks.contains(&0),
                "{low} {high} {ticks:?}"
            );
            assert!(ticks.iter().all(|it| (low..=high).contains(it)) && ticks.is_sorted());
        }
    }

    #[test]
    fn digits_stand_in_groups() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-1_234_567, "−1,234,567"),
            (i64::MIN, "−9,223,372,036,854,775,808"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
