//! The node of Lianxin 连心: the program that runs on every computer of a network.
//!
//! A synchronous middle ([`store`], [`journal`], [`records`], [`requests`], [`writer`], [`command`], [`archive`]) that a simulator drives
//! without a runtime, and an asynchronous rim ([`changes`], [`sync`], [`web`], [`daemon`]) around it. [`journal`] is the
//! only code that can add an entry; what a list shows is rebuilt from the logs at any time.
//!
//! ```text
//!  cli, socket ─► command ─► records ─┐
//!      │            ▲                ├─► journal ─► store
//!      │           web ──────────────┤
//!      │                             └─► accounts, drafts, slips ─► store
//!      └► daemon ─► writer, web
//!            └────► sync ─► protocol::session
//! ```

pub mod accounts;
pub mod archive;
pub mod changes;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod daemon;
pub mod drafts;
pub mod error;
pub mod invites;
pub mod journal;
pub mod logging;
pub mod reader;
pub mod records;
pub mod refill;
pub mod reply;
pub mod requests;
pub mod setup;
pub mod slips;
pub mod socket;
pub mod store;
pub mod supervisor;
pub mod sync;
pub mod warnings;
pub mod web;
pub mod writer;
