//! What all pages have in common: who looks, the frame around each page, files, and failures.

use std::collections::BTreeSet;

use askama::Template;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Redirect, Response};
use lianxin_protocol::authority::{Membership, Role};
use lianxin_protocol::catalogue::{self, Catalogue, Label, Terms};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;

use super::list::next_for;
use super::reveal::{self, Revealed};
use super::shown;
use super::words::Lang;
use super::{App, Line};
use crate::accounts::{self, Account, Login};
use crate::actor::Actor;
use crate::clock;
use crate::error::{Code, Error, Kind, Result};
use crate::journal::{Books, Overview};
use crate::records::delivery::Delivery;
use crate::records::save::Author;
use crate::records::waiting::Waiting;
use crate::records::{self, Record, calendar, gather, inbox};
use crate::store;
use crate::warnings::Warning;

/// Beyond this age of the oldest record without a receipt the strip turns yellow, and red.
const WARN_MS: u64 = 2 * 60 * 60 * 1_000;
const BAD_MS: u64 = 24 * 60 * 60 * 1_000;
/// Files of the pages, part of the binary.
const STYLE: &str = include_str!("../../assets/app.css");
const SCRIPT: &str = include_str!("../../assets/app.js");
const BOARD: &str = include_str!("../../assets/board.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// How long, and of how many records at most, people are told that their device has written them again.
const REWRITTEN_TOLD_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
const REWRITTEN_TOLD: usize = 999;

/// What a handler gives: a page, or a failure that is one.
pub(super) type Answer = Result<Response, Failure>;

// ---- who looks ----

/// A browser that is logged in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) account: Account,
    /// The secret of its cookie.
    pub(super) secret: String,
    /// Records of which they have said lately why they want to see what is kept.
    pub(super) revealed: BTreeSet<RecordId>,
}

impl Session {
    pub(super) fn lang(&self) -> Lang {
        if self.account.taste.english {
            Lang::En
        } else {
            Lang::Zh
        }
    }

    /// Who acts, as the snapshot that is read, or the store that is written, has account and grant.
    ///
    /// # Errors
    /// [`Code::LoginRefused`] when the account is gone.
    pub(super) fn actor(&self, connection: &Connection, overview: &Overview) -> Result<Actor> {
        let account = accounts::find(connection, &self.account.id)?;
        let gone = || Error::new(Code::LoginRefused, "this account is gone");
        let actor = Actor::of(&account.ok_or_else(gone)?, overview);
        Ok(actor.having_revealed(self.revealed.clone()))
    }

    /// As whom it writes, now.
    ///
    /// # Errors
    /// As [`Session::actor`].
    pub(super) fn author(&self, connection: &Connection, overview: &Overview) -> Result<Author> {
        Ok(Author {
            actor: self.actor(connection, overview)?,
            now_ms: clock::now_ms(),
        })
    }
}

/// Name of the cookie with the language that was chosen last.
const CHOSEN: &str = "lianxin_language";

/// The language of a browser in which nobody is logged in: what was chosen there last, else the first of the two that it asks for.
pub(super) fn language(headers: &HeaderMap) -> Lang {
    if let Some(chosen) = cookie(headers, CHOSEN).and_then(Lang::parse) {
        return chosen;
    }
    let asked = headers.get(header::ACCEPT_LANGUAGE);
    let asked = asked.and_then(|asked| asked.to_str().ok());
    let mut asked = asked.unwrap_or_default().split(',').map(str::trim);
    asked.find_map(Lang::parse).unwrap_or(Lang::Zh)
}

/// The cookie by which a browser remembers a language.
pub(super) fn language_cookie(lang: Lang) -> String {
    format!(
        "{CHOSEN}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000",
        lang.tag()
    )
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    let pairs = all.filter_map(|line| line.to_str().ok());
    pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

impl FromRequestParts<App> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let hand = Hand::from_request_parts(parts, app).await?;
        hand.session().map_err(|_| to_login(parts))
    }
}

/// A browser of somebody whose login may have ended. What they send is kept for them; nothing is shown to them, and nothing of it
/// becomes a record.
#[derive(Clone, Debug)]
pub(super) struct Hand {
    session: Session,
    pub(super) ended: bool,
}

impl Hand {
    /// The login, if it holds.
    pub(super) fn session(self) -> Result<Session, Box<Account>> {
        if self.ended {
            Err(Box::new(self.session.account))
        } else {
            Ok(self.session)
        }
    }

