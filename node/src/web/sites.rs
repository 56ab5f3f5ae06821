//! The sites of the network in the order of their names: last contact, devices, what waits; new sites and
//! invites. Sites are never ranked.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use lianxin_protocol::authority::{Membership, Role as DeviceRole};
use lianxin_protocol::catalogue::{Catalogue, Role};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::space::{SiteId, Space};
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::inbox::Message;
use super::page::{Answer, Bare, Page, Session, attached, go, html, is_office};
use super::pins::Pin;
use super::queue::{self, Waits};
use super::shown;
use super::{App, Line, home, slip, sync};
use crate::actor::Actor;
use crate::clock;
use crate::command::Write;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::journal::{Overview, Unusual};
use crate::records;
use crate::records::waiting::Waiting;
use crate::reply::with_schema;

/// A device of a site.
struct Device {
    code: String,
    role: String,
    seen: String,
    /// Whether it has a session here; a device that is no hub does not know.
    online: Option<bool>,
    /// Blocked, or gone.
    ended: bool,
    /// The four words that two people compare; only the hub saw it join.
    words: String,
    /// Why somebody should look at it; empty if there is nothing.
    unusual: String,
}

/// A site.
struct Site {
    name: String,
    code: String,
    pending: u64,
    open: u64,
    devices: Vec<Device>,
    /// When any of its devices was last in contact, in words; empty where that is not known.
    seen: String,
}

impl Site {
    /// How many of its devices have a session, of those that may; nothing where that is not known.
    fn online(&self) -> Option<(usize, usize)> {
        let active = self.devices.iter().filter(|device| !device.ended);
        let online = active.map(|device| device.online);
        let online: Option<Vec<bool>> = online.collect();
        online.map(|all| (all.iter().filter(|on| **on).count(), all.len()))
    }
}

/// A number of the first page, and where what it counts is.
struct Figure {
    label: String,
    href: String,
    count: String,
    said: String,
    mine: bool,
}

#[derive(Template)]
#[template(path = "sites.html")]
struct Sites {
    page: Page,
    sites: Vec<Site>,
    office: Vec<Device>,
    fault: Option<String>,
    /// Said after an order.
    told: Option<String>,
    /// Tells a form that is sent twice from two forms.
    form: String,
}

