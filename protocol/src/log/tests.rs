//! Chains: what holds, and every way in which one must not. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::base32;
use crate::codec::{Reader, Writer};
use crate::hash;
use crate::identity::DeviceKey;
use crate::limits;
use crate::part::Part;
use crate::space::Space;
use crate::testing::{self, change_entry, part_entry, save, signer, site_space, space_id};

type Tested = Result<(), Box<dyn std::error::Error>>;

fn author() -> testing::Author {
    testing::Author::new(space_id(site_space()), 1, 1)
}

/// Genesis and two saves.
fn first_run() -> Run {
    author().push(save(5)).push(save(6)).cut().run().clone()
}

/// Signs the run anew after a change to its headers, links repaired: what a hostile author can do.
fn resigned(mut run: Run, key: u8) -> Run {
    let mut position = run.start;
    for entry in &mut run.entries {
        entry.header.prev = position.head;
        position = Position {
            len: entry.header.seq.saturating_add(1),
            head: entry.header.id().0,
        };
    }
    let space = space_id(site_space());
    run.checkpoint = Checkpoint::sign(&signer(key), &space, &run.log, position, (1, [9; 32]), 3);
    run
}

fn refusal(run: Run) -> Option<ChainError> {
    run.verify(None, 0).err()
}

#[test]
fn a_signed_chain_verifies_piece_by_piece() -> Tested {
    let mut author = author();
    let first = author.push(save(5)).cut();
    let second = author.push(save(6)).push(save(7)).cut();

    let verified = first.run().clone().verify(None, 0)?;
    let again = second
        .run()
        .clone()
        .verify(Some(verified.author()), verified.authority_len())?;

    assert_eq!(verified.ids(), first.ids());
    assert_eq!(again.ids(), second.ids());
    assert_eq!(verified.end(), again.run().start);
    assert_eq!(again.end().len, 7);
    assert_eq!(
        verified.ids().last().map(|id| id.0),
        Some(verified.end().head)
    );
    for (entry, id) in again.run().entries.iter().zip(again.ids()) {
        assert_eq!(entry.header.id(), *id);
    }
    Ok(())
}

#[test]
fn a_tail_with_nothing_in_it_signs_no_entries() {
    let mut author = author();
    author.cut();
    assert!(author.cut().ids().is_empty());
}

#[test]
fn every_flipped_bit_of_a_header_is_refused() -> Tested {
    let run = first_run();
    for at in 0..run.entries.len() {
        let mut writer = Writer::new();
        run.entries[at].header.write(&mut writer);
        let bytes = writer.into_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut reader = Reader::new(&flipped);
            let Ok(header) = Header::read(&mut reader) else {
                continue;
            };
            if reader.finish().is_err() {
                continue;
            }
            let mut run = run.clone();
            run.entries[at].header = header;
            assert!(run.verify(None, 0).is_err(), "entry {at}, bit {bit}");
        }
    }
    Ok(())
}

// rule:payload-fits
#[test]
fn every_flipped_bit_of_a_payload_and_every_other_length_is_refused() {
    let run = first_run();
    for at in 0..run.entries.len() {
        let payload = run.entries[at].payload.clone().unwrap_or_default();
        for bit in 0..payload.len() * 8 {
            let mut flipped = payload.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut run = run.clone();
            run.entries[at].payload = Some(flipped);
            assert!(run.verify(None, 0).is_err(), "entry {at}, bit {bit}");
        }
        for other in [
            &payload[..payload.len() - 1],
            &[payload.as_slice(), &[0]].concat(),
            &[],
        ] {
            let mut run = run.clone();
            run.entries[at].payload = Some(other.to_vec());
            assert!(
                run.verify(None, 0).is_err(),
                "entry {at}, {} bytes",
                other.len()
            );
        }
    }
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_refused() -> Tested {
    let run = first_run();
    let position = Position {
        len: run.checkpoint.len,
        head: run.checkpoint.head,
    };
    let mut writer = Writer::new();
    run.checkpoint.write(&mut writer);
    let bytes = writer.into_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let checkpoint = Checkpoint::read(&mut Reader::new(&flipped), position)?;
        let run = Run {
            checkpoint,
            ..run.clone()
        };
        assert_eq!(refusal(run), Some(ChainError::Signature), "bit {bit}");
    }
    let mut short = run.clone();
    short.checkpoint.len -= 1;
    assert_eq!(refusal(short), Some(ChainError::Signature));
    let mut other = run;
    other.checkpoint.head[0] ^= 1;
    assert_eq!(refusal(other), Some(ChainError::Signature));
    Ok(())
}

