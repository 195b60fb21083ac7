//! Registers in memory. The tag is a counter, so that no two states share one even with equal bytes.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;

use super::{in_time, locked};
use crate::port::{Deadline, Journal, Kind, PortError, PortResult, Stored, Tag};

/// Keeps every state that every register has had.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    registers: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
    stale_reads: AtomicU32,
}

impl MemoryJournal {
    /// The next `count` reads see each register as it was before its latest change.
    pub fn serve_stale_reads(&self, count: u32) {
        self.stale_reads.store(count, Ordering::SeqCst);
    }

    /// How many reads will be old.
    #[must_use]
    pub fn stale_reads_left(&self) -> u32 {
        self.stale_reads.load(Ordering::SeqCst)
    }

    /// How often the register of `set` was written.
    #[must_use]
    pub fn writes(&self, set: &str) -> usize {
        locked(&self.registers).get(set).map_or(0, Vec::len)
    }

    /// The present document of `set`. Never stale.
    #[must_use]
    pub fn latest(&self, set: &str) -> Option<Vec<u8>> {
        locked(&self.registers).get(set).and_then(|history| history.last()).cloned()
    }

    /// Every document that was ever written for `set`, oldest first.
    #[must_use]
    pub fn history(&self, set: &str) -> Vec<Vec<u8>> {
        locked(&self.registers).get(set).cloned().unwrap_or_default()
    }

    /// Replaces the register behind everybody's back, as a person could; `None` loses it.
    pub fn put_by_hand(&self, set: &str, bytes: Option<&[u8]>) {
        let mut registers = locked(&self.registers);
        match bytes {
            Some(bytes) => registers.entry(set.to_owned()).or_default().push(bytes.to_vec()),
            None => drop(registers.remove(set)),
        }
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn read(&self, set: &str, deadline: Deadline) -> PortResult<Option<Stored>> {
        in_time(deadline, "read the register")?;
        let registers = locked(&self.registers);
        let Some(history) = registers.get(set) else { return Ok(None) };
        let is_stale =
            self.stale_reads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        let seen = history.get(..history.len().saturating_sub(usize::from(is_stale))).unwrap_or_default();
        Ok(seen.last().map(|bytes| Stored { bytes: bytes.clone(), tag: tag(seen) }))
    }

    async fn write(&self, set: &str, expected: Option<&Tag>, bytes: &[u8], deadline: Deadline) -> PortResult<Tag> {
        in_time(deadline, "write the register")?;
        let mut registers = locked(&self.registers);
        if registers.get(set).map(|history| tag(history)).as_ref() != expected {
            return Err(PortError::refused(Kind::Conflict, format!("write the register of {set}: it has changed")));
        }
        let history = registers.entry(set.to_owned()).or_default();
        history.push(bytes.to_vec());
        Ok(tag(history))
    }
}

fn tag(history: &[Vec<u8>]) -> Tag {
    Tag(history.len().to_string())
}
