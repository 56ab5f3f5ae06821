//! Corrections to a record: a form that writes only what is different, so that others' corrections stay.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use lianxin_protocol::catalogue::{Field, FieldType, Kind, Refusal};
use lianxin_protocol::text;
use rusqlite::Connection;
use serde_json::Value;

use super::choices::{Choices, items};
use super::fields::{self, Input};
use super::page::{Answer, Page, Session, go, html, known};
use super::{App, Line, shown};
use crate::drafts::Typed;
use crate::error::Result;
use crate::journal::Books;
use crate::records::save;

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    page: Page,
    id: String,
    number: String,
    title: String,
    words: String,
    inputs: Vec<Input>,
    faults: Vec<fields::Fault>,
}

/// The fields that can be corrected: the form's, but for the resident's own words. Those stay as they were
/// registered; what is to be added is added as a step.
fn correctable(kind: &Kind) -> impl Iterator<Item = &Field> {
    fields::of_form(kind).filter(|field| !field.fixed)
}

fn edit_page(
    connection: &Connection,
    books: &mut Books,
    (session, line): (&Session, &Line),
    id: &str,
    attempt: Option<(&Typed, &[Refusal])>,
) -> Result<EditPage> {
    let (_, content, kind) = known(connection, books, id)?;
    let number = content.number.clone().unwrap_or_default();
    let page = Page::new(
        connection,
        books,
        session,
        line,
        ("/records", number.clone()),
    )?;
    let now = fields::typed(correctable(kind), &content.fields);
    let named = Choices::of(connection, books, correctable(kind))?;
    let named = named.holding(connection, correctable(kind), &now)?;
    let now = named.labels(correctable(kind), now);
    let (typed, refusals) = attempt.unwrap_or((&now, &[]));
    let input = |field| fields::input(field, &named, typed, refusals, page.lang);
    let inputs = correctable(kind).map(input);
    let words = fields::of_form(kind).find(|field| field.fixed);
    let words = words.and_then(|field| content.fields.get(&field.key)?.as_str());
    Ok(EditPage {
        id: id.to_owned(),
        number,
        title: shown::title(Some(kind), content.title.as_deref(), page.lang),
        words: words.unwrap_or_default().to_owned(),
        inputs: inputs.collect(),
        faults: fields::faults(correctable(kind), refusals, page.lang),
        page,
    })
}

/// The form for corrections.
pub(super) async fn form(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
) -> Answer {
    let line = (app.doors.line)();
    let page = app
        .read(move |books, connection| edit_page(connection, books, (&session, &line), &id, None))
        .await?;
    html(&page)
}

/// Corrects a record: only what is different is written, so that others' corrections stay.
pub(super) async fn change(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let line = (app.doors.line)();
    let typed = fields::from_pairs(pairs);
    let back = format!("/records/{id}?note=done");
    let wrong = app
        .write(move |journal, connection| {
            let (key, content, kind) = known(connection, journal, &id)?;
            let before = fields::typed(correctable(kind), &content.fields);
            let named = Choices::of(connection, journal, correctable(kind))?;
            let named = named.holding(connection, correctable(kind), &before)?;
            let input = difference(kind, &before, &named.ids(correctable(kind), &typed));
            let judged = kind.read_edit(&input).and_then(|draft| {
                let refusals = content.keeps(kind, &draft);
                if refusals.is_empty() {
                    Ok(draft)
                } else {
                    Err(refusals)
                }
            });
            match judged {
                Ok(draft) if draft.facts.is_empty() && draft.texts.is_empty() => Ok(None),
                Ok(draft) => {
                    let author = session.author(connection, journal)?;
                    save::set(connection, journal, key, &draft, &author)?;
                    Ok(None)
                }
                Err(refusals) => {
                    let attempt = Some((&typed, refusals.as_slice()));
                    let who = (&session, &line);
                    edit_page(connection, journal, who, &id, attempt).map(Some)
                }
            }
        })
        .await?;
    match wrong {
        None => Ok(go(&back)),
        Some(page) => Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response()),
    }
}

/// What an edit's form changes, as JSON; a field that was emptied is cleared.
fn difference(kind: &Kind, before: &Typed, typed: &Typed) -> Value {
    let is_blank = |values: Option<&Vec<String>>| {
        values.is_none_or(|values| values.iter().all(|value| text::is_blank(value)))
    };
    let same = |field: &Field| {
        let (old, new) = (before.get(&field.key), typed.get(&field.key));
        let normal = |values: Option<&Vec<String>>| {
            let values = values.into_iter().flatten();
            if matches!(field.kind, FieldType::Set { .. }) {
                let mut items: Vec<_> =
                    values.flat_map(|it| items(it)).map(str::to_owned).collect();
                items.sort();
                return items;
            }
            values
                .map(|it| text::kept(it).trim().to_owned())
                .collect::<Vec<_>>()
        };
        (is_blank(old) && is_blank(new)) || normal(old) == normal(new)
    };
    // A box that is not ticked sends nothing.
    let mut typed = typed.clone();
    for field in correctable(kind) {
        if field.kind == FieldType::Bool {
            let off = || vec!["false".to_owned()];
            typed.entry(field.key.clone()).or_insert_with(off);
        }
    }
    let off = |field: &Field| {
        field.kind == FieldType::Bool
            && is_blank(before.get(&field.key))
            && typed
                .get(&field.key)
                .is_some_and(|it| it.iter().all(|it| it == "false"))
    };
    let changed = correctable(kind).filter(|field| !same(field) && !off(field));
    fields::to_json(changed, &typed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lianxin_protocol::catalogue::Catalogue;
    use serde_json::json;

    #[test]
    fn a_correction_names_only_what_is_different() {
        let kind = Catalogue::standard().kind("opinion").unwrap();
        let held = json!({
            "category": "help", "urgency": "normal", "people_count": 2, "test_data": true,
            "place": {"community": "测试社区"}, "deputies": ["甲", "乙"],
        });
        let Value::Object(held) = held else { return };
        let before = fields::typed(correctable(kind), &held);
        let mut typed = before.clone();
        assert_eq!(difference(kind, &before, &typed), json!({}));
        typed.insert("urgency".to_owned(), vec!["urgent".to_owned()]);
        typed.insert("place.community".to_owned(), vec![String::new()]);
        typed.insert("deputies".to_owned(), vec!["甲\r\n乙".to_owned()]);
        typed.remove("test_data");
        let changed = difference(kind, &before, &typed);
        assert_eq!(
            changed,
            json!({ "urgency": "urgent", "place": {"community": ""}, "test_data": false })
        );
        assert!(kind.read_edit(&changed).is_ok());
        assert!(correctable(kind).all(|field| field.key != "body"));
    }
}
