//! The sync state machine of one connection: bytes and commands in, events and bytes out.
//!
//! It does no I/O, holds no store and reads no clock; the glue around it does, in production over QUIC
//! and in the simulator over a pipe. Methods come in four families: commands of the owner (`share`,
//! `start`, `tip_moved`, `loaded`, `committed`, `push_receipt` …), `handle_*` for what comes in, `poll_*`
//! for what must go out, and getters. After any call, poll events until there are none, then bytes.
//!
//! The flow: both sides say Hello with one digest per shared space. Equal digests end the matter.
//! Otherwise both send vectors, and each side streams what the other lacks, authority first, cut at
//! checkpoints. The hub's receipts come back as it commits. The same session then stays open and
//! carries live changes. A session never decides whether an entry counts; it only moves them.
//!
//! What a peer says it has is a hint for this connection and is forgotten with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::codec::DecodeError;
use crate::limits;
use crate::log::{ForkProof, LogId};
use crate::message::{
    ErrorCode, ErrorScope, FrameReader, Hello, Message, Offer, PROTOCOL_MIN, PROTOCOL_NOW, Receipt,
    Row, Tip, WireBatch, space_digest, space_prefix,
};
use crate::space::{Space, SpaceId};

/// A space as the owner's store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Which kind: decides the order of sending.
    pub space: Space,
    /// Its logs.
    pub logs: BTreeMap<LogId, Tip>,
    /// The store lacks receipts that cover all it holds there, and wants them again.
    pub lacks_receipts: bool,
}

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
}

/// What the owner must act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's first message came and its version fits: only now is there a connection.
    Connected {
        /// Random id of the peer's store.
        epoch: [u8; 16],
    },
    /// Read this from the store and call [`Session::loaded`].
    Load(Load),
    /// Verify and store this, then call [`Session::committed`].
    Received {
        /// The log.
        log: LogId,
        /// The entries, unverified.
        batch: WireBatch,
    },
    /// Verify and keep this receipt.
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
    /// Check and keep this proof.
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
    /// A frame began and less than [`limits::PROGRESS_BYTES`] of it came in [`limits::PROGRESS_MS`].
    Stalled,
    /// The peer broke the protocol: code told to it, offset and expectation where there was one.
    Violation(ErrorCode, Option<DecodeError>),
    /// The peer closed with this code.
    Peer(ErrorCode),
}

/// What the peer is known to have of a log.
#[derive(Clone, Copy, Debug)]
struct PeerTip {
    len: u64,
    head: Option<[u8; 16]>,
    frozen: bool,
    /// The owner was asked for the proof that this log forked.
    told_of_fork: bool,
}

#[derive(Debug)]
struct Shared {
    share: Share,
    /// Digest and logs as last told to the peer.
    told: Option<([u8; 32], BTreeMap<LogId, Tip>)>,
    peer_digest: Option<[u8; 32]>,
    /// How often the peer offered this space.
    offers: u8,
    /// The peer's logs, once known.
    peer: Option<BTreeMap<LogId, PeerTip>>,
    vector_sent: bool,
    /// Logs that the peer can name by their prefix: it has them, or was told of them.
    named: BTreeSet<LogId>,
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
}

/// Times that a peer may offer a space in one session: each costs a vector.
const OFFERS_MAX: u8 = 16;
/// Bytes of a batch frame around its two sections, generously.
const BATCH_FRAME_REST: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Made,
    Greeting,
    Live,
    Closed,
}

