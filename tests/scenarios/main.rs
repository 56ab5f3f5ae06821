//! The scenarios: one file a promise, one linked binary.

mod abuse;
mod archive;
mod config;
mod contract;
mod counts;
mod exactly_once;
mod full_disk;
mod hub_dies;
mod kinds;
mod limits;
mod model;
mod newer;
mod pages;
mod process;
mod requests;
mod restore;
mod revoke;
mod seeds;
mod stick;
mod succession;
mod supervised;
mod tidy;
mod unfinished;
mod vectors;
mod weeks;
