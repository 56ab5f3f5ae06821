//! The one writer of a store: transactions around the journal, and the thread that runs them.
//!
//! [`Writer`] is plain and synchronous: the command line without a daemon, tests and the simulator use
//! it directly. [`WriterThread`] puts a bounded queue in front of it, runs what has queued up in one
//! transaction, and answers after the common commit (group commit: one fsync for all). Nothing is
//! answered before it is durable.
//!
//! A panic of the thread ends the process: see [`WriterThread::start`].
//!
//! Rejected: a savepoint for each job. Work plans before it writes, so a refused job has written
//! nothing; what fails while writing fails the whole transaction, which is what a failing disk is.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use lianxin_protocol::authority::Authority;
use lianxin_protocol::log::{Author, LogId};
use rusqlite::Connection;

use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::{Journal, Moved};
use crate::records::{self, Projection, rewrite};
use crate::requests;
use crate::store::{self, Lock, Store, Watched};

/// Jobs that wait for the writer before senders wait too.
const QUEUE: usize = 256;
/// Jobs in one transaction: bounds how long the first of them waits.
const GROUP: usize = 128;
/// Entries indexed in one transaction behind ingest.
pub(crate) const INDEX_SLICE: u64 = 4_096;
/// Records projected in one transaction behind ingest: about ten milliseconds.
pub(crate) const MERGE_SLICE: usize = 256;

/// The connection that writes, with its journal. It holds the directory's lock.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    /// The write path.
    pub journal: Journal,
    directory: PathBuf,
    database: Watched,
    /// A transaction failed and what it left in memory could not be replaced.
    broken: bool,
    _lock: Lock,
}

impl Writer {
    /// Opens the store of a data directory for writing.
    ///
    /// # Errors
    /// [`Code::InUse`] when another process writes there; see [`Store::open`] for the rest.
    pub fn open(store: &Store) -> Result<Self> {
        let lock = Lock::take(store.directory())?;
        let connection = store.writer()?;
        let journal = Journal::open(&connection, store.directory())?;
        Ok(Self {
            connection,
            directory: store.directory().to_owned(),
            database: store.watch()?,
            journal,
            broken: false,
            _lock: lock,
        })
    }

    /// The connection, between transactions.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Runs work on what is durable: everything it reads is of one moment.
    ///
    /// # Errors
    /// Those of the work.
    pub fn read<R>(
        &mut self,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R>,
    ) -> Result<R> {
        self.is_there()?;
        // One snapshot for many statements, which also takes the file's locks once.
        let begun = self.connection.execute_batch("BEGIN");
        let done = work(&mut self.journal, &self.connection);
        if begun.is_ok() {
            self.connection.execute_batch("COMMIT")?;
        }
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
        if self.broken {
            let message = "the store failed and could not be read again: start the program anew";
            return Err(Error::new(Code::Store, message));
        }
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(&mut self.journal, &self.connection);
        let done = done.and_then(|answer| {
            let moved = self.journal.flush(&self.connection, now_ms)?;
            self.connection.execute_batch("COMMIT")?;
            Ok((answer, moved))
        });
        match done {
            Ok(_) => self.journal.committed(),
            Err(_) => {
                // What has no name cannot be rolled back to anything either.
                self.is_there()?;
                self.roll_back()?;
            }
        }
        // Looked at after the commit: what was committed to a file that has no name is not durable.
        self.is_there()?;
        done
    }

    /// Whether the database is where it was opened.
    fn is_there(&self) -> Result<()> {
        if self.database.is_there() {
            return Ok(());
        }
        let message = "the database was removed or replaced while it was in use";
        Err(Error::new(Code::StoreGone, message))
    }

    /// Ends the process, which can keep nothing any more, with the cause, and with a copy of what the database held.
    fn end(&self) -> ! {
        const ENDS: &str =
            "the database was removed or replaced while it was in use; the program ends";
        match store::rescue(&self.connection, &self.directory) {
            Ok(copy) => {
                tracing::error!(copy = %copy.display(), "{ENDS}, and what it held is in a copy");
            }
            Err(error) => {
                tracing::error!(error = %error.chain(), "{ENDS}, and no copy can be made");
            }
        }
        // Whoever waits for an answer is told first.
        std::thread::sleep(std::time::Duration::from_millis(200));
        std::process::exit(Code::StoreGone.kind().exit_code().into());
    }

    fn roll_back(&mut self) -> Result<()> {
        // Until the journal has been read again it may lack logs, and would begin others in their place.
        self.broken = true;
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.journal.reload(&self.connection)?;
        self.broken = false;
        Ok(())
    }

