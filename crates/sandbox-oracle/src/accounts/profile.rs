//! Profiles: limits on passwords and failed logins.

use std::time::Duration;

use crate::{
    refusal::Refusal,
    time::{DAY, HOUR},
};

/// The limits of a profile. `None` is UNLIMITED.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Profile {
    /// FAILED_LOGIN_ATTEMPTS: so many wrong passwords in a row lock the account.
    pub failed_login_attempts: Option<u32>,
    /// PASSWORD_LIFE_TIME.
    pub life_time: Option<Duration>,
    /// PASSWORD_GRACE_TIME: how long an old password still logs in, with a warning.
    pub grace_time: Option<Duration>,
    /// PASSWORD_LOCK_TIME: how long a lock by failed logins lasts.
    pub lock_time: Option<Duration>,
    /// PASSWORD_REUSE_MAX: so many other passwords must come before one returns.
    pub reuse_max: Option<u32>,
    /// PASSWORD_REUSE_TIME: so long must a password rest before it returns.
    pub reuse_time: Option<Duration>,
    /// PASSWORD_ROLLOVER_TIME: how long the password before a change still logs in. Zero is off.
    pub rollover_time: Duration,
    /// PASSWORD_VERIFY_FUNCTION: whether passwords have to satisfy Autonomous Database's rules.
    pub verify: Verify,
}

/// PASSWORD_VERIFY_FUNCTION.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verify {
    /// Autonomous Database's rules.
    Cloud,
    /// Any password will do.
    Nothing,
}

impl Profile {
    /// The DEFAULT profile of a database that one runs oneself, as the SQL reference lists it (CREATE PROFILE).
    #[must_use]
    pub const fn classic() -> Self {
        Self {
            failed_login_attempts: Some(10),
            life_time: Some(days(180)),
            grace_time: Some(days(7)),
            lock_time: Some(DAY),
            reuse_max: None,
            reuse_time: None,
            rollover_time: Duration::ZERO,
            verify: Verify::Nothing,
        }
    }

    /// The DEFAULT profile of Autonomous Database, as its documentation lists it (Manage User Profiles).
    #[must_use]
    pub const fn autonomous() -> Self {
        Self {
            life_time: Some(days(360)),
            grace_time: Some(days(30)),
            reuse_max: Some(4),
            reuse_time: Some(DAY),
            verify: Verify::Cloud,
            ..Self::classic()
        }
    }

    /// The same with a rollover time.
    #[must_use]
    pub const fn with_rollover(mut self, rollover_time: Duration) -> Self {
        self.rollover_time = rollover_time;
        self
    }

    /// Sets one limit from its text in `CREATE PROFILE .. LIMIT` or `ALTER PROFILE .. LIMIT`.
    pub(crate) fn set(&mut self, resource: &str, value: &str, default: &Self) -> Result<(), Refusal> {
        let mut merged = self.clone();
        let by_default = value == "DEFAULT";
        let span = |of_default| if by_default { Ok(of_default) } else { unless_unlimited(value, of_days) };
        let count = |of_default| if by_default { Ok(of_default) } else { unless_unlimited(value, whole) };
        match resource {
            "FAILED_LOGIN_ATTEMPTS" => merged.failed_login_attempts = count(default.failed_login_attempts)?,
            "PASSWORD_LIFE_TIME" => merged.life_time = span(default.life_time)?,
            "PASSWORD_GRACE_TIME" => merged.grace_time = span(default.grace_time)?,
            "PASSWORD_LOCK_TIME" => merged.lock_time = span(default.lock_time)?,
            "PASSWORD_REUSE_MAX" => merged.reuse_max = count(default.reuse_max)?,
            "PASSWORD_REUSE_TIME" => merged.reuse_time = span(default.reuse_time)?,
            "PASSWORD_ROLLOVER_TIME" => {
                merged.rollover_time = span(Some(default.rollover_time))?.unwrap_or(LONGEST_ROLLOVER);
            }
            "PASSWORD_VERIFY_FUNCTION" if by_default => merged.verify = default.verify,
            "PASSWORD_VERIFY_FUNCTION" if value == "NULL" => merged.verify = Verify::Nothing,
            "PASSWORD_VERIFY_FUNCTION" => merged.verify = Verify::Cloud,
            // Kernel resources and the like play no part here.
            _ => {}
        }
        merged.check()?;
        *self = merged;
        Ok(())
    }

