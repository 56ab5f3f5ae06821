//! What is kept and does not count is in sight, with its words, and counts again where a person lets it.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::Code;
use lianxin_protocol::authority::{Cut, Order};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, code_of, text};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;

/// What a node lists as held back.
fn listed(world: &mut World, node: usize) -> Result<Vec<Value>> {
    let listed = world.call(node, Query::QuarantineList)?;
    let entries = listed.get("entries").and_then(Value::as_array);
    Ok(entries.context("no entries")?.clone())
}

/// The records of one of them.
fn records(world: &mut World, node: usize, id: &str) -> Result<Vec<Value>> {
    let id = id.to_owned();
    let shown = world.call(node, Query::QuarantineShow { id })?;
    let records = shown.get("records").and_then(Value::as_array);
    Ok(records.context("no records")?.clone())
}

fn adopted(world: &mut World, node: usize, id: &str, code: Option<Code>) -> Result<()> {
    let id = id.to_owned();
    match (world.call(node, Write::QuarantineAdopt { id }), code) {
        (Ok(_), None) => Ok(()),
        (Err(error), Some(code)) => {
            ensure!(code_of(&error) == Some(code), "{error:#}");
            Ok(())
        }
        (done, code) => Err(anyhow::anyhow!("{done:?}, not {code:?}")),
    }
}

#[test]
fn what_a_cut_holds_back_is_shown_with_its_words_and_counts_once_it_is_adopted() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    ensure!(listed(&mut world, HUB)?.is_empty());
    let (before, ..) = world.add(A, "剪断以前")?;
    world.heal()?;
    let device = world.node(A)?.key;
    let logs = world.logs_of(HUB, &device)?;
    let (log, tip) = logs.into_iter().next().context("no log")?;
    let (beyond, number, _) = world.add(A, "剪断以后")?;
    world.set(A, &before, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    let position = tip.position();
    let cuts = vec![Cut { log, position }];
    world.order(&Order::Revoke {
        device,
        lost: true,
        cuts,
    })?;
    world.heal()?;
    for node in [HUB, B] {
        ensure!(!world.has(node, &beyond)?);
        let all = listed(&mut world, node)?;
        let [held] = &all[..] else {
            anyhow::bail!("node {node}: {all:?}");
        };
        ensure!(
            text(held, "reason") == "revoked" && text(held, "device") == "EM1A",
            "{held}"
        );
        ensure!(
            held.get("records") == Some(&json!(2))
                && held.get("lost_branch") == Some(&json!(false))
        );
        let records = records(&mut world, node, &text(held, "id"))?;
        let new = records
            .iter()
            .find(|it| text(it, "id") == beyond)
            .context("not shown")?;
        ensure!(
            text(new, "title") == "剪断以后" && text(new, "number") == number,
            "{new}"
        );
        ensure!(text(new, "kind") == "opinion", "{new}");
        ensure!(
            records.iter().any(|it| text(it, "id") == before),
            "{records:?}"
        );
    }
    let id = text(listed(&mut world, HUB)?.first().context("none")?, "id");
    adopted(&mut world, B, &id, Some(Code::HubOnly))?;
    adopted(&mut world, HUB, "0000", Some(Code::NotHeld))?;
    adopted(&mut world, HUB, &id, None)?;
    world.heal()?;
    for node in [HUB, B] {
        ensure!(
            listed(&mut world, node)?.is_empty(),
            "node {node} holds back"
        );
        ensure!(world.has(node, &beyond)?);
        let shown = world.show(node, &before)?;
        ensure!(
            shown.pointer("/fields/urgency") == Some(&json!("urgent")),
            "{shown}"
        );
    }
    adopted(&mut world, HUB, &id, Some(Code::NotHeld))?;
    world.agree(&[B])
}

#[test]
fn what_a_lost_branch_held_is_shown_with_its_words_until_its_device_has_written_it_again()
-> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "一")?;
    world.heal()?;
    world.save(A, "image")?;
    world.add(A, "二甲")?;
    world.heal()?;
    world.load(A, "image", |_| true)?;
    // It writes at once, before any peer can tell, and somebody else brings the hub what it wrote.
    let (lost, number, _) = world.add(A, "二乙")?;
    let key = world.node(A)?.key;
    let (log, tip) = world
        .logs_of(A, &key)?
        .into_iter()
        .next()
        .context("no log")?;
    let mut at = 0;
    while at < tip.len {
        let batch = world.batch(A, &log, at)?.context("no entries")?;
        at = batch.start.len + u64::from(batch.packed.count);
        world.hand_over(HUB, log, batch)?;
    }
    ensure!(!world.has(HUB, &lost)?);
    let all = listed(&mut world, HUB)?;
    let [held] = &all[..] else {
        anyhow::bail!("{all:?}");
    };
    ensure!(text(held, "reason") == "forked" && held.get("lost_branch") == Some(&json!(true)));
    let id = text(held, "id");
    let shown = records(&mut world, HUB, &id)?;
    let shown = shown.first().context("no record")?;
    ensure!(
        text(shown, "id") == lost
            && text(shown, "title") == "二乙"
            && text(shown, "number") == number,
        "{shown}"
    );
    adopted(&mut world, HUB, &id, Some(Code::NotAdopted))?;
    world.heal()?;
    world.heal()?;
    for node in [HUB, A] {
        ensure!(
            listed(&mut world, node)?.is_empty(),
            "it waits for a person"
        );
    }
    // Whoever looked at it before is told that it stands elsewhere.
    ensure!(records(&mut world, HUB, &id)?.len() == 1);
    adopted(&mut world, HUB, &id, Some(Code::Superseded))
}

#[test]
fn who_adopts_adopts_what_he_was_shown_and_no_more() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "以前")?;
    world.heal()?;
    // It does not hear that it may record no more.
    world.unlink_all();
    world.narrow(A)?;
    let key = world.node(A)?.key;
    let (log, tip) = world
        .logs_of(HUB, &key)?
        .into_iter()
        .next()
        .context("no log")?;
    let mut at = tip.len;
    let mut more = |world: &mut World, title: &str| -> Result<String> {
        let (id, ..) = world.add(A, title)?;
        while let Some(batch) = world.batch(A, &log, at)? {
            at = batch.start.len + u64::from(batch.packed.count);
            world.hand_over(HUB, log, batch)?;
        }
        world.merge(HUB)?;
        Ok(id)
    };
    let shown = more(&mut world, "看过的")?;
    let id = text(
        listed(&mut world, HUB)?
            .first()
            .context("nothing is held back")?,
        "id",
    );
    ensure!(records(&mut world, HUB, &id)?.len() == 1);
    let unseen = more(&mut world, "没看过的")?;
    adopted(&mut world, HUB, &id, Some(Code::NotHeld))?;
    ensure!(!world.has(HUB, &shown)? && !world.has(HUB, &unseen)?);
    Ok(())
}
