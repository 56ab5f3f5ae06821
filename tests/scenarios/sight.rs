//! Nothing is hidden: what does not count stays in lists, in searches and in exports with its own words and its reason, and
//! what a fork took from a device in good standing counts again, once, without anybody's doing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use automerge::transaction::Transactable as _;
use automerge::{AutoCommit, ObjType, ROOT, ScalarValue};
use lianxin_node::actor::Actor;
use lianxin_node::command::{Listing, Query, Write};
use lianxin_node::error::{Code, Error};
use lianxin_node::{records, slips};
use lianxin_protocol::authority::{Cut, Order};
use lianxin_protocol::log::{DigestMode, EntryKind, NewEntry, RecordId};
use lianxin_tests::world::{BACK_TO_SCHEMA_2, HUB, copy_files, text};
use lianxin_tests::{Wire, World};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;

fn everything(_: &str) -> bool {
    true
}

/// The row of a record in a node's list.
fn row(world: &mut World, node: usize, id: &str) -> Result<Value> {
    let rows = world.records(node)?;
    let row = rows.into_iter().find(|row| text(row, "id") == id);
    row.with_context(|| format!("node {node} does not list {id}"))
}

fn listed(world: &mut World, node: usize, state: &str, search: &str) -> Result<Vec<String>> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let list = world.call(
        node,
        Query::RecordList(Listing {
            state: some(state),
            search: some(search),
            ..Listing::default()
        }),
    )?;
    let rows = list.get("records").and_then(Value::as_array);
    let rows = rows.context("no records")?;
    Ok(rows.iter().map(|row| text(row, "id")).collect())
}

fn status(world: &mut World, node: usize, key: &str) -> Result<u64> {
    let command = Query::Status {
        unreceipted_minutes: 120,
    };
    let status = world.call(node, command)?;
    let figure = status.get(key).and_then(Value::as_u64);
    figure.with_context(|| format!("no figure {key}"))
}

fn exported(world: &mut World, node: usize) -> Result<Vec<Value>> {
    let command = Query::ExportPage {
        after: None,
        documents: true,
        account: None,
        kind: None,
        recorded_ms: None,
    };
    let page = world.call(node, command)?;
    let records = page.get("records").and_then(Value::as_array);
    Ok(records.context("no records")?.clone())
}

/// Where the hub has the logs of the first station.
fn places(world: &mut World) -> Result<Vec<Cut>> {
    let device = world.node(A)?.key;
    let logs = world.logs_of(HUB, &device)?;
    let cuts = logs.into_iter().map(|(log, tip)| Cut {
        log,
        position: tip.position(),
    });
    Ok(cuts.collect())
}

/// Revokes the first station at these places.
fn revoke(world: &mut World, cuts: Vec<Cut>) -> Result<()> {
    let device = world.node(A)?.key;
    world.order(&Order::Revoke {
        device,
        lost: true,
        cuts,
    })
}

#[test]
fn what_a_cut_holds_back_stands_in_lists_searches_and_exports_and_in_no_figure() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "剪断以前")?;
    world.heal()?;
    let cuts = places(&mut world)?;
    let (held, number, _) = world.add(A, "剪断以后的路灯")?;
    world.heal()?;
    revoke(&mut world, cuts)?;
    world.heal()?;
    for node in [HUB, B] {
        let row = row(&mut world, node, &held)?;
        ensure!(
            text(&row, "state") == "quarantined" && text(&row, "held") == "revoked",
            "{row}"
        );
        ensure!(
            text(&row, "number") == number && text(&row, "title") == "剪断以后的路灯",
            "{row}"
        );
        ensure!(listed(&mut world, node, "quarantined", "")? == std::slice::from_ref(&held));
        ensure!(!listed(&mut world, node, "merged", "")?.contains(&held));
        for search in ["剪断以后", number.as_str()] {
            ensure!(
                listed(&mut world, node, "", search)? == std::slice::from_ref(&held),
                "{search}"
            );
        }
        // By its number as by its id.
        for name in [&held, &number] {
            let shown = world.show(node, name)?;
            ensure!(
                text(&shown, "id") == held && text(&shown, "held") == "revoked",
                "{shown}"
            );
            ensure!(text(&shown, "state") == "quarantined", "{shown}");
            ensure!(
                shown.pointer("/fields/title") == Some(&json!("剪断以后的路灯")),
                "{shown}"
            );
        }
        let exported = exported(&mut world, node)?;
        let exported = exported.iter().find(|it| text(it, "id") == held);
        let exported = exported.context("not exported")?;
        ensure!(text(exported, "state") == "quarantined" && text(exported, "held") == "revoked");
        ensure!(status(&mut world, node, "records")? == 1, "it is counted");
        ensure!(
            status(&mut world, node, "quarantined")? == 1,
            "nobody is told"
        );
        world.sound(node)?;
        // Nobody goes on with it.
        ensure!(
            world
                .set(node, &held, json!({ "urgency": "urgent" }))?
                .is_none()
        );
    }
    world.agree(&[B])
}

