//! The work of the sub-district: what waits for whom, by the step that comes next, longest first.

use askama::Template;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Kind, Status, Transition};
use lianxin_protocol::space::{Space, SpaceId};
use rusqlite::Connection;
use serde::Deserialize;

use super::App;
use super::list::{Row, next_for};
use super::page::{Answer, Page, Session, html};
use super::shown;
use crate::error::Result;
use crate::journal::Overview;
use crate::records::delivery::Coverage;
use crate::records::{self, Listed};

/// Rows of a page.
const ROWS: usize = 50;
/// Pages that can be turned to: whoever has more to do filters.
const PAGES: usize = 100;

/// What a queue was asked for.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Asked {
    /// Kind and status with a dash between.
    view: Option<String>,
    /// Code of a site.
    site: Option<String>,
    /// From 1.
    page: Option<usize>,
}

impl Asked {
    fn address(&self, view: Option<&str>, page: usize) -> String {
        let site = self.site.as_ref().filter(|it| !it.is_empty());
        // Codes, which are letters, digits and a few marks: nothing to quote.
        let pairs = [
            view.map(|view| format!("view={view}")),
            site.map(|site| format!("site={site}")),
            (page > 1).then(|| format!("page={page}")),
        ];
        let pairs: Vec<_> = pairs.into_iter().flatten().collect();
        format!("/queue?{}", pairs.join("&"))
    }
}

/// A record that waits for a step of whoever looks.
pub(super) struct Waits {
    pub(super) row: Row,
    /// Its kind.
    pub(super) kind: String,
    pub(super) event: String,
    pub(super) step: String,
    pub(super) since: String,
}

/// Records that wait for the same step.
struct View {
    code: String,
    label: String,
    count: u64,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Queue {
    page: Page,
    views: Vec<View>,
    /// All of them together.
    whole: u64,
    asked: Asked,
    view: Option<String>,
    sites: Vec<(String, String)>,
    rows: Vec<Waits>,
    /// Whether any has a date by which it is due.
    has_due: bool,
    /// Places of the first and the last row, from 1, and of how many.
    first: usize,
    last: usize,
    count: u64,
    at: usize,
    /// Whether there is another page.
    more: bool,
}

impl Queue {
    fn href(&self, view: Option<&str>, page: usize) -> String {
        self.asked.address(view, page)
    }

    /// Which of how many are shown, in words.
    fn places(&self) -> String {
        let with = [
            ("first", self.first.into()),
            ("last", self.last.into()),
            ("count", self.count.into()),
        ];
        self.page.lang.say("queue-places", &with)
    }

    fn is_site(&self, code: &str) -> bool {
        self.asked.site.as_deref() == Some(code)
    }

    fn is_view(&self, code: &str) -> bool {
        self.view.as_deref() == Some(code)
    }
}

/// A kind, a status in which its records wait, and the step that comes next.
pub(super) type Step = (&'static Kind, &'static Status, &'static Transition);

/// The steps of all kinds that whoever looks usually takes.
pub(super) fn steps(page: &Page) -> Vec<Step> {
    let kinds = Catalogue::standard().kinds();
    let steps = kinds.flat_map(|kind| {
        let next = next_for(kind, page.actor.roles()).into_iter();
        next.map(move |(status, step)| (kind, status, step))
    });
    steps.collect()
}

/// Whether a step tells whoever brought the matter.
pub(super) fn tells((kind, _, step): &Step) -> bool {
    let to = step.to.as_deref().and_then(|to| kind.status(to));
    to.is_some_and(|status| status.tells.is_some()) && step.data.iter().any(|it| it.key == "way")
}

/// What waits for these steps, longest first, from a place on.
pub(super) fn waiting(
    connection: &Connection,
    overview: &Overview,
    (steps, space): (&[Step], Option<&SpaceId>),
    (from, most): (usize, usize),
    page: &Page,
) -> Result<Vec<Waits>> {
    let coverage = Coverage::of(overview);
    let mut found: Vec<(Listed, &Step)> = Vec::new();
    for step in steps {
        let (kind, status, _) = step;
        let of = records::queue(connection, (&kind.code, &status.code), space, from + most)?;
        found.extend(of.into_iter().map(|row| (row, step)));
    }
    found.sort_by_key(|(row, _)| (row.arrived, row.id));
    let mut waiting = Vec::new();
    for (row, (kind, _, step)) in found.into_iter().skip(from).take(most) {
        waiting.push(Waits {
            kind: page.label(&kind.label).to_owned(),
            since: shown::age(row.recorded_ms(), page.now_ms, page.lang),
            row: Row::new(connection, overview, &coverage, &row, page)?,
            event: step.event.clone(),
            step: page.label(&step.label).to_owned(),
        });
    }
    Ok(waiting)
}

fn build(
    connection: &Connection,
    overview: &Overview,
    mut asked: Asked,
    page: Page,
) -> Result<Queue> {
    let lang = page.lang;
    let authority = overview.authority();
    let site = asked.site.as_deref();
    let site = site.and_then(|code| authority.site_by_code(code));
    // What is no site's code goes into no address.
    asked.site = asked.site.filter(|_| site.is_some());
    let space = site.map(|site| Space::Site(site).id(&overview.identity().network));
    let all = steps(&page);
    let mut views = Vec::new();
    for (kind, status, _) in &all {
        let shown_as = kind.shown_status(&status.code, true);
        let status_said = shown::status(Some(kind), shown_as, lang);
        views.push(View {
            code: format!("{}-{}", kind.code, status.code),
            label: if kind.code == "opinion" {
                status_said
            } else {
                format!("{} · {status_said}", lang.label(&kind.label))
            },
            count: records::count(connection, (&kind.code, &status.code), space.as_ref())?,
        });
    }
    let whole = views.iter().map(|view| view.count).sum();
    let wanted = asked.view.as_deref();
    let view = views.iter().find(|view| Some(view.code.as_str()) == wanted);
    let view = view.map(|view| (view.code.clone(), view.count));
    let of_view = |(kind, status, _): &Step| {
        let code = format!("{}-{}", kind.code, status.code);
        view.as_ref().is_none_or(|(wanted, _)| *wanted == code)
    };
    let chosen: Vec<_> = all.into_iter().filter(of_view).collect();
    let at = asked.page.unwrap_or(1).clamp(1, PAGES);
    let from = (at - 1) * ROWS;
    let place = (from, ROWS + 1);
    let mut rows = waiting(
        connection,
        overview,
        (&chosen, space.as_ref()),
        place,
        &page,
    )?;
    let more = rows.len() > ROWS && at < PAGES;
    rows.truncate(ROWS);
    // What nobody waits for is no view.
    views.retain(|view| view.count > 0);
    let mut sites: Vec<_> = authority.sites().values().collect();
    sites.sort_by(|a, b| a.name.cmp(&b.name).then(a.code.cmp(&b.code)));
    Ok(Queue {
        has_due: rows.iter().any(|waits| waits.row.due.is_some()),
        first: from + 1,
        last: from + rows.len(),
        count: view.as_ref().map_or(whole, |(_, count)| *count),
        at,
        more,
        rows,
        whole,
        views,
        view: view.map(|(code, _)| code),
        sites: sites
            .into_iter()
            .map(|site| (site.code.clone(), site.name.clone()))
            .collect(),
        asked,
        page,
    })
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let queue = app
        .read(move |books, connection| {
            let title = session.lang().say("menu-queue", &[]);
            let page = Page::new(connection, books, &session, &line, ("/queue", title))?;
            build(connection, books, asked, page)
        })
        .await?;
    html(&queue)
}
