//! The encrypted SQLite store of one data directory: opening, pragmas, keys, migrations.
//!
//! It owns how a connection is made and nothing of what the tables mean. One connection writes (the
//! one that [`Store::writer`] gives, under the directory's lock); readers cannot write. Rejected: a
//! connection pool, because SQLite has one writer anyway and a bounded queue in front of it says so.

pub mod aside;
mod functions;
pub(crate) mod packed;
pub(crate) mod slots;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use crate::clock;
use crate::error::{self, Code, Error, Result};

/// Version of the schema that this program writes.
const SCHEMA: i64 = 9;
/// Bytes of a page, as SQLCipher has it.
const PAGE: u64 = 4_096;
/// KiB of pages that a connection keeps decrypted: what a group of saves writes to, and what a list or a merge goes over again.
const WRITER_CACHE: i64 = 8 * 1024;
const READER_CACHE: i64 = 4 * 1024;
const TABLES: &str = include_str!("store/schema.sql");
/// What changed from one version to the next in tables that are not made from the logs.
const STEPS: [&str; 8] = [
    include_str!("store/from-1.sql"),
    include_str!("store/from-2.sql"),
    include_str!("store/from-3.sql"),
    include_str!("store/from-4.sql"),
    include_str!("store/from-5.sql"),
    include_str!("store/from-6.sql"),
    include_str!("store/from-7.sql"),
    include_str!("store/from-8.sql"),
];
/// How long a connection waits for another one.
const BUSY: Duration = Duration::from_secs(10);
/// Where fresh projections are filled, beside the store.
const BESIDE: &str = "reproject.db";
const DATABASE: &str = "lianxin.db";
const KEY: &str = "store.key";
const LOCK: &str = "lock";
/// Stands in a directory while its store is being made.
const UNFINISHED: &str = "unfinished";
/// What a store that was not finished may have left; nobody has written anything of theirs there.
const REMAINS: [&str; 7] = [
    BESIDE,
    DATABASE,
    "lianxin.db-wal",
    "lianxin.db-shm",
    KEY,
    "offered",
    "offered.new",
];
/// Begins the mark. An empty one was made over a store that somebody finished meanwhile.
const MARK: &[u8] = b"a store is being made here\n";
/// Bytes of one thing that is kept beside a store that is being made.
pub const KEPT: usize = 96;
/// How many are kept at most.
const KEPT_MAX: usize = 64;
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
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(error::file(&path))?;
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

/// A store that is being made. A mark in the directory says so from before its first file to after its last
/// commit, so that a crash in between leaves nothing that looks like a store: whoever begins again clears it.
#[derive(Debug)]
pub struct Making {
    directory: PathBuf,
    /// Locked: two processes cannot make one store.
    mark: File,
    /// The directory is of this attempt's making.
    fresh: bool,
}

impl Making {
    /// Begins, or begins again after a crash.
    ///
    /// # Errors
    /// [`Code::AlreadySetUp`] when the directory has a store, [`Code::InUse`] when another process is making
    /// one there, [`Code::File`] when the directory cannot be made.
    pub fn begin(directory: &Path) -> Result<Self> {
        let fresh = !directory.exists();
        private_directory(directory)?;
        restrict(directory, 0o700)?;
        let path = directory.join(UNFINISHED);
        let is_store = || {
            let message = format!(
                "{} has a store already, or parts of one",
                directory.display()
            );
            Error::new(Code::AlreadySetUp, message)
        };
        // Without the mark they are somebody's, a key without its database above all, and stay.
        let found = || REMAINS.iter().any(|name| directory.join(name).exists());
        if found() && !path.exists() {
            return Err(is_store());
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        for _ in 0..LOCK_ATTEMPTS {
            let mut mark = options.open(&path).map_err(error::file(&path))?;
            match mark.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => break,
                Err(TryLockError::Error(error)) => return Err(error::file(&path)(error)),
            }
            // Whoever held it may have finished, and the name may be that of another file by now.
            if !is_at(&mark, &path)? {
                continue;
            }
            let empty = mark.metadata().map_err(error::file(&path))?.len() == 0;
            if empty && found() {
                remove(&path)?;
                return Err(is_store());
            }
            if empty {
                let written = mark.write_all(MARK).and_then(|()| mark.sync_all());
                written.map_err(error::file(&path))?;
            }
            sync_directory(directory)?;
            return Ok(Self {
                directory: directory.to_owned(),
                mark,
                fresh,
            });
        }
        let message = format!("another process makes a store in {}", directory.display());
        Err(Error::new(Code::InUse, message))
    }

