//! `dizzy-sandbox-up BINARY`: a sandbox for this build of dizzy-keys, until standard input ends. `cargo xtask sandbox` builds and runs it.

use std::{path::PathBuf, process::ExitCode};

#[expect(clippy::print_stderr, reason = "a sandbox talks to the person at the terminal")]
fn main() -> ExitCode {
    let Some(binary) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("dizzy-sandbox-up BINARY (cargo xtask sandbox builds and runs it)");
        return ExitCode::from(2);
    };
    match dizzy_sandbox::stand::run(&binary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandbox: {error:#}");
            ExitCode::FAILURE
        }
    }
}
