//! The audit trail of dizzy-keys, without the world: no I/O, no clock, no randomness; bytes in, bytes and findings out.
//!
//! A [`Record`](record::Facts) becomes one JSON line. Its last field is a MAC over exactly the bytes before it, so nothing is ever
//! brought into a canonical form: what is stored is what was signed. Every line names the hash of the line before it. Lines
//! belong to a [`StreamId`] that has one writer by construction, and the first line of a stream names the hash of the
//! record that it continues, which joins the streams of a set into one history.
//!
//! - [`record`], [`line`](mod@line): what a record may say; its bytes, written and read by position
//! - [`key`]: root keys, key ids, the key of each stream
//! - [`chain`]: the writer's side; [`stream`]: names of streams and of the objects that hold them
//! - [`checkpoint`]: signed notes, for verifiers that must not hold the MAC key
//! - [`verify`]: stored bytes in, findings out, in bounded memory
//! - [`read`]: a record as people and exports see it

pub mod chain;
pub mod checkpoint;
mod digest;
mod hex;
pub mod key;
pub mod line;
pub mod read;
pub mod record;
pub mod stream;
pub mod verify;

pub use self::{
    chain::{Chain, Head, Sealed, ZERO},
    checkpoint::{Checkpoint, SigningKey, VerifyingKey},
    key::{KeyError, KeyRing, Kid, RootKey, UNSIGNED},
    record::{EncodeError, Facts, Outcome},
    stream::{ObjectName, StreamId},
};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// SHA-256 of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// A digest as 64 lower-case hex digits.
#[must_use]
pub fn to_hex(hash: &Hash) -> String {
    hex::encode(hash)
}

/// The digest that 64 lower-case hex digits stand for; `None` for any other text.
#[must_use]
pub fn from_hex(text: &str) -> Option<Hash> {
    hex::decode_hash(text.as_bytes())
}
