//! TLS to the database: whom to trust, what to show of ourselves, and what went wrong.
//!
//! A server is verified twice, always: its certificate's chain against the roots, and its name, which is the host's (subject alternative
//! names only) or, where the descriptor demands one, the whole distinguished name. There is no option that verifies less.
//! The library's ready-made verifier cannot compare distinguished names and its client authentication refuses the X.509 version 1
//! certificates of Oracle wallets, so both are put together here from the library's own parts.

use std::{error::Error, io, sync::Arc};

use dizzy_host::port::{Kind, PortError, PortResult};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use crate::{der::Certificate, dn::DistinguishedName, wallet::Wallet};

/// Whether the public web's roots (Mozilla's list, compiled in) count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PublicRoots {
    /// They are trusted, beside those of the wallet and the private ones.
    #[default]
    Trusted,
    /// Only the wallet's and the private ones are trusted.
    Ignored,
}

/// Whom to trust, beside the wallet.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The public roots.
    pub public: PublicRoots,
    /// A bundle of private roots: one or more certificates in PEM.
    pub private_pem: Option<Vec<u8>>,
}

/// A client configuration: roots, client certificate, and the name that the server must have instead of its host's.
///
/// # Errors
/// `Malformed` if a root cannot be used.
pub(crate) fn client_config(
    roots: &Roots,
    wallet: Option<&Wallet>,
    dn: Option<DistinguishedName>,
) -> PortResult<ClientConfig> {
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Verifier { roots: root_store(roots, wallet)?, dn, algorithms };
    let client = Client(wallet.and_then(|wallet| wallet.client.clone()));
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| PortError::refused(Kind::Tls, "set up TLS"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(client));
    // A resumed session would skip the certificate, and listener and server process need not share what resumption needs.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn root_store(roots: &Roots, wallet: Option<&Wallet>) -> PortResult<RootCertStore> {
    let malformed = |whose: &str, what: &str| PortError::refused(Kind::Malformed, format!("read {whose}: {what}"));
    let mut store = RootCertStore::empty();
    if roots.public == PublicRoots::Trusted {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in wallet.map(|wallet| wallet.roots.as_slice()).unwrap_or_default() {
        store
            .add(root.clone())
            .map_err(|_| malformed("the wallet", "a certificate in its ewallet.pem cannot be a root"))?;
    }
    if let Some(pem) = &roots.private_pem {
        let bundle = "the bundle of private roots";
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| malformed(bundle, "it is not PEM"))?;
            store.add(certificate).map_err(|_| malformed(bundle, "a certificate in it cannot be a root"))?;
            count += 1;
        }
        if count == 0 {
            return Err(malformed(bundle, "there is no certificate in it"));
        }
    }
    if store.is_empty() {
        return Err(PortError::refused(
            Kind::Malformed,
            "set up TLS: no root is trusted, so no server could be verified",
        ));
    }
    Ok(store)
}

/// Shows the wallet's certificate to whoever asks, without looking into it.
#[derive(Debug)]
struct Client(Option<Arc<CertifiedKey>>);

impl ResolvesClientCert for Client {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    dn: Option<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, self.algorithms.all)?;
        match &self.dn {
            None => verify_server_name(&parsed, host)?,
            Some(demanded) => {
                let certificate = Certificate::read(end_entity).ok_or(CertificateError::BadEncoding)?;
                let shown = DistinguishedName::of_certificate(certificate.subject);
                if !shown.is_some_and(|shown| demanded.matches(&shown)) {
                    return Err(CertificateError::NotValidForName.into());
                }
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What was wrong with TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsTrouble {
    /// The server's certificate: its time is over, or has not come.
    Expired,
    /// No trusted root issued it.
    UnknownIssuer,
    /// It is for other names.
    WrongName,
    /// It is of X.509 version 1, which nothing verifies any more.
    Outdated,
    /// The server refuses our certificate, or misses one.
    ClientRefused,
    /// The same, and our certificate's time is over.
    ClientExpired,
    /// Anything else in the handshake.
    Handshake,
}

impl TlsTrouble {
    /// Looks for a TLS error inside an input/output error.
    pub(crate) fn find(error: &io::Error) -> Option<Self> {
        let mut next: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref() {
                return Some(Self::of(tls));
            }
            next = error.source();
        }
        None
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants; the rest is one trouble to us")]
    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(certificate) => match certificate {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                // A root that has the issuer's name but another key shows as a bad signature.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                // Any version but 3 is passed through as the verifier's own error.
                CertificateError::Other(_) => Self::Outdated,
                _ => Self::Handshake,
            },
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => Self::ClientRefused,
            _ => Self::Handshake,
        }
    }

    /// What is the matter, to follow "connect to ...: ".
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Expired => "the server's certificate has expired or is not valid yet",
            Self::UnknownIssuer => "the server's certificate was not issued by a trusted root",
            Self::WrongName => "the server's certificate is for another name",
            Self::Outdated => "the server's certificate cannot be verified (X.509 version 1, or malformed)",
            Self::ClientRefused => "the server does not accept the wallet's client certificate, or wants one",
            Self::ClientExpired => "the server hangs up, and the client certificate in the wallet has expired",
            Self::Handshake => "the TLS handshake failed",
        }
    }

    /// What to do about it.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Expired => "renew the server's certificate; if it is current, check the clock of this machine",
            Self::UnknownIssuer => {
                "use this database's own wallet, or point `tls_ca` at the PEM file of the root that issued it"
            }
            Self::WrongName => {
                "set `host` to a name that the certificate carries as a subject alternative name; if the descriptor has ssl_server_cert_dn, \
                 it must be the certificate's whole subject"
            }
            Self::Outdated => {
                "have the server's certificate issued again, as X.509 version 3 with a subject alternative name"
            }
            Self::ClientRefused => {
                "download this database's wallet again (rotating the wallet makes older ones invalid), or set `wallet` if the database demands mutual TLS"
            }
            Self::ClientExpired => {
                "download the database's wallet again; if its certificate is current, check the clock of this machine"
            }
            Self::Handshake => {
                "check that the port is the listener's TLS port (1522 or 1521 for an Autonomous Database)"
            }
        }
    }
}
