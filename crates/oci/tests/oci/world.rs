//! An emulated OCI, clients of it, and shorthands. What a secret holds is read from the emulator's memory.

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use dizzy_engine::Generation;
use dizzy_host::{
    port::{Deadline, SecretStore as _, SystemClock, SystemRandomness, VersionId, VersionName},
    secret::SecretText,
};
use dizzy_oci::{DEFAULT_PROFILE, OciAuth, OciClients, OciEndpoints, OciSettings, OciVaultStore, Pace};
use dizzy_sandbox_oci::{
    ConfigFiles, KeyFormat, OciEmulator, Operation, Options, Principal, Rights, SecretOptions, Service,
};
use tempfile::TempDir;

/// The register of the tests; its first ten characters are in the names.
pub(crate) const REGISTER: &str = "0123456789abcdef";

pub(crate) struct World {
    pub(crate) oci: OciEmulator,
    pub(crate) principal: Principal,
    pub(crate) clients: OciClients,
    pub(crate) files: ConfigFiles,
    pub(crate) folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let oci = OciEmulator::start(options).unwrap();
        let principal = oci.principal("rotator", Rights::all()).unwrap();
        let folder = TempDir::new().unwrap();
        let files = principal.write_config(folder.path(), KeyFormat::Pkcs8).unwrap();
        let clients = OciClients::new(settings(&oci, &files));
        Self { oci, principal, clients, files, folder }
    }

    /// A secret with `text` as CURRENT, which is version 1, and a store for it.
    pub(crate) fn secret(&self, name: &str, text: &str) -> (OciVaultStore, String) {
        let ocid = self.oci.create_secret(&SecretOptions::new(name, text)).unwrap();
        (self.store(&ocid), ocid)
    }

    pub(crate) fn store(&self, ocid: &str) -> OciVaultStore {
        OciVaultStore::new(self.clients.clone(), ocid)
    }

    /// `1=PREVIOUS 2=CURRENT`
    pub(crate) fn stages(&self, ocid: &str) -> String {
        self.oci.secret(ocid).unwrap().stages()
    }

    /// How often each operation was asked for since the log was last forgotten.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for operation in self.oci.log().iter().filter_map(|logged| logged.operation) {
            *counts.entry(operation.name()).or_default() += 1;
        }
        counts
    }

    pub(crate) fn count(&self, operation: Operation) -> usize {
        self.counts().get(operation.name()).copied().unwrap_or_default()
    }
}

pub(crate) fn settings(oci: &OciEmulator, files: &ConfigFiles) -> OciSettings {
    OciSettings {
        auth: OciAuth::ConfigFile { file: files.config.clone(), profile: DEFAULT_PROFILE.to_owned(), home: None },
        region: None,
        realm_domain: None,
        endpoints: OciEndpoints {
            secrets: Some(oci.endpoint(Service::Secrets)),
            vaults: Some(oci.endpoint(Service::Vaults)),
            object_storage: Some(oci.endpoint(Service::ObjectStorage)),
            database: Some(oci.endpoint(Service::Database)),
            notifications: Some(oci.endpoint(Service::Notifications)),
            auth: Some(oci.endpoint(Service::Auth)),
        },
        extra_roots: None,
        proxy: None,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        pace: Pace {
            backoff: Duration::from_millis(2),
            first_poll: Duration::from_millis(1),
            longest_poll: Duration::from_millis(4),
        },
    }
}

pub(crate) fn name(generation: u64) -> VersionName {
    VersionName::new(Generation(generation), REGISTER)
}

pub(crate) fn text(text: &str) -> SecretText {
    SecretText::new(text.to_owned())
}

pub(crate) fn version(number: u64) -> VersionId {
    VersionId(number.to_string())
}

/// Long enough that only a hanging call meets it.
pub(crate) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Stages a generation and returns its version.
pub(crate) async fn staged(store: &OciVaultStore, generation: u64) -> VersionId {
    store.stage(&name(generation), &text(&format!("value-{generation}")), soon()).await.unwrap()
}
