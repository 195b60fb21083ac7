//! The one place where adapters are put together: from a configuration to the ports of its sets.
//!
//! The environment is read here and nowhere else. Opening a set reads CURRENT of every secret once, because host, port, database
//! and format may be known only from there; the driver uses that look as its first.

mod audit;
mod configuration;
mod journal;
mod notify;
mod oci;
mod oracle;
mod proxy;
mod wallet;

use std::sync::{Arc, Mutex};

pub(crate) use configuration::configuration;
pub(crate) use notify::Wired;
pub(crate) use proxy::proxy;

use async_trait::async_trait;
use dizzy_aws::{AssumedRole, AwsClients, AwsSecretReader, AwsSettings, RotationContract, SecretsManagerStore};
use dizzy_db::{PostgresConfig, PostgresDatabase, PublicRoots, Roots};
use dizzy_host::{
    config::{Adapter, Config, Engine, RotationSet, Secret},
    document::{Credential, Format, SecretDocument},
    driver::{Lease, Limits, OpenSecret, OpenSet, Undo},
    file::EnvFileReader,
    port::{
        Clock, Database, Deadline, Kind, PortError, PortResult, SecretReader, SecretStore, StoredVersion,
        SystemRandomness,
    },
    reference::Reference,
    secret::SecretText,
};
use dizzy_oci::{OciClients, OciSecretReader, OciVaultStore};
use zeroize::Zeroizing;

use crate::{
    code::{Code, Port},
    environment,
    metrics::Metrics,
    report::{NOTHING_DONE, Report},
    switches,
};

/// What this build has adapters for.
pub(crate) const AVAILABLE: &[Adapter] = &[
    Adapter::AuditKey,
    Adapter::AwsParameters,
    Adapter::AwsSecrets,
    Adapter::AwsTopics,
    Adapter::OciDatabase,
    Adapter::OciObjects,
    Adapter::OciTopics,
    Adapter::OciVault,
    Adapter::Oracle,
    Adapter::Postgres,
    Adapter::S3,
    Adapter::Webhooks,
];

/// PostgreSQL's port, where neither the configuration nor the secret says another.
const POSTGRES_PORT: u16 = 5432;

/// Whether a secret may be rewritten in the configured format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FormatRule {
    /// What CURRENT holds must be what is configured.
    Keep,
    /// `--change-format`: what is configured counts.
    Change,
}

/// Everything that several sets share.
pub(crate) struct Composer {
    config: Config,
    aws: AwsClients,
    /// What is wrong with the access to OCI matters only to sets that need it.
    oci: Result<OciClients, Report>,
    reader: Arc<Readers>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    /// The secret whose rotation Secrets Manager drives, if it does.
    contract: Option<(Reference, RotationContract)>,
    /// The trace that the run belongs to, as the header `traceparent`.
    trace: Option<String>,
    metrics: Metrics,
}

impl Composer {
    /// Remembers the configuration; connects to nothing.
    #[must_use]
    pub(crate) fn new(config: Config) -> Self {
        let role = config.aws_role.as_ref().map(|role| AssumedRole {
            arn: role.arn.clone(),
            external_id: role.external_id.clone(),
            session_name: role.session_name.clone(),
        });
        let aws = AwsClients::load(AwsSettings { role, ..aws_settings() });
        let clock = switches::clock();
        let variable = environment::text;
        let oci = oci::clients(&config.oci, variable, Arc::clone(&clock), keys(&aws));
        let reader = Arc::new(Readers {
            aws: AwsSecretReader::new(aws.clone()),
            oci: oci.as_ref().ok().map(|clients| OciSecretReader::new(clients.clone())),
            env: EnvFileReader::new(environment::variable),
        });
        Self {
            config,
            aws,
            oci,
            reader,
            clock,
            limits: switches::limits(),
            contract: None,
            trace: None,
            metrics: Metrics::Off,
        }
    }

    /// Within the time that a platform gives.
    #[must_use]
    pub(crate) const fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// As a part of this trace (a `traceparent`).
    #[must_use]
    pub(crate) fn traced(mut self, trace: Option<String>) -> Self {
        self.trace = trace;
        self
    }

