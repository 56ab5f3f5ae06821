//! What counts of a record, attacked by an enrolled device that signs whatever it likes: on the hub and on every
//! station an acknowledged record stays as it was, and equal logs show equal states.

use anyhow::{Context as _, Result, ensure};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT, ReadDoc as _};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::{Code, Error};
use lianxin_node::journal::Which;
use lianxin_node::records::{self, Projection};
use lianxin_protocol::arrival::{self, Arrival};
use lianxin_protocol::authority::Reason;
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::document::{Document, Edit, Scalar};
use lianxin_protocol::log::{DigestMode, EntryKind, LogId, NewEntry, Position, RecordId, digest};
use lianxin_protocol::message::WireBatch;
use lianxin_protocol::space::{Space, SpaceId};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, code_of, text};
use serde_json::{Value, json};

const VICTIM: usize = 1;
const HOSTILE: usize = 2;

/// What hub and station show of a record.
type Shown = [Value; 2];

fn shown(world: &mut World, id: &str) -> Result<Shown> {
    Ok([world.show(HUB, id)?, world.show(VICTIM, id)?])
}

/// An opinion that the hub has accepted and every node shows.
fn accepted(world: &mut World) -> Result<(String, Shown)> {
    let (id, ..) = world.add(VICTIM, "路灯不亮")?;
    world.heal()?;
    world.act(HUB, &id, "accept")?.context("not accepted")?;
    world.heal()?;
    let before = shown(world, &id)?;
    for shown in &before {
        ensure!(text(shown, "status") == "accepted", "{shown}");
    }
    Ok((id, before))
}

/// Appends a change to the hostile device's log of a space, whatever it is.
fn forge(
    world: &mut World,
    space: SpaceId,
    record: RecordId,
    make: impl FnOnce(&mut AutoCommit, [u8; 16]) -> Result<(), automerge::AutomergeError>,
) -> Result<()> {
    world.transact(HOSTILE, |journal, connection| {
        let now = lianxin_node::clock::now_ms();
        let log = journal.prepare(connection, space, now)?;
        let mut document = AutoCommit::new();
        let failed =
            |error: automerge::AutomergeError| Error::because(Code::Internal, "no change", error);
        let known = records::find(connection, &record.hyphenated());
        if let Ok(key) = known {
            let gathered = records::gather(connection, journal, key)?;
            document = AutoCommit::load(&gathered.automerge()?).map_err(failed)?;
        }
        document.set_actor(log.actor().as_slice().into());
        make(&mut document, log.actor()).map_err(failed)?;
        document.commit_with(automerge::transaction::CommitOptions::default().with_time(0));
        let mut change = document.get_last_local_change();
        let payload = change
            .as_mut()
            .map(|it| it.raw_bytes().to_vec())
            .unwrap_or_default();
        append(journal, connection, space, record, payload)
    })?;
    world.merge(HOSTILE)?;
    Ok(())
}

fn append(
    journal: &mut lianxin_node::journal::Journal,
    connection: &rusqlite::Connection,
    space: SpaceId,
    record: RecordId,
    payload: Vec<u8>,
) -> lianxin_node::error::Result<()> {
    let entry = NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record,
        payload,
    };
    let now = lianxin_node::clock::now_ms();
    journal
        .append(connection, space, vec![entry], now)
        .map(drop)
}

/// What people see of a record has not changed.
fn same(world: &mut World, id: &str, before: &Shown) -> Result<()> {
    const KEYS: [&str; 7] = [
        "kind",
        "number",
        "title",
        "fields",
        "status",
        "events",
        "conflicts",
    ];
    for (now, before) in shown(world, id)?.iter().zip(before) {
        for key in KEYS {
            ensure!(
                now.get(key) == before.get(key),
                "{key} of {now}\nwas {before}"
            );
        }
    }
    Ok(())
}

