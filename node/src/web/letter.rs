//! The letter in which whoever brought a matter is told what came of it, to print: on paper as offices send it (GB/T 9704: A4, 22 lines of
//! 28 characters). It says what the record says; what is not shown to whoever prints is not in it.

use askama::Template;
use axum::extract::{Path, Query, State};

use super::App;
use super::forms::file_name;
use super::page::{Answer, Bare, Session, attached, html, open};
use super::paper::finished;
use super::shown;
use crate::clock;
use crate::error::{Code, Error, Result};
use crate::records::{Content, Record};
use crate::sheets::paper::{At, Document, MEDIA};
use lianxin_protocol::catalogue::Kind;
use serde::Deserialize;
use serde_json::Value;

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    bare: Bare,
    id: String,
    title: String,
    network: String,
    unit: String,
    /// Whom it is to.
    to: String,
    /// Which matter it answers.
    opening: String,
    words: String,
    label: String,
    result: String,
    text: String,
    date: String,
    test_data: bool,
    file: String,
}

impl LetterPage {
    /// The same as a document, which an office edits.
    fn document(&self) -> Result<Vec<u8>> {
        let bare = &self.bare;
        let mut document = Document::begin(0);
        if self.test_data {
            document.mark(&bare.t("test-data"));
        }
        document.title(&self.title);
        document.line(&bare.colon(&self.to), At::Left);
        document.line(&self.opening, At::In);
        document.line(&self.words, At::In);
        document.line(&bare.t("letter-told"), At::In);
        let result = format!("{}{}。", bare.colon(&self.label), self.result);
        document.line(&result, At::In);
        document.line(&self.text, At::In);
        document.line(&bare.t("letter-closing"), At::In);
        for line in [&self.network, &self.unit, &self.date] {
            document.line(line, At::Right);
        }
        finished(document)
    }
}

/// How a letter is asked for: `docx` for a document.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    r#as: String,
}

/// Whether there is something to tell of a record in a letter.
pub(super) fn is_there(record: &Record, kind: &Kind) -> bool {
    record.sight.has_words() && told(&record.content, kind).is_some()
}

/// What came of it, why in words, and when that was given, in Unix milliseconds: a letter that is printed again has the same day.
fn told(content: &Content, kind: &Kind) -> Option<(String, String, u64)> {
    let letter = kind.letter.as_ref()?;
    let held = |key: &str| content.held(key).into_iter().next();
    let (text, at_ms) = match &letter.text {
        Some(key) => {
            let last = content.events.last()?.at_ms;
            (held(key).unwrap_or_default(), u64::try_from(last).ok()?)
        }
        None => content.answer(kind)?,
    };
    Some((held(&letter.result)?, text, at_ms))
}

/// The letter.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let lang = session.lang();
    let page = app
        .read(move |books, connection| {
            let (record, kind) = open(connection, books, &session, &id)?;
            let content = &record.content;
            let nothing = || Error::new(Code::RecordWaiting, "there is nothing to tell yet");
            let letter = kind.letter.as_ref().ok_or_else(nothing)?;
            let (result, text, at_ms) = told(content, kind).ok_or_else(nothing)?;
            let row = record.row.as_ref().ok_or_else(nothing)?;
            let held = |key: &str| content.held(key).into_iter().next().unwrap_or_default();
            let names = ["person.call_name", "person.name"].map(held);
            let to = names.into_iter().find(|name| !name.is_empty());
            let happened = record.happened_on();
            let happened = happened.as_deref().and_then(clock::day_begins);
            let happened = happened.unwrap_or_else(|| row.recorded_ms());
            let with = [
                ("date", shown::day(happened, lang).into()),
                ("number", content.number.clone().unwrap_or_default().into()),
            ];
            let field = kind.field(&letter.result);
            let title = lianxin_protocol::catalogue::Label {
                zh: letter.zh.clone(),
                en: letter.en.clone(),
            };
            Ok(LetterPage {
                id: record.id.hyphenated(),
                title: lang.label(&title).to_owned(),
                network: books.authority().names().0.to_owned(),
                unit: shown::site(books.authority(), row, lang),
                to: to.unwrap_or_else(|| lang.say("letter-to-nobody", &[])),
                opening: lang.say("letter-opening", &with),
                words: held(&letter.words),
                label: field.map_or_else(String::new, |it| lang.label(&it.label).to_owned()),
                result: shown::value(field, &Value::from(result), lang),
                text,
                date: shown::day(at_ms, lang),
                test_data: record.is_test(),
                file: file_name(&record, "docx"),
                bare: Bare::here(connection, books, lang)?,
            })
        })
        .await?;
    match asked.r#as == "docx" {
        true => Ok(attached(&page.file, MEDIA, page.document()?)),
        false => html(&page),
    }
}
