//! An office's own ledgers and letters: looked at once at the hub, filled by every device from what it is shown, each in its own look.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::papers;
use lianxin_node::sheets::paper::{At, Document};
use lianxin_node::sheets::write::{Book, Value as Cell};
use lianxin_node::sheets::{self, Table};
use lianxin_tests::process::{Device, Network, text};
use serde_json::{Value, json};

use crate::pages::{Browser, link};

/// An empty ledger as an office has it.
fn empty(path: &Path, heads: &[&str]) -> Result<String> {
    let time = "2026-11-30T09:00:00Z";
    let book = Book::begin("台账", heads, time, &std::env::temp_dir())?;
    book.finish(&[("说明", "空表")], std::fs::File::create(path)?)?;
    text(path)
}

fn letter(path: &Path, lines: &[&str]) -> Result<String> {
    let mut document = Document::begin(0);
    for line in lines {
        document.line(line, At::In);
    }
    std::fs::write(path, document.finish()?)?;
    text(path)
}

/// What somebody brought, in these words.
fn opinion(words: &str) -> Value {
    json!({ "category": "help", "body": words, "identity_mode": "anonymous" })
}

fn beside(network: &Network, name: &str) -> Result<PathBuf> {
    let directory = network.hub.directory.parent().context("no directory")?;
    Ok(directory.join(name))
}

fn read(path: &str) -> Result<Table> {
    Ok(sheets::read(&std::fs::read(path)?, None)?)
}

/// The words of a column under its head.
fn column(table: &Table, head: &str) -> Result<Vec<String>> {
    let at = table
        .heads
        .iter()
        .position(|it| it == head)
        .context("no such head")?;
    let rows = table.rows.iter();
    let cell = |row: &sheets::Row| {
        row.cells
            .get(at)
            .map_or_else(String::new, |it| it.text.to_string())
    };
    Ok(rows.map(cell).collect())
}

#[test]
fn a_ledger_is_mapped_once_and_every_device_fills_it() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let heads = [
        "序号",
        "来访编号",
        "诉求内容",
        "人数",
        "承办科室",
        "答复情况",
        "天气",
    ];
    let file = empty(&beside(&network, "empty.xlsx")?, &heads)?;
    let add = |who: &Device, more: &[&str]| {
        let mut arguments = vec![
            "form",
            "add",
            file.as_str(),
            "--kind",
            "opinion",
            "--name",
            "来访台账",
        ];
        arguments.extend(more);
        who.call(&arguments)
    };
    let tried = add(hub, &["--dry-run"])?.exits(0)?;
    ensure!(
        tried["left_out"] == json!(["来访编号", "人数", "承办科室", "天气"]),
        "{tried}"
    );
    ensure!(
        hub.ok(&["form", "list"])?["forms"] == json!([]),
        "a dry run keeps nothing"
    );
    add(hub, &["--map", "来访编号=nothing"])?.fails(4, "LX-6002")?;
    add(hub, &["--map", "电话=body"])?.fails(4, "LX-6002")?;
    // Who records at a station keeps none.
    add(station, &[])?.fails(6, "LX-7006")?;
    let maps = [
        "--map",
        "来访编号=#number",
        "--map",
        "人数=people_count",
        "--map",
        "承办科室=lead",
    ];
    let kept = add(hub, &maps)?.exits(0)?;
    ensure!(kept["left_out"] == json!(["天气"]), "{kept}");
    add(hub, &[])?.fails(4, "LX-3035")?;
    station.add(&[opinion("一号楼路灯不亮")])?;
    station.add(&[opinion("=HYPERLINK(\"x\")")])?;
    station.ok(&["sync"])?;
    for node in [station, hub] {
        let listed = node.ok(&["form", "list"])?;
        ensure!(listed["forms"][0]["name"] == "来访台账", "{listed}");
        let out = text(&beside(&network, "filled.xlsx")?)?;
        let filled = node.ok(&["form", "fill", "来访台账", "--out", &out])?;
        ensure!(filled["records"] == 2, "{filled}");
        let table = read(&out)?;
        ensure!(table.heads == heads, "{:?}", table.heads);
        ensure!(column(&table, "序号")? == ["1", "2"]);
        ensure!(
            column(&table, "诉求内容")? == ["一号楼路灯不亮", "=HYPERLINK(\"x\")"],
            "the oldest first"
        );
        ensure!(
            column(&table, "来访编号")?
                .iter()
                .all(|it| it.starts_with("YJ-"))
        );
        let again = text(&beside(&network, "again.xlsx")?)?;
        node.ok(&[
            "form",
            "fill",
            "来访台账",
            "--from",
            "2020-01-01",
            "--to",
            "2020-12-31",
            "--out",
            &again,
        ])?;
        ensure!(
            column(
                &sheets::read(&std::fs::read(&again)?, Some("台账"))?,
                "诉求内容"
            )?
            .is_empty(),
            "nothing is of that year"
        );
        node.call(&[
            "form",
            "fill",
            "来访台账",
            "--from",
            "2026-13-01",
            "--out",
            &again,
        ])?
        .fails(4, "LX-3031")?;
    }
    // What was withdrawn is offered to nobody.
    let id = kept["id"].as_str().context("no id")?;
    let why = beside(&network, "why.json")?;
    std::fs::write(&why, "{\"reason\":\"换了新表\"}")?;
    hub.ok(&["record", "act", id, "withdraw", "--file", &text(&why)?])?;
    station.ok(&["sync"])?;
    station
        .call(&["form", "fill", "来访台账", "--out", &file])?
        .fails(4, "LX-3034")?;
    Ok(())
}

