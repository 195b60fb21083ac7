//! Certificates: an authority, server certificates, and client certificates of version 3 or 1.
//!
//! Made fresh with rcgen, and for version 1, which rcgen does not make, by hand. Oracle's tools have issued version 1
//! for decades; its clients take them, and so must ours.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::der;

/// Version of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CertificateVersion {
    /// Without extensions.
    V1,
    /// What everybody issues today.
    V3,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// The certificate in DER.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        der::pem("CERTIFICATE", &self.certificate)
    }

    /// The key as PKCS#8 in DER, not encrypted.
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        &self.key
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

/// An authority.
pub struct Pki {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    subject: Vec<u8>,
    /// The client certificates issued so far, each with the last second at which it is good: a listener that demands one takes
    /// exactly these.
    clients: Mutex<Vec<(Vec<u8>, i64)>>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

/// Part of a distinguished name: `("CN", "adb.sandbox.test")`.
pub type NamePart<'a> = (&'a str, &'a str);

impl Pki {
    /// A fresh authority with a certificate of this version.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn create(version: CertificateVersion) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(&[("CN", "sandbox oracle root")])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2120, 1, 1));
        let key = KeyPair::generate().context("make the key of an authority")?;
        let modern = params.self_signed(&key).context("sign an authority")?;
        let subject = der::subject(modern.der()).context("read the name of an authority")?;
        let issuer = Issuer::new(params, key);
        let certificate = match version {
            CertificateVersion::V3 => modern.der().clone(),
            CertificateVersion::V1 => {
                der::version_1(&subject, &subject, issuer.key(), issuer.key()).context("sign a v1 authority")?.into()
            }
        };
        Ok(Self { certificate, issuer, subject, clients: Mutex::default() })
    }

    /// The authority's certificate in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        der::pem("CERTIFICATE", &self.certificate)
    }

    /// A good certificate for the loopback names, with this distinguished name.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn server(&self, name: &[NamePart<'_>]) -> Result<Identity> {
        self.server_for(name, &["localhost", "127.0.0.1", "::1"], 2120)
    }

    /// A server certificate for these host names or addresses, valid until the year's first day.
    ///
    /// # Errors
    /// If a key cannot be made or a name is none.
    pub fn server_for(&self, name: &[NamePart<'_>], hosts: &[&str], until: i32) -> Result<Identity> {
        let hosts = hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut params = CertificateParams::new(hosts).context("name a server certificate")?;
        params.distinguished_name = distinguished(name)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        self.sign(params)
    }

    /// A client certificate, which the listener with mutual TLS takes.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn client(&self, version: CertificateVersion) -> Result<Identity> {
        self.client_until(version, 2120)
    }

    /// The same, valid until the first day of a year.
    ///
    /// # Errors
    /// If a key cannot be made.
    pub fn client_until(&self, version: CertificateVersion, until: i32) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished(&[("CN", "sandbox wallet")])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let mut identity = self.sign(params)?;
        if version == CertificateVersion::V1 {
            let subject = der::subject(&identity.certificate).context("read the name of a client")?;
            let key = KeyPair::try_from(identity.key.as_slice()).context("read a key just made")?;
            identity.certificate = der::version_1(&self.subject, &subject, &key, self.issuer.key())
                .context("sign a v1 certificate")?
                .into();
        }
        let until = date_time_ymd(until, 1, 1).unix_timestamp();
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push((identity.certificate.to_vec(), until));
        Ok(identity)
    }

    /// The last second of a certificate that was issued here to a client, since 1970.
    pub(crate) fn issued(&self, certificate: &[u8]) -> Option<i64> {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().find(|(issued, _)| issued == certificate).map(|(_, until)| *until)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate().context("make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("sign a certificate")?;
        Ok(Identity { certificate: certificate.der().clone(), key: key.serialize_der() })
    }
}

fn distinguished(name: &[NamePart<'_>]) -> Result<DistinguishedName> {
    let mut distinguished = DistinguishedName::new();
    for (part, value) in name {
        let part = match *part {
            "C" => DnType::CountryName,
            "CN" => DnType::CommonName,
            "L" => DnType::LocalityName,
            "O" => DnType::OrganizationName,
            "OU" => DnType::OrganizationalUnitName,
            "ST" => DnType::StateOrProvinceName,
            other => anyhow::bail!("{other} is no part of a name that is known here"),
        };
        distinguished.push(part, *value);
    }
    Ok(distinguished)
}
