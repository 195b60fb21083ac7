//! Wallets: the client's key and certificate, private roots, and the aliases of `tnsnames.ora`, read into memory and kept there.
//!
//! Two files of a wallet are used, `ewallet.pem` and `tnsnames.ora`; nothing else is read, and nothing is written to a disk.
//! `archive` takes the files out of a zip, `folder` from a directory, `pem` understands `ewallet.pem`, `expiry` says for how long it is good. Where the bytes come from
//! (a file, object storage, a secret, the control plane) is the caller's business. What these files look like was read from the
//! driver's sources (`oracledb` 26.0.0-beta.5, `transport.rs`) and from Oracle documentation: "Download Client Credentials (Wallets)".

mod archive;
mod expiry;
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
pub(crate) use expiry::Expiry;

/// The file with key and certificates.
const PEM_FILE: &str = "ewallet.pem";
/// The file with aliases.
const ALIAS_FILE: &str = "tnsnames.ora";
/// Largest file that is read; those of the Autonomous Database are below 20 KiB.
const FILE_LIMIT: usize = 256 * 1024;

/// How zip archives begin (an empty one, too).
const ZIP_START: &[u8] = b"PK";
/// How the parts of a PEM file begin; other text may stand before the first.
const PEM_START: &[u8] = b"-----BEGIN ";

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
    pub(crate) expiry: Expiry,
}

impl Wallet {
    /// Opens a wallet by what its bytes are: a zip archive, or the text of an `ewallet.pem`. What a source may hand out instead is
    /// told as what it is.
    ///
    /// # Errors
    /// As [`Wallet::from_zip`].
    pub fn from_bytes(bytes: &[u8], password: Option<&Password>) -> PortResult<Self> {
        let text = bytes.trim_ascii_start();
        if bytes.starts_with(ZIP_START) {
            Self::from_zip(bytes, password)
        } else if text.is_empty() {
            Err(malformed("it is empty").with_hint("download the wallet again"))
        } else if text.starts_with(b"<") {
            // Object Storage and proxies answer with pages where there is no object.
            Err(malformed("it is a web page, not a wallet")
                .with_hint("a URL that is over, or a proxy on the way, answers with a page: make another URL, and look at what it opens"))
        } else if text.starts_with(b"{") {
            Err(malformed("it is JSON, not a wallet")
                .with_hint("if the wallet is in a field of a secret, name the field behind a `#`"))
        } else if bytes.windows(PEM_START.len()).any(|window| window == PEM_START) {
            Self::from_pem(bytes, password)
        } else {
            Err(malformed("it is neither a zip archive nor PEM")
                .with_hint("use the zip archive as the database service hands it out, or its ewallet.pem"))
        }
    }

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
        if pem.len() > FILE_LIMIT {
            return Err(malformed("its ewallet.pem is larger than 256 KiB"));
        }
        Self::open(Files { pem: Zeroizing::new(pem.to_vec()), aliases: None }, password)
    }

    /// When the client's certificate ends, in milliseconds since 1970; `None` in a wallet without one.
    #[must_use]
    pub const fn expires_ms(&self) -> Option<i64> {
        self.expiry.client_ms
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
        Ok(Self { client: contents.client, roots: contents.roots, aliases, expiry: contents.expiry })
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wallet").field("expires_ms", &self.expiry.client_ms).finish_non_exhaustive()
    }
}

fn malformed(why: &str) -> PortError {
    PortError::refused(Kind::Malformed, format!("read the wallet: {why}"))
        .with_hint("download the database's wallet again, and use it as the service hands it out")
}
