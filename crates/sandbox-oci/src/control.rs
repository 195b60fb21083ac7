//! The control API for what is in the cloud: what a test sets up and what it looks at, past signatures and rights.

use anyhow::{Result, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    COMPARTMENT, MASTER_KEY, VAULT,
    database::Database,
    emulator::OciEmulator,
    faults::held,
    http::Refused,
    vault::{Content, NewSecret, Secret, Settle, Stage},
};

/// A secret to make.
#[derive(Clone, Debug)]
pub struct SecretOptions {
    name: String,
    content: Vec<u8>,
    version_name: Option<String>,
    vault: String,
    rules: Vec<Value>,
    rotation: Option<Value>,
    replica: bool,
}

impl SecretOptions {
    /// A secret with this name and first content, in the sandbox's vault and compartment.
    #[must_use]
    pub fn new(name: &str, content: impl Into<Vec<u8>>) -> Self {
        let (name, content) = (name.to_owned(), content.into());
        Self {
            name,
            content,
            version_name: None,
            vault: VAULT.to_owned(),
            rules: Vec::new(),
            rotation: None,
            replica: false,
        }
    }

    /// Names the first version.
    #[must_use]
    pub fn version_name(mut self, name: &str) -> Self {
        self.version_name = Some(name.to_owned());
        self
    }

    /// Puts it into another vault.
    #[must_use]
    pub fn vault(mut self, vault: &str) -> Self {
        vault.clone_into(&mut self.vault);
        self
    }

    /// Adds SECRET_REUSE_RULE, for deleted versions as well if so wanted.
    #[must_use]
    pub fn forbid_reuse(mut self, deleted_versions_too: bool) -> Self {
        self.rules.push(json!({
            "ruleType": "SECRET_REUSE_RULE",
            "isEnforcedOnDeletedSecretVersions": deleted_versions_too,
        }));
        self
    }

    /// Adds SECRET_EXPIRY_RULE: versions expire after so many days, and are not readable then.
    #[must_use]
    pub fn expire_after_days(mut self, days: u32) -> Self {
        self.rules.push(json!({
            "ruleType": "SECRET_EXPIRY_RULE",
            "secretVersionExpiryInterval": format!("P{days}D"),
            "isSecretContentRetrievalBlockedOnExpiry": true,
        }));
        self
    }

    /// Vault itself changes ADMIN of this database every 30 days. The emulator says so, and does not do it.
    #[must_use]
    pub fn rotated_by_vault(mut self, database: &str) -> Self {
        self.rotation = Some(json!({
            "rotationInterval": "P30D",
            "isScheduledRotationEnabled": true,
            "targetSystemDetails": {"targetSystemType": "ADB", "adbId": database},
        }));
        self
    }

    /// A copy of another region's secret, which is read-only.
    #[must_use]
    pub const fn replica(mut self) -> Self {
        self.replica = true;
        self
    }

    pub(crate) fn build(&self) -> Result<NewSecret> {
        let content = Content::new(STANDARD.encode(&self.content), self.version_name.clone(), Stage::Current);
        Ok(NewSecret {
            name: self.name.clone(),
            vault: self.vault.clone(),
            compartment: COMPARTMENT.to_owned(),
            key: MASTER_KEY.to_owned(),
            description: None,
            metadata: json!({}),
            rules: self.rules.clone(),
            rotation: self.rotation.clone(),
            replica: self.replica,
            content: content.map_err(told)?,
        })
    }
}

/// A secret as it is, whatever the services show of it.
#[derive(Clone, Debug)]
pub struct SecretView {
    /// `ACTIVE`, `UPDATING`, ...
    pub lifecycle_state: String,
    /// The etag of the management API.
    pub etag: String,
    /// By number.
    pub versions: Vec<VersionView>,
}

impl SecretView {
    /// The version of a stage; the newest, if there are several.
    #[must_use]
    pub fn at(&self, stage: Stage) -> Option<&VersionView> {
        self.versions.iter().rev().find(|version| version.stage == stage)
    }

