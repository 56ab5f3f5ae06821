//! Tables as text: comma, semicolon or tab between cells (RFC 4180), in the encodings that Windows programs write.
//!
//! A cell that a table program would take for a formula is written with an apostrophe before it, and read without ([`guarded`],
//! [`unguarded`]): the two undo each other for every text, also for one that begins with apostrophes of its own.

use std::borrow::Cow;
use std::io::Write;

use encoding_rs::{DecoderResult, EncoderResult, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use super::grid::Grid;
use super::{Cell, Kind, Refusal};

/// An encoding of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 without a byte order mark.
    Utf8,
    /// UTF-8 with a byte order mark, by which Excel and WPS know it.
    Utf8Bom,
    /// UTF-16, little end first: `Unicode text` of Windows.
    Utf16Le,
    /// UTF-16, big end first.
    Utf16Be,
    /// GB 18030, and GBK and GB 2312 within it.
    Gb18030,
}

/// Finds out the encoding of a text and decodes it, without a byte order mark.
///
/// # Errors
/// [`Refusal::UnknownEncoding`] for anything that is not wholly text.
pub fn decode_text(bytes: &[u8]) -> Result<(String, Encoding), Refusal> {
    let (text, encoding) = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => (decoded(UTF_8, rest), Encoding::Utf8Bom),
        [0xff, 0xfe, rest @ ..] => (decoded(UTF_16LE, rest), Encoding::Utf16Le),
        [0xfe, 0xff, rest @ ..] => (decoded(UTF_16BE, rest), Encoding::Utf16Be),
        _ => match (unmarked_utf16(bytes), std::str::from_utf8(bytes)) {
            (Some(Encoding::Utf16Le), _) => (decoded(UTF_16LE, bytes), Encoding::Utf16Le),
            (Some(_), _) => (decoded(UTF_16BE, bytes), Encoding::Utf16Be),
            (None, Ok(text)) => (Some(text.to_owned()), Encoding::Utf8),
            (None, Err(_)) => (decoded(GB18030, bytes), Encoding::Gb18030),
        },
    };
    let text = text
        .filter(|text| !text.contains('\0'))
        .ok_or(Refusal::UnknownEncoding)?;
    Ok((text, encoding))
}

/// Separators and ends of lines have a zero on one side in UTF-16; the characters with the same bytes the other way round are in no
/// ledger. Other characters tell nothing: 一 has a zero too.
fn unmarked_utf16(bytes: &[u8]) -> Option<Encoding> {
    let told = |it: u8| matches!(it, b'\n' | b'\r' | b'\t' | b',' | b';');
    let (little, big) =
        bytes
            .chunks_exact(2)
            .fold((false, false), |(little, big), pair| match pair {
                [it, 0] => (little || told(*it), big),
                [0, it] => (little, big || told(*it)),
                _ => (little, big),
            });
    match (little, big) {
        (true, false) => Some(Encoding::Utf16Le),
        (false, true) => Some(Encoding::Utf16Be),
        _ => None,
    }
}

fn decoded(encoding: &'static encoding_rs::Encoding, bytes: &[u8]) -> Option<String> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text =
        String::with_capacity(decoder.max_utf8_buffer_length_without_replacement(bytes.len())?);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, true);
    text.shrink_to_fit();
    matches!(result, DecoderResult::InputEmpty).then_some(text)
}

/// Whether a text is a page or XML, as web systems export tables under the name of .xls.
pub(super) fn is_page(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(9).collect();
    let start = start.to_ascii_lowercase();
    ["<html", "<?xml", "<!doctype", "<table", "<meta"]
        .iter()
        .any(|it| start.starts_with(it))
}

/// What can stand between two cells; the first wins where all are alike.
const BETWEEN: [u8; 3] = *b",;\t";
/// Records by which it is found out.
const SAMPLE_RECORDS: usize = 20;
/// Characters by which it is found out.
const SAMPLE_CHARS: usize = 64 * 1024;

