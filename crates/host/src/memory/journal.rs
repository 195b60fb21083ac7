//! Registers in memory. The tag is a counter, so that no two states share one even with equal bytes.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;

use super::{in_time, locked};
use crate::port::{Deadline, Journal, Kind, PortError, PortResult, Stored, Tag};

/// Keeps every state that every register has had.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    registers: Mutex<BTreeMap<String, Vec<Vec<u8>>>>,
}

impl MemoryJournal {
    /// Every document that was ever written for `set`, oldest first.
    #[must_use]
    pub fn history(&self, set: &str) -> Vec<Vec<u8>> {
        locked(&self.registers).get(set).cloned().unwrap_or_default()
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
        Ok(history.last().map(|bytes| Stored { bytes: bytes.clone(), tag: tag(history) }))
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
