//! A draft law and its articles. A whole draft that is pasted is taken apart into them, each of which becomes a record of its own; a
//! newer text takes the comments along that its articles still bear, and marks the others. An article, its clauses (款) and their
//! items (项) are found however their numbers are written.
//!
//! The last ones have no records: they have no name but their place, which a newer text moves. A comment says in its path on which
//! it is.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Draft, Fact, Gather, Kind, NESTED_MAX, Refusal};
use lianxin_protocol::hash::Hex;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::save::{self, Author};
use super::{Content, Listed, ShownEvent, gather, named, referring, rows};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};

/// Articles that a draft has at most.
pub const ARTICLES_MAX: usize = NESTED_MAX * 2;
/// Kind of an article, with the fields by which it is known that a newer text does not have it any more, and which of the text it is.
const ARTICLE: &str = "draft_article";
const GONE: &str = "gone";
const ORDER: &str = "place";
/// Kind of a comment.
pub const COMMENT: &str = "legis_comment";
/// The field by which a comment names the draft law that it is on.
pub const OF_DRAFT: &str = "consultation";
/// The field by which a comment names the article or clause that it is on.
pub const PLACE: &str = "article_path";
/// The field by which a comment says whether it is on an article at all, and the value that says so.
const TARGET: &str = "target";
const ON_ARTICLE: &str = "article";
/// The field of an article that has the digest of its text, and of a comment that has that of the text on which it was written.
const STAMP: &str = "version_hash";
/// Comments on one draft that are looked through when a newer text comes.
const COMMENTS_MAX: usize = 5_000;
/// What a record is marked with whose article is not as it was; the step that does so, and the one with which somebody says that it holds
/// all the same.
const MARKED: &str = "needs_rebase";
const FLAG: &str = "flag_rebase";
const REBASE: &str = "rebase";
/// The step that moves a comment along with its article.
const CARRY: &str = "carry";
const NUMERALS: &str = "零〇一二三四五六七八九十百千两0123456789０１２３４５６７８９";

/// Whether records of a kind are draft laws: they have articles.
#[must_use]
pub fn is_law(kind: &Kind) -> bool {
    kind.gathers.iter().any(|it| it.kind == ARTICLE)
}

/// What a text did to a draft law.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Articles that are new.
    pub added: usize,
    /// Those that have another number now.
    pub moved: usize,
    /// Those that say something else.
    pub changed: usize,
    /// Those that the text does not have any more. They stay, marked, behind the others.
    pub gone: usize,
    /// Comments and items that went along to another number.
    pub carried: usize,
    /// Comments and items that somebody looks at again: their article differs, or it is not one article that they name.
    pub flagged: usize,
    /// Numbers that stand twice in the text, or after a higher one: it may have been taken apart otherwise than it is meant.
    pub doubted: Vec<String>,
}

/// Takes a draft apart and adds its articles behind those that are there; or, if it is a newer text, sets what differs.
///
/// # Errors
/// [`Code::FieldsRefused`] where no article begins with its number, there would be more than [`ARTICLES_MAX`], or some of them are
/// there already; [`Code::NothingToDo`] where all are; [`Code::StepRefused`] where the consultation has ended; [`Code::TooLarge`]
/// with more comments than can be looked through. Nothing was written then.
pub fn take(
    connection: &Connection,
    journal: &mut Journal,
    record: i64,
    (text, newer): (&str, bool),
    author: &Author,
) -> Result<Taken> {
    let (articles, doubted) = articles(text);
    let whole = rows(connection, &[record])?.pop();
    let whole = whole.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
    let no_law = || Error::new(Code::FieldsRefused, "this is no draft law");
    let kind = Catalogue::current().kind(&whole.kind).ok_or_else(no_law)?;
    let gather = kind.gathers.iter().find(|it| it.kind == ARTICLE);
    let gather = gather.ok_or_else(no_law)?;
    if articles.is_empty() {
        let message = "no article begins with its number";
        return Err(Error::new(Code::FieldsRefused, message));
    }
    if !kind.is_open(&whole.status) {
        let message = "this consultation is at its end: no article is added any more";
        return Err(Error::new(Code::StepRefused, message));
    }
    let law = Place {
        law: Law::of(connection, &whole)?,
        whole,
        child: save::known(ARTICLE)?,
        gather,
    };
    let mut taken = Taken {
        doubted,
        ..Taken::default()
    };
    // Whatever is refused is refused here, before anything is written.
    let (plan, on_it) = if newer {
        let on_it = on_law(connection, &law.whole)?;
        let plan = law.renewed(connection, journal, articles, &mut taken)?;
        (plan, on_it)
    } else {
        law.refuse_again(&articles)?;
        (law.begun(articles)?, Vec::new())
    };
    taken.added = plan.nested.len();
    let changes = !plan.edits.is_empty() || !plan.nested.is_empty();
    // A part of a text is no text: what fails from here on takes all of it back.
    let half = |error| Error::because(Code::Internal, "the text was not taken as a whole", error);
    plan.write(connection, journal, &law.whole, author)
        .map_err(half)?;
    follow(
        connection,
        journal,
        (&on_it, &plan.fates),
        author,
        &mut taken,
    )
    .map_err(half)?;
    if !changes && taken.flagged == 0 {
        let message = "the text is as it is here already";
        return Err(Error::new(Code::NothingToDo, message));
    }
    note_version(connection, journal, (record, kind), text, author).map_err(half)?;
    Ok(taken)
}

/// A draft law with the articles that are there.
struct Place {
    whole: Listed,
    law: Law,
    child: &'static Kind,
    gather: &'static Gather,
}

impl Place {
    /// A form that was sent twice, or a draft that was pasted again, adds nothing.
    fn refuse_again(&self, articles: &[Article]) -> Result<()> {
        let present: BTreeSet<_> = self.law.standing().map(|(path, _)| path).collect();
        let mut again = articles
            .iter()
            .filter(|it| present.contains(it.key.as_str()));
        if let Some(Article { path, .. }) = again.next() {
            let all = again.count() + 1 == articles.len();
            let code = if all {
                Code::NothingToDo
            } else {
                Code::FieldsRefused
            };
            let message = format!("this draft has {path} already; nothing was added");
            return Err(Error::new(code, message));
        }
        Ok(())
    }

