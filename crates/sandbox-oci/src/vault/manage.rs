//! The management API, `/20180608`: create, read, update, promote, and scheduling of deletions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Content, DELETION_DAYS, Pending, Secret, Vault, json as shape};
use crate::{
    clock::days_later,
    http::{Refused, Reply, Request, text_field},
    rights::{Permission, Rights},
    route::{Operation, Target},
};

/// What a secret is made of; the control API makes them as well.
#[derive(Debug)]
pub(crate) struct NewSecret {
    pub(crate) name: String,
    pub(crate) vault: String,
    pub(crate) compartment: String,
    pub(crate) key: String,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Value,
    pub(crate) rules: Vec<Value>,
    pub(crate) rotation: Option<Value>,
    pub(crate) replica: bool,
    pub(crate) content: Content,
}

/// Answers a call of the management API.
pub(crate) fn answer(
    vault: &mut Vault,
    target: &Target,
    request: &Request,
    rights: &Rights,
    now: Timestamp,
) -> Result<Reply, Refused> {
    let id = target.name(0);
    match target.operation {
        Operation::ListSecrets => list(vault, request, rights),
        Operation::CreateSecret => create(vault, request, rights, now),
        Operation::GetSecret => {
            rights.require(Permission::SecretRead, id)?;
            let lag = vault.lag;
            let secret = vault.secret(id)?;
            secret.polled(lag);
            Ok(show(200, secret))
        }
        Operation::UpdateSecret => {
            rights.require(Permission::SecretUpdate, id)?;
            update(vault, id, request, now)
        }
        Operation::ListSecretVersions => {
            rights.require(Permission::SecretVersionInspect, id)?;
            let secret = vault.secret(id)?;
            if !secret.replica {
                secret.require_active()?;
            }
            let mut versions: Vec<_> = secret.versions.iter().collect();
            if request.query("sortOrder").as_deref() != Some("ASC") {
                versions.reverse();
            }
            let entries = versions.into_iter().map(|version| shape::version(secret, version, "timeOfExpiry"));
            shape::page(request, entries.collect())
        }
        Operation::GetSecretVersion => {
            rights.require(Permission::SecretVersionRead, id)?;
            let number = version_number(target)?;
            let secret = vault.secret(id)?;
            let version = secret.versions.iter().find(|version| version.number == number);
            let version = version.ok_or_else(Refused::hidden)?;
            Ok(Reply::json(200, &shape::version(secret, version, "timeOfCurrentVersionExpiry"))
                .with("etag", secret.etag()))
        }
        Operation::ScheduleSecretVersionDeletion => {
            rights.require(Permission::SecretVersionDelete, id)?;
            rights.require(Permission::SecretUpdate, id)?;
            let (number, at) = (version_number(target)?, deletion_time(request, now)?);
            change(vault, id, request, |secret| secret.schedule_version(number, at))
        }
        Operation::CancelSecretVersionDeletion => {
            rights.require(Permission::SecretVersionDelete, id)?;
            rights.require(Permission::SecretUpdate, id)?;
            let number = version_number(target)?;
            change(vault, id, request, |secret| secret.cancel_version(number))
        }
        Operation::ScheduleSecretDeletion => {
            rights.require(Permission::SecretDelete, id)?;
            let at = deletion_time(request, now)?;
            let secret = vault.secret(id)?;
            secret.require_etag(request.header("if-match"))?;
            secret.require_active()?;
            secret.revision += 1;
            secret.deletion = Some(at);
            secret.state = "PENDING_DELETION".to_owned();
            Ok(Reply::empty(204))
        }
        Operation::CancelSecretDeletion => {
            rights.require(Permission::SecretDelete, id)?;
            let secret = vault.secret(id)?;
            secret.require_etag(request.header("if-match"))?;
            if secret.state != "PENDING_DELETION" {
                return Err(Refused::state("the secret is not to be deleted"));
            }
            secret.revision += 1;
            secret.deletion = None;
            secret.state = "ACTIVE".to_owned();
            Ok(Reply::empty(204))
        }
        Operation::ChangeSecretCompartment => {
            rights.require(Permission::SecretMove, id)?;
            rights.require(Permission::SecretUpdate, id)?;
            let body = request.json()?;
            let compartment = text_field(&body, "compartmentId").ok_or_else(|| Refused::missing("compartmentId"))?;
            change(vault, id, request, |secret| {
                secret.compartment = compartment.to_owned();
                Ok(())
            })
        }
        _ => Err(Refused::hidden()),
    }
}

