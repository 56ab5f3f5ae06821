//! Records that belong together, on several devices: a consultation reaches every site and its comments come back,
//! a reception gathers what was said there, a dispatch makes a sheet for each unit.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Write;
use lianxin_node::error::{Code, Error};
use lianxin_node::store::Store;
use lianxin_protocol::document::{Document, Edit, Scalar};
use lianxin_protocol::log::{DigestMode, EntryKind, NewEntry, RecordId};
use lianxin_tests::World;
use lianxin_tests::world::{BACK_TO_SCHEMA_2, HUB, code_of, opinion, text};
use rusqlite::Connection;
use serde_json::{Value, json};

const STATION: usize = 1;
const LAW_OFFICE: usize = 2;
const OPERATOR: usize = 3;

/// A hub, a work station, a collection point in a law office and an operator's PC, in sync.
fn world() -> Result<World> {
    let mut world = World::with_stations(1, 1)?;
    world.add_site("LS1", "LS1A")?;
    world.add_operator("HUBB")?;
    world.heal()?;
    Ok(world)
}

fn step(world: &mut World, node: usize, id: &str, event: &str, input: Value) -> Result<Value> {
    let (id, event) = (id.to_owned(), event.to_owned());
    let account = None;
    world.call(
        node,
        Write::RecordAct {
            id,
            event,
            input,
            account,
        },
    )
}

fn consultation() -> Value {
    json!({
        "issuer": "city", "doc_no": "测试函〔2026〕5号", "law_kind": "local_reg", "reading": "comment_draft",
        "draft_title": "测试市住宅电梯安全条例(草案征求意见稿)", "site_due_on": "2026-04-10", "test_data": true,
        "articles": [
            {"path": "第十二条第一款", "text": "物业服务人应当在电梯发生故障后三十分钟内到达现场。"},
            {"path": "第十三条", "text": "电梯使用单位应当做好记录。", "note": "新增"},
        ],
    })
}

/// What `linked` says of a record: kind, title and status of each.
fn linked(shown: &Value) -> Vec<(String, String, String)> {
    let linked = shown
        .get("linked")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    linked
        .map(|it| (text(it, "kind"), text(it, "title"), text(it, "status")))
        .collect()
}

#[test]
fn a_consultation_reaches_every_site_and_comments_on_its_articles_come_back() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(HUB, "legis_consultation", consultation())?;
    ensure!(number.starts_with("LQ-SLJD-HUBA-"), "{number}");
    step(&mut world, HUB, &id, "open", json!({}))?;
    world.heal()?;
    for site in [STATION, LAW_OFFICE, OPERATOR] {
        let shown = world.show(site, &number)?;
        ensure!(text(&shown, "status") == "open", "{shown}");
        let articles = shown.pointer("/fields/articles").and_then(Value::as_array);
        let paths: Vec<_> = articles
            .into_iter()
            .flatten()
            .map(|it| text(it, "path"))
            .collect();
        ensure!(paths == ["第十二条第一款", "第十三条"], "{paths:?}");
    }

    let comment = |words: &str, kind: &str| json!({"consultation": number, "article_path": "第十二条第一款", "original_words": words, "commenter_kind": kind});
    world.record(
        STATION,
        "legis_comment",
        comment("人关在里面半小时太久了。", "resident"),
    )?;
    let (theirs, _) = world.record(
        LAW_OFFICE,
        "legis_comment",
        comment("有人被困和没人被困不能一个标准。", "lawyer"),
    )?;
    world.heal()?;
    let shown = world.show(HUB, &id)?;
    let comments = linked(&shown);
    ensure!(
        comments.len() == 2 && comments.iter().all(|it| it.0 == "legis_comment"),
        "{comments:?}"
    );
    // What one site says stays between it and the sub-district.
    ensure!(
        world.show(STATION, &theirs).is_err(),
        "a station shows another site's comment"
    );
    ensure!(linked(&world.show(STATION, &id)?).len() == 1);

    // Its own words stay, whoever puts it in legal words.
    step(
        &mut world,
        HUB,
        &theirs,
        "word",
        json!({"legal_wording": "电梯困人的，应当在十五分钟内到达。"}),
    )?;
    let refused = world.set(HUB, &theirs, json!({"original_words": "别的话。"}));
    let code = refused
        .err()
        .and_then(|it| it.downcast::<Error>().ok())
        .map(|it| it.code());
    ensure!(code == Some(Code::Fixed), "{code:?}");
    world.heal()?;
    let at_site = world.show(LAW_OFFICE, &theirs)?;
    let held = |key: &str| at_site.pointer(&format!("/fields/{key}")).cloned();
    ensure!(
        held("original_words") == Some(json!("有人被困和没人被困不能一个标准。")),
        "{at_site}"
    );
    ensure!(
        held("legal_wording") == Some(json!("电梯困人的，应当在十五分钟内到达。")),
        "{at_site}"
    );
    world.agree(&[HUB, OPERATOR])
}

