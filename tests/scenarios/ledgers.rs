//! Tables that come in and go out: an office's own ledger becomes records once however often it comes, what is exported is known again,
//! and what somebody altered in it is named; every report is a table, a workbook and a page.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::sheets::write::{Csv, Value as Cell};
use lianxin_node::sheets::{self, Encoding};
use lianxin_tests::process::{Device, Network, opinion, text};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

/// A table as an office writes it, in the encoding that its program writes.
fn ledger(path: &Path, encoding: Encoding, heads: &[&str], rows: &[&[&str]]) -> Result<()> {
    let mut csv = Csv::begin(std::fs::File::create(path)?, encoding, heads)?;
    for row in rows {
        let cells: Vec<_> = row.iter().map(|it| Cell::Text(it)).collect();
        csv.row(&cells)?;
    }
    csv.finish()?;
    Ok(())
}

fn beside(network: &Network, name: &str) -> Result<PathBuf> {
    let directory = network.hub.directory.parent().context("no directory")?;
    Ok(directory.join(name))
}

#[test]
fn a_ledger_becomes_records_once_and_says_what_is_wrong_with_which_row() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let file = beside(&network, "deputies.csv")?;
    let rows: [&[&str]; 4] = [
        &["测试代表甲", "区", "测试代表团"],
        &["测试代表乙", "市", "测试代表团"],
        &["测试代表丙", "镇", "测试代表团"],
        &["合计", "3", ""],
    ];
    ledger(&file, Encoding::Gb18030, &["姓名", "层级", "代表团"], &rows)?;
    let file = text(&file)?;
    let errors = text(&beside(&network, "errors.xlsx")?)?;
    let import = |more: &[&str]| {
        let mut arguments = vec!["import", file.as_str(), "--kind", "deputy"];
        arguments.extend(more);
        hub.call(&arguments)?.exits(3)
    };
    let tried = import(&["--dry-run"])?;
    ensure!(
        tried["accepted"] == 2 && tried["dry_run"] == true,
        "{tried}"
    );
    let listed = || hub.ok(&["record", "list", "--kind", "deputy"]);
    ensure!(
        listed()?["records"] == json!([]),
        "a dry run records nothing"
    );
    let done = import(&["--errors", &errors])?;
    ensure!(done["accepted"] == 2, "{done}");
    let refused = &done["refused"][0];
    ensure!(refused["row"] == 4 && refused["field"] == "level", "{done}");
    ensure!(listed()?["records"].as_array().map(Vec::len) == Some(2));
    // The rows that were refused come back as they stood, with the reason.
    let back = sheets::read(&std::fs::read(&errors)?, None)?;
    let row = back.rows.first().context("no row came back")?;
    ensure!(&*row.cells[0].text == "测试代表丙" && row.cells[4].text.contains("level"));
    let again = import(&[])?;
    ensure!(again["accepted"] == 2 && again["known"] == 2, "{again}");
    ensure!(listed()?["records"].as_array().map(Vec::len) == Some(2));
    Ok(())
}