    /// What adds articles behind those that are there.
    fn begun(&self, articles: Vec<Article>) -> Result<Plan> {
        let behind = self.law.articles.len();
        let articles = articles.into_iter().map(|article| Article {
            place: article.place + behind,
            ..article
        });
        Ok(Plan {
            nested: self.nested(articles.collect())?,
            ..Plan::default()
        })
    }

    /// Articles as records that are not there yet, each at its place.
    fn nested(&self, articles: Vec<Article>) -> Result<Vec<(String, Draft)>> {
        if self.law.articles.len() + articles.len() > ARTICLES_MAX {
            let message = "a draft has a thousand articles at most";
            return Err(Error::new(Code::FieldsRefused, message));
        }
        let nested = articles.into_iter().map(|article| {
            let input = json!({
                "path": article.path, "chapter": article.chapter, STAMP: article.digest, "text": article.text,
            });
            let order = i64::try_from(article.place).unwrap_or(i64::MAX);
            let draft = self.child.read_under(&input, &self.gather.by, order);
            let draft = draft.map_err(|refusals| refused(&article.path, &refusals))?;
            Ok((self.child.code.clone(), draft))
        });
        nested.collect()
    }

    /// What sets the articles to those of a newer text. An article that is the same stays, and so does what is on it, also under another
    /// number; what is on one that differs, or that is gone, is marked, so that somebody looks at it again.
    fn renewed(
        &self,
        connection: &Connection,
        books: &mut Books,
        mut newer: Vec<Article>,
        taken: &mut Taken,
    ) -> Result<Plan> {
        let mut old = Vec::with_capacity(self.law.articles.len());
        for (path, article) in &self.law.articles {
            old.push(Old {
                article,
                path: path.clone(),
                text: digest(&text_of(connection, books, article)?),
                gone: is_gone(article),
            });
        }
        let mut turns = matched(&old, &mut newer);
        let mut plan = Plan::default();
        for it in &old {
            let (draft, fate) = match turns.remove(&it.article.key) {
                Some(new) => {
                    let fate = match (new.digest == it.text, new.key == it.path) {
                        (true, true) => Fate::Same,
                        (true, false) => Fate::Moved(new.path.clone()),
                        (false, _) => Fate::Differs,
                    };
                    match &fate {
                        Fate::Same => {}
                        Fate::Moved(_) => taken.moved += 1,
                        Fate::Differs => taken.changed += 1,
                    }
                    (edit(self.child, it, new)?, fate)
                }
                None if it.gone => continue,
                None => {
                    taken.gone += 1;
                    let mut draft = Draft::default();
                    draft.facts.insert(GONE.to_owned(), Some(Fact::Bool(true)));
                    (draft, Fate::Differs)
                }
            };
            if !it.gone {
                plan.fates.insert(it.path.clone(), (it.text.clone(), fate));
            }
            if draft != Draft::default() {
                plan.edits.push((it.article.key, draft));
            }
        }
        plan.nested = self.nested(newer)?;
        Ok(plan)
    }
}

/// What a text is to do to a draft law, with nothing of it written yet.
#[derive(Default)]
struct Plan {
    /// Articles that are there, each with what differs.
    edits: Vec<(i64, Draft)>,
    /// Articles that are new, with their kind.
    nested: Vec<(String, Draft)>,
    /// What becomes of each article that stood, by its number: the digest of its text before, and its fate.
    fates: BTreeMap<String, (String, Fate)>,
}

impl Plan {
    fn write(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        whole: &Listed,
        author: &Author,
    ) -> Result<()> {
        for (key, draft) in &self.edits {
            save::set(connection, journal, *key, draft, author)?;
        }
        if self.nested.is_empty() {
            return Ok(());
        }
        save::add_nested(connection, journal, whole, &self.nested, author)
    }
}

/// Which article of a newer text each that is there becomes; what none becomes stays in `newer`. What stands comes before what is gone
/// and may come back.
fn matched(old: &[Old<'_>], newer: &mut Vec<Article>) -> BTreeMap<i64, Article> {
    type Is = fn(&Old<'_>, &Article) -> bool;
    // What is the same comes first: it leaves its number and its text to nobody else. Then what has another number now, before any number
    // gets another text; at last what says something else.
    let ways: [Is; 3] = [
        |it, new| new.key == it.path && new.digest == it.text,
        |it, new| !it.gone && new.digest == it.text,
        |it, new| new.key == it.path,
    ];
    let mut turns = BTreeMap::new();
    for is in ways {
        for it in old {
            if turns.contains_key(&it.article.key) {
                continue;
            }
            if let Some(at) = newer.iter().position(|new| is(it, new)) {
                turns.insert(it.article.key, newer.remove(at));
            }
        }
    }
    turns
}

/// What is wrong with an article of the text, and with which.
fn refused(path: &str, refusals: &[Refusal]) -> Error {
    let error = save::fields_refused(refusals);
    Error::new(error.code(), format!("{path}: {}", error.chain()))
}

/// The number of an article that is there.
fn path(article: &Listed) -> Option<String> {
    Some(canonical(article.fact("path")?.as_str()?))
}

/// Whether a newer text did not have it.
fn is_gone(article: &Listed) -> bool {
    article.fact(GONE) == Some(&Value::Bool(true))
}

/// Sixteen hexadecimal digits that differ where a text does, however its lines are indented.
fn digest(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<_> = lines.collect();
    let digest = lianxin_protocol::hash::PAYLOAD.hash(&[lines.join("\n").as_bytes()]);
    Hex(digest.first_chunk::<8>().unwrap_or(&[0; 8])).to_string()
}

/// What a newer text does to an article.
enum Fate {
    /// It stays as it is.
    Same,
    /// It has another number now.
    Moved(String),
    /// It says something else, or is not there any more.
    Differs,
}

/// An article that is there, with the digest of its text.
struct Old<'a> {
    article: &'a Listed,
    path: String,
    text: String,
    gone: bool,
}

/// What an article becomes: what differs of it.
fn edit(kind: &Kind, it: &Old<'_>, new: Article) -> Result<Draft> {
    let mut input = serde_json::Map::new();
    if new.key != it.path {
        input.insert("path".to_owned(), new.path.clone().into());
    }
    let chapter = it.article.fact("chapter").and_then(Value::as_str);
    if chapter.unwrap_or_default() != new.chapter {
        input.insert("chapter".to_owned(), new.chapter.into());
    }
    if new.digest != it.text {
        input.insert("text".to_owned(), new.text.into());
        input.insert(STAMP.to_owned(), new.digest.into());
    }
    let draft = kind.read_edit(&Value::Object(input));
    let mut draft = draft.map_err(|refusals| refused(&new.path, &refusals))?;
    if it.gone {
        draft.facts.insert(GONE.to_owned(), None);
    }
    let order = i64::try_from(new.place).unwrap_or(i64::MAX);
    if it.article.fact(ORDER).and_then(Value::as_i64) != Some(order) {
        let order = Some(Fact::Int(order));
        draft.facts.insert(ORDER.to_owned(), order);
    }
    Ok(draft)
}

/// Kinds whose records are on places of draft laws and go along with them.
fn followers() -> impl Iterator<Item = &'static Kind> {
    Catalogue::current().kinds().filter(|kind| {
        let has = |key: &&str| kind.field(key).is_some();
        [PLACE, OF_DRAFT].iter().all(has) && kind.transition(FLAG).is_some()
    })
}

