//! Settings of the person who is logged in, and accounts of this device.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Role, Transition};
use lianxin_protocol::text;
use serde::Deserialize;

use super::App;
use super::login::{self, Verdict};
use super::page::{Answer, Page, Session, go, html, sentence};
use super::words::Lang;
use crate::accounts::{self, Account, Taste};
use crate::actor::Actor;
use crate::clock;
use crate::error::Result;

/// Phrases of one step, and characters of one.
const PHRASES_MAX: usize = 20;
const PHRASE_CHARS: usize = 500;

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    page: Page,
    account: Account,
    accounts: Vec<Account>,
    /// The roles of each of them, in words.
    roles: BTreeMap<String, String>,
    /// Event and label of each step with a text, with what the person often writes there.
    phrases: Vec<(String, String, String)>,
    fault: Option<String>,
    done: Option<String>,
}

impl Settings {
    fn roles_of(&self, account: &Account) -> &str {
        self.roles.get(&account.id).map_or("", String::as_str)
    }
}

async fn shown_page(
    app: &App,
    session: Session,
    fault: Option<String>,
    done: Option<String>,
) -> Answer {
    shown_with(app, session, (fault, done), None).await
}

/// The page with phrases as they were typed and not kept.
async fn shown_with(
    app: &App,
    session: Session,
    (fault, done): (Option<String>, Option<String>),
    typed: Option<Phrases>,
) -> Answer {
    let line = (app.doors.line)();
    let settings = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-settings", &[]);
            let accounts = accounts::all(connection)?;
            let known = accounts.iter().find(|it| it.id == session.account.id);
            let account = known.cloned().unwrap_or_else(|| session.account.clone());
            let lang = session.lang();
            let roles = accounts.iter().map(|it| {
                let actor = Actor::of(it, books);
                let roles = actor.roles().iter().map(|role| role.label());
                let roles: Vec<_> = roles.map(|label| lang.label(&label).to_owned()).collect();
                let words = match (&it.roles, roles.is_empty()) {
                    (None, _) => lang.say("account-all-roles", &[]),
                    (Some(_), true) => lang.say("account-no-role", &[]),
                    (Some(_), false) => roles.join(" · "),
                };
                (it.id.clone(), words)
            });
            let roles = roles.collect();
            let page = Page::new(connection, books, &session, &line, ("/settings", title))?;
            let phrases = written(page.actor.roles()).map(|step| {
                let own = account.taste.phrases.get(&step.event);
                let typed = typed.as_ref().filter(|it| it.event == step.event);
                let own = typed
                    .map(|it| it.lines.clone())
                    .or_else(|| own.map(|lines| lines.join("\n")));
                let label = lang.label(&step.label).to_owned();
                (step.event.clone(), label, own.unwrap_or_default())
            });
            Ok(Settings {
                phrases: phrases.collect(),
                roles,
                page,
                account,
                accounts,
                fault,
                done,
            })
        })
        .await?;
    html(&settings)
}

/// What was done before the page is shown.
#[derive(Deserialize)]
pub(super) struct Done {
    told: Option<String>,
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(done): Query<Done>,
) -> Answer {
    let said = match done.told.as_deref() {
        Some("password") => Some("password-done"),
        Some("account") => Some("account-added"),
        _ => None,
    };
    let told = said.map(|id| session.lang().say(id, &[]));
    shown_page(&app, session, None, told).await
}

/// How pages look; a box that is not ticked sends nothing.
#[derive(Deserialize)]
pub(super) struct Look {
    language: Option<String>,
    large: Option<String>,
    keys: Option<String>,
}

/// Changes how pages look.
pub(super) async fn taste(
    State(app): State<App>,
    session: Session,
    Form(look): Form<Look>,
) -> Answer {
    let taste = Taste {
        english: look.language.as_deref() == Some("en"),
        large: look.large.is_some(),
        keys: look.keys.is_some(),
        ..session.account.taste
    };
    let chosen = if taste.english { Lang::En } else { Lang::Zh };
    let account = session.account.id;
    app.write(move |_, connection| accounts::set_taste(connection, &account, &taste))
        .await?;
    // Where nobody is logged in, this browser is answered in it as well.
    Ok(login::with_cookie(
        &super::page::language_cookie(chosen),
        go("/settings"),
    ))
}

/// Phrases of one step, a line each.
#[derive(Deserialize)]
pub(super) struct Phrases {
    event: String,
    lines: String,
}

