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
//!         events: map    actor in base 32, -, number -> map { event: str, at: int (ms), by: str, data keys: as in fields }
//! ```
//!
//! Invariants:
//! - What of a record's changes counts is decided in one place, the `gate`, and only that reaches Automerge.
//! - The maps `fields` and `events` are made by a record's first change and by no other. Two
//!   devices that each put an object at one key hide one of the two, with all that is in it.
//! - Values are scalars, never Text objects: a concurrent edit is then a visible conflict, not a
//!   blend of two sentences, and a document costs a third.
//! - An event is written once, whole, by one change, under a key that begins with its writer's actor.
//! - Foreign bytes come in through [`GuardedChange`] only. Reading is total.
//! - Automerge is the judge of what stands where two people wrote one key without knowing of each other, and it encodes every
//!   edit. What nobody disputes is read, and written on, from the operations that the gate has decoded; what both ways show and
//!   write is the same.
//! - No clock, no randomness: time stamps are 0, and actors are given by the caller.
//!
//! Calls into Automerge that foreign content can bring to panic run under `catch_unwind`; the
//! process's panic hook still sees such a panic.
//!
//! Rejected: keeping documents between saves. One costs 20 to 32 KB, and building it anew some ten
//! microseconds per change. To let Automerge read every record: most are one person's saves in a row, and it took six
//! times as long to show them.

mod columns;
mod gate;
mod guard;
mod ops;
#[cfg(test)]
mod tests;
mod view;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use automerge::{Automerge, AutomergeError, Change, ScalarValue};
use thiserror::Error;

use gate::Graph;
pub use gate::{Fate, Offered, Refusal, event_prefix};
pub use guard::{
    DEFAULT_CHANGE_BYTES, GuardError, GuardedChange, HARD_CHANGE_BYTES, Limits, MAX_DEPS,
    MAX_KEY_BYTES, MAX_OPS, digest_of_change,
};
use ops::{Object, Op};
use view::undisputed;
pub use view::{Candidate, EventView, Field, FieldChange, HistoryEntry, View, retold};

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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
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
    /// The log that the actor belongs to can write no more in this record: something that it wrote here does not
    /// count, or it has written as much as one log may ([`RECORD_CHANGES_MAX`](crate::limits::RECORD_CHANGES_MAX) and its like). Begin a new log
    /// and write under its actor.
    #[error("this log can write no more in this record")]
    LogClosed,
    /// The first change of a record must say its kind.
    #[error("the first change of a record must name its kind")]
    KindMissing,
    /// The record is of another kind already.
    #[error("the kind of a record cannot be changed")]
    KindFixed,
    /// A key is empty, or the key of a datum is one of those every event has.
    #[error("the key {0:?} cannot be used")]
    BadKey(String),
    /// Automerge refused or panicked, or wrote what would not count. Worth a report with the record's changes.
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

/// What became of a set of changes.
#[derive(Debug)]
pub struct Built {
    /// Everything that counts.
    pub document: Document,
    /// What became of each change, in the order in which they were given.
    pub fates: Vec<Fate>,
    /// Automerge, asked to merge them, refused changes that the gate had let in: a defect of this software. They are treated as waiting, with
    /// all that builds on them, so that a mended version shows them.
    pub defect: bool,
}

/// What becomes of the changes of one record, in their order, without a document.
#[must_use]
pub fn decide(mut offered: Vec<Offered>) -> Vec<Fate> {
    gate::decide(&mut offered).1
}

