//! Everything of the product that reads bytes which others wrote, each as one function of bytes, and the means to attack it.
//!
//! A target takes any bytes and must come back: what is wrong with them is an error of the parser, never a panic. What it accepts
//! must keep the promises that the target checks. Corpora are files in `corpus/TARGET/`; a test replays them, `cargo xtask fuzz`
//! mutates them for as long as it is told, and `fuzz/` wraps the same functions for libFuzzer.

pub mod corpus;
pub mod mutate;
pub mod pursuit;
mod targets;

pub use targets::{TARGETS, Target};

/// Gives `data` to a target, for a fuzzer that keeps inputs and findings itself.
///
/// # Panics
/// If there is no such target, or if it breaks a promise.
#[expect(clippy::expect_used, reason = "a wrapper that names no target is a mistake in the wrapper")]
pub fn fuzz(target: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|known| known.name == target).expect("a target of the table");
    drop((target.run)(data));
}
