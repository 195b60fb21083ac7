//! The way back: after the Abort is recorded under a new epoch, every database that needs it is burnt and restored,
//! and the set comes to rest on its base. Running it twice changes nothing.

use super::{Answers, Decision, Run};
use crate::{
    effect::{Effect, Outcome, Reason},
    ids::{DatabaseIx, Generation},
    invariant::Violation,
    plan::{DatabasePlan, Strategy},
    register::{Phase, Window},
    worker::{Fact, Finish, Next, Pace, Progress, Stage, Then},
};

impl Run<'_> {
    /// Keeps what this run knows of the idle users, and starts over with every database.
    pub(super) fn begin_undo(&mut self) -> Decision {
        self.w.facts = self.plan.each().map(|(ix, plan)| self.fact(ix, plan)).collect();
        self.w.progress = vec![Progress::Fresh; self.plan.databases.len()];
        self.enter_undo(Pace::Now)
    }

    /// Whether an idle user is on the generation that is given up. Only the run that issued it can know that it is not.
    fn fact(&self, ix: DatabaseIx, plan: DatabasePlan) -> Fact {
        match (plan.strategy, self.progress(ix)) {
            (Strategy::Rollover | Strategy::Single, _) => Fact::Unclear,
            (Strategy::Alternating, Progress::Done) => Fact::On,
            (Strategy::Alternating, _) if self.w.originator && !self.is_unknown(ix) => Fact::Off,
            (Strategy::Alternating, _) => Fact::Unclear,
        }
    }

    pub(super) fn enter_undo(&mut self, pace: Pace) -> Decision {
        let mut batch = Vec::new();
        for (ix, plan) in self.plan.each() {
            batch.extend(self.undo(ix, plan)?);
        }
        if batch.is_empty() {
            return self.enter_undo_verify(Pace::Now);
        }
        self.w.stage = Stage::Undo;
        Ok(Next::Effects(batch, pace))
    }

    /// What one database needs next on the way back. An alternating database needs nothing: its idle user is published nowhere.
    fn undo(&self, ix: DatabaseIx, plan: DatabasePlan) -> Result<Option<Effect>, Violation> {
        let sent = self.w.register.database(ix).is_some_and(|d| d.sent);
        if plan.strategy == Strategy::Alternating || (plan.is_unfenced() && !sent) {
            return Ok(None);
        }
        let (base, given_up) = (self.w.register.current, self.next_generation()?);
        let user = self.base_user(ix, plan)?;
        let epoch = self.w.register.epoch;
        let login = |generation| Effect::Login { database: ix, user, generation };
        let burn = |from| Effect::Burn { database: ix, user, from, epoch };
        Ok(match (self.progress(ix), plan.votes(), plan.strategy) {
            (Progress::Done, _, _) => None,
            (Progress::Knows(from), _, _) => Some(Effect::Restore { database: ix, user, from, to: base, epoch }),
            (Progress::Probe(_), true, _) => Some(burn(given_up)),
            (_, true, _) => Some(burn(base)),
            (_, false, Strategy::Rollover) => Some(login(given_up)),
            (_, false, Strategy::Alternating | Strategy::Single) => Some(login(base)),
        })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only effects of the way back are asked for here")]
    pub(super) fn on_undo(&mut self, answers: &Answers<'_>) -> Decision {
        let (base, given_up) = (self.w.register.current, self.next_generation()?);
        let mut verdict = Verdict::GoOn;
        for (effect, outcome) in answers {
            verdict = verdict.max(match effect {
                Effect::Burn { database, from, .. } => self.on_burn(*database, *from, base, outcome),
                Effect::Login { database, generation, .. } => self.on_look(*database, *generation, given_up, outcome),
                Effect::Restore { database, from, .. } => self.on_restore(*database, *from, outcome),
                _ => return Err(Violation::Shape),
            });
        }
        match verdict {
            Verdict::GoOn => self.enter_undo(Pace::Now),
            Verdict::Again => self.onward(|run| run.enter_undo(Pace::BackOff)),
            Verdict::Hopeless => self.undo_or_stuck(),
            Verdict::Fenced => Ok(self.fenced()),
        }
    }

    fn on_burn(&mut self, ix: DatabaseIx, from: Generation, base: Generation, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Applied if from == base => self.set_progress(ix, Progress::Done),
            Outcome::Applied => self.set_progress(ix, Progress::Knows(from)),
            Outcome::Refused(Reason::Fenced) => return Verdict::Fenced,
            Outcome::Refused(Reason::Credential | Reason::Conflict) if from == base => {
                self.set_progress(ix, Progress::Probe(0));
            }
            Outcome::Refused(Reason::Credential | Reason::Conflict | Reason::Permanent) => {
                self.set_progress(ix, Progress::Fresh);
                return Verdict::Hopeless;
            }
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                return Verdict::Again;
            }
        }
        Verdict::GoOn
    }

    /// A `single` that logs in with its base is back; a rollover that logs in with the given-up generation is not.
    fn on_look(&mut self, ix: DatabaseIx, tried: Generation, given_up: Generation, outcome: &Outcome) -> Verdict {
        let is_back = match outcome {
            Outcome::Applied => tried != given_up,
            Outcome::Refused(Reason::Credential) => tried == given_up,
            Outcome::Refused(Reason::Permanent) => return Verdict::Hopeless,
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                return Verdict::Again;
            }
        };
        self.set_progress(ix, if is_back { Progress::Done } else { Progress::Knows(given_up) });
        Verdict::GoOn
    }

    fn on_restore(&mut self, ix: DatabaseIx, from: Generation, outcome: &Outcome) -> Verdict {
        if !matches!(outcome, Outcome::Refused(_)) {
            self.w.restored |= 1 << ix.0;
        }
        match outcome {
            Outcome::Applied => {
                self.set_progress(ix, Progress::Done);
                return Verdict::GoOn;
            }
            Outcome::Refused(Reason::Fenced) => return Verdict::Fenced,
            // Nothing has changed, so nothing has to be looked at again: a look may cost a wrong login.
            Outcome::Refused(Reason::Permanent | Reason::Transient) => self.set_progress(ix, Progress::Knows(from)),
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                self.set_progress(ix, Progress::Fresh);
            }
        }
        let hopeless = matches!(outcome, Outcome::Refused(Reason::Permanent | Reason::Credential));
        if hopeless { Verdict::Hopeless } else { Verdict::Again }
    }

    fn enter_undo_verify(&mut self, pace: Pace) -> Decision {
        let generation = self.w.register.current;
        let mut batch = Vec::new();
        for (database, plan) in self.plan.each() {
            batch.push(Effect::Login { database, user: self.base_user(database, plan)?, generation });
        }
        self.w.stage = Stage::UndoVerify;
        Ok(Next::Effects(batch, pace))
    }

    pub(super) fn on_undo_verify(&mut self, answers: &Answers<'_>) -> Decision {
        if answers.iter().all(|(_, o)| **o == Outcome::Applied) {
            return self.rest_on_base();
        }
        if answers.iter().any(|(_, o)| **o == Outcome::Refused(Reason::Credential)) {
            self.w.progress = vec![Progress::Fresh; self.plan.databases.len()];
            return self.undo_or_stuck();
        }
        self.onward(|run| run.enter_undo_verify(Pace::BackOff))
    }

    fn undo_or_stuck(&mut self) -> Decision {
        if self.has_budget() {
            return self.enter_undo(Pace::BackOff);
        }
        self.write(Then::Ended(Finish::Stuck), |r| {
            r.was = r.phase;
            r.phase = Phase::Stuck;
        })
    }

    fn rest_on_base(&mut self) -> Decision {
        let given_up = self.next_generation()?;
        let facts = core::mem::take(&mut self.w.facts);
        let (plans, now, restored) = (self.plan, self.now, self.w.restored);
        self.write(Then::Ended(Finish::RolledBack(given_up)), |r| {
            let base = r.current;
            for (ix, plan) in plans.each() {
                let Some(database) = r.database_mut(ix) else { continue };
                database.sent = false;
                // If the first window was over by then, putting the base back has opened another one.
                if plan.strategy == Strategy::Rollover && restored >> ix.0 & 1 == 1 {
                    database.window = Some(Window { until: now.plus_ms(plan.window_ms), first: base });
                }
                let target = database.target(plan);
                let Some(user) = database.user_mut(target) else { continue };
                match (plan.strategy, facts.get(usize::from(ix.0))) {
                    (Strategy::Rollover | Strategy::Single, _) => user.settle(base),
                    (Strategy::Alternating, Some(Fact::On)) => user.settle(given_up),
                    (Strategy::Alternating, Some(Fact::Off)) => user.maybe.retain(|g| *g != given_up),
                    (Strategy::Alternating, Some(Fact::Unclear) | None) => {}
                }
            }
            r.next = None;
            r.phase = Phase::Idle;
        })
    }
}

/// The worst answer of a batch decides.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Verdict {
    GoOn,
    Again,
    Hopeless,
    Fenced,
}
