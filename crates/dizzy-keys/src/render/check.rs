//! `check`: everything that was looked at, per set, with what to do about what is not right.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    text::{Text, Tone, counted},
};
use crate::{
    args::Output,
    code::{Code, Exit},
    render,
    report::Report,
};

/// What was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// One per set.
    pub sets: Vec<CheckedSet>,
}

/// A set.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedSet {
    /// Its name.
    pub set: String,
    /// What was found, in the order in which it was looked at.
    pub items: Vec<CheckItem>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct CheckItem {
    /// How it is.
    pub level: Level,
    /// A database, a secret, the journal, ...
    pub at: String,
    /// What was found.
    pub what: String,
    /// What to do: a statement to run, a setting to change.
    pub hint: Option<String>,
    /// The error code, if there is one.
    pub code: Option<&'static str>,
}

/// How something is. Ordered from good to bad.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// A rotation works, but something will need attention.
    Warning,
    /// A rotation would not start, or not be safe.
    Error,
}

impl Level {
    fn word(self) -> String {
        match self {
            Self::Ok => Tone::Good.paint("ok"),
            Self::Note => Tone::Faint.paint("note"),
            Self::Warning => Tone::Warn.paint("warning"),
            Self::Error => Tone::Bad.paint("ERROR"),
        }
    }
}

impl CheckReport {
    /// How many things are at this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.sets.iter().flat_map(|set| &set.items).filter(|item| item.level == level).count()
    }

    /// Shows the result, and says how to exit.
    ///
    /// # Errors
    /// [`Code::CheckFailed`] if a rotation would not start; [`Code::Output`] if the result cannot be written.
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        self.verdict()
    }

    /// How to exit.
    ///
    /// # Errors
    /// [`Code::CheckFailed`] if a rotation would not start.
    pub fn verdict(&self) -> Result<Exit, Report> {
        if self.passes() {
            return Ok(Exit::Done);
        }
        let failing = |set: &&CheckedSet| set.items.iter().any(|item| item.level == Level::Error);
        let sets: Vec<&str> = self.sets.iter().filter(failing).map(|set| set.set.as_str()).collect();
        let what = format!("{} in {}", counted(self.count(Level::Error), "error"), sets.join(", "));
        Err(Report::new(Code::CheckFailed, what, "nothing was changed; a rotation would not start")
            .hint("each line marked ERROR says what to do"))
    }

    /// Whether rotations could start.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.count(Level::Error) == 0
    }
}

impl View for CheckReport {
    const KIND: &'static str = "check";

    fn text(&self, text: &mut Text) {
        for set in &self.sets {
            text.heading(&set.set);
            // Padded by hand: a table would put hints out of line.
            for item in &set.items {
                let word = item.level.word();
                let pad = " ".repeat(8_usize.saturating_sub(anstream::adapter::strip_str(&word).to_string().len()));
                let code = item.code.map_or_else(String::new, |code| format!("{code}: "));
                text.line(format_args!("  {word}{pad}{}: {code}{}", item.at, item.what));
                for line in item.hint.iter().flat_map(|hint| hint.lines()) {
                    text.line(format_args!("          {line}"));
                }
            }
        }
        text.line("");
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        let found = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
        if self.passes() {
            text.line(format_args!("{}: {found}. Nothing was changed.", Tone::Good.paint("A rotation can start")));
        } else {
            text.line(format_args!("{}: {found}. Nothing was changed.", Tone::Bad.paint("A rotation would not start")));
        }
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("passes", json!(self.passes()))])
    }
}
