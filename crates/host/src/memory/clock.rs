//! Time that a test moves, and randomness that repeats.

use std::sync::{
    Mutex,
    atomic::{AtomicI64, Ordering},
};

use dizzy_engine::Timestamp;
use sha2::{Digest as _, Sha256};

use super::locked;
use crate::port::{Clock, PortResult, Randomness};

/// 2026-01-01T00:00:00Z: where a clock in memory begins.
const START_MS: i64 = 1_767_225_600_000;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    ms: AtomicI64,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self { ms: AtomicI64::new(START_MS) }
    }
}

impl ManualClock {
    /// Moves the clock by `ms` milliseconds; a negative number moves it back, as a badly set clock would.
    pub fn advance_ms(&self, ms: i64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.ms.load(Ordering::SeqCst))
    }
}

/// Bytes that follow from a seed: SHA-256 over seed and block number. For tests only.
#[derive(Debug)]
pub struct SeededRandomness {
    seed: u64,
    block: Mutex<u64>,
}

impl SeededRandomness {
    /// The stream of this seed, from its start.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed, block: Mutex::new(0) }
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) -> PortResult<()> {
        let mut block = locked(&self.block);
        for chunk in bytes.chunks_mut(32) {
            let digest =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(block.to_be_bytes()).finalize();
            for (byte, random) in chunk.iter_mut().zip(digest) {
                *byte = random;
            }
            *block += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_never_the_same_block_twice() {
        let draw = |randomness: &SeededRandomness| {
            let mut bytes = [0_u8; 40];
            randomness.fill(&mut bytes).unwrap();
            bytes
        };
        let (one, same, other) = (SeededRandomness::new(7), SeededRandomness::new(7), SeededRandomness::new(8));
        let first = draw(&one);
        assert_eq!(first, draw(&same));
        assert_ne!(first, draw(&one));
        assert_ne!(first, draw(&other));
    }
}
