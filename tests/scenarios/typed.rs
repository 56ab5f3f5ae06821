//! What people type is understood whatever input method, editor or scanner it comes from, and the command line helps who mistypes.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::slips;
use lianxin_protocol::log::RecordId;
use lianxin_tests::process::{Network, Scratch, opinion};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

fn encoded(text: &str) -> String {
    text.bytes().map(|it| format!("%{it:02X}")).collect()
}

/// As an input method types it that is set to full width.
fn wide(text: &str) -> String {
    let wide = |c: char| match c {
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
        c => c,
    };
    text.chars().map(wide).collect()
}

#[test]
fn a_slip_is_answered_at_every_device_that_holds_the_record_however_it_is_typed() -> Result<()> {
    let network = Network::new()?;
    let added = network.station.add(&[opinion("one"), opinion("two")])?;
    network.station.ok(&["sync"])?;
    let id = |row: usize| {
        added["records"][row]["id"]
            .as_str()
            .and_then(RecordId::parse)
    };
    let (one, two) = (id(0).context("no id")?, id(1).context("no id")?);
    let number = added["records"][0]["number"]
        .as_str()
        .context("no number")?;
    let (code, qr) = (one.query_code(), slips::scannable(&one, Some("00ff")));
    // At the hub, which has printed no slip.
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let shows = |typed: &str, code: &str| -> Result<bool> {
        let form = format!("number={}&code={}", encoded(typed), encoded(code));
        let answer = browser.follow("/lookup", &form)?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(answer.body.contains("h-standing"))
    };
    let spaced = format!(" {}\u{200b} {}", &code[..4], code[4..].to_lowercase());
    for (typed, code) in [
        (number.to_owned(), code.clone()),
        (wide(&number.to_lowercase()), wide(&spaced)),
        (
            number.replace('-', "—"),
            code.replace('0', "o").replace('1', "l"),
        ),
        (qr.clone(), String::new()),
        (wide(&qr.to_lowercase()), String::new()),
        (qr.clone(), code.clone()),
        (String::new(), qr.clone()),
        (number.to_owned(), qr.clone()),
    ] {
        ensure!(shows(&typed, &code)?, "{typed} {code}");
    }
    for (typed, code) in [
        (number.to_owned(), String::new()),
        (number.to_owned(), two.query_code()),
        (qr.clone(), two.query_code()),
        (qr.clone(), slips::scannable(&two, None)),
        (qr.replace("LX1:", "LX2:"), String::new()),
    ] {
        ensure!(!shows(&typed, &code)?, "{typed} {code}");
    }
    // And the slip has what is understood.
    let slip = browser.follow(&format!("/records/{}/slip", one.hyphenated()), "")?;
    ensure!(slip.body.contains(&code[..4]) && slip.body.contains(&code[4..]));
    network.station.ok(&["status"])?;
    Ok(())
}

#[test]
fn a_search_finds_every_form_of_what_was_written_and_storage_keeps_it() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    for (body, kept) in [
        (
            "甲\r\n\u{feff}路灯\u{200b}\u{b}ＡＢ１２（东）",
            "甲\n路灯\nＡＢ１２（东）",
        ),
        (
            "乙 Cafe\u{301} ｶﾞ \u{fa0a} 👩\u{200d}🔧",
            "乙 Café ｶﾞ 見 👩\u{200d}🔧",
        ),
    ] {
        let added = station.add(&[json!({ "category": "help", "body": body })])?;
        let id = added["records"][0]["id"].as_str().context("no id")?;
        let shown = station.ok(&["record", "show", id])?;
        ensure!(shown["fields"]["body"] == kept, "{shown}");
    }
    let found = |text: &str| -> Result<usize> {
        let list = station.ok(&["record", "list", "--search", text])?;
        Ok(list["records"].as_array().map_or(0, Vec::len))
    };
    for text in [
        "路灯 ab12(东)",
        "甲 路\u{ad}灯",
        "ＡＢ１２",
        "CAFÉ",
        "cafe\u{301}",
        "ガ",
        "見",
        "\u{fa0a}",
        "👩🔧",
        " 乙\t",
        "yj-sljd",
        "ＹＪ－",
    ] {
        ensure!(found(text)? >= 1, "{text}");
    }
    for text in ["cafe", "カ ", "见", "路灯ab13"] {
        ensure!(found(text)? == 0, "{text}");
    }
    // Nothing that is seen asks for nothing.
    ensure!(found("\u{200b}\u{3000}")? == 2);
    station
        .feed(
            &["record", "add", "--kind", "opinion", "--file", "-"],
            json!({ "category": "help", "body": "\u{200b}\u{2028}\u{3164}" }).to_string(),
        )?
        .exits(3)?;
    Ok(())
}

