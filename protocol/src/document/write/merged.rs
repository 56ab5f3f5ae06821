//! An edit as Automerge writes it, upon a document that holds all that is known: where somebody disputes something, and
//! wherever the document has been made already.

use std::collections::BTreeSet;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{
    Automerge, AutomergeError, Change, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, Value,
};

use super::super::gate::event_prefix;
use super::super::view::{Settled, settled};
use super::super::{AT, ActorId, BY, EVENT, EVENTS, Edit, EditError, FIELDS, KIND, Scalar};

/// Writes and commits the edit with the document's present actor, who has put `known` events into the record.
pub(in super::super) fn write(
    automerge: &mut Automerge,
    actor: &ActorId,
    known: usize,
    (edit, anew): (&Edit, &BTreeSet<String>),
) -> Result<Change, EditError> {
    let is_new = automerge.get_heads().is_empty();
    let mut tx = automerge.transaction();
    let (fields, events) = if is_new {
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
        let map = |key| match tx.get(ROOT, key) {
            Ok(Some((Value::Object(ObjType::Map), id))) => Ok(id),
            _ => Err(EditError::Failed("a record without its maps".to_owned())),
        };
        (map(FIELDS)?, map(EVENTS)?)
    };
    for (key, value) in &edit.fields {
        match value {
            // There is nothing yet.
            Some(value) if is_new => tx.put(&fields, key.as_str(), value)?,
            None if is_new => {}
            Some(value) if settled(&tx, &fields, key)? == Settled::One(value.clone()) => {
                // It was so before an event said otherwise: said anew, it comes after that event.
                if anew.contains(key) || carried(&tx, &events, key)? {
                    tx.delete(&fields, key.as_str())?;
                    tx.put(&fields, key.as_str(), value)?;
                }
            }
            Some(value) => put(&mut tx, &fields, key, value)?,
            None if settled(&tx, &fields, key)? == Settled::Absent => {}
            None => tx.delete(&fields, key.as_str())?,
        }
    }
    for (number, event) in (known..).zip(&edit.events) {
        let key = format!("{}-{number}", event_prefix(actor));
        let map = tx.put_object(&events, key, ObjType::Map)?;
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
