//! Orders, folding and rights. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test that reaches beyond its own data should fail"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::*;
use crate::codec::{Reader, Writer};
use crate::hash;
use crate::identity::DeviceKey;
use crate::limits;
use crate::log::{Author, EntryId, EntryKind, LogId, Position};
use crate::space::{SiteId, Space};
use crate::testing::{Random, network, signer, site_space, space_id};
use crate::verdict::{LogFacts, Verdict, judge};

type Tested = Result<(), Box<dyn std::error::Error>>;
type Folded = Result<(), OrderError>;

const SITE: SiteId = SiteId([7; 16]);
const OTHER: SiteId = SiteId([8; 16]);

fn device(n: u8) -> DeviceKey {
    signer(n).public()
}

fn log(n: u8) -> LogId {
    LogId([n; 32])
}

fn position(len: u64) -> Position {
    Position {
        len,
        head: [len as u8; 32],
    }
}

fn certificate(version: u32, authority: u8) -> Order {
    let trusted = (version > 1).then(|| (log(1), position(9)));
    Order::Certificate(Certificate::sign(
        &signer(200),
        version,
        device(authority),
        trusted,
    ))
}

fn site(site: SiteId, code: &str) -> Order {
    Order::Site {
        site,
        code: code.to_owned(),
        name: "测试站".to_owned(),
        kind: SiteKind::Livestream,
    }
}

fn grant(serial: u32, n: u8, role: Role, code: &str) -> Grant {
    let site = (!matches!(role, Role::Operator | Role::Hub)).then_some(SITE);
    Grant {
        serial,
        device: device(n),
        recipient: [n; 32],
        site,
        role,
        device_code: code.to_owned(),
        scopes: role.scopes(site),
        bytes_per_day: 5,
        places: Vec::new(),
    }
}

fn cut(n: u8, len: u64) -> Cut {
    Cut {
        log: log(n),
        position: position(len),
    }
}

/// How much of the first hundred entries of a log counts.
#[derive(Debug, PartialEq)]
enum Standing {
    Full,
    UpTo(u64),
    None(Reason),
}

fn invite(n: u8, code: &str) -> Order {
    Order::Invite(Invite {
        key: device(n),
        site: Some(SITE),
        role: Role::Laptop,
        device_code: code.to_owned(),
        expires_ms: 99,
    })
}

fn rotate(old: u8, new: u8) -> Order {
    Order::Rotate {
        rotation: Rotation::sign(&network(), &signer(old), &signer(new)),
        places: vec![cut(1, 4), cut(2, 5)],
    }
}

fn revoke(n: u8, cuts: Vec<Cut>) -> Order {
    Order::Revoke {
        device: device(n),
        lost: false,
        cuts,
    }
}

fn every_order() -> Vec<Order> {
    let mut everything = grant(3, 1, Role::Operator, "EM1A");
    everything.scopes.extend(Role::Reader.scopes(Some(SITE)));
    let hub = Spaces::One(Space::Hub);
    everything.scopes.push(Scope::new(hub, false, true));
    everything.scopes.push(Scope {
        newer: 0b1000_0100,
        ..Scope::new(hub, false, false)
    });
    let newer = Spaces::Other {
        kind: 9,
        argument: [3; 16],
    };
    everything.scopes.push(Scope::new(newer, true, true));
    everything.places = vec![cut(1, 0), cut(2, 9)];
    let newer = Grant {
        role: Role::Other(77),
        ..grant(5, 3, Role::Reader, "EM1D")
    };
    vec![
        certificate(1, 100),
        certificate(2, 100),
        Order::Network {
            name: "石榴街道".to_owned(),
            district: "SLJD".to_owned(),
        },
        site(SITE, "EM1"),
        Order::Grant(everything),
        Order::Grant(newer),
        Order::Site {
            site: OTHER,
            code: "EM3".to_owned(),
            name: String::new(),
            kind: SiteKind::Other(200),
        },
        Order::Grant(grant(4, 2, Role::Courier, "EM1B")),
        revoke(1, vec![cut(1, 3), cut(4, 0), cut(5, 8)]),
        revoke(1, Vec::new()),
        Order::Left { device: device(1) },
        Order::Adopt {
            log: log(1),
            from: 4,
            to: position(6),
        },
        Order::Resolve {
            log: log(1),
            seq: 4,
        },
        rotate(1, 2),
        Order::Policy {
            name: "erase_after_days".to_owned(),
            value: "365".to_owned(),
        },
        invite(50, "EM1C"),
        Order::InviteUsed {
            key: device(50),
            device: device(1),
        },
        Order::Pin {
            log: log(3),
            position: position(8),
        },
        Order::Epoch { epoch: [4; 16] },
        Order::InviteClosed { key: device(51) },
        Order::Addresses(vec![
            "hub.example:7443".to_owned(),
            "[2001:db8::1]:7443".to_owned(),
        ]),
    ]
}

