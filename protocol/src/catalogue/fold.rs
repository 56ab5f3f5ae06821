//! A record's status, computed from its events.
//!
//! Owns the order of events and what becomes of each. Must not drop an event, nor look at
//! anything but the steps given: not at a clock, not at who is asking. A day on which a step was taken is what its device says of it.
//!
//! Invariants: the fold is total (any steps give a result, even circular ones, which hashes cannot
//! form) and deterministic (the same steps in any sequence give the same result on every device).
//! Causes come before effects; among events that do not know of each other the better rank goes
//! first, then the smaller id. An event that does not apply is void, with its reason, and stays.
//!
//! Rejected: ordering by time. Clocks of devices that were offline for a week decide nothing here.

use std::collections::{BTreeMap, BTreeSet};

use super::terms::ESTIMATED_DATES;
use super::{Facts, Kind, Label, Role, find};

/// An event of a record, as the fold sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Name of the event.
    pub event: String,
    /// For whom the writing device may act; empty for an unknown device.
    pub roles: BTreeSet<Role>,
    /// Id of the entry that carries it.
    pub id: [u8; 32],
    /// Places, in the slice given to the fold, of steps it was written in knowledge of. Need not
    /// be transitively closed.
    pub preds: Vec<usize>,
    /// What it carries in the clear.
    pub facts: Facts,
    /// The day on which it was taken, as its device says: `2026-03-14`, in Beijing.
    pub day: String,
}

/// What the events of a record come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Code of the status; empty for kinds without a process.
    pub status: String,
    /// Codes of the overlays.
    pub overlays: BTreeSet<String>,
    /// Fields of the record set by the events that applied; they go over what was typed without knowing of
    /// them.
    pub facts: Facts,
    /// What became of each step, at the place the step has.
    pub outcomes: Vec<Outcome>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Applied {
        /// Status before.
        from: String,
        /// Status after; the same for events that leave it alone.
        to: String,
    },
    /// 未生效操作: it is kept and shown, without effect.
    Void {
        /// Why.
        reason: VoidReason,
    },
}

/// Why an event has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoidReason {
    /// This release does not know the event.
    UnknownEvent,
    /// The device that wrote it acts for nobody who may.
    NotAllowed,
    /// It is not possible in the status the record was in.
    WrongState,
    /// The day until which whoever wrote it may was over.
    TooLate,
    /// The day from which on it is possible had not come.
    TooEarly,
}

impl VoidReason {
    /// Stable name, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::NotAllowed => "not_allowed",
            Self::WrongState => "wrong_state",
            Self::TooLate => "too_late",
            Self::TooEarly => "too_early",
        }
    }

    /// What people read.
    #[must_use]
    pub fn label(self) -> Label {
        let (zh, en) = match self {
            Self::UnknownEvent => ("未知操作", "not known to this version"),
            Self::NotAllowed => ("无权进行此操作", "not allowed to whoever wrote it"),
            Self::WrongState => ("当前状态下不适用", "not possible in the status it was in"),
            Self::TooLate => ("期限已过", "its last day was over"),
            Self::TooEarly => ("还没到日期", "its first day had not come"),
        };
        Label {
            zh: zh.to_owned(),
            en: en.to_owned(),
        }
    }
}

impl Kind {
    /// Computes the status of a record from its events. See the file's head for the order.
    #[must_use]
    pub fn fold(&self, steps: &[Step]) -> Folded {
        let mut state = State {
            kind: self,
            status: self.initial.clone().unwrap_or_default(),
            overlays: BTreeSet::new(),
            facts: Facts::new(),
            times: BTreeMap::new(),
        };
        let rank = |step: &Step| self.transition(&step.event).map_or(u16::MAX, |t| t.rank);
        let outcomes: BTreeMap<usize, Outcome> = causal_order(steps, rank)
            .into_iter()
            .filter_map(|place| Some((place, state.take(steps.get(place)?))))
            .collect();
        Folded {
            status: state.status,
            overlays: state.overlays,
            facts: state.facts,
            outcomes: outcomes.into_values().collect(),
        }
    }
}

struct State<'a> {
    kind: &'a Kind,
    status: String,
    overlays: BTreeSet<String>,
    facts: Facts,
    /// How often each event has applied.
    times: BTreeMap<&'a str, usize>,
}

