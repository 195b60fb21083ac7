//! The certificate of an instance: whose it is, its fingerprint, and whether a key is its own.
//!
//! It is only read: the federation service judges it, and answers if its private key has signed.

use aws_lc_rs::{rsa::KeyPair, signature::KeyPair as _};
use dizzy_host::port::{Kind, PortError, PortResult};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};
use x509_cert::{Certificate, der::Decode as _};
use zeroize::Zeroizing;

use crate::{endpoints::Place, pem::private_key, provider::Signed, sign::Signer};

/// A certificate, its key, and the tenancy that it names.
pub(super) struct Leaf {
    certificate: CertificateDer<'static>,
    tenancy: String,
    key: KeyPair,
}

impl Leaf {
    /// Reads a certificate and a key, both PEM. `None` if the key is another certificate's.
    pub(super) fn of(certificate: &[u8], key: &[u8]) -> PortResult<Option<Self>> {
        let certificate = chain(certificate)?.into_iter().next().ok_or_else(|| unusable("there is none"))?;
        let read = Certificate::from_der(&certificate).map_err(|_| unusable("it is no X.509 certificate"))?;
        let tenancy = tenancy(&read).ok_or_else(|| unusable("its subject names no tenancy"))?;
        let key = private_key(key, None).map_err(|problem| {
            PortError::refused(Kind::Denied, format!("use the key of the OCI instance's certificate: {problem}"))
        })?;
        let own = read.tbs_certificate.subject_public_key_info.subject_public_key;
        // Both are the DER of PKCS#1, which has one form.
        if own.raw_bytes() != key.public_key().as_ref() {
            return Ok(None);
        }
        Ok(Some(Self { certificate, tenancy, key }))
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.certificate
    }

    /// A signer for the federation service alone, which finds the certificate by its fingerprint.
    pub(super) fn signed(self, place: Place) -> PortResult<Signed> {
        let id = Zeroizing::new(format!("{}/fed-x509-sha256/{}", self.tenancy, fingerprint(&self.certificate)));
        let signer = Signer::new(self.key, id).ok_or_else(|| unusable("its tenancy is no OCID"))?;
        Ok(Signed::by_key(signer, place))
    }
}

/// The certificates of a PEM text.
pub(super) fn chain(pem: &[u8]) -> PortResult<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unusable("it is not PEM"))
}

/// Which attribute names it is not fixed; Oracle's Python SDK takes the first value with one of these beginnings, too.
fn tenancy(certificate: &Certificate) -> Option<String> {
    let attributes = certificate.tbs_certificate.subject.0.iter().flat_map(|name| name.0.iter());
    let values = attributes.filter_map(|attribute| str::from_utf8(attribute.value.value()).ok());
    let mut named = values.filter_map(|value| {
        ["opc-tenant:", "opc-identity:"].into_iter().find_map(|beginning| value.strip_prefix(beginning))
    });
    named.next().map(str::to_owned)
}

/// SHA-256 of the DER, in lower-case pairs with colons.
fn fingerprint(der: &[u8]) -> String {
    Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn unusable(why: &str) -> PortError {
    PortError::refused(Kind::Denied, format!("use the certificate of the OCI instance: {why}"))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, PKCS_RSA_SHA256};

    use super::*;

    const KEY: &str = include_str!("../../tests/key_pkcs1.pem");

    fn key() -> rcgen::KeyPair {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/signing_vectors.json")).unwrap();
        let pem = vectors["cases"][0]["private_key_pem"].as_str().unwrap();
        rcgen::KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256).unwrap()
    }

    fn certificate(subject: &[(DnType, &str)], key: &rcgen::KeyPair) -> String {
        let mut params = CertificateParams::default();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.self_signed(key).unwrap().pem()
    }

    #[test]
    fn the_tenancy_is_found_in_the_subject_whatever_it_is_called() {
        for (subject, tenancy) in [
            (&[(DnType::OrganizationalUnitName, "opc-tenant:ocid1.tenancy.oc1..a")][..], "ocid1.tenancy.oc1..a"),
            (
                &[(DnType::CommonName, "x"), (DnType::OrganizationName, "opc-identity:ocid1.tenancy.oc1..b")],
                "ocid1.tenancy.oc1..b",
            ),
        ] {
            let leaf = Leaf::of(certificate(subject, &key()).as_bytes(), KEY.as_bytes()).unwrap().unwrap();
            assert_eq!(leaf.tenancy, tenancy);
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_and_a_foreign_key_is_noticed() {
        let tenant = [(DnType::OrganizationalUnitName, "opc-tenant:ocid1.tenancy.oc1..a")];
        let good = certificate(&tenant, &key());
        let nobodys = certificate(&[(DnType::CommonName, "opc-instance:x")], &key());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, key, end) in [
            ("", KEY, "there is none"),
            (broken, KEY, "it is no X.509 certificate"),
            (nobodys.as_str(), KEY, "its subject names no tenancy"),
            (good.as_str(), "canary", "it holds no private key in PEM form"),
        ] {
            let error = Leaf::of(certificate.as_bytes(), key.as_bytes()).map(drop).unwrap_err();
            assert!(error.what.ends_with(end), "{}", error.what);
        }
        let foreign = certificate(&tenant, &rcgen::KeyPair::generate().unwrap());
        assert!(Leaf::of(foreign.as_bytes(), KEY.as_bytes()).unwrap().is_none());
    }

    #[test]
    fn a_fingerprint_is_written_as_oracles_sdk_for_go_writes_it() {
        let shown = fingerprint(b"abc");
        assert!(shown.starts_with("ba:78:16:bf:8f:01:cf:ea:"), "{shown}");
        assert_eq!(shown.len(), 95);
    }
}
