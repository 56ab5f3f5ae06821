//! Where a verified run belongs in a log.
//!
//! An answer as data, from the stored log alone; only the journal acts on it. Whether the entries count is another
//! question (module [`crate::verdict`]): what is out of place is never stored, what does not count is.

use crate::log::{EntryId, Position, VerifiedRun};

/// Where a verified run belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After what is stored, once this many of its first entries, which are stored, are left off.
    Append {
        /// Entries at its beginning that are stored already.
        skip: usize,
    },
    /// All of it is stored.
    Duplicate,
    /// Entries between `have` and its start are missing; ask for them.
    Gap {
        /// Length of the stored log.
        have: u64,
    },
    /// The log has another entry here: two entries at one place, both signed.
    Fork {
        /// The first place where they differ; or, if it lies before the run, a place at or after it:
        /// the run must then be asked for again from further back.
        seq: u64,
    },
}

/// Finds the place of a run in the log stored so far. `id_at` gives the stored id of an entry below
/// the stored length.
pub fn place<E>(
    run: &VerifiedRun,
    stored: Position,
    mut id_at: impl FnMut(u64) -> Result<EntryId, E>,
) -> Result<Place, E> {
    let start = run.run().start;
    if start.len > stored.len {
        return Ok(Place::Gap { have: stored.len });
    }
    if start.len > 0 && start.len < stored.len {
        // The entry before the run is stored: if it is another, the fork lies somewhere before.
        let before = start.len - 1;
        if id_at(before)?.0 != start.head {
            return Ok(Place::Fork { seq: before });
        }
    } else if start.len == stored.len && start.head != stored.head {
        return Ok(Place::Fork {
            seq: start.len.saturating_sub(1),
        });
    }
    let stored_ahead = stored.len - start.len;
    let mut skip = 0;
    for (seq, id) in (start.len..stored.len).zip(run.ids()) {
        if id_at(seq)? != *id {
            return Ok(Place::Fork { seq });
        }
        skip += 1;
    }
    let covered = u64::try_from(run.ids().len()).is_ok_and(|len| len <= stored_ahead);
    Ok(if covered {
        Place::Duplicate
    } else {
        Place::Append { skip }
    })
}

#[cfg(test)]
mod tests;
