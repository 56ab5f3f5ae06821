//! Which authority logs devices follow: a successor's certificate, two logs of one version, a fork, a stranger.

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::authority::{Certificate, Order, Unsettled};
use lianxin_protocol::batch;
use lianxin_protocol::identity::Signer;
use lianxin_protocol::log::{
    EntryKind, Genesis, GenesisReason, LogId, NewEntry, Position, Tail, VerifiedRun,
};
use lianxin_protocol::message::WireBatch;
use lianxin_protocol::space::Space;
use lianxin_tests::World;
use lianxin_tests::world::{HUB, site};
use serde_json::json;

const A: usize = 1;
const B: usize = 2;

/// The hub's authority log and where it ends.
fn first_log(world: &mut World) -> Result<(LogId, Position)> {
    let journal = &world.writer(HUB)?.journal;
    let key = journal.identity().authority.as_ref().context("no hub")?;
    let key = key.public();
    let authors = journal.authors();
    let log = authors.iter().find(|(_, author)| author.device == key);
    let log = *log.context("no log")?.0;
    let tip = *world.all_logs(HUB)?.get(&log).context("no tip")?;
    Ok((log, tip.position()))
}

fn wire(run: &VerifiedRun) -> WireBatch {
    WireBatch {
        log: run.run().log.prefix(),
        start: run.run().start,
        packed: batch::pack(run.run()),
    }
}

/// A log of the authority space by key `n` with these orders.
fn log_by(world: &mut World, n: u8, orders: &[Order]) -> Result<VerifiedRun> {
    let signer = Signer::from_seed(&[n; 32]);
    let genesis = Genesis {
        space: Space::Authority.id(&world.network()?),
        device: signer.public(),
        incarnation: [n; 16],
        previous: None,
        reason: GenesisReason::Restore,
        authority_head: [0; 32],
    };
    let mut tail = Tail::begin(&genesis, 6, 0);
    for order in orders {
        let entry = NewEntry::plain(EntryKind::Authority, order.encode());
        tail.push_group(vec![entry], 7, 0);
    }
    Ok(tail.sign(&signer, (0, [0; 32]), 8))
}

/// The log of a successor with a certificate of this version, and one site of the number of its key.
fn successor(
    world: &mut World,
    n: u8,
    version: u32,
    trusted: (LogId, Position),
) -> Result<VerifiedRun> {
    let key = Signer::from_seed(&[n; 32]).public();
    let certificate = Certificate::sign(&world.root, version, key, Some(trusted));
    log_by(world, n, &[Order::Certificate(certificate), site(n)])
}

fn give(world: &mut World, node: usize, run: &VerifiedRun) -> Result<()> {
    world.hand_over(node, run.run().log, wire(run))
}

/// What a node follows: length, and the sites that it knows.
fn follows(world: &mut World, node: usize) -> Result<(u32, Vec<String>)> {
    let authority = world.writer(node)?.journal.authority();
    let sites = authority.sites().values().map(|it| it.code.clone());
    let mut sites: Vec<_> = sites.collect();
    sites.sort();
    Ok((authority.cited().0, sites))
}

#[test]
fn a_successor_is_followed_by_whoever_hears_of_it_and_the_old_log_to_its_trusted_end() -> Result<()>
{
    let mut world = World::with_stations(1, 2)?;
    let record = world.add(A, "一")?.0;
    world.heal()?;
    let trusted = first_log(&mut world)?;
    // What the hub ordered beyond that place is not followed any more.
    world.order(&site(2))?;
    world.heal()?;
    let (before, sites) = follows(&mut world, B)?;
    ensure!(sites == ["EM1", "EM2"], "{sites:?}");
    let next = successor(&mut world, 3, 4, trusted)?;
    give(&mut world, A, &next)?;
    world.heal()?;
    for node in [HUB, A, B] {
        let (len, sites) = follows(&mut world, node)?;
        ensure!(sites == ["EM1", "EM3"], "node {node}: {sites:?}");
        ensure!(u64::from(len) == trusted.1.len + 3, "node {node}: {len}");
        ensure!(len > before, "it counts across both logs");
        let authority = world.writer(node)?.journal.authority();
        ensure!(authority.key() == Some(next.author().device));
        ensure!(authority.unsettled().is_none());
        ensure!(world.has(node, &record)?, "node {node} lost the record");
        world.restart(node)?;
        ensure!(follows(&mut world, node)? == (len, sites));
    }
    Ok(())
}

// rule:new-log-succession
#[test]
fn a_device_that_cited_more_than_the_successor_has_goes_on_in_a_new_log() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let trusted = first_log(&mut world)?;
    for n in 4..9 {
        world.order(&site(n))?;
    }
    world.heal()?;
    let before = world.add(A, "一")?.0;
    world.heal()?;
    let next = successor(&mut world, 3, 4, trusted)?;
    give(&mut world, A, &next)?;
    let after = world.add(A, "二")?.0;
    let edit = world.set(A, &before, json!({ "urgency": "urgent" }))?;
    ensure!(edit.is_some(), "nothing was edited");
    world.heal()?;
    for node in [HUB, A, B] {
        let (_, sites) = follows(&mut world, node)?;
        ensure!(sites == ["EM1", "EM3"], "node {node}: {sites:?}");
        let shown = world.show(node, &before)?;
        ensure!(shown.to_string().contains("urgent"), "node {node}: {shown}");
        ensure!(world.has(node, &after)?, "node {node} lacks the record");
        world.sound(node)?;
    }
    let device = world.node(A)?.key;
    ensure!(world.logs_of(B, &device)?.len() == 2);
    // The hub that was replaced gives no order.
    ensure!(world.order(&site(9)).is_err());
    Ok(())
}

