//! The first run in the browser: `lianxin` without a command, or `setup`, makes a hub or joins one, and goes on as the node at the same address.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Daemon, Device, LOOPBACK, Network, Scratch, opinion, text};
use serde_json::Value;

use crate::pages::{Answer, Browser};

/// The first run, at ports that the system chooses.
fn setup(device: &Device) -> Result<Command> {
    let mut command = device.command(&["setup"])?;
    command
        .env("LIANXIN_WEB__LISTEN", LOOPBACK)
        .env("LIANXIN_SYNC__LISTEN", LOOPBACK);
    Ok(command)
}

/// Starts it where there is no store, and comes in by its link.
fn begun(device: &Device) -> Result<(Daemon, Browser, String)> {
    let daemon = Device::begin(setup(device)?)?;
    let event = daemon.event()?;
    ensure!(event["event"] == "first-run", "{event}");
    let url = event["url"].as_str().context("no link")?.to_owned();
    let (browser, page) = Browser::through(&url)?;
    ensure!(page.status == 200, "{}", page.status);
    Ok((daemon, browser, url))
}

/// What a page that goes on by itself leads to.
fn onward(page: &Answer) -> Result<String> {
    let url = page.body.split("content=\"0;url=").nth(1);
    let url = url.and_then(|rest| rest.split('"').next());
    Ok(url.with_context(|| page.body.clone())?.to_owned())
}

fn piece<'a>(page: &'a Answer, before: &str) -> Vec<&'a str> {
    let pieces = page.body.split(before).skip(1);
    pieces.filter_map(|rest| rest.split('<').next()).collect()
}

fn encoded(text: &str) -> String {
    text.bytes().map(|it| format!("%{it:02X}")).collect()
}

fn invite(network: &Network, more: &[&str]) -> Result<Value> {
    let arguments = [
        &["invite", "create", "--site", "EM1", "--role", "station"],
        more,
    ]
    .concat();
    network.hub.ok(&arguments)
}

#[test]
fn a_clerk_joins_by_clicking_and_lands_on_the_work_page() -> Result<()> {
    let network = Network::new()?;
    let fresh = Device::new(network.scratch.join("fresh"));
    let (mut daemon, browser, url) = begun(&fresh)?;
    // The link works once, and nobody gets in without it.
    let (stranger, again) = Browser::through(&url)?;
    ensure!(again.status == 403 && stranger.get("/")?.status == 403);
    ensure!(stranger.post("/hub", "name=a&code=ABCD")?.status == 403);
    let forged = browser.ask("POST", "/stop", "Sec-Fetch-Site: cross-site\r\n", "")?;
    ensure!(forged.status == 403);
    let page = browser.get("/")?;
    for place in ["href=\"/join\"", "href=\"/hub\"", "href=\"/restore\""] {
        ensure!(page.body.contains(place), "{place}");
    }
    ensure!(browser.get("/restore")?.body.contains("备份"));
    // A wrong code keeps what was typed and makes nothing.
    let wrong = browser.post("/join", "invite=7KQ4-M2XP&hub=127.0.0.1")?;
    ensure!(
        wrong.status == 400
            && wrong.body.contains("7KQ4-M2XP")
            && wrong.body.contains("role=\"alert\"")
    );
    let made = invite(&network, &[])?;
    let code = made["invite"].as_str().context("no code")?;
    let form = format!("invite={}&hub={}", encoded(code), network.address);
    let page = browser.follow("/join", &form)?;
    let words: Vec<_> = piece(&page, "<li>")
        .into_iter()
        .filter(|it| it.chars().count() <= 4)
        .collect();
    let met = page.body.contains("class=\"words4\"")
        && page.body.contains("测试站")
        && page.body.contains("EM1B");
    ensure!(met, "{}", page.body);
    fresh.call(&["status"])?.fails(5, "LX-2001")?;
    // To load it again, or to send the form again, changes nothing.
    ensure!(
        browser
            .get("/")?
            .body
            .contains(words.last().context("no words")?)
    );
    ensure!(
        browser
            .follow("/join", &form)?
            .body
            .contains("class=\"words4\"")
    );
    let page = browser.follow("/agree", "")?;
    ensure!(page.body.contains("action=\"/begin\""), "{}", page.body);
    let differs = browser.post("/begin", "new=a-long-sentence&again=another")?;
    ensure!(differs.status == 422);
    let weak = browser.post("/begin", "new=123456&again=123456")?;
    ensure!(weak.status == 400 && weak.body.contains("role=\"alert\""));
    let page = browser.post("/begin", "new=a-long-sentence&again=a-long-sentence")?;
    let link = onward(&page)?;
    let ready = daemon.ready()?;
    // The node has the address that the first pages had.
    let first = url
        .strip_prefix("http://")
        .and_then(|it| it.split('/').next());
    ensure!(ready["web"].as_str() == first, "{ready}");
    let (clerk, _) = Browser::through(&link)?;
    let home = clerk.get("/")?;
    ensure!(home.status == 200 && home.body.contains("登记意见") && home.body.contains("EM1B"));
    ensure!(clerk.post("/logout", "")?.status == 303);
    let name = encoded("工作人员");
    let login = clerk.post("/login", &format!("name={name}&password=a-long-sentence"))?;
    ensure!(
        login.header("location") == Some("/"),
        "the password is not set"
    );
    fresh.add(&[opinion("one")])?;
    fresh.until(&["status"], |status| status.json["unreceipted"] == 0)?;
    daemon.stop()
}

