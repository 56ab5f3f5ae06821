//! The encrypted SQLite store of one data directory: opening, pragmas, keys, migrations.
//!
//! It owns how a connection is made and nothing of what the tables mean. One connection writes (the
//! one that [`Store::writer`] gives, under the directory's lock); readers cannot write. Rejected: a
//! connection pool, because SQLite has one writer anyway and a bounded queue in front of it says so.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use crate::clock;
use crate::error::{self, Code, Error, Result};

/// Version of the schema that this program writes.
const SCHEMA: i64 = 2;
const DATABASE: &str = "lianxin.db";
const KEY: &str = "store.key";
const LOCK: &str = "lock";
/// Attempts to take a lock that another process holds, and the pause between them: 100 ms in all.
const LOCK_ATTEMPTS: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A data directory whose store can be opened.
#[derive(Clone)]
pub struct Store {
    directory: PathBuf,
    key: Zeroizing<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Store({})", self.directory.display())
    }
}

/// Held for as long as a process writes in a data directory.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a data directory.
    ///
    /// # Errors
    /// [`Code::InUse`] when another process has it.
    pub fn take(directory: &Path) -> Result<Self> {
        let path = directory.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&path)
            .map_err(error::file(&path))?;
        // A process that is just starting another one shares its locks with it for a moment.
        let mut attempts = 0;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if attempts < LOCK_ATTEMPTS => {
                    attempts += 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                other => break other,
            }
        };
        match locked {
            Ok(()) => {
                let pid = std::process::id();
                file.set_len(0)
                    .and_then(|()| writeln!(file, "{pid}"))
                    .map_err(error::file(&path))?;
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&path).unwrap_or_default();
                let message = format!(
                    "{} is in use by process {}",
                    directory.display(),
                    pid.trim()
                );
                Err(Error::new(Code::InUse, message))
            }
            Err(TryLockError::Error(error)) => Err(error::file(&path)(error)),
        }
    }
}

impl Store {
    /// Makes a data directory with an empty store.
    ///
    /// # Errors
    /// [`Code::AlreadySetUp`] when there is one; [`Code::File`] when the directory cannot be made.
    pub fn create(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(error::file(directory))?;
        restrict(directory, 0o700)?;
        if directory.join(DATABASE).exists() {
            let message = format!("{} has a store already", directory.display());
            return Err(Error::new(Code::AlreadySetUp, message));
        }
        let key = Zeroizing::new(clock::random::<32>()?);
        let key = Zeroizing::new(lianxin_protocol::hash::Hex(&*key).to_string());
        write_private(&directory.join(KEY), key.as_bytes())?;
        let store = Self {
            directory: directory.to_owned(),
            key,
        };
        let connection = store.connect(false)?;
        // A fresh file needs its page size and WAL before the first table.
        connection.execute_batch("PRAGMA journal_mode = WAL;")?;
        migrate(&connection)?;
        sync_directory(directory)?;
        Ok(store)
    }

    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// [`Code::NotEnrolled`] when there is none, [`Code::StoreKey`] when the key file is missing or does not
    /// fit, [`Code::StoreNewer`] when a newer version wrote it.
    pub fn open(directory: &Path) -> Result<Self> {
        if !directory.join(DATABASE).is_file() {
            let message = format!("{} belongs to no network yet", directory.display());
            return Err(Error::new(Code::NotEnrolled, message));
        }
        if std::fs::metadata(directory.join(DATABASE)).is_ok_and(|found| found.len() == 0) {
            let message = format!("the database in {} is empty", directory.display());
            return Err(Error::new(Code::StoreCorrupt, message));
        }
        let path = directory.join(KEY);
        let key = std::fs::read_to_string(&path).map_err(|error| {
            Error::because(
                Code::StoreKey,
                format!("cannot read {}", path.display()),
                error,
            )
        })?;
        let key = Zeroizing::new(key.trim().to_owned());
        if lianxin_protocol::hash::parse_hex::<32>(&key).is_none() {
            return Err(Error::new(
                Code::StoreKey,
                format!("{} is not a key", path.display()),
            ));
        }
        Ok(Self {
            directory: directory.to_owned(),
            key,
        })
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Bytes of the database and its write-ahead log.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let size = |name: &str| std::fs::metadata(self.directory.join(name)).map_or(0, |m| m.len());
        size(DATABASE) + size("lianxin.db-wal")
    }

    /// The connection that writes; its caller holds the [`Lock`].
    ///
    /// # Errors
    /// The store cannot be opened or migrated.
    pub fn writer(&self) -> Result<Connection> {
        let connection = self.connect(false)?;
        migrate(&connection)?;
        Ok(connection)
    }

    /// A connection that cannot write.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn reader(&self) -> Result<Connection> {
        self.connect(true)
    }

    fn connect(&self, read_only: bool) -> Result<Connection> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if !read_only {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection = Connection::open_with_flags(self.directory.join(DATABASE), flags)?;
        let key = Zeroizing::new(format!("x'{}'", self.key.as_str()));
        // It would tell the terminal of a wrong key before we do, in words that help nobody.
        connection.pragma_update(None, "cipher_log_level", "NONE")?;
        connection.pragma_update(None, "key", key.as_str())?;
        // FULL: an entry that was sent and then lost in a power cut would fork its log; with group
        // commit it costs nothing measurable. secure_delete: an erased part must not stay in free
        // pages. trusted_schema and cell_size_check: a restored file is not to be believed.
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA secure_delete = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -32768;
             PRAGMA busy_timeout = 10000;",
        )?;
        if read_only {
            connection.pragma_update(None, "query_only", true)?;
        }
        // Plans must not depend on bound values, or each cached statement is compiled again at every
        // use (a sixth of a merge); and no statement may touch the schema or the file's pages.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_prepared_statement_cache_capacity(64);
        // The first read proves the key.
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version > SCHEMA {
            let message = format!("the store has schema {version}, this version knows {SCHEMA}");
            return Err(Error::new(Code::StoreNewer, message));
        }
        Ok(connection)
    }
}

/// Brings the schema up to date, in one transaction.
fn migrate(connection: &Connection) -> Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let steps = match version {
        0 => include_str!("store/schema.sql"),
        1 => include_str!("store/from-1.sql"),
        _ => return Ok(()),
    };
    connection.execute_batch(&format!(
        "BEGIN;\n{steps}\nPRAGMA user_version = {SCHEMA};\nCOMMIT;"
    ))?;
    Ok(())
}

/// Writes a file that only its owner may read, durably and whole or not at all.
///
/// # Errors
/// The file exists already, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(error::file(path))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(error::file(path))
}

/// Replaces a private file: the new content is durable before it takes the old one's name.
///
/// # Errors
/// The file cannot be written.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error::file(&fresh)(error));
        }
        _ => {}
    }
    write_private(&fresh, bytes)?;
    std::fs::rename(&fresh, path).map_err(error::file(path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(error::file(directory))
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(error::file(path))
}

/// One value of the `meta` table.
///
/// # Errors
/// The store cannot be read.
pub fn meta(connection: &Connection, key: &str) -> Result<Option<Vec<u8>>> {
    use rusqlite::OptionalExtension as _;
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

/// Sets a value of the `meta` table.
///
/// # Errors
/// The store cannot be written.
pub fn set_meta(connection: &Connection, key: &str, value: &[u8]) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute(rusqlite::params![key, value])?;
    Ok(())
}
