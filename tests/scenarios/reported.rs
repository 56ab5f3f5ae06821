//! What the reports count where DOMAIN 12 says more than one reading would bear: each of these was read wrongly once.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Write;
use lianxin_tests::World;
use lianxin_tests::process::{Device, Network, Outcome, binary};
use lianxin_tests::world::HUB;
use serde_json::{Value, json};

use crate::pages::{Browser, link};

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

fn try_act(device: &Device, id: &str, event: &str, input: &Value) -> Result<Outcome> {
    let act = ["record", "act", id, event, "--file", "-"];
    device.feed(&act, input.to_string())
}

fn act(device: &Device, id: &str, event: &str, input: &Value) -> Result<()> {
    try_act(device, id, event, input)?.exits(0)?;
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
            // However the article is written, it is one.
            &json!({ "consultation": consultation, "article_path": if *result == "partly" { "第1条" } else { "第一条" }, "action": "amend", "original_words": format!("应当更短（测试{result}）。"), "commenter_kind": "resident", "identity_mode": "anonymous", "occurred_on": day }),
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
    ensure!(line["article"] == "第一条" && line["C"] == 6, "{r8}");
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

/// A number of what stands at the sub-district alone is not zero at a station: it is not known there, and no proof says otherwise.
#[test]
fn a_station_says_what_it_does_not_have_and_prints_no_zeros_for_it() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    add(
        hub,
        "training",
        &json!({ "title": "履职培训（测试）", "date": "2025-04-01" }),
    )?;
    station.add(&[opinion("路灯不亮")])?;
    station.ok(&["sync"])?;
    let [here, there] = [station, hub].map(|device| report(device, "R1", &YEAR));
    let (here, there) = (here?, there?);
    let trainings = |report: &Value| {
        let rows = rows(report, "annual");
        let row = rows.into_iter().find(|row| row["item"] == "trainings");
        row.map(|row| (row["period"].clone(), row["ever"].clone()))
    };
    ensure!(
        trainings(&here) == Some((Value::Null, Value::Null)),
        "{here}"
    );
    ensure!(
        trainings(&there).is_some_and(|(period, _)| period.is_number()),
        "{there}"
    );
    ensure!(here["totals"]["F21"].is_null() && there["totals"]["F21"].is_number());
    // Chosen by way of what is not here, it is not known either; nor is a line of which there is none.
    let key = rows(&here, "annual");
    let key = key.into_iter().find(|row| row["item"] == "suggestions-key");
    ensure!(key.is_some_and(|row| row["period"].is_null()), "{here}");
    let here_r8 = report(station, "R8", &YEAR)?;
    ensure!(
        here_r8["totals"]["I"].is_null() && here_r8["totals"]["C"] == 0,
        "{here_r8}"
    );
    // What sites enter is a number in both places.
    ensure!(here["totals"]["F7"] == 0 && there["totals"]["F7"] == 0);
    let away = |report: &Value| {
        let notes = report["notes"].as_array().into_iter().flatten();
        let mut away = notes.filter(|it| it["note"] == "away");
        away.next().map(|it| it["names"].to_string())
    };
    ensure!(away(&here).is_some_and(|it| it.contains("training") && !it.contains("opinion")));
    ensure!(away(&there).is_none());
    let file = network.scratch.join("proof.json");
    let path = file.to_str().context("no path")?;
    station.ok(&[&["report", "R1", "--proof", path], &YEAR[..]].concat())?;
    let proof: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    ensure!(proof.to_string().contains("\"F7\"") && !proof.to_string().contains("\"F21\""));
    let paper = network.scratch.join("r1.csv");
    let path = paper.to_str().context("no path")?;
    station.ok(&[
        &["report", "R1", "--format", "csv", "--out", path],
        &YEAR[..],
    ]
    .concat())?;
    let printed = std::fs::read_to_string(&paper)?;
    ensure!(
        printed.contains("—") && printed.contains("不是零"),
        "{printed}"
    );
    Ok(())
}

