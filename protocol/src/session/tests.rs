//! Two sessions, a pipe between them and a store in memory for each. All fictional data.

#![expect(
    clippy::indexing_slicing,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::convert::Infallible;

use super::*;
use crate::admit::{Place, place};
use crate::authority::Reason;
use crate::batch::{Parts, pack, unpack};
use crate::log::{Branch, EntryId, Position, Run, VerifiedRun};
use crate::message::{Message, PROTOCOL_MIN, Row, Vector};
use crate::receipt::Exception;
use crate::space::NetworkId;
use crate::testing::{self, Author, save, signer, site_space, space_id};

mod hostile;
mod scale;

/// A log as stored: its runs in order.
#[derive(Clone, Debug, Default)]
struct Log {
    runs: Vec<VerifiedRun>,
    /// Where it forked, with the proof.
    forked: Option<(Position, Box<ForkProof>)>,
}

impl Log {
    fn ids(&self) -> Vec<EntryId> {
        self.runs
            .iter()
            .flat_map(|run| run.ids().to_vec())
            .collect()
    }

    fn end(&self, log: &LogId) -> Position {
        self.runs
            .last()
            .map_or(Position::start(log), VerifiedRun::end)
    }

    fn tip(&self, log: &LogId) -> Tip {
        let at = self.forked.as_ref().map_or(self.end(log), |(at, _)| *at);
        Tip {
            len: at.len,
            head: at.head,
            frozen: self.forked.is_some(),
        }
    }
}

/// One device: its store, its session, and what happened to it.
struct Node {
    session: Session,
    spaces: BTreeMap<SpaceId, Space>,
    logs: BTreeMap<LogId, Log>,
    receipts: BTreeMap<LogId, Receipt>,
    /// Receipts that came.
    receipted: Vec<Receipt>,
    events: Vec<Event>,
    frames: Vec<Vec<u8>>,
    duplicates: usize,
    /// Do not answer loads and do not commit: a store that is busy.
    busy: bool,
    /// Act on no proof.
    stubborn: bool,
}

fn site() -> SpaceId {
    space_id(site_space())
}

fn authority() -> SpaceId {
    space_id(Space::Authority)
}

fn at(seq: u64) -> usize {
    usize::try_from(seq).unwrap_or(usize::MAX)
}

impl Node {
    /// A device that shares the authority space and a site.
    fn new() -> Self {
        let spaces = [(authority(), Space::Authority), (site(), site_space())];
        Self::of(spaces.into())
    }

    fn of(spaces: BTreeMap<SpaceId, Space>) -> Self {
        Self {
            session: Session::new([0; 16], 0),
            spaces,
            logs: BTreeMap::new(),
            receipts: BTreeMap::new(),
            receipted: Vec::new(),
            events: Vec::new(),
            frames: Vec::new(),
            duplicates: 0,
            busy: false,
            stubborn: false,
        }
    }

    /// A fresh session over what is stored.
    fn connect(&mut self, now_ms: u64) {
        self.session = Session::new([0; 16], now_ms);
        self.events.clear();
        self.frames.clear();
        for id in self.spaces.clone().keys() {
            self.share(id);
        }
    }

    fn share(&mut self, id: &SpaceId) {
        let logs = self
            .logs
            .iter()
            .filter(|(_, log)| log.runs[0].author().space == *id);
        let logs = logs.map(|(id, log)| (*id, log.tip(id))).collect();
        let space = self.spaces[id];
        self.session.share(
            *id,
            Share {
                space,
                logs,
                lacks_receipts: false,
            },
        );
    }

    /// Stores a run, of this device or not.
    fn store(&mut self, run: VerifiedRun) {
        let (id, space) = (run.run().log, run.author().space);
        let log = self.logs.entry(id).or_default();
        log.runs.push(run);
        let tip = log.tip(&id);
        self.session.tip_moved(&space, id, tip);
    }

    fn save(&mut self, author: &mut Author, n: u8) {
        let run = author.push(save(n)).cut();
        self.store(run);
    }

    fn load(&self, load: &Load) -> Option<WireBatch> {
        let log = self.logs.get(&load.log)?;
        let ids = log.ids();
        let mut from = load.from.min(ids.len() as u64);
        let before = from.checked_sub(1).map(|before| ids[at(before)].0);
        if let (Some(head), Some(before)) = (load.head, before)
            && before.first_chunk() != Some(&head)
        {
            from -= 1;
        }
        let run = log.runs.iter().find(|run| run.end().len > from)?;
        Some(WireBatch {
            log: load.log.prefix(),
            start: run.run().start,
            packed: pack(run.run()),
        })
    }

    fn receive(&mut self, id: LogId, batch: &WireBatch) {
        let section = Parts::Section(&batch.packed.parts);
        let unpacked = unpack(&id, batch.start, &batch.packed.main, section).ok();
        let known = self
            .logs
            .get(&id)
            .and_then(|log| log.runs.first())
            .map(VerifiedRun::author);
        let verified = unpacked.and_then(|run| run.verify(known, 0).ok());
        let Some(run) = verified else {
            return self.session.batch_refused(ErrorCode::BadSignature);
        };
        let log = self.logs.entry(id).or_default();
        let (ids, end) = (log.ids(), log.end(&id));
        let begins = run.run().start.len;
        let found = place(&run, end, |seq| Ok::<_, Infallible>(ids[at(seq)]));
        let mut taken = Taken::Nothing;
        match found {
            Ok(Place::Append { .. }) if log.forked.is_some() => {}
            Ok(Place::Append { skip }) => {
                self.duplicates += skip;
                let kept = if skip == 0 { run } else { rest_of(run, skip) };
                self.store(kept);
                taken = Taken::New;
            }
            Ok(Place::Duplicate) => self.duplicates += run.ids().len(),
            Ok(Place::Gap { have }) => self.session.want(&id, have),
            Ok(Place::Fork { .. }) if log.forked.is_some() => {}
            Ok(Place::Fork { seq }) if seq < begins => {
                self.session.want(&id, search_from(begins, end.len));
            }
            Ok(Place::Fork { seq }) => {
                let proof = prove(log, &run, seq);
                taken = self.freeze(&proof);
                self.session.push_fork(proof);
            }
            Err(never) => match never {},
        }
        self.session.committed(taken);
    }

