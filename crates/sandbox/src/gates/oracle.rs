//! The gate of the Oracle emulator: it asks at every point of a session, so no bytes need be read here.
//!
//! A call is named where it begins; what is to happen after it happens at the point that ends it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use dizzy_sandbox_oracle::{Effect, OracleEmulator, Planted, Point};

use super::{Deed, Gates, Refusal};

/// What a session asks for: its point, and the statement if it is one.
type Namer = Arc<dyn Fn(Point, Option<&str>) -> Option<String> + Send + Sync>;

/// Lets every session of the emulator pass these gates. `name` is asked at the points where a call begins (`Accept`, `BeforeLogin`,
/// `BeforeChange`, `BeforeStatement`).
pub fn watch_oracle(emulator: &OracleEmulator, gates: &Arc<Gates>, name: Namer) {
    let gates = Arc::clone(gates);
    // Deeds that wait for the end of their call, by user and point.
    let waiting: Mutex<BTreeMap<(String, Point), Deed>> = Mutex::default();
    emulator.watch(Arc::new(move |point, user, statement| {
        if gates.state().aside {
            return None;
        }
        let user = user.unwrap_or_default().to_owned();
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(deed) = waiting.remove(&(user.clone(), point)) {
            return Some(effect(&gates, deed));
        }
        let after = match point {
            Point::Accept => Point::Accept,
            Point::BeforeLogin => Point::AfterLogin,
            Point::BeforeChange => Point::AfterChange,
            Point::BeforeStatement => Point::AfterStatement,
            Point::Connect
            | Point::LoginStart
            | Point::AfterLogin
            | Point::AfterChange
            | Point::AfterStatement
            | Point::BeforeRoundTrip
            | Point::BeforeLogoff => return None,
        };
        let deed = gates.enter(&name(point, statement)?)?;
        if matches!(deed, Deed::CutAfter | Deed::HoldAfter) && point != Point::Accept {
            waiting.insert((user, after), deed);
            return None;
        }
        Some(effect(&gates, deed))
    }));
}

fn effect(gates: &Gates, deed: Deed) -> (Effect, Planted) {
    let planted = Planted::unplanted();
    let effect = match deed {
        Deed::Refuse(refusal) => Effect::Refuse(match refusal {
            // "immediate shutdown in progress", which a client may try again.
            Refusal::Broken | Refusal::Conflict | Refusal::Throttled => 1089,
            Refusal::Denied => 1031,
            Refusal::Policy => 28003,
        }),
        Deed::CutBefore | Deed::CutAfter | Deed::Old => Effect::Drop,
        Deed::HoldBefore | Deed::HoldAfter | Deed::Late => {
            gates.hold_oracle(planted.clone());
            if deed == Deed::Late { Effect::Late } else { Effect::Hold }
        }
    };
    (effect, planted)
}
