//! What a rotation set is made of, as far as decisions depend on it, and the order in which its databases change.

use serde::{Deserialize, Serialize};

use crate::ids::DatabaseIx;

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
    /// Rollover only: a procedure that ends the open window is installed, so that a rotation need not wait for it.
    pub ends_windows: bool,
    /// Rollover only: how long both passwords stay valid, in milliseconds.
    pub window_ms: i64,
    /// Rollover only: the server says that no window is open, whatever the register reckons with.
    pub window_over: bool,
    /// Unfenced `single` only: the server takes the old password back. Without it a change that was sent is only ever finished
    /// (rulings §6.3, `--forward-only`).
    pub restores: bool,
}

impl DatabasePlan {
    /// A database without a rollover window.
    #[must_use]
    pub const fn new(strategy: Strategy, capability: Capability) -> Self {
        Self { strategy, capability, ends_windows: false, window_ms: 0, window_over: false, restores: true }
    }

    /// Whether a change is bound to one worker by nothing but the old password, and CURRENT depends on it:
    /// such a change is marked by itself before it is sent, and cannot be taken back by just anybody (rulings §2.3).
    #[must_use]
    pub fn is_unfenced(self) -> bool {
        self.capability == Capability::StatementCas && self.strategy != Strategy::Alternating
    }

    /// Whether the change is prepared in an open transaction, which is this database's vote (rulings §2.2).
    #[must_use]
    pub fn votes(self) -> bool {
        self.capability == Capability::RowFence && self.strategy != Strategy::Alternating
    }
}

/// One secret of a plan.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StorePlan {
    /// Whether staging also moves PENDING: needed wherever consumers may try PENDING next (a `single` in the set),
    /// and unavoidable where staging means PENDING (OCI Vault).
    pub announce: bool,
}

/// A rotation set.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Plan {
    /// The databases, in the order of the configuration.
    pub databases: Vec<DatabasePlan>,
    /// The secrets, in the order of the configuration: the order in which they are staged.
    pub stores: Vec<StorePlan>,
    /// The order of apply.
    pub order: Vec<Op>,
}

/// One entry of the order of apply (rulings §2.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Op {
    /// Change the idle user of every alternating database; harmless, hence first.
    Alternating,
    /// Open a transaction on every database that votes.
    Votes,
    /// End the rollover window that an earlier rotation left open.
    EndWindow(DatabaseIx),
    /// Record that the unfenced change may have been sent.
    Mark(DatabaseIx),
    /// Send the unfenced change.
    Unfenced(DatabaseIx),
    /// Commit every open transaction; last, because nothing after it can be refused.
    CommitVotes,
}

impl Plan {
    /// A plan with the order of apply of rulings §2.2: alternating users (harmless), votes, unfenced `single`s, rollovers, commits.
    #[must_use]
    pub fn new(databases: Vec<DatabasePlan>, stores: Vec<StorePlan>) -> Self {
        let mut plan = Self { databases, stores, order: vec![Op::Alternating, Op::Votes] };
        for strategy in [Strategy::Single, Strategy::Rollover] {
            let unfenced = plan.each().filter(|(_, p)| p.is_unfenced() && p.strategy == strategy);
            let ops: Vec<Op> = unfenced
                .flat_map(|(ix, p)| {
                    let end = p.ends_windows.then_some(Op::EndWindow(ix));
                    end.into_iter().chain([Op::Mark(ix), Op::Unfenced(ix)])
                })
                .collect();
            plan.order.extend(ops);
        }
        plan.order.push(Op::CommitVotes);
        plan
    }

    /// Every database with its place.
    pub fn each(&self) -> impl Iterator<Item = (DatabaseIx, DatabasePlan)> + '_ {
        (0_u8..).map(DatabaseIx).zip(self.databases.iter().copied())
    }

    /// The plan of one database.
    #[must_use]
    pub fn database(&self, ix: DatabaseIx) -> Option<DatabasePlan> {
        self.databases.get(usize::from(ix.0)).copied()
    }
}
