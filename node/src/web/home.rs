//! The first page: at a station what was recorded today and what waits for the clerk; at the sub-district
//! the network at a glance.

use askama::Template;
use axum::extract::State;
use lianxin_protocol::catalogue::{Catalogue, Kind};
use lianxin_protocol::space::Space;
use rusqlite::Connection;

use super::inbox::Message;
use super::intake::recorded;
use super::list::Row;
use super::page::{Answer, Page, Session, html};
use super::pins::{self, Pin};
use super::queue::{self, Waits};
use super::sheet::About;
use super::words::Lang;
use super::{App, intake, shown, sites};
use crate::clock;
use crate::drafts::{self, Draft};
use crate::error::Result;
use crate::journal::Overview;
use crate::records::Listed;
use crate::records::articles::is_law;
use crate::records::delivery::Coverage;
use crate::records::inbox::{self, What};
use crate::records::sight::Title;
use crate::records::waiting::Waiting;
use crate::records::{self, Filter};

/// Rows of a list on this page.
const ROWS: usize = 30;
/// Draft laws on this page.
const LAWS: usize = 5;

/// A draft in a list.
pub(super) struct DraftRow {
    /// It is of a new record, and not of a step or a correction.
    pub(super) new: bool,
    pub(super) id: String,
    pub(super) title: String,
    pub(super) at: String,
    pub(super) lacks: u64,
}

impl DraftRow {
    pub(super) fn of(connection: &Connection, draft: Draft, page: &Page) -> Result<Self> {
        let (title, lacks) = drafted(connection, &draft, page.lang)?;
        Ok(Self {
            new: matches!(About::parse(&draft.kind), Ok(About::New(_))),
            title: title.unwrap_or_else(|| page.t("draft-untitled")),
            lacks,
            at: shown::at(draft.updated_ms, page.now_ms, page.lang),
            id: draft.id,
        })
    }
}

/// A kind that whoever looks records.
struct Other {
    code: String,
    label: String,
}

/// What a draft is called, and how much it lacks.
fn drafted(connection: &Connection, draft: &Draft, lang: Lang) -> Result<(Option<String>, u64)> {
    let (record, what, otherwise) = match About::parse(&draft.kind) {
        Ok(About::Step(record, event)) => (record, Some(event), "edit"),
        Ok(About::Edit(record)) => (record, None, "edit"),
        Ok(About::Conflict(record)) => (record, None, "conflict-settle"),
        Ok(About::Lines(record, _)) => (record, None, "lines"),
        Ok(About::Several(kind, event)) => {
            let step = Catalogue::current()
                .kind(&kind)
                .and_then(|kind| kind.transition(&event));
            let title = step.map(|step| lang.label(&step.label).to_owned());
            return Ok((title, 0));
        }
        Ok(About::New(_)) | Err(_) => return Ok(intake::judge(draft)),
    };
    let Ok(key) = records::find(connection, &record) else {
        return Ok((None, 0));
    };
    let row = records::rows(connection, &[key])?.pop();
    let kind = row
        .as_ref()
        .and_then(|row| Catalogue::current().kind(&row.kind));
    let step = what.as_deref().and_then(|event| kind?.transition(event));
    let step = step.map_or_else(
        || lang.say(otherwise, &[]),
        |step| lang.label(&step.label).to_owned(),
    );
    let title = shown::title(kind, Title::of(row.as_ref().and_then(Listed::name)), lang);
    Ok((Some(format!("{step} · {title}")), 0))
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    page: Page,
    today: String,
    rows: Vec<Row>,
    more: bool,
    /// How many were recorded today and have arrived, in words.
    counted: String,
    todos: Vec<Waits>,
    /// Values of whoever looks that were not kept.
    unkept: Vec<Message>,
    /// How many there are to do, shown or not.
    todo: u64,
    drafts: Vec<DraftRow>,
    /// Draft laws that comments are collected on.
    laws: Vec<Row>,
    /// What else is recorded here, by groups.
    others: Vec<(String, Vec<Other>)>,
    no_password: bool,
    pins: Vec<Pin>,
}

impl Home {
    /// What is to be done, in a word; of a step without one, what it is about.
    fn what(&self, todo: &Waits) -> String {
        let id = format!("todo-{}", todo.event);
        let said = self.page.t(&id);
        if said == id { todo.kind.clone() } else { said }
    }
}

