//! An Oracle database, put together: its wallet fetched into memory, its service named, nothing connected yet.

use std::sync::Arc;

use dizzy_host::{
    config::Database as Configured,
    document::Credential,
    port::{Clock, SystemRandomness},
};
use dizzy_oracle::{Limits, OracleConfig, OracleDatabase, PublicRoots, Roots, Service, Wallet};

use crate::{
    code::{Code, Port},
    report::{NOTHING_DONE, Report},
};

/// Oracle's usual port for TLS, where neither the configuration nor the secret says another.
const TLS_PORT: u16 = 2484;

/// What a database is made of, besides its configuration.
pub(super) struct Parts<'a> {
    /// `set/database`, for messages.
    pub(super) place: &'a str,
    /// What its secret publishes: host, port and service may be known only from there.
    pub(super) credential: &'a Credential,
    /// The wallet, if one is configured.
    pub(super) wallet: Option<Wallet>,
    /// Private roots, if configured.
    pub(super) private_pem: Option<Vec<u8>>,
    /// The time of day.
    pub(super) clock: Arc<dyn Clock>,
}

/// The adapter of one database.
///
/// # Errors
/// If neither the configuration nor the secret says where it is, or wallet and roots do not fit.
pub(super) fn database(config: &Configured, parts: Parts<'_>) -> Result<OracleDatabase, Report> {
    let Parts { place, credential, wallet, private_pem, clock } = parts;
    let service = service(config, credential).ok_or_else(|| {
        let what = format!("{place}: neither the configuration nor the secret says which service it is");
        Report::new(Code::ConfigValue, what, NOTHING_DONE)
            .hint("add `service` (an alias in the wallet), or `host` and `service_name`")
    })?;
    let limits = Limits {
        open: config.connect_timeout,
        login: config.connect_timeout,
        call: config.statement_timeout,
        ..Limits::default()
    };
    let adapter = OracleDatabase::new(OracleConfig {
        name: config.name.clone(),
        service,
        wallet,
        roots: Roots { public: PublicRoots::Trusted, private_pem },
        limits,
        randomness: Arc::new(SystemRandomness),
        clock,
    });
    adapter.map_err(|error| Report::of_port(Port::Database, place, &error, NOTHING_DONE))
}

/// The configuration first, then the secret. An alias names everything; a service's name needs a host.
fn service(config: &Configured, credential: &Credential) -> Option<Service> {
    if let Some(alias) = &config.service {
        return Some(Service::Named(alias.clone()));
    }
    let host = config.host.clone().or_else(|| credential.host.clone());
    match (&config.service_name, host) {
        (Some(service), Some(host)) => {
            let port = config.port.or(credential.port).unwrap_or(TLS_PORT);
            Some(Service::At { host, port, service: service.clone() })
        }
        (Some(_), None) => None,
        (None, _) => credential.service.clone().map(Service::Named),
    }
}
