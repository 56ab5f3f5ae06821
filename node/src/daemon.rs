//! One running node: writer, merger, network and their lifetimes, from start to graceful stop.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::changes::Changes;
use crate::clock::{self, Monotonic};
use crate::command::{self, Command};
use crate::error::{Code, Error, Kind, Result, stopping};
use crate::journal::{Books, Which};
use crate::reader::{Found, Reader};
use crate::records::{self, Projection, delivery, rewrite};
use crate::reply::{Reply, with_schema};
use crate::requests;
use crate::search;
use crate::setup;
use crate::store::{self, Store};
use crate::sync::Net;
use crate::sync::join;
use crate::sync::peer::{Summary, Until};
use crate::wait;
use crate::web::{self, Doors, Line, Web};
use crate::writer::{INDEX_SLICE, MERGE_SLICE, Writer, WriterThread};

/// Quiet time after which a burst of arrivals is merged; each record once a burst.
const QUIET: Duration = Duration::from_millis(15);
/// Longest time that arrivals wait for their burst to end, in milliseconds.
const LONGEST_BURST_MS: u64 = 1_000;
/// Time without a commit, and without work that ends in one, after which the line that a log comes over is slower than this
/// computer: what is there is merged meanwhile. In a fast one its records would be merged several times.
const IDLE: Duration = Duration::from_millis(100);
/// Longest time that a log waits for its end, in milliseconds: pages show what came before.
const LONGEST_FLOOD_MS: u64 = 10_000;
/// Wait after a merge that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Wait between attempts to have a waiting device confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// The same after a hub has refused: asking on would use up the attempts that it grants to all.
const CONFIRM_REFUSED: Duration = Duration::from_hours(1);
/// Threads that build documents: the merge is all computing, and pages need a core too.
const MERGERS: usize = 2;
/// Records that one of them builds at a time.
const SHARE: usize = MERGE_SLICE / 2;

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
        let (later, idle) = sync_channel(1);
        let tidier = later.clone();
        let published = changes.clone();
        let waker = wake.clone();
        // What a crash left unmerged is due at once.
        let due = Arc::new(Due {
            now: AtomicBool::new(true),
            later: AtomicBool::new(false),
        });
        let noted = Arc::clone(&due);
        let (writer, thread) = WriterThread::start(writer, move |moved| {
            noted.now.fetch_or(moved.stale, Relaxed);
            noted.later.fetch_or(moved.awaited, Relaxed);
            if moved.stale || moved.awaited {
                // A full channel has woken it already.
                let _woken = waker.try_send(());
            }
            if moved.untidy {
                let _woken = tidier.try_send(());
            }
            published.publish(moved);
        })?;
        let builders = (0..MERGERS).map(|_| Builder::start(writer.readers().open()?));
        let merger = Merger {
            builders: builders.collect::<Result<_>>()?,
            writer: writer.behind(),
            due,
            later,
        };
        let merging = thread_named("merger", move || merger.run(&sleep))?;
        let tidying = writer.idle();
        let tidying = thread_named("tidier", move || tidy(&tidying, &idle))?;
        let _woken = wake.try_send(());
        let net = Net::bind(listen, &device, epoch, writer.clone(), changes.clone())?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(Arc::clone(&net).serve(stopped));
        Ok(Self {
            writer,
            changes,
            net,
            stop,
            threads: vec![thread, merging, tidying],
        })
    }

    /// Keeps a session with the hub open.
    pub fn follow(&self, addresses: Vec<String>, hub: DeviceKey) {
        let addresses = move || std::future::ready(addresses.clone());
        let stop = self.stop.subscribe();
        tokio::spawn(Arc::clone(&self.net).keep(addresses, |_| {}, hub, stop));
    }

    /// Has the device confirmed if it still waits, and then keeps a session with its hub until stopped.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn follow_hub(&self, stop: watch::Receiver<bool>) -> Result<()> {
        let hub = self
            .writer
            .after_wait(|_, connection| setup::hub_of(connection))?;
        let Some((hub, _)) = hub else {
            return Ok(());
        };
        let writer = self.writer.clone();
        let net = Arc::clone(&self.net);
        tokio::spawn(async move {
            let mut stopped = stop.clone();
            loop {
                let wait = match join::confirm(&writer).await {
                    Ok(true) => break,
                    Ok(false) => CONFIRM_EVERY,
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "the hub has not confirmed");
                        match error.code() {
                            Code::InviteRefused | Code::EnrolPaused => CONFIRM_REFUSED,
                            _ => CONFIRM_EVERY,
                        }
                    }
                };
                tokio::select! {
                    _ = stopped.changed() => return,
                    () = tokio::time::sleep(wait) => {}
                }
            }
            // Where it was found is looked at first from then on.
            let keeping = writer.clone();
            let found = move |name: &str| {
                let name = name.to_owned();
                keeping.write(
                    move |_, connection| setup::hub_answered(connection, &name),
                    |result| {
                        if let Err(error) = result {
                            tracing::warn!(error = %error.chain(), "cannot keep where the hub was found");
                        }
                    },
                );
            };
            // Where the hub is may be told while this runs. A stopped writer knows of nowhere.
            let addresses = move || {
                let (sender, receiver) = oneshot::channel();
                writer.after(move |journal, connection| {
                    drop(sender.send(setup::ways_to_hub(journal, connection)));
                });
                async move {
                    match receiver.await {
                        Ok(Ok(Some((_, addresses)))) => addresses,
                        _ => Vec::new(),
                    }
                }
            };
            net.keep(addresses, found, hub, stop).await;
        });
        Ok(())
    }

    /// What pages may ask of this node's network.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn doors(&self) -> Result<Doors> {
        let hub = self
            .writer
            .after_wait(|_, connection| setup::hub_of(connection))?
            .map(|(hub, _)| hub);
        let net = Arc::clone(&self.net);
        let line = move || {
            let peers = net.peers();
            let open = peers.iter().filter(|(_, peer)| peer.sessions > 0);
            let online: Vec<_> = open.map(|(device, _)| *device).collect();
            Line {
                connected: hub.map_or(!online.is_empty(), |hub| online.contains(&hub)),
                online,
                failure: net.failure(),
            }
        };
        let (net, writer) = (Arc::clone(&self.net), self.writer.clone());
        let sync = move || -> web::Opening {
            let (net, writer) = (Arc::clone(&net), writer.clone());
            Box::pin(async move { sync_once(&net, &writer, None).await })
        };
        Ok(Doors {
            line: Arc::new(line),
            sync: Arc::new(sync),
        })
    }

    /// Serves the node's pages until it stops. Gives the address as bound.
    ///
    /// # Errors
    /// [`Code::Address`] when the address is not this computer's own or not free.
    pub async fn serve_pages(&self, address: SocketAddr, allowed: &[String]) -> Result<SocketAddr> {
        let ways = (self.writer.clone(), self.changes.clone());
        self.serve_web(Web::bind(address, allowed, ways, self.doors()?, self.stopping()).await?)
    }

    /// The same at a socket that is open already.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn serve_pages_at(
        &self,
        listener: TcpListener,
        allowed: &[String],
    ) -> Result<SocketAddr> {
        let ways = (self.writer.clone(), self.changes.clone());
        self.serve_web(Web::at(listener, allowed, ways, self.doors()?, self.stopping()).await?)
    }

    fn serve_web(&self, web: Web) -> Result<SocketAddr> {
        let (bound, own) = (web.address()?, web.own_address()?);
        self.writer.write_wait(move |_, connection| {
            let own = own.to_string();
            store::set_meta(connection, command::WEB_ADDRESS, own.as_bytes())
        })?;
        tokio::spawn(web.serve());
        Ok(bound)
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

// ---- commands ----

/// Queries of all doors but the pages that run at once: one of them may walk through the whole store.
static QUERIES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// Carries a command out on a running node: a query beside the writer, everything else in its queue.
///
/// # Errors
/// The command's own.
pub async fn carry_out(writer: &WriterThread, command: Command) -> Result<Reply> {
    match command {
        Command::Query(query) => {
            let work = |books: &mut Books, connection: &_| query.execute(books, connection);
            wait::read(writer, &QUERIES, work).await
        }
        Command::Write(write) => {
            let work =
                move |journal: &mut _, connection: &_| write.clone().execute(journal, connection);
            wait::write(writer, work).await
        }
    }
}

// ---- one session ----

/// One session with each known peer: the hub, at the first of its addresses where it answers, or at `peer`, which is kept
/// as the first of them if it does.
///
/// # Errors
/// [`Code::Address`] for what can be no address, [`Code::HubUnreachable`], or [`Code::HubUnproven`] where somebody else
/// answers; the store fails.
pub async fn sync_once(net: &Arc<Net>, writer: &WriterThread, peer: Option<&str>) -> Result<Reply> {
    let hub = writer.after_wait(|journal, connection| setup::ways_to_hub(journal, connection))?;
    let Some((hub, mut addresses)) = hub else {
        let value = with_schema("lianxin.sync/1", json!({ "sessions": [] }));
        return Ok(Reply { value, exit: 0 });
    };
    if let Some(peer) = peer {
        crate::sync::is_address(peer)?;
        addresses = vec![peer.to_owned()];
    }
    if !join::confirm(writer).await? {
        return Err(unreachable(&addresses));
    }
    let (_keep, stop) = watch::channel(false);
    let done = net.session(&addresses, hub, Until::InSync, stop).await?;
    let (Some(name), summary) = (addresses.get(done.0), done.1) else {
        return Err(unreachable(&addresses));
    };
    if !summary.connected {
        let message =
            format!("the hub answers at {name} and breaks off: it may not know this device");
        return Err(Error::new(Code::HubUnreachable, message));
    }
    let name = name.clone();
    writer.write_wait(move |_, connection| setup::hub_answered(connection, &name))?;
    report(writer, &hub, &summary)
}

fn unreachable(addresses: &[String]) -> Error {
    let message = format!("no hub answers at {}", addresses.join(", "));
    Error::new(Code::HubUnreachable, message)
}

fn report(writer: &WriterThread, hub: &DeviceKey, summary: &Summary) -> Result<Reply> {
    let own = writer.after_wait(|journal, connection| journal.own_coverage(connection))?;
    let covered = own.receipted == own.entries;
    let exit = if covered && summary.in_sync {
        0
    } else {
        Kind::Partial.exit_code()
    };
    let session = json!({
        "peer": Hex(&hub.0).to_string(),
        "sent": summary.stats.entries_out,
        "received": summary.stats.entries_in,
        "receipted": own.receipted,
        "entries": own.entries,
        "quarantined": own.quarantined,
        "in_sync": summary.in_sync,
        "rounds": summary.stats.rounds,
        "frame_bytes_out": summary.stats.frame_bytes_out,
        "frame_bytes_in": summary.stats.frame_bytes_in,
        "udp_bytes_out": summary.udp_bytes.0,
        "udp_bytes_in": summary.udp_bytes.1,
        "elapsed_ms": summary.elapsed_ms,
        "close": summary.close.as_ref().map(|close| format!("{close:?}")),
    });
    let value = with_schema("lianxin.sync/1", json!({ "sessions": [session] }));
    Ok(Reply { value, exit })
}

// ---- behind ingest ----

/// Builds the rows of records, all in one snapshot; of one that cannot be read, its number.
fn build_rows(reader: &mut Reader, keys: &[i64]) -> (Result<Vec<Result<Projection, i64>>>, Found) {
    let (built, mut found) = reader.read(|books, connection| {
        let mut built = Vec::with_capacity(keys.len());
        for key in keys {
            built.push(match records::gather(connection, books, *key) {
                Err(error) if records::is_local(&error) => {
                    tracing::error!(error = %error.chain(), "a record cannot be read and is set aside");
                    Err(*key)
                }
                gathered => Ok(Projection::of(&gathered?, books.authority())),
            });
        }
        Ok(built)
    });
    match (built, keys) {
        // One of them lies on a page that cannot be read: which of them is seen when each is read by itself.
        (Err(error), [_]) if error.code() == Code::StoreCorrupt => {
            tracing::error!(error = %error.chain(), "a record cannot be read and is set aside");
            (Ok(keys.iter().map(|key| Err(*key)).collect()), found)
        }
        (Err(error), _) if error.code() == Code::StoreCorrupt => {
            let mut all = Vec::with_capacity(keys.len());
            for key in keys.chunks(1) {
                let (built, more) = build_rows(reader, key);
                found.join(more);
                match built {
                    Ok(built) => all.extend(built),
                    Err(error) => return (Err(error), found),
                }
            }
            (Ok(all), found)
        }
        (built, _) => (built, found),
    }
}

/// Of so many records the rows, or of one that cannot be read its number; and what was found damaged.
type Rows = (Result<Vec<Result<Projection, i64>>>, Found);

/// A thread that builds rows. It lives as long as the merger: memory that a thread has used is not had again at no cost.
struct Builder {
    /// Taken when it ends.
    wanted: Option<SyncSender<(Vec<i64>, SyncSender<Rows>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Builder {
    fn start(mut reader: Reader) -> Result<Self> {
        let (wanted, jobs) = sync_channel::<(Vec<i64>, SyncSender<Rows>)>(1);
        let build = move || {
            while let Ok((keys, done)) = jobs.recv() {
                // Whoever asked may have given up.
                let _heard = done.send(build_rows(&mut reader, &keys));
            }
        };
        let thread = thread_named("builder", build)?;
        Ok(Self {
            wanted: Some(wanted),
            thread: Some(thread),
        })
    }

    /// Has it build rows.
    fn build(&self, keys: Vec<i64>) -> Result<Receiver<Rows>> {
        let (done, built) = sync_channel(1);
        let wanted = self.wanted.as_ref().ok_or_else(panicked)?;
        wanted.send((keys, done)).map_err(|_| panicked())?;
        Ok(built)
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        drop(self.wanted.take());
        if let Some(thread) = self.thread.take() {
            // That it panicked was said where its rows were missed.
            let _ended = thread.join();
        }
    }
}

fn thread_named(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    thread.map_err(|error| Error::because(Code::Internal, "cannot start a thread", error))
}

/// Whenever it is woken, says in rows how far their records have come and when they arrived, where many have at once, and indexes the
/// texts of records that were merged. Pages and searches look at what waits: nobody waits for this, and neither a line nor a merge does.
fn tidy(writer: &WriterThread, wake: &Receiver<()>) {
    // What fails still waits, and whoever wakes this next has it tried again.
    let all = |step: &dyn Fn() -> Result<bool>, failed: &str| {
        loop {
            match step() {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    if !writer.has_ended() {
                        tracing::warn!(error = %error.chain(), "{failed}");
                    }
                    return;
                }
            }
        }
    };
    while wake.recv().is_ok() {
        let rows = || writer.write_wait(|journal, connection| delivery::tidy(connection, journal));
        all(&rows, "rows do not say yet what receipts and arrivals do");
        let texts = || {
            let indexed = writer.write_wait(|_, connection| search::index(connection));
            search::goes_on(indexed)
        };
        all(&texts, "texts are not indexed");
    }
}

fn panicked() -> Error {
    Error::new(Code::Internal, "a merging thread panicked")
}

/// Waits until a burst of commits has ended, which then share one merge. Says whether there can be more.
fn burst_ends(wake: &Receiver<()>) -> bool {
    let clock = Monotonic::start();
    while clock.ms() < LONGEST_BURST_MS {
        match wake.recv_timeout(QUIET) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}

/// Rows that are being built.
struct Building {
    keys: Vec<i64>,
    built: Receiver<Rows>,
}

/// Rows that are being written.
struct Written {
    keys: Vec<i64>,
    done: Receiver<Result<()>>,
}

/// What the merger has to do, as commits have said since it looked last.
#[derive(Debug)]
struct Due {
    /// Something can be merged.
    now: AtomicBool,
    /// Something waits for the end of its log, which is on its way.
    later: AtomicBool,
}

/// Indexes, merges and projects behind ingest: documents are built on its threads, the writer only
/// writes rows, in slices, and only where the version is still the one that was read.
struct Merger {
    writer: WriterThread,
    builders: Vec<Builder>,
    due: Arc<Due>,
    /// Wakes who does what nobody waits for.
    later: SyncSender<()>,
}

impl Merger {
    fn run(mut self, wake: &Receiver<()>) {
        while let Some(which) = self.wait(wake) {
            while let Err(error) = self.catch_up(which) {
                // The queue is in the store: it is tried again, now and at the next start.
                if self.writer.has_ended() {
                    return;
                }
                tracing::warn!(error = %error.chain(), "merging was interrupted");
                if error.code() == Code::Internal {
                    break;
                }
                std::thread::sleep(RETRY);
            }
        }
    }

    /// Sleeps until something is to be merged, and says of which logs. Nothing once the writer has ended.
    fn wait(&self, wake: &Receiver<()>) -> Option<Which> {
        let mut flood: Option<Monotonic> = None;
        loop {
            let later = self.due.later.load(Relaxed);
            let woken = if later {
                wake.recv_timeout(IDLE)
            } else {
                wake.recv().map_err(RecvTimeoutError::from)
            };
            match woken {
                Ok(()) if self.due.now.swap(false, Relaxed) => {
                    return burst_ends(wake).then_some(Which::Whole);
                }
                Ok(()) if !later => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => {
                    let flood = flood.get_or_insert_with(Monotonic::start);
                    let goes_on = woken.is_ok() || self.writer.is_busy();
                    if !goes_on || flood.ms() >= LONGEST_FLOOD_MS {
                        self.due.later.store(false, Relaxed);
                        return Some(Which::All);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn catch_up(&mut self, which: Which) -> Result<()> {
        while self
            .writer
            .write_wait(move |journal, connection| journal.index(connection, which, INDEX_SLICE))?
        {
        }
        // Each builder has one share in hand and one that waits for it, so that none stands still while another ends or rows are
        // written. What is built when the writer is free is written.
        let mut stale: VecDeque<i64> = VecDeque::new();
        let mut building: VecDeque<Building> = VecDeque::new();
        let (mut keys, mut rows) = (Vec::new(), Vec::new());
        let mut written: Option<Written> = None;
        let mut builders = self.builders.iter().cycle();
        loop {
            while building.len() < 2 * self.builders.len() {
                if stale.is_empty() {
                    let in_hand = building.iter().flat_map(|it| &it.keys).chain(&keys);
                    let in_hand = in_hand.chain(written.iter().flat_map(|it| &it.keys));
                    stale = self.stale(&in_hand.copied().collect())?;
                }
                let share: Vec<_> = stale.drain(..stale.len().min(SHARE)).collect();
                let Some(builder) = builders.next().filter(|_| !share.is_empty()) else {
                    break;
                };
                let built = builder.build(share.clone())?;
                building.push_back(Building { keys: share, built });
            }
            let Some(next) = building.pop_front() else {
                if let Some(before) = written.take() {
                    before.done.recv().map_err(|_| stopping())??;
                    continue;
                }
                self.writer
                    .write_wait(|journal, connection| journal.judged(connection))?;
                // A full channel has woken it already.
                let _woken = self.later.try_send(());
                return self.carry_out();
            };
            let (built, found) = next.built.recv().map_err(|_| panicked())?;
            self.writer.readers().tell(found);
            keys.extend(next.keys);
            rows.extend(built?);
            if let Some(before) = &written {
                let done = if keys.len() >= MERGE_SLICE || building.is_empty() {
                    Some(before.done.recv().map_err(|_| stopping())?)
                } else {
                    before.done.try_recv().ok()
                };
                if let Some(done) = done {
                    done?;
                    written = None;
                }
            }
            if written.is_none() {
                written = Some(self.write(std::mem::take(&mut keys), std::mem::take(&mut rows)));
            }
        }
    }

    /// The next stale records, without those that are in hand.
    fn stale(&self, in_hand: &BTreeSet<i64>) -> Result<VecDeque<i64>> {
        let slice = MERGE_SLICE * self.builders.len();
        let most = slice + in_hand.len();
        let readers = self.writer.readers();
        let stale = readers.read(|books, connection| records::stale(connection, books, most))?;
        let fresh = stale.into_iter().filter(|key| !in_hand.contains(key));
        Ok(fresh.take(slice).collect())
    }

    /// Has rows written, and does not wait for it.
    fn write(&self, keys: Vec<i64>, built: Vec<Result<Projection, i64>>) -> Written {
        let (told, done) = sync_channel(1);
        self.writer.write(
            move |journal, connection| {
                for projection in &built {
                    match projection {
                        Ok(projection) => {
                            projection.write(connection, journal)?;
                        }
                        Err(record) => journal.set_unread(connection, *record)?,
                    }
                }
                journal.judged(connection)
            },
            move |result| {
                // Whoever waited may have given up.
                let _heard = told.send(result);
            },
        );
        Written { keys, done }
    }

    /// Writes again what a fork took of this device's, each record in a transaction of its own.
    fn write_again(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        loop {
            let (due, looked_at) = self.writer.after_wait(move |journal, connection| {
                let due = rewrite::due(connection, journal, &mut seen)?;
                Ok((due, seen))
            })?;
            seen = looked_at;
            let Some(due) = due else { return Ok(()) };
            for key in due {
                let done = self.writer.write_wait(move |journal, connection| {
                    rewrite::carry_out(connection, journal, key, clock::now_ms())
                });
                if let Err(error) = done {
                    rewrite::failed(error)?;
                }
            }
        }
    }

    /// Writes again what a fork took of this device's, and, at the hub, carries out what operators' PCs have asked for,
    /// each in a transaction that its failure takes back alone.
    fn carry_out(&self) -> Result<()> {
        self.write_again()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merger_whose_writer_has_ended_ends() -> std::result::Result<(), Box<dyn std::error::Error>>
    {
        let directory = std::env::temp_dir().join(format!("lianxin-daemon-{}", std::process::id()));
        let init = setup::HubInit {
            name: "示例街道",
            code: None,
            listen: None,
            web: None,
            recovery_out: None,
        };
        setup::hub_init(&directory, &init)?;
        let (writer, thread) =
            WriterThread::start(Writer::open(&Store::open(&directory)?)?, |_| {})?;
        writer.stop();
        thread.join().map_err(|_| "the writer panicked")?;
        let (wake, sleep) = sync_channel(1);
        let merger = Merger {
            writer,
            builders: Vec::new(),
            due: Arc::new(Due {
                now: AtomicBool::new(true),
                later: AtomicBool::new(false),
            }),
            later: sync_channel(1).0,
        };
        // Something was due when it ended.
        wake.send(())?;
        let (told, ended) = sync_channel(1);
        let merging = std::thread::spawn(move || {
            merger.run(&sleep);
            told.send(())
        });
        ended.recv_timeout(Duration::from_secs(20))?;
        assert!(merging.join().is_ok_and(|told| told.is_ok()));
        drop(wake);
        Ok(std::fs::remove_dir_all(&directory)?)
    }
}