    /// What attempts before this one have kept, oldest first.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn kept(&mut self) -> Result<Vec<Zeroizing<[u8; KEPT]>>> {
        let most = MARK.len() + KEPT_MAX * KEPT;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        let limit = u64::try_from(most).unwrap_or(u64::MAX);
        let read = self
            .mark
            .rewind()
            .and_then(|()| (&self.mark).take(limit).read_to_end(&mut bytes));
        read.map_err(error::file(&self.directory))?;
        let kept = bytes.get(MARK.len()..).unwrap_or_default();
        // The last one may be cut; then nobody has made use of it.
        let (kept, _) = kept.as_chunks::<KEPT>();
        Ok(kept.iter().map(|one| Zeroizing::new(*one)).collect())
    }

    /// Keeps one thing more for the next attempt, durably, until the store is finished. What was kept before stays.
    ///
    /// # Errors
    /// It cannot be written, or too many are kept.
    pub fn keep(&mut self, bytes: &[u8; KEPT]) -> Result<()> {
        let count = self.kept()?.len();
        if count == KEPT_MAX {
            let message = format!("too many joins were begun in {}", self.directory.display());
            return Err(Error::new(Code::InUse, message));
        }
        let end = (MARK.len() + count * KEPT) as u64;
        self.mark
            .set_len(end)
            .and_then(|()| self.mark.seek(std::io::SeekFrom::Start(end)))
            .and_then(|_| self.mark.write_all(bytes))
            .and_then(|()| self.mark.sync_all())
            .map_err(error::file(&self.directory))
    }

    /// Clears what a crash has left and makes an empty store. It cannot be opened by others before
    /// [`Making::finish`].
    ///
    /// # Errors
    /// [`Code::File`] when the files cannot be made.
    pub fn create(&self) -> Result<Store> {
        self.clear()?;
        let key = Zeroizing::new(clock::random::<32>()?);
        let key = Zeroizing::new(Hex(&*key).to_string());
        write_private(&self.directory.join(KEY), key.as_bytes())?;
        let store = Store {
            directory: self.directory.clone(),
            key,
        };
        let connection = store.connect(false)?;
        // A fresh file needs its page size and WAL before the first table.
        connection.execute_batch("PRAGMA journal_mode = WAL;")?;
        migrate(&connection)?;
        sync_directory(&self.directory)?;
        Ok(store)
    }

    fn clear(&self) -> Result<()> {
        for name in REMAINS {
            remove(&self.directory.join(name))?;
        }
        Ok(())
    }

    /// The store is whole: from now on it is one.
    ///
    /// # Errors
    /// The mark cannot be taken away.
    pub fn finish(self) -> Result<()> {
        remove(&self.directory.join(UNFINISHED))?;
        sync_directory(&self.directory)
    }

    /// Leaves the directory as it was found.
    ///
    /// # Errors
    /// Something cannot be taken away.
    pub fn abandon(self) -> Result<()> {
        self.clear()?;
        remove(&self.directory.join(UNFINISHED))?;
        if self.fresh {
            // A first session has locked it; nobody else can have opened it.
            remove(&self.directory.join(LOCK))?;
            std::fs::remove_dir(&self.directory).map_err(error::file(&self.directory))?;
        }
        Ok(())
    }
}

/// The database as it was when it was opened. A file that somebody removes or puts another in the place of goes on
/// taking writes, and is gone with the process. It is looked at by its name: to open it once more and close it would
/// take SQLite's locks from it.
#[derive(Debug)]
pub(crate) struct Watched {
    path: PathBuf,
    found: (u64, u64),
}

impl Watched {
    /// Whether it still has its name.
    pub(crate) fn is_there(&self) -> bool {
        found_at(&self.path).is_ok_and(|found| found == self.found)
    }
}

/// What tells a file from another of the same name.
#[cfg(unix)]
fn found_at(path: &Path) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path).map_err(error::file(path))?;
    Ok((about.dev(), about.ino()))
}

/// What tells a file from another of the same name: no open file can be removed here.
#[cfg(not(unix))]
fn found_at(path: &Path) -> Result<(u64, u64)> {
    std::fs::metadata(path).map_err(error::file(path))?;
    Ok((0, 0))
}

/// Whether an open file is the one that has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let held = file.metadata().map_err(error::file(path))?;
    match std::fs::metadata(path) {
        Ok(named) => Ok(named.dev() == held.dev() && named.ino() == held.ino()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error::file(path)(error)),
    }
}