/// What A means is printed beside the number of replies of that class, as it is entered here; what nobody entered is named.
#[test]
fn classes_of_replies_are_printed_with_what_they_mean_here() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    for (title, class) in [("甲", "A"), ("乙", "ａ"), ("丙", "C")] {
        let input = json!({
            "title": format!("关于{title}的建议"), "proposal": "测试", "proposer_kind": "single", "lead_deputy": "测试代表甲",
            "collected_on": "2025-01-05",
        });
        let id = add(hub, "deputy_suggestion", &input)?;
        let reported = json!({ "reported_on": "2025-01-10", "doc_no": "测试报1号" });
        let handed = json!({
            "handed_over_on": "2025-02-01", "doc_no": "测试交办1号", "official_no": "测试1号", "handling_mode": "separate",
            "lead_unit": "测试部门",
        });
        let replied = json!({ "replied_on": "2025-03-01", "doc_no": "测试函1号", "reply_form": "letter", "result_class": class });
        for (event, input) in [
            ("sign", json!({})),
            ("review", json!({})),
            ("pass", json!({})),
            ("report_up", reported),
            ("hand_over", handed),
            ("start", json!({})),
            ("reply", replied),
        ] {
            act(hub, &id, event, &input)?;
        }
    }
    let meaning = json!({ "class": "A", "meaning": "已经解决（测试）", "basis": "示例办法" });
    add(hub, "result_class", &meaning)?;
    let r5 = report(hub, "R5", &YEAR)?;
    let classes: Vec<_> = rows(&r5, "classes")
        .into_iter()
        .map(|row| {
            (
                row["class"].clone(),
                row["count"].clone(),
                row["meaning"].clone(),
            )
        })
        .collect();
    ensure!(
        classes
            == [
                (json!("A"), json!(2), json!("已经解决（测试）")),
                (json!("C"), json!(1), Value::Null)
            ],
        "{r5}"
    );
    let note = r5["notes"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|it| it["note"] == "no-class-definition");
    ensure!(note.is_some_and(|it| it["names"] == json!(["C"])), "{r5}");
    Ok(())
}

#[test]
fn topics_are_counted_by_month_and_community_and_devices_are_named_by_code() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let of = |community: &str, nth: usize| {
        let mut one = opinion(&format!("{community}第{nth}件"));
        one["topic"] = json!("utilities");
        one["occurred_on"] = json!("2025-06-02");
        one["place"] = json!({ "community": community });
        one
    };
    let many: Vec<_> = (0..7)
        .map(|nth| of("甲社区", nth))
        .chain([of("乙社区", 9)])
        .collect();
    station.add(&many)?;
    station.ok(&["sync"])?;
    let r11 = report(hub, "R11", &YEAR)?;
    let cells: Vec<_> = rows(&r11, "topic-month-communities")
        .into_iter()
        .map(|row| {
            (
                row["month"].clone(),
                row["community"].clone(),
                row["REC"].clone(),
            )
        })
        .collect();
    // The one that is few is not shown, nor the other, from which it would follow.
    ensure!(
        cells
            == [
                (json!("2025-06"), json!("乙社区"), json!("<5")),
                (json!("2025-06"), json!("甲社区"), json!("kept-too"))
            ],
        "{r11}"
    );
    let r16 = report(hub, "R16", &["--from", "2026-01-01", "--to", "2099-12-31"])?;
    let devices = rows(&r16, "devices");
    ensure!(
        devices.len() == 1 && devices[0]["silent_days"] == 0 && devices[0]["device"] == "EM1A",
        "{r16}"
    );
    Ok(())
}

/// What a step says of a day and of a result fits what is there already.
#[test]
fn a_matter_is_solved_after_it_happened_and_who_agreed_did_not_fail() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let mut said = opinion("路灯不亮");
    said["occurred_on"] = json!("2025-06-02");
    let id = add(station, "opinion", &said)?;
    act(station, &id, "answer_on_spot", &json!({ "text": "已答复" }))?;
    station.ok(&["sync"])?;
    let close = |day: &str| {
        let input =
            json!({ "resolution": "solved", "solved_on": day, "solved_basis": "site_check" });
        try_act(hub, &id, "close", &input)
    };
    close("2025-06-01")?.exits(3)?;
    close("2025-06-02")?.exits(0)?;
    let parties = json!({ "dispute_type": "neighbour", "parties_count": 2, "summary": "漏水" });
    let id = add(station, "mediation", &parties)?;
    let agree = |result: &str| {
        let input =
            json!({ "result": result, "agreed_on": "2025-06-02", "agreement_form": "oral" });
        try_act(station, &id, "agree", &input)
    };
    agree("failed")?.exits(3)?;
    agree("partly")?.exits(0)?;
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

