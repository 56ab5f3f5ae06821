//! The only reader of the operating system's clock and random source.
//!
//! Everything else asks here, so that a simulation can play both ([`Played`]). No
//! protocol decision reads a wall clock; the hub's is the legal time of receipt.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lianxin_protocol::hash;

use crate::error::{Code, Error, Result};

const BEIJING: jiff::tz::Offset = jiff::tz::offset(8);

/// Unix time in milliseconds; 0 for a clock set before 1970.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that reads the clock"
)]
pub fn now_ms() -> u64 {
    if let Some(played) = play(|source| {
        source.now_ms += 1;
        source.now_ms
    }) {
        return played;
    }
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock of a store: what commands take for the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wall {
    /// The computer's.
    #[default]
    System,
    /// It stands at this many milliseconds of Unix time until a simulation sets it anew.
    Set(u64),
}

impl Wall {
    /// Unix time in milliseconds.
    #[must_use]
    pub fn now_ms(self) -> u64 {
        match self {
            Self::System => now_ms(),
            Self::Set(unix_ms) => unix_ms,
        }
    }
}

/// A clock that only goes forward, for timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    start: Instant,
}

impl Monotonic {
    /// Starts at 0.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the one that reads the clock"
    )]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock and a random source that follow from a seed, for the thread that holds this: what a simulation does there
/// it does again byte for byte. The clock goes on by a millisecond with each reading. Where several are held the one
/// that began last is played. Only code of this process can begin one: no option, file or peer reaches it.
#[derive(Debug)]
pub struct Played {
    /// It is the thread's.
    here: PhantomData<*const ()>,
}

struct Source {
    seed: [u8; 8],
    drawn: u64,
    now_ms: u64,
    holders: u32,
}

static BLOCKS: hash::Context = hash::Context::new("lianxin 1 played randomness");

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

fn play<R>(work: impl FnOnce(&mut Source) -> R) -> Option<R> {
    SOURCE.with_borrow_mut(|source| source.as_mut().map(work))
}

impl Played {
    /// Begins at this Unix time.
    #[must_use]
    pub fn begin(seed: u64, unix_ms: u64) -> Self {
        let holders = play(|source| source.holders).unwrap_or_default() + 1;
        let begun = Source {
            seed: seed.to_be_bytes(),
            drawn: 0,
            now_ms: unix_ms,
            holders,
        };
        SOURCE.set(Some(begun));
        Self { here: PhantomData }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        SOURCE.with_borrow_mut(|held| {
            if let Some(source) = held {
                source.holders -= 1;
                if source.holders == 0 {
                    *held = None;
                }
            }
        });
    }
}

/// Random bytes from the operating system.
///
/// # Errors
/// The operating system has none to give; nothing weaker is used instead.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one that draws randomness"
)]
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    let played = play(|source| {
        for piece in bytes.chunks_mut(32) {
            source.drawn += 1;
            let block = BLOCKS.hash(&[&source.seed, &source.drawn.to_be_bytes()]);
            for (byte, drawn) in piece.iter_mut().zip(block) {
                *byte = drawn;
            }
        }
    });
    if played.is_some() {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::because(Code::Internal, "cannot draw random bytes", error))?;
    Ok(bytes)
}

/// RFC 3339 in UTC with milliseconds, as JSON output has it.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// Whether a time by a recording device's clock is doubted, by when what it stands in came to the hub: it was ahead of the hub's, or says a
/// time before this program was made, as a clock does whose battery is empty. Both in Unix milliseconds.
#[must_use]
pub const fn is_suspect(recorded_ms: u64, arrived_ms: u64) -> bool {
    /// How far a clock may be ahead.
    const SLACK_MS: u64 = 5 * 60 * 1_000;
    /// 2026-01-01 in Beijing.
    const MADE_MS: u64 = 1_767_196_800_000;
    recorded_ms > arrived_ms.saturating_add(SLACK_MS) || recorded_ms < MADE_MS
}

