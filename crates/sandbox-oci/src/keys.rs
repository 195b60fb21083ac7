//! RSA keys of principals, in every PEM form that an API key comes in.
//!
//! The forms are those of Oracle documentation, "Required Keys and OCIDs" (PKCS#1 or PKCS#8, encrypted or not, with or without
//! the label line `OCI_API_KEY`). The encrypted forms are what OpenSSL 1 (`Proc-Type: 4,ENCRYPTED`) and 3 (PBES2) write.

use core::{fmt::Write as _, num::NonZeroU32};

use anyhow::{Context as _, Result, anyhow};
use aws_lc_rs::{
    cipher::{AES_128, AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    iv::FixedLength,
    pbkdf2,
    rand::{self, SystemRandom},
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// The pass phrase of every encrypted key that the emulator writes.
pub const PASS_PHRASE: &str = "sandbox pass phrase";

/// How a private key is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyFormat {
    /// `BEGIN PRIVATE KEY`.
    Pkcs8,
    /// `BEGIN PRIVATE KEY`, followed by a line `OCI_API_KEY`.
    Pkcs8Labelled,
    /// `BEGIN ENCRYPTED PRIVATE KEY`: PBES2 with PBKDF2, HMAC-SHA-256 and AES-256-CBC, under [`PASS_PHRASE`].
    Pkcs8Encrypted,
    /// `BEGIN RSA PRIVATE KEY`.
    Pkcs1,
    /// `BEGIN RSA PRIVATE KEY` with `Proc-Type: 4,ENCRYPTED` and AES-128-CBC, under [`PASS_PHRASE`].
    Pkcs1Encrypted,
}

impl KeyFormat {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Pkcs8, Self::Pkcs8Labelled, Self::Pkcs8Encrypted, Self::Pkcs1, Self::Pkcs1Encrypted];

    /// Whether reading it takes the pass phrase.
    #[must_use]
    pub const fn encrypted(self) -> bool {
        match self {
            Self::Pkcs8Encrypted | Self::Pkcs1Encrypted => true,
            Self::Pkcs8 | Self::Pkcs8Labelled | Self::Pkcs1 => false,
        }
    }
}

/// A 2048-bit key pair.
pub(crate) struct RsaKey {
    pair: RsaKeyPair,
    pkcs8: Vec<u8>,
}

impl RsaKey {
    pub(crate) fn generate() -> Result<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key could be made"))?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow!("an RSA key could not be encoded"))?;
        let pkcs8 = pkcs8.as_ref().to_vec();
        Ok(Self { pair, pkcs8 })
    }

    /// The public key as PKCS#1 DER, which is what the verifier takes.
    pub(crate) fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Modulus and exponent, big-endian.
    pub(crate) fn components(&self) -> (Vec<u8>, Vec<u8>) {
        let public = self.pair.public_key();
        (
            public.modulus().big_endian_without_leading_zero().to_vec(),
            public.exponent().big_endian_without_leading_zero().to_vec(),
        )
    }

    /// MD5 of the public key's DER, in pairs with colons: the last part of an API key's id.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let spki: PublicKeyX509Der<'_> =
            self.pair.public_key().as_der().map_err(|_| anyhow!("a public key could not be encoded"))?;
        let mut hash = Md5::new();
        hash.update(spki.as_ref());
        Ok(colons(&hash.finalize()))
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
            .map_err(|_| anyhow!("a text could not be signed"))?;
        Ok(signature)
    }

    /// The private key as text.
    pub(crate) fn pem(&self, format: KeyFormat) -> Result<String> {
        match format {
            KeyFormat::Pkcs8 => Ok(pem("PRIVATE KEY", "", &self.pkcs8)),
            KeyFormat::Pkcs8Labelled => Ok(pem("PRIVATE KEY", "", &self.pkcs8) + "OCI_API_KEY\n"),
            KeyFormat::Pkcs8Encrypted => Ok(pem("ENCRYPTED PRIVATE KEY", "", &pbes2(&self.pkcs8)?)),
            KeyFormat::Pkcs1 => Ok(pem("RSA PRIVATE KEY", "", self.pkcs1()?)),
            KeyFormat::Pkcs1Encrypted => {
                let (iv, sealed) = traditional(self.pkcs1()?)?;
                let heading = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{}\n\n", hex(&iv).to_uppercase());
                Ok(pem("RSA PRIVATE KEY", &heading, &sealed))
            }
        }
    }

    /// The RSAPrivateKey inside the PKCS#8 wrapping: SEQUENCE { version, algorithm, OCTET STRING }.
    fn pkcs1(&self) -> Result<&[u8]> {
        let (_, inside, _) = read_tlv(&self.pkcs8)?;
        let (_, _, rest) = read_tlv(inside)?;
        let (_, _, rest) = read_tlv(rest)?;
        let (tag, key, _) = read_tlv(rest)?;
        if tag == OCTET_STRING { Ok(key) } else { Err(anyhow!("PKCS#8 without a key")) }
    }
}

