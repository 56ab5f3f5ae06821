//! The command contract: exit codes, keys, the shape of a failure. One JSON object on stdout and the
//! schema in front are checked by the driver for every command of every scenario.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use automerge::{Automerge, ObjType, ReadDoc as _, ScalarValue};
use lianxin_tests::process::{
    CANARY, CREATE_SITE, Device, LOOPBACK, Network, Scratch, Started, opinion, text,
};
use serde_json::{Value, json};

/// The reply has this schema and these keys.
fn has(reply: &Value, schema: &str, keys: &[&str]) -> Result<()> {
    ensure!(
        reply["schema"] == *format!("lianxin.{schema}/1"),
        "not {schema}: {reply}"
    );
    for key in keys {
        ensure!(reply.get(key).is_some(), "no `{key}` in {reply}");
    }
    Ok(())
}

fn string(value: &Value) -> Result<String> {
    Ok(value
        .as_str()
        .with_context(|| format!("no text: {value}"))?
        .to_owned())
}

/// Records one and gives its id and number.
fn one(device: &Device, record: Value) -> Result<(String, String)> {
    let added = device.add(&[record])?;
    let record = &added["records"][0];
    Ok((string(&record["id"])?, string(&record["number"])?))
}

#[test]
fn making_and_joining_a_network_say_what_the_contract_names() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    let made = hub.ok(&["hub", "init", "--name", "示例街道", "--code", "SLJD"])?;
    has(&made, "hub-init", &["network", "device", "recovery"])?;
    hub.call(&["hub", "init", "--name", "示例街道"])?
        .fails(4, "LX-1008")?;
    let card = text(&scratch.join("card"))?;
    let other = Device::new(scratch.join("other"));
    let init = ["hub", "init", "--name", "示例街道", "--recovery-out", &card];
    ensure!(
        other.ok(&init)?.get("recovery").is_none(),
        "the card was printed as well"
    );
    let third = Device::new(scratch.join("third"));
    third.call(&init)?.fails(2, "LX-1001")?;
    ensure!(
        !third.directory.exists(),
        "a hub was made whose card was not kept"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&card)?.permissions().mode();
        ensure!(
            mode & 0o777 == 0o600,
            "others may read the recovery card: {mode:o}"
        );
    }
    third
        .call(&["hub", "init", "--name", "x", "--code", "S1"])?
        .fails(4, "LX-2008")?;

    let daemon = hub.run(LOOPBACK)?;
    let address = daemon.address.to_string();
    has(&hub.ok(&CREATE_SITE)?, "site-create", &["site", "code"])?;
    hub.call(&CREATE_SITE)?.fails(4, "LX-2008")?;
    let point = hub.ok(&[
        "site",
        "create",
        "--name",
        "采集点",
        "--kind",
        "collection_point",
    ])?;
    ensure!(
        point["code"].as_str().is_some_and(|code| code.len() == 3),
        "{point}"
    );
    let file = text(&scratch.join("invite.json"))?;
    let create = [
        "invite",
        "create",
        "--site",
        "EM1",
        "--role",
        "station",
        "--expires",
        "2h",
    ];
    let invite = hub.ok(&[&create[..], &["--out", &file]].concat())?;
    has(
        &invite,
        "invite-create",
        &["invite", "device_code", "expires_at", "hub_addresses"],
    )?;
    ensure!(invite["hub_addresses"] == json!([address]), "{invite}");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    has(
        &written,
        "invite",
        &[
            "invite",
            "network",
            "hub",
            "site",
            "device_code",
            "hub_addresses",
        ],
    )?;
    hub.call(&["invite", "create", "--site", "XX9", "--role", "station"])?
        .fails(4, "LX-2007")?;
    hub.call(&["invite", "create", "--site", "EM1", "--role", "hub"])?
        .fails(4, "LX-6002")?;
    hub.call(&[
        "invite",
        "create",
        "--site",
        "EM1",
        "--role",
        "station",
        "--expires",
        "3w",
    ])?
    .fails(4, "LX-6002")?;

    let station = Device::new(scratch.join("station"));
    let joined = station.ok(&["join", &string(&invite["invite"])?, "--hub", &address])?;
    has(
        &joined,
        "join",
        &[
            "network",
            "device",
            "device_code",
            "site",
            "words",
            "confirmed",
        ],
    )?;
    ensure!(
        joined["confirmed"] == true && joined["network"] == made["network"],
        "{joined}"
    );
    ensure!(
        joined["words"]
            .as_array()
            .is_some_and(|words| words.len() == 4),
        "{joined}"
    );
    ensure!(
        joined["device_code"] == invite["device_code"] && joined["site"] == "EM1",
        "{joined}"
    );
    station
        .call(&["join", "--file", &file])?
        .fails(4, "LX-1008")?;
    let late = Device::new(scratch.join("late"));
    late.call(&["join", &string(&invite["invite"])?, "--hub", &address])?
        .fails(6, "LX-2003")?;
    late.call(&["join", "--file", &file])?.fails(6, "LX-2003")?;
    ensure!(!late.directory.exists(), "a refused join left something");
    for refused in [&CREATE_SITE[..], &create[..]] {
        station.call(refused)?.fails(6, "LX-2006")?;
    }
    daemon.stop()
}

