//! The steps that lead a record on: those that whoever looks may take, each with its form, and what becomes of one that is taken.
//!
//! A step whose kind calls it grave is asked about before it is taken, in words that say what cannot be undone.

use std::collections::BTreeSet;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{
    Catalogue, FieldType, Kind, Label, Outcome, Refusal, SetDate, Transition, Unlikely,
};
use lianxin_protocol::deadline::Due;
use rusqlite::Connection;
use serde_json::Value;

use super::choices::Choices;
use super::fields::{self, Input};
use super::list::next_for;
use super::page::{self, Answer, Hand, Page, Session, go, html, known};
use super::records::{RecordPage, Said, View, build};
use super::sheet::{About, Sheet, Under};
use super::words::Lang;
use super::{App, Line, names, shown};
use crate::bulk;
use crate::clock;
use crate::drafts::{self, Draft, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};
use crate::records::gather;
use crate::records::waiting::Waiting;
use crate::records::{Against, Content, Record, save};
use crate::requests::{self, Asked};

/// The hub's case number: filled in by the hub, never typed.
pub(super) const HUB_NO: &str = "hub_no";
/// How somebody is told, and how they wanted to be.
pub(super) const WAY: &str = "way";
pub(super) const WANTED: &str = "reply_wanted";
/// Name in the form of the answer to the question whether a grave step is meant.
pub(super) const SURE: &str = "sure";

/// A step that may be taken, with its form.
pub(super) struct Offer {
    pub(super) event: String,
    pub(super) label: String,
    pub(super) inputs: Vec<Input>,
    pub(super) open: bool,
    /// What of it cannot be undone; it is not the first button in reach then.
    pub(super) grave: Option<String>,
    /// Whoever sent it is asked whether it is meant.
    pub(super) asking: bool,
    /// What is often written in its text.
    pub(super) phrases: Vec<String>,
    /// Why it is not possible as the record stands.
    pub(super) barred: Option<String>,
    pub(super) under: Under,
}

/// What was typed for a step that is not offered any more.
pub(super) struct LeftOver {
    pub(super) draft: String,
    pub(super) label: String,
    pub(super) words: Vec<Said>,
}

/// A step that was not taken.
pub(super) struct Undone {
    pub(super) said: String,
    /// What was typed for it, where the step is not offered any more.
    pub(super) words: Vec<Said>,
}

/// What became of a step that has just been taken, and what is next in the same queue.
pub(super) struct Done {
    pub(super) said: String,
    /// It has no effect, or the hub has yet to take it.
    pub(super) waits: bool,
    /// Address and title of what waits for the same step.
    pub(super) next: Option<(String, String)>,
    /// How many more wait for it.
    pub(super) left: String,
}

/// What was typed for a step, and what is wrong with it.
pub(super) struct Attempt<'a> {
    pub(super) step: &'a Transition,
    typed: &'a Typed,
    refusals: &'a [Refusal],
    under: Under,
    /// Why nothing was done, where that is no matter of the fields.
    said: Option<String>,
    /// Nothing is wrong; it is grave.
    asking: bool,
}

/// What a step begins with: how whoever brought the matter wanted to be told, today, and the dates that it sets by a rule. A step that says
/// on which day an event was begins with the day that is known.
pub(super) fn begins(
    step: &Transition,
    (wanted, content): (Option<&str>, Option<&Content>),
    page: &Page,
) -> Typed {
    let mut typed = Typed::new();
    for field in step.typed() {
        let given = match field.key.as_str() {
            WAY => wanted.filter(|it| *it != "none").map(str::to_owned),
            key if step.redates.as_deref() == Some(key) => {
                let kind = content.and_then(|it| Catalogue::current().kind(&it.kind));
                let date = kind.and_then(|kind| kind.redated_by(&step.event));
                let known = date.and_then(|(_, date)| content?.date(&date.key));
                known.filter(|_| !field.required)
            }
            "on" => Some(clock::Beijing::of(page.now_ms).iso_date()),
            key => {
                let started = |key: &str| {
                    let datum = step.data.iter().find(|it| it.key == key)?;
                    datum.default.as_ref()?.as_str().map(str::to_owned)
                };
                let held = |key: &str| started(key).or_else(|| content?.date(key));
                let date = step.dates_of(key).find(|date| date.holds(held));
                date.and_then(|date| Some(proposed(step, date, content, page)?.to_string()))
            }
        };
        typed.extend(given.map(|given| (field.key.clone(), vec![given])));
    }
    typed
}

