//! What people wait for, and what a live save costs, however much a hub has: real processes, real pages.
//!
//! `cargo bench -p lianxin-tests --bench pages [-- SIZE …]` prints a row a size (default 10,000 records) with 1,000 sites; sizes
//! grow one store, so name them in rising order. `-- join SIZE` prints how soon a device that joins such a hub is of use, and
//! `-- live` what a save costs a hub with sessions open. Build the program first. Figures are of one run on one machine; nothing here is a test.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a benchmark reads the clock, prints, and may fail loudly"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lianxin_node::command::{Command, Listing, Query, Write};
use lianxin_node::daemon::Node;
use lianxin_node::setup::{self, HubInit};
use lianxin_node::socket::{self, Request};
use lianxin_node::store::Store;
use lianxin_node::sync::join::Ticket;
use lianxin_node::sync::peer::Until;
use lianxin_node::writer::Writer;
use lianxin_tests::load::{self, Hub, Visitor, Words, invite, opinion, run};
use serde_json::Value;

/// As the program has it: a merge is half allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sites of the hub.
const SITES: usize = 1_000;
/// Rows written in one transaction while records are made, which is not measured.
const CHUNK: usize = 500;
/// How often each thing is done.
const TIMES: usize = 30;
/// How often a report is made, which reads all records.
const TIMES_REPORT: usize = 5;
/// Stations that have a session open while one of them saves.
const STATIONS: usize = 60;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let sizes = arguments.iter().filter_map(|arg| arg.parse().ok());
    let mut sizes: Vec<usize> = sizes.collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let scratch = std::env::temp_dir().join(format!("lianxin-pages-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    if sizes.is_empty() {
        sizes.push(10_000);
    }
    let done = match arguments.first().map(String::as_str) {
        Some("live") => runtime.block_on(live(&scratch)),
        Some("join") => runtime.block_on(joins(&scratch, sizes[0])),
        _ => runtime.block_on(pages(&scratch, &sizes)),
    };
    std::fs::remove_dir_all(&scratch)?;
    done
}

/// A site's code: two letters and a digit.
fn code(at: usize) -> String {
    let letter = |nth: usize| char::from(b'A' + u8::try_from(nth % 26).unwrap_or_default());
    format!("{}{}{}", letter(at / 260), letter(at / 10), at % 10)
}

fn hub_init(directory: &Path, sites: usize) -> Result<()> {
    let card = directory.with_extension("card");
    let init = HubInit {
        web: None,
        name: "示例街",
        code: Some("SLJD"),
        listen: None,
        recovery_out: Some(&card),
    };
    setup::hub_init(directory, &init)?;
    let mut writer = Writer::open(&Store::open(directory)?)?;
    for at in 0..sites {
        let site = Write::SiteCreate {
            name: format!("测试社区{at}"),
            kind: "workstation".to_owned(),
            code: Some(code(at)),
        };
        run(&mut writer, site)?;
    }
    Ok(())
}

/// One session in which all is sent and judged.
async fn session(directory: &Path, hub: &Hub) -> Result<()> {
    let node = Node::start(&Store::open(directory)?, "127.0.0.1:0".parse()?)?;
    let key = node
        .writer
        .after_wait(|_, connection| setup::hub_of(connection))?;
    let (key, _) = key.context("no hub")?;
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let names = [hub.address.to_string()];
    node.net.session(&names, key, Until::InSync, stop).await?;
    node.stop().await;
    Ok(())
}

/// Median and worst of many, in milliseconds.
fn time(work: impl FnMut(usize) -> Result<()>) -> Result<String> {
    time_of(TIMES, work)
}

/// The same of so many.
fn time_of(times: usize, mut work: impl FnMut(usize) -> Result<()>) -> Result<String> {
    let mut taken = Vec::with_capacity(times);
    for nth in 0..times {
        let started = Instant::now();
        work(nth)?;
        taken.push(started.elapsed().as_secs_f64() * 1_000.0);
    }
    taken.sort_by(f64::total_cmp);
    let at = |place: usize| taken.get(place).copied().unwrap_or_default();
    Ok(format!("{:.1} / {:.1}", at(times / 2), at(times - 1)))
}

fn ask(directory: &Path, command: impl Into<Command>) -> Result<Value> {
    let command = command.into();
    let reply = socket::ask(
        directory,
        &Request::Execute {
            command: Box::new(command),
        },
    )?;
    Ok(reply.context("nobody answers")?.value)
}

