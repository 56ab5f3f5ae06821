//! The harness of the scenarios: a small world of nodes that no runtime drives.
//!
//! Stores, journals, sessions and the glue between them are the real ones; only the wire, its faults and
//! the order in which things happen are the world's. A seed fixes that order, and keys, ids, salts and times with it: it
//! repeats a run byte for byte.

pub mod fuzz;
pub mod line;
pub mod load;
pub mod process;
pub mod rng;
pub mod world;

pub use rng::Rng;
pub use world::{Chunks, Cut, Wire, World};
