//! R17 数据质量表: what should be looked at before figures are given away: duplicates, gaps in numbers, what was typed late, what is missing, what two people
//! wrote differently, and times that a wrong clock gave.

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
            "without_effect",
            "clock",
        ],
    );
    let (mut all, mut late_in_all) = (Set::default(), Set::default());
    for code in R17.kinds {
        let set = base.all(code).during(&base.period);
        if set.is_empty() {
            continue;
        }
        let lacks = |field: &str| match set.0.first().and_then(|row| row.kind.field(field)) {
            Some(_) => Cell::Count(set.that(|row| row.text(field).is_none()).count()),
            None => Cell::None,
        };
        let late = set.that(Row::is_late_entry);
        table.line([
            Cell::Word(code),
            Cell::Count(set.count()),
            match *code {
                "opinion" => Cell::Count(set.that(|row| base.main_of(row) != row.id).count()),
                _ => Cell::None,
            },
            Cell::Ratio(late.count(), set.count()),
            lacks("topic"),
            lacks("place.community"),
            Cell::Count(set.that(|row| row.conflicts > 0).count()),
            Cell::Count(set.sum_of(|row| row.without_effect)),
            Cell::Count(set.that(Row::clock_is_suspect).count()),
        ]);
        all.0.extend(set.0);
        late_in_all.0.extend(late.0);
    }
    out.add(table);
    out.add(gaps(base));
    out.total("records", all.count());
    out.total("late_entries", late_in_all.count());
    out.total("conflicts", all.that(|row| row.conflicts > 0).count());
    out.total("without_effect", all.sum_of(|row| row.without_effect));
    out.total("clock", all.that(Row::clock_is_suspect).count());
}

/// Why a number of a series is at none of the records that a report reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    /// It is at one.
    Here,
    /// At test data, or at other data where test data is asked for.
    Elsewhere,
    /// At what was thrown away.
    Burned,
}

/// Numbers of a year that no record here has, by device and kind, beside those of which it is known why.
fn gaps<'a>(base: &'a Base<'_>) -> Table {
    let of = |text: &'a str, given: Given| {
        let number = Number::parse(text).ok()?;
        let year = number.year();
        let (head, _) = text.split_once(&format!("-{year}-"))?;
        Some((head, year, number.counter(), given))
    };
    let known = base.known;
    let kinds = R17.kinds.iter();
    let here = kinds.flat_map(|code| known.of(code));
    let here = here.filter_map(|row| of(row.number.as_deref()?, Given::Here));
    let of_all = |numbers: &'a [String], given| {
        let numbers = numbers.iter();
        numbers.filter_map(move |number| of(number, given))
    };
    let elsewhere = of_all(&known.elsewhere, Given::Elsewhere);
    let burned = of_all(&known.burned, Given::Burned);
    let mut numbers: Vec<_> = here.chain(elsewhere).chain(burned).collect();
    numbers.sort_unstable();
    // What a record has is not burned, whatever else had it.
    numbers.dedup_by_key(|(head, year, counter, _)| (*head, *year, *counter));
    let columns = ["series", "year", "last", "burned", "other_data", "missing"];
    let mut table = Table::new("gaps", &columns);
    for series in numbers.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let Some((head, year, last, _)) = series.last() else {
            continue;
        };
        // A series that is of the other data alone is none of this report's.
        if series.iter().all(|(.., given)| *given == Given::Elsewhere) {
            continue;
        }
        let count = |len: usize| i64::try_from(len).unwrap_or(i64::MAX);
        let that = |what| count(series.iter().filter(|(.., given)| *given == what).count());
        let (burned, elsewhere) = (that(Given::Burned), that(Given::Elsewhere));
        let missing = i64::from(*last) - count(series.len());
        if missing > 0 || burned > 0 || elsewhere > 0 {
            table.line([
                Cell::Text((*head).to_owned()),
                Cell::Number(i64::from(*year)),
                Cell::Number(i64::from(*last)),
                Cell::Number(burned),
                Cell::Number(elsewhere),
                Cell::Number(missing),
            ]);
        }
    }
    table
}