fn all() -> Query {
    Query::RecordList(Listing {
        limit: Some(1),
        ..Listing::default()
    })
}

/// A page of the records that say a text.
fn found(text: &str) -> Query {
    Query::RecordList(Listing {
        search: Some(text.to_owned()),
        limit: Some(50),
        ..Listing::default()
    })
}

/// A hub with sites, and a station of one of them that has met it.
async fn hub_and_station(scratch: &Path) -> Result<[PathBuf; 2]> {
    let (hub_dir, station_dir) = (scratch.join("hub"), scratch.join("station"));
    hub_init(&hub_dir, SITES)?;
    let ticket = invite(&mut Writer::open(&Store::open(&hub_dir)?)?, &code(1))?;
    let hub = Hub::start(&hub_dir)?;
    load::join(&station_dir, &ticket, &hub).await?;
    // It learns where it stands.
    session(&station_dir, &hub).await?;
    Ok([hub_dir, station_dir])
}

/// Makes records at a station until it has so many.
fn fill(directory: &Path, words: &mut Words, made: &mut usize, size: usize) -> Result<()> {
    let mut writer = Writer::open(&Store::open(directory)?)?;
    while *made < size {
        let rows = (*made..(*made + CHUNK).min(size)).map(|at| opinion(words, at).0);
        let rows: Vec<_> = rows.collect();
        *made += rows.len();
        let add = Write::RecordAdd {
            kind: "opinion".to_owned(),
            rows,
            first_row: 1,
            account: None,
        };
        run(&mut writer, add)?;
    }
    Ok(())
}

