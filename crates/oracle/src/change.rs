//! Changing a user's password, and ending its rollover window: by the user itself, on a session of its own.
//!
//! The change is the protocol's own (`OCIPasswordChange`), so the password is encrypted under the session's key and never part of SQL.
//! It carries the old password, which is what keeps a late request of another worker out: *statement-CAS*. Whether a real server checks
//! it against the password at that moment, and not only the session's login, is unverified.
//! A change commits by itself. So once it was sent, only the server's own "no" is a refusal.

use dizzy_host::port::{Change, Deadline, FenceStamp, Kind, Login, Mend, PortError, PortResult};

use crate::{
    account,
    prepare::END_ROLLOVER,
    session::{Session, Target, check_password},
    trouble::Trouble,
};

/// Logs in with the old password and changes it.
pub(crate) async fn apply(target: &Target, change: Change<'_>, deadline: Deadline) -> PortResult<()> {
    let Change { login, new, stamp, kind: _ } = change;
    let what = format!("change the password of {} on {}", login.user, target.name);
    check_password(login.user, new.expose())?;
    let mut session = Session::open(target, login, &stamp, deadline).await?;
    if new == login.password {
        // It logs in, so it is set already; servers with rules about reuse would refuse to set it again. Only inside a rollover window
        // it may be the older of two, and then it is for the server to say.
        let account = account::account(&mut session).await.map_err(|trouble| trouble.refused(&what))?;
        if !account.in_rollover() {
            session.close().await;
            return Ok(());
        }
    }
    // Not sent, so certainly not done.
    if !session.has_time() {
        return Err(Trouble::Deadline.refused(&what));
    }
    let (old, new) = (login.password.clone(), new.clone());
    let changed = session.call(move |connection| connection.change_password(old.expose(), new.expose())).await;
    changed.map_err(|trouble| trouble.of_change(&what))?;
    session.close().await;
    Ok(())
}

/// Ends the rollover window of `login`'s user, if one is open, through the procedure that `prepare` installs.
pub(crate) async fn end_window(
    target: &Target,
    login: Login<'_>,
    stamp: &FenceStamp<'_>,
    deadline: Deadline,
) -> PortResult<()> {
    let what = format!("end the rollover window of {} on {}", login.user, target.name);
    let mut session = Session::open(target, login, stamp, deadline).await?;
    let account = account::account(&mut session).await.map_err(|trouble| trouble.refused(&what))?;
    if account.in_rollover() {
        if !session.has_time() {
            return Err(Trouble::Deadline.refused(&what));
        }
        let call = format!("BEGIN {END_ROLLOVER}; END;");
        let ended = session.call(move |connection| connection.execute(&call, &[]).map(drop)).await;
        ended.map_err(|trouble| mend(trouble.of_change(&what)))?;
    }
    session.close().await;
    Ok(())
}

/// Tells how the procedure comes to be there.
fn mend(error: PortError) -> PortError {
    if !matches!(error.kind, Kind::NotFound | Kind::Denied) {
        return error;
    }
    PortError { kind: Kind::FenceMissing, ..error }
        .with_hint(
            "run `dizzy-keys prepare`, which installs the procedure that ends a window; or wait until it has passed",
        )
        .with_mend(Mend::Prepare { sql: None })
}
