//! What can go wrong with a connection, and what it says about the world.
//!
//! A server's or driver's text stops here: an error keeps SQLSTATE, severity and the name of the server's source routine (which tells
//! apart what SQLSTATE does not and is not translated), and is turned into a `PortError` with sentences of ours.

use std::{error::Error as _, io};

use dizzy_host::port::{Certainty, Kind, PortError};
use tokio_postgres::error::{DbError, Severity};

use super::text::identifier;
use crate::tls::TlsTrouble;

/// Why a step of a connection failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// The deadline passed, ours or the one for connecting.
    Deadline,
    /// The host name has no address.
    NoAddress,
    /// No connection, or it broke.
    Lost,
    /// TLS was not established.
    Tls(TlsTrouble),
    /// The server said no.
    Server(ServerSays),
    /// The server's answer makes no sense, or the proof that it knows the verifier failed.
    Nonsense,
}

/// An error message of the server, without its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServerSays {
    /// SQLSTATE.
    pub(super) code: String,
    /// Whether the session survives.
    pub(super) severity: Survival,
    /// The function in the server's source that reported it.
    pub(super) routine: String,
}

/// What an error message says about the session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Survival {
    /// ERROR: the statement failed, the session lives.
    Lives,
    /// FATAL or PANIC, or not told.
    Ends,
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(says) = error.as_db_error() {
            return Self::Server(ServerSays::from(says));
        }
        if let Some(tls) = TlsTrouble::find(&error) {
            return Self::Tls(tls);
        }
        let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        if error.is_closed() || io.is_some() { Self::Lost } else { Self::Nonsense }
    }
}

impl From<&DbError> for ServerSays {
    fn from(error: &DbError) -> Self {
        let severity = match error.parsed_severity() {
            Some(Severity::Error) => Survival::Lives,
            Some(
                Severity::Panic
                | Severity::Fatal
                | Severity::Warning
                | Severity::Notice
                | Severity::Debug
                | Severity::Info
                | Severity::Log,
            )
            | None => Survival::Ends,
        };
        let code = error.code().code().to_owned();
        Self { code, severity, routine: error.routine().unwrap_or_default().to_owned() }
    }
}

impl Trouble {
    /// An error for a call after which nothing was and nothing will be changed.
    pub(super) fn refused(&self, what: &str) -> PortError {
        self.report(Certainty::Refused, what)
    }

    /// An error for a call whose change may have been made.
    pub(super) fn unknown(&self, what: &str) -> PortError {
        self.report(Certainty::Unknown, what)
    }

    /// An error of a COMMIT that was sent. Refused only where the server's own words leave no doubt:
    /// an ERROR from before the commit record was written (later ones are a PANIC, `xact.c`), or a session that the server
    /// had ended while it was waiting for a command (25P03).
    pub(super) fn of_commit(&self, what: &str) -> PortError {
        match self {
            Self::Server(says) if says.code == "25P03" => self.refused(what),
            Self::Server(says) if says.severity == Survival::Lives => match says.code.get(..2) {
                Some("23" | "25" | "40") if says.code != "40003" => self.refused(what),
                _ if says.code == "57014" => self.refused(what),
                _ => self.unknown(what),
            },
            Self::Server(_) | Self::Deadline | Self::NoAddress | Self::Lost | Self::Tls(_) | Self::Nonsense => {
                self.unknown(what)
            }
        }
    }

    fn report(&self, certainty: Certainty, what: &str) -> PortError {
        let (kind, detail, hint) = match self {
            Self::Deadline => (Kind::Timeout, "no answer in time", None),
            Self::NoAddress => (Kind::Unreachable, "the host name has no address", Some("check `host` and the DNS")),
            Self::Lost => (Kind::Unreachable, "no connection, or it broke", None),
            Self::Tls(tls) => (Kind::Tls, tls.what(), Some(tls.hint())),
            Self::Server(says) => says.meaning(),
            Self::Nonsense => (Kind::Other, "the server's answer was not understood", None),
        };
        let mut error = PortError {
            certainty,
            kind,
            code: None,
            what: format!("{what}: {detail}"),
            hint: hint.map(ToOwned::to_owned),
            mend: None,
        };
        if let Self::Server(says) = self {
            error.code = Some(says.code.clone());
        }
        error
    }
}