    pub(super) fn lang(&self) -> Lang {
        self.session.lang()
    }

    pub(super) const fn account(&self) -> &Account {
        &self.session.account
    }
}

impl FromRequestParts<App> for Hand {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let secret = cookie(&parts.headers, &app.cookie).map(str::to_owned);
        let asked = secret.clone();
        let now_ms = clock::now_ms();
        let found = app
            .read(move |_, connection| match asked {
                Some(secret) => accounts::login(connection, &secret, now_ms),
                None => Ok(None),
            })
            .await
            .map_err(|error| Failure(error).into_response())?;
        let (Some((account, login)), Some(secret)) = (found, secret) else {
            return Err(to_login(parts));
        };
        if login == (Login::Holds { unnoted: true }) {
            let secret = secret.clone();
            app.write(move |_, connection| accounts::seen(connection, &secret, now_ms))
                .await
                .map_err(|error| Failure(error).into_response())?;
        }
        Ok(Self {
            session: Session {
                revealed: revealed(app, &secret),
                account,
                secret,
            },
            ended: login == Login::Ended,
        })
    }
}

/// The records of which a login has said lately why it wants to see what is kept.
fn revealed(app: &App, login: &str) -> BTreeSet<RecordId> {
    let lately = app.kept.lately::<Revealed>(login, reveal::SHOWN_MS);
    lately.iter().map(|revealed| revealed.0).collect()
}

/// Whether the program is there and the login holds: asked before a form is sent, which is lost in the browser's own error page
/// otherwise.
pub(super) async fn here(_: Session) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether whoever asks wants a page, as browsers do unless a script asks.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    accept
        .and_then(|accept| accept.to_str().ok())
        .is_none_or(|accept| accept.contains("text/html") || accept.contains("*/*"))
}

/// A page that was asked for is shown after the login; anything else just says that there is none.
fn to_login(parts: &Parts) -> Response {
    if !wants_page(&parts.headers) {
        return (StatusCode::UNAUTHORIZED, "log in first\n").into_response();
    }
    let path = parts.uri.path();
    // Only what can be asked for again; a form's words are in its draft.
    let again = parts.method.is_safe() && path != "/" && path.len() < 200;
    let to = if again {
        format!("/login?to={path}")
    } else {
        "/login".to_owned()
    };
    Redirect::to(&to).into_response()
}

// ---- the frame ----

/// What people are told of a warning; what concerns another device stands beside that device.
fn warned(lang: Lang, warning: Warning) -> Option<String> {
    let (id, count) = match warning {
        Warning::AwaitsCard => ("warning-awaits-card", 0),
        Warning::DiskFull => ("warning-disk-full", 0),
        Warning::PageUnreadable => ("warning-page-unreadable", 0),
        Warning::TwoHubs => ("warning-two-hubs", 0),
        Warning::OrdersMissing => ("warning-orders-missing", 0),
        Warning::Lacks(count) => ("warning-lacks", count),
        Warning::AwaitsLetter => ("warning-awaits-letter", 0),
        Warning::NumbersTwice(count) => ("warning-numbers-twice", count),
        Warning::Clock(minutes) if minutes > 0 => ("warning-clock-fast", minutes.unsigned_abs()),
        Warning::Clock(minutes) => ("warning-clock-slow", minutes.unsigned_abs()),
        Warning::Damaged(count) => ("warning-damaged", count),
        Warning::Unreadable(count) => ("warning-unreadable", count),
        Warning::Unread(count) => ("warning-unread", count),
        Warning::Blocked => ("warning-blocked", 0),
        Warning::Device(..) => return None,
    };
    Some(lang.say(id, &[("count", count.into())]))
}

/// One item of the main menu.
pub(super) struct Item {
    pub(super) href: &'static str,
    pub(super) label: String,
    pub(super) here: bool,
    pub(super) count: u64,
    pub(super) icon: &'static str,
}

/// Places of a phone's bar that are pages; behind the last place are all others.
const TABS: [&str; 4] = ["/", "/new", "/records", "/sync"];
const OFFICE_TABS: [&str; 4] = ["/", "/queue", "/records", "/sites"];

/// The three facts that are always in sight.
#[derive(Default)]
pub(super) struct Strip {
    pub(super) level: &'static str,
    pub(super) online: bool,
    pub(super) line: String,
    pub(super) waiting: String,
    pub(super) receipt: String,
}

