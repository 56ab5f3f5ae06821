//! What this device has shown: how far each of its own logs was offered to a peer, and which numbers it gave to
//! people. It is durable before it is shown.
//!
//! It stands in two files: one beside the database and outside every backup, which names machine and directory, and one
//! outside the data directory for whatever directory of this computer holds the device ([`store::keep_offered_in`]). Of
//! each position and number the higher counts, so that a disk image or a folder that was put back, or a write-ahead log
//! that was lost, never gives a number to a second resident. A store that is behind, or whose own file is missing or
//! of another place, was restored or copied: writing on in its logs would fork them, so new ones are begun. An ordinary
//! crash leaves the store at or ahead of the positions and changes nothing. A file that is there and cannot be read
//! says nothing of the kind: the program ends with the cause, and nothing is closed.
//!
//! A log that must not be written on is sealed here: what was found once, by a missing file or from a peer, holds after
//! the next start as well. That is a matter of one directory: who looks at a copy closes nothing in the original.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lianxin_protocol::codec::{DecodeError, Reader, Writer};
use lianxin_protocol::hash::PAYLOAD;
use lianxin_protocol::identity::DeviceKey;
use lianxin_protocol::log::{LogId, Position};

use crate::error::{Code, Error, Result};
use crate::store::slots::Content;
use crate::store::{self, slots};

const FILE: &str = "offered";
const VERSION: u8 = 3;
/// Longest name of a series of numbers in bytes.
const SERIES_MAX: usize = 16;

/// A series of numbers: its name, and the Beijing year.
type Series = (String, u16);

/// Whether a log goes on. It never goes back to an earlier one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Seal {
    /// It does.
    Open,
    /// It must not be written on; entries that were offered and are not here may come back.
    Sealed,
    /// Nor are they waited for.
    GivenUp,
}

/// How far a log was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// To here.
    pub(crate) at: Position,
    /// Whether it goes on.
    pub(crate) seal: Seal,
}

/// What was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shown {
    marks: BTreeMap<LogId, Mark>,
    /// The last number of each series.
    numbers: BTreeMap<Series, u32>,
}

impl Shown {
    /// Of each position and number the higher.
    fn join(&mut self, other: Self) {
        for (log, mark) in other.marks {
            let known = self.marks.entry(log).or_insert(mark);
            known.seal = known.seal.max(mark.seal);
            if known.at.len < mark.at.len {
                known.at = mark.at;
            }
        }
        for (series, number) in other.numbers {
            let known = self.numbers.entry(series).or_default();
            *known = (*known).max(number);
        }
    }
}

/// What the files say.
#[derive(Debug)]
pub(crate) struct Offered {
    path: PathBuf,
    /// The file outside the data directory, where there is one.
    outside: Option<PathBuf>,
    place: [u8; 32],
    shown: Shown,
    /// Logs that the store's own file names. Others are those of a copy on the same computer.
    own: BTreeSet<LogId>,
    /// Numbers that the transaction under way gives.
    given: BTreeMap<Series, u32>,
}

/// What was found when a store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The store's own file belongs here.
    Whole,
    /// There is none.
    Missing,
    /// It was written on another machine or volume.
    Foreign,
}

