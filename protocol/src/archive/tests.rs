//! Tests of archives: a sound one holds however it is cut; everything that is changed, moved or forged is noticed,
//! also behind an end mark that fits.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use super::*;
use crate::authority::{Certificate, Grant, Reason, Role, Scope, SiteKind, Spaces};
use crate::document::{Document, Edit, EditError, Scalar};
use crate::log::{DigestMode, EntryId, NewEntry, RecordId};
use crate::space::SiteId;
use crate::testing::{self, Random, network, save, signer, site_space, space_id};

type Tested = Result<(), ReadError>;

const AUTHORITY: u8 = 100;

fn head() -> Head {
    Head {
        network: network(),
        certificate: Certificate::sign(&signer(200), 1, signer(AUTHORITY).public(), None),
        device: signer(1).public(),
        epoch: [4; 16],
        taken_ms: 5,
    }
}

fn log_item(key: u8, incarnation: u8) -> Item {
    Item::Log {
        device: signer(key).public(),
        incarnation: [incarnation; 16],
    }
}

/// Items of a run.
fn run_items(run: &VerifiedRun) -> Vec<Item> {
    let entries = run.run().entries.iter().cloned().map(Item::Entry);
    let checkpoint = Item::Checkpoint(run.run().checkpoint.clone());
    entries.chain([checkpoint]).collect()
}

/// Two runs of one device's log in the site's space, and where they end.
fn log_runs(key: u8) -> [VerifiedRun; 2] {
    let mut author = testing::Author::new(space_id(site_space()), key, 1);
    let first = author.push(save(1)).push(save(2)).cut();
    [first, author.push(save(3)).cut()]
}

fn receipt_for(run: &VerifiedRun) -> Receipt {
    let receipt = Receipt {
        space: run.author().space,
        log: run.run().log,
        epoch: [4; 16],
        stored: run.end(),
        judged_len: run.end().len,
        exceptions: Vec::new(),
        received_at_ms: 6,
        signature: [0; 64],
    };
    receipt.signed(&signer(AUTHORITY))
}

fn tip_of(run: &VerifiedRun) -> (LogId, Tip) {
    let tip = Tip {
        len: run.end().len,
        head: run.end().head,
        frozen: false,
    };
    (run.run().log, tip)
}

/// Head, one space and two logs of it, the first with a receipt in the middle of it.
fn items() -> Vec<Item> {
    let mut logs = [log_runs(1), log_runs(2)].map(|runs| (runs[0].run().log, runs));
    logs.sort_by_key(|(id, _)| *id);
    let mut items = vec![Item::Head(Box::new(head())), Item::Space(site_space())];
    let mut tips = BTreeMap::new();
    for (at, (_, runs)) in logs.iter().enumerate() {
        let key = if runs[0].author().device == signer(1).public() {
            1
        } else {
            2
        };
        items.push(log_item(key, 1));
        if at == 0 {
            items.push(Item::Receipt(receipt_for(&runs[0])));
        }
        items.extend(runs.iter().flat_map(run_items));
        tips.extend([tip_of(&runs[1])]);
    }
    items.push(Item::Digest(space_digest(&tips)));
    items
}

/// The archive of these items, with an end mark that fits.
fn archive(items: &[Item]) -> Vec<u8> {
    let (mut writer, mut bytes) = Writer::begin();
    for item in items {
        bytes.extend(writer.item(item));
    }
    bytes.extend(writer.end());
    bytes
}

fn audit(bytes: &[u8]) -> Result<Report, ReadError> {
    let mut audit = Audit::new(None);
    audit.push(bytes)?;
    audit.finish()
}

/// What is said of these items.
fn said(items: &[Item]) -> Result<Vec<String>, ReadError> {
    Ok(audit(&archive(items))?.bad)
}

fn place(items: &[Item], of: impl Fn(&Item) -> bool) -> usize {
    items.iter().position(of).unwrap_or_default()
}

