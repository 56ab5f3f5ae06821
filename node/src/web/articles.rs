//! A whole draft law, pasted: it is taken apart into its articles, each of which becomes a record of its own.

use axum::Form;
use axum::extract::{Path, State};
use lianxin_protocol::catalogue::NESTED_MAX;
use serde::Deserialize;
use serde_json::json;

use super::App;
use super::page::{Answer, Session, go, kind_of, known};
use crate::clock;
use crate::error::{Code, Error};
use crate::records;
use crate::records::save::{self, Author};

/// What was pasted.
#[derive(Deserialize)]
pub(super) struct Pasted {
    text: String,
}

/// Takes a draft apart and adds its articles behind those that are there.
pub(super) async fn paste(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    Form(Pasted { text }): Form<Pasted>,
) -> Answer {
    let author = Author {
        account: session.account.id.clone(),
        now_ms: clock::now_ms(),
    };
    let back = format!("/records/{id}?note=done");
    app.write(move |journal, connection| {
        let articles = articles(&text);
        let (key, _, kind) = known(connection, journal, &id)?;
        let gather = kind.gathers.iter().find(|gather| gather.field.is_some());
        let nothing = || Error::new(Code::FieldsRefused, "no article begins with its number");
        let gather = gather
            .filter(|_| !articles.is_empty())
            .ok_or_else(nothing)?;
        let whole = records::rows(connection, &[key])?.pop();
        let whole = whole.ok_or_else(|| Error::new(Code::RecordWaiting, "it is not merged yet"))?;
        let child = kind_of(&gather.kind)?;
        let of = (child.code.as_str(), gather.by.as_str());
        let there = records::referring(connection, &whole, of, NESTED_MAX * 2)?.len();
        if there + articles.len() > NESTED_MAX * 2 {
            let message = "a draft has a thousand articles at most";
            return Err(Error::new(Code::FieldsRefused, message));
        }
        let mut nested = Vec::with_capacity(articles.len());
        for (place, (path, text)) in (there + 1..).zip(articles) {
            let input = json!({ "path": path, "text": text });
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let draft = child.read_under(&input, &gather.by, place);
            let draft = draft.map_err(|refusals| save::fields_refused(&refusals))?;
            nested.push((child.code.clone(), draft));
        }
        save::add_nested(connection, journal, &whole, &nested, &author)
    })
    .await?;
    Ok(go(&back))
}

/// The articles of a text: each begins a line with 第…条; what stands before the first one, and headings of
/// chapters and sections, belong to none.
fn articles(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut within = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match heading(line) {
            Some((path, rest)) if path.ends_with('条') => {
                found.push((path.to_owned(), rest.trim().to_owned()));
                within = true;
            }
            Some(_) => within = false,
            None => {
                if let Some((_, text)) = found.last_mut().filter(|_| within) {
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

/// 第十二条, 第三章 and what follows on the line.
fn heading(line: &str) -> Option<(&str, &str)> {
    const NUMERALS: &str = "零〇一二三四五六七八九十百千两0123456789";
    let rest = line.strip_prefix('第')?;
    let end = rest.find(|c: char| !NUMERALS.contains(c))?;
    let unit = rest.get(end..)?.chars().next()?;
    let of = "编章节条".contains(unit) && end > 0;
    let len = '第'.len_utf8() + end + unit.len_utf8();
    of.then(|| line.split_at_checked(len)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_taken_apart_at_its_articles() {
        let text = "测试市住宅电梯安全条例\r\n(草案征求意见稿)\n\n第一章 总则\n第一条　为了测试，制定本条例。\n\
                    第二条 本条例所称电梯，是指：\n　　（一）客梯；\n　　（二）货梯。\n第二章 使用\n\
                    第十二条物业服务人应当依照第十条的规定到达现场。\n第13条 其他。\n";
        let found = articles(text);
        let found: Vec<_> = found
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
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
        assert!(articles("没有条文的一段话。\n第三者的责任").is_empty());
    }
}
