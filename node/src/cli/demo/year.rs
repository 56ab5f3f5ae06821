//! A year of a small sub-district, told with records of every kind that people make: what the board begins with.
//!
//! Whoever does something in an office does it here: sites write down, the hub handles and confirms. A step waits for what it builds
//! on and never for a time; days are counted back from today. Little is left waiting: a case, a promise, a problem, a request.
//!
//! Days off (`days_off`) are not among it: the year that this release does not know has no notice yet that could be copied, and an
//! invented one would move dates that people take for real.

use lianxin_protocol::catalogue::Catalogue;
use serde_json::{Value, json};

use super::samples::{self, LAWYERS, STATION, at, days_ago, in_days, month_of, year_of};
use super::{Device, PATIENCE, field, is};
use crate::command::{Listing, Query, Write};
use crate::error::{Code, Error, Result};

/// The computers at which it happens.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) hub: &'a Device,
    pub(super) station: &'a Device,
    pub(super) other: &'a Device,
    /// A collection point in a law office.
    pub(super) office: &'a Device,
}

/// What came of it, by ids.
pub(super) struct Told {
    /// An opinion that a unit handled and the station passed on.
    pub(super) opinion: Made,
    /// A suggestion whose promises are followed.
    pub(super) suggestion: Made,
    /// What a resident said of a draft law.
    pub(super) comment: Made,
    /// What the station has of what it should have.
    pub(super) checklist: Made,
    /// The same matter, brought to both computers of the station.
    pub(super) twins: [Made; 2],
    /// One that is sealed.
    pub(super) sealed: Made,
    /// One of which a field was changed on two computers at once.
    pub(super) disputed: Made,
}

/// A record, as others name it.
pub(super) struct Made {
    pub(super) id: String,
    number: String,
}

/// Enters the registers and opens the sites.
pub(super) async fn registers(hub: &Device) -> Result<()> {
    for record in samples::registers() {
        let is_site = field(&record, "kind") == "site";
        let made = make(hub, record).await?;
        if is_site {
            hub.act(&made.id, "open", json!({})).await?;
        }
    }
    Ok(())
}

/// Tells it. The registers are there, and everyone follows the hub.
pub(super) async fn tell(places: Places<'_>) -> Result<Told> {
    plans(places.hub).await?;
    let checklist = make(places.station, samples::checklist()).await?;
    let reception = reception(places).await?;
    let opinion = handled(places, &reception).await?;
    let suggestion = suggestion(places, &reception).await?;
    theme_activity(places).await?;
    let meeting = talks(places).await?;
    inspection(places.hub).await?;
    let comment = law(places, &meeting).await?;
    services(places).await?;
    in_hand(places).await?;
    privacy(places, &opinion).await?;
    Ok(Told {
        twins: twins(places).await?,
        sealed: sealed(places.hub).await?,
        disputed: disputed(places).await?,
        opinion,
        suggestion,
        comment,
        checklist,
    })
}

/// Kinds of which a device has no record once it has had time to hear of all.
pub(super) async fn still_missing(device: &Device) -> Result<Vec<&'static str>> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let missing = missing(device).await?;
        if missing.is_empty() || tokio::time::Instant::now() > deadline {
            return Ok(missing);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Kinds that people make and of which a device has no record.
async fn missing(device: &Device) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for kind in Catalogue::current().kinds() {
        if kind.create.by_program || kind.calendar.is_some() {
            continue;
        }
        let list = Query::RecordList(Listing {
            kind: Some(kind.code.clone()),
            limit: Some(1),
            ..Listing::default()
        });
        let found = device.call(list).await?;
        let records = found.get("records").and_then(Value::as_array);
        if records.is_none_or(Vec::is_empty) {
            missing.push(kind.code.as_str());
        }
    }
    Ok(missing)
}

// ---- how it is told ----

async fn make(device: &Device, record: Value) -> Result<Made> {
    let added = device.add(record).await?;
    Ok(Made {
        id: field(&added, "id").to_owned(),
        number: field(&added, "number").to_owned(),
    })
}