/// UpdateSecret. Its own documentation: content and current version, or rules and current version, not in one call.
fn update(vault: &mut Vault, id: &str, request: &Request, now: Timestamp) -> Result<Reply, Refused> {
    let body = request.json()?;
    let (settle, duplicate) = (vault.settle, vault.duplicate_name);
    let secret = vault.secret(id)?;
    secret.require_etag(request.header("if-match"))?;
    secret.require_active()?;
    let given = |field: &str| body.get(field).filter(|value| !value.is_null());
    let content = given("secretContent").map(Content::parse).transpose()?;
    let promoted = given("currentVersionNumber");
    if promoted.is_some() && (content.is_some() || given("secretRules").is_some()) {
        return Err(Refused::invalid("currentVersionNumber goes neither with secretContent nor with secretRules"));
    }
    if let Some(number) = promoted {
        let number = number.as_u64().ok_or_else(|| Refused::invalid("currentVersionNumber is no number"))?;
        secret.promote(number)?;
    }
    if let Some(content) = content {
        secret.add(content, now, duplicate)?;
    }
    if let Some(rules) = given("secretRules").and_then(Value::as_array) {
        secret.rules.clone_from(rules);
    }
    if let Some(config) = given("rotationConfig") {
        secret.rotation = Some(config.clone());
    }
    if let Some(text) = given("description").and_then(Value::as_str) {
        secret.description = Some(text.to_owned());
    }
    for (field, place) in [
        ("metadata", &mut secret.metadata),
        ("freeformTags", &mut secret.freeform_tags),
        ("definedTags", &mut secret.defined_tags),
    ] {
        if let Some(value) = given(field) {
            *place = value.clone();
        }
    }
    secret.begin("UPDATING", settle);
    Ok(show(200, secret))
}

fn create(vault: &mut Vault, request: &Request, rights: &Rights, now: Timestamp) -> Result<Reply, Refused> {
    let body = request.json()?;
    let text = |field: &str| text_field(&body, field).map(str::to_owned).ok_or_else(|| Refused::missing(field));
    let (compartment, name) = (text("compartmentId")?, text("secretName")?);
    rights.require(Permission::SecretCreate, &compartment)?;
    if let Some((sent, id)) = request.header("opc-retry-token").and_then(|token| vault.retry_tokens.get(token)) {
        if *sent != request.body {
            return Err(Refused::new(409, "InvalidatedRetryToken", "the retry token was used for another request"));
        }
        let id = id.clone();
        return Ok(show(200, vault.secret(&id)?));
    }
    let content = Content::parse(body.get("secretContent").ok_or_else(|| Refused::missing("secretContent"))?)?;
    if content.stage != super::Stage::Current {
        return Err(Refused::invalid("the first version is CURRENT"));
    }
    let new = NewSecret {
        name,
        compartment,
        vault: text("vaultId")?,
        key: text("keyId")?,
        description: text_field(&body, "description").map(str::to_owned),
        metadata: body.get("metadata").cloned().unwrap_or_else(|| json!({})),
        rules: body.get("secretRules").and_then(Value::as_array).cloned().unwrap_or_default(),
        rotation: body.get("rotationConfig").filter(|config| !config.is_null()).cloned(),
        replica: false,
        content,
    };
    let settle = vault.settle;
    let id = vault.create(new, now)?;
    if let Some(token) = request.header("opc-retry-token") {
        vault.retry_tokens.insert(token.to_owned(), (request.body.clone(), id.clone()));
    }
    let secret = vault.secret(&id)?;
    secret.shown.clear();
    secret.begin("CREATING", settle);
    Ok(show(200, secret))
}

