//! Reading a document: its present state as a [`View`], its past as a list of [`HistoryEntry`].
//!
//! Owns what both ways of reading have in common, `plain` from the gate's operations and `merged` from Automerge: the types,
//! and the causal order of events. Must not judge whether a field or an event makes sense for the kind of record; that is
//! the catalogue's.
//!
//! Invariants:
//! - Total and deterministic: any document gives a view, and equal sets of changes give equal
//!   views.
//! - The gate lets in nothing that has no place in the model. Should Automerge show something else all the same, it
//!   is named in [`View::unreadable`], not hidden.
//!
//! Rejected: to hydrate the document into nested values and read those. It allocates every value
//! twice and loses both conflicts and authorship.

mod merged;
mod plain;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::gate::{Graph, Node, is_linear};
use super::ops::{Object, OpId};
use super::{
    AT, ActorId, BY, ChangeHash, Document, EVENT, EVENTS, Edit, FIELDS, GuardedChange, KIND,
    NewEvent, Scalar,
};
pub(super) use merged::{Settled, settled};
pub(super) use plain::{Undisputed, undisputed};

/// The present state of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Kind of the record, if it has one.
    pub kind: Option<String>,
    /// Account of the last writer; with several concurrent last writers, the same one on every
    /// device.
    pub by: Option<String>,
    /// Fields by key.
    pub fields: BTreeMap<String, Field>,
    /// Events, each after those that precede it causally; where that leaves a choice, by the hash
    /// of the change, and within one change as they were written.
    pub events: Vec<EventView>,
    /// What is there but does not fit the model, sorted: the key of a field, `/key` for a key of
    /// the root, `/events/key` for an event; `/` alone: the document could not be read at all.
    /// Empty, unless this software has a defect.
    pub unreadable: Vec<String>,
}

/// A field with its value, or its values while devices disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The value that every device shows.
    pub value: Scalar,
    /// The other values of a conflict, each once, sorted; empty without a conflict. The same value
    /// written twice is no conflict.
    pub others: Vec<Candidate>,
    /// The change that wrote `value`.
    pub change: ChangeHash,
    /// Indices, in [`View::events`], of the events that its author had before writing it, ascending.
    pub knows: Vec<usize>,
}

/// A value that lost in a conflict, until somebody chooses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// The value.
    pub value: Scalar,
    /// The change that wrote it; the smallest hash if several did.
    pub change: ChangeHash,
}

/// An event of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventView {
    /// Its key in the record.
    pub key: String,
    /// What happened.
    pub event: String,
    /// When, as the device claims: milliseconds since 1970.
    pub at_ms: i64,
    /// Account of the person who recorded it.
    pub by: String,
    /// Its other data.
    pub data: BTreeMap<String, Scalar>,
    /// The change that added it.
    pub change: ChangeHash,
    /// The actor of that change.
    pub actor: ActorId,
    /// Indices, in [`View::events`], of all events that precede it causally, ascending: those its
    /// author had before them, and those written before it in the same change.
    pub preds: Vec<usize>,
}

/// One change of a record's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The change.
    pub hash: ChangeHash,
    /// Its actor.
    pub actor: ActorId,
    /// Its position among the actor's changes in this record, from 1.
    pub seq: u64,
    /// The changes it builds on, sorted.
    pub deps: Vec<ChangeHash>,
    /// Account of the writer.
    pub by: Option<String>,
    /// What it did to fields, by key, sorted.
    pub fields: Vec<FieldChange>,
    /// Keys of the events it added, sorted.
    pub events: Vec<String>,
}

/// What one change did to one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The field.
    pub key: String,
    /// The values that it took the place of, sorted: several if it settled a conflict, none if there was nothing.
    pub old: Vec<Scalar>,
    /// The value that it set; none if it cleared the field.
    pub new: Option<Scalar>,
}

impl Document {
    /// The present state. Never fails: what cannot be read is listed in [`View::unreadable`].
    #[must_use]
    pub fn view(&self) -> View {
        let plain = || plain::read(&self.graph);
        let read = self.automerge.get().map_or_else(plain, |_| None);
        let read = read.or_else(|| {
            let automerge = self.automerge()?;
            catch_unwind(AssertUnwindSafe(|| merged::read(automerge, &self.graph))).ok()
        });
        let unread = || View {
            unreadable: vec!["/".to_owned()],
            ..View::default()
        };
        read.map_or_else(unread, |read| complete(&self.graph, read))
    }

