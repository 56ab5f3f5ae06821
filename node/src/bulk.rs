//! One step for several records at once, which can be taken back until it is carried out.
//!
//! What was ordered is in the store before anybody is told so, and is carried out some seconds later in one transaction, each
//! record judged then as a single step is: what has moved on meanwhile is left out and named. Until then nothing has happened and
//! taking it back leaves no trace; afterwards a step can only be followed by another.
//!
//! Rejected: carrying it out at once and reversing it. A signed step cannot be unsaid, and the hub has seen it within the second.

use std::collections::BTreeSet;

use lianxin_protocol::log::RecordId;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::accounts;
use crate::actor::Actor;
use crate::drafts;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::records;
use crate::records::save::{self, Author};
use crate::requests;

/// How long it can be taken back, in milliseconds.
pub const GRACE_MS: u64 = 10_000;
/// Records of one.
pub const RECORDS_MAX: usize = 100;
/// How many one account may have open or unread.
const OPEN_MAX: usize = 200;

/// One step for several records.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// Its id.
    pub id: String,
    /// The step.
    pub event: String,
    /// What it carries.
    pub input: Value,
    /// The records.
    pub records: Vec<RecordId>,
    /// When it is carried out, in Unix milliseconds.
    pub due_ms: u64,
    /// The records that it was not possible for, once it was carried out, each with the text of a code.
    pub refused: Option<Vec<(RecordId, String)>>,
    account: String,
}

impl Bulk {
    /// For how long it can be taken back. Where the clock was set back since it was ordered, it waits no longer for that.
    #[must_use]
    pub fn rests_ms(&self, now_ms: u64) -> u64 {
        let rests = self.due_ms.saturating_sub(now_ms);
        if rests > GRACE_MS { 0 } else { rests }
    }
}

/// Whether a step could be taken on a record now.
///
/// # Errors
/// What [`requests::act`] would refuse it with.
pub fn judge(
    connection: &Connection,
    journal: &mut Journal,
    record: &RecordId,
    step: (&str, &Value),
    (actor, now_ms): (&Actor, u64),
) -> Result<()> {
    let key = records::find(connection, &record.hyphenated())?;
    let asked = requests::of_record(connection, key)?;
    if requests::is_open_for(&asked, step.0) {
        let message = "the hub has been asked for this step already";
        return Err(Error::new(Code::NothingToDo, message));
    }
    save::ready(connection, journal, key, step, (actor, now_ms)).map(drop)
}

/// Orders a step for several records, under an id that its page chose: ordered twice is once.
///
/// # Errors
/// [`Code::TooLarge`] for too many records, or too many that are open or were not read yet.
pub fn order(
    connection: &Connection,
    account: &str,
    (id, event): (&str, &str),
    (input, records): (&Value, &[RecordId]),
    now_ms: u64,
) -> Result<()> {
    let open = of_account(connection, account)?;
    if records.len() > RECORDS_MAX || open.len() >= OPEN_MAX || !drafts::is_id(id) {
        let message = format!("a step is taken on {RECORDS_MAX} records at once at most");
        return Err(Error::new(Code::TooLarge, message));
    }
    let ids: Vec<_> = records.iter().map(RecordId::hyphenated).collect();
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO bulks (id, account, event, input, records, due_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            id,
            account,
            event,
            input.to_string(),
            serde_json::to_string(&ids).unwrap_or_default(),
            now_ms + GRACE_MS,
        ])?;
    Ok(())
}

/// Whether this order was given, for these records. One that was carried out for all of them is forgotten.
///
/// # Errors
/// [`Code::OtherContent`] if something else was ordered under the id.
pub fn is_ordered(
    connection: &Connection,
    account: &str,
    (id, event): (&str, &str),
    records: &[RecordId],
) -> Result<bool> {
    let known = of_account(connection, account)?;
    match known.into_iter().find(|bulk| bulk.id == id) {
        None => Ok(false),
        // What was not possible then is not in it.
        Some(bulk) if bulk.event == event && bulk.records.iter().all(|it| records.contains(it)) => {
            Ok(true)
        }
        Some(_) => {
            let message = "something else was ordered under this id before";
            Err(Error::new(Code::OtherContent, message))
        }
    }
}

/// How many records wait for a step that was ordered for several and not taken yet.
///
/// # Errors
/// The store cannot be read.
pub fn ordered_for(connection: &Connection, event: &str) -> Result<usize> {
    let open = open(connection)?.into_iter();
    let open = open.filter(|bulk| bulk.event == event);
    Ok(open.map(|bulk| bulk.records.len()).sum())
}

/// Takes one back. Says whether it could: not once it was carried out.
///
/// # Errors
/// The store cannot be written.
pub fn take_back(connection: &Connection, account: &str, id: &str) -> Result<bool> {
    let gone = connection
        .prepare_cached("DELETE FROM bulks WHERE id = ?1 AND account = ?2 AND refused IS NULL")?
        .execute([id, account])?;
    Ok(gone > 0)
}

