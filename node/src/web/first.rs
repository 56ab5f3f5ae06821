//! The first run in the browser: a computer that belongs to no network yet makes one, or joins one with the card that somebody was
//! given, without a command typed.
//!
//! The pages stand on loopback and open to whoever has the link, which works once. They hold nothing but what is typed: what is
//! done, and how far it has come, is whoever's who started them ([`Door`]). Every address leads to the step that is due, so that going back
//! and loading again do nothing twice.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::extract::{Form, Path as Named, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::text;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::guard::{self, Hosts};
use super::page::{self, Answer, Bare, attached, go, html, sentence};
use super::slip::Qr;
use super::words::Lang;
use super::{listen, local, login, serve};
use crate::clock::{self, Monotonic};
use crate::error::{Code, Result};

/// The pages end when nobody has asked for one for so long.
const IDLE_MS: u64 = 60 * 60 * 1_000;
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(30);
/// Digits of a group of the recovery card, and groups that are typed back.
const GROUP: usize = 4;
const ASKED: usize = 2;

/// What a page asks for.
#[derive(Debug)]
pub enum Ask {
    /// How it stands.
    See,
    /// To meet the hub with an invite: a typed code, what its QR code says, or its file.
    Join {
        /// The invite.
        invite: String,
        /// Where the hub listens, if only a code was typed.
        hub: Option<String>,
    },
    /// To draw the keys of a network.
    Draw {
        /// Its name.
        name: String,
        /// Its four letters in numbers.
        code: String,
    },
    /// To have it so: the words are the same, the card is in hand.
    Agree,
    /// To leave nothing of it.
    Stop,
    /// To start the node.
    Begin {
        /// A password for its first account.
        password: Option<String>,
    },
}

/// How far the first run has come.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Nothing was made.
    Nothing,
    /// The hub was met, or could not be: nothing counts yet.
    Met(Met),
    /// The keys of a network were drawn; its recovery card.
    Drawn(Value),
    /// The store is there.
    Made,
    /// The node runs.
    Runs {
        /// A link into its pages.
        url: String,
    },
}

/// What is known of a join that is not agreed to yet.
#[derive(Clone, Debug)]
pub struct Met {
    /// The network's name; empty if the hub was not reached.
    pub network: String,
    /// The site's name, or its code.
    pub site: String,
    /// The code in its numbers.
    pub device: String,
    /// Four words to compare; none if the hub was not reached.
    pub words: Vec<String>,
}

/// An answer to what a page asks for.
pub type Work = Pin<Box<dyn Future<Output = Result<Standing>> + Send>>;

/// Carries out what a page asks for.
pub type Door = Arc<dyn Fn(Ask) -> Work + Send + Sync>;

/// The pages of the first run, ready to be served.
#[derive(Debug)]
pub struct First {
    listener: TcpListener,
    /// What the link ends in.
    link: String,
}

