//! Kinds that the sub-district publishes itself, and newer forms: every device goes by them from when they have come, what was recorded before
//! stays valid, and nobody else publishes anything.

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{Device, Network};
use serde_json::{Value, json};

/// A kind of the office's own.
const LAMPS: &str = r#"
code = "lamp_check"
prefix = "LD"
zh = "路灯巡查"
en = "Lamp check"
version = 1
group = "register"
named_by = ["street"]
about = { zh = "路灯巡查登记", en = "Lamps that were looked at" }
create = { zh = "登记巡查", en = "Enter a check", who = ["C", "H"] }

[[section]]
code = "check"
zh = "巡查"
en = "The check"
fields = ["street", "lamps"]

[[field]]
key = "street"
zh = "路段"
en = "Street"
type = "ref"
max_chars = 40
indexed = true
required = true

[[field]]
key = "lamps"
zh = "不亮盏数"
en = "Lamps that are out"
type = "int"
min = 0
max = 1000
"#;

/// Its second form asks for one thing more.
fn second() -> String {
    let more = r#"
[[field]]
key = "reported"
zh = "已报修"
en = "Reported"
type = "enum"
options = [{ code = "yes", zh = "是", en = "Yes" }, { code = "no", zh = "否", en = "No" }]
required = true
since = 2
"#;
    LAMPS.replace("version = 1", "version = 2").replace(
        "\"street\", \"lamps\"]",
        "\"street\", \"lamps\", \"reported\"]",
    ) + more
}

fn record(device: &Device, kind: &str, input: &Value) -> Result<lianxin_tests::process::Outcome> {
    let add = ["record", "add", "--kind", kind, "--file", "-"];
    device.feed(&add, input.to_string())
}

fn publish(device: &Device, path: &str, more: &[&str]) -> Result<lianxin_tests::process::Outcome> {
    let publish = [&["record", "publish", path], more].concat();
    device.call(&publish)
}

#[test]
fn a_kind_of_the_offices_own_is_recorded_everywhere() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let lamps = network.scratch.write("lamps.toml", LAMPS)?;
    let said = publish(hub, &lamps, &["--dry-run"])?.exits(0)?;
    ensure!(said["is_new"] == true && said["version"] == 1, "{said}");
    ensure!(
        said["fields_added"] == json!(["路段", "不亮盏数"]),
        "{said}"
    );
    // Looking at a file is not publishing it.
    record(hub, "lamp_check", &json!({ "street": "测试路" }))?.fails(4, "LX-3004")?;

    publish(hub, &lamps, &[])?.exits(0)?;
    publish(hub, &lamps, &[])?.fails(4, "LX-3036")?;
    let check = json!({ "street": "测试路", "lamps": 3 });
    record(station, "lamp_check", &check)?.fails(4, "LX-3004")?;
    station.ok(&["sync"])?;
    let template = station.ok(&["record", "template", "lamp_check"])?;
    ensure!(
        template["template"]["street"].is_null() && template["version"] == 1,
        "{template}"
    );
    let added = record(station, "lamp_check", &check)?.exits(0)?;
    let number = added["records"][0]["number"]
        .as_str()
        .context("no number")?;
    ensure!(number.starts_with("LD-"), "{added}");
    station.ok(&["sync"])?;
    let at_hub = hub.ok(&[
        "record",
        "list",
        "--kind",
        "lamp_check",
        "--where",
        "street=测试路",
    ])?;
    ensure!(at_hub["records"][0]["number"] == number, "{at_hub}");
    ensure!(at_hub["records"][0]["title"] == "测试路", "{at_hub}");
    hub.equals(station)?;
    // A column of a table as any kind has it.
    let out = lianxin_tests::process::text(&network.scratch.join("lamps.csv"))?;
    station.ok(&[
        "export",
        "--format",
        "csv",
        "--kind",
        "lamp_check",
        "--out",
        &out,
    ])?;
    ensure!(std::fs::read_to_string(&out)?.contains("不亮盏数"));
    Ok(())
}

