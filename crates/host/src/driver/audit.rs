//! When the audit port is called, and what happens if it does not answer.
//!
//! The intent must be durable before the register's Intent, and the first change of a database must be announced durably.
//! After that the trail never stands in the way: what could not be written is kept and tried again with the next event.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::Mutex;

use crate::port::{AuditEvent, AuditSink, Deadline, PortResult};

/// Most events that wait for a sink that does not answer; a run has some hundred.
const MAX_WAITING: usize = 10_000;

/// The trail of one run.
pub(super) struct Trail {
    sink: Arc<dyn AuditSink>,
    waiting: Mutex<VecDeque<AuditEvent>>,
}

impl Trail {
    pub(super) fn new(sink: Arc<dyn AuditSink>) -> Self {
        Self { sink, waiting: Mutex::default() }
    }

    /// Makes the event durable, or says why it is not.
    pub(super) async fn require(&self, event: AuditEvent, deadline: Deadline) -> PortResult<()> {
        let mut waiting = self.waiting.lock().await;
        while let Some(first) = waiting.front() {
            self.sink.append(first, deadline).await?;
            waiting.pop_front();
        }
        self.sink.append(&event, deadline).await
    }

    /// Makes the event durable if the sink answers, and keeps it otherwise.
    pub(super) async fn note(&self, event: AuditEvent, deadline: Deadline) {
        let mut waiting = self.waiting.lock().await;
        if waiting.len() < MAX_WAITING {
            waiting.push_back(event);
        }
        while let Some(first) = waiting.front() {
            if let Err(error) = self.sink.append(first, deadline).await {
                tracing::warn!(kind = ?error.kind, code = error.code, "the audit trail does not answer; the event is kept");
                return;
            }
            waiting.pop_front();
        }
    }

    /// How many events are not durable.
    pub(super) async fn missing(&self) -> usize {
        self.waiting.lock().await.len()
    }
}
