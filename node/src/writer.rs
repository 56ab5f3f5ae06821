//! The one writer of a store: transactions around the journal, and the thread that runs them.
//!
//! [`Writer`] is plain and synchronous: the command line without a daemon, tests and the simulator use
//! it directly. [`WriterThread`] puts a queue in front of it, runs what has queued up in one
//! transaction, and answers after the common commit (group commit: one fsync for all). Nothing is
//! answered before it is durable.
//!
//! The queue has three lanes. What a person at this computer waits for goes before what came over a line and what is merged behind it,
//! and shares no transaction with it; a group of those ends as soon as somebody waits. What nobody waits for, the index of texts, is
//! begun where nothing else has come for a while, so that neither a line nor a merge stands behind it.
//!
//! A job that is refused has written nothing, since work plans before it writes, and its group goes on. One that fails
//! while it writes takes the transaction back; then each job of the group is run again in a transaction of its own,
//! so that a damaged place fails who touches it and nobody else. A disk that is full fails each of them, with its cause.
//!
//! The process ends when the thread panics, when the database is removed under it, and when a transaction failed and
//! the journal could not be read again: what is in memory is then no more than a guess, nobody else can write, and
//! started anew it reads what is durable.
//!
//! Rejected: a savepoint for each job. It takes back the database and not the journal's memory, of which there would
//! have to be a copy for each job, or an undo beside every change of it; to run again costs only where something failed.

mod queue;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lianxin_protocol::authority::Authority;
use lianxin_protocol::limits;
use lianxin_protocol::log::{Author, LogId};
use queue::{Lane, Queue};
use rusqlite::{Connection, MAIN_DB};
use tracing::Span;

use crate::clock;
use crate::error::{Code, Error, Result, stopping};
use crate::journal::{Journal, Moved, Which};
use crate::published;
use crate::reader::{Found, Latest, Readers};
use crate::records::{self, delivery, reproject, rewrite};
use crate::requests;
use crate::search;
use crate::store::{self, Lock, Store, Watched};

/// Jobs in one transaction: bounds how long the first of them waits.
const GROUP: usize = 128;
/// Bytes that the jobs of one transaction bring from elsewhere, after which it is committed: what is not durable is sent again
/// after a crash.
const GROUP_BYTES: usize = 4 << 20;
/// Bytes of a log of which more is on its way that are waited for before they are committed, and how long the next piece may take:
/// each commit is one more receipt for its sender. No more than half of what a sender may have unconfirmed, so that neither waits
/// for the other.
const GATHERED_BYTES: usize = limits::UNCOMMITTED_BYTES / 2;
const GATHERED_WITHIN: Duration = Duration::from_millis(4);
/// Entries indexed in one transaction behind ingest.
pub(crate) const INDEX_SLICE: u64 = 4_096;
/// Records projected in one transaction behind ingest: about ten milliseconds.
pub(crate) const MERGE_SLICE: usize = 256;

/// Time without a job after which nobody is about to come.
const IDLE: Duration = Duration::from_secs(2);

/// Said when the process ends because nothing can be kept.
const ENDS: &str = "nothing can be kept in the store any more; the program ends";

/// The connection that writes, with its journal. It holds the directory's lock.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    /// The write path.
    pub journal: Journal,
    store: Store,
    /// What readers are shown.
    latest: Latest,
    database: Watched,
    /// A transaction failed and what it left in memory could not be replaced.
    broken: bool,
    /// Lists were emptied that could not be read, and nobody was told to fill them.
    emptied: bool,
    _lock: Lock,
}

impl Writer {
    /// Opens the store of a data directory for writing.
    ///
    /// # Errors
    /// [`Code::InUse`] when another process writes there; see [`Store::open`] for the rest.
    pub fn open(store: &Store) -> Result<Self> {
        Self::open_with(store, Lock::take(store.directory())?)
    }

    /// The same for whoever holds the lock of the data directory.
    ///
    /// # Errors
    /// See [`Store::open`].
    pub fn open_with(store: &Store, lock: Lock) -> Result<Self> {
        store.clear()?;
        let mut connection = store.writer()?;
        if let Err(error) = reproject::clear(&connection) {
            tracing::warn!(error = %error.chain(), "spare tables are not freed");
        }
        let journal = match Journal::open(&mut connection, store.directory()) {
            Err(error) if error.is_of_a_page() => {
                connection = store.writer()?;
                if !reproject::empty_unreadable(&connection)? {
                    return Err(error);
                }
                connection = store.writer()?;
                Journal::open(&mut connection, store.directory())?
            }
            journal => journal?,
        };
        let mut writer = Self {
            connection,
            store: store.clone(),
            latest: Latest::new(journal.overview()),
            database: store.watch()?,
            journal,
            broken: false,
            emptied: false,
            _lock: lock,
        };
        writer.go_by_published()?;
        Ok(writer)
    }

