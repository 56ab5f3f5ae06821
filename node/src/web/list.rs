//! Records in lists: a row wherever one is shown, whose turn it is, and the list with its filters.

use std::collections::BTreeSet;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use lianxin_protocol::authority::Authority;
use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, Kind, Role, Status, Transition};
use lianxin_protocol::log::RecordId;
use lianxin_protocol::space::Space;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::App;
use super::choices::Choices;
use super::export;
use super::fields::{self, Input};
use super::page::{Answer, Page, Session, go, html};
use super::pins;
use super::shown::{self, Shown};
use super::words::Lang;
use crate::actor::Actor;
use crate::clock;
use crate::drafts::Typed;
use crate::error::Result;
use crate::journal::{Books, Overview};
use crate::records::delivery::{self, Coverage, State as Reached};
use crate::records::{self, Filter, Listed};
use crate::search::{Excerpt, Search};

/// Rows of a page.
const ROWS: usize = 50;
/// Longest text that is looked for, in characters.
const TYPED_CHARS: usize = 100;
/// The address of the whole ledger.
pub(super) const LEDGER: &str = "/records";
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
    /// When it was recorded, as short as a column has it, and the whole date.
    pub(super) when: String,
    pub(super) on: String,
    /// Its category, or its kind if it has none.
    pub(super) category: String,
    /// The community that it concerns.
    pub(super) community: String,
    /// What its kind shows of it besides, where it stands among others of its kind.
    pub(super) columns: String,
    /// How urgent it is, if it is more than usual.
    pub(super) urgent: Option<String>,
    /// Whether the usual next step belongs to whoever looks.
    pub(super) mine: bool,
    /// Its site, on pages that show several.
    pub(super) site: String,
    pub(super) conflict: bool,
    /// Another record stands in its place.
    pub(super) again: Option<String>,
    pub(super) due: Option<Due>,
    /// Its title with what was searched for told apart, if that is in it.
    pub(super) marked: Option<Excerpt>,
    /// What was searched for with what stands around it, if it is elsewhere.
    pub(super) excerpt: Option<Excerpt>,
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
        Self::reached(connection, (overview, reached), row, page)
    }

    /// A row of which it is known how far it has come.
    fn reached(
        connection: &Connection,
        (overview, reached): (&Overview, Reached),
        row: &Listed,
        page: &Page,
    ) -> Result<Self> {
        let kind = Catalogue::current().kind(&row.kind);
        let mut shown = Self::plain(reached, row, &page.actor, (page.lang, page.now_ms));
        shown.due = due(row.facts(&page.actor), kind, &row.status, page);
        shown.mine = kind.is_some_and(|kind| {
            let mut next = next_for(kind, page.actor.roles()).into_iter();
            next.any(|(status, _)| status.code == row.status)
        });
        if page.office() {
            shown.site = shown::site(overview.authority(), row, page.lang);
        } else {
            shown.community = records::name_of(connection, &shown.community)?;
        }
        Ok(shown)
    }

    /// The row with what its kind shows in lists.
    pub(super) fn with_columns(
        mut self,
        connection: &Connection,
        row: &Listed,
        lang: Lang,
    ) -> Result<Self> {
        if let Some(kind) = Catalogue::current().kind(&row.kind) {
            self.columns = columns(connection, row, kind, lang)?;
        }
        Ok(self)
    }

    /// The row with its kind named.
    pub(super) fn with_kind(mut self, row: &Listed, lang: Lang) -> Self {
        let kind = Catalogue::current().kind(&row.kind);
        self.kind = kind.map_or_else(String::new, |kind| lang.label(&kind.label).to_owned());
        self
    }

    /// A row without what depends on who looks.
    pub(super) fn plain(
        reached: Reached,
        row: &Listed,
        actor: &Actor,
        (lang, now_ms): (Lang, u64),
    ) -> Self {
        let kind = Catalogue::current().kind(&row.kind);
        let (state, status) = delivery::shown(reached, &row.kind, &row.status);
        let place = row
            .facts(actor)
            .get("place")
            .and_then(|place| place.get("community"));
        let place = place.and_then(Value::as_str);
        Self {
            id: row.id.hyphenated(),
            number: row.number.clone().unwrap_or_default(),
            title: shown::title(kind, row.title(actor), lang),
            kind: String::new(),
            status: shown::status(kind, &status, lang),
            state: Shown::of(state, lang),
            at: shown::at(row.recorded_ms(), now_ms, lang),
            when: shown::when(row.recorded_ms(), now_ms, lang),
            on: shown::day(row.recorded_ms(), lang),
            category: category(row, kind, lang),
            community: place.unwrap_or_default().to_owned(),
            columns: String::new(),
            urgent: urgent(row, kind, lang),
            mine: false,
            site: String::new(),
            conflict: row.conflicts > 0,
            again: row.again.map(|_| lang.say("row-again", &[])),
            due: None,
            marked: None,
            excerpt: None,
        }
    }

    /// The row with what was searched for, where that is in something that is shown.
    fn with_found(
        mut self,
        connection: &Connection,
        books: &mut Books,
        (row, search): (&Listed, &Search),
        actor: &Actor,
    ) -> Result<Self> {
        if row.title(actor).text().is_some() {
            self.marked = search.marked(&self.title);
        }
        if self.marked.is_none() {
            self.excerpt = records::excerpt(connection, books, row, (actor, search))?;
        }
        Ok(self)
    }
}

