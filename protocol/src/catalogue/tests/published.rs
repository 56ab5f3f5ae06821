//! Kinds that a network publishes: further ones, newer forms, and what none of them may do.

use super::*;
use crate::catalogue::KindFile;

const TRAINING: &str = include_str!("../kinds/training.toml");

/// Signs of a new thing in the form of a training.
const MATERIALS: &str = r#"
[[field]]
key = "materials"
zh = "教材"
en = "Materials"
type = "enum"
options = [{ code = "printed", zh = "纸质", en = "Printed" }, { code = "none", zh = "无", en = "None" }]
required = true
since = 2
"#;

/// A kind of an office's own.
const LAMPS: &str = r#"
code = "lamp_check"
prefix = "LD"
zh = "路灯巡查"
en = "Lamp check"
version = 1
group = "register"
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
required = true

[[field]]
key = "lamps"
zh = "不亮盏数"
en = "Lamps that are out"
type = "int"
min = 0
max = 1000
"#;

fn file(text: &str) -> Result<KindFile, CatalogueError> {
    KindFile::read(text)
}

/// The second form of a training: it asks for one thing more, knows one form of it more, and has room.
fn second() -> String {
    let text = TRAINING
        .replacen("code = \"training\"", "version = 2\ncode = \"training\"", 1)
        .replace("\"form\", \"hours\"]", "\"form\", \"hours\", \"materials\"]")
        .replace(
            "  { code = \"visit\", zh = \"参观\", en = \"Visit\" },",
            "  { code = \"visit\", zh = \"参观\", en = \"Visit\" },\n  { code = \"online\", zh = \"线上\", en = \"Online\" },",
        )
        .replacen("max_chars = 100", "max_chars = 120", 1);
    text + MATERIALS
}

fn training(more: Value) -> Value {
    let mut input = json!({ "title": "测试培训", "date": "2026-03-10", "test_data": true });
    if let (Value::Object(input), Value::Object(more)) = (&mut input, more) {
        input.extend(more);
    }
    input
}

#[test]
fn a_newer_form_asks_for_more_and_an_older_record_stays_valid() -> Tested {
    let catalogue = Catalogue::with(&[file(&second())?])?;
    let kind = catalogue.kind("training").ok_or("no training")?;
    assert_eq!(kind.version, 2);
    let besides: Vec<_> = kind.asked_since(1).map(|it| it.key.as_str()).collect();
    assert_eq!(besides, ["materials"]);

    let now = kind.read(&training(json!({})));
    assert_eq!(refused(now), one("materials", "required"));
    let old = kind.read(&training(json!({ "form_version": 1 })));
    let old = old.map_err(|refusals| format!("{refusals:?}"))?;
    assert_eq!(fact(&old, FORM_VERSION), None, "the first is left unsaid");
    // Whoever fills in what the newer form asks for has filled in the newer form.
    let both = json!({ "form_version": 1, "materials": "none", "form": "online" });
    let both = kind.read_form(&training(both));
    let both = both.map_err(|refusals| format!("{refusals:?}"))?;
    assert_eq!(fact(&both, FORM_VERSION), Some(Fact::Int(2)));

    for unknown in [0, 3] {
        let read = kind.read(&training(json!({ "form_version": unknown })));
        assert_eq!(refused(read)[0].0, FORM_VERSION);
    }
    let edit = kind.read_edit(&json!({ "form_version": 2 }));
    assert_eq!(refused(edit), one("form_version", "fixed"));
    Ok(())
}

#[test]
fn a_shipped_form_of_the_same_version_goes_before() -> Tested {
    let older = TRAINING.replace("登记培训", "另一个按钮");
    let catalogue = Catalogue::with(&[file(&older)?])?;
    let kind = catalogue.kind("training").ok_or("no training")?;
    assert_eq!(kind.create.label.zh, "登记培训");
    Ok(())
}