    /// `1=PREVIOUS 2=CURRENT`, for messages and comparisons.
    #[must_use]
    pub fn stages(&self) -> String {
        let each = |version: &VersionView| format!("{}={}", version.number, version.stage.name());
        self.versions.iter().map(each).collect::<Vec<_>>().join(" ")
    }
}

/// One version. `Debug` shows its content: these are a sandbox's secrets.
#[derive(Clone, Debug)]
pub struct VersionView {
    /// Its number, from 1.
    pub number: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its rotation state.
    pub stage: Stage,
    /// Its content, decoded.
    pub content: Vec<u8>,
    /// When it is to be deleted.
    pub time_of_deletion: Option<Timestamp>,
}

impl VersionView {
    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// A bucket to make.
#[derive(Clone, Debug, Default)]
pub struct BucketOptions {
    pub(crate) retention_days: Option<i64>,
}

impl BucketOptions {
    /// A bucket without rules.
    #[must_use]
    pub const fn new() -> Self {
        Self { retention_days: None }
    }

    /// With a retention rule of so many days.
    #[must_use]
    pub const fn retain_days(mut self, days: i64) -> Self {
        self.retention_days = Some(days);
        self
    }
}

/// An object as it is.
#[derive(Clone, Debug)]
pub struct ObjectView {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its etag.
    pub etag: String,
    /// Its metadata, without the prefix `opc-meta-`.
    pub metadata: Vec<(String, String)>,
}

impl OciEmulator {
    /// A secret with all its versions.
    ///
    /// # Errors
    /// If there is no such secret.
    pub fn secret(&self, id: &str) -> Result<SecretView> {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        world.vault.pass_time(now);
        let secret = world.vault.secret(id).map_err(told)?;
        let version = |version: &crate::vault::Version| VersionView {
            number: version.number,
            name: version.name.clone(),
            stage: version.stage,
            content: STANDARD.decode(&version.content).unwrap_or_default(),
            time_of_deletion: version.deletion,
        };
        Ok(SecretView {
            lifecycle_state: secret.state.clone(),
            etag: secret.etag(),
            versions: secret.versions.iter().map(version).collect(),
        })
    }

    /// Ends an update that waits for word: the secret is ACTIVE.
    ///
    /// # Errors
    /// If there is no such secret.
    pub fn settle(&self, id: &str) -> Result<()> {
        let mut world = held(&self.shared.world);
        let lag = world.vault.lag;
        world.vault.secret(id).map(|secret| secret.settle(lag)).map_err(told)
    }

    /// Changes when later updates are over.
    pub fn set_settle(&self, settle: Settle) {
        held(&self.shared.world).vault.settle = settle;
    }

    /// Changes how many reads of the retrieval service lag behind each later update.
    pub fn set_stale_reads(&self, reads: u32) {
        held(&self.shared.world).vault.lag = reads;
    }

    /// Puts a secret into a lifecycle state, with no end but another call of this.
    ///
    /// # Errors
    /// If there is no such secret.
    pub fn set_lifecycle_state(&self, id: &str, state: &str) -> Result<()> {
        let mut world = held(&self.shared.world);
        world.vault.secret(id).map(|secret: &mut Secret| state.clone_into(&mut secret.state)).map_err(told)
    }

    /// Makes an autonomous database.
    pub fn create_database(&self, id: &str, name: &str, admin_password: &str) {
        let mut world = held(&self.shared.world);
        let now = world.clock.now();
        world.databases.all.insert(id.to_owned(), Database::new(name, admin_password, now));
    }

    /// The password that ADMIN has.
    ///
    /// # Errors
    /// If there is no such database.
    pub fn admin_password(&self, id: &str) -> Result<String> {
        let world = held(&self.shared.world);
        let password = world.databases.all.get(id).and_then(Database::admin_password);
        password.map(str::to_owned).ok_or_else(|| anyhow!("there is no database {id}"))
    }
}

/// A refusal as an error of the control API.
pub(crate) fn told(refused: Refused) -> anyhow::Error {
    anyhow!("{}: {}", refused.code, refused.message)
}
