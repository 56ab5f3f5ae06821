//! A wrong clock decides nothing, is measured where that can be done, and is said to who can set it.

use anyhow::{Result, ensure};
use lianxin_tests::World;
use lianxin_tests::world::HUB;

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
