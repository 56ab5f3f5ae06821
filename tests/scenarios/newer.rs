//! A device that was upgraded first: what the others do not know they keep, count, pass on byte for byte, and
//! say that it needs a newer version.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT, ScalarValue};
use lianxin_node::command::Write;
use lianxin_protocol::authority::{Order, Reason, SiteKind};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::document::event_prefix;
use lianxin_protocol::hash::Hex;
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    DigestMode, Entry, EntryKind, Flags, Genesis, GenesisReason, Header, LogId, NewEntry, RecordId,
    Run, Tail, digest,
};
use lianxin_protocol::message::{
    ErrorCode, FrameReader, Hello, Message, Offer, Offers, PROTOCOL_NOW, WireBatch,
};
use lianxin_protocol::session::{Close, Session, Share};
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, text};
use serde_json::{Value, json};

/// The device that was upgraded.
const NEW: usize = 1;
const OLD: usize = 2;
const NODES: [usize; 3] = [HUB, NEW, OLD];

/// An entry as a newer version might write it: the next version of the header, a kind, flags and a way of making
/// the digest that nobody knows, and as much behind the known fields as may be there.
fn from_the_future(kind: u8, record: RecordId, payload: &[u8], extension: usize) -> Entry {
    let header = Header {
        version: 2,
        kind: match kind {
            2 => EntryKind::Change,
            3 => EntryKind::Part,
            other => EntryKind::Other(other),
        },
        // 0b11 is no known way; the upper bits are of no known meaning.
        flags: Flags::from_bits(0b1011_0011),
        seq: 0,
        prev: [0; 32],
        record,
        hlc: 7,
        authority_len: 0,
        payload_len: u32::try_from(payload.len()).unwrap_or_default(),
        digest: [kind; 32],
        extension: (0..extension)
            .map(|it| u8::try_from(it % 251).unwrap_or_default())
            .collect(),
    };
    Entry {
        header,
        payload: Some(payload.to_vec()),
    }
}

/// A log of a node's device with these entries, as it goes on the wire.
fn log_of(world: &mut World, node: usize, entries: Vec<Entry>) -> Result<(LogId, WireBatch, Run)> {
    let space = world.site_space()?;
    let journal = &world.writer(node)?.journal;
    let (signer, cited) = (
        journal.identity().device.clone(),
        journal.authority().cited(),
    );
    let genesis = Genesis {
        space,
        device: signer.public(),
        incarnation: [5; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: [0; 32],
    };
    let mut tail = Tail::begin(&genesis, 6, cited.0);
    for mut entry in entries {
        entry.header.seq = tail.end.len;
        entry.header.prev = tail.end.head;
        entry.header.authority_len = cited.0;
        tail.end.len += 1;
        tail.end.head = entry.header.id().0;
        tail.entries.push(entry);
    }
    let log = tail.log;
    let signed = tail.sign(&signer, cited, 8);
    let run = signed.run().clone();
    let batch = WireBatch {
        log: log.prefix(),
        start: run.start,
        packed: batch::pack(&run),
    };
    Ok((log, batch, run))
}

/// The entries of a log as a node would send them.
fn sent(world: &mut World, node: usize, log: &LogId) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    while let Some(batch) = world.batch(node, log, entries.len() as u64)? {
        let parts = Parts::Section(&batch.packed.parts);
        let run = batch::unpack(log, batch.start, &batch.packed.main, parts);
        let run = run.map_err(|error| anyhow!("{error:?}"))?;
        ensure!(!run.entries.is_empty(), "an empty batch");
        entries.extend(run.entries);
    }
    Ok(entries)
}

fn unreadable(shown: &Value) -> Vec<String> {
    let all = shown.get("unreadable").and_then(Value::as_array);
    let all = all.into_iter().flatten().filter_map(Value::as_str);
    all.map(str::to_owned).collect()
}