#[test]
fn an_invite_alone_needs_the_hub_and_its_file_does_not() -> Result<()> {
    let mut network = Network::new()?;
    let file = text(&network.scratch.join("invite.json"))?;
    let create = [
        "invite", "create", "--site", "EM1", "--role", "station", "--out", &file,
    ];
    let code = string(&network.hub.ok(&create)?["invite"])?;
    let desk = text(&network.scratch.join("desk.json"))?;
    let create = [
        "invite", "create", "--site", "HUB", "--role", "operator", "--out", &desk,
    ];
    network.hub.ok(&create)?;
    let carried = text(&network.scratch.join("courier.json"))?;
    let create = [
        "invite", "create", "--site", "EM1", "--role", "courier", "--out", &carried,
    ];
    network.hub.ok(&create)?;
    network.hub_stops()?;

    let typed = Device::new(network.scratch.join("typed"));
    typed
        .call(&["join", &code, "--hub", &network.address])?
        .fails(3, "LX-2005")?;
    ensure!(
        !typed.directory.exists(),
        "something was made without the hub"
    );

    // Whoever will write nothing is not told where records belong, and records none that would stay behind.
    let courier = Device::new(network.scratch.join("courier"));
    courier.ok(&["join", "--file", &carried])?;
    courier
        .feed(
            &["record", "add", "--kind", "opinion", "--file", "-"],
            opinion("early").to_string(),
        )?
        .fails(5, "LX-2001")?;

    let mut waiting = Vec::new();
    for (site, file, prefix) in [
        ("EM1", &file, "YJ-SLJD-EM1B-"),
        ("HUB", &desk, "YJ-SLJD-HUBB-"),
    ] {
        let device = Device::new(network.scratch.join(&format!("waiting-{site}")));
        let joined = device.ok(&["join", "--file", file])?;
        ensure!(
            joined["confirmed"] == false && joined["site"] == site,
            "{joined}"
        );
        let (id, number) = one(&device, opinion("early"))?;
        ensure!(number.starts_with(prefix), "{number}");
        ensure!(device.ok(&["status"])?["role"] == "pending");
        device.ok(&["verify"])?;
        waiting.push((device, id, number));
    }

    network.hub_back()?;
    for ((device, id, number), role) in waiting.iter().zip(["station", "operator"]) {
        device.ok(&["sync"])?;
        ensure!(device.ok(&["status"])?["role"] == role);
        ensure!(network.hub.ok(&["record", "show", id])?["number"] == *number);
    }
    for (device, ..) in &waiting {
        device.ok(&["sync"])?;
        device.equals(&network.hub)?;
    }
    network.hub_stops()
}