    /// Closes a log at the earliest fork that is proven.
    fn freeze(&mut self, proof: &ForkProof) -> Taken {
        let Some(seq) = proof.seq().filter(|_| !self.stubborn) else {
            return Taken::Nothing;
        };
        let log = self.logs.get_mut(&proof.log);
        let log = log.filter(|log| log.forked.as_ref().is_none_or(|(at, _)| seq < at.len));
        let Some(log) = log.filter(|log| at(seq) <= log.ids().len()) else {
            return Taken::Nothing;
        };
        let head = log.ids()[at(seq) - 1].0;
        log.forked = Some((Position { len: seq, head }, Box::new(proof.clone())));
        let tip = log.tip(&proof.log);
        self.session.tip_moved(&proof.author.space, proof.log, tip);
        Taken::New
    }

    /// Acts on events until there are none.
    fn settle(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            let closed = matches!(self.events.last(), Some(Event::Closed(_)));
            assert!(!closed, "{event:?} after the end");
            self.events.push(event.clone());
            match event {
                Event::Load(load) if !self.busy => {
                    let batch = self.load(&load);
                    self.session.loaded(&load, batch);
                }
                Event::Received { log, batch, .. } if !self.busy => self.receive(log, &batch),
                Event::ReceiptsWanted(space) => {
                    for receipt in self.receipts.values().filter(|it| it.space == space) {
                        self.session.push_receipt(receipt.clone());
                    }
                }
                Event::Receipt(receipt) => {
                    self.receipted.push(receipt);
                    self.session.statement_judged(Taken::New);
                }
                Event::Fork(proof) => {
                    let taken = self.freeze(&proof);
                    self.session.statement_judged(taken);
                }
                Event::ForkWanted(log) => {
                    let forked = self.logs.get(&log).and_then(|log| log.forked.clone());
                    if let Some((_, proof)) = forked {
                        self.session.push_fork(proof);
                    }
                }
                Event::Connected { .. }
                | Event::PeerAhead { .. }
                | Event::Refused { .. }
                | Event::Load(_)
                | Event::Received { .. }
                | Event::Closed(_) => {}
            }
        }
        any
    }

    fn transmit(&mut self, now_ms: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.session.poll_transmit(now_ms) {
            bytes.extend_from_slice(&frame);
            self.frames.push(frame);
        }
        bytes
    }

    fn types(&self) -> Vec<u8> {
        self.frames.iter().map(|frame| frame[1]).collect()
    }

    fn lens(&self) -> BTreeMap<LogId, u64> {
        self.logs
            .iter()
            .map(|(id, log)| (*id, log.end(id).len))
            .collect()
    }

    fn tips(&self) -> BTreeMap<LogId, Tip> {
        self.logs
            .iter()
            .map(|(id, log)| (*id, log.tip(id)))
            .collect()
    }

    fn closed(&self) -> Option<Close> {
        self.events.iter().find_map(|event| {
            if let Event::Closed(why) = event {
                Some(*why)
            } else {
                None
            }
        })
    }

    /// Says something raw to this node's session.
    fn hear(&mut self, bytes: &[u8], now_ms: u64) {
        self.session.handle_bytes(bytes, now_ms);
        self.settle();
    }
}

fn rest_of(run: VerifiedRun, skip: usize) -> VerifiedRun {
    let (author, run) = (run.author(), run.run().clone());
    let entries = run.entries[skip..].to_vec();
    let start = Position {
        len: entries[0].header.seq,
        head: entries[0].header.prev,
    };
    let rest = Run {
        start,
        entries,
        ..run
    }
    .verify(Some(author), 0);
    rest.unwrap_or_else(|error| unreachable!("the rest of a verified run: {error}"))
}

fn prove(log: &Log, run: &VerifiedRun, seq: u64) -> Box<ForkProof> {
    let branch = |run: &VerifiedRun| Branch {
        headers: run
            .run()
            .entries
            .iter()
            .filter(|entry| entry.header.seq >= seq)
            .map(|entry| entry.header.clone())
            .collect(),
        checkpoint: run.run().checkpoint.clone(),
    };
    let mine = log.runs.iter().find(|run| run.end().len > seq).map(branch);
    let mut branches = [mine.unwrap_or_else(|| branch(run)), branch(run)];
    branches.sort_by_key(|branch| branch.headers[0].id());
    Box::new(ForkProof {
        author: run.author(),
        log: run.run().log,
        branches,
    })
}

/// Carries bytes to and fro until nothing moves.
fn pump(a: &mut Node, b: &mut Node, now_ms: u64) {
    for _ in 0..10_000 {
        let mut any = a.settle() | b.settle();
        let (out, back) = (a.transmit(now_ms), b.transmit(now_ms));
        any |= !out.is_empty() || !back.is_empty();
        if !any {
            return;
        }
        b.session.handle_bytes(&out, now_ms);
        a.session.handle_bytes(&back, now_ms);
    }
    unreachable!("two sessions that never come to rest");
}

/// Fresh sessions; `a` speaks first.
fn meet(a: &mut Node, b: &mut Node) {
    a.connect(0);
    b.connect(0);
    a.session.start();
    pump(a, b, 0);
}

/// An author in the site's space and a node that holds `saves` of its saves.
fn station(key: u8, saves: u8) -> (Node, Author) {
    let mut node = Node::new();
    let mut author = Author::new(site(), key, 1);
    let run = author.cut();
    node.store(run);
    for n in 0..saves {
        node.save(&mut author, n);
    }
    (node, author)
}

