//! Rights by place, cuts, adoptions, and which branch of a forked log counts. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::panic_in_result_fn,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::authority::{Certificate, Cut, Grant, Order, Role};
use crate::hash;
use crate::log::NewEntry;
use crate::testing::{self, Random, change_entry, network, signer, site_space, space_id};

type Tested = Result<(), Infallible>;

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
        places: Vec::new(),
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
        first: (0, [0; 32]),
        held_to: u64::MAX,
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
fn what_lies_beyond_a_cut_is_held_back_on_whichever_branch_is_held() -> Tested {
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
    let all = [(0..12, ACCEPTED), (12..20, REVOKED)];
    assert_eq!(
        judged(&elsewhere, &facts, &ids, 0..20)?,
        all,
        "or a thief's second branch would take back what the cut trusts"
    );
    assert_eq!(judged(&elsewhere, &facts, &ids[..11], 0..20)?, all);

    let mut unnamed = authority();
    order(&mut unnamed, &revoke(&facts, Vec::new()));
    assert_eq!(judged(&unnamed, &facts, &ids, 0..20)?, [(0..20, REVOKED)]);
    let mut at_zero = authority();
    order(&mut at_zero, &revoke(&facts, vec![cut(&facts, &ids, 0)]));
    assert_eq!(judged(&at_zero, &facts, &ids, 0..20)?, [(0..20, REVOKED)]);
    Ok(())
}

/// The next grant of the device: of a role, from these places on.
fn regrant(authority: &mut Authority, facts: &LogFacts, role: Role, places: Vec<Cut>) {
    let Space::Site(site) = site_space() else {
        return;
    };
    let grant = Grant {
        serial: authority.next_serial(),
        device: facts.author.device,
        recipient: [0; 32],
        site: Some(site),
        role,
        device_code: "EM1A".to_owned(),
        scopes: role.scopes(Some(site)),
        bytes_per_day: 0,
        places,
    };
    order(authority, &Order::Grant(grant));
}

fn retire(facts: &LogFacts, cuts: Vec<Cut>) -> Order {
    Order::Revoke {
        device: facts.author.device,
        lost: false,
        cuts,
    }
}

const NOT_PERMITTED: Verdict = Verdict::Quarantined(Reason::NotPermitted);

#[test]
fn a_new_role_changes_nothing_below_the_place_that_its_grant_names() -> Tested {
    let (facts, ids) = long_log(20);
    let mut authority = authority();
    let place = cut(&facts, &ids, 12);
    regrant(&mut authority, &facts, Role::Reader, vec![place]);
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [(0..12, ACCEPTED), (12..20, NOT_PERMITTED)]
    );
    let unnamed = LogFacts {
        log: LogId([8; 32]),
        ..facts
    };
    assert_eq!(
        judged(&authority, &unnamed, &[], 0..20)?,
        [(0..20, NOT_PERMITTED)],
        "in a log that is not named, the new role"
    );
    let place = cut(&facts, &ids, 16);
    regrant(&mut authority, &facts, Role::Station, vec![place]);
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [
            (0..12, ACCEPTED),
            (12..16, NOT_PERMITTED),
            (16..20, ACCEPTED)
        ]
    );
    Ok(())
}

