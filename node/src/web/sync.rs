//! The sync page: who was spoken to and when, what still waits for a receipt, since when and why, and a
//! button that tries now and tells what came of it.

use askama::Template;
use axum::extract::{Path, State};
use lianxin_protocol::authority::{Member, Membership, Reason};
use lianxin_protocol::identity::DeviceKey;
use rusqlite::Connection;
use serde_json::Value;

use super::list::Row;
use super::page::{Answer, Page, Session, attached, html, sentence};
use super::shown;
use super::words::Lang;
use super::{App, Line};
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::invites;
use crate::journal::Overview;
use crate::plots::{Categories, Frame, Plot as _};
use crate::records;
use crate::records::delivery::{self, Coverage, State as Reached};
use crate::reports::files;

/// Rows of the list of what waits.
const ROWS: usize = 200;
/// Records whose age is looked at, and from how many on it is drawn.
const AGES: usize = 2_000;
const DRAWN_FROM: usize = 5;
/// Ages in minutes, each the first of a bar, with the bar's name in the locales.
const BARS: [(u64, &str); 5] = [
    (0, "sync-age-hour"),
    (60, "sync-age-day"),
    (1_440, "sync-age-three"),
    (4_320, "sync-age-week"),
    (10_080, "sync-age-more"),
];

/// Why something has not reached the hub, and what to do.
pub(super) struct Why {
    /// Code of the cause: `offline`, `disk`, `refused`, `forked`, `waiting`, `attachments`, `permission`, `clock`,
    /// `version`, or `moving` when nothing holds it up.
    pub(super) code: &'static str,
    pub(super) cause: String,
    pub(super) effect: String,
    pub(super) action: String,
}

/// The one cause that is named, from a closed list; nothing for what has arrived.
pub(super) fn why(
    (reached, held): (Reached, Option<Reason>),
    line: &Line,
    member: Option<&Member>,
    lang: Lang,
) -> Option<Why> {
    let code = match reached {
        Reached::Quarantined => match held {
            Some(Reason::NewerVersion) => "version",
            Some(Reason::Revoked | Reason::NotPermitted | Reason::UnknownDevice) => "permission",
            Some(Reason::Forked) => "forked",
            _ => "refused",
        },
        _ if held == Some(Reason::Waiting) => "waiting",
        Reached::Saved | Reached::Sending => match (member, line.failure) {
            (None, _) => "unconfirmed",
            (Some(member), _) if member.membership != Membership::Active => "permission",
            (_, Some(Code::DiskFull)) => "disk",
            (_, Some(Code::Quota)) => "quota",
            (_, Some(Code::Protocol)) => "version",
            (_, Some(Code::NotPermitted)) => "permission",
            _ if !line.connected => "offline",
            _ => "moving",
        },
        Reached::Received | Reached::Merged | Reached::Answered | Reached::Refused => return None,
    };
    let say = |part: &str| lang.say(&format!("cause-{code}{part}"), &[]);
    let effect = match held {
        Some(held) => shown::reason(held, lang),
        None => say("-effect"),
    };
    Some(Why {
        code,
        cause: say(""),
        effect,
        action: say("-action"),
    })
}

/// A device that was spoken to.
struct Peer {
    device: String,
    place: String,
    role: String,
    at: String,
    age: String,
    path: String,
    online: bool,
}

/// A record that waits for a receipt.
struct Waiting {
    row: Row,
    since: String,
    why: Option<Why>,
}

#[derive(Template)]
#[template(path = "sync.html")]
struct SyncPage {
    page: Page,
    peers: Vec<Peer>,
    waiting: Vec<Waiting>,
    more: bool,
    /// How long how many have waited: a plot and its numbers.
    ages: Option<(String, Vec<Vec<String>>)>,
    log: Vec<String>,
    hub: bool,
    /// The four words to compare with the hub's.
    words: String,
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    shown_page(&app, session, Vec::new()).await
}

