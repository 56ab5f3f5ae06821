//! Makes every projection anew, from the logs alone, and puts it in the place of the one that is there.
//!
//! The fresh tables are filled in a database of their own beside the store, in slices, by the code that fills those of the store:
//! its names without a schema find the projections there and everything else in the store, which is attached and only
//! read. Pages and lists go on showing what is there. At the end the fresh tables take the place of the others in one
//! transaction; what was stored meanwhile is merged behind it as always. A process that is killed before leaves the store as
//! it was, and a file that the next start removes.
//!
//! Nothing is read of what is replaced, so that this heals a list that is wrong or cannot be read. Tables of which the
//! database cannot read a page cannot be dropped either, since that reads them: they are struck from the schema, and their pages
//! are lost to the file until it is filled anew.
//!
//! Rejected: to empty the tables and fill them in one transaction, which stops the writer for as long as it takes; and fresh
//! tables under other names in the same database, which need every statement twice.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::log::LogId;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{delivery, merge, stale};
use crate::clock;
use crate::error::Result;
use crate::journal::{Journal, Which};
use crate::search;
use crate::store::{self, INDEX};
use crate::writer::{INDEX_SLICE, MERGE_SLICE};

/// Fresh projections that are not in their place yet.
#[derive(Debug)]
pub struct Fresh {
    beside: Connection,
    /// How far each log was indexed.
    indexed: BTreeMap<LogId, u64>,
    /// How many entries of the authority log they were made by.
    cited: u32,
    /// Records that were merged.
    records: u64,
}

/// Fills fresh projections from what is durable in the store of a connection. It writes nothing there. Logs in which it came
/// upon damage are added to `suspects`: it can be repeated once they are cut.
///
/// # Errors
/// The store cannot be read, or there is no room beside it.
pub fn fill(connection: &Connection, suspects: &mut BTreeSet<LogId>) -> Result<Fresh> {
    let (beside, directory) = store::beside(connection)?;
    let mut journal = Journal::shadow(&beside, &directory)?;
    let filled = fill_with(beside, &mut journal);
    suspects.extend(journal.suspects());
    filled
}

fn fill_with(beside: Connection, journal: &mut Journal) -> Result<Fresh> {
    let mut more = true;
    while more {
        more = slice(&beside, || journal.index(&beside, Which::All, INDEX_SLICE))?;
    }
    slice(&beside, || journal.index_aside(&beside))?;
    let mut records = 0;
    loop {
        let keys = stale(&beside, journal, MERGE_SLICE)?;
        if keys.is_empty() {
            break;
        }
        slice(&beside, || {
            keys.iter()
                .try_for_each(|key| merge(&beside, journal, *key))
        })?;
        records += keys.len() as u64;
    }
    let mut more = true;
    while more {
        more = slice(&beside, || search::index(&beside))?;
    }
    Ok(Fresh {
        indexed: journal.indexed(),
        cited: journal.authority().cited().0,
        records,
        beside,
    })
}

fn slice<R>(beside: &Connection, work: impl FnOnce() -> Result<R>) -> Result<R> {
    let transaction = beside.unchecked_transaction()?;
    let done = work()?;
    transaction.commit()?;
    Ok(done)
}

impl Fresh {
    /// Puts the fresh projections in the place of those of the store. Gives the number of records.
    ///
    /// # Errors
    /// The store cannot be written; the transaction must be rolled back, and these can be put in place again.
    pub fn take_place(&self, connection: &Connection, journal: &mut Journal) -> Result<u64> {
        let names = names(&self.beside)?;
        strike(connection, &names, &unreadable(connection, &names)?)?;
        make(connection, |it| it.contains(" TABLE "))?;
        for name in names.iter().filter(|name| *name != INDEX.0) {
            copy(&self.beside, connection, name)?;
        }
        copy_index(&self.beside, connection)?;
        // A row that was built from what was there before must not be written over these.
        connection.execute(
            "UPDATE records SET version = version + ?1",
            [i64::try_from(clock::now_ms()).unwrap_or(i64::MAX / 2)],
        )?;
        make(connection, |it| it.contains(" INDEX "))?;
        journal.reprojected(connection, &self.indexed, self.cited)?;
        delivery::all_receipted(connection, journal)?;
        Ok(self.records)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        drop(store::remove_beside(&self.beside));
    }
}

