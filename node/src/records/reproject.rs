//! Makes every projection anew, from the logs alone, and puts it in the place of the one that is there.
//!
//! The fresh tables are filled in a database of their own beside the store, in slices, by the code that fills those of the store:
//! its names without a schema find the projections there and everything else in the store, which is attached and only
//! read. Pages and lists go on showing what is there. What was filled is then copied into spare tables of the store, each named as the one whose
//! place it will take behind `spare_`, in transactions of a few milliseconds each between those of others. At the end one transaction has each table and its spare change
//! their first pages in the schema, which costs the same however much there is; what the spare tables hold by then is freed in slices too. What was
//! stored meanwhile is merged behind it as always. A process that is killed before leaves the store as it was, and a file and tables that
//! the next start removes.
//!
//! Nothing is read of what is replaced, so that this heals a list that is wrong or cannot be read. Tables of which the
//! database cannot read a page cannot be freed either, since that reads them: they are struck from the schema, and their pages
//! are lost to the file until it is filled anew.
//!
//! Rejected: to empty the tables and fill them in one transaction, or to copy them in one, which stops the writer for as long as it takes (8 s at
//! 100,000 records); to fill the spare tables at once, which needs every statement twice; and to rename tables, since SQLite renames no
//! index, and statements name theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lianxin_protocol::log::LogId;
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{delivery, merge, merge_little, stale};
use crate::clock::{self, Monotonic};
use crate::error::{Code, Error, Result};
use crate::journal::{Journal, Which};
use crate::search;
use crate::store::{self, INDEX};
use crate::writer::{INDEX_SLICE, MERGE_SLICE};

/// Before the names of tables and indexes that stand ready to take the place of others, or did.
const SPARE: &str = "spare_";
/// What is copied in one transaction: a few milliseconds.
const COPIED_BYTES: usize = 24 << 10;
/// Rows that are freed by one statement, and how long statements follow each other in one transaction.
const FREED_ROWS: usize = 64;
const FREED_MS: u64 = 3;

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
    slice(&beside, || {
        delivery::all_receipted(&beside, journal)?;
        // A row that was built from what is there now must not be written over these.
        let now = i64::try_from(clock::now_ms()).unwrap_or(i64::MAX / 2);
        Ok(beside.execute("UPDATE records SET version = version + ?1", [now])?)
    })?;
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

/// A piece of the work, in one transaction of whoever writes the store. It says whether there is more of it, and may be run again if
/// its transaction was taken back.
pub type Slice = Box<dyn Fn(&mut Journal, &Connection) -> Result<bool> + Send>;

/// Which transaction a piece may be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// One that takes in or merges something as well.
    Others,
    /// One that writes nothing else: tables change under it.
    Nothing,
}

impl Fresh {
    /// Puts the fresh projections in the place of those of the store, in pieces that `run` has carried out. Gives the number of
    /// records.
    ///
    /// # Errors
    /// Those of `run`. The store is then as it was, apart from spare tables, which this or the next start frees.
    pub fn take_place(self, mut run: impl FnMut(With, Slice) -> Result<bool>) -> Result<u64> {
        let moved = self.move_in(&mut run);
        if moved.is_err() {
            // What cannot be freed now is freed at the next start.
            drop(free(&self.tables()?, &mut run));
        }
        moved
    }

    fn move_in(&self, run: &mut impl FnMut(With, Slice) -> Result<bool>) -> Result<u64> {
        let tables = self.tables()?;
        let reader = store::another(&self.beside)?;
        let mut lost = unreadable(&reader, &tables)?;
        drop(reader);
        // They are spare by the time they are struck.
        lost.iter_mut().for_each(|table| table.insert_str(0, SPARE));
        let made = spares(&self.beside)?;
        let create = move |_: &mut Journal, connection: &Connection| {
            clear(connection)?;
            let mut made = made.iter();
            made.try_for_each(|statement| connection.execute_batch(statement))?;
            Ok(false)
        };
        run(With::Others, Box::new(create))?;
        for table in &tables {
            copy(&self.beside, table, run)?;
        }
        let (indexed, cited) = (self.indexed.clone(), self.cited);
        let change = move |journal: &mut Journal, connection: &Connection| {
            change_places(connection)?;
            strike(connection, &lost)?;
            journal.reprojected(connection, &indexed, cited)?;
            delivery::all_receipted(connection, journal)?;
            merge_little(connection, journal)?;
            Ok(false)
        };
        run(With::Nothing, Box::new(change))?;
        free(&tables, run)?;
        Ok(self.records)
    }