/// Tries now.
pub(super) async fn now(State(app): State<App>, session: Session) -> Answer {
    let lang = session.lang();
    let log = match (app.doors.sync)().await {
        Ok(reply) => report(&reply.value, lang),
        Err(error) => vec![sentence(error.code(), lang)],
    };
    shown_page(&app, session, log).await
}

/// What a session came to, line by line.
fn report(value: &Value, lang: Lang) -> Vec<String> {
    let sessions = value.get("sessions").and_then(Value::as_array);
    let number =
        |session: &Value, key: &str| session.get(key).and_then(Value::as_u64).unwrap_or_default();
    let lines = sessions.into_iter().flatten().flat_map(|session| {
        let pair = |id: &str, a: &str, b: &str| {
            let (a, b) = (number(session, a), number(session, b));
            lang.say(id, &[("a", a.into()), ("b", b.into())])
        };
        [
            pair("sync-moved", "sent", "received"),
            pair("sync-receipts", "receipted", "entries"),
        ]
    });
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() {
        return vec![lang.say("sync-nothing", &[])];
    }
    lines
}

async fn shown_page(app: &App, session: Session, log: Vec<String>) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-sync", &[]);
            let page = Page::new(connection, books, &session, &line, ("/sync", title))?;
            let coverage = Coverage::of(books);
            let waits = delivery::waiting(connection, books, AGES)?;
            let me = books.identity().key();
            let member = books.authority().members().get(&me);
            let mut waiting = Vec::new();
            for (key, since_ms) in waits.iter().take(ROWS) {
                let Some(row) = records::rows(connection, &[*key])?.pop() else {
                    continue;
                };
                let judged = coverage.judged(connection, *key)?;
                waiting.push(Waiting {
                    row: Row::new(connection, books, &coverage, &row, &page)?,
                    since: shown::age(*since_ms, page.now_ms, lang),
                    why: why(judged, &line, member, lang),
                });
            }
            Ok(SyncPage {
                peers: peers(connection, books, &line, lang)?,
                hub: books.identity().authority.is_some(),
                words: invites::kept_words(connection, &books.identity().key())?
                    .unwrap_or_default()
                    .join(" "),
                more: waits.len() > ROWS,
                ages: ages(&waits, page.now_ms, lang).map(|plot| (plot.svg(), plot.table().1)),
                waiting,
                log,
                page,
            })
        })
        .await?;
    html(&page)
}

/// How long how many have waited, where so many do that a list is not looked through.
fn ages(waits: &[(i64, u64)], now_ms: u64, lang: Lang) -> Option<Categories> {
    if waits.len() < DRAWN_FROM {
        return None;
    }
    let mut counts = [0_i64; BARS.len()];
    for (_, since_ms) in waits {
        let minutes = now_ms.saturating_sub(*since_ms) / 60_000;
        let bar = BARS.iter().rposition(|(from, _)| *from <= minutes);
        if let Some(count) = counts.get_mut(bar.unwrap_or_default()) {
            *count += 1;
        }
    }
    let say = |id: &str| lang.say(id, &[]);
    let bars = BARS.iter().zip(counts);
    Some(Categories {
        frame: Frame {
            id: "waiting".to_owned(),
            title: say("sync-ages"),
            desc: say("sync-ages-how"),
            caption: say("sync-ages-how"),
        },
        heads: [say("sync-since"), say("sync-ages-count")],
        categories: bars.map(|((_, name), count)| (say(name), count)).collect(),
    })
}

/// The plot of what waits, to be taken away: a picture, or its numbers.
pub(super) async fn waiting(
    State(app): State<App>,
    session: Session,
    Path(form): Path<String>,
) -> Answer {
    let (media, is_picture) = match form.as_str() {
        "waiting.svg" => ("image/svg+xml", true),
        "waiting.csv" => ("text/csv; charset=utf-8", false),
        _ => return Err(Error::new(Code::NoPage, "there is no such file").into()),
    };
    let lang = session.lang();
    let bytes = app
        .read(move |books, connection| {
            let waits = delivery::waiting(connection, books, AGES)?;
            let few = || Error::new(Code::NoPage, "so few wait that none is drawn");
            let plot = ages(&waits, clock::now_ms(), lang).ok_or_else(few)?;
            let (heads, rows) = plot.table();
            match is_picture {
                true => Ok(plot.svg_file().into_bytes()),
                false => files::numbers(&heads, &rows),
            }
        })
        .await?;
    Ok(attached(&form, media, bytes))
}

