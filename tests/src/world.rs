//! Nodes, links and faults.
//!
//! A node is a data directory with a real writer. A link is two sessions and the bytes between them; it
//! does what `lianxin_node::sync::peer` does, one small step at a time, so that a fault can fall between
//! any two of them: events are attended in transactions of their own, what a commit moved is told to all
//! sessions of its node, and merging is a step like any other. A fault is data: where a link is cut, in
//! which pieces its bytes arrive, which node is opened anew, which transaction is lost.
//!
//! What every honest run must keep is checked here as well ([`World::agree`], [`World::sound`],
//! [`World::claims_hold`]), so that each scenario says only what is particular to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lianxin_node::archive::assemble;
use lianxin_node::clock::{Played, Wall};
use lianxin_node::command::{Command, Listing, Query, Write};
use lianxin_node::error::{Code, Error};
use lianxin_node::journal::{Journal, Moved};
use lianxin_node::records;
use lianxin_node::reply::Reply;
use lianxin_node::search;
use lianxin_node::setup::{self, Card, HubInit, Member};
use lianxin_node::store::Store;
use lianxin_node::sync::attend::{self, Attendant};
use lianxin_node::writer::Writer;
use lianxin_protocol::archive::{Audit, Report};
use lianxin_protocol::authority::{Grant, Order, Role, SiteKind};
use lianxin_protocol::batch::{self, Parts};
use lianxin_protocol::document::Edit;
use lianxin_protocol::hash;
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
use lianxin_protocol::limits;
use lianxin_protocol::log::{DigestMode, EntryKind, LogId, NewEntry};
use lianxin_protocol::message::{FrameReader, Message, Tip, WireBatch};
use lianxin_protocol::session::{Close, Event, Session};
use lianxin_protocol::space::{NetworkId, SiteId, Space, SpaceId};
use serde_json::{Value, json};

use crate::Rng;

/// Steps of all links together after which a world that has not come to rest never will.
const STEPS_MAX: u64 = 200_000;
/// Unix time at which worlds begin, in milliseconds.
const BEGINS_MS: u64 = 1_790_000_000_000;
/// Worlds that this process has made.
static WORLDS: AtomicU32 = AtomicU32::new(0);
/// Frames on their way in one direction.
const IN_FLIGHT: usize = 4;

/// Where a link breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    Never,
    /// After this many whole frames, both directions together.
    AfterFrames(u64),
    /// After this many bytes, both directions together.
    AfterBytes(u64),
    /// After this many frames in one direction: what is sent to this end is lost from then on, and what it
    /// sends goes on arriving.
    OneWay {
        /// The end that hears nothing more: 0 dialled, 1 listened.
        deaf: usize,
        /// Frames after which it does.
        frames: u64,
    },
}

/// In which pieces bytes arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunks {
    /// A frame at a time.
    Frames,
    /// One by one.
    Single,
    /// As the seed has it: pieces of frames, or several together.
    Random,
}

/// How a link behaves.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Where it breaks.
    pub cut: Cut,
    /// How it delivers.
    pub chunks: Chunks,
}

impl Wire {
    /// Delivers everything.
    pub const GOOD: Self = Self {
        cut: Cut::Never,
        chunks: Chunks::Frames,
    };

    /// Breaks somewhere.
    #[must_use]
    pub const fn cut(cut: Cut) -> Self {
        Self {
            cut,
            chunks: Chunks::Frames,
        }
    }
}

/// What a link carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Whole frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// What it is called in messages.
    pub name: String,
    /// Its data directory.
    pub directory: PathBuf,
    /// Its device key.
    pub key: DeviceKey,
    writer: Option<Writer>,
    wall: Wall,
    stale: bool,
    lose_next: bool,
}

impl Node {
    fn open(&self) -> Result<Writer> {
        // A process that another test of this program begins holds the lock that was just given up, until its
        // own program runs: for moments.
        let mut attempts = 0;
        loop {
            match Store::open(&self.directory).and_then(|store| Writer::open(&store)) {
                Err(error) if error.code() == Code::InUse && attempts < 100 => {
                    attempts += 1;
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                opened => {
                    let mut writer = opened?;
                    writer.journal.wall = self.wall;
                    return Ok(writer);
                }
            }
        }
    }

    /// The writer, whose clock is that of the node when the world has this time.
    fn writer_at(&mut self, now_ms: u64) -> Result<&mut Writer> {
        let time = self.time(now_ms);
        let writer = self.writer.as_mut().context("a node is off")?;
        writer.journal.wall = Wall::Set(time);
        Ok(writer)
    }

    /// What this node takes for the time: its clock, if it was set.
    fn time(&self, otherwise: u64) -> u64 {
        match self.wall {
            Wall::System => otherwise,
            Wall::Set(unix_ms) => unix_ms,
        }
    }
}

#[derive(Debug)]
struct End {
    node: usize,
    peer: DeviceKey,
    session: Session,
    attendant: Attendant,
    /// Frames on their way to this end.
    inbox: VecDeque<Vec<u8>>,
    /// Bytes of the first of them that were delivered.
    taken: usize,
    closed: Option<Close>,
}

#[derive(Debug)]
struct Link {
    id: u64,
    ends: [End; 2],
    wire: Wire,
    carried: Carried,
}

/// Frames that one device sent to another, for a peer that says things twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overheard {
    /// Who sent it.
    pub from: DeviceKey,
    /// Who it was sent to.
    pub to: DeviceKey,
    /// The frame.
    pub frame: Vec<u8>,
}

/// Nodes and the links between them.
#[derive(Debug)]
pub struct World {
    base: PathBuf,
    played: Played,
    /// The nodes; the first is the hub.
    pub nodes: Vec<Node>,
    links: Vec<Link>,
    next_link: u64,
    now_ms: u64,
    /// How often a node has taken in something of a session.
    taken_in: u64,
    /// What is little is merged with what takes it in, every other time.
    pub merges_little: bool,
    /// The random source of schedules.
    pub rng: Rng,
    /// Batches, receipts and proofs of forks that went over any wire.
    pub overheard: Vec<Overheard>,
    /// Sessions that ended because a peer was said to break the protocol. Honest peers never do.
    pub violations: Vec<Close>,
    /// Whether both ends of every link said that they hold the same when [`World::heal`] had come to rest.
    pub in_sync: bool,
    /// What ended links carried.
    pub carried: BTreeMap<u64, Carried>,
    told_behind: BTreeSet<usize>,
    newer: Option<usize>,
    /// The network's root key, as on its recovery card.
    pub root: Signer,
}

impl Drop for World {
    fn drop(&mut self) {
        self.links.clear();
        self.nodes.clear();
        drop(std::fs::remove_dir_all(&self.base));
    }
}

/// The hub's place among the nodes.
pub const HUB: usize = 0;