#[test]
fn a_further_kind_stands_beside_the_shipped_ones() -> Tested {
    let catalogue = Catalogue::with(&[file(LAMPS)?])?;
    let kind = catalogue.kind("lamp_check").ok_or("no lamps")?;
    let read = kind.read(&json!({ "street": "测试路", "lamps": 3 }));
    assert!(read.is_ok());
    let order: Vec<_> = catalogue.kinds().map(|kind| &kind.code).collect();
    assert_eq!(order.len(), Catalogue::standard().kinds().count() + 1);
    assert_eq!(order.last().map(|it| it.as_str()), Some("lamp_check"));
    Ok(())
}

#[test]
fn a_newer_form_takes_nothing_away() -> Tested {
    let shipped = file(TRAINING)?;
    let second = second();
    assert_eq!(
        file(&second)?
            .adds_to(&shipped)
            .err()
            .map(|it| it.to_string()),
        None
    );
    let harm = |from: &str, to: &str| -> Result<String, Box<dyn std::error::Error>> {
        assert!(second.contains(from), "{from}");
        let harmed = file(&second.replacen(from, to, 1))?;
        let refused = harmed
            .adds_to(&shipped)
            .err()
            .ok_or(format!("taken: {to}"))?;
        assert!(Catalogue::with(&[harmed]).is_err());
        Ok(refused.to_string())
    };
    let gone = harm("key = \"organiser_level\"", "key = \"organised_by\"")?;
    assert!(gone.contains("field organiser_level is gone"), "{gone}");
    harm("max_chars = 120", "max_chars = 99")?;
    harm("required = true", "required = false")?;
    harm("  { code = \"city\", zh = \"市\", en = \"City\" },\n", "")?;
    harm("process = \"event\"", "process = \"register\"")?;
    harm("who = [\"H\"]", "who = [\"H\", \"C\"]")?;
    harm("counts_on = [\"date\"]", "counts_on = []")?;
    harm("prefix = \"PX\"", "prefix = \"PY\"")?;
    harm("since = 2", "since = 1")?;
    harm(
        "group = \"event\"",
        "group = \"event\"\nspace = \"bulletin\"",
    )?;
    harm("retention = \"text\"", "retention = \"contact\"")?;
    let step = "[[transition]]\nevent = \"wipe\"\nzh = \"清\"\nen = \"Wipe\"\nwho = [\"C\"]\n\n[[section]]";
    harm("[[section]]", step)?;
    harm(
        "{ code = \"none\", zh = \"无\", en = \"None\" }",
        "{ code = \"none\", zh = \"无\", en = \"None\", veils = \"words\" }",
    )?;
    // A field of a newer form is under the same rules as any.
    let asks = file(&second.replace("zh = \"教材\"", "zh = \"政治面貌\""))?;
    assert!(Catalogue::with(&[asks]).is_err());
    let worded = second.replace("zh = \"培训名称\"", "zh = \"培训题目\"");
    assert!(file(&worded)?.adds_to(&shipped).is_ok(), "words may change");
    assert!(
        file(&worded)?.adds_to(&file(&second)?).is_err(),
        "two of one version"
    );
    Ok(())
}

#[test]
fn a_further_kind_is_under_the_rules_of_all() -> Tested {
    let refused = |from: &str, to: &str| -> Result<(), Box<dyn std::error::Error>> {
        assert!(LAMPS.contains(from), "{from}");
        let kind = file(&LAMPS.replacen(from, to, 1))?;
        assert!(Catalogue::with(&[kind]).is_err(), "taken: {to}");
        Ok(())
    };
    refused("zh = \"路段\"", "zh = \"宗教信仰\"")?;
    refused("prefix = \"LD\"", "prefix = \"YJ\"")?;
    refused("who = [\"C\", \"H\"]", "by_program = true")?;
    refused("max = 1000", "max = -1")?;
    refused("max_chars = 40", "")?;
    assert!(file("code = 1").is_err());
    assert!(file("code = \"a\"\nversion = -1").is_err());
    assert!(file(&format!("# {}\n{LAMPS}", "长".repeat(50_000))).is_err());
    Ok(())
}

#[test]
fn what_the_program_writes_has_no_newer_form() -> Tested {
    let log = include_str!("../kinds/access_log.toml");
    let newer = format!("version = 2\n{log}");
    assert!(Catalogue::with(&[file(&newer)?]).is_err());
    Ok(())
}
