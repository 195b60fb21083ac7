//! Notices beside the work: sent as soon as a set has ended, never waited for by another set, and at most a few seconds at the end.
//!
//! A notice that does not arrive is one line in the log. It changes neither what was done nor the exit code, and is in no trail.

use core::time::Duration;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use dizzy_host::{
    notice::{Event, Notice},
    port::{Deadline, PortResult, Randomness as _, SystemRandomness},
};
use tokio::{sync::Semaphore, task::JoinSet, time::timeout_at};
use tracing::Instrument as _;

use crate::{
    code::{Code, Exit},
    compose::{Composer, Wired},
    render::rotate::{Outcome, RotateRow},
    report::Report,
};

/// One delivery, with its repetitions: longer than any receiver that works takes.
pub(crate) const DELIVERY: Duration = Duration::from_secs(5);
/// What a run waits for its notices when all sets have ended. Together with the last set's own delivery, and not once per set.
const AT_THE_END: Duration = Duration::from_secs(6);
/// Deliveries at a time, so that a thousand sets that fail at once are no thousand connections.
const AT_ONCE: usize = 4;
/// Notices of one run. When more sets fail at once, the cause is one, and a flood hides it: OCI Notifications takes 60 a minute and topic.
const MOST: usize = 50;
/// Kept back from a platform's time for the answer to the call.
const FOR_THE_ANSWER: Duration = Duration::from_millis(250);

/// The notices of one run.
pub(crate) struct Notices {
    receivers: Vec<Wired>,
    trace: Option<String>,
    tasks: Mutex<JoinSet<()>>,
    turn: Arc<Semaphore>,
    told: AtomicUsize,
}

impl Notices {
    /// For the receivers of this configuration; `trace` is the `traceparent` that the run belongs to.
    pub(crate) fn new(composer: &Composer) -> Self {
        Self {
            receivers: composer.receivers(),
            trace: composer.trace().map(str::to_owned),
            tasks: Mutex::new(JoinSet::new()),
            turn: Arc::new(Semaphore::new(AT_ONCE)),
            told: AtomicUsize::new(0),
        }
    }

    /// Sends what there is to tell about a set that has ended, and returns at once.
    pub(crate) fn ended(&self, composer: &Composer, row: &RotateRow) {
        let Some(event) = event_of(row.outcome, row.error.as_ref()) else { return };
        let what = format!("{}: generation {} is published and logs in", row.set, row.generation.unwrap_or_default());
        let about = About {
            set: &row.set,
            generation: row.generation,
            rotation: row.rotation.clone(),
            error: row.error.as_ref(),
            what,
        };
        self.send(composer, event, about);
    }

    /// The same for an end that has no row.
    pub(crate) fn send(&self, composer: &Composer, event: Event, about: About<'_>) {
        if !self.receivers.iter().any(|wired| wired.on.contains(&event)) {
            return;
        }
        match self.told.fetch_add(1, Ordering::Relaxed) {
            told if told < MOST => {}
            MOST => {
                tracing::warn!(
                    most = MOST,
                    "this run has sent as many notices as it may; the rest is in its output only"
                );
                return;
            }
            _ => return,
        }
        let Ok(id) = notice_id() else {
            tracing::warn!("a notice could not be sent: the operating system gives no random bytes");
            return;
        };
        let About { set, generation, rotation, error, what } = about;
        let notice = Arc::new(Notice {
            id,
            event,
            set: set.to_owned(),
            code: error.map(|error| error.code().text()),
            what: error.map_or(what, |error| error.what().to_owned()),
            state: error.map(|error| error.state().to_owned()),
            next: error.and_then(Report::next).map(str::to_owned),
            exit: error.map_or(Exit::Done, Report::exit_code).number(),
            generation,
            rotation,
            time: composer.clock().now(),
            trace: self.trace.clone(),
        });
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for wired in self.receivers.iter().filter(|wired| wired.on.contains(&event)) {
            let (wired, notice, turn) = (wired.clone(), Arc::clone(&notice), Arc::clone(&self.turn));
            let delivery = async move {
                let Ok(_turn) = turn.acquire().await else { return };
                if let Err(why) = deliver(&wired, &notice).await {
                    let (receiver, set, code) = (wired.name.as_str(), notice.set.as_str(), notice.code);
                    tracing::warn!(receiver, set, event = notice.event.word(), code, why, "a notice was not delivered");
                }
            };
            // The line about it belongs to the same set, rotation and trace.
            tasks.spawn(delivery.in_current_span());
        }
    }

