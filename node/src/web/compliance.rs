//! 减负与合规自检: every field of every kind, what it is for, how it is kept and who is shown it; which names are refused; and that nothing here
//! ranks or clocks people. All of it is read from the catalogue by which the program itself works, so that it cannot say otherwise.

use askama::Template;
use axum::extract::{Query, State};
use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, Kind, Retention, Veils};
use serde::Deserialize;

use super::App;
use super::page::{Answer, Page, Session, attached, html};
use super::words::Lang;
use crate::error::Result;
use crate::ledger::out::unwritten;
use crate::sheets::Encoding;
use crate::sheets::write::{Csv, Value};

/// A field, in words.
struct FieldRow {
    label: String,
    key: String,
    holds: String,
    purpose: String,
    kept: String,
    seen: String,
}

/// A kind of record, in words.
struct KindRow {
    code: String,
    label: String,
    about: String,
    version: u32,
    who: String,
    fields: Vec<FieldRow>,
}

#[derive(Template)]
#[template(path = "compliance.html")]
struct Compliance {
    page: Page,
    kinds: Vec<KindRow>,
    fields: u64,
    forbidden: String,
}

/// As a page or, asked for as one, a file.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    form: String,
}

/// What a field holds.
fn holds(field: &Field, lang: Lang) -> String {
    let of = |kind: &FieldType| match kind {
        FieldType::Text { .. } => "holds-text",
        FieldType::Ref { .. } | FieldType::ExternalRef => "holds-ref",
        FieldType::Enum { .. } => "holds-choice",
        FieldType::Int { .. } => "holds-number",
        FieldType::Bool => "holds-bool",
        FieldType::Date | FieldType::Month | FieldType::Time | FieldType::Clock => "holds-date",
        FieldType::Set { .. } => "holds-set",
        FieldType::Opaque => "holds-opaque",
    };
    lang.say(of(&field.kind), &[])
}

/// What a field is for: what its form says of it, else the part of the form that asks for it, else that a step writes it.
fn purpose(kind: &Kind, field: &Field, lang: Lang) -> String {
    if let Some(hint) = &field.hint {
        return lang.label(hint).to_owned();
    }
    let mut sections = kind.sections.iter();
    match sections.find(|section| section.fields.contains(&field.key)) {
        Some(section) => lang.label(&section.label).to_owned(),
        None => lang.say("compliance-by-step", &[]),
    }
}

/// Who is shown it, beyond being of a device that holds it.
fn seen(kind: &Kind, field: &Field, lang: Lang) -> String {
    let id = match (field.masked, kind.veils, field.retention) {
        (true, ..) => "compliance-masked",
        (false, Some(Veils::Words), Some(_)) => "compliance-office",
        (false, _, Some(_)) => "compliance-veiled",
        (false, _, None) => "compliance-site",
    };
    lang.say(id, &[])
}

fn row(kind: &Kind, lang: Lang) -> KindRow {
    let fields = kind.fields.iter().map(|field| FieldRow {
        label: lang.label(&field.label).to_owned(),
        key: field.key.clone(),
        holds: holds(field, lang),
        purpose: purpose(kind, field, lang),
        kept: lang.say(
            match field.retention {
                Some(Retention::Card) => "compliance-card",
                Some(Retention::Text) => "compliance-text",
                None => "compliance-fact",
            },
            &[],
        ),
        seen: seen(kind, field, lang),
    });
    let who = kind.create.who.iter().map(|role| role.label());
    let who: Vec<_> = who.map(|label| lang.label(&label).to_owned()).collect();
    KindRow {
        code: kind.code.clone(),
        label: lang.label(&kind.label).to_owned(),
        about: kind
            .about
            .as_ref()
            .map_or_else(String::new, |it| lang.label(it).to_owned()),
        version: kind.version,
        who: match (kind.create.by_program, who.is_empty()) {
            (true, _) => lang.say("compliance-program", &[]),
            (false, true) => lang.say("conflict-anybody", &[]),
            (false, false) => who.join("、"),
        },
        fields: fields.collect(),
    }
}

/// The page, or the same as a file.
pub(super) async fn page(
    State(app): State<App>,
    session: Session,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| {
            let lang = session.lang();
            let title = lang.say("compliance", &[]);
            let page = Page::new(connection, books, &session, &line, ("/compliance", title))?;
            let kinds: Vec<_> = Catalogue::current()
                .kinds()
                .map(|it| row(it, lang))
                .collect();
            let first = Catalogue::current().kinds().next().into_iter();
            let forbidden: Vec<_> = first.flat_map(Kind::forbidden).collect();
            Ok(Compliance {
                fields: kinds.iter().map(|kind| kind.fields.len() as u64).sum(),
                kinds,
                forbidden: forbidden.join("、"),
                page,
            })
        })
        .await?;
    if asked.form == "csv" {
        let bytes = csv(&page)?;
        return Ok(attached(
            "lianxin-fields.csv",
            "text/csv; charset=utf-8",
            bytes,
        ));
    }
    html(&page)
}

/// The fields as a table.
fn csv(page: &Compliance) -> Result<Vec<u8>> {
    let ids = [
        "rc-kind",
        "compliance-field",
        "rc-code",
        "compliance-holds",
        "compliance-purpose",
        "compliance-kept",
        "compliance-seen",
    ];
    let heads = ids.map(|id| page.page.t(id));
    let mut bytes = Vec::new();
    let mut csv = Csv::begin(
        &mut bytes,
        Encoding::Utf8Bom,
        &heads.each_ref().map(String::as_str),
    )
    .map_err(unwritten)?;
    for kind in &page.kinds {
        for field in &kind.fields {
            let row = [
                &kind.label,
                &field.label,
                &field.key,
                &field.holds,
                &field.purpose,
                &field.kept,
                &field.seen,
            ];
            csv.row(&row.map(|text| Value::Text(text)))
                .map_err(unwritten)?;
        }
    }
    csv.finish().map_err(unwritten)?;
    Ok(bytes)
}
