//! Scenarios: one module a promise.

mod exactly_once;
mod restore;
mod revoke;
mod seeds;
