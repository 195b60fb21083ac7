//! The loop: step, execute the batch side by side, hand the answers back; until the engine says that the run is over.

use core::time::Duration;

use dizzy_engine::{Finish, Goal, Next, Outcome, Pace, WORKER_LIFE_MS, Worker, step};

use super::{
    OpenSet,
    observe::{Observer, Point},
    report::Report,
    session::Session,
};
use crate::port::{Deadline, PortResult};

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
        }
    }
}

impl Limits {
    pub(super) fn store(&self) -> Deadline {
        Deadline::after(self.call)
    }

    pub(super) fn journal(&self) -> Deadline {
        Deadline::after(self.call)
    }

    pub(super) fn audit(&self) -> Deadline {
        Deadline::after(self.call)
    }
}

/// A run of one worker over one set.
pub struct Run<'a> {
    set: &'a OpenSet,
    limits: Limits,
    observer: &'a dyn Observer,
}

impl<'a> Run<'a> {
    /// A run that has not begun.
    #[must_use]
    pub fn new(set: &'a OpenSet, limits: Limits, observer: &'a dyn Observer) -> Self {
        Self { set, limits, observer }
    }

    /// Works until the engine is done. Never fails half-way: what could not be done is in the report, and the register says what is decided.
    ///
    /// # Errors
    /// Only if the operating system has no randomness for the worker's id.
    pub async fn go(&self, goal: Goal) -> PortResult<Report> {
        let mut id = [0; 8];
        self.set.randomness.fill(&mut id)?;
        let session = Session::new(self.set, self.limits);
        let began = self.set.clock.now();
        let budget = began.plus_ms(i64::try_from(self.limits.budget.as_millis()).unwrap_or(i64::MAX));
        let mut worker = Worker::new(u64::from_be_bytes(id), goal, budget);
        let mut batch = worker.issued.clone();
        let mut pace = Pace::Now;
        let mut pause = self.limits.first_pause;
        let (finish, violation) = loop {
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
            let outcomes = self.execute(&session, &worker, &batch).await;
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
        if finish == Finish::Fenced {
            let event = session.event("worker.fenced", "fail", &worker.register, None, None);
            session.trail.note(event, self.limits.audit()).await;
        }
        if finish == Finish::Drift {
            let event = session.event("drift.found", "fail", &worker.register, None, None);
            session.trail.note(event, self.limits.audit()).await;
        }
        Ok(Report {
            set: self.set.config.name.clone(),
            goal,
            finish,
            violation,
            phase: worker.register.phase,
            generation: worker.register.current,
            under_way: worker.register.next,
            originator: worker.originator,
            troubles: session.troubles(),
            audit_missing: session.trail.missing().await,
            document: session.document(),
        })
    }

    async fn execute(&self, session: &Session<'_>, worker: &Worker, batch: &[dizzy_engine::Effect]) -> Vec<Outcome> {
        let each = batch.iter().map(|effect| async move {
            self.observer.at(Point::Before(effect));
            let outcome = session.execute(&worker.register, effect).await;
            self.observer.at(Point::After(effect, &outcome));
            outcome
        });
        join_all(each).await
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
async fn join_all<F: Future<Output = Outcome>>(futures: impl Iterator<Item = F>) -> Vec<Outcome> {
    let mut running: Vec<core::pin::Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<Outcome>> = running.iter().map(|_| None).collect();
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
