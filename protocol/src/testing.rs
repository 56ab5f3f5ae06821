//! What the tests of several modules share: seeded randomness and small logs. All fictional data.

#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that reaches beyond its own data should fail"
)]

use crate::identity::Signer;
use crate::log::{
    Branch, CHANGE_MAGIC, DigestMode, EntryKind, Genesis, GenesisReason, LogId, NewEntry, Position,
    RecordId, Run, Tail, VerifiedRun, digest,
};
use crate::receipt::{Exception, Receipt};
use crate::space::{NetworkId, SiteId, Space, SpaceId};

/// SplitMix64 (Steele, Lea and Flood 2014): one seed, one sequence.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

pub(crate) fn network() -> NetworkId {
    NetworkId::of_root(&signer(200).public().0)
}

pub(crate) fn signer(n: u8) -> Signer {
    Signer::from_seed(&[n; 32])
}

pub(crate) fn site_space() -> Space {
    Space::Site(SiteId([7; 16]))
}

pub(crate) fn space_id(space: Space) -> SpaceId {
    space.id(&network())
}

/// A receipt that the authority key of these tests signed.
pub(crate) fn receipt(exceptions: Vec<Exception>) -> Receipt {
    Receipt {
        space: space_id(site_space()),
        log: LogId([3; 32]),
        epoch: [4; 16],
        stored: Position {
            len: 20,
            head: [5; 32],
        },
        judged_len: 18,
        exceptions,
        received_at_ms: 1_700_000_000_000,
        signature: [0; 64],
    }
    .signed(&signer(100))
}

pub(crate) fn genesis(space: SpaceId, writer: &Signer, incarnation: u8) -> Genesis {
    Genesis {
        space,
        device: writer.public(),
        incarnation: [incarnation; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: [9; 32],
    }
}

/// Bytes with the magic and checksum of a change; what follows is not Automerge's.
pub(crate) fn change(rest: &[u8]) -> Vec<u8> {
    let mut payload = [&CHANGE_MAGIC[..], &[0; 4], rest].concat();
    let hash = digest(DigestMode::Change, &payload);
    payload[4..8].copy_from_slice(&hash[..4]);
    payload
}

pub(crate) fn change_entry(rest: &[u8]) -> NewEntry {
    NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record: RecordId([1; 16]),
        payload: change(rest),
    }
}

pub(crate) fn part_entry(payload: &[u8]) -> NewEntry {
    NewEntry {
        kind: EntryKind::Part,
        digest: DigestMode::Salted,
        erasable: true,
        record: RecordId([1; 16]),
        payload: payload.to_vec(),
    }
}

/// A save of a part and the change that refers to it.
pub(crate) fn save(n: u8) -> Vec<NewEntry> {
    vec![part_entry(&[n; 40]), change_entry(&[n, 1, 2, 3])]
}

/// What a proof of a fork shows of a run.
pub(crate) fn branch(run: &Run) -> Branch {
    Branch {
        headers: run.entries.iter().map(|it| it.header.clone()).collect(),
        checkpoint: run.checkpoint.clone(),
    }
}

/// One's own log, cut into runs.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) signer: Signer,
    pub(crate) tail: Tail,
}

impl Author {
    pub(crate) fn new(space: SpaceId, key: u8, incarnation: u8) -> Self {
        let signer = signer(key);
        let tail = Tail::begin(&genesis(space, &signer, incarnation), 1 << 16, 1);
        Self { signer, tail }
    }

    pub(crate) fn push(&mut self, group: Vec<NewEntry>) -> &mut Self {
        self.tail.push_group(group, 2 << 16, 1);
        self
    }

    /// Signs what was pushed since the last call.
    pub(crate) fn cut(&mut self) -> VerifiedRun {
        let next = Tail {
            start: self.tail.end,
            entries: Vec::new(),
            ..self.tail.clone()
        };
        let done = std::mem::replace(&mut self.tail, next);
        done.sign(&self.signer, (1, [9; 32]), 3 << 16)
    }
}
