//! Records that belong to no rotation: a sign of life, and the hand-over to another key.
//!
//! Each takes an epoch of its own by compare-and-swap, so that its stream has one writer and the register names its record.

use core::time::Duration;
use std::sync::Arc;

use dizzy_audit::{Outcome, RootKey, record::kinds};

use dizzy_engine::Timestamp;

use super::{AuditEvent, Trail, TrailPlan, refused};
use crate::{
    port::{Clock, Deadline, Journal, Kind, PortResult, Randomness},
    register::Document,
};

/// What is recorded.
#[derive(Clone, Copy, Debug)]
pub enum Aside<'a> {
    /// That the trail is alive.
    Heartbeat,
    /// The same, unless the register names a record that is young enough ([`is_silent`]).
    HeartbeatIfSilent,
    /// That another key signs from here on.
    HandOver(&'a RootKey),
    /// That the former key is lost, and the plan's key signs from here on: a person said so.
    FormerKeyLost,
}

/// A scheduled run that has nothing to do leaves a record if the last one is older than this, in milliseconds. Less than a day, so that a
/// timer that fires daily, a few seconds earlier or later, leaves one each time.
pub const HEARTBEAT_MS: i64 = 20 * 60 * 60 * 1000;

/// Whether the trail of a set at rest has been silent for so long that a scheduled run should record that it looked. The register alone
/// tells, and a set that never had a record is left alone: its trail begins with its first rotation, or `audit heartbeat`.
#[must_use]
pub fn is_silent(document: &Document, now: Timestamp) -> bool {
    let last = document.audit.as_ref().map(|head| head.time);
    document.phase == "idle"
        && document.owner.until <= now.0
        && last.is_some_and(|last| now.0.saturating_sub(last) >= HEARTBEAT_MS)
}

/// What an aside needs of the world.
pub struct Desk<'a> {
    /// The registers.
    pub journal: &'a dyn Journal,
    /// How records are written.
    pub plan: &'a Arc<TrailPlan>,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Unpredictable bytes.
    pub randomness: &'a dyn Randomness,
    /// Longest call.
    pub call: Duration,
}

impl Desk<'_> {
    /// The register of a set.
    ///
    /// # Errors
    /// If it cannot be read. `None`: there is none.
    pub async fn register(&self, set: &str) -> PortResult<Option<Document>> {
        let stored = self.journal.read(set, Deadline::after(self.call)).await?;
        stored.map(|stored| Document::parse(&stored.bytes, set).map_err(crate::driver::register_error)).transpose()
    }

    /// Makes the record durable, and has the register name it. Repeating a hand-over that was done writes nothing.
    ///
    /// # Errors
    /// `Busy` if a worker holds the set or a rotation is under way; `NotFound` without a register; what the trail or the journal
    /// says otherwise. A record that is durable while the register was not written is found by the next run, and counts.
    pub async fn record(&self, set: &str, aside: Aside<'_>) -> PortResult<()> {
        let stored = self.journal.read(set, Deadline::after(self.call)).await?;
        let stored = stored.ok_or_else(|| {
            refused(Kind::NotFound, format!("write to the audit trail of {set}: the set has no register"))
                .with_hint(format!("run `dizzy-keys prepare {set}`"))
        })?;
        let document = Document::parse(&stored.bytes, set).map_err(crate::driver::register_error)?;
        let now = self.clock.now();
        if document.phase != "idle" || document.owner.until > now.0 {
            return Err(refused(Kind::Busy, format!("write to the audit trail of {set}: a worker holds the set"))
                .with_hint(format!("wait for it, or run `dizzy-keys recover {set}`")));
        }
        if matches!(aside, Aside::HeartbeatIfSilent) && !is_silent(&document, now) {
            return Ok(());
        }
        let mut id = [0; 8];
        self.randomness.fill(&mut id)?;
        let [a, b, c, d, ..] = id;
        let trail = Trail::new(self.plan, set, u32::from_be_bytes([a, b, c, d]));
        trail.continue_from(document.audit.as_ref());
        if matches!(aside, Aside::FormerKeyLost) {
            trail.declare_former_key_lost();
        }
        let epoch = document.epoch + 1;
        let event = |kind| AuditEvent {
            base: Some(document.current),
            ..AuditEvent::new(now, kind, Outcome::Ok, document.last, epoch)
        };
        let deadline = Deadline::after(self.call);
        match aside {
            Aside::Heartbeat | Aside::HeartbeatIfSilent => trail.require(event(kinds::HEARTBEAT), deadline).await?,
            Aside::FormerKeyLost => trail.require(event(kinds::KEY_LOST), deadline).await?,
            Aside::HandOver(next) => trail.rotate_key(event(kinds::KEY_ROTATED), next, deadline).await?,
        }
        let mut written = document.clone();
        written.epoch = epoch;
        written.owner.nonce = format!("{:016x}-1", u64::from_be_bytes(id));
        written.owner.until = 0;
        written.audit = trail.head().await;
        self.journal.write(set, Some(&stored.tag), &written.to_bytes(), Deadline::after(self.call)).await?;
        trail.finish(Deadline::after(self.call)).await;
        Ok(())
    }
}
