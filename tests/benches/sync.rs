//! How fast and how small a sync is: real opinions made offline, a real hub process, QUIC on loopback.
//!
//! `cargo bench -p lianxin-tests --bench sync [-- SIZE …] [--rounds N]` prints one table a size (default 1,000 and 10,000
//! records × 5 saves). With `LIANXIN_POUCHDB` naming a folder in which `benches/peers/pouchdb` was installed
//! (`npm ci`), the same records go through PouchDB in turn and the ratios stand beside ours. The records are made once;
//! before each round (default 1) the two data directories are put back as they were then, and of several the lowest and the highest are
//! printed, a ratio being of one round. `--keep FOLDER` leaves the records there and takes those that it finds. Figures are of one machine; nothing here is a test.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a benchmark reads the clock, prints, and may fail loudly"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lianxin_node::command::{Listing, Query, Write};
use lianxin_node::daemon::Node;
use lianxin_node::setup::{self, HubInit};
use lianxin_node::store::Store;
use lianxin_node::sync::peer::{Summary, Until};
use lianxin_node::writer::Writer;
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::log::{EntryKind, LogId};
use lianxin_protocol::space::Space;
use lianxin_tests::load::{self, Hub, SAVES, Words, cpu_s, invite, opinion, peak_bytes, run};
use serde_json::{Value, json};

/// As the program has it: a merge is half allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows written in one transaction while the records are made, which is not measured.
const CHUNK: usize = 500;
/// Tables and indices of which the size is printed.
const LARGEST: usize = 16;
/// Sessions in which all must have come and been judged.
const SESSIONS: u32 = 8;
/// The data directories, and the records as JSON.
const HUB: &str = "hub";
const STATION: &str = "station";
const RECORDS: &str = "records.jsonl";

fn main() -> Result<()> {
    let (mut sizes, mut rounds, mut kept) = (Vec::new(), 1, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--rounds" {
            rounds = args.next().context("how many rounds?")?.parse()?;
        } else if arg == "--keep" {
            kept = Some(PathBuf::from(args.next().context("keep them where?")?));
        } else if let Ok(size) = arg.parse() {
            sizes.push(size);
        }
    }
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000];
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for size in sizes {
        let scratch = kept.as_ref().map_or_else(
            || std::env::temp_dir().join(format!("lianxin-bench-{}", std::process::id())),
            |kept| kept.join(size.to_string()),
        );
        let measured = rounds_of(&runtime, &scratch, size, rounds);
        if kept.is_none() {
            std::fs::remove_dir_all(&scratch)?;
        }
        let (made, measured) = measured?;
        print(size, &made, &measured);
    }
    Ok(())
}

/// What was measured, and what PouchDB took.
type Round = (Measured, Option<Value>);

/// Makes the records, and syncs them as often as that, each time followed by PouchDB if it is installed.
fn rounds_of(
    runtime: &tokio::runtime::Runtime,
    scratch: &Path,
    size: usize,
    rounds: usize,
) -> Result<(Made, Vec<Round>)> {
    let as_made = scratch.join("made");
    if !as_made.exists() {
        runtime.block_on(make(scratch, size))?;
        for side in [HUB, STATION] {
            put(&scratch.join(side), &as_made.join(side))?;
        }
    }
    let mut measured = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        // In their own places: a device begins another log where it finds that its directory is a copy.
        for side in [HUB, STATION] {
            put(&as_made.join(side), &scratch.join(side))?;
        }
        let ours = runtime.block_on(measure(scratch, size))?;
        let peer = scratch.join("peer");
        std::fs::create_dir(&peer)?;
        let theirs = pouchdb(&scratch.join(RECORDS), &peer, size)?;
        std::fs::remove_dir_all(&peer)?;
        measured.push((ours, theirs));
    }
    put(&as_made.join(STATION), &scratch.join(STATION))?;
    Ok((weigh(&Store::open(&scratch.join(STATION))?)?, measured))
}

