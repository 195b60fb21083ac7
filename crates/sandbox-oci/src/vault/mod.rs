//! Vault: secrets, their versions and stages, and how a change settles.
//!
//! This file holds the state and the moves between stages; `manage` is the management API, `retrieve` the retrieval API,
//! `json` their common shapes. Sources: Oracle documentation, "Secret Versions and Rotation States", "Managing Secrets", the
//! model documentation of the oci Python SDK 2.189.0, and what the README lists as unverified.

mod json;
mod manage;
mod retrieve;

use core::mem;
use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use crate::{clock::days_later, http::Refused};

pub(crate) use manage::{NewSecret, answer as manage};
pub(crate) use retrieve::answer as retrieve;

/// Versions in use per secret. Oracle documentation, "Service Limits", Vault.
const VERSIONS_IN_USE: usize = 30;
/// Versions scheduled for deletion per secret, from the same page.
const VERSIONS_PENDING_DELETION: usize = 30;
/// Bytes of content, decoded. Oracle documentation, "Managing Secrets": 25 KB.
const CONTENT_BYTES: usize = 25 * 1024;
/// Characters of a version's name: unverified.
const NAME_CHARACTERS: usize = 255;
/// Days until a deletion; the last is the default. Oracle documentation, "Deleting a Secret Version".
const DELETION_DAYS: (i64, i64) = (1, 30);

/// The rotation state of a version. The highest number is `LATEST` besides.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// What consumers read.
    Current,
    /// Written, not yet in use.
    Pending,
    /// What was current before.
    Previous,
    /// None of these.
    Deprecated,
}

impl Stage {
    /// As the APIs write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "CURRENT",
            Self::Pending => "PENDING",
            Self::Previous => "PREVIOUS",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

/// When an update is over and the secret `ACTIVE` again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Settle {
    /// After this many answers of GetSecret that still say `UPDATING`.
    AfterPolls(u32),
    /// When [`OciEmulator::settle`](crate::OciEmulator::settle) says so.
    WhenTold,
}

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) number: u64,
    pub(crate) name: Option<String>,
    /// Base64, as it was sent.
    pub(crate) content: String,
    pub(crate) stage: Stage,
    pub(crate) created: Timestamp,
    pub(crate) deletion: Option<Timestamp>,
    pub(crate) expiry: Option<Timestamp>,
}

/// What happens to a secret when the time has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pending {
    Nothing,
    Polls(u32),
    Word,
}

#[derive(Clone, Debug)]
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) vault: String,
    pub(crate) compartment: String,
    key: String,
    description: Option<String>,
    metadata: Value,
    freeform_tags: Value,
    defined_tags: Value,
    rules: Vec<Value>,
    rotation: Option<Value>,
    /// Copied from another region, and read-only here.
    replica: bool,
    created: Timestamp,
    pub(crate) state: String,
    deletion: Option<Timestamp>,
    pub(crate) versions: Vec<Version>,
    /// Numbers are never used again, even if the highest version is deleted.
    last_number: u64,
    /// Contents of versions that are gone, for the reuse rule.
    gone: Vec<String>,
    revision: u64,
    pending: Pending,
    /// What the retrieval service shows.
    shown: Vec<Version>,
    stale_reads: u32,
}

/// All secrets, and how the service behaves.
#[derive(Debug)]
pub(crate) struct Vault {
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) settle: Settle,
    /// Reads of the retrieval service that lag behind each settled update.
    pub(crate) lag: u32,
    pub(crate) duplicate_name: (u16, &'static str),
    retry_tokens: BTreeMap<String, (Vec<u8>, String)>,
    made: u64,
}

impl Vault {
    pub(crate) const fn new(settle: Settle, lag: u32, duplicate_name: (u16, &'static str)) -> Self {
        Self { secrets: BTreeMap::new(), settle, lag, duplicate_name, retry_tokens: BTreeMap::new(), made: 0 }
    }

    pub(crate) fn secret(&mut self, id: &str) -> Result<&mut Secret, Refused> {
        self.secrets.get_mut(id).ok_or_else(Refused::hidden)
    }

    /// Carries out what was scheduled for a time that has come.
    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        for secret in self.secrets.values_mut() {
            if secret.deletion.is_some_and(|at| at <= now) {
                secret.state = "DELETED".to_owned();
                secret.versions.clear();
                secret.shown.clear();
            }
            let due = |version: &Version| version.deletion.is_some_and(|at| at <= now);
            let gone: Vec<_> = secret.versions.extract_if(.., |version| due(version)).collect();
            secret.gone.extend(gone.into_iter().map(|version| version.content));
            secret.shown.retain(|version| !due(version));
        }
    }
}

