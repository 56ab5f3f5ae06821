//! The scenarios: one file a promise, one linked binary.

mod abuse;
mod contract;
mod process;
mod tidy;
