//! Input is judged by the kind's file, and comes back as nested JSON as it went in.

use super::*;

#[test]
fn the_example_opinions_read_and_come_back_as_they_were() -> Tested {
    let examples = [
        json!({"kind":"opinion","channel":"reception","source_event":"JD-SLJD-EM1A-2026-00004-20",
            "category":"help","topic":"utilities","title":"3号楼单元门前路灯不亮",
            "body":"测试小区3号楼东侧两盏路灯半个多月不亮,晚上老人出行不方便,希望尽快维修。",
            "place":{"community":"测试社区","text":"测试小区3号楼东侧"},
            "identity_mode":"confidential",
            "person":{"call_name":"测试女士","phone":"000-0000-0001"},"reply_wanted":"phone",
            "deputies":["测试代表甲"],"resolution":"solved","solved_on":"2026-03-13",
            "solved_basis":"resident_confirm","test_data":true}),
        json!({"kind":"opinion","channel":"walk_in","category":"suggestion",
            "topic":"traffic_parking","title":"建议学校门口设限时停车位",
            "body":"放学时段家长车辆占用机动车道,建议示例小学门口划设限时停车位。",
            "identity_mode":"anonymous","reply_wanted":"query_code",
            "escalated_to":"JY-SLJD-HUBA-2026-00015-64","test_data":true}),
        json!({"kind":"opinion","channel":"random_visit","occurred_on":"2026-03-12",
            "category":"complaint","topic":"property_mgmt","title":"电梯反复故障",
            "body":"示例花园2号楼电梯一个月内停运四次(走访当日无网络,离线登记)。",
            "identity_mode":"pseudonymous","test_data":true}),
        json!({"kind":"opinion","channel":"collection_point","category":"complaint",
            "title":"劳动报酬纠纷","body":"(已脱敏)当事人已申请劳动仲裁。",
            "not_accepted_reason":"arbitration",
            "referral_text":"请按仲裁程序办理;法律援助咨询可到示例公共法律服务站。",
            "identity_mode":"anonymous","test_data":true}),
        json!({"kind":"opinion","channel":"livestream","source_event":"ZB-SLJD-HUBA-2026-00001-19",
            "category":"consult","topic":"health","title":"咨询老年人流感疫苗接种点",
            "body":"请问75岁老人在哪里可以接种?","identity_mode":"anonymous","test_data":true}),
    ];
    let kind = opinion()?;
    for example in examples {
        let draft = kind
            .read(&example)
            .map_err(|refusals| format!("{refusals:?}"))?;
        let mut expected = json!({
            "reply_wanted": "none", "urgency": "normal", "people_count": 1, "access": "internal",
        });
        let members = expected.as_object_mut().ok_or("no object")?;
        members.extend(example.as_object().cloned().unwrap_or_default());
        members.remove("kind");
        assert_eq!(nested(kind, draft), expected);
    }
    Ok(())
}

#[test]
fn personal_data_and_free_text_go_to_parts_and_nothing_else_does() -> Tested {
    let input = json!({
        "body": "路灯不亮", "category": "help", "deputies": ["测试代表甲"],
        "place": { "community": "测试社区", "text": "东侧" }, "identity_mode": "named",
        "person": { "phone": "000-0000-0001", "age_band": "over_74" },
    });
    let draft = opinion()?
        .read(&input)
        .map_err(|refusals| format!("{refusals:?}"))?;
    assert_eq!(
        text(&draft, Retention::Card, "person.phone"),
        Some("000-0000-0001")
    );
    assert_eq!(
        text(&draft, Retention::Card, "person.age_band"),
        Some("over_74")
    );
    assert_eq!(text(&draft, Retention::Text, "body"), Some("路灯不亮"));
    assert_eq!(text(&draft, Retention::Text, "place.text"), Some("东侧"));
    assert_eq!(
        fact(&draft, "place.community"),
        Some(Fact::Str("测试社区".to_owned()))
    );
    assert_eq!(fact(&draft, "deputies/测试代表甲"), Some(Fact::Bool(true)));
    assert!(
        !draft
            .facts
            .keys()
            .any(|key| key.starts_with("person") || key == "body")
    );
    let shown = format!("{draft:?}");
    assert!(
        shown.contains("person.phone") && !shown.contains("000-0000-0001"),
        "{shown}"
    );
    Ok(())
}

