//! The small numbers that the engine reasons about: generations, epochs, times, places in the plan.
//!
//! Names (of sets, databases, users, secrets) and version ids live in the host; here a database or a
//! store is its position in the [plan](crate::plan::Plan). Nothing in this file can hold a secret.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A set-wide generation of credentials. Only grows; 0 is what `prepare` gave to the second users.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// A fencing number. Every take-over and every abort takes a higher one; databases with a row fence refuse older ones.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}", self.0)
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z, as told by the clock port.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `ms` milliseconds; saturates at the ends of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Position of a database in the plan of its set.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct DatabaseIx(pub u8);

/// Position of a secret (a place in a store) in the plan of its set.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct StoreIx(pub u8);

/// Which of a database's users: 0, or 0 and 1 with the alternating strategy.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct UserIx(pub u8);

impl UserIx {
    /// The other user of an alternating pair.
    #[must_use]
    pub const fn other(self) -> Self {
        Self(1 - self.0 % 2)
    }
}
