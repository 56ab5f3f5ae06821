//! A draft law and its articles. A whole draft that is pasted is taken apart into them, each of which becomes a record of its own; a
//! newer text takes the comments along that its articles still bear, and marks the others. An article, its clauses (款) and their
//! items (项) are found however their numbers are written.
//!
//! The last ones have no records: they have no name but their place, which a newer text moves. A comment says in its path on which
//! it is.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::{Catalogue, Draft, Gather, Kind, NESTED_MAX, Refusal};
use lianxin_protocol::hash::Hex;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::save::{self, Author};
use super::{Listed, gather, named, referring, rows};
use crate::error::{Code, Error, Result};
use crate::journal::{Books, Journal};

/// Articles that a draft has at most.
pub const ARTICLES_MAX: usize = NESTED_MAX * 2;
/// Kind of a comment.
pub const COMMENT: &str = "legis_comment";
/// The field by which a comment names the draft law that it is on.
pub const OF_DRAFT: &str = "consultation";
/// The field by which a comment names the article or clause that it is on.
pub const PLACE: &str = "article_path";
/// Kind of an article.
const ARTICLE: &str = "draft_article";
/// Comments on one draft that are looked through when a newer text comes.
const COMMENTS_MAX: usize = 5_000;
/// The step that marks a comment whose article is not as it was.
const FLAG: &str = "flag_rebase";
/// The step that moves a comment along with its article.
const CARRY: &str = "carry";
/// What is noted at an article that a newer text does not have.
const GONE: &str = "新一稿中没有这一条";
const NUMERALS: &str = "零〇一二三四五六七八九十百千两0123456789";

/// Whether records of a kind are draft laws: they have articles.
#[must_use]
pub fn is_law(kind: &Kind) -> bool {
    kind.gathers.iter().any(|it| it.kind == ARTICLE)
}

/// What a text did to a draft law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Articles that are new.
    pub added: usize,
    /// Those that have another number now.
    pub moved: usize,
    /// Those that say something else.
    pub changed: usize,
    /// Those that the text does not have any more. They stay, with a note.
    pub gone: usize,
    /// Comments that went along to another number.
    pub carried: usize,
    /// Comments that somebody looks at again, since their article differs.
    pub flagged: usize,
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
    let articles = articles(text);
    let whole = rows(connection, &[record])?.pop();
    let whole = whole.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
    let kind = known(&whole.kind)?;
    let nothing = || Error::new(Code::FieldsRefused, "no article begins with its number");
    let gather = kind.gathers.iter().find(|gather| gather.field.is_some());
    let gather = gather
        .filter(|_| !articles.is_empty())
        .ok_or_else(nothing)?;
    if !kind.is_open(&whole.status) {
        let message = "this consultation is at its end: no article is added any more";
        return Err(Error::new(Code::StepRefused, message));
    }
    let child = known(&gather.kind)?;
    let of = (child.code.as_str(), gather.by.as_str());
    let there = referring(connection, &whole, of, ARTICLES_MAX)?;
    let place = Place {
        whole,
        child,
        gather,
        there,
    };
    let mut taken = Taken::default();
    if newer {
        renew(connection, journal, (&place, articles), author, &mut taken)?;
    } else {
        place.refuse_again(&articles)?;
        taken.added = place.add(connection, journal, articles, author)?;
    }
    note_version(connection, journal, (record, kind), text, author)?;
    Ok(taken)
}

fn known(code: &str) -> Result<&'static Kind> {
    let kind = Catalogue::current().kind(code);
    kind.ok_or_else(|| Error::new(Code::NoKind, "there is no kind of record of that name"))
}

/// A draft law with the articles that are there.
struct Place {
    whole: Listed,
    child: &'static Kind,
    gather: &'static Gather,
    there: Vec<Listed>,
}

