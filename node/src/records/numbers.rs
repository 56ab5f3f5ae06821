//! Numbers that people see: the 登记编号 that a device gives without asking, those under another number, and the
//! hub's gapless 办理流水号. None is ever given twice.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::Kind;
use lianxin_protocol::number::{DeviceCode, KindCode, Number};
use lianxin_protocol::space::SpaceId;
use lianxin_protocol::text;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Listed;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::store;

/// Field and counter of the hub's case numbers.
pub(super) const HUB_NO: &str = "hub_no";
/// Counter of the numbers that were left out, of every kind; no kind has this code.
const SKIPPED: &str = "skipped";

/// What the records of one save share.
#[derive(Default)]
pub(super) struct Series {
    /// Records planned.
    pub(super) made: u16,
    /// Numbers under other numbers: all that are given, stored or not.
    under: BTreeMap<String, BTreeSet<u32>>,
    /// Entries that the planned saves will write, by space, in the order of planning.
    entries: BTreeMap<SpaceId, u64>,
}

impl Series {
    /// Plans a save of so many entries in a space, and gives how many are planned there before it.
    pub(super) fn planned(&mut self, space: SpaceId, entries: u64) -> u64 {
        let planned = self.entries.entry(space).or_default();
        let before = *planned;
        *planned += entries;
        before
    }
}

/// Whether the hub numbers this step of a kind, so that it is taken there or asked for.
#[must_use]
pub fn is_numbered(kind: &Kind, event: &str) -> bool {
    let step = kind.transition(event);
    step.is_some_and(|step| step.data.iter().any(|field| field.key == HUB_NO))
}

/// The next number under another: `…-71/Z1`. Only the hub's are bare; another device adds its letters, so that
/// two of the sub-district's computers do not give the same one while they are apart.
pub(super) fn under_number(
    connection: &Connection,
    journal: &Journal,
    parent: &Listed,
    suffix: &str,
    series: &mut Series,
) -> Result<Option<String>> {
    let Some(number) = &parent.number else {
        return Ok(None);
    };
    let under = format!("{number}/{suffix}");
    next_under(connection, journal, (&under, parent.space), series).map(Some)
}

/// Another number of the same series, for a record whose own was given to another as well.
pub(super) fn another(
    connection: &Connection,
    journal: &mut Journal,
    (number, space): (&str, SpaceId),
    now_ms: u64,
) -> Result<Option<String>> {
    if let Some((above, under)) = number.split_once('/') {
        let suffix = under.trim_end_matches(|it: char| it.is_ascii_uppercase());
        let suffix = suffix.trim_end_matches(|it: char| it.is_ascii_digit());
        let under = format!("{above}/{suffix}");
        let mut series = Series::default();
        return next_under(connection, journal, (&under, space), &mut series).map(Some);
    }
    match Number::parse(number) {
        Ok(number) => {
            let prefix = number.kind().to_string();
            next_number(connection, journal, &prefix, now_ms).map(Some)
        }
        Err(_) => Ok(None),
    }
}

fn next_under(
    connection: &Connection,
    journal: &Journal,
    (under, space): (&str, SpaceId),
    series: &mut Series,
) -> Result<String> {
    if !series.under.contains_key(under) {
        // ':' follows '9', and letters come behind it: everything under this suffix.
        let mut statement = connection.prepare_cached(
            "SELECT number FROM records WHERE number >= ?1 AND number < ?2 AND space = ?3",
        )?;
        let range = params![under, format!("{under}:"), space.0];
        let given = statement.query_map(range, |row| row.get::<_, String>(0))?;
        let mut taken = BTreeSet::new();
        for given in given {
            let given = given?;
            let digits = given.strip_prefix(under).unwrap_or_default();
            let digits = digits.trim_end_matches(|c: char| c.is_ascii_uppercase());
            taken.extend(digits.parse::<u32>());
        }
        series.under.insert(under.to_owned(), taken);
    }
    let taken = series.under.entry(under.to_owned()).or_default();
    let next = next_of(taken);
    taken.insert(next);
    let member = journal.authority().members().get(&journal.identity().key());
    let code = member.and_then(|member| member.grant.device_code.parse::<DeviceCode>().ok());
    let code = code.filter(|_| journal.identity().authority.is_none());
    let letters = code.map(DeviceCode::letters).unwrap_or_default();
    Ok(format!("{under}{next}{letters}"))
}

