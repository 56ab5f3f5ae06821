//! `record kinds` and `record template`: what can be recorded, told by the catalogue alone. `record publish` adds to it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use lianxin_protocol::catalogue::{Catalogue, Field, FieldType, KIND_BYTES_MAX, Kind};
use serde_json::{Map, Value, json};

use super::{Door, Output, default_directory, say};
use crate::command::{Write, known_kind};
use crate::error::{self, Code, Error, Result};
use crate::reply::Reply;
use crate::store;

/// Goes by what is published where this device has a data directory.
pub(super) fn published(data: Option<PathBuf>) -> Result<()> {
    let data = data.or_else(|| default_directory().ok());
    if let Some(data) = data.filter(|data| store::is_there(data)) {
        Door::with_kinds(&data)?;
    }
    Ok(())
}

/// Publishes a file, or says what it would bring.
pub(super) fn publish(
    data: &Path,
    (path, dry_run): (&Path, bool),
    account: Option<&str>,
    output: Output,
) -> Result<u8> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(error::file(path))?;
    let read = file
        .take(KIND_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text);
    read.map_err(|error| Error::because(Code::BadKind, "this is no text in UTF-8", error))?;
    let publish = Write::KindPublish {
        text,
        dry_run,
        account: account.map(str::to_owned),
    };
    output.print(&Door::open(data)?.call(publish)?)
}

/// Lists the kinds of record with their statuses and steps.
pub(super) fn list(output: Output) -> Result<u8> {
    let codes = |all: Vec<&str>| all.into_iter().map(Value::from).collect::<Vec<_>>();
    let kinds = Catalogue::current().kinds().map(|kind| {
        let statuses = kind.statuses.iter().map(|it| it.code.as_str()).collect();
        let steps = kind
            .transitions
            .iter()
            .map(|it| it.event.as_str())
            .collect();
        json!({
            "kind": kind.code,
            "zh": kind.label.zh,
            "en": kind.label.en,
            "version": kind.version,
            "statuses": codes(statuses),
            "events": codes(steps),
        })
    });
    let kinds: Vec<_> = kinds.collect();
    output.print(&Reply::ok(
        json!({ "schema": "lianxin.record-kinds/1", "kinds": kinds }),
    ))
}

/// An object with every field that a new record of a kind may have, for `record add`: what has no default is null, and counts as
/// not given. As text it is this object alone.
pub(super) fn template(code: &str, output: Output) -> Result<u8> {
    let kind = known_kind(code)?;
    let template = blank(kind);
    if !output.json {
        say(&format!("{template:#}\n"))?;
        return Ok(0);
    }
    let fields: Vec<_> = typed(kind).map(described).collect();
    output.print(&Reply::ok(json!({
        "schema": "lianxin.record-template/1",
        "kind": kind.code,
        "version": kind.version,
        "template": template,
        "fields": fields,
    })))
}

fn typed(kind: &Kind) -> impl Iterator<Item = &Field> {
    kind.fields.iter().filter(|field| !field.read_only)
}

fn blank(kind: &Kind) -> Value {
    let mut root = Map::new();
    for field in typed(kind) {
        let value = json!(field.default);
        match field.key.split_once('.') {
            None => {
                root.insert(field.key.clone(), value);
            }
            Some((group, name)) => {
                let group = root.entry(group).or_insert_with(|| json!({}));
                if let Value::Object(members) = group {
                    members.insert(name.to_owned(), value);
                }
            }
        }
    }
    Value::Object(root)
}

fn described(field: &Field) -> Value {
    let mut said = match shape(&field.kind) {
        Value::Object(said) => said,
        _ => Map::new(),
    };
    said.insert("required".to_owned(), json!(field.required));
    let mut object = Map::new();
    object.insert("field".to_owned(), json!(field.key));
    object.insert("zh".to_owned(), json!(field.label.zh));
    object.insert("en".to_owned(), json!(field.label.en));
    object.extend(said);
    Value::Object(object)
}

/// What a field takes.
fn shape(kind: &FieldType) -> Value {
    match kind {
        FieldType::Text { max_chars } => json!({ "type": "text", "max_chars": max_chars }),
        FieldType::Ref { max_chars, to } => {
            json!({ "type": "reference", "max_chars": max_chars, "to": to })
        }
        FieldType::Enum { options } => {
            let options: Vec<_> = options.iter().map(|it| it.code.as_str()).collect();
            json!({ "type": "option", "options": options })
        }
        FieldType::Int { min, max } => json!({ "type": "number", "min": min, "max": max }),
        FieldType::Bool => json!({ "type": "flag" }),
        FieldType::Date => json!({ "type": "date", "example": "2026-03-14" }),
        FieldType::Month => json!({ "type": "month", "example": "2026-03" }),
        FieldType::Time => json!({ "type": "time", "example": "2026-03-14T08:40:00+08:00" }),
        FieldType::Clock => json!({ "type": "time of day", "example": "09:30" }),
        FieldType::ExternalRef => {
            let example = json!({ "system": "12345", "no": "1", "date": "2026-03-14" });
            json!({ "type": "external reference", "example": example })
        }
        FieldType::Set { of, max_items } => {
            json!({ "type": "array", "max_items": max_items, "of": shape(of) })
        }
        FieldType::Opaque => json!({ "type": "nothing" }),
    }
}
