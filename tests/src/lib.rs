//! The harness of the scenarios: a small world of nodes that no runtime drives.
//!
//! Stores, journals, sessions and the glue between them are the real ones; only the wire, its faults and
//! the order in which things happen are the world's. A seed fixes that order. Keys, record ids and salts
//! are drawn by the nodes themselves, so a seed repeats a schedule, not its bytes.

pub mod fuzz;
pub mod process;
pub mod rng;
pub mod world;

pub use rng::Rng;
pub use world::{Chunks, Cut, Wire, World};
