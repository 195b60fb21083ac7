//! The database port: log in, change a password under the fence, vote, burn, inspect, prepare.
//!
//! One value of this trait is one configured database (an account pair on one server). Adapters open a fresh
//! connection for every call, except [`Vote`], which holds one. Every connection verifies TLS (chain and host name); there is no other way.

use core::time::Duration;

use async_trait::async_trait;
use dizzy_engine::{Capability, Epoch, Generation};

use super::{Deadline, Kind, Mend, PortError, PortResult};
use crate::secret::Password;

/// Who logs in, with what.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// The database user.
    pub user: &'a str,
    /// Its password.
    pub password: &'a Password,
}

/// What a fenced change carries, and what the server is told about who is calling.
#[derive(Clone, Copy, Debug)]
pub struct FenceStamp<'a> {
    /// Name of the rotation set.
    pub set: &'a str,
    /// The register's random id.
    pub register: &'a str,
    /// Our epoch.
    pub epoch: Epoch,
    /// The generation this session works for.
    pub generation: Generation,
}

/// Which fence predicate a change is held to (rulings §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// The user is idle: the row advances if `epoch <= e` and `gen <= g`.
    Alternating,
    /// The user is published (`single`, `rollover`): the row moves if `epoch <= e` and `gen` is `from` or `g`.
    Single {
        /// The generation that the user must be on, or already on the new one.
        from: Generation,
    },
}

/// A password change by the user itself.
#[derive(Clone, Copy)]
pub struct Change<'a> {
    /// The user, with the password it has now.
    pub login: Login<'a>,
    /// The password to set.
    pub new: &'a Password,
    /// Epoch and generation; `stamp.generation` is the generation of `new`.
    pub stamp: FenceStamp<'a>,
    /// The predicate.
    pub kind: ChangeKind,
}

/// The fence row of one user of one set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FenceState {
    /// Highest epoch seen.
    pub epoch: Epoch,
    /// Generation of the password, as changed by dizzy-keys; `None` before the first fenced change.
    pub generation: Option<Generation>,
    /// Id of the register that owns the row.
    pub register: String,
}

/// How much a finding of [`Database::inspect`] matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// For information.
    Note,
    /// A rotation works, but something will need attention.
    Warning,
    /// A rotation would fail or would not be safe.
    Error,
}

/// One thing that `check` reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What a rotation would be refused for, if this is an [`Severity::Error`].
    pub kind: Kind,
    /// What was found, in our words, without secrets.
    pub what: String,
    /// What to do, for example the statement that mends it.
    pub hint: Option<String>,
    /// The same as text that can be carried out as it is, where there is one.
    pub mend: Option<Mend>,
}

/// What an inspection saw, without changing anything.
#[derive(Clone, Debug, Default)]
pub struct Inspection {
    /// Everything worth telling; an [`Severity::Error`] stops a rotation before it starts.
    pub findings: Vec<Finding>,
    /// Server version as the server tells it, digits and dots only.
    pub server_version: Option<String>,
    /// Fence rows of the users asked about that exist, by user name.
    pub fences: Vec<(String, FenceState)>,
    /// When the users' passwords expire on the server, by user name, in milliseconds since 1970.
    pub expiries: Vec<(String, i64)>,
    /// Gradual password rollover of the user that logged in; `None` if the server does not offer it to this user.
    pub rollover: Option<Rollover>,
    /// Why the server would not take back the password that it has now (reuse rules), in our words; `None`: it would.
    pub cannot_restore: Option<String>,
    /// How long the server lets the users' passwords live; `None`: for ever, or not known.
    pub password_life: Option<Duration>,
}

/// Gradual password rollover, as the server has it for one user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rollover {
    /// How long the old and the new password both stay valid after a change; never zero.
    pub length: Duration,
    /// Whether a window is open: two passwords are valid at this moment.
    pub open: bool,
    /// Whether [`Database::end_window`] can work: what `prepare` installs for it is there and may be used.
    pub can_end: bool,
}

/// Sessions of a user that are not ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Sessions {
    /// The server does not let us see.
    Unknown,
    /// Number of sessions, and who they are: application name and client address, at most ten.
    Counted {
        /// How many.
        count: u32,
        /// "name at address" for the first ten.
        clients: Vec<String>,
    },
}

/// One statement that `prepare` would run, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PrepareStep {
    /// What it is for; one line.
    pub why: String,
    /// The SQL, without any password (a password is shown as a SCRAM verifier placeholder).
    pub sql: String,
    /// False if `prepare` only proposes it and never runs it (ownership of an existing schema).
    pub automatic: bool,
    /// True if the database already is as the statement would make it.
    pub done: bool,
}

/// A database of a rotation set.
#[async_trait]
pub trait Database: Send + Sync {
    /// Name in the configuration; used in messages, logs and the audit trail.
    fn name(&self) -> &str;

    /// What the database can check (rulings §2.1).
    fn capability(&self) -> Capability;

    /// How many wrong logins in a row this program may cause for one user; `None` if the server does not lock accounts.
    fn wrong_logins_allowed(&self) -> Option<u32> {
        None
    }

