//! What counts: rights by place, and which branch of a forked log.
//!
//! A verdict is a function of what stands before an entry in its own log, of the authority log, and of pinned
//! places: never of a clock, of the peer that brought the entry, or of anything that came later from another
//! writer. So honest devices agree, and what counted goes on counting until an order says otherwise. Here are
//! answers as data; the journal acts on them. What a change may do to a record is module [`crate::document`]'s.
//!
//! **Rights go by place.** A grant, a revocation and a rotation name how far in each log what held before goes on
//! to hold. Places are compared by length alone: with the head it would depend on the branch that a device happens
//! to hold, and a thief who shows another branch could take back what counted. An adoption is compared by its head
//! where the log reaches it: a person looked at that branch and at no other.
//!
//! **Cuts stay.** What a revocation closes only an adoption opens. A log that it did not name counts again under a
//! later grant only if it was begun by who knew that grant: its genesis cites a longer authority log, with the head
//! that it had. It must be the genesis: checkpoints are joined, so which one is the first of a log differs from
//! store to store, but the genesis is signed, chained, and the same for all. The head must be right because a thief
//! may guess a length.
//!
//! **Forks freeze, pins decide.** Two entries at one place prove that a device's key was used twice, not which
//! of them is honest. Nothing more is taken of the log, and what counted goes on counting until the hub's pin names
//! a branch. Rejected: that what lies beyond a fork counts nowhere, with which a thief makes receipted work vanish.

use std::ops::Range;

use crate::authority::fold::{Ordered, place_of};
use crate::authority::{Authority, Reason, Scope};
use crate::log::{Author, EntryId, EntryKind, LogId, Position};
use crate::space::Space;

/// Whether one entry counts, as far as rights and forks decide it.
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
    pub author: Author,
    /// Length and head of the authority log that its genesis cites.
    pub first: (u32, [u8; 32]),
    /// Entries at or beyond this length lie on no branch that is agreed on; `u64::MAX` unless the log is frozen.
    pub held_to: u64,
}

/// Judges the entries `range` of a log at once, as ranges of equal verdict. `id_at` gives the id of an entry that
/// is stored, for adoptions, which name a head; one that is not stored yet is believed, so a log with an adoption is
/// judged anew from 0 when the entry comes that the adoption names.
///
/// A frozen log's end weighs more than an adoption: an adoption that lies on the branch that counts moves that end.
///
/// # Errors
/// Those of `id_at`.
pub fn judge<E>(
    authority: &Authority,
    facts: &LogFacts,
    range: Range<u64>,
    mut id_at: impl FnMut(u64) -> Result<Option<EntryId>, E>,
) -> Result<Vec<(Range<u64>, Verdict)>, E> {
    let mut adopted = Vec::new();
    for (from, to) in authority.adopted(&facts.log) {
        let head = match to.len.checked_sub(1) {
            None => None,
            Some(last) => id_at(last)?,
        };
        if head.is_none_or(|id| id.0 == to.head) {
            adopted.push(from..to.len);
        }
    }
    // Boundaries where the verdict can change; each piece between two of them is judged once.
    let mut bounds: Vec<u64> = vec![range.start, range.end, facts.held_to];
    bounds.extend(adopted.iter().flat_map(|range| [range.start, range.end]));
    bounds.extend(places(authority, facts));
    bounds.retain(|bound| range.start <= *bound && *bound <= range.end);
    bounds.sort_unstable();
    bounds.dedup();
    let mut verdicts: Vec<(Range<u64>, Verdict)> = Vec::new();
    for pair in bounds.windows(2) {
        let [from, to] = pair else { continue };
        let verdict = if *from >= facts.held_to {
            Verdict::Quarantined(Reason::Forked)
        } else if adopted.iter().any(|range| range.contains(from)) {
            Verdict::Accepted
        } else {
            let refused = refused(authority, facts, *from);
            refused.map_or(Verdict::Accepted, Verdict::Quarantined)
        };
        match verdicts.last_mut() {
            Some((last, same)) if *same == verdict => last.end = *to,
            _ => verdicts.push((*from..*to, verdict)),
        }
    }
    Ok(verdicts)
}

