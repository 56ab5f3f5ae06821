//! What the scenarios and benchmarks share.

pub mod process;
