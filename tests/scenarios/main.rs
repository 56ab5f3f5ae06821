//! The scenarios: one file a promise, one linked binary.

mod contract;
mod process;
mod tidy;
