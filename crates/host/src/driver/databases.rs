//! Effects on databases: log in, inspect, change, vote, burn. Each carries the fence stamp of this run's epoch.

use dizzy_engine::{DatabaseIx, Effect, Epoch, Generation, Register, Strategy, UserIx};

use super::{
    ACTIVE_SESSIONS, Undo,
    attempts::Unknown,
    fit::objection,
    session::{Expiries, Session, missing_version, no_register},
    trouble::Target,
};
use crate::{
    audit::AuditEvent,
    config::OnActiveSessions,
    port::{Certainty, Change, ChangeKind, Inspection, Kind, Login, PortError, PortResult, Sessions, Severity},
    register::RolloverDocument,
};

impl Session<'_> {
    pub(super) async fn login(
        &self,
        register: &Register,
        ix: DatabaseIx,
        user: UserIx,
        generation: Generation,
    ) -> PortResult<()> {
        // A generation that is in no store was never staged, so it was never sent: it cannot be the password.
        let credential = self
            .load(ix, generation)
            .await?
            .ok_or_else(|| PortError::refused(Kind::Credential, "log in with a generation that is in no secret"))?;
        let name = self.user_name(ix, user)?;
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &name, password: &credential.password };
        let call = self.database(ix)?.login(login, stamp.borrow(), self.database_deadline(ix));
        self.within_attempts(ix, user, generation, Unknown::DuringLogin, call).await
    }

    pub(super) async fn inspect(
        &self,
        register: &Register,
        ix: DatabaseIx,
        user: UserIx,
        generation: Generation,
    ) -> PortResult<()> {
        let credential = self.load(ix, generation).await?.ok_or_else(|| missing_version(generation))?;
        let user_name = self.user_name(ix, user)?;
        if credential.username != user_name {
            return Err(PortError::refused(
                Kind::Malformed,
                format!("the published user is not the one that the register records ({user_name})"),
            ));
        }
        let (_, config) = self.covered(usize::from(ix.0))?;
        let users: Vec<&str> = config.users.iter().map(String::as_str).collect();
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &user_name, password: &credential.password };
        let port = self.database(ix)?;
        let deadline = self.database_deadline(ix);
        let call = port.inspect(login, &users, stamp.borrow(), deadline);
        let inspection = self.within_attempts(ix, user, generation, Unknown::DuringLogin, call).await?;
        let expiries =
            Expiries { asker: user_name.clone(), told: inspection.expiries.clone(), life: inspection.password_life };
        self.state().expiries.insert(ix.0, expiries);
        let revokes = register.revoke.is_some();
        let undo = if revokes { Undo::Revoking } else { self.set.undo };
        if let Some(objection) = objection(&self.set.config, config, undo, &inspection) {
            return Err(objection);
        }
        self.accept_window(register, ix, &inspection)?;
        let forward_only = config.strategy == Strategy::Single && inspection.cannot_restore.is_some();
        self.state().forward_only.insert(ix.0, forward_only);
        if let Some(error) = inspection.findings.iter().find(|f| f.severity == Severity::Error) {
            let mut refused = PortError::refused(error.kind, error.what.clone());
            refused.hint.clone_from(&error.hint);
            return Err(refused);
        }
        if config.strategy == Strategy::Alternating {
            let idle = self.user_name(ix, user.other())?;
            let sessions = port.sessions(login, &idle, stamp.borrow(), deadline).await?;
            // Whoever revokes wants these sessions out: they are named, and not waited for.
            let policy = if revokes { OnActiveSessions::Warn } else { self.set.on_active_sessions() };
            self.await_consumers(policy, sessions, &idle)?;
        }
        Ok(())
    }

    /// Consumers that still use the idle user have not picked up the current generation yet (rulings §6.2).
    pub(super) fn await_consumers(&self, policy: OnActiveSessions, sessions: Sessions, idle: &str) -> PortResult<()> {
        let (count, clients) = match sessions {
            Sessions::Unknown | Sessions::Counted { count: 0, .. } => return Ok(()),
            Sessions::Counted { count, clients } => (count, clients.join(", ")),
        };
        let uses = if count == 1 { "session still uses" } else { "sessions still use" };
        let what = format!("{count} {uses} the idle user {idle}: {clients}");
        let hint = "these clients have not picked up the current credential yet; restart them or end their sessions";
        match policy {
            OnActiveSessions::Warn => {
                tracing::warn!(count, user = idle, "sessions still use the idle user");
                self.trouble(Target::Set, PortError::refused(Kind::Busy, what).with_hint(hint));
                Ok(())
            }
            OnActiveSessions::Refuse => {
                Err(PortError::refused(Kind::Denied, what).with_code(ACTIVE_SESSIONS).with_hint(hint))
            }
            OnActiveSessions::Wait => {
                let since = *self.state().sessions_since.get_or_insert_with(tokio::time::Instant::now);
                let waited = since.elapsed() >= self.limits.sessions_wait;
                let kind = if waited { Kind::Denied } else { Kind::Busy };
                Err(PortError::refused(kind, what).with_code(ACTIVE_SESSIONS).with_hint(hint))
            }
        }
    }

    pub(super) async fn change(&self, register: &Register, effect: &Effect) -> PortResult<()> {
        let (Effect::Apply { database, user, from, to, epoch }
        | Effect::Vote { database, user, from, to, epoch }
        | Effect::Restore { database, user, from, to, epoch }) = effect
        else {
            return Err(no_register());
        };
        let is_restore = matches!(effect, Effect::Restore { .. });
        let old = self.load(*database, *from).await?.ok_or_else(|| missing_version(*from))?;
        let new = self.load(*database, *to).await?.ok_or_else(|| missing_version(*to))?;
        self.announce_change(register, *database, is_restore).await?;
        let user_name = self.user_name(*database, *user)?;
        let stamp = self.stamp(register, *epoch, *to)?;
        let (_, config) = self.covered(usize::from(database.0))?;
        let kind = match config.strategy {
            Strategy::Alternating => ChangeKind::Alternating,
            Strategy::Rollover | Strategy::Single => ChangeKind::Single { from: *from },
        };
        let login = Login { user: &user_name, password: &old.password };
        let change = Change { login, new: &new.password, stamp: stamp.borrow(), kind };
        let port = self.database(*database)?;
        let deadline = self.database_deadline(*database);
        if matches!(effect, Effect::Vote { .. }) {
            let vote = port.vote(change, deadline).await?;
            self.state().votes.insert(database.0, vote);
            return Ok(());
        }
        let result =
            self.within_attempts(*database, *user, *from, Unknown::AfterLogin, port.apply(change, deadline)).await;
        let mut state = self.state();
        match &result {
            Ok(()) => {
                state.proven.remove(&(database.0, *user, *from));
                state.proven.insert((database.0, *user, *to));
            }
            Err(error) if error.certainty == Certainty::Unknown => {
                state.proven.remove(&(database.0, *user, *from));
            }
            Err(_) => {}
        }
        result
    }

    /// Ends the window of the last rotation: an effect on the server, so the trail comes first.
    pub(super) async fn end_window(&self, register: &Register, ix: DatabaseIx) -> PortResult<()> {
        let generation = register.current;
        let credential = self.load(ix, generation).await?.ok_or_else(|| missing_version(generation))?;
        self.announce_change(register, ix, false).await?;
        let user = register.database(ix).map(|d| d.live).ok_or_else(no_register)?;
        let name = self.user_name(ix, user)?;
        let stamp = self.stamp(register, register.epoch, generation)?;
        let login = Login { user: &name, password: &credential.password };
        let call = self.database(ix)?.end_window(login, stamp.borrow(), self.database_deadline(ix));
        self.within_attempts(ix, user, generation, Unknown::DuringLogin, call).await
    }

    /// Takes in what the server says about rollover windows, and refuses one that this register knows nothing of.
    fn accept_window(&self, register: &Register, ix: DatabaseIx, inspection: &Inspection) -> PortResult<()> {
        let (_, config) = self.covered(usize::from(ix.0))?;
        let (Strategy::Rollover, Some(found)) = (config.strategy, inspection.rollover) else { return Ok(()) };
        let now = self.set.clock.now();
        let recorded = register.database(ix).and_then(|d| d.window).is_some_and(|w| w.until > now);
        // A change within a window drops the password before it: the published one, if the window is not over.
        if found.open && !recorded {
            let user = config.users.first().map_or("", String::as_str);
            let what = format!("a rollover window of {user} is open that no rotation of this register has left");
            return Err(PortError::refused(Kind::Denied, what).with_hint(
                "wait until the window is over, or have an administrator end it: ALTER USER .. EXPIRE PASSWORD ROLLOVER PERIOD",
            ));
        }
        if !found.open {
            self.state().window_over.insert(ix.0);
        }
        let length_ms = i64::try_from(found.length.as_millis()).unwrap_or(i64::MAX);
        self.state().rollover.insert(ix.0, RolloverDocument { length_ms, can_end: found.can_end });
        Ok(())
    }

    /// The first change of a database must be in the audit trail before it is sent.
    pub(super) async fn announce_change(
        &self,
        register: &Register,
        ix: DatabaseIx,
        is_restore: bool,
    ) -> PortResult<()> {
        let target = Some(self.set.name_at(ix).to_owned());
        let event = self.event("apply.begin", dizzy_audit::Outcome::Ok, register);
        let event = AuditEvent { target, ..event };
        let touched = core::mem::replace(&mut self.state().touched, true);
        if touched || is_restore {
            self.trail.note(event);
            self.trail.flush(self.limits.audit()).await;
            return Ok(());
        }
        let result = self.trail.require(event, self.limits.audit()).await;
        result.map_err(|mut error| {
            self.state().touched = false;
            error.certainty = Certainty::Refused;
            self.trouble(Target::Audit, error);
            PortError::refused(Kind::Denied, "the audit trail does not take the announcement of the change")
        })
    }

    pub(super) async fn commit_vote(&self, ix: DatabaseIx) -> PortResult<()> {
        let vote = self.state().votes.remove(&ix.0);
        match vote {
            Some(vote) => vote.commit(self.database_deadline(ix)).await,
            None => Err(PortError::refused(Kind::Busy, "the open transaction is gone")),
        }
    }

    pub(super) async fn burn(
        &self,
        register: &Register,
        ix: DatabaseIx,
        user: UserIx,
        from: Generation,
        epoch: Epoch,
    ) -> PortResult<()> {
        self.drop_votes();
        let credential = self
            .load(ix, from)
            .await?
            .ok_or_else(|| PortError::refused(Kind::Credential, "log in with a generation that is in no secret"))?;
        let name = self.user_name(ix, user)?;
        let stamp = self.stamp(register, epoch, from)?;
        let login = Login { user: &name, password: &credential.password };
        let call = self.database(ix)?.burn(login, stamp.borrow(), self.database_deadline(ix));
        let row = self.within_attempts(ix, user, from, Unknown::DuringLogin, call).await?;
        match row.generation {
            Some(found) if found != from && found != register.current => {
                Err(PortError::refused(Kind::Conflict, "the fence row shows another generation than the login"))
            }
            _ => Ok(()),
        }
    }
}
