//! Places and judgements. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::convert::Infallible;

use super::*;
use crate::authority::{Certificate, Cut, Grant, Order, Role};
use crate::hash;
use crate::log::{Author, NewEntry};
use crate::space::Space;
use crate::testing::{self, Random, change_entry, network, save, signer, site_space, space_id};

type Tested = Result<(), Infallible>;

/// A stored log: runs of 1, 2, 2 and 2 entries.
fn runs() -> (testing::Author, Vec<VerifiedRun>) {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let mut runs = vec![author.cut()];
    for n in 0..3 {
        runs.push(author.push(save(n)).cut());
    }
    (author, runs)
}

fn ids(runs: &[VerifiedRun]) -> Vec<EntryId> {
    runs.iter().flat_map(|run| run.ids().to_vec()).collect()
}

/// Places `run` in a store that holds the first `len` of `ids`.
fn placed(run: &VerifiedRun, ids: &[EntryId], len: usize) -> Result<Place, Infallible> {
    let head = len
        .checked_sub(1)
        .map_or(run.run().log.0, |last| ids[last].0);
    let stored = Position {
        len: len as u64,
        head,
    };
    place(run, stored, |seq| {
        assert!(seq < stored.len, "only what is stored is asked for");
        Ok(ids[usize::try_from(seq).unwrap_or(usize::MAX)])
    })
}

/// The run of entries 3..7 as one, and another that goes on from 3 with other entries.
fn long_and_forked() -> (VerifiedRun, VerifiedRun) {
    let (mut author, _) = (testing::Author::new(space_id(site_space()), 1, 1), ());
    author.cut();
    author.push(save(0)).cut();
    let mut other = author.clone();
    let long = author.push(save(1)).push(save(2)).cut();
    let forked = other.push(save(1)).push(save(9)).cut();
    (long, forked)
}

#[test]
fn a_run_is_appended_from_the_first_entry_that_is_not_stored() -> Tested {
    let (_, runs) = runs();
    let ids = ids(&runs);
    let (long, _) = long_and_forked();
    assert_eq!(placed(&runs[0], &ids, 0)?, Place::Append { skip: 0 });
    assert_eq!(placed(&runs[1], &ids, 1)?, Place::Append { skip: 0 });
    for (len, expected) in [
        (0, Place::Gap { have: 0 }),
        (2, Place::Gap { have: 2 }),
        (3, Place::Append { skip: 0 }),
        (5, Place::Append { skip: 2 }),
        (6, Place::Append { skip: 3 }),
        (7, Place::Duplicate),
    ] {
        assert_eq!(placed(&long, &ids, len)?, expected, "{len} stored");
    }
    for run in &runs {
        assert_eq!(placed(run, &ids, 7)?, Place::Duplicate);
    }
    Ok(())
}

#[test]
fn a_fork_is_found_at_the_first_entry_that_differs() -> Tested {
    let (_, runs) = runs();
    let ids = ids(&runs);
    let (_, forked) = long_and_forked();
    assert_eq!(
        placed(&forked, &ids, 7)?,
        Place::Fork { seq: 5 },
        "in the middle"
    );
    assert_eq!(
        placed(&forked, &ids, 6)?,
        Place::Fork { seq: 5 },
        "at the last stored"
    );
    assert_eq!(
        placed(&forked, &ids, 5)?,
        Place::Append { skip: 2 },
        "not seen yet"
    );

    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    author.cut();
    let at_start = author.push(save(77)).cut();
    assert_eq!(
        placed(&at_start, &ids, 7)?,
        Place::Fork { seq: 1 },
        "at its start"
    );
    let beyond = author.push(save(78)).cut();
    assert_eq!(
        placed(&beyond, &ids, 7)?,
        Place::Fork { seq: 2 },
        "somewhere before it"
    );
    assert_eq!(
        placed(&beyond, &ids, 3)?,
        Place::Fork { seq: 2 },
        "before it, at the end"
    );
    assert_eq!(placed(&beyond, &ids, 2)?, Place::Gap { have: 2 });
    let mut other = testing::Author::new(space_id(site_space()), 1, 1);
    let reason = crate::log::GenesisReason::Clone;
    let genesis = testing::genesis(space_id(site_space()), &signer(1), 1);
    let genesis = crate::log::Genesis { reason, ..genesis };
    other.tail = crate::log::Tail::begin(&genesis, 1, 1);
    let another_genesis = other.cut();
    assert_eq!(placed(&another_genesis, &ids, 7)?, Place::Fork { seq: 0 });
    let after_it = other.push(save(0)).cut();
    assert_eq!(placed(&after_it, &ids, 7)?, Place::Fork { seq: 0 });
    assert_eq!(placed(&after_it, &ids, 1)?, Place::Fork { seq: 0 });
    Ok(())
}