/// Words and frame of one page.
pub(super) struct Page {
    pub(super) lang: Lang,
    pub(super) large: bool,
    pub(super) keys: bool,
    pub(super) title: String,
    pub(super) who: String,
    pub(super) place: String,
    pub(super) code: String,
    pub(super) menu: Vec<Item>,
    pub(super) strip: Strip,
    pub(super) now_ms: u64,
    /// Records that somebody has to look at, said where work begins.
    pub(super) held: u64,
    /// Records that this device has written again lately, said there as well.
    pub(super) rewritten: u64,
    /// Messages that whoever looks has not read, and records in conflict.
    unread: u64,
    conflicts: u64,
    /// What somebody should know before anything else.
    pub(super) notes: Vec<String>,
    /// Who looks.
    pub(super) actor: Actor,
    /// By which dates are computed here.
    pub(super) terms: Terms,
}

impl Page {
    /// The frame of a page for somebody who is logged in.
    pub(super) fn new(
        connection: &Connection,
        books: &mut Books,
        session: &Session,
        line: &Line,
        (here, title): (&str, String),
    ) -> Result<Self> {
        let lang = session.lang();
        let now_ms = clock::now_ms();
        let delivery = Delivery::read(connection, books)?;
        let actor = session.actor(connection, books)?;
        let role = actor.device();
        let (place, code) = place(connection, books, lang)?;
        let strip = strip(connection, books, (&delivery, line), (lang, now_ms))?;
        let office = is_office(role);
        let items: &[(&'static str, &str, &'static str)] = if office {
            &[
                ("/", "menu-home", "home"),
                ("/queue", "menu-queue", "received"),
                ("/new", "menu-new", "plus"),
                ("/records", "menu-list", "list"),
                ("/conflicts", "menu-conflicts", "conflict"),
                ("/sites", "menu-sites", "plug"),
                ("/reports", "menu-reports", "copy"),
                ("/sync", "menu-sync", "sync"),
                ("/help", "menu-help", "info"),
            ]
        } else {
            &[
                ("/", "menu-home", "home"),
                ("/new", "menu-new", "plus"),
                ("/records", "menu-list", "list"),
                ("/conflicts", "menu-conflicts", "conflict"),
                ("/lookup", "menu-lookup", "search"),
                ("/reports", "menu-reports", "copy"),
                ("/sync", "menu-sync", "sync"),
                ("/help", "menu-help", "info"),
            ]
        };
        let todo = waiting_for(connection, &actor, now_ms)?;
        let menu = items
            .iter()
            .filter(|(href, ..)| *href != "/conflicts" || delivery.conflicts > 0)
            .map(|(href, label, icon)| Item {
                href,
                label: lang.say(label, &[]),
                here: *href == here,
                count: match *href {
                    "/conflicts" => delivery.conflicts,
                    "/queue" => todo,
                    "/" if !office => todo,
                    _ => 0,
                },
                icon,
            })
            .collect();
        // The station may wait for the hub to confirm it 待入网.
        let unconfirmed = role.is_none().then(|| lang.say("unconfirmed-note", &[]));
        let warnings = Warning::all(books).into_iter();
        let warnings = warnings.filter_map(|warning| warned(lang, warning));
        let notes = warnings.chain(unconfirmed).collect();
        let begins = matches!(here, "/" | "/queue");
        let rewritten = if begins {
            let me = Some(books.identity().key().0);
            let since = now_ms.saturating_sub(REWRITTEN_TOLD_MS);
            let found = records::written_again(connection, me, since, REWRITTEN_TOLD)?;
            found.len() as u64
        } else {
            0
        };
        Ok(Self {
            lang,
            large: session.account.taste.large,
            keys: session.account.taste.keys,
            title,
            who: session.account.name.clone(),
            place,
            code,
            menu,
            strip,
            now_ms,
            held: if begins { delivery.quarantined } else { 0 },
            rewritten,
            unread: inbox::unread(connection, actor.account())?,
            conflicts: delivery.conflicts,
            notes,
            actor,
            terms: calendar::known(connection, books)?,
        })
    }

    /// What a phone's bar shows.
    pub(super) fn tabs(&self) -> impl Iterator<Item = &Item> {
        self.menu.iter().filter(|item| self.is_tab(item))
    }

    /// What is behind the last place of a phone's bar.
    pub(super) fn rest(&self) -> impl Iterator<Item = &Item> {
        self.menu.iter().filter(|item| !self.is_tab(item))
    }

