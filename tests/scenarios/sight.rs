//! Nothing is hidden: what does not count stays in lists, in searches and in exports with its own words and its reason, and
//! what a fork took from a device in good standing counts again, once, without anybody's doing.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Command;
use lianxin_protocol::authority::{Cut, Order};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, copy_files, text};
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
        Command::RecordList {
            kind: None,
            status: None,
            state: some(state),
            search: some(search),
            limit: None,
            after: None,
        },
    )?;
    let rows = list.get("records").and_then(Value::as_array);
    let rows = rows.context("no records")?;
    Ok(rows.iter().map(|row| text(row, "id")).collect())
}

fn status(world: &mut World, node: usize, key: &str) -> Result<u64> {
    let command = Command::Status {
        unreceipted_minutes: 120,
    };
    let status = world.call(node, command)?;
    let figure = status.get(key).and_then(Value::as_u64);
    figure.with_context(|| format!("no figure {key}"))
}

fn exported(world: &mut World, node: usize) -> Result<Vec<Value>> {
    let command = Command::ExportPage {
        after: None,
        documents: true,
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
        ensure!(text(&row, "state") == "quarantined" && text(&row, "held") == "revoked", "{row}");
        ensure!(text(&row, "number") == number && text(&row, "title") == "剪断以后的路灯", "{row}");
        ensure!(listed(&mut world, node, "quarantined", "")? == [held.clone()]);
        ensure!(!listed(&mut world, node, "merged", "")?.contains(&held));
        for search in ["剪断以后", number.as_str()] {
            ensure!(listed(&mut world, node, "", search)? == [held.clone()], "{search}");
        }
        // By its number as by its id.
        for name in [&held, &number] {
            let shown = world.show(node, name)?;
            ensure!(text(&shown, "id") == held && text(&shown, "held") == "revoked", "{shown}");
            ensure!(text(&shown, "state") == "quarantined", "{shown}");
            ensure!(shown.pointer("/fields/title") == Some(&json!("剪断以后的路灯")), "{shown}");
        }
        let exported = exported(&mut world, node)?;
        let exported = exported.iter().find(|it| text(it, "id") == held);
        let exported = exported.context("not exported")?;
        ensure!(text(exported, "state") == "quarantined" && text(exported, "held") == "revoked");
        ensure!(status(&mut world, node, "records")? == 1, "it is counted");
        ensure!(status(&mut world, node, "quarantined")? == 1, "nobody is told");
        world.sound(node)?;
        // Nobody goes on with it.
        ensure!(world.set(node, &held, json!({ "urgency": "urgent" }))?.is_none());
    }
    world.agree(&[B])
}

/// Hands a node all that the first station has of its logs, as somebody would who brings it on a stick.
fn bring(world: &mut World, to: usize) -> Result<()> {
    let device = world.node(A)?.key;
    for log in world.logs_of(A, &device)?.into_keys() {
        let mut at = 0;
        while let Some(batch) = world.batch(A, &log, at)? {
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
        ensure!(text(&old, "state") == "quarantined" && text(&old, "held") == "forked", "{old}");
        let again = text(&old, "superseded_by");
        let new = row(world, *node, &again)?;
        ensure!(new.get("held") == Some(&Value::Null) && text(&new, "title") == title, "{new}");
        ensure!(found.get_or_insert(again.clone()) == &again, "nodes differ");
        let rows = world.records(*node)?;
        let counting = rows
            .iter()
            .filter(|row| text(row, "title") == title && row.get("held") == Some(&Value::Null));
        ensure!(counting.count() == 1, "node {node} counts {title} more than once");
    }
    found.context("no node")
}

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
        ensure!(shown.pointer("/fields/supersedes") == Some(&json!(old)), "{shown}");
        ensure!(world.has(B, &new)?, "the other station lacks it");
    }
    for node in [HUB, A, B] {
        for id in &counts {
            ensure!(world.has(node, id)?, "node {node} lost {id}");
        }
        ensure!(status(&mut world, node, "records")? == count, "node {node}");
        ensure!(status(&mut world, node, "quarantined")? == 0, "node {node} needs a person");
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
    bring(&mut world, HUB)?;
    let (lost, _) = lost.first_key_value().context("nothing was lost")?;
    let row = row(&mut world, HUB, lost)?;
    ensure!(text(&row, "state") == "quarantined" && text(&row, "held") == "forked", "{row}");
    ensure!(row.get("superseded_by") == Some(&Value::Null), "{row}");
    ensure!(listed(&mut world, HUB, "", "断桥")?.contains(lost), "it is not found");
    ensure!(exported(&mut world, HUB)?.iter().any(|it| text(it, "id") == *lost));
    ensure!(status(&mut world, HUB, "quarantined")? > 0);
    world.sound(HUB)?;
    world.restart(HUB)?;
    ensure!(world.records(HUB)?.iter().any(|it| text(it, "id") == *lost));
    Ok(())
}

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
        for title in lost.values().map(String::as_str).chain(["以后", "以后的另一件"]) {
            let counting = rows.iter().filter(|row| {
                text(row, "title") == title && row.get("held") == Some(&Value::Null)
            });
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
        world.link(node, HUB, lianxin_tests::Wire::GOOD)?;
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
    ensure!(number == taken, "the number was not given twice: {number} {taken}");
    world.heal()?;
    world.heal()?;
    let new = stands(&mut world, &[HUB, A], &lost, "二乙")?;
    let (retried, renumbered) = world.record(A, "opinion", opinion)?;
    ensure!(retried == new, "a retry recorded it again");
    for node in [HUB, A] {
        let shown = world.show(node, &new)?;
        ensure!(shown.pointer("/fields/former_number") == Some(&json!(number)), "{shown}");
        ensure!(text(&shown, "number") == renumbered && renumbered != number, "{shown}");
        // The number is the other's.
        ensure!(text(&world.show(node, &number)?, "id") == kept);
        ensure!(text(&world.show(node, &renumbered)?, "id") == new);
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
    world.set(A, &id, json!({ "people_count": 7 }))?.context("not set")?;
    world.set(A, &id, json!({ "people_count": 8 }))?.context("not set")?;
    world.act(A, &own, "withdraw")?.context("no step")?;
    for _ in 0..3 {
        world.heal()?;
    }
    for node in [HUB, A, B] {
        let shown = world.show(node, &id)?;
        ensure!(shown.pointer("/fields/people_count") == Some(&json!(8)), "{shown}");
        ensure!(text(&shown, "state") == "merged" && shown.get("held") == Some(&Value::Null), "{shown}");
        let shown = world.show(node, &own)?;
        ensure!(text(&shown, "status") == "withdrawn", "{shown}");
        let steps = shown.get("events").and_then(Value::as_array);
        let steps = steps.into_iter().flatten();
        ensure!(steps.filter(|it| text(it, "event") == "withdraw").count() == 1, "{shown}");
        ensure!(status(&mut world, node, "quarantined")? == 0);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}
