//! Numbers and days of table programs: what a number format makes of a number, and days counted from 1900 or 1904.
//!
//! Both systems count days; that of 1900 has a 29 February 1900 that never was (ECMA-376 part 1, §18.17.4.1).

use super::{Cell, Kind};

/// What a number format shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Plain,
    Percent,
    /// A day, without or with its time.
    Day,
    Moment,
    /// A time of a day.
    Clock,
    /// Hours that go on after 24.
    Elapsed,
    /// `@`: numbers typed there are text already.
    Text,
}

impl Class {
    /// Of a format that every program has; those of 27–36 and 50–58 are days and times of Chinese Excel.
    pub(super) const fn built_in(id: u32) -> Self {
        match id {
            9 | 10 => Self::Percent,
            14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Self::Day,
            18..=21 | 32..=35 | 45 | 47 | 55 | 56 => Self::Clock,
            22 => Self::Moment,
            46 => Self::Elapsed,
            49 => Self::Text,
            _ => Self::Plain,
        }
    }

    /// Of a format that a file brings, by its first section.
    pub(super) fn of(code: &str) -> Self {
        let (mut day, mut clock, mut month, mut percent) = (false, false, false, false);
        let mut chars = code.chars().peekable();
        let mut before = ' ';
        while let Some(it) = chars.next() {
            match it.to_ascii_lowercase() {
                '"' => while chars.next().is_some_and(|it| it != '"') {},
                '\\' | '_' | '*' => {
                    chars.next();
                }
                '[' => {
                    let inner: String = chars.by_ref().take_while(|it| *it != ']').collect();
                    let first = inner
                        .chars()
                        .next()
                        .unwrap_or_default()
                        .to_ascii_lowercase();
                    let same = inner.chars().all(|it| it.to_ascii_lowercase() == first);
                    if same && matches!(first, 'h' | 'm' | 's') {
                        return Self::Elapsed;
                    }
                }
                ';' => break,
                'g' if before == ' ' && (code.starts_with("General") || code.starts_with("G/")) => {
                    return Self::Plain;
                }
                'y' | 'd' => day = true,
                // Weekdays are `aaa` and `aaaa`; a single one is of AM/PM.
                'a' if chars
                    .peek()
                    .is_some_and(|next| next.eq_ignore_ascii_case(&'a')) =>
                {
                    day = true;
                }
                // A year of an era, and not the exponent of `0.00E+00`.
                'e' if !chars.peek().is_some_and(|next| matches!(next, '+' | '-')) => day = true,
                'm' => month = true,
                'h' | 's' => clock = true,
                '%' => percent = true,
                '@' => return Self::Text,
                _ => {}
            }
            before = it;
        }
        match (day || (month && !clock), clock, percent) {
            (true, true, _) => Self::Moment,
            (true, false, _) => Self::Day,
            (false, true, _) => Self::Clock,
            (false, false, true) => Self::Percent,
            _ => Self::Plain,
        }
    }
}

/// The last day of both systems, 9999-12-31, in that of 1900.
const LAST_DAY: f64 = 2_958_465.0;
/// Days from the day before 1 January 1900 to 1 January 1904.
const DAYS_TO_1904: i64 = 1_462;
/// Days from 30 December 1899, which the system of 1900 seems to begin with, to 1 January 1970.
const DAYS_TO_1970: i64 = 25_569;
const DAY_SECONDS: f64 = 86_400.0;

/// The cell of a number.
pub(super) fn cell(value: f64, class: Class, from_1904: bool) -> Cell {
    let shown = match class {
        Class::Day | Class::Moment | Class::Clock => moment(value, class, from_1904),
        Class::Elapsed => elapsed(value),
        Class::Percent => Some((format!("{}%", plain(value * 100.0)), Kind::Number)),
        Class::Plain | Class::Text => None,
    };
    let (text, kind) = shown.unwrap_or_else(|| {
        let kind = if value.is_finite() {
            Kind::Number
        } else {
            Kind::Refused
        };
        (plain(value), kind)
    });
    Cell {
        text: text.into(),
        kind,
    }
}

/// A number with the fifteen digits that table programs show, without a trailing `.0`.
pub(super) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return "#NUM!".to_owned();
    }
    let rounded: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    if rounded == 0.0 {
        "0".to_owned()
    } else {
        rounded.to_string()
    }
}

