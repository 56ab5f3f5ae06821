//! `demo`: a hub, an operator's PC and the two computers of a station in this process, over real QUIC.
//!
//! Without `--check` it serves a board on which the four stand side by side, each with a switch on its cable
//! and pages of its own, until it is told to stop. With it (or with `--json`) it plays the whole story
//! without a browser; every step states what must hold and is checked against the stores, not against what
//! was meant to happen. The records are the fictional ones of the domain reference. Nothing is kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Output, complain, runtime, say};
use crate::command::{Command, Reply, with_schema};
use crate::daemon::Node;
use crate::error::{self, Code, Error, Kind, Result};
use crate::setup::{self, HubInit, Ticket};
use crate::store::Store;
use crate::web::board::{self, Board};
use crate::writer::WriterThread;

/// Longest wait for something that another device must see.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOPBACK: &str = "127.0.0.1:0";
/// Where the board is unless told otherwise; if that is taken, anywhere.
const BOARD: &str = "127.0.0.1:8080";

/// What was asked for.
pub(super) struct Plan<'a> {
    /// Only the verdict.
    pub(super) check: bool,
    /// Where to keep the data.
    pub(super) dir: Option<&'a Path>,
    /// Host names to answer under besides this computer's own.
    pub(super) allow_host: &'a [String],
    /// Where the board is.
    pub(super) web: Option<&'a str>,
}

/// Shows the board, or plays the story.
pub(super) fn run(plan: &Plan<'_>, output: &Output) -> Result<u8> {
    let scratch = plan.dir.is_none();
    let dir = match plan.dir {
        Some(dir) => dir.to_owned(),
        None => {
            let name = lianxin_protocol::hash::Hex(&crate::clock::random::<6>()?).to_string();
            std::env::temp_dir().join(format!("lianxin-demo-{name}"))
        }
    };
    std::fs::create_dir_all(&dir).map_err(error::file(&dir))?;
    let done = if plan.check || output.json {
        play(&dir, plan, output)
    } else {
        runtime()?.block_on(show(&dir, plan))
    };
    if scratch {
        std::fs::remove_dir_all(&dir).map_err(error::file(&dir))?;
    }
    done
}

// ---- the story ----

fn play(dir: &Path, plan: &Plan<'_>, output: &Output) -> Result<u8> {
    let mut story = Story { steps: Vec::new() };
    let told = runtime()?.block_on(story.tell(dir));
    if let Err(error) = &told {
        story.step("the story went on to its end", false);
        complain(&format!("lianxin: {}\n", error.chain()));
    }
    let held = story.steps.iter().all(|(_, ok)| *ok);
    let steps: Vec<_> = story
        .steps
        .iter()
        .map(|(name, ok)| json!({ "name": name, "ok": ok }))
        .collect();
    let value = with_schema("lianxin.demo/1", json!({ "steps": steps }));
    if output.json {
        output.print(&Reply { value, exit: 0 });
    } else if plan.check {
        for (name, ok) in &story.steps {
            say(&format!("{} {name}\n", if *ok { "ok  " } else { "FAIL" }));
        }
    }
    Ok(if held { 0 } else { Kind::Failed.exit_code() })
}

struct Story {
    steps: Vec<(String, bool)>,
}

/// The throw-away network: a hub that runs, and three devices that have joined and are off.
struct Network {
    hub: Device,
    desk: Device,
    station: Device,
    other: Device,
    /// Where the hub listens.
    address: String,
}

impl Network {
    async fn make(dir: &Path) -> Result<Self> {
        let init = HubInit {
            web: None,
            name: "示例街",
            code: Some("SLJD"),
            listen: None,
            recovery_out: None,
        };
        let mut hub = Device::new(dir.join("hub"));
        setup::hub_init(&hub.directory, &init)?;
        "HUBA".clone_into(&mut hub.code);
        hub.start(LOOPBACK)?;
        let address = hub.node()?.net.local_address()?.to_string();
        hub.call(Command::SiteCreate {
            name: "示例街道测试社区人大代表工作站".to_owned(),
            kind: "workstation".to_owned(),
            code: Some("EM1".to_owned()),
        })
        .await?;
        let mut desk = Device::new(dir.join("operator"));
        let mut station = Device::new(dir.join("station"));
        let mut other = Device::new(dir.join("other"));
        for (device, site, role) in [
            (&mut desk, "HUB", "operator"),
            (&mut station, "EM1", "station"),
            (&mut other, "EM1", "station"),
        ] {
            let (site, role) = (site.to_owned(), role.to_owned());
            let invite = Command::InviteCreate {
                site,
                role,
                expires_hours: 72,
            };
            let invite = hub.call(invite).await?;
            let ticket = Ticket::typed(field(&invite, "invite"))?;
            let joined = super::service::join(&device.directory, &ticket, Some(&address)).await?;
            field(&joined, "device_code").clone_into(&mut device.code);
        }
        Ok(Self {
            hub,
            desk,
            station,
            other,
            address,
        })
    }

