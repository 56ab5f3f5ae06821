//! The forms that offices print and keep (R18): 转办单, 接待登记表, 走访记录表, 面复记录 from what a record holds; and of a consultation 征询意见表, to be
//! filled in by hand, and 立法意见汇总表. Paper says no more than whoever prints is shown; who brought a matter is on none of them.

use askama::Template;
use axum::extract::{Path, Query, State};
use lianxin_protocol::catalogue::Kind;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::Value;

use super::App;
use super::forms::file_name;
use super::page::{Answer, Page, Session, attached, html, open};
use super::records::{Said, facts};
use super::shown;
use super::words::Lang;
use crate::error::{Code, Error, Result};
use crate::journal::Books;
use crate::records::articles::{self, Law};
use crate::records::{self, Listed, Record};
use crate::sheets::paper::{self, At};

/// Articles and comments of one form.
const ROWS: usize = 2_000;

/// Which form of a consultation.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    form: String,
    /// `docx` for a document that can be edited.
    #[serde(default)]
    r#as: String,
}

/// A line of a table on paper.
struct Line(Vec<String>);

#[derive(Template)]
#[template(path = "paper.html")]
struct Paper {
    page: Page,
    id: String,
    title: String,
    number: String,
    facts: Vec<Said>,
    words: Option<Said>,
    heads: Vec<String>,
    lines: Vec<Line>,
    /// The same as a document.
    document: String,
    file: String,
    /// The other form of a consultation: its address and name.
    other: Option<(String, String)>,
    test_data: bool,
}

/// The form.
pub(super) async fn show(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let line = (app.doors.line)();
    let is_document = asked.r#as == "docx";
    let page = app
        .read(move |books, connection| {
            let (record, kind) = open(connection, books, &session, &id)?;
            let lang = session.lang();
            let nothing = || Error::new(Code::NoPage, "there is no form to print of this record");
            let own = lang
                .label(kind.paper.as_ref().ok_or_else(nothing)?)
                .to_owned();
            let is_law = articles::is_law(kind);
            let summary = is_law && asked.form == "summary";
            let (title, other) = match (is_law, lang.say("paper-summary", &[])) {
                (false, _) => (own, None),
                (true, sums) if summary => (sums, Some(("", own))),
                (true, sums) => (own, Some(("?form=summary", sums))),
            };
            let page = Page::new(
                connection,
                books,
                &session,
                &line,
                ("/records", title.clone()),
            )?;
            let (heads, lines) = match (is_law, summary) {
                (false, _) => (Vec::new(), Vec::new()),
                (true, false) => to_fill_in(connection, books, &record, &page)?,
                (true, true) => summed_up(connection, books, &record, &page)?,
            };
            let from = (connection, books.authority());
            let (mut said, _, words) = facts(from, Some(kind), &record.content, &page);
            let field = kind.title.as_ref().and_then(|key| kind.field(key));
            let title_of = field.zip(record.title().text()).map(|(field, text)| {
                Said::new(lang.label(&field.label).to_owned(), text.to_owned())
            });
            let parent = parent(connection, books, &record, kind, &page)?;
            // The matter is named by its number and its words.
            let of = kind.parent.as_ref().and_then(|of| kind.field(&of.field));
            if let Some(of) = of.filter(|_| !parent.is_empty()) {
                said.retain(|it| it.label != lang.label(&of.label));
            }
            said.splice(0..0, title_of.into_iter().chain(parent));
            let own = record.id.hyphenated();
            Ok(Paper {
                title,
                number: record.content.number.clone().unwrap_or_default(),
                facts: said,
                words,
                heads,
                lines,
                other: other.map(|(query, name)| (format!("/records/{own}/paper{query}"), name)),
                document: match summary {
                    true => format!("/records/{own}/paper?form=summary&as=docx"),
                    false => format!("/records/{own}/paper?as=docx"),
                },
                file: file_name(&record, "docx"),
                test_data: record.is_test(),
                id: own,
                page,
            })
        })
        .await?;
    match is_document {
        true => Ok(attached(&page.file, paper::MEDIA, page.document()?)),
        false => html(&page),
    }
}

impl Paper {
    /// The same as a document, which an office edits.
    fn document(&self) -> Result<Vec<u8>> {
        let mut document = paper::Document::begin(self.heads.len());
        if self.test_data {
            document.mark(&self.page.t("test-data"));
        }
        document.title(&self.title);
        let meta = [self.page.place.as_str(), self.number.as_str()];
        let meta: Vec<_> = meta.into_iter().filter(|it| !it.is_empty()).collect();
        document.line(&meta.join("　"), At::Middle);
        let facts = self.facts.iter().chain(&self.words);
        document.pairs(facts.map(|fact| (fact.label.as_str(), fact.value.as_str())));
        if !self.heads.is_empty() {
            let heads: Vec<&str> = self.heads.iter().map(String::as_str).collect();
            document.table(&heads, self.lines.iter().map(|line| line.0.as_slice()));
        }
        let ends = ["report-made-by", "report-checked-by", "report-date"];
        let ends = ends.map(|id| self.page.t(id).trim().to_owned());
        let ends = ends.join("　　　　");
        document.line(&ends, At::Left);
        finished(document)
    }
}

