//! The configuration as the program uses it: checked, with defaults, enums and lengths of time as types.
//!
//! Databases and sets are in the order of their names, so that moving a block in the file changes nothing; secrets are
//! in the order of the file. Nothing here is read from outside the file: host, port and dbname may come from the secret later.

use core::{fmt, time::Duration};
use std::{collections::BTreeMap, path::PathBuf};

use dizzy_engine::Strategy;
use sha2::{Digest as _, Sha256};

pub use super::model::{AuditRequire, Engine, OciAuth, OnActiveSessions};
use super::{
    error::{ConfigError, Mistake, Position, nearest},
    schedule::Schedule,
};
use crate::{document::Format, notice::Event, password::Policy, reference::Reference};

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named.
    pub file: String,
    /// Where the journal registers live.
    pub journal: Place,
    /// The audit trail.
    pub audit: Audit,
    /// The role to assume in AWS, if there is one.
    pub aws_role: Option<AwsRole>,
    /// Oracle Cloud.
    pub oci: Oci,
    /// Who is told how sets have ended.
    pub notify: Notify,
    /// The sets, by name; at least one.
    pub sets: BTreeMap<String, RotationSet>,
    pub(super) needs: Vec<Need>,
}

/// A place for objects that are not secret.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// `file:DIR`; a relative one is relative to the working folder.
    File(PathBuf),
    /// `oci://NAMESPACE/BUCKET/PREFIX`.
    Oci {
        /// The tenancy's namespace.
        namespace: String,
        /// The bucket.
        bucket: String,
        /// What object names begin with; empty or without a slash at the end.
        prefix: String,
    },
    /// `s3://BUCKET/PREFIX`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What object names begin with; empty or without a slash at the end.
        prefix: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Oci { namespace, bucket, prefix } => write!(f, "oci://{namespace}/{bucket}/{prefix}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// The text is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NoPlace;

impl core::str::FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let named = |name: &str| !name.is_empty() && !name.contains(['?', '#', '@', ':']);
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err(NoPlace) } else { Ok(Self::File(path.into())) };
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !named(bucket) {
                return Err(NoPlace);
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() });
        }
        let (namespace, rest) = text.strip_prefix("oci://").and_then(|rest| rest.split_once('/')).ok_or(NoPlace)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if !named(namespace) || !named(bucket) {
            return Err(NoPlace);
        }
        Ok(Self::Oci {
            namespace: namespace.to_owned(),
            bucket: bucket.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
        })
    }
}

/// The audit trail.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where the signing key is; records are unsigned without it.
    pub key: Option<Reference>,
    /// Where keys are that `key` replaced.
    pub former_keys: Vec<Reference>,
    /// Where the key of signed notes is; there are none without it.
    pub note_key: Option<Reference>,
    /// Where records go; at least one.
    pub sinks: Vec<Place>,
    /// How many sinks must have a record before the first side effect.
    pub require: AuditRequire,
}

/// Who is told how sets have ended.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    /// In the order of the file; at most [`MAX_RECEIVERS`](super::MAX_RECEIVERS).
    pub receivers: Vec<ReceiverConfig>,
}

/// Who is told of what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceiverConfig {
    /// What is told; never empty.
    pub on: Vec<Event>,
    /// Where it goes.
    pub to: Destination,
}

/// Where a notice goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Destination {
    /// A topic of OCI Notifications, by its OCID.
    OciTopic(String),
    /// An SNS topic, by its ARN.
    SnsTopic(String),
    /// A webhook.
    Webhook {
        /// Where its URL is.
        url: Reference,
        /// Where the key is that signs requests.
        signing_key: Option<Reference>,
        /// More roots (PEM).
        tls_ca: Option<Reference>,
    },
}

/// A role to assume in AWS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AwsRole {
    /// Its ARN.
    pub arn: String,
    /// What its trust policy asks for.
    pub external_id: Option<String>,
    /// The name of the session.
    pub session_name: String,
}

/// Oracle Cloud.
#[derive(Clone, Debug, Default)]
pub struct Oci {
    /// How to authenticate.
    pub auth: OciAuth,
    /// Where an API key is, if it is a secret.
    pub key: Option<Reference>,
    /// Secret retrieval, if elsewhere.
    pub secrets: Option<String>,
    /// Vault management, if elsewhere.
    pub vaults: Option<String>,
    /// Object Storage, if elsewhere.
    pub objectstorage: Option<String>,
    /// Database service, if elsewhere.
    pub database: Option<String>,
    /// Notifications, if elsewhere.
    pub notifications: Option<String>,
    /// Federation, if elsewhere.
    pub federation: Option<String>,
}

