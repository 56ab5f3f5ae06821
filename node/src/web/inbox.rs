//! Messages to whoever looks: what has happened elsewhere to what they, or their desk, wrote. They come with the records and are
//! here without any line. A line has the number of a record, its kind, and what was done; none has a word of anybody.

use askama::Template;
use axum::extract::{Path, Query, State};
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::hash::{Hex, parse_hex};
use rusqlite::Connection;
use serde::Deserialize;

use super::App;
use super::page::{Answer, Page, Session, go, html};
use super::shown;
use crate::error::Result;
use crate::records::inbox::{self, Item, What};
use crate::records::{self, Listed};
use crate::requests::{self, Wanted};

/// Rows of a page.
const ROWS: usize = 50;

/// A message.
pub(super) struct Message {
    pub(super) change: String,
    pub(super) href: String,
    /// What it is, in a word, with its icon.
    pub(super) what: String,
    pub(super) icon: &'static str,
    /// Whether somebody should see to it.
    pub(super) presses: bool,
    pub(super) said: String,
    /// Kind and number of the record.
    pub(super) kind: String,
    pub(super) number: String,
    pub(super) at: String,
}

impl Message {
    /// A message in words; none for what is not here any more.
    pub(super) fn of(connection: &Connection, item: &Item, page: &Page) -> Result<Option<Self>> {
        let row = if item.record == 0 {
            None
        } else {
            match records::rows(connection, &[item.record])?.pop() {
                Some(row) => Some(row),
                None => return Ok(None),
            }
        };
        let kind = row
            .as_ref()
            .and_then(|row| Catalogue::current().kind(&row.kind));
        let (said, href) = match &row {
            Some(row) => (of_record(item, row, kind, page), place(item, row)),
            None => match of_request(connection, item, page)? {
                Some(said) => said,
                None => return Ok(None),
            },
        };
        Ok(Some(Self {
            change: Hex(&item.change).to_string(),
            href,
            what: page.t(&format!("inbox-{}", item.what.word())),
            icon: icon(item.what),
            presses: matches!(
                item.what,
                What::Refused | What::Returned | What::Unkept | What::Undone | What::Declined
            ),
            said,
            kind: kind.map_or_else(String::new, |kind| page.label(&kind.label).to_owned()),
            number: row.and_then(|row| row.number).unwrap_or_default(),
            at: shown::at(item.at_ms, page.now_ms, page.lang),
        }))
    }
}

const fn icon(what: What) -> &'static str {
    match what {
        What::Answered | What::Closed | What::Granted => "check",
        What::Refused | What::Returned | What::Declined => "refused",
        What::Supplement | What::Passed => "info",
        What::Unkept | What::Kept | What::Undone | What::Restored => "conflict",
    }
}

/// Where one sees what a message is about.
fn place(item: &Item, row: &Listed) -> String {
    let id = row.id.hyphenated();
    match item.what {
        What::Undone | What::Restored | What::Unkept | What::Kept => {
            format!("/records/{id}?tab=history")
        }
        _ => format!("/records/{id}?tab=way"),
    }
}

fn of_record(item: &Item, row: &Listed, kind: Option<&Kind>, page: &Page) -> String {
    if item.what.is_of_field() {
        let labels = item.about.split(' ').map(|key| {
            let field = kind.and_then(|kind| kind.field(key));
            field.map_or(key, |field| page.label(&field.label))
        });
        let labels = labels.collect::<Vec<_>>().join("、");
        let id = match item.what {
            What::Kept => "kept-said",
            What::Undone => "undone-said",
            What::Restored => "restored-said",
            _ => "unkept-said",
        };
        return page.with(id, &labels);
    }
    let step = kind.and_then(|kind| kind.transition(&item.about));
    let step = step.map_or(item.about.as_str(), |step| page.label(&step.label));
    let with = [
        ("step", step.into()),
        ("status", shown::status(kind, &row.status, page.lang).into()),
    ];
    page.lang.say("inbox-step", &with)
}