#[test]
fn entries_of_a_newer_version_go_through_an_old_hub_byte_for_byte_and_are_named() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (known, number, _) = world.add(NEW, "路灯不亮")?;
    world.heal()?;
    let record = RecordId::parse(&known).context("no id")?;
    let alone = RecordId([0x51; 16]);
    let largest = vec![0x80; limits::PAYLOAD_MAX];
    let (log, batch, run) = log_of(
        &mut world,
        NEW,
        vec![
            from_the_future(200, record, b"what nobody can read", 0),
            from_the_future(255, record, b"", limits::HEADER_EXTENSION_MAX),
            from_the_future(9, alone, &largest, 3),
            from_the_future(99, RecordId::NONE, b"of no record", 200),
        ],
    )?;
    world.hand_over(HUB, log, batch)?;
    world.heal()?;
    for again in ["at first", "after a restart", "derived anew"] {
        for node in NODES {
            let entries = sent(&mut world, node, &log)?;
            ensure!(entries == run.entries, "{again}: node {node} has others");
            // What is known of the record is shown as ever, and that there is more is said.
            let shown = world.show(node, &known)?;
            ensure!(text(&shown, "number") == number && text(&shown, "state") == "merged");
            ensure!(
                unreadable(&shown) == [lianxin_node::records::NEWER_ENTRIES],
                "{again}: node {node}: {shown}"
            );
            ensure!(world.exceptions(node)?.is_empty(), "something is held back");
        }
        world.agree(&[NEW, OLD])?;
        for node in NODES {
            // Restarted, verified, archived, and derived anew.
            world.restart(node)?;
            world.sound(node)?;
        }
    }
    // The digest counts them: whoever lacks them is told.
    let (before, space) = (world.digests(HUB)?, world.site_space()?);
    let tips = world.site_logs(HUB)?;
    ensure!(tips.get(&log).is_some_and(|tip| tip.len == 5), "{tips:?}");
    ensure!(
        before.contains_key(&Hex(&space.0).to_string()),
        "{before:?}"
    );
    // And the record can be worked on.
    world
        .set(OLD, &known, json!({"urgency": "urgent"}))?
        .context("not set")?;
    world.heal()?;
    let shown = world.show(NEW, &known)?;
    ensure!(
        shown.pointer("/fields/urgency") == Some(&json!("urgent")),
        "{shown}"
    );
    world.agree(&[NEW, OLD])
}

/// Founds a record as a newer program would, with what `write` puts into the document; it is told the key of the
/// writer's first event.
fn change(
    world: &mut World,
    write: impl FnOnce(&mut AutoCommit, &str) -> Result<(), automerge::AutomergeError>,
) -> Result<(RecordId, Vec<u8>)> {
    let space = world.site_space()?;
    let made = world.transact(NEW, |journal, connection| {
        let log = journal.prepare(connection, space, 1_000)?;
        let failed = |error: automerge::AutomergeError| {
            let code = lianxin_node::error::Code::Internal;
            lianxin_node::error::Error::because(code, "no change", error)
        };
        let mut document = AutoCommit::new();
        document.set_actor(log.actor().as_slice().into());
        let key = format!("{}-0", event_prefix(&log.actor()));
        write(&mut document, &key).map_err(failed)?;
        let options = automerge::transaction::CommitOptions::default().with_time(0);
        document.commit_with(options);
        let mut change = document.get_last_local_change();
        let bytes = change.as_mut().map(|it| it.raw_bytes().to_vec());
        let bytes = bytes.unwrap_or_default();
        let record = RecordId::founded(1_800_000_000_000, &log, journal.len_of(&log));
        let entry = NewEntry {
            kind: EntryKind::Change,
            digest: DigestMode::Change,
            erasable: false,
            record,
            payload: bytes.clone(),
        };
        journal.append(connection, space, vec![entry], 1_000)?;
        Ok((record, bytes))
    })?;
    world.merge(NEW)?;
    Ok(made)
}

