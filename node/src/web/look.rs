//! What is said of a form while somebody types: what it lacks, what looks wrong in it, what its folded parts hold, and which records
//! are like it. The page is made with it, and asks for it again after each pause; nothing of what it sends is kept or logged.

use std::collections::BTreeMap;

use axum::Form;
use axum::extract::{Path, State};
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::Kind;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use super::App;
use super::fields::{self, Input};
use super::intake::{self, Part};
use super::page::{Answer, Session, kind_of};
use super::sheet::Sheet;
use super::shown;
use super::words::Lang;
use crate::actor::Actor;
use crate::clock::{self, Beijing};
use crate::drafts::Typed;
use crate::error::Result;
use crate::records::delivery;
use crate::records::similar::{Pair, SIMILAR_DAYS, marked, similar};
use crate::records::{self, Listed};

/// Characters of a text that a folded part's heading shows.
const SAID_CHARS: usize = 12;

/// What is said of a form.
#[derive(Debug, Default, Serialize)]
pub(super) struct Look {
    /// Whether it can be registered.
    pub(super) ready: bool,
    /// That, or how much it lacks, in words; and the id of the first input that does.
    pub(super) lacks: String,
    pub(super) to: String,
    /// What looks wrong, by the input's id.
    looks: BTreeMap<String, Vec<String>>,
    /// What the folded parts hold, by their codes.
    folds: BTreeMap<String, String>,
    pub(super) alike: Vec<Alike>,
    /// How many records are like it, in words.
    alike_count: String,
}

/// Records that are like it in one way.
#[derive(Debug, Serialize)]
pub(super) struct Alike {
    pub(super) head: String,
    pub(super) note: String,
    /// In a line each: what is the same needs no second look.
    pub(super) brief: bool,
    pub(super) rows: Vec<AlikeRow>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub(super) struct AlikeRow {
    pub(super) href: String,
    /// In pieces, each with whether it is what both have.
    pub(super) title: Vec<(String, bool)>,
    pub(super) when: String,
    pub(super) place: String,
    pub(super) status: String,
    /// Whether it still waits for a step.
    pub(super) open: bool,
}

/// Looks at what was typed, of which `parts` is the form.
pub(super) fn look(
    connection: &Connection,
    kind: &Kind,
    (typed, actor): (&Typed, &Actor),
    parts: &mut [Part],
    (lang, now_ms): (Lang, u64),
) -> Result<Look> {
    let mut said = Look::default();
    let judged = kind.read_form(&fields::new_record(kind, typed));
    let wrong = judged.err().unwrap_or_default();
    let faults = fields::faults(fields::of_form(kind), &wrong, lang);
    said.ready = faults.is_empty();
    said.lacks = match faults.first() {
        None => lang.say("draft-ready", &[]),
        Some(first) => {
            let count = faults.len().into();
            lang.say(
                "draft-lacks-first",
                &[("count", count), ("text", first.label.as_str().into())],
            )
        }
    };
    said.to = faults
        .into_iter()
        .next()
        .map(|it| it.id)
        .unwrap_or_default();
    for part in parts {
        let inputs = part.inputs.iter().chain(&part.inset);
        let looks = inputs.filter(|input| !input.looks.is_empty());
        let looks = looks.map(|input| (input.id.clone(), input.looks.clone()));
        said.looks.extend(looks);
        if part.folded {
            part.says = says(kind, &part.inputs, (lang, now_ms));
            said.folds.insert(part.code.clone(), part.says.clone());
        }
    }
    said.alike = alike(connection, kind, typed, actor, (lang, now_ms))?;
    let rows: usize = said.alike.iter().map(|it| it.rows.len()).sum();
    if rows > 0 {
        said.alike_count = lang.say("alike-count", &[("count", rows.into())]);
    }
    Ok(said)
}

/// What a folded part holds, in a line.
fn says(kind: &Kind, inputs: &[Input], (lang, now_ms): (Lang, u64)) -> String {
    let holds = |input: &Input| -> Option<String> {
        if input.is_blank() {
            let from_words = kind.title.as_ref() == Some(&input.name) && kind.title_from.is_some();
            return from_words.then(|| lang.say("intake-title-from", &[]));
        }
        let chosen = input.options.iter().filter(|it| it.on);
        let chosen: Vec<_> = chosen.map(|it| it.label.as_str()).collect();
        let line = input.value.lines().collect::<Vec<_>>().join("、");
        let cut = |text: &str| match text.char_indices().nth(SAID_CHARS) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        };
        match input.control {
            "buttons" | "select" => chosen.first().map(|it| (*it).to_owned()),
            "checks" => Some(chosen.join("、")),
            "register" | "one" => {
                let more = Some(line.as_str()).filter(|it| !it.is_empty());
                Some(
                    chosen
                        .into_iter()
                        .chain(more)
                        .collect::<Vec<_>>()
                        .join("、"),
                )
            }
            "check" => (input.value == "true").then(|| input.label.clone()),
            "date" if input.value == Beijing::of(now_ms).iso_date() => Some(lang.say("today", &[])),
            "number" => Some(format!("{} {}", input.label, input.value)),
            _ => Some(cut(&line)),
        }
    };
    let held: Vec<_> = inputs.iter().filter_map(holds).collect();
    if held.is_empty() {
        return lang.say("intake-nothing", &[]);
    }
    held.join(" · ")
}

