//! What one worker remembers while it works on a set. Lost when it dies; nothing in here is needed to recover.

use std::sync::Arc;

use crate::{
    effect::Effect,
    ids::{Generation, Timestamp},
    register::{Phase, Register},
};

/// What the worker was started for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Goal {
    /// Finish what is under way, or else move to a new generation.
    Rotate,
    /// Finish what is under way, stuck rotations included; start nothing but what a wish to revoke needs.
    Recover,
    /// Record the wish that every generation issued so far is refused everywhere, and work it off.
    Revoke,
}

/// How a worker's run ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Finish {
    /// Every database and every secret is on this generation.
    Rotated(Generation),
    /// This generation was given up; the base is published and logs in everywhere.
    RolledBack(Generation),
    /// Every password of a generation up to this one is refused by every database: each that a secret still held was tried.
    Revoked(Generation),
    /// Everything was changed that a revoke changes, and still a password that was to be revoked logs in, or could not be tried.
    NotRevoked,
    /// Nothing was under way.
    NothingToDo,
    /// There is no register: the set must be adopted first.
    NoRegister,
    /// The register describes other databases or users than the plan.
    Misfit,
    /// Another worker holds the set, and asks to wait until then.
    Busy(Timestamp),
    /// Another worker took over, or a newer generation was found. This one stopped.
    Fenced,
    /// Something needed was refused or out of reach before anything was changed.
    Failed,
    /// The published state is not what the register records; nothing was changed.
    Drift,
    /// The rollover window of the last rotation is open until then; nothing was changed.
    WindowOpen(Timestamp),
    /// Requests of earlier workers may still execute until then; nothing was changed.
    Draining(Timestamp),
    /// The budget is spent, and the register says what is decided; the next run goes on.
    Unfinished,
    /// The budget is spent in a state that needs a person.
    Stuck,
    /// The register could not be read or written; the worker touched nothing more.
    JournalLost,
}

/// How far one database is, as far as this worker knows.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Progress {
    /// This worker has sent nothing.
    #[default]
    Fresh,
    /// It must find out which password works; the how-many-th candidate is next.
    Probe(u8),
    /// This generation logged in.
    Knows(Generation),
    /// The rollover window was ended.
    WindowEnded,
    /// The change is in an open transaction.
    Voted,
    /// Nothing is left to do here.
    Done,
}

/// What this run knows of an idle user when it goes back.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Fact {
    /// It may be on the given-up generation or not.
    Unclear,
    /// It is on it.
    On,
    /// It is not, and no request can put it there.
    Off,
}

/// What to do once a register write is known to have happened.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Then {
    /// The set is ours.
    Taken,
    /// The generation is issued.
    Intent,
    /// The unfenced change may be sent; go on with the order of apply at this place.
    Marked(u8),
    /// The generation is decided.
    Committed,
    /// Going back is decided.
    Aborted,
    /// The lease is renewed; go on as before.
    Renewed {
        /// What the worker was about to do.
        stage: Box<Stage>,
        /// The batch it was about to ask for.
        batch: Vec<Effect>,
        /// Its pace.
        pace: Pace,
    },
    /// The generation is published, and a wish to revoke is not worked off yet: begin anew.
    Again,
    /// The run ends.
    Ended(Finish),
}

impl Then {
    /// Whether the set is free for others after this write.
    #[must_use]
    pub fn frees(&self) -> bool {
        match self {
            Self::Again | Self::Ended(_) => true,
            Self::Taken | Self::Intent | Self::Marked(_) | Self::Committed | Self::Aborted | Self::Renewed { .. } => {
                false
            }
        }
    }
}

/// What a worker waits for.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// The register.
    Read,
    /// A write of the register.
    Write {
        /// What follows.
        then: Then,
        /// What is being written.
        attempt: Arc<Register>,
    },
    /// A look at the register after a write of unknown outcome.
    Settle {
        /// What follows.
        then: Then,
        /// What was being written.
        attempt: Arc<Register>,
    },
    /// The look around before anything is changed.
    Preflight,
    /// Logins with the how-many-th generation that is to be revoked.
    Prove(u8),
    /// Which password a user with too many possible ones has: database and candidate.
    Resolve(u8, u8),
    /// The labels of a store, before staging there.
    LookPending(u8),
    /// The new version in a store.
    Staging(u8),
    /// The new versions, read back.
    ReadBack,
    /// The changes of one place in the order of apply.
    Applying(u8),
    /// Logins with the new generation.
    Verify,
    /// CURRENT, in the stores that are not in this mask yet.
    Promote(u8),
    /// Where CURRENT is, after a promotion that did not simply work; and whether any of those may work later.
    PromoteLook(u8, bool),
    /// What consumers read.
    Published,
    /// The removal of old names.
    Prune,
    /// The way back, database by database.
    Undo,
    /// Logins with the base.
    UndoVerify,
}

/// Whether the batch should be asked for at once.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Pace {
    /// At once.
    Now,
    /// After a growing pause: it is a repetition.
    BackOff,
}

/// What comes next.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Next {
    /// Ask for these, side by side, and come back with every answer.
    Effects(Vec<Effect>, Pace),
    /// The run is over.
    Done(Finish),
}

/// A worker.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Worker {
    /// Random, different for every run.
    pub id: u64,
    /// How many register writes it has tried.
    pub writes: u64,
    /// What it was started for.
    pub goal: Goal,
    /// When its budget is spent: from then on it repeats nothing.
    pub budget: Timestamp,
    /// The register as it last read or wrote it.
    pub register: Arc<Register>,
    /// What it waits for.
    pub stage: Stage,
    /// The batch it waits for.
    pub issued: Vec<Effect>,
    /// Whether this run wrote the Intent of the generation under way.
    pub originator: bool,
    /// Databases (bit per place) on which an outcome of this run was unknown.
    pub unknown: u8,
    /// Databases (bit per place) that this run may have put back on the base.
    pub restored: u8,
    /// Whether any request of this run may still act.
    pub loose_ends: bool,
    /// How far each database is.
    pub progress: Vec<Progress>,
    /// On the way back: what is known of each database's idle user.
    pub facts: Vec<Fact>,
}

impl Worker {
    /// A worker that has done nothing yet; its first batch reads the register.
    #[must_use]
    pub fn new(id: u64, goal: Goal, budget: Timestamp) -> Self {
        let nothing = Register {
            epoch: crate::ids::Epoch(0),
            owner: crate::register::Owner::default(),
            taken: None,
            quiet: None,
            phase: Phase::Idle,
            was: Phase::Idle,
            current: Generation(0),
            next: None,
            last: Generation(0),
            kept: Vec::new(),
            revoke: None,
            revoked: None,
            databases: Vec::new(),
        };
        Self {
            id,
            writes: 0,
            goal,
            budget,
            register: Arc::new(nothing),
            stage: Stage::Read,
            issued: vec![Effect::ReadRegister],
            originator: false,
            unknown: 0,
            restored: 0,
            loose_ends: false,
            progress: Vec::new(),
            facts: Vec::new(),
        }
    }
}