#[test]
fn what_is_missing_gets_its_default_or_is_asked_for() -> Tested {
    let kind = opinion()?;
    let draft = kind
        .read(&with("people_count", Value::Null))
        .map_err(|r| format!("{r:?}"))?;
    assert_eq!(
        fact(&draft, "identity_mode"),
        Some(Fact::Str("anonymous".to_owned()))
    );
    assert_eq!(fact(&draft, "people_count"), Some(Fact::Int(1)));
    assert_eq!(
        refused(kind.read(&json!({ "body": " \n " }))),
        [one("body", "required"), one("category", "required")].concat()
    );
    assert_eq!(
        refused(kind.read(&json!([]))).first(),
        one("", "wrong_type").first()
    );
    assert_eq!(
        refused(kind.read(&with("resolution", json!("solved")))),
        [
            one("solved_on", "required"),
            one("solved_basis", "required")
        ]
        .concat()
    );
    assert!(kind.read(&with("resolution", json!("planned"))).is_ok());
    assert_eq!(
        refused(kind.read(&with("not_accepted_reason", json!("secret")))),
        one("referral_text", "required")
    );
    Ok(())
}

#[test]
fn each_rule_refuses_under_its_own_code() -> Tested {
    let kind = opinion()?;
    let too_many: Vec<_> = (0..51).map(|n| format!("测试代表{n}")).collect();
    for (name, value, field, code) in [
        ("body", json!(7), "body", "wrong_type"),
        ("body", json!("字".repeat(5001)), "body", "too_long"),
        ("body", json!("\u{200b}\u{feff}"), "body", "required"),
        ("body", json!("一\0"), "body", "not_text"),
        ("title", json!("字".repeat(41)), "title", "too_long"),
        ("category", json!("help "), "category", "not_an_option"),
        ("people_count", json!(0), "people_count", "out_of_range"),
        (
            "people_count",
            json!(u64::MAX),
            "people_count",
            "out_of_range",
        ),
        ("people_count", json!("3"), "people_count", "wrong_type"),
        ("people_count", json!(1.5), "people_count", "wrong_type"),
        ("test_data", json!("yes"), "test_data", "wrong_type"),
        (
            "occurred_on",
            json!("2026-02-31"),
            "occurred_on",
            "bad_date",
        ),
        (
            "occurred_at",
            json!("2026-03-14T08:40"),
            "occurred_at",
            "bad_time",
        ),
        ("deputies", json!("测试代表甲"), "deputies", "wrong_type"),
        ("deputies", json!([1]), "deputies", "wrong_type"),
        ("deputies", json!([" "]), "deputies", "required"),
        ("deputies", json!({ "add": [] }), "deputies", "wrong_type"),
        ("deputies", json!(too_many), "deputies", "too_many"),
        ("place", json!("东侧"), "place", "wrong_type"),
        (
            "place",
            json!({ "txt": "东侧" }),
            "place.txt",
            "unknown_field",
        ),
        ("place.text", json!("东侧"), "place.text", "unknown_field"),
        ("deputies/x", json!(true), "deputies/x", "unknown_field"),
        ("kind", json!("reception"), "kind", "wrong_type"),
        (
            "external_ref",
            json!([{ "system": "12345" }]),
            "external_ref",
            "wrong_type",
        ),
        (
            "external_ref",
            json!([{ "system": "a|b", "no": "1" }]),
            "external_ref",
            "not_text",
        ),
        (
            "external_ref",
            json!([{ "system": "a", "no": "1", "date": "2026-02-30" }]),
            "external_ref",
            "bad_date",
        ),
    ] {
        assert_eq!(
            refused(kind.read(&with(name, value))),
            one(field, code),
            "{name}"
        );
    }
    assert!(kind.read(&with("body", json!("行一\n\t行二"))).is_ok());
    assert!(kind.read(&with("body", json!("字".repeat(5000)))).is_ok());
    assert!(kind.read(&with("submission_id", json!("any"))).is_ok());
    Ok(())
}

