//! Where wallets come from. Each is fetched into memory, told by what it is, and opened there; none is written anywhere.
//!
//! | configured | fetched |
//! |---|---|
//! | `oci-adb:OCID` | made by the database service, under a random password that nobody sees |
//! | `oci://NAMESPACE/BUCKET/OBJECT` | from Object Storage |
//! | `file:PATH` | folder, or file: zip, `ewallet.pem`, or one of the two below |
//! | another secret reference | base64 of a zip or `ewallet.pem`, or a pre-authenticated URL |

use core::time::Duration;
use std::{fs::File, io::Read as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use dizzy_host::{
    config::{Database, Wallet as Source},
    password::{Class, Policy, Rules},
    port::{Deadline, Kind, PortError, PortResult, SystemRandomness},
    reference::Reference,
    secret::{Password, SecretText},
};
use dizzy_oci::{AutonomousDatabases, ObjectPath, ObjectStorage, PreauthenticatedUrl, UrlSettings};
use dizzy_oracle::Wallet;
use zeroize::Zeroizing;

use super::Composer;
use crate::{
    code::Port,
    report::{NOTHING_DONE, Report},
};

/// Largest wallet that is fetched, in bytes. An Autonomous Database's has some 25 KiB.
const WALLET_LIMIT: usize = 1 << 20;
/// Largest file that is read: the largest wallet in base64, with line ends.
const FILE_LIMIT: usize = WALLET_LIMIT / 2 * 3;
/// How long the database service may take to make a wallet, which takes a new key and some seconds.
const GENERATION_LIMIT: Duration = Duration::from_secs(30);
/// Length of the password of a wallet that is made for one run: some 180 bits.
const PASSWORD_LENGTH: usize = 30;

/// The wallet of a database; `None` if none is configured.
///
/// # Errors
/// If it cannot be fetched or opened. Nothing has been changed.
pub(super) async fn open(at: &Composer, place: &str, database: &Database) -> Result<Option<Wallet>, Report> {
    let Some(source) = &database.wallet else { return Ok(None) };
    let password = match &database.wallet_password {
        None => None,
        Some(reference) => Some(password(&at.read(reference).await?)),
    };
    let password = password.as_ref();
    let call = Deadline::after(at.limits.call);
    let opened = match source {
        Source::Generated { ocid } => generated(AutonomousDatabases::new(at.oci.clone()?), ocid).await,
        Source::Object { namespace, bucket, object } => {
            let (namespace, bucket, name) = (namespace.clone(), bucket.clone(), object.clone());
            let storage = ObjectStorage::new(at.oci.clone()?);
            let object = storage.get(&ObjectPath { namespace, bucket, name }, WALLET_LIMIT, call).await;
            object.and_then(|object| Wallet::from_bytes(&object.content, password))
        }
        Source::Reference(Reference::File { path }) if Path::new(path).is_dir() => {
            Wallet::from_folder(Path::new(path), password)
        }
        Source::Reference(reference @ Reference::File { path }) => match file(Path::new(path)) {
            Ok(bytes) => from_content(&bytes, &reference.to_string(), password, call).await,
            Err(error) => Err(error),
        },
        Source::Reference(reference) => {
            let text = at.read(reference).await?;
            from_content(text.expose().as_bytes(), &reference.to_string(), password, call).await
        }
    };
    opened
        .map(Some)
        .map_err(|error| Report::of_port(Port::Reference, &format!("{place}: wallet"), &error, NOTHING_DONE))
}

/// A wallet that the service makes for this run. The password never leaves this function but for the service.
async fn generated(databases: AutonomousDatabases, ocid: &str) -> PortResult<Wallet> {
    let impossible = |_| PortError::refused(Kind::Other, "draw the password of a wallet");
    // Letters and digits satisfy the service; which special characters it takes is not documented.
    let rules = Rules { classes: &[Class::Lower, Class::Upper, Class::Digit], ..Rules::of_length(PASSWORD_LENGTH) };
    let policy = Policy::new(&rules).map_err(impossible)?;
    let password = policy.generate(&SystemRandomness, &[])?;
    let deadline = Deadline::after(GENERATION_LIMIT);
    let archive = databases.generate_wallet(ocid, &password, WALLET_LIMIT, deadline).await?;
    Wallet::from_bytes(&archive, Some(&password))
}

/// A wallet, its base64, or a URL that opens it: decided by content. `subject` is the reference, which is all that is told of a URL.
async fn from_content(
    content: &[u8],
    subject: &str,
    password: Option<&Password>,
    deadline: Deadline,
) -> PortResult<Wallet> {
    if let Some(url) = url(content) {
        let url = PreauthenticatedUrl::new(&url, subject)?;
        let settings = UrlSettings { proxy: super::proxy::known(), ..UrlSettings::default() };
        let bytes = url.fetch(WALLET_LIMIT, &settings, deadline).await?;
        return Wallet::from_bytes(&bytes, password);
    }
    match from_base64(content) {
        Some(bytes) => Wallet::from_bytes(&bytes, password),
        None => Wallet::from_bytes(content, password),
    }
}

/// The text, if it begins like a URL.
fn url(content: &[u8]) -> Option<SecretText> {
    let text = core::str::from_utf8(content).ok()?.trim();
    let (scheme, _) = text.split_once("://")?;
    let is_url = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_url.then(|| SecretText::new(text.to_owned()))
}

/// What base64 stands for: with `+/` or `-_`, with or without `=` at the end, in one line or many. `None` if it is none. PEM could pass for
/// it, because its lines are base64 between dashes, and is left as it is.
fn from_base64(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if content.trim_ascii_start().starts_with(b"-") || content.windows(5).any(|window| window == b"-----") {
        return None;
    }
    let standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let letters = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).map(standard);
    let mut plain = Zeroizing::new(Vec::with_capacity(content.len()));
    plain.extend(letters);
    let end = plain.iter().rposition(|byte| *byte != b'=')? + 1;
    // With room for all of it from the start, no copy is left behind by growing.
    let mut decoded = Zeroizing::new(Vec::with_capacity(content.len()));
    STANDARD_NO_PAD.decode_vec(plain.get(..end)?, &mut decoded).ok()?;
    Some(decoded)
}