#[test]
fn failures_have_their_exit_code_and_one_shape() -> Result<()> {
    let scratch = Scratch::new()?;
    let nobody = Device::new(scratch.join("nobody"));
    for usage in [
        &["frobnicate"][..],
        &[],
        &["record", "list", "--limt", "3"],
        &["sync", "x"],
    ] {
        nobody.call(usage)?.fails(4, "LX-6002")?;
    }
    let tip = nobody
        .call(&["record", "list", "--limt", "3"])?
        .fails(4, "LX-6002")?;
    ensure!(tip.contains("--limit"), "no suggestion: {tip}");
    let stations = [
        &["status"][..],
        &["digest"],
        &["verify"],
        &["reproject"],
        &["sync"],
        &["record", "list"],
        &["record", "show", "x"],
        &["run"],
    ];
    for command in stations {
        nobody.call(command)?.fails(5, "LX-2001")?;
    }
    ensure!(
        !nobody.directory.exists(),
        "a question made a data directory"
    );

    let hub = Device::new(scratch.join("hub"));
    hub.ok(&["hub", "init", "--name", "示例街道"])?;
    hub.call(&["run", "--listen", "nonsense"])?
        .fails(4, "LX-4003")?;
    hub.call(&["run", "--listen", "192.0.2.1:1"])?
        .fails(4, "LX-4003")?;
    hub.call(&["record", "show", "nothing"])?
        .fails(4, "LX-3001")?;
    hub.call(&["record", "show", "01a209de-81e4-7e58-b7fc-95f4ec3c2662"])?
        .fails(4, "LX-3001")?;
    hub.call(&["record", "list", "--after", "x"])?
        .fails(4, "LX-6002")?;
    let add = ["record", "add", "--kind", "opinion", "--file", "-", "--as"];
    hub.feed(
        &[&add[..], &["\u{200b}\n"]].concat(),
        opinion("x").to_string(),
    )?
    .fails(4, "LX-6002")?;
    let none = ["record", "add", "--kind", "nothing", "--file", "-"];
    let message = hub
        .feed(&none, opinion("x").to_string())?
        .fails(4, "LX-3004")?;
    ensure!(message.contains("opinion"), "{message}");
    ensure!(hub.ok(&["sync"])?["sessions"] == json!([]));

    // In words, where JSON was not asked for, and on stderr only.
    let mut command = std::process::Command::new(lianxin_tests::process::binary()?);
    let said = command
        .arg("--data")
        .arg(&nobody.directory)
        .arg("status")
        .output()?;
    ensure!(
        said.status.code() == Some(5) && said.stdout.is_empty(),
        "{said:?}"
    );
    ensure!(String::from_utf8(said.stderr)?.contains("LX-2001"));
    Ok(())
}

#[test]
fn a_data_directory_has_one_writer_and_the_second_is_told_who() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    hub.ok(&["hub", "init", "--name", "示例街道"])?;
    let daemon = hub.run(LOOPBACK)?;
    let id = daemon.id().to_string();
    let second = hub
        .call(&["run", "--listen", LOOPBACK])?
        .fails(7, "LX-1004")?;
    ensure!(second.contains(&id), "{second} does not name {id}");
    // The first still answers, and without its socket the lock speaks for it.
    hub.ok(&["status"])?;
    std::fs::remove_file(hub.directory.join("lianxin.sock"))?;
    let message = hub.call(&["status"])?.fails(7, "LX-1004")?;
    ensure!(message.contains(&id), "{message} does not name {id}");
    daemon.stop()?;
    hub.ok(&["status"]).map(drop)
}

