//! libFuzzer's entry to the target `wallet_pem`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dizzy_fuzz::fuzz("wallet_pem", data));