/// One connection's state.
#[derive(Debug)]
pub struct Session {
    epoch: [u8; 16],
    phase: Phase,
    greeted: bool,
    spaces: BTreeMap<SpaceId, Shared>,
    /// What the peer offered and this side does not share (yet).
    unshared: BTreeMap<[u8; 8], Offer>,
    names: BTreeMap<[u8; 8], (SpaceId, LogId)>,
    loading: Option<Load>,
    uncommitted: usize,
    receipts: BTreeMap<LogId, Receipt>,
    events: VecDeque<Event>,
    outgoing: VecDeque<Vec<u8>>,
    outgoing_bytes: usize,
    reader: FrameReader,
    idle_frames: u32,
    idle_since_ms: u64,
    started_ms: u64,
    heard_ms: u64,
    said_ms: u64,
    /// Of a frame that has begun: since when, and how many bytes had come by then.
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
            greeted: false,
            spaces: BTreeMap::new(),
            unshared: BTreeMap::new(),
            names: BTreeMap::new(),
            loading: None,
            uncommitted: 0,
            receipts: BTreeMap::new(),
            events: VecDeque::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            reader: FrameReader::default(),
            idle_frames: 0,
            idle_since_ms: now_ms,
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
        let shared = Shared {
            share,
            told: None,
            peer_digest: None,
            offers: 0,
            peer: None,
            vector_sent: false,
            named: BTreeSet::new(),
        };
        self.spaces.insert(id, shared);
        if self.phase == Phase::Greeting || self.phase == Phase::Live {
            let offer = self.offer(&id);
            self.send(&Message::Offers(offer.into_iter().collect()));
            if let Some(theirs) = self.unshared.remove(&space_prefix(&id)) {
                self.peer_offered(&theirs);
            }
        }
    }

    /// Stops sharing a space: nothing more of it is sent or taken.
    pub fn withdraw(&mut self, id: &SpaceId) {
        self.spaces.remove(id);
        self.names.retain(|_, (space, _)| space != id);
        self.loading = self.loading.filter(|load| load.space != *id);
        self.receipts.retain(|_, receipt| receipt.space != *id);
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
        ids.sort_by_key(|id| self.spaces.get(id).map(|shared| shared.share.space));
        let spaces = ids.iter().filter_map(|id| self.offer(id)).collect();
        self.send(&Message::Hello(Hello {
            min: PROTOCOL_MIN,
            max: PROTOCOL_NOW,
            features: 0,
            epoch: self.epoch,
            spaces,
        }));
        self.stats.rounds = 1;
    }

    /// The owner's store has this much of a log now, whoever wrote it.
    pub fn tip_moved(&mut self, space: &SpaceId, log: LogId, tip: Tip) {
        if let Some(shared) = self.spaces.get_mut(space) {
            shared.share.logs.insert(log, tip);
            self.names.entry(log.prefix()).or_insert((*space, log));
            self.load_more();
        }
    }

    /// Answers [`Event::Load`]: the entries from where the peer ends, or `None` if the store cannot
    /// give them; the log is then left alone for this session.
    pub fn loaded(&mut self, load: &Load, batch: Option<WireBatch>) {
        if self.loading != Some(*load) {
            return;
        }
        self.loading = None;
        let Some(shared) = self.spaces.get_mut(&load.space) else {
            return;
        };
        // The peer may have asked for an earlier place, or said that it has more, in the meantime.
        let Some(peer) = shared.peer.as_mut() else {
            return self.load_more();
        };
        let still = peer.get(&load.log).map_or(0, |theirs| theirs.len) == load.from;
        if !still {
            return self.load_more();
        }
        // One that no frame can carry would end every session that tries.
        let batch = batch.filter(|batch| {
            let (main, parts) = (batch.packed.main.len(), batch.packed.parts.len());
            main.max(parts) <= limits::BATCH_COMPRESSED_MAX
                && main + parts + BATCH_FRAME_REST <= limits::FRAME_MAX
        });
        let end = batch.as_ref().map_or(u64::MAX, |batch| {
            batch
                .start
                .len
                .saturating_add(u64::from(batch.packed.count))
        });
        let tip = PeerTip {
            len: end.max(load.from),
            head: None,
            frozen: false,
            told_of_fork: false,
        };
        peer.insert(load.log, tip);
        if let Some(batch) = batch {
            let mine = shared.share.logs.get(&load.log).copied();
            if let Some(tip) = mine.filter(|_| shared.named.insert(load.log)) {
                let rows = vec![row(&load.log, &tip)];
                let space = space_prefix(&load.space);
                self.send(&Message::Vector {
                    space,
                    complete: false,
                    rows,
                });
            }
            self.stats.entries_out += u64::from(batch.packed.count);
            self.send(&Message::Batch(batch));
        }
        self.load_more();
    }

    /// One received batch is durable, or was refused and dropped.
    pub fn committed(&mut self) {
        self.uncommitted = self.uncommitted.saturating_sub(1);
    }

    /// Sends a receipt; only the newest of a log goes out.
    pub fn push_receipt(&mut self, receipt: Receipt) {
        if self.phase == Phase::Live && self.spaces.contains_key(&receipt.space) {
            self.receipts.insert(receipt.log, receipt);
        }
    }

    /// Sends a proof that a log forked.
    pub fn push_fork(&mut self, proof: Box<ForkProof>) {
        if self.speaks() && self.spaces.contains_key(&proof.author.space) {
            self.send(&Message::Fork(proof));
        }
    }

    /// Asks for a log from an earlier place: what came does not follow what is stored.
    pub fn want(&mut self, log: &LogId, from: u64) {
        if !self.speaks() {
            return;
        }
        self.send(&Message::Want {
            log: log.prefix(),
            from,
        });
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
        // A frame a second costs nothing, or a quiet session that lives for days would end itself.
        let quiet_s = now_ms.saturating_sub(self.idle_since_ms) / 1_000;
        self.idle_since_ms += quiet_s * 1_000;
        let quiet_s = u32::try_from(quiet_s).unwrap_or(u32::MAX);
        self.idle_frames = self.idle_frames.saturating_sub(quiet_s);
        self.stats.frame_bytes_in += bytes.len() as u64;
        self.reader.push(bytes);
        while self.phase != Phase::Closed {
            match self.reader.next_frame() {
                Ok(None) => break,
                Ok(Some(message)) => self.handle_message(message),
                Err(error) => self.violation(ErrorCode::BadFrame, Some(error)),
            }
        }
        let now = (now_ms, self.stats.frame_bytes_in);
        let moved = |(_, bytes): &(u64, u64)| now.1 - bytes >= limits::PROGRESS_BYTES;
        self.owed = match self.owed {
            _ if !self.reader.has_begun() => None,
            Some(since) if !moved(&since) => Some(since),
            _ => Some(now),
        };
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
        if !self.greeted && now_ms >= self.started_ms + limits::HELLO_TIMEOUT_MS {
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
        self.flush_receipts();
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
        Some(if self.greeted {
            next
        } else {
            next.min(self.started_ms + limits::HELLO_TIMEOUT_MS)
        })
    }

    // ---- getters ----

    /// Whether the owner should go on reading from the peer: no more than
    /// [`limits::UNCOMMITTED_BATCHES`] wait for the store.
    #[must_use]
    pub const fn wants_input(&self) -> bool {
        self.uncommitted < limits::UNCOMMITTED_BATCHES
    }

    /// Whether the peer's Hello came.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.greeted && !matches!(self.phase, Phase::Closed)
    }

    /// Whether the session is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether both sides are known to have the same of every space that both share, and nothing is
    /// on its way.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let quiet = self.loading.is_none() && self.uncommitted == 0 && self.outgoing.is_empty();
        let quiet = quiet && self.receipts.is_empty();
        quiet && self.is_connected() && self.spaces.values().all(Shared::is_in_sync)
    }

    /// The spaces shared at present.
    #[must_use]
    pub fn shared(&self) -> Vec<SpaceId> {
        self.spaces.keys().copied().collect()
    }

    /// Whether [`Session::poll_transmit`] would give bytes.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty() || !self.receipts.is_empty()
    }

    /// Counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    // ---- inside ----

    /// When a frame that has begun must have moved on.
    fn owed_until(&self) -> Option<u64> {
        self.owed.map(|(since, _)| since + limits::PROGRESS_MS)
    }

    fn handle_message(&mut self, message: Message) {
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
        if !self.greeted && !refusal {
            return self.violation(ErrorCode::BadFrame, None);
        }
        match message {
            Message::Offers(offers) => {
                self.idle_frame();
                for offer in &offers {
                    self.peer_offered(offer);
                }
            }
            Message::Vector {
                space,
                complete,
                rows,
            } => self.handle_vector(space, complete, &rows),
            Message::Want { log, from } => self.handle_want(log, from),
            Message::Batch(batch) => self.handle_batch(batch),
            Message::Receipt(receipt) => {
                if self.spaces.contains_key(&receipt.space) {
                    self.stats.receipts_in += 1;
                    self.events.push_back(Event::Receipt(receipt));
                } else {
                    self.idle_frame();
                }
            }
            Message::Fork(proof) => {
                self.idle_frame();
                if self.spaces.contains_key(&proof.author.space) {
                    self.events.push_back(Event::Fork(proof));
                }
            }
            Message::Ping(token) => {
                self.send(&Message::Pong(token));
                self.idle_frame();
            }
            Message::Error {
                code,
                scope: ErrorScope::Connection,
                ..
            } => {
                self.close(Close::Peer(code));
            }
            Message::Error { code, .. } => {
                self.idle_frame();
                self.events.push_back(Event::Refused { code });
            }
            Message::Bye(_) => self.close(Close::PeerBye),
            Message::Pong(_) | Message::Unknown(_) => self.idle_frame(),
            Message::Hello(_) | Message::Enrol(_) | Message::Enrolled(_) => {
                self.violation(ErrorCode::BadFrame, None);
            }
        }
    }

    fn handle_hello(&mut self, hello: &Hello) {
        if self.greeted {
            return self.violation(ErrorCode::BadFrame, None);
        }
        let speaks = hello.min <= hello.max;
        if !speaks || hello.max < PROTOCOL_MIN || hello.min > PROTOCOL_NOW {
            return self.violation(ErrorCode::VersionUnsupported, None);
        }
        // The authority space's id is that of the network: a peer of another network shares none.
        let authority = self
            .spaces
            .iter()
            .find(|(_, shared)| shared.share.space == Space::Authority);
        let known = authority.is_none_or(|(id, _)| {
            hello
                .spaces
                .iter()
                .any(|offer| offer.space == space_prefix(id))
        });
        if !known {
            return self.violation(ErrorCode::UnknownSpace, None);
        }
        self.greeted = true;
        self.start();
        self.phase = Phase::Live;
        self.events
            .push_back(Event::Connected { epoch: hello.epoch });
        for offer in &hello.spaces {
            self.peer_offered(offer);
        }
        self.load_more();
    }

    /// The peer's offer of a space meets this side's.
    fn peer_offered(&mut self, offer: &Offer) {
        let found = self
            .spaces
            .iter()
            .find(|(id, _)| space_prefix(id) == offer.space);
        let Some(id) = found.map(|(id, _)| *id) else {
            if self.unshared.len() < limits::SPACES_MAX {
                self.unshared.insert(offer.space, offer.clone());
            }
            return;
        };
        let Some(shared) = self.spaces.get_mut(&id) else {
            return;
        };
        shared.peer_digest = Some(offer.digest);
        shared.offers = shared.offers.saturating_add(1);
        if shared.offers > OFFERS_MAX {
            return self.violation(ErrorCode::Busy, None);
        }
        if offer.lacks_receipts {
            self.events.push_back(Event::ReceiptsWanted(id));
        }
        if shared.offers > 1 {
            // The peer had withdrawn the space and has forgotten what it was told.
            shared.peer = None;
            shared.vector_sent = false;
            shared.named.clear();
            let again = self.offer(&id);
            self.send(&Message::Offers(again.into_iter().collect()));
        }
        let Some(shared) = self.spaces.get_mut(&id) else {
            return;
        };
        match &shared.told {
            Some((digest, logs)) if *digest == offer.digest => {
                let same = logs.iter().filter(|(_, tip)| tip.counts());
                let same = same.map(|(log, tip)| (*log, PeerTip::of(tip)));
                let same: BTreeMap<_, _> = same.collect();
                shared.named.extend(same.keys().copied());
                shared.peer = Some(same);
                self.load_more();
            }
            _ => self.send_vector(&id),
        }
    }

    fn send_vector(&mut self, id: &SpaceId) {
        let Some(shared) = self.spaces.get_mut(id).filter(|shared| !shared.vector_sent) else {
            return;
        };
        shared.vector_sent = true;
        let rows = shared.share.logs.iter().filter(|(_, tip)| tip.counts());
        let rows: Vec<_> = rows
            .map(|(log, tip)| row(log, tip))
            .take(limits::LOGS_MAX)
            .collect();
        shared.named.extend(rows.iter().map(|row| row.log));
        self.stats.rounds = self.stats.rounds.max(2);
        self.send(&Message::Vector {
            space: space_prefix(id),
            complete: true,
            rows,
        });
    }

    fn handle_vector(&mut self, prefix: [u8; 8], complete: bool, rows: &[Row]) {
        let found = self
            .spaces
            .iter()
            .find(|(id, _)| space_prefix(id) == prefix);
        let Some(id) = found.map(|(id, _)| *id) else {
            return self.idle_frame();
        };
        if self.names.len() > limits::LOGS_MAX * self.spaces.len().max(4) {
            return self.violation(ErrorCode::TooLarge, None);
        }
        let Some(shared) = self.spaces.get_mut(&id) else {
            return;
        };
        if complete && shared.peer.is_none() {
            shared.peer = Some(BTreeMap::new());
        }
        let mut news = false;
        for row in rows {
            // Two logs of one prefix can be made on purpose: the later is left alone, and no other
            // log is held up by it.
            let named = self.names.entry(row.log.prefix()).or_insert((id, row.log));
            if *named != (id, row.log) {
                continue;
            }
            let mine = shared.share.logs.get(&row.log);
            if mine.is_some_and(|tip| row.len > tip.len) {
                let (log, len) = (row.log, row.len);
                self.events.push_back(Event::PeerAhead { log, len });
            }
            shared.named.insert(row.log);
            // Before all of the peer's logs are known, one of them would make it look empty.
            let Some(peer) = &mut shared.peer else {
                continue;
            };
            let tip = PeerTip {
                len: row.len,
                head: Some(row.head),
                frozen: row.frozen,
                told_of_fork: false,
            };
            news |= peer.get(&row.log).is_none_or(|known| known.len < row.len);
            peer.entry(row.log)
                .and_modify(|known| known.advance(&tip))
                .or_insert(tip);
        }
        if complete {
            self.send_vector(&id);
        }
        if !news {
            self.idle_frame();
        }
        self.load_more();
    }

    fn handle_want(&mut self, prefix: [u8; 8], from: u64) {
        let Some((space, log)) = self.names.get(&prefix).copied() else {
            return self.idle_frame();
        };
        // A want means something only to a side that knows what the peer has.
        let known = self.spaces.get_mut(&space);
        if let Some(peer) = known.and_then(|shared| shared.peer.as_mut()) {
            let tip = PeerTip {
                len: from,
                head: None,
                frozen: false,
                told_of_fork: false,
            };
            peer.insert(log, tip);
            self.idle_frame();
            self.load_more();
        }
    }

    fn handle_batch(&mut self, batch: WireBatch) {
        // Of a log that was never named, or of a space that has just been withdrawn.
        let Some((space, log)) = self.names.get(&batch.log).copied() else {
            return self.idle_frame();
        };
        let count = u64::from(batch.packed.count);
        let end = batch.start.len.saturating_add(count);
        let Some(shared) = self.spaces.get_mut(&space) else {
            return;
        };
        let tip = PeerTip {
            len: end,
            head: None,
            frozen: false,
            told_of_fork: false,
        };
        if let Some(peer) = &mut shared.peer {
            peer.entry(log)
                .and_modify(|known| known.advance(&tip))
                .or_insert(tip);
        }
        self.stats.entries_in += count;
        self.uncommitted += 1;
        self.events.push_back(Event::Received { log, batch });
    }

    fn offer(&mut self, id: &SpaceId) -> Option<Offer> {
        let shared = self.spaces.get_mut(id)?;
        let digest = space_digest(&shared.share.logs);
        shared.told = Some((digest, shared.share.logs.clone()));
        let lacks_receipts = shared.share.lacks_receipts;
        Some(Offer {
            space: space_prefix(id),
            digest,
            lacks_receipts,
        })
    }

    /// Asks the owner for the next piece, if there is room to send it.
    fn load_more(&mut self) {
        let room = self.loading.is_none() && self.outgoing_bytes < limits::OUTGOING_BUFFER;
        if self.phase != Phase::Live || !room {
            return;
        }
        let mut order: Vec<_> = self.spaces.iter().collect();
        order.sort_by_key(|(_, shared)| shared.share.space);
        let next = order
            .into_iter()
            .find_map(|(id, shared)| shared.next(id, &self.names));
        match next {
            None => {}
            Some(Next::Load(load)) => {
                self.loading = Some(load);
                self.events.push_back(Event::Load(load));
            }
            Some(Next::Prove(space, log)) => {
                let shared = self.spaces.get_mut(&space);
                if let Some(theirs) = shared.and_then(|it| it.peer.as_mut()?.get_mut(&log)) {
                    theirs.told_of_fork = true;
                }
                self.events.push_back(Event::ForkWanted(log));
                self.load_more();
            }
        }
    }

    fn flush_receipts(&mut self) {
        while let Some((_, receipt)) = self.receipts.pop_first() {
            self.send(&Message::Receipt(receipt));
        }
    }

    fn send(&mut self, message: &Message) {
        let frame = message.encode();
        self.outgoing_bytes += frame.len();
        self.outgoing.push_back(frame);
    }

    fn idle_frame(&mut self) {
        self.idle_frames += 1;
        if self.idle_frames > limits::IDLE_FRAMES_MAX {
            self.violation(ErrorCode::Busy, None);
        }
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

impl PeerTip {
    fn of(tip: &Tip) -> Self {
        Self {
            len: tip.len,
            head: tip.head.first_chunk().copied(),
            frozen: tip.frozen,
            told_of_fork: false,
        }
    }

    fn advance(&mut self, other: &Self) {
        let says_more = other.len == self.len && self.head.is_none();
        if other.len > self.len || says_more {
            *self = Self {
                told_of_fork: self.told_of_fork,
                ..*other
            };
        }
    }
}

/// What a space wants to be done next for the peer.
enum Next {
    Load(Load),
    Prove(SpaceId, LogId),
}

impl Shared {
    /// The first log of which the peer lacks something. Of a log that is frozen here it gets what
    /// precedes the fork, as every device does, and then the proof; of one that it has frozen itself,
    /// only the proof of an earlier fork.
    fn next(&self, id: &SpaceId, names: &BTreeMap<[u8; 8], (SpaceId, LogId)>) -> Option<Next> {
        let peer = self.peer.as_ref()?;
        self.share.logs.iter().find_map(|(log, tip)| {
            if names.get(&log.prefix()) != Some(&(*id, *log)) {
                return None;
            }
            let theirs = peer.get(log);
            let frozen = theirs.is_some_and(|theirs| theirs.frozen);
            let from = theirs.map_or(0, |theirs| theirs.len);
            let head = theirs.and_then(|theirs| theirs.head);
            let differs = head.is_some_and(|head| tip.head.first_chunk() != Some(&head));
            let forked = !tip.frozen && from == tip.len && differs;
            if !frozen && (from < tip.len || forked) {
                return Some(Next::Load(Load {
                    space: *id,
                    log: *log,
                    from,
                    head,
                }));
            }
            let told = theirs.is_none_or(|theirs| theirs.told_of_fork);
            let unknown = tip.frozen && (!frozen || from > tip.len) && !told;
            unknown.then_some(Next::Prove(*id, *log))
        })
    }

    fn is_in_sync(&self) -> bool {
        let Some(peer) = &self.peer else {
            // A space that the peer has not offered does not count: it does not share it.
            return self.peer_digest.is_none();
        };
        let mine = self.share.logs.iter().all(|(log, tip)| {
            let theirs = peer
                .get(log)
                .map_or((0, false), |theirs| (theirs.len, theirs.frozen));
            theirs.1 || theirs.0 >= tip.len
        });
        mine && peer.iter().all(|(log, theirs)| {
            let mine = self
                .share
                .logs
                .get(log)
                .map_or((0, false), |tip| (tip.len, tip.frozen));
            mine.1 || theirs.len == u64::MAX || mine.0 >= theirs.len
        })
    }
}

fn row(log: &LogId, tip: &Tip) -> Row {
    let head = tip.head.first_chunk().copied().unwrap_or_default();
    Row {
        log: *log,
        len: tip.len,
        head,
        frozen: tip.frozen,
        first: 0,
        missing: 0,
    }
}

#[cfg(test)]
mod tests;
