//! A full disk and one that cannot be written, with real processes on a real file system: what is not durable
//! is not acknowledged, the reason is said, reading goes on, and when there is space again so does the rest,
//! without a restart.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::sync::enrol;
use lianxin_protocol::identity::{InviteCode, Signer};
use lianxin_tests::process::{
    CREATE_SITE, Daemon, Device, LOOPBACK, Network, Scratch, SmallDisk, opinion, text as path_text,
};
use lianxin_tests::world::text;
use serde_json::{Value, json};

/// Room for a store and a few hundred records.
const SMALL: u64 = 6 * 1024 * 1024;
const ADD: [&str; 6] = ["record", "add", "--kind", "opinion", "--file", "-"];
/// What a daemon complains of when its disk is full.
const COMPLAINTS: [&str; 2] = ["a transaction failed; nothing of it was kept", "LX-1003"];

fn ids(reply: &Value) -> Vec<String> {
    let records = reply.get("records").and_then(Value::as_array);
    let records = records.into_iter().flatten();
    records.map(|it| text(it, "id")).collect()
}

fn expects(daemon: &mut Daemon) {
    for complaint in COMPLAINTS {
        daemon.expects(complaint);
    }
}

/// Adds records until the disk takes no more. Gives what was acknowledged.
fn add_until_full(device: &Device, tag: &str) -> Result<Vec<String>> {
    let mut acknowledged = Vec::new();
    for nth in 0..400 {
        let rows: Vec<_> = (0..5)
            .map(|row| opinion(&format!("{tag}-{nth}-{row}")))
            .collect();
        let outcome = device.feed(&ADD, json!(rows).to_string())?;
        if outcome.exit == 0 {
            acknowledged.extend(ids(&outcome.json));
            continue;
        }
        outcome.fails(2, "LX-1003")?;
        // Not once by chance.
        for again in 0..3 {
            let rows = json!([opinion(&format!("{tag}-again-{again}"))]).to_string();
            device.feed(&ADD, rows)?.fails(2, "LX-1003")?;
        }
        return Ok(acknowledged);
    }
    anyhow::bail!("the disk is never full")
}

fn lists(device: &Device, wanted: &[String]) -> Result<()> {
    let listed: Vec<_> = device.records()?.iter().map(|it| text(it, "id")).collect();
    let once: BTreeSet<_> = listed.iter().collect();
    ensure!(once.len() == listed.len(), "a record is listed twice");
    ensure!(
        once == wanted.iter().collect(),
        "{} records are listed, {} were acknowledged",
        listed.len(),
        wanted.len()
    );
    Ok(())
}

fn is_sound(device: &Device) -> Result<()> {
    let verified = device.ok(&["verify"])?;
    ensure!(verified.get("bad") == Some(&json!([])), "{verified}");
    Ok(())
}

fn says_full(status: &Value) -> bool {
    let warnings = status.get("warnings").and_then(Value::as_array);
    warnings.is_some_and(|all| all.iter().any(|it| text(it, "code") == "LX-1003"))
}

#[test]
fn a_station_whose_disk_is_full_acknowledges_nothing_reads_on_and_recovers_by_itself() -> Result<()>
{
    let mut network = Network::new()?;
    let disk = SmallDisk::new(network.scratch.join("small"), SMALL)?;
    let station = Device::new(disk.path.join("station"));
    let code = network.invite("EM1", "station")?;
    station.ok(&["join", &code, "--hub", &network.address])?;
    let mut daemon = station.run(LOOPBACK)?;
    expects(&mut daemon);
    let mut acknowledged = ids(&station.add(&[opinion("before")])?);
    let first = acknowledged.first().context("no record")?.clone();
    station.until(&["record", "show", &first], |it| {
        text(&it.json, "state") == "merged"
    })?;
    // Nothing arrives while the disk fills, so that what the hub has is known.
    network.hub_stops()?;

    let filler = disk.fill()?;
    acknowledged.extend(add_until_full(&station, "full")?);
    // It reads on, and knows what it has.
    lists(&station, &acknowledged)?;
    ensure!(text(&station.ok(&["record", "show", &first])?, "id") == first);
    let status = station.call(&["status"])?.exits(1)?;
    ensure!(says_full(&status), "{status}");
    is_sound(&station)?;

    // What comes from the hub cannot be kept: it is not acknowledged, and not half there.
    network.hub_back()?;
    let edited = ["record", "act", &first, "accept", "--as", "测试操作员"];
    network.hub.ok(&edited)?;
    let synced = station.call(&["sync"])?;
    ensure!(
        synced.exit != 0,
        "a sync that could store nothing: {}",
        synced.json
    );
    lists(&station, &acknowledged)?;
    is_sound(&station)?;

    // Space again: everything goes on, in the same process.
    std::fs::remove_file(filler)?;
    acknowledged.extend(ids(&station.add(&[opinion("after")])?));
    for id in &acknowledged {
        station.until(&["record", "show", id], |it| {
            ["merged", "answered"].contains(&text(&it.json, "state").as_str())
        })?;
    }
    station.until(&["record", "show", &first], |it| {
        text(&it.json, "status") == "accepted"
    })?;
    lists(&station, &acknowledged)?;
    lists(&network.hub, &acknowledged)?;
    for device in [&station, &network.hub] {
        is_sound(device)?;
    }
    station.equals(&network.hub)?;
    daemon.stop()?;
    // Nor does the log of a station whose disk was full end for that.
    ensure!(!says_full(&station.ok(&["status"])?));
    network.hub_stops()
}

