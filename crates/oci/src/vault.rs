//! The Vault store: versions named at creation, staged as PENDING, published by number under an etag.
//!
//! Vault works on a secret asynchronously: a write is accepted at once, the secret is UPDATING for some seconds, and until it
//! is ACTIVE again every other write is refused. So a write here is: look until ACTIVE, send with `if-match`, wait until ACTIVE.
//! What was accepted and not seen to end is unknown. Facts marked [sdk] are from the documentation strings of Oracle's Python
//! SDK (oci 2.189.0), [field] from perspectivism/oci-secret-rotation, a function that ran on real OCI.

mod api;
mod model;
mod seen;
mod unusable;

use core::time::Duration;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use dizzy_host::{
    port::{
        Certainty, Deadline, Kind, Labels, PortError, PortResult, SecretStore, StoredVersion, VersionId, VersionName,
    },
    secret::SecretText,
};
use tokio::time::{Instant, sleep_until};

use self::{
    api::{Api, Wanted},
    model::{Bundle, NewName, Secret, Stage, State, Version},
    seen::Seen,
};
use crate::{
    clients::OciClients,
    failure::{Call, Effect, Failure},
    http_date::rfc3339,
};

/// The longest value that Vault takes, in bytes (Oracle documentation, "Updating a Secret's Content": "The maximum allowable
/// size for a secret bundle is 25 KB").
const MAX_VALUE: usize = 25 * 1024;

/// How often a write is begun anew that was certainly not executed, because the secret was being updated or had changed.
const ROUNDS: u32 = 4;

/// How long a version that nobody needs stays before Vault deletes it: the shortest that Vault allows is a day (Oracle
/// documentation: "Deleting a Secret Version", 1 to 30 days). On top, twice the clock difference that signatures bear, so that
/// a clock a little behind Vault's is not refused.
const UNTIL_DELETION_MS: i64 = (24 * 60 + 10) * 60 * 1000;

/// Waits before a version that is known to be there is looked for again: 1.55 s in all. Managing and reading are two services,
/// and nothing is promised about how soon one knows what the other did.
const READ_BACK_WAITS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// One secret in OCI Vault.
pub struct OciVaultStore {
    api: Api,
    ocid: String,
    name: String,
    // Versions that this process staged or saw: worth waiting for when a read does not find them.
    written: Mutex<BTreeSet<VersionId>>,
    // What the last look saw, for the stage that follows it: its etag tells whether it still holds.
    seen: Mutex<Option<Seen>>,
}

impl OciVaultStore {
    /// The secret with this OCID.
    #[must_use]
    pub fn new(clients: OciClients, ocid: &str) -> Self {
        Self {
            api: Api::new(clients, ocid),
            ocid: ocid.to_owned(),
            name: format!("oci-vault:{ocid}"),
            written: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn call<'a>(&'a self, doing: &'a str, right: &'a str, effect: Effect) -> Call<'a> {
        Call { doing, subject: &self.name, right, effect }
    }

    /// The secret, as soon as it is ACTIVE.
    async fn settled(&self, call: &Call<'_>, deadline: Deadline) -> PortResult<Secret> {
        let pace = self.api.clients().pace();
        let mut wait = pace.first_poll;
        loop {
            let secret = self.api.secret(&reading(call), deadline).await?;
            if let Some(reason) = self.unusable(call, &secret) {
                return Err(reason);
            }
            if secret.state() == State::Active {
                return Ok(secret);
            }
            if wait >= deadline.left() {
                return Err(call.refused(Kind::Busy).with_hint("another update of the secret has not ended yet"));
            }
            sleep_until(Instant::now() + wait).await;
            wait = (wait * 2).min(pace.longest_poll);
        }
    }

