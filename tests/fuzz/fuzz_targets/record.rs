//! See `record` in the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: lianxin_fuzz::let_panics_be_caught(),
    |data: &[u8]| lianxin_fuzz::record(data)
);
