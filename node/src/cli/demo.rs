//! `demo`: a hub, an operator's PC and the two computers of a station in this process, over real QUIC.
//!
//! Without `--check` it serves a board on which the four stand side by side, each with a switch on its cable
//! and pages of its own, until it is told to stop. With it (or with `--json`) it plays the whole story
//! without a browser; every step states what must hold and is checked against the stores, not against what
//! was meant to happen. The records are fictional; together they tell a year of a small sub-district, with every kind that people
//! make (`year`). Nothing is kept, unless a directory is named for it.

mod samples;
mod show;
mod story;
mod year;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{LOOPBACK, Output, runtime};
use crate::command::{Command, Query, Write};
use crate::config::own_address;
use crate::daemon::{Node, carry_out};
use crate::error::{self, Code, Error, Result};
use crate::setup::{self, HubInit};
use crate::store::Store;
use crate::sync::join::{Line, Ticket};

/// Longest wait for something that another device must see.
const PATIENCE: Duration = Duration::from_secs(20);

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
        story::play(&dir, plan, output)
    } else {
        runtime()?.block_on(show::show(&dir, plan))
    };
    if scratch {
        std::fs::remove_dir_all(&dir).map_err(error::file(&dir))?;
    }
    done
}

/// The throw-away network: a hub that runs, and four devices that have joined and are off.
struct Network {
    hub: Device,
    desk: Device,
    station: Device,
    other: Device,
    /// A collection point in a law office.
    office: Device,
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
        for (name, kind, code) in samples::SITES {
            hub.call(Write::SiteCreate {
                name: name.to_owned(),
                kind: kind.to_owned(),
                code: Some(code.to_owned()),
            })
            .await?;
        }
        let mut desk = Device::new(dir.join("operator"));
        let mut station = Device::new(dir.join("station"));
        let mut other = Device::new(dir.join("other"));
        let mut office = Device::new(dir.join("office"));
        for (device, site, role) in [
            (&mut desk, "HUB", "operator"),
            (&mut station, "EM1", "station"),
            (&mut other, "EM1", "station"),
            (&mut office, "LS1", "station"),
        ] {
            let (site, role) = (site.to_owned(), role.to_owned());
            let invite = Write::InviteCreate {
                site,
                role,
                expires_hours: 72,
            };
            let invite = hub.call(invite).await?;
            let ticket = Ticket::typed(field(&invite, "invite"))?;
            let joined =
                super::service::join(&device.directory, &ticket, Line::Hub(&address)).await?;
            field(&joined, "device_code").clone_into(&mut device.code);
        }
        Ok(Self {
            hub,
            desk,
            station,
            other,
            office,
            address,
        })
    }

    async fn stop(&mut self) {
        for device in [
            &mut self.office,
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
        let listen = own_address(listen)?;
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
    async fn call(&self, command: impl Into<Command>) -> Result<Value> {
        let reply = carry_out(&self.node()?.writer, command.into()).await?;
        Ok(reply.value)
    }

    async fn show(&self, id: &str) -> Result<Value> {
        self.call(Query::RecordShow {
            id: id.to_owned(),
            account: None,
        })
        .await
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

    /// Records one record; the kind stands in it, as in the domain's examples.
    async fn add(&self, record: Value) -> Result<Value> {
        let command = Write::RecordAdd {
            kind: field(&record, "kind").to_owned(),
            rows: vec![record],
            first_row: 1,
            account: None,
        };
        let reply = self.call(command).await?;
        let first = reply
            .get("records")
            .and_then(|records| records.get(0))
            .cloned();
        first.ok_or_else(|| {
            // It names fields and rules, and repeats nothing.
            let why = reply.get("refused").cloned().unwrap_or_default();
            Error::new(
                Code::FieldsRefused,
                format!("the demo's record was refused: {why}"),
            )
        })
    }

    async fn act(&self, id: &str, event: &str, input: Value) -> Result<Value> {
        let (id, event) = (id.to_owned(), event.to_owned());
        self.call(Write::RecordAct {
            id,
            event,
            input,
            account: None,
        })
        .await
    }

    async fn set(&self, id: &str, input: Value) -> Result<Value> {
        self.call(Write::RecordSet {
            id: id.to_owned(),
            input,
            account: None,
        })
        .await
    }

    async fn digest(&self) -> Result<Value> {
        self.call(Query::Digest).await
    }
}

fn field<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is(key: &'static str, wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |record| field(record, key) == wanted
}
