//! The demonstration board: the devices of one throw-away network side by side, a switch on each one's
//! cable, and the records as each device shows them. It knows devices as what they can be asked for; who
//! starts them gives it that.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::guard::{self, Hosts};
use super::list::Row;
use super::page::{self, Answer, go, html, version};
use super::shown;
use super::words::Lang;
use super::{Line, listen, local, places, serve};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::records::delivery::{Coverage, Delivery};
use crate::records::{self, Filter};
use crate::writer::WriterThread;

/// Records shown of each device.
const ROWS: usize = 4;
/// Shortest time between two messages.
const PAUSE: Duration = Duration::from_millis(200);

/// Work that a press of a button starts.
pub type Work<R> = Pin<Box<dyn Future<Output = Result<R>> + Send>>;

/// A device of the demonstration.
#[derive(Clone)]
pub struct Device {
    /// Its code in numbers.
    pub code: String,
    /// What it is, for its words: `hub`, `operator`, `first` or `second`.
    pub part: &'static str,
    /// Its store.
    pub writer: WriterThread,
    /// Whether its cable is in.
    pub on: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Pulls its cable or plugs it in.
    pub switch: Arc<dyn Fn() -> Work<()> + Send + Sync>,
    /// Records the next of the sample records there.
    pub record: Arc<dyn Fn() -> Work<()> + Send + Sync>,
    /// How its line stands.
    pub line: Arc<dyn Fn() -> Line + Send + Sync>,
    /// Port of its own pages, and a login link's path there.
    pub open: Arc<dyn Fn() -> Work<(u16, String)> + Send + Sync>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Device({})", self.code)
    }
}

/// The board of a demonstration, ready to be served.
#[derive(Debug)]
pub struct Board {
    listener: TcpListener,
}

#[derive(Clone, Debug)]
struct Shared {
    devices: Arc<Vec<Device>>,
    /// Counts up when anything moved on any device.
    moved: watch::Receiver<u64>,
}

impl Board {
    /// Opens its socket.
    ///
    /// # Errors
    /// [`Code::Address`] when the address is not free.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            listener: listen(address).await?,
        })
    }

    /// The address as bound.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        local(&self.listener)
    }

    /// Serves until told to stop.
    ///
    /// # Errors
    /// The system does not say where the socket is.
    pub async fn serve(
        self,
        devices: Vec<Device>,
        allowed: &[String],
        moved: watch::Receiver<u64>,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let hosts = Hosts::new(self.address()?, None, allowed);
        let shared = Shared {
            devices: Arc::new(devices),
            moved,
        };
        let routes = Router::new()
            .route("/", get(show))
            .route("/devices/{code}/line", post(switch))
            .route("/devices/{code}/record", post(record))
            .route("/devices/{code}/open", get(open))
            .route("/events", get(events))
            .route("/assets/{file}", get(page::asset))
            .fallback(page::nowhere)
            .with_state(shared);
        serve(self.listener, guard::around(routes, hosts), places(), stop).await;
        Ok(())
    }
}

/// A device as the board shows it.
struct Shown {
    code: String,
    name: String,
    about: String,
    on: bool,
    records: bool,
    first: (String, String),
    second: (String, String),
    rows: Vec<Row>,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    lang: Lang,
    devices: Vec<Shown>,
}

impl BoardPage {
    fn t(&self, id: &str) -> String {
        self.lang.say(id, &[])
    }

    fn version(&self) -> &'static str {
        version()
    }
}

async fn show(State(shared): State<Shared>) -> Answer {
    let lang = Lang::Zh;
    let mut devices = Vec::with_capacity(shared.devices.len());
    for device in shared.devices.iter() {
        devices.push(look(device, lang).await?);
    }
    html(&BoardPage { lang, devices })
}

async fn look(device: &Device, lang: Lang) -> Result<Shown> {
    let (writer, line) = (device.writer.clone(), (device.line)());
    let is_hub = device.part == "hub";
    let read = tokio::task::spawn_blocking(move || {
        writer.after_wait(move |journal, connection| {
            let now_ms = clock::now_ms();
            let coverage = Coverage::of(journal);
            let delivery = Delivery::read(connection, journal)?;
            let filter = Filter {
                limit: ROWS,
                whole: true,
                held: Some(false),
                ..Filter::default()
            };
            let mut rows = Vec::new();
            for row in &records::list(connection, &filter)? {
                let reached = coverage.reached(connection, row)?;
                rows.push(Row::plain(reached, row, (lang, now_ms)));
            }
            let count = |id: &str, count: u64| {
                let said = lang.say("board-count", &[("count", count.into())]);
                (lang.say(id, &[]), said)
            };
            let pending = page::pending(connection)?;
            let receipt = match delivery.last_receipt_ms {
                Some(at) => shown::at(at, now_ms, lang),
                None => lang.say("board-none", &[]),
            };
            let facts = if is_hub {
                [
                    count("board-pending", pending),
                    (lang.say("board-online", &[]), line.online.len().to_string()),
                ]
            } else {
                [
                    count("board-waiting", delivery.unreceipted),
                    (lang.say("board-receipt", &[]), receipt),
                ]
            };
            Ok((facts, rows))
        })
    });
    let broke = |error| Error::because(Code::Internal, "a device was not looked at", error);
    let ([first, second], rows) = read.await.map_err(broke)??;
    let station = matches!(device.part, "first" | "second");
    let about = if station { "station" } else { device.part };
    Ok(Shown {
        code: device.code.clone(),
        name: lang.say(&format!("board-{}", device.part), &[]),
        about: lang.say(&format!("board-{about}-about"), &[]),
        on: (device.on)(),
        records: station,
        first,
        second,
        rows,
    })
}

impl Shared {
    fn device(&self, code: &str) -> Result<&Device> {
        let found = self.devices.iter().find(|device| device.code == code);
        found.ok_or_else(|| Error::new(Code::NoPage, "there is no such device"))
    }
}

async fn switch(State(shared): State<Shared>, Path(code): Path<String>) -> Answer {
    (shared.device(&code)?.switch)().await?;
    Ok(go("/"))
}

async fn record(State(shared): State<Shared>, Path(code): Path<String>) -> Answer {
    (shared.device(&code)?.record)().await?;
    Ok(go("/"))
}

/// Goes to a device's own pages, logged in, under the name by which the board was reached.
async fn open(
    State(shared): State<Shared>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let (port, path) = (shared.device(&code)?.open)().await?;
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.unwrap_or("127.0.0.1");
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    Ok(go(&format!("http://{name}:{port}{path}")))
}

async fn events(State(shared): State<Shared>) -> Answer {
    let stream = futures_util::stream::unfold(shared.moved, |mut moved| async move {
        moved.changed().await.ok()?;
        tokio::time::sleep(PAUSE).await;
        let count = *moved.borrow_and_update();
        let event = Event::default().event("moved").data(count.to_string());
        Some((Ok::<_, Infallible>(event), moved))
    });
    Ok(Sse::new(stream)
        .keep_alive(KeepAlive::default())
        .into_response())
}