/// After everything has been exchanged, and after everything has been derived anew, each node shows the record as it was.
fn unharmed(world: &mut World, id: &str, before: &Shown) -> Result<()> {
    for again in ["at first", "derived anew"] {
        world.heal()?;
        same(world, id, before).context(again)?;
        for node in [HUB, VICTIM] {
            world.sound(node)?;
            world.call(node, Write::Reproject)?;
        }
    }
    world.agree(&[VICTIM, HOSTILE])
}

#[test]
fn whoever_founds_a_record_again_has_founded_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, before) = accepted(&mut world)?;
    let record = RecordId::parse(&id).context("no id")?;
    let space = world.site_space()?;
    // Among so many one has a smaller hash than the first change.
    for number in 0..24 {
        world.transact(HOSTILE, |journal, connection| {
            let log = journal.prepare(connection, space, 1_000)?;
            let title = Scalar::Str(format!("没有这回事 {number}"));
            let edit = Edit {
                kind: Some("opinion".to_owned()),
                by: "a".to_owned(),
                fields: [("title".to_owned(), Some(title))].into(),
                events: Vec::new(),
            };
            let change = Document::new().edit(&log.actor(), &edit);
            let change = change.map_err(|error| Error::because(Code::Internal, "no", error))?;
            append(journal, connection, space, record, change.bytes)
        })?;
    }
    unharmed(&mut world, &id, &before)?;
    let held = world.exceptions(HUB)?;
    let guarded = held.iter().filter(|it| it.3 == Reason::Guard.code());
    ensure!(guarded.map(|it| it.2 - it.1).sum::<u64>() == 24, "{held:?}");
    // And the owner works on.
    world
        .set(VICTIM, &id, json!({"urgency": "urgent"}))?
        .context("not set")?;
    world.heal()?;
    ensure!(world.show(HUB, &id)?.pointer("/fields/urgency") == Some(&json!("urgent")));
    Ok(())
}

#[test]
fn an_id_names_one_space_and_a_device_of_another_site_changes_nothing_under_it() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let hostile = world.add_site("LS2", "LS2A")?;
    ensure!(hostile == HOSTILE);
    let (id, before) = accepted(&mut world)?;
    let record = RecordId::parse(&id).context("no id")?;
    let site = world
        .writer(HOSTILE)?
        .journal
        .authority()
        .site_by_code("LS2");
    let space = Space::Site(site.context("no site")?).id(&world.network()?);
    // One that builds on the record, by whoever has come to know its changes.
    let known = world.transact(HUB, |journal, connection| {
        let key = records::find(connection, &id)?;
        records::gather(connection, journal, key)?.automerge()
    })?;
    world.transact(HOSTILE, |journal, connection| {
        let log = journal.prepare(connection, space, 1_000)?;
        let failed =
            |error: automerge::AutomergeError| Error::because(Code::Internal, "no change", error);
        let mut document = AutoCommit::load(&known).map_err(failed)?;
        document.set_actor(log.actor().as_slice().into());
        let (_, fields) = document
            .get(ROOT, "fields")
            .map_err(failed)?
            .unwrap_or_else(|| unreachable!());
        document.put(&fields, "title", "另一件事").map_err(failed)?;
        document.commit_with(automerge::transaction::CommitOptions::default().with_time(0));
        let mut change = document.get_last_local_change();
        let payload = change.as_mut().map(|it| it.raw_bytes().to_vec());
        append(
            journal,
            connection,
            space,
            record,
            payload.unwrap_or_default(),
        )
    })?;
    world.heal()?;
    same(&mut world, &id, &before)?;
    // And one that founds it again.
    forge(&mut world, space, record, |document, _| {
        document.put(ROOT, "kind", "opinion")?;
        let fields = document.put_object(ROOT, "fields", ObjType::Map)?;
        document.put(&fields, "title", "另一件事")?;
        document.put_object(ROOT, "events", ObjType::Map).map(drop)
    })?;
    world.heal()?;
    same(&mut world, &id, &before)?;
    // Also where the forged entry comes first: the founder's space is the record's.
    let late = world.add_operator("HUBB")?;
    world.heal()?;
    same(&mut world, &id, &before)?;
    for node in [HUB, VICTIM, late] {
        ensure!(text(&world.show(node, &id)?, "status") == "accepted");
        ensure!(world.records(node)?.len() == 1, "node {node} lists another");
        world.sound(node)?;
    }
    world.agree(&[late])
}

