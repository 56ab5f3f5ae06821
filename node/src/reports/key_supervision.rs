//! R6 重点督办台账: what is supervised, by whose decision, and how it stands.

use super::quantities::Base;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R6: Definition = Definition {
    id: "R6",
    kinds: &["supervision", "deputy_suggestion", "opinion"],
    defines: &["key-level"],
    fill,
};

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
        "reported_back_on",
        "status",
        "face_reply",
    ];
    let mut table = Table::new("supervised", &columns);
    let mut supervised = base.all("supervision").during(&base.period);
    supervised
        .0
        .sort_by_key(|row| (row.day("decided_on"), row.id));
    for row in &supervised.0 {
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
            Cell::text(row.day("reported_back_on")),
            Cell::Status("supervision", row.status.clone()),
            Cell::Word(if row.is("principal_face_reply") {
                "yes"
            } else {
                "no"
            }),
        ]);
    }
    out.add(table);
    out.total("supervised", supervised.count());
    let suggestions = base.collected(&base.period);
    out.total("F2", base.key_ones(&suggestions, &base.period).count());
}