/// Takes steps one after the other.
async fn go(device: &Device, made: &Made, steps: Vec<(&str, Value)>) -> Result<()> {
    for (event, input) in steps {
        device.act(&made.id, event, input).await?;
    }
    Ok(())
}

/// Takes a step, unless another one has taken it along already.
async fn lead(device: &Device, made: &Made, (event, to): (&str, &str), input: Value) -> Result<()> {
    if field(&device.show(&made.id).await?, "status") != to {
        device.act(&made.id, event, input).await?;
    }
    Ok(())
}

/// Waits until a device has a record.
async fn comes(device: &Device, made: &Made) -> Result<()> {
    in_time(device.until(&made.id, |_| true).await?)
}

/// Waits until a record stands in a status on a device.
async fn stands(device: &Device, made: &Made, status: &'static str) -> Result<()> {
    in_time(device.until(&made.id, is("status", status)).await?)
}

fn in_time(came: bool) -> Result<()> {
    if came {
        return Ok(());
    }
    let message = "a record of the demonstration has not come in time";
    Err(Error::new(Code::Internal, message))
}

/// Somebody writes up what took place, and the sub-district confirms it.
async fn confirmed(device: &Device, hub: &Device, event: Value) -> Result<Made> {
    let made = make(device, event).await?;
    device.act(&made.id, "record", json!({})).await?;
    stands(hub, &made, "recorded").await?;
    hub.act(&made.id, "confirm", json!({})).await?;
    Ok(made)
}

// ---- the year ----

/// What the sub-district sets up: themes, a campaign, the rota, who contacts whom, money, points, teams; and a training.
async fn plans(hub: &Device) -> Result<()> {
    for record in samples::plans() {
        hub.add(record).await?;
    }
    let link = json!({
        "kind": "contact_link", "from_actor": "测试代表甲", "to": "测试社区第一选民小组",
        "contact_kind": "代表联系群众", "since": days_ago(360), "test_data": true,
    });
    let link = make(hub, link).await?;
    let log = json!({
        "kind": "contact_log", "link": link.id, "date": days_ago(250),
        "text": "到社区听取对出行的意见。", "test_data": true,
    });
    hub.add(log).await?;
    let training = json!({
        "kind": "training", "title": "新当选代表履职培训（测试）", "date": days_ago(300),
        "organiser_level": "district", "form": "lecture", "hours": 6,
        "attendees": ["测试代表乙", "测试代表丙"], "subject": "怎样写代表建议。", "test_data": true,
    });
    confirmed(hub, hub, training).await?;
    Ok(())
}

async fn reception(places: Places<'_>) -> Result<Made> {
    let reception = json!({
        "kind": "reception", "site": STATION, "date": days_ago(210), "start": "09:00", "end": "11:00",
        "notice_posted_on": days_ago(215), "deputies_planned": ["测试代表甲", "测试代表丙"],
        "deputies_present": ["测试代表甲", "测试代表丙"], "visitors_times": 12, "answered_on_spot": 1,
        "test_data": true,
    });
    confirmed(places.station, places.hub, reception).await
}

