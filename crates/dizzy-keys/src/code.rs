//! The codes of all errors, each with a page in `docs/errors/`, and the exit code that goes with each.
//!
//! A code says what happened, for people and for alarms; the exit code says what is true, for scripts. Codes are never reused.

use dizzy_host::{
    config::{ConfigError, Mistake},
    document::DocumentError,
    port::{Certainty, Kind, PortError},
};
use serde::Serialize;

/// What the program tells a script. Ordered from best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed, and the old credentials are valid everywhere.
    Failed,
    /// 4: another worker holds the set.
    Held,
    /// 2: usage or configuration; nothing was done.
    Usage,
    /// 6: decided but unfinished; resumes by itself at the next run.
    Unfinished,
    /// 5: the audit trail does not verify.
    Tampered,
    /// 3: stuck, or unknown state; needs a human.
    NeedsHuman,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NeedsHuman => 3,
            Self::Held => 4,
            Self::Tampered => 5,
            Self::Unfinished => 6,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Which part of the world a port error comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Port {
    /// The audit trail.
    Audit,
    /// A database.
    Database,
    /// The journal.
    Journal,
    /// A secret reference (key, administrator, roots).
    Reference,
    /// A secret store.
    Store,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $exit:ident;)*) => {
        /// An error code.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is printed.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The exit code that usually goes with it. What is true decides: a report may carry another.
            #[must_use]
            pub const fn exit(self) -> Exit {
                match self { $(Self::$name => Exit::$exit,)* }
            }
        }
    };
}

