//! Coming in and going out: by a link that works once, or by name and password.

use lianxin_protocol::text;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::page::{Answer, Bare, Failure, Session, go, html};
use super::words::Lang;
use super::{App, first};
use crate::accounts::{self, PasswordHash};
use crate::clock::{self, Monotonic};
use crate::error::{Code, Error};

/// Wrong passwords for one name, or in all, before there is a wait; it doubles with each further one.
const FREE_TRIES: u32 = 5;
const FREE_TRIES_ALL: u32 = 20;
const WAIT_MS: std::ops::RangeInclusive<u64> = 5_000..=900_000;
/// Failures are forgotten after this long without another: typing errors of months must not add up.
const FORGET_MS: u64 = 60 * 60 * 1_000;
/// Names that are remembered; a flood of others counts in all.
const NAMES_MAX: usize = 200;
/// Passwords hashed at once: each takes 19 MiB and a core.
const HASHING: usize = 2;

/// Counters of failed attempts since the start.
#[derive(Debug)]
pub(super) struct Attempts {
    clock: Monotonic,
    failed: Mutex<BTreeMap<String, Failed>>,
    pub(super) hashing: Semaphore,
}

#[derive(Clone, Copy, Debug, Default)]
struct Failed {
    count: u32,
    until_ms: u64,
    last_ms: u64,
}

/// Under this name failures of all names are counted; no account is called so.
const ALL: &str = "";

impl Default for Attempts {
    fn default() -> Self {
        Self {
            clock: Monotonic::start(),
            failed: Mutex::default(),
            hashing: Semaphore::new(HASHING),
        }
    }
}

impl Attempts {
    /// Seconds to wait before a name may be tried again.
    fn wait_s(&self, name: &str) -> Option<u64> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.ms();
        let names = [name, ALL];
        let until = names.iter().filter_map(|name| failed.get(*name));
        let until = until.map(|failed| failed.until_ms).max()?;
        (until > now).then(|| (until - now).div_ceil(1_000))
    }

    fn note(&self, name: &str, fits: bool) {
        self.note_at(name, fits, self.clock.ms());
    }

    fn note_at(&self, name: &str, fits: bool, now_ms: u64) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, it| now_ms < it.last_ms + FORGET_MS);
        if fits {
            failed.remove(name);
            return;
        }
        let known = failed.contains_key(name) || failed.len() < NAMES_MAX;
        let names = known.then_some((name, FREE_TRIES));
        for (name, free) in names.into_iter().chain([(ALL, FREE_TRIES_ALL)]) {
            let failed = failed.entry(name.to_owned()).or_default();
            failed.count = failed.count.saturating_add(1);
            failed.last_ms = now_ms;
            if failed.count >= free {
                let doubled = WAIT_MS.start() << (failed.count - free).min(16);
                failed.until_ms = now_ms + doubled.min(*WAIT_MS.end());
            }
        }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    bare: Bare,
    names: Vec<String>,
    name: String,
    to: String,
    fault: Option<String>,
    /// Nobody has a password yet: the form would be a riddle.
    only_link: bool,
}

async fn form(
    app: &App,
    lang: Lang,
    (name, to): (String, String),
    fault: Option<String>,
) -> Answer {
    let (bare, accounts) = app
        .read(move |books, connection| {
            let bare = Bare::here(connection, books, lang)?;
            Ok((bare, accounts::all(connection)?))
        })
        .await?;
    let names: Vec<_> = accounts
        .into_iter()
        .filter(|account| account.has_password)
        .map(|account| account.name)
        .collect();
    html(&LoginPage {
        bare,
        only_link: names.is_empty(),
        names,
        name,
        to,
        fault,
    })
}

/// Where to go after the login.
#[derive(Deserialize)]
pub(super) struct Target {
    to: Option<String>,
    lang: Option<String>,
}

