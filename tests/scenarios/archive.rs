//! Archives with real processes: written beside a running daemon or without one, checked on a computer that has
//! no store, and what becomes of them on the way.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Query;
use lianxin_protocol::archive::{Item, Reader, Writer};
use lianxin_protocol::log::Entry;
use lianxin_tests::World;
use lianxin_tests::process::{CANARY, Device, Network, Outcome, Random, Scratch, opinion, text};
use lianxin_tests::world::HUB;
use serde_json::{Value, json};

const A: usize = 1;

/// Checks an archive where there is no data directory at all.
fn verify(archive: &str, more: &[&str]) -> Result<Outcome> {
    let nowhere = Scratch::new()?;
    let device = Device::new(nowhere.join("none"));
    let outcome = device.call(&[&["verify", archive], more].concat())?;
    ensure!(!device.directory.exists(), "a check made a data directory");
    let said = outcome.json.to_string();
    ensure!(
        !said.contains(CANARY),
        "a check repeats what a resident said"
    );
    Ok(outcome)
}

fn good(archive: &str) -> Result<Value> {
    let reply = verify(archive, &[])?.exits(0)?;
    ensure!(reply["bad"] == json!([]), "{reply}");
    Ok(reply)
}

fn bad(archive: &str) -> Result<Vec<String>> {
    let reply = verify(archive, &[])?.exits(2)?;
    let bad = reply["bad"].as_array().cloned().unwrap_or_default();
    ensure!(!bad.is_empty(), "bad without a line: {reply}");
    let lines = bad.iter().filter_map(Value::as_str).map(str::to_owned);
    Ok(lines.collect())
}

fn export(device: &Device, out: &str) -> Result<Value> {
    device.ok(&["export", "--format", "archive", "--out", out])
}

/// The items of an archive, without start and end mark.
fn items(archive: &str) -> Result<Vec<Item>> {
    let mut reader = Reader::default();
    reader.push(&std::fs::read(archive)?);
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(item);
    }
    reader.finish()?;
    Ok(items)
}

fn write(path: &str, items: &[Item]) -> Result<()> {
    let (mut writer, mut bytes) = Writer::begin();
    for item in items {
        bytes.extend(writer.item(item));
    }
    bytes.extend(writer.end());
    Ok(std::fs::write(path, bytes)?)
}

/// A network whose station has records, an edit, a step and receipts.
fn filled() -> Result<Network> {
    let network = Network::new()?;
    let station = &network.station;
    let added = station.add(&[opinion("one"), opinion("two")])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    station.feed(
        &["record", "set", id, "--file", "-"],
        json!({ "urgency": "urgent" }).to_string(),
    )?;
    station.ok(&["sync"])?;
    network.hub.ok(&["record", "act", id, "accept"])?;
    station.ok(&["sync"])?;
    Ok(network)
}

#[test]
fn an_archive_is_written_with_and_without_a_daemon_and_checked_without_a_store() -> Result<()> {
    let mut network = filled()?;
    for (device, name) in [(&network.hub, "hub"), (&network.station, "station")] {
        let archive = text(&network.scratch.join(&format!("{name}.archive")))?;
        // What lies there already gives way, and its mode with it; also a piece of an earlier try.
        std::fs::write(&archive, "old")?;
        std::fs::write(Path::new(&archive).with_extension("part"), "old")?;
        let exported = export(device, &archive)?;
        ensure!(exported["records"] == 2, "{exported}");
        ensure!(!Path::new(&archive).with_extension("part").exists());
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&archive)?.permissions().mode();
        ensure!(mode & 0o777 == 0o600, "others may read it: {mode:o}");
        let checked = good(&archive)?;
        let here = device.ok(&["verify"])?;
        for key in ["entries", "checkpoints", "receipts"] {
            ensure!(checked[key] == here[key], "{key}: {checked} but {here}");
        }
        ensure!(checked["receipts"].as_u64() >= Some(1), "{checked}");
        let status = device.ok(&["status"])?;
        ensure!(checked["network"] == status["network"], "{checked}");
        ensure!(checked["absent"] == 0 && checked["forks"] == 0, "{checked}");
        let id = checked["network"].as_str().context("no network")?;
        verify(&archive, &["--network", id])?.exits(0)?;
        let other = verify(&archive, &["--network", &"00".repeat(32)])?.exits(2)?;
        ensure!(other["bad"].to_string().contains(id), "{other}");
        verify(&archive, &["--network", "0123"])?.fails(4, "LX-6002")?;
    }
    let folder = text(&network.scratch.join("hub"))?;
    network
        .hub
        .call(&["export", "--format", "archive", "--out", &folder])?
        .fails(2, "LX-1001")?;
    ensure!(
        !network.scratch.join("hub.part").exists(),
        "a piece was left"
    );
    network.hub_stops()?;
    let archive = text(&network.scratch.join("down.archive"))?;
    export(&network.hub, &archive)?;
    good(&archive)?;
    Ok(())
}

