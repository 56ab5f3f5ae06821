//! The work itself: what the domain's table of practices (§2) names, each written where it happens while no line is open, taken its
//! usual way by whoever may, and shown alike at the hub and wherever else it belongs; with the terms and guards on that way.
//!
//! The tables are data: what is written where, which steps follow at which node, and what stands in the record in the end. In what is
//! typed, `@name` is the id of the record that a table calls so. All of it is fictional.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::command::Write;
use lianxin_node::error::Code;
use lianxin_node::records::merged::{self, Way};
use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::deadline::Calendar;
use lianxin_tests::World;
use lianxin_tests::world::{HUB, code_of, opinion, text};
use serde_json::{Map, Value, json};

const STATION: usize = 1;
const LAW_OFFICE: usize = 2;
const OPERATOR: usize = 3;

/// Rows of the domain's table that are to be built. Row 33 is slogans; the others that are missing are never built.
const PRACTICES: [u8; 44] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32, 34, 36, 39, 41, 43, 44, 45, 46, 48, 49, 52, 53,
];

/// Kinds whose records every site reads.
const EVERYWHERE: &[&str] = &[
    "campaign",
    "community",
    "contact_link",
    "deputy",
    "legis_consultation",
    "org",
    "partner_org",
    "register",
    "service_point",
    "service_unit",
    "site",
    "theme_month",
    "volunteer_team",
];

/// Which record lists which other, by their names in the tables.
const LISTED: &[(&str, &str)] = &[
    ("代表甲", "接待日"),
    ("代表甲", "建议"),
    ("代表甲", "联系"),
    ("工委", "联系"),
    ("城管办", "路灯转办"),
    ("社区", "工作站"),
    ("社区", "路灯"),
    ("工作站", "采集点"),
    ("工作站", "接待日"),
    ("工作站", "投入"),
    ("工作站", "六有"),
    ("工作站", "值班表"),
    ("会前活动月", "建议"),
    ("民情快递", "路灯"),
    ("办实事", "路灯"),
    ("大走访", "随机走访"),
    ("大走访", "全员培训"),
    ("接待日", "路灯"),
    ("座谈会", "建议"),
    ("路灯", "建议"),
    ("直播", "直播意见"),
    ("视察", "招工意见"),
    ("主题月", "主题活动"),
    ("主题活动", "捐赠"),
    ("主题活动", "纠纷"),
    ("心安家走访", "需求"),
    ("服务队", "需求"),
    ("服务队", "志愿服务"),
    ("共建单位", "服务活动"),
    ("来函", "律所意见"),
    ("律所意见", "条目"),
    ("条目", "上报"),
    ("老街建议", "督办"),
];

