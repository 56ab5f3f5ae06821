//! R6 重点督办台账: what is supervised, by whose decision, and how it stands: what was decided in the period, and what had been decided before and
//! went on in it. What is said of how it goes is kept as a text, which reports do not read: they say when that was last.

use super::known::Row;
use super::quantities::Base;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R6: Definition = Definition {
    id: "R6",
    kinds: &["supervision", "deputy_suggestion", "opinion"],
    defines: &["key-level"],
    fill,
};

fn line(base: &Base<'_>, table: &mut Table, row: &Row) {
    let given = row.text("target").unwrap_or_default();
    let target = base.known.named(given, &["deputy_suggestion", "opinion"]);
    let target = target.and_then(|id| base.known.row(&id));
    // Of one that is kept from some neither title nor proposer stands in a report.
    let shown = target.filter(|it| it.title.is_some());
    // Who brought an opinion is nobody's to read here.
    let suggested = shown.filter(|it| it.kind.code == "deputy_suggestion");
    let proposer =
        suggested.and_then(|it| it.text("delegation").or_else(|| it.text("lead_deputy")));
    let title = shown.and_then(|it| it.title.clone());
    table.line([
        Cell::record(row),
        target.map_or_else(|| Cell::text(Some(given)), Cell::record),
        Cell::text(title),
        Cell::text(proposer.map(|it| base.known.call(it, &["deputy"]))),
        Cell::Choice(
            "supervision",
            "level",
            row.text("level").unwrap_or_default().to_owned(),
        ),
        Cell::text(row.text("unit").map(|it| base.known.call(it, &["org"]))),
        Cell::text(row.day("decided_on")),
        Cell::text(row.day("due_on")),
        Cell::text(row.last(&["update"]).map(|step| step.day())),
        Cell::text(row.day("reported_back_on")),
        Cell::Status("supervision", row.status.clone()),
        Cell::Word(if row.is("principal_face_reply") {
            "yes"
        } else {
            "no"
        }),
    ]);
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let columns = [
        "record",
        "target",
        "title",
        "proposer",
        "level",
        "unit",
        "decided_on",
        "due_on",
        "progressed_on",
        "reported_back_on",
        "status",
        "face_reply",
    ];
    let period = &base.period;
    let all = base.all("supervision");
    let decided = all.during(period);
    // Its end is a day of the period, or has not come.
    let goes_on = |row: &Row| {
        let ended = row.last(&["close"]).filter(|_| row.stands(&["closed"]));
        let ended = ended.map(|step| row.day("reported_back_on").unwrap_or_else(|| step.day()));
        ended.is_none_or(|day| day >= period.from)
    };
    let before = all.that(|row| row.counts_on().is_some_and(|day| *day < *period.from));
    let before = before.that(goes_on);
    let mut table = Table::new("supervised", &columns);
    for (head, set) in [("decided-before", &before), ("decided-in", &decided)] {
        if !before.is_empty() && !set.is_empty() {
            table.head(head);
        }
        let mut rows = set.0.clone();
        rows.sort_by_key(|row| (row.day("decided_on"), row.id));
        for row in rows {
            line(base, &mut table, row);
        }
    }
    out.add(table);
    out.total("supervised", decided.count());
    out.total("supervised-before", before.count());
    let suggestions = base.collected(&base.period);
    out.total("F2", base.key_ones(&suggestions, &base.period).count());
}