/// A document as a file.
pub(super) fn finished(document: paper::Document) -> Result<Vec<u8>> {
    let unwritten = |error| Error::because(Code::File, "a document cannot be written", error);
    document.finish().map_err(unwritten)
}

/// What a sheet says of the matter that it belongs to: its number, and its words as far as they are shown.
fn parent(
    connection: &Connection,
    books: &mut Books,
    record: &Record,
    kind: &Kind,
    page: &Page,
) -> Result<Vec<Said>> {
    let Some(of) = &kind.parent else {
        return Ok(Vec::new());
    };
    let field = kind.field(&of.field);
    let given = record.content.held(&of.field).into_iter().next();
    let (Some(field), Some(given)) = (field, given) else {
        return Ok(Vec::new());
    };
    let Some(row) = records::named(connection, &given, field.names())? else {
        return Ok(Vec::new());
    };
    let whole = Record::read(connection, books, row.key, &page.actor)?;
    let mut said = Vec::new();
    let label = page.lang.label(&field.label).to_owned();
    said.push(Said::new(label, row.number.unwrap_or_default()));
    let named = whole.kind.filter(|_| whole.sight.has_words()).into_iter();
    let named = named.flat_map(|kind| {
        let keys = [&kind.words, &kind.title].into_iter().flatten();
        keys.filter_map(|key| kind.field(key))
    });
    let mut texts = named.filter_map(|field| {
        let text = whole.content.held(&field.key).into_iter().next()?;
        Some(Said::new(page.lang.label(&field.label).to_owned(), text))
    });
    said.extend(texts.next());
    Ok(said)
}

type Table = (Vec<String>, Vec<Line>);

fn heads(lang: Lang, ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| lang.say(id, &[])).collect()
}

fn row_of(record: &Record) -> Result<&Listed> {
    let missing = || Error::new(Code::RecordWaiting, "the record has not come whole");
    record.row.as_ref().ok_or_else(missing)
}

/// 征询意见表: each article with room for what somebody says of it.
fn to_fill_in(
    connection: &Connection,
    books: &mut Books,
    record: &Record,
    page: &Page,
) -> Result<Table> {
    let law = Law::of(connection, row_of(record)?)?;
    let articles = law.texts(connection, books)?.into_iter();
    let lines = articles.map(|(path, text)| Line(vec![path, text, String::new(), String::new()]));
    let ids = [
        "paper-article",
        "paper-text",
        "paper-change",
        "paper-reason",
    ];
    Ok((heads(page.lang, &ids), lines.collect()))
}

/// 立法意见汇总表: article, its text, what is asked, why, and of which kind of person; what was not reported up is left out.
fn summed_up(
    connection: &Connection,
    books: &mut Books,
    record: &Record,
    page: &Page,
) -> Result<Table> {
    let whole = row_of(record)?;
    let law = Law::of(connection, whole)?;
    let texts = law.texts(connection, books)?;
    let mut comments = Vec::new();
    for row in records::referring(
        connection,
        whole,
        (articles::COMMENT, articles::OF_DRAFT),
        ROWS,
    )? {
        let comment = Record::read(connection, books, row.key, &page.actor)?;
        if !comment.sight.has_words()
            || ["rejected", "withdrawn", "draft"].contains(&row.status.as_str())
        {
            continue;
        }
        let held = |key: &str| {
            comment
                .content
                .held(key)
                .into_iter()
                .next()
                .unwrap_or_default()
        };
        let (path, worded) = (held(articles::PLACE), held("legal_wording"));
        let asked = if worded.is_empty() {
            held("original_words")
        } else {
            worded
        };
        let field = comment.kind.and_then(|kind| kind.field("commenter_kind"));
        let kind = shown::value(field, &Value::from(held("commenter_kind")), page.lang);
        let place = law.place(&path);
        let text = place.and_then(|at| Some(texts.get(at)?.1.clone()));
        let line = [path, text.unwrap_or_default(), asked, held("reason"), kind];
        let place = place.unwrap_or(usize::MAX);
        comments.push((place, row.id, Line(line.to_vec())));
    }
    comments.sort_by_key(|(place, id, _)| (*place, *id));
    let ids = [
        "paper-article",
        "paper-text",
        "paper-change",
        "paper-reason",
        "paper-who",
    ];
    Ok((
        heads(page.lang, &ids),
        comments.into_iter().map(|(_, _, line)| line).collect(),
    ))
}
