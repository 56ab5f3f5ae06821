//! The pages: what a clerk and an operator work with, served by their own computer to its own browser.
//!
//! Owns the HTTP server, who is let in, and one file per page. Pages read and write through the writer
//! thread like every other door; they hold nothing between two requests but counters of failed logins and what `kept` says.
//! Must not know the network: what a page shows of it comes through [`Doors`].
//!
//! The server listens on loopback only. A request must name one of the allowed hosts (DNS rebinding), must
//! not come from another site (`Sec-Fetch-Site`, `Origin`), and, but for the login page, must carry the
//! cookie of a login. Everything works without JavaScript; with it, typing is kept as it happens and states
//! move without reloading. HTTP/1.1 only; every connection, header, body and stream is bounded.
//!
//! Rejected: a client-side application (nothing to build, nothing to load, an old browser is enough);
//! sessions in memory (a restart would log everyone out in the middle of a form).

mod articles;
mod blank;
pub mod board;
mod choices;
mod compliance;
mod conflict;
mod conflicts;
mod differs;
mod duplicates;
mod edit;
mod events;
mod export;
mod fields;
pub mod first;
mod forms;
mod guard;
mod help;
mod home;
mod import;
mod inbox;
mod intake;
mod kept;
mod kinds;
mod letter;
mod lines;
mod list;
mod login;
mod look;
mod looks;
mod lookup;
mod names;
mod offers;
mod page;
mod paper;
mod past;
mod patience;
mod person;
mod pins;
mod quarantine;
mod queue;
mod records;
mod related;
mod reports;
mod reveal;
mod settings;
mod several;
mod sheet;
mod shown;
mod sites;
mod slip;
mod sync;
mod trash;
mod upload;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::Method;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lianxin_protocol::hash::Hex;
use lianxin_protocol::identity::DeviceKey;
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::Instrument as _;

use crate::changes::Changes;
use crate::clock::Monotonic;
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::reply::Reply;
use crate::wait;
use crate::words;
use crate::writer::WriterThread;

pub use guard::Hosts;
use patience::Patient;

/// Pages that are read at once: each has a connection to the database with a cache of its own.
const READING: usize = 4;
/// Connections at once at one address: one person's browser uses six.
const CONNECTIONS: usize = 128;
/// Bytes of a request's head, and of its body.
const HEAD_MAX: usize = 32 * 1024;
const BODY_MAX: usize = 512 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long a request's head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a browser may take nothing of an answer before its connection ends.
const TAKE_TIME: Duration = Duration::from_secs(30);
/// How long open requests may take to end when the node stops.
const DRAIN: Duration = Duration::from_secs(3);

/// What the network side tells pages.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// A session with the hub is open; at a hub, with anyone.
    pub connected: bool,
    /// Devices that have a session open.
    pub online: Vec<DeviceKey>,
    /// Why the last attempt to reach the hub ended, if it failed.
    pub failure: Option<Code>,
}

/// A future that a door gives.
pub type Opening = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// What pages may ask of the network, given by whoever starts them.
#[derive(Clone)]
pub struct Doors {
    /// How the line stands.
    pub line: Arc<dyn Fn() -> Line + Send + Sync>,
    /// One session with the hub, now.
    pub sync: Arc<dyn Fn() -> Opening + Send + Sync>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Doors")
    }
}

/// What all pages of one device share.
#[derive(Clone, Debug)]
struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: WriterThread,
    changes: Changes,
    doors: Doors,
    hosts: Hosts,
    /// Name of the login cookie. Browsers tell ports apart for nothing else, so it carries the device.
    cookie: String,
    login: login::Attempts,
    /// Codes tried at the lookup page.
    lookup: lookup::Attempts,
    /// Answers that have an address for a while.
    kept: kept::Kept,
    /// Pages that are read at once.
    reading: Arc<Semaphore>,
    /// Told when a step for several records was ordered.
    bulks: Arc<Notify>,
    /// Event streams that may be open.
    streams: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Reads what is durable, beside whoever writes.
    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Books, &Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        wait::read(&self.writer, &self.reading, work).await
    }

    /// Writes; what comes back is durable.
    async fn write<R: Send + 'static>(
        &self,
        work: impl Fn(&mut Journal, &Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        wait::write(&self.writer, work).await
    }
}

/// A device's pages, ready to be served.
#[derive(Debug)]
pub struct Web {
    app: App,
    listener: TcpListener,
    own: Option<TcpListener>,
}

/// The loopback address that is this device's own: browsers keep cookies by host and not by port, so that at 127.0.0.1 any
/// program of the computer is shown the login of these pages.
fn own_host(key: &DeviceKey) -> Ipv4Addr {
    let [a, b, c, ..] = key.0;
    // Away from 127.0.0.x and 127.0.1.1, which systems use themselves.
    Ipv4Addr::new(127, 64 | a >> 1, b, 1 + c % 254)
}

