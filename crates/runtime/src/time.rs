//! How long a call may take, from the moment at which the platform says that it ends.

use core::time::Duration;

use dizzy_engine::Timestamp;

/// Kept back from the platform's time: enough to send the answer that the time is over.
pub const LAST_WORD: Duration = Duration::from_millis(300);

/// The longest that any of the platforms waits: a detached call of OCI Functions (an hour). A deadline beyond it, with a
/// minute for clocks that differ, is no deadline.
const LONGEST: Duration = Duration::from_secs(3_660);

/// The time until `end`; `None` if it has passed or is absurdly far away, because then the two clocks do not tell the same
/// time and nothing can be concluded. `cargo-lambda` 1.9.2, for one, reports a moment in 1970.
#[must_use]
pub fn time_left(end: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = Duration::from_millis(u64::try_from(end.0.checked_sub(now.0)?).ok()?);
    (!left.is_zero() && left <= LONGEST).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absurd_deadline_is_no_deadline() {
        let now = Timestamp(1_800_000_000_000);
        let at = |ms: i64| time_left(Timestamp(ms), now);
        assert_eq!(at(now.0 + 1), Some(Duration::from_millis(1)));
        assert_eq!(at(now.0 + 3_600_000), Some(Duration::from_secs(3_600)));
        for end in [now.0, now.0 - 1, 600_000, 0, -1, i64::MIN, i64::MAX, now.0 + 86_400_000] {
            assert_eq!(at(end), None, "{end}");
        }
    }
}
