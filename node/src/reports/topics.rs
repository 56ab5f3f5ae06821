//! R11 诉求热点分析: what people spoke of, by month and by community. In the order of the form, not of numbers. Persons are counted only where they
//! are not few: a cell of less than five is shown as that.

use std::collections::BTreeMap;

use lianxin_protocol::catalogue::Catalogue;

use super::drawing::Drawing;
use super::known::Row;
use super::quantities::{Base, days};
use super::set::{Figure, Period, Set};
use super::table::{self, Cell, Table};
use super::{Definition, Tables};
use crate::clock::{Beijing, day_begins};

pub(super) const R11: Definition = Definition {
    id: "R11",
    kinds: &["opinion"],
    defines: &["REC", "growth", "small-cells"],
    fill,
};

/// Opinions that say no topic.
const NONE: &str = "";

fn topic(row: &Row) -> Option<&str> {
    Some(row.text("topic").unwrap_or(NONE))
}

/// The topics in the order of the form, what says none last.
fn topics() -> Vec<String> {
    let field = Catalogue::current()
        .kind("opinion")
        .and_then(|kind| kind.field("topic"));
    let codes = field
        .into_iter()
        .flat_map(|field| field.options().iter().map(|it| it.code.clone()));
    codes.chain([NONE.to_owned()]).collect()
}

fn named(code: &str) -> Cell {
    match code {
        NONE => Cell::Word("not-said"),
        code => Cell::Choice("opinion", "topic", code.to_owned()),
    }
}

/// The days of the same number that come before a period.
fn before(period: &Period) -> Option<Period> {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let length = u64::try_from(days(&period.from, &period.to)?).ok()? + 1;
    let begins = day_begins(&period.from)?;
    let day = |ms: u64| Beijing::of(ms).iso_date();
    Some(Period {
        from: day(begins.checked_sub(length * DAY)?),
        to: day(begins.checked_sub(DAY)?),
    })
}

/// The cell that is kept back beside a single small one, which could be worked out from what all are together: the smallest of the others.
fn also_kept(persons: &[(String, Figure)]) -> Option<usize> {
    let is_small = |it: &Figure| table::is_small(it.value);
    let small = persons.iter().filter(|(_, it)| is_small(it)).count();
    let others = persons
        .iter()
        .enumerate()
        .filter(|(_, (_, it))| !is_small(it));
    let least = others.min_by_key(|(_, (_, it))| it.value);
    least.filter(|_| small == 1).map(|(place, _)| place)
}

/// What is counted of some opinions in each community: small numbers masked, and another one with a single of them.
fn by_community(
    set: &Set<'_>,
    communities: &BTreeMap<&str, String>,
    counted: impl Fn(&Set<'_>) -> Figure,
) -> Vec<(String, Cell)> {
    let split = set.by(|row| {
        let community = communities.get(row.text("place.community")?);
        community.map(String::as_str)
    });
    let figures = split.into_iter();
    let figures = figures.map(|(community, set)| (community.to_owned(), counted(&set)));
    let figures: Vec<_> = figures.collect();
    let also = also_kept(&figures);
    let cells = figures.into_iter().enumerate();
    let cells = cells.map(|(place, (community, figure))| {
        let cell = match also == Some(place) {
            true => Cell::Word("kept-too"),
            false => Cell::Masked(figure),
        };
        (community, cell)
    });
    cells.collect()
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let all = base.registered(&base.period);
    let earlier = before(&base.period)
        .map(|period| base.registered(&period))
        .unwrap_or_default();
    let (by_topic, earlier) = (all.by(topic), earlier.by(topic));
    let mut months = Table::new("topic-months", &["topic", "month", "REC"]);
    let mut growth = Table::new("topic-growth", &["topic", "REC", "before", "change"]);
    let mut places = Table::new("topic-communities", &["topic", "community", "persons"]);
    let mut both = Table::new(
        "topic-month-communities",
        &["topic", "month", "community", "REC"],
    );
    // Many live in few communities: each is looked up once.
    let communities = all.by(|row| row.text("place.community"));
    let communities: BTreeMap<&str, String> = communities
        .keys()
        .map(|it| (*it, base.known.call(it, &["community"])))
        .collect();
    let mut drawn = Vec::new();
    for code in topics() {
        let set = by_topic.of(&*code);
        let past = earlier.of(&*code).count();
        if set.is_empty() && past.value == 0 {
            continue;
        }
        let by_month = set.by(|row| row.counts_on().and_then(|day| day.get(..7)));
        for (month, set) in by_month {
            let in_month = by_community(&set, &communities, |set| set.count());
            for (community, cell) in in_month {
                let month = Cell::Text(month.to_owned());
                both.line([named(&code), month, Cell::Text(community), cell]);
            }
            months.line([
                named(&code),
                Cell::Text(month.to_owned()),
                Cell::Count(set.count()),
            ]);
        }
        let now = set.count();
        drawn.push((named(&code), now.value));
        let change = Cell::Number(now.value - past.value);
        growth.line([named(&code), Cell::Count(now), Cell::Count(past), change]);
        let persons = by_community(&set, &communities, |set| {
            set.sum_of(|row| row.int("people_count").max(1))
        });
        for (community, cell) in persons {
            places.line([named(&code), Cell::Text(community), cell]);
        }
    }
    out.add(months);
    out.add(growth);
    out.add(places);
    out.add(both);
    out.draw(Drawing::Categories {
        code: "by-topic",
        of: drawn,
    });
    out.total("REC", all.count());
    let nowhere = all.that(|row| row.text("place.community").is_none()).len();
    out.note(
        "no-community",
        i64::try_from(nowhere).unwrap_or(i64::MAX),
        Vec::new(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_small_cell_takes_another_with_it() {
        let cells = |values: &[i64]| -> Vec<(String, Figure)> {
            let cell = |value: &i64| {
                let figure = Figure {
                    value: *value,
                    ..Figure::default()
                };
                (String::new(), figure)
            };
            values.iter().map(cell).collect()
        };
        for (values, also) in [
            (&[7, 2][..], Some(0)),
            (&[9, 2, 7], Some(2)),
            (&[2, 3, 9], None),
            (&[7, 9], None),
            (&[2], None),
            (&[], None),
        ] {
            assert_eq!(also_kept(&cells(values)), also, "{values:?}");
        }
    }
}