/// A ledger as offices have it: a head of two rows that nobody merged, the office's own words, days as its program wrote them.
#[test]
fn a_ledger_comes_in_as_the_office_has_it() -> Result<()> {
    let network = Network::new()?;
    let file = beside(&network, "receptions.csv")?;
    let heads = ["序号", "接待情况", "", "", "备注"];
    let rows: [&[&str]; 4] = [
        &["", "日期", "来访人次", "参加代表", ""],
        &["1", "20260305", "12人次", "测试代表甲", ""],
        &["2", "２０２６年３月６日 09:12", "3", "测试代表乙", ""],
        &["3", "46088", "４ 人", "测试代表甲、测试代表乙", ""],
    ];
    ledger(&file, Encoding::Utf8Bom, &heads, &rows)?;
    let path = text(&file)?;
    let done = network.hub.ok(&["import", &path, "--kind", "reception"])?;
    ensure!(
        done["accepted"] == 3 && done["refused"] == json!([]),
        "{done}"
    );
    let listed = network.hub.ok(&["record", "list", "--kind", "reception"])?;
    let mut held: Vec<(String, i64)> = Vec::new();
    for it in listed["records"].as_array().into_iter().flatten() {
        let id = it["id"].as_str().context("no id")?;
        let fields = network.hub.ok(&["record", "show", id])?["fields"].clone();
        let day = fields["date"].as_str().context("no day")?.to_owned();
        held.push((day, fields["visitors_times"].as_i64().context("nobody")?));
    }
    held.sort();
    let days = ["2026-03-05", "2026-03-06", "2026-03-07"].map(str::to_owned);
    ensure!(held.into_iter().eq(days.into_iter().zip([12, 3, 4])));
    // A column without a name is called by its letter, and can be told by it.
    let plain = beside(&network, "plain.csv")?;
    let rows: [&[&str]; 1] = [&["2026-04-01", "物业（测试）", "5"]];
    ledger(&plain, Encoding::Utf8Bom, &["日期", "主题", ""], &rows)?;
    let path = text(&plain)?;
    let import = ["import", path.as_str(), "--kind", "reception", "--dry-run"];
    let tried = network.hub.ok(&import)?;
    ensure!(tried["left_out"] == json!(["C列"]), "{tried}");
    let said = ["--map", "C列=visitors_times"];
    let tried = network.hub.ok(&[&import[..], &said].concat())?;
    ensure!(tried["columns"][2]["field"] == "visitors_times", "{tried}");
    Ok(())
}

/// What became of items comes from above as a table: it is taken once, and what says otherwise afterwards is named and not taken.
#[test]
fn what_was_adopted_comes_as_a_table_and_is_taken_once() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let feed = |arguments: &[&str], input: Value| hub.feed(arguments, input.to_string());
    let add = |kind: &str, row: Value| -> Result<(String, String)> {
        let added = feed(&["record", "add", "--kind", kind, "--file", "-"], row)?.exits(0)?;
        let text = |key: &str| added["records"][0][key].as_str().map(str::to_owned);
        Ok((
            text("id").context("no id")?,
            text("number").context("no number")?,
        ))
    };
    let mut items = Vec::new();
    for words in ["三十分钟太久。", "保洁电话也要写。", "还没上报的。"] {
        let comment = json!({"original_words": words, "target": "whole", "test_data": true});
        let (comment, _) = add("legis_comment", comment)?;
        let item = json!({"text": words, "sources": [&comment], "test_data": true});
        let (_, item) = add("legis_item", item)?;
        items.push((item, comment));
    }
    for (item, _) in items.iter().take(2) {
        for step in ["approve", "submit"] {
            hub.ok(&["record", "act", item, step])?;
        }
    }
    let number = |at: usize| items[at].0.as_str();
    let heads = ["序号", "编号", "采纳情况", "采纳依据", "反馈日期", "理由"];
    let file = beside(&network, "adopted.csv")?;
    let path = text(&file)?;
    let table = |first: &str| {
        let rows: [&[&str]; 6] = [
            &[
                "1",
                number(0),
                first,
                "测试函〔2026〕9号",
                "2026年9月20日",
                "",
            ],
            &["2", number(1), "不采纳", "", "", "上位法另有规定（测试）"],
            &["3", number(2), "采纳", "", "", ""],
            &["4", "LH-SLJD-HUBA-2026-00099-00", "采纳", "", "", ""],
            &["5", number(0), "采纳", "", "", ""],
            &["6", number(1), "大概", "", "", ""],
        ];
        ledger(&file, Encoding::Utf8Bom, &heads, &rows)
    };
    table("部分采纳")?;
    let import = |more: &[&str]| {
        let mut arguments = vec![
            "import",
            &path,
            "--kind",
            "legis_item",
            "--step",
            "feed_back",
        ];
        arguments.extend(more);
        hub.call(&arguments)?.exits(3)
    };
    let said = |reply: &Value| -> Vec<(u64, String)> {
        let refused = reply["refused"].as_array().into_iter().flatten();
        let said = refused.map(|it| (it["row"].as_u64(), it["code"].as_str()));
        let said = said.map(|(row, code)| (row.unwrap_or(0), code.unwrap_or_default().to_owned()));
        said.collect()
    };
    let status = |at: usize| -> Result<Value> {
        Ok(hub.ok(&["record", "show", number(at)])?["status"].clone())
    };
    let tried = import(&["--dry-run"])?;
    let expected = [
        (4, "not_possible"),
        (5, "no_record"),
        (6, "twice"),
        (7, "twice"),
    ];
    let expected = expected.map(|(row, code)| (row, code.to_owned()));
    ensure!(
        tried["accepted"] == 2 && said(&tried) == expected,
        "{tried}"
    );
    ensure!(status(0)? == "submitted", "a dry run takes nothing");
    let done = import(&[])?;
    ensure!(done["accepted"] == 2 && done["known"] == 0, "{done}");
    for (at, result) in [(0, "partly"), (1, "not_adopted")] {
        for id in [&items[at].0, &items[at].1] {
            let shown = hub.ok(&["record", "show", id])?;
            ensure!(shown["fields"]["adoption"]["result"] == result, "{shown}");
            ensure!(shown["status"] == "fed_back", "{shown}");
        }
    }
    ensure!(status(2)? == "draft");
    let again = import(&[])?;
    ensure!(again["accepted"] == 2 && again["known"] == 2, "{again}");
    // Another result is named.
    table("采纳")?;
    let other = import(&[])?;
    ensure!(other["altered"][0]["number"] == number(0), "{other}");
    ensure!(
        other["altered"][0]["new"] == "采纳" && other["known"] == 1,
        "{other}"
    );
    let shown = hub.ok(&["record", "show", number(0)])?;
    ensure!(shown["fields"]["adoption"]["result"] == "partly", "{shown}");
    hub.call(&["import", &path, "--kind", "legis_item", "--step", "approve"])?
        .fails(4, "LX-6002")?;
    // The page offers it as well, to whoever takes the step.
    let (browser, _) = Browser::through(&link(hub)?)?;
    let offers = |page: &str| page.contains("legis_item/feed_back");
    ensure!(offers(&browser.get("/import")?.body));
    let listed = hub.ok(&["account", "list"])?;
    let name = listed["accounts"][0]["name"].as_str().context("no name")?;
    hub.ok(&["account", "roles", name, "U"])?;
    ensure!(!offers(&browser.get("/import")?.body));
    Ok(())
}

