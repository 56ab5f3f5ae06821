//! Peers that choose their bytes and their order to make this side work for nothing, and forks. All fictional data.

use super::*;
use crate::batch::Packed;

/// Answers everything that a node's session asks, keeping no receipt and no proof.
fn refuse_all(node: &mut Node) {
    while let Some(event) = node.session.poll_event() {
        if matches!(event, Event::Receipt(_) | Event::Fork(_)) {
            node.session.statement_judged(Taken::Nothing);
        }
        node.events.push(event);
    }
}

fn receipt(log: LogId, received_at_ms: u64) -> Receipt {
    Receipt {
        space: site(),
        log,
        epoch: [5; 16],
        stored: Position {
            len: 1,
            head: [0; 32],
        },
        judged_len: 1,
        exceptions: Vec::new(),
        received_at_ms,
        signature: [0; 64],
    }
}

fn handed_on(node: &Node) -> usize {
    let receipt = |event: &&Event| matches!(event, Event::Receipt(_));
    node.events.iter().filter(receipt).count()
}

#[test]
fn the_eighth_bad_batch_ends_the_session_and_each_before_it_is_answered() {
    let (mut a, author) = station(1, 2);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let mut forged = a.logs[&author.tail.log].runs[1].run().clone();
    forged.checkpoint.signature[5] ^= 1;
    let batch = Message::Batch(WireBatch {
        log: author.tail.log.prefix(),
        start: forged.start,
        packed: pack(&forged),
    })
    .encode();
    for _ in 1..limits::BAD_BATCHES_MAX {
        b.hear(&batch, 0);
        assert_eq!(b.closed(), None);
        b.frames.clear();
        b.transmit(0);
        assert_eq!(b.types(), [10]);
    }
    b.hear(&batch, 3_600_000);
    assert_eq!(b.closed(), Some(violation(ErrorCode::BadSignature)));
}

#[test]
fn what_is_held_already_may_not_be_sent_without_end() {
    let (mut a, author) = station(1, 2);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let held = a.logs[&author.tail.log].runs[1].run();
    let batch = Message::Batch(WireBatch {
        log: author.tail.log.prefix(),
        start: held.start,
        packed: pack(held),
    })
    .encode();
    let mut sent = 0;
    while b.closed().is_none() && sent < 20_000 {
        b.hear(&batch, 0);
        sent += 1;
        b.events.retain(|event| matches!(event, Event::Closed(_)));
    }
    assert_eq!(b.closed(), Some(violation(ErrorCode::Busy)));
    assert_eq!(sent, limits::IDLE_FRAMES_MAX + 1);
}

#[test]
fn receipts_that_were_said_may_not_be_said_without_end() {
    let (mut node, author) = greeted();
    let log = author.tail.log;
    let said = Message::Receipt(receipt(log, 9)).encode();
    let older = Message::Receipt(receipt(log, 8)).encode();
    let mut sent = 0;
    while node.closed().is_none() && sent < 1_000_000 {
        let frame = if sent % 2 == 0 { &said } else { &older };
        node.session.handle_bytes(frame, 0);
        refuse_all(&mut node);
        sent += 1;
    }
    assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)));
    assert_eq!(sent, limits::IDLE_FRAMES_MAX + 2);
}

#[test]
fn a_receipt_that_came_before_its_entries_is_taken_when_it_comes_again() {
    let (mut node, author) = greeted();
    let frame = Message::Receipt(receipt(author.tail.log, 9)).encode();
    node.session.handle_bytes(&frame, 0);
    refuse_all(&mut node);
    node.session.handle_bytes(&frame, 0);
    node.settle();
    assert_eq!(node.receipted.len(), 1);
}

#[test]
fn receipts_that_are_never_kept_are_counted_and_those_that_are_kept_are_not() {
    let (mut node, author) = greeted();
    let log = author.tail.log;
    for at in 0..30_000 {
        let frame = Message::Receipt(receipt(log, at)).encode();
        node.session.handle_bytes(&frame, 0);
        node.settle();
    }
    assert_eq!((node.closed(), node.receipted.len()), (None, 30_000));
    let mut at = 30_000;
    while node.closed().is_none() && at < 1_000_000 {
        let frame = Message::Receipt(receipt(log, at)).encode();
        node.session.handle_bytes(&frame, 0);
        refuse_all(&mut node);
        at += 1;
    }
    assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)));
    assert!(
        at <= 30_000 + u64::from(limits::IDLE_FRAMES_MAX) + 1,
        "{at}"
    );
}

