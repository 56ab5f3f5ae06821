//! Records that are like one that is being typed: in what was said, by pairs of characters that both have, and in fields that the
//! catalogue marks as [`likened`](lianxin_protocol::catalogue::Field::likened), where they have the same.
//!
//! What is typed is compared with what this store holds and kept nowhere. Pairs need no dictionary of words, and a pair that many
//! records have tells nothing. Looked at are the newest records of the last [`SIMILAR_DAYS`] days, so that it takes no longer where
//! there are many.
//!
//! Rejected: an index of pairs, which each save would pay for, for a question that is asked while somebody types.

use std::collections::{BTreeMap, BTreeSet};

use lianxin_protocol::catalogue::Kind;
use lianxin_protocol::text;
use rusqlite::Connection;

use super::{Filter, Listed, list, of_name, parts, rows};
use crate::actor::Actor;
use crate::error::Result;

/// How far back is looked, in days.
pub const SIMILAR_DAYS: u64 = 90;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Newest records that are compared: a tenth of a second at 50 µs each.
const COMPARED: usize = 2_000;
/// Records that are shown for each likeness.
const SHOWN: usize = 4;
/// Pairs that two texts have in common at least.
const PAIRS_MIN: usize = 3;
/// Of the pairs of the shorter of two texts, one in so many at least is in the other one, for a shorter text of at least so many.
const SHARE: usize = 4;
const SHORTER_MIN: usize = 8;
/// A pair that one in so many of the compared records has tells nothing, where there are enough to say so.
const COMMON_SHARE: usize = 4;
const ENOUGH: usize = 12;
/// Letters and digits that a value has at least, so that another one with the same says something.
const SAME_MIN: usize = 4;

/// Two characters of a text, one behind the other.
pub type Pair = (char, char);

/// Records like one that is being typed, newest first among equals.
#[derive(Debug, Default)]
pub struct Similar {
    /// By what was said, the likest first, each with the pairs that both have.
    pub words: Vec<(Listed, BTreeSet<Pair>)>,
    /// By field: those that have the same there.
    pub same: Vec<(String, Vec<Listed>)>,
}

/// Finds what is like a record of a kind with these texts, by the keys of their fields.
///
/// # Errors
/// The store cannot be read.
pub fn similar(
    connection: &Connection,
    kind: &Kind,
    typed: &BTreeMap<&str, &str>,
    (actor, now_ms): (&Actor, u64),
) -> Result<Similar> {
    let words = kind.words.as_deref().and_then(|key| typed.get(key));
    let pairs = words.map(|words| pairs(words)).unwrap_or_default();
    let likened = kind.fields.iter().filter(|field| field.likened);
    let likened = likened.filter_map(|field| {
        let value = letters(typed.get(field.key.as_str())?);
        (value.chars().count() >= SAME_MIN).then_some((field.key.as_str(), value))
    });
    let likened: Vec<_> = likened.collect();
    let mut found = Similar::default();
    // What stands in a register twice is meant by no name.
    if let (Some(_), Some(key)) = (kind.alias(), &kind.title) {
        let name = typed.get(key.as_str()).map_or("", |name| name.trim());
        let mut keys = of_name(connection, name, std::slice::from_ref(&kind.code))?;
        keys.truncate(SHOWN);
        if !keys.is_empty() {
            found.same.push((key.clone(), rows(connection, &keys)?));
        }
    }
    if pairs.len() < PAIRS_MIN && likened.is_empty() {
        return Ok(found);
    }
    let filter = Filter {
        kind: Some(kind.code.clone()),
        // A clock may have been ahead.
        recorded_ms: Some((now_ms.saturating_sub(SIMILAR_DAYS * DAY_MS), u64::MAX >> 16)),
        held: Some(false),
        stands: true,
        limit: COMPARED,
        ..Filter::default()
    };
    let mut said = Vec::new();
    let mut same: BTreeMap<&str, Vec<Listed>> = BTreeMap::new();
    for row in list(connection, &filter)? {
        // To be found would tell of what is kept.
        if !row.sight(actor).has_words() {
            continue;
        }
        let parts = parts(connection, row.key)?;
        let texts = |key: &str| {
            let key = key.to_owned();
            parts.values().filter_map(move |part| part.texts.get(&key))
        };
        for (key, value) in &likened {
            if texts(key).any(|text| letters(text) == *value) {
                same.entry(*key).or_default().push(row.clone());
            }
        }
        let mut theirs = BTreeSet::new();
        for key in [&kind.words, &kind.title].into_iter().flatten() {
            theirs.extend(texts(key).flat_map(|text| self::pairs(text)));
        }
        let both: BTreeSet<Pair> = theirs.intersection(&pairs).copied().collect();
        if !both.is_empty() {
            said.push((row, theirs.len(), both));
        }
    }
    found.words = likest(said, &pairs);
    for (key, _) in likened {
        let mut rows = same.remove(key).unwrap_or_default();
        rows.truncate(SHOWN);
        if !rows.is_empty() {
            found.same.push((key.to_owned(), rows));
        }
    }
    Ok(found)
}

