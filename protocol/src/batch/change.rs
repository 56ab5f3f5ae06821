//! A change in a batch: what of an Automerge chunk the reader can compute is left out.
//!
//! Owns the head of a chunk (type, length, actor, numbers, dependencies) and the names inside it that repeat what stands
//! elsewhere: references to the parts of its save and the writer's prefix of event keys. Must not know what the columns
//! mean. A chunk that does not have the usual form stands as it is. Rejected: laying the columns of many changes side by
//! side, which gains nothing.

use crate::base32;
use crate::codec::{DecodeError, Reader, Writer};
use crate::limits;
use crate::log::{CHANGE_MAGIC, DigestMode, LogId, digest};
use crate::part::{PartRef, reference_of};

/// Type of a chunk that is one change.
/// <https://automerge.org/automerge-binary-format-spec/>
const CHANGE: u8 = 1;
/// Parts that a change may name by their place: those nearest before it.
const NAMED: usize = 8;

/// What a change may name of the entries before it in its batch, and of its log.
pub(super) struct Context {
    actor: [u8; 16],
    /// How the keys of the log's events begin.
    prefix: String,
    /// Digests of all entries so far.
    digests: Vec<[u8; 32]>,
    parts: Vec<PartRef>,
    /// Sequence number and first operation of the change before.
    before: (u64, u64),
}

impl Context {
    pub(super) fn new(log: &LogId) -> Self {
        let actor = log.actor();
        Self {
            actor,
            prefix: base32::encode(&actor),
            digests: Vec::new(),
            parts: Vec::new(),
            before: (0, 0),
        }
    }

    /// Notes an entry, so that those after it can name it.
    pub(super) fn note(&mut self, digest: &[u8; 32], is_part: bool) {
        self.digests.push(*digest);
        if is_part {
            self.parts.push(reference_of(digest));
        }
    }

    /// What stands for a name: 0 the prefix of event keys, 1 the part nearest before, and so on.
    fn named(&self, name: u64) -> Option<&[u8]> {
        let Some(back) = usize::try_from(name).ok()?.checked_sub(1) else {
            return Some(self.prefix.as_bytes());
        };
        let part = self.parts.iter().rev().take(NAMED).nth(back)?;
        Some(part.as_slice())
    }

    /// All names and what they stand for.
    fn names(&self) -> Vec<(u64, &[u8])> {
        let names = (0..=NAMED as u64).map_while(|name| Some((name, self.named(name)?)));
        names.collect()
    }
}

/// Where the columns of changes stand: numbers and bytes, and what does not compress.
#[derive(Debug, Default)]
pub(super) struct Laid {
    /// Heads, one after the other.
    pub(super) heads: Writer,
    /// Bodies.
    pub(super) bodies: Writer,
    /// Dependencies that are not in the batch.
    pub(super) raw: Writer,
}

/// A chunk of the usual form, from its type byte on.
struct Chunk<'a> {
    deps: Vec<[u8; 32]>,
    seq: u64,
    start_op: u64,
    others: Vec<[u8; 16]>,
    /// Columns.
    body: &'a [u8],
}

impl<'a> Chunk<'a> {
    fn read(bytes: &'a [u8], actor: &[u8; 16]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8().ok()?;
        let len = reader.varint().ok()?;
        let whole = kind == CHANGE && len == reader.remaining() as u64;
        let deps = reader.varint().ok()?;
        let deps = (0..deps)
            .take(limits::CHANGE_DEPS_MAX + 1)
            .map(|_| reader.fixed().ok())
            .collect::<Option<Vec<_>>>()?;
        let own = reader.varint() == Ok(16) && reader.fixed() == Ok(*actor);
        let (seq, start_op) = (reader.varint().ok()?, reader.varint().ok()?);
        let bare = reader.take(2) == Ok(&[0, 0]);
        let others = reader.varint().ok()?;
        let others = (0..others)
            .map(|_| (reader.varint() == Ok(16)).then(|| reader.fixed().ok())?)
            .take(limits::BATCH_ENTRIES)
            .collect::<Option<Vec<_>>>()?;
        (whole && own && bare).then_some(Self {
            deps,
            seq,
            start_op,
            others,
            body: reader.rest(),
        })
    }

    fn write(&self, actor: &[u8; 16], body: &[u8]) -> Hashed {
        let mut head = Writer::new();
        head.varint(self.deps.len() as u64);
        for dep in &self.deps {
            head.fixed(dep);
        }
        head.varint(16).fixed(actor);
        head.varint(self.seq).varint(self.start_op).fixed(&[0, 0]);
        head.varint(self.others.len() as u64);
        for other in &self.others {
            head.varint(16).fixed(other);
        }
        let len = head.len() + body.len();
        let mut chunk = Writer::new();
        chunk.u8(CHANGE).varint(len as u64);
        with_head(&[&chunk.into_bytes(), &head.into_bytes(), body])
    }
}

/// A change and its digest.
pub(super) type Hashed = (Vec<u8>, [u8; 32]);

