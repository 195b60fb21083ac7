//! What a run did, for the command line and for functions: the verdict, what is true now, and what went wrong on the way.

use dizzy_engine::{Finish, Generation, Goal, Phase, Violation};

use super::{
    revoke::{EndedWhere, SessionsEnd},
    run::Halt,
    trouble::Trouble,
};
use crate::register::Document;

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Name of the set.
    pub set: String,
    /// What it was run for.
    pub goal: Goal,
    /// How the engine ended.
    pub finish: Finish,
    /// Why it ended before the engine was done, if it did.
    pub halt: Option<Halt>,
    /// The rule that stopped it, if one did: a defect, or a register that was edited by hand.
    pub violation: Option<Violation>,
    /// The phase that the register was left in, as far as this worker knows.
    pub phase: Phase,
    /// The generation that the register publishes.
    pub generation: Generation,
    /// The generation that is not at rest, if any.
    pub under_way: Option<Generation>,
    /// Whether this run issued it.
    pub originator: bool,
    /// Calls that did not simply work, the latest per target and kind.
    pub troubles: Vec<Trouble>,
    /// Where a revoke has come to its end: what became of sessions that were opened with what it revoked.
    pub sessions_ended: Vec<EndedWhere>,
    /// Audit events that are not durable.
    pub audit_missing: u64,
    /// The register as last read or written.
    pub document: Option<Document>,
}

/// The verdict, as exit codes mean it (product.md §6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Done.
    Done,
    /// Not done; the old credentials are valid everywhere.
    OldIsValid,
    /// A person must look.
    NeedsHuman,
    /// Another worker holds the set.
    Busy,
    /// Decided, and the next run finishes it.
    Unfinished,
}

impl Report {
    /// Whether a wish to revoke is recorded and not worked off.
    #[must_use]
    pub fn is_revoking(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.revoke.is_some())
    }

    /// The verdict: the one place where the end of a run becomes an exit code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.violation.is_some() {
            return Verdict::NeedsHuman;
        }
        // The register was left as it is to be found: there is nothing to add, not even the release of the set.
        if self.halt == Some(Halt::Reached) && matches!(self.finish, Finish::Unfinished | Finish::JournalLost) {
            return Verdict::Done;
        }
        match self.finish {
            // The passwords are dead; who is in with one stays in until it is thrown out.
            Finish::Revoked(_) if self.sessions_ended.iter().any(|s| !matches!(s.end, SessionsEnd::Ended(_))) => {
                Verdict::NeedsHuman
            }
            Finish::Rotated(_) | Finish::Revoked(_) | Finish::NothingToDo | Finish::NoRegister => Verdict::Done,
            // Nothing goes on by itself before somebody ends the window, and until then a revoked password logs in.
            Finish::WindowOpen(_) if self.is_revoking() => Verdict::NeedsHuman,
            // Who asked to finish what was begun has it finished, whichever way.
            Finish::RolledBack(_) if self.goal == Goal::Recover => Verdict::Done,
            // Drift is found before anything is changed: this run leaves what was published as it was.
            Finish::RolledBack(_) | Finish::WindowOpen(_) | Finish::Draining(_) | Finish::Drift => Verdict::OldIsValid,
            Finish::Busy(_) | Finish::Fenced => Verdict::Busy,
            Finish::NotRevoked | Finish::Stuck | Finish::Misfit => Verdict::NeedsHuman,
            Finish::Failed | Finish::JournalLost | Finish::Unfinished => match self.phase {
                Phase::Idle => Verdict::OldIsValid,
                Phase::Intent | Phase::Commit | Phase::Abort => Verdict::Unfinished,
                Phase::Stuck => Verdict::NeedsHuman,
            },
        }
    }
}
