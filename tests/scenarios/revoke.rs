//! What a device may count with is decided by the authority log, alike on every node.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::authority::{Cut, Order, Reason, Role};
use lianxin_protocol::log::{Author, LogId, Position};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, text};
use serde_json::json;

const A: usize = 1;
const B: usize = 2;

/// The one log of the site that a station wrote, as the hub has it.
fn log_of(world: &mut World, station: usize) -> Result<(LogId, Position)> {
    let key = world.node(station)?.key;
    let logs = world.logs_of(HUB, &key)?;
    let (log, tip) = logs
        .into_iter()
        .next()
        .context("the station wrote nothing")?;
    Ok((log, tip.position()))
}

fn held_back(world: &mut World, node: usize) -> Result<BTreeSet<(LogId, u64, u64, u8)>> {
    world.exceptions(node)
}

fn shows(world: &mut World, nodes: &[usize], id: &str, wanted: bool) -> Result<()> {
    for node in nodes {
        ensure!(
            world.has(*node, id)? == wanted,
            "node {node} {} the record",
            if wanted { "does not show" } else { "shows" }
        );
    }
    Ok(())
}

#[test]
fn what_a_revoked_device_wrote_beyond_its_cut_is_held_back_everywhere_until_adopted() -> Result<()>
{
    let mut world = World::with_stations(1, 2)?;
    let device = world.node(A)?.key;
    let before = world.add(A, "一")?.0;
    world.heal()?;
    let (log, cut) = log_of(&mut world, A)?;
    let beyond = world.add(A, "二")?.0;
    let edit = world.set(A, &before, json!({ "urgency": "urgent" }))?;
    ensure!(edit.is_some(), "nothing was edited");
    world.heal()?;
    let (_, end) = log_of(&mut world, A)?;
    let (before_cut, beyond_cut) = (&before, &beyond);
    shows(&mut world, &[HUB, A, B], beyond_cut, true)?;

    world.order(&Order::Revoke {
        device,
        lost: true,
        cuts: vec![Cut { log, position: cut }],
    })?;
    world.heal()?;
    let wanted = BTreeSet::from([(log, cut.len, end.len, Reason::Revoked.code())]);
    for node in [HUB, A, B] {
        ensure!(
            held_back(&mut world, node)? == wanted,
            "node {node} holds back {:?}",
            held_back(&mut world, node)?
        );
        let shown = world.show(node, before_cut)?;
        ensure!(
            shown.pointer("/fields/urgency") != Some(&json!("urgent")),
            "the edit counts"
        );
        ensure!(
            text(&shown, "state") == "quarantined",
            "node {node}: {}",
            text(&shown, "state")
        );
    }
    shows(&mut world, &[HUB, A, B], before_cut, true)?;
    shows(&mut world, &[HUB, A, B], beyond_cut, false)?;
    world.agree(&[B])?;
    // It works on, and what it writes stays with it.
    let after = world.add(A, "三")?.0;
    world.heal()?;
    shows(&mut world, &[HUB, B], &after, false)?;
    ensure!(
        log_of(&mut world, A)?.1 == end,
        "a revoked device's entries were taken"
    );
    // Restarting and deriving again changes nothing.
    for node in [HUB, A, B] {
        world.restart(node)?;
        world.sound(node)?;
    }
    ensure!(
        held_back(&mut world, B)? == wanted,
        "a restart changed the verdict"
    );

    world.order(&Order::Adopt {
        log,
        from: cut.len,
        to: end,
    })?;
    world.heal()?;
    for node in [HUB, B] {
        ensure!(
            held_back(&mut world, node)?.is_empty(),
            "something is still held back"
        );
        let shown = world.show(node, before_cut)?;
        ensure!(
            shown.pointer("/fields/urgency") == Some(&json!("urgent")),
            "the edit is lost"
        );
        ensure!(text(&shown, "state") == "merged", "node {node}: {shown}",);
        world.sound(node)?;
    }
    shows(&mut world, &[HUB, A, B], beyond_cut, true)?;
    world.agree(&[B])
}

#[test]
fn a_revoked_device_without_a_cut_counts_with_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let id = world.add(A, "一")?.0;
    world.heal()?;
    let device = world.node(A)?.key;
    world.order(&Order::Revoke {
        device,
        lost: true,
        cuts: Vec::new(),
    })?;
    world.heal()?;
    shows(&mut world, &[HUB, A, B], &id, false)?;
    world.agree(&[B])?;
    world.sound(B)
}

#[test]
fn a_cut_counts_by_its_length_before_and_after_its_entry_comes() -> Result<()> {
    // The node that learns of the cut first has less of the log than the cut names, or another head.
    for forged in [false, true] {
        let mut world = World::with_stations(1, 2)?;
        let first = world.add(A, "一")?.0;
        let (device, [logs]) = (world.node(A)?.key, [A]);
        let log = world.logs_of(logs, &device)?;
        let (log, tip) = log.into_iter().next().context("no log")?;
        let mut cut = tip.position();
        if forged {
            cut.head = [1; 32];
        }
        let second = world.add(A, "二")?.0;
        world.order(&Order::Revoke {
            device,
            lost: false,
            cuts: vec![Cut { log, position: cut }],
        })?;
        world.link(B, HUB, lianxin_tests::Wire::GOOD)?;
        world.run()?;
        let batch = world.batch(A, &log, 0)?.context("no batch")?;
        world.hand_over(B, log, batch)?;
        world.heal()?;
        shows(&mut world, &[HUB, B], &first, true)?;
        shows(&mut world, &[HUB, B], &second, false)?;
        world.agree(&[B])?;
        world.sound(B)?;
        world.sound(HUB)?;
    }
    Ok(())
}