async fn pages(scratch: &Path, sizes: &[usize]) -> Result<()> {
    let [hub_dir, station_dir] = hub_and_station(scratch).await?;
    println!(
        "{SITES} sites; median / worst of {TIMES} in ms; R1 and R4 of {TIMES_REPORT}; csv, all opinions as a table, once\n"
    );
    println!(
        "| records | `/` | list | one kind | in a state | form | record | search | search by command | `/conflicts` | \
         `/sites` | status | digest | R1 | R4 | csv | save | station: `/` | list | save | save while verifying: median / p99 / worst (saves) | while reprojecting |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let (mut words, mut made) = (Words(42), 0);
    for size in sizes {
        let begun = Instant::now();
        fill(&station_dir, &mut words, &mut made, *size)?;
        let filled = begun.elapsed();
        let hub = Hub::start(&hub_dir)?;
        // It may be told that all is there before all is listed.
        for _ in 0..10 {
            session(&station_dir, &hub).await?;
        }
        eprintln!(
            "filled in {filled:.1?}, with sessions {:.1?}",
            begun.elapsed()
        );
        let at_hub = row(&hub_dir, &hub, &mut words)?;
        drop(hub);
        let station = Hub::start(&station_dir)?;
        let at_station = station_row(&station_dir, &station, &mut words)?;
        println!(
            "| {size} | {} | {} |",
            at_hub.join(" | "),
            at_station.join(" | ")
        );
    }
    Ok(())
}

/// The ids of a page of the list, and where the next begins.
fn listed(
    directory: &Path,
    limit: usize,
    after: Option<String>,
) -> Result<(Vec<String>, Option<String>)> {
    let list = Query::RecordList(Listing {
        limit: Some(limit),
        after,
        ..Listing::default()
    });
    let page = ask(directory, list)?;
    let rows = page["records"].as_array().context("no list")?.iter();
    let ids = rows
        .filter_map(|row| row["id"].as_str())
        .map(str::to_owned)
        .collect();
    Ok((ids, page["next"].as_str().map(str::to_owned)))
}

/// How many records a device lists.
fn count(directory: &Path) -> Result<usize> {
    let (mut count, mut after) = (0, None);
    loop {
        let (ids, next) = listed(directory, 500, after)?;
        count += ids.len();
        if next.is_none() {
            return Ok(count);
        }
        after = next;
    }
}

fn save(directory: &Path, words: &mut Words, name: &str) -> Result<()> {
    let (mut record, _) = opinion(words, 0);
    record["submission_id"] = name.into();
    let add = Write::RecordAdd {
        kind: "opinion".to_owned(),
        rows: vec![record],
        first_row: 1,
        account: None,
    };
    let added = ask(directory, add)?;
    if added["records"].as_array().is_none_or(Vec::is_empty) {
        bail!("nothing was saved: {added}");
    }
    Ok(())
}

fn row(directory: &Path, hub: &Hub, words: &mut Words) -> Result<Vec<String>> {
    let visitor = Visitor::of(hub)?;
    // A search right after so much was taken in looks into what is not in the index yet, which says nothing of the index.
    while load::not_searchable(directory)? > 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    let newest = ask(directory, all())?;
    let newest = newest["records"][0]["id"].as_str().context("no record")?;
    let page = |path: &str| time(|_| visitor.load(path).map(drop));
    // All that is made here is test data.
    let report = |id: &str| {
        let path = format!("/reports/{id}?from=2026-01-01&to=2026-12-31&test=1");
        time_of(TIMES_REPORT, |_| visitor.load(&path).map(drop))
    };
    let table = "/records/table?kind=opinion&form=csv";
    let rare = words.text(2);
    let status = Query::Status {
        unreceipted_minutes: 60,
    };
    Ok(vec![
        page("/")?,
        page("/records")?,
        page("/records?kind=opinion")?,
        page("/records?state=saved")?,
        page("/new/opinion")?,
        page(&format!("/records/{newest}"))?,
        time(|_| visitor.search(&rare).map(drop))?,
        time(|_| ask(directory, found(&rare)).map(drop))?,
        page("/conflicts")?,
        page("/sites")?,
        time(|_| ask(directory, status.clone()).map(drop))?,
        time(|_| ask(directory, Query::Digest).map(drop))?,
        report("R1")?,
        report("R4")?,
        // Of more records than a table holds there is none.
        time_of(1, |_| visitor.take(table).map(drop)).unwrap_or_else(|_| "–".to_owned()),
        time(|nth| save_at_hub(directory, newest, nth))?,
    ])
}

/// A hub records no opinions: it changes one.
fn save_at_hub(directory: &Path, id: &str, nth: usize) -> Result<()> {
    let set = Write::RecordSet {
        id: id.to_owned(),
        input: serde_json::json!({ "people_count": 100 + nth }),
        account: None,
    };
    ask(directory, set).map(drop)
}

fn station_row(directory: &Path, station: &Hub, words: &mut Words) -> Result<Vec<String>> {
    let visitor = Visitor::of(station)?;
    let page = |path: &str| time(|_| visitor.load(path).map(drop));
    let (home, list) = (page("/")?, page("/records")?);
    let stamp = words.next_u64();
    let alone = time(|nth| save(directory, words, &format!("alone-{stamp}-{nth}")))?;
    let verifying = saves_beside(directory, words, Query::Verify)?;
    let reprojecting = saves_beside(directory, words, Write::Reproject)?;
    Ok(vec![home, list, alone, verifying, reprojecting])
}

/// Saves by command, fifty a second at most, until a command has ended that was begun just before: the median, the 99th of a
/// hundred, the worst, and how many there were.
fn saves_beside(
    directory: &Path,
    words: &mut Words,
    command: impl Into<Command>,
) -> Result<String> {
    let (command, to) = (command.into(), directory.to_owned());
    let running = std::thread::spawn(move || ask(&to, command).map(drop));
    let (stamp, mut taken) = (words.next_u64(), Vec::new());
    while !running.is_finished() || taken.is_empty() {
        let started = Instant::now();
        save(directory, words, &format!("beside-{stamp}-{}", taken.len()))?;
        taken.push(started.elapsed().as_secs_f64() * 1_000.0);
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = running.join();
    done.map_err(|_| anyhow::anyhow!("the command panicked"))??;
    taken.sort_by(f64::total_cmp);
    let count = taken.len();
    let [median, most, worst] = [count / 2, count * 99 / 100, count - 1].map(|at| taken[at]);
    Ok(format!("{median:.1} / {most:.1} / {worst:.1} ({count})"))
}

/// How soon devices are of use that join a hub with so many records: another one of their site, and an operator's PC.
async fn joins(scratch: &Path, size: usize) -> Result<()> {
    let [hub_dir, station_dir] = hub_and_station(scratch).await?;
    let (mut words, mut made) = (Words(42), 0);
    let begun = Instant::now();
    fill(&station_dir, &mut words, &mut made, size)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{size} records made at {:.0} a second\n\n| joins | to join | first save by command | newest page listed | all listed |\n|---|---|---|---|---|",
        size as f64 / seconds
    );
    let hub = Hub::start(&hub_dir)?;
    for _ in 0..10 {
        session(&station_dir, &hub).await?;
    }
    for role in ["station", "operator"] {
        let add = Write::InviteCreate {
            site: if role == "station" {
                code(1)
            } else {
                "HUB".to_owned()
            },
            role: role.to_owned(),
            expires_hours: 1,
        };
        let invited = ask(&hub_dir, add)?;
        let ticket = Ticket::typed(invited["invite"].as_str().context("no invite")?)?;
        let directory = scratch.join(format!("joined-{role}"));
        let begun = Instant::now();
        load::join(&directory, &ticket, &hub).await?;
        let joined = begun.elapsed();
        let device = Hub::start(&directory)?;
        let following = Instant::now();
        let first = if role == "station" {
            // It is told its site first.
            loop {
                let started = Instant::now();
                if save(&directory, &mut words, "first").is_ok() {
                    let taken = started.elapsed().as_secs_f64() * 1_000.0;
                    let ready = following.elapsed().as_secs_f64() * 1_000.0;
                    break format!("{taken:.0} ms, {ready:.0} ms after the start");
                }
                if following.elapsed() > Duration::from_mins(1) {
                    bail!("a device that has joined saves nothing");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } else {
            "–".to_owned()
        };
        let newest = listed(&hub_dir, 50, None)?.0;
        let page = loop {
            let here = listed(&directory, 50, None)?.0;
            if newest.iter().filter(|id| here.contains(id)).count() >= 48 {
                break following.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        while count(&directory)? < size {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!(
            "| {role} | {:.0} ms | {first} | {:.1} s | {:.1} s |",
            joined.as_secs_f64() * 1_000.0,
            page.as_secs_f64(),
            following.elapsed().as_secs_f64()
        );
        drop(device);
    }
    Ok(())
}

/// What a save at one of many stations costs the hub.
async fn live(scratch: &Path) -> Result<()> {
    const SAVES: usize = 100;
    let hub_dir = scratch.join("hub");
    hub_init(&hub_dir, STATIONS)?;
    let mut tickets = Vec::new();
    {
        let mut writer = Writer::open(&Store::open(&hub_dir)?)?;
        for at in 0..STATIONS {
            tickets.push(invite(&mut writer, &code(at))?);
        }
    }
    let hub = Hub::start(&hub_dir)?;
    let mut nodes = Vec::new();
    for (at, ticket) in tickets.iter().enumerate() {
        let directory = scratch.join(format!("station-{at}"));
        load::join(&directory, ticket, &hub).await?;
        let node = Node::start(&Store::open(&directory)?, "127.0.0.1:0".parse()?)?;
        let key = node
            .writer
            .after_wait(|_, connection| setup::hub_of(connection))?;
        let (key, _) = key.context("no hub")?;
        node.follow(vec![hub.address.to_string()], key);
        nodes.push(node);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = hub.cpu_s();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle = (hub.cpu_s() - idle) / 5.0;
    let node = nodes.first().context("no station")?;
    let mut words = Words(7);
    let (before, started) = (hub.cpu_s(), Instant::now());
    let mut taken = Vec::new();
    for at in 0..SAVES {
        let (record, _) = opinion(&mut words, at);
        let add = Arc::new(Write::RecordAdd {
            kind: "opinion".to_owned(),
            rows: vec![record],
            first_row: 1,
            account: None,
        });
        let mut changes = node.changes.subscribe();
        let saved = Instant::now();
        node.writer.write_wait(move |journal, connection| {
            Write::clone(&add).execute(journal, connection)
        })?;
        loop {
            let moved = changes.next().await;
            if moved.is_some_and(|moved| !moved.receipts.is_empty()) {
                break;
            }
        }
        taken.push(saved.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let passed = started.elapsed().as_secs_f64();
    let used = hub.cpu_s() - before - idle * passed;
    taken.sort_by(f64::total_cmp);
    println!(
        "{STATIONS} sessions, {SAVES} saves at one station: {:.2} ms of hub CPU a save ({:.1} ms a second idle), \
         receipt after {:.1} ms (median) and {:.1} ms (worst)",
        used * 1_000.0 / SAVES as f64,
        idle * 1_000.0,
        taken.get(SAVES / 2).copied().unwrap_or_default(),
        taken.last().copied().unwrap_or_default(),
    );
    for node in nodes {
        node.stop().await;
    }
    Ok(())
}
