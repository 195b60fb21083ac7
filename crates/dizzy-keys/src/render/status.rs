//! `status`: one row per set, what needs attention, and the exact next command.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    moment::{Moment, length},
    text::{Text, Tone},
};

/// The state of all sets asked for.
#[derive(Clone, Debug, Serialize)]
pub struct StatusReport {
    /// When it was looked at.
    pub at: Moment,
    /// The program as the next command must call it (`dizzy-keys --config x.toml`); not shown in JSON.
    #[serde(skip)]
    pub program: String,
    /// One per set, in the order of their names.
    pub sets: Vec<StatusRow>,
}

/// The state of one set.
#[derive(Clone, Debug, Serialize)]
pub struct StatusRow {
    /// Its name.
    pub set: String,
    /// Where its rotation is.
    pub phase: Phase,
    /// The generation that is published at rest; `None` if the set was never rotated or prepared.
    pub generation: Option<u64>,
    /// The generation under way.
    pub next_generation: Option<u64>,
    /// When the published generation was finished.
    pub rotated_at: Option<Moment>,
    /// When it is due; `None`: on request only.
    pub due_at: Option<Moment>,
    /// How the last rotation ended.
    pub last: Option<Last>,
    /// Who works on it at this moment, and until when its lease runs.
    pub owner: Option<Owner>,
    /// Credentials that expire on the server by themselves.
    pub expiries: Vec<Expiry>,
    /// What needs attention, in sentences of ours.
    pub attention: Vec<String>,
}

/// Where a set's rotation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Being undone.
    Abort,
    /// There is no register: neither prepared nor rotated.
    Absent,
    /// Decided; being finished.
    Commit,
    /// At rest.
    Idle,
    /// Begun, and not yet decided.
    Intent,
    /// Can neither go on nor back by itself.
    Stuck,
    /// The register could not be read; `attention` says why.
    Unreadable,
}

/// How a rotation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Last {
    /// The next generation was published.
    Finished,
    /// It was undone.
    RolledBack,
}

/// A worker.
#[derive(Clone, Debug, Serialize)]
pub struct Owner {
    /// Host and process.
    pub who: String,
    /// End of its lease.
    pub until: Moment,
}

/// A credential that the server will stop accepting.
#[derive(Clone, Debug, Serialize)]
pub struct Expiry {
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// When.
    pub at: Moment,
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Abort => "undoing",
            Self::Absent => "not prepared",
            Self::Commit => "finishing",
            Self::Idle => "idle",
            Self::Intent => "under way",
            Self::Stuck => "STUCK",
            Self::Unreadable => "UNREADABLE",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Self::Abort | Self::Absent | Self::Commit | Self::Intent => Tone::Warn,
            Self::Idle => Tone::Good,
            Self::Stuck | Self::Unreadable => Tone::Bad,
        }
    }
}

impl StatusRow {
    fn is_due(&self, now: Moment) -> bool {
        self.due_at.is_some_and(|due| due <= now)
    }

    fn is_held(&self, now: Moment) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.until > now)
    }
}

impl StatusReport {
    /// The exact next command, and why; `None` if there is nothing to do.
    #[must_use]
    pub fn next(&self) -> Option<(String, &'static str)> {
        let program = &self.program;
        let first = |wanted: &dyn Fn(&StatusRow) -> bool| self.sets.iter().find(|row| wanted(row)).map(|row| &row.set);
        if let Some(set) = first(&|row| row.phase == Phase::Unreadable) {
            return Some((format!("{program} check {set}"), "says why the register cannot be read"));
        }
        if let Some(set) = first(&|row| row.phase == Phase::Stuck) {
            return Some((
                format!("{program} recover {set}"),
                "tries again, and says which passwords work if it cannot",
            ));
        }
        let unfinished = |row: &StatusRow| matches!(row.phase, Phase::Abort | Phase::Commit | Phase::Intent);
        if let Some(set) = first(&|row| unfinished(row) && !row.is_held(self.at)) {
            return Some((format!("{program} recover {set}"), "finishes what was begun"));
        }
        if let Some(set) = first(&|row| row.phase == Phase::Absent) {
            return Some((format!("{program} prepare {set}"), "creates what the set needs; `check` looks first"));
        }
        if first(&|row| row.phase == Phase::Idle && row.is_due(self.at)).is_some() {
            return Some((format!("{program} rotate --due"), "rotates what is due, within its window"));
        }
        None
    }

    fn quiet(&self) -> String {
        if let Some(row) = self.sets.iter().find(|row| row.is_held(self.at) && row.phase != Phase::Idle) {
            // A lease outlives its worker by half a minute, and a register cannot tell.
            let (program, set) = (&self.program, &row.set);
            return format!("Nothing to do: a worker is at it ({set}). If it is dead: {program} recover {set}");
        }
        match self.sets.iter().filter_map(|row| Some((row.due_at?, row))).min_by_key(|(due, _)| *due) {
            Some((due, row)) => format!("Nothing to do. Next: {} is due {}.", row.set, due.relative(self.at)),
            None => "Nothing to do. No set has a schedule.".to_owned(),
        }
    }
}

impl View for StatusReport {
    const KIND: &'static str = "status";

    fn text(&self, text: &mut Text) {
        let rows: Vec<Vec<String>> = self.sets.iter().map(|row| self.cells(row)).collect();
        text.table(&["SET", "PHASE", "GENERATION", "AGE", "DUE", "LAST", "WORKER"], &rows);
        for row in &self.sets {
            for expiry in &row.expiries {
                text.line(format_args!(
                    "{}: {} on {} expires {} ({})",
                    row.set,
                    expiry.user,
                    expiry.database,
                    expiry.at.relative(self.at),
                    expiry.at
                ));
            }
            for attention in &row.attention {
                text.line(format_args!("{} {}: {attention}", Tone::Warn.paint("!"), row.set));
            }
        }
        text.line("");
        match self.next() {
            None => text.line(self.quiet()),
            Some((command, why)) => {
                text.line(format_args!("Next: {}", Tone::Strong.paint(&command)));
                text.line(format_args!("      {why}"));
            }
        }
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("next", json!(self.next().map(|(command, _)| command)))])
    }
}

impl StatusReport {
    fn cells(&self, row: &StatusRow) -> Vec<String> {
        let generation = match (row.generation, row.next_generation) {
            (None, None) => "-".to_owned(),
            (Some(current), None) => format!("g{current}"),
            (None, Some(next)) => format!("- -> g{next}"),
            (Some(current), Some(next)) => format!("g{current} -> g{next}"),
        };
        let age = |at: Moment| length(u64::try_from(self.at.0.0.saturating_sub(at.0.0)).unwrap_or(0));
        let due = match row.due_at {
            None => "on request".to_owned(),
            Some(due) if due <= self.at => Tone::Warn.paint(&format!("due since {}", age(due))),
            Some(due) => due.relative(self.at),
        };
        let last = match row.last {
            None => "-",
            Some(Last::Finished) => "finished",
            Some(Last::RolledBack) => "rolled back",
        };
        let owner = row.owner.as_ref().filter(|_| row.is_held(self.at)).map(|owner| owner.who.clone());
        vec![
            row.set.clone(),
            row.phase.tone().paint(row.phase.word()),
            generation,
            row.rotated_at.map_or_else(|| "-".to_owned(), age),
            due,
            last.to_owned(),
            owner.unwrap_or_default(),
        ]
    }
}
