//! A hub that was restored, copied or replaced: what it may not do until it is resumed, and that everybody follows
//! it afterwards.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::error::Code;
use lianxin_protocol::authority::{Membership, Order, Role, Unsettled};
use lianxin_protocol::identity::Signer;
use lianxin_protocol::log::Position;
use lianxin_protocol::receipt::Receipt;
use lianxin_tests::world::{HUB, code_of, copy_files, site, text};
use lianxin_tests::{Wire, World};
use serde_json::Value;

const A: usize = 1;
const B: usize = 2;

/// The sites that a node knows, beside the first.
fn sites(world: &mut World, node: usize) -> Result<Vec<String>> {
    let sites = world.writer(node)?.journal.authority().sites();
    let mut codes: Vec<_> = sites.values().map(|it| it.code.clone()).collect();
    codes.retain(|code| code != "EM1");
    codes.sort();
    Ok(codes)
}

fn refused(done: Result<impl Sized>, code: Code) -> Result<()> {
    let error = done.err().context("it was not refused")?;
    ensure!(code_of(&error) == Some(code), "{error:#}");
    Ok(())
}

/// Every node follows the hub, and holds and shows what it does.
fn all_follow(world: &mut World, hub: usize, nodes: &[usize], expected: &[&str]) -> Result<()> {
    for node in nodes {
        world.link(*node, hub, Wire::GOOD)?;
    }
    world.run()?;
    let cited = world.writer(hub)?.journal.authority().cited();
    for node in nodes.iter().chain([&hub]) {
        ensure!(
            sites(world, *node)? == expected,
            "node {node}: {:?}",
            sites(world, *node)?
        );
        let authority = world.writer(*node)?.journal.authority();
        ensure!(
            authority.cited() == cited,
            "node {node} follows something else"
        );
        ensure!(
            authority.unsettled().is_none(),
            "node {node} is not settled"
        );
        world.sound(*node)?;
    }
    Ok(())
}

/// A hub whose disk was put back behind two orders that A knows.
fn put_back(world: &mut World, which: impl Fn(&str) -> bool) -> Result<()> {
    world.heal()?;
    world.save(HUB, "image")?;
    world.order(&site(2))?;
    world.add(A, "之后")?;
    world.heal()?;
    world.unlink_all();
    world.load(HUB, "image", which)
}

/// A receipt of a hub that was put back takes away what the one before it said, also of a record that two devices wrote.
#[test]
fn where_the_hub_has_less_than_it_had_no_row_says_more() -> Result<()> {
    let mut world = World::with_stations(2, 2)?;
    world.add(A, "一")?;
    let (both, ..) = world.add(A, "二")?;
    world.heal()?;
    let edit = serde_json::json!({ "urgency": "urgent" });
    world.set(B, &both, edit)?.context("not set")?;
    world.heal()?;
    let states = |world: &mut World| -> Result<Vec<String>> {
        let rows = world.records(A)?;
        Ok(rows.iter().map(|row| text(row, "state")).collect())
    };
    ensure!(states(&mut world)? == ["merged", "merged"]);
    let hub = world.writer(HUB)?.journal.identity().authority.clone();
    let (hub, device) = (hub.context("no hub")?, world.node(A)?.key);
    for log in world.logs_of(A, &device)?.into_keys() {
        let receipt = world
            .writer(A)?
            .read(|journal, connection| journal.receipt(connection, &log))?;
        let receipt = receipt.context("no receipt")?;
        let less = Receipt {
            stored: Position::start(&log),
            judged_len: 0,
            received_at_ms: receipt.received_at_ms + 1,
            ..receipt
        };
        let less = less.signed(&hub);
        let kept = world.transact(A, |journal, connection| {
            journal.take_receipt(connection, &less)
        })?;
        ensure!(kept, "it was not newer");
    }
    let after = states(&mut world)?;
    let not_there = |state: &String| ["saved", "sending"].contains(&state.as_str());
    ensure!(after.iter().all(not_there), "{after:?}");
    world.sound(A)
}

