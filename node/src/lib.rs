//! Lianxin's node.
pub mod clock;
pub mod error;
pub mod journal;
pub mod records;
pub mod store;
pub mod writer;
