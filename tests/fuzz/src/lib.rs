//! The targets' functions, read from the harness: built here without the node, whose C would cost minutes.

#[path = "../../src/fuzz.rs"]
mod targets;

pub use targets::{Target, TARGETS, change, entry, frame};

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