/// A change given from its type byte on, in pieces, with magic and checksum before it.
pub(super) fn with_head(pieces: &[&[u8]]) -> Hashed {
    let len: usize = pieces.iter().map(|piece| piece.len()).sum();
    let mut payload = Vec::with_capacity(len + 8);
    payload.extend_from_slice(&CHANGE_MAGIC);
    payload.extend_from_slice(&[0; 4]);
    for piece in pieces {
        payload.extend_from_slice(piece);
    }
    let hash = digest(DigestMode::Change, &payload);
    if let (Some(place), Some(sum)) = (payload.get_mut(4..8), hash.get(..4)) {
        place.copy_from_slice(sum);
    }
    (payload, hash)
}

/// Lays a change out, given from its type byte on, and says how long its body has become; `None`, and nothing is written,
/// if it is not of the usual form.
pub(super) fn lay_out(bytes: &[u8], context: &mut Context, laid: &mut Laid) -> Option<usize> {
    let chunk = Chunk::read(bytes, &context.actor)?;
    if chunk.write(&context.actor, chunk.body).0.get(8..) != Some(bytes) {
        return None;
    }
    let heads = &mut laid.heads;
    heads.varint(chunk.deps.len() as u64);
    for dep in &chunk.deps {
        let back = context.digests.iter().rev().position(|it| it == dep);
        heads.varint(back.map_or(0, |back| back as u64 + 1));
        if back.is_none() {
            laid.raw.fixed(dep);
        }
    }
    heads.difference(chunk.seq, context.before.0);
    heads.difference(chunk.start_op, context.before.1);
    context.before = (chunk.seq, chunk.start_op);
    heads.varint(chunk.others.len() as u64);
    for other in &chunk.others {
        heads.fixed(other);
    }
    let known = context.names();
    let (mut names, mut count) = (Writer::new(), 0_u64);
    let (mut rest, mut from, before) = (chunk.body, 0, laid.bodies.len());
    while let Some(first) = rest.get(from) {
        let at = rest.get(from..).unwrap_or_default();
        let begins =
            |(_, name): &&(u64, &[u8])| name.first() == Some(first) && at.starts_with(name);
        if let Some((name, found)) = known.iter().find(begins) {
            laid.bodies.fixed(rest.get(..from).unwrap_or_default());
            names.varint(from as u64).varint(*name);
            count += 1;
            (rest, from) = (at.get(found.len()..).unwrap_or_default(), 0);
        } else {
            from += 1;
        }
    }
    laid.bodies.fixed(rest);
    heads.varint(count).fixed(&names.into_bytes());
    Some(laid.bodies.len() - before)
}

/// A head as it was laid out; the body follows later.
pub(super) struct Head {
    deps: Vec<Option<u64>>,
    seq: u64,
    start_op: u64,
    others: Vec<[u8; 16]>,
    /// Bytes before a name, and the name.
    names: Vec<(usize, u64)>,
}

impl Head {
    /// Reads a head; `before` are the numbers of the change before it.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        before: &mut (u64, u64),
    ) -> Result<Self, DecodeError> {
        let count = reader.varint()?;
        if count > limits::CHANGE_DEPS_MAX as u64 + 1 {
            return reader.fail("too many dependencies");
        }
        let mut deps = Vec::new();
        for _ in 0..count {
            deps.push(reader.varint()?.checked_sub(1));
        }
        *before = (reader.difference(before.0)?, reader.difference(before.1)?);
        let count = reader.varint()?;
        if count > limits::BATCH_ENTRIES as u64 {
            return reader.fail("too many other actors");
        }
        let mut others = Vec::new();
        for _ in 0..count {
            others.push(reader.fixed()?);
        }
        let count = reader.varint()?;
        let mut names = Vec::new();
        // Each takes two bytes at least, so there are no more than the bytes that follow.
        for _ in 0..count {
            let gap = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
            names.push((gap, reader.varint()?));
        }
        Ok(Self {
            deps,
            seq: before.0,
            start_op: before.1,
            others,
            names,
        })
    }

    /// The change with this body; `budget` is what may still be rebuilt, and is lessened.
    pub(super) fn rebuild(
        &self,
        body: &mut Reader<'_>,
        raw: &mut Reader<'_>,
        context: &Context,
        budget: &mut usize,
    ) -> Result<Hashed, DecodeError> {
        let mut deps = Vec::with_capacity(self.deps.len());
        for dep in &self.deps {
            deps.push(match dep {
                None => raw.fixed()?,
                Some(back) => {
                    let back = usize::try_from(*back).unwrap_or(usize::MAX);
                    match context.digests.iter().rev().nth(back) {
                        Some(digest) => *digest,
                        None => return raw.fail("a dependency before the batch"),
                    }
                }
            });
        }
        let mut written = Vec::with_capacity(body.remaining() + 32 * self.names.len().min(8));
        for (gap, name) in &self.names {
            written.extend_from_slice(body.take(*gap)?);
            let Some(named) = context.named(*name) else {
                return body.fail("a name that nothing has");
            };
            written.extend_from_slice(named);
            if written.len() > *budget {
                return body.fail("changes that become too long");
            }
        }
        written.extend_from_slice(body.rest());
        let chunk = Chunk {
            deps,
            seq: self.seq,
            start_op: self.start_op,
            others: self.others.clone(),
            body: &[],
        };
        let hashed = chunk.write(&context.actor, &written);
        match budget.checked_sub(hashed.0.len()) {
            Some(left) => *budget = left,
            None => return body.fail("changes that become too long"),
        }
        Ok(hashed)
    }
}
