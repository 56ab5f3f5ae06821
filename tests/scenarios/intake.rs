//! Recording at the desk: what a choice asks for, whichever door it comes through; what is said beside a form while one types;
//! what a form begins with; and a sheet with a line each. What a browser makes of it is in `tests/browser/journey.mjs`.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use anyhow::{Context as _, Result, ensure};
use lianxin_tests::process::{CANARY, Device, LOOPBACK, Network};
use serde_json::{Value, json};

use super::pages::{Browser, encoded, hidden, link, with};

const DRAFT: &str = "00112233445566778899aabbccddeeff";

fn add(device: &Device, kind: &str, row: &Value) -> Result<Value> {
    let command = ["record", "add", "--kind", kind, "--file", "-"];
    let added = device.feed(&command, row.to_string())?.exits(0)?;
    Ok(added["records"][0].clone())
}

/// The first record's id and its fields.
fn only(device: &Device) -> Result<(String, Value)> {
    let records = device.records()?;
    let id = records
        .first()
        .and_then(|it| it["id"].as_str())
        .context("no record")?;
    let shown = device.ok(&["record", "show", id])?;
    Ok((id.to_owned(), shown["fields"].clone()))
}

/// Anonymous is anonymous, and who wants to be rung up has a number: said by name at the command line and beside the field in a form,
/// and nothing of it is dropped.
#[test]
fn a_choice_asks_for_what_it_needs_at_every_door() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    // A command cannot ask: it takes what it is given, and names what a form would ask about.
    let said = |reply: &Value| -> Result<Vec<String>> {
        let odds = reply["at_odds"].as_array().context("nothing is said")?;
        let said = odds
            .iter()
            .map(|it| format!("{} {}", it["field"], it["code"]).replace('"', ""));
        Ok(said.collect())
    };
    let named = |row: Value| -> Result<Vec<String>> {
        let command = ["record", "add", "--kind", "opinion", "--file", "-"];
        said(&station.feed(&command, row.to_string())?.exits(0)?)
    };
    let row = json!({ "category": "help", "body": "路灯不亮" });
    let with_more = |more: Value| {
        let mut row = row.clone();
        if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
            row.extend(more);
        }
        row
    };
    let person = json!({ "name": CANARY, "phone": "000-0000-0001" });
    ensure!(
        named(with_more(json!({ "person": person })))?
            == ["person.name excluded", "person.phone excluded"]
    );
    ensure!(
        named(with_more(
            json!({ "reply_wanted": "post", "identity_mode": "named" })
        ))? == ["person.address needed"]
    );
    let good =
        json!({ "person": person, "identity_mode": "confidential", "reply_wanted": "phone" });
    let id = add(station, "opinion", &with_more(good))?["id"].clone();
    let id = id.as_str().context("no id")?;
    let set =
        |change: Value| station.feed(&["record", "set", id, "--file", "-"], change.to_string());
    let odds = |change: Value| said(&set(change)?.exits(0)?);
    ensure!(odds(json!({ "reply_wanted": "visit" }))? == ["person.address needed"]);
    ensure!(odds(json!({ "reply_wanted": "phone" }))?.is_empty());
    // What does not touch it is nobody's hindrance.
    ensure!(odds(json!({ "urgency": "urgent" }))?.is_empty());

    let daemon = station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(station)?)?;
    let typed = [
        ("body", "井盖"),
        ("category", "help"),
        ("draft", DRAFT),
        ("do", "register"),
        ("identity_mode", "anonymous"),
        ("person.phone", "000-0000-0001"),
        ("person.call_name", CANARY),
    ];
    let wrong = browser.post("/new/opinion", &encoded(&typed))?;
    ensure!(wrong.status == 422, "{}", wrong.status);
    ensure!(
        wrong.body.contains("f-person-phone-err") && wrong.body.contains("f-person-call_name-err")
    );
    ensure!(wrong.body.contains(CANARY) && wrong.body.contains("匿名不记"));
    let mut wants = typed.to_vec();
    wants.retain(|(name, _)| !name.starts_with("person") && *name != "identity_mode");
    wants.extend([("identity_mode", "named"), ("reply_wanted", "phone")]);
    let wrong = browser.post("/new/opinion", &encoded(&wants))?;
    ensure!(wrong.status == 422 && wrong.body.contains("f-person-phone-err"));
    wants.push(("person.phone", "1380000000"));
    let right = browser.post("/new/opinion", &encoded(&wants))?;
    ensure!(right.status == 303, "a hint refused: {}", right.status);
    let made = right
        .header("location")
        .and_then(|it| it.split('?').next())
        .context("no place")?;
    // A number that is shown in part only does not stand in the form.
    let masked = browser.get(&format!("{made}/edit"))?.body;
    ensure!(masked.contains("person.phone") && !masked.contains("1380000000"));
    browser.post(
        &format!("{made}/reveal"),
        &encoded(&[("reason", "核对电话")]),
    )?;
    let corrected = browser.get(&format!("{made}/edit"))?.body;
    ensure!(
        corrected.contains("好像少一位"),
        "a correction does not look"
    );

    // A correction as well; the form keeps what was typed.
    let path = format!("/records/{id}/edit");
    let open = hidden(&browser.get(&path)?.body, "id=\"edit\"")?;
    let typed = [
        ("category", "help"),
        ("urgency", "urgent"),
        ("identity_mode", "anonymous"),
        ("reply_wanted", "phone"),
        ("person.name", CANARY),
        ("person.phone", "000-0000-0001"),
        ("people_count", "1"),
        ("access", "internal"),
    ];
    let wrong = browser.post(&path, &with(&open, &typed))?;
    ensure!(wrong.status == 422, "{}", wrong.status);
    ensure!(wrong.body.contains("f-person-phone-err") && wrong.body.contains(CANARY));
    let emptied = typed.map(|(name, value)| match name {
        "person.name" | "person.phone" => (name, ""),
        "reply_wanted" => (name, "none"),
        name => (name, value),
    });
    let right = browser.post(&path, &with(&open, &emptied))?;
    ensure!(right.status == 303, "{}", right.status);
    let fields = station.ok(&["record", "show", id])?["fields"].clone();
    ensure!(
        fields["identity_mode"] == "anonymous" && fields.get("person").is_none(),
        "{fields}"
    );
    ensure!(!daemon.log().contains(CANARY));
    daemon.stop()
}