#[test]
fn every_order_comes_back_and_no_part_of_one_does() -> Tested {
    for order in every_order() {
        let bytes = order.encode();
        assert_eq!(Order::decode(&bytes)?, order);
        for cut in 0..bytes.len() {
            assert!(
                Order::decode(&bytes[..cut]).is_err(),
                "{order:?} cut at {cut}"
            );
        }
        assert!(
            Order::decode(&[bytes.as_slice(), &[0]].concat()).is_err(),
            "{order:?}"
        );
    }
    assert_eq!(Order::decode(&[99, 1, 2, 3])?, Order::Unknown(99));
    Ok(())
}

#[test]
fn no_mutation_of_an_order_panics_and_what_is_read_is_written_alike() {
    let mut random = Random(6);
    let orders = every_order();
    for _ in 0..20_000 {
        let mut bytes = orders[random.below(orders.len())].encode();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] = random.next() as u8;
        }
        match Order::decode(&bytes) {
            Ok(Order::Unknown(_)) | Err(_) => {}
            Ok(order) => assert_eq!(order.encode(), bytes, "one encoding for one order"),
        }
    }
}

#[test]
fn the_largest_orders_fit_a_payload_and_name_each_log_once() -> Tested {
    let many = |count: usize| -> Vec<Cut> {
        let logs = (0..count).map(|n| {
            let mut log = [0; 32];
            log[..8].copy_from_slice(&n.to_be_bytes());
            LogId(log)
        });
        let position = position(3);
        logs.map(|log| Cut { log, position }).collect()
    };
    let orders = |places: Vec<Cut>| {
        let mut largest = grant(3, 1, Role::Station, &"x".repeat(limits::NAME_MAX));
        let scope = Scope::new(Spaces::EverySite, true, true);
        largest.scopes = vec![scope; limits::SCOPES_MAX];
        largest.places.clone_from(&places);
        let Order::Rotate { rotation, .. } = rotate(1, 2) else {
            return Vec::new();
        };
        let revoke = revoke(1, places.clone());
        vec![
            Order::Grant(largest),
            revoke,
            Order::Rotate { rotation, places },
        ]
    };
    for order in orders(many(limits::CUTS_MAX)) {
        let bytes = order.encode();
        assert!(bytes.len() <= limits::PAYLOAD_MAX);
        assert_eq!(Order::decode(&bytes)?, order);
    }
    for order in orders(many(limits::CUTS_MAX + 1)) {
        assert!(Order::decode(&order.encode()).is_err());
    }
    for order in orders(vec![cut(1, 3), cut(1, 4)]) {
        assert!(Order::decode(&order.encode()).is_err(), "a log twice");
    }
    for order in orders(vec![cut(2, 3), cut(1, 4)]) {
        assert!(Order::decode(&order.encode()).is_err(), "turned round");
    }
    Ok(())
}

#[test]
fn every_flipped_bit_of_a_certificate_is_noticed() {
    let Order::Certificate(whole) = certificate(2, 100) else {
        return;
    };
    let mut writer = Writer::new();
    whole.write(&mut writer);
    let bytes = writer.into_bytes();
    assert!(whole.holds(&network()));
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut reader = Reader::new(&flipped);
        let read = Certificate::read(&mut reader);
        let holds = read.is_ok_and(|it| reader.finish().is_ok() && it.holds(&network()));
        assert!(!holds, "bit {bit}");
    }
}

#[test]
fn words_and_codes_of_enumerations_come_back() {
    for (role, word) in Role::ALL {
        assert_eq!((role.word(), Role::parse(word)), (word, Some(role)));
    }
    for (kind, word) in SiteKind::ALL {
        assert_eq!(SiteKind::parse(word), Some(kind));
    }
    for (at, (reason, word)) in Reason::ALL.into_iter().enumerate() {
        assert_eq!((reason.word(), usize::from(reason.code())), (word, at + 1));
        assert_eq!(Reason::of(reason.code()), Some(reason));
    }
    assert_eq!((Reason::of(0), Role::parse("x")), (None, None));
    let newer = Reason::Other(10);
    assert_eq!(
        (Reason::of(10), newer.code(), newer.word()),
        (Some(newer), 10, "newer_version")
    );
    assert_eq!((Reason::Waiting.code(), Reason::Missing.code()), (8, 9));
    assert_eq!(
        (Role::of(6), SiteKind::of(3)),
        (Role::Other(6), SiteKind::Other(3))
    );
}

