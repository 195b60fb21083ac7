//! `prepare`: what was created, what was there already, and what an administrator must decide. With `--print-sql`: a script.

use serde::Serialize;

use super::{
    View,
    text::{Text, Tone, counted},
};

/// What `prepare` did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct PrepareReport {
    /// In the order in which they run.
    pub steps: Vec<PrepareRow>,
}

/// A statement.
#[derive(Clone, Debug, Serialize)]
pub struct PrepareRow {
    /// The set.
    pub set: String,
    /// The database.
    pub database: String,
    /// What it is for.
    pub why: String,
    /// The SQL, without any password.
    pub sql: String,
    /// What became of it.
    pub state: PrepareState,
}

/// What became of a statement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrepareState {
    /// It was there before.
    AlreadyDone,
    /// It was run.
    Done,
    /// It is for an administrator to decide and is never run.
    Proposed,
    /// It would be run.
    Wanted,
}

/// The same as a script for an administrator.
#[derive(Clone, Debug, Serialize)]
pub struct PrepareScript {
    /// The statements.
    pub steps: Vec<PrepareRow>,
}

impl PrepareReport {
    /// How many statements are in this state.
    #[must_use]
    pub fn count(&self, state: PrepareState) -> usize {
        self.steps.iter().filter(|step| step.state == state).count()
    }
}

impl View for PrepareReport {
    const KIND: &'static str = "prepare";

    fn text(&self, text: &mut Text) {
        let mut place = None;
        for step in &self.steps {
            if place != Some((&step.set, &step.database)) {
                place = Some((&step.set, &step.database));
                text.heading(&format!("{}/{}", step.set, step.database));
            }
            let word = match step.state {
                PrepareState::AlreadyDone => Tone::Faint.paint("there already"),
                PrepareState::Done => Tone::Good.paint("done"),
                PrepareState::Proposed => Tone::Warn.paint("for you to decide"),
                PrepareState::Wanted => Tone::Strong.paint("wanted"),
            };
            text.line(format_args!("  {word}: {}", step.why));
            match step.state {
                PrepareState::AlreadyDone | PrepareState::Done => {}
                PrepareState::Proposed | PrepareState::Wanted => {
                    for line in step.sql.lines() {
                        text.line(format_args!("      {line}"));
                    }
                }
            }
        }
        text.line("");
        let done = counted(self.count(PrepareState::Done), "statement");
        let proposed = self.count(PrepareState::Proposed);
        if proposed > 0 {
            let noun = counted(proposed, "statement");
            text.line(format_args!(
                "{noun} for you to decide: `prepare` never runs {}.",
                if proposed == 1 { "it" } else { "them" }
            ));
        }
        match (self.count(PrepareState::Done), self.count(PrepareState::Wanted)) {
            (0, 0) => text.line("Everything that the sets need is there."),
            (0, wanted) => {
                text.line(format_args!("{} wanted; nothing has been changed so far.", counted(wanted, "statement")));
            }
            (_, _) => text.line(format_args!("{done} run; everything that the sets need is there.")),
        }
    }
}

impl View for PrepareScript {
    const KIND: &'static str = "prepare-script";

    fn text(&self, text: &mut Text) {
        let mut place = None;
        for step in &self.steps {
            if place != Some((&step.set, &step.database)) {
                place = Some((&step.set, &step.database));
                text.line(format_args!("-- {}/{}: run as an administrator of this database", step.set, step.database));
            }
            text.line(format_args!("\n-- {}", step.why));
            let proposed = step.state == PrepareState::Proposed;
            if proposed {
                text.line("-- (a proposal: look at it, and remove the dashes to run it)");
            }
            for line in step.sql.lines() {
                text.line(format_args!("{}{line}", if proposed { "-- " } else { "" }));
            }
        }
    }
}
