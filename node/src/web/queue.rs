//! The work of the sub-district: what waits for whom, by the step that comes next, the most pressing first, with steps for several
//! records at once.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, FieldType, Kind, Status, Transition};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::Space;
use rusqlite::Connection;
use serde::Deserialize;

use super::list::{Row, next_for};
use super::page::{Answer, Page, Session, html};
use super::several::{self, Ordered};
use super::{App, shown};
use crate::bulk;
use crate::error::Result;
use crate::journal::Overview;
use crate::records::delivery::Coverage;
use crate::records::duplicates::merging;
use crate::records::waiting::{Order, Waiting};
use crate::records::{self, Listed};
use crate::requests;

/// Rows of a page.
const ROWS: usize = 50;
/// Pages that can be turned to: whoever has more to do filters.
const PAGES: usize = 100;
/// Views of what is due soon, of what is overdue, and of what the hub was asked for.
const SOON: &str = "soon";
const OVER: &str = "over";
const ASKED: &str = "asked";
/// And of what should have gone on before today.
const SLOW: &str = "slow";
/// Days from today on that are soon, and those that are over.
pub(super) const SOON_DUE: (Option<i64>, i64) = (Some(0), 8);
pub(super) const OVER_DUE: (Option<i64>, i64) = (None, 0);

/// What a queue was asked for.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Asked {
    /// Kind and status with a dash between, or one of the views across kinds.
    view: Option<String>,
    /// Code of a site.
    site: Option<String>,
    /// Code of a choice in the field by which the main kind is sorted.
    category: Option<String>,
    /// Only what is more urgent than usual.
    urgent: Option<String>,
    /// `newest`, or the most pressing first.
    order: Option<String>,
    /// What was said of the last order for several: it was taken back, or came too late.
    said: Option<String>,
    /// From 1.
    page: Option<usize>,
}

impl Asked {
    fn address(&self, view: Option<&str>, page: usize) -> String {
        let given = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
        // Codes, which are letters, digits and a few marks: nothing to quote.
        let pairs = [
            ("view", view.map(str::to_owned)),
            ("site", given(&self.site)),
            ("category", given(&self.category)),
            ("urgent", given(&self.urgent)),
            ("order", given(&self.order)),
            ("page", (page > 1).then(|| page.to_string())),
        ];
        let pairs = pairs.into_iter();
        let pairs = pairs.filter_map(|(name, it)| Some(format!("{name}={}", it?)));
        format!("/queue?{}", pairs.collect::<Vec<_>>().join("&"))
    }

    /// Leaves out what is no code of this network or this program: it goes into addresses.
    fn checked(mut self, overview: &Overview, category: Option<&Category>) -> Self {
        let authority = overview.authority();
        self.site = self.site.filter(|it| authority.site_by_code(it).is_some());
        let known = |code: &String| {
            category.is_some_and(|it| it.options.iter().any(|(option, _)| option == code))
        };
        self.category = self.category.filter(known);
        self.urgent = self.urgent.filter(|it| it == "1");
        self.order = self.order.filter(|it| it == "newest");
        self
    }

    fn is_filtered(&self) -> bool {
        self.site.is_some() || self.category.is_some() || self.urgent.is_some()
    }
}

/// The field by which records of the main kind, which people wait for, are told apart.
struct Category {
    key: String,
    label: String,
    options: Vec<(String, String)>,
}

impl Category {
    fn of(page: &Page) -> Option<Self> {
        let mut kinds = Catalogue::current().kinds();
        let kind = kinds.find(|kind| !kind.rungs.is_empty())?;
        let mut fields = kind.indexed();
        let field = fields.find(|it| it.required && matches!(it.kind, FieldType::Enum { .. }))?;
        let FieldType::Enum { options } = &field.kind else {
            return None;
        };
        let option = |it: &lianxin_protocol::catalogue::Choice| {
            (it.code.clone(), page.label(&it.label).to_owned())
        };
        Some(Self {
            key: field.key.clone(),
            label: page.label(&field.label).to_owned(),
            options: options.iter().map(option).collect(),
        })
    }
}

