//! Names that were typed where a register is named and that are in none: whoever keeps the registers says once for all records whose
//! name each is. It becomes another name of that one; no record is changed.

use askama::Template;
use axum::Form;
use axum::extract::State;
use lianxin_protocol::catalogue::Catalogue;
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::choices::Choices;
use super::page::{Answer, Page, Session, go, html, known};
use crate::error::{Code, Error};
use crate::records;
use crate::records::save;

/// Names of a page: those that stand in most records first.
const ROWS: usize = 100;

/// A name with those it may be of.
struct Row {
    name: String,
    /// How many records have it, in words, and one of them.
    said: String,
    example: String,
    /// Ids and names of who it may be.
    choices: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "names.html")]
struct Names {
    page: Page,
    rows: Vec<Row>,
}

/// The page.
pub(super) async fn page(State(app): State<App>, session: Session) -> Answer {
    let line = (app.doors.line)();
    let names = app
        .read(move |books, connection| {
            let title = session.lang().say("names", &[]);
            let page = Page::new(connection, books, &session, &line, ("/records", title))?;
            let mut registers = Catalogue::current().kinds();
            if !registers.any(|kind| kind.alias().is_some() && page.actor.creates(kind)) {
                let message = "registers are kept by the sub-district";
                return Err(Error::new(Code::NotPermitted, message));
            }
            let mut rows = Vec::new();
            for found in records::unmatched(connection, ROWS)? {
                let catalogue = Catalogue::current();
                let kinds = catalogue.kinds();
                let mut naming = kinds.flat_map(|kind| catalogue.naming(kind));
                let field = naming.find(|field| field.names() == found.kinds);
                let choices = Choices::of(connection, books, field.into_iter())?;
                let choices = field.into_iter().flat_map(|field| choices.named(field));
                let example = records::rows(connection, &[found.example])?.pop();
                rows.push(Row {
                    said: page.n("names-in", &found.count),
                    example: example.map(|row| row.id.hyphenated()).unwrap_or_default(),
                    choices: choices
                        .map(|it| (it.id.clone(), it.label.clone()))
                        .collect(),
                    name: found.name,
                });
            }
            Ok(Names { page, rows })
        })
        .await?;
    html(&names)
}

/// Whose name it is.
#[derive(Deserialize)]
pub(super) struct Chosen {
    name: String,
    id: String,
}

/// Makes a name another name of a record of a register.
pub(super) async fn choose(
    State(app): State<App>,
    session: Session,
    Form(Chosen { name, id }): Form<Chosen>,
) -> Answer {
    app.write(move |journal, connection| {
        let (key, kind) = known(connection, journal, &id)?;
        let none = || Error::new(Code::BadInput, "this is no record of a register");
        let alias = kind.alias().ok_or_else(none)?;
        let author = session.author(connection, journal)?;
        author.actor.may_create(kind)?;
        let theirs = records::named(connection, &name, std::slice::from_ref(&kind.code))?;
        match theirs {
            Some(row) if row.key == key => return Ok(()),
            Some(_) => {
                let message = "this is another record's name already: correct that one first";
                return Err(Error::new(Code::BadInput, message));
            }
            None => {}
        }
        let draft = kind.read_edit(&json!({ alias.key.as_str(): { "add": [name] } }));
        let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
        save::set(connection, journal, key, &draft, &author).map(drop)
    })
    .await?;
    Ok(go("/names"))
}

/// What is said of names that are in no register.
pub(super) fn doubt(names: &[String], lang: super::words::Lang) -> Option<String> {
    let shown: Vec<_> = names.iter().take(10).map(String::as_str).collect();
    let with = [
        ("count", names.len().into()),
        ("names", shown.join("、").into()),
    ];
    (!names.is_empty()).then(|| lang.say("sure-names", &with))
}