#[test]
fn a_join_that_is_stopped_leaves_nothing() -> Result<()> {
    let network = Network::new()?;
    let fresh = Device::new(network.scratch.join("fresh"));
    let (daemon, browser, _) = begun(&fresh)?;
    let made = invite(&network, &[])?;
    let code = made["invite"].as_str().context("no code")?;
    browser.follow("/join", &format!("invite={code}&hub={}", network.address))?;
    let page = browser.follow("/stop", "")?;
    ensure!(page.body.contains("href=\"/join\""));
    ensure!(!fresh.directory.exists(), "something is left");
    daemon.stop()
}

#[test]
fn a_card_joins_without_a_line_and_records_at_once() -> Result<()> {
    let mut network = Network::new()?;
    let file = text(&network.scratch.join("card.json"))?;
    invite(&network, &["--out", &file])?;
    network.hub_stops()?;
    let fresh = Device::new(network.scratch.join("fresh"));
    let (mut daemon, browser, _) = begun(&fresh)?;
    let card = std::fs::read_to_string(&file)?;
    let page = browser.follow("/join", &format!("invite={}&hub=", encoded(&card)))?;
    ensure!(!page.body.contains("class=\"words4\"") && page.body.contains("action=\"/agree\""));
    browser.follow("/agree", "")?;
    onward(&browser.post("/begin", "later=1")?)?;
    daemon.ready()?;
    let added = fresh.add(&[opinion("one")])?;
    ensure!(
        added["records"][0]["number"]
            .as_str()
            .is_some_and(|it| it.contains("EM1B")),
        "{added}"
    );
    daemon.stop()
}

#[test]
fn a_hub_is_made_once_its_recovery_card_is_in_hand() -> Result<()> {
    let scratch = Scratch::new()?;
    let hub = Device::new(scratch.join("hub"));
    let (mut daemon, browser, _) = begun(&hub)?;
    let bad = browser.post("/hub", "name=abc&code=1")?;
    ensure!(bad.status == 400 && bad.body.contains("value=\"abc\""));
    let page = browser.follow("/hub", &format!("name={}&code=SLJD", encoded("示例街")))?;
    ensure!(!hub.directory.exists(), "made before anyone had the card");
    let file = browser.get("/card.json")?;
    ensure!(
        file.header("content-disposition")
            .is_some_and(|it| it.starts_with("attachment"))
    );
    let card: Value = serde_json::from_str(&file.body)?;
    let root = card["root_key"].as_str().context("no key")?;
    let asked: Vec<usize> = piece(&page, "网络密钥第 ")
        .into_iter()
        .filter_map(|it| it.split(' ').next()?.parse().ok())
        .collect();
    ensure!(asked.len() == 2, "{asked:?}");
    let group = |at: usize| &root[(at - 1) * 4..at * 4];
    let wrong = browser.post("/found", "one=0000&two=zzzz")?;
    ensure!(wrong.status == 422 && !hub.directory.exists());
    let typed = format!(
        "one={}&two={}",
        group(asked[0]),
        group(asked[1]).to_uppercase()
    );
    let page = browser.follow("/found", &typed)?;
    ensure!(page.body.contains("action=\"/begin\""), "{}", page.body);
    let link = onward(&browser.post("/begin", "later=1")?)?;
    daemon.ready()?;
    let (office, _) = Browser::through(&link)?;
    ensure!(office.get("/")?.body.contains("示例街中心"));
    hub.ok(&[
        "site",
        "create",
        "--name",
        "x",
        "--kind",
        "workstation",
        "--code",
        "EM1",
    ])?;
    let made = hub.ok(&["invite", "create", "--site", "EM1", "--role", "station"])?;
    ensure!(
        made["network"] == card["network"],
        "the card of another network: {made}"
    );
    // And it is one that is taken when it is needed.
    let saved = scratch.write("card.json", &file.body)?;
    hub.call(&["hub", "resume", "--card", &saved])?
        .fails(4, "LX-3007")?;
    daemon.stop()
}

