//! Who corrects what: what steps set is corrected by whoever may take them, what the sub-district has confirmed by the sub-district,
//! terms by extending them. A device that keeps to no rule writes what it likes, and changes nothing that anybody is shown.

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::{Query, Write};
use lianxin_node::error::Code;
use lianxin_protocol::deadline::Calendar;
use lianxin_protocol::document::{Edit, Scalar};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, code_of, opinion, text};
use serde_json::{Value, json};

const STATION: usize = 1;

fn world() -> Result<World> {
    let mut world = World::with_stations(1, 1)?;
    world.heal()?;
    Ok(world)
}

fn act(world: &mut World, node: usize, id: &str, event: &str, input: Value) -> Result<Value> {
    let command = Write::RecordAct {
        id: id.to_owned(),
        event: event.to_owned(),
        input,
        account: None,
    };
    world.call(node, command)
}

fn field(world: &mut World, node: usize, id: &str, key: &str) -> Result<Value> {
    let shown = world.show(node, id)?;
    let fields = shown.get("fields").context("no fields")?;
    Ok(fields.get(key).cloned().unwrap_or_default())
}

/// Writes fields of a record that is there, whatever the rules say; an empty text clears one.
fn forge(world: &mut World, node: usize, id: &str, fields: &[(&str, &str)]) -> Result<()> {
    let value = |text: &str| (!text.is_empty()).then(|| Scalar::Str(text.to_owned()));
    let fields = fields
        .iter()
        .map(|(key, text)| ((*key).to_owned(), value(text)));
    let edit = Edit {
        by: "a".to_owned(),
        fields: fields.collect(),
        ..Edit::default()
    };
    world.forge(node, id, &edit)
}

fn refused(result: Result<impl Sized>) -> Option<Code> {
    result.err().as_ref().and_then(code_of)
}

