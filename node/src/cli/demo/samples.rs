//! What the demonstration begins with: fictional records, as the domain reference has them.

use serde_json::{Value, json};

use crate::clock;

/// The work station.
pub(super) const STATION: &str = "示例街道测试社区人大代表工作站";
pub(super) const OFFICE: &str = "示例律师事务所基层立法信息采集点";
/// Who collects there.
pub(super) const LAWYERS: &str = "示例律师事务所";
/// A campaign.
pub(super) const CAMPAIGN: &str = "会前活动月（测试）";
/// The theme of a month.
pub(super) const THEME: &str = "法律服务月";
/// An organisation that serves together with the station.
pub(super) const PARTNER: &str = "示例物业（共建）";
/// A team of volunteers.
pub(super) const TEAM: &str = "示例志愿服务队";

/// Sites: name, kind, code.
pub(super) const SITES: [(&str, &str, &str); 2] = [
    (STATION, "workstation", "EM1"),
    (OFFICE, "collection_point", "LS1"),
];

/// The sub-district's registers: communities, sites, deputies and units.
pub(super) fn registers() -> Vec<Value> {
    let deputy = |name: &str| {
        json!({
            "kind": "deputy", "name": name, "level": "district", "constituency": "测试选区",
            "delegation": "示例代表团", "test_data": true,
        })
    };
    let org = |name: &str, kind: &str| json!({ "kind": "org", "name": name, "org_kind": kind, "test_data": true });
    let community = |name: &str, code: &str| json!({ "kind": "community", "name": name, "code": code, "area": "示例片区", "test_data": true });
    vec![
        community("测试社区", "CS01"),
        community("示例社区", "CS02"),
        json!({
            "kind": "site", "name": STATION, "type": "workstation", "code": "EM1", "host_kind": "community",
            "community": "测试社区", "device_codes": ["EM1A", "EM1B"], "opened_on": "2017-06-01",
            "linked_sites": [OFFICE], "test_data": true,
        }),
        json!({
            "kind": "site", "name": OFFICE, "type": "collection_point", "code": "LS1",
            "host_kind": "law_firm", "device_codes": ["LS1A"],
            "entrust_agreement": "测试委托处理协议2026-01", "test_data": true,
        }),
        deputy("测试代表甲"),
        deputy("测试代表乙"),
        deputy("测试代表丙"),
        org("示例街道城市管理办公室", "office"),
        org("示例交警中队", "dispatched"),
        org("示例街道经济发展办公室", "office"),
        org("测试区交通管理部门", "department"),
        org("测试区人大常委会", "other"),
        org("示例物业公司", "property"),
        org("示例机械有限公司", "enterprise"),
    ]
}

/// A day before today, so that the demonstration is of these days.
pub(super) fn days_ago(days: u64) -> String {
    let then = clock::now_ms().saturating_sub(days * 86_400_000);
    clock::Beijing::of(then).iso_date()
}

/// A day after today.
pub(super) fn in_days(days: u64) -> String {
    let then = clock::now_ms().saturating_add(days * 86_400_000);
    clock::Beijing::of(then).iso_date()
}

/// A time of a day before today.
pub(super) fn at(days: u64, clock: &str) -> String {
    format!("{}T{clock}:00+08:00", days_ago(days))
}

/// The month of a day.
pub(super) fn month_of(day: &str) -> String {
    day.chars().take(7).collect()
}

/// The year of a day before today, for the numbers of documents.
pub(super) fn year_of(days: u64) -> String {
    days_ago(days).chars().take(4).collect()
}

