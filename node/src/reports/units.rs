//! R12 承办单位办理情况: per handling unit what it was given and how it went, in the order of names.

use super::known::Row;
use super::quantities::{Base, Spread, day_of, days};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R12: Definition = Definition {
    id: "R12",
    kinds: &["assignment", "opinion"],
    defines: &["ONTIME", "T_unit"],
    fill,
};

fn replied(row: &Row) -> Option<String> {
    day_of(row, &["reply", "co_opinion"])
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let given = base
        .all("assignment")
        .that(|row| !row.stands(&["withdrawn"]))
        .during(&base.period);
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
    let by_unit = given.by(|row| row.text("unit").map(|it| base.known.call(it, &["org"])));
    for (unit, set) in by_unit {
        let due = set.that(|row| {
            row.day("due_on").is_some_and(|day| day <= base.today()) || replied(row).is_some()
        });
        let due = due.that(|row| row.day("due_on").is_some());
        let in_time = due.that(|row| {
            replied(row)
                .zip(row.day("due_on"))
                .is_some_and(|(at, due)| at <= due)
        });
        let took = |row: &&Row| days(&row.day("issued_on")?, &replied(row)?);
        let spread = Spread::of(set.0.iter().filter_map(took).collect());
        table.line([
            Cell::Text(unit),
            Cell::Count(set.count()),
            Cell::Count(set.that(|row| row.took("sign")).count()),
            Cell::Count(set.that(|row| row.took("accept_return")).count()),
            Cell::Count(set.that(|row| row.took("deny")).count()),
            Cell::Ratio(in_time.count(), due.count()),
            spread.map_or(Cell::None, |it| Cell::Tenths(it.median)),
            Cell::Count(set.that(|row| row.took("redo")).count()),
        ]);
    }
    out.add(table);
    out.total("assigned", given.count());
}