/// A ledger of a year has what was held in it, however late it was recorded, and what was only planned is told apart.
#[test]
fn a_ledger_is_of_the_day_on_which_things_count_and_of_their_status() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let heads = ["日期", "接待人次", "状态"];
    let file = empty(&beside(&network, "receptions.xlsx")?, &heads)?;
    let form = [
        "form",
        "add",
        &file,
        "--name",
        "接待台账",
        "--kind",
        "reception",
    ];
    hub.ok(&form)?;
    for (day, times) in [("2026-04-01", 2), ("2025-12-30", 1), ("2026-03-01", 3)] {
        let input = json!({ "date": day, "visitors_times": times }).to_string();
        let add = ["record", "add", "--kind", "reception", "--file", "-"];
        let added = hub.feed(&add, input)?.exits(0)?;
        let id = added["records"][0]["id"].as_str().context("no id")?;
        if times == 3 {
            for step in ["record", "confirm"] {
                hub.ok(&["record", "act", id, step])?;
            }
        }
    }
    let out = text(&beside(&network, "year.xlsx")?)?;
    let filled = |more: &[&str]| -> Result<Vec<String>> {
        let fill = ["form", "fill", "接待台账", "--out", &out];
        hub.ok(&[&fill[..], more].concat())?;
        column(&read(&out)?, "日期")
    };
    let year = ["--from", "2026-01-01", "--to", "2026-12-31"];
    ensure!(filled(&year)? == ["2026-03-01", "2026-04-01"]);
    let confirmed = filled(&[&year[..], &["--status", "confirmed"]].concat())?;
    ensure!(confirmed == ["2026-03-01"], "{confirmed:?}");
    let recorded = ["--from", "2026-01-01", "--by", "recorded"];
    ensure!(filled(&recorded)?.len() == 3);
    hub.call(&[
        "form",
        "fill",
        "接待台账",
        "--out",
        &out,
        "--status",
        "sold",
    ])?
    .exits(4)?;
    Ok(())
}

