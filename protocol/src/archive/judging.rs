//! What of an archive counts: rights by place and the gate, over what the audit found to be signed.
//!
//! The audit goes over the file once and keeps of each change where it stands; here the changes of one record at a
//! time are read again. So memory holds 40 bytes for each change, the orders, and one record. Must not open files:
//! the caller reads.
//!
//! The verdicts are those of a store that has what the archive has. A log may be missing from an archive, or its end:
//! then what depends on it waits, as it would there.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{ITEM_HEAD, Item};
use crate::authority::{Authority, Reason};
use crate::document::{self, Fate, GuardError, GuardedChange, Limits, Offered, Refusal};
use crate::log::{Entry, EntryId, EntryKind, LogId, RecordId, VerifiedRun};
use crate::space::SpaceId;
use crate::verdict::{LogFacts, Verdict, judge};

/// A change, and where in the file it stands.
#[derive(Clone, Copy, Debug)]
struct Placed {
    record: RecordId,
    /// Index of its log.
    log: usize,
    seq: u64,
    offset: u64,
}

/// A log whose entries were verified as far as `len`.
#[derive(Clone, Copy, Debug)]
struct Known {
    facts: LogFacts,
    len: u64,
    /// Of its first entry in the file.
    offset: u64,
}

/// What the audit keeps for the judgement.
#[derive(Clone, Debug, Default)]
pub struct Judging {
    /// The orders, once the authority logs were read.
    pub(super) authority: Option<Authority>,
    logs: Vec<Known>,
    changes: Vec<Placed>,
}

/// Entries of a log that do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The log.
    pub log: LogId,
    /// Its entries.
    pub range: Range<u64>,
    /// Why.
    pub reason: Reason,
}

/// What counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Changes of runs that hold.
    pub changes: u64,
    /// Of these, those that count.
    pub counted: u64,
    /// How many of the others there are for each reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Entries of any kind that do not count by rights, and changes that do not by the gate; in the order of the file.
    pub withheld: Vec<Withheld>,
}

impl Judging {
    /// A log begins.
    pub(super) fn begin(&mut self, facts: LogFacts) {
        self.logs.push(Known {
            facts,
            len: 0,
            offset: 0,
        });
    }

    /// How far the log counts that was begun last; `u64::MAX` unless it is frozen.
    pub(super) fn frozen(&mut self, held_to: u64) {
        if let Some(known) = self.logs.last_mut() {
            known.facts.held_to = held_to;
        }
    }

    /// A run of the log that was begun last holds; its entries stand at these offsets.
    pub(super) fn take(&mut self, run: &VerifiedRun, offsets: &[u64]) {
        let Some((log, known)) = self.logs.iter_mut().enumerate().next_back() else {
            return;
        };
        if run.run().start.len == 0 {
            known.offset = offsets.first().copied().unwrap_or_default();
            // Without its genesis it does not show under which orders the log was begun.
            known.facts.first = run.first().unwrap_or_default();
        }
        known.len = run.end().len;
        for (entry, offset) in run.run().entries.iter().zip(offsets) {
            let header = &entry.header;
            if header.kind == EntryKind::Change {
                self.changes.push(Placed {
                    record: header.record,
                    log,
                    seq: header.seq,
                    offset: *offset,
                });
            }
        }
    }

    /// Judges all changes. `read` gives so many bytes of the file from an offset on.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn judge<E>(
        mut self,
        mut read: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Counts, E> {
        let mut entry = |offset| entry_at(&mut read, offset);
        let mut counts = Counts {
            changes: self.changes.len() as u64,
            ..Counts::default()
        };
        let Some(authority) = self.authority.take() else {
            return Ok(counts);
        };
        let mut rights = Vec::with_capacity(self.logs.len());
        for known in &self.logs {
            rights.push(refused(&authority, known, &mut entry)?);
        }
        self.changes
            .sort_unstable_by_key(|it| (it.record, it.log, it.seq));
        let mut held: Vec<(usize, Range<u64>, Reason)> = Vec::new();
        for changes in self.changes.chunk_by(|one, two| one.record == two.record) {
            let fates = self.record(changes, &rights, &mut entry)?;
            for (placed, fate) in changes.iter().zip(fates) {
                match fate {
                    None => counts.counted += 1,
                    Some(reason) => {
                        *counts.reasons.entry(reason).or_default() += 1;
                        held.push((placed.log, placed.seq..placed.seq.saturating_add(1), reason));
                    }
                }
            }
        }
        for (log, ranges) in rights.into_iter().enumerate() {
            held.extend(
                ranges
                    .into_iter()
                    .map(|(range, reason)| (log, range, reason)),
            );
        }
        counts.withheld = self.merged(held);
        Ok(counts)
    }

