//! What the register remembers of the trail.

use std::collections::BTreeMap;

use dizzy_audit::Head;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The last durable record of a set, and what is known to be missing. Records beyond it are legal; one before it that is missing
/// was taken away.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Name of the stream of the last durable record.
    pub stream: String,
    /// Number of the record in the stream.
    pub seq: u64,
    /// Number of the first record of the object that holds it.
    pub object: u64,
    /// SHA-256 of the record's line.
    pub hash: String,
    /// The key that signs the next record; zeros without one.
    pub kid: String,
    /// How many records the set has had, this one included.
    pub records: u64,
    /// When it was written; milliseconds since 1970.
    pub time: i64,
    /// How many records were made and not durable when the register was written.
    #[serde(default)]
    pub lost: u64,
    /// Which runs made them, by their number in hex: what is found of a run later on is lost no more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost_by: BTreeMap<String, u64>,
    /// Places that lack objects which another place has: from which name on.
    #[serde(default)]
    pub behind: BTreeMap<String, String>,
}

impl AuditHead {
    /// The same head, with these records missing, by the run that made them.
    #[must_use]
    pub(super) fn missing(self, lost_by: BTreeMap<String, u64>) -> Self {
        Self { lost: lost_by.values().fold(0, |all, count| all.saturating_add(*count)), lost_by, ..self }
    }

    /// What is missing, by the run that made it. A register that does not say which run counted means that of its head.
    pub(super) fn lost_by(&self) -> BTreeMap<String, u64> {
        let named = self.lost_by.values().fold(0, |all: u64, count| all.saturating_add(*count));
        let mut lost_by = self.lost_by.clone();
        if self.lost > named {
            let run = self.stream.rsplit('-').next().unwrap_or_default().to_owned();
            *lost_by.entry(run).or_default() += self.lost - named;
        }
        lost_by
    }

    /// The end of the chain.
    #[must_use]
    pub fn head(&self) -> Head {
        Head {
            stream: self.stream.clone(),
            seq: self.seq,
            hash: self.hash.clone(),
            kid: self.kid.clone(),
            records: self.records,
        }
    }
}