    /// Goes by the published kinds. Nothing of a log is written, and no clock is looked at: this is no transaction of the journal.
    fn go_by_published(&mut self) -> Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        let renewed = published::renew(&transaction, &mut self.journal);
        let Err(error) = renewed else {
            return Ok(transaction.commit()?);
        };
        drop(transaction);
        // A connection that has read a long row over a page which cannot be decrypted says so by taking nothing more.
        let page = error.is_of_a_page() || self.connection.is_readonly(MAIN_DB)?;
        if error.code() != Code::StoreCorrupt && !page {
            return Err(error);
        }
        // Lists that cannot be read are made anew further on, and the next start goes by what was published.
        tracing::warn!(error = %error.chain(), "published kinds cannot be read");
        self.roll_back(page)
    }

    /// The connection, between transactions.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Readers of the same store. They are to tell what they find damaged.
    pub fn readers(&self, tell: impl Fn(Found) + Send + Sync + 'static) -> Readers {
        Readers::new(self.store.clone(), self.latest.clone(), tell)
    }

    /// Runs work on what is durable: everything it reads is of one moment.
    ///
    /// # Errors
    /// Those of the work.
    pub fn read<R>(
        &mut self,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R>,
    ) -> Result<R> {
        self.is_whole()?;
        self.is_there()?;
        // One snapshot for many statements, which also takes the file's locks once.
        let begun = self.connection.execute_batch("BEGIN");
        let done = work(&mut self.journal, &self.connection);
        if begun.is_ok()
            && let Err(error) = self.connection.execute_batch("COMMIT")
        {
            // A connection that has met damage commits nothing any more.
            let page = store::is_stuck(&self.connection)
                || matches!(&done, Err(error) if error.is_of_a_page());
            self.roll_back(page)?;
            return if page {
                done
            } else {
                done.and(Err(error.into()))
            };
        }
        self.tend()?;
        // What is on its way, for one, is known in memory alone.
        self.latest.show(self.journal.overview());
        done
    }

    /// Runs work in a transaction and commits it: when this returns `Ok`, it is durable.
    ///
    /// # Errors
    /// Those of the work, which has then left nothing, and those of the commit.
    pub fn transact<R>(
        &mut self,
        now_ms: u64,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R>,
    ) -> Result<(R, Moved)> {
        self.is_whole()?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        self.journal.begins(now_ms);
        let written = self.connection.total_changes();
        let done = work(&mut self.journal, &self.connection);
        let done = done.and_then(|answer| {
            let moved = self.journal.flush(&self.connection, now_ms)?;
            let (latest, journal, connection) = (&self.latest, &mut self.journal, &self.connection);
            latest.commit(|| {
                connection.execute_batch("COMMIT")?;
                // A commit of nothing needs no room.
                journal.disk_is_full &= connection.total_changes() == written;
                journal.committed();
                Ok(journal.overview())
            })?;
            Ok((answer, moved))
        });
        match &done {
            Ok(_) => {}
            Err(error) => {
                self.journal.disk_is_full |= error.code() == Code::DiskFull;
                self.is_there()?;
                let page = matches!(&done, Err(error) if error.is_of_a_page());
                self.roll_back(page).map_err(|error| {
                    let message = "a transaction failed, and the store could not be read again";
                    Error::because(Code::Store, message, error)
                })?;
                // What is made anew heals; another page that cannot be read goes on failing whoever needs it.
                self.journal.page_is_unreadable |= page && !self.emptied;
                self.latest.show(self.journal.overview());
            }
        }
        // Looked at after the commit: what was committed to a file that has no name is not durable.
        self.is_there()?;
        done
    }

    /// Whether what is in memory is what is durable.
    fn is_whole(&self) -> Result<()> {
        if self.broken {
            let message = "the store failed and could not be read again: start the program anew";
            return Err(Error::new(Code::Store, message));
        }
        Ok(())
    }

    /// Whether the database is where it was opened.
    fn is_there(&self) -> Result<()> {
        if self.database.is_there() {
            return Ok(());
        }
        let message = "the database was removed or replaced while it was in use";
        Err(Error::new(Code::StoreGone, message))
    }

    /// Whether nothing can be kept any more after this failure.
    fn is_lost(&self, error: &Error) -> bool {
        self.broken || error.code() == Code::StoreGone
    }

    /// Ends the process, which can keep nothing any more, with the cause; if the database has lost its name, with a copy of
    /// what it held.
    fn end(&self, cause: &Error) -> ! {
        let cause_chain = cause.chain();
        if cause.code() == Code::StoreGone {
            match store::rescue(&self.connection, self.store.directory()) {
                Ok(copy) => {
                    tracing::error!(error = %cause_chain, copy = %copy.display(), "{ENDS}, and what it held is in a copy");
                }
                Err(error) => {
                    tracing::error!(error = %cause_chain, "{ENDS}, and no copy can be made: {}", error.chain());
                }
            }
        } else {
            tracing::error!(error = %cause_chain, "{ENDS}");
        }
        // Whoever waits for an answer is told first.
        std::thread::sleep(Duration::from_millis(200));
        std::process::exit(cause.code().kind().exit_code().into());
    }

    /// Takes back what is not durable and reads the rest again; on another connection if this one has met a page that cannot be
    /// read.
    fn roll_back(&mut self, page: bool) -> Result<()> {
        // What has no name cannot be rolled back to anything, nor opened again.
        self.is_there()?;
        // Until the journal has been read again it may lack logs, and would begin others in their place.
        self.broken = true;
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        if page {
            self.revive()?;
        }
        self.journal.reload(&mut self.connection)?;
        self.broken = false;
        Ok(())
    }

    /// Replaces a connection that reads nothing more. If it was a list of which a page cannot be read, all lists are emptied,
    /// so that they are made anew.
    fn revive(&mut self) -> Result<()> {
        store::revive(&mut self.connection)?;
        if reproject::empty_unreadable(&self.connection)? {
            // The schema is another.
            store::revive(&mut self.connection)?;
            self.emptied = true;
        }
        Ok(())
    }

    /// Between transactions, when damage was found: cuts it out of its logs, and replaces a connection that reads nothing more.
    fn tend(&mut self) -> Result<()> {
        let stuck = store::is_stuck(&self.connection);
        if stuck || self.journal.is_suspicious() {
            self.roll_back(stuck)?;
        }
        Ok(())
    }

    /// Runs work in a transaction, and again as often as it came upon damage that was then cut out.
    ///
    /// # Errors
    /// Those of the work, which has then left nothing, and those of the commit.
    pub fn persist<R>(
        &mut self,
        work: impl Fn(&mut Journal, &Connection) -> Result<R>,
    ) -> Result<(R, Moved)> {
        loop {
            let before = self.journal.damage();
            match self.transact(self.journal.wall.now_ms(), &work) {
                Err(error)
                    if error.code() == Code::StoreCorrupt && self.journal.damage() != before => {}
                done => return done,
            }
        }
    }

    /// Indexes, merges and projects everything that waits, in slices, and carries out the requests that are
    /// due. Gives the number of records.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn catch_up(&mut self, mut progress: impl FnMut(u64)) -> Result<(u64, Moved)> {
        self.tend()?;
        loop {
            self.emptied = false;
            match self.catch_up_once(&mut progress) {
                Err(error) if error.code() == Code::StoreCorrupt && self.emptied => {}
                done => return done,
            }
        }
    }

    fn catch_up_once(&mut self, progress: &mut impl FnMut(u64)) -> Result<(u64, Moved)> {
        let mut all = Moved::default();
        let mut merged = 0;
        loop {
            let (more, moved) = self.persist(|journal, connection| {
                journal.index(connection, Which::All, INDEX_SLICE)
            })?;
            all.join(moved);
            if !more {
                break;
            }
        }
        self.merge(&mut merged, &mut all, progress)?;
        let mut seen = BTreeSet::new();
        loop {
            let due = self.read(|journal, connection| rewrite::due(connection, journal, &mut seen));
            let Some(due) = due? else { break };
            for key in due {
                let now = self.journal.wall.now_ms();
                let done = self.transact(now, |journal, connection| {
                    rewrite::carry_out(connection, journal, key, now)
                });
                match done {
                    Ok((_, moved)) => all.join(moved),
                    Err(error) => rewrite::failed(error)?,
                }
            }
            // What was written again is shown otherwise.
            self.merge(&mut merged, &mut all, progress)?;
        }
        for key in self.read(|journal, connection| requests::due(connection, journal))? {
            let now = self.journal.wall.now_ms();
            let done = self.transact(now, |journal, connection| {
                requests::carry_out(connection, journal, key, now)
            });
            match done {
                Ok((_, moved)) => all.join(moved),
                Err(error) => requests::failed(error)?,
            }
        }
        while self
            .persist(|journal, connection| delivery::tidy(connection, journal))?
            .0
        {}
        // Reading may have come upon damage, which is cut out then.
        self.merge(&mut merged, &mut all, progress)?;
        loop {
            let indexed = self.persist(|_, connection| search::index(connection));
            if !search::goes_on(indexed.map(|(more, _)| more))? {
                break;
            }
        }
        Ok((merged, all))
    }

    /// Merges and projects the records that wait, in slices.
    fn merge(
        &mut self,
        merged: &mut u64,
        all: &mut Moved,
        progress: &mut impl FnMut(u64),
    ) -> Result<()> {
        loop {
            let (count, moved) = self.persist(|journal, connection| {
                let stale = records::stale(connection, journal, MERGE_SLICE)?;
                for key in &stale {
                    records::merge(connection, journal, *key)?;
                }
                journal.judged(connection)?;
                Ok(stale.len() as u64)
            })?;
            all.join(moved);
            *merged += count;
            progress(*merged);
            if count == 0 {
                return Ok(());
            }
        }
    }
}