/// Lengths at which orders change what a log may do.
fn places(authority: &Authority, facts: &LogFacts) -> Vec<u64> {
    let named = authority.history(&facts.author.device).iter();
    let named = named.filter_map(|ordered| {
        let (Ordered::Granted { places, .. } | Ordered::Closed { cuts: places }) = ordered;
        place_of(places, &facts.log)
    });
    let logs = authority.succession().into_iter().flat_map(|it| it.logs());
    let trusted = logs.filter(|(log, _)| *log == facts.log);
    let trusted = trusted.filter_map(|(_, end)| end.map(|end| end.len));
    named.chain(trusted).collect()
}

/// Why an entry of this place does not count, adoptions aside.
fn refused(authority: &Authority, facts: &LogFacts, seq: u64) -> Option<Reason> {
    let Some(space) = authority.space(&facts.author.space) else {
        return Some(Reason::NotPermitted);
    };
    if space == Space::Authority {
        return (!is_folded(authority, facts, seq)).then_some(Reason::NotAuthority);
    }
    let Some((_, scopes)) = authority.granted_at(&facts.log, &facts.author.device, seq) else {
        return Some(Reason::UnknownDevice);
    };
    if is_closed(authority, facts, seq) {
        return Some(Reason::Revoked);
    }
    let writes = |scope: &Scope| scope.write && scope.covers(space);
    (!scopes.iter().any(writes)).then_some(Reason::NotPermitted)
}

/// Whether an entry is one of those that the fold goes over.
fn is_folded(authority: &Authority, facts: &LogFacts, seq: u64) -> bool {
    match authority.succession() {
        None => authority.key() == Some(facts.author.device),
        Some(succession) => succession
            .logs()
            .any(|(log, end)| log == facts.log && end.is_none_or(|end| seq < end.len)),
    }
}

/// Whether a revocation or a rotation closed the log at or before this place.
fn is_closed(authority: &Authority, facts: &LogFacts, seq: u64) -> bool {
    /// What closed it.
    #[derive(Clone, Copy, PartialEq)]
    enum By {
        Nothing,
        /// An order that did not name the log; a later grant may open it.
        Silence,
        /// An order that named a place at or before this one.
        Name,
    }
    let (len, head) = facts.first;
    let mut by = By::Nothing;
    for ordered in authority.history(&facts.author.device) {
        match ordered {
            Ordered::Granted { len: granted, .. } => {
                if by == By::Silence && len >= *granted && authority.has_head(len, &head) {
                    by = By::Nothing;
                }
            }
            Ordered::Closed { cuts } => match place_of(cuts, &facts.log) {
                None if by == By::Nothing => by = By::Silence,
                Some(cut) if seq >= cut => by = By::Name,
                None | Some(_) => {}
            },
        }
    }
    by != By::Nothing
}

/// Whether this program knows what to do with an accepted entry of this kind.
#[must_use]
pub const fn is_known(kind: EntryKind) -> bool {
    !matches!(kind, EntryKind::Other(_))
}

/// What a store holds of one log: the chain that it follows, and branches beside it.
pub trait Held {
    /// Why the store cannot be read.
    type Error;

    /// End of the chain that the store follows.
    fn end(&self) -> Position;

    /// Id of entry `len - 1` on the branch whose entry `end.len - 1` is `end.head`; `None` where that branch is
    /// not held as far as `end`. `len` is 1 to `end.len`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn head_at(&mut self, end: Position, len: u64) -> Result<Option<[u8; 32]>, Self::Error>;
}

fn is_held<H: Held>(held: &mut H, position: Position) -> Result<bool, H::Error> {
    Ok(held.head_at(position, position.len)? == Some(position.head))
}

