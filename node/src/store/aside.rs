//! A store that cannot be healed is set aside whole, and its tables are read as far as they can be.
//!
//! The files are moved, not copied, into a directory of their own inside the data directory. A mark from before the first
//! move to after the last commit of the new store says where they are, so that whoever is killed in between is told to
//! go on, and nobody takes a half filled store for one.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::{BESIDE, DATABASE, KEY, Store, migrate, remove, replace_private, sync_directory};
use crate::clock;
use crate::error::{self, Code, Error, Result};

/// Stands in a directory while its store is filled anew, and names where the old one is.
pub(super) const MARK: &str = "refilling";
/// The files of a store that are moved.
const MOVED: [&str; 3] = [DATABASE, "lianxin.db-wal", "lianxin.db-shm"];

/// A store that was set aside, and the empty one in its place.
#[derive(Debug)]
pub struct Aside {
    /// Where the old store is.
    pub directory: PathBuf,
    /// The old store.
    pub old: Store,
    /// The new one, which counts once [`Aside::finish`] was called.
    pub new: Store,
}

impl Aside {
    /// Sets the store of a directory aside, or goes on where a process was killed. Its caller holds the lock.
    ///
    /// # Errors
    /// [`Code::NotEnrolled`] when there is none, [`Code::StoreKey`] when the key file is missing, [`Code::File`].
    pub fn begin(directory: &Path) -> Result<Self> {
        let mark = directory.join(MARK);
        let begun = std::fs::read_to_string(&mark).ok();
        // A name that leads elsewhere is not one that was written here.
        let begun = begun.filter(|name| name.starts_with("set-aside-") && !name.contains('/'));
        if begun.is_none() && !directory.join(DATABASE).is_file() {
            let message = format!("{} belongs to no network yet", directory.display());
            return Err(Error::new(Code::NotEnrolled, message));
        }
        let key = Store::key_of(directory)?;
        let name = match begun {
            Some(name) => name,
            None => {
                // Who the device is must be known, or this leads nowhere.
                let here = Store {
                    directory: directory.to_owned(),
                    key: key.clone(),
                };
                let read = here
                    .reader()
                    .and_then(|it| crate::journal::refill::is_known(&it));
                read.map_err(|error| match error.code() {
                    Code::StoreCorrupt | Code::StoreKey => {
                        let message = "the database is so damaged that nothing can be read of it";
                        Error::because(Code::IdentityLost, message, error)
                    }
                    _ => error,
                })?;
                let name = format!("set-aside-{}", clock::now_ms());
                replace_private(&mark, name.as_bytes())?;
                name
            }
        };
        let aside = directory.join(name);
        std::fs::create_dir_all(&aside).map_err(error::file(&aside))?;
        super::restrict(&aside, 0o700)?;
        let moved = aside.join(KEY).exists();
        for name in MOVED {
            let (from, to) = (directory.join(name), aside.join(name));
            if moved {
                // Of a new store that was not finished.
                remove(&from)?;
            } else if from.exists() {
                std::fs::rename(&from, &to).map_err(error::file(&from))?;
            }
        }
        remove(&directory.join(BESIDE))?;
        // The key last: with it the old store is whole there.
        if !moved {
            super::write_private(&aside.join(KEY), key.as_bytes())?;
            sync_directory(&aside)?;
        }
        sync_directory(directory)?;
        let at = |directory: &Path| Store {
            directory: directory.to_owned(),
            key: key.clone(),
        };
        let new = at(directory);
        let connection = new.connect(false)?;
        connection.execute_batch("PRAGMA journal_mode = WAL;")?;
        migrate(&connection)?;
        Ok(Self {
            old: at(&aside),
            directory: aside,
            new,
        })
    }

    /// The new store is one from now on.
    ///
    /// # Errors
    /// The mark cannot be taken away.
    pub fn finish(self) -> Result<()> {
        remove(&self.new.directory.join(MARK))?;
        sync_directory(&self.new.directory)
    }
}

/// Rows of a table of the old store, by its key: from both ends, as far as they can be read.
#[derive(Debug)]
pub struct Salvaged {
    /// The rows, those from the end in reverse.
    pub rows: Vec<Vec<Value>>,
    /// Some could not be read.
    pub torn: bool,
}

/// Reads a table of the old store from both ends.
///
/// # Errors
/// The store cannot be opened at all.
pub fn salvage(old: &Store, table: &str, columns: &str, key: &str) -> Result<Salvaged> {
    let mut salvaged = Salvaged {
        rows: Vec::new(),
        torn: false,
    };
    for order in ["ASC", "DESC"] {
        let connection = old.reader()?;
        let sql = format!("SELECT {columns} FROM {table} ORDER BY {key} {order}");
        let whole = read_rows(&connection, &sql, &mut salvaged.rows);
        if whole {
            break;
        }
        salvaged.torn = true;
    }
    Ok(salvaged)
}

/// Reads rows until there are no more, or one cannot be read. Says whether it was the end.
fn read_rows(connection: &Connection, sql: &str, into: &mut Vec<Vec<Value>>) -> bool {
    let Ok(mut statement) = connection.prepare(sql) else {
        return false;
    };
    let count = statement.column_count();
    let Ok(mut rows) = statement.query([]) else {
        return false;
    };
    loop {
        match rows.next() {
            Ok(Some(row)) => {
                let values = (0..count).map(|at| row.get::<_, Value>(at));
                match values.collect::<rusqlite::Result<Vec<_>>>() {
                    Ok(values) => into.push(values),
                    Err(_) => return false,
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Copies what can be read of a table of the old store into the new one. Says whether that is all of it.
///
/// # Errors
/// The new store cannot be written.
pub fn copy(old: &Store, new: &Connection, table: &str, key: &str) -> Result<bool> {
    let mut statement = new.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    let columns = statement.query_map([table], |row| row.get::<_, String>(0))?;
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let places: Vec<_> = (1..=columns.len()).map(|at| format!("?{at}")).collect();
    let (listed, places) = (columns.join(", "), places.join(", "));
    let salvaged = salvage(old, table, &listed, key)?;
    let sql = format!("INSERT OR IGNORE INTO {table} ({listed}) VALUES ({places})");
    let mut insert = new.prepare(&sql)?;
    for row in salvaged.rows {
        insert.execute(params_from_iter(row))?;
    }
    Ok(!salvaged.torn)
}
