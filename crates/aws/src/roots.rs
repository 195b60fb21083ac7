//! Whom to trust: the public roots built into the program, plus roots of the user's own.
//!
//! The system's certificate folder is not read: in an image without one, the client would be built with no roots at all
//! and fail at the first handshake with an error that names the wrong cause.

use aws_smithy_http_client::tls::TrustStore;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_host::port::{Kind, PortError, PortResult};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Mozilla's roots and every certificate in `extra` (PEM).
///
/// # Errors
/// `Tls` if `extra` holds no certificate, or one that cannot be read: the transport would panic on it.
pub(crate) fn trust_store(extra: Option<&[u8]>) -> PortResult<TrustStore> {
    let mut pem = String::new();
    for der in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&STANDARD.encode(der));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    let mut store = TrustStore::empty().with_pem_certificate(pem);
    if let Some(extra) = extra {
        store.add_pem_certificate(checked(extra)?);
    }
    Ok(store)
}

fn checked(pem: &[u8]) -> PortResult<&[u8]> {
    let refused =
        || PortError::refused(Kind::Tls, "read the additional root certificates for AWS: not PEM certificates");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| refused())?).map_err(|_| refused())?;
    }
    if roots.is_empty() { Err(refused()) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_roots_that_are_no_certificates_are_refused_before_the_transport_sees_them() {
        assert!(trust_store(None).is_ok());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "not PEM", broken] {
            let refused = trust_store(Some(pem.as_bytes())).map(drop).unwrap_err();
            assert_eq!(refused.kind, Kind::Tls, "{pem}");
        }
    }
}
