//! Certificates for tests: one certificate authority, and server certificates of which one is good.
//!
//! Everything is made fresh, on aws-lc-rs through rcgen, and written as PEM files into a folder that the caller owns.
//! Each bad certificate has exactly one thing wrong with it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// A name that only a test's own resolution of names knows.
pub const DATABASE_NAME: &str = "database.sandbox.test";

/// Hosts of both clouds, for a proxy that plays them.
const CLOUD_NAMES: [&str; 5] = [
    "*.us-west-2.amazonaws.com",
    "*.us-ashburn-1.oraclecloud.com",
    "*.us-ashburn-1.oci.oraclecloud.com",
    "secrets.vaults.us-ashburn-1.oci.oraclecloud.com",
    "sts.amazonaws.com",
];

/// Which server certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerCertificate {
    /// For `localhost`, `127.0.0.1`, `::1` and [`DATABASE_NAME`], valid, issued by [`Certificates::ca_pem`].
    Good,
    /// As `Good`, but its time is over.
    Expired,
    /// As `Good`, but for the name `elsewhere.test` only.
    WrongHost,
    /// As `Good`, but issued by an authority that nobody trusts.
    UnknownCa,
}

impl ServerCertificate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Good, Self::Expired, Self::WrongHost, Self::UnknownCa];

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::WrongHost => &["elsewhere.test"],
            Self::Good | Self::Expired | Self::UnknownCa => &["localhost", "127.0.0.1", "::1", DATABASE_NAME],
        }
    }

    const fn stem(self) -> &'static str {
        match self {
            Self::Good => "server",
            Self::Expired => "expired",
            Self::WrongHost => "wrong-host",
            Self::UnknownCa => "unknown-ca",
        }
    }
}

/// A folder of PEM files.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    ca_pem: String,
}

impl Certificates {
    /// Makes the authority and every server certificate, and writes them into `folder`, which must exist.
    ///
    /// # Errors
    /// If a key cannot be made or a file cannot be written.
    pub fn create(folder: &Path) -> Result<Self> {
        let (ca_pem, ca) = authority("dizzy sandbox root")?;
        let (_, stranger) = authority("somebody else's root")?;
        write(&folder.join("ca.pem"), &ca_pem)?;
        for which in ServerCertificate::ALL {
            let issuer = if which == ServerCertificate::UnknownCa { &stranger } else { &ca };
            let (cert, key) = server(which.names(), which == ServerCertificate::Expired, issuer)?;
            write(&folder.join(format!("{}.crt", which.stem())), &cert)?;
            write(&folder.join(format!("{}.key", which.stem())), &key)?;
        }
        let (cert, key) = server(&CLOUD_NAMES, false, &ca)?;
        write(&folder.join("clouds.crt"), &cert)?;
        write(&folder.join("clouds.key"), &key)?;
        Ok(Self { folder: folder.to_path_buf(), ca_pem })
    }

    /// The certificate of the authority that issued all but [`ServerCertificate::UnknownCa`].
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The file that holds [`ca_pem`](Self::ca_pem).
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Certificate and key for hosts of both clouds.
    #[must_use]
    pub fn clouds_files(&self) -> (PathBuf, PathBuf) {
        (self.folder.join("clouds.crt"), self.folder.join("clouds.key"))
    }

    /// The file of a server certificate.
    #[must_use]
    pub fn certificate_file(&self, which: ServerCertificate) -> PathBuf {
        self.folder.join(format!("{}.crt", which.stem()))
    }

    /// The file of its private key, readable by its owner only.
    #[must_use]
    pub fn key_file(&self, which: ServerCertificate) -> PathBuf {
        self.folder.join(format!("{}.key", which.stem()))
    }
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>)> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
    let key = KeyPair::generate().context("make the key of an authority")?;
    let pem = params.self_signed(&key).context("sign an authority")?.pem();
    Ok((pem, Issuer::new(params, key)))
}

fn server(names: &[&str], is_over: bool, issuer: &Issuer<'_, KeyPair>) -> Result<(String, String)> {
    let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names).context("name a server certificate")?;
    params.distinguished_name = common_name("dizzy sandbox server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let end = if is_over { 2021 } else { 2120 };
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end, 1, 1));
    let key = KeyPair::generate().context("make the key of a server")?;
    let cert = params.signed_by(&key, issuer).context("sign a server certificate")?;
    Ok((cert.pem(), key.serialize_pem()))
}

fn common_name(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
