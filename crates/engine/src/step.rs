//! The one function that decides. It is pure: the same worker, time and outcomes give the same step.
//!
//! Progress and recovery are the same code: a run begins by reading the register and enters at its phase. This file
//! holds the frame (register writes, giving up); what happens in each phase is in the modules below.

mod apply;
mod begin;
mod publish;
mod revoke;
mod stage;
mod undo;

use std::sync::Arc;

use crate::{
    effect::{Effect, Outcome, Reason},
    ids::{DatabaseIx, Generation, StoreIx, Timestamp},
    invariant::{self, Violation},
    plan::{DatabasePlan, Plan, Strategy},
    register::{LEASE_MS, Owner, Phase, Register},
    worker::{Finish, Next, Pace, Progress, Stage, Then, Worker},
};

/// A worker after a step, and what it wants.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Step {
    /// The worker; its `issued` is the batch of `next`.
    pub worker: Worker,
    /// What comes next.
    pub next: Next,
}

/// Takes the answers to the worker's batch, in the batch's order, and decides what comes next.
///
/// # Errors
/// A [`Violation`] means that a rule of the protocol would be broken; nothing may be done then, and a person must look.
pub fn step(plan: &Plan, worker: &Worker, now: Timestamp, outcomes: &[Outcome]) -> Result<Step, Violation> {
    if outcomes.len() != worker.issued.len() {
        return Err(Violation::Answers { asked: worker.issued.len(), answered: outcomes.len() });
    }
    let mut run = Run { plan, now, w: worker.clone() };
    let issued = core::mem::take(&mut run.w.issued);
    let answers: Vec<(&Effect, &Outcome)> = issued.iter().zip(outcomes).collect();
    run.note_unknown(&answers);
    let next = run.decide(&answers)?;
    let next = run.renew_lease(next);
    if let Next::Effects(batch, _) = &next {
        for effect in batch {
            invariant::check_effect(plan, &run.w, effect)?;
        }
        run.w.issued.clone_from(batch);
    }
    Ok(Step { worker: run.w, next })
}

/// Ends a run between two batches, whose second is not sent: the set is free for the next worker, which goes on where this one
/// stopped as it would after a death. Other than a dead one, this worker knows whether any of its requests may still act.
///
/// # Errors
/// As [`step`].
pub fn set_down(plan: &Plan, worker: &Worker, now: Timestamp) -> Result<Step, Violation> {
    let mut run = Run { plan, now, w: worker.clone() };
    run.w.issued.clear();
    // A set that was not taken needs no release, and a write of unknown outcome must not be followed by another.
    let holds = run.w.register.owner.worker == run.w.id;
    let busy = match &run.w.stage {
        Stage::Settle { .. } => true,
        // The write that was about to be sent is not; nothing rests on it yet.
        Stage::Write { .. }
        | Stage::Read
        | Stage::Preflight
        | Stage::Prove(_)
        | Stage::Resolve(..)
        | Stage::LookPending(_)
        | Stage::Staging(_)
        | Stage::ReadBack
        | Stage::Applying(_)
        | Stage::Verify
        | Stage::Promote(_)
        | Stage::PromoteLook(..)
        | Stage::Published
        | Stage::Prune
        | Stage::Undo
        | Stage::UndoVerify => false,
    };
    if !holds || busy {
        return Ok(Step { worker: run.w, next: Next::Done(Finish::Unfinished) });
    }
    let next = run.write(Then::Ended(Finish::Unfinished), |_| ())?;
    if let Next::Effects(batch, _) = &next {
        run.w.issued.clone_from(batch);
    }
    Ok(Step { worker: run.w, next })
}

/// One call of [`step`] under way.
struct Run<'a> {
    plan: &'a Plan,
    now: Timestamp,
    w: Worker,
}

type Answers<'a> = [(&'a Effect, &'a Outcome)];
type Decision = Result<Next, Violation>;