#[test]
fn a_comment_after_the_sites_date_is_taken_and_marked_as_late() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(HUB, "legis_consultation", consultation())?;
    step(&mut world, HUB, &id, "open", json!({}))?;
    world.heal()?;
    let comment = json!({"consultation": number, "original_words": "应当更快。"});
    let (early, _) = world.record(STATION, "legis_comment", comment.clone())?;
    step(&mut world, HUB, &id, "close_sites", json!({}))?;
    world.heal()?;
    let (late, _) = world.record(STATION, "legis_comment", comment)?;
    let is_late = |shown: Value| shown.pointer("/fields/late") == Some(&json!(true));
    ensure!(!is_late(world.show(STATION, &early)?));
    ensure!(is_late(world.show(STATION, &late)?));
    Ok(())
}

#[test]
fn a_reception_gathers_its_opinions_offline_and_by_number_or_id() -> Result<()> {
    let mut world = world()?;
    let (deputy, _) = world.record(HUB, "deputy", json!({"name": "测试代表甲"}))?;
    world.heal()?;
    let reception = json!({"date": "2026-03-10", "start": "09:00", "visitors_times": 2, "deputies_present": [deputy, "测试代表乙"]});
    let (id, number) = world.record(STATION, "reception", reception)?;
    for (reference, title) in [(&number.to_lowercase(), "路灯不亮"), (&id, "电梯故障")] {
        let mut said = opinion(title);
        said["source_event"] = json!(reference);
        world.record(STATION, "opinion", said)?;
    }
    let mut elsewhere = opinion("别处的事");
    elsewhere["source_event"] = json!("JD-SLJD-EM1A-2020-00009-99");
    world.record(STATION, "opinion", elsewhere)?;
    let offline = linked(&world.show(STATION, &id)?);
    world.heal()?;
    let shown = world.show(HUB, &number)?;
    // Both may have been recorded in the same millisecond.
    let titles: BTreeSet<_> = linked(&shown).into_iter().map(|it| it.1).collect();
    let expected = ["电梯故障", "路灯不亮"].map(str::to_owned);
    ensure!(titles == BTreeSet::from(expected), "{titles:?}");
    ensure!(offline == linked(&shown), "offline {offline:?}");
    // The deputy from the register is named; the one that is not in it stays as typed.
    ensure!(
        shown.pointer(&format!("/refers/{deputy}/title")) == Some(&json!("测试代表甲")),
        "{shown}"
    );
    let present = shown.pointer("/fields/deputies_present").cloned();
    ensure!(
        present == Some(json!([deputy, "测试代表乙"])),
        "{present:?}"
    );
    Ok(())
}

/// An accepted opinion that everyone has.
fn accepted(world: &mut World) -> Result<(String, String)> {
    let (id, number) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    world.heal()?;
    step(world, HUB, &id, "accept", json!({}))?;
    world.heal()?;
    Ok((id, number))
}

fn dispatch(world: &mut World, node: usize, id: &str, lead: &str) -> Result<Value> {
    step(world, node, id, "dispatch", json!({ "lead": lead }))
}