/// The records that are on a draft law and still open.
fn on_law(connection: &Connection, whole: &Listed) -> Result<Vec<Listed>> {
    let mut found = Vec::new();
    for kind in followers() {
        let of = (kind.code.as_str(), OF_DRAFT);
        let mut on = referring(connection, whole, of, COMMENTS_MAX + 1)?;
        if on.len() > COMMENTS_MAX {
            let message = "there are too many comments to look through at once";
            return Err(Error::new(Code::TooLarge, message));
        }
        on.retain(|it| kind.is_open(&it.status));
        found.extend(on);
    }
    Ok(found)
}

/// Takes what is on articles along with them, and marks that whose article is not as it was, or of which it cannot be told. What is
/// marked stays where it is until somebody has looked.
fn follow(
    connection: &Connection,
    journal: &mut Journal,
    (on, fates): (&[Listed], &BTreeMap<String, (String, Fate)>),
    author: &Author,
    taken: &mut Taken,
) -> Result<()> {
    let all_same = fates.values().all(|(_, fate)| matches!(fate, Fate::Same));
    for it in on {
        let at = it.fact(PLACE).and_then(Value::as_str);
        let whole = it.fact(TARGET).is_some_and(|it| *it != *ON_ARTICLE);
        let Some(at) = at.filter(|_| !whole) else {
            continue;
        };
        let content = gather(connection, journal, it.key)?.content(journal.authority());
        if content.overlays.iter().any(|it| it == MARKED) {
            continue;
        }
        let named = Named::read(at);
        let fate = named.as_ref().and_then(|named| fates.get(&named.article));
        let step = match (&named, fate) {
            (_, Some((text, _))) if is_of_another(&content, text) => (FLAG, json!({})),
            (Some(named), Some((_, Fate::Moved(path)))) => {
                let rest = at.get(named.rest..).unwrap_or_default();
                (CARRY, json!({ PLACE: format!("{path}{rest}") }))
            }
            (_, Some((_, Fate::Differs))) => (FLAG, json!({})),
            (None, _) if !all_same => (FLAG, json!({})),
            _ => continue,
        };
        let who = (&author.actor, author.now_ms);
        match save::ready(connection, journal, it.key, (step.0, &step.1), who) {
            Ok(ready) => {
                save::take(connection, journal, ready, author)?;
                let count = match step.0 {
                    CARRY => &mut taken.carried,
                    _ => &mut taken.flagged,
                };
                *count += 1;
            }
            // What still waits for something else, or for its site, is looked at there.
            Err(error) if matches!(error.code(), Code::RecordWaiting | Code::StepRefused) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether something was said of another text than the one of this digest, and nobody has looked at it since.
fn is_of_another(content: &Content, text: &str) -> bool {
    let stamp = content.held(STAMP).into_iter().next();
    let looked = [CARRY, FLAG, REBASE];
    let looked = |event: &ShownEvent| looked.contains(&event.event.as_str());
    stamp.is_some_and(|stamp| stamp != text) && !content.events.iter().any(looked)
}

/// The draft law says of which text its articles are.
fn note_version(
    connection: &Connection,
    journal: &mut Journal,
    (key, kind): (i64, &Kind),
    text: &str,
    author: &Author,
) -> Result<()> {
    let draft = kind.read_edit(&json!({ STAMP: digest(text) }));
    let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
    match save::set(connection, journal, key, &draft, author) {
        Err(error) if error.code() != Code::NothingToDo => Err(error),
        _ => Ok(()),
    }
}

/// An article of a text.
#[derive(Debug, PartialEq, Eq)]
struct Article {
    /// Its number, as it is written: 第十二条; and in canonical form.
    path: String,
    key: String,
    text: String,
    /// See [`digest`].
    digest: String,
    /// The part, the chapter and the section in which it stands, with their names, as far as there are any.
    chapter: String,
    /// Which of the text it is, from one on.
    place: usize,
}

/// The articles of a text: each begins a line with 第…条; what stands before the first one belongs to none, and headings of
/// parts, chapters and sections say where those behind them stand. Beside them the numbers that stand twice, or after a higher one.
///
/// A table of contents that lists articles is passed over: its lines are no sentences, and the numbers come again.
fn articles(text: &str) -> (Vec<Article>, Vec<String>) {
    // What turns out to be a line of a table of contents leaves its place empty.
    let mut found: Vec<Option<Article>> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut doubted = Vec::new();
    let mut within = false;
    let mut stands = Stands::default();
    // Of a chapter whose name stands on the next line.
    let mut unnamed = false;
    for line in text.split(['\n', '\r', '\u{c}']).map(bare) {
        if line.is_empty() {
            continue;
        }
        match heading(line) {
            Some(Heading::Article(number, rest)) => {
                let path: String = number.chars().filter(|it| !it.is_whitespace()).collect();
                let key = canonical(&path);
                let there = places.get(&key).and_then(|at| found.get_mut(*at));
                let says = there.as_ref().and_then(|it| it.as_ref());
                let says = says.map(|it| says_something(&it.text) || !says_something(rest));
                if says == Some(true) {
                    // Whoever speaks of an article begins with its number as well.
                    doubted.push(path);
                } else {
                    there.map(Option::take);
                    places.insert(key.clone(), found.len());
                    found.push(Some(Article {
                        path,
                        key,
                        text: rest.to_owned(),
                        digest: String::new(),
                        chapter: stands.said(),
                        place: 0,
                    }));
                    (within, unnamed) = (true, false);
                    continue;
                }
            }
            Some(Heading::Part(unit, number, name)) => {
                stands.begin(unit, number, name);
                (within, unnamed) = (false, name.is_empty());
                continue;
            }
            Some(Heading::Other) => {
                within = false;
                continue;
            }
            None => {}
        }
        if unnamed && is_name(line) {
            stands.name(line);
        } else if let Some(Some(Article { text, .. })) = found.last_mut().filter(|_| within) {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line);
        }
        unnamed = false;
    }
    let mut found: Vec<Article> = found.into_iter().flatten().collect();
    let mut highest = (0, 0);
    for (at, article) in found.iter_mut().enumerate() {
        article.place = at + 1;
        article.digest = digest(&article.text);
        let number = Named::read(&article.path).map_or((0, 0), |named| named.number);
        if number < highest {
            doubted.push(article.path.clone());
        }
        highest = highest.max(number);
    }
    (found, doubted)
}

/// A line without what cannot be seen at its ends.
fn bare(line: &str) -> &str {
    let unseen = |c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    line.trim_matches(unseen)
}

/// Whether a text is one that says something, and not the line of a table of contents.
fn says_something(text: &str) -> bool {
    text.contains(['。', '；', '：', '，']) || text.is_empty()
}

/// Whether a line can be the name of a chapter: short, and no sentence.
fn is_name(line: &str) -> bool {
    !says_something(line) && line.chars().count() <= Stands::CHARS
}

/// Part, chapter and section, from the largest to the smallest.
#[derive(Default)]
struct Stands([String; 3]);

impl Stands {
    const UNITS: [char; 3] = ['编', '章', '节'];
    /// Of a name: headings are short, and what is longer is cut.
    const CHARS: usize = 20;

    fn begin(&mut self, unit: char, number: &str, name: &str) {
        let at = Self::UNITS.iter().position(|it| *it == unit);
        for (place, part) in self.0.iter_mut().enumerate() {
            match at {
                Some(at) if place == at => {
                    let number: String = number.chars().filter(|it| !it.is_whitespace()).collect();
                    let name: String = name.chars().take(Self::CHARS).collect();
                    *part = format!("{number} {name}").trim_end().to_owned();
                }
                Some(at) if place > at => part.clear(),
                _ => {}
            }
        }
    }

    /// Of the smallest that has begun.
    fn name(&mut self, name: &str) {
        let begun = self.0.iter_mut().rev().find(|it| !it.is_empty());
        if let Some(part) = begun {
            *part = format!("{part} {name}");
        }
    }

    fn said(&self) -> String {
        let begun = self.0.iter().filter(|it| !it.is_empty());
        begun.cloned().collect::<Vec<_>>().join(" · ")
    }
}

/// A line that begins something.
enum Heading<'a> {
    /// An article, by its number, and what follows on the line.
    Article(&'a str, &'a str),
    /// A part, chapter or section: its unit, its number and its name.
    Part(char, &'a str, &'a str),
    /// Something that is no article any more: 附件, 附则 without a number.
    Other,
}

/// 第十二条, 第十二条之一, 第三章 and what follows on the line; drafts are often typed 第 十 二 条. Whoever refers to one goes on with a clause,
/// another number or a verb of references, and a chapter has a name and no sentence.
fn heading(line: &str) -> Option<Heading<'_>> {
    const REFERS: [&str; 17] = [
        "第",
        "、",
        "，",
        "—",
        "-",
        "和第",
        "至第",
        "到第",
        "或第",
        "或者第",
        "及第",
        "以及第",
        "与第",
        "规定",
        "所称",
        "所列",
        "的规定",
    ];
    let plain: String = line.chars().filter(|it| !it.is_whitespace()).collect();
    if plain == "附则" || plain.starts_with("附件") || plain.starts_with("附表") {
        return Some(Heading::Other);
    }
    let is_number = |c: char| NUMERALS.contains(c);
    let rest = line.strip_prefix('第')?;
    let number = rest.find(|c: char| !is_number(c) && !c.is_whitespace())?;
    let (number, rest) = rest.split_at_checked(number)?;
    let unit = rest.chars().next()?;
    if !"编章节条".contains(unit) || number.trim().is_empty() {
        return None;
    }
    let mut len = '第'.len_utf8() + number.len() + unit.len_utf8();
    if let Some(after) = line.get(len..).and_then(|rest| rest.strip_prefix('之')) {
        let more = after.find(|c: char| !is_number(c)).unwrap_or(after.len());
        if more > 0 {
            len += '之'.len_utf8() + more;
        }
    }
    let (number, rest) = line.split_at_checked(len)?;
    if unit == '条' {
        let refers = REFERS.iter().any(|word| rest.starts_with(word));
        return (!refers).then(|| Heading::Article(number, bare(rest)));
    }
    let name = bare(rest);
    (name.is_empty() || is_name(name)).then_some(Heading::Part(unit, number, name))
}

