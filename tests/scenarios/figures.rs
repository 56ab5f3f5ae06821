//! The yearly figures F1 to F22 (DOMAIN §3): a fictional year, written on five devices that are apart, gives them exactly, on
//! every device in scope, in whatever order they meet, with a wrong clock, a database that was put back, and duplicates merged.
//!
//! The year is data (`data/year.json`, which says how it is read): records that count, and decoys of which each says the rule
//! that it tries. Nothing here knows how a figure is computed; what must come out stands beside the year. The report is asked
//! for as scripts do (CONTRACT): by the command, on the stores that the world has left. Where a figure is wrong, the proof says
//! which records of the year are behind it that should not be, and which are not.
//!
//! Of the proof no more is taken for granted than that it is JSON, and that what a figure rests on is a list under its name, of
//! ids or of objects with a `record` or an `id`.

#![expect(
    clippy::indexing_slicing,
    reason = "a missing key of a reply reads as null, and the test fails"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lianxin_node::accounts;
use lianxin_node::command::Write;
use lianxin_node::sheets;
use lianxin_protocol::authority::Order;
use lianxin_tests::process::{Device, Network, text as path_text};
use lianxin_tests::world::{HUB, text};
use lianxin_tests::{Chunks, Cut, Wire, World};
use serde_json::{Map, Value, json};

use crate::pages::{Browser, link};

/// The names of the devices in the year, in the order of the nodes.
const DEVICES: [&str; 6] = ["HUB", "EM1A", "EM1B", "LS1A", "EM1C", "HUBB"];
const OPERATOR: usize = 5;
/// Seeds of one run; `LIANXIN_SEEDS` says how many instead.
const SEEDS: u64 = 3;
/// Rows of one command.
const ROWS: usize = 200;
/// How often all meet for one phase at most.
const ROUNDS_MAX: usize = 40;
/// A year after worlds begin, in Unix milliseconds.
const YEAR_AHEAD_MS: u64 = 1_821_600_000_000;
/// Between what arrives early and what arrives late: a time of the hub's clock, and the same as `--as-of` takes it.
const CUT_OFF: &str = "2026-09-26T00:00:00Z";
/// The hub's clock when what is late arrives, in Unix milliseconds: days after the cut-off.
const LATE_MS: u64 = 1_790_800_000_000;
/// Figures that count records, each of which stands in the year as one that counts.
const OF_RECORDS: [&str; 11] = [
    "F1", "F3", "F4", "F7", "F8", "F10", "F13", "F18", "F20", "F21", "F22",
];
/// Behind it stand suggestions or their supervisions: as many of either.
const KEY: &str = "F2";

fn fixture() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../data/year.json"))?)
}

// ---- the year as it is written down ----

/// A step: the device, which step, and what it carries.
type Step = (String, String, Value);

/// What the year says of one record.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    /// Nothing for one that is there already.
    fields: Option<Value>,
    steps: VecDeque<Step>,
}