fn in_sync(a: &Node, b: &Node) {
    assert_eq!(a.tips(), b.tips());
    assert!(a.session.is_in_sync() && b.session.is_in_sync());
    assert_eq!((a.closed(), b.closed()), (None, None));
}

fn hello() -> Hello {
    let offer = |space| Offer {
        space: space_prefix(&space),
        digest: [0; 32],
        lacks_receipts: false,
    };
    Hello {
        min: PROTOCOL_MIN,
        max: PROTOCOL_NOW,
        features: 0,
        epoch: [1; 16],
        offers: Offers {
            spaces: vec![offer(authority()), offer(site())],
            complete: true,
        },
    }
}

/// A node whose peer, played by the test, has said Hello.
fn greeted() -> (Node, Author) {
    let (mut node, author) = station(1, 2);
    node.connect(0);
    node.hear(&Message::Hello(hello()).encode(), 0);
    node.transmit(0);
    (node, author)
}

fn offers(spaces: Vec<Offer>) -> Vec<u8> {
    let complete = true;
    Message::Offers(Offers { spaces, complete }).encode()
}

fn vector(space: SpaceId, rows: Vec<Row>) -> Vec<u8> {
    Message::Vector(Vector {
        space: space_prefix(&space),
        complete: true,
        rows,
    })
    .encode()
}

// ---- what moves ----

#[test]
fn when_nothing_changed_one_hello_each_way_is_all() {
    let (mut a, mut b) = (station(1, 3).0, Node::new());
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    for node in [&a, &b] {
        assert_eq!(node.types(), [1], "Hello and nothing else");
        assert_eq!(node.session.stats().rounds, 1);
        // Head 6, versions 4, features 4, epoch 16, count 4, complete 1, tail 2, and 41 for each of two spaces.
        assert_eq!(node.session.stats().frame_bytes_out, 37 + 2 * 41);
        assert_eq!(node.session.stats().frame_bytes_in, 37 + 2 * 41);
    }
}

