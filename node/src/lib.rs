//! The node of Lianxin 连心: the program that runs on every computer of a network.
//!
//! A synchronous middle ([`store`], [`journal`], [`records`], [`requests`], [`reports`], [`writer`], [`reader`], [`command`]) that a simulator drives
//! without a runtime, and an asynchronous rim ([`changes`], [`sync`], [`web`], [`daemon`]) around it. [`journal`] is the
//! only code that can add an entry; what a list shows is rebuilt from the logs at any time. One thread writes; whoever reads does so
//! beside it, on a snapshot of one commit.
//!
//! ```text
//!  cli, socket ─► command ─► records ─┐
//!      │            ▲                ├─► journal ─► store
//!      │           web ──► reports ────┤
//!      │                             └─► actor, accounts, drafts, slips ─► store
//!      └► daemon ─► writer, reader, web
//!            └────► sync ─► protocol::session
//! ```
//!
//! The modules below stand in the order in which to read them.

// What everything stands on.
pub mod error;
pub mod clock;
pub mod config;
pub mod logging;
pub mod reply;
mod words;

// One store: how it is opened, what is written to it, and by whom.
pub mod store;
pub mod journal;
pub mod writer;
pub mod reader;

// What people see and do, made from the logs.
pub mod actor;
pub mod search;
pub mod records;
pub mod requests;
pub mod reports;
pub mod command;
pub mod archive;
pub mod ledger;
pub mod forms;
pub mod published;
pub mod warnings;

// What one computer alone keeps beside the logs.
pub mod accounts;
pub mod drafts;
pub mod bulk;
pub mod invites;
pub mod slips;
pub mod papers;
pub mod sheets;
mod wide;
pub mod plots;

// How a device begins, and begins again.
pub mod setup;
pub mod refill;

// What runs: the network, the pages, and the doors to both.
pub mod changes;
mod wait;
pub mod sync;
pub mod web;
pub mod daemon;
pub mod socket;
pub mod supervisor;
pub mod cli;