// ---- folding ----

/// An authority log being folded, signed by key 100.
struct Fold(Authority);

impl Fold {
    fn new() -> Result<Self, OrderError> {
        let mut fold = Self(Authority::new(network()));
        fold.by(100, &certificate(1, 100))?;
        fold.add(&site(SITE, "EM1"))?;
        Ok(fold)
    }

    fn by(&mut self, writer: u8, order: &Order) -> Folded {
        let id = EntryId(hash::ENTRY.hash(&[&self.0.cited().0.to_be_bytes()]));
        self.0.apply(&id, &device(writer), Some(&order.encode()))
    }

    fn add(&mut self, order: &Order) -> Folded {
        self.by(100, order)
    }

    fn grant(&mut self, n: u8, role: Role) -> Folded {
        let serial = self.0.next_serial();
        self.add(&Order::Grant(grant(serial, n, role, &format!("EM1{n}"))))
    }

    /// Expects a contradiction that changes nothing but the count.
    fn contradicts(&mut self, order: &Order) {
        let before = format!("{:?} {:?}", self.0.members(), self.0.codes());
        let refused = self.add(order);
        assert!(
            matches!(refused, Err(OrderError::Contradicts(_))),
            "{order:?}: {refused:?}"
        );
        assert_eq!(
            format!("{:?} {:?}", self.0.members(), self.0.codes()),
            before
        );
    }

    /// What counts of a log that was begun before anything was ordered.
    fn standing(&self, n: u8, space: Space, log: LogId) -> Standing {
        self.begun_at((0, [0; 32]), n, space, log)
    }

    fn begun_at(&self, first: (u32, [u8; 32]), n: u8, space: Space, log: LogId) -> Standing {
        let author = Author {
            space: space_id(space),
            device: device(n),
        };
        let facts = LogFacts {
            log,
            author,
            first,
            held_to: u64::MAX,
        };
        let Ok(verdicts) = judge(&self.0, &facts, 0..100, |_| Ok::<_, Infallible>(None));
        match verdicts.as_slice() {
            [(_, Verdict::Accepted)] => Standing::Full,
            [(_, Verdict::Quarantined(reason))] => Standing::None(*reason),
            [(some, Verdict::Accepted), _] => Standing::UpTo(some.end),
            _ => Standing::UpTo(0),
        }
    }
}

#[test]
fn nothing_counts_before_the_root_key_has_spoken() -> Folded {
    let mut fold = Fold(Authority::new(network()));
    assert_eq!(fold.add(&site(SITE, "EM1")), Err(OrderError::NotCertified));
    let stranger = Certificate::sign(&signer(201), 1, device(100), None);
    assert_eq!(
        fold.add(&Order::Certificate(stranger)),
        Err(OrderError::NotCertified)
    );
    assert_eq!(
        fold.by(101, &certificate(1, 100)),
        Err(OrderError::NotCertified),
        "not his"
    );
    assert_eq!(
        fold.add(&certificate(1, 100)),
        Err(OrderError::NotCertified),
        "not the second entry"
    );
    let id = EntryId([3; 32]);
    fold.0.apply(&id, &device(100), None)?;
    fold.add(&certificate(1, 100))?;
    fold.add(&site(SITE, "EM1"))?;
    assert_eq!(
        fold.by(101, &site(OTHER, "EM2")),
        Err(OrderError::NotCertified)
    );
    assert_eq!(
        fold.0.cited().0,
        8,
        "what has no effect is counted all the same"
    );
    assert_eq!(fold.0.without_effect(), 5);
    assert_eq!(fold.0.sites().len(), 1);
    Ok(())
}

#[test]
fn a_successor_has_a_greater_version_and_its_key_alone_gives_orders() -> Folded {
    let mut fold = Fold::new()?;
    let genesis = |fold: &mut Fold| fold.0.apply(&EntryId([3; 32]), &device(101), None);
    for version in [0, 1] {
        genesis(&mut fold)?;
        let refused = fold.by(101, &certificate(version, 101));
        assert_eq!(refused, Err(OrderError::NotCertified), "{version} after 1");
    }
    genesis(&mut fold)?;
    fold.by(101, &certificate(3, 101))?;
    assert_eq!(
        fold.add(&site(OTHER, "EM2")),
        Err(OrderError::NotCertified),
        "the old key"
    );
    fold.by(101, &site(OTHER, "EM2"))?;
    assert_eq!(fold.0.key(), Some(device(101)));
    genesis(&mut fold)?;
    assert_eq!(
        fold.by(100, &certificate(2, 100)),
        Err(OrderError::NotCertified),
        "rolled back"
    );
    Ok(())
}

