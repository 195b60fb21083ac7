//! Signed notes over the end of a chain, for verifiers that must not hold the MAC key.
//!
//! Because every line names the hash of the one before it, a signature over the last line's hash speaks for all of them. The
//! form is that of a [signed note](https://c2sp.org/signed-note) with an Ed25519 signature; the text is ours. It is no
//! `tlog-checkpoint`: the hash is the head of a chain, not the root of a tree.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{Hash, chain::Head, hex, sha256};

/// First line of a note, before the set's name.
const ORIGIN: &str = "dizzy-keys/audit/v1/";

/// The name under which this program signs.
const SIGNER: &str = "dizzy-keys";

/// The algorithm byte of Ed25519 in signed notes.
const ED25519: u8 = 1;

/// What every signature line begins with.
const DASH: &str = "\u{2014} ";

/// Longest note that is read, in bytes. Ours have some 300; witnesses may add lines.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;

/// What a note says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The rotation set.
    pub set: String,
    /// How many records the chain has.
    pub records: u64,
    /// Hash of its last record.
    pub hash: Hash,
    /// Stream of its last record.
    pub stream: String,
    /// Number of its last record there.
    pub seq: u64,
}

/// Why a note or a key cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NoteError {
    /// It is not laid out as a note.
    #[error("it is not a signed note of an audit trail")]
    Malformed,
    /// None of the keys at hand signed it.
    #[error("none of the given keys has signed it")]
    OtherSigner,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    BadSignature,
    /// The text is no key.
    #[error("the text is not an Ed25519 key of 32 bytes in hex or base64")]
    Key,
}

impl Checkpoint {
    /// What a note over this end of a chain says; `None` if the head was damaged.
    #[must_use]
    pub fn of(set: &str, head: &Head) -> Option<Self> {
        let (set, stream) = (set.to_owned(), head.stream.clone());
        Some(Self { set, records: head.records, hash: head.hash()?, stream, seq: head.seq })
    }

    fn text(&self) -> String {
        let Self { set, records, hash, stream, seq } = self;
        format!("{ORIGIN}{set}\n{records}\n{}\n{stream} {seq}\n", STANDARD.encode(hash))
    }

    /// The note, signed.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        // Without noise the signature is deterministic (RFC 8032): a repeated run writes the same bytes.
        let signature = key.pair.sk.sign(text.as_bytes(), None);
        let mut signed = key.verifying_key().hash().to_vec();
        signed.extend_from_slice(signature.as_ref());
        format!("{text}\n{DASH}{SIGNER} {}\n", STANDARD.encode(&signed))
    }

    /// Reads a note and verifies that one of the keys has signed it.
    ///
    /// # Errors
    /// If it is none, or not signed by one of them.
    pub fn open(note: &[u8], keys: &[VerifyingKey]) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Malformed);
        }
        let note = core::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        let checkpoint = Self::parse(&text).ok_or(NoteError::Malformed)?;
        if !signatures.ends_with('\n') {
            return Err(NoteError::Malformed);
        }
        let mut verdict = Err(NoteError::OtherSigner);
        for line in signatures.lines() {
            let (_, encoded) = line.strip_prefix(DASH).and_then(|l| l.split_once(' ')).ok_or(NoteError::Malformed)?;
            let signed = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
            let Some((id, signature)) = signed.split_first_chunk::<4>() else { return Err(NoteError::Malformed) };
            for key in keys.iter().filter(|key| key.hash() == *id) {
                let signature = Signature::from_slice(signature).map_err(|_| NoteError::BadSignature)?;
                key.key.verify(text.as_bytes(), &signature).map_err(|_| NoteError::BadSignature)?;
                verdict = Ok(());
            }
        }
        verdict.map(|()| checkpoint)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let set = lines.next()?.strip_prefix(ORIGIN)?.to_owned();
        let records = hex::decimal(lines.next()?.as_bytes())?;
        let hash = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        let (stream, seq) = lines.next()?.split_once(' ')?;
        let checkpoint = Self { set, records, hash, stream: stream.to_owned(), seq: hex::decimal(seq.as_bytes())? };
        (checkpoint.text() == text).then_some(checkpoint)
    }
}

fn key_bytes(text: &str) -> Result<Zeroizing<[u8; 32]>, NoteError> {
    let text = text.trim();
    let bytes = if let Some(encoded) = text.strip_prefix("base64:") {
        STANDARD.decode(encoded).ok()
    } else {
        hex::decode_any_case(text.strip_prefix("hex:").unwrap_or(text).as_bytes())
    };
    let bytes = Zeroizing::new(bytes.ok_or(NoteError::Key)?);
    let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| NoteError::Key)?;
    Ok(Zeroizing::new(bytes))
}

/// A key that signs notes. Has no way to be shown.
pub struct SigningKey {
    pair: KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.verifying_key())
    }
}

