//! libFuzzer's entry to the target `tnsnames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dizzy_fuzz::fuzz("tnsnames", data));
