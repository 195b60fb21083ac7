//! The audit trail in the world: where records go, when they must be there, what closes a gap, and how a trail is read back.
//!
//! What a record is, its signature and the verifier are in `dizzy-audit`. Here are the rules that need ports:
//! - **before the first side effect** of a run a record must be durable, or the run does not begin (fail closed);
//! - **afterwards** the trail never stands in the way: what cannot be stored is kept, and tried again;
//! - the register names the last durable record ([`AuditHead`]), so that an end that is cut off shows;
//! - the next run looks at what is there beyond that head, goes on from it, and copies to each place what another one has.

mod aside;
mod head;
mod reader;
mod sinks;
mod survey;
#[cfg(test)]
mod tests;
mod trail;
mod verify;

use std::sync::Arc;

use dizzy_audit::{Outcome, RootKey, SigningKey};
use dizzy_engine::Timestamp;

pub(crate) use self::survey::highest;
pub use self::{
    aside::{Aside, Desk, HEARTBEAT_MS, is_silent},
    head::AuditHead,
    reader::{Group, MAX_STREAM_OBJECTS, Streams, lines, sets},
    trail::Trail,
    verify::{Known, Source, Verification, verify_set},
};
use crate::{
    config::AuditRequire,
    port::{ObjectStore, PortError, PortResult},
};

/// How the records of this process are signed.
#[derive(Debug)]
pub struct AuditKey {
    /// The root key.
    pub root: RootKey,
    /// Which version of the secret it is, where its reference or its store says so.
    pub version: Option<String>,
}

/// Where and how a trail is written.
pub struct TrailPlan {
    /// Every place that gets every record.
    pub sinks: Vec<Arc<dyn ObjectStore>>,
    /// How many of them must have a record for it to be durable.
    pub require: AuditRequire,
    /// The key; `None` for an unsigned trail. A key that could not be read stops what has not begun, and nothing else.
    pub key: PortResult<Option<Arc<AuditKey>>>,
    /// The key of signed notes, if there are to be any.
    pub notes: PortResult<Option<Arc<SigningKey>>>,
    /// Who we are: host and process, and the cloud identity where one is known.
    pub actor: String,
    /// Digest of the image that we run in, as the deployment says.
    pub image: Option<String>,
    /// Version of the program.
    pub program: &'static str,
}

impl TrailPlan {
    /// An unsigned trail in these places, of which any one is enough.
    #[must_use]
    pub fn unsigned(sinks: Vec<Arc<dyn ObjectStore>>, actor: &str) -> Self {
        Self {
            sinks,
            require: AuditRequire::Any,
            key: Ok(None),
            notes: Ok(None),
            actor: actor.to_owned(),
            image: None,
            program: env!("CARGO_PKG_VERSION"),
        }
    }

    fn key(&self) -> PortResult<Option<&AuditKey>> {
        match &self.key {
            Ok(key) => Ok(key.as_deref()),
            Err(error) => Err(error.clone()),
        }
    }
}

/// One event, before it has a place in the chain. Has no field that could hold a secret.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// When it was.
    pub time: Timestamp,
    /// `rotation.intent`, `stage.put`, `apply.begin`, `apply.done`, ...; docs/audit.md lists them.
    pub kind: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Highest generation that the set has issued: the rotation that it belongs to.
    pub rotation: u64,
    /// Generation under way, if any.
    pub generation: Option<u64>,
    /// Generation that was CURRENT when it began.
    pub base: Option<u64>,
    /// Epoch of the worker.
    pub epoch: u64,
    /// Logical name of the database or secret it is about.
    pub target: Option<String>,
    /// The secret version it is about.
    pub version_id: Option<String>,
    /// The other side's error code.
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    pub ms: Option<u64>,
    /// How many records a worker before this one could not store.
    pub lost: Option<u64>,
}

impl AuditEvent {
    /// The least that can be said.
    #[must_use]
    pub const fn new(time: Timestamp, kind: &'static str, outcome: Outcome, rotation: u64, epoch: u64) -> Self {
        Self {
            time,
            kind,
            outcome,
            rotation,
            generation: None,
            base: None,
            epoch,
            target: None,
            version_id: None,
            code: None,
            ms: None,
            lost: None,
        }
    }
}

/// The prefix below which the records of a set lie.
#[must_use]
pub fn prefix_of(set: &str) -> String {
    format!("{}/{set}/", dizzy_audit::stream::LAYOUT)
}

/// A time as records have it; `None` for one that no calendar has.
fn written(time: Timestamp) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(time.0).ok()?;
    Some(format!("{time:.3}"))
}

fn refused(kind: crate::port::Kind, what: impl Into<String>) -> PortError {
    PortError::refused(kind, what)
}
