//! Ending the sessions that were opened with a password that is no longer valid.
//!
//! A role may end its own sessions, so no administrator is needed (PostgreSQL documentation: "Server Signaling Functions",
//! `pg_terminate_backend`). A session's age is measured by the server's clock alone.

use core::time::Duration;

use dizzy_host::port::{Deadline, FenceStamp, Kind, Login, PortError, PortResult};

use super::{
    session::{Session, Target},
    text::literal,
};

/// How often it is looked whether the sessions are gone: the server ends them when they next look at their signals.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The statement that ends them, for a person too.
fn end_sql(user: &str, age: Duration) -> String {
    format!("SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a WHERE {}", older_than(user, age))
}

/// Sessions of the user that are at least so old. Those whose start may not be seen count as old.
fn older_than(user: &str, age: Duration) -> String {
    format!(
        "a.usename = {} AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend' \
         AND coalesce(a.backend_start <= clock_timestamp() - interval '{} milliseconds', true)",
        literal(user),
        age.as_millis(),
    )
}

/// Ends the sessions, and waits until they are gone.
pub(super) async fn end(
    target: &Target,
    login: Login<'_>,
    user: &str,
    age: Duration,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<u32> {
    let what = format!("end the older sessions of {user} on {}", target.name);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let answer = session.batch(&end_sql(user, age), deadline).await.map_err(|trouble| {
        let error = trouble.refused(&what);
        if error.kind == Kind::Denied { error.with_hint(format!("{};", end_sql(user, Duration::ZERO))) } else { error }
    })?;
    let ended = answer.first().map_or(0, Vec::len);
    // The age that counts grows with the clock, so that a session which begins meanwhile is not waited for.
    let began = tokio::time::Instant::now();
    loop {
        let left = format!("SELECT 1 FROM pg_stat_activity a WHERE {}", older_than(user, age + began.elapsed()));
        let answer = session.batch(&left, deadline).await.map_err(|trouble| trouble.refused(&what))?;
        let left = answer.first().map_or(0, Vec::len);
        if left == 0 {
            break;
        }
        if deadline.left() <= LOOK_AGAIN {
            return Err(PortError::refused(Kind::Busy, format!("{what}: {left} have not gone yet"))
                .with_hint(format!("{};", end_sql(user, Duration::ZERO))));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    session.close(deadline).await;
    Ok(u32::try_from(ended).unwrap_or(u32::MAX))
}
