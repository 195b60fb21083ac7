//! Watches a run: the progress line, log lines, the count of billed calls, and (in debug builds only) the test suite's kill points.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dizzy_engine::{Effect, Outcome};
use dizzy_host::driver::{Observer, Point};

use crate::render::progress::Progress;

/// The watcher of one set's run.
pub(super) struct Watch {
    set: String,
    progress: Arc<Progress>,
    points: AtomicU64,
    kill_at: Option<u64>,
}

impl Watch {
    pub(super) fn new(progress: &Arc<Progress>, set: &str) -> Self {
        Self { set: set.to_owned(), progress: Arc::clone(progress), points: AtomicU64::new(0), kill_at: kill_at() }
    }
}

impl Observer for Watch {
    fn at(&self, point: Point<'_>) {
        match point {
            Point::Before(effect) => {
                self.progress.show(&format!("{}: {}", self.set, words(effect)));
                tracing::debug!(set = self.set, step = words(effect), "begins");
            }
            Point::After(effect, outcome) => {
                tracing::info!(set = self.set, step = words(effect), outcome = word(outcome), "step");
            }
        }
        let number = self.points.fetch_add(1, Ordering::SeqCst);
        if self.kill_at == Some(number) {
            die();
        }
    }
}

/// What an effect does, for the progress line and the log. Positions, not names: the set's configuration has those.
pub(super) const fn words(effect: &Effect) -> &'static str {
    match effect {
        Effect::ReadRegister => "read the register",
        Effect::WriteRegister { .. } => "write the register",
        Effect::CheckCurrent { .. } => "check what is published",
        Effect::Inspect { .. } => "inspect a database",
        Effect::ReadLabels { .. } => "read the labels of a secret",
        Effect::Stage { .. } => "stage the next generation",
        Effect::ReadBack { .. } => "read the staged generation back",
        Effect::Login { .. } => "log in",
        Effect::Apply { .. } => "change a password",
        Effect::Vote { .. } => "prepare the change of a password",
        Effect::CommitVote { .. } => "commit the change of a password",
        Effect::EndWindow { .. } => "end a rollover window",
        Effect::Burn { .. } => "raise the fence",
        Effect::Restore { .. } => "restore a password",
        Effect::Promote { .. } => "promote a secret",
        Effect::Published { .. } => "verify what is published",
        Effect::ProveRefused { .. } => "log in with what must be refused",
        Effect::Prune { .. } => "drop an old name",
    }
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Applied | Outcome::Register(_) | Outcome::Labels { .. } => "ok",
        Outcome::Refused(_) => "refused",
        Outcome::Unknown => "unknown",
    }
}

/// The point at which the test suite wants this process dead: `DIZZY_KEYS_KILL_AT=N`, counted from 0. Debug builds only; a
/// release build does not contain it.
#[cfg(debug_assertions)]
fn kill_at() -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test suite, absent from release builds")]
    let value = std::env::var("DIZZY_KEYS_KILL_AT");
    value.ok()?.parse().ok()
}

#[cfg(not(debug_assertions))]
const fn kill_at() -> Option<u64> {
    None
}

/// As `kill -9` does it: no destructor, no flush, no goodbye.
fn die() {
    let result = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    debug_assert!(result.is_ok(), "a process may kill itself");
}