/// A place in a draft law, as laws name it: one article, and perhaps a clause, an item and a sub-item of it.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    /// The article in canonical form.
    article: String,
    /// Its number, and the one behind 之.
    number: (u32, u32),
    /// The clause 款 and the item 项.
    clause: Option<u32>,
    item: Option<u32>,
    /// Where in the path the article ends, in bytes.
    rest: usize,
}

impl Named {
    /// Reads a path. None where it names no article, or more than one.
    fn read(path: &str) -> Option<Self> {
        let mut read = Self::parse(path)?;
        // The article alone ends where it is read as the same, with nothing behind it.
        let mut ends = path.char_indices().map(|(at, c)| at + c.len_utf8()).rev();
        let alone = ends.find(|at| {
            let article = path.get(..*at).and_then(Self::parse);
            article.is_some_and(|it| it.article == read.article && it.is_whole())
        });
        read.rest = alone?;
        Some(read)
    }

    fn is_whole(&self) -> bool {
        self.clause.is_none() && self.item.is_none()
    }

    fn parse(path: &str) -> Option<Self> {
        fn digits(text: &str) -> Option<(u32, &str)> {
            let end = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            let (number, rest) = text.split_at_checked(end)?;
            Some((number.parse().ok()?, rest))
        }
        /// A number before its unit, with or without 第.
        fn unit(text: &str, unit: char) -> Option<(u32, &str)> {
            let (number, rest) = digits(text.strip_prefix('第').unwrap_or(text))?;
            Some((number, rest.strip_prefix(unit)?))
        }
        let plain = canonical(path).replace('條', "条").replace('項', "项");
        let plain = plain.trim_start_matches("草案");
        let plain = plain.trim_end_matches(['。', '，', '、', '；', '.', ',', ';']);
        let (number, mut rest) = unit(plain, '条')?;
        let mut article = format!("第{number}条");
        let mut more = 0;
        if let Some((number, behind)) = rest.strip_prefix('之').and_then(digits) {
            article.push_str(&format!("之{number}"));
            (more, rest) = (number, behind);
        }
        let mut deeper = [None; 3];
        for (found, name) in deeper.iter_mut().zip(['款', '项', '目']) {
            if let Some((number, behind)) = unit(rest, name) {
                *found = Some(number);
                rest = behind;
            }
        }
        let [clause, item, _] = deeper;
        rest.is_empty().then_some(Self {
            article,
            number: (number, more),
            clause,
            item,
            rest: 0,
        })
    }
}

