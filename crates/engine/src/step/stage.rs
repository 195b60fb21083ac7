//! Staging: the new generation goes into every store, in order, and is read back, before any database is touched.

use super::{Answers, Decision, Run, only};
use crate::{
    effect::{Effect, Outcome, Reason, Seen},
    ids::StoreIx,
    invariant::Violation,
    worker::{Next, Pace, Stage},
};

impl Run<'_> {
    /// One store after the other: the first store that covers a database decides its password, the others copy it.
    pub(super) fn enter_staging(&mut self, store: u8) -> Decision {
        self.stage_at(store, Pace::Now)
    }

    fn stage_at(&mut self, store: u8, pace: Pace) -> Decision {
        let Some(plan) = self.plan.stores.get(usize::from(store)) else {
            return self.enter_read_back(pace);
        };
        if plan.announce {
            self.w.stage = Stage::LookPending(store);
            return Ok(Next::Effects(vec![Effect::ReadLabels { store: StoreIx(store) }], pace));
        }
        self.put(store, None, pace)
    }

    fn put(&mut self, store: u8, announce: Option<Seen>, pace: Pace) -> Decision {
        let generation = self.next_generation()?;
        self.w.stage = Stage::Staging(store);
        Ok(Next::Effects(vec![Effect::Stage { store: StoreIx(store), generation, announce }], pace))
    }

    /// A worker that finds a newer generation than its own stops.
    pub(super) fn on_look_pending(&mut self, answers: &Answers<'_>, store: u8) -> Decision {
        let generation = self.next_generation()?;
        match only(answers) {
            Some(Outcome::Labels { current, pending }) => {
                let newer = |seen: &Seen| matches!(seen, Seen::Generation(g) if *g > generation);
                if newer(current) || newer(pending) {
                    return Ok(self.fenced());
                }
                self.put(store, Some(*pending), Pace::Now)
            }
            Some(Outcome::Refused(Reason::Permanent)) => self.give_up(|run| run.stage_at(store, Pace::BackOff)),
            _ => self.retry(|run| run.stage_at(store, Pace::BackOff)),
        }
    }

    pub(super) fn on_staging(&mut self, answers: &Answers<'_>, store: u8) -> Decision {
        match only(answers) {
            Some(Outcome::Applied) => self.stage_at(store + 1, Pace::Now),
            Some(Outcome::Refused(Reason::Fenced)) => Ok(self.fenced()),
            Some(Outcome::Refused(Reason::Permanent)) => self.give_up(|run| run.stage_at(store, Pace::BackOff)),
            Some(_) => self.retry(|run| run.stage_at(store, Pace::BackOff)),
            None => Err(Violation::Shape),
        }
    }

    fn enter_read_back(&mut self, pace: Pace) -> Decision {
        let generation = self.next_generation()?;
        self.w.stage = Stage::ReadBack;
        Ok(Next::Effects(self.stores().map(|store| Effect::ReadBack { store, generation }).collect(), pace))
    }

    pub(super) fn on_read_back(&mut self, answers: &Answers<'_>) -> Decision {
        if answers.iter().all(|(_, o)| **o == Outcome::Applied) {
            return self.enter_apply(0, Pace::Now);
        }
        if answers.iter().any(|(_, o)| **o == Outcome::Refused(Reason::Permanent)) {
            return self.give_up(|run| run.stage_at(0, Pace::BackOff));
        }
        self.retry(|run| run.stage_at(0, Pace::BackOff))
    }
}