/// A value of the n-th record of an entry.
fn filled(value: &Value, n: usize) -> Value {
    match value {
        Value::Object(members) => match members.get("of").and_then(Value::as_array) {
            Some(items) if members.len() == 1 && !items.is_empty() => {
                filled(&items[(n - 1) % items.len()], n)
            }
            _ => {
                let members = members.iter();
                Value::Object(members.map(|(k, v)| (k.clone(), filled(v, n))).collect())
            }
        },
        Value::Array(items) => items.iter().map(|item| filled(item, n)).collect(),
        Value::String(text) => json!(text.replace("{n}", &n.to_string())),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// The records of an entry.
fn told(entry: &Value) -> Result<Vec<Told>> {
    let times = entry["times"].as_u64().unwrap_or(1);
    let name = entry["as"].as_str().or_else(|| entry["on"].as_str());
    let name = name.context("an entry without a name")?;
    (1..=usize::try_from(times)?)
        .map(|n| {
            let steps = filled(&entry["steps"], n);
            let steps = steps.as_array().cloned().unwrap_or_default();
            let step = |step: &Value| -> Result<Step> {
                let data = step.get(2).cloned().unwrap_or_else(|| json!({}));
                let word = |at: usize| step.get(at).and_then(Value::as_str).map(str::to_owned);
                let (device, event) = word(0).zip(word(1)).context("half a step")?;
                Ok((device, event, data))
            };
            Ok(Told {
                name: name.replace("{n}", &n.to_string()),
                fields: entry.get("fields").map(|fields| filled(fields, n)),
                steps: steps.iter().map(step).collect::<Result<_>>()?,
            })
        })
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    let items = value.get(key).and_then(Value::as_array);
    items.into_iter().flatten()
}

/// What a figure adds up of a record that counts in it.
fn weight(figure: &str, fields: &Value) -> Result<i64> {
    let key = match figure {
        "F5" => "cumulative_viewers",
        "F6" => "discussants",
        "F11" => "persons_served_times",
        "F12" | "F14" => "amount_fen",
        "F17" => {
            let year = fields["opened_on"].as_str().and_then(|day| day.get(..4));
            return Ok(year.context("no day")?.parse()?);
        }
        _ => return Ok(1),
    };
    fields[key].as_i64().with_context(|| format!("no {key}"))
}

#[test]
fn the_year_adds_up_by_its_own_account() -> Result<()> {
    let year = fixture()?;
    let mut sums = BTreeMap::<String, i64>::new();
    let mut tried = BTreeSet::<String>::new();
    for entry in list(&year, "phases").flat_map(|phase| list(phase, "records")) {
        for record in told(entry)? {
            let mut fields = record.fields.unwrap_or_default();
            for (_, event, data) in record.steps {
                if let (true, Value::Object(data), Value::Object(fields)) =
                    (event == "set", data, &mut fields)
                {
                    fields.extend(data);
                }
            }
            for figure in list(entry, "counts").filter_map(Value::as_str) {
                *sums.entry(figure.to_owned()).or_default() += weight(figure, &fields)?;
            }
        }
        let decoy = entry.get("counts").is_none();
        let rule = text(entry, "tests");
        let figures = rule.split(':').next().unwrap_or_default();
        tried.extend(figures.split(' ').filter(|_| decoy).map(str::to_owned));
    }
    let figures = year["figures"].as_object().context("no figures")?;
    ensure!(figures.len() == 22, "{} figures", figures.len());
    for (figure, value) in figures {
        ensure!(
            sums.get(figure).map(|sum| json!(sum)).as_ref() == Some(value),
            "{figure} sums up to {:?}, not {value}",
            sums.get(figure)
        );
        ensure!(tried.contains(figure), "no decoy tries {figure}");
    }
    Ok(())
}

// ---- the year as it happens ----

/// The year, as far as it has been played.
struct Year {
    world: World,
    /// Ids and numbers by the names of the year.
    ids: BTreeMap<String, String>,
    numbers: BTreeMap<String, String>,
    /// The status in which each record must be in the end.
    ends: BTreeMap<String, String>,
    /// The names of what counts, by figure.
    counts: BTreeMap<String, BTreeSet<String>>,
    /// Which rule a record tries.
    tests: BTreeMap<String, String>,
}

/// A record under way: where it was written on last, and the steps that are left.
struct UnderWay {
    name: String,
    node: usize,
    left: VecDeque<Step>,
}

fn node(device: &str) -> Result<usize> {
    let node = DEVICES.iter().position(|it| *it == device);
    node.with_context(|| format!("no device is called {device}"))
}

impl Year {
    /// A hub, two computers of one station, a collection point, a laptop and an operator's PC, in sync.
    fn new(seed: u64) -> Result<Self> {
        let mut world = World::with_stations(seed, 2)?;
        ensure!(world.add_site("LS1", DEVICES[3])? == 3);
        ensure!(world.add_laptop(DEVICES[4])? == 4);
        ensure!(world.add_operator(DEVICES[OPERATOR])? == OPERATOR);
        world.heal()?;
        // Who seals names a second person, who is there.
        for name in ["示例管理员", "示例复核人"] {
            world.transact(HUB, |_, connection| accounts::id_of(connection, name))?;
        }
        Ok(Self {
            world,
            ids: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ends: BTreeMap::new(),
            counts: BTreeMap::new(),
            tests: BTreeMap::new(),
        })
    }

    fn play(&mut self, year: &Value) -> Result<()> {
        for phase in list(year, "phases") {
            self.happens(&phase["first"])?;
            let mut under_way = Vec::new();
            for entry in list(phase, "records") {
                under_way.extend(self.begin(entry)?);
            }
            self.walk(under_way).context(text(phase, "what"))?;
        }
        Ok(())
    }

    /// What happens to a device.
    fn happens(&mut self, first: &Value) -> Result<()> {
        let Some(what) = first.get(0).and_then(Value::as_str) else {
            return Ok(());
        };
        let node = node(first[1].as_str().unwrap_or_default())?;
        match what {
            "clock_a_year_ahead" => self.world.set_clock(node, YEAR_AHEAD_MS),
            "copy" => self.world.save(node, "copy"),
            "put_back" => {
                let database = |name: &str| name.starts_with("lianxin.db");
                self.world.load(node, "copy", database)
            }
            _ => bail!("nobody knows how {what} happens"),
        }
    }

    /// What is typed, with ids and numbers in the place of names.
    fn resolved(&self, value: &Value) -> Result<Value> {
        Ok(match value {
            Value::String(text) => {
                let known = match (text.strip_prefix('@'), text.strip_prefix('#')) {
                    (Some(name), _) => self.ids.get(name),
                    (_, Some(name)) => self.numbers.get(name),
                    (None, None) => return Ok(value.clone()),
                };
                json!(known.with_context(|| format!("{text} is not there yet"))?)
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.resolved(item));
                Value::Array(items.collect::<Result<Vec<Value>>>()?)
            }
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| -> Result<(String, Value)> {
                    Ok((key.clone(), self.resolved(value)?))
                };
                let members = members.iter().map(member);
                Value::Object(members.collect::<Result<Map<String, Value>>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }

    /// Writes the records of an entry where they are written; those that are there go on.
    fn begin(&mut self, entry: &Value) -> Result<Vec<UnderWay>> {
        let told = told(entry)?;
        let mut at = None;
        if entry.get("as").is_some() {
            let node = node(&text(entry, "at"))?;
            at = Some(node);
            for told in told.chunks(ROWS) {
                self.record(node, &text(entry, "kind"), told)
                    .with_context(|| text(entry, "as"))?;
            }
        }
        let mut under_way = Vec::new();
        for Told { name, steps, .. } in told {
            self.ends.insert(name.clone(), text(entry, "ends"));
            for figure in list(entry, "counts").filter_map(Value::as_str) {
                let names = self.counts.entry(figure.to_owned()).or_default();
                names.insert(name.clone());
            }
            if entry.get("tests").is_some() {
                self.tests.insert(name.clone(), text(entry, "tests"));
            }
            let first = steps.front().map(|(device, ..)| node(device)).transpose()?;
            under_way.push(UnderWay {
                name,
                node: at.or(first).context("nothing happens to it")?,
                left: steps,
            });
        }
        Ok(under_way)
    }

    fn record(&mut self, node: usize, kind: &str, told: &[Told]) -> Result<()> {
        let rows = told.iter().map(|told| {
            let fields = told.fields.as_ref().context("nothing is typed")?;
            self.resolved(fields)
        });
        let command = Write::RecordAdd {
            kind: kind.to_owned(),
            rows: rows.collect::<Result<_>>()?,
            first_row: 1,
            account: None,
        };
        let reply = self.world.call(node, command)?;
        for key in ["refused", "at_odds"] {
            ensure!(reply[key] == json!([]), "{key}: {}", reply[key]);
        }
        let made: Vec<_> = list(&reply, "records").collect();
        ensure!(made.len() == told.len(), "{} of {}", made.len(), told.len());
        for (told, made) in told.iter().zip(made) {
            let name = &told.name;
            let before = self.ids.insert(name.clone(), text(made, "id"));
            ensure!(before.is_none(), "two records are called {name}");
            self.numbers.insert(name.clone(), text(made, "number"));
        }
        Ok(())
    }

    /// Takes records their way: at each device as far as it goes there, then over the lines to where it goes on.
    fn walk(&mut self, mut under_way: Vec<UnderWay>) -> Result<()> {
        for _ in 0..ROUNDS_MAX {
            for it in &mut under_way {
                while let Some((device, event, data)) = it.left.front() {
                    if node(device)? != it.node {
                        break;
                    }
                    self.step(it.node, &it.name, event, data)
                        .with_context(|| format!("{}: {event} at {device}", it.name))?;
                    it.left.pop_front();
                }
            }
            self.meet()?;
            under_way.retain(|it| !it.left.is_empty());
            if under_way.is_empty() {
                return Ok(());
            }
            for it in &mut under_way {
                if let Some((device, ..)) = it.left.front() {
                    it.node = node(device)?;
                }
            }
        }
        bail!("some records never come to their end")
    }

    fn step(&mut self, node: usize, name: &str, event: &str, data: &Value) -> Result<()> {
        let id = self.ids.get(name).context("it was never written")?.clone();
        let input = self.resolved(data)?;
        let account = None;
        let command = match event {
            "set" => Write::RecordSet { id, input, account },
            _ => Write::RecordAct {
                id,
                event: event.to_owned(),
                input,
                account,
            },
        };
        let reply = self.world.reply(node, command)?;
        ensure!(reply.exit == 0, "{}", reply.value);
        Ok(())
    }

    /// The devices meet the hub in the order that the seed gives, some of them twice, on lines that break; in the end all have met.
    fn meet(&mut self) -> Result<()> {
        let mut order: Vec<usize> = (1..DEVICES.len()).collect();
        while !order.is_empty() {
            let rng = &mut self.world.rng;
            let device = order.swap_remove(rng.below(order.len()));
            let cut = match rng.below(3) {
                0 => Cut::AfterFrames(rng.next_u64() % 30),
                1 => Cut::AfterBytes(rng.next_u64() % 40_000),
                _ => Cut::Never,
            };
            let chunks = if rng.chance(50) {
                Chunks::Frames
            } else {
                Chunks::Random
            };
            let alone = rng.chance(60);
            self.world.link(device, HUB, Wire { cut, chunks })?;
            if alone {
                self.world.run()?;
                self.world.unlink_all();
            }
        }
        self.world.run()?;
        self.world.heal()
    }

    // ---- what is asked ----

    /// The devices that see everything, as commands find them: nobody has their stores open.
    fn left(&mut self) -> Result<[(&'static str, Device); 2]> {
        let mut device = |node: usize| -> Result<_> {
            self.world.stop(node)?;
            let directory = self.world.node(node)?.directory.clone();
            Ok((DEVICES[node], Device::new(directory)))
        };
        Ok([device(HUB)?, device(OPERATOR)?])
    }

    /// Every record is there, counts, and is in its state.
    fn all_in_their_states(&self, device: &Device) -> Result<()> {
        let listed = device.records()?;
        let listed: BTreeMap<_, _> = listed.iter().map(|it| (text(it, "id"), it)).collect();
        for (name, ends) in &self.ends {
            let id = self.ids.get(name).context("no id")?;
            let row = listed.get(id).with_context(|| format!("no {name}"))?;
            let state = text(row, "state");
            ensure!(
                text(row, "status") == *ends && row["held"].is_null(),
                "{name} is not {ends} but {row}"
            );
            ensure!(
                ["merged", "answered", "refused"].contains(&state.as_str()),
                "{name} is {state}"
            );
        }
        Ok(())
    }

    /// What stands behind figures that should not, and what does not that should: nothing if all is well.
    fn differences(&self, proof: &Value) -> Vec<String> {
        let names: BTreeMap<_, _> = self.ids.iter().map(|(name, id)| (id, name)).collect();
        let mut found = Vec::new();
        for figure in OF_RECORDS {
            let have = behind(proof, figure);
            let have: BTreeSet<_> = have
                .iter()
                .map(|id| names.get(id).map_or(id.as_str(), |name| name.as_str()))
                .collect();
            let want = self.counts.get(figure).into_iter().flatten();
            let want: BTreeSet<_> = want.map(String::as_str).collect();
            let say = |name: &str, verb: &str| {
                let rule = self.tests.get(name).map_or("", String::as_str);
                format!("{figure} {verb} {name} [{rule}]")
            };
            found.extend(
                want.difference(&have)
                    .copied()
                    .map(|name| say(name, "lacks")),
            );
            found.extend(
                have.difference(&want)
                    .copied()
                    .map(|name| say(name, "counts")),
            );
        }
        found
    }
}

/// The ids of the records that a proof lists under a figure, wherever that stands in it.
fn behind(proof: &Value, figure: &str) -> BTreeSet<String> {
    let id = |item: &Value| match item {
        Value::String(id) => id.clone(),
        item => ["record", "id"]
            .map(|key| text(item, key))
            .into_iter()
            .find(|id| !id.is_empty())
            .unwrap_or_default(),
    };
    let inner: Vec<&Value> = match proof {
        Value::Object(members) => {
            let listed = members.get(figure).and_then(|it| {
                let items = it.as_array();
                items.or_else(|| it.get("records").and_then(Value::as_array))
            });
            if let Some(items) = listed {
                return items.iter().map(id).collect();
            }
            members.values().collect()
        }
        Value::Array(items) => items.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut found = inner.into_iter().map(|it| behind(it, figure));
    found.find(|it| !it.is_empty()).unwrap_or_default()
}

/// Asks for the figures of a period; gives the reply.
fn figures(device: &Device, [from, to]: [&str; 2], more: &[&str]) -> Result<Value> {
    let mut arguments = vec!["report", "figures", "--from", from, "--to", to];
    arguments.extend(more);
    device.ok(&arguments)
}

/// What a report of the figures says in its lines, by their names: money in yuan, as people read it.
fn said_of(report: &Value) -> Result<Vec<(String, String)>> {
    let rows = list(report, "rows").map(|row| {
        let value = match (&row["value"], row["counted_in"].as_str()) {
            (Value::Null, _) => "—".to_owned(),
            (fen, Some("u-fen")) => {
                let fen = fen.as_i64().context("no amount")?;
                let yuan = format!("{}.{:02}", fen / 100, fen % 100);
                yuan.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            (value, _) => value.to_string(),
        };
        Ok((text(row, "figure"), value))
    });
    rows.collect()
}

/// The same of the workbook.
fn printed(device: &Device, period: [&str; 2], path: &Path) -> Result<Vec<(String, String)>> {
    let file = path_text(path)?;
    figures(device, period, &["--format", "xlsx", "--out", &file])?;
    let table = sheets::read(&std::fs::read(path)?, None)?;
    let text = |row: &sheets::Row, at: usize| {
        let cell = row.cells.get(at).map(|cell| cell.text.to_string());
        cell.unwrap_or_default()
    };
    let rows = table.rows.iter();
    Ok(rows.map(|row| (text(row, 0), text(row, 2))).collect())
}

/// The page says of each figure what the command does.
#[test]
fn the_page_of_the_figures_says_what_the_command_does() -> Result<()> {
    let network = Network::new()?;
    let hub = &network.hub;
    let row = json!({ "date": "2026-04-01", "donation_kind": "cash", "amount_fen": 1_234_500 });
    let add = ["record", "add", "--kind", "donation", "--file", "-"];
    hub.feed(&add, row.to_string())?.exits(0)?;
    let (browser, _) = Browser::through(&link(hub)?)?;
    let page = browser.get("/reports/figures?from=2026-01-01&to=2026-12-31")?;
    let lines = page.body.split("<th scope=\"row\">").skip(1).map(|line| {
        let mut cells = line.split("<td").take(3).map(|cell| {
            let inside = cell.split_once('>').map_or(cell, |(_, inside)| inside);
            let shown = inside
                .split('>')
                .find(|it| !it.is_empty() && !it.starts_with('<'));
            let shown = shown.unwrap_or_default();
            shown.split('<').next().unwrap_or_default().to_owned()
        });
        (
            line.split('<').next().unwrap_or_default().to_owned(),
            cells.nth(2).unwrap_or_default(),
        )
    });
    let lines: Vec<_> = lines.collect();
    let said = figures(hub, ["2026-01-01", "2026-12-31"], &[])?;
    for (figure, value) in said_of(&said)? {
        let is_it = |(name, shown): &&(String, String)| {
            let shown = match shown.contains('.') {
                true => shown.trim_end_matches('0').trim_end_matches('.'),
                false => shown,
            };
            *name == figure && shown == value
        };
        ensure!(
            lines.iter().any(|line| is_it(&line)),
            "{figure} is {value}: {lines:?}"
        );
    }
    Ok(())
}

/// Asks for the figures with their proof.
fn proven(device: &Device, period: [&str; 2], path: &Path) -> Result<(Value, Value)> {
    let file = path_text(path)?;
    let report = figures(device, period, &["--proof", &file])?;
    Ok((
        report,
        serde_json::from_str(&std::fs::read_to_string(path)?)?,
    ))
}

/// Plays the year in one order and asks for its figures.
fn a_year(seed: u64) -> Result<()> {
    let fixture = fixture()?;
    let mut year = Year::new(seed)?;
    year.play(&fixture)?;
    let everybody: Vec<usize> = (1..DEVICES.len()).collect();
    year.world.agree(&everybody)?;
    ensure!(
        year.world.violations.is_empty(),
        "{:?}",
        year.world.violations
    );

    let period = &fixture["period"];
    let day = |at: usize| period[at].as_str().context("no period");
    let period = [day(0)?, day(1)?];
    let mut tables = Vec::new();
    let in_scope = year.left()?;
    for (name, device) in &in_scope {
        year.all_in_their_states(device).context(*name)?;
        let path = year.world.fresh_path(&format!("proof-{name}"));
        let (report, proof) = proven(device, period, &path)?;
        ensure!(report["report"] == "figures", "{report}");
        let mut wrong = year.differences(&proof);
        for (figure, value) in fixture["figures"].as_object().context("no figures")? {
            let got = &report["totals"][figure];
            if got != value {
                wrong.push(format!("{figure} is {got} instead of {value}"));
            }
            let behind = behind(&proof, figure).len();
            let counted = OF_RECORDS.contains(&figure.as_str()) || figure == KEY;
            if counted && json!(behind) != *value {
                wrong.push(format!("{behind} records prove {figure}, not {value}"));
            }
        }
        ensure!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
        let path = year.world.fresh_path(&format!("{name}.xlsx"));
        let book = printed(device, period, &path)?;
        ensure!(book == said_of(&report)?, "the workbook says {book:?}");
        tables.push((report["totals"].clone(), report["rows"].clone()));
        // Whoever holds the records recounts it, whichever of them wrote it.
        for (other, device) in &in_scope {
            let verified = device.ok(&["verify", &path_text(&path)?]);
            verified.with_context(|| format!("{other} recounts what {name} proves"))?;
        }
    }
    ensure!(
        tables.windows(2).all(|two| two[0] == two[1]),
        "the table depends on the device: {tables:?}"
    );
    Ok(())
}

#[test]
fn the_figures_of_a_year_are_exact_on_every_device_in_whatever_order_they_met() -> Result<()> {
    let seeds = std::env::var("LIANXIN_SEEDS").ok();
    let seeds = seeds
        .map(|it| it.parse::<u64>())
        .transpose()?
        .unwrap_or(SEEDS);
    // Side by side.
    let failed = std::thread::scope(|scope| {
        let years = (0..seeds).map(|seed| scope.spawn(move || a_year(seed)));
        let years: Vec<_> = years.collect();
        let ended = years.into_iter().zip(0..seeds).filter_map(|(year, seed)| {
            let year = year.join().unwrap_or_else(|_| Err(anyhow!("it panicked")));
            year.err().map(|error| format!("seed {seed}: {error:#}"))
        });
        ended.collect::<Vec<_>>()
    });
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

// ---- what is known when ----

const PERIOD: [&str; 2] = ["2022-01-01", "2022-12-31"];

/// A suggestion of 2022 that was signed where it was written.
fn suggest(year: &mut Year, device: &str, name: &str) -> Result<()> {
    let entry = json!({
        "as": name, "at": device, "kind": "deputy_suggestion", "counts": ["F1"], "ends": "signed", "steps": [[device, "sign"]],
        "fields": {"title": "关于示例的建议", "collected_on": "2022-05-05", "lead_deputy": "测试代表甲"},
    });
    for it in year.begin(&entry)? {
        for (_, event, data) in it.left {
            year.step(it.node, &it.name, &event, &data)?;
        }
    }
    Ok(())
}

/// How many suggestions and volunteer teams a device says there are, known by a time or today.
fn said(device: &Device, as_of: Option<&str>) -> Result<[Value; 2]> {
    let more = as_of.map_or_else(Vec::new, |at| vec!["--as-of", at]);
    let report = figures(device, PERIOD, &more)?;
    Ok(["F1", "F22"].map(|figure| report["totals"][figure].clone()))
}

#[test]
fn what_arrives_after_the_cut_off_is_known_only_after_it_and_what_has_not_arrived_to_nobody()
-> Result<()> {
    let mut year = Year::new(7)?;
    suggest(&mut year, "EM1A", "早一")?;
    suggest(&mut year, "HUB", "早二")?;
    // Typed early, by a desk that has no line until later.
    suggest(&mut year, "EM1B", "路上")?;
    year.world.link(1, HUB, Wire::GOOD)?;
    year.world.run()?;
    year.world.unlink_all();
    year.world.set_clock(HUB, LATE_MS)?;
    suggest(&mut year, "LS1A", "晚一")?;
    suggest(&mut year, "HUB", "晚二")?;
    year.meet()?;
    for (name, device) in year.left()? {
        let known = said(&device, Some(CUT_OFF))?;
        ensure!(
            known == [json!(2), json!(0)],
            "{name} at the cut-off: {known:?}"
        );
        let known = said(&device, None)?;
        ensure!(known == [json!(5), json!(0)], "{name} now: {known:?}");
    }

    // What has not arrived counts nowhere, not even where it was typed: or two devices would print two tables.
    for node in [HUB, OPERATOR] {
        year.world.start(node)?;
    }
    suggest(&mut year, "HUBB", "未到")?;
    let team = json!({"name": "示例志愿分队", "opened_on": "2021-01-01"});
    year.world.record(OPERATOR, "volunteer_team", team)?;
    for (name, device) in year.left()? {
        let known = said(&device, None)?;
        ensure!(
            known == [json!(5), json!(0)],
            "{name} before it arrives: {known:?}"
        );
    }
    for node in [HUB, OPERATOR] {
        year.world.start(node)?;
    }
    year.meet()?;
    for (name, device) in year.left()? {
        let known = said(&device, None)?;
        ensure!(
            known == [json!(6), json!(1)],
            "{name} once it has: {known:?}"
        );
        let known = said(&device, Some(CUT_OFF))?;
        ensure!(
            known == [json!(2), json!(0)],
            "{name} at the cut-off, asked again: {known:?}"
        );
    }
    Ok(())
}

#[test]
fn what_is_held_back_counts_nowhere() -> Result<()> {
    let mut year = Year::new(9)?;
    suggest(&mut year, "EM1A", "甲")?;
    suggest(&mut year, "EM1B", "乙")?;
    year.meet()?;
    for (name, device) in year.left()? {
        let known = said(&device, None)?;
        ensure!(known[0] == 2, "{name} before: {known:?}");
    }
    for node in [HUB, OPERATOR] {
        year.world.start(node)?;
    }
    // A computer was stolen long ago: nothing of it counts.
    let device = year.world.node(node("EM1B")?)?.key;
    let (lost, cuts) = (true, Vec::new());
    year.world.order(&Order::Revoke { device, lost, cuts })?;
    year.meet()?;
    for (name, device) in year.left()? {
        let known = said(&device, None)?;
        ensure!(known[0] == 1, "{name} after: {known:?}");
    }
    Ok(())
}

// ---- what a proof is good for ----

#[test]
fn a_proof_in_which_a_record_was_changed_or_left_out_is_found_out() -> Result<()> {
    let mut year = Year::new(8)?;
    suggest(&mut year, "EM1A", "甲")?;
    suggest(&mut year, "EM1B", "乙")?;
    year.meet()?;
    let path = year.world.fresh_path("proof");
    let file = path_text(&path)?;
    for (name, device) in year.left()? {
        let (report, proof) = proven(&device, PERIOD, &path)?;
        ensure!(report["totals"]["F1"] == 2, "{report}");
        let ids = behind(&proof, "F1");
        let all: BTreeSet<String> = year.ids.values().cloned().collect();
        ensure!(ids == all, "{ids:?}");
        device.ok(&["verify", &file])?;

        let whole = std::fs::read_to_string(&path)?;
        let id = ids.first().context("no id")?;
        let last = if id.ends_with('0') { "1" } else { "0" };
        let other = format!("{}{last}", &id[..id.len() - 1]);
        let twice = ids.last().context("no id")?;
        // An id of nothing, one record in the place of another, and one that is left out.
        let changed = [whole.replacen(id, &other, 1), whole.replace(id, twice)];
        for (nth, changed) in changed.into_iter().enumerate() {
            ensure!(changed != whole, "nothing was changed");
            std::fs::write(&path, changed)?;
            let verified = device.call(&["verify", &file])?;
            verified
                .exits(2)
                .with_context(|| format!("{name}, changed in way {nth}"))?;
        }
        let shorter = without(&proof, id);
        ensure!(behind(&shorter, "F1").len() == 1, "{shorter}");
        std::fs::write(&path, shorter.to_string())?;
        let verified = device.call(&["verify", &file])?;
        verified.exits(2).context("a record was left out")?;
    }
    Ok(())
}

/// The proof without the items that name a record.
fn without(proof: &Value, id: &str) -> Value {
    let names = |item: &Value| item == id || item["record"] == id || item["id"] == id;
    match proof {
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(members.map(|(k, v)| (k.clone(), without(v, id))).collect())
        }
        Value::Array(items) => {
            let items = items.iter().filter(|item| !names(item));
            items.map(|item| without(item, id)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => proof.clone(),
    }
}