    async fn stop(&mut self) {
        for device in [
            &mut self.other,
            &mut self.station,
            &mut self.desk,
            &mut self.hub,
        ] {
            device.stop().await;
        }
    }
}

/// One device of the demo: its directory, and the node while it runs.
struct Device {
    directory: PathBuf,
    code: String,
    node: Option<Node>,
}

impl Device {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            code: String::new(),
            node: None,
        }
    }

    fn start(&mut self, listen: &str) -> Result<()> {
        let listen = setup::resolve(listen)?;
        self.node = Some(Node::start(&Store::open(&self.directory)?, listen)?);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await;
        }
    }

    fn node(&self) -> Result<&Node> {
        self.node
            .as_ref()
            .ok_or_else(|| Error::new(Code::Internal, "a device is off"))
    }

    /// Runs a command where a clerk's click would.
    async fn call(&self, command: Command) -> Result<Value> {
        carry_out(self.node()?.writer.clone(), command).await
    }

    async fn show(&self, id: &str) -> Result<Value> {
        self.call(Command::RecordShow { id: id.to_owned() }).await
    }

    /// Waits until a record looks as it should, or patience ends.
    async fn until(&self, id: &str, seen: impl Fn(&Value) -> bool) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.show(id).await {
                Ok(record) if seen(&record) => return Ok(true),
                Err(error) if error.code() != Code::NoRecord => return Err(error),
                _ if tokio::time::Instant::now() > deadline => return Ok(false),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn add(&self, record: Value) -> Result<Value> {
        let command = Command::RecordAdd {
            kind: "opinion".to_owned(),
            rows: vec![record],
            first_row: 1,
            account: None,
        };
        let reply = self.call(command).await?;
        let first = reply
            .get("records")
            .and_then(|records| records.get(0))
            .cloned();
        first.ok_or_else(|| Error::new(Code::FieldsRefused, "the demo's record was refused"))
    }

    async fn act(&self, id: &str, event: &str, input: Value) -> Result<Value> {
        let (id, event) = (id.to_owned(), event.to_owned());
        self.call(Command::RecordAct {
            id,
            event,
            input,
            account: None,
        })
        .await
    }

    async fn set(&self, id: &str, input: Value) -> Result<Value> {
        self.call(Command::RecordSet {
            id: id.to_owned(),
            input,
            account: None,
        })
        .await
    }

    async fn digest(&self) -> Result<Value> {
        self.call(Command::Digest).await
    }
}

async fn carry_out(writer: WriterThread, command: Command) -> Result<Value> {
    let done = tokio::task::spawn_blocking(move || {
        if command.writes() {
            writer.write_wait(move |journal, connection| command.execute(journal, connection))
        } else {
            writer.after_wait(move |journal, connection| command.execute(journal, connection))
        }
    });
    let panicked = |error| Error::because(Code::Internal, "a command panicked", error);
    done.await.map_err(panicked)?.map(|reply| reply.value)
}

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is(key: &'static str, wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |record| field(record, key) == wanted
}

impl Story {
    fn step(&mut self, name: &str, ok: bool) {
        self.steps.push((name.to_owned(), ok));
    }

    async fn tell(&mut self, dir: &Path) -> Result<()> {
        let mut network = Network::make(dir).await?;
        let told = self.play(&mut network).await;
        network.stop().await;
        told
    }

