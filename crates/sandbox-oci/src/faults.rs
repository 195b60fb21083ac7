//! Faults: what the next fitting calls meet instead of an honest answer.
//!
//! Every fault comes in two forms where that makes sense, before the call is executed and after it, because to the caller
//! they look the same. A handle tells whether the fault fired, so that a test that missed its target fails.

use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::route::Operation;

/// What a call meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    /// Refused with this status and code, before any effect.
    Refuse(u16, &'static str),
    /// `429 TooManyRequests`, before any effect.
    Throttle,
    /// The connection closes; nothing happened.
    DropBefore,
    /// It happens; the connection closes without an answer.
    DropAfter,
    /// Nothing happens, and no answer comes for as long as the client waits.
    Hang,
    /// It happens, and no answer comes for as long as the client waits.
    HangAfter,
    /// It happens only when [`OciEmulator::release`](crate::OciEmulator::release) is called, whether the client still waits
    /// or not; no answer comes.
    Late,
    /// It happens; the answer breaks off in the middle of its body.
    Truncate,
    /// It happens; the answer has its status and length of a good one, and a body of nonsense.
    Garbage,
    /// It happens; the answer is a well-formed `200` with an empty JSON object.
    Hollow,
    /// It happens; the answer comes byte by byte with this pause between.
    Drip(Duration),
}

impl Mishap {
    /// How the log names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refuse(..) => "refuse",
            Self::Throttle => "throttle",
            Self::DropBefore => "drop-before",
            Self::DropAfter => "drop-after",
            Self::Hang => "hang",
            Self::HangAfter => "hang-after",
            Self::Late => "late",
            Self::Truncate => "truncate",
            Self::Garbage => "garbage",
            Self::Hollow => "hollow",
            Self::Drip(_) => "drip",
        }
    }
}

/// A fault to inject: which calls it hits, how often, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Operation,
    mishap: Mishap,
    subject: Option<String>,
    skip: u32,
    times: u32,
}

impl Fault {
    /// The next call of `operation` meets `mishap`.
    #[must_use]
    pub const fn next(operation: Operation, mishap: Mishap) -> Self {
        Self { operation, mishap, subject: None, skip: 0, times: 1 }
    }

    /// Only calls about this: the OCID of a secret or database, the name of an object, or of the bucket where the call is about
    /// no object.
    #[must_use]
    pub fn on(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Lets this many fitting calls pass first.
    #[must_use]
    pub const fn after(mut self, passed: u32) -> Self {
        self.skip = passed;
        self
    }

    /// Hits this many calls.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Hits every fitting call until the faults are cleared.
    #[must_use]
    pub const fn always(self) -> Self {
        self.times(u32::MAX)
    }
}

/// Tells what became of an injected fault.
#[derive(Clone, Debug)]
pub struct FaultHandle {
    fired: Arc<(Mutex<u32>, Condvar)>,
}

impl FaultHandle {
    /// How many calls it has hit. A call counts when all has happened that is going to.
    #[must_use]
    pub fn fired(&self) -> u32 {
        *held(&self.fired.0)
    }

    /// Waits until it has hit this many calls; says whether that came about before the limit of a minute.
    #[must_use]
    pub fn wait_until_fired(&self, at_least: u32) -> bool {
        let waited = self.fired.1.wait_timeout_while(held(&self.fired.0), PATIENCE, |fired| *fired < at_least);
        let (fired, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *fired >= at_least
    }

    /// One more call has been hit.
    pub(crate) fn fire(&self) {
        *held(&self.fired.0) += 1;
        self.fired.1.notify_all();
    }
}

/// Longer than any client under test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The faults that are still to come, in the order in which they were injected.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    waiting: Vec<(Fault, FaultHandle)>,
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultHandle {
        let handle = FaultHandle { fired: Arc::new((Mutex::new(0), Condvar::new())) };
        self.waiting.push((fault, handle.clone()));
        handle
    }

    /// The mishap of this call, if it is to have one, and what to tell when it has happened. The first fitting fault counts.
    pub(crate) fn strike(&mut self, operation: Operation, subject: &str) -> Option<(Mishap, FaultHandle)> {
        let (fault, handle) = self.waiting.iter_mut().find(|(fault, _)| {
            fault.operation == operation && fault.times > 0 && fault.subject.as_deref().is_none_or(|on| on == subject)
        })?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        Some((fault.mishap, handle.clone()))
    }

    /// Takes all back; says how many would still have hit something.
    pub(crate) fn clear(&mut self) -> usize {
        let unused = self.waiting.iter().filter(|(fault, _)| fault.times > 0).count();
        self.waiting.clear();
        unused
    }
}

/// The guard of a lock; a panic elsewhere must not hide what the test wanted to see.
pub(crate) fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