#[test]
fn outside_numbers_come_with_the_rows_and_the_same_rows_once() -> Result<()> {
    let network = Network::new()?;
    let file = beside(&network, "orders.csv")?;
    let rows: [&[&str]; 2] = [
        &["A-001", "3号楼路灯不亮", "求助", "2026年3月4日"],
        &["A-002", "=HYPERLINK(\"x\")", "投诉", "2026/3/5"],
    ];
    ledger(
        &file,
        Encoding::Utf8Bom,
        &["工单号", "诉求内容", "类别", "登记日期"],
        &rows,
    )?;
    let file = text(&file)?;
    let import = ["import", &file, "--kind", "opinion", "--system", "12345"];
    let first = network.station.ok(&import)?;
    ensure!(
        first["accepted"] == 2 && first["left_out"] == json!([]),
        "{first}"
    );
    network.station.ok(&import)?;
    let listed = network
        .station
        .ok(&["record", "list", "--kind", "opinion"])?;
    let records = listed["records"].as_array().context("no list")?;
    ensure!(records.len() == 2, "{listed}");
    let second = |it: &&Value| {
        it["number"]
            .as_str()
            .is_some_and(|it| it.contains("-00002-"))
    };
    let second = records.iter().find(second).context("no second row")?;
    let shown = network
        .station
        .ok(&["record", "show", second["id"].as_str().context("no id")?])?;
    ensure!(
        shown["fields"]["external_ref"][0]["system"] == "12345",
        "{shown}"
    );
    ensure!(
        shown["fields"]["body"] == "=HYPERLINK(\"x\")",
        "the guard of a formula is taken off again: {shown}"
    );
    ensure!(shown["fields"]["occurred_on"] == "2026-03-05", "{shown}");
    Ok(())
}

