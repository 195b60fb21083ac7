//! `dizzy-bench BINARY PROFILE [PART..]`: measures this build of dizzy-keys, or some parts of it. `make bench` builds and runs it.

use std::{path::Path, process::ExitCode};

#[expect(clippy::print_stderr, reason = "a benchmark talks to the person at the terminal")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [binary, profile, parts @ ..] = args.as_slice() else {
        eprintln!("dizzy-bench BINARY PROFILE [PART..] (make bench builds and runs it)");
        return ExitCode::from(2);
    };
    match dizzy_sandbox::bench::run(Path::new(binary), profile, parts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