/// Keeps what somebody often writes in a step's text.
pub(super) async fn phrases(
    State(app): State<App>,
    session: Session,
    Form(typed): Form<Phrases>,
) -> Answer {
    let lang = session.lang();
    let mut taste = session.account.taste.clone();
    let lines = text::kept(&typed.lines);
    let lines = lines
        .lines()
        .map(str::trim)
        .filter(|it| !text::is_blank(it));
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    let long =
        lines.len() > PHRASES_MAX || lines.iter().any(|it| it.chars().count() > PHRASE_CHARS);
    if long || written(&page_roles(&app, &session).await?).all(|it| it.event != typed.event) {
        let with = [
            ("count", PHRASES_MAX.into()),
            ("chars", PHRASE_CHARS.into()),
        ];
        let fault = lang.say("phrases-too-long", &with);
        return shown_with(&app, session, (Some(fault), None), Some(typed)).await;
    }
    if lines.is_empty() {
        taste.phrases.remove(&typed.event);
    } else {
        taste.phrases.insert(typed.event, lines);
    }
    let account = session.account.id.clone();
    app.write(move |_, connection| accounts::set_taste(connection, &account, &taste))
        .await?;
    let done = lang.say("phrases-done", &[]);
    shown_page(&app, session, None, Some(done)).await
}

async fn page_roles(app: &App, session: &Session) -> Result<BTreeSet<Role>> {
    let session = session.clone();
    app.read(move |books, connection| Ok(session.actor(connection, books)?.roles().clone()))
        .await
}

/// The steps for these roles in whose texts much is said again: the catalogue has phrases for them too.
fn written(roles: &BTreeSet<Role>) -> impl Iterator<Item = &'static Transition> {
    let kinds = Catalogue::current().kinds();
    let steps = kinds.flat_map(|kind| &kind.transitions);
    steps.filter(|step| !step.phrases.is_empty() && !step.who.is_disjoint(roles))
}

/// A new password for oneself. Who was let in by a link and has none needs no old one.
#[derive(Deserialize)]
pub(super) struct Password {
    old: Option<String>,
    new: String,
    again: String,
}

/// Sets the password.
pub(super) async fn password(
    State(app): State<App>,
    session: Session,
    Form(typed): Form<Password>,
) -> Answer {
    let lang = session.lang();
    if typed.new != typed.again {
        let fault = lang.say("password-differs", &[]);
        return shown_page(&app, session, Some(fault), None).await;
    }
    let name = session.account.name.clone();
    let known = app
        .read(move |_, connection| accounts::by_name(connection, &name))
        .await?;
    if let Some((_, known)) = known {
        let old = typed.old.unwrap_or_default();
        let fault = match login::check(&app, &session.account.name, Some(known), old).await? {
            Verdict::Fits => None,
            Verdict::Wrong => Some(lang.say("password-old-wrong", &[])),
            Verdict::Wait(wait_s) => Some(lang.say("login-wait", &[("count", wait_s.into())])),
        };
        if fault.is_some() {
            return shown_page(&app, session, fault, None).await;
        }
    }
    let hash = match login::hashed(&app, typed.new).await {
        Ok(hash) => hash,
        Err(failure) => {
            let fault = sentence(failure.0.code(), lang);
            return shown_page(&app, session, Some(fault), None).await;
        }
    };
    let (account, secret) = (session.account.id.clone(), session.secret.clone());
    let now_ms = clock::now_ms();
    app.write(move |_, connection| {
        accounts::set_password(connection, &account, &hash)?;
        // Other browsers are logged out; this one stays.
        accounts::keep_in(connection, &account, &secret, now_ms)
    })
    .await?;
    Ok(go("/settings?told=password"))
}

/// Another person at this device.
#[derive(Deserialize)]
pub(super) struct NewAccount {
    name: String,
    password: String,
}

/// Adds an account.
pub(super) async fn account(
    State(app): State<App>,
    session: Session,
    Form(new): Form<NewAccount>,
) -> Answer {
    let lang = session.lang();
    let hash = match login::hashed(&app, new.password).await {
        Ok(hash) => hash,
        Err(failure) => {
            let fault = sentence(failure.0.code(), lang);
            return shown_page(&app, session, Some(fault), None).await;
        }
    };
    let me = session.account.id.clone();
    let added = app
        .write(move |_, connection| {
            let mine = accounts::find(connection, &me)?.and_then(|account| account.roles);
            accounts::add(connection, &new.name, &hash, mine.as_ref())
        })
        .await;
    match added {
        Ok(()) => Ok(go("/settings?told=account")),
        Err(error) if error.leaves_nothing() => {
            let fault = sentence(error.code(), lang);
            shown_page(&app, session, Some(fault), None).await
        }
        Err(error) => Err(error.into()),
    }
}