/// A path of these pages, and nothing that a browser could take for another place.
fn local(to: Option<String>) -> String {
    let safe = |to: &String| {
        to.starts_with('/')
            && !to.starts_with("//")
            && to.len() < 200
            && to
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"/-_".contains(&it))
    };
    to.filter(safe).unwrap_or_else(|| "/".to_owned())
}

/// The login page. A language that is chosen there is remembered.
pub(super) async fn page(
    State(app): State<App>,
    headers: HeaderMap,
    Query(target): Query<Target>,
) -> Answer {
    let chosen = target.lang.as_deref().and_then(Lang::parse);
    let lang = chosen.unwrap_or_else(|| super::page::language(&headers));
    let page = form(&app, lang, (String::new(), local(target.to)), None).await?;
    Ok(match chosen {
        Some(lang) => with_cookie(&super::page::language_cookie(lang), page),
        None => page,
    })
}

#[derive(Deserialize)]
pub(super) struct Typed {
    name: String,
    password: String,
    to: Option<String>,
}

/// A login with name and password. That a name is wrong and that a password is wrong look alike and take
/// as long.
pub(super) async fn with_password(
    State(app): State<App>,
    headers: HeaderMap,
    Form(typed): Form<Typed>,
) -> Answer {
    let lang = super::page::language(&headers);
    let to = local(typed.to);
    let name: String = text::line(&typed.name).chars().take(40).collect();
    let asked = name.clone();
    let known = app
        .read(move |_, connection| accounts::by_name(connection, &asked))
        .await?;
    let (account, hash) = known.unzip();
    let verdict = check(&app, &name, hash, typed.password).await?;
    if let Verdict::Wait(wait_s) = verdict {
        return waiting(&app, lang, (name, to), wait_s).await;
    }
    let account = account.filter(|_| verdict == Verdict::Fits);
    let Some(account) = account else {
        let fault = lang.say("login-wrong", &[]);
        let page = form(&app, lang, (name, to), Some(fault)).await?;
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    };
    let now_ms = clock::now_ms();
    let secret = app
        .write(move |_, connection| accounts::log_in(connection, &account, now_ms))
        .await?;
    Ok(let_in(&app, &secret, &to))
}

/// A login with a link that works once. Who asks only for the head, as programs do that look at links before a person
/// does, uses nothing up.
pub(super) async fn with_link(
    method: Method,
    headers: HeaderMap,
    State(app): State<App>,
    Path(secret): Path<String>,
) -> Answer {
    let lang = super::page::language(&headers);
    let nobody = (String::new(), "/".to_owned());
    let purpose = ["sec-purpose", "purpose", "x-moz"].into_iter();
    let purpose = purpose.filter_map(|name| headers.get(name)?.to_str().ok());
    let ahead = purpose
        .into_iter()
        .any(|it| it.contains("prefetch") || it.contains("preview"));
    if method == Method::HEAD || ahead {
        return form(&app, lang, nobody, None).await;
    }
    let now_ms = clock::now_ms();
    let taken = app
        .write(move |_, connection| accounts::take_link(connection, &secret, now_ms))
        .await?;
    match taken {
        Some(secret) if from_elsewhere(&headers) => {
            let page = first::onward(lang, "/")?;
            Ok(with_cookie(&login_cookie(&app, &secret), page))
        }
        Some(secret) => Ok(let_in(&app, &secret, "/")),
        None => {
            let fault = lang.say("login-link-used", &[]);
            let page = form(&app, lang, nobody, Some(fault)).await?;
            Ok((StatusCode::FORBIDDEN, page).into_response())
        }
    }
}

/// Whether a link stood on a page of another site, as of these pages at another address.
fn from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| site == "cross-site" || site == "same-site")
}

fn login_cookie(app: &App, secret: &str) -> String {
    format!("{}={secret}; Path=/; HttpOnly; SameSite=Strict", app.cookie)
}

fn let_in(app: &App, secret: &str, to: &str) -> Response {
    with_cookie(&login_cookie(app, secret), Redirect::to(to).into_response())
}

