//! The story of the project with real processes, and what `kill -9` does to it.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::store::Store;
use lianxin_node::writer::Writer;
use lianxin_tests::process::{
    CANARY, Device, LOOPBACK, Network, PATIENCE, Random, Started, now, opinion, text,
};
use lianxin_tests::world::copy_files;
use serde_json::{Value, json};

/// `id` and `number` of each record in a reply.
fn made(reply: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let records = reply["records"].as_array().into_iter().flatten();
    records
        .map(|record| (text(&record["id"]), text(&record["number"])))
        .collect()
}

#[test]
fn a_record_made_without_the_hub_reaches_it_and_proves_it() -> Result<()> {
    let mut network = Network::new()?;
    network.hub_stops()?;
    let station = network.station.clone();

    let added = station.add(&[opinion("one")])?;
    ensure!(added["records"][0]["state"] == "saved", "{added}");
    let (id, number) = made(&added).pop().context("no record")?;
    station.call(&["sync"])?.fails(3, "LX-2005")?;
    ensure!(station.ok(&["record", "show", &id])?["state"] == "saved");

    network.hub_back()?;
    network
        .hub
        .call(&["record", "show", &id])?
        .fails(4, "LX-3001")?;
    let synced = station.ok(&["sync"])?;
    let session = &synced["sessions"][0];
    let keys = [
        "peer",
        "sent",
        "received",
        "receipted",
        "quarantined",
        "rounds",
        "frame_bytes_out",
        "frame_bytes_in",
        "elapsed_ms",
    ];
    ensure!(
        keys.iter().all(|key| session.get(key).is_some()),
        "{synced}"
    );
    ensure!(
        session["quarantined"] == 0 && session["sent"].as_u64() > Some(0),
        "{synced}"
    );

    let listed = network.hub.records()?;
    ensure!(
        listed.len() == 1 && listed[0]["number"] == *number,
        "{listed:?}"
    );
    let there = network.hub.ok(&["record", "show", &number])?;
    ensure!(
        there["fields"]["body"]
            .as_str()
            .is_some_and(|body| body.contains(CANARY)),
        "{there}"
    );
    let here = station.ok(&["record", "show", &id])?;
    ensure!(
        here["state"] == "merged" && here["status"] == "pending",
        "{here}"
    );
    ensure!(
        here["receipts"]
            .as_array()
            .is_some_and(|all| !all.is_empty()),
        "{here}"
    );
    ensure!(here["fields"] == there["fields"], "{here} and {there}");
    station.equals(&network.hub)?;
    for device in [&station, &network.hub] {
        ensure!(device.ok(&["verify"])?["bad"] == json!([]));
    }
    ensure!(station.ok(&["status"])?["unreceipted"] == 0);
    network.hub_stops()
}

#[test]
fn two_daemons_push_to_each_other_while_they_run() -> Result<()> {
    let mut network = Network::new()?;
    let (hub, station) = (network.hub.clone(), network.station.clone());
    let daemon = station.run(LOOPBACK)?;

    // The first session may still be on its way; the second record finds it open.
    for (submission, limit) in [("first", PATIENCE), ("second", Duration::from_secs(5))] {
        let added = station.add(&[opinion(submission)])?;
        let (id, _) = made(&added).pop().context("no record")?;
        let started = now();
        hub.until(&["record", "show", &id], |it| it.exit == 0)?;
        station.until(&["record", "show", &id], |it| it.json["state"] == "merged")?;
        ensure!(
            started.elapsed() < limit,
            "{submission} took {:?}",
            started.elapsed()
        );

        hub.ok(&["record", "act", &id, "accept", "--as", "测试操作员"])?;
        let started = now();
        let seen = station.until(&["record", "show", &id], |it| {
            it.json["status"] == "accepted"
        })?;
        ensure!(
            started.elapsed() < limit,
            "the way back took {:?}",
            started.elapsed()
        );
        let events = seen["events"].as_array().context("no events")?;
        ensure!(
            events
                .iter()
                .any(|it| it["event"] == "accept" && it["applied"] == true),
            "{seen}"
        );
    }
    station.equals(&hub)?;
    daemon.stop()?;
    network.hub_stops()
}

