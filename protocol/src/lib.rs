//! Formats, rules and the sync state machine of Lianxin 连心. Pure: no I/O, no clock, no randomness.
pub mod admit;
pub mod authority;
pub mod batch;
pub mod catalogue;
pub mod codec;
pub mod document;
pub mod hash;
pub mod identity;
pub mod limits;
pub mod log;
pub mod message;
pub mod number;
pub mod part;
pub mod session;
pub mod space;
#[cfg(test)]
pub(crate) mod testing;
pub mod words;
