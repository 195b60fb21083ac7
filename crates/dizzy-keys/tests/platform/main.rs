//! What the places that the program runs in ask of it: log lines that a machine reads, proxies, a role to assume.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;

mod logs;
mod proxies;
mod roles;
