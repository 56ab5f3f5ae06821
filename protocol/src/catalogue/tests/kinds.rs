//! The shipped kinds beside the opinion: they take what the domain's examples hold, and go the domain's ways.
//! All fictional test data.

use super::*;

fn kind(code: &str) -> Result<&'static Kind, String> {
    let kind = Catalogue::standard().kind(code);
    kind.ok_or_else(|| format!("the shipped catalogue has no {code}"))
}

/// Reads a new record as the front door does.
fn read(code: &str, input: &Value) -> Result<Draft, String> {
    let read = Catalogue::standard().read(kind(code)?, input);
    read.map_err(|refusals| format!("{code}: {refusals:?}"))
}

/// The domain's examples, without what is computed: number, status, what becomes of it.
fn examples() -> Vec<(&'static str, Value)> {
    vec![
        (
            "site",
            json!({"name": "示例街道测试社区人大代表工作站", "type": "workstation", "device_codes": ["EM1A", "EM1B"], "opened_on": "2017-06-01", "linked_sites": ["T-02"], "test_data": true}),
        ),
        (
            "site",
            json!({"name": "示例律师事务所基层立法信息采集点", "type": "collection_point", "host_kind": "law_firm", "device_codes": ["LS1A"], "entrust_agreement": "测试委托处理协议2026-01", "test_data": true}),
        ),
        (
            "deputy",
            json!({"name": "测试代表甲", "level": "district", "term": "测试届", "constituency": "测试选区", "delegation": "示例代表团", "contact": "000-0000-0009", "test_data": true}),
        ),
        (
            "org",
            json!({"name": "示例街道城市管理办公室", "org_kind": "office", "test_data": true}),
        ),
        (
            "reception",
            json!({"site": "T-01", "date": "2026-03-10", "start": "09:00", "end": "11:30", "notice_posted_on": "2026-03-06", "deputies_present": ["测试代表乙", "测试代表甲"], "visitors_times": 9, "opinions": ["YJ-SLJD-EM1A-2026-00042-71"], "answered_on_spot": 3, "test_data": true}),
        ),
        (
            "visit",
            json!({"mode": "enterprise", "target_kind": "enterprise", "targets_count": 3, "deputies": ["测试代表丙"], "needs_summary": "两家企业反映招工难，一家咨询租金政策。", "service_requests": ["FW-SLJD-FV3A-2026-00008-95"], "date": "2026-03-12", "test_data": true}),
        ),
        (
            "legis_consultation",
            json!({"issuer": "city", "doc_no": "测试函〔2026〕5号", "draft_title": "测试市住宅电梯安全条例(草案征求意见稿)", "law_kind": "local_reg", "reading": "comment_draft", "site_due_on": "2026-04-10", "due_on": "2026-04-15", "test_data": true}),
        ),
        (
            "legis_comment",
            json!({"article_path": "第十二条第一款", "action": "amend", "original_words": "三十分钟太笼统，有人被困和没人被困不能一个标准。", "legal_wording": "电梯困人的，应当在十五分钟内到达现场。", "reason": "困人情形紧迫性不同。", "commenter_kind": "lawyer", "identity_mode": "anonymous", "test_data": true}),
        ),
        (
            "legis_comment",
            json!({"article_path": "第十二条第一款", "action": "amend", "original_words": "人关在里面半小时太久了，老人受不了。", "commenter_kind": "resident", "form": "reception", "identity_mode": "anonymous", "test_data": true}),
        ),
        (
            "assignment",
            json!({"parent": "YJ-SLJD-CZ1A-2026-00007-96", "unit": "示例街道城市管理办公室", "role": "lead", "authority": "hub_dispatch", "issued_on": "2026-03-16", "due_on": "2026-04-15"}),
        ),
        (
            "reply",
            json!({"parent": "YJ-SLJD-CZ1A-2026-00007-96", "text": "已列入计划。", "form": "phone", "result": "planned", "submitted_on": "2026-04-10"}),
        ),
        (
            "service_request",
            json!({"type": "repair", "requester_kind": "resident", "text": "测试小区2号楼水龙头坏了，请人来修。", "identity_mode": "confidential", "person": {"call_name": "测试大爷", "phone": "000-0000-0002", "age_band": "over_74"}, "source_event": "ZF-SLJD-FV3A-2026-00031-51", "served_by": "示例志愿服务队", "done_on": "2026-03-13", "occurred_on": "2026-03-12", "campaign": ["心安家"], "test_data": true}),
        ),
        (
            "service_activity",
            json!({"date": "2026-03-15", "site": "T-01", "place": "测试社区广场", "partner_orgs": ["示例物业公司", "示例社会组织"], "service_types": ["legal", "medical"], "persons_served_times": 46, "summary": "义诊、法律咨询、理发。", "campaign": ["情满淮河"], "test_data": true}),
        ),
        (
            "service_unit",
            json!({"name": "示例商圈服务单位", "host_kind": "plaza", "host": "示例商圈管理单位", "area": "测试社区", "opened_on": "2022-05-01", "test_data": true}),
        ),
        (
            "service_point",
            json!({"place": "示例工地服务驿站", "site": "T-01", "operator_org": "示例建设公司", "facilities": ["充电", "饮水"], "hours": "7:00–19:00", "opened_on": "2022-06-01", "closed_on": "2023-06-01", "test_data": true}),
        ),
        (
            "partner_org",
            json!({"name": "示例物业公司", "org": "示例物业公司", "service": "上门检修水电。", "test_data": true}),
        ),
        (
            "volunteer_team",
            json!({"name": "示例志愿服务队", "host": "测试社区", "head": "测试队长 000-0000-0003", "members_count": 24, "skills": ["家电维修", "法律咨询"], "opened_on": "2022-03-05", "test_data": true}),
        ),
        (
            "volunteer_shift",
            json!({"team": "示例志愿服务队", "date": "2026-03-14", "hours": 3, "people_count": 6, "activity": "清理楼道。", "external_system_no": "测试-0001", "test_data": true}),
        ),
        (
            "register",
            json!({"type": "duty_roster", "site": "T-01", "date": "2026-03-10", "deputies": ["测试代表乙", "测试代表甲"], "test_data": true}),
        ),
        (
            "register",
            json!({"type": "facility", "room": "示例活动室", "equipment": ["投影仪", "桌椅"], "signage": true, "duty_list": "接待、登记、反馈。", "opened_on": "2021-01-01", "test_data": true}),
        ),
        (
            "register",
            json!({"type": "asset", "asset_kind": "宣传栏", "place": "示例广场东侧", "test_data": true}),
        ),
        (
            "register",
            json!({"type": "partner_shop", "name": "示例便民店", "org": "示例便民店", "service_promise": "老人优先，明码标价。", "test_data": true}),
        ),
        (
            "community",
            json!({"name": "测试社区", "code": "CS01", "area": "示例片区", "aliases": ["测试", "测试小区一带"], "test_data": true}),
        ),
        (
            "org",
            json!({"name": "示例街道城市管理办公室", "org_kind": "office", "aliases": ["城管办"], "test_data": true}),
        ),
        (
            "deputy",
            json!({"name": "测试代表乙", "aliases": ["测试乙代表"], "test_data": true}),
        ),
        (
            "consent",
            json!({"subject": "YJ-SLJD-EM1A-2026-00042-71", "purpose": "sharing", "receiver": "示例律师事务所", "given_on": "2026-03-10", "test_data": true}),
        ),
        (
            "privacy_request",
            json!({"type": "erase", "target": "YJ-SLJD-EM1A-2026-00042-71", "person": {"name": "测试女士", "phone": "000-0000-0001"}, "occurred_on": "2026-04-01", "test_data": true}),
        ),
        (
            "deputy_suggestion",
            json!({"title": "关于在示例小学周边设置限时停车位的建议", "proposer_kind": "joint", "lead_deputy": "测试代表甲", "co_deputies": ["测试代表丙"], "session": "closed", "level": "district", "source_opinions": ["YJ-SLJD-CZ1A-2026-00007-96"], "facts": "高峰时段占道车辆约40辆（测试数据）。", "analysis": "学校门前没有停车位。", "proposal": "在东侧非机动车道外侧施划20个限时停车位，限停15分钟。", "official_no": "测试区〔2026〕闭会第3号", "handed_over_on": "2026-03-24", "handling_mode": "joint", "lead_unit": "测试区交通管理部门", "co_units": ["示例街道办事处"], "reply_form": "face", "result_class": "B", "result_type": "planned", "attitude_rating": "satisfied", "result_rating": "basically", "collected_on": "2026-03-17", "confidential_requested": false, "admissibility": "ok", "reported_on": "2026-03-20", "extension": {"approved_by": "测试区人大常委会", "on": "2026-06-01", "new_due": "2026-09-24"}, "replied_on": "2026-06-20", "timing": "this_year", "implementation": "partly", "excellent": false, "published": true, "topic": "traffic_parking", "channel": "symposium", "source_event": "HY-1", "campaign": ["会前活动月"], "test_data": true}),
        ),
        (
            "deputy_suggestion",
            json!({"title": "关于保护示例老街的建议", "proposer_kind": "delegation", "delegation": "示例代表团", "session": "in_session", "test_data": true}),
        ),
        (
            "commitment",
            json!({"suggestion": "JY-SLJD-HUBA-2026-00015-64", "text": "9月1日前完成施划", "due": "2026-08-31", "done_on": "2026-08-20"}),
        ),
        (
            "contact_record",
            json!({"suggestion": "JY-SLJD-HUBA-2026-00015-64", "on": "2026-05-06", "way": "visit", "text": "与测试代表甲到现场查看。"}),
        ),
        (
            "supervision",
            json!({"target": "JY-SLJD-HUBA-2026-00015-64", "level": "district_key", "decided_by": "测试区人大常委会主任会议", "decided_on": "2026-04-01", "doc_no": "测试〔2026〕2号", "unit": "测试区交通管理部门", "due_on": "2026-09-30", "reported_back_on": "2026-09-20", "progress": "已完成踏勘。", "principal_face_reply": true, "test_data": true}),
        ),
        (
            "meeting",
            json!({"site": "T-01", "date": "2026-03-17", "format": "heart_talk", "subject": "代表群众话心声（测试）", "attendees_count": 12, "deputies": ["测试代表甲"], "opinions": ["YJ-SLJD-EM1A-2026-00042-71"], "test_data": true}),
        ),
        (
            "theme_month",
            json!({"month": "2026-03", "theme": "法律服务月", "test_data": true}),
        ),
        (
            "theme_activity",
            json!({"year_month": "2026-03", "theme": "法律服务月", "theme_month": "2026-03", "title": "送法律进测试社区", "site": "T-01", "date": "2026-03-15", "deputies": ["测试代表丁", "测试代表甲"], "deputies_lead": ["测试代表甲"], "service_types": ["legal", "medical"], "persons_served_times": 46, "donations": ["JZ-SLJD-CZ1A-2026-00002-40"], "mediations": ["TJ-SLJD-CZ1A-2026-00005-82"], "opinions": ["YJ-SLJD-EM1A-2026-00042-71"], "test_data": true}),
        ),
        (
            "livestream",
            json!({"session_no": 7, "platform": "短视频平台（测试）", "subject": "流感疫苗接种科普", "hosts": ["测试代表乙"], "site": "T-01", "started_at": "2026-03-20T19:00+08:00", "ended_at": "2026-03-20T20:30+08:00", "cumulative_viewers": 1234, "peak_online": 321, "discussants": 87, "comments_count": 205, "metric_source": "平台后台截图", "metric_at": "2026-03-20T21:10+08:00", "opinions": ["YJ-SLJD-ZB1A-2026-00009-33"], "replay_url": "https://example.invalid/7", "test_data": true}),
        ),
        (
            "inspection",
            json!({"type": "appraisal", "date": "2026-05-12", "level": "district", "organ": "测试区人民法院", "host_orgs": ["示例机械有限公司"], "deputies": ["测试代表甲"], "report": "企业反映招工难。", "forwarded_on": "2026-05-20", "feedback_on": "2026-08-01", "result": "已开两场招聘会。", "topic": "employment", "test_data": true}),
        ),
        (
            "inspection_issue",
            json!({"inspection": "SC-SLJD-HUBA-2026-00003-05", "text": "夜班工人通勤不便。", "unit": "示例街道经济发展办公室", "opinion": "YJ-SLJD-EM1A-2026-00042-71", "suggestion": "JY-SLJD-HUBA-2026-00015-64", "resolution": "solved", "solved_on": "2026-07-01", "solved_basis": "site_check"}),
        ),
        (
            "training",
            json!({"title": "新当选代表履职培训（测试）", "organiser_level": "city", "form": "lecture", "date": "2026-02-03", "site": "T-01", "hours": 6, "attendees": ["测试代表丙", "测试代表甲"], "subject": "怎样写代表建议。", "test_data": true}),
        ),
        (
            "donation",
            json!({"date": "2026-03-15", "donation_kind": "goods", "amount_fen": 1500000, "valuation_basis": "receipt", "donor_card": "示例商贸有限公司", "recipient_kind": "school", "via": "示例慈善会", "related_activity": "ZT-SLJD-CZ1A-2026-00002-96", "test_data": true}),
        ),
        (
            "mediation",
            json!({"dispute_type": "neighbour", "parties_count": 2, "mediator_org": "测试社区人民调解委员会", "summary": "楼上漏水，双方同意由楼上住户维修并承担吊顶费用。", "result": "agreed", "agreement_form": "oral", "agreed_on": "2026-03-15", "performed": "yes", "deputies": ["测试代表甲"], "date": "2026-03-14", "site": "T-01", "source_event": "ZT-SLJD-CZ1A-2026-00002-96", "person": {"call_name": "测试女士", "phone": "000-0000-0002"}, "test_data": true}),
        ),
        (
            "legis_item",
            json!({"consultation": "LQ-1", "article_path": "第十二条第一款", "text": "电梯困人的，应当在十五分钟内到达现场。", "reason": "困人情形紧迫。", "sources": ["LF-SLJD-EM1A-2026-00019-18", "LF-SLJD-LS1A-2026-00003-90"], "test_data": true}),
        ),
        (
            "legis_submission",
            json!({"consultation": "LQ-1", "items": ["LH-1", "LH-2"], "date": "2026-04-15", "receiver": "测试区人大常委会", "document": "测试函〔2026〕9号", "test_data": true}),
        ),
        (
            "site_investment",
            json!({"site": "T-01", "amount_fen": 10000000, "date": "2026-01-20", "purpose": "完善提升接待室", "source": "街道经费（测试）", "test_data": true}),
        ),
        (
            "site_checklist",
            json!({"site": "T-01", "checked_on": "2026-03-01", "test_data": true}),
        ),
        (
            "checklist_item",
            json!({"checklist": "LY-1", "code": "place", "label": "有场所", "ok": true, "evidence": "一楼东侧两间。"}),
        ),
        (
            "campaign",
            json!({"name": "会前活动月（测试）", "type": "campaign", "start": "2026-11-01", "end": "2026-11-30", "test_data": true}),
        ),
        (
            "contact_link",
            json!({"from_actor": "测试代表甲", "to": "测试社区", "contact_kind": "代表联系群众", "since": "2026-01-01", "test_data": true}),
        ),
        (
            "contact_log",
            json!({"link": "L-1", "date": "2026-02-10", "text": "到社区听取对停车的意见。"}),
        ),
    ]
}

