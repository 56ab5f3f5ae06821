//! Packing and unpacking, and hostile batches. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::identity::Signer;
use crate::log::{Author, DigestMode, NewEntry, Tail};
use crate::testing::{self, Random, change, change_entry, part_entry, save, site_space, space_id};

type Tested = Result<(), Box<dyn std::error::Error>>;

/// A signed run of all that a log may hold: known and unknown kinds, headers of newer versions,
/// payloads that were left out.
fn random_run(random: &mut Random) -> (Run, Author) {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    if random.one_in(2) {
        author.push(save(1)).cut();
    }
    for _ in 0..=random.below(20) {
        let len = random.below(300);
        let payload = random.bytes(len);
        let (kind, mode) = match random.below(6) {
            0 | 1 => (EntryKind::Part, DigestMode::Salted),
            2 | 3 => (EntryKind::Change, DigestMode::Change),
            4 => (EntryKind::Request, DigestMode::Plain),
            _ => (
                EntryKind::of(100 + random.below(100) as u8),
                DigestMode::Salted,
            ),
        };
        let payload = if mode == DigestMode::Change {
            change(&payload)
        } else {
            payload
        };
        let record = RecordId([random.below(4) as u8; 16]);
        let erasable = random.one_in(2);
        let entry = NewEntry {
            kind,
            digest: mode,
            erasable,
            record,
            payload,
        };
        author
            .tail
            .push_group(vec![entry], random.next(), 1 + random.below(9) as u32);
    }
    let mut entries = author.tail.entries.clone();
    for entry in &mut entries {
        if entry.header.seq > 0 && random.one_in(6) {
            entry.header.version = random.below(3) as u8;
            let len = random.below(9);
            entry.header.extension = random.bytes(len);
        }
        if entry.header.seq > 0 && random.one_in(9) {
            entry.header.flags = Flags::from_bits(entry.header.flags.bits() | 0b0011_0011);
        }
        if entry.header.seq > 0 && random.one_in(6) {
            entry.payload = None;
        }
    }
    (
        signed(&author.tail, entries, &author.signer),
        author.tail.author,
    )
}

/// Signs the entries anew, links repaired, authority in ascending order.
fn signed(tail: &Tail, mut entries: Vec<Entry>, signer: &Signer) -> Run {
    let mut end = tail.start;
    let mut floor = 1;
    for entry in &mut entries {
        floor = entry.header.authority_len.max(floor);
        entry.header.authority_len = floor;
        entry.header.prev = end.head;
        end = Position {
            len: end.len + 1,
            head: entry.header.id().0,
        };
    }
    let tail = Tail {
        entries,
        end,
        ..tail.clone()
    };
    tail.sign(signer, (floor, [9; 32]), 77).run().clone()
}

fn verified(run: Run, author: Author) -> bool {
    run.verify(Some(author), 0).is_ok()
}

fn section(packed: &Packed) -> Parts<'_> {
    Parts::Section(&packed.parts)
}

#[test]
fn any_run_comes_back_as_it_was_and_verifies() -> Tested {
    let mut random = Random(2);
    for round in 0..300 {
        let (run, author) = random_run(&mut random);
        let packed = pack(&run);
        assert_eq!(usize::from(packed.count), run.entries.len());
        let back = unpack(&run.log, run.start, &packed.main, section(&packed))?;
        assert_eq!(back, run, "round {round}");
        assert!(verified(back, author), "round {round}");
    }
    Ok(())
}

#[test]
fn parts_can_be_left_out_erased_or_come_from_rows() -> Tested {
    let mut random = Random(3);
    for round in 0..300 {
        let (run, author) = random_run(&mut random);
        let stored = if random.one_in(2) {
            pack(&run).main
        } else {
            pack_main(&run)
        };
        let is_part = |entry: &&Entry| entry.header.kind == EntryKind::Part;
        let rows: Vec<_> = run
            .entries
            .iter()
            .filter(is_part)
            .map(|it| it.payload.clone())
            .collect();
        let back = unpack(&run.log, run.start, &stored, Parts::Rows(rows.clone()))?;
        assert_eq!(back, run, "round {round}");

        let kept: Vec<_> = rows
            .into_iter()
            .map(|row| row.filter(|_| random.one_in(2)))
            .collect();
        let mut expected = run.clone();
        let parts = expected
            .entries
            .iter_mut()
            .filter(|entry| entry.header.kind == EntryKind::Part);
        for (entry, row) in parts.zip(&kept) {
            entry.payload.clone_from(row);
        }
        let back = unpack(&run.log, run.start, &stored, Parts::Rows(kept))?;
        assert_eq!(back, expected, "round {round}");
        assert!(
            verified(back, author),
            "what was erased changes no signature"
        );

        let bare = unpack(&run.log, run.start, &stored, Parts::LeftOut)?;
        assert!(
            bare.entries
                .iter()
                .filter(is_part)
                .all(|entry| entry.payload.is_none())
        );
        assert!(verified(bare, author));
    }
    Ok(())
}