/// A path with neither spaces nor brackets nor two ways to write a number: 第 十二 条 and 第12条 are one, and 第（二）项 is 第二项.
pub(crate) fn canonical(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut numeral = String::new();
    let arabic = |c: char| match c {
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10).unwrap_or(c),
        c => c,
    };
    for c in path.chars().filter(|c| !is_spacing(*c)).map(arabic) {
        if NUMERALS.contains(c) {
            numeral.push(c);
            continue;
        }
        plain.push_str(&number(&std::mem::take(&mut numeral)));
        plain.push(c);
    }
    plain.push_str(&number(&numeral));
    plain
}

/// Spaces, and the brackets around the number of an item.
fn is_spacing(c: char) -> bool {
    c.is_whitespace() || "（）()".contains(c)
}

/// 二十三, 二三 and 23 as 23. What is longer than any number of an article stays as it is.
fn number(numeral: &str) -> String {
    const CHARS_MAX: usize = 10;
    if numeral.is_empty() || numeral.chars().count() > CHARS_MAX {
        return numeral.to_owned();
    }
    let value = |c: char| match "零一二三四五六七八九".chars().position(|it| it == c) {
        Some(digit) => digit,
        None if c == '两' => 2,
        None => c.to_digit(10).map_or(0, |digit| digit as usize),
    };
    let (mut sum, mut digit) = (0_usize, None);
    for c in numeral.chars() {
        let unit = match c {
            '十' => 10,
            '百' => 100,
            '千' => 1_000,
            c => {
                digit = Some(digit.unwrap_or(0) * 10 + value(c));
                continue;
            }
        };
        sum += digit.take().unwrap_or(1) * unit;
    }
    (sum + digit.unwrap_or(0)).to_string()
}

/// The article of these, given in their canonical form, that a path is in: 第十二条第一款 is in 第十二条, unless it
/// is an article of its own. 第十二条之一 is another one.
pub(crate) fn within<'a>(path: &str, articles: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let named = Named::read(path).map(|it| it.article);
    let path = canonical(path);
    let holds = |article: &&str| {
        if named.as_deref() == Some(*article) {
            return true;
        }
        let rest = path.strip_prefix(*article);
        !article.is_empty() && rest.is_some_and(|rest| !rest.starts_with('之'))
    };
    articles.filter(holds).max_by_key(|article| article.len())
}

/// The articles of a draft law that is here.
#[derive(Debug)]
pub struct Law {
    /// Each by its number in canonical form, in their order; those that a newer text did not have are behind the others.
    articles: Vec<(String, Listed)>,
}

impl Law {
    /// Of a draft law.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(connection: &Connection, whole: &Listed) -> Result<Self> {
        let mut there = referring(connection, whole, (ARTICLE, OF_DRAFT), ARTICLES_MAX)?;
        there.sort_by_key(is_gone);
        let articles = there.into_iter();
        let articles = articles.map(|article| (path(&article).unwrap_or_default(), article));
        Ok(Self {
            articles: articles.collect(),
        })
    }

    /// Of the draft law that a record of a kind is on, if its kind is on one; with where in it that record says that it is. `held` gives
    /// what the record has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn cited(
        connection: &Connection,
        kind: &Kind,
        held: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<(Self, String)>> {
        let (Some(_), Some(field)) = (kind.field(PLACE), kind.field(OF_DRAFT)) else {
            return Ok(None);
        };
        // What is on the whole draft, on its name or on what is to be added is on no article.
        if held(TARGET).is_some_and(|target| target != ON_ARTICLE) {
            return Ok(None);
        }
        let Some(whole) = held(OF_DRAFT) else {
            return Ok(None);
        };
        let whole = named(connection, &whole, field.names())?;
        let law = whole
            .map(|whole| Self::of(connection, &whole))
            .transpose()?;
        Ok(law.map(|law| (law, held(PLACE).unwrap_or_default())))
    }

    /// The articles that the newest text has.
    fn standing(&self) -> impl Iterator<Item = (&str, &Listed)> {
        let standing = self
            .articles
            .iter()
            .filter(|(_, article)| !is_gone(article));
        standing.map(|(path, article)| (path.as_str(), article))
    }

    /// The article that a path is in.
    #[must_use]
    pub fn article(&self, path: &str) -> Option<&Listed> {
        let (_, article) = self.standing().nth(self.place(path)?)?;
        Some(article)
    }

    /// Its place among the articles, from zero on.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        let within = within(path, self.standing().map(|(path, _)| path))?;
        self.standing().position(|(path, _)| path == within)
    }

    /// Number and text of each article.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn texts(
        &self,
        connection: &Connection,
        books: &mut Books,
    ) -> Result<Vec<(String, String)>> {
        let articles = self.standing().map(|(_, article)| {
            let number = article.fact("path").and_then(Value::as_str);
            let text = text_of(connection, books, article)?;
            Ok((number.unwrap_or_default().to_owned(), text))
        });
        articles.collect()
    }

    /// The numbers of its articles, as they are written.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let articles = self.standing().map(|(_, article)| article);
        articles.filter_map(|article| article.fact("path")?.as_str())
    }

    /// Whether a path leads nowhere: to no article, or to a clause that its article has not. A draft without articles knows none, and
    /// of a path that is no one article's nothing is said.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lacks(&self, connection: &Connection, books: &mut Books, path: &str) -> Result<bool> {
        let Some(at) = Named::read(path).filter(|_| self.standing().next().is_some()) else {
            return Ok(false);
        };
        // Somebody may have entered a clause as an article of its own.
        let Some(article) = self.article(path) else {
            return Ok(true);
        };
        let of = self::path(article).unwrap_or_default();
        if of != at.article || at.is_whole() {
            return Ok(false);
        }
        Ok(!holds(&text_of(connection, books, article)?, &at))
    }
}

