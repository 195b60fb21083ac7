//! Which call of this adapter needs which permission: one table, from which policies are made.
//!
//! A call that is not in the table is denied to a deployment that follows its policy, so a new one has to be added here; a test
//! compares the table with the calls that were seen. Source: the tables "Permissions Required for Each API Operation" of Oracle's IAM
//! documentation ("Details for the Vault Service", "Details for Object Storage", "IAM Policies for Autonomous Database").

/// What something in OCI is used for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Usage {
    /// A secret that a set publishes in.
    Published,
    /// A secret that is only read.
    Referenced,
    /// A database that wallets are made for.
    Database,
    /// One object that is read.
    Object,
    /// A topic that notices are sent to.
    Topic,
    /// Registers, read and written.
    Registers,
    /// Registers, read only.
    RegistersRead,
    /// The trail, read and added to.
    Trail,
    /// The trail, read only.
    TrailRead,
}

/// A kind of resource in policies.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// What a secret holds.
    SecretBundles,
    /// Secrets.
    Secrets,
    /// Their versions.
    SecretVersions,
    /// Objects.
    Objects,
    /// Autonomous Databases.
    AutonomousDatabases,
    /// Topics of Notifications.
    OnsTopics,
}

impl Kind {
    /// As statements write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecretBundles => "secret-bundles",
            Self::Secrets => "secrets",
            Self::SecretVersions => "secret-versions",
            Self::Objects => "objects",
            Self::AutonomousDatabases => "autonomous-databases",
            Self::OnsTopics => "ons-topics",
        }
    }
}

/// The verbs of policies. Each has what those before it have.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verb {
    /// Lists.
    Inspect,
    /// Reads.
    Read,
    /// Works with what is there.
    Use,
    /// Everything.
    Manage,
}

impl Verb {
    /// As statements write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Read => "read",
            Self::Use => "use",
            Self::Manage => "manage",
        }
    }
}

/// One permission and the call that needs it.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// What the thing is used for.
    pub usage: Usage,
    /// The operation, by the name of its API reference.
    pub call: &'static str,
    /// The permission.
    pub permission: &'static str,
    /// What the call is made for.
    pub why: &'static str,
}

const fn right(usage: Usage, call: &'static str, permission: &'static str, why: &'static str) -> Right {
    Right { usage, call, permission, why }
}

/// Every call.
pub const RIGHTS: &[Right] = &[
    right(Usage::Published, "GetSecretBundle", "SECRET_BUNDLE_READ", "what is published, and what was staged"),
    right(Usage::Published, "GetSecret", "SECRET_READ", "its state, and the tag under which it is changed"),
    right(Usage::Published, "UpdateSecret", "SECRET_UPDATE", "the next generation, staged; then published"),
    right(Usage::Published, "ListSecretVersions", "SECRET_VERSION_INSPECT", "numbers, names and stages of versions"),
    right(Usage::Published, "GetSecretVersion", "SECRET_VERSION_READ", "a version before it is deleted"),
    right(
        Usage::Published,
        "ScheduleSecretVersionDeletion",
        "SECRET_VERSION_DELETE",
        "versions of generations that nothing needs; a secret holds 30",
    ),
    right(
        Usage::Published,
        "ScheduleSecretVersionDeletion",
        "SECRET_UPDATE",
        "versions of generations that nothing needs; a secret holds 30",
    ),
    right(Usage::Referenced, "GetSecretBundle", "SECRET_BUNDLE_READ", "the secret is read"),
    right(
        Usage::Database,
        "GenerateAutonomousDatabaseWallet",
        "AUTONOMOUS_DATABASE_CONTENT_READ",
        "a wallet, made for each run",
    ),
    right(Usage::Object, "GetObject", "OBJECT_READ", "the object is read"),
    right(Usage::Topic, "PublishMessage", "ONS_TOPIC_PUBLISH", "notices of how sets have ended"),
    right(Usage::Registers, "GetObject", "OBJECT_READ", "where each set stands"),
    right(Usage::Registers, "PutObject", "OBJECT_CREATE", "the register of a set that has none"),
    right(Usage::Registers, "PutObject", "OBJECT_OVERWRITE", "the register, if it is still the one that was read"),
    right(Usage::RegistersRead, "GetObject", "OBJECT_READ", "where each set stands, and which record is the last"),
    right(
        Usage::Trail,
        "GetObject",
        "OBJECT_READ",
        "records behind the register's head: what a dead worker wrote last",
    ),
    right(Usage::Trail, "PutObject", "OBJECT_CREATE", "records, each in an object that is new"),
    right(Usage::Trail, "ListObjects", "OBJECT_INSPECT", "where the trail ends"),
    right(Usage::TrailRead, "GetObject", "OBJECT_READ", "every record"),
    right(Usage::TrailRead, "ListObjects", "OBJECT_INSPECT", "which records there are"),
];

