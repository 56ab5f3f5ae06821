//! The scenarios: one file a promise, one linked binary.

mod process;
mod tidy;
