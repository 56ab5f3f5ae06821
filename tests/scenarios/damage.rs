//! Damage on a disk stays where it is: the store opens, everybody else's records go on, what was damaged is fetched back, and
//! nobody says that he has what he lost.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::{Code, Error};
use lianxin_node::records::reproject::{self, Fresh};
use lianxin_node::refill;
use lianxin_node::store::Store;
use lianxin_node::store::aside::Aside;
use lianxin_protocol::log::LogId;
use lianxin_protocol::message::Tip;
use lianxin_protocol::space::SpaceId;
use lianxin_tests::World;
use lianxin_tests::process::{self, Device, Network};
use lianxin_tests::world::{HUB, code_of, text};
use rusqlite::params;
use serde_json::{Value, json};

/// What a damaged segment looks like.
#[derive(Clone, Copy, Debug)]
enum Spoilt {
    /// One bit is another.
    Bit,
    /// The row is gone.
    Gone,
    /// The row is cut short.
    Short,
}

/// Spoils the segment of a log that holds an entry, and opens the node anew.
fn spoil(world: &mut World, node: usize, log: &LogId, seq: u64, how: Spoilt) -> Result<()> {
    let connection = world.writer(node)?.connection();
    let (entry, mut main): (i64, Vec<u8>) = connection.query_row(
        "SELECT entry, main FROM segments WHERE entry <= (SELECT id FROM logs WHERE log = ?1) << 40 | ?2
         ORDER BY entry DESC LIMIT 1",
        params![log.0, seq],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let middle = main.len() / 2;
    match how {
        Spoilt::Bit => *main.get_mut(middle).context("an empty segment")? ^= 4,
        Spoilt::Short => main.truncate(middle),
        Spoilt::Gone => {
            connection.execute("DELETE FROM segments WHERE entry = ?1", [entry])?;
        }
    }
    connection.execute(
        "UPDATE segments SET main = ?2 WHERE entry = ?1",
        params![entry, main],
    )?;
    world.restart(node)
}

/// The only log of a device in the site's space, with its tip at a node.
fn only_log(world: &mut World, node: usize, of: usize) -> Result<(LogId, Tip)> {
    let key = world.node(of)?.key;
    let logs = world.logs_of(node, &key)?;
    ensure!(logs.len() == 1, "{} logs", logs.len());
    logs.into_iter().next().context("no log")
}

/// Records with the state that a node shows.
fn states(world: &mut World, node: usize) -> Result<BTreeMap<String, String>> {
    let records = world.records(node)?.into_iter();
    Ok(records
        .map(|it| (text(&it, "id"), text(&it, "state")))
        .collect())
}

/// A hub with two sites of one station each, and so many records of the first that they take several segments.
fn two_sites(seed: u64) -> Result<(World, [usize; 2])> {
    let mut world = World::with_stations(seed, 1)?;
    let other = world.add_site("EM2", "EM2A")?;
    for nth in 0..50 {
        world.add(1, &format!("first-{nth}"))?;
    }
    world.add(other, "other")?;
    world.heal()?;
    Ok((world, [1, other]))
}

fn everything_is_well(world: &mut World, stations: &[usize]) -> Result<()> {
    world.agree(stations)?;
    for node in stations.iter().copied().chain([HUB]) {
        world.sound(node)?;
        ensure!(
            world.warned(node)?.1.is_empty(),
            "{:?}",
            world.warned(node)?
        );
    }
    world.claims_hold(stations)
}

#[test]
fn a_damaged_log_at_the_hub_is_fetched_back_and_holds_up_nobody() -> Result<()> {
    for (seed, how, at) in [
        (1, Spoilt::Bit, 70),
        (2, Spoilt::Gone, 70),
        (3, Spoilt::Short, 1),
        (4, Spoilt::Bit, 140),
    ] {
        let (mut world, [station, other]) = two_sites(seed)?;
        let (log, tip) = only_log(&mut world, HUB, station)?;
        ensure!(tip.len > 130, "{} entries", tip.len);
        let before = states(&mut world, station)?;
        spoil(&mut world, HUB, &log, at, how)?;
        // Somebody reads it.
        let verified = world.reply(HUB, Query::Verify)?;
        ensure!(verified.exit == 2, "{}", verified.value);
        let line = verified.value.pointer("/bad/0").and_then(Value::as_str);
        let line = line.context("nothing is bad")?;
        ensure!(
            line.contains(&format!("log {}", &log.to_string()[..16])),
            "{line}"
        );
        ensure!(
            line.contains("entries ") && line.contains("records 0"),
            "{line}"
        );
        let (_, now) = only_log(&mut world, HUB, station)?;
        ensure!(now.len <= at && now.len < tip.len, "{now:?} after {how:?}");
        ensure!(
            world.warned(HUB)?.1 == ["LX-1012"],
            "{:?}",
            world.warned(HUB)?
        );
        // The other site goes on, to the end, while the first is out of reach.
        world.add(other, "meanwhile")?;
        world.link(other, HUB, lianxin_tests::Wire::GOOD)?;
        world.run()?;
        world.unlink_all();
        for (id, state) in states(&mut world, other)? {
            ensure!(state == "merged", "{id} is {state}");
        }
        // The first station brings it back.
        world.heal()?;
        ensure!(
            only_log(&mut world, HUB, station)?.1 == tip,
            "{how:?} at {at}"
        );
        ensure!(states(&mut world, station)? == before);
        everything_is_well(&mut world, &[station, other])?;
    }
    Ok(())
}

#[test]
fn a_hub_does_not_say_that_it_has_what_it_lost() -> Result<()> {
    let (mut world, [station, _]) = two_sites(5)?;
    let (log, tip) = only_log(&mut world, HUB, station)?;
    spoil(&mut world, HUB, &log, 70, Spoilt::Bit)?;
    world.call(HUB, Query::Verify)?;
    world.restart(HUB)?;
    let space = world.site_space()?;
    let stored = |world: &mut World| -> Result<Vec<u64>> {
        let receipts = world
            .writer(HUB)?
            .read(|journal, connection| journal.receipts(connection, &space))?;
        let of_log = receipts.iter().filter(|it| it.log == log);
        Ok(of_log.map(|it| it.stored.len).collect())
    };
    ensure!(stored(&mut world)?.iter().all(|len| *len < tip.len));
    // Signed anew at once, and later than the one before.
    world.transact(HUB, |_, _| Ok(()))?;
    let held = only_log(&mut world, HUB, station)?.1.len;
    ensure!(stored(&mut world)? == [held]);
    world.heal()?;
    ensure!(stored(&mut world)? == [tip.len]);
    world.claims_hold(&[station])
}

#[test]
fn a_damaged_part_is_missing_until_it_comes_back() -> Result<()> {
    let (mut world, [station, other]) = two_sites(6)?;
    let before = world.digests(HUB)?;
    let connection = world.writer(HUB)?.connection();
    let (log, entry): (Vec<u8>, i64) = connection.query_row(
        "SELECT logs.log, entry FROM parts JOIN logs ON logs.id = entry >> 40 ORDER BY entry LIMIT 1 OFFSET 9",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    connection.execute(
        "UPDATE parts SET payload = CAST(substr(payload, 1, 40) || x'00' || substr(payload, 42) AS BLOB)
         WHERE entry = ?1",
        [entry],
    )?;
    // It is merged with others: an edit of each of them has come.
    connection.execute(
        "INSERT OR IGNORE INTO stale (record) SELECT id FROM records",
        [],
    )?;
    world.restart(HUB)?;
    world.merge(HUB)?;
    let connection = world.writer(HUB)?.connection();
    let (stale, unread): (u64, u64) = connection.query_row(
        "SELECT (SELECT count(*) FROM stale), (SELECT count(*) FROM unread)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    ensure!(stale == 0, "{stale} records were not merged");
    ensure!(unread <= 1, "{unread} records were set aside");
    ensure!(world.warned(HUB)?.0 == 1);
    let missing = world
        .writer(HUB)?
        .read(|journal, connection| journal.payloads_wanted(connection))?;
    ensure!(
        missing.iter().any(|(id, _)| id.0[..] == log[..]),
        "{missing:?}"
    );
    world.heal()?;
    ensure!(world.digests(HUB)? == before);
    everything_is_well(&mut world, &[station, other])
}

#[test]
fn a_station_gets_its_own_log_back_and_goes_on_in_a_new_one() -> Result<()> {
    for (seed, at) in [(7, 1), (8, 70)] {
        let (mut world, [station, other]) = two_sites(seed)?;
        let (log, tip) = only_log(&mut world, station, station)?;
        spoil(&mut world, station, &log, at, Spoilt::Bit)?;
        world.call(station, Query::Verify)?;
        // It goes on recording before anything is back.
        let (_, number, _) = world.add(station, "after the damage")?;
        let numbers: Vec<_> = world
            .records(HUB)?
            .iter()
            .map(|it| text(it, "number"))
            .collect();
        ensure!(!numbers.contains(&number), "{number} was given before");
        world.heal()?;
        world.heal()?;
        let key = world.node(station)?.key;
        let logs = world.logs_of(station, &key)?;
        ensure!(logs.len() == 2, "{} logs", logs.len());
        ensure!(logs.get(&log) == Some(&tip));
        ensure!(world.records(station)?.len() == 51);
        everything_is_well(&mut world, &[station, other])?;
    }
    Ok(())
}

#[test]
fn a_station_gets_the_orders_back() -> Result<()> {
    let (mut world, [station, other]) = two_sites(9)?;
    let space = lianxin_protocol::space::Space::Authority.id(&world.network()?);
    let log = authority_log(&mut world, station, &space)?;
    spoil(&mut world, station, &log, 1, Spoilt::Short)?;
    world.add(station, "without orders")?;
    world.heal()?;
    world.heal()?;
    everything_is_well(&mut world, &[station, other])
}

fn authority_log(world: &mut World, node: usize, space: &SpaceId) -> Result<LogId> {
    let tips = world.writer(node)?.journal.tips(space);
    tips.into_keys().next().context("no authority log")
}

#[test]
fn a_hub_whose_orders_are_damaged_gets_them_back_and_waits_for_its_card() -> Result<()> {
    let (mut world, [station, other]) = two_sites(10)?;
    let space = lianxin_protocol::space::Space::Authority.id(&world.network()?);
    let log = authority_log(&mut world, HUB, &space)?;
    spoil(&mut world, HUB, &log, 1, Spoilt::Short)?;
    let (_, warned) = world.warned(HUB)?;
    ensure!(warned.contains(&"LX-2013".to_owned()), "{warned:?}");
    ensure!(warned.contains(&"LX-1012".to_owned()), "{warned:?}");
    // A station cannot dial a hub that knows nobody yet: the hub dials.
    world.link(HUB, station, lianxin_tests::Wire::GOOD)?;
    world.run()?;
    world.heal()?;
    ensure!(
        world.warned(HUB)?.1 == ["LX-2013"],
        "{:?}",
        world.warned(HUB)?
    );
    world.resume(HUB, false)?;
    world.heal()?;
    world.add(station, "after all")?;
    world.heal()?;
    everything_is_well(&mut world, &[station, other])
}

#[test]
fn what_nobody_else_has_is_kept_as_it_lies_and_named() -> Result<()> {
    let mut world = World::with_stations(11, 1)?;
    let mut ids = Vec::new();
    for nth in 0..50 {
        ids.push(world.add(1, &format!("alone-{nth}"))?.0);
    }
    let (log, tip) = only_log(&mut world, 1, 1)?;
    spoil(&mut world, 1, &log, 70, Spoilt::Bit)?;
    world.call(1, Query::Verify)?;
    let held = only_log(&mut world, 1, 1)?.1.len;
    ensure!(0 < held && held <= 70);
    let kept: u64 = world.writer(1)?.connection().query_row(
        "SELECT count(*) FROM damaged_rows WHERE NOT part",
        [],
        |row| row.get(0),
    )?;
    ensure!(kept >= 2, "{kept} segments are kept");
    world.add(1, "goes on")?;
    world.heal()?;
    ensure!(world.warned(1)?.1 == ["LX-1012"]);
    let verified = world.reply(1, Query::Verify)?;
    ensure!(verified.exit == 2);
    let bad = verified.value.pointer("/bad/0").and_then(Value::as_str);
    let last = tip.len - 1;
    ensure!(
        bad.is_some_and(|it| it.contains(&format!("entries {held} to {last}"))),
        "{bad:?}"
    );
    // What went before, and what came after, is with the hub.
    world.agree(&[1])?;
    ensure!(world.records(HUB)?.len() == world.records(1)?.len());
    Ok(())
}

/// A segment goes out as it lies, so it is the peer who finds first that it is not what was signed.
#[test]
fn what_a_peer_refuses_is_looked_at_where_it_came_from() -> Result<()> {
    let mut world = World::with_stations(13, 1)?;
    for nth in 0..50 {
        world.add(1, &format!("alone-{nth}"))?;
    }
    let (log, tip) = only_log(&mut world, 1, 1)?;
    spoil(&mut world, 1, &log, 70, Spoilt::Bit)?;
    ensure!(world.warned(1)?.1.is_empty(), "nobody has read it yet");
    world.heal()?;
    world.unlink_all();
    world.heal()?;
    ensure!(world.warned(1)?.1 == ["LX-1012"], "{:?}", world.warned(1)?);
    let key = world.node(1)?.key;
    let logs = world.logs_of(1, &key)?;
    let held = logs
        .iter()
        .find(|(id, _)| **id == log)
        .map(|(_, tip)| tip.len);
    ensure!(
        held.is_some_and(|held| 0 < held && held <= 70 && held < tip.len),
        "{held:?}"
    );
    // What stands before it, and what comes after, gets through.
    world.add(1, "goes on")?;
    world.heal()?;
    world.agree(&[1])
}

#[test]
fn what_is_whole_behind_the_damage_needs_no_line() -> Result<()> {
    let (mut world, [station, other]) = two_sites(12)?;
    let (log, tip) = only_log(&mut world, HUB, station)?;
    spoil(&mut world, HUB, &log, 70, Spoilt::Bit)?;
    world.call(HUB, Query::Verify)?;
    let held = only_log(&mut world, HUB, station)?.1.len;
    // One piece alone comes back, by whatever way.
    let piece = world.batch(station, &log, held)?.context("no piece")?;
    world.hand_over(HUB, log, piece)?;
    ensure!(only_log(&mut world, HUB, station)?.1 == tip);
    world.heal()?;
    everything_is_well(&mut world, &[station, other])
}

/// The pages of the database with which a table or an index begins, from 1.
fn root_page(world: &mut World, node: usize, name: &str) -> Result<usize> {
    let connection = world.writer(node)?.connection();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
    Ok(connection.query_row(sql, [name], |row| row.get(0))?)
}

/// Bytes of a page.
const PAGE: usize = 4_096;

/// Changes one bit of a page of a node that is off.
fn flip(world: &World, node: usize, page: usize) -> Result<()> {
    let path = world.node(node)?.directory.join("lianxin.db");
    let mut bytes = std::fs::read(&path)?;
    *bytes
        .get_mut((page - 1) * PAGE + PAGE / 2)
        .context("no such page")? ^= 1;
    Ok(std::fs::write(path, bytes)?)
}

#[test]
fn a_page_that_cannot_be_read_is_damage_and_not_a_wrong_key() -> Result<()> {
    let (mut world, [station, _]) = two_sites(13)?;
    world.stop(station)?;
    let directory = world.node(station)?.directory.clone();
    let path = directory.join("lianxin.db");
    let whole = std::fs::read(&path)?;
    let mut opened = 0;
    for page in 1..=whole.len() / PAGE {
        std::fs::write(&path, &whole)?;
        flip(&world, station, page)?;
        let codes: Vec<Code> = match world.start(station) {
            Err(error) => code_of(&error).into_iter().collect(),
            Ok(()) => {
                opened += 1;
                let mut codes = Vec::new();
                let record = world
                    .records(station)
                    .ok()
                    .and_then(|all| all.first().cloned());
                let id = record.map(|record| text(&record, "id")).unwrap_or_default();
                let commands = [
                    Query::Verify,
                    Query::Digest,
                    Query::RecordShow {
                        id: id.clone(),
                        account: None,
                    },
                    Query::RecordHistory { id, account: None },
                    Query::Verify,
                ];
                for command in commands {
                    let refused = world.reply(station, command).err();
                    codes.extend(refused.as_ref().and_then(code_of));
                }
                codes.extend(
                    world
                        .add(station, "on a bad disk")
                        .err()
                        .as_ref()
                        .and_then(code_of),
                );
                codes
            }
        };
        world.stop(station)?;
        let key = codes.contains(&Code::StoreKey);
        ensure!(key == (page == 1), "page {page}: {codes:?}");
        let known = [Code::StoreKey, Code::StoreCorrupt, Code::NoRecord];
        ensure!(
            codes.iter().all(|code| known.contains(code)),
            "page {page}: {codes:?}"
        );
    }
    ensure!(opened > 20, "{opened} opened");
    // Another key opens nothing, and says so.
    std::fs::write(&path, &whole)?;
    std::fs::write(directory.join("store.key"), "00".repeat(32))?;
    let refused = world.start(station).err();
    ensure!(
        refused.as_ref().and_then(code_of) == Some(Code::StoreKey),
        "{refused:?}"
    );
    Ok(())
}

#[test]
fn one_page_of_a_log_that_cannot_be_read_leaves_the_others_theirs() -> Result<()> {
    let (mut world, [station, other]) = two_sites(14)?;
    let (log, _) = only_log(&mut world, HUB, station)?;
    // Enough that a page holds nothing but parts of this log, of two segments at most.
    for nth in 0..100 {
        world.add(station, &format!("more-{nth}"))?;
    }
    world.heal()?;
    world.stop(HUB)?;
    let path = world.node(HUB)?.directory.join("lianxin.db");
    let whole = std::fs::read(&path)?;
    let mut found = false;
    for page in 2..=whole.len() / PAGE {
        std::fs::write(&path, &whole)?;
        flip(&world, HUB, page)?;
        if world.start(HUB).is_err() {
            world.stop(HUB)?;
            continue;
        }
        let verified = world.reply(HUB, Query::Verify)?;
        let bad = verified
            .value
            .get("bad")
            .and_then(Value::as_array)
            .context("no list")?;
        let of_log = format!("log {}", &log.to_string()[..16]);
        let only = (1..=2).contains(&bad.len())
            && bad.iter().all(|it| {
                it.as_str()
                    .is_some_and(|it| it.starts_with(&of_log) && it.contains("entries"))
            });
        if only {
            found = true;
            break;
        }
        world.stop(HUB)?;
    }
    ensure!(found, "no page is of that log alone");
    ensure!(
        world.warned(HUB)?.1 == ["LX-1013"],
        "{:?}",
        world.warned(HUB)?
    );
    ensure!(world.reply(HUB, Query::Verify)?.exit == 2);
    // Saves, sessions and merging of the other site go on, and over a start.
    for title in ["one", "two"] {
        world.add(other, title)?;
        world.link(other, HUB, lianxin_tests::Wire::GOOD)?;
        world.run()?;
        world.unlink_all();
        for (id, state) in states(&mut world, other)? {
            ensure!(state == "merged", "{id} is {state}");
        }
        world.restart(HUB)?;
    }
    // The first one is told, and goes on as well.
    world.add(station, "three")?;
    world.heal()?;
    ensure!(world.archived(other)?.is_some());
    Ok(())
}

#[test]
fn lists_that_are_wrong_or_cannot_be_read_are_made_anew() -> Result<()> {
    let (mut world, [station, other]) = two_sites(15)?;
    let whole = world.digests(HUB)?;
    world.writer(HUB)?.connection().execute_batch(
        "UPDATE records SET title = 'x', state = zeroblob(32);
         DELETE FROM touches WHERE entry % 3 = 0;
         INSERT INTO mentions (record, field, target) VALUES (1, 'of', 'nothing');",
    )?;
    ensure!(world.digests(HUB)? != whole);
    world.call(HUB, Write::Reproject)?;
    everything_is_well(&mut world, &[station, other])?;
    for name in [
        "records",
        "touches",
        "records_status",
        "exceptions",
        "stale",
        "held",
        "records_number",
    ] {
        let page = root_page(&mut world, HUB, name)?;
        world.stop(HUB)?;
        flip(&world, HUB, page)?;
        world.start(HUB).context(name)?;
        world.merge(HUB).context(name)?;
        world.call(HUB, Write::Reproject).context(name)?;
        world.merge(HUB)?;
        ensure!(world.digests(HUB)? == whole, "{name}");
        ensure!(world.reply(HUB, Query::Verify)?.exit == 0);
        world.restart(HUB)?;
        ensure!(world.digests(HUB)? == whole, "{name}");
    }
    // It goes on as it did.
    world.add(station, "later")?;
    world.heal()?;
    world.agree(&[station, other])
}

/// Puts fresh projections in place at the hub, each piece in a transaction of its own; `before` is asked before each, by its place in the
/// order, whether it is carried out.
fn put_in_place(
    world: &mut World,
    fresh: Fresh,
    mut before: impl FnMut(&mut World, usize) -> Result<()>,
) -> lianxin_node::error::Result<u64> {
    let failed = |error: anyhow::Error| Error::new(Code::Internal, format!("{error:#}"));
    let mut nth = 0;
    fresh.take_place(|_, slice| {
        nth += 1;
        before(world, nth).map_err(failed)?;
        let piece = world.transact(HUB, |journal, connection| slice(journal, connection));
        piece.map_err(failed)
    })
}

#[test]
fn what_a_killed_reproject_left_is_removed_and_what_came_meanwhile_is_kept() -> Result<()> {
    let (mut world, [station, other]) = two_sites(16)?;
    let mut suspects = std::collections::BTreeSet::new();
    let spares = |world: &mut World| -> Result<u64> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%spare%'";
        let connection = world.writer(HUB)?.connection();
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    };
    let beside = world.node(HUB)?.directory.join("reproject.db");
    let before = world.digests(HUB)?;
    // Killed after some pieces, before and after the tables have changed places: nothing that stands ready or is left is in anybody's way.
    let fresh = reproject::fill(world.writer(HUB)?.connection(), &mut suspects)?;
    let mut pieces = 0;
    put_in_place(&mut world, fresh, |_, nth| {
        pieces = nth;
        Ok(())
    })?;
    ensure!(spares(&mut world)? == 0 && !beside.exists());
    world.merge(HUB)?;
    ensure!(world.digests(HUB)? == before);
    for last in 1..=pieces {
        let fresh = reproject::fill(world.writer(HUB)?.connection(), &mut suspects)?;
        let killed = put_in_place(&mut world, fresh, |_, nth| {
            ensure!(nth < last, "killed");
            Ok(())
        });
        ensure!(killed.is_err());
        ensure!(last == 1 || spares(&mut world)? > 0);
        ensure!(!beside.exists());
        std::fs::write(&beside, "what a crash left")?;
        world.restart(HUB)?;
        ensure!(spares(&mut world)? == 0 && !beside.exists());
        world.merge(HUB)?;
        ensure!(world.digests(HUB)? == before, "killed before piece {last}");
    }

    // Records and orders come while they are filled, and between any two pieces.
    let fresh = reproject::fill(world.writer(HUB)?.connection(), &mut suspects)?;
    let mut came = Vec::new();
    put_in_place(&mut world, fresh, |world, nth| {
        came.push(world.add(station, &format!("meanwhile {nth}"))?.0);
        world.heal()
    })?;
    ensure!(came.len() > 20);
    world.merge(HUB)?;
    for id in &came {
        ensure!(world.has(HUB, id)?);
    }
    let before = world.digests(HUB)?;
    world.call(HUB, Write::Reproject)?;
    world.merge(HUB)?;
    ensure!(world.digests(HUB)? == before);
    everything_is_well(&mut world, &[station, other])
}

/// Sets a node's store aside and fills a new one from it, as `store refill` does before it asks anybody.
fn refill_store(world: &mut World, node: usize) -> Result<Vec<&'static str>> {
    world.stop(node)?;
    let directory = world.node(node)?.directory.clone();
    let (aside, lost) = refill::from_old(&directory)?;
    ensure!(std::path::Path::new(&aside).join("lianxin.db").exists());
    ensure!(std::path::Path::new(&aside).join("store.key").exists());
    world.start(node)?;
    Ok(lost)
}

#[test]
fn a_store_is_filled_anew_from_what_can_be_read_of_it() -> Result<()> {
    let (mut world, [station, other]) = two_sites(17)?;
    // What nobody else has: records, a draft, a second account.
    let (id, number, _) = world.add(station, "not sent yet")?;
    world.writer(station)?.connection().execute_batch(
        "INSERT INTO drafts (id, account, kind, typed, updated_ms, window)
             VALUES ('a', 'b', 'opinion', '{}', 1, '');
         INSERT INTO accounts (account, name) VALUES ('0011223344556677', '第二人');",
    )?;
    let page = root_page(&mut world, station, "records")?;
    let before = world.records(station)?.len();
    world.stop(station)?;
    flip(&world, station, page)?;
    let lost = refill_store(&mut world, station)?;
    ensure!(lost.is_empty(), "{lost:?}");
    let (drafts, accounts): (u64, u64) = world.writer(station)?.connection().query_row(
        "SELECT (SELECT count(*) FROM drafts), (SELECT count(*) FROM accounts)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    ensure!(
        (drafts, accounts) == (1, 2),
        "{drafts} drafts, {accounts} accounts"
    );
    ensure!(world.records(station)?.len() == before);
    ensure!(world.writer(station)?.journal.lacks().is_empty());
    // It goes on in a new log, and gives no number twice.
    let (_, later, _) = world.add(station, "in the new store")?;
    ensure!(later != number);
    world.heal()?;
    ensure!(world.has(HUB, &id)?);
    let key = world.node(station)?.key;
    ensure!(world.logs_of(HUB, &key)?.len() == 2);
    everything_is_well(&mut world, &[station, other])
}

#[test]
fn what_a_filled_store_could_not_read_comes_from_the_hub_or_is_named() -> Result<()> {
    let (mut world, [station, other]) = two_sites(18)?;
    let (log, tip) = only_log(&mut world, station, station)?;
    for nth in 0..40 {
        world.add(station, &format!("later-{nth}"))?;
    }
    let (_, long) = only_log(&mut world, station, station)?;
    // One segment that the hub has, and one that nobody has.
    let connection = world.writer(station)?.connection();
    connection.execute(
        "DELETE FROM segments WHERE entry = (SELECT entry FROM segments
         WHERE entry > (SELECT id FROM logs WHERE log = ?1) << 40 ORDER BY entry LIMIT 1)",
        [log.0],
    )?;
    connection.execute(
        "UPDATE segments SET main = x'00' WHERE entry = (SELECT max(entry) FROM segments
         WHERE entry < ((SELECT id FROM logs WHERE log = ?1) + 1) << 40)",
        [log.0],
    )?;
    refill_store(&mut world, station)?;
    let lacks = world.writer(station)?.journal.lacks();
    ensure!(
        lacks.len() == 1 && lacks.iter().all(|it| it.log == log && it.had == long.len),
        "{lacks:?}"
    );
    world.heal()?;
    world.heal()?;
    let lacks = world.writer(station)?.journal.lacks();
    let [left] = lacks.as_slice() else {
        anyhow::bail!("{lacks:?}");
    };
    ensure!(
        tip.len <= left.held && left.held < long.len && left.had == long.len,
        "{left:?}"
    );
    world.agree(&[station, other])?;
    world.add(station, "goes on")?;
    world.heal()?;
    world.agree(&[station, other])
}