fn alike(
    connection: &Connection,
    kind: &Kind,
    typed: &Typed,
    actor: &Actor,
    (lang, now_ms): (Lang, u64),
) -> Result<Vec<Alike>> {
    let texts = typed.iter().filter_map(|(key, values)| {
        let text = values.first()?;
        Some((key.as_str(), text.as_str()))
    });
    let found = similar(connection, kind, &texts.collect(), (actor, now_ms))?;
    let named = |text: &str| records::name_of(connection, text).unwrap_or_default();
    let row = |row: &Listed, pairs: Option<&std::collections::BTreeSet<Pair>>| {
        let title = shown::title(Some(kind), row.title(actor), lang);
        let (_, status) = delivery::shown(row.reached, &row.kind, &row.status);
        let place = row.fact("place").and_then(|it| it.get("community"));
        AlikeRow {
            href: format!("/records/{}", row.id.hyphenated()),
            title: pairs.map_or_else(|| vec![(title.clone(), false)], |it| marked(&title, it)),
            when: shown::when(row.recorded_ms(), now_ms, lang),
            place: named(place.and_then(Value::as_str).unwrap_or_default()),
            open: kind.is_open(&row.status),
            status: shown::status(Some(kind), &status, lang),
        }
    };
    let mut alike = Vec::new();
    if !found.words.is_empty() {
        alike.push(Alike {
            head: lang.say("alike-words", &[]),
            note: lang.say("alike-note", &[("count", SIMILAR_DAYS.into())]),
            brief: false,
            rows: found
                .words
                .iter()
                .map(|(it, pairs)| row(it, Some(pairs)))
                .collect(),
        });
    }
    for (key, rows) in &found.same {
        let label = kind.field(key).map_or("", |field| lang.label(&field.label));
        alike.push(Alike {
            head: lang.say("alike-same", &[("text", label.into())]),
            note: String::new(),
            brief: true,
            rows: rows.iter().map(|it| row(it, None)).collect(),
        });
    }
    Ok(alike)
}

/// Answers the page that asks while somebody types.
pub(super) async fn answer(
    State(app): State<App>,
    session: Session,
    Path(kind): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let kind = kind_of(&kind)?;
    let sheet = Sheet::of(pairs)?;
    let said = app
        .read(move |books, connection| {
            let actor = session.actor(connection, books)?;
            actor.may_create(kind)?;
            let shown = (session.lang(), clock::now_ms());
            let mut parts = intake::parts_of(connection, books, kind, &sheet.typed, shown)?;
            look(connection, kind, (&sheet.typed, &actor), &mut parts, shown)
        })
        .await?;
    Ok(axum::Json(said).into_response())
}