#[test]
fn a_missing_payload_is_no_reason_to_refuse_but_a_missing_genesis_is() {
    let mut run = first_run();
    for entry in run.entries.iter_mut().skip(1) {
        entry.payload = None;
    }
    assert_eq!(refusal(run.clone()), None);
    run.entries[0].payload = None;
    assert_eq!(refusal(run), Some(ChainError::Genesis));
}

#[test]
fn gaps_swaps_and_wrong_numbers_are_refused_even_when_signed() {
    let mut gap = first_run();
    gap.entries.remove(2);
    assert_eq!(refusal(gap.clone()), Some(ChainError::Sequence(2)));
    let mut swapped = first_run();
    swapped.entries.swap(2, 3);
    assert_eq!(refusal(swapped), Some(ChainError::Sequence(2)));
    for seq in [0, 1, 3, u64::MAX] {
        let mut wrong = first_run();
        wrong.entries[2].header.seq = seq;
        assert_eq!(
            refusal(resigned(wrong, 1)),
            Some(ChainError::Sequence(2)),
            "{seq}"
        );
    }
    let mut link = first_run();
    link.entries[3].header.prev[31] ^= 1;
    assert_eq!(refusal(link), Some(ChainError::Link(3)));
}

#[test]
fn a_run_at_the_last_possible_place_neither_overflows_nor_verifies_by_accident() {
    let run = first_run();
    let author = run.author().ok();
    let mut last = Run {
        start: Position {
            len: u64::MAX,
            head: [3; 32],
        },
        entries: run.entries[1..3].to_vec(),
        ..run
    };
    for entry in &mut last.entries {
        entry.header.seq = u64::MAX;
    }
    let last = resigned(last, 1);
    assert!(
        last.verify(author, 0).is_ok(),
        "a place like any other: the journal sees a gap"
    );
}

#[test]
fn a_cited_authority_never_shrinks() -> Tested {
    let mut shrunk = first_run();
    shrunk.entries[1].header.authority_len = 9;
    shrunk.entries[2].header.authority_len = 8;
    assert_eq!(
        refusal(resigned(shrunk, 1)),
        Some(ChainError::AuthorityShrank(2))
    );
    let mut author = author();
    author.tail.push_group(save(1), 2 << 16, 2);
    let behind = author.cut().run().clone();
    assert_eq!(
        behind.clone().verify(None, 0).err(),
        Some(ChainError::AuthorityShrank(behind.checkpoint.len)),
        "a checkpoint that cites less than its entries"
    );
    let mut author = self::author();
    let first = author.cut();
    let second = author.push(save(1)).cut().run().clone();
    assert_eq!(
        second.clone().verify(Some(first.author()), 2).err(),
        Some(ChainError::AuthorityShrank(1))
    );
    second.verify(Some(first.author()), 1)?;
    Ok(())
}

#[test]
fn a_run_never_ends_inside_a_save() {
    let mut split = first_run();
    split.entries.truncate(4);
    assert_eq!(refusal(resigned(split, 1)), Some(ChainError::SplitGroup));
}

#[test]
fn a_run_has_1_to_64_entries() -> Tested {
    let mut empty = first_run();
    empty.entries.clear();
    assert_eq!(refusal(empty), Some(ChainError::Count));
    let mut author = author();
    for n in 0..63 {
        author.push(vec![change_entry(&[n])]);
    }
    author.clone().cut().run().clone().verify(None, 0)?;
    author.push(vec![change_entry(&[99])]);
    assert_eq!(refusal(author.cut().run().clone()), Some(ChainError::Count));
    Ok(())
}

