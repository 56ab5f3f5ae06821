//! A device that never had a line to the hub: it begins with a card, its request and the hub's answer travel on a
//! stick, and what it recorded meanwhile counts. Four words are the same on both screens.

#![expect(
    clippy::indexing_slicing,
    reason = "a reply without the key that is asked for is null, and fails the test"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Device, LOOPBACK, Network, PATIENCE, Started, opinion, text};
use serde_json::{Value, json};

/// A network whose hub is off, and a card of it for a second station.
fn network() -> Result<(Network, String)> {
    let mut network = Network::new()?;
    let card = card(&network)?;
    network.hub_stops()?;
    Ok((network, card))
}

fn card(network: &Network) -> Result<String> {
    let create = ["invite", "create", "--site", "EM1", "--role", "station"];
    let invite = network.hub.ok(&create)?;
    Ok(invite["card"]
        .as_str()
        .context("an invite without a card")?
        .to_owned())
}

/// Sets a device up from a card, far from the hub, and writes its request.
fn waiting(network: &Network, card: &str, name: &str) -> Result<(Device, String, Value)> {
    let device = Device::new(network.scratch.join(name));
    let request = text(&network.scratch.join(&format!("{name}.request")))?;
    // Nobody listens there: the hub is off.
    let joined = device.ok(&["join", card, "--request-out", &request])?;
    ensure!(joined["confirmed"] == false, "{joined}");
    Ok((device, request, joined["words"].clone()))
}

// rule:enrol-invite-open
#[test]
fn a_request_and_a_grant_on_a_stick_make_a_member_and_both_screens_say_the_same_words() -> Result<()>
{
    let (mut network, card) = network()?;
    let grant = text(&network.scratch.join("grant"))?;
    let (device, request, words) = waiting(&network, &card.to_lowercase(), "far")?;
    ensure!(words.as_array().is_some_and(|it| it.len() == 4), "{words}");
    let added = device.add(&[opinion("a")])?;
    ensure!(
        added["records"][0]["number"]
            .as_str()
            .is_some_and(|it| it.starts_with("YJ-SLJD-EM1B-")),
        "{added}"
    );

    let admitted = network
        .hub
        .ok(&["invite", "admit", &request, "--out", &grant])?;
    ensure!(
        admitted["words"] == words && admitted["device_code"] == "EM1B",
        "{admitted}"
    );
    // A stick is lost and written again: the same device, the same rights.
    network
        .hub
        .ok(&["invite", "admit", &request, "--out", &grant])?;
    let joined = device.ok(&["join", "--grant", &grant])?;
    ensure!(
        joined["confirmed"] == true && joined["words"] == words,
        "{joined}"
    );
    let status = device.ok(&["status"])?;
    ensure!(
        status["role"] == "station" && status["words"] == words && status["sites"] == 1,
        "{status}"
    );
    device.ok(&["verify"])?;
    device
        .call(&["join", "--grant", &grant])?
        .fails(4, "LX-3007")?;

    network.hub_back()?;
    device.ok(&["sync", "--peer", &network.address])?;
    let peers = network.hub.ok(&["status"])?;
    let mut peers = peers["peers"].as_array().into_iter().flatten();
    ensure!(
        peers.any(|it| it["device"] == "EM1B" && it["words"] == words),
        "the hub shows other words"
    );
    device.equals(&network.hub)?;
    network.hub_stops()
}

#[test]
fn a_join_over_a_line_shows_the_same_four_words_at_both_ends() -> Result<()> {
    let mut network = Network::new()?;
    let code = network.invite("EM1", "laptop")?;
    let laptop = Device::new(network.scratch.join("laptop"));
    let joined = laptop.ok(&["join", &code, "--hub", &network.address])?;
    laptop.ok(&["sync"])?;
    let status = network.hub.ok(&["status"])?;
    let mut peers = status["peers"].as_array().into_iter().flatten();
    let at_hub = peers.find(|it| it["device"] == joined["device_code"]);
    let at_hub = at_hub.with_context(|| format!("the hub knows no such device: {status}"))?;
    ensure!(at_hub["words"] == joined["words"], "{at_hub} {joined}");
    ensure!(laptop.ok(&["status"])?["words"] == joined["words"]);
    network.hub_stops()
}

// rule:enrol-invite-open rule:stick-invite
#[test]
fn a_card_lets_one_device_in_and_another_that_copied_it_is_turned_away() -> Result<()> {
    let (mut network, card) = network()?;
    let grant = text(&network.scratch.join("grant"))?;
    let (first, first_asks, first_words) = waiting(&network, &card, "first")?;
    let (second, second_asks, second_words) = waiting(&network, &card, "second")?;
    ensure!(first_words != second_words);
    network
        .hub
        .ok(&["invite", "admit", &second_asks, "--out", &grant])?;
    network
        .hub
        .call(&["invite", "admit", &first_asks, "--out", &grant])?
        .fails(6, "LX-2003")?;
    // The answer to one device is nothing to another.
    first
        .call(&["join", "--grant", &grant])?
        .fails(6, "LX-2004")?;
    second.ok(&["join", "--grant", &grant])?;
    ensure!(first.ok(&["status"])?["role"] == "pending");
    // What the first recorded is still there, and it goes on recording.
    first.add(&[opinion("b")])?;
    ensure!(first.records()?.len() == 1);
    network.hub_back()?;
    network.hub_stops()
}

