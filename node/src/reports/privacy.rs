//! R16 隐私与安全月报: requests of people about their data, what was looked at, taken away and looked for with which reason, what is sealed, and which computers are silent. It
//! counts and names nobody.

use super::known::Row;
use super::quantities::{Base, Times, day_of, days};
use super::table::{Cell, Table};
use super::{Definition, Tables};
use crate::clock::Beijing;

pub(super) const R16: Definition = Definition {
    id: "R16",
    kinds: &["privacy_request", "access_log", "opinion", "consent"],
    defines: &["requests-days", "reveals"],
    fill,
};

/// The devices that enter records, by their codes: when something of each last arrived, and for how many days nothing has. What is erased
/// on the others is not erased there before they are heard of.
fn devices(base: &Base<'_>) -> Table {
    let today = base.today();
    let mut table = Table::new(
        "devices",
        &["device", "site", "last_arrival", "silent_days"],
    );
    for mark in &base.known.watermark {
        let last = mark.last_ms.map(|at| Beijing::of(at).iso_date());
        let silent = last.as_ref().and_then(|last| days(last, &today));
        table.line([
            Cell::Text(mark.code.clone()),
            Cell::Text(mark.site.clone()),
            Cell::text(last),
            silent.map_or(Cell::None, Cell::Number),
        ]);
    }
    table
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let period = &base.period;
    let requests = base.all("privacy_request").during(period);
    let mut table = Table::new(
        "privacy-requests",
        &["type", "received", "completed", "mean_days", "max_days"],
    );
    let ended = |row: &Row| day_of(row, &["complete", "complete_partial"]);
    let is_done = |row: &Row| row.stands(&["completed", "completed_partial"]);
    let took = |row: &Row| days(row.counts_on()?, &ended(row)?);
    for (kind, set) in requests.by(|row| row.text("type").map(str::to_owned)) {
        let done = set.that(is_done);
        let times = Times::of(&done, took);
        table.line([
            Cell::Choice("privacy_request", "type", kind),
            Cell::Count(set.count()),
            Cell::Count(done.count()),
            times.spread.map_or(Cell::None, |it| Cell::Tenths(it.mean)),
            times.spread.map_or(Cell::None, |it| Cell::Tenths(it.max)),
        ]);
    }
    out.add(table);
    Times::note(&[Times::of(&requests.that(is_done), took)], out);
    let seen = base.all("access_log").during(period);
    let mut table = Table::new("accesses", &["action", "count"]);
    for (action, set) in seen.by(|row| row.text("action").map(str::to_owned)) {
        table.line([
            Cell::Choice("access_log", "action", action),
            Cell::Count(set.count()),
        ]);
    }
    out.add(table);
    let sealed = base.all("opinion").that(|row| row.took("restrict"));
    let given = base.all("consent").during(period);
    let mut table = Table::new("kept", &["item", "count"]);
    table.line([Cell::Word("sealed"), Cell::Count(sealed.count())]);
    table.line([Cell::Word("consents"), Cell::Count(given.count())]);
    table.line([
        Cell::Word("consents-withdrawn"),
        Cell::Count(given.at(&["withdrawn"]).count()),
    ]);
    out.add(table);
    out.add(devices(base));
    out.total("requests", requests.count());
    out.total(
        "reveals",
        seen.having("action", &["reveal", "view_contact"]).count(),
    );
    out.total("accesses", seen.count());
    out.total("sealed", sealed.count());
}
