//! The database port over the server rules: sessions, row locks, votes and requests that arrive late.
//!
//! A change waits for a row that another transaction holds, as it would in PostgreSQL, until its deadline.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dizzy_engine::{Capability, Epoch};
use tokio::sync::Notify;

use super::{
    in_time, locked,
    server::{Acceptance, PasswordRule, Request, RowKey, Server},
};
use crate::{
    port::{
        Change, Database, Deadline, FenceStamp, FenceState, Finding, Inspection, Kind, Login, Mend, PortError,
        PortResult, PrepareStep, Sessions, Severity, Vote,
    },
    secret::Password,
};

/// As many wrong logins as the Oracle adapter allows itself.
const OUR_WRONG_LOGINS: u32 = 3;

/// How old every session of an application is, whenever it is looked at.
const SESSION_AGE: Duration = Duration::from_secs(60);

/// One database server with its users.
pub struct MemoryDatabase {
    name: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: Mutex<Server>,
    /// Told whenever a row lock may have been released.
    released: Notify,
}

impl MemoryDatabase {
    /// A server without users.
    #[must_use]
    pub fn new(name: &str, capability: Capability, acceptance: Acceptance) -> Self {
        let server = Mutex::new(Server::new(name, capability, acceptance));
        Self { name: name.to_owned(), shared: Arc::new(Shared { server, released: Notify::new() }) }
    }

    /// Adds a user, or resets one.
    pub fn add_user(&self, user: &str, password: Password) {
        locked(&self.shared.server).add_user(user, password);
    }

    /// Adds a user that may run `prepare`.
    pub fn add_admin(&self, user: &str, password: Password) {
        let mut server = locked(&self.shared.server);
        server.add_user(user, password);
        server.admins.insert(user.to_owned());
    }

    /// Makes the fence rows of `users` as `prepare` would, if they are missing.
    pub fn add_fence(&self, set: &str, register: &str, users: &[&str]) {
        let mut server = locked(&self.shared.server);
        for user in users {
            let stamp = FenceStamp { set, register, epoch: Epoch(0), generation: dizzy_engine::Generation(0) };
            server.rows.entry(RowKey::of(stamp, user)).or_insert_with(|| fresh_row(register));
        }
    }

    /// Drops every fence row of a set, as an administrator could.
    pub fn remove_fence(&self, set: &str) {
        locked(&self.shared.server).rows.retain(|key, _| key.set != set);
    }

    /// Whether this login would succeed. Asking costs no login attempt.
    #[must_use]
    pub fn accepts(&self, user: &str, password: &Password) -> bool {
        locked(&self.shared.server).accepts(user, password)
    }

    /// The password that the user was given last: the one that must never be lost.
    #[must_use]
    pub fn newest(&self, user: &str) -> Option<Password> {
        locked(&self.shared.server).users.get(user).and_then(|state| state.valid.last()).cloned()
    }

    /// Every password with which the user logs in.
    #[must_use]
    pub fn valid(&self, user: &str) -> Vec<Password> {
        locked(&self.shared.server).users.get(user).map(|state| state.valid.clone()).unwrap_or_default()
    }

    /// The fence row of a user, if there is one.
    #[must_use]
    pub fn fence(&self, set: &str, user: &str) -> Option<FenceState> {
        let server = locked(&self.shared.server);
        let stamp = FenceStamp { set, register: "", epoch: Epoch(0), generation: dizzy_engine::Generation(0) };
        server.rows.get(&RowKey::of(stamp, user)).cloned()
    }

    /// Wrong logins since the last right one.
    #[must_use]
    pub fn wrong_logins(&self, user: &str) -> u32 {
        locked(&self.shared.server).users.get(user).map_or(0, |state| state.wrong)
    }

    /// Locks an account after this many wrong logins in a row.
    pub fn lock_after(&self, wrong_logins: u32) {
        locked(&self.shared.server).lock_after = Some(wrong_logins);
    }

    /// Refuses every login of `user` with this kind (`Locked`, `Expired`, ...); `None` takes it back.
    pub fn refuse_logins(&self, user: &str, kind: Option<Kind>) {
        if let Some(state) = locked(&self.shared.server).users.get_mut(user) {
            state.refused_as = kind;
        }
    }

    /// Says what the server thinks of passwords that are to be set.
    pub fn judge_passwords(&self, rule: PasswordRule) {
        locked(&self.shared.server).rule = rule;
    }

    /// Says what an inspection tells about the ends of passwords' lives: per user in milliseconds since 1970, and that of a new password.
    pub fn tell_expiries(&self, expiries: &[(&str, i64)], life: Option<Duration>) {
        let mut server = locked(&self.shared.server);
        server.expiries = expiries.iter().map(|(user, at)| ((*user).to_owned(), *at)).collect();
        server.life = life;
    }

    /// Says how many sessions applications hold as `user`.
    pub fn hold_sessions(&self, user: &str, count: u32) {
        if let Some(state) = locked(&self.shared.server).users.get_mut(user) {
            state.application_sessions = count;
        }
    }