fn certified(version: u32, trusted: Option<(u8, u64)>) -> Certificate {
    let trusted = trusted.map(|(n, len)| (log(n), position(len)));
    Certificate::sign(&signer(200), version, device(100), trusted)
}

// rule:succession-falls
#[test]
fn the_highest_certificate_leads_back_through_what_is_trusted() {
    let logs = [
        (1, certified(1, None)),
        (2, certified(2, Some((1, 9)))),
        (3, certified(7, Some((2, 5)))),
        (4, certified(4, Some((1, 6)))),
    ];
    let some = |numbers: &[u8]| -> Result<Succession, Unsettled> {
        let logs = logs.iter().filter(|(n, _)| numbers.contains(n));
        Succession::of(&logs.map(|(n, it)| (log(*n), it.clone())).collect())
    };
    let places = |numbers: &[u8]| -> Vec<(LogId, Option<u64>)> {
        let found = some(numbers).map(|it| it.logs().collect::<Vec<_>>());
        let found = found.unwrap_or_default().into_iter();
        found
            .map(|(log, end)| (log, end.map(|it| it.len)))
            .collect()
    };
    assert_eq!(some(&[]), Err(Unsettled::Nothing));
    assert_eq!(places(&[1]), [(log(1), None)]);
    assert_eq!(places(&[1, 2]), [(log(1), Some(9)), (log(2), None)]);
    assert_eq!(
        places(&[1, 2, 3, 4]),
        [(log(1), Some(9)), (log(2), Some(5)), (log(3), None)]
    );
    assert_eq!(places(&[1, 2, 4]), [(log(1), Some(6)), (log(4), None)]);
    assert_eq!(some(&[1, 3]), Err(Unsettled::Missing(log(2))));
    // Only what has a lower version precedes.
    let logs = BTreeMap::from([
        (log(1), certified(5, None)),
        (log(2), certified(4, Some((1, 9)))),
        (log(3), certified(7, Some((2, 5)))),
    ]);
    assert_eq!(Succession::of(&logs), Err(Unsettled::Missing(log(1))));
}

// rule:succession-falls
#[test]
fn of_two_logs_with_one_version_none_goes_on_until_a_higher_one_comes() -> Folded {
    let mut logs = BTreeMap::from([
        (log(1), certified(1, None)),
        (log(2), certified(2, Some((1, 3)))),
        (log(3), certified(2, Some((1, 3)))),
    ]);
    assert_eq!(Succession::of(&logs), Err(Unsettled::Contested(2)));
    let mut fold = Fold::new()?;
    let before = Succession::of(&BTreeMap::from([(log(1), certified(1, None))]));
    fold.0.follow(before.clone());
    fold.0.follow(Succession::of(&logs));
    assert_eq!(fold.0.unsettled(), Some(Unsettled::Contested(2)));
    assert_eq!(
        fold.0.succession().cloned().ok_or(Unsettled::Nothing),
        before
    );
    // A certificate that trusts itself, or a higher one, leads nowhere.
    logs.insert(log(4), certified(3, Some((4, 1))));
    assert_eq!(Succession::of(&logs), Err(Unsettled::Missing(log(4))));
    logs.insert(log(5), certified(4, Some((2, 8))));
    fold.0.follow(Succession::of(&logs));
    assert_eq!(fold.0.unsettled(), None);
    assert_eq!(
        fold.standing(100, Space::Authority, log(2)),
        Standing::UpTo(8)
    );
    assert_eq!(
        fold.standing(100, Space::Authority, log(1)),
        Standing::UpTo(3)
    );
    assert_eq!(fold.standing(100, Space::Authority, log(5)), Standing::Full);
    let none = Standing::None(Reason::NotAuthority);
    assert_eq!(fold.standing(100, Space::Authority, log(3)), none);
    assert_eq!(
        fold.0.pins(&log(2)),
        [position(8)],
        "its branch is asked for"
    );
    Ok(())
}

#[test]
fn a_certificate_stands_after_a_genesis_and_after_nothing_else() -> Folded {
    let mut fold = Fold::new()?;
    let (id, key) = (EntryId([3; 32]), device(100));
    let certified = |fold: &mut Fold, kind| {
        fold.0.take(&id, &key, kind, None)?;
        fold.add(&certificate(9, 100))
    };
    for kind in [EntryKind::Other(200), EntryKind::Authority] {
        assert_eq!(certified(&mut fold, kind), Err(OrderError::NotCertified));
    }
    assert_eq!(fold.0.cited().0, 6);
    certified(&mut fold, EntryKind::Genesis)
}

