//! The audit port: durable records of decisions and side effects.

use async_trait::async_trait;
use serde::Serialize;

use super::{Deadline, PortResult};

/// One event, before a sink gives it its place. Has no field that could hold a secret.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEvent {
    /// `rotation.intent`, `stage.put`, `apply.begin`, `apply.done`, `verify.ok`, `decision.commit`, `decision.abort`,
    /// `promote.done`, `undo.done`, `drift.found`, `worker.fenced`, `rotation.closed`, ...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `ok`, `fail` or `unknown`.
    pub outcome: &'static str,
    /// Name of the set.
    pub set: String,
    /// Generation under way, if any.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Generation that was CURRENT when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Epoch of the worker.
    pub epoch: u64,
    /// Logical name of the database or secret it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The secret version it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// SQLSTATE, HTTP status or AWS error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
}

/// Where audit events go.
#[async_trait]
pub trait AuditSink: Send + Sync {
    /// Makes the event durable. When this returns `Ok`, it is.
    ///
    /// # Errors
    /// If it is not, or may not be, durable. Before the first side effect of a rotation this stops it; afterwards it never does.
    async fn append(&self, event: &AuditEvent, deadline: Deadline) -> PortResult<()>;
}