/// What a resident said there is handled, passed on, rated and closed.
async fn handled(places: Places<'_>, reception: &Made) -> Result<Made> {
    let Places { hub, station, .. } = places;
    let opinion = json!({
        "kind": "opinion", "channel": "reception", "source_event": reception.number, "category": "help",
        "topic": "city_appearance", "title": "测试小区东门积水",
        "body": "测试小区东门一下雨就积水，老人出门要绕路，希望疏通雨水口。",
        "place": { "community": "测试社区", "text": "测试小区东门" },
        "identity_mode": "confidential",
        "person": { "call_name": "测试先生", "phone": "000-0000-0004" },
        "reply_wanted": "phone", "deputies": ["测试代表甲"], "occurred_on": days_ago(210),
        "test_data": true,
    });
    let opinion = make(station, opinion).await?;
    comes(hub, &opinion).await?;
    let solved = json!({ "resolution": "solved", "text": "雨水口已经疏通，雨天查看没有再积水。" });
    let steps = vec![
        ("accept", json!({ "petition_class": "none" })),
        ("dispatch", json!({ "lead": "示例街道城市管理办公室" })),
        ("sign", json!({})),
        ("submit_reply", solved),
        ("approve", json!({})),
    ];
    go(hub, &opinion, steps).await?;
    stands(station, &opinion, "answered").await?;
    let steps = vec![
        ("inform", json!({ "on": days_ago(199), "way": "phone" })),
        (
            "rate",
            json!({ "evaluation": "satisfied", "rated_through": "clerk" }),
        ),
    ];
    go(station, &opinion, steps).await?;
    stands(hub, &opinion, "rated").await?;
    let solved = json!({
        "resolution": "solved", "solved_on": days_ago(200), "solved_basis": "resident_confirm",
    });
    hub.act(&opinion.id, "close", solved).await?;
    Ok(opinion)
}

/// What another said there becomes a suggestion of two deputies, which the district has handled; a promise of the answer is still open.
async fn suggestion(places: Places<'_>, reception: &Made) -> Result<Made> {
    let Places { hub, station, .. } = places;
    let opinion = json!({
        "kind": "opinion", "channel": "reception", "source_event": reception.number,
        "category": "suggestion", "topic": "traffic_parking", "title": "示例路口绿灯时间短",
        "body": "示例路口绿灯只有十几秒，老人走不到对面，建议延长绿灯、加安全岛。",
        "place": { "community": "测试社区", "text": "示例路口" }, "identity_mode": "anonymous",
        "deputies": ["测试代表甲"], "occurred_on": days_ago(210), "test_data": true,
    });
    let opinion = make(station, opinion).await?;
    let passed = json!({ "transferred_to": samples::OFFICE, "on": days_ago(209), "text": "请就近了解路口情况（测试）。" });
    station.act(&opinion.id, "transfer", passed).await?;
    let said = json!({ "text": "测试代表甲当场答复：信号灯由区里管，将提出代表建议。" });
    station.act(&opinion.id, "answer_on_spot", said).await?;
    let suggestion = json!({
        "kind": "deputy_suggestion", "title": "关于延长示例路口绿灯时间、增设安全岛的建议",
        "collected_on": days_ago(205), "proposer_kind": "joint", "lead_deputy": "测试代表甲",
        "co_deputies": ["测试代表丙"], "session": "closed", "level": "district",
        "topic": "traffic_parking", "channel": "reception", "source_event": reception.number,
        "source_opinions": [opinion.number], "campaign": [samples::CAMPAIGN],
        "facts": "绿灯12秒，老人过街平均要18秒（测试数据）。", "analysis": "路口改造后配时没有调整。",
        "proposal": "把绿灯延长到20秒，在路中增设安全岛。", "test_data": true,
    });
    let suggestion = make(hub, suggestion).await?;
    stands(hub, &opinion, "answered").await?;
    let turned = json!({ "escalated_to": suggestion.number });
    hub.set(&opinion.id, turned).await?;
    let planned = json!({ "resolution": "planned", "text": "已提出代表建议。" });
    hub.act(&opinion.id, "close", planned).await?;

    proposed(hub, &suggestion).await?;
    answered(hub, &suggestion).await?;
    Ok(suggestion)
}