    fn is_tab(&self, item: &Item) -> bool {
        let tabs = if self.office() { OFFICE_TABS } else { TABS };
        tabs.contains(&item.href)
    }

    /// Words without anything to fill in.
    pub(super) fn t(&self, id: &str) -> String {
        self.lang.say(id, &[])
    }

    /// Words with a number.
    pub(super) fn n(&self, id: &str, count: &u64) -> String {
        self.lang.say(id, &[("count", (*count).into())])
    }

    /// Words with another text.
    pub(super) fn with(&self, id: &str, text: &str) -> String {
        self.lang.say(id, &[("text", text.into())])
    }

    /// A label in front of what is said of it.
    pub(super) fn colon(&self, label: &str) -> String {
        self.lang.colon(label)
    }

    /// That a form was begun by an older version, and what the newest one asks besides.
    pub(super) fn newer_form(&self, begun: &u32, newest: &u32, besides: &[String]) -> String {
        let between = self.lang.say("list-mark", &[]);
        let besides = besides.join(&between);
        let said = [
            ("begun", (*begun).into()),
            ("newest", (*newest).into()),
            ("text", besides.as_str().into()),
        ];
        self.lang.say("newer-form", &said)
    }

    /// A label of the catalogue.
    pub(super) fn label<'a>(&self, label: &'a Label) -> &'a str {
        self.lang.label(label)
    }

    /// How many messages whoever looks has not read; nothing if there are none.
    pub(super) fn unread(&self) -> String {
        match self.unread {
            0 => String::new(),
            inbox::COUNTED.. => format!("{}+", inbox::COUNTED - 1),
            count => count.to_string(),
        }
    }

    /// How many records are in conflict.
    pub(super) const fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Whether the operator's pages are at hand.
    pub(super) fn office(&self) -> bool {
        is_office(self.actor.device())
    }

    /// Whether whoever looks gives orders: sites, invites.
    pub(super) fn orders(&self) -> bool {
        self.office() && self.actor.roles().contains(&catalogue::Role::Hub)
    }

    /// Whether whoever looks makes records of a kind.
    pub(super) fn creates(&self, kind: &str) -> bool {
        let kind = Catalogue::current().kind(kind);
        kind.is_some_and(|kind| self.actor.creates(kind))
    }

    /// The version of the assets, so that a browser keeps one until it changes.
    pub(super) fn version(&self) -> &'static str {
        version()
    }
}

/// Which computer this is: where it stands, and its code in numbers.
fn place(connection: &Connection, overview: &Overview, lang: Lang) -> Result<(String, String)> {
    let member = overview.authority().members();
    let member = member.get(&overview.identity().key());
    let (network, _) = overview.authority().names();
    let code = match member {
        Some(member) => member.grant.device_code.clone(),
        None => {
            let kept = store::meta(connection, "device_code")?;
            kept.and_then(|bytes| String::from_utf8(bytes).ok())
                .unwrap_or_default()
        }
    };
    let site = member.and_then(|member| member.grant.site);
    let site = site.and_then(|site| overview.authority().sites().get(&site));
    let place = match (site, member.map(|member| member.grant.role)) {
        (Some(site), _) => site.name.clone(),
        (None, Some(Role::Hub)) => lang.say("place-hub", &[("name", network.into())]),
        (None, Some(_)) => lang.say("place-operator", &[("name", network.into())]),
        (None, None) => lang.say("place-unconfirmed", &[]),
    };
    Ok((place, code))
}

/// Words and frame of a page without a menu: of one that needs no login, and of a sheet.
pub(super) struct Bare {
    pub(super) lang: Lang,
    pub(super) place: String,
    pub(super) code: String,
}

impl Bare {
    /// A frame that names this place.
    pub(super) const fn new(lang: Lang, place: String) -> Self {
        Self {
            lang,
            place,
            code: String::new(),
        }
    }

    /// The frame of this computer's pages.
    pub(super) fn here(connection: &Connection, overview: &Overview, lang: Lang) -> Result<Self> {
        let (place, code) = place(connection, overview, lang)?;
        Ok(Self { lang, place, code })
    }

    /// Words without anything to fill in.
    pub(super) fn t(&self, id: &str) -> String {
        self.lang.say(id, &[])
    }

    /// Words with a number.
    pub(super) fn n(&self, id: &str, count: &usize) -> String {
        self.lang.say(id, &[("count", (*count).into())])
    }