#[test]
fn records_are_added_listed_shown_changed_and_explained() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    let mut record = opinion("s-1");
    record["place"] = json!({ "community": "测试社区" });
    record["deputies"] = json!(["测试代表甲", "测试代表乙"]);
    let add = [
        "record",
        "add",
        "--kind",
        "opinion",
        "--file",
        "-",
        "--as",
        "测试文员",
    ];
    let added = station.feed(&add, record.to_string())?.exits(0)?;
    has(&added, "record-add", &["records", "refused"])?;
    let (id, number) = (
        string(&added["records"][0]["id"])?,
        string(&added["records"][0]["number"])?,
    );
    ensure!(
        station.feed(&add, record.to_string())?.exits(0)? == added,
        "a retry made another"
    );

    // JSON lines, with a byte order mark; what is refused says where, the rest is recorded.
    let lines = format!(
        "\u{feff}{}\n{}\n{}\n",
        opinion("s-2"),
        json!({ "category": "x" }),
        opinion("s-3")
    );
    let partly = station.feed(&add, lines)?.exits(3)?;
    ensure!(
        partly["records"].as_array().map(Vec::len) == Some(2),
        "{partly}"
    );
    let refused = partly["refused"].as_array().context("no refusals")?;
    ensure!(
        !refused.is_empty() && refused.iter().all(|it| it["row"] == 2),
        "{partly}"
    );
    ensure!(
        refused
            .iter()
            .all(|it| it.get("field").is_some() && it.get("code").is_some())
    );

    let sloppy = [
        id.clone(),
        id.to_uppercase(),
        number.clone(),
        number.to_lowercase(),
        number.replace('-', ""),
        format!("  {} ", number.replace('-', " ")),
    ];
    for spelling in &sloppy {
        let shown = station
            .ok(&["record", "show", spelling])
            .context("a spelling")?;
        ensure!(shown["id"] == *id, "{spelling} is {shown}");
    }
    let shown = station.ok(&["record", "show", &id])?;
    let keys = [
        "id",
        "kind",
        "number",
        "fields",
        "conflicts",
        "status",
        "events",
        "state",
        "receipts",
    ];
    has(&shown, "record-show", &keys)?;
    ensure!(
        shown["fields"]["person"]["call_name"] == *format!("测试{CANARY}"),
        "{shown}"
    );
    ensure!(shown["fields"]["body"] == record["body"], "{shown}");
    ensure!(shown["events"][0]["account"] == "测试文员", "{shown}");

    let edit =
        |fields: Value| station.feed(&["record", "set", &id, "--file", "-"], fields.to_string());
    let set = edit(json!({ "place": { "community": null }, "urgency": "urgent" }))?.exits(0)?;
    has(&set, "record-set", &["id", "heads", "state", "status"])?;
    let shown = station.ok(&["record", "show", &id])?;
    ensure!(
        shown["fields"].get("place").is_none() && shown["fields"]["urgency"] == "urgent",
        "{shown}"
    );
    edit(json!({ "urgency": "urgent" }))?.fails(4, "LX-3007")?;
    edit(json!({ "body": null }))?.fails(4, "LX-3014")?;
    edit(json!({ "body": "别的话", "urgency": "normal" }))?.fails(4, "LX-3014")?;
    let shown = station.ok(&["record", "show", &id])?;
    ensure!(shown["fields"]["body"] == record["body"] && shown["fields"]["urgency"] == "urgent");
    edit(json!({ "nothing": CANARY }))?.fails(3, "LX-3002")?;
    edit(json!([]))?.fails(4, "LX-3003")?;

    station.ok(&["sync"])?;
    station
        .call(&["record", "act", &id, "accept"])?
        .fails(6, "LX-3005")?;
    station
        .call(&["record", "act", &id, "frobnicate"])?
        .fails(6, "LX-3005")?;
    let acted = network
        .hub
        .ok(&["record", "act", &number, "accept", "--as", "测试操作员"])?;
    has(&acted, "record-act", &["id", "heads", "state", "status"])?;
    ensure!(acted["status"] == "accepted", "{acted}");
    network
        .hub
        .call(&["record", "act", &number, "accept"])?
        .fails(6, "LX-3005")?;
    station.ok(&["sync"])?;
    let history = station.ok(&["record", "history", &id])?;
    has(&history, "record-history", &["changes"])?;
    let changes = history["changes"].as_array().context("no changes")?;
    ensure!(changes.len() == 3, "{history}");
    for change in changes {
        for key in ["hash", "device", "account", "at", "fields", "verified"] {
            ensure!(change.get(key).is_some(), "no `{key}` in {change}");
        }
        ensure!(change["verified"] == true, "{change}");
    }
    network.hub_stops()
}