#[test]
fn the_domains_examples_are_taken_and_come_back_as_they_were() -> Tested {
    for (code, input) in examples() {
        let draft = read(code, &input)?;
        let Value::Object(back) = nested(kind(code)?, draft) else {
            return Err("no object".into());
        };
        for (key, value) in input.as_object().into_iter().flatten() {
            assert_eq!(back.get(key), Some(value), "{code}: {key}");
        }
    }
    Ok(())
}

#[test]
fn the_articles_of_a_draft_come_with_it_each_as_a_record_of_its_own() -> Tested {
    let mut input = json!({"draft_title": "测试条例", "articles": [
        {"path": "第一条", "text": "为了测试，制定本条例。"},
        {"path": "第二条", "text": "本条例适用于示例街道。", "note": "与第一条对应"},
    ]});
    let draft = read("legis_consultation", &input)?;
    let places: Vec<_> = (draft.nested.iter())
        .map(|(kind, it)| (kind.as_str(), fact(it, "place"), fact(it, "path")))
        .collect();
    let place = |n, path: &str| {
        (
            "draft_article",
            Some(Fact::Int(n)),
            Some(Fact::Str(path.to_owned())),
        )
    };
    assert_eq!(places, [place(1, "第一条"), place(2, "第二条")]);
    assert!(
        draft
            .nested
            .iter()
            .all(|(_, it)| fact(it, "consultation").is_none())
    );

    // What is wrong within is named with its place, and so is what is wrong around it.
    input["articles"][1] = json!({"path": "第二条"});
    input["issuer"] = json!("village");
    let consultation = kind("legis_consultation")?;
    let refusals = refused(Catalogue::standard().read(consultation, &input));
    let expected = [
        ("issuer".to_owned(), "not_an_option"),
        ("articles/2.text".to_owned(), "required"),
    ];
    assert_eq!(refusals, expected);

    let shapes = [
        (json!({"path": "第一条"}), "wrong_type"),
        (json!(vec![json!({}); NESTED_MAX + 1]), "too_many"),
    ];
    for (articles, code) in shapes {
        let input = json!({"draft_title": "测试条例", "articles": articles});
        let refusals = refused(Catalogue::standard().read(consultation, &input));
        assert!(
            refusals.contains(&("articles".to_owned(), code)),
            "{refusals:?}"
        );
    }
    assert_eq!(
        refused(consultation.read_edit(&json!({"articles": []}))),
        one("articles", "read_only")
    );
    Ok(())
}

