//! The end of a revoke: older sessions are ended, and every password that is to be dead is tried.
//!
//! The engine decides when: no user is on a revoked generation any more. A wrong login counts where a server locks accounts, so each is
//! followed by a right one, and never are two under way for one user.

use core::time::Duration;

use dizzy_engine::{DatabaseIx, Generation, Outcome, Register, UserIx};

use super::{
    attempts::Unknown,
    number,
    session::{Session, no_register},
    trouble::Target,
};
use crate::{
    port::{Kind, Login, PortError, PortResult},
    register::Document,
};

/// What became of the sessions that were opened with a revoked password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionsEnd {
    /// They are ended: how many there were.
    Ended(u32),
    /// They could not be; the error says why, its hint is a statement that does it.
    Left(PortError),
}

/// What became of the older sessions of one user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EndedWhere {
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// What became of them.
    pub end: SessionsEnd,
}

impl Session<'_> {
    /// Tries the password that `generation` published: the server must say that it is wrong.
    pub(super) async fn prove_refused(
        &self,
        register: &Register,
        ix: DatabaseIx,
        generation: Generation,
    ) -> PortResult<()> {
        self.end_older_sessions(register, ix).await?;
        // What no secret holds any more cannot be tried, and nobody can read it there either.
        let Some(credential) = self.load(ix, generation).await? else { return Ok(()) };
        let Some(user) = self.place_of(ix, &credential.username)? else { return Ok(()) };
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &credential.username, password: &credential.password };
        let call = self.database(ix)?.login(login, stamp.borrow(), self.database_deadline(ix));
        match self.within_attempts(ix, user, generation, Unknown::DuringLogin, call).await {
            Ok(()) => Err(PortError::refused(
                Kind::Drift,
                format!("generation {} of {} still logs in", number(generation), credential.username),
            )
            .with_hint("somebody has set this password again, or a window is open that the register does not know; see what changes it, then revoke again")),
            Err(error) if error.kind == Kind::Credential => {
                self.forget_the_wrong_login(register, ix, user).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// A right login sets the server's count back, and ours. What was proven stays proven if there is none.
    async fn forget_the_wrong_login(&self, register: &Register, ix: DatabaseIx, user: UserIx) {
        let known = register.database(ix).and_then(|d| d.user(user)).and_then(|u| u.known);
        if let (Ok(Some(_)), Some(known)) = (self.database(ix).map(|d| d.wrong_logins_allowed()), known)
            && let Err(error) = self.login(register, ix, user, known).await
        {
            self.trouble(Target::Database(self.set.name_at(ix).to_owned()), error);
        }
    }

    fn place_of(&self, ix: DatabaseIx, user: &str) -> PortResult<Option<UserIx>> {
        let (_, config) = self.covered(usize::from(ix.0))?;
        let at = config.users.iter().position(|name| name == user);
        Ok(at.and_then(|at| u8::try_from(at).ok()).map(UserIx))
    }

    /// Ends what was opened with an older password: once per user and run. That it cannot be done is told, and is no reason to leave
    /// the passwords unproven.
    async fn end_older_sessions(&self, register: &Register, ix: DatabaseIx) -> PortResult<()> {
        let users = register.database(ix).map_or(0, |d| d.users.len());
        for user in (0_u8..).take(users).map(UserIx) {
            if self.state().sessions_ended.contains_key(&(ix.0, user.0)) {
                continue;
            }
            let began = tokio::time::Instant::now();
            let end = match self.end_sessions_of(register, ix, user).await {
                Ok(count) => SessionsEnd::Ended(count),
                // A server that does not answer is asked again with the next try.
                Err(error) if matches!(error.kind, Kind::Timeout | Kind::Unreachable | Kind::Throttled) => {
                    return Err(error);
                }
                Err(error) => SessionsEnd::Left(error),
            };
            let outcome = match &end {
                SessionsEnd::Ended(_) => Outcome::Applied,
                SessionsEnd::Left(_) => Outcome::Refused(dizzy_engine::Reason::Permanent),
            };
            self.note("sessions.ended", &outcome, register, (Some(self.database_target(ix)), None), began);
            self.state().sessions_ended.insert((ix.0, user.0), end);
        }
        Ok(())
    }

    /// As the user itself, which PostgreSQL allows; else as an administrator, where there is one.
    async fn end_sessions_of(&self, register: &Register, ix: DatabaseIx, user: UserIx) -> PortResult<u32> {
        let name = self.user_name(ix, user)?;
        let age = self.age_of_password(ix, &name);
        let port = self.database(ix)?;
        let known = register.database(ix).and_then(|d| d.user(user)).and_then(|u| u.known).ok_or_else(no_register)?;
        let stamp = self.stamp(register, register.epoch, known)?;
        let deadline = self.database_deadline(ix);
        let credential = self.load(ix, known).await?.ok_or_else(no_register)?;
        let login = Login { user: &name, password: &credential.password };
        let call = port.end_sessions(login, &name, age, stamp.borrow(), deadline);
        let own = self.within_attempts(ix, user, known, Unknown::DuringLogin, call).await;
        match (own, self.set.admins.get(usize::from(ix.0))) {
            (Err(error), Some(Some(admin))) if error.kind == Kind::Denied => {
                let login = Login { user: &admin.username, password: &admin.password };
                port.end_sessions(login, &name, age, stamp.borrow(), self.database_deadline(ix)).await
            }
            (own, _) => own,
        }
    }

    /// How long ago the user's present password was decided: a session that is older was opened with another one. By our clock alone, so
    /// that it does not matter what time the server thinks it is.
    fn age_of_password(&self, ix: DatabaseIx, user: &str) -> Duration {
        let document = self.document();
        let entry =
            document.as_ref().and_then(|d| d.databases.get(self.set.name_at(ix))).and_then(|d| d.users.get(user));
        let Some(decided) = entry.and_then(|user| user.decided) else { return Duration::ZERO };
        Duration::from_millis(u64::try_from(self.set.clock.now().0.saturating_sub(decided)).unwrap_or_default())
    }

    /// Records when the passwords under way were decided. Nobody has read them before.
    pub(super) fn record_decided(&self, document: &mut Document, next: &Register) {
        let now = self.set.clock.now();
        for (ix, plan) in self.plan().each() {
            let Some(target) = next.database(ix).map(|d| d.target(plan)) else { continue };
            if let Ok(user) = self.user_name(ix, target) {
                document.record_decided(self.set.name_at(ix), &user, now);
            }
        }
    }

    pub(super) fn sessions_ended(&self) -> Vec<EndedWhere> {
        let ended = self.state().sessions_ended.clone();
        let where_it_was = |((ix, user), end): (&(u8, u8), &SessionsEnd)| EndedWhere {
            database: self.set.name_at(DatabaseIx(*ix)).to_owned(),
            user: self.user_name(DatabaseIx(*ix), UserIx(*user)).unwrap_or_default(),
            end: end.clone(),
        };
        ended.iter().map(where_it_was).collect()
    }

    /// The wish and its end belong in the trail.
    pub(super) fn note_revoke(&self, old: &Register, next: &Register, outcome: &Outcome, began: tokio::time::Instant) {
        let kind = match (old.revoke, next.revoke) {
            (None, Some(_)) => "revoke.begun",
            (Some(_), None) => "revoke.done",
            (None, None) | (Some(_), Some(_)) => return,
        };
        self.note(kind, outcome, next, (None, None), began);
    }
}