codes! {
    /// The command line cannot be understood.
    Usage = "DK-101", Usage;
    /// The configuration file cannot be read.
    ConfigFile = "DK-102", Usage;
    /// The configuration file is not TOML.
    ConfigSyntax = "DK-103", Usage;
    /// An unknown key or name.
    ConfigUnknown = "DK-104", Usage;
    /// A value in the configuration is wrong.
    ConfigValue = "DK-105", Usage;
    /// This build lacks an adapter that the configuration needs.
    ConfigUnsupported = "DK-106", Usage;
    /// A secret reference cannot be read.
    Reference = "DK-107", Usage;
    /// The command asks, and nobody can answer.
    Confirmation = "DK-108", Usage;
    /// The file exists already.
    FileExists = "DK-109", Usage;
    /// A file or the output cannot be written.
    Output = "DK-110", Failed;
    /// A policy that is to be compared cannot be read.
    PolicyUnreadable = "DK-111", Usage;
    /// A fault of the program itself.
    Internal = "DK-199", NeedsHuman;

    /// The server refused a user name or password.
    DatabaseCredential = "DK-201", Failed;
    /// The account is locked.
    DatabaseLocked = "DK-202", Failed;
    /// The password or role has expired.
    DatabaseExpired = "DK-203", Failed;
    /// A right is missing.
    DatabaseDenied = "DK-204", Failed;
    /// The server's rules refused the generated password.
    DatabasePolicy = "DK-205", Failed;
    /// The fence holds a newer epoch: another worker has taken over.
    DatabaseFenced = "DK-206", Held;
    /// The fence is missing or damaged.
    DatabaseFenceMissing = "DK-207", Failed;
    /// The fence belongs to another installation.
    DatabaseForeign = "DK-208", Failed;
    /// The server is a replica or read-only.
    DatabaseReadOnly = "DK-209", Failed;
    /// TLS cannot be verified.
    DatabaseTls = "DK-210", Failed;
    /// The server cannot be reached.
    DatabaseUnreachable = "DK-211", Failed;
    /// The server did not answer in time.
    DatabaseTimeout = "DK-212", Failed;
    /// The server is full, starting or stopping.
    DatabaseBusy = "DK-213", Failed;
    /// The server refused for another reason.
    DatabaseOther = "DK-214", Failed;

    /// The secret or its version does not exist.
    StoreNotFound = "DK-301", Failed;
    /// The store denies access.
    StoreDenied = "DK-302", Failed;
    /// The secret's text cannot be used.
    StoreDocument = "DK-303", Failed;
    /// The secret holds another format than configured.
    StoreFormat = "DK-304", Failed;
    /// Another service manages the secret.
    StoreManaged = "DK-305", Failed;
    /// Somebody else changed the secret meanwhile.
    StoreConflict = "DK-306", Failed;
    /// The store cannot be reached.
    StoreUnreachable = "DK-307", Failed;
    /// The store throttles.
    StoreThrottled = "DK-308", Failed;
    /// The secret belongs to another installation.
    StoreForeign = "DK-309", Failed;
    /// The store refused for another reason.
    StoreOther = "DK-310", Failed;

    /// Another worker holds the set.
    JournalHeld = "DK-401", Held;
    /// The journal cannot be read or written.
    JournalIo = "DK-402", Failed;
    /// The register was written by a newer version of the program.
    JournalNewer = "DK-403", Failed;
    /// The register cannot be understood.
    JournalDamaged = "DK-404", NeedsHuman;
    /// The register belongs to another set or installation.
    JournalForeign = "DK-405", Failed;
    /// The set has not been prepared.
    JournalAbsent = "DK-406", Failed;
    /// A register is there that can be read, and was to be rebuilt.
    JournalPresent = "DK-407", Usage;

    /// The rotation failed and was undone.
    RolledBack = "DK-501", Failed;
    /// The rotation is decided and not yet finished.
    Unfinished = "DK-502", Unfinished;
    /// The rotation can neither go on nor back by itself.
    Stuck = "DK-503", NeedsHuman;
    /// The world is not as the register says.
    Drift = "DK-504", Failed;
    /// A published credential does not log in.
    PublishedRefused = "DK-505", Failed;
    /// The idle user still has sessions.
    ActiveSessions = "DK-506", Failed;
    /// The rotation could not be undone, and that was not accepted.
    NotUndoable = "DK-507", Failed;
    /// `check` found what would stop a rotation.
    CheckFailed = "DK-508", Failed;
    /// It is not known whether a change was made.
    Unknown = "DK-509", NeedsHuman;
    /// The configuration changed while a rotation was under way.
    TargetChanged = "DK-510", NeedsHuman;
    /// An invariant does not hold; the program stopped before acting on it.
    Invariant = "DK-511", NeedsHuman;
    /// Something could not be verified, which says nothing about the credentials.
    NotVerified = "DK-512", Failed;
    /// What was to be revoked is dead, and sessions that were opened with it could not be ended.
    SessionsLeft = "DK-513", NeedsHuman;
    /// What was to be revoked is not dead everywhere yet.
    NotRevoked = "DK-514", NeedsHuman;
    /// A policy grants other rights than the configuration needs.
    PolicyDiffers = "DK-515", Failed;
    /// What is found does not tell what should be true.
    Unclear = "DK-516", NeedsHuman;
    /// So many runs failed in a row that the schedule tries no more.
    GivenUp = "DK-520", NeedsHuman;

    /// An audit record could not be made durable.
    AuditUnavailable = "DK-601", Failed;
    /// The audit trail is not what was written.
    AuditTampered = "DK-602", Tampered;
    /// Not everything of the audit trail could be checked.
    AuditNotChecked = "DK-603", Failed;
    /// A credential is older than was asked for.
    OverAge = "DK-604", Failed;

    /// The platform leaves too little time.
    NoTime = "DK-701", Failed;
    /// The platform's variables do not tell where the program runs.
    PlatformUnclear = "DK-702", Usage;
    /// An event of no known shape.
    EventUnknown = "DK-703", Usage;
    /// An event that is too long.
    EventTooLong = "DK-704", Usage;
    /// A place on the local disk, in a function.
    LocalPlace = "DK-705", Usage;
    /// A step of a cloud's rotation contract that does not fit what is there.
    RotationStep = "DK-706", Failed;
    /// The platform that calls functions does not answer.
    PlatformGone = "DK-707", Failed;

    /// A receiver does not take notices.
    NotDelivered = "DK-801", Failed;
}

impl Code {
    /// The code of an error at `port`.
    #[must_use]
    pub fn of_port(port: Port, error: &PortError) -> Self {
        match port {
            Port::Audit => Self::AuditUnavailable,
            Port::Database => of_database(error.kind),
            Port::Journal => of_journal(error.kind),
            Port::Reference => Self::Reference,
            Port::Store => of_store(error.kind),
        }
    }