/// Devices that were spoken to, by their codes.
fn peers(
    connection: &Connection,
    overview: &Overview,
    line: &Line,
    lang: Lang,
) -> Result<Vec<Peer>> {
    let now_ms = clock::now_ms();
    let mut peers = Vec::new();
    for (key, seen_ms, path) in records::peers(connection)? {
        let known = overview.authority().members().get(&key);
        let site = known.and_then(|member| member.grant.site);
        let site = site.and_then(|site| overview.authority().sites().get(&site));
        let role = known.map(|member| member.grant.role.word());
        peers.push(Peer {
            device: shown::device(overview.authority(), &key),
            place: match site {
                Some(site) => site.name.clone(),
                None => lang.say("site-hub", &[]),
            },
            role: role.map_or_else(String::new, |role| lang.say(&format!("role-{role}"), &[])),
            at: shown::at(seen_ms, now_ms, lang),
            age: shown::age(seen_ms, now_ms, lang),
            online: is_online(line, &key, overview),
            path,
        });
    }
    peers.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(peers)
}

/// Whether a session with a device is open.
pub(super) fn is_online(line: &Line, device: &DeviceKey, overview: &Overview) -> bool {
    line.online.contains(device) || (line.connected && overview.is_hubs(device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_the_closed_list_has_its_three_sentences() {
        for cause in [
            "offline",
            "disk",
            "quota",
            "refused",
            "forked",
            "waiting",
            "attachments",
            "permission",
            "clock",
            "version",
            "unconfirmed",
            "moving",
        ] {
            for part in ["", "-effect", "-action"] {
                let id = format!("cause-{cause}{part}");
                for lang in [Lang::Zh, Lang::En] {
                    assert_ne!(lang.say(&id, &[]), id);
                }
            }
        }
        for (reason, word) in Reason::ALL {
            assert_ne!(shown::reason(reason, Lang::Zh), format!("reason-{word}"));
        }
    }

    #[test]
    fn what_waits_is_counted_by_its_age_and_drawn_only_where_it_is_much() -> Result<(), &'static str>
    {
        let now_ms = 100 * 86_400_000;
        let minutes = |it: u64| (1, now_ms - it * 60_000);
        let few: Vec<_> = [1, 2, 3, 4].map(minutes).to_vec();
        assert!(ages(&few, now_ms, Lang::Zh).is_none());
        let many = [0, 59, 60, 1_439, 1_440, 4_320, 10_079, 10_080, 50_000].map(minutes);
        let plot = ages(&many, now_ms, Lang::Zh).ok_or("not drawn")?;
        let (svg, rows) = (plot.svg(), plot.table().1);
        let counts: Vec<_> = rows.iter().filter_map(|row| row.get(1)).collect();
        assert_eq!(counts, ["2", "2", "1", "2", "2"]);
        assert!(svg.contains("role=\"img\""));
        Ok(())
    }

    #[test]
    fn what_has_arrived_has_no_cause_and_what_waits_has_one() {
        let line = Line::default();
        let cause = |reached, held| why((reached, held), &line, None, Lang::Zh).map(|why| why.code);
        assert_eq!(cause(Reached::Received, None), None);
        assert_eq!(cause(Reached::Saved, None), Some("unconfirmed"));
        assert_eq!(
            cause(Reached::Quarantined, Some(Reason::Guard)),
            Some("refused")
        );
        assert_eq!(
            cause(Reached::Quarantined, Some(Reason::Revoked)),
            Some("permission")
        );
        // Also where the hub has all that is here.
        assert_eq!(
            cause(Reached::Received, Some(Reason::Waiting)),
            Some("waiting")
        );
    }
}