/// The number after the last; if a forged one leaves none, the first that nobody has.
fn next_of(taken: &BTreeSet<u32>) -> u32 {
    let last = taken.last().copied().unwrap_or_default();
    let free = || (1..=u32::MAX).find(|number| !taken.contains(number));
    last.checked_add(1).or_else(free).unwrap_or(u32::MAX)
}

/// The next 登记编号 of a kind on this device. The counter moves in the same transaction.
pub(super) fn next_number(
    connection: &Connection,
    journal: &mut Journal,
    prefix: &str,
    now_ms: u64,
) -> Result<String> {
    let meta = |key| -> Result<Option<String>> {
        Ok(store::meta(connection, key)?.and_then(|value| String::from_utf8(value).ok()))
    };
    let member = journal.authority().members().get(&journal.identity().key());
    let device = match member {
        Some(member) => Some(member.grant.device_code.clone()),
        None => meta("device_code")?,
    };
    let (_, district) = journal.authority().names();
    let district = if district.is_empty() {
        meta("district")?
    } else {
        Some(district.to_owned())
    };
    let (Some(device), Some(district)) = (device, district) else {
        return Err(Error::new(
            Code::NotEnrolled,
            "the hub has not told this device's code",
        ));
    };
    let year = clock::beijing_year(now_ms);
    skip_numbers(connection, journal)?;
    // What has come back may have been given by this device under a counter that the store has forgotten.
    let mut given = connection.prepare_cached("SELECT 1 FROM records WHERE number = ?1")?;
    loop {
        let counter = count(connection, journal, prefix, year)?;
        let number = || {
            let kind: KindCode = prefix.parse()?;
            let device: DeviceCode = device.parse()?;
            Number::new(kind, district.parse()?, device, year, counter)
        };
        let number = number().map(|number| number.to_string()).map_err(|error| {
            let message = "a number cannot be made for this device";
            Error::because(Code::Internal, message, error)
        })?;
        if !given.exists([&number])? {
            return Ok(number);
        }
    }
}

/// A 办理流水号 as the hub gives it.
pub(super) struct HubNumber {
    pub(super) text: String,
    year: u16,
    count: u32,
}

impl HubNumber {
    fn new(journal: &Journal, year: u16, count: u32) -> Self {
        let (name, _) = journal.authority().names();
        let text = format!("{name}〔{year}〕第{count:04}号");
        Self { text, year, count }
    }

    /// Reads one that this network's hub gave.
    fn parse(journal: &Journal, text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once('〔')?;
        let (year, count) = rest.strip_suffix('号')?.split_once("〕第")?;
        let number = Self::new(journal, year.parse().ok()?, count.parse().ok()?);
        (number.text == text).then_some(number)
    }

    /// Gives it.
    pub(super) fn give(&self, connection: &Connection, journal: &mut Journal) -> Result<()> {
        journal.give_number(HUB_NO, self.year, self.count);
        self.take(connection)
    }

    /// Counts it as given.
    fn take(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO counters (kind, year, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind, year) DO UPDATE SET value = max(value, excluded.value)",
        )?;
        statement.execute(params![HUB_NO, self.year, self.count])?;
        Ok(())
    }
}

/// The next 办理流水号, gapless, given at the hub alone. It is not taken yet.
pub(super) fn hub_number(
    connection: &Connection,
    journal: &Journal,
    now_ms: u64,
) -> Result<HubNumber> {
    let year = clock::beijing_year(now_ms);
    let mut statement =
        connection.prepare_cached("SELECT value FROM counters WHERE kind = ?1 AND year = ?2")?;
    let last: Option<u32> = statement
        .query_row(params![HUB_NO, year], |row| row.get(0))
        .optional()?;
    let last = last
        .unwrap_or_default()
        .max(journal.last_number(HUB_NO, year));
    let next = last.saturating_add(1);
    Ok(HubNumber::new(journal, year, next))
}

/// At the hub: the first and the last of the next case numbers, if so many are given after so many others. None are taken, and
/// elsewhere there are none.
///
/// # Errors
/// The store cannot be read.
pub fn case_numbers_ahead(
    connection: &Connection,
    journal: &Journal,
    (before, count): (usize, usize),
    now_ms: u64,
) -> Result<Option<(String, String)>> {
    let whole = |it: usize| u32::try_from(it).unwrap_or_default();
    let (before, more) = (whole(before), whole(count));
    if journal.identity().authority.is_none() || more == 0 {
        return Ok(None);
    }
    let next = hub_number(connection, journal, now_ms)?;
    let first = HubNumber::new(journal, next.year, next.count.saturating_add(before));
    let last = HubNumber::new(journal, first.year, first.count.saturating_add(more - 1));
    Ok(Some((first.text, last.text)))
}