/// Hands a node all that a station has of its logs, as somebody would who brings it on a stick.
fn bring(world: &mut World, from: usize, to: usize) -> Result<()> {
    let device = world.node(from)?.key;
    for log in world.logs_of(from, &device)?.into_keys() {
        let mut at = 0;
        while let Some(batch) = world.batch(from, &log, at)? {
            at = batch.start.len + u64::from(batch.packed.count);
            world.hand_over(to, log, batch)?;
        }
    }
    Ok(())
}

/// A station whose directory is put back to what it was before the hub and it had recorded more, and that records
/// before anybody can tell. Gives what counts, and what it wrote on the branch that loses.
fn put_back(world: &mut World, lost: &[&str]) -> Result<(Vec<String>, BTreeMap<String, String>)> {
    let mut counts = vec![world.add(A, "一")?.0];
    world.heal()?;
    world.save(A, "old")?;
    for title in ["二", "三", "四", "五"] {
        counts.push(world.add(A, title)?.0);
    }
    world.heal()?;
    world.load(A, "old", everything)?;
    let mut titles = BTreeMap::new();
    for title in lost {
        titles.insert(world.add(A, title)?.0, (*title).to_owned());
    }
    Ok((counts, titles))
}

/// The record that stands in the place of a lost one, the same at these nodes, and counted once.
fn stands(world: &mut World, nodes: &[usize], lost: &str, title: &str) -> Result<String> {
    let mut found = None;
    for node in nodes {
        let old = row(world, node.to_owned(), lost)?;
        ensure!(
            text(&old, "state") == "quarantined" && text(&old, "held") == "forked",
            "{old}"
        );
        let again = text(&old, "superseded_by");
        let new = row(world, *node, &again)?;
        ensure!(
            new.get("held") == Some(&Value::Null) && text(&new, "title") == title,
            "{new}"
        );
        ensure!(found.get_or_insert(again.clone()) == &again, "nodes differ");
        let rows = world.records(*node)?;
        let counting = rows
            .iter()
            .filter(|row| text(row, "title") == title && row.get("held") == Some(&Value::Null));
        ensure!(
            counting.count() == 1,
            "node {node} counts {title} more than once"
        );
    }
    found.context("no node")
}

// rule:rewrite-by-author
#[test]
fn what_a_station_wrote_on_a_branch_that_lost_it_writes_again_by_itself() -> Result<()> {
    // A branch that is shorter than the one that counts: the hub is shown a proof. Of a longer one it keeps the beginning.
    rewritten(&["六", "七", "八"], &[A])?;
    rewritten(&["六", "七", "八", "九", "十"], &[HUB, A])
}

fn rewritten(lost: &[&str], holders: &[usize]) -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (counts, lost) = put_back(&mut world, lost)?;
    let count = (counts.len() + lost.len()) as u64;
    world.heal()?;
    world.heal()?;
    for (old, title) in &lost {
        let new = stands(&mut world, holders, old, title)?;
        let shown = world.show(HUB, &new)?;
        ensure!(text(&shown, "state") == "merged", "{shown}");
        ensure!(
            shown.pointer("/fields/supersedes") == Some(&json!(old)),
            "{shown}"
        );
        ensure!(world.has(B, &new)?, "the other station lacks it");
    }
    for node in [HUB, A, B] {
        for id in &counts {
            ensure!(world.has(node, id)?, "node {node} lost {id}");
        }
        ensure!(status(&mut world, node, "records")? == count, "node {node}");
        ensure!(
            status(&mut world, node, "quarantined")? == 0,
            "node {node} needs a person"
        );
        ensure!(listed(&mut world, node, "merged", "")?.len() as u64 == count);
        world.sound(node)?;
    }
    world.agree(&[A, B])?;
    world.claims_hold(&[A, B])
}

