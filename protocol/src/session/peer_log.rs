//! One log as the peer is known to have it, and what follows from that.
//!
//! Pure: it compares two states and says the next step. It never decides whether an entry counts, nor what the
//! owner's store takes of a frozen log.
//!
//! Invariants: what a peer says it has never shrinks but by a Want, which is kept elsewhere; a log that the peer
//! has frozen stays frozen. A proof is asked for once, and again only for an earlier place, so that two peers that
//! disagree about a fork come to rest and are not in sync.
//!
//! Rejected: to take a peer for one that has everything once it has frozen a log. Two devices that froze one log at
//! different places held different things for ever and said they were in sync.

use crate::message::{Row, Tip};

/// What the peer has of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Has {
    /// Entries up to here; the head only where the peer named it.
    Upto { len: u64, head: Option<[u8; 16]> },
    /// Another log than this side's from some place on. It was sent this side's entries before the difference; what
    /// can settle it is a proof.
    Parted { len: u64 },
    /// A log that it has closed here.
    Frozen { len: u64, head: [u8; 16] },
    /// Unknown, and the owner's store could not give what it lacks.
    LeftAlone,
}

/// The proof that a log forked, as far as the peer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Unsent,
    /// The owner was asked for it when the log was frozen here.
    Asked {
        frozen_len: u64,
    },
}

/// A log of the peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerLog {
    has: Has,
    proof: Proof,
    /// Place of the earliest fork that a proof was sent for.
    proven: Option<u64>,
}

/// What is to be done next for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Load { from: u64, head: Option<[u8; 16]> },
    Prove,
    Nothing,
}

/// The part of a head that vectors show.
pub(super) fn shown(head: &[u8; 32]) -> [u8; 16] {
    head.first_chunk().copied().unwrap_or_default()
}

impl Default for PeerLog {
    fn default() -> Self {
        Self::having(Has::Upto { len: 0, head: None })
    }
}

impl PeerLog {
    const fn having(has: Has) -> Self {
        Self {
            has,
            proof: Proof::Unsent,
            proven: None,
        }
    }

    /// As a row of a vector says.
    pub(super) const fn of_row(row: &Row) -> Self {
        let (len, head) = (row.len, row.head);
        Self::having(if row.frozen {
            Has::Frozen { len, head }
        } else {
            Has::Upto {
                len,
                head: Some(head),
            }
        })
    }

    /// The same as this side has.
    pub(super) fn of_tip(tip: &Tip) -> Self {
        let (len, head) = (tip.len, shown(&tip.head));
        Self::having(if tip.frozen {
            Has::Frozen { len, head }
        } else {
            Has::Upto {
                len,
                head: Some(head),
            }
        })
    }

    /// What the peer has, in entries, as far as it is known.
    pub(super) const fn len(&self) -> u64 {
        match self.has {
            Has::Upto { len, .. } | Has::Parted { len } | Has::Frozen { len, .. } => len,
            Has::LeftAlone => 0,
        }
    }

    /// Takes a row that came later. Says whether it changed anything.
    pub(super) fn hear(&mut self, row: &Row) -> bool {
        let before = self.has;
        match self.has {
            _ if row.frozen => self.has = Self::of_row(row).has,
            Has::Upto { len, head } if row.len > len || (row.len == len && head.is_none()) => {
                self.has = Self::of_row(row).has;
            }
            Has::Parted { len } => {
                let len = len.max(row.len);
                self.has = Has::Parted { len };
            }
            Has::Upto { .. } | Has::Frozen { .. } | Has::LeftAlone => {}
        }
        self.has != before
    }

    /// The peer has entries up to here: it has sent them, or was sent them.
    pub(super) const fn holds(&mut self, end: u64) {
        match &mut self.has {
            Has::Upto { len, head } if end > *len => {
                *len = end;
                *head = None;
            }
            Has::Parted { len } if end > *len => *len = end,
            Has::Upto { .. } | Has::Parted { .. } | Has::Frozen { .. } | Has::LeftAlone => {}
        }
    }

    /// It was sent entries from before the place that it named: it has others there.
    pub(super) fn parts(&mut self) {
        if let Has::Upto { len, .. } = self.has {
            self.has = Has::Parted { len };
        }
    }

    /// The store cannot give what the peer lacks.
    pub(super) const fn leave_alone(&mut self) {
        self.has = Has::LeftAlone;
    }

    /// The owner was asked for the proof.
    pub(super) const fn ask_proof(&mut self, mine: &Tip) {
        let frozen_len = mine.len;
        self.proof = Proof::Asked { frozen_len };
    }

    /// Whether the proof of a fork at this place must be sent: it was not, nor one of an earlier place.
    pub(super) fn prove(&mut self, seq: u64) -> bool {
        let fresh = self.proven.is_none_or(|proven| seq < proven);
        if fresh {
            self.proven = Some(seq);
        }
        fresh
    }

    /// What the peer lacks. Of a log that is frozen here it gets what precedes the fork, as every device does, and
    /// then the proof; of one that it has frozen itself, the proof if the two differ.
    pub(super) fn step(&self, mine: &Tip) -> Step {
        let differs = |head: &[u8; 16]| shown(&mine.head) != *head;
        match self.has {
            Has::LeftAlone => Step::Nothing,
            Has::Upto { len, head } if len < mine.len => Step::Load { from: len, head },
            Has::Parted { len } if len < mine.len => Step::Load {
                from: len,
                head: None,
            },
            Has::Upto {
                len,
                head: Some(head),
            } if !mine.frozen && len == mine.len && len > 0 && differs(&head) => Step::Load {
                from: len,
                head: Some(head),
            },
            Has::Frozen { len, head } if len == mine.len && !differs(&head) => Step::Nothing,
            Has::Upto { .. } | Has::Parted { .. } | Has::Frozen { .. } => self.proof_due(mine),
        }
    }

    const fn proof_due(&self, mine: &Tip) -> Step {
        let due = match self.proof {
            Proof::Unsent => mine.frozen,
            Proof::Asked { frozen_len } => mine.frozen && mine.len < frozen_len,
        };
        if due { Step::Prove } else { Step::Nothing }
    }

    /// Whether both sides are known to have the same.
    pub(super) fn agrees(&self, mine: Option<&Tip>) -> bool {
        let (len, frozen) = mine.map_or((0, false), |tip| (tip.len, tip.frozen));
        let same = |head: &[u8; 16]| mine.is_none_or(|tip| shown(&tip.head) == *head);
        match &self.has {
            Has::Upto { len: theirs, head } => {
                let same = len == 0 || head.as_ref().is_none_or(same);
                !frozen && *theirs == len && same
            }
            Has::Frozen { len: theirs, head } => frozen && *theirs == len && same(head),
            Has::Parted { .. } | Has::LeftAlone => false,
        }
    }
}