#[test]
fn a_password_that_many_have_is_refused_with_a_code_and_a_next_step() -> Result<()> {
    let network = Network::new()?;
    let file = network.scratch.write("password", "woaini1314\n")?;
    let hub = &network.hub;
    let said = hub
        .call(&["account", "add", "李四", "--password-file", &file])?
        .exits(4)?;
    ensure!(said["code"] == "LX-7010", "{said}");
    ensure!(
        said["hint"]
            .as_str()
            .is_some_and(|it| it.contains("sentence")),
        "{said}"
    );
    let daemon = network.station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(&network.station)?)?;
    for common in ["Lianxin2026", "5201314", "13800000001", "１２３４５６a"] {
        let typed = encoded(&[("name", "李四"), ("password", common)]);
        let refused = browser.post("/settings/accounts", &typed)?;
        ensure!(refused.body.contains("很多人在用"), "{common}");
        let own = encoded(&[("new", common), ("again", common)]);
        let refused = browser.post("/settings/password", &own)?;
        ensure!(refused.body.contains("很多人在用"), "{common}");
    }
    ensure!(!browser.get("/settings")?.body.contains("李四"));
    daemon.stop()
}

#[test]
fn beside_a_form_stand_what_it_lacks_what_looks_wrong_and_what_is_like_it() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let daemon = station.run(LOOPBACK)?;
    let like = json!({
        "category": "help", "body": format!("楼道灯不亮，老人下楼看不清{CANARY}"), "identity_mode": "named",
        "person": { "phone": "138-0000-0001" }, "place": { "community": "测试社区", "text": "测试小区 3 号楼" },
    });
    let like = add(station, "opinion", &like)?;
    let other = json!({ "category": "thanks", "body": "感谢及时清运装修垃圾" });
    add(station, "opinion", &other)?;
    let (browser, _) = Browser::through(&link(station)?)?;
    let look = |typed: &[(&str, &str)]| -> Result<Value> {
        let answer = browser.post("/new/opinion/look", &encoded(typed))?;
        ensure!(answer.status == 200, "{}", answer.status);
        Ok(serde_json::from_str(&answer.body)?)
    };
    let typed = [
        (
            "body",
            "3号楼二单元楼道灯坏了三天，晚上看不见路，家里老人不敢下楼。我的证件号11010519491231002X",
        ),
        ("identity_mode", "confidential"),
        ("person.phone", "1380000000"),
        ("channel", "phone"),
        ("place.text", "测试小区３号楼"),
    ];
    let said = look(&typed)?;
    ensure!(
        said["ready"] == false && said["to"] == "f-category",
        "{said}"
    );
    ensure!(said["lacks"] == "还差 1 项：类别", "{said}");
    ensure!(
        said["looks"]["f-body"][0]
            .as_str()
            .is_some_and(|it| it.contains("身份证号"))
    );
    ensure!(
        said["looks"]["f-person-phone"][0]
            .as_str()
            .is_some_and(|it| it.contains("少一位"))
    );
    ensure!(
        said["folds"]["source"]
            .as_str()
            .is_some_and(|it| it.contains("电话") && it.contains("取内容开头"))
    );
    let rows = |said: &Value, head: &str| -> Vec<String> {
        let parts = said["alike"].as_array().cloned().unwrap_or_default();
        let part = parts.into_iter().find(|it| it["head"] == head);
        let rows = part
            .and_then(|it| it["rows"].as_array().cloned())
            .unwrap_or_default();
        rows.iter()
            .filter_map(|it| it["href"].as_str().map(str::to_owned))
            .collect()
    };
    let href = format!("/records/{}", like["id"].as_str().context("no id")?);
    ensure!(rows(&said, "相似的登记") == [href.clone()], "{said}");
    ensure!(rows(&said, "同一事发地点") == [href.clone()], "{said}");
    ensure!(rows(&said, "同一电话").is_empty(), "{said}");
    let said = look(&[
        ("person.phone", "１３８ 0000 0001"),
        ("category", "help"),
        ("body", "门禁坏了"),
    ])?;
    ensure!(
        rows(&said, "同一电话") == [href] && rows(&said, "相似的登记").is_empty(),
        "{said}"
    );
    ensure!(said["looks"] == json!({}), "{said}");
    let said = look(&[("category", "help"), ("body", "门禁坏了")])?;
    ensure!(
        said["ready"] == true && said["lacks"] == "可以登记",
        "{said}"
    );
    // A page that is opened again says the same without a script.
    let form = encoded(&[&typed[..], &[("draft", DRAFT), ("do", "draft")]].concat());
    ensure!(browser.post("/new/opinion", &form)?.status == 303);
    let page = browser.get(&format!("/drafts/{DRAFT}"))?.body;
    ensure!(page.contains("<mark>") && page.contains("少一位") && page.contains("还差 1 项：类别"));
    ensure!(station.records()?.len() == 2, "looking made a record");
    ensure!(!daemon.log().contains(CANARY) && !daemon.log().contains("楼道"));
    daemon.stop()
}

