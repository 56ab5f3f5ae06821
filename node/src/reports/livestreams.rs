//! R14 直播期次表: session by session. Viewers of different sessions may be the same people: the last line says so, and is no number of persons.

use std::collections::BTreeSet;

use super::known::Row;
use super::quantities::Base;
use super::set::Set;
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R14: Definition = Definition {
    id: "R14",
    kinds: &["livestream", "opinion"],
    defines: &["confirmed", "viewers"],
    fill,
};

/// The opinions that a session names, and those that name it.
fn opinions_of<'a>(base: &Base<'a>, session: &Row) -> Set<'a> {
    let named = session.items("opinions");
    let named = named.filter_map(|given| base.known.named(given, &["opinion"]));
    let named: BTreeSet<_> = named.collect();
    let registered = base.all("opinion").that(|row| row.took("register"));
    registered.that(|row| {
        let event = row.text("source_event");
        let event = event.and_then(|given| base.known.named(given, &["livestream"]));
        named.contains(&row.id) || event == Some(session.id)
    })
}

fn fill(base: &Base<'_>, out: &mut Tables) {
    let mut sessions = base.confirmed("livestream", &base.period);
    sessions
        .0
        .sort_by_key(|row| (row.day("started_at"), row.int("session_no"), row.id));
    let heads = [
        "record",
        "session_no",
        "date",
        "subject",
        "hosts",
        "viewers",
        "peak",
        "discussants",
        "comments_count",
        "opinions",
    ];
    let mut table = Table::new("sessions", &heads);
    let mut all_told = Set::default();
    for row in &sessions.0 {
        let number = |key: &str| match row.int(key) {
            0 => Cell::None,
            number => Cell::Count(super::figures::single(row.key, number)),
        };
        let hosts = i64::try_from(row.items("hosts").count()).unwrap_or(i64::MAX);
        let told = opinions_of(base, row);
        table.line([
            Cell::record(row),
            Cell::Number(row.int("session_no")),
            Cell::text(row.day("started_at")),
            Cell::text(row.title.clone()),
            Cell::Number(hosts),
            number("cumulative_viewers"),
            number("peak_online"),
            number("discussants"),
            number("comments_count"),
            Cell::Count(told.count()),
        ]);
        all_told.0.extend(told.0);
    }
    table.head("may-repeat");
    let mut sums = vec![
        Cell::Word("in-all"),
        Cell::Count(sessions.count()),
        Cell::None,
        Cell::None,
        Cell::None,
    ];
    sums.push(Cell::Count(sessions.sum("cumulative_viewers")));
    sums.push(Cell::None);
    sums.push(Cell::Count(sessions.sum("discussants")));
    sums.push(Cell::Count(sessions.sum("comments_count")));
    sums.push(Cell::Count(all_told.count()));
    table.line(sums);
    out.add(table);
    out.total("sessions", sessions.count());
}