#[test]
fn what_a_fork_took_is_in_sight_before_it_is_written_again() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (_, lost) = put_back(&mut world, &["断桥", "断桥", "断桥", "断桥", "断桥"])?;
    world.unlink_all();
    bring(&mut world, A, HUB)?;
    let (lost, _) = lost.first_key_value().context("nothing was lost")?;
    let row = row(&mut world, HUB, lost)?;
    ensure!(
        text(&row, "state") == "quarantined" && text(&row, "held") == "forked",
        "{row}"
    );
    ensure!(row.get("superseded_by") == Some(&Value::Null), "{row}");
    ensure!(
        listed(&mut world, HUB, "", "断桥")?.contains(lost),
        "it is not found"
    );
    ensure!(
        exported(&mut world, HUB)?
            .iter()
            .any(|it| text(it, "id") == *lost)
    );
    ensure!(status(&mut world, HUB, "quarantined")? > 0);
    world.sound(HUB)?;
    world.restart(HUB)?;
    ensure!(world.records(HUB)?.iter().any(|it| text(it, "id") == *lost));
    Ok(())
}

// rule:rewrite-once
#[test]
fn a_station_that_is_put_back_twice_writes_each_thing_again_once() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (counts, mut lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    world.heal()?;
    world.heal()?;
    // Once more, to the same image: what it has written again since is forgotten here, and comes back.
    world.load(A, "old", everything)?;
    let (again, ..) = world.add(A, "十一")?;
    lost.insert(again, "十一".to_owned());
    for _ in 0..3 {
        world.heal()?;
    }
    for node in [HUB, A, B] {
        let rows = world.records(node)?;
        for title in lost.values() {
            let counting = rows.iter().filter(|row| {
                text(row, "title") == *title && row.get("held") == Some(&Value::Null)
            });
            ensure!(counting.count() == 1, "node {node}: {title} in {rows:#?}");
        }
        for id in &counts {
            ensure!(world.has(node, id)?, "node {node} lost {id}");
        }
        // No number is on two records that count: what came back had numbers that the store had forgotten.
        let counting = rows
            .iter()
            .filter(|row| row.get("held") == Some(&Value::Null));
        let numbers: Vec<_> = counting.map(|row| text(row, "number")).collect();
        let different: BTreeSet<_> = numbers.iter().collect();
        ensure!(different.len() == numbers.len(), "node {node}: {numbers:?}");
        ensure!(status(&mut world, node, "records")? == (counts.len() + lost.len()) as u64);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn what_was_written_again_and_is_lost_once_more_goes_on_standing_for_the_first() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (_, lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    // It settles and writes again while nobody hears of it.
    world.heal()?;
    let device = world.node(A)?.key;
    ensure!(world.logs_of(A, &device)?.len() == 2);
    world.save(A, "settled")?;
    world.add(A, "以后")?;
    world.heal()?;
    world.load(A, "settled", everything)?;
    world.add(A, "以后的另一件")?;
    for _ in 0..3 {
        world.heal()?;
    }
    for (old, title) in &lost {
        stands(&mut world, &[A], old, title)?;
    }
    for node in [HUB, A, B] {
        let rows = world.records(node)?;
        for title in lost
            .values()
            .map(String::as_str)
            .chain(["以后", "以后的另一件"])
        {
            let counting = rows
                .iter()
                .filter(|row| text(row, "title") == title && row.get("held") == Some(&Value::Null));
            ensure!(counting.count() == 1, "node {node}: {title}");
        }
        ensure!(status(&mut world, node, "quarantined")? == 0);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn two_stores_of_one_device_write_a_record_again_and_one_of_them_stands() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (_, lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    // Its disk is copied, and both run.
    world.stop(A)?;
    let (from, to) = (world.node(A)?.directory.clone(), world.fresh_path("copy"));
    copy_files(&from, &to, |name| name != "lock")?;
    world.start(A)?;
    let copy = world.adopt_directory("copy", to)?;
    for node in [A, copy] {
        world.link(node, HUB, Wire::GOOD)?;
        world.run()?;
        // Neither hears of the other.
        world.unlink_all();
    }
    for _ in 0..3 {
        world.heal()?;
    }
    for (old, title) in &lost {
        stands(&mut world, &[HUB, A, copy], old, title)?;
    }
    for node in [HUB, A, B, copy] {
        ensure!(status(&mut world, node, "records")? == 10, "node {node}");
        ensure!(status(&mut world, node, "quarantined")? == 0, "node {node}");
        world.sound(node)?;
    }
    world.agree(&[A, B, copy])
}

#[test]
fn a_retry_and_a_number_lead_to_what_was_written_again() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    world.add(A, "一")?;
    world.heal()?;
    world.save(A, "old")?;
    let (kept, taken, _) = world.add(A, "二甲")?;
    world.heal()?;
    world.load(A, "old", everything)?;
    let mut opinion = lianxin_tests::world::opinion("二乙");
    opinion["submission_id"] = json!("提交一次");
    let (lost, number) = world.record(A, "opinion", opinion.clone())?;
    ensure!(
        number == taken,
        "the number was not given twice: {number} {taken}"
    );
    let record = RecordId::parse(&lost).context("no id")?;
    let code = record.query_code();
    world.heal()?;
    world.heal()?;
    let new = stands(&mut world, &[HUB, A], &lost, "二乙")?;
    let (retried, renumbered) = world.record(A, "opinion", opinion)?;
    ensure!(retried == new, "a retry recorded it again");
    // The slip that was printed for the first leads to what stands now.
    let qr = slips::scannable(&record, None);
    for (node, typed, code) in [
        (A, &number, &code),
        (HUB, &number, &code),
        (HUB, &qr, &code),
    ] {
        let asked = world.transact(node, |_, connection| slips::asked(connection, typed, code))?;
        let asked = asked.context("the code on the slip is worth nothing")?;
        ensure!(asked.id.hyphenated() == new, "{asked:?}");
    }
    for node in [HUB, A] {
        let shown = world.show(node, &new)?;
        ensure!(
            shown.pointer("/fields/former_number") == Some(&json!(number)),
            "{shown}"
        );
        ensure!(
            text(&shown, "number") == renumbered && renumbered != number,
            "{shown}"
        );
        // The number is the other's.
        ensure!(text(&world.show(node, &number)?, "id") == kept);
        ensure!(text(&world.show(node, &renumbered)?, "id") == new);
        // Whoever looks for it finds both, also where the branch that was lost never came.
        let found = world.transact(node, |journal, connection| {
            let owner = Actor::owner(journal).owning_the_store();
            let keys = records::with_number(connection, &number)?;
            let rows = records::rows(connection, &keys)?;
            let filter = records::Filter {
                search: Some((number.clone(), owner)),
                limit: 10,
                ..records::Filter::default()
            };
            let listed = records::list(connection, &filter)?;
            Ok([rows, listed].map(|all| {
                let counting = all.into_iter().filter(|row| row.held.is_none());
                counting
                    .map(|row| row.id.hyphenated())
                    .collect::<BTreeSet<_>>()
            }))
        })?;
        let both = BTreeSet::from([kept.clone(), new.clone()]);
        ensure!(found == [both.clone(), both], "at {node}: {found:?}");
    }
    Ok(())
}

#[test]
fn lost_edits_and_steps_are_made_once_more_upon_what_counts() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, ..) = world.add(B, "别人的")?;
    let (own, ..) = world.add(A, "自己的")?;
    world.heal()?;
    world.save(A, "old")?;
    for _ in 0..2 {
        world.add(A, "后来的")?;
    }
    world.heal()?;
    world.load(A, "old", everything)?;
    world
        .set(A, &id, json!({ "people_count": 7 }))?
        .context("not set")?;
    world
        .set(A, &id, json!({ "people_count": 8 }))?
        .context("not set")?;
    world.act(A, &own, "withdraw")?.context("no step")?;
    for _ in 0..3 {
        world.heal()?;
    }
    for node in [HUB, A, B] {
        let shown = world.show(node, &id)?;
        ensure!(
            shown.pointer("/fields/people_count") == Some(&json!(8)),
            "{shown}"
        );
        ensure!(
            text(&shown, "state") == "merged" && shown.get("held") == Some(&Value::Null),
            "{shown}"
        );
        let shown = world.show(node, &own)?;
        ensure!(text(&shown, "status") == "withdrawn", "{shown}");
        let steps = shown.get("events").and_then(Value::as_array);
        let steps = steps.into_iter().flatten();
        ensure!(
            steps.filter(|it| text(it, "event") == "withdraw").count() == 1,
            "{shown}"
        );
        ensure!(status(&mut world, node, "quarantined")? == 0);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn what_lies_beyond_the_place_that_the_hub_had_stored_is_written_again_too() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "一")?;
    world.heal()?;
    world.save(A, "old")?;
    world.add(A, "二甲")?;
    world.heal()?;
    // On the branch that will count, and not at the hub yet.
    let mut beyond = BTreeMap::new();
    for title in ["三", "四"] {
        beyond.insert(world.add(A, title)?.0, title.to_owned());
    }
    world.save(A, "first")?;
    world.load(A, "old", everything)?;
    world.add(A, "二乙")?;
    world.heal()?;
    world.heal()?;
    // The first disk comes back.
    world.load(A, "first", everything)?;
    for _ in 0..3 {
        world.heal()?;
    }
    for (old, title) in &beyond {
        let new = stands(&mut world, &[A], old, title)?;
        for node in [HUB, A, B] {
            ensure!(text(&world.show(node, &new)?, "state") == "merged");
        }
    }
    for node in [HUB, A, B] {
        ensure!(status(&mut world, node, "records")? == 5, "node {node}");
        ensure!(status(&mut world, node, "quarantined")? == 0, "node {node}");
        ensure!(status(&mut world, node, "unreceipted")? == 0, "node {node}");
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

/// A station that is put back, and whose neighbour has what it wrote then before the hub says which branch counts. Gives
/// the lost record.
fn with_neighbour(world: &mut World) -> Result<String> {
    world.add(A, "一")?;
    world.heal()?;
    world.save(A, "old")?;
    for title in ["二", "三", "四"] {
        world.add(A, title)?;
    }
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    world.load(A, "old", everything)?;
    let (lost, ..) = world.add(A, "断桥")?;
    world.link(A, B, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    ensure!(world.has(B, &lost)?, "the neighbour was not told");
    Ok(lost)
}

#[test]
fn who_built_on_what_was_lost_builds_on_what_was_written_again() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let lost = with_neighbour(&mut world)?;
    world
        .set(B, &lost, json!({ "people_count": 9 }))?
        .context("not set")?;
    world.act(B, &lost, "withdraw")?.context("no step")?;
    for _ in 0..4 {
        world.heal()?;
    }
    let new = stands(&mut world, &[A, B], &lost, "断桥")?;
    for node in [HUB, A, B] {
        let shown = world.show(node, &new)?;
        ensure!(
            shown.pointer("/fields/people_count") == Some(&json!(9)),
            "{shown}"
        );
        ensure!(text(&shown, "status") == "withdrawn", "{shown}");
        let by = shown.pointer("/events/1/device").and_then(Value::as_str);
        ensure!(by == Some("EM1B"), "{shown}");
        ensure!(status(&mut world, node, "quarantined")? == 0, "node {node}");
        ensure!(status(&mut world, node, "unreceipted")? == 0, "node {node}");
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn what_was_written_again_may_come_before_it_is_known_why() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let lost = with_neighbour(&mut world)?;
    // Hub and author settle it among themselves; the neighbour hears the end of it first.
    for _ in 0..2 {
        world.link(A, HUB, Wire::GOOD)?;
        world.run()?;
        world.unlink_all();
    }
    let device = world.node(A)?.key;
    let logs = world.logs_of(HUB, &device)?;
    let fresh = logs.into_iter().find(|(_, tip)| !tip.frozen);
    let (log, _) = fresh.context("nothing was written again")?;
    let mut at = 0;
    while let Some(batch) = world.batch(HUB, &log, at)? {
        at = batch.start.len + u64::from(batch.packed.count);
        world.hand_over(B, log, batch)?;
    }
    world.restart(B)?;
    world.heal()?;
    world.heal()?;
    stands(&mut world, &[A, B], &lost, "断桥")?;
    for node in [HUB, A, B] {
        ensure!(status(&mut world, node, "records")? == 5, "node {node}");
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn a_hub_that_was_put_back_keeps_in_sight_what_it_does_not_count() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "一")?;
    world.heal()?;
    for node in [HUB, A] {
        world.save(node, "old")?;
    }
    let mut merged = BTreeMap::new();
    for title in ["二", "三", "四"] {
        merged.insert(world.add(A, title)?.0, title.to_owned());
    }
    world.heal()?;
    for id in merged.keys() {
        ensure!(text(&world.show(A, id)?, "state") == "merged");
    }
    for node in [HUB, A] {
        world.load(node, "old", everything)?;
    }
    let (other, ..) = world.add(A, "另一件")?;
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    // The other station has what was there before.
    world.heal()?;
    for _ in 0..3 {
        world.heal()?;
    }
    for (id, title) in &merged {
        for node in [HUB, A, B] {
            let counts = world.has(node, id)?;
            // Whoever holds it shows it, whether it counts or not.
            if node == B || counts {
                let row = row(&mut world, node, id)?;
                ensure!(text(&row, "title") == *title, "{row}");
                ensure!(counts || text(&row, "held") == "forked", "{row}");
            }
        }
    }
    for node in [HUB, A, B] {
        ensure!(world.has(node, &other)?, "node {node}");
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

/// Founds a record on a device, as a program that breaks the rules would: with any fields.
fn forge(world: &mut World, node: usize, fields: &[(String, ScalarValue)]) -> Result<String> {
    let space = world.site_space()?;
    let id = world.transact(node, |journal, connection| {
        let now = lianxin_node::clock::now_ms();
        let log = journal.prepare(connection, space, now)?;
        let failed =
            |error: automerge::AutomergeError| Error::because(Code::Internal, "no change", error);
        let mut document = AutoCommit::new().with_actor(log.actor().as_slice().into());
        document.put(ROOT, "kind", "opinion").map_err(failed)?;
        let map = document
            .put_object(ROOT, "fields", ObjType::Map)
            .map_err(failed)?;
        document
            .put_object(ROOT, "events", ObjType::Map)
            .map_err(failed)?;
        document.put(ROOT, "by", "hostile").map_err(failed)?;
        for (key, value) in fields {
            document
                .put(&map, key.as_str(), value.clone())
                .map_err(failed)?;
        }
        document.commit();
        let change = document.get_last_local_change();
        let change = change.map(|change| change.raw_bytes().to_vec());
        let record = RecordId::founded(now, &log, journal.len_of(&log));
        let entry = NewEntry {
            kind: EntryKind::Change,
            digest: DigestMode::Change,
            erasable: false,
            record,
            payload: change.unwrap_or_default(),
        };
        journal.append(connection, space, vec![entry], now)?;
        Ok(record.hyphenated())
    })?;
    world.call(node, Write::Reproject)?;
    Ok(id)
}

// rule:rewrite-own-only
#[test]
fn nobody_stands_in_the_place_of_what_another_device_wrote() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (_, lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    world.unlink_all();
    let mut changes = Vec::new();
    for id in lost.keys() {
        changes.extend(world.changes(A, id)?);
    }
    ensure!(changes.len() == lost.len(), "{changes:?}");
    bring(&mut world, A, HUB)?;
    let mut claims = Vec::new();
    for id in lost.keys() {
        claims.push(("supersedes".to_owned(), ScalarValue::from(id.as_str())));
        let digits: String = id.chars().filter(|it| *it != '-').collect();
        claims.push((format!("rewrites/{digits}"), ScalarValue::from(true)));
    }
    // The digests of its changes are no secret.
    for change in changes {
        let (digits, _) = change.split_at(32);
        claims.push((format!("rewrites/{digits}"), ScalarValue::from(true)));
    }
    for claim in claims {
        forge(&mut world, B, &[claim])?;
    }
    world.link(B, HUB, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    for id in lost.keys() {
        let Ok(row) = row(&mut world, HUB, id) else {
            continue;
        };
        ensure!(row.get("superseded_by") == Some(&Value::Null), "{row}");
        ensure!(text(&row, "state") == "quarantined", "{row}");
    }
    ensure!(
        status(&mut world, HUB, "quarantined")? > 0,
        "it was talked away"
    );
    // Its author is not kept from it.
    for _ in 0..3 {
        world.heal()?;
    }
    for (id, title) in &lost {
        stands(&mut world, &[A], id, title)?;
    }
    world.agree(&[A, B])
}

#[test]
fn who_was_revoked_writes_nothing_again() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (_, lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    world.unlink_all();
    bring(&mut world, A, HUB)?;
    let cuts = places(&mut world)?;
    revoke(&mut world, cuts)?;
    let before = world.logs_of(HUB, &world.nodes[A].key.clone())?.len();
    for _ in 0..3 {
        world.heal()?;
    }
    ensure!(world.logs_of(HUB, &world.nodes[A].key.clone())?.len() == before);
    let (first, _) = lost.first_key_value().context("nothing was lost")?;
    let row = row(&mut world, HUB, first)?;
    ensure!(row.get("superseded_by") == Some(&Value::Null), "{row}");
    ensure!(status(&mut world, HUB, "quarantined")? > 0);
    Ok(())
}

#[test]
fn a_record_that_waits_says_what_for_and_is_not_called_merged() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (id, ..) = world.add(A, "一")?;
    world.heal()?;
    // The neighbour hears of an edit, and goes on from it; the hub hears of the second alone.
    let first = world
        .set(A, &id, json!({ "people_count": 7 }))?
        .context("not set")?;
    world.link(A, B, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    world
        .set(B, &id, json!({ "people_count": 8 }))?
        .context("not set")?;
    bring(&mut world, B, HUB)?;
    let shown = world.show(HUB, &id)?;
    ensure!(
        shown.pointer("/waits_for/0/change") == Some(&json!(first)),
        "{shown}"
    );
    ensure!(text(&shown, "held") == "waiting", "{shown}");
    ensure!(text(&shown, "state") == "sending", "{shown}");
    ensure!(
        shown.pointer("/fields/people_count") != Some(&json!(8)),
        "{shown}"
    );
    // A station that has everything but that change, and whose hub has it all.
    let behind = world.add_station("EM1C")?;
    world.grant(behind)?;
    world.link(behind, HUB, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    let state = text(&world.show(behind, &id)?, "state");
    ensure!(!["merged", "received"].contains(&state.as_str()), "{state}");
    world.heal()?;
    world.heal()?;
    for node in [HUB, A, B, behind] {
        let shown = world.show(node, &id)?;
        ensure!(text(&shown, "state") == "merged", "{shown}");
        ensure!(shown.get("waits_for") == Some(&json!([])), "{shown}");
        ensure!(
            shown.pointer("/fields/people_count") == Some(&json!(8)),
            "{shown}"
        );
    }
    Ok(())
}

#[test]
fn a_store_of_the_version_before_shows_what_it_had_hidden() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (_, lost) = put_back(&mut world, &["六", "七", "八", "九", "十"])?;
    world.unlink_all();
    bring(&mut world, A, HUB)?;
    let before = world.records(HUB)?;
    ensure!(before.iter().any(|row| lost.contains_key(&text(row, "id"))));
    world.writer(HUB)?.connection().execute_batch(&format!(
        "UPDATE records SET kind = NULL, number = NULL, title = NULL, status = NULL, facts = NULL,
             state = NULL WHERE id NOT IN (SELECT record FROM touches);
         {BACK_TO_SCHEMA_2}"
    ))?;
    world.restart(HUB)?;
    world.writer(HUB)?.catch_up(|_| {})?;
    ensure!(world.records(HUB)? == before);
    world.sound(HUB)
}

#[test]
fn where_a_change_is_missing_a_record_is_not_called_merged_although_the_hub_has_it_all()
-> Result<()> {
    const C: usize = 3;
    let mut world = World::with_stations(1, 3)?;
    let (id, ..) = world.add(A, "一")?;
    world.heal()?;
    ensure!(text(&world.show(C, &id)?, "state") == "merged");
    for (node, count) in [(A, 7), (B, 8)] {
        world
            .set(node, &id, json!({ "people_count": count }))?
            .context("not set")?;
        for _ in 0..2 {
            for node in [A, B] {
                world.link(node, HUB, Wire::GOOD)?;
            }
            world.run()?;
            world.unlink_all();
        }
    }
    // Of the two edits the third station hears the later, and that the hub has judged it.
    bring(&mut world, B, C)?;
    let device = world.node(B)?.key;
    for log in world.logs_of(HUB, &device)?.into_keys() {
        let writer = world.writer(HUB)?;
        let receipt = writer.read(|journal, connection| journal.receipt(connection, &log))?;
        let receipt = receipt.context("no receipt")?;
        let kept = world.transact(C, |journal, connection| {
            journal.take_receipt(connection, &receipt)
        })?;
        ensure!(kept, "the receipt was not kept");
    }
    let shown = world.show(C, &id)?;
    ensure!(text(&shown, "held") == "waiting", "{shown}");
    ensure!(text(&shown, "state") == "received", "{shown}");
    ensure!(
        shown
            .pointer("/waits_for/0/change")
            .is_some_and(Value::is_string),
        "{shown}"
    );
    world.heal()?;
    ensure!(text(&world.show(C, &id)?, "state") == "merged");
    Ok(())
}