/// A fact of a row in words, if its kind has such a field.
fn fact(row: &Listed, kind: Option<&Kind>, key: &str, lang: Lang) -> Option<String> {
    let field = kind?.field(key)?;
    Some(shown::value(Some(field), row.fact(key)?, lang))
}

fn category(row: &Listed, kind: Option<&Kind>, lang: Lang) -> String {
    fact(row, kind, "category", lang)
        .or_else(|| kind.map(|kind| lang.label(&kind.label).to_owned()))
        .unwrap_or_default()
}

/// All kinds by the groups of menus; those whose records belong to others last.
fn grouped(lang: Lang) -> Vec<(String, Vec<(String, String)>)> {
    let catalogue = Catalogue::current();
    let named = |kind: &Kind| (kind.code.clone(), lang.label(&kind.label).to_owned());
    let groups = catalogue.groups().iter().map(|group| {
        let kinds = catalogue.grouped(&group.code).map(named);
        (lang.label(&group.label).to_owned(), kinds.collect())
    });
    let belonging = catalogue.kinds().filter(|kind| kind.group.is_none());
    let belonging = (
        lang.say("list-belonging", &[]),
        belonging.map(named).collect(),
    );
    groups.chain([belonging]).collect()
}

/// What its kind shows of a record in lists, in words.
fn columns(connection: &Connection, row: &Listed, kind: &Kind, lang: Lang) -> Result<String> {
    let mut shown = Vec::new();
    for key in &kind.columns {
        let value = match key.split_once('.') {
            Some((group, name)) => row.fact(group).and_then(|it| it.get(name)),
            None => row.fact(key),
        };
        let field = kind.field(key);
        let Some((field, value)) = field.zip(value) else {
            continue;
        };
        let said = match value {
            Value::String(text) if !field.names().is_empty() => records::name_of(connection, text)?,
            Value::Array(items) if !field.names().is_empty() => {
                let items = items.iter().filter_map(Value::as_str);
                let names: Result<Vec<_>> =
                    items.map(|it| records::name_of(connection, it)).collect();
                names?.join("、")
            }
            // A yes or no says of what.
            Value::Bool(_) | Value::Number(_) => {
                let said = shown::value(Some(field), value, lang);
                format!("{} {said}", lang.label(&field.label))
            }
            other => shown::value(Some(field), other, lang),
        };
        shown.push(said);
    }
    Ok(shown.join(" · "))
}

fn urgent(row: &Listed, kind: Option<&Kind>, lang: Lang) -> Option<String> {
    if row.is_usual(kind?) {
        return None;
    }
    fact(row, kind, kind?.urgency.as_ref()?, lang)
}