fn moment(value: f64, class: Class, from_1904: bool) -> Option<(String, Kind)> {
    let shift = if from_1904 { DAYS_TO_1904 } else { 0 };
    if !(0.0..=LAST_DAY).contains(&value) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let seconds = (value * DAY_SECONDS).round() as i64;
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let clock = clock(second);
    if class == Class::Clock && day == 0 {
        return Some((clock, Kind::Text));
    }
    let counted = day + shift;
    let days = match counted {
        ..=0 => return None,
        // 29 February 1900.
        60 => return None,
        1..60 => counted + 1,
        _ => counted,
    };
    let (year, month, day) = civil(days - DAYS_TO_1970);
    if year > 9999 {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let text = if second == 0 || class == Class::Day {
        date
    } else {
        format!("{date}T{clock}")
    };
    Some((text, Kind::Date))
}

fn clock(second: i64) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    if second == 0 {
        format!("{hour:02}:{minute:02}")
    } else {
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

fn elapsed(value: f64) -> Option<(String, Kind)> {
    if !(0.0..=LAST_DAY).contains(&value) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let seconds = (value * DAY_SECONDS).round() as i64;
    Some((clock(seconds), Kind::Text))
}

/// The number of a day or a moment that [`Kind::Date`] writes, for a cell.
pub(super) fn serial(text: &str, from_1904: bool) -> Option<f64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let [year, month, day] = fields(date, '-')?;
    let seconds = match time {
        None => 0,
        Some(time) => {
            let time = if time.len() == 5 {
                format!("{time}:00")
            } else {
                time.to_owned()
            };
            let [hour, minute, second] = fields(&time, ':')?;
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3600 + minute * 60 + second
        }
    };
    let days = days(year, month, day);
    // A day that is no day comes back as another.
    if civil(days) != (year, month, day) {
        return None;
    }
    let counted = days + DAYS_TO_1970;
    let counted = if counted < 61 { counted - 1 } else { counted };
    let counted = counted - if from_1904 { DAYS_TO_1904 } else { 0 };
    if counted < 1 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
    Some(counted as f64 + seconds as f64 / DAY_SECONDS)
}

fn fields(text: &str, between: char) -> Option<[i64; 3]> {
    let mut parts = text.split(between).map(|it| {
        let digits = (2..=4).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit());
        digits.then(|| it.parse().ok()).flatten()
    });
    let fields = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(fields)
}

/// Year, month and day of a day counted from 1 January 1970, in the Gregorian calendar. Years begin in March here, so that the day
/// that some of them have more is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    // From 1 March of the year 0, in eras of 400 years.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (year + era * 400 + later, month, day)
}

/// The other way round.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: f64, code: &str, from_1904: bool) -> (String, Kind) {
        let cell = cell(value, Class::of(code), from_1904);
        (cell.text.into(), cell.kind)
    }

    #[test]
    fn days_are_counted_from_1900_and_from_1904() {
        let day = |value, from| shown(value, "yyyy\\-mm\\-dd", from).0;
        assert_eq!(day(1.0, false), "1900-01-01");
        assert_eq!(day(59.0, false), "1900-02-28");
        assert_eq!(day(61.0, false), "1900-03-01");
        assert_eq!(day(46_354.0, false), "2026-11-28");
        assert_eq!(day(44_892.0, true), "2026-11-28");
        assert_eq!(day(2_958_465.0, false), "9999-12-31");
        // A day that never was, one before the first, and one after the last stay numbers.
        for (value, text) in [(60.0, "60"), (-1.0, "-1"), (2_958_466.0, "2958466")] {
            assert_eq!(
                shown(value, "yyyy/m/d", false),
                (text.to_owned(), Kind::Number)
            );
        }
        for text in [
            "1900-01-01",
            "1900-02-28",
            "1900-03-01",
            "2026-11-28",
            "2024-02-29",
        ] {
            let number = serial(text, false).unwrap();
            assert_eq!(day(number, false), text);
        }
        assert_eq!(serial("2026-02-29", false), None);
        assert_eq!(serial("1899-12-31", false), None);
        assert_eq!(serial("2026-13-01", false), None);
        let moment = serial("2026-11-28T09:30", false).unwrap();
        assert_eq!(
            shown(moment, "yyyy-mm-dd hh:mm", false).0,
            "2026-11-28T09:30"
        );
        assert_eq!(serial("2026-11-28", true), Some(44_892.0));
    }

    #[test]
    fn a_format_says_what_a_number_is() {
        for (code, class) in [
            ("General", Class::Plain),
            ("G/通用格式", Class::Plain),
            ("0.00E+00", Class::Plain),
            ("#,##0.00\\ \"m\";[Red]-0", Class::Plain),
            ("[$￥-804]#,##0", Class::Plain),
            ("_ * #,##0_ ;_ * \\-#,##0_ ", Class::Plain),
            ("0.0%", Class::Percent),
            ("yyyy\"年\"m\"月\"d\"日\"", Class::Day),
            ("[$-804]aaaa", Class::Day),
            ("[DBNum1][$-804]m\"月\"d\"日\"", Class::Day),
            ("e\"年\"", Class::Day),
            ("m/d/yy h:mm AM/PM", Class::Moment),
            ("h:mm AM/PM", Class::Clock),
            ("mm:ss", Class::Clock),
            ("[h]:mm:ss", Class::Elapsed),
            ("@", Class::Text),
            ("0;yyyy", Class::Plain),
        ] {
            assert_eq!(Class::of(code), class, "{code}");
        }
        assert_eq!(
            shown(0.125, "0.0%", false),
            ("12.5%".to_owned(), Kind::Number)
        );
        assert_eq!(shown(0.07, "0%", false).0, "7%");
        assert_eq!(shown(0.1 + 0.2, "General", false).0, "0.3");
        assert_eq!(shown(3.0, "General", false).0, "3");
        assert_eq!(shown(-0.0, "General", false).0, "0");
        assert_eq!(shown(13_800_138_000.0, "General", false).0, "13800138000");
        assert_eq!(
            shown(1.5, "[h]:mm", false),
            ("36:00".to_owned(), Kind::Text)
        );
        assert_eq!(
            shown(0.395_833_333_333, "h:mm", false),
            ("09:30".to_owned(), Kind::Text)
        );
        assert_eq!(shown(46_354.5, "yyyy/m/d", false).0, "2026-11-28");
        assert_eq!(shown(f64::INFINITY, "General", false).1, Kind::Refused);
    }
}