    /// The changes in causal order; where that leaves a choice, by hash.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        let mut said: Vec<(usize, String)> = Vec::new();
        let mut entries = Vec::with_capacity(self.graph.nodes.len());
        for (at, node) in self.graph.nodes.iter().enumerate() {
            let (own, fields, events) = self.told(node);
            said.extend(own.map(|account| (at, account)));
            // Who does not say who writes is whom the newest change under this one names that names anybody: whoever says
            // nothing had found themselves named there.
            let mut known = said.iter().rev();
            let by = known.find(|(naming, _)| self.graph.is_under(*naming, at));
            let by = by.map(|(_, account)| account.clone());
            entries.push(HistoryEntry {
                hash: node.change.hash(),
                actor: node.change.actor(),
                seq: node.change.seq(),
                deps: self.hashes(&node.deps),
                by,
                fields,
                events,
            });
        }
        entries
    }

    /// Whether each change was written in knowledge of all that stand before it in the history.
    #[must_use]
    pub fn is_linear(&self) -> bool {
        is_linear(&self.graph.nodes)
    }

    /// Whether the change at one place of the history was written in knowledge of the one at another, directly or by way of
    /// others. Where neither knows the other, they were written apart.
    #[must_use]
    pub fn knows(&self, later: usize, earlier: usize) -> bool {
        later != earlier && self.graph.is_under(earlier, later)
    }

    /// The place of a change in the history, if it counts.
    #[must_use]
    pub fn place_of(&self, change: &ChangeHash) -> Option<usize> {
        self.graph.place_of(change)
    }

    /// Whether a change counts.
    #[must_use]
    pub fn has(&self, change: &ChangeHash) -> bool {
        self.graph.has(change)
    }

    /// What changes put into fields whose keys begin so, in causal order, whatever became of it since: the change, the key
    /// and the value.
    #[must_use]
    pub fn puts(&self, prefix: &str) -> Vec<(ChangeHash, &str, &Scalar)> {
        let puts = self.graph.nodes.iter().flat_map(|node| {
            let ops = node.change.ops.iter().flatten();
            ops.filter_map(|op| {
                let key = self.graph.field_of(op)?;
                Some((node.change.hash(), key, op.value()?))
            })
        });
        puts.filter(|(_, key, _)| key.starts_with(prefix)).collect()
    }

    /// What the founding change put into fields, each once: it stays so, whatever they hold now.
    pub fn founding(&self) -> impl Iterator<Item = (&str, &Scalar)> {
        let first = self.graph.nodes.first().into_iter();
        let ops = first.flat_map(|first| first.change.ops.iter().flatten());
        ops.filter_map(|op| Some((self.graph.field_of(op)?, op.value()?)))
    }

    /// The fields that changes wrote or cleared after the founding one, in causal order: the change, its place in the history, and the key.
    pub fn writes(&self) -> impl Iterator<Item = (ChangeHash, usize, &str)> {
        let nodes = self.graph.nodes.iter().enumerate().skip(1);
        nodes.flat_map(move |(place, node)| {
            let ops = node.change.ops.iter().flatten();
            ops.filter_map(move |op| Some((node.change.hash(), place, self.graph.field_of(op)?)))
        })
    }

    /// The events of a view of this document that whoever wrote the change at one place of the history had before it, by their places
    /// in the view, ascending.
    #[must_use]
    pub fn known_at(&self, place: usize, view: &View) -> Vec<usize> {
        let at = |change: &ChangeHash| self.graph.place_of(change);
        let events = view.events.iter().enumerate();
        let known =
            events.filter(|(_, event)| at(&event.change).is_some_and(|it| self.knows(place, it)));
        known.map(|(number, _)| number).collect()
    }

    /// What stands in a field if only the writes count that the changes at these places of the history made: of what was put without
    /// knowing of each other, the one that Automerge would show. None if nothing stands there.
    #[must_use]
    pub fn field_by(
        &self,
        key: &str,
        view: &View,
        counts: impl Fn(usize) -> bool,
    ) -> Option<Field> {
        let mut standing: Vec<(usize, OpId, Option<&Scalar>)> = Vec::new();
        for (place, node) in self.graph.nodes.iter().enumerate() {
            let ops = (node.change.start_op..).zip(node.change.ops.iter().flatten());
            let writes = ops.filter(|(_, op)| self.graph.field_of(op) == Some(key));
            // What a change deletes beside putting a value is the conflict that it settles.
            let last = writes.max_by_key(|(counter, op)| (op.value().is_some(), *counter));
            if let Some((counter, op)) = last.filter(|_| counts(place)) {
                standing.retain(|(under, ..)| !self.graph.is_under(*under, place));
                let actor = node.change.actor();
                standing.push((place, OpId { counter, actor }, op.value()));
            }
        }
        let puts = standing
            .into_iter()
            .filter_map(|(place, id, value)| Some((id, place, value?)));
        let (_, place, value) = puts.max_by_key(|(id, ..)| *id)?;
        Some(Field {
            value: value.clone(),
            others: Vec::new(),
            change: self.graph.nodes.get(place)?.change.hash(),
            knows: self.known_at(place, view),
        })
    }

    /// The account that a change names, what it did to fields, and the events it added.
    pub(super) fn told(&self, node: &Node) -> (Option<String>, Vec<FieldChange>, Vec<String>) {
        let (mut by, mut events) = (None, Vec::new());
        let mut fields: BTreeMap<&str, (BTreeSet<&Scalar>, Option<&Scalar>)> = BTreeMap::new();
        for op in node.change.ops.as_deref().unwrap_or_default() {
            if let Some(key) = self.graph.field_of(op) {
                let (old, new) = fields.entry(key).or_default();
                let replaced = op
                    .preds
                    .iter()
                    .filter_map(|pred| self.graph.operation(pred));
                old.extend(replaced.filter_map(|(_, op)| op.value()));
                *new = op.value().or(*new);
            } else if let Some(key) = self.graph.event_of(op) {
                events.push(key.to_owned());
            } else if let (Object::Root, BY, Some(Scalar::Str(account))) =
                (op.object, op.key.as_str(), op.value())
            {
                by = Some(account.clone());
            }
        }
        events.sort_unstable();
        let fields = fields.into_iter().map(|(key, (old, new))| FieldChange {
            key: key.to_owned(),
            old: old.into_iter().cloned().collect(),
            new: new.cloned(),
        });
        (by, fields.collect(), events)
    }

    fn hashes(&self, indices: &[usize]) -> Vec<ChangeHash> {
        let nodes = indices
            .iter()
            .filter_map(|index| self.graph.nodes.get(*index));
        let mut hashes: Vec<_> = nodes.map(|node| node.change.hash()).collect();
        hashes.sort_unstable();
        hashes
    }
}