impl Place {
    /// A form that was sent twice, or a draft that was pasted again, adds nothing.
    fn refuse_again(&self, articles: &[Article]) -> Result<()> {
        let paths = self.there.iter().filter_map(path);
        let present: BTreeSet<_> = paths.collect();
        let mut again = articles
            .iter()
            .filter(|it| present.contains(&canonical(&it.path)));
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

    /// Adds articles behind those that are there.
    fn add(
        &self,
        connection: &Connection,
        journal: &mut Journal,
        articles: Vec<Article>,
        author: &Author,
    ) -> Result<usize> {
        if self.there.len() + articles.len() > ARTICLES_MAX {
            let message = "a draft has a thousand articles at most";
            return Err(Error::new(Code::FieldsRefused, message));
        }
        let added = articles.len();
        if added == 0 {
            return Ok(0);
        }
        let mut nested = Vec::with_capacity(added);
        for (place, article) in (self.there.len() + 1..).zip(articles) {
            let Article {
                path,
                text,
                chapter,
            } = article;
            let digest = digest(&text);
            let input =
                json!({ "path": path, "chapter": chapter, "version_hash": digest, "text": text });
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let draft = self.child.read_under(&input, &self.gather.by, place);
            let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
            nested.push((self.child.code.clone(), draft));
        }
        save::add_nested(connection, journal, &self.whole, &nested, author)?;
        Ok(added)
    }
}

/// The number of an article that is there.
fn path(article: &Listed) -> Option<String> {
    Some(canonical(article.fact("path")?.as_str()?))
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

/// Sets the articles to those of a newer text. An article that is the same stays, and so do the comments on it, also under another
/// number; the comments on one that differs, or that is gone, are marked, so that somebody looks at each again.
fn renew(
    connection: &Connection,
    journal: &mut Journal,
    (place, mut newer): (&Place, Vec<Article>),
    author: &Author,
    taken: &mut Taken,
) -> Result<()> {
    let comments = referring(
        connection,
        &place.whole,
        (COMMENT, OF_DRAFT),
        COMMENTS_MAX + 1,
    )?;
    if comments.len() > COMMENTS_MAX {
        let message = "there are too many comments to look through at once";
        return Err(Error::new(Code::TooLarge, message));
    }
    let mut old = Vec::with_capacity(place.there.len());
    for article in &place.there {
        let Some(path) = path(article) else { continue };
        let content = gather(connection, journal, article.key)?.content(journal.authority());
        let text = content.held("text").into_iter().next().unwrap_or_default();
        let chapter = content.held("chapter").into_iter().next();
        let chapter = chapter.unwrap_or_default();
        let gone = content.held("note") == [GONE];
        old.push((article, path, (digest(&text), chapter), gone));
    }
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    let take = |newer: &mut Vec<Article>, is: &dyn Fn(&Article) -> bool| {
        let at = newer.iter().position(is)?;
        Some(newer.remove(at))
    };
    // What is the same comes first: it leaves its number and its text to nobody else.
    let mut stays: BTreeMap<i64, String> = BTreeMap::new();
    for (article, path, (text, _), _) in &old {
        let same = |it: &Article| canonical(&it.path) == *path && digest(&it.text) == *text;
        if let Some(same) = take(&mut newer, &same) {
            fates.insert(path.clone(), Fate::Same);
            stays.insert(article.key, same.chapter);
        }
    }
    // Then what has another number now, before any number gets another text.
    let mut moves: BTreeMap<i64, Article> = BTreeMap::new();
    for (article, _, (text, _), gone) in &old {
        let moved = |it: &Article| digest(&it.text) == *text;
        if !gone
            && !stays.contains_key(&article.key)
            && let Some(to) = take(&mut newer, &moved)
        {
            moves.insert(article.key, to);
        }
    }
    let mut any = false;
    for (article, path, (text, chapter), gone) in &old {
        let same = stays.get(&article.key);
        if same == Some(chapter) && !gone {
            continue;
        }
        let renamed = |it: &Article| canonical(&it.path) == *path;
        let (input, fate) = if let Some(chapter) = same {
            (json!({ "chapter": chapter, "note": null }), Fate::Same)
        } else if let Some(Article { path, chapter, .. }) = moves.remove(&article.key) {
            let input = json!({ "path": path, "chapter": chapter });
            taken.moved += 1;
            (input, Fate::Moved(path))
        } else if let Some(Article {
            text: newer,
            chapter,
            ..
        }) = take(&mut newer, &renamed)
        {
            let digest_of = digest(&newer);
            let input = json!({ "version_hash": digest_of, "text": newer, "chapter": chapter, "note": null });
            let same = digest_of == *text;
            taken.changed += usize::from(!same);
            (input, if same { Fate::Same } else { Fate::Differs })
        } else if *gone {
            continue;
        } else {
            taken.gone += 1;
            (json!({ "note": GONE }), Fate::Differs)
        };
        any = true;
        fates.insert(path.clone(), fate);
        let draft = place.child.read_edit(&input);
        let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
        match save::set(connection, journal, article.key, &draft, author) {
            Err(error) if error.code() != Code::NothingToDo => return Err(error),
            _ => {}
        }
    }
    if !any && newer.is_empty() {
        let message = "the text is as it is here already";
        return Err(Error::new(Code::NothingToDo, message));
    }
    taken.added = place.add(connection, journal, newer, author)?;
    carry(connection, journal, (&comments, &fates), author, taken)
}

/// Takes comments along with the articles that they are on, and marks those whose article is not as it was.
fn carry(
    connection: &Connection,
    journal: &mut Journal,
    (comments, fates): (&[Listed], &BTreeMap<String, Fate>),
    author: &Author,
    taken: &mut Taken,
) -> Result<()> {
    let kind = known(COMMENT)?;
    for comment in comments.iter().filter(|it| kind.is_open(&it.status)) {
        let on = comment.fact(PLACE).and_then(Value::as_str);
        let Some(on) = on.map(canonical) else {
            continue;
        };
        let article = within(&on, fates.keys());
        let step = match article.and_then(|article| Some((article, fates.get(article)?))) {
            Some((article, Fate::Moved(path))) => {
                let rest = on.strip_prefix(article.as_str()).unwrap_or_default();
                (CARRY, json!({ PLACE: format!("{path}{rest}") }))
            }
            Some((_, Fate::Differs)) => (FLAG, json!({})),
            Some((_, Fate::Same)) | None => continue,
        };
        let who = (&author.actor, author.now_ms);
        match save::ready(connection, journal, comment.key, (step.0, &step.1), who) {
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

/// The draft law says of which text its articles are.
fn note_version(
    connection: &Connection,
    journal: &mut Journal,
    (key, kind): (i64, &Kind),
    text: &str,
    author: &Author,
) -> Result<()> {
    let draft = kind.read_edit(&json!({ "version_hash": digest(text) }));
    let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
    match save::set(connection, journal, key, &draft, author) {
        Err(error) if error.code() != Code::NothingToDo => Err(error),
        _ => Ok(()),
    }
}

/// An article of a text.
#[derive(Debug, PartialEq, Eq)]
struct Article {
    /// Its number, as it is written: 第十二条.
    path: String,
    text: String,
    /// The part, the chapter and the section in which it stands, with their names, as far as there are any.
    chapter: String,
}

/// The articles of a text: each begins a line with 第…条; what stands before the first one belongs to none, and headings of
/// parts, chapters and sections say where those behind them stand.
fn articles(text: &str) -> Vec<Article> {
    /// From the largest to the smallest.
    const PARTS: [char; 3] = ['编', '章', '节'];
    /// Of a name: headings are short, and what is longer is cut.
    const CHARS: usize = 20;
    let mut found: Vec<Article> = Vec::new();
    let mut within = false;
    let mut stands: [String; 3] = Default::default();
    let mut seen = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match heading(line) {
            // Whoever speaks of an article begins with its number as well.
            Some((path, rest)) if is_article(path) && seen.insert(canonical(path)) => {
                let path = path.chars().filter(|it| !it.is_whitespace());
                let chapter = stands.iter().filter(|it| !it.is_empty());
                found.push(Article {
                    path: path.collect(),
                    text: rest.trim().to_owned(),
                    chapter: chapter.cloned().collect::<Vec<_>>().join(" · "),
                });
                within = true;
            }
            Some((path, rest)) if !is_article(path) => {
                within = false;
                let at = PARTS.iter().position(|unit| path.contains(*unit));
                let number: String = path.chars().filter(|it| !it.is_whitespace()).collect();
                let name: String = rest.trim().chars().take(CHARS).collect();
                for (place, part) in stands.iter_mut().enumerate() {
                    match at {
                        Some(at) if place == at => {
                            *part = format!("{number} {name}").trim_end().to_owned();
                        }
                        Some(at) if place > at => part.clear(),
                        _ => {}
                    }
                }
            }
            _ => {
                if let Some(Article { text, .. }) = found.last_mut().filter(|_| within) {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(line);
                }
            }
        }
    }
    found
}

/// Whether a heading is that of an article, and not of a chapter or section.
fn is_article(path: &str) -> bool {
    path.contains('条')
}

/// 第十二条, 第十二条之一, 第三章 and what follows on the line; drafts are often typed 第 十 二 条.
fn heading(line: &str) -> Option<(&str, &str)> {
    let numerals = |text: &str| {
        text.find(|c: char| !NUMERALS.contains(c))
            .unwrap_or(text.len())
    };
    let rest = line.strip_prefix('第')?;
    let is_number = |c: &char| NUMERALS.contains(*c) || c.is_whitespace();
    let number: usize = rest.chars().take_while(is_number).map(char::len_utf8).sum();
    let (number, rest) = rest.split_at_checked(number)?;
    let unit = rest.chars().next()?;
    if !"编章节条".contains(unit) || number.trim().is_empty() {
        return None;
    }
    let mut len = '第'.len_utf8() + number.len() + unit.len_utf8();
    if let Some(after) = line.get(len..).and_then(|rest| rest.strip_prefix('之')) {
        let more = numerals(after);
        if more > 0 {
            len += '之'.len_utf8() + more;
        }
    }
    line.split_at_checked(len)
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
pub(crate) fn within<'a>(
    path: &str,
    articles: impl Iterator<Item = &'a String>,
) -> Option<&'a String> {
    let path = canonical(path);
    let holds = |article: &&String| {
        let rest = path.strip_prefix(article.as_str());
        !article.is_empty() && rest.is_some_and(|rest| !rest.starts_with('之'))
    };
    articles.filter(holds).max_by_key(|article| article.len())
}

/// The articles of a draft law that is here.
#[derive(Debug)]
pub struct Law {
    /// Each by its number in canonical form, in their order.
    articles: Vec<(String, Listed)>,
}

impl Law {
    /// Of a draft law.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(connection: &Connection, whole: &Listed) -> Result<Self> {
        let there = referring(connection, whole, (ARTICLE, OF_DRAFT), ARTICLES_MAX)?;
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
        let Some(whole) = held(OF_DRAFT) else {
            return Ok(None);
        };
        let whole = named(connection, &whole, field.names())?;
        let law = whole
            .map(|whole| Self::of(connection, &whole))
            .transpose()?;
        Ok(law.map(|law| (law, held(PLACE).unwrap_or_default())))
    }

    /// The article that a path is in.
    #[must_use]
    pub fn article(&self, path: &str) -> Option<&Listed> {
        let (_, article) = self.articles.get(self.place(path)?)?;
        Some(article)
    }

    /// Its place among the articles, from zero on.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<usize> {
        let within = within(path, self.articles.iter().map(|(path, _)| path))?;
        self.articles.iter().position(|(path, _)| path == within)
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
        let articles = self.articles.iter().map(|(_, article)| {
            let number = article.fact("path").and_then(Value::as_str);
            let text = text_of(connection, books, article)?;
            Ok((number.unwrap_or_default().to_owned(), text))
        });
        articles.collect()
    }

    /// The numbers of its articles, as they are written.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let articles = self.articles.iter().map(|(_, article)| article);
        articles.filter_map(|article| article.fact("path")?.as_str())
    }

