//! The loop: step, execute the batch side by side, hand the answers back; until the engine says that the run is over.

use core::time::Duration;

use dizzy_audit::record::kinds;
use dizzy_engine::{
    Finish, Generation, Goal, Next, Outcome, Pace, Phase, Stage, Then, WORKER_LIFE_MS, Worker, set_down, step,
};

use super::{
    OpenSet,
    observe::{Observer, Point},
    report::Report,
    session::Session,
};
use crate::{
    audit::AuditEvent,
    port::{Deadline, PortResult},
};

/// How long things may take. Every field has a default that suits a person who waits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a run repeats what does not work, in all. Shorter than a lease-holder's platform allows.
    pub budget: Duration,
    /// Longest call of a store, the journal or the audit trail. AWS answers in well under a second; ten cover a slow day.
    pub call: Duration,
    /// First pause before a repetition; it doubles each time.
    pub first_pause: Duration,
    /// Longest pause before a repetition.
    pub longest_pause: Duration,
    /// First pause before a store is read again that showed an old version; it doubles each time.
    pub stale_pause: Duration,
    /// How long consumers may take to leave the idle user (rulings §6.2).
    pub sessions_wait: Duration,
    /// What the platform that runs this process allows; `None` where nobody ends it.
    pub time: Option<Time>,
}

/// The time that a platform gives.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// After this, nothing is begun.
    pub begin_by: Deadline,
    /// After this, nothing is repeated, and what can wait is left to the next run.
    pub stop_by: Deadline,
    /// No call lasts longer.
    pub end: Deadline,
}

/// How far a run goes, where somebody else says when the next stretch begins (the rotation contracts of both clouds).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Until {
    /// To its end.
    #[default]
    End,
    /// Until the next generation is in every store and was read back; no database was touched.
    Staged,
    /// Until every database accepts the next generation and it was seen to log in; nothing is decided or published.
    Verified,
}

/// Why a run ended before the engine was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Halt {
    /// It came as far as it was to go.
    Reached,
    /// The platform's time was nearly over.
    NoTime,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(120),
            call: Duration::from_secs(10),
            first_pause: Duration::from_millis(100),
            longest_pause: Duration::from_secs(5),
            stale_pause: Duration::from_millis(100),
            sessions_wait: Duration::from_secs(60),
            time: None,
        }
    }
}

impl Limits {
    pub(super) fn store(&self) -> Deadline {
        self.after(self.call)
    }

    pub(super) fn journal(&self) -> Deadline {
        self.after(self.call)
    }

    pub(super) fn audit(&self) -> Deadline {
        self.after(self.call)
    }

    /// That far from now, or the end of the platform's time if that is earlier.
    pub(super) fn after(&self, span: Duration) -> Deadline {
        self.time.map_or_else(|| Deadline::after(span), |time| time.end.at_most(span))
    }
}