/// One record's document.
#[derive(Clone, Debug)]
pub struct Document {
    /// Automerge's own, of all that counts, once something has needed it.
    automerge: OnceLock<Automerge>,
    graph: Graph,
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
        Self::of(Graph::default())
    }

    const fn of(graph: Graph) -> Self {
        Self {
            automerge: OnceLock::new(),
            graph,
        }
    }

    /// Builds the document of one record from its changes in any order: what counts is decided by the gate, and Automerge
    /// merges what is disputed.
    #[must_use]
    pub fn build(mut offered: Vec<Offered>) -> Built {
        let hashes: Vec<Option<ChangeHash>> = offered
            .iter()
            .map(|it| it.change.as_ref().ok().map(GuardedChange::hash))
            .collect();
        let (graph, mut fates) = gate::decide(&mut offered);
        let document = Self::of(graph);
        if undisputed(&document.graph).is_some() || document.merge() {
            let defect = false;
            return Built {
                document,
                fates,
                defect,
            };
        }
        let document = Self::without_defects(document.graph);
        for (fate, hash) in fates.iter_mut().zip(hashes) {
            let kept = hash.is_some_and(|hash| document.graph.has(&hash));
            if *fate == Fate::Counts && !kept {
                *fate = Fate::Waits {
                    missing: Vec::new(),
                };
            }
        }
        Built {
            document,
            fates,
            defect: true,
        }
    }

    /// The slow way, after Automerge refused what the gate let in: each change is tried on what was taken before it, and
    /// what builds on one that is refused is left out with it.
    fn without_defects(graph: Graph) -> Self {
        let mut document = Self::new();
        let mut taken: Vec<Change> = Vec::new();
        for node in graph.nodes {
            let Some(next) = node.change.decoded() else {
                continue;
            };
            let tried = applied(taken.iter().cloned().chain([next.clone()]));
            let Some(automerge) = tried else { continue };
            if document.graph.extend(node.change).is_ok() {
                document.automerge = OnceLock::from(automerge);
                taken.push(next);
            }
        }
        document
    }

    /// Has Automerge merge all that counts, if nothing has needed that before. From then on it is what [`view`](Self::view)
    /// reads. Says whether it could: where not, this software has a defect.
    pub fn merge(&self) -> bool {
        self.automerge().is_some()
    }

    fn automerge(&self) -> Option<&Automerge> {
        if self.automerge.get().is_none() {
            let nodes = self.graph.nodes.iter();
            let changes: Option<Vec<Change>> = nodes.map(|node| node.change.decoded()).collect();
            let made = applied(changes?.into_iter())?;
            return Some(self.automerge.get_or_init(|| made));
        }
        self.automerge.get()
    }

    /// Whether an edit under this actor can count: all that its log wrote here does, and there is room for a save of
    /// a usual size. If not, begin a new log.
    #[must_use]
    pub fn is_open(&self, actor: &ActorId) -> bool {
        self.graph.is_open(actor)
    }

    /// The change that founded the record.
    #[must_use]
    pub fn founder(&self) -> Option<ChangeHash> {
        self.graph.nodes.first().map(|node| node.change.hash())
    }

    /// The account that its founding change names.
    #[must_use]
    pub fn founded_by(&self) -> Option<String> {
        let mut ops = self.graph.nodes.first()?.change.ops.iter().flatten();
        let names = |op: &&Op| (op.object, op.key.as_str()) == (Object::Root, BY);
        match ops.find(names)?.value()? {
            Scalar::Str(account) => Some(account.clone()),
            Scalar::Int(_) | Scalar::Bool(_) | Scalar::Part(_) => None,
        }
    }

    /// Whether nothing of it counts yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.nodes.is_empty()
    }

    /// Writes `edit` as one change of `actor` on top of all that the document holds.
    ///
    /// A field that has its value already is not written again, unless it is in conflict: then
    /// setting it, even to one of its values, settles the conflict; or an event carries a value for
    /// it: then the field is said again, after that event. The change is applied to this
    /// document; on an error the document stays as it was. What is written passes the gate as any other change does,
    /// so that it counts at once.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn edit(&mut self, actor: &ActorId, edit: &Edit) -> Result<RawChange, EditError> {
        self.edit_anew(actor, edit, &BTreeSet::new())
    }

    /// Writes `edit`, and says these fields anew also where they have their value already: who chooses between a value and its
    /// being cleared says so, although the value is all that is to be seen.
    ///
    /// # Errors
    /// See [`EditError`].
    pub fn edit_anew(
        &mut self,
        actor: &ActorId,
        edit: &Edit,
        anew: &BTreeSet<String>,
    ) -> Result<RawChange, EditError> {
        if !self.graph.is_open(actor) {
            return Err(EditError::LogClosed);
        }
        let fields = edit.fields.values().flatten();
        let data = edit.events.iter().flat_map(|event| event.data.values());
        let least: usize = fields.chain(data).map(least_bytes).sum();
        if least > DEFAULT_CHANGE_BYTES {
            return Err(EditError::TooLarge { bytes: least });
        }
        check_keys(edit)?;
        let is_merged = self.automerge.get().is_some();
        let plain = (!is_merged).then(|| write::plain(&self.graph, actor, (edit, anew)));
        let (automerge, change) = match plain.transpose()?.flatten() {
            Some(change) => (OnceLock::new(), change),
            None => {
                let (automerge, change) = self.upon_all(actor, (edit, anew))?;
                (OnceLock::from(automerge), change)
            }
        };
        let bytes = change.raw_bytes().to_vec();
        if bytes.len() > DEFAULT_CHANGE_BYTES {
            return Err(EditError::TooLarge { bytes: bytes.len() });
        }
        let hash = change.hash().0;
        let guarded = GuardedChange::open(&bytes, &hash, actor, &Limits::default());
        let guarded = guarded.map_err(|error| EditError::Failed(error.to_string()))?;
        match self.graph.extend(guarded) {
            Ok(()) => {}
            Err(Refusal::Full) => return Err(EditError::LogClosed),
            Err(refusal) => return Err(EditError::Failed(refusal.to_string())),
        }
        self.automerge = automerge;
        Ok(RawChange { bytes, hash })
    }

    /// Has Automerge write an edit upon all that there is: its document, which is taken out of this one, and the change.
    fn upon_all(
        &mut self,
        actor: &ActorId,
        edit: (&Edit, &BTreeSet<String>),
    ) -> Result<(Automerge, Change), EditError> {
        if !self.merge() {
            return Err(EditError::Failed("the changes before it".to_owned()));
        }
        // A commit cannot be taken back, and a panic may leave any state behind: what is left of it then is made anew.
        let taken = self.automerge.take().unwrap_or_else(blank);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.merged(taken, actor, edit)));
        outcome.unwrap_or_else(|_| Err(EditError::Failed("unexpectedly".to_owned())))
    }

    /// Automerge's document with an edit upon all that it holds, and the change that this makes.
    fn merged(
        &self,
        mut whole: Automerge,
        actor: &ActorId,
        edit: (&Edit, &BTreeSet<String>),
    ) -> Result<(Automerge, Change), EditError> {
        let known = self.graph.events_of(actor);
        let Some(changes) = self.graph.crowded(actor) else {
            whole.set_actor(actor.as_slice().into());
            let change = write::merged(&mut whole, actor, known, edit)?;
            return Ok((whole, change));
        };
        // On as many as one change can name; what else there is stands beside it.
        let part = applied(changes.into_iter());
        let mut part = part.ok_or_else(|| EditError::Failed("a part of the record".to_owned()))?;
        part.set_actor(actor.as_slice().into());
        let change = write::merged(&mut part, actor, known, edit)?;
        whole.apply_changes([change.clone()])?;
        Ok((whole, change))
    }

    /// Hashes of the changes that no other change depends on, sorted.
    #[must_use]
    pub fn heads(&self) -> Vec<ChangeHash> {
        let heads = self.graph.heads();
        let heads = heads.iter().filter_map(|at| self.graph.nodes.get(*at));
        let mut heads: Vec<_> = heads.map(|node| node.change.hash()).collect();
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
            let bytes = self.automerge()?.save();
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

/// Applies changes in one call to a new document; `None` if Automerge refuses or panics.
fn applied(changes: impl Iterator<Item = Change> + Clone) -> Option<Automerge> {
    // The document is dropped when its construction panics.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let mut automerge = blank();
        automerge.apply_changes(changes).ok()?;
        Some(automerge)
    }));
    made.ok().flatten()
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
    let data_keys = || edit.events.iter().flat_map(|event| event.data.keys());
    let is_taken = |key: &&String| [EVENT, AT, BY].contains(&key.as_str());
    if let Some(taken) = data_keys().find(is_taken) {
        return Err(EditError::BadKey(taken.clone()));
    }
    if edit.fields.keys().chain(data_keys()).any(String::is_empty) {
        return Err(EditError::BadKey(String::new()));
    }
    Ok(())
}

impl From<AutomergeError> for EditError {
    fn from(error: AutomergeError) -> Self {
        Self::Failed(error.to_string())
    }
}
