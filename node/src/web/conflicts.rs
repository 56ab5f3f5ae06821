//! Records with fields that were changed on two devices at once and that nobody has settled yet: of which sort, since when, who
//! wrote, and who may choose. What waits longest comes first.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde::Deserialize;

use super::App;
use super::conflict::{Class, is_doubtful};
use super::page::{Answer, Page, Session, html};
use super::shown;
use super::words::Lang;
use crate::actor::who_corrects;
use crate::error::Result;
use crate::journal::{Books, Overview};
use crate::records::{self, Content, Listed, gather};

/// Rows of a page.
const ROWS: usize = 30;

/// A field in conflict, as the record's page has it.
pub(super) struct Conflict {
    pub(super) label: String,
}

/// The conflicts of a record.
pub(super) fn of(content: &Content, kind: Option<&Kind>, lang: Lang) -> Vec<Conflict> {
    let labels = content.conflicts.keys().map(|key| {
        let field = kind.and_then(|kind| kind.field(key));
        field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned())
    });
    labels.map(|label| Conflict { label }).collect()
}

/// A record in conflict.
struct Row {
    id: String,
    title: String,
    kind: String,
    number: String,
    /// What sort of conflict, each once.
    classes: Vec<String>,
    fields: String,
    since: String,
    devices: String,
    site: String,
    who: String,
    doubtful: bool,
}

#[derive(Template)]
#[template(path = "conflicts.html")]
struct List {
    page: Page,
    rows: Vec<Row>,
    count: u64,
    next: Option<String>,
}

/// Where the list goes on.
#[derive(Deserialize)]
pub(super) struct Asked {
    after: Option<String>,
}

/// Who may choose between the values of a kind's records, in words.
fn who(kind: &Kind, status: &str, lang: Lang) -> String {
    let kept = kind.kept_by(status);
    let roles = if kept.is_empty() {
        who_corrects(kind)
    } else {
        kept
    };
    let roles = roles.iter().map(|role| role.label());
    let roles: Vec<_> = roles.map(|label| lang.label(&label).to_owned()).collect();
    if roles.is_empty() {
        return lang.say("conflict-anybody", &[]);
    }
    roles.join("、")
}

fn row(connection: &Connection, books: &mut Books, row: &Listed, page: &Page) -> Result<Row> {
    let lang = page.lang;
    let kind = Catalogue::current().kind(&row.kind);
    let content = gather(connection, books, row.key)?.content(books.authority());
    let overview: &Overview = books;
    let values = || content.conflicts.values().flatten();
    let mut classes = BTreeSet::new();
    for (key, values) in &content.conflicts {
        let open = content.apart.iter().find(|it| it.field == *key);
        classes.insert(Class::of(values, open).said(lang));
    }
    let devices: BTreeSet<_> = values()
        .filter_map(|it| it.device)
        .map(|key| shown::device(overview.authority(), &key))
        .collect();
    let doubts = |it: &records::ConflictValue| {
        is_doubtful(overview, it.device.as_ref(), (it.at_ms, page.now_ms))
    };
    // Of a sealed one it is not told what it has fields for.
    let shows = row.sight(&page.actor).has_facts();
    let fields = of(&content, kind, lang).into_iter().map(|it| it.label);
    let fields = fields.filter(|_| shows);
    Ok(Row {
        id: row.id.hyphenated(),
        title: shown::title(kind, row.title(&page.actor), lang),
        kind: kind.map_or_else(String::new, |it| lang.label(&it.label).to_owned()),
        number: row.number.clone().unwrap_or_default(),
        classes: classes.into_iter().filter(|_| shows).collect(),
        fields: fields.collect::<Vec<_>>().join("、"),
        since: content
            .disputed_ms()
            .map(|at| shown::age(at, page.now_ms, lang))
            .unwrap_or_default(),
        devices: devices.into_iter().collect::<Vec<_>>().join("、"),
        site: shown::site(overview.authority(), row, lang),
        who: kind.map_or_else(String::new, |kind| who(kind, &content.status, lang)),
        doubtful: values().any(doubts),
    })
}

/// The list.
pub(super) async fn list(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let list = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-conflicts", &[]);
            let page = Page::new(connection, books, &session, &line, ("/conflicts", title))?;
            let after = asked.after.as_deref().and_then(RecordId::parse);
            let mut found = records::disputed(connection, after.as_ref(), ROWS + 1)?;
            let more = found.len() > ROWS;
            found.truncate(ROWS);
            let next = found.last().filter(|_| more);
            let next = next.map(|row| row.id.hyphenated());
            let mut rows = Vec::with_capacity(found.len());
            for it in &found {
                rows.push(row(connection, books, it, &page)?);
            }
            let count = page.conflicts();
            Ok(List {
                page,
                rows,
                count,
                next,
            })
        })
        .await?;
    html(&list)
}