#[test]
fn a_genesis_only_counts_and_malformed_orders_have_no_effect() -> Folded {
    let mut fold = Fold::new()?;
    let id = EntryId([3; 32]);
    fold.0.apply(&id, &device(100), None)?;
    assert_eq!(fold.0.cited(), (3, [3; 32]));
    assert!(matches!(
        fold.0.apply(&id, &device(100), Some(&[4, 1])),
        Err(OrderError::Malformed(_))
    ));
    assert_eq!(
        fold.0.apply(&id, &device(100), Some(&[99, 1])),
        Err(OrderError::Newer)
    );
    assert!(fold.0.apply(&id, &device(100), Some(&[])).is_err());
    assert_eq!((fold.0.cited().0, fold.0.without_effect()), (6, 3));
    Ok(())
}

// rule:key-sound
#[test]
fn serial_numbers_and_device_codes_are_never_given_twice() -> Folded {
    let mut fold = Fold::new()?;
    fold.add(&Order::Grant(grant(5, 1, Role::Station, "EM1A")))?;
    fold.contradicts(&Order::Grant(grant(5, 2, Role::Station, "EM1B")));
    fold.contradicts(&Order::Grant(grant(4, 2, Role::Station, "EM1B")));
    fold.contradicts(&Order::Grant(grant(6, 2, Role::Station, "EM1A")));
    fold.contradicts(&Order::Grant(Grant {
        device: DeviceKey([0; 32]),
        ..grant(6, 2, Role::Station, "EM1B")
    }));
    fold.add(&Order::Grant(grant(6, 1, Role::Station, "EM1C")))?;
    fold.contradicts(&Order::Grant(grant(7, 2, Role::Station, "EM1A")));
    fold.add(&Order::Grant(grant(7, 1, Role::Station, "EM1A")))?;
    assert_eq!(fold.0.next_serial(), 8);
    Ok(())
}

#[test]
fn site_codes_are_taken_once_and_a_site_may_be_renamed() -> Folded {
    let mut fold = Fold::new()?;
    fold.contradicts(&site(OTHER, "EM1"));
    fold.add(&site(SITE, "EM9"))?;
    assert_eq!(fold.0.site_by_code("EM9"), Some(SITE));
    assert_eq!(
        fold.0.space(&space_id(Space::Site(SITE))),
        Some(Space::Site(SITE))
    );
    assert_eq!(fold.0.space(&space_id(Space::Site(OTHER))), None);
    Ok(())
}

// rule:enrol-invite-open
#[test]
fn an_invite_is_made_once_and_used_once() -> Folded {
    let mut fold = Fold::new()?;
    fold.add(&invite(50, "EM1A"))?;
    assert!(fold.0.open_invite(&device(50)).is_some());
    fold.contradicts(&invite(51, "EM1A"));
    fold.contradicts(&invite(50, "EM1B"));
    fold.contradicts(&Order::InviteUsed {
        key: device(51),
        device: device(1),
    });
    fold.add(&Order::InviteUsed {
        key: device(50),
        device: device(1),
    })?;
    fold.contradicts(&Order::InviteUsed {
        key: device(50),
        device: device(2),
    });
    fold.contradicts(&invite(50, "EM1C"));
    assert_eq!(fold.0.invite_user(&device(50)), Some(device(1)));
    assert!(fold.0.open_invite(&device(50)).is_none());
    assert!(fold.0.codes().contains("EM1A"));
    Ok(())
}

#[test]
fn an_invite_that_nobody_used_gives_its_code_back_when_it_is_closed() -> Folded {
    let mut fold = Fold::new()?;
    let close = |key| Order::InviteClosed { key: device(key) };
    fold.contradicts(&close(50));
    fold.add(&invite(50, "EM1A"))?;
    fold.add(&close(50))?;
    assert!(fold.0.open_invite(&device(50)).is_none() && fold.0.knows_invite(&device(50)));
    fold.contradicts(&close(50));
    fold.contradicts(&Order::InviteUsed {
        key: device(50),
        device: device(1),
    });
    fold.contradicts(&invite(50, "EM1B"));
    // Another may have the code, and once a device has it nothing gives it back.
    fold.add(&invite(51, "EM1A"))?;
    fold.add(&Order::InviteUsed {
        key: device(51),
        device: device(1),
    })?;
    fold.contradicts(&close(51));
    assert!(fold.0.codes().contains("EM1A"));
    let fates: Vec<_> = fold.0.invites().map(|(_, fate)| fate).collect();
    assert_eq!(fates.len(), 2);
    assert!(fates.contains(&InviteFate::Closed));
    Ok(())
}