    /// What usually helps, for errors whose origin has nothing better to say.
    #[must_use]
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most errors bring a hint of their own; a new code may do without"
    )]
    pub const fn usual_hint(self) -> Option<&'static str> {
        match self {
            Self::ConfigSyntax => Some("mend this line; `dizzy-keys init` writes an example to compare with"),
            Self::DatabaseCredential => Some("`dizzy-keys verify` tells which published credentials log in"),
            Self::DatabaseTimeout => Some(
                "is the host right, and does a firewall drop packets? `connect_timeout` and `statement_timeout` say how long is waited",
            ),
            Self::DatabaseUnreachable => {
                Some("is the server up, are host and port right, and may this machine reach it?")
            }
            Self::Reference => Some(
                "check that the reference is right and that this machine may read it; if the service was busy, run again later",
            ),
            Self::StoreNotFound => Some(
                "is the name right, and is it in this account and region? a secret must exist and publish a credential that works",
            ),
            Self::StoreUnreachable => Some("may this machine reach the store's endpoint? is the region right?"),
            Self::StoreThrottled => Some("run again later; rotate fewer sets at a time"),
            _ => None,
        }
    }

    /// The code of a mistake in the configuration.
    #[must_use]
    pub const fn of_config(error: &ConfigError) -> Self {
        match error.mistake {
            Mistake::File => Self::ConfigFile,
            Mistake::Syntax => Self::ConfigSyntax,
            Mistake::Unknown => Self::ConfigUnknown,
            Mistake::Unsupported => Self::ConfigUnsupported,
            Mistake::Value => Self::ConfigValue,
        }
    }

    /// The code of a secret's text that cannot be used.
    #[must_use]
    pub const fn of_document(error: &DocumentError) -> Self {
        match error {
            DocumentError::Ambiguous | DocumentError::OtherFormat { .. } => Self::StoreFormat,
            DocumentError::Missing { .. }
            | DocumentError::NoCredential
            | DocumentError::NotAnObject
            | DocumentError::NotJson { .. }
            | DocumentError::TooLarge { .. }
            | DocumentError::Twice { .. }
            | DocumentError::WrongType { .. } => Self::StoreDocument,
        }
    }
}

/// The exit code of a port error: its code's, unless the change may have been made.
#[must_use]
pub fn exit_of_port(code: Code, error: &PortError) -> Exit {
    // A reference is only ever read: nothing was changed, and what did not answer may answer later.
    if code == Code::Reference {
        return match error.kind {
            Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable => Exit::Failed,
            Kind::Conflict
            | Kind::Credential
            | Kind::Denied
            | Kind::Drift
            | Kind::Exists
            | Kind::Expired
            | Kind::FenceMissing
            | Kind::Fenced
            | Kind::ForeignRegister
            | Kind::Io
            | Kind::Locked
            | Kind::Malformed
            | Kind::Managed
            | Kind::NewerVersion
            | Kind::NotFound
            | Kind::Other
            | Kind::Policy
            | Kind::ReadOnly
            | Kind::Tls => Exit::Usage,
        };
    }
    match error.certainty {
        Certainty::Refused => code.exit(),
        Certainty::Unknown => Exit::NeedsHuman,
    }
}

const fn of_database(kind: Kind) -> Code {
    match kind {
        Kind::Busy | Kind::Throttled => Code::DatabaseBusy,
        Kind::Credential => Code::DatabaseCredential,
        Kind::Denied => Code::DatabaseDenied,
        Kind::Expired => Code::DatabaseExpired,
        Kind::FenceMissing => Code::DatabaseFenceMissing,
        Kind::Fenced => Code::DatabaseFenced,
        Kind::ForeignRegister => Code::DatabaseForeign,
        Kind::Locked => Code::DatabaseLocked,
        Kind::Policy => Code::DatabasePolicy,
        Kind::ReadOnly => Code::DatabaseReadOnly,
        Kind::Timeout => Code::DatabaseTimeout,
        Kind::Tls => Code::DatabaseTls,
        Kind::Io | Kind::Unreachable => Code::DatabaseUnreachable,
        Kind::Conflict
        | Kind::Drift
        | Kind::Exists
        | Kind::Malformed
        | Kind::Managed
        | Kind::NewerVersion
        | Kind::NotFound
        | Kind::Other => Code::DatabaseOther,
    }
}

