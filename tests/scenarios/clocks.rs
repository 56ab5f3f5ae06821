//! A wrong clock decides nothing, is measured where that can be done, and is said to who can set it.

use anyhow::{Result, ensure};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, text};

const A: usize = 1;
const WRONG: &str = "LX-2022";
const YEAR_MS: u64 = 365 * 24 * 3_600_000;

fn said(world: &mut World, node: usize) -> Result<bool> {
    let (exit, codes) = world.warned(node)?;
    let said = codes.contains(&WRONG.to_owned());
    ensure!(exit == u8::from(said), "exit {exit} with {codes:?}");
    Ok(said)
}

#[test]
fn a_clock_that_is_fast_or_slow_is_said_on_both_sides_until_it_is_set() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let right = 1_795_824_000_000;
    world.set_clock(HUB, right)?;
    world.set_clock(A, right)?;
    world.add(A, "先")?;
    world.heal()?;
    ensure!(!said(&mut world, A)? && !said(&mut world, HUB)?);

    world.set_clock(A, right + YEAR_MS)?;
    world.add(A, "钟快")?;
    world.heal()?;
    ensure!(
        said(&mut world, A)? && said(&mut world, HUB)?,
        "a year ahead"
    );

    world.set_clock(A, right - 600_000)?;
    world.add(A, "钟慢")?;
    world.heal()?;
    // What is late may just have waited for a line: the hub cannot know.
    ensure!(said(&mut world, A)?, "ten minutes behind");

    world.set_clock(A, right + 60_000)?;
    world.add(A, "校准")?;
    world.heal()?;
    ensure!(
        !said(&mut world, A)? && !said(&mut world, HUB)?,
        "a minute is nothing"
    );
    Ok(())
}

/// Lists begin with what came to the hub last, on every device alike, whatever the clocks of those who wrote it said.
#[test]
fn lists_are_in_the_order_of_arrival() -> Result<()> {
    const B: usize = 2;
    let mut world = World::with_stations(1, 2)?;
    let right = 1_795_824_000_000;
    for node in [HUB, B] {
        world.set_clock(node, right)?;
    }
    world.set_clock(A, right + YEAR_MS)?;
    let (fast, ..) = world.add(A, "钟快一年")?;
    world.heal()?;
    for node in [HUB, B] {
        world.set_clock(node, right + 60_000)?;
    }
    let (last, ..) = world.add(B, "后到")?;
    world.heal()?;
    for node in [HUB, A, B] {
        let listed = world.records(node)?;
        let ids: Vec<_> = listed.iter().map(|row| text(row, "id")).collect();
        ensure!(ids == [last.clone(), fast.clone()], "at {node}: {ids:?}");
    }
    // What has not come to the hub comes before all that has.
    world.unlink_all();
    world.set_clock(A, right - YEAR_MS)?;
    let (waiting, ..) = world.add(A, "在路上")?;
    ensure!(text(&world.records(A)?[0], "id") == waiting);
    world.heal()?;
    // The same lists come of the logs alone.
    for node in [HUB, A] {
        let before = world.records(node)?;
        world.call(node, lianxin_node::command::Write::Reproject)?;
        ensure!(world.records(node)? == before, "at {node}");
    }
    Ok(())
}
