//! One step for several records of the queue: what it would do is shown first, then it is ordered, and it can be taken back until it
//! is carried out ([`crate::bulk`]).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Catalogue, Kind, Refusal, Transition};
use lianxin_protocol::log::RecordId;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::choices::Choices;
use super::fields::{self, Input};
use super::offers::{HUB_NO, SURE, begins, doubted, explained, is_over, phrases};
use super::page::{Answer, Page, Session, go, html, sentence};
use super::sheet::{About, Sheet, Under};
use super::words::Lang;
use super::{App, Line, shown};
use crate::bulk::{self, Bulk};
use crate::clock;
use crate::drafts;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::records::save::Author;
use crate::records::sight::Title;
use crate::records::{self, save};

/// A step for several that is not carried out yet, or was not possible for all.
pub(super) struct Ordered {
    pub(super) id: String,
    pub(super) said: String,
    /// Seconds until it is carried out.
    pub(super) seconds: Option<u64>,
    /// Titles with what was said of each, and their addresses.
    pub(super) refused: Vec<(String, String, String)>,
}

/// Names in the form: the step, a record, and that it is meant. The draft's id is the order's.
const STEP: &str = "step";
const RECORD: &str = "id";
/// And the page of the queue on which they were picked.
const BACK: &str = "back";

/// A record that was picked.
struct Picked {
    id: String,
    title: String,
    /// Why it is left out.
    out: Option<String>,
}

#[derive(Template)]
#[template(path = "bulk.html")]
struct Preview {
    page: Page,
    /// Kind and event.
    step: String,
    label: String,
    back: String,
    under: Under,
    picked: Vec<Picked>,
    /// The numbers that they will get.
    numbers: String,
    inputs: Vec<Input>,
    faults: Vec<fields::Fault>,
    /// What is often written there.
    phrases: Vec<String>,
    said: Option<String>,
}

impl Preview {
    fn count(&self) -> u64 {
        self.picked.iter().filter(|it| it.out.is_none()).count() as u64
    }

    fn out(&self) -> impl Iterator<Item = &Picked> {
        self.picked.iter().filter(|it| it.out.is_some())
    }

    fn within(&self) -> impl Iterator<Item = &Picked> {
        self.picked.iter().filter(|it| it.out.is_none())
    }
}

/// What was sent.
struct Sent {
    kind: &'static Kind,
    step: &'static Transition,
    records: Vec<RecordId>,
    sure: bool,
    /// The page of the queue that it comes from.
    back: String,
    sheet: Sheet,
}

/// An address of the queue as its page makes them, or of the page of duplicates; else the queue.
fn queue_at(back: Option<String>) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'=' | b'&');
    let is_queue = |it: &String| {
        let asked = it.strip_prefix("/queue?");
        it == "/duplicates" || it.len() < 200 && asked.is_some_and(|asked| asked.bytes().all(plain))
    };
    back.filter(is_queue).unwrap_or_else(|| "/queue".to_owned())
}

impl Sent {
    fn of(pairs: Vec<(String, String)>) -> Result<Self> {
        let take = |name: &str| {
            let mut found = pairs.iter().filter(|(it, _)| it == name);
            found.next().map(|(_, value)| value.clone())
        };
        let unknown = || Error::new(Code::StepRefused, "there is no such step");
        let code = take(STEP).unwrap_or_default();
        let (kind, event) = code.split_once('/').ok_or_else(unknown)?;
        let kind = Catalogue::current().kind(kind).ok_or_else(unknown)?;
        let step = kind.transition(event).ok_or_else(unknown)?;
        if step.beside || step.grave.is_some() {
            return Err(unknown());
        }
        let ids = pairs.iter().filter(|(name, _)| name == RECORD);
        let ids: BTreeSet<RecordId> = ids.filter_map(|(_, id)| RecordId::parse(id)).collect();
        let sure = take(SURE).is_some();
        let back = queue_at(take(BACK));
        let own = [STEP, RECORD, SURE, BACK];
        let typed = pairs
            .into_iter()
            .filter(|(name, _)| !own.contains(&name.as_str()));
        Ok(Self {
            kind,
            step,
            records: ids.into_iter().take(bulk::RECORDS_MAX).collect(),
            sure,
            back,
            sheet: Sheet::of(typed.collect())?,
        })
    }

    fn about(&self) -> About {
        About::Several(self.kind.code.clone(), self.step.event.clone())
    }
}

/// What became of an order.
enum Given {
    Ordered(String),
    Shown(StatusCode, Box<Preview>),
}