impl Vault {
    /// Makes a secret that is ACTIVE and readable at once, and returns its OCID.
    pub(crate) fn create(&mut self, new: NewSecret, now: Timestamp) -> Result<String, Refused> {
        let taken = self.secrets.values().any(|other| other.name == new.name && other.vault == new.vault);
        if taken {
            let message = format!("the vault has a secret {} already", new.name);
            return Err(Refused::new(409, "NotAuthorizedOrResourceAlreadyExists", message));
        }
        self.made += 1;
        let id = format!("ocid1.vaultsecret.oc1.iad.sandbox{:04}", self.made);
        let mut secret = Secret {
            id: id.clone(),
            name: new.name,
            vault: new.vault,
            compartment: new.compartment,
            key: new.key,
            description: new.description,
            metadata: new.metadata,
            freeform_tags: json!({}),
            defined_tags: json!({}),
            rules: new.rules,
            rotation: new.rotation,
            replica: new.replica,
            created: now,
            state: "ACTIVE".to_owned(),
            deletion: None,
            versions: Vec::new(),
            last_number: 0,
            gone: Vec::new(),
            revision: self.made << 32,
            pending: Pending::Nothing,
            shown: Vec::new(),
            stale_reads: 0,
        };
        secret.add(new.content, now, self.duplicate_name)?;
        secret.shown = secret.versions.clone();
        self.secrets.insert(id.clone(), secret);
        Ok(id)
    }
}

fn list(vault: &Vault, request: &Request, rights: &Rights) -> Result<Reply, Refused> {
    let compartment = request.query("compartmentId").ok_or_else(|| Refused::missing("compartmentId"))?;
    rights.require(Permission::SecretInspect, &compartment)?;
    let wanted = |parameter: &str, value: &str| request.query(parameter).is_none_or(|want| want == value);
    let found = vault.secrets.values().filter(|secret| {
        secret.compartment == compartment
            && wanted("name", &secret.name)
            && wanted("vaultId", &secret.vault)
            && wanted("lifecycleState", &secret.state)
    });
    shape::page(request, found.map(shape::secret).collect())
}

/// A change that is over at once and answers without a body. Unverified: the real service may pass through another state.
fn change(
    vault: &mut Vault,
    id: &str,
    request: &Request,
    act: impl FnOnce(&mut Secret) -> Result<(), Refused>,
) -> Result<Reply, Refused> {
    let secret = vault.secret(id)?;
    secret.require_etag(request.header("if-match"))?;
    secret.require_active()?;
    act(secret)?;
    secret.revision += 1;
    if secret.stale_reads == 0 {
        secret.shown = secret.versions.clone();
    }
    Ok(Reply::empty(204).with("etag", secret.etag()))
}

fn show(status: u16, secret: &Secret) -> Reply {
    Reply::json(status, &shape::secret(secret)).with("etag", secret.etag())
}

fn version_number(target: &Target) -> Result<u64, Refused> {
    target.name(1).parse().map_err(|_| Refused::invalid("the version's number is no number"))
}

/// `timeOfDeletion`, or the default of 30 days.
fn deletion_time(request: &Request, now: Timestamp) -> Result<Timestamp, Refused> {
    let body = if request.body.is_empty() { json!({}) } else { request.json()? };
    let (first, last) = (days_later(now, DELETION_DAYS.0), days_later(now, DELETION_DAYS.1));
    let Some(text) = text_field(&body, "timeOfDeletion") else { return Ok(last) };
    let at: Timestamp = text.parse().map_err(|_| Refused::invalid("timeOfDeletion is no time"))?;
    if at < first || at > last {
        return Err(Refused::invalid(format!("timeOfDeletion is between {first} and {last}")));
    }
    Ok(at)
}
