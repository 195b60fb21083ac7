//! The listeners' side of TLS.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoClientAuth,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{
    der,
    pki::{Identity, Pki},
};

/// Whether a client certificate is demanded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Client {
    Anonymous,
    Certified,
}

/// The configuration of a listener. The provider is given explicitly, so no process-wide default is needed.
pub(crate) fn config(identity: &Identity, pki: &Arc<Pki>, client: Client) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(identity.key()).context("load the server's key")?;
    // Not `with_single_cert`: it reads the certificate and refuses version 1.
    let certified = CertifiedKey::new(vec![identity.certificate.clone()], key);
    let verifier: Arc<dyn ClientCertVerifier> = match client {
        Client::Anonymous => Arc::new(NoClientAuth),
        Client::Certified => Arc::new(Issued { pki: Arc::clone(pki), provider: Arc::clone(&provider) }),
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose versions of TLS")?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    Ok(Arc::new(config))
}

/// Takes the client certificates that the authority has issued, of whatever version.
#[derive(Debug)]
struct Issued {
    pki: Arc<Pki>,
    provider: Arc<CryptoProvider>,
}

impl Issued {
    /// Checks a signature with the bare key: webpki does not read certificates of version 1.
    fn check(
        &self,
        message: &[u8],
        certificate: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadSignature);
        let key = der::public_key(certificate).ok_or_else(bad)?;
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let (_, algorithms) = mapping.iter().find(|(scheme, _)| *scheme == signed.scheme).ok_or_else(bad)?;
        if algorithms.iter().any(|algorithm| algorithm.verify_signature(&key, message, signed.signature()).is_ok()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(bad())
        }
    }
}

impl ClientCertVerifier for Issued {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.pki.issued(end_entity) {
            Some(until) if i64::try_from(now.as_secs()).is_ok_and(|now| now <= until) => {
                Ok(ClientCertVerified::assertion())
            }
            Some(_) => Err(Error::InvalidCertificate(CertificateError::Expired)),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
