//! Packing and unpacking, and hostile batches. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use zstd::bulk::Compressor;

use super::columns::{BESIDE, FOREIGN, Section, WHOLE, lay_out};
use super::frame::{LEVEL, close, compress};
use super::*;
use crate::document::{Document, Edit, NewEvent, Scalar};
use crate::identity::Signer;
use crate::limits;
use crate::log::{Author, DigestMode, Entry, Flags, NewEntry, Tail};
use crate::part::{Part, reference};
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
        let noise = random.bytes(len);
        let (kind, mode) = match random.below(6) {
            0 | 1 => (EntryKind::Part, DigestMode::Salted),
            2 | 3 => (EntryKind::Change, DigestMode::Change),
            4 => (EntryKind::Request, DigestMode::Plain),
            _ => (
                EntryKind::of(100 + random.below(100) as u8),
                DigestMode::Salted,
            ),
        };
        let payload = match mode {
            DigestMode::Change if random.one_in(3) || author.tail.entries.is_empty() => {
                change(&noise)
            }
            DigestMode::Change => change(&chunk(random, &author.tail)),
            DigestMode::Salted if random.one_in(2) => texts(random).encode(),
            DigestMode::Salted | DigestMode::Plain => noise,
        };
        let place = random.below(9) as u64;
        let record = match random.below(4) {
            0 => RecordId::founded(random.next(), &author.tail.log, author.tail.end.len),
            1 => RecordId::founded(random.next(), &author.tail.log, place),
            _ => RecordId([random.below(4) as u8; 16]),
        };
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

/// A chunk from its type byte on, as a hostile writer may choose it: of the usual form, or short of it in one place.
fn chunk(random: &mut Random, tail: &Tail) -> Vec<u8> {
    let mut content = Writer::new();
    let deps = match random.below(20) {
        0 => 60 + random.below(10),
        _ => random.below(3),
    };
    content.varint(deps as u64);
    for _ in 0..deps {
        let known = &tail.entries[random.below(tail.entries.len())].header;
        let unknown = random.bytes(32);
        content.fixed(if random.one_in(2) {
            &known.digest
        } else {
            &unknown
        });
    }
    let actor = tail.log.actor();
    let another = [1; 16];
    let odd = |random: &mut Random| random.one_in(12);
    content
        .varint(16)
        .fixed(if odd(random) { &another } else { &actor });
    content.varint(random.next() >> random.below(64));
    content.varint(random.next() >> random.below(64));
    content.u8(u8::from(odd(random)));
    content.u8(u8::from(odd(random)));
    let others = if odd(random) { 70 } else { random.below(3) };
    content.varint(others as u64);
    for _ in 0..others {
        content.varint(16).fixed(&random.bytes(16));
    }
    for _ in 0..random.below(6) {
        let len = random.below(20);
        content.fixed(&random.bytes(len));
        let entry = &tail.entries[random.below(tail.entries.len())].header;
        match random.below(3) {
            0 => content.fixed(crate::document::event_prefix(&actor).as_bytes()),
            1 => content.fixed(&entry.digest[..16]),
            _ => content.fixed(&entry.digest[..15]),
        };
    }
    let content = content.into_bytes();
    let mut whole = Writer::new();
    whole.u8(if odd(random) { 2 } else { 1 });
    if odd(random) {
        // More than the shortest form of the length.
        whole.u8(content.len() as u8 | 0x80).u8(0);
    } else {
        whole.varint(content.len() as u64);
    }
    whole.fixed(&content);
    whole.into_bytes()
}

/// Texts of any characters.
fn texts(random: &mut Random) -> Part {
    let mut text = |most: usize| -> String {
        let len = random.below(most);
        let any = (0..len).map(|_| match random.below(4) {
            0 => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('\u{10ffff}'),
            1 => char::from(b'0' + random.below(10) as u8),
            _ => char::from_u32(0x4e00 + random.below(3_000) as u32).unwrap_or('人'),
        });
        any.collect()
    };
    let mut texts: Vec<_> = (0..3).map(|_| (text(6), text(40))).collect();
    texts.truncate(random.below(4));
    Part {
        salt: [random.next() as u8; 16],
        texts: texts.into_iter().collect(),
    }
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

/// As a store keeps it.
fn kept(run: &Run) -> Vec<u8> {
    stored(run, &pack_main(run, &|_| None))
}

/// The first section before it is packed.
fn laid_out(run: &Run) -> Section {
    lay_out(run, Options::default())
}

/// A first section with these plain bytes.
fn with_plain(section: &Section, plain: &[u8]) -> Vec<u8> {
    close(&section.raw, &[plain])
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
        opens_alike(&run, author, &packed.main, &packed.parts);
    }
    Ok(())
}

