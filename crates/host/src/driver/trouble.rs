//! What went wrong in a run, kept for the person who reads the report: which target, what was attempted, which answer.

use core::fmt;

use dizzy_engine::{Outcome, Reason};

use crate::port::{Certainty, Kind, PortError};

/// What a call was about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Target {
    /// The audit trail.
    Audit,
    /// A database, by its name in the configuration.
    Database(String),
    /// The journal register.
    Journal,
    /// A secret, by its reference.
    Secret(String),
    /// The set as a whole.
    Set,
}

impl Target {
    /// The name in the configuration; the part of the program where there is none.
    pub(super) fn into_name(self) -> String {
        match self {
            Self::Database(name) | Self::Secret(name) => name,
            Self::Audit | Self::Journal | Self::Set => self.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audit => f.write_str("audit trail"),
            Self::Database(name) => write!(f, "database {name}"),
            Self::Journal => f.write_str("journal register"),
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::Set => f.write_str("rotation set"),
        }
    }
}

/// A call that did not simply work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// What it was about.
    pub target: Target,
    /// What the port said.
    pub error: PortError,
}

/// What an error means to the engine.
pub(super) fn outcome_of(error: &PortError) -> Outcome {
    if error.certainty == Certainty::Unknown {
        return Outcome::Unknown;
    }
    Outcome::Refused(match error.kind {
        Kind::Credential => Reason::Credential,
        Kind::Fenced => Reason::Fenced,
        Kind::Conflict => Reason::Conflict,
        Kind::Drift => Reason::Drift,
        Kind::NotFound => Reason::Missing,
        Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable => Reason::Transient,
        Kind::Denied
        | Kind::Exists
        | Kind::Expired
        | Kind::FenceMissing
        | Kind::ForeignRegister
        | Kind::Io
        | Kind::Locked
        | Kind::Malformed
        | Kind::Managed
        | Kind::NewerVersion
        | Kind::Other
        | Kind::Policy
        | Kind::ReadOnly
        | Kind::Tls => Reason::Permanent,
    })
}