#[test]
fn a_letter_is_filled_at_its_places_and_says_no_more_than_is_shown() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let lines = [
        "编号：{{登记编号}}",
        "【反映内容】",
        "电话：{{电话}}",
        "{{领导批示}}",
    ];
    let file = letter(&beside(&network, "letter.docx")?, &lines)?;
    let kept = hub.ok(&[
        "form",
        "add",
        &file,
        "--kind",
        "opinion",
        "--name",
        "转办函",
    ])?;
    ensure!(
        kept["form"] == "letter" && kept["left_out"] == json!(["领导批示"]),
        "{kept}"
    );
    let mut kept_back = opinion("三号楼漏水\n第二行");
    kept_back["identity_mode"] = json!("confidential");
    kept_back["person"] = json!({ "call_name": "测试女士", "phone": "000-0000-0001" });
    let added: Value = station.add(&[kept_back])?;
    station.ok(&["sync"])?;
    let id = added["records"][0]["id"].as_str().context("no id")?;
    let out = text(&beside(&network, "filled.docx")?)?;
    station
        .call(&["form", "fill", "转办函", "--out", &out])?
        .fails(4, "LX-6002")?;
    station.ok(&["form", "fill", "转办函", "--record", id, "--out", &out])?;
    let said = papers::text_of(&std::fs::read(&out)?)?;
    ensure!(
        said.contains("编号：YJ-") && said.contains("三号楼漏水"),
        "{said}"
    );
    ensure!(
        said.contains("电话：000-0000-0001") && said.contains("{{领导批示}}"),
        "{said}"
    );
    // Another account of the station is shown neither words nor number.
    let fill = [
        "--as",
        "另一文员",
        "form",
        "fill",
        "转办函",
        "--record",
        id,
        "--out",
        &out,
    ];
    station.ok(&fill)?;
    let said = papers::text_of(&std::fs::read(&out)?)?;
    ensure!(
        !said.contains("三号楼") && !said.contains("000-0000"),
        "{said}"
    );
    Ok(())
}

#[test]
fn all_kinds_go_out_at_once_and_a_city_platform_gets_no_persons() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let mut named = opinion("井盖破损");
    named["identity_mode"] = json!("named");
    named["person"] = json!({ "name": "测试女士", "phone": "000-0000-0002" });
    named["test_data"] = json!(false);
    named["occurred_on"] = json!("2026-03-01");
    station.add(&[named])?;
    station.ok(&["sync"])?;
    let directory = beside(&network, "ledgers")?;
    let out = text(&directory)?;
    let exported = station.ok(&["export", "--format", "csv", "--out", &out])?;
    ensure!(exported["records"].as_u64() >= Some(1), "{exported}");
    let files: Vec<_> = std::fs::read_dir(&directory)?.collect::<Result<_, _>>()?;
    ensure!(
        !files.is_empty()
            && files
                .iter()
                .all(|it| it.path().extension().is_some_and(|it| it == "csv"))
    );
    let table = read(&text(&directory.join("opinion.csv"))?)?;
    // What is worked out of a record stands in its row; who recorded it is named on that device alone.
    let said = |head: &str| column(&table, head);
    ensure!(said("补录")? == ["是"] && said("时钟存疑")? == ["否"]);
    ensure!(
        said("登记时间")?.iter().all(|at| at.len() == 16),
        "{:?}",
        said("登记时间")?
    );
    ensure!(!table.heads.iter().any(|it| it == "登记人"));
    ensure!(
        column(&table, "登记站点")?.iter().all(|it| !it.is_empty()),
        "a table says which site"
    );
    // What an account takes away is in the access log; whoever owns the store has it anyway.
    let log = || station.ok(&["record", "list", "--kind", "access_log"]);
    ensure!(log()?["records"] == json!([]));
    let one = text(&beside(&network, "one.csv")?)?;
    station.ok(&[
        "--as",
        "测试文员",
        "export",
        "--format",
        "csv",
        "--kind",
        "opinion",
        "--out",
        &one,
    ])?;
    ensure!(log()?["records"].as_array().map(Vec::len) == Some(1));
    let out = text(&beside(&network, "requests.json")?)?;
    station.ok(&["export", "--format", "open311", "--out", &out])?;
    let said = std::fs::read_to_string(&out)?;
    let requests: Value = serde_json::from_str(&said)?;
    ensure!(
        requests[0]["description"] == "井盖破损" && requests[0]["status"] == "open",
        "{said}"
    );
    ensure!(
        !said.contains("测试女士") && !said.contains("000-0000"),
        "{said}"
    );
    Ok(())
}

