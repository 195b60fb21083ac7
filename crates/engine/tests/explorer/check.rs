//! What must hold in every state: the invariants of the protocol's design, by name.

use dizzy_engine::{Finish, Phase, Strategy};

use crate::{
    bounds::Bounds,
    memo::Memo,
    switches::Switch,
    world::{NONE, World, bit, g, n},
};

pub(crate) const LOST: &str = "I1: a password is in no store";
pub(crate) const DEAD_AT_REST: &str = "I2: at rest, CURRENT does not log in";
pub(crate) const SPLIT: &str = "I2: at rest, a store is not on the register's generation";
pub(crate) const DEAD: &str = "I3: CURRENT does not log in";
pub(crate) const NO_LABEL: &str = "I4: no label logs in";
pub(crate) const UNRECORDED: &str = "K: a password is neither known nor possible";
pub(crate) const NO_REST: &str = "L: no good rest state in reach";
pub(crate) const BRICK: &str = "B: the next rotation cannot commit";
pub(crate) const RULE: &str = "N: the engine stopped itself by a named rule";
pub(crate) const REVOKED: &str = "R: a revoked password logs in";
pub(crate) const VERDICT: &str = "V: the verdict of a run is not true";

/// The invariants that a state breaks.
pub(crate) fn check(b: &Bounds, memo: &Memo<'_>, world: &World, broken: &mut Vec<&'static str>) {
    broken.clear();
    let mut breaks = |name| {
        if !broken.contains(&name) {
            broken.push(name);
        }
    };
    let r = memo.register(world.register);
    let stored = world.stores.iter().fold(0, |all, s| all | s.kept | bit(s.current) | bit(s.previous));
    let at_rest = r.phase == Phase::Idle && !world.has_workers();
    for d in 0..2 {
        let strategy = b.plan.databases[d].strategy;
        let database = &world.databases[d];
        let users = if strategy == Strategy::Alternating { 2 } else { 1 };
        if database.password.iter().take(users).any(|p| stored & bit(*p) == 0) {
            breaks(LOST);
        }
        let (target, candidates) = r.targets[d];
        if candidates & bit(database.password[target]) == 0 && !b.has(Switch::NoMark) {
            breaks(UNRECORDED);
        }
        if let Some(revoked) = r.register.revoked
            && (0..=n(revoked)).any(|g| world.publishes_well(b, d, g))
        {
            breaks(REVOKED);
        }
        for s in &world.stores {
            let ok = world.publishes_well(b, d, s.current);
            // A window that is over before its rotation is (bounds) takes the base with it: that is why it must be long enough.
            let outlived =
                b.expiry && strategy == Strategy::Rollover && database.first == NONE && r.phase != Phase::Idle;
            if strategy != Strategy::Single && !ok && !outlived {
                breaks(DEAD);
            }
            if !ok && !world.publishes_well(b, d, s.previous) {
                let announced = r.next == Some(s.pending) && world.publishes_well(b, d, s.pending);
                if !announced && !outlived {
                    breaks(NO_LABEL);
                }
            }
            if at_rest {
                if !ok {
                    breaks(DEAD_AT_REST);
                }
                if s.current != r.current && !b.has(Switch::BaseFromLabel) {
                    breaks(SPLIT);
                }
            }
        }
    }
}

/// What a run says at its end must be true, whatever others did meanwhile.
pub(crate) fn is_true(memo: &Memo<'_>, world: &World, finish: Finish) -> bool {
    let r = memo.register(world.register);
    match finish {
        Finish::Rotated(generation) => r.register.current >= generation,
        Finish::RolledBack(generation) => {
            r.register.current != generation && world.stores.iter().all(|s| g(s.current) != generation)
        }
        Finish::Revoked(generation) => r.register.is_revoked(generation),
        // Nobody else changes passwords here, so whatever is thought to be revoked is.
        Finish::NotRevoked => false,
        // Busy, NoRegister and Misfit cannot happen here; the others promise nothing about the world that outlasts others' work.
        Finish::Busy(_)
        | Finish::Drift
        | Finish::Draining(_)
        | Finish::Failed
        | Finish::Fenced
        | Finish::JournalLost
        | Finish::Misfit
        | Finish::NoRegister
        | Finish::NothingToDo
        | Finish::Stuck
        | Finish::Unfinished
        | Finish::WindowOpen(_) => true,
    }
}