    async fn play(&mut self, network: &mut Network) -> Result<()> {
        let address = network.address.clone();
        for device in [&network.station, &network.other, &network.desk] {
            let joined = format!("{} joins with a single-use invite", device.code);
            self.step(&joined, !device.code.is_empty());
        }
        let Network {
            hub,
            station,
            other,
            desk,
            ..
        } = network;
        desk.start(LOOPBACK)?;
        station.start(LOOPBACK)?;
        other.start(LOOPBACK)?;
        let lamp = samples().into_iter().next().unwrap_or_default();
        let added = station.add(lamp).await?;
        let id = field(&added, "id").to_owned();
        let number = field(&added, "number").to_owned();
        self.step(
            &format!("recorded without a line as {number}"),
            field(&added, "state") == "saved",
        );
        let unknown = hub
            .show(&id)
            .await
            .is_err_and(|error| error.code() == Code::NoRecord);
        self.step(
            "the hub does not have it, and the station does not claim so",
            unknown,
        );

        for device in [&*desk, &*station, &*other] {
            let node = device.node()?;
            let hub_key = hub.node()?.net.device;
            node.follow(vec![address.clone()], hub_key);
        }
        let seen = hub
            .until(&id, |record| field(record, "number") == number)
            .await?;
        self.step("the hub lists it", seen);
        let merged = station.until(&id, is("state", "merged")).await?;
        self.step("a signed receipt came back and verifies: 已并入", merged);
        let record = station.show(&id).await?;
        let covered = record
            .get("receipts")
            .and_then(Value::as_array)
            .is_some_and(|it| !it.is_empty());
        self.step("the record names the receipt that covers it", covered);
        let pending = field(&record, "status") == "pending";
        self.step("its status has become 待受理 by the receipt alone", pending);

        let there = other
            .until(&id, |record| field(record, "number") == number)
            .await?;
        self.step("the second computer has the record", there);
        station.stop().await;
        station.start(LOOPBACK)?;
        station.set(&id, json!({ "urgency": "urgent" })).await?;
        other
            .set(&id, json!({ "urgency": "emergency_referred" }))
            .await?;
        let hub_key = hub.node()?.net.device;
        station.node()?.follow(vec![address.clone()], hub_key);
        let conflicted = |record: &Value| {
            let conflicts = record.get("conflicts").and_then(Value::as_array);
            conflicts.is_some_and(|all| all.iter().any(|it| field(it, "field") == "urgency"))
        };
        let mut all = true;
        for device in [&*hub, &*station, &*other] {
            all &= device.until(&id, conflicted).await?;
        }
        self.step("all three show the conflict with both values", all);
        hub.set(&id, json!({ "urgency": "urgent" })).await?;
        let mut all = true;
        for device in [&*station, &*other] {
            all &= device.until(&id, |record| !conflicted(record)).await?;
        }
        self.step("the hub's choice settles it everywhere", all);

        let there = desk.until(&id, is("status", "pending")).await?;
        self.step("the operator's PC has the record and its status", there);
        desk.act(&id, "accept", json!({})).await?;
        let accepted = desk.until(&id, is("status", "accepted")).await?;
        self.step(
            "the hub gives the case number the operator asked for",
            accepted,
        );
        let steps = [
            (
                "dispatch",
                json!({ "lead": "示例街道城市管理办公室", "due_on": "2099-04-15" }),
            ),
            ("sign", json!({})),
            (
                "submit_reply",
                json!({ "resolution": "solved", "text": "两盏路灯已更换灯头并试亮。" }),
            ),
            ("approve", json!({})),
        ];
        for (event, input) in steps {
            desk.act(&id, event, input).await?;
        }
        let answered = station.until(&id, is("status", "answered")).await?;
        self.step("the station sees the reply: 已答复", answered);
        let refused = station.act(&id, "dispatch", json!({ "lead": "x" })).await;
        let refused = refused.is_err_and(|error| error.code() == Code::StepRefused);
        self.step("the station cannot dispatch", refused);
        station
            .act(&id, "inform", json!({ "on": "2026-03-14", "way": "phone" }))
            .await?;
        let informed = hub.until(&id, is("status", "informed")).await?;
        self.step(
            "the station tells the resident, and the hub knows: 已反馈",
            informed,
        );

        let equal = self.equal(&[hub, desk, station, other]).await?;
        self.step(
            "digests of the station's space are equal on all four",
            equal,
        );
        let verified = hub.call(Command::Verify).await?;
        let bad = verified
            .get("bad")
            .and_then(Value::as_array)
            .is_none_or(|bad| !bad.is_empty());
        self.step("every chain, checkpoint and payload verifies", !bad);
        let before = hub.digest().await?;
        hub.call(Command::Reproject).await?;
        let same = hub.digest().await? == before;
        self.step("lists rebuilt from the logs are identical", same);
        Ok(())
    }