#[test]
fn a_list_is_paged_filtered_and_searched() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    network.hub_stops()?;
    let mut rows: Vec<_> = (0..7).map(|n| opinion(&format!("list-{n}"))).collect();
    rows[3]["body"] = json!("老旧小区加装电梯");
    station.add(&rows)?;
    let mut seen = Vec::new();
    let mut after = None::<String>;
    let sizes = [3, 3, 1];
    for size in sizes {
        let mut arguments = vec!["record", "list", "--limit", "3"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let page = station.ok(&arguments)?;
        has(&page, "record-list", &["records", "next"])?;
        let records = page["records"].as_array().context("no records")?;
        ensure!(records.len() == size, "{page}");
        for key in ["id", "kind", "number", "title", "status", "state"] {
            ensure!(records[0].get(key).is_some(), "no `{key}` in {page}");
        }
        seen.extend(records.iter().map(|record| record["id"].clone()));
        after = page["next"].as_str().map(str::to_owned);
    }
    ensure!(after.is_none() && seen.len() == 7, "{after:?} {seen:?}");
    ensure!(
        seen.windows(2)
            .all(|pair| pair[0].as_str() > pair[1].as_str()),
        "not newest first"
    );

    let found = |arguments: &[&str]| -> Result<usize> {
        let list = station.ok(&[&["record", "list"], arguments].concat())?;
        Ok(list["records"].as_array().map_or(0, Vec::len))
    };
    ensure!(found(&["--search", "电梯"])? == 1 && found(&["--search", "路灯"])? == 7);
    for odd in [
        "\"路灯\"",
        "路*",
        "NEAR(",
        "路%",
        "'; DROP TABLE records; --",
    ] {
        ensure!(found(&["--search", odd])? == 0, "`{odd}` found something");
    }
    ensure!(found(&["--search", &"长".repeat(3_000)])? == 0);
    ensure!(found(&["--kind", "opinion"])? == 7 && found(&["--status", "registered"])? == 7);
    ensure!(found(&["--status", "accepted"])? == 0);
    Ok(())
}

