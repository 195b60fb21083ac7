//! A record with every field, for people and exports. The verifier does not need it.

use serde::{Deserialize, Serialize};

/// A record as it was stored. Fields that a newer program adds are left out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// Name of its stream.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
    /// Hash of the record before it.
    pub prev: String,
    /// Which key signed it.
    pub kid: String,
    /// When, as its writer's clock said: RFC 3339, UTC.
    pub time: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// `ok`, `fail` or `unknown`.
    pub outcome: String,
    /// The rotation set.
    pub set: String,
    /// The generation under way.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The generation that was CURRENT when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// The epoch of the worker.
    pub epoch: u64,
    /// The database or secret it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The secret version it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// The other side's error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Digest of the image that the program ran in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Version of the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Version of the signing key's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_version: Option<String>,
    /// How many records a worker before this one could not store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// The key that signs from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_kid: Option<String>,
    /// The MAC.
    pub mac: String,
}

impl Record {
    /// Reads a line; `None` if it is no record.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        crate::line::Line::parse(line)?;
        serde_json::from_slice(line).ok()
    }
}
