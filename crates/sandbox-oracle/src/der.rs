//! Just enough DER: to make certificates of version 1, and to read name and key out of any certificate.

use anyhow::{Context as _, Result};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// ecdsa-with-SHA256, the algorithm of the keys that rcgen makes by default.
const ECDSA_SHA256: [u8; 12] = [SEQUENCE, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// A certificate of version 1 for `key`, signed with `signer`.
pub(crate) fn version_1(issuer: &[u8], subject: &[u8], key: &KeyPair, signer: &KeyPair) -> Result<Vec<u8>> {
    let validity = [element(UTC_TIME, b"200101000000Z"), element(GENERALIZED_TIME, b"21200101000000Z")].concat();
    let serial: [u8; 8] = crate::wire::proof::random();
    let to_sign = element(
        SEQUENCE,
        &[
            // A serial number is positive.
            &element(INTEGER, &[&[0x01], &serial[..]].concat())[..],
            &ECDSA_SHA256,
            issuer,
            &element(SEQUENCE, &validity),
            subject,
            &key.subject_public_key_info(),
        ]
        .concat(),
    );
    let signature = signer.sign(&to_sign).context("sign")?;
    let signature = element(BIT_STRING, &[&[0], &signature[..]].concat());
    Ok(element(SEQUENCE, &[&to_sign[..], &ECDSA_SHA256, &signature].concat()))
}

/// The subject's name, as encoded.
pub(crate) fn subject(certificate: &[u8]) -> Option<Vec<u8>> {
    field(certificate, SUBJECT).map(|(whole, _)| whole.to_vec())
}

/// The subject's public key as signatures are checked with: the bits alone.
pub(crate) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, info) = field(certificate, PUBLIC_KEY)?;
    let (_, _, rest) = take(info)?;
    let (tag, bits, _) = take(rest)?;
    (tag == BIT_STRING).then(|| bits.get(1..).map(<[u8]>::to_vec))?
}

/// PEM with lines of 64.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = base64(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Places of fields after the optional version: serial, algorithm, issuer, validity, subject, key.
const SUBJECT: usize = 4;
const PUBLIC_KEY: usize = 5;

/// A field of the part that is signed, as encoded and without its header.
fn field(certificate: &[u8], place: usize) -> Option<(&[u8], &[u8])> {
    let (_, outer, _) = take(certificate)?;
    let (_, mut fields, _) = take(outer)?;
    if let Some((VERSION, _, rest)) = take(fields) {
        fields = rest;
    }
    for _ in 0..place {
        fields = take(fields)?.2;
    }
    let (_, content, rest) = take(fields)?;
    Some((fields.get(..fields.len() - rest.len())?, content))
}

/// Tag, content, and what follows.
fn take(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        Ok(medium) => bytes.extend([0x81, medium]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_usize, |word, at| word << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get(word >> shift & 63).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
