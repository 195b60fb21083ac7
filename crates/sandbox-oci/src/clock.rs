//! The emulator's clock: the machine's time plus an offset that tests set.
//!
//! Signatures, deletion dates and the ends of pre-authenticated requests are judged by it, so that five minutes of skew or
//! thirty days of waiting are a statement in a test and not a wait.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// Time as the emulated cloud sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    offset: SignedDuration,
}

impl Clock {
    /// Sets the distance from the machine's clock.
    pub(crate) const fn set_offset(&mut self, offset: SignedDuration) {
        self.offset = offset;
    }

    /// The time in the emulated cloud.
    pub(crate) fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place where the emulator reads the time")]
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let machine = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        machine.checked_add(self.offset).unwrap_or(machine)
    }
}

/// As the APIs write it: `2026-11-22T19:00:00.000Z`.
pub(crate) fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// This many days later.
pub(crate) fn days_later(time: Timestamp, days: i64) -> Timestamp {
    time.checked_add((days.saturating_mul(24)).hours()).unwrap_or(Timestamp::MAX)
}

/// `Sun, 22 Nov 2026 19:00:00 GMT`.
pub(crate) fn http_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_else(|_| text(time))
}
