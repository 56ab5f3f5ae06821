//! From a heap of changes to a document: what is applied, what waits, what is rejected.
//!
//! Owns causal readiness. Must not look inside operations.
//!
//! Invariants:
//! - The outcome is a function of the *set* of changes: input order and repetition have no effect.
//! - Automerge is fed in one call, and only what is causally ready. It queues the rest silently,
//!   and one repeated (actor, seq) makes it refuse the whole call.
//! - A change numbers its operations from the highest number its dependencies used, as every honest
//!   change does. Otherwise one change could use up the 32-bit counter and close the record to all
//!   later writing.
//!
//! Rejected: Automerge's own queue of waiting changes. It cannot say what it waits for, and
//! committing a local change drops what it holds of that actor.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::Automerge;
use thiserror::Error;

use super::guard::GuardedChange;
use super::{ActorId, ChangeHash, Document, Node, blank};
use crate::limits;

/// What became of a set of changes.
#[derive(Debug)]
pub struct Built {
    /// Everything that could be applied.
    pub document: Document,
    /// Sound changes whose dependencies are not applied, by hash. They are kept and offered again
    /// later.
    pub waiting: Vec<Waiting>,
    /// Changes that can never be applied beside the others, by hash. Keep them in quarantine and
    /// leave them out next time: a set with one that Automerge refuses takes the slow way.
    pub rejected: Vec<Rejected>,
}

/// A change that waits for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The change.
    pub hash: ChangeHash,
    /// Its direct dependencies that are not applied, sorted: absent, waiting themselves, or
    /// rejected.
    pub missing: Vec<ChangeHash>,
}

/// A change that was refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The change.
    pub hash: ChangeHash,
    /// The reason.
    pub reason: RejectReason,
}

/// Why a change cannot be part of its record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// Another change has the same actor and sequence number, and the smaller hash. Two machines
    /// wrote one log: a copied disk or a restored backup.
    #[error("the same author numbered another change alike")]
    DuplicateSeq,
    /// It does not depend directly on its author's previous change, as Automerge always writes it.
    /// Otherwise one author could use the same operation numbers twice, or pile up heads.
    #[error("the change does not follow its author's previous one")]
    SeqGap,
    /// It does not number its operations from where its dependencies end.
    #[error("the operations are misnumbered")]
    OpNumbers,
    /// It names an actor that has written nothing in this record.
    #[error("the change refers to an unknown author")]
    UnknownActor,
    /// The record has as many changes, operations or bytes as one may have, without it. Of all changes the first in causal
    /// order count, the smaller hash first, so that every device keeps the same ones.
    #[error("the record is full")]
    RecordFull,
    /// Automerge refused it, for instance because it writes into an object that does not exist.
    #[error("the change does not apply to this record")]
    NotApplicable,
}

impl Document {
    /// Builds the document of one record from changes in any order.
    ///
    /// Changes given twice count once. Never fails: what does not fit is reported in [`Built`].
    #[must_use]
    pub fn build(mut changes: Vec<GuardedChange>) -> Built {
        changes.sort_unstable_by_key(GuardedChange::hash);
        changes.dedup_by_key(|change| change.hash());
        let mut plan = Plan::of(&changes);
        let automerge = apply(&changes, &plan.order).unwrap_or_else(|| plan.apply_halved(&changes));
        plan.finish(&changes, automerge)
    }
}

/// Applies the named changes in one call to a new document; `None` if Automerge refuses or panics.
fn apply(changes: &[GuardedChange], order: &[usize]) -> Option<Automerge> {
    let feed = order
        .iter()
        .filter_map(|index| changes.get(*index))
        .map(|c| c.change.clone());
    // The document is dropped when its construction panics.
    catch_unwind(AssertUnwindSafe(|| {
        let mut automerge = blank();
        automerge.apply_changes(feed).ok()?;
        Some(automerge)
    }))
    .ok()?
}

/// Fates decided so far; a change in neither list waits.
struct Plan {
    /// Indices of the changes to apply: causal order, and the smaller hash first where that leaves
    /// a choice.
    order: Vec<usize>,
    rejected: BTreeMap<usize, RejectReason>,
}