/// The day that a date of a step is by its rule; nothing where the period begins on a day that is typed with the step.
fn proposed(
    step: &Transition,
    date: &SetDate,
    content: Option<&Content>,
    page: &Page,
) -> Option<Due> {
    let typed = |key: &String| step.typed().any(|field| field.key == *key);
    if date.from.as_ref().is_some_and(typed) {
        return None;
    }
    let today = clock::Beijing::of(page.now_ms).iso_date();
    date.due(&today, |asked| content?.known(asked), &page.terms)
}

/// The refusal of a date by which something is to be done and which is over, if one was typed.
pub(super) fn is_over(
    (kind, step): (&Kind, &Transition),
    typed: &Typed,
    now_ms: u64,
) -> Option<Refusal> {
    let today = clock::Beijing::of(now_ms).iso_date();
    // Dates of this form sort as they follow.
    let over = |key: &&String| {
        let typed = typed.get(*key).and_then(|it| it.first());
        typed.is_some_and(|it| !it.is_empty() && *it < today)
    };
    let typed_here = step.dates.iter().filter(|date| !date.fixed);
    // What the kind calls due, also where it follows from another day.
    let follows = step.follows.values().chain(&kind.due);
    let follows = follows.filter(|key| step.typed().any(|field| field.key == **key));
    let key = typed_here
        .map(|date| &date.field)
        .chain(follows)
        .find(over)?;
    Some(Refusal {
        field: key.clone(),
        code: "over",
        message: "this day is over".to_owned(),
    })
}

/// What a step is weighed by: what was typed with it, and what the record says.
#[derive(Clone, Copy)]
struct Weighed<'a> {
    typed: &'a Typed,
    content: &'a Content,
    against: &'a Against,
}

/// Asks whether a step is meant: what the record says against it, or a date that is over, or still ahead, or before another.
fn doubt(
    (kind, step): (&Kind, &Transition),
    weighed: Weighed<'_>,
    now_ms: u64,
    lang: Lang,
) -> Option<String> {
    let Weighed {
        typed,
        content,
        against,
    } = weighed;
    if step.matched && !against.unmatched.is_empty() {
        return names::doubt(&against.unmatched, lang);
    }
    if let Some(label) = step.doubted(|key| against.values(key)) {
        return Some(lang.label(label).to_owned());
    }
    if step.to.is_some() && against.is_outdated {
        return Some(lang.say("sure-outdated", &[]));
    }
    let given = |key: &str| typed.get(key)?.first().filter(|it| !it.is_empty()).cloned();
    let held = |key: &str| content.date(key);
    let today = clock::Beijing::of(now_ms).iso_date();
    if let Some(unlikely) = kind.unlikely(step, given, held, &today) {
        let label = |key: &str| {
            let carried = step.data.iter().find(|datum| datum.key == key);
            let field = carried.or_else(|| kind.field(key));
            field
                .map_or("", |field| lang.label(&field.label))
                .to_owned()
        };
        let date = |key: &str| given(key).or_else(|| held(key)).unwrap_or_default();
        return Some(match unlikely {
            Unlikely::Ahead(key) => {
                let with = [("date", date(key).into()), ("field", label(key).into())];
                lang.say("sure-ahead", &with)
            }
            Unlikely::Before(key, other) => {
                let with = [
                    ("date", date(key).into()),
                    ("field", label(key).into()),
                    ("other", label(other).into()),
                    ("than", held(other).unwrap_or_default().into()),
                ];
                lang.say("sure-before", &with)
            }
        });
    }
    let key = is_over((kind, step), typed, now_ms)?.field;
    let field = step.data.iter().find(|field| field.key == key)?;
    let label = lang.label(&field.label).to_owned();
    let date = typed.get(&key)?.first()?.clone();
    let with = [("date", date.into()), ("field", label.into())];
    Some(lang.say("sure-over", &with))
}

/// Why a step that could be taken on a record is asked about there, whatever is typed.
pub(super) fn doubted(
    connection: &Connection,
    books: &mut Books,
    (kind, step, key): (&Kind, &Transition, i64),
    (now_ms, lang): (u64, Lang),
) -> Result<Option<String>> {
    if !step.matched && step.guards.is_empty() && !step.took_place {
        return Ok(None);
    }
    let content = gather(connection, books, key)?.content(books.authority());
    let weighed = Weighed {
        typed: &Typed::new(),
        content: &content,
        against: &Against::of(connection, kind, (key, &content), [step])?,
    };
    Ok(doubt((kind, step), weighed, now_ms, lang))
}