#[test]
fn five_hundred_records_survive_a_dozen_kills_of_either_end() -> Result<()> {
    let seed = 0x1a2b_3c4d;
    survive(seed).with_context(|| format!("seed {seed:#x}"))
}

fn survive(seed: u64) -> Result<()> {
    const ROUNDS: u64 = 12;
    const RECORDS: usize = 500;
    let mut random = Random(seed);
    let mut network = Network::new()?;
    let (hub, station) = (network.hub.clone(), network.station.clone());
    let rows: Vec<_> = (0..RECORDS)
        .map(|n| opinion(&format!("kill-{n}")))
        .collect();
    let batches: Vec<_> = rows.chunks(RECORDS / 10).collect();
    let mut acknowledged: BTreeMap<usize, Vec<(String, String)>> = BTreeMap::new();
    let mut daemon = None;
    for round in 0..ROUNDS {
        if network.daemon.is_none() {
            network.hub_back()?;
        }
        if daemon.is_none() {
            daemon = Some(station.run(LOOPBACK)?);
        }
        let next = batches
            .iter()
            .enumerate()
            .find(|(at, _)| !acknowledged.contains_key(at));
        let adding = next.map(|(at, rows)| {
            let add = ["record", "add", "--kind", "opinion", "--file", "-"];
            let started =
                Started::new(station.command(&add)?, json!(rows).to_string().into_bytes());
            started.map(|started| (at, started))
        });
        let adding = adding.transpose()?;
        let syncing = Started::new(station.command(&["sync"])?, Vec::new())?;
        std::thread::sleep(Duration::from_millis(random.below(300)));
        let victim = random.below(3);
        if victim != 0
            && let Some(daemon) = daemon.take()
        {
            daemon.kill()?;
        }
        if victim != 1
            && let Some(hub) = network.daemon.take()
        {
            hub.kill()?;
        }
        syncing.kill()?;
        if let Some((at, adding)) = adding {
            let outcome = adding
                .finish(PATIENCE)
                .with_context(|| format!("round {round}"))?;
            if outcome.exit == 0 {
                acknowledged.insert(at, made(&outcome.json));
            } else {
                outcome.fails(7, "LX-1004")?;
            }
        }
    }
    if network.daemon.is_none() {
        network.hub_back()?;
    }
    drop(daemon);

    // Healed: every batch is sent again by its submission ids, acknowledged or not.
    let mut promised = BTreeSet::new();
    for (at, rows) in batches.iter().enumerate() {
        let again = made(&station.add(rows)?);
        if let Some(first) = acknowledged.get(&at) {
            ensure!(
                *first == again,
                "batch {at} was acknowledged as something else"
            );
        }
        promised.extend(again);
    }
    ensure!(
        promised.len() == RECORDS,
        "{} records for {RECORDS} submissions",
        promised.len()
    );
    ensure!(!acknowledged.is_empty(), "every kill came too early");
    station.ok(&["sync"])?;
    let listed = hub.records()?;
    let there: BTreeSet<_> = made(&json!({ "records": listed })).into_iter().collect();
    ensure!(
        listed.len() == RECORDS && there == promised,
        "the hub lists {}",
        listed.len()
    );
    let numbers: BTreeSet<_> = there.iter().map(|(_, number)| number).collect();
    ensure!(numbers.len() == RECORDS, "numbers were given twice");
    let merged = station.records()?;
    ensure!(
        merged.iter().all(|record| record["state"] == "merged"),
        "not all is merged"
    );
    for device in [&station, &hub] {
        ensure!(device.ok(&["verify"])?["bad"] == json!([]));
    }
    station.equals(&hub)?;
    network.hub_stops()
}