fn build(connection: &Connection, overview: &Overview, line: &Line, page: Page) -> Result<Sites> {
    let lang = page.lang;
    let is_hub = overview.identity().authority.is_some();
    let seen: BTreeMap<_, _> = if is_hub {
        let peers = records::peers(connection)?.into_iter();
        peers
            .map(|(device, seen_ms, _)| (device, seen_ms))
            .collect()
    } else {
        records::arrivals(connection)?
    };
    let mut words = BTreeMap::new();
    for key in overview.authority().members().keys() {
        let kept = invites::kept_words(connection, key)?;
        words.extend(kept.map(|kept| (*key, kept.join(" "))));
    }
    let unusual = overview.unusual();
    let device = |site: Option<SiteId>| {
        let members = overview.authority().members().iter();
        let mut devices: Vec<_> = members
            .filter(|(_, member)| member.grant.site == site && member.grant.role != DeviceRole::Hub)
            .map(|(key, member)| {
                let role = format!("role-{}", member.grant.role.word());
                Device {
                    code: member.grant.device_code.clone(),
                    role: lang.say(&role, &[]),
                    seen: match seen.get(key) {
                        Some(at) if is_hub => shown::age(*at, page.now_ms, lang),
                        Some(at) => page.with("seen-arrived", &shown::age(*at, page.now_ms, lang)),
                        None if is_hub => lang.say("seen-never", &[]),
                        None => lang.say("seen-elsewhere", &[]),
                    },
                    online: is_hub.then(|| sync::is_online(line, key, overview)),
                    ended: member.membership != Membership::Active,
                    words: words.get(key).cloned().unwrap_or_default(),
                    unusual: match unusual.get(key) {
                        Some(Unusual::ManyLogs) => lang.say("device-many-logs", &[]),
                        Some(Unusual::OverQuota) => lang.say("device-over-quota", &[]),
                        Some(Unusual::Forked) => lang.say("device-forked", &[]),
                        Some(Unusual::ClockAhead) => lang.say("device-clock-ahead", &[]),
                        None => String::new(),
                    },
                }
            })
            .collect();
        devices.sort_by(|a, b| a.code.cmp(&b.code));
        devices
    };
    let last_seen = |site: SiteId| {
        let members = overview.authority().members().iter();
        let of_site = members.filter(|(_, member)| member.grant.site == Some(site));
        let last = of_site.filter_map(|(key, _)| seen.get(key).copied()).max();
        match last {
            Some(at) => shown::at(at, page.now_ms, lang),
            None if is_hub => lang.say("seen-never", &[]),
            None => String::new(),
        }
    };
    let mut counts: BTreeMap<SiteId, (u64, u64)> = BTreeMap::new();
    for kind in Catalogue::current().kinds() {
        for (space, status, count) in records::tally(connection, &kind.code)? {
            if !kind.is_open(&status) {
                continue;
            }
            let waits = kind.front && kind.pending() == Some(status.as_str());
            if let Some(Space::Site(site)) = overview.authority().space(&space) {
                let site = counts.entry(site).or_default();
                let place = if waits { &mut site.0 } else { &mut site.1 };
                *place += count;
            }
        }
    }
    let mut sites: Vec<_> = overview
        .authority()
        .sites()
        .iter()
        .map(|(id, info)| {
            let (pending, open) = counts.get(id).copied().unwrap_or_default();
            Site {
                name: info.name.clone(),
                code: info.code.clone(),
                pending,
                open,
                devices: device(Some(*id)),
                seen: last_seen(*id),
            }
        })
        .collect();
    sites.sort_by(|a, b| a.name.cmp(&b.name).then(a.code.cmp(&b.code)));
    Ok(Sites {
        sites,
        office: device(None),
        fault: None,
        told: None,
        form: Hex(&clock::random::<8>()?).to_string(),
        page,
    })
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overall {
    page: Page,
    today: String,
    figures: Vec<Figure>,
    /// What is done first.
    rows: Vec<Waits>,
    /// Values of whoever looks that were not kept.
    unkept: Vec<Message>,
    todo: u64,
    sites: Vec<Site>,
    no_password: bool,
    pins: Vec<Pin>,
}

/// Rows of what is done first.
const FIRST: usize = 5;

/// The first page of the sub-district.
pub(super) async fn overview(
    app: &App,
    (page, pins): (Page, Vec<Pin>),
    line: Line,
    no_password: bool,
) -> Answer {
    let overall = app
        .read(move |books, connection| {
            let steps = queue::steps(&page);
            // Somebody waits for these.
            let first = steps.iter().filter(|(kind, ..)| !kind.rungs.is_empty());
            let first: Vec<_> = first
                .map(|step| (*step, Waiting::of(step.0, step.1, page.now_ms)))
                .collect();
            let rows = queue::waiting(connection, books, &first, (0, FIRST), &page)?;
            let todo = queue::count(connection, &steps, page.now_ms)?;
            let figures = figures(connection, &page)?;
            let unkept = home::unkept(connection, &page)?;
            let Sites { sites, page, .. } = build(connection, books, &line, page)?;
            Ok(Overall {
                today: shown::today(page.now_ms, page.lang),
                figures,
                rows,
                unkept,
                todo,
                sites,
                no_password,
                pins,
                page,
            })
        })
        .await?;
    html(&overall)
}

/// What came today, what waits for the first step, and what residents are to be told.
fn figures(connection: &Connection, page: &Page) -> Result<Vec<Figure>> {
    let Some(kind) = Catalogue::current().front() else {
        return Ok(Vec::new());
    };
    let code = kind.code.as_str();
    let standing = |status: Option<&str>| match status {
        Some(status) => records::count(connection, (code, status), None),
        None => Ok(0),
    };
    let to_tell = kind.to_tell().map(|status| status.code.as_str());
    let pending = kind.pending();
    let (today, tomorrow) = clock::beijing_day(page.now_ms);
    let figure = |id: &str, href: &str, count: u64, mine| Figure {
        label: page.t(id),
        href: href.to_owned(),
        // What came is counted so far.
        count: match count == 10 * records::COUNTED {
            true => format!("{count}+"),
            false => count.to_string(),
        },
        said: page.t(&format!("{id}-said")),
        mine,
    };
    Ok(vec![
        figure(
            "figure-came",
            &format!("/records?kind={code}"),
            records::came(connection, code, today, tomorrow)?,
            true,
        ),
        figure(
            "figure-pending",
            &format!("/queue?view={code}-{}", pending.unwrap_or_default()),
            standing(pending)?,
            false,
        ),
        figure(
            "figure-soon",
            "/queue?view=soon",
            queue::due(connection, queue::SOON_DUE, page.now_ms)?,
            false,
        ),
        figure(
            "figure-over",
            "/queue?view=over",
            queue::due(connection, queue::OVER_DUE, page.now_ms)?,
            false,
        ),
        figure(
            "figure-answered",
            &format!(
                "/records?kind={code}&status={}",
                to_tell.unwrap_or_default()
            ),
            standing(to_tell)?,
            false,
        ),
    ])
}

async fn shown_page(
    app: &App,
    session: Session,
    fault: Option<String>,
    told: Option<String>,
) -> Answer {
    let line = (app.doors.line)();
    let sites = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-sites", &[]);
            let page = Page::new(connection, books, &session, &line, ("/sites", title))?;
            build(connection, books, &line, page)
        })
        .await?;
    html(&Sites {
        fault,
        told,
        ..sites
    })
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
        Some("asked") => Some("asked-hub"),
        Some("card") => Some("invite-gone"),
        _ => None,
    };
    let told = said.map(|id| session.lang().say(id, &[]));
    shown_page(&app, session, None, told).await
}

