//! A sheet on which each line becomes a record of its own, for events at which many people speak: what all lines have in common
//! stands above them once. How a line is made up is said by the kind of the event ([`Lines`]).
//!
//! The whole sheet is one draft and stays one until it is registered: then all of its lines are, or none, and a sheet that is sent
//! twice is registered once. What is wrong is said beside its line, and nothing is written.

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{
    Catalogue, Choice, Draft as Judged, Field, FieldType, Gather, Kind, Lines, Refusal,
};
use lianxin_protocol::text;
use rusqlite::Connection;
use serde::Deserialize;

use super::choices::Choices;
use super::fields::{self, Fault, Input};
use super::list::Row;
use super::page::{self, Answer, Hand, Page, Session, go, html, kind_of, known};
use super::sheet::{About, Sheet, Under};
use super::{App, Line, intake, shown};
use crate::clock;
use crate::drafts::{self, Draft, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::delivery::Coverage;
use crate::records::save::{self, Author};
use crate::records::{self, Listed};

/// Stands before the key of a field in the names of a line.
const ROW: &str = "row.";
/// Lines of an empty sheet, and of one at most.
const LINES: usize = 5;
const LINES_MAX: usize = 100;
/// Records of the event that are shown below, newest first, out of this many.
const SHOWN: usize = 30;
const COUNTED: usize = 1_000;
/// Names in the form of what is done, and of the box about the privacy notice.
const DO: &str = "do";
const NOTICE: &str = "notice_shown";

/// A line of the sheet.
struct SheetRow {
    at: usize,
    words: Input,
    beside: Vec<Input>,
    errors: Vec<String>,
}

#[derive(Template)]
#[template(path = "lines.html")]
struct LinesPage {
    page: Page,
    id: String,
    code: String,
    /// What the event is called.
    event: String,
    under: Under,
    /// What all lines have in common: what is asked for, and what comes from the event.
    head: Vec<Input>,
    folded: Vec<Input>,
    rows: Vec<SheetRow>,
    max: usize,
    faults: Vec<Fault>,
    asks_notice: bool,
    notice: bool,
    said: Option<String>,
    kept: Option<String>,
    /// How many were registered just now, in words.
    made: Option<String>,
    /// What was recorded of the event before.
    before: Vec<Row>,
    count: usize,
}

/// The event, and what is recorded there line by line.
struct Place {
    whole: Listed,
    event: &'static Kind,
    kind: &'static Kind,
    gather: &'static Gather,
    lines: &'static Lines,
}

impl Place {
    fn of(connection: &Connection, books: &mut Books, (id, kind): (&str, &str)) -> Result<Self> {
        let (key, event) = known(connection, books, id)?;
        let kind = kind_of(kind)?;
        let nothing = || Error::new(Code::NoPage, "no such sheet is kept for this record");
        let gather = event
            .gathers
            .iter()
            .find(|it| it.kind == kind.code && it.lines.is_some());
        let gather = gather.ok_or_else(nothing)?;
        let lines = gather.lines.as_ref().ok_or_else(nothing)?;
        let whole = records::rows(connection, &[key])?.pop();
        let whole = whole.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
        Ok(Self {
            whole,
            event,
            kind,
            gather,
            lines,
        })
    }

    fn about(&self) -> About {
        About::Lines(self.whole.id.hyphenated(), self.kind.code.clone())
    }

    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        fields::of_form(self.kind)
    }

    /// Whether a line, or whoever speaks in it, decides over a field, and not what stands above.
    fn is_of_line(&self, field: &Field) -> bool {
        let sets = &self.lines.speaker_sets;
        let ruled_out = |option: &Choice| option.excludes.contains(&field.key);
        let by_speaker = self.fields().filter(|it| sets.contains_key(&it.key));
        let mut options = by_speaker.flat_map(|it| match &it.kind {
            FieldType::Enum { options } => options.as_slice(),
            _ => [].as_slice(),
        });
        field.key == self.gather.by
            || sets.contains_key(&field.key)
            || options.any(ruled_out)
            || matches!(field.kind, FieldType::Text { .. })
    }

    /// The fields above the lines: those that are asked for, and those that have a value from the event.
    fn head(&self, begun: &Typed) -> (Vec<&'static Field>, Vec<&'static Field>) {
        let place = |field: &Field| {
            let section =
                |it: &&lianxin_protocol::catalogue::Section| it.fields.contains(&field.key);
            self.kind.sections.iter().find(section)
        };
        let common = self.fields().filter(|field| !self.is_of_line(field));
        let (asked, others): (Vec<_>, Vec<_>) = common.partition(|field| {
            place(field).is_some_and(|it| !it.folded && !it.inset.contains(&field.key))
        });
        let others = others
            .into_iter()
            .filter(|field| begun.contains_key(&field.key));
        (asked, others.collect())
    }

    /// What was typed in each line that is not empty, with its place from 0 and what stands above.
    fn typed(&self, typed: &Typed) -> Vec<(usize, Typed)> {
        let mut found = Vec::new();
        for at in 0..self.count(typed) {
            let value = |key: &String| {
                let values = typed.get(&format!("{ROW}{key}"));
                let value = values.and_then(|values| values.get(at));
                value.filter(|it| !text::is_blank(it))
            };
            let speaks = value(&self.lines.speaker).is_some();
            let words = self.lines.fields.first().and_then(value);
            if words.is_none() && !speaks {
                continue;
            }
            let common = self.fields().filter(|field| !self.is_of_line(field));
            let common = common.filter_map(|field| typed.get_key_value(&field.key));
            let mut line: Typed = common.map(|(key, it)| (key.clone(), it.clone())).collect();
            line.insert(self.gather.by.clone(), vec![self.whole.id.hyphenated()]);
            if speaks {
                let sets = self.lines.speaker_sets.iter();
                line.extend(sets.map(|(key, it)| (key.clone(), vec![it.clone()])));
            }
            for key in &self.lines.fields {
                line.extend(value(key).map(|it| (key.clone(), vec![it.clone()])));
            }
            found.push((at, line));
        }
        found
    }

    /// Lines of a sheet, empty or not.
    fn count(&self, typed: &Typed) -> usize {
        let lines = self.lines.fields.iter();
        let lengths = lines
            .filter_map(|key| typed.get(&format!("{ROW}{key}")))
            .map(Vec::len);
        lengths.max().unwrap_or(0)
    }
}