#[test]
fn a_record_add_that_is_killed_leaves_whole_transactions_and_no_duplicates() -> Result<()> {
    const ROWS: usize = 1_500;
    let mut network = Network::new()?;
    network.hub_stops()?;
    let station = &network.station;
    let rows: Vec<_> = (0..ROWS).map(|n| opinion(&format!("add-{n}"))).collect();
    let input = json!(rows).to_string();
    let add = ["record", "add", "--kind", "opinion", "--file", "-"];
    let mut before = 0;
    // Later and later, until some transactions were seen to be kept.
    let mut delay = 40;
    while delay < 250 || (before == 0 && delay < 5_000) {
        let started = Started::new(station.command(&add)?, input.clone().into_bytes())?;
        std::thread::sleep(Duration::from_millis(delay));
        started.kill()?;
        let records = station.ok(&["status"])?["records"]
            .as_u64()
            .context("no count")?;
        ensure!(records >= before, "{records} records where {before} were");
        ensure!(records % 250 == 0, "half a transaction: {records}");
        before = records;
        delay += delay / 2;
    }
    ensure!(before > 0, "every kill came too early to keep anything");
    ensure!(station.ok(&["verify"])?["bad"] == json!([]));
    let first = made(&station.feed(&add, &input)?.exits(0)?);
    let again = made(&station.feed(&add, &input)?.exits(0)?);
    ensure!(first == again, "a retry made something else");
    let distinct: BTreeSet<_> = first.into_iter().collect();
    ensure!(
        distinct.len() == ROWS,
        "{} records for {ROWS} submissions",
        distinct.len()
    );
    ensure!(station.ok(&["status"])?["records"] == ROWS);
    Ok(())
}

/// Kills of one run, unless `LIANXIN_KILLS` says how many.
const KILLS: u64 = 40;

/// Every device of a store has written one log in each space: a kill is no restore.
fn one_log_each(device: &Device) -> Result<()> {
    let writer = Writer::open(&Store::open(&device.directory)?)?;
    let mut logs: BTreeMap<_, usize> = BTreeMap::new();
    for author in writer.journal.authors().values() {
        *logs.entry((author.space, author.device)).or_default() += 1;
    }
    ensure!(logs.len() > 1, "{} logs", logs.len());
    ensure!(
        logs.values().all(|count| *count == 1),
        "a kill began a new log: {logs:?}"
    );
    Ok(())
}

#[test]
fn a_power_cut_every_evening_loses_nothing_and_begins_no_log() -> Result<()> {
    let kills = match std::env::var("LIANXIN_KILLS") {
        Ok(kills) => kills.parse().context("LIANXIN_KILLS is a number")?,
        Err(_) => KILLS,
    };
    let seed = 0x5eed_0bad;
    many_kills(seed, kills).with_context(|| format!("seed {seed:#x}"))
}

/// Kills station and hub by turns, while records are added and sent.
fn many_kills(seed: u64, kills: u64) -> Result<()> {
    const ROWS: usize = 3;
    let mut random = Random(seed);
    let mut network = Network::new()?;
    let (hub, station) = (network.hub.clone(), network.station.clone());
    let rows = |round: u64| -> Vec<_> {
        let rows = (0..ROWS).map(|row| opinion(&format!("evening-{round}-{row}")));
        rows.collect()
    };
    let add = ["record", "add", "--kind", "opinion", "--file", "-"];
    let mut acknowledged: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
    let mut daemon = Some(station.run(LOOPBACK)?);
    for round in 0..kills {
        let input = json!(rows(round)).to_string().into_bytes();
        let adding = Started::new(station.command(&add)?, input)?;
        std::thread::sleep(Duration::from_millis(random.below(120)));
        if round % 2 == 0 {
            daemon.take().context("no station")?.kill()?;
        } else {
            network.daemon.take().context("no hub")?.kill()?;
        }
        let outcome = adding.finish(PATIENCE);
        let outcome = outcome.with_context(|| format!("round {round}"))?;
        if outcome.exit == 0 {
            acknowledged.insert(round, made(&outcome.json));
        } else {
            outcome.fails(7, "LX-1004")?;
        }
        if daemon.is_none() {
            daemon = Some(station.run(LOOPBACK)?);
        }
        if network.daemon.is_none() {
            network.hub_back()?;
        }
    }
    ensure!(
        acknowledged.len() as u64 > kills / 4,
        "{} of {kills} rounds were acknowledged",
        acknowledged.len()
    );
    let mut promised = BTreeSet::new();
    for round in 0..kills {
        let again = made(&station.add(&rows(round))?);
        ensure!(
            acknowledged.get(&round).is_none_or(|first| *first == again),
            "round {round} was acknowledged as something else"
        );
        promised.extend(again);
    }
    for (id, _) in &promised {
        station.until(&["record", "show", id], |it| it.json["state"] == "merged")?;
    }
    let listed = hub.records()?;
    let there: BTreeSet<_> = made(&json!({ "records": listed })).into_iter().collect();
    ensure!(
        listed.len() == there.len() && there == promised,
        "the hub lists {} of {}",
        listed.len(),
        promised.len()
    );
    let numbers: BTreeSet<_> = there.iter().map(|(_, number)| number).collect();
    ensure!(numbers.len() == there.len(), "numbers were given twice");
    for device in [&station, &hub] {
        ensure!(device.ok(&["verify"])?["bad"] == json!([]));
    }
    station.equals(&hub)?;
    daemon.take().context("no station")?.stop()?;
    network.hub_stops()?;
    one_log_each(&station)?;
    one_log_each(&hub)
}