    /// With measurements that go there.
    #[must_use]
    pub(crate) const fn measured(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Where measurements go.
    #[must_use]
    pub(crate) const fn metrics(&self) -> Metrics {
        self.metrics
    }

    /// The trace that the run belongs to, as the header `traceparent`.
    #[must_use]
    pub(crate) fn trace(&self) -> Option<&str> {
        self.trace.as_deref()
    }

    /// The next version of this secret is the one that Secrets Manager has made.
    #[must_use]
    pub(crate) fn under_contract(mut self, secret: Reference, contract: RotationContract) -> Self {
        self.contract = Some((secret, contract));
        self
    }

    /// The configuration.
    #[must_use]
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// How long things may take.
    #[must_use]
    pub(crate) const fn limits(&self) -> Limits {
        self.limits
    }

    /// The time of day.
    #[must_use]
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Opens a set: reads what its secrets publish, and prepares everything without connecting to a database.
    ///
    /// # Errors
    /// What is missing or does not fit. Nothing has been changed.
    pub(crate) async fn open(&self, name: &str, lease: Lease, rule: FormatRule) -> Result<OpenSet, Report> {
        let set = self.config.set(name)?.clone();
        self.config.require(&[name], AVAILABLE)?;
        let mut looks = Vec::new();
        for secret in &set.secrets {
            looks.push(self.look(&set, secret, rule).await?);
        }
        let mut secrets = Vec::new();
        let mut first: Vec<Option<Credential>> = vec![None; set.databases.len()];
        for (secret, look) in set.secrets.iter().zip(looks) {
            let covers = covers(&set, secret, look.format);
            for at in &covers {
                let (Some(database), Some(slot)) = (set.databases.get(*at), first.get_mut(*at)) else { continue };
                match look.document.credential(&database.name, look.found) {
                    Ok(credential) => {
                        slot.get_or_insert(credential);
                    }
                    // In its next format the secret may publish more than it does.
                    Err(_) if look.found != look.format => {}
                    Err(error) => {
                        return Err(Report::of_document(&secret.store.to_string(), &error, NOTHING_DONE));
                    }
                }
            }
            let first = StoredVersion { id: look.id, value: look.document.text().clone(), is_pending: look.is_pending };
            let first_look = Mutex::new(Some(first));
            secrets.push(OpenSecret { store: look.store, format: look.format, first_look, covers });
        }
        let mut databases = Vec::new();
        for (database, credential) in set.databases.iter().zip(&first) {
            let Some(credential) = credential else {
                let what = format!("no secret of the set {name} publishes the database {}", database.name);
                return Err(Report::new(Code::ConfigValue, what, NOTHING_DONE)
                    .hint("add a secret of format `blob`, or one of format `rds` with `database`"));
            };
            databases.push(self.database(&set, database, credential).await?);
        }
        Ok(OpenSet {
            databases,
            secrets,
            journal: self.journal()?,
            audit: self.trail().await?,
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(SystemRandomness),
            who: who(),
            lease,
            undo: Undo::Required,
            admins: Vec::new(),
            config: set,
        })
    }

    /// The store of a secret of the set of this name.
    ///
    /// # Errors
    /// If credentials cannot be published there, or there is no access to its cloud.
    pub(crate) fn store(&self, set: &str, secret: &Reference) -> Result<Arc<dyn SecretStore>, Report> {
        match secret {
            Reference::AwsSm { id, .. } => {
                let store = SecretsManagerStore::new(self.aws.clone(), id, set);
                let contract = self.contract.as_ref().filter(|(bound, _)| bound == secret);
                Ok(match contract {
                    Some((_, contract)) => Arc::new(store.under_contract(contract.clone())),
                    None => Arc::new(store),
                })
            }
            Reference::OciVault { ocid, .. } => Ok(Arc::new(OciVaultStore::new(self.oci.clone()?, ocid))),
            Reference::AwsSsm { .. } | Reference::Env { .. } | Reference::File { .. } => {
                let what = format!("{secret}: credentials cannot be published there");
                Err(Report::new(Code::ConfigValue, what, NOTHING_DONE))
            }
        }
    }

    async fn look(&self, set: &RotationSet, secret: &Secret, rule: FormatRule) -> Result<Look, Report> {
        let place = secret.store.to_string();
        let store = self.store(&set.name, &secret.store)?;
        let current = store.current(Deadline::after(self.limits.call)).await;
        let current = current.map_err(|error| Report::of_port(Port::Store, &place, &error, NOTHING_DONE))?;
        let of_document = |error| Report::of_document(&place, &error, NOTHING_DONE);
        let document = SecretDocument::parse(current.value).map_err(of_document)?;
        let names: Vec<&str> = set.databases.iter().map(|d| d.name.as_str()).collect();
        let found = document.format(&names).map_err(of_document)?;
        let format = match secret.format {
            Some(configured) if configured != found && rule == FormatRule::Keep => {
                return Err(of_document(dizzy_host::document::DocumentError::OtherFormat { configured, found }));
            }
            Some(configured) => configured,
            None => found,
        };
        Ok(Look { store, id: current.id, is_pending: current.is_pending, document, found, format })
    }

    async fn database(
        &self,
        set: &RotationSet,
        database: &dizzy_host::config::Database,
        credential: &Credential,
    ) -> Result<Arc<dyn Database>, Report> {
        let place = format!("{}/{}", set.name, database.name);
        let private_pem = match &database.tls_ca {
            None => None,
            Some(reference) => Some(self.read(reference).await?.expose().as_bytes().to_vec()),
        };
        if database.engine == Engine::Oracle {
            let wallet = wallet::open(self, &place, database).await?;
            let clock = Arc::clone(&self.clock);
            let parts = oracle::Parts { place: &place, credential, wallet, private_pem, clock };
            return Ok(Arc::new(oracle::database(database, parts)?));
        }
        let host = database.host.clone().or_else(|| credential.host.clone()).ok_or_else(|| {
            let what = format!("{place}: neither the configuration nor the secret says the host");
            Report::new(Code::ConfigValue, what, NOTHING_DONE).hint("add `host` to the database in the configuration")
        })?;
        let dbname = database.dbname.clone().or_else(|| credential.dbname.clone());
        let config = PostgresConfig {
            name: database.name.clone(),
            host,
            port: database.port.or(credential.port).unwrap_or(POSTGRES_PORT),
            // The server's own default: the database of the user's name makes no sense for two users.
            dbname: dbname.unwrap_or_else(|| "postgres".to_owned()),
            roots: Roots { public: PublicRoots::Trusted, private_pem },
            connect_timeout: database.connect_timeout,
            statement_timeout: database.statement_timeout,
            randomness: Arc::new(SystemRandomness),
        };
        let adapter = PostgresDatabase::new(config);
        let adapter = adapter.map_err(|error| Report::of_port(Port::Database, &place, &error, NOTHING_DONE))?;
        Ok(Arc::new(adapter))
    }

    /// Reads what a reference points at.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) async fn read(&self, reference: &Reference) -> Result<SecretText, Report> {
        if let (Reference::OciVault { .. }, Err(report)) = (reference, &self.oci) {
            return Err(report.clone());
        }
        let result = self.reader.read(reference, Deadline::after(self.limits.call)).await;
        result.map_err(|error| Report::of_port(Port::Reference, &reference.to_string(), &error, NOTHING_DONE))
    }

