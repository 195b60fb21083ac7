//! One line on standard error that says what is being done, on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};

use crate::args::{Global, Output};

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
}

/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[2K";
/// Longer texts would wrap, and a wrapped line cannot be cleared.
const MAX_CHARS: usize = 76;

impl Progress {
    /// A line if standard error is a terminal, the result is for people, and no log lines are asked for; else nothing ever.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let wanted = global.output == Output::Text && global.verbose == 0;
        Self { shown: wanted && io::stderr().is_terminal() }
    }

    /// Shows what is being done: `orders: verify rds`.
    pub fn show(&self, what: &str) {
        if self.shown {
            let text: String = what.chars().take(MAX_CHARS).collect();
            write(&format!("{CLEAR}{text}"));
        }
    }

    /// Clears the line, before something else is written.
    pub fn clear(&self) {
        if self.shown {
            write(CLEAR);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn write(text: &str) {
    let mut stderr = io::stderr().lock();
    // Progress that cannot be shown is no reason to stop.
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}