/// When an answer is due, as long as there is none.
pub(super) fn due(
    facts: &Map<String, Value>,
    kind: Option<&Kind>,
    status: &str,
    page: &Page,
) -> Option<Due> {
    let kind = kind?;
    let date = |key: &Option<String>| facts.get(key.as_ref()?);
    // A site has a date of its own, before the sub-district's.
    let own = date(&kind.site_due).filter(|_| !page.office());
    let date = own.or_else(|| date(&kind.due))?.as_str()?;
    let days = clock::Beijing::of(page.now_ms).days_until(date)?;
    let (id, count) = match days {
        _ if kind.is_done(status, |key| facts.contains_key(key)) => return None,
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
pub(super) struct Asked {
    pub(super) kind: Option<String>,
    status: Option<String>,
    state: Option<String>,
    /// Code of a site.
    site: Option<String>,
    /// The first and the last day on which it was recorded, as `2026-03-14`.
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    q: Option<String>,
    /// What the person is called whose all is: no form of a list has it, since whoever asks for that says why.
    person: Option<String>,
    /// What fields are to hold, as it was typed: `by.` and the field's key in a form.
    by: Typed,
}

impl Asked {
    /// Reads the names that a form of the list has; other names, and what is left empty, ask for nothing.
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
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
                ("site", _) => asked.site = Some(text),
                ("from", _) => asked.from = Some(text).filter(|it| clock::day_begins(it).is_some()),
                ("to", _) => asked.to = Some(text).filter(|it| clock::day_begins(it).is_some()),
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

    /// Whether it asks for all of a kind.
    pub(super) fn is_of_all(&self, kind: &Kind) -> bool {
        let of_kind = self.kind.as_deref() == Some(kind.code.as_str());
        let rest = [&self.status, &self.state, &self.site, &self.from, &self.to];
        of_kind && self.by.is_empty() && rest.iter().all(|it| it.is_none())
    }

    /// The days in Unix milliseconds, as long as one is named.
    fn recorded_ms(&self) -> Option<(u64, u64)> {
        let day = |it: &Option<String>| it.as_deref().and_then(clock::day_begins);
        let (from, to) = (day(&self.from), day(&self.to));
        let until = to.map(|to| clock::beijing_day(to).1);
        let named = from.is_some() || until.is_some();
        named.then(|| (from.unwrap_or_default(), until.unwrap_or(u64::MAX >> 16)))
    }

    /// The same of what a person has brought.
    pub(super) fn of_person(self, name: String) -> Self {
        Self {
            person: Some(name),
            ..self
        }
    }

    /// The same from its first page on, and without words that were searched for.
    pub(super) fn whole(self) -> Self {
        Self {
            q: None,
            person: None,
            after: None,
            ..self
        }
    }

    /// The address of this list: only what is chosen from a list or is a day stands in it. Nothing if something else is asked for.
    pub(super) fn address(&self) -> Option<String> {
        let chosen = |key: &String| {
            let mut fields = self.fields();
            let field = fields.find(|field| field.key == *key)?;
            let closed = matches!(
                field.kind,
                FieldType::Enum { .. } | FieldType::Date | FieldType::Month
            );
            closed.then_some(())
        };
        let whole = self.by.keys().all(|key| chosen(key).is_some());
        if self.q.is_some() || self.person.is_some() || !whole {
            return None;
        }
        let named = [
            ("kind", &self.kind),
            ("status", &self.status),
            ("state", &self.state),
            ("site", &self.site),
            ("from", &self.from),
            ("to", &self.to),
            ("after", &self.after),
        ];
        let named = named.into_iter();
        let named = named.filter_map(|(name, it)| Some((name.to_owned(), it.as_ref()?)));
        let by = self.by.iter();
        let by = by.flat_map(|(key, all)| all.iter().map(move |it| (format!("{BY}{key}"), it)));
        let pairs: Vec<_> = named
            .chain(by)
            .map(|(name, text)| format!("{name}={}", encoded(text)))
            .collect();
        if pairs.is_empty() {
            return Some(LEDGER.to_owned());
        }
        Some(format!("{LEDGER}?{}", pairs.join("&")))
    }

    /// The fields of the kind by which the list can be filtered.
    pub(super) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        let kind = self.kind.as_deref();
        let kind = kind.and_then(|code| Catalogue::current().kind(code));
        kind.into_iter().flat_map(Kind::indexed)
    }
}

/// A text as it stands in an address (RFC 3986, section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A list that many ask for.
struct View {
    label: String,
    href: String,
    here: bool,
    count: Option<u64>,
}

#[derive(Template)]
#[template(path = "list.html")]
struct List {
    /// Where it is chosen how it is exported.
    export: Option<String>,
    /// Its own address, where it can be kept on the first page, and whether it is.
    address: Option<String>,
    pinned: bool,
    page: Page,
    asked: Asked,
    views: Vec<View>,
    /// How many there are, where somebody has counted.
    total: Option<u64>,
    /// What was asked for, in words, and when it is printed.
    said: String,
    printed: String,
    /// The address of the next page, if it may have one; else the id under which what was asked for is kept, if it is.
    next_page: Option<String>,
    kept: Option<String>,
    rows: Vec<Row>,
    /// Kinds by groups; those whose records belong to others last.
    kinds: Vec<(String, Vec<(String, String)>)>,
    statuses: Vec<(String, String)>,
    states: Vec<(&'static str, String)>,
    /// Where there are several.
    sites: Vec<(String, String)>,
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

    /// The same list from its beginning.
    fn first_page(&self) -> String {
        let asked = Asked {
            after: None,
            ..self.asked.clone()
        };
        asked.address().unwrap_or_else(|| LEDGER.to_owned())
    }

    fn filtered(&self) -> bool {
        let asked = [
            &self.asked.kind,
            &self.asked.status,
            &self.asked.state,
            &self.asked.site,
            &self.asked.q,
            &self.asked.person,
            &self.asked.from,
            &self.asked.to,
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
    listed(&app, session, asked, None).await
}

/// The list, with a text to search for.
pub(super) async fn search(
    State(app): State<App>,
    session: Session,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let kept = pairs.iter().find(|(name, _)| name == "kept");
    let was_kept = kept.is_some();
    let kept = kept.and_then(|(_, id)| app.kept.get::<Asked>(&session, id));
    let asked = Asked::of(pairs);
    let asked = match kept {
        Some(kept) => Asked {
            after: asked.after,
            ..Asked::clone(&kept)
        },
        // Of what is kept no longer and stands in no form, that of a person, there is no next page.
        None if was_kept && asked.address().is_some() => return Ok(go(LEDGER)),
        None => asked,
    };
    let address = match asked.address() {
        Some(address) => address,
        None => format!("/search/{}", app.kept.put(&session, None, asked)?),
    };
    Ok(go(&address))
}

/// The list that a text was searched for with, as long as that is kept.
pub(super) async fn found(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    match app.kept.get::<Asked>(&session, &id) {
        Some(asked) => listed(&app, session, Asked::clone(&asked), Some(id)).await,
        None => Ok(go(LEDGER)),
    }
}

async fn listed(app: &App, session: Session, asked: Asked, kept: Option<String>) -> Answer {
    let line = (app.doors.line)();
    let list = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("menu-list", &[]);
            let page = Page::new(connection, books, &session, &line, ("/records", title))?;
            let coverage = Coverage::of(books);
            let named = Choices::of(connection, books, asked.fields())?;
            let (rows, next) = rows(connection, books, &coverage, (&asked, &named), &page)?;
            // The sub-district chooses among all sites already.
            let office = page.office();
            let fields = asked
                .fields()
                .filter(|it| !office || it.names() != ["site"]);
            let by = fields.map(|field| by(field, &named, &asked, lang));
            let mut kinds = Catalogue::current().kinds();
            // The first kind is what most records are.
            let kind = match &asked.kind {
                Some(code) => Catalogue::current().kind(code),
                None => kinds.next(),
            };
            let states = Reached::ALL.map(Reached::word);
            let views = views(connection, books, &asked, &page)?;
            let next_page = next.as_ref().and_then(|next| {
                let after = Some(next.clone());
                let asked = Asked {
                    after,
                    ..asked.clone()
                };
                asked.address()
            });
            let total = views.iter().find(|view| view.here);
            let statuses: Vec<_> = kind
                .into_iter()
                .flat_map(|kind| &kind.statuses)
                .map(|status| (status.code.clone(), lang.label(&status.label).to_owned()))
                .collect();
            let sites = if page.office() {
                shown::sites(books.authority())
            } else {
                Vec::new()
            };
            let whole = Asked {
                after: None,
                ..asked.clone()
            };
            let address = whole.address();
            Ok(List {
                pinned: address
                    .as_ref()
                    .is_some_and(|it| pins::is_kept(&session, it)),
                export: address
                    .as_ref()
                    .map(|it| it.replacen(LEDGER, export::PAGE, 1)),
                address: address.filter(|it| it != LEDGER),
                total: total.and_then(|view| view.count),
                said: said(&asked, [&statuses, &sites], lang),
                printed: shown::moment(page.now_ms, lang),
                views,
                next_page,
                kept,
                by: by.collect(),
                held: records::held_count(connection)?,
                newest: rows.first().map(|row| row.id.clone()).unwrap_or_default(),
                rows,
                next,
                kinds: grouped(lang),
                sites,
                statuses,
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

/// The lists that many ask for, each with how many records it has where somebody has counted.
fn views(
    connection: &Connection,
    overview: &Overview,
    asked: &Asked,
    page: &Page,
) -> Result<Vec<View>> {
    let here = Asked {
        after: None,
        ..asked.clone()
    };
    let here = here.address();
    let view = |label: &str, asked: Asked, count| {
        let href = asked.address().unwrap_or_default();
        View {
            label: page.t(label),
            here: here.as_ref() == Some(&href),
            href,
            count,
        }
    };
    let mut whole = 0;
    for kind in Catalogue::current().kinds() {
        if kind.parent.is_none() && !kind.create.by_program {
            let tally = records::tally(connection, &kind.code)?;
            whole += tally.into_iter().map(|(.., count)| count).sum::<u64>();
        }
    }
    let today = clock::Beijing::of(page.now_ms).iso_date();
    let bulletin = Space::Bulletin.id(&overview.identity().network);
    let of_today = if page.office() {
        None
    } else {
        let day = clock::beijing_day(page.now_ms);
        let (count, _) = records::recorded(connection, day, &bulletin)?;
        Some(count).filter(|count| *count < records::COUNTED)
    };
    let mut views = vec![
        view("view-all", Asked::default(), Some(whole)),
        view(
            "view-today",
            Asked {
                from: Some(today.clone()),
                to: Some(today),
                ..Asked::default()
            },
            of_today,
        ),
    ];
    if let Some(kind) = Catalogue::current().front() {
        let pending = kind.statuses.iter().find(|it| it.stands_for.is_some());
        for (status, label) in [(pending, "view-pending"), (kind.to_tell(), "view-answered")] {
            let Some(status) = status else { continue };
            let stored = status.stands_for.as_ref().unwrap_or(&status.code);
            let count = records::count(connection, (&kind.code, stored), None)?;
            let of = Asked {
                kind: Some(kind.code.clone()),
                status: Some(status.code.clone()),
                ..Asked::default()
            };
            // At a station what is registered may not have come to the hub yet.
            let count = (page.office() || *stored == status.code).then_some(count);
            views.push(view(label, of, count));
        }
    }
    if !page.office() {
        let saved = Asked {
            state: Some(Reached::Saved.word().to_owned()),
            ..Asked::default()
        };
        views.push(view("view-saved", saved, None));
    }
    Ok(views)
}

/// What a list is asked for, in words.
pub(super) fn said_of(asked: &Asked, authority: &Authority, lang: Lang) -> String {
    let kind = asked.kind.as_deref();
    let kind = kind.and_then(|code| Catalogue::current().kind(code));
    let statuses = kind.into_iter().flat_map(|kind| &kind.statuses);
    let statuses = statuses.map(|it| (it.code.clone(), lang.label(&it.label).to_owned()));
    let statuses: Vec<_> = statuses.collect();
    said(asked, [&statuses, &shown::sites(authority)], lang)
}

/// What a list was asked for, for its head on paper: only what somebody has asked for.
fn said(asked: &Asked, [statuses, sites]: [&[(String, String)]; 2], lang: Lang) -> String {
    let mut said = Vec::new();
    if asked.from.is_some() || asked.to.is_some() {
        let day =
            |it: &Option<String>, open: &str| it.clone().unwrap_or_else(|| lang.say(open, &[]));
        let with = [
            ("from", day(&asked.from, "ledger-since-ever").into()),
            ("to", day(&asked.to, "ledger-until-now").into()),
        ];
        said.push(lang.say("ledger-said-days", &with));
    }
    let status = asked.status.as_ref();
    let status = statuses.iter().find(|(code, _)| Some(code) == status);
    let status =
        status.map(|(_, label)| lang.say("ledger-said-status", &[("text", label.as_str().into())]));
    said.extend(status);
    let kind = asked.kind.as_deref();
    let kind = kind.and_then(|code| Catalogue::current().kind(code));
    said.extend(kind.map(|kind| lang.label(&kind.label).to_owned()));
    let site = sites
        .iter()
        .find(|(code, _)| asked.site.as_ref() == Some(code));
    said.extend(site.map(|(_, name)| name.clone()));
    let state = asked.state.as_ref();
    said.extend(state.map(|it| lang.say(&format!("state-{it}"), &[])));
    for (key, values) in &asked.by {
        let field = kind.and_then(|kind| kind.field(key));
        let values = values
            .iter()
            .map(|it| shown::value(field, &Value::from(it.as_str()), lang));
        let label = field.map_or(key.as_str(), |field| lang.label(&field.label));
        said.push(format!(
            "{}{}",
            lang.colon(label),
            values.collect::<Vec<_>>().join("、")
        ));
    }
    let person = asked.person.as_ref();
    said.extend(person.map(|it| lang.say("ledger-said-person", &[("text", it.as_str().into())])));
    let search = asked.q.as_ref();
    said.extend(search.map(|it| lang.say("ledger-said-search", &[("text", it.as_str().into())])));
    if said.is_empty() {
        said.push(lang.say("ledger-said-all", &[]));
    }
    said.join("\u{3000}")
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

/// What a list is asked for, as the rows are: up to so many.
pub(super) fn filter_of(
    overview: &Overview,
    (asked, named): (&Asked, &Choices),
    page: &Page,
    limit: usize,
) -> (Filter, Option<Reached>) {
    let values = named.ids(asked.fields(), &asked.by).into_iter();
    let values = values.filter_map(|(key, values)| Some((key, values.into_iter().next()?)));
    let site = asked.site.as_deref();
    let site = site.and_then(|code| overview.authority().site_by_code(code));
    let sought = asked.person.as_ref().or(asked.q.as_ref());
    let filter = Filter {
        values: values.collect(),
        space: site.map(|site| Space::Site(site).id(&overview.identity().network)),
        kind: asked.kind.clone(),
        status: asked.status.clone(),
        search: sought.map(|typed| (typed.clone(), page.actor.clone())),
        of_person: asked.person.is_some(),
        whole: asked.kind.is_none() && sought.is_none(),
        present: asked.status.is_none(),
        recorded_ms: asked.recorded_ms(),
        limit,
        after: asked.after.as_deref().and_then(RecordId::parse),
        ..Filter::default()
    };
    let mut states = Reached::ALL.into_iter();
    let state = states.find(|state| asked.state.as_deref() == Some(state.word()));
    (filter, state)
}

/// A page of rows, and where the list goes on.
fn rows(
    connection: &Connection,
    books: &mut Books,
    coverage: &Coverage,
    (asked, named): (&Asked, &Choices),
    page: &Page,
) -> Result<(Vec<Row>, Option<String>)> {
    let (filter, state) = filter_of(books, (asked, named), page, ROWS);
    let (found, next) = delivery::list(connection, coverage, filter, state)?;
    let search = asked.q.as_deref().and_then(Search::of);
    let found = found.iter().map(|it| {
        let shown = Row::reached(connection, (books, it.reached), &it.row, page)?;
        let shown = match &asked.kind {
            Some(_) => shown,
            None => shown.with_kind(&it.row, page.lang),
        };
        match &search {
            Some(search) => shown.with_found(connection, books, (&it.row, search), &page.actor),
            None => Ok(shown),
        }
    });
    let found = found.collect::<Result<_>>()?;
    Ok((found, next.map(|next| next.hyphenated())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::permitted;

    #[test]
    fn the_usual_next_step_is_offered_to_whom_it_belongs() {
        let kind = Catalogue::current().kind("opinion").unwrap();
        let steps = |roles: &BTreeSet<Role>| -> Vec<String> {
            let next = next_for(kind, roles);
            next.iter()
                .map(|(status, step)| format!("{}>{}", status.code, step.event))
                .collect()
        };
        use lianxin_protocol::authority::Role as DeviceRole;
        assert_eq!(
            steps(&permitted(Some(DeviceRole::Station))),
            ["not_accepted>tell", "answered>inform"]
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
