//! The sync state machine of one connection: bytes and commands in, events and bytes out.
//!
//! It does no I/O, holds no store and reads no clock; the glue around it does, in production over QUIC
//! and in the simulator over a pipe. The flow: both sides say Hello with the first offers, one digest per shared
//! space, and the rest in further frames. Equal digests end the matter. Otherwise both send vectors, and each side
//! streams what the other lacks, authority first, cut at checkpoints. The hub's receipts come back as it commits.
//! The same session then stays open and carries live changes.
//!
//! # The contract
//!
//! 1. Methods come in four families: commands of the owner ([`Session::share`], [`Session::start`],
//!    [`Session::tip_moved`], [`Session::loaded`] …), `handle_*` for what comes in, `poll_*` for what must go out,
//!    and getters, which change nothing.
//! 2. After any command or `handle_*`, poll in this order: [`Session::poll_event`] until it gives none,
//!    [`Session::poll_transmit`] as long as the line takes frames, [`Session::poll_timeout`] for the next time at
//!    which [`Session::handle_timeout`] is due. A frame that has gone out makes room, so events may follow it.
//! 3. Each [`Event::Load`] is answered once by `loaded`, each [`Event::Received`] by `committed` or `batch_refused`,
//!    each [`Event::Receipt`] and [`Event::Fork`] by `statement_judged`, in any order and at any time. While too many
//!    are unanswered, [`Session::wants_input`] is false and the owner reads no more: the line holds the peer up.
//! 4. [`Event::Closed`] comes once and last. What is queued by then, a goodbye or the reason, still goes out.
//!
//! # Invariants
//!
//! A session never decides whether an entry counts, nor what is taken of a frozen log; it only moves them. What a
//! peer says it has is a hint for this connection and is forgotten with it. What the peer lacks stands in a queue of
//! logs, ordered authority first; a frame, a tip or an answer moves the logs that it names and looks at no other, so
//! that a session costs what it moves. What a peer may make this side do for nothing is bounded (`budget`).
//!
//! Rejected: to look for the next log that the peer lacks by walking over all of them. It cost the square of the
//! number of logs, seven seconds for 4,000.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::codec::DecodeError;
use crate::limits;
use crate::log::{ForkProof, LogId};
use crate::message::{
    ErrorCode, ErrorScope, FrameReader, Hello, Message, Offer, Offers, PROTOCOL_MIN, PROTOCOL_NOW,
    Tip, Vector, WireBatch, space_prefix,
};
use crate::receipt::Receipt;
use crate::space::{Space, SpaceId};

mod budget;
mod exchange;
mod peer_log;

use budget::{Budget, Charge};
use exchange::Exchange;
pub use exchange::Share;
use peer_log::Step;

/// A piece of a log that the session wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The space of the log.
    pub space: SpaceId,
    /// The log.
    pub log: LogId,
    /// First entry that the peer lacks.
    pub from: u64,
    /// What the peer has just before, if it said so: another id there means a fork.
    pub head: Option<[u8; 16]>,
    /// Bytes that fit the line now: of a log that can be cut there, more would only hold up what comes behind.
    pub fits: usize,
}

/// What the owner must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's first message came and its version fits: only now is there a connection.
    Connected {
        /// Random id of the peer's store.
        epoch: [u8; 16],
        /// The protocol version that both sides speak from now on: the smaller of their newest.
        version: u16,
    },
    /// Read this from the store and call [`Session::loaded`].
    Load(Load),
    /// Verify and store this, then call [`Session::committed`] or [`Session::batch_refused`].
    Received {
        /// The space in which the log was named: a run that says another one was never asked for.
        space: SpaceId,
        /// The log.
        log: LogId,
        /// The entries, unverified.
        batch: WireBatch,
    },
    /// Verify and keep this receipt, then call [`Session::statement_judged`].
    Receipt(Receipt),
    /// The peer lacks receipts of this space: call [`Session::push_receipt`] with the newest of each log.
    ReceiptsWanted(SpaceId),
    /// The peer says that it has more of a log than this store: of one's own log, that is a reason
    /// to write no more in it.
    PeerAhead {
        /// The log.
        log: LogId,
        /// What the peer has of it, in entries.
        len: u64,
    },
    /// The peer does not know that this log is frozen where this store froze it: call
    /// [`Session::push_fork`] with the proof.
    ForkWanted(LogId),
    /// Check and keep this proof, then call [`Session::statement_judged`].
    Fork(Box<ForkProof>),
    /// The peer refused something; nothing is lost, the connection goes on.
    Refused {
        /// What.
        code: ErrorCode,
    },
    /// The session is over.
    Closed(Close),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// The peer said goodbye.
    PeerBye,
    /// This side said goodbye.
    OwnBye,
    /// No Hello within [`limits::HELLO_TIMEOUT_MS`].
    NoHello,
    /// Silence for [`limits::IDLE_TIMEOUT_MS`].
    Silent,
    /// A frame began and less than [`limits::PROGRESS_BYTES`] came in [`limits::PROGRESS_MS`].
    Stalled,
    /// The peer broke the protocol: code told to it, offset and expectation where there was one.
    Violation(ErrorCode, Option<DecodeError>),
    /// The peer closed with this code.
    Peer(ErrorCode),
}