#[test]
fn a_dispatch_makes_a_sheet_for_each_unit_and_the_matter_moves_them_along() -> Result<()> {
    let mut world = world()?;
    let (id, number) = accepted(&mut world)?;
    let units = json!({"lead": "示例街道城市管理办公室", "co": ["示例交警中队"], "due_on": "2026-04-15", "text": "请尽快"});
    step(&mut world, HUB, &id, "dispatch", units)?;
    let lead = format!("{number}/Z1");
    let sheet = world.show(HUB, &lead)?;
    let held = |shown: &Value, key: &str| {
        shown
            .pointer(&format!("/fields/{key}"))
            .cloned()
            .unwrap_or_default()
    };
    ensure!(
        held(&sheet, "unit") == json!("示例街道城市管理办公室")
            && held(&sheet, "role") == json!("lead"),
        "{sheet}"
    );
    ensure!(
        held(&sheet, "instructions") == json!("请尽快")
            && held(&sheet, "due_on") == json!("2026-04-15"),
        "{sheet}"
    );
    ensure!(
        held(&sheet, "issued_on").is_string() && held(&sheet, "parent") == json!(id),
        "{sheet}"
    );

    step(&mut world, HUB, &id, "sign", json!({"on": "2026-03-17"}))?;
    ensure!(held(&world.show(HUB, &lead)?, "signed_on") == json!("2026-03-17"));
    step(
        &mut world,
        HUB,
        &id,
        "submit_reply",
        json!({"resolution": "solved", "text": "已修好。"}),
    )?;
    let reply = format!("{number}/F1");
    let first = world.show(HUB, &reply)?;
    ensure!(
        held(&first, "text") == json!("已修好。") && held(&first, "result") == json!("solved"),
        "{first}"
    );
    ensure!(
        held(&first, "assignment") == world.show(HUB, &lead)?["id"],
        "{first}"
    );
    step(
        &mut world,
        HUB,
        &id,
        "approve",
        json!({"text": "已于三月十三日修好。"}),
    )?;
    world.heal()?;
    // The station sees all of it, since it lies with the matter; another site sees nothing.
    let seen = linked(&world.show(STATION, &id)?);
    let expected = [
        ("assignment", "示例街道城市管理办公室", "replied"),
        ("assignment", "示例交警中队", "issued"),
        ("reply", text(&first, "title").as_str(), "approved"),
    ]
    .map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    ensure!(seen == expected, "{seen:?}");
    let approved = world.show(STATION, &reply)?;
    ensure!(
        held(&approved, "text") == json!("已于三月十三日修好。"),
        "{approved}"
    );
    ensure!(world.show(LAW_OFFICE, &reply).is_err());
    world.agree(&[HUB, STATION, OPERATOR])
}

#[test]
fn a_return_and_a_reassignment_close_the_old_sheet_and_number_on() -> Result<()> {
    let mut world = world()?;
    let (id, number) = accepted(&mut world)?;
    dispatch(&mut world, HUB, &id, "示例甲办")?;
    step(
        &mut world,
        HUB,
        &id,
        "return",
        json!({"return_reason": "not_our_duty", "text": "不归我们"}),
    )?;
    let old = world.show(HUB, &format!("{number}/Z1"))?;
    ensure!(text(&old, "status") == "return_pending", "{old}");
    ensure!(
        old.pointer("/fields/return/reason") == Some(&json!("not_our_duty")),
        "{old}"
    );
    let (unit, _) = world.record(HUB, "org", json!({"name": "示例乙办"}))?;
    step(&mut world, HUB, &id, "reassign", json!({"lead": unit}))?;
    let old = world.show(HUB, &format!("{number}/Z1"))?;
    ensure!(text(&old, "status") == "returned", "{old}");
    ensure!(
        old.pointer("/fields/return/decision") == Some(&json!("accepted")),
        "{old}"
    );
    let new = world.show(HUB, &format!("{number}/Z2"))?;
    ensure!(
        text(&new, "title") == "示例乙办" && text(&new, "status") == "issued",
        "{new}"
    );
    Ok(())
}

#[test]
fn two_desks_that_are_apart_never_give_one_number_under_another() -> Result<()> {
    let mut world = world()?;
    let (id, number) = accepted(&mut world)?;
    dispatch(&mut world, HUB, &id, "示例甲办")?;
    dispatch(&mut world, OPERATOR, &id, "示例乙办")?;
    world.heal()?;
    let shown = world.show(HUB, &id)?;
    let numbers = shown
        .get("linked")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut numbers: Vec<_> = numbers.map(|it| text(it, "number")).collect();
    numbers.sort();
    ensure!(
        numbers == [format!("{number}/Z1"), format!("{number}/Z1B")],
        "{numbers:?}"
    );
    // One of the two dispatches counts, the other stays in sight; the sheets of both are there to be closed.
    let events = shown
        .get("events")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let dispatched: Vec<_> = events
        .filter(|it| text(it, "event") == "dispatch")
        .collect();
    let applied = dispatched
        .iter()
        .filter(|it| it["applied"] == json!(true))
        .count();
    ensure!(dispatched.len() == 2 && applied == 1, "{dispatched:?}");
    Ok(())
}

