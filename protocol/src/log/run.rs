//! Runs: consecutive entries and the checkpoint after them, verified when foreign and signed when one's own.
//!
//! Both stand in one module, so that nothing else can make a [`VerifiedRun`]. Must not decide whether the author may
//! write, nor whether the run follows on what is stored.

use thiserror::Error;

use super::checkpoint::Checkpoint;
use super::entry::{
    DigestMode, Entry, EntryKind, Flags, HEADER_VERSION, Header, digest, payload_max,
};
use super::genesis::{Author, Genesis};
use super::place::{EntryId, LogId, Position, RecordId};
use crate::identity::Signer;
use crate::limits;

/// Why a run of entries is not a piece of the log that it claims. Nothing of such a run is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ChainError {
    /// No entries, or more than [`limits::BATCH_ENTRIES`].
    #[error("a run has 1 to 64 entries")]
    Count,
    /// Entry numbers are not consecutive.
    #[error("entry {0} is not at its place in the log")]
    Sequence(u64),
    /// An entry does not follow the one before it.
    #[error("entry {0} does not follow the one before it")]
    Link(u64),
    /// The cited authority log shrank, in an entry or in the checkpoint that stands in its place.
    #[error("entry {0} or its checkpoint cites less of the authority log than the entry before it")]
    AuthorityShrank(u64),
    /// A payload does not fit its header, or is longer than its kind may be.
    #[error("the payload of entry {0} is not the one that its header names")]
    Payload(u64),
    /// The run ends inside a save group.
    #[error("the run ends inside a save")]
    SplitGroup,
    /// The log does not begin with a genesis that fits its id.
    #[error("the log does not begin with its genesis")]
    Genesis,
    /// The checkpoint is not signed by the log's device, or for another position.
    #[error("the checkpoint's signature does not hold")]
    Signature,
}

/// Consecutive entries of one log up to a checkpoint, as received or as about to be signed.
/// Unverified.
///
/// ```
/// use lianxin_protocol::identity::Signer;
/// use lianxin_protocol::log::{ChainError, EntryKind, Genesis, GenesisReason, NewEntry, Tail};
/// use lianxin_protocol::space::{NetworkId, Space};
///
/// let key = Signer::from_seed(&[4; 32]);
/// let network = NetworkId::of_root(&Signer::from_seed(&[1; 32]).public().0);
/// let genesis = Genesis {
///     space: Space::Hub.id(&network),
///     device: key.public(),
///     incarnation: [9; 16],
///     previous: None,
///     reason: GenesisReason::New,
///     authority_head: [0; 32],
/// };
/// let mut tail = Tail::begin(&genesis, 0, 0);
/// tail.push_group(vec![NewEntry::plain(EntryKind::Erased, vec![7; 32])], 0, 0);
/// let sent = tail.sign(&key, (0, [0; 32]), 0).run().clone();
///
/// let taken = sent.clone().verify(None, 0)?;
/// assert_eq!((taken.end().len, taken.author().device), (2, key.public()));
/// let mut bent = sent;
/// bent.entries[1].payload = Some(vec![8; 32]);
/// assert_eq!(bent.verify(None, 0).err(), Some(ChainError::Payload(1)));
/// # Ok::<(), ChainError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The log.
    pub log: LogId,
    /// Position before the first entry.
    pub start: Position,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Covers the last of them.
    pub checkpoint: Checkpoint,
}

/// What was hashed of a run while it was rebuilt, entry by entry.
#[derive(Debug, Default)]
pub(crate) struct Hashed(Vec<(EntryId, bool)>);

impl Hashed {
    /// The next entry has this id, and says whether the digest in its header was computed from the payload beside it.
    pub(crate) fn push(&mut self, id: EntryId, gave_digest: bool) {
        self.0.push((id, gave_digest));
    }

    fn id(&self, index: usize) -> Option<EntryId> {
        self.0.get(index).map(|(id, _)| *id)
    }

    fn gave_digest(&self, index: usize) -> bool {
        self.0.get(index).is_some_and(|(_, gave)| *gave)
    }
}

