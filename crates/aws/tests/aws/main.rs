//! The AWS adapters against moto, corrected to what AWS documents; the AWS command line is the second judge.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

mod bad_worlds;
mod conformance;
mod contract;
#[path = "../../examples/conformance.rs"]
#[expect(dead_code, reason = "its main is for a real account")]
mod example;
mod journal;
mod live;
mod mishaps;
mod objects;
mod references;
mod silence;
mod topics;
mod transport;
mod world;