    /// Changes a password behind everybody's back, as an administrator could.
    pub fn change_by_hand(&self, user: &str, password: &Password) {
        locked(&self.shared.server).set_password(user, password);
    }

    /// Ends the user's rollover window; only the newest password stays.
    pub fn end_window(&self, user: &str) {
        locked(&self.shared.server).end_window(user);
    }

    /// Logs in and sends a change, whose execution is up to [`Submitted::execute`]: the request that outlives its sender.
    ///
    /// # Errors
    /// If the login is refused.
    pub fn submit(&self, change: &Change<'_>) -> PortResult<Submitted> {
        let request = Request::of(change);
        locked(&self.shared.server).log_in(&request.key.user, &request.old)?;
        Ok(Submitted { shared: Arc::clone(&self.shared), request })
    }

    fn log_in(&self, login: Login<'_>, deadline: Deadline) -> PortResult<()> {
        in_time(deadline, &format!("{}: log in as {}", self.name, login.user))?;
        locked(&self.shared.server).log_in(login.user, login.password)
    }

    fn open(&self, key: &RowKey, password: &Password, epoch: Epoch, deadline: Deadline) -> PortResult<Session> {
        in_time(deadline, &format!("{}: connect", self.name))?;
        let id = locked(&self.shared.server).open_session(key, password, epoch)?;
        self.shared.released.notify_waiters();
        Ok(Session { shared: Arc::clone(&self.shared), id })
    }

    fn no_fence(&self) -> PortError {
        PortError::refused(Kind::Other, format!("{}: this database has no row fence", self.name))
    }

    fn steps(&self, server: &Server, users: &[&str], stamp: FenceStamp<'_>) -> Vec<PrepareStep> {
        if server.capability == Capability::StatementCas {
            return Vec::new();
        }
        users
            .iter()
            .map(|user| PrepareStep {
                why: format!("fence row of {user}"),
                sql: format!("-- {}: row ({}, {user}) for register {}", self.name, stamp.set, stamp.register),
                automatic: true,
                done: server.rows.contains_key(&RowKey::of(stamp, user)),
            })
            .collect()
    }
}

/// A request that the server has not executed yet.
pub struct Submitted {
    shared: Arc<Shared>,
    request: Request,
}

impl Submitted {
    /// Executes the request, whatever has happened to its sender since.
    ///
    /// # Errors
    /// What the server would have answered, had anybody listened.
    pub fn execute(self) -> PortResult<()> {
        locked(&self.shared.server).change(&self.request)
    }
}

/// An open session; ends when dropped.
struct Session {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        locked(&self.shared.server).close_session(self.id);
        self.shared.released.notify_waiters();
    }
}

impl Session {
    /// Runs `work` as soon as no other transaction holds the row.
    async fn with_row<T>(
        &self,
        key: &RowKey,
        deadline: Deadline,
        mut work: impl FnMut(&mut Server) -> PortResult<T>,
    ) -> PortResult<T> {
        loop {
            let released = self.shared.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            {
                let mut server = locked(&self.shared.server);
                if !server.is_open(self.id) {
                    return Err(ended(&server.name));
                }
                if server.row_locks.get(key).is_none_or(|holder| *holder == self.id) {
                    return work(&mut server);
                }
            }
            if tokio::time::timeout_at(deadline.instant(), released).await.is_err() {
                let server = locked(&self.shared.server);
                return Err(server
                    .refused(Kind::Timeout, "another transaction holds the fence row")
                    .with_code("55P03"));
            }
        }
    }
}

fn ended(name: &str) -> PortError {
    PortError::unknown(Kind::Unreachable, format!("{name}: the session was ended by a newer worker")).with_code("57P01")
}

fn fresh_row(register: &str) -> FenceState {
    FenceState { epoch: Epoch(0), generation: None, register: register.to_owned() }
}

#[async_trait]
impl Database for MemoryDatabase {
    fn name(&self) -> &str {
        &self.name
    }

    fn capability(&self) -> Capability {
        locked(&self.shared.server).capability
    }

    fn wrong_logins_allowed(&self) -> Option<u32> {
        locked(&self.shared.server).lock_after.map(|lock| lock.saturating_sub(1).min(OUR_WRONG_LOGINS))
    }

    async fn login(&self, login: Login<'_>, _stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        self.log_in(login, deadline)
    }

    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection> {
        self.log_in(login, deadline)?;
        let server = locked(&self.shared.server);
        let mut inspection = Inspection {
            server_version: Some("1.0".to_owned()),
            rollover: server.rollover(login.user),
            expiries: server.expiries.clone(),
            password_life: server.life,
            cannot_restore: server.refuses_reuse().then(|| "the server takes no password twice".to_owned()),
            ..Inspection::default()
        };
        for user in users {
            match server.rows.get(&RowKey::of(stamp, user)) {
                Some(row) => inspection.fences.push(((*user).to_owned(), row.clone())),
                None if server.capability == Capability::StatementCas => {}
                None => inspection.findings.push(Finding {
                    severity: Severity::Error,
                    kind: Kind::FenceMissing,
                    what: format!("{}: {user} has no fence row", self.name),
                    hint: Some("run dizzy-keys prepare".to_owned()),
                    mend: Some(Mend::Prepare { sql: None }),
                }),
            }
        }
        Ok(inspection)
    }

