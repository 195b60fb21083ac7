//! TLS for database connections: rustls on aws-lc-rs, chain and host name always verified, roots of the caller's choice.
//!
//! There is no option that verifies less, and no way to a connection without TLS. What went wrong is told in our words.

use std::{error::Error, io, sync::Arc};

use dizzy_host::port::{Kind, PortError, PortResult};
use rustls::{CertificateError, ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// Whether the public web's roots (Mozilla's list, compiled in) count.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PublicRoots {
    /// They are trusted, beside the private ones.
    #[default]
    Trusted,
    /// Only the private roots are trusted.
    Ignored,
}

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// The public roots.
    pub public: PublicRoots,
    /// A bundle of private roots: one or more certificates in PEM.
    pub private_pem: Option<Vec<u8>>,
}

/// A client configuration that trusts `roots`.
///
/// # Errors
/// `Malformed` if the bundle holds no certificate, or one that is broken.
pub(crate) fn client_config(roots: &Roots) -> PortResult<ClientConfig> {
    let malformed =
        |what: &str| PortError::refused(Kind::Malformed, format!("read the bundle of private roots: {what}"));
    let mut store = RootCertStore::empty();
    if roots.public == PublicRoots::Trusted {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    if let Some(pem) = &roots.private_pem {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| malformed("it is not PEM"))?;
            store.add(certificate).map_err(|_| malformed("a certificate in it cannot be a root"))?;
            count += 1;
        }
        if count == 0 {
            return Err(malformed("there is no certificate in it"));
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| PortError::refused(Kind::Tls, "set up TLS"))?
        .with_root_certificates(store)
        .with_no_client_auth();
    // A resumed session would skip the certificate; PostgreSQL offers no resumption anyway.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// What was wrong with TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TlsTrouble {
    /// The certificate's time is over, or has not come.
    Expired,
    /// No trusted root issued it.
    UnknownIssuer,
    /// It is for other names.
    WrongName,
    /// The server answered that it has no TLS.
    NotOffered,
    /// The configured host can be no name in a certificate.
    BadName,
    /// Anything else in the handshake.
    Handshake,
}

impl TlsTrouble {
    /// Looks for a TLS error along the chain of sources.
    pub(crate) fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            // An io::Error hides the error it was made from: `source` gives that one's source.
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
            if let Some(tls) = tls {
                return Some(Self::of(tls));
            }
            next = error.source();
        }
        None
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants; the rest is one trouble to us")]
    fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(certificate) = error else { return Self::Handshake };
        match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            _ => Self::Handshake,
        }
    }

    /// What is the matter, to follow "connect to ...: ".
    pub(crate) const fn what(self) -> &'static str {
        match self {
            Self::Expired => "the server's certificate has expired or is not valid yet",
            Self::UnknownIssuer => "the server's certificate was not issued by a trusted root",
            Self::WrongName => "the server's certificate is for another host name",
            Self::NotOffered => "the server does not offer TLS",
            Self::BadName => "the configured host cannot be verified: it is neither a DNS name nor an IP address",
            Self::Handshake => "the TLS handshake failed",
        }
    }

    /// What to do about it.
    pub(crate) const fn hint(self) -> &'static str {
        match self {
            Self::Expired => "renew the server's certificate; if it is current, check the clock of this machine",
            Self::UnknownIssuer => "point `tls_ca` at the PEM file of the root that issued the server's certificate",
            Self::WrongName => "set `host` to a name that the certificate carries (not an alias of it)",
            Self::NotOffered => "turn on `ssl` in the server's configuration; a connection without TLS is never used",
            Self::BadName => "set `host` to the DNS name in the server's certificate",
            Self::Handshake => "check that the port is PostgreSQL's own and that it speaks TLS 1.2 or later",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        for pem in [&b"not PEM at all"[..], b"", b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n"] {
            let roots = Roots { public: PublicRoots::Trusted, private_pem: Some(pem.to_vec()) };
            assert_eq!(client_config(&roots).unwrap_err().kind, Kind::Malformed);
        }
        assert!(client_config(&Roots::default()).is_ok());
    }

    #[test]
    fn a_tls_error_is_found_behind_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(TlsTrouble::find(&io::Error::other(tls)), Some(TlsTrouble::UnknownIssuer));
        assert_eq!(TlsTrouble::find(&io::Error::other("something else")), None);
    }
}