/// Says beside a date by which rule it is set, where that stands, and whether days off had to be guessed; of several rules that are
/// chosen from, each.
pub(super) fn explained(mut input: Input, step: &Transition, page: &Page) -> Input {
    let said = |date: &SetDate, word: &str| {
        let rule = page.terms.rules.get(&date.rule)?;
        let length = Label::from(rule.length);
        let with = [
            ("name", page.label(&rule.label).into()),
            ("length", page.label(&length).into()),
            ("source", page.label(&rule.source).into()),
        ];
        Some(page.lang.say(word, &with))
    };
    let dates: Vec<_> = step.dates_of(&input.name).collect();
    input.hint = match dates.as_slice() {
        [] => return input,
        [date] => match proposed(step, date, None, page) {
            Some(due) if due.estimated => said(date, "due-estimated"),
            Some(_) => said(date, "due-proposed"),
            None => said(date, "due-counted"),
        },
        dates => {
            let each = dates.iter().filter_map(|date| said(date, "due-proposed"));
            let each = each.collect::<Vec<_>>().join(&page.t("due-or"));
            Some(page.with("due-chosen", &each))
        }
    };
    input
}

/// What is often written in a step's text: the catalogue's phrases, then those of whoever looks.
pub(super) fn phrases(step: &Transition, session: &Session) -> Vec<String> {
    let lang = session.lang();
    let own = session.account.taste.phrases.get(&step.event);
    let shipped = step
        .phrases
        .iter()
        .map(|label| lang.label(label).to_owned());
    shipped.chain(own.into_iter().flatten().cloned()).collect()
}

/// The steps that lead on from a record for whoever looks, and what was typed for others.
pub(super) struct Onward {
    /// The usual one, if it is theirs.
    pub(super) next: Option<Offer>,
    pub(super) offers: Vec<Offer>,
    pub(super) undone: Option<Undone>,
    pub(super) left_over: Vec<LeftOver>,
}