    /// In the order of the file; what touches and has one reason is one range. A change that rights refuse is in the
    /// range that says so.
    fn merged(&self, mut held: Vec<(usize, Range<u64>, Reason)>) -> Vec<Withheld> {
        held.sort_unstable_by_key(|(log, range, _)| (*log, range.start, range.end));
        let mut withheld: Vec<Withheld> = Vec::new();
        for (log, range, reason) in held {
            let Some(known) = self.logs.get(log) else {
                continue;
            };
            let log = known.facts.log;
            match withheld.last_mut() {
                Some(last)
                    if last.log == log
                        && last.reason == reason
                        && last.range.end >= range.start =>
                {
                    last.range.end = last.range.end.max(range.end);
                }
                _ => withheld.push(Withheld { log, range, reason }),
            }
        }
        withheld
    }

    /// Why each change of one record does not count, if it does not.
    fn record<E>(
        &self,
        changes: &[Placed],
        rights: &[Vec<(Range<u64>, Reason)>],
        entry: &mut impl FnMut(u64) -> Result<Option<(Entry, u64)>, E>,
    ) -> Result<Vec<Option<Reason>>, E> {
        let mut reasons: Vec<Option<Reason>> = Vec::with_capacity(changes.len());
        let mut spaces: BTreeMap<SpaceId, Vec<usize>> = BTreeMap::new();
        let mut home = None;
        for (at, placed) in changes.iter().enumerate() {
            let ranges = rights.get(placed.log).into_iter().flatten();
            let refused = ranges
                .clone()
                .find(|(range, _)| range.contains(&placed.seq));
            reasons.push(refused.map(|(_, reason)| *reason));
            let Some(known) = self.logs.get(placed.log) else {
                continue;
            };
            let space = known.facts.author.space;
            spaces.entry(space).or_default().push(at);
            if placed.record.is_founded_at(&known.facts.log, placed.seq) {
                home = Some(space);
            }
        }
        for (space, members) in spaces {
            // Until the founder is here, no space is known to be the wrong one.
            if home.is_some_and(|home| home != space) {
                for at in members {
                    if let Some(reason) = reasons.get_mut(at) {
                        reason.get_or_insert(Reason::Guard);
                    }
                }
                continue;
            }
            self.gate(changes, &members, &mut reasons, entry)?;
        }
        Ok(reasons)
    }