/// A record that waits for a step of whoever looks.
pub(super) struct Waits {
    pub(super) row: Row,
    /// Its kind, and the kind's code.
    pub(super) kind: String,
    code: String,
    pub(super) event: String,
    pub(super) step: String,
    pub(super) since: String,
    /// Why nothing is to be done about it here: it was asked for, or ordered with others.
    pub(super) rests: Option<String>,
    /// That somebody above watches over it 督办, and how often whoever handles it was pressed 催办.
    pub(super) pressed: Vec<String>,
}

/// Records that wait for the same step, or across kinds.
struct View {
    code: String,
    label: String,
    count: u64,
}

/// A step that can be taken on several of the rows at once.
struct Together {
    /// Kind and event.
    code: String,
    label: String,
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
    category: Option<Category>,
    rows: Vec<Waits>,
    together: Vec<Together>,
    ordered: Vec<Ordered>,
    /// Whether whoever looks merges what is the same.
    merges: bool,
    /// What became of taking an order back.
    said: Option<String>,
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

    fn is(&self, asked: &Option<String>, code: &str) -> bool {
        asked.as_deref() == Some(code)
    }
}

/// A kind, a status in which its records wait, and the step that comes next.
pub(super) type Step = (&'static Kind, &'static Status, &'static Transition);

/// The steps of all kinds that whoever looks usually takes.
pub(super) fn steps(page: &Page) -> Vec<Step> {
    let kinds = Catalogue::current().kinds();
    let steps = kinds.flat_map(|kind| {
        let next = next_for(kind, page.actor.roles()).into_iter();
        next.map(move |(status, step)| (kind, status, step))
    });
    steps.collect()
}

/// How many records wait for one of these steps.
pub(super) fn count(connection: &Connection, steps: &[Step], now_ms: u64) -> Result<u64> {
    let mut count = 0;
    for (kind, status, _) in steps {
        count += Waiting::of(kind, status, now_ms).count(connection)?;
    }
    Ok(count)
}

/// Whether a step tells whoever brought the matter.
pub(super) fn tells((kind, _, step): &Step) -> bool {
    let to = step.to.as_deref().and_then(|to| kind.status(to));
    to.is_some_and(|status| status.tells.is_some()) && step.data.iter().any(|it| it.key == "way")
}

/// What waits for these steps, the most pressing first, from a place on.
pub(super) fn waiting(
    connection: &Connection,
    overview: &Overview,
    steps: &[(Step, Waiting)],
    (from, most): (usize, usize),
    page: &Page,
) -> Result<Vec<Waits>> {
    let mut found: Vec<(Listed, &Step)> = Vec::new();
    for (step, waiting) in steps {
        let of = waiting.first(connection, from + most)?;
        found.extend(of.into_iter().map(|row| (row, step)));
    }
    let newest = steps.iter().any(|(_, it)| it.order == Order::Newest);
    if newest {
        found.sort_by_key(|(row, _)| std::cmp::Reverse((row.arrived, row.id)));
    } else {
        found.sort_by_key(|(row, _)| (row.pressing.unwrap_or(i64::MAX), row.arrived, row.id));
    }
    let rests = Rests::read(connection, page)?;
    let found = found.into_iter().skip(from).take(most);
    let coverage = Coverage::of(overview);
    let rows = found.map(|(row, step)| {
        shown_row(
            connection,
            (overview, &coverage),
            (&row, step),
            &rests,
            page,
        )
    });
    rows.collect()
}

fn shown_row(
    connection: &Connection,
    (overview, coverage): (&Overview, &Coverage),
    (row, (kind, _, step)): (&Listed, &Step),
    rests: &Rests,
    page: &Page,
) -> Result<Waits> {
    Ok(Waits {
        kind: page.label(&kind.label).to_owned(),
        code: kind.code.clone(),
        since: shown::age(row.recorded_ms(), page.now_ms, page.lang),
        row: Row::new(connection, overview, coverage, row, page)?,
        event: step.event.clone(),
        step: page.label(&step.label).to_owned(),
        rests: rests.of(&row.id, &step.event),
        pressed: pressed(connection, row, page)?,
    })
}

/// Of what somebody above watches over, that they do; and how often whoever handles it was pressed.
fn pressed(connection: &Connection, row: &Listed, page: &Page) -> Result<Vec<String>> {
    const PRESS: &str = "press";
    /// Nobody watches over one matter so often.
    const MOST: usize = 20;
    let mut said = Vec::new();
    for kind in Catalogue::current().kinds() {
        let Some(key) = &kind.watches else { continue };
        let over = records::referring(connection, row, (&kind.code, key), MOST)?;
        let open = over.iter().any(|it| kind.is_open(&it.status));
        said.extend(open.then(|| page.label(&kind.label).to_owned()));
    }
    let times = records::times_taken(connection, row.key, PRESS)?;
    said.extend((times > 0).then(|| page.n("queue-pressed", &times)));
    Ok(said)
}

/// Steps on which nobody here waits any more.
struct Rests {
    asked: BTreeSet<(RecordId, String)>,
    ordered: BTreeSet<RecordId>,
    words: [String; 2],
}

impl Rests {
    fn read(connection: &Connection, page: &Page) -> Result<Self> {
        Ok(Self {
            asked: requests::open_steps(connection)?,
            ordered: bulk::ordered(connection)?,
            words: [page.t("queue-asked"), page.t("queue-ordered")],
        })
    }

    fn of(&self, record: &RecordId, event: &str) -> Option<String> {
        let [asked, ordered] = &self.words;
        if self.ordered.contains(record) {
            return Some(ordered.clone());
        }
        let is_asked = self.asked.contains(&(*record, event.to_owned()));
        is_asked.then(|| asked.clone())
    }
}

/// The queues that many look at, each with how many it has.
fn views(connection: &Connection, steps: &[(Step, Waiting)], page: &Page) -> Result<Vec<View>> {
    let mut views = Vec::new();
    for ((kind, status, _), waiting) in steps {
        let shown_as = kind.shown_status(&status.code, true);
        let said = shown::status(Some(kind), shown_as, page.lang);
        views.push(View {
            code: format!("{}-{}", kind.code, status.code),
            // What most records are needs no name.
            label: if kind.rungs.is_empty() {
                format!("{} · {said}", page.label(&kind.label))
            } else {
                said
            },
            count: waiting.count(connection)?,
        });
    }
    for (code, days) in [(SOON, SOON_DUE), (OVER, OVER_DUE)] {
        let mut count = 0;
        for (_, waiting) in due_steps(steps, days, page) {
            count += waiting.count(connection)?;
        }
        views.push(View {
            code: code.to_owned(),
            label: page.t(&format!("view-{code}")),
            count,
        });
    }
    let mut slow = 0;
    for (_, waiting) in slow_steps(steps, page) {
        slow += waiting.count(connection)?;
    }
    views.push(View {
        code: SLOW.to_owned(),
        label: page.t("view-slow"),
        count: slow,
    });
    let asked = requests::open_steps(connection)?;
    views.push(View {
        code: ASKED.to_owned(),
        label: page.t("view-asked"),
        count: asked.len() as u64,
    });
    Ok(views)
}

/// The statuses of all kinds in which something is to be done by a date.
fn with_dates() -> impl Iterator<Item = (&'static Kind, &'static Status)> {
    let kinds = Catalogue::current()
        .kinds()
        .filter(|kind| kind.due.is_some() && !Catalogue::current().goes_along(kind));
    kinds.flat_map(|kind| {
        let open = kind.statuses.iter();
        let open = open.filter(|it| it.stands_for.is_none() && !kind.is_done(&it.code, |_| false));
        open.map(move |status| (kind, status))
    })
}

/// How many records are due in these days after today, whoever is to act.
pub(super) fn due(connection: &Connection, days: (Option<i64>, i64), now_ms: u64) -> Result<u64> {
    let mut count = 0;
    for (kind, status) in with_dates() {
        let mut waiting = Waiting::of(kind, status, now_ms);
        waiting.due = Some(days);
        count += waiting.count(connection)?;
    }
    Ok(count)
}

/// How somebody who is asked for a queue waits for it: the steps with what was asked for.
fn chosen(
    overview: &Overview,
    asked: &Asked,
    category: Option<&Category>,
    page: &Page,
) -> Vec<(Step, Waiting)> {
    let authority = overview.authority();
    let site = asked.site.as_deref();
    let site = site.and_then(|code| authority.site_by_code(code));
    let space = site.map(|site| Space::Site(site).id(&overview.identity().network));
    let filter = |(kind, status, step): Step| {
        let mut waiting = Waiting::of(kind, status, page.now_ms);
        waiting.space = space;
        if let (Some(code), Some(category)) = (&asked.category, category) {
            waiting.values.insert(category.key.clone(), code.clone());
        }
        if asked.order.is_some() {
            waiting.order = Order::Newest;
        }
        waiting.urgent = asked.urgent.is_some();
        ((kind, status, step), waiting)
    };
    steps(page).into_iter().map(filter).collect()
}

fn build(connection: &Connection, overview: &Overview, asked: Asked, page: Page) -> Result<Queue> {
    let category = Category::of(&page);
    let mut asked = asked.checked(overview, category.as_ref());
    let all = chosen(overview, &asked, category.as_ref(), &page);
    let mut views = views(connection, &all, &page)?;
    let mut whole = 0;
    for (_, waiting) in &all {
        whole += waiting.count(connection)?;
    }
    let wanted = asked.view.take();
    let view = views
        .iter()
        .find(|view| Some(&view.code) == wanted.as_ref());
    let view = view.map(|view| view.code.clone());
    let shown: Vec<_> = match view.as_deref() {
        Some(code @ (SOON | OVER)) => {
            let days = if code == OVER { OVER_DUE } else { SOON_DUE };
            due_steps(&all, days, &page)
        }
        Some(SLOW) => slow_steps(&all, &page),
        Some(ASKED) => Vec::new(),
        Some(code) => {
            let mut all = all.into_iter();
            let of_view =
                |(kind, status, _): &Step| format!("{}-{}", kind.code, status.code) == code;
            all.by_ref().filter(|(step, _)| of_view(step)).collect()
        }
        None => all,
    };
    // What nobody waits for is no view, but for the one that is looked at.
    views.retain(|it| it.count > 0 || Some(&it.code) == view.as_ref());
    let of_asked = view.as_deref() == Some(ASKED);
    let mut count = 0;
    for (_, waiting) in &shown {
        count += waiting.count(connection)?;
    }
    let mut rows = Vec::new();
    if of_asked {
        rows = asked_rows(connection, overview, &page)?;
        count = rows.len() as u64;
    }
    // Somebody's own work empties the last page.
    let pages = usize::try_from(count)
        .unwrap_or(usize::MAX)
        .div_ceil(ROWS)
        .max(1);
    let at = asked.page.unwrap_or(1).clamp(1, PAGES.min(pages));
    let from = (at - 1) * ROWS;
    if of_asked {
        rows = rows.into_iter().skip(from).take(ROWS + 1).collect();
    } else {
        rows = waiting(connection, overview, &shown, (from, ROWS + 1), &page)?;
    }
    let more = rows.len() > ROWS && at < PAGES;
    rows.truncate(ROWS);
    let together = together(&shown, &rows, &page);
    Ok(Queue {
        has_due: rows.iter().any(|waits| waits.row.due.is_some()),
        first: from + usize::from(!rows.is_empty()),
        last: from + rows.len(),
        count,
        at,
        more,
        together,
        ordered: several::ordered(connection, &page)?,
        merges: merging()
            .is_some_and(|(_, _, step)| page.actor.takes(&step.event, &step.who).is_ok()),
        said: match asked.said.as_deref() {
            Some("back") => Some(page.t("bulk-taken-back")),
            Some("late") => Some(page.t("bulk-too-late")),
            _ => None,
        },
        rows,
        whole,
        views,
        view,
        sites: shown::sites(overview.authority()),
        category,
        asked,
        page,
    })
}

/// The statuses with dates, as somebody waits for what is due in these days, whoever is to act.
fn due_steps(
    all: &[(Step, Waiting)],
    days: (Option<i64>, i64),
    page: &Page,
) -> Vec<(Step, Waiting)> {
    of_whole(with_dates(), all, page, |waiting| waiting.due = Some(days))
}

/// The statuses that are to be left by a date, as somebody waits for what has not left them, whoever is to act.
fn slow_steps(all: &[(Step, Waiting)], page: &Page) -> Vec<(Step, Waiting)> {
    let kinds = Catalogue::current().kinds();
    let whole = kinds.filter(|kind| kind.parent.is_none());
    let bound = whole.flat_map(|kind| {
        let bound = kind.statuses.iter().filter(|status| status.by.is_some());
        bound.map(move |status| (kind, status))
    });
    of_whole(bound, all, page, |waiting| waiting.slow = true)
}

/// These statuses, filtered as the others are.
fn of_whole(
    statuses: impl Iterator<Item = (&'static Kind, &'static Status)>,
    all: &[(Step, Waiting)],
    page: &Page,
    set: impl Fn(&mut Waiting),
) -> Vec<(Step, Waiting)> {
    let pattern = all.first().map(|(_, waiting)| waiting);
    let waits = statuses.filter_map(|(kind, status)| {
        let shown = kind.shown_status(&status.code, true);
        let meets = kind.met_step().filter(|it| it.applies_to(&status.code));
        let next = || kind.transition(kind.status(shown)?.next.as_deref()?);
        let step = meets.or_else(next)?;
        let mut waiting = Waiting::of(kind, status, page.now_ms);
        if let Some(pattern) = pattern {
            waiting.space = pattern.space;
            waiting.values = pattern.values.clone();
            waiting.order = pattern.order;
            waiting.urgent = pattern.urgent;
        }
        set(&mut waiting);
        Some(((kind, status, step), waiting))
    });
    waits.collect()
}

/// What the hub was asked for and has not answered.
fn asked_rows(connection: &Connection, overview: &Overview, page: &Page) -> Result<Vec<Waits>> {
    let coverage = Coverage::of(overview);
    let rests = Rests::read(connection, page)?;
    let mut rows = Vec::new();
    for (record, event) in requests::open_steps(connection)? {
        let Ok(key) = records::find(connection, &record.hyphenated()) else {
            continue;
        };
        let Some(row) = records::rows(connection, &[key])?.pop() else {
            continue;
        };
        let Some(kind) = Catalogue::current().kind(&row.kind) else {
            continue;
        };
        let status = kind.status(&row.status);
        if let (Some(status), Some(step)) = (status, kind.transition(&event)) {
            let of = (&row, &(kind, status, step));
            rows.push(shown_row(
                connection,
                (overview, &coverage),
                of,
                &rests,
                page,
            )?);
        }
    }
    Ok(rows)
}

/// The steps that can be taken on several of these rows, those for most of them first: theirs to take, and not grave. Where several
/// kinds stand together, one that is for a single row is taken there.
fn together(shown: &[(Step, Waiting)], rows: &[Waits], page: &Page) -> Vec<Together> {
    /// More would be no help.
    const MOST: usize = 4;
    let mut together: Vec<(usize, Together)> = Vec::new();
    let fewest = if shown.len() > 1 { 2 } else { 1 };
    for ((kind, _, step), _) in shown {
        let mine = !step.who.is_disjoint(page.actor.roles());
        let code = format!("{}/{}", kind.code, step.event);
        let known = together.iter().any(|(_, it)| it.code == code);
        if !mine || known || step.grave.is_some() {
            continue;
        }
        let here =
            |it: &&Waits| it.code == kind.code && it.event == step.event && it.rests.is_none();
        let count = rows.iter().filter(here).count();
        if count < fewest {
            continue;
        }
        let label = page.label(&step.label).to_owned();
        let same = together.iter().any(|(_, it)| it.label == label);
        let label = if same {
            format!("{} · {label}", page.label(&kind.label))
        } else {
            label
        };
        together.push((count, Together { code, label }));
    }
    together.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    together.truncate(MOST);
    together.into_iter().map(|(_, it)| it).collect()
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
