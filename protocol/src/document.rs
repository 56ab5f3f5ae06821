//! A record's document: the one place that knows Automerge.
//!
//! Owns the shape of a record inside Automerge, how changes become a document
//! ([`Document::build`]), how a save becomes a change ([`Document::edit`]) and how a document is
//! read ([`Document::view`], [`Document::history`]). Must not know record kinds, fields or
//! workflows by name, nor entries, logs, grants or parts; these callers see changes as bytes and
//! documents as [`View`]s.
//!
//! ```text
//! ROOT    kind: str      set by the first change
//!         by:   str      account of the writer; written only when it changes
//!         fields: map    flat keys -> str | int | bool | 16 bytes (reference to an erasable part)
//!         events: map    key -> map { event: str, at: int (ms), by: str, data keys: as in fields }
//! ```
//!
//! Invariants:
//! - The maps `fields` and `events` are made by a record's first change and by no other. Two
//!   devices that each put an object at one key hide one of the two, with all that is in it. A
//!   later change that removes or replaces a map is reported and has no effect.
//! - Values are scalars, never Text objects: a concurrent edit is then a visible conflict, not a
//!   blend of two sentences, and a document costs a third.
//! - An event is written once, by one change. What another change writes into it afterwards is not
//!   believed.
//! - Foreign bytes come in through [`GuardedChange`] only. Reading is total: a document may hold
//!   anything that Automerge allows, and what does not fit is listed, not hidden.
//! - No clock, no randomness: time stamps are 0, and actors are given by the caller.
//!
//! Calls into Automerge that foreign content can bring to panic run under `catch_unwind`; the
//! process's panic hook still sees such a panic.
//!
//! Rejected: keeping documents between saves. One costs 20 to 32 KB, and building it anew some ten
//! microseconds per change.

mod build;
mod guard;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{
    Automerge, AutomergeError, Change, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value,
};
use thiserror::Error;

use crate::limits;
pub use build::{Built, RejectReason, Rejected, Waiting};
pub use guard::{
    DEFAULT_CHANGE_BYTES, GuardError, GuardedChange, HARD_CHANGE_BYTES, Limits, MAX_DEPS,
    MAX_KEY_BYTES, MAX_OPS, digest_of_change,
};
pub use view::{Candidate, EventView, Field, HistoryEntry, MAX_EVENTS, View};
use view::{Settled, record_map, settled};

/// Digest of a change: Automerge's SHA-256 change hash.
pub type ChangeHash = [u8; 32];

/// Automerge actor of every change in one log: cut from the log's identity, so no two logs share
/// one.
pub type ActorId = [u8; 16];

const KIND: &str = "kind";
const BY: &str = "by";
const FIELDS: &str = "fields";
const EVENTS: &str = "events";
const EVENT: &str = "event";
const AT: &str = "at";

/// Value of a field, or of a datum of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// Text that may stay for ever: codes, numbers of cases, anything that is no personal data.
    Str(String),
    /// A number, a date as days or a time as milliseconds.
    Int(i64),
    /// Yes or no.
    Bool(bool),
    /// Reference to an erasable part beside the document: the first 16 bytes of its digest.
    Part([u8; 16]),
}

impl From<&Scalar> for ScalarValue {
    fn from(value: &Scalar) -> Self {
        match value {
            Scalar::Str(text) => Self::Str(text.as_str().into()),
            Scalar::Int(number) => Self::Int(*number),
            Scalar::Bool(yes) => Self::Boolean(*yes),
            Scalar::Part(reference) => Self::Bytes(reference.to_vec()),
        }
    }
}

/// What one save does to a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Kind of the record; given in its first change, and never changed after.
    pub kind: Option<String>,
    /// Account of the person who saves.
    pub by: String,
    /// Fields to set, or to clear where the value is `None`.
    pub fields: BTreeMap<String, Option<Scalar>>,
    /// Events to add, in the order in which they count.
    pub events: Vec<NewEvent>,
}

/// An event to be added to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// Identity within the record; chosen by the caller so that no other device can choose the
    /// same.
    pub key: String,
    /// What happened, a name from the catalogue.
    pub event: String,
    /// When, by the clock of the device that says so: milliseconds since 1970.
    pub at_ms: i64,
    /// Anything else about it. The keys `event`, `at` and `by` are taken.
    pub data: BTreeMap<String, Scalar>,
}