/// What a station cannot do for somebody it passes to a point that can: the sub-district sees to whom, and both are counted.
#[test]
fn a_matter_that_is_passed_to_another_site_is_counted_where_it_left_and_where_it_went() -> Result<()>
{
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    hub.ok(&[
        "site",
        "create",
        "--code",
        "LS1",
        "--name",
        "示例律所采集点",
        "--kind",
        "collection_point",
    ])?;
    station.ok(&["sync"])?;
    let mut said = opinion("想请律师看一下合同");
    said["occurred_on"] = json!("2025-06-02");
    let id = add(station, "opinion", &said)?;
    act(
        station,
        &id,
        "transfer",
        &json!({ "transferred_to": "LS1", "on": "2025-06-03", "text": "请接待（测试）" }),
    )?;
    station.ok(&["sync"])?;
    let to = hub.ok(&[
        "record",
        "list",
        "--kind",
        "opinion",
        "--where",
        "transferred_to=LS1",
    ])?;
    ensure!(to["records"].as_array().map(Vec::len) == Some(1), "{to}");
    let r2 = report(hub, "R2", &YEAR)?;
    let passed: Vec<_> = rows(&r2, "stations")
        .iter()
        .map(|row| {
            (
                row["code"].clone(),
                row["passed_on"].clone(),
                row["passed_here"].clone(),
            )
        })
        .collect();
    ensure!(
        passed
            == [
                (json!("EM1"), json!(1), json!(0)),
                (json!("LS1"), json!(0), json!(1))
            ],
        "{r2}"
    );
    // It goes to a site that is there, and not to its own.
    for nowhere in ["火星站", "EM1"] {
        let input = json!({ "transferred_to": nowhere });
        try_act(station, &id, "transfer", &input)?.exits(3)?;
    }
    // At a station it is not known what others passed there; the sub-district is told.
    let here = report(station, "R2", &YEAR)?;
    ensure!(
        rows(&here, "stations")[0]["passed_here"].is_null(),
        "{here}"
    );
    let (browser, _) = Browser::through(&link(hub)?)?;
    ensure!(
        browser.get("/inbox")?.body.contains("移交其他站点"),
        "nobody is told"
    );
    // It is handled on all the same.
    act(hub, &id, "accept", &json!({}))?;
    station.ok(&["sync"])?;
    ensure!(station.ok(&["record", "show", &id])?["status"] == "accepted");
    Ok(())
}

/// The plan of a year is read at every site, is adopted by a step, and at its end says what came of it.
#[test]
fn a_plan_of_the_year_comes_to_every_site_and_is_summed_up() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let plan = json!({ "year": 2025, "title": "2025年工作计划（测试）", "text": "每月接待一次" });
    let id = add(hub, "work_plan", &plan)?;
    act(hub, &id, "adopt", &json!({ "adopted_on": "2025-01-08" }))?;
    station.ok(&["sync"])?;
    let read = station.ok(&["record", "show", &id])?;
    ensure!(
        read["status"] == "adopted" && read.to_string().contains("每月接待一次"),
        "{read}"
    );
    let summary = json!({ "summary": "接待12次" });
    try_act(station, &id, "sum_up", &summary)?.exits(6)?;
    act(hub, &id, "sum_up", &summary)?;
    station.ok(&["sync"])?;
    ensure!(station.ok(&["record", "show", &id])?["status"] == "summed_up");
    Ok(())
}

/// An issued report prints as it was issued; what a correction made of its numbers is shown beside it, and what arrived later is not.
#[test]
fn what_was_corrected_after_a_report_was_issued_is_shown_beside_it() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let mut said = opinion("路灯不亮");
    said["topic"] = json!("utilities");
    said["occurred_on"] = json!("2025-06-02");
    let id = add(station, "opinion", &said)?;
    station.ok(&["sync"])?;
    let issued = hub.ok(&[&["report", "R11", "--issue"], &YEAR[..]].concat())?;
    let issued = issued["id"].as_str().context("no report")?.to_owned();
    let (browser, _) = Browser::through(&link(hub)?)?;
    let compared = || -> Result<String> {
        let page = browser
            .get(&format!("/reports/issued/{issued}?compare=1"))?
            .body;
        let section = page
            .split("id=\"h-changed\"")
            .nth(1)
            .context("nothing is compared")?;
        Ok(section
            .split("</section>")
            .next()
            .unwrap_or_default()
            .to_owned())
    };
    ensure!(
        compared()?.contains("每个数字都和定稿一样"),
        "{}",
        compared()?
    );
    // What comes later is in no number of that day.
    add(station, "opinion", &said)?;
    station.ok(&["sync"])?;
    ensure!(
        compared()?.contains("每个数字都和定稿一样"),
        "{}",
        compared()?
    );
    let set = hub.feed(
        &["record", "set", &id, "--file", "-"],
        json!({ "topic": "environment" }).to_string(),
    )?;
    set.exits(0)?;
    let changed = compared()?;
    ensure!(
        changed.contains("生态环境") && changed.contains("按领域和月份"),
        "{changed}"
    );
    ensure!(!changed.contains("每个数字都和定稿一样"), "{changed}");
    let plain = browser.get(&format!("/reports/issued/{issued}"))?.body;
    ensure!(!plain.contains("id=\"h-changed\""), "nobody asked for it");
    Ok(())
}