#[test]
fn the_hub_says_where_it_is_found_and_the_last_word_counts() -> Folded {
    let mut fold = Fold::new()?;
    assert_eq!(fold.0.addresses().len(), 0);
    let at = |names: &[&str]| Order::Addresses(names.iter().map(|it| (*it).to_owned()).collect());
    fold.add(&at(&["one.example:7443", "192.0.2.1:7443"]))?;
    fold.add(&at(&["two.example:7443"]))?;
    assert_eq!(fold.0.addresses(), ["two.example:7443"]);
    assert!(Order::decode(&at(&["x:1"; limits::ADDRESSES_MAX + 1]).encode()).is_err());
    Ok(())
}

#[test]
fn revocation_names_cuts_and_all_else_of_the_device_counts_for_nothing() -> Folded {
    let mut fold = Fold::new()?;
    fold.contradicts(&revoke(1, Vec::new()));
    fold.grant(1, Role::Station)?;
    assert_eq!(fold.standing(1, site_space(), log(1)), Standing::Full);
    fold.add(&revoke(1, vec![cut(1, 3)]))?;
    assert_eq!(fold.standing(1, site_space(), log(1)), Standing::UpTo(3));
    assert_eq!(
        fold.standing(1, site_space(), log(2)),
        Standing::None(Reason::Revoked)
    );
    assert!(!fold.0.permits(&device(1), site_space(), Verb::Read));
    fold.add(&Order::Left { device: device(1) })?;
    assert_eq!(
        fold.standing(1, site_space(), log(2)),
        Standing::None(Reason::Revoked)
    );
    assert_eq!(
        fold.0.readable(&device(1)),
        [space_id(Space::Authority)],
        "it learns why"
    );
    Ok(())
}

#[test]
fn who_left_does_nothing_more_and_what_was_written_counts() -> Folded {
    let mut fold = Fold::new()?;
    fold.contradicts(&Order::Left { device: device(1) });
    fold.grant(1, Role::Station)?;
    fold.add(&Order::Left { device: device(1) })?;
    assert_eq!(fold.standing(1, site_space(), log(1)), Standing::Full);
    assert!(!fold.0.permits(&device(1), site_space(), Verb::Write));
    fold.grant(1, Role::Station)?;
    assert!(fold.0.permits(&device(1), site_space(), Verb::Write));
    Ok(())
}

#[test]
fn a_narrower_grant_is_no_revocation() -> Folded {
    let mut fold = Fold::new()?;
    fold.add(&site(OTHER, "EM2"))?;
    fold.grant(1, Role::Station)?;
    let moved = Grant {
        site: Some(OTHER),
        scopes: Role::Station.scopes(Some(OTHER)),
        places: vec![cut(1, 12)],
        ..grant(2, 1, Role::Station, "EM11")
    };
    fold.add(&Order::Grant(moved))?;
    assert!(!fold.0.permits(&device(1), site_space(), Verb::Write));
    assert!(
        !fold
            .0
            .readable(&device(1))
            .contains(&space_id(site_space()))
    );
    assert_eq!(
        fold.standing(1, site_space(), log(1)),
        Standing::UpTo(12),
        "the old site's records"
    );
    assert_eq!(fold.standing(1, Space::Site(OTHER), log(2)), Standing::Full);
    fold.add(&revoke(1, Vec::new()))?;
    assert_eq!(
        fold.standing(1, site_space(), log(1)),
        Standing::None(Reason::Revoked)
    );
    Ok(())
}

