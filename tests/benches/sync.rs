//! How fast and how small a sync is: real opinions made offline, a real hub process, QUIC on loopback.
//!
//! `cargo bench -p lianxin-tests --bench sync [-- SIZE …]` prints one table a size (default 1,000 and 10,000
//! records × 5 saves). With `LIANXIN_POUCHDB` naming a folder in which `benches/peers/pouchdb` was installed
//! (`npm ci`), the same records go through PouchDB in the same run and the ratios stand beside ours.
//! Figures are of one run on one machine; nothing here is a test.
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

fn main() -> Result<()> {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let sizes = if sizes.is_empty() {
        vec![1_000, 10_000]
    } else {
        sizes
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for size in sizes {
        let scratch = std::env::temp_dir().join(format!("lianxin-bench-{}", std::process::id()));
        let measured = runtime.block_on(measure(&scratch, size));
        let peer = measured
            .as_ref()
            .ok()
            .and_then(|_| pouchdb(&scratch, size).transpose());
        std::fs::remove_dir_all(&scratch)?;
        print(size, &measured?, peer.transpose()?.as_ref());
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

#[derive(Debug)]
struct Measured {
    first: Timed,
    /// From the beginning of the first sync until the index of texts had all of it.
    searchable: Duration,
    one_percent: Timed,
    nothing: Timed,
    raw_change_bytes: u64,
    raw_zstd_bytes: u64,
    edit_bytes: f64,
    entries: u64,
    station_db: u64,
    hub_db: u64,
    hub_tables: Vec<(String, u64)>,
    hub_peak: u64,
    station_peak: u64,
    live_ms: Vec<f64>,
    made: Duration,
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

async fn measure(scratch: &Path, size: usize) -> Result<Measured> {
    let (hub_dir, station_dir) = (scratch.join("hub"), scratch.join("station"));
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

    let started = Instant::now();
    make_records(&store, scratch, size)?;
    let made = started.elapsed();
    let (entries, raw_change_bytes, raw_zstd_bytes, edit_bytes) = weigh(&store)?;

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
        raw_change_bytes,
        raw_zstd_bytes,
        edit_bytes,
        entries,
        station_db,
        hub_db,
        hub_tables,
        hub_peak,
        station_peak,
        live_ms,
        made,
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
    let mut file = std::io::BufWriter::new(std::fs::File::create(scratch.join("records.jsonl"))?);
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

/// Entries, bytes of raw changes, the same in one zstd-3 frame, and raw bytes of a mean edit.
fn weigh(store: &Store) -> Result<(u64, u64, u64, f64)> {
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
    let zstd = zstd::bulk::compress(&raw, 3)?.len() as u64;
    Ok((
        entries,
        raw.len() as u64,
        zstd,
        edit_bytes as f64 / edits.max(1) as f64,
    ))
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
fn pouchdb(scratch: &Path, size: usize) -> Result<Option<Value>> {
    let Some(folder) = std::env::var_os("LIANXIN_POUCHDB").map(PathBuf::from) else {
        return Ok(None);
    };
    let output = Process::new("node")
        .arg(folder.join("pouchdb.mjs"))
        .arg("--records")
        .arg(scratch.join("records.jsonl"))
        .arg("--dir")
        .arg(scratch)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("PouchDB did not finish with {size} records");
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

fn print(size: usize, it: &Measured, peer: Option<&Value>) {
    let udp = |timed: &Timed| timed.summary.udp_bytes.0 + timed.summary.udp_bytes.1;
    let frames =
        |timed: &Timed| timed.summary.stats.frame_bytes_out + timed.summary.stats.frame_bytes_in;
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let changed = (size / 100).max(1) as f64;
    let median = it
        .live_ms
        .get(it.live_ms.len() / 2)
        .copied()
        .unwrap_or_default();
    println!(
        "\n{size} opinions × {SAVES} saves, {} entries, made in {:.1?}\n",
        it.entries, it.made
    );
    println!("| what | Lianxin | PouchDB | ratio |\n|---|---|---|---|");
    let row = |name: &str, ours: f64, unit: &str, key: &str, scale: f64| {
        let theirs = peer
            .and_then(|peer| peer[key].as_f64())
            .map(|value| value * scale);
        let beside = theirs.map_or_else(|| "–".to_owned(), |value| format!("{value:.1} {unit}"));
        let ratio = theirs.map_or_else(|| "–".to_owned(), |value| format!("{:.3}", ours / value));
        println!("| {name} | {ours:.1} {unit} | {beside} | {ratio} |");
    };
    row(
        "first sync, durable",
        ms(it.first.durable),
        "ms",
        "first_s",
        1_000.0,
    );
    row(
        "first sync, merged and listed",
        ms(it.first.listed),
        "ms",
        "first_s",
        1_000.0,
    );
    row(
        "first sync, texts indexed",
        ms(it.searchable),
        "ms",
        "first_s",
        1_000.0,
    );
    row(
        "first sync, UDP bytes",
        udp(&it.first) as f64 / 1e3,
        "kB",
        "first_bytes",
        1e-3,
    );
    row(
        "1 % changed, durable",
        ms(it.one_percent.durable),
        "ms",
        "one_percent_ms",
        1.0,
    );
    row(
        "1 % changed, listed",
        ms(it.one_percent.listed),
        "ms",
        "one_percent_ms",
        1.0,
    );
    row(
        "1 % changed, UDP bytes",
        udp(&it.one_percent) as f64 / 1e3,
        "kB",
        "one_percent_bytes",
        1e-3,
    );
    row(
        "nothing changed",
        ms(it.nothing.durable),
        "ms",
        "nothing_ms",
        1.0,
    );
    row(
        "nothing changed, UDP bytes",
        udp(&it.nothing) as f64 / 1e3,
        "kB",
        "nothing_bytes",
        1e-3,
    );
    row(
        "CPU station, first sync",
        it.first.station_cpu_s,
        "s",
        "client_cpu_s",
        1.0,
    );
    row(
        "CPU hub, first sync",
        it.first.hub_cpu_s,
        "s",
        "server_cpu_s",
        1.0,
    );
    row(
        "peak memory hub",
        it.hub_peak as f64 / 1e6,
        "MB",
        "server_peak_rss_bytes",
        1e-6,
    );
    row(
        "database at the hub",
        it.hub_db as f64 / 1e6,
        "MB",
        "server_db_bytes",
        1e-6,
    );
    println!("\n| figure | value |\n|---|---|");
    println!(
        "| frames, first sync | {} B ({:.0} B an entry) |",
        frames(&it.first),
        frames(&it.first) as f64 / it.entries as f64
    );
    println!(
        "| UDP bytes ÷ raw changes | {:.2} |",
        udp(&it.first) as f64 / it.raw_change_bytes as f64
    );
    println!(
        "| UDP bytes ÷ zstd-3 of the raw changes | {:.2} |",
        udp(&it.first) as f64 / it.raw_zstd_bytes as f64
    );
    println!(
        "| 1 % changed: UDP bytes a change | {:.0} (raw {:.0}) |",
        udp(&it.one_percent) as f64 / changed,
        it.edit_bytes
    );
    println!(
        "| nothing changed: frame bytes, out + in | {} + {} |",
        it.nothing.summary.stats.frame_bytes_out, it.nothing.summary.stats.frame_bytes_in
    );
    println!(
        "| nothing changed: rounds | {} |",
        it.nothing.summary.stats.rounds
    );
    println!("| one live change, commit to receipt, median | {median:.1} ms |");
    println!(
        "| database at the station | {:.1} MB |",
        it.station_db as f64 / 1e6
    );
    println!(
        "| peak memory of the station (with this benchmark) | {:.0} MB |",
        it.station_peak as f64 / 1e6
    );
    println!("\n| table or index at the hub | MB |\n|---|---|");
    for (name, bytes) in it.hub_tables.iter().take(LARGEST) {
        println!("| {name} | {:.2} |", *bytes as f64 / 1e6);
    }
    let all: u64 = it.hub_tables.iter().map(|(_, bytes)| bytes).sum();
    println!("| all | {:.2} |", all as f64 / 1e6);
}