/// What an article says.
///
/// # Errors
/// The store cannot be read.
pub fn text_of(connection: &Connection, books: &mut Books, article: &Listed) -> Result<String> {
    let content = gather(connection, books, article.key)?.content(books.authority());
    Ok(content.held("text").into_iter().next().unwrap_or_default())
}

/// The fact that says on which text of its article a new record is, or one that is put elsewhere, if nobody has said so. `held` gives what
/// the record has already.
///
/// # Errors
/// The store cannot be read.
pub fn stamp(
    connection: &Connection,
    books: &mut Books,
    (kind, draft): (&Kind, &Draft),
    held: impl Fn(&str) -> Option<String>,
) -> Result<Option<(String, Option<Fact>)>> {
    if kind.field(STAMP).is_none() || draft.facts.contains_key(STAMP) {
        return Ok(None);
    }
    let Some((law, path)) = cited_by(connection, (kind, draft), held)? else {
        return Ok(None);
    };
    let Some(article) = law.article(&path) else {
        return Ok(None);
    };
    let digest = match article.fact(STAMP).and_then(Value::as_str) {
        Some(digest) => digest.to_owned(),
        None => digest(&text_of(connection, books, article)?),
    };
    Ok(Some((STAMP.to_owned(), Some(Fact::Str(digest)))))
}

/// The law that a record is on, and where, if a draft says anything of that.
fn cited_by(
    connection: &Connection,
    (kind, draft): (&Kind, &Draft),
    held: impl Fn(&str) -> Option<String>,
) -> Result<Option<(Law, String)>> {
    let says = |key: &&str| draft.facts.contains_key(*key);
    if ![PLACE, OF_DRAFT].iter().any(says) {
        return Ok(None);
    }
    let value = |key: &str| match draft.facts.get(key) {
        Some(fact) => Some(fact.as_ref()?.as_str()?.to_owned()),
        None => held(key),
    };
    Law::cited(connection, kind, value)
}

/// What is doubtful in the place that a draft gives to a record, of which `held` gives what it has already.
///
/// # Errors
/// The store cannot be read.
pub fn doubted(
    connection: &Connection,
    books: &mut Books,
    said: (&Kind, &Draft),
    held: impl Fn(&str) -> Option<String>,
) -> Result<Option<Refusal>> {
    let Some((law, path)) = cited_by(connection, said, held)? else {
        return Ok(None);
    };
    Ok(law.lacks(connection, books, &path)?.then(|| Refusal {
        field: PLACE.to_owned(),
        code: "doubted",
        message: "the draft has no such article or clause".to_owned(),
    }))
}

/// Whether what a record says was said of another text of its article than the one that stands now, and nobody has looked at it.
///
/// # Errors
/// The store cannot be read.
pub fn is_outdated(connection: &Connection, kind: &Kind, content: &Content) -> Result<bool> {
    if content.held(STAMP).is_empty() {
        return Ok(false);
    }
    let held = |key: &str| content.held(key).into_iter().next();
    let Some((law, path)) = Law::cited(connection, kind, held)? else {
        return Ok(false);
    };
    let text = match law.article(&path) {
        Some(article) => article.fact(STAMP).and_then(Value::as_str),
        // It is not there any more.
        None => law.standing().next().map(|_| ""),
    };
    Ok(text.is_some_and(|text| is_of_another(content, text)))
}

/// A clause of an article, or an item of one.
#[derive(Debug, PartialEq, Eq)]
pub struct Clause {
    /// Where it is: 第十二条第二款, or 第十二条第二款第一项.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// The clauses and items of an article: a line is a clause, and one that begins with a number in brackets is an item of the clause
/// before it. An article that is one line has none. Where there is one clause alone its items are named without it, as laws do.
#[must_use]
pub fn clauses(path: &str, text: &str) -> Vec<Clause> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !is_deeper(line));
    let lines: Vec<_> = lines.map(|line| (item(line), line)).collect();
    let alone = lines.iter().filter(|(item, _)| item.is_none()).count() <= 1;
    if lines.len() <= 1 {
        return Vec::new();
    }
    let (mut clauses, mut clause) = (Vec::with_capacity(lines.len()), 0);
    for (item, line) in lines {
        clause += usize::from(item.is_none());
        let within = match clause {
            _ if alone => String::new(),
            clause => format!("第{}款", numeral(clause)),
        };
        let path = match item {
            Some(item) => format!("{path}{within}第{item}项"),
            None if alone => continue,
            None => format!("{path}{within}"),
        };
        let text = line.to_owned();
        clauses.push(Clause { path, text });
    }
    clauses
}