#[test]
fn no_grant_makes_count_what_a_thief_wrote() -> Tested {
    let (facts, ids) = long_log(20);
    let mut authority = authority();
    let cited = authority.cited();
    order(&mut authority, &retire(&facts, vec![cut(&facts, &ids, 12)]));
    let place = cut(&facts, &ids, 20);
    regrant(&mut authority, &facts, Role::Station, vec![place]);
    let kept = [(0..12, ACCEPTED), (12..20, REVOKED)];
    assert_eq!(judged(&authority, &facts, &ids, 0..20)?, kept);
    regrant(&mut authority, &facts, Role::Station, Vec::new());
    assert_eq!(judged(&authority, &facts, &ids, 0..20)?, kept);
    // A log that the revocation did not name counts only if it was begun by who knew the grant.
    let begun = |first| LogFacts {
        log: LogId([8; 32]),
        first,
        ..facts
    };
    let (len, head) = authority.cited();
    let (_, at_first_grant) = cited;
    for (first, verdict) in [
        (cited, REVOKED),
        ((len, [1; 32]), REVOKED),
        ((len, at_first_grant), REVOKED),
        ((len + 1, head), REVOKED),
        ((u32::MAX, head), REVOKED),
        ((0, [0; 32]), REVOKED),
        ((len, head), ACCEPTED),
    ] {
        let verdicts = judged(&authority, &begun(first), &[], 0..9)?;
        assert_eq!(verdicts, [(0..9, verdict)], "{first:?}");
    }
    order(&mut authority, &adopt(&facts, &ids, 12, 14));
    assert_eq!(
        judged(&authority, &facts, &ids, 0..20)?,
        [(0..14, ACCEPTED), (14..20, REVOKED)],
        "an adoption does"
    );
    // A cut at 0 is a name: such a log stays closed whatever it cites.
    order(
        &mut authority,
        &retire(&facts, vec![cut(&begun(cited), &[], 0)]),
    );
    regrant(&mut authority, &facts, Role::Station, Vec::new());
    let late = begun(authority.cited());
    assert_eq!(judged(&authority, &late, &[], 0..9)?, [(0..9, REVOKED)]);
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
fn nothing_beyond_the_end_of_a_frozen_log_counts_by_any_order() -> Tested {
    let (facts, ids) = long_log(20);
    let facts = LogFacts {
        held_to: 9,
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
            if from < to.len {
                let log = facts.log;
                order(&mut authority, &Order::Adopt { log, from, to });
            }
        }
        let held_to = if random.one_in(3) {
            random.next() % 45
        } else {
            u64::MAX
        };
        let facts = LogFacts { held_to, ..facts };

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

// ---- the rules as the model has them ----

/// What was ordered, as the model keeps it: lengths of places by log, and how long the authority log was then.
#[derive(Clone, Debug)]
enum Told {
    Grant {
        len: u32,
        writes: bool,
        places: BTreeMap<LogId, u64>,
    },
    Revoke(BTreeMap<LogId, u64>),
    Adopt(LogId, Range<u64>),
    Pin,
}

/// The rule word by word: one entry, all orders from the first.
fn allowed(told: &[Told], facts: &LogFacts, first_cite: u32, seq: u64) -> bool {
    let (mut ok, mut had, mut adopted) = (false, false, false);
    let (mut unnamed, mut named) = (false, false);
    for order in told {
        match order {
            Told::Grant {
                len,
                writes,
                places,
            } => {
                let from = places.get(&facts.log);
                if !had || from.is_none_or(|from| seq >= *from) {
                    ok = *writes;
                }
                had = true;
                if unnamed && first_cite >= *len {
                    unnamed = false;
                }
            }
            Told::Revoke(cuts) => match cuts.get(&facts.log) {
                None => unnamed = unnamed || !named,
                Some(cut) if seq >= *cut => (named, unnamed) = (true, false),
                Some(_) => {}
            },
            Told::Adopt(log, range) => adopted |= *log == facts.log && range.contains(&seq),
            Told::Pin => {}
        }
    }
    adopted || (ok && had && !unnamed && !named)
}

/// Whether an order speaks of an entry, so that it may take away what counted.
fn speaks_of(told: &Told, log: &LogId, seq: u64) -> bool {
    let beyond = |places: &BTreeMap<LogId, u64>| places.get(log).is_none_or(|from| seq >= *from);
    match told {
        Told::Grant { places, .. } | Told::Revoke(places) => beyond(places),
        Told::Adopt(..) | Told::Pin => false,
    }
}

const LOGS: u8 = 3;
const LEN: u64 = 8;

fn random_order(random: &mut Random, authority: &Authority, facts: &LogFacts) -> (Order, Told) {
    let mut places = BTreeMap::new();
    for n in 0..LOGS {
        if random.one_in(2) {
            places.insert(LogId([n; 32]), random.next() % (LEN + 2));
        }
    }
    let cuts = places.iter().map(|(log, len)| Cut {
        log: *log,
        position: Position {
            len: *len,
            head: [u8::try_from(*len).unwrap_or_default(); 32],
        },
    });
    let cuts: Vec<Cut> = cuts.collect();
    let log = LogId([u8::try_from(random.below(3)).unwrap_or_default(); 32]);
    let to = 1 + random.next() % LEN;
    let position = Position {
        len: to,
        head: [7; 32],
    };
    match random.below(8) {
        0..=2 => {
            let writes = random.one_in(2);
            let role = if writes { Role::Station } else { Role::Reader };
            let Space::Site(site) = site_space() else {
                unreachable!()
            };
            let grant = Grant {
                serial: authority.next_serial(),
                device: facts.author.device,
                recipient: [0; 32],
                site: Some(site),
                role,
                device_code: "EM1A".to_owned(),
                scopes: role.scopes(Some(site)),
                bytes_per_day: 0,
                places: cuts,
            };
            let len = authority.cited().0 + 1;
            (
                Order::Grant(grant),
                Told::Grant {
                    len,
                    writes,
                    places,
                },
            )
        }
        3..=5 => (retire(facts, cuts), Told::Revoke(places)),
        6 => {
            let from = random.next() % to;
            let adopt = Order::Adopt {
                log,
                from,
                to: position,
            };
            (adopt, Told::Adopt(log, from..to))
        }
        _ => (Order::Pin { log, position }, Told::Pin),
    }
}

#[test]
fn whatever_is_ordered_verdicts_are_those_of_the_rule_and_fall_only_where_an_order_speaks() -> Tested
{
    let author = long_log(2).0.author;
    for seed in 0..400 {
        let mut random = Random(seed);
        let mut authority = authority();
        let mut told = vec![Told::Grant {
            len: authority.cited().0,
            writes: true,
            places: BTreeMap::new(),
        }];
        let mut logs: BTreeMap<LogId, LogFacts> = BTreeMap::new();
        let mut counted: BTreeMap<(LogId, u64), bool> = BTreeMap::new();
        for step in 0..24 {
            // Logs begin along the way, some of them with a head that was never there.
            if step % 6 == 0 && step < 18 {
                let (len, mut head) = authority.cited();
                head[0] ^= u8::from(random.one_in(4));
                let log = LogId([step / 6; 32]);
                let first = (len, head);
                logs.insert(
                    log,
                    LogFacts {
                        log,
                        author,
                        first,
                        held_to: u64::MAX,
                    },
                );
            }
            let (next, tale) = random_order(
                &mut random,
                &authority,
                logs.values().next().unwrap_or(&long_log(2).0),
            );
            order(&mut authority, &next);
            told.push(tale);
            for facts in logs.values() {
                let (len, head) = facts.first;
                let cite = if authority.has_head(len, &head) {
                    len
                } else {
                    0
                };
                let verdicts = judged(&authority, facts, &[], 0..LEN + 2)?;
                for (range, verdict) in verdicts {
                    for seq in range {
                        let counts = verdict == ACCEPTED;
                        let context = format!("seed {seed}: {:?} {seq} {told:?}", facts.log);
                        assert_eq!(counts, allowed(&told, facts, cite, seq), "{context}");
                        let before = counted.insert((facts.log, seq), counts);
                        let last = told.last().unwrap_or(&Told::Pin);
                        assert!(
                            counts || before != Some(true) || speaks_of(last, &facts.log, seq),
                            "fell unasked: {context}"
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

// ---- branches ----

/// Branches of one log by their ends: the head at a length is the branch's letter there.
struct Store {
    branches: Vec<&'static str>,
    chain: &'static str,
}

fn at(branch: &str, len: u64) -> Position {
    let len_there = usize::try_from(len).unwrap_or(usize::MAX);
    let letters = branch.get(..len_there).unwrap_or_default();
    Position {
        len,
        head: hash::ENTRY.hash(&[letters.as_bytes()]),
    }
}

fn end(branch: &str) -> Position {
    at(branch, branch.len() as u64)
}

impl Held for Store {
    type Error = Infallible;

    fn end(&self) -> Position {
        end(self.chain)
    }

    fn head_at(&mut self, of: Position, len: u64) -> Result<Option<[u8; 32]>, Infallible> {
        assert!(1 <= len && len <= of.len, "asked within the branch");
        let mut all = self.branches.iter().chain([&self.chain]);
        let found = all.find(|it| it.len() as u64 >= of.len && at(it, of.len) == of);
        Ok(found.map(|branch| at(branch, len).head))
    }
}

fn store(chain: &'static str, branches: &[&'static str]) -> Store {
    Store {
        branches: branches.to_vec(),
        chain,
    }
}

#[test]
fn of_two_pins_the_earlier_holds_and_a_later_one_only_where_it_goes_on_from_it() -> Tested {
    let pins = [end("aab"), end("aacc"), end("aabb"), end("aabbc")];
    let mut held = store("aac", &[]);
    assert_eq!(effective_pin(&pins, None, &mut held)?, Some(pins[0]));
    assert_eq!(branch_to_follow(&pins, None, &mut held)?, None, "not held");
    assert_eq!(pins_to_fetch(&pins, &mut held)?, pins, "all are asked for");
    let mut held = store("aac", &["aabbcd", "aacc"]);
    assert_eq!(effective_pin(&pins, None, &mut held)?, Some(pins[3]));
    assert_eq!(branch_to_follow(&pins, None, &mut held)?, Some(pins[3]));
    assert_eq!(pins_to_fetch(&pins, &mut held)?, []);
    // Adopted on the branch that lost: no effect, also where that branch is longer and held.
    assert_eq!(effective_pin(&pins[..2], None, &mut held)?, Some(pins[0]));
    let mut held = store("aabbc", &[]);
    assert_eq!(branch_to_follow(&pins, None, &mut held)?, None, "there");
    Ok(())
}

#[test]
fn a_receipt_pins_where_it_goes_on_from_the_pin_or_no_pin_is_held() -> Tested {
    let receipt = Some(end("aabb"));
    let effective = |pins: &[Position], mut held: Store| effective_pin(pins, receipt, &mut held);
    assert_eq!(effective(&[], store("aabb", &[]))?, receipt);
    assert_eq!(effective(&[], store("aab", &[]))?, None, "not held");
    let pin = end("aab");
    assert_eq!(effective(&[pin], store("aabb", &[]))?, receipt, "goes on");
    assert_eq!(effective(&[pin], store("aab", &[]))?, Some(pin));
    let other = end("aac");
    assert_eq!(effective(&[other], store("aabb", &[]))?, receipt);
    assert_eq!(
        effective(&[other], store("aabb", &["aac"]))?,
        Some(other),
        "the hub's order weighs more"
    );
    let longer = end("aabbc");
    assert_eq!(effective(&[longer], store("aabbc", &[]))?, Some(longer));
    let nothing = Some(Position {
        len: 0,
        head: [0; 32],
    });
    assert_eq!(effective_pin(&[], nothing, &mut store("a", &[]))?, None);
    Ok(())
}

#[test]
fn a_frozen_log_keeps_what_is_held_until_its_pin_is_and_then_the_longer_of_pin_and_fork() -> Tested
{
    let tip = |fork, pins: &[Position], receipt, chain| {
        frozen_tip(fork, pins, receipt, &mut store(chain, &["aabbcc"]))
    };
    assert_eq!(tip(2, &[], None, "aaccc")?, end("aaccc"), "no pin is known");
    let pin = end("aabb");
    assert_eq!(
        tip(2, &[pin], None, "aaccc")?,
        end("aaccc"),
        "its branch is not followed yet"
    );
    assert_eq!(tip(2, &[pin], None, "aabbccd")?, pin);
    assert_eq!(tip(5, &[pin], None, "aabbccd")?, at("aabbc", 5));
    assert_eq!(tip(9, &[pin], None, "aabbcc")?, end("aabbcc"), "as held");
    let receipt = Some(end("aabbc"));
    assert_eq!(tip(2, &[pin], receipt, "aabbccd")?, end("aabbc"));
    assert_eq!(tip(2, &[], receipt, "aabbccd")?, end("aabbccd"));
    let lost = end("aac");
    assert_eq!(tip(2, &[pin, lost], None, "aabbccd")?, pin);
    assert_eq!(tip(2, &[lost, pin], None, "aabbccd")?, end("aabbccd"));
    Ok(())
}

/// Three branches, every pair of pins on them, every order of learning which are held: whoever holds all of them
/// follows the same branch, and whoever holds less never one that the others leave for a shorter pin.
#[test]
fn whoever_holds_every_branch_follows_the_same_one() -> Tested {
    let branches = ["aaaaa", "aaabb", "aaccc"];
    let ends = |branch: &'static str| (1..=5).map(move |len| at(branch, len));
    for first in branches.into_iter().flat_map(ends) {
        for second in branches.into_iter().flat_map(ends) {
            let pins = [first, second];
            let mut followed = Vec::new();
            for chain in branches {
                let mut held = store(chain, &branches);
                let pin = effective_pin(&pins, None, &mut held)?;
                assert!(pin == Some(first) || pin == Some(second));
                followed.push(pin);
            }
            followed.dedup();
            assert_eq!(followed.len(), 1, "{first:?} {second:?}");
        }
    }
    Ok(())
}