    /// The tables in which projections are kept, those of the index of texts among them.
    fn tables(&self) -> Result<Vec<String>> {
        let mut statement = self.beside.prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'
             AND name NOT LIKE 'sqlite_%' AND name <> 'counters' ORDER BY name",
        )?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next start.
        drop(store::remove_beside(&self.beside));
    }
}

/// Empties the projections of a store that cannot be opened because the database cannot read a page of them, so that
/// they are filled anew. Says whether that was why.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn empty_unreadable(connection: &Connection) -> Result<bool> {
    let (index, kept_in) = INDEX;
    let names: Vec<String> = store::projection_names().collect();
    let tables = names.iter().map(String::as_str);
    let tables = tables.filter(|name| *name != index).chain(kept_in);
    let tables: Vec<String> = tables.map(str::to_owned).collect();
    let mut lost = unreadable(connection, &tables)?;
    if lost.is_empty() {
        return Ok(false);
    }
    if lost.iter().any(|name| kept_in.contains(&name.as_str())) {
        lost.extend(kept_in.into_iter().chain([index]).map(str::to_owned));
    }
    let transaction = connection.unchecked_transaction()?;
    for name in names.iter().filter(|name| !lost.contains(name)) {
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS {name}"))?;
    }
    strike(&transaction, &lost)?;
    store::projections().try_for_each(|statement| transaction.execute_batch(&statement))?;
    transaction.execute("UPDATE logs SET indexed_len = 0, judged_len = 0", [])?;
    transaction.commit()?;
    Ok(true)
}

/// Removes the spare tables that a process has left which was killed while it filled or freed them.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn clear(connection: &Connection) -> Result<()> {
    let mut statement = connection.prepare(
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND substr(name, 1, length(?1)) = ?1",
    )?;
    let left = statement.query_map([SPARE], |row| row.get(0))?;
    let left = left.collect::<Result<Vec<String>, _>>()?;
    if left.is_empty() {
        return Ok(());
    }
    let lost = unreadable(connection, &left)?;
    for name in left.iter().filter(|name| !lost.contains(name)) {
        connection.execute_batch(&format!("DROP TABLE {name}"))?;
    }
    strike(connection, &lost)
}

/// The statements that make spare tables and their indexes, as those of the projections are.
fn spares(beside: &Connection) -> Result<Vec<String>> {
    let mut statement = beside.prepare(
        "SELECT type, name, tbl_name, sql FROM main.sqlite_schema
         WHERE sql IS NOT NULL AND sql NOT LIKE 'CREATE VIRTUAL %' AND tbl_name <> 'counters'
         ORDER BY type DESC, name",
    )?;
    let made = statement.query_map([], |row| {
        let what: String = row.get(0)?;
        let [name, table, sql]: [String; 3] = [row.get(1)?, row.get(2)?, row.get(3)?];
        let (_, rest) = sql.split_once('(').unwrap_or_default();
        Ok(match &*what {
            "table" => format!("CREATE TABLE {SPARE}{name} ({rest}"),
            _ => format!("CREATE INDEX {SPARE}{name} ON {SPARE}{table} ({rest}"),
        })
    })?;
    Ok(made.collect::<Result<_, _>>()?)
}

/// Has each table and index with a spare one change its first page with that, in the schema of this transaction. See
/// <https://www.sqlite.org/pragma.html#pragma_writable_schema>: what has the same statement may have the same pages.
fn change_places(connection: &Connection) -> Result<()> {
    let mut statement =
        connection.prepare("SELECT name, rootpage FROM main.sqlite_schema WHERE rootpage > 0")?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found = found.collect::<Result<BTreeMap<String, i64>, _>>()?;
    let mut pages = Vec::new();
    for (spare, page) in &found {
        // An index that stands for a key is named by SQLite, with its table's name within.
        let name = spare.replacen(SPARE, "", 1);
        if name == *spare {
            continue;
        }
        let lacks = || Error::new(Code::StoreCorrupt, "a table of the store is not there");
        let of = *found.get(&name).ok_or_else(lacks)?;
        pages.extend([(name, *page), (spare.clone(), of)]);
    }
    in_schema(connection, |connection| {
        let mut update =
            connection.prepare("UPDATE main.sqlite_schema SET rootpage = ?2 WHERE name = ?1")?;
        let mut pages = pages.into_iter();
        pages.try_for_each(|of| update.execute(of).map(drop))
    })
}

/// Takes tables that cannot be read out of the schema.
fn strike(connection: &Connection, tables: &[String]) -> Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    tracing::error!(?tables, "tables that cannot be read are made anew");
    in_schema(connection, |connection| {
        let mut delete = connection.prepare("DELETE FROM sqlite_schema WHERE tbl_name = ?1")?;
        let mut tables = tables.iter();
        tables.try_for_each(|name| delete.execute([name]).map(drop))
    })
}

