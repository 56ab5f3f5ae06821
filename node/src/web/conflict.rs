//! One record's conflicts: the values of each field side by side, with what comes of them between; one choice for each, and one
//! signed change for all of them. Below that the choices that may still be taken back, and what was merged by itself.
//!
//! The form names the values that it shows. Where others stand there when it comes back, nothing is written: the page comes again
//! with them, and with all that was typed.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Field, FieldType, Kind};
use lianxin_protocol::document::ChangeHash;
use lianxin_protocol::hash::{Hex, parse_hex};
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::Value;

use super::differs::{self, Piece};
use super::page::{self, Answer, Hand, Page, Session, go, html, open};
use super::records::{held, links};
use super::sheet::{About, Sheet, Under};
use super::words::Lang;
use super::{App, Line, fields, shown};
use crate::drafts::{self, Typed};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal, Overview, Unusual};
use crate::records::apart::Apart;
use crate::records::save::{self, Pick};
use crate::records::sight::Sight;
use crate::records::{Conflicts, Content, Record};

/// Marks by which the sides of a conflict are called.
const SIDES: [&str; 8] = ["甲", "乙", "丙", "丁", "戊", "己", "庚", "辛"];
/// Stand before a field's key in the names of the form: what is picked, the words that are written, and the values that are shown.
const PICK: &str = "pick:";
const WORDS: &str = "words:";
const SEEN: &str = "seen:";
/// Beside the change of a side: words of one's own, and all sides one under the other.
const WRITE: &str = "write";
const BOTH: &str = "both";
/// Name and value of the button that only shows what would come of it.
const DO: &str = "do";
const PREVIEW: &str = "preview";
/// Texts of so many characters have room for both.
const ROOMY_CHARS: usize = 150;
/// What was merged by itself that is shown.
const MERGED: usize = 5;
/// How far a clock may be ahead before its time is doubted, in milliseconds.
const AHEAD_MS: u64 = 5 * 60_000;

/// How a field came to have more than one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Two changed it.
    Same,
    /// One cleared it, and another changed it.
    Cleared,
}

impl Class {
    pub(super) fn of(values: &[crate::records::ConflictValue], open: Option<&Apart>) -> Self {
        let cleared = open.is_some_and(|open| {
            let mut standing = open.standing();
            standing.any(|write| write.cleared && values.iter().any(|it| it.change == write.change))
        });
        if cleared { Self::Cleared } else { Self::Same }
    }

    pub(super) fn said(self, lang: Lang) -> String {
        match self {
            Self::Same => lang.say("conflict-class-same", &[]),
            Self::Cleared => lang.say("conflict-class-cleared", &[]),
        }
    }
}

/// One of the values of a field.
struct Side {
    mark: &'static str,
    pieces: Vec<Piece>,
    /// Without marks.
    value: String,
    device: String,
    at: String,
    /// Whose clock may be wrong.
    doubtful: bool,
    change: String,
}

/// One way to settle it.
struct Opt {
    value: String,
    label: String,
    on: bool,
    /// What comes of it, where that is not what stands in the text box.
    text: String,
}

/// A field in conflict, as the form has it.
struct Disputed {
    key: String,
    /// For ids in the page.
    id: String,
    label: String,
    class: String,
    sides: Vec<Side>,
    options: Vec<Opt>,
    /// The text box, if its words can be written anew.
    words: Option<String>,
    /// What comes of it, or what is shown until somebody chooses.
    result: String,
    chosen: bool,
    seen: String,
    fault: Option<String>,
}

/// A field of a choice that may be taken back.
struct Back {
    name: String,
    label: String,
    now: String,
    options: Vec<Opt>,
}

/// A choice that may be taken back.
struct Choice {
    change: String,
    said: String,
    fields: Vec<Back>,
}

/// What was typed for a choice that somebody else has made.
struct LeftOver {
    draft: String,
    words: Vec<String>,
}

/// Two changes that were merged by themselves.
struct Merge {
    heads: [String; 2],
    rows: Vec<(String, [String; 2], String)>,
}

