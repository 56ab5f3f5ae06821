//! Under construction.

pub mod endpoint;
mod tls;
