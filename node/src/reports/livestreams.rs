//! R14 直播期次表: session by session. Viewers of different sessions may be the same people: the last line says so, and is no number of persons.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::log::RecordId;

use super::known::Row;
use super::quantities::Base;
use super::set::{Set, Split};
use super::table::{Cell, Table};
use super::{Definition, Tables};

pub(super) const R14: Definition = Definition {
    id: "R14",
    kinds: &["livestream", "opinion"],
    defines: &["confirmed", "viewers"],
    fill,
};

/// Registered opinions by the sessions that name them, and that they name.
fn told_in<'a>(base: &Base<'a>, sessions: &Set<'_>) -> Split<'a, RecordId> {
    let named = sessions.0.iter().flat_map(|session| {
        let named = session.items("opinions");
        let named = named.filter_map(|given| base.known.named(given, &["opinion"]));
        named.map(|opinion| (opinion, session.id))
    });
    let mut naming: BTreeMap<RecordId, BTreeSet<RecordId>> = BTreeMap::new();
    for (opinion, session) in named {
        naming.entry(opinion).or_default().insert(session);
    }
    let registered = base.all("opinion").that(|row| row.took("register"));
    registered.by(|row| {
        let event = row.text("source_event");
        let event = event.and_then(|given| base.known.named(given, &["livestream"]));
        let mut all = naming.get(&row.id).cloned().unwrap_or_default();
        all.extend(event);
        all
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
    let told = told_in(base, &sessions);
    // What was told in two sessions was told once.
    let mut in_all: BTreeMap<RecordId, &Row> = BTreeMap::new();
    for row in &sessions.0 {
        let number = |key: &str| match row.int(key) {
            0 => Cell::None,
            number => Cell::Count(super::figures::single(row.key, number)),
        };
        let hosts = i64::try_from(row.items("hosts").count()).unwrap_or(i64::MAX);
        let told = told.of(&row.id);
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
        in_all.extend(told.0.iter().map(|opinion| (opinion.id, *opinion)));
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
    let in_all: Set<'_> = in_all.into_values().collect();
    sums.push(Cell::Count(in_all.count()));
    table.line(sums);
    out.add(table);
    out.total("sessions", sessions.count());
}