    /// The administrator's login of each database of a set; `None` where none is configured.
    ///
    /// # Errors
    /// If one is configured and cannot be read.
    pub(crate) async fn admins(&self, set: &RotationSet) -> Result<Vec<Option<Credential>>, Report> {
        let mut all = Vec::new();
        for database in &set.databases {
            let Some(reference) = &database.admin else {
                all.push(None);
                continue;
            };
            let text = self.read(reference).await?;
            let of_document = |error| Report::of_document(&reference.to_string(), &error, NOTHING_DONE);
            let document = SecretDocument::parse(text).map_err(of_document)?;
            all.push(Some(document.credential(&database.name, Format::Rds).map_err(of_document)?));
        }
        Ok(all)
    }
}

/// AWS's own environment variables, as far as they were taken out of the environment; the SDK finds the rest by itself.
fn aws_settings() -> AwsSettings {
    let settings =
        AwsSettings { extra_roots: switches::extra_roots(), proxy: proxy::known(), ..AwsSettings::default() };
    let secret = environment::text("AWS_SECRET_ACCESS_KEY").or_else(|| environment::text("SECRET_ACCESS_KEY"));
    match (environment::text("AWS_ACCESS_KEY_ID"), secret.map(Zeroizing::new)) {
        (Some(id), Some(secret)) => {
            let token = environment::text("AWS_SESSION_TOKEN").map(Zeroizing::new);
            settings.with_keys(&id, &secret, token.as_ref().map(|token| token.as_str()))
        }
        _ => settings,
    }
}

struct Look {
    store: Arc<dyn SecretStore>,
    id: dizzy_host::port::VersionId,
    is_pending: bool,
    document: SecretDocument,
    /// The format of what is published.
    found: Format,
    /// The format of what will be.
    format: Format,
}

/// Which databases of the set a secret publishes.
fn covers(set: &RotationSet, secret: &Secret, format: Format) -> Vec<usize> {
    let all = set.databases.iter().enumerate();
    match (format, &secret.database) {
        (Format::Rds, Some(name)) => all.filter(|(_, d)| d.name == *name).map(|(at, _)| at).collect(),
        (Format::Rds, None) => vec![0],
        (Format::Blob, _) => all.map(|(at, _)| at).collect(),
    }
}

/// Host and process, for people who read the register.
fn who() -> String {
    let name = rustix::system::uname();
    format!("{}/{}", name.nodename().to_string_lossy(), std::process::id())
}

/// What reads the key to OCI: every reader but OCI's own.
fn keys(aws: &AwsClients) -> Arc<dyn SecretReader> {
    let env = EnvFileReader::new(environment::variable);
    Arc::new(Readers { aws: AwsSecretReader::new(aws.clone()), oci: None, env })
}

/// Every reader of references in this build.
struct Readers {
    aws: AwsSecretReader,
    oci: Option<OciSecretReader>,
    env: EnvFileReader,
}

#[async_trait]
impl SecretReader for Readers {
    async fn read(&self, reference: &Reference, deadline: Deadline) -> PortResult<SecretText> {
        match reference {
            Reference::AwsSm { .. } | Reference::AwsSsm { .. } => self.aws.read(reference, deadline).await,
            Reference::Env { .. } | Reference::File { .. } => self.env.read(reference, deadline).await,
            Reference::OciVault { .. } => match &self.oci {
                Some(oci) => oci.read(reference, deadline).await,
                None => Err(PortError::refused(Kind::Denied, "there is no access to OCI")),
            },
        }
    }
}