impl Offered {
    /// Makes the files for a new store.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn create(directory: &Path, device: &DeviceKey) -> Result<()> {
        Self::empty(directory, store::offered_outside(device)).write()
    }

    fn empty(directory: &Path, outside: Option<PathBuf>) -> Self {
        Self {
            path: directory.join(FILE),
            outside,
            place: place(directory),
            shown: Shown::default(),
            own: BTreeSet::new(),
            given: BTreeMap::new(),
        }
    }

    /// Reads the files. Nothing is written before [`Offered::seal`], or a crash in between would make a copy look like
    /// the original.
    ///
    /// # Errors
    /// [`Code::Offered`] when a file is there and cannot be read.
    pub(crate) fn open(directory: &Path, device: &DeviceKey) -> Result<(Self, Found)> {
        Self::open_at(directory, store::offered_outside(device))
    }

    fn open_at(directory: &Path, outside: Option<PathBuf>) -> Result<(Self, Found)> {
        let mut offered = Self::empty(directory, outside);
        if let Some(outside) = &offered.outside
            && let Some((_, shown)) = read(outside)?
        {
            offered.shown = shown;
        }
        let found = match read(&offered.path)? {
            None => Found::Missing,
            Some((of, shown)) => {
                if of == offered.place {
                    offered.own.extend(shown.marks.keys());
                    offered.shown.join(shown);
                    Found::Whole
                } else {
                    // Another store's positions say nothing here; what it gave to people is given.
                    let marks = BTreeMap::new();
                    offered.shown.join(Shown { marks, ..shown });
                    Found::Foreign
                }
            }
        };
        Ok((offered, found))
    }

    /// Closes logs for good, each with where it ends here, and makes that durable.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn seal(
        &mut self,
        seal: Seal,
        logs: impl IntoIterator<Item = (LogId, Position)>,
    ) -> Result<()> {
        for (log, at) in logs {
            let mark = self.shown.marks.entry(log).or_insert(Mark { at, seal });
            mark.seal = mark.seal.max(seal);
        }
        self.write()
    }

    /// How far a log was offered.
    pub(crate) fn mark(&self, log: &LogId) -> Option<Mark> {
        self.shown.marks.get(log).copied()
    }

    /// How many entries of each log were offered, as far as they are not given up. `stored` says whether the store has a
    /// log: one that it has not, and that its own file does not name, is of a copy of this device.
    pub(crate) fn lengths(
        &self,
        stored: impl Fn(&LogId) -> bool,
    ) -> impl Iterator<Item = (LogId, u64)> {
        let marks = self.shown.marks.iter();
        let marks = marks.filter(move |(log, mark)| {
            mark.seal != Seal::GivenUp && (self.own.contains(log) || stored(log))
        });
        marks.map(|(log, mark)| (*log, mark.at.len))
    }

    /// Raises a position and makes that durable, before anything up to it is sent.
    ///
    /// # Errors
    /// The files cannot be written; nothing may be sent then.
    pub(crate) fn raise(&mut self, log: LogId, position: Position) -> Result<()> {
        let before = self.mark(&log);
        if before.is_some_and(|before| before.at.len >= position.len) {
            return Ok(());
        }
        let mark = Mark {
            at: position,
            seal: before.map_or(Seal::Open, |before| before.seal),
        };
        self.shown.marks.insert(log, mark);
        let written = self.write();
        if written.is_err() {
            match before {
                Some(before) => self.shown.marks.insert(log, before),
                None => self.shown.marks.remove(&log),
            };
        }
        written
    }

    /// The last number of a series that was given.
    pub(crate) fn last_number(&self, series: &str, year: u16) -> u32 {
        let series = (series.to_owned(), year);
        let last = |numbers: &BTreeMap<Series, u32>| numbers.get(&series).copied();
        let (given, shown) = (last(&self.given), last(&self.shown.numbers));
        given.max(shown).unwrap_or_default()
    }

    /// Notes a number that the transaction under way gives.
    pub(crate) fn give(&mut self, series: &str, year: u16, number: u32) {
        let last = self.given.entry((series.to_owned(), year)).or_default();
        *last = (*last).max(number);
    }

    /// The transaction is undone: nobody has seen its numbers.
    pub(crate) fn take_back(&mut self) {
        self.given.clear();
    }

    /// Makes durable what the transaction under way gives, before it is.
    ///
    /// # Errors
    /// The files cannot be written; the transaction must be rolled back.
    pub(crate) fn keep_given(&mut self) -> Result<()> {
        if self.given.is_empty() {
            return Ok(());
        }
        let numbers = std::mem::take(&mut self.given);
        let marks = BTreeMap::new();
        self.shown.join(Shown { marks, numbers });
        self.write()
    }

    fn write(&self) -> Result<()> {
        if let Some(outside) = &self.outside {
            // A copy of this device in another directory may have shown more.
            let mut shown = self.shown.clone();
            if let Some((_, there)) = read(outside)? {
                shown.join(there);
            }
            for mark in shown.marks.values_mut() {
                mark.seal = Seal::Open;
            }
            slots::write(outside, &encode(&self.place, &shown))?;
        }
        slots::write(&self.path, &encode(&self.place, &self.shown))
    }
}

/// Reads a file, if there is one.
fn read(path: &Path) -> Result<Option<([u8; 32], Shown)>> {
    let unreadable = |cause: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("{} is there and cannot be read", path.display());
        Error::because(Code::Offered, message, cause)
    };
    match slots::read(path) {
        Ok(Content::Bytes(bytes)) => decode(&bytes)
            .map(Some)
            .map_err(|error| unreadable(error.into())),
        Ok(Content::Unreadable) => Err(unreadable("none of its sums fits".into())),
        Ok(Content::Nothing) => Ok(None),
        Err(error) => Err(unreadable(error.into())),
    }
}

