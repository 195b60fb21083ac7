//! `plan`: what a rotation would do, in order, what it costs, and what can go wrong.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    View,
    moment::length,
    text::{Text, Tone, counted},
};

/// The plan of one rotation.
#[derive(Clone, Debug, Serialize)]
pub struct PlanView {
    /// The program as the next command must call it (`dizzy-keys --config x.toml`); not shown in JSON.
    #[serde(skip)]
    pub program: String,
    /// The set.
    pub set: String,
    /// The generation that is published; `None` before the first rotation.
    pub from: Option<u64>,
    /// The generation that would be.
    pub to: u64,
    /// What happens to each database.
    pub databases: Vec<PlannedDatabase>,
    /// The steps in their order.
    pub steps: Vec<PlannedStep>,
    /// How long the published credential would not log in.
    pub lockout: Lockout,
    /// Until when it could be undone.
    pub undo: Undo,
    /// What to know before.
    pub warnings: Vec<String>,
}

/// A database in a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedDatabase {
    /// Its name.
    pub database: String,
    /// `alternating`, `rollover` or `single`.
    pub strategy: String,
    /// The user whose password changes.
    pub user: String,
    /// The user that is published until then.
    pub published: String,
    /// Characters of the password.
    pub password_length: usize,
    /// Its entropy, in bits.
    pub password_bits: f64,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedStep {
    /// What it does: `stage g8`, `change the password of orders_b`.
    pub what: String,
    /// Where: a database, a secret, or the journal.
    pub at: String,
    /// The calls it makes to a cloud (`PutSecretValue`), each of them billed; empty for databases and local files.
    pub calls: Vec<String>,
    /// True for the step that decides: before it the rotation can be undone, after it it is finished.
    pub decides: bool,
}

/// How long the published credential does not log in.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Lockout {
    /// At no moment.
    None,
    /// Between a change and the promotion.
    Window {
        /// The databases concerned.
        databases: Vec<String>,
        /// How long it is expected to be, in milliseconds, if that can be told.
        expected_ms: Option<u64>,
    },
}

/// Whether a rotation can be undone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Undo {
    /// Until the deciding step.
    Possible,
    /// Not once the given database has been changed.
    Impossible {
        /// Why, in our words.
        why: String,
    },
}

impl PlanView {
    /// Calls that are billed.
    #[must_use]
    pub fn billable_calls(&self) -> usize {
        self.steps.iter().map(|step| step.calls.len()).sum()
    }
}

impl View for PlanView {
    const KIND: &'static str = "plan";

    fn text(&self, text: &mut Text) {
        let from = self.from.map_or_else(|| "what is published".to_owned(), |from| format!("g{from}"));
        text.line(format_args!("Rotating {} moves {from} to g{}. Nothing has been changed.", self.set, self.to));
        text.heading("Databases");
        let rows: Vec<Vec<String>> = self.databases.iter().map(database_cells).collect();
        text.table(&["DATABASE", "STRATEGY", "CHANGES", "PUBLISHED UNTIL THEN", "PASSWORD"], &rows);
        text.heading("Steps");
        for (number, step) in self.steps.iter().enumerate() {
            let calls = if step.calls.is_empty() { String::new() } else { format!("  [{}]", step.calls.join(", ")) };
            text.line(format_args!("{:>3}. {}: {}{}", number + 1, step.at, step.what, Tone::Faint.paint(&calls)));
            if step.decides {
                text.line(
                    Tone::Faint.paint("     -- decided: before this line it can be undone, after it it is finished --"),
                );
            }
        }
        text.heading("What to expect");
        text.line(format_args!("Lockout: {}", lockout(&self.lockout)));
        match &self.undo {
            Undo::Possible => text.line("Undo:    possible until it is decided"),
            Undo::Impossible { why } => text.line(format_args!("Undo:    {}: {why}", Tone::Warn.paint("impossible"))),
        }
        text.line(format_args!("Calls:   {}", counted(self.billable_calls(), "billed call")));
        for warning in &self.warnings {
            text.line(format_args!("{} {warning}", Tone::Warn.paint("!")));
        }
        text.line("");
        let flag = match self.undo {
            Undo::Possible => "",
            Undo::Impossible { .. } => " --forward-only",
        };
        let next = format!("{} rotate {}{flag}", self.program, self.set);
        text.line(format_args!("Next: {}", Tone::Strong.paint(&next)));
    }

    fn derived(&self) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([("billable_calls", json!(self.billable_calls()))])
    }
}

fn database_cells(database: &PlannedDatabase) -> Vec<String> {
    vec![
        database.database.clone(),
        database.strategy.clone(),
        database.user.clone(),
        database.published.clone(),
        format!("{} characters, {:.0} bits", database.password_length, database.password_bits),
    ]
}

fn lockout(lockout: &Lockout) -> String {
    match lockout {
        Lockout::None => "none: the published credential logs in at every moment".to_owned(),
        Lockout::Window { databases, expected_ms } => {
            let expected = expected_ms.map_or_else(String::new, |ms| format!(", about {}", length(ms)));
            let names = databases.join(", ");
            format!(
                "between the change of {names} and the promotion, the published credential does not log in{expected}"
            )
        }
    }
}
