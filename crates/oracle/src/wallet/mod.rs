//! Wallets: the client's key and certificate, private roots, and the aliases of `tnsnames.ora`, read into memory and kept there.
//!
//! Two files of a wallet are used, `ewallet.pem` and `tnsnames.ora`; nothing else is read, and nothing is written to a disk.
//! `archive` takes the files out of a zip, `folder` from a directory, `pem` understands `ewallet.pem`. Where the bytes come from
//! (a file, object storage, a secret, the control plane) is the caller's business. What these files look like was read from the
//! driver's sources (`oracledb` 26.0.0-beta.5, `transport.rs`) and from Oracle documentation: "Download Client Credentials (Wallets)".

mod archive;
mod folder;
mod pem;
#[cfg(test)]
mod tests;

use core::fmt;
use std::{path::Path, sync::Arc};

use dizzy_host::{
    port::{Kind, PortError, PortResult},
    secret::Password,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::tns::Aliases;

/// The file with key and certificates.
const PEM_FILE: &str = "ewallet.pem";
/// The file with aliases.
const ALIAS_FILE: &str = "tnsnames.ora";
/// Largest file that is read; those of the Autonomous Database are below 20 KiB.
const FILE_LIMIT: usize = 256 * 1024;

/// The two files as they are.
struct Files {
    pem: Zeroizing<Vec<u8>>,
    aliases: Option<Vec<u8>>,
}

/// An opened wallet. Copies share what is secret in it.
#[derive(Clone)]
pub struct Wallet {
    /// The client's certificate chain and key; `None` in a wallet for TLS without client certificates.
    pub(crate) client: Option<Arc<CertifiedKey>>,
    /// Certificates that issue servers' certificates.
    pub(crate) roots: Vec<CertificateDer<'static>>,
    pub(crate) aliases: Aliases,
    expires_ms: Option<i64>,
}

impl Wallet {
    /// Opens a wallet's zip archive, as the Autonomous Database hands it out.
    ///
    /// # Errors
    /// `Malformed` if it is no such archive, or if the wallet's password is missing or wrong.
    pub fn from_zip(bytes: &[u8], password: Option<&Password>) -> PortResult<Self> {
        Self::open(archive::files(bytes)?, password)
    }

    /// Opens an unpacked wallet.
    ///
    /// # Errors
    /// `NotFound` or `Io` if the folder or its `ewallet.pem` cannot be read; else as [`Wallet::from_zip`].
    pub fn from_folder(path: &Path, password: Option<&Password>) -> PortResult<Self> {
        Self::open(folder::files(path)?, password)
    }

    /// Opens the text of an `ewallet.pem` alone; services are then given in full.
    ///
    /// # Errors
    /// As [`Wallet::from_zip`].
    pub fn from_pem(pem: &[u8], password: Option<&Password>) -> PortResult<Self> {
        Self::open(Files { pem: Zeroizing::new(pem.to_vec()), aliases: None }, password)
    }

    /// When the client's certificate ends, in milliseconds since 1970; `None` in a wallet without one.
    #[must_use]
    pub const fn expires_ms(&self) -> Option<i64> {
        self.expires_ms
    }

    /// The aliases of `tnsnames.ora`.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.names()
    }

    fn open(files: Files, password: Option<&Password>) -> PortResult<Self> {
        let contents = pem::read(&files.pem, password)?;
        let aliases = match &files.aliases {
            Some(bytes) => core::str::from_utf8(bytes)
                .map_err(|_| malformed("its tnsnames.ora is not UTF-8 text"))
                .and_then(Aliases::parse)?,
            None => Aliases::default(),
        };
        Ok(Self { client: contents.client, roots: contents.roots, aliases, expires_ms: contents.expires_ms })
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("expires_ms", &self.expires_ms).finish_non_exhaustive()
    }
}

fn malformed(why: &str) -> PortError {
    PortError::refused(Kind::Malformed, format!("read the wallet: {why}"))
}
