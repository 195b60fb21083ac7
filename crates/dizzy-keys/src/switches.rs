//! Switches of the test suite that are set by environment variables: another time of day, less patience, other roots, another
//! metadata service.
//!
//! Debug builds only: a release build contains none of them. `DIZZY_KEYS_CLOCK=FILE` names a file that holds how many milliseconds the
//! clock is ahead; it is read at each look at the clock, so that a worker that stood still wakes up late. `DIZZY_KEYS_BUDGET=N` ends a
//! run that repeats what does not work after so many milliseconds. `DIZZY_KEYS_EXTRA_ROOTS=FILE` names PEM certificates that the clouds'
//! hosts may lead to as well. `DIZZY_KEYS_OCI_METADATA=URL` names a metadata service on loopback. The kill points are in `run/watch`.

use std::sync::Arc;

use dizzy_host::{driver::Limits, port::Clock};

/// The clock.
#[cfg(not(debug_assertions))]
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(dizzy_host::port::SystemClock)
}

/// Roots to trust besides the public ones.
#[cfg(not(debug_assertions))]
pub(crate) const fn extra_roots() -> Option<Vec<u8>> {
    None
}

/// Where the metadata service of an OCI instance is, if elsewhere.
#[cfg(not(debug_assertions))]
pub(crate) const fn oci_metadata() -> Option<String> {
    None
}

/// How long things may take where nobody says otherwise.
#[cfg(not(debug_assertions))]
pub(crate) fn limits() -> Limits {
    Limits::default()
}

#[cfg(debug_assertions)]
pub(crate) use debug::{clock, extra_roots, limits, oci_metadata};

#[cfg(debug_assertions)]
mod debug {
    use core::time::Duration;
    use std::path::PathBuf;

    use dizzy_engine::Timestamp;
    use dizzy_host::port::SystemClock;

    use super::{Arc, Clock, Limits};

    /// The machine's clock, ahead by what the file says.
    struct ShiftedClock(PathBuf);

    impl Clock for ShiftedClock {
        fn now(&self) -> Timestamp {
            let ahead = std::fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse::<i64>().ok());
            Timestamp(SystemClock.now().0.saturating_add(ahead.unwrap_or_default()))
        }
    }

    pub(crate) fn clock() -> Arc<dyn Clock> {
        match variable("DIZZY_KEYS_CLOCK") {
            Some(file) => Arc::new(ShiftedClock(file.into())),
            None => Arc::new(SystemClock),
        }
    }

    pub(crate) fn extra_roots() -> Option<Vec<u8>> {
        std::fs::read(variable("DIZZY_KEYS_EXTRA_ROOTS")?).ok()
    }

    pub(crate) fn oci_metadata() -> Option<String> {
        variable("DIZZY_KEYS_OCI_METADATA")
    }

    pub(crate) fn limits() -> Limits {
        let budget = variable("DIZZY_KEYS_BUDGET").and_then(|text| text.parse().ok()).map(Duration::from_millis);
        let usual = Limits::default();
        Limits { budget: budget.unwrap_or(usual.budget), ..usual }
    }

    #[expect(clippy::disallowed_methods, reason = "a switch of the test suite, absent from release builds")]
    fn variable(name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}