#[test]
fn an_order_of_another_system_is_known_wherever_it_was_imported() -> Result<()> {
    let network = Network::new()?;
    let orders = |name: &str, words: &str| -> Result<String> {
        let path = beside(&network, name)?;
        std::fs::write(&path, format!("工单号,诉求内容,类别\nA-001,{words},求助\n"))?;
        text(&path)
    };
    let first = orders("first.csv", "路灯不亮")?;
    let import = |node: &Device, file: &str| {
        node.ok(&["import", file, "--kind", "opinion", "--system", "12345"])
    };
    import(&network.station, &first)?;
    network.station.ok(&["sync"])?;
    // The same order, worded anew by the other system since.
    let second = orders("second.csv", "路灯还是不亮")?;
    let again = import(&network.hub, &second)?;
    ensure!(again["known"] == 1 && again["accepted"] == 1, "{again}");
    // A number of which nobody says where it is from is not the same.
    let other = network.hub.ok(&["import", &second, "--kind", "opinion"])?;
    ensure!(other["known"] == 0, "{other}");
    Ok(())
}

#[test]
fn an_exported_workbook_says_whether_somebody_changed_it() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    station.add(&[opinion("路灯不亮\n第二行"), opinion("=1+1")])?;
    let out = text(&beside(&network, "opinions.xlsx")?)?;
    station.ok(&[
        "export", "--format", "xlsx", "--kind", "opinion", "--out", &out,
    ])?;
    let held = station.ok(&["verify", &out])?;
    ensure!(held["rows"] == 2 && held["bad"] == json!([]), "{held}");
    let listed = station.ok(&["account", "list"])?;
    let who = listed["accounts"][0]["name"].as_str().context("nobody")?;
    for report in ["R1", "R11", "figures"] {
        let file = text(&beside(&network, "report.xlsx")?)?;
        let report = ["report", report, "--format", "xlsx", "--out", &file];
        station.ok(&[&["--as", who][..], &report].concat())?;
        station.ok(&["verify", &file])?;
        // Its second sheet says who took it away, and when.
        let said = sheets::read(&std::fs::read(&file)?, Some("说明"))?;
        let cells = said.rows.iter().map(|row| {
            let texts = row.cells.iter().map(|cell| &*cell.text);
            texts.collect::<Vec<_>>().join("：")
        });
        let cells: Vec<_> = cells.collect();
        ensure!(cells.contains(&format!("导出人：{who}")), "{cells:?}");
        ensure!(
            cells.iter().any(|it| it.starts_with("导出时间：2")),
            "{cells:?}"
        );
    }
    // One more row, as a table program adds it: the check value came along.
    let mut table = read(&out)?;
    let head: Vec<&str> = table.heads.iter().map(String::as_str).collect();
    let mut book = Book::begin("台账", &head, "2026-11-30T09:00:00Z", &std::env::temp_dir())?;
    table.rows.swap(0, 1);
    for row in &table.rows {
        let cells: Vec<_> = row.cells.iter().map(|it| Cell::Text(&it.text)).collect();
        book.row(&cells)?;
    }
    book.finish(&[("校验值", &"0".repeat(64))], std::fs::File::create(&out)?)?;
    let changed = station.call(&["verify", &out])?.exits(2)?;
    ensure!(
        changed["bad"].as_array().map(Vec::len) == Some(1),
        "{changed}"
    );
    Ok(())
}

