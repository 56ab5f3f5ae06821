//! Under construction.

pub mod clock;
pub mod error;
pub mod sync;
