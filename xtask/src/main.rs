//! Chores of the workspace: `cargo xtask tidy` checks the house rules, `cargo xtask demo`, `sandbox` and `bench` run the equipment.
//!
//! Nothing in here is part of the product. Tidy reads the tree and Cargo's own metadata and changes nothing.

mod equipment;
mod guards;
mod tidy;

use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a chore talks to the person at the terminal")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match chore.as_deref() {
        Some("tidy") => tidy::run(),
        Some("guards") => guards::run(rest.first().map(String::as_str)),
        Some("demo") => equipment::demo(&rest),
        Some("sandbox") => equipment::sandbox(&rest),
        Some("bench") => equipment::bench(&rest),
        Some("fuzz") => equipment::fuzz(&rest),
        _ => {
            eprintln!(
                "cargo xtask tidy | guards [NAME] | demo | sandbox | bench [--release] | fuzz [--seconds N] [--seed N] [TARGET ..]"
            );
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
