//! What a crash or a lost answer leaves while a device is being set up: nothing that is in the way, and never
//! a second device for one invite.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::hash::parse_hex;
use lianxin_protocol::identity::Signer;
use lianxin_protocol::space::NetworkId;
use lianxin_tests::process::{
    CREATE_SITE, Device, Network, PATIENCE, Scratch, Started, now, opinion, text,
};
use serde_json::{Value, json};

/// Between a station and the hub: keeps back some of what the hub says.
struct Line {
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<std::io::Result<()>>>,
}

/// Longer than every packet of the hub that carries no answer, after the handshake.
const SHORT: usize = 150;

/// Lets handshakes through, and keeps back long packets: the hub's answer to an enrolment and nothing before it.
fn no_answer(_connection: usize, packet: &[u8]) -> bool {
    let handshake = packet.first().is_some_and(|first| first & 0x80 != 0);
    handshake || packet.len() < SHORT
}

/// Lets the enrolment through, and nothing of the session behind it.
fn no_session(connection: usize, _packet: &[u8]) -> bool {
    connection == 1
}

impl Line {
    /// A line to the hub that lets its packets through as `passes` says of the number of the connection, from 1
    /// on, and the packet.
    fn to(hub: &str, passes: fn(usize, &[u8]) -> bool) -> Result<Self> {
        let (near, far) = (
            UdpSocket::bind("127.0.0.1:0")?,
            UdpSocket::bind("127.0.0.1:0")?,
        );
        far.connect(hub)?;
        let address = near.local_addr()?.to_string();
        for socket in [&near, &far] {
            socket.set_read_timeout(Some(Duration::from_millis(2)))?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut bytes = [0; 2_000];
            // Where each connection of the station comes from; the newest is answered.
            let mut stations = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((count, from)) = near.recv_from(&mut bytes) {
                    if !stations.contains(&from) {
                        stations.push(from);
                    }
                    far.send(bytes.get(..count).unwrap_or_default())?;
                }
                if let (Ok(count), Some(station)) = (far.recv(&mut bytes), stations.last()) {
                    let packet = bytes.get(..count).unwrap_or_default();
                    if passes(stations.len(), packet) {
                        near.send_to(packet, station)?;
                    }
                }
            }
            Ok(())
        });
        let thread = Some(thread);
        Ok(Self {
            address,
            stop,
            thread,
        })
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// Digest of the authority log: it changes when anyone is let in.
fn members(network: &Network) -> Result<String> {
    let spaces = network.hub.digests()?;
    let authority = spaces.iter().find(|it| it["kind"] == "authority");
    let digest = authority.and_then(|it| it["log_digest"].as_str());
    Ok(digest.context("no authority log")?.to_owned())
}

#[test]
fn an_answer_that_is_lost_burns_no_invite_and_makes_no_second_device() -> Result<()> {
    let mut network = Network::new()?;
    let code = network.invite("EM1", "laptop")?;
    let before = members(&network)?;
    let laptop = Device::new(network.scratch.join("laptop"));
    let line = Line::to(&network.address, no_answer)?;
    let arguments = ["join", &code, "--hub", &line.address];
    let joining = Started::new(laptop.command(&arguments)?, Vec::new())?;
    let begun = now();
    while members(&network)? == before {
        ensure!(begun.elapsed() < PATIENCE, "the hub let nobody in");
        std::thread::sleep(Duration::from_millis(20));
    }
    let after = members(&network)?;
    joining.kill()?;
    drop(line);
    laptop.call(&["status"])?.fails(5, "LX-2001")?;
    // Another device has no use for the invite, and this one is let in by it again.
    let other = Device::new(network.scratch.join("other"));
    other
        .call(&["join", &code, "--hub", &network.address])?
        .fails(6, "LX-2003")?;
    ensure!(!other.directory.exists(), "a refused join left something");
    // Nobody answers there: what was kept is still kept.
    laptop
        .call(&["join", &code, "--hub", "127.0.0.1:9"])?
        .fails(3, "LX-2005")?;
    let joined = laptop.ok(&["join", &code, "--hub", &network.address])?;
    ensure!(joined["confirmed"] == true, "{joined}");
    ensure!(members(&network)? == after, "a second device was made");
    laptop.ok(&["sync"])?;
    laptop.ok(&["verify"])?;
    ensure!(
        !laptop.directory.join("unfinished").exists(),
        "seeds are left behind"
    );
    network.hub_stops()
}

