//! The OCI adapters against an emulator that checks real signatures; the emulator's own view is what is believed.
//!
//! A test that makes requests has an emulator of its own, so that the log and the faults are its own, too.
#![allow(
    missing_docs,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise"
)]

mod autonomous;
mod bad_worlds;
mod conformance;
mod contract;
mod identities;
mod instances;
mod journal;
mod mishaps;
mod objects;
mod preauthenticated;
mod references;
mod silence;
mod tls;
mod topics;
mod transport;
mod world;
