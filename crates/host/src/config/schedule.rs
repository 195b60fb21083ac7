//! When a set is due: `every` or `cron`, the end of a password's life, a window of the day, a spread, a shortest interval. Pure; all
//! times are UTC, which knows no summer time.
//!
//! This binds `rotate --due` only. Nothing here decides whether a rotation is safe.

use core::{fmt, time::Duration};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use dizzy_engine::Timestamp;
use jiff::{SignedDuration, Span, SpanRelativeTo, civil::DateTime, tz::TimeZone};
use sha2::{Digest as _, Sha256};

const DAY_MINUTES: u16 = 24 * 60;
const MINUTE_MS: i64 = 60_000;

/// What makes a set due.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// Five cron fields, in UTC.
    Cron(Box<Cron>),
    /// This long after the last rotation.
    Every(Duration),
    /// Nothing: it is rotated on request.
    OnRequest,
}

/// When a set is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// What makes it due.
    pub rule: Rule,
    /// Hours of the day in which it may be rotated when due.
    pub window: Option<Window>,
    /// Due sets are spread over this long, by their name.
    pub spread: Duration,
    /// Shortest time between two rotations.
    pub min_interval: Duration,
    /// How long before a password expires on its server it is replaced.
    pub renew_before: Option<Duration>,
}

/// Whether a set is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Not before this moment.
    At(Timestamp),
    /// Since this moment.
    Now {
        /// When it became due.
        since: Timestamp,
    },
    /// Only on request.
    OnRequest,
}

/// What a schedule has to know about a set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Past {
    /// When the last rotation came to rest; `None`: there was none.
    pub rotated: Option<Timestamp>,
    /// When the first password of the set expires on its server, if that is known and a rotation moves it.
    pub expires: Option<Timestamp>,
}

impl Schedule {
    /// Whether the set with this name is due at `now`. A set without a past is due at once, or when its window opens.
    ///
    /// However many times have passed meanwhile, nothing is made up for: a set is due or it is not, and one rotation serves them all.
    #[must_use]
    pub fn due(&self, set: &str, past: Past, now: Timestamp) -> Due {
        let ripe = [self.by_rule(set, past.rotated, now), self.by_expiry(set, past, now)];
        let placed = ripe.into_iter().flatten().map(|(ripe, spread)| match &self.window {
            None => ripe.plus_ms(spread),
            Some(window) => window.place(ripe, spread),
        });
        let Some(due) = placed.min() else { return Due::OnRequest };
        if due > now {
            return Due::At(due);
        }
        match &self.window {
            Some(window) if !window.contains(now) => Due::At(window.place(now, 0)),
            Some(_) | None => Due::Now { since: due },
        }
    }

    /// When the rule asks for a rotation, and how much of the spread comes on top.
    fn by_rule(&self, set: &str, last: Option<Timestamp>, now: Timestamp) -> Option<(Timestamp, i64)> {
        let ripe = match (&self.rule, last) {
            (Rule::OnRequest, _) => return None,
            // Without a past there is nothing to count from: an offset from `now` would never be reached.
            (Rule::Cron(_) | Rule::Every(_), None) => return Some((now, 0)),
            (Rule::Every(span), Some(last)) => last.plus_ms(millis(*span)),
            (Rule::Cron(cron), Some(last)) => next_match(cron, last)?,
        };
        let floor = last.map_or(ripe, |last| last.plus_ms(millis(self.min_interval)));
        Some((ripe.max(floor), offset(set, self.spread)))
    }

    /// When the end of a password's life asks for a rotation.
    fn by_expiry(&self, set: &str, past: Past, now: Timestamp) -> Option<(Timestamp, i64)> {
        let before = self.renew_before?;
        let Some(last) = past.rotated else { return Some((now, 0)) };
        let ripe = past.expires?.plus_ms(millis(before).saturating_neg());
        // The password that expires may be the other user's, or live for less than `renew_before`. Half of it between two rotations leaves
        // consumers time to follow, and comes before the end.
        let floor = last.plus_ms(millis(self.min_interval.max(before / 2)));
        Some((ripe.max(floor), offset(set, self.spread.min(before / 2))))
    }
}

/// Hours of the day, in UTC; may span midnight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Minute of the day at which it opens.
    opens: u16,
    /// How long it is open, in minutes.
    minutes: u16,
}