#[test]
fn fields_events_and_kinds_of_a_newer_version_are_kept_shown_and_named() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut payloads: BTreeMap<RecordId, Vec<Vec<u8>>> = BTreeMap::new();
    let mut made = Vec::new();
    for (kind, strange) in [
        ("holo_petition", false),
        ("opinion", false),
        ("opinion", true),
    ] {
        let (record, bytes) = change(&mut world, |document, key| {
            document.put(ROOT, "kind", kind)?;
            document.put(ROOT, "by", "0123456789abcdef")?;
            let fields = document.put_object(ROOT, "fields", ObjType::Map)?;
            document.put(&fields, "mood_of_2031", "calm")?;
            if strange {
                document.put(&fields, "weight", ScalarValue::F64(1.5))?;
                let list = document.put_object(&fields, "witnesses", ObjType::List)?;
                document.insert(&list, 0, "测试甲")?;
            }
            let events = document.put_object(ROOT, "events", ObjType::Map)?;
            let event = document.put_object(&events, key, ObjType::Map)?;
            document.put(&event, "event", "teleport")?;
            document.put(&event, "at", ScalarValue::Int(1_000))?;
            document.put(&event, "by", "0123456789abcdef")
        })?;
        payloads.insert(record, vec![bytes]);
        made.push(record);
    }
    let [unknown, known, strange] = made.as_slice() else {
        anyhow::bail!("three records");
    };
    // What is written past the program's own way of saving is not shown by itself.
    world.call(NEW, Write::Reproject)?;
    world.heal()?;
    // An old device edits what it can; the rest stays, and a later change of the newer one finds it.
    let id = known.hyphenated();
    let edited = world.set(OLD, &id, json!({"urgency": "urgent"}))?;
    edited.context("not set")?;
    world.heal()?;
    for node in NODES {
        let shown = world.show(node, &id)?;
        ensure!(
            shown.pointer("/fields/urgency") == Some(&json!("urgent")),
            "{shown}"
        );
        ensure!(
            shown.pointer("/fields/mood_of_2031") == Some(&json!("calm")),
            "{shown}"
        );
        ensure!(unreadable(&shown).is_empty(), "{shown}");
        // What is no scalar does not count, and is kept and passed on all the same.
        let shown = world.show(node, &strange.hyphenated())?;
        ensure!(text(&shown, "kind").is_empty(), "{shown}");
        let held = world.exceptions(node)?;
        let guarded = held.iter().all(|it| it.3 == Reason::Guard.code());
        ensure!(held.len() == 1 && guarded, "{held:?}");
        let shown = world.show(node, &id)?;
        let events = shown.get("events").and_then(Value::as_array);
        let strange = events
            .into_iter()
            .flatten()
            .find(|it| text(it, "event") == "teleport");
        let strange = strange.context("the unknown step is hidden")?;
        ensure!(strange.get("applied") == Some(&json!(false)), "{strange}");

        let other = world.show(node, &unknown.hyphenated())?;
        ensure!(text(&other, "kind") == "holo_petition", "{other}");
        ensure!(
            other.pointer("/fields/mood_of_2031") == Some(&json!("calm")),
            "{other}"
        );
        let listed = world.records(node)?;
        let listed = listed
            .iter()
            .filter(|it| text(it, "kind") == "holo_petition");
        ensure!(listed.count() == 1, "node {node} does not list it");
        // Every payload is as it was written.
        let key = world.node(NEW)?.key;
        let logs = world.logs_of(node, &key)?;
        let mut held = Vec::new();
        for log in logs.into_keys() {
            held.extend(sent(&mut world, node, &log)?);
        }
        for (record, written) in &payloads {
            let of_record = held.iter().filter(|it| it.header.record == *record);
            let of_record: Vec<_> = of_record.filter_map(|it| it.payload.clone()).collect();
            ensure!(of_record == *written, "node {node} has other bytes");
            let digests = of_record.iter().map(|it| digest(DigestMode::Change, it));
            ensure!(digests.count() == 1);
        }
        world.sound(node)?;
    }
    world.agree(&[NEW, OLD])
}

#[test]
fn an_order_of_a_newer_hub_has_no_effect_and_stops_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let space = Space::Authority.id(&world.network()?);
    world.transact(HUB, |journal, connection| {
        let entry = NewEntry::plain(EntryKind::Authority, vec![99, 1, 2, 3]);
        journal
            .append(connection, space, vec![entry], 1_000)
            .map(drop)
    })?;
    let site = SiteId([0x33; 16]);
    world.restart(HUB)?;
    world.order(&Order::Site {
        site,
        code: "LS2".to_owned(),
        name: "示例采集点".to_owned(),
        kind: SiteKind::CollectionPoint,
    })?;
    let (id, ..) = world.add(OLD, "路灯不亮")?;
    world.heal()?;
    for node in NODES {
        let sites = world.writer(node)?.journal.authority().sites().clone();
        ensure!(
            sites.contains_key(&site),
            "node {node} stopped at the unknown order"
        );
        ensure!(world.has(HUB, &id)?);
        world.sound(node)?;
    }
    world.agree(&[NEW, OLD])
}

