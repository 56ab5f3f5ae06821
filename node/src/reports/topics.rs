//! R11 诉求热点分析: what people spoke of, by month and by community. In the order of the form, not of numbers. Persons are counted only where they
//! are not few: a cell of less than five is shown as that, and no other cells are told from which it would follow.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::Catalogue;

use super::annual::by_month;
use super::drawing::Drawing;
use super::known::Row;
use super::quantities::{Base, days};
use super::set::{Figure, Period};
use super::table::{self, Cell, Table};
use super::{Definition, Tables};
use crate::clock::{Beijing, day_begins};

pub(super) const R11: Definition = Definition {
    id: "R11",
    kinds: &["opinion"],
    defines: &["REC", "SOL", "growth", "small-cells"],
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

/// What is told of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Its number.
    Number,
    /// That it is small.
    Small,
    /// Nothing, so that no small one can be worked out.
    KeptToo,
    /// Not even that there is one: it stands alone, and what all are together says what it is.
    Nothing,
}

/// Cells by line and column.
type Cells = BTreeMap<(String, String), Figure>;

/// What is told of cells of which the sums of all lines are known, and those of some columns: as long as a line or such a column lacks a single number,
/// that could be worked out, and its smallest other one is kept back too.
fn told(cells: &Cells, columns: &BTreeSet<&str>) -> BTreeMap<(String, String), Told> {
    let told = cells.iter().map(|(key, figure)| {
        let small = table::is_small(figure.value);
        (key.clone(), if small { Told::Small } else { Told::Number })
    });
    let mut told: BTreeMap<_, _> = told.collect();
    let mut groups: BTreeMap<(bool, &str), Vec<&(String, String)>> = BTreeMap::new();
    for key in cells.keys() {
        groups.entry((true, &key.0)).or_default().push(key);
        if columns.contains(&*key.1) {
            groups.entry((false, &key.1)).or_default().push(key);
        }
    }
    loop {
        let mut settled = true;
        for group in groups.values() {
            let is_told = |key: &&(String, String)| told.get(*key) == Some(&Told::Number);
            let mut lacking = group.iter().copied().filter(|key| !is_told(key));
            let (Some(only), None) = (lacking.next(), lacking.next()) else {
                continue;
            };
            let shown = group.iter().copied().filter(is_told);
            let least = shown.min_by_key(|key| cells.get(*key).map(|it| it.value));
            let (key, now) = match least {
                Some(least) => (least, Told::KeptToo),
                None => (only, Told::Nothing),
            };
            settled &= told.insert(key.clone(), now) == Some(now);
        }
        if settled {
            return told;
        }
    }
}

/// The lines of a table for these cells, with what is told of each.
fn lines(cells: Cells, columns: &BTreeSet<&str>) -> Vec<((String, String), Cell)> {
    let told = told(&cells, columns);
    let lines = cells.into_iter().filter_map(|(key, figure)| {
        let cell = match told.get(&key)? {
            Told::Number | Told::Small => Cell::Masked(figure),
            Told::KeptToo => Cell::Word("kept-too"),
            Told::Nothing => return None,
        };
        Some((key, cell))
    });
    lines.collect()
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
        let community = |row: &Row| {
            let community = communities.get(row.text("place.community")?);
            community.cloned()
        };
        let mut cells = Cells::new();
        for (month, set) in by_month {
            for (community, set) in set.by(community) {
                cells.insert((month.to_owned(), community), set.count());
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
        let persons = set.by(community).into_iter().map(|(community, set)| {
            let persons = set.sum_of(|row| row.int("people_count").max(1));
            ((String::new(), community), persons)
        });
        let persons = lines(persons.collect(), &BTreeSet::new());
        let is_told = |cell: &Cell| matches!(cell, Cell::Masked(_)) && !cell.is_masked();
        let known = persons.iter().filter(|(_, cell)| is_told(cell));
        let known = known
            .map(|((_, community), _)| community.as_str())
            .collect();
        for ((month, community), cell) in lines(cells, &known) {
            let cells = [Cell::Text(month), Cell::Text(community), cell];
            both.line([named(&code)].into_iter().chain(cells));
        }
        for ((_, community), cell) in persons {
            places.line([named(&code), Cell::Text(community), cell]);
        }
    }
    out.add(months);
    out.add(growth);
    out.add(places);
    out.add(both);
    out.draw(by_month(base));
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

    fn cells(values: &[(&str, &str, i64)]) -> Cells {
        let cell = |(line, column, value): &(&str, &str, i64)| {
            let figure = Figure {
                value: *value,
                ..Figure::default()
            };
            (((*line).to_owned(), (*column).to_owned()), figure)
        };
        values.iter().map(cell).collect()
    }

    #[test]
    fn a_single_small_cell_takes_another_with_it_or_is_not_told_of() {
        use Told::{KeptToo, Nothing, Number, Small};
        for (values, expected) in [
            (&[7, 2][..], &[KeptToo, Small][..]),
            (&[9, 2, 7], &[Number, Small, KeptToo]),
            (&[2, 3, 9], &[Small, Small, Number]),
            (&[7, 9], &[Number, Number]),
            (&[2], &[Nothing]),
            (&[], &[]),
        ] {
            let names: Vec<_> = ('a'..).take(values.len()).map(String::from).collect();
            let of: Vec<_> = names
                .iter()
                .zip(values)
                .map(|(name, value)| ("", name.as_str(), *value))
                .collect();
            let told = told(&cells(&of), &BTreeSet::new());
            assert_eq!(
                told.into_values().collect::<Vec<_>>(),
                expected,
                "{values:?}"
            );
        }
    }

    /// A sum over the months less what the other months have is not told either.
    #[test]
    fn no_cell_follows_from_the_sums_of_lines_and_columns() {
        let all = [
            ("01", "a", 6),
            ("01", "b", 7),
            ("02", "a", 2),
            ("02", "b", 3),
            ("03", "a", 9),
            ("03", "b", 8),
        ];
        let columns = BTreeSet::from(["a", "b"]);
        let told = told(&cells(&all), &columns);
        for (line, column) in [(Some("02"), None), (None, Some("a")), (None, Some("b"))] {
            let kept = told.iter().filter(|((month, place), told)| {
                let of = line.is_none_or(|it| it == month) && column.is_none_or(|it| it == place);
                of && **told != Told::Number
            });
            assert_ne!(kept.count(), 1, "{line:?} {column:?}: {told:?}");
        }
        assert_eq!(told[&("02".to_owned(), "a".to_owned())], Told::Small);
    }
}
