//! Where two places that should hold the same differ.

use super::finding::{Finding, Kind};
use crate::{Hash, StreamId, chain::Head};

/// What lies behind the head.
#[derive(Clone, Debug, Default)]
pub enum Beyond {
    /// No head is known: nothing counts as being behind it.
    #[default]
    Nothing,
    /// The register names no record yet.
    Everything,
    /// What comes after this record.
    Head(Head),
}

/// What may be missing in a place without being wrong.
#[derive(Clone, Debug, Default)]
pub struct Excuse {
    /// Records behind the register's head may be on their way: a worker may be writing, or may have died between two places.
    pub beyond: Beyond,
    /// The register says that the second place lacks objects from this name on.
    pub behind: Option<String>,
}

impl Excuse {
    fn covers(&self, stream: &StreamId, seq: u64) -> bool {
        let name = stream.to_string();
        let beyond = match &self.beyond {
            Beyond::Nothing => false,
            Beyond::Everything => true,
            Beyond::Head(head) => name > head.stream || (name == head.stream && seq > head.seq),
        };
        let declared = self.behind.as_ref().is_some_and(|from| stream.lines(seq) >= *from);
        beyond || declared
    }
}

/// What the place `other` lacks of a stream, or has otherwise than the place that `ours` was read from.
#[must_use]
pub fn compare(
    stream: &StreamId,
    ours: &[Option<Hash>],
    (other, theirs): (&str, &[Option<Hash>]),
    excuse: &Excuse,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut missing: Option<(u64, u64, Kind)> = None;
    let finding = |kind, seq, detail| Finding {
        kind,
        source: other.to_owned(),
        set: stream.set.clone(),
        object: stream.to_string(),
        seq: Some(seq),
        offset: None,
        detail,
    };
    let lacks = |(from, count, kind): (u64, u64, Kind)| {
        let late = if kind == Kind::NotInBoth { " yet" } else { "" };
        finding(kind, from, format!("{count} records are not here{late}, and are in another place"))
    };
    for (seq, ours) in (0_u64..).zip(ours) {
        let Some(ours) = ours else { continue };
        let theirs = usize::try_from(seq).ok().and_then(|at| theirs.get(at)).copied().flatten();
        let kind = match theirs {
            Some(theirs) if theirs == *ours => None,
            Some(_) => {
                found.push(finding(Kind::CloudsDiffer, seq, "another place has another record here".to_owned()));
                None
            }
            None if excuse.covers(stream, seq) => Some(Kind::NotInBoth),
            None => Some(Kind::CloudsDiffer),
        };
        missing = match (missing, kind) {
            (Some((from, count, was)), Some(kind)) if was == kind => Some((from, count + 1, kind)),
            (before, kind) => {
                found.extend(before.map(lacks));
                kind.map(|kind| (seq, 1, kind))
            }
        };
    }
    found.extend(missing.map(lacks));
    found
}