type Work = Box<dyn Fn(&mut Journal, &Connection) -> Result<Answer> + Send>;
type Answer = Box<dyn FnOnce() + Send>;
type Failed = Box<dyn FnOnce(Error) + Send>;
type Read = Box<dyn FnOnce(&mut Journal, &Connection) + Send>;

/// Work for a transaction, and who is told if it fails.
struct Write {
    work: Work,
    failed: Failed,
    /// What it stores from elsewhere.
    bytes: usize,
}

enum Job {
    /// Runs inside the transaction; the answer goes out after the commit.
    Write(Write),
    /// Runs between transactions and sees what is durable.
    After(Read),
    /// A reader has found damage.
    Damage(Found),
    Stop,
}

/// A handle to the thread that writes.
#[derive(Clone)]
pub struct WriterThread {
    door: Arc<Door>,
    lane: Lane,
    readers: Arc<Readers>,
}

impl std::fmt::Debug for WriterThread {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("WriterThread")
    }
}

impl WriterThread {
    /// Starts the thread. `publish` is called after each commit that moved something. Should the thread panic,
    /// the process ends with status 2.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        mut writer: Writer,
        publish: impl Fn(Moved) + Send + 'static,
    ) -> Result<(Self, std::thread::JoinHandle<()>)> {
        let queue = Arc::new(Queue::default());
        let told = Arc::clone(&queue);
        let readers = writer.readers(move |found| {
            // A writer that has stopped cuts nothing out any more.
            drop(told.push(Lane::Local, Job::Damage(found)));
        });
        let handle = Self {
            door: Arc::new(Door(Arc::clone(&queue))),
            lane: Lane::Local,
            readers: Arc::new(readers),
        };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let work = || run(&mut writer, &queue, &publish);
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    // What is in memory may be half done, and nobody else can write: a daemon without a
                    // writer would answer nothing for ever. Started again, it reads what is durable.
                    tracing::error!("the writer has panicked; the program ends");
                    std::process::exit(Code::Internal.kind().exit_code().into());
                }
                queue.close();
            })
            .map_err(|error| Error::because(Code::Internal, "cannot start a thread", error))?;
        Ok((handle, thread))
    }

    /// The same for work that nobody at this computer waits for.
    #[must_use]
    pub fn behind(&self) -> Self {
        Self {
            lane: Lane::Behind,
            ..self.clone()
        }
    }

    /// The same for work whose time is when nothing else has come for a while.
    #[must_use]
    pub fn idle(&self) -> Self {
        Self {
            lane: Lane::Idle,
            ..self.clone()
        }
    }

    /// Who reads beside it.
    #[must_use]
    pub const fn readers(&self) -> &Arc<Readers> {
        &self.readers
    }

    /// Who writes a stored log, as of the last commit.
    #[must_use]
    pub fn author(&self, log: &LogId) -> Option<Author> {
        self.readers.look(|view| view.author_of(log))
    }

    /// Who may do what, as of the last commit.
    #[must_use]
    pub fn authority(&self) -> Arc<Authority> {
        self.readers.look(|view| view.shared_authority())
    }

    /// Queues work for the next transaction; `reply` is called once it is durable, or has failed. Work is run again if the
    /// transaction in which it ran was taken back. Nobody waits for room in the queue.
    pub fn write<R: Send + 'static>(
        &self,
        work: impl Fn(&mut Journal, &Connection) -> Result<R> + Send + 'static,
        reply: impl FnOnce(Result<R>) + Send + 'static,
    ) {
        self.write_bytes(0, work, reply);
    }

    /// The same for work that stores so many bytes from elsewhere.
    pub fn write_bytes<R: Send + 'static>(
        &self,
        bytes: usize,
        work: impl Fn(&mut Journal, &Connection) -> Result<R> + Send + 'static,
        reply: impl FnOnce(Result<R>) + Send + 'static,
    ) {
        let reply = Arc::new(Mutex::new(Some(reply)));
        let failed = Arc::clone(&reply);
        let take =
            |slot: &Mutex<Option<_>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What is said meanwhile belongs to whoever wanted it.
        let span = Span::current();
        let work: Work = Box::new(move |journal, connection| {
            let result = span.in_scope(|| work(journal, connection))?;
            let reply = Arc::clone(&reply);
            let answer: Answer = Box::new(move || {
                if let Some(reply) = take(&reply) {
                    reply(Ok(result));
                }
            });
            Ok(answer)
        });
        let failed: Failed = Box::new(move |error| {
            if let Some(reply) = take(&failed) {
                reply(Err(error));
            }
        });
        let write = Write {
            work,
            failed,
            bytes,
        };
        if let Some(Job::Write(write)) = self.door.0.push(self.lane, Job::Write(write)) {
            (write.failed)(stopping());
        }
    }

    /// Queues work that sees what is durable and writes nothing to the database.
    pub fn after(&self, work: impl FnOnce(&mut Journal, &Connection) + Send + 'static) {
        let span = Span::current();
        let work = move |journal: &mut Journal, connection: &Connection| {
            span.in_scope(|| work(journal, connection));
        };
        // A stopped writer drops the work, and with it the channel that it would answer on.
        drop(self.door.0.push(self.lane, Job::After(Box::new(work))));
    }

    /// Writes and waits for the answer.
    ///
    /// # Errors
    /// Those of the work and of the commit.
    pub fn write_wait<R: Send + 'static>(
        &self,
        work: impl Fn(&mut Journal, &Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (sender, receiver) = sync_channel(1);
        self.write(work, move |result| drop(sender.send(result)));
        receiver.recv().map_err(|_| stopping())?
    }

    /// Runs work between transactions and waits for its answer.
    ///
    /// # Errors
    /// Those of the work.
    pub fn after_wait<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (sender, receiver) = sync_channel(1);
        self.after(move |journal, connection| drop(sender.send(work(journal, connection))));
        receiver.recv().map_err(|_| stopping())?
    }

    /// Whether it is at work, or about to be.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.door.0.is_busy()
    }

    /// Whether the thread takes no more work.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.door.0.is_closed()
    }

    /// Lets what is queued finish and ends the thread.
    pub fn stop(&self) {
        drop(self.door.0.push(Lane::Behind, Job::Stop));
    }
}