#[test]
fn what_was_altered_in_an_export_is_named_and_nothing_of_it_is_recorded() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    station.add(&[opinion("路灯不亮"), opinion("电梯坏了")])?;
    for format in ["csv", "xlsx"] {
        let file = text(&beside(&network, &format!("opinions.{format}"))?)?;
        let export = [
            "export", "--format", format, "--kind", "opinion", "--out", &file,
        ];
        let exported = station.ok(&export)?;
        ensure!(exported["records"] == 2, "{exported}");
        let same = station.ok(&["import", &file, "--kind", "opinion"])?;
        ensure!(
            same["known"] == 2 && same["altered"] == json!([]),
            "{format}: {same}"
        );
    }
    let path = beside(&network, "opinions.csv")?;
    let table = std::fs::read_to_string(&path)?;
    std::fs::write(&path, table.replacen("求助", "投诉", 1))?;
    let altered = station.ok(&["import", &text(&path)?, "--kind", "opinion"])?;
    let found = altered["altered"].as_array().context("no list")?;
    ensure!(found.len() == 1, "{altered}");
    ensure!(
        found[0]["field"] == "category" && found[0]["new"] == "投诉",
        "{altered}"
    );
    let listed = station.ok(&["record", "list", "--kind", "opinion"])?;
    ensure!(listed["records"].as_array().map(Vec::len) == Some(2));
    Ok(())
}

#[test]
fn every_report_is_a_page_a_table_and_a_workbook_in_words() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    network.station.add(&[opinion("路灯不亮")])?;
    network.station.ok(&["sync"])?;
    let mut ids: Vec<String> = (1..=18).map(|n| format!("R{n}")).collect();
    ids.push("figures".to_owned());
    for id in &ids {
        for format in ["html", "csv", "xlsx"] {
            let file = beside(&network, &format!("report.{format}"))?;
            let out = text(&file)?;
            let outcome = hub.call(&["report", id, "--format", format, "--out", &out])?;
            ensure!(outcome.exit == 0, "{id} as {format}: {}", outcome.stderr);
            let bytes = std::fs::read(&file)?;
            ensure!(bytes.len() > 100, "{id} as {format} is empty");
            if format != "xlsx" {
                let said = String::from_utf8(bytes)?;
                for code in ["rr-", "rt-", "rc-", "rw-", "rd-", "rn-"] {
                    let raw = said.match_indices(code).find(|(at, _)| {
                        let before = said.get(..*at).and_then(|it| it.chars().next_back());
                        before.is_none_or(|it| !it.is_ascii_alphanumeric())
                    });
                    ensure!(
                        raw.is_none(),
                        "{id} has no word for {:?}",
                        raw.map(|(at, _)| said.get(at..at + 24))
                    );
                }
            }
        }
    }
    hub.call(&["report", "R99"])?.fails(4, "LX-3030")?;
    hub.call(&["report", "R1", "--from", "2026-12-31", "--to", "2026-01-01"])?
        .fails(4, "LX-3031")?;
    Ok(())
}

#[test]
fn an_issued_report_stays_as_it_was_and_what_came_since_is_counted_beside_it() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    station.add(&[opinion("路灯不亮")])?;
    station.ok(&["sync"])?;
    let issued = hub.ok(&["report", "R1", "--issue"])?;
    ensure!(
        issued["number"]
            .as_str()
            .is_some_and(|it| it.starts_with("BB-")),
        "{issued}"
    );
    let as_of = hub.ok(&["record", "show", issued["id"].as_str().context("no id")?])?;
    let as_of = as_of["fields"]["as_of"]
        .as_str()
        .context("no cut-off")?
        .to_owned();
    station.add(&[opinion("电梯坏了")])?;
    station.ok(&["sync"])?;
    let report = |more: &[&str]| {
        let mut arguments = vec!["report", "R11"];
        arguments.extend(more);
        hub.ok(&arguments)
    };
    let then = report(&["--as-of", &as_of])?;
    ensure!(
        then["totals"]["REC"] == 1 && then["late_arrivals"] == 1,
        "{then}"
    );
    let file = beside(&network, "late.csv")?;
    let out = text(&file)?;
    report(&["--as-of", &as_of, "--format", "csv", "--out", &out])?;
    ensure!(std::fs::read_to_string(&file)?.contains("期后补录 1 条"));
    // The page of what was issued counts them too, under what it printed, and opens their list.
    let (browser, _) = Browser::through(&link(hub)?)?;
    let id = issued["id"].as_str().context("no id")?;
    let page = browser.get(&format!("/reports/issued/{id}"))?.body;
    ensure!(page.contains("期后补录 1 条"), "{page}");
    let list = page.split_once("/reports/R1/list?").context("no list")?.1;
    let list = list.split('"').next().unwrap_or_default();
    let list = format!(
        "/reports/R1/list?{}",
        list.replace("&amp;", "&").replace("&#38;", "&")
    );
    let list = browser.get(&list)?.body;
    ensure!(list.contains("1 条记录") && list.contains("YJ-"), "{list}");
    let now = report(&[])?;
    ensure!(
        now["totals"]["REC"] == 2 && now["late_arrivals"] == 0,
        "{now}"
    );
    // Who records at a station issues nothing.
    station
        .call(&["report", "R1", "--issue"])?
        .fails(6, "LX-7006")?;
    let shown: Value = hub.ok(&["record", "list", "--kind", "report_snapshot"])?;
    ensure!(
        shown["records"].as_array().map(Vec::len) == Some(1),
        "{shown}"
    );
    Ok(())
}

