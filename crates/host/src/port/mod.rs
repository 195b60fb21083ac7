//! The ports: what the driver needs from the world, and what every adapter promises in return.
//!
//! One rule holds for all of them: a call ends as *applied* (`Ok`), *refused* (an error with
//! [`Certainty::Refused`]: nothing was changed and nothing will be) or *unknown*
//! ([`Certainty::Unknown`]: the change may have happened, or may still happen). An adapter that cannot tell says unknown.
//! Every call takes a [`Deadline`] and returns by then; a call cut off by it is unknown if it may have changed something.

mod clock;
mod database;
mod journal;
mod mend;
mod objects;
mod receiver;
mod reference;
mod store;

use core::fmt;
use core::time::Duration;

pub use clock::{Clock, Randomness, SystemClock, SystemRandomness};
pub use database::{
    Change, ChangeKind, Database, FenceStamp, FenceState, Finding, Inspection, Login, PrepareStep, Rollover, Sessions,
    Severity, Vote,
};
pub use journal::{Journal, Stored, Tag};
pub use mend::{Cloud, Mend, shell_word};
pub use objects::{
    Etag, MAX_NAME, MAX_PREFIX, Object, ObjectEntry, ObjectPage, ObjectStore, ObjectVersion, PAGE, VersionKind,
    VersionMark, VersionPage, Versions, Written, check_name,
};
pub use receiver::Receiver;
pub use reference::SecretReader;
pub use store::{Labels, SecretStore, StoredVersion, VersionId, VersionName};

/// The latest moment at which a call must have returned.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(tokio::time::Instant);

impl Deadline {
    /// A deadline this far from now.
    #[must_use]
    pub fn after(span: Duration) -> Self {
        Self(tokio::time::Instant::now() + span)
    }

    /// The earlier of this deadline and one `span` from now.
    #[must_use]
    pub fn at_most(self, span: Duration) -> Self {
        Self(self.0.min(tokio::time::Instant::now() + span))
    }

    /// The instant, for `tokio::time::timeout_at`.
    #[must_use]
    pub const fn instant(self) -> tokio::time::Instant {
        self.0
    }

    /// Time left; zero when it has passed.
    #[must_use]
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }
}

/// What an error says about the world.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Certainty {
    /// Nothing was changed, and nothing of this call will still happen.
    Refused,
    /// The change may have been made, or may still be made.
    Unknown,
}

/// Why a call failed, in the words that the engine and the error pages share.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// The user name or password was refused (PostgreSQL 28P01, Oracle ORA-01017). The only kind that speaks about a password.
    Credential,
    /// The account is locked.
    Locked,
    /// The password or the role has expired (PostgreSQL `VALID UNTIL`, Oracle ORA-28001).
    Expired,
    /// The account is valid but lacks a right.
    Denied,
    /// The new password was refused by the server's rules.
    Policy,
    /// A newer epoch or generation was there before us.
    Fenced,
    /// The fence (schema, table, function) is missing, damaged or belongs to another register.
    FenceMissing,
    /// The fence, register or version name belongs to another installation.
    ForeignRegister,
    /// The server is a standby or read-only.
    ReadOnly,
    /// Compare-and-swap found another value than expected.
    Conflict,
    /// What is published is not what the register records.
    Drift,
    /// The secret, version, object or parameter does not exist.
    NotFound,
    /// It exists already, with other content.
    Exists,
    /// What was read cannot be understood.
    Malformed,
    /// TLS: the certificate is not trusted, expired, or for another name, or the server offers no TLS.
    Tls,
    /// No connection, or the connection broke.
    Unreachable,
    /// The deadline passed.
    Timeout,
    /// The service asked us to slow down.
    Throttled,
    /// The server is full, starting or stopping.
    Busy,
    /// Disk full, folder read-only, input/output error.
    Io,
    /// Written by a newer version of dizzy-keys.
    NewerVersion,
    /// The thing is managed by somebody else (for example an RDS-managed secret).
    Managed,
    /// Anything else; the code tells more.
    Other,
}

impl Kind {
    /// The kind in a few words, for behind "what was attempted:".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Busy => "it is busy",
            Self::Conflict => "it has changed meanwhile",
            Self::Drift => "it is not what the register records",
            Self::Credential => "the password is wrong",
            Self::Denied => "not allowed",
            Self::Exists => "it exists with other content",
            Self::Expired => "it has expired",
            Self::FenceMissing => "the fence is missing",
            Self::Fenced => "a newer worker was there first",
            Self::ForeignRegister => "it belongs to another installation",
            Self::Io => "input/output error",
            Self::Locked => "it is locked",
            Self::Malformed => "it cannot be understood",
            Self::Managed => "another service manages it",
            Self::NewerVersion => "a newer dizzy-keys wrote it",
            Self::NotFound => "it does not exist",
            Self::Other => "it failed",
            Self::Policy => "the value is not acceptable",
            Self::ReadOnly => "it is read-only",
            Self::Throttled => "too many requests",
            Self::Timeout => "no answer in time",
            Self::Tls => "TLS cannot be verified",
            Self::Unreachable => "no connection",
        }
    }
}

/// A failed call: what it says about the world, why, and what a person may do.
///
/// Holds no text from a driver or server, because such text can echo SQL or values: only a kind, the
/// other side's error code, and sentences written by us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortError {
    /// What is true now.
    pub certainty: Certainty,
    /// Why.
    pub kind: Kind,
    /// The other side's own code: SQLSTATE, AWS error code, HTTP status, errno name.
    pub code: Option<String>,
    /// What was attempted and, behind a colon, why it failed; or what is wrong. In our words, with names but without
    /// secrets; starts lower-case, no full stop.
    pub what: String,
    /// What to do next (a statement to run, a setting to change), in our words.
    pub hint: Option<String>,
    /// The same as text that can be carried out as it is, where there is one.
    pub mend: Option<Mend>,
}

impl PortError {
    /// An error after which nothing was changed.
    pub fn refused(kind: Kind, what: impl Into<String>) -> Self {
        Self { certainty: Certainty::Refused, kind, code: None, what: what.into(), hint: None, mend: None }
    }

    /// An error after which the change may have been made.
    pub fn unknown(kind: Kind, what: impl Into<String>) -> Self {
        Self { certainty: Certainty::Unknown, kind, code: None, what: what.into(), hint: None, mend: None }
    }

    /// Adds the other side's own error code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what mends it.
    #[must_use]
    pub fn with_mend(mut self, mend: Mend) -> Self {
        self.mend = Some(mend);
        self
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for PortError {}

/// What a port call returns.
pub type PortResult<T> = Result<T, PortError>;