#[derive(Template)]
#[template(path = "conflict.html")]
struct ConflictPage {
    page: Page,
    id: String,
    number: String,
    title: String,
    kind: String,
    /// Whether whoever looks may choose.
    settles: bool,
    fields: Vec<Disputed>,
    reason: String,
    reason_fault: Option<String>,
    /// What was typed for fields that are no conflict any more.
    settled: Vec<(String, String)>,
    said: Option<String>,
    previewed: bool,
    under: Under,
    left_over: Option<LeftOver>,
    /// Some of what is shown is shown in part only.
    masked: bool,
    choices: Vec<Choice>,
    merges: Vec<Merge>,
}

/// What was sent and not carried out.
#[derive(Default)]
struct Attempt {
    typed: Typed,
    under: Under,
    faults: BTreeMap<String, String>,
    /// Fields that were settled meanwhile.
    settled: Vec<String>,
    said: Option<String>,
    previewed: bool,
}

fn first<'a>(typed: &'a Typed, prefix: &str, key: &str) -> Option<&'a str> {
    let values = typed.get(&format!("{prefix}{key}"))?;
    values.first().map(String::as_str)
}

/// What the form says was shown: the changes of the values.
fn seen(values: &[crate::records::ConflictValue]) -> String {
    let mut all: Vec<String> = values
        .iter()
        .filter_map(|value| value.change.first_chunk::<8>())
        .map(|begin| Hex(begin).to_string())
        .collect();
    all.sort_unstable();
    all.join(".")
}

/// Whether the time that a device gives may be wrong.
pub(super) fn is_doubtful(
    overview: &Overview,
    device: Option<&DeviceKey>,
    (at_ms, now_ms): (u64, u64),
) -> bool {
    let own = device == Some(&overview.identity().key()) && overview.clock_is_off().is_some();
    let fast = device.is_some_and(|it| overview.unusual().get(it) == Some(&Unusual::ClockAhead));
    own || fast || at_ms > now_ms + AHEAD_MS
}

/// The words of a value, with the names of the records that it refers to.
fn words_of(connection: &Connection, field: Option<&Field>, value: &Value, lang: Lang) -> String {
    let named = field.map(|field| links(connection, field, value, lang));
    let named: Vec<_> = named.into_iter().flatten().map(|(name, _)| name).collect();
    if named.is_empty() {
        return shown::value(field, value, lang);
    }
    named.join("、")
}

/// Longest text that a field holds, if it is one.
fn text_chars(field: Option<&Field>) -> Option<usize> {
    match field?.kind {
        FieldType::Text { max_chars } => Some(max_chars),
        _ => None,
    }
}

/// All sides of a text, one under the other, each with who wrote it and when.
fn joined(sides: &[Side]) -> String {
    let said = sides.iter().filter(|side| !side.value.is_empty());
    let said = said.map(|side| format!("{}（{}，{}）", side.value, side.device, side.at));
    said.collect::<Vec<_>>().join("\n")
}