#[test]
fn an_archive_of_many_pages_has_every_entry_once() -> Result<()> {
    let mut network = Network::new()?;
    let rows: Vec<_> = (0..600)
        .map(|n| {
            let mut row = opinion(&format!("many-{n}"));
            row["body"] = json!("测试内容，路灯不亮。".repeat(60));
            row
        })
        .collect();
    network.station.add(&rows)?;
    network.station.ok(&["sync"])?;
    let archive = text(&network.scratch.join("hub.archive"))?;
    // Through the socket, while the station goes on writing and sending.
    let daemon = network.station.run(lianxin_tests::process::LOOPBACK)?;
    network.station.add(&rows[..1])?;
    export(&network.hub, &archive)?;
    let len = std::fs::metadata(&archive)?.len();
    ensure!(len > 1_200_000, "{len} bytes are no two pages");
    let checked = good(&archive)?;
    ensure!(checked["entries"].as_u64() > Some(1_800), "{checked}");
    daemon.stop()?;
    let archive = text(&network.scratch.join("station.archive"))?;
    export(&network.station, &archive)?;
    let (here, there) = (network.station.ok(&["verify"])?, good(&archive)?);
    ensure!(here["entries"] == there["entries"], "{here} but {there}");
    network.hub_stops()
}

#[test]
fn damage_on_the_way_is_bad_wherever_it_falls() -> Result<()> {
    let network = filled()?;
    let archive = text(&network.scratch.join("station.archive"))?;
    export(&network.station, &archive)?;
    let whole = std::fs::read(&archive)?;
    let damaged = text(&network.scratch.join("damaged"))?;
    let mut random = Random(1);
    for _ in 0..40 {
        let at = usize::try_from(random.below(whole.len() as u64 - 18))? + 18;
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.below(8);
        std::fs::write(&damaged, &flipped)?;
        bad(&damaged)?;
        std::fs::write(&damaged, &whole[..at])?;
        let lines = bad(&damaged)?;
        ensure!(
            lines.iter().any(|line| line.contains("ends too early")),
            "{lines:?}"
        );
    }
    std::fs::write(&damaged, [&whole[..], &whole[..]].concat())?;
    ensure!(bad(&damaged)?[0].contains("bytes after the end"));
    let huge = [&whole[..18], &[6, 0xff, 0xff, 0xff, 0xff], &whole[..]].concat();
    std::fs::write(&damaged, huge)?;
    ensure!(bad(&damaged)?[0].contains("beyond its bound"));
    Ok(())
}

#[test]
fn what_is_forged_behind_a_fitting_end_mark_is_bad_and_what_is_erased_is_not() -> Result<()> {
    let network = filled()?;
    let archive = text(&network.scratch.join("station.archive"))?;
    export(&network.station, &archive)?;
    let whole = items(&archive)?;
    let changed = text(&network.scratch.join("changed"))?;
    let is_entry = |item: &Item| matches!(item, Item::Entry(Entry { header, payload }) if header.seq > 0 && payload.is_some());
    let entries: Vec<usize> = (0..whole.len())
        .filter(|at| is_entry(&whole[*at]))
        .collect();
    for at in &entries {
        let mut items = whole.clone();
        items.remove(*at);
        write(&changed, &items)?;
        bad(&changed)?;
        let mut items = whole.clone();
        items.insert(*at, whole[*at].clone());
        write(&changed, &items)?;
        bad(&changed)?;
        let mut items = whole.clone();
        if let Item::Entry(Entry {
            payload: Some(payload),
            ..
        }) = &mut items[*at]
        {
            let middle = payload.len() / 2;
            payload[middle] ^= 1;
        }
        write(&changed, &items)?;
        bad(&changed)?;
    }
    let mut erased = whole.clone();
    for at in &entries {
        if let Item::Entry(entry) = &mut erased[*at] {
            entry.payload = None;
        }
    }
    write(&changed, &erased)?;
    let checked = good(&changed)?;
    ensure!(checked["absent"] == entries.len(), "{checked}");
    let receipt = whole.iter().position(|it| matches!(it, Item::Receipt(_)));
    let receipt = receipt.context("no receipt")?;
    let mut items = whole;
    if let Item::Receipt(receipt) = &mut items[receipt] {
        receipt.received_at_ms += 1;
    }
    write(&changed, &items)?;
    ensure!(bad(&changed)?[0].contains("its receipt does not hold"));
    Ok(())
}

