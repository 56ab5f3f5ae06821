//! The gate in front of Automerge: decides whether a foreign change may be decoded at all.
//!
//! Owns the byte-level checks of one change chunk and their limits. Must not know what a record
//! means, and must not look at any other change: whatever needs more than these bytes belongs to
//! `build`.
//!
//! Invariants:
//! - Automerge sees only an uncompressed change chunk (type 1) whose checksum, digest, author and
//!   size have been verified here. A compressed chunk of 1 MB makes Automerge 0.12 allocate 3 GB,
//!   and it does not compare checksums.
//! - Everything Automerge allocates while decoding is bounded before it starts. The columns of a
//!   change are run-length encoded, so sixteen bytes can declare 2^60 operations, or repeat one
//!   long key for each of them. The runs of *every* column are therefore added up here, without
//!   expanding one. It would not do to bound the number of operations alone: one operation may
//!   declare 2^60 predecessors, and 20,000 operations that share one key of 60 KB become 1.2 GB of
//!   strings.
//! - What no page shows does not travel: a message, a time stamp, trailing bytes and columns that
//!   this version does not know are refused. Automerge drops unknown columns when it writes a
//!   change again, and the digest would then differ.
//!
//! Rejected: to let Automerge decode and count afterwards. It would have allocated by then.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::Change;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{ActorId, ChangeHash};
use crate::limits;

/// Largest change that is written, and accepted by default. A long opinion with all its fields takes about
/// 2 KiB, because texts travel beside the document.
pub const DEFAULT_CHANGE_BYTES: usize = limits::CHANGE_DEFAULT_MAX;

/// No limit may be set above this.
pub const HARD_CHANGE_BYTES: usize = limits::CHANGE_MAX;

/// Most dependencies of one change.
pub const MAX_DEPS: usize = limits::CHANGE_DEPS_MAX;

/// Most operations, and most predecessors, in one change.
pub const MAX_OPS: usize = limits::CHANGE_OPS_MAX;

/// Most bytes of map keys in one change once its runs are expanded.
pub const MAX_KEY_BYTES: usize = limits::CHANGE_KEY_BYTES_MAX;

const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
const CHUNK_TYPE_CHANGE: u8 = 1;
/// Where the hashed part of a chunk begins: after the magic and the checksum.
const HASHED_FROM: usize = 8;
/// Automerge keeps operation counters and sequence numbers in 32 bits and panics beyond.
const MAX_COUNTER: u64 = u32::MAX as u64;

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

/// What one change may cost. [`Limits::default`] is what the protocol prescribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole chunk; never above [`HARD_CHANGE_BYTES`], whatever stands here.
    pub change_bytes: usize,
    /// Operations, and also predecessors, in one change; in a change of fewer bytes, as many as
    /// bytes.
    pub ops: usize,
    /// Changes that one change may depend on.
    pub deps: usize,
    /// Bytes of map keys and mark names after their runs are expanded.
    pub key_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            change_bytes: DEFAULT_CHANGE_BYTES,
            ops: MAX_OPS,
            deps: MAX_DEPS,
            key_bytes: MAX_KEY_BYTES,
        }
    }
}

/// Why a change was not let through. Each is a property of the bytes alone, so every device that
/// holds them comes to the same answer; the entry is kept in quarantine with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Longer than the limit.
    #[error("the change is larger than allowed")]
    TooLarge,
    /// Not exactly one uncompressed change chunk: other magic, other chunk type, too short, bytes
    /// to spare.
    #[error("these bytes are not one uncompressed change")]
    NotAChange,
    /// The checksum inside does not match the content: damaged on the way or on disk.
    #[error("the checksum of the change does not match its content")]
    BadChecksum,
    /// Sound in itself, but not the change that the entry header names.
    #[error("the change is not the one its entry names")]
    WrongHash,
    /// Written in the name of another log. It would block the real author for ever: a security
    /// event.
    #[error("the change was written under another author's name")]
    WrongActor,
    /// Depends on more changes than allowed.
    #[error("the change depends on too many others")]
    TooManyDeps,
    /// Declares more operations, predecessors or key bytes than allowed.
    #[error("the change declares too many operations")]
    TooManyOps,
    /// Breaks the change format, or uses a part of it that this version does not accept; says
    /// where.
    #[error("the change is malformed: {0}")]
    Malformed(&'static str),
    /// Automerge panicked while decoding. Worth a report upstream.
    #[error("decoding the change failed unexpectedly")]
    Panicked,
}