/// What came of something that the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was stored or kept.
    New,
    /// It said nothing new, or cannot be taken now; the peer may have meant well.
    Nothing,
}

impl Taken {
    /// Of something that was kept or not.
    #[must_use]
    pub const fn if_kept(kept: bool) -> Self {
        if kept { Self::New } else { Self::Nothing }
    }
}

/// Counters of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of frames sent.
    pub frame_bytes_out: u64,
    /// Bytes of frames received.
    pub frame_bytes_in: u64,
    /// Entries sent.
    pub entries_out: u64,
    /// Entries received.
    pub entries_in: u64,
    /// Receipts received.
    pub receipts_in: u64,
    /// Times that this side had to wait for an answer before it could go on: 1 when nothing changed.
    pub rounds: u32,
    /// Times that a log was looked at: what the session's own work grows with.
    pub logs_examined: u64,
}

/// Times that a peer may offer a space in one session: each costs a vector.
const OFFERS_OF_A_SPACE: u8 = 16;
/// Loads for which receipts wait at most: a commit moves fewer logs of one peer, and in a flood nobody waits for its end.
const HELD_LOADS: u32 = 8;
/// Bytes of a batch frame around its two sections, generously.
const BATCH_FRAME_REST: usize = 128;

/// From which place on to ask for a log again, when a batch that begins at `begins` and the `stored` entries
/// part before it. The distance from the end doubles each time, so that a fork that lies n entries back is found in
/// log n rounds, for which no more than 4 n entries travel.
///
/// ```
/// use lianxin_protocol::session::search_from;
/// let mut begins = 10_000;
/// let mut rounds = 0;
/// while begins > 7_000 {
///     begins = search_from(begins, 10_001);
///     rounds += 1;
/// }
/// assert_eq!((begins, rounds), (5_905, 7));
/// ```
#[must_use]
pub const fn search_from(begins: u64, stored: u64) -> u64 {
    let distance = stored.saturating_sub(begins);
    let least = limits::BATCH_ENTRIES as u64 - 1;
    begins.saturating_sub(if distance > least { distance } else { least })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was said.
    Made,
    /// This side's Hello is out, the peer's has not come.
    Greeting,
    Live,
    Closed,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    epoch: [u8; 16],
    phase: Phase,
    version: Option<u16>,
    spaces: BTreeMap<SpaceId, Exchange>,
    prefixes: BTreeMap<[u8; 8], SpaceId>,
    /// What the peer offered and this side does not share (yet).
    unshared: BTreeMap<[u8; 8], Offer>,
    offers_complete: bool,
    names: BTreeMap<[u8; 8], (SpaceId, LogId)>,
    /// Logs that the peer named and this store did not have.
    foreign_names: usize,
    /// Logs of which the peer lacks something, in the order of sending.
    lacking: BTreeSet<(Space, SpaceId, LogId)>,
    /// Spaces of which something differs, or may.
    unsettled: BTreeSet<SpaceId>,
    loading: Option<Load>,
    /// Loads for which receipts have waited.
    held: u32,
    /// Packed bytes of the batches that the owner has not answered.
    uncommitted: VecDeque<usize>,
    /// Receipts and proofs that the owner has not judged, as they were charged.
    unjudged: VecDeque<Charge>,
    receipts: BTreeMap<LogId, Receipt>,
    events: VecDeque<Event>,
    outgoing: VecDeque<Vec<u8>>,
    outgoing_bytes: usize,
    /// Outgoing bytes up to which more is loaded.
    fits: usize,
    /// Bytes that the transport has of the peer, as far as the owner has said.
    carried: u64,
    reader: FrameReader,
    budget: Budget,
    started_ms: u64,
    heard_ms: u64,
    said_ms: u64,
    /// Of a frame that has begun: since when, and how many bytes the transport had by then.
    owed: Option<(u64, u64)>,
    stats: Stats,
}