// rule:stick-to-this-hub
#[test]
fn files_that_are_damaged_foreign_or_not_for_this_hub_change_nothing() -> Result<()> {
    let (network, card) = network()?;
    let (device, request, _) = waiting(&network, &card, "far")?;
    let out = text(&network.scratch.join("out"))?;
    let bytes = std::fs::read(&request)?;
    let bent = |at: usize| -> Result<String> {
        let mut bent = bytes.clone();
        *bent.get_mut(at).context("too short")? ^= 1;
        network.scratch.write(&format!("bent-{at}"), bent)
    };
    for wrong in [
        bent(0)?,
        bent(20)?,
        bent(bytes.len() - 1)?,
        network.scratch.write("empty", "")?,
    ] {
        network
            .hub
            .call(&["invite", "admit", &wrong, "--out", &out])?
            .fails(4, "LX-2009")?;
    }
    let pipe = text(&network.scratch.join(""))?;
    network
        .hub
        .call(&["invite", "admit", &pipe, "--out", &out])?
        .fails(4, "LX-2009")?;
    network
        .station
        .call(&["invite", "admit", &request, "--out", &out])?
        .fails(6, "LX-2006")?;
    let other = Network::new()?;
    other
        .hub
        .call(&["invite", "admit", &request, "--out", &out])?
        .fails(4, "LX-2009")?;
    device
        .call(&["join", "--grant", &request])?
        .fails(4, "LX-2009")?;
    let damaged = format!("{}7", card.get(..card.len() - 1).unwrap_or_default());
    let nobody = Device::new(network.scratch.join("nobody"));
    nobody.call(&["join", &damaged])?.fails(4, "LX-2002")?;
    ensure!(
        !nobody.directory.exists(),
        "something was made of a damaged card"
    );
    ensure!(
        network.hub.ok(&["status"])?["role"] == "hub"
            && device.ok(&["status"])?["role"] == "pending"
    );
    ensure!(
        !std::path::Path::new(&out).exists(),
        "an answer was written"
    );
    Ok(())
}

#[test]
fn who_waits_is_confirmed_over_a_line_when_that_comes_first() -> Result<()> {
    let (mut network, card) = network()?;
    let (device, request, _) = waiting(&network, &card, "far")?;
    device.add(&[opinion("a")])?;
    network.hub_back()?;
    device.ok(&["sync"])?;
    ensure!(device.ok(&["status"])?["role"] == "station");
    // The stick arrives late and does no harm.
    let grant = text(&network.scratch.join("grant"))?;
    network
        .hub
        .ok(&["invite", "admit", &request, "--out", &grant])?;
    device
        .call(&["join", "--grant", &grant])?
        .fails(4, "LX-3007")?;
    let listed = network.hub.ok(&["record", "list"])?;
    ensure!(
        listed["records"].as_array().is_some_and(|it| it.len() == 1),
        "{listed}"
    );
    ensure!(listed["records"][0]["state"] != json!("saved") && LOOPBACK.ends_with(":0"));
    network.hub_stops()
}

#[test]
fn an_answer_without_the_order_that_lets_the_device_in_confirms_nothing() -> Result<()> {
    let (network, card) = network()?;
    let grant = text(&network.scratch.join("grant"))?;
    let (device, request, _) = waiting(&network, &card, "far")?;
    network
        .hub
        .ok(&["invite", "admit", &request, "--out", &grant])?;
    let whole = std::fs::read(&grant)?;
    let mut cut = lianxin_protocol::invite::Grant::decode(&whole)?;
    cut.authority.clear();
    let short = network.scratch.write("short", cut.encode())?;
    let taken = device.ok(&["join", "--grant", &short])?;
    ensure!(taken["confirmed"] == false, "{taken}");
    ensure!(device.ok(&["status"])?["role"] == "pending");
    // The whole one still does.
    device.ok(&["join", "--grant", &grant])?;
    ensure!(device.ok(&["status"])?["role"] == "station");
    Ok(())
}

#[test]
fn a_request_can_be_asked_for_again_with_the_same_card_and_not_with_another() -> Result<()> {
    let mut network = Network::new()?;
    let (card, other) = (card(&network)?, card(&network)?);
    network.hub_stops()?;
    let (device, request, words) = waiting(&network, &card, "far")?;
    let before = std::fs::read(&request)?;
    // Into the directory where one stands, and over the file that is there.
    let joined = ["join", &card, "--request-out", "far.request"];
    let mut again = device.command(&joined)?;
    again.current_dir(network.scratch.join(""));
    let again = Started::new(again, Vec::new())?.finish(PATIENCE)?;
    let again = again.exits(0)?;
    ensure!(again["words"] == words, "{again}");
    ensure!(std::fs::read(&request)? == before, "another request");
    device
        .call(&["join", &other, "--request-out", &request])?
        .fails(4, "LX-1008")?;
    ensure!(std::fs::read(&request)? == before, "another request");
    Ok(())
}
