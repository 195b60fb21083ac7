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
    /// The program as the next command must call it (`dizzy-keys --config x.toml`); not shown in JSON.
    #[serde(skip)]
    pub program: String,
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
    /// The same as the checklist has it.
    #[serde(skip)]
    pub steps: Vec<Step>,
}

/// One step of the checklist: what is to be done with a text.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// Where the text belongs.
    #[serde(rename = "do")]
    pub action: Action,
    /// The text.
    pub text: String,
}

/// Where the text of a step belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Into the configuration.
    Configure,
    /// To a person who thinks about it: no command is known to mend this.
    Read,
    /// Into a shell.
    Run,
    /// Into a session of an administrator of the database.
    Sql,
}

/// What is to be done, and what it mends.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    /// The set.
    pub set: String,
    /// How bad the worst of it is.
    pub level: Level,
    /// Where it is mended.
    pub at: Vec<String>,
    /// What is mended by it, each with its place.
    pub mends: Vec<String>,
    /// What to do, in order.
    pub steps: Vec<Step>,
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
    /// What is to be done, the worst first; what is mended alike is mended once.
    #[must_use]
    pub fn checklist(&self) -> Vec<Task> {
        let mut tasks: Vec<Task> = Vec::new();
        for set in &self.sets {
            for item in set.items.iter().filter(|item| !item.steps.is_empty()) {
                // A statement belongs to the database that it was made for.
                let is_bound = item.steps.iter().any(|step| step.action != Action::Run);
                let same = |task: &&mut Task| {
                    task.set == set.set && task.steps == item.steps && (!is_bound || task.at.contains(&item.at))
                };
                match tasks.iter_mut().find(same) {
                    Some(task) => {
                        task.level = task.level.max(item.level);
                        task.mends.push(format!("{}: {}", item.at, item.what));
                        if !task.at.contains(&item.at) {
                            task.at.push(item.at.clone());
                        }
                    }
                    None => tasks.push(Task {
                        set: set.set.clone(),
                        level: item.level,
                        at: vec![item.at.clone()],
                        mends: vec![format!("{}: {}", item.at, item.what)],
                        steps: item.steps.clone(),
                    }),
                }
            }
        }
        tasks.sort_by_key(|task| core::cmp::Reverse(task.level));
        tasks
    }

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
            .hint("the list under \"To do\" says what mends each"))
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
                // What is in the checklist is not said twice.
                for line in item.hint.iter().filter(|_| item.steps.is_empty()).flat_map(|hint| hint.lines()) {
                    text.line(format_args!("          {line}"));
                }
            }
        }
        self.to_do(text);
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
        BTreeMap::from([("passes", json!(self.passes())), ("checklist", json!(self.checklist()))])
    }
}

impl CheckReport {
    /// The checklist, as the last thing that is read.
    fn to_do(&self, text: &mut Text) {
        let tasks = self.checklist();
        if tasks.is_empty() {
            return;
        }
        let sets: Vec<&str> = self.sets.iter().map(|set| set.set.as_str()).collect();
        text.heading("To do");
        for (at, task) in tasks.iter().enumerate() {
            let set = if sets.len() > 1 { format!("{}: ", task.set) } else { String::new() };
            text.line(format_args!("{:>3}. {} {set}{}", at + 1, task.level.word(), task.mends.join("; ")));
            for step in &task.steps {
                if let Some(lead) = step.action.lead() {
                    text.line(format_args!("     {lead}"));
                }
                for line in step.text.lines() {
                    text.line(format_args!("       {line}"));
                }
            }
        }
        text.line(format_args!("Then: {} check {}", self.program, sets.join(" ")));
    }
}

impl Action {
    const fn lead(self) -> Option<&'static str> {
        match self {
            Self::Configure => Some("in the configuration:"),
            Self::Read => None,
            Self::Run => Some("run:"),
            Self::Sql => Some("as an administrator of this database:"),
        }
    }
}
