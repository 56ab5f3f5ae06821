//! Plots of what comes, and of what should not.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;

fn frame() -> Frame {
    Frame {
        id: "p<1>\"".to_owned(),
        title: "每月<登记> & \"解决\"".to_owned(),
        desc: "登记 '526' 件\u{0}。".to_owned(),
        caption: "按事情发生的日期计 <b>。".repeat(20),
    }
}

fn months(months: &[(&str, [i64; 2])]) -> Months {
    let month = |(name, pair): &(&str, [i64; 2])| ((*name).to_owned(), *pair);
    Months {
        frame: frame(),
        heads: ["月份", "登记（件）", "解决（件）"].map(str::to_owned),
        series: ["登记", "解<决>"].map(str::to_owned),
        months: months.iter().map(month).collect(),
    }
}

fn funnel(steps: &[(&str, u64)]) -> Funnel {
    let step = |(name, number): &(&str, u64)| ((*name).to_owned(), *number);
    Funnel {
        frame: frame(),
        heads: ["步骤", "件数", "占上一步"].map(str::to_owned),
        all: "全部".to_owned(),
        unit: "件".to_owned(),
        steps: steps.iter().map(step).collect(),
    }
}

fn days(limit: u32, days: &[i64]) -> Days {
    Days {
        frame: frame(),
        heads: ["天数", "件数"].map(str::to_owned),
        sides: ["期限内", "超过期限"].map(str::to_owned),
        limit_name: format!("期限 {limit} 天"),
        limit,
        days: days.to_vec(),
    }
}

fn categories(categories: &[(&str, i64)]) -> Categories {
    let category = |(name, number): &(&str, i64)| ((*name).to_owned(), *number);
    Categories {
        frame: frame(),
        heads: ["类别", "件数"].map(str::to_owned),
        categories: categories.iter().map(category).collect(),
    }
}

fn articles(articles: &[(&str, &[u64])]) -> Articles {
    let names = [
        "只征集",
        "已上报",
        "采纳",
        "部分采纳",
        "未采纳",
        "暂缓",
        "尚未反馈",
    ];
    let article = |(name, numbers): &(&str, &[u64])| ((*name).to_owned(), numbers.to_vec());
    Articles {
        frame: frame(),
        heads: ["条文", "合计"].map(str::to_owned),
        parts: names.map(str::to_owned).to_vec(),
        articles: articles.iter().map(article).collect(),
    }
}

/// Everything that could be drawn, from the usual to what no one means.
fn all() -> Vec<Box<dyn Plot>> {
    let long = "一个非常非常长的名称，长到没有任何地方放得下它<&>";
    let sixty: Vec<(&str, [i64; 2])> = (0..60)
        .map(|at| ("2026年1月", [at * 7 % 13, at * 5 % 11]))
        .collect();
    let rows: Vec<(&str, i64)> = (0..60).map(|at| ("类别", at * 7 % 13)).collect();
    vec![
        Box::new(months(&[("1月", [38, 31]), ("2月", [26, 22])])),
        Box::new(months(&[("1月", [-20, 15]), ("2月", [0, -3])])),
        Box::new(months(&[("1月", [0, 0])])),
        Box::new(months(&[])),
        Box::new(months(&[(long, [i64::MAX, i64::MIN]), ("", [1, -1])])),
        Box::new(months(&sixty)),
        Box::new(funnel(&[("登记", 526), ("受理", 498), ("解决", 0)])),
        Box::new(funnel(&[("登记", 0), ("受理", 7), (long, u64::MAX)])),
        Box::new(funnel(&[])),
        Box::new(days(30, &[0, 1, 29, 30, 31, 45, 600])),
        Box::new(days(0, &[])),
        Box::new(days(u32::MAX, &[i64::MIN, -1, 0, i64::MAX])),
        Box::new(categories(&[("住房", 42), ("<b>", 0), (long, 7)])),
        Box::new(categories(&[
            ("甲", -30),
            ("乙", i64::MAX),
            ("丙", i64::MIN),
        ])),
        Box::new(categories(&[("甲", 0)])),
        Box::new(categories(&rows)),
        Box::new(articles(&[
            ("第一条", &[1, 2, 3, 4, 5, 6, 7]),
            (long, &[]),
            ("第三条", &[9; 30]),
        ])),
        Box::new(articles(&[("第一条", &[u64::MAX; 7]), ("第二条", &[0; 7])])),
        Box::new(articles(&[])),
    ]
}

