//! Records in lists: a row wherever one is shown, whose turn it is, and the list with its filters.

use std::collections::BTreeSet;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Field, Kind, Role, Status, Transition};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::App;
use super::choices::Choices;
use super::fields::{self, Input};
use super::page::{Answer, Page, Session, html};
use super::shown::{self, Shown};
use super::words::Lang;
use crate::clock;
use crate::drafts::Typed;
use crate::error::Result;
use crate::journal::Overview;
use crate::records::delivery::{self, Coverage, State as Reached};
use crate::records::{self, Filter, Listed};

/// Rows of a page.
const ROWS: usize = 50;
/// Longest text that is looked for, in characters.
const TYPED_CHARS: usize = 100;
/// Stands before the key of a field in the names of the form.
const BY: &str = "by.";

// ---- rows ----

/// A record in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) number: String,
    pub(super) title: String,
    /// Its kind, on pages that show several.
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) state: Shown,
    pub(super) at: String,
    /// Its site, on pages that show several.
    pub(super) site: String,
    pub(super) conflict: bool,
    /// Another record stands in its place.
    pub(super) again: Option<String>,
    pub(super) due: Option<Due>,
    reached: Reached,
}

/// When an answer is due.
pub(super) struct Due {
    pub(super) said: String,
    pub(super) over: bool,
}

impl Row {
    pub(super) fn new(
        connection: &Connection,
        overview: &Overview,
        coverage: &Coverage,
        row: &Listed,
        page: &Page,
    ) -> Result<Self> {
        let reached = coverage.reached(connection, row)?;
        Ok(Self::reached(overview, reached, row, page))
    }

    /// A row of which it is known how far it has come.
    fn reached(overview: &Overview, reached: Reached, row: &Listed, page: &Page) -> Self {
        let kind = Catalogue::standard().kind(&row.kind);
        let mut shown = Self::plain(reached, row, (page.lang, page.now_ms));
        shown.due = due(&row.facts, kind, &row.status, page);
        if page.office() {
            shown.site = shown::site(overview.authority(), row, page.lang);
        }
        shown
    }

    /// The row with its kind named.
    pub(super) fn with_kind(mut self, row: &Listed, lang: Lang) -> Self {
        let kind = Catalogue::standard().kind(&row.kind);
        self.kind = kind.map_or_else(String::new, |kind| lang.label(&kind.label).to_owned());
        self
    }

    /// A row without what depends on who looks.
    pub(super) fn plain(reached: Reached, row: &Listed, (lang, now_ms): (Lang, u64)) -> Self {
        let kind = Catalogue::standard().kind(&row.kind);
        let (state, status) = delivery::shown(reached, &row.kind, &row.status);
        Self {
            id: row.id.hyphenated(),
            number: row.number.clone().unwrap_or_default(),
            title: shown::title(kind, row.title.as_deref(), lang),
            kind: String::new(),
            status: shown::status(kind, &status, lang),
            state: Shown::of(state, lang),
            at: shown::at(row.recorded_ms(), now_ms, lang),
            site: String::new(),
            conflict: row.conflicts > 0,
            again: row.again.map(|_| lang.say("row-again", &[])),
            due: None,
            reached: state,
        }
    }

    /// Whether the hub has it.
    pub(super) fn arrived(&self) -> bool {
        !matches!(
            self.reached,
            Reached::Saved | Reached::Sending | Reached::Quarantined
        )
    }
}

/// When an answer is due, as long as there is none.
pub(super) fn due(
    facts: &Map<String, Value>,
    kind: Option<&Kind>,
    status: &str,
    page: &Page,
) -> Option<Due> {
    // A site has a date of its own, before the sub-district's.
    let own = facts.get("site_due_on").filter(|_| !page.office());
    let date = own.or_else(|| facts.get("due_on"))?.as_str()?;
    let kind = kind?;
    let days = clock::Beijing::of(page.now_ms).days_until(date)?;
    // An answer was given when nobody is to act any more, or what is left is to tell of it.
    let told = kind.status(status)?.tells.is_some();
    let done = told || !kind.is_open(status) || status == "answered";
    let (id, count) = match days {
        _ if done => return None,
        ..0 => ("due-over", days.unsigned_abs()),
        0 => ("due-today", 0),
        _ => ("due-in", days.unsigned_abs()),
    };
    Some(Due {
        said: page.n(id, &u64::from(count)),
        over: days < 0,
    })
}

