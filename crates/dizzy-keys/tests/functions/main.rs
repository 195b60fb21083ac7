//! The real binary as a function in both clouds, called by doubles of the platforms: commands, both rotation contracts, bad input,
//! freezes, kills.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;

mod contract_aws;
mod contract_oci;
mod direct;
mod refused;
mod world;