pub(super) fn with_cookie(cookie: &str, mut answer: Response) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// Goes out.
pub(super) async fn out(State(app): State<App>, session: Session) -> Answer {
    app.kept.forget(&session);
    let secret = session.secret;
    app.write(move |_, connection| accounts::log_out(connection, &secret))
        .await?;
    let gone = format!(
        "{}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0",
        app.cookie
    );
    Ok(with_cookie(&gone, go("/login")))
}

async fn waiting(app: &App, lang: Lang, typed: (String, String), wait_s: u64) -> Answer {
    let fault = lang.say("login-wait", &[("count", wait_s.into())]);
    let page = form(app, lang, typed, Some(fault)).await?;
    Ok((StatusCode::TOO_MANY_REQUESTS, page).into_response())
}

/// What came of trying a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fits,
    Wrong,
    /// Not tried: too many were wrong. Seconds until the next may be.
    Wait(u64),
}

/// Tries a password for a name, and counts it. Whether there is a wait is asked once it is this one's turn:
/// a flood that was let in before the first answer would pass otherwise.
pub(super) async fn check(
    app: &App,
    name: &str,
    hash: Option<PasswordHash>,
    password: String,
) -> Result<Verdict, Failure> {
    let _turn = app
        .login
        .hashing
        .acquire()
        .await
        .map_err(|_| crate::error::stopping())?;
    if let Some(wait_s) = app.login.wait_s(name) {
        return Ok(Verdict::Wait(wait_s));
    }
    let checked = tokio::task::spawn_blocking(move || accounts::fits(hash.as_ref(), &password));
    let broke = |error| Error::because(Code::Internal, "a password was not checked", error);
    let fits = checked.await.map_err(broke)?;
    app.login.note(name, fits);
    Ok(if fits { Verdict::Fits } else { Verdict::Wrong })
}

/// Hashes a password where nobody waits for it.
pub(super) async fn hashed(app: &App, password: String) -> Result<PasswordHash, Failure> {
    let _place = app
        .login
        .hashing
        .acquire()
        .await
        .map_err(|_| crate::error::stopping())?;
    let hashed = tokio::task::spawn_blocking(move || PasswordHash::new(&password));
    let broke = |error| Error::because(Code::Internal, "a password was not hashed", error);
    Ok(hashed.await.map_err(broke)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_few_wrong_passwords_there_is_a_wait_that_doubles() {
        let attempts = Attempts::default();
        for _ in 1..FREE_TRIES {
            attempts.note("clerk", false);
        }
        assert_eq!(attempts.wait_s("clerk"), None);
        attempts.note("clerk", false);
        let first = attempts.wait_s("clerk").unwrap_or_default();
        attempts.note("clerk", false);
        let second = attempts.wait_s("clerk").unwrap_or_default();
        assert!(first >= 4 && second >= 2 * first - 1, "{first} {second}");
        assert_eq!(attempts.wait_s("other"), None);
        attempts.note("clerk", true);
        assert_eq!(attempts.wait_s("clerk"), None);
        for n in 0..1_000 {
            attempts.note(&format!("name {n}"), false);
        }
        assert!(attempts.wait_s("other").is_some_and(|wait| wait <= 900));
    }

    #[test]
    fn typing_errors_of_months_do_not_add_up() {
        let attempts = Attempts::default();
        for day in 0..100 {
            attempts.note_at("clerk", false, day * 86_400_000);
            attempts.note_at("clerk", false, day * 86_400_000 + 1);
        }
        assert_eq!(attempts.wait_s("clerk"), None);
        assert_eq!(attempts.wait_s("other"), None);
    }

    #[test]
    fn a_login_leads_to_pages_of_this_server_alone() {
        for bad in [
            "https://evil.example",
            "//evil.example",
            "/\\evil",
            "/a?b",
            "",
            "records",
        ] {
            assert_eq!(local(Some(bad.to_owned())), "/", "{bad}");
        }
        assert_eq!(local(Some("/records/0197-a".to_owned())), "/records/0197-a");
    }
}