/// What is hashed once is judged as what is hashed twice.
fn opens_alike(run: &Run, author: Author, main: &[u8], parts: &[u8]) {
    let packed = Packed {
        count: 0,
        main: main.to_vec(),
        parts: parts.to_vec(),
    };
    let said = |run: VerifiedRun| (run.run().clone(), run.ids().to_vec());
    let once = open(&run.log, run.start, &packed, Some(author)).map(said);
    let twice = unpack(&run.log, run.start, main, Parts::Section(parts))
        .map_err(OpenError::from)
        .and_then(|run| Ok(run.verify(Some(author), 0)?));
    assert_eq!(once, twice.map(said));
}

#[test]
fn a_change_that_came_whole_is_checked_to_its_first_byte() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified = author.push(vec![change_entry(&[1])]).cut();
    let (run, by) = (verified.run(), verified.author());
    for at in 0..8 {
        let mut spoilt = run.clone();
        for payload in spoilt
            .entries
            .iter_mut()
            .filter_map(|it| it.payload.as_mut())
        {
            if let Some(byte) = payload.get_mut(at) {
                *byte ^= 1;
            }
        }
        let packed = pack(&spoilt);
        let opened = open(&run.log, run.start, &packed, None);
        let refused = matches!(opened, Err(OpenError::Chain(_)));
        assert!(refused, "{at}: {opened:?}");
        opens_alike(run, by, &packed.main, &packed.parts);
    }
}