/// A suggestion on its way to the unit that handles it.
async fn proposed(hub: &Device, suggestion: &Made) -> Result<()> {
    let year = year_of(195);
    let handed_over = json!({
        "handed_over_on": days_ago(195), "doc_no": format!("测试交办〔{year}〕3号"),
        "official_no": format!("测试区〔{year}〕闭会第3号"), "handling_mode": "joint",
        "lead_unit": "测试区交通管理部门", "co_units": ["示例交警中队"],
    });
    let reported = json!({
        "reported_on": days_ago(200), "doc_no": format!("测试报〔{}〕6号", year_of(200)),
    });
    let confirms = json!({ "co_confirmed": ["测试代表丙"], "on": days_ago(203) });
    let steps = vec![
        ("confirm_co", confirms),
        ("sign", json!({ "on": days_ago(203) })),
        ("review", json!({})),
        ("pass", json!({})),
        ("report_up", reported),
        ("hand_over", handed_over),
        ("start", json!({ "on": days_ago(193) })),
    ];
    go(hub, suggestion, steps).await?;
    let key = format!("测试主任会议〔{}〕2号", year_of(190));
    let listed = json!({ "doc_no": key, "on": days_ago(190) });
    hub.act(&suggestion.id, "key_supervise", listed).await?;
    let supervision = json!({
        "kind": "supervision", "target": suggestion.number, "level": "district_key",
        "decided_by": "测试区人大常委会", "decided_on": days_ago(190), "doc_no": key,
        "unit": "测试区交通管理部门", "due_on": in_days(90), "topic": "traffic_parking",
        "progress": "绿灯配时已调整，安全岛待施工。", "test_data": true,
    });
    hub.add(supervision).await?;
    Ok(())
}

/// Its answer, how the deputy rates it, and what was promised.
async fn answered(hub: &Device, suggestion: &Made) -> Result<()> {
    let contact = json!({
        "kind": "contact_record", "suggestion": suggestion.number, "on": days_ago(150),
        "way": "visit", "text": "与测试代表甲到路口现场查看。", "test_data": true,
    });
    hub.add(contact).await?;
    let replied = json!({
        "replied_on": days_ago(120), "doc_no": format!("测试交通函〔{}〕8号", year_of(120)),
        "reply_form": "face", "result_class": "B", "result_type": "planned", "timing": "this_year",
        "text": "先延长绿灯，再施工安全岛。",
    });
    hub.act(&suggestion.id, "reply", replied).await?;
    let promise = |text: &str, due: String| {
        json!({
            "kind": "commitment", "suggestion": suggestion.number, "text": text, "due": due,
            "test_data": true,
        })
    };
    let kept = make(hub, promise("把绿灯延长到20秒", days_ago(90))).await?;
    let done = json!({ "done_on": days_ago(100), "note": "配时已调整，代表到场查看。" });
    hub.act(&kept.id, "done", done).await?;
    hub.add(promise("在路中建成安全岛", in_days(60))).await?;
    let rated = json!({
        "attitude_rating": "satisfied", "result_rating": "basically", "implementation": "partly",
        "on": days_ago(110),
    });
    let steps = vec![("rate", rated), ("track", json!({}))];
    go(hub, suggestion, steps).await
}

/// A day in a theme month, with what was given and what was settled there.
async fn theme_activity(places: Places<'_>) -> Result<()> {
    let Places { hub, station, .. } = places;
    let day = days_ago(120);
    let activity = json!({
        "kind": "theme_activity", "site": STATION, "title": "送法律进测试社区", "date": day,
        "year_month": month_of(&day), "theme": samples::THEME, "theme_month": samples::THEME,
        "deputies": ["测试代表甲", "测试代表乙"], "deputies_lead": ["测试代表甲"],
        "service_types": ["legal", "medical"], "persons_served_times": 46, "test_data": true,
    });
    let activity = confirmed(station, hub, activity).await?;
    let donation = json!({
        "kind": "donation", "date": day, "donation_kind": "goods", "amount_fen": 150_000,
        "valuation_basis": "receipt", "donor_card": "示例商贸有限公司", "recipient_kind": "community",
        "related_activity": activity.number, "test_data": true,
    });
    station.add(donation).await?;
    let mediation = json!({
        "kind": "mediation", "site": STATION, "date": day, "dispute_type": "neighbour",
        "parties_count": 2, "mediator_org": "测试社区人民调解委员会", "deputies": ["测试代表甲"],
        "summary": "楼上漏水，双方同意由楼上住户维修并承担吊顶费用。",
        "source_event": activity.number, "test_data": true,
    });
    let mediation = make(station, mediation).await?;
    let agreed = json!({ "agreed_on": day, "agreement_form": "oral" });
    let steps = vec![
        ("start", json!({ "on": day })),
        ("agree", agreed),
        (
            "follow_up",
            json!({ "performed": "yes", "on": days_ago(95) }),
        ),
    ];
    go(station, &mediation, steps).await
}