/// What the sub-district sets up for the year.
pub(super) fn plans() -> Vec<Value> {
    let theme = |day: String, theme: &str| json!({ "kind": "theme_month", "month": month_of(&day), "theme": theme, "test_data": true });
    vec![
        json!({
            "kind": "campaign", "name": CAMPAIGN, "type": "campaign", "start": days_ago(220),
            "end": days_ago(190), "test_data": true,
        }),
        json!({
            "kind": "work_plan", "year": year_of(0).parse::<i64>().unwrap_or(2026),
            "title": "示例街道人大工委年度工作计划（测试）",
            "text": "每月组织一次代表接待日。\n每季度组织一次视察。\n全年征集代表建议不少于10件。", "test_data": true,
        }),
        json!({
            "kind": "own_term", "rule": "s1", "amount": 3, "unit": "working_days",
            "basis": "示例街道办理规定（测试）", "test_data": true,
        }),
        json!({
            "kind": "result_class", "class": "A", "meaning": "所提问题已经解决或基本解决（测试）",
            "basis": "示例区办理办法（测试）", "test_data": true,
        }),
        json!({
            "kind": "result_class", "class": "B", "meaning": "正在解决或列入计划逐步解决（测试）",
            "basis": "示例区办理办法（测试）", "test_data": true,
        }),
        theme(days_ago(120), THEME),
        theme(days_ago(0), "清洁家园月"),
        json!({
            "kind": "register", "type": "duty_roster", "site": STATION, "date": in_days(7),
            "deputies": ["测试代表乙"], "test_data": true,
        }),
        json!({
            "kind": "register", "type": "partner_shop", "name": "示例便民店", "org": "示例便民店",
            "service_promise": "老人优先，明码标价。", "test_data": true,
        }),
        json!({
            "kind": "site_investment", "site": STATION, "date": days_ago(320),
            "amount_fen": 10_000_000, "purpose": "完善提升接待室", "source": "街道经费（测试）",
            "test_data": true,
        }),
        json!({
            "kind": "service_unit", "name": "示例商圈服务单位", "host_kind": "plaza",
            "host": "示例商圈管理单位", "area": "测试社区", "opened_on": days_ago(310), "test_data": true,
        }),
        json!({
            "kind": "service_point", "place": "示例工地服务驿站", "operator_org": "示例建设公司",
            "facilities": ["充电", "饮水"], "hours": "7:00–19:00", "opened_on": days_ago(280),
            "test_data": true,
        }),
        json!({
            "kind": "partner_org", "name": PARTNER, "org": "示例物业公司", "service": "上门检修水电。",
            "test_data": true,
        }),
        json!({
            "kind": "volunteer_team", "name": TEAM, "host": "测试社区", "head": "测试队长 000-0000-0003",
            "members_count": 24, "skills": ["家电维修", "法律咨询"], "opened_on": days_ago(340),
            "test_data": true,
        }),
    ]
}

/// What the station has of what it should have: the six usual items.
pub(super) fn checklist() -> Value {
    let item = |code: &str, label: &str, evidence: &str| json!({ "code": code, "label": label, "ok": true, "evidence": evidence, "test_data": true });
    json!({
        "kind": "site_checklist", "site": STATION, "checked_on": days_ago(230), "test_data": true,
        "items": [
            item("place", "有场所", "一楼东侧两间。"),
            item("signage", "有标识", "门口挂牌。"),
            item("rules", "有制度", "接待、登记、反馈制度上墙。"),
            item("staff", "有人员", "专职一人，值班代表见值班表。"),
            item("ledger", "有台账", "用本系统登记。"),
            item("funds", "有经费", "街道经费列支。"),
        ],
    })
}

/// A draft law of which it is known by now what became of it.
pub(super) fn past_consultation() -> Value {
    json!({
        "kind": "legis_consultation", "issuer": "city", "doc_no": format!("测试函〔{}〕2号", year_of(150)),
        "draft_title": "测试市文明养犬条例（草案征求意见稿）", "law_kind": "local_reg",
        "reading": "comment_draft", "received_on": days_ago(150),
        "key_questions": "乘坐电梯时怎样约束犬只？", "site_due_on": days_ago(140),
        "due_on": days_ago(135), "test_data": true,
        "articles": [
            { "path": "第八条", "text": "携带犬只乘坐电梯的，应当避开高峰时段。", "test_data": true },
        ],
    })
}

/// A draft law that the city asks about, with its first articles.
pub(super) fn consultation() -> Value {
    json!({
        "kind": "legis_consultation", "issuer": "city", "doc_no": "测试函〔2026〕5号",
        "draft_title": "测试市住宅电梯安全条例（草案征求意见稿）", "law_kind": "local_reg", "reading": "comment_draft",
        "key_questions": "救援到场时限多长合适，应当由谁承担？",
        "site_due_on": in_days(10), "due_on": in_days(15), "test_data": true,
        "articles": [
            { "path": "第十二条第一款", "text": "物业服务人应当在电梯发生故障后三十分钟内到达现场。" },
            { "path": "第十二条第二款", "text": "电梯困人的，物业服务人应当立即通知维护保养单位，并安抚被困人员。" },
            { "path": "第十三条", "text": "电梯使用单位应当如实记录故障和维修情况，记录保存期限不少于四年。" },
        ],
    })
}

