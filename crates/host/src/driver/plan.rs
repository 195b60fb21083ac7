//! The engine's plan of a set: what the configuration says, what the adapters are, and what is known of windows and the way back.
//!
//! How long a window lasts and whether it can be ended is the server's business. It is looked at before every rotation and
//! recorded with the Intent, so that whoever finishes the rotation reckons with the same window.

use dizzy_engine::{DatabasePlan, Plan, StorePlan, Strategy};

use super::{OpenSecret, OpenSet};
use crate::register::{Document, RolloverDocument};

/// Longest window that a server may have, in milliseconds: 60 days (Oracle Database Security Guide, "Configuring Gradual Database
/// Password Rollover": `PASSWORD_ROLLOVER_TIME` is at most 60). Assumed as long as nothing is recorded.
const LONGEST_WINDOW_MS: i64 = 60 * 86_400_000;

impl OpenSet {
    /// The engine's plan, with what `document` records of rollover windows, unless `seen` knows it better.
    pub(super) fn plan_with(
        &self,
        document: Option<&Document>,
        seen: impl Fn(usize) -> Option<RolloverDocument>,
        forward_only: impl Fn(usize) -> Option<bool>,
        window_over: impl Fn(usize) -> bool,
    ) -> Plan {
        let mut databases = Vec::new();
        for (at, (config, port)) in self.config.databases.iter().zip(&self.databases).enumerate() {
            let mut plan = DatabasePlan::new(config.strategy, port.capability());
            if config.strategy == Strategy::Rollover {
                let recorded = || document?.databases.get(&config.name)?.rollover;
                let facts = seen(at).or_else(recorded);
                plan.ends_windows = facts.is_some_and(|f| f.can_end);
                plan.window_over = window_over(at);
                plan.window_ms = facts.map_or(LONGEST_WINDOW_MS, |f| f.length_ms);
            }
            let recorded = || document?.databases.get(&config.name).map(|d| d.forward_only);
            plan.restores = !forward_only(at).or_else(recorded).unwrap_or(false);
            databases.push(plan);
        }
        // Consumers of a `single` may try PENDING next; elsewhere only a store that cannot do without it moves it.
        let single = |at: &usize| databases.get(*at).is_some_and(|d| d.strategy == Strategy::Single);
        let announces = |s: &OpenSecret| s.covers.iter().any(single) || s.store.stages_as_pending();
        let stores = self.secrets.iter().map(|s| StorePlan { announce: announces(s) }).collect();
        Plan::new(databases, stores)
    }
}
