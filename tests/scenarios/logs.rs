//! Logs: a session that fails among others is followed by its id, at both ends, and no level and no form says what residents did.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lianxin_protocol::identity::short;
use lianxin_protocol::message::{ErrorCode, Message};
use lianxin_tests::process::{
    CANARY, Daemon, Device, LOOPBACK, Network, PATIENCE, Started, now, opinion,
};
use serde_json::{Value, json};

use crate::abuse::Attacker;
use crate::pages::{Browser, link};

/// What an invite's code or a phone number looks like belongs into no log either.
const PHONE: &str = "000-0000-0001";
const FORMS: [&str; 3] = ["text", "json", "journald"];

fn daemon(device: &Device, listen: &str, form: &str, level: &str) -> Result<Daemon> {
    let mut command = device.command(&["run", "--listen", listen])?;
    command.env("LIANXIN_LOG__FORMAT", form);
    command.env("LIANXIN_LOG__LEVEL", level);
    Device::start(command)
}

/// What a daemon has said in JSON, line by line.
fn lines(daemon: &Daemon) -> Result<Vec<Value>> {
    let log = daemon.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().context("not JSON")
}

/// The session in whose span a line stands.
fn session(line: &Value) -> Option<&Value> {
    let spans = line["spans"].as_array()?;
    spans.iter().find(|span| span["name"] == "session")
}