impl Secret {
    pub(crate) fn etag(&self) -> String {
        format!("{:016x}", self.revision)
    }

    /// Whether a version is `LATEST`.
    fn is_latest(&self, number: u64) -> bool {
        self.versions.iter().all(|version| version.number <= number)
    }

    pub(crate) fn stages(&self, version: &Version) -> Vec<&'static str> {
        let latest = self.is_latest(version.number).then_some("LATEST");
        [Some(version.stage.name()), latest].into_iter().flatten().collect()
    }

    pub(crate) fn current(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.stage == Stage::Current)
    }

    fn version_mut(&mut self, number: u64) -> Option<&mut Version> {
        self.versions.iter_mut().find(|version| version.number == number)
    }

    /// An update is over: management says `ACTIVE`, retrieval follows after its lag.
    pub(crate) fn settle(&mut self, lag: u32) {
        self.state = "ACTIVE".to_owned();
        self.pending = Pending::Nothing;
        self.revision += 1;
        self.stale_reads = lag;
        if lag == 0 {
            self.shown = self.versions.clone();
        }
    }

    /// One poll by GetSecret; the answer that is being prepared shows the state after it.
    fn polled(&mut self, lag: u32) {
        match self.pending {
            Pending::Polls(0) => self.settle(lag),
            Pending::Polls(left) => self.pending = Pending::Polls(left - 1),
            Pending::Nothing | Pending::Word => {}
        }
    }

    /// An update was accepted. `waiting` is what the secret is called until it settles.
    fn begin(&mut self, waiting: &str, settle: Settle) {
        self.revision += 1;
        self.state = waiting.to_owned();
        self.pending = match settle {
            Settle::AfterPolls(polls) => Pending::Polls(polls),
            Settle::WhenTold => Pending::Word,
        };
    }

    fn require_active(&self) -> Result<(), Refused> {
        if self.replica {
            return Err(Refused::state(format!("The secret {} is a replica.", self.id)));
        }
        if self.state == "ACTIVE" {
            return Ok(());
        }
        Err(Refused::state(format!("The secret {} is in state {}, which does not allow this.", self.id, self.state)))
    }

    fn require_etag(&self, if_match: Option<&str>) -> Result<(), Refused> {
        match if_match {
            Some(etag) if etag.trim_matches('"') != self.etag() => Err(Refused::etag()),
            Some(_) | None => Ok(()),
        }
    }

    /// Adds a version. New CURRENT: the old one becomes PREVIOUS and the old PREVIOUS DEPRECATED. New PENDING: the old
    /// PENDING becomes DEPRECATED.
    fn add(&mut self, content: Content, now: Timestamp, duplicate: (u16, &str)) -> Result<u64, Refused> {
        let in_use = self.versions.iter().filter(|version| version.deletion.is_none()).count();
        if in_use >= VERSIONS_IN_USE {
            return Err(Refused::new(400, "LimitExceeded", format!("the secret has {in_use} versions in use")));
        }
        if let Some(name) = &content.name
            && self.versions.iter().any(|version| version.name.as_ref() == Some(name))
        {
            return Err(Refused::new(duplicate.0, duplicate.1, format!("a version is called {name} already")));
        }
        self.forbid_reuse(&content.base64)?;
        self.last_number += 1;
        let number = self.last_number;
        let expiry = self.expiry_days().map(|days| days_later(now, days));
        match content.stage {
            Stage::Pending => self.move_all(Stage::Pending, Stage::Deprecated),
            Stage::Current | Stage::Previous | Stage::Deprecated => self.dethrone(),
        }
        let Content { base64, name, stage } = content;
        self.versions.push(Version { number, name, content: base64, stage, created: now, deletion: None, expiry });
        Ok(number)
    }

    /// Makes a version CURRENT.
    fn promote(&mut self, number: u64) -> Result<(), Refused> {
        let version =
            self.version_mut(number).ok_or_else(|| Refused::invalid(format!("there is no version {number}")))?;
        if version.deletion.is_some() {
            return Err(Refused::state(format!("version {number} is to be deleted")));
        }
        if version.stage == Stage::Current {
            return Ok(());
        }
        // Taken out first, so that promoting PREVIOUS does not deprecate it on the way.
        version.stage = Stage::Deprecated;
        self.dethrone();
        if let Some(version) = self.version_mut(number) {
            version.stage = Stage::Current;
        }
        Ok(())
    }

    fn dethrone(&mut self) {
        self.move_all(Stage::Previous, Stage::Deprecated);
        self.move_all(Stage::Current, Stage::Previous);
    }

    fn move_all(&mut self, from: Stage, to: Stage) {
        for version in self.versions.iter_mut().filter(|version| version.stage == from) {
            version.stage = to;
        }
    }

    fn schedule_version(&mut self, number: u64, at: Timestamp) -> Result<(), Refused> {
        let pending = self.versions.iter().filter(|version| version.deletion.is_some()).count();
        if pending >= VERSIONS_PENDING_DELETION {
            return Err(Refused::new(400, "LimitExceeded", format!("{pending} versions are to be deleted already")));
        }
        let version = self.version_mut(number).ok_or_else(Refused::hidden)?;
        if version.stage != Stage::Deprecated {
            return Err(Refused::state(format!("version {number} is {}, not DEPRECATED", version.stage.name())));
        }
        if version.deletion.is_some() {
            return Err(Refused::state(format!("version {number} is to be deleted already")));
        }
        version.deletion = Some(at);
        Ok(())
    }

    fn cancel_version(&mut self, number: u64) -> Result<(), Refused> {
        let in_use = self.versions.iter().filter(|version| version.deletion.is_none()).count();
        if in_use >= VERSIONS_IN_USE {
            return Err(Refused::new(400, "LimitExceeded", format!("the secret has {in_use} versions in use")));
        }
        let version = self.version_mut(number).ok_or_else(Refused::hidden)?;
        let cancelled = mem::take(&mut version.deletion).is_some();
        cancelled.then_some(()).ok_or_else(|| Refused::state(format!("version {number} is not to be deleted")))
    }

    fn rule(&self, kind: &str) -> Option<&Value> {
        self.rules.iter().find(|rule| rule.get("ruleType").and_then(Value::as_str) == Some(kind))
    }

    /// SECRET_REUSE_RULE: content of an earlier version is refused.
    fn forbid_reuse(&self, content: &str) -> Result<(), Refused> {
        let Some(rule) = self.rule("SECRET_REUSE_RULE") else { return Ok(()) };
        let deleted_too = rule.get("isEnforcedOnDeletedSecretVersions").and_then(Value::as_bool).unwrap_or_default();
        let kept = self.versions.iter().filter(|version| deleted_too || version.deletion.is_none());
        let gone = self.gone.iter().filter(|_| deleted_too);
        let reused = kept.map(|version| &version.content).chain(gone).any(|known| known == content);
        if reused {
            Err(Refused::invalid("the content was used before, and a rule of the secret forbids it"))
        } else {
            Ok(())
        }
    }

    /// SECRET_EXPIRY_RULE, as far as it counts days: `P90D`.
    fn expiry_days(&self) -> Option<i64> {
        let interval = self.rule("SECRET_EXPIRY_RULE")?.get("secretVersionExpiryInterval")?.as_str()?;
        interval.strip_prefix('P')?.strip_suffix('D')?.parse().ok()
    }

    fn blocked_by_expiry(&self, version: &Version, now: Timestamp) -> bool {
        let blocks =
            self.rule("SECRET_EXPIRY_RULE").and_then(|rule| rule.get("isSecretContentRetrievalBlockedOnExpiry"));
        blocks.and_then(Value::as_bool).unwrap_or_default() && version.expiry.is_some_and(|at| at <= now)
    }
}

