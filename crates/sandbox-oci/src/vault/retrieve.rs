//! The retrieval API, `/20190301`: contents, by stage, number or name.
//!
//! It is another service than management and shows a copy that follows when an update has settled, or some reads later.

use jiff::Timestamp;

use super::{Pending, Secret, Vault, Version, json as shape};
use crate::{
    http::{Refused, Reply, Request},
    rights::{Permission, Rights},
    route::{Operation, Target},
};

/// Answers a call of the retrieval API.
pub(crate) fn answer(
    vault: &mut Vault,
    target: &Target,
    request: &Request,
    rights: &Rights,
    now: Timestamp,
) -> Result<Reply, Refused> {
    match target.operation {
        Operation::ListSecretBundleVersions => {
            rights.require(Permission::SecretBundleInspect, target.name(0))?;
            let secret = readable(vault, target.name(0))?;
            let mut versions: Vec<_> = secret.shown.iter().collect();
            if request.query("sortOrder").as_deref() != Some("ASC") {
                versions.reverse();
            }
            let entries = versions.into_iter().map(|version| shape::bundle_version(secret, version)).collect();
            let reply = shape::page(request, entries);
            secret.caught_up();
            reply
        }
        Operation::GetSecretBundleByName => {
            let wanted = |name: &str| request.query(name).ok_or_else(|| Refused::missing(name));
            let (name, place) = (wanted("secretName")?, wanted("vaultId")?);
            let secret = vault.secrets.values().find(|secret| secret.name == name && secret.vault == place);
            let id = secret.map(|secret| secret.id.clone()).ok_or_else(Refused::hidden)?;
            read(vault, &id, request, rights, now)
        }
        _ => read(vault, target.name(0), request, rights, now),
    }
}

fn read(vault: &mut Vault, id: &str, request: &Request, rights: &Rights, now: Timestamp) -> Result<Reply, Refused> {
    rights.require(Permission::SecretBundleRead, id)?;
    let secret = readable(vault, id)?;
    let reply = pick(secret, request).and_then(|version| {
        if version.deletion.is_some() || secret.blocked_by_expiry(version, now) {
            return Err(Refused::hidden());
        }
        Ok(Reply::json(200, &shape::bundle(secret, version)).with("etag", secret.etag()))
    });
    secret.caught_up();
    reply
}

/// The version that the query names; the three ways to name one exclude each other.
fn pick<'a>(secret: &'a Secret, request: &Request) -> Result<&'a Version, Refused> {
    let [stage, number, name] = ["stage", "versionNumber", "secretVersionName"].map(|name| request.query(name));
    let found = match (stage, number, name) {
        (None, None, None) => by_stage(secret, "CURRENT"),
        (Some(stage), None, None) => {
            if !matches!(stage.as_str(), "CURRENT" | "PENDING" | "LATEST" | "PREVIOUS" | "DEPRECATED") {
                return Err(Refused::invalid("there is no such stage"));
            }
            by_stage(secret, &stage)
        }
        (None, Some(number), None) => {
            let number: u64 = number.parse().map_err(|_| Refused::invalid("versionNumber is no number"))?;
            secret.shown.iter().find(|version| version.number == number)
        }
        (None, None, Some(name)) => secret.shown.iter().find(|version| version.name.as_ref() == Some(&name)),
        _ => return Err(Refused::invalid("stage, versionNumber and secretVersionName exclude each other")),
    };
    found.ok_or_else(Refused::hidden)
}

/// The newest version of a stage.
fn by_stage<'a>(secret: &'a Secret, stage: &str) -> Option<&'a Version> {
    secret.shown.iter().rev().find(|version| stage == "LATEST" || version.stage.name() == stage)
}

/// A secret whose contents may be read: the one that is to be deleted may not.
fn readable<'a>(vault: &'a mut Vault, id: &str) -> Result<&'a mut Secret, Refused> {
    let secret = vault.secret(id)?;
    if matches!(secret.state.as_str(), "ACTIVE" | "UPDATING" | "CREATING") {
        Ok(secret)
    } else {
        Err(Refused::hidden())
    }
}

impl Secret {
    /// One read of the retrieval service is over; after the last stale one it has caught up. It never shows an update that
    /// has not settled.
    fn caught_up(&mut self) {
        if self.stale_reads > 0 && self.pending == Pending::Nothing {
            self.stale_reads -= 1;
            if self.stale_reads == 0 {
                self.shown = self.versions.clone();
            }
        }
    }
}