#[test]
fn a_sound_archive_holds_whatever_pieces_it_comes_in() -> Tested {
    let bytes = archive(&items());
    for piece in [1, 7, 100, bytes.len()] {
        let mut audit = Audit::new(Some(network()));
        for bytes in bytes.chunks(piece) {
            audit.push(bytes)?;
        }
        let report = audit.finish()?;
        assert_eq!(report.bad, Vec::<String>::new());
        assert_eq!(
            (report.logs, report.entries, report.checkpoints),
            (2, 14, 4)
        );
        assert_eq!((report.receipts, report.forks, report.absent), (1, 0, 0));
        assert_eq!(report.head, Some(head()));
    }
    Ok(())
}

#[test]
fn every_item_comes_back_from_its_bytes() -> Result<(), DecodeError> {
    let all = [
        Item::Head(Box::new(head())),
        Item::Space(Space::Site(SiteId([3; 16]))),
        log_item(1, 1),
        Item::Receipt(receipt_for(&log_runs(1)[0])),
        Item::Digest([7; 32]),
    ];
    let entries = run_items(&log_runs(1)[0]);
    for item in all.iter().chain(&entries) {
        let bytes = item.encode();
        assert_eq!(Item::decode(bytes[0], &bytes[ITEM_HEAD..])?, *item);
        let longer = [&bytes[ITEM_HEAD..], &[0]].concat();
        let grown = Item::decode(bytes[0], &longer);
        let payload = matches!(item, Item::Entry(_));
        assert!(payload || grown.is_err(), "a byte too many in {item:?}");
    }
    Ok(())
}

