//! The operations of one change, read from its columns: what the gate decides about and history tells.
//!
//! Owns the meaning of a row. Must not know which maps a record has nor what other changes wrote: that is
//! [`gate`](super::gate). Only the closed shape can be read: maps made, scalars put and keys deleted in maps.
//! Lists, texts, marks, counters, time stamps, numbers of other kinds are refused by name.
//!
//! Rejected: Automerge's own `decode`. It allocates an actor for every operation and predecessor, and what it
//! makes of a row that has no place in the model would still have to be found out.

use std::collections::BTreeSet;

use super::columns::{Columns, MAX_COUNTER, Reader, Run, runs};
use super::guard::GuardError;
use super::{ActorId, Scalar};

/// An operation's identity: its number and who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OpId {
    pub(super) counter: u64,
    pub(super) actor: ActorId,
}

/// The map that an operation writes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Root,
    Made(OpId),
}

/// What an operation does at its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    MakeMap,
    Put(Scalar),
    Delete,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) object: Object,
    pub(super) key: String,
    pub(super) action: Action,
    /// The operations that it takes the place of.
    pub(super) preds: Vec<OpId>,
}

impl Op {
    /// The value that it puts.
    pub(super) const fn value(&self) -> Option<&Scalar> {
        match &self.action {
            Action::Put(value) => Some(value),
            Action::MakeMap | Action::Delete => None,
        }
    }
}

/// Why operations are not of the closed shape.
pub(super) type Misshapen = &'static str;

const DAMAGED: Misshapen = "columns that end too early";

/// Reads `count` operations from columns whose rows have been counted. `actors` are those that the change
/// lists, its own first.
pub(super) fn read(
    columns: &Columns<'_>,
    actors: &[ActorId],
    count: u64,
) -> Result<Vec<Op>, Misshapen> {
    let count = usize::try_from(count).map_err(|_| DAMAGED)?;
    let numbers = |column: &[u8]| expand(column, count, |reader| reader.unsigned());
    if numbers(columns.key_actor)?.iter().any(Option::is_some)
        || expand(columns.key_counter, count, |reader| reader.signed())?
            .iter()
            .any(Option::is_some)
    {
        return Err("a place in a list");
    }
    if any_true(columns.insert)? || any_true(columns.expand)? {
        return Err("an insertion");
    }
    let marks = expand(columns.mark_name, count, text)?;
    if marks.iter().any(Option::is_some) {
        return Err("a mark");
    }
    let object_actor = numbers(columns.object_actor)?;
    let object_counter = numbers(columns.object_counter)?;
    let keys = expand(columns.key_string, count, text)?;
    let actions = numbers(columns.action)?;
    let metas = numbers(columns.value_meta)?;
    let mut values = Reader(columns.value);
    let mut preds = Preds::read(columns, actors)?;
    let mut ops = Vec::with_capacity(count);
    for at in 0..count {
        let cell = |column: &[Option<u64>]| column.get(at).copied().flatten();
        let object = match (cell(&object_actor), cell(&object_counter)) {
            (None, None) => Object::Root,
            (Some(actor), Some(counter)) if counter > 0 => Object::Made(OpId {
                counter,
                actor: named(actors, actor)?,
            }),
            _ => return Err("an object without a name"),
        };
        let key = keys.get(at).copied().flatten();
        let key = key
            .filter(|key| !key.is_empty())
            .ok_or("an operation without a key")?;
        let meta = cell(&metas).unwrap_or(0);
        let action = match cell(&actions) {
            Some(0) if meta == 0 => Action::MakeMap,
            Some(1) => Action::Put(scalar(meta, &mut values)?),
            Some(3) if meta == 0 => Action::Delete,
            _ => return Err("an action that is neither put, delete nor a map"),
        };
        ops.push(Op {
            object,
            key: key.to_owned(),
            action,
            preds: preds.next(at)?,
        });
    }
    Ok(ops)
}

fn named(actors: &[ActorId], index: u64) -> Result<ActorId, Misshapen> {
    let actor = usize::try_from(index).ok().and_then(|at| actors.get(at));
    actor.copied().ok_or(DAMAGED)
}

