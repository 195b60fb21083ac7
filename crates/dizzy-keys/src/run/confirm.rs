//! Asking before something is changed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{
    args::{Global, Output},
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// As [`confirm`], and never for a script: whoever asks for JSON cannot be asked.
///
/// # Errors
/// As [`confirm`].
pub(super) fn confirm_by_person(global: &Global, question: &str) -> Result<(), Report> {
    if global.output == Output::Json && !global.yes {
        let what = "this command asks before it changes something, and --output json leaves nobody to ask";
        return Err(Report::new(Code::Confirmation, what, NOTHING_DONE).hint("add --yes to answer yes"));
    }
    confirm(global, question)
}

/// Asks `question` on the terminal, unless `--yes` answers it.
///
/// # Errors
/// [`Code::Confirmation`] if the answer is no, or if there is no terminal to ask on.
pub(super) fn confirm(global: &Global, question: &str) -> Result<(), Report> {
    if global.yes {
        return Ok(());
    }
    let refused = |what: &str| Report::new(Code::Confirmation, what, NOTHING_DONE).hint("add --yes to answer yes");
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(refused("this command asks before it changes something, and there is no terminal to ask on"));
    }
    let mut stderr = anstream::stderr().lock();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    if asked.and_then(|()| io::stdin().lock().read_line(&mut answer).map(drop)).is_err() {
        return Err(refused("the answer cannot be read"));
    }
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(refused("not confirmed")),
    }
}