/// Checks that `raw` is exactly one uncompressed change with a true checksum, and returns its
/// digest.
///
/// Costs one SHA-256 over the bytes and allocates nothing: used on every change as it is received.
///
/// # Errors
/// [`GuardError::TooLarge`] above [`HARD_CHANGE_BYTES`], [`GuardError::NotAChange`],
/// [`GuardError::BadChecksum`].
pub fn digest_of_change(raw: &[u8]) -> Result<ChangeHash, GuardError> {
    if raw.len() > HARD_CHANGE_BYTES {
        return Err(GuardError::TooLarge);
    }
    let (checksum, hashed) = match (
        raw.get(..4),
        raw.get(4..HASHED_FROM),
        raw.get(HASHED_FROM..),
    ) {
        (Some(magic), Some(checksum), Some(hashed)) if magic == MAGIC => (checksum, hashed),
        _ => return Err(GuardError::NotAChange),
    };
    content_of_chunk(hashed).ok_or(GuardError::NotAChange)?;
    // Automerge hashes type, length and content. Lengths have one encoding only, so these are the
    // bytes as they stand.
    let digest: ChangeHash = Sha256::digest(hashed).into();
    if digest.get(..4) == Some(checksum) {
        Ok(digest)
    } else {
        Err(GuardError::BadChecksum)
    }
}

/// The content of a chunk, given from its type byte on, if it is a change of exactly the declared
/// length.
fn content_of_chunk(hashed: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader(hashed);
    if reader.byte().ok()? != CHUNK_TYPE_CHANGE {
        return None;
    }
    let declared = reader.unsigned().ok()?;
    (usize::try_from(declared) == Ok(reader.0.len())).then_some(reader.0)
}

/// A change that has passed every check on its own bytes and may be fed to a
/// [`Document`](super::Document).
///
/// The only way to make one is [`GuardedChange::open`], so unchecked bytes cannot reach Automerge.
#[derive(Clone, Debug)]
pub struct GuardedChange {
    pub(super) change: Change,
    pub(super) other_actors: Vec<ActorId>,
    pub(super) start_op: u64,
    pub(super) ops: u64,
    hash: ChangeHash,
    actor: ActorId,
    seq: u64,
    deps: Vec<ChangeHash>,
}

impl GuardedChange {
    /// Verifies and decodes one received change.
    ///
    /// `expect_hash` is the digest in the entry's header and `actor` the actor of the log the entry
    /// stands in.
    ///
    /// # Errors
    /// See [`GuardError`]. An error is final for these bytes: do not try again.
    pub fn open(
        raw: &[u8],
        expect_hash: &ChangeHash,
        actor: &ActorId,
        limits: &Limits,
    ) -> Result<Self, GuardError> {
        if raw.len() > limits.change_bytes {
            return Err(GuardError::TooLarge);
        }
        let hash = digest_of_change(raw)?;
        if hash != *expect_hash {
            return Err(GuardError::WrongHash);
        }
        let header = Header::read(raw, actor, limits)?;
        // A panic unwinds through nothing but the decoder's own values.
        let change = catch_unwind(AssertUnwindSafe(|| Change::try_from(raw)))
            .map_err(|_| GuardError::Panicked)?
            .map_err(|_| GuardError::Malformed("operations"))?;
        let agrees = change.hash().0 == hash
            && change.actor_id().to_bytes() == actor
            && change.seq() == header.seq
            && change.start_op().get() == header.start_op
            && change.deps().len() == header.deps.len()
            && u64::try_from(change.len()) == Ok(header.ops);
        if !agrees {
            return Err(GuardError::Malformed("decoded otherwise than read"));
        }
        Ok(Self {
            change,
            other_actors: header.other_actors,
            start_op: header.start_op,
            ops: header.ops,
            hash,
            actor: *actor,
            seq: header.seq,
            deps: header.deps,
        })
    }

    /// Digest of the change, by which others depend on it.
    #[must_use]
    pub fn hash(&self) -> ChangeHash {
        self.hash
    }

    /// Actor that wrote the change, the one that [`open`](Self::open) was told to expect.
    #[must_use]
    pub fn actor(&self) -> ActorId {
        self.actor
    }

