//! Reading a document: its present state as a [`View`], its past as a list of [`HistoryEntry`].
//!
//! Owns the interpretation of Automerge values as fields and events, and the causal order of
//! events. Must not judge whether a field or an event makes sense for the kind of record; that is
//! the catalogue's.
//!
//! Invariants:
//! - Total and deterministic: any document gives a view, and equal sets of changes give equal
//!   views.
//! - Nothing is hidden: what has no place in the model is named in [`View::unreadable`].
//! - An event's values count only if the change that made the event wrote them.
//!
//! Rejected: to hydrate the document into nested values and read those. It allocates every value
//! twice and loses both conflicts and authorship.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::iter::MapRangeItem;
use automerge::legacy::{Key, ObjectId, OpType};
use automerge::{
    AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, ScalarValueRef, Value, ValueRef,
};

use super::{AT, ActorId, BY, ChangeHash, Document, EVENT, EVENTS, FIELDS, KIND, Node, Scalar};

/// Most events of one record that a view shows: 1,024. A case that is contested for years has about
/// a hundred; the closure of [`EventView::preds`] grows with the square. Those beyond, in causal
/// order, are listed in [`View::unreadable`].
pub const MAX_EVENTS: usize = 1024;

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
    /// the root, `/events/key` for an event. A field is named if any of its values does not fit,
    /// and shown with those that do. `/` alone: the document could not be read at all.
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
    /// Its key in the record. Two events share one only if a device broke the rules.
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
    /// Keys of the fields it set or cleared, sorted.
    pub fields: Vec<String>,
    /// Keys of the events it added, sorted.
    pub events: Vec<String>,
}

impl Document {
    /// The present state. Never fails: what cannot be read is listed in [`View::unreadable`].
    #[must_use]
    pub fn view(&self) -> View {
        catch_unwind(AssertUnwindSafe(|| read(self))).unwrap_or_else(|_| View {
            unreadable: vec!["/".to_owned()],
            ..View::default()
        })
    }

    /// The changes in causal order; where that leaves a choice, by hash.
    ///
    /// Costs more than a view, for it decodes every change. A change whose operations cannot be
    /// read is listed without fields and events.
    #[must_use]
    pub fn history(&self) -> Vec<HistoryEntry> {
        let map = |key| record_map(&self.automerge, &self.nodes, key);
        let maps =
            catch_unwind(AssertUnwindSafe(|| (map(FIELDS), map(EVENTS)))).unwrap_or_default();
        self.nodes
            .iter()
            .map(|node| {
                let mut entry = HistoryEntry {
                    hash: node.hash,
                    actor: node.actor,
                    seq: node.change.seq(),
                    deps: self.hashes(&node.deps),
                    by: None,
                    fields: Vec::new(),
                    events: Vec::new(),
                };
                let told = catch_unwind(AssertUnwindSafe(|| tell(self, node, &maps)));
                (entry.by, entry.fields, entry.events) = told.unwrap_or_default();
                entry
            })
            .collect()
    }

    fn hashes(&self, indices: &[usize]) -> Vec<ChangeHash> {
        let nodes = indices.iter().filter_map(|index| self.nodes.get(*index));
        let mut hashes: Vec<_> = nodes.map(|node| node.hash).collect();
        hashes.sort_unstable();
        hashes
    }
}

/// What is at one key, regardless of who wrote it.
#[derive(PartialEq, Eq)]
pub(super) enum Settled {
    /// Nothing.
    Absent,
    /// One value, written once or several times alike.
    One(Scalar),
    /// Several values, or something that is no value of the model.
    Open,
}