/// Whether the chain that is followed has a position.
fn is_on_chain<H: Held>(held: &mut H, position: Position) -> Result<bool, H::Error> {
    let end = held.end();
    Ok(position.len <= end.len && held.head_at(end, position.len)? == Some(position.head))
}

/// Whether a position is held and its branch has the earlier one.
fn goes_on<H: Held>(held: &mut H, later: Position, earlier: Position) -> Result<bool, H::Error> {
    Ok(later.len > earlier.len && held.head_at(later, earlier.len)? == Some(earlier.head))
}

/// The place that says which branch of a log counts: the first in order of `pins` ([`Authority::pins`]); a later
/// one only where it is held and goes on from it. `receipt` is what the newest verified receipt calls stored; it
/// pins as well where it is held and goes on from that place, or where no pin is held. So of two pins on two
/// branches the earlier holds, and whoever holds neither asks for both.
///
/// # Errors
/// Those of `held`.
pub fn effective_pin<H: Held>(
    pins: &[Position],
    receipt: Option<Position>,
    held: &mut H,
) -> Result<Option<Position>, H::Error> {
    let mut best: Option<Position> = None;
    for pin in pins {
        match best {
            None => best = Some(*pin),
            Some(known) if goes_on(held, *pin, known)? => best = Some(*pin),
            Some(_) => {}
        }
    }
    let Some(receipt) = receipt.filter(|it| it.len > 0) else {
        return Ok(best);
    };
    if !is_held(held, receipt)? {
        return Ok(best);
    }
    let pins_too = match best {
        None => true,
        Some(known) => !is_held(held, known)? || goes_on(held, receipt, known)?,
    };
    Ok(if pins_too { Some(receipt) } else { best })
}

/// The end of the branch that a store must follow instead of its chain; `None` where the chain is that branch, or
/// the branch is not held.
///
/// # Errors
/// Those of `held`.
pub fn branch_to_follow<H: Held>(
    pins: &[Position],
    receipt: Option<Position>,
    held: &mut H,
) -> Result<Option<Position>, H::Error> {
    let Some(pin) = effective_pin(pins, receipt, held)? else {
        return Ok(None);
    };
    let follow = is_held(held, pin)? && !is_on_chain(held, pin)?;
    Ok(follow.then_some(pin))
}

/// Pins whose branches are to be asked for: every one that is not held, since only who holds a later pin can tell
/// whether it goes on from the first.
///
/// # Errors
/// Those of `held`.
pub fn pins_to_fetch<H: Held>(pins: &[Position], held: &mut H) -> Result<Vec<Position>, H::Error> {
    let mut lacking = Vec::new();
    for pin in pins {
        if !is_held(held, *pin)? {
            lacking.push(*pin);
        }
    }
    Ok(lacking)
}

/// How far a frozen log counts, when the fork lies at entry `fork` and the chain that is followed has at least that
/// many entries: to the longer of the effective pin and the fork, once the chain is the branch of the first pin;
/// until then, all that is held.
///
/// # Errors
/// Those of `held`.
pub fn frozen_tip<H: Held>(
    fork: u64,
    pins: &[Position],
    receipt: Option<Position>,
    held: &mut H,
) -> Result<Position, H::Error> {
    let end = held.end();
    let answered = match pins.first() {
        None => false,
        Some(first) => is_on_chain(held, *first)?,
    };
    if !answered {
        return Ok(end);
    }
    let mut len = fork;
    if let Some(pin) = effective_pin(pins, receipt, held)?
        && is_on_chain(held, pin)?
    {
        len = len.max(pin.len);
    }
    if len == 0 || len >= end.len {
        return Ok(end);
    }
    let head = held.head_at(end, len)?;
    Ok(head.map_or(end, |head| Position { len, head }))
}

#[cfg(test)]
mod tests;
