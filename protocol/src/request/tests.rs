//! Requests and answers come back, have one encoding, and keep their bounds.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::collections::BTreeSet;

use super::*;
use crate::authority::{Role, SiteKind};
use crate::part::ErasureTarget;
use crate::space::NetworkId;
use crate::testing::{Random, signer};

fn act() -> Act {
    let facts = [
        ("co/测试单位", Datum::Bool(true)),
        ("n", Datum::Int(-1)),
        ("petition_class", Datum::Str("help".to_owned())),
        ("separate", Datum::Bool(false)),
    ];
    Act {
        record: RecordId([1; 16]),
        space: SpaceId([2; 32]),
        event: "accept".to_owned(),
        seen: vec![[3; 32], [4; 32]],
        facts: facts.map(|(key, datum)| (key.to_owned(), datum)).into(),
    }
}

fn ask(ask: Ask) -> Request {
    Request::Ask {
        account: "0123456789abcdef".to_owned(),
        ask,
    }
}

fn site(kind: SiteKind) -> Request {
    let info = SiteInfo {
        code: "EM1".to_owned(),
        name: "测试站".to_owned(),
        kind,
    };
    ask(Ask::Site {
        site: SiteId([5; 16]),
        info,
    })
}

fn invite(role: Role, site: Option<SiteId>) -> Request {
    let invite = Invite {
        key: signer(6).public(),
        site,
        role,
        device_code: "EM1A".to_owned(),
        expires_ms: 7,
    };
    ask(Ask::Invite {
        invite,
        proof_key: [8; 32],
    })
}

fn answer(outcome: Outcome) -> Request {
    Request::Answer {
        to: EntryId([9; 32]),
        outcome,
    }
}

/// What is asked of the authority log and of records.
fn orders() -> Vec<Request> {
    let position = Position {
        len: 4,
        head: [2; 32],
    };
    let cut = |n| Cut {
        log: LogId([n; 32]),
        position,
    };
    let target = ErasureTarget {
        log: LogId([1; 32]),
        seq: 3,
        id: EntryId([2; 32]),
    };
    let erase = |targets| Ask::Erase {
        record: RecordId([1; 16]),
        order: EraseOrder { reason: 2, targets },
    };
    let revoke = |lost, cuts| Ask::Revoke {
        device: signer(4).public(),
        lost,
        cuts,
    };
    let all = [
        revoke(false, Vec::new()),
        revoke(true, vec![cut(1), cut(2)]),
        Ask::Adopt {
            log: LogId([1; 32]),
            from: 2,
            to: position,
        },
        erase(Vec::new()),
        erase(vec![target]),
        Ask::Approve {
            request: EntryId([7; 32]),
        },
        Ask::Rotate(Rotation::sign(&NetworkId([1; 32]), &signer(1), &signer(2))),
        Ask::Policy {
            name: "erase_after_days".to_owned(),
            value: "365".to_owned(),
        },
    ];
    all.map(ask).into()
}

/// One of everything that has a number of its own.
fn everything() -> Vec<Request> {
    let empty = Act {
        seen: Vec::new(),
        facts: BTreeMap::new(),
        ..act()
    };
    let mut all = vec![
        ask(Ask::Act(act())),
        ask(Ask::Act(empty)),
        answer(Outcome::Done),
        answer(Outcome::Refused(Refusal::Other(200))),
    ];
    all.extend(orders());
    all.push(site(SiteKind::Other(9)));
    all.push(invite(Role::Other(9), None));
    all.extend(SiteKind::ALL.map(|(kind, _)| site(kind)));
    all.extend(Role::ALL.map(|(role, _)| invite(role, Some(SiteId([5; 16])))));
    all.push(invite(Role::Operator, None));
    all.extend(Refusal::ALL.map(|(refusal, _)| answer(Outcome::Refused(refusal))));
    all
}

#[test]
fn every_request_comes_back_and_nothing_shorter_or_longer_does() -> Result<(), DecodeError> {
    let mut encodings = BTreeSet::new();
    for request in everything() {
        let bytes = request.encode();
        assert_eq!(Request::decode(&bytes)?, request);
        for cut in 0..bytes.len() {
            let short = bytes.get(..cut).unwrap_or_default();
            assert!(Request::decode(short).is_err(), "{request:?} cut at {cut}");
        }
        let long = [&bytes[..], &[0]].concat();
        assert!(Request::decode(&long).is_err(), "{request:?} and a byte");
        assert!(encodings.insert(bytes), "{request:?} is encoded as another");
    }
    Ok(())
}