/// The fields in conflict, with what was typed for them.
fn disputed(
    connection: &Connection,
    overview: &Overview,
    (content, kind, sight): (&Content, &Kind, Sight),
    attempt: &Attempt,
    (now_ms, lang): (u64, Lang),
) -> Vec<Disputed> {
    let conflicts = content.conflicts.iter().map(|(key, values)| {
        let field = kind.field(key);
        let open = content.apart.iter().find(|it| it.field == *key);
        let class = Class::of(values, open);
        let text = |value: &Value| words_of(connection, field, value, lang);
        let is_text = text_chars(field).is_some();
        // What is shown in part only would be saved so.
        let whole = field.is_none_or(|field| sight.shows(field));
        let other = |at: usize| values.get(usize::from(at == 0)).map(|it| text(&it.value));
        let sides: Vec<_> = values
            .iter()
            .zip(SIDES)
            .enumerate()
            .map(|(at, (value, mark))| {
                let own = text(&value.value);
                let cleared = class == Class::Cleared && value.value.is_null();
                let pieces = match other(at).filter(|_| is_text && !cleared) {
                    Some(other) if !other.is_empty() => differs::pieces(&own, &other),
                    _ if cleared => differs::whole(&lang.say("value-gone", &[])),
                    _ => differs::whole(&own),
                };
                let device = value.device.as_ref();
                Side {
                    mark,
                    pieces,
                    value: own,
                    device: device
                        .map(|key| shown::device(overview.authority(), key))
                        .unwrap_or_default(),
                    at: shown::moment(value.at_ms, lang),
                    doubtful: is_doubtful(overview, device, (value.at_ms, now_ms)),
                    change: Hex(&value.change).to_string(),
                }
            })
            .collect();
        let picked = first(&attempt.typed, PICK, key).unwrap_or_default();
        let mut options: Vec<_> = sides
            .iter()
            .map(|side| Opt {
                on: side.change == picked,
                value: side.change.clone(),
                label: lang.say("conflict-take", &[("text", side.mark.into())]),
                text: side.pieces.iter().map(|it| it.text.as_str()).collect(),
            })
            .collect();
        let mut own = |value: &str, id: &str, text: String| {
            options.push(Opt {
                value: value.to_owned(),
                label: lang.say(id, &[]),
                on: picked == value,
                text,
            });
        };
        let both = joined(&sides);
        if is_text && whole {
            own(WRITE, "conflict-write", String::new());
        }
        let room = text_chars(field).filter(|most| whole && *most >= ROOMY_CHARS);
        if room.is_some_and(|most| both.chars().count() <= most) {
            own(BOTH, "conflict-both", both);
        }
        let words = (is_text && whole).then(|| {
            let typed = first(&attempt.typed, WORDS, key).map(str::to_owned);
            let texts = sides.iter().map(|side| side.value.clone());
            let texts: Vec<_> = texts.filter(|it| !it.is_empty()).collect();
            typed.unwrap_or_else(|| texts.join("\n"))
        });
        let chosen = options.iter().find(|option| option.on);
        let result = match chosen {
            Some(option) if option.value == WRITE => words.clone().unwrap_or_default(),
            Some(option) => option.text.clone(),
            None => held(&content.fields, key).map(text).unwrap_or_default(),
        };
        Disputed {
            id: format!("c-{}", key.replace('.', "-")),
            label: field.map_or_else(|| key.clone(), |it| lang.label(&it.label).to_owned()),
            class: class.said(lang),
            chosen: chosen.is_some(),
            fault: attempt.faults.get(key).cloned(),
            seen: seen(values),
            key: key.clone(),
            sides,
            options,
            words,
            result,
        }
    });
    conflicts.collect()
}

/// The choices that may be taken back, the newest first.
fn choices(
    connection: &Connection,
    overview: &Overview,
    (content, kind, sight): (&Content, &Kind, Sight),
    page: &Page,
) -> Vec<Choice> {
    let lang = page.lang;
    let mut found: BTreeMap<(u64, ChangeHash), (Option<DeviceKey>, Vec<Back>)> = BTreeMap::new();
    for apart in &content.apart {
        let Some(last) = apart.standing().next() else {
            continue;
        };
        let left = apart.not_taken(&last.change);
        if left.is_empty() || !save::may_take_back(last.at_ms, page.now_ms) {
            continue;
        }
        let field = kind.field(&apart.field);
        let say = |value: &Value, cleared: bool| match cleared {
            true => page.t("value-gone"),
            false => words_of(connection, field, &sight.shown(field, value.clone()), lang),
        };
        let options = left.iter().enumerate().map(|(nth, write)| Opt {
            value: Hex(&write.change).to_string(),
            label: say(&write.value, write.cleared),
            on: nth == 0,
            text: String::new(),
        });
        let back = Back {
            name: format!("{PICK}{}", apart.field),
            label: field.map_or_else(
                || apart.field.clone(),
                |it| lang.label(&it.label).to_owned(),
            ),
            now: say(&last.value, last.cleared),
            options: options.collect(),
        };
        let place = found.entry((last.at_ms, last.change));
        place
            .or_insert_with(|| (last.device, Vec::new()))
            .1
            .push(back);
    }
    let choices = found
        .into_iter()
        .rev()
        .map(|((at_ms, change), (device, fields))| {
            let device = device.map(|key| shown::device(overview.authority(), &key));
            let with = [
                ("device", device.unwrap_or_default().into()),
                ("time", shown::moment(at_ms, lang).into()),
            ];
            Choice {
                change: Hex(&change).to_string(),
                said: lang.say("conflict-chosen", &with),
                fields,
            }
        });
    choices.collect()
}