/// Unix milliseconds of an RFC 3339 time.
#[must_use]
pub fn unix_ms(rfc3339: &str) -> Option<u64> {
    let at: jiff::Timestamp = rfc3339.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// A moment by the clock on the wall in Beijing: China Standard Time is UTC+8 all year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beijing(jiff::civil::DateTime);

impl Beijing {
    /// The Beijing time of a Unix time in milliseconds.
    #[must_use]
    pub fn of(unix_ms: u64) -> Self {
        let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self(BEIJING.to_datetime(at))
    }

    /// Year, month and day.
    #[must_use]
    pub fn date(self) -> (i16, i8, i8) {
        (self.0.year(), self.0.month(), self.0.day())
    }

    /// The moment as a terminal shows it: `2026-03-14 08:40`.
    #[must_use]
    pub fn text(self) -> String {
        let (hour, minute) = self.time();
        format!("{} {hour:02}:{minute:02}", self.iso_date())
    }

    /// The date as fields hold it: `2026-03-14`.
    #[must_use]
    pub fn iso_date(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Hour and minute.
    #[must_use]
    pub fn time(self) -> (i8, i8) {
        (self.0.hour(), self.0.minute())
    }

    /// The day of the week: 1 is Monday, 7 is Sunday.
    #[must_use]
    pub fn weekday(self) -> i8 {
        self.0.weekday().to_monday_one_offset()
    }

    /// Days from this date to another, which is given as `2026-03-14`.
    #[must_use]
    pub fn days_until(self, date: &str) -> Option<i32> {
        let there: jiff::civil::Date = date.parse().ok()?;
        Some((there - self.0.date()).get_days())
    }
}

/// When the Beijing day of a time begins, and when the next one does, in Unix milliseconds.
#[must_use]
pub fn beijing_day(unix_ms: u64) -> (u64, u64) {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    const AHEAD: u64 = 8 * 60 * 60 * 1_000;
    let begins = unix_ms.saturating_add(AHEAD) / DAY * DAY;
    let begins = begins.saturating_sub(AHEAD);
    (begins, begins.saturating_add(DAY))
}

/// The days from 1970 to a date that is given as `2026-03-14`; nothing for what is no date.
#[must_use]
pub fn day_number(date: &str) -> Option<i64> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    Some(i64::from((date - epoch).get_days()))
}

/// When a Beijing day begins that is given as `2026-03-14`, in Unix milliseconds; nothing for what is no date or before 1970.
#[must_use]
pub fn day_begins(date: &str) -> Option<u64> {
    let date: jiff::civil::Date = date.parse().ok()?;
    let begins = BEIJING.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    u64::try_from(begins.as_millisecond()).ok()
}

/// The Beijing calendar year of a time: numbers carry it.
#[must_use]
pub fn beijing_year(unix_ms: u64) -> u16 {
    u16::try_from(Beijing::of(unix_ms).date().0).unwrap_or(1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_doubted_where_it_is_ahead_or_says_a_time_long_ago() {
        let day = |day: &str| day_begins(day).unwrap_or_default();
        let arrived = day("2026-12-01");
        assert!(!is_suspect(arrived, arrived));
        assert!(!is_suspect(arrived + 4 * 60 * 1_000, arrived));
        assert!(is_suspect(arrived + 6 * 60 * 1_000, arrived));
        // A laptop that was away for long is no wrong clock; one that fell back to when it was built is.
        assert!(!is_suspect(day("2026-01-01"), arrived));
        assert!(is_suspect(day("2001-01-01"), arrived));
    }

    #[test]
    fn the_year_turns_at_midnight_in_beijing() {
        let new_year = 1_767_196_800_000; // 2025-12-31T16:00:00Z
        assert_eq!(beijing_year(new_year), 2026);
        assert_eq!(beijing_year(new_year - 1), 2025);
        assert_eq!(rfc3339(new_year), "2025-12-31T16:00:00.000Z");
        assert_eq!(unix_ms("2025-12-31T16:00:00.000Z"), Some(new_year));
        assert_eq!(Beijing::of(new_year).date(), (2026, 1, 1));
        assert_eq!(Beijing::of(new_year).weekday(), 4);
        assert_eq!(day_begins("2026-01-01"), Some(new_year));
        assert_eq!(day_begins("2026-13-01"), None);
        assert_eq!(day_number("1970-01-02"), Some(1));
        assert_eq!(day_number("soon"), None);
        assert_eq!(beijing_day(new_year), (new_year, new_year + 86_400_000));
        assert_eq!(beijing_day(new_year - 1).1, new_year);
        assert_eq!(Beijing::of(new_year - 60_000).time(), (23, 59));
        assert_eq!(Beijing::of(new_year).days_until("2025-12-30"), Some(-2));
        assert_eq!(Beijing::of(new_year).days_until("2026-02-01"), Some(31));
        assert_eq!(Beijing::of(new_year).days_until("soon"), None);
    }
}
