//! A small file that is replaced often, and never lost: two places in it, of which the older one is written.
//!
//! ```text
//!  place 0                                       place 1
//!  | sum [32] | turn u64 | length u32 | bytes … | sum [32] | turn u64 | length u32 | bytes … |
//! ```
//!
//! The sum is over what follows it up to the end of the bytes, and numbers are big-endian. Of the places whose sum fits the one with
//! the higher turn counts. A write that a crash cut leaves the other place, which holds what was there before it. A file that has
//! its length is overwritten with one sync, where a new name takes three: of the file, of the name, of its directory.
//!
//! Rejected: a new file each time, which costs a live save more than its commit does; deltas behind a snapshot, for a file that has
//! a few kilobytes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use lianxin_protocol::hash::PAYLOAD;

use crate::error::{self, Result};

use super::replace_private;

/// What a place is a multiple of.
const BLOCK: usize = 4_096;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is no file.
    Nothing,
    /// Neither place can be read.
    Unreadable,
    /// What was written last.
    Bytes(Vec<u8>),
}

/// The content of the place that counts, its turn, and which one it is.
fn newest(file: &[u8]) -> Option<(u64, usize, &[u8])> {
    let place = |nth: usize| {
        let size = file.len() / 2;
        let place = file.get(nth * size..(nth + 1) * size)?;
        let (sum, rest) = place.split_first_chunk::<32>()?;
        let (turn, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let bytes = rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let holds = PAYLOAD.hash(&[turn, length, bytes]) == *sum;
        holds.then_some((u64::from_be_bytes(*turn), nth, bytes))
    };
    [place(0), place(1)]
        .into_iter()
        .flatten()
        .max_by_key(|(turn, ..)| *turn)
}

fn place(turn: u64, bytes: &[u8]) -> Vec<u8> {
    let turn = turn.to_be_bytes();
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    let sum = PAYLOAD.hash(&[&turn, &length, bytes]);
    [&sum[..], &turn, &length, bytes].concat()
}

/// Reads what was written last.
///
/// # Errors
/// The file is there and the system does not give it.
pub(crate) fn read(path: &Path) -> Result<Content> {
    match std::fs::read(path) {
        Ok(file) => Ok(newest(&file).map_or(Content::Unreadable, |(_, _, bytes)| {
            Content::Bytes(bytes.to_vec())
        })),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Content::Nothing),
        Err(error) => Err(error::file(path)(error)),
    }
}

/// Writes bytes, durably, in the place of what was there.
///
/// # Errors
/// The file cannot be written; what was there is there still.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error::file(path)(error)),
    };
    let (size, found) = (file.len() / 2, newest(&file));
    let (turn, last) = found.map_or((0, 1), |(turn, nth, _)| (turn, nth));
    let fresh = place(turn.saturating_add(1), bytes);
    if fresh.len() > size || found.is_none() {
        // With room to grow, so that it keeps its length for a while.
        let size = (fresh.len() * 2).next_multiple_of(BLOCK);
        let mut file = fresh;
        file.resize(size * 2, 0);
        return replace_private(path, &file);
    }
    let at = u64::try_from((1 - last) * size).unwrap_or_default();
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .map_err(error::file(path))?;
    file.seek(SeekFrom::Start(at))
        .and_then(|_| file.write_all(&fresh))
        .and_then(|()| file.sync_data())
        .map_err(error::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tested = std::result::Result<(), Box<dyn std::error::Error>>;

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("lianxin-slots-{name}-{}", std::process::id()))
    }

    #[test]
    fn what_was_written_last_is_read_and_a_write_that_was_cut_leaves_what_was_before() -> Tested {
        let path = scratch("cut");
        assert_eq!(read(&path)?, Content::Nothing);
        for bytes in [&b"one"[..], b"two", &[7; 9_000], b"three", b""] {
            write(&path, bytes)?;
            assert_eq!(read(&path)?, Content::Bytes(bytes.to_vec()));
        }
        let whole = std::fs::read(&path)?;
        write(&path, b"last")?;
        let after = std::fs::read(&path)?;
        assert_eq!(after.len(), whole.len(), "it keeps its length");
        // However much of the write has reached the disk.
        let differs: Vec<_> = (0..whole.len())
            .filter(|at| whole[*at] != after[*at])
            .collect();
        let (first, end) = (differs[0], differs[differs.len() - 1] + 1);
        for cut in first..=end {
            let mut torn = whole.clone();
            torn[first..cut].copy_from_slice(&after[first..cut]);
            std::fs::write(&path, torn)?;
            let expected = if cut == end { &b"last"[..] } else { b"" };
            assert_eq!(
                read(&path)?,
                Content::Bytes(expected.to_vec()),
                "cut at {cut}"
            );
        }
        Ok(std::fs::remove_file(&path)?)
    }

    #[test]
    fn a_file_of_which_no_place_holds_is_told_from_none() -> Tested {
        let path = scratch("unreadable");
        for bytes in [&b""[..], b"x", &[0; 8_192]] {
            std::fs::write(&path, bytes)?;
            assert_eq!(read(&path)?, Content::Unreadable);
        }
        Ok(std::fs::remove_file(&path)?)
    }
}