/// A talk with residents, and a livestream with a question that was answered at once.
async fn talks(places: Places<'_>) -> Result<Made> {
    let Places { hub, other, .. } = places;
    let meeting = json!({
        "kind": "meeting", "site": STATION, "date": days_ago(145), "format": "heart_talk",
        "subject": "代表群众话心声：文明养犬（测试）", "topic": "governance", "attendees_count": 12,
        "deputies": ["测试代表丙"], "test_data": true,
    });
    let meeting = confirmed(other, hub, meeting).await?;
    let livestream = json!({
        "kind": "livestream", "session_no": 1, "platform": "短视频平台（测试）",
        "subject": "社区食堂怎么用餐", "hosts": ["测试代表乙"], "started_at": at(60, "19:00"),
        "ended_at": at(60, "20:10"), "cumulative_viewers": 1234, "peak_online": 321,
        "discussants": 87, "comments_count": 205, "metric_source": "平台后台截图",
        "metric_at": at(60, "21:10"), "topic": "elder_child_care", "test_data": true,
    });
    let livestream = confirmed(hub, hub, livestream).await?;
    let question = json!({
        "kind": "opinion", "channel": "livestream", "source_event": livestream.number,
        "category": "consult", "topic": "elder_child_care", "title": "咨询社区食堂开放时间",
        "body": "请问社区食堂周末开门吗？", "identity_mode": "anonymous", "deputies": ["测试代表乙"],
        "occurred_on": days_ago(60), "test_data": true,
    });
    let question = make(hub, question).await?;
    let steps = vec![
        (
            "answer_on_spot",
            json!({ "text": "周末照常开放，10:30 至 13:00。" }),
        ),
        ("close", json!({ "resolution": "explained" })),
    ];
    go(hub, &question, steps).await?;
    Ok(meeting)
}

/// Deputies go to a firm: one problem is solved, the other with a unit.
async fn inspection(hub: &Device) -> Result<()> {
    let inspection = json!({
        "kind": "inspection", "type": "inspection", "date": days_ago(80), "level": "sub_district",
        "host_orgs": ["示例机械有限公司"], "deputies": ["测试代表乙", "测试代表丙"],
        "topic": "employment", "report": "企业订单增加，反映招工难、夜班工人通勤不便。",
        "test_data": true,
    });
    let inspection = make(hub, inspection).await?;
    let steps = vec![
        ("record", json!({})),
        ("forward", json!({ "forwarded_on": days_ago(75) })),
        ("confirm", json!({})),
    ];
    go(hub, &inspection, steps).await?;
    let issue = |text: &str, unit: &str| {
        json!({
            "kind": "inspection_issue", "inspection": inspection.number, "text": text, "unit": unit,
            "test_data": true,
        })
    };
    let issue_of_hands = issue("招工难，缺熟练工。", "示例街道经济发展办公室");
    let issue_of_hands = make(hub, issue_of_hands).await?;
    let solved = json!({
        "resolution": "solved", "solved_on": days_ago(40), "solved_basis": "site_check",
        "note": "开了两场招聘会，到岗23人（测试数据）。",
    });
    let steps = vec![
        ("forward", json!({ "on": days_ago(75) })),
        ("resolve", solved),
    ];
    go(hub, &issue_of_hands, steps).await?;
    let issue_of_buses = issue("夜班工人下班没有公交车。", "测试区交通管理部门");
    let issue_of_buses = make(hub, issue_of_buses).await?;
    let steps = vec![("forward", json!({ "on": days_ago(75) }))];
    go(hub, &issue_of_buses, steps).await
}

