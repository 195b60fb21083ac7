//! What a verifier found, where, and how bad it is.

use core::fmt;
use std::collections::BTreeMap;

use serde::Serialize;

/// Most findings that are kept with their place; all are counted. More would not help a person, and memory is bounded.
pub const MAX_KEPT: usize = 1000;

/// What a finding means for the verdict.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Something could not be checked, so nothing is said about it.
    NotChecked,
    /// The trail is not what was written.
    Tampering,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $class:ident;)+) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
        pub enum Kind {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Its name in reports.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// What it means for the verdict.
            #[must_use]
            pub const fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)+ }
            }
        }
    };
}

kinds! {
    /// The signature does not fit the bytes.
    BadMac = "BAD_MAC", Tampering;
    /// A record does not name the hash of the one before it.
    BrokenChain = "BROKEN_CHAIN", Tampering;
    /// Records are missing between others.
    Gap = "GAP", Tampering;
    /// Two different records claim one place.
    Fork = "FORK", Tampering;
    /// A record stands twice where it belongs once.
    Duplicate = "DUPLICATE", Tampering;
    /// A record or object is not where it belongs.
    Misplaced = "MISPLACED", Tampering;
    /// Bytes that are no record.
    Malformed = "MALFORMED", Tampering;
    /// The trail ends before the head that the register, a note or a person names.
    Truncated = "TRUNCATED", Tampering;
    /// The trail begins later than with the first record of the set.
    BeginsLate = "BEGINS_LATE", Tampering;
    /// A rotation was begun and neither finished nor given up.
    Unclosed = "UNCLOSED", Tampering;
    /// A key was used before or after its time.
    KeyOutOfRange = "KEY_OUT_OF_RANGE", Tampering;
    /// A signed note contradicts the records, or is not what was signed.
    BadCheckpoint = "BAD_CHECKPOINT", Tampering;
    /// The places do not hold the same.
    CloudsDiffer = "CLOUDS_DIFFER", Tampering;
    /// An object that is written once has several versions or a delete marker.
    DuplicateVersion = "DUPLICATE_VERSION", Tampering;
    /// Records without a signature.
    Unsigned = "UNSIGNED", NotChecked;
    /// Records signed by a key that is not at hand.
    NoKey = "NO_KEY", NotChecked;
    /// The place cannot be read.
    Unreachable = "UNREACHABLE", NotChecked;
    /// An object lies in an archive tier and has to be restored before it can be read.
    Archived = "ARCHIVED", NotChecked;
    /// An object that is not part of a trail.
    ForeignObject = "FOREIGN_OBJECT", NotChecked;
    /// A worker said itself that it could not store records.
    DeclaredGap = "DECLARED_GAP", NotChecked;
    /// Another key signs from here on, and nothing but the word of a person hands over to it.
    KeyLost = "KEY_LOST", NotChecked;
    /// Records that are in one place and not yet in the other.
    NotInBoth = "NOT_IN_BOTH", NotChecked;
    /// Nothing says where the trail should end.
    EndNotChecked = "END_NOT_CHECKED", NotChecked;
    /// A note that none of the given keys has signed.
    OtherSigner = "OTHER_SIGNER", NotChecked;
    /// Longer without a record than was asked for.
    StaleHeartbeat = "STALE_HEARTBEAT", NotChecked;
    /// A record is older than the one before it.
    ClockBackwards = "CLOCK_BACKWARDS", Note;
    /// Records of a worker that another one had overtaken.
    SideBranch = "SIDE_BRANCH", Note;
    /// The store does not show versions, or was not asked.
    VersionsNotListed = "VERSIONS_NOT_LISTED", Note;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One finding with its place.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// What was found.
    pub kind: Kind,
    /// Where the trail lies.
    pub source: String,
    /// The rotation set.
    pub set: String,
    /// The object, or the stream.
    pub object: String,
    /// Number of the record in its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Where in the object, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What it means, in a sentence.
    pub detail: String,
}

/// All findings of a verification, in bounded memory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// The first [`MAX_KEPT`], in the order in which they were found.
    pub kept: Vec<Finding>,
    /// How many of each kind there are in all.
    pub counts: BTreeMap<Kind, u64>,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        *self.counts.entry(finding.kind).or_default() += 1;
        if self.kept.len() < MAX_KEPT {
            self.kept.push(finding);
        }
    }

    /// Adds all of another verification.
    pub fn append(&mut self, other: Self) {
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        let room = MAX_KEPT.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// The worst class among them; `None` if there are none.
    #[must_use]
    pub fn worst(&self) -> Option<Class> {
        self.counts.keys().map(|kind| kind.class()).max()
    }

    /// How many of this kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }
}
