//! Short rows, packed one by one: the texts of parts and the facts of records.
//!
//! Each is a row of its own, so that it can be erased or read alone, and too short for zstd to learn from. A dictionary that is part of
//! the program knows beforehand how such rows look; `tests/dictionary` says how it was made. A row begins with a byte that names its
//! form. No form and no dictionary is ever changed or taken away: what was written with one is read with that one alone.
//!
//! Owns these forms and the bound on what is unpacked. Must not know what a row says: whether a part is what was signed is
//! seen by whoever has its digest, as ever. Rejected: a block of many rows, in which nothing can be erased.

use std::cell::RefCell;
use std::sync::LazyLock;

use lianxin_protocol::limits;
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};
use zstd::zstd_safe::{CParameter, get_frame_content_size};

/// As it is.
const PLAIN: u8 = 0;
/// A frame with the first dictionary.
const FRAME_1: u8 = 1;
/// [`SALT`] bytes as they are, which look like nothing, and a frame with the first dictionary.
const SALTED_1: u8 = 2;
/// Bytes of the salt that a part begins with.
const SALT: usize = 16;
/// Every frame begins with this, so that no row does (RFC 8878, 3.1.1).
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Level 6 makes parts a sixth shorter and a first sync a twentieth slower.
const LEVEL: i32 = 3;
/// Bytes that are packed: all that a part may have. A longer row stays as it is.
const MOST: usize = limits::PAYLOAD_MAX;

const DICTIONARY_1: &[u8] = include_bytes!("dictionary-1");
static WRITTEN_WITH: LazyLock<EncoderDictionary<'static>> =
    LazyLock::new(|| EncoderDictionary::copy(DICTIONARY_1, LEVEL));
static READ_WITH: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY_1));

thread_local! {
    // Contexts are costly to make; each thread keeps one of each.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(compressor().ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> =
        RefCell::new(Decompressor::with_prepared_dictionary(&READ_WITH).ok());
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fn compressor() -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::with_prepared_dictionary(&WRITTEN_WITH)?;
    // The row's form names it.
    compressor.set_parameter(CParameter::DictIdFlag(false))?;
    Ok(compressor)
}

/// Packs a row.
pub(crate) fn pack(plain: &[u8]) -> Vec<u8> {
    packed(FRAME_1, &[], plain)
}

/// Packs the payload of a part.
pub(crate) fn pack_part(payload: &[u8]) -> Vec<u8> {
    match payload.split_at_checked(SALT) {
        Some((salt, rest)) => packed(SALTED_1, salt, rest),
        None => packed(FRAME_1, &[], payload),
    }
}

fn packed(form: u8, raw: &[u8], rest: &[u8]) -> Vec<u8> {
    let frame = Some(rest).filter(|rest| raw.len() + rest.len() <= MOST);
    let frame = frame.and_then(|rest| {
        COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(rest).ok())
    });
    match frame.as_deref().and_then(|it| it.strip_prefix(&MAGIC)) {
        Some(frame) if frame.len() < rest.len() => [&[form], raw, frame].concat(),
        _ => [&[PLAIN], raw, rest].concat(),
    }
}

/// What was packed, unless the row is damaged or a newer version wrote it. At most [`MOST`] bytes are unpacked.
pub(crate) fn unpack(row: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    unpack_into(row, &mut plain)?;
    Some(plain)
}

/// The same in the place of what is there, for those who unpack many; nothing is there where nothing is given.
pub(crate) fn unpack_into(row: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    plain.clear();
    let (form, rest) = row.split_first()?;
    let (raw, frame) = match *form {
        PLAIN => {
            plain.extend_from_slice(rest);
            return Some(());
        }
        FRAME_1 => (&[][..], rest),
        SALTED_1 => rest.split_at_checked(SALT)?,
        _ => return None,
    };
    let unpacked = FRAME.with_borrow_mut(|whole| {
        whole.clear();
        whole.extend_from_slice(&MAGIC);
        whole.extend_from_slice(frame);
        let size = get_frame_content_size(whole).ok().flatten()?;
        let size = usize::try_from(size).ok().filter(|size| *size <= MOST)?;
        plain.reserve_exact(size);
        DECOMPRESSOR.with_borrow_mut(|decompressor| {
            let decompressor = decompressor.as_mut()?;
            decompressor.decompress_to_buffer(whole, plain).ok()
        })
    });
    if unpacked.is_none() {
        plain.clear();
        return None;
    }
    plain.splice(..0, raw.iter().copied());
    Some(())
}