#[test]
fn a_new_role_leaves_what_was_accepted_as_it_was() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let before = world.add(A, "一")?.0;
    world.act(A, &before, "submit")?;
    world.heal()?;
    let was = world.show(HUB, &before)?;
    world.narrow(A)?;
    let late = world.add(A, "二")?.0;
    world.heal()?;
    for node in [HUB, A, B] {
        let now = world.show(node, &before)?;
        ensure!(
            text(&now, "status") == text(&was, "status"),
            "node {node}: {} became {}",
            text(&was, "status"),
            text(&now, "status")
        );
    }
    shows(&mut world, &[HUB, B], &late, false)?;
    let (log, _) = log_of(&mut world, A)?;
    let (space, device) = (world.site_space()?, world.node(A)?.key);
    let author = Author { space, device };
    let authority = world.writer(B)?.journal.authority();
    let role = |seq| authority.role_at(&log, &author, seq);
    ensure!(role(0) == Some(Role::Station), "below its place, for ever");
    ensure!(role(u64::MAX) == Some(Role::Reader));
    world.agree(&[A, B])?;
    world.sound(B)
}

#[test]
fn no_grant_after_a_theft_makes_count_what_the_thief_wrote() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let device = world.node(A)?.key;
    let before = world.add(A, "一")?.0;
    world.heal()?;
    let (log, position) = log_of(&mut world, A)?;
    let stolen = world.add(A, "二")?.0;
    world.order(&Order::Revoke {
        device,
        lost: false,
        cuts: vec![Cut { log, position }],
    })?;
    world.heal()?;
    shows(&mut world, &[HUB, B], &stolen, false)?;
    world.grant(A)?;
    world.heal()?;
    shows(&mut world, &[HUB, B], &before, true)?;
    shows(&mut world, &[HUB, B], &stolen, false)?;
    let (_, end) = log_of(&mut world, A)?;
    let from = position.len;
    world.order(&Order::Adopt { log, from, to: end })?;
    world.heal()?;
    shows(&mut world, &[HUB, A, B], &stolen, true)?;
    world.agree(&[A, B])?;
    // A key that was lost is granted nothing again.
    world.order(&Order::Revoke {
        device,
        lost: true,
        cuts: vec![Cut { log, position: end }],
    })?;
    ensure!(world.grant(A).is_err(), "a lost device came back");
    Ok(())
}

#[test]
fn a_device_that_left_counts_with_its_backlog() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let id = world.add(A, "一")?.0;
    let device = world.node(A)?.key;
    let (log, _) = world.logs_of(A, &device)?.pop_first().context("no log")?;
    world.order(&Order::Left { device })?;
    world.heal()?;
    let batch = world.batch(A, &log, 0)?.context("no batch")?;
    world.hand_over(B, log, batch)?;
    world.heal()?;
    shows(&mut world, &[HUB, B], &id, true)?;
    world.agree(&[B])
}

#[test]
fn entries_of_an_unknown_device_wait_for_its_grant_wherever_they_are() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let new = world.add_station("EM1C")?;
    // Intake begins at once, long before the hub is in reach.
    let id = world.add(new, "一")?.0;
    ensure!(
        text(&world.show(new, &id)?, "state") == "saved",
        "it claims more than it knows"
    );
    world.heal()?;
    shows(&mut world, &[HUB, A, B], &id, false)?;
    let key = world.node(new)?.key;
    let (log, _) = world.logs_of(new, &key)?.pop_first().context("no log")?;
    // A neighbour carries them to the hub.
    let batch = world.batch(new, &log, 0)?.context("no batch")?;
    world.hand_over(A, log, batch)?;
    world.heal()?;
    for node in [HUB, A, B] {
        let held = held_back(&mut world, node)?;
        let reasons: BTreeSet<_> = held.iter().map(|(.., reason)| *reason).collect();
        ensure!(
            reasons == BTreeSet::from([Reason::UnknownDevice.code()]),
            "node {node} holds back {held:?}"
        );
    }
    shows(&mut world, &[HUB, A, B], &id, false)?;
    world.agree(&[A, B])?;

    world.grant(new)?;
    world.heal()?;
    shows(&mut world, &[HUB, A, B, new], &id, true)?;
    for node in [HUB, A, B, new] {
        ensure!(
            held_back(&mut world, node)?.is_empty(),
            "something is still held back"
        );
        world.sound(node)?;
    }
    ensure!(
        text(&world.show(new, &id)?, "state") == "merged",
        "no receipt came"
    );
    world.agree(&[A, B, new])
}
