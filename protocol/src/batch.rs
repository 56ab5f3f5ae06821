//! The inside of a batch: how a run of entries is packed for the wire and for the store.
//!
//! What the reader can recompute is left out (sequence numbers, links, digests of changes, their magic and
//! checksum), the rest is laid out in columns, and each of two sections is one zstd frame: headers and changes
//! in the first, parts in the second. So a store keeps the first section as it came and the parts as
//! rows that can be erased. The layout may change between versions; what is signed does not depend
//! on it, because the checkpoint proves the rebuilt headers byte by byte.

use std::cell::RefCell;

use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::log::{
    CHANGE_MAGIC, Checkpoint, DigestMode, Entry, EntryKind, Flags, HEADER_VERSION, Header, LogId,
    Position, RecordId, Run, digest, starts_as_change,
};

/// A run, packed.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    /// Entries.
    pub count: u16,
    /// zstd frame of headers, changes and other payloads, and the checkpoint.
    pub main: Vec<u8>,
    /// zstd frame of the parts' payloads; empty when there are none.
    pub parts: Vec<u8>,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "Packed({} entries, {}+{} B)",
            self.count,
            self.main.len(),
            self.parts.len()
        )
    }
}

/// Why a packed run cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UnpackError {
    /// The zstd frame is damaged or larger than it may become.
    #[error("the batch cannot be decompressed within its bound")]
    Compression,
    /// A section is not what it should be.
    #[error("the batch is malformed: {0}")]
    Layout(#[from] DecodeError),
}

/// Compression level: SPEED measured 3 as the point where more effort stops paying.
const LEVEL: i32 = 3;
const LAYOUT: u8 = 1;

/// What stands in the place of a payload.
const ABSENT: u8 = 0;
const WHOLE: u8 = 1;
/// A change without its magic and checksum.
const STRIPPED: u8 = 2;
/// A part, in the second section. Its digest stands in the first, so that a store can drop the part
/// and the rest still verifies.
const BESIDE: u8 = 3;
/// Or-ed to the above: the header has a version of its own or an extension.
const FOREIGN: u8 = 0x80;

thread_local! {
    // Contexts are large and costly to make; each thread keeps one of each.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// Compresses from memory to memory, which fails only when memory cannot be had; the empty result
/// is then refused by every reader. What would pack better than a reader believes, a letter that somebody held down
/// for a page, goes out as it is.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let packed = COMPRESSOR.with_borrow_mut(|compressor| {
        compressor
            .as_mut()
            .and_then(|it| it.compress(bytes).ok())
            .unwrap_or_default()
    });
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
/// is what it is of the bytes that were sent, so that nobody makes a reader hash much for little. Nothing
/// may follow the frame: zstd itself would skip further empty or skippable frames, which could carry
/// anything past every check.
fn decompress(bytes: &[u8]) -> Result<Vec<u8>, UnpackError> {
    if find_frame_compressed_size(bytes) != Ok(bytes.len()) {
        return Err(UnpackError::Compression);
    }
    let size = get_frame_content_size(bytes).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok());
    let most = bytes.len().saturating_mul(limits::BATCH_RATIO_MAX);
    let size = size.filter(|size| *size <= limits::BATCH_DECOMPRESSED_MAX.min(most));
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

/// Packs the second section: the payloads of parts, in entry order.
#[must_use]
pub fn pack_parts<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut writer = Writer::new();
    for payload in payloads {
        writer.fixed(payload);
    }
    if writer.is_empty() {
        Vec::new()
    } else {
        compress(&writer.into_bytes())
    }
}

/// Packs a run.
#[must_use]
pub fn pack(run: &Run) -> Packed {
    let parts = run
        .entries
        .iter()
        .filter(|entry| entry.header.kind == EntryKind::Part)
        .filter_map(|entry| entry.payload.as_deref());
    Packed {
        count: u16::try_from(run.entries.len()).unwrap_or(u16::MAX),
        main: compress(&main_section(run, false)),
        parts: pack_parts(parts),
    }
}

/// Packs the first section alone, for a store that keeps parts as rows: every part stands beside it,
/// also one whose payload is not in `run`.
#[must_use]
pub fn pack_main(run: &Run) -> Vec<u8> {
    compress(&main_section(run, true))
}

/// How one entry's payload is laid out.
fn form(entry: &Entry, parts_are_rows: bool) -> (u8, &[u8]) {
    match entry.payload.as_deref() {
        None if parts_are_rows && entry.header.kind == EntryKind::Part => (BESIDE, &[]),
        None => (ABSENT, &[]),
        Some(payload) if entry.header.kind == EntryKind::Part => (BESIDE, payload),
        Some(payload) => match strip(&entry.header, payload) {
            Some(stripped) => (STRIPPED, stripped),
            None => (WHOLE, payload),
        },
    }
}