#[test]
fn events_maps_and_kind_of_an_accepted_record_cannot_be_taken_away() -> Result<()> {
    type Attack = fn(&mut AutoCommit) -> Result<(), automerge::AutomergeError>;
    let attacks: [(&str, Attack); 6] = [
        ("events deleted", |document| {
            let (_, events) = document
                .get(ROOT, "events")?
                .unwrap_or_else(|| unreachable!());
            let keys: Vec<_> = document.keys(&events).collect();
            keys.iter()
                .try_for_each(|key| document.delete(&events, key.as_str()))
        }),
        ("an event written into", |document| {
            let (_, events) = document
                .get(ROOT, "events")?
                .unwrap_or_else(|| unreachable!());
            let key = document.keys(&events).last().unwrap_or_default();
            let (_, event) = document
                .get(&events, key)?
                .unwrap_or_else(|| unreachable!());
            document.put(&event, "by", "nobody")
        }),
        ("the events replaced", |document| {
            document.put_object(ROOT, "events", ObjType::Map).map(drop)
        }),
        ("the fields deleted", |document| {
            document.delete(ROOT, "fields")
        }),
        ("the kind set anew", |document| {
            document.put(ROOT, "kind", "visit")
        }),
        ("a text for the title", |document| {
            let (_, fields) = document
                .get(ROOT, "fields")?
                .unwrap_or_else(|| unreachable!());
            document
                .put_object(&fields, "title", ObjType::Text)
                .map(drop)
        }),
    ];
    for (name, attack) in attacks {
        let mut world = World::with_stations(1, 2)?;
        let (id, before) = accepted(&mut world)?;
        let record = RecordId::parse(&id).context("no id")?;
        let space = world.site_space()?;
        forge(&mut world, space, record, |document, _| attack(document))?;
        unharmed(&mut world, &id, &before).with_context(|| name.to_owned())?;
        let held = world.exceptions(HUB)?;
        ensure!(
            held.iter().any(|it| it.3 == Reason::Guard.code()),
            "{name}: {held:?}"
        );
    }
    Ok(())
}

#[test]
fn what_waits_for_ever_stops_nobody_and_is_said_to_wait() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, ..) = accepted(&mut world)?;
    let record = RecordId::parse(&id).context("no id")?;
    let space = world.site_space()?;
    forge(&mut world, space, record, |document, _| {
        let (_, fields) = document
            .get(ROOT, "fields")?
            .unwrap_or_else(|| unreachable!());
        document.put(&fields, "urgency", "urgent")
    })?;
    // The same change, building on one that nobody will ever see.
    world.transact(HOSTILE, |journal, connection| {
        let log = journal.prepare(connection, space, 1_000)?;
        let payload = waiting_for_ever(log.actor());
        append(journal, connection, space, record, payload)
    })?;
    world.heal()?;
    for node in [HUB, VICTIM] {
        let shown = world.show(node, &id)?;
        ensure!(shown.get("waiting") == Some(&json!(1)), "{shown}");
        let missing = shown.get("missing").and_then(Value::as_array).map(Vec::len);
        ensure!(missing == Some(1), "{shown}");
        // It is not said to have been received, and not to be held back either.
        ensure!(text(&shown, "state") == "sending", "{shown}");
    }
    let held = world.exceptions(HUB)?;
    ensure!(held.iter().any(|it| it.3 == 8), "{held:?}");
    for node in [VICTIM, HUB] {
        world
            .set(node, &id, json!({"people_count": node + 5}))?
            .context("not set")?;
        world.heal()?;
    }
    ensure!(world.show(VICTIM, &id)?.pointer("/fields/people_count") == Some(&json!(5)));
    world.agree(&[VICTIM, HOSTILE])
}

