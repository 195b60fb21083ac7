//! Changing a password under the fence, and burning an epoch.
//!
//! Everything up to COMMIT happens in one open transaction, so until COMMIT is sent a failure of any kind is `Refused`: the server
//! rolls back what it cannot finish. From then on only the server's own "no" is a refusal.

use async_trait::async_trait;
use dizzy_host::port::{
    Change, ChangeKind, Deadline, FenceStamp, FenceState, Kind, Login, PortError, PortResult, Randomness, Vote,
};
use zeroize::Zeroizing;

use super::{
    fence::{self, Stamp},
    session::{Session, Target},
    text::{identifier, literal, older_workers},
    trouble::{Trouble, mend_change},
};
use crate::scram;

/// An open transaction that holds a stamped change.
pub(super) struct OpenChange {
    session: Session,
    row: FenceState,
    what: String,
}

/// Opens a transaction, ends older workers, stamps the fence row and changes the password.
pub(super) async fn prepare(
    target: &Target,
    randomness: &dyn Randomness,
    change: Change<'_>,
    deadline: Deadline,
) -> PortResult<OpenChange> {
    let kind = match change.kind {
        ChangeKind::Alternating => Stamp::Alternating,
        ChangeKind::Single { from } => Stamp::Single { from },
    };
    // Some ten milliseconds of computing, before the connection is open rather than inside the transaction.
    let verifier = scram::verifier(change.new, randomness)?;
    let alter =
        Zeroizing::new(format!("ALTER ROLE {} PASSWORD {};\n", identifier(change.login.user), literal(&verifier)));
    let what = format!("change the password of {} on {}", change.login.user, target.name);
    open(target, change.login, &change.stamp, kind, &alter, what, deadline).await
}

/// Raises the epoch in the user's row.
pub(super) async fn burn(
    target: &Target,
    login: Login<'_>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<FenceState> {
    let what = format!("raise the epoch of {} on {}", login.user, target.name);
    let mut open = open(target, login, stamp, Stamp::Burn, "", what, deadline).await?;
    open.send_commit(deadline).await?;
    open.session.close(deadline).await;
    Ok(open.row)
}

/// Sets a user's password as an administrator, in one transaction with the fence row.
pub(super) async fn set_by_administrator(
    target: &Target,
    randomness: &dyn Randomness,
    admin: Login<'_>,
    user: Login<'_>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<()> {
    let verifier = scram::verifier(user.password, randomness)?;
    let sql = fence::set_password_sql(stamp, user.user, &verifier)?;
    let sql = Zeroizing::new(format!("BEGIN ISOLATION LEVEL READ COMMITTED;\n{sql}"));
    let what = format!("set the password of {} on {} as {}", user.user, target.name, admin.user);
    let mut session = Session::open(target, admin, stamp, deadline).await?;
    let changed = session.batch(&sql, deadline).await;
    changed.map_err(|trouble| mend_change(trouble.refused(&what), &trouble, stamp.set, user.user))?;
    if deadline.left().is_zero() {
        return Err(Trouble::Deadline.refused(&what));
    }
    session.batch("COMMIT", deadline).await.map_err(|trouble| trouble.of_commit(&what))?;
    session.close(deadline).await;
    Ok(())
}

async fn open(
    target: &Target,
    login: Login<'_>,
    stamp: &FenceStamp<'_>,
    kind: Stamp,
    alter: &str,
    what: String,
    deadline: Deadline,
) -> PortResult<OpenChange> {
    // READ COMMITTED: a stamp that waited for the row must see what it waited for.
    // A commit that is reported must survive a crash, also for a role that has asynchronous commit as its default.
    let sql = Zeroizing::new(format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED;\n\
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';\n\
         SELECT pg_terminate_backend(older.pid) FROM ({}) older;\n{}{alter}",
        older_workers(stamp),
        fence::stamp_sql(stamp, kind)?,
    ));
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let answer = session.batch(&sql, deadline).await;
    let answer = answer.map_err(|trouble| mend_change(trouble.refused(&what), &trouble, stamp.set, login.user))?;
    let row = answer.last().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| PortError::refused(Kind::FenceMissing, format!("{what}: the fence gave no row")))?;
    Ok(OpenChange { session, row: fence::state(row)?, what })
}

impl OpenChange {
    /// Commits and says goodbye.
    pub(super) async fn commit(mut self, deadline: Deadline) -> PortResult<()> {
        self.send_commit(deadline).await?;
        self.session.close(deadline).await;
        Ok(())
    }

    async fn send_commit(&mut self, deadline: Deadline) -> PortResult<()> {
        // Not sent, so certainly not done.
        if deadline.left().is_zero() {
            return Err(Trouble::Deadline.refused(&self.what));
        }
        if self.session.has_ended().await {
            return Err(Trouble::Lost.refused(&self.what));
        }
        let committed = self.session.batch("COMMIT", deadline).await;
        committed.map(drop).map_err(|trouble| trouble.of_commit(&self.what))
    }
}

#[async_trait]
impl Vote for OpenChange {
    async fn commit(self: Box<Self>, deadline: Deadline) -> PortResult<()> {
        Self::commit(*self, deadline).await
    }
}
