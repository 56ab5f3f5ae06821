//! What Automerge shows of a document: the judge of records in which two people wrote one key without knowing of each
//! other, and of every other whose document has been made.
//!
//! Owns the interpretation of Automerge's values as fields and events. Must not decide which changes count. Total: what has
//! no place in the model is named in [`View::unreadable`](super::View::unreadable).

use std::collections::BTreeMap;

use automerge::{
    Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, ScalarValueRef, Value,
    ValueRef,
};

use super::super::gate::{Graph, Node};
use super::super::ops::OpId;
use super::super::{AT, BY, EVENT, EVENTS, FIELDS, KIND, Scalar};
use super::{Candidate, EventView, Field, FoundEvent, Read, View};

/// What is at one key, regardless of who wrote it.
#[derive(PartialEq, Eq)]
pub(in super::super) enum Settled {
    /// Nothing.
    Absent,
    /// One value, written once or several times alike.
    One(Scalar),
    /// Several values, or something that is no value of the model.
    Open,
}

/// Whether a key has a value that nobody disputes.
pub(in super::super) fn settled(
    doc: &impl ReadDoc,
    map: &ObjId,
    key: &str,
) -> Result<Settled, AutomergeError> {
    let mut found = Settled::Absent;
    for (value, _) in doc.get_all(map, key)? {
        found = match (found, scalar_of(&value)) {
            (Settled::Absent, Some(value)) => Settled::One(value),
            (Settled::One(known), Some(value)) if known == value => Settled::One(known),
            _ => return Ok(Settled::Open),
        };
    }
    Ok(found)
}

/// Reads all of it.
pub(super) fn read(doc: &Automerge, graph: &Graph) -> Read {
    let mut found = Read::default();
    for item in doc.map_range(ROOT, ..) {
        match (item.key.as_ref(), &item.value) {
            (KIND, ValueRef::Scalar(ScalarValueRef::Str(kind))) => {
                found.view.kind = Some(kind.to_string());
            }
            (BY, ValueRef::Scalar(ScalarValueRef::Str(by))) => found.view.by = Some(by.to_string()),
            (FIELDS, ValueRef::Object(ObjType::Map)) => {
                found.written = read_fields(doc, graph, &item.id(), &mut found.view);
            }
            (EVENTS, ValueRef::Object(ObjType::Map)) => {
                let unreadable = &mut found.view.unreadable;
                read_events(doc, graph, &item.id(), &mut found.events, unreadable);
            }
            _ => found.view.unreadable.push(format!("/{}", item.key)),
        }
    }
    found
}

/// Reads the fields, and gives the places of the changes that wrote their values.
fn read_fields(
    doc: &Automerge,
    graph: &Graph,
    map: &ObjId,
    view: &mut View,
) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    for item in doc.map_range(map, ..) {
        let mut candidates = Vec::new();
        let mut readable = true;
        let mut last = None;
        let mut add = |value: Option<Scalar>, id: &ObjId| match value.zip(author(graph, id)) {
            Some((value, (place, node))) => {
                last = Some(place);
                candidates.push(Candidate {
                    value,
                    change: node.change.hash(),
                });
            }
            None => readable = false,
        };
        if item.conflict {
            let all = doc.get_all(map, item.key.as_ref()).unwrap_or_default();
            for (value, id) in all {
                add(scalar_of(&value), &id);
            }
        } else {
            add(scalar_of_ref(&item.value), &item.id());
        }
        let key = item.key.into_owned();
        if !readable {
            view.unreadable.push(key.clone());
        }
        // Automerge lists the winner last.
        if let Some(Candidate { value, change }) = candidates.pop() {
            candidates.retain(|candidate| candidate.value != value);
            candidates.sort_unstable();
            candidates.dedup_by(|later, first| later.value == first.value);
            written.extend(last.map(|place| (key.clone(), place)));
            view.fields.insert(
                key,
                Field {
                    value,
                    others: candidates,
                    change,
                    knows: Vec::new(),
                },
            );
        }
    }
    written
}

