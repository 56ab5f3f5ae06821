//! One space of a session: what this side has, what it told the peer, what the peer said, and what follows.
//!
//! It knows no other space and sends nothing: it answers questions of the session, one log at a time, so that a frame
//! costs what it names and not what the space holds. The two walks over all logs are of a vector that is sent and of
//! one that has become known, once each.
//!
//! Invariants: the peer's logs are known only once its vector is complete; before that one of them would make it look
//! empty. `differing` holds a log if and only if both sides are not known to have the same of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits;
use crate::log::{LogId, Position};
use crate::message::{Row, Tip, Vector, space_digest, space_prefix};
use crate::receipt::Receipt;
use crate::space::{Space, SpaceId};

use super::peer_log::{PeerLog, Step, shown};

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

/// What is known of the peer's logs.
#[derive(Debug)]
enum Peer {
    /// It has not offered the space.
    Silent,
    /// Its vector is on its way; this much of it came.
    Telling(BTreeMap<LogId, PeerLog>),
    /// All of them.
    Known(BTreeMap<LogId, PeerLog>),
}

/// What the peer was told of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// That there is one: the peer can name it by its prefix.
    Named,
    /// That it is closed here.
    Frozen(Position),
}

/// A log that the owner asked the peer for.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// From here on, until a batch comes that begins there or before.
    outstanding: Option<u64>,
    times: u8,
}

/// The newest receipt of a log that the peer has sent.
#[derive(Clone, Copy, Debug)]
struct Heard {
    epoch: [u8; 16],
    stored_len: u64,
    judged_len: u64,
    received_at_ms: u64,
}

/// What became of a log when it was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reviewed {
    /// The peer lacks something of it.
    pub(super) lacks: bool,
    /// The peer must be told that it is closed here.
    pub(super) tell: Option<Row>,
}

/// A space that both sides share, or may.
#[derive(Debug)]
pub(super) struct Exchange {
    id: SpaceId,
    share: Share,
    /// Digest and logs as last offered, until the peer's offer meets them.
    offered: Option<([u8; 32], BTreeMap<LogId, Tip>)>,
    /// How often the peer offered this space.
    offers: u8,
    peer: Peer,
    vector_sent: bool,
    told: BTreeMap<LogId, Told>,
    /// What the peer asked for, whatever it is believed to have.
    wants: BTreeMap<LogId, u64>,
    asked: BTreeMap<LogId, Asked>,
    heard: BTreeMap<LogId, Heard>,
    differing: BTreeSet<LogId>,
}

impl Exchange {
    pub(super) const fn new(id: SpaceId, share: Share) -> Self {
        Self {
            id,
            share,
            offered: None,
            offers: 0,
            peer: Peer::Silent,
            vector_sent: false,
            told: BTreeMap::new(),
            wants: BTreeMap::new(),
            asked: BTreeMap::new(),
            heard: BTreeMap::new(),
            differing: BTreeSet::new(),
        }
    }

    pub(super) const fn space(&self) -> Space {
        self.share.space
    }

    pub(super) const fn lacks_receipts(&self) -> bool {
        self.share.lacks_receipts
    }

    /// Every log of either side that has a name in this session.
    pub(super) fn logs(&self) -> BTreeSet<LogId> {
        let theirs = match &self.peer {
            Peer::Silent => None,
            Peer::Telling(logs) | Peer::Known(logs) => Some(logs.keys()),
        };
        let theirs = theirs.into_iter().flatten();
        self.share.logs.keys().chain(theirs).copied().collect()
    }

    /// Whether nothing differs that both sides share. A space that the peer has not offered is not shared.
    pub(super) fn is_settled(&self) -> bool {
        match self.peer {
            Peer::Silent => true,
            Peer::Telling(_) => false,
            Peer::Known(_) => self.differing.is_empty(),
        }
    }

    // ---- offers and vectors ----

    /// The digest to offer, of what is held now.
    pub(super) fn offer(&mut self) -> [u8; 32] {
        let digest = space_digest(&self.share.logs);
        self.offered = Some((digest, self.share.logs.clone()));
        digest
    }

    /// Counts an offer of the peer and says which it is.
    pub(super) const fn count_offer(&mut self) -> u8 {
        self.offers = self.offers.saturating_add(1);
        self.offers
    }

    /// The peer had withdrawn the space and has forgotten what it was told.
    pub(super) fn forget(&mut self) {
        self.peer = Peer::Silent;
        self.vector_sent = false;
        self.told.clear();
        self.wants.clear();
        self.differing.clear();
    }

    /// The peer's digest meets the one that was offered. Says whether they are equal, so that its logs are known.
    pub(super) fn meet(&mut self, digest: &[u8; 32]) -> bool {
        let mine = self.offered.take().filter(|(mine, _)| mine == digest);
        let Some((_, logs)) = mine else {
            if matches!(self.peer, Peer::Silent) {
                self.peer = Peer::Telling(BTreeMap::new());
            }
            return false;
        };
        let same = logs.iter().filter(|(_, tip)| tip.counts());
        let same = same.map(|(log, tip)| {
            self.told.insert(*log, Told::of(tip));
            (*log, PeerLog::of_tip(tip))
        });
        self.peer = Peer::Known(same.collect());
        true
    }