    /// Secret and versions. The secret first: if its etag still holds at a write, so do the versions.
    async fn look(&self, call: &Call<'_>, deadline: Deadline) -> PortResult<Seen> {
        loop {
            let secret = self.settled(call, deadline).await?;
            match self.api.versions(&reading(call), deadline).await {
                Ok(versions) => return Ok(Seen { secret, versions }),
                // [field] The versions are not listed either while an update is on its way: one has begun in between.
                Err(failure) if failure.is("IncorrectState") && !deadline.left().is_zero() => {
                    self.pause(deadline).await;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    fn remember_seen(&self, seen: Option<Seen>) -> Option<Seen> {
        core::mem::replace(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner), seen)
    }

    /// Makes a version, which is PENDING, or finds the one that an earlier attempt made.
    async fn make(
        &self,
        call: &Call<'_>,
        name: &NewName<'_>,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        let length = value.expose().len();
        if length == 0 || length > MAX_VALUE {
            let hint = format!("Vault takes 1 to {MAX_VALUE} bytes; this would be {length}");
            return Err(call.refused(Kind::Policy).with_hint(hint));
        }
        let mut known = self.remember_seen(None);
        let mut last = call.refused(Kind::Busy);
        let mut searched = false;
        for _ in 0..ROUNDS {
            let seen = match known.take() {
                Some(seen) => seen,
                None => self.look(call, deadline).await?,
            };
            if let Some(version) = seen.version_made_as(name) {
                return self.taken(call, version, value, deadline).await;
            }
            seen.check_room(call, 1)?;
            seen.check_pending(call, Some(name.generation), &self.ocid)?;
            match self.api.make_version(call, &seen.secret.etag, name, value, deadline).await {
                Ok(()) => return self.made(call, name, deadline).await.map_err(unknown),
                Err(failure) if is_stale(&failure) => last = failure.error,
                Err(failure) if is_about_the_name(&failure) && !searched => {
                    (last, searched) = (failure.error, true);
                }
                Err(failure) => return Err(failure.into()),
            }
            self.pause(deadline).await;
        }
        Err(last)
    }

    /// The name is taken: by the same value, it is ours; by another, the first writer has won.
    async fn taken(
        &self,
        call: &Call<'_>,
        version: &Version,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        if version.is_leaving() {
            let hint =
                "a version of this name is scheduled for deletion; `oci vault secret-version cancel-deletion` keeps it";
            return Err(call.refused(Kind::Exists).with_hint(hint));
        }
        let id = version.id();
        self.remember_written(&id);
        if self.read(&id, deadline).await?.value == *value { Ok(id) } else { Err(call.refused(Kind::Exists)) }
    }

    /// After a new version was accepted: its number, as soon as the secret is at rest.
    async fn made(&self, call: &Call<'_>, name: &NewName<'_>, deadline: Deadline) -> PortResult<VersionId> {
        self.pause(deadline).await;
        let mut waits = READ_BACK_WAITS.iter();
        loop {
            if let Some(version) = self.look(call, deadline).await?.version_made_as(name) {
                let id = version.id();
                self.remember_written(&id);
                return Ok(id);
            }
            let Some(wait) = waits.next().filter(|wait| **wait < deadline.left()) else {
                return Err(call.refused(Kind::NotFound));
            };
            sleep_until(Instant::now() + *wait).await;
        }
    }

    /// Before a look that would come too soon: after a write, accepted or not, the secret is UPDATING for a while.
    async fn pause(&self, deadline: Deadline) {
        let wait = self.api.clients().pace().first_poll;
        sleep_until(Instant::now() + wait.min(deadline.left())).await;
    }

    fn remember_written(&self, id: &VersionId) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    fn wrote(&self, id: &VersionId) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

#[async_trait]
impl SecretStore for OciVaultStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn stages_as_pending(&self) -> bool {
        true
    }

    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion> {
        let call = self.call("read the current version of", READ_BUNDLES, Effect::Read);
        match self.api.bundle(&call, Wanted::Current, deadline).await {
            Ok(bundle) => stored(&call, &bundle),
            Err(failure) if failure.error.kind == Kind::NotFound => {
                Err(self.explained(failure.error, &call, Wanted::Current, deadline).await)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion> {
        let call = self.call("read a version of", READ_BUNDLES, Effect::Read);
        let wanted = Wanted::Number(number(id).ok_or_else(|| call.refused(Kind::NotFound))?);
        let mut waits = READ_BACK_WAITS.iter();
        let mut is_there = self.wrote(id);
        loop {
            let missing = match self.api.bundle(&call, wanted, deadline).await {
                Ok(bundle) => return stored(&call, &bundle),
                Err(failure) if failure.error.kind == Kind::NotFound => failure.error,
                Err(failure) => return Err(failure.into()),
            };
            if !is_there {
                let reason = self.explained(missing.clone(), &call, wanted, deadline).await;
                if reason.kind != Kind::Denied {
                    return Err(reason);
                }
                is_there = true;
            }
            // The reading service may not know yet what was made a moment ago, by this process or by another.
            let Some(wait) = waits.next().filter(|wait| **wait < deadline.left()) else {
                return Err(self.explained(missing, &call, wanted, deadline).await);
            };
            sleep_until(Instant::now() + *wait).await;
        }
    }

    async fn labels(&self, deadline: Deadline) -> PortResult<Labels> {
        let call = self.call("read the versions of", READ_VERSIONS, Effect::Read);
        let seen = self.look(&call, deadline).await?;
        let labels = seen.labels();
        self.remember_seen(Some(seen));
        Ok(labels)
    }

    async fn room(&self, deadline: Deadline) -> PortResult<()> {
        let call = self.call("find room for versions of", READ_VERSIONS, Effect::Read);
        let seen = self.look(&call, deadline).await?;
        seen.check_room(&call, seen::ROOM)?;
        seen.check_pending(&call, None, &self.ocid)?;
        self.remember_seen(Some(seen));
        Ok(())
    }

    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId> {
        let call = self.call("store a new version of", USE_SECRETS, Effect::Write);
        self.make(&call, &NewName { generation: name, edited: None }, value, deadline).await
    }

    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        let call = self.call("store an edited version of", USE_SECRETS, Effect::Write);
        let edited = Some(number(edited).ok_or_else(|| call.refused(Kind::NotFound))?);
        self.make(&call, &NewName { generation: name, edited }, value, deadline).await
    }

    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        // [sdk] A name is part of the content that makes a version (`SecretContentDetails.name`); no call names one that is there.
        // Nor does one vanish without a name: versions go only when somebody schedules their deletion.
        let call = self.call("adopt a version of", READ_VERSIONS, Effect::Read);
        let seen = self.look(&call, deadline).await?;
        match (seen.version_named(name), seen.version(id)) {
            (Some(on), _) if on.id() != *id => Err(call.refused(Kind::Conflict)),
            (_, None) => Err(call.refused(Kind::NotFound)),
            (_, Some(version)) if version.is_leaving() => {
                let hint = "the version is scheduled for deletion; `oci vault secret-version cancel-deletion` keeps it";
                Err(call.refused(Kind::NotFound).with_hint(hint))
            }
            (_, Some(_)) => Ok(()),
        }
    }

    async fn move_pending(&self, _: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("move PENDING of", READ_VERSIONS, Effect::Read);
        let seen = self.look(&call, deadline).await?;
        if seen.version(to).is_some_and(|version| version.is(Stage::Pending)) {
            return Ok(());
        }
        Err(call.refused(Kind::Conflict).with_hint("Vault makes a version PENDING only when it is created"))
    }

    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("move CURRENT of", USE_SECRETS, Effect::Write);
        let (Some(from), Some(to)) = (number(from), number(to)) else { return Err(call.refused(Kind::NotFound)) };
        // It may be our own earlier attempt, whose reply was lost, that moved CURRENT: only the labels can tell.
        let moved = || unknown(call.refused(Kind::Conflict));
        let mut last = call.refused(Kind::Busy);
        for _ in 0..ROUNDS {
            let secret = self.settled(&call, deadline).await?;
            if secret.current_version_number != Some(from) {
                return Err(moved());
            }
            if from == to {
                return Ok(());
            }
            match self.api.make_current(&call, &secret.etag, to, deadline).await {
                Ok(()) => {
                    self.pause(deadline).await;
                    let secret = self.settled(&call, deadline).await.map_err(unknown)?;
                    return if secret.current_version_number == Some(to) { Ok(()) } else { Err(moved()) };
                }
                Err(failure) if is_stale(&failure) => last = failure.error,
                Err(failure) => return Err(failure.into()),
            }
            self.pause(deadline).await;
        }
        Err(last)
    }

    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("schedule the deletion of a version of", MANAGE_VERSIONS, Effect::Write);
        let Some(number) = number(id) else { return self.nowhere(&call, name, deadline).await };
        let mut last = call.refused(Kind::Busy);
        for _ in 0..ROUNDS {
            let version = match self.api.version(&reading(&call), number, deadline).await {
                Ok(version) if version.named().as_ref() == Some(name) => version,
                // Gone, or adopted and so without our name: not ours to delete.
                Ok(_) => return self.nowhere(&call, name, deadline).await,
                Err(failure) if failure.error.kind == Kind::NotFound => {
                    return self.nowhere(&call, name, deadline).await;
                }
                Err(failure) => return Err(failure.into()),
            };
            if version.is_edit() {
                // What was staged before the edit came goes first: as long as this version is there, it is looked for.
                self.prune_before(&call, name, number, deadline).await?;
            }
            if version.is_leaving() {
                return Ok(());
            }
            // Whether this touches the rest of the secret is not verified: docs/oci.md says what to try first in a tenancy.
            // [sdk] "You can only delete a secret version if the secret version rotation state is marked as DEPRECATED."
            let is_used = [Stage::Current, Stage::Previous, Stage::Pending].iter().any(|stage| version.is(*stage));
            if is_used || !version.is(Stage::Deprecated) {
                let hint = "Vault deletes DEPRECATED versions only; it will be one after the next rotation";
                return Err(call.refused(Kind::Busy).with_hint(hint));
            }
            let time = self.api.clients().clock().now().plus_ms(UNTIL_DELETION_MS);
            let time = rfc3339(time).ok_or_else(|| call.refused(Kind::Other))?;
            match self.api.schedule_deletion(&call, number, &time, deadline).await {
                Ok(()) => return Ok(()),
                Err(failure) if is_stale(&failure) => last = failure.error,
                Err(failure) => return Err(failure.into()),
            }
            self.pause(deadline).await;
        }
        Err(last)
    }
}

impl OciVaultStore {
    /// Schedules the deletion of the versions that had this name before the one of this number.
    async fn prune_before(
        &self,
        call: &Call<'_>,
        name: &VersionName,
        number: u64,
        deadline: Deadline,
    ) -> PortResult<()> {
        let time = self.api.clients().clock().now().plus_ms(UNTIL_DELETION_MS);
        let time = rfc3339(time).ok_or_else(|| call.refused(Kind::Other))?;
        let seen = self.look(call, deadline).await?;
        let before = seen.versions_named(name).filter(|version| version.number() < number);
        for version in before.filter(|version| !version.is_leaving() && version.is(Stage::Deprecated)) {
            self.settled(call, deadline).await?;
            self.api.schedule_deletion(call, version.number(), &time, deadline).await?;
        }
        Ok(())
    }

    /// The name is not on the version it was said to be on: then it must not be on any other.
    async fn nowhere(&self, call: &Call<'_>, name: &VersionName, deadline: Deadline) -> PortResult<()> {
        let seen = self.look(call, deadline).await?;
        match seen.version_named(name) {
            Some(version) if !version.is_leaving() => Err(call.refused(Kind::Conflict)),
            Some(_) | None => Ok(()),
        }
    }
}

const READ_BUNDLES: &str = "read secret-bundles";
const READ_VERSIONS: &str = "read secrets and secret-versions";
const USE_SECRETS: &str = "use secrets";
const MANAGE_VERSIONS: &str = "manage secret-versions";

/// The same call, for a look on its way: whatever happens to it, it changes nothing.
fn reading<'a>(call: &Call<'a>) -> Call<'a> {
    Call { effect: Effect::Read, ..*call }
}