    /// A label in front of what is said of it.
    pub(super) fn colon(&self, label: &str) -> String {
        self.lang.colon(label)
    }

    /// The version of the assets.
    pub(super) fn version(&self) -> &'static str {
        version()
    }
}

/// Devices at the sub-district see every site and handle what they send.
pub(super) fn is_office(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Hub | Role::Operator))
}

/// How many records wait for a step that whoever looks usually takes.
fn waiting_for(connection: &Connection, actor: &Actor, now_ms: u64) -> Result<u64> {
    let mut waiting = 0;
    for kind in Catalogue::current().kinds() {
        for (status, _) in next_for(kind, actor.roles()) {
            waiting += Waiting::of(kind, status, now_ms).count(connection)?;
        }
    }
    Ok(waiting)
}

/// How many matters wait for the hub's first step.
pub(super) fn pending(connection: &Connection) -> Result<u64> {
    let front = Catalogue::current().front();
    match front.and_then(|kind| Some((kind.code.as_str(), kind.pending()?))) {
        Some(waiting) => records::count(connection, waiting, None),
        None => Ok(0),
    }
}

/// The three facts, by receipts and open sessions alone.
pub(super) fn strip(
    connection: &Connection,
    overview: &Overview,
    (delivery, line): (&Delivery, &Line),
    (lang, now_ms): (Lang, u64),
) -> Result<Strip> {
    let member = overview
        .authority()
        .members()
        .get(&overview.identity().key());
    let blocked = member.is_some_and(|it| it.membership != Membership::Active);
    let say = |id: &str| lang.say(id, &[]);
    let time =
        |id: &str, at_ms: u64| lang.say(id, &[("time", shown::at(at_ms, now_ms, lang).into())]);
    let last_seen = delivery.last_contact_ms;
    if overview.identity().authority.is_some() {
        let pending = pending(connection)?;
        return Ok(Strip {
            level: if delivery.quarantined > 0 {
                "bad"
            } else {
                "ok"
            },
            online: true,
            line: lang.say("strip-online", &[("count", line.online.len().into())]),
            waiting: lang.say("strip-pending", &[("count", pending.into())]),
            receipt: last_seen.map_or_else(|| say("strip-nobody"), |at| time("strip-contact", at)),
        });
    }
    let age_ms = delivery.oldest_ms.map(|at| now_ms.saturating_sub(at));
    let level = match age_ms {
        _ if delivery.quarantined > 0 || blocked => "bad",
        Some(age) if age > BAD_MS => "bad",
        Some(_) if !line.connected => "off-waits",
        None if !line.connected => "off",
        Some(age) if age > WARN_MS => "warn",
        _ => "ok",
    };
    let waiting = match delivery.oldest_ms {
        None => say("strip-none-waiting"),
        Some(oldest) => lang.say(
            "strip-waiting",
            &[
                ("count", delivery.unreceipted.into()),
                ("age", shown::age(oldest, now_ms, lang).into()),
            ],
        ),
    };
    Ok(Strip {
        level,
        online: line.connected,
        line: match (line.connected, last_seen) {
            (true, _) => say("strip-connected"),
            (false, Some(at)) => time("strip-offline", at),
            (false, None) => say("strip-never"),
        },
        waiting,
        receipt: delivery
            .last_receipt_ms
            .map_or_else(|| say("strip-no-receipt"), |at| time("strip-receipt", at)),
    })
}

// ---- answers ----

/// A page as an answer.
pub(super) fn html(template: &impl Template) -> Answer {
    let text = template
        .render()
        .map_err(|error| Error::because(Code::Internal, "a page cannot be made", error))?;
    Ok(Html(text).into_response())
}

/// A JSON file to be kept under a name.
pub(super) fn attached(name: &str, kind: &'static str, bytes: impl Into<Body>) -> Response {
    let place = format!("attachment; filename=\"{name}\"");
    let mut answer = Response::new(bytes.into());
    let head = answer.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(place) = HeaderValue::from_str(&place) {
        head.insert(header::CONTENT_DISPOSITION, place);
    }
    answer
}

/// Goes on to another page, with GET.
pub(super) fn go(path: &str) -> Response {
    Redirect::to(path).into_response()
}

/// A failure as a page.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// The sentence for a code.
pub(super) fn sentence(code: Code, lang: Lang) -> String {
    match lang {
        Lang::Zh => lang.say(&format!("error-{}", code.text()), &[]),
        Lang::En => format!("{}: {}", code.text(), code.hint()),
    }
}

