//! R2 站点活动统计: what each site did, in the order of their codes. No site is ranked, and no column adds up persons of different sites.

use lianxin_protocol::space::SpaceId;

use super::figures::{key_of, note_unmatched};
use super::quantities::Base;
use super::set::{Set, Split};
use super::table::{Cell, Table};
use super::{Definition, Tables};
use crate::clock::Beijing;

pub(super) const R2: Definition = Definition {
    id: "R2",
    kinds: &[
        "reception",
        "opinion",
        "legis_comment",
        "legis_item",
        "visit",
        "meeting",
        "theme_activity",
        "livestream",
        "training",
        "inspection",
        "service_activity",
        "register",
    ],
    defines: &[
        "REC",
        "SPOT",
        "SOL",
        "opening-days",
        "passed-on",
        "late-entries",
    ],
    fill,
};

/// Kinds whose records are events of a site.
const EVENTS: [&str; 8] = [
    "reception",
    "visit",
    "meeting",
    "theme_activity",
    "livestream",
    "training",
    "inspection",
    "service_activity",
];

const COLUMNS: [&str; 18] = [
    "code",
    "site",
    "opening_days",
    "receptions",
    "deputies",
    "deputy_times",
    "visitors",
    "REC",
    "SPOT",
    "SOL",
    "comments",
    "submitted",
    "adopted",
    "events",
    "passed_on",
    "passed_here",
    "late_entries",
    "last_arrival",
];

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let receptions = base.confirmed("reception", period);
    let registered = base.registered(period);
    let spot = registered.that(|row| row.took("answer_on_spot"));
    let solved = base.solved(period);
    let comments = base
        .all("legis_comment")
        .that(|row| row.took("collect"))
        .during(period);
    let submitted = comments.that(|row| row.took("submit"));
    let adopted = comments.having("adoption.result", &["adopted"]);
    let duty = base
        .all("register")
        .having("type", &["duty_roster"])
        .during(period);
    let mut events = Set::default();
    for kind in EVENTS {
        events.0.extend(base.confirmed(kind, period).0);
    }
    let mut written = registered.clone();
    written.0.extend(comments.0.iter().chain(&events.0));
    let mut passed = registered.that(|row| row.took("transfer"));
    passed.0.extend(comments.that(|row| row.took("transfer")).0);
    // By the site that they were passed to. Who reads one site alone does not know what others passed to it.
    let passed_here = Set(passed.0.clone(), base.known.other_sites);
    let passed_here = passed_here.by(|row| {
        let to = base.known.site_named(row.text("transferred_to")?);
        Some(to.map(|site| site.space))
    });
    note_unmatched(base, &receptions, &["deputies_present"], out);
    let mut table = Table::new("stations", &COLUMNS);
    let [
        receptions,
        registered,
        spot,
        solved,
        comments,
        submitted,
        adopted,
        duty,
        events,
        passed,
        written,
    ] = [
        &receptions,
        &registered,
        &spot,
        &solved,
        &comments,
        &submitted,
        &adopted,
        &duty,
        &events,
        &passed,
        &written,
    ]
    .map(|set| split_by_site(base, set));
    let lines = base.known.sites.iter().map(Some).chain([None]);
    for site in lines {
        let of = |split| of_site(split, site.map(|site| site.space));
        let held = of(&receptions);
        let present = |row: &super::known::Row| -> Vec<String> {
            base.deputies(row, &["deputies_present"])
                .iter()
                .map(key_of)
                .collect()
        };
        let mut open = of(&duty);
        open.0.extend(&held.0);
        let all = of(&written);
        // What is of no site stands last, if there is any: without it the columns would not add up to the year's figures.
        let came = of_site(&passed_here, site.map(|site| site.space));
        if site.is_none() && all.is_empty() && open.is_empty() && came.is_empty() {
            continue;
        }
        let marks = base.known.watermark.iter();
        let marks = marks.filter(|mark| site.is_some_and(|site| mark.site == site.name));
        let last = marks.filter_map(|mark| mark.last_ms).max();
        table.line([
            Cell::text(site.map(|site| site.code.clone())),
            site.map_or(Cell::Word("no-site"), |site| Cell::Text(site.name.clone())),
            Cell::Count(
                open.distinct(|row| row.counts_on().map(str::to_owned).into_iter().collect()),
            ),
            Cell::Count(held.count()),
            Cell::Count(held.distinct(present)),
            Cell::Count(held.sum_of(|row| i64::try_from(present(row).len()).unwrap_or(i64::MAX))),
            Cell::Count(held.sum("visitors_times")),
            Cell::Count(of(&registered).count()),
            Cell::Count(of(&spot).count()),
            Cell::Count(of(&solved).count()),
            Cell::Count(of(&comments).count()),
            Cell::Count(of(&submitted).count()),
            Cell::Count(of(&adopted).count()),
            Cell::Count(of(&events).count()),
            Cell::Count(of(&passed).count()),
            Cell::Count(came.count()),
            Cell::Ratio(
                all.that(super::known::Row::is_late_entry).count(),
                all.count(),
            ),
            Cell::text(last.map(|at| Beijing::of(at).text())),
        ]);
    }
    out.add(table);
    out.total("REC", base.registered(period).count());
    out.total("SOL", base.solved(period).count());
    out.total("receptions", base.confirmed("reception", period).count());
}

fn of_site<'a>(split: &Split<'a, Option<SpaceId>>, site: Option<SpaceId>) -> Set<'a> {
    split.of(&site)
}

/// Records by their site; what is the sub-district's own is of none.
fn split_by_site<'a>(base: &Base<'_>, set: &Set<'a>) -> Split<'a, Option<SpaceId>> {
    set.by(|row| [base.known.site_of(row).map(|site| site.space)])
}
