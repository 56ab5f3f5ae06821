//! A store that went back in time, or exists twice, never writes two entries at one place unnoticed.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_protocol::authority::Order;
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::limits;
use lianxin_protocol::log::LogId;
use lianxin_protocol::message::WireBatch;
use lianxin_protocol::space::Space;
use lianxin_tests::world::{HUB, copy_files, text};
use lianxin_tests::{Cut, Wire, World};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;

/// The database and nothing beside it.
fn database(name: &str) -> bool {
    name.starts_with("lianxin.db")
}

/// Everything but what a restart makes anew.
fn everything(_: &str) -> bool {
    true
}

fn add_all(world: &mut World, node: usize, titles: &[&str]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for title in titles {
        ids.push(world.add(node, title)?.0);
    }
    Ok(ids)
}

fn all_there(world: &mut World, nodes: &[usize], ids: &[String]) -> Result<()> {
    for node in nodes {
        let listed = world.records(*node)?;
        for id in ids {
            let times = listed.iter().filter(|it| text(it, "id") == *id).count();
            ensure!(times == 1, "node {node} has {id} {times} times");
        }
    }
    Ok(())
}

fn no_fork(world: &mut World, nodes: &[usize]) -> Result<()> {
    for node in nodes {
        let frozen = world.site_logs(*node)?.values().any(|tip| tip.frozen);
        ensure!(!frozen, "a log forked");
    }
    Ok(())
}

fn logs_of(world: &mut World, node: usize) -> Result<Vec<LogId>> {
    let key = world.node(node)?.key;
    Ok(world.logs_of(node, &key)?.into_keys().collect())
}

// rule:new-log-restored rule:offered-first
#[test]
fn an_old_database_beside_a_newer_position_file_begins_a_new_log() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut ids = add_all(&mut world, A, &["一", "二"])?;
    world.heal()?;
    world.save(A, "old")?;
    ids.extend(add_all(&mut world, A, &["三"])?);
    world.heal()?;
    world.load(A, "old", database)?;
    // It writes before it has spoken with anyone.
    ids.extend(add_all(&mut world, A, &["四"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 2,
        "it went on in the old log"
    );
    world.heal()?;
    all_there(&mut world, &[HUB, A, B], &ids)?;
    // Also after one more start.
    world.restart(A)?;
    ids.extend(add_all(&mut world, A, &["五"])?);
    world.heal()?;
    no_fork(&mut world, &[HUB, A, B])?;
    all_there(&mut world, &[HUB, A, B], &ids)?;
    world.agree(&[A, B])?;
    world.sound(A)?;
    world.sound(HUB)
}

// rule:old-log-closed
#[test]
fn an_old_database_started_twice_before_it_writes_still_begins_a_new_log() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut ids = add_all(&mut world, A, &["一"])?;
    world.heal()?;
    world.save(A, "old")?;
    ids.extend(add_all(&mut world, A, &["二"])?);
    world.heal()?;
    world.load(A, "old", database)?;
    world.restart(A)?;
    world.restart(A)?;
    ids.extend(add_all(&mut world, A, &["三"])?);
    world.heal()?;
    no_fork(&mut world, &[HUB, A, B])?;
    all_there(&mut world, &[HUB, A, B], &ids)?;
    world.agree(&[A, B])
}

/// Copies a station's directory as it stands and lets both go on.
fn clone_of(world: &mut World, node: usize, name: &str) -> Result<usize> {
    world.stop(node)?;
    let (from, to) = (world.node(node)?.directory.clone(), world.fresh_path(name));
    copy_files(&from, &to, |name| name != "lock")?;
    world.start(node)?;
    world.adopt_directory(name, to)
}

