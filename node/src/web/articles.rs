//! Articles of a draft law. A whole draft that is pasted is taken apart into them, each of which becomes a record
//! of its own; and an article is found however its number is written.

use std::collections::{BTreeMap, BTreeSet};

use axum::Form;
use axum::extract::{Multipart, Path, State};
use lianxin_protocol::catalogue::{Gather, Kind, NESTED_MAX};
use lianxin_protocol::hash::Hex;
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use super::App;
use super::page::{Answer, Session, go, kind_of, open};
use super::upload::Upload;
use crate::error::{Code, Error, Result};
use crate::journal::Journal;
use crate::papers;
use crate::records::save::{self, Author};
use crate::records::{self, Listed, gather};

/// Articles that a draft has at most.
pub(super) const ARTICLES_MAX: usize = NESTED_MAX * 2;
/// Comments on one draft that are looked through when a newer text comes.
const COMMENTS_MAX: usize = 5_000;
/// The step that marks a comment whose article is not as it was.
const FLAG: &str = "flag_rebase";
/// The step that moves a comment along with its article.
const CARRY: &str = "carry";
/// What is noted at an article that a newer text does not have.
const GONE: &str = "新一稿中没有这一条";
const NUMERALS: &str = "零〇一二三四五六七八九十百千两0123456789";

/// What was pasted.
#[derive(Deserialize)]
pub(super) struct Pasted {
    text: String,
    /// It takes the place of what is there.
    newer: Option<String>,
}

/// Takes a draft apart and adds its articles behind those that are there; or, if it is a newer one, sets what differs.
pub(super) async fn paste(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(pasted): Form<Pasted>,
) -> Answer {
    take(&app, session, id, pasted).await
}

/// The same of a file.
pub(super) async fn upload(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    form: Multipart,
) -> Answer {
    let sent = Upload::read(form, Code::BadPaper).await?;
    let pasted = Pasted {
        text: papers::text_of(&sent.bytes)?,
        newer: sent.has("newer").then(String::new),
    };
    take(&app, session, id, pasted).await
}

async fn take(app: &App, session: Session, id: String, pasted: Pasted) -> Answer {
    let back = format!("/records/{id}?note=done");
    app.write(move |journal, connection| {
        let articles = articles(&pasted.text);
        let (record, kind) = open(connection, journal, &session, &id)?;
        let key = record.key;
        let gather = kind.gathers.iter().find(|gather| gather.field.is_some());
        let nothing = || Error::new(Code::FieldsRefused, "no article begins with its number");
        let gather = gather
            .filter(|_| !articles.is_empty())
            .ok_or_else(nothing)?;
        let whole = records::rows(connection, &[key])?.pop();
        let whole = whole.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
        if !kind.is_open(&whole.status) {
            let message = "this consultation is at its end: no article is added any more";
            return Err(Error::new(Code::StepRefused, message));
        }
        let child = kind_of(&gather.kind)?;
        let of = (child.code.as_str(), gather.by.as_str());
        let there = records::referring(connection, &whole, of, ARTICLES_MAX)?;
        let author = session.author(connection, journal)?;
        let place = Place {
            whole,
            child,
            gather,
            there,
        };
        let changed = if pasted.newer.is_some() {
            renew(connection, journal, (&place, articles), &author)?
        } else {
            place.refuse_again(&articles)?;
            place.add(connection, journal, articles, &author)?;
            true
        };
        if !changed {
            let message = "the text is as it is here already";
            return Err(Error::new(Code::NothingToDo, message));
        }
        note_version(connection, journal, (key, kind), &pasted.text, &author)
    })
    .await?;
    Ok(go(&back))
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
    ) -> Result<()> {
        if self.there.len() + articles.len() > ARTICLES_MAX {
            let message = "a draft has a thousand articles at most";
            return Err(Error::new(Code::FieldsRefused, message));
        }
        if articles.is_empty() {
            return Ok(());
        }
        let mut nested = Vec::with_capacity(articles.len());
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
        save::add_nested(connection, journal, &self.whole, &nested, author)
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
/// number; the comments on one that differs, or that is gone, are marked, so that somebody looks at each again. Says whether
/// anything differs.
fn renew(
    connection: &Connection,
    journal: &mut Journal,
    (place, mut newer): (&Place, Vec<Article>),
    author: &Author,
) -> Result<bool> {
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
            (input, Fate::Moved(path))
        } else if let Some(Article {
            text: newer,
            chapter,
            ..
        }) = take(&mut newer, &renamed)
        {
            let digest_of = digest(&newer);
            let input = json!({ "version_hash": digest_of, "text": newer, "chapter": chapter, "note": null });
            (
                input,
                if digest_of == *text {
                    Fate::Same
                } else {
                    Fate::Differs
                },
            )
        } else if *gone {
            continue;
        } else {
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
    any |= !newer.is_empty();
    place.add(connection, journal, newer, author)?;
    carry(connection, journal, (place, &fates), author)?;
    Ok(any)
}

/// Takes comments along with the articles that they are on, and marks those whose article is not as it was.
fn carry(
    connection: &Connection,
    journal: &mut Journal,
    (place, fates): (&Place, &BTreeMap<String, Fate>),
    author: &Author,
) -> Result<()> {
    let kind = kind_of("legis_comment")?;
    let by = (kind.code.as_str(), "consultation");
    let comments = records::referring(connection, &place.whole, by, COMMENTS_MAX + 1)?;
    if comments.len() > COMMENTS_MAX {
        let message = "there are too many comments to look through at once";
        return Err(Error::new(Code::TooLarge, message));
    }
    for comment in comments.iter().filter(|it| kind.is_open(&it.status)) {
        let on = comment.fact("article_path").and_then(Value::as_str);
        let Some(on) = on.map(canonical) else {
            continue;
        };
        let article = within(&on, fates.keys());
        let step = match article.and_then(|article| Some((article, fates.get(article)?))) {
            Some((article, Fate::Moved(path))) => {
                let rest = on.strip_prefix(article.as_str()).unwrap_or_default();
                (CARRY, json!({ "article_path": format!("{path}{rest}") }))
            }
            Some((_, Fate::Differs)) => (FLAG, json!({})),
            Some((_, Fate::Same)) | None => continue,
        };
        let who = (&author.actor, author.now_ms);
        match save::ready(connection, journal, comment.key, (step.0, &step.1), who) {
            Ok(ready) => {
                save::take(connection, journal, ready, author)?;
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

/// A path with neither spaces nor two ways to write a number: 第 十二 条 and 第12条 are one.
pub(super) fn canonical(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut numeral = String::new();
    let arabic = |c: char| match c {
        '０'..='９' => char::from_digit(u32::from(c) - u32::from('０'), 10).unwrap_or(c),
        c => c,
    };
    for c in path.chars().filter(|c| !c.is_whitespace()).map(arabic) {
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
pub(super) fn within<'a>(
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
        let kind = kind_of("draft_article").unwrap_or_else(|_| unreachable!());
        let chapter = &articles(&text)[0].chapter;
        let field = kind.field("chapter").unwrap_or_else(|| unreachable!());
        assert_eq!(field.written(chapter).as_ref(), Some(chapter));
    }
}
