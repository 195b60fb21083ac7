//! What every adapter must promise, as named checks written from the ports' documentation.
//!
//! A suite takes an async closure that returns a fresh fixture for every check, runs all checks in order and reports which
//! promises hold. A fixture gives the adapter under test, known initial facts, and a way to see the truth that does not go
//! through the adapter. Checks never assume more than the trait's documentation says.

mod database;
mod journal;
mod objects;
mod store;
#[cfg(test)]
mod tests;

use core::{future::Future, pin::Pin, time::Duration};

pub use database::{DatabaseFixture, database};
pub use journal::{JournalFixture, journal};
pub use objects::{ObjectFixture, objects};
pub use store::{StoreFixture, store};

use crate::port::{Certainty, Deadline, Kind, PortError, PortResult};

/// The register id that fixtures prepare fences for.
pub const REGISTER: &str = "0123456789abcdef0123456789abcdef";

/// The set that fixtures prepare fences for.
pub const SET: &str = "conformance";

/// The register id of another installation.
pub const OTHER_REGISTER: &str = "fedcba9876543210fedcba9876543210";

/// Time for one call on a busy machine. A call that is to fail late is given less.
const CALL: Duration = Duration::from_secs(20);

/// How much later than its deadline a call may return before it counts as not honouring it.
const GRACE: Duration = Duration::from_secs(10);

/// What a suite found.
#[derive(Debug, Default)]
#[must_use]
pub struct Report {
    /// Checks that ran and held.
    pub held: Vec<&'static str>,
    /// Checks that ran and did not, with the reason.
    pub broken: Vec<(&'static str, String)>,
    /// Checks that do not apply to this adapter or fixture, with the reason.
    pub skipped: Vec<(&'static str, String)>,
}

impl Report {
    /// The names of the checks that held.
    ///
    /// # Errors
    /// The report, if any promise is broken or no check ran.
    pub fn into_result(self) -> Result<Vec<&'static str>, Self> {
        if self.broken.is_empty() && !self.held.is_empty() { Ok(self.held) } else { Err(self) }
    }
}

/// Why a check did not hold, or did not apply.
#[derive(Debug)]
enum Stop {
    Broken(String),
    Skipped(&'static str),
}

type Checked = Result<(), Stop>;
type Running<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// One named check over a fixture.
struct Check<F: ?Sized> {
    name: &'static str,
    run: for<'a> fn(&'a F) -> Running<'a>,
}

/// Lists check functions under their own names.
macro_rules! checks {
    ($fixture:ty: $($name:ident),+ $(,)?) => {
        [$($crate::testkit::conformance::Check::<$fixture> {
            name: stringify!($name),
            run: |fixture| Box::pin($name(fixture)),
        }),+]
    };
}
use checks;

impl Report {
    fn note(&mut self, name: &'static str, outcome: Checked) {
        match outcome {
            Ok(()) => self.held.push(name),
            Err(Stop::Broken(why)) => self.broken.push((name, why)),
            Err(Stop::Skipped(why)) => self.skipped.push((name, why.to_owned())),
        }
    }
}

fn soon() -> Deadline {
    Deadline::after(CALL)
}

/// Breaks the check unless `holds`.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Stop::Broken(why())) }
}

/// The value of a call that has to succeed.
fn ok<T>(what: &str, outcome: PortResult<T>) -> Result<T, Stop> {
    outcome.map_err(|error| Stop::Broken(format!("{what}: {error:?}")))
}

/// The error of a call that has to fail.
fn fails<T>(what: &str, outcome: PortResult<T>) -> Result<PortError, Stop> {
    match outcome {
        Ok(_) => Err(Stop::Broken(format!("{what}: must fail, and succeeded"))),
        Err(error) => Ok(error),
    }
}

/// A call that has to be refused (not unknown), for this reason.
fn refused<T>(what: &str, outcome: PortResult<T>, kind: Kind) -> Checked {
    let error = fails(what, outcome)?;
    ensure(error.certainty == Certainty::Refused && error.kind == kind, || {
        format!("{what}: must be refused as {kind:?}, and was {error:?}")
    })
}

/// A call that has to fail for this reason; how certain it is does not matter, because it changes nothing.
fn fails_as<T>(what: &str, outcome: PortResult<T>, kind: Kind) -> Checked {
    let error = fails(what, outcome)?;
    ensure(error.kind == kind, || format!("{what}: must fail as {kind:?}, and was {error:?}"))
}

/// Runs a call that has `span` of time and checks that it is back by then.
async fn returns_in_time<T>(
    what: &str,
    span: Duration,
    call: impl AsyncFnOnce(Deadline) -> PortResult<T>,
) -> Result<PortResult<T>, Stop> {
    let deadline = Deadline::after(span);
    tokio::time::timeout(span + GRACE, call(deadline))
        .await
        .map_err(|_| Stop::Broken(format!("{what}: had {span:?} and was not back {GRACE:?} after that")))
}

/// No part of an error may quote a secret.
fn quotes_nothing(what: &str, error: &PortError, secrets: &[&str]) -> Checked {
    let text = format!("{error} {error:?}");
    ensure(!secrets.iter().any(|secret| text.contains(secret)), || format!("{what}: its error quotes a secret"))
}