// rule:durable-first rule:enrol-durable
#[test]
fn a_hub_whose_disk_is_full_confirms_nothing_that_it_has_not_stored() -> Result<()> {
    let scratch = Scratch::new()?;
    let disk = SmallDisk::new(scratch.join("small"), SMALL)?;
    let hub = Device::new(disk.path.join("hub"));
    let card = path_text(&scratch.join("card"))?;
    let init = [
        "hub",
        "init",
        "--name",
        "示例街道",
        "--listen",
        LOOPBACK,
        "--recovery-out",
        &card,
    ];
    hub.ok(&init)?;
    hub.ok(&CREATE_SITE)?;
    let mut daemon = hub.run(LOOPBACK)?;
    expects(&mut daemon);
    let address = daemon.address.to_string();
    let invite = ["invite", "create", "--site", "EM1", "--role", "station"];
    let code = text(&hub.ok(&invite)?, "invite");
    let station = Device::new(scratch.join("station"));
    station.ok(&["join", &code, "--hub", &address])?;
    let late_code = text(&hub.ok(&invite)?, "invite");
    let newcomer = Device::new(scratch.join("newcomer"));

    let mut here = ids(&station.add(&[opinion("one")])?);
    station.ok(&["sync"])?;
    let mut there = here.clone();
    let filler = disk.fill()?;
    there.extend(add_until_full(&hub, "hub")?);
    let rows: Vec<_> = (0..200)
        .map(|nth| opinion(&format!("many-{nth}")))
        .collect();
    let late = ids(&station.add(&rows)?);
    here.extend(late.iter().cloned());
    let synced = station.call(&["sync"])?;
    ensure!(
        synced.exit != 0,
        "everything was confirmed: {}",
        synced.json
    );
    // Whatever the station shows as received, the hub has.
    let at_hub: BTreeSet<_> = hub.records()?.iter().map(|it| text(it, "id")).collect();
    let mut waiting = 0;
    for id in &late {
        let shown = station.ok(&["record", "show", id])?;
        let state = text(&shown, "state");
        let claimed = ["received", "merged", "answered"].contains(&state.as_str());
        ensure!(
            !claimed || at_hub.contains(id),
            "{state}, and the hub lacks it"
        );
        waiting += usize::from(!claimed);
    }
    ensure!(waiting > 0, "the hub took everything");
    is_sound(&hub)?;
    // Nor is anybody let in by what is not durable. A hub that is left alone empties its write-ahead log, which makes room.
    std::thread::sleep(std::time::Duration::from_secs(3));
    disk.fill()?;
    let (device, code) = (Signer::from_seed(&[9; 32]), InviteCode::parse(&late_code)?);
    let joining = enrol::join(address.parse()?, &device, &[9; 32], &code, None);
    let joined = tokio::runtime::Runtime::new()?.block_on(joining);
    ensure!(joined.is_err(), "let in by a full disk: {joined:?}");

    std::fs::remove_file(filler)?;
    newcomer.ok(&["join", &late_code, "--hub", &address])?;
    station.ok(&["sync"])?;
    there.extend(late);
    lists(&hub, &there)?;
    for id in &here {
        station.until(&["record", "show", id], |it| {
            text(&it.json, "state") == "merged"
        })?;
    }
    for device in [&station, &hub] {
        is_sound(device)?;
    }
    station.equals(&hub)?;
    daemon.stop()
}

#[test]
fn a_disk_that_cannot_be_written_is_named_and_loses_nothing() -> Result<()> {
    let mut network = Network::new()?;
    let disk = SmallDisk::new(network.scratch.join("small"), SMALL)?;
    let station = Device::new(disk.path.join("station"));
    let code = network.invite("EM1", "station")?;
    station.ok(&["join", &code, "--hub", &network.address])?;
    let mut acknowledged = ids(&station.add(&[opinion("before")])?);
    disk.writable(false)?;
    let rows = json!([opinion("read-only")]).to_string();
    let message = station.feed(&ADD, rows)?.fails(2, "LX-1001")?;
    ensure!(
        message.contains("station"),
        "it does not say where: {message}"
    );
    station.call(&["sync"])?.fails(2, "LX-1001")?;
    disk.writable(true)?;
    acknowledged.extend(ids(&station.add(&[opinion("after")])?));
    station.ok(&["sync"])?;
    lists(&station, &acknowledged)?;
    lists(&network.hub, &acknowledged)?;
    is_sound(&station)?;
    station.equals(&network.hub)?;
    network.hub_stops()
}
