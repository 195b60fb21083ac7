//! Log lines on standard error: constant messages with fields, of our own packages only.
//!
//! Libraries may log what they send, so their lines are never let through, whatever the number of `-v` and the environment say.

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt as _};

use crate::args::{Global, Output};

/// Our packages, by the names of their targets.
const TARGETS: [&str; 5] = ["dizzy_keys", "dizzy_engine", "dizzy_host", "dizzy_db", "dizzy_aws"];

/// Sets logging up for the process. A second call is without effect.
pub fn start(global: &Global) {
    let builder = fmt().with_env_filter(EnvFilter::new(directives(global.verbose))).with_writer(anstream::stderr);
    // Only a second call fails, which tests in one process may make.
    let started = match global.output {
        Output::Json => builder.json().flatten_event(true).finish().try_init(),
        Output::Text => builder.with_ansi(false).with_target(false).finish().try_init(),
    };
    drop(started);
}

fn directives(verbose: u8) -> String {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let ours = TARGETS.map(|target| format!("{target}={level}"));
    format!("off,{}", ours.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_never_heard() {
        for verbose in 0..5 {
            let directives = directives(verbose);
            assert!(directives.starts_with("off,"), "{directives}");
            assert!(directives.split(',').skip(1).all(|directive| directive.starts_with("dizzy_")), "{directives}");
        }
    }
}
