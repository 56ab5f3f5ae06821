//! The board: four devices side by side, each with a switch on its cable and pages of its own. A cable is cut in the network of its
//! device, so that nothing passes whoever asks for it: a session that a button began is cut like one that was kept open.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::sync::watch;

use super::{LOOPBACK, Network, Plan, field, is, samples, year};
use crate::cli::say;
use crate::cli::service::Ends;
use crate::command::Write;
use crate::config::own_address;
use crate::daemon::{Node, carry_out};
use crate::error::Result;
use crate::web::board::{self, Board};

/// Where the board is unless told otherwise; if that is taken, anywhere.
const BOARD: &str = "127.0.0.1:8080";

/// Shows the four devices side by side until told to stop.
pub(super) async fn show(dir: &Path, plan: &Plan<'_>) -> Result<u8> {
    let mut network = Network::make(dir).await?;
    let shown = board(&mut network, plan).await;
    network.stop().await;
    shown.map(|()| 0)
}

/// What the board begins with: a year of the sub-district, a draft law that is open, and some records that have just been made.
async fn furnish(network: &mut Network) -> Result<()> {
    for device in [
        &mut network.desk,
        &mut network.station,
        &mut network.other,
        &mut network.office,
    ] {
        device.start(LOOPBACK)?;
    }
    let hub_key = network.hub.node()?.net.device;
    // Beside the four: what the law office has collected comes in, too.
    for device in [
        &network.desk,
        &network.station,
        &network.other,
        &network.office,
    ] {
        device
            .node()?
            .follow(vec![network.address.clone()], hub_key);
    }
    year::registers(&network.hub).await?;
    let places = year::Places {
        hub: &network.hub,
        station: &network.station,
        other: &network.other,
        office: &network.office,
    };
    year::tell(places).await?;
    let published = network.hub.add(samples::consultation()).await?;
    let (law, number) = (field(&published, "id"), field(&published, "number"));
    network.hub.act(law, "open", json!({})).await?;
    // Whoever cuts a cable at once has registers and draft behind it.
    for site in [&network.station, &network.other] {
        site.until(law, is("status", "open")).await?;
    }
    let day = network.station.add(samples::reception()).await?;
    let comment = samples::residents_comment(number, field(&day, "number"));
    network.station.add(comment).await?;
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
        ("first", &network.station),
        ("second", &network.other),
        ("hub", &network.hub),
        ("operator", &network.desk),
    ];
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
    for (part, device) in all {
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
        let net = Arc::clone(&node.net);
        devices.push(board::Device {
            code: device.code.clone(),
            part,
            writer: node.writer.clone(),
            on: Arc::new(move || net.is_plugged()),
            switch: switch(node, &moved),
            record: record(node, &next_sample),
            open: open(node, pages.port()),
        });
    }
    let (stop, stopped) = watch::channel(false);
    let kept = match plan.dir {
        Some(dir) => format!("what it made stays in {}", dir.display()),
        None => "nothing of it is kept".to_owned(),
    };
    say(&format!(
        "连心: the demonstration runs. Open this page and cut a cable:\n\n    http://{}/\n\nCtrl-C ends it; {kept}.\n",
        board.address()?
    ))?;
    let serving = board.serve(devices, plan.allow_host, follow_moved, stopped);
    let mut ends = Ends::new()?;
    tokio::select! {
        served = serving => served?,
        () = ends.come() => {}
    }
    stop.send_replace(true);
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
fn switch(node: &Node, moved: &Arc<watch::Sender<u64>>) -> Arc<dyn Fn() + Send + Sync> {
    let (net, told) = (Arc::clone(&node.net), Arc::clone(moved));
    Arc::new(move || {
        net.plug(!net.is_plugged());
        told.send_modify(|count| *count += 1);
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