impl Plan {
    /// `changes` are sorted by hash and distinct.
    fn of(changes: &[GuardedChange]) -> Self {
        let mut rejected = BTreeMap::new();
        let mut by_seq: BTreeMap<(ActorId, u64), usize> = BTreeMap::new();
        for (index, change) in changes.iter().enumerate() {
            if *by_seq
                .entry((change.actor(), change.seq()))
                .or_insert(index)
                != index
            {
                rejected.insert(index, RejectReason::DuplicateSeq);
            }
        }

        let mut needs: Vec<BTreeSet<usize>> = Vec::with_capacity(changes.len());
        let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); changes.len()];
        let mut ready = BTreeSet::new();
        for (index, change) in changes.iter().enumerate() {
            let deps = change.deps().iter().map(|dep| position(changes, dep));
            let all: Option<BTreeSet<usize>> = deps.collect();
            let needed = match all {
                Some(all) if !rejected.contains_key(&index) => all,
                _ => {
                    needs.push(BTreeSet::new());
                    continue;
                }
            };
            for need in &needed {
                if let Some(dependents) = needed_by.get_mut(*need) {
                    dependents.push(index);
                }
            }
            if needed.is_empty() {
                ready.insert(index);
            }
            needs.push(needed);
        }

        let mut order = Vec::with_capacity(changes.len());
        let mut actors = BTreeSet::new();
        let (mut ops, mut bytes, mut full) = (0, 0, false);
        while let Some(index) = ready.pop_first() {
            let Some(change) = changes.get(index) else {
                continue;
            };
            let reason = misfit(changes, change, &actors).filter(|_| !full);
            if let Some(reason) = reason {
                rejected.insert(index, reason);
                continue;
            }
            ops += change.ops;
            bytes += change.change.raw_bytes().len();
            full |= order.len() >= limits::RECORD_CHANGES_MAX
                || bytes > limits::RECORD_BYTES_MAX
                || ops > limits::RECORD_OPS_MAX;
            if full {
                // What builds on a change that found no place finds none either, and does not wait.
                rejected.insert(index, RejectReason::RecordFull);
            } else {
                order.push(index);
                actors.insert(change.actor());
            }
            for dependent in needed_by.get(index).into_iter().flatten() {
                if let Some(needed) = needs.get_mut(*dependent) {
                    needed.remove(&index);
                    if needed.is_empty() {
                        ready.insert(*dependent);
                    }
                }
            }
        }
        Self { order, rejected }
    }

    /// The slow way, after the one call failed: halves that fail are halved again, until the offenders stand
    /// alone and are rejected. Each attempt costs a copy of the document, so one offender among thousands must
    /// not cost thousands.
    fn apply_halved(&mut self, changes: &[GuardedChange]) -> Automerge {
        let mut automerge = blank();
        let mut applied = BTreeSet::new();
        // The piece that comes first in causal order is on top.
        let mut pieces = vec![std::mem::take(&mut self.order)];
        while let Some(mut piece) = pieces.pop() {
            let mut known = BTreeSet::new();
            piece.retain(|index| {
                let has = |dep| applied.contains(dep) || known.contains(dep);
                let change = changes.get(*index);
                let ready = change.filter(|change| change.deps().iter().all(has));
                ready.is_some_and(|change| known.insert(change.hash()))
            });
            let Some(first) = piece.first().copied() else {
                continue;
            };
            let feed = || piece.iter().filter_map(|index| changes.get(*index));
            // A failed attempt may leave any state behind, so each is made on a copy.
            let attempt = catch_unwind(AssertUnwindSafe(|| {
                let mut copy = automerge.clone();
                copy.apply_changes(feed().map(|it| it.change.clone()))
                    .ok()?;
                Some(copy)
            }));
            if let Ok(Some(copy)) = attempt {
                automerge = copy;
                applied.append(&mut known);
                self.order.append(&mut piece);
            } else if piece.len() == 1 {
                self.rejected.insert(first, RejectReason::NotApplicable);
            } else {
                let rest = piece.split_off(piece.len() / 2);
                pieces.push(rest);
                pieces.push(piece);
            }
        }
        automerge
    }

    fn finish(self, changes: &[GuardedChange], automerge: Automerge) -> Built {
        let places: BTreeMap<ChangeHash, usize> = self
            .order
            .iter()
            .filter_map(|index| changes.get(*index))
            .enumerate()
            .map(|(place, change)| (change.hash(), place))
            .collect();
        let nodes = self
            .order
            .iter()
            .filter_map(|index| changes.get(*index))
            .map(|change| Node {
                change: change.change.clone(),
                hash: change.hash(),
                actor: change.actor(),
                start_op: change.start_op,
                max_op: change.max_op(),
                deps: change
                    .deps()
                    .iter()
                    .filter_map(|dep| places.get(dep).copied())
                    .collect(),
            });
        let document = Document {
            automerge,
            nodes: nodes.collect(),
        };

        let mut waiting = Vec::new();
        let left = changes
            .iter()
            .enumerate()
            .filter(|(_, c)| !places.contains_key(&c.hash()));
        for (index, change) in left {
            if self.rejected.contains_key(&index) {
                continue;
            }
            let deps = change.deps().iter().copied();
            let mut missing: Vec<_> = deps.filter(|dep| !places.contains_key(dep)).collect();
            missing.sort_unstable();
            waiting.push(Waiting {
                hash: change.hash(),
                missing,
            });
        }
        let rejected = self.rejected.into_iter().filter_map(|(index, reason)| {
            changes.get(index).map(|change| Rejected {
                hash: change.hash(),
                reason,
            })
        });
        Built {
            document,
            waiting,
            rejected: rejected.collect(),
        }
    }
}

/// Checks that need the dependencies. Each would otherwise be a panic inside Automerge, or a wedged
/// record.
fn misfit(
    changes: &[GuardedChange],
    change: &GuardedChange,
    actors: &BTreeSet<ActorId>,
) -> Option<RejectReason> {
    let deps = || {
        change
            .deps()
            .iter()
            .filter_map(|dep| changes.get(position(changes, dep)?))
    };
    let previous = (change.actor(), change.seq() - 1);
    if change.seq() > 1 && !deps().any(|dep| (dep.actor(), dep.seq()) == previous) {
        return Some(RejectReason::SeqGap);
    }
    let highest = deps().map(GuardedChange::max_op).max().unwrap_or(0);
    if change.start_op != highest + 1 {
        return Some(RejectReason::OpNumbers);
    }
    let known = change
        .other_actors
        .iter()
        .all(|actor| actors.contains(actor));
    (!known).then_some(RejectReason::UnknownActor)
}

fn position(changes: &[GuardedChange], hash: &ChangeHash) -> Option<usize> {
    changes.binary_search_by_key(hash, GuardedChange::hash).ok()
}