/// A draft law from the letter to what was adopted, and everyone who said something is told.
async fn law(places: Places<'_>, meeting: &Made) -> Result<Made> {
    let Places {
        hub,
        station,
        office,
        ..
    } = places;
    let consultation = make(hub, samples::past_consultation()).await?;
    hub.act(&consultation.id, "open", json!({})).await?;
    for site in [station, office] {
        stands(site, &consultation, "open").await?;
    }
    let number = consultation.number.as_str();
    let resident = json!({
        "kind": "legis_comment", "consultation": number, "article_path": "第八条", "action": "amend",
        "original_words": "上下班谁躲得开？给狗戴上嘴套就行了。", "commenter_kind": "resident",
        "form": "symposium", "source_event": meeting.number, "identity_mode": "anonymous",
        "occurred_on": days_ago(145), "test_data": true,
    });
    let resident = make(station, resident).await?;
    let lawyer = json!({
        "kind": "legis_comment", "consultation": number, "article_path": "第八条", "action": "amend",
        "original_words": "“高峰时段”没有界定，难以执行。", "commenter_kind": "lawyer",
        "collected_by": LAWYERS, "form": "written", "identity_mode": "anonymous",
        "occurred_on": days_ago(143), "test_data": true,
    });
    let lawyer = make(office, lawyer).await?;
    for comment in [&resident, &lawyer] {
        comes(hub, comment).await?;
        let wording = "携带犬只乘坐电梯的，应当为犬只佩戴嘴套或者将其装入犬袋。";
        let wording = json!({ "legal_wording": wording });
        hub.act(&comment.id, "word", wording).await?;
    }
    let steps = vec![("close_sites", json!({})), ("merge", json!({}))];
    go(hub, &consultation, steps).await?;
    let item = json!({
        "kind": "legis_item", "consultation": number, "article_path": "第八条",
        "text": "携带犬只乘坐电梯的，应当为犬只佩戴嘴套或者将其装入犬袋。",
        "reason": "“高峰时段”难以界定，防护措施看得见、能执行。",
        "sources": [resident.number, lawyer.number], "test_data": true,
    });
    let item = make(hub, item).await?;
    hub.act(&item.id, "approve", json!({})).await?;
    let merged = json!({ "merged_item": item.number });
    for comment in [&resident, &lawyer] {
        lead(hub, comment, ("merge", "merged"), merged.clone()).await?;
    }
    sent_up(hub, &consultation, (&item, [&resident, &lawyer])).await?;
    Ok(resident)
}

/// What was merged goes up with its sources, and what was adopted comes back to them.
async fn sent_up(
    hub: &Device,
    consultation: &Made,
    (item, sources): (&Made, [&Made; 2]),
) -> Result<()> {
    hub.act(&consultation.id, "submit_review", json!({}))
        .await?;
    let submission = json!({
        "kind": "legis_submission", "consultation": consultation.number, "items": [item.number],
        "date": days_ago(135), "receiver": "测试区人大常委会",
        "document": format!("测试报〔{}〕9号", year_of(135)), "test_data": true,
    });
    let submission = make(hub, submission).await?;
    let sent = hub.show(&submission.id).await?;
    let offered = sent.get("steps").and_then(Value::as_array);
    if offered.is_some_and(|steps| steps.iter().any(|step| step == "send")) {
        let on = json!({ "on": days_ago(135) });
        hub.act(&submission.id, "send", on).await?;
    }
    let on = json!({ "on": days_ago(135) });
    lead(hub, item, ("submit", "submitted"), on.clone()).await?;
    for source in sources {
        lead(hub, source, ("submit", "submitted"), on.clone()).await?;
    }
    let steps = vec![
        ("submit", on),
        ("await_feedback", json!({})),
        ("feed_back", json!({ "on": days_ago(30) })),
    ];
    go(hub, consultation, steps).await?;
    let adopted = json!({ "adoption": {
        "result": "partly", "evidence": "通过稿第九条采用“佩戴嘴套或者装入犬袋”，另提倡避开高峰时段。",
        "reported_on": days_ago(30),
    } });
    let fed_back = ("feed_back", "fed_back");
    lead(hub, item, fed_back, adopted.clone()).await?;
    for source in sources {
        lead(hub, source, fed_back, adopted.clone()).await?;
    }
    let told = json!({ "notified_sources": true, "on": days_ago(25) });
    hub.act(&item.id, "notify", told).await?;
    let passed = json!({
        "passed_on": days_ago(35), "final_text": "第九条：携带犬只乘坐电梯的，应当佩戴嘴套或者装入犬袋。",
    });
    hub.act(&consultation.id, "compare", passed).await?;
    Ok(())
}