/// What comes again, or is shown at first.
struct Shown<'a> {
    typed: &'a Typed,
    under: Under,
    lines: usize,
    /// What is wrong, by line from 0.
    wrong: Vec<(usize, Refusal)>,
    said: Option<String>,
    updated_ms: u64,
    made: usize,
}

fn shown_page(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    place: &Place,
    shown: Shown<'_>,
) -> Result<LinesPage> {
    let lang = session.lang();
    let label = lang.label(&place.kind.label);
    let title = lang.say("lines-title", &[("text", label.into())]);
    let page = Page::new(connection, books, session, line, ("/new", title))?;
    page.actor.may_create(place.kind)?;
    let named = Choices::of(connection, books, place.fields())?;
    let begun = begun(connection, books, place, session)?;
    let (asked, others) = place.head(&begun);
    // What is wrong above is wrong in each line: it is said once.
    let in_line = |refusal: &Refusal| place.lines.fields.contains(&refusal.field);
    let above: Vec<Refusal> = shown.wrong.iter().map(|(_, it)| it.clone()).collect();
    let above: Vec<_> = above.into_iter().filter(|it| !in_line(it)).collect();
    let input = |field: &&Field| fields::input(field, &named, shown.typed, &above, lang);
    let mut rows = Vec::with_capacity(shown.lines);
    for at in 0..shown.lines {
        let mut inputs = place.lines.fields.iter().filter_map(|key| {
            let field = place.kind.fields.iter().find(|field| field.key == *key)?;
            let values = shown.typed.get(&format!("{ROW}{key}"));
            let value = values
                .and_then(|it| it.get(at))
                .cloned()
                .unwrap_or_default();
            let typed = Typed::from([(key.clone(), vec![value])]);
            let mut input = fields::input(field, &named, &typed, &[], lang);
            input.name = format!("{ROW}{key}");
            input.id = format!("l-{}-{}", key.replace('.', "-"), at + 1);
            Some(input)
        });
        let Some(words) = inputs.next() else { break };
        let of_line = shown
            .wrong
            .iter()
            .filter(|(line, it)| *line == at && in_line(it));
        let errors = of_line.filter_map(|(_, refusal)| {
            let field = place.kind.field(&refusal.field)?;
            let fault = fields::faults(std::iter::once(field), std::slice::from_ref(refusal), lang);
            let fault = fault.into_iter().next()?;
            Some(format!("{}{}", page.colon(&fault.label), fault.message))
        });
        rows.push(SheetRow {
            at: at + 1,
            errors: errors.collect(),
            beside: inputs.collect(),
            words,
        });
    }
    let faults = rows
        .iter()
        .filter(|row| !row.errors.is_empty())
        .map(|row| Fault {
            id: row.words.id.clone(),
            label: lang.say("lines-at", &[("count", row.at.into())]),
            message: row.errors.join(" "),
        });
    let faults = fields::faults(place.fields(), &above, lang)
        .into_iter()
        .chain(faults);
    let of = (place.kind.code.as_str(), place.gather.by.as_str());
    let found = records::referring(connection, &place.whole, of, COUNTED)?;
    let coverage = Coverage::of(books);
    let newest = found.iter().rev().take(SHOWN);
    let before = newest.map(|row| Row::new(connection, books, &coverage, row, &page));
    let kept = (shown.updated_ms > 0).then(|| shown::at(shown.updated_ms, page.now_ms, lang));
    let made = (shown.made > 0).then(|| page.n("lines-made", &(shown.made as u64)));
    Ok(LinesPage {
        id: place.whole.id.hyphenated(),
        code: place.kind.code.clone(),
        event: shown::title(Some(place.event), place.whole.title(&page.actor), lang),
        head: asked.iter().map(input).collect(),
        folded: others.iter().map(input).collect(),
        faults: faults.collect(),
        rows,
        max: LINES_MAX,
        asks_notice: save::asks_notice(place.kind),
        notice: shown.typed.contains_key(NOTICE),
        said: shown.said,
        under: shown.under,
        count: found.len(),
        before: before.collect::<Result<_>>()?,
        kept,
        made,
        page,
    })
}