/// A rotation set.
#[derive(Clone, Debug)]
pub struct RotationSet {
    /// Its name: lower-case letters, digits, `-` and `_`, at most 32.
    pub name: String,
    /// When it is due.
    pub schedule: Schedule,
    /// What to do about sessions of the idle user.
    pub on_active_sessions: OnActiveSessions,
    /// What the one password of all databases looks like; `None`: each database has its own.
    pub shared_password: Option<Policy>,
    /// The databases, in the order of their names; one to [`MAX_DATABASES`](super::MAX_DATABASES).
    pub databases: Vec<Database>,
    /// The secrets, in the order of the file; one to [`MAX_SECRETS`](super::MAX_SECRETS).
    pub secrets: Vec<Secret>,
}

/// A database of a set.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name in the configuration, and of its object in a blob.
    pub name: String,
    /// The kind of server.
    pub engine: Engine,
    /// Host, if not from the secret.
    pub host: Option<String>,
    /// Port, if not from the secret.
    pub port: Option<u16>,
    /// PostgreSQL database, if not from the secret.
    pub dbname: Option<String>,
    /// Oracle: alias in the wallet.
    pub service: Option<String>,
    /// Oracle: service name.
    pub service_name: Option<String>,
    /// The users: two with the alternating strategy, else one.
    pub users: Vec<String>,
    /// How it moves to a new password.
    pub strategy: Strategy,
    /// PEM roots, if not the public ones.
    pub tls_ca: Option<Reference>,
    /// Oracle: the wallet.
    pub wallet: Option<Wallet>,
    /// Oracle: the wallet's password.
    pub wallet_password: Option<Reference>,
    /// An administrator's login, for `prepare`, `reconcile` and `revoke` only.
    pub admin: Option<Reference>,
    /// Longest time for a connection and login.
    pub connect_timeout: Duration,
    /// Longest time for a statement.
    pub statement_timeout: Duration,
    /// What its passwords look like.
    pub password: Policy,
}

/// Where a wallet is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wallet {
    /// `oci-adb:OCID`: made by the database service.
    Generated {
        /// The database's OCID.
        ocid: String,
    },
    /// `oci://NAMESPACE/BUCKET/OBJECT`.
    Object {
        /// The tenancy's namespace.
        namespace: String,
        /// The bucket.
        bucket: String,
        /// The object.
        object: String,
    },
    /// A file, folder or secret: the wallet itself, its base64, or a pre-authenticated `https:` URL.
    Reference(Reference),
}

/// A secret that publishes the set's credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secret {
    /// Where it is: `aws-sm` or `oci-vault`, without a field.
    pub store: Reference,
    /// Its format; `None`: what it holds already.
    pub format: Option<Format>,
    /// Which database a flat (`rds`) secret publishes: as configured, or the only one.
    pub database: Option<String>,
}

/// Something that a configuration needs and a build may lack.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Adapter {
    /// Audit records signed with a key.
    AuditKey,
    /// SSM Parameter Store, for references.
    AwsParameters,
    /// AWS Secrets Manager.
    AwsSecrets,
    /// Topics of SNS, for notices.
    AwsTopics,
    /// OCI's database service, for wallets.
    OciDatabase,
    /// OCI Object Storage, for journal, audit or wallets.
    OciObjects,
    /// Topics of OCI Notifications, for notices.
    OciTopics,
    /// OCI Vault.
    OciVault,
    /// Oracle databases.
    Oracle,
    /// PostgreSQL.
    Postgres,
    /// S3, for journal or audit.
    S3,
    /// Webhooks, for notices.
    Webhooks,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AuditKey => "signed audit records",
            Self::AwsParameters => "SSM Parameter Store",
            Self::AwsSecrets => "AWS Secrets Manager",
            Self::AwsTopics => "SNS topics",
            Self::OciDatabase => "OCI's database service",
            Self::OciObjects => "OCI Object Storage",
            Self::OciTopics => "topics of OCI Notifications",
            Self::OciVault => "OCI Vault",
            Self::Oracle => "Oracle databases",
            Self::Postgres => "PostgreSQL",
            Self::S3 => "S3",
            Self::Webhooks => "webhooks",
        })
    }
}

/// One key of the file that needs an adapter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Need {
    /// What it needs.
    pub adapter: Adapter,
    /// The set it belongs to; `None` if it concerns all.
    pub set: Option<String>,
    /// The key: `sets.orders.secrets[0].store`.
    pub key: String,
    /// Where that stands.
    pub position: Position,
}

