//! `ewallet.pem`: the client's private key, its certificate, and the certificates of issuers.
//!
//! The key is PKCS#8, encrypted with PBES2 under the wallet's password or plain; other forms are refused. The client's certificate
//! is the one whose public key belongs to the private key; it is of X.509 version 1 in wallets of older databases, so it is found with a
//! reader of our own. Everything else in the file is trusted to issue servers' certificates; without a key, that is all.

use std::sync::Arc;

use dizzy_host::{
    port::{PortError, PortResult},
    secret::Password,
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef,
    der::SecretDocument,
    pkcs5::{EncryptionScheme, pbes2::Kdf},
};
use rustls::{
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroize as _;

use super::{Expiry, malformed};
use crate::der::Certificate;

/// Most certificates; a wallet holds a chain of the client and a few roots.
const CERTIFICATE_LIMIT: usize = 64;
/// Most rounds of the key's derivation; more would take longer than any connection. OpenSSL's default is 2048.
const ROUND_LIMIT: u32 = 10_000_000;
/// Most memory of the key's derivation by scrypt. OpenSSL's default takes 16 MiB, the highest usual recommendation 128.
const SCRYPT_MEMORY_LIMIT: u64 = 256 * 1024 * 1024;
/// How often scrypt may do that over; once is usual.
const SCRYPT_LANE_LIMIT: u16 = 4;
/// How keys begin that are not PKCS#8, encrypted or not. Wallets of Oracle's services have none; the vendor's driver takes none either.
const OLDER_KEYS: [&str; 2] = ["-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];
/// How encrypted keys begin and end.
const ENCRYPTED: (&str, &str) = ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----");

/// What the file says.
pub(super) struct Contents {
    pub(super) client: Option<Arc<CertifiedKey>>,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) expiry: Expiry,
}

/// Reads the whole file.
pub(super) fn read(pem: &[u8], password: Option<&Password>) -> PortResult<Contents> {
    let text = core::str::from_utf8(pem).map_err(|_| malformed("its ewallet.pem is not text"))?;
    // Before anything else: the header lines of such keys are no PEM of today.
    if OLDER_KEYS.iter().any(|begin| text.contains(begin)) {
        return Err(malformed("the key in its ewallet.pem is in an older form (PKCS#1 or SEC1)")
            .with_hint("download the wallet again, or write its key as PKCS#8: openssl pkcs8 -topk8 -v2 aes-256-cbc"));
    }
    let certificates = CertificateDer::pem_slice_iter(pem)
        .take(CERTIFICATE_LIMIT + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| malformed("its ewallet.pem is damaged or cut off"))?;
    if certificates.len() > CERTIFICATE_LIMIT {
        return Err(malformed("its ewallet.pem holds more than 64 certificates"));
    }
    match private_key(text, password)? {
        Some(key) => with_key(&*key, Arc::clone(&key), certificates),
        None if certificates.is_empty() => Err(malformed("its ewallet.pem holds neither a key nor a certificate")),
        None => {
            let expiry = Expiry::of(None, &certificates);
            Ok(Contents { client: None, roots: certificates, expiry })
        }
    }
}

/// The key in the file; `None` if there is none.
fn private_key(text: &str, password: Option<&Password>) -> PortResult<Option<Arc<dyn SigningKey>>> {
    let (begin, end) = ENCRYPTED;
    let mut der = if let Some(start) = text.find(begin) {
        let document = text.get(start..).and_then(|rest| rest.get(..rest.find(end)? + end.len()));
        decrypted(document.ok_or_else(|| malformed("the key in its ewallet.pem is cut off"))?, password)?
    } else if text.contains("PRIVATE KEY-----") {
        PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| malformed("the key in its ewallet.pem is damaged"))?
    } else {
        return Ok(None);
    };
    let key = aws_lc_rs::sign::any_supported_type(&der);
    der.zeroize();
    key.map(Some).map_err(|_| malformed("the key in its ewallet.pem is of a kind that TLS cannot use"))
}