/// What it was not possible for has been read.
///
/// # Errors
/// The store cannot be written.
pub fn read(connection: &Connection, account: &str, id: &str) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM bulks WHERE id = ?1 AND account = ?2 AND refused IS NOT NULL")?
        .execute([id, account])?;
    Ok(())
}

/// Those of an account, in the order in which they are carried out.
///
/// # Errors
/// The store cannot be read.
pub fn of_account(connection: &Connection, account: &str) -> Result<Vec<Bulk>> {
    let sql = "SELECT id, account, event, input, records, due_ms, refused FROM bulks
               WHERE account = ?1 ORDER BY due_ms, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([account], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The records for which a step is ordered that was not carried out yet.
///
/// # Errors
/// The store cannot be read.
pub fn ordered(connection: &Connection) -> Result<BTreeSet<RecordId>> {
    let open = open(connection)?.into_iter();
    Ok(open.flat_map(|bulk| bulk.records).collect())
}

/// For how long the next is not to be carried out yet, in milliseconds.
///
/// # Errors
/// The store cannot be read.
pub fn next_in(connection: &Connection, now_ms: u64) -> Result<Option<u64>> {
    let open = open(connection)?.into_iter();
    Ok(open.map(|bulk| bulk.rests_ms(now_ms)).min())
}

/// Those that were not carried out yet, in their order.
fn open(connection: &Connection) -> Result<Vec<Bulk>> {
    let sql = "SELECT id, account, event, input, records, due_ms, refused FROM bulks
               WHERE refused IS NULL ORDER BY due_ms, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Carries out what is due. Those that were possible for all their records are gone then.
///
/// # Errors
/// The store cannot be read or written; the transaction must be rolled back, and they stay due.
pub fn carry_out(connection: &Connection, journal: &mut Journal, now_ms: u64) -> Result<()> {
    let due = open(connection)?.into_iter();
    for bulk in due.filter(|bulk| bulk.rests_ms(now_ms) == 0) {
        let account = accounts::find(connection, &bulk.account)?;
        let mut refused = Vec::new();
        for record in &bulk.records {
            let taken = match &account {
                Some(account) => {
                    let actor = Actor::of(account, journal);
                    let author = Author { actor, now_ms };
                    let step = (bulk.event.as_str(), &bulk.input);
                    records::find(connection, &record.hyphenated())
                        .and_then(|key| requests::act(connection, journal, key, step, &author))
                        .map(drop)
                }
                None => Err(Error::new(Code::LoginRefused, "this account is gone")),
            };
            match taken {
                Ok(()) => {}
                Err(error) if error.leaves_nothing() => {
                    refused.push((record.hyphenated(), error.code().text()));
                }
                Err(error) => return Err(error),
            }
        }
        if refused.is_empty() {
            connection
                .prepare_cached("DELETE FROM bulks WHERE id = ?1")?
                .execute([&bulk.id])?;
        } else {
            let refused = serde_json::to_string(&refused).unwrap_or_default();
            connection
                .prepare_cached("UPDATE bulks SET refused = ?2, input = '{}' WHERE id = ?1")?
                .execute([&bulk.id, &refused])?;
        }
    }
    Ok(())
}

fn row(row: &Row<'_>) -> rusqlite::Result<Bulk> {
    let text = |at| row.get::<_, String>(at);
    let ids: Vec<String> = serde_json::from_str(&text(4)?).unwrap_or_default();
    let refused: Option<String> = row.get(6)?;
    let refused: Option<Vec<(String, String)>> =
        refused.map(|it| serde_json::from_str(&it).unwrap_or_default());
    Ok(Bulk {
        id: text(0)?,
        account: text(1)?,
        event: text(2)?,
        input: serde_json::from_str(&text(3)?).unwrap_or_default(),
        records: ids.iter().filter_map(|id| RecordId::parse(id)).collect(),
        due_ms: row.get(5)?,
        refused: refused.map(|refused| {
            let refused = refused.into_iter();
            refused
                .filter_map(|(id, code)| Some((RecordId::parse(&id)?, code)))
                .collect()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_waits_no_longer_for_a_clock_that_was_set_back() {
        let bulk = Bulk {
            id: String::new(),
            account: String::new(),
            event: "accept".to_owned(),
            input: Value::Null,
            records: Vec::new(),
            due_ms: 100_000,
            refused: None,
        };
        let ordered_at = bulk.due_ms - GRACE_MS;
        assert_eq!(bulk.rests_ms(ordered_at), GRACE_MS);
        assert_eq!(bulk.rests_ms(bulk.due_ms - 1), 1);
        assert_eq!(bulk.rests_ms(bulk.due_ms), 0);
        assert_eq!(bulk.rests_ms(bulk.due_ms + 1), 0);
        assert_eq!(bulk.rests_ms(ordered_at - 1), 0);
        assert_eq!(bulk.rests_ms(0), 0);
    }
}