    /// Whether a path leads nowhere: to no article, or to a clause that its article has not. A draft without articles knows none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn lacks(&self, connection: &Connection, books: &mut Books, path: &str) -> Result<bool> {
        if self.articles.is_empty() || path.trim().is_empty() {
            return Ok(false);
        }
        let Some(article) = self.article(path) else {
            return Ok(true);
        };
        let text = text_of(connection, books, article)?;
        let of = self::path(article).unwrap_or_default();
        Ok(!holds(&clauses(&of, &text), &of, path))
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

/// What is doubtful in the place that a draft gives to a record, of which `held` gives what it has already.
///
/// # Errors
/// The store cannot be read.
pub fn doubted(
    connection: &Connection,
    books: &mut Books,
    (kind, draft): (&Kind, &Draft),
    held: impl Fn(&str) -> Option<String>,
) -> Result<Option<Refusal>> {
    let given = |key: &str| Some(draft.facts.get(key)?.as_ref()?.as_str()?.to_owned());
    if given(PLACE).is_none() {
        return Ok(None);
    }
    let cited = Law::cited(connection, kind, |key| given(key).or_else(|| held(key)))?;
    let Some((law, path)) = cited else {
        return Ok(None);
    };
    Ok(law.lacks(connection, books, &path)?.then(|| Refusal {
        field: PLACE.to_owned(),
        code: "doubted",
        message: "the draft has no such article or clause".to_owned(),
    }))
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
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
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

/// Whether a path in an article leads to it or to one of its clauses. What lies deeper (目) is not looked for.
fn holds(clauses: &[Clause], article: &str, path: &str) -> bool {
    let path = canonical(path);
    let path = match path.rfind('第').zip(path.strip_suffix('目')) {
        Some((at, _)) => path.get(..at).unwrap_or_default(),
        None => &path,
    };
    let rest = path.strip_prefix(article).unwrap_or_default();
    // The one clause may be named.
    let alone = clauses.iter().all(|it| !it.path.contains('款'));
    let rest = if alone {
        rest.strip_prefix("第1款").unwrap_or(rest)
    } else {
        rest
    };
    rest.is_empty()
        || clauses.iter().any(|it| {
            let theirs = canonical(&it.path);
            theirs.strip_prefix(article) == Some(rest)
        })
}

/// The number of an item that a line begins with: 三 of （三）.
fn item(line: &str) -> Option<&str> {
    let (number, _) = line.strip_prefix(['（', '('])?.split_once(['）', ')'])?;
    let is_number = !number.is_empty() && number.chars().all(|c| NUMERALS.contains(c));
    is_number.then_some(number)
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
        let place =
            |path| within(path, known.iter()).and_then(|it| known.iter().position(|k| k == it));
        assert_eq!(place("第12条"), Some(0));
        assert_eq!(place("第十二条 第二款"), Some(0));
        assert_eq!(place("第十二条第一款第（二）项"), Some(1));
        assert_eq!(place("第十二条之一第一款"), Some(3));
        assert_eq!(place("第十一条"), None);
        assert_eq!(place("第十二条之二"), None);
        assert_eq!(place(""), None);
    }

    #[test]
    fn a_draft_is_taken_apart_at_its_articles() {
        let text = "测试市住宅电梯安全条例\r\n(草案征求意见稿)\n\n第一章 总则\n第一条　为了测试，制定本条例。\n\
                    第二条 本条例所称电梯，是指：\n　　（一）客梯；\n　　（二）货梯。\n第二章 使用\n\
                    第十二条物业服务人应当依照第十条的规定到达现场。\n第13条 其他。\n";
        let found = articles(text);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.path.as_str(), it.text.as_str()))
            .collect();
        assert_eq!(
            found,
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
        let spaced = articles("第 一 章　总则\n第 一 条　甲。\n第　十 二　条 乙。\n第 条 丙。");
        let paths: Vec<_> = spaced.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["第一条", "第十二条"]);
        assert_eq!(spaced[1].text, "乙。\n第 条 丙。");
        assert!(articles("没有条文的一段话。\n第三者的责任").is_empty());
        // One that was put in later has a number of its own; who speaks of an article begins no second one.
        let found =
            articles("第十二条 甲。\n第十二条之一 乙。\n第十二条所称的甲，是指丙。\n第十三条 丁。");
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.path.as_str(), it.text.as_str()))
            .collect();
        assert_eq!(
            found,
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
        let chapters: Vec<_> = articles(text).into_iter().map(|it| it.chapter).collect();
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
        let kind = known(ARTICLE).unwrap_or_else(|_| unreachable!());
        let chapter = &articles(&text)[0].chapter;
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
        let two = clauses("第2条", "甲：\n（一）客梯；\n（二）货梯。\n乙。");
        let one = clauses("第2条", "电梯，是指：\n（一）客梯；\n（二）货梯。");
        let plain = clauses("第2条", "一句话。");
        for (clauses, path, is) in [
            (&two, "第二条", true),
            (&two, "第二条第二款", true),
            (&two, "第二条第１款第（二）项", true),
            (&two, "第二条第一款第二项第1目", true),
            (&two, "第二条第三款", false),
            (&two, "第二条第一款第三项", false),
            (&two, "第二条第二项", false),
            (&one, "第二条第二项", true),
            (&one, "第二条第一款第二项", true),
            (&one, "第二条第一款", true),
            (&one, "第二条第二款", false),
            (&plain, "第二条第一款", true),
            (&plain, "第二条第二款", false),
        ] {
            assert_eq!(holds(clauses, "第2条", path), is, "{path}");
        }
    }
}
