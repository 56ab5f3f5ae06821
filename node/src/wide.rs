//! How wide a text is where characters of East Asian width take two places (UAX #11), by blocks: a table of all characters would be
//! larger than what it is good for.

/// The width of a text in narrow characters.
#[must_use]
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(of).sum()
}

/// The width of a character: 2 for a wide one, else 1.
#[must_use]
pub(crate) const fn of(it: char) -> usize {
    match it {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3ffff}' => 2,
        // Wide in Chinese fonts.
        '“' | '”' | '‘' | '’' | '…' | '—' | '·' => 2,
        _ => 1,
    }
}
