//! From the first look at the register to the Intent: take the set, look around, issue a generation.

use super::{Answers, Decision, Run, only};
use crate::{
    effect::{Effect, Outcome, Reason},
    invariant::Violation,
    register::{DRAIN_MS, MAX_MAYBES, Phase, Window},
    worker::{Finish, Goal, Next, Pace, Progress, Stage, Then},
};

impl Run<'_> {
    pub(super) fn on_read(&mut self, answers: &Answers<'_>) -> Decision {
        let register = match only(answers) {
            Some(Outcome::Register(Some(register))) => register,
            Some(Outcome::Register(None)) => return Ok(Next::Done(Finish::NoRegister)),
            Some(Outcome::Refused(Reason::Permanent)) => return Ok(Next::Done(Finish::JournalLost)),
            _ if self.has_budget() => return Ok(Next::Effects(vec![Effect::ReadRegister], Pace::BackOff)),
            _ => return Ok(Next::Done(Finish::JournalLost)),
        };
        if !register.fits(self.plan) {
            return Ok(Next::Done(Finish::Misfit));
        }
        if register.owner.until > self.now && register.owner.worker != self.w.id {
            return Ok(Next::Done(Finish::Busy(register.owner.until)));
        }
        match (register.phase, self.w.goal) {
            (Phase::Idle, Goal::Recover) if register.revoke.is_none() => return Ok(Next::Done(Finish::NothingToDo)),
            (Phase::Stuck, Goal::Rotate) => return Ok(Next::Done(Finish::Stuck)),
            _ => {}
        }
        self.w.register = register.clone();
        self.w.progress = vec![Progress::Fresh; self.plan.databases.len()];
        let (now, revokes) = (self.now, self.w.goal == Goal::Revoke);
        self.write(Then::Taken, |r| {
            r.epoch = r.epoch.next();
            r.quiet = r.quiet.max(r.taken.map(|taken| taken.plus_ms(DRAIN_MS)));
            r.taken = Some(now);
            r.phase = r.undecided();
            // A wish that is not worked off is worked off, and not widened: it would never end where one run cannot end it.
            if revokes {
                r.revoke = r.revoke.or(Some(r.last));
            }
        })
    }

    /// Enters where the register stands: this is all there is to recovery.
    pub(super) fn enter_phase(&mut self) -> Decision {
        match self.w.register.phase {
            Phase::Idle => self.enter_preflight(Pace::Now),
            Phase::Intent => self.enter_staging(0),
            Phase::Commit => self.enter_promote(0, Pace::Now),
            Phase::Abort => self.enter_undo(Pace::Now),
            Phase::Stuck => Err(Violation::Shape),
        }
    }

    fn enter_preflight(&mut self, pace: Pace) -> Decision {
        let generation = self.w.register.current;
        let mut batch: Vec<Effect> = self.stores().map(|store| Effect::CheckCurrent { store, generation }).collect();
        for (database, plan) in self.plan.each() {
            batch.push(Effect::Inspect { database, user: self.base_user(database, plan)?, generation });
        }
        self.w.stage = Stage::Preflight;
        Ok(Next::Effects(batch, pace))
    }

    pub(super) fn on_preflight(&mut self, answers: &Answers<'_>) -> Decision {
        let mut finish = None;
        for (_, outcome) in answers {
            let worse = match outcome {
                Outcome::Applied => continue,
                Outcome::Refused(Reason::Drift | Reason::Credential) => Finish::Drift,
                Outcome::Refused(Reason::Fenced) => Finish::Fenced,
                Outcome::Refused(Reason::Transient) | Outcome::Unknown if self.has_budget() => {
                    finish = finish.or(Some(Finish::Unfinished));
                    continue;
                }
                Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                    Finish::Failed
                }
            };
            if finish.is_none_or(|f| f == Finish::Unfinished) {
                finish = Some(worse);
            }
        }
        match finish {
            None => self.after_preflight(),
            Some(Finish::Unfinished) => self.enter_preflight(Pace::BackOff),
            Some(finish) => self.release(finish),
        }
    }

    /// An old rollover window ends before the next rotation; a user that may be on too many generations is looked at first.
    fn after_preflight(&mut self) -> Decision {
        if let Some(target) = self.w.register.revoke
            && self.w.register.has_left(self.plan, target, self.now)
        {
            return self.enter_prove(target, 0, Pace::Now);
        }
        for (ix, plan) in self.plan.each() {
            let window = self.w.register.database(ix).and_then(|d| d.window);
            if let Some(window) = window
                && window.until > self.now
                && !plan.ends_windows
                && !plan.window_over
            {
                return self.release(Finish::WindowOpen(window.until));
            }
        }
        self.enter_resolve(0, 0)
    }

    fn enter_resolve(&mut self, from: u8, candidate: u8) -> Decision {
        for (ix, plan) in self.plan.each().filter(|(ix, _)| ix.0 >= from) {
            let user = self.target_user(ix, plan)?;
            let Some(known) = self.w.register.database(ix).and_then(|d| d.user(user)) else {
                return Err(Violation::Shape);
            };
            if known.maybe.len() < MAX_MAYBES {
                continue;
            }
            if !self.w.register.is_drained(self.now) || self.w.loose_ends {
                let until = self.w.register.quiet.unwrap_or(self.now);
                return self.release(Finish::Draining(until));
            }
            let at = if ix.0 == from { candidate } else { 0 };
            let Some(generation) = known.candidates().get(usize::from(at)).copied() else {
                return self.release(Finish::Drift);
            };
            self.w.stage = Stage::Resolve(ix.0, at);
            return Ok(Next::Effects(vec![Effect::Login { database: ix, user, generation }], Pace::Now));
        }
        self.intent()
    }

    pub(super) fn on_resolve(&mut self, answers: &Answers<'_>, database: u8, candidate: u8) -> Decision {
        let Some((Effect::Login { database: ix, user, generation }, outcome)) = answers.first() else {
            return Err(Violation::Shape);
        };
        match outcome {
            Outcome::Applied => {
                let mut register = (*self.w.register).clone();
                if let Some(known) = register.database_mut(*ix).and_then(|d| d.user_mut(*user)) {
                    known.settle(*generation);
                }
                self.w.register = register.into();
                self.enter_resolve(database, 0)
            }
            Outcome::Refused(Reason::Credential) => self.enter_resolve(database, candidate + 1),
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                if self.has_budget() { self.enter_resolve(database, candidate) } else { self.release(Finish::Failed) }
            }
        }
    }

    /// Issues the next generation. What may be sent to fenced and idle users is marked in the same write.
    fn intent(&mut self) -> Decision {
        let now = self.now;
        let plans = self.plan;
        // A late request to end a window does not know that the window is over by itself.
        let quiet = self.w.register.is_drained(now);
        self.write(Then::Intent, |r| {
            let generation = r.last.next();
            r.phase = Phase::Intent;
            r.last = generation;
            r.next = Some(generation);
            r.kept.push(generation);
            for (ix, plan) in plans.each() {
                let Some(database) = r.database_mut(ix) else { continue };
                database.sent = false;
                let is_open = |w: &Window| w.until > now && (plan.ends_windows || !plan.window_over);
                database.window = database.window.filter(|w| is_open(w) || (plan.ends_windows && !quiet));
                let user = database.target(plan);
                if !plan.is_unfenced()
                    && let Some(user) = database.user_mut(user)
                {
                    user.mark(generation);
                }
            }
        })
    }

    /// Ends the run before anything was changed, and lets others have the set.
    pub(super) fn release(&mut self, finish: Finish) -> Decision {
        self.write(Then::Ended(finish), |_| ())
    }
}
