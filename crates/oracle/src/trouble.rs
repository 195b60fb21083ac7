//! What can go wrong with a connection, and what it says about the world.
//!
//! A driver's or server's text stops here: the driver's texts hold the address and the token of our own bridge, and a server's can hold
//! SQL. What is kept is the ORA number and the kind of error, and sentences of ours are made from those.

use std::io;

use dizzy_host::port::{Certainty, Kind, PortError};
use oracledb::ErrorKind;

use crate::tls::TlsTrouble;

/// Why a step of a connection failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// The deadline passed, ours or a step's.
    Deadline,
    /// The host name has no address.
    NoAddress,
    /// No connection, or it broke.
    Lost,
    /// TLS was not established.
    Tls(TlsTrouble),
    /// The listener turned us away, with this ORA number (0: it gave none).
    Listener(u32),
    /// The listener sent us to another address.
    Redirected,
    /// The server demands Oracle's own encryption inside TLS.
    NativeEncryption,
    /// The server said no, with this ORA number.
    Server(u32),
    /// The other side's bytes make no sense.
    Nonsense,
    /// The driver panicked, or does not support what the server demands.
    Driver,
    /// This machine has no thread, socket or random bytes to give.
    Local,
}

impl From<oracledb::Error> for Trouble {
    fn from(error: oracledb::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the driver's enum is open; what is not listed is a protocol error"
        )]
        match error.kind() {
            ErrorKind::DbError(says) => Self::Server(u32::try_from(says.code()).unwrap_or(u32::MAX)),
            ErrorKind::InvalidServiceName(..) => Self::Listener(12514),
            ErrorKind::InvalidSid(..) => Self::Listener(12505),
            ErrorKind::ListenerRefusedConnection(.., code) => Self::Listener(u32::try_from(*code).unwrap_or(0)),
            ErrorKind::UnexpectedRefuse(_) => Self::Listener(0),
            ErrorKind::CallTimeoutExceeded => Self::Deadline,
            ErrorKind::DeadConnection
            | ErrorKind::NotConnected
            | ErrorKind::StreamOperation
            | ErrorKind::TlsOperation
            | ErrorKind::UnableToRecover => Self::Lost,
            ErrorKind::LockPoisoned | ErrorKind::NotImplemented(_) | ErrorKind::ServerVersionNotSupported => {
                Self::Driver
            }
            _ => Self::Nonsense,
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match TlsTrouble::find(&error) {
            Some(tls) => Self::Tls(tls),
            None if error.kind() == io::ErrorKind::InvalidData => Self::Nonsense,
            None => Self::Lost,
        }
    }
}

/// What a trouble means: its kind, our words, the ORA number, and what to do.
struct Meaning {
    kind: Kind,
    words: &'static str,
    ora: Option<u32>,
    hint: Option<&'static str>,
}

impl Trouble {
    /// An error for a call after which nothing was and nothing will be changed.
    pub(crate) fn refused(self, what: &str) -> PortError {
        self.report(Certainty::Refused, what)
    }

    /// An error for a call whose change may have been made.
    pub(crate) fn unknown(self, what: &str) -> PortError {
        self.report(Certainty::Unknown, what)
    }

    /// An error of a password change or another statement that was sent. Refused only for numbers that are known to mean that the
    /// statement was turned down: a session that is killed, a server that stops, and an error inside a trigger that fires after the
    /// statement also come as ORA numbers, and say nothing about what was done before.
    pub(crate) fn of_change(self, what: &str) -> PortError {
        let turned_down = matches!(
            self,
            Self::Server(
                900..=999 // the statement is not understood
                | 1005 | 1017 | 28008 // wrong password
                | 1031 | 28221 | 41900 // a right is missing
                | 1918 | 1935 | 2380 // no such user or profile
                | 6550 // the procedure is not there, or does not compile
                | 16000 // read-only
                | 28000 | 28001 | 28003 | 28007 | 28218..=28220 | 28227 // the account, or rules for passwords
            )
        );
        if turned_down { self.refused(what) } else { self.unknown(what) }
    }

    fn report(self, certainty: Certainty, what: &str) -> PortError {
        let Meaning { kind, words, ora, hint } = self.meaning();
        let mut error =
            PortError { certainty, kind, code: None, what: format!("{what}: {words}"), hint: None, mend: None };
        error.code = ora.filter(|code| *code != 0).map(|code| format!("ORA-{code:05}"));
        error.hint = hint.map(ToOwned::to_owned);
        error
    }

    fn meaning(self) -> Meaning {
        let plain = |kind, words, hint| Meaning { kind, words, ora: None, hint };
        match self {
            Self::Deadline => plain(Kind::Timeout, "no answer in time", None),
            Self::NoAddress => plain(
                Kind::Unreachable,
                "the host name has no address",
                Some("check the host in the descriptor and the DNS"),
            ),
            Self::Lost => plain(Kind::Unreachable, "no connection, or it broke", None),
            Self::Tls(tls) => plain(Kind::Tls, tls.what(), Some(tls.hint())),
            Self::Redirected => plain(
                Kind::Unreachable,
                "the listener sends us to another address, which is not followed",
                Some("name the address of the server itself in the descriptor"),
            ),
            Self::NativeEncryption => plain(
                Kind::Other,
                "the server demands Oracle's native network encryption",
                Some(
                    "set SQLNET.ENCRYPTION_SERVER to ACCEPTED for the TLS listener: the connection is encrypted already",
                ),
            ),
            Self::Nonsense => plain(Kind::Malformed, "the server's answer was not understood", None),
            Self::Driver => plain(
                Kind::Other,
                "the driver gave up on the server's answer",
                Some("the server must be Oracle Database 12.1 or later, with password verifiers of version 12C"),
            ),
            Self::Local => plain(Kind::Io, "this machine has no thread, socket or random bytes to give", None),
            Self::Listener(code) | Self::Server(code) => of_number(code),
        }
    }
}

