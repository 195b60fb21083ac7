//! The Secrets Manager store: versions named by our label, labels moved by compare-and-swap.
//!
//! Facts marked [api] are from the API reference of the operation. One port call is one API call, except: a bounded repeat of
//! a read of what was just written, and one DescribeSecret that explains an answer which has several meanings.

use core::time::Duration;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use aws_sdk_secretsmanager::operation::{
    describe_secret::DescribeSecretOutput, get_secret_value::GetSecretValueOutput,
    put_secret_value::PutSecretValueOutput,
};
use dizzy_engine::Generation;
use dizzy_host::{
    port::{
        Deadline, Kind, Labels, Mend, PortError, PortResult, SecretStore, StoredVersion, VersionId, VersionName,
        shell_word,
    },
    secret::SecretText,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    clients::{AwsClients, Loaded, read_settings, until},
    failure::{Call, Effect, unknown},
    token::token_for,
};

/// AWS's label of the version that consumers read.
pub const CURRENT: &str = "AWSCURRENT";
/// AWS's label of the version that was [`CURRENT`] before; AWS moves it by itself.
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// AWS's label of the version that a rotation is preparing.
pub const PENDING: &str = "AWSPENDING";

/// The longest value that the service takes, in bytes ([api]: SecretString, "Maximum length of 65536").
const MAX_VALUE: usize = 65_536;

/// Waits before a version that we have just written is looked for again: 1.55 s in all.
///
/// Reads are eventually consistent: a version is reported missing right after it was made (aws-sdk-js-v3#7701,
/// aws-secrets-manager-rotation-lambdas#16). No source gives a bound; those reports were cured by about a second.
const READ_BACK_WAITS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

/// One secret in Secrets Manager.
pub struct SecretsManagerStore {
    clients: AwsClients,
    id: String,
    name: String,
    salt: String,
    // Versions that this process staged: only these are worth waiting for when a read does not find them.
    written: Mutex<BTreeSet<VersionId>>,
    names: Mutex<Names>,
    contract: Option<RotationContract>,
}

/// What Secrets Manager hands to a rotation function besides the secret's name.
#[derive(Clone, Debug)]
pub struct RotationContract {
    /// `ClientRequestToken`: the id of the version, which the service has made empty and labelled [`PENDING`].
    pub version: VersionId,
    /// `RotationToken`: proves to the service that a caller of another account or role acts for this rotation. A secret.
    pub rotation_token: Option<SecretText>,
}

/// Our names as last seen or moved by this process.
#[derive(Default)]
struct Names {
    on: BTreeMap<VersionName, VersionId>,
    /// Whether the labels were read, so that a name that is not here is nowhere.
    complete: bool,
}

/// The last generation whose name adoption may put on a version that was there before.
const ADOPTED: Generation = Generation(1);

impl SecretsManagerStore {
    /// The secret with this name or ARN. `salt` (the set's name) goes into the idempotency token of every version, beside the
    /// secret's name and the version's name; it must be the same for every worker of the set.
    #[must_use]
    pub fn new(clients: AwsClients, id: &str, salt: &str) -> Self {
        Self {
            clients,
            id: id.to_owned(),
            name: format!("aws-sm:{id}"),
            salt: salt.to_owned(),
            written: Mutex::default(),
            names: Mutex::default(),
            contract: None,
        }
    }

    /// The version that is staged is the one that the service has made for this rotation; it keeps [`PENDING`].
    #[must_use]
    pub fn under_contract(mut self, contract: RotationContract) -> Self {
        self.contract = Some(contract);
        self
    }