/// The content of a version to be, checked.
#[derive(Debug)]
pub(crate) struct Content {
    base64: String,
    name: Option<String>,
    stage: Stage,
}

impl Content {
    /// Reads `secretContent`.
    fn parse(value: &Value) -> Result<Self, Refused> {
        let text = |field: &str| value.get(field).and_then(Value::as_str).map(str::to_owned);
        if text("contentType").as_deref() != Some("BASE64") {
            return Err(Refused::invalid("contentType must be BASE64"));
        }
        let stage = match text("stage").as_deref() {
            None | Some("CURRENT") => Stage::Current,
            Some("PENDING") => Stage::Pending,
            Some(_) => return Err(Refused::invalid("stage must be CURRENT or PENDING")),
        };
        let name = text("name");
        let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
        if let Some(name) = &name
            && (name.is_empty() || name.len() > NAME_CHARACTERS || !name.chars().all(allowed))
        {
            return Err(Refused::invalid("a version's name has letters, digits, _, - and . only"));
        }
        Self::new(text("content").unwrap_or_default(), name, stage)
    }

    pub(crate) fn new(base64: String, name: Option<String>, stage: Stage) -> Result<Self, Refused> {
        let decoded = STANDARD.decode(&base64).map_err(|_| Refused::invalid("content is no base64"))?;
        if decoded.is_empty() || decoded.len() > CONTENT_BYTES {
            return Err(Refused::invalid(format!("content has 1 to {CONTENT_BYTES} bytes")));
        }
        Ok(Self { base64, name, stage })
    }
}