/// Statuses from which the usual next step is one that is taken in these roles, with the step, in the order of the
/// process. The status is the folded one, as stored.
pub(super) fn next_for<'a>(
    kind: &'a Kind,
    roles: &BTreeSet<Role>,
) -> Vec<(&'a Status, &'a Transition)> {
    let found = kind.statuses.iter().filter_map(|status| {
        let step = kind.transition(status.next.as_deref()?)?;
        let folded = match &status.stands_for {
            Some(folded) => kind.status(folded)?,
            None => status,
        };
        (!step.who.is_disjoint(roles)).then_some((folded, step))
    });
    found.collect()
}

// ---- lists ----

/// What a list was asked for. Text to search for is never part of an address: it may be somebody's name.
#[derive(Clone, Default)]
struct Asked {
    kind: Option<String>,
    status: Option<String>,
    state: Option<String>,
    after: Option<String>,
    q: Option<String>,
    /// What fields are to hold, as it was typed: `by.` and the field's key in a form.
    by: Typed,
}

impl Asked {
    /// Reads the names that a form of the list has; other names, and what is left empty, ask for nothing.
    fn of(pairs: Vec<(String, String)>) -> Self {
        let mut asked = Self::default();
        let mut by = Typed::new();
        for (name, text) in pairs {
            let text: String = text.trim().chars().take(TYPED_CHARS).collect();
            if text::is_blank(&text) {
                continue;
            }
            match (name.as_str(), name.strip_prefix(BY)) {
                ("kind", _) => asked.kind = Some(text),
                ("status", _) => asked.status = Some(text),
                ("state", _) => asked.state = Some(text),
                ("after", _) => asked.after = Some(text),
                ("q", _) => asked.q = Some(text),
                (_, Some(key)) => {
                    by.insert(key.to_owned(), vec![text]);
                }
                (_, None) => {}
            }
        }
        by.retain(|key, _| asked.fields().any(|field| field.key == *key));
        asked.by = by;
        asked
    }

    /// The fields of the kind by which the list can be filtered.
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        let kind = self.kind.as_deref();
        let kind = kind.and_then(|code| Catalogue::standard().kind(code));
        kind.into_iter().flat_map(Kind::indexed)
    }
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    page: Page,
    asked: Asked,
    rows: Vec<Row>,
    kinds: Vec<(String, String)>,
    statuses: Vec<(String, String)>,
    states: Vec<(&'static str, String)>,
    /// What the kind's fields can be asked for.
    by: Vec<Input>,
    next: Option<String>,
    newest: String,
    /// Records of which nothing counts.
    held: u64,
}

impl List {
    fn is(&self, name: &Option<String>, value: &str) -> bool {
        name.as_deref() == Some(value)
    }

    fn filtered(&self) -> bool {
        let asked = [
            &self.asked.kind,
            &self.asked.status,
            &self.asked.state,
            &self.asked.q,
        ];
        asked.iter().any(|it| it.is_some()) || !self.asked.by.is_empty()
    }
}

/// The list, by address.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Answer {
    let asked = Asked {
        q: None,
        ..Asked::of(pairs)
    };
    listed(&app, session, asked).await
}

/// The list, with a text to search for.
pub(super) async fn search(
    State(app): State<App>,
    session: Session,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    listed(&app, session, Asked::of(pairs)).await
}