    /// What can be said without a connection, for when there is none to be had: when a wallet expires. [`inspect`](Self::inspect)
    /// says it as well.
    fn known(&self) -> Vec<Finding> {
        Vec::new()
    }

    /// Logs in on a fresh connection and runs one permission check. Changes nothing, so every error but
    /// [`Kind::Credential`](super::Kind::Credential) means "cannot tell" whatever its certainty.
    ///
    /// # Errors
    /// `Credential` only if the server said that the password is wrong. Of a server that locks accounts, `Unknown` if the password may
    /// have been judged, `Refused` if it certainly was not (no connection, no TLS).
    async fn login(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()>;

    /// Logs in and looks, without changing anything: writer, fence, rights, expiry, versions.
    ///
    /// # Errors
    /// Only if the look itself was impossible; what is wrong with the database is in the findings.
    async fn inspect(
        &self,
        login: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Inspection>;

    /// Sessions of `user` other than those of this set's own workers.
    ///
    /// # Errors
    /// Only if the question could not be asked; "not allowed to see" is [`Sessions::Unknown`].
    async fn sessions(
        &self,
        login: Login<'_>,
        user: &str,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Sessions>;

    /// Changes the user's own password, in one atomic step with the fence where there is one.
    /// Idempotent under the same stamp: changing to the password that the user has already is applied.
    /// Ends older sessions of this set's workers for the same user first.
    ///
    /// # Errors
    /// `Refused` if nothing was and nothing will be changed; a connection that broke after the change was sent is `Unknown`.
    async fn apply(&self, change: Change<'_>, deadline: Deadline) -> PortResult<()>;

    /// Prepares the change of [`apply`](Self::apply) in an open transaction: what can be refused is refused here, and nothing
    /// is visible until [`Vote::commit`]. Dropping the vote takes it back. Only for databases with a row fence.
    ///
    /// # Errors
    /// As `apply`; never unknown in effect, since an open transaction that is cut off is rolled back by the server.
    async fn vote(&self, change: Change<'_>, deadline: Deadline) -> PortResult<Box<dyn Vote>>;

    /// Raises the epoch in the user's fence row, so that older requests are refused for good, and returns the row.
    /// `login` must be right; ends older sessions of this set's workers for the same user first. Idempotent.
    ///
    /// # Errors
    /// `Fenced` if a newer epoch is there already.
    async fn burn(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<FenceState>;

    /// Ends the rollover window of `login`'s user: from then on only the newest password is valid. Idempotent; applied too if no
    /// window is open.
    ///
    /// # Errors
    /// `Refused` if nothing was ended, for databases without windows always; a connection that broke after the request was
    /// sent is `Unknown`.
    async fn end_window(&self, login: Login<'_>, stamp: FenceStamp<'_>, deadline: Deadline) -> PortResult<()> {
        let _ = (login, stamp, deadline);
        Err(PortError::refused(Kind::Other, format!("{}: this database has no rollover windows", self.name())))
    }

    /// Ends the sessions of `user` that are at least `age` old, ours excepted, and waits until they are gone. Idempotent. `login` is the
    /// user itself, or an administrator.
    ///
    /// # Errors
    /// `Denied` if this login may not end them, with the statement for somebody who may as the hint; `Busy` if one is not gone by the
    /// deadline.
    async fn end_sessions(
        &self,
        login: Login<'_>,
        user: &str,
        age: Duration,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<u32>;

    /// What `prepare` would do with the given administrator login; reads only.
    ///
    /// # Errors
    /// If the server cannot be asked.
    async fn prepare_plan(
        &self,
        admin: Login<'_>,
        users: &[&str],
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>>;

    /// The whole of [`prepare_plan`](Self::prepare_plan) for a person to run, without asking the server.
    fn prepare_sql(&self, users: &[&str], stamp: FenceStamp<'_>) -> Vec<PrepareStep>;

    /// Runs the automatic steps that are not done yet; idempotent. `second`, if given, is the second user with the
    /// password it is to have (created if absent; its password is set only by this call).
    ///
    /// # Errors
    /// `Unknown` if the connection broke while changes were under way; calling again is safe.
    async fn prepare(
        &self,
        admin: Login<'_>,
        users: &[&str],
        second: Option<Login<'_>>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<Vec<PrepareStep>>;

    /// Sets the password of an existing user as an administrator, whatever it was: the last resort when nobody knows it. Under the fence
    /// where there is one: the row takes the stamp's epoch and generation, so that everything older is refused from then on. Idempotent.
    ///
    /// # Errors
    /// `Fenced` if the row shows a newer epoch or generation. `Unknown` if the connection broke before the server's answer.
    async fn set_password(
        &self,
        admin: Login<'_>,
        user: Login<'_>,
        stamp: FenceStamp<'_>,
        deadline: Deadline,
    ) -> PortResult<()> {
        let _ = (admin, user, stamp, deadline);
        Err(PortError::refused(Kind::Other, format!("{}: no administrator can set a password here", self.name())))
    }
}

/// An open transaction that holds a change which was accepted but is not yet visible.
#[async_trait]
pub trait Vote: Send {
    /// Commits.
    ///
    /// # Errors
    /// `Unknown` if the connection broke before the server's answer.
    async fn commit(self: Box<Self>, deadline: Deadline) -> PortResult<()>;
}