/// The cells of a text, and what stood between them.
pub(super) fn grid(text: &str) -> Result<(Grid, char), Refusal> {
    // Excel writes and reads a first line that says it.
    let (told, skipped) = match text.as_bytes() {
        [
            b's' | b'S',
            b'e' | b'E',
            b'p' | b'P',
            b'=',
            it,
            b'\r' | b'\n',
            ..,
        ] if BETWEEN.contains(it) => (Some(*it), 1),
        _ => (None, 0),
    };
    let between = told.unwrap_or_else(|| separator(text));
    let mut grid = Grid::default();
    let mut record = csv::StringRecord::new();
    let mut reader = reader(text, between);
    let (mut row, mut first) = (0_u32, skipped > 0);
    loop {
        let line = reader.position().line();
        if !reader
            .read_record(&mut record)
            .map_err(|_| Refusal::Damaged)?
        {
            return Ok((grid, char::from(between)));
        }
        // The reader passes over empty lines; a table program counts them.
        let within: usize = record
            .iter()
            .map(|field| field.bytes().filter(|it| *it == b'\n').count())
            .sum();
        let passed = usize::try_from(reader.position().line() - line).unwrap_or_default();
        let blank = passed.saturating_sub(within + 1);
        row = row.saturating_add(u32::try_from(blank).unwrap_or(u32::MAX));
        if !std::mem::take(&mut first) {
            for (column, field) in (0..).zip(&record) {
                let text = unguarded(field.trim());
                if !text.is_empty() {
                    grid.put(
                        row,
                        column,
                        Cell {
                            text: text.into(),
                            kind: Kind::Text,
                        },
                    )?;
                }
            }
        }
        row = row.saturating_add(1);
    }
}

fn reader(text: &str, between: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(between)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// The separator by which most of the first records have the same number of cells, more than one.
fn separator(text: &str) -> u8 {
    let end = text
        .char_indices()
        .nth(SAMPLE_CHARS)
        .map_or(text.len(), |(at, _)| at);
    let sample = text.get(..end).unwrap_or(text);
    let score = |between: u8| {
        let records = reader(sample, between).into_records();
        let widths: Vec<usize> = records
            .take(SAMPLE_RECORDS)
            .flatten()
            .map(|it| it.len())
            .filter(|it| *it > 1)
            .collect();
        let alike = |width: &usize| (widths.iter().filter(|it| *it == width).count(), *width);
        widths.iter().map(alike).max().unwrap_or_default()
    };
    let mut best = (BETWEEN[0], score(BETWEEN[0]));
    for between in BETWEEN.into_iter().skip(1) {
        let score = score(between);
        if score > best.1 {
            best = (between, score);
        }
    }
    best.0
}

/// Whether a table program would take a text for a formula: by its first character, in full width too (OWASP "CSV injection").
fn is_formula(text: &str) -> bool {
    text.starts_with([
        '=', '+', '-', '@', '\t', '\r', '|', '＝', '＋', '－', '＠', '｜',
    ])
}

/// A text as it may stand in csv.
#[must_use]
pub fn guarded(text: &str) -> Cow<'_, str> {
    if is_formula(text.trim_start_matches('\'')) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The text that [`guarded`] was given.
#[must_use]
pub fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if is_formula(rest.trim_start_matches('\'')) => rest,
        _ => text,
    }
}

/// Takes UTF-8 and passes it on in another encoding.
#[derive(Debug)]
pub(super) struct Encoded<W> {
    inner: W,
    encoding: Encoding,
    /// The beginning of a character whose end has not come.
    begun: Vec<u8>,
}

impl<W: Write> Encoded<W> {
    /// Begins, with a byte order mark where the encoding has one.
    pub(super) fn begin(mut inner: W, encoding: Encoding) -> std::io::Result<Self> {
        inner.write_all(match encoding {
            Encoding::Utf8Bom => &[0xef, 0xbb, 0xbf],
            Encoding::Utf16Le => &[0xff, 0xfe],
            Encoding::Utf16Be => &[0xfe, 0xff],
            Encoding::Utf8 | Encoding::Gb18030 => &[],
        })?;
        Ok(Self {
            inner,
            encoding,
            begun: Vec::new(),
        })
    }

    fn pass(&mut self, text: &str) -> std::io::Result<()> {
        match self.encoding {
            Encoding::Utf8 | Encoding::Utf8Bom => self.inner.write_all(text.as_bytes()),
            Encoding::Utf16Le => text
                .encode_utf16()
                .try_for_each(|unit| self.inner.write_all(&unit.to_le_bytes())),
            Encoding::Utf16Be => text
                .encode_utf16()
                .try_for_each(|unit| self.inner.write_all(&unit.to_be_bytes())),
            Encoding::Gb18030 => self.inner.write_all(&gb18030(text)),
        }
    }
}

