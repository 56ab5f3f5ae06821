//! Proofs that a device wrote two different entries at one place of a log.
//!
//! Owns their bytes and whether they hold. What follows from one is the store's to say: a proof only freezes.

use super::checkpoint::Checkpoint;
use super::entry::{HEADER_LEN, Header};
use super::genesis::Author;
use super::place::{LogId, Position};
use crate::codec::{DecodeError, Reader, Writer};
use crate::identity::DeviceKey;
use crate::limits;
use crate::space::SpaceId;

/// One side of a fork: headers from the forked place to a checkpoint that covers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// Headers from the forked sequence number on.
    pub headers: Vec<Header>,
    /// Covers the last of them.
    pub checkpoint: Checkpoint,
}

/// Proof that a device wrote two different entries at one place: anyone can check it with the
/// device's key alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkProof {
    /// The author of the log.
    pub author: Author,
    /// The log.
    pub log: LogId,
    /// The two branches, the one with the smaller first entry id first.
    pub branches: [Branch; 2],
}

impl ForkProof {
    /// The forked place, if both branches are signed, begin at one place after the same entry and
    /// differ there. It speaks for `author` only: the proof does not show that the log is his, so
    /// whoever acts on it compares `author` with that of the stored log.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        let [left, right] = &self.branches;
        let first = (left.headers.first()?, right.headers.first()?);
        let place = (first.0.seq, first.0.prev) == (first.1.seq, first.1.prev);
        let ordered = first.0.id() < first.1.id();
        let signed = self.branches.iter().all(|branch| self.branch_holds(branch));
        (place && ordered && signed).then_some(first.0.seq)
    }

    fn branch_holds(&self, branch: &Branch) -> bool {
        let linked = branch.headers.windows(2).all(|pair| match pair {
            [before, after] => {
                after.prev == before.id().0 && after.seq == before.seq.saturating_add(1)
            }
            _ => false,
        });
        let last = branch.headers.last();
        linked
            && last.is_some_and(|last| {
                branch.checkpoint.len == last.seq.saturating_add(1)
                    && branch.checkpoint.head == last.id().0
            })
            && branch
                .checkpoint
                .verifies(&self.author.space, &self.log, &self.author.device)
    }

    /// Appends the encoding.
    pub fn write(&self, writer: &mut Writer) {
        writer
            .fixed(&self.author.space.0)
            .fixed(&self.author.device.0)
            .fixed(&self.log.0);
        for branch in &self.branches {
            writer.length(branch.headers.len());
            for header in &branch.headers {
                header.write(writer);
            }
            branch.checkpoint.write(writer);
        }
    }

    /// Reads a proof; it still has to be checked.
    ///
    /// # Errors
    /// The bytes are not a proof.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let space = SpaceId(reader.fixed()?);
        let device = DeviceKey(reader.fixed()?);
        let log = LogId(reader.fixed()?);
        let mut branch = || {
            let count = reader.count(limits::FORK_HEADERS_MAX, HEADER_LEN)?;
            let headers = (0..count)
                .map(|_| Header::read(reader))
                .collect::<Result<Vec<_>, _>>()?;
            let position = headers.last().map_or_else(
                || Position::start(&log),
                |last| Position {
                    len: last.seq.saturating_add(1),
                    head: last.id().0,
                },
            );
            Ok(Branch {
                headers,
                checkpoint: Checkpoint::read(reader, position)?,
            })
        };
        Ok(Self {
            author: Author { space, device },
            log,
            branches: [branch()?, branch()?],
        })
    }
}
