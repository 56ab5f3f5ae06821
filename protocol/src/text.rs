//! What people typed or pasted, folded: for storage, for codes, numbers and days, and for search.
//!
//! Owns which characters show nothing, end a line or mean the same as another. Only who writes or asks folds: what was signed is
//! read as it stands and never folded anew, so that two devices with other versions of Unicode still hold the same bytes.
//!
//! | for | function | what it does |
//! |---|---|---|
//! | storage | [`kept`], [`line()`] | line ends, controls, invisible characters, canonical form (NFC): what is seen stays as it was written |
//! | numbers, days, phones | [`plain`] | widths and compatibility forms (NFKC), hyphens |
//! | codes | [`code`] | the same, in capitals, without spaces and hyphens |
//! | search | [`folded`] | the same as [`plain`], without case, all white space alike |
//!
//! Rejected: compatibility forms in storage. A resident's full-width letters are the resident's.

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

/// Zero-width non-joiner and joiner: they shape Persian, the scripts of India, and emoji.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];
const BLACK_FLAG: char = '\u{1f3f4}';

/// A text as it is stored: each line end is `\n`; what shows nothing and forbidden control characters are gone, apart from joiners
/// and selectors that change what is seen; canonical form (Unicode Standard Annex 15, NFC).
///
/// ```
/// use lianxin_protocol::text::kept;
/// assert_eq!(kept("一\r\n二\u{b}三\u{feff}"), "一\n二\n三");
/// assert_eq!(kept("ＡＢ👩\u{200d}🔧"), "ＡＢ👩\u{200d}🔧");
/// ```
#[must_use]
pub fn kept(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut last = '\n';
    while let Some(c) = chars.next() {
        let stays = match c {
            '\r' if chars.peek() == Some(&'\n') => continue,
            '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => '\n',
            // A word processor's mark between two cells, and the separators of ASCII.
            '\u{7}' | '\u{1c}'..='\u{1f}' => ' ',
            // Nobody types a NUL: where one stands, something else is broken, and it is refused by name.
            '\n' | '\t' | '\0' => c,
            c if JOINERS.contains(&c) => {
                let next = chars.peek().copied();
                if joins(last) && next.is_some_and(joins) {
                    c
                } else {
                    continue;
                }
            }
            c if is_selector(c) && shows(last) => c,
            '\u{e0020}'..='\u{e007f}' if last == BLACK_FLAG || is_tag(last) => c,
            c if c.is_control() || is_invisible(c) && !is_filler(c) => continue,
            c => c,
        };
        out.push(stays);
        last = stays;
    }
    if is_nfc(&out) {
        out
    } else {
        out.nfc().collect()
    }
}

/// A text of one line as it is stored: [`kept`], each line end and tab a space, none around it.
#[must_use]
pub fn line(text: &str) -> String {
    kept(text).replace(['\n', '\t'], " ").trim().to_owned()
}

/// A number, a day or a telephone number as it was meant: full-width and other compatibility forms are plain ones (NFKC), every
/// hyphen and dash is `-`, what shows nothing is gone, and so is white space around it.
///
/// ```
/// use lianxin_protocol::text::plain;
/// assert_eq!(plain(" ２０２６－０３—１２\u{200b}"), "2026-03-12");
/// ```
#[must_use]
pub fn plain(text: &str) -> String {
    compatible(text)
        .map(spaced)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The symbols of a code: as [`plain`], in capitals, without white space and hyphens.
///
/// ```
/// use lianxin_protocol::text::code;
/// assert_eq!(code("ｙｊ-\u{200b}７ k"), "YJ7K");
/// ```
#[must_use]
pub fn code(text: &str) -> String {
    text.chars().flat_map(symbols).collect()
}

/// What one typed character gives of a code: nothing, one symbol or more.
pub(crate) fn symbols(c: char) -> impl Iterator<Item = char> {
    let meant = c.nfkc().filter(|c| !is_invisible(*c) && !c.is_control());
    meant
        .map(dash)
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_uppercase())
}