#[test]
fn what_one_side_lacks_comes_once_and_authority_comes_first() {
    let (mut a, _) = station(1, 5);
    let mut orders = Author::new(authority(), 100, 1);
    let run = orders.push(vec![testing::part_entry(&[1; 20])]).cut();
    a.store(run);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!((a.duplicates, b.duplicates), (0, 0));
    let received: Vec<_> = b
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Received { log, .. } = event {
                Some(*log)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(received[0], orders.tail.log);
    assert_eq!(received.len(), 7);
    assert_eq!(a.session.stats().entries_out, 13);
    assert_eq!(b.session.stats().entries_in, 13);
    assert_eq!(
        (a.session.stats().entries_in, a.session.stats().rounds),
        (0, 2)
    );
}

#[test]
fn both_sides_get_what_they_lack_of_shared_and_of_unknown_logs() {
    let (mut a, mut first) = station(1, 1);
    let (mut b, mut second) = station(2, 2);
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    for n in 10..14 {
        a.save(&mut first, n);
        b.save(&mut second, n);
    }
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(a.lens().into_values().sum::<u64>(), 2 + 2 * (5 + 6));
    assert_eq!((a.duplicates, b.duplicates), (0, 0));
}

#[test]
fn live_changes_go_both_ways_and_nothing_is_echoed() {
    let (mut a, mut first) = station(1, 1);
    let (mut b, mut second) = station(2, 1);
    meet(&mut a, &mut b);
    for n in 0..20 {
        a.frames.clear();
        b.frames.clear();
        a.save(&mut first, n);
        if n % 3 == 0 {
            b.save(&mut second, n);
        }
        pump(&mut a, &mut b, 1);
        in_sync(&a, &b);
        assert_eq!(a.types(), [5], "one batch and nothing else");
        assert_eq!(b.types().len(), usize::from(n % 3 == 0));
    }
    assert_eq!((a.duplicates, b.duplicates), (0, 0));
}

#[test]
fn a_log_that_begins_in_mid_session_is_named_once_and_sent() {
    let (mut a, _) = station(1, 1);
    let (mut b, _) = station(2, 1);
    meet(&mut a, &mut b);
    a.frames.clear();
    let mut third = Author::new(site(), 3, 1);
    a.store(third.cut());
    a.save(&mut third, 1);
    pump(&mut a, &mut b, 1);
    in_sync(&a, &b);
    assert_eq!(a.types(), [3, 5, 5]);
    b.frames.clear();
    let mut third_at_b = third;
    b.save(&mut third_at_b, 2);
    pump(&mut a, &mut b, 1);
    in_sync(&a, &b);
    assert_eq!(b.types(), [5], "the log has a name by now");
}

#[test]
fn a_log_that_was_shared_empty_is_named_when_it_begins() {
    let (mut a, mut b) = (Node::new(), Node::new());
    let mut author = Author::new(site(), 1, 1);
    a.connect(0);
    b.connect(0);
    a.session.start();
    let tip = Tip {
        len: 0,
        head: author.tail.log.0,
        frozen: false,
    };
    a.session.tip_moved(&site(), author.tail.log, tip);
    pump(&mut a, &mut b, 0);
    a.store(author.cut());
    pump(&mut a, &mut b, 0);
    in_sync(&a, &b);
    assert_eq!(b.logs.len(), 1);
}

#[test]
fn many_small_sessions_bring_random_stores_together() {
    let mut random = testing::Random(11);
    for round in 0..60 {
        let mut authors: Vec<_> = (0..4).map(|n| Author::new(site(), n + 1, 1)).collect();
        let (mut a, mut b) = (Node::new(), Node::new());
        for author in &mut authors {
            let run = author.cut();
            let (with_a, with_b) = (random.one_in(2), random.one_in(2));
            let mut runs = vec![run];
            for n in 0..random.below(5) {
                runs.push(author.push(save(u8::try_from(n).unwrap_or(0))).cut());
            }
            for (node, with) in [(&mut a, with_a), (&mut b, with_b)] {
                let upto = if with {
                    1 + random.below(runs.len())
                } else {
                    0
                };
                runs.iter()
                    .take(upto)
                    .for_each(|run| node.store(run.clone()));
            }
        }
        meet(&mut a, &mut b);
        in_sync(&a, &b);
        assert_eq!((a.duplicates, b.duplicates), (0, 0), "round {round}");
    }
}

#[test]
fn what_a_peer_has_beyond_this_store_is_said_before_anything_is_sent() {
    let (mut a, mut author) = station(1, 1);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let old = a.logs.clone();
    a.save(&mut author, 5);
    let log = author.tail.log;
    meet(&mut a, &mut b);
    // The device comes back with its store of yesterday.
    a.logs = old;
    meet(&mut a, &mut b);
    assert_eq!(a.events[1], Event::PeerAhead { log, len: 5 });
    assert!(
        !b.events
            .iter()
            .any(|event| matches!(event, Event::PeerAhead { .. }))
    );
    in_sync(&a, &b);
    meet(&mut a, &mut b);
    assert!(
        !a.events
            .iter()
            .any(|event| matches!(event, Event::PeerAhead { .. }))
    );
}

#[test]
fn a_peer_is_not_ahead_in_a_log_that_is_not_held_here() {
    let (mut node, author) = greeted();
    let row = |log, len| Row {
        log,
        len,
        head: [0; 16],
        frozen: false,
        first: 0,
        missing: 0,
    };
    let (own, unknown) = (author.tail.log, LogId([0; 32]));
    node.hear(&vector(site(), vec![row(unknown, 9), row(own, 5)]), 0);
    assert!(
        !node
            .events
            .iter()
            .any(|event| matches!(event, Event::PeerAhead { .. }))
    );
    node.hear(&vector(site(), vec![row(own, 6)]), 0);
    assert!(node.events.contains(&Event::PeerAhead { log: own, len: 6 }));
}

#[test]
fn receipts_are_asked_for_and_only_the_newest_of_a_log_is_sent() {
    let (mut a, author) = station(1, 2);
    let mut hub = Node::new();
    meet(&mut a, &mut hub);
    let receipt = |len| {
        Receipt {
            space: site(),
            log: author.tail.log,
            epoch: [0; 16],
            stored: Position { len, head: [0; 32] },
            judged_len: len,
            exceptions: vec![Exception {
                range: 0..1,
                reason: Reason::Guard,
            }],
            received_at_ms: 1,
            signature: [0; 64],
        }
        .signed(&signer(100))
    };
    hub.receipts.insert(author.tail.log, receipt(5));
    a.session = Session::new([0; 16], 0);
    hub.connect(0);
    for (id, space) in a.spaces.clone() {
        let logs = if id == site() {
            a.tips()
        } else {
            BTreeMap::new()
        };
        a.session.share(
            id,
            Share {
                space,
                logs,
                lacks_receipts: id == site(),
            },
        );
    }
    a.session.start();
    pump(&mut a, &mut hub, 0);
    assert_eq!(
        hub.events
            .iter()
            .filter(|it| **it == Event::ReceiptsWanted(site()))
            .count(),
        1
    );
    assert_eq!(a.receipted, [receipt(5)]);
    hub.session.push_receipt(receipt(6));
    hub.session.push_receipt(receipt(7));
    assert!(!hub.session.is_in_sync(), "a receipt still waits");
    pump(&mut a, &mut hub, 0);
    assert_eq!(a.receipted, [receipt(5), receipt(7)]);
    assert_eq!(a.session.stats().receipts_in, 2);
    let elsewhere = Receipt {
        space: space_id(Space::Hub),
        ..receipt(8)
    };
    hub.session.push_receipt(elsewhere.clone());
    a.session
        .handle_bytes(&Message::Receipt(elsewhere).encode(), 0);
    pump(&mut a, &mut hub, 0);
    assert_eq!(
        a.receipted.len(),
        2,
        "nothing of a space that is not shared"
    );
}

#[test]
fn a_space_that_is_shared_late_catches_up_from_either_side() {
    for late_side_speaks_first in [true, false] {
        for late_side_has_records in [true, false] {
            let (mut full, _) = station(1, 3);
            let mut joins = Node::of([(authority(), Space::Authority)].into());
            joins.connect(0);
            full.connect(0);
            if late_side_speaks_first {
                joins.session.start();
            } else {
                full.session.start();
            }
            pump(&mut joins, &mut full, 0);
            assert!(joins.logs.is_empty());
            assert!(joins.session.is_in_sync());
            joins.spaces.insert(site(), site_space());
            if late_side_has_records {
                let mut own = Author::new(site(), 2, 1);
                joins.store(own.cut());
                joins.save(&mut own, 1);
            }
            joins.share(&site());
            pump(&mut joins, &mut full, 0);
            in_sync(&joins, &full);
            assert_eq!(joins.logs.len(), 1 + usize::from(late_side_has_records));
        }
    }
}

#[test]
fn nothing_of_a_withdrawn_space_is_sent_or_taken_and_the_connection_goes_on() {
    let (mut a, mut first) = station(1, 1);
    let (mut b, mut second) = station(2, 1);
    meet(&mut a, &mut b);
    let before = a.lens();
    a.session.withdraw(&site());
    a.frames.clear();
    b.save(&mut second, 7);
    a.save(&mut first, 7);
    let mut third = Author::new(site(), 3, 1);
    b.store(third.cut());
    pump(&mut a, &mut b, 1);
    assert_eq!((a.closed(), b.closed()), (None, None));
    assert!(a.frames.is_empty());
    assert_eq!(a.lens()[&second.tail.log], before[&second.tail.log]);
    a.share(&site());
    pump(&mut a, &mut b, 2);
    in_sync(&a, &b);
    b.save(&mut second, 8);
    a.save(&mut first, 8);
    pump(&mut a, &mut b, 3);
    in_sync(&a, &b);
}

#[test]
fn withdrawing_a_space_in_the_middle_of_a_load_holds_nothing_up() {
    let (mut a, _) = station(1, 3);
    let mut b = Node::new();
    a.busy = true;
    meet(&mut a, &mut b);
    assert!(matches!(a.events.last(), Some(Event::Load(load)) if load.space == site()));
    let hub = space_id(Space::Hub);
    for node in [&mut a, &mut b] {
        node.spaces.insert(hub, Space::Hub);
    }
    let mut desk = Author::new(hub, 4, 1);
    a.store(desk.cut());
    a.share(&hub);
    b.share(&hub);
    pump(&mut a, &mut b, 0);
    a.busy = false;
    a.session.withdraw(&site());
    pump(&mut a, &mut b, 0);
    assert_eq!(b.logs.len(), 1);
}

#[test]
fn a_want_goes_back_and_one_that_comes_during_a_load_is_not_lost() {
    let (mut a, author) = station(1, 4);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    b.logs.clear();
    b.session.want(&author.tail.log, 0);
    pump(&mut a, &mut b, 0);
    assert_eq!(b.lens(), a.lens());

    let (mut node, author) = greeted();
    let log = author.tail.log;
    let row = Row {
        log,
        len: 3,
        head: [0; 16],
        frozen: false,
        first: 0,
        missing: 0,
    };
    let head = node.logs[&log].ids()[2].0;
    let row = Row {
        head: head.first_chunk().copied().unwrap_or_default(),
        ..row
    };
    node.busy = true;
    node.hear(&vector(site(), vec![row]), 0);
    let Some(Event::Load(late)) = node.events.last().cloned() else {
        unreachable!("a peer that lacks entries");
    };
    assert_eq!(late.from, 3);
    node.hear(
        &Message::Want {
            log: log.prefix(),
            from: 0,
        }
        .encode(),
        0,
    );
    node.session.loaded(&late, node.load(&late));
    node.settle();
    let loads = node.events.iter().filter_map(|event| {
        if let Event::Load(load) = event {
            Some(load.from)
        } else {
            None
        }
    });
    assert_eq!(loads.collect::<Vec<_>>(), [3, 0]);
}

#[test]
fn a_want_before_the_vectors_does_not_make_the_peer_look_empty() {
    let (mut node, author) = greeted();
    node.hear(
        &Message::Want {
            log: author.tail.log.prefix(),
            from: 1,
        }
        .encode(),
        0,
    );
    let batch = WireBatch {
        log: author.tail.log.prefix(),
        start: Position::start(&author.tail.log),
        packed: pack(node.logs[&author.tail.log].runs[0].run()),
    };
    node.hear(&Message::Batch(batch).encode(), 0);
    assert!(
        !node
            .events
            .iter()
            .any(|event| matches!(event, Event::Load(_)))
    );
}

#[test]
fn a_log_that_the_store_cannot_give_is_left_alone() {
    let (mut a, _) = station(1, 2);
    let mut b = Node::new();
    a.busy = true;
    meet(&mut a, &mut b);
    let Some(Event::Load(load)) = a.events.last().cloned() else {
        unreachable!("a peer that lacks entries");
    };
    a.session.loaded(&load, None);
    a.busy = false;
    pump(&mut a, &mut b, 0);
    assert_eq!(
        a.events
            .iter()
            .filter(|it| matches!(it, Event::Load(_)))
            .count(),
        1
    );
    assert_eq!(a.closed(), None);
}

#[test]
fn a_batch_that_no_frame_can_carry_does_not_end_the_session() {
    let most = limits::BATCH_COMPRESSED_MAX;
    for (main, parts) in [(most, most), (most + 1, 0), (0, most + 1)] {
        let (mut node, author) = greeted();
        node.busy = true;
        node.hear(&vector(site(), Vec::new()), 0);
        let Some(Event::Load(load)) = node.events.last().cloned() else {
            unreachable!("a peer that lacks entries");
        };
        let packed = crate::batch::Packed {
            count: 1,
            main: vec![0; main],
            parts: vec![0; parts],
        };
        let start = Position::start(&author.tail.log);
        let log = author.tail.log.prefix();
        node.session
            .loaded(&load, Some(WireBatch { log, start, packed }));
        assert!(node.transmit(0).is_empty(), "{main} and {parts} bytes");
    }
}

// ---- forks ----

/// Two nodes whose copies of one log part after the first save, each with as much.
fn forked() -> (Node, Node, LogId) {
    let (mut a, mut author) = station(1, 1);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let mut clone = author.clone();
    a.save(&mut author, 50);
    b.save(&mut clone, 51);
    (a, b, author.tail.log)
}

#[test]
fn logs_of_one_length_that_differ_are_noticed_and_frozen_on_both_sides() {
    let (mut a, mut b, log) = forked();
    assert_eq!(a.lens(), b.lens());
    meet(&mut a, &mut b);
    let noticed = a.events.iter().chain(&b.events).any(|event| {
        matches!(event, Event::Load(load) if load.log == log && load.from == 5 && load.head.is_some())
    });
    assert!(noticed);
    in_sync(&a, &b);
    assert!(a.tips()[&log].frozen);
    assert_eq!(a.tips()[&log].len, 3);
    meet(&mut a, &mut b);
    assert_eq!(
        (a.types(), b.types()),
        (vec![1], vec![1]),
        "settled for good"
    );
}

#[test]
fn a_new_device_gets_what_precedes_a_fork_and_then_the_proof() {
    let (mut a, mut b, log) = forked();
    meet(&mut a, &mut b);
    let mut fresh = Node::new();
    meet(&mut a, &mut fresh);
    assert!(
        fresh
            .events
            .iter()
            .any(|event| matches!(event, Event::Fork(_)))
    );
    assert!(fresh.lens()[&log] >= 3);
}

#[test]
fn a_peer_that_does_not_know_of_a_fork_is_told_once() {
    let (mut a, mut b, log) = forked();
    let mut unaware = Node::new();
    unaware.logs.clone_from(&a.logs);
    meet(&mut a, &mut b);
    meet(&mut unaware, &mut a);
    in_sync(&a, &unaware);
    assert!(unaware.tips()[&log].frozen);
    let asked = a
        .events
        .iter()
        .filter(|event| **event == Event::ForkWanted(log))
        .count();
    assert_eq!(asked, 1);
    assert!(
        !unaware
            .events
            .iter()
            .any(|event| matches!(event, Event::Received { .. }))
    );
}

#[test]
fn two_logs_of_one_prefix_hold_up_no_other() {
    let (mut node, author) = greeted();
    let mut twin = author.tail.log;
    twin.0[31] ^= 1;
    let row = |log, len| Row {
        log,
        len,
        head: [0; 16],
        frozen: false,
        first: 0,
        missing: 0,
    };
    let mut rows = vec![
        row(twin, 9),
        row(author.tail.log, 1),
        row(LogId([0; 32]), 1),
    ];
    rows.sort_by_key(|row| row.log);
    node.hear(&vector(site(), rows), 0);
    assert_eq!(node.closed(), None);
    let loads = |event: &Event| matches!(event, Event::Load(load) if load.log == author.tail.log);
    assert!(node.events.iter().any(loads));
}

// ---- what must not be ----

fn violation(code: ErrorCode) -> Close {
    Close::Violation(code, None)
}

/// Both sides of a refusal: the node says why, and a fresh peer that has heard nothing else knows.
fn refused(node: &mut Node, code: ErrorCode) {
    assert_eq!(
        node.closed()
            .map(|why| matches!(why, Close::Violation(got, _) if got == code)),
        Some(true),
        "{:?}",
        node.closed()
    );
    let said = node.transmit(0);
    let mut peer = Node::new();
    peer.connect(0);
    peer.session.start();
    peer.hear(&said, 0);
    assert_eq!(peer.closed(), Some(Close::Peer(code)));
}

// rule:version-common
#[test]
fn versions_that_have_nothing_in_common_are_refused_and_the_peer_learns_why() {
    for (min, max, fits) in [
        (PROTOCOL_NOW, PROTOCOL_NOW, true),
        (0, 0, false),
        (0, PROTOCOL_MIN, true),
        (PROTOCOL_NOW, PROTOCOL_NOW + 5, true),
        (PROTOCOL_NOW + 1, PROTOCOL_NOW + 5, false),
        (PROTOCOL_NOW + 1, PROTOCOL_NOW, false),
        (u16::MAX, 0, false),
    ] {
        let (mut node, _) = station(1, 1);
        node.connect(0);
        node.hear(
            &Message::Hello(Hello {
                min,
                max,
                ..hello()
            })
            .encode(),
            0,
        );
        assert_eq!(node.closed().is_none(), fits, "{min} to {max}");
        if !fits {
            refused(&mut node, ErrorCode::VersionUnsupported);
        }
    }
}

#[test]
fn a_peer_of_another_network_is_refused() {
    let (mut node, _) = station(1, 1);
    node.connect(0);
    let other = Space::Authority.id(&NetworkId([1; 32]));
    let mut foreign = Node::of([(other, Space::Authority)].into());
    foreign.connect(0);
    foreign.session.start();
    pump(&mut node, &mut foreign, 0);
    assert_eq!(node.closed(), Some(violation(ErrorCode::UnknownSpace)));
    assert_eq!(foreign.closed(), Some(Close::Peer(ErrorCode::UnknownSpace)));
}

#[test]
fn a_device_that_is_turned_away_before_hello_learns_why() {
    let (mut node, _) = station(1, 1);
    node.connect(0);
    node.session.expel(ErrorCode::Revoked);
    node.session.expel(ErrorCode::Revoked);
    node.settle();
    assert_eq!(node.events.len(), 1);
    refused(&mut node, ErrorCode::Revoked);
}

#[test]
fn frames_at_the_wrong_time_and_garbage_close_the_connection() {
    let log = [1; 8];
    let early = [
        Message::Offers(Offers::default()),
        Message::Want { log, from: 0 },
        Message::Ping(1),
        Message::Unknown(999),
        Message::Error {
            code: ErrorCode::Busy,
            scope: ErrorScope::Log,
            retry_after_s: 0,
        },
    ];
    for message in early {
        let (mut node, _) = station(1, 1);
        node.connect(0);
        node.hear(&message.encode(), 0);
        assert_eq!(
            node.closed(),
            Some(violation(ErrorCode::BadFrame)),
            "{message:?}"
        );
    }
    let (mut node, _) = greeted();
    node.hear(&Message::Hello(hello()).encode(), 0);
    assert_eq!(
        node.closed(),
        Some(violation(ErrorCode::BadFrame)),
        "a second Hello"
    );
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 1, 0, 0, 0, 0],
        &[0xff; 64],
    ] {
        let (mut node, _) = station(1, 1);
        node.connect(0);
        node.hear(garbage, 0);
        refused(&mut node, ErrorCode::BadFrame);
    }
}

