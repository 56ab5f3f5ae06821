//! How many records stand where, counted as their rows are written: a page that says so costs the same however many there are.
//!
//! Rejected: triggers of the database. They would count as well what `reproject` copies, a row at a time.

use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::SpaceId;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Result;
use crate::journal::{Basis, basis};

/// A row as it is, and where it is counted.
#[derive(Debug)]
pub(crate) struct Counted {
    /// The record.
    pub(crate) record: RecordId,
    /// What its row would be made from now.
    pub(crate) basis: Basis,
    /// Nothing has been said of it in any list yet.
    pub(crate) is_new: bool,
    space: [u8; 32],
    /// Kind and folded status, where it counts.
    place: Option<(String, String)>,
}

impl Counted {
    /// Reads it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn of(connection: &Connection, key: i64) -> Result<Self> {
        let sql = concat!(
            "SELECT record, space, held IS NULL, kind, status, ",
            basis!(),
            " FROM records WHERE id = ?1"
        );
        let mut statement = connection.prepare_cached(sql)?;
        let row = statement.query_row([key], |row| {
            let counts: bool = row.get(2)?;
            let (kind, status): (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
            let is_new = kind.is_none();
            let place = kind.zip(status);
            Ok(Self {
                is_new,
                record: RecordId(row.get(0)?),
                space: row.get(1)?,
                basis: Basis::read(row, 5)?,
                place: place.filter(|(kind, _)| counts && !kind.is_empty()),
            })
        });
        Ok(row?)
    }

    /// Counts it as one of this kind in this folded status, if it counts from now on, before its row is written.
    ///
    /// # Errors
    /// The store cannot be written.
    pub(crate) fn move_to(
        &self,
        connection: &Connection,
        place: Option<(&str, &str)>,
    ) -> Result<()> {
        let before = self.place.as_ref();
        let before = before.map(|(kind, status)| (kind.as_str(), status.as_str()));
        let after = place.filter(|(kind, _)| !kind.is_empty());
        if before == after {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO tallies (kind, status, space, count) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (kind, status, space) DO UPDATE SET count = count + excluded.count",
        )?;
        for (place, by) in [(before, -1), (after, 1)] {
            if let Some((kind, status)) = place {
                statement.execute(params![kind, status, self.space, by])?;
                statement.execute(params![kind, status, ALL, by])?;
            }
        }
        Ok(())
    }
}

/// In the place of a space: all of them together.
const ALL: [u8; 0] = [];

/// How many records of a kind are in a folded status, in all spaces together or in one.
///
/// # Errors
/// The store cannot be read.
pub fn count(
    connection: &Connection,
    (kind, status): (&str, &str),
    space: Option<&SpaceId>,
) -> Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT count FROM tallies WHERE kind = ?1 AND status = ?2 AND space = ?3",
    )?;
    let space = space.map_or(ALL.as_slice(), |space| &space.0);
    let count = statement.query_row(params![kind, status, space], |row| row.get(0));
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
