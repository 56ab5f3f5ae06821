//! A view read from the operations that the gate has decoded, without Automerge: of records in which nobody wrote a key that
//! another was writing, which is nearly all of them, and in a tenth of the time.
//!
//! Owns what stands at each key after changes of which each knew what was there. Must not choose between two values: where an
//! operation does not take the place of just what stands at its key, nothing is read here, and Automerge is asked. Both ways
//! give one [`Read`], and it is the same: fuzzing and the seeded scenarios compare them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::super::gate::Graph;
use super::super::ops::{Action, Object, Op, OpId};
use super::super::{AT, BY, EVENT, KIND, Scalar};
use super::{EventView, Field, FoundEvent, Read};

/// A value at a key.
pub(in super::super) struct Standing<'a> {
    pub(in super::super) id: OpId,
    /// The change that put it, by its place.
    node: usize,
    pub(in super::super) value: &'a Scalar,
}

/// What stands at each field, and who wrote last.
#[derive(Default)]
pub(in super::super) struct Undisputed<'a> {
    pub(in super::super) fields: BTreeMap<&'a str, Standing<'a>>,
    pub(in super::super) by: BTreeMap<&'a str, Standing<'a>>,
}

/// What stands where; `None` if two people wrote one key without knowing of each other, or somebody wrote it as if nothing
/// had been there.
pub(in super::super) fn undisputed(graph: &Graph) -> Option<Undisputed<'_>> {
    let mut found = Undisputed::default();
    for (node, id, op) in operations(graph) {
        let keys = match op.object {
            Object::Root if op.key == BY => &mut found.by,
            _ if graph.field_of(op).is_some() => &mut found.fields,
            Object::Root | Object::Made(_) => continue,
        };
        let entry = keys.entry(op.key.as_str());
        let standing = match &entry {
            Entry::Occupied(there) => Some(there.get().id),
            Entry::Vacant(_) => None,
        };
        if !op.preds.iter().copied().eq(standing) {
            return None;
        }
        match (&op.action, entry) {
            (Action::Put(value), Entry::Occupied(mut there)) => {
                there.insert(Standing { id, node, value });
            }
            (Action::Put(value), Entry::Vacant(place)) => {
                place.insert(Standing { id, node, value });
            }
            (Action::Delete, Entry::Occupied(there)) => {
                there.remove();
            }
            // The gate lets nobody delete nothing.
            (Action::Delete, Entry::Vacant(_)) => {}
            (Action::MakeMap, _) => return None,
        }
    }
    Some(found)
}

/// Every operation in causal order, with the place of its change and its identity.
fn operations(graph: &Graph) -> impl Iterator<Item = (usize, OpId, &Op)> {
    graph.nodes.iter().enumerate().flat_map(|(node, it)| {
        let actor = it.change.actor();
        let ops = (it.change.start_op..).zip(it.change.ops.iter().flatten());
        ops.map(move |(counter, op)| (node, OpId { counter, actor }, op))
    })
}

/// Reads all of it, unless something is disputed.
pub(super) fn read(graph: &Graph) -> Option<Read> {
    let Undisputed { fields, by } = undisputed(graph)?;
    let mut found = Read::default();
    let by = by.get(BY).map(|it| it.value);
    found.view.by = by.and_then(|by| text(by).map(str::to_owned));
    for (key, Standing { node, value, .. }) in fields {
        let field = Field {
            value: value.clone(),
            others: Vec::new(),
            change: graph.nodes.get(node)?.change.hash(),
            knows: Vec::new(),
        };
        found.view.fields.insert(key.to_owned(), field);
        found.written.insert(key.to_owned(), node);
    }
    for (node, id, op) in operations(graph) {
        match (op.object, &op.action) {
            (Object::Root, Action::Put(Scalar::Str(kind))) if op.key == KIND => {
                found.view.kind = Some(kind.clone());
            }
            (Object::Made(_), Action::MakeMap) => {
                let change = graph.nodes.get(node)?.change.hash();
                found.events.push(begun(node, &id, op, change));
            }
            (Object::Made(map), Action::Put(value)) if graph.field_of(op).is_none() => {
                // An event is told by the change that makes it, so it is among the last.
                let mut events = found.events.iter_mut().rev();
                let event = events.find(|it| it.node == node && it.counter == map.counter)?;
                tell(&mut event.view, &op.key, value);
            }
            _ => {}
        }
    }
    Some(found)
}

/// An event of which nothing has been told yet.
fn begun(node: usize, id: &OpId, op: &Op, change: [u8; 32]) -> FoundEvent {
    let view = EventView {
        key: op.key.clone(),
        event: String::new(),
        at_ms: 0,
        by: String::new(),
        data: BTreeMap::new(),
        change,
        actor: id.actor,
        preds: Vec::new(),
    };
    FoundEvent {
        node,
        counter: id.counter,
        view,
    }
}

fn tell(event: &mut EventView, key: &str, value: &Scalar) {
    match (key, value) {
        (EVENT, Scalar::Str(name)) => event.event.clone_from(name),
        (AT, Scalar::Int(ms)) => event.at_ms = *ms,
        (BY, Scalar::Str(by)) => event.by.clone_from(by),
        (other, value) => {
            event.data.insert(other.to_owned(), value.clone());
        }
    }
}

fn text(value: &Scalar) -> Option<&str> {
    match value {
        Scalar::Str(text) => Some(text),
        Scalar::Int(_) | Scalar::Bool(_) | Scalar::Part(_) => None,
    }
}