    async fn sessions(
        &self,
        login: Login<'_>,
        user: &str,
        _stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Sessions> {
        self.log_in(login, deadline)?;
        let count = locked(&self.shared.server).users.get(user).map_or(0, |state| state.application_sessions);
        Ok(Sessions::Counted {
            count,
            clients: (0..count.min(10)).map(|n| format!("application {n} at memory")).collect(),
        })
    }

    async fn apply(&self, change: Change<'_>, deadline: Deadline) -> PortResult<()> {
        let request = Request::of(&change);
        let session = self.open(&request.key, &request.old, request.epoch, deadline)?;
        session.with_row(&request.key, deadline, |server| server.change(&request)).await
    }

    async fn vote(&self, change: Change<'_>, deadline: Deadline) -> PortResult<Box<dyn Vote>> {
        if self.capability() != Capability::RowFence {
            return Err(self.no_fence());
        }
        let request = Request::of(&change);
        let session = self.open(&request.key, &request.old, request.epoch, deadline)?;
        session
            .with_row(&request.key, deadline, |server| {
                server.judge(&request)?;
                server.row_locks.insert(request.key.clone(), session.id);
                Ok(())
            })
            .await?;
        Ok(Box::new(MemoryVote { session, request }))
    }

    async fn burn(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<FenceState> {
        if self.capability() != Capability::RowFence {
            return Err(self.no_fence());
        }
        let key = RowKey::of(stamp, login.user);
        let session = self.open(&key, login.password, stamp.epoch, deadline)?;
        session.with_row(&key, deadline, |server| server.burn(&key, stamp.register, stamp.epoch)).await
    }

    async fn end_window(&self, login: Login<'_>, _stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        self.log_in(login, deadline)?;
        let mut server = locked(&self.shared.server);
        if !server.rollover(login.user).is_some_and(|rollover| rollover.can_end) {
            return Err(server.refused(Kind::Other, "there is nothing that ends a window"));
        }
        server.end_window(login.user);
        Ok(())
    }

    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: Duration,
        _stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32> {
        self.log_in(login, deadline)?;
        let mut server = locked(&self.shared.server);
        let may =
            server.admins.contains(login.user) || (login.user == user && server.capability == Capability::RowFence);
        if !may {
            return Err(server
                .refused(Kind::Denied, &format!("end the sessions of {user}"))
                .with_hint(format!("-- end the sessions of {user}")));
        }
        if age > SESSION_AGE {
            return Ok(0);
        }
        Ok(server.users.get_mut(user).map_or(0, |state| core::mem::take(&mut state.application_sessions)))
    }

    async fn prepare_plan(
        &self,
        admin: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        self.log_in(admin, deadline)?;
        let server = locked(&self.shared.server);
        Ok(self.steps(&server, users, stamp))
    }

    fn prepare_sql(&self, users: &[&str], stamp: FenceStamp<'_>) -> Vec<PrepareStep> {
        let server = locked(&self.shared.server);
        self.steps(&server, users, stamp).into_iter().map(|step| PrepareStep { done: false, ..step }).collect()
    }

    async fn prepare(
        &self,
        admin: Login<'_>,
        users: &[&str],
        second: Option<Login<'_>>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>> {
        self.log_in(admin, deadline)?;
        let mut server = locked(&self.shared.server);
        if !server.admins.contains(admin.user) {
            return Err(server.refused(Kind::Denied, "prepare needs an administrator"));
        }
        if server.capability == Capability::RowFence {
            for user in users {
                let row = server.rows.entry(RowKey::of(stamp, user)).or_insert_with(|| fresh_row(stamp.register));
                if row.register != stamp.register {
                    return Err(server.refused(Kind::ForeignRegister, "the fence row belongs to another register"));
                }
            }
        }
        if let Some(second) = second {
            server.set_password(second.user, second.password);
        }
        Ok(self.steps(&server, users, stamp))
    }

    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        self.log_in(admin, deadline)?;
        let mut server = locked(&self.shared.server);
        if !server.admins.contains(admin.user) {
            return Err(server.refused(Kind::Denied, "set a password: only an administrator may"));
        }
        server.set_password_fenced(&RowKey::of(stamp, user.user), stamp, user.password)
    }
}

/// An open transaction: the row is locked, nothing is visible.
struct MemoryVote {
    session: Session,
    request: Request,
}

#[async_trait]
impl Vote for MemoryVote {
    async fn commit(self: Box<Self>, deadline: Deadline) -> PortResult<()> {
        in_time(deadline, "commit")?;
        let mut server = locked(&self.session.shared.server);
        if !server.is_open(self.session.id) {
            return Err(ended(&server.name));
        }
        server.change(&self.request)
    }
}
