//! `dizzy-demo BINARY`: the demo, with this build of dizzy-keys. `make demo` builds and runs it.

use std::{path::PathBuf, process::ExitCode};

#[expect(clippy::print_stderr, reason = "a demo talks to the person at the terminal")]
fn main() -> ExitCode {
    let Some(binary) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("dizzy-demo BINARY (make demo builds and runs it)");
        return ExitCode::from(2);
    };
    match dizzy_sandbox::demo::run(&binary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