/// What a change did, read by itself, so that it can be written again upon other changes; `founding` is the record's
/// founding change. Empty where it names no account. None if it is not of a record's shape.
#[must_use]
pub fn retold(change: &GuardedChange, founding: &GuardedChange) -> Option<Edit> {
    let made = |key: &str| {
        let ops = (founding.start_op..).zip(founding.ops.iter().flatten());
        let actor = founding.actor();
        ops.into_iter()
            .find(|(_, op)| (op.object, op.key.as_str()) == (Object::Root, key))
            .map(|(counter, _)| Object::Made(OpId { counter, actor }))
    };
    let (fields, events) = (made(FIELDS)?, made(EVENTS)?);
    let (mut edit, mut told) = (Edit::default(), BTreeMap::new());
    for (counter, op) in (change.start_op..).zip(change.ops.as_ref().ok()?) {
        let actor = change.actor();
        match (op.object, op.value()) {
            (object, value) if object == fields => {
                // What it deletes beside putting a value is the conflict that it settles.
                let kept = edit.fields.get(&op.key).cloned().flatten();
                edit.fields.insert(op.key.clone(), value.cloned().or(kept));
            }
            (Object::Root, Some(Scalar::Str(text))) if op.key == BY => edit.by.clone_from(text),
            (Object::Root, Some(Scalar::Str(text))) if op.key == KIND => {
                edit.kind = Some(text.clone());
            }
            (object, None) if object == events => {
                let blank = (String::new(), NewEvent::default());
                told.insert(counter, blank);
            }
            (Object::Made(OpId { counter, actor: by }), Some(value)) if by == actor => {
                let (account, event) = told.get_mut(&counter)?;
                match (op.key.as_str(), value) {
                    (EVENT, Scalar::Str(name)) => event.event.clone_from(name),
                    (AT, Scalar::Int(ms)) => event.at_ms = *ms,
                    (BY, Scalar::Str(by)) => account.clone_from(by),
                    (key, value) => {
                        event.data.insert(key.to_owned(), value.clone());
                    }
                }
            }
            _ => {}
        }
    }
    if edit.by.is_empty() {
        edit.by = told
            .values()
            .map(|(by, _)| by.clone())
            .next()
            .unwrap_or_default();
    }
    edit.events = told.into_values().map(|(_, event)| event).collect();
    Some(edit)
}