#[test]
fn a_row_of_another_part_does_not_verify() -> Tested {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let run = author.push(save(1)).push(save(2)).cut();
    let main = pack_main(run.run());
    let rows = vec![Some(vec![2; 40]), Some(vec![1; 40])];
    let back = unpack(&run.run().log, run.run().start, &main, Parts::Rows(rows))?;
    assert!(!verified(back, run.author()));
    Ok(())
}

/// Whatever comes out of hostile bytes is an error, does not verify, or is the run itself: a payload
/// may be missing, or be another where its digest is of a newer way; nothing panics.
fn harmless(run: &Run, author: Author, main: &[u8], parts: &[u8], what: &str) {
    let Ok(mut got) = unpack(&run.log, run.start, main, Parts::Section(parts)) else {
        return;
    };
    if !verified(got.clone(), author) {
        return;
    }
    for (got, entry) in got.entries.iter_mut().zip(&run.entries) {
        if got.payload.is_none() || entry.header.flags.digest_mode().is_none() {
            got.payload.clone_from(&entry.payload);
        }
    }
    assert_eq!(got, *run, "{what}");
}

#[test]
fn every_truncation_and_every_trailing_byte_is_refused() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified_run = author.push(save(1)).push(save(2)).cut();
    let run = verified_run.run();
    let packed = pack(run);
    let refused = |main: &[u8], parts: &[u8]| {
        unpack(&run.log, run.start, main, Parts::Section(parts)).is_err()
    };
    for cut in 0..packed.main.len() {
        assert!(
            refused(&packed.main[..cut], &packed.parts),
            "main cut at {cut}"
        );
    }
    for cut in 0..packed.parts.len() {
        assert!(
            refused(&packed.main, &packed.parts[..cut]),
            "parts cut at {cut}"
        );
    }
    let empty_frame = compress(&[]);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for tail in [&[0][..], &empty_frame, &skippable] {
        let (main, parts) = (
            [&packed.main, tail].concat(),
            [&packed.parts, tail].concat(),
        );
        assert!(refused(&main, &packed.parts), "behind main: {tail:?}");
        assert!(refused(&packed.main, &parts), "behind the parts: {tail:?}");
    }
    let without = author.push(vec![change_entry(&[1])]).cut().run().clone();
    let packed = pack(&without);
    for parts in [&empty_frame, &skippable, &compress(&[7])] {
        let parts = Parts::Section(parts);
        assert!(unpack(&without.log, without.start, &packed.main, parts).is_err());
    }
    // The same, inside the frames.
    let plain = main_section(run, false);
    for cut in 0..plain.len() {
        assert!(
            refused(&compress(&plain[..cut]), &pack(run).parts),
            "plain cut at {cut}"
        );
    }
    assert!(refused(
        &compress(&[plain.as_slice(), &[0]].concat()),
        &pack(run).parts
    ));
}

#[test]
fn no_mutation_of_the_bytes_or_of_what_they_compress_does_harm() {
    let mut random = Random(4);
    let runs: Vec<_> = (0..20).map(|_| random_run(&mut random)).collect();
    for round in 0..20_000 {
        let (run, author) = &runs[random.below(runs.len())];
        let packed = pack(run);
        let mut main = packed.main.clone();
        let mut parts = packed.parts.clone();
        let mutate = |random: &mut Random, bytes: &mut Vec<u8>| {
            for _ in 0..=random.below(3) {
                if bytes.is_empty() {
                    return;
                }
                let at = random.below(bytes.len());
                match random.below(4) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes[at] = random.next() as u8,
                    2 => bytes.insert(at, random.next() as u8),
                    _ => {
                        bytes.remove(at);
                    }
                }
            }
        };
        match random.below(3) {
            0 => mutate(&mut random, &mut main),
            1 if !parts.is_empty() => mutate(&mut random, &mut parts),
            _ => {
                let mut plain = main_section(run, false);
                mutate(&mut random, &mut plain);
                main = compress(&plain);
            }
        }
        harmless(run, *author, &main, &parts, &format!("round {round}"));
    }
}

/// As small as zstd makes it.
fn squeezed(bytes: &[u8]) -> Vec<u8> {
    let compressor = Compressor::new(LEVEL).ok();
    let packed = compressor.and_then(|mut it| it.compress(bytes).ok());
    packed.unwrap_or_default()
}

#[test]
fn a_section_that_unpacks_to_much_more_than_it_is_worth_is_refused_before_it_is_hashed() {
    let run = testing::Author::new(space_id(site_space()), 1, 1)
        .push(vec![change_entry(&[7; 60_000])])
        .cut();
    let (log, start) = (run.run().log, run.run().start);
    let main = squeezed(&main_section(run.run(), false));
    assert!(
        main.len() * limits::BATCH_RATIO_MAX < 60_000,
        "{}",
        main.len()
    );
    let refused = unpack(&log, start, &main, Parts::Section(&[]));
    assert_eq!(refused.err(), Some(UnpackError::Compression));
    let main = pack(run.run()).main;
    assert!(unpack(&log, start, &main, Parts::Section(&[])).is_ok());
}

