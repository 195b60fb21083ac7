//! `rotate` and `recover`: how each set ended, and which generation logs in where.

use std::collections::BTreeMap;

use dizzy_engine::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    moment::length,
    text::{Text, Tone},
};
use crate::{args::Output, code::Exit, render, report::Report};

/// What `rotate` did.
#[derive(Clone, Debug, Serialize)]
pub struct RotateReport {
    /// One per set, in the order in which they were asked for.
    pub sets: Vec<RotateRow>,
    /// What it means if there is none; not shown in JSON.
    #[serde(skip)]
    pub none: Nothing,
}

/// Why no set was worked on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Nothing {
    /// No set of this part exists.
    InPart,
    /// None is due.
    IsDue,
}

/// What `recover` did.
#[derive(Clone, Debug, Serialize)]
pub struct RecoverReport {
    /// One per set.
    pub sets: Vec<RotateRow>,
}

/// What `revoke` did.
#[derive(Clone, Debug, Serialize)]
pub struct RevokeReport {
    /// One per set.
    pub sets: Vec<RotateRow>,
}

/// How a set ended.
#[derive(Clone, Debug, Serialize)]
pub struct RotateRow {
    /// The set.
    pub set: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The generation that is published at the end, if known.
    pub generation: Option<u64>,
    /// The rotation: the name that its versions have in the stores; `None` if this run had none.
    pub rotation: Option<String>,
    /// When the generation that is published was, if known; not shown.
    #[serde(skip)]
    pub rotated_at: Option<Timestamp>,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// How long a published credential did not log in, in milliseconds; 0 with alternating and rollover; `None` if not known.
    pub lockout_ms: Option<u64>,
    /// Calls to clouds that are billed.
    pub billable_calls: Option<u64>,
    /// Which credentials log in, as far as known.
    pub working: Vec<Working>,
    /// After a revoke: what became of the sessions that were opened with what it revoked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<EndedSessions>,
    /// The error, if there is one; its text names the set.
    pub error: Option<Report>,
}

impl RotateRow {
    /// Has the log line of the error carry the set and the rotation.
    pub(crate) fn name_error(&mut self) {
        let error = self.error.take();
        self.error = error.map(|error| error.about(&self.set, self.rotation.as_deref()));
    }
}

/// The older sessions of one user.
#[derive(Clone, Debug, Serialize)]
pub struct EndedSessions {
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// How many were ended; `None` if they could not be.
    pub ended: Option<u32>,
}

/// A user whose password is known to work.
#[derive(Clone, Debug, Serialize)]
pub struct Working {
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The generation of the password that logs in.
    pub generation: u64,
    /// Whether some CURRENT publishes it.
    pub published: bool,
}

/// How a set ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Refused before anything was changed.
    Failed,
    /// Another worker holds it.
    Held,
    /// There was nothing to do.
    Nothing,
    /// Everything that was published before is refused everywhere, and was tried.
    Revoked,
    /// The next generation is published, and every published credential was seen to log in.
    Rotated,
    /// It was undone: the old generation is published and works.
    RolledBack,
    /// It can neither go on nor back by itself.
    Stuck,
    /// Decided; the next run finishes it.
    Unfinished,
}

impl Outcome {
    /// Whether a reader will ask which credentials work.
    const fn leaves_a_question(self) -> bool {
        match self {
            Self::Failed | Self::Held | Self::Nothing | Self::Revoked | Self::Rotated => false,
            Self::RolledBack | Self::Stuck | Self::Unfinished => true,
        }
    }

    /// The word of the JSON document, in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Held => "held",
            Self::Nothing => "nothing",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::RolledBack => "rolled-back",
            Self::Stuck => "stuck",
            Self::Unfinished => "unfinished",
        }
    }

    fn word(self) -> String {
        match self {
            Self::Failed => Tone::Bad.paint("FAILED"),
            Self::Held => Tone::Warn.paint("held by another worker"),
            Self::Nothing => Tone::Faint.paint("nothing to do"),
            Self::Revoked => Tone::Good.paint("revoked"),
            Self::Rotated => Tone::Good.paint("rotated"),
            Self::RolledBack => Tone::Warn.paint("ROLLED BACK"),
            Self::Stuck => Tone::Bad.paint("STUCK"),
            Self::Unfinished => Tone::Warn.paint("UNFINISHED"),
        }
    }
}

impl RotateRow {
    /// The row in one line, for the moment at which the set ends.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{}: {} ({})", self.set, self.outcome.word(), length(self.ms))
    }
}