#[test]
fn a_station_makes_no_register_and_a_sheet_needs_its_matter() -> Result<()> {
    let mut world = world()?;
    let refused = |world: &mut World, node, kind: &str, input: Value| {
        let refused = world.record(node, kind, input).err();
        refused
            .and_then(|it| it.downcast::<Error>().ok())
            .map(|it| it.code())
    };
    for (kind, input) in [
        ("deputy", json!({"name": "测试代表甲"})),
        ("org", json!({"name": "示例甲办"})),
        ("site", json!({"name": "示例站", "type": "workstation"})),
        ("legis_consultation", json!({"draft_title": "测试条例"})),
    ] {
        let code = refused(&mut world, STATION, kind, input);
        ensure!(code == Some(Code::NotPermitted), "{kind}: {code:?}");
    }
    let sheet = json!({"parent": "YJ-SLJD-EM1A-2026-00042-71", "unit": "示例甲办"});
    ensure!(refused(&mut world, HUB, "assignment", sheet.clone()) == Some(Code::NoRecord));
    ensure!(refused(&mut world, STATION, "assignment", sheet) == Some(Code::NotPermitted));
    ensure!(world.records(HUB)?.is_empty(), "something was left behind");
    Ok(())
}

#[test]
fn a_nested_record_that_is_refused_leaves_nothing_of_the_whole() -> Result<()> {
    let mut world = world()?;
    let mut input = consultation();
    input["articles"][1]["text"] = json!("长".repeat(5_001));
    let command = Write::RecordAdd {
        kind: "legis_consultation".to_owned(),
        rows: vec![input],
        first_row: 1,
        account: None,
    };
    let reply = world.call(HUB, command)?;
    let refused = reply.pointer("/refused/0").context("nothing was refused")?;
    ensure!(
        text(refused, "field") == "articles/2.text" && text(refused, "code") == "too_long",
        "{reply}"
    );
    ensure!(world.records(HUB)?.is_empty());
    Ok(())
}

#[test]
fn a_store_of_the_first_schema_learns_what_its_records_refer_to() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(STATION, "reception", json!({"date": "2026-03-10"}))?;
    let mut said = opinion("路灯不亮");
    said["source_event"] = json!(number);
    world.record(STATION, "opinion", said)?;
    let before = linked(&world.show(STATION, &id)?);
    world.stop(STATION)?;
    let directory = world.node(STATION)?.directory.clone();
    {
        let store = Store::open(&directory)?;
        let connection: Connection = store.writer()?;
        connection.execute_batch(&format!(
            "{BACK_TO_SCHEMA_2} DROP TABLE mentions; DROP TABLE words; PRAGMA user_version = 1;"
        ))?;
    }
    world.start(STATION)?;
    while world.merge(STATION)? {}
    let after = linked(&world.show(STATION, &id)?);
    ensure!(before.len() == 1 && after == before, "{after:?}");
    Ok(())
}

#[test]
fn a_correction_after_a_step_is_what_is_shown() -> Result<()> {
    let mut world = world()?;
    let (letter, _) = world.record(HUB, "legis_consultation", consultation())?;
    step(
        &mut world,
        HUB,
        &letter,
        "open",
        json!({"site_due_on": "2026-04-20"}),
    )?;
    let changed = world.set(HUB, &letter, json!({"site_due_on": "2026-04-25"}))?;
    let shown = world.show(HUB, &letter)?;
    let due = shown.pointer("/fields/site_due_on").cloned();
    ensure!(
        due == Some(json!("2026-04-25")),
        "changed {changed:?}, shown {due:?}"
    );
    // Back to what was typed before the step: said again, it counts again.
    world.set(HUB, &letter, json!({"site_due_on": "2026-04-10"}))?;
    let shown = world.show(HUB, &letter)?;
    ensure!(shown.pointer("/fields/site_due_on") == Some(&json!("2026-04-10")));
    // The step stays, so it cannot be undone by emptying the field.
    let emptied = world.set(HUB, &letter, json!({"site_due_on": null}));
    ensure!(emptied.is_err_and(|error| code_of(&error) == Some(Code::FieldsRefused)));
    // And a step that comes later says what counts from then on.
    let again = json!({"site_due_on": "2026-04-30"});
    step(&mut world, HUB, &letter, "close_sites", json!({}))?;
    step(&mut world, HUB, &letter, "reopen", again)?;
    let shown = world.show(HUB, &letter)?;
    ensure!(shown.pointer("/fields/site_due_on") == Some(&json!("2026-04-30")));
    Ok(())
}