/// A change whose second number names it as the next of its log, on top of what is nowhere.
fn waiting_for_ever(actor: [u8; 16]) -> Vec<u8> {
    let mut content = vec![1];
    content.extend([0xab; 32]);
    content.push(16);
    content.extend(actor);
    // Number, first operation, time, message, other actors, columns.
    content.extend([2, 99, 0, 0, 0, 0]);
    let len = u8::try_from(content.len()).unwrap_or_default();
    let mut chunk = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, len];
    chunk.extend(content);
    let hash = digest(DigestMode::Change, &chunk);
    chunk.splice(4..8, hash.into_iter().take(4));
    chunk
}

#[test]
fn the_words_of_a_registered_opinion_stay_as_they_were_said() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, before) = accepted(&mut world)?;
    let record = RecordId::parse(&id).context("no id")?;
    let space = world.site_space()?;
    for node in [HUB, VICTIM] {
        let refused = world.set(node, &id, json!({"body": "没有这回事"}));
        ensure!(refused.is_err_and(|error| code_of(&error) == Some(Code::Fixed)));
    }
    // Nor does a device that writes past its own program replace or clear them.
    forge(&mut world, space, record, |document, _| {
        let (_, fields) = document
            .get(ROOT, "fields")?
            .unwrap_or_else(|| unreachable!());
        document.put(&fields, "body", "没有这回事")
    })?;
    world.heal()?;
    same(&mut world, &id, &before)?;
    forge(&mut world, space, record, |document, _| {
        let (_, fields) = document
            .get(ROOT, "fields")?
            .unwrap_or_else(|| unreachable!());
        document.delete(&fields, "body")
    })?;
    unharmed(&mut world, &id, &before)?;
    // What was tried is told by the history, with the values.
    let history = world.call(
        HUB,
        Query::RecordHistory {
            id: id.clone(),
            account: None,
        },
    )?;
    let last = history
        .pointer("/changes")
        .and_then(Value::as_array)
        .and_then(|it| it.last());
    let last = last
        .and_then(|change| change.pointer("/values/0"))
        .context("no values")?;
    ensure!(
        text(last, "field") == "body" && last.get("new") == Some(&Value::Null),
        "{last}"
    );
    ensure!(text(last, "old") == "没有这回事", "{last}");
    Ok(())
}

// rule:arrival-written rule:arrival-time
#[test]
fn a_record_has_arrived_when_the_hub_first_stored_it_and_everyone_says_so_for_ever() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let operator = world.add_operator("HUBB")?;
    let arrived = |world: &mut World, node, id: &str| -> Result<Value> {
        Ok(world
            .show(node, id)?
            .get("received_at")
            .cloned()
            .unwrap_or_default())
    };
    let (first, ..) = world.add(VICTIM, "路灯不亮")?;
    ensure!(
        arrived(&mut world, VICTIM, &first)? == Value::Null,
        "before anybody has it"
    );
    world.set_clock(HUB, 1_800_000_000_000)?;
    world.heal()?;
    let said = json!("2027-01-15T08:00:00.000Z");
    // The next record of the device and an edit of the first come later, with a clock that was set back in between.
    world.set_clock(HUB, 1_790_000_000_000)?;
    let (second, ..) = world.add(VICTIM, "井盖松动")?;
    world
        .set(VICTIM, &first, json!({"urgency": "urgent"}))?
        .context("not set")?;
    world.heal()?;
    let own = world.add(HUB, "街道自己登记的")?.0;
    world.heal()?;
    for again in ["at first", "derived anew"] {
        for node in [HUB, VICTIM, HOSTILE, operator] {
            let shown = arrived(&mut world, node, &first)?;
            ensure!(shown == said, "{again}, node {node}: {shown}");
            // Not before what had arrived by then.
            let later = arrived(&mut world, node, &second)?;
            ensure!(later == said, "{again}, node {node}: {later}");
            world.sound(node)?;
        }
        ensure!(
            arrived(&mut world, HUB, &own)? != Value::Null,
            "the hub's own arrive as they are written"
        );
        for node in [HUB, VICTIM, HOSTILE, operator] {
            world.call(node, Write::Reproject)?;
        }
    }
    // Whoever is no hub says nothing by it, whatever numbers it signs, and does not move the hub's clock.
    let space = world.site_space()?;
    let victim = world.node(VICTIM)?.key;
    let log = *world
        .logs_of(HUB, &victim)?
        .keys()
        .next()
        .context("no log")?;
    for (len, received_at_ms) in [(1, 5), (1 << 63, 5), (5, u64::MAX), (5, i64::MAX as u64)] {
        world.transact(HOSTILE, |journal, connection| {
            let head = log.0;
            let arrival = Arrival {
                log,
                position: Position { len, head },
                received_at_ms,
            };
            let entry = NewEntry::plain(EntryKind::Arrival, arrival::encode(&[arrival]));
            journal
                .append(connection, space, vec![entry], 1_000)
                .map(drop)
        })?;
    }
    world.heal()?;
    world.restart(HUB)?;
    let (third, ..) = world.add(VICTIM, "三")?;
    world.heal()?;
    ensure!(
        arrived(&mut world, HUB, &third)? == said,
        "the hub's clock was moved"
    );
    for node in [HUB, VICTIM, HOSTILE, operator] {
        ensure!(arrived(&mut world, node, &first)? == said, "node {node}");
    }
    world.agree(&[VICTIM, HOSTILE, operator])
}

