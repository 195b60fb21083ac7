//! After the decision: CURRENT moves in every store, consumers' view is checked, old names are dropped, the set comes to rest.
//!
//! From here only forward. Whatever a promotion answers, the labels tell the truth.

use super::{Answers, Decision, Run};
use crate::{
    effect::{Effect, Outcome, Reason, Seen},
    ids::{Generation, StoreIx},
    plan::Strategy,
    register::{Phase, Window},
    worker::{Finish, Next, Pace, Stage, Then},
};

impl Run<'_> {
    pub(super) fn enter_promote(&mut self, done: u8, pace: Pace) -> Decision {
        let (from, to) = (self.w.register.current, self.next_generation()?);
        let batch: Vec<Effect> =
            self.stores().filter(|s| !has(done, *s)).map(|store| Effect::Promote { store, from, to }).collect();
        if batch.is_empty() {
            return self.enter_published(Pace::Now);
        }
        self.w.stage = Stage::Promote(done);
        Ok(Next::Effects(batch, pace))
    }

    pub(super) fn on_promote(&mut self, answers: &Answers<'_>, done: u8) -> Decision {
        let mut done = done;
        let mut look = Vec::new();
        let mut hope = false;
        for (effect, outcome) in answers {
            if let Effect::Promote { store, .. } = effect {
                hope |= !matches!(outcome, Outcome::Applied | Outcome::Refused(Reason::Permanent));
                match outcome {
                    Outcome::Applied => done |= 1 << store.0,
                    Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                        look.push(Effect::ReadLabels { store: *store });
                    }
                }
            }
        }
        if look.is_empty() {
            return self.enter_promote(done, Pace::Now);
        }
        self.w.stage = Stage::PromoteLook(done, hope);
        Ok(Next::Effects(look, Pace::Now))
    }

    pub(super) fn on_promote_look(&mut self, answers: &Answers<'_>, done: u8, hope: bool) -> Decision {
        let (base, generation) = (self.w.register.current, self.next_generation()?);
        let mut done = done;
        for (effect, outcome) in answers {
            let Effect::ReadLabels { store } = effect else { continue };
            match outcome {
                Outcome::Labels { current: Seen::Generation(g), .. } if *g == generation => done |= 1 << store.0,
                Outcome::Labels { current: Seen::Generation(g), .. } if *g == base => {}
                Outcome::Labels { current: Seen::Generation(g), .. } if *g > generation => return Ok(self.fenced()),
                // CURRENT was moved by somebody who is not us: publish nothing over it, say so, stay decided.
                Outcome::Labels { .. } => return Ok(Next::Done(Finish::Unfinished)),
                Outcome::Applied | Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) => {}
            }
        }
        let all = self.stores().all(|store| has(done, store));
        if !all && !hope {
            // A right that is missing does not come back while we ask: what is decided stays decided for the next run.
            return Ok(Next::Done(Finish::Unfinished));
        }
        self.onward(|run| run.enter_promote(done, Pace::BackOff))
    }

    fn enter_published(&mut self, pace: Pace) -> Decision {
        let generation = self.next_generation()?;
        self.w.stage = Stage::Published;
        Ok(Next::Effects(self.stores().map(|store| Effect::Published { store, generation }).collect(), pace))
    }

    pub(super) fn on_published(&mut self, answers: &Answers<'_>) -> Decision {
        if answers.iter().any(|(_, o)| **o != Outcome::Applied) {
            return self.onward(|run| run.enter_published(Pace::BackOff));
        }
        let batch: Vec<Effect> = self
            .superfluous()?
            .into_iter()
            .flat_map(|generation| self.stores().map(move |store| Effect::Prune { store, generation }))
            .collect();
        if batch.is_empty() {
            return self.finish(&[]);
        }
        self.w.stage = Stage::Prune;
        Ok(Next::Effects(batch, Pace::Now))
    }

    /// A name that could not be taken off stays recorded, and is tried again after the next rotation.
    pub(super) fn on_prune(&mut self, answers: &Answers<'_>) -> Decision {
        let mut gone = self.superfluous()?;
        for (effect, outcome) in answers {
            if let Effect::Prune { generation, .. } = effect
                && **outcome != Outcome::Applied
            {
                gone.retain(|g| g != generation);
            }
        }
        self.finish(&gone)
    }

    /// Kept generations that are older than the one just proven, and that nothing needs once it is finished.
    fn superfluous(&self) -> Result<Vec<Generation>, crate::invariant::Violation> {
        let generation = self.next_generation()?;
        let mut needed = vec![self.w.register.current, generation];
        for (ix, plan) in self.plan.each() {
            let Some(database) = self.w.register.database(ix) else { continue };
            let changed = database.target(plan);
            for (at, user) in (0_u8..).zip(&database.users) {
                if at != changed.0 {
                    needed.extend(user.candidates());
                }
            }
        }
        // What is to be revoked is tried before its password is forgotten.
        let to_prove =
            |g: &Generation| self.w.register.revoke.is_some_and(|target| self.w.register.is_to_prove(*g, target));
        let old = |g: &Generation| *g < generation && !needed.contains(g) && !to_prove(g);
        Ok(self.w.register.kept.iter().copied().filter(old).collect())
    }

    fn finish(&mut self, gone: &[Generation]) -> Decision {
        let generation = self.next_generation()?;
        let now = self.now;
        let plans = self.plan;
        let pending = self.w.register.revoke.is_some();
        let then = if pending { Then::Again } else { Then::Ended(Finish::Rotated(generation)) };
        self.write(then, |r| {
            let base = r.current;
            for (ix, plan) in plans.each() {
                let Some(database) = r.database_mut(ix) else { continue };
                let changed = database.target(plan);
                if let Some(user) = database.user_mut(changed) {
                    user.settle(generation);
                }
                database.live = changed;
                database.sent = false;
                database.window = match plan.strategy {
                    Strategy::Rollover => Some(Window { until: now.plus_ms(plan.window_ms), first: base }),
                    Strategy::Alternating | Strategy::Single => None,
                };
            }
            r.kept.retain(|g| !gone.contains(g));
            r.current = generation;
            r.next = None;
            r.phase = Phase::Idle;
        })
    }

    /// After the decision there is no way back: repeat while the budget lasts, then leave the rest to the next run.
    pub(super) fn onward(&mut self, again: impl FnOnce(&mut Self) -> Decision) -> Decision {
        if self.has_budget() { again(self) } else { Ok(Next::Done(Finish::Unfinished)) }
    }
}

fn has(mask: u8, store: StoreIx) -> bool {
    mask >> store.0 & 1 == 1
}
