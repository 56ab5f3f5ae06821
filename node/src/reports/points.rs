//! R9 采集点贡献: per site what it collected and what came of it. Each site that contributed to an item has the whole of it, so that the
//! columns add up to more than there is; sites stand in the order of their codes.

use std::collections::BTreeSet;

use super::known::Row;
use super::law::{KINDS, comments, result, sources};
use super::quantities::Base;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R9: Definition = Definition {
    id: "R9",
    kinds: &KINDS,
    defines: &["whole-credit"],
    fill,
};

fn fill(base: &Base<'_>, out: &mut Tables) {
    let said = comments(base).during(&base.period);
    let items = base.all("legis_item");
    let items = items.that(|row| !row.stands(&["dropped"]));
    let mut table = Table::new(
        "points",
        &["code", "site", "comments", "items", "adopted", "partly"],
    );
    let site_of = |row: &Row| base.known.site_of(row).map(|site| site.code.clone());
    let own = said.by(site_of);
    let contributed = items.by(|item| {
        let sources = sources(base, item);
        let said = sources.iter().filter_map(|id| base.known.row(id));
        let in_period = said.filter(|row| row.counts_on().is_some_and(|day| base.period.has(day)));
        let sites: BTreeSet<_> = in_period.filter_map(site_of).collect();
        sites
    });
    for site in &base.known.sites {
        let own = own.of(&site.code);
        let with_own = contributed.of(&site.code);
        let became = |code: &str| with_own.that(|row| result(row) == code).count();
        table.line([
            Cell::Text(site.code.clone()),
            Cell::Text(site.name.clone()),
            Cell::Count(own.count()),
            Cell::Count(with_own.count()),
            Cell::Count(became("adopted")),
            Cell::Count(became("partly")),
        ]);
    }
    out.add(table);
    out.total("comments", said.count());
}