impl Session {
    /// A session that has not begun. `epoch` is the random id of the owner's store.
    #[must_use]
    pub fn new(epoch: [u8; 16], now_ms: u64) -> Self {
        Self {
            epoch,
            phase: Phase::Made,
            version: None,
            spaces: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            unshared: BTreeMap::new(),
            offers_complete: false,
            names: BTreeMap::new(),
            foreign_names: 0,
            lacking: BTreeSet::new(),
            unsettled: BTreeSet::new(),
            loading: None,
            held: 0,
            uncommitted: VecDeque::new(),
            unjudged: VecDeque::new(),
            receipts: BTreeMap::new(),
            events: VecDeque::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            fits: limits::OUTGOING_BUFFER,
            carried: 0,
            reader: FrameReader::default(),
            budget: Budget::new(now_ms),
            started_ms: now_ms,
            heard_ms: now_ms,
            said_ms: now_ms,
            owed: None,
            stats: Stats::default(),
        }
    }

    // ---- commands ----

    /// Shares a space with the peer, before [`Session::start`] or later, when rights have changed.
    pub fn share(&mut self, id: SpaceId, share: Share) {
        if self.spaces.contains_key(&id) {
            return;
        }
        for log in share.logs.keys() {
            self.names.entry(log.prefix()).or_insert((id, *log));
        }
        self.spaces.insert(id, Exchange::new(id, share));
        self.prefixes.entry(space_prefix(&id)).or_insert(id);
        if self.speaks() {
            self.offer_again(&id);
            if let Some(theirs) = self.unshared.remove(&space_prefix(&id)) {
                self.peer_offered(&theirs);
                self.load_more();
            }
        }
    }

    /// Stops sharing a space: nothing more of it is sent or taken.
    pub fn withdraw(&mut self, id: &SpaceId) {
        let Some(exchange) = self.spaces.remove(id) else {
            return;
        };
        self.prefixes.remove(&space_prefix(id));
        self.unsettled.remove(id);
        for log in exchange.logs() {
            self.lacking.remove(&(exchange.space(), *id, log));
            if self.names.get(&log.prefix()) == Some(&(*id, log)) {
                self.names.remove(&log.prefix());
            }
            self.receipts.remove(&log);
        }
        self.loading = self.loading.filter(|load| load.space != *id);
        self.load_more();
    }

    /// Says Hello.
    pub fn start(&mut self) {
        if self.phase != Phase::Made {
            return;
        }
        self.phase = Phase::Greeting;
        // The peer answers in this order, so that authority is known and sent before all else.
        let mut ids: Vec<_> = self.spaces.keys().copied().collect();
        ids.sort_by_key(|id| self.spaces.get(id).map(Exchange::space));
        let spaces: Vec<_> = ids.iter().filter_map(|id| self.offer(id)).collect();
        let mut frames: Vec<_> = spaces
            // rule:scale
            .chunks(limits::OFFERS_MAX)
            .map(|spaces| Offers {
                spaces: spaces.to_vec(),
                complete: false,
            })
            .collect();
        if frames.is_empty() {
            frames.push(Offers::default());
        }
        if let Some(last) = frames.last_mut() {
            last.complete = true;
        }
        let mut frames = frames.into_iter();
        self.send(&Message::Hello(Hello {
            min: PROTOCOL_MIN,
            max: PROTOCOL_NOW,
            features: 0,
            epoch: self.epoch,
            offers: frames.next().unwrap_or_default(),
        }));
        for offers in frames {
            self.send(&Message::Offers(offers));
        }
        self.stats.rounds = 1;
    }

    /// The owner's store has this much of a log now, whoever wrote it.
    pub fn tip_moved(&mut self, space: &SpaceId, log: LogId, tip: Tip) {
        self.tips_moved([(*space, log, tip)]);
    }

    /// The same for all logs that moved together: what goes first of them is sent first.
    pub fn tips_moved(&mut self, tips: impl IntoIterator<Item = (SpaceId, LogId, Tip)>) {
        for (space, log, tip) in tips {
            let Some(exchange) = self.spaces.get_mut(&space) else {
                continue;
            };
            if exchange.moved(log, tip) {
                self.names.entry(log.prefix()).or_insert((space, log));
                self.review(&space, &log);
            }
        }
        self.load_more();
    }

    /// Answers [`Event::Load`]: the entries from where the peer ends, or `None` if the store cannot
    /// give them. A log that the peer asked for ends there; any other is then left alone for this session.
    pub fn loaded(&mut self, load: &Load, batch: Option<WireBatch>) {
        if self.loading != Some(*load) {
            return;
        }
        self.loading = None;
        self.take_loaded(load, batch);
        self.load_more();
        self.held += 1;
        if self.loading.is_none() || self.held >= HELD_LOADS {
            self.flush_receipts();
        }
    }

