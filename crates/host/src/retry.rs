//! Patience over several runs: how long `rotate --due` leaves a set alone that has failed, and when it stops trying.
//!
//! Within a run the driver repeats calls; this is about runs. The count is in the register, so that it does not matter which worker
//! tries next. A person who names a set is never held back by it.

use core::time::Duration;

use dizzy_engine::{Phase, Timestamp};

use crate::{
    driver::register_error,
    port::{Deadline, Journal, PortResult},
    register::{Document, FailuresDocument, phase_name},
};

/// So many runs may fail in a row before `rotate --due` gives a set up that is at rest. With the pauses between them that is some twenty
/// hours: an outage of a night is over by then, and what is not needs a person.
pub const RETRY_BUDGET: u32 = 12;
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause of a set at rest.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// The longest pause of a set in the middle of a rotation. A rollover window is an hour at least (Oracle: `PASSWORD_ROLLOVER_TIME` 1/24),
/// and must not close before the promotion.
const LONGEST_PAUSE_UNDER_WAY: Duration = Duration::from_secs(15 * 60);

/// How long to leave a set alone after so many failures in a row.
#[must_use]
pub fn pause_after(failures: u32, phase: Phase) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    let pause = FIRST_PAUSE.saturating_mul(1 << doublings);
    pause.min(if phase == Phase::Idle { LONGEST_PAUSE } else { LONGEST_PAUSE_UNDER_WAY })
}

/// A run that did not do what it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// When it ended.
    pub at: Timestamp,
    /// The code of its error (`DK-211`).
    pub code: &'a str,
    /// From when on it can work, if that is known; then it does not count as a failure, and nothing is tried before.
    pub not_before: Option<Timestamp>,
    /// The owner's nonce as the run last wrote it; `None` if it wrote nothing. Anybody else's work is left alone.
    pub nonce: Option<&'a str>,
}

impl Failure<'_> {
    /// Records it in the set's register, if there is one, and if nobody else is at work on the set. Returns whether it was recorded.
    /// Not idempotent: called twice, it counts twice.
    ///
    /// # Errors
    /// If the register cannot be read or written. Then the next run comes without a pause.
    pub async fn record(self, journal: &dyn Journal, set: &str, call: Duration) -> PortResult<bool> {
        let Some(stored) = journal.read(set, Deadline::after(call)).await? else { return Ok(false) };
        let mut document = Document::parse(&stored.bytes, set).map_err(register_error)?;
        let is_ours = match self.nonce {
            Some(nonce) => document.owner.nonce == nonce,
            None => document.owner.until <= self.at.0,
        };
        if !is_ours {
            return Ok(false);
        }
        let phase = if document.phase == phase_name(Phase::Idle) { Phase::Idle } else { Phase::Intent };
        let pause = match self.not_before {
            Some(moment) => moment.0,
            None => {
                let before = document.failures.as_ref().map_or(0, |failures| failures.in_a_row);
                let in_a_row = before.saturating_add(1);
                document.failures = Some(FailuresDocument { in_a_row, last: self.at.0, code: self.code.to_owned() });
                let pause = i64::try_from(pause_after(in_a_row, phase).as_millis()).unwrap_or(i64::MAX);
                self.at.plus_ms(pause).0
            }
        };
        document.pause = Some(pause);
        journal.write(set, Some(&stored.tag), &document.to_bytes(), Deadline::after(call)).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        let minutes = |failures, phase| pause_after(failures, phase).as_secs() / 60;
        let at_rest: Vec<u64> = (1..=12).map(|failures| minutes(failures, Phase::Idle)).collect();
        assert_eq!(at_rest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360]);
        let under_way: Vec<u64> = (1..=6).map(|failures| minutes(failures, Phase::Commit)).collect();
        assert_eq!(under_way, [1, 2, 4, 8, 15, 15]);
        assert_eq!(minutes(u32::MAX, Phase::Idle), 360);
        let until_given_up: u64 = at_rest.iter().take(11).sum();
        assert!((18..24).contains(&(until_given_up / 60)), "{until_given_up} minutes");
    }
}
