//! 查重: matters that are likely one, brought twice, for whoever may merge them. What is found is a question: each group says why, and
//! whoever looks chooses what goes into which. A merge is ordered like any other step for several, with a preview and a while to take it
//! back; two that were said to be different matters are not found together again on this computer.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Follows, Kind, Transition};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde::Deserialize;

use super::list::Row;
use super::page::{Answer, Page, Session, go, html};
use super::several::{self, Ordered};
use super::{App, shown};
use crate::drafts;
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::records::delivery::Coverage;
use crate::records::duplicates::{self, Found, merging};
use crate::records::likeness::{DAYS_MAX, Place, Reasons};
use crate::records::merged::{self, Way};
use crate::records::{self, Filter, Listed};

/// Groups on a page.
const GROUPS: usize = 30;

/// A group of matters that are likely one.
struct Group {
    /// The one that goes on: the oldest, or the one that was chosen.
    main: Row,
    heads: String,
    others: Vec<Other>,
    /// Of the order, so that pressed twice it is one.
    draft: String,
}

/// One that is likely the same.
struct Other {
    row: Row,
    why: String,
    /// It can be merged as it stands.
    mergeable: bool,
}

/// One that was merged and will have no answer.
struct Stranded {
    row: Row,
    why: String,
    /// Where it is put right.
    mend: String,
}

#[derive(Template)]
#[template(path = "duplicates.html")]
struct Duplicates {
    page: Page,
    /// Kind and event of the step that merges.
    step: String,
    /// Merges that can still be taken back, and those that were not possible.
    ordered: Vec<Ordered>,
    /// What was merged into a matter that will have no answer for it any more.
    stranded: Vec<Stranded>,
    /// Where the older ones are looked at.
    older: Option<String>,
    groups: Vec<Group>,
    more: bool,
    days: String,
}

/// What the page was asked for.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Asked {
    /// Ids of those that are to go on in their groups, instead of the oldest.
    main: Option<String>,
    /// From which on what was merged is looked at.
    from: Option<String>,
}

/// The page.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let title = session.lang().say("duplicates", &[]);
            let page = Page::new(connection, books, &session, &line, ("/duplicates", title))?;
            let nothing = || Error::new(Code::NoPage, "nothing is merged here");
            let (kind, follows, step) = merging().ok_or_else(nothing)?;
            page.actor.takes(&step.event, &step.who)?;
            let chosen = asked.main.as_deref().and_then(RecordId::parse);
            let who = (&page.actor, page.now_ms);
            let found = duplicates::found(connection, books, (kind, follows, step), chosen, who)?;
            let from = asked.from.as_deref().and_then(RecordId::parse);
            let of = (kind, follows, step);
            let (stranded, older) = stranded(connection, books, of, from, &page)?;
            let mut groups = Vec::new();
            for cluster in found.iter().take(GROUPS) {
                groups.push(group(
                    connection,
                    books,
                    (kind, follows, step),
                    cluster,
                    &page,
                )?);
            }
            Ok(Duplicates {
                step: format!("{}/{}", kind.code, step.event),
                ordered: several::ordered(connection, &page)?,
                stranded,
                older,
                more: found.len() > groups.len(),
                days: DAYS_MAX.to_string(),
                groups,
                page,
            })
        })
        .await?;
    html(&page)
}