    fn take_loaded(&mut self, load: &Load, batch: Option<WireBatch>) {
        let Some(exchange) = self.spaces.get_mut(&load.space) else {
            return;
        };
        // The peer may have asked for an earlier place, or said that it has more, in the meantime.
        let still =
            matches!(exchange.step(&load.log), Step::Load { from, .. } if from == load.from);
        if !still {
            return;
        }
        // One that no frame can carry would end every session that tries.
        let batch = batch.filter(|batch| {
            let (main, parts) = (batch.packed.main.len(), batch.packed.parts.len());
            main.max(parts) <= limits::BATCH_COMPRESSED_MAX
                && main + parts + BATCH_FRAME_REST <= limits::FRAME_MAX
        });
        if let Some(batch) = batch {
            exchange.sent(&load.log, load.from, batch.start.len, batch.end());
            let named = exchange.name(&load.log);
            let named = named.map(|row| exchange.frame(vec![row]));
            if let Some(vector) = named {
                self.send(&Message::Vector(vector));
            }
            self.stats.entries_out += u64::from(batch.packed.count);
            self.send(&Message::Batch(batch));
        } else {
            exchange.not_sent(&load.log);
        }
        self.review(&load.space, &load.log);
    }

    /// Answers [`Event::Received`]: the batch is durable, or was dropped without its being the peer's fault.
    pub fn committed(&mut self, taken: Taken) {
        self.uncommitted.pop_front();
        if taken == Taken::Nothing {
            self.charge(Charge::FRAME);
        }
    }

    /// Answers [`Event::Received`]: the batch does not verify, or the peer may not send it. It is told; the
    /// [`limits::BAD_BATCHES_MAX`]th ends the session.
    pub fn batch_refused(&mut self, code: ErrorCode) {
        self.uncommitted.pop_front();
        if self.phase == Phase::Closed {
            return;
        }
        if self.budget.bad_batch() {
            self.refuse(code, ErrorScope::Log);
        } else {
            self.violation(code, None);
        }
    }

    /// Answers [`Event::Receipt`] or [`Event::Fork`].
    pub fn statement_judged(&mut self, taken: Taken) {
        let charge = self.unjudged.pop_front().unwrap_or_default();
        if taken == Taken::New {
            self.budget.refund(charge);
        }
    }

    /// Sends a receipt; only the newest of a log goes out, and none that the peer has sent itself.
    pub fn push_receipt(&mut self, receipt: Receipt) {
        let exchange = self.spaces.get(&receipt.space);
        let news = exchange.is_some_and(|exchange| !exchange.knows_receipt(&receipt));
        if self.phase == Phase::Live && news {
            self.receipts.insert(receipt.log, receipt);
        }
    }

    /// Sends a proof that a log forked, once for each place and not for a later place than before.
    pub fn push_fork(&mut self, proof: Box<ForkProof>) {
        let [branch, _] = &proof.branches;
        let Some(seq) = branch.headers.first().map(|header| header.seq) else {
            return;
        };
        let exchange = self.spaces.get_mut(&proof.author.space);
        let fresh = exchange.is_some_and(|exchange| exchange.prove(&proof.log, seq));
        if self.speaks() && fresh {
            self.send(&Message::Fork(proof));
        }
    }

    /// Asks for a log from an earlier place, or for a branch of one that is closed, whatever this side has. Not
    /// asked again while the answer is awaited, and [`limits::WANTS_MAX`] times in a session.
    pub fn want(&mut self, log: &LogId, from: u64) {
        let named = self.names.get(&log.prefix()).filter(|(_, it)| it == log);
        let exchange = named.and_then(|(space, _)| self.spaces.get_mut(space));
        let Some(exchange) = exchange.filter(|_| self.phase == Phase::Live) else {
            return;
        };
        if exchange.ask(log, from) {
            self.send(&Message::Want {
                log: log.prefix(),
                from,
            });
        }
    }

    /// What the line takes in a second or two, in bytes: no more is loaded ahead of it, so that what is
    /// urgent does not wait behind what is not, and a batch that the line cannot carry in one piece is not begun.
    /// [`limits::OUTGOING_BUFFER`] until this is called, and at most.
    pub fn fit(&mut self, bytes: usize) {
        self.fits = bytes.min(limits::OUTGOING_BUFFER);
    }

    /// Tells the peer that something was refused; the connection goes on.
    pub fn refuse(&mut self, code: ErrorCode, scope: ErrorScope) {
        if !self.speaks() {
            return;
        }
        self.send(&Message::Error {
            code,
            scope,
            retry_after_s: 0,
        });
    }