/// What was merged by itself, the newest first.
fn merges(
    connection: &Connection,
    overview: &Overview,
    record: &Record,
    kind: &Kind,
    lang: Lang,
) -> Vec<Merge> {
    let head = |device: Option<DeviceKey>, at_ms: u64| {
        let device = device.map(|key| shown::device(overview.authority(), &key));
        format!(
            "{} {}",
            device.unwrap_or_default(),
            shown::moment(at_ms, lang)
        )
    };
    let merges = record
        .gathered
        .merged_apart(MERGED)
        .into_iter()
        .map(|[one, other]| {
            let mut rows: BTreeMap<String, (String, [String; 2], String)> = BTreeMap::new();
            for (at, side) in [&one, &other].into_iter().enumerate() {
                for (key, value) in &side.fields {
                    let (plain, item) = match key.split_once('/') {
                        Some((set, item)) => (set, Some(Value::from(vec![item]))),
                        None => (key.as_str(), None),
                    };
                    let field = kind.field(plain);
                    let gone = value.is_null();
                    let value = record.sight.shown(field, value.clone());
                    let said = words_of(connection, field, item.as_ref().unwrap_or(&value), lang);
                    let said = match (gone, said.is_empty()) {
                        (true, true) => lang.say("value-gone", &[]),
                        (true, false) => lang.say("merged-removed", &[("text", said.into())]),
                        (false, _) => said,
                    };
                    let now = held(&record.content.fields, plain);
                    let row = rows.entry(plain.to_owned()).or_insert_with(|| {
                        let label = field.map_or(plain, |it| lang.label(&it.label)).to_owned();
                        let now = now.map(|it| words_of(connection, field, it, lang));
                        (label, Default::default(), now.unwrap_or_default())
                    });
                    if let Some(cell) = row.1.get_mut(at) {
                        let gap = if cell.is_empty() { "" } else { "、" };
                        cell.push_str(gap);
                        cell.push_str(&said);
                    }
                }
            }
            Merge {
                heads: [head(one.device, one.at_ms), head(other.device, other.at_ms)],
                rows: rows.into_values().collect(),
            }
        });
    merges.collect()
}

fn build(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    id: &str,
    attempt: Option<Attempt>,
) -> Result<ConflictPage> {
    let (record, kind) = open(connection, books, session, id)?;
    let (gathered, content) = (&record.gathered, &record.content);
    let number = content.number.clone().unwrap_or_default();
    let heading = session.lang().say("conflict-title", &[]);
    let page = Page::new(connection, books, session, line, ("/conflicts", heading))?;
    let about = About::Conflict(gathered.id.hyphenated());
    let kept = drafts::about(connection, &session.account.id, &about.text())?;
    let kept = kept.first();
    let attempt = match attempt {
        Some(attempt) => attempt,
        None => Attempt {
            typed: kept.map(|draft| draft.typed.clone()).unwrap_or_default(),
            under: Under::of(&about, kept)?,
            ..Attempt::default()
        },
    };
    let counts = gathered.held().is_none();
    let shown = (content, kind, record.sight);
    let fields = disputed(connection, books, shown, &attempt, (page.now_ms, page.lang));
    // Nothing is left to choose; what was typed for it can be read and let go of.
    let left_over = kept.filter(|_| fields.is_empty()).map(|draft| LeftOver {
        words: draft
            .typed
            .iter()
            .filter(|(name, _)| name.starts_with(WORDS) || *name == save::REASON)
            .flat_map(|(_, words)| words.clone())
            .filter(|words| !text::is_blank(words))
            .collect(),
        draft: draft.id.clone(),
    });
    let settled = attempt.settled.iter().map(|key| {
        let label = kind
            .field(key)
            .map_or(key.as_str(), |it| page.label(&it.label));
        let words = match first(&attempt.typed, PICK, key) {
            Some(WRITE) => first(&attempt.typed, WORDS, key).unwrap_or_default(),
            _ => "",
        };
        (label.to_owned(), words.to_owned())
    });
    Ok(ConflictPage {
        id: gathered.id.hyphenated(),
        number,
        title: shown::title(Some(kind), record.title(), page.lang),
        kind: page.label(&kind.label).to_owned(),
        settles: counts
            && page.actor.may_correct(kind, &content.status).is_ok()
            && save::may_edit(books, gathered),
        fields,
        reason: first(&attempt.typed, "", save::REASON)
            .unwrap_or_default()
            .to_owned(),
        reason_fault: attempt.faults.get(save::REASON).cloned(),
        settled: settled.collect(),
        choices: choices(connection, books, shown, &page),
        masked: content.apart.iter().any(|it| {
            let field = kind.field(&it.field);
            field.is_some_and(|field| record.sight.has_words() && !record.sight.shows(field))
        }),
        merges: merges(connection, books, &record, kind, page.lang),
        said: attempt.said,
        previewed: attempt.previewed,
        under: attempt.under,
        left_over,
        page,
    })
}

