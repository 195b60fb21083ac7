//! The rules of a database server: who may log in, what the fence allows, which passwords stay valid.
//!
//! Plain state and synchronous functions; sessions, waiting and deadlines are the adapter's. The rules are those of rulings
//! §2-4 and of the two vendors' documentation: a fence row that changes with the password, or the old password checked at
//! execution; one valid password, or two in a rollover window.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use dizzy_engine::{Capability, Epoch, Generation};

use crate::{
    port::{Change, ChangeKind, FenceStamp, FenceState, Kind, PortError, PortResult, Rollover},
    secret::Password,
};

/// Which passwords log in after a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Acceptance {
    /// The newest only.
    Newest,
    /// The newest and the first of the window, until the window is ended. A change within the window drops the middle one
    /// (Oracle gradual rollover).
    Rollover,
    /// The same, and the user may end its window.
    RolloverThatEnds,
}

/// How long a window would last, if it were not ended: it never is by time here, so that no test depends on it.
const WINDOW: Duration = Duration::from_secs(3600);

/// What the server thinks of passwords that are to be set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PasswordRule {
    /// All are good.
    AcceptAll,
    /// None is good.
    RefuseAll,
    /// None that the user has had before.
    RefuseReuse,
}

/// A change that has left the caller: its own copy of everything.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) key: RowKey,
    pub(super) old: Password,
    pub(super) new: Password,
    register: String,
    pub(super) epoch: Epoch,
    generation: Generation,
    kind: ChangeKind,
}

/// A fence row's key: set, user.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct RowKey {
    pub(super) set: String,
    pub(super) user: String,
}

impl RowKey {
    pub(super) fn of(stamp: FenceStamp<'_>, user: &str) -> Self {
        Self { set: stamp.set.to_owned(), user: user.to_owned() }
    }
}

impl Request {
    pub(super) fn of(change: &Change<'_>) -> Self {
        Self {
            key: RowKey::of(change.stamp, change.login.user),
            old: change.login.password.clone(),
            new: change.new.clone(),
            register: change.stamp.register.to_owned(),
            epoch: change.stamp.epoch,
            generation: change.stamp.generation,
            kind: change.kind,
        }
    }
}

pub(super) struct User {
    /// First of the window, then the newest; one outside a window.
    pub(super) valid: Vec<Password>,
    /// Every password that it has had.
    had: Vec<Password>,
    pub(super) wrong: u32,
    pub(super) refused_as: Option<Kind>,
    pub(super) application_sessions: u32,
}

pub(super) struct Server {
    pub(super) name: String,
    pub(super) capability: Capability,
    acceptance: Acceptance,
    pub(super) rule: PasswordRule,
    pub(super) expiries: Vec<(String, i64)>,
    pub(super) life: Option<Duration>,
    pub(super) lock_after: Option<u32>,
    pub(super) users: BTreeMap<String, User>,
    pub(super) admins: BTreeSet<String>,
    pub(super) rows: BTreeMap<RowKey, FenceState>,
    /// Rows held by an open transaction, by session.
    pub(super) row_locks: BTreeMap<RowKey, u64>,
    /// Open sessions of workers.
    sessions: BTreeMap<u64, (RowKey, Epoch)>,
    last_session: u64,
}

impl Server {
    pub(super) fn new(name: &str, capability: Capability, acceptance: Acceptance) -> Self {
        Self {
            name: name.to_owned(),
            capability,
            acceptance,
            rule: PasswordRule::AcceptAll,
            expiries: Vec::new(),
            life: None,
            lock_after: None,
            users: BTreeMap::new(),
            admins: BTreeSet::new(),
            rows: BTreeMap::new(),
            row_locks: BTreeMap::new(),
            sessions: BTreeMap::new(),
            last_session: 0,
        }
    }

    pub(super) fn refused(&self, kind: Kind, what: &str) -> PortError {
        PortError::refused(kind, format!("{}: {what}", self.name))
    }

    pub(super) fn add_user(&mut self, user: &str, password: Password) {
        let user_state = User {
            valid: vec![password.clone()],
            had: vec![password],
            wrong: 0,
            refused_as: None,
            application_sessions: 0,
        };
        self.users.insert(user.to_owned(), user_state);
    }

    pub(super) fn accepts(&self, user: &str, password: &Password) -> bool {
        self.users.get(user).is_some_and(|state| state.refused_as.is_none() && state.valid.contains(password))
    }

    /// A login attempt, with its consequences.
    pub(super) fn log_in(&mut self, user: &str, password: &Password) -> PortResult<()> {
        let (name, limit) = (self.name.clone(), self.lock_after);
        let wrong = || PortError::refused(Kind::Credential, format!("{name}: log in as {user}")).with_code("28P01");
        let Some(state) = self.users.get_mut(user) else { return Err(wrong()) };
        if let Some(kind) = state.refused_as {
            return Err(PortError::refused(kind, format!("{name}: log in as {user}")));
        }
        if state.valid.contains(password) {
            state.wrong = 0;
            return Ok(());
        }
        state.wrong += 1;
        if limit.is_some_and(|limit| state.wrong >= limit) {
            state.refused_as = Some(Kind::Locked);
        }
        Err(wrong())
    }