/// A change without magic and checksum, if both are what the reader will put there.
fn strip<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    let fits = header.flags.digest_mode() == Some(DigestMode::Change)
        && starts_as_change(payload, &header.digest);
    payload.get(8..).filter(|_| fits)
}

fn main_section(run: &Run, parts_are_rows: bool) -> Vec<u8> {
    let forms: Vec<_> = run
        .entries
        .iter()
        .map(|entry| form(entry, parts_are_rows))
        .collect();
    let headers = || run.entries.iter().map(|entry| &entry.header);
    let mut records: Vec<RecordId> = Vec::new();
    let mut writer = Writer::new();
    writer.u8(LAYOUT).varint(run.entries.len() as u64);
    for header in headers() {
        writer.u8(header.kind.code());
    }
    for header in headers() {
        writer.u8(header.flags.bits());
    }
    for ((form, _), header) in forms.iter().zip(headers()) {
        let foreign = header.version != HEADER_VERSION || !header.extension.is_empty();
        writer.u8(form | if foreign { FOREIGN } else { 0 });
    }
    for header in headers() {
        let known = records.iter().rposition(|record| *record == header.record);
        let index = known.unwrap_or_else(|| {
            records.push(header.record);
            records.len() - 1
        });
        writer.varint(index as u64);
    }
    for record in &records {
        writer.fixed(&record.0);
    }
    let mut before = 0;
    for header in headers() {
        writer.varint(zigzag(header.hlc.wrapping_sub(before)));
        before = header.hlc;
    }
    let mut before = 0;
    for header in headers() {
        writer.varint(u64::from(header.authority_len.wrapping_sub(before)));
        before = header.authority_len;
    }
    for ((form, laid_out), header) in forms.iter().zip(headers()) {
        let len = if *form == STRIPPED {
            laid_out.len() as u64
        } else {
            header.payload_len.into()
        };
        writer.varint(len);
    }
    for ((form, _), header) in forms.iter().zip(headers()) {
        if matches!(*form, ABSENT | BESIDE) || header.flags.digest_mode().is_none() {
            writer.fixed(&header.digest);
        }
    }
    for header in headers() {
        if header.version != HEADER_VERSION || !header.extension.is_empty() {
            writer.u8(header.version).bytes(&header.extension);
        }
    }
    for (form, laid_out) in &forms {
        if *form != BESIDE {
            writer.fixed(laid_out);
        }
    }
    run.checkpoint.write(&mut writer);
    writer.into_bytes()
}

