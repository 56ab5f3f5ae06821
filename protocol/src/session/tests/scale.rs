//! Sessions of a large network: what grows with what, and what is cut nowhere. Stores without entries, so that
//! 20,000 logs cost nothing. All fictional data.

use super::*;
use crate::batch::Packed;
use crate::space::SiteId;

/// A store of tips alone: a log's head follows from its id and length, as if all were honest.
struct Tips {
    session: Session,
    spaces: BTreeMap<SpaceId, (Space, BTreeMap<LogId, u64>)>,
    frames: Vec<Vec<u8>>,
    received: Vec<LogId>,
    closed: Option<Close>,
}

fn log(n: u32) -> LogId {
    LogId(*blake3::hash(&n.to_be_bytes()).as_bytes())
}

fn tip(log: &LogId, len: u64) -> Tip {
    let head = blake3::hash(&[&log.0[..], &len.to_be_bytes()].concat());
    Tip {
        len,
        head: *head.as_bytes(),
        frozen: false,
    }
}

fn district(sites: u32) -> Vec<Space> {
    let site = |n: u32| {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        Space::Site(SiteId(id))
    };
    let own = [Space::Authority, Space::Bulletin, Space::Hub];
    own.into_iter().chain((0..sites).map(site)).collect()
}

impl Tips {
    fn new(spaces: &[Space]) -> Self {
        let spaces = spaces.iter().map(|space| {
            let logs = BTreeMap::new();
            (space_id(*space), (*space, logs))
        });
        Self {
            session: Session::new([0; 16], 0),
            spaces: spaces.collect(),
            frames: Vec::new(),
            received: Vec::new(),
            closed: None,
        }
    }

    /// Puts `count` logs of three entries into a space.
    fn fill(&mut self, space: Space, first: u32, count: u32) {
        if let Some((_, logs)) = self.spaces.get_mut(&space_id(space)) {
            logs.extend((first..first + count).map(|n| (log(n), 3)));
        }
    }

    fn connect(&mut self) {
        self.session = Session::new([0; 16], 0);
        self.frames.clear();
        self.received.clear();
        for (id, (space, logs)) in &self.spaces {
            let logs = logs.iter().map(|(log, len)| (*log, tip(log, *len)));
            let share = Share {
                space: *space,
                logs: logs.collect(),
                lacks_receipts: false,
            };
            self.session.share(*id, share);
        }
    }

    fn settle(&mut self) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            match event {
                Event::Load(load) => {
                    let held = self.spaces.get(&load.space);
                    let held = held.and_then(|(_, logs)| logs.get(&load.log)).copied();
                    let batch = held.filter(|len| *len > load.from).map(|len| WireBatch {
                        log: load.log.prefix(),
                        start: tip(&load.log, load.from).position(),
                        packed: Packed {
                            count: u16::try_from(len - load.from).unwrap_or(u16::MAX),
                            main: vec![7; 30],
                            parts: Vec::new(),
                        },
                    });
                    self.session.loaded(&load, batch);
                }
                Event::Received { space, log, batch } => {
                    let end = batch.start.len + u64::from(batch.packed.count);
                    if let Some((_, logs)) = self.spaces.get_mut(&space) {
                        logs.insert(log, end);
                    }
                    self.received.push(log);
                    self.session.tip_moved(&space, log, tip(&log, end));
                    self.session.committed(Taken::New);
                }
                Event::Closed(why) => self.closed = Some(why),
                _ => {}
            }
        }
        any
    }

    fn transmit(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.session.poll_transmit(0) {
            bytes.extend_from_slice(&frame);
            self.frames.push(frame);
        }
        bytes
    }

    fn frames_of(&self, code: u8) -> usize {
        self.frames.iter().filter(|frame| frame[1] == code).count()
    }

    fn logs(&self) -> usize {
        self.spaces.values().map(|(_, logs)| logs.len()).sum()
    }
}

fn meet(a: &mut Tips, b: &mut Tips) {
    a.connect();
    b.connect();
    a.session.start();
    while a.settle() | b.settle() | {
        let (out, back) = (a.transmit(), b.transmit());
        b.session.handle_bytes(&out, 0);
        a.session.handle_bytes(&back, 0);
        !out.is_empty() || !back.is_empty()
    } {}
    assert_eq!((a.closed, b.closed), (None, None));
    assert!(a.session.is_in_sync() && b.session.is_in_sync());
    assert_eq!(a.spaces, b.spaces);
}

// rule:scale
#[test]
fn a_hub_and_an_operator_of_two_thousand_sites_share_all_of_their_spaces() {
    let spaces = district(2_000);
    let (mut hub, mut operator) = (Tips::new(&spaces), Tips::new(&spaces));
    for (n, space) in (0..).zip(&spaces) {
        hub.fill(*space, n * 10, 10);
    }
    operator.fill(spaces[9], 1_000_000, 3);
    meet(&mut hub, &mut operator);
    assert_eq!(operator.logs(), 2_003 * 10 + 3);
    let authority: Vec<_> = (0..10).map(log).collect();
    let first: BTreeSet<_> = operator.received[..10].iter().copied().collect();
    assert_eq!(first, authority.into_iter().collect(), "authority first");
    // 64 offers in Hello and in each frame after it.
    assert_eq!((hub.frames_of(1), hub.frames_of(2)), (1, 31));
    meet(&mut hub, &mut operator);
    assert_eq!((hub.frames_of(3), operator.frames_of(3)), (0, 0));
    assert_eq!(hub.session.stats().rounds, 1);
}