/// At the hub: counts case numbers that stand in a record as given. Those that a restored hub gave after its
/// backup come back with the records, and must not be given again.
pub(super) fn take_numbers<'a>(
    connection: &Connection,
    journal: &Journal,
    numbers: impl Iterator<Item = &'a str>,
) -> Result<()> {
    if journal.identity().authority.is_none() {
        return Ok(());
    }
    for text in numbers {
        if let Some(number) = HubNumber::parse(journal, text) {
            number.take(connection)?;
        }
    }
    Ok(())
}

fn count(connection: &Connection, journal: &mut Journal, kind: &str, year: u16) -> Result<u32> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO counters (kind, year, value)
         SELECT ?1, ?2, 1 + max(?4, coalesce((SELECT value FROM counters WHERE kind = ?3), 0)) WHERE true
         ON CONFLICT (kind, year) DO UPDATE SET value = 1 + max(value, ?4) RETURNING value",
    )?;
    let last = journal.last_number(kind, year);
    let number = statement.query_row(params![kind, year, SKIPPED, last], |row| row.get(0))?;
    journal.give_number(kind, year, number);
    Ok(number)
}

/// A store that went back in time has forgotten which numbers it gave. It leaves out one for each entry that
/// it lost, which no record had fewer than: a gap harms nobody, a number given twice sends a resident to
/// somebody else's record. Case numbers are not concerned; see [`take_numbers`].
fn skip_numbers(connection: &Connection, journal: &Journal) -> Result<()> {
    let lost = journal.fallen_behind(connection)?;
    let skipped: Option<u64> = connection
        .prepare_cached("SELECT value FROM counters WHERE kind = ?1")?
        .query_row([SKIPPED], |row| row.get(0))
        .optional()?;
    let more = lost.saturating_sub(skipped.unwrap_or_default());
    if more == 0 {
        return Ok(());
    }
    let mut statement = connection
        .prepare_cached("UPDATE counters SET value = value + ?1 WHERE kind NOT IN (?2, ?3)")?;
    statement.execute(params![more, HUB_NO, SKIPPED])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO counters (kind, year, value) VALUES (?1, 0, ?2)
         ON CONFLICT (kind, year) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute(params![SKIPPED, lost])?;
    Ok(())
}

/// A number as it is stored, however it was typed; any other reference as it is.
pub(super) fn same_number(text: &str) -> String {
    numbered(text).unwrap_or_else(|| text.to_owned())
}

/// Reads a number, or one under it: `…-71/Z1`.
pub(super) fn numbered(text: &str) -> Option<String> {
    // Most of what is asked about is a name, and no number is without figures, whatever their width.
    if !text.chars().any(char::is_numeric) {
        return None;
    }
    // The key of the slash gives another mark under a Chinese input method.
    let text = text::plain(text).replace('、', "/");
    let (number, under) = match text.split_once('/') {
        Some((number, under)) => (number, Some(text::code(under))),
        None => (text.as_str(), None),
    };
    let number = Number::parse(number).ok()?;
    Some(match under {
        Some(under) => format!("{number}/{under}"),
        None => number.to_string(),
    })
}

/// Notes whether the number of a record that has just been written is that of another too, both of which count.
///
/// # Errors
/// The store cannot be written; the transaction must be rolled back.
pub(super) fn note_twice(
    connection: &Connection,
    journal: &mut Journal,
    number: &str,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM (SELECT 1 FROM records WHERE number = ?1 AND held IS NULL LIMIT 2)",
    )?;
    let several = statement.query_row([number], |row| row.get::<_, u32>(0))? > 1;
    let sql = if several {
        "INSERT OR IGNORE INTO twice (number) VALUES (?1)"
    } else if journal.numbers_twice() > 0 {
        "DELETE FROM twice WHERE number = ?1"
    } else {
        return Ok(());
    };
    if connection.prepare_cached(sql)?.execute([number])? > 0 {
        journal.count_twice(connection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_the_last_and_a_forged_one_takes_none_away() {
        assert_eq!(next_of(&BTreeSet::new()), 1);
        assert_eq!(next_of(&[1, 3].into()), 4);
        let mut taken: BTreeSet<_> = [1, 2, u32::MAX].into();
        for next in [3, 4] {
            assert_eq!(next_of(&taken), next);
            taken.insert(next);
        }
    }
}