#[test]
fn the_receipts_of_a_space_that_were_asked_for_are_not_counted() {
    let (mut node, _) = greeted();
    let logs: Vec<_> = (0..200)
        .map(|n| Author::new(site(), n, 9).tail.log)
        .collect();
    for log in &logs {
        let tip = Tip {
            len: 3,
            head: log.0,
            frozen: false,
        };
        node.session.tip_moved(&site(), *log, tip);
    }
    for log in &logs {
        let frame = Message::Receipt(receipt(*log, 1)).encode();
        node.session.handle_bytes(&frame, 0);
    }
    refuse_all(&mut node);
    let nothing = Budget::new(0);
    assert_eq!(format!("{:?}", node.session.budget), format!("{nothing:?}"));
    // Of a log that nobody named: not handed on.
    let unknown = Message::Receipt(receipt(LogId([9; 32]), 1)).encode();
    node.session.handle_bytes(&unknown, 0);
    refuse_all(&mut node);
    assert_eq!(handed_on(&node), 200);
}

#[test]
fn no_more_is_read_while_too_much_waits_to_be_committed() {
    let (mut node, author) = greeted();
    node.busy = true;
    let frame = Message::Batch(WireBatch {
        log: author.tail.log.prefix(),
        start: author.tail.end,
        packed: Packed {
            count: 1,
            main: vec![7; limits::UNCOMMITTED_BYTES / 2],
            parts: Vec::new(),
        },
    })
    .encode();
    for _ in 0..2 {
        assert!(node.session.wants_input());
        node.session.handle_bytes(&frame, 0);
    }
    assert!(!node.session.wants_input());
    node.session.committed(Taken::New);
    assert!(node.session.wants_input());
}

#[test]
fn no_more_is_read_while_too_many_statements_wait() {
    let (mut node, author) = greeted();
    for at in 0..limits::UNJUDGED_STATEMENTS as u64 {
        assert!(node.session.wants_input());
        let frame = Message::Receipt(receipt(author.tail.log, at)).encode();
        node.session.handle_bytes(&frame, 0);
    }
    assert!(!node.session.wants_input() && !node.session.is_in_sync());
    node.settle();
    assert!(node.session.wants_input());
}

#[test]
fn large_frames_that_mean_nothing_are_cut_off_sooner() {
    let (mut node, _) = greeted();
    let frame = long_frame(1_000_000);
    let mut sent = 0;
    while node.closed().is_none() && sent < 1_000 {
        node.hear(&frame, 0);
        sent += 1;
    }
    assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)));
    assert_eq!(sent, 17);
}

#[test]
fn rows_that_grow_without_an_entry_are_counted() {
    let (mut node, author) = greeted();
    node.hear(&vector(site(), Vec::new()), 0);
    let mut len = 0;
    while node.closed().is_none() && len < 1_000_000 {
        len += 1;
        let row = Row {
            log: author.tail.log,
            len,
            head: [0; 16],
            frozen: len % 2 == 0,
            first: 0,
            missing: 0,
        };
        node.hear(&vector(site(), vec![row]), 0);
        node.transmit(0);
        node.events
            .retain(|event| matches!(event, Event::Closed(_)));
    }
    assert_eq!(node.closed(), Some(violation(ErrorCode::Busy)));
    assert!(len <= u64::from(limits::IDLE_FRAMES_MAX) + 1, "{len}");
}

#[test]
fn a_log_is_asked_for_again_only_from_an_earlier_place_and_not_without_end() {
    let (mut node, author) = greeted();
    let log = author.tail.log;
    node.frames.clear();
    for from in [50, 50, 60, 40, 45, 40] {
        node.session.want(&log, from);
    }
    node.transmit(0);
    assert_eq!(node.types(), [4, 4], "from 50 and from 40");
    // A batch that begins there answers, and the next question is a new one.
    let answer = |start| {
        Message::Batch(WireBatch {
            log: log.prefix(),
            start: Position {
                len: start,
                head: [0; 32],
            },
            packed: pack(node.logs[&log].runs[0].run()),
        })
        .encode()
    };
    let (at_41, at_40) = (answer(41), answer(40));
    for (batch, asked) in [(at_41, 2), (at_40, 3)] {
        node.session.handle_bytes(&batch, 0);
        node.session.want(&log, 40);
        node.transmit(0);
        assert_eq!(node.types().len(), asked);
    }
    for from in (0..40).rev() {
        node.session.want(&log, from);
    }
    for _ in 0..200 {
        node.session.handle_bytes(&answer_at(&node, log, 0), 0);
        node.session.want(&log, 0);
        node.transmit(0);
    }
    let wants = node.types().iter().filter(|code| **code == 4).count();
    assert_eq!(wants, usize::from(limits::WANTS_MAX));
}

fn answer_at(node: &Node, log: LogId, len: u64) -> Vec<u8> {
    Message::Batch(WireBatch {
        log: log.prefix(),
        start: Position { len, head: [0; 32] },
        packed: pack(node.logs[&log].runs[0].run()),
    })
    .encode()
}

// ---- forks ----

fn proofs(node: &Node) -> usize {
    node.types().iter().filter(|code| **code == 7).count()
}

