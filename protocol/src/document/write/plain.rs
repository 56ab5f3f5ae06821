//! An edit upon changes of which none disputes another, without a document: a founding change and nearly every one after it,
//! in a small part of the time that making the document takes.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::legacy::{Key, ObjectId, Op, OpType};
use automerge::{Change, ExpandedChange, ObjType, ScalarValue};

use super::super::gate::{Graph, event_prefix};
use super::super::ops::OpId;
use super::super::view::{Undisputed, undisputed};
use super::super::{AT, ActorId, BY, EVENT, EVENTS, Edit, EditError, FIELDS, KIND, Scalar};
use crate::limits;

/// The change that an edit makes; `None` where something is disputed or more stands side by side than one change can name.
pub(in super::super) fn write(
    graph: &Graph,
    actor: &ActorId,
    (edit, anew): (&Edit, &BTreeSet<String>),
) -> Result<Option<Change>, EditError> {
    let heads = graph.heads();
    if heads.len() >= limits::CHANGE_DEPS_MAX {
        return Ok(None);
    }
    let Some(standing) = undisputed(graph) else {
        return Ok(None);
    };
    let highest = graph.nodes.iter().map(|node| node.change.max_op()).max();
    let start_op = highest.unwrap_or(0) + 1;
    let mut laid = Laid {
        actor,
        start_op,
        ops: Vec::new(),
    };
    laid.all(graph, &standing, (edit, anew))?;
    let hash = |at: &usize| Some(automerge::ChangeHash(graph.nodes.get(*at)?.change.hash()));
    let mut deps: Vec<_> = heads.iter().filter_map(hash).collect();
    deps.sort_unstable();
    // A log's change builds directly on the one before.
    let last = graph.last_of(actor);
    let own = last.filter(|at| !heads.contains(at));
    deps.extend(own.as_ref().and_then(hash));
    let before = last.and_then(|at| graph.nodes.get(at));
    let change = ExpandedChange {
        operations: laid.ops,
        actor_id: actor.as_slice().into(),
        hash: None,
        seq: before.map_or(0, |node| node.change.seq()) + 1,
        start_op: NonZeroU64::new(start_op).unwrap_or(NonZeroU64::MIN),
        time: 0,
        message: None,
        deps,
        extra_bytes: Vec::new(),
        author: None,
    };
    let encoded = catch_unwind(AssertUnwindSafe(|| Change::from(change)));
    let refused = |_| EditError::Failed("the encoder".to_owned());
    Ok(Some(encoded.map_err(refused)?))
}

/// The operations so far.
struct Laid<'a> {
    actor: &'a ActorId,
    start_op: u64,
    ops: Vec<Op>,
}

impl Laid<'_> {
    /// Lays an operation out, and says which it is.
    fn push(
        &mut self,
        obj: &ObjectId,
        key: &str,
        action: OpType,
        replaced: Option<OpId>,
    ) -> ObjectId {
        let id = self.start_op + self.ops.len() as u64;
        self.ops.push(Op {
            action,
            obj: obj.clone(),
            key: Key::from(key),
            pred: replaced.iter().map(named).collect::<Vec<_>>().into(),
            insert: false,
        });
        ObjectId::Id(named(&OpId {
            counter: id,
            actor: *self.actor,
        }))
    }

    fn put(&mut self, obj: &ObjectId, key: &str, value: impl Into<ScalarValue>, was: Option<OpId>) {
        self.push(obj, key, OpType::Put(value.into()), was);
    }

    fn all(
        &mut self,
        graph: &Graph,
        standing: &Undisputed<'_>,
        (edit, anew): (&Edit, &BTreeSet<String>),
    ) -> Result<(), EditError> {
        let (fields, events) = match graph.maps() {
            Some((fields, events)) => {
                if edit.kind.is_some() && edit.kind.as_deref() != graph.kind() {
                    return Err(EditError::KindFixed);
                }
                (
                    ObjectId::from(named(&fields)),
                    ObjectId::from(named(&events)),
                )
            }
            None => {
                let kind = edit.kind.as_deref().ok_or(EditError::KindMissing)?;
                self.put(&ObjectId::Root, KIND, kind, None);
                let mut map =
                    |key| self.push(&ObjectId::Root, key, OpType::Make(ObjType::Map), None);
                (map(FIELDS), map(EVENTS))
            }
        };
        for (key, value) in &edit.fields {
            let was = standing.fields.get(key.as_str());
            let id = was.map(|was| was.id);
            match (value, was) {
                (Some(value), Some(was)) if *value == *was.value => {
                    // It was so before an event said otherwise: said anew, it comes after that event.
                    if anew.contains(key) || graph.is_carried(key) {
                        self.push(&fields, key, OpType::Delete, id);
                        self.put(&fields, key, value, None);
                    }
                }
                (Some(value), _) => self.put(&fields, key, value, id),
                (None, Some(_)) => {
                    self.push(&fields, key, OpType::Delete, id);
                }
                (None, None) => {}
            }
        }
        let known = graph.events_of(self.actor);
        for (number, event) in (known..).zip(&edit.events) {
            let key = format!("{}-{number}", event_prefix(self.actor));
            let map = self.push(&events, &key, OpType::Make(ObjType::Map), None);
            self.put(&map, EVENT, event.event.as_str(), None);
            self.put(&map, AT, event.at_ms, None);
            self.put(&map, BY, edit.by.as_str(), None);
            for (key, value) in &event.data {
                self.put(&map, key, value, None);
            }
        }
        if self.ops.is_empty() {
            return Err(EditError::NothingToDo);
        }
        let was = standing.by.get(BY);
        if was.is_none_or(|was| *was.value != Scalar::Str(edit.by.clone())) {
            let by = edit.by.as_str();
            self.put(&ObjectId::Root, BY, by, was.map(|was| was.id));
        }
        Ok(())
    }
}

fn named(id: &OpId) -> automerge::legacy::OpId {
    automerge::legacy::OpId::new(id.counter, &id.actor.as_slice().into())
}