#[test]
fn lists_are_by_site_day_and_result() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    station.add(&[opinion("路灯不亮")])?;
    hub.add(&[opinion("井盖破损")])?;
    station.ok(&["sync"])?;
    let listed = |more: &[&str]| -> Result<usize> {
        let mut arguments = vec!["record", "list", "--kind", "opinion"];
        arguments.extend(more);
        let listed = hub.ok(&arguments)?;
        listed["records"]
            .as_array()
            .map(Vec::len)
            .context("no list")
    };
    let all = hub.ok(&["record", "list", "--kind", "opinion"])?;
    let number = all["records"][0]["number"].as_str().context("no number")?;
    let typed = number.replace('-', "").to_lowercase();
    ensure!(listed(&["--search", &typed])? == 1, "{typed}");
    ensure!(listed(&[])? == 2 && listed(&["--site", "EM1"])? == 1);
    ensure!(listed(&["--from", "2000-01-01"])? == 2 && listed(&["--to", "2000-01-01"])? == 0);
    ensure!(listed(&["--resolution", "solved"])? == 0);
    let call = |more: &[&str]| {
        let mut arguments = vec!["record", "list"];
        arguments.extend(more);
        hub.call(&arguments)
    };
    call(&["--site", "NO1"])?.fails(4, "LX-2007")?;
    call(&["--from", "2026-02-30"])?.fails(4, "LX-3031")?;
    call(&["--from", "2026-02-02", "--to", "2026-02-01"])?.fails(4, "LX-3031")?;
    Ok(())
}

/// What is there in the end.
fn soon<R>(mut look: impl FnMut() -> Result<Option<R>>) -> Result<R> {
    for _ in 0..600 {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    anyhow::bail!("it did not come")
}

/// What takes longer is written behind a page, for whoever asked and for nobody else, and leaves the house once.
#[test]
fn a_long_export_is_written_behind_a_page_and_is_logged_once() -> Result<()> {
    let network = Network::new()?;
    let rows: Vec<_> = (0..40).map(|nth| opinion(&format!("路灯{nth}"))).collect();
    network.station.add(&rows)?;
    network.station.ok(&["sync"])?;
    let (browser, _) = Browser::through(&link(&network.hub)?)?;
    let (other, _) = Browser::through(&link(&network.hub)?)?;
    let begun = browser.get("/records/table?kind=opinion&form=csv&behind=1")?;
    let page = begun.header("location").context("no page")?.to_owned();
    ensure!(page.starts_with("/records/table/"), "{page}");
    let shown = soon(|| {
        let shown = browser.get(&page)?;
        Ok(shown.body.contains("文件写好了").then_some(shown))
    })?;
    let next = shown.header("refresh").unwrap_or_default().to_owned();
    ensure!(next == format!("0; url={page}/file"), "{next}");
    let file = browser.get(&format!("{page}/file"))?;
    ensure!(
        file.status == 200 && file.body.matches("路灯").count() >= 40,
        "{}",
        file.body.len()
    );
    // Loading it again writes nothing anew, and what is one login's is no other's.
    ensure!(browser.get(&format!("{page}/file"))?.body == file.body);
    for path in [&page, &format!("{page}/file")] {
        let refused = other.get(path)?;
        ensure!(
            refused.header("location") == Some("/records/export"),
            "{}",
            refused.status
        );
    }
    let logged = network.hub.ok(&[
        "record",
        "list",
        "--kind",
        "access_log",
        "--where",
        "action=export",
    ])?;
    ensure!(
        logged["records"].as_array().map(Vec::len) == Some(1),
        "{logged}"
    );
    // Another one takes its place.
    let second = browser.get("/records/table?kind=opinion&form=xlsx&behind=1")?;
    let second = second.header("location").context("no page")?.to_owned();
    ensure!(browser.get(&page)?.header("location") == Some("/records/export"));
    soon(|| {
        Ok(browser
            .get(&second)?
            .body
            .contains("文件写好了")
            .then_some(()))
    })?;
    Ok(())
}