impl Run {
    /// The author that the genesis in this run names.
    ///
    /// # Errors
    /// The run does not begin at 0 with a genesis that hashes to the log's id.
    pub fn author(&self) -> Result<Author, ChainError> {
        let genesis = self
            .entries
            .first()
            .filter(|entry| entry.header.kind == EntryKind::Genesis && self.start.len == 0)
            .and_then(|entry| entry.payload.as_deref())
            .and_then(|payload| Genesis::decode(payload).ok())
            .ok_or(ChainError::Genesis)?;
        // rule:genesis-id rule:genesis-key rule:key-sound rule:genesis-head
        if genesis.log() == self.log && genesis.device.is_sound() {
            Ok(Author {
                space: genesis.space,
                device: genesis.device,
            })
        } else {
            Err(ChainError::Genesis)
        }
    }

    /// Checks chain, payloads, group and signature; at 0 also that the chain hangs on the log's id and
    /// that the genesis is that of the log. `known` is the log's author from what is stored,
    /// or `None` for a log that begins with this run; `authority_floor` is what the entry before
    /// cited.
    ///
    /// # Errors
    /// See [`ChainError`]; nothing of the run can be used.
    pub fn verify(
        self,
        known: Option<Author>,
        authority_floor: u32,
    ) -> Result<VerifiedRun, ChainError> {
        self.verify_hashed(known, authority_floor, &Hashed::default())
    }

    /// As [`Run::verify`], for who rebuilt the run and hashed what it is rebuilt from.
    ///
    /// # Errors
    /// See [`ChainError`]; nothing of the run can be used.
    pub(crate) fn verify_hashed(
        self,
        known: Option<Author>,
        authority_floor: u32,
        hashed: &Hashed,
    ) -> Result<VerifiedRun, ChainError> {
        if self.entries.is_empty() || self.entries.len() > limits::BATCH_ENTRIES {
            return Err(ChainError::Count);
        }
        let author = match known {
            Some(author) => author,
            None => self.author()?,
        };
        if self.start.len == 0 {
            if self.start != Position::start(&self.log) {
                return Err(ChainError::Link(0));
            }
            let first = self.entries.first();
            if first.is_some_and(|entry| entry.payload.is_some()) && self.author()? != author {
                return Err(ChainError::Genesis);
            }
        }
        let mut position = self.start;
        let mut floor = authority_floor;
        let mut ids = Vec::with_capacity(self.entries.len());
        for (index, entry) in self.entries.iter().enumerate() {
            let header = &entry.header;
            let seq = position.len;
            if header.seq != seq {
                return Err(ChainError::Sequence(seq));
            }
            if header.prev != position.head {
                return Err(ChainError::Link(seq));
            }
            if header.authority_len < floor {
                return Err(ChainError::AuthorityShrank(seq));
            }
            if (header.kind == EntryKind::Genesis) != (seq == 0) {
                return Err(ChainError::Genesis);
            }
            let payload_fits = usize::try_from(header.payload_len)
                // rule:payload-bound
                .is_ok_and(|len| len <= payload_max(header.kind))
                && (hashed.gave_digest(index)
                    || entry
                        .payload
                        .as_deref()
                        .is_none_or(|payload| header.fits(payload)));
            // rule:payload-fits
            if !payload_fits {
                return Err(ChainError::Payload(seq));
            }
            floor = header.authority_len;
            let id = hashed.id(index).unwrap_or_else(|| header.id());
            ids.push(id);
            position = Position {
                len: seq.saturating_add(1),
                head: id.0,
            };
        }
        if self
            .entries
            .last()
            .is_some_and(|entry| entry.header.flags.group_goes_on())
        {
            return Err(ChainError::SplitGroup);
        }
        let checkpoint = &self.checkpoint;
        let covers = checkpoint.len == position.len && checkpoint.head == position.head;
        if !covers || !checkpoint.verifies(&author.space, &self.log, &author.device) {
            return Err(ChainError::Signature);
        }
        if checkpoint.authority_len < floor {
            return Err(ChainError::AuthorityShrank(position.len));
        }
        Ok(VerifiedRun {
            run: self,
            author,
            ids,
            authority_len: floor,
        })
    }
}

/// A run whose chain, payloads and signature hold. Only [`Run::verify`] and [`Tail::sign`] make one.
#[derive(Clone, Debug)]
pub struct VerifiedRun {
    run: Run,
    author: Author,
    ids: Vec<EntryId>,
    authority_len: u32,
}

impl VerifiedRun {
    /// The run.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Who wrote it.
    #[must_use]
    pub const fn author(&self) -> Author {
        self.author
    }

    /// Ids of the entries, in order.
    #[must_use]
    pub fn ids(&self) -> &[EntryId] {
        &self.ids
    }

    /// Authority length that the last entry cites.
    #[must_use]
    pub const fn authority_len(&self) -> u32 {
        self.authority_len
    }

