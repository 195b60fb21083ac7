//! Moments and lengths of time as they are shown: RFC 3339 in JSON, "3d 4h ago" for people.

use core::fmt;

use dizzy_engine::Timestamp;
use serde::{Serialize, Serializer};

/// A moment. RFC 3339 in UTC when serialized or displayed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(pub Timestamp);

impl Moment {
    /// How this moment lies to `now`: `3d 4h ago`, `in 20m`, `now`.
    #[must_use]
    pub fn relative(self, now: Self) -> String {
        let distance = self.0.0.saturating_sub(now.0.0);
        let length = length(distance.unsigned_abs());
        match distance {
            -999..=999 => "now".to_owned(),
            1000.. => format!("in {length}"),
            _ => format!("{length} ago"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(time) => write!(f, "{time}"),
            // Thousands of years away; a register that says so is damaged, and showing it must not fail.
            Err(_) => write!(f, "{} ms", self.0.0),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A length of time in its two largest units: `30d`, `3d 4h`, `1m 5s`, `161ms`.
#[must_use]
pub fn length(ms: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
    let Some(largest) = UNITS.iter().position(|(unit, _)| ms >= *unit) else { return "0ms".to_owned() };
    let mut rest = ms;
    let mut parts = Vec::new();
    for (unit, name) in UNITS.iter().skip(largest).take(2) {
        let count = rest / unit;
        rest %= unit;
        // Milliseconds beside seconds are noise.
        if count > 0 && (parts.is_empty() || *name != "ms") {
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_relative_to_now() {
        let now = Moment(Timestamp(1_800_000_000_000));
        let shifted = |ms: i64| Moment(now.0.plus_ms(ms)).relative(now);
        assert_eq!(shifted(0), "now");
        assert_eq!(shifted(-3 * 86_400_000 - 4 * 3_600_000 - 5), "3d 4h ago");
        assert_eq!(shifted(20 * 60_000), "in 20m");
        assert_eq!(now.to_string(), "2027-01-15T08:00:00Z");
        assert_eq!(Moment(Timestamp(i64::MAX)).to_string(), "9223372036854775807 ms");
    }

    #[test]
    fn lengths_have_two_units() {
        for (ms, text) in
            [(0, "0ms"), (161, "161ms"), (1161, "1s"), (65_000, "1m 5s"), (2_592_000_000, "30d"), (90_061_000, "1d 1h")]
        {
            assert_eq!(length(ms), text);
        }
    }
}
