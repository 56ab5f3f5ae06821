//! R8 条文采纳率: article by article, what was collected, reported up and adopted. S = A + P + N + D + U, and U is never 未采纳.

use std::collections::BTreeMap;

use lianxin_protocol::log::RecordId;
use lianxin_protocol::text::plain;

use super::drawing::Drawing;
use super::known::Row;
use super::law::{KINDS, SUBMITTED, comments, consultation_of, consultations, of, result, sources};
use super::quantities::Base;
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R8: Definition = Definition {
    id: "R8",
    kinds: &KINDS,
    defines: &[
        "adopted-of-decided",
        "adopted-partly",
        "fed-back",
        "adopted-of-submitted",
        "source-basis",
    ],
    fill,
};

/// The columns after S, by what became of an item.
const RESULTS: [(&str, &str); 5] = [
    ("A", "adopted"),
    ("P", "partly"),
    ("N", "not_adopted"),
    ("D", "deferred"),
    ("U", "no_feedback"),
];

/// The places of articles in their drafts, by consultation and path.
fn places(base: &Base<'_>) -> BTreeMap<(RecordId, String), i64> {
    let articles = base.known.of("draft_article");
    let placed = articles.filter_map(|row| {
        let (path, _) = in_digits(row.text("path")?);
        Some(((consultation_of(base, row)?, path), row.int("place")))
    });
    placed.collect()
}

/// A path of an article with its numbers in digits, and these: 第12条第1款, 12 and 1 of 第十二条第一款. By both of them two spellings are one.
fn in_digits(path: &str) -> (String, Vec<u32>) {
    let (mut text, mut numbers) = (String::new(), Vec::new());
    let mut open: Option<(u32, u32)> = None;
    for sign in plain(path).chars().chain([' ']) {
        let digit = "零一二三四五六七八九".chars().position(|it| it == sign);
        let digit = digit.and_then(|it| u32::try_from(it).ok());
        let figure = sign.to_digit(10);
        let (sum, last) = open.unwrap_or_default();
        open = match (digit, figure, sign) {
            (Some(digit), ..) => Some((sum, digit)),
            (None, Some(digit), _) => Some((sum, last.saturating_mul(10).saturating_add(digit))),
            (None, None, '十') => Some((sum + last.clamp(1, 9) * 10, 0)),
            (None, None, '百') => Some((sum + last.clamp(1, 9) * 100, 0)),
            _ => {
                if let Some((sum, last)) = open {
                    let number = sum.saturating_add(last);
                    text.push_str(&number.to_string());
                    numbers.push(number);
                }
                text.extend(Some(sign).filter(|it| !it.is_whitespace()));
                None
            }
        };
    }
    (text, numbers)
}

