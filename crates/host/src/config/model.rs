//! The configuration as it is written: plain structs, one field per key, texts not yet read further.
//!
//! Unknown keys are refused. The JSON schema that editors use is made from these types and their doc comments, so the
//! comments speak to the person who writes the file. Meaning and limits are checked when it is resolved.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::notice::Event;

/// Configuration of dizzy-keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(title = "dizzy-keys.toml")]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Where the state of each rotation set is kept. Holds no secret.
    #[serde(default)]
    pub journal: JournalModel,
    /// The audit trail.
    #[serde(default)]
    pub audit: AuditModel,
    /// AWS: a role to take on.
    #[serde(default)]
    pub aws: AwsModel,
    /// Oracle Cloud: how to authenticate, and other endpoints than the public ones.
    #[serde(default)]
    pub oci: OciModel,
    /// Who is told how sets have ended.
    #[serde(default)]
    pub notify: NotifyModel,
    /// The rotation sets, by name. A set is rotated as one unit.
    #[serde(default)]
    pub sets: BTreeMap<String, SetModel>,
}

/// Where the journal registers live.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JournalModel {
    /// `file:DIR` (default `file:./dizzy-state`), `s3://BUCKET/PREFIX` or `oci://NAMESPACE/BUCKET/PREFIX`.
    pub url: Option<String>,
}

/// The audit trail.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditModel {
    /// Secret reference to the key that signs the records (at least 32 bytes). Without it records are not signed.
    pub key: Option<String>,
    /// Secret references to keys that `key` replaced: what they have signed is verified with them.
    pub former_keys: Option<Vec<String>>,
    /// Secret reference to an Ed25519 seed (32 bytes): each stream that ends gets a signed note, for verifiers that must not hold `key`.
    pub note_key: Option<String>,
    /// Where records go: `file:DIR` (default `file:./dizzy-audit`), `s3://BUCKET/PREFIX`, `oci://NAMESPACE/BUCKET/PREFIX`.
    pub sinks: Option<Vec<String>>,
    /// How many of the sinks must have a record before the first side effect of a rotation.
    pub require: Option<AuditRequire>,
}

/// How many sinks must have a record before the first side effect.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AuditRequire {
    /// One is enough; the others are caught up.
    #[default]
    Any,
    /// Every one.
    All,
}

/// AWS.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsModel {
    /// A role to assume with the credentials that AWS's own sources give: everything in AWS is done as this role.
    pub role_arn: Option<String>,
    /// What the role's trust policy asks for, if it asks (`sts:ExternalId`). Not a secret.
    pub external_id: Option<String>,
    /// The name of the session, which CloudTrail shows (default `dizzy-keys`).
    pub session_name: Option<String>,
}

/// Oracle Cloud.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OciModel {
    /// How to authenticate (default `auto`: what the place offers).
    pub auth: Option<OciAuth>,
    /// Secret reference to an API key, where there is neither a resource principal nor a configuration file (a Lambda function): a JSON
    /// object with `tenancy`, `user`, `fingerprint`, `key` (PEM), and `region` and `pass_phrase` if there are any.
    pub key: Option<String>,
    /// Other endpoints than the public ones.
    #[serde(default)]
    pub endpoints: OciEndpointsModel,
}

/// How to authenticate to Oracle Cloud.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OciAuth {
    /// Resource principal in a function, else the key in `key`, else the configuration file. Never the instance's principal.
    #[default]
    Auto,
    /// The configuration file (`~/.oci/config`).
    Config,
    /// The function's or workload's resource principal.
    ResourcePrincipal,
    /// The principal of a machine of OCI compute.
    InstancePrincipal,
}

/// Endpoints of Oracle Cloud services: https, or http on a loopback address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OciEndpointsModel {
    /// Secret retrieval.
    pub secrets: Option<String>,
    /// Vault management.
    pub vaults: Option<String>,
    /// Object Storage.
    pub objectstorage: Option<String>,
    /// Database service (wallets).
    pub database: Option<String>,
    /// Notifications (topics).
    pub notifications: Option<String>,
    /// Federation.
    pub auth: Option<String>,
}

/// Who is told how sets have ended. A notice never stands in the way of a rotation.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NotifyModel {
    /// What is told (default: `failed`, `stuck`, `unfinished`, `drift`; `promoted` on request).
    pub on: Option<Vec<Event>>,
    /// Who is told.
    #[serde(default)]
    pub receivers: Vec<ReceiverModel>,
}

/// Who is told: exactly one of `webhook` and `topic`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiverModel {
    /// Secret reference to an `https:` URL that gets the notice as JSON by POST. Whoever has the URL can write there, so it is a secret.
    pub webhook: Option<String>,
    /// The ARN of an SNS topic, or the OCID of a topic of OCI Notifications.
    pub topic: Option<String>,
    /// Webhook: secret reference to a key; requests are signed with it as Standard Webhooks describes (HMAC-SHA256).
    pub signing_key: Option<String>,
    /// Webhook: secret reference to PEM roots that the host's certificate may lead to, besides the public ones.
    pub tls_ca: Option<String>,
    /// What this receiver is told, instead of `notify.on`.
    pub on: Option<Vec<Event>>,
}

