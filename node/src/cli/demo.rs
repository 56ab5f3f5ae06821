//! `demo`: a hub and two stations in this process over real QUIC, and the story that they are for.
//!
//! The records are the fictional ones of the domain reference. Every step states what must hold and is
//! checked against the stores, not against what was meant to happen.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Output, complain, runtime, say};
use crate::command::{Command, Reply, with_schema};
use crate::daemon::Node;
use crate::error::{self, Code, Error, Kind, Result};
use crate::setup::{self, HubInit, Ticket};
use crate::store::Store;

/// Longest wait for something that another device must see.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOPBACK: &str = "127.0.0.1:0";

/// Plays the story. With `check`, only the verdict is printed.
pub(super) fn run(check: bool, dir: Option<&Path>, output: &Output) -> Result<u8> {
    let scratch = dir.is_none();
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => {
            let name = lianxin_protocol::hash::Hex(&crate::clock::random::<6>()?).to_string();
            std::env::temp_dir().join(format!("lianxin-demo-{name}"))
        }
    };
    std::fs::create_dir_all(&dir).map_err(error::file(&dir))?;
    let mut story = Story {
        steps: Vec::new(),
        quiet: check || output.json,
    };
    let told = runtime()?.block_on(story.tell(&dir));
    if scratch {
        std::fs::remove_dir_all(&dir).map_err(error::file(&dir))?;
    }
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
    } else if check {
        for (name, ok) in &story.steps {
            say(&format!("{} {name}\n", if *ok { "ok  " } else { "FAIL" }));
        }
    } else if held {
        say("\nEvery step held. Nothing of this was kept.\n");
    }
    Ok(if held { 0 } else { Kind::Failed.exit_code() })
}

struct Story {
    steps: Vec<(String, bool)>,
    quiet: bool,
}

/// One device of the demo: its directory, and the node while it runs.
struct Device {
    directory: PathBuf,
    node: Option<Node>,
}

impl Device {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
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
        let writer = self.node()?.writer.clone();
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

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is(key: &'static str, wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |record| field(record, key) == wanted
}

impl Story {
    fn say(&self, text: &str) {
        if !self.quiet {
            say(&format!("{text}\n"));
        }
    }

    fn step(&mut self, name: &str, ok: bool) {
        if !self.quiet {
            say(&format!("  {} {name}\n", if ok { "✓" } else { "✗" }));
        }
        self.steps.push((name.to_owned(), ok));
    }

    async fn tell(&mut self, dir: &Path) -> Result<()> {
        let mut hub = Device::new(dir.join("hub"));
        let mut station = Device::new(dir.join("station"));
        let mut other = Device::new(dir.join("other"));
        let told = self.play(&mut hub, &mut station, &mut other).await;
        for device in [&mut other, &mut station, &mut hub] {
            device.stop().await;
        }
        told
    }

    async fn play(
        &mut self,
        hub: &mut Device,
        station: &mut Device,
        other: &mut Device,
    ) -> Result<()> {
        self.say("A network: 示例街道, one station with two computers.\n");
        let init = HubInit {
            name: "示例街",
            code: Some("SLJD"),
            listen: None,
            recovery_out: None,
        };
        setup::hub_init(&hub.directory, &init)?;
        hub.start(LOOPBACK)?;
        let address = hub.node()?.net.local_address()?.to_string();
        hub.call(Command::SiteCreate {
            name: "示例街道测试社区人大代表工作站".to_owned(),
            kind: "workstation".to_owned(),
            code: Some("EM1".to_owned()),
        })
        .await?;
        for device in [&mut *station, &mut *other] {
            let (site, role) = ("EM1".to_owned(), "station".to_owned());
            let invite = Command::InviteCreate {
                site,
                role,
                expires_hours: 72,
            };
            let invite = hub.call(invite).await?;
            let ticket = Ticket::typed(field(&invite, "invite"))?;
            let joined = super::service::join(&device.directory, &ticket, Some(&address)).await?;
            let code = field(&joined, "device_code").to_owned();
            self.step(
                &format!("{code} joins with a single-use invite"),
                !code.is_empty(),
            );
        }

        self.say("\nThe line is cut. A resident comes to the first computer.");
        station.start(LOOPBACK)?;
        other.start(LOOPBACK)?;
        let lamp = json!({
            "channel": "reception", "category": "help", "topic": "utilities",
            "title": "3号楼单元门前路灯不亮",
            "body": "测试小区3号楼东侧两盏路灯半个多月不亮,晚上老人出行不方便,希望尽快维修。",
            "place": { "community": "测试社区", "text": "测试小区3号楼东侧" },
            "identity_mode": "confidential",
            "person": { "call_name": "测试女士", "phone": "000-0000-0001" },
            "reply_wanted": "phone", "deputies": ["测试代表甲"], "test_data": true,
        });
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

        self.say("\nThe line is back.");
        for device in [&*station, &*other] {
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

        self.say("\nBoth computers of the station change one field while apart.");
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

        self.say("\nThe sub-district handles the matter.");
        let steps = [
            ("accept", json!({})),
            (
                "dispatch",
                json!({ "lead": "示例街道城市管理办公室", "due_on": "2026-04-15" }),
            ),
            ("sign", json!({})),
            (
                "submit_reply",
                json!({ "resolution": "solved", "text": "两盏路灯已更换灯头并试亮。" }),
            ),
            ("approve", json!({})),
        ];
        for (event, input) in steps {
            hub.act(&id, event, input).await?;
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

        let equal = self.equal(&[hub, station, other]).await?;
        self.step(
            "digests of the station's space are equal on all three",
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
