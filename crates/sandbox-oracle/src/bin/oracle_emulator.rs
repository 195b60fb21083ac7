//! `oracle-emulator [--mode 19c|21c|23ai] [--renegotiate] NAME:PASSWORD..`: an emulator to play with, until standard input ends.

use std::{io::Read as _, process::ExitCode};

use dizzy_sandbox_oracle::{Account, Listener, Mode, Options, OracleEmulator};

const USAGE: &str =
    "oracle-emulator [--mode 19c|21c|23ai] [--renegotiate] NAME:PASSWORD..  (the first is an administrator)";

#[expect(clippy::print_stderr, clippy::print_stdout, reason = "a tool talks to the person at the terminal")]
fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let emulator = match OracleEmulator::start(options) {
        Ok(emulator) => emulator,
        Err(error) => {
            eprintln!("oracle-emulator: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for listener in Listener::ALL {
        println!("{listener:?} {}", emulator.descriptor(listener));
    }
    println!("{}", emulator.pki().ca_pem());
    // Whoever started this ends it by closing the pipe, however that end comes about.
    let mut waste = Vec::new();
    if std::io::stdin().read_to_end(&mut waste).is_err() {
        return ExitCode::FAILURE;
    }
    println!("{}", emulator.log_text());
    ExitCode::SUCCESS
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--renegotiate" => options.renegotiate = true,
            "--mode" => {
                options.mode = match arguments.next()?.as_str() {
                    "19c" => Mode::V19,
                    "21c" => Mode::V21,
                    "23ai" => Mode::V23,
                    _ => return None,
                }
            }
            account => {
                let (name, password) = account.split_once(':')?;
                let account = Account::new(name, password);
                options.accounts.push(if options.accounts.is_empty() { account.administrator() } else { account });
            }
        }
    }
    (!options.accounts.is_empty()).then_some(options)
}