fn encode(place: &[u8; 32], shown: &Shown) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.u8(VERSION).fixed(place).length(shown.marks.len());
    for (log, mark) in &shown.marks {
        writer.fixed(&log.0).u64(mark.at.len).fixed(&mark.at.head);
        writer.u8(match mark.seal {
            Seal::Open => 0,
            Seal::Sealed => 1,
            Seal::GivenUp => 2,
        });
    }
    writer.length(shown.numbers.len());
    for ((series, year), number) in &shown.numbers {
        writer.str(series).u16(*year).u32(*number);
    }
    writer.into_bytes()
}

fn decode(bytes: &[u8]) -> Result<([u8; 32], Shown), DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.u8()? != VERSION {
        return reader.fail("an unknown version");
    }
    let place = reader.fixed()?;
    let count = reader.count(100_000, 73)?;
    let mut marks = BTreeMap::new();
    for _ in 0..count {
        let log = LogId(reader.fixed()?);
        let at = Position {
            len: reader.u64()?,
            head: reader.fixed()?,
        };
        let seal = match reader.u8()? {
            0 => Seal::Open,
            1 => Seal::Sealed,
            2 => Seal::GivenUp,
            _ => return reader.fail("an unknown seal"),
        };
        marks.insert(log, Mark { at, seal });
    }
    let count = reader.count(100_000, 10)?;
    let mut numbers = BTreeMap::new();
    for _ in 0..count {
        let series = (reader.str(SERIES_MAX)?.to_owned(), reader.u16()?);
        numbers.insert(series, reader.u32()?);
    }
    reader.finish()?;
    Ok((place, Shown { marks, numbers }))
}

