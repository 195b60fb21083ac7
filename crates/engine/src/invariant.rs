//! The rules that no step may break, by name. Checked on every effect and every register write, in the explorer and in production:
//! a violation stops the worker before anything is done.

use thiserror::Error;

use crate::{
    effect::Effect,
    ids::{DatabaseIx, Epoch, Generation, UserIx},
    plan::{Plan, Strategy},
    register::{MAX_MAYBES, Phase, Register},
    worker::Worker,
};

/// A broken rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Violation {
    /// The driver did not answer every effect.
    #[error("{answered} answers to a batch of {asked}")]
    Answers {
        /// Effects in the batch.
        asked: usize,
        /// Answers given.
        answered: usize,
    },
    /// A position that the plan or register does not have, or an answer of the wrong kind.
    #[error("the register, the plan and the answers do not fit together")]
    Shape,
    /// A generation is needed and none is under way.
    #[error("no generation is under way")]
    NoGeneration,
    /// A change carries another epoch than the register.
    #[error("a change of database {0:?} carries an old epoch")]
    Epoch(DatabaseIx),
    /// A change in a phase that does not allow it.
    #[error("{what} in phase {phase:?}")]
    Phase {
        /// What was about to happen.
        what: &'static str,
        /// The phase.
        phase: Phase,
    },
    /// The user whose name CURRENT publishes would be changed (alternating).
    #[error("the published user of database {0:?} would be changed")]
    LiveUser(DatabaseIx),
    /// A generation would be replaced by an older one outside of an undo.
    #[error("a newer generation of database {0:?} would be overwritten")]
    Newer(DatabaseIx),
    /// A change would be sent that the register does not record as possibly sent.
    #[error("a change of database {0:?} would be sent without a mark in the register")]
    Unmarked(DatabaseIx),
    /// A label would move to or from another generation than the decided ones.
    #[error("a label would move outside of the decided generations")]
    Label,
    /// A version that may be needed would lose its name.
    #[error("generation {0} would be dropped although it may be needed")]
    Needed(Generation),
    /// The epoch would go back, or an abort would not take a new one.
    #[error("the epoch would not advance as it must")]
    EpochOrder,
    /// The phase would change in a way the protocol does not have.
    #[error("the phase would change from {from:?} to {to:?}")]
    PhaseOrder {
        /// Before.
        from: Phase,
        /// After.
        to: Phase,
    },
    /// A generation would be issued twice or out of order.
    #[error("generations would not only grow")]
    GenerationOrder,
    /// A user would have more possible passwords than allowed.
    #[error("a user of database {0:?} would have too many possible passwords")]
    Maybes(DatabaseIx),
    /// The generation under way would be replaced before it is decided.
    #[error("the generation under way would be replaced before it is decided")]
    Replaced,
    /// CURRENT's generation would change without a decision.
    #[error("the published generation would change without a decision")]
    Undecided,
    /// A generation that was revoked would be set or published again.
    #[error("the revoked generation {0} would come back")]
    Revoked(Generation),
    /// A revoke would be forgotten, widened, or called done while a user may still be on what it revokes.
    #[error("a revoke would be called done that is not")]
    RevokeOrder,
    /// A rotation would begin on a rollover database whose last window is open, or be marked before the window was ended.
    #[error("the rollover window of database {0:?} is still open")]
    Window(DatabaseIx),
}

/// Checks one effect against what the worker knows.
///
/// # Errors
/// The rule that it would break.
pub fn check_effect(plan: &Plan, worker: &Worker, effect: &Effect) -> Result<(), Violation> {
    let register = &*worker.register;
    let phase = |what, allowed: &[Phase]| {
        if allowed.contains(&register.phase) { Ok(()) } else { Err(Violation::Phase { what, phase: register.phase }) }
    };
    match effect {
        Effect::ReadRegister
        | Effect::WriteRegister { .. }
        | Effect::ReadLabels { .. }
        | Effect::CheckCurrent { .. }
        | Effect::Inspect { .. }
        | Effect::Login { .. } => Ok(()),
        Effect::Stage { generation, .. } | Effect::ReadBack { generation, .. } => {
            phase("staging", &[Phase::Intent])?;
            if register.next == Some(*generation) { Ok(()) } else { Err(Violation::Label) }
        }
        Effect::Apply { database, user, from, to, epoch } | Effect::Vote { database, user, from, to, epoch } => {
            phase("a change", &[Phase::Intent])?;
            check_comes_back(register, *to)?;
            check_change(plan, register, *database, *user, *epoch)?;
            if from > to || register.next != Some(*to) {
                return Err(Violation::Newer(*database));
            }
            Ok(())
        }
        Effect::CommitVote { database, generation } => {
            phase("the commit of a change", &[Phase::Intent])?;
            if register.next == Some(*generation) { Ok(()) } else { Err(Violation::Newer(*database)) }
        }
        Effect::EndWindow { database } => {
            phase("the end of a window", &[Phase::Intent])?;
            match register.database(*database) {
                Some(d) if !d.sent => Ok(()),
                _ => Err(Violation::Window(*database)),
            }
        }
        Effect::Burn { database, epoch, .. } => {
            phase("a burn", &[Phase::Abort])?;
            check_epoch(register, *database, *epoch)
        }
        Effect::Restore { database, to, epoch, .. } => {
            phase("a restore", &[Phase::Abort])?;
            check_comes_back(register, *to)?;
            check_epoch(register, *database, *epoch)?;
            if *to == register.current { Ok(()) } else { Err(Violation::Newer(*database)) }
        }
        Effect::Promote { from, to, .. } => {
            phase("a promotion", &[Phase::Commit])?;
            check_comes_back(register, *to)?;
            if *from == register.current && Some(*to) == register.next { Ok(()) } else { Err(Violation::Label) }
        }
        Effect::Published { .. } => phase("the last check", &[Phase::Commit]),
        Effect::ProveRefused { generation, .. } => {
            phase("a login that must fail", &[Phase::Idle])?;
            // Anything else is in use, and a wrong login counts.
            if register.revoke.is_some_and(|target| *generation <= target && register.users_have_left(target)) {
                Ok(())
            } else {
                Err(Violation::RevokeOrder)
            }
        }
        Effect::Prune { generation, .. } => {
            phase("pruning", &[Phase::Commit])?;
            let unsafe_to_drop = *generation == register.current
                || register.next.is_none_or(|next| *generation >= next)
                || plan.each().any(|(ix, p)| {
                    let Some(database) = register.database(ix) else { return true };
                    let changed = database.target(p);
                    (0_u8..).zip(&database.users).any(|(at, u)| at != changed.0 && u.candidates().contains(generation))
                });
            if unsafe_to_drop { Err(Violation::Needed(*generation)) } else { Ok(()) }
        }
    }
}

