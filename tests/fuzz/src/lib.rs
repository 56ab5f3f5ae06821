//! The targets' functions, read from the harness: built here without the node, whose C would cost minutes.
//!
//! With a nightly compiler and `cargo install cargo-fuzz`, from the top of the repository:
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir tests/fuzz change -- -max_len=16384 -malloc_limit_mb=64 -rss_limit_mb=1500
//! ```
//!
//! What it finds goes into `corpus/`, where `cargo test` replays it, with a test of its name beside the code that
//! was mended. `cargo +nightly run --bin seed` in this folder writes the real bytes that a corpus begins with.

#[path = "../../src/fuzz.rs"]
mod targets;

pub use targets::{TARGETS, Target, change, entry, frame, record};

/// Lets panics be caught: libFuzzer's own hook ends the process at the first one, and the code in front of
/// Automerge catches those of Automerge on purpose. A panic that nobody catches still ends the run.
pub fn let_panics_be_caught() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location();
        if place.is_none_or(|place| !place.file().contains("automerge")) {
            eprintln!("{info}");
        }
    }));
}