impl Onward {
    pub(super) fn of(
        (connection, books): (&Connection, &mut Books),
        (record, requests): (&Record, &[Asked]),
        (view, attempt): (&View, Option<&Attempt<'_>>),
        (page, session): (&Page, &Session),
    ) -> Result<Self> {
        let kind = record.kind;
        let data = kind.into_iter().flat_map(|kind| &kind.transitions);
        let named = Choices::of(connection, books, data.flat_map(|step| &step.data))?;
        let begins = format!("step/{}/", record.id.hyphenated());
        let kept = drafts::about(connection, page.actor.account(), &begins)?;
        let asked = (view, attempt, &named);
        let against = match kind {
            Some(kind) => {
                let held = (record.key, &record.content);
                Against::of(connection, kind, held, &kind.transitions)?
            }
            None => Against::default(),
        };
        let typed = (kept.as_slice(), &against);
        let (next, offers) = offers(record, requests, asked, typed, (page, session))?;
        let offered = next.iter().chain(&offers).map(|it| it.event.as_str());
        let offered: BTreeSet<&str> = offered.collect();
        let undone = attempt.and_then(|attempt| {
            let offered = offered.contains(attempt.step.event.as_str());
            undone(attempt, offered, page.lang)
        });
        let mut shown = offered;
        shown.extend(attempt.map(|attempt| attempt.step.event.as_str()));
        let left_over = left_over(kind, &kept, &shown, (&named, page.lang));
        Ok(Self {
            next,
            offers,
            undone,
            left_over,
        })
    }
}

/// The steps that this person may take, the usual one apart.
fn offers(
    record: &Record,
    requests: &[Asked],
    (view, attempt, named): (&View, Option<&Attempt<'_>>, &Choices),
    (drafts, against): (&[Draft], &Against),
    (page, session): (&Page, &Session),
) -> Result<(Option<Offer>, Vec<Offer>)> {
    if !record.sight.has_facts() {
        return Ok((None, Vec::new()));
    }
    let content = &record.content;
    let kind = record.kind.filter(|_| record.counts());
    let Some(kind) = kind.filter(|_| content.waiting == 0) else {
        return Ok((None, Vec::new()));
    };
    let usual = kind.statuses.iter().find(|status| {
        let folded = status.stands_for.as_ref().unwrap_or(&status.code);
        *folded == content.status && status.next.is_some()
    });
    let usual = usual.and_then(|status| status.next.as_deref());
    let mut next = None;
    let mut others = Vec::new();
    let today = clock::Beijing::of(page.now_ms).iso_date();
    let offered = content.offered(kind, page.actor.roles(), &today);
    // What was asked of the hub is not asked again while it is open.
    for step in offered.filter(|step| !requests::is_open_for(requests, &step.event)) {
        let tried = attempt.filter(|attempt| attempt.step.event == step.event);
        let about = About::Step(record.id.hyphenated(), step.event.clone());
        let kept = drafts.iter().find(|draft| draft.kind == about.text());
        let wanted = content.fields.get(WANTED).and_then(Value::as_str);
        let begun = begins(step, (wanted, Some(content)), page);
        let (typed, refusals) = match (tried, kept) {
            (Some(tried), _) => (tried.typed, tried.refusals),
            (None, Some(kept)) => (&kept.typed, [].as_slice()),
            (None, None) => (&begun, [].as_slice()),
        };
        let inputs = step.typed().filter(|field| field.key != HUB_NO);
        let inputs = inputs.map(|field| fields::input(field, named, typed, refusals, page.lang));
        let inputs = inputs.map(|input| explained(input, step, page));
        let barred = step.barred(|key| against.values(key));
        let is_usual = usual == Some(step.event.as_str());
        let asking = tried.map_or_else(|| view.asks(&step.event), |tried| tried.asking);
        let grave = step.grave.as_ref().map(|it| page.label(it).to_owned());
        let doubt = || {
            let weighed = Weighed {
                typed,
                content,
                against,
            };
            doubt((kind, step), weighed, page.now_ms, page.lang).filter(|_| asking)
        };
        let offer = Offer {
            event: step.event.clone(),
            label: page.label(&step.label).to_owned(),
            inputs: inputs.collect(),
            open: tried.is_some() || kept.is_some() || view.opens(&step.event),
            grave: match (doubt(), grave) {
                (Some(doubt), Some(grave)) => Some(format!("{doubt}{grave}")),
                (doubt, grave) => grave.or(doubt),
            },
            asking,
            phrases: phrases(step, session),
            barred: barred.map(|why| page.label(why).to_owned()),
            under: match tried {
                Some(tried) => tried.under.clone(),
                None => Under::of(&about, kept)?,
            },
        };
        if is_usual {
            next = Some(offer);
        } else {
            others.push(offer);
        }
    }
    others.sort_by_key(|offer| offer.grave.is_some());
    Ok((next, others))
}

/// What was typed for steps that are not offered any more.
fn left_over(
    kind: Option<&Kind>,
    kept: &[Draft],
    offered: &BTreeSet<&str>,
    (named, lang): (&Choices, Lang),
) -> Vec<LeftOver> {
    let mut left = Vec::new();
    for draft in kept {
        let Ok(About::Step(_, event)) = About::parse(&draft.kind) else {
            continue;
        };
        let step = kind.and_then(|kind| kind.transition(&event));
        if let Some(step) = step.filter(|_| !offered.contains(event.as_str())) {
            left.push(LeftOver {
                draft: draft.id.clone(),
                label: lang.label(&step.label).to_owned(),
                words: typed_words(
                    step,
                    &named.labels(step.data.iter(), draft.typed.clone()),
                    lang,
                ),
            });
        }
    }
    left
}

/// What was typed for a step, in words.
fn typed_words(step: &Transition, typed: &Typed, lang: Lang) -> Vec<Said> {
    let words = step.data.iter().filter_map(|field| {
        let value = typed.get(&field.key)?.join("\n");
        let value = match &field.kind {
            FieldType::Enum { .. } => shown::value(Some(field), &Value::from(value), lang),
            _ => value,
        };
        (!value.trim().is_empty()).then(|| Said::new(lang.label(&field.label).to_owned(), value))
    });
    words.collect()
}

/// What is said of a step that was not taken. What was typed for it stands in its form, or here if that is not offered any more.
fn undone(attempt: &Attempt<'_>, offered: bool, lang: Lang) -> Option<Undone> {
    if offered && attempt.said.is_none() {
        return None;
    }
    Some(Undone {
        said: match &attempt.said {
            Some(said) => said.clone(),
            None => page::sentence(Code::StepRefused, lang),
        },
        words: if offered {
            Vec::new()
        } else {
            typed_words(attempt.step, attempt.typed, lang)
        },
    })
}

/// What is said of a step that was just taken, of a correction, or of a choice between two values.
pub(super) fn done(
    connection: &Connection,
    did: &str,
    (record, requests): (&Record, &[Asked]),
    page: &Page,
) -> Result<Option<Done>> {
    let (content, lang) = (&record.content, page.lang);
    let mut done = Done {
        said: String::new(),
        waits: false,
        next: None,
        left: String::new(),
    };
    let Some(step) = record.kind.and_then(|kind| kind.transition(did)) else {
        return Ok(match did {
            EDITED => Some(page.t("did-edit")),
            UNCHANGED => Some(page.t("did-unchanged")),
            _ => None,
        }
        .map(|said| Done { said, ..done }));
    };
    let label = page.label(&step.label);
    let just = |at_ms: i64| {
        let at_ms = u64::try_from(at_ms).unwrap_or_default();
        page.now_ms.saturating_sub(at_ms) < JUST_MS
    };
    let taken = content.events.iter().rev().find(|it| it.event == did);
    let taken = taken.filter(|it| just(it.at_ms));
    let asked = requests::is_open_for(requests, did);
    let from = match taken.map(|event| (&event.outcome, event)) {
        _ if asked => {
            done.waits = true;
            done.said = page.with("did-asked", label);
            Some(content.status.clone())
        }
        // Something else has happened since.
        Some((Outcome::Applied { to, .. }, _)) if *to != content.status => return Ok(None),
        Some((Outcome::Applied { from, to }, event)) => {
            let number = event.data.get(HUB_NO).and_then(Value::as_str);
            let status = shown::status(record.kind, to, lang);
            let with = [
                ("step", label.into()),
                ("status", status.into()),
                ("number", number.unwrap_or_default().into()),
            ];
            let word = match (from == to, number) {
                (true, _) => "did-beside",
                (false, Some(_)) => "did-step-numbered",
                (false, None) => "did-step",
            };
            done.said = lang.say(word, &with);
            Some(from.clone())
        }
        Some((Outcome::Void { reason }, _)) => {
            done.waits = true;
            let reason = lang.label(&reason.label()).to_owned();
            let with = [("step", label.into()), ("reason", reason.into())];
            done.said = lang.say("did-void", &with);
            None
        }
        None => return Ok(None),
    };
    if let (Some(kind), Some(from)) = (record.kind, from) {
        next_in_queue(connection, &mut done, (kind, &from, record.key), page)?;
    }
    Ok(Some(done))
}

/// Stands in an address for a correction, which is no step.
pub(super) const EDITED: &str = "edit";
/// And for one that changed nothing.
pub(super) const UNCHANGED: &str = "unchanged";
/// For so long an address says what was just done; later it is history.
pub(super) const JUST_MS: u64 = 10 * 60 * 1_000;

/// What waits for the same step as a record did.
fn next_in_queue(
    connection: &Connection,
    done: &mut Done,
    (kind, from, key): (&'static Kind, &str, i64),
    page: &Page,
) -> Result<()> {
    /// Of which one may be asked of the hub already, or the one that was just done.
    const LOOKED_AT: usize = 20;
    let next = next_for(kind, page.actor.roles());
    let Some((status, step)) = next.into_iter().find(|(status, _)| status.code == from) else {
        return Ok(());
    };
    let waiting = Waiting::of(kind, status, page.now_ms);
    let asked = requests::open_steps(connection)?;
    let ordered = bulk::ordered(connection)?;
    let mut found = waiting.first(connection, LOOKED_AT)?;
    found.retain(|row| {
        let rests = asked.contains(&(row.id, step.event.clone())) || ordered.contains(&row.id);
        row.key != key && !rests
    });
    if let Some(row) = found.first() {
        let href = format!("/records/{}?step={}#next", row.id.hyphenated(), step.event);
        let title = shown::title(Some(kind), row.title(&page.actor), page.lang);
        done.next = Some((href, title));
        let count = waiting.count(connection)?;
        done.left = page.n("did-left", &count);
    }
    Ok(())
}

/// What became of a step.
enum Taken {
    Done,
    /// What was typed is kept; whoever sent it is asked whether it is meant, at an address that one can go back to.
    Asked,
    Wrong(StatusCode, Box<RecordPage>),
}

/// Takes a step, once for each form that was shown. What cannot be carried out is kept as a draft and shown again.
pub(super) async fn step(
    State(app): State<App>,
    hand: Hand,
    Path((id, event)): Path<(String, String)>,
    Form(mut pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let sent = pairs.len();
    pairs.retain(|(name, _)| name != SURE);
    let sure = pairs.len() < sent;
    let sheet = Sheet::of(pairs)?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => {
            let about = About::parse(&About::Step(id, event).text())?;
            return sheet.until_login(&app, account, about).await;
        }
    };
    let back = format!("/records/{id}?did={event}");
    let ask = format!("/records/{id}?step={event}&ask=1#next");
    let taken = app
        .write(move |journal, connection| {
            take(
                connection,
                journal,
                (&session, &line),
                (&id, &event),
                (&sheet, sure),
            )
        })
        .await?;
    match taken {
        Taken::Done => Ok(go(&back)),
        Taken::Asked => Ok(go(&ask)),
        Taken::Wrong(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

fn take(
    connection: &Connection,
    journal: &mut Journal,
    who: (&Session, &Line),
    (id, event): (&str, &str),
    (sheet, sure): (&Sheet, bool),
) -> Result<Taken> {
    let (key, kind) = known(connection, journal, id)?;
    let step = kind.transition(event);
    let step = step.ok_or_else(|| Error::new(Code::StepRefused, "there is no such step"))?;
    let about = About::Step(id.to_owned(), event.to_owned());
    let text = about.text();
    let submission = sheet.submission(&text);
    let first = match submission.known(connection) {
        Ok(Some(_)) => return Ok(Taken::Done),
        Ok(None) => true,
        // Somebody went back, wrote something else and sent that: it is a step of its own.
        Err(error) if error.code() == Code::OtherContent => false,
        Err(error) => return Err(error),
    };
    let named = Choices::of(connection, journal, step.data.iter())?;
    let given = named.ids(step.data.iter(), &sheet.typed);
    let mut input = fields::to_json(step.data.iter(), &given);
    if let Value::Object(fields) = &mut input {
        fields.remove(HUB_NO);
    }
    let author = who.0.author(connection, journal)?;
    let account = author.actor.account();
    // Judged twice: here for words beside the fields, in the save for good.
    let mut asking = false;
    let content = gather(connection, journal, key)?.content(journal.authority());
    let weighed = Weighed {
        typed: &given,
        content: &content,
        against: &Against::of(connection, kind, (key, &content), [step])?,
    };
    let nothing = Weighed {
        typed: &Typed::new(),
        ..weighed
    };
    let anyway = doubt((kind, step), nothing, author.now_ms, who.0.lang());
    let doubt = doubt((kind, step), weighed, author.now_ms, who.0.lang());
    let held = |key: &str| content.date(key);
    let (refusals, said) = match save::read_step(kind, event, &input) {
        Err(refusals) => (refusals, None),
        Ok(draft) if !step.before(&draft, held).is_empty() => (step.before(&draft, held), None),
        // What is not possible any more is not asked about.
        Ok(_) if !sure && (step.grave.is_some() || doubt.is_some()) => {
            let who = (&author.actor, author.now_ms);
            match save::ready(connection, journal, key, (event, &input), who) {
                Ok(_) => {
                    asking = true;
                    (Vec::new(), None)
                }
                Err(error) if error.leaves_nothing() => (Vec::new(), Some(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(_) => match requests::act(connection, journal, key, (event, &input), &author) {
            Ok(saved) => {
                if first {
                    submission.keep(connection, &saved.id)?;
                }
                drafts::discard(connection, account, &sheet.id)?;
                return Ok(Taken::Done);
            }
            Err(error) if error.leaves_nothing() => (Vec::new(), Some(error)),
            Err(error) => return Err(error),
        },
    };
    let status = match &said {
        Some(error) => page::status_of(error),
        None if asking => StatusCode::OK,
        None => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let under = sheet.undone(connection, account, &about, author.now_ms)?;
    // A day that is asked about is kept nowhere: the page comes at once, with it.
    let emptied = about.is_emptied(&sheet.typed) && doubt == anyway;
    if asking && (emptied || drafts::find(connection, account, &under.draft)?.is_some()) {
        return Ok(Taken::Asked);
    }
    let attempt = Attempt {
        step,
        typed: &sheet.typed,
        refusals: &refusals,
        under,
        said: said.map(|error| page::sentence(error.code(), who.0.lang())),
        asking,
    };
    let view = View::default();
    let page = build(connection, journal, who, id, &view, Some(&attempt))?;
    Ok(Taken::Wrong(status, Box::new(page)))
}