/// A visit, what was asked for there, and a day of service with partners and volunteers.
async fn services(places: Places<'_>) -> Result<()> {
    let Places {
        hub,
        station,
        other,
        ..
    } = places;
    let activity = json!({
        "kind": "service_activity", "site": STATION, "date": days_ago(50), "place": "测试社区广场",
        "service_types": ["medical", "other"], "partner_orgs": [samples::PARTNER],
        "persons_served_times": 38, "summary": "量血压、磨剪刀、修小家电。", "test_data": true,
    });
    confirmed(station, hub, activity).await?;
    let shift = json!({
        "kind": "volunteer_shift", "team": samples::TEAM, "date": days_ago(50), "hours": 3,
        "people_count": 6, "activity": "清理楼道，帮忙搬运。", "test_data": true,
    });
    confirmed(station, hub, shift).await?;
    let visit = make(other, samples::visit()).await?;
    let request = |what: &str, text: &str| {
        json!({
            "kind": "service_request", "type": what, "requester_kind": "enterprise", "text": text,
            "identity_mode": "confidential",
            "person": { "call_name": "测试经理", "phone": "000-0000-0005" },
            "source_event": visit.number, "occurred_on": days_ago(3), "test_data": true,
        })
    };
    let advice = request("policy_info", "咨询示例科技园租金减免怎么申请。");
    let advice = make(other, advice).await?;
    let served = json!({ "done_on": days_ago(2), "served_by": "示例街道经济发展办公室" });
    let steps = vec![
        ("accept", json!({})),
        ("finish", served),
        ("rate", json!({ "rating": "satisfied" })),
        ("close", json!({})),
    ];
    go(other, &advice, steps).await?;
    let repair = request("repair", "值班室水龙头坏了，请人来修。");
    let repair = make(other, repair).await?;
    let assigned = json!({ "served_by": samples::TEAM });
    let steps = vec![("accept", json!({})), ("assign", assigned)];
    go(other, &repair, steps).await
}

/// An opinion that a unit handles just now.
async fn in_hand(places: Places<'_>) -> Result<()> {
    let Places { hub, other, .. } = places;
    let opinion = json!({
        "kind": "opinion", "channel": "phone", "category": "complaint", "topic": "property_mgmt",
        "title": "地下车库顶板漏水", "body": "示例花园地下车库顶板漏水，车道湿滑。",
        "place": { "community": "示例社区", "text": "示例花园地下车库" },
        "identity_mode": "anonymous", "reply_wanted": "query_code", "occurred_on": days_ago(4),
        "test_data": true,
    });
    let opinion = make(other, opinion).await?;
    comes(hub, &opinion).await?;
    let unit = "示例街道城市管理办公室";
    let steps = vec![
        ("accept", json!({})),
        (
            "dispatch",
            json!({ "lead": unit, "text": "请会同物业查明漏点。" }),
        ),
        ("sign", json!({})),
    ];
    go(hub, &opinion, steps).await
}