/// A step that says a dispute was not settled goes before a field that says it was.
#[test]
fn a_dispute_that_was_not_settled_is_counted_as_none_whatever_its_field_says() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let dispute = json!({ "dispute_type": "neighbour", "parties_count": 2, "summary": "漏水", "date": "2025-06-02" });
    let id = add(station, "mediation", &dispute)?;
    let early = json!({ "agreed_on": "2025-06-01", "agreement_form": "oral" });
    try_act(station, &id, "agree", &early)?.exits(3)?;
    act(station, &id, "fail", &json!({}))?;
    let set = json!({ "result": "agreed", "agreed_on": "2025-06-03", "agreement_form": "written" });
    station
        .feed(&["record", "set", &id, "--file", "-"], set.to_string())?
        .exits(0)?;
    // Brought over from an older table, with no steps, the field is all there is.
    add(
        station,
        "mediation",
        &json!({ "dispute_type": "neighbour", "parties_count": 2, "summary": "噪声", "date": "2025-06-02", "result": "agreed", "agreed_on": "2025-06-04", "agreement_form": "oral" }),
    )?;
    station.ok(&["sync"])?;
    let figures = report(&network.hub, "figures", &YEAR)?;
    ensure!(figures["totals"]["F13"] == 1, "{figures}");
    Ok(())
}

/// What is typed at once is held to the order of days that the steps are held to; what was so before may be corrected bit by bit.
#[test]
fn nothing_is_entered_as_solved_before_it_happened() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let of = |day: &str| {
        let mut said = opinion("路灯不亮");
        said["occurred_on"] = json!("2025-06-02");
        said["resolution"] = json!("solved");
        said["solved_on"] = json!(day);
        said["solved_basis"] = json!("document");
        said
    };
    let add_one = ["record", "add", "--kind", "opinion", "--file", "-"];
    let refused = station
        .feed(&add_one, of("2025-06-01").to_string())?
        .exits(3)?;
    ensure!(refused["refused"][0]["code"] == "before", "{refused}");
    let id = add(station, "opinion", &of("2025-06-02"))?;
    // What a step would have set is the sub-district's to correct.
    station.ok(&["sync"])?;
    let set = |input: Value| {
        let hub = &network.hub;
        hub.feed(&["record", "set", &id, "--file", "-"], input.to_string())
    };
    set(json!({ "occurred_on": "2025-06-03" }))?.exits(3)?;
    set(json!({ "occurred_on": "2025-06-03", "solved_on": "2025-06-04" }))?.exits(0)?;
    set(json!({ "topic": "utilities" }))?.exits(0)?;
    Ok(())
}

/// An opinion of a station that the hub has handled to its answer.
fn answered(network: &Network, said: &Value) -> Result<String> {
    let (hub, station) = (&network.hub, &network.station);
    let id = add(station, "opinion", said)?;
    station.ok(&["sync"])?;
    for (event, input) in [
        ("accept", json!({})),
        (
            "dispatch",
            json!({ "lead": "测试城管办", "due_on": "2099-12-01" }),
        ),
        ("sign", json!({})),
        (
            "submit_reply",
            json!({ "resolution": "explained", "text": "已修好（测试）。" }),
        ),
        ("approve", json!({})),
    ] {
        act(hub, &id, event, &input)?;
    }
    Ok(id)
}