/// Whether an open file is the one that has this name: no open file can be removed here.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> Result<bool> {
    Ok(path.exists())
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error::file(path)(error)),
        _ => Ok(()),
    }
}

/// Whether there is a store in this directory, be it readable or not.
#[must_use]
pub fn is_there(directory: &Path) -> bool {
    directory.join(DATABASE).is_file()
}

impl Store {
    /// Opens the store of a data directory.
    ///
    /// # Errors
    /// [`Code::NotEnrolled`] when there is none, [`Code::StoreKey`] when the key file is missing or does not
    /// fit, [`Code::StoreNewer`] when a newer version wrote it.
    pub fn open(directory: &Path) -> Result<Self> {
        if directory.join(aside::MARK).exists() {
            let message = format!("the store in {} is being filled anew", directory.display());
            return Err(Error::new(Code::RefillBegun, message));
        }
        if !directory.join(DATABASE).is_file() {
            let message = format!("{} belongs to no network yet", directory.display());
            return Err(Error::new(Code::NotEnrolled, message));
        }
        if directory.join(UNFINISHED).exists() {
            let message = format!("the store in {} was not finished", directory.display());
            return Err(Error::new(Code::NotEnrolled, message));
        }
        if std::fs::metadata(directory.join(DATABASE)).is_ok_and(|found| found.len() == 0) {
            let message = format!("the database in {} is empty", directory.display());
            return Err(Error::new(Code::StoreCorrupt, message));
        }
        is_private(directory)?;
        let key = Self::key_of(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            key,
        })
    }

    /// The key in the file of a data directory.
    fn key_of(directory: &Path) -> Result<Zeroizing<String>> {
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
        Ok(key)
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
        self.is_whole(&connection)?;
        migrate(&connection)?;
        Ok(connection)
    }

    /// Whether the file is as long as it says. One that is cut short is left alone: what would be written to it is no better.
    fn is_whole(&self, connection: &Connection) -> Result<()> {
        let size = |name: &str| std::fs::metadata(self.directory.join(name)).map_or(0, |m| m.len());
        let pages: u64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        // Pages may still stand in the write-ahead log alone.
        if size("lianxin.db-wal") == 0 && size(DATABASE) < pages.saturating_mul(PAGE) {
            let message = "the database's file is cut short";
            return Err(Error::new(Code::StoreCorrupt, message));
        }
        Ok(())
    }

    /// Removes what a process that was killed while it filled fresh projections has left; its caller holds the [`Lock`].
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(crate) fn clear(&self) -> Result<()> {
        remove(&self.directory.join(BESIDE))
    }

    /// The database as it is now.
    pub(crate) fn watch(&self) -> Result<Watched> {
        let path = self.directory.join(DATABASE);
        let found = found_at(&path)?;
        Ok(Watched { path, found })
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
        let path = self.directory.join(DATABASE);
        if !read_only && !path.exists() {
            // The files beside it get its mode.
            new_private(&path)?;
        }
        self.connect_to(DATABASE, flags, read_only)
    }

    /// The key as SQLCipher takes it.
    fn raw_key(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("x'{}'", self.key.as_str()))
    }

    fn connect_to(&self, file: &str, flags: OpenFlags, read_only: bool) -> Result<Connection> {
        let connection = Connection::open_with_flags(self.directory.join(file), flags)?;
        let key = self.raw_key();
        // It would tell the terminal of a wrong key before we do, in words that help nobody.
        connection.pragma_update(None, "cipher_log_level", "NONE")?;
        // Each page carries one; of the two that SQLCipher has, processors compute this one by themselves. Said before
        // the key, it holds for what is attached as well.
        connection.pragma_update(None, "cipher_default_hmac_algorithm", "HMAC_SHA256")?;
        connection.pragma_update(None, "key", key.as_str())?;
        // The first read is of the first page, and proves the key.
        let version = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
        let version = version.map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                let message = "the store does not open with its key";
                Error::because(Code::StoreKey, message, error)
            }
            _ => error.into(),
        })?;
        // FULL: an entry that was sent and then lost in a power cut would fork its log; with group
        // commit it costs nothing measurable. secure_delete: an erased part must not stay in free
        // pages. trusted_schema and cell_size_check: a restored file is not to be believed.
        // journal_size_limit: one large transaction does not leave a large write-ahead log for good.
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA secure_delete = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA journal_size_limit = 16777216;
",
        )?;
        let cache = if read_only {
            READER_CACHE
        } else {
            WRITER_CACHE
        };
        connection.pragma_update(None, "cache_size", -cache)?;
        connection.busy_timeout(BUSY)?;
        if read_only {
            connection.pragma_update(None, "query_only", true)?;
        }
        // Plans must not depend on bound values, or each cached statement is compiled again at every
        // use (a sixth of a merge); and no statement may touch the schema or the file's pages.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_prepared_statement_cache_capacity(256);
        functions::teach(&connection)?;
        if version > SCHEMA {
            let message = format!("the store has schema {version}, this version knows {SCHEMA}");
            return Err(Error::new(Code::StoreNewer, message));
        }
        Ok(connection)
    }
}