/// The tags of an SVG, with their attributes; it is well-formed.
fn tags(svg: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = Reader::from_str(svg);
    let mut tags = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag.attributes().map(|it| {
                    let it = it.unwrap();
                    (it.key.as_ref().to_owned(), it.value.into_owned())
                });
                tags.push((tag.name().as_ref().to_owned(), attributes.collect()));
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(!tags.is_empty());
    tags
}

fn number(attributes: &[(String, String)], name: &str) -> Option<f64> {
    let (_, value) = attributes.iter().find(|(key, _)| key == name)?;
    Some(value.parse().unwrap())
}

#[test]
fn a_plot_in_a_page_has_classes_and_no_style_or_colour_of_its_own() {
    for plot in all() {
        let svg = plot.svg();
        for (tag, attributes) in tags(&svg) {
            assert!(
                [
                    "svg", "title", "desc", "defs", "pattern", "rect", "path", "circle", "text"
                ]
                .contains(&tag.as_str()),
                "{tag}"
            );
            for (name, value) in attributes {
                assert!(
                    name != "style"
                        && !name.starts_with("on")
                        && name != "stroke"
                        && name != "href",
                    "{name}"
                );
                assert!(name != "fill" || value.starts_with("url(#p1-"), "{value}");
            }
        }
        assert!(!svg.contains("xmlns") && !svg.contains('\u{0}'));
        assert_eq!(svg, plot.svg());
    }
}

#[test]
fn a_plot_is_described_and_its_words_are_escaped() {
    for plot in all() {
        for svg in [plot.svg(), plot.svg_file()] {
            assert!(
                svg.contains("role=\"img\" aria-labelledby=\"p1-t p1-d\""),
                "{svg}"
            );
            assert!(
                svg.contains("<title id=\"p1-t\">每月&lt;登记&gt; &amp; &quot;解决&quot;</title>")
            );
            assert!(svg.contains("<desc id=\"p1-d\">登记 &#39;526&#39; 件。</desc>"));
        }
        for (svg, name) in plot.legend() {
            assert!(!name.is_empty() && tags(&svg).len() == 2, "{svg}");
        }
    }
}

#[test]
fn every_shape_lies_within_its_plot_and_every_pattern_is_there() {
    for plot in all() {
        let svg = plot.svg();
        let tags = tags(&svg);
        let view: Vec<f64> = tags[0]
            .1
            .iter()
            .find(|(key, _)| key == "viewBox")
            .unwrap()
            .1
            .split(' ')
            .map(|it| it.parse().unwrap())
            .collect();
        let patterns: Vec<&String> = tags
            .iter()
            .filter(|(tag, _)| tag == "pattern")
            .map(|(_, it)| &it[0].1)
            .collect();
        for (tag, attributes) in tags
            .iter()
            .filter(|(tag, _)| tag == "rect" || tag == "text")
        {
            let (Some(x), Some(y)) = (number(attributes, "x"), number(attributes, "y")) else {
                continue;
            };
            let width = number(attributes, "width").unwrap_or_default();
            let height = number(attributes, "height").unwrap_or_default();
            assert!(
                x >= 0.0 && x + width <= view[2] + 0.6 && y >= 0.0 && y + height <= view[3] + 0.6,
                "{tag} {attributes:?} {view:?}"
            );
            if let Some((_, fill)) = attributes.iter().find(|(key, _)| key == "fill") {
                let id = fill
                    .trim_start_matches("url(#")
                    .trim_end_matches(')')
                    .to_owned();
                assert!(patterns.contains(&&id), "{id}");
            }
        }
    }
}

#[test]
fn a_file_stands_alone() {
    for plot in all() {
        let file = plot.svg_file();
        tags(&file);
        assert!(file.starts_with(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\""
        ));
        assert!(
            file.contains(&format!("<style>{STYLE}</style>"))
                && file.contains("按事情发生的日期计 &lt;b&gt;")
        );
        // Every class has its rule.
        for (_, attributes) in tags(&file) {
            for class in attributes
                .iter()
                .filter(|(key, _)| key == "class")
                .flat_map(|(_, it)| it.split(' '))
            {
                assert!(
                    STYLE.contains(&format!(".{class}{{")) || STYLE.contains(&format!(".{class},")),
                    "{class}"
                );
            }
        }
    }
    assert!(months(&[]).svg_file().contains("解&lt;决&gt;"));
}

