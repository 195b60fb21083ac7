//! Asking before something is changed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::{
    args::{Global, Output},
    code::Code,
    report::{NOTHING_DONE, Report},
};

/// Asks `question` on the terminal, unless `--yes` answers it.
///
/// # Errors
/// [`Code::Confirmation`] if the answer is no, if there is no terminal to ask on, or if the output is JSON: that is for a script, also where
/// the script has a terminal.
pub(super) fn confirm(global: &Global, question: &str) -> Result<(), Report> {
    if global.yes {
        return Ok(());
    }
    let refused = |what: &str| Report::new(Code::Confirmation, what, NOTHING_DONE).hint("add --yes to answer yes");
    if global.output == Output::Json {
        return Err(refused("this command asks before it changes something, and --output json leaves nobody to ask"));
    }
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
