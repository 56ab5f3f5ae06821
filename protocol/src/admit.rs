//! Verdicts: where a verified run belongs in a log, and which of its entries count.
//!
//! Both answers are data; only the journal acts on them. The place depends on the stored log alone,
//! the judgement on (entry, authority log, fork proofs) alone, never on a clock or on the peer that
//! brought the entries, so that honest devices agree.

use std::ops::Range;

use crate::authority::{Authority, Reason, Standing};
use crate::log::{EntryId, EntryKind, LogId, Position, VerifiedRun};

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

/// Whether one entry counts, as far as rights and forks decide it. The guard in front of Automerge
/// adds [`Reason::Guard`] when the change is first merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accepted,
    /// It is kept and does not count, for this reason.
    Quarantined(Reason),
}

/// What is known of a log beyond its entries.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts {
    /// The log.
    pub log: LogId,
    /// Its author.
    pub author: crate::log::Author,
    /// The earliest proven fork.
    pub forked_at: Option<u64>,
}

/// Judges the entries `range` of a log at once, as ranges of equal verdict. `id_at` gives the id of
/// an entry that is stored, for cuts and adoptions that name a head; one that is not stored yet is
/// believed, so a log is judged anew from 0 when the entry that a cut or an adoption names comes.
///
/// A fork weighs more than an adoption: what lies beyond it differs from branch to branch, and a
/// device that holds another branch could not follow. It is written anew instead.
pub fn judge<E>(
    authority: &Authority,
    facts: &LogFacts,
    range: Range<u64>,
    mut id_at: impl FnMut(u64) -> Result<Option<EntryId>, E>,
) -> Result<Vec<(Range<u64>, Verdict)>, E> {
    let mut heads_at = |position: Position| -> Result<bool, E> {
        match position.len.checked_sub(1) {
            None => Ok(true),
            Some(last) => Ok(id_at(last)?.is_none_or(|id| id.0 == position.head)),
        }
    };
    // Boundaries where the verdict can change; each piece between two of them is judged once.
    let standing = authority.standing(&facts.log, &facts.author);
    let (trusted, beyond) = match standing {
        Standing::Full => (u64::MAX, Reason::Revoked),
        Standing::UpTo(position) if heads_at(position)? => (position.len, Reason::Revoked),
        Standing::UpTo(_) => (0, Reason::Revoked),
        Standing::None(reason) => (0, reason),
    };
    let forked = facts.forked_at.unwrap_or(u64::MAX);
    let mut adopted = Vec::new();
    for (from, to) in authority.adopted(&facts.log) {
        if heads_at(to)? {
            adopted.push(from..to.len);
        }
    }
    let mut bounds: Vec<u64> = vec![range.start, range.end, trusted, forked];
    bounds.extend(adopted.iter().flat_map(|range| [range.start, range.end]));
    bounds.retain(|bound| range.start <= *bound && *bound <= range.end);
    bounds.sort_unstable();
    bounds.dedup();
    let mut verdicts: Vec<(Range<u64>, Verdict)> = Vec::new();
    for pair in bounds.windows(2) {
        let [from, to] = pair else { continue };
        let verdict = if *from >= forked {
            Verdict::Quarantined(Reason::Forked)
        } else if adopted.iter().any(|range| range.contains(from)) {
            Verdict::Accepted
        } else if *from >= trusted {
            Verdict::Quarantined(beyond)
        } else {
            Verdict::Accepted
        };
        match verdicts.last_mut() {
            Some((last, same)) if *same == verdict => last.end = *to,
            _ => verdicts.push((*from..*to, verdict)),
        }
    }
    Ok(verdicts)
}

/// Whether this program knows what to do with an accepted entry of this kind.
#[must_use]
pub const fn is_known(kind: EntryKind) -> bool {
    !matches!(kind, EntryKind::Other(_))
}

#[cfg(test)]
mod tests;
