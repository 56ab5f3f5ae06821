//! The columns of a change chunk: run-length encoded, counted before one value is expanded.
//!
//! Owns the numbers and runs of Automerge's change format. Must not know what an operation means; that is
//! [`ops`](super::ops). Everything here is bounded by the bounds it is given, whatever the bytes claim.
//! <https://automerge.org/automerge-binary-format-spec/>

use super::ActorId;
use super::guard::GuardError;
use crate::codec;

/// Automerge keeps operation counters and sequence numbers in 32 bits and panics beyond.
pub(super) const MAX_COUNTER: u64 = u32::MAX as u64;

/// Column specifications of the change format: column id, four bits to the left, and the type of
/// the column. Bit 3, which none of them has, would say that the column is deflated.
/// <https://automerge.org/automerge-binary-format-spec/>
mod column {
    pub(super) const OBJECT_ACTOR: u64 = 1;
    pub(super) const OBJECT_COUNTER: u64 = 2;
    pub(super) const KEY_ACTOR: u64 = 17;
    pub(super) const KEY_COUNTER: u64 = 19;
    pub(super) const KEY_STRING: u64 = 21;
    pub(super) const INSERT: u64 = 52;
    pub(super) const ACTION: u64 = 66;
    pub(super) const VALUE_META: u64 = 86;
    pub(super) const VALUE: u64 = 87;
    pub(super) const PRED_COUNT: u64 = 112;
    pub(super) const PRED_ACTOR: u64 = 113;
    pub(super) const PRED_COUNTER: u64 = 115;
    pub(super) const EXPAND: u64 = 148;
    pub(super) const MARK_NAME: u64 = 165;
    pub(super) const DEFLATED: u64 = 0b1000;
}

/// The bytes of each known column; empty where the change has none.
#[derive(Default)]
pub(super) struct Columns<'a> {
    pub(super) object_actor: &'a [u8],
    pub(super) object_counter: &'a [u8],
    pub(super) key_actor: &'a [u8],
    pub(super) key_counter: &'a [u8],
    pub(super) key_string: &'a [u8],
    pub(super) insert: &'a [u8],
    pub(super) action: &'a [u8],
    pub(super) value_meta: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) pred_count: &'a [u8],
    pub(super) pred_actor: &'a [u8],
    pub(super) pred_counter: &'a [u8],
    pub(super) expand: &'a [u8],
    pub(super) mark_name: &'a [u8],
}

/// What the columns of one change are measured against.
pub(super) struct Bounds {
    /// Actors that the change may refer to: its own and the others it lists.
    pub(super) actors: u64,
    pub(super) ops: usize,
    pub(super) preds: usize,
    pub(super) key_bytes: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, GuardError> {
        let column_count = reader.count()?;
        let mut specs = Vec::new();
        let mut last = None;
        for _ in 0..column_count {
            let spec = reader.unsigned()?;
            let len = reader.count()?;
            // Nobody writes one, and Automerge reads some of them as no change at all.
            if len == 0 {
                return Err(GuardError::Malformed("empty column"));
            }
            if spec & column::DEFLATED != 0 {
                return Err(GuardError::Malformed("deflated column"));
            }
            if last.is_some_and(|last| spec <= last) {
                return Err(GuardError::Malformed("columns out of order"));
            }
            last = Some(spec);
            specs.push((spec, len));
        }
        let mut columns = Self::default();
        for (spec, len) in specs {
            let slot = match spec {
                column::OBJECT_ACTOR => &mut columns.object_actor,
                column::OBJECT_COUNTER => &mut columns.object_counter,
                column::KEY_ACTOR => &mut columns.key_actor,
                column::KEY_COUNTER => &mut columns.key_counter,
                column::KEY_STRING => &mut columns.key_string,
                column::INSERT => &mut columns.insert,
                column::ACTION => &mut columns.action,
                column::VALUE_META => &mut columns.value_meta,
                column::VALUE => &mut columns.value,
                column::PRED_COUNT => &mut columns.pred_count,
                column::PRED_ACTOR => &mut columns.pred_actor,
                column::PRED_COUNTER => &mut columns.pred_counter,
                column::EXPAND => &mut columns.expand,
                column::MARK_NAME => &mut columns.mark_name,
                _ => return Err(GuardError::Malformed("unknown column")),
            };
            *slot = reader.take(len)?;
        }
        Ok(columns)
    }

