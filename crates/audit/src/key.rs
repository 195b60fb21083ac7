//! Keys: the root that an operator keeps, its id, and the key of each stream.
//!
//! The id is derived from the key, so that nobody can call one key by another's name. A stream's key is derived from the root,
//! the set, and the stream, so that a key that leaks out of one process speaks for one stream.

use core::fmt;
use std::collections::BTreeMap;

use base64::Engine as _;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{Hash, digest::Begun, hex, stream::StreamId};

/// Shortest root key: the strength of HMAC-SHA256.
pub const MIN_KEY_BYTES: usize = 32;

/// Longest root key. Nobody needs more; it is a limit on what is read.
pub const MAX_KEY_BYTES: usize = 4096;

/// Says in every derivation and MAC what it is for.
const DOMAIN: &str = "dizzy-keys/audit/v1";

/// Bytes of a key id.
const KID_BYTES: usize = 8;

/// Names a root key: 16 hex digits, derived from the key itself.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Kid([u8; KID_BYTES]);

/// Stands where a record has no signature.
pub const UNSIGNED: Kid = Kid([0; KID_BYTES]);

impl fmt::Display for Kid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Kid {
    /// Reads 16 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        hex::decode_eight(text).map(Self)
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum KeyError {
    /// It is shorter than [`MIN_KEY_BYTES`].
    #[error("the key has {0} bytes; {MIN_KEY_BYTES} are needed")]
    Short(usize),
    /// It is longer than [`MAX_KEY_BYTES`].
    #[error("the key has more than {MAX_KEY_BYTES} bytes")]
    Long,
    /// Behind `hex:` or `base64:` stands something else.
    #[error("the key is not the {0} that its prefix says")]
    Encoding(&'static str),
}

/// A root key. Wiped when dropped; has no way to be shown.
pub struct RootKey {
    bytes: Zeroizing<Vec<u8>>,
    kid: Kid,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootKey({}, [REDACTED])", self.kid)
    }
}

impl RootKey {
    /// Reads the text of a secret: `hex:` or `base64:` and the key, or bare hex of at least 32 bytes, or any other text of at
    /// least 32 bytes, taken as it is. White space around it is not part of the key.
    ///
    /// # Errors
    /// If it is too short, too long, or not in the encoding that its prefix says.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.len() > 2 * MAX_KEY_BYTES + 8 {
            return Err(KeyError::Long);
        }
        let bytes = if let Some(digits) = text.strip_prefix("hex:") {
            hex::decode_any_case(digits.as_bytes()).ok_or(KeyError::Encoding("hex"))?
        } else if let Some(encoded) = text.strip_prefix("base64:") {
            let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
            decoded.map_err(|_| KeyError::Encoding("base64"))?
        } else {
            let bare = hex::decode_any_case(text.as_bytes()).filter(|bytes| bytes.len() >= MIN_KEY_BYTES);
            bare.unwrap_or_else(|| text.as_bytes().to_vec())
        };
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: Vec<u8>) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() < MIN_KEY_BYTES {
            return Err(KeyError::Short(bytes.len()));
        }
        if bytes.len() > MAX_KEY_BYTES {
            return Err(KeyError::Long);
        }
        let mut kid = [0; KID_BYTES];
        expand(&bytes, b"", &[b"kid"], &mut kid);
        Ok(Self { bytes, kid: Kid(kid) })
    }

    /// Its name.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }

    /// The key of a stream.
    #[must_use]
    pub fn stream_key(&self, stream: &StreamId) -> StreamKey {
        let mut key = Zeroizing::new([0; 32]);
        let name = stream.to_string();
        let kid = self.kid.to_string();
        expand(&self.bytes, stream.set.as_bytes(), &[b"stream\n", kid.as_bytes(), b"\n", name.as_bytes()], &mut *key);
        let begun = Begun::new(&key, format!("{DOMAIN}\n{name}\n").as_bytes());
        StreamKey { begun, kid: self.kid }
    }
}

/// HKDF-SHA256 into at most 32 bytes, which it always can.
fn expand(root: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    let derivation = Hkdf::<Sha256>::new(Some(salt), root);
    let mut parts: Vec<&[u8]> = vec![DOMAIN.as_bytes(), b"\n"];
    parts.extend(info);
    let result = derivation.expand_multi_info(&parts, out);
    debug_assert!(result.is_ok(), "at most 32 bytes are asked for, HKDF gives 8160");
}

/// The key of one stream, ready for its next record.
#[derive(Clone)]
pub struct StreamKey {
    /// The MAC after the domain and the stream's name, which every record begins with.
    begun: Begun,
    kid: Kid,
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamKey({}, [REDACTED])", self.kid)
    }
}

