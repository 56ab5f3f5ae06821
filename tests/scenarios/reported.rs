//! What the reports count where DOMAIN 12 says more than one reading would bear: each of these was read wrongly once.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Device, Network, binary};
use serde_json::{Value, json};

const YEAR: [&str; 4] = ["--from", "2025-01-01", "--to", "2025-12-31"];

/// Records one thing; its id.
fn add(device: &Device, kind: &str, input: &Value) -> Result<String> {
    let add = ["record", "add", "--kind", kind, "--file", "-"];
    let added = device.feed(&add, input.to_string())?.exits(0)?;
    Ok(added["records"][0]["id"]
        .as_str()
        .context("no id")?
        .to_owned())
}

fn act(device: &Device, id: &str, event: &str, input: &Value) -> Result<()> {
    let act = ["record", "act", id, event, "--file", "-"];
    device.feed(&act, input.to_string())?.exits(0)?;
    Ok(())
}

fn report(device: &Device, id: &str, period: &[&str]) -> Result<Value> {
    device.ok(&[&["report", id], period].concat())
}

fn rows<'a>(report: &'a Value, table: &str) -> Vec<&'a Value> {
    let rows = report["rows"].as_array().into_iter().flatten();
    rows.filter(|row| row["table"] == table).collect()
}

fn opinion(body: &str) -> Value {
    json!({ "category": "help", "body": body, "identity_mode": "anonymous" })
}

#[test]
fn what_is_adopted_is_counted_against_all_that_was_said_and_partly_stands_apart() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let consultation = add(
        hub,
        "legis_consultation",
        &json!({ "issuer": "city", "draft_title": "测试条例", "received_on": "2025-03-01", "site_due_on": "2025-03-31" }),
    )?;
    act(hub, &consultation, "open", &json!({}))?;
    station.ok(&["sync"])?;
    let results = ["adopted", "partly", "not_adopted", "deferred"];
    let mut comments = Vec::new();
    for (day, result) in (10..).zip(results.iter().chain([&"none", &"unsent"])) {
        // The last came after the closing, of which its station had not heard.
        let day = if *result == "unsent" {
            "2025-04-02".to_owned()
        } else {
            format!("2025-03-{day}")
        };
        comments.push(add(
            station,
            "legis_comment",
            &json!({ "consultation": consultation, "article_path": "第一条", "action": "amend", "original_words": format!("应当更短（测试{result}）。"), "commenter_kind": "resident", "identity_mode": "anonymous", "occurred_on": day }),
        )?);
    }
    station.ok(&["sync"])?;
    let mut sent = Vec::new();
    for (result, comment) in results.iter().chain([&"none"]).zip(&comments) {
        let item = add(
            hub,
            "legis_item",
            &json!({ "consultation": consultation, "article_path": "第一条", "text": format!("改短（{result}）。"), "sources": [comment] }),
        )?;
        act(hub, &item, "approve", &json!({}))?;
        sent.push(item);
    }
    let kept = add(
        hub,
        "legis_item",
        &json!({ "consultation": consultation, "article_path": "第一条", "text": "没有上报的。", "sources": [comments[5]] }),
    )?;
    act(hub, &kept, "approve", &json!({}))?;
    let submission = add(
        hub,
        "legis_submission",
        &json!({ "consultation": consultation, "items": sent, "date": "2025-04-15", "receiver": "测试区人大常委会", "document": "测试函1号" }),
    )?;
    act(hub, &submission, "send", &json!({ "on": "2025-04-15" }))?;
    for (result, item) in results.iter().zip(&sent) {
        let adoption = json!({ "adoption": { "result": result, "evidence": "见公布稿（测试）。", "reported_on": "2025-08-01" } });
        act(hub, item, "feed_back", &adoption)?;
    }
    let r8 = report(hub, "R8", &YEAR)?;
    let line = rows(&r8, "articles")[0];
    ensure!(line["S"] == 5 && line["I"] == 6 && line["U"] == 1, "{line}");
    ensure!(line["rate_decided"] == json!({ "n": 1, "of": 4 }), "{line}");
    ensure!(line["rate_partly"] == json!({ "n": 2, "of": 4 }), "{line}");
    ensure!(
        line["rate_fed_back"] == json!({ "n": 4, "of": 5 }),
        "{line}"
    );
    let r2 = report(hub, "R2", &YEAR)?;
    let site = rows(&r2, "stations")[0];
    ensure!(site["adopted"] == 1 && site["submitted"] == 5, "{site}");
    let r9 = report(hub, "R9", &YEAR)?;
    let point = rows(&r9, "points")[0];
    ensure!(point["items"] == 6 && point["partly"] == 1, "{point}");
    let r7 = report(hub, "R7", &YEAR)?;
    ensure!(rows(&r7, "consultations")[0]["late"] == 1, "{r7}");
    Ok(())
}

