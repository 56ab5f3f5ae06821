//! How Chinese names sound: a title is found by the letters that somebody types without an input method, `ldbl` or `ludeng` for
//! 路灯不亮.
//!
//! A query is the first letter of each of several characters in a row (at least two), or their pinyin in full, of which the last
//! syllable may be cut short. Tones are not told apart, ü is v, and what is not Chinese in a title is passed over. A character that is
//! read in several ways is found by each of its first [`READINGS`]; one does not have to know which one is right here. Forms are not
//! mixed: `ldeng` finds nothing.
//!
//! Tokens name pairs of first letters and whole syllables, not the ways in which a title can be read, which would be as many as the
//! product of its readings. A title that has all tokens of a query is a candidate; [`Letters::are_in`] looks at the title itself.
//!
//! Readings are those of the crate `pinyin`, which takes them from the Unihan database. Rejected: to sound out whole texts, which
//! makes the index half as large again, and two letters find almost any of them.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use pinyin::ToPinyinMulti as _;

/// Readings of one character that are told apart.
const READINGS: usize = 4;
/// Characters of a title that have a sound here.
const TITLE_CHARS: usize = 64;
/// Letters of a query.
const LETTERS: std::ops::RangeInclusive<usize> = 2..=32;
/// Letters of the longest syllable, `zhuang`.
const SYLLABLE: usize = 6;
/// Ways of cutting a query into syllables that are tried, those with the longest first.
const CUTS: usize = 8;
/// Pairs of first letters that are asked for at once: more of them leave no fewer titles.
const PAIRS: usize = 8;
/// Begin the tokens of first letters and of syllables. No other token has three characters.
const FIRST: char = '\u{f780}';
const WHOLE: char = '\u{f781}';

/// All syllables that a common character can have.
static SYLLABLES: LazyLock<BTreeSet<String>> =
    LazyLock::new(|| ('\u{4e00}'..='\u{9fff}').flat_map(readings).collect());

/// How a character is read, without tones; nothing of what is not Chinese.
fn readings(c: char) -> BTreeSet<String> {
    let mut readings = BTreeSet::new();
    let all = c.to_pinyin_multi().into_iter().flatten();
    for one in all {
        let plain = one.plain().replace('ü', "v");
        if readings.len() < READINGS && plain.bytes().all(|it| it.is_ascii_lowercase()) {
            readings.insert(plain);
        }
    }
    readings
}

/// How the characters of a title are read, one behind another.
fn sounds(title: &str) -> Vec<BTreeSet<String>> {
    let read = title.chars().take(TITLE_CHARS).map(readings);
    read.filter(|it| !it.is_empty()).collect()
}

fn firsts(readings: &BTreeSet<String>) -> impl Iterator<Item = char> + Clone {
    readings.iter().filter_map(|it| it.chars().next())
}

/// Adds the tokens by which a title is found.
pub(super) fn tokens(title: &str, into: &mut BTreeSet<String>) {
    let sounds = sounds(title);
    for (one, next) in sounds.iter().zip(sounds.iter().skip(1)) {
        for a in firsts(one) {
            into.extend(firsts(next).map(|b| format!("{FIRST}{a}{b}")));
        }
    }
    let syllables = sounds.iter().flatten();
    into.extend(syllables.map(|it| format!("{WHOLE}{it}")));
}

/// Letters that may be the sound of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letters(String);

impl Letters {
    /// Reads a folded query; nothing if it is no sound of anything.
    pub(super) fn of(folded: &str) -> Option<Self> {
        let letters: String = folded
            .chars()
            .filter(|it| !matches!(it, ' ' | '\''))
            .collect();
        let is_sound = letters.bytes().all(|it| it.is_ascii_lowercase());
        (is_sound && LETTERS.contains(&letters.len())).then_some(Self(letters))
    }

    /// What titles that sound so have among their tokens, as FTS5 asks for it: one of these.
    pub(super) fn expressions(&self) -> Vec<String> {
        let letters = self.0.as_bytes().windows(2);
        let pairs: BTreeSet<_> = letters
            .filter_map(|pair| str::from_utf8(pair).ok())
            .map(|pair| format!("\"{FIRST}{pair}\""))
            .collect();
        let pairs: Vec<_> = pairs.into_iter().take(PAIRS).collect();
        let mut all = vec![pairs.join(" AND ")];
        for cut in cuts(&self.0) {
            let last = cut.len().saturating_sub(1);
            let syllables = cut.iter().enumerate();
            let syllables: Vec<_> = syllables
                .map(|(at, it)| format!("\"{WHOLE}{it}\"{}", if at == last { "*" } else { "" }))
                .collect();
            all.push(syllables.join(" AND "));
        }
        all
    }

    /// Whether a title sounds so from some character on.
    pub(super) fn are_in(&self, title: &str) -> bool {
        let sounds = sounds(title);
        (0..sounds.len()).any(|from| {
            let rest = sounds.get(from..).unwrap_or_default();
            let mut pairs = self.0.chars().zip(rest);
            let initials =
                rest.len() >= self.0.len() && pairs.all(|(it, read)| firsts(read).any(|f| f == it));
            initials || is_spelt(&self.0, rest)
        })
    }
}