/// Writes to the schema itself. Every connection reads it anew then.
fn in_schema(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    let version = "PRAGMA schema_version";
    let done = connection
        .execute_batch("PRAGMA writable_schema = ON")
        .and_then(|()| work(connection))
        .and_then(|()| connection.query_row(version, [], |row| row.get::<_, i64>(0)))
        .and_then(|at| connection.execute_batch(&format!("{version} = {}", at + 1)));
    let reset = connection.execute_batch("PRAGMA writable_schema = RESET");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    Ok(done.and(reset)?)
}

/// The tables among these of which the database cannot read a page.
fn unreadable(connection: &Connection, tables: &[String]) -> Result<Vec<String>> {
    let mut unreadable = Vec::new();
    for table in tables {
        // On a connection of its own: one that has met such a page reads nothing more.
        let reader = store::another(connection)?;
        let sql = format!("PRAGMA quick_check({table})");
        let said = reader.query_row(&sql, [], |row| row.get::<_, String>(0));
        if said.is_err() || said.is_ok_and(|said| said != "ok") {
            unreadable.push(table.clone());
        }
    }
    Ok(unreadable)
}

/// Copies the rows of a table into its spare one. Of the index of texts that is what FTS5 keeps, its settings too, which is as good there as here.
fn copy(
    beside: &Connection,
    table: &str,
    run: &mut impl FnMut(With, Slice) -> Result<bool>,
) -> Result<()> {
    let mut select = beside.prepare(&format!("SELECT * FROM main.{table}"))?;
    let columns = select.column_names().collect::<Vec<_>>().join(", ");
    let count = select.column_count();
    let places: Vec<_> = (1..=count).map(|at| format!("?{at}")).collect();
    let places = places.join(", ");
    let insert = Arc::new(format!(
        "INSERT INTO {SPARE}{table} ({columns}) VALUES ({places})"
    ));
    let mut rows = select.query([])?;
    loop {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while bytes < COPIED_BYTES
            && let Some(row) = rows.next()?
        {
            let values = (0..count).map(|at| row.get::<_, Value>(at));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            bytes += values.iter().map(weight).sum::<usize>();
            batch.push(values);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let insert = Arc::clone(&insert);
        let slice = move |_: &mut Journal, connection: &Connection| {
            let mut insert = connection.prepare(&insert)?;
            for row in &batch {
                insert.execute(params_from_iter(row))?;
            }
            Ok(false)
        };
        run(With::Others, Box::new(slice))?;
    }
}

/// What a value costs to copy, in bytes of a long one.
fn weight(value: &Value) -> usize {
    const EACH: usize = 16;
    EACH + match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    }
}

/// Frees spare tables. That takes as long as to fill them: what is deleted is written over. The empty tables go at once, since every
/// connection reads the schema anew when one goes.
fn free(tables: &[String], run: &mut impl FnMut(With, Slice) -> Result<bool>) -> Result<()> {
    for table in tables {
        loop {
            let table = table.clone();
            let slice =
                move |_: &mut Journal, connection: &Connection| free_some(connection, &table);
            if !run(With::Others, Box::new(slice))? {
                break;
            }
        }
    }
    let tables = tables.to_vec();
    let drop = move |_: &mut Journal, connection: &Connection| {
        for table in &tables {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS {SPARE}{table}"))?;
        }
        Ok(false)
    };
    run(With::Others, Box::new(drop)).map(|_| ())
}

/// Deletes some rows of a spare table, if there is one. Says whether there may be more.
fn free_some(connection: &Connection, table: &str) -> Result<bool> {
    let mut key = connection
        .prepare("SELECT name FROM pragma_table_info(?1, 'main') WHERE pk > 0 ORDER BY pk")?;
    let key = key.query_map([format!("{SPARE}{table}")], |row| row.get::<_, String>(0))?;
    let key = key.collect::<Result<Vec<_>, _>>()?.join(", ");
    if key.is_empty() {
        return Ok(false);
    }
    let mut delete = connection.prepare(&format!(
        "DELETE FROM {SPARE}{table} WHERE ({key}) IN (SELECT {key} FROM {SPARE}{table} LIMIT {FREED_ROWS})"
    ))?;
    let since = Monotonic::start();
    while since.ms() < FREED_MS {
        if delete.execute([])? < FREED_ROWS {
            return Ok(false);
        }
    }
    Ok(true)
}