/// The status with which a failure is answered.
pub(super) fn status_of(error: &Error) -> StatusCode {
    match (error.code(), error.code().kind()) {
        (Code::NoRecord | Code::NoPage | Code::NoKind | Code::NoSite, _) => StatusCode::NOT_FOUND,
        (Code::TooLarge, _) => StatusCode::PAYLOAD_TOO_LARGE,
        (Code::FieldsRefused | Code::Fixed, _) => StatusCode::UNPROCESSABLE_ENTITY,
        (_, Kind::Usage) => StatusCode::BAD_REQUEST,
        (_, Kind::Refused) => StatusCode::FORBIDDEN,
        (_, Kind::Partial | Kind::Busy | Kind::NotEnrolled) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Kind::Failed) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let code = error.code();
        let status = status_of(&error);
        if status.is_server_error() {
            tracing::warn!(code = code.text(), error = %error.chain(), "a page failed");
        }
        let mut answer = (status, code.text()).into_response();
        answer.extensions_mut().insert(Said {
            code,
            message: error.to_string(),
            chain: error.chain(),
        });
        answer
    }
}

/// What a page says that failed; [`framed`] makes the page, since it knows who looks.
#[derive(Clone)]
struct Said {
    code: Code,
    message: String,
    chain: String,
}

impl Said {
    /// What is to be said of an answer that is no page: one that has failed, or that was turned away before it came to one.
    fn of(answer: &Response) -> Option<Self> {
        if let Some(said) = answer.extensions().get::<Self>() {
            return Some(said.clone());
        }
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let plain = kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
        let code = match answer.status() {
            _ if !plain => return None,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Code::NoPage,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            status if status.is_client_error() => Code::Usage,
            status if status.is_server_error() => Code::Internal,
            _ => return None,
        };
        let message = String::new();
        let chain = String::new();
        Some(Self {
            code,
            message,
            chain,
        })
    }
}

/// A failure in words.
struct Failed {
    code: &'static str,
    said: String,
    /// What to do, where that is not part of it.
    how: String,
    chain: String,
    next: String,
    home: String,
    details: String,
}

impl Failed {
    fn new(said: Said, lang: Lang) -> Self {
        // English messages are those of the command line: what was attempted, and a hint.
        let hint = capital(said.code.hint());
        let (what, how) = match lang {
            Lang::Zh => (sentence(said.code, lang), String::new()),
            Lang::En if said.message.is_empty() => (hint, String::new()),
            Lang::En => (capital(&said.message), hint),
        };
        Self {
            code: said.code.text(),
            said: what,
            how,
            chain: said.chain,
            next: lang.say(
                if said.code == Code::TooLarge {
                    "error-next-unkept"
                } else {
                    "error-next"
                },
                &[],
            ),
            home: lang.say("error-home", &[]),
            details: lang.say("error-details", &[]),
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    failed: Failed,
}

#[derive(Template)]
#[template(path = "error_bare.html")]
struct BareError {
    bare: Bare,
    failed: Failed,
}

/// A sentence that begins like one.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next();
    first
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(letters)
        .collect()
}

/// Puts the frame of the pages around what went wrong, in the language of whoever looks: their menu if they are logged in, else which
/// computer this is, else nothing but the words.
pub(super) fn framed(router: Router, app: Option<App>) -> Router {
    router.layer(from_fn_with_state(app, frame))
}

async fn frame(State(app): State<Option<App>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let wants = wants_page(&headers);
    let answer = next.run(Request::from_parts(parts, body)).await;
    let Some(said) = Said::of(&answer).filter(|_| wants) else {
        return answer;
    };
    let page = match &app {
        Some(app) => in_frame(app, &headers, said.clone()).await,
        None => None,
    };
    let page = page.or_else(|| {
        let lang = language(&headers);
        let failed = Failed::new(said, lang);
        let bare = Bare::new(lang, String::new());
        BareError { bare, failed }.render().ok()
    });
    match page {
        Some(text) => (answer.status(), Html(text)).into_response(),
        None => answer,
    }
}

/// The page of a failure in the frame of this computer's pages, unless that fails as well.
async fn in_frame(app: &App, headers: &HeaderMap, said: Said) -> Option<String> {
    let secret = cookie(headers, &app.cookie).map(str::to_owned);
    let lang = language(headers);
    let (line, now_ms) = ((app.doors.line)(), clock::now_ms());
    let made = app.read(move |books, connection| {
        let found = match &secret {
            Some(secret) => accounts::login(connection, secret, now_ms)?,
            None => None,
        };
        let holds = found.filter(|(_, login)| *login != Login::Ended);
        let (Some((account, _)), Some(secret)) = (holds, secret) else {
            let failed = Failed::new(said, lang);
            let bare = Bare::here(connection, books, lang)?;
            return Ok(BareError { bare, failed }.render());
        };
        let session = Session {
            account,
            secret,
            revealed: BTreeSet::new(),
        };
        let failed = Failed::new(said, session.lang());
        let title = failed.code.to_owned();
        let page = Page::new(connection, books, &session, &line, ("", title))?;
        Ok(ErrorPage { page, failed }.render())
    });
    made.await.ok()?.ok()
}

/// The answer to a path that is no page.
pub(super) async fn nowhere() -> Answer {
    Err(Failure(Error::new(Code::NoPage, "there is no such page")))
}

/// A kind of record by its code.
pub(super) fn kind_of(code: &str) -> Result<&'static catalogue::Kind> {
    Catalogue::current()
        .kind(code)
        .ok_or_else(|| Error::new(Code::NoKind, "there is no kind of record of that name"))
}