/// What was merged and will have no answer: the matter that it goes the way of has ended without one at a site, or two were merged
/// into each other on two computers. Looked at are the newest from one on; where there are more, the second is where they go on.
fn stranded(
    connection: &Connection,
    books: &mut Books,
    (kind, follows, step): (&Kind, &Follows, &Transition),
    from: Option<RecordId>,
    page: &Page,
) -> Result<(Vec<Stranded>, Option<String>)> {
    /// Merged matters that are looked at for one page.
    const MERGED: usize = 500;
    let filter = Filter {
        kind: Some(kind.code.clone()),
        status: step.to.clone(),
        held: Some(false),
        stands: true,
        limit: MERGED,
        after: from,
        ..Filter::default()
    };
    // The step that takes one out of the place of another.
    let steps = kind.transitions.iter();
    let mut mends = steps.filter(|it| !it.beside && it.clears.contains(&follows.field));
    let mends = mends.find(|it| step.to.as_ref().is_some_and(|to| it.applies_to(to)));
    let mends = mends.map_or("", |it| it.event.as_str());
    let coverage = Coverage::of(books);
    let merged = records::list(connection, &filter)?;
    let older = merged.last().filter(|_| merged.len() == MERGED);
    let older = older.map(|row| row.id.hyphenated());
    let mut rows = Vec::new();
    for row in &merged {
        let why = match merged::way(connection, row, (kind, follows))? {
            Way::Main(main) if follows.into.contains(&main.status) => continue,
            Way::Main(main) => {
                let with = [
                    ("number", main.number.clone().unwrap_or_default().into()),
                    (
                        "status",
                        shown::status(Some(kind), &main.status, page.lang).into(),
                    ),
                ];
                page.lang.say("stranded-ended", &with)
            }
            // They are one matter: one of them is separated, and the others go its way.
            Way::Circle(main) if main.id != row.id => continue,
            Way::Circle(_) => page.t("stranded-circle"),
            Way::Elsewhere => page.t("follows-elsewhere"),
        };
        rows.push(Stranded {
            row: Row::new(connection, books, &coverage, row, page)?,
            why,
            mend: format!("/records/{}?step={mends}#next", row.id.hyphenated()),
        });
    }
    Ok((rows, older))
}

/// A group as it is shown.
fn group(
    connection: &Connection,
    books: &mut Books,
    (kind, follows, step): (&Kind, &Follows, &Transition),
    found: &Found,
    page: &Page,
) -> Result<Group> {
    let coverage = Coverage::of(books);
    let row = |row: &Listed| -> Result<Row> {
        let shown = Row::new(connection, books, &coverage, row, page)?;
        shown.with_columns(connection, row, page.lang)
    };
    let others = found.others.iter().map(|(other, reasons)| {
        Ok(Other {
            row: row(other)?,
            why: why(reasons, page),
            mergeable: step.applies_to(&other.status),
        })
    });
    let others = others.collect::<Result<Vec<_>>>()?;
    let rows = found.others.iter().map(|(row, _)| row).chain([&found.main]);
    let heads: u64 = rows.map(|row| row.heads(follows)).sum();
    let with = [
        ("count", (others.len() + 1).into()),
        ("heads", heads.into()),
        ("kind", page.label(&kind.label).into()),
    ];
    Ok(Group {
        main: row(&found.main)?,
        heads: page.lang.say("duplicates-group", &with),
        others,
        draft: drafts::new_id()?,
    })
}

/// Why one is likely the same as the oldest of its group.
fn why(reasons: &Reasons, page: &Page) -> String {
    let words = page.with("duplicates-words", &reasons.words.to_string());
    let place = match reasons.place {
        Place::Same => Some(page.t("duplicates-place-same")),
        Place::Near => Some(page.t("duplicates-place-near")),
        Place::Unknown => None,
    };
    let phone = reasons.phone.then(|| page.t("duplicates-phone"));
    let days = match reasons.days {
        0 => page.t("duplicates-same-day"),
        days => page.n("duplicates-days", &u64::from(days)),
    };
    let said: Vec<_> = [Some(words), place, phone, Some(days)]
        .into_iter()
        .flatten()
        .collect();
    said.join(" · ")
}

/// Two that are not the same matter.
#[derive(Deserialize)]
pub(super) struct Apart {
    one: String,
    other: String,
}

/// Notes that two are not the same matter.
pub(super) async fn apart(
    State(app): State<App>,
    session: Session,
    Form(Apart { one, other }): Form<Apart>,
) -> Answer {
    app.write(move |journal, connection| {
        let nothing = || Error::new(Code::BadInput, "these are no two records");
        let (_, _, step) = merging().ok_or_else(nothing)?;
        session
            .actor(connection, journal)?
            .takes(&step.event, &step.who)?;
        let ids = RecordId::parse(&one).zip(RecordId::parse(&other));
        let (one, other) = ids
            .filter(|(one, other)| one != other)
            .ok_or_else(nothing)?;
        for id in [&one, &other] {
            records::find(connection, &id.hyphenated())?;
        }
        duplicates::set_apart(connection, &one, &other)
    })
    .await?;
    Ok(go("/duplicates"))
}
