//! Who watches a run: progress on a terminal, and tests that stop a worker at a chosen point.

use dizzy_engine::{Effect, Outcome};

/// A point of a run.
#[derive(Clone, Copy, Debug)]
pub enum Point<'a> {
    /// An effect is about to be asked for.
    Before(&'a Effect),
    /// Its answer is there.
    After(&'a Effect, &'a Outcome),
}

/// Watches a run. Must not block for long, and cannot change anything.
pub trait Observer: Send + Sync {
    /// Called at every point, in order for one effect; effects of a batch interleave.
    fn at(&self, point: Point<'_>);
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn at(&self, _: Point<'_>) {}
}
