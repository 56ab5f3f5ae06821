//! The only reader of the operating system's clock and random source.
//!
//! Everything else takes time and randomness as arguments, so that a simulator can give them. No
//! protocol decision reads a wall clock; the hub's is the legal time of receipt.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Code, Error, Result};

/// Unix time in milliseconds; 0 for a clock set before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the clock")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that only goes forward, for timeouts.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    start: Instant,
}

impl Monotonic {
    /// Starts at 0.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this module is the one that reads the clock")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Random bytes from the operating system.
///
/// # Errors
/// The operating system has none to give; nothing weaker is used instead.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
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

/// The Beijing calendar year of a time: numbers carry it (China Standard Time is UTC+8 all year).
#[must_use]
pub fn beijing_year(unix_ms: u64) -> u16 {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let year = jiff::Timestamp::from_millisecond(ms).map(|at| at.to_zoned_datetime(zone).year());
    year.ok().and_then(|year| u16::try_from(year).ok()).unwrap_or(1970)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_turns_at_midnight_in_beijing() {
        let new_year = 1_767_196_800_000; // 2025-12-31T16:00:00Z
        assert_eq!(beijing_year(new_year), 2026);
        assert_eq!(beijing_year(new_year - 1), 2025);
        assert_eq!(rfc3339(new_year), "2025-12-31T16:00:00.000Z");
    }
}