    /// Position among the changes of its actor in this record, from 1.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The changes that must be applied before this one; none twice, in the order they were
    /// written.
    #[must_use]
    pub fn deps(&self) -> &[ChangeHash] {
        &self.deps
    }

    /// Highest operation counter in use after this change; a change that depends on it begins one above.
    #[must_use]
    pub fn max_op(&self) -> u64 {
        (self.start_op + self.ops).saturating_sub(1)
    }
}

/// What the chunk says about itself, read without Automerge.
struct Header {
    deps: Vec<ChangeHash>,
    seq: u64,
    start_op: u64,
    other_actors: Vec<ActorId>,
    ops: u64,
}

impl Header {
    fn read(raw: &[u8], actor: &ActorId, limits: &Limits) -> Result<Self, GuardError> {
        let content = raw.get(HASHED_FROM..).and_then(content_of_chunk);
        let mut reader = Reader(content.ok_or(GuardError::NotAChange)?);

        let dep_count = reader.count()?;
        if dep_count > limits.deps {
            return Err(GuardError::TooManyDeps);
        }
        let deps = (0..dep_count)
            .map(|_| reader.array())
            .collect::<Result<Vec<ChangeHash>, _>>()?;
        if deps.iter().collect::<BTreeSet<_>>().len() != dep_count {
            return Err(GuardError::Malformed("the same dependency twice"));
        }
        if reader.actor()? != *actor {
            return Err(GuardError::WrongActor);
        }
        let seq = reader.unsigned()?;
        if seq == 0 || seq > MAX_COUNTER {
            return Err(GuardError::Malformed("sequence number"));
        }
        let start_op = reader.unsigned()?;
        if start_op == 0 || start_op > MAX_COUNTER {
            return Err(GuardError::Malformed("first operation number"));
        }
        if reader.signed()? != 0 {
            return Err(GuardError::Malformed("carries a time"));
        }
        if reader.unsigned()? != 0 {
            return Err(GuardError::Malformed("carries a message"));
        }
        let other_count = reader.count()?;
        let mut other_actors = Vec::new();
        for _ in 0..other_count {
            other_actors.push(reader.actor()?);
        }
        let columns = Columns::read(&mut reader)?;
        if !reader.0.is_empty() {
            return Err(GuardError::Malformed("bytes after the columns"));
        }
        let actors = other_actors.len() as u64 + 1;
        let ops = columns.count_ops(&Bounds {
            actors,
            ops: limits.ops.min(raw.len()),
            key_bytes: limits.key_bytes,
        })?;
        if start_op + ops > MAX_COUNTER {
            return Err(GuardError::Malformed("operation numbers run out"));
        }
        Ok(Self {
            deps,
            seq,
            start_op,
            other_actors,
            ops,
        })
    }
}

/// The bytes of each known column; empty where the change has none.
#[derive(Default)]
struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key_actor: &'a [u8],
    key_counter: &'a [u8],
    key_string: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_meta: &'a [u8],
    value: &'a [u8],
    pred_count: &'a [u8],
    pred_actor: &'a [u8],
    pred_counter: &'a [u8],
    expand: &'a [u8],
    mark_name: &'a [u8],
}

