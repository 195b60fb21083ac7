//! A private RSA key from a PEM file, as OCI's tools write them.
//!
//! PKCS#1, PKCS#8 and PKCS#8 encrypted by PBES2 (what `openssl genrsa -aes128` writes since OpenSSL 3) are read. The older
//! `Proc-Type: 4,ENCRYPTED` form derives its key by one round of MD5 and is refused, with the command that converts it.
//! Text around the key is passed over: OCI's console asks for a line `OCI_API_KEY` behind it.

use aws_lc_rs::rsa::KeyPair;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_host::secret::SecretText;
use pkcs8::EncryptedPrivateKeyInfoRef;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a file gives no usable key. Says nothing of what is in the file.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum KeyProblem {
    #[error("it holds no private key in PEM form")]
    NoKey,
    #[error(
        "its encryption is of the old kind (`Proc-Type: 4,ENCRYPTED`); convert it: openssl pkcs8 -topk8 -v2 aes256 -in OLD.pem -out NEW.pem"
    )]
    OldEncryption,
    #[error("it is encrypted, and no `pass_phrase` is given")]
    NeedsPassphrase,
    #[error(
        "it cannot be decrypted: the `pass_phrase` is wrong, or it is not encrypted by PBES2 with PBKDF2 or scrypt and AES"
    )]
    CannotDecrypt,
    #[error("its key is not an RSA key of 2048 to 8192 bits")]
    NotUsable,
}

/// No key file is longer: 8192 bits take 6.5 KB as PEM.
pub(crate) const MAX_PEM: u64 = 64 * 1024;

/// The first private key of a PEM file.
pub(crate) fn private_key(pem: &[u8], passphrase: Option<&SecretText>) -> Result<KeyPair, KeyProblem> {
    let (label, body) = first_key(pem).ok_or(KeyProblem::NoKey)?;
    if body.contains("Proc-Type:") {
        return Err(KeyProblem::OldEncryption);
    }
    let der = decoded(body).ok_or(KeyProblem::NoKey)?;
    let key = match label {
        Label::Pkcs1 => KeyPair::from_der(&der),
        Label::Pkcs8 => KeyPair::from_pkcs8(&der),
        Label::Encrypted => {
            let passphrase = passphrase.ok_or(KeyProblem::NeedsPassphrase)?;
            let sealed = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| KeyProblem::CannotDecrypt)?;
            // Wiped when dropped.
            let opened = sealed.decrypt(passphrase.expose()).map_err(|_| KeyProblem::CannotDecrypt)?;
            KeyPair::from_pkcs8(opened.as_bytes())
        }
    };
    key.map_err(|_| KeyProblem::NotUsable)
}

#[derive(Clone, Copy)]
enum Label {
    Pkcs1,
    Pkcs8,
    Encrypted,
}

const LABELS: [(Label, &str); 3] =
    [(Label::Pkcs1, "RSA PRIVATE KEY"), (Label::Pkcs8, "PRIVATE KEY"), (Label::Encrypted, "ENCRYPTED PRIVATE KEY")];

/// What stands between the first pair of BEGIN and END lines of a private key.
fn first_key(pem: &[u8]) -> Option<(Label, &str)> {
    let text = str::from_utf8(pem).ok()?;
    let found = LABELS.iter().filter_map(|(label, words)| {
        let begin = format!("-----BEGIN {words}-----");
        let at = text.find(&begin)?;
        let body = text.get(at + begin.len()..)?;
        let end = body.find(&format!("-----END {words}-----"))?;
        Some((at, *label, body.get(..end)?))
    });
    found.min_by_key(|(at, ..)| *at).map(|(_, label, body)| (label, body))
}

fn decoded(body: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Room for all of it from the start, so that growing leaves no copies behind.
    let mut joined = Zeroizing::new(String::with_capacity(body.len()));
    joined.extend(body.split_ascii_whitespace());
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(joined.len())]);
    let length = STANDARD.decode_slice(joined.as_bytes(), &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector_pem() -> String {
        let vectors: serde_json::Value = serde_json::from_str(include_str!("../tests/signing_vectors.json")).unwrap();
        vectors["cases"][0]["private_key_pem"].as_str().unwrap().to_owned()
    }

    fn modulus(key: &KeyPair) -> Vec<u8> {
        use aws_lc_rs::signature::KeyPair as _;
        key.public_key().as_ref().to_vec()
    }

    const ENCRYPTED: &str = include_str!("../tests/key_pbes2.pem");
    const PKCS1: &str = include_str!("../tests/key_pkcs1.pem");
    const OLD: &str = include_str!("../tests/key_old_encryption.pem");

    fn passphrase(text: &str) -> SecretText {
        SecretText::new(text.to_owned())
    }

    #[test]
    fn every_form_of_the_same_key_is_the_same_key() {
        let plain = modulus(&private_key(vector_pem().as_bytes(), None).unwrap());
        for (pem, given) in [
            (PKCS1.to_owned(), None),
            (ENCRYPTED.to_owned(), Some(passphrase("canary-passphrase"))),
            (format!("{}\nOCI_API_KEY\n", vector_pem().trim_end()), None),
            (format!("a remark\r\n{}OCI_API_KEY", vector_pem().replace('\n', "\r\n")), None),
        ] {
            assert_eq!(modulus(&private_key(pem.as_bytes(), given.as_ref()).unwrap()), plain);
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_says_why_and_quotes_nothing() {
        let short = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for (pem, given, problem) in [
            ("", None, KeyProblem::NoKey),
            ("-----BEGIN PRIVATE KEY-----\nAA", None, KeyProblem::NoKey),
            ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----", None, KeyProblem::NoKey),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", None, KeyProblem::NoKey),
            (short, None, KeyProblem::NotUsable),
            (ENCRYPTED, None, KeyProblem::NeedsPassphrase),
            (ENCRYPTED, Some("wrong"), KeyProblem::CannotDecrypt),
            (OLD, Some("canary-passphrase"), KeyProblem::OldEncryption),
        ] {
            let given = given.map(passphrase);
            let found = private_key(pem.as_bytes(), given.as_ref()).map(drop).unwrap_err();
            assert_eq!(found, problem);
            assert!(!found.to_string().contains("canary"), "{found}");
        }
    }
}
