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
    /// Runs that failed since the last one that rotated.
    pub failures: Option<Failures>,
    /// When a scheduled run tries again what has failed, if it is due or unfinished.
    pub retry_at: Option<Moment>,
    /// Whether so many runs have failed in a row that no scheduled run tries any more.
    pub given_up: bool,
    /// Who works on it at this moment, and until when its lease runs.
    pub owner: Option<Owner>,
    /// The newest generation that is to be revoked and may still log in somewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoking: Option<u64>,
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
    /// It could go neither on nor back.
    Stuck,
}

/// Runs that failed, one after the other.
#[derive(Clone, Debug, Serialize)]
pub struct Failures {
    /// How many.
    pub in_a_row: u32,
    /// When the last of them ended.
    pub last_at: Moment,
    /// The code of its error.
    pub code: String,
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
    /// Whether a rotation gives the new password a new life. If not, only an administrator can move the date.
    pub renewed: bool,
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

/// The exact next command for a set, and why. Ordered from the most to the least urgent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Next {
    /// Its register cannot be read.
    Check,
    /// It is stuck.
    Unstick,
    /// It has been given up.
    GivenUp,
    /// It is unfinished, and nobody is at it.
    Recover,
    /// It has no register.
    Prepare,
    /// It has failed, and is tried again by itself.
    Failing,
    /// It is due.
    Due,
}

impl Next {
    const fn of(row: &StatusRow, is_due: bool, is_held: bool) -> Option<Self> {
        match row.phase {
            Phase::Unreadable => Some(Self::Check),
            Phase::Stuck => Some(Self::Unstick),
            Phase::Absent => Some(Self::Prepare),
            Phase::Abort | Phase::Commit | Phase::Intent if is_held => None,
            Phase::Abort | Phase::Commit | Phase::Intent => Some(Self::Recover),
            Phase::Idle if row.revoking.is_some() && is_held => None,
            Phase::Idle if row.revoking.is_some() => Some(Self::Recover),
            Phase::Idle if row.given_up => Some(Self::GivenUp),
            Phase::Idle if is_due && row.retry_at.is_some() => Some(Self::Failing),
            Phase::Idle if is_due => Some(Self::Due),
            Phase::Idle => None,
        }
    }

    /// The command for these sets.
    fn command(self, program: &str, sets: &str) -> String {
        match self {
            Self::Check | Self::Failing | Self::GivenUp => format!("{program} check {sets}"),
            Self::Unstick | Self::Recover => format!("{program} recover {sets}"),
            Self::Prepare => format!("{program} prepare {sets}"),
            Self::Due => format!("{program} rotate --due"),
        }
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Check => "says why the register cannot be read",
            Self::Unstick => "tries again, and says which passwords work if it cannot",
            Self::GivenUp => "says what stops it; scheduled runs have given up, so `rotate` it by name then",
            Self::Recover => "finishes what was begun",
            Self::Prepare => "creates what the set needs; `check` looks first",
            Self::Failing => "says what stops it; a scheduled run tries again by itself, `rotate` by name at once",
            Self::Due => "rotates what is due, within its window",
        }
    }
}

/// Sets that a command names before it says how many more there are.
const MOST_NAMED: usize = 10;

impl StatusReport {
    /// The exact next command, and why; `None` if there is nothing to do.
    #[must_use]
    pub fn next(&self) -> Option<(String, &'static str)> {
        let next = self.nexts().into_keys().next()?;
        let row = self.sets.iter().find(|row| self.next_of(row) == Some(next))?;
        Some((next.command(&self.program, &row.set), next.why()))
    }

    fn next_of(&self, row: &StatusRow) -> Option<Next> {
        Next::of(row, row.is_due(self.at), row.is_held(self.at))
    }

    /// The sets of each command, the most urgent command first.
    fn nexts(&self) -> BTreeMap<Next, Vec<&str>> {
        let mut nexts: BTreeMap<Next, Vec<&str>> = BTreeMap::new();
        for row in &self.sets {
            if let Some(next) = self.next_of(row) {
                nexts.entry(next).or_default().push(&row.set);
            }
        }
        nexts
    }

    fn quiet(&self) -> String {
        if let Some(row) =
            self.sets.iter().find(|row| row.is_held(self.at) && (row.phase != Phase::Idle || row.revoking.is_some()))
        {
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
                let renewed = if expiry.renewed { "" } else { "; a rotation does not move that" };
                let word = if expiry.at <= self.at { "expired" } else { "expires" };
                text.line(format_args!(
                    "{}: {} on {} {word} {} ({}){renewed}",
                    row.set,
                    expiry.user,
                    expiry.database,
                    expiry.at.relative(self.at),
                    expiry.at
                ));
            }
            if let Some(failures) = &row.failures {
                text.line(format_args!("{} {}: {}", Tone::Warn.paint("!"), row.set, self.about(row, failures)));
            }
            for attention in &row.attention {
                text.line(format_args!("{} {}: {attention}", Tone::Warn.paint("!"), row.set));
            }
        }
        text.line("");
        let nexts = self.nexts();
        if nexts.is_empty() {
            text.line(self.quiet());
        }
        for (next, sets) in nexts {
            let named = sets.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(" ");
            let more = match sets.len().checked_sub(MOST_NAMED) {
                None | Some(0) => String::new(),
                Some(more) => format!(" (and {more} more sets)"),
            };
            let command = next.command(&self.program, &named);
            text.line(format_args!("Next: {}{more}", Tone::Strong.paint(&command)));
            text.line(format_args!("      {}", next.why()));
        }
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        let of_sets = self.sets.iter().filter_map(|row| {
            let next = self.next_of(row)?;
            Some((row.set.clone(), json!(next.command(&self.program, &row.set))))
        });
        let of_sets: serde_json::Map<String, Value> = of_sets.collect();
        BTreeMap::from([
            ("next", json!(self.next().map(|(command, _)| command))),
            ("next_of_sets", Value::Object(of_sets)),
        ])
    }
}

impl StatusReport {
    fn about(&self, row: &StatusRow, failures: &Failures) -> String {
        let runs = if failures.in_a_row == 1 { "a run has failed" } else { "runs in a row have failed" };
        let number = if failures.in_a_row == 1 { String::new() } else { format!("{} ", failures.in_a_row) };
        let then = match row.retry_at {
            _ if row.given_up => "; scheduled runs try no more".to_owned(),
            Some(retry) => format!("; a scheduled run tries again {}", retry.relative(self.at)),
            None => String::new(),
        };
        format!("{number}{runs}, the last {} with {}{then}", failures.last_at.relative(self.at), failures.code)
    }

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
            Some(Last::Stuck) => "stuck",
        };
        let last =
            row.failures.as_ref().map_or_else(|| last.to_owned(), |failures| format!("failed {}", failures.code));
        let owner = row.owner.as_ref().filter(|_| row.is_held(self.at)).map(|owner| owner.who.clone());
        vec![
            row.set.clone(),
            row.phase.tone().paint(row.phase.word()),
            generation,
            row.rotated_at.map_or_else(|| "-".to_owned(), age),
            due,
            last,
            owner.unwrap_or_default(),
        ]
    }
}
