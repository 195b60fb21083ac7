//! A moto, a client of it, and shorthands. What a secret holds is read through the command line or the server's own list.

use core::time::Duration;

use dizzy_aws::{AwsClients, AwsSettings, Credentials, SecretsManagerStore};
use dizzy_engine::Generation;
use dizzy_host::{
    port::{Deadline, SecretStore as _, VersionId, VersionName},
    secret::SecretText,
};
use dizzy_sandbox::moto::{ACCESS_KEY_ID, Moto, REGION, SECRET_ACCESS_KEY};
use serde_json::Value;

/// The register of the tests; its first ten characters are in the labels.
pub(crate) const REGISTER: &str = "0123456789abcdef";

pub(crate) struct World {
    pub(crate) moto: Moto,
    pub(crate) clients: AwsClients,
}

impl World {
    pub(crate) fn new() -> Self {
        let moto = Moto::start().unwrap();
        let clients = AwsClients::load(settings(&moto.endpoint()));
        Self { moto, clients }
    }

    /// A secret with `text` as CURRENT, and a store for it.
    pub(crate) fn secret(&self, name: &str, text: &str) -> (SecretsManagerStore, VersionId) {
        let id = self.moto.create_secret(name, text).unwrap();
        (self.store(name), VersionId(id))
    }

    pub(crate) fn store(&self, name: &str) -> SecretsManagerStore {
        SecretsManagerStore::new(self.clients.clone(), name, "orders")
    }

    /// The labels of a version as the AWS command line sees them.
    pub(crate) fn labels_by_cli(&self, secret: &str, id: &VersionId) -> Vec<String> {
        let seen = self.moto.aws(&["secretsmanager", "describe-secret", "--secret-id", secret]).unwrap();
        texts(&seen["VersionIdsToStages"][&id.0])
    }

    /// The labels of a version as the server holds them; `None` if the version is gone.
    pub(crate) fn labels_on_server(&self, secret: &str, id: &VersionId) -> Option<Vec<String>> {
        self.moto.versions(secret).unwrap().get(&id.0).map(|version| texts(&version["labels"]))
    }
}

pub(crate) fn settings(endpoint: &str) -> AwsSettings {
    AwsSettings {
        region: Some(REGION.to_owned()),
        endpoint_url: Some(endpoint.to_owned()),
        credentials: Some(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "tests")),
        ..AwsSettings::default()
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut texts: Vec<String> = list.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

pub(crate) fn name(generation: u64) -> VersionName {
    VersionName::new(Generation(generation), REGISTER)
}

pub(crate) fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

/// Long enough that only a hanging call meets it.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Stages a generation and returns its version.
pub(crate) async fn staged(store: &SecretsManagerStore, generation: u64) -> VersionId {
    store.stage(&name(generation), &text(&format!("value-{generation}")), soon()).await.unwrap()
}
