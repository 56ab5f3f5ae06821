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
    let ways: [(&str, Way<'_>, &str); 8] = [
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