// ---- judgements ----

fn order(authority: &mut Authority, order: &Order) {
    let key = signer(100).public();
    let at = authority.cited().0;
    let id = EntryId(hash::ENTRY.hash(&[&at.to_be_bytes()]));
    let applied = authority.apply(&id, &key, Some(&order.encode()));
    assert_eq!(applied, Ok(()), "{order:?}");
}

fn authority() -> Authority {
    let mut authority = Authority::new(network());
    let certificate = Certificate::sign(&signer(200), 1, signer(100).public(), None);
    order(&mut authority, &Order::Certificate(certificate));
    let Space::Site(site) = site_space() else {
        return authority;
    };
    let named = Order::Site {
        site,
        code: "EM1".to_owned(),
        name: "测试站".to_owned(),
        kind: crate::authority::SiteKind::Workstation,
    };
    order(&mut authority, &named);
    let grant = Grant {
        serial: 1,
        device: signer(1).public(),
        recipient: [0; 32],
        site: Some(site),
        role: Role::Station,
        device_code: "EM1A".to_owned(),
        scopes: Role::Station.scopes(Some(site)),
        bytes_per_day: 0,
    };
    order(&mut authority, &Order::Grant(grant));
    authority
}

/// A long log of single entries, its facts and its ids.
fn long_log(len: usize) -> (LogFacts, Vec<EntryId>) {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    for n in 1..len {
        let entry: NewEntry = change_entry(&n.to_be_bytes());
        author.push(vec![entry]);
    }
    let run = author.cut();
    let facts = LogFacts {
        log: run.run().log,
        author: run.author(),
        forked_at: None,
    };
    (facts, run.ids().to_vec())
}

fn judged(
    authority: &Authority,
    facts: &LogFacts,
    ids: &[EntryId],
    range: Range<u64>,
) -> Result<Vec<(Range<u64>, Verdict)>, Infallible> {
    judge(authority, facts, range, |seq| {
        Ok(usize::try_from(seq)
            .ok()
            .and_then(|at| ids.get(at))
            .copied())
    })
}

fn cut(facts: &LogFacts, ids: &[EntryId], len: usize) -> Cut {
    let head = len.checked_sub(1).map_or(facts.log.0, |last| ids[last].0);
    Cut {
        log: facts.log,
        position: Position {
            len: len as u64,
            head,
        },
    }
}

fn revoke(facts: &LogFacts, cuts: Vec<Cut>) -> Order {
    Order::Revoke {
        device: facts.author.device,
        lost: true,
        cuts,
    }
}

fn adopt(facts: &LogFacts, ids: &[EntryId], from: u64, to: usize) -> Order {
    let to = cut(facts, ids, to).position;
    Order::Adopt {
        log: facts.log,
        from,
        to,
    }
}

const ACCEPTED: Verdict = Verdict::Accepted;
const REVOKED: Verdict = Verdict::Quarantined(Reason::Revoked);
const FORKED: Verdict = Verdict::Quarantined(Reason::Forked);

#[test]
fn an_honest_log_is_accepted_and_a_strangers_is_not() -> Tested {
    let (facts, ids) = long_log(20);
    let authority = authority();
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [(0..20, ACCEPTED)]
    );
    assert_eq!(judged(&authority, &facts, &ids, 20..20)?, []);
    let stranger = Author {
        device: signer(2).public(),
        ..facts.author
    };
    let facts = LogFacts {
        author: stranger,
        ..facts
    };
    let unknown = Verdict::Quarantined(Reason::UnknownDevice);
    assert_eq!(judged(&authority, &facts, &ids, 3..20)?, [(3..20, unknown)]);
    Ok(())
}