#[test]
fn a_hub_is_filled_anew_and_gives_orders_if_none_is_lost() -> Result<()> {
    let (mut world, [station, other]) = two_sites(19)?;
    let (log, tip) = only_log(&mut world, HUB, station)?;
    spoil(&mut world, HUB, &log, 70, Spoilt::Gone)?;
    let epoch = world.writer(HUB)?.journal.identity().epoch;
    refill_store(&mut world, HUB)?;
    ensure!(world.writer(HUB)?.journal.identity().epoch != epoch);
    ensure!(!world.writer(HUB)?.journal.awaits_card());
    ensure!(
        world.warned(HUB)?.1 == ["LX-1012"],
        "{:?}",
        world.warned(HUB)?
    );
    world.heal()?;
    ensure!(only_log(&mut world, HUB, station)?.1 == tip);
    world.add_site("EM3", "EM3A")?;
    world.heal()?;
    everything_is_well(&mut world, &[station, other])?;
    for (id, state) in states(&mut world, station)? {
        ensure!(state == "merged", "{id} is {state}");
    }
    // If some are lost, it waits for its card.
    let space = lianxin_protocol::space::Space::Authority.id(&world.network()?);
    let log = authority_log(&mut world, HUB, &space)?;
    world.writer(HUB)?.connection().execute(
        "UPDATE segments SET main = x'00' WHERE entry >> 40 = (SELECT id FROM logs WHERE log = ?1)",
        [log.0],
    )?;
    refill_store(&mut world, HUB)?;
    ensure!(world.writer(HUB)?.journal.awaits_card());
    world.link(HUB, station, lianxin_tests::Wire::GOOD)?;
    world.run()?;
    world.heal()?;
    world.resume(HUB, false)?;
    world.heal()?;
    everything_is_well(&mut world, &[station, other])
}

