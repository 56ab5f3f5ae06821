//! Under construction.

pub mod catalogue;
pub mod number;
pub mod words;
