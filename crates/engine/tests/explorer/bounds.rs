//! What is searched: the plan, how many workers and generations, and which faults. Said in words, so that a result can be judged.

use dizzy_engine::{
    Capability::{self, RowFence, StatementCas},
    DatabasePlan, Plan, StorePlan,
    Strategy::{self, Alternating, Rollover, Single},
};

use crate::{switches::Switch, world::WINDOW_MS};

/// What is searched.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) mix: String,
    pub(crate) plan: Plan,
    pub(crate) workers: usize,
    /// Highest generation to be issued; the first is 2.
    pub(crate) last: u8,
    /// One request per database may execute later, or never; an open transaction may lose its owner.
    pub(crate) delayed: bool,
    /// Stores may answer from before the last promotion.
    pub(crate) stale: bool,
    /// A database may refuse a generation for good.
    pub(crate) refusals: bool,
    /// ... a voting one only at its COMMIT.
    pub(crate) late_refusals: bool,
    /// Any one question of a batch may find nobody home, any change may be turned away.
    pub(crate) throttled: bool,
    /// A rollover window may expire during a rotation.
    pub(crate) expiry: bool,
    /// One request per store may execute later.
    pub(crate) late_stores: bool,
    /// A register write may execute later.
    pub(crate) late_register: bool,
    /// The changes of one batch execute in any order.
    pub(crate) any_order: bool,
    /// The questions of one batch are asked one after the other, with everything else in between.
    pub(crate) reads_apart: bool,
    /// A revoke may be asked for, once, whenever it can still be finished.
    pub(crate) revoke: bool,
    /// No crashes and no lost replies.
    pub(crate) calm: bool,
    /// Rules that are taken away.
    pub(crate) switches: Vec<Switch>,
}

impl Bounds {
    /// One worker with every fault, which is its own zombie through its delayed requests.
    pub(crate) fn one(mix: Mix) -> Self {
        Self {
            mix: mix.name(),
            plan: mix.plan(),
            workers: 1,
            last: 3,
            delayed: true,
            stale: true,
            refusals: false,
            late_refusals: false,
            throttled: true,
            expiry: false,
            late_stores: false,
            late_register: false,
            any_order: false,
            reads_apart: false,
            revoke: false,
            calm: false,
            switches: Vec::new(),
        }
    }

    /// Two workers, each of which may be a zombie at any place; crashes and lost replies, and nothing else.
    pub(crate) fn two(mix: Mix) -> Self {
        Self { workers: 2, delayed: false, stale: false, throttled: false, ..Self::one(mix) }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn has(&self, switch: Switch) -> bool {
        self.switches.contains(&switch)
    }

    /// The bounds in words.
    pub(crate) fn words(&self) -> String {
        let mut words = vec![match (self.workers, self.last - 1) {
            (1, n) => format!("1 worker, {n} new generations"),
            (w, n) => format!("{w} workers, {n} new generations"),
        }];
        let mut say = |is: bool, word: &str| {
            if is {
                words.push(word.to_owned());
            }
        };
        say(self.delayed, "delayed requests");
        say(self.late_stores, "late store writes");
        say(self.late_register, "late register writes");
        say(self.stale, "stale reads");
        say(self.throttled, "throttling");
        say(self.refusals && !self.late_refusals, "refusals");
        say(self.late_refusals, "refusals at COMMIT");
        say(self.expiry, "windows expire");
        say(self.plan.databases.iter().any(|d| d.ends_windows), "windows are ended");
        say(self.revoke, "a revoke");
        say(self.calm, "no crashes, no lost replies");
        say(self.any_order, "any order in a batch");
        say(self.reads_apart, "reads apart");
        words.join(", ")
    }
}

/// A strategy with a capability.
pub(crate) type Kind = (Strategy, Capability);

pub(crate) const ALT_E: Kind = (Alternating, RowFence);
pub(crate) const ALT_S: Kind = (Alternating, StatementCas);
pub(crate) const SINGLE_E: Kind = (Single, RowFence);
pub(crate) const SINGLE_S: Kind = (Single, StatementCas);
pub(crate) const ROLL: Kind = (Rollover, StatementCas);

/// Two databases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mix(pub(crate) Kind, pub(crate) Kind);

impl Mix {
    /// Every pair. There is at most one rollover in a set (rulings §2.2).
    pub(crate) fn all() -> Vec<Self> {
        let kinds = [ALT_E, ALT_S, SINGLE_E, SINGLE_S, ROLL];
        let mut all = Vec::new();
        for (i, a) in kinds.into_iter().enumerate() {
            for b in kinds.into_iter().skip(i).filter(|b| (a, *b) != (ROLL, ROLL)) {
                all.push(Self(a, b));
            }
        }
        all
    }

    pub(crate) fn name(self) -> String {
        let name = |kind| match kind {
            ALT_E => "alt_e",
            ALT_S => "alt_s",
            SINGLE_E => "single_e",
            SINGLE_S => "single_s",
            _ => "roll",
        };
        format!("{}+{}", name(self.0), name(self.1))
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        self.0 == kind || self.1 == kind
    }

    fn plan(self) -> Plan {
        let announce = [self.0, self.1].iter().any(|k| k.0 == Single);
        let databases = [self.0, self.1].map(|(strategy, capability)| DatabasePlan {
            window_ms: if strategy == Rollover { WINDOW_MS } else { 0 },
            ..DatabasePlan::new(strategy, capability)
        });
        // The second store is like OCI Vault: staging there always moves PENDING.
        Plan::new(databases.to_vec(), vec![StorePlan { announce }, StorePlan { announce: true }])
    }
}

/// The same plan with a procedure that ends an open window, so that a rotation need not wait for it.
pub(crate) fn ending_windows(plan: &Plan) -> Plan {
    let databases =
        plan.databases.iter().map(|d| DatabasePlan { ends_windows: d.strategy == Rollover, ..*d }).collect();
    Plan::new(databases, plan.stores.clone())
}