/// How an article is written: as the law writes it, if anybody did, else as it was first.
fn spelling<'r>(key: &str, rows: impl Iterator<Item = &'r Row>) -> String {
    let paths: Vec<_> = rows.filter_map(|row| row.text("article_path")).collect();
    let in_words = paths
        .iter()
        .find(|path| !path.contains(|it: char| it.is_ascii_digit()));
    let path = in_words.or(paths.first());
    path.map_or_else(|| key.to_owned(), |path| (*path).to_owned())
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let (all, items) = (comments(base), base.all("legis_item"));
    let places = places(base);
    let columns = [
        "record",
        "article",
        "C",
        "I",
        "S",
        "A",
        "P",
        "N",
        "D",
        "U",
        "rate_decided",
        "rate_partly",
        "rate_fed_back",
        "rate_submitted",
    ];
    let mut table = Table::new("articles", &columns);
    let mut drawn = Vec::new();
    let (mut said_in_all, mut items_in_all) = (all.none(), items.none());
    for consultation in &consultations(base).0 {
        let said = of(base, &all, consultation);
        let made = of(base, &items, consultation).that(|row| !row.stands(&["dropped"]));
        let path = |row: &Row| vec![in_digits(row.text("article_path").unwrap_or_default()).0];
        let (said_by, made_by) = (said.by(path), made.by(path));
        let mut paths: Vec<_> = said_by.keys().chain(made_by.keys()).cloned().collect();
        paths.sort_by_key(|path| {
            let place = places.get(&(consultation.id, path.clone()));
            (
                path.is_empty(),
                place.copied().unwrap_or(i64::MAX),
                in_digits(path).1,
                path.clone(),
            )
        });
        paths.dedup();
        for path in paths {
            let said = said_by.of(&path);
            let made = made_by.of(&path);
            let submitted = made.at(&SUBMITTED);
            let of = |code: &str| submitted.that(|row| result(row) == code).count().value;
            let parts = RESULTS.iter().map(|(_, code)| of(code)).collect();
            let written = spelling(&path, said.0.iter().chain(&made.0).copied());
            let article = match path.is_empty() {
                true => Cell::Word("whole-draft"),
                false => Cell::Text(written.clone()),
            };
            drawn.push((written, parts));
            table.line(
                [Cell::record(consultation), article]
                    .into_iter()
                    .chain(cells(&said, &made)),
            );
        }
        said_in_all.0.extend(said.0);
        items_in_all.0.extend(made.0);
    }
    table.head("in-all");
    table.line(
        [Cell::Word("in-all"), Cell::None]
            .into_iter()
            .chain(cells(&said_in_all, &items_in_all)),
    );
    out.add(table);
    drawn.retain(|(path, parts): &(String, Vec<i64>)| {
        !path.is_empty() && parts.iter().any(|it| *it > 0)
    });
    out.draw(Drawing::Articles {
        code: "by-article",
        parts: RESULTS.map(|(name, _)| name).to_vec(),
        articles: drawn,
    });
    out.total("C", said_in_all.count());
    out.total("I", items_in_all.count());
    let submitted = items_in_all.at(&SUBMITTED);
    out.total("S", submitted.count());
    for (name, code) in RESULTS {
        out.total(name, submitted.that(|row| result(row) == code).count());
    }
    let adopted = submitted.that(|row| result(row) == "adopted").0;
    let of_adopted: std::collections::BTreeSet<_> = adopted
        .iter()
        .flat_map(|item| sources(base, item))
        .collect();
    out.total(
        "sources_adopted",
        said_in_all.that(|row| of_adopted.contains(&row.id)).count(),
    );
}

/// C to U, and the four rates.
fn cells(said: &Set<'_>, made: &Set<'_>) -> Vec<Cell> {
    let submitted = made.at(&SUBMITTED);
    let of = |codes: &[&str]| submitted.that(|row| codes.contains(&result(row))).count();
    let mut cells: Vec<_> = [said.count(), made.count(), submitted.count()]
        .map(Cell::Count)
        .into();
    cells.extend(RESULTS.iter().map(|(_, code)| Cell::Count(of(&[code]))));
    // Whatever was said of it, "later" too (DOMAIN 12.3).
    let fed_back = of(&["adopted", "partly", "not_adopted", "deferred"]);
    cells.push(Cell::Ratio(of(&["adopted"]), fed_back.clone()));
    cells.push(Cell::Ratio(of(&["adopted", "partly"]), fed_back.clone()));
    cells.push(Cell::Ratio(fed_back, submitted.count()));
    cells.push(Cell::Ratio(of(&["adopted"]), submitted.count()));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_stand_in_the_order_of_their_numbers() {
        for (path, numbers) in [
            ("第一条", vec![1]),
            ("第十条", vec![10]),
            ("第二十条第三款", vec![20, 3]),
            ("第一百零五条", vec![105]),
            ("第12条", vec![12]),
            ("总则", vec![]),
        ] {
            assert_eq!(in_digits(path).1, numbers, "{path}");
        }
        let mut paths = ["第三条", "第一条", "第十一条", "第二条"];
        paths.sort_by_key(|path| in_digits(path).1);
        assert_eq!(paths, ["第一条", "第二条", "第三条", "第十一条"]);
    }

    #[test]
    fn two_spellings_of_an_article_are_one() {
        let key = |path| in_digits(path).0;
        for path in ["第12条第1款", "第十二条第一款", " 第 １２ 条 第一款"] {
            assert_eq!(key(path), "第12条第1款", "{path}");
        }
        assert_ne!(key("第十二条"), key("第十二款"));
        assert_eq!(key("总则"), "总则");
    }
}