impl Web {
    /// Opens the socket of a device's pages.
    ///
    /// # Errors
    /// [`Code::Address`] when the address is not this computer's own, or not free.
    pub async fn bind(
        address: SocketAddr,
        allowed: &[String],
        (writer, changes): (WriterThread, Changes),
        doors: Doors,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self> {
        let listener = listen(address).await?;
        Self::at(listener, allowed, (writer, changes), doors, stopping).await
    }

    /// The pages at a socket that is open already.
    ///
    /// # Errors
    /// The system does not say where it is.
    pub async fn at(
        listener: TcpListener,
        allowed: &[String],
        (writer, changes): (WriterThread, Changes),
        doors: Doors,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self> {
        let bound = local(&listener)?;
        let key = writer.readers().look(|view| view.identity().key());
        // Not every system has more of loopback than its first address; there it is done without.
        let own = SocketAddr::from((own_host(&key), bound.port()));
        let own = if bound.ip() == Ipv4Addr::LOCALHOST {
            let own = TcpListener::bind(own).await;
            own.inspect_err(|error| tracing::debug!(%error, "no host for these pages alone"))
                .ok()
        } else {
            None
        };
        let host = own.as_ref().map(local).transpose()?;
        let device = Hex(key.0.first_chunk::<6>().unwrap_or(&[0; 6])).to_string();
        let app = App(Arc::new(Shared {
            writer,
            changes,
            doors,
            hosts: Hosts::new(bound, host, allowed),
            cookie: format!("lianxin_{device}"),
            login: login::Attempts::default(),
            lookup: lookup::Attempts::default(),
            kept: kept::Kept::default(),
            reading: Arc::new(Semaphore::new(READING)),
            bulks: Arc::new(Notify::new()),
            streams: Arc::new(Semaphore::new(events::STREAMS)),
            stopping,
        }));
        Ok(Self { app, listener, own })
    }

    /// The address as bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        local(&self.listener)
    }

    /// The host of these pages alone, if the system has one for them: what links to them name.
    ///
    /// # Errors
    /// The system does not say.
    pub fn own_address(&self) -> Result<SocketAddr> {
        local(self.own.as_ref().unwrap_or(&self.listener))
    }

    /// Serves until the node stops.
    pub async fn serve(self) {
        let Self { app, listener, own } = self;
        let (hosts, stop) = (app.hosts.clone(), app.stopping.clone());
        let bulks = several::keep(app.clone());
        let pages = guard::whole(routes().with_state(app.clone()));
        let router = guard::around(page::framed(pages, Some(app)), hosts).layer(from_fn(in_span));
        let at_own = async {
            if let Some(own) = &own {
                serve(own, router.clone(), stop.clone()).await;
            }
        };
        let at_given = serve(&listener, router.clone(), stop.clone());
        tokio::join!(at_own, at_given, bulks);
    }
}

fn routes() -> Router<App> {
    Router::new()
        .route("/", get(home::page))
        .route("/here", get(page::here))
        .route("/login", get(login::page).post(login::with_password))
        .route("/login/{secret}", get(login::with_link))
        .route("/logout", post(login::out))
        .route("/new", get(intake::choose))
        .route("/new/paper", get(blank::typed))
        .route("/new/{kind}/paper", get(blank::print))
        .route("/new/{kind}", get(intake::blank).post(intake::register))
        .route("/new/{kind}/look", post(look::answer))
        .route("/drafts/{id}", get(intake::resume).post(sheet::keep))
        .route("/drafts/{id}/discard", post(intake::discard))
        .route("/records", get(list::page).post(list::search))
        .route("/records/pin", post(pins::change))
        .route("/records/export", get(export::page))
        .route("/records/table", get(export::file))
        .route(
            "/forms",
            get(forms::page)
                .post(forms::look)
                .layer(DefaultBodyLimit::max(forms::FORM_MAX)),
        )
        .route(
            "/kinds",
            get(kinds::page)
                .post(kinds::look)
                .layer(DefaultBodyLimit::max(kinds::FORM_MAX)),
        )
        .route("/kinds/{id}", get(kinds::show).post(kinds::publish))
        .route("/forms/{id}", get(forms::show).post(forms::keep))
        .route("/records/{id}/own/{form}", get(forms::letter))
        .route(
            "/import",
            get(import::form)
                .post(import::look)
                .layer(DefaultBodyLimit::max(import::FORM_MAX)),
        )
        .route("/import/{id}", get(import::show).post(import::take))
        .route("/import/{id}/columns", post(import::columns))
        .route("/import/{id}/errors", get(import::errors))
        .route("/records/{id}", get(records::show))
        .route("/records/{id}/steps/{event}", post(offers::step))
        .route("/records/{id}/articles", post(articles::paste))
        .route("/records/{id}/articles/file", post(articles::upload))
        .route(
            "/records/{id}/lines/{kind}",
            get(lines::form).post(lines::send),
        )
        .route("/records/{id}/edit", get(edit::form).post(edit::change))
        .route("/records/{id}/letter", get(letter::show))
        .route("/records/{id}/paper", get(paper::show))
        .route("/records/{id}/reveal", post(reveal::ask))
        .route(
            "/records/{id}/conflict",
            get(conflict::show).post(conflict::settle),
        )
        .route("/records/{id}/unsettle", post(conflict::unsettle))
        .route(
            "/records/{id}/slip",
            get(slip::print).post(slip::go_to_print),
        )
        .route("/search/{id}", get(list::found))
        .route("/conflicts", get(conflicts::list))
        .route("/sync", get(sync::page).post(sync::now))
        .route("/sync/{file}", get(sync::waiting))
        .route("/duplicates", get(duplicates::page))
        .route("/duplicates/apart", post(duplicates::apart))
        .route("/reports", get(reports::index))
        .route("/compliance", get(compliance::page))
        .route("/reports/{id}", get(reports::show))
        .route("/reports/issued/{id}", get(reports::issued))
        .route("/reports/{id}/list", get(reports::list))
        .route("/reports/{id}/issue", post(reports::issue))
        .route("/reports/{id}/file", get(reports::file))
        .route("/trash", get(trash::page))
        .route("/trash/{id}/restore", post(trash::restore))
        .route("/records/table/{id}", get(export::coming))
        .route("/records/table/{id}/file", get(export::written))
        .route("/person", get(person::page).post(person::find))
        .route("/names", get(names::page).post(names::choose))
        .route("/quarantine", get(quarantine::list))
        .route(
            "/quarantine/{id}",
            get(quarantine::show).post(quarantine::adopt),
        )
        .route("/queue", get(queue::page))
        .route("/queue/several", post(several::several))
        .route("/queue/several/{id}/back", post(several::take_back))
        .route("/queue/several/{id}/read", post(several::read))
        .route("/noticed/{change}", post(inbox::read_at_home))
        .route("/inbox", get(inbox::page).post(inbox::read_all))
        .route("/inbox/{change}", post(inbox::read))
        .route("/sites", get(sites::page).post(sites::add))
        .route("/sites/{code}/invites", post(sites::invite))
        .route("/invites/{id}", get(sites::card))
        .route("/invites/{id}/file", get(sites::file))
        .route("/lookup", get(lookup::page).post(lookup::ask))
        .route("/lookup/{id}", get(lookup::answer))
        .route("/settings", get(settings::page))
        .route("/settings/taste", post(settings::taste))
        .route("/settings/phrases", post(settings::phrases))
        .route("/settings/password", post(settings::password))
        .route("/settings/accounts", post(settings::account))
        .route("/help", get(help::page))
        .route("/events", get(events::stream))
        .route("/states", get(events::states))
        .route("/assets/{file}", get(page::asset))
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(page::nowhere)
}

/// Names what is said while a page is made by the pattern of its route: an address holds ids, and what people typed.
async fn in_span(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("none", MatchedPath::as_str).to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => "other",
    };
    let answer = async {
        let clock = Monotonic::start();
        let answer = next.run(request).await;
        let (status, elapsed_ms) = (answer.status().as_u16(), clock.ms());
        tracing::debug!(status, elapsed_ms, "answered");
        answer
    };
    let span = tracing::info_span!("page", method, route);
    answer.instrument(span).await
}

/// Opens a socket that only this computer reaches.
async fn listen(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        let message = format!("pages are served on loopback only, and {address} is not");
        return Err(Error::new(Code::Address, message));
    }
    TcpListener::bind(address).await.map_err(|error| {
        Error::because(
            Code::Address,
            format!("cannot serve pages on {address}"),
            error,
        )
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Error::because(Code::Internal, "a socket without an address", error))
}

/// Accepts connections until told to stop, each bounded in head, time and number.
async fn serve(listener: &TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            _ = stop.changed() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (Ok(place), Ok((stream, _))) = (place, accepted) else {
            // Out of descriptors, for one: that passes.
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let mut stop = stop.clone();
        tokio::spawn(async move {
            let _place = place;
            let mut connection = std::pin::pin!(
                hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME)
                    .max_buf_size(HEAD_MAX)
                    .max_headers(HEADERS_MAX)
                    .serve_connection(TokioIo::new(Patient::new(stream, TAKE_TIME)), service)
            );
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stop.changed() => {
                    connection.as_mut().graceful_shutdown();
                    match tokio::time::timeout(DRAIN, connection).await {
                        Ok(ended) => ended,
                        Err(_) => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a browser's connection ended");
            }
        });
    }
}