/// Waits until a daemon has said something of a kind; gives that line.
fn said(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(line) = lines(daemon)?.into_iter().find(&wanted) {
            return Ok(line);
        }
        ensure!(now() < deadline, "not said: {}", daemon.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test]
async fn a_session_that_fails_is_followed_by_its_id_at_both_ends() -> Result<()> {
    let mut network = Network::new()?;
    network.hub_stops()?;
    let hub = daemon(&network.hub, &network.address, "json", "info")?;
    // Sound sessions around one that breaks the protocol.
    let sync = || -> Result<String> {
        let mut command = network.station.command(&["sync"])?;
        command.env("LIANXIN_LOG__LEVEL", "info");
        let sync = Started::new(command, Vec::new())?.finish(PATIENCE)?;
        sync.clone().exits(0)?;
        Ok(sync.stderr)
    };
    network.station.add(&[opinion("a")])?;
    let first = sync()?;
    let attacker = Attacker::enrolled(&network, 31).await?;
    let mut line = attacker.greeted().await?;
    line.send(&Message::Hello(attacker.hello())).await?;
    line.refused(ErrorCode::BadFrame).await?;
    let failed = said(&hub, |line| {
        line["message"] == "the peer broke the protocol"
    })?;
    let second = sync()?;

    let failing = session(&failed).context("not in a session")?;
    ensure!(
        failed["level"] == "WARN" && failed["code"] == "BadFrame",
        "{failed}"
    );
    ensure!(
        failing["peer"] == *short(&attacker.device.public()),
        "{failing}"
    );
    ensure!(
        failing["site"] == "EM1" && failing["side"] == "accepted",
        "{failing}"
    );
    // By session: all that was said in it, from its first line to its last.
    let mut sessions = BTreeMap::<String, Vec<String>>::new();
    for line in lines(&hub)? {
        if let Some(session) = session(&line) {
            let id = session["id"].as_str().context("no id")?.to_owned();
            let message = line["message"].as_str().unwrap_or_default();
            sessions.entry(id).or_default().push(message.to_owned());
        }
    }
    let id = failing["id"].as_str().context("no id")?;
    ensure!(
        sessions.remove(id)
            == Some(vec![
                "connected".to_owned(),
                "the peer broke the protocol".to_owned()
            ]),
        "{id} is not followed"
    );
    let sound = ["connected", "the session ended"].map(str::to_owned);
    for log in [first, second] {
        let id = log
            .split_once("session{id=")
            .and_then(|(_, rest)| rest.split(' ').next());
        let at_hub = sessions.remove(id.context("no session at the station")?);
        ensure!(at_hub.as_deref() == Some(&sound), "{at_hub:?} for {log}");
    }
    ensure!(
        sessions
            .into_values()
            .eq([["a device is let in".to_owned()]])
    );
    hub.stop()
}

/// What clerks and operators do at a device, well and badly.
fn day(device: &Device, address: &str) -> Result<()> {
    let added = device.add(&[opinion("b")])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let feed = |arguments: &[&str], input: Value| device.feed(arguments, input.to_string());
    feed(
        &["record", "set", id, "--file", "-"],
        json!({ "place": { "text": CANARY } }),
    )?;
    feed(
        &["record", "set", id, "--file", "-"],
        json!({ "nothing": CANARY }),
    )?;
    feed(
        &["record", "set", id, "--file", "-"],
        json!({ "urgency": CANARY }),
    )?;
    device.call(&["record", "act", id, CANARY])?;
    device.call(&["record", "show", CANARY])?;
    device.call(&["record", "list", "--search", CANARY])?;
    device.call(&["record", "history", id])?;
    device.call(&["peer", "add", "127.0.0.1:1"])?;
    device.call(&["sync", "--peer", address])?;
    for command in ["verify", "reproject", "digest", "status"] {
        device.call(&[command])?;
    }
    let (browser, _) = Browser::through(&link(device)?)?;
    let encoded: String = CANARY.bytes().map(|it| format!("%{it:02X}")).collect();
    for path in [
        "/",
        "/records",
        "/conflicts",
        "/sync",
        "/queue",
        "/sites",
        "/lookup",
    ] {
        browser.get(path)?;
        browser.get(&format!("{path}?search={encoded}"))?;
    }
    browser.get(&format!("/records/{id}"))?;
    browser.get(&format!("/records/{encoded}"))?;
    browser.get(&format!("/{encoded}"))?;
    let typed = format!("kind=opinion&draft={:032x}&body={encoded}&do=register", 7);
    browser.post(&format!("/drafts/{:032x}", 7), &typed)?;
    let wrong = browser.post("/new/opinion", &format!("{typed}&people_count={encoded}"))?;
    ensure!(wrong.status == 422, "{}", wrong.status);
    let right = browser.post("/new/opinion", &format!("{typed}&category=help"))?;
    ensure!(right.status == 303, "{}", right.status);
    browser.post("/records", &format!("search={encoded}"))?;
    browser.post("/lookup", &format!("number={encoded}&code={encoded}"))?;
    browser.post(&format!("/records/{id}/edit"), &format!("body={encoded}"))?;
    browser.post("/login", &format!("account={encoded}&password={encoded}"))?;
    browser.post("/sync", "")?;
    Ok(())
}

#[test]
fn no_level_and_no_form_says_what_residents_said() -> Result<()> {
    for form in FORMS {
        let mut network = Network::new()?;
        network.hub_stops()?;
        let hub = daemon(&network.hub, &network.address, form, "debug")?;
        let station = daemon(&network.station, LOOPBACK, form, "debug")?;
        day(&network.station, &network.address)?;
        day(&network.hub, &network.address)?;
        for daemon in [&hub, &station] {
            let log = daemon.log();
            ensure!(log.lines().count() > 30, "too little is said: {log}");
            for secret in [CANARY, PHONE, "%E9%87", "\\u91d1", "路灯", "/login/"] {
                let found = log
                    .lines()
                    .find(|line| line.contains(secret) && !line.contains("/login/{"));
                ensure!(found.is_none(), "{form}: {found:?}");
            }
            for line in log.lines() {
                let good = match form {
                    "json" => {
                        serde_json::from_str::<Value>(line).is_ok_and(|it| it["level"].is_string())
                    }
                    "journald" => ["<4>", "<6>", "<7>"].iter().any(|it| line.starts_with(it)),
                    _ => line.starts_with("20"),
                };
                ensure!(good, "{form}: {line}");
            }
            for span in ["session", "command", "page"] {
                ensure!(log.contains(span), "{form}: nothing of a {span}");
            }
            ensure!(log.contains("/records/{id}"), "{form}: no route");
            ensure!(!log.contains(&network.site), "{form}: an id of a record");
        }
        station.stop()?;
        hub.stop()?;
    }
    Ok(())
}
