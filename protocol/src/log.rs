//! Logs: signed, hash-chained, single-writer sequences of entries, and their verification.
//!
//! Only headers are chained; a payload hangs on its header by a digest, so it can be left out or
//! erased and the chain still verifies. A checkpoint signs length and head and with them every entry
//! before it. Foreign bytes become a [`Run`] (unverified) and only [`Run::verify`] makes a
//! [`VerifiedRun`], which is the only thing that a journal takes: the compiler keeps unverified bytes
//! out. Whether the author *may* write is not decided here (module `authority`).
//!
//! Encodings are canonical, so an entry rebuilt from its fields has the bytes that were signed; the
//! checkpoint proves it each time.

mod checkpoint;
mod entry;
mod fork;
mod genesis;
mod place;
mod run;

pub use self::checkpoint::Checkpoint;
pub(crate) use self::entry::{CHANGE_MAGIC, starts_as_change};
pub use self::entry::{
    DigestMode, Entry, EntryKind, Flags, HEADER_LEN, HEADER_VERSION, Header, digest, payload_max,
};
pub use self::fork::{Branch, ForkProof};
pub use self::genesis::{Author, Genesis, GenesisReason};
pub use self::place::{EntryId, LogId, Position, RecordId};
pub(crate) use self::place::{read_place, write_place};
pub(crate) use self::run::Hashed;
pub use self::run::{ChainError, NewEntry, Run, Tail, VerifiedRun};

#[cfg(test)]
mod tests;