/// Two neighbours bring the same matter, each to another computer: whoever accepts it is asked whether it is one.
async fn twins(places: Places<'_>) -> Result<[Made; 2]> {
    let said = |body: &str| {
        json!({
            "kind": "opinion", "channel": "walk_in", "category": "help", "topic": "city_appearance",
            "body": body, "place": { "community": "测试社区", "text": "测试小区5号楼西侧" },
            "identity_mode": "anonymous", "occurred_on": days_ago(1), "test_data": true,
        })
    };
    let first = said("测试小区5号楼西侧的健身器材松动，孩子玩的时候晃得厉害，希望尽快修理。");
    let second = said("5号楼西侧健身器材松动，孩子玩的时候晃得厉害，请尽快修理。");
    let twins = [
        make(places.station, first).await?,
        make(places.other, second).await?,
    ];
    for it in &twins {
        comes(places.hub, it).await?;
    }
    Ok(twins)
}

/// What the sub-district was told in confidence is sealed, by one person who names another.
async fn sealed(hub: &Device) -> Result<Made> {
    const SECOND: &str = "测试复核人";
    let told = json!({
        "kind": "opinion", "channel": "letter", "category": "report", "title": "来信反映的事项（测试）",
        "body": "来信举报，内容从略（测试）。", "identity_mode": "anonymous", "occurred_on": days_ago(6),
        "test_data": true,
    });
    let add = Write::RecordAdd {
        kind: "opinion".to_owned(),
        rows: vec![told],
        first_row: 1,
        account: Some(SECOND.to_owned()),
    };
    let added = hub.call(add).await?;
    let id = added.pointer("/records/0/id").and_then(Value::as_str);
    let id = id.unwrap_or_default().to_owned();
    let why = json!({ "reason": "涉及举报人（测试）", "second_person": SECOND });
    hub.act(&id, "restrict", why).await?;
    let number = added.pointer("/records/0/number").and_then(Value::as_str);
    let number = number.unwrap_or_default().to_owned();
    Ok(Made { id, number })
}

/// Two computers say differently how urgent something is, while the cable of one is out.
async fn disputed(places: Places<'_>) -> Result<Made> {
    let Places {
        hub,
        station,
        other,
        ..
    } = places;
    let opinion = json!({
        "kind": "opinion", "channel": "phone", "category": "help", "topic": "public_safety",
        "title": "井盖破损", "body": "示例路人行道上一个井盖裂了，怕有人踩空。",
        "place": { "community": "示例社区", "text": "示例路人行道" }, "identity_mode": "anonymous",
        "occurred_on": days_ago(0), "test_data": true,
    });
    let opinion = make(station, opinion).await?;
    comes(other, &opinion).await?;
    let urgency = |code: &str| json!({ "urgency": code });
    station.node()?.net.plug(false);
    let set = station.set(&opinion.id, urgency("urgent")).await;
    let set = match set {
        Ok(_) => other.set(&opinion.id, urgency("emergency_referred")).await,
        failed => failed,
    };
    station.node()?.net.plug(true);
    set?;
    let disputed = |record: &Value| {
        let conflicts = record.get("conflicts").and_then(Value::as_array);
        conflicts.is_some_and(|all| !all.is_empty())
    };
    in_time(hub.until(&opinion.id, disputed).await?)?;
    Ok(opinion)
}

/// A resident agrees that the case be published without a name, and gets a copy of what is kept.
async fn privacy(places: Places<'_>, opinion: &Made) -> Result<()> {
    let Places { hub, station, .. } = places;
    let consent = json!({
        "kind": "consent", "subject": opinion.number, "purpose": "publication",
        "given_on": days_ago(198), "test_data": true,
    });
    station.add(consent).await?;
    let request = json!({
        "kind": "privacy_request", "type": "copy", "target": opinion.number,
        "person": { "name": "测试先生", "phone": "000-0000-0004" }, "occurred_on": days_ago(20),
        "test_data": true,
    });
    let request = make(station, request).await?;
    let checked = json!({ "note": "凭登记单和查询码核对。" });
    station.act(&request.id, "check_identity", checked).await?;
    stands(hub, &request, "identity_checked").await?;
    let steps = vec![
        ("decide", json!({ "decision": "granted" })),
        ("complete", json!({ "on": days_ago(18) })),
    ];
    go(hub, &request, steps).await
}