#[test]
fn a_rotated_key_is_followed_by_its_successor_and_writes_nothing_more() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    fold.grant(2, Role::Operator)?;
    let forged = |rotation| Order::Rotate {
        rotation,
        places: Vec::new(),
    };
    let whole = Rotation::sign(&network(), &signer(1), &signer(3));
    for rotation in [
        Rotation {
            by_old: [1; 64],
            ..whole
        },
        Rotation {
            by_new: [1; 64],
            ..whole
        },
        Rotation {
            by_old: whole.by_new,
            ..whole
        },
        Rotation {
            new: device(4),
            ..whole
        },
        Rotation::sign(&crate::space::NetworkId([0; 32]), &signer(1), &signer(3)),
    ] {
        fold.contradicts(&forged(rotation));
    }
    fold.contradicts(&rotate(9, 3));
    fold.contradicts(&rotate(1, 2));
    fold.add(&rotate(1, 3))?;
    assert!(fold.0.permits(&device(3), site_space(), Verb::Write));
    assert!(
        !fold.0.permits(&device(1), site_space(), Verb::Write),
        "the old key is done"
    );
    assert_eq!(
        fold.standing(1, site_space(), log(1)),
        Standing::UpTo(4),
        "what it wrote counts"
    );
    let revoked = Standing::None(Reason::Revoked);
    assert_eq!(fold.standing(1, site_space(), log(9)), revoked);
    assert_eq!(
        fold.begun_at(fold.0.cited(), 1, site_space(), log(9)),
        revoked,
        "it begins no other log"
    );
    assert_eq!(fold.standing(3, site_space(), log(3)), Standing::Full);
    assert_eq!(fold.0.pins(&log(2)), [position(5)]);
    fold.contradicts(&rotate(1, 4));
    let renewed = Grant {
        bytes_per_day: 9,
        ..grant(3, 3, Role::Station, "EM11")
    };
    fold.add(&Order::Grant(renewed))?;
    fold.add(&revoke(3, Vec::new()))?;
    fold.contradicts(&rotate(3, 5));
    Ok(())
}

#[test]
fn a_device_that_left_is_closed_by_a_later_revocation() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    fold.add(&Order::Left { device: device(1) })?;
    fold.add(&revoke(1, vec![cut(1, 6)]))?;
    assert_eq!(fold.standing(1, site_space(), log(1)), Standing::UpTo(6));
    let late = fold.begun_at(fold.0.cited(), 1, site_space(), log(2));
    assert_eq!(late, Standing::None(Reason::Revoked));
    Ok(())
}

#[test]
fn who_was_lost_is_never_granted_anything_again() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    let lost = Order::Revoke {
        device: device(1),
        lost: true,
        cuts: vec![cut(1, 3)],
    };
    fold.add(&lost)?;
    fold.contradicts(&Order::Grant(grant(2, 1, Role::Station, "EM11")));
    // Neither does a later revocation make it found.
    fold.add(&revoke(1, Vec::new()))?;
    fold.contradicts(&Order::Grant(grant(2, 1, Role::Operator, "EM11")));
    assert!(fold.0.is_lost(&device(1)));
    Ok(())
}

#[test]
fn a_role_goes_by_place() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    let author = Author {
        space: space_id(site_space()),
        device: device(1),
    };
    let reader = Grant {
        places: vec![cut(1, 7)],
        ..grant(2, 1, Role::Reader, "EM11")
    };
    fold.add(&Order::Grant(reader))?;
    let role = |fold: &Fold, n, seq| fold.0.role_at(&log(n), &author, seq);
    assert_eq!(role(&fold, 1, 6), Some(Role::Station), "below, for ever");
    assert_eq!(role(&fold, 1, 7), Some(Role::Reader));
    assert_eq!(role(&fold, 2, 0), Some(Role::Reader), "not named");
    assert_eq!(fold.0.role(&device(1)), Some(Role::Reader), "now");
    let laptop = Grant {
        places: vec![cut(1, 9), cut(2, 3)],
        ..grant(3, 1, Role::Laptop, "EM11")
    };
    fold.add(&Order::Grant(laptop))?;
    let all: Vec<_> = [6, 7, 8, 9].map(|seq| role(&fold, 1, seq)).into();
    let expected = [Role::Station, Role::Reader, Role::Reader, Role::Laptop];
    assert_eq!(all, expected.map(Some));
    assert_eq!(role(&fold, 2, 2), Some(Role::Reader));
    let stranger = Author {
        device: device(9),
        ..author
    };
    assert_eq!(fold.0.role_at(&log(1), &stranger, 0), None);
    Ok(())
}

#[test]
fn what_is_of_a_newer_version_gives_no_right() -> Folded {
    let mut fold = Fold::new()?;
    let spaces = Spaces::Other {
        kind: 5,
        argument: SITE.0,
    };
    let mut newer = grant(1, 1, Role::Other(9), "EM1A");
    newer.scopes = vec![
        Scope::new(spaces, true, true),
        Scope {
            newer: 0xfc,
            ..Scope::new(Spaces::EverySite, false, false)
        },
    ];
    fold.add(&Order::Grant(newer))?;
    assert_eq!(fold.0.role(&device(1)), Some(Role::Other(9)));
    let readable = fold.0.readable(&device(1));
    assert_eq!(readable, [space_id(Space::Authority)]);
    let refused = Standing::None(Reason::NotPermitted);
    assert_eq!(fold.standing(1, site_space(), log(1)), refused);
    Ok(())
}