#[test]
fn nothing_is_heard_or_said_after_the_end() {
    let (mut node, author) = greeted();
    node.session.bye();
    node.session.bye();
    node.session.want(&author.tail.log, 0);
    node.session.refuse(ErrorCode::Busy, ErrorScope::Log);
    node.hear(&Message::Ping(1).encode(), 0);
    assert_eq!(node.transmit(0), Message::Bye(0).encode());
    assert_eq!(node.closed(), Some(Close::OwnBye));
    assert_eq!(node.session.poll_timeout(), None);
    assert!(node.session.is_closed() && !node.session.is_connected());
    let (mut other, _) = greeted();
    other.hear(&Message::Bye(0).encode(), 0);
    assert_eq!(other.closed(), Some(Close::PeerBye));
}

#[test]
fn what_the_owner_says_too_early_does_not_come_before_hello() {
    let (mut node, author) = station(1, 1);
    node.connect(0);
    node.session.want(&author.tail.log, 0);
    node.session.refuse(ErrorCode::Busy, ErrorScope::Log);
    node.session.start();
    node.transmit(0);
    assert_eq!(node.types(), [1]);
}

#[test]
fn a_million_empty_frames_are_cut_off() {
    let row = Row {
        log: LogId([1; 32]),
        len: 0,
        head: [0; 16],
        frozen: false,
        first: 0,
        missing: 0,
    };
    let offer = Offer {
        space: [9; 8],
        digest: [0; 32],
        lacks_receipts: true,
    };
    let unknown = WireBatch {
        log: [9; 8],
        start: Position {
            len: 0,
            head: [0; 32],
        },
        packed: crate::batch::Packed {
            count: 0,
            main: Vec::new(),
            parts: Vec::new(),
        },
    };
    let floods = [
        Message::Ping(1).encode(),
        Message::Pong(1).encode(),
        vec![9, 9, 0, 0, 0, 0],
        Message::Want {
            log: [9; 8],
            from: 0,
        }
        .encode(),
        vector(site(), vec![row]),
        vector(space_id(Space::Hub), Vec::new()),
        offers(vec![offer]),
        Message::Batch(unknown).encode(),
        Message::Error {
            code: ErrorCode::Busy,
            scope: ErrorScope::Log,
            retry_after_s: 0,
        }
        .encode(),
    ];
    for frame in floods {
        let (mut node, _) = greeted();
        let many = frame.repeat(1_000);
        let mut frames: usize = 0;
        while frames < 1_000_000 && node.closed().is_none() {
            node.hear(&many, 1);
            frames += 1_000;
        }
        assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)), "{frame:?}");
        assert!(frames <= 11_000, "{frames}");
        assert!(node.transmit(1).len() < 1024 * 1024);
        assert!(node.events.len() < 11_000);
    }
}

