//! `run`, `sync` and `join`: what needs the network.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{ANY, runtime, say};
use crate::command::{Reply, with_schema};
use crate::config::Config;
use crate::daemon::Node;
use crate::error::{Code, Error, Kind, Result};
use crate::setup::{self, Ticket};
use crate::socket::{self, Request};
use crate::store::{self, Store};
use crate::supervisor::Supervisor;
use crate::sync::Net;
use crate::sync::peer::{Summary, Until};
use crate::writer::WriterThread;

/// Wait between attempts to have a waiting device confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(10);

/// Joins, and fetches what intake needs: authority, catalogue and bulletin.
pub(super) async fn join(directory: &Path, ticket: &Ticket, hub: Option<&str>) -> Result<Value> {
    let mut value = setup::join(directory, ticket, hub).await?;
    let confirmed = value.get("confirmed") == Some(&json!(true));
    if confirmed {
        let node = Node::start(&Store::open(directory)?, ANY)?;
        let first = sync_once(&node.net, &node.writer, None).await;
        let site = node.writer.after_wait(|journal, _| {
            let member = journal.authority().members().get(&journal.identity().key());
            let site = member.and_then(|member| member.grant.site);
            Ok(site
                .and_then(|site| journal.authority().sites().get(&site))
                .map(|it| it.code.clone()))
        });
        node.stop().await;
        // The device is enrolled whatever becomes of its first session, which is tried again.
        if let Err(error) = first {
            tracing::warn!(error = %error.chain(), "the first session did not end well");
        }
        if let (Ok(Some(site)), Value::Object(fields)) = (site, &mut value) {
            fields.insert("site".to_owned(), json!(site));
        }
    }
    Ok(value)
}

/// One session with the hub on a store that no daemon has.
pub(super) fn sync_here(directory: &Path, peer: Option<&str>) -> Result<Reply> {
    runtime()?.block_on(async {
        let node = Node::start(&Store::open(directory)?, ANY)?;
        let reply = sync_once(&node.net, &node.writer, peer).await;
        node.stop().await;
        reply
    })
}

/// One session with each known peer: the hub, at the first of its addresses that answers.
pub(super) async fn sync_once(
    net: &Arc<Net>,
    writer: &WriterThread,
    peer: Option<&str>,
) -> Result<Reply> {
    let hub = writer.after_wait(|_, connection| setup::hub_of(connection))?;
    let Some((hub, mut addresses)) = hub else {
        let value = with_schema("lianxin.sync/1", json!({ "sessions": [] }));
        return Ok(Reply { value, exit: 0 });
    };
    if let Some(peer) = peer {
        addresses = vec![peer.to_owned()];
    }
    if !setup::confirm(writer).await? {
        return Err(unreachable(&addresses));
    }
    let mut summary = None;
    for address in &addresses {
        let Ok(address) = setup::resolve(address) else {
            continue;
        };
        let (_keep, stop) = tokio::sync::watch::channel(false);
        match net.session(address, hub, Until::InSync, stop).await {
            Ok(done) if done.connected => {
                summary = Some(done);
                break;
            }
            Ok(_) => {}
            Err(error) if error.code() == Code::Connection => {
                tracing::debug!(error = %error.chain(), "no answer");
            }
            Err(error) => return Err(error),
        }
    }
    let summary = summary.ok_or_else(|| unreachable(&addresses))?;
    report(writer, &hub, &summary)
}

fn unreachable(addresses: &[String]) -> Error {
    let message = format!("no hub answers at {}", addresses.join(", "));
    Error::new(Code::HubUnreachable, message)
}

fn report(writer: &WriterThread, hub: &DeviceKey, summary: &Summary) -> Result<Reply> {
    let own = writer.after_wait(|journal, connection| journal.own_coverage(connection))?;
    let covered = own.receipted == own.entries;
    let exit = if covered && summary.in_sync {
        0
    } else {
        Kind::Partial.exit_code()
    };
    let session = json!({
        "peer": Hex(&hub.0).to_string(),
        "sent": summary.stats.entries_out,
        "received": summary.stats.entries_in,
        "receipted": own.receipted,
        "entries": own.entries,
        "quarantined": own.quarantined,
        "rounds": summary.stats.rounds,
        "frame_bytes_out": summary.stats.frame_bytes_out,
        "frame_bytes_in": summary.stats.frame_bytes_in,
        "udp_bytes_out": summary.udp_bytes.0,
        "udp_bytes_in": summary.udp_bytes.1,
        "elapsed_ms": summary.elapsed_ms,
        "close": summary.close.as_ref().map(|close| format!("{close:?}")),
    });
    let value = with_schema("lianxin.sync/1", json!({ "sessions": [session] }));
    Ok(Reply { value, exit })
}