#[test]
fn a_hub_that_was_put_back_gives_orders_again_once_it_has_heard_a_device() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    put_back(&mut world, |name| name != "offered")?;
    refused(world.order(&site(3)), Code::NotResumed)?;
    ensure!(world.warned(HUB)? == (1, vec!["LX-2013".to_owned(), "LX-1010".to_owned()]));
    refused(world.resume(HUB, false), Code::NotHeard)?;
    // What it lost comes back, and still it gives no orders: A may not be the one that has seen most.
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    ensure!(sites(&mut world, HUB)? == ["EM2"]);
    refused(world.order(&site(3)), Code::NotResumed)?;
    ensure!(world.warned(HUB)? == (1, vec!["LX-2013".to_owned()]));
    let (records, epoch) = (
        world.records(HUB)?.len(),
        world.writer(HUB)?.journal.identity().epoch,
    );
    ensure!(records == 1, "{records} came back");
    // That it was heard outlives a restart.
    world.restart(HUB)?;
    ensure!(world.resume(HUB, false)? == 2);
    ensure!(world.warned(HUB)? == (0, Vec::new()));
    refused(world.resume(HUB, false), Code::NothingToDo)?;
    ensure!(
        world.writer(HUB)?.journal.identity().epoch != epoch,
        "the epoch is the old one"
    );
    world.order(&site(3))?;
    all_follow(&mut world, HUB, &[A, B], &["EM2", "EM3"])?;
    world.heal()?;
    world.agree(&[A, B])?;
    // It is the same hub after the next start, and receipts are of its new epoch.
    world.restart(HUB)?;
    world.order(&site(4))?;
    let (id, ..) = world.add(B, "再来一件")?;
    world.heal()?;
    world.act(HUB, &id, "accept")?.context("not accepted")?;
    world.heal()?;
    world.agree(&[A, B])?;
    world.claims_hold(&[A, B])?;
    let epoch =
        lianxin_protocol::hash::Hex(&world.writer(HUB)?.journal.identity().epoch).to_string();
    for record in world.records(A)? {
        let shown = world.show(A, &text(&record, "id"))?;
        let receipts = shown.get("receipts").and_then(Value::as_array);
        let receipts = receipts.filter(|it| !it.is_empty()).context("no receipt")?;
        ensure!(
            receipts.iter().all(|it| text(it, "epoch") == epoch),
            "{receipts:?}"
        );
    }
    Ok(())
}

#[test]
fn a_hub_that_was_put_back_as_a_whole_stops_when_a_device_knows_more() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    put_back(&mut world, |_| true)?;
    // Nothing tells it, so that it gives an order in the place of another.
    world.order(&site(3))?;
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    refused(world.order(&site(4)), Code::NotResumed)?;
    ensure!(world.warned(HUB)?.1 == ["LX-2013"]);
    // Devices stop at the fork; what was ordered before goes on to hold.
    let (id, ..) = world.add(A, "照常登记")?;
    world.run()?;
    ensure!(world.has(HUB, &id)?, "intake waits for the hub's orders");
    world.resume(HUB, false)?;
    // What the hub itself had ordered last is ordered again.
    world.order(&site(5))?;
    all_follow(&mut world, HUB, &[A, B], &["EM3", "EM5"])?;
    world.heal()?;
    world.agree(&[A, B])
}

