//! The audit trail in memory: events in the order in which they were appended.

use std::sync::Mutex;

use async_trait::async_trait;

use super::{in_time, locked};
use crate::port::{AuditEvent, AuditSink, Deadline, PortResult};

/// Keeps every event.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    events: Mutex<Vec<AuditEvent>>,
}

impl MemoryAudit {
    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<AuditEvent> {
        locked(&self.events).clone()
    }
}

#[async_trait]
impl AuditSink for MemoryAudit {
    async fn append(&self, event: &AuditEvent, deadline: Deadline) -> PortResult<()> {
        in_time(deadline, "append an audit event")?;
        locked(&self.events).push(event.clone());
        Ok(())
    }
}
