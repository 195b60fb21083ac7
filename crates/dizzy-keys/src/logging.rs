//! Log lines on standard error: constant messages with fields, of our own packages only.
//!
//! Libraries may log what they send, so their lines are never let through, whatever the number of `-v` and the environment say.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

use crate::args::{Global, Output};

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

/// Sets logging up for the process. A second call is without effect.
pub fn start(global: &Global) {
    let lines = fmt::layer().with_writer(anstream::stderr).with_ansi(false);
    let lines = match global.output {
        Output::Json => lines.json().flatten_event(true).boxed(),
        Output::Text => lines.with_target(false).boxed(),
    };
    // Only a second call fails, which tests in one process may make.
    drop(registry().with(lines.with_filter(heard(global.verbose))).try_init());
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