/// What the hub said to a request, and where it is seen.
fn of_request(
    connection: &Connection,
    item: &Item,
    page: &Page,
) -> Result<Option<(String, String)>> {
    let Some(asked) = requests::with_id(connection, &item.change)? else {
        return Ok(None);
    };
    let (subject, href) = match &asked.wanted {
        Wanted::Act { record, event, .. } => {
            let key = records::with_id(connection, record)?;
            let row = records::rows(connection, &key)?.pop();
            let kind = row
                .as_ref()
                .and_then(|row| Catalogue::current().kind(&row.kind));
            let step = kind.and_then(|kind| kind.transition(event));
            let step = step.map_or(event.as_str(), |step| page.label(&step.label));
            let number = row.as_ref().and_then(|row| row.number.as_deref());
            let said = [Some(step), number].into_iter().flatten();
            let said = said.collect::<Vec<_>>().join(" ");
            let href = row.map(|row| format!("/records/{}", row.id.hyphenated()));
            (said, href)
        }
        Wanted::Site(code) | Wanted::Invite(code) => (code.clone(), None),
        Wanted::Order { order, .. } => ((*order).to_owned(), None),
    };
    let said = page.with("inbox-asked", &subject);
    Ok(Some((said, href.unwrap_or_else(|| "/sites".to_owned()))))
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct Inbox {
    page: Page,
    rows: Vec<Message>,
    /// Whether those are shown that were read.
    seen: bool,
    next: Option<String>,
}

/// Which messages are asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    seen: Option<String>,
    after: Option<String>,
}

/// A place in the list, as it stands in an address.
fn place_text(item: &Item) -> String {
    let (at_ms, change, what) = item.place();
    format!("{at_ms}.{}.{what}", Hex(&change))
}

fn parse_place(text: &str) -> Option<(u64, [u8; 32], String)> {
    let mut parts = text.splitn(3, '.');
    let at_ms = parts.next()?.parse().ok()?;
    let change = parse_hex(parts.next()?)?;
    Some((at_ms, change, parts.next()?.to_owned()))
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let inbox = app
        .read(move |books, connection| {
            let title = session.lang().say("inbox", &[]);
            let page = Page::new(connection, books, &session, &line, ("/inbox", title))?;
            let seen = asked.seen.is_some();
            let after = asked.after.as_deref().and_then(parse_place);
            let account = page.actor.account().to_owned();
            let mut items = inbox::list(connection, &account, seen, after.as_ref(), ROWS + 1)?;
            let more = items.len() > ROWS;
            items.truncate(ROWS);
            let next = items.last().filter(|_| more).map(place_text);
            let mut rows = Vec::with_capacity(items.len());
            for item in &items {
                rows.extend(Message::of(connection, item, &page)?);
            }
            Ok(Inbox {
                page,
                rows,
                seen,
                next,
            })
        })
        .await?;
    html(&inbox)
}

/// Somebody has read one.
pub(super) async fn read(
    State(app): State<App>,
    session: Session,
    Path(change): Path<String>,
) -> Answer {
    noticed(&app, session, &change).await?;
    Ok(go("/inbox"))
}

/// Somebody has read one where their work begins.
pub(super) async fn read_at_home(
    State(app): State<App>,
    session: Session,
    Path(change): Path<String>,
) -> Answer {
    noticed(&app, session, &change).await?;
    Ok(go("/"))
}

async fn noticed(app: &App, session: Session, change: &str) -> Result<()> {
    let account = session.account.id;
    let Some(change) = parse_hex(change) else {
        return Ok(());
    };
    app.write(move |_, connection| inbox::notice(connection, &account, &change))
        .await
}

/// Somebody has read all of them.
pub(super) async fn read_all(State(app): State<App>, session: Session) -> Answer {
    let account = session.account.id;
    app.write(move |_, connection| inbox::notice_all(connection, &account))
        .await?;
    Ok(go("/inbox"))
}