#[test]
fn status_digest_verify_reproject_and_sync_have_their_keys() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    station.add(&[opinion("k-1")])?;
    for device in [&station, &network.hub] {
        let keys = [
            "role",
            "device",
            "site",
            "records",
            "unreceipted",
            "oldest_unreceipted_s",
            "conflicts",
            "oldest_conflict_s",
            "quarantined",
            "peers",
            "epoch",
            "version",
        ];
        let status = device.ok(&["status"])?;
        has(&status, "status", &keys)?;
        for key in ["device", "site", "role", "last_seen", "path"] {
            ensure!(
                status["peers"][0].get(key).is_some(),
                "no `{key}` in {status}"
            );
        }
        let digest = device.ok(&["digest"])?;
        has(&digest, "digest", &["spaces"])?;
        for key in ["space", "kind", "log_digest", "state_digest"] {
            ensure!(
                digest["spaces"][0].get(key).is_some(),
                "no `{key}` in {digest}"
            );
        }
        has(
            &device.ok(&["verify"])?,
            "verify",
            &["entries", "checkpoints", "receipts", "bad"],
        )?;
        has(
            &device.ok(&["reproject"])?,
            "reproject",
            &["records", "state_digest"],
        )?;
        ensure!(device.ok(&["digest"])? == digest, "rebuilt lists differ");
    }
    ensure!(station.ok(&["status"])?["unreceipted"] == 1);
    has(
        &station.ok(&["sync", "--peer", &network.address])?,
        "sync",
        &["sessions"],
    )?;
    ensure!(station.ok(&["status"])?["unreceipted"] == 0);
    station
        .call(&["sync", "--peer", "127.0.0.1:x"])?
        .fails(4, "LX-4003")?;
    station
        .call(&["sync", "--peer", "nobody.invalid:7443"])?
        .fails(3, "LX-2005")?;

    // Two devices choose differently: that needs attention, and says so with 1.
    let code = network.invite("EM1", "laptop")?;
    let laptop = Device::new(network.scratch.join("laptop"));
    laptop.ok(&["join", &code, "--hub", &network.address])?;
    let id = string(&station.records()?[0]["id"])?;
    // Who comes late gets the records with the receipts that cover them.
    ensure!(laptop.ok(&["record", "show", &id])?["state"] == "merged");
    for (device, value) in [(&station, "urgent"), (&laptop, "emergency_referred")] {
        let edit = json!({ "urgency": value }).to_string();
        device
            .feed(&["record", "set", &id, "--file", "-"], edit)?
            .exits(0)?;
    }
    for device in [&station, &laptop, &station] {
        device.ok(&["sync"])?;
    }
    let conflicts = station.ok(&["record", "show", &id])?["conflicts"].clone();
    ensure!(conflicts[0]["field"] == "urgency", "{conflicts}");
    let values = conflicts[0]["values"].as_array().context("no values")?;
    ensure!(values.len() == 2, "{conflicts}");
    for key in ["value", "device", "at"] {
        ensure!(values.iter().all(|it| it.get(key).is_some()), "{conflicts}");
    }
    ensure!(station.call(&["status"])?.exits(1)?["conflicts"] == 1);
    let listed = station.ok(&["conflict", "list"])?;
    has(&listed, "conflict-list", &["records", "next"])?;
    ensure!(listed["records"][0]["id"] == json!(id), "{listed}");
    ensure!(
        listed["records"][0]["fields"] == json!(["urgency"]),
        "{listed}"
    );
    let shown = station.ok(&["conflict", "show", &id])?;
    has(&shown, "conflict-show", &["id", "number", "conflicts"])?;
    let values = shown["conflicts"][0]["values"].as_array().cloned();
    let mine = values.into_iter().flatten().find(|it| it["mine"] == true);
    ensure!(mine.is_some_and(|it| it["value"] == "urgent"), "{shown}");
    let resolve = |field: &str, take: &str, why: &str| {
        let choice = ["conflict", "resolve", &id, "--field", field, "--take", take];
        station.call(&[&choice[..], &["--reason", why]].concat())
    };
    // What is not kept needs a reason; a choice has no room for both; and no other field is in conflict.
    resolve("urgency", "theirs", "")?.fails(3, "LX-3002")?;
    resolve("urgency", "both", "电话核实")?.fails(4, "LX-6002")?;
    resolve("urgency", "3", "电话核实")?.fails(4, "LX-6002")?;
    resolve("category", "theirs", "电话核实")?.fails(4, "LX-3007")?;
    let chosen = resolve("urgency", "theirs", "电话核实")?.exits(0)?;
    has(&chosen, "conflict-resolve", &["id", "number", "state"])?;
    let shown = station.ok(&["record", "show", &id])?;
    ensure!(
        shown["fields"]["urgency"] == "emergency_referred",
        "{shown}"
    );
    ensure!(station.ok(&["conflict", "list"])?["records"] == json!([]));
    ensure!(station.call(&["status"])?.json["conflicts"] == 0);
    network.hub_stops()
}