impl First {
    /// Opens their socket.
    ///
    /// # Errors
    /// [`Code::Address`] when the address is not this computer's own, or not free.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            listener: listen(address).await?,
            link: Hex(&clock::random::<16>()?).to_string(),
        })
    }

    /// The link to them, which works once.
    ///
    /// # Errors
    /// The system does not say where the socket is.
    pub fn url(&self) -> Result<String> {
        let address = local(&self.listener)?;
        Ok(format!("http://{address}/setup/{}", self.link))
    }

    /// Their socket, for the pages that come after them.
    #[must_use]
    pub fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Serves them until nobody has asked for a page for an hour. `data` is where the store will lie.
    ///
    /// # Errors
    /// The system does not say where the socket is.
    pub async fn serve(
        &self,
        door: Door,
        data: &Path,
        allowed: &[String],
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let address = local(&self.listener)?;
        let desk = Desk(Arc::new(Shared {
            door,
            data: data.display().to_string(),
            link: Mutex::new(Some(self.link.clone())),
            secret: Hex(&clock::random::<16>()?).to_string(),
            cookie: format!("lianxin_first_{}", address.port()),
            clock: Monotonic::start(),
            asked_ms: AtomicU64::new(0),
        }));
        let ours = Router::new()
            .route("/", get(due))
            .route("/join", get(join_page).post(join))
            .route("/hub", get(hub_page).post(draw))
            .route("/restore", get(restore))
            .route("/card.json", get(card))
            .route("/found", post(found))
            .route("/agree", post(agree))
            .route("/stop", post(leave))
            .route("/begin", post(begin))
            .layer(from_fn_with_state(desk.clone(), only_ours));
        let routes = Router::new()
            .route("/setup/{link}", get(enter))
            .route("/assets/{file}", get(page::asset))
            .merge(ours)
            .fallback(page::nowhere)
            .with_state(desk.clone());
        let hosts = Hosts::new(address, None, allowed);
        let routes = page::framed(guard::whole(routes), None);
        tokio::select! {
            () = serve(&self.listener, guard::around(routes, hosts), stop) => {}
            () = desk.idle() => {}
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Desk(Arc<Shared>);

struct Shared {
    door: Door,
    /// Where the store will lie, in words.
    data: String,
    /// What the link ends in, until it was used.
    link: Mutex<Option<String>>,
    /// What the cookie of whoever used it holds.
    secret: String,
    cookie: String,
    clock: Monotonic,
    /// When a page was asked for last.
    asked_ms: AtomicU64,
}

impl Desk {
    async fn ask(&self, ask: Ask) -> Result<Standing> {
        (self.0.door)(ask).await
    }

    /// Ends when nobody has come for long.
    async fn idle(&self) {
        while self.0.clock.ms() < self.0.asked_ms.load(Relaxed) + IDLE_MS {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Lets in whoever came by the link.
async fn only_ours(State(desk): State<Desk>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let lang = page::language(headers);
    if page::cookie(headers, &desk.0.cookie) != Some(desk.0.secret.as_str()) {
        return locked(lang).unwrap_or_else(|failure| failure.into_response());
    }
    desk.0.asked_ms.store(desk.0.clock.ms(), Relaxed);
    request.extensions_mut().insert(Tongue(lang));
    next.run(request).await
}

/// The language of whoever asks.
#[derive(Clone, Copy)]
struct Tongue(Lang);

fn locked(lang: Lang) -> Answer {
    let page = shown(lang, Step::Locked)?;
    Ok((StatusCode::FORBIDDEN, page).into_response())
}

/// Takes the link. Who asks only for the head uses nothing up.
async fn enter(
    State(desk): State<Desk>,
    Named(link): Named<String>,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let mut known = desk.0.link.lock().unwrap_or_else(PoisonError::into_inner);
    let lang = page::language(&headers);
    if method == Method::HEAD || known.as_ref() != Some(&link) {
        let ours = page::cookie(&headers, &desk.0.cookie) == Some(desk.0.secret.as_str());
        return if ours { Ok(go("/")) } else { locked(lang) };
    }
    *known = None;
    let (name, secret) = (&desk.0.cookie, &desk.0.secret);
    let cookie = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict");
    Ok(login::with_cookie(&cookie, onward(lang, "/")?))
}

// ---- what is shown ----

/// A step as it is shown.
enum Step {
    Locked,
    Choose,
    Join { invite: String, hub: String },
    Words(Met),
    Hub { name: String, code: String },
    Card(Box<Card>),
    Restore,
    Password,
}

/// A recovery card on paper.
struct Card {
    name: String,
    network: String,
    /// The keys of the network and of its backups, in groups.
    root: Vec<String>,
    backup: Vec<String>,
    qr: Qr,
    /// Groups of the first that are typed back, counted from 1.
    asked: Vec<usize>,
}

impl Card {
    fn of(card: &Value) -> Result<Self> {
        let text = |key: &str| card.get(key).and_then(Value::as_str).unwrap_or_default();
        let (root, network) = (groups(text("root_key")), text("network"));
        Ok(Self {
            name: text("name").to_owned(),
            network: network.get(..16).unwrap_or_default().to_owned(),
            asked: asked(network, root.len()),
            backup: groups(text("backup_key")),
            qr: Qr::of(&card.to_string())?,
            root,
        })
    }
}

fn groups(digits: &str) -> Vec<String> {
    let all: Vec<char> = digits.chars().collect();
    all.chunks(GROUP)
        .map(|group| group.iter().collect())
        .collect()
}

/// Which groups of a card are typed back: the same as often as they are asked for, and others on each card.
fn asked(network: &str, count: usize) -> Vec<usize> {
    let digits = network
        .bytes()
        .filter_map(|digit| char::from(digit).to_digit(16));
    let digits = digits.filter_map(|digit| usize::try_from(digit).ok());
    let mut asked: Vec<usize> = Vec::new();
    for group in digits.map(|digit| digit % count.max(1) + 1) {
        if asked.len() < ASKED && !asked.contains(&group) {
            asked.push(group);
        }
    }
    asked
}

#[derive(Template)]
#[template(path = "first.html")]
struct FirstPage {
    bare: Bare,
    step: Step,
    /// Where the store will lie.
    data: String,
    fault: Option<String>,
}

fn shown(lang: Lang, step: Step) -> Answer {
    shown_with(lang, step, (String::new(), None))
}

fn shown_with(lang: Lang, step: Step, (data, fault): (String, Option<String>)) -> Answer {
    let place = match step {
        Step::Join { .. } | Step::Words(_) => "first-joining",
        _ => "first-nothing",
    };
    html(&FirstPage {
        bare: Bare::new(lang, lang.say(place, &[])),
        step,
        data,
        fault,
    })
}

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward {
    bare: Bare,
    url: String,
}

/// Goes on to a page as if from a link on this one. A browser sends cookies that are strictly of one site after no redirect from another.
pub(super) fn onward(lang: Lang, url: &str) -> Answer {
    html(&Onward {
        bare: Bare::new(lang, String::new()),
        url: url.to_owned(),
    })
}

/// The step that is due.
async fn due(State(desk): State<Desk>, Extension(Tongue(lang)): Extension<Tongue>) -> Answer {
    let step = match desk.ask(Ask::See).await? {
        Standing::Nothing => {
            return shown_with(lang, Step::Choose, (desk.0.data.clone(), None));
        }
        Standing::Met(met) => Step::Words(met),
        Standing::Drawn(card) => Step::Card(Box::new(Card::of(&card)?)),
        Standing::Made => Step::Password,
        Standing::Runs { url } => return onward(lang, &url),
    };
    shown(lang, step)
}

/// A page of somebody who has not begun; whoever has is led to the step that is due.
async fn before(desk: &Desk, lang: Lang, step: Step) -> Answer {
    match desk.ask(Ask::See).await? {
        Standing::Nothing => shown(lang, step),
        _ => Ok(go("/")),
    }
}

async fn join_page(State(desk): State<Desk>, Extension(Tongue(lang)): Extension<Tongue>) -> Answer {
    let (invite, hub) = <(String, String)>::default();
    before(&desk, lang, Step::Join { invite, hub }).await
}

async fn hub_page(State(desk): State<Desk>, Extension(Tongue(lang)): Extension<Tongue>) -> Answer {
    let (name, code) = <(String, String)>::default();
    before(&desk, lang, Step::Hub { name, code }).await
}

async fn restore(State(desk): State<Desk>, Extension(Tongue(lang)): Extension<Tongue>) -> Answer {
    before(&desk, lang, Step::Restore).await
}

// ---- what is pressed ----

/// What an attempt leads to: the step that is due, or the form again with all that was typed.
fn led(lang: Lang, tried: Result<Standing>, again: Step) -> Answer {
    let Err(error) = tried else {
        return Ok(go("/"));
    };
    let said = match (error.code(), &again) {
        // Nothing was made, so nothing is sent later either.
        (Code::HubUnreachable | Code::Connection, Step::Join { .. }) => {
            lang.say("first-unreachable", &[])
        }
        (Code::AlreadySetUp, _) => lang.say("first-done-elsewhere", &[]),
        (code, _) => sentence(code, lang),
    };
    tracing::info!(code = error.code().text(), error = %error.chain(), "the first run goes on");
    let page = shown_with(lang, again, (String::new(), Some(said)))?;
    Ok((page::status_of(&error), page).into_response())
}

#[derive(Deserialize)]
struct Invited {
    invite: String,
    hub: String,
}

async fn join(
    State(desk): State<Desk>,
    Extension(Tongue(lang)): Extension<Tongue>,
    Form(typed): Form<Invited>,
) -> Answer {
    let hub = text::plain(&typed.hub).trim().to_ascii_lowercase();
    let hub = Some(hub).filter(|hub| !hub.is_empty());
    let invite = typed.invite.clone();
    let tried = desk.ask(Ask::Join { invite, hub }).await;
    let again = Step::Join {
        invite: typed.invite,
        hub: typed.hub,
    };
    led(lang, tried, again)
}

#[derive(Deserialize)]
struct Founding {
    name: String,
    code: String,
}

async fn draw(
    State(desk): State<Desk>,
    Extension(Tongue(lang)): Extension<Tongue>,
    Form(typed): Form<Founding>,
) -> Answer {
    let (name, code) = (typed.name.clone(), typed.code.clone());
    let tried = desk.ask(Ask::Draw { name, code }).await;
    let again = Step::Hub {
        name: typed.name,
        code: typed.code,
    };
    led(lang, tried, again)
}

/// The recovery card as a file.
async fn card(State(desk): State<Desk>) -> Answer {
    let Standing::Drawn(card) = desk.ask(Ask::See).await? else {
        return Ok(go("/"));
    };
    let text = format!("{card:#}\n");
    Ok(attached(
        "lianxin-recovery-card.json",
        "application/json",
        text,
    ))
}

/// What was read off the recovery card.
#[derive(Deserialize)]
struct Read {
    one: String,
    two: String,
}

/// Makes the network, once whoever makes it has its card in hand.
async fn found(
    State(desk): State<Desk>,
    Extension(Tongue(lang)): Extension<Tongue>,
    Form(read): Form<Read>,
) -> Answer {
    let Standing::Drawn(drawn) = desk.ask(Ask::See).await? else {
        return Ok(go("/"));
    };
    let card = Card::of(&drawn)?;
    let wanted = card.asked.iter().map(|group| card.root.get(group - 1));
    let typed = [read.one, read.two].map(|typed| text::code(&typed).to_ascii_lowercase());
    let right = wanted
        .zip(&typed)
        .all(|(wanted, typed)| wanted == Some(typed));
    let again = Step::Card(Box::new(card));
    if !right {
        let fault = Some(lang.say("first-card-wrong", &[]));
        let page = shown_with(lang, again, (String::new(), fault))?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    led(lang, desk.ask(Ask::Agree).await, again)
}

async fn agree(State(desk): State<Desk>) -> Answer {
    desk.ask(Ask::Agree).await?;
    Ok(go("/"))
}

async fn leave(State(desk): State<Desk>) -> Answer {
    desk.ask(Ask::Stop).await?;
    Ok(go("/"))
}

#[derive(Deserialize)]
struct Password {
    new: Option<String>,
    again: Option<String>,
    later: Option<String>,
}

/// Starts the node, and leads into its pages.
async fn begin(
    State(desk): State<Desk>,
    Extension(Tongue(lang)): Extension<Tongue>,
    Form(typed): Form<Password>,
) -> Answer {
    let password = match (typed.later, typed.new) {
        (Some(_), _) | (None, None) => None,
        (None, Some(new)) if typed.again.as_ref() == Some(&new) => Some(new),
        (None, Some(_)) => {
            let fault = Some(lang.say("password-differs", &[]));
            let page = shown_with(lang, Step::Password, (String::new(), fault))?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    match desk.ask(Ask::Begin { password }).await {
        Ok(Standing::Runs { url }) => onward(lang, &url),
        tried => led(lang, tried, Step::Password),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_asks_for_two_of_its_own_groups() {
        let asked = asked("ff03aa", 16);
        assert_eq!(asked, [16, 1]);
        assert_eq!(groups("0123abcd"), ["0123", "abcd"]);
    }
}
