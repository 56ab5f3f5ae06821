//! The offered-position file: how far this device has shown each of its own logs to anyone.
//!
//! It lies beside the database and outside every backup, names the machine, and is durable before a
//! position is sent. A store that is behind it, or whose file is missing or of another machine, was
//! restored or copied: writing on in its logs would fork them, so new ones are begun. An ordinary
//! crash leaves the store at or ahead of the file and changes nothing.
//!
//! A log that must not be written on is sealed here: its position is one that no store ever reaches.
//! What was found once, by a missing file or from a peer, holds after the next start as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lianxin_protocol::codec::{DecodeError, Reader, Writer};
use lianxin_protocol::log::{LogId, Position};

use crate::error::Result;
use crate::store;

const FILE: &str = "offered";
const VERSION: u8 = 1;
/// A position beyond every log.
const SEALED: Position = Position {
    len: u64::MAX,
    head: [0; 32],
};

/// What the file says.
#[derive(Debug)]
pub(crate) struct Offered {
    path: PathBuf,
    place: [u8; 32],
    positions: BTreeMap<LogId, Position>,
}

/// What was found when a store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The file is whole and belongs here.
    Whole,
    /// There is none.
    Missing,
    /// It was written on another machine or volume, or is damaged.
    Foreign,
}

impl Offered {
    /// Makes the file for a new store.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        let offered = Self::empty(directory);
        offered.write()?;
        Ok(offered)
    }

    fn empty(directory: &Path) -> Self {
        Self {
            path: directory.join(FILE),
            place: place(directory),
            positions: BTreeMap::new(),
        }
    }

    /// Reads the file. What is not found or foreign starts anew, and the finding says so; nothing is
    /// written before [`Offered::seal`], or a crash in between would make a copy look like the original.
    pub(crate) fn open(directory: &Path) -> (Self, Found) {
        let empty = Self::empty(directory);
        let Ok(bytes) = std::fs::read(&empty.path) else {
            return (empty, Found::Missing);
        };
        match decode(&bytes) {
            Ok((of, positions)) if of == empty.place => (Self { positions, ..empty }, Found::Whole),
            _ => (empty, Found::Foreign),
        }
    }

    /// Closes logs for good and makes that durable.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn seal(&mut self, logs: impl IntoIterator<Item = LogId>) -> Result<()> {
        for log in logs {
            self.positions.insert(log, SEALED);
        }
        self.write()
    }

    /// How far a log was offered.
    pub(crate) fn position(&self, log: &LogId) -> Option<Position> {
        self.positions.get(log).copied()
    }

    /// How many entries of each log were offered, as far as they are not sealed.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (LogId, u64)> {
        let open = self.positions.iter().filter(|(_, at)| **at != SEALED);
        open.map(|(log, at)| (*log, at.len))
    }

    /// Raises a position and makes that durable, before anything up to it is sent.
    ///
    /// # Errors
    /// The file cannot be written; nothing may be sent then.
    pub(crate) fn raise(&mut self, log: LogId, position: Position) -> Result<()> {
        if self
            .position(&log)
            .is_some_and(|known| known.len >= position.len)
        {
            return Ok(());
        }
        let before = self.positions.insert(log, position);
        let written = self.write();
        if written.is_err() {
            match before {
                Some(before) => self.positions.insert(log, before),
                None => self.positions.remove(&log),
            };
        }
        written
    }

    fn write(&self) -> Result<()> {
        let mut writer = Writer::new();
        writer
            .u8(VERSION)
            .fixed(&self.place)
            .length(self.positions.len());
        for (log, position) in &self.positions {
            writer.fixed(&log.0).u64(position.len).fixed(&position.head);
        }
        store::replace_private(&self.path, &writer.into_bytes())
    }
}

fn decode(bytes: &[u8]) -> Result<([u8; 32], BTreeMap<LogId, Position>), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return reader.fail("an unknown version");
    }
    let place = reader.fixed()?;
    let count = reader.count(100_000, 72)?;
    let mut positions = BTreeMap::new();
    for _ in 0..count {
        let log = LogId(reader.fixed()?);
        positions.insert(
            log,
            Position {
                len: reader.u64()?,
                head: reader.fixed()?,
            },
        );
    }
    reader.finish()?;
    Ok((place, positions))
}

/// Names machine and directory: a copied directory has another inode, a disk that was moved another
/// machine. Device numbers are left out, because they may change with every boot.
fn place(directory: &Path) -> [u8; 32] {
    use std::os::unix::fs::MetadataExt as _;
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let inode = std::fs::metadata(directory).map_or(0, |meta| meta.ino());
    let mut writer = Writer::new();
    writer.bytes(&machine).u64(inode);
    lianxin_protocol::hash::PAYLOAD.hash(&[&writer.into_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copied_file_is_foreign_and_a_kept_one_remembers() -> Result<()> {
        let base = std::env::temp_dir().join(format!("lianxin-offered-{}", std::process::id()));
        let (here, copy) = (base.join("here"), base.join("copy"));
        for directory in [&here, &copy] {
            std::fs::create_dir_all(directory).map_err(crate::error::file(directory))?;
        }
        let log = LogId([1; 32]);
        let mut offered = Offered::create(&here)?;
        offered.raise(
            log,
            Position {
                len: 5,
                head: [2; 32],
            },
        )?;
        offered.raise(
            log,
            Position {
                len: 3,
                head: [3; 32],
            },
        )?;
        let (mut again, found) = Offered::open(&here);
        assert_eq!(
            (found, again.position(&log).map(|at| at.len)),
            (Found::Whole, Some(5))
        );
        std::fs::copy(here.join(FILE), copy.join(FILE)).map_err(crate::error::file(&copy))?;
        let (mut copied, found) = Offered::open(&copy);
        assert_eq!(found, Found::Foreign);
        // It stays foreign until the logs are sealed, and then they stay sealed.
        assert_eq!(Offered::open(&copy).1, Found::Foreign);
        copied.seal([log])?;
        copied.raise(
            log,
            Position {
                len: 9,
                head: [4; 32],
            },
        )?;
        let (copied, found) = Offered::open(&copy);
        assert_eq!((found, copied.position(&log)), (Found::Whole, Some(SEALED)));
        again.seal([])?;
        std::fs::remove_file(here.join(FILE)).map_err(crate::error::file(&here))?;
        assert_eq!(Offered::open(&here).1, Found::Missing);
        std::fs::remove_dir_all(&base).map_err(crate::error::file(&base))
    }
}