/// The way to the queue. When nobody has it any more the thread ends.
struct Door(Arc<Queue<Job>>);

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.0.push(Lane::Behind, Job::Stop));
    }
}

fn run(writer: &mut Writer, queue: &Queue<Job>, publish: &impl Fn(Moved)) {
    let mut written = 0;
    loop {
        // What has been written since the write-ahead log was last emptied is moved into the database while nobody waits.
        let changes = writer.connection.total_changes();
        let Some((lane, job)) = queue.pop((changes > written).then_some(IDLE)) else {
            written = changes;
            if let Err(error) = store::empty_log(&writer.connection) {
                tracing::warn!(error = %error.chain(), "the write-ahead log is not emptied");
            }
            continue;
        };
        match job {
            Job::Stop => return,
            Job::After(work) => {
                let done = writer.read(|journal, connection| {
                    work(journal, connection);
                    Ok(())
                });
                if let Err(error) = done {
                    tracing::error!(error = %error.chain(), "the store cannot be read");
                    if writer.is_lost(&error) {
                        writer.end(&error);
                    }
                }
            }
            Job::Damage(found) => {
                writer.journal.suspect(found.suspects);
                if found.page
                    && let Err(error) = writer.roll_back(true)
                {
                    tracing::error!(error = %error.chain(), "the store cannot be read again");
                    if writer.is_lost(&error) {
                        writer.end(&error);
                    }
                }
            }
            Job::Write(write) => run_group(writer, write, Some((queue, lane)), publish),
        }
        tell_damage(writer, publish);
    }
}