/// Whether a path in an article leads to one of its clauses or items. What lies deeper (目) is not looked for.
fn holds(text: &str, at: &Named) -> bool {
    let (mut clause, mut items) = (0, BTreeSet::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match item(line) {
            Some(item) => drop(items.insert((clause, number(item)))),
            None => clause += u32::from(!is_deeper(line)),
        }
    }
    // Where there is one clause alone its items may be named without it.
    let within = at.clause.or((clause == 1).then_some(1));
    let has_clause = at.clause.is_none_or(|it| (1..=clause).contains(&it));
    has_clause
        && at.item.is_none_or(|item| {
            within.is_some_and(|clause| items.contains(&(clause, item.to_string())))
        })
}

/// Whether a line is a sub-item 目: `1.` and what follows. It is part of the item before it.
fn is_deeper(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < line.len() && rest.starts_with(['.', '．', '、'])
}

/// The number of an item that a line begins with: 三 of （三）, and of 三、.
fn item(line: &str) -> Option<&str> {
    let bracketed = line.strip_prefix(['（', '(']);
    let bracketed = bracketed.and_then(|line| line.split_once(['）', ')']));
    let (number, _) = bracketed.or_else(|| line.split_once('、'))?;
    let is_number = !number.is_empty() && number.chars().all(|c| NUMERALS.contains(c));
    // 1、 is what lies deeper.
    (is_number && (bracketed.is_some() || !number.starts_with(|c: char| c.is_ascii_digit())))
        .then_some(number)
}

