//! The demonstration board: the devices of one throw-away network side by side, a switch on each one's cable, and each record as a row
//! that runs across them. It knows devices as what they can be asked for; who starts them gives it that.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State as Has};
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use lianxin_protocol::catalogue::Catalogue;
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::guard::{self, Hosts};
use super::list::Row;
use super::page::{self, Answer, Bare, go, html};
use super::words::Lang;
use super::{listen, local, serve};
use crate::actor::Actor;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::journal::Overview;
use crate::records::delivery::{Coverage, State};
use crate::records::{self, Filter};
use crate::writer::WriterThread;

/// Records shown, the newest first.
const ROWS: usize = 6;
/// Records looked at on each device: those shown on any.
const LOOKED: usize = 12;
/// Shortest time between two messages.
const PAUSE: Duration = Duration::from_millis(200);
/// The computer of which the five steps tell.
const FIRST: &str = "first";

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
    pub switch: Arc<dyn Fn() + Send + Sync>,
    /// Records the next of the sample records there.
    pub record: Arc<dyn Fn() -> Work<()> + Send + Sync>,
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
    /// How far whoever tries it has come.
    walk: Arc<Mutex<Walk>>,
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
            walk: Arc::default(),
            moved,
        };
        // What is there already is nobody's step.
        let (views, _) = shared.look(Lang::Zh).await?;
        shared.walk(|walk| {
            walk.before = seen(&views);
            walk.answered = answered(&views);
        });
        let routes = Router::new()
            .route("/", get(show))
            .route("/devices/{code}/line", post(switch))
            .route("/devices/{code}/record", post(record))
            .route("/devices/{code}/open", get(open))
            .route("/events", get(events))
            .route("/assets/{file}", get(page::asset))
            .fallback(page::nowhere)
            .with_state(shared);
        let routes = page::framed(guard::whole(routes), None);
        serve(&self.listener, guard::around(routes, hosts), stop).await;
        Ok(())
    }
}

// ---- the five steps ----

/// What somebody has done with the first computer since the board was opened. A step that was done stays done.
#[derive(Debug, Default)]
struct Walk {
    /// Records that were there at the beginning.
    before: BTreeSet<RecordId>,
    /// Those of them that had been answered.
    answered: BTreeSet<RecordId>,
    /// Records that the first computer has made while its cable was out.
    apart: BTreeSet<RecordId>,
    done: [bool; 5],
}

impl Walk {
    /// Looks at what has happened.
    fn follow(&mut self, views: &[View]) {
        let Some(first) = views.iter().find(|view| view.part == FIRST) else {
            return;
        };
        let made = first.rows.iter();
        let made = made.filter(|row| row.is_of(&first.code) && !self.before.contains(&row.id));
        let made: Vec<_> = made.collect();
        if !first.on {
            let apart = made.iter().filter(|row| !row.arrived);
            let apart: Vec<_> = apart.map(|row| row.id).collect();
            self.apart.extend(apart);
        }
        let arrived = |id: &RecordId| made.iter().any(|row| row.id == *id && row.arrived);
        let reached = [
            made.iter().any(|row| row.arrived),
            !first.on,
            !self.apart.is_empty(),
            !self.apart.is_empty() && self.apart.iter().all(arrived) && first.on,
            views
                .iter()
                .flat_map(|view| &view.rows)
                .any(|row| row.answered && !self.answered.contains(&row.id)),
        ];
        for (done, reached) in self.done.iter_mut().zip(reached) {
            *done |= reached;
        }
    }

    /// How each step stands: `did`, `now` for the first that is to be done, or nothing.
    fn stages(&self) -> [&'static str; 5] {
        let next = self.done.iter().position(|done| !done);
        let mut at = 0;
        self.done.map(|done| {
            let stage = match done {
                true => "did",
                false if next == Some(at) => "now",
                false => "",
            };
            at += 1;
            stage
        })
    }
}

// ---- what is seen ----