#[test]
fn a_space_that_is_offered_again_and_again_is_cut_off() {
    let (mut node, _) = greeted();
    let offer = Offer {
        space: space_prefix(&site()),
        digest: [3; 32],
        lacks_receipts: true,
    };
    for _ in 0..10 {
        node.hear(&offers(vec![offer.clone(); 64]), 1);
    }
    assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)));
    assert!(node.events.len() < 50);
}

#[test]
fn a_batch_whose_log_nobody_named_and_one_that_is_forged_hold_nothing_up() {
    let (mut a, mut first) = station(1, 2);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let mut forged = a.logs[&first.tail.log].runs[1].run().clone();
    forged.checkpoint.signature[5] ^= 1;
    let batch = |log: [u8; 8]| {
        Message::Batch(WireBatch {
            log,
            start: forged.start,
            packed: pack(&forged),
        })
        .encode()
    };
    let before = b.lens();
    b.hear(&batch(first.tail.log.prefix()), 0);
    b.hear(&batch([9; 8]), 0);
    a.save(&mut first, 9);
    pump(&mut a, &mut b, 0);
    assert_eq!(b.lens()[&first.tail.log], before[&first.tail.log] + 2);
    assert!(a.events.contains(&Event::Refused {
        code: ErrorCode::BadSignature
    }));
    in_sync(&a, &b);
}