#[test]
fn what_is_no_archive_has_a_code_of_its_own() -> Result<()> {
    let scratch = Scratch::new()?;
    for (name, content) in [
        ("empty", &b""[..]),
        ("text", b"{}"),
        ("half", b"lianxin archive\n\0"),
    ] {
        let file = scratch.write(name, content)?;
        verify(&file, &[])?.fails(2, "LX-5002")?;
    }
    let newer = scratch.write("newer", b"lianxin archive\n\0\x02")?;
    let message = verify(&newer, &[])?.fails(2, "LX-5002")?;
    ensure!(message.contains("version 2"), "{message}");
    verify(&text(&scratch.join("missing"))?, &[])?.fails(2, "LX-1001")?;
    Ok(())
}

#[test]
fn a_device_that_waits_for_its_confirmation_gives_no_archive() -> Result<()> {
    let mut network = Network::new()?;
    let card = text(&network.scratch.join("card.json"))?;
    let invite = [
        "invite", "create", "--site", "EM1", "--role", "laptop", "--out", &card,
    ];
    network.hub.ok(&invite)?;
    network.hub_stops()?;
    let laptop = Device::new(network.scratch.join("laptop"));
    laptop.ok(&["join", "--file", &card])?;
    let archive = text(&network.scratch.join("laptop.archive"))?;
    laptop
        .call(&["export", "--format", "archive", "--out", &archive])?
        .fails(5, "LX-2001")?;
    ensure!(!Path::new(&archive).exists());
    ensure!(
        !Path::new(&archive).with_extension("part").exists(),
        "a piece was left"
    );
    Ok(())
}

#[test]
fn a_page_goes_on_where_the_one_before_ended_though_the_log_has_grown_since() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    world.add(A, "一")?;
    world.heal()?;
    let key = world.node(A)?.key;
    let log = *world.logs_of(HUB, &key)?.keys().next().context("no log")?;
    let page = |world: &mut World, from: u64| -> Result<(Value, Vec<Item>)> {
        let log = log.to_string();
        let page = world.call(HUB, Query::ArchivePage { log, from })?;
        let digits = page["items"].as_str().context("no items")?;
        let bytes = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16))
            .collect::<Result<Vec<_>, _>>()?;
        let (_, start) = Writer::begin();
        let mut reader = Reader::default();
        reader.push(&[start, bytes].concat());
        let items = std::iter::from_fn(|| reader.next_item().transpose());
        Ok((page, items.collect::<Result<_, _>>()?))
    };
    let (first, items) = page(&mut world, 0)?;
    ensure!(first["next"].is_null() && first["count"] == items.len());
    let end = first["end"]["len"].as_u64().context("no end")?;
    // The hub joins what comes to the short run before it, so the run begins before the page.
    world.add(A, "二")?;
    world.heal()?;
    let (later, items) = page(&mut world, end)?;
    ensure!(
        later["end"]["len"].as_u64() > Some(end),
        "nothing has come: {later}"
    );
    let seqs = items.iter().filter_map(|item| match item {
        Item::Entry(entry) => Some(entry.header.seq),
        _ => None,
    });
    let seqs: Vec<_> = seqs.collect();
    ensure!(seqs.first() == Some(&end), "entries {seqs:?} after {end}");
    let checkpoints = items.iter().filter(|it| matches!(it, Item::Checkpoint(_)));
    ensure!(checkpoints.count() == 1 && items.len() == seqs.len() + 1);
    Ok(())
}