impl Config {
    /// The set with this name.
    ///
    /// # Errors
    /// If there is none; says which there are.
    pub fn set(&self, name: &str) -> Result<&RotationSet, ConfigError> {
        self.sets.get(name).ok_or_else(|| {
            let names = || self.sets.keys().map(String::as_str);
            // Enough to recognise the file by; a thousand sets would hide the message.
            let mut some: Vec<&str> = names().take(10).collect();
            if self.sets.len() > some.len() {
                some.push("...");
            }
            let hint = match nearest(name, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the sets are: {}", some.join(", ")),
            };
            ConfigError {
                mistake: Mistake::Unknown,
                file: self.file.clone(),
                position: None,
                key: None,
                what: format!("there is no set `{name}`"),
                hint: Some(hint),
            }
        })
    }

    /// Every reference to something that is read: keys, administrators, roots, wallets and their passwords. Not the secrets that
    /// publish credentials, which are stores.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        fn of_database(database: &Database) -> impl Iterator<Item = &Reference> {
            let wallet = match &database.wallet {
                Some(Wallet::Reference(reference)) => Some(reference),
                Some(Wallet::Generated { .. } | Wallet::Object { .. }) | None => None,
            };
            let all = [database.tls_ca.as_ref(), wallet, database.wallet_password.as_ref(), database.admin.as_ref()];
            all.into_iter().flatten()
        }
        let audit = self.audit.key.iter().chain(&self.audit.former_keys).chain(&self.audit.note_key);
        let all = audit.chain(&self.oci.key).chain(self.notify.references());
        all.chain(self.sets.values().flat_map(|set| &set.databases).flat_map(of_database))
    }

    /// A configuration without sets and with nothing but defaults, for commands that are given all they need.
    #[must_use]
    pub fn empty() -> Self {
        let audit = Audit {
            key: None,
            former_keys: Vec::new(),
            note_key: None,
            sinks: Vec::new(),
            require: AuditRequire::default(),
        };
        let journal = Place::File(PathBuf::from("./dizzy-state"));
        Self {
            file: String::new(),
            journal,
            audit,
            aws_role: None,
            oci: Oci::default(),
            notify: Notify::default(),
            sets: BTreeMap::new(),
            needs: Vec::new(),
        }
    }

    /// What the given sets, and the parts common to all, need.
    pub fn needs<'a>(&'a self, sets: &'a [&'a str]) -> impl Iterator<Item = &'a Need> {
        self.needs.iter().filter(|need| need.set.as_deref().is_none_or(|set| sets.contains(&set)))
    }

    /// Checks that everything the given sets need is among `available`.
    ///
    /// # Errors
    /// [`Mistake::Unsupported`], for the first key that needs something else.
    pub fn require(&self, sets: &[&str], available: &[Adapter]) -> Result<(), ConfigError> {
        match self.needs(sets).find(|need| !available.contains(&need.adapter)) {
            None => Ok(()),
            Some(need) => Err(ConfigError {
                mistake: Mistake::Unsupported,
                file: self.file.clone(),
                position: Some(need.position),
                key: Some(need.key.clone()),
                what: format!("this build has no adapter for {}", need.adapter),
                hint: Some("the configuration is right; a build that has the adapter accepts it as it is".to_owned()),
            }),
        }
    }
}

impl Notify {
    /// Every reference to something that is read.
    fn references(&self) -> impl Iterator<Item = &Reference> {
        self.receivers.iter().flat_map(|receiver| match &receiver.to {
            Destination::OciTopic(_) | Destination::SnsTopic(_) => [None, None, None].into_iter().flatten(),
            Destination::Webhook { url, signing_key, tls_ca } => {
                [Some(url), signing_key.as_ref(), tls_ca.as_ref()].into_iter().flatten()
            }
        })
    }
}

impl RotationSet {
    /// A fingerprint of what the set's decisions depend on: engines, users, strategies, stores and formats, with their names and
    /// order. Hosts, schedules, limits and policies are not part of it: changing them does not concern a rotation under way.
    /// 64 hex digits, stable between versions of the program.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        // Every part is preceded by its length, so that no two configurations give the same bytes.
        let mut put = |part: &str| {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        };
        put("dizzy-keys/target/v1");
        put(&self.name);
        put(&self.databases.len().to_string());
        for database in &self.databases {
            put(&database.name);
            put(match database.engine {
                Engine::Oracle => "oracle",
                Engine::Postgres => "postgres",
            });
            put(match database.strategy {
                Strategy::Alternating => "alternating",
                Strategy::Rollover => "rollover",
                Strategy::Single => "single",
            });
            put(&database.users.len().to_string());
            for user in &database.users {
                put(user);
            }
        }
        put(&self.secrets.len().to_string());
        for secret in &self.secrets {
            put(&secret.store.to_string());
            put(match secret.format {
                None => "",
                Some(Format::Blob) => "blob",
                Some(Format::Rds) => "rds",
            });
            put(secret.database.as_deref().unwrap_or_default());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The database with this name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }
}
