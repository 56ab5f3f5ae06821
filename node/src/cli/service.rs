//! `run`, `sync` and `join`: what needs the network.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::{ANY, runtime, say, show};
use crate::command::{self, Command, Write};
use crate::config::{Config, own_address};
use crate::daemon::{Node, carry_out, sync_once};
use crate::error::{Code, Error, Result};
use crate::records::reproject::{self, With};
use crate::reply::{Reply, with_schema};
use crate::setup;
use crate::socket::{self, Request};
use crate::store::{self, Store};
use crate::supervisor::Supervisor;
use crate::sync::Net;
use crate::sync::join::{self, Joining, Line, Ticket};
use crate::writer::WriterThread;

/// Joins, and fetches what intake needs: authority, catalogue and bulletin.
///
/// # Errors
/// As [`meet`].
pub(super) async fn join(directory: &Path, ticket: &Ticket, line: Line<'_>) -> Result<Value> {
    meet(directory, ticket, line).await?.0.finish()
}

/// The same up to where it counts: until it is finished, nothing was joined. Gives the names of network and site as well, as far as
/// the hub has said them.
///
/// # Errors
/// As [`join::join`]; [`Code::HubUnreachable`] when the hub has let this device in, the line broke before it had
/// said where, and no card says it. The store is not finished then, and the same invite goes on.
pub(super) async fn meet(
    directory: &Path,
    ticket: &Ticket,
    line: Line<'_>,
) -> Result<(Joining, [String; 2])> {
    let mut joining = join::join(directory, ticket, line).await?;
    if !joining.confirmed {
        return Ok((joining, <[String; 2]>::default()));
    }
    let node = Node::start(&joining.store, ANY)?;
    let first = sync_once(&node.net, &node.writer, None).await;
    let told = node.writer.after_wait(|journal, _| {
        let member = journal.authority().members().get(&journal.identity().key());
        let network = journal.authority().names().0.to_owned();
        Ok(member.map(|member| {
            let site = member.grant.site;
            let site = site.and_then(|site| journal.authority().sites().get(&site));
            let (code, name) = site
                .map(|site| (site.code.clone(), site.name.clone()))
                .unzip();
            (code, [network, name.unwrap_or_default()])
        }))
    });
    node.stop().await;
    let told = told?;
    if told.is_none() && !joining.placed {
        let message = "the line broke before the hub had said where this device stands";
        return Err(match first {
            Err(error) if matches!(error.code(), Code::HubUnreachable | Code::Connection) => {
                Error::because(Code::HubUnreachable, message, error)
            }
            Err(error) => error,
            Ok(_) => Error::new(Code::HubUnreachable, message),
        });
    }
    if let Err(error) = first {
        // It has what it needs; a session is tried again.
        tracing::warn!(error = %error.chain(), "the first session did not end well");
    }
    let (site, names) = told.unwrap_or_default();
    if let (Some(site), Value::Object(fields)) = (site, &mut joining.value) {
        fields.insert("site".to_owned(), json!(site));
    }
    Ok((joining, names))
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

/// Serves pages where they were asked for. The usual place may be taken, by another device's pages for one:
/// then any other will do, since nobody has asked for this one.
async fn serve_pages(
    node: &Node,
    config: &Config,
    listener: Option<TcpListener>,
) -> Result<SocketAddr> {
    if let Some(listener) = listener {
        return node.serve_pages_at(listener, &config.web.allow_hosts).await;
    }
    let hosts = &config.web.allow_hosts;
    let mut place = config.web.listen;
    if config.is_default("web.listen") {
        let kept = |connection: &_| store::meta(connection, setup::WEB_KEPT);
        let kept = node
            .writer
            .after_wait(move |_, connection| kept(connection))?;
        if let Some(kept) = kept.and_then(|bytes| String::from_utf8(bytes).ok()) {
            place = own_address(&kept)?;
        }
    }
    match node.serve_pages(place, hosts).await {
        Err(error) if error.code() == Code::Address && config.is_default("web.listen") => {
            tracing::info!(%place, "the usual place of the pages is taken");
            node.serve_pages(SocketAddr::new(place.ip(), 0), hosts)
                .await
        }
        served => served,
    }
}

/// How a node is started.
#[derive(Default)]
pub(super) struct Start {
    /// What is said is JSON.
    pub(super) json: bool,
    /// A browser is shown the pages once they are there.
    pub(super) shown: bool,
    /// Where the pages are, if they have a socket already.
    pub(super) listener: Option<TcpListener>,
    /// Whoever waits for a link to them.
    pub(super) told: Option<oneshot::Sender<String>>,
}

/// What ends a running program: SIGTERM, SIGINT, and the terminal that was closed.
pub(super) struct Ends([Signal; 3]);

impl Ends {
    pub(super) fn new() -> Result<Self> {
        let of = |kind| {
            signal(kind).map_err(|error| Error::because(Code::Internal, "no signals", error))
        };
        Ok(Self([
            of(SignalKind::terminate())?,
            of(SignalKind::interrupt())?,
            of(SignalKind::hangup())?,
        ]))
    }

    pub(super) async fn come(&mut self) {
        let Self([term, interrupt, hangup]) = self;
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Where to listen for sync.
fn listen_at(store: &Store, config: &Config) -> Result<SocketAddr> {
    if let Some(listen) = config.sync.listen {
        return Ok(listen);
    }
    let reader = store.reader()?;
    let kept = store::meta(&reader, "listen")?;
    let kept = kept.and_then(|bytes| String::from_utf8(bytes).ok());
    // A station serves nobody yet and needs no fixed port; a hub does.
    let is_hub = store::meta(&reader, "authority_seed")?.is_some();
    match kept {
        Some(kept) => own_address(&kept),
        None if is_hub => own_address(setup::DEFAULT_LISTEN),
        None => Ok(ANY),
    }
}

/// Runs the node until SIGTERM or SIGINT.
pub(super) fn run(directory: &Path, config: &Config, start: Start) -> Result<u8> {
    let store = Store::open(directory)?;
    runtime()?.block_on(async {
        // Caught before anyone is told that it is ready: who is told may end it at once.
        let mut ends = Ends::new()?;
        serve(&store, directory, config, start, &mut ends).await
    })
}

/// The same in a runtime that is there already.
pub(super) async fn serve(
    store: &Store,
    directory: &Path,
    config: &Config,
    start: Start,
    ends: &mut Ends,
) -> Result<u8> {
    let node = Node::start(store, listen_at(store, config)?)?;
    let bound = node.net.local_address()?;
    let addresses = json!(reachable(bound)).to_string();
    node.writer.write_wait(move |_, connection| {
        store::set_meta(connection, "addresses", addresses.as_bytes())
    })?;
    let (net, writer) = (Arc::clone(&node.net), node.writer.clone());
    let door = socket::serve(directory, move |request| {
        let (net, writer) = (Arc::clone(&net), writer.clone());
        let span = tracing::info_span!("command", verb = request.name());
        let told = async move {
            let told = answer(&net, &writer, request).await;
            match &told {
                Ok(reply) => tracing::debug!(exit = reply.exit, "answered"),
                Err(error) => tracing::info!(code = error.code().text(), "not done"),
            }
            told
        };
        told.instrument(span)
    })?;
    node.follow_hub(node.stopping())?;
    let pages = serve_pages(&node, config, start.listener).await?;
    let open = node
        .writer
        .write_wait(|journal, connection| Write::Open.execute(journal, connection))?;
    let login = open.value.get("url").and_then(Value::as_str);
    let login = login.unwrap_or_default();
    let supervisor = Supervisor::ready(&node.writer, &format!("sync on {bound}"))?;
    if start.json {
        let ready = json!({
            "schema": "lianxin.run/1",
            "event": "ready",
            "sync": bound.to_string(),
            "web": pages.to_string(),
            "login_url": login,
        });
        say(&format!("{ready}\n"))?;
    } else {
        say_ready(bound, pages, login, directory)?;
    }
    if let Some(told) = start.told {
        // A browser that has gone away finds its way by `lianxin open`.
        drop(told.send(login.to_owned()));
    } else if start.shown {
        show(login);
    }
    ends.come().await;
    tracing::info!("stopping");
    supervisor.stopping();
    door.abort();
    drop(door.await);
    drop(std::fs::remove_file(socket::path(directory)));
    node.stop().await;
    Ok(0)
}

fn say_ready(bound: SocketAddr, pages: SocketAddr, login: &str, directory: &Path) -> Result<()> {
    let data = directory.display();
    say(&format!(
        "ready: sync on {bound}, pages on http://{pages}, data in {data}\n"
    ))?;
    // A link that logs in is for the person at the terminal; a log keeps what it is given.
    if std::io::stdout().is_terminal() {
        return say(&format!(
            "open {login}\n  (works once, for 15 minutes; `lianxin open` makes another)\n"
        ));
    }
    say("`lianxin open` gives a link to them\n")
}

async fn answer(net: &Arc<Net>, writer: &WriterThread, request: Request) -> Result<Reply> {
    match request {
        Request::Sync { peer } => sync_once(net, writer, peer.as_deref()).await,
        Request::Execute { command } => match *command {
            Command::Write(Write::Reproject) => make_anew(writer.clone()).await,
            command => carry_out(writer, command).await,
        },
    }
}

/// Makes every projection anew while everything else goes on. Who asks for it meanwhile waits for its own turn: both would write the same
/// tables.
async fn make_anew(writer: WriterThread) -> Result<Reply> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    let done = tokio::task::spawn_blocking(move || {
        loop {
            let mut suspects = BTreeSet::new();
            let reader = writer
                .readers()
                .read(|_, connection| store::another(connection))?;
            match reproject::fill(&reader, &mut suspects) {
                Ok(fresh) => {
                    let (behind, alone) = (writer.behind(), writer.idle());
                    let records = fresh.take_place(|with, slice| match with {
                        With::Others => behind.write_wait(slice),
                        With::Nothing => alone.write_wait(slice),
                    })?;
                    let mut reply = writer.readers().read(|books, connection| {
                        command::reprojected(books, connection, records)
                    })?;
                    let schema = format!("lianxin.{}/1", Write::Reproject.name());
                    reply.value = with_schema(&schema, reply.value);
                    return Ok(reply);
                }
                Err(error) if suspects.is_empty() => return Err(error),
                Err(_) => {
                    let before = writer.after_wait(|journal, _| Ok(journal.damage()))?;
                    writer.write_wait(move |journal, _| {
                        journal.suspect(suspects.iter().copied());
                        Ok(())
                    })?;
                    // Cut out by now; what is damaged and cannot be is met again.
                    let after = writer.after_wait(|journal, _| Ok(journal.damage()))?;
                    if before == after {
                        let message = "the logs cannot be read as far as they go";
                        return Err(Error::new(Code::StoreCorrupt, message));
                    }
                }
            }
        }
    });
    let panicked = |error| Error::because(Code::Internal, "a command panicked", error);
    done.await.map_err(panicked)?
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