#[test]
fn corrected_legal_wording_is_what_is_shown() -> Result<()> {
    let mut world = world()?;
    let (id, _) = world.record(HUB, "legis_comment", json!({"original_words": "太久了。"}))?;
    step(
        &mut world,
        HUB,
        &id,
        "word",
        json!({"legal_wording": "三十分钟。"}),
    )?;
    let changed = world.set(HUB, &id, json!({"legal_wording": "十五分钟。"}))?;
    let shown = world.show(HUB, &id)?;
    let said = shown.pointer("/fields/legal_wording").cloned();
    ensure!(
        said == Some(json!("十五分钟。")),
        "changed {changed:?}, shown {said:?}"
    );
    Ok(())
}

/// Writes a record as a device would that keeps to no rule, in the space of its own site.
fn forged(world: &mut World, node: usize, kind: &str, fields: &[(&str, &str)]) -> Result<()> {
    let fields = fields
        .iter()
        .map(|(key, value)| (*key, Scalar::Str((*value).to_owned())));
    forged_of(world, node, kind, fields.collect())
}

/// See [`forged`].
fn forged_of(
    world: &mut World,
    node: usize,
    kind: &str,
    fields: Vec<(&str, Scalar)>,
) -> Result<()> {
    let space = world.site_space()?;
    let fields = fields.into_iter();
    let fields = fields.map(|(key, value)| (key.to_owned(), Some(value)));
    let edit = Edit {
        kind: Some(kind.to_owned()),
        by: "a".to_owned(),
        fields: fields.collect(),
        events: Vec::new(),
    };
    world.transact(node, |journal, connection| {
        let now = lianxin_node::clock::now_ms();
        let log = journal.prepare(connection, space, now)?;
        let change = Document::new().edit(&log.actor(), &edit);
        let change = change.map_err(|error| Error::because(Code::Internal, "no change", error))?;
        let entry = NewEntry {
            kind: EntryKind::Change,
            digest: DigestMode::Change,
            erasable: false,
            record: RecordId::founded(1_000, &log, journal.len_of(&log)),
            payload: change.bytes,
        };
        journal.append(connection, space, vec![entry], now)
    })?;
    Ok(())
}

#[test]
fn what_a_station_forges_is_no_article_of_a_draft() -> Result<()> {
    let mut world = world()?;
    let (letter, number) = world.record(HUB, "legis_consultation", consultation())?;
    step(&mut world, HUB, &letter, "open", json!({}))?;
    world.heal()?;
    let facts = [("consultation", number.as_str()), ("path", "第九十九条")];
    forged(&mut world, STATION, "draft_article", &facts)?;
    world.heal()?;
    let shown = world.show(HUB, &letter)?;
    let articles = shown.pointer("/fields/articles").and_then(Value::as_array);
    let paths: Vec<_> = articles
        .into_iter()
        .flatten()
        .map(|it| text(it, "path"))
        .collect();
    ensure!(paths == ["第十二条第一款", "第十三条"], "{paths:?}");
    Ok(())
}

#[test]
fn what_a_station_forges_moves_no_term() -> Result<()> {
    let mut world = world()?;
    let due = |world: &mut World| -> Result<Value> {
        let (id, _) = world.record(HUB, "opinion", opinion("测试"))?;
        step(world, HUB, &id, "accept", json!({}))?;
        step(world, HUB, &id, "dispatch", json!({"lead": "测试单位"}))?;
        Ok(standing(world, HUB, &id, "due_on")?.1)
    };
    let before = due(&mut world)?;
    let text = |text: &str| Scalar::Str(text.to_owned());
    let term = |days| {
        vec![
            ("rule", text("d16")),
            ("unit", text("days")),
            ("amount", Scalar::Int(days)),
        ]
    };
    forged_of(&mut world, STATION, "own_term", term(200))?;
    world.heal()?;
    ensure!(
        due(&mut world)? == before,
        "a station has set the sub-district's term"
    );
    // The sub-district's own does.
    let own = json!({"rule": "d16", "amount": 200, "basis": "测试规定"});
    world.record(HUB, "own_term", own)?;
    ensure!(due(&mut world)? != before);
    Ok(())
}

