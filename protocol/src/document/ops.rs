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
    if Cells::new(columns.key_actor, unsigned).any()?
        || Cells::new(columns.key_counter, signed).any()?
    {
        return Err("a place in a list");
    }
    if any_true(columns.insert)? || any_true(columns.expand)? {
        return Err("an insertion");
    }
    if Cells::new(columns.mark_name, text).any()? {
        return Err("a mark");
    }
    let mut object_actors = Cells::new(columns.object_actor, unsigned);
    let mut object_counters = Cells::new(columns.object_counter, unsigned);
    let mut keys = Cells::new(columns.key_string, text);
    let mut actions = Cells::new(columns.action, unsigned);
    let mut metas = Cells::new(columns.value_meta, unsigned);
    let mut values = Reader(columns.value);
    let mut preds = Preds::new(columns, actors);
    let mut ops = Vec::with_capacity(count);
    for _ in 0..count {
        let object = match (object_actors.next()?, object_counters.next()?) {
            (None, None) => Object::Root,
            (Some(actor), Some(counter)) if counter > 0 => Object::Made(OpId {
                counter,
                actor: named(actors, actor)?,
            }),
            _ => return Err("an object without a name"),
        };
        let key = keys.next()?.filter(|key| !key.is_empty());
        let key = key.ok_or("an operation without a key")?;
        let meta = metas.next()?.unwrap_or(0);
        let action = match actions.next()? {
            Some(0) if meta == 0 => Action::MakeMap,
            Some(1) => Action::Put(scalar(meta, &mut values)?),
            Some(3) if meta == 0 => Action::Delete,
            _ => return Err("an action that is neither put, delete nor a map"),
        };
        ops.push(Op {
            object,
            key: key.to_owned(),
            action,
            preds: preds.next()?,
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
    counts: Cells<'a, u64>,
    by: Cells<'a, u64>,
    counters: Cells<'a, i64>,
    counter: i128,
}

impl<'a> Preds<'a> {
    fn new(columns: &Columns<'a>, actors: &'a [ActorId]) -> Self {
        Self {
            actors,
            counts: Cells::new(columns.pred_count, unsigned),
            by: Cells::new(columns.pred_actor, unsigned),
            counters: Cells::new(columns.pred_counter, signed),
            counter: 0,
        }
    }

    fn next(&mut self) -> Result<Vec<OpId>, Misshapen> {
        let count = self.counts.next()?.unwrap_or(0);
        let mut preds = Vec::new();
        for _ in 0..count {
            let (Some(actor), Some(step)) = (self.by.next()?, self.counters.next()?) else {
                return Err("a predecessor without a name");
            };
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

/// The rows of a column, one after the other. A column that is left out has none, and all its values are absent.
struct Cells<'a, T> {
    reader: Reader<'a>,
    read: fn(&mut Reader<'a>) -> Result<T, GuardError>,
    /// What is left of the run that is being read: its rows, and their value unless each has its own.
    left: u64,
    value: Option<Option<T>>,
}

impl<'a, T: Copy> Cells<'a, T> {
    const fn new(column: &'a [u8], read: fn(&mut Reader<'a>) -> Result<T, GuardError>) -> Self {
        Self {
            reader: Reader(column),
            read,
            left: 0,
            value: None,
        }
    }

    fn next(&mut self) -> Result<Option<T>, Misshapen> {
        if self.left == 0 {
            let Some(run) = runs(&mut self.reader).map_err(|_| DAMAGED)? else {
                return Ok(None);
            };
            (self.left, self.value) = match run {
                Run::Absent(len) => (len, Some(None)),
                Run::Repeated(len) => (len, Some(Some(self.read()?))),
                Run::Single(len) => (len, None),
            };
        }
        self.left -= 1;
        match self.value {
            Some(value) => Ok(value),
            None => self.read().map(Some),
        }
    }

    fn read(&mut self) -> Result<T, Misshapen> {
        (self.read)(&mut self.reader).map_err(|_| DAMAGED)
    }

    /// Whether any row has a value.
    fn any(mut self) -> Result<bool, Misshapen> {
        while let Some(run) = runs(&mut self.reader).map_err(|_| DAMAGED)? {
            if !matches!(run, Run::Absent(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn unsigned(reader: &mut Reader<'_>) -> Result<u64, GuardError> {
    reader.unsigned()
}

fn signed(reader: &mut Reader<'_>) -> Result<i64, GuardError> {
    reader.signed()
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