/// What was found in a document, whichever way it was read.
#[derive(Default)]
struct Read {
    /// Without what precedes what.
    view: View,
    /// In any order.
    events: Vec<FoundEvent>,
    /// The places of the changes that wrote the values of the fields.
    written: BTreeMap<String, usize>,
}

/// An event and where it stands in the graph.
struct FoundEvent {
    node: usize,
    counter: u64,
    view: EventView,
}

/// Adds what the changes themselves say to what was found.
fn complete(graph: &Graph, found: Read) -> View {
    let Read {
        mut view,
        mut events,
        written,
    } = found;
    events.sort_unstable_by_key(|found| (found.node, found.counter));
    let knowing = link(&graph.nodes, &mut events, &written);
    for (key, field) in &mut view.fields {
        let knows = written.get(key).and_then(|node| knowing.get(node));
        field.knows = knows.cloned().unwrap_or_default();
    }
    view.events = events.into_iter().map(|found| found.view).collect();
    view.unreadable.sort_unstable();
    view.unreadable.dedup();
    view
}

/// Fills in which events precede which, and gives which precede the changes that wrote fields. `events` are in
/// causal order.
fn link(
    nodes: &[Node],
    events: &mut [FoundEvent],
    written: &BTreeMap<String, usize>,
) -> BTreeMap<usize, Vec<usize>> {
    let mut knowing: BTreeMap<usize, Vec<usize>> =
        written.values().map(|node| (*node, Vec::new())).collect();
    if is_linear(nodes) {
        for (node, knows) in &mut knowing {
            *knows = (0..events.partition_point(|event| event.node < *node)).collect();
        }
        for (index, event) in events.iter_mut().enumerate() {
            event.view.preds = (0..index).collect();
        }
        return knowing;
    }
    let mut before: Vec<EventSet> = Vec::with_capacity(nodes.len());
    let mut rest = events.iter_mut().enumerate().peekable();
    for (index, node) in nodes.iter().enumerate() {
        let mut known = EventSet::default();
        for dep in &node.deps {
            if let Some(set) = before.get(*dep) {
                known.add_all(set);
            }
        }
        if let Some(knows) = knowing.get_mut(&index) {
            *knows = known.to_vec();
        }
        while let Some((number, event)) = rest.next_if(|(_, event)| event.node == index) {
            event.view.preds = known.to_vec();
            known.add(number);
        }
        before.push(known);
    }
    knowing
}

/// A set of indices of events, one bit each.
#[derive(Default)]
struct EventSet(Vec<u64>);

impl EventSet {
    fn add(&mut self, number: usize) {
        let word = number / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (number % 64);
        }
    }

    fn add_all(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    fn to_vec(&self) -> Vec<usize> {
        let words = self.0.iter().enumerate();
        words
            .flat_map(|(word, bits)| {
                (0..64)
                    .filter(move |bit| bits & (1 << bit) != 0)
                    .map(move |bit| word * 64 + bit)
            })
            .collect()
    }
}