#[test]
fn a_device_that_is_let_in_and_not_told_where_it_stands_goes_on_with_the_same_invite() -> Result<()>
{
    let mut network = Network::new()?;
    let code = network.invite("EM1", "laptop")?;
    let laptop = Device::new(network.scratch.join("laptop"));
    let line = Line::to(&network.address, no_session)?;
    let before = members(&network)?;
    laptop
        .call(&["join", &code, "--hub", &line.address])?
        .fails(3, "LX-2005")?;
    ensure!(members(&network)? != before, "the hub let nobody in");
    // It has not joined, says so, and keeps what it is known by, whatever else is tried there meanwhile.
    laptop.call(&["status"])?.fails(5, "LX-2001")?;
    let mut elsewhere = Network::new()?;
    laptop
        .call(&["join", &code, "--hub", &elsewhere.address])?
        .fails(6, "LX-2003")?;
    elsewhere.hub_stops()?;
    let other = network.invite("EM1", "laptop")?;
    laptop
        .call(&["join", &other, "--hub", "127.0.0.1:9"])?
        .fails(3, "LX-2005")?;
    let after = members(&network)?;
    laptop.ok(&["join", &code, "--hub", &network.address])?;
    network.hub_stops()?;
    // Whoever has joined can record without a line.
    laptop.add(&[opinion("joined")])?;
    network.hub_back()?;
    laptop.ok(&["sync"])?;
    ensure!(members(&network)? == after, "a second device was made");
    laptop.equals(&network.hub)?;
    network.hub_stops()
}

#[test]
fn a_card_that_was_answered_and_no_more_goes_on_recording_and_is_told_the_rest_on_a_stick()
-> Result<()> {
    let mut network = Network::new()?;
    let line = Line::to(&network.address, no_session)?;
    let path = |name: &str| text(&network.scratch.join(name));
    let (file, request, grant) = (path("invite.json")?, path("request")?, path("grant")?);
    let create = [
        "invite", "create", "--site", "EM1", "--role", "laptop", "--out", &file,
    ];
    network.hub.ok(&create)?;
    let mut card: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    if let Some(addresses) = card.get_mut("hub_addresses") {
        *addresses = json!([line.address]);
    }
    std::fs::write(&file, card.to_string())?;
    let laptop = Device::new(network.scratch.join("laptop"));
    let joined = laptop.ok(&["join", "--file", &file])?;
    let words = joined.get("words").cloned();
    ensure!(joined.get("confirmed") == Some(&json!(true)), "{joined}");
    laptop.add(&[opinion("joined")])?;
    laptop.ok(&["verify"])?;
    let status = laptop.ok(&["status"])?;
    ensure!(status.get("role") == Some(&json!("pending")), "{status}");
    // It has its answer and does not ask again: the words that were compared stay.
    laptop.call(&["sync"])?.fails(3, "LX-2005")?;
    ensure!(laptop.ok(&["status"])?.get("words") == words.as_ref());
    drop(line);
    laptop.ok(&["join", "--request-out", &request])?;
    network
        .hub
        .ok(&["invite", "admit", &request, "--out", &grant])?;
    laptop.ok(&["join", "--grant", &grant])?;
    let status = laptop.ok(&["status"])?;
    ensure!(status.get("role") == Some(&json!("laptop")), "{status}");
    laptop
        .call(&["join", "--request-out", &request])?
        .fails(4, "LX-3007")?;
    laptop.ok(&["sync", "--peer", &network.address])?;
    laptop.equals(&network.hub)?;
    network.hub_stops()
}

#[test]
fn a_crash_anywhere_while_a_store_is_made_is_made_good_by_the_same_command() -> Result<()> {
    let scratch = Scratch::new()?;
    let (mut cut, mut whole) = (0, 0);
    for attempt in 0..24_u64 {
        let hub = Device::new(scratch.join(&format!("hub-{attempt}")));
        let card = text(&scratch.join(&format!("card-{attempt}")))?;
        let init = ["hub", "init", "--name", "示例街道"];
        let making = Started::new(hub.command(&init)?, Vec::new())?;
        std::thread::sleep(Duration::from_millis(3 * attempt));
        making.kill()?;
        let again = [&init[..], &["--recovery-out", &card]].concat();
        let outcome = hub.call(&again)?;
        if outcome.exit == 0 {
            cut += 1;
        } else {
            outcome.fails(4, "LX-1008")?;
            whole += 1;
        }
        hub.ok(&["verify"])?;
        hub.ok(&CREATE_SITE)?;
    }
    ensure!(cut > 0, "no attempt was cut, {whole} were whole");
    Ok(())
}

