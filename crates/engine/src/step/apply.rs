//! Applying: every database changes in the order of rulings §2.2, and then logs in with the new generation.
//!
//! An unknown outcome is probed before the next decision. A worker never replaces a generation newer than its own.

use super::{Answers, Decision, Run};
use crate::{
    effect::{Effect, Outcome, Reason},
    ids::{DatabaseIx, Generation},
    invariant::Violation,
    plan::{DatabasePlan, Op},
    register::Phase,
    worker::{Next, Pace, Progress, Stage, Then},
};

impl Run<'_> {
    /// Goes on with the order of apply at `op`, past everything that is done.
    pub(super) fn enter_apply(&mut self, op: u8, pace: Pace) -> Decision {
        let mut at = op;
        loop {
            let batch = match self.plan.order.get(usize::from(at)) {
                None => return self.enter_verify(Pace::Now),
                Some(Op::Alternating) => self.changes(|plan| !plan.is_unfenced() && !plan.votes())?,
                Some(Op::Votes) => self.changes(DatabasePlan::votes)?,
                Some(Op::EndWindow(ix)) => self.end_window(*ix),
                Some(Op::Mark(ix)) => match self.mark(*ix, at) {
                    Some(decision) => return decision,
                    None => Vec::new(),
                },
                Some(Op::Unfenced(ix)) => self.change(*ix)?.into_iter().collect(),
                Some(Op::CommitVotes) => self.commits()?,
            };
            if !batch.is_empty() {
                self.w.stage = Stage::Applying(at);
                return Ok(Next::Effects(batch, pace));
            }
            at += 1;
        }
    }

    fn changes(&mut self, belongs: impl Fn(DatabasePlan) -> bool) -> Result<Vec<Effect>, Violation> {
        let mut batch = Vec::new();
        for (ix, plan) in self.plan.each() {
            if belongs(plan) {
                batch.extend(self.change(ix)?);
            }
        }
        Ok(batch)
    }

    /// What one database needs next: a look, or the change.
    fn change(&mut self, ix: DatabaseIx) -> Result<Option<Effect>, Violation> {
        let plan = self.plan.database(ix).ok_or(Violation::Shape)?;
        let to = self.next_generation()?;
        let user = self.target_user(ix, plan)?;
        let candidates = self.candidates(ix, plan)?;
        let login = |generation| Effect::Login { database: ix, user, generation };
        let epoch = self.w.register.epoch;
        let change = |from| {
            if plan.votes() {
                Effect::Vote { database: ix, user, from, to, epoch }
            } else {
                Effect::Apply { database: ix, user, from, to, epoch }
            }
        };
        Ok(match self.progress(ix) {
            Progress::Done | Progress::Voted => None,
            Progress::Knows(from) => Some(change(from)),
            Progress::Fresh | Progress::WindowEnded => match candidates.as_slice() {
                // Only the worker that issued the generation knows that nobody has sent it yet.
                [_, only] if self.w.originator => Some(change(*only)),
                [_, likeliest, ..] if self.w.originator => {
                    self.set_progress(ix, Progress::Probe(1));
                    Some(login(*likeliest))
                }
                _ => {
                    self.set_progress(ix, Progress::Probe(0));
                    Some(login(to))
                }
            },
            Progress::Probe(at) => match candidates.get(usize::from(at)) {
                Some(generation) => Some(login(*generation)),
                None => {
                    self.set_progress(ix, Progress::Probe(0));
                    Some(login(to))
                }
            },
        })
    }

    /// What the user to be changed may be on: the new generation first, nothing newer.
    fn candidates(&self, ix: DatabaseIx, plan: DatabasePlan) -> Result<Vec<Generation>, Violation> {
        let to = self.next_generation()?;
        let database = self.w.register.database(ix).ok_or(Violation::Shape)?;
        let user = database.user(database.target(plan)).ok_or(Violation::Shape)?;
        let mut all = vec![to];
        all.extend(user.candidates().into_iter().filter(|g| *g < to));
        Ok(all)
    }

    fn end_window(&mut self, ix: DatabaseIx) -> Vec<Effect> {
        let open = self.w.register.database(ix).is_some_and(|d| d.window.is_some() && !d.sent);
        if open && self.progress(ix) != Progress::WindowEnded {
            return vec![Effect::EndWindow { database: ix }];
        }
        Vec::new()
    }

    /// Records that the unfenced change may have been sent, before it is sent. `None` if that is recorded already.
    fn mark(&mut self, ix: DatabaseIx, op: u8) -> Option<Decision> {
        let database = self.w.register.database(ix)?;
        if database.sent {
            return None;
        }
        // A late request to end the old window would end the one that this change opens. Until none can come any more, ask
        // something harmless: there must be an answer to come back with.
        if database.window.is_some() && (!self.w.register.is_drained(self.now) || self.is_unknown(ix)) {
            let (user, generation) = (database.live, self.w.register.current);
            return Some(self.retry(|run| {
                run.w.stage = Stage::Applying(op);
                Ok(Next::Effects(vec![Effect::Login { database: ix, user, generation }], Pace::BackOff))
            }));
        }
        let plan = self.plan.database(ix)?;
        let generation = self.w.register.next?;
        // Nothing is sent without a mark, and this one is the first: what the register knows is what the user has, so that no
        // login need be risked to find out.
        let user = database.user(database.target(plan))?;
        if let (Some(known), []) = (user.known, user.maybe.as_slice()) {
            self.set_progress(ix, Progress::Knows(known));
        }
        Some(self.write(Then::Marked(op + 1), |r| {
            if let Some(database) = r.database_mut(ix) {
                database.sent = true;
                database.window = None;
                let user = database.target(plan);
                if let Some(user) = database.user_mut(user) {
                    user.mark(generation);
                }
            }
        }))
    }

    fn commits(&mut self) -> Result<Vec<Effect>, Violation> {
        let generation = self.next_generation()?;
        let voted = self.plan.each().filter(|(ix, _)| self.progress(*ix) == Progress::Voted);
        Ok(voted.map(|(database, _)| Effect::CommitVote { database, generation }).collect())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "only effects of the order of apply are asked for here")]
    pub(super) fn on_applying(&mut self, answers: &Answers<'_>, op: u8) -> Decision {
        let generation = self.next_generation()?;
        let mut verdict = Verdict::GoOn;
        for (effect, outcome) in answers {
            verdict = verdict.max(match effect {
                Effect::Login { database, generation: tried, .. } => {
                    self.on_probe(*database, *tried, generation, outcome)
                }
                Effect::Apply { database, from, .. } => self.on_change(*database, *from, outcome, Progress::Done),
                Effect::Vote { database, from, .. } => self.on_change(*database, *from, outcome, Progress::Voted),
                Effect::CommitVote { database, .. } => self.on_commit_vote(*database, outcome),
                Effect::EndWindow { database } => self.on_end_window(*database, outcome),
                _ => return Err(Violation::Shape),
            });
        }
        // A lost transaction is opened again, so everything is looked at from the top; what is done stays done.
        let again = if self.lost_a_vote() { 0 } else { op };
        match verdict {
            Verdict::GoOn => self.enter_apply(again, Pace::Now),
            Verdict::Again => self.retry(|run| run.enter_apply(again, Pace::BackOff)),
            Verdict::Hopeless => self.give_up(|run| run.enter_apply(again, Pace::BackOff)),
            Verdict::Fenced => Ok(self.fenced()),
        }
    }

    fn on_probe(&mut self, ix: DatabaseIx, tried: Generation, to: Generation, outcome: &Outcome) -> Verdict {
        let Progress::Probe(at) = self.progress(ix) else { return Verdict::Again };
        match outcome {
            Outcome::Applied if tried == to => self.set_progress(ix, Progress::Done),
            Outcome::Applied => self.set_progress(ix, Progress::Knows(tried)),
            Outcome::Refused(Reason::Credential) => {
                let plan = self.plan.database(ix);
                let candidates = plan.and_then(|plan| self.candidates(ix, plan).ok()).unwrap_or_default();
                match candidates.as_slice() {
                    // Only one is left, and the change itself will tell whether it is right.
                    [_, only] if at == 0 => self.set_progress(ix, Progress::Knows(*only)),
                    all if usize::from(at) + 1 < all.len() => self.set_progress(ix, Progress::Probe(at + 1)),
                    _ => {
                        self.set_progress(ix, Progress::Probe(0));
                        return Verdict::Again;
                    }
                }
            }
            Outcome::Refused(Reason::Permanent) => return Verdict::Hopeless,
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                return Verdict::Again;
            }
        }
        Verdict::GoOn
    }

    fn on_change(&mut self, ix: DatabaseIx, from: Generation, outcome: &Outcome, done: Progress) -> Verdict {
        match outcome {
            Outcome::Applied => {
                self.set_progress(ix, done);
                Verdict::GoOn
            }
            Outcome::Unknown => {
                self.set_progress(ix, Progress::Probe(0));
                Verdict::Again
            }
            Outcome::Refused(Reason::Fenced) => Verdict::Fenced,
            Outcome::Refused(Reason::Permanent) => {
                self.set_progress(ix, Progress::Knows(from));
                Verdict::Hopeless
            }
            Outcome::Refused(Reason::Credential) => {
                self.set_progress(ix, Progress::Probe(0));
                Verdict::Again
            }
            Outcome::Refused(_) | Outcome::Register(_) | Outcome::Labels { .. } => {
                self.set_progress(ix, Progress::Knows(from));
                Verdict::Again
            }
        }
    }

    fn on_commit_vote(&mut self, ix: DatabaseIx, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Applied => {
                self.set_progress(ix, Progress::Done);
                Verdict::GoOn
            }
            Outcome::Refused(Reason::Permanent) => {
                self.set_progress(ix, Progress::Probe(0));
                Verdict::Hopeless
            }
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => {
                self.set_progress(ix, Progress::Probe(0));
                Verdict::Again
            }
        }
    }

    fn on_end_window(&mut self, ix: DatabaseIx, outcome: &Outcome) -> Verdict {
        match outcome {
            Outcome::Applied => {
                self.set_progress(ix, Progress::WindowEnded);
                Verdict::GoOn
            }
            Outcome::Refused(Reason::Permanent) => Verdict::Hopeless,
            Outcome::Refused(_) | Outcome::Unknown | Outcome::Register(_) | Outcome::Labels { .. } => Verdict::Again,
        }
    }

    fn lost_a_vote(&self) -> bool {
        self.plan
            .each()
            .any(|(ix, plan)| plan.votes() && !matches!(self.progress(ix), Progress::Voted | Progress::Done))
    }

    // --- verify and decide ---

    fn enter_verify(&mut self, pace: Pace) -> Decision {
        let generation = self.next_generation()?;
        let mut batch = Vec::new();
        for (database, plan) in self.plan.each() {
            batch.push(Effect::Login { database, user: self.target_user(database, plan)?, generation });
        }
        self.w.stage = Stage::Verify;
        Ok(Next::Effects(batch, pace))
    }

    /// Every database logs in with the new generation: this is where it is decided.
    pub(super) fn on_verify(&mut self, answers: &Answers<'_>) -> Decision {
        let mut wrong = false;
        for (effect, outcome) in answers {
            if let (Effect::Login { database, .. }, Outcome::Refused(Reason::Credential)) = (effect, outcome) {
                self.set_progress(*database, Progress::Probe(0));
                wrong = true;
            }
        }
        if wrong {
            return self.retry(|run| run.enter_apply(0, Pace::BackOff));
        }
        if answers.iter().all(|(_, o)| **o == Outcome::Applied) {
            return self.write(Then::Committed, |r| r.phase = Phase::Commit);
        }
        self.retry(|run| run.enter_verify(Pace::BackOff))
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