fn file(path: &Path) -> PortResult<Zeroizing<Vec<u8>>> {
    let what = || format!("read the wallet {}", path.display());
    let failed = |error: &std::io::Error| {
        let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
        PortError::refused(kind, what()).with_code(error.kind().to_string())
    };
    // Opening a pipe would wait for whoever writes into it.
    if !path.metadata().map_err(|error| failed(&error))?.is_file() {
        return Err(PortError::refused(Kind::Malformed, format!("{}: it is neither a file nor a folder", what())));
    }
    let file = File::open(path).map_err(|error| failed(&error))?;
    // With room for all of it from the start, no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_LIMIT + 1));
    let limit = u64::try_from(FILE_LIMIT + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() > FILE_LIMIT {
        let hint = format!("it is larger than {FILE_LIMIT} bytes: is it a wallet?");
        return Err(PortError::refused(Kind::Malformed, what()).with_hint(hint));
    }
    Ok(bytes)
}

/// The wallet's password as the secret has it.
fn password(text: &SecretText) -> Password {
    Password::new(text.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn base64_of_every_dialect_is_taken_and_nothing_else() {
        // Bytes whose base64 has both letters in which the dialects differ, and one or two of padding.
        let zip = b"PK\x03\x04\x00\x00\xfb\xef\xbe\xff\xff\xff and so on, for longer than one line of base64 that a tool would wrap.".to_vec();
        let wrapped = |text: &str| {
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\r\n").collect::<String>()
        };
        let standard = STANDARD.encode(&zip);
        assert!(standard.contains('+') && standard.contains('/') && standard.ends_with('='), "{standard}");
        for text in [
            standard.clone(),
            wrapped(&standard),
            format!("\n {standard}\n"),
            URL_SAFE.encode(&zip),
            wrapped(&URL_SAFE.encode(&zip)),
            URL_SAFE_NO_PAD.encode(&zip),
        ] {
            assert_eq!(from_base64(text.as_bytes()).map(|bytes| bytes.to_vec()), Some(zip.clone()), "{text}");
        }
        let pem = b"Bag Attributes\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for other in [&zip[..], pem, &pem[15..], b"", b"====", b"{\"wallet\":1}", b"<html>", b"a\xff"] {
            assert_eq!(from_base64(other).as_deref(), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn a_url_is_told_by_its_beginning() {
        for text in ["https://x/p/t", " HTTPS://x\n", "http://127.0.0.1/x"] {
            assert!(url(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["", "ftp://x", "UEsDBA==", "see https://x", "https:/x"] {
            assert!(url(text.as_bytes()).is_none(), "{text}");
        }
    }
}