/// Shows what a step for several would do, and orders it once whoever looks is sure.
pub(super) async fn several(
    State(app): State<App>,
    session: Session,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let bulks = Arc::clone(&app.bulks);
    let given = app
        .write(move |journal, connection| {
            give(
                connection,
                journal,
                (&session, &line),
                Sent::of(pairs.clone())?,
            )
        })
        .await?;
    match given {
        Given::Ordered(back) => {
            bulks.notify_one();
            Ok(go(&back))
        }
        Given::Shown(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

fn give(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    sent: Sent,
) -> Result<Given> {
    let lang = session.lang();
    let author = session.author(connection, journal)?;
    // Pressed twice, it is ordered once.
    let order = (sent.sheet.id.as_str(), sent.step.event.as_str());
    let account = author.actor.account();
    if sent.sure && bulk::is_ordered(connection, account, order, &sent.records)? {
        return Ok(Given::Ordered(sent.back));
    }
    let named = Choices::of(connection, journal, sent.step.data.iter())?;
    let data = || sent.step.typed().filter(|field| field.key != HUB_NO);
    let input = fields::to_json(data(), &named.ids(data(), &sent.sheet.typed));
    let read = save::read_step(sent.kind, &sent.step.event, &input);
    let refusals = if sent.sure {
        let over = is_over((sent.kind, sent.step), &sent.sheet.typed, author.now_ms);
        read.err().unwrap_or_else(|| over.into_iter().collect())
    } else {
        Vec::new()
    };
    // What is missing still says nothing of a record.
    let judged = if refusals.is_empty() && sent.sure {
        Some(&input)
    } else {
        None
    };
    let picked = picked(connection, journal, &sent, judged, (&author, lang))?;
    let within: Vec<RecordId> = picked
        .iter()
        .filter(|it| it.out.is_none())
        .filter_map(|it| RecordId::parse(&it.id))
        .collect();
    let mut said = None;
    if within.is_empty() {
        said = Some(lang.say("bulk-none", &[]));
    } else if sent.sure && refusals.is_empty() {
        let ordered = bulk::order(connection, account, order, (&input, &within), author.now_ms);
        match ordered {
            Ok(()) => {
                drafts::discard(connection, account, &sent.sheet.id)?;
                return Ok(Given::Ordered(sent.back));
            }
            Err(error) if error.leaves_nothing() => said = Some(sentence(error.code(), lang)),
            Err(error) => return Err(error),
        }
    }
    let status = match (&said, refusals.is_empty()) {
        (None, true) => StatusCode::OK,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let preview = preview(
        connection,
        journal,
        (session, line),
        (sent, picked),
        (&named, &refusals, said),
    )?;
    Ok(Given::Shown(status, Box::new(preview)))
}

/// What was picked, each with why the step is not possible for it.
fn picked(
    connection: &Connection,
    journal: &mut Journal,
    sent: &Sent,
    input: Option<&Value>,
    (author, lang): (&Author, Lang),
) -> Result<Vec<Picked>> {
    let mut picked = Vec::new();
    let ordered = bulk::ordered(connection)?;
    for record in &sent.records {
        let id = record.hyphenated();
        let Ok(key) = records::find(connection, &id) else {
            continue;
        };
        let row = records::rows(connection, &[key])?.pop();
        let title = row
            .as_ref()
            .map_or(Title::None, |row| row.title(&author.actor));
        let is_kind = row.as_ref().is_some_and(|row| row.kind == sent.kind.code);
        let out = if !is_kind {
            Some(sentence(Code::StepRefused, lang))
        } else if ordered.contains(record) {
            Some(lang.say("queue-ordered", &[]))
        } else {
            let empty = json!({});
            let step = (sent.step.event.as_str(), input.unwrap_or(&empty));
            match bulk::judge(
                connection,
                journal,
                record,
                step,
                (&author.actor, author.now_ms),
            ) {
                // What would be asked is answered one by one.
                Ok(()) => doubted(
                    connection,
                    journal,
                    (sent.kind, sent.step, key),
                    (author.now_ms, lang),
                )?,
                // Without what it carries, all that was judged is whether it is possible.
                Err(error) if error.code() == Code::FieldsRefused && input.is_none() => None,
                Err(error) if error.leaves_nothing() => Some(sentence(error.code(), lang)),
                Err(error) => return Err(error),
            }
        };
        picked.push(Picked {
            title: shown::title(Some(sent.kind), title, lang),
            id,
            out,
        });
    }
    Ok(picked)
}

fn preview(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    (sent, picked): (Sent, Vec<Picked>),
    (named, refusals, said): (&Choices, &[Refusal], Option<String>),
) -> Result<Preview> {
    let lang = session.lang();
    let label = lang.label(&sent.step.label).to_owned();
    let page = Page::new(
        connection,
        journal,
        session,
        line,
        ("/queue", label.clone()),
    )?;
    let data = || sent.step.typed().filter(|field| field.key != HUB_NO);
    let about = sent.about();
    let account = page.actor.account();
    // What was written for this step before comes again, whichever records it is for now.
    let (typed, under) = if sent.sure {
        let under = sent
            .sheet
            .undone(connection, account, &about, page.now_ms)?;
        (sent.sheet.typed, under)
    } else {
        let kept = drafts::about(connection, account, &about.text())?;
        let kept = kept.first();
        let typed = kept.map_or_else(
            || begins(sent.step, (None, None), &page),
            |it| it.typed.clone(),
        );
        (typed, Under::of(&about, kept)?)
    };
    let inputs = data().map(|field| fields::input(field, named, &typed, refusals, lang));
    let inputs = inputs.map(|input| explained(input, sent.step, &page));
    let count = picked.iter().filter(|it| it.out.is_none()).count();
    let numbers = if records::is_numbered(sent.kind, &sent.step.event) {
        let before = bulk::ordered_for(connection, &sent.step.event)?;
        match records::case_numbers_ahead(connection, journal, (before, count), page.now_ms)? {
            Some((first, last)) if first == last => page.with("bulk-number", &first),
            Some((first, last)) => lang.say(
                "bulk-numbers",
                &[("first", first.into()), ("last", last.into())],
            ),
            None => page.t("bulk-numbers-hub"),
        }
    } else {
        String::new()
    };
    Ok(Preview {
        step: format!("{}/{}", sent.kind.code, sent.step.event),
        label,
        back: sent.back,
        under,
        numbers,
        inputs: inputs.collect(),
        faults: fields::faults(data(), refusals, lang),
        phrases: phrases(sent.step, session),
        picked,
        said,
        page,
    })
}

/// Takes an order back.
pub(super) async fn take_back(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let account = session.account.id;
    let back = app
        .write(move |_, connection| bulk::take_back(connection, &account, &id))
        .await?;
    Ok(go(if back {
        "/queue?said=back"
    } else {
        "/queue?said=late"
    }))
}

/// What an order was not possible for has been read.
pub(super) async fn read(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let account = session.account.id;
    app.write(move |_, connection| bulk::read(connection, &account, &id))
        .await?;
    Ok(go("/queue"))
}

/// Carries out what was ordered for several records, as soon as it cannot be taken back any more, until the node stops.
pub(super) async fn keep(app: App) {
    /// After a failure, and at the latest.
    const AGAIN_MS: u64 = 5_000;
    let mut stopping = app.stopping.clone();
    loop {
        let next = app
            .read(|_, connection| bulk::next_in(connection, clock::now_ms()))
            .await;
        // The clock may be put right meanwhile.
        let wait = next.unwrap_or(Some(AGAIN_MS)).map(|it| it.min(AGAIN_MS));
        if wait == Some(0) {
            let done = app
                .write(|journal, connection| bulk::carry_out(connection, journal, clock::now_ms()))
                .await;
            if let Err(error) = done {
                tracing::warn!(error = %error.chain(), "a step for several records was not taken yet");
                tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await;
            }
            continue;
        }
        let sleep = async {
            match wait {
                Some(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            () = app.bulks.notified() => {}
            _ = stopping.changed() => return,
        }
    }
}

/// What somebody has ordered for several records.
pub(super) fn ordered(connection: &Connection, page: &Page) -> Result<Vec<Ordered>> {
    let mut all = Vec::new();
    for bulk in bulk::of_account(connection, page.actor.account())? {
        all.push(Ordered {
            said: of_bulk(connection, &bulk, page)?,
            seconds: bulk
                .refused
                .is_none()
                .then(|| bulk.rests_ms(page.now_ms).div_ceil(1_000)),
            refused: refused(connection, &bulk, page)?,
            id: bulk.id,
        });
    }
    Ok(all)
}

/// What was ordered, in words.
fn of_bulk(connection: &Connection, bulk: &Bulk, page: &Page) -> Result<String> {
    let mut label = bulk.event.clone();
    if let Some(first) = bulk.records.first()
        && let Ok(key) = records::find(connection, &first.hyphenated())
        && let Some(row) = records::rows(connection, &[key])?.pop()
        && let Some(kind) = Catalogue::current().kind(&row.kind)
        && let Some(step) = kind.transition(&bulk.event)
    {
        label = page.label(&step.label).to_owned();
    }
    let with = [
        ("step", label.into()),
        ("count", bulk.records.len().into()),
        ("refused", bulk.refused.as_ref().map_or(0, Vec::len).into()),
    ];
    let word = match &bulk.refused {
        None => "bulk-ordered",
        Some(_) => "bulk-refused",
    };
    Ok(page.lang.say(word, &with))
}

fn refused(
    connection: &Connection,
    bulk: &Bulk,
    page: &Page,
) -> Result<Vec<(String, String, String)>> {
    let mut refused = Vec::new();
    for (record, code) in bulk.refused.iter().flatten() {
        let id = record.hyphenated();
        let row = match records::find(connection, &id) {
            Ok(key) => records::rows(connection, &[key])?.pop(),
            Err(_) => None,
        };
        let kind = row
            .as_ref()
            .and_then(|row| Catalogue::current().kind(&row.kind));
        let title = row
            .as_ref()
            .map_or(Title::None, |row| row.title(&page.actor));
        let title = shown::title(kind, title, page.lang);
        let known = Code::ALL.iter().find(|it| it.text() == *code);
        let said = known.map_or_else(|| code.clone(), |code| sentence(*code, page.lang));
        refused.push((title, said, format!("/records/{id}")));
    }
    Ok(refused)
}