impl StreamKey {
    /// The MAC over the covered bytes of a line.
    #[must_use]
    pub fn mac(&self, covered: &[u8]) -> Hash {
        self.begun.mac(covered)
    }

    /// Whether this is the MAC of the covered bytes; takes as long either way.
    #[must_use]
    pub fn is_mac(&self, covered: &[u8], mac: &Hash) -> bool {
        self.mac(covered).ct_eq(mac).into()
    }

    /// The SHA-256 of a line, if this is the MAC of its covered bytes: [`is_mac`](Self::is_mac) and the hash in the time of one.
    #[must_use]
    pub fn hash_if_mac(&self, covered: &[u8], mac: &Hash, line: &[u8]) -> Option<Hash> {
        let (found, hash) = self.begun.mac_and_hash(covered, line);
        bool::from(found.ct_eq(mac)).then_some(hash)
    }

    /// The root's name.
    #[must_use]
    pub const fn kid(&self) -> Kid {
        self.kid
    }
}

/// Every root key that a verifier holds.
#[derive(Debug, Default)]
pub struct KeyRing(BTreeMap<Kid, RootKey>);

impl KeyRing {
    /// Adds a key.
    pub fn insert(&mut self, key: RootKey) {
        self.0.insert(key.kid(), key);
    }

    /// The key of this name.
    #[must_use]
    pub fn find(&self, kid: Kid) -> Option<&RootKey> {
        self.0.get(&kid)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of its keys.
    pub fn kids(&self) -> impl Iterator<Item = Kid> {
        self.0.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn stream(epoch: u64) -> StreamId {
        StreamId { set: "orders".to_owned(), rotation: 1, epoch, run: 7 }
    }

    #[test]
    fn the_same_key_is_read_from_every_spelling() {
        let kid = RootKey::from_text(HEX).unwrap().kid();
        for text in [
            format!("hex:{HEX}"),
            format!(" {}\n", HEX.to_uppercase()),
            "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned(),
        ] {
            assert_eq!(RootKey::from_text(&text).unwrap().kid(), kid, "{text}");
        }
        assert_ne!(RootKey::from_text("thirty-two bytes of any other te").unwrap().kid(), kid);
    }

    #[test]
    fn a_key_that_is_too_short_is_refused() {
        assert_eq!(RootKey::from_text(&HEX[..62]).err(), None, "as text it has 62 bytes");
        assert_eq!(RootKey::from_text("hunter2").err(), Some(KeyError::Short(7)));
        assert_eq!(RootKey::from_text(&format!("hex:{}", &HEX[..62])).err(), Some(KeyError::Short(31)));
        assert_eq!(RootKey::from_text("hex:xyz").err(), Some(KeyError::Encoding("hex")));
        assert_eq!(RootKey::from_text("base64:?").err(), Some(KeyError::Encoding("base64")));
        assert_eq!(RootKey::from_text(&"x".repeat(MAX_KEY_BYTES + 1)).err(), Some(KeyError::Long));
        assert_eq!(RootKey::from_text(&"x".repeat(3 * MAX_KEY_BYTES)).err(), Some(KeyError::Long));
    }

    /// The values come from an implementation of RFC 5869 and RFC 2104 outside this program (Python's `hmac`); see docs/audit.md.
    #[test]
    fn derivation_and_mac_are_those_of_the_documentation() {
        let root = RootKey::from_text(HEX).unwrap();
        assert_eq!(root.kid().to_string(), "34e6d66cc3638fb2");
        let mac = root.stream_key(&stream(2)).mac(b"{\"v\":1");
        assert_eq!(hex::encode(&mac), "ba5d1bf96f0afc4aec3ac998fb3bbff5101ece163957a897bdf857f002a108ef");
    }

    #[test]
    fn each_stream_and_each_root_has_a_key_of_its_own() {
        let root = RootKey::from_text(HEX).unwrap();
        let other = RootKey::from_text(&HEX.replace("1f", "2f")).unwrap();
        let mac = root.stream_key(&stream(2)).mac(b"x");
        assert!(root.stream_key(&stream(2)).is_mac(b"x", &mac));
        assert!(!root.stream_key(&stream(2)).is_mac(b"y", &mac));
        assert!(!root.stream_key(&stream(3)).is_mac(b"x", &mac));
        assert!(!other.stream_key(&stream(2)).is_mac(b"x", &mac));
    }

    #[test]
    fn nothing_that_is_printed_shows_a_key() {
        let root = RootKey::from_text("canary-canary-canary-canary-canary").unwrap();
        let shown = format!("{root:?} {:?}", root.stream_key(&stream(1)));
        assert!(!shown.contains("canary") && shown.matches("REDACTED").count() == 2, "{shown}");
        assert!(!shown.contains("99, 97, 110"), "{shown}");
    }
}