/// Runs the node until SIGTERM or SIGINT.
pub(super) fn run(directory: &Path, config: &Config, json: bool) -> Result<u8> {
    let store = Store::open(directory)?;
    runtime()?.block_on(async {
        let listen = match config.sync.listen {
            Some(listen) => listen,
            None => {
                let reader = store.reader()?;
                let kept = store::meta(&reader, "listen")?;
                let kept = kept.and_then(|bytes| String::from_utf8(bytes).ok());
                // A station serves nobody yet and needs no fixed port; a hub does.
                let is_hub = store::meta(&reader, "authority_seed")?.is_some();
                match kept {
                    Some(kept) => setup::resolve(&kept)?,
                    None if is_hub => setup::resolve(setup::DEFAULT_LISTEN)?,
                    None => ANY,
                }
            }
        };
        // Caught before anyone is told that it is ready: who is told may end it at once.
        let stop = |kind| {
            signal(kind).map_err(|error| Error::because(Code::Internal, "no signals", error))
        };
        let (mut term, mut interrupt) = (
            stop(SignalKind::terminate())?,
            stop(SignalKind::interrupt())?,
        );
        let node = Node::start(&store, listen)?;
        let bound = node.net.local_address()?;
        let addresses = json!(reachable(bound)).to_string();
        node.writer.write_wait(move |_, connection| {
            store::set_meta(connection, "addresses", addresses.as_bytes())
        })?;
        let (net, writer) = (Arc::clone(&node.net), node.writer.clone());
        let door = socket::serve(directory, move |request| {
            let (net, writer) = (Arc::clone(&net), writer.clone());
            async move { answer(&net, &writer, request).await }
        })?;
        follow_hub(&node)?;
        let supervisor = Supervisor::ready(&node.writer, &format!("sync on {bound}"))?;
        if json {
            let ready = json!({
                "schema": "lianxin.run/1",
                "event": "ready",
                "sync": bound.to_string(),
                "web": Value::Null,
                "login_url": Value::Null,
            });
            say(&format!("{ready}\n"));
        } else {
            say(&format!(
                "ready: sync on {bound}, data in {}\n",
                directory.display()
            ));
        }
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        supervisor.stopping();
        door.abort();
        drop(door.await);
        drop(std::fs::remove_file(socket::path(directory)));
        node.stop().await;
        Ok(0)
    })
}

async fn answer(net: &Arc<Net>, writer: &WriterThread, request: Request) -> Result<Reply> {
    match request {
        Request::Sync { peer } => sync_once(net, writer, peer.as_deref()).await,
        Request::Execute { command } => {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            if command.writes() {
                writer.write(
                    move |journal, connection| command.execute(journal, connection),
                    move |result| drop(sender.send(result)),
                );
            } else {
                writer.after(move |journal, connection| {
                    drop(sender.send(command.execute(journal, connection)));
                });
            }
            receiver
                .await
                .map_err(|_| Error::new(Code::Internal, "the program is stopping"))?
        }
    }
}

/// Has the device confirmed if it still waits, and then keeps a session with its hub.
fn follow_hub(node: &Node) -> Result<()> {
    let hub = node
        .writer
        .after_wait(|_, connection| setup::hub_of(connection))?;
    let Some((hub, addresses)) = hub else {
        return Ok(());
    };
    let writer = node.writer.clone();
    let net = Arc::clone(&node.net);
    let stop = node.stopping();
    tokio::spawn(async move {
        let mut stopped = stop.clone();
        loop {
            match setup::confirm(&writer).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %error.chain(), "the hub has not confirmed"),
            }
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(CONFIRM_EVERY) => {}
            }
        }
        drop(writer);
        net.keep(addresses, hub, stop).await;
    });
    Ok(())
}

/// The addresses that others may reach a socket at. Sending nothing, the system tells which of its own
/// addresses it would use towards the documentation network (RFC 5737).
fn reachable(bound: SocketAddr) -> Vec<String> {
    if !bound.ip().is_unspecified() {
        return vec![bound.to_string()];
    }
    let towards = |target: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect(target).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let mut addresses: Vec<IpAddr> = towards("192.0.2.1:9").into_iter().collect();
    addresses.push(IpAddr::from([127, 0, 0, 1]));
    addresses
        .into_iter()
        .map(|ip| SocketAddr::new(ip, bound.port()).to_string())
        .collect()
}