    /// Opens a worker's session; older workers' sessions of the same user end.
    pub(super) fn open_session(&mut self, key: &RowKey, password: &Password, epoch: Epoch) -> PortResult<u64> {
        self.log_in(&key.user, password)?;
        let ended: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, (other, theirs))| other == key && *theirs < epoch)
            .map(|(session, _)| *session)
            .collect();
        for session in ended {
            self.close_session(session);
        }
        self.last_session += 1;
        self.sessions.insert(self.last_session, (key.clone(), epoch));
        Ok(self.last_session)
    }

    pub(super) fn is_open(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Ends a session; an open transaction of it is rolled back.
    pub(super) fn close_session(&mut self, session: u64) {
        self.sessions.remove(&session);
        self.row_locks.retain(|_, holder| *holder != session);
    }

    /// Whether the fence, the old password and the password rule let the request through.
    pub(super) fn judge(&self, request: &Request) -> PortResult<()> {
        if self.rule == PasswordRule::RefuseAll && !self.is_newest(&request.key.user, &request.new) {
            return Err(self.refused(Kind::Policy, "the server refuses the new password"));
        }
        let had = self.users.get(&request.key.user).is_some_and(|state| state.had.contains(&request.new));
        if self.refuses_reuse() && had && !self.is_newest(&request.key.user, &request.new) {
            return Err(self.refused(Kind::Policy, "the user has had this password before"));
        }
        match self.capability {
            Capability::StatementCas if self.accepts(&request.key.user, &request.old) => Ok(()),
            Capability::StatementCas => Err(self.refused(Kind::Credential, "the old password is wrong at execution")),
            Capability::RowFence => {
                let row = self.own_row(&request.key, &request.register, request.epoch)?;
                let allowed = match (request.kind, row.generation) {
                    (_, None) => true,
                    (ChangeKind::Alternating, Some(at)) => at <= request.generation,
                    (ChangeKind::Single { from }, Some(at)) => at == from || at == request.generation,
                };
                if allowed { Ok(()) } else { Err(self.refused(Kind::Fenced, "another generation is there")) }
            }
        }
    }

    /// The row, if it is there, ours, and no newer epoch has touched it.
    fn own_row(&self, key: &RowKey, register: &str, epoch: Epoch) -> PortResult<&FenceState> {
        let Some(row) = self.rows.get(key) else {
            return Err(self.refused(Kind::FenceMissing, "there is no fence row").with_hint("run dizzy-keys prepare"));
        };
        if row.register != register {
            return Err(self.refused(Kind::ForeignRegister, "the fence row belongs to another register"));
        }
        if row.epoch > epoch {
            return Err(self.refused(Kind::Fenced, "a newer epoch was there"));
        }
        Ok(row)
    }

    /// Judges and, in the same step, changes.
    pub(super) fn change(&mut self, request: &Request) -> PortResult<()> {
        self.judge(request)?;
        if let Some(row) = self.rows.get_mut(&request.key) {
            row.epoch = request.epoch;
            row.generation = Some(request.generation);
        }
        let rollover = self.acceptance != Acceptance::Newest;
        if let Some(state) = self.users.get_mut(&request.key.user) {
            let first = state.valid.first().filter(|first| rollover && **first != request.new).cloned();
            state.valid = first.into_iter().chain([request.new.clone()]).collect();
            state.had.push(request.new.clone());
        }
        Ok(())
    }

    pub(super) fn burn(&mut self, key: &RowKey, register: &str, epoch: Epoch) -> PortResult<FenceState> {
        let mut row = self.own_row(key, register, epoch)?.clone();
        row.epoch = epoch;
        self.rows.insert(key.clone(), row.clone());
        Ok(row)
    }

    pub(super) fn set_password(&mut self, user: &str, password: &Password) {
        match self.users.get_mut(user) {
            Some(state) => state.valid = vec![password.clone()],
            None => self.add_user(user, password.clone()),
        }
    }

    /// The same by an administrator, under the fence where there is one.
    pub(super) fn set_password_fenced(
        &mut self,
        key: &RowKey,
        stamp: FenceStamp<'_>,
        password: &Password,
    ) -> PortResult<()> {
        if self.capability == Capability::RowFence {
            let mut row = self.own_row(key, stamp.register, stamp.epoch)?.clone();
            if row.generation.is_some_and(|generation| generation > stamp.generation) {
                return Err(self.refused(Kind::Fenced, "a newer generation is there"));
            }
            (row.epoch, row.generation) = (stamp.epoch, Some(stamp.generation));
            self.rows.insert(key.clone(), row);
        }
        self.set_password(&key.user, password);
        Ok(())
    }

    /// Ends the user's rollover window: only the newest password stays.
    pub(super) fn end_window(&mut self, user: &str) {
        if let Some(state) = self.users.get_mut(user) {
            state.valid.drain(..state.valid.len().saturating_sub(1));
        }
    }

    pub(super) fn refuses_reuse(&self) -> bool {
        self.rule == PasswordRule::RefuseReuse
    }

    pub(super) fn rollover(&self, user: &str) -> Option<Rollover> {
        let can_end = match self.acceptance {
            Acceptance::Newest => return None,
            Acceptance::Rollover => false,
            Acceptance::RolloverThatEnds => true,
        };
        let open = self.users.get(user).is_some_and(|state| state.valid.len() > 1);
        Some(Rollover { length: WINDOW, open, can_end })
    }

    fn is_newest(&self, user: &str, password: &Password) -> bool {
        self.users.get(user).and_then(|state| state.valid.last()) == Some(password)
    }
}
