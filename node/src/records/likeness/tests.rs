//! The labelled set, and what would mislead.

use super::*;

/// Fictional opinions, labelled by what they are about before anything was tuned: half (`a` for tuning, `b` held out), matter (0:
/// no other one speaks of it), community, place, day, telephone, text. Whoever is asked for likes of one sees most others of its
/// site: the same words elsewhere, another matter there, the same person with two matters.
const LABELLED: &str = include_str!("../../../../tests/data/duplicates.tsv");

fn key() -> Key {
    Key::new(*b"a key of a store")
}

fn said(text: &str) -> Said<'_> {
    Said {
        kind: "opinion",
        text,
        community: "测试社区",
        ..Said::default()
    }
}

fn at<'a>(place: &'a str, text: &'a str) -> Said<'a> {
    Said {
        place,
        ..said(text)
    }
}

/// The groups of these, by their places in the list.
fn grouped(all: &[Said<'_>]) -> Vec<Vec<usize>> {
    let sketches: Vec<_> = all
        .iter()
        .map(|it| Sketch::of(it, key()))
        .enumerate()
        .collect();
    let found = clusters(&sketches);
    let ids = |it: Cluster<usize>| -> Vec<usize> {
        std::iter::once(it.head)
            .chain(it.members.iter().map(|it| it.id))
            .collect()
    };
    found.into_iter().map(ids).collect()
}

/// Pairs that are found and right, all that are found, and all that are right.
fn pairs(half: &str, matters: impl Fn(&str) -> bool) -> (f64, f64, f64) {
    let rows = LABELLED
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let rows: Vec<_> = rows.filter(|row| half.contains(row[0])).collect();
    let all: Vec<_> = rows
        .iter()
        .map(|row| Said {
            kind: "opinion",
            community: row[2],
            place: row[3],
            day: row[4].parse().unwrap(),
            phone: row[5],
            text: row[6],
        })
        .collect();
    let mut group_of: Vec<Option<usize>> = vec![None; rows.len()];
    for (group, members) in grouped(&all).into_iter().enumerate() {
        for at in members {
            group_of[at] = Some(group);
        }
    }
    let (mut both, mut found, mut right) = (0.0, 0.0, 0.0);
    for one in 0..rows.len() {
        for other in 0..one {
            let same = rows[one][1] != "0" && rows[one][1] == rows[other][1];
            let together = group_of[one].is_some() && group_of[one] == group_of[other];
            let asked = !same || matters(rows[one][1]);
            both += f64::from(u8::from(asked && same && together));
            found += f64::from(u8::from(asked && together));
            right += f64::from(u8::from(asked && same));
        }
    }
    (both, found, right)
}

#[test]
fn nine_in_ten_pairs_of_one_matter_are_found_and_four_in_five_found_are_right() {
    assert!(LABELLED.lines().count() > 400);
    for half in ["ab", "b"] {
        let (both, found, right) = pairs(half, |_| true);
        let (recall, precision) = (both / right, both / found);
        assert!(
            recall >= 0.9 && precision >= 0.8,
            "{half}: {recall:.3} {precision:.3}"
        );
    }
    // Copies of letters are the most pairs and the easy ones. Without them:
    let (both, _, right) = pairs("ab", |matter| !matter.contains('J'));
    assert!(both / right >= 0.8, "{:.3}", both / right);
}

#[test]
fn one_pothole_is_one_matter_and_one_complaint_in_two_buildings_is_two() {
    let pothole = "示例路上有个大坑，骑车的摔了好几个，请填平";
    let again = "路面那个坑还没人填，昨天又有骑电动车的摔倒";
    assert_eq!(
        grouped(&[at("示例路15号", pothole), at("示例路十五号门前", again)]),
        [[0, 1]]
    );
    let lift = "电梯三天两头停运，老人下不来楼";
    for (one, other) in [
        ("测试小区3号楼", "测试小区5号楼"),
        ("测试小区3号楼1单元", "测试小区3号楼2单元"),
        ("测试小区东门", "测试小区西门"),
        ("测试小学", "测试中学"),
        ("15路站台", "23路站台"),
    ] {
        assert!(
            grouped(&[at(one, lift), at(other, lift)]).is_empty(),
            "{one} {other}"
        );
        // Nobody who does not say where brings them together.
        let three = grouped(&[at(one, lift), at(other, lift), said(lift)]);
        assert!(three.iter().all(|it| it.len() == 2), "{one} {other}");
    }
    let elsewhere = Said {
        community: "示例社区",
        ..said(lift)
    };
    assert!(grouped(&[said(lift), elsewhere]).is_empty());
    let comment = Said {
        kind: "legis_comment",
        ..said(lift)
    };
    assert!(grouped(&[said(lift), comment]).is_empty());
    // The same a season later is another time.
    let later = Said {
        day: 100,
        ..at("测试小区3号楼", lift)
    };
    assert!(grouped(&[at("测试小区3号楼", lift), later]).is_empty());
}

#[test]
fn a_building_is_the_same_however_it_is_written() {
    let marks = |place| marks(&numerals(&text::folded(place)), "");
    for place in [
        "三号楼",
        "3栋",
        "３号楼",
        "3幢",
        "3#楼",
        "3 号楼",
        "测试小区三号楼旁",
    ] {
        assert_eq!(marks(place), [HOUSE << CLASS_SHIFT | 3], "{place}");
    }
    assert_eq!(marks("十二号楼"), marks("12栋"));
    assert_eq!(marks("二十一号楼"), marks("21栋"));
    assert_eq!(marks("一百零三号"), marks("103号"));
    assert_eq!(marks("Ａ座"), marks("a座"));
    assert!(marks("5月12号").is_empty() && marks("买东西").is_empty());
    assert_eq!(marks("3号楼二单元"), marks("三栋2单元"));
}

#[test]
fn where_somebody_lives_is_not_where_it_is() {
    let letter = "测试路口新建的基站离居民楼不到二十米，没有公示就动工，要求另行选址";
    let one = format!("我住3号楼，{letter}");
    let other = format!("我是5号楼的，{letter}");
    assert_eq!(grouped(&[said(&one), said(&other)]), [[0, 1]]);
}

#[test]
fn a_telephone_stands_for_a_place_and_never_for_a_matter() {
    for typed in [
        "000-0000-0001",
        "０００ 0000 0001",
        "+86 00000000001",
        "0086-00000000001",
    ] {
        assert_eq!(phone(typed).as_deref(), Some("00000000001"), "{typed}");
    }
    assert_eq!(phone("12345"), None);
    let by = |text| Said {
        phone: "000-0000-0001",
        ..said(text)
    };
    let two = [
        by("测试广场的厕所晚上锁门"),
        by("建议在幼儿园门前加装减速带"),
    ];
    assert!(grouped(&two).is_empty());
    let sketch = |it: &Said<'_>| Sketch::of(it, key());
    let records = [
        (0, sketch(&by("路灯不亮，请修"))),
        (1, sketch(&by("上次说的路灯还是不亮"))),
    ];
    let found = clusters(&records);
    let reasons = found[0].members[0].reasons;
    assert!(reasons.phone && reasons.place == Place::Unknown && reasons.words > 20);
}

#[test]
fn an_opening_that_all_use_chains_nothing() {
    let matters = [
        "路灯不亮",
        "水压太低",
        "井盖松动",
        "野猫太多",
        "违建阳台",
        "快递柜占道",
        "暖气不热",
        "树枝挡窗",
        "楼顶养鸽",
        "健身器材生锈",
        "道闸砸人",
        "地库漏水",
        "电表跳闸",
        "公厕没灯",
        "鱼摊污水",
        "噪音扰民",
    ];
    let texts: Vec<_> = (0..64)
        .map(|at| format!("我是测试小区居民，现向代表反映一个困扰大家很久的问题：{}{}。恳请有关部门高度重视，尽快解决。",
            matters[at % 16], at / 16))
        .collect();
    let all: Vec<_> = texts.iter().map(|it| at("测试小区", it)).collect();
    let groups = grouped(&all);
    assert!(groups.iter().flatten().all(|at| *at < 64));
    // Four speak of each matter.
    for group in &groups {
        assert!(group.iter().all(|at| at % 16 == group[0] % 16), "{group:?}");
    }
    assert!(groups.len() >= 12, "{groups:?}");
}

#[test]
fn who_is_like_one_of_two_joins_neither_chain() {
    // Each has a half of the one before it.
    let chars: Vec<char> = ('\u{5000}'..='\u{50ff}').collect();
    let texts: Vec<String> = (0..12)
        .map(|at| chars.iter().skip(at * 8).take(16).collect())
        .collect();
    let all: Vec<_> = texts.iter().map(|it| said(it)).collect();
    assert!(grouped(&all).iter().all(|it| it.len() <= 2));
}

#[test]
fn copies_of_one_letter_are_one_group_with_its_oldest_as_head() {
    let letter = "我们联名要求加装电梯。本楼六层，老人三十多位，上下楼十分困难，希望街道协调一楼住户，早日动工。";
    let texts: Vec<_> = (0..50).map(|at| format!("{letter}第{at}户。")).collect();
    let mut records: Vec<_> = texts
        .iter()
        .zip(0..)
        .map(|(text, day)| {
            let said = Said {
                day: day % 7,
                ..at("测试小区12号楼", text)
            };
            (day, Sketch::of(&said, key()))
        })
        .collect();
    let other = ["公园关门太早", "公园闭园时间太早了，想跑步进不去"];
    for (text, id) in other.iter().zip(100..) {
        records.push((
            id,
            Sketch::of(
                &Said {
                    day: 60,
                    ..at("示例公园", text)
                },
                key(),
            ),
        ));
    }
    let found = clusters(&records);
    assert_eq!(found.iter().map(|it| it.head).collect::<Vec<_>>(), [100, 0]);
    assert_eq!(found[1].members.len(), 49);
    assert!(found[1].members.iter().all(|it| it.reasons.words >= 90));
    records.reverse();
    assert_eq!(clusters(&records), found);
}

#[test]
fn nobody_is_lost_and_nobody_is_a_season_from_the_head() {
    let text = "示例路修完管道以后路面没恢复，坑坑洼洼，骑电动车的摔了好几个";
    let days = (0..40).map(|n| Said {
        day: n * 10,
        ..at("示例路", text)
    });
    let records: Vec<_> = days.map(|it| Sketch::of(&it, key())).enumerate().collect();
    let found = clusters(&records);
    let mut ids: Vec<_> = found
        .iter()
        .flat_map(|it| it.members.iter().map(|it| it.id))
        .collect();
    ids.extend(found.iter().map(|it| it.head));
    ids.sort_unstable();
    assert!(ids.len() > 30 && ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    let members = found.iter().flat_map(|it| &it.members);
    assert!(members.into_iter().all(|it| it.reasons.days <= DAYS_MAX));
}

#[test]
fn a_sketch_is_small_whatever_was_said() {
    let long: String = ('\u{4e00}'..='\u{9fff}').cycle().take(5_000).collect();
    let place = "示例路与测试路口东侧3号楼5号楼1单元";
    for text in ["", "灯", "  ", "，。！", "3号楼", &long] {
        let said = Said {
            place,
            phone: "000-0000-0001",
            day: -3,
            ..said(text)
        };
        let sketch = Sketch::of(&said, key());
        assert!(sketch.words.len() <= WORDS_MAX && sketch.names.len() <= NAMES_MAX);
        assert!(sketch.marks.len() <= MARKS_MAX && sketch.own_names <= sketch.names.len());
    }
    // Texts without a word are like nothing, not like each other.
    assert!(grouped(&[said(""), said(""), said("。"), said("灯"), said("的")]).is_empty());
    // And two long ones are compared by their samples.
    let other = format!("{long}完");
    assert_eq!(grouped(&[said(&long), said(&other)]), [[0, 1]]);
}

#[test]
fn what_is_hashed_cannot_be_looked_up_without_the_key() {
    // The paper's own example.
    let bytes: Vec<u8> = (0..15).collect();
    let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
    assert_eq!(siphash(key, &bytes), 0xa129_ca61_49be_45e5);
    let said = said("测试小区路灯不亮");
    let (one, other) = (
        Sketch::of(&said, Key::new([1; 16])),
        Sketch::of(&said, Key::new([2; 16])),
    );
    assert!(one.words.iter().all(|word| !other.words.contains(word)));
}
