//! R12 承办单位办理情况: per handling unit what it was given and how it went, in the order of names.

use std::collections::BTreeSet;

use super::known::Row;
use super::quantities::{Base, Times, day_of, days};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R12: Definition = Definition {
    id: "R12",
    kinds: &["assignment", "opinion"],
    defines: &["ONTIME-unit", "T_unit"],
    fill,
};

fn replied(row: &Row) -> Option<String> {
    day_of(row, &["reply", "co_opinion"])
}

/// What a unit has to answer: not what was withdrawn, itself or the matter that it is of, nor what it was allowed to give back.
fn is_owed(base: &Base<'_>, row: &Row) -> bool {
    let parent = row.text("parent");
    let parent = parent.and_then(|given| base.known.named(given, &["opinion"]));
    let parent = parent.and_then(|id| base.known.row(&id));
    let over = |parent: &Row| parent.stands(&["withdrawn"]);
    !row.stands(&["withdrawn"]) && !row.took("accept_return") && !parent.is_some_and(over)
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let all = base.all("assignment");
    let given = all.that(|row| !row.stands(&["withdrawn"]));
    let given = given.during(&base.period);
    let owed = all.that(|row| is_owed(base, row));
    let owed = owed.dated("due_on", &base.period);
    let heads = [
        "unit",
        "assigned",
        "signed",
        "returned_accepted",
        "returned_denied",
        "in_time",
        "T_unit",
        "redo",
    ];
    let mut table = Table::new("units", &heads);
    let took = |row: &Row| days(&row.day("issued_on")?, &replied(row)?);
    let unit = |row: &Row| row.text("unit").map(|it| base.known.call(it, &["org"]));
    let (given_by, owed_by) = (given.by(unit), owed.by(unit));
    let units: BTreeSet<_> = given_by.keys().chain(owed_by.keys()).cloned().collect();
    for unit in units {
        let set = given_by.of(&unit);
        let due = owed_by.of(&unit);
        let in_time = due.that(|row| {
            replied(row)
                .zip(row.day("due_on"))
                .is_some_and(|(at, due)| at <= due)
        });
        let times = Times::of(&set, took);
        table.line([
            Cell::Text(unit),
            Cell::Count(set.count()),
            Cell::Count(set.that(|row| row.took("sign")).count()),
            Cell::Count(set.that(|row| row.took("accept_return")).count()),
            Cell::Count(set.that(|row| row.took("deny")).count()),
            Cell::Ratio(in_time.count(), due.count()),
            times
                .spread
                .map_or(Cell::None, |it| Cell::Tenths(it.median)),
            Cell::Count(set.that(|row| row.took("redo")).count()),
        ]);
    }
    out.add(table);
    Times::note(&[Times::of(&given, took)], out);
    out.total("assigned", given.count());
}