impl Run<'_> {
    fn decide(&mut self, answers: &Answers<'_>) -> Decision {
        let stage = core::mem::replace(&mut self.w.stage, Stage::Read);
        match stage {
            Stage::Read => self.on_read(answers),
            Stage::Write { then, attempt } => self.on_write(answers, then, attempt),
            Stage::Settle { then, attempt } => self.on_settle(answers, then, attempt),
            Stage::Preflight => self.on_preflight(answers),
            Stage::Prove(at) => self.on_prove(answers, at),
            Stage::Resolve(database, candidate) => self.on_resolve(answers, database, candidate),
            Stage::LookPending(store) => self.on_look_pending(answers, store),
            Stage::Staging(store) => self.on_staging(answers, store),
            Stage::ReadBack => self.on_read_back(answers),
            Stage::Applying(op) => self.on_applying(answers, op),
            Stage::Verify => self.on_verify(answers),
            Stage::Promote(done) => self.on_promote(answers, done),
            Stage::PromoteLook(done, hope) => self.on_promote_look(answers, done, hope),
            Stage::Published => self.on_published(answers),
            Stage::Prune => self.on_prune(answers),
            Stage::Undo => self.on_undo(answers),
            Stage::UndoVerify => self.on_undo_verify(answers),
        }
    }

    // --- the register ---

    /// Replaces the register; `then` follows once it is known to be written.
    fn write(&mut self, then: Then, change: impl FnOnce(&mut Register)) -> Decision {
        let mut register = (*self.w.register).clone();
        change(&mut register);
        if register.phase != Phase::Stuck {
            register.was = register.phase;
        }
        self.w.writes += 1;
        let until = if then.frees() { self.now } else { self.now.plus_ms(LEASE_MS) };
        register.owner = Owner { worker: self.w.id, write: self.w.writes, until };
        if then.frees() && !self.w.loose_ends {
            register.taken = None;
        }
        invariant::check_write(self.plan, &self.w.register, &register)?;
        let attempt = Arc::new(register);
        let effect = Effect::WriteRegister { register: Arc::clone(&attempt) };
        self.w.stage = Stage::Write { then, attempt };
        Ok(Next::Effects(vec![effect], Pace::Now))
    }

    fn on_write(&mut self, answers: &Answers<'_>, then: Then, attempt: Arc<Register>) -> Decision {
        match only(answers) {
            Some(Outcome::Applied) => self.written(then, attempt),
            Some(Outcome::Refused(Reason::Conflict)) => Ok(self.fenced()),
            Some(Outcome::Refused(Reason::Transient)) if self.has_budget() => {
                let effect = Effect::WriteRegister { register: Arc::clone(&attempt) };
                self.w.stage = Stage::Write { then, attempt };
                Ok(Next::Effects(vec![effect], Pace::BackOff))
            }
            Some(Outcome::Unknown) => {
                self.w.stage = Stage::Settle { then, attempt };
                Ok(Next::Effects(vec![Effect::ReadRegister], Pace::Now))
            }
            // An Intent that was refused leaves nothing behind but our lease.
            Some(Outcome::Refused(_)) if then == Then::Intent => self.release(Finish::Failed),
            _ => Ok(Next::Done(ended_or(&then, Finish::JournalLost))),
        }
    }

    /// A write of unknown outcome is settled by looking for its nonce.
    fn on_settle(&mut self, answers: &Answers<'_>, then: Then, attempt: Arc<Register>) -> Decision {
        match only(answers) {
            Some(Outcome::Register(Some(found))) if found.owner.is_same_write(attempt.owner) => {
                self.written(then, attempt)
            }
            Some(Outcome::Register(Some(found))) if found.owner.is_same_write(self.w.register.owner) => {
                if !self.has_budget() {
                    return Ok(Next::Done(ended_or(&then, Finish::JournalLost)));
                }
                let effect = Effect::WriteRegister { register: Arc::clone(&attempt) };
                self.w.stage = Stage::Write { then, attempt };
                Ok(Next::Effects(vec![effect], Pace::BackOff))
            }
            Some(Outcome::Register(_)) => Ok(self.fenced()),
            _ if self.has_budget() => {
                self.w.stage = Stage::Settle { then, attempt };
                Ok(Next::Effects(vec![Effect::ReadRegister], Pace::BackOff))
            }
            _ => Ok(Next::Done(ended_or(&then, Finish::JournalLost))),
        }
    }

    fn written(&mut self, then: Then, attempt: Arc<Register>) -> Decision {
        self.w.register = attempt;
        match then {
            Then::Taken => self.enter_phase(),
            Then::Intent => {
                self.w.originator = true;
                self.enter_staging(0)
            }
            Then::Marked(op) => self.enter_apply(op, Pace::Now),
            Then::Committed => self.enter_promote(0, Pace::Now),
            Then::Aborted => self.begin_undo(),
            Then::Renewed { stage, batch, pace } => {
                self.w.stage = *stage;
                Ok(Next::Effects(batch, pace))
            }
            Then::Again => Ok(self.begin_anew()),
            Then::Ended(finish) => Ok(Next::Done(finish)),
        }
    }

    /// Puts a renewal before the next batch when half of the lease is used up and the run is to go on.
    fn renew_lease(&mut self, next: Next) -> Next {
        let held = self.w.register.owner.worker == self.w.id;
        let old = self.now >= self.w.register.owner.until.plus_ms(-LEASE_MS / 2);
        let busy = matches!(self.w.stage, Stage::Read | Stage::Write { .. } | Stage::Settle { .. });
        match next {
            Next::Effects(batch, pace) if held && old && !busy && self.has_budget() => {
                let stage = Box::new(core::mem::replace(&mut self.w.stage, Stage::Read));
                let saved = stage.clone();
                match self.write(Then::Renewed { stage, batch: batch.clone(), pace }, |_| ()) {
                    Ok(next) => next,
                    Err(_) => {
                        self.w.stage = *saved;
                        Next::Effects(batch, pace)
                    }
                }
            }
            other @ (Next::Effects(..) | Next::Done(_)) => other,
        }
    }

    // --- giving up ---

    /// Repeats `again` while the budget lasts, and gives up the generation when it is spent.
    fn retry(&mut self, again: impl FnOnce(&mut Self) -> Decision) -> Decision {
        if self.has_budget() { again(self) } else { self.give_up(again) }
    }

    /// The generation under way cannot be finished: goes back if that is allowed, forward while there is budget, and gets stuck otherwise.
    fn give_up(&mut self, again: impl FnOnce(&mut Self) -> Decision) -> Decision {
        if self.may_abort() {
            self.abort()
        } else if self.has_budget() {
            again(self)
        } else {
            self.write(Then::Ended(Finish::Stuck), |r| {
                r.was = r.phase;
                r.phase = Phase::Stuck;
            })
        }
    }

    /// The abort rule (rulings §2.3). Everything but an unfenced change of the published user can be taken back by anybody.
    fn may_abort(&self) -> bool {
        self.plan.each().all(|(ix, plan)| {
            if !plan.is_unfenced() || self.w.register.database(ix).is_none_or(|d| !d.sent) {
                return true;
            }
            let unknown = self.is_unknown(ix);
            let own = self.w.originator && !unknown;
            let drained = self.w.register.is_drained(self.now) && !unknown;
            match plan.strategy {
                Strategy::Single if !plan.restores => false,
                Strategy::Rollover => drained || (own && self.progress(ix) != Progress::Done),
                Strategy::Alternating | Strategy::Single => drained || own,
            }
        })
    }

    /// Decides to go back, under an epoch of its own.
    fn abort(&mut self) -> Decision {
        self.write(Then::Aborted, |r| {
            r.epoch = r.epoch.next();
            r.phase = Phase::Abort;
        })
    }

    // --- small answers ---

    fn has_budget(&self) -> bool {
        self.now < self.w.budget
    }

    fn fenced(&mut self) -> Next {
        Next::Done(Finish::Fenced)
    }

    fn next_generation(&self) -> Result<Generation, Violation> {
        self.w.register.next.ok_or(Violation::NoGeneration)
    }

    fn stores(&self) -> impl Iterator<Item = StoreIx> + use<> {
        (0_u8..).take(self.plan.stores.len()).map(StoreIx)
    }

    fn progress(&self, ix: DatabaseIx) -> Progress {
        self.w.progress.get(usize::from(ix.0)).copied().unwrap_or_default()
    }

    fn set_progress(&mut self, ix: DatabaseIx, progress: Progress) {
        let at = usize::from(ix.0);
        if self.w.progress.len() <= at {
            self.w.progress.resize(at + 1, Progress::Fresh);
        }
        if let Some(slot) = self.w.progress.get_mut(at) {
            *slot = progress;
        }
    }

    fn is_unknown(&self, ix: DatabaseIx) -> bool {
        self.w.unknown >> ix.0 & 1 == 1
    }

    /// Remembers which requests of this run may still act.
    fn note_unknown(&mut self, answers: &Answers<'_>) {
        for (effect, outcome) in answers {
            if **outcome == Outcome::Unknown {
                match effect {
                    Effect::Apply { database, .. }
                    | Effect::CommitVote { database, .. }
                    | Effect::EndWindow { database }
                    | Effect::Restore { database, .. } => {
                        self.w.unknown |= 1 << database.0;
                        self.w.loose_ends = true;
                    }
                    Effect::Burn { .. }
                    | Effect::Promote { .. }
                    | Effect::Prune { .. }
                    | Effect::Stage { .. }
                    | Effect::Vote { .. }
                    | Effect::WriteRegister { .. } => self.w.loose_ends = true,
                    Effect::CheckCurrent { .. }
                    | Effect::Inspect { .. }
                    | Effect::Login { .. }
                    | Effect::ProveRefused { .. }
                    | Effect::Published { .. }
                    | Effect::ReadBack { .. }
                    | Effect::ReadLabels { .. }
                    | Effect::ReadRegister => {}
                }
            }
        }
    }

    fn base_user(&self, ix: DatabaseIx, plan: DatabasePlan) -> Result<crate::ids::UserIx, Violation> {
        self.w.register.user_of(plan, ix, self.w.register.current).ok_or(Violation::Shape)
    }

    fn target_user(&self, ix: DatabaseIx, plan: DatabasePlan) -> Result<crate::ids::UserIx, Violation> {
        self.w.register.database(ix).map(|d| d.target(plan)).ok_or(Violation::Shape)
    }
}

/// The answer to a batch of one.
fn only<'a>(answers: &Answers<'a>) -> Option<&'a Outcome> {
    match answers {
        [(_, outcome)] => Some(outcome),
        _ => None,
    }
}

/// A run that was about to end keeps its verdict when only the last, releasing write failed and nothing depended on it.
fn ended_or(then: &Then, otherwise: Finish) -> Finish {
    match then {
        Then::Ended(
            finish
            @ (Finish::Failed | Finish::Drift | Finish::NotRevoked | Finish::WindowOpen(_) | Finish::Draining(_)),
        ) => *finish,
        Then::Again
        | Then::Ended(_)
        | Then::Taken
        | Then::Intent
        | Then::Marked(_)
        | Then::Committed
        | Then::Aborted
        | Then::Renewed { .. } => otherwise,
    }
}