#[test]
fn orders_that_come_to_light_later_are_given_again() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let late = world.add_station("EM1C")?;
    world.heal()?;
    world.save(HUB, "image")?;
    world.unlink_all();
    world.grant(late)?;
    world.order(&site(2))?;
    world.narrow(B)?;
    // Of all this B hears nothing, and the late device records.
    for node in [A, late] {
        world.link(node, HUB, Wire::GOOD)?;
    }
    world.run()?;
    let (id, ..) = world.add(late, "晚到的一件")?;
    world.run()?;
    world.unlink_all();
    world.load(HUB, "image", |name| name != "offered")?;
    world.link(B, HUB, Wire::GOOD)?;
    world.run()?;
    world.resume(HUB, false)?;
    world.order(&site(3))?;
    ensure!(!world.has(HUB, &id)? && sites(&mut world, HUB)? == ["EM3"]);
    // The hub does not know the late device, and lets it in once A has shown the order that did.
    ensure!(world.link(late, HUB, Wire::GOOD)?.is_none());
    all_follow(&mut world, HUB, &[A, B], &["EM2", "EM3"])?;
    all_follow(&mut world, HUB, &[A, late, B], &["EM2", "EM3"])?;
    ensure!(
        world.has(HUB, &id)?,
        "what the late device recorded is not there"
    );
    let role = |world: &mut World, node: usize| -> Result<String> {
        let key = world.node(node)?.key;
        let role = world.writer(HUB)?.journal.authority().role(&key);
        Ok(role.context("no role")?.word().to_owned())
    };
    ensure!(role(&mut world, late)? == "station" && role(&mut world, B)? == "reader");
    // Once: what comes again is not ordered again.
    let before = world.writer(HUB)?.journal.authority().cited();
    world.unlink_all();
    world.restart(HUB)?;
    all_follow(&mut world, HUB, &[A, late, B], &["EM2", "EM3"])?;
    ensure!(world.writer(HUB)?.journal.authority().cited() == before);
    world.agree(&[A, late])
}

#[test]
fn of_a_hub_and_its_copy_one_goes_on() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.add(A, "一件")?;
    world.heal()?;
    world.unlink_all();
    world.stop(HUB)?;
    let (from, to) = (world.node(HUB)?.directory.clone(), world.fresh_path("copy"));
    copy_files(&from, &to, |name| name != "lock")?;
    world.start(HUB)?;
    let copy = world.adopt_directory("copy", to)?;
    refused(
        world.transact(copy, |journal, connection| {
            journal.order(connection, &[site(2)], 1)
        }),
        Code::NotResumed,
    )?;
    // The computer was replaced: the copy is the hub.
    world.link(A, copy, Wire::GOOD)?;
    world.run()?;
    world.resume(copy, false)?;
    world.transact(copy, |journal, connection| {
        journal.order(connection, &[site(2)], 1)
    })?;
    all_follow(&mut world, copy, &[A, B], &["EM2"])?;
    world.unlink_all();
    // The old one is switched on again. Until it hears of the other it knows nothing; then it stops.
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    refused(world.order(&site(3)), Code::NotResumed)?;
    all_follow(&mut world, copy, &[A, B], &["EM2"])?;
    // Should both be resumed apart from each other, no device follows the second, and all say so.
    world.unlink_all();
    world.resume(HUB, false)?;
    world.order(&site(4))?;
    world.link(B, HUB, Wire::GOOD)?;
    world.run()?;
    ensure!(
        sites(&mut world, B)? == ["EM2", "EM4"],
        "the higher version is followed"
    );
    world.link(B, copy, Wire::GOOD)?;
    world.run()?;
    let authority = world.writer(copy)?.journal.authority();
    ensure!(authority.unsettled() != Some(Unsettled::Nothing));
    refused(
        world.transact(copy, |journal, connection| {
            journal.order(connection, &[site(5)], 1)
        }),
        Code::NotResumed,
    )
}