#[test]
fn pins_stand_in_the_order_in_which_they_were_given_and_epochs_begin_once() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    let pin = |n, len| Order::Pin {
        log: log(n),
        position: position(len),
    };
    fold.add(&pin(1, 5))?;
    fold.add(&pin(2, 1))?;
    fold.contradicts(&pin(1, 0));
    fold.add(&revoke(1, vec![cut(1, 4), cut(3, 0)]))?;
    let adopt = |from, to| Order::Adopt {
        log: log(1),
        from,
        to: position(to),
    };
    fold.add(&adopt(4, 9))?;
    fold.contradicts(&adopt(9, 9));
    assert_eq!(
        fold.0.pins(&log(1)),
        [position(5), position(4), position(9)]
    );
    assert_eq!(fold.0.pins(&log(3)), [], "a cut at 0 keeps nothing");
    let epoch = |n| Order::Epoch { epoch: [n; 16] };
    fold.add(&epoch(7))?;
    fold.add(&epoch(3))?;
    fold.contradicts(&epoch(7));
    let ranks = [7, 3, 1].map(|n| fold.0.epoch_rank(&[n; 16]));
    assert_eq!(ranks, [Some(0), Some(1), None]);
    Ok(())
}

#[test]
fn rights_of_every_role() -> Folded {
    let mut fold = Fold::new()?;
    fold.add(&site(OTHER, "EM2"))?;
    for (n, (role, _)) in (1..).zip(Role::ALL) {
        fold.grant(n, role)?;
    }
    let spaces = [
        Space::Authority,
        Space::Bulletin,
        Space::Site(SITE),
        Space::Site(OTHER),
        Space::Hub,
    ];
    // r and w in the order of the spaces above; a dash for neither.
    let table = [
        (Role::Station, "r  r  rw -  - "),
        (Role::Laptop, "r  r  rw -  - "),
        (Role::Operator, "r  rw rw rw rw"),
        (Role::Hub, "r  rw rw rw rw"),
        (Role::Courier, "r  -  -  -  - "),
        (Role::Reader, "r  r  r  -  - "),
    ];
    for (n, (role, rights)) in (1..).zip(table) {
        let key = device(n);
        assert_eq!(fold.0.role(&key), Some(role));
        for (at, space) in spaces.into_iter().enumerate() {
            let cell = &rights[3 * at..3 * at + 2];
            let (read, write) = (cell.contains('r'), cell.contains('w'));
            assert_eq!(
                fold.0.permits(&key, space, Verb::Read),
                read,
                "{role:?} {space:?}"
            );
            assert_eq!(
                fold.0.permits(&key, space, Verb::Write),
                write,
                "{role:?} {space:?}"
            );
            assert_eq!(fold.0.readable(&key).contains(&space_id(space)), read);
            let expected = match space {
                Space::Authority => Standing::None(Reason::NotAuthority),
                _ if write => Standing::Full,
                _ => Standing::None(Reason::NotPermitted),
            };
            assert_eq!(
                fold.standing(n, space, log(1)),
                expected,
                "{role:?} {space:?}"
            );
        }
        let nowhere = Space::Site(SiteId([9; 16]));
        let elsewhere = fold.standing(n, nowhere, log(1));
        assert_eq!(
            elsewhere,
            Standing::None(Reason::NotPermitted),
            "a space nobody knows"
        );
    }
    for space in spaces {
        assert!(
            !fold.0.permits(&device(99), space, Verb::Read),
            "a stranger"
        );
        let expected = match space {
            Space::Authority => Reason::NotAuthority,
            _ => Reason::UnknownDevice,
        };
        assert_eq!(fold.standing(99, space, log(1)), Standing::None(expected));
    }
    assert_eq!(fold.standing(100, Space::Authority, log(1)), Standing::Full);
    Ok(())
}

#[test]
fn adoptions_policies_and_names_are_kept() -> Folded {
    let mut fold = Fold::new()?;
    fold.add(&Order::Adopt {
        log: log(1),
        from: 2,
        to: position(5),
    })?;
    fold.add(&Order::Adopt {
        log: log(2),
        from: 3,
        to: position(6),
    })?;
    assert_eq!(
        fold.0.adopted(&log(1)).collect::<Vec<_>>(),
        [(2, position(5))]
    );
    fold.add(&Order::Network {
        name: "石榴街道".to_owned(),
        district: "SLJD".to_owned(),
    })?;
    assert_eq!(fold.0.names(), ("石榴街道", "SLJD"));
    Ok(())
}