#[test]
fn bars_stand_in_the_order_in_which_they_are_given() {
    let plot = categories(&[("丙", 5), ("甲", 50), ("乙", 20)]);
    let svg = plot.svg();
    let at: Vec<_> = ["丙", "甲", "乙"]
        .iter()
        .map(|it| svg.find(&format!(">{it}</text>")).unwrap())
        .collect();
    assert!(at.is_sorted());
    let (heads, rows) = plot.table();
    assert_eq!(heads, ["类别", "件数"]);
    assert_eq!(rows, [["丙", "5"], ["甲", "50"], ["乙", "20"]]);
}

#[test]
fn tables_have_the_numbers_of_their_plots() {
    let (heads, rows) = months(&[("1月", [1234, -2])]).table();
    assert_eq!(
        (heads.join("|").as_str(), rows[0].join("|").as_str()),
        ("月份|登记（件）|解决（件）", "1月|1234|-2")
    );
    let (_, rows) = funnel(&[("登记", 526), ("受理", 498), ("转办", 0), ("答复", 7)]).table();
    let shares: Vec<_> = rows.iter().map(|row| row[2].as_str()).collect();
    assert_eq!(shares, ["—", "498/526，94.7%", "0/498，0.0%", "7/0，—"]);
    assert_eq!(
        share(u64::MAX, u64::MAX),
        format!("{0}/{0}，100.0%", u64::MAX)
    );
    assert_eq!(share(1, 2000), "1/2000，0.1%");
    let (heads, rows) = articles(&[("第一条", &[1, 2]), ("第二条", &[9; 30])]).table();
    assert_eq!(
        heads.join("|"),
        "条文|只征集|已上报|采纳|部分采纳|未采纳|暂缓|尚未反馈|合计"
    );
    assert_eq!(rows[0].join("|"), "第一条|1|2|0|0|0|0|0|3");
    assert_eq!(rows[1][8], "63");
}

#[test]
fn whoever_takes_as_long_as_the_limit_is_within_it() {
    for (limit, taken) in [
        (30, vec![0, 1, 29, 30, 31, 45, 600, -3]),
        (5, vec![5, 6]),
        (0, vec![0, 1]),
        (7, vec![]),
        (45, (0..500).collect()),
        (u32::MAX, vec![i64::MAX, 0]),
    ] {
        let plot = days(limit, &taken);
        let bins = plot.bins();
        assert!(bins.len() <= 17, "{limit}: {bins:?}");
        let limit = i64::from(limit);
        // No bin lies on both sides of the limit, and none is missing between two.
        for pair in bins.windows(2) {
            assert_eq!(pair[0].to.unwrap() + 1, pair[1].from.unwrap());
        }
        assert!(bins.iter().any(|bin| bin.to == Some(limit)));
        assert_eq!(
            bins.iter().map(|bin| bin.number).sum::<u64>(),
            taken.len() as u64
        );
        let over: u64 = bins
            .iter()
            .filter(|bin| bin.from.is_some_and(|from| from > limit))
            .map(|bin| bin.number)
            .sum();
        assert_eq!(over, taken.iter().filter(|it| **it > limit).count() as u64);
    }
    let (_, rows) = days(5, &[300, -1, 5]).table();
    assert_eq!(
        (rows[0][0].as_str(), rows.last().unwrap()[0].as_str()),
        ("<0", "≥20")
    );
}

#[test]
fn the_parts_of_a_bar_have_patterns_of_their_own() {
    let svg = articles(&[("第一条", &[1; 7])]).svg();
    for it in [
        "class=\"a\"",
        "p1-hatch",
        "p1-dots",
        "p1-lying",
        "p1-cross",
        "p1-upright",
        "seg blank",
    ] {
        assert!(svg.contains(it), "{it}");
    }
    let legend = articles(&[]).legend();
    let mut samples: Vec<_> = legend.iter().map(|(svg, _)| svg).collect();
    samples.sort();
    samples.dedup();
    assert_eq!(samples.len(), 7);
}

#[test]
fn a_label_that_is_too_long_is_clipped() {
    assert_eq!(clipped("第十二条", NORMAL, 60.0), "第十二条");
    assert_eq!(clipped("第十二条第二款第三项", NORMAL, 60.0), "第十二…");
    assert_eq!(clipped("abc", NORMAL, 5.0), "…");
    assert!(
        categories(&[("养老与助残服务以及其他民生保障事项", 1)])
            .svg()
            .contains("养老与助残服务以及其…")
    );
}