#[test]
fn a_card_of_another_network_and_a_device_that_is_no_hub_resume_nothing() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    refused(world.resume(HUB, true), Code::NothingToDo)?;
    refused(world.resume(A, true), Code::HubOnly)?;
    put_back(&mut world, |name| name != "offered")?;
    let other = Signer::from_seed(&[7; 32]);
    let done = world.transact(HUB, |journal, connection| {
        journal.resume(connection, &other, true, 1)
    });
    refused(done, Code::Card)?;
    refused(world.order(&site(3)), Code::NotResumed)?;
    // Where nobody is left, it goes on alone, and what was lost comes back when somebody is found.
    world.resume(HUB, true)?;
    ensure!(sites(&mut world, HUB)?.is_empty());
    all_follow(&mut world, HUB, &[A], &["EM2"])?;
    world.order(&site(3))?;
    world.heal()?;
    all_follow(&mut world, HUB, &[A], &["EM2", "EM3"])?;
    ensure!(world.records(HUB)?.len() == 1);
    world.agree(&[A])
}

/// A hub that came back behind three orders, which only A knows: B got another role, its old one, and the other again.
fn behind_on_roles() -> Result<World> {
    let mut world = World::with_stations(1, 2)?;
    world.heal()?;
    world.save(HUB, "image")?;
    world.unlink_all();
    world.narrow(B)?;
    world.grant(B)?;
    world.narrow(B)?;
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    world.unlink_all();
    world.load(HUB, "image", |name| name != "offered")?;
    world.resume(HUB, true)?;
    Ok(world)
}

/// What the hub knows of B once A has shown its orders: its role, and whether it is blocked.
fn after_a_was_heard(world: &mut World) -> Result<(Role, bool)> {
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    let device = world.node(B)?.key;
    let members = world.writer(HUB)?.journal.authority().members();
    let member = members.get(&device).context("no member")?;
    Ok((
        member.grant.role,
        matches!(member.membership, Membership::Blocked { .. }),
    ))
}

#[test]
fn what_is_ordered_after_it_came_back_weighs_more_than_what_comes_to_light() -> Result<()> {
    let mut world = behind_on_roles()?;
    ensure!(
        after_a_was_heard(&mut world)? == (Role::Reader, false),
        "the last of them is in force"
    );
    let mut world = behind_on_roles()?;
    let device = world.node(B)?.key;
    let cuts = world.writer(HUB)?.journal.places_of(&device);
    world.order(&Order::Revoke {
        device,
        lost: false,
        cuts,
    })?;
    ensure!(
        after_a_was_heard(&mut world)? == (Role::Station, true),
        "it was let in again"
    );
    let mut world = behind_on_roles()?;
    world.grant(B)?;
    ensure!(
        after_a_was_heard(&mut world)? == (Role::Station, false),
        "what was granted since is gone"
    );
    Ok(())
}

#[test]
fn orders_that_come_to_light_one_by_one_lead_to_what_the_last_of_them_said() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    world.heal()?;
    world.save(HUB, "image")?;
    world.unlink_all();
    // A hears of the first order, B of both.
    for (node, narrow) in [(A, true), (B, false)] {
        if narrow {
            world.narrow(B)?;
        } else {
            world.grant(B)?;
        }
        world.link(node, HUB, Wire::GOOD)?;
        world.run()?;
        world.unlink_all();
    }
    world.load(HUB, "image", |name| name != "offered")?;
    world.resume(HUB, true)?;
    ensure!(after_a_was_heard(&mut world)? == (Role::Reader, false));
    world.unlink_all();
    world.restart(HUB)?;
    world.link(B, HUB, Wire::GOOD)?;
    world.run()?;
    ensure!(
        after_a_was_heard(&mut world)? == (Role::Station, false),
        "the last order is forgotten"
    );
    // A second time it comes back: what was granted in between is not taken back by what was before.
    world.unlink_all();
    world.narrow(B)?;
    world.save(HUB, "second")?;
    world.order(&site(7))?;
    world.load(HUB, "second", |name| name != "offered")?;
    // It has shown nobody what it lost, so that nothing tells it.
    ensure!(!world.writer(HUB)?.journal.awaits_card());
    ensure!(
        after_a_was_heard(&mut world)? == (Role::Reader, false),
        "an older role is back"
    );
    Ok(())
}