#[test]
fn another_signer_space_or_log_is_refused() {
    assert_eq!(
        refusal(resigned(first_run(), 2)),
        Some(ChainError::Signature)
    );
    let mut elsewhere = first_run();
    let end = Position {
        len: elsewhere.checkpoint.len,
        head: elsewhere.checkpoint.head,
    };
    let hub = space_id(Space::Hub);
    elsewhere.checkpoint = Checkpoint::sign(&signer(1), &hub, &elsewhere.log, end, (1, [9; 32]), 3);
    assert_eq!(refusal(elsewhere), Some(ChainError::Signature));
    let other = testing::Author::new(space_id(site_space()), 1, 2).tail.log;
    let mut stolen = first_run();
    stolen.log = other;
    assert!(stolen.clone().verify(None, 0).is_err());
    stolen.start = Position::start(&other);
    assert!(resigned(stolen, 1).verify(None, 0).is_err());
}

#[test]
fn a_log_hangs_on_its_own_id_even_when_its_author_is_known() {
    let mut run = first_run();
    let author = run.author().ok();
    run.start.head = [3; 32];
    let run = resigned(run, 1);
    assert_eq!(run.clone().verify(None, 0).err(), Some(ChainError::Link(0)));
    assert_eq!(run.verify(author, 0).err(), Some(ChainError::Link(0)));
}

// rule:genesis-id rule:genesis-key rule:key-sound
#[test]
fn a_genesis_stands_at_0_and_nowhere_else_and_names_its_log() {
    let space = space_id(site_space());
    let run = first_run();
    let author = run.author().ok();
    // One of another log, in the first place.
    let mut foreign = run.clone();
    let other = testing::genesis(space, &signer(1), 2).encode();
    foreign.entries[0].header.digest = digest(DigestMode::Plain, &other);
    foreign.entries[0].payload = Some(other);
    let foreign = resigned(foreign, 1);
    assert_eq!(
        foreign.clone().verify(None, 0).err(),
        Some(ChainError::Genesis)
    );
    assert_eq!(foreign.verify(author, 0).err(), Some(ChainError::Genesis));
    // The right one, in the second place.
    let mut late = run.clone();
    late.entries[1].header.kind = EntryKind::Genesis;
    assert_eq!(refusal(resigned(late, 1)), Some(ChainError::Genesis));
    // None in the first place.
    let mut none = run.clone();
    none.entries[0].header.kind = EntryKind::Request;
    assert_eq!(
        resigned(none, 1).verify(author, 0).err(),
        Some(ChainError::Genesis)
    );
    // A device key that no signature can be trusted under.
    let weak = Genesis {
        device: DeviceKey([0; 32]),
        ..testing::genesis(space, &signer(1), 1)
    };
    let mut weakly = run;
    weakly.log = weak.log();
    weakly.entries[0].payload = Some(weak.encode());
    assert_eq!(weakly.author().err(), Some(ChainError::Genesis));
}

#[test]
fn a_run_that_begins_later_needs_a_known_author() {
    let mut author = author();
    author.cut();
    let second = author.push(save(1)).cut().run().clone();
    assert_eq!(refusal(second), Some(ChainError::Genesis));
}

