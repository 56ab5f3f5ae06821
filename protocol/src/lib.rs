//! Under construction.

pub mod document;