/// What the columns of one change are measured against.
struct Bounds {
    /// Actors that the change may refer to: its own and the others it lists.
    actors: u64,
    ops: usize,
    key_bytes: usize,
}

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, GuardError> {
        let column_count = reader.count()?;
        let mut specs = Vec::new();
        let mut last = None;
        for _ in 0..column_count {
            let spec = reader.unsigned()?;
            let len = reader.count()?;
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

    /// The number of operations, once every column is known to have one row for each of them.
    fn count_ops(&self, bounds: &Bounds) -> Result<u64, GuardError> {
        let max = bounds.ops as u64;
        let ops = unsigned_rows(self.action, max, |_, _| Ok(()))?;
        let one_each = |rows: u64| {
            if rows == ops || rows == 0 {
                Ok(())
            } else {
                Err(GuardError::Malformed("rows of a column"))
            }
        };
        let actor_index = |value: u64, _| at_most(value, bounds.actors - 1, "actor index");
        let counter = |value: u64, _| at_most(value, MAX_COUNTER, "operation number");

        one_each(unsigned_rows(self.object_actor, max, actor_index)?)?;
        one_each(unsigned_rows(self.object_counter, max, counter)?)?;
        one_each(unsigned_rows(self.key_actor, max, actor_index)?)?;
        one_each(counter_rows(self.key_counter, max)?)?;
        let mut key_bytes = bounds.key_bytes as u64;
        one_each(string_rows(self.key_string, max, &mut key_bytes)?)?;
        one_each(string_rows(self.mark_name, max, &mut key_bytes)?)?;
        one_each(boolean_rows(self.insert, max)?)?;
        one_each(boolean_rows(self.expand, max)?)?;

        let mut value_bytes = 0_u64;
        one_each(unsigned_rows(self.value_meta, max, |meta, count| {
            // The low four bits name the type; null, false and true (0 to 2) have no bytes of their
            // own.
            let len = if meta & 0b1111 > 2 { meta >> 4 } else { 0 };
            value_bytes = value_bytes.saturating_add(len.saturating_mul(count));
            Ok(())
        })?)?;
        if value_bytes != self.value.len() as u64 {
            return Err(GuardError::Malformed("length of the values"));
        }

        let mut preds = 0_u64;
        one_each(unsigned_rows(self.pred_count, max, |in_op, count| {
            preds = preds.saturating_add(in_op.saturating_mul(count));
            Ok(())
        })?)?;
        // Both columns are bounded like all others, hence their sum is.
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
    runs(column, max, |reader, count| {
        let value = reader.unsigned()?;
        visit(value, count)
    })
}

/// Rows of a run-length encoded column of differences between operation counters.
fn counter_rows(column: &[u8], max: u64) -> Result<u64, GuardError> {
    let mut counter = 0_i128;
    runs(column, max, |reader, count| {
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
    runs(column, max, |reader, count| {
        let len = reader.count()?;
        reader.take(len)?;
        let expanded = (len as u64).saturating_mul(count);
        *budget = budget.checked_sub(expanded).ok_or(GuardError::TooManyOps)?;
        Ok(())
    })
}

/// Rows of a run-length encoded column: a positive count repeats the value that follows, a negative
/// count announces so many single values, and zero announces a number of absent ones.
fn runs(
    column: &[u8],
    max: u64,
    mut value: impl FnMut(&mut Reader<'_>, u64) -> Result<(), GuardError>,
) -> Result<u64, GuardError> {
    let mut reader = Reader(column);
    let mut rows = 0_u64;
    while !reader.0.is_empty() {
        let count = reader.signed()?;
        let len = if count == 0 {
            reader.unsigned()?
        } else {
            count.unsigned_abs()
        };
        if len == 0 {
            return Err(GuardError::Malformed("empty run"));
        }
        rows = add_rows(rows, len, max)?;
        if count > 0 {
            value(&mut reader, len)?;
        } else if count < 0 {
            for _ in 0..len {
                value(&mut reader, 1)?;
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
        rows = add_rows(rows, reader.unsigned()?, max)?;
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
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    const ENDED: GuardError = GuardError::Malformed("ends too early");
    const NUMBER: GuardError = GuardError::Malformed("number");

    fn take(&mut self, len: usize) -> Result<&'a [u8], GuardError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Self::ENDED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], GuardError> {
        self.take(N)?.try_into().map_err(|_| Self::ENDED)
    }

    fn byte(&mut self) -> Result<u8, GuardError> {
        let (first, rest) = self.0.split_first().ok_or(Self::ENDED)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An actor: always sixteen bytes, being cut from a log's identity.
    fn actor(&mut self) -> Result<ActorId, GuardError> {
        if self.unsigned()? == 16 {
            self.array()
        } else {
            Err(GuardError::Malformed("actor"))
        }
    }

    /// A number of things of at least one byte each, hence no more than there are bytes left.
    fn count(&mut self) -> Result<usize, GuardError> {
        let count = usize::try_from(self.unsigned()?).map_err(|_| Self::ENDED)?;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(Self::ENDED)
        }
    }

    fn unsigned(&mut self) -> Result<u64, GuardError> {
        let mut value = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if (low << shift) >> shift != low {
                return Err(Self::NUMBER);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 {
                    Err(Self::NUMBER)
                } else {
                    Ok(value)
                };
            }
        }
        Err(Self::NUMBER)
    }

    fn signed(&mut self) -> Result<i64, GuardError> {
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
