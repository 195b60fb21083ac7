//! Log lines on standard error: constant messages with fields, of our own packages only.
//!
//! Libraries may log what they send, so their lines are never let through, whatever the number of `-v` and the environment say.
//! docs/observability.md has the fields.

mod lines;

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::{Span, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use self::lines::JsonLines;
pub(crate) use self::lines::now;
use crate::args::{Global, LogFormat};

/// Our packages, by the names of their targets.
const TARGETS: [&str; 9] = [
    "dizzy_aws",
    "dizzy_db",
    "dizzy_engine",
    "dizzy_host",
    "dizzy_keys",
    "dizzy_oci",
    "dizzy_oracle",
    "dizzy_runtime",
    "dizzy_web",
];

/// Whether errors are told as log lines too, because whoever reads standard error reads lines of one form only.
static ERRORS_AS_LINES: AtomicBool = AtomicBool::new(false);

/// Sets logging up for the process. A second call is without effect.
pub fn start(global: &Global) {
    ERRORS_AS_LINES.store(global.log_format == Some(LogFormat::Json), Ordering::Relaxed);
    let lines = match global.lines() {
        LogFormat::Json => JsonLines::new(io::stderr).boxed(),
        LogFormat::Text => fmt::layer().with_writer(anstream::stderr).with_ansi(false).with_target(false).boxed(),
    };
    // Only a second call fails, which tests in one process may make.
    drop(registry().with(lines.with_filter(heard(global.verbose))).try_init());
}

/// Whether errors are told as log lines.
pub(crate) fn takes_errors() -> bool {
    ERRORS_AS_LINES.load(Ordering::Relaxed)
}

/// The span of the work on one set: its lines carry the set, and the rotation from the moment when there is one. As an error, so that
/// it exists however little is logged.
pub(crate) fn span_of_set(set: &str) -> Span {
    tracing::error_span!("set", set, rotation = tracing::field::Empty)
}

/// Everything that is not ours is off.
fn heard(verbose: u8) -> Targets {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    Targets::new().with_default(LevelFilter::OFF).with_targets(TARGETS.map(|target| (target, level)))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_are_never_heard() {
        for verbose in 0..5 {
            let heard = heard(verbose);
            for library in [
                "aws_smithy_runtime",
                "aws_sdk_secretsmanager",
                "tokio_postgres",
                "oracledb",
                "rustls",
                "hyper",
                "toml",
                "",
            ] {
                assert!(!heard.would_enable(library, &Level::ERROR), "{library} at -v x {verbose}");
            }
            for ours in TARGETS {
                assert!(heard.would_enable(ours, &Level::WARN), "{ours} at -v x {verbose}");
            }
            assert!(heard.would_enable("dizzy_host::driver", &Level::WARN));
        }
        assert!(!heard(0).would_enable("dizzy_keys::run", &Level::INFO));
        assert!(heard(3).would_enable("dizzy_keys::run", &Level::TRACE));
    }
}