#[test]
fn a_form_begins_with_what_is_known_and_the_next_one_with_what_stays() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let site =
        json!({ "name": "测试站", "type": "workstation", "code": "EM1", "community": "测试社区" });
    add(&network.hub, "site", &site)?;
    station.ok(&["sync"])?;
    let day = json!({ "date": "2026-03-10", "deputies_present": ["测试代表甲"] });
    let day = add(station, "reception", &day)?["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let daemon = station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(station)?)?;
    let page = browser.get("/new/opinion")?.body;
    ensure!(page.contains("value=\"walk_in\" selected") && page.contains("value=\"测试社区\""));
    ensure!(
        page.contains("取内容开头 · 一般 · 来站反映 · 今天"),
        "the folds do not say what they hold"
    );
    // What is for the first card stands before the first fold.
    let first = page.split("class=\"folds\"").next().context("no folds")?;
    for name in [
        "body",
        "category",
        "place.community",
        "identity_mode",
        "person.phone",
        "reply_wanted",
    ] {
        ensure!(
            first.contains(&format!("name=\"{name}\"")),
            "{name} is behind a fold"
        );
    }
    ensure!(!first.contains("name=\"urgency\"") && page.contains("name=\"urgency\""));
    ensure!(
        browser.get("/")?.body.matches("href=\"/drafts/").count() == 0,
        "looking made a draft"
    );
    let from = browser.get(&format!("/new/opinion?from={day}"))?.body;
    ensure!(from.contains("value=\"reception\" selected") && from.contains("value=\"2026-03-10\""));
    let typed = [
        ("body", "路灯"),
        ("category", "help"),
        ("place.community", "别的社区"),
        ("channel", "reception"),
        ("source_event", &day),
        ("deputies", "测试代表甲"),
        ("urgency", "urgent"),
        ("do", "register"),
    ];
    ensure!(browser.post("/new/opinion", &encoded(&typed))?.status == 303);
    let listed = station.ok(&["record", "list", "--kind", "opinion"])?;
    let made = listed["records"][0]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let saved = browser.get(&format!("/records/{made}?note=new"))?.body;
    ensure!(saved.contains(&format!("/new/opinion?after={made}")));
    let next = browser.get(&format!("/new/opinion?after={made}"))?.body;
    ensure!(next.contains("value=\"reception\" selected") && next.contains("value=\"别的社区\""));
    ensure!(
        next.contains("JD-") && next.contains("测试代表甲"),
        "the event or its deputies are gone"
    );
    ensure!(!next.contains(">路灯<") && !next.contains("value=\"urgent\" checked"));
    daemon.stop()
}

