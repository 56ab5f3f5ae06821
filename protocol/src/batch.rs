//! The inside of a batch: how a run of entries is packed for the wire and for the store.
//!
//! What the reader can compute is left out, the rest is laid out in columns, in two sections: headers and changes
//! in the first (modules `columns` and `change`), parts in the second (module `text`). So a store keeps the first
//! section as it came and the parts as rows that can be erased; before it stand the parts' digests, which the wire
//! leaves out ([`stored`]). The layout may change between versions; what is signed does not depend
//! on it, because the checkpoint proves the rebuilt headers byte by byte.
//!
//! A batch unpacks alone, with nothing but its log's id and its place. Rejected: naming what a record's change builds on by
//! its place in the log, 32 bytes an edit less: a batch could then be read only by who has all before it, which
//! neither a prover of forks nor a reader of one stored segment has.

mod change;
mod columns;
mod frame;
mod text;

use thiserror::Error;

use crate::codec::{DecodeError, Reader, Writer};
use crate::log::{Author, ChainError, EntryKind, LogId, Position, RecordId, Run, VerifiedRun};
use columns::{Beside, Given, Options, PartSource};

/// A run, packed.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed {
    /// Entries.
    pub count: u16,
    /// Headers, changes and other payloads, and the checkpoint.
    pub main: Vec<u8>,
    /// The parts' payloads; empty when there are none.
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
    /// A zstd frame is damaged, or the section becomes larger than it may.
    #[error("the batch cannot be decompressed within its bound")]
    Compression,
    /// A section is not what it should be.
    #[error("the batch is malformed: {0}")]
    Layout(#[from] DecodeError),
}

/// The place in a run's log at which a record was founded, if this log did; what is wrong is not believed.
pub type Places<'a> = &'a dyn Fn(&RecordId) -> Option<u64>;

/// Packs the second section: the payloads of parts, in entry order.
#[must_use]
pub fn pack_parts<'a>(payloads: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    text::pack(&payloads.collect::<Vec<_>>())
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
        main: columns::pack(run, Options::default()),
        parts: pack_parts(parts),
    }
}

/// Packs the first section alone, for a store that keeps parts as rows: every part stands beside it,
/// also one whose payload is not in `run`. What comes out is for [`stored`].
#[must_use]
pub fn pack_main(run: &Run, places: Places<'_>) -> Vec<u8> {
    let options = Options {
        parts_are_rows: true,
        places: Some(places),
        ..Options::default()
    };
    columns::pack(run, options)
}

/// What a store keeps of a run beside its parts: their digests, and the first section as it came or was packed.
#[must_use]
pub fn stored(run: &Run, main: &[u8]) -> Vec<u8> {
    let parts = run.entries.iter().map(|entry| &entry.header);
    let parts: Vec<_> = parts
        .filter(|header| header.kind == EntryKind::Part)
        .collect();
    let mut writer = Writer::new();
    writer.varint(parts.len() as u64);
    for part in parts {
        writer.fixed(&part.digest);
    }
    writer.fixed(main);
    writer.into_bytes()
}

/// Digests of parts, and the first section, of what [`stored`] made.
///
/// # Errors
/// The bytes end.
pub fn split_stored(stored: &[u8]) -> Result<(Vec<[u8; 32]>, &[u8]), DecodeError> {
    let mut reader = Reader::new(stored);
    let count = reader.varint()?;
    let mut digests = Vec::new();
    for _ in 0..count {
        digests.push(reader.fixed()?);
    }
    Ok((digests, reader.rest()))
}

/// Where the payloads of parts come from when a run is unpacked, and where it comes from itself.
#[derive(Debug)]
pub enum Parts<'a> {
    /// The second section of a batch, which came with the first.
    Section(&'a [u8]),
    /// Rows of a store: one for each entry that is a part, in entry order; `None` where the payload
    /// was erased or never came. The first section comes from [`stored`].
    Rows(Vec<Option<Vec<u8>>>),
    /// Not wanted: parts come out without payload. The first section comes from [`stored`].
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
    let rows = match parts {
        Parts::Section(section) => {
            let open = |lens: &[usize]| Ok(Sent(text::unpack(section, lens)?.into_iter()));
            return Ok(columns::unpack(log, start, main, open)?.0);
        }
        Parts::Rows(rows) => rows,
        Parts::LeftOut => Vec::new(),
    };
    let (digests, main) = split_stored(main)?;
    let source = Kept {
        digests: digests.into_iter(),
        rows: rows.into_iter(),
    };
    let (run, _, left) = columns::unpack(log, start, main, |_| Ok(source))?;
    if left.digests.len() > 0 {
        return Err(DecodeError {
            offset: 0,
            what: "another number of parts",
        }
        .into());
    }
    Ok(run)
}

/// Why a batch that came cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It cannot be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// It does not verify.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// Unpacks a run that came with its parts, and verifies it as [`Run::verify`] does; what unpacking has hashed is not
/// hashed again.
///
/// # Errors
/// As [`unpack`] and [`Run::verify`].
pub fn open(
    log: &LogId,
    start: Position,
    packed: &Packed,
    known: Option<Author>,
) -> Result<VerifiedRun, OpenError> {
    let parts = |lens: &[usize]| Ok(Sent(text::unpack(&packed.parts, lens)?.into_iter()));
    let (run, hashed, _) = columns::unpack(log, start, &packed.main, parts)?;
    Ok(run.verify_hashed(known, 0, &hashed)?)
}

/// Parts that came with the batch.
struct Sent(std::vec::IntoIter<Vec<u8>>);

impl PartSource for Sent {
    fn next(&mut self, form: Beside) -> Given {
        match form {
            Beside::Absent => (None, None),
            Beside::Here => (self.0.next(), None),
        }
    }
}

/// Parts of a store.
struct Kept {
    digests: std::vec::IntoIter<[u8; 32]>,
    rows: std::vec::IntoIter<Option<Vec<u8>>>,
}

impl PartSource for Kept {
    fn next(&mut self, _: Beside) -> Given {
        (self.rows.next().flatten(), self.digests.next())
    }
}

#[cfg(test)]
mod tests;