#[test]
fn a_hub_that_is_killed_while_devices_join_lets_each_in_once() -> Result<()> {
    /// A join asks and is answered within some 20 ms of its start; then its store is made, and filled in a session.
    const CUTS_MS: [u64; 16] = [0, 2, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 60, 120, 150];
    let mut network = Network::new()?;
    let mut codes = BTreeSet::new();
    for cut in CUTS_MS {
        let name = format!("joined-{cut}");
        let code = network.invite("EM1", "station")?;
        let device = Device::new(network.scratch.join(&name));
        let address = network.address.clone();
        let join = ["join", &code, "--hub", &address];
        let joining = Started::new(device.command(&join)?, Vec::new())?;
        std::thread::sleep(Duration::from_millis(cut));
        network.daemon.take().context("no hub")?.kill()?;
        network.hub_back()?;
        // Long enough to end, unless its answer was lost; and who waits for that loses patience.
        std::thread::sleep(Duration::from_millis(400));
        joining.kill()?;
        let again = device.call(&join)?;
        if again.exit != 0 {
            again.fails(4, "LX-1008")?;
        }
        // Whoever has joined can record at once.
        device.add(&[opinion(&name)])?;
        device.ok(&["sync"])?;
        device.equals(&network.hub)?;
        let status = device.ok(&["status"])?;
        let given = status["device_code"].as_str().unwrap_or_default();
        ensure!(!given.is_empty(), "{status}");
        ensure!(codes.insert(given.to_owned()), "{given} was given twice");
    }
    ensure!(network.hub.records()?.len() == CUTS_MS.len());
    ensure!(network.hub.ok(&["verify"])?["bad"] == json!([]));
    network.hub_stops()?;
    one_log_each(&network.hub)
}

/// Numbers of records that are made one after the other.
fn numbers(station: &Device, submissions: &[&str]) -> Result<Vec<String>> {
    let rows: Vec<_> = submissions.iter().map(|it| opinion(it)).collect();
    Ok(made(&station.add(&rows)?)
        .into_iter()
        .map(|(_, number)| number)
        .collect())
}

/// Puts a directory in the place of another, as a disk image is put back.
fn put_back(image: &Path, directory: &Path) -> Result<()> {
    std::fs::remove_dir_all(directory)?;
    copy_files(image, directory, |_| true)
}

#[test]
fn a_disk_that_is_put_back_each_night_gives_no_number_twice() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    station.call(&["sync"])?.exits(0)?;
    let image = network.scratch.join("image");
    copy_files(&station.directory, &image, |_| true)?;
    let mut given = BTreeSet::new();
    for day in ["first", "second", "third"] {
        let numbers = numbers(&station, &[day, &format!("{day} again")])?;
        for number in numbers {
            ensure!(given.insert(number.clone()), "{number} was given twice");
        }
        station.call(&["sync"])?.exits(0)?;
        put_back(&image, &station.directory)?;
    }
    // Nor where the files of the directory keep their places, so that nothing in it says that it was put back.
    for day in ["fourth", "fifth"] {
        for number in numbers(&station, &[day])? {
            ensure!(given.insert(number.clone()), "{number} was given twice");
        }
        for name in ["lianxin.db-wal", "lianxin.db-shm"] {
            drop(std::fs::remove_file(station.directory.join(name)));
        }
        copy_files(&image, &station.directory, |_| true)?;
    }
    station.call(&["sync"])?.exits(0)?;
    let all = network.hub.records()?;
    let numbers: BTreeSet<_> = all.iter().map(|it| it["number"].to_string()).collect();
    ensure!(numbers.len() == all.len(), "a number stands twice: {all:?}");
    network.hub_stops()
}