/// A record of a kind that this version knows.
pub(super) fn known(
    connection: &Connection,
    books: &mut Books,
    id: &str,
) -> Result<(i64, &'static catalogue::Kind)> {
    let key = records::find(connection, id)?;
    let content = gather(connection, books, key)?.content(books.authority());
    Ok((key, kind_of(&content.kind)?))
}

/// A record of a kind that this version knows, as far as this person is shown it; one of which they are not shown the words is not
/// changed by them.
///
/// # Errors
/// [`Code::NotShown`] where cards and texts are kept from them.
pub(super) fn open(
    connection: &Connection,
    books: &mut Books,
    session: &Session,
    id: &str,
) -> Result<(Record, &'static catalogue::Kind)> {
    let key = records::find(connection, id)?;
    let actor = session.actor(connection, books)?;
    let record = Record::read(connection, books, key, &actor)?;
    if !record.sight.has_words() {
        let message = "what this record holds is not shown to this account";
        return Err(Error::new(Code::NotShown, message));
    }
    let kind = kind_of(&record.content.kind)?;
    Ok((record, kind))
}

// ---- files ----

/// A short digest of all files: part of their addresses, which may then be kept for ever.
pub(super) fn version() -> &'static str {
    static VERSION: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let all = [STYLE, SCRIPT, BOARD, ICON].map(str::as_bytes);
        let digest = lianxin_protocol::hash::PAYLOAD.hash(&all);
        lianxin_protocol::hash::Hex(digest.first_chunk::<5>().unwrap_or(&[0; 5])).to_string()
    });
    &VERSION
}

/// A file of the pages. They hold nothing of anyone and need no login.
pub(super) async fn asset(Path(file): Path<String>) -> Answer {
    let (kind, text) = match file.as_str() {
        "app.css" => ("text/css; charset=utf-8", STYLE),
        "app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "board.js" => ("text/javascript; charset=utf-8", BOARD),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return nowhere().await,
    };
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    let kind = HeaderValue::from_static(kind);
    Ok((
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)],
        text,
    )
        .into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_answered_in_the_language_that_was_chosen_or_that_it_asks_for() {
        let of = |cookie: &str, accept: &str| {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::COOKIE, cookie), (header::ACCEPT_LANGUAGE, accept)] {
                headers.extend(value.parse().ok().map(|value| (name, value)));
            }
            language(&headers)
        };
        assert_eq!(of("", ""), Lang::Zh);
        assert_eq!(of("", "fr, en-GB;q=0.8, zh-CN;q=0.7"), Lang::En);
        assert_eq!(of("", "zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(of("a=b; lianxin_language=en", "zh-CN"), Lang::En);
    }

    #[test]
    fn every_code_has_a_sentence() {
        for code in Code::ALL {
            let id = format!("error-{}", code.text());
            assert_ne!(Lang::Zh.say(&id, &[]), id, "no sentence for {id}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; lianxin_ab=secret; b=2"),
        );
        assert_eq!(cookie(&headers, "lianxin_ab"), Some("secret"));
        assert_eq!(cookie(&headers, "lianxin_a"), None);
    }
}
