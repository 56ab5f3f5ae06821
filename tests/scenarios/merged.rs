//! What a record shows is read from the operations of its changes where nobody disputes anything, and from Automerge where
//! somebody does; and rows that were made without Automerge are those that it would have made. They are made when the end of
//! their log is there, and whoever waits for it is told how far it has come. They move to where they arrived once all has.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::clock::Wall;
use lianxin_node::command::Write;
use lianxin_node::journal::Which;
use lianxin_node::records::{self, Projection, gather};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::log::LogId;
use lianxin_tests::World;
use lianxin_tests::world::{HUB, text};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;

/// Records that were written by one, by two in turn, and by two at once; one dispute is settled and one stands.
fn records(world: &mut World) -> Result<[String; 4]> {
    let mut ids = Vec::new();
    for title in ["one", "in turn", "settled", "disputed"] {
        ids.push(world.add(A, title)?.0);
    }
    let [one, turn, settled, disputed] = ids.try_into().unwrap_or_default();
    world.heal()?;
    world.set(A, &one, json!({ "urgency": "urgent", "people_count": 3 }))?;
    world.set(A, &one, json!({ "people_count": Value::Null }))?;
    world.set(B, &turn, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    world.set(A, &turn, json!({ "urgency": "normal", "people_count": 2 }))?;
    for id in [&settled, &disputed] {
        world.set(A, id, json!({ "urgency": "urgent", "people_count": 4 }))?;
        world.set(B, id, json!({ "urgency": "emergency_referred" }))?;
    }
    world.heal()?;
    world.set(B, &settled, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    for id in [&one, &settled] {
        world.call(
            HUB,
            Write::RecordAct {
                id: id.clone(),
                event: "accept".to_owned(),
                input: json!({}),
                account: None,
            },
        )?;
    }
    world.heal()?;
    Ok([one, turn, settled, disputed])
}

#[test]
fn rows_are_the_same_whether_operations_or_automerge_said_them() -> Result<()> {
    let mut world = World::with_stations(31, 2)?;
    let [_, _, _, disputed] = records(&mut world)?;
    let shown = world.show(HUB, &disputed)?;
    ensure!(
        text(&shown["conflicts"][0], "field") == "urgency",
        "{shown}"
    );
    for node in [HUB, A, B] {
        world.call(node, Write::Reproject)?;
        let from_operations = world.digests(node)?;
        let all = world.transact(node, |journal, connection| {
            let mut statement = connection.prepare("SELECT id FROM records ORDER BY id")?;
            let keys = statement.query_map([], |row| row.get(0))?;
            let keys = keys.collect::<Result<Vec<i64>, _>>()?;
            connection.execute("UPDATE records SET state = NULL", [])?;
            keys.iter().try_fold(keys.len(), |count, key| {
                let gathered = gather(connection, journal, *key)?;
                let merged = gathered.merged();
                let row = Projection::of(&gathered, journal.authority());
                let written = row.write(connection, journal)?;
                Ok(if merged && written { count } else { 0 })
            })
        })?;
        ensure!(all >= 4, "{all} records");
        ensure!(world.digests(node)? == from_operations);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn a_log_is_merged_when_its_end_is_there_and_its_author_hears_how_far_it_has_come() -> Result<()> {
    const MANY: usize = 99;
    const BEGUN_MS: u64 = 1_800_000_000_000;
    let mut world = World::with_stations(32, 1)?;
    for title in ["one", "two", "three", "four"] {
        world.add(A, title)?;
    }
    let logs = world.site_logs(A)?;
    let device = world.writer(A)?.journal.identity().key();
    let own = world.logs_of(A, &device)?;
    let log = logs.keys().find(|log| own.contains_key(log));
    let log = *log.context("no log")?;
    let batch = world.batch(A, &log, 0)?.context("no batch")?;
    let section = Parts::Section(&batch.packed.parts);
    let run = batch::unpack(&log, batch.start, &batch.packed.main, section)?;
    let run = run.verify(None, 0)?;
    let end = run.end().len;
    world.set_clock(HUB, BEGUN_MS)?;
    let stale = world.transact(HUB, |journal, connection| {
        journal.ingest(connection, &run, &batch.packed)?;
        journal.expect(&log, end + 1);
        let more = journal.index(connection, Which::Whole, 4_096)?;
        let before = (more, records::stale(connection, journal, MANY)?.len());
        journal.expect(&log, end);
        let more = journal.index(connection, Which::Whole, 4_096)?;
        Ok([
            before,
            (more, records::stale(connection, journal, MANY)?.len()),
        ])
    })?;
    ensure!(stale == [(false, 0), (false, 4)], "{stale:?}");
    let mut left = Vec::new();
    for second in [0, 1, 2, 2] {
        let writer = world.writer(HUB)?;
        let now = BEGUN_MS + second * 1_000;
        writer.journal.wall = Wall::Set(now);
        let (_, moved) = writer.transact(now, |journal, connection| {
            for key in records::stale(connection, journal, 1)? {
                records::merge(connection, journal, key)?;
            }
            journal.judged(connection)
        })?;
        let receipts = moved.receipts.iter().filter(|receipt| receipt.log == log);
        left.push(receipts.map(|it| end - it.judged_len).collect::<Vec<_>>());
    }
    let told = |receipts: &[u64]| matches!(receipts, [some] if (1..end / 2).contains(some));
    let [early, late] = left.split_at(2).into();
    ensure!(early.iter().all(Vec::is_empty), "{left:?}");
    ensure!(
        matches!(late, [third, last] if told(third) && *last == [0]),
        "{left:?}"
    );
    Ok(())
}

/// The log that a node writes into the space of the first site.
fn log_of(world: &mut World, node: usize) -> Result<(LogId, u64)> {
    let device = world.writer(node)?.journal.identity().key();
    let own = world.logs_of(node, &device)?;
    let (log, tip) = own.into_iter().next().context("no log")?;
    Ok((log, tip.len))
}

#[test]
fn what_arrived_is_put_in_its_place_when_all_that_is_being_sent_has_come() -> Result<()> {
    const SOME: usize = 1;
    let mut world = World::with_stations(33, 1)?;
    world.add(A, "before")?;
    world.heal()?;
    let (own, begun) = log_of(&mut world, A)?;
    for title in ["one", "two", "three"] {
        world.add(A, title)?;
    }
    let (_, end) = log_of(&mut world, A)?;
    let tip = world.site_logs(A)?[&own].position();
    world.transact(A, |journal, _| journal.offer(&own, tip))?;
    let heard = |world: &mut World| {
        let sql = "SELECT max(len) FROM arrivals WHERE log = ?1";
        world.transact(A, |journal, connection| {
            journal.index(connection, Which::Whole, 4_096)?;
            Ok(connection.query_row(sql, [own.0], |row| row.get::<_, u64>(0))?)
        })
    };
    // One save after the other comes to the hub, which says each time that it has.
    let (mut from, mut said) = (begun, Vec::new());
    let (hubs, mut told) = log_of(&mut world, HUB)?;
    while from < end {
        let writer = world.writer(A)?;
        let batch = writer.read(|journal, it| journal.load(it, &own, (from, None), SOME))?;
        let batch = batch.context("nothing to send")?;
        from = batch.end();
        world.hand_over(HUB, own, batch)?;
        let answer = world.batch(HUB, &hubs, told)?.context("no arrival")?;
        told = answer.end();
        let writer = world.writer(A)?;
        let known = writer.journal.author_of(&hubs);
        let run = batch::open(&hubs, answer.start, &answer.packed, known)?;
        world.transact(A, |journal, it| {
            journal.ingest(it, &run, &answer.packed)?;
            records::merge_little(it, journal)
        })?;
        said.push(heard(&mut world)?);
    }
    ensure!(said == [begun, begun, end], "{said:?}");
    // A line that ends in between leaves nothing to wait for.
    world.add(A, "four")?;
    world.add(A, "five")?;
    let tip = world.site_logs(A)?[&own].position();
    world.transact(A, |journal, _| journal.offer(&own, tip))?;
    let writer = world.writer(A)?;
    let batch = writer.read(|journal, it| journal.load(it, &own, (end, None), SOME))?;
    let batch = batch.context("nothing to send")?;
    let middle = batch.end();
    world.hand_over(HUB, own, batch)?;
    let answer = world.batch(HUB, &hubs, told)?.context("no arrival")?;
    let known = world.writer(A)?.journal.author_of(&hubs);
    let run = batch::open(&hubs, answer.start, &answer.packed, known)?;
    world.transact(A, |journal, it| journal.ingest(it, &run, &answer.packed))?;
    ensure!(heard(&mut world)? == end);
    world.writer(A)?.journal.line_ended();
    ensure!(heard(&mut world)? == middle);
    world.heal()?;
    world.sound(A)
}
