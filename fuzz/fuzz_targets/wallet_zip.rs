//! libFuzzer's entry to the target `wallet_zip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dizzy_fuzz::fuzz("wallet_zip", data));