#[test]
fn the_command_line_says_what_was_meant() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let says = |arguments: &[&str], code: &str, hint: &str| -> Result<()> {
        let message = station.call(arguments)?.fails(4, code)?;
        ensure!(message.contains(hint), "{message}");
        Ok(())
    };
    says(
        &["record", "list", "--kind", "opinon"],
        "LX-3004",
        "did you mean opinion?",
    )?;
    says(
        &["record", "list", "--status", "acepted"],
        "LX-6002",
        "did you mean accepted?",
    )?;
    says(
        &["record", "list", "--kind", "site", "--status", "accepted"],
        "LX-6002",
        "statuses",
    )?;
    says(
        &["record", "list", "--state", "megred"],
        "LX-6002",
        "did you mean merged?",
    )?;
    says(
        &["record", "template", "visits"],
        "LX-3004",
        "did you mean visit?",
    )?;
    for twice in [
        r#"{"category":"help","body":"一","body":"二"}"#,
        r#"[{"category":"help","body":"一"},{"category":"help","body":"一","place":{"text":"a","text":"b"}}]"#,
    ] {
        let add = ["record", "add", "--kind", "opinion", "--file", "-"];
        let message = station.feed(&add, twice)?.fails(4, "LX-3003")?;
        ensure!(message.contains("twice"), "{message}");
    }
    ensure!(station.records()?.is_empty());

    // A template is taken as it is once what is needed stands in it.
    let template = station.ok(&["record", "template", "opinion"])?;
    let mut record = template["template"].clone();
    ensure!(record["place"]["community"] == Value::Null && record["urgency"] == "normal");
    let field = |key: &str| -> Option<&Value> {
        template["fields"]
            .as_array()?
            .iter()
            .find(|it| it["field"] == key)
    };
    ensure!(
        field("category").is_some_and(|it| it["required"] == true && it["options"][0].is_string())
    );
    record["category"] = json!("help");
    record["body"] = json!("路灯不亮");
    station.add(&[record])?;
    let kinds = station.ok(&["record", "kinds"])?;
    ensure!(kinds["kinds"][0]["kind"] == "opinion" && kinds["kinds"][0]["statuses"][0].is_string());

    let invite = |expires: &str| {
        let create = [
            "invite",
            "create",
            "--site",
            "EM1",
            "--role",
            "station",
            "--expires",
        ];
        network.hub.call(&[&create, [expires].as_slice()].concat())
    };
    for good in ["3d", "72h", "72", "１４Ｄ"] {
        invite(good)?.exits(0)?;
    }
    for bad in [
        "3w",
        "d",
        "-1h",
        "15d",
        "0",
        "99999999999999999999d",
        "999999999999999999d",
    ] {
        invite(bad)?.exits(4)?;
    }
    Ok(())
}

#[test]
fn accounts_are_added_renamed_and_reset_and_no_password_is_on_a_command_line() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let added = hub.ok(&["account", "add", "李\u{200b}四", "S"])?;
    let first = added["new_password"]
        .as_str()
        .context("no password")?
        .to_owned();
    ensure!(
        added["name"] == "李四" && added["roles"] == json!(["S"]),
        "{added}"
    );
    hub.call(&["account", "add", " 李四"])?.exits(6)?;
    hub.call(&["account", "add", "王五", "X"])?.exits(4)?;
    hub.call(&["account", "rename", "赵六", "王五"])?.exits(4)?;
    let renamed = hub.ok(&["account", "rename", "李四", "李四光"])?;
    ensure!(renamed["account"] == added["account"], "{renamed}");
    hub.ok(&["account", "rename", "李四光", "李四光"])?;
    ensure!(
        hub.call(&["account", "rename", "李四光", "administrator"])?
            .exits(0)
            .is_ok()
    );
    hub.ok(&["account", "rename", "administrator", "李四光"])?;

    let address = link(hub)?;
    let logs_in = |password: &str| -> Result<bool> {
        let (browser, _) = Browser::through(&address)?;
        let form = format!("name={}&password={}", encoded("李四光"), encoded(password));
        Ok(browser.post("/login", &form)?.status == 303)
    };
    ensure!(logs_in(&first)?, "the password that was shown is none");
    let reset = hub.ok(&["account", "reset", "李四光"])?;
    let second = reset["new_password"].as_str().context("no password")?;
    ensure!(!logs_in(&first)? && logs_in(second)?);
    let scratch = Scratch::new()?;
    let file = scratch.write("password", "路灯亮了没有呢\n")?;
    let own = hub.ok(&["account", "reset", "李四光", "--password-file", &file])?;
    ensure!(own.get("new_password").is_none() && logs_in("路灯亮了没有呢")?);
    let weak = scratch.write("weak", "1\n")?;
    hub.call(&["account", "reset", "李四光", "--password-file", &weak])?
        .exits(4)?;
    Ok(())
}