#[test]
fn an_import_says_what_it_knew_and_loses_no_text_between_two_columns() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let file = beside(&network, "twice.csv")?;
    let heads = ["反映内容", "类别", "反映内容"];
    ledger(&file, Encoding::Utf8Bom, &heads, &[&["甲", "求助", "乙"]])?;
    let path = text(&file)?;
    let import = |path: &str, more: &[&str]| {
        let mut arguments = vec!["import", path, "--kind", "opinion"];
        arguments.extend(more);
        station.call(&arguments)?.exits(0)
    };
    let first = import(&path, &[])?;
    ensure!(
        first["accepted"] == 1 && first["left_out"] == json!(["反映内容"]),
        "{first}"
    );
    let again = import(&path, &[])?;
    ensure!(again["accepted"] == 1 && again["known"] == 1, "{again}");
    // The same with its columns in another order.
    ledger(
        &file,
        Encoding::Utf8Bom,
        &["类别", "反映内容"],
        &[&["求助", "甲"]],
    )?;
    ensure!(import(&path, &[])?["known"] == 1);
    // What another system says otherwise now is named.
    let orders = ["工单号", "反映内容", "类别"];
    ledger(
        &file,
        Encoding::Utf8Bom,
        &orders,
        &[&["A-1", "路灯不亮", "求助"]],
    )?;
    import(&path, &["--system", "12345"])?;
    ledger(
        &file,
        Encoding::Utf8Bom,
        &orders,
        &[&["A-1", "路灯还是不亮", "求助"]],
    )?;
    let changed = import(&path, &["--system", "12345"])?;
    ensure!(
        changed["known"] == 1 && changed["altered"][0]["field"] == "body",
        "{changed}"
    );
    ensure!(
        changed["altered"].as_array().map(Vec::len) == Some(1),
        "{changed}"
    );
    // A head with fewer names than a row below it has cells is the head.
    std::fs::write(&file, "反映内容,类别\n丙,求助\n丁,求助,看过了\n")?;
    let ragged = import(&path, &[])?;
    ensure!(ragged["accepted"] == 2, "{ragged}");
    Ok(())
}