#[test]
fn a_lost_write_ahead_log_gives_no_number_twice() -> Result<()> {
    let mut network = Network::new()?;
    network.hub_stops()?;
    let station = network.station.clone();
    // What enrolled it is in the store itself, however the process before this one ended.
    let log = station.directory.join("lianxin.db-wal");
    for _ in 0..20 {
        if log.exists() {
            station.call(&["record", "list"])?;
        }
    }
    ensure!(!log.exists(), "no command closes the store");
    let daemon = station.run(LOOPBACK)?;
    let given = numbers(&station, &["one", "two", "three"])?;
    daemon.kill()?;
    for name in ["lianxin.db-wal", "lianxin.db-shm"] {
        std::fs::remove_file(station.directory.join(name))?;
    }
    let again = numbers(&station, &["four"])?;
    ensure!(
        !again.iter().any(|it| given.contains(it)),
        "{given:?} and {again:?}"
    );
    Ok(())
}

#[test]
fn what_was_shown_and_cannot_be_read_ends_the_program_and_closes_nothing() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    numbers(&station, &["before"])?;
    station.call(&["sync"])?.exits(0)?;
    let logs = |digests: Vec<Value>| -> Vec<_> {
        digests.iter().map(|it| it["log_digest"].clone()).collect()
    };
    let before = logs(station.digests()?);
    let offered = station.directory.join("offered");
    let aside = network.scratch.join("aside");
    std::fs::rename(&offered, &aside)?;
    for damage in ["a folder", "nothing in it"] {
        if damage == "a folder" {
            std::fs::create_dir(&offered)?;
        } else {
            std::fs::write(&offered, "")?;
        }
        for command in [&["status"][..], &["record", "list"], &["sync"]] {
            let said = station.call(command)?.fails(2, "LX-1009")?;
            ensure!(said.contains("offered"), "{said}");
        }
        if damage == "a folder" {
            std::fs::remove_dir(&offered)?;
        }
    }
    std::fs::rename(&aside, &offered)?;
    ensure!(logs(station.digests()?) == before, "a log was closed");
    station.call(&["status"])?.exits(0)?;
    // A hub goes on giving orders as well.
    network.hub.ok(&[
        "site",
        "create",
        "--name",
        "第二站",
        "--kind",
        "workstation",
    ])?;
    network.hub_stops()
}

#[test]
fn a_database_that_is_removed_under_the_program_takes_no_more_and_is_rescued() -> Result<()> {
    let mut network = Network::new()?;
    network.hub_stops()?;
    let station = network.station.clone();
    for replaced in [false, true] {
        let daemon = station.run(LOOPBACK)?;
        let name = format!("kept-{replaced}");
        let kept = numbers(&station, &[&name])?;
        let database = station.directory.join("lianxin.db");
        let aside = network.scratch.join("aside");
        std::fs::rename(&database, &aside)?;
        if replaced {
            std::fs::copy(&aside, &database)?;
        }
        // It is refused, or the program has noticed by itself and ended.
        let refused = station.feed(
            &["record", "add", "--kind", "opinion", "--file", "-"],
            opinion("lost").to_string(),
        )?;
        ensure!(
            refused.exit == 2 || refused.exit == 5 || refused.exit == 7,
            "{}: {}",
            refused.exit,
            refused.json
        );
        let ended = daemon.ends()?;
        ensure!(ended.0 == Some(2), "it ended with {ended:?}");
        ensure!(ended.1.contains("removed or replaced"), "{}", ended.1);
        let rescued: Vec<_> = std::fs::read_dir(&station.directory)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("rescued-"))
            })
            .collect();
        let [rescued] = &rescued[..] else {
            anyhow::bail!("{} copies: {}", rescued.len(), ended.1);
        };
        for name in ["lianxin.db", "lianxin.db-wal", "lianxin.db-shm"] {
            drop(std::fs::remove_file(station.directory.join(name)));
        }
        std::fs::rename(rescued, &database)?;
        let there: BTreeSet<_> = station
            .records()?
            .iter()
            .map(|it| it["number"].to_string())
            .collect();
        for number in kept {
            ensure!(
                there.contains(&format!("\"{number}\"")),
                "{number} is not in the copy: {there:?}"
            );
        }
        ensure!(station.ok(&["verify"])?["bad"] == json!([]));
    }
    network.hub_back()?;
    station.call(&["sync"])?.exits(0)?;
    network.hub_stops()
}