// ---- time ----

// rule:hello-in-time
#[test]
fn a_peer_that_says_no_hello_is_left_after_ten_seconds() {
    let (mut node, _) = station(1, 1);
    node.connect(1_000);
    node.session.start();
    assert_eq!(node.session.poll_timeout(), Some(11_000));
    node.session.handle_timeout(10_999);
    node.settle();
    assert_eq!(node.closed(), None);
    node.session.handle_timeout(11_000);
    node.settle();
    assert_eq!(node.closed(), Some(Close::NoHello));
}

#[test]
fn silence_is_broken_by_pings_and_ends_the_session_when_nobody_answers() {
    let (mut node, _) = greeted();
    assert_eq!(node.session.poll_timeout(), Some(15_000));
    node.session.handle_timeout(15_000);
    node.frames.clear();
    node.transmit(15_000);
    assert_eq!(node.types(), [8]);
    assert_eq!(node.session.poll_timeout(), Some(30_000));
    node.session.handle_timeout(30_000);
    node.settle();
    assert_eq!(node.closed(), Some(Close::Silent));
}

/// A frame of a type that nobody knows, as long as this.
fn long_frame(len: u32) -> Vec<u8> {
    let body = vec![0; len as usize];
    [&200_u16.to_be_bytes()[..], &len.to_be_bytes(), &body].concat()
}

#[test]
fn a_frame_that_has_begun_must_move_on() {
    let (mut node, _) = greeted();
    let frame = long_frame(40_000);
    node.session.handle_bytes(&frame[..100], 1_000);
    assert_eq!(
        node.session.poll_timeout(),
        Some(15_000),
        "a ping is due before"
    );
    // A byte a second is alive and yet too slow.
    for second in 2..21 {
        node.session.handle_bytes(&[0], second * 1_000);
        node.session.handle_timeout(second * 1_000);
    }
    node.settle();
    assert_eq!(node.closed(), None);
    assert_eq!(node.session.poll_timeout(), Some(21_000));
    node.session.handle_timeout(21_000);
    node.settle();
    assert_eq!(node.closed(), Some(Close::Stalled));
}

/// Bytes behind a packet that was lost cannot be read, and yet the line moves.
#[test]
fn what_the_transport_has_is_progress_and_no_silence() {
    let (mut node, _) = greeted();
    node.session.handle_bytes(&long_frame(40_000)[..100], 0);
    for step in 1..=20 {
        node.session.handle_progress(step * 1_100, step * 15_000);
        node.session.handle_timeout(step * 15_000);
    }
    node.settle();
    assert_eq!(node.closed(), None);
    // The same number again is no news.
    node.session.handle_progress(20 * 1_100, 319_000);
    node.session.handle_timeout(320_000);
    node.settle();
    assert_eq!(node.closed(), Some(Close::Stalled));
}

