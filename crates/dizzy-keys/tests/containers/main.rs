//! The image itself, in containers of the local engine that are as closed as the platforms make them: one image in three places, kills,
//! freezes, names and certificates, and an emulator of Lambda that others wrote.
//!
//! `make test` runs these on an image of a debug build, `make image-test` on the image that is shipped.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "these tests use their own part of it")]
#[path = "../functions/world.rs"]
mod world;

mod boxes;
mod emulator;
mod freezes;
mod image;
mod kills;
mod names;
mod rotation;
