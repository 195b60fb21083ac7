//! TLS for database connections: rustls on aws-lc-rs, chain and host name always verified, roots of the caller's choice.
//!
//! There is no option that verifies less, and no way to a connection without TLS. What went wrong is told in our words.

use std::{error::Error, io, sync::Arc};

use dizzy_host::port::{Kind, PortError, PortResult};
use rustls::{CertificateError, ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The roots of RDS, a PEM per region and kind of key. AWS publishes them as `global-bundle.pem`; `scripts/refresh-rds-roots` tells which are
/// taken and how they are checked, docs/postgresql.md where these were had from.
const RDS_ROOTS: &[u8] = include_bytes!("../roots/rds.pem");
/// The only names for which RDS's own roots count: everything that RDS issues certificates for ends so (AWS documentation: "Using SSL/TLS to
/// encrypt a connection to a DB instance or cluster"). Nobody else's server can be vouched for by them.
const RDS_NAMES: &str = ".rds.amazonaws.com";

/// Whether the public web's roots (Mozilla's list, compiled in) count, and for names of RDS those of RDS.
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

/// A client configuration that trusts `roots`, for a server at `host`.
///
/// # Errors
/// `Malformed` if the bundle holds no certificate, or one that is broken.
pub(crate) fn client_config(roots: &Roots, host: &str) -> PortResult<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| PortError::refused(Kind::Tls, "set up TLS"))?
        .with_root_certificates(root_store(roots, host)?)
        .with_no_client_auth();
    // A resumed session would skip the certificate; PostgreSQL offers no resumption anyway.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn root_store(roots: &Roots, host: &str) -> PortResult<RootCertStore> {
    let malformed =
        |what: &str| PortError::refused(Kind::Malformed, format!("read the bundle of private roots: {what}"));
    let mut store = RootCertStore::empty();
    if roots.public == PublicRoots::Trusted {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if host.trim_end_matches('.').to_ascii_lowercase().ends_with(RDS_NAMES) {
            // A test adds every one of them.
            store.add_parsable_certificates(CertificateDer::pem_slice_iter(RDS_ROOTS).filter_map(Result::ok));
        }
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
    Ok(store)
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
            assert_eq!(client_config(&roots, "h").unwrap_err().kind, Kind::Malformed);
        }
        assert!(client_config(&Roots::default(), "h").is_ok());
    }

    #[test]
    fn the_roots_of_rds_count_for_names_of_rds_only() {
        let count = |public, host| root_store(&Roots { public, private_pem: None }, host).unwrap().len();
        let public = count(PublicRoots::Trusted, "db.example.com");
        for host in ["orders.abc.us-west-2.rds.amazonaws.com", "ORDERS.ABC.EU-WEST-1.RDS.AMAZONAWS.COM."] {
            assert_eq!(count(PublicRoots::Trusted, host), public + 87, "{host}");
            assert_eq!(count(PublicRoots::Ignored, host), 0, "{host}");
        }
        for host in
            ["rds.amazonaws.com.example.com", "evil-rds.amazonaws.com", "orders.rds.amazonaws.com.cn", "10.0.0.1"]
        {
            assert_eq!(count(PublicRoots::Trusted, host), public, "{host}");
        }
    }

    #[test]
    fn the_roots_of_rds_are_these_and_each_is_named() {
        // What scripts/refresh-rds-roots printed. A root that is added or changed by hand is noticed here.
        let sum = sha256(RDS_ROOTS);
        assert_eq!(sum, "876ca1b8942dbea970e5f07e827a0472354fb35235412bafef12faf4c8c1593c");
        let text = core::str::from_utf8(RDS_ROOTS).unwrap();
        let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# Amazon RDS ")).collect();
        assert_eq!((names.len(), CertificateDer::pem_slice_iter(RDS_ROOTS).count()), (87, 87));
        for region in ["us-east-1", "us-west-2", "eu-central-1", "ap-south-1"] {
            for key in ["RSA2048", "RSA4096", "ECC384"] {
                let name = format!("{region} Root CA {key} G1, until 2");
                assert!(names.iter().filter(|known| known.starts_with(&name)).count() == 1, "{name}");
            }
        }
    }

    fn sha256(bytes: &[u8]) -> String {
        use sha2::{Digest as _, Sha256};
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_tls_error_is_found_behind_an_io_error() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(TlsTrouble::find(&io::Error::other(tls)), Some(TlsTrouble::UnknownIssuer));
        assert_eq!(TlsTrouble::find(&io::Error::other("something else")), None);
    }
}