/// Draft laws that are open for comments.
fn asked_here() -> Option<Filter> {
    let laws = Catalogue::current().kinds().find(|kind| is_law(kind))?;
    Some(Filter {
        kind: Some(laws.code.clone()),
        status: Some("open".to_owned()),
        limit: LAWS,
        held: Some(false),
        ..Filter::default()
    })
}

/// What waits for these steps: who waits to be told comes first.
fn todos(
    connection: &Connection,
    overview: &Overview,
    steps: Vec<queue::Step>,
    page: &Page,
) -> Result<Vec<Waits>> {
    let (telling, others): (Vec<_>, Vec<_>) = steps.into_iter().partition(queue::tells);
    let mut todos = Vec::new();
    for steps in [telling, others] {
        let waiting = steps.into_iter().map(|step| {
            let (kind, status, _) = step;
            (step, Waiting::of(kind, status, page.now_ms))
        });
        let waiting: Vec<_> = waiting.collect();
        let left = (0, ROWS - todos.len());
        todos.extend(queue::waiting(connection, overview, &waiting, left, page)?);
    }
    Ok(todos)
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let line_shown = line.clone();
    let account = session.account.clone();
    let no_password = !account.has_password;
    let home = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-home", &[]);
            let page = Page::new(connection, books, &session, &line, ("/", title))?;
            let pins = pins::of(&session, books, lang);
            if page.office() {
                return Ok(Err((page, pins)));
            }
            let now_ms = page.now_ms;
            let coverage = Coverage::of(books);
            // What the sub-district publishes is nobody's work of today here.
            let bulletin = Space::Bulletin.id(&books.identity().network);
            let today = clock::beijing_day(now_ms);
            let filter = Filter {
                limit: ROWS + 1,
                whole: true,
                present: true,
                recorded_ms: Some(today),
                outside: Some(bulletin),
                stands: true,
                ..Filter::default()
            };
            let mut found = records::list(connection, &filter)?;
            let more = found.len() > ROWS;
            found.truncate(ROWS);
            let mut rows = Vec::with_capacity(found.len());
            for row in &found {
                rows.push(Row::new(connection, books, &coverage, row, &page)?);
            }
            let (counts, received) = records::recorded(connection, today, &bulletin)?;
            // Of more than are counted nobody can say how many have arrived.
            let most = |count: u64| match count {
                records::COUNTED.. => format!("{count}+"),
                count => count.to_string(),
            };
            let with = [
                ("count", most(counts).into()),
                ("received", most(received).into()),
            ];
            let counted = lang.say("home-recorded", &with);
            let mut laws = Vec::new();
            let asked = asked_here().map(|filter| records::list(connection, &filter));
            for row in asked.transpose()?.iter().flatten() {
                laws.push(Row::new(connection, books, &coverage, row, &page)?);
            }
            let steps = queue::steps(&page);
            let todo = queue::count(connection, &steps, now_ms)?;
            let todos = todos(connection, books, steps, &page)?;
            let other = |kind: &Kind| Other {
                code: kind.code.clone(),
                label: lang.label(&kind.label).to_owned(),
            };
            // What most records are has a button of its own.
            let usual = Catalogue::current().kinds().next().map(|kind| &kind.code);
            let others = recorded(&page).into_iter().map(|(label, kinds)| {
                let kinds = kinds.into_iter().filter(|kind| Some(&kind.code) != usual);
                (label, kinds.map(other).collect())
            });
            let mut shown_drafts = Vec::new();
            for draft in drafts::list(connection, &account.id)? {
                shown_drafts.push(DraftRow::of(connection, draft, &page)?);
            }
            Ok(Ok(Home {
                today: shown::today(now_ms, lang),
                counted,
                rows,
                more,
                unkept: unkept(connection, &page)?,
                todos,
                todo,
                others: others.collect(),
                drafts: shown_drafts,
                laws,
                no_password,
                pins,
                page,
            }))
        })
        .await?;
    match home {
        Ok(home) => html(&home),
        Err((page, pins)) => sites::overview(&app, (page, pins), line_shown, no_password).await,
    }
}

/// What became of values and choices of whoever looks, where that is not as they left it, and they have not read it.
pub(super) fn unkept(connection: &Connection, page: &Page) -> Result<Vec<Message>> {
    let mut unkept = Vec::new();
    for item in inbox::own(connection, page.actor.account(), false, None, ROWS)? {
        if matches!(item.what, What::Unkept | What::Undone) {
            unkept.extend(Message::of(connection, &item, page)?);
        }
    }
    Ok(unkept)
}