/// Those of the compared records that have enough in common with these pairs: rows, newest first, with the number of their pairs and
/// those that are common to both.
fn likest<T>(
    said: Vec<(T, usize, BTreeSet<Pair>)>,
    pairs: &BTreeSet<Pair>,
) -> Vec<(T, BTreeSet<Pair>)> {
    let mut had: BTreeMap<Pair, usize> = BTreeMap::new();
    for pair in said.iter().flat_map(|(_, _, both)| both) {
        *had.entry(*pair).or_default() += 1;
    }
    let all = said.len();
    let tells = |pair: &Pair| {
        let by = had.get(pair).copied().unwrap_or(0);
        all < ENOUGH || by * COMMON_SHARE <= all
    };
    let silent = pairs.iter().filter(|pair| !tells(pair)).count();
    let ours = pairs.len() - silent;
    let mut like = Vec::new();
    for (row, theirs, both) in said {
        let both: BTreeSet<Pair> = both.into_iter().filter(|pair| tells(pair)).collect();
        let shorter = theirs.min(ours).max(SHORTER_MIN);
        if both.len() >= PAIRS_MIN && both.len() * SHARE >= shorter {
            like.push((both.len() * 1_000 / shorter, row, both));
        }
    }
    like.sort_by_key(|(share, ..)| std::cmp::Reverse(*share));
    like.truncate(SHOWN);
    like.into_iter().map(|(_, row, both)| (row, both)).collect()
}

/// What of a text is compared: its letters and digits, in any form and case.
fn letters(text: &str) -> String {
    let folded = text::folded(text);
    folded.chars().filter(|it| it.is_alphanumeric()).collect()
}

/// The pairs of a text; none goes across a mark.
fn pairs(text: &str) -> BTreeSet<Pair> {
    let folded = text::folded(text);
    let next = folded.chars().skip(1);
    let both = folded.chars().zip(next);
    both.filter(|(a, b)| a.is_alphanumeric() && b.is_alphanumeric())
        .collect()
}

/// A text in pieces, each with whether it is made of these pairs.
#[must_use]
pub fn marked(text: &str, pairs: &BTreeSet<Pair>) -> Vec<(String, bool)> {
    let chars: Vec<char> = text.chars().collect();
    let folded = |c: &char| text::folded(&c.to_string()).chars().next().unwrap_or(' ');
    let mut marks = vec![false; chars.len()];
    for ((a, b), at) in chars.iter().zip(chars.iter().skip(1)).zip(0..) {
        if pairs.contains(&(folded(a), folded(b))) {
            for mark in marks.iter_mut().skip(at).take(2) {
                *mark = true;
            }
        }
    }
    let mut pieces: Vec<(String, bool)> = Vec::new();
    for (c, mark) in chars.into_iter().zip(marks) {
        match pieces.last_mut() {
            Some((piece, is)) if *is == mark => piece.push(c),
            _ => pieces.push((c.to_string(), mark)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(words: &str, others: &[&str]) -> Vec<i64> {
        let ours = pairs(words);
        let said = (0..).zip(others).map(|(key, text)| {
            let theirs = pairs(text);
            let both = theirs.intersection(&ours).copied().collect();
            (key, theirs.len(), both)
        });
        let found = likest(said.collect(), &ours);
        found.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn what_was_said_alike_is_found_and_the_likest_comes_first() {
        let words = "3 号楼二单元楼道灯坏了三天，晚上看不见路，家里老人不敢下楼，请尽快修。";
        let others = [
            "示例路口停车难，早高峰混乱。",
            "楼道灯不亮，老人下楼看不清",
            "感谢及时清运装修垃圾",
            "二单元楼道灯坏了三天，晚上看不见路",
        ];
        assert_eq!(like(words, &others), [3, 1]);
        assert!(like("灯", &others).is_empty());
        // What everybody says tells nothing.
        let polite: Vec<_> = (0..20).map(|_| "希望有关部门尽快处理，谢谢").collect();
        assert!(like("停车难，希望有关部门尽快处理，谢谢", &polite).is_empty());
    }

    #[test]
    fn what_is_the_same_is_the_same_in_any_form() {
        assert_eq!(letters("０００－0000 0001"), letters("000-0000-0001"));
        assert_eq!(letters("测试小区 ３号楼"), letters("测试小区3号楼"));
    }

    #[test]
    fn the_pieces_of_a_marked_text_are_the_text() {
        let pairs = pairs("楼道灯坏了");
        let pieces = marked("二单元楼道灯不亮", &pairs);
        let text: String = pieces.iter().map(|(piece, _)| piece.as_str()).collect();
        assert_eq!(text, "二单元楼道灯不亮");
        let bold: Vec<_> = pieces
            .iter()
            .filter(|it| it.1)
            .map(|it| it.0.as_str())
            .collect();
        assert_eq!(bold, ["楼道灯"]);
    }
}