/// An opinion that the hub has closed as solved.
fn solved(world: &mut World) -> Result<String> {
    let (id, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    act(
        world,
        STATION,
        &id,
        "answer_on_spot",
        json!({"text": "已联系物业。"}),
    )?;
    world.heal()?;
    let solved =
        json!({"resolution": "solved", "solved_on": "2026-03-14", "solved_basis": "site_check"});
    act(world, HUB, &id, "close", solved)?;
    world.heal()?;
    Ok(id)
}

#[test]
fn what_steps_set_is_corrected_by_whoever_may_take_them_and_by_nobody_else() -> Result<()> {
    let mut world = world()?;
    let id = solved(&mut world)?;
    let fields = [
        ("resolution", "unknown"),
        ("solved_on", "2020-01-01"),
        ("solved_basis", ""),
    ];
    // A station that keeps to the rules is told so; nothing is written.
    let asked = world.set(STATION, &id, json!({"resolution": "unknown"}));
    ensure!(refused(asked) == Some(Code::FieldsRefused));
    // One that does not writes, and everybody has what it wrote.
    forge(&mut world, STATION, &id, &fields)?;
    world.heal()?;
    let stands = |world: &mut World, day: &str| -> Result<()> {
        for node in [STATION, HUB] {
            ensure!(
                field(world, node, &id, "resolution")? == "solved",
                "node {node}"
            );
            ensure!(field(world, node, &id, "solved_on")? == day, "node {node}");
            ensure!(
                field(world, node, &id, "solved_basis")? == "site_check",
                "node {node}"
            );
            let shown = world.show(node, &id)?;
            ensure!(shown["conflicts"] == json!([]), "{shown}");
        }
        world.agree(&[STATION, HUB])
    };
    stands(&mut world, "2026-03-14")?;
    // The hub's correction counts, whoever writes over it.
    world.set(HUB, &id, json!({"solved_on": "2026-03-15"}))?;
    world.heal()?;
    stands(&mut world, "2026-03-15")?;
    forge(
        &mut world,
        STATION,
        &id,
        &[("solved_on", "2020-01-01"), ("resolution", "")],
    )?;
    world.heal()?;
    stands(&mut world, "2026-03-15")?;
    // Beside it, and without knowing of it, as well.
    forge(&mut world, STATION, &id, &[("solved_on", "2020-02-02")])?;
    world.set(HUB, &id, json!({"solved_on": "2026-03-16"}))?;
    world.heal()?;
    stands(&mut world, "2026-03-16")?;
    // The history shows all of it, what stood there before, and what has no effect.
    let history = Query::RecordHistory {
        id: id.clone(),
        account: None,
    };
    let history = world.call(HUB, history)?;
    let values = history["changes"].as_array().into_iter().flatten();
    let values: Vec<Value> = values
        .flat_map(|it| it["values"].as_array().cloned().unwrap_or_default())
        .collect();
    let of = |day: &str| values.iter().find(|it| it["new"] == day);
    let corrected = of("2026-03-15").context("the correction is not in the history")?;
    ensure!(
        corrected["old"] == "2026-03-14" && corrected["void"].is_null(),
        "{corrected}"
    );
    let forged = of("2020-01-01").context("the forgery is not in the history")?;
    ensure!(forged["void"] == true, "{forged}");
    world.sound(HUB)
}

/// Before any step has set it, it is what the record began with.
#[test]
fn what_no_step_has_set_yet_nobody_writes_who_may_not() -> Result<()> {
    let mut world = world()?;
    let (id, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    forge(
        &mut world,
        STATION,
        &id,
        &[
            ("resolution", "solved"),
            ("lead", "x"),
            ("title", "改过的标题"),
        ],
    )?;
    world.heal()?;
    for node in [STATION, HUB] {
        ensure!(field(&mut world, node, &id, "resolution")?.is_null());
        ensure!(field(&mut world, node, &id, "lead")?.is_null());
    }
    world.agree(&[STATION, HUB])
}

#[test]
fn what_the_sub_district_has_confirmed_it_corrects_itself() -> Result<()> {
    let mut world = world()?;
    let activity = json!({
        "title": "送法律进社区", "year_month": "2026-03", "theme": "法律服务月", "date": "2026-03-14",
        "persons_served_times": 46,
    });
    let (id, _) = world.record(STATION, "theme_activity", activity)?;
    act(&mut world, STATION, &id, "record", json!({}))?;
    world.heal()?;
    world.set(STATION, &id, json!({"persons_served_times": 45}))?;
    world.heal()?;
    act(&mut world, HUB, &id, "confirm", json!({}))?;
    // Written before the station could know of it: what was confirmed is what the sub-district saw, and the station is told.
    world.set(STATION, &id, json!({"persons_served_times": 47}))?;
    world.heal()?;
    for node in [STATION, HUB] {
        let held = field(&mut world, node, &id, "persons_served_times")?;
        ensure!(held == 45, "node {node}: {held}");
    }
    let inbox = Query::Inbox {
        seen: false,
        limit: None,
        account: None,
    };
    let told = world.call(STATION, inbox)?;
    ensure!(
        told["messages"][0]["what"] == "unkept"
            && told["messages"][0]["about"] == json!(["persons_served_times"]),
        "{told}"
    );
    // From then on the sub-district corrects.
    let asked = world.set(STATION, &id, json!({"persons_served_times": 9_999}));
    ensure!(refused(asked) == Some(Code::NotPermitted));
    forge(
        &mut world,
        STATION,
        &id,
        &[("persons_served_times", ""), ("date", "2020-01-01")],
    )?;
    world.heal()?;
    for node in [STATION, HUB] {
        ensure!(
            field(&mut world, node, &id, "persons_served_times")? == 45,
            "node {node}"
        );
        ensure!(
            field(&mut world, node, &id, "date")? == "2026-03-14",
            "node {node}"
        );
    }
    world.set(HUB, &id, json!({"persons_served_times": 46}))?;
    // Sent back, it is the station's again.
    act(
        &mut world,
        HUB,
        &id,
        "return",
        json!({"note": "人次再核一下"}),
    )?;
    world.heal()?;
    world.set(STATION, &id, json!({"persons_served_times": 44}))?;
    world.heal()?;
    ensure!(field(&mut world, HUB, &id, "persons_served_times")? == 44);
    world.agree(&[STATION, HUB])
}

fn suggestion(world: &mut World) -> Result<String> {
    let said = json!({
        "title": "关于停车位的建议", "facts": "车多。", "proposal": "划车位。", "collected_on": "2026-03-02",
        "proposer_kind": "single", "lead_deputy": "测试代表甲",
    });
    let (id, _) = world.record(HUB, "deputy_suggestion", said)?;
    for (event, input) in [
        ("sign", json!({})),
        ("review", json!({})),
        ("pass", json!({})),
        ("report_up", json!({"reported_on": "2026-03-12"})),
    ] {
        act(world, HUB, &id, event, input).context(event)?;
    }
    Ok(id)
}

#[test]
fn a_statutes_term_is_made_shorter_and_never_longer_but_by_extending_it_once_and_so_far()
-> Result<()> {
    let mut world = world()?;
    let id = suggestion(&mut world)?;
    let hand_over =
        |due: &str| json!({"handed_over_on": "2026-03-16", "doc_no": "测试1号", "due_on": due});
    let late = act(&mut world, HUB, &id, "hand_over", hand_over("2027-12-31"));
    ensure!(refused(late) == Some(Code::FieldsRefused));
    act(&mut world, HUB, &id, "hand_over", hand_over("2026-06-01"))?;
    ensure!(field(&mut world, HUB, &id, "due_on")? == "2026-06-01");
    ensure!(
        field(&mut world, HUB, &id, "due_rule")? == "D4",
        "earlier than the statute, and by it"
    );
    ensure!(field(&mut world, HUB, &id, "return_until")? == "2026-03-23");
    // Nobody types another over it.
    for node in [HUB, STATION] {
        let typed = world.set(node, &id, json!({"due_on": "2026-12-01"}));
        ensure!(refused(typed).is_some());
    }
    let extend =
        |due: &str| json!({"extension": {"approved_by": "测试区人大常委会", "new_due": due}});
    for due in ["2026-05-01", "2026-09-17", "2029-12-31"] {
        let wrong = act(&mut world, HUB, &id, "extend", extend(due));
        ensure!(refused(wrong) == Some(Code::FieldsRefused), "{due}");
    }
    act(&mut world, HUB, &id, "extend", extend("2026-08-01"))?;
    ensure!(field(&mut world, HUB, &id, "due_on")? == "2026-08-01");
    // What is left of six months, and no more, however often.
    let more = act(&mut world, HUB, &id, "extend", extend("2026-10-01"));
    ensure!(refused(more) == Some(Code::FieldsRefused));
    let approved = json!({"extension": {"approved_by": "测试区人大常委会"}});
    act(&mut world, HUB, &id, "extend", approved)?;
    ensure!(field(&mut world, HUB, &id, "due_on")? == "2026-09-16");
    // A sheet's date stands as well, until it is extended by somebody who says why.
    let sheet = json!({"parent": id, "unit": "测试单位", "issued_on": "2026-03-16", "due_on": "2026-04-16"});
    let (sheet, _) = world.record(HUB, "assignment", sheet)?;
    let typed = world.set(HUB, &sheet, json!({"due_on": "2031-01-01"}));
    ensure!(refused(typed) == Some(Code::Fixed));
    let silent = act(
        &mut world,
        HUB,
        &sheet,
        "extend",
        json!({"due_on": "2026-05-16"}),
    );
    ensure!(refused(silent) == Some(Code::FieldsRefused));
    let told = json!({"due_on": "2026-05-16", "approved_by": "分管副主任", "note": "材料未齐"});
    act(&mut world, HUB, &sheet, "extend", told)?;
    ensure!(field(&mut world, HUB, &sheet, "due_on")? == "2026-05-16");
    Ok(())
}

/// 督办 once: the mark and the record of it are one.
#[test]
fn a_key_suggestion_is_under_supervision_once() -> Result<()> {
    let mut world = world()?;
    let id = suggestion(&mut world)?;
    let handed =
        json!({"handed_over_on": "2026-03-16", "doc_no": "测试1号", "lead_unit": "测试交警"});
    act(&mut world, HUB, &id, "hand_over", handed)?;
    let key = json!({"doc_no": "测试2号", "on": "2026-03-13"});
    act(&mut world, HUB, &id, "key_supervise", key.clone())?;
    act(&mut world, HUB, &id, "key_supervise", key)?;
    let listed = world.records(HUB)?;
    let mut made = listed.iter().filter(|it| text(it, "kind") == "supervision");
    let first = made.next().context("nothing is under supervision")?;
    ensure!(made.next().is_none(), "{listed:?}");
    let shown = world.show(HUB, &text(first, "id"))?;
    let fields = &shown["fields"];
    ensure!(
        fields["target"] == json!(id)
            && fields["level"] == "district_key"
            && fields["decided_on"] == "2026-03-13"
            && fields["unit"] == "测试交警",
        "{shown}"
    );
    Ok(())
}

#[test]
fn whoever_is_not_dissatisfied_has_nothing_handled_again() -> Result<()> {
    let mut world = world()?;
    let (id, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    world.heal()?;
    let reply = json!({"resolution": "explained", "text": "已说明。"});
    for (event, input) in [
        ("accept", json!({})),
        ("dispatch", json!({"lead": "测试单位"})),
        ("sign", json!({})),
        ("submit_reply", reply),
        ("approve", json!({})),
        ("inform", json!({"on": "2026-03-20", "way": "phone"})),
    ] {
        act(&mut world, HUB, &id, event, input).context(event)?;
    }
    world.heal()?;
    act(
        &mut world,
        STATION,
        &id,
        "rate",
        json!({"evaluation": "satisfied"}),
    )?;
    world.heal()?;
    let again = json!({"reason": "再办"});
    let barred = act(&mut world, HUB, &id, "redo", again.clone());
    ensure!(refused(barred) == Some(Code::StepRefused));
    // Entered wrongly, it is said again.
    act(
        &mut world,
        STATION,
        &id,
        "rate",
        json!({"evaluation": "dissatisfied"}),
    )?;
    world.heal()?;
    act(&mut world, HUB, &id, "redo", again)?;
    Ok(())
}

/// A command cannot ask: it takes the step and says what a page would have asked about.
#[test]
fn a_command_says_what_a_page_would_have_asked() -> Result<()> {
    let mut world = world()?;
    let reception = json!({"date": "2199-01-01", "deputies_present": ["名册里没有的代表"], "visitors_times": 3});
    let (id, _) = world.record(STATION, "reception", reception)?;
    let odd = |answer: &Value| -> Vec<String> {
        let odds = answer["at_odds"].as_array().into_iter().flatten();
        odds.map(|it| text(it, "field")).collect()
    };
    let written = act(&mut world, STATION, &id, "record", json!({}))?;
    ensure!(odd(&written) == ["date"], "{written}");
    world.heal()?;
    let confirmed = act(&mut world, HUB, &id, "confirm", json!({}))?;
    ensure!(odd(&confirmed) == ["", "date"], "{confirmed}");
    // Which name it is can be listed.
    let names = world.call(HUB, Query::RecordNames { limit: None })?;
    ensure!(names["names"][0]["name"] == "名册里没有的代表", "{names}");
    ensure!(
        names["names"][0]["records"] == 1 && names["names"][0]["example"] == json!(id),
        "{names}"
    );
    // And what happened to what somebody wrote.
    act(&mut world, HUB, &id, "return", json!({"note": "代表是谁"}))?;
    world.heal()?;
    let inbox = Query::Inbox {
        seen: false,
        limit: None,
        account: None,
    };
    let inbox = world.call(STATION, inbox)?;
    ensure!(
        inbox["messages"][0]["what"] == "returned" && inbox["messages"][0]["id"] == json!(id),
        "{inbox}"
    );
    Ok(())
}

/// What a site brought with its result it may put right until somebody takes the matter up.
#[test]
fn what_a_record_began_with_is_corrected_by_whoever_made_it_as_long_as_it_waits() -> Result<()> {
    let mut world = world()?;
    let mut said = opinion("路灯不亮");
    for (key, value) in [
        ("resolution", "solved"),
        ("solved_on", "2026-03-15"),
        ("solved_basis", "site_check"),
    ] {
        if let Value::Object(fields) = &mut said {
            fields.insert(key.to_owned(), json!(value));
        }
    }
    let (id, _) = world.record(STATION, "opinion", said)?;
    world.heal()?;
    world.set(STATION, &id, json!({"solved_on": "2026-03-16"}))?;
    world.heal()?;
    ensure!(field(&mut world, HUB, &id, "solved_on")? == "2026-03-16");
    act(&mut world, HUB, &id, "accept", json!({}))?;
    world.heal()?;
    let late = world.set(STATION, &id, json!({"solved_on": "2026-03-17"}));
    ensure!(refused(late) == Some(Code::FieldsRefused));
    forge(&mut world, STATION, &id, &[("solved_on", "2026-03-17")])?;
    world.heal()?;
    ensure!(field(&mut world, HUB, &id, "solved_on")? == "2026-03-16");
    world.agree(&[STATION, HUB])
}

#[test]
fn a_term_moves_along_with_the_day_from_which_it_is_counted() -> Result<()> {
    let mut world = world()?;
    let id = suggestion(&mut world)?;
    let handed = json!({"handed_over_on": "2026-03-26", "doc_no": "测试1号"});
    act(&mut world, HUB, &id, "hand_over", handed)?;
    let terms = |world: &mut World| -> Result<[Value; 3]> {
        Ok([
            field(world, HUB, &id, "due_on")?,
            field(world, HUB, &id, "due_rule")?,
            field(world, HUB, &id, "return_until")?,
        ])
    };
    ensure!(terms(&mut world)? == ["2026-06-26", "D4", "2026-04-02"]);
    world.set(HUB, &id, json!({"handed_over_on": "2026-03-16"}))?;
    let moved = terms(&mut world)?;
    ensure!(moved == ["2026-06-16", "D4", "2026-03-23"], "{moved:?}");
    // An extension follows as well, and is typed nowhere beside itself.
    let approved = json!({"extension": {"approved_by": "测试区人大常委会"}});
    act(&mut world, HUB, &id, "extend", approved)?;
    ensure!(field(&mut world, HUB, &id, "due_on")? == "2026-09-16");
    let beside = json!({"extension": {"approved_by": "区"}, "due_on": "2031-01-01"});
    let beside = act(&mut world, HUB, &id, "extend", beside);
    ensure!(refused(beside) == Some(Code::FieldsRefused));
    let typed = world.set(HUB, &id, json!({"extension": {"new_due": "2032-01-01"}}));
    ensure!(refused(typed) == Some(Code::FieldsRefused));
    world.set(HUB, &id, json!({"handed_over_on": "2026-03-17"}))?;
    let moved = terms(&mut world)?;
    ensure!(moved == ["2026-09-17", "D5", "2026-03-24"], "{moved:?}");
    Ok(())
}

#[test]
fn a_petition_has_sixty_days_and_thirty_more_whoever_types_what() -> Result<()> {
    let mut world = world()?;
    let (id, number) = world.record(STATION, "opinion", opinion("要求赔偿"))?;
    world.heal()?;
    act(&mut world, HUB, &id, "accept", json!({}))?;
    let dispatch = |due: &str| json!({"lead": "测试单位", "term": "petition", "due_on": due});
    let late = act(&mut world, HUB, &id, "dispatch", dispatch("2099-01-01"));
    ensure!(refused(late) == Some(Code::FieldsRefused));
    let lead = json!({"lead": "测试单位", "term": "petition"});
    act(&mut world, HUB, &id, "dispatch", lead)?;
    act(&mut world, HUB, &id, "sign", json!({}))?;
    let extend = |due: &str| json!({"due_on": due, "reason": "情况复杂", "person_told": true});
    let late = act(&mut world, HUB, &id, "extend", extend("2099-01-01"));
    ensure!(refused(late) == Some(Code::FieldsRefused));
    let due = field(&mut world, HUB, &id, "due_on")?;
    let due = due.as_str().context("no day")?.to_owned();
    let next = Calendar::standard().due(due.parse()?, "7d".parse()?, &[]);
    let next = next.to_string();
    act(&mut world, HUB, &id, "extend", extend(&next))?;
    ensure!(field(&mut world, HUB, &id, "due_on")? == json!(next));
    // The sheet has the day, and no rule that would say where it stands.
    let sheet = format!("{number}/Z1");
    ensure!(field(&mut world, HUB, &sheet, "due_on")? == json!(next));
    ensure!(field(&mut world, HUB, &sheet, "due_rule")?.is_null());
    Ok(())
}
