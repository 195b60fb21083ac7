//! The journal register as the engine sees it: everything that must survive a worker, and nothing secret.
//!
//! The host stores it as one JSON document per set, with names instead of positions, together with what only the host
//! needs (version ids, the audit head). It changes by compare-and-swap only; [`Owner`] is fresh in every write.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{DatabaseIx, Epoch, Generation, Timestamp, UserIx},
    plan::{DatabasePlan, Plan, Strategy},
};

/// Most generations that a user may be on without our knowing (rulings §1.1). A third needs a drain and a probe first.
pub const MAX_MAYBES: usize = 2;

/// How long a lease lasts, in milliseconds. It only saves work: a worker that lost it is stopped by compare-and-swap.
pub const LEASE_MS: i64 = 30_000;

/// The longest life of a worker, in milliseconds: the driver sends nothing later than this after its take-over.
/// AWS Lambda ends a function after 900 s, so no platform lets a worker live longer.
pub const WORKER_LIFE_MS: i64 = 900_000;

/// The longest time that a sent request may still execute after its worker died, in milliseconds.
pub const REQUEST_LIFE_MS: i64 = 300_000;

/// After this long, nothing of an older worker can act any more (rulings §2.3: 20 minutes).
pub const DRAIN_MS: i64 = WORKER_LIFE_MS + REQUEST_LIFE_MS;

/// Where a rotation stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// At rest.
    Idle,
    /// A generation is being staged and applied; not decided.
    Intent,
    /// Decided: from here only forward.
    Commit,
    /// Decided: back to the base.
    Abort,
    /// Undecided, and the budget is spent: a person must look. `recover` goes on.
    Stuck,
}

/// Who wrote the register last: the worker's random id and its write counter make a nonce that no other write has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Owner {
    /// The worker's random id.
    pub worker: u64,
    /// Its how-many-th write.
    pub write: u64,
    /// Until when it asks others to wait.
    pub until: Timestamp,
}

impl Owner {
    /// Whether two registers come from the same write.
    #[must_use]
    pub fn is_same_write(self, other: Self) -> bool {
        self.worker == other.worker && self.write == other.write
    }
}

/// What is known about one user's password.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct UserRegister {
    /// The generation it was last seen on; `None` if no password of ours was ever seen to work.
    pub known: Option<Generation>,
    /// Generations that may have been sent since, oldest first; at most [`MAX_MAYBES`].
    pub maybe: Vec<Generation>,
}

impl UserRegister {
    /// Every generation it may be on, the likeliest first.
    #[must_use]
    pub fn candidates(&self) -> Vec<Generation> {
        let mut all: Vec<Generation> = self.known.into_iter().collect();
        for g in self.maybe.iter().rev() {
            if !all.contains(g) {
                all.push(*g);
            }
        }
        all
    }

    /// Records that `generation` may be sent.
    pub fn mark(&mut self, generation: Generation) {
        if self.known != Some(generation) && !self.maybe.contains(&generation) {
            self.maybe.push(generation);
        }
    }

    /// Records that it is on `generation`, and on nothing else.
    pub fn settle(&mut self, generation: Generation) {
        self.known = Some(generation);
        self.maybe.clear();
    }
}

/// A rollover window that a finished rotation left open.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Window {
    /// When the server closes it by itself.
    pub until: Timestamp,
    /// The generation that it keeps valid besides the newest.
    pub first: Generation,
}

/// What is known about one database.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DatabaseRegister {
    /// The user that `current` publishes.
    pub live: UserIx,
    /// Its users: one, or two with the alternating strategy.
    pub users: Vec<UserRegister>,
    /// Whether the unfenced change to `next` may have been sent.
    pub sent: bool,
    /// The rollover window left open, if any.
    pub window: Option<Window>,
}

impl DatabaseRegister {
    /// The user whose password a rotation changes.
    #[must_use]
    pub fn target(&self, plan: DatabasePlan) -> UserIx {
        match plan.strategy {
            Strategy::Alternating => self.live.other(),
            Strategy::Rollover | Strategy::Single => self.live,
        }
    }

    /// What is known about one user.
    #[must_use]
    pub fn user(&self, ix: UserIx) -> Option<&UserRegister> {
        self.users.get(usize::from(ix.0))
    }

    /// What is known about one user, to be changed.
    pub fn user_mut(&mut self, ix: UserIx) -> Option<&mut UserRegister> {
        self.users.get_mut(usize::from(ix.0))
    }
}