#[test]
fn two_devices_that_closed_a_log_at_different_places_are_not_in_sync_and_come_to_rest() {
    let (mut a, mut b, log) = forked();
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    // One holds that the log forked later, and does not act on the other's proof.
    let first = b.logs[&log].runs[1].end();
    let proof = a.logs[&log].forked.as_ref().map(|(_, proof)| proof.clone());
    b.logs.entry(log).and_modify(|log| {
        log.forked = proof.map(|proof| (first, proof));
        log.runs.truncate(2);
    });
    let earlier = Position::start(&log);
    a.logs.entry(log).and_modify(|log| {
        log.forked = log.forked.take().map(|(_, proof)| (earlier, proof));
    });
    b.stubborn = true;
    a.stubborn = true;
    meet(&mut a, &mut b);
    assert_ne!(a.tips()[&log], b.tips()[&log]);
    assert!(!a.session.is_in_sync() && !b.session.is_in_sync());
    assert_eq!((a.closed(), b.closed()), (None, None));
    assert_eq!((proofs(&a), proofs(&b)), (1, 1));
    // The other space is at rest, and goes on.
    let (tip_a, tip_b) = (a.tips()[&log], b.tips()[&log]);
    a.session.tip_moved(&site(), log, tip_a);
    b.session.tip_moved(&site(), log, tip_b);
    pump(&mut a, &mut b, 1);
    assert_eq!((proofs(&a), proofs(&b)), (1, 1));
    // Once one of them follows the other, they are.
    b.logs.entry(log).and_modify(|log| {
        log.forked = log.forked.take().map(|(_, proof)| (earlier, proof));
    });
    let tip = b.tips()[&log];
    b.session.tip_moved(&site(), log, tip);
    pump(&mut a, &mut b, 1);
    in_sync(&a, &b);
}

#[test]
fn a_fork_that_one_side_does_not_act_on_is_not_in_sync() {
    let (mut a, mut b, log) = forked();
    meet(&mut a, &mut b);
    let mut unaware = Node::new();
    unaware.logs.clone_from(&a.logs);
    unaware.logs.entry(log).and_modify(|log| log.forked = None);
    unaware.stubborn = true;
    meet(&mut a, &mut unaware);
    assert!(!a.session.is_in_sync() && !unaware.session.is_in_sync());
    assert_eq!((proofs(&a), a.closed(), unaware.closed()), (1, None, None));
}

#[test]
fn what_stands_beyond_a_fork_is_given_to_who_asks_and_what_comes_is_handed_on() {
    let (mut a, mut b, log) = forked();
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(a.tips()[&log].len, 3);
    b.events.clear();
    a.frames.clear();
    b.session.want(&log, 3);
    pump(&mut a, &mut b, 1);
    let came = b.events.iter().filter_map(|event| {
        if let Event::Received { log, batch, .. } = event {
            Some((*log, batch.start.len))
        } else {
            None
        }
    });
    assert_eq!(came.collect::<Vec<_>>(), [(log, 3)]);
    assert_eq!(a.types(), [5], "once, and no proof again");
    in_sync(&a, &b);
    // From the start as well, and from beyond the end.
    b.session.want(&log, 0);
    b.session.want(&log, 99);
    pump(&mut a, &mut b, 1);
    in_sync(&a, &b);
}

#[test]
fn a_fork_three_thousand_entries_back_is_found_in_a_few_rounds() {
    let (mut a, mut author) = station(1, 200);
    let mut b = Node::new();
    meet(&mut a, &mut b);
    let mut clone = author.clone();
    for n in 0..47_u8 {
        for node in [(&mut a, &mut author, 1), (&mut b, &mut clone, 2)] {
            let (node, author, branch) = node;
            for _ in 0..32 {
                author.push(save(n * 4 + branch));
            }
            let run = author.cut();
            node.store(run);
        }
    }
    let log = author.tail.log;
    assert_eq!(a.lens()[&log], 401 + 3_008);
    meet(&mut a, &mut b);
    in_sync(&a, &b);
    assert_eq!(a.tips()[&log], b.tips()[&log]);
    assert_eq!(a.tips()[&log].len, 401);
    for node in [&a, &b] {
        let wants = node.types().iter().filter(|code| **code == 4).count();
        assert!(wants <= 9, "{wants} rounds");
        let sent = node.session.stats().entries_out;
        assert!(sent <= 6 * 3_008, "{sent} entries");
    }
}

#[test]
fn the_smaller_of_the_newest_versions_is_spoken() {
    for (max, spoken) in [
        (PROTOCOL_NOW, PROTOCOL_NOW),
        (PROTOCOL_NOW + 2, PROTOCOL_NOW),
    ] {
        let (mut node, _) = station(1, 1);
        node.connect(0);
        assert_eq!(node.session.version(), None);
        let newer = Hello { max, ..hello() };
        node.hear(&Message::Hello(newer).encode(), 0);
        assert_eq!(node.session.version(), Some(spoken));
        let version = spoken;
        let epoch = [1; 16];
        assert!(node.events.contains(&Event::Connected { epoch, version }));
    }
}