#[test]
fn a_hub_that_was_moved_is_resumed_with_its_card_and_lets_devices_in() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    numbers(&station, &["before"])?;
    station.call(&["sync"])?.exits(0)?;
    network.hub_stops()?;
    let moved = Device::new(network.scratch.join("moved"));
    copy_files(&network.hub.directory, &moved.directory, |name| {
        name != "lock"
    })?;
    let site = [
        "site",
        "create",
        "--name",
        "第二站",
        "--kind",
        "workstation",
        "--code",
        "EM2",
    ];
    moved.call(&site)?.fails(6, "LX-2013")?;
    let status = moved.call(&["status"])?.exits(1)?;
    ensure!(status["warnings"][0]["code"] == "LX-2013", "{status}");
    let other = Device::new(network.scratch.join("other"));
    let wrong = text(&network.scratch.join("wrong"))?;
    other.ok(&[
        "hub",
        "init",
        "--name",
        "别的街道",
        "--recovery-out",
        &wrong,
    ])?;
    let junk = network.scratch.write("junk", "{}")?;
    for card in [&wrong, &junk] {
        moved
            .call(&["hub", "resume", "--card", card, "--alone"])?
            .fails(4, "LX-2011")?;
    }
    let card = text(&network.scratch.join("card"))?;
    moved
        .call(&["hub", "resume", "--card", &card])?
        .fails(3, "LX-2012")?;
    let daemon = moved.run(LOOPBACK)?;
    let address = daemon.address.to_string();
    numbers(&station, &["meanwhile"])?;
    station.call(&["sync", "--peer", &address])?.exits(0)?;
    moved.call(&site)?.fails(6, "LX-2013")?;
    let resumed = moved.ok(&["hub", "resume", "--card", &card])?;
    ensure!(resumed["certificate"] == 2, "{resumed}");
    moved
        .call(&["hub", "resume", "--card", &card])?
        .fails(4, "LX-3007")?;
    moved.ok(&site)?;
    let invite = moved.ok(&["invite", "create", "--site", "EM2", "--role", "station"])?;
    let code = invite["invite"].as_str().context("no invite")?;
    let second = Device::new(network.scratch.join("second"));
    second.ok(&["join", code, "--hub", &address])?;
    numbers(&second, &["after"])?;
    for station in [&station, &second] {
        station.call(&["sync", "--peer", &address])?.exits(0)?;
    }
    station.equals(&moved)?;
    ensure!(moved.records()?.len() == 3);
    moved.call(&["status"])?.exits(0)?;
    daemon.stop()
}

#[test]
fn a_hub_that_has_another_address_is_found_there_again() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    station.call(&["sync"])?.exits(0)?;
    network.hub_stops()?;
    // Once it was found by hand it is found without.
    let daemon = network.hub.run(LOOPBACK)?;
    let second = daemon.address.to_string();
    ensure!(second != network.address);
    numbers(&station, &["one"])?;
    station.call(&["sync"])?.exits(3)?;
    station.call(&["sync", "--peer", &second])?.exits(0)?;
    numbers(&station, &["two"])?;
    station.call(&["sync"])?.exits(0)?;
    daemon.stop()?;
    // A running daemon looks where it is told to.
    let station_runs = station.run(LOOPBACK)?;
    let daemon = network.hub.run(LOOPBACK)?;
    let third = daemon.address.to_string();
    numbers(&station, &["three"])?;
    for wrong in ["nowhere", "host:", ":7443", "host:0", "host:70000"] {
        station.call(&["peer", "add", wrong])?.fails(4, "LX-4003")?;
    }
    let added = station.ok(&["peer", "add", &third])?;
    ensure!(
        added["addresses"] == json!([third, second, network.address]),
        "{added}"
    );
    station.until(&["status"], |it| it.json["unreceipted"] == 0)?;
    station_runs.stop()?;
    network
        .hub
        .call(&["peer", "add", &third])?
        .fails(6, "LX-2006")?;
    daemon.stop()
}