#[test]
fn a_device_that_speaks_the_next_version_syncs_with_an_old_hub() -> Result<()> {
    for newer in [NEW, HUB] {
        let mut world = World::with_stations(1, 2)?;
        world.speaks_newer(newer);
        let mut ids = Vec::new();
        for node in [NEW, OLD] {
            for nth in 0..70 {
                ids.push(world.add(node, &format!("意见{node}-{nth}"))?.0);
            }
        }
        world.heal()?;
        ensure!(world.violations.is_empty(), "{:?}", world.violations);
        world.agree(&[NEW, OLD])?;
        for id in &ids {
            let shown = world.show(OLD, id)?;
            ensure!(text(&shown, "state") == "merged", "{shown}");
        }
        ensure!(world.records(HUB)?.len() == ids.len());
    }
    Ok(())
}

/// What a session says to a peer of this network that speaks versions from `min` to `max`.
fn greeted(min: u16, max: u16) -> (Option<Close>, Vec<Message>) {
    let network = NetworkId([1; 32]);
    let id: SpaceId = Space::Authority.id(&network);
    let share = Share {
        space: Space::Authority,
        logs: BTreeMap::new(),
        lacks_receipts: false,
    };
    let mut session = Session::new([2; 16], 0);
    session.share(id, share);
    session.start();
    let offer = Offer {
        space: lianxin_protocol::message::space_prefix(&id),
        digest: lianxin_protocol::message::space_digest(&BTreeMap::new()),
        lacks_receipts: false,
    };
    let hello = Hello {
        min,
        max,
        features: 0,
        epoch: [3; 16],
        offers: Offers {
            spaces: vec![offer],
            complete: true,
        },
    };
    session.handle_bytes(&Message::Hello(hello).encode(), 1);
    let mut closed = None;
    while let Some(event) = session.poll_event() {
        if let lianxin_protocol::session::Event::Closed(why) = event {
            closed = Some(why);
        }
    }
    let mut reader = FrameReader::default();
    while let Some(frame) = session.poll_transmit(2) {
        reader.push(&frame);
    }
    let mut said = Vec::new();
    while let Ok(Some(message)) = reader.next_frame() {
        said.push(message);
    }
    (closed, said)
}

#[test]
fn two_versions_back_and_one_ahead_are_spoken_with_and_others_told_why_not() -> Result<()> {
    // A program of version V speaks V and accepts from V − 2 on; this one is of the first version, so that its
    // neighbours are the next two: V + 1 and V + 2 accept it, V + 3 does not.
    let speaks = |version: u16| (version.saturating_sub(2), version);
    for ahead in 0..=2 {
        let (min, max) = speaks(PROTOCOL_NOW + ahead);
        let (closed, said) = greeted(min, max);
        ensure!(closed.is_none(), "version {max}: {closed:?}");
        let refusals = said.iter().filter(|it| matches!(it, Message::Error { .. }));
        ensure!(refusals.count() == 0, "version {max}: {said:?}");
    }
    for (min, max) in [
        speaks(PROTOCOL_NOW + 3),
        (u16::MAX, u16::MAX),
        (0, 0),
        (3, 1),
    ] {
        let (closed, said) = greeted(min, max);
        let code = ErrorCode::VersionUnsupported;
        ensure!(
            matches!(closed, Some(Close::Violation(said, _)) if said == code),
            "from {min} to {max}: {closed:?}"
        );
        let told = said
            .iter()
            .any(|it| matches!(it, Message::Error { code: said, .. } if *said == code));
        ensure!(told, "from {min} to {max} nothing was said: {said:?}");
    }
    Ok(())
}