/// On a slow line no more is loaded than it carries soon, and the owner is told how much that is.
#[test]
fn a_slow_line_is_loaded_by_what_fits_it() {
    let (mut a, mut author) = station(8, 1);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    a.events.clear();
    a.session.fit(2_000);
    a.save(&mut author, 9);
    pump(&mut a, &mut b, 0);
    let loads = a.events.iter().filter_map(|event| match event {
        Event::Load(load) => Some(load.fits),
        _ => None,
    });
    let loads: Vec<_> = loads.collect();
    assert!(!loads.is_empty() && loads.iter().all(|fits| *fits == 2_000));
    in_sync(&a, &b);
}

#[test]
fn a_kibibyte_in_twenty_seconds_is_enough() {
    let (mut node, _) = greeted();
    let frame = long_frame(40_000);
    let mut now = 0;
    for piece in frame.chunks(1024) {
        node.session.handle_bytes(piece, now);
        now += 19_999;
        node.session.handle_timeout(now);
    }
    node.settle();
    assert_eq!(node.closed(), None);
    // All of it came: nothing is owed, and only silence would end the session now.
    assert_eq!(node.session.owed_until(), None);
}

#[test]
fn who_is_not_listened_to_owes_nothing() {
    let (mut a, _) = station(1, 255);
    let mut b = Node::new();
    b.busy = true;
    meet(&mut a, &mut b);
    assert!(!b.session.wants_input());
    b.session.handle_bytes(&long_frame(9_000)[..50], 0);
    for now in [10_000, 20_000] {
        b.session.handle_timeout(now);
    }
    b.settle();
    assert_eq!(b.closed(), None);
    for _ in 0..limits::UNCOMMITTED_BATCHES {
        b.session.committed(Taken::New);
    }
    b.session.handle_timeout(40_000);
    b.settle();
    assert_eq!(b.closed(), Some(Close::Stalled));
}

#[test]
fn a_store_that_takes_long_is_not_a_silent_peer() {
    let (mut a, _) = station(1, 255);
    let mut b = Node::new();
    b.busy = true;
    meet(&mut a, &mut b);
    assert!(!b.session.wants_input());
    for now in [15_000, 30_000, 45_000] {
        b.session.handle_timeout(now);
        assert!(
            b.session.poll_timeout().is_some_and(|next| next > now),
            "no busy loop"
        );
    }
    b.settle();
    assert_eq!(b.closed(), None);
    for _ in 0..limits::UNCOMMITTED_BATCHES {
        b.session.committed(Taken::New);
    }
    assert!(b.session.wants_input());
    b.session.handle_timeout(75_000);
    b.settle();
    assert_eq!(b.closed(), Some(Close::Silent));
}

#[test]
fn a_quiet_session_lives_for_a_week() {
    let (mut a, mut author) = station(1, 1);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let week = 7 * 24 * 3_600_000;
    let mut now = 0;
    let mut pings = 0;
    while now < week {
        let next = a.session.poll_timeout().min(b.session.poll_timeout());
        now = next.unwrap_or(week);
        a.session.handle_timeout(now);
        b.session.handle_timeout(now);
        pump(&mut a, &mut b, now);
        a.frames.clear();
        b.frames.clear();
        pings += 1;
    }
    assert!(pings > 40_000);
    a.save(&mut author, 3);
    pump(&mut a, &mut b, now);
    in_sync(&a, &b);
}

// ---- cut connections ----

#[test]
fn wherever_the_stream_is_cut_a_fresh_session_brings_the_rest_and_nothing_twice() {
    let build = || {
        let (a, _) = station(1, 2);
        let (b, _) = station(2, 1);
        (a, b)
    };
    let (mut a, mut b) = build();
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    let whole = (
        a.lens(),
        a.session.stats().frame_bytes_out,
        a.session.stats().frame_bytes_in,
    );
    for (cut_out, cut_back) in (0..whole.1)
        .map(|cut| (cut, u64::MAX))
        .chain((0..whole.2).map(|cut| (u64::MAX, cut)))
    {
        let (mut a, mut b) = build();
        a.connect(0);
        b.connect(0);
        a.session.start();
        let mut lefts = [at(cut_out), at(cut_back)];
        loop {
            a.settle();
            b.settle();
            let mut moved = false;
            let (out, back) = (a.transmit(0), b.transmit(0));
            for (bytes, to, left) in [(&out, &mut b, 0), (&back, &mut a, 1)] {
                let now = bytes.len().min(lefts[left]);
                moved |= now > 0;
                to.session.handle_bytes(&bytes[..now], 0);
                lefts[left] -= now;
            }
            if !moved {
                break;
            }
        }
        let at_cut: u64 = a.lens().values().chain(b.lens().values()).sum();
        meet(&mut a, &mut b);
        in_sync(&a, &b);
        assert_eq!(a.lens(), whole.0, "cut at {cut_out} and {cut_back}");
        assert_eq!(
            (a.duplicates, b.duplicates),
            (0, 0),
            "cut at {cut_out} and {cut_back}"
        );
        let came = a.session.stats().entries_in + b.session.stats().entries_in;
        assert_eq!(at_cut + came, 2 * whole.0.values().sum::<u64>());
    }
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let (mut a, _) = station(1, 3);
    let (mut b, _) = station(2, 1);
    a.connect(0);
    b.connect(0);
    a.session.start();
    loop {
        a.settle();
        b.settle();
        let (out, back) = (a.transmit(0), b.transmit(0));
        if out.is_empty() && back.is_empty() {
            break;
        }
        for byte in out {
            b.hear(&[byte], 0);
        }
        for byte in back {
            a.hear(&[byte], 0);
        }
    }
    in_sync(&a, &b);
}