/// What stands above the lines of a new sheet.
fn begun(
    connection: &Connection,
    books: &mut Books,
    place: &Place,
    session: &Session,
) -> Result<Typed> {
    let mut start = intake::starts(connection, books, place.kind, clock::now_ms())?;
    let event = place.whole.id.hyphenated();
    start.extend(intake::begun(
        connection,
        books,
        place.kind,
        (session, &event),
    )?);
    let named = Choices::of(connection, books, place.fields())?;
    let named = named.holding(connection, place.fields(), &start)?;
    Ok(named.labels(place.fields(), start))
}

/// What a sheet was asked for.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    draft: Option<String>,
    made: Option<usize>,
}

/// An empty sheet, or that of a draft that stands in the address.
pub(super) async fn form(
    State(app): State<App>,
    session: Session,
    Path((id, kind)): Path<(String, String)>,
    Query(Asked { draft, made }): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let place = Place::of(connection, books, (&id, &kind))?;
            let about = place.about();
            let draft = draft.filter(|id| drafts::is_id(id));
            if let Some(draft) = &draft
                && save::submitted(connection, draft)?.is_some()
            {
                return Ok(Err(format!("{}?made=0", path(&id, &kind))));
            }
            let account = &session.account.id;
            let kept = match &draft {
                Some(id) => drafts::find(connection, account, id)?,
                None => None,
            };
            let kept = kept.filter(|kept| kept.kind == about.text());
            let mut under = Under::of(&about, kept.as_ref())?;
            if let (None, Some(id)) = (&kept, draft) {
                under.draft = id;
            }
            let begun = begun(connection, books, &place, &session)?;
            let typed = kept.as_ref().map_or(&begun, |kept| &kept.typed);
            let shown = Shown {
                lines: place.count(typed).max(LINES),
                typed,
                under,
                wrong: Vec::new(),
                said: None,
                updated_ms: kept.as_ref().map_or(0, |kept: &Draft| kept.updated_ms),
                made: made.unwrap_or(0).min(LINES_MAX),
            };
            shown_page(connection, books, (&session, &line), &place, shown).map(Ok)
        })
        .await?;
    match page {
        Ok(page) => html(&page),
        Err(to) => Ok(go(&to)),
    }
}

fn path(id: &str, kind: &str) -> String {
    format!("/records/{id}/lines/{kind}")
}

/// What became of a sheet that was sent.
enum Sent {
    /// So many records.
    Records(usize),
    Draft,
    Again(StatusCode, Box<LinesPage>),
}