#[test]
fn a_refill_that_was_killed_goes_on_and_one_that_leads_nowhere_moves_nothing() -> Result<()> {
    let (mut world, [station, other]) = two_sites(20)?;
    let directory = world.node(station)?.directory.clone();
    world.stop(station)?;
    for _ in 0..2 {
        // Killed with the old store moved and the new one empty.
        drop(Aside::begin(&directory)?);
        let refused = Store::open(&directory).err().map(|error| error.code());
        ensure!(refused == Some(Code::RefillBegun), "{refused:?}");
    }
    refill_store(&mut world, station)?;
    ensure!(world.records(station)?.len() == 50);
    world.heal()?;
    everything_is_well(&mut world, &[station, other])?;
    // A store that does not say who it is.
    let page = root_page(&mut world, station, "meta")?;
    world.stop(station)?;
    flip(&world, station, page)?;
    let before = std::fs::read(directory.join("lianxin.db"))?;
    let refused = refill::from_old(&directory).err().map(|error| error.code());
    ensure!(refused == Some(Code::IdentityLost), "{refused:?}");
    ensure!(std::fs::read(directory.join("lianxin.db"))? == before);
    flip(&world, station, page)?;
    world.start(station)?;
    everything_is_well(&mut world, &[station, other])
}

#[test]
fn store_refill_says_what_it_got_and_what_not() -> Result<()> {
    let mut network = Network::new()?;
    let station = Device::new(network.scratch.join("refilled"));
    let code = network.invite("EM1", "station")?;
    station.ok(&["join", &code, "--hub", &network.address])?;
    station.add(&[process::opinion("one"), process::opinion("two")])?;
    station.ok(&["sync"])?;
    // Not while somebody writes there.
    let daemon = station.run(process::LOOPBACK)?;
    station.call(&["store", "refill"])?.fails(7, "LX-1004")?;
    daemon.stop()?;
    let filled = station.ok(&["store", "refill"])?;
    ensure!(filled["schema"] == "lianxin.store-refill/1", "{filled}");
    ensure!(
        filled["lacking"] == json!([]) && filled["lost"] == json!([]),
        "{filled}"
    );
    ensure!(
        filled["sessions"]
            .as_array()
            .is_some_and(|all| all.len() == 1),
        "{filled}"
    );
    ensure!(
        std::path::Path::new(&text(&filled, "set_aside"))
            .join("lianxin.db")
            .exists()
    );
    station.ok(&["sync"])?;
    station.equals(&network.hub)?;
    // The hub is out of reach, and something cannot be read that only the hub has.
    network.hub_stops()?;
    let path = station.directory.join("lianxin.db");
    let connection = Store::open(&station.directory)?.writer()?;
    connection.execute("UPDATE segments SET main = x'00' WHERE entry >> 40 = 1", [])?;
    drop(connection);
    ensure!(path.exists());
    let filled = station.call(&["store", "refill"])?.exits(3)?;
    let lacking = filled["lacking"].as_array().cloned().unwrap_or_default();
    ensure!(
        !lacking.is_empty() && filled["unreached"].is_string(),
        "{filled}"
    );
    network.hub_back()?;
    station.call(&["sync"])?;
    station.ok(&["sync"])?;
    station.equals(&network.hub)?;
    network.hub_stops()
}