#[test]
fn a_time_that_would_end_before_it_begins_is_counted_nowhere_and_said_so() -> Result<()> {
    const EVER: [&str; 4] = ["--from", "2025-01-01", "--to", "2099-12-31"];
    let network = Network::new()?;
    let id = answered(&network, &opinion("路灯不亮（测试）"))?;
    let early = json!({ "on": "2025-06-01", "way": "phone" });
    act(&network.hub, &id, "inform", &early)?;
    let r3 = report(&network.hub, "R3", &EVER)?;
    let times = rows(&r3, "times");
    let has = |item: &str| times.iter().any(|row| row["item"] == item);
    ensure!(has("t-reply") && !has("t-inform"), "{times:?}");
    let said = json!([{ "note": "reversed", "count": 1, "names": [] }]);
    ensure!(r3["notes"] == said, "{}", r3["notes"]);
    // Each time is told apart by unit, topic and site.
    let split = rows(&r3, "reply-by");
    let by = |group: &str, item: &str, of: &str| {
        let mut rows = split.iter();
        rows.any(|row| row["group"] == group && row["item"] == item && row["of"] == of)
    };
    ensure!(by("by-site", "t-acc", "测试站"), "{split:?}");
    ensure!(by("by-unit", "t-reply", "测试城管办"), "{split:?}");
    Ok(())
}

/// What somebody typed of a result makes no case of a matter: it was accepted, or answered and closed.
#[test]
fn a_matter_counts_as_solved_once_it_was_accepted_or_answered_and_closed() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let result =
        json!({ "resolution": "solved", "solved_on": "2025-07-01", "solved_basis": "document" });
    let typed = |body: &str| -> Result<String> {
        let mut said = opinion(body);
        said["occurred_on"] = json!("2025-06-02");
        said["channel"] = json!("reception");
        for (key, value) in result.as_object().into_iter().flatten() {
            said[key] = value.clone();
        }
        add(station, "opinion", &said)
    };
    let solved = || -> Result<(i64, i64)> {
        let r1 = report(hub, "R1", &YEAR)?;
        let of = |item: &str| {
            let rows = rows(&r1, "annual");
            let row = rows.into_iter().find(|row| row["item"] == item);
            row.and_then(|row| row["period"].as_i64())
                .context("no line")
        };
        Ok((of("solved")?, of("solved-received")?))
    };
    // Registered here, and waiting there.
    let waits = typed("只登记（测试）")?;
    ensure!(solved()? == (0, 0));
    station.ok(&["sync"])?;
    ensure!(solved()? == (0, 0));
    let answered = typed("当场答复（测试）")?;
    act(
        station,
        &answered,
        "answer_on_spot",
        &json!({ "text": "已答复" }),
    )?;
    station.ok(&["sync"])?;
    ensure!(solved()? == (0, 0));
    act(hub, &answered, "close", &result)?;
    ensure!(solved()? == (1, 1));
    act(hub, &waits, "accept", &json!({}))?;
    ensure!(solved()? == (2, 2));
    // One of two that are merged, of which the other came through no reception: one case, two slips.
    let mut main = opinion("并入的主件（测试）");
    main["occurred_on"] = json!("2025-06-02");
    let main = add(station, "opinion", &main)?;
    let slip = typed("并入的（测试）")?;
    station.ok(&["sync"])?;
    for id in [&main, &slip] {
        act(hub, id, "accept", &json!({}))?;
    }
    act(hub, &slip, "merge", &json!({ "merged_into": main }))?;
    let set = ["record", "set", &main, "--file", "-"];
    hub.feed(&set, result.to_string())?.exits(0)?;
    ensure!(solved()? == (3, 3));
    let r1 = report(hub, "R1", &YEAR)?;
    let since = report(hub, "R1", &["--from", "2025-01-01", "--to", "2099-12-31"])?;
    for (r1, item, count) in [
        (&r1, "accepted", 3),
        (&r1, "cases", 2),
        (&r1, "solved-slips", 4),
        // It was closed when this test ran.
        (&r1, "closed", 0),
        (&since, "closed", 1),
    ] {
        let rows = rows(r1, "annual");
        let row = rows.into_iter().find(|row| row["item"] == item);
        ensure!(
            row.is_some_and(|row| row["period"] == count),
            "{item}: {r1}"
        );
    }
    // Of years before, brought over by the sub-district with what came of it.
    let mut before = opinion("往年的（测试）");
    before["occurred_on"] = json!("2025-06-02");
    for (key, value) in result.as_object().into_iter().flatten() {
        before[key] = value.clone();
    }
    add(hub, "opinion", &before)?;
    ensure!(solved()? == (4, 3));
    // Handled: its result is whatever comes of it.
    act(
        hub,
        &waits,
        "dispatch",
        &json!({ "lead": "测试城管办", "due_on": "2099-12-01" }),
    )?;
    ensure!(solved()? == (3, 2));
    Ok(())
}

