//! R10 代表履职登记表: what each deputy took part in, for the deputy (代表法 2025, article 58). In the order of names; nothing is added up over
//! different kinds of work, scored or ranked.

use super::figures::{TOOK_PART, note_unmatched};
use super::known::Whose;
use super::quantities::Base;
use super::set::{Figure, Set};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R10: Definition = Definition {
    id: "R10",
    kinds: &[
        "reception",
        "visit",
        "theme_activity",
        "deputy_suggestion",
        "training",
        "inspection",
        "meeting",
    ],
    defines: &["confirmed", "no-scores"],
    fill,
};

type Count = fn(&Set<'_>) -> Figure;

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let suggestions = base.collected(period);
    let confirmed = |kind: &str| base.confirmed(kind, period);
    // A column: its records, the fields in which they name deputies, and what is counted.
    let count: Count = |set| set.count();
    let hours: Count = |set| set.sum("hours");
    let columns: [(Set<'_>, &[&str], Count); 9] = [
        (confirmed("reception"), &["deputies_present"], count),
        (confirmed("visit"), &["deputies"], count),
        (confirmed("theme_activity"), &TOOK_PART, count),
        (confirmed("meeting"), &["deputies"], count),
        (suggestions.clone(), &["lead_deputy"], count),
        (suggestions, &["co_deputies"], count),
        (confirmed("training"), &["attendees"], count),
        (confirmed("training"), &["attendees"], hours),
        (confirmed("inspection"), &["deputies"], count),
    ];
    let split = columns.iter().map(|(set, fields, count)| {
        let by = set.by(|row| base.deputies(row, fields));
        (by, count)
    });
    let split: Vec<_> = split.collect();
    let listed = base
        .known
        .of("deputy")
        .filter(|row| !row.kind.is_gone(&row.status));
    let mut deputies: Vec<_> = listed.map(|row| Whose::Record(row.id)).collect();
    deputies.extend(split.iter().flat_map(|(by, _)| by.keys().cloned()));
    deputies.sort_by_key(|whose| (base.known.called(whose), whose.clone()));
    deputies.dedup();
    let heads = [
        "deputy",
        "receptions",
        "visits",
        "activities",
        "meetings",
        "suggestions_lead",
        "suggestions_joint",
        "trainings",
        "training_hours",
        "inspections",
    ];
    let mut table = Table::new("deputies", &heads);
    for whose in deputies {
        let figures = split.iter().map(|(by, count)| count(&by.of(&whose)));
        let name = Cell::Text(base.known.called(&whose));
        table.line([name].into_iter().chain(figures.map(Cell::Count)));
    }
    out.add(table);
    for (set, fields, _) in &columns {
        note_unmatched(base, set, fields, out);
    }
    out.merge_notes();
}