    /// Whether devices hold and show the same of the spaces they share, once they have had time.
    async fn equal(&self, devices: &[&Device]) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut digests = Vec::new();
            for device in devices {
                let digest = device.digest().await?;
                let spaces = digest.get("spaces").and_then(Value::as_array).cloned();
                let site = spaces
                    .into_iter()
                    .flatten()
                    .find(|it| field(it, "kind") == "site");
                digests.push(site);
            }
            let first = digests.first().cloned().flatten();
            if first.is_some() && digests.iter().all(|digest| *digest == first) {
                return Ok(true);
            }
            if tokio::time::Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

// ---- the board ----

/// Fictional opinions, as the domain reference has them.
fn samples() -> Vec<Value> {
    vec![
        json!({
            "channel": "reception", "category": "help", "topic": "utilities",
            "title": "3号楼单元门前路灯不亮",
            "body": "测试小区3号楼东侧两盏路灯半个多月不亮,晚上老人出行不方便,希望尽快维修。",
            "place": { "community": "测试社区", "text": "测试小区3号楼东侧" },
            "identity_mode": "confidential",
            "person": { "call_name": "测试女士", "phone": "000-0000-0001" },
            "reply_wanted": "phone", "deputies": ["测试代表甲"], "test_data": true,
        }),
        json!({
            "channel": "walk_in", "category": "suggestion", "topic": "traffic_parking",
            "title": "建议学校门口设限时停车位",
            "body": "放学时段家长车辆占用机动车道,建议示例小学门口划设限时停车位。",
            "place": { "community": "测试社区", "text": "示例小学门口" },
            "identity_mode": "anonymous", "reply_wanted": "query_code", "test_data": true,
        }),
        json!({
            "channel": "random_visit", "category": "complaint", "topic": "property_mgmt",
            "title": "电梯反复故障",
            "body": "示例花园2号楼电梯一个月内停运四次(走访当日无网络,离线登记)。",
            "place": { "community": "示例社区", "text": "示例花园2号楼" },
            "identity_mode": "pseudonymous", "person": { "call_name": "测试先生" },
            "test_data": true,
        }),
        json!({
            "channel": "livestream", "category": "consult", "topic": "health",
            "title": "咨询老年人流感疫苗接种点",
            "body": "请问75岁老人在哪里可以接种?",
            "identity_mode": "anonymous", "test_data": true,
        }),
        json!({
            "channel": "collection_point", "category": "complaint", "topic": "legal_service",
            "title": "劳动报酬纠纷", "body": "(已脱敏)当事人已申请劳动仲裁。",
            "identity_mode": "anonymous", "test_data": true,
        }),
        json!({
            "channel": "phone", "category": "thanks", "topic": "city_appearance",
            "title": "感谢及时清运装修垃圾",
            "body": "示例花园门口堆放多日的装修垃圾当天就清走了,谢谢。",
            "identity_mode": "anonymous", "test_data": true,
        }),
    ]
}

/// A cable: whether it is in, and the end of the session that runs over it.
struct Cable {
    on: Mutex<bool>,
    session: Mutex<Option<watch::Sender<bool>>>,
}

impl Cable {
    fn on(&self) -> bool {
        *self.on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session if there is one, and begins another if both ends have their cable in.
    fn put(
        &self,
        follow: impl FnOnce(watch::Receiver<bool>) -> Result<()>,
        both: bool,
    ) -> Result<()> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = session.take() {
            running.send_replace(true);
        }
        if both {
            let (stop, stopped) = watch::channel(false);
            *session = Some(stop);
            follow(stopped)?;
        }
        Ok(())
    }
}

/// Shows the four devices side by side until told to stop.
async fn show(dir: &Path, plan: &Plan<'_>) -> Result<u8> {
    let mut network = Network::make(dir).await?;
    let shown = board(&mut network, plan).await;
    network.stop().await;
    shown.map(|()| 0)
}

async fn board(network: &mut Network, plan: &Plan<'_>) -> Result<()> {
    for device in [&mut network.desk, &mut network.station, &mut network.other] {
        device.start(LOOPBACK)?;
    }
    let all = [
        ("hub", &network.hub),
        ("operator", &network.desk),
        ("first", &network.station),
        ("second", &network.other),
    ];
    // What the board begins with: some records that have arrived, of which one is being handled.
    let mut fresh = samples();
    let begun = fresh.split_off(1);
    for (device, record) in [&network.station, &network.other]
        .into_iter()
        .zip(begun.clone())
    {
        device.add(record).await?;
    }
    let (moved, follow_moved) = watch::channel(0_u64);
    let moved = Arc::new(moved);
    let cables: Vec<_> = all
        .iter()
        .map(|_| {
            Arc::new(Cable {
                on: Mutex::new(true),
                session: Mutex::default(),
            })
        })
        .collect();
    let hub_key = network.hub.node()?.net.device;
    let nets: Vec<_> = all
        .iter()
        .map(|(_, device)| device.node().map(|node| Arc::clone(&node.net)))
        .collect::<Result<_>>()?;
    let address = network.address.clone();
    // Each station's line runs while its own cable and the hub's are in.
    let lay = {
        let (cables, nets, address) = (cables.clone(), nets, address.clone());
        Arc::new(move || -> Result<()> {
            let hub_on = cables.first().is_some_and(|cable| cable.on());
            for (cable, net) in cables.iter().zip(&nets).skip(1) {
                let follow = |stopped| {
                    let net = Arc::clone(net);
                    tokio::spawn(net.keep(vec![address.clone()], hub_key, stopped));
                    Ok(())
                };
                cable.put(follow, hub_on && cable.on())?;
            }
            Ok(())
        })
    };
    lay()?;
    let next_sample = Arc::new(AtomicUsize::new(0));
    let mut devices = Vec::new();
    let mut port = None;
    let board = match plan.web {
        Some(web) => Board::bind(setup::resolve(web)?).await?,
        None => match Board::bind(setup::resolve(BOARD)?).await {
            Ok(board) => board,
            Err(_) => Board::bind(setup::resolve(LOOPBACK)?).await?,
        },
    };
    for ((part, device), cable) in all.iter().zip(&cables) {
        let node = device.node()?;
        let base = *port.get_or_insert(board.address()?.port());
        // Next to the board's own port, so that they can be forwarded together; else anywhere.
        let beside = u16::try_from(devices.len() + 1)
            .ok()
            .and_then(|n| base.checked_add(n));
        let beside = SocketAddr::from(([127, 0, 0, 1], beside.unwrap_or(0)));
        let pages = match node.serve_pages(beside, plan.allow_host).await {
            Ok(pages) => pages,
            Err(_) => {
                node.serve_pages(setup::resolve(LOOPBACK)?, plan.allow_host)
                    .await?
            }
        };
        let mut changes = node.changes.subscribe();
        let told = Arc::clone(&moved);
        tokio::spawn(async move {
            while !matches!(
                changes.recv().await,
                Err(tokio::sync::broadcast::error::RecvError::Closed)
            ) {
                told.send_modify(|count| *count += 1);
            }
        });
        let (told, lay, this) = (Arc::clone(&moved), Arc::clone(&lay), Arc::clone(cable));
        let switch = move || -> board::Work<()> {
            let (told, lay, this) = (Arc::clone(&told), Arc::clone(&lay), Arc::clone(&this));
            Box::pin(async move {
                {
                    let mut on = this.on.lock().unwrap_or_else(PoisonError::into_inner);
                    *on = !*on;
                }
                lay()?;
                told.send_modify(|count| *count += 1);
                Ok(())
            })
        };
        let (writer, next, fresh) = (node.writer.clone(), Arc::clone(&next_sample), samples());
        let record = move || -> board::Work<()> {
            let at = next.fetch_add(1, Ordering::Relaxed) % fresh.len();
            let row = fresh.get(at).cloned().unwrap_or_default();
            let writer = writer.clone();
            Box::pin(async move {
                let command = Command::RecordAdd {
                    kind: "opinion".to_owned(),
                    rows: vec![row],
                    first_row: 1,
                    account: None,
                };
                carry_out(writer, command).await.map(|_| ())
            })
        };
        let writer = node.writer.clone();
        let open = move || -> board::Work<(u16, String)> {
            let writer = writer.clone();
            Box::pin(async move {
                let reply = carry_out(writer, Command::Open).await?;
                let url = field(&reply, "url");
                let secret = url.rsplit('/').next().unwrap_or_default();
                Ok((pages.port(), format!("/login/{secret}")))
            })
        };
        let this = Arc::clone(cable);
        devices.push(board::Device {
            code: device.code.clone(),
            part,
            writer: node.writer.clone(),
            on: Arc::new(move || this.on()),
            switch: Arc::new(switch),
            record: Arc::new(record),
            line: node.doors()?.line,
            open: Arc::new(open),
        });
    }
    let (stop, stopped) = watch::channel(false);
    say(&format!(
        "连心: the demonstration runs. Open this page and cut a cable:\n\n    http://{}/\n\nCtrl-C ends it; nothing of it is kept.\n",
        board.address()?
    ));
    let serving = board.serve(devices, plan.allow_host, follow_moved, stopped);
    let ended =
        |kind| signal(kind).map_err(|error| Error::because(Code::Internal, "no signals", error));
    let (mut term, mut interrupt) = (
        ended(SignalKind::terminate())?,
        ended(SignalKind::interrupt())?,
    );
    tokio::select! {
        served = serving => served?,
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    for cable in &cables {
        cable.put(|_| Ok(()), false)?;
    }
    Ok(())
}
