//! Orders, folding and rights. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::testing::{Random, network, signer, site_space, space_id};

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
    }
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
    let signature = signer(new).sign(&hash::ROTATION, &[&network().0, &device(old).0]);
    Order::Rotate {
        old: device(old),
        new: device(new),
        signature,
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
    everything.scopes.push(Scope {
        spaces: Spaces::One(Space::Hub),
        read: false,
        write: true,
    });
    vec![
        certificate(1, 100),
        certificate(2, 100),
        Order::Network {
            name: "石榴街道".to_owned(),
            district: "SLJD".to_owned(),
        },
        site(SITE, "EM1"),
        Order::Grant(everything),
        Order::Grant(grant(4, 2, Role::Courier, "EM1B")),
        revoke(
            1,
            vec![
                Cut {
                    log: log(1),
                    position: position(3)
                };
                3
            ],
        ),
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
            proof: [5; 32],
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
    assert_eq!(Order::decode(&[13, 1, 2, 3])?, Order::Unknown(13));
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
fn the_largest_revocation_fits_a_payload() -> Tested {
    let cut = Cut {
        log: log(1),
        position: position(3),
    };
    let bytes = revoke(1, vec![cut; limits::CUTS_MAX]).encode();
    assert!(bytes.len() <= limits::PAYLOAD_MAX);
    assert!(Order::decode(&bytes).is_ok());
    let bytes = revoke(1, vec![cut; limits::CUTS_MAX + 1]).encode();
    assert!(Order::decode(&bytes).is_err());
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
    let newer = Reason::Other(8);
    assert_eq!(
        (Reason::of(8), newer.code(), newer.word()),
        (Some(newer), 8, "newer_version")
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

    fn standing(&self, n: u8, space: Space, log: LogId) -> Standing {
        self.0.standing(
            &log,
            &Author {
                space: space_id(space),
                device: device(n),
            },
        )
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
        fold.add(&certificate(2, 100)),
        Err(OrderError::NotCertified)
    );
    fold.add(&certificate(1, 100))?;
    fold.add(&site(SITE, "EM1"))?;
    assert_eq!(
        fold.by(101, &site(OTHER, "EM2")),
        Err(OrderError::NotCertified)
    );
    assert_eq!(
        fold.0.cited().0,
        7,
        "what has no effect is counted all the same"
    );
    assert_eq!(fold.0.without_effect(), 5);
    assert_eq!(fold.0.sites().len(), 1);
    Ok(())
}

#[test]
fn certificates_follow_one_by_one_and_the_old_log_keeps_what_is_trusted() -> Folded {
    let mut fold = Fold::new()?;
    assert_eq!(fold.standing(100, Space::Authority, log(1)), Standing::Full);
    for version in [0, 1, 3] {
        let refused = fold.by(101, &certificate(version, 101));
        assert_eq!(refused, Err(OrderError::NotCertified), "{version} after 1");
    }
    fold.by(101, &certificate(2, 101))?;
    assert_eq!(
        fold.add(&site(OTHER, "EM2")),
        Err(OrderError::NotCertified),
        "the old key"
    );
    fold.by(101, &site(OTHER, "EM2"))?;
    assert_eq!(fold.0.key(), Some(device(101)));
    assert_eq!(fold.standing(101, Space::Authority, log(2)), Standing::Full);
    assert_eq!(
        fold.standing(100, Space::Authority, log(1)),
        Standing::UpTo(position(9))
    );
    let none = Standing::None(Reason::NotAuthority);
    assert_eq!(
        fold.standing(100, Space::Authority, log(3)),
        none,
        "another log of the old key"
    );
    assert_eq!(
        fold.by(100, &certificate(1, 100)),
        Err(OrderError::NotCertified),
        "rolled back"
    );
    Ok(())
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
fn revocation_names_cuts_and_all_else_of_the_device_counts_for_nothing() -> Folded {
    let mut fold = Fold::new()?;
    fold.contradicts(&revoke(1, Vec::new()));
    fold.grant(1, Role::Station)?;
    assert_eq!(fold.standing(1, site_space(), log(1)), Standing::Full);
    fold.add(&revoke(
        1,
        vec![Cut {
            log: log(1),
            position: position(3),
        }],
    ))?;
    assert_eq!(
        fold.standing(1, site_space(), log(1)),
        Standing::UpTo(position(3))
    );
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
        Standing::Full,
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
fn a_rotated_key_is_followed_by_its_successor() -> Folded {
    let mut fold = Fold::new()?;
    fold.grant(1, Role::Station)?;
    fold.grant(2, Role::Operator)?;
    let forged = Order::Rotate {
        old: device(1),
        new: device(3),
        signature: [1; 64],
    };
    fold.contradicts(&forged);
    let of_another_network = Order::Rotate {
        old: device(1),
        new: device(3),
        signature: signer(3).sign(&hash::ROTATION, &[&[0; 32], &device(1).0]),
    };
    fold.contradicts(&of_another_network);
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
        Standing::Full,
        "what it wrote counts"
    );
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