/// A text as it is compared when somebody searches: as [`plain`], without case, and each run of white space is one space.
///
/// ```
/// use lianxin_protocol::text::folded;
/// assert_eq!(folded("ＡＢＣ\u{3000}见\u{ad}"), folded("abc 见"));
/// ```
#[must_use]
pub fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut folding = Folding { out: &mut out };
    if text.chars().all(|c| folding.push(c)) {
        out.truncate(out.trim_end().len());
        return out;
    }
    out.clear();
    let mut folding = Folding { out: &mut out };
    // Capitals first: ß is ss, and both small sigmas are one.
    let small = compatible(text)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(|c| !is_invisible(*c));
    for c in small {
        folding.put(c);
    }
    out.truncate(out.trim_end().len());
    out
}

/// Puts folded characters one behind another, without white space at the beginning and twice.
struct Folding<'a> {
    out: &'a mut String,
}

impl Folding<'_> {
    /// Takes a character whose folded form is known without its neighbours; says whether it is one. Most of what is written here
    /// consists of them.
    fn push(&mut self, c: char) -> bool {
        match c {
            '\u{4e00}'..='\u{9fff}' => self.out.push(c),
            '\0'..='\u{7f}' => self.put(c.to_ascii_lowercase()),
            '，' => self.out.push(','),
            '。' | '、' | '《' | '》' | '“' | '”' => self.out.push(c),
            '！'..='～' => match u32::from(c).checked_sub(0xfee0).and_then(char::from_u32) {
                Some(c) => self.put(c.to_ascii_lowercase()),
                None => return false,
            },
            '…' => self.out.push_str("..."),
            '—' => self.out.push('-'),
            '\u{3000}' => self.put(' '),
            _ => return false,
        }
        true
    }

    fn put(&mut self, c: char) {
        if !c.is_whitespace() && !c.is_control() {
            self.out.push(c);
        } else if c.is_whitespace() && !self.out.is_empty() && !self.out.ends_with(' ') {
            self.out.push(' ');
        }
    }
}

/// Whether nothing of a text is to be seen.
///
/// ```
/// use lianxin_protocol::text::is_blank;
/// assert!(is_blank(" \u{200b}\u{3000}\u{feff}") && !is_blank("。"));
/// ```
#[must_use]
pub fn is_blank(text: &str) -> bool {
    !text.chars().any(shows)
}

fn compatible(text: &str) -> impl Iterator<Item = char> {
    text.chars()
        .filter(|c| !is_invisible(*c))
        .nfkc()
        // Half-width fillers are fillers only now.
        .filter(|c| !is_invisible(*c) && (!c.is_control() || c.is_whitespace()))
        .map(dash)
}

fn spaced(c: char) -> char {
    if c.is_whitespace() { ' ' } else { c }
}

/// Hyphens and dashes of every length, and the minus sign.
const fn dash(c: char) -> char {
    match c {
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}' => '-',
        c => c,
    }
}

fn shows(c: char) -> bool {
    // U+2800 is a cell of Braille without dots.
    !c.is_whitespace() && !c.is_control() && !is_invisible(c) && c != '\u{2800}'
}

/// Fillers of Korean syllables, which show nothing by themselves.
const fn is_filler(c: char) -> bool {
    matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

/// Selectors choose among the forms of the character before them: that of a name, or an emoji's.
const fn is_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Tags spell the region of a flag.
const fn is_tag(c: char) -> bool {
    matches!(c, '\u{e0020}'..='\u{e007f}')
}

/// Whether a joiner beside it changes what is seen: the scripts from Arabic to those of India and South East Asia, and emoji.
const fn joins(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{10ff}' | '\u{1700}'..='\u{1cff}' | '\u{2190}'..='\u{2bff}' | '\u{a800}'..='\u{abff}'
        | '\u{fb50}'..='\u{fdcf}' | '\u{fe0f}' | '\u{fe70}'..='\u{fefe}' | '\u{11000}'..='\u{11fff}' | '\u{1f000}'..='\u{1faff}')
}