    /// Says goodbye; what is queued still goes out.
    pub fn bye(&mut self) {
        if self.phase != Phase::Closed {
            self.flush_receipts();
            self.send(&Message::Bye(0));
            self.close(Close::OwnBye);
        }
    }

    /// Ends the session because the peer may not go on; it is told why.
    pub fn expel(&mut self, code: ErrorCode) {
        self.violation(code, None);
    }

    // ---- in ----

    /// Takes bytes of the peer's stream.
    pub fn handle_bytes(&mut self, bytes: &[u8], now_ms: u64) {
        if self.phase == Phase::Closed {
            return;
        }
        self.heard_ms = now_ms;
        self.budget.refill(now_ms);
        self.stats.frame_bytes_in += bytes.len() as u64;
        self.reader.push(bytes);
        while self.phase != Phase::Closed {
            match self.reader.next_sized() {
                Ok(None) => break,
                Ok(Some((message, bytes))) => self.handle_message(message, Charge::of(bytes)),
                Err(error) => self.violation(ErrorCode::BadFrame, Some(error)),
            }
        }
        self.owe(now_ms);
    }

    /// Bytes that the transport has got of the peer in all, whatever of them can be read yet: a packet that was lost
    /// holds up those behind it, and is no silence.
    pub fn handle_progress(&mut self, carried: u64, now_ms: u64) {
        if carried > self.carried {
            self.carried = carried;
            self.heard_ms = now_ms;
            if self.owed.is_some() {
                self.owe(now_ms);
            }
        }
    }

