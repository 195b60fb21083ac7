//! Clock and randomness as ports, so that the driver can be run on made-up time and known bytes.

use std::time::{SystemTime, UNIX_EPOCH};

use dizzy_engine::Timestamp;

use super::{Kind, PortError, PortResult};

/// Tells the time of day. Safety never rests on it, except the drain of rulings §2.3.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Gives unpredictable bytes.
pub trait Randomness: Send + Sync {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// If the operating system has none to give.
    fn fill(&self, bytes: &mut [u8]) -> PortResult<()>;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock port's one real implementation")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
        getrandom::fill(bytes).map_err(|_| PortError::refused(Kind::Io, "read random bytes from the operating system"))
    }
}
