//! libFuzzer's entry to the target `reference`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dizzy_fuzz::fuzz("reference", data));