    /// Indexes, merges and projects everything that waits, in slices, and carries out the requests that are
    /// due. Gives the number of records.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn catch_up(&mut self, mut progress: impl FnMut(u64)) -> Result<(u64, Moved)> {
        let mut all = Moved::default();
        let mut merged = 0;
        loop {
            let now = self.journal.wall.now_ms();
            let (more, moved) = self.transact(now, |journal, connection| {
                journal.index(connection, INDEX_SLICE)
            })?;
            all.join(moved);
            if !more {
                break;
            }
        }
        self.merge(&mut merged, &mut all, &mut progress)?;
        let mut seen = BTreeSet::new();
        while let Some(due) = rewrite::due(&self.connection, &mut self.journal, &mut seen)? {
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
            self.merge(&mut merged, &mut all, &mut progress)?;
        }
        for key in requests::due(&self.connection, &self.journal)? {
            let now = self.journal.wall.now_ms();
            let done = self.transact(now, |journal, connection| {
                requests::carry_out(connection, journal, key, now)
            });
            match done {
                Ok((_, moved)) => all.join(moved),
                Err(error) => requests::failed(error)?,
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
            let (count, moved) =
                self.transact(self.journal.wall.now_ms(), |journal, connection| {
                    let stale = records::stale(connection, MERGE_SLICE)?;
                    for key in &stale {
                        let gathered = records::gather_written(connection, journal, *key)?;
                        Projection::of(&gathered, journal.authority())
                            .write(connection, journal)?;
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

type Write = Box<dyn FnOnce(&mut Journal, &Connection) -> Result<Answer> + Send>;
type Answer = Box<dyn FnOnce() + Send>;
type Failed = Box<dyn FnOnce(Error) + Send>;
type Read = Box<dyn FnOnce(&mut Journal, &Connection) + Send>;

enum Job {
    /// Runs inside the transaction; the answer goes out after the commit.
    Write(Write, Failed),
    /// Runs between transactions and sees what is durable.
    After(Read),
    Stop,
}

/// What other threads may know of the journal, as of the last commit.
#[derive(Debug, Default)]
struct Published {
    authority: Option<Arc<Authority>>,
    authors: BTreeMap<LogId, Author>,
}

/// A handle to the thread that writes.
#[derive(Clone)]
pub struct WriterThread {
    jobs: SyncSender<Job>,
    published: Arc<Mutex<Published>>,
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
        let (jobs, queue) = sync_channel(QUEUE);
        let published = Arc::new(Mutex::new(Published::default()));
        let handle = Self { jobs, published };
        handle.show(&writer);
        let shown = handle.clone();
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let work = || run(&mut writer, &queue, &shown, &publish);
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    // What is in memory may be half done, and nobody else can write: a daemon without a
                    // writer would answer nothing for ever. Started again, it reads what is durable.
                    tracing::error!("the writer has panicked; the program ends");
                    std::process::exit(Code::Internal.kind().exit_code().into());
                }
            })
            .map_err(|error| Error::because(Code::Internal, "cannot start a thread", error))?;
        Ok((handle, thread))
    }

    fn show(&self, writer: &Writer) {
        let mut published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        published.authority = Some(writer.journal.shared_authority());
        published.authors = writer.journal.authors();
    }

    /// Who writes a stored log, as of the last commit.
    #[must_use]
    pub fn author(&self, log: &LogId) -> Option<Author> {
        let published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        published.authors.get(log).copied()
    }

    fn knows(&self, moved: &Moved) -> bool {
        let published = self
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        moved
            .tips
            .iter()
            .all(|(_, log, _)| published.authors.contains_key(log))
    }

    /// Who may do what, as of the last commit.
    #[must_use]
    pub fn authority(&self) -> Option<Arc<Authority>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .authority
            .clone()
    }

    /// Queues work for the next transaction; `reply` is called once it is durable, or has failed.
    /// Waits while the queue is full.
    pub fn write<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R> + Send + 'static,
        reply: impl FnOnce(Result<R>) + Send + 'static,
    ) {
        let reply = Arc::new(Mutex::new(Some(reply)));
        let failed = Arc::clone(&reply);
        let take =
            |slot: &Mutex<Option<_>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let work: Write = Box::new(move |journal, connection| {
            let result = work(journal, connection)?;
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
        if let Err(refused) = self.jobs.send(Job::Write(work, failed))
            && let Job::Write(_, failed) = refused.0
        {
            failed(stopped());
        }
    }

    /// Queues work that sees what is durable and writes nothing to the database.
    pub fn after(&self, work: impl FnOnce(&mut Journal, &Connection) + Send + 'static) {
        // A stopped writer drops the work, and with it the channel that it would answer on.
        drop(self.jobs.send(Job::After(Box::new(work))));
    }

    /// Writes and waits for the answer.
    ///
    /// # Errors
    /// Those of the work and of the commit.
    pub fn write_wait<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Journal, &Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (sender, receiver) = sync_channel(1);
        self.write(work, move |result| drop(sender.send(result)));
        receiver.recv().map_err(|_| stopped())?
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
        receiver.recv().map_err(|_| stopped())?
    }

    /// Lets what is queued finish and ends the thread.
    pub fn stop(&self) {
        drop(self.jobs.send(Job::Stop));
    }
}

fn stopped() -> Error {
    Error::new(Code::Internal, "the program is stopping")
}

fn run(writer: &mut Writer, queue: &Receiver<Job>, shown: &WriterThread, publish: &impl Fn(Moved)) {
    let mut waiting: Option<Job> = None;
    loop {
        let Some(first) = waiting.take().or_else(|| queue.recv().ok()) else {
            return;
        };
        match first {
            Job::Stop => return,
            Job::After(work) => {
                let done = writer.read(|journal, connection| {
                    work(journal, connection);
                    Ok(())
                });
                if let Err(error) = done {
                    tracing::error!(error = %error.chain(), "the store cannot be read");
                    if error.code() == Code::StoreGone {
                        writer.end();
                    }
                }
            }
            Job::Write(work, failed) => {
                let mut group = vec![(work, failed)];
                while group.len() < GROUP {
                    match queue.try_recv() {
                        Ok(Job::Write(work, failed)) => group.push((work, failed)),
                        Ok(other) => {
                            waiting = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                run_group(writer, group, shown, publish);
            }
        }
    }
}

/// One transaction for a group of jobs. A job that is refused before it wrote anything fails alone;
/// a failure of the store fails all.
fn run_group(
    writer: &mut Writer,
    group: Vec<(Write, Failed)>,
    shown: &WriterThread,
    publish: &impl Fn(Moved),
) {
    let mut answers: Vec<(Answer, Failed)> = Vec::with_capacity(group.len());
    let mut refused: Vec<(Failed, Error)> = Vec::new();
    let mut unstarted: Vec<Failed> = Vec::new();
    // Kept outside until the transaction has begun, or nobody could be told that it has not.
    let mut group = Some(group);
    let done = writer.transact(clock::now_ms(), |journal, connection| {
        let mut broken = None;
        for (work, failed) in group.take().into_iter().flatten() {
            if broken.is_some() {
                unstarted.push(failed);
                continue;
            }
            match work(journal, connection) {
                Ok(answer) => answers.push((answer, failed)),
                Err(error) if error.leaves_nothing() => refused.push((failed, error)),
                Err(error) => {
                    unstarted.push(failed);
                    broken = Some(error);
                }
            }
        }
        broken.map_or(Ok(()), Err)
    });
    match done {
        Ok(((), moved)) => {
            if moved.authority || !shown.knows(&moved) {
                shown.show(writer);
            }
            // rule:durable-first
            for (answer, _) in answers {
                answer();
            }
            if !moved.is_empty() || moved.stale {
                publish(moved);
            }
        }
        Err(error) => {
            tracing::error!(error = %error.chain(), "a transaction failed; nothing of it was kept");
            for failed in answers
                .into_iter()
                .map(|(_, failed)| failed)
                .chain(unstarted)
            {
                failed(Error::new(error.code(), error.chain()));
            }
            if error.code() == Code::StoreGone {
                writer.end();
            }
        }
    }
    for (failed, error) in refused {
        failed(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Set for the child process that this test starts of itself.
    const CHILD: &str = "LIANXIN_TEST_PANICKING_WRITER";

    #[test]
    fn a_writer_that_panics_ends_the_process() -> std::result::Result<(), Box<dyn std::error::Error>>
    {
        if let Some(directory) = std::env::var_os(CHILD) {
            let directory = std::path::Path::new(&directory);
            let init = crate::setup::HubInit {
                name: "示例街道",
                code: None,
                listen: None,
                web: None,
                recovery_out: None,
            };
            crate::setup::hub_init(directory, &init)?;
            let (thread, _) = WriterThread::start(Writer::open(&Store::open(directory)?)?, |_| {})?;
            let panics = |_: &mut Journal, _: &Connection| -> Result<()> { panic!("planned") };
            // Nobody ever answers this, and it must not wait for ever.
            let waited = thread.write_wait(panics);
            std::thread::sleep(std::time::Duration::from_secs(20));
            return Err(format!("the process lives: {waited:?}").into());
        }
        let directory = std::env::temp_dir().join(format!("lianxin-panic-{}", std::process::id()));
        let name = "writer::tests::a_writer_that_panics_ends_the_process";
        let output = std::process::Command::new(std::env::current_exe()?)
            .args(["--exact", name])
            .env(CHILD, &directory)
            .output()?;
        std::fs::remove_dir_all(&directory)?;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        Ok(())
    }
}