/// A change as it is stored and sent: one uncompressed chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawChange {
    /// The chunk.
    pub bytes: Vec<u8>,
    /// Its digest, see [`digest_of_change`].
    pub hash: ChangeHash,
}

/// Why an edit wrote nothing. The document is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EditError {
    /// Every field has its value already, without a conflict, and there is no event to add.
    #[error("the edit changes nothing")]
    NothingToDo,
    /// The change would exceed [`DEFAULT_CHANGE_BYTES`]; save it in pieces or put texts into a
    /// part.
    #[error("the change would be {bytes} bytes long")]
    TooLarge {
        /// Its length, or a lower bound of it.
        bytes: usize,
    },
    /// The record has as many changes, operations or bytes of them as one may have
    /// ([`limits::RECORD_CHANGES_MAX`], [`limits::RECORD_OPS_MAX`], [`limits::RECORD_BYTES_MAX`]).
    #[error("the record is full")]
    RecordFull,
    /// More than [`MAX_DEPS`] changes stand side by side, so that many devices wrote while apart. No
    /// other device would accept a change on top of them; one of those devices has to save first.
    #[error("too many devices have written side by side")]
    TooManyHeads,
    /// The first change of a record must say its kind.
    #[error("the first change of a record must name its kind")]
    KindMissing,
    /// The record is of another kind already.
    #[error("the kind of a record cannot be changed")]
    KindFixed,
    /// The record has an event with this key, or the edit has two. An event is never overwritten.
    #[error("there is an event with the key {0:?} already")]
    EventExists(String),
    /// A key is empty, or the key of a datum is one of those every event has.
    #[error("the key {0:?} cannot be used")]
    BadKey(String),
    /// The record lacks one of its two maps: its first change was not written by this software.
    #[error("the record has no map {0:?}")]
    BadShape(&'static str),
    /// Automerge refused or panicked. Worth a report with the record's changes.
    #[error("writing the change failed: {0}")]
    Failed(String),
}

/// Why a document could not be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SaveError {
    /// A change of the record is encoded in a way that Automerge does not reproduce. Only a
    /// manipulated change is; the document reads and syncs all the same.
    #[error("the record holds a change that cannot be exported")]
    NotReproducible,
}

/// One record's document.
#[derive(Clone, Debug)]
pub struct Document {
    automerge: Automerge,
    /// The applied changes in causal order; where that leaves a choice, the smaller hash first.
    nodes: Vec<Node>,
}

/// An applied change and its place in the graph.
#[derive(Clone, Debug)]
struct Node {
    /// As it was received. Automerge forgets it and would have to write it anew, which fails for
    /// changes that were manipulated.
    change: Change,
    hash: ChangeHash,
    actor: ActorId,
    /// Counters of its operations, from `start_op` to `max_op`; none where `max_op` is smaller.
    start_op: u64,
    max_op: u64,
    /// Indices of its dependencies in [`Document::nodes`], all smaller than its own.
    deps: Vec<usize>,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// A document without changes, ready for a record's first [`edit`](Self::edit).
    #[must_use]
    pub fn new() -> Self {
        Self {
            automerge: blank(),
            nodes: Vec::new(),
        }
    }

