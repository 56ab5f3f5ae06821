//! The board: four devices side by side, each with a switch on its cable and pages of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Device, LOOPBACK, Network, Plan, field, samples};
use crate::cli::say;
use crate::clock;
use crate::command::Write;
use crate::config::own_address;
use crate::daemon::{Node, carry_out};
use crate::error::{Code, Error, Result};
use crate::web::board::{self, Board};

/// Where the board is unless told otherwise; if that is taken, anywhere.
const BOARD: &str = "127.0.0.1:8080";

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
pub(super) async fn show(dir: &Path, plan: &Plan<'_>) -> Result<u8> {
    let mut network = Network::make(dir).await?;
    let shown = board(&mut network, plan).await;
    network.stop().await;
    shown.map(|()| 0)
}

/// The lines of the devices on the board.
struct Lines {
    cables: Vec<Arc<Cable>>,
    /// Begins and ends sessions as the cables say.
    lay: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl Lines {
    /// All in; each station's line runs while its own cable and the hub's, which is the first, are.
    fn of(devices: &[(&'static str, &Device)], address: &str) -> Result<Self> {
        let new = |_: &_| {
            Arc::new(Cable {
                on: Mutex::new(true),
                session: Mutex::default(),
            })
        };
        let cables: Vec<_> = devices.iter().map(new).collect();
        let nets: Vec<_> = devices
            .iter()
            .map(|(_, device)| device.node().map(|node| Arc::clone(&node.net)))
            .collect::<Result<_>>()?;
        let hub_key = nets.first().map(|net| net.device);
        let hub_key = hub_key.ok_or_else(|| Error::new(Code::Internal, "a board without a hub"))?;
        let (laid, address) = (cables.clone(), address.to_owned());
        let lay = move || -> Result<()> {
            let hub_on = laid.first().is_some_and(|cable| cable.on());
            for (cable, net) in laid.iter().zip(&nets).skip(1) {
                let follow = |stopped| {
                    let net = Arc::clone(net);
                    let address = address.clone();
                    let at = move || std::future::ready(vec![address.clone()]);
                    tokio::spawn(net.keep(at, |_| {}, hub_key, stopped));
                    Ok(())
                };
                cable.put(follow, hub_on && cable.on())?;
            }
            Ok(())
        };
        let lay = Arc::new(lay);
        Ok(Self { cables, lay })
    }
}

/// What the board begins with: registers, a draft law with comments, and some records that have arrived, of which one
/// is being handled.
async fn furnish(network: &mut Network) -> Result<()> {
    for device in [
        &mut network.desk,
        &mut network.station,
        &mut network.other,
        &mut network.office,
    ] {
        device.start(LOOPBACK)?;
    }
    for record in samples::registers() {
        network.hub.add(record).await?;
    }
    let law = samples::consultation(clock::now_ms());
    let published = network.hub.add(law).await?;
    let (law, number) = (field(&published, "id"), field(&published, "number"));
    network.hub.act(law, "open", json!({})).await?;
    let day = network.station.add(samples::reception()).await?;
    let comment = samples::residents_comment(number, field(&day, "number"));
    network.station.add(comment).await?;
    network.other.add(samples::visit()).await?;
    network.office.add(samples::lawyers_comment(number)).await?;
    let begun = samples::opinions().split_off(1);
    for (device, record) in [&network.station, &network.other].into_iter().zip(begun) {
        device.add(record).await?;
    }
    Ok(())
}

async fn board(network: &mut Network, plan: &Plan<'_>) -> Result<()> {
    furnish(network).await?;
    let all = [
        ("hub", &network.hub),
        ("operator", &network.desk),
        ("first", &network.station),
        ("second", &network.other),
    ];
    let lines = Lines::of(&all, &network.address)?;
    (lines.lay)()?;
    // Beside the four: what the law office has collected comes in, too.
    let hub_key = network.hub.node()?.net.device;
    let office = network.office.node()?;
    office.follow(vec![network.address.clone()], hub_key);
    let board = match plan.web {
        Some(web) => Board::bind(own_address(web)?).await?,
        None => match Board::bind(own_address(BOARD)?).await {
            Ok(board) => board,
            Err(_) => Board::bind(own_address(LOOPBACK)?).await?,
        },
    };
    let (moved, follow_moved) = watch::channel(0_u64);
    let moved = Arc::new(moved);
    let next_sample = Arc::new(AtomicUsize::new(0));
    let mut devices = Vec::new();
    for ((part, device), cable) in all.iter().zip(&lines.cables) {
        let node = device.node()?;
        // Next to the board's own port, so that they can be forwarded together; else anywhere.
        let beside = u16::try_from(devices.len() + 1).ok();
        let beside = beside.and_then(|n| board.address().ok()?.port().checked_add(n));
        let beside = SocketAddr::from(([127, 0, 0, 1], beside.unwrap_or(0)));
        let pages = match node.serve_pages(beside, plan.allow_host).await {
            Ok(pages) => pages,
            Err(_) => {
                let anywhere = own_address(LOOPBACK)?;
                node.serve_pages(anywhere, plan.allow_host).await?
            }
        };
        tell(node, &moved);
        let this = Arc::clone(cable);
        devices.push(board::Device {
            code: device.code.clone(),
            part,
            writer: node.writer.clone(),
            on: Arc::new(move || this.on()),
            switch: switch(cable, &lines, &moved),
            record: record(node, &next_sample),
            line: node.doors()?.line,
            open: open(node, pages.port()),
        });
    }
    let (stop, stopped) = watch::channel(false);
    say(&format!(
        "连心: the demonstration runs. Open this page and cut a cable:\n\n    http://{}/\n\nCtrl-C ends it; nothing of it is kept.\n",
        board.address()?
    ))?;
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
    for cable in &lines.cables {
        cable.put(|_| Ok(()), false)?;
    }
    Ok(())
}

/// Tells the board what a device's commits move.
fn tell(node: &Node, moved: &Arc<watch::Sender<u64>>) {
    let (mut changes, told) = (node.changes.subscribe(), Arc::clone(moved));
    let mut stop = node.stopping();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = changes.next() => told.send_modify(|count| *count += 1),
                _ = stop.changed() => break,
            }
        }
    });
}