impl core::fmt::Debug for RsaKey {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str("RsaKey")
    }
}

/// Lower-case hex pairs with colons between them.
pub(crate) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// A PEM block; the heading stands between the first line and the base64.
pub(crate) fn pem(label: &str, heading: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n{heading}");
    let base64 = STANDARD.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: [u8; 2] = [0x05, 0x00];
/// 1.2.840.113549.1.5.13
const PBES2: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.2.9
const HMAC_SHA256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
/// 2.16.840.1.101.3.4.1.42
const AES_256_CBC: [u8; 11] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// What OpenSSL 3 takes by default.
const ITERATIONS: u16 = 2048;

/// EncryptedPrivateKeyInfo of RFC 5958 with PBES2 of RFC 8018.
fn pbes2(plain: &[u8]) -> Result<Vec<u8>> {
    let (salt, iv): ([u8; 16], [u8; 16]) = (random()?, random()?);
    let mut key = [0; 32];
    let iterations = NonZeroU32::new(u32::from(ITERATIONS)).context("no iterations")?;
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, PASS_PHRASE.as_bytes(), &mut key);
    let key = UnboundCipherKey::new(&AES_256, &key).map_err(|_| anyhow!("AES-256"))?;
    let sealed = cbc(key, iv, plain)?;
    let count = tlv(INTEGER, &[&ITERATIONS.to_be_bytes()]);
    let prf = tlv(SEQUENCE, &[&HMAC_SHA256, &NULL]);
    let parameters = tlv(SEQUENCE, &[&tlv(OCTET_STRING, &[&salt]), &count, &prf]);
    let derivation = tlv(SEQUENCE, &[&PBKDF2, &parameters]);
    let encryption = tlv(SEQUENCE, &[&AES_256_CBC, &tlv(OCTET_STRING, &[&iv])]);
    let algorithm = tlv(SEQUENCE, &[&PBES2, &tlv(SEQUENCE, &[&derivation, &encryption])]);
    Ok(tlv(SEQUENCE, &[&algorithm, &tlv(OCTET_STRING, &[&sealed])]))
}

/// The older encryption of PEM: the key is MD5 of pass phrase and the first eight bytes of the IV, AES-128-CBC.
fn traditional(plain: &[u8]) -> Result<([u8; 16], Vec<u8>)> {
    let iv: [u8; 16] = random()?;
    let mut hash = Md5::new();
    hash.update(PASS_PHRASE.as_bytes());
    hash.update(iv.get(..8).unwrap_or_default());
    let key = UnboundCipherKey::new(&AES_128, &hash.finalize()).map_err(|_| anyhow!("AES-128"))?;
    Ok((iv, cbc(key, iv, plain)?))
}

fn cbc(key: UnboundCipherKey, iv: [u8; 16], plain: &[u8]) -> Result<Vec<u8>> {
    let mut text = plain.to_vec();
    PaddedBlockEncryptingKey::cbc_pkcs7(key)
        .and_then(|key| key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(iv))))
        .map_err(|_| anyhow!("a key could not be encrypted"))?;
    Ok(text)
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| anyhow!("no randomness"))?;
    Ok(bytes)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Tag, length and content of the parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match significant.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            out.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(&content);
    out
}

/// Tag, content and what follows.
fn read_tlv(der: &[u8]) -> Result<(u8, &[u8], &[u8])> {
    let short = || anyhow!("DER that ends early");
    let (tag, rest) = der.split_first().ok_or_else(short)?;
    let (first, mut rest) = rest.split_first().ok_or_else(short)?;
    let mut length = usize::from(*first);
    if *first >= 0x80 {
        let (bytes, after) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or_else(short)?;
        length = bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length).ok_or_else(short)?;
    Ok((*tag, content, after))
}

/// RSAPublicKey of PKCS#1 from its two numbers, big-endian.
pub(crate) fn public_from_components(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let sign: &[u8] = if bytes.first().is_some_and(|byte| *byte >= 0x80) { &[0] } else { &[] };
        tlv(INTEGER, &[sign, bytes])
    };
    tlv(SEQUENCE, &[&integer(modulus), &integer(exponent)])
}
