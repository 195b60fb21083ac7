//! Whether a database, as it was found, fits what is configured for it: the rules that decide before anything is begun.
//!
//! They are the same for a rotation, which stops at the first, and for `check`, which tells them. A revoke bears more.

use core::time::Duration;

use dizzy_engine::Strategy;

use super::{NOT_UNDOABLE, Undo};
use crate::{
    config::{Database, RotationSet, Rule},
    port::{Inspection, Kind, Mend, PortError},
};

/// Why a rotation must not begin on this database; `None` if it may.
#[must_use]
pub fn objection(set: &RotationSet, database: &Database, undo: Undo, inspection: &Inspection) -> Option<PortError> {
    let strategy = strategy(set, database, inspection);
    // A leaked password is worse than a rotation that can only go forward, and than one that comes early.
    if undo == Undo::Revoking {
        return strategy;
    }
    strategy.or_else(|| way_back(database, undo, inspection)).or_else(|| age(set, database, inspection))
}

/// Gradual rollover is what `rollover` rests on, and what makes a `single` user's old password go on working.
fn strategy(set: &RotationSet, database: &Database, inspection: &Inspection) -> Option<PortError> {
    let user = database.users.first().map_or("", String::as_str);
    let (what, hint) = match (database.strategy, inspection.rollover) {
        (Strategy::Alternating, _) | (Strategy::Single, None) | (Strategy::Rollover, Some(_)) => return None,
        (Strategy::Single, Some(_)) => (
            format!("{user} has gradual password rollover, so its old password goes on working after a change"),
            "use strategy = \"rollover\", or give the user a profile with PASSWORD_ROLLOVER_TIME 0",
        ),
        (Strategy::Rollover, None) => (
            format!("{user} has no gradual password rollover"),
            "give the user a profile with PASSWORD_ROLLOVER_TIME, for example 1 (day), or use another strategy",
        ),
    };
    let error = PortError::refused(Kind::Denied, what).with_hint(hint);
    if database.strategy == Strategy::Rollover {
        return Some(error);
    }
    let header = format!("[sets.{}.databases.{}]", set.name, database.name);
    Some(error.with_mend(Mend::Setting(format!("{header}\nstrategy = \"rollover\""))))
}

/// What could not be taken back is begun only if that was accepted.
fn way_back(database: &Database, undo: Undo, inspection: &Inspection) -> Option<PortError> {
    let (Strategy::Single, Undo::Required, Some(reason)) = (database.strategy, undo, &inspection.cannot_restore) else {
        return None;
    };
    let what = format!("a rotation that fails could not be taken back: {reason}");
    let hint =
        "use two users (alternating) or rollover, or accept a rotation that can only go forward: `--forward-only`";
    Some(PortError::refused(Kind::Policy, what).with_code(NOT_UNDOABLE).with_hint(hint))
}

/// With two users that take turns, a password is in use for two intervals before it changes (rulings §4.3).
fn age(set: &RotationSet, database: &Database, inspection: &Inspection) -> Option<PortError> {
    let (Strategy::Alternating, Some(life), Rule::Every(every)) =
        (database.strategy, inspection.password_life, &set.schedule.rule)
    else {
        return None;
    };
    let age = every.saturating_mul(2);
    if age <= life {
        return None;
    }
    let days = |length: Duration| length.as_secs() / 86_400;
    let what = format!(
        "with two users each password is {} days old before it changes, and the server lets it live for {}",
        days(age),
        days(life)
    );
    let hint = "make `every` at most half of the profile's PASSWORD_LIFE_TIME";
    let error = PortError::refused(Kind::Policy, what).with_hint(hint);
    let half_h = life.as_secs() / 2 / 3600;
    if half_h == 0 {
        return Some(error);
    }
    let half = if half_h % 24 == 0 { format!("{}d", half_h / 24) } else { format!("{half_h}h") };
    Some(error.with_mend(Mend::Setting(format!("[sets.{}]\nevery = \"{half}\"", set.name))))
}