#[test]
fn what_was_not_finished_is_no_store_and_a_lone_key_is_left_alone() -> Result<()> {
    let scratch = Scratch::new()?;
    let init = ["hub", "init", "--name", "示例街道"];
    let half = Device::new(scratch.join("half"));
    half.ok(&init)?;
    let mark = half.directory.join("unfinished");
    std::fs::write(&mark, "a store is being made here\n")?;
    for command in [&["status"][..], &["verify"], &["run"]] {
        half.call(command)?.fails(5, "LX-2001")?;
    }
    half.ok(&init)?;
    half.ok(&["verify"])?;
    half.call(&init)?.fails(4, "LX-1008")?;

    // The mark of somebody who began while another finished means nothing.
    std::fs::write(&mark, "")?;
    half.call(&init)?.fails(4, "LX-1008")?;
    ensure!(!mark.exists(), "the mark is left");
    half.ok(&["verify"])?;

    let lone = Device::new(scratch.join("lone"));
    std::fs::create_dir(&lone.directory)?;
    let key = lone.directory.join("store.key");
    std::fs::write(&key, "somebody's")?;
    lone.call(&init)?.fails(4, "LX-1008")?;
    ensure!(
        std::fs::read(&key)? == b"somebody's",
        "a key was overwritten"
    );
    Ok(())
}

/// The network that the card in a file belongs to: by the root key on it, not by what it says.
fn network_of(card: &std::path::Path) -> Result<String> {
    let card: Value = serde_json::from_slice(&std::fs::read(card)?)?;
    let root = card.get("root_key").and_then(Value::as_str);
    let root = root.and_then(parse_hex);
    let root = Signer::from_seed(&root.context("no root key")?);
    Ok(NetworkId::of_root(&root.public().0).to_string())
}

#[test]
fn a_killed_hub_init_is_repeated_with_the_same_card_file() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut killed = 0;
    for trigger in [
        "hub/unfinished",
        "card",
        "hub/store.key",
        "hub/lianxin.db",
        "hub/offered",
    ] {
        let base = scratch.join(&trigger.replace('/', "-"));
        std::fs::create_dir(&base)?;
        let hub = Device::new(base.join("hub"));
        let (card, trigger) = (base.join("card"), base.join(trigger));
        let path = text(&card)?;
        let init = ["hub", "init", "--name", "示例街道", "--recovery-out", &path];
        // Killed in the moment in which it has made this file, and once more there or further on.
        for _ in 0..2 {
            let making = Started::new(hub.command(&init)?, Vec::new())?;
            let begun = now();
            while !trigger.exists() {
                ensure!(
                    begun.elapsed() < PATIENCE,
                    "{} is never made",
                    trigger.display()
                );
                std::hint::spin_loop();
            }
            making.kill()?;
        }
        if !base.join("hub/unfinished").exists() {
            // It was done before it was killed: then it is one, and its card stays.
            let before = std::fs::read(&card)?;
            hub.call(&init)?.fails(4, "LX-1008")?;
            ensure!(std::fs::read(&card)? == before, "a card was overwritten");
            continue;
        }
        killed += 1;
        hub.call(&["status"])?.fails(5, "LX-2001")?;
        let made = hub.ok(&init)?;
        ensure!(made["network"] == json!(network_of(&card)?), "{made}");
        ensure!(hub.ok(&["status"])?["network"] == made["network"]);
        // Only the hub's own network is known by it, and it is not replaced any more.
        let other = Device::new(base.join("other"));
        let before = std::fs::read(&card)?;
        other.call(&init)?.fails(2, "LX-1001")?;
        ensure!(std::fs::read(&card)? == before && !other.directory.exists());
    }
    ensure!(killed > 0, "none was killed on the way");
    Ok(())
}

#[test]
fn the_card_of_another_network_is_not_overwritten_by_a_repeated_init() -> Result<()> {
    let scratch = Scratch::new()?;
    let (first, second) = (
        Device::new(scratch.join("first")),
        Device::new(scratch.join("second")),
    );
    let card = text(&scratch.join("card"))?;
    let init = ["hub", "init", "--name", "示例街道", "--recovery-out", &card];
    first.ok(&init)?;
    let before = std::fs::read(&card)?;
    // The second was killed before it wrote anything but its mark.
    std::fs::create_dir(&second.directory)?;
    std::fs::write(
        second.directory.join("unfinished"),
        "a store is being made here\n",
    )?;
    second.call(&init)?.fails(2, "LX-1001")?;
    ensure!(std::fs::read(&card)? == before, "a card was overwritten");
    Ok(())
}