#[test]
fn a_running_hub_finds_damage_while_it_merges_and_has_it_brought_back() -> Result<()> {
    let mut network = Network::new()?;
    let rows: Vec<_> = (0..40)
        .map(|nth| process::opinion(&format!("n{nth}")))
        .collect();
    network.station.add(&rows)?;
    network.station.ok(&["sync"])?;
    network.station.equals(&network.hub)?;
    network.hub_stops()?;
    // A segment and a part of the station's log; everything is to be merged again.
    let connection = Store::open(&network.hub.directory)?.writer()?;
    connection.execute_batch(
        "UPDATE segments SET main = CAST(substr(main, 1, 100) || x'55aa' || substr(main, 103) AS BLOB)
             WHERE entry = (SELECT entry FROM segments ORDER BY length(main) DESC LIMIT 1);
         UPDATE parts SET payload = CAST(substr(payload, 1, 30) || x'00ff' AS BLOB)
             WHERE entry = (SELECT min(entry) FROM parts);
         INSERT OR IGNORE INTO stale (record) SELECT id FROM records;",
    )?;
    drop(connection);
    network.hub_back()?;
    let daemon = network.daemon.as_mut().context("no daemon")?;
    for complaint in [
        "a log is damaged: what is missing is fetched back",
        "a record cannot be read and is set aside",
        "a transaction failed; nothing of it was kept",
        "the store cannot be read",
        "a log cannot be sent",
    ] {
        daemon.expects(complaint);
    }
    network.hub.until(&["status"], |it| {
        let warnings = it.json["warnings"].as_array();
        warnings.is_some_and(|all| all.iter().any(|it| it["code"] == "LX-1012"))
    })?;
    network.station.add(&[process::opinion("meanwhile")])?;
    network
        .station
        .until(&["sync"], |_| network.station.equals(&network.hub).is_ok())?;
    network.hub.ok(&["reproject"])?;
    let verified = network.hub.ok(&["verify"])?;
    ensure!(verified["bad"] == json!([]), "{verified}");
    ensure!(network.hub.ok(&["status"])?["warnings"] == json!([]));
    network.station.equals(&network.hub)?;
    network.hub_stops()
}