    /// The vector, in as many frames as it takes, unless it was sent.
    pub(super) fn vector(&mut self) -> Vec<Vector> {
        if std::mem::replace(&mut self.vector_sent, true) {
            return Vec::new();
        }
        let counts = self.share.logs.iter().filter(|(_, tip)| tip.counts());
        let rows: Vec<_> = counts.map(|(log, tip)| row(log, tip)).collect();
        let told = self.share.logs.iter().filter(|(_, tip)| tip.counts());
        self.told
            .extend(told.map(|(log, tip)| (*log, Told::of(tip))));
        let mut frames: Vec<_> = rows
            // rule:scale
            .chunks(limits::ROWS_MAX)
            .map(|rows| self.frame(rows.to_vec()))
            .collect();
        if frames.is_empty() {
            frames.push(self.frame(Vec::new()));
        }
        if let Some(last) = frames.last_mut() {
            last.complete = true;
        }
        frames
    }

    /// Rows that add to what the peer was told.
    pub(super) fn frame(&self, rows: Vec<Row>) -> Vector {
        Vector {
            space: space_prefix(&self.id),
            complete: false,
            rows,
        }
    }

    /// A row, unless the peer can name the log already.
    pub(super) fn name(&mut self, log: &LogId) -> Option<Row> {
        let tip = self.share.logs.get(log)?;
        if self.told.contains_key(log) {
            return None;
        }
        self.told.insert(*log, Told::of(tip));
        Some(row(log, tip))
    }

    /// The peer says what it has of a log. Says whether that is news; a log that both can name already is news
    /// only while its vector comes in.
    pub(super) fn hear_row(&mut self, row: &Row) -> bool {
        self.told.entry(row.log).or_insert(Told::Named);
        if matches!(self.peer, Peer::Silent) {
            self.peer = Peer::Telling(BTreeMap::new());
        }
        let (Peer::Telling(logs) | Peer::Known(logs)) = &mut self.peer else {
            return false;
        };
        match logs.get_mut(&row.log) {
            None => {
                logs.insert(row.log, PeerLog::of_row(row));
                true
            }
            Some(known) => {
                if known.hear(row) {
                    // It holds something else now, and may give what it could not give before.
                    self.asked.entry(row.log).or_default().outstanding = None;
                }
                false
            }
        }
    }

    /// How many entries of a log the peer has, as far as is known.
    pub(super) fn announced(&self, log: &LogId) -> u64 {
        let said = match &self.peer {
            Peer::Silent => None,
            Peer::Telling(logs) | Peer::Known(logs) => logs.get(log),
        };
        said.map_or(0, PeerLog::len)
    }

    /// Whether a row says that the peer has more than this store, and more than it has said before.
    pub(super) fn is_ahead(&self, row: &Row) -> bool {
        let mine = self.share.logs.get(&row.log);
        mine.is_some_and(|tip| row.len > tip.len) && row.len > self.announced(&row.log)
    }

    /// The peer's vector is complete: its logs are known from now on. Says whether they were not before.
    pub(super) fn complete(&mut self) -> bool {
        match std::mem::replace(&mut self.peer, Peer::Silent) {
            Peer::Known(logs) => {
                self.peer = Peer::Known(logs);
                false
            }
            Peer::Telling(logs) => {
                self.peer = Peer::Known(logs);
                true
            }
            Peer::Silent => {
                self.peer = Peer::Known(BTreeMap::new());
                true
            }
        }
    }

    // ---- one log ----

    /// The store has this of a log now. Says whether that is new.
    pub(super) fn moved(&mut self, log: LogId, tip: Tip) -> bool {
        self.share.logs.insert(log, tip) != Some(tip)
    }

    /// What the peer lacks of a log. What it asked for comes before what it is believed to lack.
    pub(super) fn step(&self, log: &LogId) -> Step {
        let (Peer::Known(logs), Some(tip)) = (&self.peer, self.share.logs.get(log)) else {
            return Step::Nothing;
        };
        if let Some(from) = self.wants.get(log) {
            return Step::Load {
                from: *from,
                head: None,
            };
        }
        let nothing = PeerLog::default();
        logs.get(log).unwrap_or(&nothing).step(tip)
    }

    /// Looks at a log anew. `named` is false for one whose prefix another log has in this session.
    pub(super) fn review(&mut self, log: &LogId, named: bool) -> Reviewed {
        let Peer::Known(logs) = &self.peer else {
            return Reviewed::default();
        };
        let tip = self.share.logs.get(log);
        let nothing = PeerLog::default();
        if logs.get(log).unwrap_or(&nothing).agrees(tip) {
            self.differing.remove(log);
        } else {
            self.differing.insert(*log);
        }
        let closed = tip.filter(|tip| tip.frozen && named);
        let untold = closed.filter(|tip| self.told.get(log) != Some(&Told::of(tip)));
        let tell = untold.map(|tip| row(log, tip));
        if let Some(tip) = untold {
            self.told.insert(*log, Told::of(tip));
        }
        Reviewed {
            lacks: named && self.step(log) != Step::Nothing,
            tell,
        }
    }