/// Takes a cable out, or puts it in.
fn switch(
    cable: &Arc<Cable>,
    lines: &Lines,
    moved: &Arc<watch::Sender<u64>>,
) -> Arc<dyn Fn() -> board::Work<()> + Send + Sync> {
    let (this, lay, told) = (Arc::clone(cable), Arc::clone(&lines.lay), Arc::clone(moved));
    Arc::new(move || {
        let (this, lay, told) = (Arc::clone(&this), Arc::clone(&lay), Arc::clone(&told));
        Box::pin(async move {
            {
                let mut on = this.on.lock().unwrap_or_else(PoisonError::into_inner);
                *on = !*on;
            }
            lay()?;
            told.send_modify(|count| *count += 1);
            Ok(())
        })
    })
}

/// Records the next sample.
fn record(node: &Node, next: &Arc<AtomicUsize>) -> Arc<dyn Fn() -> board::Work<()> + Send + Sync> {
    let (writer, next, fresh) = (node.writer.clone(), Arc::clone(next), samples::opinions());
    Arc::new(move || {
        let at = next.fetch_add(1, Ordering::Relaxed) % fresh.len();
        let row = fresh.get(at).cloned().unwrap_or_default();
        let writer = writer.clone();
        Box::pin(async move {
            let command = Write::RecordAdd {
                kind: "opinion".to_owned(),
                rows: vec![row],
                first_row: 1,
                account: None,
            };
            carry_out(&writer, command.into()).await.map(|_| ())
        })
    })
}

/// Where a device's pages are, and a link that logs in.
fn open(node: &Node, port: u16) -> Arc<dyn Fn() -> board::Work<(u16, String)> + Send + Sync> {
    let writer = node.writer.clone();
    Arc::new(move || {
        let writer = writer.clone();
        Box::pin(async move {
            let reply = carry_out(&writer, Write::Open.into()).await?;
            let url = field(&reply.value, "url");
            let secret = url.rsplit('/').next().unwrap_or_default();
            Ok((port, format!("/login/{secret}")))
        })
    })
}