/// Permissions with the kind of resource they belong to and the least verb that has them: those that are used, and the others of these
/// kinds, so that a policy that grants too much can be told.
pub const PERMISSIONS: &[(&str, Kind, Verb)] = &[
    ("SECRET_BUNDLE_INSPECT", Kind::SecretBundles, Verb::Inspect),
    ("SECRET_BUNDLE_READ", Kind::SecretBundles, Verb::Read),
    ("SECRET_INSPECT", Kind::Secrets, Verb::Inspect),
    ("SECRET_READ", Kind::Secrets, Verb::Read),
    ("SECRET_UPDATE", Kind::Secrets, Verb::Use),
    ("SECRET_CREATE", Kind::Secrets, Verb::Manage),
    ("SECRET_DELETE", Kind::Secrets, Verb::Manage),
    ("SECRET_MOVE", Kind::Secrets, Verb::Manage),
    ("SECRET_VERSION_INSPECT", Kind::SecretVersions, Verb::Inspect),
    ("SECRET_VERSION_READ", Kind::SecretVersions, Verb::Read),
    ("SECRET_VERSION_DELETE", Kind::SecretVersions, Verb::Manage),
    ("OBJECT_INSPECT", Kind::Objects, Verb::Inspect),
    ("OBJECT_READ", Kind::Objects, Verb::Read),
    ("OBJECT_OVERWRITE", Kind::Objects, Verb::Use),
    ("OBJECT_CREATE", Kind::Objects, Verb::Manage),
    ("OBJECT_DELETE", Kind::Objects, Verb::Manage),
    ("OBJECT_RESTORE", Kind::Objects, Verb::Manage),
    ("OBJECT_VERSION_DELETE", Kind::Objects, Verb::Manage),
    ("AUTONOMOUS_DATABASE_INSPECT", Kind::AutonomousDatabases, Verb::Inspect),
    ("AUTONOMOUS_DATABASE_CONTENT_READ", Kind::AutonomousDatabases, Verb::Read),
    ("AUTONOMOUS_DATABASE_CONTENT_WRITE", Kind::AutonomousDatabases, Verb::Use),
    ("AUTONOMOUS_DATABASE_UPDATE", Kind::AutonomousDatabases, Verb::Use),
    ("AUTONOMOUS_DATABASE_CREATE", Kind::AutonomousDatabases, Verb::Manage),
    ("AUTONOMOUS_DATABASE_DELETE", Kind::AutonomousDatabases, Verb::Manage),
    ("ONS_TOPIC_INSPECT", Kind::OnsTopics, Verb::Inspect),
    ("ONS_TOPIC_READ", Kind::OnsTopics, Verb::Read),
    ("ONS_TOPIC_PUBLISH", Kind::OnsTopics, Verb::Use),
    ("ONS_TOPIC_SUBSCRIBE", Kind::OnsTopics, Verb::Use),
    ("ONS_TOPIC_CREATE", Kind::OnsTopics, Verb::Manage),
    ("ONS_TOPIC_MOVE", Kind::OnsTopics, Verb::Manage),
    ("ONS_TOPIC_UPDATE", Kind::OnsTopics, Verb::Manage),
    ("ONS_TOPIC_DELETE", Kind::OnsTopics, Verb::Manage),
];

/// Kind and least verb of a permission that [`PERMISSIONS`] lists.
#[must_use]
pub fn belongs(permission: &str) -> Option<(Kind, Verb)> {
    PERMISSIONS.iter().find(|(name, ..)| *name == permission).map(|(_, kind, verb)| (*kind, *verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permission_that_is_used_belongs_to_a_kind() {
        for right in RIGHTS {
            assert!(belongs(right.permission).is_some(), "{}", right.permission);
        }
    }
}