/// The statements that make the tables which are rebuilt from the others.
pub(crate) fn projections() -> impl Iterator<Item = String> {
    let projections = TABLES.split_once("\n----").map_or("", |(_, rest)| rest);
    statements(projections)
}

/// The names of these tables.
pub(crate) fn projection_names() -> impl Iterator<Item = String> {
    projections().filter_map(|statement| {
        let table = statement.split_once("CREATE TABLE ");
        let (_, rest) = table.or_else(|| statement.split_once("CREATE VIRTUAL TABLE "))?;
        Some(rest.split_once(' ')?.0.to_owned())
    })
}

/// The table among them that FTS5 keeps, and the tables in which it keeps it: they come and go with it.
pub(crate) const INDEX: (&str, [&str; 3]) = ("texts", ["texts_config", "texts_data", "texts_idx"]);

/// The statements of a script, without its comments.
fn statements(script: &str) -> impl Iterator<Item = String> {
    let lines = script.lines().filter(|line| !line.starts_with("--"));
    let script = lines.collect::<Vec<_>>().join("\n");
    let statements = script.split_inclusive(';').map(str::to_owned);
    statements.collect::<Vec<_>>().into_iter()
}

/// A database with empty projections beside the store of a connection, encrypted as that is, and the directory of both. All else
/// is found in the store, which is attached.
///
/// # Errors
/// It cannot be made.
pub(crate) fn beside(connection: &Connection) -> Result<(Connection, PathBuf)> {
    let store = store_of(connection)?;
    remove(&store.directory.join(BESIDE))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let beside = store.connect_to(BESIDE, flags, false)?;
    restrict(&store.directory.join(BESIDE), 0o600)?;
    // Nobody needs what a crash leaves of it.
    beside.execute_batch("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;")?;
    let path = store.directory.join(DATABASE);
    let path = path.to_str().ok_or_else(|| {
        let message = "the data directory has a name that is not Unicode";
        Error::new(Code::File, message)
    })?;
    let attach = "ATTACH DATABASE ?1 AS store KEY ?2";
    beside.execute(attach, [path, store.raw_key().as_str()])?;
    // Numbers that are found are counted here, and kept nowhere.
    let counters = statements(TABLES).filter(|it| it.contains("CREATE TABLE counters"));
    for statement in counters.chain(projections()) {
        beside.execute_batch(&statement)?;
    }
    Ok((beside, store.directory))
}

/// Removes such a database; of the store itself nothing.
///
/// # Errors
/// The file cannot be removed.
pub(crate) fn remove_beside(connection: &Connection) -> Result<()> {
    let path = connection.path().map(Path::new);
    let directory = path.and_then(Path::parent).unwrap_or(Path::new(""));
    remove(&directory.join(BESIDE))
}

/// Brings the schema up to date, in one transaction.
fn migrate(connection: &Connection) -> Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version >= SCHEMA {
        return Ok(());
    }
    let mut steps = vec!["BEGIN".to_owned()];
    if version == 0 {
        steps.push(TABLES.to_owned());
    } else {
        let from = usize::try_from(version - 1).unwrap_or_default();
        steps.extend(STEPS.iter().skip(from).map(|step| (*step).to_owned()));
        // What is made from the logs is made anew.
        for name in projection_names() {
            steps.push(format!("DROP TABLE IF EXISTS {name}"));
        }
        steps.extend(projections());
        steps.push("UPDATE logs SET indexed_len = 0, judged_len = 0".to_owned());
    }
    steps.push(format!("PRAGMA user_version = {SCHEMA}"));
    steps.push("COMMIT".to_owned());
    Ok(connection.execute_batch(&steps.join(";\n"))?)
}

/// Begins a file that only its owner may read, in the place of what was there. What was there is unlinked and not written
/// to: it may be a link to somewhere else, or have another owner's mode.
///
/// # Errors
/// It cannot be made.
pub fn create_private(path: &Path) -> Result<File> {
    remove(path)?;
    new_private(path)
}

fn new_private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(error::file(path))
}

