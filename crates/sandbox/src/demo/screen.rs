//! What the demo shows: acts, commands with what they print, and claims. A claim is printed only after it was found true.

use std::io::IsTerminal as _;

use anyhow::{Result, ensure};

/// The terminal, or wherever standard output goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    #[expect(clippy::disallowed_methods, reason = "a demo has no compose; NO_COLOR is everybody's switch")]
    pub(super) fn new() -> Self {
        let unwanted = std::env::var("NO_COLOR").is_ok_and(|value| !value.is_empty());
        Self { colour: !unwanted && std::io::stdout().is_terminal() }
    }

    pub(super) fn act(self, number: usize, title: &str) {
        self.line("");
        self.line(&self.paint("1", &format!("{number}. {title}")));
    }

    pub(super) fn say(self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// A command and what it printed. Statements, which are indented deeply, are told by their number of lines.
    pub(super) fn command(self, command: &str, printed: &str) {
        self.line(&self.paint("36", &format!("   $ {command}")));
        let lines: Vec<&str> = printed.lines().collect();
        for run in lines.chunk_by(|one, other| is_statement(one) && is_statement(other)) {
            match run {
                [first, _, _, ..] => {
                    let indented = first.len() - first.trim_start().len();
                    let rest = format!("     {:indented$}[{} lines of SQL]", "", run.len());
                    self.line(&self.paint("2", &rest));
                }
                _ => run.iter().for_each(|line| self.line(format!("     {line}").trim_end())),
            }
        }
    }

    /// Prints the claim if it is true, and fails otherwise.
    pub(super) fn claim(self, judge: &str, truth: bool, claim: &str) -> Result<()> {
        ensure!(truth, "this is not true ({judge}): {claim}");
        let mark = self.paint("32", "ok");
        self.line(&format!("   {mark} {claim} {}", self.paint("2", &format!("({judge})"))));
        Ok(())
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    #[expect(clippy::print_stdout, reason = "a demo talks to the person at the terminal")]
    pub(super) fn line(self, text: &str) {
        println!("{text}");
    }
}

fn is_statement(line: &str) -> bool {
    line.starts_with("      ") || line.starts_with("  wanted:")
}