async fn listed(app: &App, session: Session, asked: Asked) -> Answer {
    let line = (app.doors.line)();
    let list = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-list", &[]);
            let page = Page::new(connection, books, &session, &line, ("/records", title))?;
            let coverage = Coverage::of(books);
            let named = Choices::of(connection, books, asked.fields())?;
            let (rows, next) = rows(connection, books, &coverage, (&asked, &named), &page)?;
            let by = asked.fields().map(|field| by(field, &named, &asked, lang));
            let mut kinds = Catalogue::standard().kinds();
            // The first kind is what most records are.
            let kind = match &asked.kind {
                Some(code) => Catalogue::standard().kind(code),
                None => kinds.next(),
            };
            let kinds = Catalogue::standard().kinds();
            let states = Reached::ALL.map(Reached::word);
            Ok(List {
                by: by.collect(),
                held: records::held_count(connection)?,
                newest: rows.first().map(|row| row.id.clone()).unwrap_or_default(),
                rows,
                next,
                kinds: kinds
                    .map(|kind| (kind.code.clone(), lang.label(&kind.label).to_owned()))
                    .collect(),
                statuses: kind
                    .into_iter()
                    .flat_map(|kind| &kind.statuses)
                    .map(|status| (status.code.clone(), lang.label(&status.label).to_owned()))
                    .collect(),
                states: states
                    .iter()
                    .map(|state| (*state, lang.say(&format!("state-{state}"), &[])))
                    .collect(),
                asked,
                page,
            })
        })
        .await?;
    html(&list)
}

/// The input for what a field is to hold.
fn by(field: &Field, named: &Choices, asked: &Asked, lang: Lang) -> Input {
    // Nothing has to be filled in, and nothing is unless somebody does.
    let field = Field {
        required: false,
        default: None,
        hint: None,
        ..field.clone()
    };
    let input = fields::input(&field, named, &asked.by, &[], lang);
    Input {
        name: format!("{BY}{}", field.key),
        ..input
    }
}

/// A page of rows, and where the list goes on.
fn rows(
    connection: &Connection,
    overview: &Overview,
    coverage: &Coverage,
    (asked, named): (&Asked, &Choices),
    page: &Page,
) -> Result<(Vec<Row>, Option<String>)> {
    let values = named.ids(asked.fields(), &asked.by).into_iter();
    let values = values.filter_map(|(key, values)| Some((key, values.into_iter().next()?)));
    let filter = Filter {
        values: values.collect(),
        kind: asked.kind.clone(),
        status: asked.status.clone(),
        search: asked.q.clone(),
        whole: asked.kind.is_none() && asked.q.is_none(),
        limit: ROWS,
        after: asked.after.as_deref().and_then(RecordId::parse),
        ..Filter::default()
    };
    let mut states = Reached::ALL.into_iter();
    let state = states.find(|state| asked.state.as_deref() == Some(state.word()));
    let (found, next) = delivery::list(connection, coverage, filter, state)?;
    let found = found.iter().map(|it| {
        let shown = Row::reached(overview, it.reached, &it.row, page);
        match &asked.kind {
            Some(_) => shown,
            None => shown.with_kind(&it.row, page.lang),
        }
    });
    Ok((found.collect(), next.map(|next| next.hyphenated())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::permitted;

    #[test]
    fn the_usual_next_step_is_offered_to_whom_it_belongs() {
        let kind = Catalogue::standard().kind("opinion").unwrap();
        let steps = |roles: &BTreeSet<Role>| -> Vec<String> {
            let next = next_for(kind, roles);
            next.iter()
                .map(|(status, step)| format!("{}>{}", status.code, step.event))
                .collect()
        };
        use lianxin_protocol::authority::Role as DeviceRole;
        assert_eq!(
            steps(&permitted(Some(DeviceRole::Station))),
            ["answered>inform"]
        );
        let office = steps(&permitted(Some(DeviceRole::Operator)));
        assert_eq!(
            office.first().map(String::as_str),
            Some("registered>accept")
        );
        assert!(office.contains(&"accepted>dispatch".to_owned()));
        assert!(!steps(&[Role::Unit].into()).contains(&"accepted>dispatch".to_owned()));
    }
}
