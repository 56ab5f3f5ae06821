//! What was acknowledged arrives exactly once, wherever the line breaks.

use anyhow::{Result, anyhow, ensure};
use lianxin_tests::world::{HUB, text};
use lianxin_tests::{Chunks, Cut, Wire, World};

const STATION: usize = 1;

/// A record's id, its number and the hash of its first change.
type Acknowledged = (String, String, String);

/// Every acknowledged change is at a node, once, and so is its number.
fn arrived(world: &mut World, node: usize, acknowledged: &[Acknowledged]) -> Result<()> {
    let listed = world.records(node)?;
    for (id, number, change) in acknowledged {
        let of_id = listed.iter().filter(|it| text(it, "id") == *id).count();
        let of_number = listed
            .iter()
            .filter(|it| text(it, "number") == *number)
            .count();
        ensure!(
            (of_id, of_number) == (1, 1),
            "{number} is there {of_id}, {of_number} times"
        );
        let changes = world.changes(node, id)?;
        ensure!(
            changes == [change.clone()],
            "{number} has the changes {changes:?}"
        );
    }
    ensure!(
        listed.len() == acknowledged.len(),
        "{} records",
        listed.len()
    );
    Ok(())
}

/// A station with records that the hub does not have, kept so that every attempt begins alike.
fn prepared(records: usize, stations: usize) -> Result<(World, Vec<Acknowledged>)> {
    let mut world = World::with_stations(1, stations)?;
    let mut acknowledged = Vec::new();
    for n in 0..records {
        acknowledged.push(world.add(STATION, &format!("测试意见{n}"))?);
    }
    for node in 0..=stations {
        world.save(node, "start")?;
    }
    Ok((world, acknowledged))
}

fn attempt(world: &mut World, stations: usize, cut: Cut, chunks: Chunks) -> Result<u64> {
    for node in 0..=stations {
        world.load(node, "start", |_| true)?;
    }
    for station in 2..=stations {
        world.link(station, HUB, Wire::GOOD)?;
    }
    let link = world.link(STATION, HUB, Wire { cut, chunks })?;
    world.run()?;
    let carried = world.carried(link.unwrap_or_default());
    Ok(match cut {
        Cut::AfterBytes(_) => carried.bytes,
        Cut::Never | Cut::AfterFrames(_) | Cut::OneWay { .. } => carried.frames,
    })
}

/// After the cut, nothing false is claimed; after healing, everything is there once, and sound.
fn holds(
    world: &mut World,
    stations: usize,
    acknowledged: &[Acknowledged],
    thorough: bool,
) -> Result<()> {
    let all: Vec<_> = (1..=stations).collect();
    world.claims_hold(&all)?;
    world.restart(STATION)?;
    world.heal()?;
    ensure!(world.violations.is_empty(), "{:?}", world.violations);
    for node in 0..=stations {
        arrived(world, node, acknowledged)?;
    }
    world.agree(&all)?;
    for (id, _, _) in acknowledged {
        let (here, there) = (world.show(STATION, id)?, world.show(HUB, id)?);
        ensure!(here.get("fields") == there.get("fields"), "content differs");
        ensure!(
            text(&here, "state") == "merged",
            "the state is {}",
            text(&here, "state")
        );
    }
    if thorough {
        world.claims_hold(&all)?;
        for node in 0..=stations {
            world.sound(node)?;
        }
    }
    Ok(())
}

#[test]
fn an_exchange_cut_at_any_frame_loses_and_doubles_nothing() -> Result<()> {
    let (mut world, acknowledged) = prepared(3, 2)?;
    let frames = attempt(&mut world, 2, Cut::Never, Chunks::Frames)?;
    ensure!(frames > 5, "an exchange of {frames} frames");
    for cut in 0..=frames {
        attempt(&mut world, 2, Cut::AfterFrames(cut), Chunks::Frames)?;
        holds(&mut world, 2, &acknowledged, true)?;
    }
    Ok(())
}

#[test]
fn an_exchange_cut_at_any_byte_loses_and_doubles_nothing() -> Result<()> {
    // Two worlds side by side, each with every other byte.
    let half = |half: u64| -> Result<()> {
        let (mut world, acknowledged) = prepared(1, 1)?;
        let whole = Cut::AfterBytes(u64::MAX);
        let bytes = attempt(&mut world, 1, whole, Chunks::Frames)?;
        ensure!(bytes > 1_000, "an exchange of {bytes} bytes");
        for cut in (0..=bytes).filter(|cut| cut % 2 == half) {
            attempt(&mut world, 1, Cut::AfterBytes(cut), Chunks::Frames)?;
            holds(&mut world, 1, &acknowledged, false)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0)?;
        other.join().map_err(|_| anyhow!("a world panicked"))?
    })
}

#[test]
fn bytes_that_come_one_by_one_make_the_same_exchange() -> Result<()> {
    let (mut world, acknowledged) = prepared(2, 1)?;
    for chunks in [Chunks::Single, Chunks::Random, Chunks::Frames] {
        attempt(&mut world, 1, Cut::Never, chunks)?;
        ensure!(world.violations.is_empty(), "{:?}", world.violations);
        world.agree(&[STATION])?;
        holds(&mut world, 1, &acknowledged, true)?;
    }
    Ok(())
}