#[test]
fn an_event_is_of_the_day_on_which_it_was_held_and_nothing_is_of_no_day() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let reception = json!({ "date": "2024-12-20", "visitors_times": 3 });
    let postponed = add(station, "reception", &reception)?;
    act(
        station,
        &postponed,
        "postpone",
        &json!({ "on": "2025-01-10" }),
    )?;
    act(station, &postponed, "hold", &json!({ "on": "2025-01-11" }))?;
    act(station, &postponed, "record", &json!({}))?;
    // Whoever knows better than the step says so.
    let corrected = add(station, "reception", &reception)?;
    act(
        station,
        &corrected,
        "postpone",
        &json!({ "on": "2025-01-10" }),
    )?;
    act(station, &corrected, "record", &json!({}))?;
    let set = ["record", "set", &corrected, "--file", "-"];
    let date = json!({ "date": "2023-05-05" }).to_string();
    station.feed(&set, date)?.exits(0)?;
    let stream = json!({ "subject": "测试直播", "started_at": "2024-12-31T20:00:00+08:00", "session_no": 1 });
    let stream = add(hub, "livestream", &stream)?;
    act(hub, &stream, "postpone", &json!({ "on": "2025-01-02" }))?;
    act(hub, &stream, "record", &json!({}))?;
    act(hub, &stream, "confirm", &json!({}))?;
    let mut late = opinion("年末最后一分钟（测试）");
    late["occurred_at"] = json!("2025-12-31T23:59:00+08:00");
    late["source_event"] = json!(stream);
    add(station, "opinion", &late)?;
    let mut early = opinion("元旦零点（测试）");
    early["occurred_at"] = json!("2024-12-31T16:30:00Z");
    add(station, "opinion", &early)?;
    station.ok(&["sync"])?;
    for id in [&postponed, &corrected] {
        act(hub, id, "confirm", &json!({}))?;
    }
    let shown = hub.ok(&["record", "show", &postponed])?;
    ensure!(shown["fields"]["date"] == "2025-01-11", "{shown}");
    let r2 = report(hub, "R2", &YEAR)?;
    ensure!(
        r2["totals"]["receptions"] == 1 && r2["totals"]["REC"] == 2,
        "{r2}"
    );
    let r14 = report(hub, "R14", &YEAR)?;
    ensure!(rows(&r14, "sessions")[0]["opinions"] == 1, "{r14}");

    let undated = add(
        hub,
        "livestream",
        &json!({ "subject": "没有写时间（测试）" }),
    )?;
    act(hub, &undated, "record", &json!({}))?;
    act(hub, &undated, "confirm", &json!({}))?;
    let long_ago = ["--from", "2010-01-01", "--to", "2010-12-31"];
    let before = report(hub, "figures", &long_ago)?;
    ensure!(before["totals"]["F4"] == 0, "{before}");
    let year = rows(&before, "figures")
        .into_iter()
        .find(|row| row["figure"] == "F17");
    ensure!(year.is_some_and(|row| row["value"].is_null()), "{before}");
    Ok(())
}

#[test]
fn what_is_missing_or_without_effect_is_told_from_what_is_test_data() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    for test in [false, true, false, true] {
        let mut it = opinion("路灯不亮（测试）");
        it["occurred_on"] = json!("2025-06-01");
        it["test_data"] = json!(test);
        add(station, "opinion", &it)?;
    }
    station.ok(&["sync"])?;
    let r17 = report(hub, "R17", &YEAR)?;
    let gaps = rows(&r17, "gaps");
    ensure!(gaps.iter().all(|row| row["missing"] == 0), "{gaps:?}");
    ensure!(gaps.iter().any(|row| row["other_data"] == 2), "{gaps:?}");
    let tests = report(hub, "R17", &[&YEAR[..], &["--test-data"]].concat())?;
    ensure!(
        rows(&tests, "gaps").iter().all(|row| row["missing"] == 0),
        "{tests}"
    );

    // Two accept what only one can.
    let mut once = opinion("只能受理一次（测试）");
    once["occurred_on"] = json!("2025-06-02");
    once["person"] = json!({ "call_name": "测试居民", "phone": "000-0000-0001" });
    once["identity_mode"] = json!("confidential");
    let id = add(station, "opinion", &once)?;
    station.ok(&["sync"])?;
    act(
        station,
        &id,
        "withdraw",
        &json!({ "reason": "不反映了（测试）" }),
    )?;
    act(hub, &id, "accept", &json!({}))?;
    station.ok(&["sync"])?;
    let r17 = report(hub, "R17", &YEAR)?;
    ensure!(r17["totals"]["without_effect"] == 1, "{r17}");
    ensure!(rows(&r17, "quality")[0]["without_effect"] == 1, "{r17}");

    let reveal = ["record", "show", &id, "--reveal", "回电核实（测试）"];
    let accounts = hub.ok(&["account", "list"])?;
    let name = accounts["accounts"][0]["name"]
        .as_str()
        .context("no account")?;
    hub.ok(&[&["--as", name], &reveal[..]].concat())?;
    let r16 = report(hub, "R16", &["--from", "2026-01-01", "--to", "2099-12-31"])?;
    ensure!(r16["totals"]["reveals"] == 1, "{r16}");
    Ok(())
}

#[test]
fn a_report_in_the_terminal_speaks_in_words() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let mut report = std::process::Command::new(binary()?);
    report
        .arg("--data")
        .arg(&hub.directory)
        .args(["report", "R3"]);
    let said = String::from_utf8(report.args(YEAR).output()?.stdout)?;
    ensure!(said.contains("答复时效") && !said.contains("0/0"), "{said}");
    Ok(())
}
