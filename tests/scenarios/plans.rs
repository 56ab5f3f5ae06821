//! What pages, lists and commands ask of the store costs what it shows: every statement that they run is traced and its plan is
//! read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use lianxin_node::actor::Actor;
use lianxin_node::records::delivery::{self, Coverage, Delivery, State};
use lianxin_node::records::inbox;
use lianxin_node::records::waiting::{Order, Waiting};
use lianxin_node::records::{self, Filter};
use lianxin_node::store::Store;
use lianxin_node::{command::Query, requests};
use lianxin_protocol::catalogue::Catalogue;
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use lianxin_tests::world::{HUB, World, opinion};

/// Tables that grow with what the store holds.
const LARGE: [&str; 15] = [
    "records",
    "touches",
    "parts",
    "segments",
    "mentions",
    "logs",
    "receipts",
    "arrivals",
    "held",
    "missing",
    "requests",
    "answers",
    "indexed_fields",
    "inbox",
    "texts_of",
];

/// Indices that are read from one end: they have the rows that are asked for and no other, or they have them in the order of the
/// page, which ends when it is full.
const CHEAP: [&str; 12] = [
    "records_arrived",
    "records_reached",
    "records_held",
    "records_conflicts",
    "records_disputed",
    "records_lost",
    "records_sealed",
    "receipts_excepted",
    "held_back",
    "requests_open",
    "requests_at",
    "texts_of_waiting",
];

/// The plan of a statement, a step a line.
fn plan(connection: &Connection, sql: &str) -> Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps = statement.query_map([], |row| row.get(3))?;
    Ok(steps.collect::<std::result::Result<_, _>>()?)
}

/// Whether a step of a plan looks at all of a large table.
fn is_dear(step: &str) -> bool {
    let scans = |table: &&str| {
        let rest = step
            .strip_prefix("SCAN ")
            .and_then(|rest| rest.strip_prefix(*table));
        rest.is_some_and(|rest| {
            (rest.is_empty() || rest.starts_with(' ')) && !CHEAP.iter().any(|it| rest.ends_with(it))
        })
    };
    LARGE.iter().any(scans)
}

