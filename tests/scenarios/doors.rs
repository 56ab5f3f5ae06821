//! Who may come in and until when, where the hub is found, and what other users of a computer may look into.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Device, LOOPBACK, Network, Started, opinion, text};
use serde_json::Value;

fn invites(network: &Network) -> Result<Vec<Value>> {
    let listed = network.hub.ok(&["invite", "list"])?;
    Ok(listed["invites"].as_array().context("no list")?.clone())
}

fn invite(network: &Network) -> Result<Value> {
    network.hub.ok(&[
        "invite",
        "create",
        "--site",
        "EM1",
        "--role",
        "station",
        "--expires",
        "1h",
    ])
}

/// Invites that nobody uses keep nobody out, can be listed and taken back, and what was taken back lets nobody in.
#[test]
fn invites_are_listed_and_taken_back_and_do_not_run_out() -> Result<()> {
    let mut network = Network::new()?;
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(invite(&network)?);
    }
    let listed = invites(&network)?;
    let open = listed.iter().filter(|it| it["state"] == "open").count();
    ensure!((listed.len(), open) == (41, 40), "{} {open}", listed.len());
    let used = listed
        .iter()
        .find(|it| it["state"] == "used")
        .context("none used")?;
    let station = network.station.ok(&["status"])?["device"].clone();
    for key in ["id", "site", "role", "used_at", "expires_at"] {
        ensure!(used[key].is_string(), "no `{key}` in {used}");
    }
    ensure!(
        used["used_by"]
            .as_str()
            .zip(station.as_str())
            .is_some_and(|(by, it)| by.starts_with(it)),
        "{used} {station}"
    );

    let (first, code) = (&codes[0], codes[0]["invite"].as_str().context("no code")?);
    let id = listed
        .iter()
        .find(|it| it["device_code"] == first["device_code"]);
    let id = id.and_then(|it| it["id"].as_str()).context("not listed")?;
    network.hub.ok(&["invite", "revoke", id])?;
    // Twice is once.
    network.hub.ok(&["invite", "revoke", id])?;
    let late = Device::new(network.scratch.join("late"));
    late.call(&["join", code, "--hub", &network.address])?
        .fails(6, "LX-2003")?;
    let again = invite(&network)?;
    ensure!(
        again["device_code"] == first["device_code"],
        "{again} after {first}"
    );
    let right = again["invite"].as_str().context("no code")?;
    late.ok(&["join", right, "--hub", &network.address])?;
    late.add(&[opinion("joined")])?;

    let of_station = used["id"].as_str().context("no id")?;
    network
        .hub
        .call(&["invite", "revoke", of_station])?
        .fails(6, "LX-2018")?;
    network
        .hub
        .call(&["invite", "revoke", "ffffffffffff"])?
        .fails(4, "LX-2017")?;
    network
        .station
        .call(&["invite", "revoke", id])?
        .fails(6, "LX-2006")?;
    ensure!(network.hub.ok(&["site", "list"])?["sites"][0]["devices"] == 2);
    network.hub_stops()
}

/// An office that sets up all its computers in one minute, behind one address, while somebody there mistypes codes.
#[test]
fn sixteen_computers_of_one_office_join_at_once() -> Result<()> {
    let mut network = Network::new()?;
    let mut codes = Vec::new();
    for _ in 0..16 {
        codes.push(
            invite(&network)?["invite"]
                .as_str()
                .context("no code")?
                .to_owned(),
        );
    }
    let (mut joining, mut guessing) = (Vec::new(), Vec::new());
    for (place, code) in codes.iter().enumerate() {
        let device = Device::new(network.scratch.join(&format!("office-{place}")));
        let command = device.command(&["join", code, "--hub", &network.address])?;
        joining.push(Started::new(command, Vec::new())?);
        if place % 2 == 0 {
            let wrong =
                lianxin_protocol::identity::InviteCode::from_random([u8::try_from(place)?; 10]);
            let wrong = wrong.context("no code")?.to_string();
            let device = Device::new(network.scratch.join(&format!("guess-{place}")));
            let command = device.command(&["join", &wrong, "--hub", &network.address])?;
            guessing.push(Started::new(command, Vec::new())?);
        }
    }
    for started in joining {
        started.finish(lianxin_tests::process::PATIENCE)?.exits(0)?;
    }
    ensure!(network.hub.ok(&["site", "list"])?["sites"][0]["devices"] == 17);
    network.hub_stops()
}

