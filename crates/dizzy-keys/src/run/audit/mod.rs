//! `audit`: verify, show, export, report, sign of life, hand-over to another key. What all of them share is here.

mod export;
mod ocsf;
mod records;
mod report;
mod show;
mod verify;
mod write;

pub(super) use self::write::recorded;

use dizzy_engine::Timestamp;
use dizzy_host::config::Place;

use crate::{
    args::{Audit, AuditKey, Global},
    code::{Code, Exit},
    report::{NOTHING_DONE, Report},
};

pub(super) fn run(global: &Global, command: &Audit) -> Result<Exit, Report> {
    match command {
        Audit::Verify(args) => verify::run(global, args),
        Audit::Show(args) => show::run(global, args),
        Audit::Export(args) => export::run(global, args),
        Audit::Report(args) => report::run(global, args),
        Audit::Heartbeat(args) => write::heartbeat(global, args),
        Audit::Key(AuditKey::Rotate(args)) => write::rotate_key(global, args),
    }
}

/// A usage error of one of these commands.
fn usage(what: impl Into<String>, hint: &str) -> Report {
    Report::new(Code::Usage, what, NOTHING_DONE).hint(hint)
}

/// A place as it stands on the command line.
fn place(text: &str) -> Result<Place, Report> {
    text.parse().map_err(|_| {
        usage(
            format!("`{text}` is no place of a trail"),
            "use file:DIR, s3://BUCKET/PREFIX or oci://NAMESPACE/BUCKET/PREFIX",
        )
    })
}

/// A length of time: `36h`, `2d`, `1w`; days have 24 hours.
fn span(text: &str) -> Result<i64, Report> {
    let wrong = || usage(format!("`{text}` is no length of time"), "write it as 90m, 36h, 2d or 4w");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let ms = span.total((jiff::Unit::Millisecond, days)).map_err(|_| wrong())?;
    if ms.is_finite() && (0.0..9e15).contains(&ms) {
        #[expect(clippy::cast_possible_truncation, reason = "the line above bounds it")]
        return Ok(ms as i64);
    }
    Err(wrong())
}

/// A moment: a time, or how long ago.
fn moment(text: &str, now: Timestamp) -> Result<String, Report> {
    let ms = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_millisecond(),
        Err(_) => now.0.saturating_sub(span(text)?),
    };
    let time = jiff::Timestamp::from_millisecond(ms).map_err(|_| {
        usage(format!("`{text}` is no moment of any calendar"), "write it as 2d or 2026-01-31T00:00:00Z")
    })?;
    Ok(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_or_spans() {
        let now = Timestamp(1_767_225_600_000);
        assert_eq!(moment("2d", now).unwrap(), "2025-12-30T00:00:00.000Z");
        assert_eq!(moment("90m", now).unwrap(), "2025-12-31T22:30:00.000Z");
        assert_eq!(moment("2026-01-31T01:00:00+01:00", now).unwrap(), "2026-01-31T00:00:00.000Z");
        for wrong in ["yesterday", "", "-2d", "2"] {
            assert!(moment(wrong, now).is_err(), "{wrong}");
        }
    }
}