impl Window {
    /// Reads `HH:MM-HH:MM`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (opens, closes) = (minute_of_day(from.trim())?, minute_of_day(to.trim())?);
        let minutes = (DAY_MINUTES + closes - opens) % DAY_MINUTES;
        (minutes > 0).then_some(Self { opens: opens % DAY_MINUTES, minutes })
    }

    /// How long it is open.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.minutes) * 60)
    }

    fn contains(&self, at: Timestamp) -> bool {
        self.since_opening(at) < self.length_ms()
    }

    /// `at` plus `spread` if the window is open then and still, else `spread` after the next opening, but before it closes.
    fn place(&self, at: Timestamp, spread: i64) -> Timestamp {
        let since = self.since_opening(at);
        if since.saturating_add(spread) < self.length_ms() {
            return at.plus_ms(spread);
        }
        if since < self.length_ms() {
            return at;
        }
        at.plus_ms(24 * 60 * MINUTE_MS - since + spread.min(self.length_ms() - MINUTE_MS))
    }

    /// Milliseconds since the last opening.
    fn since_opening(&self, at: Timestamp) -> i64 {
        (at.0 - i64::from(self.opens) * MINUTE_MS).rem_euclid(24 * 60 * MINUTE_MS)
    }

    fn length_ms(&self) -> i64 {
        i64::from(self.minutes) * MINUTE_MS
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        write!(f, "{}-{} UTC", clock(self.opens), clock(self.opens + self.minutes))
    }
}

/// Reads `30d`, `12h`, `1h 30m`, `250ms`: a length of time without months and years, whose length differs. A day has 24 hours.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    let length: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(length).ok()
}

/// Reads five cron fields.
pub(super) fn cron(text: &str) -> Option<Cron> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).ok()?;
    // `0 0 30 2 *` is well-formed and never comes.
    next_match(&cron, Timestamp(0)).map(|_| cron)
}

