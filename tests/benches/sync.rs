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
    clippy::cast_possible_truncation,
    reason = "a benchmark reads the clock, prints, and may fail loudly"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lianxin_node::command::Command;
use lianxin_node::daemon::Node;
use lianxin_node::journal::Moved;
use lianxin_node::setup::{self, HubInit};
use lianxin_node::store::Store;
use lianxin_node::sync::join::{self, Line, Ticket};
use lianxin_node::sync::peer::{Summary, Until};
use lianxin_node::writer::Writer;
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::log::{EntryKind, LogId};
use lianxin_protocol::space::Space;
use serde_json::{Value, json};

const SAVES: usize = 5;
/// Rows written in one transaction while the records are made, which is not measured.
const CHUNK: usize = 500;

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
    one_percent: Timed,
    nothing: Timed,
    raw_change_bytes: u64,
    raw_zstd_bytes: u64,
    edit_bytes: f64,
    entries: u64,
    station_db: u64,
    hub_db: u64,
    hub_peak: u64,
    station_peak: u64,
    live_ms: Vec<f64>,
    made: Duration,
}

/// The hub as its own process, so that its time and memory are its own.
struct Hub {
    child: Child,
    address: SocketAddr,
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Hub {
    fn start(directory: &Path) -> Result<Self> {
        let mut binary = std::env::current_exe()?;
        binary.pop();
        binary.pop();
        binary.push("lianxin");
        let mut child = Process::new(&binary)
            .arg("--data")
            .arg(directory)
            .args(["run", "--listen", "127.0.0.1:0", "--json"])
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("build {} first", binary.display()))?;
        let stdout = child.stdout.take().context("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let address = ready["sync"].as_str().context("no address")?.parse()?;
        Ok(Self { child, address })
    }

    fn cpu_s(&self) -> f64 {
        cpu_s(&format!("/proc/{}/stat", self.child.id()))
    }

    fn peak_bytes(&self) -> u64 {
        peak_bytes(&format!("/proc/{}/status", self.child.id()))
    }
}

/// User and system time from proc(5), in seconds; a tick is 10 ms.
fn cpu_s(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
    (ticks(12).unwrap_or_default() + ticks(13).unwrap_or_default()) / 100.0
}

fn peak_bytes(status: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Deterministic text and choices.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Chinese text: the more frequent a character's rank, the more often it comes, as in real text.
    fn text(&mut self, chars: usize) -> String {
        let pick = |value: u64| {
            let unit = (value >> 11) as f64 / (1_u64 << 53) as f64;
            let rank = (3_000_f64.powf(unit) - 1.0) as u32;
            char::from_u32(0x4e00 + rank * 7 % 20_000).unwrap_or('人')
        };
        (0..chars).map(|_| pick(self.next())).collect()
    }

    fn one_of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.next() % items.len() as u64).unwrap_or_default();
        items.get(at).copied().unwrap_or_default()
    }
}