/// The page.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| build(connection, books, (&session, &line), &id, None))
        .await?;
    html(&page)
}

/// What became of a form.
enum Sent {
    Done,
    Again(StatusCode, Box<ConflictPage>),
}

/// Chooses, once for each form that was shown.
pub(super) async fn settle(
    State(app): State<App>,
    hand: Hand,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let preview = pairs
        .iter()
        .any(|(name, what)| name == DO && what == PREVIEW);
    let sheet = Sheet::of(pairs)?;
    let session = match hand.session() {
        Ok(session) => session,
        Err(account) => {
            let about = About::parse(&About::Conflict(id).text())?;
            return sheet.until_login(&app, account, about).await;
        }
    };
    let page_of = id.clone();
    let sent = app
        .write(move |journal, connection| {
            let who = (&session, &line);
            send(connection, journal, who, &page_of, (&sheet, preview))
        })
        .await?;
    match sent {
        Sent::Done => Ok(go(&format!("/records/{id}?did={}", save::SETTLE))),
        Sent::Again(status, page) => Ok((status, html(&*page)?).into_response()),
    }
}

/// What was picked, field by field; what cannot be carried out goes into the attempt.
fn picks(
    (conflicts, kind): (&Conflicts, &Kind),
    (typed, sides): (&Typed, &BTreeMap<String, String>),
    attempt: &mut Attempt,
    lang: Lang,
) -> BTreeMap<String, Pick> {
    let mut picks = BTreeMap::new();
    let keys = typed.keys().filter_map(|name| name.strip_prefix(PICK));
    for key in keys {
        let Some(values) = conflicts.get(key) else {
            attempt.settled.push(key.to_owned());
            continue;
        };
        let shown = first(typed, SEEN, key);
        let picked = first(typed, PICK, key).unwrap_or_default();
        let moved = || lang.say("conflict-moved", &[]);
        if shown.is_some_and(|shown| shown != seen(values)) {
            attempt.faults.insert(key.to_owned(), moved());
            continue;
        }
        let words = match picked {
            WRITE => first(typed, WORDS, key).map(text::kept),
            BOTH => sides.get(key).cloned(),
            _ => None,
        };
        let change = parse_hex(picked).filter(|it| values.iter().any(|value| value.change == *it));
        match (words, change) {
            (Some(words), _) => {
                let field = kind.fields.iter().find(|field| field.key == key);
                let judged = kind.read_edit(&save::under(key, Value::from(words.as_str())));
                let faults = match judged {
                    Err(refusals) => fields::faults(field.into_iter(), &refusals, lang),
                    Ok(_) => Vec::new(),
                };
                if let Some(fault) = faults.into_iter().next() {
                    attempt.faults.insert(key.to_owned(), fault.message);
                } else {
                    picks.insert(key.to_owned(), Pick::Words(words));
                }
            }
            (None, Some(change)) => {
                picks.insert(key.to_owned(), Pick::Value(change));
            }
            (None, None) => {
                attempt.faults.insert(key.to_owned(), moved());
            }
        }
    }
    picks
}