    /// Call at [`Session::poll_timeout`].
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.phase == Phase::Closed {
            return;
        }
        if !self.wants_input() {
            // Who does not listen hears nothing: the silence is this side's own.
            self.heard_ms = now_ms;
            self.owed = self.owed.map(|(_, bytes)| (now_ms, bytes));
        }
        // rule:hello-in-time
        if self.phase != Phase::Live && now_ms >= self.started_ms + limits::HELLO_TIMEOUT_MS {
            self.close(Close::NoHello);
        } else if now_ms >= self.heard_ms + limits::IDLE_TIMEOUT_MS {
            self.close(Close::Silent);
        } else if self.owed_until().is_some_and(|until| now_ms >= until) {
            self.close(Close::Stalled);
        } else if now_ms >= self.said_ms + limits::KEEP_ALIVE_MS {
            self.said_ms = now_ms;
            self.send(&Message::Ping(now_ms));
        }
    }

    // ---- out ----

    /// The next thing that the owner must act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next bytes for the peer.
    pub fn poll_transmit(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        // What was committed with a receipt goes before it: whoever waits for the receipt to end the session has it then.
        let promised = self.has_outgoing();
        if self.loading.is_none() {
            self.flush_receipts();
        }
        // Whoever sends asks again and again while it is promised.
        assert_eq!(promised, !self.outgoing.is_empty());
        let frame = self.outgoing.pop_front()?;
        self.outgoing_bytes -= frame.len();
        self.stats.frame_bytes_out += frame.len() as u64;
        self.said_ms = now_ms;
        self.load_more();
        Some(frame)
    }

    /// When [`Session::handle_timeout`] wants to be called, on the clock that the owner passes in.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.phase == Phase::Closed {
            return None;
        }
        let silence = self.heard_ms + limits::IDLE_TIMEOUT_MS;
        let next = silence.min(self.said_ms + limits::KEEP_ALIVE_MS);
        let next = self.owed_until().map_or(next, |until| until.min(next));
        Some(if self.phase == Phase::Live {
            next
        } else {
            next.min(self.started_ms + limits::HELLO_TIMEOUT_MS)
        })
    }

    // ---- getters ----

    /// Whether the owner should go on reading from the peer: no more than [`limits::UNCOMMITTED_BYTES`],
    /// [`limits::UNCOMMITTED_BATCHES`] and [`limits::UNJUDGED_STATEMENTS`] wait for the store.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.uncommitted.len() < limits::UNCOMMITTED_BATCHES
            && self.uncommitted.iter().sum::<usize>() < limits::UNCOMMITTED_BYTES
            && self.unjudged.len() < limits::UNJUDGED_STATEMENTS
    }

    /// Whether the peer's Hello came.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The protocol version that both sides speak, once the peer's Hello came.
    #[must_use]
    pub const fn version(&self) -> Option<u16> {
        self.version
    }

    /// Whether both sides are known to have the same of every space that both share, closed logs included, and
    /// nothing is on its way. Two devices that closed one log at different places are not in sync.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let quiet =
            self.loading.is_none() && self.uncommitted.is_empty() && self.unjudged.is_empty();
        let quiet = quiet && self.outgoing.is_empty() && self.receipts.is_empty();
        let settled = self.lacking.is_empty() && self.unsettled.is_empty();
        self.is_connected() && self.offers_complete && quiet && settled
    }

    /// The spaces shared at present.
    #[must_use]
    pub fn shared(&self) -> Vec<SpaceId> {
        self.spaces.keys().copied().collect()
    }

    /// How many entries of a log the peer has, as far as it has said and sent.
    #[must_use]
    pub fn announced(&self, space: &SpaceId, log: &LogId) -> u64 {
        let exchange = self.spaces.get(space);
        exchange.map_or(0, |exchange| exchange.announced(log))
    }

    /// Whether [`Session::poll_transmit`] would give bytes.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        let receipts = !self.receipts.is_empty() && self.loading.is_none();
        receipts || !self.outgoing.is_empty()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    // ---- inside ----

    /// Notes how far a frame that has begun has come.
    fn owe(&mut self, now_ms: u64) {
        let now = (now_ms, self.carried.max(self.stats.frame_bytes_in));
        let moved = |(_, bytes): &(u64, u64)| now.1 - bytes >= limits::PROGRESS_BYTES;
        self.owed = match self.owed {
            _ if !self.reader.has_begun() => None,
            Some(since) if !moved(&since) => Some(since),
            _ => Some(now),
        };
    }

    /// When a frame that has begun must have moved on.
    fn owed_until(&self) -> Option<u64> {
        self.owed.map(|(since, _)| since + limits::PROGRESS_MS)
    }

    fn handle_message(&mut self, message: Message, charge: Charge) {
        if let Message::Hello(hello) = message {
            return self.handle_hello(&hello);
        }
        // Before its Hello a peer may only say why there will be none.
        let refusal = matches!(
            message,
            Message::Bye(_)
                | Message::Error {
                    scope: ErrorScope::Connection,
                    ..
                }
        );
        if self.phase != Phase::Live && !refusal {
            return self.violation(ErrorCode::BadFrame, None);
        }
        match message {
            Message::Offers(offers) => {
                if self.charge(charge) {
                    self.handle_offers(&offers);
                }
            }
            Message::Vector(vector) => self.handle_vector(&vector, charge),
            Message::Want { log, from } => {
                if self.charge(charge) {
                    self.handle_want(log, from);
                }
            }
            Message::Batch(batch) => self.handle_batch(batch, charge),
            Message::Receipt(receipt) => self.handle_receipt(receipt, charge),
            Message::Fork(proof) => self.handle_fork(proof, charge),
            Message::Ping(token) => {
                if self.charge(charge) {
                    self.send(&Message::Pong(token));
                }
            }
            Message::Error {
                code,
                scope: ErrorScope::Connection,
                ..
            } => self.close(Close::Peer(code)),
            Message::Error { code, .. } => {
                if self.charge(charge) {
                    self.events.push_back(Event::Refused { code });
                }
            }
            Message::Bye(_) => self.close(Close::PeerBye),
            Message::Pong(_) | Message::Unknown(_) => {
                self.charge(charge);
            }
            Message::Hello(_) | Message::Enrol(_) | Message::Enrolled(_) => {
                self.violation(ErrorCode::BadFrame, None);
            }
        }
    }

    fn handle_hello(&mut self, hello: &Hello) {
        if self.phase == Phase::Live {
            return self.violation(ErrorCode::BadFrame, None);
        }
        let speaks = hello.min <= hello.max;
        // rule:version-common
        if !speaks || hello.max < PROTOCOL_MIN || hello.min > PROTOCOL_NOW {
            return self.violation(ErrorCode::VersionUnsupported, None);
        }
        // The authority space's id is that of the network, and it is offered first: a peer of another network
        // offers none that this side has.
        let authority = self
            .spaces
            .iter()
            .find(|(_, it)| it.space() == Space::Authority);
        let offered = &hello.offers.spaces;
        let known = authority.is_none_or(|(id, _)| {
            let prefix = space_prefix(id);
            offered.iter().any(|offer| offer.space == prefix)
        });
        if !known {
            return self.violation(ErrorCode::UnknownSpace, None);
        }
        self.start();
        self.phase = Phase::Live;
        let version = hello.max.min(PROTOCOL_NOW);
        self.version = Some(version);
        let epoch = hello.epoch;
        self.events.push_back(Event::Connected { epoch, version });
        self.handle_offers(&hello.offers);
    }

    fn handle_offers(&mut self, offers: &Offers) {
        for offer in &offers.spaces {
            if self.phase == Phase::Live {
                self.peer_offered(offer);
            }
        }
        self.offers_complete |= offers.complete;
        self.load_more();
    }

    /// The peer's offer of a space meets this side's.
    fn peer_offered(&mut self, offer: &Offer) {
        let Some(id) = self.prefixes.get(&offer.space).copied() else {
            self.unshared.insert(offer.space, offer.clone());
            if self.unshared.len() + self.spaces.len() > limits::SPACES_MAX {
                self.violation(ErrorCode::TooLarge, None);
            }
            return;
        };
        let Some(exchange) = self.spaces.get_mut(&id) else {
            return;
        };
        let offers = exchange.count_offer();
        if offers > OFFERS_OF_A_SPACE {
            return self.violation(ErrorCode::Busy, None);
        }
        if offer.lacks_receipts {
            self.events.push_back(Event::ReceiptsWanted(id));
        }
        if offers > 1 {
            // The peer had withdrawn the space and has forgotten what it was told.
            let space = exchange.space();
            for log in exchange.logs() {
                self.lacking.remove(&(space, id, log));
            }
            exchange.forget();
            self.offer_again(&id);
        }
        let Some(exchange) = self.spaces.get_mut(&id) else {
            return;
        };
        if exchange.meet(&offer.digest) {
            self.review_all(&id);
        } else {
            self.settle(&id);
            self.send_vector(&id);
        }
    }

    fn send_vector(&mut self, id: &SpaceId) {
        let frames = self.spaces.get_mut(id).map(Exchange::vector);
        for vector in frames.unwrap_or_default() {
            self.stats.rounds = self.stats.rounds.max(2);
            self.send(&Message::Vector(vector));
        }
    }

    fn handle_vector(&mut self, vector: &Vector, charge: Charge) {
        let id = self.prefixes.get(&vector.space).copied();
        let found = id.and_then(|id| Some((id, self.spaces.get_mut(&id)?)));
        let Some((id, exchange)) = found else {
            self.charge(charge);
            return;
        };
        let mut news = false;
        let mut moved = Vec::new();
        for row in &vector.rows {
            // Two logs of one prefix can be made on purpose: the later is left alone, and no other
            // log is held up by it.
            let names = &mut self.names;
            let named = names.entry(row.log.prefix()).or_insert_with(|| {
                self.foreign_names += 1;
                (id, row.log)
            });
            if *named != (id, row.log) {
                continue;
            }
            if exchange.is_ahead(row) {
                let (log, len) = (row.log, row.len);
                self.events.push_back(Event::PeerAhead { log, len });
            }
            news |= exchange.hear_row(row);
            moved.push(row.log);
        }
        let known = vector.complete && exchange.complete();
        if self.foreign_names > limits::LOGS_MAX {
            return self.violation(ErrorCode::TooLarge, None);
        }
        if !news && !known && !self.charge(charge) {
            return;
        }
        if known {
            self.send_vector(&id);
            self.review_all(&id);
        } else {
            for log in &moved {
                self.review(&id, log);
            }
            self.settle(&id);
        }
        self.load_more();
    }

    fn handle_want(&mut self, prefix: [u8; 8], from: u64) {
        let Some((space, log)) = self.names.get(&prefix).copied() else {
            return;
        };
        if let Some(exchange) = self.spaces.get_mut(&space) {
            exchange.want(&log, from);
            self.review(&space, &log);
            self.load_more();
        }
    }

    fn handle_batch(&mut self, batch: WireBatch, charge: Charge) {
        // Of a log that was never named, or of a space that has just been withdrawn.
        let found = self.names.get(&batch.log).copied();
        let found = found.and_then(|(space, log)| Some((log, space, self.spaces.get_mut(&space)?)));
        let Some((log, space, exchange)) = found else {
            self.charge(charge);
            return;
        };
        let count = u64::from(batch.packed.count);
        let end = batch.start.len.saturating_add(count);
        exchange.received(&log, batch.start.len, end);
        self.stats.entries_in += count;
        let packed = &batch.packed;
        self.uncommitted
            .push_back(packed.main.len() + packed.parts.len());
        self.events.push_back(Event::Received { space, log, batch });
        self.review(&space, &log);
    }

    fn handle_receipt(&mut self, receipt: Receipt, charge: Charge) {
        let name = (receipt.space, receipt.log);
        let named = self.names.get(&receipt.log.prefix()) == Some(&name);
        let exchange = self.spaces.get_mut(&receipt.space).filter(|_| named);
        let Some(exchange) = exchange else {
            self.charge(charge);
            return;
        };
        // One that came before its entries comes again behind them, so none is dropped here for what it says.
        let first = exchange.hear_receipt(&receipt);
        let charge = if first { Charge::FREE } else { charge };
        if self.charge(charge) {
            self.stats.receipts_in += 1;
            self.unjudged.push_back(charge);
            self.events.push_back(Event::Receipt(receipt));
        }
    }

    fn handle_fork(&mut self, proof: Box<ForkProof>, charge: Charge) {
        let name = (proof.author.space, proof.log);
        let named = self.names.get(&proof.log.prefix()) == Some(&name);
        if self.charge(charge) && named {
            self.unjudged.push_back(charge);
            self.events.push_back(Event::Fork(proof));
        }
    }

    fn offer(&mut self, id: &SpaceId) -> Option<Offer> {
        let exchange = self.spaces.get_mut(id)?;
        Some(Offer {
            space: space_prefix(id),
            digest: exchange.offer(),
            lacks_receipts: exchange.lacks_receipts(),
        })
    }

    /// Offers one space in mid-session; all others have been offered.
    fn offer_again(&mut self, id: &SpaceId) {
        let spaces = self.offer(id).into_iter().collect();
        let complete = true;
        self.send(&Message::Offers(Offers { spaces, complete }));
    }

    // ---- what differs ----

    /// Looks at every log of a space, when the peer's logs have become known.
    fn review_all(&mut self, id: &SpaceId) {
        let logs = self.spaces.get(id).map(Exchange::logs);
        for log in logs.unwrap_or_default() {
            self.review(id, &log);
        }
        self.settle(id);
    }

    /// Looks at one log: whether the peer lacks something of it, or must be told that it is closed.
    fn review(&mut self, id: &SpaceId, log: &LogId) {
        self.stats.logs_examined += 1;
        let named = self.names.get(&log.prefix()) == Some(&(*id, *log));
        let Some(exchange) = self.spaces.get_mut(id) else {
            return;
        };
        let reviewed = exchange.review(log, named);
        let key = (exchange.space(), *id, *log);
        if reviewed.lacks {
            self.lacking.insert(key);
        } else {
            self.lacking.remove(&key);
        }
        let told = reviewed.tell.map(|row| exchange.frame(vec![row]));
        if let Some(vector) = told.filter(|_| self.phase == Phase::Live) {
            self.send(&Message::Vector(vector));
        }
        self.settle(id);
    }

    /// Notes whether a space differs.
    fn settle(&mut self, id: &SpaceId) {
        let settled = self.spaces.get(id).is_none_or(Exchange::is_settled);
        if settled {
            self.unsettled.remove(id);
        } else {
            self.unsettled.insert(*id);
        }
    }

    /// Asks the owner for the next piece, if there is room to send it, and for the proofs that come before it.
    fn load_more(&mut self) {
        while self.phase == Phase::Live
            && self.loading.is_none()
            && self.outgoing_bytes < self.fits
            && let Some((_, space, log)) = self.lacking.first().copied()
        {
            let exchange = self.spaces.get_mut(&space);
            match exchange.map_or(Step::Nothing, |it| it.step(&log)) {
                Step::Load { from, head } => {
                    let load = Load {
                        space,
                        log,
                        from,
                        head,
                        fits: self.fits,
                    };
                    self.loading = Some(load);
                    self.events.push_back(Event::Load(load));
                }
                Step::Prove => {
                    if let Some(exchange) = self.spaces.get_mut(&space) {
                        exchange.ask_proof(&log);
                    }
                    self.events.push_back(Event::ForkWanted(log));
                    self.review(&space, &log);
                }
                Step::Nothing => {
                    self.lacking.pop_first();
                }
            }
        }
    }

    fn flush_receipts(&mut self) {
        self.held = 0;
        while let Some((_, receipt)) = self.receipts.pop_first() {
            self.send(&Message::Receipt(receipt));
        }
    }

    fn send(&mut self, message: &Message) {
        let frame = message.encode();
        self.outgoing_bytes += frame.len();
        self.outgoing.push_back(frame);
    }

    /// Counts a frame that carries nothing new. Says whether the session goes on.
    fn charge(&mut self, charge: Charge) -> bool {
        let within = self.budget.charge(charge);
        if !within {
            self.violation(ErrorCode::Busy, None);
        }
        within
    }

    /// Whether this side's Hello is out and the session goes on, so that other frames may follow.
    const fn speaks(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Live)
    }

    fn violation(&mut self, code: ErrorCode, error: Option<DecodeError>) {
        if self.phase == Phase::Closed {
            return;
        }
        self.send(&Message::Error {
            code,
            scope: ErrorScope::Connection,
            retry_after_s: 0,
        });
        self.close(Close::Violation(code, error));
    }

    fn close(&mut self, why: Close) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Closed;
            self.events.push_back(Event::Closed(why));
        }
    }
}

#[cfg(test)]
mod tests;
