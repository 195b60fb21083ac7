//! libFuzzer's entry to the target `document`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dizzy_fuzz::fuzz("document", data));