#[test]
fn what_one_station_forges_does_not_hinder_another_sites_matter() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(LAW_OFFICE, "opinion", opinion("测试"))?;
    world.heal()?;
    step(&mut world, HUB, &id, "accept", json!({}))?;
    let to = json!({"authority": "hub_dispatch", "lead": "测试单位", "due_on": "2026-05-01"});
    step(&mut world, HUB, &id, "dispatch", to)?;
    world.heal()?;
    let facts = [("parent", number.as_str()), ("unit", "x"), ("role", "lead")];
    forged(&mut world, STATION, "assignment", &facts)?;
    world.heal()?;
    step(&mut world, HUB, &id, "sign", json!({}))?;
    world.heal()?;
    let listed = world.records(HUB)?;
    let sheets: Vec<_> = listed
        .iter()
        .filter(|it| text(it, "kind") == "assignment")
        .collect();
    let signed = sheets
        .iter()
        .filter(|it| text(it, "status") == "signed")
        .count();
    ensure!(sheets.len() == 2 && signed == 1, "{sheets:?}");
    Ok(())
}

#[test]
fn a_number_that_a_station_copies_names_neither_record_and_both_can_be_opened() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(LAW_OFFICE, "opinion", opinion("测试"))?;
    let facts = [("number", number.as_str()), ("category", "other")];
    forged(&mut world, STATION, "opinion", &facts)?;
    world.heal()?;
    let copies = world.records(HUB)?;
    let copies = copies.iter().filter(|it| text(it, "number") == number);
    let ids: Vec<_> = copies.map(|it| text(it, "id")).collect();
    ensure!(ids.len() == 2 && ids.contains(&id), "{ids:?}");
    // It is said, and goes on to be when the rows are made anew.
    for _ in 0..2 {
        ensure!(world.warned(HUB)?.1.contains(&"LX-3013".to_owned()));
        world.call(HUB, Write::Reproject)?;
    }
    let refused = world.show(HUB, &number);
    ensure!(
        refused.is_err_and(|error| code_of(&error) == Some(Code::SameNumber)),
        "one of two was chosen"
    );
    for id in &ids {
        world.show(HUB, id)?;
    }
    // A reply to the number is given to neither; a reply to the record goes where it should.
    let reply =
        |parent: &str| json!({"parent": parent, "text": "已处理。", "submitted_on": "2026-04-20"});
    ensure!(world.record(HUB, "reply", reply(&number)).is_err());
    world.record(HUB, "reply", reply(&id))?;
    // Where the copy is not, the number still names the record.
    world.show(LAW_OFFICE, &number)?;
    Ok(())
}

/// What is shown of a record: its status and a field.
fn standing(world: &mut World, node: usize, id: &str, field: &str) -> Result<(String, Value)> {
    let shown = world.show(node, id)?;
    let value = shown.pointer(&format!("/fields/{field}")).cloned();
    Ok((text(&shown, "status"), value.unwrap_or_default()))
}