fn read_events(
    doc: &Automerge,
    graph: &Graph,
    map: &ObjId,
    events: &mut Vec<FoundEvent>,
    unreadable: &mut Vec<String>,
) {
    for item in doc.map_range(map, ..) {
        let key = item.key.as_ref();
        let is_map = item.value == ValueRef::Object(ObjType::Map) && !item.conflict;
        let found = is_map
            .then(|| read_event(doc, graph, key, &item.id()))
            .flatten();
        match found {
            Some(event) => events.push(event),
            None => unreadable.push(format!("/{EVENTS}/{key}")),
        }
    }
}

/// The event in the map `id`, or nothing if it is not whole.
fn read_event(doc: &Automerge, graph: &Graph, key: &str, id: &ObjId) -> Option<FoundEvent> {
    let (index, node) = author(graph, id)?;
    let ObjId::Id(counter, ..) = id else {
        return None;
    };
    let (mut event, mut at_ms, mut by) = (None, None, None);
    let mut data = BTreeMap::new();
    for item in doc.map_range(id, ..) {
        match (item.key.as_ref(), scalar_of_ref(&item.value)?) {
            (EVENT, Scalar::Str(name)) => event = Some(name),
            (AT, Scalar::Int(ms)) => at_ms = Some(ms),
            (BY, Scalar::Str(account)) => by = Some(account),
            (other, value) => {
                data.insert(other.to_owned(), value);
            }
        }
    }
    let view = EventView {
        key: key.to_owned(),
        event: event?,
        at_ms: at_ms?,
        by: by?,
        data,
        change: node.change.hash(),
        actor: node.change.actor(),
        preds: Vec::new(),
    };
    Some(FoundEvent {
        node: index,
        counter: *counter,
        view,
    })
}

/// The change that an operation belongs to, and its place.
fn author<'a>(graph: &'a Graph, operation: &ObjId) -> Option<(usize, &'a Node)> {
    let ObjId::Id(counter, actor, _) = operation else {
        return None;
    };
    let actor = actor.to_bytes().try_into().ok()?;
    let (at, _) = graph.operation(&OpId {
        counter: *counter,
        actor,
    })?;
    Some((at, graph.nodes.get(at)?))
}

fn scalar_of(value: &Value<'_>) -> Option<Scalar> {
    let Value::Scalar(value) = value else {
        return None;
    };
    match value.as_ref() {
        ScalarValue::Str(text) => Some(Scalar::Str(text.to_string())),
        ScalarValue::Int(number) => Some(Scalar::Int(*number)),
        ScalarValue::Boolean(yes) => Some(Scalar::Bool(*yes)),
        ScalarValue::Bytes(bytes) => bytes.as_slice().try_into().ok().map(Scalar::Part),
        ScalarValue::Uint(_)
        | ScalarValue::F64(_)
        | ScalarValue::Counter(_)
        | ScalarValue::Timestamp(_)
        | ScalarValue::Unknown { .. }
        | ScalarValue::Null => None,
    }
}

fn scalar_of_ref(value: &ValueRef<'_>) -> Option<Scalar> {
    let ValueRef::Scalar(value) = value else {
        return None;
    };
    match value {
        ScalarValueRef::Str(text) => Some(Scalar::Str(text.to_string())),
        ScalarValueRef::Int(number) => Some(Scalar::Int(*number)),
        ScalarValueRef::Boolean(yes) => Some(Scalar::Bool(*yes)),
        ScalarValueRef::Bytes(bytes) => bytes.as_ref().try_into().ok().map(Scalar::Part),
        ScalarValueRef::Uint(_)
        | ScalarValueRef::F64(_)
        | ScalarValueRef::Counter(_)
        | ScalarValueRef::Timestamp(_)
        | ScalarValueRef::Unknown { .. }
        | ScalarValueRef::Null => None,
    }
}