    /// Lets the gate decide about those of a record's changes that stand in one space.
    fn gate<E>(
        &self,
        changes: &[Placed],
        members: &[usize],
        reasons: &mut [Option<Reason>],
        entry: &mut impl FnMut(u64) -> Result<Option<(Entry, u64)>, E>,
    ) -> Result<(), E> {
        let limits = Limits::default();
        let mut offered = Vec::with_capacity(members.len());
        let mut asked = Vec::with_capacity(members.len());
        // Behind a change that is not here: their log, and whether it is the one.
        let mut behind: Vec<(usize, usize, bool)> = Vec::new();
        for at in members {
            let Some((placed, known)) = changes
                .get(*at)
                .and_then(|placed| Some((placed, self.logs.get(placed.log)?)))
            else {
                continue;
            };
            let permitted = reasons.get(*at).is_some_and(Option::is_none);
            let read = entry(placed.offset)?.map(|(entry, _)| entry);
            let digest = read.as_ref().map(|it| it.header.digest);
            let payload = read.and_then(|it| it.payload);
            let absent = payload.is_none() && permitted;
            if absent || behind.last().is_some_and(|(_, log, _)| *log == placed.log) {
                behind.push((*at, placed.log, absent));
                continue;
            }
            let actor = known.facts.log.actor();
            let change = match (payload, digest) {
                (Some(raw), Some(digest)) => GuardedChange::open(&raw, &digest, &actor, &limits),
                _ => Err(GuardError::NotAChange),
            };
            offered.push(Offered {
                actor,
                place: placed.seq,
                founds: placed.record.is_founded_at(&known.facts.log, placed.seq),
                permitted,
                change,
            });
            asked.push((*at, placed.log));
        }
        let fates = document::decide(offered);
        let mut closed = Vec::new();
        for ((at, log), fate) in asked.into_iter().zip(fates) {
            let why = match fate {
                Fate::Counts => None,
                Fate::Refused(Refusal::NotPermitted) => reasons.get(at).copied().flatten(),
                Fate::Refused(_) => Some(Reason::Guard),
                Fate::Waits { .. } => Some(Reason::Waiting),
            };
            if matches!(fate, Fate::Refused(_)) {
                closed.push(log);
            }
            if let Some(reason) = reasons.get_mut(at) {
                *reason = reason.or(why);
            }
        }
        for (at, log, absent) in behind {
            let why = match (closed.contains(&log), absent) {
                (true, _) => Reason::Guard,
                (false, true) => Reason::Missing,
                (false, false) => Reason::Waiting,
            };
            if let Some(reason) = reasons.get_mut(at) {
                reason.get_or_insert(why);
            }
        }
        Ok(())
    }
}

/// Ranges of a log that rights, cuts and forks hold back.
fn refused<E>(
    authority: &Authority,
    known: &Known,
    entry: &mut impl FnMut(u64) -> Result<Option<(Entry, u64)>, E>,
) -> Result<Vec<(Range<u64>, Reason)>, E> {
    // Adoptions name an entry; the log is gone over once for all of them.
    let adopted = authority.adopted(&known.facts.log);
    let named = adopted.filter(|(_, to)| to.len <= known.len);
    let mut ids: BTreeMap<u64, Option<EntryId>> = named
        .filter_map(|(_, to)| Some((to.len.checked_sub(1)?, None)))
        .collect();
    if let Some(last) = ids.keys().next_back().copied() {
        let (mut seq, mut offset) = (0, known.offset);
        // Between two runs stands a checkpoint, which is no entry.
        while seq <= last {
            let Some((found, next)) = entry(offset)? else {
                break;
            };
            if let Some(id) = ids.get_mut(&found.header.seq) {
                *id = Some(found.header.id());
            }
            seq = found.header.seq.saturating_add(1);
            offset = next;
        }
    }
    let id_at = |seq| Ok(ids.get(&seq).copied().flatten());
    let verdicts = judge(authority, &known.facts, 0..known.len, id_at)?;
    let refused = verdicts
        .into_iter()
        .filter_map(|(range, verdict)| match verdict {
            Verdict::Accepted => None,
            Verdict::Quarantined(reason) => Some((range, reason)),
        });
    Ok(refused.collect())
}

/// The entry at an offset or behind a checkpoint there, and where the next item begins; nothing where the file is no
/// longer as it was.
fn entry_at<E>(
    read: &mut impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
    mut offset: u64,
) -> Result<Option<(Entry, u64)>, E> {
    loop {
        let head = read(offset, ITEM_HEAD)?;
        let Some((code, len)) = super::item_head(&head) else {
            return Ok(None);
        };
        let body = read(offset.saturating_add(ITEM_HEAD as u64), len)?;
        offset = offset.saturating_add((ITEM_HEAD + len) as u64);
        match Item::decode(code, &body) {
            Ok(Item::Entry(entry)) => return Ok(Some((entry, offset))),
            Ok(Item::Checkpoint(_)) => {}
            Ok(_) | Err(_) => return Ok(None),
        }
    }
}