/// The register of one set.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Register {
    /// Highest epoch taken.
    pub epoch: Epoch,
    /// The last write.
    pub owner: Owner,
    /// When the present owner took the set; `None` if it left nothing that could still act.
    pub taken: Option<Timestamp>,
    /// The moment after which nothing of earlier owners can act; `None` if nothing can.
    pub quiet: Option<Timestamp>,
    /// Where the rotation stands.
    pub phase: Phase,
    /// What it was before it got stuck; equal to `phase` otherwise.
    pub was: Phase,
    /// The generation published at rest: the base of the next rotation, and of the one under way.
    pub current: Generation,
    /// The generation under way; `None` at rest.
    pub next: Option<Generation>,
    /// Highest generation ever issued.
    pub last: Generation,
    /// Generations that are kept in the stores under their names.
    pub kept: Vec<Generation>,
    /// The wish to revoke: every password of a generation up to this one is to be refused by every database. Whoever works on the
    /// set works it off.
    pub revoke: Option<Generation>,
    /// Every password of a generation up to this one was seen to be refused by every database. Such a generation is never set or
    /// published again.
    pub revoked: Option<Generation>,
    /// One entry per database of the plan.
    pub databases: Vec<DatabaseRegister>,
}

impl Register {
    /// One database's entry.
    #[must_use]
    pub fn database(&self, ix: DatabaseIx) -> Option<&DatabaseRegister> {
        self.databases.get(usize::from(ix.0))
    }

    /// One database's entry, to be changed.
    pub fn database_mut(&mut self, ix: DatabaseIx) -> Option<&mut DatabaseRegister> {
        self.databases.get_mut(usize::from(ix.0))
    }

    /// Which user `generation` means on a database: the live one for `current`, the changed one for `next`.
    #[must_use]
    pub fn user_of(&self, plan: DatabasePlan, ix: DatabaseIx, generation: Generation) -> Option<UserIx> {
        let database = self.database(ix)?;
        Some(if Some(generation) == self.next { database.target(plan) } else { database.live })
    }

    /// Generations that must stay readable: what is published, what is under way, and every password a user may be on.
    #[must_use]
    pub fn needed(&self) -> Vec<Generation> {
        let mut all = vec![self.current];
        all.extend(self.next);
        for user in self.databases.iter().flat_map(|d| &d.users) {
            all.extend(user.candidates());
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The phase to act on: what a stuck rotation was before.
    #[must_use]
    pub fn undecided(&self) -> Phase {
        if self.phase == Phase::Stuck { self.was } else { self.phase }
    }

    /// Whether at `now` nothing of an earlier owner can act any more.
    #[must_use]
    pub fn is_drained(&self, now: Timestamp) -> bool {
        self.quiet.is_none_or(|quiet| now >= quiet)
    }

    /// Whether every user of every database has left the generations up to `target`, whatever was sent and not heard of.
    #[must_use]
    pub fn users_have_left(&self, target: Generation) -> bool {
        self.databases
            .iter()
            .flat_map(|d| &d.users)
            .all(|user| user.known.is_some() && user.candidates().iter().all(|g| *g > target))
    }

    /// Whether no database keeps a password of a generation up to `target` valid, as far as the register and the plan know.
    /// What they know is then proven by logins.
    #[must_use]
    pub fn has_left(&self, plan: &Plan, target: Generation, now: Timestamp) -> bool {
        let over = |p: DatabasePlan, w: Window| w.first > target || w.until <= now || p.window_over;
        self.users_have_left(target)
            && plan.each().zip(&self.databases).all(|((_, p), d)| d.window.is_none_or(|window| over(p, window)))
    }

    /// Whether a generation has still to be tried before everything up to `target` is revoked.
    #[must_use]
    pub fn is_to_prove(&self, generation: Generation, target: Generation) -> bool {
        generation <= target && !self.is_revoked(generation)
    }

    /// Whether a generation has been revoked.
    #[must_use]
    pub fn is_revoked(&self, generation: Generation) -> bool {
        self.revoked.is_some_and(|revoked| generation <= revoked)
    }

    /// Whether the register has the shape of the plan.
    #[must_use]
    pub fn fits(&self, plan: &Plan) -> bool {
        self.databases.len() == plan.databases.len()
            && plan.each().zip(&self.databases).all(|((_, p), d)| {
                let users = if p.strategy == Strategy::Alternating { 2 } else { 1 };
                d.users.len() == users && usize::from(d.live.0) < users
            })
    }
}