/// Tells peers at once of damage that has just been found, and has the merger look at what is left.
fn tell_damage(writer: &mut Writer, publish: &impl Fn(Moved)) {
    if writer.journal.is_suspicious()
        && let Err(error) = writer.tend()
    {
        tracing::error!(error = %error.chain(), "the store cannot be read again");
        if writer.is_lost(&error) {
            writer.end(&error);
        }
    }
    if writer.journal.has_untold() || std::mem::take(&mut writer.emptied) {
        let nothing = Write {
            work: Box::new(|_, _| Ok(Box::new(|| {}))),
            failed: Box::new(drop),
            bytes: 0,
        };
        run_group(writer, nothing, None, publish);
    }
}

/// Runs jobs in one transaction, with what each of them came to: this one, and what waits in its lane. One that is refused
/// before it wrote anything keeps nobody else from being durable.
fn run_together(
    writer: &mut Writer,
    group: &mut Vec<Write>,
    more: Option<(&Queue<Job>, Lane)>,
) -> Result<(Vec<Result<Answer>>, Moved)> {
    writer.transact(clock::now_ms(), |journal, connection| {
        let (mut outcomes, mut bytes) = (Vec::new(), 0_usize);
        while let Some(write) = group.get(outcomes.len()) {
            match (write.work)(journal, connection) {
                Err(error) if !error.leaves_nothing() => return Err(error),
                outcome => outcomes.push(outcome),
            }
            bytes = bytes.saturating_add(write.bytes);
            let is_full = outcomes.len() >= GROUP || bytes >= GROUP_BYTES;
            if outcomes.len() == group.len()
                && !is_full
                && let Some((queue, lane)) = more
            {
                let fits = |job: &Job| matches!(job, Job::Write(_));
                let gathers = bytes > 0 && bytes < GATHERED_BYTES && lane == Lane::Behind;
                let next = if gathers && journal.awaits_more() {
                    queue.pop_soon(lane, fits, GATHERED_WITHIN)
                } else {
                    queue.pop_if(lane, fits)
                };
                if let Some(Job::Write(next)) = next {
                    group.push(next);
                }
            }
        }
        // Alone, a job does what it must and no more: what fails here must not fail it again. Nor does a save carry what came
        // over a line.
        if matches!(more, Some((_, Lane::Behind))) {
            records::merge_little(connection, journal)?;
        }
        Ok(outcomes)
    })
}

