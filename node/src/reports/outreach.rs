//! R15 外联服务统计: visits, service requests, and what serves people in the sub-district.

use super::figures::Figures;
use super::known::Row;
use super::quantities::{Base, Times, day_of, days};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R15: Definition = Definition {
    id: "R15",
    kinds: &[
        "visit",
        "service_request",
        "service_unit",
        "service_point",
        "volunteer_team",
        "volunteer_shift",
        "training",
        "service_activity",
    ],
    defines: &["confirmed", "organisations", "person-times"],
    fill,
};

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let visits = base.confirmed("visit", period);
    let organisations = |row: &Row| {
        row.text("org_ref")
            .map(|it| base.organisation(it))
            .into_iter()
            .collect()
    };
    let mut table = Table::new(
        "visits",
        &[
            "target_kind",
            "visits",
            "organisations",
            "targets",
            "persons",
        ],
    );
    for (kind, set) in visits.by(|row| vec![row.text("target_kind").unwrap_or_default().to_owned()])
    {
        table.line([
            match kind.is_empty() {
                true => Cell::Word("not-said"),
                false => Cell::Choice("visit", "target_kind", kind),
            },
            Cell::Count(set.count()),
            Cell::Count(set.distinct(organisations)),
            Cell::Count(set.sum("targets_count")),
            Cell::Count(set.sum("persons_times")),
        ]);
    }
    out.add(table);
    let requests = base.all("service_request").during(period);
    let done = requests.that(|row| row.took("done") || row.day("done_on").is_some());
    let times = Times::of(&done, |row| {
        let done = row.day("done_on").or_else(|| day_of(row, &["done"]));
        days(row.counts_on()?, &done?)
    });
    let shifts = base.confirmed("volunteer_shift", period);
    let mut table = Table::new("services", &["item", "count", "counted_in"]);
    let mut line = |item, cell, counted_in| {
        table.line([Cell::Word(item), cell, Cell::Word(counted_in)]);
    };
    line("requests", Cell::Count(requests.count()), "u-cases");
    line(
        "requests-done",
        Cell::Ratio(done.count(), requests.count()),
        "u-cases",
    );
    line(
        "requests-median",
        times
            .spread
            .map_or(Cell::None, |it| Cell::Tenths(it.median)),
        "u-days",
    );
    line(
        "firms",
        Cell::Count(Figures(base).enterprises(&visits)),
        "u-firms",
    );
    line(
        "units",
        Cell::Count(base.listed("service_unit", period).count()),
        "u-units",
    );
    for (word, in_communities) in [("units-community", true), ("units-elsewhere", false)] {
        let units = Figures(base).units(in_communities, period);
        line(word, Cell::Count(units), "u-units");
    }
    line(
        "points",
        Cell::Count(base.listed("service_point", period).count()),
        "u-points",
    );
    line(
        "teams",
        Cell::Count(base.listed("volunteer_team", period).count()),
        "u-teams",
    );
    line("shifts", Cell::Count(shifts.count()), "u-times");
    line(
        "hours",
        Cell::Count(shifts.sum_of(|row| row.int("hours") * row.int("people_count").max(1))),
        "u-hours",
    );
    line(
        "trainings",
        Cell::Count(base.confirmed("training", period).count()),
        "u-rounds",
    );
    line(
        "services-held",
        Cell::Count(base.confirmed("service_activity", period).count()),
        "u-times",
    );
    out.add(table);
    Times::note(&[times], out);
    Figures(base).note_unnamed(&visits, out);
    for (name, _, _, figure) in Figures(base).all() {
        if ["F18", "F19", "F20", "F21", "F22"].contains(&name) {
            out.total(name, figure);
        }
    }
}