    /// Length and head of the authority log that the log's genesis cites, if this run has it: which orders the log
    /// was begun under.
    #[must_use]
    pub fn first(&self) -> Option<(u32, [u8; 32])> {
        let first = self.run.entries.first().filter(|it| it.header.seq == 0)?;
        let genesis = Genesis::decode(first.payload.as_deref()?).ok()?;
        // rule:verdict-alike
        Some((first.header.authority_len, genesis.authority_head))
    }

    /// Position after the last entry.
    #[must_use]
    pub const fn end(&self) -> Position {
        Position {
            len: self.run.checkpoint.len,
            head: self.run.checkpoint.head,
        }
    }
}

/// What is to become an entry of one's own log.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// What it is.
    pub kind: EntryKind,
    /// How its digest is made.
    pub digest: DigestMode,
    /// Whether its payload may be erased.
    pub erasable: bool,
    /// The record that it belongs to.
    pub record: RecordId,
    /// The payload.
    pub payload: Vec<u8>,
}

impl NewEntry {
    /// An entry with a plain digest that belongs to no record.
    #[must_use]
    pub const fn plain(kind: EntryKind, payload: Vec<u8>) -> Self {
        Self {
            kind,
            // rule:digest-modes
            digest: DigestMode::Plain,
            erasable: false,
            record: RecordId::NONE,
            payload,
        }
    }
}

/// The end of one's own log, where entries are appended and then signed.
#[derive(Clone, Debug)]
pub struct Tail {
    /// The log.
    pub log: LogId,
    /// Its author.
    pub author: Author,
    /// Position before the first entry held here.
    pub start: Position,
    /// Position after the last.
    pub end: Position,
    /// Entries since `start`.
    pub entries: Vec<Entry>,
}

impl Tail {
    /// A log that is about to begin; its genesis is its first entry.
    #[must_use]
    pub fn begin(genesis: &Genesis, hlc: u64, authority_len: u32) -> Self {
        let log = genesis.log();
        let start = Position::start(&log);
        let author = Author {
            space: genesis.space,
            device: genesis.device,
        };
        let mut tail = Self {
            log,
            author,
            start,
            end: start,
            entries: Vec::new(),
        };
        let entry = NewEntry::plain(EntryKind::Genesis, genesis.encode());
        tail.push_group(vec![entry], hlc, authority_len);
        tail
    }

    /// The same log without entries, to go on after a run that was cut off.
    #[must_use]
    pub const fn clone_empty(&self) -> Self {
        Self {
            log: self.log,
            author: self.author,
            start: self.start,
            end: self.end,
            entries: Vec::new(),
        }
    }

    /// Appends the entries of one save.
    pub fn push_group(&mut self, group: Vec<NewEntry>, hlc: u64, authority_len: u32) {
        let last = group.len().saturating_sub(1);
        for (index, new) in group.into_iter().enumerate() {
            let header = Header {
                version: HEADER_VERSION,
                kind: new.kind,
                flags: Flags::new(new.digest, new.erasable, index < last),
                seq: self.end.len,
                prev: self.end.head,
                record: new.record,
                hlc,
                authority_len,
                payload_len: u32::try_from(new.payload.len()).unwrap_or(u32::MAX),
                digest: digest(new.digest, &new.payload),
                extension: Vec::new(),
            };
            self.end = Position {
                len: self.end.len.saturating_add(1),
                head: header.id().0,
            };
            self.entries.push(Entry {
                header,
                payload: Some(new.payload),
            });
        }
    }

    /// Signs what is held: a checkpoint over everything up to the end.
    #[must_use]
    pub fn sign(self, signer: &Signer, authority: (u32, [u8; 32]), hlc: u64) -> VerifiedRun {
        let checkpoint = Checkpoint::sign(
            signer,
            &self.author.space,
            &self.log,
            self.end,
            authority,
            hlc,
        );
        let next = self
            .entries
            .iter()
            .skip(1)
            .map(|entry| EntryId(entry.header.prev));
        let last = self.entries.last().map(|_| EntryId(self.end.head));
        let ids = next.chain(last).collect();
        let authority_len = self
            .entries
            .last()
            .map_or(0, |entry| entry.header.authority_len);
        VerifiedRun {
            author: self.author,
            ids,
            authority_len,
            run: Run {
                log: self.log,
                start: self.start,
                entries: self.entries,
                checkpoint,
            },
        }
    }
}