#[test]
fn money_is_read_in_the_unit_of_its_column_and_test_data_counts_with_what_it_belongs_to()
-> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let file = beside(&network, "gifts.csv")?;
    let path = text(&file)?;
    for (head, amount) in [
        ("金额（万元）", "2"),
        ("金额", "300"),
        ("金额（分）", "4000"),
    ] {
        let heads = ["日期", "捐赠方式", head];
        ledger(
            &file,
            Encoding::Utf8Bom,
            &heads,
            &[&["2026-03-01", "现金", amount]],
        )?;
        hub.call(&["import", &path, "--kind", "donation"])?
            .exits(0)?;
    }
    let report = hub.ok(&[
        "report",
        "figures",
        "--from",
        "2026-01-01",
        "--to",
        "2026-12-31",
    ])?;
    ensure!(
        report["totals"]["F12"] == 2_000_000 + 30_000 + 4_000,
        "{report}"
    );
    let mut tried = opinion("试一试");
    tried["test_data"] = json!(true);
    let added = station.add(&[tried])?;
    station.ok(&["sync"])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    hub.ok(&["record", "act", id, "accept"])?;
    let lead = json!({ "lead": "测试城管科" }).to_string();
    hub.feed(&["record", "act", id, "dispatch", "--file", "-"], lead)?
        .exits(0)?;
    let units = |more: &[&str]| -> Result<usize> {
        let mut arguments = vec!["report", "R12"];
        arguments.extend(more);
        let report = hub.ok(&arguments)?;
        report["rows"].as_array().map(Vec::len).context("no rows")
    };
    ensure!(
        units(&[])? == 0 && units(&["--test-data"])? == 1,
        "{} {}",
        units(&[])?,
        units(&["--test-data"])?
    );
    // Nobody issues what is still to come.
    hub.call(&["report", "R1", "--issue", "--as-of", "2099-01-01"])?
        .fails(4, "LX-3031")?;
    // Who looks at it is told that it may change.
    let is_ahead = |more: &[&str]| -> Result<bool> {
        let report = hub.ok(&[&["report", "R1"], more].concat())?;
        let notes = report["notes"].as_array().context("no notes")?;
        Ok(notes.iter().any(|note| note["note"] == "ahead"))
    };
    ensure!(is_ahead(&["--as-of", "2099-01-01"])? && !is_ahead(&[])?);
    ensure!(!is_ahead(&["--as-of", "2026-01-01"])?);
    Ok(())
}

#[test]
fn a_name_that_was_taken_out_of_a_set_is_named() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let reception =
        json!([{ "date": "2026-03-14", "deputies_present": ["测试代表甲", "测试代表乙"] }]);
    let add = ["record", "add", "--kind", "reception", "--file", "-"];
    station.feed(&add, reception.to_string())?.exits(0)?;
    let file = beside(&network, "receptions.csv")?;
    let path = text(&file)?;
    let export = [
        "export",
        "--format",
        "csv",
        "--kind",
        "reception",
        "--out",
        &path,
    ];
    station.ok(&export)?;
    let whole = std::fs::read_to_string(&file)?;
    let altered = |said: &str| -> Result<Value> {
        std::fs::write(&file, said)?;
        let import = ["import", &path, "--kind", "reception"];
        Ok(station.call(&import)?.exits(0)?["altered"].clone())
    };
    ensure!(altered(&whole)? == json!([]));
    let both = ["测试代表甲、测试代表乙", "测试代表乙、测试代表甲"];
    let both = both
        .into_iter()
        .find(|it| whole.contains(it))
        .context("no names")?;
    for less in ["测试代表甲", ""] {
        let found = altered(&whole.replace(both, less))?;
        ensure!(found[0]["field"] == "deputies_present", "{less}: {found}");
    }
    Ok(())
}

#[test]
fn a_station_reports_of_itself_and_says_nothing_of_others() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let other = [
        "site",
        "create",
        "--name",
        "测试另一社区站",
        "--kind",
        "workstation",
        "--code",
        "EM2",
    ];
    hub.ok(&other)?;
    let code = network.invite("EM2", "station")?;
    let silent = Device::new(network.scratch.join("silent"));
    silent.ok(&["join", &code, "--hub", &network.address])?;
    station.add(&[opinion("路灯不亮")])?;
    station.ok(&["sync"])?;
    let of = |device: &Device| device.ok(&["report", "R2"]);
    let (here, there) = (of(station)?, of(hub)?);
    let sites = |report: &Value| report["rows"].as_array().map(Vec::len);
    ensure!(
        sites(&here) == Some(1) && sites(&there) == Some(2),
        "{here} {there}"
    );
    // Of a device whose site it does not read it cannot know when anything arrived.
    let devices = |report: &Value| report["watermark"].as_array().map(Vec::len);
    ensure!(
        devices(&here) == Some(1) && devices(&there) == Some(2),
        "{here} {there}"
    );
    let file = beside(&network, "report.html")?;
    station.ok(&["report", "R2", "--format", "html", "--out", &text(&file)?])?;
    let said = std::fs::read_to_string(&file)?;
    ensure!(
        said.contains("示例街道 ") && !said.contains("测试另一社区站"),
        "{said}"
    );
    Ok(())
}