#[test]
fn a_genesis_comes_back_and_its_truncations_do_not() -> Tested {
    let plain = testing::genesis(space_id(Space::Hub), &signer(1), 3);
    let reasons = [
        GenesisReason::New,
        GenesisReason::Restore,
        GenesisReason::Clone,
        GenesisReason::Fork,
        GenesisReason::Rotate,
        GenesisReason::Other(5),
        GenesisReason::Other(255),
    ];
    for reason in reasons {
        let position = Position {
            len: 7,
            head: [8; 32],
        };
        let genesis = Genesis {
            previous: Some((LogId([9; 32]), position)),
            reason,
            ..plain.clone()
        };
        let bytes = genesis.encode();
        assert_eq!(Genesis::decode(&bytes)?, genesis);
        assert_eq!(
            genesis.log(),
            plain.log(),
            "what came before does not change the log's id"
        );
        for cut in 0..bytes.len() {
            assert!(Genesis::decode(&bytes[..cut]).is_err());
        }
        assert!(Genesis::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
    Ok(())
}

// rule:newer-kept
#[test]
fn what_a_newer_version_wrote_verifies_and_is_written_back_as_it_came() -> Tested {
    let mut run = first_run();
    let header = &mut run.entries[2].header;
    header.version = 9;
    header.kind = EntryKind::Other(200);
    header.flags = Flags::from_bits(0b1111_0011);
    header.extension = vec![1, 2, 3];
    run.entries[4].header.extension = vec![7; limits::HEADER_EXTENSION_MAX];
    let run = resigned(run, 1);
    let verified = run.clone().verify(None, 0)?;
    for (entry, id) in run.entries.iter().zip(verified.ids()) {
        let mut writer = Writer::new();
        entry.header.write(&mut writer);
        let bytes = writer.into_bytes();
        let mut reader = Reader::new(&bytes);
        let read = Header::read(&mut reader)?;
        reader.finish()?;
        assert_eq!(read, entry.header);
        assert_eq!(read.id(), *id);
    }
    let mut longer = run;
    longer.entries[4].header.extension.push(7);
    let mut writer = Writer::new();
    longer.entries[4].header.write(&mut writer);
    assert!(Header::read(&mut Reader::new(&writer.into_bytes())).is_err());
    Ok(())
}

#[test]
fn flags_and_kinds_keep_every_bit() {
    for bits in 0..=u8::MAX {
        assert_eq!(Flags::from_bits(bits).bits(), bits);
        assert_eq!(EntryKind::of(bits).code(), bits);
    }
    for mode in [DigestMode::Plain, DigestMode::Salted, DigestMode::Change] {
        for (erasable, goes_on) in [(false, false), (true, false), (false, true), (true, true)] {
            let flags = Flags::new(mode, erasable, goes_on);
            assert_eq!(flags.digest_mode(), Some(mode));
            assert_eq!(
                (flags.erasable(), flags.group_goes_on()),
                (erasable, goes_on)
            );
        }
    }
}

// rule:payload-bound
#[test]
fn a_payload_beyond_the_limit_of_its_kind_is_refused_whole_or_absent() {
    let mut author = author();
    let run = author
        .push(vec![part_entry(&vec![1; limits::PART_MAX + 1])])
        .cut()
        .run()
        .clone();
    assert_eq!(refusal(run.clone()), Some(ChainError::Payload(1)));
    let mut absent = run;
    absent.entries[1].payload = None;
    assert_eq!(refusal(absent), Some(ChainError::Payload(1)));
    for (kind, most) in [
        (EntryKind::Change, limits::CHANGE_MAX),
        (EntryKind::Request, limits::PAYLOAD_MAX),
        (EntryKind::Other(200), limits::PAYLOAD_MAX),
    ] {
        let run = |len| {
            let entry = NewEntry::plain(kind, vec![1; len]);
            self::author().push(vec![entry]).cut().run().clone()
        };
        assert_eq!(refusal(run(most)), None, "{kind:?}");
        assert_eq!(refusal(run(most + 1)), Some(ChainError::Payload(1)));
    }
}

// rule:digest-checked
#[test]
fn flags_say_how_a_payload_is_checked_whatever_its_kind_is() {
    let change = testing::change(&[1, 2, 3]);
    for kind in [
        EntryKind::Change,
        EntryKind::Part,
        EntryKind::Request,
        EntryKind::Other(200),
    ] {
        for mode in [DigestMode::Plain, DigestMode::Salted, DigestMode::Change] {
            let entry = NewEntry {
                kind,
                digest: mode,
                erasable: false,
                record: RecordId::NONE,
                payload: change.clone(),
            };
            let run = author().push(vec![entry]).cut().run().clone();
            assert_eq!(refusal(run.clone()), None, "{kind:?} {mode:?}");
            for other in [DigestMode::Plain, DigestMode::Salted, DigestMode::Change] {
                let mut wrong = run.clone();
                wrong.entries[1].header.flags = Flags::new(other, false, false);
                let refused = refusal(resigned(wrong, 1)).is_some();
                assert_eq!(refused, other != mode, "{kind:?}: {mode:?} as {other:?}");
            }
        }
    }
}

// rule:verdict-alike
#[test]
fn which_orders_a_log_was_begun_under_does_not_depend_on_where_its_runs_end() -> Tested {
    let mut author = author();
    let alone = author.clone().cut();
    author.push(save(5));
    let joined = author
        .tail
        .sign(&author.signer, (7, [8; 32]), 3 << 16)
        .run()
        .clone()
        .verify(None, 0)?;
    assert_ne!(
        alone.run().checkpoint.authority_len,
        joined.run().checkpoint.authority_len
    );
    assert_eq!(alone.first(), Some((1, [9; 32])));
    assert_eq!(joined.first(), alone.first());
    Ok(())
}

// rule:erase-payload
#[test]
fn an_erased_part_leaves_its_header_and_neither_salt_nor_words() -> Tested {
    let (salt, words) = ([0xa5; 16], "路灯不亮");
    let part = Part {
        salt,
        texts: [("body".to_owned(), words.to_owned())].into(),
    };
    let run = author()
        .push(vec![part_entry(&part.encode()), change_entry(&[1])])
        .cut()
        .run()
        .clone();
    let mut erased = run.clone();
    erased.entries[1].payload = None;
    let verified = erased.clone().verify(None, 0)?;
    assert_eq!(verified.ids(), run.clone().verify(None, 0)?.ids());
    let held = |run: &Run, bytes: &[u8]| {
        let mut writer = Writer::new();
        for entry in &run.entries {
            entry.header.write(&mut writer);
            writer.fixed(entry.payload.as_deref().unwrap_or_default());
        }
        let all = writer.into_bytes();
        all.windows(bytes.len()).any(|window| window == bytes)
    };
    for secret in [&salt[..], words.as_bytes()] {
        assert!(held(&run, secret));
        assert!(!held(&erased, secret));
    }
    Ok(())
}

#[test]
fn a_change_without_its_magic_fits_nothing() {
    let short = change_entry(&[]).payload;
    let mut run = author().push(vec![change_entry(&[])]).cut().run().clone();
    assert!(run.entries[1].header.fits(&short));
    run.entries[1].header.payload_len = 3;
    assert!(!run.entries[1].header.fits(&[1, 2, 3]));
}

// ---- forks ----

/// Two branches that part after the first save.
fn fork() -> ForkProof {
    let mut author = author();
    let first = author.push(save(5)).cut();
    let branch = |author: &mut testing::Author, n| {
        let run = author.push(save(n)).push(save(n)).cut();
        testing::branch(run.run())
    };
    let mut branches = [branch(&mut author.clone(), 6), branch(&mut author, 7)];
    branches.sort_by_key(|branch| branch.headers[0].id());
    ForkProof {
        author: first.author(),
        log: first.run().log,
        branches,
    }
}

#[test]
fn a_fork_proof_gives_its_place_and_comes_back() -> Tested {
    let proof = fork();
    assert_eq!(proof.seq(), Some(3));
    let mut writer = Writer::new();
    proof.write(&mut writer);
    let bytes = writer.into_bytes();
    let mut reader = Reader::new(&bytes);
    assert_eq!(ForkProof::read(&mut reader)?, proof);
    reader.finish()?;
    for cut in 0..bytes.len() {
        assert!(ForkProof::read(&mut Reader::new(&bytes[..cut])).is_err());
    }
    for bit in (0..bytes.len() * 8).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = ForkProof::read(&mut Reader::new(&flipped));
        assert!(!read.is_ok_and(|proof| proof.seq().is_some()), "bit {bit}");
    }
    Ok(())
}

#[test]
fn a_forged_fork_proof_gives_nothing() {
    let real = fork();
    let check = |what: &str, change: &dyn Fn(&mut ForkProof)| {
        let mut proof = real.clone();
        change(&mut proof);
        assert_eq!(proof.seq(), None, "{what}");
    };
    check("one branch twice", &|proof| {
        proof.branches[1] = proof.branches[0].clone();
    });
    check("the wrong order", &|proof| proof.branches.swap(0, 1));
    check("not signed", &|proof| {
        proof.branches[1].checkpoint.signature = [0; 64];
    });
    check("of another device", &|proof| {
        proof.author.device = signer(2).public();
    });
    check("of another log", &|proof| proof.log = LogId([1; 32]));
    check("of another space", &|proof| {
        proof.author.space = space_id(Space::Hub);
    });
    check("a branch without headers", &|proof| {
        proof.branches[0].headers.clear();
    });
    check("a header left out", &|proof| {
        proof.branches[0].headers.remove(1);
    });
    check("headers past the checkpoint", &|proof| {
        proof.branches[0].headers.pop();
    });
    check("after different entries", &|proof| {
        for branch in &mut proof.branches {
            branch.headers.remove(0);
        }
        proof.branches.sort_by_key(|branch| branch.headers[0].id());
    });
}

#[test]
fn branches_at_different_places_prove_nothing() {
    let mut author = author();
    let first = author.cut();
    let mut branches = [4, 5].map(|n| {
        let run = author.push(save(n)).cut();
        testing::branch(run.run())
    });
    branches.sort_by_key(|branch| branch.headers[0].id());
    let proof = ForkProof {
        author: first.author(),
        log: first.run().log,
        branches,
    };
    assert_eq!(proof.seq(), None);
}

#[test]
fn a_fork_at_the_very_beginning_is_one() {
    let run = |reason| {
        let space = space_id(site_space());
        let genesis = Genesis {
            reason,
            ..testing::genesis(space, &signer(1), 1)
        };
        let run = Tail::begin(&genesis, 1, 0).sign(&signer(1), (0, [0; 32]), 1);
        run.run().clone()
    };
    let (left, right) = (run(GenesisReason::New), run(GenesisReason::Clone));
    assert_eq!(left.log, right.log);
    let mut branches = [&left, &right].map(testing::branch);
    branches.sort_by_key(|branch| branch.headers[0].id());
    let Ok(author) = left.author() else {
        panic!("a genesis that names its log")
    };
    let proof = ForkProof {
        author,
        log: left.log,
        branches,
    };
    assert_eq!(proof.seq(), Some(0));
}

#[test]
fn record_ids_are_uuids_of_version_7() {
    let log = |n: u8| LogId([n; 32]);
    let id = RecordId::founded(1_700_000_000_000, &log(1), 0);
    assert_eq!(RecordId::parse(&id.hyphenated()), Some(id));
    assert_eq!((id.0[6] >> 4, id.0[8] >> 6), (7, 2));
    assert_eq!(RecordId::parse("not one"), None);
    let later = RecordId::founded(1_700_000_000_001, &log(2), 9);
    assert!(id < later, "by time, whatever the place");
    // The random bits are the place's, whatever the time.
    assert!(later.is_founded_at(&log(2), 9) && !later.is_founded_at(&log(2), 8));
    assert!(!later.is_founded_at(&log(1), 9));
    let again = RecordId::founded(5, &log(2), 9);
    assert_eq!(
        (again.0[6..].to_vec(), again.is_founded_at(&log(2), 9)),
        (later.0[6..].to_vec(), true)
    );
    let mut other = later;
    other.0[15] ^= 1;
    assert!(!other.is_founded_at(&log(2), 9));
}

// rule:query-code
#[test]
fn a_query_code_follows_from_the_id_and_from_nothing_else() {
    let code = RecordId([7; 16]).query_code();
    let hash = hash::QUERY_CODE.hash(&[&[7; 16]]);
    assert_eq!(base32::decode(code.chars()).as_deref(), hash.get(..5));
    assert_ne!(code, RecordId([8; 16]).query_code());
}