impl State<'_> {
    fn take(&mut self, step: &Step) -> Outcome {
        let Some(transition) = self.kind.transition(&step.event) else {
            return Outcome::Void {
                reason: VoidReason::UnknownEvent,
            };
        };
        let times = self.times.entry(&transition.event).or_default();
        let facts = &self.facts;
        let date = |key: &str| Some(facts.get(key)?.as_str()?.to_owned());
        let who = transition.open_on(*times, date, &step.day);
        let reason = if transition.open_to(*times).is_disjoint(&step.roles)
            && who.is_disjoint(&step.roles)
        {
            Some(VoidReason::NotAllowed)
        } else if !transition.applies_to(&self.status) {
            Some(VoidReason::WrongState)
        } else if who.is_disjoint(&step.roles) {
            Some(VoidReason::TooLate)
        } else if transition.is_early(date, &step.day) {
            Some(VoidReason::TooEarly)
        } else {
            None
        };
        if let Some(reason) = reason {
            return Outcome::Void { reason };
        }
        *times += 1;
        if let Some(lifted) = &transition.lifts {
            self.overlays.remove(lifted);
        }
        self.overlays.extend(transition.overlay.clone());
        // A day that somebody sets is no rule's any more.
        let dated = step.facts.keys();
        let dated =
            dated.flat_map(|key| transition.dates.iter().filter(move |it| it.field == *key));
        for date in dated {
            let guessed = format!("{ESTIMATED_DATES}/{}", date.field);
            self.facts
                .remove(date.named_in.as_ref().unwrap_or(&guessed));
        }
        for cleared in &transition.clears {
            let under = |key: &str| key.split_once('/').map_or(key, |(set, _)| set) == cleared;
            self.facts.retain(|key, _| !under(key));
        }
        if let Some((datum, date)) = self.kind.redated_by(&step.event)
            && let Some(day) = step.facts.get(datum)
            && date.accepts(day)
        {
            self.facts.insert(date.key.clone(), day.clone());
        }
        for (key, fact) in &step.facts {
            let declared = find(&transition.data, key).is_some();
            let field = self
                .kind
                .field(key)
                .filter(|field| declared && field.holds(key, fact));
            if field.is_some_and(|field| field.retention.is_none()) {
                self.facts.insert(key.clone(), fact.clone());
            }
        }
        let to = transition.to.clone().unwrap_or_else(|| self.status.clone());
        Outcome::Applied {
            from: std::mem::replace(&mut self.status, to.clone()),
            to,
        }
    }
}

/// Places of the steps, causes first; every place once.
///
/// The order is decided by what steps contain. Their place comes last and only separates steps
/// that are equal.
fn causal_order(steps: &[Step], rank: impl Fn(&Step) -> u16) -> Vec<usize> {
    let keys: Vec<_> = (steps.iter().enumerate())
        .map(|(place, s)| (rank(s), &s.id, &s.event, &s.facts, &s.roles, &s.day, place))
        .collect();
    let mut waits_for: Vec<BTreeSet<usize>> = (steps.iter().enumerate())
        .map(|(place, step)| {
            let known = |pred: &usize| *pred < steps.len() && *pred != place;
            step.preds.iter().copied().filter(known).collect()
        })
        .collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (place, preds) in waits_for.iter().enumerate() {
        for pred in preds {
            if let Some(followers) = followers.get_mut(*pred) {
                followers.push(place);
            }
        }
    }

    let is_ready = |(_, preds): &(_, &BTreeSet<usize>)| preds.is_empty();
    let (ready, blocked): (Vec<_>, Vec<_>) = keys.iter().zip(&waits_for).partition(is_ready);
    let mut ready: BTreeSet<_> = ready.into_iter().map(|(key, _)| key).collect();
    let mut blocked: BTreeSet<_> = blocked.into_iter().map(|(key, _)| key).collect();
    let mut order = Vec::with_capacity(steps.len());
    // With nothing ready but something blocked there is a circle: it is cut at the best step.
    while let Some(&(.., place)) = ready.pop_first().or_else(|| blocked.pop_first()) {
        order.push(place);
        for follower in followers.get(place).into_iter().flatten() {
            let (Some(preds), Some(key)) = (waits_for.get_mut(*follower), keys.get(*follower))
            else {
                continue;
            };
            preds.remove(&place);
            if preds.is_empty() && blocked.remove(key) {
                ready.insert(key);
            }
        }
    }
    order
}