/// The payload in a part's row. One that is damaged comes as it lies: it has the digest of no part, which is where
/// damage is found.
pub(crate) fn payload(row: Vec<u8>) -> Vec<u8> {
    unpack(&row).unwrap_or(row)
}

#[cfg(test)]
mod tests {
    use lianxin_protocol::part::Part;

    use super::*;

    fn part() -> Vec<u8> {
        let text = "楼道灯坏了三天，晚上看不清台阶，请尽快修。";
        let texts = [("body", text), ("title", "楼道灯坏了")];
        let texts = texts.map(|(key, text)| (key.to_owned(), text.to_owned()));
        let salt = std::array::from_fn(|at| u8::try_from(at * 15).unwrap_or(0));
        let texts = texts.into();
        Part { salt, texts }.encode()
    }

    #[test]
    fn what_was_packed_comes_back_byte_for_byte() {
        let noise: Vec<u8> = (0..MOST)
            .map(|at| lianxin_protocol::hash::STATE_DIGEST.hash(&[&at.to_be_bytes()])[0])
            .collect();
        let text = part();
        let mut rows = vec![
            Vec::new(),
            vec![0],
            vec![7; SALT],
            vec![1; MOST],
            vec![2; MOST + 1],
        ];
        rows.extend((0..text.len()).filter_map(|len| Some(text.get(..len)?.to_vec())));
        rows.extend([1, 40, 300, MOST].map(|len| noise.iter().take(len).copied().collect()));
        let mut plain = b"what was there".to_vec();
        for row in rows {
            for packed in [pack(&row), pack_part(&row)] {
                assert_eq!(unpack(&packed).as_deref(), Some(&*row));
                assert_eq!(unpack_into(&packed, &mut plain), Some(()));
                assert_eq!(plain, row);
                assert!(packed.len() <= row.len() + 1);
            }
        }
        assert!(pack_part(&text).len() * 4 < text.len() * 3);
    }

    #[test]
    fn rows_of_all_forms_stay_readable() {
        // Written on 2026-11-29.
        let rows = include_str!("packed-rows");
        let hex = |text: &str| -> Option<Vec<u8>> {
            let pairs = text.as_bytes().chunks(2);
            let byte = |pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
            pairs.map(byte).collect()
        };
        let mut forms = Vec::new();
        for (row, plain) in rows.lines().filter_map(|line| line.split_once(' ')) {
            let row = hex(row).unwrap_or_default();
            assert_eq!(unpack(&row), hex(plain));
            forms.extend(row.first().copied());
        }
        assert_eq!(forms, [PLAIN, FRAME_1, SALTED_1]);
    }

    #[test]
    fn damage_in_a_row_is_nearly_always_seen_and_never_does_harm() {
        let text = part();
        let packed = pack_part(&text);
        assert_eq!(packed.first(), Some(&SALTED_1));
        let mut harmless = 0;
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut damaged = packed.clone();
                if let Some(byte) = damaged.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                // A frame has a few bits that say nothing.
                harmless += usize::from(payload(damaged) == text);
            }
            let cut = packed.get(..at).unwrap_or_default();
            assert_ne!(payload(cut.to_vec()), text);
        }
        assert!(harmless * 20 < packed.len() * 8, "{harmless}");
        assert_eq!(unpack(&[]), None);
        assert_eq!(unpack(&[9, 1, 2]), None);
    }

    #[test]
    fn a_row_unpacks_to_no_more_than_its_bound() {
        let size = MOST + 1;
        let mut compressor = compressor().expect("a compressor");
        let frame = compressor.compress(&vec![0; size]).expect("a frame");
        let row = [&[FRAME_1], frame.get(MAGIC.len()..).unwrap_or_default()].concat();
        assert_eq!(unpack(&row), None);
    }
}
