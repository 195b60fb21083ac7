//! The sign of life of a schedule: a run that finds nothing to do leaves a record, if there was none for most of a day.
//!
//! Whether it is time for one is in the register, which such a run reads anyway. It is no reason to fail: a record that cannot be
//! stored is told in the log, and its absence is what `audit verify --max-silence` finds.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dizzy_host::{
    audit::{Aside, TrailPlan},
    port::Kind,
};
use tokio::sync::OnceCell;

use super::audit::recorded;
use crate::compose::Composer;

/// The signs of life of one run over many sets.
#[derive(Default)]
pub(super) struct Heartbeats {
    /// Read once, with its keys, when the first sign is due.
    plan: OnceCell<Option<Arc<TrailPlan>>>,
    /// Whether one could not be stored. The others are not tried: a place that is away would cost every set its deadlines, every minute.
    failed: AtomicBool,
}

impl Heartbeats {
    /// Records that the schedule looked at a set and found nothing to do.
    pub(super) async fn beat(&self, composer: &Composer, set: &str) {
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        let plan = self.plan.get_or_init(|| async { composer.trail().await.ok() }).await;
        // Whoever holds the set leaves records of its own.
        let (Some(plan), Ok(held)) = (plan, composer.hold(set).await) else { return };
        let told = match recorded(composer, plan, set, Aside::HeartbeatIfSilent).await {
            Ok(Ok(())) => None,
            // Another scheduler was faster.
            Ok(Err(error)) if matches!(error.kind, Kind::Busy | Kind::Conflict) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(report) => Some(report.what().to_owned()),
        };
        drop(held);
        if let Some(why) = told {
            self.failed.store(true, Ordering::Relaxed);
            tracing::warn!(set, why, "no sign of life could be recorded in the audit trail");
        }
    }
}
