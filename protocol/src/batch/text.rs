//! The second section of a batch: the payloads of parts, which are texts for the most part.
//!
//! Owns how a part is laid out: its salt before the frames, its texts as UTF-16 in two planes, the upper bytes of all
//! units and the lower ones, since an upper byte tells nothing of the lower one beside it, and each plane has a code of its own. Bytes that
//! are no part of texts stand as they are. Must not judge them: what comes out is hashed. Rejected: UTF-8, a third longer
//! in Chinese; GB18030, as short as two planes but a table of its own.

use super::{UnpackError, frame};
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;

/// As it is.
const WHOLE: u8 = 0;
/// A salt, a count, and that many keys and texts.
const TEXTS: u8 = 1;

/// Bytes of a salt.
const SALT: usize = 16;

/// Packs parts; nothing if there are none.
pub(super) fn pack(payloads: &[&[u8]]) -> Vec<u8> {
    if payloads.is_empty() {
        return Vec::new();
    }
    let packed = lay_out(payloads, true).close();
    let bytes: usize = payloads.iter().map(|it| it.len()).sum();
    if bytes <= frame::budget(&packed) {
        packed
    } else {
        lay_out(payloads, false).close()
    }
}

/// The two frames of the section and what stands before them.
#[derive(Default)]
pub(super) struct Section {
    pub(super) raw: Writer,
    pub(super) upper: Vec<u8>,
    pub(super) lower: Vec<u8>,
}

impl Section {
    fn close(self) -> Vec<u8> {
        let raw = self.raw.into_bytes();
        if self.lower.is_empty() {
            return frame::close(&raw, &[&self.upper]);
        }
        frame::close(&raw, &[&self.upper, &self.lower])
    }
}

pub(super) fn lay_out(payloads: &[&[u8]], as_texts: bool) -> Section {
    let mut raw = Writer::new();
    let mut writer = Writer::new();
    let (mut upper, mut lower) = (Vec::new(), Vec::new());
    for payload in payloads {
        let Some((salt, texts)) = texts(payload).filter(|_| as_texts) else {
            writer.u8(WHOLE).fixed(payload);
            continue;
        };
        raw.fixed(&salt);
        writer.u8(TEXTS).varint(texts.len() as u64);
        for (key, text) in texts {
            writer.varint(key.len() as u64).fixed(key.as_bytes());
            let before = lower.len();
            for unit in text.encode_utf16() {
                let [high, low] = unit.to_be_bytes();
                upper.push(high);
                lower.push(low);
            }
            writer.varint((lower.len() - before) as u64);
        }
    }
    writer.fixed(&upper);
    Section {
        raw,
        upper: writer.into_bytes(),
        lower,
    }
}

type Texts<'a> = Vec<(&'a str, &'a str)>;

/// Salt, keys and texts of a payload that has this form, to the last byte.
fn texts(payload: &[u8]) -> Option<([u8; SALT], Texts<'_>)> {
    let mut reader = Reader::new(payload);
    let salt = reader.fixed().ok()?;
    let count = reader.count(limits::PART_FIELDS_MAX, 8).ok()?;
    let texts = (0..count)
        .map(|_| {
            let key = reader.str(limits::PART_MAX).ok()?;
            Some((key, reader.str(limits::PART_MAX).ok()?))
        })
        .collect::<Option<_>>()?;
    reader.finish().ok()?;
    Some((salt, texts))
}

/// Rebuilds parts of these lengths.
pub(super) fn unpack(section: &[u8], lens: &[usize]) -> Result<Vec<Vec<u8>>, UnpackError> {
    if lens.is_empty() {
        Reader::new(section).finish()?;
        return Ok(Vec::new());
    }
    let bytes: usize = lens.iter().fold(0, |sum, len| sum.saturating_add(*len));
    if bytes > frame::budget(section) {
        return Err(UnpackError::Compression);
    }
    let (raw, frames) = frame::open(section, 2)?;
    let mut frames = frames.iter().map(Vec::as_slice);
    let (upper, lower) = (frames.next().unwrap_or_default(), frames.next());
    let lower = lower.unwrap_or_default();
    let mut raw = Reader::new(raw);
    let mut reader = Reader::new(upper);
    let mut found = Vec::with_capacity(lens.len());
    for len in lens {
        found.push(match reader.u8()? {
            WHOLE => Laid::Whole(reader.take(*len)?),
            TEXTS => read_texts(&mut reader, raw.fixed()?)?,
            _ => return Ok(reader.fail("an unknown form of part")?),
        });
    }
    raw.finish()?;
    let mut planes = Planes {
        upper: Reader::new(reader.take(lower.len())?),
        lower: Reader::new(lower),
    };
    reader.finish()?;
    let mut parts = Vec::with_capacity(lens.len());
    for (laid, len) in found.into_iter().zip(lens) {
        let part = laid.rebuild(&mut planes, *len)?;
        if part.len() != *len {
            return Ok(planes.upper.fail("a part of another length")?);
        }
        parts.push(part);
    }
    planes.lower.finish()?;
    Ok(parts)
}

enum Laid<'a> {
    Whole(&'a [u8]),
    /// Keys, and how many units their texts have.
    Texts([u8; SALT], Vec<(&'a [u8], usize)>),
}

fn read_texts<'a>(reader: &mut Reader<'a>, salt: [u8; SALT]) -> Result<Laid<'a>, DecodeError> {
    let count = reader.varint()?;
    if count > limits::PART_FIELDS_MAX as u64 {
        return reader.fail("too many texts");
    }
    let mut texts = Vec::new();
    for _ in 0..count {
        let len = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let key = reader.take(len)?;
        texts.push((key, usize::try_from(reader.varint()?).unwrap_or(usize::MAX)));
    }
    Ok(Laid::Texts(salt, texts))
}

struct Planes<'a> {
    upper: Reader<'a>,
    lower: Reader<'a>,
}

impl Laid<'_> {
    /// At most `len` bytes and one text more.
    fn rebuild(self, planes: &mut Planes<'_>, len: usize) -> Result<Vec<u8>, DecodeError> {
        let (salt, texts) = match self {
            Self::Whole(bytes) => return Ok(bytes.to_vec()),
            Self::Texts(salt, texts) => (salt, texts),
        };
        let mut writer = Writer::new();
        writer.fixed(&salt).length(texts.len());
        for (key, units) in texts {
            let upper = planes.upper.take(units)?;
            let lower = planes.lower.take(units)?;
            let pairs = upper.iter().zip(lower);
            let units = pairs.map(|(high, low)| u16::from_be_bytes([*high, *low]));
            let mut text = String::with_capacity(upper.len() * 3);
            for unit in char::decode_utf16(units) {
                match unit {
                    Ok(char) => text.push(char),
                    Err(_) => return planes.upper.fail("half a character"),
                }
            }
            writer.bytes(key).str(&text);
            if writer.len() > len {
                return planes.upper.fail("a part of another length");
            }
        }
        Ok(writer.into_bytes())
    }
}