/// A record as a clerk would type it, and what the four edits change.
fn opinion(words: &mut Words, index: usize) -> (Value, [Value; SAVES - 1]) {
    let day = 1 + words.next() % 28;
    let record = json!({
        "submission_id": format!("bench-{index}"),
        "title": words.text(18),
        "body": words.text(200),
        "channel": words.one_of(&["reception", "walk_in", "phone", "home_visit", "symposium"]),
        "category": words.one_of(&["consult", "help", "complaint", "suggestion"]),
        "topic": words.one_of(&["utilities", "traffic_parking", "property_mgmt", "environment"]),
        "occurred_on": format!("2026-03-{day:02}"),
        "place": { "community": words.one_of(&["测试社区", "示例社区"]), "text": words.text(12) },
        "identity_mode": "confidential",
        "person": { "call_name": "测试女士", "phone": format!("000-{index:04}-0001") },
        "reply_wanted": "phone",
        "people_count": 1 + words.next() % 5,
        "deputies": [words.one_of(&["测试代表甲", "测试代表乙", "测试代表丙"])],
        "test_data": true,
    });
    let edits = [
        json!({ "urgency": "urgent" }),
        json!({ "topic": words.one_of(&["public_safety", "governance"]) }),
        json!({ "people_count": 6 + words.next() % 10 }),
        json!({ "category": "report", "place": { "grid": format!("G{}", words.next() % 40) } }),
    ];
    (record, edits)
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
        let site = Command::SiteCreate {
            name: "测试社区".to_owned(),
            kind: "workstation".to_owned(),
            code: Some("EM1".to_owned()),
        };
        run(&mut writer, site)?;
        let (site, role) = ("EM1".to_owned(), "station".to_owned());
        run(
            &mut writer,
            Command::InviteCreate {
                site,
                role,
                expires_hours: 1,
            },
        )?
    };
    let hub = Hub::start(&hub_dir)?;
    let address = hub.address.to_string();
    let ticket = Ticket::typed(invite["invite"].as_str().context("no invite")?)?;
    let joining = join::join(&station_dir, &ticket, Line::Hub(&address)).await?;
    joining.finish()?;
    let store = Store::open(&station_dir)?;
    let node = Node::start(&store, "127.0.0.1:0".parse()?)?;
    session(&node, &hub, false).await?;
    node.stop().await;

    let started = Instant::now();
    make_records(&store, scratch, size)?;
    let made = started.elapsed();
    let (entries, raw_change_bytes, raw_zstd_bytes, edit_bytes) = weigh(&store)?;

    let node = Node::start(&store, "127.0.0.1:0".parse()?)?;
    let first = session(&node, &hub, true).await?;
    let listed = count(&hub_dir)?;
    if listed != size as u64 {
        bail!("the hub lists {listed} of {size} records");
    }
    let station_peak = peak_bytes("/proc/self/status");
    let (hub_peak, hub_db) = (hub.peak_bytes(), Store::open(&hub_dir)?.size_bytes());

    let ids = some_ids(&node, size / 100)?;
    let ids = Arc::new(ids);
    let edited = Arc::clone(&ids);
    node.writer.write_wait(move |journal, connection| {
        for id in edited.iter() {
            let (id, input) = (id.clone(), json!({ "reply_wanted": "visit" }));
            let set = Command::RecordSet {
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
        one_percent,
        nothing,
        raw_change_bytes,
        raw_zstd_bytes,
        edit_bytes,
        entries,
        station_db,
        hub_db,
        hub_peak,
        station_peak,
        live_ms,
        made,
    })
}

fn run(writer: &mut Writer, command: Command) -> Result<Value> {
    let now = lianxin_node::clock::now_ms();
    let work = |journal: &mut _, connection: &_| command.execute(journal, connection);
    Ok(writer.transact(now, work)?.0.value)
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
            Command::RecordAdd {
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
                    let set = Command::RecordSet {
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
                let Some((batch, end)) = loaded else { break };
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
                from = end.len;
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
    let (net, names) = (Arc::clone(&node.net), [hub.address.to_string()]);
    let running = tokio::spawn(async move { net.session(&names, key, Until::InSync, stop).await });
    let (mut durable, mut listed) = (Duration::ZERO, Duration::ZERO);
    while wait && listed.is_zero() {
        let moved: Arc<Moved> = match changes.recv().await {
            Ok(moved) => moved,
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => continue,
            Err(error) => return Err(error.into()),
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
    let (_, summary) = running.await??;
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
        let set = Command::RecordSet {
            id: id.clone(),
            input: json!({ "people_count": 100 + index }),
            account: None,
        };
        node.writer
            .write_wait(move |journal, connection| set.clone().execute(journal, connection))?;
        let started = Instant::now();
        loop {
            let moved = changes.recv().await?;
            if !moved.receipts.is_empty() {
                break;
            }
        }
        taken.push(started.elapsed().as_secs_f64() * 1_000.0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    taken.sort_by(f64::total_cmp);
    Ok(taken)
}

fn count(hub: &Path) -> Result<u64> {
    let reader = Store::open(hub)?.reader()?;
    Ok(reader.query_row(
        "SELECT count(*) FROM records WHERE number IS NOT NULL",
        [],
        |row| row.get(0),
    )?)
}

fn some_ids(node: &Node, count: usize) -> Result<Vec<String>> {
    let (limit, none) = (Some(count.clamp(1, 500)), None);
    let list = Command::RecordList {
        kind: none.clone(),
        status: none.clone(),
        state: none.clone(),
        search: none.clone(),
        limit,
        after: none,
    };
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
}
