//! From the platform's time to the driver's limits.

use core::time::Duration;

use dizzy_host::{
    driver::{Limits, Time},
    port::Deadline,
};
use dizzy_runtime::LAST_WORD;

/// What is assumed where the platform does not say: less than any function that was set up for this has.
const UNKNOWN: Duration = Duration::from_secs(60);
/// A rotation without a fault takes a second or two in two clouds; with less than this left, none is begun, because a database
/// that is slow to answer would leave it in the middle.
const TO_BEGIN: Duration = Duration::from_secs(12);
/// Enough for the last calls of a run that stops: a write of the register and of the audit trail.
const TO_STOP: Duration = Duration::from_secs(3);

/// The limits of a call that has this much time.
pub(super) fn limits(left: Option<Duration>) -> Limits {
    let usual = Limits::default();
    let left = left.unwrap_or(UNKNOWN).saturating_sub(LAST_WORD);
    Limits {
        // Half of the time for what does not work, the other half for undoing it.
        budget: usual.budget.min(left / 2),
        call: usual.call.min(left / 3),
        sessions_wait: usual.sessions_wait.min(left / 4),
        time: Some(Time {
            begin_by: Deadline::after(left.saturating_sub(TO_BEGIN)),
            stop_by: Deadline::after(left.saturating_sub(TO_STOP)),
            end: Deadline::after(left),
        }),
        ..usual
    }
}

/// The same for a step of a rotation contract: what does not work is left to the platform's next try instead of being undone.
pub(super) fn of_a_step(limits: Limits) -> Limits {
    const DAY: Duration = Duration::from_secs(86_400);
    Limits { budget: DAY, ..limits }
}
