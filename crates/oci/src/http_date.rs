//! Dates as HTTP writes them: in the `date` header that we sign, and in the one that the service answers with.

use dizzy_engine::Timestamp;
use jiff::{fmt::rfc2822, tz::TimeZone};

/// `Sun, 22 Nov 2026 19:00:00 GMT`. `None` for a time that no calendar has.
pub(crate) fn http_date(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(time.0).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// RFC 3339 with seconds, as OCI's JSON has it.
pub(crate) fn rfc3339(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(time.0).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Reads an HTTP date back.
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    let time = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read_as_the_signing_vectors_have_them() {
        let time = Timestamp(1_795_374_000_000);
        assert_eq!(http_date(time).as_deref(), Some("Sun, 22 Nov 2026 19:00:00 GMT"));
        assert_eq!(parse_http_date("Sun, 22 Nov 2026 19:00:00 GMT"), Some(time));
        assert_eq!(rfc3339(time).as_deref(), Some("2026-11-22T19:00:00Z"));
        assert_eq!(http_date(Timestamp(i64::MAX)), None);
        assert_eq!(parse_http_date("canary"), None);
    }
}