// rule:absent-parts-only rule:missing-asked rule:missing-filled
#[test]
fn a_row_that_was_made_from_less_than_is_there_is_not_written() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (id, ..) = world.add(VICTIM, "路灯不亮")?;
    let write = |world: &mut World, made: &Projection| {
        world.transact(VICTIM, |journal, connection| {
            made.write(connection, journal)
        })
    };
    let make = |world: &mut World| {
        world.transact(VICTIM, |journal, connection| {
            let key = records::find(connection, &id)?;
            let gathered = records::gather(connection, journal, key)?;
            Ok(Projection::of(&gathered, journal.authority()))
        })
    };
    let made = make(&mut world)?;
    ensure!(write(&mut world, &made)?, "nothing came between");
    let changed = world.set(VICTIM, &id, json!({"urgency": "urgent"}))?;
    changed.context("not set")?;
    let shown = world.show(VICTIM, &id)?;
    ensure!(!write(&mut world, &made)?, "an edit came between");
    ensure!(world.show(VICTIM, &id)? == shown);
    let made = make(&mut world)?;
    ensure!(write(&mut world, &made)?);
    Ok(())
}

/// Gives all of a node's log to another.
fn carry(world: &mut World, (from, to): (usize, usize), log: &LogId, merged: bool) -> Result<()> {
    let mut at = 0;
    while let Some(batch) = world.batch(from, log, at)? {
        at = batch.end();
        match merged {
            true => world.hand_over(to, *log, batch)?,
            false => world.take_in(to, *log, batch)?,
        }
    }
    Ok(())
}

