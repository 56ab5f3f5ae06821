//! The scenarios: one file a promise, one linked binary.

mod abuse;
mod contract;
mod exactly_once;
mod process;
mod requests;
mod restore;
mod revoke;
mod seeds;
mod tidy;