/// Whether a key has a value that nobody disputes.
pub(super) fn settled(
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

/// The map that the record's first change made at a key of the root, whatever stands there now.
pub(super) fn record_map(doc: &impl ReadDoc, nodes: &[Node], key: &str) -> Option<ObjId> {
    let first = nodes.first()?;
    if let [(Value::Object(ObjType::Map), id @ ObjId::Id(counter, actor, _))] =
        doc.get_all(ROOT, key).ok()?.as_slice()
        && first.wrote(*counter, actor)
    {
        return Some(id.clone());
    }
    let made = first
        .change
        .decode()
        .operations
        .into_iter()
        .zip(first.start_op..)
        .find(|(op, _)| {
            op.obj == ObjectId::Root
                && matches!(&op.key, Key::Map(made) if made.as_str() == key)
                && op.action == OpType::Make(ObjType::Map)
        });
    // The last number is a hint where the actor is found; Automerge looks further if it is wrong.
    made.map(|(_, counter)| ObjId::Id(counter, first.actor.into(), 0))
}

/// Account, field keys and event keys of one change.
type Told = (Option<String>, Vec<String>, Vec<String>);

fn tell(document: &Document, node: &Node, maps: &(Option<ObjId>, Option<ObjId>)) -> Told {
    let head = automerge::ChangeHash(node.hash);
    let by = match document.automerge.get_at(ROOT, BY, &[head]) {
        Ok(Some((Value::Scalar(value), _))) => value.as_str().map(str::to_owned),
        _ => None,
    };
    let (mut fields, mut events) = (BTreeSet::new(), BTreeSet::new());
    for op in node.change.decode().operations {
        let Key::Map(key) = op.key else { continue };
        if is_object(maps.0.as_ref(), &op.obj) {
            fields.insert(key.to_string());
        } else if is_object(maps.1.as_ref(), &op.obj) && matches!(op.action, OpType::Make(_)) {
            events.insert(key.to_string());
        }
    }
    (
        by,
        fields.into_iter().collect(),
        events.into_iter().collect(),
    )
}

fn is_object(object: Option<&ObjId>, named: &ObjectId) -> bool {
    match (object, named) {
        (Some(ObjId::Id(counter, actor, _)), ObjectId::Id(id)) => {
            *counter == id.counter() && actor == id.actor()
        }
        _ => false,
    }
}

fn read(document: &Document) -> View {
    let doc = &document.automerge;
    let authors = Authors::of(&document.nodes);
    let mut view = View::default();
    let maps = [FIELDS, EVENTS].map(|key| (key, record_map(doc, &document.nodes, key)));
    let mut standing = BTreeMap::new();
    for item in doc.map_range(ROOT, ..) {
        match (item.key.as_ref(), &item.value) {
            (KIND, ValueRef::Scalar(ScalarValueRef::Str(kind))) => {
                view.kind = Some(kind.to_string());
            }
            (BY, ValueRef::Scalar(ScalarValueRef::Str(by))) => view.by = Some(by.to_string()),
            (key @ (FIELDS | EVENTS), ValueRef::Object(ObjType::Map)) if !item.conflict => {
                standing.insert(key.to_owned(), item.id());
            }
            _ => view.unreadable.push(format!("/{}", item.key)),
        }
    }
    let mut events = Vec::new();
    let mut written = BTreeMap::new();
    for (key, map) in maps {
        if standing.get(key) != map.as_ref() {
            view.unreadable.push(format!("/{key}"));
        }
        let Some(map) = map else { continue };
        if key == FIELDS {
            written = read_fields(document, &authors, &map, &mut view);
        } else {
            read_events(document, &authors, &map, &mut events, &mut view.unreadable);
        }
    }
    events.sort_unstable_by_key(|found: &FoundEvent| (found.node, found.counter));
    for beyond in events.drain(MAX_EVENTS.min(events.len())..) {
        view.unreadable
            .push(format!("/{EVENTS}/{}", beyond.view.key));
    }
    let knowing = link(&document.nodes, &mut events, &written);
    for (key, field) in &mut view.fields {
        let knows = written.get(key).and_then(|node| knowing.get(node));
        field.knows = knows.cloned().unwrap_or_default();
    }
    view.events = events.into_iter().map(|found| found.view).collect();
    view.unreadable.sort_unstable();
    view.unreadable.dedup();
    view
}

/// Reads the fields, and gives the places of the changes that wrote their values.
fn read_fields(
    document: &Document,
    authors: &Authors<'_>,
    map: &ObjId,
    view: &mut View,
) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    for item in document.automerge.map_range(map, ..) {
        let mut candidates = Vec::new();
        let mut readable = true;
        let mut last = None;
        let mut add = |value: Option<Scalar>, id: &ObjId| match value.zip(authors.find(id)) {
            Some((value, (place, node))) => {
                last = Some(place);
                candidates.push(Candidate {
                    value,
                    change: node.hash,
                });
            }
            None => readable = false,
        };
        if item.conflict {
            let all = document
                .automerge
                .get_all(map, item.key.as_ref())
                .unwrap_or_default();
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

/// An event and where it stands in the graph.
struct FoundEvent {
    node: usize,
    counter: u64,
    view: EventView,
}

fn read_events(
    document: &Document,
    authors: &Authors<'_>,
    map: &ObjId,
    events: &mut Vec<FoundEvent>,
    unreadable: &mut Vec<String>,
) {
    let doc = &document.automerge;
    for item in doc.map_range(map, ..) {
        let key = item.key.as_ref();
        if item.conflict {
            for (value, id) in doc.get_all(map, key).unwrap_or_default() {
                let found = (value == Value::Object(ObjType::Map))
                    .then(|| read_event(document, authors, key, &id))
                    .flatten();
                match found {
                    Some(event) => events.push(event),
                    None => unreadable.push(format!("/{EVENTS}/{key}")),
                }
            }
        } else {
            let found = (item.value == ValueRef::Object(ObjType::Map))
                .then(|| read_event(document, authors, key, &item.id()))
                .flatten();
            match found {
                Some(event) => events.push(event),
                None => unreadable.push(format!("/{EVENTS}/{key}")),
            }
        }
    }
}

/// The event in the map `id`, or nothing if it is incomplete, or not all of one change.
fn read_event(
    document: &Document,
    authors: &Authors<'_>,
    key: &str,
    id: &ObjId,
) -> Option<FoundEvent> {
    let (index, node) = authors.find(id)?;
    let ObjId::Id(counter, ..) = id else {
        return None;
    };
    let (mut event, mut at_ms, mut by) = (None, None, None);
    let mut data = BTreeMap::new();
    for item in document.automerge.map_range(id, ..) {
        if item.conflict || !written_by(&item, node) {
            return None;
        }
        match (item.key.as_ref(), scalar_of_ref(&item.value)?) {
            (EVENT, Scalar::Str(name)) => event = Some(name),
            (AT, Scalar::Int(ms)) => at_ms = Some(ms),
            (BY, Scalar::Str(account)) => by = Some(account),
            (EVENT | AT | BY, _) => return None,
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
        change: node.hash,
        actor: node.actor,
        preds: Vec::new(),
    };
    Some(FoundEvent {
        node: index,
        counter: *counter,
        view,
    })
}

fn written_by(item: &MapRangeItem<'_>, node: &Node) -> bool {
    match item.id() {
        ObjId::Root => false,
        ObjId::Id(counter, actor, _) => node.wrote(counter, &actor),
    }
}

impl Node {
    fn wrote(&self, counter: u64, actor: &automerge::ActorId) -> bool {
        (self.start_op..=self.max_op).contains(&counter) && actor.to_bytes() == self.actor
    }
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
    let linear = nodes
        .iter()
        .enumerate()
        .skip(1)
        .all(|(index, node)| node.deps.contains(&(index - 1)));
    if linear {
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

/// A set of indices below [`MAX_EVENTS`], one bit each.
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

/// Finds the change an operation belongs to.
struct Authors<'a>(Vec<(usize, &'a Node)>);

impl<'a> Authors<'a> {
    fn of(nodes: &'a [Node]) -> Self {
        let mut sorted: Vec<_> = nodes.iter().enumerate().collect();
        sorted.sort_unstable_by_key(|(_, node)| (node.actor, node.start_op));
        Self(sorted)
    }

    fn find(&self, operation: &ObjId) -> Option<(usize, &'a Node)> {
        let ObjId::Id(counter, actor, _) = operation else {
            return None;
        };
        let bytes = actor.to_bytes();
        let past = self.0.partition_point(|(_, node)| {
            (node.actor.as_slice(), node.start_op) <= (bytes, *counter)
        });
        let found = self.0.get(past.checked_sub(1)?)?;
        found.1.wrote(*counter, actor).then_some(*found)
    }
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