#[test]
fn no_hot_statement_looks_at_what_it_does_not_show() -> Result<()> {
    const STATION: usize = 1;
    let mut world = World::with_stations(1, 1)?;
    let (id, number) = world.record(STATION, "opinion", opinion("路灯不亮"))?;
    world.heal()?;
    for node in [HUB, STATION] {
        let directory = world.node(node)?.directory.clone();
        let writer = world.writer(node)?;
        let mut connection = Store::open(&directory)?.reader()?;
        let traced = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&traced);
        let note = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(statement, _) = event
                && let Some(sql) = statement.expanded_sql()
            {
                noted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(sql);
            }
        };
        connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note))?;
        let coverage = Coverage::of(&writer.journal);
        let owner = Actor::owner(&writer.journal).owning_the_store();
        let search = |typed: &str| Some((typed.to_owned(), owner.clone()));
        let some = |it: &str| Some(it.to_owned());
        let space = records::rows(&connection, &[records::find(&connection, &id)?])?;
        let space = space.first().map(|row| row.space).context("no row")?;
        let filters = [
            Filter::default(),
            Filter {
                whole: true,
                ..Filter::default()
            },
            Filter {
                kind: some("opinion"),
                ..Filter::default()
            },
            Filter {
                kind: some("opinion"),
                status: some("registered"),
                ..Filter::default()
            },
            Filter {
                status: some("registered"),
                ..Filter::default()
            },
            Filter {
                conflicts: Some(true),
                ..Filter::default()
            },
            Filter {
                held: Some(true),
                ..Filter::default()
            },
            Filter {
                space: Some(space),
                ..Filter::default()
            },
            Filter {
                recorded_ms: Some((1_700_000_000_000, 1_900_000_000_000)),
                whole: true,
                stands: true,
                ..Filter::default()
            },
            Filter {
                recorded_ms: Some((1_700_000_000_000, 1_900_000_000_000)),
                kind: some("opinion"),
                status: some("registered"),
                ..Filter::default()
            },
        ];
        let values = |values: &[(&str, &str)]| -> BTreeMap<String, String> {
            let values = values.iter();
            values
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        let by_value = [
            Filter {
                kind: some("opinion"),
                values: values(&[("category", "help")]),
                ..Filter::default()
            },
            Filter {
                kind: some("opinion"),
                status: some("registered"),
                values: values(&[("category", "help"), ("due_on", "2026-12-31")]),
                ..Filter::default()
            },
            Filter {
                values: values(&[("due_on", "2026-12-31")]),
                conflicts: Some(true),
                ..Filter::default()
            },
            Filter {
                values: values(&[("unit", "水务公司"), ("due_on", "2026-12-31")]),
                ..Filter::default()
            },
        ];
        // Numbers are read from end to end, in an index: words are not.
        let by_words = [
            Filter {
                search: search("路灯"),
                ..Filter::default()
            },
            Filter {
                search: search("灯"),
                kind: some("opinion"),
                values: values(&[("category", "help")]),
                ..Filter::default()
            },
        ];
        let filters = filters.into_iter().chain(by_value).chain(by_words);
        let after = records::rows(&connection, &[records::find(&connection, &id)?])?;
        let after = after.first().map(|row| row.id);
        for filter in filters {
            let wanted = [None].into_iter().chain(State::ALL.map(Some));
            for state in wanted {
                for after in [None, after] {
                    let filter = Filter {
                        limit: 50,
                        after,
                        ..filter.clone()
                    };
                    delivery::list(&connection, &coverage, filter, state)?;
                }
            }
        }
        for space in [None, Some(&space)] {
            let kind = Catalogue::standard().kind("opinion").context("opinion")?;
            let status = kind.status("registered").context("registered")?;
            let category = [("category".to_owned(), "help".to_owned())];
            for values in [BTreeMap::new(), category.into()] {
                let waiting = || {
                    let mut waiting = Waiting::of(kind, status, 1_800_000_000_000);
                    (waiting.space, waiting.values) = (space.copied(), values.clone());
                    waiting
                };
                let mut newest = waiting();
                newest.order = Order::Newest;
                let (mut soon, mut urgent) = (waiting(), waiting());
                soon.due = Some((Some(0), 8));
                urgent.urgent = true;
                for waiting in [waiting(), newest, urgent, soon] {
                    waiting.first(&connection, 50)?;
                    waiting.count(&connection)?;
                }
            }
            records::count(&connection, ("opinion", "registered"), space)?;
        }
        let day = (1_700_000_000_000, 1_900_000_000_000);
        let elsewhere = lianxin_protocol::space::SpaceId([7; 32]);
        let (made, _) = records::recorded(&connection, day, &elsewhere)?;
        ensure!(made > 0, "what was recorded is counted");
        records::came(&connection, "opinion", day.0, day.1)?;
        records::tally(&connection, "opinion")?;
        records::find(&connection, &number)?;
        let key = records::find(&connection, &id)?;
        coverage.judged(&connection, key)?;
        requests::open(&connection)?;
        requests::with_id(&connection, &[7; 32])?;
        let record = after.context("no row")?;
        for after in [None, Some(&record)] {
            records::disputed(&connection, after, 30)?;
        }
        records::oldest_dispute_ms(&connection)?;
        let place = (1_800_000_000_000, [7; 32], "answered".to_owned());
        for (seen, after) in [(false, None), (true, Some(&place))] {
            inbox::list(&connection, "someone", seen, after, 50)?;
        }
        inbox::unread(&connection, "someone")?;
        Delivery::read(&connection, &mut writer.journal)?;
        delivery::waiting(&connection, &mut writer.journal, 50)?;
        records::held_count(&connection)?;
        records::stale(&connection, &writer.journal, 256)?;
        for query in [
            Query::Status {
                unreceipted_minutes: 5,
            },
            Query::RecordShow {
                id: id.clone(),
                account: None,
            },
            Query::RecordHistory {
                id: id.clone(),
                account: None,
            },
            Query::RequestList { limit: None },
        ] {
            query.execute(&mut writer.journal, &connection)?;
        }
        let traced = std::mem::take(&mut *traced.lock().unwrap_or_else(PoisonError::into_inner));
        ensure!(traced.len() > 100, "nothing was traced: {}", traced.len());
        let mut dear = Vec::new();
        for sql in traced
            .iter()
            .filter(|sql| sql.starts_with("SELECT") || sql.starts_with("WITH"))
        {
            for step in plan(&connection, sql)? {
                // What the index of texts names is sorted when it is little.
                let sorts = step.contains("FOR ORDER BY")
                    && sql.contains("arrived DESC")
                    && !sql.contains("AS among");
                if is_dear(&step) || sorts {
                    dear.push(format!("{step}\n    {sql}"));
                }
            }
        }
        dear.sort();
        dear.dedup();
        ensure!(dear.is_empty(), "node {node}:\n{}", dear.join("\n"));
    }
    Ok(())
}

#[test]
fn a_dear_plan_is_told_from_a_cheap_one() {
    assert!(is_dear("SCAN records"));
    assert!(is_dear("SCAN records USING INDEX records_former"));
    assert!(!is_dear("SCAN records USING INDEX records_held"));
    assert!(!is_dear("SEARCH records USING INDEX records_kind (kind=?)"));
    assert!(!is_dear("SCAN peers"));
    assert!(is_dear("SCAN logs"));
}