#[test]
fn each_line_of_a_sheet_becomes_a_record_of_the_event_and_all_of_them_or_none() -> Result<()> {
    let network = Network::new()?;
    let station = &network.station;
    let day = json!({ "date": "2026-03-10", "deputies_present": ["测试代表甲"] });
    let day = add(station, "reception", &day)?["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let daemon = station.run(LOOPBACK)?;
    let (browser, _) = Browser::through(&link(station)?)?;
    let path = format!("/records/{day}/lines/opinion");
    ensure!(
        browser
            .get(&format!("/records/{day}"))?
            .body
            .contains(&path),
        "nothing leads there"
    );
    let page = browser.get(&path)?.body;
    let open = hidden(&page, "id=\"lines\"")?;
    let draft = open
        .iter()
        .find(|(name, _)| name == "draft")
        .context("no draft")?
        .1
        .clone();
    ensure!(page.matches("name=\"row.body\"").count() == 5);
    let sheet = |head: &[(&'static str, &str)], rows: &[[&str; 3]], what: &str| {
        let names = ["row.body", "row.category", "row.person.call_name"];
        let rows = rows
            .iter()
            .flat_map(|row| names.into_iter().zip(row.iter().copied()));
        let rows: Vec<_> = rows.collect();
        with(&open, &[head, &rows, &[("do", what)]].concat())
    };
    let event = ("source_event", day.as_str());
    let words = format!("楼道灯不亮{CANARY}");
    let rows = [
        [words.as_str(), "", "测试女士"],
        ["停车难", "complaint", ""],
        ["", "", ""],
    ];
    // The second window of a draft, and a sheet without a category above.
    let more = browser.post(&path, &sheet(&[event], &rows, "more"))?;
    ensure!(more.status == 200 && more.body.matches("name=\"row.body\"").count() == 8);
    let wrong = browser.post(&path, &sheet(&[event], &rows, "register"))?;
    ensure!(
        wrong.status == 422 && wrong.body.contains(CANARY),
        "{}",
        wrong.status
    );
    ensure!(wrong.body.contains("l-body-1-err") && !wrong.body.contains("l-body-2-err"));
    ensure!(station.records()?.len() == 1, "some lines were registered");
    let home = browser.get("/")?.body;
    ensure!(home.contains(&format!("/drafts/{draft}")) && home.contains("逐条登记"));
    let resumed = browser.get(&format!("/drafts/{draft}"))?;
    let place = resumed.header("location").context("no place")?.to_owned();
    ensure!(
        browser.get(&place)?.body.contains(CANARY),
        "the draft is empty"
    );

    let head = [
        event,
        ("category", "help"),
        ("channel", "reception"),
        ("notice_shown", "true"),
    ];
    let right = sheet(&head, &rows, "register");
    for _ in 0..2 {
        let made = browser.post(&path, &right)?;
        ensure!(
            made.status == 303
                && made
                    .header("location")
                    .is_some_and(|it| it.ends_with("made=2"))
        );
    }
    let listed = station.ok(&["record", "list", "--kind", "opinion"])?;
    let listed = listed["records"].as_array().context("no list")?;
    ensure!(listed.len() == 2, "{} records of two lines", listed.len());
    let mut said = Vec::new();
    for row in listed {
        let shown = station.ok(&["record", "show", row["id"].as_str().unwrap_or_default()])?;
        ensure!(shown["fields"]["source_event"] == day.as_str(), "{shown}");
        let fields = &shown["fields"];
        said.push(json!([
            fields["body"],
            fields["category"],
            fields["identity_mode"],
            fields["channel"]
        ]));
    }
    // Newest first: the second line came after the first.
    let expected = [
        json!(["停车难", "complaint", "anonymous", "reception"]),
        json!([words, "help", "confidential", "reception"]),
    ];
    ensure!(said == expected, "{said:?}");
    let event_page = browser.get(&format!("/records/{day}"))?.body;
    ensure!(event_page.contains("停车难"));
    let again = browser.get(&format!("{path}?draft={draft}"))?;
    ensure!(again.status == 303, "a registered sheet is begun anew");
    let other = browser.post(&path, &sheet(&head, &[["井盖", "", ""]], "register"))?;
    ensure!(
        other.status == 409 && other.body.contains("井盖"),
        "{}",
        other.status
    );
    let none = browser.post(&path, &encoded(&[("category", "help"), ("do", "register")]))?;
    ensure!(none.status == 422 && none.body.contains("还没有写一条"));
    // Only events whose kind says so have sheets.
    let (opinion, _) = only(station)?;
    for nowhere in [
        format!("/records/{opinion}/lines/opinion"),
        format!("/records/{day}/lines/visit"),
    ] {
        ensure!(browser.get(&nowhere)?.status == 404, "{nowhere}");
    }
    ensure!(!daemon.log().contains(CANARY));
    daemon.stop()
}