#[test]
fn parts_can_be_left_out_erased_or_come_from_rows() -> Tested {
    let mut random = Random(3);
    for round in 0..300 {
        let (run, author) = random_run(&mut random);
        let stored = if random.one_in(2) {
            stored(&run, &pack(&run).main)
        } else {
            kept(&run)
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
    let main = kept(run.run());
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
    opens_alike(run, author, main, parts);
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
    let empty_section = close(&[], &[&[]]);
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
    for parts in [
        &empty_frame,
        &skippable,
        &compress(&[7]),
        &empty_section,
        &close(&[], &[&[7]]),
    ] {
        let parts = Parts::Section(parts);
        assert!(unpack(&without.log, without.start, &packed.main, parts).is_err());
    }
    // The same, inside the frames.
    let laid = laid_out(run);
    let parts = pack(run).parts;
    for cut in 0..laid.plain.len() {
        let main = with_plain(&laid, &laid.plain[..cut]);
        assert!(refused(&main, &parts), "plain cut at {cut}");
    }
    let longer = [laid.plain.as_slice(), &[0]].concat();
    assert!(refused(&with_plain(&laid, &longer), &parts));
    for cut in 0..laid.raw.len() {
        let main = close(&laid.raw[..cut], &[&laid.plain]);
        assert!(refused(&main, &parts), "raw cut at {cut}");
    }
    let longer = [laid.raw.as_slice(), &[0]].concat();
    assert!(refused(&close(&longer, &[&laid.plain]), &parts));
    assert!(refused(
        &close(&laid.raw, &[&laid.plain, &laid.plain]),
        &parts
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
                let mut laid = laid_out(run);
                let spoilt = if random.one_in(4) {
                    &mut laid.raw
                } else {
                    &mut laid.plain
                };
                mutate(&mut random, spoilt);
                main = laid.close();
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

// rule:batch-bounds
#[test]
fn a_section_that_unpacks_to_much_more_than_it_is_worth_is_refused_before_it_is_hashed() {
    let run = testing::Author::new(space_id(site_space()), 1, 1)
        .push(vec![change_entry(&[7; 60_000])])
        .cut();
    let (log, start) = (run.run().log, run.run().start);
    let laid = laid_out(run.run());
    let mut main = close(&laid.raw, &[]);
    main.extend(squeezed(&laid.plain));
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

// rule:batch-ratio-written
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

// rule:batch-bounds
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
    let section = |frame: &[u8]| [&[0], frame].concat();
    let (claims, silent) = (section(&claims), section(&silent));
    let (bomb, fits, lies) = (section(&bomb), section(&fits), section(&lies));
    for bytes in [&claims[..], &silent, &bomb, &lies] {
        assert_eq!(
            unpack(&log, start, bytes, Parts::Section(&[])).err(),
            Some(UnpackError::Compression)
        );
    }
    assert!(matches!(
        unpack(&log, start, &fits, Parts::Section(&[])).err(),
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

/// The first section of a run, with the form of entry 1 replaced.
fn with_form(run: &Run, form: u8) -> Vec<u8> {
    let mut laid = laid_out(run);
    let count = run.entries.len();
    laid.plain[2 + 2 * count + 1] = form;
    laid.close()
}

#[test]
fn a_part_never_hides_in_the_section_that_a_store_keeps() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified_run = author.push(vec![part_entry(&[4; 30])]).cut();
    let run = verified_run.run();
    assert_eq!(laid_out(run).plain[2 + 2 * 2 + 1], BESIDE);
    let mut hidden = laid_out(run);
    hidden.plain[2 + 2 * 2 + 1] = WHOLE;
    hidden.plain.extend([4; 30]);
    let got = unpack(&run.log, run.start, &hidden.close(), Parts::Section(&[]));
    let error = got.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("does not stand beside"), "{error}");
}

#[test]
fn unknown_layouts_forms_and_counts_are_refused() {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let verified_run = author.push(save(1)).cut();
    let run = verified_run.run();
    let parts = pack(run).parts;
    let refused = |main: &[u8]| {
        let got = unpack(&run.log, run.start, main, Parts::Section(&parts));
        matches!(got, Err(UnpackError::Layout(_)))
    };
    let laid = laid_out(run);
    for (at, value) in [(0, 1), (0, 3), (1, 0), (1, 65), (1, 0x80)] {
        let mut other = laid.plain.clone();
        other[at] = value;
        assert!(refused(&with_plain(&laid, &other)), "{value} at {at}");
    }
    for form in [5, 6, 0x7f, FOREIGN | 9] {
        let got = unpack(
            &run.log,
            run.start,
            &with_form(run, form),
            Parts::Section(&[]),
        );
        assert!(matches!(got, Err(UnpackError::Layout(_))), "form {form}");
    }
    let mut early = laid.plain.clone();
    let mut reader = Reader::new(&laid.plain);
    let count = run.entries.len();
    assert!(reader.take(2 + 3 * count).is_ok());
    for _ in 0..2 * count {
        assert!(reader.varint().is_ok(), "clocks and authority lengths");
    }
    let first_record = early.len() - reader.remaining();
    early[first_record] = 1;
    assert!(
        refused(&with_plain(&laid, &early)),
        "a record before its first entry"
    );
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

/// A record as a clerk writes it: texts and a card beside, the record, and edits of it, each a save.
fn saves(author: &mut testing::Author, random: &mut Random, edits: i64) -> Tested {
    let actor = author.tail.log.actor();
    let record = RecordId::founded(1_800_000_000_000, &author.tail.log, author.tail.end.len);
    let entry = |kind, digest, payload| NewEntry {
        kind,
        digest,
        erasable: kind == EntryKind::Part,
        record,
        payload,
    };
    let mut salt = [0; 16];
    salt.copy_from_slice(&random.bytes(16));
    let text: String = (0..200)
        .filter_map(|_| char::from_u32(0x4e00 + random.below(2_000) as u32))
        .collect();
    let part = Part {
        salt,
        texts: [("body".to_owned(), text)].into(),
    };
    let named = Scalar::Part(reference(&part.encode()));
    let field = |key: &str, value| (key.to_owned(), Some(value));
    let mut document = Document::new();
    let mut edit = Edit {
        kind: Some("opinion".to_owned()),
        by: "a1".to_owned(),
        fields: [
            field("body", named),
            field("topic", Scalar::Str("traffic".to_owned())),
        ]
        .into(),
        events: vec![NewEvent {
            event: "registered".to_owned(),
            at_ms: 1_800_000_000_000,
            data: [].into(),
        }],
    };
    let mut group = vec![entry(EntryKind::Part, DigestMode::Salted, part.encode())];
    for number in 0..=edits {
        let raw = document.edit(&actor, &edit)?;
        group.push(entry(EntryKind::Change, DigestMode::Change, raw.bytes));
        author.push(std::mem::take(&mut group));
        edit = Edit {
            fields: [field("people_count", Scalar::Int(number))].into(),
            ..Edit::default()
        };
    }
    Ok(())
}

/// Of what a reader can compute nothing is sent: digests, ids of records, heads of changes, references to parts, and the prefix of event keys.
#[test]
fn a_batch_holds_nothing_that_its_reader_can_compute() -> Tested {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    author.cut();
    let mut random = Random(6);
    for _ in 0..10 {
        saves(&mut author, &mut random, 4)?;
    }
    let run = author.cut().run().clone();
    let laid = laid_out(&run);
    let all = [laid.raw.as_slice(), &laid.plain].concat();
    let holds = |bytes: &[u8]| all.windows(bytes.len()).any(|window| window == bytes);
    for entry in &run.entries {
        let header = &entry.header;
        assert!(!holds(&header.digest[..8]), "the digest of {}", header.seq);
        assert!(
            !holds(&header.record.0[8..]),
            "the record of {}",
            header.seq
        );
        assert!(!holds(&header.prev[..8]), "the link of {}", header.seq);
    }
    let actor = run.log.actor();
    assert!(!holds(&actor));
    assert!(!holds(crate::document::event_prefix(&actor).as_bytes()));
    let packed = pack(&run);
    let bytes = packed.main.len() + packed.parts.len();
    assert!(bytes < 10 * 550 + 300, "{packed:?}");
    let back = unpack(&run.log, run.start, &packed.main, section(&packed))?;
    assert_eq!(back, run);
    Ok(())
}

/// A record of this log whose founding is not in the run is named by its place, if the packer is told of it; one who
/// tells wrongly harms nothing.
#[test]
fn an_older_record_is_named_by_its_place() -> Tested {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let mut random = Random(7);
    saves(&mut author, &mut random, 0)?;
    let first = author.tail.entries[1].header.seq;
    author.cut();
    saves(&mut author, &mut random, 0)?;
    let mut run = author.cut().run().clone();
    let older = RecordId::founded(1_900_000_000_000, &run.log, first);
    for entry in &mut run.entries {
        entry.header.record = older;
    }
    let tail = Tail {
        start: run.start,
        ..author.tail.clone()
    };
    let run = signed(&tail, run.entries, &author.signer);
    let told = pack_main(&run, &|_| Some(first));
    let untold = pack_main(&run, &|_| None);
    let wrongly = pack_main(&run, &|_| Some(first + 1));
    assert!(
        told.len() + 6 < untold.len(),
        "{} of {}",
        told.len(),
        untold.len()
    );
    assert_eq!(wrongly, untold);
    let parts = pack(&run).parts;
    for main in [told, untold] {
        let back = unpack(&run.log, run.start, &main, Parts::Section(&parts))?;
        assert_eq!(back.entries, run.entries);
    }
    Ok(())
}

/// What is rebuilt is bounded as what is decompressed is, so that names of two bytes each do not make a reader hash much
/// for little; a writer who has such a change sends it as it is.
#[test]
fn names_that_become_much_more_than_they_are_worth_are_refused() -> Tested {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let actor = author.tail.log.actor();
    let mut random = Random(9);
    let names = crate::document::event_prefix(&actor).repeat(40);
    let body: String = (0..50)
        .map(|_| format!("{names}{}", random.below(1_000)))
        .collect();
    let mut content = Writer::new();
    content.varint(0).varint(16).fixed(&actor);
    content
        .varint(1)
        .varint(1)
        .fixed(&[0, 0, 0])
        .fixed(body.as_bytes());
    let content = content.into_bytes();
    let mut whole = Writer::new();
    whole.u8(1).varint(content.len() as u64).fixed(&content);
    let run = author.push(vec![change_entry(&whole.into_bytes())]).cut();
    let run = run.run();
    let main = laid_out(run).close();
    assert!(
        main.len() * limits::BATCH_RATIO_MAX < body.len(),
        "{}",
        main.len()
    );
    let refused = unpack(&run.log, run.start, &main, Parts::Section(&[]));
    assert!(matches!(refused, Err(UnpackError::Layout(_))));
    let main = pack(run).main;
    assert_eq!(
        &unpack(&run.log, run.start, &main, Parts::Section(&[]))?,
        run
    );
    Ok(())
}

/// Salts do not compress and stand alone; texts are in two planes.
#[test]
fn texts_take_less_than_two_bytes_a_character() {
    let mut random = Random(8);
    let parts: Vec<_> = (0..20)
        .map(|_| {
            let mut salt = [0; 16];
            salt.copy_from_slice(&random.bytes(16));
            let text = (0..200).filter_map(|_| char::from_u32(0x4e00 + random.below(500) as u32));
            let texts = [("body".to_owned(), text.collect())].into();
            Part { salt, texts }.encode()
        })
        .collect();
    let packed = pack_parts(parts.iter().map(Vec::as_slice));
    assert!(packed.len() < 20 * (16 + 200 * 8 / 5), "{}", packed.len());
    let lens: Vec<_> = parts.iter().map(Vec::len).collect();
    assert_eq!(text::unpack(&packed, &lens), Ok(parts));
    let mut other = lens;
    other[3] -= 1;
    assert!(text::unpack(&packed, &other).is_err());
    let whole = pack_parts([&b"as it is"[..]].into_iter());
    assert_eq!(text::unpack(&whole, &[8]), Ok(vec![b"as it is".to_vec()]));
}