/// What shows nothing: default ignorable code points (Unicode 17, DerivedCoreProperties.txt), marks of interlinear annotation, and
/// code points that are no characters.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || c as u32 & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What shows nothing wherever it stands, of each sort.
    const NOTHING: [char; 15] = [
        '\u{ad}',
        '\u{200b}',
        '\u{200e}',
        '\u{200f}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{61c}',
        '\u{feff}',
        '\u{34f}',
        '\u{fffb}',
        '\u{ffff}',
        '\u{e0001}',
    ];

    #[test]
    fn storage_keeps_what_is_seen_and_nothing_else() {
        for (typed, stored) in [
            ("一\r\n二\r三\n四", "一\n二\n三\n四"),
            (
                "一\u{b}二\u{c}三\u{85}四\u{2028}五\u{2029}六",
                "一\n二\n三\n四\n五\n六",
            ),
            ("一\t二\u{7}三\u{1b}[0m", "一\t二 三[0m"),
            ("e\u{301}", "\u{e9}"),
            ("\u{fa0a}", "\u{898b}"),
            // Widths, ligatures and signs are the words of whoever wrote them.
            ("ＡＢ１２：ｶﾞ ﬁ ㈱ ①　", "ＡＢ１２：ｶﾞ ﬁ ㈱ ①　"),
            // Joiners and selectors that are seen.
            (
                "👩\u{200d}❤\u{fe0f}\u{200d}👨🏽",
                "👩\u{200d}❤\u{fe0f}\u{200d}👨🏽",
            ),
            (
                "1\u{fe0f}\u{20e3}葛\u{e0100}",
                "1\u{fe0f}\u{20e3}葛\u{e0100}",
            ),
            ("می\u{200c}خواهم क्\u{200d}ष", "می\u{200c}خواهم क्\u{200d}ष"),
            (
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
                "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            ),
            // And those that are not.
            (
                "路\u{200d}灯\u{200c} \u{fe0f}a\u{e0067}👩\u{200d}",
                "路灯 a👩",
            ),
        ] {
            assert_eq!(kept(typed), stored, "{typed:?}");
            assert_eq!(kept(stored), stored, "{typed:?}");
        }
        for c in NOTHING {
            assert_eq!(kept(&format!("路{c}灯{c}")), "路灯", "{c:?}");
            assert_eq!(line(&format!("{c} 路{c}灯\n{c}")), "路灯", "{c:?}");
            assert_eq!(folded(&format!("路{c}灯{c}")), "路灯", "{c:?}");
            assert_eq!(plain(&format!("{c}1{c}2")), "12", "{c:?}");
            assert_eq!(code(&format!("{c}a{c}2")), "A2", "{c:?}");
        }
    }

    #[test]
    fn a_text_of_which_nothing_is_seen_is_blank() {
        for c in NOTHING.into_iter().chain(JOINERS).chain([
            ' ',
            '\n',
            '\t',
            '\u{85}',
            '\u{a0}',
            '\u{3000}',
            '\u{2028}',
            '\u{115f}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{2800}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{180e}',
        ]) {
            assert!(is_blank(&format!("{c}{c}")), "{c:?}");
        }
        for seen in ["。", "👩", "0", "\u{e000}", "\u{fffd}", "़"] {
            assert!(!is_blank(seen), "{seen:?}");
        }
    }

    #[test]
    fn search_finds_every_form_of_a_character() {
        for (one, other) in [
            ("ＡＢＣ", "abc"),
            ("１２：３０，（甲）", "12:30,(甲)"),
            ("ｶﾞｷﾞ", "ガギ"),
            ("\u{fa0a}\u{2f08}", "見人"),
            ("e\u{301}", "É"),
            ("ﬁne", "FINE"),
            ("straße ΣΑΣ", "STRASSE σας"),
            ("㈱①½", "(株)11⁄2"),
            ("甲\u{3000}\n\t 乙", "甲 乙"),
            ("葛\u{e0100}❤\u{fe0f}", "葛❤"),
            ("甲——乙……", "甲--乙......"),
            ("甲‑é－乙", "甲-É-乙"),
            ("İ", "i\u{307}"),
        ] {
            assert_eq!(folded(one), folded(other), "{one:?}");
        }
        assert_ne!(folded("甲"), folded("乙"));
        assert_ne!(folded("e"), folded("é"));
        assert_eq!(folded("\u{feff} \u{3164}"), "");
    }

    #[test]
    fn the_short_way_folds_as_the_long_one() {
        for c in ('\0'..='\u{ffff}').filter(|c| !('\u{3400}'..='\u{9ff0}').contains(c)) {
            let text = format!("路{c}灯");
            let mut short = String::new();
            if (Folding { out: &mut short }).push(c) {
                // The accented letter behind it lets the short way give up.
                let long = folded(&format!("{text}é"));
                assert_eq!(folded(&text), long.trim_end_matches('é'), "{c:?}");
            }
        }
    }
}