// rule:new-log-copied
#[test]
fn a_copied_directory_writes_in_a_log_of_its_own() -> Result<()> {
    for starts in 0..3 {
        let mut world = World::with_stations(1, 2)?;
        let mut ids = add_all(&mut world, A, &["一"])?;
        world.heal()?;
        let copy = clone_of(&mut world, A, "copy")?;
        // However often the copy is opened before it writes.
        for _ in 0..starts {
            world.restart(copy)?;
        }
        ids.extend(add_all(&mut world, copy, &["二"])?);
        ids.extend(add_all(&mut world, A, &["三"])?);
        world.heal()?;
        no_fork(&mut world, &[HUB, A, B, copy])?;
        all_there(&mut world, &[HUB, A, B, copy], &ids)?;
        world.agree(&[A, B, copy])?;
        world.restart(copy)?;
        world.restart(A)?;
        ids.extend(add_all(&mut world, copy, &["四"])?);
        ids.extend(add_all(&mut world, A, &["五"])?);
        world.heal()?;
        no_fork(&mut world, &[HUB, A, B, copy])?;
        all_there(&mut world, &[HUB, A, B, copy], &ids)?;
        world.agree(&[A, B, copy])?;
    }
    Ok(())
}

#[test]
fn a_lost_position_file_begins_a_new_log_and_a_crash_does_not() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let mut ids = add_all(&mut world, A, &["一"])?;
    world.heal()?;
    world.restart(A)?;
    ids.extend(add_all(&mut world, A, &["二"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 1,
        "a crash began a new log"
    );
    world.stop(A)?;
    std::fs::remove_file(world.node(A)?.directory.join("offered"))?;
    world.start(A)?;
    world.restart(A)?;
    ids.extend(add_all(&mut world, A, &["三"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 2,
        "it went on in the old log"
    );
    world.heal()?;
    no_fork(&mut world, &[HUB, A])?;
    all_there(&mut world, &[HUB, A], &ids)?;
    world.agree(&[A])
}

/// A station whose whole directory went back, position file and all: only its peers can know.
fn gone_back(world: &mut World) -> Result<Vec<String>> {
    let mut ids = add_all(world, A, &["一"])?;
    world.heal()?;
    world.save(A, "old")?;
    ids.extend(add_all(world, A, &["二", "三"])?);
    world.heal()?;
    world.load(A, "old", everything)?;
    Ok(ids)
}

// rule:new-log-behind
#[test]
fn a_station_that_learns_from_a_peer_that_it_fell_behind_writes_in_a_new_log() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut ids = gone_back(&mut world)?;
    world.heal()?;
    ids.extend(add_all(&mut world, A, &["四"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 2,
        "it went on in the old log"
    );
    world.heal()?;
    no_fork(&mut world, &[HUB, A, B])?;
    all_there(&mut world, &[HUB, A, B], &ids)?;
    world.agree(&[A, B])?;
    world.sound(A)
}

// rule:new-log-behind rule:old-log-closed
#[test]
fn a_station_that_was_told_that_it_fell_behind_does_not_forget_it() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let ids = gone_back(&mut world)?;
    for node in [HUB, A, B] {
        world.save(node, "told")?;
    }
    // The line breaks at every frame, before or after the peer's vector and before the entries are
    // back, and the station starts again before it writes.
    for cut in 0..12 {
        for node in [HUB, A, B] {
            world.load(node, "told", everything)?;
        }
        world.link(A, HUB, Wire::cut(Cut::AfterFrames(cut)))?;
        world.run()?;
        let key = world.node(A)?.key;
        let heard = world.was_told_behind(A);
        world.unlink_all();
        world.restart(A)?;
        let four = world.add(A, "四")?.0;
        let logs = world.logs_of(A, &key)?.len();
        ensure!(
            !heard || logs == 2,
            "cut {cut}: it forgot what it had been told"
        );
        world.heal()?;
        world.heal()?;
        world.agree(&[A, B])?;
        if heard {
            no_fork(&mut world, &[HUB, A, B])?;
            all_there(&mut world, &[HUB, A, B], &ids)?;
            all_there(&mut world, &[HUB, A, B], &[four])?;
        }
    }
    Ok(())
}

/// Has a node believe that a peer says it has more of the node's newest log in the site's space.
fn claimed(world: &mut World, node: usize, by: usize) -> Result<()> {
    let (key, peer) = (world.node(node)?.key, world.node(by)?.key);
    let logs: Vec<_> = world.logs_of(node, &key)?.into_keys().collect();
    world.transact(node, |journal, connection| {
        for log in &logs {
            journal.peer_is_ahead(connection, log, &peer)?;
        }
        Ok(())
    })
}

#[test]
fn a_mere_claim_pauses_a_log_over_a_restart_and_an_honest_session_settles_it() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut ids = add_all(&mut world, A, &["一"])?;
    world.heal()?;
    claimed(&mut world, A, HUB)?;
    // Nothing was written meanwhile: both hold the same, and the log goes on.
    world.heal()?;
    ids.extend(add_all(&mut world, A, &["二"])?);
    ensure!(logs_of(&mut world, A)?.len() == 1, "a claim closed the log");

    claimed(&mut world, A, HUB)?;
    world.restart(A)?;
    ids.extend(add_all(&mut world, A, &["三"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 2,
        "it went on in a log that a peer may know better"
    );
    world.heal()?;
    ids.extend(add_all(&mut world, A, &["四"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == 2,
        "the claim was not settled"
    );
    world.heal()?;
    no_fork(&mut world, &[HUB, A, B])?;
    all_there(&mut world, &[HUB, A, B], &ids)?;
    world.sound(A)
}

#[test]
fn a_peer_that_claims_without_end_is_not_heard_without_end() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let mut ids = add_all(&mut world, A, &["一"])?;
    for _ in 0..8 {
        claimed(&mut world, A, B)?;
        ids.extend(add_all(&mut world, A, &["二"])?);
    }
    let logs = logs_of(&mut world, A)?.len();
    ensure!(logs == 1 + limits::CLAIMS_PER_PEER, "{logs} logs");
    // Another peer is heard all the same, when it speaks of the log that is written.
    let key = world.node(A)?.key;
    let before = world.logs_of(A, &key)?;
    ids.extend(add_all(&mut world, A, &["二"])?);
    let now = world.logs_of(A, &key)?;
    let mut grown = now
        .into_iter()
        .filter(|(log, tip)| before.get(log) != Some(tip));
    let (written, _) = grown.next().context("nothing was written")?;
    let hub = world.node(HUB)?.key;
    world.transact(A, |journal, connection| {
        journal.peer_is_ahead(connection, &written, &hub)
    })?;
    ids.extend(add_all(&mut world, A, &["三"])?);
    ensure!(
        logs_of(&mut world, A)?.len() == logs + 1,
        "the hub is not heard"
    );
    world.heal()?;
    all_there(&mut world, &[HUB, A, B], &ids)
}

/// A device whose disk is put back goes on in its log before any peer can tell. Gives the records that the hub has said
/// it has, the first of them with an edit, and the one that was written on the other branch.
fn forced_fork(world: &mut World, more: usize) -> Result<(Vec<String>, String)> {
    let mut received = add_all(world, A, &["一", "二"])?;
    world.heal()?;
    world.save(A, "fork")?;
    received.extend(add_all(world, A, &["三甲"])?);
    let first = received.first().context("no record")?;
    world.set(A, first, json!({ "urgency": "urgent" }))?;
    for n in 0..more {
        received.extend(add_all(world, A, &[&format!("甲{n}")])?);
    }
    world.heal()?;
    world.save(A, "first")?;
    world.load(A, "fork", everything)?;
    // It writes at once, before any peer can tell.
    let lost = world.add(A, "三乙")?.0;
    Ok((received, lost))
}

fn frozen_alike(world: &mut World, nodes: &[usize]) -> Result<u64> {
    let key = world.node(A)?.key;
    let mut places = std::collections::BTreeSet::new();
    for node in nodes {
        for (log, tip) in world.logs_of(*node, &key)? {
            if tip.frozen {
                places.insert((log, tip.len, tip.head));
            }
        }
    }
    ensure!(places.len() == 1, "frozen at {places:?}");
    for node in nodes {
        let logs = world.logs_of(*node, &key)?;
        let frozen = logs.values().filter(|tip| tip.frozen).count();
        ensure!(frozen == 1, "node {node} froze {frozen} logs");
    }
    let first = places.first().context("no log is frozen")?;
    Ok(first.1)
}

fn quarantined(world: &mut World, node: usize) -> Result<u64> {
    let status = world.call(
        node,
        Query::Status {
            unreceipted_minutes: 120,
        },
    )?;
    let count = status.get("quarantined").and_then(Value::as_u64);
    count.context("no count")
}

// rule:new-log-forked rule:pin-branch-asked rule:pin-branch-followed
#[test]
fn no_fork_takes_back_what_the_hub_has_said_it_has() -> Result<()> {
    // A branch as long as the other, a longer one, one of more than a batch, and one that takes a search.
    for more in [0, 1, 40, 450] {
        let mut world = World::with_stations(1, 2)?;
        let (received, lost) = forced_fork(&mut world, more)?;
        let hub_had = world.all_logs(HUB)?;
        world.heal()?;
        world.heal()?;
        // The first branch is not gone either: it runs beside the other as a device of its own.
        let first = world.fresh_path("first");
        copy_files(&world.fresh_path("copy-first-EM1A"), &first, |name| {
            name != "lock"
        })?;
        let first = world.adopt_directory("first", first)?;
        world.heal()?;
        world.heal()?;
        let nodes = [HUB, A, B, first];
        let at = frozen_alike(&mut world, &nodes)?;
        ensure!(world.in_sync, "frozen alike and not in sync");
        let pinned = hub_had.values().any(|tip| tip.len == at && !tip.frozen);
        ensure!(
            pinned,
            "frozen at {at}, which is not what the hub had stored"
        );
        all_there(&mut world, &nodes, &received)?;
        for node in nodes {
            ensure!(
                !world.has(node, &lost)?,
                "node {node} counts an entry of the branch that lost"
            );
            let shown = world.show(node, received.first().context("no record")?)?;
            let urgency = shown.pointer("/fields/urgency").and_then(Value::as_str);
            ensure!(urgency == Some("urgent"), "node {node}: {shown}");
            ensure!(text(&shown, "state") == "merged", "node {node}: {shown}");
        }
        // Where the branch that lost was written, it is kept in sight, and stands elsewhere.
        let kept = world.show(A, &lost)?;
        ensure!(text(&kept, "held") == "forked", "it is gone without a word");
        let again = text(&kept, "superseded_by");
        all_there(&mut world, &nodes, std::slice::from_ref(&again))?;
        ensure!(
            quarantined(&mut world, A)? == 0,
            "what needs nobody is counted"
        );
        world.agree(&[A, B, first])?;
        ensure!(world.violations.is_empty(), "{:?}", world.violations);
        world.claims_hold(&[A, B, first])?;
        for node in nodes {
            let report = world.archived(node)?.context("no archive")?;
            ensure!(
                report.forks == 1,
                "node {node} gives {} proofs",
                report.forks
            );
        }
        // Both go on in logs of their own.
        let later = [world.add(A, "四乙")?.0, world.add(first, "四甲")?.0];
        world.heal()?;
        all_there(&mut world, &nodes, &later)?;
        frozen_alike(&mut world, &nodes)?;
        world.agree(&[A, B, first])?;
        for node in nodes {
            world.sound(node)?;
            world.call(node, Write::Reproject)?;
        }
        all_there(&mut world, &nodes, &received)?;
        world.agree(&[A, B, first])?;
    }
    Ok(())
}

#[test]
fn a_fork_of_single_entries_is_followed_though_it_lies_within_what_is_stored_as_one() -> Result<()>
{
    let mut world = World::with_stations(1, 2)?;
    let ids = add_all(&mut world, A, &["一"])?;
    let id = ids.first().context("no record")?;
    for people in 1..4 {
        world.set(A, id, json!({ "people_count": people }))?;
        world.heal()?;
    }
    world.save(A, "fork")?;
    world.set(A, id, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    world.load(A, "fork", everything)?;
    // One entry on each branch: the first that either side sends is the one that differs.
    world.set(A, id, json!({ "urgency": "emergency_referred" }))?;
    world.heal()?;
    world.heal()?;
    frozen_alike(&mut world, &[HUB, A, B])?;
    for node in [HUB, A, B] {
        // What counted goes on counting, and what was lost was written once more upon it.
        let history = world.call(
            node,
            Query::RecordHistory {
                id: id.clone(),
                account: None,
            },
        )?;
        let changes = history.get("changes").and_then(Value::as_array);
        let urgencies = changes.into_iter().flatten().flat_map(|change| {
            let values = change.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten();
            values
                .filter(|it| text(it, "field") == "urgency")
                .map(|it| text(it, "new"))
        });
        let urgencies: Vec<_> = urgencies.collect();
        ensure!(
            urgencies.ends_with(&["urgent".to_owned(), "emergency_referred".to_owned()]),
            "node {node}: {urgencies:?}"
        );
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn a_hub_whose_directory_was_copied_gives_no_orders_that_nobody_follows() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let copy = clone_of(&mut world, HUB, "copy")?;
    let order = Order::Left {
        device: world.node(A)?.key,
    };
    let refused = world.transact(copy, |journal, connection| {
        journal.order(connection, std::slice::from_ref(&order), 1)
    });
    ensure!(
        refused.is_err(),
        "an order was given in a second authority log"
    );
    world.order(&order)
}

#[test]
fn a_store_that_lost_or_changed_its_proof_of_a_fork_does_not_verify() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    forced_fork(&mut world, 0)?;
    world.heal()?;
    world.heal()?;
    let verified = |world: &mut World| -> Result<u8> { Ok(world.reply(HUB, Query::Verify)?.exit) };
    ensure!(verified(&mut world)? == 0);
    let proof: Vec<u8> = {
        let connection = world.writer(HUB)?.connection();
        connection.query_row("SELECT proof FROM forks", [], |row| row.get(0))?
    };
    for at in [0, 40, 70, proof.len() - 1] {
        let mut changed = proof.clone();
        *changed.get_mut(at).context("a shorter proof")? ^= 1;
        let connection = world.writer(HUB)?.connection();
        connection.execute("UPDATE forks SET proof = ?1", [changed])?;
        ensure!(
            verified(&mut world)? == 2,
            "byte {at} of the proof does not matter"
        );
    }
    world
        .writer(HUB)?
        .connection()
        .execute("DELETE FROM forks", [])?;
    ensure!(verified(&mut world)? == 2, "a frozen log needs no proof");
    Ok(())
}

/// All that a node has of a log, in pieces as they go on the wire.
fn pieces(world: &mut World, node: usize, log: &LogId) -> Result<Vec<WireBatch>> {
    let (mut at, mut pieces) = (0, Vec::new());
    while let Some(piece) = world.batch(node, log, at)? {
        let section = Parts::Section(&piece.packed.parts);
        let run = batch::unpack(log, piece.start, &piece.packed.main, section)?;
        at = run.checkpoint.len;
        pieces.push(piece);
    }
    Ok(pieces)
}

// rule:pin-branch-followed
#[test]
fn a_pinned_branch_is_followed_in_whatever_order_its_runs_come() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (received, lost) = forced_fork(&mut world, 150)?;
    let logs = logs_of(&mut world, A)?;
    let mut forked = None;
    for log in logs {
        let [there, here] = [HUB, A].map(|node| pieces(&mut world, node, &log));
        let (there, here) = (there?, here?);
        let same = there
            .iter()
            .zip(&here)
            .take_while(|(there, here)| there == here);
        let parts_at = same.count();
        if parts_at < here.len() && parts_at < there.len() {
            forked = Some((log, there, here, parts_at));
        }
    }
    let (log, mut there, here, parts_at) = forked.context("no log forked")?;
    ensure!(
        there.len() - parts_at > 5,
        "{} runs from {parts_at}",
        there.len()
    );
    for piece in here {
        world.hand_over(HUB, log, piece)?;
    }
    let pinned = *world.all_logs(HUB)?.get(&log).context("no log")?;
    ensure!(pinned.frozen, "the hub was not shown the other branch");
    let space = Space::Authority.id(&world.writer(A)?.journal.identity().network);
    let orders: Vec<LogId> = world
        .writer(HUB)?
        .journal
        .tips(&space)
        .into_keys()
        .collect();
    for orders in orders {
        for piece in pieces(&mut world, HUB, &orders)? {
            world.hand_over(A, orders, piece)?;
        }
    }
    // The last of the branch comes first, and all of it hangs in the air until the run that links it comes.
    let rest = there.split_off(parts_at + 1);
    for piece in there.into_iter().chain(rest.into_iter().rev()) {
        world.hand_over(A, log, piece)?;
    }
    let tip = *world.all_logs(A)?.get(&log).context("no log")?;
    ensure!(tip == pinned, "{tip:?} is followed, not {pinned:?}");
    all_there(&mut world, &[HUB, A], &received)?;
    ensure!(!world.has(A, &lost)?, "an entry of the lost branch counts");
    world.sound(A)?;
    world.heal()?;
    world.agree(&[A])
}

#[test]
fn a_fork_reaches_nodes_that_held_less_and_stays_after_restarts() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let (received, lost) = forced_fork(&mut world, 1)?;
    // The other station starts again and again and each link breaks somewhere.
    for cut in 1..24 {
        let frames = world.rng.next_u64() % cut;
        world.link(A, HUB, Wire::cut(Cut::AfterFrames(frames)))?;
        world.link(B, HUB, Wire::cut(Cut::AfterFrames(cut)))?;
        world.run()?;
        for node in [HUB, A, B] {
            world.restart(node)?;
        }
    }
    world.heal()?;
    frozen_alike(&mut world, &[HUB, A, B])?;
    all_there(&mut world, &[HUB, A, B], &received)?;
    for node in [HUB, A, B] {
        ensure!(
            !world.has(node, &lost)?,
            "an entry of the lost branch counts"
        );
        world.sound(node)?;
    }
    world.agree(&[A, B])
}

#[test]
fn a_frozen_log_that_is_damaged_comes_back_and_is_frozen_as_it_was() -> Result<()> {
    for (more, seq, damaged) in [(0, 0, B), (40, 0, HUB), (40, 70, HUB), (40, 0, A)] {
        let mut world = World::with_stations(2, 2)?;
        let (received, _) = forced_fork(&mut world, more)?;
        for _ in 0..3 {
            world.heal()?;
        }
        let nodes = [HUB, A, B];
        let at = frozen_alike(&mut world, &nodes)?;
        let key = world.node(A)?.key;
        let logs = world.logs_of(damaged, &key)?;
        let frozen = logs.iter().find(|(_, tip)| tip.frozen);
        let (log, _) = frozen.context("no frozen log")?;
        world.writer(damaged)?.connection().execute(
            "UPDATE segments SET main = x'00' WHERE entry = (SELECT max(entry) FROM segments
             WHERE entry <= (SELECT id FROM logs WHERE log = ?1) << 40 | ?2)",
            rusqlite::params![log.0, seq],
        )?;
        world.restart(damaged)?;
        world.call(damaged, Query::Verify)?;
        world.restart(damaged)?;
        for _ in 0..3 {
            world.heal()?;
        }
        let case = format!("{more} more, entry {seq} at node {damaged}");
        ensure!(
            frozen_alike(&mut world, &nodes).context(case.clone())? == at,
            "{case}"
        );
        world.agree(&[A, B]).context(case.clone())?;
        all_there(&mut world, &nodes, &received)?;
        for node in nodes {
            ensure!(
                world.reply(node, Query::Verify)?.exit == 0,
                "{case}: node {node}"
            );
        }
        world.claims_hold(&[A, B])?;
    }
    Ok(())
}