    /// Whether it surely takes one more change, however large. Without room a short one may still fit.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let (bytes, ops) = self.held();
        self.nodes.len() < limits::RECORD_CHANGES_MAX
            && bytes + DEFAULT_CHANGE_BYTES <= limits::RECORD_BYTES_MAX
            && ops + limits::CHANGE_OPS_MAX as u64 <= limits::RECORD_OPS_MAX
    }

    /// Bytes and operations of its changes.
    fn held(&self) -> (usize, u64) {
        let sizes = self.nodes.iter().map(|node| &node.change);
        sizes.fold((0, 0), |(bytes, ops), change| {
            (bytes + change.raw_bytes().len(), ops + change.len() as u64)
        })
    }

    /// Writes `edit` as one change of `actor` on top of all that the document holds.
    ///
    /// A field that has its value already is not written again, unless it is in conflict: then
    /// setting it, even to one of its values, settles the conflict; or an event carries a value for
    /// it: then the field is said again, after that event. The change is applied to this
    /// document; on an error the document stays as it was. Do not call while changes of the same
    /// actor are waiting or not loaded: the sequence number would be given twice.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn edit(&mut self, actor: &ActorId, edit: &Edit) -> Result<RawChange, EditError> {
        if self.nodes.len() >= limits::RECORD_CHANGES_MAX {
            return Err(EditError::RecordFull);
        }
        let least: usize = edit
            .fields
            .values()
            .flatten()
            .map(least_bytes)
            .sum::<usize>()
            + edit
                .events
                .iter()
                .flat_map(|event| event.data.values())
                .map(least_bytes)
                .sum::<usize>();
        if least > DEFAULT_CHANGE_BYTES {
            return Err(EditError::TooLarge { bytes: least });
        }
        check_keys(edit)?;
        // A commit cannot be taken back, and a panic may leave any state behind: work on a copy.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut copy = self.automerge.clone();
            copy.set_actor(actor.as_slice().into());
            let raw = write(&mut copy, &self.nodes, edit)?;
            Ok((copy, raw))
        }));
        let (automerge, change) =
            outcome.unwrap_or_else(|_| Err(EditError::Failed("unexpectedly".to_owned())))?;
        let bytes = change.raw_bytes().to_vec();
        if bytes.len() > DEFAULT_CHANGE_BYTES {
            return Err(EditError::TooLarge { bytes: bytes.len() });
        }
        let (held_bytes, held_ops) = self.held();
        if held_bytes + bytes.len() > limits::RECORD_BYTES_MAX
            || held_ops + change.len() as u64 > limits::RECORD_OPS_MAX
        {
            return Err(EditError::RecordFull);
        }
        if change.deps().len() > MAX_DEPS {
            return Err(EditError::TooManyHeads);
        }
        let hash = change.hash().0;
        let deps = change.deps().iter();
        let node = Node {
            hash,
            actor: *actor,
            start_op: change.start_op().get(),
            max_op: change.max_op(),
            deps: deps
                .filter_map(|dep| self.nodes.iter().position(|node| node.hash == dep.0))
                .collect(),
            change,
        };
        self.nodes.push(node);
        self.automerge = automerge;
        Ok(RawChange { bytes, hash })
    }

    /// Hashes of the changes that no other change depends on, sorted.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let inner: BTreeSet<usize> = self
            .nodes
            .iter()
            .flat_map(|node| node.deps.iter().copied())
            .collect();
        let heads = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| !inner.contains(index));
        let mut heads: Vec<_> = heads.map(|(_, node)| node.hash).collect();
        heads.sort_unstable();
        heads
    }

    /// The document in Automerge's own format, for export to other software. It is read back and
    /// compared before it is handed out.
    ///
    /// # Errors
    /// [`SaveError::NotReproducible`] if what was written does not read back as the same changes.
    pub fn save(&self) -> Result<Vec<u8>, SaveError> {
        let saved = catch_unwind(AssertUnwindSafe(|| {
            let bytes = self.automerge.save();
            let mut read_back: Vec<ChangeHash> = Automerge::load(&bytes)
                .ok()?
                .get_heads()
                .iter()
                .map(|head| head.0)
                .collect();
            read_back.sort_unstable();
            (read_back == self.heads()).then_some(bytes)
        }));
        saved.ok().flatten().ok_or(SaveError::NotReproducible)
    }
}

/// An empty Automerge document. It draws a random actor for itself, which is replaced here and
/// never used.
fn blank() -> Automerge {
    Automerge::new().with_actor([0; 16].into())
}

/// What a value takes at the least in a change.
fn least_bytes(value: &Scalar) -> usize {
    match value {
        Scalar::Str(text) => text.len(),
        Scalar::Int(_) | Scalar::Bool(_) => 0,
        Scalar::Part(reference) => reference.len(),
    }
}