/// What a lawyer says of it at the collection point; `on` is the consultation.
pub(super) fn lawyers_comment(on: &str) -> Value {
    json!({
        "kind": "legis_comment", "consultation": on, "article_path": "第十二条第一款", "action": "amend",
        "original_words": "三十分钟太笼统，有人被困和没人被困不能一个标准。",
        "legal_wording": "电梯困人的，应当在十五分钟内到达现场；其他故障的，应当在三十分钟内到达现场。",
        "reason": "困人情形紧迫性不同。", "commenter_kind": "lawyer", "identity_mode": "anonymous",
        "test_data": true,
    })
}

/// What a resident says of it at a reception; `on` is the consultation.
pub(super) fn residents_comment(on: &str, reception: &str) -> Value {
    json!({
        "kind": "legis_comment", "consultation": on, "article_path": "第十二条第一款", "action": "amend",
        "original_words": "人关在里面半小时太久了，老人受不了。", "commenter_kind": "resident",
        "form": "reception", "identity_mode": "anonymous", "source_event": reception, "test_data": true,
    })
}

/// A reception day with two deputies.
pub(super) fn reception() -> Value {
    json!({
        "kind": "reception", "date": days_ago(1), "start": "09:00", "end": "11:30",
        "notice_posted_on": days_ago(5), "deputies_present": ["测试代表甲", "测试代表乙"],
        "visitors_times": 9, "answered_on_spot": 3, "test_data": true,
    })
}

/// A visit to firms.
pub(super) fn visit() -> Value {
    json!({
        "kind": "visit", "mode": "enterprise", "target_kind": "enterprise", "targets_count": 3,
        "deputies": ["测试代表丙"], "place": "示例科技园", "date": days_ago(3), "test_data": true,
        "needs_summary": "两家企业反映招工难，一家咨询租金政策。",
    })
}

/// Fictional opinions, as the domain reference has them.
pub(super) fn opinions() -> Vec<Value> {
    vec![
        json!({
            "kind": "opinion", "channel": "reception", "category": "help", "topic": "utilities",
            "title": "3号楼单元门前路灯不亮",
            "body": "测试小区3号楼东侧两盏路灯半个多月不亮，晚上老人出行不方便，希望尽快维修。",
            "place": { "community": "测试社区", "text": "测试小区3号楼东侧" },
            "identity_mode": "confidential",
            "person": { "call_name": "测试女士", "phone": "000-0000-0001" },
            "reply_wanted": "phone", "deputies": ["测试代表甲"], "test_data": true,
        }),
        json!({
            "kind": "opinion", "channel": "walk_in", "category": "suggestion", "topic": "traffic_parking",
            "title": "建议学校门口设限时停车位",
            "body": "放学时段家长车辆占用机动车道，建议示例小学门口划设限时停车位。",
            "place": { "community": "测试社区", "text": "示例小学门口" },
            "identity_mode": "anonymous", "reply_wanted": "query_code", "test_data": true,
        }),
        json!({
            "kind": "opinion", "channel": "random_visit", "category": "complaint", "topic": "property_mgmt",
            "title": "电梯反复故障",
            "body": "示例花园2号楼电梯一个月内停运四次（走访当日无网络，离线登记）。",
            "place": { "community": "示例社区", "text": "示例花园2号楼" },
            "identity_mode": "pseudonymous", "person": { "call_name": "测试先生" },
            "test_data": true,
        }),
        json!({
            "kind": "opinion", "channel": "livestream", "category": "consult", "topic": "health",
            "title": "咨询老年人流感疫苗接种点",
            "body": "请问75岁老人在哪里可以接种？",
            "identity_mode": "anonymous", "test_data": true,
        }),
        json!({
            "kind": "opinion", "channel": "collection_point", "category": "complaint", "topic": "legal_service",
            "title": "劳动报酬纠纷", "body": "（已脱敏）当事人已申请劳动仲裁。",
            "identity_mode": "anonymous", "test_data": true,
        }),
        json!({
            "kind": "opinion", "channel": "phone", "category": "thanks", "topic": "city_appearance",
            "title": "感谢及时清运装修垃圾",
            "body": "示例花园门口堆放多日的装修垃圾当天就清走了，谢谢。",
            "identity_mode": "anonymous", "test_data": true,
        }),
    ]
}