impl SigningKey {
    /// Reads the text of a secret: the 32 bytes of an Ed25519 seed in hex (with or without `hex:`) or behind `base64:`.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_text(text: &str) -> Result<Self, NoteError> {
        Ok(Self { pair: KeyPair::from_seed(Seed::new(*key_bytes(text)?)) })
    }

    /// Its public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey { key: self.pair.pk }
    }
}

/// A key that verifies notes. Shown as `dizzy-keys+<id>+<key>`, the form that tools for signed notes take.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifyingKey {
    key: PublicKey,
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_ref());
        write!(f, "{SIGNER}+{}+{}", hex::encode(&self.hash()), STANDARD.encode(bytes))
    }
}

impl VerifyingKey {
    /// Reads what `Display` writes, or 32 bytes in hex or behind `base64:`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn from_text(text: &str) -> Result<Self, NoteError> {
        let text = text.trim();
        let Some((id, encoded)) = text.strip_prefix(SIGNER).and_then(|t| t.strip_prefix('+')?.split_once('+')) else {
            let bytes = key_bytes(text)?;
            return Ok(Self { key: PublicKey::from_slice(&*bytes).map_err(|_| NoteError::Key)? });
        };
        let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Key)?;
        let Some((&ED25519, bytes)) = bytes.split_first() else { return Err(NoteError::Key) };
        let key = Self { key: PublicKey::from_slice(bytes).map_err(|_| NoteError::Key)? };
        if hex::encode(&key.hash()) == id { Ok(key) } else { Err(NoteError::Key) }
    }

    /// The id by which a signature line names its key.
    fn hash(&self) -> [u8; 4] {
        let mut bytes = format!("{SIGNER}\n").into_bytes();
        bytes.push(ED25519);
        bytes.extend_from_slice(self.key.as_ref());
        let [a, b, c, d, ..] = sha256(&bytes);
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> (Checkpoint, SigningKey) {
        let hash = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let (set, stream) = ("orders".to_owned(), "orders/0000000003/0000000009-00000001".to_owned());
        let key = SigningKey::from_text(&"07".repeat(32)).unwrap();
        (Checkpoint { set, records: 40, hash, stream, seq: 7 }, key)
    }

    #[test]
    fn a_note_is_read_back_with_the_public_key_alone() {
        let (checkpoint, key) = note();
        let signed = checkpoint.sign(&key);
        let public = VerifyingKey::from_text(&key.verifying_key().to_string()).unwrap();
        assert_eq!(Checkpoint::open(signed.as_bytes(), &[public]), Ok(checkpoint));
    }

    #[test]
    fn no_byte_of_a_note_can_be_changed() {
        let (checkpoint, key) = note();
        let signed = checkpoint.sign(&key).into_bytes();
        for at in 0..signed.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bytes = signed.clone();
                bytes[at] ^= flip;
                let opened = Checkpoint::open(&bytes, &[key.verifying_key()]);
                // The signer's name before the signature is no part of what counts.
                if let Ok(opened) = opened {
                    assert_eq!(opened, checkpoint);
                    let dash = signed.windows(4).position(|w| w == DASH.as_bytes()).unwrap();
                    assert!((dash + 4..dash + 4 + SIGNER.len()).contains(&at), "byte {at}");
                }
            }
        }
    }

    /// Signed by the right key, and still not what this program writes.
    #[test]
    fn a_note_has_one_spelling_and_a_bounded_length() {
        let (checkpoint, key) = note();
        let signed = |text: String| {
            let mut line = key.verifying_key().hash().to_vec();
            line.extend_from_slice(key.pair.sk.sign(text.as_bytes(), None).as_ref());
            format!("{text}\n{DASH}{SIGNER} {}\n", STANDARD.encode(&line))
        };
        let keys = [key.verifying_key()];
        assert_eq!(Checkpoint::open(signed(checkpoint.text()).as_bytes(), &keys), Ok(checkpoint.clone()));
        let more = signed(checkpoint.text() + "and more\n");
        assert_eq!(Checkpoint::open(more.as_bytes(), &keys), Err(NoteError::Malformed));
        let whole = signed(checkpoint.text());
        let (_, signature) = whole.split_once("\n\n").unwrap();
        let long = whole.clone() + &signature.repeat(MAX_NOTE_BYTES / signature.len());
        assert_eq!(Checkpoint::open(long.as_bytes(), &keys), Err(NoteError::Malformed));
    }

    #[test]
    fn other_keys_and_other_texts_are_told_apart() {
        let (checkpoint, key) = note();
        let signed = checkpoint.sign(&key);
        let other = SigningKey::from_text(&"08".repeat(32)).unwrap();
        assert_eq!(Checkpoint::open(signed.as_bytes(), &[other.verifying_key()]), Err(NoteError::OtherSigner));
        assert_eq!(Checkpoint::open(b"hello\n\n", &[]), Err(NoteError::Malformed));
        assert_eq!(SigningKey::from_text("hunter2").err(), Some(NoteError::Key));
        assert_eq!(VerifyingKey::from_text("dizzy-keys+00000000+AQ==").err(), Some(NoteError::Key));
        assert!(!format!("{key:?}").contains("0707"));
    }
}
