//! Writing an edit as one change.
//!
//! Two ways, as there are two of reading: `plain` lays the operations out from those that the gate has decoded and has
//! Automerge encode them, `merged` has Automerge write them upon its document. Where nobody disputes anything both give the
//! same bytes: fuzzing and a unit test compare them. Neither decides whether a change counts: what is written passes the gate.
//!
//! Rejected: an encoder of our own, which would be a second opinion on what a change looks like.

mod merged;
mod plain;

pub(super) use merged::write as merged;
pub(super) use plain::write as plain;
