//! R1 年度工作统计表: the year's work beside all work since the first station was set up.

use std::collections::BTreeSet;

use super::drawing::Drawing;
use super::figures::{Figures, KINDS, TOOK_PART, note_unmatched};
use super::quantities::Base;
use super::set::{Figure, Period};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R1: Definition = Definition {
    id: "R1",
    kinds: &KINDS,
    defines: &[
        "collected",
        "confirmed",
        "SOL",
        "ACC",
        "CASE",
        "CLO",
        "distinct",
        "person-times",
        "viewers",
    ],
    fill,
};

/// What is counted and by which unit, over one period.
type Item = (
    &'static str,
    &'static str,
    fn(&Figures<'_, '_>, &Period) -> Figure,
);

/// The lines under each head. Nothing is compared, and no site or person stands before another.
const GROUPS: [(&str, &[Item]); 5] = [
    (
        "g-suggestions",
        &[
            ("suggestions", "u-items", |f, over| {
                f.0.collected(over).count()
            }),
            ("suggestions-key", "u-items", |f, over| {
                f.0.key_ones(&f.0.collected(over), over).count()
            }),
            ("suggestions-withdrawn", "u-items", |f, over| {
                f.0.collected(over).at(&["withdrawn"]).count()
            }),
            ("suggestions-inadmissible", "u-items", |f, over| {
                f.0.inadmissible(over).count()
            }),
        ],
    ),
    (
        "g-receptions",
        &[
            ("receptions", "u-rounds", |f, over| {
                f.0.confirmed("reception", over).count()
            }),
            ("visitors", "u-person-times", |f, over| {
                f.0.confirmed("reception", over).sum("visitors_times")
            }),
            ("solved-received", "u-cases", |f, over| {
                f.0.through_receptions(&f.0.solved(over)).count()
            }),
            ("partly-received", "u-cases", |f, over| {
                f.0.through_receptions(&f.0.partly_solved(over)).count()
            }),
            ("registered", "u-cases", |f, over| {
                f.0.registered(over).count()
            }),
            ("accepted", "u-cases", |f, over| f.0.accepted(over).count()),
            ("cases", "u-cases", |f, over| {
                f.0.cases(&f.0.accepted(over)).count()
            }),
            ("closed", "u-cases", |f, over| f.0.closed(over).count()),
            ("solved", "u-cases", |f, over| f.0.solved(over).count()),
            ("solved-slips", "u-cases", |f, over| {
                f.0.slips(&f.0.solved(over)).count()
            }),
        ],
    ),
    (
        "g-livestreams",
        &[
            ("livestreams", "u-sessions", |f, over| {
                f.0.confirmed("livestream", over).count()
            }),
            ("views", "u-views", |f, over| {
                f.0.confirmed("livestream", over).sum("cumulative_viewers")
            }),
            ("discussants", "u-person-times", |f, over| {
                f.0.confirmed("livestream", over).sum("discussants")
            }),
            ("f5", "u-views", |f, over| {
                f.most_watched(over).sum("cumulative_viewers")
            }),
            ("f6", "u-persons", |f, over| {
                f.most_watched(over).sum("discussants")
            }),
        ],
    ),
    (
        "g-themes",
        &[
            ("f16", "u-months", |f, over| f.theme_months(over)),
            ("activities", "u-times", |f, over| {
                f.0.confirmed("theme_activity", over).count()
            }),
            ("activity-deputies", "u-people", |f, over| {
                f.district_deputies(&f.0.confirmed("theme_activity", over))
            }),
            ("served", "u-person-times", |f, over| {
                f.0.confirmed("theme_activity", over)
                    .sum("persons_served_times")
            }),
            ("donated-cash", "u-fen", |f, over| {
                let donations = f.0.all("donation").during(over);
                Figures::donations(&donations.having("donation_kind", &["cash"]))
            }),
            ("donated-goods", "u-fen", |f, over| {
                let donations = f.0.all("donation").during(over);
                Figures::donations(&donations.having("donation_kind", &["goods"]))
            }),
            ("donated", "u-fen", |f, over| {
                Figures::donations(&f.0.all("donation").during(over))
            }),
            ("disputes", "u-cases", |f, over| {
                f.0.disputes("agreed", over).count()
            }),
            ("disputes-partly", "u-cases", |f, over| {
                f.0.disputes("partly", over).count()
            }),
        ],
    ),
    (
        "g-work",
        &[
            ("inspections", "u-times", |f, over| {
                f.inspections(&f.0.confirmed("inspection", over)).count()
            }),
            ("appraisals", "u-times", |f, over| {
                let all = f.0.confirmed("inspection", over);
                all.having("type", &["appraisal", "law_check"]).count()
            }),
            ("trainings", "u-rounds", |f, over| {
                f.0.confirmed("training", over).count()
            }),
            ("invested", "u-fen", |f, over| {
                f.investments(over).sum("amount_fen")
            }),
            ("f15", "u-sites", |f, over| f.invested_sites(over)),
            ("f17", "u-year", |f, over| match over.from.is_empty() {
                true => f.first_station(),
                false => Figure::default(),
            }),
            ("units", "u-units", |f, over| {
                f.0.listed("service_unit", over).count()
            }),
            ("units-community", "u-units", |f, over| f.units(true, over)),
            ("units-elsewhere", "u-units", |f, over| f.units(false, over)),
            ("points", "u-points", |f, over| {
                f.0.listed("service_point", over).count()
            }),
            ("teams", "u-teams", |f, over| {
                f.0.listed("volunteer_team", over).count()
            }),
        ],
    ),
];