#[test]
fn exports_are_complete_and_open_in_automerge_itself() -> Result<()> {
    let mut network = Network::new()?;
    let station = network.station.clone();
    network.hub_stops()?;
    let mut rows: Vec<_> = (0..3).map(|n| opinion(&format!("export-{n}"))).collect();
    rows[1]["people_count"] = json!(12);
    station.add(&rows)?;
    let file = text(&network.scratch.join("all.json"))?;
    has(
        &station.ok(&["export", "--format", "json", "--out", &file])?,
        "export",
        &["records"],
    )?;
    let all: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(all["records"].as_array().map(Vec::len) == Some(3), "{all}");
    for record in all["records"].as_array().into_iter().flatten() {
        let shown = station.ok(&["record", "show", &string(&record["id"])?])?;
        ensure!(
            shown["fields"] == record["fields"],
            "{shown} was exported as {record}"
        );
    }

    let folder = network.scratch.join("documents");
    let out = text(&folder)?;
    let export = station.ok(&["export", "--format", "automerge", "--out", &out])?;
    ensure!(export["records"] == 3, "{export}");
    for listed in station.records()? {
        let id = string(&listed["id"])?;
        let bytes = std::fs::read(folder.join(format!("{id}.automerge")))?;
        ensure!(
            bytes.starts_with(&[0x85, 0x6f, 0x4a, 0x83]),
            "not an Automerge document"
        );
        let document = Automerge::load(&bytes)?;
        let shown = station.ok(&["record", "show", &id])?;
        let beside = std::fs::read_to_string(folder.join(format!("{id}.json")))?;
        let beside: Value = serde_json::from_str(&beside)?;
        ensure!(beside["fields"] == shown["fields"], "{beside}");
        compare(&document, &shown["fields"], &beside["texts"])?;
    }
    Ok(())
}

/// Every field in the document has the value that is shown; a text stands there as the reference to
/// one of the texts beside it.
fn compare(document: &Automerge, shown: &Value, texts: &Value) -> Result<()> {
    let fields = document
        .get(automerge::ROOT, "fields")?
        .context("no fields")?;
    ensure!(
        matches!(fields.0, automerge::Value::Object(ObjType::Map)),
        "fields are no map"
    );
    let mut compared = 0;
    for key in document.keys(&fields.1) {
        let (value, _) = document
            .get(&fields.1, &*key)?
            .context("a key without a value")?;
        let pointer = format!("/{}", key.replace('.', "/"));
        let shown = shown
            .pointer(&pointer)
            .with_context(|| format!("`{key}` is not shown"))?;
        let same = match value.as_scalar().context("a field that is no scalar")? {
            ScalarValue::Str(text) => *shown == *text.as_str(),
            ScalarValue::Int(number) => *shown == *number,
            ScalarValue::Uint(number) => *shown == *number,
            ScalarValue::Boolean(flag) => *shown == *flag,
            ScalarValue::Bytes(reference) => {
                let name: String = reference.iter().map(|byte| format!("{byte:02x}")).collect();
                texts[name.as_str()][key.as_str()] == *shown
            }
            other => anyhow::bail!("`{key}` is {other:?}"),
        };
        ensure!(
            same,
            "`{key}` is {value:?} in the document and {shown} on the screen"
        );
        compared += 1;
    }
    ensure!(compared >= 8, "only {compared} fields");
    Ok(())
}

#[test]
fn the_demo_holds_and_the_environment_names_the_data() -> Result<()> {
    let scratch = Scratch::new()?;
    let anywhere = Device::new(scratch.join("anywhere"));
    let demo = anywhere.ok(&["demo", "--check"])?;
    has(&demo, "demo", &["steps"])?;
    let steps = demo["steps"].as_array().context("no steps")?;
    ensure!(
        steps.len() > 10 && steps.iter().all(|step| step["ok"] == true),
        "{demo}"
    );

    let hub = Device::new(scratch.join("hub"));
    let made = hub.ok(&["hub", "init", "--name", "示例街道"])?;
    let mut command = std::process::Command::new(lianxin_tests::process::binary()?);
    command
        .args(["--json", "status"])
        .env("LIANXIN_DATA", &hub.directory);
    let status = Started::new(command, Vec::new())?
        .finish(lianxin_tests::process::PATIENCE)?
        .exits(0)?;
    ensure!(
        status["device"] == made["device"] && status["role"] == "hub",
        "{status}"
    );
    Ok(())
}
