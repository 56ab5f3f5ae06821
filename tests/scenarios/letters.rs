//! A store that was put back or copied numbers under another code, by itself, and once for each time that it happened.

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::limits;
use lianxin_tests::world::{HUB, site};
use lianxin_tests::{Wire, World};

const A: usize = 1;
const B: usize = 2;

/// The code that the hub has given a node's device last.
fn code(world: &mut World, node: usize) -> Result<String> {
    let key = world.node(node)?.key;
    let members = world.writer(HUB)?.journal.authority().members();
    let member = members.get(&key).context("the hub does not know it")?;
    Ok(member.grant.device_code.clone())
}

fn add(world: &mut World, node: usize, title: &str) -> Result<String> {
    Ok(world.add(node, title)?.1)
}

const AWAITS: &str = "LX-2019";

/// Whatever was put back: the database alone, which its file of positions shows at once, or all of it, which only what others
/// hold can show.
#[test]
fn a_store_that_was_put_back_numbers_under_another_code() -> Result<()> {
    for whole in [false, true] {
        let mut world = World::with_stations(1, 2)?;
        let mut numbers = vec![add(&mut world, A, "一")?];
        world.heal()?;
        world.save(A, "image")?;
        numbers.push(add(&mut world, A, "二")?);
        world.heal()?;
        let (before, other) = (code(&mut world, A)?, code(&mut world, B)?);
        ensure!(numbers.iter().all(|it| it.contains(&before)), "{numbers:?}");
        world.unlink_all();
        world.load(A, "image", |name| whole || name.starts_with("lianxin.db"))?;
        if !whole {
            // It knows what happened, and a clerk without a line has a number to hand out all the same.
            ensure!(world.warned(A)?.1.contains(&AWAITS.to_owned()));
            numbers.push(add(&mut world, A, "三")?);
        }
        world.link(A, HUB, Wire::GOOD)?;
        world.run()?;
        let after = code(&mut world, A)?;
        ensure!(after != before && after != other, "{before}, {after}");
        ensure!(
            world.warned(A)? == (0, Vec::new()),
            "{:?}",
            world.warned(A)?
        );
        numbers.push(add(&mut world, A, "四")?);
        ensure!(
            numbers.last().is_some_and(|it| it.contains(&after)),
            "{numbers:?}"
        );
        // Once, however often both start and meet again, and whoever else passes it on.
        for node in [A, HUB] {
            world.restart(node)?;
            world.heal()?;
        }
        ensure!(code(&mut world, A)? == after);
        ensure!(
            code(&mut world, B)? == other,
            "another device has another code"
        );
        // The next time is another event.
        world.load(A, "image", |name| name.starts_with("lianxin.db"))?;
        world.heal()?;
        let third = code(&mut world, A)?;
        ensure!(third != after && third != before, "{third}");
        numbers.push(add(&mut world, A, "五")?);
        let all = numbers.len();
        numbers.sort();
        numbers.dedup();
        ensure!(
            numbers.len() == all,
            "a number was given twice: {numbers:?}"
        );
        world.heal()?;
        world.agree(&[A, B])?;
        world.sound(HUB)?;
    }
    Ok(())
}

/// A crash, however often, is no event; nor is a log that ends for another reason.
#[test]
fn a_store_that_only_crashed_keeps_its_code() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let before = code(&mut world, A)?;
    for title in ["一", "二", "三"] {
        add(&mut world, A, title)?;
        world.heal()?;
        world.lose_next(A)?;
        world.restart(A)?;
        ensure!(!world.warned(A)?.1.contains(&AWAITS.to_owned()));
    }
    world.heal()?;
    ensure!(code(&mut world, A)? == before);
    Ok(())
}

/// A hub that gives no orders itself looks, once it gives them again, who has begun anew meanwhile.
#[test]
fn a_hub_that_was_put_back_answers_once_it_gives_orders_again() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    add(&mut world, A, "一")?;
    world.heal()?;
    world.save(HUB, "hub")?;
    world.save(A, "station")?;
    add(&mut world, A, "二")?;
    world.order(&site(2))?;
    world.heal()?;
    let before = code(&mut world, A)?;
    world.unlink_all();
    let database = |name: &str| name.starts_with("lianxin.db");
    world.load(HUB, "hub", database)?;
    world.load(A, "station", database)?;
    world.link(B, HUB, Wire::GOOD)?;
    world.link(A, HUB, Wire::GOOD)?;
    world.run()?;
    ensure!(code(&mut world, A)? == before, "it gives no orders yet");
    ensure!(world.warned(A)?.1.contains(&AWAITS.to_owned()));
    world.restart(HUB)?;
    world.resume(HUB, false)?;
    world.heal()?;
    ensure!(code(&mut world, A)? != before);
    ensure!(!world.warned(A)?.1.contains(&AWAITS.to_owned()));
    world.agree(&[A, B])
}

/// Codes are not used up by whoever begins anew again and again: people look at the computer first.
#[test]
fn who_begins_anew_all_day_does_not_use_up_the_codes() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    add(&mut world, A, "一")?;
    world.heal()?;
    world.save(A, "image")?;
    for _ in 0..12 {
        add(&mut world, A, "又一")?;
        world.heal()?;
        world.load(A, "image", |name| name.starts_with("lianxin.db"))?;
        world.heal()?;
    }
    let given = world.writer(HUB)?.journal.authority().codes().len();
    let bound = usize::try_from(limits::LOGS_UNUSUAL)? + 3;
    ensure!(given > 3 && given <= bound, "{given} codes were given");
    ensure!(world.warned(HUB)?.1.contains(&"LX-2015".to_owned()));
    Ok(())
}
