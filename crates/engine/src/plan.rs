//! What a rotation set is made of, as far as decisions depend on it.

use serde::{Deserialize, Serialize};

/// How a database moves to a new password.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Two users; the idle one is changed, then published.
    Alternating,
    /// One user with two valid passwords for a while (Oracle `PASSWORD_ROLLOVER_TIME`).
    Rollover,
    /// One user; between its change and the promotion, CURRENT does not log in.
    Single,
}

/// What the database checks when a change executes (rulings §2.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// A fence row with epoch and generation, changed in the same transaction as the password (PostgreSQL).
    RowFence,
    /// The old password, at execution (Oracle's change by the user itself).
    StatementCas,
}

/// One database of a plan.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DatabasePlan {
    /// How it moves.
    pub strategy: Strategy,
    /// What it checks.
    pub capability: Capability,
}

/// A rotation set: its databases and the number of secrets that publish it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Plan {
    /// The databases, in the order of the configuration.
    pub databases: Vec<DatabasePlan>,
    /// How many secrets there are. Secret 0 is staged first.
    pub stores: u8,
}