#[test]
fn whatever_an_honest_device_writes_can_be_sent_and_read() -> Tested {
    let empty: Vec<_> = (0..62).map(|_| change_entry(&[1])).collect();
    let letter: Vec<_> = (0..5).map(|n| part_entry(&[n; limits::PART_MAX])).collect();
    let table = "　　　　　　　　\n".repeat(2_000);
    let blank = vec![part_entry(table.as_bytes()), change_entry(&[2; 9])];
    let long = vec![change_entry(&[0; limits::CHANGE_DEFAULT_MAX - 8])];
    for group in [empty, letter, blank, long] {
        let mut author = testing::Author::new(space_id(site_space()), 1, 1);
        let run = author.push(group).cut();
        let packed = pack(run.run());
        for section in [&packed.main, &packed.parts] {
            assert!(section.len() <= limits::BATCH_COMPRESSED_MAX);
        }
        let author = author.tail.author;
        let back = unpack(
            &run.run().log,
            run.run().start,
            &packed.main,
            section(&packed),
        )?;
        assert_eq!(&back, run.run());
        assert!(verified(back, author));
    }
    Ok(())
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let log = testing::Author::new(space_id(site_space()), 1, 1).tail.log;
    let start = Position::start(&log);
    // Says 2^62 bytes: magic, descriptor for an 8-byte size in a single segment, size.
    let mut claims = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
    claims.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    claims.extend_from_slice(&[1, 0, 0]);
    // Does not say its size: no single segment, no size field.
    let silent = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, 1, 0, 0];
    // Says little and is much: the size of a real bomb, rewritten.
    let bomb = squeezed(&vec![0; limits::BATCH_DECOMPRESSED_MAX + 1]);
    assert!(bomb.len() < 1024);
    let fits = compress(&vec![0; limits::BATCH_DECOMPRESSED_MAX]);
    let mut lies = bomb.clone();
    assert_eq!(
        lies[4] & 0b1110_0000,
        0b1010_0000,
        "a size of four bytes, single segment"
    );
    lies[5..9].copy_from_slice(&1_000_u32.to_le_bytes());
    for bytes in [&claims[..], &silent, &bomb, &lies] {
        assert_eq!(
            unpack(&log, start, bytes, Parts::LeftOut).err(),
            Some(UnpackError::Compression)
        );
    }
    assert!(matches!(
        unpack(&log, start, &fits, Parts::LeftOut).err(),
        Some(UnpackError::Layout(_))
    ));
    let run = testing::Author::new(space_id(site_space()), 1, 1)
        .push(save(1))
        .cut();
    let main = pack(run.run()).main;
    for bytes in [&claims[..], &silent, &bomb, &lies] {
        assert_eq!(
            unpack(&log, start, &main, Parts::Section(bytes)).err(),
            Some(UnpackError::Compression)
        );
    }
}

/// The plain first section of a run, with the form of entry 1 replaced and bytes put in its place.
fn with_form(run: &Run, form: u8) -> Vec<u8> {
    let mut plain = main_section(run, false);
    let count = run.entries.len();
    plain[2 + 2 * count + 1] = form;
    plain
}

#[test]
fn a_part_never_hides_in_the_section_that_a_store_keeps() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified_run = author.push(vec![part_entry(&[4; 30])]).cut();
    let run = verified_run.run();
    let plain = with_form(run, WHOLE);
    // Take the digest out that stands there for a part beside, put the payload before the checkpoint.
    let digest = run.entries[1].header.digest;
    let at = plain
        .windows(32)
        .position(|window| window == digest)
        .unwrap_or(0);
    let mut hidden = [&plain[..at], &plain[at + 32..]].concat();
    let before_checkpoint = hidden.len() - (4 + 8 + 32 + 64);
    hidden.splice(before_checkpoint..before_checkpoint, [4; 30]);
    let got = unpack(&run.log, run.start, &compress(&hidden), Parts::LeftOut);
    let error = got.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("does not stand beside"), "{error}");
}

#[test]
fn unknown_layouts_forms_and_counts_are_refused() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified_run = author.push(save(1)).cut();
    let run = verified_run.run();
    let refused = |plain: &[u8]| {
        let got = unpack(&run.log, run.start, &compress(plain), Parts::LeftOut);
        matches!(got, Err(UnpackError::Layout(_)))
    };
    let plain = main_section(run, false);
    for (at, value) in [(0, 2), (1, 0), (1, 65), (1, 0x80)] {
        let mut other = plain.clone();
        other[at] = value;
        assert!(refused(&other), "{value} at {at}");
    }
    for form in [4, 5, 0x7f, FOREIGN | 9] {
        assert!(refused(&with_form(run, form)), "form {form}");
    }
    let mut early = plain;
    let first_index = 2 + 3 * run.entries.len();
    early[first_index] = 1;
    assert!(refused(&early), "a record index before its record");
}

#[test]
fn changes_travel_without_what_the_reader_can_compute() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    author.cut();
    let mut random = Random(5);
    for _ in 0..60 {
        author.push(vec![change_entry(&random.bytes(100))]);
    }
    let packed = pack(author.cut().run());
    assert!(
        packed.main.len() < 60 * 110 + 200,
        "{} bytes",
        packed.main.len()
    );
}