fn check_keys(edit: &Edit) -> Result<(), EditError> {
    let mut keys = BTreeSet::new();
    for event in &edit.events {
        if !keys.insert(&event.key) {
            return Err(EditError::EventExists(event.key.clone()));
        }
        if let Some(taken) = [EVENT, AT, BY]
            .into_iter()
            .find(|key| event.data.contains_key(*key))
        {
            return Err(EditError::BadKey(taken.to_owned()));
        }
    }
    let data_keys = edit.events.iter().flat_map(|event| event.data.keys());
    if keys
        .into_iter()
        .chain(edit.fields.keys())
        .chain(data_keys)
        .any(String::is_empty)
    {
        return Err(EditError::BadKey(String::new()));
    }
    Ok(())
}

/// Writes and commits the edit with the document's present actor.
fn write(automerge: &mut Automerge, nodes: &[Node], edit: &Edit) -> Result<Change, EditError> {
    let mut tx = automerge.transaction();
    let (fields, events) = if nodes.is_empty() {
        let kind = edit.kind.as_deref().ok_or(EditError::KindMissing)?;
        tx.put(ROOT, KIND, text(kind))?;
        (
            tx.put_object(ROOT, FIELDS, ObjType::Map)?,
            tx.put_object(ROOT, EVENTS, ObjType::Map)?,
        )
    } else {
        if let Some(kind) = &edit.kind
            && settled(&tx, &ROOT, KIND)? != Settled::One(Scalar::Str(kind.clone()))
        {
            return Err(EditError::KindFixed);
        }
        let map = |key| record_map(&tx, nodes, key).ok_or(EditError::BadShape(key));
        (map(FIELDS)?, map(EVENTS)?)
    };
    for (key, value) in &edit.fields {
        match value {
            Some(value) if settled(&tx, &fields, key)? == Settled::One(value.clone()) => {
                // It was so before an event said otherwise: said anew, it comes after that event.
                if carried(&tx, &events, key)? {
                    tx.delete(&fields, key.as_str())?;
                    tx.put(&fields, key.as_str(), value)?;
                }
            }
            Some(value) => put(&mut tx, &fields, key, value)?,
            None if settled(&tx, &fields, key)? == Settled::Absent => {}
            None => tx.delete(&fields, key.as_str())?,
        }
    }
    for event in &edit.events {
        if settled(&tx, &events, &event.key)? != Settled::Absent {
            return Err(EditError::EventExists(event.key.clone()));
        }
        let map = tx.put_object(&events, event.key.as_str(), ObjType::Map)?;
        tx.put(&map, EVENT, text(&event.event))?;
        tx.put(&map, AT, event.at_ms)?;
        tx.put(&map, BY, text(&edit.by))?;
        for (key, value) in &event.data {
            tx.put(&map, key.as_str(), value)?;
        }
    }
    if tx.pending_ops() == 0 {
        return Err(EditError::NothingToDo);
    }
    put(&mut tx, &ROOT, BY, &Scalar::Str(edit.by.clone()))?;
    let (hash, _) = tx.commit_with(CommitOptions::default());
    let change = hash.and_then(|hash| automerge.get_change_by_hash(&hash));
    change.ok_or_else(|| EditError::Failed("the change was not kept".to_owned()))
}

/// Whether an event carries a datum under this key.
fn carried(doc: &impl ReadDoc, events: &ObjId, key: &str) -> Result<bool, AutomergeError> {
    for event in doc.keys(events) {
        if let Some((Value::Object(ObjType::Map), id)) = doc.get(events, event.as_str())?
            && doc.get(&id, key)?.is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sets a key unless it has the value already, undisputed.
fn put(
    tx: &mut impl Transactable,
    map: &ObjId,
    key: &str,
    value: &Scalar,
) -> Result<(), AutomergeError> {
    match settled(tx, map, key)? {
        Settled::One(old) if old == *value => return Ok(()),
        // Choosing the value that is shown would only delete the others in Automerge. Two devices
        // that chose differently would then see one choice vanish, instead of a conflict between
        // the two.
        Settled::Open => tx.delete(map, key)?,
        Settled::Absent | Settled::One(_) => {}
    }
    tx.put(map, key, value)
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Str(value.into())
}

impl From<AutomergeError> for EditError {
    fn from(error: AutomergeError) -> Self {
        Self::Failed(error.to_string())
    }
}