/// Makes a directory that only its owner may use, with those above it, unless it is there.
///
/// # Errors
/// It cannot be made.
pub fn private_directory(directory: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory).map_err(error::file(directory))
}

/// Refuses a data directory of somebody else, and one that others may look into or put something in.
#[cfg(unix)]
fn is_private(directory: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(directory).map_err(error::file(directory))?;
    let refused = |why| {
        let message = format!("{} {why}", directory.display());
        Err(Error::new(Code::Directory, message))
    };
    // What a process runs as is the owner of what the system shows of it.
    let me = std::fs::metadata("/proc/self").map(|it| it.uid()).ok();
    if me.is_some_and(|me| me != about.uid()) {
        return refused("belongs to another user");
    }
    if about.mode() & 0o077 != 0 {
        return refused("is open to other users");
    }
    Ok(())
}

/// Directories have other rights here.
#[cfg(not(unix))]
fn is_private(_: &Path) -> Result<()> {
    Ok(())
}

/// Writes a file that only its owner may read, durably and whole or not at all.
///
/// # Errors
/// The file exists already, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = new_private(path)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(error::file(path))
}

/// Where positions are kept outside the data directories.
static OFFERED: OnceLock<PathBuf> = OnceLock::new();

/// Says, once for this process, in which directory what devices have offered is kept as well, so that a data directory
/// that was put back as a whole is found to be. It is made if there is none. Without it there is one file alone.
///
/// # Errors
/// [`Code::File`] when the directory cannot be made.
pub fn keep_offered_in(directory: &Path) -> Result<()> {
    private_directory(directory)?;
    restrict(directory, 0o700)?;
    OFFERED.get_or_init(|| directory.to_owned());
    Ok(())
}

/// The file there of one device, if there is such a directory.
pub(crate) fn offered_outside(device: &DeviceKey) -> Option<PathBuf> {
    OFFERED
        .get()
        .map(|directory| directory.join(Hex(&device.0).to_string()))
}

/// Replaces a private file: the new content is durable before it takes the old one's name.
///
/// # Errors
/// The file cannot be written.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    remove(&fresh)?;
    write_private(&fresh, bytes)?;
    std::fs::rename(&fresh, path).map_err(error::file(path))?;
    // A bare name has an empty parent, which is the working directory.
    let parent = path.parent().unwrap_or(Path::new(""));
    let here = parent.as_os_str().is_empty();
    sync_directory(if here { Path::new(".") } else { parent })
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

/// Copies a database that is open and has lost its name, encrypted as it is, and gives the copy's path.
///
/// # Errors
/// The directory is gone as well, or there is no room.
pub(crate) fn rescue(connection: &Connection, directory: &Path) -> Result<PathBuf> {
    let path = directory.join(format!("rescued-{}.db", clock::now_ms()));
    let to = path.to_str().ok_or_else(|| {
        let message = "the data directory has a name that is not Unicode";
        Error::new(Code::File, message)
    })?;
    // A copy holds what is durable, and none can be made within a transaction.
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    connection.execute("VACUUM INTO ?1", [to])?;
    restrict(&path, 0o600)?;
    Ok(path)
}

/// Another connection to the store of this one, which cannot write: what fails there does not fail here.
///
/// # Errors
/// The store cannot be opened.
pub(crate) fn another(connection: &Connection) -> Result<Connection> {
    store_of(connection)?.reader()
}

/// Replaces a connection that has met a page which cannot be decrypted: SQLCipher keeps the error, and nothing more is read
/// there. It is in no transaction.
///
/// # Errors
/// The store cannot be opened again.
pub(crate) fn revive(connection: &mut Connection) -> Result<()> {
    *connection = store_of(connection)?.writer()?;
    Ok(())
}

/// Moves what stands in the write-ahead log into the database and makes the log short, unless somebody reads in it now.
///
/// # Errors
/// The database cannot be written.
pub(crate) fn empty_log(connection: &Connection) -> Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(BUSY)?;
    Ok(emptied?)
}

/// Whether a connection reads nothing more. It may still give what it has read before.
pub(crate) fn is_stuck(connection: &Connection) -> bool {
    meta(connection, "network").is_err()
}

/// The same for a connection that cannot write.
///
/// # Errors
/// The store cannot be opened again.
pub(crate) fn renew(connection: &mut Connection) -> Result<()> {
    *connection = another(connection)?;
    Ok(())
}

fn store_of(connection: &Connection) -> Result<Store> {
    let path = connection.path().map(Path::new);
    let nameless = || Error::new(Code::Internal, "a database without a file");
    Store::open(path.and_then(Path::parent).ok_or_else(nameless)?)
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