/// The figures of DOMAIN 3 that DOMAIN 12.3 names for this report.
const NOT_HERE: [&str; 3] = ["F18", "F19", "F20"];

fn fill(base: &Base<'_>, out: &mut Tables) {
    let figures = Figures(base);
    let ever = base.period.and_before();
    let mut table = Table::new("annual", &["item", "period", "ever", "counted_in"]);
    for (head, items) in GROUPS {
        table.head(head);
        for (word, counted_in, figure) in items {
            let over = |period: &Period| {
                let figure = figure(&figures, period);
                match *counted_in {
                    "u-fen" => Cell::Money(figure),
                    // Of no station there is no year.
                    "u-year" if figure.of.is_empty() => Cell::None,
                    _ => Cell::Count(figure),
                }
            };
            let unit = match *counted_in {
                "u-fen" => "u-yuan",
                other => other,
            };
            let cells = [over(&base.period), over(&ever)];
            let [period, all] = cells;
            table.line([Cell::Word(word), period, all, Cell::Word(unit)]);
        }
    }
    out.add(table);
    out.draw(by_month(base));
    out.draw(funnel(base));
    for (name, _, _, figure) in figures.all() {
        if !NOT_HERE.contains(&name) {
            out.total(name, figure);
        }
    }
    let activities = base.confirmed("theme_activity", &ever);
    note_unmatched(base, &activities, &TOOK_PART, out);
}

/// Opinions by the month in which they happened, and cases by that in which they were solved.
pub(super) fn by_month(base: &Base<'_>) -> Drawing {
    let registered = base.registered(&base.period);
    let registered = registered.by(|row| row.counts_on().and_then(|day| day.get(..7)));
    let solved = base.solved(&base.period);
    let solved = solved.by(|row| Some(row.day("solved_on")?.get(..7)?.to_owned()));
    let months = registered.keys().copied();
    let months: BTreeSet<&str> = months.chain(solved.keys().map(String::as_str)).collect();
    let months = months.into_iter().map(|month| {
        let counts = [registered.of(month), solved.of(month)].map(|set| set.count().value);
        (month.to_owned(), counts)
    });
    Drawing::Months {
        code: "by-month",
        series: ["registered", "solved"],
        months: months.collect(),
    }
}

/// How far the cases of the period have come.
fn funnel(base: &Base<'_>) -> Drawing {
    let cases = base.cases(&base.registered(&base.period));
    let took = |events: &[&str]| {
        let reached = cases.that(|row| events.iter().any(|event| row.took(event)));
        reached.count().value
    };
    Drawing::Funnel {
        code: "way",
        steps: vec![
            ("way-registered", cases.count().value),
            ("way-accepted", took(&["accept", "answer_on_spot"])),
            (
                "way-answered",
                took(&["approve", "answer_along", "answer_on_spot"]),
            ),
            ("way-told", took(&["inform"])),
        ],
    }
}