#[test]
fn what_lies_beyond_a_cut_is_held_back_and_nothing_of_a_log_that_differs_there_counts() -> Tested {
    let (facts, ids) = long_log(20);
    let mut revoked = authority();
    order(&mut revoked, &revoke(&facts, vec![cut(&facts, &ids, 12)]));
    assert_eq!(
        judged(&revoked, &facts, &ids, 0..20)?,
        [(0..12, ACCEPTED), (12..20, REVOKED)]
    );
    assert_eq!(
        judged(&revoked, &facts, &ids[..12], 0..12)?,
        [(0..12, ACCEPTED)]
    );

    let mut elsewhere = authority();
    let mut wrong = cut(&facts, &ids, 12);
    wrong.position.head[0] ^= 1;
    order(&mut elsewhere, &revoke(&facts, vec![wrong]));
    assert_eq!(judged(&elsewhere, &facts, &ids, 0..20)?, [(0..20, REVOKED)]);
    assert_eq!(
        judged(&elsewhere, &facts, &ids[..11], 0..11)?,
        [(0..11, ACCEPTED)],
        "believed until the entry comes"
    );

    let mut unnamed = authority();
    order(&mut unnamed, &revoke(&facts, Vec::new()));
    assert_eq!(judged(&unnamed, &facts, &ids, 0..20)?, [(0..20, REVOKED)]);
    let mut at_zero = authority();
    order(&mut at_zero, &revoke(&facts, vec![cut(&facts, &ids, 0)]));
    assert_eq!(judged(&at_zero, &facts, &ids, 0..20)?, [(0..20, REVOKED)]);
    Ok(())
}

#[test]
fn adopted_ranges_count_where_the_log_has_the_head_that_was_reviewed() -> Tested {
    let (facts, ids) = long_log(20);
    let mut authority = authority();
    order(&mut authority, &revoke(&facts, vec![cut(&facts, &ids, 5)]));
    order(&mut authority, &adopt(&facts, &ids, 8, 12));
    order(&mut authority, &adopt(&facts, &ids, 10, 15));
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [
            (0..5, ACCEPTED),
            (5..8, REVOKED),
            (8..15, ACCEPTED),
            (15..20, REVOKED)
        ]
    );
    order(&mut authority, &adopt(&facts, &ids, 19, 16));
    assert_eq!(
        judged(&authority, &facts, &ids, 15..20)?,
        [(15..20, REVOKED)],
        "turned round"
    );
    let mut other = adopt(&facts, &ids, 15, 20);
    if let Order::Adopt { to, .. } = &mut other {
        to.head = [0; 32];
    }
    order(&mut authority, &other);
    assert_eq!(
        judged(&authority, &facts, &ids, 15..20)?,
        [(15..20, REVOKED)],
        "another head"
    );
    Ok(())
}

#[test]
fn nothing_lifts_a_fork_because_devices_hold_different_branches() -> Tested {
    let (facts, ids) = long_log(20);
    let facts = LogFacts {
        forked_at: Some(9),
        ..facts
    };
    let mut authority = authority();
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [(0..9, ACCEPTED), (9..20, FORKED)]
    );
    order(&mut authority, &adopt(&facts, &ids, 5, 15));
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [(0..9, ACCEPTED), (9..20, FORKED)]
    );
    order(&mut authority, &revoke(&facts, vec![cut(&facts, &ids, 3)]));
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [
            (0..3, ACCEPTED),
            (3..5, REVOKED),
            (5..9, ACCEPTED),
            (9..20, FORKED)
        ]
    );
    Ok(())
}

#[test]
fn a_judgement_does_not_depend_on_how_the_range_is_split() -> Tested {
    let (facts, ids) = long_log(40);
    let mut random = Random(1);
    for _ in 0..500 {
        let mut authority = authority();
        let some = |random: &mut Random| cut(&facts, &ids, random.below(45).min(40));
        if random.one_in(2) {
            let mut cut = some(&mut random);
            cut.position.head[0] ^= u8::from(random.one_in(5));
            order(&mut authority, &revoke(&facts, vec![cut]));
        }
        for _ in 0..random.below(4) {
            let to = some(&mut random).position;
            let from = random.next() % 45;
            order(
                &mut authority,
                &Order::Adopt {
                    log: facts.log,
                    from,
                    to,
                },
            );
        }
        let forked_at = random.one_in(3).then(|| random.next() % 45);
        let facts = LogFacts { forked_at, ..facts };

        let whole = judged(&authority, &facts, &ids, 0..40)?;
        let flat = |verdicts: &[(Range<u64>, Verdict)]| -> Vec<(u64, Verdict)> {
            let each = verdicts
                .iter()
                .flat_map(|(range, verdict)| range.clone().map(|seq| (seq, *verdict)));
            each.collect()
        };
        let places: Vec<_> = flat(&whole).into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(
            places,
            (0..40).collect::<Vec<_>>(),
            "every entry once, in order"
        );
        let mut from = 0;
        let mut pieces = Vec::new();
        while from < 40 {
            let to = (from + 1 + random.next() % 13).min(40);
            pieces.extend(flat(&judged(&authority, &facts, &ids, from..to)?));
            from = to;
        }
        assert_eq!(pieces, flat(&whole));
        for pair in whole.windows(2) {
            assert_ne!(
                pair[0].1, pair[1].1,
                "neighbours of one verdict are one range"
            );
        }
    }
    Ok(())
}
