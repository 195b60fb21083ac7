//! What the engine does, told phase by phase: a run is played against answers that a test chooses, and its effects are read.
//!
//! The player is in `run.rs`. Everything that needs more than one run at a time is the explorer's.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "this is a test: a wrong guess may fail"
)]

mod abort;
mod begin;
mod register;
mod revoke;
mod rules;
mod run;
mod walk;
