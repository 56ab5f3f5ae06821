//! How many records stand where, counted as their rows are written: a page that says so costs the same however many there are.
//!
//! Rejected: triggers of the database. They would count as well what `reproject` copies, a row at a time.

use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Result;

/// Counts the row of a record otherwise, before it is written: as one of this kind in this folded status if it counts from now on, or not at
/// all.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn recount(
    connection: &Connection,
    record: i64,
    after: Option<(&str, &str)>,
) -> Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT space, held IS NULL, kind, status FROM records WHERE id = ?1")?;
    let row = statement.query_row([record], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    let (space, counts, kind, status): ([u8; 32], bool, Option<String>, Option<String>) = row?;
    let before = kind.as_deref().zip(status.as_deref());
    let before = before.filter(|(kind, _)| counts && !kind.is_empty());
    let after = after.filter(|(kind, _)| !kind.is_empty());
    if before == after {
        return Ok(());
    }
    for (place, by) in [(before, -1), (after, 1)] {
        let Some((kind, status)) = place else {
            continue;
        };
        let mut statement = connection.prepare_cached(
            "INSERT INTO tallies (kind, status, space, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, status, space) DO UPDATE SET count = count + excluded.count",
        )?;
        statement.execute(params![kind, status, space, by])?;
        statement.execute(params![kind, status, ALL, by])?;
    }
    Ok(())
}

/// In the place of a space: all of them together.
const ALL: [u8; 0] = [];

/// How many records of a kind are in a folded status.
///
/// # Errors
/// The store cannot be read.
pub fn count(connection: &Connection, kind: &str, status: &str) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count FROM tallies WHERE kind = ?1 AND status = ?2 AND space = ?3",
    )?;
    let count = statement.query_row(params![kind, status, ALL], |row| row.get(0));
    Ok(count.optional()?.unwrap_or_default())
}

/// How many records of a kind stand where: space, folded status, count.
///
/// # Errors
/// The store cannot be read.
pub fn tally(connection: &Connection, kind: &str) -> Result<Vec<(SpaceId, String, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT space, status, count FROM tallies WHERE kind = ?1 AND space <> ?2 AND count > 0",
    )?;
    let rows = statement.query_map(params![kind, ALL], |row| {
        Ok((SpaceId(row.get(0)?), row.get(1)?, row.get(2)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many records count.
///
/// # Errors
/// The store cannot be read.
pub fn count_all(connection: &Connection) -> Result<u64> {
    let mut statement = connection
        .prepare_cached("SELECT coalesce(sum(count), 0) FROM tallies WHERE space = ?1")?;
    Ok(statement.query_row([ALL], |row| row.get(0))?)
}