type Meaning = (Kind, &'static str, Option<&'static str>);

impl ServerSays {
    /// Kind, detail and hint by SQLSTATE (<https://www.postgresql.org/docs/15/errcodes-appendix.html>).
    fn meaning(&self) -> Meaning {
        match (self.code.as_str(), self.routine.as_str()) {
            // Also what the server says for a role that does not exist or whose VALID UNTIL has passed.
            ("28P01", _) => (Kind::Credential, "the user name or password was refused", None),
            ("28000", "InitializeSessionUserId") => {
                (Kind::Locked, "the role may not log in", Some("ALTER ROLE ... LOGIN, if that is meant to work"))
            }
            ("28000", _) => (
                Kind::Denied,
                "the server's host rules do not let us in",
                Some("add a `hostssl ... scram-sha-256` line for this user, database and address to pg_hba.conf"),
            ),
            ("42501", "CheckMyDatabase" | "InitPostgres") => {
                (Kind::Denied, "the role lacks CONNECT on the database", Some("GRANT CONNECT ON DATABASE ... TO ..."))
            }
            ("42501", _) => (Kind::Denied, "the role lacks a right", None),
            ("3D000", _) => (Kind::NotFound, "the database does not exist", Some("check `dbname`")),
            ("42704", _) => (Kind::NotFound, "a role or object does not exist", None),
            ("53300", _) => (Kind::Busy, "too many connections", None),
            ("57P03", _) => (Kind::Busy, "the server is starting or stopping", None),
            ("55P03", _) => (Kind::Busy, "somebody else holds the lock", None),
            ("40001" | "40P01", _) => (Kind::Busy, "another transaction was in the way", None),
            ("XX000", "simple_heap_update") => (Kind::Busy, "the role was changed by somebody else meanwhile", None),
            ("57014" | "25P03" | "57P05", _) => (Kind::Timeout, "the server ended it after its time limit", None),
            ("57P01" | "57P02" | "57P04", _) => (Kind::Unreachable, "the session was ended", None),
            ("25006", _) => (Kind::ReadOnly, "the server is read-only", Some("set `host` to the writer")),
            ("53100" | "58030", _) => (Kind::Io, "the server's disk is full or failing", None),
            ("53000" | "53200" | "53400", _) => (Kind::Busy, "the server is out of resources", None),
            ("DZ001", _) => (Kind::Fenced, "a newer epoch or generation was there first", None),
            ("DZ002", _) => (Kind::FenceMissing, "the fence has no row for this user", None),
            ("DZ003", _) => (
                Kind::ForeignRegister,
                "the fence row belongs to the register of another installation",
                Some(
                    "one set is rotated from one journal: use that installation's, or restore the journal if it was lost",
                ),
            ),
            ("3F000" | "42P01" | "42883" | "42703", _) => {
                (Kind::FenceMissing, "the fence is missing or damaged", Some("run `dizzy-keys prepare`"))
            }
            _ => (Kind::Other, "the server reported an error", None),
        }
    }
}

/// Adds to an error of a change the exact statement that mends it, where there is one.
pub(super) fn mend_change(error: PortError, trouble: &Trouble, set: &str, user: &str) -> PortError {
    let Trouble::Server(says) = trouble else { return error };
    let role = identifier(user);
    match (says.code.as_str(), says.routine.as_str()) {
        ("42501", "aclcheck_error" | "aclcheck_error_type") => PortError { kind: Kind::FenceMissing, ..error }
            .with_hint(super::fence::grants_sql(&[user]).trim_end().to_owned()),
        ("42501", _) => error.with_hint(format!(
            "{role} may not change its own password; on RDS: GRANT rds_password TO {role}; (rds.restrict_password_commands)"
        )),
        ("DZ002", _) => error.with_hint(super::fence::rows_sql(set, &[user]).trim_end().to_owned()),
        // What password_hook modules use (passwordcheck, credcheck): a verifier is all they see.
        ("22023" | "0A000", _) => {
            PortError { kind: Kind::Policy, ..error }.with_hint("the server's password rules refuse SCRAM verifiers made by a client")
        }
        _ => error,
    }
}