#[test]
fn of_many_records_rows_say_in_slices_how_far_they_came_and_lists_at_once() -> Result<()> {
    const MANY: usize = 700;
    let told = |world: &mut World, which: &str| -> Result<usize> {
        let sql = format!("SELECT count(*) FROM records WHERE kind = 'opinion' AND {which}");
        Ok(world
            .writer(VICTIM)?
            .read(|_, connection| Ok(connection.query_row(&sql, [], |row| row.get(0))?))?)
    };
    let has_arrived = format!("arrived < {}", i64::MAX);
    for crashes in [false, true] {
        let mut world = World::with_stations(1, 1)?;
        let rows =
            (0..MANY).map(|number| json!({"category": "help", "body": format!("路灯{number}")}));
        let add = Write::RecordAdd {
            kind: "opinion".to_owned(),
            rows: rows.collect(),
            first_row: 1,
            account: None,
        };
        world.call(VICTIM, add)?;
        for log in world.site_logs(VICTIM)?.into_keys() {
            carry(&mut world, (VICTIM, HUB), &log, true)?;
        }
        let space = world.site_space()?;
        let receipts = world
            .writer(HUB)?
            .read(|journal, connection| journal.receipts(connection, &space))?;
        world.transact(VICTIM, |journal, connection| {
            receipts
                .iter()
                .try_for_each(|it| journal.take_receipt(connection, it).map(drop))
        })?;
        let reached = told(&mut world, "reached = 3")?;
        ensure!(
            0 < reached && reached < MANY,
            "{reached} rows in one transaction"
        );
        let listed = world.records(VICTIM)?;
        ensure!(
            listed.iter().all(|it| text(it, "state") == "merged"),
            "{listed:?}"
        );

        for log in world.site_logs(HUB)?.into_keys() {
            carry(&mut world, (HUB, VICTIM), &log, false)?;
        }
        world.transact(VICTIM, |journal, connection| {
            journal.index(connection, Which::All, u64::MAX)
        })?;
        let placed = told(&mut world, &has_arrived)?;
        ensure!(
            0 < placed && placed < MANY,
            "{placed} rows in one transaction"
        );
        if crashes {
            world.restart(VICTIM)?;
        }
        world.writer(VICTIM)?.catch_up(|_| {})?;
        let all = (
            told(&mut world, "reached = 3")?,
            told(&mut world, &has_arrived)?,
        );
        ensure!(all == (MANY, MANY), "{all:?} of {MANY}, crashed: {crashes}");
        let astray = "EXISTS (SELECT 1 FROM indexed_fields WHERE indexed_fields.record = records.id
                          AND indexed_fields.arrived <> records.arrived)";
        ensure!(told(&mut world, astray)? == 0);
    }
    Ok(())
}

#[test]
fn a_part_that_a_relay_strips_is_missed_by_the_hub_and_comes_from_whoever_has_it() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, ..) = world.add(VICTIM, "路灯不亮")?;
    let victim = world.node(VICTIM)?.key;
    let log = *world
        .logs_of(VICTIM, &victim)?
        .keys()
        .next()
        .context("no log")?;
    let batch = world.batch(VICTIM, &log, 0)?.context("no batch")?;
    let without = |stripped: fn(EntryKind) -> bool| -> Result<WireBatch> {
        let mut run = batch::unpack(
            &log,
            batch.start,
            &batch.packed.main,
            Parts::Section(&batch.packed.parts),
        )?;
        let entries = run.entries.iter_mut();
        for entry in entries.filter(|it| stripped(it.header.kind)) {
            entry.payload = None;
        }
        let packed = batch::pack(&run);
        ensure!(packed.parts.is_empty(), "texts are in it");
        Ok(WireBatch {
            packed,
            ..batch.clone()
        })
    };
    // What no order may erase cannot be left out: such a run is dropped whole, and nothing stops.
    let bare = without(|kind| kind != EntryKind::Genesis)?;
    world.hand_over(HOSTILE, log, bare)?;
    let kept = world.logs_of(HOSTILE, &victim)?;
    ensure!(kept.is_empty(), "a run without its changes was stored");
    // The other station relays the log, without its texts.
    world.hand_over(HUB, log, without(|kind| kind == EntryKind::Part)?)?;
    world.merge(HUB)?;
    let shown = world.show(HUB, &id)?;
    ensure!(text(&shown, "state") == "sending", "{shown}");
    ensure!(
        shown.pointer("/fields/body").is_none_or(Value::is_null),
        "{shown}"
    );
    // Digests are equal, and the texts are asked for and come all the same; only then does a receipt cover the record. The
    // third device was given the log while the hub lacked them: it asks when it meets the hub again.
    world.heal()?;
    world.unlink_all();
    world.heal()?;
    for node in [HUB, VICTIM, HOSTILE] {
        let shown = world.show(node, &id)?;
        ensure!(
            shown.pointer("/fields/body").is_some_and(Value::is_string),
            "{node}: {shown}"
        );
        ensure!(text(&shown, "state") == "merged", "{node}: {shown}");
        world.sound(node)?;
    }
    world.agree(&[VICTIM, HOSTILE])
}
