//! R17 数据质量表: what should be looked at before figures are given away: duplicates, gaps in numbers, what was typed late, what is missing, what two people
//! wrote differently, and times that a wrong clock gave.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::number::Number;

use super::known::Row;
use super::quantities::Base;
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R17: Definition = Definition {
    id: "R17",
    kinds: &[
        "opinion",
        "legis_comment",
        "reception",
        "visit",
        "theme_activity",
        "livestream",
        "inspection",
        "training",
        "deputy_suggestion",
        "meeting",
        "mediation",
        "donation",
    ],
    defines: &["late-entries", "number-gaps", "clock"],
    fill,
};

fn fill(base: &Base<'_>, out: &mut Tables) {
    let mut table = Table::new(
        "quality",
        &[
            "kind",
            "records",
            "merged",
            "late_entries",
            "no_topic",
            "no_community",
            "conflicts",
            "clock",
        ],
    );
    let mut all = Set::default();
    for code in R17.kinds {
        let set = base.all(code).during(&base.period);
        if set.is_empty() {
            continue;
        }
        let lacks = |field: &str| match set.0.first().and_then(|row| row.kind.field(field)) {
            Some(_) => Cell::Count(set.that(|row| row.text(field).is_none()).count()),
            None => Cell::None,
        };
        table.line([
            Cell::Word(code),
            Cell::Count(set.count()),
            match *code {
                "opinion" => Cell::Count(set.that(|row| base.main_of(row) != row.id).count()),
                _ => Cell::None,
            },
            Cell::Ratio(set.that(Row::is_late_entry).count(), set.count()),
            lacks("topic"),
            lacks("place.community"),
            Cell::Count(set.that(|row| row.conflicts > 0).count()),
            Cell::Count(set.that(Row::clock_is_suspect).count()),
        ]);
        all.0.extend(set.0);
    }
    out.add(table);
    out.add(gaps(base));
    out.total("records", all.count());
    out.total("late_entries", all.that(Row::is_late_entry).count());
    out.total("conflicts", all.that(|row| row.conflicts > 0).count());
    out.total("clock", all.that(Row::clock_is_suspect).count());
}

/// Numbers of a year that no record here has, by device and kind, beside those that were burned on purpose.
fn gaps(base: &Base<'_>) -> Table {
    let mut series: BTreeMap<(String, u16), (BTreeSet<u32>, u32)> = BTreeMap::new();
    let of = |text: &str| -> Option<((String, u16), u32)> {
        let number = Number::parse(text).ok()?;
        let (head, _) = text.split_once(&format!("-{}-", number.year()))?;
        Some(((head.to_owned(), number.year()), number.counter()))
    };
    for code in R17.kinds {
        for row in base.known.of(code) {
            if let Some((key, sequence)) = row.number.as_deref().and_then(of) {
                series.entry(key).or_default().0.insert(sequence);
            }
        }
    }
    for number in &base.known.burned {
        if let Some((key, sequence)) = of(number) {
            let (given, burned) = series.entry(key).or_default();
            *burned += u32::from(given.insert(sequence));
        }
    }
    let mut table = Table::new("gaps", &["series", "year", "last", "burned", "missing"]);
    for ((head, year), (given, burned)) in series {
        let last = given.last().copied().unwrap_or_default();
        let missing = i64::from(last) - i64::try_from(given.len()).unwrap_or(i64::MAX);
        if missing > 0 || burned > 0 {
            table.line([
                Cell::Text(head),
                Cell::Number(i64::from(year)),
                Cell::Number(i64::from(last)),
                Cell::Number(i64::from(burned)),
                Cell::Number(missing),
            ]);
        }
    }
    table
}
