//! R13 主题月活动汇总: month by month its theme, and what was done under it.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::log::RecordId;

use super::drawing::Drawing;
use super::figures::{Figures, TOOK_PART, note_unmatched};
use super::known::Row;
use super::quantities::{Base, is_unsettled};
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R13: Definition = Definition {
    id: "R13",
    kinds: &["theme_month", "theme_activity", "donation", "mediation"],
    defines: &["confirmed", "distinct", "person-times"],
    fill,
};

fn month(row: &Row) -> Vec<String> {
    let by_date = || {
        row.counts_on()
            .and_then(|day| Some(day.get(..7)?.to_owned()))
    };
    let month = row.text("year_month").or_else(|| row.text("month"));
    month
        .map(str::to_owned)
        .or_else(by_date)
        .into_iter()
        .collect()
}

/// Records of a kind that these activities name in a field, or that name one of them.
fn belonging<'a>(
    base: &Base<'a>,
    activities: &Set<'_>,
    (kind, field): (&str, &str),
    by: &str,
) -> Set<'a> {
    let ids: BTreeSet<RecordId> = activities.0.iter().map(|row| row.id).collect();
    let named = activities.0.iter().flat_map(|row| row.items(field));
    let named: BTreeSet<_> = named
        .filter_map(|given| base.known.named(given, &[kind]))
        .collect();
    let all = base.all(kind).that(|row| {
        let of = row
            .text(by)
            .and_then(|given| base.known.named(given, &["theme_activity"]));
        named.contains(&row.id) || of.is_some_and(|id| ids.contains(&id))
    });
    // Each counts by its own day, whenever the activity was.
    all.during(&base.period)
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let figures = Figures(base);
    let activities = base.confirmed("theme_activity", &base.period);
    let by_month = activities.by(month);
    let mut themes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in &base.all("theme_month").during(&base.period).0 {
        for month in month(row) {
            themes.entry(month).or_default().extend(row.title.clone());
        }
    }
    for (month, set) in &by_month {
        let named = set.0.iter().filter_map(|row| row.text("theme"));
        let named = named.map(|given| base.known.call(given, &["theme_month"]));
        let known = themes.entry(month.clone()).or_default();
        for theme in named {
            if !known.contains(&theme) {
                known.push(theme);
            }
        }
    }
    let months: BTreeSet<_> = by_month.keys().chain(themes.keys()).cloned().collect();
    let heads = [
        "month",
        "theme",
        "activities",
        "deputies",
        "served",
        "donated",
        "disputes",
    ];
    let mut table = Table::new("theme-months", &heads);
    let row = |name: Cell, theme: Cell, set: &Set<'_>| {
        let donated = belonging(base, set, ("donation", "donations"), "related_activity");
        let disputes = belonging(base, set, ("mediation", "mediations"), "source_event");
        let agreed = disputes.having("result", &["agreed"]);
        let agreed = agreed.that(|row| !is_unsettled(row));
        [
            name,
            theme,
            Cell::Count(set.count()),
            Cell::Count(figures.district_deputies(set)),
            Cell::Count(set.sum("persons_served_times")),
            Cell::Money(Figures::donations(&donated)),
            Cell::Count(agreed.count()),
        ]
    };
    let mut drawn = Vec::new();
    for month in months {
        let set = by_month.of(&month);
        let (held, served) = (set.count().value, set.sum("persons_served_times").value);
        drawn.push((month.clone(), [held, served]));
        let theme = themes.get(&month).map(|themes| themes.join("、"));
        table.line(row(
            Cell::Text(month),
            Cell::text(theme.filter(|it| !it.is_empty())),
            &set,
        ));
    }
    out.draw(Drawing::Months {
        code: "activities-by-month",
        series: ["activities", "served"],
        months: drawn,
    });
    let theme = |row: &Row| Some(base.known.call(row.text("theme")?, &["theme_month"]));
    let by_theme = activities.by(theme).into_iter();
    let by_theme = by_theme.map(|(theme, set)| (Cell::Text(theme), set.count().value));
    out.draw(Drawing::Categories {
        code: "activities-by-theme",
        of: by_theme.collect(),
    });
    table.head("in-all");
    table.line(row(Cell::Word("in-all"), Cell::None, &activities));
    out.add(table);
    out.total("activities", activities.count());
    out.total("served", activities.sum("persons_served_times"));
    note_unmatched(base, &activities, &TOOK_PART, out);
}