    /// The limits as USER_PASSWORD_LIMITS and DBA_PROFILES show them.
    pub(crate) fn limits(&self) -> Vec<(&'static str, String)> {
        let count = |value: Option<u32>| value.map_or_else(|| "UNLIMITED".to_owned(), |value| value.to_string());
        let span = |value: Option<Duration>| value.map_or_else(|| "UNLIMITED".to_owned(), in_days);
        vec![
            ("FAILED_LOGIN_ATTEMPTS", count(self.failed_login_attempts)),
            ("PASSWORD_LIFE_TIME", span(self.life_time)),
            ("PASSWORD_REUSE_TIME", span(self.reuse_time)),
            ("PASSWORD_REUSE_MAX", count(self.reuse_max)),
            (
                "PASSWORD_VERIFY_FUNCTION",
                match self.verify {
                    Verify::Cloud => "CLOUD_VERIFY_FUNCTION".to_owned(),
                    Verify::Nothing => "NULL".to_owned(),
                },
            ),
            ("PASSWORD_LOCK_TIME", span(self.lock_time)),
            ("PASSWORD_GRACE_TIME", span(self.grace_time)),
            ("INACTIVE_ACCOUNT_TIME", "UNLIMITED".to_owned()),
            ("PASSWORD_ROLLOVER_TIME", in_days(self.rollover_time)),
        ]
    }

    /// Oracle documentation (Database Security Guide, gradual password rollover): an hour at least, 60 days at most, and
    /// no longer than the grace time or the life time; otherwise ORA-02377.
    fn check(&self) -> Result<(), Refusal> {
        let time = self.rollover_time;
        let longer = |limit: Option<Duration>| limit.is_some_and(|limit| time > limit);
        let fine = time.is_zero()
            || (SHORTEST_ROLLOVER..=LONGEST_ROLLOVER).contains(&time)
                && !longer(self.grace_time)
                && !longer(self.life_time);
        if fine { Ok(()) } else { Err(Refusal::saying(2377, "invalid profile limit PASSWORD_ROLLOVER_TIME")) }
    }
}

const SHORTEST_ROLLOVER: Duration = HOUR;
const LONGEST_ROLLOVER: Duration = days(60);

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * DAY.as_secs())
}

fn unless_unlimited<T>(value: &str, convert: fn(f64) -> T) -> Result<Option<T>, Refusal> {
    if value == "UNLIMITED" { Ok(None) } else { fraction(value).map(|number| Some(convert(number))) }
}

/// A limit as written: `7`, `0.5`, `1/24`.
fn fraction(text: &str) -> Result<f64, Refusal> {
    let mut parts = text.split('/').map(|part| part.trim().parse::<f64>());
    let value = match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(value)), None, None) => Some(value),
        (Some(Ok(above)), Some(Ok(below)), None) if below != 0.0 => Some(above / below),
        _ => None,
    };
    value.filter(|value| value.is_finite() && *value >= 0.0).ok_or_else(|| Refusal::ora(2377))
}

/// Whole seconds, as Oracle's dates have them.
fn of_days(days: f64) -> Duration {
    Duration::try_from_secs_f64((days * DAY.as_secs_f64()).round()).unwrap_or(Duration::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are small and not negative")]
const fn whole(value: f64) -> u32 {
    value as u32
}

/// Days as the dictionary shows them: `7`, or `.0417` for an hour.
fn in_days(span: Duration) -> String {
    let seconds = span.as_secs();
    if seconds.is_multiple_of(DAY.as_secs()) {
        return (seconds / DAY.as_secs()).to_string();
    }
    let text = format!("{:.4}", span.as_secs_f64() / DAY.as_secs_f64());
    text.trim_start_matches('0').trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollover_time_has_to_fit_between_an_hour_and_the_other_limits() {
        let default = Profile::classic();
        let mut profile = default.clone();
        profile.set("PASSWORD_ROLLOVER_TIME", "1/24", &default).unwrap();
        assert_eq!(profile.rollover_time, HOUR);
        assert_eq!(profile.limits().pop().unwrap(), ("PASSWORD_ROLLOVER_TIME", ".0417".to_owned()));
        for wrong in ["1/48", "8", "61"] {
            assert_eq!(profile.set("PASSWORD_ROLLOVER_TIME", wrong, &default).unwrap_err().code, 2377, "{wrong}");
        }
        assert_eq!(profile.rollover_time, HOUR);
        profile.set("PASSWORD_ROLLOVER_TIME", "0", &default).unwrap();
        assert_eq!(profile.rollover_time, Duration::ZERO);
    }

    #[test]
    fn limits_are_unlimited_default_or_numbers() {
        let default = Profile::autonomous();
        let mut profile = Profile::classic();
        profile.set("PASSWORD_LIFE_TIME", "UNLIMITED", &default).unwrap();
        profile.set("PASSWORD_REUSE_MAX", "DEFAULT", &default).unwrap();
        profile.set("FAILED_LOGIN_ATTEMPTS", "3", &default).unwrap();
        assert_eq!((profile.life_time, profile.reuse_max, profile.failed_login_attempts), (None, Some(4), Some(3)));
        assert!(profile.set("PASSWORD_LIFE_TIME", "soon", &default).is_err());
    }
}
