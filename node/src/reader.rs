//! Reading beside the writer: snapshots of the database with the journal's overview of the same commit.
//!
//! A page, a list, a search, a check of the whole store: each reads what is durable on a connection of its own that cannot write, and
//! nothing that it does holds up a save. [`Latest`] is held while a transaction is committed and while a reader takes its snapshot,
//! so that rows and overview are of one commit. Whoever has been told that something is durable finds it.
//!
//! What a reader finds damaged it tells the writer, who alone can cut it out.
//!
//! Rejected: threads that read, with a queue before them. Who may read how much at once is another question for pages, commands and
//! the merger, and each of them has its own bound.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lianxin_protocol::log::LogId;
use rusqlite::Connection;

use crate::error::{Code, Result};
use crate::journal::{Books, Overview};
use crate::store::{self, Store};

/// Readers that are kept open for the next one who reads.
const KEPT: usize = 6;

/// The journal's overview as of the last commit.
#[derive(Clone, Debug)]
pub struct Latest(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held while something is committed, and while a snapshot is taken.
    gate: Mutex<()>,
    /// Held for no longer than it takes to copy it.
    overview: Mutex<Overview>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Latest {
    /// Of a store that was just opened.
    pub(crate) fn new(overview: Overview) -> Self {
        let (gate, overview) = (Mutex::new(()), Mutex::new(overview));
        Self(Arc::new(Shared { gate, overview }))
    }

    /// Looks at the overview. It waits for nobody who writes.
    pub fn look<R>(&self, look: impl FnOnce(&Overview) -> R) -> R {
        look(&lock(&self.0.overview))
    }

    /// Commits, and shows the overview that follows to whoever reads from now on.
    ///
    /// # Errors
    /// Those of the commit; then nothing else is shown.
    pub(crate) fn commit(&self, commit: impl FnOnce() -> Result<Overview>) -> Result<()> {
        let _gate = lock(&self.0.gate);
        self.show(commit()?);
        Ok(())
    }

    /// Shows what was changed in memory alone.
    pub(crate) fn show(&self, overview: Overview) {
        let before = std::mem::replace(&mut *lock(&self.0.overview), overview);
        // What nobody else has is given back outside of the lock.
        drop(before);
    }

    /// The overview of the snapshot that is taken meanwhile.
    fn take(&self, snapshot: impl FnOnce() -> Result<()>) -> Result<Overview> {
        let _gate = lock(&self.0.gate);
        snapshot()?;
        Ok(self.look(Overview::clone))
    }
}

/// What was found damaged while reading.
#[derive(Debug, Default)]
pub struct Found {
    /// Logs of which something is not what was stored.
    pub suspects: BTreeSet<LogId>,
    /// The database could not read one of its pages.
    pub page: bool,
}

impl Found {
    /// Takes in what else was found.
    pub fn join(&mut self, more: Self) {
        self.suspects.extend(more.suspects);
        self.page |= more.page;
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.suspects.is_empty() && !self.page
    }
}

/// A connection that cannot write, with what it has unpacked lately. One for each thread.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    books: Books,
    latest: Latest,
}

impl Reader {
    /// Opens one.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(store: &Store, latest: &Latest) -> Result<Self> {
        Ok(Self {
            connection: store.reader()?,
            books: Books::new(latest.look(Overview::clone)),
            latest: latest.clone(),
        })
    }

    /// Reads what is durable: everything is of one moment.
    ///
    /// # Errors
    /// Those of the work. A connection that has met a page which cannot be read is then another.
    pub fn read<R>(
        &mut self,
        work: impl FnOnce(&mut Books, &Connection) -> Result<R>,
    ) -> (Result<R>, Found) {
        let done = self.read_once(work);
        let mut found = Found {
            suspects: self.books.take_suspects(),
            page: false,
        };
        if let Err(error) = &done
            && error.code() == Code::StoreCorrupt
        {
            found.page = error.is_of_a_page();
            if let Err(error) = store::renew(&mut self.connection) {
                tracing::error!(error = %error.chain(), "a reader cannot be opened again");
            }
        }
        (done, found)
    }

    fn read_once<R>(
        &mut self,
        work: impl FnOnce(&mut Books, &Connection) -> Result<R>,
    ) -> Result<R> {
        let snapshot = self.connection.unchecked_transaction()?;
        // The snapshot is of the moment of the first read.
        let first = || store::meta(&snapshot, "network").map(drop);
        self.books.look_at(self.latest.take(first)?);
        let done = work(&mut self.books, &snapshot);
        // It wrote nothing, and what it read stands.
        let ended = snapshot.finish();
        let done = done?;
        ended?;
        Ok(done)
    }
}

/// Where readers come from.
pub struct Readers {
    store: Store,
    latest: Latest,
    idle: Mutex<Vec<Reader>>,
    /// Told of damage.
    tell: Box<dyn Fn(Found) + Send + Sync>,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Readers")
    }
}

impl Readers {
    pub(crate) fn new(
        store: Store,
        latest: Latest,
        tell: impl Fn(Found) + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            latest,
            idle: Mutex::new(Vec::new()),
            tell: Box::new(tell),
        }
    }

    /// Looks at the journal's overview as of the last commit. It waits for nobody.
    pub fn look<R>(&self, look: impl FnOnce(&Overview) -> R) -> R {
        self.latest.look(look)
    }

    /// A reader of one's own.
    ///
    /// # Errors
    /// The store cannot be opened.
    pub fn open(&self) -> Result<Reader> {
        Reader::open(&self.store, &self.latest)
    }

    /// Reads what is durable, for as long as it takes. How many do so at once is bounded by who calls.
    ///
    /// # Errors
    /// Those of the work; the store cannot be opened.
    pub fn read<R>(&self, work: impl FnOnce(&mut Books, &Connection) -> Result<R>) -> Result<R> {
        let reader = lock(&self.idle).pop();
        let mut reader = match reader {
            Some(reader) => reader,
            None => self.open()?,
        };
        let (done, found) = reader.read(work);
        let mut idle = lock(&self.idle);
        if idle.len() < KEPT {
            idle.push(reader);
        }
        drop(idle);
        self.tell(found);
        done
    }

    /// Tells the writer what was found damaged.
    pub fn tell(&self, found: Found) {
        if !found.is_nothing() {
            (self.tell)(found);
        }
    }
}