/// Makes a group of jobs durable and answers it: in one transaction, or each by itself if that one fails.
fn run_group(
    writer: &mut Writer,
    first: Write,
    more: Option<(&Queue<Job>, Lane)>,
    publish: &impl Fn(Moved),
) {
    let mut group = vec![first];
    let error = match run_together(writer, &mut group, more) {
        Ok((outcomes, moved)) => {
            // rule:durable-first
            for (write, outcome) in group.into_iter().zip(outcomes) {
                match outcome {
                    Ok(answer) => answer(),
                    Err(error) => (write.failed)(error),
                }
            }
            if !moved.is_empty() || moved.stale || moved.awaited || moved.untidy {
                publish(moved);
            }
            return;
        }
        Err(error) => error,
    };
    tracing::error!(error = %error.chain(), "a transaction failed; nothing of it was kept");
    let lost = writer.is_lost(&error);
    if group.len() > 1 && !lost {
        for write in group {
            run_group(writer, write, None, publish);
        }
        return;
    }
    for write in group {
        (write.failed)(Error::new(error.code(), error.chain()));
    }
    if lost {
        writer.end(&error);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::*;

    type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

    /// Set for the child process that a test starts of itself.
    const CHILD: &str = "LIANXIN_TEST_WRITER_IN";

    fn hub(directory: &Path) -> Result<WriterThread> {
        let init = crate::setup::HubInit {
            name: "示例街道",
            code: None,
            listen: None,
            web: None,
            recovery_out: None,
        };
        crate::setup::hub_init(directory, &init)?;
        let store = Store::open(directory)?;
        Ok(WriterThread::start(Writer::open(&store)?, |_| {})?.0)
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lianxin-writer-{name}-{}", std::process::id()))
    }

    /// Runs a test again in a process of its own and gives that process's end. What it does there is done with the
    /// directory that it finds in [`CHILD`].
    fn in_a_child(name: &str) -> std::io::Result<std::process::Output> {
        let directory = scratch(name);
        let output = std::process::Command::new(std::env::current_exe()?)
            .args(["--exact", &format!("writer::tests::{name}")])
            .env(CHILD, &directory)
            .output()?;
        std::fs::remove_dir_all(&directory)?;
        Ok(output)
    }

    /// Work may fail because the database is gone, and the transaction then stands open.
    #[test]
    fn what_is_durable_is_rescued_out_of_a_transaction() -> Tested {
        let directory = scratch("rescued");
        drop(hub(&directory)?);
        let connection = Store::open(&directory)?.writer()?;
        std::fs::rename(directory.join("lianxin.db"), directory.join("elsewhere"))?;
        connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM accounts;")?;
        let copy = store::rescue(&connection, &directory)?;
        // The write-ahead log there is that of the database which has lost its name, and lies over no other.
        drop(connection);
        for of in ["lianxin.db-wal", "lianxin.db-shm"] {
            let _gone = std::fs::remove_file(directory.join(of));
        }
        std::fs::rename(&copy, directory.join("lianxin.db"))?;
        let accounts: u64 = Store::open(&directory)?.reader()?.query_row(
            "SELECT count(*) FROM accounts",
            [],
            |row| row.get(0),
        )?;
        std::fs::remove_dir_all(&directory)?;
        assert_eq!(accounts, 1, "what was not durable is in the copy");
        Ok(())
    }

    #[test]
    fn a_job_that_fails_while_writing_fails_alone() -> Tested {
        let directory = scratch("alone");
        let thread = hub(&directory)?;
        // The thread is held up until all are queued, so that they are one group.
        let (go_on, held_up) = sync_channel::<()>(0);
        thread.after(move |_, _| {
            let _released = held_up.recv();
        });
        let (sender, answers) = sync_channel(8);
        for nth in 0..5_u8 {
            let sender = sender.clone();
            thread.write(
                move |journal, connection| {
                    let space = lianxin_protocol::space::Space::Hub.id(&journal.identity().network);
                    let entry = lianxin_protocol::log::NewEntry::plain(
                        lianxin_protocol::log::EntryKind::Request,
                        vec![nth],
                    );
                    journal.append(connection, space, vec![entry], clock::now_ms())?;
                    store::set_meta(connection, &format!("nth {nth}"), &[nth])?;
                    if nth == 2 {
                        let message = "a segment that cannot be read";
                        return Err(Error::new(Code::StoreCorrupt, message));
                    }
                    Ok(nth)
                },
                move |result| {
                    let result = result.map_err(|error| error.code());
                    let _told = sender.send((nth, result));
                },
            );
        }
        drop(sender);
        go_on.send(())?;
        let answers: BTreeMap<u8, Result<u8, Code>> = answers.iter().collect();
        let wanted = (0..5).map(|nth| {
            (
                nth,
                if nth == 2 {
                    Err(Code::StoreCorrupt)
                } else {
                    Ok(nth)
                },
            )
        });
        assert_eq!(answers, wanted.collect());
        // Each is there as often as it was acknowledged, in a log that goes on.
        let (kept, report) = thread.after_wait(|journal, connection| {
            let mut kept = Vec::new();
            for nth in 0..5_u8 {
                kept.push(store::meta(connection, &format!("nth {nth}"))?.is_some());
            }
            Ok((kept, journal.verify(connection)?))
        })?;
        assert_eq!(kept, [true, true, false, true, true]);
        assert_eq!(report.bad, Vec::<String>::new());
        thread.stop();
        Ok(std::fs::remove_dir_all(&directory)?)
    }

    /// However long somebody reads, and however much has come over lines, a save waits for neither.
    #[test]
    fn a_save_waits_for_no_reader_and_for_nothing_from_elsewhere() -> Tested {
        let directory = scratch("beside");
        let thread = hub(&directory)?;
        let kept = |connection: &Connection| store::meta(connection, "kept");
        let save = |thread: &WriterThread| {
            thread.write_wait(|_, connection| store::set_meta(connection, "kept", b"1"))
        };
        let readers = thread.readers();
        // Whoever reads goes on with what was there when they began.
        readers.read(|_, connection| {
            save(&thread)?;
            assert_eq!(kept(connection)?, None);
            Ok(())
        })?;
        assert_eq!(
            readers.read(|_, connection| kept(connection))?,
            Some(b"1".into())
        );
        // The thread is held up until all are queued.
        let (go_on, held_up) = sync_channel::<()>(0);
        thread.after(move |_, _| {
            let _released = held_up.recv();
        });
        let (sender, order) = std::sync::mpsc::channel();
        let queue = |thread: &WriterThread, name: &'static str| {
            let sender = sender.clone();
            thread.write(
                |_, _| Ok(()),
                move |_| {
                    let _told = sender.send(name);
                },
            );
        };
        let behind = thread.behind();
        for _ in 0..1_000 {
            queue(&behind, "from elsewhere");
        }
        queue(&thread, "here");
        drop(sender);
        go_on.send(())?;
        assert_eq!(order.recv()?, "here");
        assert_eq!(order.iter().count(), 1_000);
        thread.stop();
        Ok(std::fs::remove_dir_all(&directory)?)
    }

    /// Rows and overview are of one commit, in whatever order commits and readers come.
    #[test]
    fn a_reader_sees_rows_and_overview_of_one_commit() -> Tested {
        let directory = scratch("one-commit");
        let thread = hub(&directory)?;
        let append = |journal: &mut Journal, connection: &Connection| {
            let space = lianxin_protocol::space::Space::Hub.id(&journal.identity().network);
            let entry = lianxin_protocol::log::NewEntry::plain(
                lianxin_protocol::log::EntryKind::Request,
                vec![1],
            );
            journal.append(connection, space, vec![entry], clock::now_ms())
        };
        let readers = thread.readers();
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| -> Result<u64> {
                let (mut seen, mut differ) = (0, 0);
                while seen < 200 {
                    let (stored, known) = readers.read(|books, connection| {
                        let stored: u64 =
                            connection
                                .query_row("SELECT sum(len) FROM logs", [], |row| row.get(0))?;
                        Ok((stored, books.entries()))
                    })?;
                    differ += u64::from(stored != known);
                    seen = known;
                }
                Ok(differ)
            });
            for _ in 0..250 {
                thread.write_wait(append)?;
            }
            assert_eq!(reading.join().map_err(|_| "a reader panicked")??, 0);
            Result::<_, Box<dyn std::error::Error>>::Ok(())
        })?;
        thread.stop();
        Ok(std::fs::remove_dir_all(&directory)?)
    }

    #[test]
    fn a_writer_that_panics_ends_the_process() -> Tested {
        if let Some(directory) = std::env::var_os(CHILD) {
            let thread = hub(Path::new(&directory))?;
            let panics = |_: &mut Journal, _: &Connection| -> Result<()> { panic!("planned") };
            // Nobody ever answers this, and it must not wait for ever.
            let waited = thread.write_wait(panics);
            std::thread::sleep(Duration::from_secs(20));
            return Err(format!("the process lives: {waited:?}").into());
        }
        let output = in_a_child("a_writer_that_panics_ends_the_process")?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        Ok(())
    }

    #[test]
    fn a_writer_that_cannot_read_its_store_again_ends_the_process() -> Tested {
        if let Some(directory) = std::env::var_os(CHILD) {
            let thread = hub(Path::new(&directory))?;
            // It takes with it what the journal needs to be read again, and fails.
            let spoils = |_: &mut Journal, connection: &Connection| -> Result<()> {
                connection.execute_batch("DELETE FROM meta WHERE key = 'network'; COMMIT;")?;
                Err(Error::new(Code::Store, "planned"))
            };
            let spoilt = thread.write_wait(spoils);
            if spoilt.is_ok() {
                return Err("the failure was acknowledged".into());
            }
            let waited =
                thread.write_wait(|_, connection| store::set_meta(connection, "later", &[]));
            std::thread::sleep(Duration::from_secs(20));
            return Err(format!("the process lives: {waited:?}").into());
        }
        let output = in_a_child("a_writer_that_cannot_read_its_store_again_ends_the_process")?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        Ok(())
    }
}