/// Names machine and directory: a copied directory has another inode, a disk that was moved another
/// machine. Device numbers are left out, because they may change with every boot.
fn place(directory: &Path) -> [u8; 32] {
    use std::os::unix::fs::MetadataExt as _;
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let inode = std::fs::metadata(directory).map_or(0, |meta| meta.ino());
    let mut writer = Writer::new();
    writer.bytes(&machine).u64(inode);
    PAYLOAD.hash(&[&writer.into_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceKey = DeviceKey([9; 32]);
    const LOG: LogId = LogId([1; 32]);

    fn at(len: u64) -> Position {
        Position { len, head: [2; 32] }
    }

    fn to(offered: &Offered) -> Option<(u64, Seal)> {
        let mark = offered.mark(&LOG)?;
        Some((mark.at.len, mark.seal))
    }

    /// Two directories, and one outside both.
    fn directories(name: &str) -> Result<[PathBuf; 3]> {
        let base = format!("lianxin-offered-{name}-{}", std::process::id());
        let base = std::env::temp_dir().join(base);
        let made = ["here", "copy", "outside"].map(|name| base.join(name));
        for directory in &made {
            std::fs::create_dir_all(directory).map_err(crate::error::file(directory))?;
        }
        Ok(made)
    }

    fn open(directory: &Path, outside: Option<&Path>) -> Result<(Offered, Found)> {
        let outside = outside.map(|directory| directory.join("device"));
        Offered::open_at(directory, outside)
    }

    #[test]
    fn a_copied_file_is_foreign_and_a_kept_one_remembers() -> Result<()> {
        let [here, copy, _] = directories("copied")?;
        Offered::create(&here, &DEVICE)?;
        let (mut offered, _) = open(&here, None)?;
        offered.raise(LOG, at(5))?;
        offered.raise(LOG, at(3))?;
        let (mut again, found) = open(&here, None)?;
        assert_eq!((found, to(&again)), (Found::Whole, Some((5, Seal::Open))));
        std::fs::copy(here.join(FILE), copy.join(FILE)).map_err(crate::error::file(&copy))?;
        let (mut copied, found) = open(&copy, None)?;
        assert_eq!(found, Found::Foreign);
        // It stays foreign until the logs are sealed, and then they stay sealed.
        assert_eq!(open(&copy, None)?.1, Found::Foreign);
        copied.seal(Seal::Sealed, [(LOG, at(5))])?;
        copied.raise(LOG, at(9))?;
        let (copied, found) = open(&copy, None)?;
        assert_eq!(
            (found, to(&copied)),
            (Found::Whole, Some((9, Seal::Sealed)))
        );
        again.seal(Seal::Sealed, [])?;
        std::fs::remove_file(here.join(FILE)).map_err(crate::error::file(&here))?;
        assert_eq!(open(&here, None)?.1, Found::Missing);
        let base = here.parent().unwrap_or(&here);
        std::fs::remove_dir_all(base).map_err(crate::error::file(base))
    }

    #[test]
    fn of_the_two_files_the_higher_counts_whichever_was_put_back() -> Result<()> {
        let [here, copy, outside] = directories("two")?;
        let kept = |name: &str| std::fs::read(here.join(name)).map_err(crate::error::file(&here));
        let put = |bytes: &[u8]| {
            std::fs::write(here.join(FILE), bytes).map_err(crate::error::file(&here))
        };
        let (mut offered, found) = open(&here, Some(&outside))?;
        assert_eq!(found, Found::Missing);
        offered.raise(LOG, at(2))?;
        let early = kept(FILE)?;
        offered.give("YJ", 2026, 7);
        assert_eq!(offered.last_number("YJ", 2026), 7);
        offered.take_back();
        assert_eq!(offered.last_number("YJ", 2026), 0);
        offered.give("YJ", 2026, 7);
        offered.keep_given()?;
        offered.raise(LOG, at(6))?;
        // The folder is put back in its place; then it is another folder; then the file outside is lost.
        put(&early)?;
        let (back, found) = open(&here, Some(&outside))?;
        assert_eq!((found, to(&back)), (Found::Whole, Some((6, Seal::Open))));
        assert_eq!(back.last_number("YJ", 2026), 7);
        std::fs::copy(here.join(FILE), copy.join(FILE)).map_err(crate::error::file(&copy))?;
        let (mut copied, found) = open(&copy, Some(&outside))?;
        assert_eq!((found, copied.last_number("YJ", 2026)), (Found::Foreign, 7));
        assert_eq!(copied.last_number("YJ", 2027), 0);
        copied.give("YJ", 2026, 8);
        copied.keep_given()?;
        assert_eq!(open(&here, Some(&outside))?.0.last_number("YJ", 2026), 8);
        // What is sealed or given up is so in its own directory alone.
        let mut given_up = open(&copy, Some(&outside))?.0;
        for seal in [Seal::Sealed, Seal::GivenUp, Seal::Sealed] {
            given_up.seal(seal, [(LOG, at(1))])?;
        }
        let (again, _) = open(&copy, Some(&outside))?;
        assert_eq!(
            (to(&again), again.lengths(|_| false).count()),
            (Some((6, Seal::GivenUp)), 0)
        );
        assert_eq!(to(&open(&here, Some(&outside))?.0), Some((6, Seal::Open)));
        // What was in memory before the copy gave its number does not lower it.
        offered.raise(LOG, at(9))?;
        assert_eq!(open(&here, Some(&outside))?.0.last_number("YJ", 2026), 8);
        std::fs::remove_file(outside.join("device")).map_err(crate::error::file(&outside))?;
        let (alone, _) = open(&here, Some(&outside))?;
        assert_eq!(
            (to(&alone), alone.last_number("YJ", 2026)),
            (Some((9, Seal::Open)), 7)
        );
        let base = here.parent().unwrap_or(&here);
        std::fs::remove_dir_all(base).map_err(crate::error::file(base))
    }

    #[test]
    fn a_file_that_cannot_be_read_says_nothing_of_the_store() -> Result<()> {
        let [here, _, outside] = directories("unreadable")?;
        let (mut offered, _) = open(&here, Some(&outside))?;
        offered.raise(LOG, at(2))?;
        for path in [here.join(FILE), outside.join("device")] {
            let whole = std::fs::read(&path).map_err(crate::error::file(&path))?;
            let mut damaged = whole.clone();
            if let Some(byte) = damaged.get_mut(40) {
                *byte ^= 1;
            }
            let cut = whole.get(..20).unwrap_or_default().to_vec();
            for bytes in [damaged, cut, Vec::new()] {
                std::fs::write(&path, bytes).map_err(crate::error::file(&path))?;
                let refused = open(&here, Some(&outside)).map(|_| ());
                assert_eq!(refused.map_err(|error| error.code()), Err(Code::Offered));
            }
            std::fs::remove_file(&path).map_err(crate::error::file(&path))?;
            std::fs::create_dir(&path).map_err(crate::error::file(&path))?;
            let refused = open(&here, Some(&outside)).map(|_| ());
            assert_eq!(refused.map_err(|error| error.code()), Err(Code::Offered));
            std::fs::remove_dir(&path).map_err(crate::error::file(&path))?;
            std::fs::write(&path, whole).map_err(crate::error::file(&path))?;
        }
        assert_eq!(to(&open(&here, Some(&outside))?.0), Some((2, Seal::Open)));
        let base = here.parent().unwrap_or(&here);
        std::fs::remove_dir_all(base).map_err(crate::error::file(base))
    }
}
