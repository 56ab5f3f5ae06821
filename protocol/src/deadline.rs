//! Deadlines: the day by which something must be done, counted from the day on which it began.
//!
//! The first day is not counted; a period of months ends on the corresponding day or, where that month has none, on its last; a
//! period that ends on a day off ends on the first working day after it (Civil Code of the PRC, articles 201 to 203, by analogy).
//! Whether an ordinary weekend is such a day is applied both ways: a network may say for a year that it is not.
//! Dates are dates in Beijing. Which days are off is data (`deadline/holidays.toml`, from the yearly notices of the State
//! Council's General Office); a year of which there is no notice yet is estimated by weekends, and the answer says so.
//!
//! Owns the arithmetic and the calendar. Must not read a clock: today is given.
//!
//! Rejected: times of day. No rule of the domain has one, and an answer at 23:59 is one on that day.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::{Deserialize, Deserializer};

/// How long there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Days of the calendar.
    Days(u16),
    /// Working days.
    WorkingDays(u16),
    /// Months of the calendar.
    Months(u16),
}

/// A text that is no [`Length`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length is a number and a unit: 15d days, 5w working days, 3m months")]
pub struct LengthError;

impl FromStr for Length {
    type Err = LengthError;

    fn from_str(text: &str) -> Result<Self, LengthError> {
        let unit = text.chars().last().ok_or(LengthError)?;
        let number = text.strip_suffix(unit).ok_or(LengthError)?;
        let number = number.parse().map_err(|_| LengthError)?;
        match unit {
            'd' => Ok(Self::Days(number)),
            'w' => Ok(Self::WorkingDays(number)),
            'm' => Ok(Self::Months(number)),
            _ => Err(LengthError),
        }
    }
}

impl Length {
    /// So many `days`, `working_days` or `months`.
    #[must_use]
    pub fn of(number: u16, unit: &str) -> Option<Self> {
        match unit {
            "days" => Some(Self::Days(number)),
            "working_days" => Some(Self::WorkingDays(number)),
            "months" => Some(Self::Months(number)),
            _ => None,
        }
    }
}

impl Length {
    /// The last of so many days or months of the calendar after a day, whichever days are off; nothing for working days.
    #[must_use]
    pub fn ends(self, from: Date) -> Option<Date> {
        match self {
            Self::Days(number) => from.checked_add(i32::from(number).days()).ok(),
            Self::Months(number) => from.checked_add(i32::from(number).months()).ok(),
            Self::WorkingDays(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A stretch in which time did not run, both days included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Its first day.
    pub from: Date,
    /// Its last day.
    pub until: Date,
}

/// The last day of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The day.
    pub on: Date,
    /// Some day that decided it lies in a year without a notice: weekends were taken for the days off.
    pub estimated: bool,
}

impl fmt::Display for Due {
    /// The day, as `2026-03-14`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.on.fmt(out)
    }
}

/// Which days people work.
#[derive(Clone, Debug, Default)]
pub struct Calendar {
    years: BTreeSet<i16>,
    off: BTreeSet<Date>,
    work: BTreeSet<Date>,
    /// Years in which a period may end on an ordinary weekend.
    weekends_stand: BTreeSet<i16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    year: Vec<Year>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Year {
    year: i16,
    /// Where it stands, for whoever checks it.
    #[serde(rename = "source")]
    _source: String,
    off: Vec<[String; 2]>,
    work: Vec<String>,
}

/// Why a table of days off was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// It is not TOML of the expected form.
    #[error("cannot read a table of days off")]
    Syntax(#[from] Box<toml::de::Error>),
    /// It names a day that is none, or one of another year.
    #[error("a table of days off names {0}, which is no day of its year")]
    Day(String),
}

impl Calendar {
    /// The days off that this release knows.
    #[must_use]
    pub fn standard() -> &'static Self {
        static STANDARD: LazyLock<Calendar> = LazyLock::new(|| {
            // Read by a test of this module.
            Calendar::parse(include_str!("deadline/holidays.toml")).unwrap_or_default()
        });
        &STANDARD
    }

    /// Reads a table of days off.
    ///
    /// # Errors
    /// [`CalendarError`].
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        let file: File = toml::from_str(text).map_err(Box::new)?;
        let mut calendar = Self::default();
        for year in file.year {
            let day = |text: &String| {
                let day: Option<Date> = text.parse().ok();
                let day = day.filter(|day| day.year() == year.year);
                day.ok_or_else(|| CalendarError::Day(text.clone()))
            };
            for [first, last] in &year.off {
                let (mut at, last) = (day(first)?, day(last)?);
                while at <= last {
                    calendar.off.insert(at);
                    at = next(at);
                }
            }
            for text in &year.work {
                calendar.work.insert(day(text)?);
            }
            calendar.years.insert(year.year);
        }
        Ok(calendar)
    }