/// The same error, told as unknown.
fn unknown(mut error: PortError) -> PortError {
    error.certainty = Certainty::Unknown;
    error
}

/// Refused because the secret was being updated, or is not the one that was looked at: worth another look.
fn is_stale(failure: &Failure) -> bool {
    failure.error.certainty == Certainty::Refused
        && ["IncorrectState", "LockConflict", "NoEtagMatch", "IfMatchFailed"].iter().any(|code| failure.is(code))
}

/// Refused with a code that may mean that the name is taken; which one that is, no source says. One more look tells.
fn is_about_the_name(failure: &Failure) -> bool {
    let codes = ["NotAuthorizedOrResourceAlreadyExists", "Conflict", "InvalidParameter"];
    failure.error.certainty == Certainty::Refused && codes.iter().any(|code| failure.is(code))
}

/// A version's number; `None` for ids that are none of Vault's.
fn number(id: &VersionId) -> Option<u64> {
    id.0.parse().ok().filter(|number| *number > 0)
}

fn stored(call: &Call<'_>, bundle: &Bundle) -> PortResult<StoredVersion> {
    let value = bundle
        .text()
        .ok_or_else(|| call.refused(Kind::Malformed).with_hint("it holds a binary value; a JSON text is needed"))?;
    Ok(StoredVersion { id: VersionId(bundle.version_number.to_string()), value, is_pending: bundle.is_pending() })
}