    fn call<'a>(&'a self, doing: &'a str, action: &'a str, effect: Effect) -> Call<'a> {
        Call { doing, subject: &self.name, action, effect }
    }

    async fn describe(&self, call: &Call<'_>, deadline: Deadline) -> PortResult<DescribeSecretOutput> {
        let aws = self.clients.loaded(call, deadline).await?;
        let request = aws.secrets_manager.describe_secret().secret_id(&self.id);
        let request = request.customize().config_override(read_settings(deadline));
        until(deadline, call, Box::pin(async { request.send().await.map_err(|error| call.failed(&error)) })).await
    }

    async fn value(&self, call: &Call<'_>, version: Wanted<'_>, deadline: Deadline) -> PortResult<StoredVersion> {
        let aws = self.clients.loaded(call, deadline).await?;
        let request = aws.secrets_manager.get_secret_value().secret_id(&self.id);
        let request = match version {
            Wanted::Current => request.version_stage(CURRENT),
            Wanted::Id(id) => request.version_id(&id.0),
        };
        let request = request.customize().config_override(read_settings(deadline));
        let answer =
            until(deadline, call, Box::pin(async { request.send().await.map_err(|error| call.failed(&error)) })).await;
        match answer {
            Ok(answer) => stored(call, answer),
            Err(error) => Err(self.explained(error, call, deadline).await),
        }
    }

    /// Moves a label; `None` on one side means that it comes from no version, or goes to none.
    async fn relabel(
        &self,
        call: &Call<'_>,
        label: &str,
        from: Option<&VersionId>,
        to: Option<&VersionId>,
        deadline: Deadline,
    ) -> PortResult<()> {
        let aws: &Loaded = self.clients.loaded(call, deadline).await?;
        let request = aws
            .secrets_manager
            .update_secret_version_stage()
            .secret_id(&self.id)
            .version_stage(label)
            .set_remove_from_version_id(from.map(|id| id.0.clone()))
            .set_move_to_version_id(to.map(|id| id.0.clone()));
        let sent = until(
            deadline,
            call,
            Box::pin(async { request.send().await.map(drop).map_err(|error| call.failed(&error)) }),
        );
        match sent.await {
            Ok(()) => Ok(()),
            // [api] "If the label is attached and you either do not specify this parameter, or the version ID does not
            // match, then the operation fails": with this code, so that it is the compare-and-swap that failed.
            Err(error) if error.code.as_deref() == Some("InvalidParameterException") => {
                Err(PortError { kind: Kind::Conflict, ..error })
            }
            Err(error) => Err(self.explained(error, call, deadline).await),
        }
    }

    /// InvalidRequestException has several meanings ([api]: scheduled for deletion, managed by another service); the
    /// secret's description tells which. Leaves the certainty of the failed call as it was.
    async fn explained(&self, error: PortError, call: &Call<'_>, deadline: Deadline) -> PortError {
        if error.code.as_deref() != Some("InvalidRequestException") {
            return error;
        }
        let looking = Call { effect: Effect::Read, action: "secretsmanager:DescribeSecret", ..*call };
        match self.describe(&looking, deadline).await {
            Ok(secret) => match self.unusable(&looking, &secret, None) {
                Some(reason) => PortError { certainty: error.certainty, code: error.code, ..reason },
                None => error,
            },
            Err(_) => error,
        }
    }

    /// Why nothing may be written to this secret, if so.
    fn unusable(&self, call: &Call<'_>, secret: &DescribeSecretOutput, region: Option<&str>) -> Option<PortError> {
        if secret.deleted_date().is_some() {
            let command = format!("aws secretsmanager restore-secret --secret-id {}", shell_word(&self.id));
            let hint = format!("it is scheduled for deletion; to keep it: {command}");
            return Some(call.refused(Kind::NotFound).with_hint(hint).with_mend(Mend::Shell(command)));
        }
        if let Some(service) = secret.owning_service().filter(|service| !service.is_empty()) {
            let hint =
                format!("the secret is managed by {service}, which rotates it itself; configure a secret of your own");
            return Some(call.refused(Kind::Managed).with_hint(hint));
        }
        match (secret.primary_region(), region) {
            (Some(primary), Some(region)) if primary != region => {
                let hint = format!(
                    "this is a replica in {region}; a replica can only be read, configure the secret in {primary}"
                );
                Some(call.refused(Kind::ReadOnly).with_hint(hint))
            }
            _ => None,
        }
    }

    /// Refuses a stage whose name sits on another version already.
    ///
    /// PutSecretValue would move the label there without a word ([api]: "Secrets Manager removes the label from the other
    /// version and attaches it to this version"), and the other version might be left with none. Only adoption puts a name on a
    /// version that staging did not make, and only for the generations up to [`ADOPTED`]; the id of every other is derived from
    /// its name. So a look is needed for those only, or if this process saw the name elsewhere.
    async fn refuse_to_take_the_name(
        &self,
        call: &Call<'_>,
        name: &VersionName,
        id: &VersionId,
        deadline: Deadline,
    ) -> PortResult<()> {
        {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            match names.on.get(name) {
                Some(on) if on == id => return Ok(()),
                Some(_) => {}
                None if names.complete || name.generation > ADOPTED => return Ok(()),
                None => {}
            }
        }
        let looking = Call { effect: Effect::Read, action: "secretsmanager:DescribeSecret", ..*call };
        let secret = self.describe(&looking, deadline).await?;
        if let Some(reason) = self.unusable(&looking, &secret, None) {
            return Err(reason);
        }
        match self.note_all(&secret).named.get(name) {
            Some(on) if on != id => Err(call.refused(Kind::Exists)),
            _ => Ok(()),
        }
    }

    /// Stores a version under our name, and under no other: without any, AWS moves CURRENT at once.
    async fn put(
        &self,
        call: &Call<'_>,
        name: &VersionName,
        id: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<PutSecretValueOutput> {
        let aws = self.clients.loaded(call, deadline).await?;
        let request = aws
            .secrets_manager
            .put_secret_value()
            .secret_id(&self.id)
            .client_request_token(&id.0)
            .version_stages(name.to_string())
            .secret_string(value.expose());
        let request = match &self.contract {
            None => request,
            // The label is on this version already; left out, it might be taken off.
            Some(contract) => request
                .version_stages(PENDING)
                .set_rotation_token(contract.rotation_token.as_ref().map(|token| token.expose().to_owned())),
        };
        // Even a lost reply makes the version worth waiting for.
        self.remember(id);
        let sent =
            until(deadline, call, Box::pin(async { request.send().await.map_err(|error| call.failed(&error)) })).await;
        let stored = match sent {
            Ok(stored) => stored,
            Err(error) => return Err(self.explained(error, call, deadline).await),
        };
        if stored.version_id() != Some(id.0.as_str()) {
            // [api] The token "becomes the VersionId of the new version".
            return Err(call.unclear(Kind::Malformed));
        }
        Ok(stored)
    }

    /// After a move of our own name was refused as a conflict: where is the name now?
    async fn whereabouts(&self, name: &VersionName, deadline: Deadline) -> PortResult<Option<VersionId>> {
        let call = self.call("read the labels of", "secretsmanager:DescribeSecret", Effect::Read);
        let secret = self.describe(&call, deadline).await?;
        Ok(self.note_all(&secret).named.remove(name))
    }

    fn note_all(&self, secret: &DescribeSecretOutput) -> Labels {
        let labels = labels_of(secret);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        *names = Names { on: labels.named.clone(), complete: true };
        labels
    }

    /// `None`: the name is on no version.
    fn note(&self, name: &VersionName, on: Option<&VersionId>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        match on {
            Some(id) => names.on.insert(name.clone(), id.clone()),
            None => names.on.remove(name),
        };
    }

    fn remember(&self, id: &VersionId) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
    }

    fn wrote(&self, id: &VersionId) -> bool {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

enum Wanted<'a> {
    Current,
    Id(&'a VersionId),
}

#[async_trait]
impl SecretStore for SecretsManagerStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn current(&self, deadline: Deadline) -> PortResult<StoredVersion> {
        let call = self.call("read the current version of", "secretsmanager:GetSecretValue", Effect::Read);
        self.value(&call, Wanted::Current, deadline).await
    }

    async fn read(&self, id: &VersionId, deadline: Deadline) -> PortResult<StoredVersion> {
        let call = self.call("read a version of", "secretsmanager:GetSecretValue", Effect::Read);
        let mut waits = READ_BACK_WAITS.iter();
        loop {
            match self.value(&call, Wanted::Id(id), deadline).await {
                Err(error) if error.kind == Kind::NotFound && self.wrote(id) => {
                    let Some(wait) = waits.next().filter(|wait| **wait < deadline.left()) else { return Err(error) };
                    sleep_until(Instant::now() + *wait).await;
                }
                answer => return answer,
            }
        }
    }

    async fn labels(&self, deadline: Deadline) -> PortResult<Labels> {
        let call = self.call("read the labels of", "secretsmanager:DescribeSecret", Effect::Read);
        let secret = self.describe(&call, deadline).await?;
        let region = &self.clients.loaded(&call, deadline).await?.region;
        match self.unusable(&call, &secret, Some(region)) {
            Some(reason) => Err(reason),
            None => Ok(self.note_all(&secret)),
        }
    }

    async fn stage(&self, name: &VersionName, value: &SecretText, deadline: Deadline) -> PortResult<VersionId> {
        let call = self.call("store a new version of", "secretsmanager:PutSecretValue", Effect::Write);
        check_length(&call, value)?;
        let derived = || VersionId(token_for(&self.salt, &self.id, &name.to_string()));
        let id = self.contract.as_ref().map_or_else(derived, |contract| contract.version.clone());
        self.refuse_to_take_the_name(&call, name, &id, deadline).await?;
        let stored = self.put(&call, name, &id, value, deadline).await?;
        // [api] A repeat "succeeds but does nothing": it does not bring back a label that was taken off meanwhile.
        if !stored.version_stages().contains(&name.to_string()) {
            self.label(name, &id, deadline).await?;
        }
        self.note(name, Some(&id));
        Ok(id)
    }

    async fn restage(
        &self,
        name: &VersionName,
        edited: &VersionId,
        value: &SecretText,
        deadline: Deadline,
    ) -> PortResult<VersionId> {
        let call = self.call("store an edited version of", "secretsmanager:PutSecretValue", Effect::Write);
        check_length(&call, value)?;
        if self.contract.is_some() {
            let hint =
                "Secrets Manager has begun this rotation and expects the version that it named to become AWSCURRENT";
            return Err(call.refused(Kind::Managed).with_hint(hint));
        }
        let id = VersionId(token_for(&self.salt, &self.id, &format!("{name} {edited}")));
        // [api] Secrets Manager takes a label off the version that has it when a new version is put with it.
        let stored = self.put(&call, name, &id, value, deadline).await?;
        if !stored.version_stages().contains(&name.to_string()) {
            // A repeat moves nothing: the name may have gone to another edit meanwhile.
            let relabel = self.call("label a version of", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
            let on = self.whereabouts(name, deadline).await?;
            if on.as_ref() != Some(&id) {
                self.relabel(&relabel, &name.to_string(), on.as_ref(), Some(&id), deadline).await?;
            }
        }
        self.note(name, Some(&id));
        Ok(id)
    }

    async fn label(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("label a version of", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
        match self.relabel(&call, &name.to_string(), None, Some(id), deadline).await {
            Ok(()) => {
                self.note(name, Some(id));
                Ok(())
            }
            // AWS answers alike whether the label is on another version or on this one already.
            Err(error) if error.kind == Kind::Conflict => match self.whereabouts(name, deadline).await? {
                Some(on) if on == *id => Ok(()),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn move_pending(&self, from: Option<&VersionId>, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("move PENDING of", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
        self.relabel(&call, PENDING, from, Some(to), deadline).await
    }

    async fn clear_pending(&self, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("take AWSPENDING off", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
        match self.relabel(&call, PENDING, Some(id), None, deadline).await {
            // Elsewhere, or off already: the labels tell.
            Err(error) if error.kind == Kind::Conflict => match self.labels(deadline).await?.pending {
                None => Ok(()),
                Some(_) => Err(error),
            },
            result => result,
        }
    }

    async fn promote(&self, from: &VersionId, to: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("move CURRENT of", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
        self.relabel(&call, CURRENT, Some(from), Some(to), deadline).await.map_err(|error| {
            // It may be our own earlier attempt, whose reply was lost, that moved CURRENT: only the labels can tell.
            if error.kind == Kind::Conflict { unknown(error) } else { error }
        })
    }

    async fn prune(&self, name: &VersionName, id: &VersionId, deadline: Deadline) -> PortResult<()> {
        let call = self.call("take a label off", "secretsmanager:UpdateSecretVersionStage", Effect::Write);
        match self.relabel(&call, &name.to_string(), Some(id), None, deadline).await {
            Ok(()) => {
                self.note(name, None);
                Ok(())
            }
            // Not there any more, on another version, or the version itself is gone: AWS answers these alike.
            Err(error) if matches!(error.kind, Kind::Conflict | Kind::NotFound) => {
                match self.whereabouts(name, deadline).await? {
                    None => Ok(()),
                    Some(_) => Err(PortError { kind: Kind::Conflict, ..error }),
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn check_length(call: &Call<'_>, value: &SecretText) -> PortResult<()> {
    let length = value.expose().len();
    if length == 0 || length > MAX_VALUE {
        let hint = format!("Secrets Manager takes 1 to {MAX_VALUE} bytes; this would be {length}");
        return Err(call.refused(Kind::Policy).with_hint(hint));
    }
    Ok(())
}

fn stored(call: &Call<'_>, answer: GetSecretValueOutput) -> PortResult<StoredVersion> {
    let id = answer.version_id.ok_or_else(|| call.refused(Kind::Malformed))?;
    let text = answer
        .secret_string
        .ok_or_else(|| call.refused(Kind::Malformed).with_hint("it holds a binary value; a JSON text is needed"))?;
    let is_pending = answer.version_stages.iter().flatten().any(|stage| stage == PENDING);
    Ok(StoredVersion { id: VersionId(id), value: SecretText::new(text), is_pending })
}

fn labels_of(secret: &DescribeSecretOutput) -> Labels {
    let mut labels = Labels::default();
    let Some(versions) = secret.version_ids_to_stages() else { return labels };
    for (id, stages) in versions {
        let id = VersionId(id.clone());
        for stage in stages {
            match stage.as_str() {
                CURRENT => labels.current = Some(id.clone()),
                PREVIOUS => labels.previous = Some(id.clone()),
                PENDING => labels.pending = Some(id.clone()),
                other => {
                    if let Some(name) = VersionName::parse(other) {
                        labels.named.insert(name, id.clone());
                    }
                }
            }
        }
    }
    labels
}