/// What a figure leaves out, or is made up of, stands beside it wherever it is printed.
#[test]
fn what_is_not_counted_by_name_is_footnoted_and_parts_stand_beside_their_sum() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    for name in ["测试代表甲", "测试代表戊"] {
        let deputy = json!({ "name": name, "level": "district" });
        add(hub, "deputy", &deputy)?;
    }
    for (kind, input) in [
        (
            "reception",
            json!({ "date": "2025-04-01", "deputies_present": ["测试代表甲", "测试代表乙"] }),
        ),
        (
            "visit",
            json!({ "date": "2025-04-02", "mode": "enterprise", "targets_count": 3 }),
        ),
    ] {
        let id = add(hub, kind, &input)?;
        for event in ["record", "confirm"] {
            act(hub, &id, event, &json!({}))?;
        }
    }
    for (name, host) in [
        ("一站", "community"),
        ("二站", "community"),
        ("三站", "park"),
    ] {
        add(
            hub,
            "service_unit",
            &json!({ "name": name, "host_kind": host }),
        )?;
    }
    let stream = json!({ "subject": "测试直播", "started_at": "2025-05-01T19:00:00+08:00", "session_no": 1, "cumulative_viewers": 70, "discussants": 7 });
    let stream = add(hub, "livestream", &stream)?;
    for event in ["record", "confirm"] {
        act(hub, &stream, event, &json!({}))?;
    }
    let notes = |id: &str, note: &str| -> Result<Value> {
        let report = report(hub, id, &YEAR)?;
        let notes = report["notes"].as_array().context("no notes")?;
        let found = notes.iter().find(|it| it["note"] == note);
        Ok(found.cloned().unwrap_or_default())
    };
    // The sheet of one deputy, by command and on the page.
    let sheet = report(
        hub,
        "R10",
        &[&YEAR[..], &["--deputy", "测试代表甲"]].concat(),
    )?;
    ensure!(
        rows(&sheet, "deputies").len() == 1 && sheet["notes"] == json!([]),
        "{sheet}"
    );
    ensure!(rows(&sheet, "deputies")[0]["receptions"] == 1, "{sheet}");
    hub.call(&["report", "R1", "--deputy", "测试代表甲"])?
        .exits(4)?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let page = |more: &str| -> Result<String> {
        let page = format!("/reports/R10?from=2025-01-01&to=2025-12-31{more}");
        Ok(browser.get(&page)?.body)
    };
    let all = page("")?;
    let option = all.split_once("\">测试代表甲</option>");
    let (before, _) = option.context("nobody to choose")?;
    let (_, id) = before.rsplit_once("value=\"").context("no value")?;
    ensure!(all.contains("<th scope=\"row\">测试代表戊"), "{all}");
    let one = page(&format!("&deputy={id}"))?;
    ensure!(
        !one.contains("<th scope=\"row\">测试代表戊") && one.contains("代表：测试代表甲"),
        "{one}"
    );
    ensure!(notes("R2", "unmatched")?["names"] == json!(["测试代表乙"]));
    for id in ["R15", "figures"] {
        ensure!(notes(id, "no-org")?["count"] == 1, "{id}");
    }
    for (id, table, value) in [
        ("R1", "annual", "period"),
        ("R15", "services", "count"),
        ("figures", "figures", "value"),
    ] {
        let report = report(hub, id, &YEAR)?;
        let rows = rows(&report, table);
        let of = |item: &str| {
            let row = rows.iter().find(|row| row["item"] == item);
            row.map(|row| row[value].clone())
        };
        let parts = (of("units-community"), of("units-elsewhere"));
        ensure!(parts == (Some(json!(2)), Some(json!(1))), "{report}");
        if id == "R1" {
            let session = (of("f5"), of("f6"));
            ensure!(session == (Some(json!(70)), Some(json!(7))), "{report}");
        }
    }
    Ok(())
}