fn check_comes_back(register: &Register, generation: Generation) -> Result<(), Violation> {
    if register.is_revoked(generation) { Err(Violation::Revoked(generation)) } else { Ok(()) }
}

fn check_epoch(register: &Register, database: DatabaseIx, epoch: Epoch) -> Result<(), Violation> {
    if epoch == register.epoch { Ok(()) } else { Err(Violation::Epoch(database)) }
}

fn check_change(plan: &Plan, register: &Register, ix: DatabaseIx, user: UserIx, epoch: Epoch) -> Result<(), Violation> {
    check_epoch(register, ix, epoch)?;
    let (Some(database), Some(plan)) = (register.database(ix), plan.database(ix)) else {
        return Err(Violation::Shape);
    };
    if plan.strategy == Strategy::Alternating && user == database.live {
        return Err(Violation::LiveUser(ix));
    }
    let next = register.next.ok_or(Violation::NoGeneration)?;
    let marked = database.user(user).is_some_and(|u| u.candidates().contains(&next));
    if !marked || (plan.is_unfenced() && !database.sent) {
        return Err(Violation::Unmarked(ix));
    }
    Ok(())
}

/// Checks a register write against the register it replaces.
///
/// # Errors
/// The rule that it would break.
pub fn check_write(plan: &Plan, old: &Register, new: &Register) -> Result<(), Violation> {
    use Phase::{Abort, Commit, Idle, Intent, Stuck};
    if new.epoch < old.epoch {
        return Err(Violation::EpochOrder);
    }
    if new.phase == Abort && old.phase == Intent && new.epoch <= old.epoch {
        return Err(Violation::EpochOrder);
    }
    let legal = old.phase == new.phase
        || matches!(
            (old.phase, new.phase),
            (Idle, Intent) | (Intent, Commit | Abort | Stuck) | (Commit, Idle) | (Abort, Idle | Stuck)
        )
        || (old.phase == Stuck && new.phase == old.was);
    if !legal {
        return Err(Violation::PhaseOrder { from: old.phase, to: new.phase });
    }
    if new.last < old.last || new.next.is_some_and(|g| g > new.last) {
        return Err(Violation::GenerationOrder);
    }
    check_revoke(old, new)?;
    if new.next != old.next {
        let issued = old.next.is_none() && new.phase == Intent && new.next == Some(new.last) && new.last > old.last;
        let decided = new.next.is_none() && matches!(old.phase, Commit | Abort) && new.phase == Idle;
        if !issued && !decided {
            return Err(Violation::Replaced);
        }
    }
    if new.current != old.current && (old.phase != Commit || Some(new.current) != old.next) {
        return Err(Violation::Undecided);
    }
    for g in new.needed() {
        if g > new.last {
            return Err(Violation::GenerationOrder);
        }
        if !new.kept.contains(&g) {
            return Err(Violation::Needed(g));
        }
    }
    for ((ix, p), (before, after)) in plan.each().zip(old.databases.iter().zip(&new.databases)) {
        if after.users.iter().any(|u| u.maybe.len() > MAX_MAYBES) {
            return Err(Violation::Maybes(ix));
        }
        if p.strategy == Strategy::Rollover
            && old.phase == Idle
            && new.phase == Intent
            && after.window.is_some()
            && !p.ends_windows
        {
            return Err(Violation::Window(ix));
        }
        if after.live != before.live && new.current == old.current {
            return Err(Violation::Undecided);
        }
    }
    Ok(())
}

/// A wish stays as it is until it is worked off, and is worked off when no user can be on what it names.
fn check_revoke(old: &Register, new: &Register) -> Result<(), Violation> {
    let at_rest = old.phase == Phase::Idle && new.phase == Phase::Idle;
    let legal = match (old.revoke, new.revoke) {
        (None, None) => new.revoked == old.revoked,
        (None, Some(target)) => target <= new.last && new.revoked == old.revoked,
        (Some(before), Some(after)) => before == after && new.revoked == old.revoked,
        (Some(target), None) => at_rest && new.revoked == old.revoked.max(Some(target)) && new.users_have_left(target),
    };
    if legal { Ok(()) } else { Err(Violation::RevokeOrder) }
}