#[test]
fn a_newer_form_leaves_older_records_and_drafts_valid() -> Result<()> {
    let mut network = Network::new()?;
    let lamps = network.scratch.write("lamps.toml", LAMPS)?;
    let newer = network.scratch.write("newer.toml", second())?;
    publish(&network.hub, &lamps, &[])?.exits(0)?;
    network.station.ok(&["sync"])?;
    let check = json!({ "street": "测试路", "lamps": 3 });
    let before = record(&network.station, "lamp_check", &check)?.exits(0)?;
    let before = before["records"][0]["id"]
        .as_str()
        .context("no id")?
        .to_owned();

    let said = publish(&network.hub, &newer, &[])?.exits(0)?;
    ensure!(
        said["is_new"] == false && said["fields_added"] == json!(["已报修"]),
        "{said}"
    );
    // Of a program that has not heard of it yet nothing is asked, and what it writes is taken.
    record(&network.station, "lamp_check", &check)?.exits(0)?;
    network.station.ok(&["sync"])?;
    let (hub, station) = (&network.hub, &network.station);
    for device in [hub, station] {
        record(device, "lamp_check", &check)?.exits(3)?;
        // What was begun with the older form is whole by it.
        let mut old = check.clone();
        old["form_version"] = json!(1);
        let old = record(device, "lamp_check", &old)?.exits(0)?;
        let old = old["records"][0]["id"].as_str().context("no id")?;
        let shown = device.ok(&["record", "show", old])?;
        ensure!(shown["fields"]["form_version"].is_null(), "{shown}");
        let mut whole = check.clone();
        whole["reported"] = json!("no");
        let whole = record(device, "lamp_check", &whole)?.exits(0)?;
        let whole = whole["records"][0]["id"].as_str().context("no id")?;
        let shown = device.ok(&["record", "show", whole])?;
        ensure!(shown["fields"]["form_version"] == 2, "{shown}");
    }
    // An older record is corrected without being asked for what is new, and may have it.
    let set = ["record", "set", &before, "--file", "-"];
    station
        .feed(&set, json!({ "lamps": 4 }).to_string())?
        .exits(0)?;
    station
        .feed(&set, json!({ "reported": "yes" }).to_string())?
        .exits(0)?;
    station.ok(&["sync"])?;
    hub.equals(station)?;

    // It holds beyond the end of a program.
    network.hub_stops()?;
    network.hub_back()?;
    let hub = &network.hub;
    record(hub, "lamp_check", &check)?.exits(3)?;
    let shown = hub.ok(&["record", "show", &before])?;
    ensure!(shown["fields"]["reported"] == "yes", "{shown}");
    Ok(())
}

#[test]
fn nobody_else_publishes_and_nothing_is_taken_away() -> Result<()> {
    let network = Network::new()?;
    let (hub, station) = (&network.hub, &network.station);
    let lamps = network.scratch.write("lamps.toml", LAMPS)?;
    let refused = publish(station, &lamps, &[])?;
    ensure!(refused.exit == 6, "a station published a kind");
    publish(hub, &lamps, &[])?.exits(0)?;
    for (name, from, to) in [
        ("less", "lamps = [\"street\", \"lamps\"]", ""),
        ("narrow", "max_chars = 40", "max_chars = 39"),
        (
            "open",
            "who = [\"C\", \"H\"]",
            "who = [\"C\", \"H\", \"U\"]",
        ),
        ("faith", "zh = \"不亮盏数\"", "zh = \"宗教信仰\""),
        ("program", "who = [\"C\", \"H\"]", "by_program = true"),
    ] {
        let text = second().replacen(from, to, 1);
        ensure!(name == "less" || text != second(), "{name}");
        let text = if name == "less" {
            text.replace("key = \"lamps\"", "key = \"lanterns\"")
                .replace("\"lamps\"", "\"lanterns\"")
        } else {
            text
        };
        let path = network.scratch.write(&format!("{name}.toml"), text)?;
        publish(hub, &path, &[])?
            .fails(4, "LX-3036")
            .with_context(|| name.to_owned())?;
    }
    let broken = network.scratch.write("broken.toml", "code = ")?;
    publish(hub, &broken, &[])?.fails(4, "LX-3036")?;
    Ok(())
}