/// Puts the files of one directory into another, in the place of those that lie there.
fn put(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    for entry in std::fs::read_dir(to)? {
        std::fs::remove_file(entry?.path())?;
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        // There is a socket as well.
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// One sync.
#[derive(Debug)]
struct Timed {
    durable: Duration,
    listed: Duration,
    summary: Summary,
    station_cpu_s: f64,
    hub_cpu_s: f64,
}

/// What is to be synced.
#[derive(Debug)]
struct Made {
    entries: u64,
    raw_change_bytes: u64,
    /// The same in one zstd-3 frame.
    raw_zstd_bytes: u64,
    /// Raw bytes of a mean edit.
    edit_bytes: f64,
}

#[derive(Debug)]
struct Measured {
    first: Timed,
    /// From the beginning of the first sync until the index of texts had all of it.
    searchable: Duration,
    one_percent: Timed,
    nothing: Timed,
    station_db: u64,
    hub_db: u64,
    hub_tables: Vec<(String, u64)>,
    hub_peak: u64,
    station_peak: u64,
    live_ms: Vec<f64>,
}

fn merge(target: &mut Value, edit: &Value) {
    match (target, edit) {
        (Value::Object(target), Value::Object(edit)) => {
            for (key, value) in edit {
                merge(target.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (target, edit) => *target = edit.clone(),
    }
}

/// An empty hub, and a station that knows it and has made the records without it.
async fn make(scratch: &Path, size: usize) -> Result<()> {
    let (hub_dir, station_dir) = (scratch.join(HUB), scratch.join(STATION));
    std::fs::create_dir_all(scratch)?;
    let card = scratch.join("card");
    let init = HubInit {
        web: None,
        name: "示例街",
        code: Some("SLJD"),
        listen: None,
        recovery_out: Some(&card),
    };
    setup::hub_init(&hub_dir, &init)?;
    let invite = {
        let mut writer = Writer::open(&Store::open(&hub_dir)?)?;
        let site = Write::SiteCreate {
            name: "测试社区".to_owned(),
            kind: "workstation".to_owned(),
            code: Some("EM1".to_owned()),
        };
        run(&mut writer, site)?;
        invite(&mut writer, "EM1")?
    };
    let hub = Hub::start(&hub_dir)?;
    load::join(&station_dir, &invite, &hub).await?;
    let store = Store::open(&station_dir)?;
    let node = Node::start(&store, "127.0.0.1:0".parse()?)?;
    session(&node, &hub, false).await?;
    node.stop().await;

    make_records(&store, scratch, size)
}

async fn measure(scratch: &Path, size: usize) -> Result<Measured> {
    let hub_dir = scratch.join(HUB);
    let hub = Hub::start(&hub_dir)?;
    let store = Store::open(&scratch.join(STATION))?;
    let node = Node::start(&store, "127.0.0.1:0".parse()?)?;
    let started = Instant::now();
    let first = session(&node, &hub, true).await?;
    let listed = count(&hub_dir, LISTED)?;
    if listed != size as u64 {
        bail!("the hub lists {listed} of {size} records");
    }
    while load::not_searchable(&hub_dir)? > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let searchable = started.elapsed();
    let station_peak = peak_bytes("/proc/self/status");
    let (hub_peak, hub_db) = (hub.peak_bytes(), Store::open(&hub_dir)?.size_bytes());
    let hub_tables = tables(&hub_dir)?;

    let ids = some_ids(&node, size / 100)?;
    let ids = Arc::new(ids);
    let edited = Arc::clone(&ids);
    node.writer.write_wait(move |journal, connection| {
        for id in edited.iter() {
            let (id, input) = (id.clone(), json!({ "reply_wanted": "visit" }));
            let set = Write::RecordSet {
                id,
                input,
                account: None,
            };
            set.execute(journal, connection)?;
        }
        Ok(())
    })?;
    let one_percent = session(&node, &hub, true).await?;
    let nothing = session(&node, &hub, false).await?;
    let live_ms = live(&node, &hub, &ids).await?;
    let station_db = store.size_bytes();
    node.stop().await;
    Ok(Measured {
        first,
        searchable,
        one_percent,
        nothing,
        station_db,
        hub_db,
        hub_tables,
        hub_peak,
        station_peak,
        live_ms,
    })
}

/// The records, made offline in rounds, and the same JSON for peers.
fn make_records(store: &Store, scratch: &Path, size: usize) -> Result<()> {
    let mut words = Words(42);
    let all: Vec<_> = (0..size).map(|index| opinion(&mut words, index)).collect();
    let mut writer = Writer::open(store)?;
    let mut ids = Vec::with_capacity(size);
    for chunk in all.chunks(CHUNK) {
        let rows = chunk.iter().map(|(record, _)| record.clone()).collect();
        let kind = "opinion".to_owned();
        let added = run(
            &mut writer,
            Write::RecordAdd {
                kind,
                rows,
                first_row: 1,
                account: None,
            },
        )?;
        let records = added["records"].as_array().context("no records")?;
        ids.extend(
            records
                .iter()
                .filter_map(|it| it["id"].as_str().map(str::to_owned)),
        );
    }
    if ids.len() != size {
        bail!("{} of {size} records were made", ids.len());
    }
    for round in 0..SAVES - 1 {
        for (ids, records) in ids.chunks(CHUNK).zip(all.chunks(CHUNK)) {
            writer.transact(lianxin_node::clock::now_ms(), |journal, connection| {
                for (id, (_, edits)) in ids.iter().zip(records) {
                    let input = edits.get(round).cloned().unwrap_or_default();
                    let set = Write::RecordSet {
                        id: id.clone(),
                        input,
                        account: None,
                    };
                    set.execute(journal, connection)?;
                }
                Ok(())
            })?;
        }
    }
    // As behind every save: what one has typed is found at once.
    writer.catch_up(|_| {})?;
    let mut file = std::io::BufWriter::new(std::fs::File::create(scratch.join(RECORDS))?);
    for (id, (record, edits)) in ids.iter().zip(&all) {
        let mut version = record.clone();
        let mut versions = vec![version.clone()];
        for edit in edits {
            merge(&mut version, edit);
            versions.push(version.clone());
        }
        writeln!(file, "{}", json!({ "id": id, "versions": versions }))?;
    }
    Ok(file.flush()?)
}

/// What there is to be sent.
fn weigh(store: &Store) -> Result<Made> {
    let mut writer = Writer::open(store)?;
    let spaces = writer.journal.authority().spaces().clone();
    let mut raw = Vec::new();
    let (mut entries, mut edits, mut edit_bytes) = (0_u64, 0_u64, 0_u64);
    for (id, _) in spaces
        .iter()
        .filter(|(_, space)| matches!(space, Space::Site(_)))
    {
        let tips: Vec<(LogId, u64)> = writer
            .journal
            .tips(id)
            .iter()
            .map(|(log, tip)| (*log, tip.len))
            .collect();
        for (log, len) in tips {
            let mut from = 0;
            while from < len {
                let loaded =
                    writer.read(|journal, it| journal.load(it, &log, (from, None), usize::MAX))?;
                let Some(batch) = loaded else { break };
                let parts = Parts::Section(&batch.packed.parts);
                let run = batch::unpack(&log, batch.start, &batch.packed.main, parts)?;
                let mut before = EntryKind::Genesis;
                for entry in &run.entries {
                    entries += 1;
                    if let (EntryKind::Change, Some(payload)) = (entry.header.kind, &entry.payload)
                    {
                        raw.extend_from_slice(payload);
                        if before != EntryKind::Part {
                            edits += 1;
                            edit_bytes += payload.len() as u64;
                        }
                    }
                    before = entry.header.kind;
                }
                from = batch.end();
            }
        }
    }
    Ok(Made {
        raw_change_bytes: raw.len() as u64,
        raw_zstd_bytes: zstd::bulk::compress(&raw, 3)?.len() as u64,
        edit_bytes: edit_bytes as f64 / edits.max(1) as f64,
        entries,
    })
}

/// One session; durable when receipts say that all is stored, listed when they say that all is judged.
async fn session(node: &Node, hub: &Hub, wait: bool) -> Result<Timed> {
    let mut changes = node.changes.subscribe();
    let key = node
        .writer
        .after_wait(|_, connection| setup::hub_of(connection))?;
    let (key, _) = key.context("no hub")?;
    let wanted = node.writer.after_wait(|journal, connection| {
        journal.own_coverage(connection).map(|own| own.entries)
    })?;
    let (station_cpu, hub_cpu) = (cpu_s("/proc/self/stat"), hub.cpu_s());
    let started = Instant::now();
    let (_keep, stop) = tokio::sync::watch::channel(false);
    let open = || {
        let (net, stop) = (Arc::clone(&node.net), stop.clone());
        let names = [hub.address.to_string()];
        tokio::spawn(async move { net.session(&names, key, Until::InSync, stop).await })
    };
    let mut running = open();
    let (mut ended, mut again) = (None, 0);
    let (mut durable, mut listed) = (Duration::ZERO, Duration::ZERO);
    while wait && listed.is_zero() {
        let moved = tokio::select! {
            moved = changes.next() => match moved {
                Some(moved) => moved,
                None => continue,
            },
            // It may give up on a hub that is too busy to say that it goes on: then the next one hears the rest.
            done = &mut running => {
                let (_, summary) = done??;
                println!("a session ended after {} ms and left something", summary.elapsed_ms);
                again += 1;
                if again > SESSIONS {
                    bail!("{again} sessions and the hub has not judged all of it");
                }
                ended.get_or_insert(summary);
                running = open();
                continue;
            }
        };
        for receipt in &moved.receipts {
            if receipt.stored.len >= wanted && durable.is_zero() {
                durable = started.elapsed();
            }
            if receipt.judged_len >= wanted && listed.is_zero() {
                listed = started.elapsed();
            }
        }
    }
    let (_, last) = running.await??;
    let summary = ended.unwrap_or(last);
    if !wait {
        durable = Duration::from_millis(summary.elapsed_ms);
        listed = started.elapsed();
    }
    let station_cpu_s = cpu_s("/proc/self/stat") - station_cpu;
    let hub_cpu_s = hub.cpu_s() - hub_cpu;
    Ok(Timed {
        durable,
        listed,
        summary,
        station_cpu_s,
        hub_cpu_s,
    })
}

/// Single changes over an open session: milliseconds from commit to the receipt that says stored.
async fn live(node: &Node, hub: &Hub, ids: &[String]) -> Result<Vec<f64>> {
    let key = node
        .writer
        .after_wait(|_, connection| setup::hub_of(connection))?;
    let (key, _) = key.context("no hub")?;
    node.follow(vec![hub.address.to_string()], key);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut taken = Vec::new();
    for (index, id) in ids.iter().enumerate().take(20) {
        let mut changes = node.changes.subscribe();
        let set = Write::RecordSet {
            id: id.clone(),
            input: json!({ "people_count": 100 + index }),
            account: None,
        };
        node.writer
            .write_wait(move |journal, connection| set.clone().execute(journal, connection))?;
        let started = Instant::now();
        loop {
            let moved = changes.next().await;
            if moved.is_some_and(|moved| !moved.receipts.is_empty()) {
                break;
            }
        }
        taken.push(started.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

const LISTED: &str = "SELECT count(*) FROM records WHERE number IS NOT NULL";

fn count(hub: &Path, sql: &str) -> Result<u64> {
    let reader = Store::open(hub)?.reader()?;
    Ok(reader.query_row(sql, [], |row| row.get(0))?)
}

/// Bytes of the pages of each table and index, the largest first.
fn tables(hub: &Path) -> Result<Vec<(String, u64)>> {
    let reader = Store::open(hub)?.reader()?;
    let mut statement = reader.prepare(
        "SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn some_ids(node: &Node, count: usize) -> Result<Vec<String>> {
    let limit = Some(count.clamp(1, 500));
    let list = Query::RecordList(Listing {
        limit,
        ..Listing::default()
    });
    let reply = node
        .writer
        .after_wait(move |journal, connection| list.execute(journal, connection))?;
    let records = reply.value["records"].as_array().context("no records")?;
    Ok(records
        .iter()
        .filter_map(|record| record["id"].as_str().map(str::to_owned))
        .collect())
}

/// The same records through PouchDB, if it is installed.
fn pouchdb(records: &Path, scratch: &Path, size: usize) -> Result<Option<Value>> {
    let Some(folder) = std::env::var_os("LIANXIN_POUCHDB").map(PathBuf::from) else {
        return Ok(None);
    };
    let output = Process::new("node")
        .arg(folder.join("pouchdb.mjs"))
        .arg("--records")
        .arg(records)
        .arg("--dir")
        .arg(scratch)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("PouchDB did not finish with {size} records");
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

/// The lowest and the highest, or the only one.
fn range(values: &[f64], unit: &str, decimals: usize) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = (format!("{low:.decimals$}"), format!("{high:.decimals$}"));
    if low == high {
        format!("{low}{unit}")
    } else {
        format!("{low}–{high}{unit}")
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

const fn udp(timed: &Timed) -> f64 {
    let (sent, received) = timed.summary.udp_bytes;
    (sent + received) as f64
}

const fn frames(timed: &Timed) -> f64 {
    let stats = &timed.summary.stats;
    (stats.frame_bytes_out + stats.frame_bytes_in) as f64
}

/// A figure beside PouchDB's: what it is, ours, its unit, the name of theirs and what makes it that unit.
type Beside = (
    &'static str,
    fn(&Measured) -> f64,
    &'static str,
    &'static str,
    f64,
);

const BESIDE: &[Beside] = &[
    (
        "first sync, durable",
        |it| ms(it.first.durable),
        " ms",
        "first_s",
        1e3,
    ),
    (
        "first sync, merged and listed",
        |it| ms(it.first.listed),
        " ms",
        "first_s",
        1e3,
    ),
    (
        "first sync, texts indexed",
        |it| ms(it.searchable),
        " ms",
        "first_s",
        1e3,
    ),
    (
        "first sync, UDP bytes",
        |it| udp(&it.first) / 1e3,
        " kB",
        "first_bytes",
        1e-3,
    ),
    (
        "1 % changed, durable",
        |it| ms(it.one_percent.durable),
        " ms",
        "one_percent_ms",
        1.0,
    ),
    (
        "1 % changed, listed",
        |it| ms(it.one_percent.listed),
        " ms",
        "one_percent_ms",
        1.0,
    ),
    (
        "1 % changed, UDP bytes",
        |it| udp(&it.one_percent) / 1e3,
        " kB",
        "one_percent_bytes",
        1e-3,
    ),
    (
        "nothing changed",
        |it| ms(it.nothing.durable),
        " ms",
        "nothing_ms",
        1.0,
    ),
    (
        "nothing changed, UDP bytes",
        |it| udp(&it.nothing) / 1e3,
        " kB",
        "nothing_bytes",
        1e-3,
    ),
    (
        "CPU station, first sync",
        |it| it.first.station_cpu_s,
        " s",
        "client_cpu_s",
        1.0,
    ),
    (
        "CPU hub, first sync",
        |it| it.first.hub_cpu_s,
        " s",
        "server_cpu_s",
        1.0,
    ),
    (
        "peak memory hub",
        |it| it.hub_peak as f64 / 1e6,
        " MB",
        "server_peak_rss_bytes",
        1e-6,
    ),
    (
        "database at the hub",
        |it| it.hub_db as f64 / 1e6,
        " MB",
        "server_db_bytes",
        1e-6,
    ),
];

fn print(size: usize, made: &Made, rounds: &[Round]) {
    let entries = made.entries;
    println!("\n{size} opinions × {SAVES} saves, {entries} entries\n");
    println!("| what | Lianxin | PouchDB | Lianxin ÷ PouchDB |\n|---|---|---|---|");
    for (name, of, unit, key, scale) in BESIDE {
        let ours: Vec<f64> = rounds.iter().map(|(it, _)| of(it)).collect();
        let peer = |(_, peer): &Round| {
            let value = peer.as_ref().and_then(|peer| peer[key].as_f64());
            value.map(|value| value * scale)
        };
        let theirs: Option<Vec<f64>> = rounds.iter().map(peer).collect();
        let (beside, ratio) = theirs.map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |theirs| {
                let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
                (range(&theirs, unit, 1), range(&ratios, "", 3))
            },
        );
        println!(
            "| {name} | {} | {beside} | {ratio} |",
            range(&ours, unit, 1)
        );
    }
    println!("\n| figure | value |\n|---|---|");
    let changed = (size / 100).max(1) as f64;
    let all = |of: &dyn Fn(&Measured) -> f64| -> Vec<f64> {
        rounds.iter().map(|(it, _)| of(it)).collect()
    };
    let figure = |name: &str, values: &[f64], unit: &str, decimals: usize| {
        println!("| {name} | {} |", range(values, unit, decimals));
    };
    let sent = all(&|it| frames(&it.first));
    figure("frames, first sync", &sent, " B", 0);
    let each: Vec<f64> = sent.iter().map(|it| it / entries as f64).collect();
    figure("the same, an entry", &each, " B", 0);
    let raw = all(&|it| udp(&it.first) / made.raw_change_bytes as f64);
    figure("UDP bytes ÷ raw changes", &raw, "", 2);
    let packed = all(&|it| udp(&it.first) / made.raw_zstd_bytes as f64);
    figure("UDP bytes ÷ zstd-3 of the raw changes", &packed, "", 2);
    let each = all(&|it| udp(&it.one_percent) / changed);
    figure("1 % changed: UDP bytes a change", &each, " B", 0);
    figure("the same, raw", &[made.edit_bytes], " B", 0);
    let out = all(&|it| it.nothing.summary.stats.frame_bytes_out as f64);
    figure("nothing changed: frame bytes out", &out, " B", 0);
    let back = all(&|it| it.nothing.summary.stats.frame_bytes_in as f64);
    figure("nothing changed: frame bytes in", &back, " B", 0);
    let trips = all(&|it| f64::from(it.nothing.summary.stats.rounds));
    figure("nothing changed: rounds", &trips, "", 0);
    let live = all(&|it| {
        it.live_ms
            .get(it.live_ms.len() / 2)
            .copied()
            .unwrap_or_default()
    });
    figure(
        "one live change, commit to receipt, median",
        &live,
        " ms",
        1,
    );
    let station = all(&|it| it.station_db as f64 / 1e6);
    figure("database at the station", &station, " MB", 1);
    let peak = all(&|it| it.station_peak as f64 / 1e6);
    figure(
        "peak memory of the station (with this benchmark)",
        &peak,
        " MB",
        0,
    );
    println!("\n| table or index at the hub, last round | MB |\n|---|---|");
    let tables = rounds.last().map_or(&[][..], |(it, _)| &it.hub_tables);
    for (name, bytes) in tables.iter().take(LARGEST) {
        println!("| {name} | {:.2} |", *bytes as f64 / 1e6);
    }
    let all: u64 = tables.iter().map(|(_, bytes)| bytes).sum();
    println!("| all | {:.2} |", all as f64 / 1e6);
}
