//! The journal register as it is stored: one JSON document per set (rulings §1.1), with names instead of positions.
//!
//! The engine decides over [`dizzy_engine::Register`]; here it meets what only the host needs: version ids, the register's random
//! id, the fingerprint of the configuration. Never a secret. A document of a newer version is refused.

use core::time::Duration;
use std::collections::BTreeMap;

use dizzy_engine::{
    DatabaseRegister, Epoch, Generation, Owner, Phase, Plan, Register, Timestamp, UserIx, UserRegister, Window,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{audit::AuditHead, config::RotationSet, port::VersionId};

/// The version of the document that this program writes, and the highest that it reads.
pub const VERSION: u32 = 1;
/// Largest document that is read, in bytes. One with 64 databases and 64 secrets has some 40 KiB.
pub const MAX_BYTES: usize = 1 << 20;

/// A register document.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of this layout.
    pub v: u32,
    /// The register's random id, made at creation: 32 hex digits.
    pub register: String,
    /// Name of the rotation set.
    pub set: String,
    /// Whether the adoption of the set's existing credentials is complete; nothing rotates before.
    pub adopted: bool,
    /// Highest epoch taken.
    pub epoch: u64,
    /// Who wrote this.
    pub owner: OwnerDocument,
    /// When the present owner took the set, if anything of it may still act; milliseconds since 1970.
    pub taken: Option<i64>,
    /// When nothing of earlier owners can act any more; milliseconds since 1970.
    pub quiet: Option<i64>,
    /// `idle`, `intent`, `commit`, `abort` or `stuck`.
    pub phase: String,
    /// The phase before it got stuck; equal to `phase` otherwise.
    pub was: String,
    /// The generation published at rest, and the base of the one under way.
    pub current: u64,
    /// The generation under way.
    pub next: Option<u64>,
    /// Highest generation ever issued.
    pub last: u64,
    /// Generations kept in the stores under their names.
    pub kept: Vec<u64>,
    /// The databases, by name.
    pub databases: BTreeMap<String, DatabaseDocument>,
    /// The secrets, by reference: the version id of each kept generation.
    pub stores: BTreeMap<String, BTreeMap<u64, String>>,
    /// Fingerprint of the configuration that the generation under way was issued for, or that was last at rest.
    pub target: String,
    /// When `current` came to rest; milliseconds since 1970.
    pub rotated: Option<i64>,
    /// How the last run ended, in one word.
    pub outcome: Option<String>,
    /// Where the audit trail ends, as far as it is durable.
    pub audit: Option<AuditHead>,
    /// No rotation by schedule before this time; milliseconds since 1970.
    pub pause: Option<i64>,
    /// Runs that failed since the last one that rotated.
    #[serde(default)]
    pub failures: Option<FailuresDocument>,
    /// The wish to revoke that is not worked off: every password of a generation up to this one is to be refused everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoke: Option<u64>,
    /// Every password of a generation up to this one was seen to be refused everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

/// Runs that failed, one after the other.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FailuresDocument {
    /// How many.
    pub in_a_row: u32,
    /// When the last of them ended; milliseconds since 1970.
    pub last: i64,
    /// The code of its error.
    pub code: String,
}

/// Who wrote a register.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerDocument {
    /// Different in every write: the worker's random id and its write counter.
    pub nonce: String,
    /// Host and process, for people.
    pub who: String,
    /// Until when others are asked to wait; milliseconds since 1970.
    pub until: i64,
}

/// One database.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseDocument {
    /// `alternating`, `rollover` or `single`.
    pub strategy: String,
    /// `row-fence` or `statement-cas`.
    pub capability: String,
    /// The user that `current` publishes.
    pub live: String,
    /// Its users, by name.
    pub users: BTreeMap<String, UserDocument>,
    /// Whether the unfenced change to `next` may have been sent.
    pub sent: bool,
    /// When the open rollover window ends; milliseconds since 1970.
    pub window: Option<i64>,
    /// The generation that the open window keeps valid besides the newest; absent in documents of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_first: Option<u64>,
    /// Gradual rollover, as the server told it when it was last looked at; only for `rollover`.
    #[serde(default)]
    pub rollover: Option<RolloverDocument>,
    /// Whether the rotation under way can only go forward here: the server would not take the old password back.
    #[serde(default)]
    pub forward_only: bool,
}

