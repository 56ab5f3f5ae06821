//! R7 立法意见统计: what was said of each draft law.

use std::collections::BTreeSet;

use super::known::Row;
use super::law::{KINDS, SUBMITTED, comments, consultations, of};
use super::quantities::Base;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R7: Definition = Definition {
    id: "R7",
    kinds: &KINDS,
    defines: &["comments", "unique", "submitted", "late"],
    fill,
};

fn fill(base: &Base<'_>, out: &mut Tables) {
    let all = comments(base);
    let items = base.all("legis_item");
    let mut table = Table::new(
        "consultations",
        &[
            "record",
            "title",
            "received_on",
            "comments",
            "unique",
            "submitted_items",
            "late",
        ],
    );
    let mut kinds = Table::new("commenters", &["record", "commenter_kind", "comments"]);
    let mut sites = Table::new("comment-sites", &["record", "site", "comments"]);
    for consultation in &consultations(base).0 {
        let said = of(base, &all, consultation);
        let submitted = of(base, &items, consultation).at(&SUBMITTED);
        let once = said.distinct(|row| {
            let item = row
                .text("merged_item")
                .and_then(|given| base.known.named(given, &["legis_item"]));
            vec![item.unwrap_or(row.id).hyphenated()]
        });
        // A station that had not heard of the closing yet did not know that it was late.
        let until = consultation.day("site_due_on");
        let is_after = |row: &Row| {
            row.counts_on()
                .zip(until.as_deref())
                .is_some_and(|(on, until)| on > until)
        };
        let late = said.that(|row| row.is("late") || is_after(row));
        table.line([
            Cell::record(consultation),
            Cell::text(consultation.title.clone()),
            Cell::text(consultation.day("received_on")),
            Cell::Count(said.count()),
            Cell::Count(once),
            Cell::Count(submitted.count()),
            Cell::Count(late.count()),
        ]);
        for (kind, set) in said.by(|row| row.text("commenter_kind").map(str::to_owned)) {
            kinds.line([
                Cell::record(consultation),
                Cell::Choice("legis_comment", "commenter_kind", kind),
                Cell::Count(set.count()),
            ]);
        }
        let by_site = said.by(|row| {
            let site = base.known.site_of(row);
            site.map(|site| (&site.code, &site.name))
        });
        for ((_, name), set) in by_site {
            sites.line([
                Cell::record(consultation),
                Cell::Text(name.clone()),
                Cell::Count(set.count()),
            ]);
        }
    }
    out.add(table);
    out.add(kinds);
    out.add(sites);
    let shown: BTreeSet<_> = consultations(base).0.iter().map(|row| row.id).collect();
    let said = all
        .that(|row| super::law::consultation_of(base, row).is_some_and(|id| shown.contains(&id)));
    out.total("comments", said.count());
    let submitted = items.at(&SUBMITTED);
    let submitted = submitted
        .that(|row| super::law::consultation_of(base, row).is_some_and(|id| shown.contains(&id)));
    out.total("submitted", submitted.count());
}