const fn of_store(kind: Kind) -> Code {
    match kind {
        Kind::Conflict | Kind::Drift | Kind::Exists | Kind::Fenced => Code::StoreConflict,
        Kind::Credential | Kind::Denied | Kind::Expired | Kind::Locked => Code::StoreDenied,
        Kind::ForeignRegister => Code::StoreForeign,
        Kind::Malformed => Code::StoreDocument,
        Kind::Managed => Code::StoreManaged,
        Kind::NotFound => Code::StoreNotFound,
        Kind::Throttled => Code::StoreThrottled,
        Kind::Busy | Kind::Io | Kind::Timeout | Kind::Tls | Kind::Unreachable => Code::StoreUnreachable,
        Kind::FenceMissing | Kind::NewerVersion | Kind::Other | Kind::Policy | Kind::ReadOnly => Code::StoreOther,
    }
}

const fn of_journal(kind: Kind) -> Code {
    match kind {
        Kind::Conflict | Kind::Drift | Kind::Exists | Kind::Fenced | Kind::Locked => Code::JournalHeld,
        Kind::ForeignRegister | Kind::Managed => Code::JournalForeign,
        Kind::Malformed => Code::JournalDamaged,
        Kind::NewerVersion => Code::JournalNewer,
        Kind::NotFound => Code::JournalAbsent,
        Kind::Busy
        | Kind::Credential
        | Kind::Denied
        | Kind::Expired
        | Kind::FenceMissing
        | Kind::Io
        | Kind::Other
        | Kind::Policy
        | Kind::ReadOnly
        | Kind::Throttled
        | Kind::Timeout
        | Kind::Tls
        | Kind::Unreachable => Code::JournalIo,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors"));
        let pages: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("DK-"))
            .collect();
        let codes: BTreeSet<String> = Code::ALL.iter().map(|code| format!("{}.md", code.text())).collect();
        assert_eq!(codes.len(), Code::ALL.len(), "a code is used twice");
        assert_eq!(pages, codes);
        let index = fs::read_to_string(folder.join("README.md")).unwrap();
        for code in Code::ALL {
            let text = code.text();
            let page = fs::read_to_string(folder.join(format!("{text}.md"))).unwrap();
            assert!(page.starts_with(&format!("# {text}: ")), "{text}: title");
            for part in ["## What it means", "## What is true", "## What to do", "## Example", "Exit code: "] {
                assert!(page.contains(part), "{text} lacks {part}");
            }
            let exit = format!("Exit code: {}", code.exit().number());
            assert!(page.contains(&exit), "{text} does not say {exit}");
            let title = page.lines().next().unwrap().trim_start_matches("# ").trim_start_matches(&format!("{text}: "));
            assert!(index.contains(&format!("[{text}]({text}.md) | {title} |")), "{text} in the index");
        }
    }

    #[test]
    fn an_unknown_outcome_is_never_told_as_an_old_credential_that_works() {
        for port in [Port::Audit, Port::Database, Port::Journal, Port::Store] {
            let error = PortError::unknown(Kind::Timeout, "change the password");
            assert_eq!(exit_of_port(Code::of_port(port, &error), &error), Exit::NeedsHuman);
        }
        let error = PortError::unknown(Kind::Timeout, "read the wallet");
        assert_eq!(exit_of_port(Code::Reference, &error), Exit::Failed, "a read changes nothing");
    }

    #[test]
    fn the_worst_exit_wins() {
        let worst = [Exit::Done, Exit::NeedsHuman, Exit::Failed, Exit::Unfinished].into_iter().max();
        assert_eq!(worst, Some(Exit::NeedsHuman));
        assert!(Exit::Unfinished > Exit::Held && Exit::Held > Exit::Failed);
    }
}
