//! Fields that were changed on two devices at once: both values side by side, until somebody chooses. The
//! choice is a signed change like any other, and the value not chosen stays in the history.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use lianxin_protocol::catalogue::Kind;
use lianxin_protocol::hash::Hex;
use lianxin_protocol::text;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::App;
use super::list::Row;
use super::page::{Answer, Page, Session, go, html, open};
use super::shown;
use super::words::Lang;
use crate::error::{Code, Error};
use crate::journal::Overview;
use crate::records::delivery::Coverage;
use crate::records::save;
use crate::records::{self, Content, Filter};

/// Marks by which the sides of a conflict are called.
const SIDES: [&str; 8] = ["甲", "乙", "丙", "丁", "戊", "己", "庚", "辛"];
/// Rows of the list.
const ROWS: usize = 200;

/// A field in conflict.
pub(super) struct Conflict {
    pub(super) field: String,
    pub(super) label: String,
    pub(super) sides: Vec<Side>,
}

/// One of its values.
pub(super) struct Side {
    pub(super) mark: &'static str,
    pub(super) value: String,
    pub(super) device: String,
    pub(super) at: String,
    /// Hash of the change that wrote it: what a choice names.
    pub(super) change: String,
}

/// The conflicts of a record.
pub(super) fn of(
    content: &Content,
    kind: Option<&Kind>,
    overview: &Overview,
    lang: Lang,
) -> Vec<Conflict> {
    let conflicts = content.conflicts.iter().map(|(key, values)| {
        let field = kind.and_then(|kind| kind.field(key));
        let sides = values.iter().zip(SIDES).map(|(value, mark)| Side {
            mark,
            value: match &value.value {
                Value::Null => lang.say("value-gone", &[]),
                given => shown::value(field, given, lang),
            },
            device: value
                .device
                .map(|key| shown::device(overview.authority(), &key))
                .unwrap_or_default(),
            at: shown::moment(value.at_ms, lang),
            change: Hex(&value.change).to_string(),
        });
        Conflict {
            field: key.clone(),
            label: field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned()),
            sides: sides.collect(),
        }
    });
    conflicts.collect()
}

#[derive(Template)]
#[template(path = "conflicts.html")]
struct Conflicts {
    page: Page,
    rows: Vec<Row>,
}

/// Records with fields in conflict.
pub(super) async fn list(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let list = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-conflicts", &[]);
            let page = Page::new(connection, books, &session, &line, ("/conflicts", title))?;
            let coverage = Coverage::of(books);
            let filter = Filter {
                conflicts: Some(true),
                limit: ROWS,
                ..Filter::default()
            };
            let mut rows = Vec::new();
            for row in &records::list(connection, &filter)? {
                rows.push(Row::new(connection, books, &coverage, row, &page)?);
            }
            Ok(Conflicts { page, rows })
        })
        .await?;
    html(&list)
}

/// What was chosen.
#[derive(Deserialize)]
pub(super) struct Choice {
    field: String,
    change: String,
    #[serde(default)]
    reason: String,
}

/// Takes one value of a field in conflict.
pub(super) async fn take(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(choice): Form<Choice>,
) -> Answer {
    let back = format!("/records/{id}?did={}", save::SETTLE);
    app.write(move |journal, connection| {
        let (record, kind) = open(connection, journal, &session, &id)?;
        let key = record.key;
        let content = record.gathered.content(journal.authority());
        // Another choice may have come meanwhile; then there is nothing left to choose.
        let values = content.conflicts.get(&choice.field);
        let chosen = values
            .into_iter()
            .flatten()
            .find(|value| Hex(&value.change).to_string() == choice.change);
        let settled = || {
            Error::new(
                Code::NothingToDo,
                "this conflict has been settled meanwhile",
            )
        };
        let value = chosen.ok_or_else(settled)?.value.clone();
        let input = match choice.field.split_once('.') {
            None => json!({ choice.field.as_str(): value }),
            Some((group, name)) => {
                let members = Map::from_iter([(name.to_owned(), value)]);
                json!({ group: members })
            }
        };
        let judged = kind.read_edit(&input);
        let draft = judged.map_err(|refusals| save::fields_refused(&refusals))?;
        let author = session.author(connection, journal)?;
        let reason = text::kept(choice.reason.trim());
        save::settle(connection, journal, key, (&draft, &reason), &author)?;
        Ok(())
    })
    .await?;
    Ok(go(&back))
}