/// A new site.
#[derive(Deserialize)]
pub(super) struct NewSite {
    name: String,
    kind: String,
    code: Option<String>,
}

/// Commands for the authority log come from people of the sub-district, at its devices.
fn office_only(actor: &Actor) -> Result<()> {
    if !is_office(actor.device()) {
        let message = "only the sub-district adds sites and invites";
        return Err(Error::new(Code::HubOnly, message));
    }
    actor.takes("order", &[Role::Hub].into()).map(drop)
}

/// Adds a site.
pub(super) async fn add(
    State(app): State<App>,
    session: Session,
    Form(new): Form<NewSite>,
) -> Answer {
    let code = new.code.map(|code| text::code(&code));
    let command = Write::SiteCreate {
        name: new.name,
        kind: new.kind,
        code: code.filter(|code| !code.is_empty()),
    };
    let who = session.clone();
    let done = app
        .write(move |journal, connection| {
            office_only(&who.actor(connection, journal)?)?;
            command.clone().execute(journal, connection)
        })
        .await;
    match done {
        Ok(reply) if reply.exit != 0 => Ok(go("/sites?told=asked")),
        Ok(_) => Ok(go("/sites")),
        Err(error) if error.leaves_nothing() => {
            let fault = super::page::sentence(error.code(), session.lang());
            shown_page(&app, session, Some(fault), None).await
        }
        Err(error) => Err(error.into()),
    }
}

/// A new invite.
#[derive(Deserialize)]
pub(super) struct NewInvite {
    role: String,
    form: Option<String>,
}

/// What stands on an invite's card.
struct Card {
    network: String,
    site: String,
    device: String,
    role: String,
    code: String,
    expires_ms: u64,
    addresses: Vec<String>,
    qr: slip::Qr,
    /// Its file form.
    file: String,
    /// The hub has yet to let it count.
    asked: bool,
}

#[derive(Template)]
#[template(path = "invite.html")]
struct Invite {
    bare: Bare,
    id: String,
    card: Arc<Card>,
    role: String,
    expires: String,
}

/// Makes an invite. Only its card has the code: it is kept for a while where the answer leads, and a form that is sent twice
/// makes one.
pub(super) async fn invite(
    State(app): State<App>,
    session: Session,
    Path(site): Path<String>,
    Form(new): Form<NewInvite>,
) -> Answer {
    let _turn = app.kept.turn.lock().await;
    let key = new.form.filter(|form| !form.is_empty());
    let key = key.map(|form| format!("{form} {site} {}", new.role));
    if let Some(id) = key
        .as_ref()
        .and_then(|key| app.kept.answered(&session, key))
    {
        return Ok(go(&format!("/invites/{id}")));
    }
    let command = Write::InviteCreate {
        site: site.clone(),
        role: new.role,
        expires_hours: 72,
    };
    let who = session.clone();
    let (reply, name) = app
        .write(move |journal, connection| {
            office_only(&who.actor(connection, journal)?)?;
            let reply = command.clone().execute(journal, connection)?;
            let info = journal.authority().site_by_code(&site);
            let info = info.and_then(|site| journal.authority().sites().get(&site));
            Ok((reply, info.map(|site| site.name.clone())))
        })
        .await?;
    let text = |key: &str| {
        let text = reply.value.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let addresses = reply.value.get("hub_addresses").and_then(Value::as_array);
    let addresses = addresses.into_iter().flatten().filter_map(Value::as_str);
    let card = Card {
        network: text("name"),
        site: name.unwrap_or_default(),
        device: text("device_code"),
        role: text("role"),
        code: text("invite"),
        expires_ms: clock::unix_ms(&text("expires_at")).unwrap_or_default(),
        addresses: addresses.map(str::to_owned).collect(),
        qr: slip::Qr::of(&text("card"))?,
        file: format!(
            "{:#}\n",
            with_schema("lianxin.invite/1", reply.value.clone())
        ),
        asked: reply.exit != 0,
    };
    let id = app.kept.put(&session, key, card)?;
    Ok(go(&format!("/invites/{id}")))
}

/// The file form of an invite's card, for a stick.
pub(super) async fn file(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let Some(card) = app.kept.get::<Card>(&session, &id) else {
        return Ok(go("/sites?told=card"));
    };
    let name = format!("lianxin-invite-{}.json", card.device);
    Ok(attached(&name, "application/json", card.file.clone()))
}

/// Shows the card of an invite to whoever made it, as long as it is kept.
pub(super) async fn card(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let lang = session.lang();
    let Some(card) = app.kept.get::<Card>(&session, &id) else {
        return Ok(go("/sites?told=card"));
    };
    let bare = app
        .read(move |books, connection| Bare::here(connection, books, lang))
        .await?;
    html(&Invite {
        bare,
        id,
        role: lang.say(&format!("role-{}", card.role), &[]),
        expires: shown::moment(card.expires_ms, lang),
        card,
    })
}