/// Events, each with who takes it.
type Way<'a> = &'a [(&'a str, &'a str)];

#[test]
fn every_kind_goes_the_way_the_domain_names() -> Tested {
    let ways: [(&str, Way<'_>, &str); 32] = [
        (
            "service_request",
            &[
                ("accept", "C"),
                ("assign", "C"),
                ("assign", "H"),
                ("finish", "U"),
                ("rate", "R"),
                ("close", "H"),
            ],
            "closed",
        ),
        (
            "service_request",
            &[("finish", "C"), ("close", "C")],
            "closed",
        ),
        (
            "service_request",
            &[("accept", "H"), ("supplement", "D"), ("refer", "H")],
            "referred",
        ),
        (
            "service_request",
            &[("accept", "C"), ("assign", "C"), ("decline", "C")],
            "cannot",
        ),
        (
            "service_activity",
            &[("record", "C"), ("confirm", "H")],
            "confirmed",
        ),
        (
            "volunteer_shift",
            &[("record", "C"), ("confirm", "H"), ("archive", "H")],
            "archived",
        ),
        ("consent", &[("withdraw", "R")], "withdrawn"),
        (
            "privacy_request",
            &[
                ("check_identity", "C"),
                ("decide", "P"),
                ("execute", "P"),
                ("complete_partial", "P"),
                ("complete", "P"),
            ],
            "completed",
        ),
        (
            "privacy_request",
            &[("check_identity", "H"), ("decide", "P"), ("complete", "P")],
            "completed",
        ),
        (
            "reception",
            &[
                ("announce", "C"),
                ("hold", "C"),
                ("record", "C"),
                ("confirm", "H"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "reception",
            &[("postpone", "C"), ("announce", "C"), ("cancel", "C")],
            "cancelled",
        ),
        (
            "visit",
            &[
                ("record", "C"),
                ("return", "H"),
                ("record", "C"),
                ("confirm", "H"),
            ],
            "confirmed",
        ),
        (
            "legis_consultation",
            &[
                ("split", "H"),
                ("open", "H"),
                ("close_sites", "H"),
                ("merge", "H"),
                ("submit_review", "H"),
                ("submit", "H"),
                ("await_feedback", "H"),
                ("feed_back", "H"),
                ("compare", "H"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "legis_comment",
            &[
                ("collect", "C"),
                ("word", "H"),
                ("merge", "H"),
                ("submit", "H"),
                ("feed_back", "H"),
            ],
            "fed_back",
        ),
        (
            "assignment",
            &[
                ("sign", "U"),
                ("return", "U"),
                ("deny", "H"),
                ("reply", "U"),
                ("redo", "H"),
            ],
            "signed",
        ),
        ("reply", &[("approve", "H")], "approved"),
        (
            "deputy_suggestion",
            &[
                ("confirm_co", "D"),
                ("sign", "D"),
                ("review", "H"),
                ("revise", "H"),
                ("confirm_co", "H"),
                ("sign", "H"),
                ("review", "H"),
                ("pass", "H"),
                ("report_up", "H"),
                ("hand_over", "H"),
                ("start", "H"),
                ("return", "H"),
                ("hand_over", "H"),
                ("start", "H"),
                ("extend", "H"),
                ("reply", "H"),
                ("rate", "D"),
                ("rehandle", "H"),
                ("reply", "H"),
                ("rate", "H"),
                ("track", "H"),
                ("complete", "H"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "deputy_suggestion",
            &[
                ("sign", "H"),
                ("review", "H"),
                ("as_letter", "H"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "deputy_suggestion",
            &[
                ("sign", "D"),
                ("review", "H"),
                ("pass", "H"),
                ("report_up", "H"),
                ("hand_over", "H"),
                ("return", "H"),
                ("deny", "H"),
                ("key_supervise", "H"),
                ("press", "S"),
                ("reply", "H"),
                ("rate", "D"),
                ("complete", "H"),
            ],
            "completed",
        ),
        (
            "deputy_suggestion",
            &[
                ("sign", "D"),
                ("review", "H"),
                ("pass", "H"),
                ("report_up", "H"),
                ("hand_over", "H"),
                ("start", "H"),
                ("withdraw", "D"),
            ],
            "withdrawn",
        ),
        (
            "commitment",
            &[
                ("progress", "H"),
                ("done", "H"),
                ("reopen", "H"),
                ("done", "H"),
            ],
            "done",
        ),
        (
            "supervision",
            &[
                ("update", "H"),
                ("close", "S"),
                ("reopen", "S"),
                ("close", "H"),
            ],
            "closed",
        ),
        (
            "meeting",
            &[
                ("announce", "C"),
                ("hold", "C"),
                ("record", "C"),
                ("confirm", "H"),
            ],
            "confirmed",
        ),
        (
            "theme_activity",
            &[("record", "C"), ("confirm", "H"), ("archive", "H")],
            "archived",
        ),
        (
            "livestream",
            &[
                ("announce", "C"),
                ("postpone", "C"),
                ("hold", "C"),
                ("record", "C"),
                ("confirm", "H"),
            ],
            "confirmed",
        ),
        (
            "inspection",
            &[
                ("record", "H"),
                ("forward", "H"),
                ("confirm", "H"),
                ("feed_back", "H"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "inspection_issue",
            &[
                ("forward", "H"),
                ("resolve", "H"),
                ("reopen", "H"),
                ("resolve", "H"),
            ],
            "resolved",
        ),
        (
            "training",
            &[("record", "H"), ("confirm", "H")],
            "confirmed",
        ),
        (
            "mediation",
            &[
                ("start", "C"),
                ("agree", "C"),
                ("follow_up", "C"),
                ("archive", "H"),
            ],
            "archived",
        ),
        (
            "mediation",
            &[("fail", "C"), ("resume", "C"), ("refer", "C")],
            "referred",
        ),
        (
            "legis_item",
            &[
                ("approve", "S"),
                ("send_back", "H"),
                ("drop", "H"),
                ("restore", "H"),
                ("approve", "H"),
                ("submit", "H"),
                ("feed_back", "H"),
                ("notify", "H"),
                ("feed_back", "H"),
                ("notify", "H"),
            ],
            "notified",
        ),
        (
            "site",
            &[
                ("open", "H"),
                ("suspend", "H"),
                ("open", "H"),
                ("close", "H"),
            ],
            "closed",
        ),
    ];
    for (code, way, end) in ways {
        let folded = kind(code)?.fold(&chain(way));
        assert!(
            applied(&folded).into_iter().all(|it| it),
            "{code}: {:?}",
            folded.outcomes
        );
        assert_eq!(folded.status, end, "{code}");
    }
    Ok(())
}

#[test]
fn a_station_confirms_nothing_and_a_deputy_closes_nothing() -> Tested {
    for (code, way) in [
        ("reception", [("record", "C"), ("confirm", "CDR")]),
        ("legis_consultation", [("split", "H"), ("open", "CDR")]),
        ("reply", [("note", "H"), ("approve", "CDU")]),
        ("assignment", [("sign", "U"), ("withdraw", "DU")]),
        ("service_request", [("finish", "C"), ("close", "DRU")]),
        (
            "privacy_request",
            [("check_identity", "C"), ("decide", "CDHSU")],
        ),
        ("consent", [("withdraw", "C"), ("note", "RU")]),
        ("livestream", [("record", "C"), ("confirm", "CDR")]),
        ("deputy_suggestion", [("sign", "D"), ("review", "CDU")]),
        ("legis_item", [("approve", "H"), ("submit", "CDU")]),
    ] {
        let folded = kind(code)?.fold(&chain(&way));
        assert_eq!(applied(&folded), [true, false], "{code}");
    }
    Ok(())
}

#[test]
fn the_original_words_and_the_legal_wording_are_two_texts() -> Tested {
    let draft = read(
        "legis_comment",
        &json!({"original_words": "半小时太久了。"}),
    )?;
    assert_eq!(
        text(&draft, Retention::Text, "original_words"),
        Some("半小时太久了。")
    );
    assert_eq!(text(&draft, Retention::Text, "legal_wording"), None);
    let edit = kind("legis_comment")?.read_edit(&json!({"original_words": "太久了。"}));
    assert_eq!(refused(edit), one("original_words", "fixed"));
    let worded = kind("legis_comment")?
        .read_event("word", &json!({"legal_wording": "应当在十五分钟内到达。"}));
    let worded = worded.map_err(|refusals| format!("{refusals:?}"))?;
    assert_eq!(text(&worded, Retention::Text, "original_words"), None);
    Ok(())
}

#[test]
fn what_the_program_writes_is_nobodys_to_make_or_to_change() -> Tested {
    let log = kind("access_log")?;
    assert!(log.create.by_program && log.sections.is_empty());
    let typed = json!({"record": "YJ-SLJD-EM1A-2026-00042-71", "action": "reveal"});
    let refused = [
        refused(log.read(&typed)),
        refused(log.read(&json!({}))),
        refused(log.read_form(&json!({}))),
        refused(log.read_edit(&json!({"campaign": ["测试"]}))),
        refused(Catalogue::standard().read(log, &typed)),
    ];
    assert!(
        refused.iter().all(|it| *it == one("", "read_only")),
        "{refused:?}"
    );
    // What the program writes is a value all the same.
    let action = log.field("action").ok_or("no action")?;
    for code in [
        "view_contact",
        "export",
        "print",
        "search_person",
        "reveal",
        "change_scope",
        "erase",
    ] {
        assert!(action.accepts(&Fact::Str(code.to_owned())), "{code}");
    }
    assert!(!action.accepts(&Fact::Str("look".to_owned())));
    let reason = log.field("reason").ok_or("no reason")?;
    assert_eq!(reason.retention, Some(Retention::Text));
    let facts =
        ["record", "action", "result"].map(|key| (key.to_owned(), Fact::Str("done".to_owned())));
    let texts = BTreeMap::from([("reason".to_owned(), "核对电话".to_owned())]);
    let written = log.nest(&facts.into(), &texts);
    assert_eq!(
        Value::Object(written),
        json!({"record": "done", "action": "done", "result": "done", "reason": "核对电话"})
    );
    Ok(())
}

#[test]
fn each_register_asks_for_its_own_and_leaves_no_room_for_the_others() -> Tested {
    let register = kind("register")?;
    let refused = |input: Value| refused(register.read_form(&input));
    assert_eq!(
        refused(json!({"type": "duty_roster"})),
        one("date", "needed")
    );
    assert_eq!(
        refused(json!({"type": "facility", "room": "示例活动室", "service_promise": "明码标价"})),
        one("service_promise", "excluded")
    );
    assert!(
        register
            .read_form(&json!({"type": "partner_shop", "org": "示例便民店"}))
            .is_ok()
    );
    Ok(())
}

#[test]
fn consent_to_pass_something_on_names_the_receiver() -> Tested {
    let consent = json!({"subject": "YJ-SLJD-EM1A-2026-00042-71", "purpose": "sharing", "given_on": "2026-03-10"});
    assert_eq!(
        refused(kind("consent")?.read_form(&consent)),
        one("receiver", "needed")
    );
    Ok(())
}

#[test]
fn what_is_still_missing_after_an_erasure_is_said_until_all_receipts_are_there() -> Tested {
    let request = kind("privacy_request")?;
    let partial = request.read_event("complete_partial", &json!({}));
    assert_eq!(refused(partial), one("missing_receipts", "required"));
    let mut way = chain(&[
        ("check_identity", "P"),
        ("decide", "P"),
        ("execute", "P"),
        ("complete_partial", "P"),
    ]);
    if let Some(last) = way.last_mut() {
        last.facts
            .insert("missing_receipts".to_owned(), Fact::Int(2));
    }
    let folded = request.fold(&way);
    assert_eq!(folded.status, "completed_partial");
    assert_eq!(folded.facts.get("missing_receipts"), Some(&Fact::Int(2)));
    way.push(step("complete", 9, "P", &[3]));
    let folded = request.fold(&way);
    assert_eq!(folded.status, "completed");
    assert_eq!(folded.facts.get("missing_receipts"), None);
    Ok(())
}

#[test]
fn a_request_for_a_service_is_kept_as_it_was_said_and_its_head_of_a_team_can_be_erased() -> Tested {
    let edit = kind("service_request")?.read_edit(&json!({"text": "改过的内容"}));
    assert_eq!(refused(edit), one("text", "fixed"));
    let team = read(
        "volunteer_team",
        &json!({"name": "示例志愿服务队", "head": "测试队长"}),
    )?;
    assert_eq!(text(&team, Retention::Card, "head"), Some("测试队长"));
    assert_eq!(fact(&team, "head"), None);
    Ok(())
}

#[test]
fn reports_read_the_dates_that_the_domain_names() -> Tested {
    for (code, dates) in [
        ("reception", ["date"]),
        ("visit", ["date"]),
        ("service_activity", ["date"]),
        ("volunteer_shift", ["date"]),
        ("site", ["opened_on"]),
        ("volunteer_team", ["opened_on"]),
    ] {
        assert_eq!(kind(code)?.counts_on, dates, "{code}");
    }
    // What was said at a time was said on its day.
    for code in ["opinion", "legis_comment"] {
        assert_eq!(
            kind(code)?.counts_on,
            ["occurred_on", "occurred_at"],
            "{code}"
        );
    }
    // Of the registers, a duty roster has a day, the others what they were set up on.
    assert_eq!(kind("register")?.counts_on, ["date", "opened_on"]);
    assert_eq!(kind("deputy")?.found_by, ["name", "delegation"]);
    assert_eq!(kind("org")?.found_by, ["name"]);
    Ok(())
}

#[test]
fn what_a_step_finds_stands_in_the_record() -> Tested {
    for (code, before, event, given) in [
        (
            "service_request",
            &[("accept", "C")][..],
            "assign",
            json!({"served_by": "示例志愿服务队"}),
        ),
        (
            "service_request",
            &[],
            "finish",
            json!({"done_on": "2026-03-13", "served_by": "示例志愿服务队"}),
        ),
        (
            "service_request",
            &[("finish", "C")],
            "rate",
            json!({"rating": "satisfied"}),
        ),
        (
            "consent",
            &[],
            "withdraw",
            json!({"withdrawn_on": "2026-05-01"}),
        ),
        (
            "privacy_request",
            &[("check_identity", "P")],
            "decide",
            json!({"decision": "granted"}),
        ),
    ] {
        let kind = kind(code)?;
        let draft = kind.read_event(event, &given);
        let draft = draft.map_err(|refusals| format!("{code}: {refusals:?}"))?;
        let mut way = chain(before);
        let preds: Vec<_> = way.len().checked_sub(1).into_iter().collect();
        let facts = draft.facts.into_iter();
        way.push(Step {
            facts: facts.filter_map(|(key, fact)| Some((key, fact?))).collect(),
            ..step(event, 99, "CHPR", &preds)
        });
        let folded = kind.fold(&way);
        for (key, value) in given.as_object().into_iter().flatten() {
            let held = folded.facts.get(key).map(Fact::to_json);
            assert_eq!(held.as_ref(), Some(value), "{code}: {event}: {key}");
        }
    }
    let decide = |given: Value| {
        Ok::<_, String>(refused(
            kind("privacy_request")?.read_event("decide", &given),
        ))
    };
    for decision in ["partly", "refused"] {
        assert_eq!(
            decide(json!({ "decision": decision }))?,
            one("reason", "required")
        );
    }
    // Why something was decided is a text: it can be erased.
    let reason = json!({"decision": "refused", "reason": "依法应当保存。"});
    let decided = kind("privacy_request")?.read_event("decide", &reason);
    let decided = decided.map_err(|refusals| format!("{refusals:?}"))?;
    assert_eq!(
        text(&decided, Retention::Text, "reason"),
        Some("依法应当保存。")
    );
    Ok(())
}

#[test]
fn promises_contacts_and_problems_come_with_what_they_belong_to() -> Tested {
    for (code, input, expected) in [
        (
            "deputy_suggestion",
            json!({"title": "关于测试的建议", "commitments": [{"text": "9月1日前完成施划", "due": "2026-08-31"}], "contact_records": [{"text": "已电话沟通。", "way": "phone"}]}),
            vec!["commitment", "contact_record"],
        ),
        (
            "inspection",
            json!({"date": "2026-05-12", "issues": [{"text": "招工难。", "opinion": "YJ-SLJD-EM1A-2026-00042-71"}, {"text": "用电紧张。"}]}),
            vec!["inspection_issue", "inspection_issue"],
        ),
    ] {
        let draft = read(code, &input)?;
        let nested: Vec<_> = draft.nested.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(nested, expected);
    }
    let empty = json!({"title": "关于测试的建议", "commitments": [{"due": "2026-08-31"}]});
    let refusals = refused(Catalogue::standard().read(kind("deputy_suggestion")?, &empty));
    assert_eq!(refusals, one("commitments/1.text", "required"));
    Ok(())
}

#[test]
fn what_names_a_record_is_listed_there() -> Tested {
    for code in [
        "service_request",
        "service_activity",
        "volunteer_shift",
        "service_unit",
        "service_point",
        "partner_org",
        "volunteer_team",
        "register",
        "community",
        "consent",
        "privacy_request",
        "access_log",
    ] {
        // Every kind can be marked with a campaign: lists are filtered by it.
        let fields = kind(code)?.fields.iter();
        for field in fields.filter(|field| field.key != "campaign") {
            for target in field.names() {
                let mut gathers = kind(target)?.gathers.iter();
                assert!(
                    gathers.any(|it| it.kind == code && it.by == field.key),
                    "{target} does not list {code} by {}",
                    field.key
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_suggestion_that_is_withdrawn_meanwhile_stops_and_keeps_its_mark() -> Tested {
    let suggestion = kind("deputy_suggestion")?;
    for (low, high) in [("withdraw", "reply"), ("reply", "withdraw")] {
        let mut steps = chain(&[
            ("sign", "D"),
            ("review", "H"),
            ("pass", "H"),
            ("report_up", "H"),
            ("hand_over", "H"),
            ("key_supervise", "H"),
        ]);
        steps.push(step(low, 80, "DH", &[5]));
        steps.push(step(high, 90, "DH", &[5]));
        let folded = suggestion.fold(&steps);
        assert_eq!(folded.status, "withdrawn");
        assert!(folded.overlays.contains("key_supervised"));
    }
    Ok(())
}

#[test]
fn what_must_be_there_is_asked_for_by_what_was_chosen() -> Tested {
    for (code, input, field) in [
        (
            "deputy_suggestion",
            json!({"title": "关于测试的建议", "proposer_kind": "delegation"}),
            "delegation",
        ),
        (
            "deputy_suggestion",
            json!({"title": "关于测试的建议"}),
            "lead_deputy",
        ),
        (
            "inspection",
            json!({"date": "2026-05-12", "type": "appraisal"}),
            "organ",
        ),
        (
            "donation",
            json!({"date": "2026-05-12", "donation_kind": "goods", "amount_fen": 1}),
            "valuation_basis",
        ),
    ] {
        assert_eq!(refused(kind(code)?.read_form(&input)), one(field, "needed"));
        assert!(read(code, &input).is_ok(), "{code}");
    }
    let item = kind("legis_item")?.read(&json!({"text": "应当在十五分钟内到达。", "sources": []}));
    assert_eq!(refused(item), one("sources", "required"));
    Ok(())
}