#[test]
fn a_successor_whose_predecessor_has_not_come_waits_for_it() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let trusted = first_log(&mut world)?;
    let ahead = Position {
        len: trusted.1.len + 1,
        head: [7; 32],
    };
    let next = successor(&mut world, 3, 2, (trusted.0, ahead))?;
    give(&mut world, A, &next)?;
    let (len, sites) = follows(&mut world, A)?;
    ensure!(sites == ["EM1"] && u64::from(len) == trusted.1.len);
    // A certificate that trusts a log which nobody has leads nowhere.
    let lost = successor(&mut world, 4, 3, (LogId([9; 32]), ahead))?;
    give(&mut world, A, &lost)?;
    let authority = world.writer(A)?.journal.authority();
    ensure!(authority.unsettled() == Some(Unsettled::Missing(LogId([9; 32]))));
    ensure!(world.warned(A)? == (1, vec!["LX-2016".to_owned()]));
    ensure!(follows(&mut world, A)? == (len, sites));
    Ok(())
}

// rule:contest-said
#[test]
fn of_two_logs_of_one_version_none_goes_on_until_a_higher_one_settles_it() -> Result<()> {
    let mut world = World::with_stations(1, 2)?;
    let trusted = first_log(&mut world)?;
    let three = successor(&mut world, 3, 2, trusted)?;
    let four = successor(&mut world, 4, 2, trusted)?;
    give(&mut world, A, &three)?;
    give(&mut world, B, &four)?;
    for (node, other, stays) in [(A, &four, "EM3"), (B, &three, "EM4")] {
        give(&mut world, node, other)?;
        for _ in 0..2 {
            let (_, sites) = follows(&mut world, node)?;
            ensure!(sites == ["EM1", stays], "node {node}: {sites:?}");
            let authority = world.writer(node)?.journal.authority();
            ensure!(authority.unsettled() == Some(Unsettled::Contested(2)));
            let told = world.warned(node)?;
            ensure!(
                told == (1, vec!["LX-2014".to_owned()]),
                "node {node} says {told:?}"
            );
            // It stays there when it begins anew.
            world.restart(node)?;
        }
    }
    let five = successor(&mut world, 5, 9, (four.run().log, four.end()))?;
    give(&mut world, A, &five)?;
    world.link(A, B, lianxin_tests::Wire::GOOD)?;
    world.run()?;
    for node in [A, B] {
        let (_, sites) = follows(&mut world, node)?;
        ensure!(sites == ["EM1", "EM4", "EM5"], "node {node}: {sites:?}");
        let authority = world.writer(node)?.journal.authority();
        ensure!(authority.unsettled().is_none());
        ensure!(world.warned(node)?.1.is_empty());
    }
    ensure!(follows(&mut world, A)? == follows(&mut world, B)?);
    Ok(())
}

#[test]
fn a_fork_of_the_authority_log_stops_the_fold_there_until_a_successor() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let (log, fork) = first_log(&mut world)?;
    let journal = &world.writer(HUB)?.journal;
    let signer = journal.identity().authority.clone().context("no hub")?;
    let (cited, author) = (
        journal.authority().cited(),
        *journal.authors().get(&log).context("?")?,
    );
    world.order(&site(2))?;
    world.order(&site(3))?;
    world.heal()?;
    let (_, end) = first_log(&mut world)?;
    let mut tail = Tail {
        log,
        author,
        start: fork,
        end: fork,
        entries: Vec::new(),
    };
    let entry = NewEntry::plain(EntryKind::Authority, site(9).encode());
    tail.push_group(vec![entry], 9 << 40, cited.0);
    let branch = tail.sign(&signer, cited, 9 << 40);
    give(&mut world, A, &branch)?;
    let (len, sites) = follows(&mut world, A)?;
    ensure!(sites == ["EM1"], "{sites:?}");
    ensure!(u64::from(len) == fork.len);
    world.restart(A)?;
    ensure!(follows(&mut world, A)? == (len, sites));
    // A hub that sees it gives no more orders.
    give(&mut world, HUB, &branch)?;
    ensure!(world.order(&site(8)).is_err());
    // What the root key trusts is held beyond the fork.
    let next = successor(&mut world, 4, 2, (log, end))?;
    give(&mut world, A, &next)?;
    let (_, sites) = follows(&mut world, A)?;
    ensure!(sites == ["EM1", "EM2", "EM3", "EM4"], "{sites:?}");
    Ok(())
}

// rule:authority-certified rule:certificate-first
#[test]
fn nobody_but_certified_keys_puts_anything_into_the_authority_space() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let trusted = first_log(&mut world)?;
    let stranger = Signer::from_seed(&[8; 32]);
    let by_him = Certificate::sign(&stranger, 9, stranger.public(), Some(trusted));
    let of_another = Certificate::sign(&world.root, 9, stranger.public(), Some(trusted));
    for (n, orders) in [
        (8, vec![]),
        (8, vec![site(2)]),
        (8, vec![Order::Certificate(by_him)]),
        (7, vec![Order::Certificate(of_another.clone())]),
        (8, vec![site(2), Order::Certificate(of_another)]),
    ] {
        let run = log_by(&mut world, n, &orders)?;
        give(&mut world, A, &run)?;
        let logs = world.all_logs(A)?;
        ensure!(!logs.contains_key(&run.run().log), "{n}: {orders:?}");
    }
    ensure!(follows(&mut world, A)?.1 == ["EM1"]);
    Ok(())
}