/// The desktop icon starts `lianxin`: there is no terminal, and the browser is shown the pages.
#[test]
fn the_desktop_icon_opens_the_browser() -> Result<()> {
    let entry = include_str!("../../deploy/desktop/lianxin.desktop");
    ensure!(entry.lines().any(|line| line == "Exec=lianxin"), "{entry}");
    let scratch = Scratch::new()?;
    let tools = scratch.join("tools");
    std::fs::create_dir(&tools)?;
    let (opener, shown) = (tools.join("xdg-open"), scratch.join("shown"));
    let script = format!(
        "#!/bin/sh\nprintf %s \"$1\" > {0}.new && mv {0}.new {0}\n",
        text(&shown)?
    );
    std::fs::write(&opener, script)?;
    let made = Command::new("chmod").arg("+x").arg(&opener).status()?;
    ensure!(made.success());
    let path = format!("{}:{}", text(&tools)?, std::env::var("PATH")?);
    let mut command = Command::new(lianxin_tests::process::binary()?);
    command
        .arg("--data")
        .arg(scratch.join("fresh"))
        .env("LIANXIN_WEB__LISTEN", LOOPBACK)
        .env("LIANXIN_SYNC__LISTEN", LOOPBACK)
        .env("LIANXIN_STATE", scratch.join("state"))
        .env("PATH", path)
        .env("DISPLAY", ":99")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn()?;
    let deadline = lianxin_tests::process::now() + lianxin_tests::process::PATIENCE;
    while !shown.exists() && lianxin_tests::process::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let url = std::fs::read_to_string(&shown);
    let page = url.as_ref().ok().map(|url| Browser::through(url));
    child.kill()?;
    child.wait()?;
    ensure!(url?.contains("/setup/") && page.context("no page")??.1.status == 200);
    Ok(())
}

#[test]
fn without_a_command_a_store_is_run_and_a_running_one_gives_a_link() -> Result<()> {
    let network = Network::new()?;
    let bare = || -> Result<Command> {
        let mut command = Command::new(lianxin_tests::process::binary()?);
        command
            .arg("--data")
            .arg(&network.station.directory)
            .env("LIANXIN_WEB__LISTEN", LOOPBACK)
            .env("LIANXIN_SYNC__LISTEN", LOOPBACK)
            .env("LIANXIN_STATE", network.scratch.join("state"))
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
        Ok(command)
    };
    let log = std::fs::File::create(network.scratch.join("log"))?;
    let mut child = bare()?
        .stdout(log)
        .stderr(std::process::Stdio::null())
        .spawn()?;
    network
        .station
        .until(&["open"], |opened| opened.exit == 0)?;
    let again = bare()?.output()?;
    let url = String::from_utf8(again.stdout)?;
    let url = url.split_whitespace().find(|it| it.starts_with("http"));
    let page = Browser::through(url.context("no link")?)?.0.get("/");
    child.kill()?;
    child.wait()?;
    ensure!(again.status.success() && page?.status == 200);
    let said = std::fs::read_to_string(network.scratch.join("log"))?;
    ensure!(
        said.contains("ready") && !said.contains("/login/"),
        "{said}"
    );
    // What makes a store leaves the one that is there alone.
    network.station.call(&["setup"])?.fails(4, "LX-1008")?;
    Ok(())
}