fn decrypted(document: &str, password: Option<&Password>) -> PortResult<PrivateKeyDer<'static>> {
    let password = password.ok_or_else(|| {
        malformed("its key is encrypted, and there is no wallet password")
            .with_hint("set `wallet_password` to the password that was given when the wallet was downloaded")
    })?;
    let damaged = || malformed("the encrypted key in its ewallet.pem cannot be understood");
    let (_, document) = SecretDocument::from_pem(document).map_err(|_| damaged())?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| damaged())?;
    check_scheme(&encrypted.encryption_algorithm)?;
    // Not a matter of `Credential`, which speaks about database passwords. A wrong password shows as bad padding, or, one time in about 256, as a key that is none.
    let wrong = || {
        malformed("the wallet password is wrong").with_hint(
            "`wallet_password` is the password that was given when the wallet was downloaded, not a database password",
        )
    };
    let key = encrypted.decrypt(password.expose()).map_err(|_| wrong())?;
    pkcs8::PrivateKeyInfoRef::try_from(key.as_bytes()).map_err(|_| wrong())?;
    Ok(PrivateKeyDer::Pkcs8(key.as_bytes().to_vec().into()))
}

/// Encrypted in a way that is not opened: PBES1.
fn outdated() -> PortError {
    malformed("the key in its ewallet.pem is encrypted in an outdated way")
        .with_hint("download the wallet again, or encrypt its key again: openssl pkcs8 -topk8 -v2 aes-256-cbc")
}

/// Refuses schemes that cannot be opened, or that would take for ever.
fn check_scheme(scheme: &EncryptionScheme) -> PortResult<()> {
    let EncryptionScheme::Pbes2(parameters) = scheme else { return Err(outdated()) };
    let too_costly = || malformed("the key in its ewallet.pem takes too long or too much memory to open");
    match &parameters.kdf {
        Kdf::Pbkdf2(derivation) if derivation.iteration_count <= ROUND_LIMIT => Ok(()),
        Kdf::Scrypt(derivation) => {
            let memory = derivation.cost_parameter.saturating_mul(u64::from(derivation.block_size) * 128);
            if memory <= SCRYPT_MEMORY_LIMIT && derivation.parallelization <= SCRYPT_LANE_LIMIT {
                Ok(())
            } else {
                Err(too_costly())
            }
        }
        Kdf::Pbkdf2(_) => Err(too_costly()),
        _ => Err(outdated()),
    }
}

/// Finds the client's certificate and puts its chain in order.
fn with_key(
    key: &dyn SigningKey,
    shared: Arc<dyn SigningKey>,
    mut certificates: Vec<CertificateDer<'static>>,
) -> PortResult<Contents> {
    let public = key.public_key().ok_or_else(|| malformed("the key in its ewallet.pem has no public part"))?;
    let is_clients = |der: &CertificateDer<'_>| {
        Certificate::read(der).is_some_and(|certificate| certificate.public_key == public.as_ref())
    };
    let place = certificates
        .iter()
        .position(is_clients)
        .ok_or_else(|| malformed("no certificate in its ewallet.pem belongs to the key in it"))?;
    let client = certificates.remove(place);
    let expiry = Expiry::of(Some(&client), &certificates);
    let chain = chain(client, &certificates);
    Ok(Contents { client: Some(Arc::new(CertifiedKey::new(chain, shared))), roots: certificates, expiry })
}

/// The client's certificate, followed by its issuer, the issuer's issuer, and so on, as far as the file has them.
fn chain(client: CertificateDer<'static>, others: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![client];
    while chain.len() <= others.len() {
        let Some(last) = chain.last().and_then(|der| Certificate::read(der)) else { break };
        if last.issuer == last.subject {
            break;
        }
        let issued =
            |der: &&CertificateDer<'_>| Certificate::read(der).is_some_and(|other| other.subject == last.issuer);
        let Some(issuer) = others.iter().find(issued).filter(|issuer| !chain.contains(issuer)) else { break };
        chain.push(issuer.clone());
    }
    chain
}