    /// The number of operations, once every column is known to have one row for each of them. Four say something of
    /// each; Automerge decodes no change in which one of these says nothing.
    pub(super) fn count_ops(&self, bounds: &Bounds) -> Result<u64, GuardError> {
        let max = bounds.ops as u64;
        let mut actions = 0_u64;
        let ops = unsigned_rows(self.action, max, |_, count| {
            actions = actions.saturating_add(count);
            Ok(())
        })?;
        let one_each = |rows: u64| {
            if rows == ops || rows == 0 {
                Ok(())
            } else {
                Err(GuardError::Malformed("rows of a column"))
            }
        };
        let every = |rows: u64| {
            if rows == ops {
                Ok(())
            } else {
                Err(GuardError::Malformed("rows of a column"))
            }
        };
        every(actions)?;
        let actor_index = |value: u64, _| at_most(value, bounds.actors - 1, "actor index");
        let counter = |value: u64, _| at_most(value, MAX_COUNTER, "operation number");

        one_each(unsigned_rows(self.object_actor, max, actor_index)?)?;
        one_each(unsigned_rows(self.object_counter, max, counter)?)?;
        one_each(unsigned_rows(self.key_actor, max, actor_index)?)?;
        one_each(counter_rows(self.key_counter, max)?)?;
        let mut key_bytes = bounds.key_bytes as u64;
        one_each(string_rows(self.key_string, max, &mut key_bytes)?)?;
        one_each(string_rows(self.mark_name, max, &mut key_bytes)?)?;
        every(boolean_rows(self.insert, max)?)?;
        one_each(boolean_rows(self.expand, max)?)?;

        let (mut values, mut value_bytes) = (0_u64, 0_u64);
        one_each(unsigned_rows(self.value_meta, max, |meta, count| {
            // The low four bits name the type; null, false and true (0 to 2) have no bytes of their
            // own.
            let len = if meta & 0b1111 > 2 { meta >> 4 } else { 0 };
            values = values.saturating_add(count);
            value_bytes = value_bytes.saturating_add(len.saturating_mul(count));
            Ok(())
        })?)?;
        every(values)?;
        if value_bytes != self.value.len() as u64 {
            return Err(GuardError::Malformed("length of the values"));
        }

        let (mut counted, mut preds) = (0_u64, 0_u64);
        one_each(unsigned_rows(self.pred_count, max, |in_op, count| {
            counted = counted.saturating_add(count);
            preds = preds.saturating_add(in_op.saturating_mul(count));
            Ok(())
        })?)?;
        every(counted)?;
        // Both columns are bounded like all others, hence their sum is.
        let max = bounds.preds as u64;
        let pred_actors = unsigned_rows(self.pred_actor, max, actor_index)?;
        let pred_counters = counter_rows(self.pred_counter, max)?;
        if pred_actors != preds || pred_counters != preds {
            return Err(GuardError::Malformed("rows of the predecessors"));
        }
        Ok(ops)
    }
}

fn at_most(value: u64, max: u64, what: &'static str) -> Result<(), GuardError> {
    if value <= max {
        Ok(())
    } else {
        Err(GuardError::Malformed(what))
    }
}

/// Rows of a run-length encoded column of unsigned numbers. `visit` gets each value with its
/// repetitions.
fn unsigned_rows(
    column: &[u8],
    max: u64,
    mut visit: impl FnMut(u64, u64) -> Result<(), GuardError>,
) -> Result<u64, GuardError> {
    count_rows(column, max, |reader, count| {
        let value = reader.unsigned()?;
        visit(value, count)
    })
}

/// Rows of a run-length encoded column of differences between operation counters.
fn counter_rows(column: &[u8], max: u64) -> Result<u64, GuardError> {
    let mut counter = 0_i128;
    count_rows(column, max, |reader, count| {
        // Within a run the counter only rises or only falls, so its end bounds all of it.
        counter += i128::from(reader.signed()?) * i128::from(count);
        if (0..=i128::from(MAX_COUNTER)).contains(&counter) {
            Ok(())
        } else {
            Err(GuardError::Malformed("operation number"))
        }
    })
}

/// Rows of a run-length encoded column of strings; what they take once expanded is deducted from
/// `budget`.
fn string_rows(column: &[u8], max: u64, budget: &mut u64) -> Result<u64, GuardError> {
    count_rows(column, max, |reader, count| {
        let len = reader.count()?;
        reader.take(len)?;
        let expanded = (len as u64).saturating_mul(count);
        *budget = budget.checked_sub(expanded).ok_or(GuardError::TooManyOps)?;
        Ok(())
    })
}

/// The head of a run: how many rows it has, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// That many rows without a value.
    Absent(u64),
    /// One value for all of them.
    Repeated(u64),
    /// A value for each.
    Single(u64),
}

