//! What somebody was shown of a record, as a name that a form carries: with it, what they changed is told from what others have
//! changed since.
//!
//! A name says which changes were the newest ones, so it is the same at every device, and older states can be read again from
//! the entries. Rejected: to send all values along as they were shown, which is the record twice in each form and says nothing
//! of what has come since.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lianxin_protocol::document::{ChangeHash, GuardedChange, Limits};
use lianxin_protocol::hash::Hex;
use lianxin_protocol::log::EntryKind;
use rusqlite::Connection;

use super::{Content, Gathered, assemble, gather, in_place, parts};
use crate::error::Result;
use crate::journal::Books;

/// Bytes of a change's digest that stand in a name: nobody but who may write on the record makes two that are alike, and it
/// would only be shown again.
const NAMED: usize = 8;

/// The newest changes of what was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version(BTreeSet<[u8; NAMED]>);

impl Version {
    /// What a record is now.
    pub(crate) fn of(gathered: &Gathered) -> Self {
        Self(gathered.document.heads().iter().map(named).collect())
    }

    /// Reads a name; none of what is none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let heads = text.split('.').map(|head| {
            let bytes = (0..head.len().min(2 * NAMED)).step_by(2);
            let bytes: Option<Vec<u8>> = bytes
                .map(|at| u8::from_str_radix(head.get(at..at + 2)?, 16).ok())
                .collect();
            (head.len() == 2 * NAMED).then_some(())?;
            bytes?.try_into().ok()
        });
        heads.collect::<Option<_>>().map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, head) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            write!(out, "{dot}{}", Hex(head))?;
        }
        Ok(())
    }
}

fn named(hash: &ChangeHash) -> [u8; NAMED] {
    hash.first_chunk().copied().unwrap_or_default()
}

/// What a record held when somebody was shown this version of it. None if some of it does not count any more, or is not here.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn as_of(
    connection: &Connection,
    books: &mut Books,
    key: i64,
    version: &Version,
) -> Result<Option<Content>> {
    let now = gather(connection, books, key)?;
    if Version::of(&now) == *version {
        return Ok(Some(now.content(books.authority())));
    }
    let mut placed = in_place(connection, books, key)?;
    let limits = Limits::default();
    let mut changes = BTreeMap::new();
    for it in &placed {
        if let (EntryKind::Change, Some(raw)) = (it.entry.header.kind, &it.entry.payload) {
            let actor = it.log.actor();
            if let Ok(change) = GuardedChange::open(raw, &it.entry.header.digest, &actor, &limits) {
                changes.insert(change.hash(), change.deps().to_vec());
            }
        }
    }
    let mut shown = BTreeSet::new();
    let mut heads: Vec<ChangeHash> = changes.keys().copied().collect();
    heads.retain(|hash| version.0.contains(&named(hash)));
    if heads.len() != version.0.len() {
        return Ok(None);
    }
    while let Some(hash) = heads.pop() {
        if shown.insert(hash) {
            heads.extend(changes.get(&hash).into_iter().flatten());
        }
    }
    placed.retain(|it| {
        it.entry.header.kind != EntryKind::Change || shown.contains(&it.entry.header.digest)
    });
    let record = Gathered {
        key,
        basis: now.basis,
        ..Gathered::new(now.id, now.space)
    };
    let then = assemble(record, true, false, placed, parts(connection, key)?);
    Ok((Version::of(&then) == *version).then(|| then.content(books.authority())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_else_is() {
        let version = Version([[1; NAMED], [0xab; NAMED]].into());
        assert_eq!(Version::parse(&version.to_string()), Some(version));
        for bad in [
            "",
            ".",
            "0102",
            "0101010101010101.",
            "01010101010101010",
            "zz01010101010101",
            "０１０１",
        ] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