/// A rotation set: databases and the secrets that publish their credentials.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetModel {
    /// How long credentials live before `rotate --due` replaces them: `30d`, `12h`, `90m`.
    pub every: Option<String>,
    /// Instead of `every`: five cron fields, in UTC.
    pub cron: Option<String>,
    /// Hours of the day, in UTC, in which `rotate --due` may rotate: `02:00-04:00`; may span midnight.
    pub window: Option<String>,
    /// Spreads due rotations of many sets over this long, the same for a set each time: `30m`.
    pub spread: Option<String>,
    /// Shortest time between two rotations by `rotate --due`: `1h`.
    pub min_interval: Option<String>,
    /// Oracle: how long before a password expires on the server `rotate --due` replaces it, whatever `every` or `cron` say: `7d`.
    pub renew_before: Option<String>,
    /// What to do if the idle user still has sessions when it is about to be changed (default `wait`).
    pub on_active_sessions: Option<OnActiveSessions>,
    /// Whether each database gets a password of its own, or all share one that satisfies the rules of each (default `each`).
    pub passwords: Option<Passwords>,
    /// The databases, by name. In a `blob` secret each has its object under this name.
    #[serde(default)]
    pub databases: BTreeMap<String, DatabaseModel>,
    /// The secrets that publish the credentials.
    #[serde(default)]
    pub secrets: Vec<SecretModel>,
}

/// What to do about sessions of the idle user.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnActiveSessions {
    /// Wait for them up to a minute, then refuse.
    #[default]
    Wait,
    /// Rotate, and say so.
    Warn,
    /// Refuse at once.
    Refuse,
}

/// How many passwords a generation of a set has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Passwords {
    /// One per database.
    #[default]
    Each,
    /// One for all databases. Who learns it can log in to all of them.
    Shared,
}

/// A database: one account, or a pair of accounts, on one server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseModel {
    /// The kind of server.
    pub engine: Engine,
    /// Host name; read from the secret if it is there.
    pub host: Option<String>,
    /// Port; read from the secret if it is there, else the engine's usual one.
    pub port: Option<u16>,
    /// PostgreSQL: the database to connect to; read from the secret if it is there.
    pub dbname: Option<String>,
    /// Oracle: alias in the wallet's `tnsnames.ora`.
    pub service: Option<String>,
    /// Oracle without an alias: the service's name, with `host` and `port`.
    pub service_name: Option<String>,
    /// The users whose passwords rotate: two take turns (alternating); one needs `strategy`.
    pub users: Option<Vec<String>>,
    /// How the database moves to a new password.
    pub strategy: Option<StrategyModel>,
    /// Secret reference to PEM roots that the server's certificate must lead to (default: public roots and those of RDS).
    pub tls_ca: Option<String>,
    /// Oracle: where the wallet is. `file:PATH`, `oci://NAMESPACE/BUCKET/OBJECT`, `oci-adb:OCID`, or a secret with its base64 or a URL.
    pub wallet: Option<String>,
    /// Oracle: secret reference to the wallet's password.
    pub wallet_password: Option<String>,
    /// Secret reference to `{"username","password"}` of an administrator, read by `prepare`, `reconcile` and `revoke` only.
    pub admin: Option<String>,
    /// Longest time for a connection and login: `5s`.
    pub connect_timeout: Option<String>,
    /// Longest time for a statement: `10s`.
    pub statement_timeout: Option<String>,
    /// What generated passwords look like.
    #[serde(default)]
    pub password: PasswordModel,
}

/// The kind of server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Oracle Database, Autonomous or not.
    Oracle,
    /// PostgreSQL.
    Postgres,
}

/// How a database moves to a new password.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum StrategyModel {
    /// Two users take turns; the idle one is changed, then published. No moment without a working credential.
    Alternating,
    /// Oracle: one user, whose old and new password both work for a while.
    Rollover,
    /// One user; between its change and the publication, the published credential does not log in.
    Single,
}

/// What generated passwords look like.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordModel {
    /// Characters, 12 to 128 (default 32); Oracle: 12 to 30 (default 30).
    pub length: Option<u16>,
    /// At least one character of each (default: all four). Symbols are `-`, `.`, `_` and `~`.
    pub classes: Option<Vec<ClassModel>>,
    /// Characters never to use.
    pub exclude: Option<String>,
    /// What the first character may be (default: a letter).
    pub first: Option<Vec<ClassModel>>,
    /// Texts that no password may contain, in whatever case; at most 32, of 2 to 64 characters. User names never are in one, forwards or backwards.
    pub forbidden: Option<Vec<String>>,
}

/// A class of characters.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ClassModel {
    /// `0` to `9`.
    Digit,
    /// `a` to `z`.
    Lower,
    /// `-`, `.`, `_` and `~`, which need no quoting in URLs, shells, DSNs and JSON.
    Symbol,
    /// `A` to `Z`.
    Upper,
}

/// A secret that publishes credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretModel {
    /// Where it is: `aws-sm:NAME-OR-ARN` or `oci-vault:OCID`.
    pub store: String,
    /// What it looks like (default: what it holds already).
    pub format: Option<FormatModel>,
    /// Format `rds`: which database it publishes, if the set has several.
    pub database: Option<String>,
}

/// What a secret looks like.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum FormatModel {
    /// One object per database, under the database's name.
    Blob,
    /// AWS's flat JSON for one database.
    Rds,
}