/// A hub, a work station, a collection point in a law office and an operator's PC, in sync.
fn network() -> Result<World> {
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

/// Takes steps at one node, one after the other.
fn steps(world: &mut World, node: usize, id: &str, taken: &[(&'static str, Value)]) -> Result<()> {
    for (event, input) in taken {
        step(world, node, id, event, input.clone()).context(*event)?;
    }
    Ok(())
}

/// What a record holds under a key; null if there is nothing.
fn field(shown: &Value, key: &str) -> Value {
    let value = shown.pointer(&format!("/fields/{key}"));
    value.cloned().unwrap_or_default()
}

/// The code with which something was refused.
fn refused<T>(done: Result<T>) -> Option<Code> {
    done.err().and_then(|error| code_of(&error))
}

// ---- the walk ----

/// A step: at which node, which, and what it carries.
type Taken = (usize, &'static str, Value);

/// One record on its usual way.
struct Walk {
    /// Rows of the domain's table of practices.
    practices: &'static [u8],
    /// What the tables call it.
    name: &'static str,
    /// Where it is written, its kind and what is typed; nothing for one that is there already.
    written: Option<(usize, &'static str, Value)>,
    /// The record in whose space it stands, if it belongs to one.
    within: Option<&'static str>,
    steps: Vec<Taken>,
    /// The status at the end; empty for kinds without a process.
    status: &'static str,
    /// What stands in it at the end beside what was typed.
    stands: Value,
}

/// Where what stands in a register begins; other records are where their steps have led.
fn in_register(kind: &str) -> &'static str {
    let kind = Catalogue::standard().kind(kind);
    let kind = kind.filter(|kind| kind.statuses.iter().any(|status| status.gone));
    kind.and_then(|kind| kind.initial.as_deref()).unwrap_or("")
}

/// A record that is written at a node.
fn write(
    practices: &'static [u8],
    name: &'static str,
    node: usize,
    kind: &'static str,
    input: Value,
) -> Walk {
    Walk {
        practices,
        name,
        written: Some((node, kind, input)),
        within: None,
        steps: Vec::new(),
        status: in_register(kind),
        stands: json!({}),
    }
}

/// A record that is there and goes on.
fn onward(practices: &'static [u8], name: &'static str) -> Walk {
    Walk {
        written: None,
        ..write(practices, name, HUB, "", Value::Null)
    }
}

impl Walk {
    fn goes(self, steps: Vec<Taken>, status: &'static str) -> Self {
        Self {
            steps,
            status,
            ..self
        }
    }

    fn holds(self, stands: Value) -> Self {
        Self { stands, ..self }
    }

    fn belongs_to(self, whole: &'static str) -> Self {
        Self {
            within: Some(whole),
            ..self
        }
    }

    /// Announced, held and written up at a node, and confirmed by the sub-district.
    fn held_and_confirmed(self, node: usize) -> Self {
        self.goes(
            vec![
                (node, "announce", json!({"on": "2026-03-06"})),
                (node, "hold", json!({})),
                (node, "record", json!({})),
                (HUB, "confirm", json!({})),
            ],
            "confirmed",
        )
    }

    /// Written up at a node without having been announced, and confirmed by the sub-district.
    fn confirmed(self, node: usize) -> Self {
        self.goes(
            vec![(node, "record", json!({})), (HUB, "confirm", json!({}))],
            "confirmed",
        )
    }
}

/// A record of the tables.
struct Noted {
    id: String,
    number: String,
    /// The nodes that have it; all others do not.
    seen: Vec<usize>,
    /// What it must hold.
    holds: Vec<Value>,
    status: &'static str,
}

/// The records of the tables by their names there.
type Known = BTreeMap<&'static str, Noted>;

/// What is typed, with ids in the place of names.
fn resolved(known: &Known, value: &Value) -> Result<Value> {
    let member = |(key, value): (&String, &Value)| -> Result<(String, Value)> {
        Ok((key.clone(), resolved(known, value)?))
    };
    Ok(match value {
        Value::String(text) => match text.strip_prefix('@') {
            Some(name) => {
                let noted = known.get(name);
                let noted = noted.with_context(|| format!("no table has {name} before this"))?;
                json!(noted.id)
            }
            None => value.clone(),
        },
        Value::Array(items) => {
            let items = items.iter().map(|item| resolved(known, item));
            Value::Array(items.collect::<Result<Vec<Value>>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(member);
            Value::Object(members.collect::<Result<Map<String, Value>>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// Whether all that is expected is shown: of an object its members, of an array all items and no others.
fn is_held(shown: &Value, expected: &Value) -> bool {
    match (shown, expected) {
        (Value::Object(shown), Value::Object(expected)) => {
            expected.iter().all(|(key, expected)| {
                let shown = shown.get(key);
                shown.is_some_and(|shown| is_held(shown, expected))
            })
        }
        (Value::Array(shown), Value::Array(expected)) => {
            let has = |expected: &Value| shown.iter().any(|shown| is_held(shown, expected));
            shown.len() == expected.len() && expected.iter().all(has)
        }
        (shown, expected) => shown == expected,
    }
}

/// A record under way: where it was written on last, and the steps that are left.
struct UnderWay {
    name: &'static str,
    id: String,
    node: usize,
    left: VecDeque<Taken>,
}

/// Writes a record while no line is open: nobody else has it. One that is there goes on.
fn begun(world: &mut World, known: &mut Known, walk: Walk) -> Result<UnderWay> {
    let name = walk.name;
    ensure!(world.links() == 0, "a line is open before {name}");
    let stands = resolved(known, &walk.stands)?;
    let first = walk.steps.first().map(|(node, ..)| *node);
    let mut node = first.unwrap_or(HUB);
    if let Some((at, kind, input)) = walk.written {
        node = at;
        let input = resolved(known, &input)?;
        let (id, number) = world.record(at, kind, input.clone()).context(name)?;
        for other in [HUB, STATION, LAW_OFFICE, OPERATOR] {
            let shown = world.show(other, &id);
            ensure!(
                shown.is_ok() == (other == at),
                "{name}: node {other} has it, or node {at} has not"
            );
        }
        let whole = walk.within.and_then(|whole| known.get(whole));
        let seen = match (whole, at) {
            (Some(whole), _) => whole.seen.clone(),
            _ if EVERYWHERE.contains(&kind) => vec![HUB, STATION, LAW_OFFICE, OPERATOR],
            (None, STATION | LAW_OFFICE) => vec![HUB, at, OPERATOR],
            (None, _) => vec![HUB, OPERATOR],
        };
        let noted = Noted {
            id,
            number,
            seen,
            holds: vec![input],
            status: "",
        };
        let before = known.insert(name, noted);
        ensure!(before.is_none(), "two records are called {name}");
    }
    let noted = known.get_mut(name);
    let noted = noted.with_context(|| format!("{name} was never written"))?;
    noted.holds.push(stands);
    noted.status = walk.status;
    Ok(UnderWay {
        name,
        id: noted.id.clone(),
        node,
        left: walk.steps.into(),
    })
}

/// Takes records their way: at each node as far as it goes there, then over the lines to where it goes on.
fn walk(world: &mut World, known: &mut Known, walks: Vec<Walk>) -> Result<()> {
    let mut under_way = Vec::new();
    for it in walks {
        under_way.push(begun(world, known, it)?);
    }
    loop {
        for it in &mut under_way {
            while it.left.front().is_some_and(|(node, ..)| *node == it.node) {
                let Some((node, event, input)) = it.left.pop_front() else {
                    break;
                };
                let input = resolved(known, &input)?;
                let taken = step(world, node, &it.id, event, input);
                taken.with_context(|| format!("{}: {event} at node {node}", it.name))?;
            }
        }
        world.heal()?;
        let mut goes_on = false;
        for it in &mut under_way {
            if let Some((node, ..)) = it.left.front() {
                it.node = *node;
                goes_on = true;
            }
        }
        if !goes_on {
            return all_show_them(world, known);
        }
    }
}

/// Every record of the tables stands where it belongs with what it must hold, shown alike there, and nowhere else.
fn all_show_them(world: &mut World, known: &Known) -> Result<()> {
    for (name, noted) in known {
        let at_hub = world.show(HUB, &noted.id).context(*name)?;
        ensure!(
            text(&at_hub, "status") == noted.status,
            "{name} is not {} but {at_hub}",
            noted.status
        );
        ensure!(
            at_hub.get("conflicts") == Some(&json!([])),
            "{name} is in conflict: {at_hub}"
        );
        let events = at_hub.get("events").and_then(Value::as_array);
        let void = |event: &&Value| event.get("applied") != Some(&json!(true));
        let void = events.into_iter().flatten().find(void);
        ensure!(void.is_none(), "{name}: without effect: {void:?}");
        let fields = at_hub.get("fields").cloned().unwrap_or_default();
        for expected in &noted.holds {
            ensure!(
                is_held(&fields, expected),
                "{name} holds not {expected} but {fields}"
            );
        }
        for node in [STATION, LAW_OFFICE, OPERATOR] {
            let shown = world.show(node, &noted.id);
            if !noted.seen.contains(&node) {
                ensure!(shown.is_err(), "node {node} has {name}");
                continue;
            }
            let shown = shown.with_context(|| format!("node {node} lacks {name}"))?;
            for key in [
                "kind",
                "number",
                "status",
                "fields",
                "overlays",
                "conflicts",
            ] {
                ensure!(
                    shown.get(key) == at_hub.get(key),
                    "{name}: {key} at node {node} is not that of the hub:\n{shown}\n{at_hub}"
                );
            }
        }
    }
    Ok(())
}

/// Records list those that name them, at every node that has both.
fn they_list_each_other(world: &mut World, known: &Known) -> Result<()> {
    for (whole, part) in LISTED {
        let (of, it) = (known.get(*whole), known.get(*part));
        let (of, it) = of.zip(it).with_context(|| format!("{whole} or {part}"))?;
        for node in of.seen.iter().filter(|node| it.seen.contains(node)) {
            let shown = world.show(*node, &of.id)?;
            let linked = shown.get("linked").and_then(Value::as_array);
            let mut linked = linked.into_iter().flatten();
            ensure!(
                linked.any(|row| text(row, "id") == it.id),
                "{whole} does not list {part} at node {node}: {shown}"
            );
        }
    }
    Ok(())
}

/// Calls a record that came with or of another by a name of its own.
fn call(
    known: &mut Known,
    name: &'static str,
    whole: &'static str,
    id: String,
    status: &'static str,
) -> Result<()> {
    let seen = known.get(whole).with_context(|| format!("no {whole}"))?;
    let noted = Noted {
        id,
        number: String::new(),
        seen: seen.seen.clone(),
        holds: Vec::new(),
        status,
    };
    known.insert(name, noted);
    Ok(())
}

#[test]
fn every_practice_walks_from_where_it_is_written_to_the_hub_and_back() -> Result<()> {
    let mut world = network()?;
    let mut known = Known::new();
    let at_sites = [
        sessions(),
        activities(),
        visits(),
        opinions(),
        suggestions(),
        services(),
        comments(),
    ];
    let tables = [
        registers(),
        places(),
        campaigns(),
        at_sites.into_iter().flatten().collect(),
        desk(),
        trainings(),
        items(),
    ];
    let mut practices = BTreeSet::new();
    for table in tables {
        practices.extend(table.iter().flat_map(|it| it.practices.iter().copied()));
        walk(&mut world, &mut known, table)?;
    }

    // The problems of an inspection are records of their own; so is the sheet of a unit, and its reply.
    let inspection = known.get("视察").context("no inspection")?.id.clone();
    let shown = world.show(STATION, &inspection)?;
    let issue = shown.pointer("/fields/issues/0").context("no problem")?;
    call(&mut known, "问题", "视察", text(issue, "id"), "open")?;
    let number = known.get("路灯").context("no opinion")?.number.clone();
    for (name, under, status) in [
        ("路灯转办", "Z1", "replied"),
        ("路灯答复", "F1", "approved"),
    ] {
        let sheet = world.show(STATION, &format!("{number}/{under}"))?;
        call(&mut known, name, "路灯", text(&sheet, "id"), status)?;
    }
    let table = endings();
    practices.extend(table.iter().flat_map(|it| it.practices.iter().copied()));
    walk(&mut world, &mut known, table)?;

    they_list_each_other(&mut world, &known)?;
    let shown = world.show(
        OPERATOR,
        &known.get("老街建议").context("no suggestion")?.id,
    )?;
    ensure!(
        shown.get("overlays") == Some(&json!(["key_supervised"])),
        "{shown}"
    );
    ensure!(practices == BTreeSet::from(PRACTICES), "{practices:?}");
    world.agree(&[HUB, STATION, LAW_OFFICE, OPERATOR])
}

// ---- the tables: what the hub publishes ----

/// Who there is: bodies, deputies, communities.
fn registers() -> Vec<Walk> {
    vec![
        write(
            &[1],
            "工委",
            HUB,
            "org",
            json!({"name": "测试街道人大工委", "org_kind": "committee", "contact": "000-0000-0010", "test_data": true}),
        ),
        write(
            &[1],
            "城管办",
            HUB,
            "org",
            json!({"name": "示例街道城市管理办公室", "org_kind": "office", "aliases": ["城管办"], "test_data": true}),
        ),
        write(
            &[14],
            "交管",
            HUB,
            "org",
            json!({"name": "测试区交通管理部门", "org_kind": "department", "test_data": true}),
        ),
        write(
            &[34],
            "代表甲",
            HUB,
            "deputy",
            json!({"name": "测试代表甲", "level": "district", "term": "测试届", "constituency": "测试选区", "delegation": "示例代表团", "active": true, "contact": "000-0000-0009", "test_data": true}),
        ),
        write(
            &[34],
            "代表乙",
            HUB,
            "deputy",
            json!({"name": "测试代表乙", "level": "city", "delegation": "示例代表团", "active": true, "test_data": true}),
        ),
        write(
            &[5],
            "社区",
            HUB,
            "community",
            json!({"name": "测试社区", "code": "CS01", "area": "示例片区", "test_data": true}),
        ),
        write(
            &[48],
            "服务队",
            HUB,
            "volunteer_team",
            json!({"name": "示例志愿服务队", "head": "测试队长 000-0000-0003", "members_count": 24, "skills": ["家电维修", "法律咨询"], "opened_on": "2022-03-05", "test_data": true}),
        ),
        write(
            &[53],
            "共建单位",
            HUB,
            "partner_org",
            json!({"name": "示例物业公司", "service": "上门检修水电。", "test_data": true}),
        ),
    ]
}

/// Where the work is done.
fn places() -> Vec<Walk> {
    let opened = |on: &str| vec![(HUB, "open", json!({ "on": on }))];
    vec![
        write(
            &[5],
            "工作站",
            HUB,
            "site",
            json!({"name": "示例街道测试社区人大代表工作站", "type": "workstation", "code": "EM1", "host_kind": "community", "community": "@社区", "phone": "000-0000-0020", "opened_on": "2017-06-01", "test_data": true}),
        )
        .goes(opened("2017-06-01"), "active"),
        write(
            &[5],
            "值班表",
            HUB,
            "register",
            json!({"type": "duty_roster", "site": "@工作站", "date": "2026-03-10", "deputies": ["@代表甲", "@代表乙"], "test_data": true}),
        ),
        write(
            &[44],
            "活动室",
            HUB,
            "register",
            json!({"type": "facility", "name": "示例服务场所", "room": "示例活动室", "equipment": ["投影仪", "桌椅"], "signage": true, "duty_list": "接待、登记、反馈。", "opened_on": "2021-01-01", "test_data": true}),
        ),
        write(
            &[45],
            "文化墙",
            HUB,
            "register",
            json!({"type": "asset", "asset_kind": "文化墙", "place": "示例广场东侧", "opened_on": "2022-03-01", "test_data": true}),
        ),
        write(
            &[49],
            "承诺商户",
            HUB,
            "register",
            json!({"type": "partner_shop", "name": "示例便民店", "org": "示例便民店", "service_promise": "老人优先，明码标价。", "test_data": true}),
        ),
        write(
            &[36],
            "社区服务单位",
            HUB,
            "service_unit",
            json!({"name": "示例社区服务单位", "host_kind": "community", "host": "@社区", "area": "@社区", "opened_on": "2022-05-01", "test_data": true}),
        ),
        write(
            &[36],
            "商圈服务单位",
            HUB,
            "service_unit",
            json!({"name": "示例商圈服务单位", "host_kind": "plaza", "host": "示例商圈管理单位", "opened_on": "2022-05-01", "test_data": true}),
        ),
        write(
            &[41],
            "驿站",
            HUB,
            "service_point",
            json!({"place": "示例工地服务驿站", "operator_org": "示例建设公司", "facilities": ["充电", "饮水"], "hours": "7:00–19:00", "opened_on": "2022-06-01", "test_data": true}),
        ),
        write(
            &[27],
            "联系",
            HUB,
            "contact_link",
            json!({"from_actor": "@代表甲", "to": "@工委", "contact_kind": "代表联系人大", "since": "2026-01-01", "test_data": true}),
        ),
    ]
}

/// What goes on for a while: campaigns, brands, theme months, a draft law.
fn campaigns() -> Vec<Walk> {
    let campaign = |practices, name, title: &str, kind: &str| {
        write(
            practices,
            name,
            HUB,
            "campaign",
            json!({"name": title, "type": kind, "start": "2026-01-01", "end": "2026-12-31", "test_data": true}),
        )
    };
    vec![
        write(
            &[8, 9],
            "采集点",
            HUB,
            "site",
            json!({"name": "示例律师事务所基层立法信息采集点", "type": "collection_point", "host_kind": "law_firm", "linked_sites": ["@工作站"], "device_codes": ["LS1A"], "entrust_agreement": "测试委托处理协议2026-01", "opened_on": "2021-06-01", "test_data": true}),
        )
        .goes(vec![(HUB, "open", json!({}))], "active"),
        campaign(&[2], "民情快递", "民情快递（测试）", "brand"),
        campaign(&[13], "会前活动月", "会前活动月（测试）", "campaign"),
        campaign(&[18], "办实事", "我为群众办实事（测试）", "campaign"),
        campaign(&[30], "能力提升", "能力提升年（测试）", "campaign"),
        campaign(&[31], "大走访", "大学习大走访（测试）", "campaign"),
        campaign(&[52], "心安家", "心安家（测试）", "brand"),
        campaign(&[53], "情满淮河", "情满淮河（测试）", "brand"),
        write(
            &[22],
            "主题月",
            HUB,
            "theme_month",
            json!({"month": "2026-03", "theme": "法律服务月（测试）", "test_data": true}),
        ),
        write(
            &[10],
            "来函",
            HUB,
            "legis_consultation",
            json!({
                "issuer": "city", "doc_no": "测试函〔2026〕5号", "law_kind": "local_reg", "reading": "comment_draft",
                "draft_title": "测试市住宅电梯安全条例(草案征求意见稿)", "received_on": "2026-03-01", "site_due_on": "2026-04-10",
                "due_on": "2026-04-15", "key_questions": "故障后多久到场？", "sites": ["@采集点"], "test_data": true,
                "articles": [
                    {"path": "第十二条第一款", "text": "物业服务人应当在电梯发生故障后三十分钟内到达现场。"},
                    {"path": "第十三条", "text": "电梯使用单位应当做好记录。", "note": "新增"},
                ],
            }),
        )
        .goes(
            vec![(HUB, "split", json!({})), (HUB, "open", json!({}))],
            "open",
        ),
    ]
}

// ---- the tables: what is written at the sites, offline ----

/// Reception days, meetings, livestreams.
fn sessions() -> Vec<Walk> {
    vec![
        write(
            &[19],
            "接待日",
            STATION,
            "reception",
            json!({"site": "@工作站", "date": "2026-03-10", "start": "09:00", "end": "11:30", "notice_posted_on": "2026-03-06", "deputies_planned": ["@代表甲"], "deputies_present": ["@代表甲", "测试代表丙"], "visitors_times": 9, "answered_on_spot": 1, "subject": "停车（测试）", "topic": "traffic_parking", "test_data": true}),
        )
        .held_and_confirmed(STATION),
        write(
            &[12],
            "座谈会",
            STATION,
            "meeting",
            json!({"site": "@工作站", "date": "2026-03-17", "format": "symposium", "subject": "停车座谈（测试）", "attendees_count": 12, "deputies": ["@代表甲"], "test_data": true}),
        )
        .held_and_confirmed(STATION),
        write(
            &[20],
            "话心声",
            STATION,
            "meeting",
            json!({"date": "2026-03-18", "format": "heart_talk", "subject": "代表群众话心声（测试）", "attendees_count": 20, "deputies": ["@代表乙"], "test_data": true}),
        )
        .confirmed(STATION),
        write(
            &[21],
            "直播",
            STATION,
            "livestream",
            json!({"session_no": 7, "platform": "短视频平台（测试）", "subject": "流感疫苗接种科普", "hosts": ["@代表乙"], "site": "@工作站", "started_at": "2026-03-20T19:00+08:00", "ended_at": "2026-03-20T20:30+08:00", "cumulative_viewers": 1234, "peak_online": 321, "discussants": 87, "comments_count": 205, "metric_source": "平台后台截图", "metric_at": "2026-03-20T21:10+08:00", "replay_url": "https://example.invalid/7", "topic": "health", "test_data": true}),
        )
        .held_and_confirmed(STATION),
    ]
}

/// Activities of theme months with what comes of them, and inspections.
fn activities() -> Vec<Walk> {
    vec![
        write(
            &[22, 23],
            "主题活动",
            STATION,
            "theme_activity",
            json!({"year_month": "2026-03", "theme": "法律服务月（测试）", "theme_month": "@主题月", "title": "送法律进测试社区", "site": "@工作站", "date": "2026-03-15", "deputies": ["@代表甲", "@代表乙"], "deputies_lead": ["@代表甲"], "service_types": ["culture", "legal", "medical"], "persons_served_times": 46, "test_data": true}),
        )
        .confirmed(STATION),
        write(
            &[24],
            "捐赠",
            STATION,
            "donation",
            json!({"date": "2026-03-15", "donation_kind": "goods", "amount_fen": 1_500_000, "valuation_basis": "receipt", "donor_card": "示例商贸有限公司", "recipient_kind": "school", "via": "示例慈善会", "related_activity": "@主题活动", "test_data": true}),
        ),
        write(
            &[25],
            "纠纷",
            STATION,
            "mediation",
            json!({"date": "2026-03-14", "dispute_type": "neighbour", "parties_count": 2, "mediator_org": "测试社区人民调解委员会", "deputies": ["@代表甲"], "summary": "楼上漏水，双方同意维修。", "site": "@工作站", "source_event": "@主题活动", "person": {"call_name": "测试女士", "phone": "000-0000-0002"}, "test_data": true}),
        )
        .goes(
            vec![
                (STATION, "start", json!({})),
                (STATION, "agree", json!({"agreed_on": "2026-03-15", "agreement_form": "oral"})),
                (STATION, "follow_up", json!({"performed": "yes", "on": "2026-04-01"})),
                (HUB, "archive", json!({})),
            ],
            "archived",
        )
        .holds(json!({"result": "agreed", "agreed_on": "2026-03-15", "agreement_form": "oral", "performed": "yes", "judicial_confirm_due": "2026-04-14"})),
        write(
            &[16, 32],
            "视察",
            STATION,
            "inspection",
            json!({"type": "inspection", "date": "2026-05-12", "level": "sub_district", "host_orgs": ["示例机械有限公司"], "deputies": ["@代表甲"], "report": "企业反映招工难。", "topic": "economy", "issues": [{"text": "夜班工人通勤不便。", "unit": "@城管办"}, {"text": "用电紧张。"}], "test_data": true}),
        )
        .goes(
            vec![
                (STATION, "record", json!({})),
                (HUB, "forward", json!({"forwarded_on": "2026-05-20"})),
                (HUB, "confirm", json!({})),
                (HUB, "feed_back", json!({"feedback_on": "2026-08-01", "result": "已开两场招聘会（测试）。"})),
            ],
            "confirmed",
        )
        .holds(json!({"forwarded_on": "2026-05-20", "feedback_due": "2026-08-20", "feedback_on": "2026-08-01", "result": "已开两场招聘会（测试）。"})),
        write(
            &[17],
            "评议",
            STATION,
            "inspection",
            json!({"type": "appraisal", "date": "2026-06-02", "level": "district", "organ": "测试区人民法院", "deputies": ["@代表甲", "@代表乙"], "report": "参加评议（测试）。", "topic": "legal_service", "test_data": true}),
        )
        .confirmed(STATION),
        write(
            &[32],
            "更新视察",
            STATION,
            "inspection",
            json!({"type": "research", "date": "2026-06-09", "deputies": ["@代表甲"], "topic": "housing_renewal", "test_data": true}),
        )
        .confirmed(STATION),
    ]
}

/// Visits of every purpose.
fn visits() -> Vec<Walk> {
    let visit = |practices, name, input: Value| {
        write(practices, name, STATION, "visit", input).confirmed(STATION)
    };
    vec![
        visit(
            &[11, 28],
            "专题走访",
            json!({"date": "2026-03-11", "mode": "topic", "targets_count": 4, "place": "示例小区", "deputies": ["@代表甲"], "needs_summary": "反映停车难。", "topic": "traffic_parking", "site": "@工作站", "test_data": true}),
        ),
        visit(
            &[28],
            "预约接访",
            json!({"date": "2026-03-12", "mode": "appointed", "targets_count": 1, "deputies": ["@代表乙"], "persons_times": 2, "test_data": true}),
        ),
        visit(
            &[28, 31],
            "随机走访",
            json!({"date": "2026-03-13", "mode": "random", "target_kind": "household", "targets_count": 6, "deputies": ["@代表甲"], "campaign": ["@大走访"], "test_data": true}),
        ),
        visit(
            &[26],
            "走访慰问",
            json!({"date": "2026-01-20", "mode": "care", "target_kind": "household", "targets_count": 8, "staff": ["测试工作人员"], "test_data": true}),
        ),
        visit(
            &[39],
            "企业走访",
            json!({"date": "2026-03-16", "mode": "enterprise", "target_kind": "enterprise", "targets_count": 70, "org_ref": "示例机械有限公司", "needs_summary": "两家反映招工难。", "topic": "employment", "test_data": true}),
        ),
        visit(
            &[46],
            "入户走访",
            json!({"date": "2026-03-19", "mode": "home", "target_kind": "household", "targets_count": 30, "needs_summary": "希望延长服务时间。", "test_data": true}),
        ),
        visit(
            &[46],
            "商户走访",
            json!({"date": "2026-03-19", "mode": "random", "target_kind": "shop", "targets_count": 12, "test_data": true}),
        ),
        visit(
            &[52],
            "心安家走访",
            json!({"date": "2026-03-12", "mode": "home", "target_kind": "site_workers", "targets_count": 5, "place": "示例工地", "campaign": ["@心安家"], "test_data": true}),
        ),
    ]
}

/// What residents say: handled by a unit, answered on the spot, or not for us.
fn opinions() -> Vec<Walk> {
    let mut lamp = opinion("路灯不亮");
    if let Value::Object(lamp) = &mut lamp {
        lamp.insert(
            "place".to_owned(),
            json!({"community": "@社区", "text": "测试小区3号楼东侧"}),
        );
        lamp.insert("source_event".to_owned(), json!("@接待日"));
        lamp.insert("deputies".to_owned(), json!(["@代表甲"]));
        lamp.insert(
            "campaign".to_owned(),
            json!(["@民情快递", "@办实事", "@能力提升"]),
        );
    }
    let solved =
        json!({"resolution": "solved", "solved_on": "2026-03-25", "solved_basis": "site_check"});
    let way = vec![
        (HUB, "accept", json!({})),
        (
            HUB,
            "dispatch",
            json!({"lead": "@城管办", "text": "请尽快办理（测试）"}),
        ),
        (HUB, "sign", json!({})),
        (
            HUB,
            "submit_reply",
            json!({"resolution": "solved", "text": "已修好（测试）。"}),
        ),
        (HUB, "approve", json!({})),
        (
            STATION,
            "inform",
            json!({"on": "2026-03-26", "way": "phone"}),
        ),
        (
            STATION,
            "rate",
            json!({"evaluation": "satisfied", "rated_through": "clerk"}),
        ),
        (HUB, "close", solved),
    ];
    let spoken = |words: &str| {
        vec![
            (STATION, "answer_on_spot", json!({ "text": words })),
            (HUB, "close", json!({"resolution": "explained"})),
        ]
    };
    vec![
        write(&[2, 18, 30], "路灯", STATION, "opinion", lamp)
            .goes(way, "closed")
            .holds(json!({"lead": "@城管办", "due_rule": "D16", "resolution": "solved", "solved_on": "2026-03-25", "solved_basis": "site_check", "evaluation": "satisfied"})),
        write(
            &[3],
            "热线意见",
            STATION,
            "opinion",
            json!({"channel": "phone", "category": "consult", "body": "测试小区什么时候通公交？", "external_ref": [{"system": "12345", "no": "20260001", "date": "2026-03-09"}], "test_data": true}),
        )
        .goes(spoken("公交线路正在规划（测试）。"), "closed")
        .holds(json!({"resolution": "explained"})),
        write(
            &[21],
            "直播意见",
            STATION,
            "opinion",
            json!({"channel": "livestream", "category": "suggestion", "body": "希望增加接种点（测试）。", "source_event": "@直播", "topic": "health", "test_data": true}),
        )
        .goes(spoken("已转告社区（测试）。"), "closed")
        .holds(json!({"resolution": "explained"})),
        write(
            &[16],
            "招工意见",
            STATION,
            "opinion",
            json!({"channel": "inspection", "category": "help", "body": "示例机械有限公司招工难（测试）。", "source_event": "@视察", "topic": "employment", "test_data": true}),
        )
        .goes(vec![(HUB, "accept", json!({"petition_class": "proposal"}))], "accepted")
        .holds(json!({"petition_class": "proposal"})),
    ]
}

/// What deputies propose: drafted and signed where they sit.
fn suggestions() -> Vec<Walk> {
    let way = vec![
        (
            STATION,
            "confirm_co",
            json!({"co_confirmed": ["@代表乙"], "on": "2026-03-17"}),
        ),
        (STATION, "sign", json!({"on": "2026-03-18"})),
        (HUB, "review", json!({})),
        (HUB, "pass", json!({})),
        (
            HUB,
            "report_up",
            json!({"reported_on": "2026-03-20", "doc_no": "测试函〔2026〕2号"}),
        ),
        (
            HUB,
            "hand_over",
            json!({"handed_over_on": "2026-03-24", "doc_no": "测试函〔2026〕3号", "official_no": "测试区〔2026〕闭会第3号", "handling_mode": "joint", "lead_unit": "@交管", "co_units": ["@城管办"]}),
        ),
        (HUB, "start", json!({})),
        (
            HUB,
            "reply",
            json!({"replied_on": "2026-06-10", "doc_no": "测试复〔2026〕1号", "reply_form": "face", "result_class": "B", "result_type": "planned", "timing": "this_year", "text": "列入计划（测试）。"}),
        ),
        (
            STATION,
            "rate",
            json!({"attitude_rating": "satisfied", "result_rating": "basically", "implementation": "partly"}),
        ),
        (HUB, "track", json!({})),
    ];
    vec![
        write(
            &[13, 14],
            "建议",
            STATION,
            "deputy_suggestion",
            json!({"title": "关于在示例小学周边设置限时停车位的建议", "proposer_kind": "joint", "lead_deputy": "@代表甲", "co_deputies": ["@代表乙"], "collected_on": "2026-03-17", "session": "closed", "level": "district", "facts": "高峰时段占道车辆约40辆（测试数据）。", "analysis": "学校门前没有停车位。", "proposal": "施划20个限时停车位，限停15分钟。", "source_opinions": ["@路灯"], "source_event": "@座谈会", "channel": "symposium", "topic": "traffic_parking", "campaign": ["@会前活动月"], "test_data": true}),
        )
        .goes(way, "tracking")
        .holds(json!({"co_confirmed": ["@代表乙"], "admissibility": "ok", "reported_on": "2026-03-20", "hand_over_by": "2026-03-27", "handed_over_on": "2026-03-24", "due_on": "2026-06-24", "due_rule": "D4", "official_no": "测试区〔2026〕闭会第3号", "lead_unit": "@交管", "co_units": ["@城管办"], "replied_on": "2026-06-10", "result_class": "B", "result_type": "planned", "attitude_rating": "satisfied", "result_rating": "basically"})),
        write(
            &[14],
            "沟通",
            STATION,
            "contact_record",
            json!({"suggestion": "@建议", "on": "2026-05-06", "way": "visit", "text": "与测试代表甲到现场查看。"}),
        )
        .belongs_to("建议"),
    ]
}

/// Requests for services, shifts, joint activities, contacts, the six haves.
fn services() -> Vec<Walk> {
    let has = |code: &str, label: &str, ok: bool| json!({"code": code, "label": label, "ok": ok});
    vec![
        write(
            &[52],
            "需求",
            STATION,
            "service_request",
            json!({"type": "repair", "requester_kind": "site_worker", "text": "示例工地宿舍水龙头坏了，请人来修。", "identity_mode": "confidential", "person": {"call_name": "测试师傅", "phone": "000-0000-0002"}, "occurred_on": "2026-03-12", "source_event": "@心安家走访", "campaign": ["@心安家"], "test_data": true}),
        )
        .goes(
            vec![
                (STATION, "accept", json!({})),
                (HUB, "assign", json!({"served_by": "@服务队"})),
                (HUB, "finish", json!({"done_on": "2026-03-13"})),
                (STATION, "rate", json!({"rating": "satisfied"})),
                (STATION, "close", json!({})),
            ],
            "closed",
        )
        .holds(json!({"served_by": "@服务队", "done_on": "2026-03-13", "rating": "satisfied"})),
        write(
            &[53],
            "服务活动",
            STATION,
            "service_activity",
            json!({"date": "2026-03-15", "site": "@工作站", "place": "测试社区广场", "partner_orgs": ["@共建单位", "示例社会组织"], "service_types": ["legal", "medical"], "persons_served_times": 46, "summary": "义诊、法律咨询、理发。", "campaign": ["@情满淮河"], "test_data": true}),
        )
        .confirmed(STATION),
        write(
            &[48],
            "志愿服务",
            STATION,
            "volunteer_shift",
            json!({"team": "@服务队", "date": "2026-03-14", "hours": 3, "people_count": 6, "activity": "清理楼道。", "external_system_no": "20260002", "test_data": true}),
        )
        .confirmed(STATION),
        write(
            &[27],
            "联系记录",
            STATION,
            "contact_log",
            json!({"link": "@联系", "date": "2026-02-10", "text": "听取对停车的意见（测试）。"}),
        ),
        write(
            &[7],
            "六有",
            STATION,
            "site_checklist",
            json!({"site": "@工作站", "checked_on": "2026-03-01", "test_data": true, "items": [
                has("place", "有场所", true), has("signage", "有标识", true), has("rules", "有制度", true),
                has("staff", "有人员", true), has("ledger", "有台账", true), has("funds", "有经费", false),
            ]}),
        ),
    ]
}

/// Comments on the draft: from the law office, and from the station.
fn comments() -> Vec<Walk> {
    vec![
        write(
            &[9, 10],
            "律所意见",
            LAW_OFFICE,
            "legis_comment",
            json!({"consultation": "@来函", "article_path": "第十二条第一款", "action": "amend", "original_words": "有人被困和没人被困不能一个标准。", "reason": "困人情形紧迫性不同。", "commenter_kind": "lawyer", "form": "written", "collected_by": "测试采集员", "occurred_on": "2026-03-20", "test_data": true}),
        )
        .goes(
            vec![(HUB, "word", json!({"legal_wording": "电梯困人的，应当在十五分钟内到达现场。"}))],
            "worded",
        )
        .holds(json!({"legal_wording": "电梯困人的，应当在十五分钟内到达现场。"})),
        write(
            &[10],
            "居民意见",
            STATION,
            "legis_comment",
            json!({"consultation": "@来函", "article_path": "第十二条第一款", "action": "amend", "original_words": "人关在里面半小时太久了。", "commenter_kind": "resident", "form": "reception", "source_event": "@接待日", "occurred_on": "2026-03-10", "test_data": true}),
        )
        .goes(
            vec![(STATION, "word", json!({"legal_wording": "应当在十五分钟内到达。"}))],
            "worded",
        )
        .holds(json!({"legal_wording": "应当在十五分钟内到达。"})),
    ]
}

// ---- the tables: the sub-district's desk ----

/// What is written at the hub and at an operator's PC and stays there.
fn desk() -> Vec<Walk> {
    let way = vec![
        (HUB, "sign", json!({})),
        (HUB, "review", json!({})),
        (HUB, "pass", json!({})),
        (HUB, "report_up", json!({"reported_on": "2026-03-20"})),
        (
            HUB,
            "hand_over",
            json!({"handed_over_on": "2026-03-24", "doc_no": "测试函〔2026〕4号", "lead_unit": "@交管"}),
        ),
        (
            OPERATOR,
            "key_supervise",
            json!({"doc_no": "测试〔2026〕2号"}),
        ),
        (
            OPERATOR,
            "reply",
            json!({"replied_on": "2026-06-11", "doc_no": "测试复〔2026〕2号"}),
        ),
        (
            OPERATOR,
            "rate",
            json!({"attitude_rating": "satisfied", "result_rating": "satisfied"}),
        ),
        (HUB, "complete", json!({"implementation": "full"})),
    ];
    vec![
        write(
            &[15],
            "老街建议",
            HUB,
            "deputy_suggestion",
            json!({"title": "关于保护示例老街的建议", "proposer_kind": "delegation", "delegation": "示例代表团", "session": "in_session", "topic": "culture_sport", "test_data": true}),
        )
        .goes(way, "completed")
        .holds(json!({"due_on": "2026-06-24", "implementation": "full"})),
        write(
            &[15],
            "督办",
            OPERATOR,
            "supervision",
            json!({"target": "@老街建议", "level": "district_key", "decided_by": "测试区人大常委会主任会议", "decided_on": "2026-04-01", "doc_no": "测试〔2026〕2号", "unit": "@交管", "due_on": "2026-09-30", "test_data": true}),
        )
        .goes(
            vec![
                (OPERATOR, "update", json!({"progress": "已完成踏勘（测试）。"})),
                (HUB, "close", json!({"reported_back_on": "2026-09-20", "principal_face_reply": true})),
            ],
            "closed",
        )
        .holds(json!({"progress": "已完成踏勘（测试）。", "reported_back_on": "2026-09-20", "principal_face_reply": true})),
        write(
            &[4],
            "线上意见",
            HUB,
            "opinion",
            json!({"channel": "online_external", "category": "complaint", "body": "邻街示例路面不平（测试）。", "test_data": true}),
        )
        .goes(
            vec![
                (HUB, "refuse", json!({"not_accepted_reason": "out_of_area", "referral_text": "请向测试邻街反映。"})),
                (HUB, "tell", json!({"on": "2026-03-12", "way": "phone"})),
            ],
            "told",
        )
        .holds(json!({"not_accepted_reason": "out_of_area", "referral_text": "请向测试邻街反映。"})),
        write(
            &[14],
            "承诺",
            HUB,
            "commitment",
            json!({"suggestion": "@建议", "text": "9月1日前完成施划（测试）。", "due": "2026-08-31"}),
        )
        .belongs_to("建议")
        .goes(
            vec![(HUB, "done", json!({"done_on": "2026-08-20"}))],
            "done",
        )
        .holds(json!({"done_on": "2026-08-20"})),
        write(
            &[14],
            "承办单",
            HUB,
            "assignment",
            json!({"parent": "@建议", "unit": "@交管", "role": "lead", "authority": "statutory_handover", "issued_on": "2026-03-24", "due_on": "2026-06-24"}),
        )
        .belongs_to("建议")
        .goes(
            vec![
                (HUB, "sign", json!({"signed_on": "2026-03-25"})),
                (HUB, "reply", json!({})),
            ],
            "replied",
        )
        .holds(json!({"signed_on": "2026-03-25"})),
    ]
}

/// Trainings, and money for the stations.
fn trainings() -> Vec<Walk> {
    let training = |practices, name, input: Value| {
        write(practices, name, HUB, "training", input).confirmed(HUB)
    };
    vec![
        training(
            &[29],
            "履职培训",
            json!({"title": "新当选代表履职培训（测试）", "organiser_level": "city", "form": "lecture", "date": "2026-02-03", "hours": 6, "attendees": ["@代表甲", "@代表乙"], "subject": "怎样写代表建议。", "test_data": true}),
        ),
        training(
            &[31],
            "全员培训",
            json!({"title": "大学习（测试）", "organiser_level": "sub_district", "form": "symposium", "date": "2026-02-10", "campaign": ["@大走访"], "test_data": true}),
        ),
        training(
            &[43],
            "专题培训",
            json!({"title": "专题培训第一期（测试）", "organiser_level": "sub_district", "form": "visit", "date": "2026-02-17", "hours": 3, "test_data": true}),
        ),
        write(
            &[6],
            "投入",
            HUB,
            "site_investment",
            json!({"site": "@工作站", "amount_fen": 10_000_000, "date": "2026-01-20", "purpose": "完善提升接待室", "source": "街道经费（测试）", "test_data": true}),
        ),
    ]
}

/// What comments are made into, and reported up.
fn items() -> Vec<Walk> {
    vec![
        write(
            &[10],
            "条目",
            HUB,
            "legis_item",
            json!({"consultation": "@来函", "article_path": "第十二条第一款", "text": "电梯困人的，应当在十五分钟内到达现场。", "reason": "困人情形紧迫。", "sources": ["@律所意见", "@居民意见"], "test_data": true}),
        )
        .goes(vec![(OPERATOR, "approve", json!({}))], "approved"),
        // What it was made from goes along.
        onward(&[10], "律所意见").goes(vec![], "merged"),
        onward(&[10], "居民意见").goes(vec![], "merged"),
        write(
            &[10],
            "上报",
            HUB,
            "legis_submission",
            json!({"consultation": "@来函", "items": ["@条目"], "date": "2026-04-15", "receiver": "测试区人大常委会", "document": "测试函〔2026〕9号", "test_data": true}),
        )
        .goes(vec![], "draft"),
    ]
}

/// How all that has begun ends.
fn endings() -> Vec<Walk> {
    let adopted = json!({"adoption": {"result": "adopted", "evidence": "见条例第十二条（测试）。", "reported_on": "2026-08-01"}});
    let comment = |name| {
        onward(&[10], name)
            .goes(vec![], "fed_back")
            .holds(json!({"merged_item": "@条目", "adoption": {"result": "adopted", "evidence": "见条例第十二条（测试）。", "reported_on": "2026-08-01"}}))
    };
    let sent = onward(&[10], "上报").goes(vec![(HUB, "send", json!({"on": "2026-04-15"}))], "sent");
    let item = onward(&[10], "条目")
        .goes(
            vec![
                (HUB, "feed_back", adopted),
                (HUB, "notify", json!({})),
            ],
            "notified",
        )
        .holds(json!({"notified_sources": true, "adoption": {"result": "adopted", "reported_on": "2026-08-01"}}));
    let mut way: Vec<Taken> = [
        "close_sites",
        "merge",
        "submit_review",
        "submit",
        "await_feedback",
        "feed_back",
    ]
    .map(|event| (HUB, event, json!({})))
    .into();
    way.push((
        HUB,
        "compare",
        json!({"passed_on": "2026-08-01", "final_text": "第十二条（测试）。"}),
    ));
    way.push((HUB, "archive", json!({})));
    let solved =
        json!({"resolution": "solved", "solved_on": "2026-07-01", "solved_basis": "site_check"});
    vec![
        sent,
        item,
        comment("律所意见"),
        comment("居民意见"),
        onward(&[10], "来函")
            .goes(way, "archived")
            .holds(json!({"passed_on": "2026-08-01", "final_text": "第十二条（测试）。"})),
        onward(&[14], "建议")
            .goes(
                vec![
                    (HUB, "complete", json!({"implementation": "full"})),
                    (HUB, "archive", json!({})),
                ],
                "archived",
            )
            .holds(json!({"implementation": "full"})),
        onward(&[16], "问题")
            .goes(
                vec![
                    (HUB, "forward", json!({"on": "2026-05-20"})),
                    (HUB, "resolve", solved.clone()),
                ],
                "resolved",
            )
            .holds(solved),
    ]
}

// ---- guards and terms ----

/// A suggestion that was drafted at a node.
fn drafted(world: &mut World, node: usize, more: Value) -> Result<String> {
    let mut input = json!({
        "title": "关于在示例小学周边设置限时停车位的建议", "lead_deputy": "测试代表甲", "proposal": "限停15分钟。", "test_data": true,
    });
    if let (Value::Object(input), Value::Object(more)) = (&mut input, more) {
        input.extend(more);
    }
    Ok(world.record(node, "deputy_suggestion", input)?.0)
}

/// Takes a signed suggestion to where a unit has it, and gives it as it is shown then.
fn handed_over(world: &mut World, node: usize, id: &str, on: &str) -> Result<Value> {
    let way = [
        ("review", json!({})),
        ("pass", json!({})),
        ("report_up", json!({"reported_on": "2026-03-20"})),
        (
            "hand_over",
            json!({"handed_over_on": on, "doc_no": "测试函〔2026〕3号"}),
        ),
    ];
    steps(world, node, id, &way)?;
    world.show(node, id)
}

/// The steps of a reply and of how it is rated.
fn rated(attitude: &str, result: &str) -> [(&'static str, Value); 2] {
    let replied = json!({"replied_on": "2026-06-20", "doc_no": "测试复〔2026〕1号"});
    let rating = json!({"attitude_rating": attitude, "result_rating": result});
    [("reply", replied), ("rate", rating)]
}

#[test]
fn a_suggestion_is_signed_when_every_co_deputy_has_confirmed() -> Result<()> {
    let mut world = network()?;
    let co = ["测试代表丙", "测试代表丁"];
    let joint = json!({"proposer_kind": "joint", "co_deputies": co});
    let id = drafted(&mut world, STATION, joint)?;
    for deputy in co {
        let early = step(&mut world, STATION, &id, "sign", json!({}));
        ensure!(
            refused(early) == Some(Code::StepRefused),
            "signed before {deputy} confirmed"
        );
        let confirmed = json!({"co_confirmed": [deputy]});
        step(&mut world, STATION, &id, "confirm_co", confirmed)?;
    }
    step(&mut world, STATION, &id, "sign", json!({}))?;
    world.heal()?;
    let shown = world.show(HUB, &id)?;
    ensure!(text(&shown, "status") == "signed", "{shown}");
    // What is changed is confirmed anew by everyone.
    let reason = json!({"note": "请写明地点（测试）。"});
    step(&mut world, HUB, &id, "revise", reason)?;
    let early = step(&mut world, HUB, &id, "sign", json!({}));
    ensure!(refused(early) == Some(Code::StepRefused), "signed anew");
    let both = json!({ "co_confirmed": co });
    steps(
        &mut world,
        HUB,
        &id,
        &[("confirm_co", both), ("sign", json!({}))],
    )?;

    let shown = handed_over(&mut world, HUB, &id, "2026-03-24")?;
    ensure!(field(&shown, "due_on") == json!("2026-06-24"), "{shown}");
    ensure!(field(&shown, "due_rule") == json!("D4"), "{shown}");
    // Five working days from the report on a Friday.
    ensure!(field(&shown, "hand_over_by") == json!("2026-03-27"));
    // Neither is anything put off to before it is due, nor answered before it was handed over.
    let extension =
        |day: &str| json!({"extension": {"approved_by": "测试区人大常委会", "new_due": day}});
    let early = step(&mut world, HUB, &id, "extend", extension("2026-06-23"));
    ensure!(
        refused(early) == Some(Code::FieldsRefused),
        "put off backwards"
    );
    let reply = json!({"replied_on": "2026-03-23", "doc_no": "测试复〔2026〕1号"});
    let early = step(&mut world, HUB, &id, "reply", reply);
    ensure!(
        refused(early) == Some(Code::FieldsRefused),
        "answered before"
    );
    step(&mut world, HUB, &id, "extend", extension("2026-09-22"))?;
    let shown = world.show(HUB, &id)?;
    ensure!(text(&shown, "status") == "extended", "{shown}");
    ensure!(field(&shown, "due_on") == json!("2026-09-22"), "{shown}");
    ensure!(field(&shown, "due_rule") == json!("D5"), "{shown}");
    // The six months that there are at most, where nobody says how long.
    let longest = json!({"extension": {"approved_by": "测试区人大常委会"}});
    step(&mut world, HUB, &id, "extend", longest)?;
    let shown = world.show(HUB, &id)?;
    ensure!(field(&shown, "due_on") == json!("2026-09-24"), "{shown}");
    ensure!(field(&shown, "due_rule") == json!("D5"), "{shown}");

    steps(&mut world, HUB, &id, &rated("satisfied", "basically"))?;
    let again = step(&mut world, HUB, &id, "rehandle", json!({}));
    ensure!(
        refused(again) == Some(Code::StepRefused),
        "handled again although nobody is dissatisfied"
    );
    world.heal()?;
    let shown = world.show(STATION, &id)?;
    ensure!(text(&shown, "status") == "rated", "{shown}");
    ensure!(field(&shown, "due_on") == json!("2026-09-24"), "{shown}");
    world.agree(&[HUB, STATION, OPERATOR])
}

#[test]
fn one_rating_that_is_dissatisfied_is_enough_to_handle_it_again() -> Result<()> {
    let mut world = network()?;
    for (attitude, result) in [("dissatisfied", "satisfied"), ("no_view", "dissatisfied")] {
        let id = drafted(&mut world, HUB, json!({}))?;
        step(&mut world, HUB, &id, "sign", json!({}))?;
        handed_over(&mut world, HUB, &id, "2026-03-24")?;
        steps(&mut world, HUB, &id, &rated(attitude, result))?;
        step(
            &mut world,
            HUB,
            &id,
            "rehandle",
            json!({"on": "2026-07-01"}),
        )?;
        let shown = world.show(HUB, &id)?;
        ensure!(text(&shown, "status") == "rehandle", "{shown}");
        // One month; the first of August is a Saturday.
        ensure!(field(&shown, "due_on") == json!("2026-08-03"), "{shown}");
        ensure!(field(&shown, "due_rule") == json!("D6"), "{shown}");
    }
    Ok(())
}

/// An accepted opinion of the station's: its id and its number.
fn accepted(world: &mut World, title: &str) -> Result<(String, String)> {
    let (id, number) = world.record(STATION, "opinion", opinion(title))?;
    world.heal()?;
    step(world, HUB, &id, "accept", json!({}))?;
    Ok((id, number))
}

/// The working day that a period from a day on ends on, by what this release knows.
fn due(from: &str, length: &str) -> Result<Value> {
    let due = Calendar::standard().due(from.parse()?, length.parse()?, &[]);
    Ok(json!(due.to_string()))
}

// That a return after its last day has no effect is judged in the fold, and tested there.
#[test]
fn a_dispatch_has_a_term_by_rule_unless_somebody_sets_the_day() -> Result<()> {
    let mut world = network()?;
    let (id, number) = accepted(&mut world, "路灯不亮")?;
    // By when it is signed for is nobody's to choose.
    let chosen = json!({"lead": "测试城管科", "sign_by": "2026-12-31"});
    let chosen = step(&mut world, HUB, &id, "dispatch", chosen);
    ensure!(refused(chosen) == Some(Code::FieldsRefused));
    let lead = json!({"lead": "测试城管科"});
    step(&mut world, HUB, &id, "dispatch", lead)?;
    world.heal()?;
    let sheet_number = format!("{number}/Z1");
    let sheet = world.show(HUB, &sheet_number)?;
    let issued = field(&sheet, "issued_on");
    let issued = issued.as_str().context("no day of issue")?;
    for node in [HUB, STATION, OPERATOR] {
        let shown = world.show(node, &id)?;
        for (key, length) in [("due_on", "15d"), ("return_until", "5w"), ("sign_by", "2w")] {
            let (held, expected) = (field(&shown, key), due(issued, length)?);
            ensure!(held == expected, "{key} at node {node}: {held}");
        }
        ensure!(field(&shown, "due_rule") == json!("D16"), "{shown}");
        let sheet = world.show(node, &sheet_number)?;
        ensure!(field(&sheet, "due_on") == due(issued, "15d")?, "{sheet}");
        ensure!(field(&sheet, "due_rule") == json!("D16"), "{sheet}");
    }
    // A return in time is heard.
    let reason = json!({"return_reason": "unclear"});
    step(&mut world, HUB, &id, "return", reason)?;
    let shown = world.show(HUB, &id)?;
    ensure!(text(&shown, "status") == "return_pending", "{shown}");

    let (id, number) = accepted(&mut world, "井盖松动")?;
    let typed = json!({"lead": "测试城管科", "due_on": "2027-01-05"});
    step(&mut world, HUB, &id, "dispatch", typed)?;
    world.heal()?;
    for shown in [
        world.show(STATION, &id)?,
        world.show(STATION, &format!("{number}/Z1"))?,
    ] {
        ensure!(field(&shown, "due_on") == json!("2027-01-05"), "{shown}");
        ensure!(field(&shown, "due_rule").is_null(), "{shown}");
    }
    // The other dates are the rules' all the same.
    let shown = world.show(STATION, &id)?;
    let expected = due(issued, "5w")?;
    ensure!(field(&shown, "return_until") == expected, "{shown}");
    Ok(())
}

#[test]
fn what_is_registered_has_a_day_by_which_it_is_told_whether_it_is_accepted() -> Result<()> {
    let mut world = network()?;
    // 2 March 2026, ten in the morning in Beijing; and the eve of a year whose days off are not known.
    for (now_ms, day, guessed) in [
        (1_772_416_800_000, "2026-03-17", Value::Null),
        (1_798_682_400_000, "2027-01-15", json!(["tell_by"])),
    ] {
        world.set_clock(STATION, now_ms)?;
        let (id, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
        world.heal()?;
        for node in [STATION, HUB, OPERATOR] {
            let shown = world.show(node, &id)?;
            ensure!(field(&shown, "tell_by") == json!(day), "{shown}");
            ensure!(field(&shown, "estimated") == guessed, "{shown}");
        }
    }
    world.agree(&[HUB, STATION, OPERATOR])
}

#[test]
fn who_assists_has_a_month_of_its_own_from_the_day_on_which_it_has_the_sheet() -> Result<()> {
    let mut world = network()?;
    let (id, number) = accepted(&mut world, "路灯不亮")?;
    let units = json!({"lead": "测试城管科", "co": ["测试交警"], "term": "hotline"});
    step(&mut world, HUB, &id, "dispatch", units)?;
    let of = |world: &mut World, number: &str| -> Result<[Value; 3]> {
        let sheet = world.show(HUB, number)?;
        Ok(["issued_on", "due_on", "due_rule"].map(|key| field(&sheet, key)))
    };
    let [issued, day, rule] = of(&mut world, &format!("{number}/Z1"))?;
    let issued = issued.as_str().context("no day of issue")?.to_owned();
    ensure!((day, rule) == (due(&issued, "5w")?, json!("D12")));
    let other = format!("{number}/Z2");
    let [_, day, rule] = of(&mut world, &other)?;
    ensure!((day, rule) == (due(&issued, "1m")?, json!("D3")));
    step(
        &mut world,
        HUB,
        &other,
        "sign",
        json!({"signed_on": "2026-11-04"}),
    )?;
    let [_, day, rule] = of(&mut world, &other)?;
    ensure!((day, rule) == (json!("2026-12-04"), json!("D3")));

    // The same under a suggestion, where its own day comes with the form; and a day that somebody chose stays.
    let id = drafted(&mut world, HUB, json!({}))?;
    step(&mut world, HUB, &id, "sign", json!({}))?;
    let shown = handed_over(&mut world, HUB, &id, "2026-03-24")?;
    for (role, day, expected) in [
        ("co", field(&shown, "due_on"), ["2026-04-24", "D3"]),
        ("lead", field(&shown, "due_on"), ["2026-06-24", ""]),
        ("co", json!("2026-05-06"), ["2026-05-06", ""]),
    ] {
        let sheet = json!({
            "parent": id, "unit": "测试城管科", "role": role, "issued_on": "2026-03-24", "due_on": day, "test_data": true,
        });
        let (sheet, _) = world.record(HUB, "assignment", sheet)?;
        step(
            &mut world,
            HUB,
            &sheet,
            "sign",
            json!({"signed_on": "2026-03-24"}),
        )?;
        let sheet = world.show(HUB, &sheet)?;
        let held = ["due_on", "due_rule"].map(|key| field(&sheet, key));
        let held = held.each_ref().map(|it| it.as_str().unwrap_or_default());
        ensure!(held == expected, "{role}: {held:?}");
    }
    world.heal()?;
    world.agree(&[HUB, STATION, OPERATOR])
}

#[test]
fn what_deputies_said_on_the_spot_is_answered_within_a_month_of_being_passed_on() -> Result<()> {
    let mut world = network()?;
    let visit = json!({
        "type": "inspection", "date": "2026-03-05", "level": "sub_district", "test_data": true,
        "issues": [{"text": "两家企业反映招工难（测试）。"}],
    });
    let (id, _) = world.record(HUB, "inspection", visit)?;
    let shown = world.show(HUB, &id)?;
    let issue = shown.pointer("/fields/issues/0/id").and_then(Value::as_str);
    let issue = issue.with_context(|| shown.to_string())?.to_owned();
    step(
        &mut world,
        HUB,
        &issue,
        "forward",
        json!({"on": "2026-03-09"}),
    )?;
    let shown = world.show(HUB, &issue)?;
    ensure!(field(&shown, "due_on") == json!("2026-04-09"), "{shown}");
    ensure!(field(&shown, "due_rule") == json!("D7"), "{shown}");
    Ok(())
}

/// The day on which a reply is due to a suggestion that was handed over on 30 November 2026, as a node computes it; with its id.
fn due_at(world: &mut World, node: usize) -> Result<(String, Value)> {
    let id = drafted(world, node, json!({}))?;
    step(world, node, &id, "sign", json!({}))?;
    let shown = handed_over(world, node, &id, "2026-11-30")?;
    Ok((id, field(&shown, "due_on")))
}

/// Until when a court may be asked to confirm an agreement of 30 January 2027, as the station computes it.
fn confirm_due(world: &mut World) -> Result<Value> {
    let dispute = json!({"dispute_type": "neighbour", "date": "2027-01-29", "test_data": true});
    let (id, _) = world.record(STATION, "mediation", dispute)?;
    let agreed = json!({"agreed_on": "2027-01-30", "agreement_form": "written"});
    step(world, STATION, &id, "agree", agreed)?;
    Ok(field(&world.show(STATION, &id)?, "judicial_confirm_due"))
}

#[test]
fn days_off_that_the_network_publishes_count_everywhere() -> Result<()> {
    let mut world = network()?;
    // 28 February 2027 is a Sunday: without a notice, weekends are off.
    let (monday, tuesday) = (json!("2027-03-01"), json!("2027-03-02"));
    let (first, day) = due_at(&mut world, OPERATOR)?;
    ensure!(day == monday, "{day}");
    // What somebody tries out moves nobody's dates.
    let tried = json!({"year": 2027, "off": ["2027-03-02"], "notice": "试填", "test_data": true});
    world.record(HUB, "days_off", tried)?;
    let notice = json!({"year": 2027, "off": ["2027-03-01"], "notice": "测试放假通知"});
    world.record(HUB, "days_off", notice)?;
    let (_, day) = due_at(&mut world, HUB)?;
    ensure!(day == tuesday, "the hub, which published it: {day}");
    let (_, day) = due_at(&mut world, OPERATOR)?;
    ensure!(day == monday, "an operator who has not heard of it: {day}");
    let day = confirm_due(&mut world)?;
    ensure!(day == monday, "a station that has not heard of it: {day}");
    world.heal()?;
    let (_, day) = due_at(&mut world, OPERATOR)?;
    ensure!(day == tuesday, "an operator who has heard of it: {day}");
    let day = confirm_due(&mut world)?;
    ensure!(day == tuesday, "a station that has heard of it: {day}");
    // What was computed before stands, at whoever knows better too.
    world.heal()?;
    for node in [HUB, OPERATOR] {
        let day = field(&world.show(node, &first)?, "due_on");
        ensure!(day == monday, "node {node}: {day}");
    }
    world.agree(&[HUB, STATION, OPERATOR])
}

#[test]
fn a_checklist_begins_with_the_six_usual_items() -> Result<()> {
    let mut world = network()?;
    let usual = [
        ("place", "有场所"),
        ("signage", "有标识"),
        ("rules", "有制度"),
        ("staff", "有人员"),
        ("ledger", "有台账"),
        ("funds", "有经费"),
    ];
    let usual = usual.map(|(code, label)| (code.to_owned(), label.to_owned()));
    let own = json!([{"code": "garden", "label": "有花园（测试）"}]);
    for (items, expected) in [
        (None, Vec::from(usual)),
        (Some(json!([])), Vec::new()),
        (
            Some(own),
            vec![("garden".to_owned(), "有花园（测试）".to_owned())],
        ),
    ] {
        let mut input = json!({"site": "EM1", "checked_on": "2026-03-01", "test_data": true});
        if let (Value::Object(input), Some(items)) = (&mut input, items) {
            input.insert("items".to_owned(), items);
        }
        let (id, _) = world.record(STATION, "site_checklist", input)?;
        world.heal()?;
        for node in [STATION, HUB] {
            let shown = world.show(node, &id)?;
            let items = shown.pointer("/fields/items").and_then(Value::as_array);
            let items = items.into_iter().flatten();
            let items: Vec<_> = items
                .map(|item| (text(item, "code"), text(item, "label")))
                .collect();
            ensure!(items == expected, "node {node}: {items:?}");
        }
    }
    world.agree(&[HUB, STATION])
}

/// Two merged into each other on two computers are one matter, told of as the one that was recorded first.
#[test]
fn matters_that_were_merged_into_each_other_are_counted_once_until_one_is_separated() -> Result<()>
{
    let mut world = network()?;
    let (first, _) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    let (second, _) = world.record(STATION, "opinion", opinion("路灯又不亮"))?;
    world.heal()?;
    step(
        &mut world,
        HUB,
        &first,
        "merge",
        json!({"merged_into": second}),
    )?;
    step(
        &mut world,
        OPERATOR,
        &second,
        "merge",
        json!({"merged_into": first}),
    )?;
    world.heal()?;
    // The one that was founded first.
    let main = first.clone().min(second.clone());
    let ways = |world: &mut World, node: usize| -> Result<Vec<(String, bool, usize)>> {
        let ids = [first.clone(), second.clone()];
        world.transact(node, move |_, connection| {
            let kind = Catalogue::standard().kind("opinion");
            let of = kind.and_then(|kind| Some((kind, kind.follows.as_ref()?)));
            let mut ways = Vec::new();
            for id in &ids {
                let key = lianxin_node::records::find(connection, id)?;
                let row = lianxin_node::records::rows(connection, &[key])?.pop();
                if let (Some(row), Some(of)) = (row, of) {
                    let way = merged::way(connection, &row, of)?;
                    let main = way.main().map(|it| it.id.hyphenated()).unwrap_or_default();
                    let followers = merged::followers(connection, &row, of, 10)?.len();
                    ways.push((main, matches!(way, Way::Circle(_)), followers));
                }
            }
            Ok(ways)
        })
    };
    for node in [HUB, OPERATOR, STATION] {
        for id in [&first, &second] {
            ensure!(text(&world.show(node, id)?, "status") == "merged");
        }
        let circle = (main.clone(), true, 1);
        ensure!(
            ways(&mut world, node)? == [circle.clone(), circle],
            "node {node}"
        );
    }
    step(&mut world, OPERATOR, &main, "unmerge", json!({}))?;
    world.heal()?;
    for (id, (led_to, circle, followers)) in
        [&first, &second].into_iter().zip(ways(&mut world, HUB)?)
    {
        ensure!(led_to == main && !circle, "{led_to}");
        ensure!(followers == usize::from(*id == main));
    }
    world.agree(&[HUB, STATION, OPERATOR])
}
