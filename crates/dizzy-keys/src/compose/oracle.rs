//! An Oracle database, put together: its wallet fetched into memory, its service named, nothing connected yet.

use std::{path::Path, sync::Arc};

use dizzy_host::{
    config::{Database as Configured, Wallet as Place},
    document::Credential,
    port::{Clock, Deadline, Kind, PortError, PortResult, SystemRandomness},
    reference::Reference,
    secret::{Password, SecretText},
};
use dizzy_oci::{ObjectPath, ObjectStorage};
use dizzy_oracle::{Limits, OracleConfig, OracleDatabase, PublicRoots, Roots, Service, Wallet};

use crate::{
    code::{Code, Port},
    report::{NOTHING_DONE, Report},
};

/// Oracle's usual port for TLS, where neither the configuration nor the secret says another.
const TLS_PORT: u16 = 2484;
/// With this variable the driver prints all that goes over the wire, statements and proofs of passwords included.
pub(super) const PACKET_DUMP: &str = "RSO_DEBUG_PACKETS";
/// Largest wallet that is fetched, in bytes. An Autonomous Database's has some 25 KiB.
const WALLET_LIMIT: usize = 1 << 20;

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

/// A wallet that is a file or a folder of this machine.
///
/// # Errors
/// If it cannot be read or opened.
pub(super) fn from_path(path: &str, password: Option<&Password>) -> PortResult<Wallet> {
    let path = Path::new(path);
    if path.is_dir() {
        return Wallet::from_folder(path, password);
    }
    let what = || format!("read the wallet {}", path.display());
    let file = std::fs::File::open(path).map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
        PortError::refused(kind, what()).with_code(error.kind().to_string())
    })?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let limit = u64::try_from(WALLET_LIMIT).unwrap_or(u64::MAX);
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit + 1), &mut bytes)
        .map_err(|error| PortError::refused(Kind::Io, what()).with_code(error.kind().to_string()))?;
    if bytes.len() > WALLET_LIMIT {
        let error = PortError::refused(Kind::Malformed, what());
        return Err(error.with_hint(format!("it is larger than {WALLET_LIMIT} bytes: is it a wallet?")));
    }
    if bytes.starts_with(b"-----") { Wallet::from_pem(&bytes, password) } else { Wallet::from_zip(&bytes, password) }
}

/// A wallet that is an object.
///
/// # Errors
/// If it cannot be fetched or opened.
pub(super) async fn from_object(
    storage: &ObjectStorage,
    path: &ObjectPath,
    password: Option<&Password>,
    deadline: Deadline,
) -> PortResult<Wallet> {
    let object = storage.get(path, WALLET_LIMIT, deadline).await?;
    Wallet::from_zip(&object.content, password)
}

/// The wallet's password as the secret has it.
pub(super) fn password(text: &SecretText) -> Password {
    Password::new(text.expose().to_owned())
}

/// A source of wallets that this build does not have.
pub(super) fn no_source(place: &str, wallet: &Place) -> Report {
    let what = match wallet {
        Place::Generated { .. } => format!("{place}: this build cannot have a wallet generated"),
        Place::Object { .. } | Place::Reference(Reference::File { .. }) => format!("{place}: the wallet"),
        Place::Reference(reference) => format!("{place}: this build cannot read a wallet from {reference}"),
    };
    Report::new(Code::ConfigUnsupported, what, NOTHING_DONE)
        .hint("use `file:PATH` (a zip or a folder) or `oci://NAMESPACE/BUCKET/OBJECT`")
}