/// What a server said about its rollover windows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RolloverDocument {
    /// How long both passwords stay valid after a change, in milliseconds.
    pub length_ms: i64,
    /// Whether the set's user may end its window.
    pub can_end: bool,
}

/// One user.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UserDocument {
    /// The generation it was last seen on.
    pub known: Option<u64>,
    /// Generations that may have been sent since; at most two.
    pub maybe: Vec<u64>,
    /// Our own wrong logins since the last right one; kept only for servers that lock accounts.
    #[serde(default)]
    pub wrong: u32,
    /// When the server stops accepting its password, as far as it said so when it was last asked.
    #[serde(default)]
    pub expires: Option<ExpiryDocument>,
    /// When its present password was decided; milliseconds since 1970. Sessions that are older were opened with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<i64>,
}

/// The end of a password's life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiryDocument {
    /// When; milliseconds since 1970.
    pub at: i64,
    /// Whether a new password gets a new life (Oracle's profiles). A date that was set for the account itself stays (PostgreSQL's
    /// `VALID UNTIL`).
    pub renewed: bool,
}

/// Why a document cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DocumentError {
    /// Written by a newer program.
    #[error("the register has version {found}; this program knows version {VERSION}")]
    Newer {
        /// Its version.
        found: u64,
    },
    /// It is not a register.
    #[error("the register cannot be read (line {line}, column {column})")]
    Malformed {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// It belongs to another set.
    #[error("the register is that of the set `{found}`")]
    OtherSet {
        /// Whose it is.
        found: String,
    },
    /// Databases, users or secrets differ from the configuration.
    #[error("the register does not describe {what}")]
    Misfit {
        /// What it lacks.
        what: String,
    },
}