/// A run of one worker over one set.
pub struct Run<'a> {
    set: &'a OpenSet,
    limits: Limits,
    observer: &'a dyn Observer,
    only_from: Option<Generation>,
    until: Until,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    #[must_use]
    pub fn new(set: &'a OpenSet, limits: Limits, observer: &'a dyn Observer) -> Self {
        Self { set, limits, observer, only_from: None, until: Until::End }
    }

    /// Begins a rotation from this published generation only. If another one is at rest, somebody has rotated since it was looked at, and
    /// there is nothing to do. Checked on the read that the first compare-and-swap builds on, so of two that saw the same one rotates.
    #[must_use]
    pub const fn only_from(mut self, generation: Option<Generation>) -> Self {
        self.only_from = generation;
        self
    }

    /// Goes only so far. What an earlier run has decided is finished all the same, and what it gave up is undone.
    #[must_use]
    pub const fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Works until the engine is done. Never fails half-way: what could not be done is in the report, and the register says what is decided.
    ///
    /// # Errors
    /// Only if the operating system has no randomness for the worker's id.
    pub async fn go(&self, goal: Goal) -> PortResult<Report> {
        let mut id = [0; 8];
        self.set.randomness.fill(&mut id)?;
        let [a, b, c, d, ..] = id;
        let session = Session::new(self.set, self.limits, u32::from_be_bytes([a, b, c, d]));
        let began = self.set.clock.now();
        let budget = began.plus_ms(i64::try_from(self.limits.budget.as_millis()).unwrap_or(i64::MAX));
        let mut worker = Worker::new(u64::from_be_bytes(id), goal, budget);
        let mut batch = worker.issued.clone();
        let mut pace = Pace::Now;
        let mut pause = self.limits.first_pause;
        let (mut halt, mut ending) = (None, false);
        let (finish, violation) = loop {
            halt = halt.or_else(|| self.halt(&worker, pace));
            if halt.is_some() && !ending {
                ending = true;
                match set_down(&session.plan(), &worker, self.set.clock.now()) {
                    Ok(next) => {
                        worker = next.worker;
                        match next.next {
                            Next::Done(finish) => break (finish, None),
                            Next::Effects(effects, _) => (batch, pace) = (effects, Pace::Now),
                        }
                    }
                    Err(violation) => break (Finish::Stuck, Some(violation)),
                }
            }
            match pace {
                Pace::Now => pause = self.limits.first_pause,
                Pace::BackOff => {
                    tokio::time::sleep(self.jittered(pause)).await;
                    pause = pause.saturating_mul(2).min(self.limits.longest_pause);
                }
            }
            // The drain of an unfenced database rests on this: nothing is sent later than a worker's longest life.
            if self.set.clock.now() >= began.plus_ms(WORKER_LIFE_MS) {
                break (Finish::Unfinished, None);
            }
            // What the last batch left for the trail is stored while this one runs.
            let (outcomes, ()) =
                tokio::join!(self.execute(&session, &worker, &batch), session.trail.flush(self.limits.audit()));
            if worker.writes == 0 && self.has_been_done(&outcomes) {
                break (Finish::NothingToDo, None);
            }
            match step(&session.plan(), &worker, self.set.clock.now(), &outcomes) {
                Ok(next) => {
                    worker = next.worker;
                    match next.next {
                        Next::Done(finish) => break (finish, None),
                        Next::Effects(effects, p) => (batch, pace) = (effects, p),
                    }
                }
                Err(violation) => break (Finish::Stuck, Some(violation)),
            }
        };
        session.drop_votes();
        self.note_end(&session, &worker, finish);
        session.trail.finish(self.limits.audit()).await;
        Ok(Report {
            set: self.set.config.name.clone(),
            goal,
            finish,
            halt,
            violation,
            phase: worker.register.phase,
            generation: worker.register.current,
            under_way: worker.register.next,
            originator: worker.originator,
            troubles: session.troubles(),
            audit_missing: session.trail.missing().await,
            sessions_ended: session.sessions_ended(),
            document: session.document(),
        })
    }

    /// Whether the register was just read, at rest on another generation than the one to begin from.
    fn has_been_done(&self, outcomes: &[Outcome]) -> bool {
        let Some(from) = self.only_from else { return false };
        outcomes.iter().any(|outcome| match outcome {
            Outcome::Register(Some(register)) => register.phase == Phase::Idle && register.current != from,
            Outcome::Applied
            | Outcome::Labels { .. }
            | Outcome::Refused(_)
            | Outcome::Register(None)
            | Outcome::Unknown => false,
        })
    }

    /// Whether the batch that comes next is left to a later run.
    fn halt(&self, worker: &Worker, pace: Pace) -> Option<Halt> {
        let to_verified = matches!(worker.stage, Stage::Write { then: Then::Committed, .. });
        let to_staged = to_verified
            || matches!(worker.stage, Stage::Applying(_) | Stage::Verify | Stage::Write { then: Then::Marked(_), .. });
        let reached = match self.until {
            Until::End => false,
            Until::Staged => to_staged,
            Until::Verified => to_verified,
        };
        if reached {
            return Some(Halt::Reached);
        }
        let time = self.limits.time?;
        let has_begun = worker.register.phase != Phase::Idle || matches!(worker.stage, Stage::Read);
        if !has_begun && time.begin_by.left().is_zero() {
            return Some(Halt::NoTime);
        }
        // Between the change of a published password and its publication only a repetition can be put off: stopping there of our
        // own accord would lengthen the time in which consumers are locked out.
        let can_wait = matches!(worker.stage, Stage::LookPending(_) | Stage::Staging(_) | Stage::ReadBack);
        let passed = time.stop_by.left().is_zero() && (can_wait || pace == Pace::BackOff);
        passed.then_some(Halt::NoTime)
    }

    async fn execute(&self, session: &Session<'_>, worker: &Worker, batch: &[dizzy_engine::Effect]) -> Vec<Outcome> {
        let each = batch.iter().map(|effect| async move {
            self.observer.at(Point::Before(effect));
            let outcome = session.execute(&worker.register, effect).await;
            self.observer.at(Point::After(effect, &outcome));
            outcome
        });
        side_by_side(each).await
    }

    /// A run that did not do what it was asked to says so in the trail, once it has taken the set.
    fn note_end(&self, session: &Session<'_>, worker: &Worker, finish: Finish) {
        let kind = match finish {
            Finish::Rotated(_)
            | Finish::Revoked(_)
            | Finish::RolledBack(_)
            | Finish::NothingToDo
            | Finish::NoRegister
            | Finish::Busy(_)
            // It did not get as far as to take the set, and has no place in its history.
            | Finish::Misfit => return,
            Finish::Fenced => kinds::FENCED,
            Finish::Drift => "drift.found",
            Finish::NotRevoked => "revoke.unproven",
            Finish::Failed
            | Finish::JournalLost
            | Finish::Stuck
            | Finish::Unfinished
            | Finish::WindowOpen(_)
            | Finish::Draining(_) => match worker.register.phase {
                Phase::Idle => "rotation.refused",
                Phase::Intent | Phase::Commit | Phase::Abort | Phase::Stuck => "rotation.unfinished",
            },
        };
        if worker.register.epoch.0 == 0 || session.document().is_none() {
            return;
        }
        let event = session.event(kind, dizzy_audit::Outcome::Fail, &worker.register);
        let last = session.troubles().into_iter().last();
        let code =
            last.as_ref().map(|last| last.error.code.clone().unwrap_or_else(|| format!("{:?}", last.error.kind)));
        let target = last.map(|last| last.target.into_name());
        session.trail.note(AuditEvent { code, target, ..event });
    }

    /// Between half and the whole pause, so that workers that met once do not meet again.
    fn jittered(&self, pause: Duration) -> Duration {
        let mut byte = [0; 1];
        if self.set.randomness.fill(&mut byte).is_err() {
            return pause;
        }
        let [byte] = byte;
        pause / 2 + pause / 512 * u32::from(byte)
    }
}

/// Runs the futures side by side on this task, and returns their results in order.
pub(crate) async fn side_by_side<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<core::pin::Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    core::future::poll_fn(|context| {
        let mut all = core::task::Poll::Ready(());
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    core::task::Poll::Ready(outcome) => *result = Some(outcome),
                    core::task::Poll::Pending => all = core::task::Poll::Pending,
                }
            }
        }
        all
    })
    .await;
    results.into_iter().flatten().collect()
}