impl RotateReport {
    /// The exit code: that of the worst set.
    #[must_use]
    pub fn exit(&self) -> Exit {
        worst(&self.sets)
    }

    /// The error that decides the exit code.
    #[must_use]
    pub fn worst(&self) -> Option<&Report> {
        worst_error(&self.sets)
    }

    /// Shows the result, tells each set's error, and says how to exit.
    ///
    /// # Errors
    /// [`Code::Output`](crate::code::Code::Output) if the result cannot be written.
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        tell(&self.sets, output);
        Ok(self.exit())
    }
}

impl RecoverReport {
    /// The exit code: that of the worst set.
    #[must_use]
    pub fn exit(&self) -> Exit {
        worst(&self.sets)
    }

    /// The error that decides the exit code.
    #[must_use]
    pub fn worst(&self) -> Option<&Report> {
        worst_error(&self.sets)
    }

    /// As [`RotateReport::conclude`].
    ///
    /// # Errors
    /// As [`RotateReport::conclude`].
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        tell(&self.sets, output);
        Ok(self.exit())
    }
}

impl RevokeReport {
    /// The error that decides the exit code.
    #[must_use]
    pub fn worst(&self) -> Option<&Report> {
        worst_error(&self.sets)
    }

    /// The exit code: that of the worst set.
    #[must_use]
    pub fn exit(&self) -> Exit {
        worst(&self.sets)
    }

    /// As [`RotateReport::conclude`].
    ///
    /// # Errors
    /// As [`RotateReport::conclude`].
    pub fn conclude(&self, output: Output) -> Result<Exit, Report> {
        render::show(output, self)?;
        tell(&self.sets, output);
        Ok(self.exit())
    }
}

impl View for RevokeReport {
    const KIND: &'static str = "revoke";

    fn text(&self, text: &mut Text) {
        show(&self.sets, "No set was named.", text);
        for row in &self.sets {
            for sessions in row.sessions.iter().filter(|sessions| sessions.ended != Some(0)) {
                let what = match sessions.ended {
                    Some(1) => "1 older session ended".to_owned(),
                    Some(count) => format!("{count} older sessions ended"),
                    None => Tone::Warn.paint("older sessions could not be ended"),
                };
                text.line(format_args!("{}: {} on {}: {what}", row.set, sessions.user, sessions.database));
            }
        }
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("exit", json!(self.exit().number()))])
    }
}

impl View for RotateReport {
    const KIND: &'static str = "rotate";

    fn text(&self, text: &mut Text) {
        let none = match self.none {
            Nothing::InPart => "No set is in this part.",
            Nothing::IsDue => "No set is due.",
        };
        show(&self.sets, none, text);
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("exit", json!(self.exit().number()))])
    }
}

impl View for RecoverReport {
    const KIND: &'static str = "recover";

    fn text(&self, text: &mut Text) {
        show(&self.sets, "No set is unfinished.", text);
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("exit", json!(self.exit().number()))])
    }
}

fn worst(sets: &[RotateRow]) -> Exit {
    worst_error(sets).map_or(Exit::Done, Report::exit_code)
}

fn worst_error(sets: &[RotateRow]) -> Option<&Report> {
    sets.iter().filter_map(|row| row.error.as_ref()).max_by_key(|error| error.exit_code())
}

/// Errors go to standard error, each in the form of all errors; in JSON the document has them too.
fn tell(sets: &[RotateRow], output: Output) {
    for error in sets.iter().filter_map(|row| row.error.as_ref()) {
        error.tell(output);
    }
}

fn show(sets: &[RotateRow], none: &str, text: &mut Text) {
    if sets.is_empty() {
        text.line(none);
        return;
    }
    let rows: Vec<Vec<String>> = sets
        .iter()
        .map(|row| {
            vec![
                row.set.clone(),
                row.outcome.word(),
                row.generation.map_or_else(|| "-".to_owned(), |generation| format!("g{generation}")),
                length(row.ms),
                row.lockout_ms
                    .map_or_else(|| "-".to_owned(), |ms| if ms == 0 { "none".to_owned() } else { length(ms) }),
                row.billable_calls.map(|calls| calls.to_string()).unwrap_or_default(),
            ]
        })
        .collect();
    text.table(&["SET", "OUTCOME", "PUBLISHED", "TIME", "LOCKOUT", "CALLS"], &rows);
    for row in sets.iter().filter(|row| row.outcome.leaves_a_question()) {
        for working in &row.working {
            let published = if working.published { ", published" } else { "" };
            text.line(format_args!(
                "{}: {} logs in to {} with g{}{published}",
                row.set, working.user, working.database, working.generation
            ));
        }
    }
}
