//! A section of a batch: what does not compress as it is, and what does in one zstd frame or two.
//!
//! Owns the bounds on what is decompressed. Digests, salts and signatures stand before the frames: among letters they
//! would spoil the codes of the letters. Must not know what a section holds. Rejected: one frame for all, which makes a
//! section of texts an eighth longer.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::UnpackError;
use crate::codec::{Reader, Writer};
use crate::limits;

/// Compression level: SPEED measured 3 as the point where more effort stops paying.
pub(super) const LEVEL: i32 = 3;

thread_local! {
    // Contexts are large and costly to make; each thread keeps one of each.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// A section of raw bytes and frames.
pub(super) fn close(raw: &[u8], frames: &[&[u8]]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.varint(raw.len() as u64).fixed(raw);
    for plain in frames {
        writer.fixed(&compress(plain));
    }
    writer.into_bytes()
}

/// The raw bytes of a section and what its frames hold: one at least, and at most as many as are asked for; nothing may
/// follow them.
pub(super) fn open(section: &[u8], most: usize) -> Result<(&[u8], Vec<Vec<u8>>), UnpackError> {
    let mut reader = Reader::new(section);
    let len = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    let raw = reader.take(len)?;
    let mut left = limits::BATCH_DECOMPRESSED_MAX;
    let mut frames = Vec::new();
    // zstd itself would skip further empty or skippable frames, which could carry anything past every check.
    while frames.is_empty() || (reader.remaining() > 0 && frames.len() < most) {
        let len = find_frame_compressed_size(reader.rest());
        let len = len.map_err(|_| UnpackError::Compression)?;
        let plain = decompress(reader.take(len)?, left)?;
        left -= plain.len();
        frames.push(plain);
    }
    reader.finish().map_err(|_| UnpackError::Compression)?;
    Ok((raw, frames))
}

/// How many bytes may be rebuilt from a section: no more than it may hold plainly, for the same reason.
pub(super) const fn budget(section: &[u8]) -> usize {
    let most = section.len().saturating_mul(limits::BATCH_RATIO_MAX);
    if most < limits::BATCH_DECOMPRESSED_MAX {
        most
    } else {
        limits::BATCH_DECOMPRESSED_MAX
    }
}

/// Compresses from memory to memory, which fails only when memory cannot be had; the empty result
/// is then refused by every reader. What would pack better than a reader believes, a letter that somebody held down
/// for a page, goes out as it is.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let packed = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor
            .as_mut()
            .and_then(|it| it.compress(bytes).ok())
            .unwrap_or_default()
    });
    // rule:batch-ratio-written
    if bytes.len() > packed.len().saturating_mul(limits::BATCH_RATIO_MAX) {
        stored_frame(bytes)
    } else {
        packed
    }
}

/// A zstd frame that states its size and has its content uncompressed (RFC 8878, 3.1.1).
fn stored_frame(bytes: &[u8]) -> Vec<u8> {
    /// The most that one block may have.
    const BLOCK: usize = 128 * 1024;
    let Ok(size) = u32::try_from(bytes.len()) else {
        return Vec::new();
    };
    let mut frame = Vec::with_capacity(bytes.len() + 32);
    frame.extend([0x28, 0xb5, 0x2f, 0xfd]);
    // One segment, no checksum, no dictionary, a size of four bytes.
    frame.push(0xa0);
    frame.extend(size.to_le_bytes());
    let mut blocks = bytes.chunks(BLOCK).peekable();
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        let len = u32::try_from(block.len()).unwrap_or(0);
        frame.extend((len << 3 | last).to_le_bytes().into_iter().take(3));
        frame.extend(block);
    }
    frame
}

/// Decompresses one frame that says its size, which is checked before anything is allocated: it is bounded, and so
/// is what it is of the bytes that were sent, so that nobody makes a reader hash much for little.
fn decompress(bytes: &[u8], left: usize) -> Result<Vec<u8>, UnpackError> {
    let size = get_frame_content_size(bytes).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok());
    let most = bytes.len().saturating_mul(limits::BATCH_RATIO_MAX);
    // rule:batch-bounds
    let size = size.filter(|size| *size <= left.min(most));
    let size = size.ok_or(UnpackError::Compression)?;
    let plain = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        decompressor
            .as_mut()
            .and_then(|it| it.decompress(bytes, size).ok())
    });
    plain
        .filter(|plain| plain.len() == size && size > 0)
        .ok_or(UnpackError::Compression)
}