/// Of everything that a hub's store has, the pages that lead to its logs cannot be read: it knows nobody, and yet takes the
/// orders and records back from a station, whom it could not tell from a stranger.
#[test]
fn a_hub_that_can_read_no_order_is_filled_by_its_stations_and_resumed() -> Result<()> {
    for table in ["logs", "segments"] {
        let mut network = Network::new()?;
        let rows: Vec<_> = (0..10)
            .map(|nth| process::opinion(&format!("{table}{nth}")))
            .collect();
        network.station.add(&rows)?;
        network.station.ok(&["sync"])?;
        network.hub_stops()?;
        let connection = Store::open(&network.hub.directory)?.writer()?;
        let page: usize = connection.query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = ?1",
            [table],
            |row| row.get(0),
        )?;
        drop(connection);
        let path = network.hub.directory.join("lianxin.db");
        let mut bytes = std::fs::read(&path)?;
        *bytes
            .get_mut((page - 1) * PAGE + PAGE / 2)
            .context("no page")? ^= 1;
        std::fs::write(&path, bytes)?;

        let filled = network.hub.call(&["store", "refill"])?.exits(3)?;
        ensure!(filled["needs_card"] == true, "{filled}");
        network.hub_back()?;
        if let Some(daemon) = &mut network.daemon {
            daemon.expects("damaged");
        }
        let card = process::text(&network.scratch.join("card"))?;
        for _ in 0..3 {
            network.station.call(&["sync"])?;
        }
        network.hub.ok(&["hub", "resume", "--card", &card])?;
        network.station.ok(&["sync"])?;
        network.station.equals(&network.hub)?;
        network.invite("EM1", "laptop")?;
        network.hub_stops()?;
    }
    Ok(())
}

