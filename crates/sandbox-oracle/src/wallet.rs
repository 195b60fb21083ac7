//! Wallets as Autonomous Database hands them out: a zip with certificates, connect descriptors, and files for clients that
//! are not ours.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result};
use pkcs8::{LineEnding, PrivateKeyInfoRef, pkcs5::pbes2::Parameters};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{
    emulator::OracleEmulator,
    options::Listener,
    pki::{CertificateVersion, Identity, Pki},
    wire::proof::random,
};

/// How the client's key is kept in `ewallet.pem`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WalletKey {
    /// PKCS#8, encrypted with the wallet's password (PBES2).
    Encrypted(String),
    /// PKCS#8 as it is.
    Plain,
    /// There is none: a wallet for TLS without a client certificate.
    Absent,
}

/// What a wallet is made of.
#[derive(Clone, Debug)]
pub struct WalletOptions {
    /// The client's key.
    pub key: WalletKey,
    /// The version of the client's certificate.
    pub version: CertificateVersion,
    /// Aliases begin with this name: `sandbox_high`, `sandbox_medium` and so on.
    pub database: String,
    /// Whether the authority in the wallet is a stranger to the database.
    pub wrong_authority: bool,
    /// The client certificate is valid until the first day of this year.
    pub until: i32,
}

impl Default for WalletOptions {
    fn default() -> Self {
        Self {
            key: WalletKey::Encrypted("Wallet_password_1".to_owned()),
            version: CertificateVersion::V3,
            database: "sandbox".to_owned(),
            wrong_authority: false,
            until: 2120,
        }
    }
}

/// A wallet in memory.
#[derive(Clone, Debug)]
pub struct Wallet {
    /// Its files by name.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// The levels of service that every Autonomous Database offers.
const LEVELS: [&str; 5] = ["high", "medium", "low", "tp", "tpurgent"];

/// Files of other clients: present, and of no use to anybody here.
const DUMMIES: [&str; 5] = ["cwallet.sso", "ewallet.p12", "keystore.jks", "truststore.jks", "ojdbc.properties"];

/// What makes wallets for an emulator, apart from it: for whoever has to hand out one later, as a database service does.
#[derive(Clone, Debug)]
pub struct WalletMaker {
    pki: Arc<Pki>,
    ports: [u16; 2],
    services: Vec<String>,
}

impl WalletMaker {
    /// A maker for this emulator.
    #[must_use]
    pub fn of(emulator: &OracleEmulator) -> Self {
        Self {
            pki: Arc::clone(emulator.pki()),
            ports: [emulator.port(Listener::Tls), emulator.port(Listener::MutualTls)],
            services: emulator.services().to_vec(),
        }
    }

    /// A wallet; aliases lead to the emulator's listener with mutual TLS, or without a key to the one with TLS.
    ///
    /// # Errors
    /// If a key cannot be made or encrypted.
    pub fn make(&self, options: &WalletOptions) -> Result<Wallet> {
        let mut pem = String::new();
        if options.key != WalletKey::Absent {
            let identity = self.pki.client_until(options.version, options.until)?;
            pem += &key_pem(&identity, &options.key)?;
            pem += &identity.certificate_pem();
        }
        pem += &if options.wrong_authority { Pki::create(CertificateVersion::V3)?.ca_pem() } else { self.pki.ca_pem() };
        let [tls, mutual] = self.ports;
        let port = if options.key == WalletKey::Absent { tls } else { mutual };
        let mut files = BTreeMap::from([
            ("README".to_owned(), b"A wallet of the sandbox. It opens nothing else.\n".to_vec()),
            ("ewallet.pem".to_owned(), pem.into_bytes()),
            ("sqlnet.ora".to_owned(), SQLNET.as_bytes().to_vec()),
            ("tnsnames.ora".to_owned(), self.aliases(port, &options.database).into_bytes()),
        ]);
        for name in DUMMIES {
            files.insert(name.to_owned(), format!("{name}: not for this client").into_bytes());
        }
        Ok(Wallet { files })
    }

    /// One alias per level, each with the retries that ADB writes and that multiply every wait.
    fn aliases(&self, port: u16, database: &str) -> String {
        let alias = |(at, level): (usize, &&str)| {
            let service = self.services.get(at).or_else(|| self.services.first()).map_or("", String::as_str);
            format!(
                "{database}_{level} = (description= (retry_count=20)(retry_delay=3)(address=(protocol=tcps)(port={port})(host=localhost))\
                 (connect_data=(service_name={service}))(security=(ssl_server_dn_match=yes)))\n\n"
            )
        };
        LEVELS.iter().enumerate().map(alias).collect()
    }
}

impl Wallet {
    /// A wallet for an emulator; aliases lead to its listener with mutual TLS, or without a key to the one with TLS.
    ///
    /// # Errors
    /// If a key cannot be made or encrypted.
    pub fn create(emulator: &OracleEmulator, options: &WalletOptions) -> Result<Self> {
        WalletMaker::of(emulator).make(options)
    }

    /// The wallet as a zip.
    ///
    /// # Errors
    /// If the archive cannot be written, which memory does not refuse.
    pub fn zip(&self) -> Result<Vec<u8>> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let how = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, content) in &self.files {
            zip.start_file(name, how).with_context(|| format!("begin {name}"))?;
            zip.write_all(content).with_context(|| format!("write {name}"))?;
        }
        Ok(zip.finish().context("finish the archive")?.into_inner())
    }

    /// Writes the files into a folder, which must exist.
    ///
    /// # Errors
    /// If a file cannot be written.
    #[expect(clippy::disallowed_methods, reason = "a wallet of the sandbox need not survive a crash")]
    pub fn write_to(&self, folder: &Path) -> Result<()> {
        for (name, content) in &self.files {
            std::fs::write(folder.join(name), content).with_context(|| format!("write {name}"))?;
        }
        Ok(())
    }
}

/// Rounds of PBKDF2 for the key in a wallet: what OpenSSL takes by default.
const ITERATIONS: u32 = 2048;

/// As ADB's: the location is a placeholder that every client replaces.
const SQLNET: &str = "WALLET_LOCATION = (SOURCE = (METHOD = file) (METHOD_DATA = (DIRECTORY=\"?/network/admin\")))\nSSL_SERVER_DN_MATCH=yes\n";

fn key_pem(identity: &Identity, key: &WalletKey) -> Result<String> {
    let info = PrivateKeyInfoRef::try_from(identity.key_der()).ok().context("read a key just made")?;
    match key {
        WalletKey::Absent => Ok(String::new()),
        WalletKey::Plain => Ok(crate::der::pem("PRIVATE KEY", identity.key_der())),
        WalletKey::Encrypted(password) => {
            // As ADB's wallets are said to be: PBES2 with PBKDF2. The library's own choice would be scrypt, which Oracle's clients may not read.
            let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(ITERATIONS, &random::<16>(), random());
            let scheme = scheme.ok().context("choose how to encrypt a key")?;
            let encrypted = info.encrypt_with_params(scheme, password).ok().context("encrypt a key")?;
            let pem = encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).ok().context("write a key as PEM")?;
            Ok(pem.to_string())
        }
    }
}