/// A number below a hundred in Chinese numerals; above, in digits.
fn numeral(number: usize) -> String {
    const DIGITS: [&str; 10] = ["", "一", "二", "三", "四", "五", "六", "七", "八", "九"];
    let digit = |at: usize| DIGITS.get(at).copied().unwrap_or_default();
    match (number / 10, number % 10) {
        (0, ones) => digit(ones).to_owned(),
        (1, ones) => format!("十{}", digit(ones)),
        (tens @ 2..=9, ones) => format!("{}十{}", digit(tens), digit(ones)),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_article_is_found_however_its_number_is_written() {
        for (one, other) in [
            ("第十二条", "第12条"),
            ("第 十二 条", "第１２条"),
            ("第一百零三条", "第103条"),
            ("第一百一十条", "第110条"),
            ("第二〇条", "第20条"),
            ("第一千零二十条第三款", "第1020条第3款"),
        ] {
            assert_eq!(canonical(one), canonical(other));
        }
        let endless = format!("第{}条", "9".repeat(40));
        assert_eq!(canonical(&endless), endless);
        assert_eq!(canonical("第9999999999千条"), "第9999999999千条");
        let known = ["第十二条", "第十二条第一款", "第一条", "第十二条之一"].map(canonical);
        let place = |path| {
            within(path, known.iter().map(String::as_str))
                .and_then(|it| known.iter().position(|k| k == it))
        };
        assert_eq!(place("第12条"), Some(0));
        assert_eq!(place("第十二条 第二款"), Some(0));
        assert_eq!(place("第十二条第一款第（二）项"), Some(1));
        assert_eq!(place("第十二条之一第一款"), Some(3));
        assert_eq!(place("第十一条"), None);
        assert_eq!(place("第十二条之二"), None);
        assert_eq!(place(""), None);
    }

    fn pairs(found: &[Article]) -> Vec<(&str, &str)> {
        let pairs = found.iter();
        pairs
            .map(|it| (it.path.as_str(), it.text.as_str()))
            .collect()
    }

    #[test]
    fn a_draft_is_taken_apart_at_its_articles() {
        let text = "测试市住宅电梯安全条例\r\n(草案征求意见稿)\n\n第一章 总则\n第一条　为了测试，制定本条例。\n\
                    第二条 本条例所称电梯，是指：\n　　（一）客梯；\n　　（二）货梯。\n第二章 使用\n\
                    第十二条物业服务人应当依照第十条的规定到达现场。\n第13条 其他。\n";
        let (found, doubted) = articles(text);
        assert!(doubted.is_empty(), "{doubted:?}");
        assert_eq!(
            pairs(&found),
            [
                ("第一条", "为了测试，制定本条例。"),
                (
                    "第二条",
                    "本条例所称电梯，是指：\n（一）客梯；\n（二）货梯。"
                ),
                ("第十二条", "物业服务人应当依照第十条的规定到达现场。"),
                ("第13条", "其他。"),
            ]
        );
        let (spaced, _) =
            articles("第 一 章　总则\n第 一 条　甲。\n第　十 二　条 乙。\n第 条 丙。");
        let paths: Vec<_> = spaced.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["第一条", "第十二条"]);
        assert_eq!(spaced[1].text, "乙。\n第 条 丙。");
        assert!(articles("没有条文的一段话。\n第三者的责任").0.is_empty());
        // One that was put in later has a number of its own; who speaks of an article begins no second one.
        let (found, _) =
            articles("第十二条 甲。\n第十二条之一 乙。\n第十二条所称的甲，是指丙。\n第十三条 丁。");
        assert_eq!(
            pairs(&found),
            [
                ("第十二条", "甲。"),
                ("第十二条之一", "乙。\n第十二条所称的甲，是指丙。"),
                ("第十三条", "丁。"),
            ]
        );
    }

    #[test]
    fn an_article_says_in_which_part_chapter_and_section_it_stands() {
        let text = "第一条 甲。\n第一编 总则\n第 一 章　一般规定\n第二条 乙。\n第一节 范围\n第三条 丙。\n第二章\n第四条 丁。\n第二编 分则\n第五条 戊。";
        let chapters: Vec<_> = articles(text).0.into_iter().map(|it| it.chapter).collect();
        assert_eq!(
            chapters,
            [
                "",
                "第一编 总则 · 第一章 一般规定",
                "第一编 总则 · 第一章 一般规定 · 第一节 范围",
                "第一编 总则 · 第二章",
                "第二编 分则",
            ]
        );
        // Three of the longest fit the field.
        let long = "名".repeat(40);
        let text = format!("第一百编 {long}\n第一百章 {long}\n第一百节 {long}\n第一条 甲。");
        let kind = save::known(ARTICLE).unwrap_or_else(|_| unreachable!());
        let chapter = &articles(&text).0[0].chapter;
        let field = kind.field("chapter").unwrap_or_else(|| unreachable!());
        assert_eq!(field.written(chapter).as_ref(), Some(chapter));
    }

    #[test]
    fn an_article_has_clauses_and_items() {
        let paths = |text: &str| {
            let clauses = clauses("第二条", text).into_iter();
            clauses.map(|it| it.path).collect::<Vec<_>>()
        };
        assert!(paths("一句话。").is_empty());
        assert_eq!(paths("甲。\n乙。"), ["第二条第一款", "第二条第二款"]);
        assert_eq!(
            paths("电梯，是指：\n　（一）客梯；\n(2)货梯。"),
            ["第二条第一项", "第二条第2项"]
        );
        assert_eq!(
            paths("甲：\n（一）客梯；\n（二）货梯。\n乙。"),
            [
                "第二条第一款",
                "第二条第一款第一项",
                "第二条第一款第二项",
                "第二条第二款",
            ]
        );
        let many = "甲。\n".repeat(23);
        let last = clauses("第二条", &many).pop().map(|it| it.path);
        assert_eq!(last.as_deref(), Some("第二条第二十三款"));
    }

    #[test]
    fn a_path_leads_to_what_the_article_has() {
        let two = "甲：\n（一）客梯；\n（二）货梯：\n1.大货梯；\n2.小货梯。\n乙。";
        let one = "电梯，是指：\n（一）客梯；\n（二）货梯。";
        let plain = "一句话。";
        let listed = "甲：\n一、客梯；\n二、货梯。";
        for (text, path, is) in [
            (two, "第二条第二款", true),
            (two, "第二条第１款第（二）项", true),
            (two, "第二条第一款第二项第1目", true),
            (two, "第二条第三款", false),
            (two, "第二条第一款第三项", false),
            (two, "第二条第二项", false),
            (one, "第二条第二项", true),
            (one, "第二条第一款第二项", true),
            (one, "第二条第一款", true),
            (one, "第二条第二款", false),
            (plain, "第二条第一款", true),
            (plain, "第二条第二款", false),
            (listed, "第二条第二项", true),
            (listed, "第二条第三项", false),
        ] {
            let at = Named::read(path).unwrap_or_else(|| unreachable!());
            assert_eq!(holds(text, &at), is, "{path} in {text}");
        }
    }

    #[test]
    fn a_path_is_read_as_people_write_it_and_only_where_it_names_one_place() {
        let read = |path: &str| {
            let named = Named::read(path)?;
            let rest = path.get(named.rest..).unwrap_or_default().to_owned();
            Some((named.article, named.clause, named.item, rest))
        };
        let of = |article: &str, clause, item, rest: &str| {
            Some((article.to_owned(), clause, item, rest.to_owned()))
        };
        for (path, named) in [
            ("第十二条", of("第12条", None, None, "")),
            ("12条", of("第12条", None, None, "")),
            ("第 十二 条之一", of("第12条之1", None, None, "")),
            ("第十二条2款", of("第12条", Some(2), None, "2款")),
            (
                "第十二条第二款第（二）项",
                of("第12条", Some(2), Some(2), "第二款第（二）项"),
            ),
            ("第十二條，", of("第12条", None, None, "")),
            ("草案第十二条", of("第12条", None, None, "")),
        ] {
            let found = read(path).map(|(article, clause, item, rest)| {
                (article, clause, item, rest.trim_matches('，').to_owned())
            });
            assert_eq!(found, named, "{path}");
        }
        for path in [
            "",
            "全文",
            "名称",
            "附则",
            "第二章",
            "第十二条和第十三条",
            "第十二条、第十三条",
            "第十一条至第十三条",
            "第十二条第二、三款",
            "第十二条第二款后半句",
            "第③项",
            "第十二条第二款（三）后",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_a_heading_is_text_and_what_comes_twice_is_doubted() {
        let paths = |text: &str| {
            let (found, doubted) = articles(text);
            let found: Vec<_> = found.into_iter().map(|it| (it.path, it.text)).collect();
            (found, doubted)
        };
        let pair = |path: &str, text: &str| (path.to_owned(), text.to_owned());
        let text = "第一条 有下列情形的：\n第三章规定的措施，由街道实施。\n第十条第一款、第三款规定的情形；\n还有一款。\n第二条 乙。";
        let one = "有下列情形的：\n第三章规定的措施，由街道实施。\n第十条第一款、第三款规定的情形；\n还有一款。";
        assert_eq!(
            paths(text),
            (vec![pair("第一条", one), pair("第二条", "乙。")], vec![])
        );
        // A table of contents.
        let text = "目 录\n第一条 立法目的\t1\n第二条 适用范围\t2\n第一章 总则\n第一条 为了甲，制定。\n第二条 本市乙。";
        let found = vec![pair("第一条", "为了甲，制定。"), pair("第二条", "本市乙。")];
        assert_eq!(paths(text), (found, vec![]));
        // Full-width digits, what cannot be seen, old line ends, and what stands behind the last article.
        let text = "\u{200b}第13条 甲。\r第１４条 乙。\u{c}第十五条 丙。\n附件：说明\n附件的文字。";
        let found = vec![
            pair("第13条", "甲。"),
            pair("第１４条", "乙。"),
            pair("第十五条", "丙。"),
        ];
        assert_eq!(paths(text), (found, vec![]));
        // The name of a chapter may stand on the next line.
        let (found, _) = articles("第一章\n总则\n第一条 甲。");
        assert_eq!(found[0].chapter, "第一章 总则");
        // Without a space behind its number an article is one all the same.
        let text = "第一条及时处理。\n第二条中小学校应当。\n第三条至少每年一次。\n第四条或者第五条的，从其规定。";
        let (found, doubted) = articles(text);
        let read: Vec<_> = found.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(read, ["第一条", "第二条", "第三条"]);
        assert!(doubted.is_empty());
        // Twice, and backwards.
        let (found, doubted) = articles("第一条 甲。\n第三条 丙。\n第二条 乙。\n第一条 又一条。");
        assert_eq!(found.len(), 3);
        assert_eq!(doubted, ["第一条", "第二条"]);
    }
}
