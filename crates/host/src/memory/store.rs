//! A secret store in memory, with the label semantics of AWS Secrets Manager.
//!
//! A label sits on one version at a time; moving CURRENT makes the old version PREVIOUS; a version without a label may
//! vanish. Reads can be made stale, as those of an eventually consistent service are.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::{in_time, locked};
use crate::{
    port::{Deadline, Kind, Labels, PortError, PortResult, SecretStore, StoredVersion, VersionId, VersionName},
    secret::SecretText,
};

/// What happens to a version when its last label goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retention {
    /// Gone at once: the worst that the service may do.
    DropUnlabelled,
    /// Kept for ever.
    KeepAll,
}

/// How a version comes beside CURRENT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Staging {
    /// Under our name alone (AWS Secrets Manager).
    Named,
    /// As PENDING, always (OCI Vault). Names are given at creation only.
    Pending,
}

/// One secret.
pub struct MemoryStore {
    name: String,
    retention: Retention,
    staging: Staging,
    state: Mutex<State>,
}

struct State {
    secret: Secret,
    /// What stale reads see: the secret before the latest change.
    before: Secret,
    stale_reads: u32,
    managed: bool,
}

#[derive(Clone)]
struct Secret {
    versions: BTreeMap<VersionId, SecretText>,
    labels: Labels,
    /// Which version was made of a generation and an edit.
    edits: BTreeMap<(VersionName, VersionId), VersionId>,
    issued: u64,
}

impl MemoryStore {
    /// A secret whose CURRENT is `value`, without any other version.
    #[must_use]
    pub fn new(name: &str, value: SecretText, retention: Retention) -> Self {
        let mut secret =
            Secret { versions: BTreeMap::new(), labels: Labels::default(), edits: BTreeMap::new(), issued: 0 };
        let id = secret.create(value);
        secret.labels.current = Some(id);
        let state = State { before: secret.clone(), secret, stale_reads: 0, managed: false };
        Self { name: name.to_owned(), retention, staging: Staging::Named, state: Mutex::new(state) }
    }

    /// The same secret in a store that stages differently.
    #[must_use]
    pub fn staging(self, staging: Staging) -> Self {
        Self { staging, ..self }
    }

    /// The next `count` reads (`current`, `read`, `labels`) see the secret as it was before the latest change.
    pub fn serve_stale_reads(&self, count: u32) {
        locked(&self.state).stale_reads = count;
    }

    /// How many reads will be old.
    #[must_use]
    pub fn stale_reads_left(&self) -> u32 {
        locked(&self.state).stale_reads
    }

    /// The secret's labels, never stale.
    #[must_use]
    pub fn shown(&self) -> Labels {
        locked(&self.state).secret.labels.clone()
    }

    /// The value of a version, if it still exists.
    #[must_use]
    pub fn value(&self, id: &VersionId) -> Option<SecretText> {
        locked(&self.state).secret.versions.get(id).cloned()
    }

    /// Another service takes the secret's rotation over.
    pub fn hand_to_another_service(&self) {
        locked(&self.state).managed = true;
    }

    /// A person puts a value: it is CURRENT at once, the old one is PREVIOUS.
    pub fn put_by_hand(&self, value: SecretText) -> VersionId {
        let mut state = locked(&self.state);
        state.change(self.retention, |secret| {
            let id = secret.create(value);
            secret.promote(&id);
            id
        })
    }

    /// What consumers read, never stale.
    #[must_use]
    pub fn published(&self) -> Option<SecretText> {
        let state = locked(&self.state);
        state.secret.labels.current.as_ref().and_then(|id| state.secret.versions.get(id)).cloned()
    }

    /// The PREVIOUS value, never stale.
    #[must_use]
    pub fn previous(&self) -> Option<SecretText> {
        let state = locked(&self.state);
        state.secret.labels.previous.as_ref().and_then(|id| state.secret.versions.get(id)).cloned()
    }

    /// Every version that still exists, with its value.
    #[must_use]
    pub fn versions(&self) -> Vec<(VersionId, SecretText)> {
        locked(&self.state).secret.versions.iter().map(|(id, value)| (id.clone(), value.clone())).collect()
    }

    fn look<T>(&self, deadline: Deadline, look: impl FnOnce(&Secret) -> PortResult<T>) -> PortResult<T> {
        in_time(deadline, &format!("read {}", self.name))?;
        let mut state = locked(&self.state);
        if state.stale_reads > 0 {
            state.stale_reads -= 1;
            return look(&state.before);
        }
        look(&state.secret)
    }

    fn change<T>(&self, deadline: Deadline, change: impl FnOnce(&mut Secret) -> PortResult<T>) -> PortResult<T> {
        in_time(deadline, &format!("change {}", self.name))?;
        locked(&self.state).change(self.retention, change)
    }

    fn refused(&self, kind: Kind, what: &str) -> PortError {
        PortError::refused(kind, format!("{}: {what}", self.name))
    }