/// The hub says where it is found; a station that has heard it finds it there, and keeps what it was told itself.
#[test]
fn a_station_learns_where_the_hub_is() -> Result<()> {
    let mut network = Network::new()?;
    let before = network.hub.ok(&["hub", "address", "list"])?["addresses"].clone();
    ensure!(before[0] == network.address.as_str(), "{before}");
    // Somewhere else from tomorrow on.
    let place = std::net::UdpSocket::bind(LOOPBACK)?
        .local_addr()?
        .to_string();
    let after = network.hub.ok(&["hub", "address", "add", &place])?["addresses"].clone();
    ensure!(
        after[0] == place.as_str() && after[1] == before[0],
        "{after}"
    );
    let listed = network.hub.ok(&["hub", "address", "list"])?;
    ensure!(listed["addresses"] == after, "{listed}");
    network.station.ok(&["sync"])?;
    let known = network.station.ok(&["hub", "address", "list"])?["addresses"].clone();
    ensure!(
        known.as_array().is_some_and(|it| it.contains(&after[0])),
        "{known}"
    );
    let card = invite(&network)?;
    ensure!(card["hub_addresses"] == after, "{card}");

    network.hub_stops()?;
    network.daemon = Some(network.hub.run(&place)?);
    network.station.add(&[opinion("moved")])?;
    network.station.ok(&["sync"])?;
    ensure!(network.station.ok(&["status"])?["unreceipted"] == 0);
    // It was found there, and is looked for there first.
    let known = network.station.ok(&["hub", "address", "list"])?["addresses"].clone();
    ensure!(known[0] == place.as_str(), "{known}");

    let gone = before[0].as_str().context("no address")?;
    let left = network.hub.ok(&["hub", "address", "remove", gone])?["addresses"].clone();
    ensure!(left.as_array().map(Vec::len) == Some(1), "{left}");
    network
        .hub
        .call(&["hub", "address", "remove", gone])?
        .fails(4, "LX-6002")?;
    network
        .hub
        .call(&["hub", "address", "remove", &place])?
        .fails(4, "LX-6002")?;
    network
        .hub
        .call(&["hub", "address", "add", "no port"])?
        .fails(4, "LX-4003")?;
    // However many places people add, the one where it answered is kept.
    for nth in 1..=12 {
        let wrong = format!("192.0.2.{nth}:7443");
        network.station.ok(&["peer", "add", &wrong])?;
    }
    let known = network.station.ok(&["hub", "address", "list"])?["addresses"].clone();
    ensure!(
        known
            .as_array()
            .is_some_and(|it| it.contains(&Value::from(place.as_str()))),
        "{known}"
    );
    network
        .station
        .call(&["hub", "address", "add", &place])?
        .fails(6, "LX-2006")?;
    network.hub_stops()
}

/// Whatever the caller's umask is, nobody else on the computer may read what lies here; and a directory in which others
/// may have put something is not used.
#[test]
fn files_are_the_owners_alone_and_an_open_directory_is_refused() -> Result<()> {
    let network = Network::new()?;
    let open = Device::new(network.scratch.join("open"));
    let card = text(&network.scratch.join("open-card"))?;
    let loose = |arguments: &[&str]| -> Result<i32> {
        let plain = open.command(arguments)?;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "umask 0; exec \"$0\" \"$@\""])
            .arg(plain.get_program());
        shell
            .args(plain.get_args())
            .envs(plain.get_envs().filter_map(|(name, it)| Some((name, it?))));
        Ok(Started::new(shell, Vec::new())?
            .finish(lianxin_tests::process::PATIENCE)?
            .exit)
    };
    ensure!(loose(&["hub", "init", "--name", "示例街道", "--recovery-out", &card])? == 0);
    ensure!(loose(&["reproject"])? == 0);
    let out = text(&network.scratch.join("documents"))?;
    ensure!(loose(&["export", "--format", "automerge", "--out", &out])? == 0);
    let mode = |path: &std::path::Path| -> Result<u32> {
        Ok(std::fs::symlink_metadata(path)?.permissions().mode() & 0o777)
    };
    for folder in [&open.directory, &network.scratch.join("documents")] {
        ensure!(
            mode(folder)? == 0o700,
            "{} is {:o}",
            folder.display(),
            mode(folder)?
        );
    }
    for entry in std::fs::read_dir(&open.directory)? {
        let path = entry?.path();
        ensure!(
            mode(&path)? & 0o077 == 0,
            "{} is {:o}",
            path.display(),
            mode(&path)?
        );
    }
    ensure!(mode(std::path::Path::new(&card))? == 0o600);

    std::fs::set_permissions(&open.directory, std::fs::Permissions::from_mode(0o755))?;
    open.call(&["status"])?.fails(6, "LX-1021")?;
    std::fs::set_permissions(&open.directory, std::fs::Permissions::from_mode(0o700))?;
    open.ok(&["status"])?;
    Ok(())
}

/// What is exported is written where it was told, and to nothing that a link there leads to.
#[test]
fn an_export_follows_no_link() -> Result<()> {
    let network = Network::new()?;
    let added = network.station.add(&[opinion("linked")])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let victim = network.scratch.join("victim");
    std::fs::write(&victim, "somebody else's")?;
    let unharmed = || -> Result<()> {
        ensure!(
            std::fs::read(&victim)? == b"somebody else's",
            "a link was followed"
        );
        Ok(())
    };
    for format in ["json", "archive"] {
        for name in ["out", "out.part"] {
            let link = network.scratch.join(name);
            drop(std::fs::remove_file(&link));
            symlink(&victim, &link)?;
        }
        let out = text(&network.scratch.join("out"))?;
        network
            .station
            .ok(&["export", "--format", format, "--out", &out])?;
        unharmed()?;
    }
    let folder = network.scratch.join("documents");
    std::fs::create_dir(&folder)?;
    for end in ["json", "automerge"] {
        symlink(&victim, folder.join(format!("{id}.{end}")))?;
    }
    let export = |out: &std::path::Path| -> Result<_> {
        network
            .station
            .call(&["export", "--format", "automerge", "--out", &text(out)?])
    };
    export(&folder)?.exits(0)?;
    unharmed()?;
    let elsewhere = network.scratch.join("elsewhere");
    symlink(&folder, &elsewhere)?;
    export(&elsewhere)?.fails(4, "LX-6002")?;
    Ok(())
}