/// The projections' tables, apart from those in which FTS5 keeps one of them.
fn names(beside: &Connection) -> Result<Vec<String>> {
    let mut statement = beside.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
         AND name <> 'counters' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    let mut names = names.collect::<Result<Vec<String>, _>>()?;
    names.retain(|name| !INDEX.1.contains(&name.as_str()));
    Ok(names)
}

/// Empties the projections of a store that cannot be opened because the database cannot read a page of them, so that
/// they are filled anew. Says whether that was why.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn empty_unreadable(connection: &Connection) -> Result<bool> {
    let names: Vec<String> = store::projection_names().collect();
    let unreadable = unreadable(connection, &names)?;
    if unreadable.is_empty() {
        return Ok(false);
    }
    let transaction = connection.unchecked_transaction()?;
    strike(&transaction, &names, &unreadable)?;
    make(&transaction, |_| true)?;
    transaction.execute("UPDATE logs SET indexed_len = 0, judged_len = 0", [])?;
    transaction.commit()?;
    Ok(true)
}

/// Carries out those statements that make the tables.
fn make(connection: &Connection, which: impl Fn(&str) -> bool) -> Result<()> {
    let mut statements = store::projections().filter(|it| which(it));
    Ok(statements.try_for_each(|statement| connection.execute_batch(&statement))?)
}

/// The tables of which the database cannot read a page.
fn unreadable(connection: &Connection, names: &[String]) -> Result<Vec<String>> {
    let mut unreadable = Vec::new();
    for name in names {
        let (index, kept_in) = INDEX;
        let kept_in = kept_in.as_slice();
        let tables = if name == index { kept_in } else { &[&**name] };
        for table in tables {
            // On a connection of its own: one that has met such a page reads nothing more.
            let reader = store::another(connection)?;
            let sql = format!("PRAGMA quick_check({table})");
            let said = reader.query_row(&sql, [], |row| row.get::<_, String>(0));
            if said.is_err() || said.is_ok_and(|said| said != "ok") {
                unreadable.push(name.clone());
                break;
            }
        }
    }
    Ok(unreadable)
}

/// Takes tables out of the store: freed where they can be read, else out of the schema.
fn strike(connection: &Connection, names: &[String], unreadable: &[String]) -> Result<()> {
    for name in names.iter().filter(|name| !unreadable.contains(name)) {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {name}"))?;
    }
    if unreadable.is_empty() {
        return Ok(());
    }
    tracing::error!(tables = ?unreadable, "tables that cannot be read are made anew");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    let (index, kept_in) = INDEX;
    let kept_in = kept_in.into_iter();
    let kept_in = kept_in.filter(|_| unreadable.iter().any(|name| name == index));
    let mut struck = unreadable.iter().map(String::as_str).chain(kept_in);
    let struck = struck.try_for_each(|name| {
        let sql = "DELETE FROM sqlite_schema WHERE tbl_name = ?1";
        connection.execute(sql, [name]).map(drop)
    });
    connection.execute_batch("PRAGMA writable_schema = RESET")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(struck?)
}

/// Copies what FTS5 keeps, its settings too, which is as good there as here. Nothing has been asked of the new table yet and nothing was
/// set, so that nothing of it is held in memory.
fn copy_index(from: &Connection, to: &Connection) -> Result<()> {
    to.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    let copied = INDEX.1.iter().try_for_each(|table| {
        to.execute(&format!("DELETE FROM {table}"), [])?;
        copy(from, to, table)
    });
    to.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    copied
}

fn copy(from: &Connection, to: &Connection, table: &str) -> Result<()> {
    let mut statement =
        from.prepare("SELECT name FROM pragma_table_info(?1, 'main') ORDER BY cid")?;
    let columns = statement.query_map([table], |row| row.get::<_, String>(0))?;
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let places: Vec<_> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    let (listed, places) = (columns.join(", "), places.join(", "));
    let mut select = from.prepare(&format!("SELECT {listed} FROM main.{table}"))?;
    let mut insert = to.prepare(&format!("INSERT INTO {table} ({listed}) VALUES ({places})"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns.len()).map(|at| row.get::<_, Value>(at));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}