    fn version(&self, secret: &Secret, id: &VersionId) -> PortResult<StoredVersion> {
        match secret.versions.get(id) {
            Some(value) => {
                let is_pending = secret.labels.pending.as_ref() == Some(id);
                Ok(StoredVersion { id: id.clone(), value: value.clone(), is_pending })
            }
            None => Err(self.refused(Kind::NotFound, &format!("there is no version {id}"))),
        }
    }
}

impl State {
    fn change<T>(&mut self, retention: Retention, change: impl FnOnce(&mut Secret) -> T) -> T {
        let before = self.secret.clone();
        let outcome = change(&mut self.secret);
        if retention == Retention::DropUnlabelled {
            self.secret.drop_unlabelled();
        }
        if self.secret.labels != before.labels || self.secret.issued != before.issued {
            self.before = before;
        }
        outcome
    }
}

impl Secret {
    fn create(&mut self, value: SecretText) -> VersionId {
        self.issued += 1;
        let id = VersionId(format!("v{}", self.issued));
        self.versions.insert(id.clone(), value);
        id
    }

    fn promote(&mut self, to: &VersionId) {
        self.labels.previous = self.labels.current.replace(to.clone());
    }

    fn drop_unlabelled(&mut self) {
        let Labels { current, previous, pending, named } = &self.labels;
        let kept = |id: &VersionId| {
            [current, previous, pending].iter().any(|label| label.as_ref() == Some(id))
                || named.values().any(|v| v == id)
        };
        self.versions.retain(|id, _| kept(id));
    }
}

#[async_trait]
impl SecretStore for MemoryStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion> {
        self.look(deadline, |secret| match &secret.labels.current {
            Some(id) => self.version(secret, id),
            None => Err(self.refused(Kind::NotFound, "nothing is CURRENT")),
        })
    }

    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion> {
        self.look(deadline, |secret| self.version(secret, id))
    }

    async fn labels(&self, deadline: Deadline) -> PortResult<Labels> {
        if locked(&self.state).managed {
            return Err(self.refused(Kind::Managed, "another service rotates this secret"));
        }
        self.look(deadline, |secret| Ok(secret.labels.clone()))
    }

    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId> {
        self.change(deadline, |secret| match secret.labels.named.get(name) {
            None => {
                let id = secret.create(value.clone());
                secret.labels.named.insert(name.clone(), id.clone());
                if self.staging == Staging::Pending {
                    secret.labels.pending = Some(id.clone());
                }
                Ok(id)
            }
            Some(id) if secret.versions.get(id) == Some(value) => Ok(id.clone()),
            Some(_) => Err(self.refused(Kind::Exists, &format!("{name} is taken by another value"))),
        })
    }

    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        self.change(deadline, |secret| {
            let key = (name.clone(), edited.clone());
            let made = secret.edits.get(&key).filter(|id| secret.versions.contains_key(*id)).cloned();
            let id = match made {
                Some(id) if secret.versions.get(&id) == Some(value) => id,
                Some(_) => return Err(self.refused(Kind::Exists, &format!("{edited} is in {name} with another value"))),
                None => secret.create(value.clone()),
            };
            secret.edits.insert(key, id.clone());
            secret.labels.named.insert(name.clone(), id.clone());
            if self.staging == Staging::Pending && secret.labels.current.as_ref() != Some(&id) {
                secret.labels.pending = Some(id.clone());
            }
            Ok(id)
        })
    }

    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        self.change(deadline, |secret| {
            self.version(secret, id)?;
            if self.staging == Staging::Pending {
                return Ok(());
            }
            match secret.labels.named.get(name) {
                Some(other) if other != id => {
                    Err(self.refused(Kind::Conflict, &format!("{name} is on another version")))
                }
                Some(_) => Ok(()),
                None => {
                    secret.labels.named.insert(name.clone(), id.clone());
                    Ok(())
                }
            }
        })
    }

    fn stages_as_pending(&self) -> bool {
        self.staging == Staging::Pending
    }

    async fn move_pending(&self, from: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        if self.staging == Staging::Pending {
            return Err(self.refused(Kind::Other, "PENDING cannot be moved here"));
        }
        self.change(deadline, |secret| {
            self.version(secret, to)?;
            if secret.labels.pending.as_ref() != from {
                return Err(self.refused(Kind::Conflict, "PENDING is elsewhere"));
            }
            secret.labels.pending = Some(to.clone());
            Ok(())
        })
    }

    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        self.change(deadline, |secret| {
            self.version(secret, to)?;
            if secret.labels.current.as_ref() != Some(from) {
                return Err(self.refused(Kind::Conflict, "CURRENT is elsewhere"));
            }
            if from != to {
                secret.promote(to);
                // What is CURRENT is PENDING no more (OCI: a version has one of the stages).
                if self.staging == Staging::Pending && secret.labels.pending.as_ref() == Some(to) {
                    secret.labels.pending = None;
                }
            }
            Ok(())
        })
    }

    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        self.change(deadline, |secret| match secret.labels.named.get(name) {
            None => Ok(()),
            Some(other) if other != id => Err(self.refused(Kind::Conflict, &format!("{name} is on another version"))),
            Some(_) => {
                secret.labels.named.remove(name);
                Ok(())
            }
        })
    }
}