/// Cuts letters into syllables, of which the last one may be cut short, in a few ways.
fn cuts(letters: &str) -> Vec<Vec<&str>> {
    let begins = |rest: &str| {
        let mut from = SYLLABLES.range(rest.to_owned()..);
        from.next().is_some_and(|it| it.starts_with(rest))
    };
    // Where what is left can be cut at all, from the end: nothing is tried that leads nowhere.
    let mut ends = BTreeSet::new();
    for from in (0..letters.len()).rev() {
        let rest = letters.get(from..).unwrap_or_default();
        let goes_on = syllables(rest).any(|it| ends.contains(&(from + it.len())));
        if goes_on || begins(rest) {
            ends.insert(from);
        }
    }
    let (mut open, mut cuts) = (vec![(0, Vec::new())], Vec::new());
    while let Some((from, begun)) = open.pop()
        && cuts.len() < CUTS
    {
        let rest = letters.get(from..).unwrap_or_default();
        let next = syllables(rest).filter(|it| ends.contains(&(from + it.len())));
        // The longest is taken first: it is put on top.
        open.extend(next.map(|it| (from + it.len(), [&*begun, &[it]].concat())));
        if begins(rest) {
            cuts.push([&*begun, &[rest]].concat());
        }
    }
    cuts
}

/// The syllables with which letters begin, the shortest first.
fn syllables(letters: &str) -> impl Iterator<Item = &str> {
    let begun = (1..=SYLLABLE).filter_map(|len| letters.get(..len));
    begun.filter(|it| SYLLABLES.contains(*it))
}

/// Whether letters are the full pinyin of these characters, or of the first of them; the last may be cut short.
fn is_spelt(letters: &str, sounds: &[BTreeSet<String>]) -> bool {
    let Some((first, others)) = sounds.split_first() else {
        return false;
    };
    first
        .iter()
        .any(|read| match letters.strip_prefix(&**read) {
            Some("") => true,
            Some(rest) => is_spelt(rest, others),
            None => read.starts_with(letters),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(letters: &str, title: &str) -> bool {
        let Some(letters) = Letters::of(letters) else {
            return false;
        };
        let found = letters.are_in(title);
        // What is found must be a candidate.
        let mut held = BTreeSet::new();
        tokens(title, &mut held);
        let has = |wanted: &str| match wanted.strip_suffix('*') {
            Some(begin) => held
                .iter()
                .any(|it| it.starts_with(begin.trim_matches('"'))),
            None => held.contains(wanted.trim_matches('"')),
        };
        let candidate = letters.expressions();
        let candidate = candidate.iter().any(|it| it.split(" AND ").all(has));
        assert!(candidate || !found, "{letters:?} {title}");
        found
    }

    #[test]
    fn a_title_is_found_by_initials_and_by_full_pinyin() {
        for letters in [
            "ldbl",
            "dbl",
            "bl",
            "ludeng",
            "lud",
            "lu deng",
            "dengbuliang",
            "ludengbul",
            "liang",
        ] {
            assert!(finds(letters, "路灯不亮"), "{letters}");
        }
        for letters in [
            "l", "ldl", "ldeng", "udeng", "lldbl", "ldbll", "灯", "ld1", "",
        ] {
            assert!(!finds(letters, "路灯不亮"), "{letters}");
        }
        // What is not Chinese is passed over.
        assert!(finds("hldt", "3号楼-电梯（坏了）") && finds("dianti", "3号楼-电梯"));
        assert!(finds("lvhua", "绿化带") && finds("lh", "绿化带"));
        assert!(finds("xi'an", "西安路") && finds("xian", "先到先得"));
        assert!(!finds("ab", "3 abc") && !finds("ab", ""));
    }

    #[test]
    fn a_character_is_found_by_each_of_its_readings() {
        for letters in ["zhongzhang", "chongchang", "zhongchang", "zz", "cc", "zc"] {
            assert!(finds(letters, "重长"), "{letters}");
        }
        assert!(finds("yinhang", "银行") && finds("yinxing", "银行"));
    }

    #[test]
    fn what_is_long_costs_no_more_than_its_bounds() {
        let title = "重".repeat(10_000);
        let mut held = BTreeSet::new();
        tokens(&title, &mut held);
        assert!(held.len() < 16, "{}", held.len());
        assert!(Letters::of(&"a".repeat(33)).is_none());
        let letters = Letters::of(&"aeo".repeat(10)).unwrap_or_else(|| unreachable!());
        assert!(letters.expressions().len() <= CUTS + 1);
        let long = Letters::of(&format!("{}q", "nan".repeat(10))).unwrap_or_else(|| unreachable!());
        assert!(!long.are_in(&"南".repeat(60)) && long.expressions().len() <= CUTS + 1);
        assert!(SYLLABLES.iter().all(|it| it.len() <= SYLLABLE));
    }
}