/// Texts that a refill could not read are named, asked for, and said to be missing until they are here.
#[test]
fn texts_that_a_refill_could_not_read_are_named_until_they_come() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    station.add(&[process::opinion("received")])?;
    station.ok(&["sync"])?;
    station.add(&[process::opinion("only here")])?;
    let connection = Store::open(&station.directory)?.writer()?;
    connection.execute("UPDATE parts SET payload = x'00'", [])?;
    drop(connection);
    let filled = station.call(&["store", "refill"])?.exits(1)?;
    let lacking = filled["lacking"].as_array().context("no list")?;
    let texts: u64 = lacking.iter().filter_map(|it| it["texts"].as_u64()).sum();
    // What the hub had has come with the session; what nobody else has is named.
    ensure!(texts > 0 && lacking.len() == 1, "{filled}");
    let status = station.call(&["status"])?.exits(1)?;
    ensure!(status.to_string().contains("LX-1012"), "{status}");
    let received = station
        .records()?
        .iter()
        .filter(|it| it["title"].is_string())
        .count();
    ensure!(received == 1, "{received} records have their words");
    network.hub_stops()
}

/// A page that leads to accounts: nothing can be recorded, and that is said.
#[test]
fn a_page_that_saving_needs_and_that_cannot_be_read_is_a_warning() -> Result<()> {
    let (mut world, [station, _]) = two_sites(19)?;
    let page = root_page(&mut world, station, "counters")?;
    world.stop(station)?;
    flip(&world, station, page)?;
    world.start(station)?;
    let failed = world.add(station, "not kept").err();
    ensure!(failed.is_some_and(|error| code_of(&error) == Some(Code::StoreCorrupt)));
    let (exit, codes) = world.warned(station)?;
    ensure!(
        exit == 1 && codes.contains(&"LX-1007".to_owned()),
        "{codes:?}"
    );
    Ok(())
}