/// A record as one device has it.
struct Held {
    id: RecordId,
    number: String,
    title: String,
    at: String,
    status: String,
    state: String,
    /// The hub has signed for it, as far as this device knows.
    arrived: bool,
    /// Somebody has answered it.
    answered: bool,
}

impl Held {
    /// Whether the computer of this code has recorded it: numbers say so.
    fn is_of(&self, code: &str) -> bool {
        self.number.split('-').any(|part| part == code)
    }
}

/// What one device holds.
struct View {
    part: &'static str,
    code: String,
    on: bool,
    rows: Vec<Held>,
}

/// Records that any device holds.
fn seen(views: &[View]) -> BTreeSet<RecordId> {
    let rows = views.iter().flat_map(|view| &view.rows);
    rows.map(|row| row.id).collect()
}

/// Records that somebody has answered, as any device knows.
fn answered(views: &[View]) -> BTreeSet<RecordId> {
    let rows = views.iter().flat_map(|view| &view.rows);
    rows.filter(|row| row.answered).map(|row| row.id).collect()
}

/// A computer at the head of its column.
struct Head {
    code: String,
    name: String,
    about: String,
    on: bool,
    records: bool,
}

/// A record on its way across the computers.
struct Line {
    id: String,
    title: String,
    /// How far it has come, as the computer says that recorded it.
    said: String,
    cells: Vec<Cell>,
}

/// A record at one computer.
struct Cell {
    /// `home` where it was recorded, `stuck` where it waits for the cable there, `fly` where it is about to arrive, `has`, `none`.
    stage: &'static str,
    icon: &'static str,
    off: bool,
    first: String,
    second: String,
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    bare: Bare,
    walk: [&'static str; 5],
    heads: Vec<Head>,
    lines: Vec<Line>,
}

impl BoardPage {
    fn step(&self, number: &usize) -> String {
        self.bare.t(&format!("board-walk-{number}"))
    }

    fn how(&self, number: &usize) -> String {
        self.bare.t(&format!("board-walk-{number}-how"))
    }
}

async fn show(Has(shared): Has<Shared>, headers: HeaderMap) -> Answer {
    let lang = page::language(&headers);
    let (views, place) = shared.look(lang).await?;
    let walk = shared.walk(|walk| {
        walk.follow(&views);
        walk.stages()
    });
    let ids = seen(&views).into_iter().rev().take(ROWS);
    let lines = ids.filter_map(|id| line(&id, &views, lang)).collect();
    let heads = views.iter().map(|view| head(view, lang)).collect();
    html(&BoardPage {
        bare: Bare::new(lang, place),
        walk,
        heads,
        lines,
    })
}

fn head(view: &View, lang: Lang) -> Head {
    let station = matches!(view.part, "first" | "second");
    let about = if station { "station" } else { view.part };
    Head {
        code: view.code.clone(),
        name: lang.say(&format!("board-{}", view.part), &[]),
        about: lang.say(&format!("board-{about}-about"), &[]),
        on: view.on,
        records: station,
    }
}

/// One record across all computers.
fn line(id: &RecordId, views: &[View], lang: Lang) -> Option<Line> {
    let found = |view: &View| view.rows.iter().position(|row| row.id == *id);
    let of = |view: &View| {
        view.rows
            .iter()
            .any(|row| row.id == *id && row.is_of(&view.code))
    };
    let home = views.iter().find(|view| of(view));
    let holder = home.or_else(|| views.iter().find(|view| found(view).is_some()))?;
    let best = holder.rows.get(found(holder)?)?;
    let hub_on = views.iter().any(|view| view.part == "hub" && view.on);
    let leaves = home.is_some_and(|home| home.on) && hub_on;
    let cells = views.iter().map(|view| {
        let row = found(view).and_then(|at| view.rows.get(at));
        let say = |id: &str| lang.say(id, &[]);
        let is_home = home.is_some_and(|home| home.code == view.code);
        let (stage, icon, first, second) = match row {
            Some(row) if is_home && !row.arrived && !leaves => {
                ("stuck", "wait", row.at.clone(), say("board-waits"))
            }
            Some(row) if is_home => ("home", "saved", row.at.clone(), say("board-recorded")),
            Some(row) => ("has", "check", row.status.clone(), String::new()),
            None if view.part == "hub" && leaves => {
                ("fly", "sending", say("state-sending"), String::new())
            }
            None if !view.on => ("none", "", say("board-cut-here"), String::new()),
            None => ("none", "", say("board-not-yet"), String::new()),
        };
        Cell {
            stage,
            icon,
            off: !view.on,
            first,
            second,
        }
    });
    let cells = cells.collect();
    let said = if best.arrived || leaves {
        format!("{} · {}", best.status, best.state)
    } else {
        lang.say("board-stuck", &[])
    };
    Some(Line {
        id: id.hyphenated(),
        title: best.title.clone(),
        said,
        cells,
    })
}

impl Shared {
    fn device(&self, code: &str) -> Result<&Device> {
        let found = self.devices.iter().find(|device| device.code == code);
        found.ok_or_else(|| Error::new(Code::NoPage, "there is no such device"))
    }

