//! A revoke: rotations until nothing that was issued before the wish can log in, and then logins that must fail.
//!
//! The wish is in the register, so whoever works on the set works it off: `rotate`, `recover`, another machine. Each rotation is
//! an ordinary one. With two users, the second of them changes the user that was published (rulings §6.1); with a rollover window,
//! the second ends the window that the first has left open. A `single` user needs one.

use super::{Answers, Decision, Run};
use crate::{
    effect::{Effect, Outcome, Reason},
    ids::Generation,
    worker::{Finish, Goal, Next, Pace, Progress, Stage, Then, Worker},
};

impl Run<'_> {
    /// The next rotation of a revoke is begun as if by another worker, so that nothing of this one is taken for granted.
    pub(super) fn begin_anew(&mut self) -> Next {
        let fresh = Worker::new(self.w.id, Goal::Recover, self.w.budget);
        self.w = Worker { writes: self.w.writes, ..fresh };
        Next::Effects(vec![Effect::ReadRegister], Pace::Now)
    }

    /// What is to be revoked and can still be tried, oldest first.
    fn to_prove(&self, target: Generation) -> Vec<Generation> {
        let r = &self.w.register;
        let mut all: Vec<Generation> = r.kept.iter().copied().filter(|g| r.is_to_prove(*g, target)).collect();
        all.sort_unstable();
        all
    }

    /// Tries one generation after the other, so that no server sees two wrong logins in a row.
    pub(super) fn enter_prove(&mut self, target: Generation, at: u8, pace: Pace) -> Decision {
        let Some(generation) = self.to_prove(target).get(usize::from(at)).copied() else {
            return self.write(Then::Ended(Finish::Revoked(target)), |r| {
                r.revoked = r.revoked.max(Some(target));
                r.revoke = None;
            });
        };
        let left = self.plan.each().filter(|(ix, _)| self.progress(*ix) != Progress::Done);
        let batch: Vec<Effect> = left.map(|(database, _)| Effect::ProveRefused { database, generation }).collect();
        if batch.is_empty() {
            self.w.progress = vec![Progress::Fresh; self.plan.databases.len()];
            return self.enter_prove(target, at + 1, pace);
        }
        self.w.stage = Stage::Prove(at);
        Ok(Next::Effects(batch, pace))
    }

    pub(super) fn on_prove(&mut self, answers: &Answers<'_>, at: u8) -> Decision {
        let Some(target) = self.w.register.revoke else { return Err(crate::invariant::Violation::RevokeOrder) };
        let mut pace = Pace::Now;
        for (effect, outcome) in answers {
            let Effect::ProveRefused { database, .. } = effect else { continue };
            match outcome {
                Outcome::Applied => self.set_progress(*database, Progress::Done),
                Outcome::Refused(Reason::Transient) | Outcome::Unknown if self.has_budget() => pace = Pace::BackOff,
                Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                    return self.release(Finish::NotRevoked);
                }
            }
        }
        self.enter_prove(target, at, pace)
    }
}