/// Registers all lines, keeps the sheet as a draft, or gives it more lines.
pub(super) async fn send(
    State(app): State<App>,
    hand: Hand,
    Path((id, kind)): Path<(String, String)>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let more = pairs
        .iter()
        .any(|(name, value)| name == DO && value == "more");
    let sheet = Sheet::of(pairs)?;
    let about = About::parse(&format!("lines/{id}/{kind}"))?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => {
            let now_ms = clock::now_ms();
            let about = about.text();
            let keep = move |_: &mut Journal, connection: &Connection| {
                sheet.keep(connection, &account.id, &about, now_ms)
            };
            let kept = app.write(keep).await?;
            return Ok(go(&format!("/login?to=/drafts/{}", kept.id)));
        }
    };
    let back = path(&id, &kind);
    let line = (app.doors.line)();
    let sent = app
        .write(move |journal, connection| {
            let place = Place::of(connection, journal, (&id, &kind))?;
            sent(
                connection,
                journal,
                (&session, &line),
                &place,
                (&sheet, more),
            )
        })
        .await?;
    match sent {
        Sent::Records(made) => Ok(go(&format!("{back}?made={made}"))),
        Sent::Draft => Ok(go("/")),
        Sent::Again(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

fn sent(
    connection: &Connection,
    journal: &mut Journal,
    (session, line): (&Session, &Line),
    place: &Place,
    (sheet, more): (&Sheet, bool),
) -> Result<Sent> {
    let author = session.author(connection, journal)?;
    let lang = session.lang();
    let about = place.about();
    let lines = place.typed(&sheet.typed);
    let (mut wrong, mut said) = (Vec::new(), None);
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    let registers = !sheet.as_draft && !more;
    match sheet.submission(&about.text()).known(connection) {
        Ok(Some(_)) => return Ok(Sent::Records(lines.len())),
        Ok(None) => {}
        Err(error) if error.code() == Code::OtherContent => {
            said = Some(lang.say("intake-other", &[]));
            status = StatusCode::CONFLICT;
        }
        Err(error) => return Err(error),
    }
    if registers && said.is_none() {
        let named = Choices::of(connection, journal, place.fields())?;
        let mut judged = Vec::with_capacity(lines.len());
        for (at, typed) in &lines {
            let given = named.ids(place.fields(), typed);
            match place
                .kind
                .read_form(&fields::to_json(place.fields(), &given))
            {
                Ok(draft) => judged.push(draft),
                Err(refusals) => wrong.extend(refusals.into_iter().map(|it| (*at, it))),
            }
        }
        if lines.len() > LINES_MAX {
            said = Some(lang.say("lines-many", &[("max", LINES_MAX.into())]));
        } else if lines.is_empty() {
            said = Some(lang.say("lines-none", &[]));
        } else if wrong.is_empty() {
            match register(connection, journal, place, (sheet, &judged), &author) {
                Ok(()) => {
                    drafts::discard(connection, author.actor.account(), &sheet.id)?;
                    return Ok(Sent::Records(judged.len()));
                }
                // Refused before anything was written.
                Err(error) if error.leaves_nothing() => {
                    said = Some(page::sentence(error.code(), lang));
                    status = page::status_of(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }
    let account = author.actor.account();
    let under = sheet.undone(connection, account, &about, author.now_ms)?;
    if sheet.as_draft && said.is_none() && under.draft == sheet.id {
        return Ok(Sent::Draft);
    }
    let more = if more {
        status = StatusCode::OK;
        LINES
    } else {
        0
    };
    let shown = Shown {
        typed: &sheet.typed,
        lines: (place.count(&sheet.typed) + more).max(LINES),
        under,
        wrong,
        said,
        updated_ms: author.now_ms,
        made: 0,
    };
    let page = shown_page(connection, journal, (session, line), place, shown)?;
    Ok(Sent::Again(status, Box::new(page)))
}

/// Writes all lines, or none: the first one stands for the sheet, so that the same sheet is not registered again.
fn register(
    connection: &Connection,
    journal: &mut Journal,
    place: &Place,
    (sheet, judged): (&Sheet, &[Judged]),
    author: &Author,
) -> Result<()> {
    let about = place.about().text();
    let told = sheet.typed.contains_key(NOTICE);
    for (draft, at) in judged.iter().zip(0..) {
        // Ids carry the time: lists have the lines in their order.
        let author = Author {
            now_ms: author.now_ms + at,
            ..author.clone()
        };
        let new = save::New {
            kind: place.kind,
            draft,
            submission: (at == 0).then(|| sheet.submission(&about)),
            told,
        };
        let saved = save::add(connection, journal, &new, &author);
        match saved {
            Err(error) if at > 0 => {
                let message = "a line of a sheet cannot be written";
                return Err(Error::because(Code::Internal, message, error));
            }
            saved => saved?,
        };
    }
    Ok(())
}

/// Where a sheet of a kind is begun on the page of an event, if there is one.
pub(super) fn path_of(gather: &Gather, event: &str) -> Option<String> {
    let kind = Catalogue::current().kind(&gather.kind)?;
    gather.lines.as_ref().map(|_| path(event, &kind.code))
}