#[test]
fn a_changed_byte_is_refused_or_means_something_else() -> Result<(), DecodeError> {
    for request in everything() {
        let bytes = request.encode();
        for at in 1..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut other = bytes.clone();
                if let Some(byte) = other.get_mut(at) {
                    *byte ^= flip;
                }
                if let Ok(read) = Request::decode(&other) {
                    assert_ne!(read, request, "byte {at}");
                    assert_eq!(read.encode(), other, "a second encoding, byte {at}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn random_bytes_are_refused_or_have_one_encoding() {
    let mut random = Random(11);
    for _ in 0..20_000 {
        let len = random.below(200);
        let mut bytes = random.bytes(len);
        bytes.insert(0, 1 + random.below(4) as u8);
        if let Ok(read) = Request::decode(&bytes) {
            assert_eq!(read.encode(), bytes);
        }
    }
}

#[test]
fn requests_made_at_random_come_back() -> Result<(), DecodeError> {
    let mut random = Random(12);
    for _ in 0..500 {
        let mut text = |most: usize| -> String {
            let len = random.below(most);
            (0..len)
                .map(|at| if at % 3 == 0 { '意' } else { 'x' })
                .collect()
        };
        let mut act = Act {
            event: text(60),
            facts: (0..4).map(|_| (text(300), Datum::Str(text(300)))).collect(),
            ..act()
        };
        let account = text(60);
        act.facts
            .insert("n".to_owned(), Datum::Int(random.next() as i64));
        let seen: BTreeSet<[u8; 32]> = (0..random.below(65))
            .map(|_| {
                let bytes = random.bytes(32);
                *bytes.first_chunk().unwrap_or(&[0; 32])
            })
            .collect();
        act.seen = seen.into_iter().collect();
        let request = Request::Ask {
            account,
            ask: Ask::Act(act),
        };
        assert_eq!(Request::decode(&request.encode())?, request);
    }
    Ok(())
}

#[test]
fn what_exceeds_a_bound_is_refused() {
    let long = |len: usize| "x".repeat(len);
    let refused = |request: Request, what: &str| {
        assert!(Request::decode(&request.encode()).is_err(), "{what}");
    };
    let step = |change: &dyn Fn(&mut Act)| {
        let mut act = act();
        change(&mut act);
        ask(Ask::Act(act))
    };
    refused(
        Request::Ask {
            account: long(limits::NAME_MAX + 1),
            ask: Ask::Act(act()),
        },
        "account",
    );
    refused(step(&|act| act.event = long(limits::NAME_MAX + 1)), "event");
    let text = limits::REQUEST_TEXT_MAX + 1;
    refused(
        step(&|act| drop(act.facts.insert(long(text), Datum::Int(0)))),
        "key",
    );
    refused(
        step(&|act| drop(act.facts.insert(String::new(), Datum::Str(long(text))))),
        "value",
    );
    let many = |n: usize| (0..n).map(|n| (format!("{n:04}"), Datum::Bool(true)));
    refused(
        step(&|act| act.facts = many(limits::REQUEST_FACTS_MAX + 1).collect()),
        "facts",
    );
    refused(
        step(&|act| {
            act.seen = (0..=limits::REQUEST_SEEN_MAX)
                .map(|n| [n as u8; 32])
                .collect();
        }),
        "changes",
    );
    refused(step(&|act| act.seen = vec![[4; 32], [3; 32]]), "order");
    refused(step(&|act| act.seen = vec![[4; 32]; 2]), "twice");
    // The most that is allowed is read.
    let most = step(&|act| act.facts = many(limits::REQUEST_FACTS_MAX).collect());
    assert!(Request::decode(&most.encode()).is_ok());
}

#[test]
fn facts_have_one_order_and_known_kinds() {
    let head = |facts: &dyn Fn(&mut Writer)| {
        let mut writer = Writer::new();
        writer.u8(ACT).str("a").fixed(&[1; 16]).fixed(&[2; 32]);
        writer.str("accept").length(0);
        facts(&mut writer);
        Request::decode(&writer.into_bytes())
    };
    let fact = |writer: &mut Writer, key: &str| {
        writer.str(key).u8(2).u8(1);
    };
    let two = |first: &'static str, second: &'static str| {
        head(&move |writer| {
            writer.length(2);
            fact(writer, first);
            fact(writer, second);
        })
    };
    assert!(two("a", "b").is_ok());
    assert!(two("b", "a").is_err());
    assert!(two("a", "a").is_err());
    for (kind, value) in [(2, 2), (3, 0), (255, 0)] {
        let read = head(&|writer| {
            writer.length(1).str("a").u8(kind).u8(value);
        });
        assert!(read.is_err(), "kind {kind}, value {value}");
    }
}

#[test]
fn what_is_newer_is_kept_apart_from_what_is_broken() {
    assert_eq!(Request::decode(&[77, 1, 2]), Ok(Request::Unknown(77)));
    assert!(Request::decode(&[]).is_err());
    assert_eq!(Refusal::of(0), None);
    assert_eq!(Refusal::of(250), Some(Refusal::Other(250)));
    assert_eq!(Refusal::Other(250).word(), "newer_version");
    let mut words = BTreeSet::new();
    for (at, (refusal, word)) in Refusal::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(refusal.code()), at + 1);
        assert_eq!(Refusal::of(refusal.code()), Some(refusal));
        assert_eq!(refusal.word(), word);
        assert!(words.insert(word));
    }
}
