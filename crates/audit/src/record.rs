//! What a record may say. There is no field that could hold a secret: names from the configuration, numbers, version ids and
//! error codes of others, and words of our own.

use serde::Serialize;
use thiserror::Error;

use crate::{Hash, Kid, chain::ZERO, hex, key::StreamKey, line::MAX_LINE_BYTES};

/// Longest text in a record, in bytes. The longest real one is a reference to a secret: an OCID or ARN and a field.
pub const MAX_TEXT_BYTES: usize = 512;

/// Version of the record's layout, the first field of every line.
pub const VERSION: u32 = 1;

/// What begins a chain, and what a rotation of the key is called; the verifier looks for them.
pub mod kinds {
    /// A rotation is about to be entered in the register.
    pub const INTENT: &str = "rotation.intent";
    /// An intent that was recorded did not reach the register: the rotation did not begin.
    pub const WITHDRAWN: &str = "rotation.withdrawn";
    /// A rotation has come to its end, one way or the other.
    pub const CLOSED: &str = "rotation.closed";
    /// A rotation waits for a person.
    pub const STUCK: &str = "rotation.stuck";
    /// The next records are signed by another key.
    pub const KEY_ROTATED: &str = "key.rotated";
    /// The key before this record's is lost: nothing hands over to this one, a person said so.
    pub const KEY_LOST: &str = "key.lost";
    /// A worker before this one could not store records.
    pub const GAP: &str = "trail.gap";
    /// The register knew of no trail, and this record continues one that was there.
    pub const CONTINUED: &str = "trail.continued";
    /// The last record that the register named was not there when this one was written.
    pub const DAMAGED: &str = "trail.damaged";
    /// A worker found that another one has taken the set over.
    pub const FENCED: &str = "worker.fenced";
    /// Nothing happened, and the trail is alive.
    pub const HEARTBEAT: &str = "heartbeat";
}

/// How what is recorded ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok,
    /// It was not done.
    Fail,
    /// It may have been done.
    Unknown,
}

impl Outcome {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// What a record says. Its place in the chain and its signature are added when it is sealed.
#[derive(Clone, Debug, Serialize)]
pub struct Facts<'a> {
    /// What happened, as a constant of the program: `rotation.intent`, `apply.done`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// The rotation set.
    pub set: &'a str,
    /// The generation under way.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The generation that was CURRENT when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The epoch of the worker.
    pub epoch: u64,
    /// The database or secret it is about, by its name in the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<&'a str>,
    /// The secret version it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<&'a str>,
    /// The other side's error code: SQLSTATE, ORA number, HTTP status, or a cloud's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Who did it: host and process, and the cloud identity where one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<&'a str>,
    /// Digest of the image that the program runs in, as its deployment says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<&'a str>,
    /// Version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<&'a str>,
    /// Which version of the signing key's secret is used, where its store has versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_version: Option<&'a str>,
    /// How many records a worker before this one could not store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl<'a> Facts<'a> {
    /// The least that can be said.
    #[must_use]
    pub const fn new(kind: &'static str, outcome: Outcome, set: &'a str, epoch: u64) -> Self {
        Self {
            kind,
            outcome,
            set,
            generation: None,
            base: None,
            epoch,
            target: None,
            version_id: None,
            code: None,
            ms: None,
            actor: None,
            image: None,
            program: None,
            key_version: None,
            lost: None,
        }
    }

    fn texts(&self) -> [(&'static str, Option<&'a str>); 8] {
        [
            ("set", Some(self.set)),
            ("target", self.target),
            ("version_id", self.version_id),
            ("code", self.code),
            ("actor", self.actor),
            ("image", self.image),
            ("program", self.program),
            ("key_version", self.key_version),
        ]
    }
}

/// Why a record cannot be written.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum EncodeError {
    /// A text is too long, or has control characters.
    #[error("the field `{0}` of a record is longer than {MAX_TEXT_BYTES} bytes or holds control characters")]
    Text(&'static str),
    /// The time is not of the form `2026-01-01T00:00:00.000Z`.
    #[error("the time of a record is not written as records have it")]
    Time,
    /// The line is longer than a verifier reads.
    #[error("a record is longer than {MAX_LINE_BYTES} bytes")]
    Long,
}

/// The place of a record in its chain.
pub(crate) struct Place<'a> {
    pub(crate) stream: &'a str,
    pub(crate) seq: u64,
    pub(crate) prev: &'a Hash,
}

#[derive(Serialize)]
struct Covered<'a> {
    v: u32,
    stream: &'a str,
    seq: u64,
    prev: String,
    kid: String,
    time: &'a str,
    #[serde(flatten)]
    facts: &'a Facts<'a>,
}

/// The line of a record, without the line feed at its end.
///
/// A rotation of the key is signed twice: the line as always with the old key, and in the fields before that with `next`.
pub(crate) fn seal(
    place: &Place<'_>,
    time: &str,
    facts: &Facts<'_>,
    key: Option<&StreamKey>,
    next: Option<&StreamKey>,
) -> Result<Vec<u8>, EncodeError> {
    if !is_time(time.as_bytes()) {
        return Err(EncodeError::Time);
    }
    for (field, text) in facts.texts() {
        if text.is_some_and(|text| text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control)) {
            return Err(EncodeError::Text(field));
        }
    }
    let kid = key.map_or(crate::UNSIGNED, StreamKey::kid);
    let (prev, kid) = (hex::encode(place.prev), kid.to_string());
    let covered = Covered { v: VERSION, stream: place.stream, seq: place.seq, prev, kid, time, facts };
    let mut line = serde_json::to_vec(&covered).map_err(|_| EncodeError::Long)?;
    line.pop();
    if let Some(next) = next {
        line.extend_from_slice(next_kid(next.kid()).as_bytes());
        let mac = hex::encode(&next.mac(&line));
        line.extend_from_slice(format!("{NEXT_MAC}{mac}\"").as_bytes());
    }
    let mac = key.map_or(ZERO, |key| key.mac(&line));
    line.extend_from_slice(format!("{MAC}{}\"}}", hex::encode(&mac)).as_bytes());
    if line.len() > MAX_LINE_BYTES { Err(EncodeError::Long) } else { Ok(line) }
}

/// What stands before the MAC.
pub(crate) const MAC: &str = ",\"mac\":\"";

/// What stands before the MAC under the next key.
pub(crate) const NEXT_MAC: &str = ",\"next_mac\":\"";

/// What stands before the next key's name.
pub(crate) const NEXT_KID: &str = ",\"next_kid\":\"";

fn next_kid(kid: Kid) -> String {
    format!("{NEXT_KID}{kid}\"")
}

/// Whether this is a time as records have it: RFC 3339 in UTC with milliseconds, so that text order is time order.
#[must_use]
pub fn is_time(text: &[u8]) -> bool {
    const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, shape): (&u8, &u8)| (byte == shape) | ((*shape == b'0') & byte.is_ascii_digit());
    // Without a way out in the middle, so that the compiler takes wide steps.
    text.len() == SHAPE.len() && text.iter().zip(SHAPE).fold(true, |all, pair| all & fits(pair))
}
