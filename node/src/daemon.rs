//! One running node: writer, merger, network and their lifetimes, from start to graceful stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lianxin_protocol::identity::DeviceKey;
use tokio::sync::watch;

use crate::changes::Changes;
use crate::clock::{self, Monotonic};
use crate::error::{Code, Error, Result};
use crate::records::{self, Projection, Reader};
use crate::requests;
use crate::store::Store;
use crate::sync::Net;
use crate::writer::{INDEX_SLICE, MERGE_SLICE, Writer, WriterThread};

/// Quiet time after which a burst of arrivals is merged; each record once a burst.
const QUIET: Duration = Duration::from_millis(15);
/// Longest time that arrivals wait for their burst to end, in milliseconds.
const LONGEST_BURST_MS: u64 = 1_000;
/// Wait after a merge that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Threads that build documents: the merge is all computing, and pages need a core too.
const MERGERS: usize = 2;

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// The write path.
    pub writer: WriterThread,
    /// What commits moved.
    pub changes: Changes,
    /// The network.
    pub net: Arc<Net>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Opens a store, its writer, its merger and its socket, and lets peers in.
    ///
    /// # Errors
    /// The store is in use or damaged, or the address cannot be used.
    pub fn start(store: &Store, listen: SocketAddr) -> Result<Self> {
        let writer = Writer::open(store)?;
        let device = writer.journal.identity().device.clone();
        let epoch = writer.journal.identity().epoch;
        let changes = Changes::default();
        let (wake, sleep) = sync_channel(1);
        let published = changes.clone();
        let waker = wake.clone();
        let (writer, thread) = WriterThread::start(writer, move |moved| {
            if moved.stale {
                // A full channel has woken it already.
                let _woken = waker.try_send(());
            }
            published.publish(moved);
        })?;
        let readers = (0..MERGERS)
            .map(|_| store.reader().map(Reader::new))
            .collect::<Result<_>>()?;
        let merger = Merger {
            writer: writer.clone(),
            readers,
        };
        let merging = std::thread::Builder::new()
            .name("merger".to_owned())
            .spawn(move || merger.run(&sleep))
            .map_err(|error| Error::because(Code::Internal, "cannot start a thread", error))?;
        // What a crash left unmerged.
        let _woken = wake.try_send(());
        let net = Net::bind(listen, &device, epoch, writer.clone(), changes.clone())?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Arc::clone(&net).serve(stopped));
        Ok(Self {
            writer,
            changes,
            net,
            stop,
            threads: vec![thread, merging],
        })
    }

    /// Keeps a session with the hub open.
    pub fn follow(&self, addresses: Vec<String>, hub: DeviceKey) {
        tokio::spawn(Arc::clone(&self.net).keep(addresses, hub, self.stop.subscribe()));
    }

    /// Told when the node stops.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Says goodbye to peers, finishes what is queued and closes the store.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // Sessions say goodbye; those that cannot are closed with the socket.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.net.close().await;
        self.writer.stop();
        let Self {
            writer,
            net,
            changes,
            threads,
            ..
        } = self;
        drop((writer, net, changes));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a thread of the node has panicked");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("the node did not stop cleanly");
        }
    }
}

/// Indexes, merges and projects behind ingest: documents are built on its threads, the writer only
/// writes rows, in slices, and only where the version is still the one that was read.
struct Merger {
    writer: WriterThread,
    readers: Vec<Reader>,
}

impl Merger {
    fn run(mut self, wake: &Receiver<()>) {
        while wake.recv().is_ok() {
            let clock = Monotonic::start();
            while clock.ms() < LONGEST_BURST_MS {
                match wake.recv_timeout(QUIET) {
                    Ok(()) => {}
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
            while let Err(error) = self.catch_up() {
                // The queue is in the store: it is tried again, now and at the next start.
                tracing::warn!(error = %error.chain(), "merging was interrupted");
                if error.code() == Code::Internal {
                    break;
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    fn catch_up(&mut self) -> Result<()> {
        while self
            .writer
            .write_wait(|journal, connection| journal.index(connection, INDEX_SLICE))?
        {}
        loop {
            let Some(first) = self.readers.first() else {
                return Ok(());
            };
            let stale = records::stale(first.connection(), MERGE_SLICE * self.readers.len())?;
            if stale.is_empty() {
                self.writer
                    .write_wait(|journal, connection| journal.judged(connection))?;
                return self.carry_out();
            }
            let Some(authority) = self.writer.authority() else {
                return Ok(());
            };
            let share = stale.len().div_ceil(self.readers.len());
            let authority = &authority;
            let built = std::thread::scope(|scope| {
                let jobs: Vec<_> = self
                    .readers
                    .iter_mut()
                    .zip(stale.chunks(share))
                    .map(|(reader, keys)| {
                        scope.spawn(move || -> Result<Vec<Projection>> {
                            let build = |key: &i64| {
                                let gathered = reader.gather(*key)?;
                                Ok(Projection::of(&gathered, authority))
                            };
                            keys.iter().map(build).collect()
                        })
                    })
                    .collect();
                let panicked = || Error::new(Code::Internal, "a merging thread panicked");
                jobs.into_iter()
                    .map(|job| job.join().map_err(|_| panicked())?)
                    .collect::<Result<Vec<_>>>()
            })?;
            self.writer.write_wait(move |journal, connection| {
                for projection in built.iter().flatten() {
                    projection.write(connection, journal)?;
                }
                journal.judged(connection)
            })?;
        }
    }

    /// At the hub: carries out what operators' PCs have asked for, each in a transaction that its failure
    /// takes back alone.
    fn carry_out(&self) -> Result<()> {
        let due = self
            .writer
            .after_wait(|journal, connection| requests::due(connection, journal))?;
        for key in due {
            let done = self.writer.write_wait(move |journal, connection| {
                requests::carry_out(connection, journal, key, clock::now_ms())
            });
            if let Err(error) = done {
                requests::failed(error)?;
            }
        }
        Ok(())
    }
}