impl Document {
    /// Reads a stored register.
    ///
    /// # Errors
    /// If it is newer, malformed, or of another set.
    pub fn parse(bytes: &[u8], set: &str) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Version {
            v: u64,
        }
        let malformed = |e: serde_json::Error| DocumentError::Malformed { line: e.line(), column: e.column() };
        if bytes.len() > MAX_BYTES {
            return Err(DocumentError::Malformed { line: 0, column: 0 });
        }
        let version: Version = serde_json::from_slice(bytes).map_err(malformed)?;
        if version.v > u64::from(VERSION) {
            return Err(DocumentError::Newer { found: version.v });
        }
        let document: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if document.set != set {
            return Err(DocumentError::OtherSet { found: document.set });
        }
        Ok(document)
    }

    /// The bytes to store: indented JSON, so that a person can read it with `cat`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The engine's view, in the order of the configuration.
    ///
    /// # Errors
    /// If a database or user of the configuration is not in it, or a phase is unknown.
    pub fn to_engine(&self, set: &RotationSet) -> Result<Register, DocumentError> {
        let misfit = |what: String| DocumentError::Misfit { what };
        let phase = |text: &str| phase_of(text).ok_or_else(|| misfit(format!("a known phase (`{text}`)")));
        let mut databases = Vec::new();
        for wanted in &set.databases {
            let name = &wanted.name;
            let entry = self.databases.get(name).ok_or_else(|| misfit(format!("the database `{name}`")))?;
            let users: Option<Vec<UserRegister>> =
                wanted.users.iter().map(|user| entry.users.get(user).map(UserDocument::to_engine)).collect();
            let users = users.ok_or_else(|| misfit(format!("every user of the database `{name}`")))?;
            let live = wanted.users.iter().position(|user| *user == entry.live);
            let live = live.and_then(|at| u8::try_from(at).ok()).map(UserIx);
            databases.push(DatabaseRegister {
                live: live.ok_or_else(|| misfit(format!("the user `{}` of `{name}`", entry.live)))?,
                users,
                sent: entry.sent,
                // What an older program left open keeps something valid that is older than any wish.
                window: entry.window.map(|until| Window {
                    until: Timestamp(until),
                    first: Generation(entry.window_first.unwrap_or_default()),
                }),
            });
        }
        for secret in &set.secrets {
            let name = secret.store.to_string();
            if !self.stores.contains_key(&name) {
                return Err(misfit(format!("the secret `{name}`")));
            }
        }
        let (worker, write) = self.owner.parse().ok_or_else(|| misfit("its owner".to_owned()))?;
        Ok(Register {
            epoch: Epoch(self.epoch),
            owner: Owner { worker, write, until: Timestamp(self.owner.until) },
            taken: self.taken.map(Timestamp),
            quiet: self.quiet.map(Timestamp),
            phase: phase(&self.phase)?,
            was: phase(&self.was)?,
            current: Generation(self.current),
            next: self.next.map(Generation),
            last: Generation(self.last),
            kept: self.kept.iter().copied().map(Generation).collect(),
            revoke: self.revoke.map(Generation),
            revoked: self.revoked.map(Generation),
            databases,
        })
    }

    /// The document with the engine's part replaced.
    #[must_use]
    pub fn with_engine(&self, set: &RotationSet, plan: &Plan, register: &Register, who: &str) -> Self {
        let mut document = self.clone();
        document.v = VERSION;
        document.epoch = register.epoch.0;
        document.owner = OwnerDocument {
            nonce: format!("{:016x}-{}", register.owner.worker, register.owner.write),
            who: who.to_owned(),
            until: register.owner.until.0,
        };
        document.taken = register.taken.map(|t| t.0);
        document.quiet = register.quiet.map(|t| t.0);
        phase_name(register.phase).clone_into(&mut document.phase);
        phase_name(register.was).clone_into(&mut document.was);
        document.current = register.current.0;
        document.next = register.next.map(|g| g.0);
        document.last = register.last.0;
        document.kept = register.kept.iter().map(|g| g.0).collect();
        document.revoke = register.revoke.map(|g| g.0);
        document.revoked = register.revoked.map(|g| g.0);
        document.databases = set
            .databases
            .iter()
            .zip(plan.databases.iter().zip(&register.databases))
            .map(|(named, (plan, entry))| {
                let live = named.users.get(usize::from(entry.live.0)).cloned().unwrap_or_default();
                let before = self.databases.get(&named.name);
                let users = named.users.iter().zip(&entry.users).map(|(name, user)| {
                    let before = before.and_then(|d| d.users.get(name));
                    (name.clone(), UserDocument::from_engine(user, before))
                });
                let document = DatabaseDocument {
                    strategy: strategy_name(plan.strategy).to_owned(),
                    capability: capability_name(plan.capability).to_owned(),
                    live,
                    users: users.collect(),
                    sent: entry.sent,
                    window: entry.window.map(|w| w.until.0),
                    window_first: entry.window.map(|w| w.first.0),
                    rollover: before.and_then(|d| d.rollover),
                    forward_only: before.is_some_and(|d| d.forward_only),
                };
                (named.name.clone(), document)
            })
            .collect();
        document
    }

    /// The version id of a generation in a secret.
    #[must_use]
    pub fn version(&self, secret: &str, generation: Generation) -> Option<VersionId> {
        self.stores.get(secret)?.get(&generation.0).cloned().map(VersionId)
    }

    /// Which generation a version of a secret is, if it is one that is recorded.
    #[must_use]
    pub fn generation_of(&self, secret: &str, version: &VersionId) -> Option<Generation> {
        let versions = self.stores.get(secret)?;
        versions.iter().find(|(_, id)| **id == version.0).map(|(g, _)| Generation(*g))
    }

    /// Records the version id of a generation.
    pub fn record_version(&mut self, secret: &str, generation: Generation, version: &VersionId) {
        self.stores.entry(secret.to_owned()).or_default().insert(generation.0, version.0.clone());
    }

    /// Records what a server said about its rollover windows.
    pub fn record_rollover(&mut self, database: &str, rollover: RolloverDocument) {
        if let Some(entry) = self.databases.get_mut(database) {
            entry.rollover = Some(rollover);
        }
    }

    /// Records whether a change of this database can only be finished.
    pub fn record_forward_only(&mut self, database: &str, forward_only: bool) {
        if let Some(entry) = self.databases.get_mut(database) {
            entry.forward_only = forward_only;
        }
    }

    /// Records what a server said about the ends of passwords' lives when it was asked as `asker`; `life` is that of a new password.
    ///
    /// A user that it did not name has none: certainly the asker; another one unless the server tells a user of itself alone.
    pub fn record_expiries(&mut self, database: &str, asker: &str, expiries: &[(String, i64)], life: Option<Duration>) {
        let Some(entry) = self.databases.get_mut(database) else { return };
        for (name, user) in &mut entry.users {
            let told = expiries.iter().find(|(told, _)| told == name);
            match told {
                Some((_, at)) => user.expires = Some(ExpiryDocument { at: *at, renewed: life.is_some() }),
                None if name == asker || user.expires.is_some_and(|expiry| !expiry.renewed) => user.expires = None,
                None => {}
            }
        }
    }

    /// Records that the published user of a database has got its password at `changed`, and with it a new life, if the server gives one.
    pub fn record_renewal(&mut self, database: &str, changed: Timestamp, life: Option<Duration>) {
        let Some(entry) = self.databases.get_mut(database) else { return };
        let Some(user) = entry.users.get_mut(&entry.live) else { return };
        let life = life.and_then(|life| i64::try_from(life.as_millis()).ok());
        match life {
            Some(life) => user.expires = Some(ExpiryDocument { at: changed.plus_ms(life).0, renewed: true }),
            // It was moved, and nobody has said to when.
            None => user.expires = user.expires.filter(|expiry| !expiry.renewed),
        }
    }

    /// How many of our logins as a user were wrong, or never answered, since the last right one.
    #[must_use]
    pub fn wrong(&self, database: &str, user: &str) -> u32 {
        self.databases.get(database).and_then(|d| d.users.get(user)).map_or(0, |u| u.wrong)
    }

    /// Records how many of our logins as a user were wrong since the last right one.
    pub fn set_wrong(&mut self, database: &str, user: &str, wrong: u32) {
        if let Some(user) = self.databases.get_mut(database).and_then(|d| d.users.get_mut(user)) {
            user.wrong = wrong;
        }
    }

    /// Records when a user's present password was decided.
    pub fn record_decided(&mut self, database: &str, user: &str, at: Timestamp) {
        if let Some(user) = self.databases.get_mut(database).and_then(|d| d.users.get_mut(user)) {
            user.decided = Some(at.0);
        }
    }

    /// Forgets every wrong login; true if there was one.
    pub fn forget_wrong(&mut self) -> bool {
        let mut any = false;
        for user in self.databases.values_mut().flat_map(|database| database.users.values_mut()) {
            any |= core::mem::take(&mut user.wrong) > 0;
        }
        any
    }

    /// Forgets the version ids of generations that are not kept.
    pub fn forget_dropped(&mut self) {
        let kept = self.kept.clone();
        for versions in self.stores.values_mut() {
            versions.retain(|generation, _| kept.contains(generation));
        }
    }
}