/// GB 18030 has a code for every character. The WHATWG's table leaves one for private use without, U+E5E5, which becomes U+FFFD.
fn gb18030(text: &str) -> Vec<u8> {
    let mut encoder = GB18030.new_encoder();
    let mut out = Vec::with_capacity(text.len() * 2 + 16);
    let mut rest = text;
    loop {
        let (result, read) =
            encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut out, true);
        rest = rest.get(read..).unwrap_or_default();
        match result {
            EncoderResult::InputEmpty => return out,
            EncoderResult::OutputFull => out.reserve(rest.len() * 4 + 16),
            EncoderResult::Unmappable(_) => out.extend_from_slice(&[0x84, 0x31, 0xa4, 0x37]),
        }
    }
}

impl<W: Write> Write for Encoded<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Ok(_) => self.begun.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, error)),
        };
        let rest = self.begun.split_off(whole);
        let whole = std::mem::replace(&mut self.begun, rest);
        self.pass(&String::from_utf8(whole).map_err(std::io::Error::other)?)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_apostrophe_is_put_before_what_looks_like_a_formula_and_taken_off_again() {
        for text in [
            "=1+1", "+86 138", "-5", "@x", "\tx", "\rx", "|x", "＝1", "＋1", "－1", "＠x", "'=1",
            "''=1", "'",
        ] {
            let written = guarded(text);
            assert_eq!(unguarded(&written), text);
            assert!(!is_formula(&written), "{text:?}");
        }
        for text in ["", "a=1", "'甲'", "'tis", "中", " =1"] {
            assert_eq!(guarded(text), text);
            assert_eq!(unguarded(text), text);
        }
        assert_eq!(guarded("=1"), "'=1");
    }

    #[test]
    fn the_rarest_characters_are_written_and_read_in_every_encoding() {
        let text = "𬱟,㛃,䶮,😀,é,\u{e5e4}\r\n一,二,三,四,五,六";
        for encoding in [
            Encoding::Utf8,
            Encoding::Utf8Bom,
            Encoding::Utf16Le,
            Encoding::Utf16Be,
            Encoding::Gb18030,
        ] {
            let mut bytes = Vec::new();
            let mut out = Encoded::begin(&mut bytes, encoding).unwrap();
            // Cut at every byte.
            for byte in text.as_bytes() {
                out.write_all(&[*byte]).unwrap();
            }
            assert_eq!(decode_text(&bytes), Ok((text.to_owned(), encoding)));
            assert!(
                decode_text(&bytes[..bytes.len() - 1]).is_err() || encoding == Encoding::Utf8,
                "cut off"
            );
        }
        assert_eq!(gb18030("a\u{e5e5}b"), gb18030("a\u{fffd}b"));
        for (mark, of) in [
            (false, u16::to_le_bytes as fn(u16) -> [u8; 2]),
            (true, u16::to_be_bytes),
        ] {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(of).collect();
            assert_eq!(
                decode_text(&bytes).unwrap().1,
                if mark {
                    Encoding::Utf16Be
                } else {
                    Encoding::Utf16Le
                }
            );
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(
            decode_text(&[0x89, b'P', b'N', b'G', 0, 0xff, 0xff]),
            Err(Refusal::UnknownEncoding)
        );
        assert_eq!(
            decode_text(&[0xff, 0xfe, 0x00]),
            Err(Refusal::UnknownEncoding)
        );
        assert_eq!(
            decode_text(&[0xff, 0xfe, 0x00, 0xd8]),
            Err(Refusal::UnknownEncoding)
        );
        assert_eq!(
            decode_text(&[0xd6, 0xd0, 0xff, 0xff]),
            Err(Refusal::UnknownEncoding)
        );
        assert_eq!(decode_text(b"a\0b\0\0c"), Err(Refusal::UnknownEncoding));
        for page in [
            "<html><table>",
            " \n<?xml version=",
            "<!DOCTYPE html>",
            "<TABLE border=1>",
        ] {
            assert!(is_page(page), "{page}");
        }
        assert!(!is_page("<5,>5") && !is_page(""));
        assert_eq!(decode_text(b"").unwrap().0, "");
    }
}