#[test]
fn computed_fields_cannot_be_typed_in() -> Tested {
    let kind = opinion()?;
    for name in [
        "id",
        "number",
        "status",
        "site_id",
        "device_id",
        "recorded_at",
        "recorded_by",
        "late_entry",
        "clock_suspect",
        "state",
        "events",
        "hub_no",
    ] {
        assert_eq!(
            refused(kind.read(&with(name, json!("x")))),
            one(name, "read_only")
        );
        assert_eq!(
            refused(kind.read_edit(&json!({ name: null }))),
            one(name, "read_only")
        );
    }
    Ok(())
}

#[test]
fn names_that_ask_for_political_or_other_sensitive_data_are_refused_with_the_reason() -> Tested {
    let kind = opinion()?;
    for name in [
        "政治面貌",
        "政治 面貌",
        "是否党员",
        "入党时间",
        "宗教信仰",
        "民族",
        "身份证号",
        "病史",
        "id_number",
        "idNumber",
        "IDNUMBER",
        "resident-id-card",
        "religion",
        "ethnicity",
        "political_affiliation",
        "party_member",
    ] {
        let found = kind
            .read(&with(name, json!("测试")))
            .err()
            .unwrap_or_default();
        assert_eq!(
            found.first().map(|refusal| refusal.code),
            Some("forbidden_field"),
            "{name}"
        );
        assert!(
            found
                .iter()
                .all(|refusal| !refusal.message.contains("测试"))
        );
    }
    let group = kind.read(&with("person", json!({ "id_number": "0" })));
    assert_eq!(refused(group), one("person.id_number", "forbidden_field"));
    for name in ["grid_number", "paid_card", "centre_party_room"] {
        assert_eq!(
            refused(kind.read(&with(name, json!("x")))),
            one(name, "unknown_field")
        );
    }
    Ok(())
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest_known_one() -> Tested {
    let kind = opinion()?;
    for (typed, meant) in [
        ("catgory", "category"),
        ("deputy", "deputies"),
        ("Topic", "topic"),
    ] {
        let found = kind
            .read(&with(typed, json!("x")))
            .err()
            .unwrap_or_default();
        let message = found
            .first()
            .map(|refusal| refusal.message.as_str())
            .unwrap_or_default();
        assert!(
            message.ends_with(&format!("did you mean {meant}?")),
            "{typed}: {message}"
        );
    }
    let found = kind
        .read(&with(&"长".repeat(500), json!("x")))
        .err()
        .unwrap_or_default();
    assert_eq!(
        found.first().map(|refusal| refusal.field.chars().count()),
        Some(64)
    );
    Ok(())
}

#[test]
fn what_is_typed_is_folded_as_its_field_asks_and_what_is_stored_is_not() -> Tested {
    let kind = opinion()?;
    let draft = kind
        .read(&json!({
            "category": "suggestion",
            "body": "一\r\n二\u{b}三\u{202e}ＡＢ e\u{301}",
            "occurred_on": "２０２６－０３－１２",
            "source_event": " 甲\u{200b}\n乙 ", "identity_mode": "confidential",
            "person": { "phone": "１３８００００—０００１", "name": "\u{3000}\u{feff}" },
            "deputies": ["测试\u{ad}代表", "测试代表\u{200f}"],
            "external_ref": [{ "system": "热线", "no": "１２－３", "date": "２０２６-03-12" }],
        }))
        .map_err(|refused| format!("{refused:?}"))?;
    let text = |class, key: &str| {
        draft
            .texts
            .get(&class)
            .and_then(|texts| texts.get(key))
            .map(String::as_str)
    };
    let fact = |key: &str| draft.facts.get(key).cloned().flatten();
    assert_eq!(text(Retention::Text, "body"), Some("一\n二\n三ＡＢ é"));
    assert_eq!(text(Retention::Card, "person.phone"), Some("1380000-0001"));
    assert_eq!(text(Retention::Card, "person.name"), None);
    assert_eq!(
        fact("occurred_on"),
        Some(Fact::Str("2026-03-12".to_owned()))
    );
    assert_eq!(fact("source_event"), Some(Fact::Str("甲 乙".to_owned())));
    let deputies = draft
        .facts
        .keys()
        .filter(|key| key.starts_with("deputies/"));
    assert_eq!(deputies.collect::<Vec<_>>(), ["deputies/测试代表"]);
    assert!(
        draft
            .facts
            .contains_key("external_ref/热线|12-3|2026-03-12")
    );
    // What another device has written is judged as it is.
    let day = kind.field("occurred_on").ok_or("no field")?;
    assert!(!day.accepts(&Fact::Str("２０２６-03-12".to_owned())));
    assert_eq!(day.written("２０２６-03-12").as_deref(), Some("2026-03-12"));
    Ok(())
}

#[test]
fn a_choice_asks_for_what_it_needs_and_leaves_no_room_for_what_it_rules_out() -> Tested {
    let kind = opinion()?;
    let said = |more: Value| {
        let mut input = json!({ "body": "路灯不亮", "category": "help" });
        if let (Value::Object(input), Value::Object(more)) = (&mut input, more) {
            input.extend(more);
        }
        refused(kind.read_form(&input))
    };
    // Anonymous is what a record is unless something else is chosen.
    let person = json!({ "name": "测试女士", "phone": "000-0000-0001", "age_band": "over_74" });
    let excluded = ["person.name", "person.phone"].map(|key| (key.to_owned(), "excluded"));
    assert_eq!(said(json!({ "person": person })), excluded);
    assert_eq!(
        said(json!({ "person": person, "identity_mode": "anonymous" })),
        excluded
    );
    assert!(said(json!({ "person": person, "identity_mode": "confidential" })).is_empty());
    assert!(said(json!({ "person": { "age_band": "over_74" } })).is_empty());
    assert!(said(json!({ "person": { "name": " \u{200b}" } })).is_empty());
    for (way, key) in [
        ("phone", "person.phone"),
        ("visit", "person.address"),
        ("post", "person.address"),
    ] {
        let way = json!({ "reply_wanted": way, "identity_mode": "named" });
        assert_eq!(said(way), one(key, "needed"));
    }
    assert!(said(json!({ "reply_wanted": "query_code" })).is_empty());
    let both = json!({ "reply_wanted": "phone", "person": { "phone": "000-0000-0001" } });
    assert_eq!(said(both), one("person.phone", "excluded"));
    // Whoever sends a file cannot be asked any more: it is taken, and named.
    let anonymous = json!({ "body": "路灯不亮", "category": "help", "person": person });
    let draft = kind.read(&anonymous).map_err(|_| "taken")?;
    let odds: Vec<_> = kind
        .odds_in(&draft)
        .into_iter()
        .map(|it| (it.field, it.code))
        .collect();
    assert_eq!(odds, excluded);
    // An edit is judged against the whole record, which is not known here.
    assert!(kind.read_edit(&json!({ "reply_wanted": "phone" })).is_ok());
    Ok(())
}

#[test]
fn dates_and_times_follow_the_calendar_and_the_clock() -> Tested {
    let kind = opinion()?;
    for (date, good) in [
        ("2026-02-28", true),
        ("2024-02-29", true),
        ("2000-02-29", true),
        ("2199-12-31", true),
        ("2026-02-29", false),
        ("1900-02-29", false),
        ("2026-04-31", false),
        ("2026-00-10", false),
        ("2026-01-00", false),
        ("1899-12-31", false),
        ("2200-01-01", false),
        ("2026-3-1", false),
        ("+026-03-01", false),
        ("2026-03-01 ", true),
        ("２０２６－０３－０１\u{200b}", true),
        ("20260301", false),
        ("-", false),
    ] {
        assert_eq!(
            kind.read(&with("occurred_on", json!(date))).is_ok(),
            good,
            "{date}"
        );
    }
    for (time, good) in [
        ("2026-03-14T08:40+08:00", true),
        ("2026-03-14T08:40:59.123+08:00", true),
        ("2026-03-14T00:00:00Z", true),
        ("2026-03-14T08:40-03:30", true),
        ("2026-03-14T24:00+08:00", false),
        ("2026-03-14T08:60+08:00", false),
        ("2026-03-14T08:40:60Z", false),
        ("2026-03-14T08:40:00.Z", false),
        ("2026-03-14T08:40.5Z", false),
        ("2026-03-14T08:40", false),
        ("2026-03-14 08:40Z", false),
        ("2026-02-30T08:40Z", false),
        ("TZ", false),
        ("2026-03-14T时间很长Z", false),
    ] {
        assert_eq!(
            kind.read(&with("occurred_at", json!(time))).is_ok(),
            good,
            "{time}"
        );
    }
    Ok(())
}

#[test]
fn a_missing_title_is_made_of_whole_sentences_of_the_body() -> Tested {
    let kind = opinion()?;
    let long = "路".repeat(39);
    for (body, title) in [
        ("测试小区路灯不亮。", "测试小区路灯不亮".to_owned()),
        ("请问在哪里接种?", "请问在哪里接种?".to_owned()),
        ("路灯不亮。晚上不便。", "路灯不亮。晚上不便".to_owned()),
        ("  您好\n路灯不亮\t了", "您好 路灯不亮 了".to_owned()),
        (&format!("路灯不亮。{long}。"), "路灯不亮".to_owned()),
        (&format!("在哪里修?{long}"), "在哪里修?".to_owned()),
        (&format!("{long}路灯不亮"), format!("{long}…")),
        (&format!("。{long}路灯"), format!("。{long}")),
        ("。", "。".to_owned()),
    ] {
        let draft = kind
            .read(&with("body", json!(body)))
            .map_err(|r| format!("{r:?}"))?;
        assert_eq!(
            text(&draft, Retention::Text, "title"),
            Some(title.as_str()),
            "{body}"
        );
        assert_eq!(
            text(&draft, Retention::Text, "body"),
            Some(body),
            "the body is as typed"
        );
    }
    let own = kind
        .read(&with("title", json!("自拟")))
        .map_err(|r| format!("{r:?}"))?;
    assert_eq!(text(&own, Retention::Text, "title"), Some("自拟"));
    Ok(())
}

#[test]
fn an_edit_sets_and_clears_only_what_it_names() -> Tested {
    let kind = opinion()?;
    let edit = json!({
        "title": "改后", "topic": null, "place": null, "people_count": 3,
        "deputies": { "add": ["测试代表乙"], "remove": ["测试代表甲"] },
        "campaign": ["T-C1"],
    });
    let draft = kind
        .read_edit(&edit)
        .map_err(|refusals| format!("{refusals:?}"))?;
    let set = |text: &str| Some(Fact::Str(text.to_owned()));
    let yes = Some(Fact::Bool(true));
    let expected = [
        ("campaign", None),
        ("campaign/T-C1", yes.clone()),
        ("deputies/测试代表乙", yes),
        ("deputies/测试代表甲", None),
        ("people_count", Some(Fact::Int(3))),
        ("place.community", None),
        ("place.grid", None),
        ("place.text", None),
        ("topic", None),
    ];
    assert_eq!(
        draft.facts,
        expected.map(|(key, fact)| (key.to_owned(), fact)).into()
    );
    assert_eq!(text(&draft, Retention::Text, "title"), Some("改后"));
    assert_eq!(draft.texts.len(), 1);
    assert_eq!(
        refused(kind.read_edit(&json!({ "category": null }))),
        one("category", "required")
    );
    assert_eq!(
        refused(kind.read_edit(&json!({ "body": "" }))),
        one("body", "fixed")
    );
    let topic = kind
        .read_edit(&json!({ "topic": "health" }))
        .map_err(|r| format!("{r:?}"))?;
    assert_eq!(topic.facts, [("topic".to_owned(), set("health"))].into());
    Ok(())
}

#[test]
fn an_event_carries_what_it_declares() -> Tested {
    let kind = opinion()?;
    let accept = kind.read_event("accept", &json!({ "hub_no": "示例街〔2026〕第0057号" }));
    let accept = accept.map_err(|refusals| format!("{refusals:?}"))?;
    assert!(fact(&accept, "hub_no").is_some());
    assert_eq!(
        refused(kind.read_event("accept", &json!({}))),
        one("hub_no", "required")
    );
    let stray = json!({ "hub_no": "1", "reason": "x" });
    assert_eq!(
        refused(kind.read_event("accept", &stray)),
        one("reason", "unknown_field")
    );
    assert_eq!(
        refused(kind.read_event("expel", &json!({}))),
        one("event", "unknown_event")
    );

    let refuse = json!({ "not_accepted_reason": "arbitration", "referral_text": "请按仲裁程序" });
    let refuse = kind
        .read_event("refuse", &refuse)
        .map_err(|r| format!("{r:?}"))?;
    assert_eq!(
        text(&refuse, Retention::Text, "referral_text"),
        Some("请按仲裁程序")
    );

    let lead = json!({ "lead": "测试一办", "co": ["测试二办"] });
    assert!(kind.read_event("dispatch", &lead).is_ok());
    assert!(
        kind.read_event("dispatch", &json!({ "separate": ["测试一办"] }))
            .is_ok()
    );
    let both = json!({ "lead": "测试一办", "separate": ["测试二办"] });
    assert_eq!(
        refused(kind.read_event("dispatch", &both)),
        one("lead", "one_of")
    );
    assert_eq!(
        refused(kind.read_event("dispatch", &json!({}))),
        one("lead", "one_of")
    );

    for twice in [
        json!({ "lead": "测试一办", "co": ["测试一办"] }),
        json!({ "separate": ["测试一办"], "co": ["测试二办", "测试一办"] }),
    ] {
        assert_eq!(
            refused(kind.read_event("dispatch", &twice))
                .pop()
                .map(|it| it.1),
            Some("twice")
        );
    }
    assert!(kind.read_event("register", &json!({})).is_ok());
    let solved = json!({ "resolution": "solved" });
    assert_eq!(refused(kind.read_event("close", &solved)).len(), 2);
    assert!(
        kind.read_event("close", &json!({ "resolution": "explained" }))
            .is_ok()
    );
    Ok(())
}

#[test]
fn nesting_survives_whatever_a_foreign_record_holds() -> Tested {
    let kind = opinion()?;
    let deep = format!("x{}", ".y".repeat(10_000));
    let facts = [
        ("body", Fact::Str("0123456789abcdef".to_owned())),
        ("deputies/a/b", Fact::Bool(true)),
        ("deputies/gone", Fact::Bool(false)),
        ("external_ref/12345|77|2026-03-01", Fact::Bool(true)),
        ("external_ref/12345|78|", Fact::Bool(true)),
        ("external_ref/odd", Fact::Bool(true)),
        ("newer", Fact::Int(1)),
        ("place", Fact::Int(1)),
        ("place.community", Fact::Str("测试社区".to_owned())),
        ("topic", Fact::Str("health".to_owned())),
        ("topic/x", Fact::Bool(true)),
        (&deep, Fact::Bool(true)),
    ];
    let facts = facts.map(|(key, fact)| (key.to_owned(), fact)).into();
    let texts = [
        ("place".to_owned(), "lost".to_owned()),
        ("title".to_owned(), "题".to_owned()),
    ];
    let mut nested = kind.nest(&facts, &texts.into());
    assert!(nested.remove("x").is_some());
    let expected = json!({
        "deputies": ["a/b"],
        "external_ref": [
            { "system": "12345", "no": "77", "date": "2026-03-01" },
            { "system": "12345", "no": "78" },
            "odd",
        ],
        "newer": 1, "place": { "community": "测试社区" }, "title": "题", "topic": ["x"],
    });
    assert_eq!(Value::Object(nested), expected);
    Ok(())
}

#[test]
fn an_external_number_is_read_and_given_back_as_an_object() -> Tested {
    let kind = opinion()?;
    let refs = json!([{ "system": "12345", "no": "77", "date": "2026-03-01" },
        { "system": "12345", "no": "78" }]);
    let draft = kind
        .read(&with("external_ref", refs.clone()))
        .map_err(|r| format!("{r:?}"))?;
    assert_eq!(
        fact(&draft, "external_ref/12345|77|2026-03-01"),
        Some(Fact::Bool(true))
    );
    assert_eq!(nested(kind, draft).get("external_ref"), Some(&refs));
    Ok(())
}

#[test]
fn a_datum_that_is_left_out_is_what_the_step_starts_with_or_what_it_follows() -> Tested {
    let kind = Catalogue::standard().kind("deputy_suggestion");
    let kind = kind.ok_or("no suggestion")?;
    let read = |event: &str, input| {
        let read = kind.read_event(event, &input);
        read.map_err(|refusals| format!("{refusals:?}"))
    };
    let text = |text: &str| Some(Fact::Str(text.to_owned()));
    let passed = read("pass", json!({}))?;
    assert_eq!(fact(&passed, "admissibility"), text("ok"));
    // What may not be proposed is no pass.
    let input = json!({"admissibility": "own_matter"});
    assert_eq!(
        refused(kind.read_event("pass", &input)),
        one("admissibility", "not_an_option")
    );

    let extended = json!({"extension": {"approved_by": "测试区人大", "new_due": "2026-09-24"}});
    let due = |draft: &Draft| fact(draft, "due_on");
    assert_eq!(due(&read("extend", extended.clone())?), text("2026-09-24"));
    let mut other = extended;
    other["due_on"] = json!("2026-09-25");
    assert_eq!(
        refused(kind.read_event("extend", &other)),
        one("due_on", "read_only")
    );
    Ok(())
}

#[test]
fn a_checklist_comes_with_the_usual_items_unless_it_names_its_own() -> Tested {
    let catalogue = Catalogue::standard();
    let kind = catalogue.kind("site_checklist").ok_or("no checklist")?;
    let items = |draft: &Draft| {
        let nested = draft.nested.iter();
        let items = nested.map(|(kind, item)| {
            assert_eq!(kind, "checklist_item");
            (fact(item, "place"), fact(item, "code"))
        });
        items.collect::<Vec<_>>()
    };
    let usual = ["place", "signage", "rules", "staff", "ledger", "funds"];
    let expected: Vec<_> = (1..)
        .zip(usual)
        .map(|(place, code)| (Some(Fact::Int(place)), Some(Fact::Str(code.to_owned()))))
        .collect();
    let input = json!({"site": "T-01", "checked_on": "2026-03-01"});
    for read in [
        catalogue.read(kind, &input),
        catalogue.read_form(kind, &input),
    ] {
        let draft = read.map_err(|refusals| format!("{refusals:?}"))?;
        assert_eq!(items(&draft), expected);
        let (_, first) = draft.nested.first().ok_or("no item")?;
        assert_eq!(text(first, Retention::Text, "label"), Some("有场所"));
    }
    for (given, count) in [
        (json!([]), 0),
        (
            json!([{"code": "garden", "label": "有花园", "ok": true}]),
            1,
        ),
    ] {
        let mut input = input.clone();
        input["items"] = given;
        let draft = catalogue.read(kind, &input);
        let draft = draft.map_err(|refusals| format!("{refusals:?}"))?;
        assert_eq!(items(&draft).len(), count);
    }
    Ok(())
}