impl OwnerDocument {
    fn parse(&self) -> Option<(u64, u64)> {
        let (worker, write) = self.nonce.split_once('-')?;
        Some((u64::from_str_radix(worker, 16).ok()?, write.parse().ok()?))
    }
}

impl UserDocument {
    fn to_engine(&self) -> UserRegister {
        UserRegister { known: self.known.map(Generation), maybe: self.maybe.iter().copied().map(Generation).collect() }
    }

    /// The engine's part anew, the rest as it was.
    fn from_engine(user: &UserRegister, before: Option<&Self>) -> Self {
        Self {
            known: user.known.map(|g| g.0),
            maybe: user.maybe.iter().map(|g| g.0).collect(),
            wrong: before.map_or(0, |u| u.wrong),
            expires: before.and_then(|u| u.expires),
            decided: before.and_then(|u| u.decided),
        }
    }
}

/// The word for a phase.
#[must_use]
pub const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Intent => "intent",
        Phase::Commit => "commit",
        Phase::Abort => "abort",
        Phase::Stuck => "stuck",
    }
}

fn phase_of(name: &str) -> Option<Phase> {
    [Phase::Idle, Phase::Intent, Phase::Commit, Phase::Abort, Phase::Stuck]
        .into_iter()
        .find(|phase| phase_name(*phase) == name)
}

/// The word for a strategy.
#[must_use]
pub const fn strategy_name(strategy: dizzy_engine::Strategy) -> &'static str {
    match strategy {
        dizzy_engine::Strategy::Alternating => "alternating",
        dizzy_engine::Strategy::Rollover => "rollover",
        dizzy_engine::Strategy::Single => "single",
    }
}

/// The word for a capability.
#[must_use]
pub const fn capability_name(capability: dizzy_engine::Capability) -> &'static str {
    match capability {
        dizzy_engine::Capability::RowFence => "row-fence",
        dizzy_engine::Capability::StatementCas => "statement-cas",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch and writes its own page")]
    fn the_published_schema_is_that_of_the_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/register.schema.json");
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Document)).unwrap() + "\n";
        if std::env::var("INSTA_UPDATE").is_ok_and(|mode| mode == "always") {
            std::fs::write(path, &schema).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(published, schema, "regenerate docs/register.schema.json, see docs/journal.md");
    }
}