    /// Takes in days off and make-up days of a year, beside what is known of it: a day on which people work is one whoever else calls
    /// it a day off. Days of other years are left out; a year without a day off stays as it was.
    pub fn publish(&mut self, year: i16, off: Vec<Date>, work: Vec<Date>) {
        let of_year = |days: Vec<Date>| days.into_iter().filter(move |day| day.year() == year);
        let off: Vec<_> = of_year(off).collect();
        if !off.is_empty() {
            self.off.extend(off);
            self.work.extend(of_year(work));
            self.years.insert(year);
        }
    }

    /// In this year a period may end at a weekend, unless that is a day off besides.
    pub fn let_weekends_stand(&mut self, year: i16) {
        self.weekends_stand.insert(year);
    }

    /// Whether a period may end on a day.
    fn may_end(&self, day: Date) -> bool {
        let stands = self.weekends_stand.contains(&day.year());
        self.works(day) || (stands && !self.off.contains(&day))
    }

    /// Whether people work on a day.
    #[must_use]
    pub fn works(&self, day: Date) -> bool {
        let weekend = day.weekday().to_monday_one_offset() > 5;
        self.work.contains(&day) || !(weekend || self.off.contains(&day))
    }

    /// How many working days there are after a day up to another one, both as `2026-03-14`; none where the second is not later. Nothing for
    /// what is no day.
    #[must_use]
    pub fn worked(&self, from: &str, to: &str) -> Option<i64> {
        /// More are not counted one by one.
        const YEARS_MAX: i32 = 10;
        let (mut day, to): (Date, Date) = (from.parse().ok()?, to.parse().ok()?);
        let to = to.min(day.saturating_add(YEARS_MAX.years()));
        let mut worked = 0;
        while day < to {
            day = day.tomorrow().ok()?;
            worked += i64::from(self.works(day));
        }
        Some(worked)
    }

    /// Whether there is a notice for a day's year.
    #[must_use]
    pub fn knows(&self, day: Date) -> bool {
        self.years.contains(&day.year())
    }

    /// The last day of a period that began on a day. Days of suspension are added as the period counts: working days to
    /// one of working days, days to the others.
    #[must_use]
    pub fn due(&self, from: Date, length: Length, suspended: &[Suspension]) -> Due {
        let mut estimated = false;
        let mut works = |day: Date| {
            estimated |= !self.knows(day);
            self.works(day)
        };
        let halted = |day: Date| {
            let mut all = suspended.iter();
            all.any(|it| (it.from..=it.until).contains(&day))
        };
        let mut on = from;
        match length {
            Length::WorkingDays(number) => {
                let mut left = number;
                while left > 0 && on < Date::MAX {
                    on = next(on);
                    if works(on) && !halted(on) {
                        left -= 1;
                    }
                }
            }
            Length::Days(_) | Length::Months(_) => {
                let end = length.ends(from).unwrap_or(Date::MAX);
                let days = from.until(end).map_or(0, |span| span.get_days());
                let mut left = days;
                while left > 0 && on < Date::MAX {
                    on = next(on);
                    if !halted(on) {
                        left -= 1;
                    }
                }
            }
        }
        while on < Date::MAX && (!(works(on) || self.may_end(on)) || halted(on)) {
            on = next(on);
        }
        Due { on, estimated }
    }
}