fn send(
    connection: &Connection,
    journal: &mut Journal,
    who: (&Session, &Line),
    id: &str,
    (sheet, preview): (&Sheet, bool),
) -> Result<Sent> {
    let lang = who.0.lang();
    let (record, kind) = open(connection, journal, who.0, id)?;
    let (key, content) = (record.key, &record.content);
    let about = About::parse(&About::Conflict(id.to_owned()).text())?;
    let text_about = about.text();
    let submission = sheet.submission(&text_about);
    let first_sent = match submission.known(connection) {
        Ok(Some(_)) if !preview => return Ok(Sent::Done),
        Ok(known) => known.is_none(),
        Err(error) if error.code() == Code::OtherContent => false,
        Err(error) => return Err(error),
    };
    let author = who.0.author(connection, journal)?;
    let mut attempt = Attempt {
        typed: sheet.typed.clone(),
        previewed: preview,
        ..Attempt::default()
    };
    let shown = disputed(
        connection,
        journal,
        (content, kind, record.sight),
        &Attempt::default(),
        (author.now_ms, lang),
    );
    let both = shown.into_iter().filter_map(|field| {
        let both = field.options.into_iter().find(|it| it.value == BOTH)?;
        Some((field.key, both.text))
    });
    let both = both.collect();
    let whole = (&content.conflicts, kind);
    let picks = picks(whole, (&sheet.typed, &both), &mut attempt, lang);
    let fine = attempt.faults.is_empty() && attempt.settled.is_empty();
    let status = if preview {
        StatusCode::OK
    } else if !fine {
        StatusCode::CONFLICT
    } else if picks.is_empty() {
        attempt.said = Some(lang.say("conflict-nothing", &[]));
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        let reason = first(&sheet.typed, "", save::REASON).unwrap_or_default();
        let reason = text::kept(reason.trim());
        match save::settle(connection, journal, key, (&picks, &reason), &author) {
            Ok(saved) => {
                if first_sent {
                    submission.keep(connection, &saved.id)?;
                }
                drafts::discard(connection, author.actor.account(), &sheet.id)?;
                return Ok(Sent::Done);
            }
            Err(error) if error.leaves_nothing() => {
                let status = page::status_of(&error);
                if error.code() == Code::FieldsRefused && text::is_blank(&reason) {
                    let fault = lang.say("conflict-why-needed", &[]);
                    attempt.faults.insert(save::REASON.to_owned(), fault);
                } else {
                    attempt.said = Some(page::sentence(error.code(), lang));
                }
                status
            }
            Err(error) => return Err(error),
        }
    };
    attempt.under = sheet.undone(connection, author.actor.account(), &about, author.now_ms)?;
    let page = build(connection, journal, who, id, Some(attempt))?;
    Ok(Sent::Again(status, Box::new(page)))
}

/// Takes a choice back.
pub(super) async fn unsettle(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let back = format!("/records/{id}?did={}", save::UNSETTLE);
    let typed = fields::from_pairs(pairs);
    app.write(move |journal, connection| {
        let key = open(connection, journal, &session, &id)?.0.key;
        let gone = || Error::new(Code::NothingToDo, "this names no choice");
        let change = first(&typed, "", "change").and_then(parse_hex);
        let change: ChangeHash = change.ok_or_else(gone)?;
        let mut picks = BTreeMap::new();
        for key in typed.keys().filter_map(|name| name.strip_prefix(PICK)) {
            let pick = first(&typed, PICK, key).and_then(parse_hex);
            picks.insert(key.to_owned(), pick.ok_or_else(gone)?);
        }
        let reason = first(&typed, "", save::REASON).unwrap_or_default();
        let reason = text::kept(reason.trim());
        let author = session.author(connection, journal)?;
        let what = (&change, &picks, reason.as_str());
        save::unsettle(connection, journal, key, what, &author).map(drop)
    })
    .await?;
    Ok(go(&back))
}