#[test]
fn what_was_adopted_comes_back_to_everyone_whose_words_it_was_made_from() -> Result<()> {
    let mut world = world()?;
    let (law, number) = world.record(HUB, "legis_consultation", consultation())?;
    step(&mut world, HUB, &law, "open", json!({}))?;
    world.heal()?;
    let comment = |words: &str| json!({"consultation": number, "article_path": "第十二条第一款", "original_words": words});
    let (first, _) = world.record(
        STATION,
        "legis_comment",
        comment("人关在里面半小时太久了。"),
    )?;
    let (second, second_no) = world.record(
        LAW_OFFICE,
        "legis_comment",
        comment("有人被困应当另定时限。"),
    )?;
    let (alone, _) = world.record(STATION, "legis_comment", comment("三十分钟可以。"))?;
    world.heal()?;
    // By id or by number, and once more under another name: each source moves once.
    let item = json!({"consultation": number, "article_path": "第十二条第一款", "text": "电梯困人的，应当在十五分钟内到达现场。",
        "sources": [first, second_no, second]});
    let (item, item_no) = world.record(OPERATOR, "legis_item", item)?;
    step(&mut world, OPERATOR, &item, "approve", json!({}))?;
    let submission = json!({"consultation": number, "date": "2026-04-15", "items": [item_no]});
    let (submission, _) = world.record(OPERATOR, "legis_submission", submission)?;
    for source in [&first, &second] {
        let (status, merged) = standing(&mut world, OPERATOR, source, "merged_item")?;
        ensure!(
            status == "merged" && merged == json!(item),
            "{status} {merged}"
        );
    }
    // One step sends up the items and what they were made from.
    step(
        &mut world,
        OPERATOR,
        &submission,
        "send",
        json!({"on": "2026-04-15"}),
    )?;
    world.heal()?;
    ensure!(standing(&mut world, HUB, &item, "text")?.0 == "submitted");
    ensure!(standing(&mut world, STATION, &first, "merged_item")?.0 == "submitted");
    let feedback = json!({"adoption.result": "partly", "adoption.evidence": "通过稿第十三条采用二十分钟", "adoption.reported_on": "2026-09-20"});
    let nested = json!({"adoption": {"result": "partly", "evidence": "通过稿第十三条采用二十分钟", "reported_on": "2026-09-20"}});
    ensure!(
        step(&mut world, HUB, &item, "feed_back", feedback).is_err(),
        "flat keys are no fields"
    );
    step(&mut world, HUB, &item, "feed_back", nested.clone())?;
    world.heal()?;
    for (node, source) in [(STATION, &first), (LAW_OFFICE, &second)] {
        let (status, adoption) = standing(&mut world, node, source, "adoption")?;
        ensure!(
            status == "fed_back" && Some(&adoption) == nested.get("adoption"),
            "{status} {adoption}"
        );
        let path = linked(&world.show(HUB, source)?);
        ensure!(
            path.iter()
                .any(|it| it.0 == "legis_item" && it.2 == "fed_back"),
            "{path:?}"
        );
    }
    // What is deferred may be adopted later, and is told again.
    let later = json!({"adoption": {"result": "adopted"}});
    step(&mut world, HUB, &item, "feed_back", later.clone())?;
    world.heal()?;
    // The evidence for what was said before is none for this.
    let (_, adoption) = standing(&mut world, LAW_OFFICE, &second, "adoption")?;
    ensure!(Some(&adoption) == later.get("adoption"), "{adoption}");
    // Whoever is no source stays where they were.
    let (status, adoption) = standing(&mut world, STATION, &alone, "adoption")?;
    ensure!(status == "collected" || status == "received", "{status}");
    ensure!(adoption == Value::Null, "{adoption}");
    world.agree(&[HUB, OPERATOR])
}

#[test]
fn an_opinion_that_is_pressed_presses_the_unit_that_has_it() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    world.heal()?;
    step(&mut world, HUB, &id, "accept", json!({}))?;
    let units = json!({"lead": "测试城管科", "co": ["测试派出所"]});
    step(&mut world, HUB, &id, "dispatch", units)?;
    step(
        &mut world,
        HUB,
        &id,
        "press",
        json!({"text": "请本周答复。"}),
    )?;
    for (sheet, pressed) in [("Z1", true), ("Z2", false)] {
        let sheet = world.show(HUB, &format!("{number}/{sheet}"))?;
        let events = sheet.get("events").and_then(Value::as_array);
        let mut events = events.into_iter().flatten();
        ensure!(
            events.any(|it| text(it, "event") == "press") == pressed,
            "{sheet}"
        );
    }
    Ok(())
}

#[test]
fn whoever_co_signs_is_known_by_name_number_or_id() -> Result<()> {
    let mut world = world()?;
    let (deputy, _) = world.record(
        HUB,
        "deputy",
        json!({"name": "测试代表甲", "aliases": ["小甲（测试）"]}),
    )?;
    let suggestion = json!({"title": "关于测试的建议", "lead_deputy": "测试代表乙", "co_deputies": ["小甲（测试）", "测试代表丙"]});
    let (id, _) = world.record(HUB, "deputy_suggestion", suggestion)?;
    let signs = |world: &mut World| step(world, HUB, &id, "sign", json!({})).is_ok();
    for confirmed in [json!(deputy), json!("测试代表丙")] {
        ensure!(!signs(&mut world), "signed before everyone confirmed");
        step(
            &mut world,
            HUB,
            &id,
            "confirm_co",
            json!({"co_confirmed": [confirmed]}),
        )?;
    }
    ensure!(signs(&mut world));
    Ok(())
}

