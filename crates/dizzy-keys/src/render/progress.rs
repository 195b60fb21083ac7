//! What is being done, on standard error, on a terminal only: one line that changes; with several sets, a line for each that ends.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::args::{Global, LogFormat, Output};

/// The progress of a command.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    ended: AtomicUsize,
}

/// Back to the start of the line, and clear it.
const CLEAR: &str = "\r\x1b[2K";
/// Longer texts would wrap, and a wrapped line cannot be cleared.
const MAX_CHARS: usize = 76;

impl Progress {
    /// Lines if standard error is a terminal, the result and the log are for people, and no log lines are asked for; else nothing ever.
    #[must_use]
    pub fn new(global: &Global) -> Self {
        let for_people = (global.output, global.lines()) == (Output::Text, LogFormat::Text);
        let wanted = for_people && global.verbose == 0;
        Self { shown: wanted && io::stderr().is_terminal(), ended: AtomicUsize::new(0) }
    }

    /// Shows what is being done: `orders: verify rds`.
    pub fn show(&self, what: &str) {
        if self.shown {
            let ended = match self.ended.load(Ordering::Relaxed) {
                0 => String::new(),
                number => format!("[{number} done] "),
            };
            let text: String = ended.chars().chain(what.chars()).take(MAX_CHARS).collect();
            write(&format!("{CLEAR}{text}"));
        }
    }

    /// Leaves a line about a set that has ended, one of several.
    pub fn ended(&self, what: &str) {
        self.ended.fetch_add(1, Ordering::Relaxed);
        if self.shown {
            let text: String = what.chars().take(MAX_CHARS).collect();
            write(&format!("{CLEAR}{text}\n"));
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