    fn walk<R>(&self, work: impl FnOnce(&mut Walk) -> R) -> R {
        work(&mut self.walk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What every device holds, and the network's name.
    async fn look(&self, lang: Lang) -> Result<(Vec<View>, String)> {
        let mut views = Vec::with_capacity(self.devices.len());
        let mut place = String::new();
        for device in self.devices.iter() {
            let writer = device.writer.clone();
            let read = tokio::task::spawn_blocking(move || {
                writer.after_wait(move |journal, connection| {
                    let name = journal.authority().names().0.to_owned();
                    Ok((name, held(connection, journal, lang)?))
                })
            });
            let broke = |error| Error::because(Code::Internal, "a device was not looked at", error);
            let (name, rows) = read.await.map_err(broke)??;
            place = name;
            views.push(View {
                part: device.part,
                code: device.code.clone(),
                on: (device.on)(),
                rows,
            });
        }
        Ok((views, place))
    }
}

/// The opinions that a device holds.
fn held(connection: &Connection, overview: &Overview, lang: Lang) -> Result<Vec<Held>> {
    let now_ms = clock::now_ms();
    // Whoever runs a demonstration has all of it.
    let owner = Actor::owner(overview).owning_the_store();
    let coverage = Coverage::of(overview);
    let filter = Filter {
        // What most records are.
        kind: Catalogue::current()
            .kinds()
            .next()
            .map(|kind| kind.code.clone()),
        limit: LOOKED,
        held: Some(false),
        ..Filter::default()
    };
    let mut rows = Vec::new();
    for row in &records::list(connection, &filter)? {
        let reached = coverage.reached(connection, row)?;
        let shown = Row::plain(reached, row, &owner, (lang, now_ms));
        rows.push(Held {
            id: row.id,
            number: shown.number,
            title: shown.title,
            at: shown.when,
            status: shown.status,
            state: shown.state.word,
            arrived: !matches!(reached, State::Saved | State::Sending),
            answered: matches!(row.status.as_str(), "answered" | "informed" | "closed"),
        });
    }
    Ok(rows)
}

// ---- what is pressed ----

async fn switch(Has(shared): Has<Shared>, Path(code): Path<String>) -> Answer {
    (shared.device(&code)?.switch)();
    // A cable that was out between two looks was out.
    let (views, _) = shared.look(Lang::Zh).await?;
    shared.walk(|walk| walk.follow(&views));
    Ok(go("/"))
}

async fn record(Has(shared): Has<Shared>, Path(code): Path<String>) -> Answer {
    (shared.device(&code)?.record)().await?;
    Ok(go("/"))
}

/// Goes to a device's own pages, logged in, under the name by which the board was reached.
async fn open(Has(shared): Has<Shared>, Path(code): Path<String>, headers: HeaderMap) -> Answer {
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

async fn events(Has(shared): Has<Shared>) -> Answer {
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