#[test]
fn an_entry_is_there_or_absent_and_nothing_between() {
    for item in run_items(&log_runs(1)[0]) {
        let mut bytes = item.encode();
        if matches!(item, Item::Entry(_)) {
            bytes[ITEM_HEAD] = 2;
            assert!(Item::decode(bytes[0], &bytes[ITEM_HEAD..]).is_err());
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() -> Tested {
    let bytes = archive(&items());
    let mut random = Random(1);
    for at in (0..bytes.len()).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << random.below(8);
        assert!(
            !audit(&flipped).is_ok_and(|report| report.bad.is_empty()),
            "byte {at}"
        );
        let cut = audit(&bytes[..at]);
        assert!(
            !cut.is_ok_and(|report| report.bad.is_empty()),
            "cut at {at}"
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(audit(&longer)?.bad.len(), 1);
    Ok(())
}

#[test]
fn what_is_no_archive_or_a_newer_one_is_said_so() {
    for bytes in [
        &b""[..],
        b"lianxin archive",
        b"lianxin archive!\x00\x01",
        &MAGIC,
    ] {
        assert_eq!(
            audit(bytes).err(),
            Some(ReadError::NotAnArchive),
            "{bytes:?}"
        );
    }
    let newer = [&MAGIC[..], &[0, 2]].concat();
    assert_eq!(audit(&newer).err(), Some(ReadError::Newer(2)));
}

#[test]
fn lengths_are_refused_before_memory_is_asked_for() -> Tested {
    let (_, start) = Writer::begin();
    let mut audit = Audit::new(None);
    audit.push(&[&start[..], &[6, 0xff, 0xff, 0xff, 0xff]].concat())?;
    for _ in 0..1_000 {
        audit.push(&[0; 10_000])?;
    }
    assert!(audit.reader.buffer.len() < limits::ARCHIVE_ITEM_MAX + 20_000);
    assert_eq!(audit.finish()?.bad, ["byte 18: an item beyond its bound"]);
    Ok(())
}

#[test]
fn entries_without_a_checkpoint_are_not_gathered() -> Tested {
    let good = items();
    let entry = place(&good, |it| matches!(it, Item::Entry(_)));
    let mut audit = Audit::new(None);
    let (mut writer, start) = Writer::begin();
    audit.push(&start)?;
    for item in good.get(..entry).unwrap_or_default() {
        audit.push(&writer.item(item))?;
    }
    for _ in 0..200 {
        audit.push(&writer.item(&good[entry]))?;
        let open = audit.log().map_or(0, |log| log.open.len());
        assert!(open <= limits::BATCH_ENTRIES, "{open} entries in memory");
    }
    Ok(())
}

#[test]
fn items_stand_in_one_order_only() -> Tested {
    let good = items();
    let wrong = |change: &dyn Fn(&mut Vec<Item>)| -> Result<bool, ReadError> {
        let mut items = good.clone();
        change(&mut items);
        Ok(!said(&items)?.is_empty())
    };
    assert!(!wrong(&|_| {})?);
    assert!(wrong(&|items| items.clear())?, "nothing");
    assert!(wrong(&|items| drop(items.remove(0)))?, "no head");
    assert!(
        wrong(&|items| items.insert(1, items[0].clone()))?,
        "two heads"
    );
    assert!(
        wrong(&|items| items.insert(2, Item::Space(Space::Hub)))?,
        "nested"
    );
    assert!(wrong(&|items| drop(items.pop()))?, "no digest");
    let again = [
        Item::Space(site_space()),
        Item::Digest(space_digest(&BTreeMap::new())),
    ];
    let before = [Item::Space(Space::Bulletin), again[1].clone()];
    assert!(
        wrong(&|items| items.extend(again.clone()))?,
        "a space again"
    );
    assert!(
        wrong(&|items| items.extend(before.clone()))?,
        "a space too late"
    );
    let hub = [Item::Space(Space::Hub), again[1].clone()];
    assert!(
        !wrong(&|items| items.extend(hub.clone()))?,
        "the next space"
    );
    assert!(
        wrong(&|items| items.push(items[4].clone()))?,
        "outside of a space"
    );
    assert!(wrong(&|items| drop(items.remove(2)))?, "outside of a log");
    assert!(
        wrong(&|items| items.swap(3, 4))?,
        "a receipt behind an entry"
    );
    assert!(
        wrong(&|items| items.insert(3, items[3].clone()))?,
        "two receipts"
    );
    let second = good.iter().rposition(|it| matches!(it, Item::Log { .. }));
    let second = second.unwrap_or_default();
    assert!(
        wrong(&|items| items.insert(second, items[second].clone()))?,
        "a log twice"
    );
    assert!(wrong(&|items| {
        let tail = items.split_off(second);
        let first = items.split_off(2);
        let (digest, last) = (tail.last().cloned(), tail.len() - 1);
        items.extend(tail.into_iter().take(last).chain(first).chain(digest));
    })?);
    Ok(())
}

#[test]
fn each_thing_that_is_forged_has_its_line() -> Tested {
    let good = items();
    let line = |change: &dyn Fn(&mut Vec<Item>)| -> Result<String, ReadError> {
        let mut items = good.clone();
        change(&mut items);
        Ok(said(&items)?.first().cloned().unwrap_or_default())
    };
    let entry = place(&good, |it| matches!(it, Item::Entry(_)));
    let checkpoint = place(&good, |it| matches!(it, Item::Checkpoint(_)));
    let runs = log_runs(1);
    let say = line(&|items| {
        items[0] = Item::Head(Box::new(Head {
            certificate: Certificate::sign(&signer(201), 1, signer(AUTHORITY).public(), None),
            ..head()
        }));
    })?;
    assert!(say.contains("not certified"), "{say}");
    let say = line(&|items| {
        if let Item::Entry(entry) = &mut items[entry + 1] {
            entry.header.hlc += 1;
        }
    })?;
    assert!(
        say.contains("from entry 0: entry 2 does not follow"),
        "{say}"
    );
    let say = line(&|items| {
        if let Item::Entry(Entry {
            payload: Some(payload),
            ..
        }) = &mut items[entry + 1]
        {
            payload[20] ^= 1;
        }
    })?;
    assert!(say.contains("the payload of entry 1"), "{say}");
    let say = line(&|items| {
        if let Item::Checkpoint(checkpoint) = &mut items[checkpoint] {
            checkpoint.hlc += 1;
        }
    })?;
    assert!(say.contains("signature does not hold"), "{say}");
    let say = line(&|items| drop(items.remove(checkpoint)))?;
    assert_eq!(say, "", "two runs under the later checkpoint are one run");
    let later = place(&good[checkpoint + 1..], |it| {
        matches!(it, Item::Checkpoint(_))
    });
    let say = line(&|items| drop(items.remove(checkpoint + 1 + later)))?;
    assert!(say.contains("entries without a checkpoint"), "{say}");
    let say = line(&|items| {
        let receipt = receipt_for(&runs[0]);
        let other = Receipt {
            stored: Position {
                len: 4,
                head: [9; 32],
            },
            judged_len: 0,
            ..receipt
        };
        items[3] = Item::Receipt(other.signed(&signer(AUTHORITY)));
    })?;
    assert!(say.contains("receipt"), "{say}");
    let say = line(&|items| {
        if let Item::Receipt(receipt) = &items[3] {
            items[3] = Item::Receipt(receipt.clone().signed(&signer(3)));
        }
    })?;
    assert!(say.contains("its receipt does not hold"), "{say}");
    let last = good.len() - 1;
    let say = line(&|items| items[last] = Item::Digest([0; 32]))?;
    assert!(say.contains("its digest does not fit"), "{say}");
    let say = line(&|items| {
        let many: Vec<_> = std::iter::repeat_n(items[entry].clone(), 70).collect();
        items.splice(entry..entry, many);
    })?;
    assert!(say.contains("1 to 64 entries"), "{say}");
    Ok(())
}

#[test]
fn a_receipt_needs_the_entry_that_it_names() -> Tested {
    let [first, _] = log_runs(1);
    let cut = |receipt: Receipt| {
        let mut items = vec![
            Item::Head(Box::new(head())),
            Item::Space(site_space()),
            log_item(1, 1),
        ];
        items.push(Item::Receipt(receipt));
        items.extend(run_items(&first));
        items.push(Item::Digest(space_digest(&BTreeMap::from([tip_of(
            &first,
        )]))));
        items
    };
    let held = audit(&archive(&cut(receipt_for(&first))))?;
    assert_eq!((held.receipts, held.bad.len()), (1, 0));
    let beyond = audit(&archive(&cut(receipt_for(&log_runs(1)[1]))))?;
    assert_eq!(
        (beyond.receipts, beyond.bad.len()),
        (0, 1),
        "{:?}",
        beyond.bad
    );
    let nothing = Receipt {
        stored: Position::start(&first.run().log),
        judged_len: 0,
        ..receipt_for(&first)
    };
    let held = audit(&archive(&cut(nothing.signed(&signer(AUTHORITY)))))?;
    assert_eq!((held.receipts, held.bad.len()), (1, 0));
    Ok(())
}

#[test]
fn a_payload_that_is_absent_is_counted_and_not_bad() -> Tested {
    let mut items = items();
    let mut gone = 0;
    for item in &mut items {
        if let Item::Entry(entry) = item {
            entry.payload = None;
            gone += 1;
        }
    }
    let report = audit(&archive(&items))?;
    assert_eq!((report.absent, report.bad.len()), (gone, 0));
    Ok(())
}

#[test]
fn a_log_without_its_genesis_is_that_of_its_item_only() -> Tested {
    let mut items = items();
    items[2] = match &items[2] {
        Item::Log { device, .. } => Item::Log {
            device: *device,
            incarnation: [9; 16],
        },
        other => other.clone(),
    };
    assert!(!said(&items)?.is_empty());
    Ok(())
}

/// An authority log with the certificate in its second entry, one run an order.
fn authority_runs(certificate: &Certificate) -> [VerifiedRun; 2] {
    let order = |order: Order| vec![NewEntry::plain(EntryKind::Authority, order.encode())];
    let mut author = testing::Author::new(space_id(Space::Authority), AUTHORITY, 1);
    author.push(order(Order::Certificate(certificate.clone())));
    let mut runs = Vec::new();
    let name = || Order::Policy {
        name: "示例".to_owned(),
        value: String::new(),
    };
    for policy in [name(), name()] {
        author.push(order(policy));
        let tail = testing::Author {
            tail: author.tail.clone(),
            ..author.clone()
        }
        .tail;
        let cited = (
            u32::try_from(tail.end.len).unwrap_or_default(),
            tail.end.head,
        );
        author.tail.start = author.tail.end;
        author.tail.entries.clear();
        runs.push(tail.sign(&author.signer, cited, 3 << 16));
    }
    let mut runs = runs.into_iter();
    std::array::from_fn(|_| runs.next()).map(|run| run.unwrap_or_else(|| log_runs(1)[0].clone()))
}

fn with_authority(certificate: &Certificate, station: &VerifiedRun) -> Vec<Item> {
    let runs = authority_runs(certificate);
    let mut items = vec![
        Item::Head(Box::new(head())),
        Item::Space(Space::Authority),
        log_item(AUTHORITY, 1),
    ];
    items.extend(runs.iter().flat_map(run_items));
    items.push(Item::Digest(space_digest(&BTreeMap::from([tip_of(
        &runs[1],
    )]))));
    items.extend([Item::Space(site_space()), log_item(1, 1)]);
    items.extend(run_items(station));
    items.push(Item::Digest(space_digest(&BTreeMap::from([tip_of(
        station,
    )]))));
    items
}

#[test]
fn a_checkpoint_that_cites_another_authority_log_shows_a_second_story() -> Tested {
    let certificate = head().certificate;
    let ends: Vec<_> = authority_runs(&certificate)
        .iter()
        .map(VerifiedRun::end)
        .collect();
    let station = |cited: (u32, [u8; 32])| {
        let author = testing::Author::new(space_id(site_space()), 1, 1);
        author.tail.sign(&signer(1), cited, 3 << 16)
    };
    for (len, cited, good) in [
        (3, ends[0].head, true),
        (4, ends[1].head, true),
        (5, [7; 32], true),
        (4, ends[0].head, false),
        (4, [0; 32], false),
    ] {
        let bad = said(&with_authority(&certificate, &station((len, cited))))?;
        assert_eq!(bad.is_empty(), good, "{len}: {bad:?}");
    }
    let another = Certificate::sign(&signer(200), 2, signer(AUTHORITY).public(), None);
    let bad = said(&with_authority(&another, &station((5, [7; 32]))))?;
    assert!(
        bad.iter()
            .any(|line| line.contains("does not have the certificate")),
        "{bad:?}"
    );
    Ok(())
}

/// An authority log of a key with this certificate and one more order, in one run.
fn story(key: u8, incarnation: u8, certificate: &Certificate) -> VerifiedRun {
    let mut author = testing::Author::new(space_id(Space::Authority), key, incarnation);
    let policy = Order::Policy {
        name: "示例".to_owned(),
        value: String::new(),
    };
    for order in [Order::Certificate(certificate.clone()), policy] {
        let entry = NewEntry::plain(EntryKind::Authority, order.encode());
        author.push(vec![entry]);
    }
    author.cut()
}

/// What is said of an archive with these authority logs, whose head has this certificate, and a station's log
/// that cites this of them.
fn told(
    certificate: &Certificate,
    stories: &[(u8, u8, &VerifiedRun)],
    cited: (u32, [u8; 32]),
) -> Result<Vec<String>, ReadError> {
    let head = Head {
        certificate: certificate.clone(),
        ..head()
    };
    let mut stories = stories.to_vec();
    stories.sort_by_key(|(.., run)| run.run().log);
    let mut items = vec![Item::Head(Box::new(head)), Item::Space(Space::Authority)];
    for (key, incarnation, run) in &stories {
        items.push(log_item(*key, *incarnation));
        items.extend(run_items(run));
    }
    let tips = stories.iter().map(|(.., run)| tip_of(run)).collect();
    items.push(Item::Digest(space_digest(&tips)));
    let author = testing::Author::new(space_id(site_space()), 1, 1);
    let station = author.tail.sign(&signer(1), cited, 3 << 16);
    items.extend([Item::Space(site_space()), log_item(1, 1)]);
    items.extend(run_items(&station));
    let tips = BTreeMap::from([tip_of(&station)]);
    items.push(Item::Digest(space_digest(&tips)));
    said(&items)
}

#[test]
fn two_authority_logs_of_one_version_are_one_too_many() -> Tested {
    let certificate = head().certificate;
    let (one, two) = (
        story(AUTHORITY, 1, &certificate),
        story(AUTHORITY, 2, &certificate),
    );
    let logs = [(AUTHORITY, 1, &one), (AUTHORITY, 2, &two)];
    assert_eq!(
        told(&certificate, &logs[..1], (1, one.ids()[0].0))?,
        [""; 0]
    );
    let bad = told(&certificate, &logs, (1, [7; 32]))?;
    assert!(
        bad.iter().any(|line| line.contains("two authority logs")),
        "{bad:?}"
    );
    Ok(())
}

#[test]
fn a_successor_is_counted_on_from_what_is_trusted_before_it() -> Tested {
    const NEXT: u8 = 99;
    let first = story(AUTHORITY, 1, &head().certificate);
    let (log, ids) = (first.run().log, first.ids());
    let trusting = |version, len: u64, head| {
        let trusted = Some((log, Position { len, head }));
        Certificate::sign(&signer(200), version, signer(NEXT).public(), trusted)
    };
    let certificate = trusting(5, 2, ids[1].0);
    let next = story(NEXT, 2, &certificate);
    let logs = [(AUTHORITY, 1, &first), (NEXT, 2, &next)];
    for (len, cited, good) in [
        (2, ids[1].0, true),
        (3, next.ids()[0].0, true),
        (5, next.ids()[2].0, true),
        (6, [7; 32], true),
        // Seen before the successor came.
        (3, ids[2].0, true),
        (3, [7; 32], false),
        (1, next.ids()[0].0, false),
        (4, ids[2].0, false),
    ] {
        let bad = told(&certificate, &logs, (len, cited))?;
        assert_eq!(bad.is_empty(), good, "{len}: {bad:?}");
    }
    let none = (1, ids[0].0);
    for (wrong, what) in [
        (trusting(5, 2, ids[0].0), "trusted end"),
        (trusting(5, 4, ids[2].0), "trusted end"),
        (trusting(1, 2, ids[1].0), "two authority logs"),
    ] {
        let next = story(NEXT, 2, &wrong);
        let bad = told(&wrong, &[(AUTHORITY, 1, &first), (NEXT, 2, &next)], none)?;
        assert!(bad.iter().any(|line| line.contains(what)), "{bad:?}");
    }
    let bad = told(&certificate, &logs[1..], (6, [7; 32]))?;
    assert!(bad.iter().any(|line| line.contains("not here")), "{bad:?}");
    let bad = told(&head().certificate, &logs, none)?;
    let line = "does not have the certificate";
    assert!(bad.iter().any(|it| it.contains(line)), "{bad:?}");
    Ok(())
}

/// A log that forked after its first run.
fn forked() -> (VerifiedRun, ForkProof) {
    let mut author = testing::Author::new(space_id(site_space()), 1, 1);
    let first = author.cut();
    let branch = |author: &mut testing::Author, n| {
        let run = author.push(save(n)).cut();
        testing::branch(run.run())
    };
    let mut branches = [branch(&mut author.clone(), 1), branch(&mut author, 2)];
    branches.sort_by_key(|branch| branch.headers.first().map_or(EntryId([0; 32]), Header::id));
    let proof = ForkProof {
        author: first.author(),
        log: first.run().log,
        branches,
    };
    (first, proof)
}

#[test]
fn a_frozen_log_ends_before_its_fork() -> Tested {
    let (first, proof) = forked();
    let items = |proof: ForkProof, frozen| {
        let mut items = vec![
            Item::Head(Box::new(head())),
            Item::Space(site_space()),
            log_item(1, 1),
        ];
        let (id, mut tip) = tip_of(&first);
        items.push(Item::Fork(Box::new(proof), first.end()));
        items.extend(run_items(&first));
        tip.frozen = frozen;
        items.push(Item::Digest(space_digest(&BTreeMap::from([(id, tip)]))));
        items
    };
    let report = audit(&archive(&items(proof.clone(), true)))?;
    assert_eq!((report.forks, report.bad.len()), (1, 0), "{:?}", report.bad);
    assert_eq!(
        said(&items(proof.clone(), false))?.len(),
        1,
        "the digest says not frozen"
    );
    let mut turned = proof.clone();
    turned.branches.reverse();
    assert!(said(&items(turned, false))?[0].contains("fork proof does not hold"));
    // Whoever else signs two entries at one place has forked nothing of this log.
    let stranger = signer(3);
    let mut by_another = proof.clone();
    by_another.author.device = stranger.public();
    for branch in &mut by_another.branches {
        let (position, space) = (branch.checkpoint.clone(), first.author().space);
        let end = Position {
            len: position.len,
            head: position.head,
        };
        branch.checkpoint =
            Checkpoint::sign(&stranger, &space, &by_another.log, end, (1, [9; 32]), 1);
    }
    assert!(by_another.seq().is_some());
    assert!(said(&items(by_another, false))?[0].contains("fork proof does not hold"));
    let elsewhere = ForkProof {
        log: LogId([1; 32]),
        ..proof
    };
    assert!(!said(&items(elsewhere, false))?.is_empty());
    Ok(())
}

#[test]
fn another_network_is_bad_when_one_was_asked_for() -> Tested {
    let bytes = archive(&items());
    let mut audit = Audit::new(Some(NetworkId([1; 32])));
    audit.push(&bytes)?;
    let bad = audit.finish()?.bad;
    assert_eq!(bad.len(), 1);
    assert!(bad[0].contains(&network().to_string()), "{bad:?}");
    Ok(())
}

#[test]
fn what_is_said_has_a_bound() -> Tested {
    let mut items = vec![Item::Head(Box::new(head()))];
    let mut tips: Vec<(LogId, u32)> = Vec::new();
    let space = Space::Site(SiteId([1; 16]));
    for n in 0..limits::ARCHIVE_BAD_MAX as u32 + 5 {
        let mut incarnation = [0; 16];
        incarnation[..4].copy_from_slice(&n.to_be_bytes());
        tips.push((
            LogId::of(&space.id(&network()), &signer(1).public(), &incarnation),
            n,
        ));
    }
    tips.sort_unstable();
    items.push(Item::Space(space));
    for (_, n) in tips {
        let mut incarnation = [0; 16];
        incarnation[..4].copy_from_slice(&n.to_be_bytes());
        items.push(Item::Log {
            device: signer(1).public(),
            incarnation,
        });
        // A run of no entries.
        items.push(Item::Checkpoint(log_runs(1)[0].run().checkpoint.clone()));
    }
    items.push(Item::Digest(space_digest(&BTreeMap::new())));
    let bad = said(&items)?;
    assert_eq!(bad.len(), limits::ARCHIVE_BAD_MAX + 1);
    assert_eq!(bad.last().map(String::as_str), Some("and 5 more"));
    Ok(())
}

// ---- what counts ----

/// A log of one entry each for these payloads.
fn log_of(space: Space, key: u8, payloads: Vec<NewEntry>) -> VerifiedRun {
    let mut author = testing::Author::new(space_id(space), key, 1);
    for payload in payloads {
        author.push(vec![payload]);
    }
    author.cut()
}

fn order(order: &Order) -> NewEntry {
    NewEntry::plain(EntryKind::Authority, order.encode())
}

/// Certificate, site, and a grant for the device of key 1 alone.
fn orders() -> VerifiedRun {
    let grant = Grant {
        serial: 1,
        device: signer(1).public(),
        recipient: [0; 32],
        site: None,
        role: Role::Station,
        device_code: "EM1A".to_owned(),
        scopes: vec![Scope::new(Spaces::One(site_space()), true, true)],
        bytes_per_day: 0,
        places: Vec::new(),
    };
    let site = Order::Site {
        site: SiteId([7; 16]),
        code: "EM1".to_owned(),
        name: "测试站".to_owned(),
        kind: SiteKind::Workstation,
    };
    let all = [
        Order::Certificate(head().certificate),
        site,
        Order::Grant(grant),
    ];
    log_of(Space::Authority, AUTHORITY, all.iter().map(order).collect())
}

/// Changes of one record: its founder and two edits by the device of key 1, then one by that of key 2.
fn changes() -> Result<[Vec<NewEntry>; 2], EditError> {
    let log = |key: u8| {
        testing::Author::new(space_id(site_space()), key, 1)
            .tail
            .log
    };
    let entry = |payload: Vec<u8>| NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record: RecordId::founded(1, &log(1), 1),
        payload,
    };
    let mut document = Document::new();
    let mut edit = |key: u8, kind: Option<&str>, title: &str| {
        let fields = [("title".to_owned(), Some(Scalar::Str(title.to_owned())))];
        let edit = Edit {
            kind: kind.map(str::to_owned),
            by: "a1".to_owned(),
            fields: fields.into(),
            events: Vec::new(),
        };
        let raw = document.edit(&log(key).actor(), &edit)?;
        Ok::<_, EditError>(entry(raw.bytes))
    };
    let own = vec![
        edit(1, Some("opinion"), "a")?,
        edit(1, None, "b")?,
        edit(1, None, "c")?,
    ];
    Ok([own, vec![edit(2, None, "d")?]])
}

#[test]
fn what_counts_is_said_by_rights_and_by_the_gate_and_what_is_not_here_waits()
-> Result<(), Box<dyn std::error::Error>> {
    let [own, other] = changes()?;
    let mut logs =
        [(1, own), (2, other)].map(|(key, changes)| (key, log_of(site_space(), key, changes)));
    logs.sort_by_key(|(_, run)| run.run().log);
    let mut items = vec![
        Item::Head(Box::new(head())),
        Item::Space(Space::Authority),
        log_item(AUTHORITY, 1),
    ];
    items.extend(run_items(&orders()));
    items.extend([Item::Digest([0; 32]), Item::Space(site_space())]);
    for (key, run) in &logs {
        items.push(log_item(*key, 1));
        items.extend(run_items(run));
    }
    items.push(Item::Digest([0; 32]));
    let counts = |items: &[Item]| -> Result<Counts, ReadError> {
        let bytes = archive(items);
        let mut audit = Audit::new(None);
        audit.push(&bytes)?;
        let (_, judging) = audit.end()?;
        judging.judge(|offset, len| {
            let offset = offset as usize;
            Ok(bytes[offset..offset + len].to_vec())
        })
    };
    let found = counts(&items)?;
    assert_eq!((found.changes, found.counted), (4, 3));
    let ranges = found.withheld.iter();
    let ranges: Vec<_> = ranges.map(|it| (it.range.clone(), it.reason)).collect();
    assert_eq!(ranges, [(0..2, Reason::UnknownDevice)]);

    // Without the founder's bytes nobody knows what builds on it.
    let begin = place(&items, |item| *item == log_item(1, 1));
    let is_change =
        |item: &Item| matches!(item, Item::Entry(it) if it.header.kind == EntryKind::Change);
    let founder = begin + place(&items[begin..], is_change);
    if let Item::Entry(entry) = &mut items[founder] {
        entry.payload = None;
    }
    let found = counts(&items)?;
    let reasons = BTreeMap::from([
        (Reason::UnknownDevice, 1),
        (Reason::Waiting, 2),
        (Reason::Missing, 1),
    ]);
    assert_eq!((found.counted, found.reasons), (0, reasons));
    Ok(())
}