/// What an ORA number means (Oracle documentation: "Database Error Messages").
fn of_number(ora: u32) -> Meaning {
    let (kind, words, hint) = match ora {
        1005 | 1017 => (Kind::Credential, "user name or password is wrong", None),
        28008 => (Kind::Credential, "the old password is wrong", None),
        28000 => (
            Kind::Locked,
            "the account is locked",
            Some(
                "find out who logs in with a wrong password, then: ALTER USER ... ACCOUNT UNLOCK; or wait for PASSWORD_LOCK_TIME",
            ),
        ),
        28001 => (
            Kind::Expired,
            "the password has expired",
            Some("have an administrator set a password for the user, and publish it"),
        ),
        28003 => (
            Kind::Policy,
            "the database's password rules refuse the password",
            Some(
                "match `password` in the configuration to the profile's PASSWORD_VERIFY_FUNCTION; on an Autonomous Database: 12 to 30 characters",
            ),
        ),
        28007 => (
            Kind::Policy,
            "the password was used before and may not be used again yet",
            Some(
                "see PASSWORD_REUSE_MAX and PASSWORD_REUSE_TIME of the user's profile; an Autonomous Database remembers the last four",
            ),
        ),
        28218..=28220 => (Kind::Policy, "the password's length is outside the profile's limits", None),
        911 | 972 | 988 => (Kind::Policy, "the password has characters or a length that cannot be used", None),
        28221 => (Kind::Denied, "the old password must be given along", None),
        28227 => (
            Kind::Denied,
            "gradual rollover is not for administrative users",
            Some("rotate a user without administrative rights"),
        ),
        1031 | 41900 => (Kind::Denied, "the user lacks a right", None),
        1045 => (Kind::Denied, "the user may not log in", Some("GRANT CREATE SESSION TO ...;")),
        942 | 4042 | 4043 | 6550 => {
            (Kind::NotFound, "a table, view or procedure is not there or may not be used", None)
        }
        1918 => (Kind::NotFound, "the user does not exist", None),
        1920 => (Kind::Exists, "the user exists already", None),
        2380 => (Kind::NotFound, "the profile does not exist", None),
        16000 => (Kind::ReadOnly, "the database is read-only", Some("connect to the primary database")),
        12505 | 12514 => (
            Kind::NotFound,
            "the listener does not know the service",
            Some("check `service`; a database that is stopped or being started answers the same"),
        ),
        18 | 20 | 2391 | 12516 | 12518 | 12519 | 12520 => (Kind::Busy, "there are too many sessions", None),
        1033..=1035 | 1089 | 1090 | 1109 | 12526..=12528 => {
            (Kind::Busy, "the database is starting, stopping or restricted", None)
        }
        54 | 60 | 4021 | 30006 => (Kind::Busy, "somebody else holds a lock", None),
        1013 | 12170 => (Kind::Timeout, "no answer in time", None),
        28 | 1012 | 1092 | 2396 | 2399 | 3113 | 3114 | 3135 | 12537 | 12541 | 12547 => {
            (Kind::Unreachable, "the session was ended", None)
        }
        28040 => (
            Kind::Other,
            "the server allows no way of logging in that the driver knows",
            Some("give the user a password verifier of version 12C (SQLNET.ALLOWED_LOGON_VERSION_SERVER = 12a)"),
        ),
        0 => (Kind::Busy, "the listener refuses without a reason", None),
        _ => (Kind::Other, "the server reported an error", None),
    };
    Meaning { kind, words, ora: Some(ora), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_down_change_is_refused_and_a_dying_session_is_not() {
        for code in [1017, 28008, 28003, 28007, 1031, 988, 28000, 16000] {
            assert_eq!(Trouble::Server(code).of_change("x").certainty, Certainty::Refused, "{code}");
        }
        for trouble in [28, 600, 604, 1012, 1089, 1092, 3113, 3135, 4088, 20_001].map(Trouble::Server) {
            assert_eq!(trouble.of_change("x").certainty, Certainty::Unknown, "{trouble:?}");
        }
        for trouble in [Trouble::Deadline, Trouble::Lost, Trouble::Nonsense, Trouble::Driver] {
            assert_eq!(trouble.of_change("x").certainty, Certainty::Unknown, "{trouble:?}");
        }
    }

    #[test]
    fn only_numbers_about_the_password_are_a_matter_of_credentials() {
        let credential = (0..70_000).filter(|code| Trouble::Server(*code).refused("x").kind == Kind::Credential);
        assert_eq!(credential.collect::<Vec<_>>(), [1005, 1017, 28008]);
    }

    #[test]
    fn the_code_is_told_in_oracles_own_form() {
        assert_eq!(Trouble::Server(1017).refused("x").code.as_deref(), Some("ORA-01017"));
        assert_eq!(Trouble::Listener(0).refused("x").code, None);
    }
}