const fn zigzag(value: u64) -> u64 {
    let signed = value as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

const fn unzigzag(value: u64) -> u64 {
    (value >> 1) ^ (value & 1).wrapping_neg()
}

/// Where the payloads of parts come from when a run is unpacked.
#[derive(Debug)]
pub enum Parts<'a> {
    /// The second section of a batch.
    Section(&'a [u8]),
    /// Rows of a store: one for each entry that is a part, in entry order; `None` where the payload
    /// was erased or never came.
    Rows(Vec<Option<Vec<u8>>>),
    /// Not wanted: parts come out without payload.
    LeftOut,
}

/// Unpacks a run; it still has to be verified.
///
/// # Errors
/// A section is damaged, too large, or has bytes left over.
pub fn unpack(
    log: &LogId,
    start: Position,
    main: &[u8],
    parts: Parts<'_>,
) -> Result<Run, UnpackError> {
    let main = decompress(main)?;
    let part_bytes;
    let mut part_source = match parts {
        Parts::Section([]) => PartSource::Section(Reader::new(&[])),
        Parts::Section(section) => {
            part_bytes = decompress(section)?;
            PartSource::Section(Reader::new(&part_bytes))
        }
        Parts::Rows(rows) => PartSource::Rows(rows.into_iter()),
        Parts::LeftOut => PartSource::LeftOut,
    };
    let mut reader = Reader::new(&main);
    if reader.u8()? != LAYOUT {
        return Ok(reader.fail("an unknown layout")?);
    }
    let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if count == 0 || count > limits::BATCH_ENTRIES {
        return Ok(reader.fail("a batch has 1 to 64 entries")?);
    }
    let kinds = reader.take(count)?;
    let flags = reader.take(count)?;
    let forms = reader.take(count)?;
    let indices = (0..count)
        .map(|_| reader.varint())
        .collect::<Result<Vec<_>, _>>()?;
    let mut records = Vec::new();
    for index in &indices {
        if *index > records.len() as u64 {
            return Ok(reader.fail("a record index out of order")?);
        }
        if *index == records.len() as u64 {
            records.push(RecordId([0; 16]));
        }
    }
    for record in &mut records {
        *record = RecordId(reader.fixed()?);
    }
    let mut hlc = 0_u64;
    let mut hlcs = Vec::with_capacity(count);
    for _ in 0..count {
        hlc = hlc.wrapping_add(unzigzag(reader.varint()?));
        hlcs.push(hlc);
    }
    let mut authority_len = 0_u32;
    let mut authority_lens = Vec::with_capacity(count);
    for _ in 0..count {
        let Ok(delta) = u32::try_from(reader.varint()?) else {
            return Ok(reader.fail("an authority length of more than 32 bits")?);
        };
        authority_len = authority_len.wrapping_add(delta);
        authority_lens.push(authority_len);
    }
    let lens = (0..count)
        .map(|_| reader.varint())
        .collect::<Result<Vec<_>, _>>()?;
    let mut digests = Vec::with_capacity(count);
    for (form, flags) in forms.iter().zip(flags) {
        let explicit = matches!(form & !FOREIGN, ABSENT | BESIDE)
            || Flags::from_bits(*flags).digest_mode().is_none();
        digests.push(if explicit {
            Some(reader.fixed::<32>()?)
        } else {
            None
        });
    }
    let mut foreign = Vec::with_capacity(count);
    for form in forms {
        foreign.push(if form & FOREIGN == 0 {
            (HEADER_VERSION, Vec::new())
        } else {
            let version = reader.u8()?;
            let extension = reader.bytes(limits::HEADER_EXTENSION_MAX)?.to_vec();
            if version == HEADER_VERSION && extension.is_empty() {
                return Ok(reader.fail("a foreign header without anything foreign")?);
            }
            (version, extension)
        });
    }

    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    let mut position = start;
    let columns = kinds.iter().zip(flags).zip(forms).zip(indices).zip(hlcs);
    let columns = columns
        .zip(authority_lens)
        .zip(lens)
        .zip(digests)
        .zip(foreign);
    for ((((((((kind, flags), form), index), hlc), authority), len), explicit), foreign) in columns
    {
        let kind = EntryKind::of(*kind);
        let flags = Flags::from_bits(*flags);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let (payload, payload_len) = match form & !FOREIGN {
            ABSENT if kind == EntryKind::Part => (part_source.absent(), len),
            ABSENT => (None, len),
            // A part in the first section could not be erased there.
            WHOLE | STRIPPED if kind == EntryKind::Part => {
                return Ok(reader.fail("a part that does not stand beside")?);
            }
            WHOLE => (Some(reader.take(len)?.to_vec()), len),
            STRIPPED if flags.digest_mode() == Some(DigestMode::Change) => {
                let rest = reader.take(len)?;
                let mut payload = Vec::with_capacity(len + 8);
                payload.extend_from_slice(&CHANGE_MAGIC);
                payload.extend_from_slice(&[0; 4]);
                payload.extend_from_slice(rest);
                let hash = digest(DigestMode::Change, &payload);
                if let (Some(place), Some(sum)) = (payload.get_mut(4..8), hash.get(..4)) {
                    place.copy_from_slice(sum);
                }
                let payload_len = payload.len();
                (Some(payload), payload_len)
            }
            BESIDE if kind == EntryKind::Part => (part_source.next(len)?, len),
            _ => return Ok(reader.fail("an unknown form of payload")?),
        };
        let digest = match (explicit, &payload, flags.digest_mode()) {
            (Some(digest), ..) => digest,
            (None, Some(payload), Some(mode)) => digest(mode, payload),
            _ => return Ok(reader.fail("a digest that nothing gives")?),
        };
        let record = usize::try_from(index)
            .ok()
            .and_then(|index| records.get(index));
        let header = Header {
            version: foreign.0,
            kind,
            flags,
            seq: position.len,
            prev: position.head,
            record: record.copied().unwrap_or(RecordId::NONE),
            hlc,
            authority_len: authority,
            payload_len: u32::try_from(payload_len).unwrap_or(u32::MAX),
            digest,
            extension: foreign.1,
        };
        position = Position {
            len: position.len.saturating_add(1),
            head: header.id().0,
        };
        entries.push(Entry { header, payload });
    }
    let checkpoint = Checkpoint::read(&mut reader, position)?;
    reader.finish()?;
    part_source.finish()?;
    Ok(Run {
        log: *log,
        start,
        entries,
        checkpoint,
    })
}

enum PartSource<'a> {
    Section(Reader<'a>),
    Rows(std::vec::IntoIter<Option<Vec<u8>>>),
    LeftOut,
}

impl PartSource<'_> {
    fn next(&mut self, len: usize) -> Result<Option<Vec<u8>>, DecodeError> {
        match self {
            Self::Section(reader) => reader.take(len).map(|bytes| Some(bytes.to_vec())),
            Self::Rows(rows) => Ok(rows.next().flatten()),
            Self::LeftOut => Ok(None),
        }
    }

    /// A part that was already absent when the run was packed.
    fn absent(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Rows(rows) => rows.next().flatten(),
            Self::Section(_) | Self::LeftOut => None,
        }
    }

    fn finish(self) -> Result<(), DecodeError> {
        match self {
            Self::Section(reader) => reader.finish(),
            Self::Rows(_) | Self::LeftOut => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
