//! Base 32 in Crockford's alphabet: what people read aloud, and short names inside documents.
//!
//! Most significant bit first, the last symbol filled up with zero bits. One value has one text, but readers take
//! either case. <https://www.crockford.com/base32.html>

/// The alphabet: no I, L, O and U.
pub const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The symbol that somebody meant who read or heard a code: O is 0, I and L are 1; a small letter is its capital.
#[must_use]
pub const fn meant(symbol: char) -> char {
    match symbol.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    }
}

/// The text of these bytes: eight symbols for five bytes.
///
/// ```
/// assert_eq!(lianxin_protocol::base32::encode(&[0xff, 0]), "ZW00");
/// ```
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0);
    let mut push = |value: u32| {
        let symbol = usize::try_from(value & 31).ok();
        let symbol = symbol.and_then(|at| SYMBOLS.get(at));
        text.extend(symbol.map(|it| char::from(*it)));
    };
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(held >> bits);
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        push(held << (5 - bits));
    }
    text
}

/// The bytes of these symbols; `None` for a character that is none, and for a last symbol whose spare bits are
/// not zero or are a whole symbol.
#[must_use]
pub fn decode(symbols: impl Iterator<Item = char>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for symbol in symbols {
        let upper = symbol.to_ascii_uppercase();
        let value = SYMBOLS.iter().position(|it| char::from(*it) == upper)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    // rule:card-refused
    (held == 0 && bits < 5).then_some(bytes)
}