/// The next run of a column, or nothing at its end: a positive count repeats the value that follows, a negative
/// count announces so many single values, and zero announces a number of absent ones.
pub(super) fn runs(reader: &mut Reader<'_>) -> Result<Option<Run>, GuardError> {
    if reader.0.is_empty() {
        return Ok(None);
    }
    let count = reader.signed()?;
    let run = match count {
        0 => Run::Absent(reader.unsigned()?),
        1.. => Run::Repeated(count.unsigned_abs()),
        _ => Run::Single(count.unsigned_abs()),
    };
    if run == Run::Absent(0) {
        return Err(GuardError::Malformed("empty run"));
    }
    Ok(Some(run))
}

/// Rows of a run-length encoded column. `value` reads a value and gets its repetitions.
fn count_rows(
    column: &[u8],
    max: u64,
    mut value: impl FnMut(&mut Reader<'_>, u64) -> Result<(), GuardError>,
) -> Result<u64, GuardError> {
    let mut reader = Reader(column);
    let mut rows = 0_u64;
    while let Some(run) = runs(&mut reader)? {
        match run {
            Run::Absent(len) => rows = add_rows(rows, len, max)?,
            Run::Repeated(len) => {
                rows = add_rows(rows, len, max)?;
                value(&mut reader, len)?;
            }
            Run::Single(len) => {
                rows = add_rows(rows, len, max)?;
                for _ in 0..len {
                    value(&mut reader, 1)?;
                }
            }
        }
    }
    Ok(rows)
}

/// Rows of a column of booleans: lengths of the runs of false and true in turn, beginning with
/// false.
fn boolean_rows(column: &[u8], max: u64) -> Result<u64, GuardError> {
    let mut reader = Reader(column);
    let mut rows = 0_u64;
    while !reader.0.is_empty() {
        let begins = reader.0.len() == column.len();
        let len = reader.unsigned()?;
        // A column that begins with true has no false before it.
        if len == 0 && (!begins || reader.0.is_empty()) {
            return Err(GuardError::Malformed("empty run"));
        }
        rows = add_rows(rows, len, max)?;
    }
    Ok(rows)
}

fn add_rows(rows: u64, more: u64, max: u64) -> Result<u64, GuardError> {
    let rows = rows.saturating_add(more);
    if rows <= max {
        Ok(rows)
    } else {
        Err(GuardError::TooManyOps)
    }
}

/// What is left to read. Numbers are LEB128 in their shortest form; any other form is refused.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    const ENDED: GuardError = GuardError::Malformed("ends too early");
    const NUMBER: GuardError = GuardError::Malformed("number");

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], GuardError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Self::ENDED)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], GuardError> {
        self.take(N)?.try_into().map_err(|_| Self::ENDED)
    }

    pub(super) fn byte(&mut self) -> Result<u8, GuardError> {
        let (first, rest) = self.0.split_first().ok_or(Self::ENDED)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An actor: always sixteen bytes, being cut from a log's identity.
    pub(super) fn actor(&mut self) -> Result<ActorId, GuardError> {
        if self.unsigned()? == 16 {
            self.array()
        } else {
            Err(GuardError::Malformed("actor"))
        }
    }

    /// A number of things of at least one byte each, hence no more than there are bytes left.
    pub(super) fn count(&mut self) -> Result<usize, GuardError> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| Self::ENDED)?;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(Self::ENDED)
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, GuardError> {
        // Most take one byte.
        if let Some((first @ 0..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(u64::from(*first));
        }
        let mut reader = codec::Reader::new(self.0);
        let value = reader.varint().map_err(|_| Self::NUMBER)?;
        self.0 = reader.rest();
        Ok(value)
    }

    pub(super) fn signed(&mut self) -> Result<i64, GuardError> {
        if let Some((first @ 0..0x80, rest)) = self.0.split_first() {
            self.0 = rest;
            return Ok(i64::from(*first) - i64::from(*first & 0x40) * 2);
        }
        let mut value = 0_i128;
        let mut previous = 0_u8;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= i128::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let negative = byte & 0x40 != 0;
                let sign_only = byte == if negative { 0x7f } else { 0 };
                if shift > 0 && sign_only && (previous & 0x40 != 0) == negative {
                    return Err(Self::NUMBER);
                }
                let value = if negative {
                    value - (1_i128 << (shift + 7))
                } else {
                    value
                };
                return i64::try_from(value).map_err(|_| Self::NUMBER);
            }
            previous = byte;
        }
        Err(Self::NUMBER)
    }
}