impl World {
    /// A network with its hub and one site `EM1` without devices.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn new(seed: u64) -> Result<Self> {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let name = format!("lianxin-world-{}-{number}", std::process::id());
        // In memory where there is such a thing: what a disk may lose is not the subject here.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let base = base.join(name);
        // What a process of this number left that was killed.
        if base.exists() {
            std::fs::remove_dir_all(&base)?;
        }
        std::fs::create_dir(&base)?;
        let played = Played::begin(seed, BEGINS_MS);
        let directory = base.join("hub");
        let init = HubInit {
            web: None,
            name: "示例街",
            code: Some("SLJD"),
            listen: None,
            recovery_out: None,
        };
        let made = setup::hub_init(&directory, &init)?;
        let root = made.pointer("/recovery/root_key").and_then(Value::as_str);
        let root = root.and_then(hash::parse_hex).context("no root key")?;
        let mut world = Self {
            base,
            played,
            nodes: Vec::new(),
            links: Vec::new(),
            next_link: 0,
            now_ms: BEGINS_MS,
            taken_in: 0,
            merges_little: true,
            rng: Rng::new(seed),
            overheard: Vec::new(),
            violations: Vec::new(),
            in_sync: false,
            carried: BTreeMap::new(),
            told_behind: BTreeSet::new(),
            newer: None,
            root: Signer::from_seed(&root),
        };
        world.adopt_directory("hub", directory)?;
        world.call(
            HUB,
            Write::SiteCreate {
                name: "示例街道测试社区人大代表工作站".to_owned(),
                kind: "workstation".to_owned(),
                code: Some("EM1".to_owned()),
            },
        )?;
        Ok(world)
    }

    /// Begins a schedule on nodes that are not linked: whatever this world did before, the same happens as often as
    /// this seed is played on the same stores.
    pub fn replay(&mut self, seed: u64) {
        self.unlink_all();
        self.rng = Rng::new(seed);
        self.played = Played::begin(seed, BEGINS_MS);
        (self.now_ms, self.next_link, self.taken_in) = (BEGINS_MS, 0, 0);
        self.carried.clear();
        self.overheard.clear();
        self.violations.clear();
        self.told_behind.clear();
    }

    /// A network whose hub has granted `stations` stations of one site, all in sync.
    ///
    /// # Errors
    /// The files cannot be made, or the nodes do not agree.
    pub fn with_stations(seed: u64, stations: usize) -> Result<Self> {
        let mut world = Self::new(seed)?;
        for letter in ['A', 'B', 'C', 'D'].into_iter().take(stations) {
            let station = world.add_station(&format!("EM1{letter}"))?;
            world.grant(station)?;
        }
        world.heal()?;
        Ok(world)
    }

    /// The network.
    ///
    /// # Errors
    /// The hub is off.
    pub fn network(&mut self) -> Result<NetworkId> {
        Ok(self.writer(HUB)?.journal.identity().network)
    }

    /// The site of the stations.
    ///
    /// # Errors
    /// The hub is off or has no site.
    pub fn site(&mut self) -> Result<SiteId> {
        let site = self.writer(HUB)?.journal.authority().site_by_code("EM1");
        site.context("the hub has no site")
    }

    /// The space of that site.
    ///
    /// # Errors
    /// The hub is off or has no site.
    pub fn site_space(&mut self) -> Result<SpaceId> {
        let (site, network) = (self.site()?, self.network()?);
        Ok(Space::Site(site).id(&network))
    }

    /// Adds a station that was set up from an invite's file and is not granted anything yet 待入网.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn add_station(&mut self, device_code: &str) -> Result<usize> {
        let site = self.site()?;
        self.add_device(device_code, Some((site, "EM1".to_owned())))
    }

    /// Adds a station of a site of its own, granted and ready.
    ///
    /// # Errors
    /// The files cannot be made, or the hub refuses.
    pub fn add_site(&mut self, code: &str, device_code: &str) -> Result<usize> {
        self.call(
            HUB,
            Write::SiteCreate {
                name: format!("示例采集点{code}"),
                kind: "collection_point".to_owned(),
                code: Some(code.to_owned()),
            },
        )?;
        let site = self.writer(HUB)?.journal.authority().site_by_code(code);
        let site = site.context("the site was not made")?;
        let station = self.add_device(device_code, Some((site, code.to_owned())))?;
        self.grant_role(station, Role::Station, Some(site))?;
        Ok(station)
    }

    /// Adds a laptop of the site `EM1` that the hub has granted its role.
    ///
    /// # Errors
    /// The files cannot be made, or the hub refuses.
    pub fn add_laptop(&mut self, device_code: &str) -> Result<usize> {
        let laptop = self.add_station(device_code)?;
        let site = self.site()?;
        self.grant_role(laptop, Role::Laptop, Some(site))?;
        Ok(laptop)
    }

    /// Adds an operator's PC that the hub has granted its role.
    ///
    /// # Errors
    /// The files cannot be made, or the hub refuses.
    pub fn add_operator(&mut self, device_code: &str) -> Result<usize> {
        let operator = self.add_device(device_code, None)?;
        self.grant_role(operator, Role::Operator, None)?;
        Ok(operator)
    }

    fn add_device(&mut self, device_code: &str, site: Option<(SiteId, String)>) -> Result<usize> {
        let network = self.network()?;
        let hub = self.node(HUB)?.key;
        let code = (0..37).find_map(|n| InviteCode::from_random([n; 10]));
        let card = Card {
            code: code.context("no code")?,
            network,
            hub,
            addresses: Vec::new(),
            site,
            device_code: device_code.to_owned(),
            district: "SLJD".to_owned(),
        };
        let directory = self.base.join(device_code);
        let member = Member {
            network,
            device: Signer::from_seed(&lianxin_node::clock::random()?),
            age_seed: [7; 32],
            hub: Some(hub),
            device_code,
            addresses: &[],
            card: Some(&card),
            pending_invite: None,
            words: None,
        };
        setup::create_member(&directory, member)?;
        self.adopt_directory(device_code, directory)
    }

    /// Adds a node of a data directory that is there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn adopt_directory(&mut self, name: &str, directory: PathBuf) -> Result<usize> {
        let writer = Writer::open(&Store::open(&directory)?)?;
        self.nodes.push(Node {
            name: name.to_owned(),
            directory,
            key: writer.journal.identity().key(),
            writer: Some(writer),
            wall: Wall::System,
            stale: true,
            lose_next: false,
        });
        Ok(self.nodes.len() - 1)
    }

    /// A path for one more data directory of this world.
    #[must_use]
    pub fn fresh_path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Grants a station what its role needs.
    ///
    /// # Errors
    /// The hub refuses.
    pub fn grant(&mut self, station: usize) -> Result<()> {
        let site = self.site()?;
        self.grant_role(station, Role::Station, Some(site))
    }

    fn grant_role(&mut self, node: usize, role: Role, site: Option<SiteId>) -> Result<()> {
        let node = self.node(node)?;
        let (device, device_code) = (node.key, node.name.clone());
        let hub = &self.writer(HUB)?.journal;
        let serial = hub.authority().next_serial();
        let known = hub.authority().members().contains_key(&device);
        let places = if known {
            hub.places_of(&device)
        } else {
            Vec::new()
        };
        self.order(&Order::Grant(Grant {
            serial,
            device,
            recipient: [9; 32],
            site,
            role,
            device_code,
            scopes: role.scopes(site),
            bytes_per_day: 0,
            places,
        }))
    }

    /// Grants a station the role of a reader from here on.
    ///
    /// # Errors
    /// The hub refuses.
    pub fn narrow(&mut self, station: usize) -> Result<()> {
        let site = self.site()?;
        self.grant_role(station, Role::Reader, Some(site))
    }

    /// Gives an order at the hub.
    ///
    /// # Errors
    /// The hub refuses.
    pub fn order(&mut self, order: &Order) -> Result<()> {
        let now = self.time_of(HUB)?;
        self.transact(HUB, |journal, connection| {
            journal.order(connection, std::slice::from_ref(order), now)
        })?;
        Ok(())
    }

    /// What `status` of a node warns of: its exit code, and the codes of the warnings, each of which has a next step.
    ///
    /// # Errors
    /// The store cannot be read, or a warning has no hint.
    pub fn warned(&mut self, node: usize) -> Result<(u8, Vec<String>)> {
        let unreceipted_minutes = u64::MAX;
        let status = self.reply(
            node,
            Query::Status {
                unreceipted_minutes,
            },
        )?;
        let warnings = status.value.get("warnings").and_then(Value::as_array);
        let warnings = warnings.context("no warnings")?;
        for warning in warnings {
            ensure!(!text(warning, "hint").is_empty(), "{warning}");
        }
        let codes = warnings.iter().map(|it| text(it, "code"));
        Ok((status.exit, codes.collect()))
    }

    /// Shows a hub the recovery card; `alone` if it has heard nobody. Gives the version that it certified.
    ///
    /// # Errors
    /// It refuses.
    pub fn resume(&mut self, hub: usize, alone: bool) -> Result<u32> {
        let (root, now) = (self.root.clone(), self.time_of(hub)?);
        let resumed = self.transact(hub, |journal, connection| {
            journal.resume(connection, &root, alone, now)
        })?;
        Ok(resumed.version)
    }

    /// A node.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn node(&self, node: usize) -> Result<&Node> {
        self.nodes.get(node).context("no such node")
    }

    fn node_mut(&mut self, node: usize) -> Result<&mut Node> {
        self.nodes.get_mut(node).context("no such node")
    }

    /// A node's writer.
    ///
    /// # Errors
    /// The node is off.
    pub fn writer(&mut self, node: usize) -> Result<&mut Writer> {
        let now = self.now_ms;
        self.node_mut(node)?.writer_at(now)
    }

    /// Runs work in a transaction of a node and tells its sessions what moved.
    ///
    /// # Errors
    /// Those of the work.
    pub fn transact<R>(
        &mut self,
        node: usize,
        work: impl FnOnce(&mut Journal, &rusqlite::Connection) -> lianxin_node::error::Result<R>,
    ) -> Result<R> {
        let now = self.time_of(node)?;
        let (answer, moved) = self.writer(node)?.transact(now, work)?;
        self.follow(node, &moved)?;
        Ok(answer)
    }

    /// Carries out a command as a node's clerk would.
    ///
    /// # Errors
    /// The command's own.
    pub fn call(&mut self, node: usize, command: impl Into<Command>) -> Result<Value> {
        Ok(self.reply(node, command)?.value)
    }

    /// As [`World::call`], with the exit code.
    ///
    /// # Errors
    /// The command's own.
    pub fn reply(&mut self, node: usize, command: impl Into<Command>) -> Result<Reply> {
        match command.into() {
            Command::Write(write) => self.transact(node, |journal, connection| {
                write.execute(journal, connection)
            }),
            Command::Query(query) => {
                let writer = self.writer(node)?;
                Ok(writer.read(|journal, connection| query.execute(journal, connection))?)
            }
        }
    }

    // ---- records ----

    /// Records an opinion; gives its id, its number and the hash of its first change.
    ///
    /// # Errors
    /// The node refuses.
    pub fn add(&mut self, node: usize, title: &str) -> Result<(String, String, String)> {
        let command = Write::RecordAdd {
            kind: "opinion".to_owned(),
            rows: vec![opinion(title)],
            first_row: 1,
            account: None,
        };
        let reply = self.call(node, command)?;
        let first = reply.pointer("/records/0");
        let first = first.with_context(|| format!("a record was refused: {reply}"))?;
        let (id, number) = (text(first, "id"), text(first, "number"));
        let changes = self.changes(node, &id)?;
        // None if the device was revoked.
        ensure!(changes.len() <= 1, "a new record has one change");
        let hash = changes.into_iter().next().unwrap_or_default();
        Ok((id, number, hash))
    }

    /// Records one record of any kind; gives its id and its number, empty if it has none.
    ///
    /// # Errors
    /// The node refuses.
    pub fn record(&mut self, node: usize, kind: &str, input: Value) -> Result<(String, String)> {
        let command = Write::RecordAdd {
            kind: kind.to_owned(),
            rows: vec![input],
            first_row: 1,
            account: None,
        };
        let reply = self.call(node, command)?;
        let first = reply.pointer("/records/0");
        let first = first.with_context(|| format!("a record was refused: {reply}"))?;
        Ok((text(first, "id"), text(first, "number")))
    }

    /// Sets fields; gives the hash of the change, or `None` if there was nothing to change.
    ///
    /// # Errors
    /// The node refuses.
    pub fn set(&mut self, node: usize, id: &str, input: Value) -> Result<Option<String>> {
        let command = Write::RecordSet {
            id: id.to_owned(),
            input,
            account: None,
        };
        self.edit(node, command, &[Code::NothingToDo, Code::RecordWaiting])
    }

    /// Takes a workflow step; gives the hash of the change, or `None` if it is not possible now.
    ///
    /// # Errors
    /// The node refuses.
    pub fn act(&mut self, node: usize, id: &str, event: &str) -> Result<Option<String>> {
        let command = Write::RecordAct {
            id: id.to_owned(),
            event: event.to_owned(),
            input: json!({}),
            account: None,
        };
        self.edit(node, command, &[Code::StepRefused, Code::RecordWaiting])
    }

    fn edit(&mut self, node: usize, command: Write, fine: &[Code]) -> Result<Option<String>> {
        let now = self.time_of(node)?;
        let done = self.writer(node)?.transact(now, |journal, connection| {
            command.execute(journal, connection)
        });
        match done {
            Ok((reply, moved)) => {
                self.follow(node, &moved)?;
                let heads = reply.value.get("heads").and_then(Value::as_array);
                let heads = heads.context("an edit without heads")?;
                let [head] = heads.as_slice() else {
                    bail!("an edit joins all heads")
                };
                Ok(head.as_str().map(str::to_owned))
            }
            Err(error) if fine.contains(&error.code()) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes on a record that is there what a device would write that keeps to no rule.
    pub fn forge(&mut self, node: usize, id: &str, edit: &Edit) -> Result<()> {
        self.transact(node, |journal, connection| {
            let key = records::find(connection, id)?;
            let mut gathered = records::gather(connection, journal, key)?;
            let now = lianxin_node::clock::now_ms();
            let log = journal.prepare(connection, gathered.space, now)?;
            let change = gathered.document().edit(&log.actor(), edit);
            let change =
                change.map_err(|error| Error::because(Code::Internal, "no change", error))?;
            let entry = NewEntry {
                kind: EntryKind::Change,
                digest: DigestMode::Change,
                erasable: false,
                record: gathered.id,
                payload: change.bytes,
            };
            journal.append(connection, gathered.space, vec![entry], now)?;
            // What a save makes itself.
            connection.execute("INSERT OR IGNORE INTO stale (record) VALUES (?1)", [key])?;
            Ok(())
        })
    }

    /// A record as a node shows it.
    ///
    /// # Errors
    /// The node does not have it.
    pub fn show(&mut self, node: usize, id: &str) -> Result<Value> {
        self.call(
            node,
            Query::RecordShow {
                id: id.to_owned(),
                account: None,
            },
        )
    }

    /// Whether a node has a record that counts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn has(&mut self, node: usize, id: &str) -> Result<bool> {
        let listed = self.records(node)?;
        let counts = |record: &Value| record.get("held") == Some(&Value::Null);
        Ok(listed
            .iter()
            .any(|record| text(record, "id") == id && counts(record)))
    }

    /// All records that a node lists.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn records(&mut self, node: usize) -> Result<Vec<Value>> {
        let command = Query::RecordList(Listing {
            limit: Some(500),
            ..Listing::default()
        });
        let reply = self.call(node, command)?;
        let records = reply.get("records").and_then(Value::as_array);
        Ok(records.cloned().unwrap_or_default())
    }

    /// Hashes of the changes that a node shows of a record, each as often as it is there.
    ///
    /// # Errors
    /// The node does not have it.
    pub fn changes(&mut self, node: usize, id: &str) -> Result<Vec<String>> {
        let reply = self.call(
            node,
            Query::RecordHistory {
                id: id.to_owned(),
                account: None,
            },
        )?;
        let changes = reply.get("changes").and_then(Value::as_array);
        let changes = changes.context("a history without changes")?;
        Ok(changes.iter().map(|change| text(change, "hash")).collect())
    }

    /// The logs of the site that a node has, with their tips.
    ///
    /// # Errors
    /// The node is off.
    pub fn site_logs(&mut self, node: usize) -> Result<BTreeMap<LogId, Tip>> {
        let space = self.site_space()?;
        Ok(self.writer(node)?.journal.tips(&space))
    }

    /// All logs of all spaces that a node has, with their tips.
    ///
    /// # Errors
    /// The node is off.
    pub fn all_logs(&mut self, node: usize) -> Result<BTreeMap<LogId, Tip>> {
        let journal = &self.writer(node)?.journal;
        let spaces = journal.authority().spaces().keys();
        Ok(spaces.flat_map(|space| journal.tips(space)).collect())
    }

    /// The logs of the site that a device wrote, as a node has them.
    ///
    /// # Errors
    /// The node is off.
    pub fn logs_of(&mut self, node: usize, device: &DeviceKey) -> Result<BTreeMap<LogId, Tip>> {
        let mut logs = self.site_logs(node)?;
        let journal = &self.writer(node)?.journal;
        logs.retain(|log, _| {
            journal
                .author_of(log)
                .is_some_and(|it| it.device == *device)
        });
        Ok(logs)
    }

    // ---- clocks ----

    /// Sets a node's clock, which stands still until it is set again, also over a restart.
    ///
    /// # Errors
    /// There is no such node.
    pub fn set_clock(&mut self, node: usize, unix_ms: u64) -> Result<()> {
        let node = self.node_mut(node)?;
        node.wall = Wall::Set(unix_ms);
        if let Some(writer) = &mut node.writer {
            writer.journal.wall = node.wall;
        }
        Ok(())
    }

    fn time_of(&self, node: usize) -> Result<u64> {
        Ok(self.node(node)?.time(self.now_ms))
    }

    // ---- faults ----

    /// Ends a node as a crash would, with all its links.
    ///
    /// # Errors
    /// There is no such node.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        self.unlink(node);
        self.node_mut(node)?.writer = None;
        Ok(())
    }

    /// Opens a node that is off.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let node = self.node_mut(node)?;
        node.writer = Some(node.open()?);
        node.stale = true;
        node.lose_next = false;
        Ok(())
    }

    /// Ends a node and opens it again.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        self.stop(node)?;
        self.start(node)
    }

    /// The next transaction in which this node takes something from a peer is lost before its commit.
    ///
    /// # Errors
    /// There is no such node.
    pub fn lose_next(&mut self, node: usize) -> Result<()> {
        self.node_mut(node)?.lose_next = true;
        Ok(())
    }

    /// Cuts all links of a node.
    pub fn unlink(&mut self, node: usize) {
        let gone = |link: &Link| link.ends.iter().any(|end| end.node == node);
        for link in self.links.iter().filter(|link| gone(link)) {
            self.carried.insert(link.id, link.carried);
        }
        self.links.retain(|link| !gone(link));
    }

    /// Cuts all links.
    pub fn unlink_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.unlink(node);
        }
    }

    /// Whether a peer told this node, since its files were last put back, that the peer has more of a
    /// log than the node.
    #[must_use]
    pub fn was_told_behind(&self, node: usize) -> bool {
        self.told_behind.contains(&node)
    }

    /// Copies a node's files beside it. The node is off meanwhile.
    ///
    /// # Errors
    /// The files cannot be copied.
    pub fn save(&mut self, node: usize, name: &str) -> Result<()> {
        self.stop(node)?;
        let directory = self.node(node)?.directory.clone();
        let copy = self.copy_path(node, name)?;
        copy_files(&directory, &copy, |_| true)?;
        self.start(node)
    }

    /// Puts files that were copied back in their place, in the directory itself, so that it stays the
    /// same place. Files that `which` refuses stay as they are.
    ///
    /// # Errors
    /// The files cannot be copied.
    pub fn load(&mut self, node: usize, name: &str, which: impl Fn(&str) -> bool) -> Result<()> {
        self.stop(node)?;
        let directory = self.node(node)?.directory.clone();
        let copy = self.copy_path(node, name)?;
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(&which) {
                std::fs::remove_file(entry.path())?;
            }
        }
        copy_files(&copy, &directory, which)?;
        self.told_behind.remove(&node);
        self.start(node)
    }

    fn copy_path(&self, node: usize, name: &str) -> Result<PathBuf> {
        let node = self.node(node)?;
        Ok(self.base.join(format!("copy-{name}-{}", node.name)))
    }

    // ---- links ----

    /// Opens a link between two nodes, unless one of them would not let the other in.
    ///
    /// # Errors
    /// A node is off.
    pub fn link(&mut self, dialler: usize, listener: usize, wire: Wire) -> Result<Option<u64>> {
        let keys = [self.node(dialler)?.key, self.node(listener)?.key];
        let known = attend::is_known(self.writer(listener)?.journal.authority(), &keys[0]);
        if !known {
            return Ok(None);
        }
        let ends = [self.end(dialler, keys[1])?, self.end(listener, keys[0])?];
        let id = self.next_link;
        self.next_link += 1;
        self.links.push(Link {
            id,
            ends,
            wire,
            carried: Carried::default(),
        });
        Ok(Some(id))
    }

    fn end(&mut self, node: usize, peer: DeviceKey) -> Result<End> {
        let now = self.now_ms;
        let writer = self.writer(node)?;
        let mut session = Session::new(writer.journal.identity().epoch, now);
        let shares =
            writer.read(|journal, connection| attend::shares(journal, connection, &peer))?;
        for (id, share) in shares {
            session.share(id, share);
        }
        session.start();
        Ok(End {
            node,
            peer,
            session,
            attendant: Attendant::new(peer),
            inbox: VecDeque::new(),
            taken: 0,
            closed: None,
        })
    }

    /// Links open at present.
    #[must_use]
    pub const fn links(&self) -> usize {
        self.links.len()
    }

    /// Whether two nodes are linked.
    #[must_use]
    pub fn linked(&self, one: usize, other: usize) -> bool {
        self.links.iter().any(|link| {
            let nodes = link.ends.each_ref().map(|end| end.node);
            nodes == [one, other] || nodes == [other, one]
        })
    }

    /// What a link has carried so far.
    #[must_use]
    pub fn carried(&self, link: u64) -> Carried {
        let open = self.links.iter().find(|open| open.id == link);
        let open = open.map(|open| open.carried);
        open.or_else(|| self.carried.get(&link).copied())
            .unwrap_or_default()
    }

    /// From now on a node sends its frames as a program of the next version might.
    pub fn speaks_newer(&mut self, node: usize) {
        self.newer = Some(node);
    }

    /// Puts a frame on the way to one end of an open link, as a peer that says things twice would.
    pub fn inject(&mut self, link: usize, side: usize, frame: Vec<u8>) {
        let end = self
            .links
            .get_mut(link)
            .and_then(|link| link.ends.get_mut(side));
        if let Some(end) = end.filter(|end| end.session.is_connected()) {
            end.inbox.push_back(frame);
        }
    }

    /// The key of the device at one end of an open link.
    #[must_use]
    pub fn device_at(&self, link: usize, side: usize) -> Option<DeviceKey> {
        let end = self.links.get(link)?.ends.get(side)?;
        self.nodes.get(end.node).map(|node| node.key)
    }

    /// One step of one end of a link: what its session asks for, or bytes from the other end. Says
    /// whether there was anything to do.
    ///
    /// # Errors
    /// The store failed.
    pub fn step(&mut self, at: usize, side: usize) -> Result<bool> {
        self.now_ms += 1;
        let Some(link) = self.links.get_mut(at) else {
            return Ok(false);
        };
        let Some(end) = link.ends.get_mut(side) else {
            return Ok(false);
        };
        if let Some(event) = end.session.poll_event() {
            if let Event::Closed(why) = event {
                end.closed = Some(why);
                if matches!(why, Close::Violation(..) | Close::Peer(_)) {
                    self.violations.push(why);
                }
                self.settle(at);
            } else {
                self.attend(at, side, event)?;
            }
            return Ok(true);
        }
        if end.attendant.settles(&end.session) {
            let (node, peer, may_doubt) = (end.node, end.peer, end.attendant.may_doubt());
            let doubted = self.transact(node, |journal, connection| {
                attend::agrees(journal, connection, &peer, may_doubt)
            })?;
            let end = self
                .links
                .get_mut(at)
                .and_then(|link| link.ends.get_mut(side));
            if let Some(end) = end {
                attend::share_again(&mut end.session, doubted);
            }
        }
        let sent = self.transmit(at, side);
        let taken = self.deliver(at, side);
        self.settle(at);
        Ok(sent || taken)
    }

    /// Ends a link of which one end has closed and the other has heard everything, or whose wire broke.
    fn settle(&mut self, at: usize) {
        let Some(link) = self.links.get(at) else {
            return;
        };
        let closed = link.ends.iter().any(|end| end.closed.is_some());
        let said = link
            .ends
            .iter()
            .all(|end| !end.session.has_outgoing() && end.inbox.is_empty());
        let broken = match link.wire.cut {
            // Half a line stays open until someone takes it down.
            Cut::Never | Cut::OneWay { .. } => false,
            Cut::AfterFrames(frames) => link.carried.frames >= frames,
            Cut::AfterBytes(bytes) => link.carried.bytes >= bytes,
        };
        if broken || (closed && said) {
            self.carried.insert(link.id, link.carried);
            self.links.remove(at);
        }
    }

    fn transmit(&mut self, at: usize, side: usize) -> bool {
        let now = self.now_ms;
        let Some(link) = self.links.get_mut(at) else {
            return false;
        };
        let [first, second] = &mut link.ends;
        let (from, to) = if side == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if to.inbox.len() >= IN_FLIGHT && to.closed.is_none() {
            return false;
        }
        let Some(frame) = from.session.poll_transmit(now) else {
            return false;
        };
        let keys = (to.peer, from.peer);
        if to.closed.is_none() {
            if self.newer == Some(from.node) {
                to.inbox.extend(as_newer(&frame));
            } else {
                to.inbox.push_back(frame.clone());
            }
        }
        let mut reader = FrameReader::default();
        reader.push(&frame);
        let repeatable = matches!(
            reader.next_frame(),
            Ok(Some(
                Message::Batch(_) | Message::Receipt(_) | Message::Fork(_)
            ))
        );
        if repeatable {
            let (from, to) = keys;
            self.overheard.push(Overheard { from, to, frame });
        }
        true
    }

    fn deliver(&mut self, at: usize, side: usize) -> bool {
        let now = self.now_ms;
        let random = self.rng.below(1_500) + 1;
        let Some(link) = self.links.get_mut(at) else {
            return false;
        };
        let (wire, carried) = (link.wire, link.carried);
        let Some(end) = link.ends.get_mut(side) else {
            return false;
        };
        if end.closed.is_some() {
            end.inbox.clear();
            return false;
        }
        if matches!(wire.cut, Cut::OneWay { deaf, frames } if deaf == side && carried.frames >= frames)
        {
            end.inbox.clear();
            end.taken = 0;
            return false;
        }
        if !end.session.wants_input() {
            return false;
        }
        let Some(first) = end.inbox.front() else {
            return false;
        };
        let mut room = match wire.chunks {
            Chunks::Frames => first.len() - end.taken,
            Chunks::Single => 1,
            Chunks::Random => random,
        };
        if let Cut::AfterBytes(bytes) = wire.cut {
            let left = usize::try_from(bytes.saturating_sub(carried.bytes)).unwrap_or(usize::MAX);
            room = room.min(left);
        }
        let mut chunk = Vec::new();
        let mut frames = 0;
        while let Some(first) = end.inbox.front() {
            let rest = first.get(end.taken..).unwrap_or_default();
            let take = rest.len().min(room - chunk.len());
            chunk.extend_from_slice(rest.get(..take).unwrap_or_default());
            end.taken += take;
            if end.taken < first.len() {
                break;
            }
            end.inbox.pop_front();
            end.taken = 0;
            frames += 1;
            if chunk.len() >= room {
                break;
            }
        }
        end.session.handle_bytes(&chunk, now);
        link.carried.frames += frames;
        link.carried.bytes += chunk.len() as u64;
        true
    }

    /// Does what a session's event asks of the store and gives the session its answers.
    fn attend(&mut self, at: usize, side: usize, event: Event) -> Result<()> {
        let Some(end) = self
            .links
            .get_mut(at)
            .and_then(|link| link.ends.get_mut(side))
        else {
            return Ok(());
        };
        let (number, id) = (end.node, at);
        let node = self.nodes.get_mut(number).context("no such node")?;
        let now = node.time(self.now_ms);
        let writer = node.writer.as_mut().context("a node is off")?;
        writer.journal.wall = Wall::Set(now);
        if matches!(event, Event::PeerAhead { .. }) {
            self.told_behind.insert(number);
        }
        let author_of = |log: &LogId| writer.journal.author_of(log);
        let prepared = end.attendant.prepare(event, author_of);
        let Some(prepared) = prepared else {
            return Ok(());
        };
        if !prepared.writes() {
            let answers =
                writer.read(|journal, connection| prepared.attend(journal, connection))?;
            for answer in answers {
                answer.apply(&mut end.session);
            }
            return Ok(());
        }
        if std::mem::take(&mut node.lose_next) {
            let lost = writer.transact(now, |journal, connection| {
                prepared.attend(journal, connection)?;
                Err::<(), _>(Error::new(Code::Store, "the disk failed before the commit"))
            });
            ensure!(lost.is_err(), "a lost transaction was committed");
            // A session whose store fails ends.
            let link = self.links.remove(id);
            self.carried.insert(link.id, link.carried);
            return Ok(());
        }
        self.taken_in += 1;
        // The next one may have come before it is looked at, or not.
        let at_once = self.merges_little && self.taken_in.is_multiple_of(2);
        let (answers, moved) = writer.transact(now, |journal, connection| {
            let answers = prepared.attend(journal, connection)?;
            if at_once {
                records::merge_little(connection, journal)?;
            }
            Ok(answers)
        })?;
        for answer in answers {
            answer.apply(&mut end.session);
        }
        self.follow(number, &moved)
    }

    /// Tells all sessions of a node what a commit moved.
    fn follow(&mut self, number: usize, moved: &Moved) -> Result<()> {
        let node = self.nodes.get_mut(number).context("no such node")?;
        node.stale |= moved.stale || moved.awaited || moved.untidy;
        let writer = node.writer.as_mut().context("a node is off")?;
        for link in &mut self.links {
            for end in link.ends.iter_mut().filter(|end| end.node == number) {
                let hub = writer.journal.is_hubs(&end.peer);
                attend::moved(&mut end.session, moved, hub);
                if moved.authority {
                    let peer = end.peer;
                    let shares = writer
                        .read(|journal, connection| attend::shares(journal, connection, &peer))?;
                    attend::apply_shares(&mut end.session, shares);
                }
            }
        }
        Ok(())
    }

    /// Indexes, merges and projects what waits at a node. Says whether anything did.
    ///
    /// # Errors
    /// The store failed.
    pub fn merge(&mut self, node: usize) -> Result<bool> {
        if !std::mem::take(&mut self.node_mut(node)?.stale) {
            return Ok(false);
        }
        let (_, moved) = self.writer(node)?.catch_up(|_| {})?;
        self.follow(node, &moved)?;
        Ok(true)
    }

    /// Lets everything that is under way come to rest. Which link is served first is the seed's choice.
    ///
    /// # Errors
    /// The store failed, or there is no rest.
    pub fn run(&mut self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            let count = self.links.len();
            let first = self.rng.below(count);
            let mut moved = false;
            for offset in 0..count {
                let at = (first + offset) % count;
                for side in 0..2 {
                    moved |= self.step(at, side)?;
                }
            }
            if moved {
                continue;
            }
            for node in 0..self.nodes.len() {
                if self.node(node)?.writer.is_some() {
                    moved |= self.merge(node)?;
                }
            }
            if !moved {
                return Ok(());
            }
        }
        let last = self.links.iter().map(|link| {
            let ends = link.ends.each_ref().map(|end| {
                let waiting = end.inbox.iter().map(|frame| {
                    let mut reader = FrameReader::default();
                    reader.push(frame);
                    format!("{:.300}", format!("{:?}", reader.next_frame()))
                });
                let waiting: Vec<_> = waiting.collect();
                format!(
                    "node {} gets {waiting:?} {:?}",
                    end.node,
                    end.session.stats()
                )
            });
            format!("{:?} {ends:#?}", link.wire)
        });
        let last: Vec<_> = last.collect();
        bail!("the nodes never came to rest: {}", last.join("\n"))
    }

    /// Links every station with the hub, lets all come to rest, and ends the links. One time is enough
    /// for whatever happened before.
    ///
    /// # Errors
    /// The store failed, a node is off, or there is no rest.
    pub fn heal(&mut self) -> Result<()> {
        self.unlink_all();
        for node in 0..self.nodes.len() {
            self.node_mut(node)?.lose_next = false;
            if node != HUB {
                self.link(node, HUB, Wire::GOOD)?;
            }
        }
        self.run()?;
        let mut ends = self.links.iter().flat_map(|link| &link.ends);
        self.in_sync = ends.all(|end| end.session.is_in_sync());
        self.unlink_all();
        Ok(())
    }

    /// The piece of a node's log from an entry on, as it would send it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn batch(&mut self, node: usize, log: &LogId, from: u64) -> Result<Option<WireBatch>> {
        let writer = self.writer(node)?;
        let batch = writer
            .read(|journal, connection| journal.load(connection, log, (from, None), usize::MAX))?;
        Ok(batch)
    }

    /// Hands a piece of a log to a node, whoever brought it, and has it merged.
    ///
    /// # Errors
    /// It does not verify, or the store failed.
    pub fn hand_over(&mut self, node: usize, log: LogId, batch: WireBatch) -> Result<()> {
        self.take_in(node, log, batch)?;
        self.merge(node)?;
        Ok(())
    }

    /// Has a node store a piece of a log, whoever brought it.
    ///
    /// # Errors
    /// It does not verify, or the store failed.
    pub fn take_in(&mut self, node: usize, log: LogId, batch: WireBatch) -> Result<()> {
        let journal = &self.writer(node)?.journal;
        let bearer = journal.identity().key();
        // Whoever brings it says where it belongs.
        let section = Parts::Section(&batch.packed.parts);
        let run = batch::unpack(&log, batch.start, &batch.packed.main, section)?;
        let author = run
            .verify(journal.author_of(&log), 0)
            .map(|run| run.author());
        let space = author
            .map_err(|error| anyhow!("a batch does not verify: {error}"))?
            .space;
        let received = Event::Received { space, log, batch };
        let prepared = Attendant::new(bearer)
            .prepare(received, |log| journal.author_of(log))
            .context("nothing to do")?;
        self.transact(node, |journal, connection| {
            prepared.attend(journal, connection)
        })?;
        Ok(())
    }

    // ---- what must hold ----

    /// Digests of the spaces that a node holds.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn digests(&mut self, node: usize) -> Result<BTreeMap<String, (String, String)>> {
        let reply = self.call(node, Query::Digest)?;
        let spaces = reply.get("spaces").and_then(Value::as_array);
        let spaces = spaces.context("digests without spaces")?;
        Ok(spaces
            .iter()
            .map(|space| {
                let digests = (text(space, "log_digest"), text(space, "state_digest"));
                (text(space, "space"), digests)
            })
            .collect())
    }

    /// All these nodes hold and show the same of every space that the hub shares with them.
    ///
    /// # Errors
    /// They do not.
    pub fn agree(&mut self, nodes: &[usize]) -> Result<()> {
        let hub = self.digests(HUB)?;
        for node in nodes {
            let name = self.node(*node)?.name.clone();
            let own = self.digests(*node)?;
            ensure!(own.len() >= 3, "{name} holds {} spaces", own.len());
            for (space, digests) in own {
                let at_hub = hub.get(&space);
                ensure!(
                    at_hub == Some(&digests),
                    "{name} and the hub differ in space {space}:\n{digests:?}\n{at_hub:?}\n{}",
                    self.describe()?
                );
            }
        }
        Ok(())
    }

    /// Logs and exceptions of all nodes, for a message.
    fn describe(&mut self) -> Result<String> {
        let mut said = String::new();
        for node in 0..self.nodes.len() {
            if self.node(node)?.writer.is_none() {
                continue;
            }
            said.push_str(&format!("{}\n", self.node(node)?.name));
            for (log, tip) in self.site_logs(node)? {
                said.push_str(&format!("  {log:?} {} frozen={}\n", tip.len, tip.frozen));
            }
            said.push_str(&format!("  {:?}\n", self.exceptions(node)?));
        }
        Ok(said)
    }

    /// What does not count at a node: log, first entry, entry after the last, reason.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn exceptions(&mut self, node: usize) -> Result<BTreeSet<(LogId, u64, u64, u8)>> {
        let connection = self.writer(node)?.connection();
        let mut statement = connection.prepare(
            "SELECT logs.log, first, after, reason FROM exceptions
             JOIN logs ON logs.id = exceptions.log
             UNION SELECT logs.log, entry & 0xffffffffff, (entry & 0xffffffffff) + 1, reason FROM held
             JOIN logs ON logs.id = held.entry >> 40",
        )?;
        let rows = statement.query_map([], |row| {
            Ok((LogId(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// Each entry that does not count at a node, however the ranges are kept.
    fn held(&mut self, node: usize) -> Result<BTreeSet<(LogId, u64, u8)>> {
        let ranges = self.exceptions(node)?.into_iter();
        let entries = ranges.flat_map(|(log, first, after, reason)| {
            (first..after).map(move |at| (log, at, reason))
        });
        Ok(entries.collect())
    }

    /// The rows of a node's records as they are stored.
    fn rows(&mut self, node: usize) -> Result<Vec<String>> {
        self.transact(node, |_, connection| {
            while search::index(connection)? {}
            Ok(())
        })?;
        let connection = self.writer(node)?.connection();
        connection.execute_batch(
            "DROP TABLE IF EXISTS temp.terms;
             CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, texts, instance);",
        )?;
        let mut statement = connection.prepare(
            "SELECT hex(record) || '|' || hex(space) || '|' || ifnull(kind, '-') || '|' ||
                    ifnull(number, '-') || '|' || ifnull(title, '-') || '|' ||
                    ifnull(status, '-') || '|' || ifnull(CAST(unpacked(facts) AS TEXT), '-') || '|' ||
                    ifnull(former, '-') || '|' || conflicts || '|' || ifnull(disputed, '-') ||
                    '|' || waiting || '|' || ifnull(hex(state), '-') || '|' || ifnull(held, '-') ||
                    '|' || lost || '|' || ifnull(hex(again), '-') || '|' || reached
             FROM (SELECT * FROM records WHERE state IS NOT NULL ORDER BY record)
             UNION ALL SELECT kind || '|' || status || '|' || hex(space) || '|' || count
             FROM (SELECT * FROM tallies WHERE count <> 0 ORDER BY kind, status, space)
             UNION ALL SELECT ifnull(hex(records.record), '-') || '|' || hex(it.change) || '|' || it.what || '|' || it.about ||
                    '|' || it.account || '|' || it.at_ms || '|' || it.seen
             FROM (SELECT * FROM inbox ORDER BY record, change, what, account) AS it
             LEFT JOIN records ON records.id = it.record
             UNION ALL SELECT it.kind || '|' || field || '|' || value || '|' || hex(it.id) || '|' ||
                    ifnull(it.arrived = records.arrived, 'no record')
             FROM (SELECT * FROM indexed_fields ORDER BY kind, field, value, id) AS it
             LEFT JOIN records ON records.id = it.record AND records.record = it.id
             UNION ALL SELECT DISTINCT ifnull(hex(records.record), 'no record') || '|' || term
             FROM temp.terms JOIN texts_of ON texts_of.id = doc
             LEFT JOIN records ON records.id = texts_of.record
             ORDER BY 1",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        let rows = rows.collect::<std::result::Result<_, _>>()?;
        connection.execute_batch("DROP TABLE temp.terms")?;
        Ok(rows)
    }

    /// A node's store is sound: everything in it verifies, and all that is derived comes out the same
    /// when it is derived again.
    ///
    /// # Errors
    /// It is not.
    pub fn sound(&mut self, node: usize) -> Result<()> {
        let name = self.node(node)?.name.clone();
        let verified = self.reply(node, Query::Verify)?;
        ensure!(verified.exit == 0, "{name}: {}", verified.value);
        self.archived(node)?;
        let check: String =
            self.writer(node)?
                .connection()
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        ensure!(check == "ok", "{name}: {check}");
        let before = (self.digests(node)?, self.rows(node)?, self.held(node)?);
        self.call(node, Write::Reproject)?;
        let after = (self.digests(node)?, self.rows(node)?, self.held(node)?);
        ensure!(before.0 == after.0, "{name}: derived again, digests differ");
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter()
                .filter(|it| !other.contains(it))
                .cloned()
                .collect()
        };
        let (was, is) = (only(&before.1, &after.1), only(&after.1, &before.1));
        ensure!(
            was.is_empty() && is.is_empty(),
            "{name}: derived again, rows differ\n{was:#?}\n{is:#?}"
        );
        ensure!(
            before.2 == after.2,
            "{name}: derived again, what is held differs"
        );
        Ok(())
    }

    /// An archive of a node's store is whole and holds, entry by entry what the store has. A node that the
    /// hub has not confirmed gives none.
    ///
    /// # Errors
    /// It is not.
    pub fn archived(&mut self, node: usize) -> Result<Option<Report>> {
        let name = self.node(node)?.name.clone();
        let verified = self.call(node, Query::Verify)?;
        let network = self.network()?;
        let writer = self.writer(node)?;
        let mut audit = Audit::new(Some(network));
        let call =
            |query: Query| writer.read(|journal, connection| query.execute(journal, connection));
        let put = |bytes: &[u8]| {
            let unread = |error| Error::because(Code::Archive, "an archive", error);
            audit.push(bytes).map_err(unread)
        };
        match assemble(call, put) {
            Err(error) if error.code() == Code::NotEnrolled => return Ok(None),
            made => made?,
        };
        let report = audit.finish()?;
        ensure!(report.bad.is_empty(), "{name}: {:?}", report.bad);
        let counted = [report.entries, report.checkpoints, report.receipts];
        for (count, key) in counted.iter().zip(["entries", "checkpoints", "receipts"]) {
            ensure!(
                verified.get(key) == Some(&json!(count)),
                "{name}: {count} {key} of {verified}"
            );
        }
        Ok(Some(report))
    }

    /// What a station says of its records is true: whatever it calls received or merged, the hub has
    /// stored, every entry of it. The hub is opened anew first, so that only what is durable counts.
    ///
    /// # Errors
    /// It is not.
    pub fn claims_hold(&mut self, stations: &[usize]) -> Result<()> {
        self.restart(HUB)?;
        let at_hub = self.all_logs(HUB)?;
        let held = self.exceptions(HUB)?;
        for station in stations {
            for record in self.records(*station)? {
                let state = text(&record, "state");
                if !["received", "merged", "answered", "refused"].contains(&state.as_str()) {
                    continue;
                }
                for (log, seq) in self.entries(*station, &text(&record, "id"))? {
                    let stored = at_hub.get(&log).is_some_and(|tip| seq < tip.len);
                    let held = held
                        .iter()
                        .any(|(of, first, after, _)| *of == log && (*first..*after).contains(&seq));
                    ensure!(
                        stored && !held,
                        "{} calls a record {state} whose entry {seq} of {log:?} the hub {}",
                        self.node(*station)?.name,
                        if held { "holds back" } else { "does not have" }
                    );
                }
            }
        }
        Ok(())
    }

    /// The entries of a record at a node.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn entries(&mut self, node: usize, id: &str) -> Result<Vec<(LogId, u64)>> {
        let record = lianxin_protocol::log::RecordId::parse(id).context("no record id")?;
        let connection = self.writer(node)?.connection();
        let mut statement = connection.prepare(
            "SELECT logs.log, entry & ((1 << 40) - 1) FROM touches
             JOIN logs ON logs.id = entry >> 40
             JOIN records ON records.id = touches.record WHERE records.record = ?1",
        )?;
        let rows = statement.query_map([record.0], |row| Ok((LogId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }
}

/// A frame as the next version might send it: with fields behind those that are known, one more version and
/// unknown abilities in its Hello, and frames of types to come around it.
fn as_newer(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = FrameReader::default();
    reader.push(frame);
    let mut frame = frame.to_vec();
    let mut first = false;
    if let Ok(Some(Message::Hello(mut hello))) = reader.next_frame() {
        hello.max += 1;
        hello.features = u32::MAX;
        frame = Message::Hello(hello).encode();
        first = true;
    }
    // The tail's length stands last, and is 0 today.
    let tail = [0, 4, 9, 9, 9, 9];
    frame.truncate(frame.len() - 2);
    frame.extend_from_slice(&tail);
    let body = u32::try_from(frame.len() - limits::FRAME_HEAD).unwrap_or_default();
    if let Some(len) = frame.get_mut(2..limits::FRAME_HEAD) {
        len.copy_from_slice(&body.to_be_bytes());
    }
    let unknown = [0x7f, 0x77, 0, 0, 0, 3, 1, 2, 3].to_vec();
    if first {
        vec![frame, unknown]
    } else {
        vec![unknown.clone(), frame, unknown]
    }
}

/// What takes from a store what versions of its schema behind version 2 have more.
pub const BACK_TO_SCHEMA_2: &str = "UPDATE parts SET payload = unpacked(payload); DROP TABLE damaged_logs; DROP TABLE damaged_rows;
    DROP INDEX receipts_excepted; DROP INDEX peers_seen; ALTER TABLE receipts DROP COLUMN excepted;
    ALTER TABLE accounts DROP COLUMN roles; ALTER TABLE drafts DROP COLUMN window; ALTER TABLE drafts DROP COLUMN trashed_ms;
    ALTER TABLE submissions DROP COLUMN content; DROP TABLE bulks; DROP TABLE apart; DROP TABLE noticed;
    DROP TABLE tallies; DROP TABLE aside; DROP INDEX records_reached;
    DROP INDEX records_sole; DROP INDEX records_several; ALTER TABLE records DROP COLUMN reached; PRAGMA user_version = 2;";

/// An order that adds site `EMn`.
#[must_use]
pub fn site(n: u8) -> Order {
    Order::Site {
        site: SiteId([n; 16]),
        code: format!("EM{n}"),
        name: "测试站".to_owned(),
        kind: SiteKind::Workstation,
    }
}

/// An opinion of a resident, fictional as all data here.
#[must_use]
pub fn opinion(title: &str) -> Value {
    json!({
        "channel": "reception", "category": "help", "topic": "utilities",
        "title": title,
        "body": "测试小区3号楼东侧两盏路灯半个多月不亮,希望尽快维修。",
        "place": { "community": "测试社区", "text": "测试小区3号楼东侧" },
        "identity_mode": "confidential",
        "person": { "call_name": "测试女士", "phone": "000-0000-0001" },
        "reply_wanted": "phone", "deputies": ["测试代表甲"], "test_data": true,
    })
}

/// A text of a reply; empty if it is not there.
#[must_use]
pub fn text(value: &Value, key: &str) -> String {
    let text = value.get(key).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// The code of a failure that came out of the node.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<Error>().map(Error::code)
}

/// Copies the files of a directory whose names are wanted.
///
/// # Errors
/// They cannot be copied.
pub fn copy_files(from: &Path, to: &Path, which: impl Fn(&str) -> bool) -> Result<()> {
    lianxin_node::store::private_directory(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(&which) {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
