//! The secret store port: one configured secret, its versions and its labels.
//!
//! CURRENT, PREVIOUS and PENDING are the store's own stages; a *version name* is our label on one generation. Nothing we
//! may need is ever left without a label. Labels move by compare-and-swap only.

use core::fmt;
use std::collections::BTreeMap;

use async_trait::async_trait;
use dizzy_engine::Generation;

use super::{Deadline, PortResult};
use crate::secret::SecretText;

/// The store's own id of a version (AWS: VersionId; OCI: version number as text).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VersionId(pub String);

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our label on one generation of one register: `dizzy-g<10 digits>-<first 10 of the register id>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VersionName {
    /// The generation.
    pub generation: Generation,
    /// The first ten characters of the register's id.
    pub register: String,
}

impl VersionName {
    /// The name of `generation` under the register with this id.
    #[must_use]
    pub fn new(generation: Generation, register_id: &str) -> Self {
        Self { generation, register: register_id.chars().take(10).collect() }
    }

    /// Reads a label back; `None` for labels that are not ours.
    #[must_use]
    pub fn parse(label: &str) -> Option<Self> {
        let rest = label.strip_prefix("dizzy-g")?;
        let (digits, register) = rest.split_once('-')?;
        if digits.len() != 10 || !digits.bytes().all(|b| b.is_ascii_digit()) || register.len() != 10 {
            return None;
        }
        Some(Self { generation: Generation(digits.parse().ok()?), register: register.to_owned() })
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dizzy-g{:010}-{}", self.generation.0, self.register)
    }
}

/// A version with its value.
pub struct StoredVersion {
    /// Its id.
    pub id: VersionId,
    /// What consumers would read.
    pub value: SecretText,
    /// Whether PENDING is on this version as well; false where the store's answer does not tell.
    pub is_pending: bool,
}

/// Which version carries which label.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labels {
    /// CURRENT.
    pub current: Option<VersionId>,
    /// PREVIOUS.
    pub previous: Option<VersionId>,
    /// PENDING. May sit on the CURRENT version or on an empty one (AWS, after a failed rotation).
    pub pending: Option<VersionId>,
    /// Our version names.
    pub named: BTreeMap<VersionName, VersionId>,
}

/// A secret in a store.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The reference in the configuration (`aws-sm:prod/orders`); used in messages and the audit trail.
    fn name(&self) -> &str;

    /// What consumers read: the CURRENT version. May be stale (stores are eventually consistent); the caller compares
    /// the id with what it expects and asks again.
    ///
    /// # Errors
    /// `NotFound` if the secret does not exist; `Malformed` if it is not text.
    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion>;

    /// Reads one version.
    ///
    /// # Errors
    /// `NotFound` if it is not there (yet).
    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion>;

    /// All labels.
    ///
    /// # Errors
    /// `Managed` if another service owns the secret's rotation (RDS-managed).
    async fn labels(&self, deadline: Deadline) -> PortResult<Labels>;

    /// Creates the version `name` with this value, without touching CURRENT or PENDING, and labels it. Create-only: a repeat with
    /// the same name and value returns the same id.
    ///
    /// # Errors
    /// `Exists` if the name is taken by another value (read it then: the first writer wins).
    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId>;

    /// Creates one more version of the generation `name`: `value` is what the version `edited` holds, which a person made CURRENT, with the
    /// credentials of the generation in it. The name goes over to the new version; CURRENT is not touched, and PENDING goes where
    /// [`stage`](Self::stage) would put it. A repeat for the same edit and value returns the same id.
    ///
    /// # Errors
    /// `Exists` if this edit was taken in before with another value; `Managed` if the store itself has begun this rotation and expects the version
    /// that it named.
    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId>;

    /// Puts our name on a version that exists already (adoption). Idempotent. A store in which names are given at creation only, and
    /// in which no version vanishes by itself (OCI Vault), merely checks that the version is there and will stay.
    ///
    /// # Errors
    /// `Conflict` if the name is on another version.
    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()>;

    /// Whether [`stage`](Self::stage) makes the version PENDING by itself, because the store has no other way to create one beside
    /// CURRENT (OCI Vault). [`move_pending`](Self::move_pending) is not called then.
    fn stages_as_pending(&self) -> bool {
        false
    }

    /// Whether the store will take the versions of one rotation, an abort and its repetition included; asked before anything is begun.
    ///
    /// # Errors
    /// `Refused` if the store has too little room, with what to do about it.
    async fn room(&self, deadline: Deadline) -> PortResult<()> {
        let _ = deadline;
        Ok(())
    }

    /// Moves PENDING from `from` (`None`: on no version) to `to`, by compare-and-swap.
    ///
    /// # Errors
    /// `Conflict` if PENDING is elsewhere.
    async fn move_pending(&self, from: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()>;

    /// Takes PENDING off `id`, on which it is: the end of a rotation that the store itself has begun. Idempotent. Nothing is to be
    /// done where PENDING becomes CURRENT by itself (OCI Vault).
    ///
    /// # Errors
    /// `Conflict` if PENDING is elsewhere.
    async fn clear_pending(&self, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let _ = (id, deadline);
        Ok(())
    }

    /// Moves CURRENT from `from` to `to`, by compare-and-swap; the old one becomes PREVIOUS. Any error, `Conflict`
    /// included, says nothing about an earlier attempt: read [`labels`](Self::labels), then decide.
    ///
    /// # Errors
    /// `Conflict` if CURRENT is not on `from`.
    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()>;

    /// Takes our name off a version, after which the store may delete it. Idempotent; a name that is not there is applied.
    ///
    /// # Errors
    /// `Conflict` if the name is on another version than `id`.
    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()>;
}