    fn peer_log(&mut self, log: &LogId) -> Option<&mut PeerLog> {
        match &mut self.peer {
            Peer::Known(logs) => Some(logs.entry(*log).or_default()),
            Peer::Silent | Peer::Telling(_) => None,
        }
    }

    /// The peer asks for a log from here on. Any place of what the store holds will do, also beyond the place at
    /// which the log is closed.
    pub(super) fn want(&mut self, log: &LogId, from: u64) {
        let tip = self.share.logs.get(log);
        if tip.is_some_and(|tip| tip.frozen || from < tip.len) {
            self.wants.insert(*log, from);
        }
    }

    /// A piece of a log goes out: entries from `start` to `end` for what was loaded from `from` on.
    pub(super) fn sent(&mut self, log: &LogId, from: u64, start: u64, end: u64) {
        let to_the_end = self
            .share
            .logs
            .get(log)
            .is_none_or(|tip| !tip.frozen && end >= tip.len);
        if self.wants.contains_key(log) {
            if to_the_end || end <= from {
                self.wants.remove(log);
            } else {
                self.wants.insert(*log, end);
            }
        }
        if let Some(theirs) = self.peer_log(log) {
            if start < from {
                theirs.parts();
            }
            theirs.holds(end.max(from));
        }
    }

    /// The store has nothing to give there.
    pub(super) fn not_sent(&mut self, log: &LogId) {
        if self.wants.remove(log).is_none()
            && let Some(theirs) = self.peer_log(log)
        {
            theirs.leave_alone();
        }
    }

    /// The owner was asked for the proof that a log forked.
    pub(super) fn ask_proof(&mut self, log: &LogId) {
        let tip = self.share.logs.get(log).copied();
        if let (Some(theirs), Some(tip)) = (self.peer_log(log), tip) {
            theirs.ask_proof(&tip);
        }
    }

    /// Whether a proof of a fork at this place goes out.
    pub(super) fn prove(&mut self, log: &LogId, seq: u64) -> bool {
        self.peer_log(log).is_none_or(|theirs| theirs.prove(seq))
    }

    /// Entries of a log came from the peer.
    pub(super) fn received(&mut self, log: &LogId, start: u64, end: u64) {
        if let Some(asked) = self.asked.get_mut(log) {
            asked.outstanding = asked.outstanding.filter(|from| start > *from);
        }
        if let Some(theirs) = self.peer_log(log) {
            theirs.holds(end);
        }
    }

    /// Whether to ask the peer for a log from here on: not while an answer to the same is awaited, and not
    /// without end.
    pub(super) fn ask(&mut self, log: &LogId, from: u64) -> bool {
        let asked = self.asked.entry(*log).or_default();
        let awaited = asked.outstanding.is_some_and(|earlier| earlier <= from);
        if awaited || asked.times >= limits::WANTS_MAX {
            return false;
        }
        asked.outstanding = Some(from);
        asked.times += 1;
        true
    }

    /// Notes what the peer says. Says whether it is the first receipt of its log: the peer cannot know which one is
    /// held here.
    pub(super) fn hear_receipt(&mut self, receipt: &Receipt) -> bool {
        let heard = Heard::of(receipt);
        let before = self.heard.get(&receipt.log).copied();
        if before.is_none_or(|before| !before.says(&heard)) {
            self.heard.insert(receipt.log, heard);
        }
        before.is_none()
    }

    /// Whether the peer has itself said what this receipt says.
    pub(super) fn knows_receipt(&self, receipt: &Receipt) -> bool {
        let heard = self.heard.get(&receipt.log);
        heard.is_some_and(|heard| heard.says(&Heard::of(receipt)))
    }
}

impl Told {
    const fn of(tip: &Tip) -> Self {
        if tip.frozen {
            Self::Frozen(tip.position())
        } else {
            Self::Named
        }
    }
}

impl Heard {
    const fn of(receipt: &Receipt) -> Self {
        Self {
            epoch: receipt.epoch,
            stored_len: receipt.stored.len,
            judged_len: receipt.judged_len,
            received_at_ms: receipt.received_at_ms,
        }
    }

    /// Whether `other` is of the same store and in nothing newer.
    fn says(&self, other: &Self) -> bool {
        self.epoch == other.epoch
            && other.stored_len <= self.stored_len
            && other.judged_len <= self.judged_len
            && other.received_at_ms <= self.received_at_ms
    }
}

fn row(log: &LogId, tip: &Tip) -> Row {
    Row {
        log: *log,
        len: tip.len,
        head: shown(&tip.head),
        frozen: tip.frozen,
        first: 0,
        missing: 0,
    }
}