// rule:scale
#[test]
fn twenty_thousand_logs_of_one_space_come_whole_from_either_side() {
    let spaces = district(1);
    let site = spaces[3];
    let (mut a, mut b) = (Tips::new(&spaces), Tips::new(&spaces));
    a.fill(site, 0, 20_000);
    b.fill(site, 19_000, 3_000);
    meet(&mut a, &mut b);
    assert_eq!((a.logs(), b.logs()), (22_000, 22_000));
    assert_eq!((a.received.len(), b.received.len()), (2_000, 19_000));
}

#[test]
fn the_work_of_a_session_grows_with_what_moves_and_not_with_its_square() {
    let work = |logs: u32| {
        let spaces = district(1);
        let (mut a, mut b) = (Tips::new(&spaces), Tips::new(&spaces));
        a.fill(spaces[3], 0, logs);
        meet(&mut a, &mut b);
        let all = a.session.stats().logs_examined + b.session.stats().logs_examined;
        // One more entry, with all of the others at rest.
        let before = a.session.stats().logs_examined;
        let (id, one) = (space_id(spaces[3]), log(7));
        a.spaces.entry(id).and_modify(|(_, logs)| {
            logs.insert(one, 4);
        });
        a.session.tip_moved(&id, one, tip(&one, 4));
        a.settle();
        (all, a.session.stats().logs_examined - before)
    };
    let (few, many) = (work(4_000), work(16_000));
    assert!(few.0 <= 8 * 4_000, "{few:?}");
    assert!(10 * many.0 <= 45 * few.0, "{few:?} and {many:?}");
    assert_eq!(few.1, many.1, "a live change costs the same");
    assert!(few.1 <= 3, "{few:?}");
}

#[test]
fn a_vector_says_nothing_before_its_last_frame() {
    let spaces = district(1);
    let (id, own) = (space_id(spaces[3]), log(1));
    let mut node = Tips::new(&spaces);
    node.fill(spaces[3], 1, 1);
    node.connect();
    let offer = |space: &Space| Offer {
        space: space_prefix(&space_id(*space)),
        digest: [9; 32],
        lacks_receipts: false,
    };
    let hello = Message::Hello(Hello {
        min: 1,
        max: 1,
        features: 0,
        epoch: [1; 16],
        offers: Offers {
            spaces: spaces.iter().map(offer).collect(),
            complete: true,
        },
    });
    node.session.handle_bytes(&hello.encode(), 0);
    let row = |log: LogId, len| Row {
        log,
        len,
        head: [0; 16],
        frozen: false,
        first: 0,
        missing: 0,
    };
    let frame = |complete, rows| {
        let space = space_prefix(&id);
        Message::Vector(Vector {
            space,
            complete,
            rows,
        })
        .encode()
    };
    let loads = |node: &mut Tips| {
        let mut loads = 0;
        while let Some(event) = node.session.poll_event() {
            loads += u32::from(matches!(event, Event::Load(_)));
        }
        loads
    };
    node.session
        .handle_bytes(&frame(false, vec![row(log(2), 1)]), 0);
    assert_eq!(loads(&mut node), 0, "the log may stand in the next frame");
    // With nothing left to say, only the missing end of the vector can hold it back.
    node.transmit();
    assert!(!node.session.is_in_sync());
    node.session
        .handle_bytes(&frame(true, vec![row(own, 1)]), 0);
    assert_eq!(loads(&mut node), 1);
}

#[test]
fn offers_that_have_not_all_come_are_not_in_sync() {
    let spaces = district(200);
    let (mut a, mut b) = (Tips::new(&spaces), Tips::new(&spaces));
    a.connect();
    b.connect();
    a.session.start();
    b.session.start();
    b.transmit();
    let first = a.session.poll_transmit(0).unwrap_or_default();
    b.session.handle_bytes(&first, 0);
    b.settle();
    b.transmit();
    assert!(b.session.is_connected() && !b.session.is_in_sync());
    let rest = a.transmit();
    b.session.handle_bytes(&rest, 0);
    b.settle();
    assert!(b.session.is_in_sync());
}

#[test]
fn a_peer_cannot_offer_spaces_without_end() {
    let mut node = Tips::new(&district(1));
    let mut peer = Tips::new(&district(20_000));
    node.connect();
    peer.connect();
    peer.session.start();
    let said = peer.transmit();
    node.session.handle_bytes(&said, 0);
    node.settle();
    let too_large = Close::Violation(ErrorCode::TooLarge, None);
    assert_eq!(node.closed, Some(too_large));
}

#[test]
fn a_peer_cannot_name_logs_without_end() {
    let spaces = district(1);
    let mut node = Tips::new(&spaces);
    let mut peer = Tips::new(&spaces);
    let most = u32::try_from(limits::LOGS_MAX).unwrap_or(u32::MAX);
    for (logs, fits) in [(most, true), (most + 1, false)] {
        peer.fill(spaces[3], 0, logs);
        node.connect();
        peer.connect();
        peer.session.start();
        node.session.start();
        let said = node.transmit();
        peer.session.handle_bytes(&said, 0);
        let said = peer.transmit();
        for piece in said.chunks(1 << 20) {
            node.session.handle_bytes(piece, 0);
            while let Some(event) = node.session.poll_event() {
                if let Event::Closed(why) = event {
                    node.closed = Some(why);
                }
            }
        }
        let too_large = Close::Violation(ErrorCode::TooLarge, None);
        assert_eq!(node.closed, Some(too_large).filter(|_| !fits));
    }
}