/// What is printed names the day on which it happened, the matter once, and the site by its name.
#[test]
fn letters_and_forms_say_what_people_call_things() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let mut said = opinion("路灯不亮（测试）");
    said["occurred_on"] = json!("2025-06-02");
    let id = answered(&network, &said)?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let letter = browser.get(&format!("/records/{id}/letter"))?.body;
    ensure!(letter.contains("您于2025年6月2日反映"), "{letter}");
    let sheets = hub.ok(&["record", "list", "--kind", "assignment"])?;
    let sheet = sheets["records"][0]["id"].as_str().context("no sheet")?;
    let paper = browser.get(&format!("/records/{sheet}/paper"))?.body;
    ensure!(paper.matches("所属事项").count() == 1, "{paper}");
    ensure!(!paper.contains(&id), "{paper}");
    let held = json!({ "site": "EM1", "date": "2025-04-01" });
    let held = add(hub, "reception", &held)?;
    for page in ["", "/paper"] {
        let page = browser.get(&format!("/records/{held}{page}"))?.body;
        ensure!(
            page.contains("<td>测试站</td>") || page.contains("<dd>测试站</dd>"),
            "{page}"
        );
    }
    Ok(())
}

/// What was decided last year and is still supervised is in this year's ledger too, and what was ended then is not.
#[test]
fn what_is_still_supervised_stands_in_the_next_year_as_well() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let mut made = Vec::new();
    for (place, day) in ["2024-05-01", "2024-06-01", "2025-03-01"]
        .into_iter()
        .enumerate()
    {
        let target = add(hub, "opinion", &opinion(&format!("第{place}件（测试）")))?;
        let input = json!({ "target": target, "level": "sub_district", "decided_on": day });
        made.push(add(hub, "supervision", &input)?);
    }
    let update = json!({ "progress": "已进场（测试）。", "on": "2025-02-01" });
    act(hub, &made[0], "update", &update)?;
    let ended = json!({ "reported_back_on": "2024-12-01" });
    act(hub, &made[1], "close", &ended)?;
    let r6 = report(hub, "R6", &YEAR)?;
    let lines: Vec<_> = rows(&r6, "supervised")
        .into_iter()
        .map(|row| (row["group"].clone(), row["decided_on"].clone()))
        .collect();
    let expected = [
        (json!("decided-before"), json!("2024-05-01")),
        (json!("decided-in"), json!("2025-03-01")),
    ];
    ensure!(lines == expected, "{r6}");
    let first = rows(&r6, "supervised")[0];
    ensure!(first["progressed_on"] == "2025-02-01", "{first}");
    Ok(())
}

#[test]
fn working_days_are_by_the_days_off_that_the_office_entered() -> Result<()> {
    const DAY_MS: u64 = 24 * 3_600_000;
    /// A Monday morning, 1 March 2027.
    const MONDAY_MS: u64 = 1803862800000;
    let mut world = World::with_stations(34, 0)?;
    world.set_clock(HUB, MONDAY_MS)?;
    let notice = json!({"year": 2027, "off": ["2027-03-02"], "notice": "测试放假通知"});
    world.record(HUB, "days_off", notice)?;
    let (id, _) = world.record(HUB, "opinion", opinion("路灯不亮（测试）"))?;
    world.set_clock(HUB, MONDAY_MS + 2 * DAY_MS)?;
    for (event, input) in [
        ("accept", json!({})),
        (
            "dispatch",
            json!({ "lead": "测试城管办", "due_on": "2027-12-01" }),
        ),
        ("sign", json!({})),
        (
            "submit_reply",
            json!({ "resolution": "explained", "text": "已修好（测试）。" }),
        ),
        ("approve", json!({})),
    ] {
        let step = Write::RecordAct {
            id: id.clone(),
            event: event.to_owned(),
            input,
            account: None,
        };
        world.call(HUB, step)?;
    }
    world.heal()?;
    world.stop(HUB)?;
    let hub = Device::new(world.node(HUB)?.directory.clone());
    let r3 = report(&hub, "R3", &["--from", "2027-01-01", "--to", "2027-12-31"])?;
    let days = |item: &str| {
        let rows = rows(&r3, "times");
        let row = rows.into_iter().find(|row| row["item"] == item);
        row.map(|row| row["max"].clone())
    };
    let both = (days("t-reply"), days("t-reply-working"));
    ensure!(both == (Some(json!(2.0)), Some(json!(1.0))), "{r3}");
    Ok(())
}