fn next_match(cron: &Cron, after: Timestamp) -> Option<Timestamp> {
    let after = jiff::Timestamp::from_millisecond(after.0).ok()?;
    let next: DateTime = cron.find_next_occurrence(&TimeZone::UTC.to_datetime(after), false).ok()?;
    let next = TimeZone::UTC.to_timestamp(next).ok()?;
    Some(Timestamp(next.as_millisecond()))
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

/// The same part of `spread` for the same set each time, in milliseconds.
fn offset(set: &str, spread: Duration) -> i64 {
    let spread = millis(spread);
    if spread == 0 {
        return 0;
    }
    let digest = Sha256::digest(set.as_bytes());
    let number = digest.iter().take(7).fold(0_i64, |sum, byte| sum * 256 + i64::from(*byte));
    number % spread
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * MINUTE_MS;
    const DAY: i64 = 24 * HOUR;

    fn every(text: &str) -> Schedule {
        Schedule {
            rule: Rule::Every(duration(text).unwrap()),
            window: None,
            spread: Duration::ZERO,
            min_interval: Duration::ZERO,
            renew_before: None,
        }
    }

    fn rotated(at: Timestamp) -> Past {
        Past { rotated: Some(at), expires: None }
    }

    #[test]
    fn lengths_of_time_read_as_people_write_them() {
        for (text, seconds) in
            [("30d", 30 * 86_400), ("12h", 43_200), ("90m", 5_400), ("1h 30m", 5_400), ("2w", 1_209_600)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "30", "d", "-5m", "1 month", "1y", "soon"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_set_is_due_when_its_time_has_passed() {
        let schedule = every("30d");
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(29 * DAY)), Due::At(Timestamp(30 * DAY)));
        let since = Timestamp(30 * DAY);
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(31 * DAY)), Due::Now { since });
        assert_eq!(schedule.due("orders", Past::default(), Timestamp(5)), Due::Now { since: Timestamp(5) });
    }

    #[test]
    fn an_overdue_set_waits_for_its_window() {
        let schedule = Schedule { window: Window::parse("02:00-04:00"), ..every("1d") };
        let noon = Timestamp(10 * DAY + 12 * HOUR);
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), noon), Due::At(Timestamp(11 * DAY + 2 * HOUR)));
        let three = Timestamp(11 * DAY + 3 * HOUR);
        assert!(matches!(schedule.due("orders", rotated(Timestamp(0)), three), Due::Now { .. }));
        assert_eq!(schedule.due("orders", Past::default(), noon), Due::At(Timestamp(11 * DAY + 2 * HOUR)));
    }

    #[test]
    fn a_window_may_span_midnight() {
        let window = Window::parse("22:00-02:00").unwrap();
        assert_eq!(window.length(), Duration::from_secs(4 * 3600));
        for (at, open) in [(21 * HOUR, false), (22 * HOUR, true), (DAY + HOUR, true), (DAY + 2 * HOUR, false)] {
            assert_eq!(window.contains(Timestamp(at)), open, "{at}");
        }
        assert_eq!(window.to_string(), "22:00-02:00 UTC");
        for text in ["", "2-4", "02:00", "02:00-02:00", "25:00-03:00", "02:60-03:00", "00:00-24:00"] {
            assert!(Window::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_spread_is_the_same_each_time_and_stays_in_the_window() {
        let spread = Duration::from_secs(1800);
        let schedule = Schedule { window: Window::parse("02:00-02:10"), spread, ..every("1d") };
        let mut offsets = std::collections::BTreeSet::new();
        for set in ["orders", "billing", "users", "carts"] {
            let Due::At(due) = schedule.due(set, rotated(Timestamp(0)), Timestamp(0)) else { panic!("due at once") };
            assert_eq!(schedule.due(set, rotated(Timestamp(0)), Timestamp(0)), Due::At(due));
            assert!(schedule.window.unwrap().contains(due));
            let Due::At(plain) = Schedule { spread, ..every("1d") }.due(set, rotated(Timestamp(0)), Timestamp(0))
            else {
                panic!("due at once")
            };
            offsets.insert(plain);
        }
        assert!(offsets.len() > 1, "sets are spread");
    }

    #[test]
    fn a_set_without_a_past_is_due_in_its_window_whatever_the_spread() {
        let spread = Duration::from_secs(1800);
        let schedule = Schedule { window: Window::parse("02:00-04:00"), spread, ..every("1d") };
        for set in ["orders", "billing", "users"] {
            let three = Timestamp(10 * DAY + 3 * HOUR);
            assert_eq!(schedule.due(set, Past::default(), three), Due::Now { since: three });
            let noon = Timestamp(10 * DAY + 12 * HOUR);
            assert_eq!(schedule.due(set, Past::default(), noon), Due::At(Timestamp(11 * DAY + 2 * HOUR)));
        }
    }

    #[test]
    fn a_set_is_due_at_the_moment_that_was_announced() {
        let spread = Duration::from_secs(1800);
        for window in [None, Window::parse("02:00-04:00"), Window::parse("23:50-00:10")] {
            let schedule = Schedule { window, spread, ..every("30d") };
            for (set, now) in [("orders", 0), ("billing", 29 * DAY), ("users", 45 * DAY + 12 * HOUR)] {
                if let Due::At(announced) = schedule.due(set, rotated(Timestamp(0)), Timestamp(now)) {
                    let then = schedule.due(set, rotated(Timestamp(0)), announced);
                    assert!(matches!(then, Due::Now { .. }), "{set} {window:?}: {then:?}");
                }
            }
        }
    }

    #[test]
    fn cron_counts_from_the_last_rotation() {
        let rule = Rule::Cron(Box::new(cron("0 3 * * 0").unwrap()));
        let schedule = Schedule { rule, ..every("1d") };
        // 1970-01-01 was a Thursday, so the first Sunday is the 4th.
        let sunday = Timestamp(3 * DAY + 3 * HOUR);
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(DAY)), Due::At(sunday));
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(20 * DAY)), Due::Now { since: sunday });
        for text in ["", "* * * *", "0 0 0 3 * * *", "61 * * * *", "0 0 30 2 *"] {
            assert!(cron(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_shortest_interval_holds_a_due_set_back() {
        let schedule = Schedule { min_interval: Duration::from_secs(7200), ..every("1h") };
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(HOUR)), Due::At(Timestamp(2 * HOUR)));
    }

    #[test]
    fn a_window_that_was_missed_is_made_up_for_once_in_the_next() {
        let schedule = Schedule { window: Window::parse("02:00-04:00"), ..every("7d") };
        let last = rotated(Timestamp(2 * HOUR));
        // Due in the window of day 7; the machine was off until the afternoon of day 24, three intervals later.
        let back = Timestamp(24 * DAY + 15 * HOUR);
        let next = Timestamp(25 * DAY + 2 * HOUR);
        assert_eq!(schedule.due("orders", last, back), Due::At(next));
        assert_eq!(schedule.due("orders", last, next), Due::Now { since: Timestamp(7 * DAY + 2 * HOUR) });
        // One rotation serves all that was missed, and the interval counts from it.
        let done = rotated(next.plus_ms(MINUTE_MS));
        assert_eq!(
            schedule.due("orders", done, next.plus_ms(2 * MINUTE_MS)),
            Due::At(Timestamp(32 * DAY + 2 * HOUR + MINUTE_MS))
        );
    }

    #[test]
    fn times_of_cron_that_were_missed_are_made_up_for_once_and_at_once() {
        let schedule = Schedule { rule: Rule::Cron(Box::new(cron("0 3 * * *").unwrap())), ..every("1d") };
        let noon = Timestamp(5 * DAY + 12 * HOUR);
        assert!(matches!(schedule.due("orders", rotated(Timestamp(0)), noon), Due::Now { .. }));
        assert_eq!(schedule.due("orders", rotated(noon), noon), Due::At(Timestamp(6 * DAY + 3 * HOUR)));
    }

    #[test]
    fn days_have_24_hours_whatever_clocks_on_walls_do() {
        // 2026-03-29 is when most of Europe turns its clocks, 2026-11-01 when North America does.
        let schedule = Schedule { window: Window::parse("02:00-03:00"), ..every("1d") };
        for day in [1_774_742_400_000, 1_793_491_200_000] {
            let Due::At(due) = schedule.due("orders", rotated(Timestamp(day + 2 * HOUR)), Timestamp(day + 3 * HOUR))
            else {
                panic!("not due on the same day")
            };
            assert_eq!(due.0, day + DAY + 2 * HOUR);
        }
    }

    #[test]
    fn a_password_that_expires_is_replaced_before() {
        let renew_before = Some(Duration::from_secs(7 * 86_400));
        let schedule = Schedule { renew_before, ..every("90d") };
        let past = |rotated, expires| Past { rotated: Some(Timestamp(rotated)), expires: Some(Timestamp(expires)) };
        let ripe = Timestamp(53 * DAY);
        assert_eq!(schedule.due("orders", past(0, 60 * DAY), Timestamp(DAY)), Due::At(ripe));
        assert_eq!(schedule.due("orders", past(0, 60 * DAY), Timestamp(54 * DAY)), Due::Now { since: ripe });
        assert_eq!(schedule.due("orders", past(0, 200 * DAY), Timestamp(DAY)), Due::At(Timestamp(90 * DAY)));
        assert_eq!(schedule.due("orders", rotated(Timestamp(0)), Timestamp(DAY)), Due::At(Timestamp(90 * DAY)));
        // Without a rule the end of life is what there is; a set that was never rotated has none on record.
        let on_request = Schedule { rule: Rule::OnRequest, ..schedule };
        assert_eq!(on_request.due("orders", past(0, 60 * DAY), Timestamp(DAY)), Due::At(ripe));
        assert_eq!(on_request.due("orders", rotated(Timestamp(0)), Timestamp(DAY)), Due::OnRequest);
        assert_eq!(on_request.due("orders", Past::default(), Timestamp(DAY)), Due::Now { since: Timestamp(DAY) });
    }

    #[test]
    fn renewals_leave_consumers_time_and_never_run_in_a_circle() {
        let schedule = Schedule { renew_before: Some(Duration::from_secs(8 * 86_400)), ..every("90d") };
        // The other user's password expires in eight days; or new ones live for three.
        for expires in [8 * DAY, 3 * DAY, -DAY] {
            let past = Past { rotated: Some(Timestamp(0)), expires: Some(Timestamp(expires)) };
            assert_eq!(schedule.due("orders", past, Timestamp(MINUTE_MS)), Due::At(Timestamp(4 * DAY)), "{expires}");
        }
        // A spread that is longer than that must not lead beyond the end.
        let spread = Schedule { spread: Duration::from_secs(20 * 86_400), ..schedule };
        for set in ["orders", "billing", "users", "carts"] {
            let past = Past { rotated: Some(Timestamp(0)), expires: Some(Timestamp(60 * DAY)) };
            let Due::At(due) = spread.due(set, past, Timestamp(0)) else { panic!("{set}") };
            assert!((52 * DAY..=56 * DAY).contains(&due.0), "{set}: {due:?}");
        }
    }
}