/// The value of a row: its low four bits name the type, the rest its length.
fn scalar(meta: u64, values: &mut Reader<'_>) -> Result<Scalar, Misshapen> {
    const TYPE: Misshapen = "a value that is neither text, number, yes or no, nor 16 bytes";
    let len = usize::try_from(meta >> 4).map_err(|_| DAMAGED)?;
    if matches!(meta & 15, 0..=2) && len > 0 {
        return Err(TYPE);
    }
    let bytes = values.take(len).map_err(|_| DAMAGED)?;
    match meta & 15 {
        1 => Ok(Scalar::Bool(false)),
        2 => Ok(Scalar::Bool(true)),
        4 => {
            let mut reader = Reader(bytes);
            let number = reader.signed().map_err(|_| TYPE)?;
            reader
                .0
                .is_empty()
                .then_some(Scalar::Int(number))
                .ok_or(TYPE)
        }
        6 => {
            let text = std::str::from_utf8(bytes).map_err(|_| TYPE)?;
            Ok(Scalar::Str(text.to_owned()))
        }
        7 => bytes.try_into().map(Scalar::Part).map_err(|_| TYPE),
        _ => Err(TYPE),
    }
}

/// The three columns of predecessors, taken row by row.
struct Preds<'a> {
    actors: &'a [ActorId],
    counts: Vec<Option<u64>>,
    by: Vec<Option<u64>>,
    counters: Vec<Option<i64>>,
    taken: usize,
    counter: i128,
}

impl<'a> Preds<'a> {
    fn read(columns: &Columns<'_>, actors: &'a [ActorId]) -> Result<Self, Misshapen> {
        let all = |column: &[u8]| expand(column, 0, |reader| reader.unsigned());
        Ok(Self {
            actors,
            counts: all(columns.pred_count)?,
            by: all(columns.pred_actor)?,
            counters: expand(columns.pred_counter, 0, |reader| reader.signed())?,
            taken: 0,
            counter: 0,
        })
    }

    fn next(&mut self, row: usize) -> Result<Vec<OpId>, Misshapen> {
        let count = self.counts.get(row).copied().flatten().unwrap_or(0);
        let mut preds = Vec::new();
        for _ in 0..count {
            let actor = self.by.get(self.taken).copied().flatten();
            let step = self.counters.get(self.taken).copied().flatten();
            let (Some(actor), Some(step)) = (actor, step) else {
                return Err("a predecessor without a name");
            };
            self.taken += 1;
            self.counter += i128::from(step);
            let counter = u64::try_from(self.counter).map_err(|_| DAMAGED)?;
            if counter == 0 || counter > MAX_COUNTER {
                return Err("a predecessor without a name");
            }
            let pred = OpId {
                counter,
                actor: named(self.actors, actor)?,
            };
            preds.push(pred);
        }
        if preds.len() > 1 && preds.iter().collect::<BTreeSet<_>>().len() < preds.len() {
            return Err("a predecessor twice");
        }
        Ok(preds)
    }
}

/// All rows of a column, `rows` at least: a column that is left out has none, and all its values are absent.
fn expand<'a, T: Copy>(
    column: &'a [u8],
    rows: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, GuardError>,
) -> Result<Vec<Option<T>>, Misshapen> {
    let mut values = Vec::with_capacity(rows);
    let mut reader = Reader(column);
    while let Some(run) = runs(&mut reader).map_err(|_| DAMAGED)? {
        let (len, value) = match run {
            Run::Absent(len) => (len, None),
            Run::Repeated(len) => (len, Some(read(&mut reader).map_err(|_| DAMAGED)?)),
            Run::Single(len) => {
                for _ in 0..len {
                    values.push(Some(read(&mut reader).map_err(|_| DAMAGED)?));
                }
                continue;
            }
        };
        let len = usize::try_from(len).map_err(|_| DAMAGED)?;
        values.resize(values.len().saturating_add(len), value);
    }
    Ok(values)
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, GuardError> {
    let len = reader.count()?;
    let bytes = reader.take(len)?;
    std::str::from_utf8(bytes).map_err(|_| GuardError::Malformed("text"))
}

/// Whether a column of booleans says yes anywhere: its runs of false and true come in turn.
fn any_true(column: &[u8]) -> Result<bool, Misshapen> {
    let mut reader = Reader(column);
    let mut value = false;
    while !reader.0.is_empty() {
        if reader.unsigned().map_err(|_| DAMAGED)? > 0 && value {
            return Ok(true);
        }
        value = !value;
    }
    Ok(false)
}