/// The day after; the last of all days has none.
fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap_or(Date::MIN)
    }

    fn due(from: &str, length: &str) -> String {
        let length = length.parse().unwrap_or(Length::Days(0));
        Calendar::standard().due(day(from), length, &[]).to_string()
    }

    #[test]
    fn the_shipped_table_is_read() -> Result<(), CalendarError> {
        let calendar = Calendar::parse(include_str!("deadline/holidays.toml"))?;
        assert!(calendar.knows(day("2026-07-01")) && !calendar.knows(day("2027-01-01")));
        // A make-up day, a day off on a weekday, a plain weekend, a plain weekday.
        assert!(calendar.works(day("2026-02-28")) && !calendar.works(day("2026-02-16")));
        assert!(!calendar.works(day("2026-03-07")) && calendar.works(day("2026-03-09")));
        for bad in [
            "[[year]]\nyear = 2026\nsource = \"x\"\noff = [[\"2027-01-01\", \"2027-01-02\"]]\nwork = []",
            "[[year]]\nyear = 2026\nsource = \"x\"\noff = []\nwork = [\"2026-02-30\"]",
            "[[year]]\nyear = 2026",
            "year = 1",
        ] {
            assert!(Calendar::parse(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    /// The domain's table.
    #[test]
    fn periods_end_where_the_law_says() {
        assert_eq!(due("2026-03-16", "3m"), "2026-06-16");
        // The 28th is a Sunday.
        assert_eq!(due("2026-11-30", "3m"), "2027-03-01");
        assert_eq!(due("2026-03-02", "5w"), "2026-03-09");
        // A Saturday on which people work.
        assert_eq!(due("2026-01-31", "1m"), "2026-02-28");
        assert_eq!(due("2026-03-24", "3m"), "2026-06-24");
        assert_eq!(due("2026-03-16", "30d"), "2026-04-15");
        assert_eq!(due("2026-03-15", "30d"), "2026-04-14");
    }

    #[test]
    fn days_off_are_passed_over_and_make_up_days_count() {
        // The spring festival: from the 13th, the 14th is a make-up day and the next working day is the 24th.
        assert_eq!(due("2026-02-13", "1w"), "2026-02-14");
        assert_eq!(due("2026-02-13", "2w"), "2026-02-24");
        assert_eq!(due("2026-09-24", "10d"), "2026-10-08");
        assert_eq!(due("2026-03-10", "0d"), "2026-03-10");
        assert_eq!(due("2026-03-07", "0w"), "2026-03-09");
    }

    #[test]
    fn an_ordinary_weekend_ends_a_period_where_the_network_says_so_and_a_holiday_never_does() {
        let mut calendar = Calendar::standard().clone();
        let due = |calendar: &Calendar, from: &str, length: &str| {
            let length = length.parse().unwrap_or(Length::Days(0));
            calendar.due(day(from), length, &[]).to_string()
        };
        // A Sunday, of a year of which the network says so and of one of which it does not.
        assert_eq!(due(&calendar, "2026-11-30", "3m"), "2027-03-01");
        calendar.let_weekends_stand(2027);
        assert_eq!(due(&calendar, "2026-11-30", "3m"), "2027-02-28");
        assert_eq!(due(&calendar, "2026-04-10", "1m"), "2026-05-11");
        // A Saturday of the spring festival is no ordinary one, and working days are counted as ever.
        calendar.let_weekends_stand(2026);
        assert_eq!(due(&calendar, "2026-01-21", "1m"), "2026-02-24");
        assert_eq!(due(&calendar, "2026-05-15", "1w"), "2026-05-18");
    }

    #[test]
    fn a_year_that_is_published_stands_beside_what_was_known() {
        let mut calendar = Calendar::standard().clone();
        let off = vec![day("2027-01-04"), day("2026-12-31")];
        calendar.publish(2027, off, vec![day("2027-01-03")]);
        let due =
            |calendar: &Calendar, from: &str| calendar.due(day(from), Length::WorkingDays(1), &[]);
        // A Sunday on which people work, then a Monday off; what is said of another year is no matter of this one.
        assert_eq!(due(&calendar, "2027-01-02").on, day("2027-01-03"));
        assert_eq!(due(&calendar, "2027-01-03").on, day("2027-01-05"));
        assert_eq!(due(&calendar, "2026-12-30").on, day("2026-12-31"));
        assert!(!due(&calendar, "2027-01-03").estimated);
        // One day more takes none away, and people work where anybody says so.
        calendar.publish(2027, vec![day("2027-01-05")], vec![day("2027-01-04")]);
        assert_eq!(due(&calendar, "2027-01-03").on, day("2027-01-04"));
        assert_eq!(due(&calendar, "2027-01-04").on, day("2027-01-06"));
        // A year of which nothing is said is not known for it.
        calendar.publish(2028, vec![day("2029-01-01")], Vec::new());
        assert!(due(&calendar, "2028-03-01").estimated);
    }

    #[test]
    fn what_is_not_known_is_estimated_and_said_to_be() {
        let calendar = Calendar::standard();
        let of = |from: &str| calendar.due(day(from), Length::WorkingDays(5), &[]);
        assert!(!of("2026-12-21").estimated);
        assert!(of("2026-12-30").estimated);
        assert_eq!(of("2026-12-30").to_string(), "2027-01-06");
        // What the last days are is not what decides a period of days, but whether they are off.
        assert!(
            calendar
                .due(day("2026-12-20"), Length::Days(15), &[])
                .estimated
        );
    }

    #[test]
    fn time_that_did_not_run_is_added() {
        let halt = Suspension {
            from: day("2026-03-04"),
            until: day("2026-03-06"),
        };
        let of = |length| {
            Calendar::standard()
                .due(day("2026-03-02"), length, &[halt])
                .to_string()
        };
        assert_eq!(of(Length::WorkingDays(5)), "2026-03-12");
        assert_eq!(of(Length::Days(10)), "2026-03-16");
        // One that begins on the last day moves it.
        let last = Suspension {
            from: day("2026-03-12"),
            until: day("2026-03-12"),
        };
        let due = Calendar::standard().due(day("2026-03-02"), Length::Days(10), &[last]);
        assert_eq!(due.to_string(), "2026-03-13");
    }

    #[test]
    fn lengths_are_read_and_nothing_runs_for_ever() {
        assert_eq!("15d".parse(), Ok(Length::Days(15)));
        for bad in ["", "d", "15", "-1d", "99999d", "5年", "1.5m"] {
            assert!(bad.parse::<Length>().is_err(), "{bad}");
        }
        let end = Calendar::standard().due(Date::MAX, Length::WorkingDays(u16::MAX), &[]);
        assert_eq!(end.on, Date::MAX);
        let always = Suspension {
            from: Date::MIN,
            until: Date::MAX,
        };
        let never = Calendar::standard().due(day("9999-12-01"), Length::Days(3), &[always]);
        assert_eq!(never.on, Date::MAX);
    }
}