    /// Waits for what is on its way, a few seconds at most and within the platform's time; what is not delivered then is given up.
    pub(crate) async fn settle(&self, composer: &Composer) {
        let mut tasks = core::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if tasks.is_empty() {
            return;
        }
        let mut end = Deadline::after(AT_THE_END);
        if let Some(time) = composer.limits().time {
            end = end.at_most(time.end.left().saturating_sub(FOR_THE_ANSWER));
        }
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(end.instant(), all).await.is_err() {
            tracing::warn!(notices = tasks.len(), "the time is over before all notices were delivered");
            tasks.abort_all();
        }
    }
}

/// What a notice is about.
pub(crate) struct About<'a> {
    /// The set.
    pub(crate) set: &'a str,
    /// What it publishes.
    pub(crate) generation: Option<u64>,
    /// The rotation's name.
    pub(crate) rotation: Option<String>,
    /// The error, if there is one.
    pub(crate) error: Option<&'a Report>,
    /// What happened, if there is no error.
    pub(crate) what: String,
}

/// Delivers to one receiver.
async fn deliver(wired: &Wired, notice: &Notice) -> Result<(), String> {
    let receiver = wired.receiver.as_ref().map_err(ToString::to_string)?;
    let deadline = Deadline::after(DELIVERY);
    let late = |_| Err("no answer in time".to_owned());
    let delivered = timeout_at(deadline.instant(), receiver.deliver(notice, deadline));
    delivered.await.map_or_else(late, |result| result.map_err(|error| error.to_string()))
}

/// A notice of its own to one receiver, for `notify test`.
pub(crate) async fn tried(wired: &Wired, notice: &Notice) -> Result<(), Report> {
    let receiver = wired.receiver.clone()?;
    let deadline = Deadline::after(DELIVERY);
    let state = "no rotation is concerned: notices are sent beside them";
    receiver.deliver(notice, deadline).await.map_err(|error| {
        let report = Report::new(Code::NotDelivered, format!("{}: {error}", wired.name), state);
        report.hint(error.hint.unwrap_or_else(|| "docs/notify.md lists what each kind of receiver needs".to_owned()))
    })
}

/// 32 hexadecimal digits.
pub(crate) fn notice_id() -> PortResult<String> {
    let mut id = [0; 16];
    SystemRandomness.fill(&mut id)?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the end of a set is to those who want to be told; `None` if it is nothing to anybody.
pub(crate) fn event_of(outcome: Outcome, error: Option<&Report>) -> Option<Event> {
    let Some(error) = error else {
        return matches!(outcome, Outcome::Rotated | Outcome::Revoked).then_some(Event::Promoted);
    };
    event_of_error(error)
}

/// The same for an error alone.
pub(crate) fn event_of_error(error: &Report) -> Option<Event> {
    if matches!(error.code(), Code::Drift | Code::PublishedRefused) {
        return Some(Event::Drift);
    }
    match error.exit_code() {
        Exit::NeedsHuman => Some(Event::Stuck),
        Exit::Unfinished => Some(Event::Unfinished),
        Exit::Failed | Exit::Usage | Exit::Tampered => Some(Event::Failed),
        // Another worker is at it, and tells how it ends.
        Exit::Done | Exit::Held => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_event() {
        let of = |code: Code| event_of(Outcome::Failed, Some(&Report::new(code, "x", "y")));
        for (code, event) in [
            (Code::RolledBack, Some(Event::Failed)),
            (Code::StoreDenied, Some(Event::Failed)),
            (Code::Stuck, Some(Event::Stuck)),
            (Code::Unknown, Some(Event::Stuck)),
            (Code::GivenUp, Some(Event::Stuck)),
            (Code::Unfinished, Some(Event::Unfinished)),
            (Code::Drift, Some(Event::Drift)),
            (Code::PublishedRefused, Some(Event::Drift)),
            (Code::JournalHeld, None),
        ] {
            assert_eq!(of(code), event, "{}", code.text());
        }
        for (outcome, event) in [
            (Outcome::Rotated, Some(Event::Promoted)),
            (Outcome::Revoked, Some(Event::Promoted)),
            (Outcome::Nothing, None),
            (Outcome::RolledBack, None),
        ] {
            assert_eq!(event_of(outcome, None), event, "{outcome:?}");
        }
    }
}