#[test]
fn a_submission_sends_up_what_was_checked_and_nothing_else() -> Result<()> {
    let mut world = world()?;
    let words = json!({"original_words": "半小时太久了。"});
    let (comment, _) = world.record(STATION, "legis_comment", words)?;
    world.heal()?;
    let item = json!({"text": "应当在十五分钟内到达。", "sources": [comment]});
    let (item, _) = world.record(HUB, "legis_item", item)?;
    let send = |world: &mut World| -> Result<()> {
        let submission = json!({"date": "2026-04-15", "items": [item]});
        let (submission, _) = world.record(HUB, "legis_submission", submission)?;
        step(world, HUB, &submission, "send", json!({})).map(drop)
    };
    send(&mut world)?;
    // Neither goes without the other.
    ensure!(standing(&mut world, HUB, &item, "text")?.0 == "draft");
    ensure!(standing(&mut world, HUB, &comment, "late")?.0 == "received");
    step(&mut world, HUB, &item, "approve", json!({}))?;
    send(&mut world)?;
    ensure!(standing(&mut world, HUB, &item, "text")?.0 == "submitted");
    ensure!(standing(&mut world, HUB, &comment, "late")?.0 == "submitted");
    Ok(())
}

#[test]
fn an_item_that_is_dropped_lets_go_of_what_was_merged_into_it() -> Result<()> {
    let mut world = world()?;
    let words = json!({"original_words": "半小时太久了。"});
    let (comment, _) = world.record(STATION, "legis_comment", words)?;
    world.heal()?;
    let item = json!({"text": "应当在十五分钟内到达。", "sources": [comment]});
    let (dropped, _) = world.record(HUB, "legis_item", item.clone())?;
    let (kept, _) = world.record(HUB, "legis_item", item)?;
    let merged = |world: &mut World| standing(world, HUB, &comment, "merged_item");
    step(&mut world, HUB, &dropped, "approve", json!({}))?;
    ensure!(merged(&mut world)? == ("merged".to_owned(), json!(dropped)));
    let why = json!({"note": "与上位法重复（测试）。"});
    step(&mut world, HUB, &dropped, "drop", why.clone())?;
    let (status, item) = merged(&mut world)?;
    ensure!(status == "received" && item.is_null(), "{status} {item}");
    // What stands in another item stays there.
    step(&mut world, HUB, &dropped, "restore", why.clone())?;
    step(&mut world, HUB, &kept, "approve", json!({}))?;
    step(&mut world, HUB, &dropped, "drop", why)?;
    ensure!(merged(&mut world)? == ("merged".to_owned(), json!(kept)));
    world.heal()?;
    world.agree(&[HUB, STATION])
}

#[test]
fn a_suggestion_is_completed_with_open_promises_only_if_that_is_meant() -> Result<()> {
    let mut world = world()?;
    let suggestion = json!({"title": "关于测试的建议", "lead_deputy": "测试代表甲"});
    let (id, _) = world.record(HUB, "deputy_suggestion", suggestion)?;
    let rated = json!({"attitude_rating": "satisfied", "result_rating": "satisfied"});
    for (event, input) in [
        ("sign", json!({})),
        ("review", json!({})),
        ("pass", json!({})),
        ("report_up", json!({"reported_on": "2026-03-20"})),
        (
            "hand_over",
            json!({"handed_over_on": "2026-03-24", "doc_no": "测试函〔2026〕3号"}),
        ),
        (
            "reply",
            json!({"replied_on": "2026-06-20", "doc_no": "测试复〔2026〕1号"}),
        ),
        ("rate", rated),
    ] {
        step(&mut world, HUB, &id, event, input)?;
    }
    let promise = |text: &str| json!({"suggestion": id, "text": text});
    world.record(HUB, "commitment", promise("施划停车位（测试）。"))?;
    let (kept, _) = world.record(HUB, "commitment", promise("设置标志（测试）。"))?;
    step(
        &mut world,
        HUB,
        &kept,
        "done",
        json!({"done_on": "2026-07-01"}),
    )?;
    // A page asks; a command takes it, and names what a page would have asked about.
    let tracked = step(&mut world, HUB, &id, "track", json!({}))?;
    ensure!(tracked.get("at_odds").is_none(), "{tracked}");
    let done = step(&mut world, HUB, &id, "complete", json!({}))?;
    let odd = done.pointer("/at_odds/0/code").and_then(Value::as_str);
    ensure!(odd == Some("doubted"), "{done}");
    Ok(())
}
