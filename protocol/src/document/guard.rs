//! The guard in front of Automerge: decides whether a foreign change may be decoded at all.
//!
//! Owns the byte-level checks of one change chunk and their limits. Must not know what a record
//! means, and must not look at any other change: whatever needs more than these bytes belongs to
//! the [`gate`](super::gate).
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
//! Rejected: to let Automerge decode and count afterwards. It would have allocated by then. To let it decode here what has
//! been read already: it took most of the time in which a record is made, and most records never need it.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use automerge::Change;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::columns::{Bounds, Columns, MAX_COUNTER, Reader};
use super::ops::{self, Misshapen, Op};
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
    raw: Arc<[u8]>,
    pub(super) other_actors: Vec<ActorId>,
    pub(super) start_op: u64,
    pub(super) op_count: u64,
    /// What it does, or why that is not of the closed shape.
    pub(super) ops: Result<Vec<Op>, Misshapen>,
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
        Ok(Self {
            raw: raw.into(),
            other_actors: header.other_actors,
            start_op: header.start_op,
            op_count: header.op_count,
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

    /// Its length.
    pub(super) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// The change as Automerge decodes it, if that is what was read here. Only of what the gate let in: of operations that
    /// no record has Automerge may make what it likes.
    pub(super) fn decoded(&self) -> Option<Change> {
        // A panic unwinds through nothing but the decoder's own values.
        let change = catch_unwind(AssertUnwindSafe(|| Change::try_from(&*self.raw)));
        let change = change.ok()?.ok()?;
        let agrees = change.hash().0 == self.hash
            && change.actor_id().to_bytes() == self.actor
            && change.seq() == self.seq
            && change.start_op().get() == self.start_op
            && change.deps().len() == self.deps.len()
            && u64::try_from(change.len()) == Ok(self.op_count);
        agrees.then_some(change)
    }

    /// What it costs when the record is built: its operations, and the values that they take the place of.
    pub(super) fn cost(&self) -> u64 {
        let ops = self.ops.as_deref().unwrap_or_default();
        let replaced = ops.iter().map(|op| op.preds.len() as u64);
        self.op_count + replaced.sum::<u64>()
    }

    /// Highest operation counter in use after this change; a change that depends on it begins one above.
    #[must_use]
    pub fn max_op(&self) -> u64 {
        (self.start_op + self.op_count).saturating_sub(1)
    }
}

/// What the chunk says about itself, read without Automerge.
struct Header {
    deps: Vec<ChangeHash>,
    seq: u64,
    start_op: u64,
    other_actors: Vec<ActorId>,
    op_count: u64,
    ops: Result<Vec<Op>, Misshapen>,
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
        if dep_count > 1 && deps.iter().collect::<BTreeSet<_>>().len() != dep_count {
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
        let actors: Vec<ActorId> = [*actor].into_iter().chain(other_actors.clone()).collect();
        let op_count = columns.count_ops(&Bounds {
            actors: actors.len() as u64,
            ops: limits.ops.min(raw.len()),
            preds: limits.ops,
            key_bytes: limits.key_bytes,
        })?;
        if start_op + op_count > MAX_COUNTER {
            return Err(GuardError::Malformed("operation numbers run out"));
        }
        let ops = ops::read(&columns, &actors, op_count);
        Ok(Self {
            deps,
            seq,
            start_op,
            other_actors,
            op_count,
            ops,
        })
    }
}
