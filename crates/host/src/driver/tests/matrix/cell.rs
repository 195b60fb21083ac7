//! The cells: generated from the calls that a rotation makes when nothing goes wrong, never picked by hand.

use core::fmt;

use dizzy_engine::{Capability, Goal};

use super::super::place::{Member, Members, Place};
use crate::{
    port,
    testkit::{
        Fault, Faults, Form,
        matrix::{Kind, Point},
    },
};

/// Which way a rotation goes when nothing else goes wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Road {
    /// To its end.
    Forward,
    /// Back: a database refuses its change for good, as late as that can be.
    Refused,
    /// Back, by another worker: the first one dies after the last change, and when nothing of it can act any more, no database
    /// answers its successor.
    Late,
}

impl Road {
    pub(super) const ALL: [Self; 3] = [Self::Forward, Self::Refused, Self::Late];

    /// What goes wrong on this road besides the cell's own fault.
    pub(super) fn standing(self, members: Members) -> Option<Fault> {
        match self {
            Self::Forward => None,
            Self::Refused => Some(Fault::every(&last_change(members), Form::Refused).with_kind(port::Kind::Policy)),
            Self::Late => Some(Fault::forward(Form::Refused).with_kind(port::Kind::Denied)),
        }
    }

    /// What the run is for in which the cell's fault is met.
    pub(super) const fn goal(self) -> Goal {
        match self {
            Self::Forward | Self::Refused => Goal::Rotate,
            Self::Late => Goal::Recover,
        }
    }
}

/// The call that is refused so that as much as possible must be undone: the last COMMIT; where a rollover is changed before it, the
/// rollover's change, which cannot be taken back at once.
pub(super) fn last_change(members: Members) -> String {
    let commits = |m: &&Member| m.is_single() && m.capability == Capability::RowFence;
    let rollover = members.iter().find(|m| m.is_rollover());
    let committing = members.iter().rfind(commits);
    let unfenced = members.iter().filter(|m| m.is_single()).chain(members).next();
    match (rollover, committing, unfenced) {
        (Some(member), _, _) | (None, None, Some(member)) => {
            let last = if member.is_single() || member.is_rollover() { member } else { members.last().unwrap() };
            format!("database.apply:{}", last.name)
        }
        (None, Some(member), _) => format!("database.commit:{}", member.name),
        (None, None, None) => unreachable!("a set has databases"),
    }
}

/// How exactly a kind of fault comes about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Way {
    /// An error that says that nothing has happened.
    Told,
    /// An error that does not say.
    Untold,
    /// It has happened; no reply.
    Lost,
    /// It happens once the generation has been given up.
    AfterAbort,
    /// It happens once the set has rotated again.
    AfterNext,
    /// Dead before.
    DeadBefore,
    /// Dead after.
    DeadAfter,
    /// Asleep before; another worker finishes.
    AsleepBefore,
    /// Asleep after; another worker finishes.
    AsleepAfter,
    /// Asleep before; another worker finishes and rotates once more.
    OutrunBefore,
    /// Asleep after; another worker finishes and rotates once more.
    OutrunAfter,
    /// The compare-and-swap fails.
    Swapped,
    /// Not now.
    Throttled,
    /// Never.
    Denied,
    /// The next read is old.
    Old,
    /// The successor of a dead worker is refused there, too.
    DeadThenTold,
    /// The successor's reply is lost there.
    DeadThenLost,
    /// The successor dies there, before.
    DeadThenDeadBefore,
    /// The successor dies there, after.
    DeadThenDeadAfter,
}

impl Way {
    pub(super) const ALL: [Self; 19] = [
        Self::Told,
        Self::Untold,
        Self::Lost,
        Self::AfterAbort,
        Self::AfterNext,
        Self::DeadBefore,
        Self::DeadAfter,
        Self::AsleepBefore,
        Self::AsleepAfter,
        Self::OutrunBefore,
        Self::OutrunAfter,
        Self::Swapped,
        Self::Throttled,
        Self::Denied,
        Self::Old,
        Self::DeadThenTold,
        Self::DeadThenLost,
        Self::DeadThenDeadBefore,
        Self::DeadThenDeadAfter,
    ];

    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Told | Self::Untold => Kind::Error,
            Self::Lost => Kind::ReplyLost,
            Self::AfterAbort | Self::AfterNext => Kind::Delayed,
            Self::DeadBefore | Self::DeadAfter => Kind::Crash,
            Self::AsleepBefore | Self::AsleepAfter | Self::OutrunBefore | Self::OutrunAfter => Kind::Pause,
            Self::Swapped | Self::Throttled => Kind::Conflict,
            Self::Denied => Kind::Refusal,
            Self::Old => Kind::Stale,
            Self::DeadThenTold | Self::DeadThenLost | Self::DeadThenDeadBefore | Self::DeadThenDeadAfter => Kind::Twice,
        }
    }

    /// The faults, in turn, at the `nth` call of a point.
    pub(super) fn faults(self, point: Point, nth: usize) -> Vec<Fault> {
        let at = |form| Fault::nth_at(point, nth, form);
        let again = |form| vec![at(Form::CrashBefore), Fault::nth_at(point, 0, form)];
        match self {
            Self::Told => vec![at(Form::Refused).with_kind(port::Kind::Unreachable)],
            Self::Untold => vec![at(Form::LostBefore)],
            Self::Lost => vec![at(Form::ReplyLost)],
            Self::AfterAbort | Self::AfterNext => vec![at(Form::Delayed)],
            Self::DeadBefore => vec![at(Form::CrashBefore)],
            Self::DeadAfter => vec![at(Form::CrashAfter)],
            Self::AsleepBefore | Self::OutrunBefore => vec![at(Form::HoldBefore)],
            Self::AsleepAfter | Self::OutrunAfter => vec![at(Form::HoldAfter)],
            Self::Swapped => vec![at(Form::Refused).with_kind(port::Kind::Conflict)],
            Self::Throttled => vec![at(Form::Refused).with_kind(port::Kind::Throttled)],
            Self::Denied => vec![Fault::from_at(point, nth, Form::Refused).with_kind(port::Kind::Denied)],
            Self::Old => vec![at(Form::Stale)],
            Self::DeadThenTold => again(Form::Refused),
            Self::DeadThenLost => again(Form::ReplyLost),
            Self::DeadThenDeadBefore => again(Form::CrashBefore),
            Self::DeadThenDeadAfter => again(Form::CrashAfter),
        }
    }

    /// Why this call cannot meet this; `None` where it can.
    pub(super) fn absent_at(self, spot: &Spot) -> Option<&'static str> {
        if let Some(why) = self.kind().absent_at(spot.point) {
            return Some(why);
        }
        let verb = spot.call.split(':').next().unwrap_or_default();
        let changes = !matches!(
            verb,
            "journal.read"
                | "store.current"
                | "store.read"
                | "store.labels"
                | "store.room"
                | "database.login"
                | "database.inspect"
                | "database.sessions"
                | "database.vote"
                | "objects.get"
                | "objects.list"
                | "objects.versions"
        );
        let swaps = matches!(verb, "journal.write" | "objects.create" | "store.promote" | "store.move_pending");
        let ages = verb.starts_with("journal.") || (verb.starts_with("store.") && verb != "store.room");
        if self == Self::AfterAbort && spot.is_decided {
            return Some("after the decision nothing is given up");
        }
        if matches!(self, Self::Lost | Self::AfterAbort | Self::AfterNext) && !changes {
            return Some("a question has no effect");
        }
        if self == Self::Swapped && !swaps {
            return Some("nothing is swapped there");
        }
        (self == Self::Old && !ages).then_some("nothing is read there that could be old")
    }
}

/// One call of a rotation.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) point: Point,
    /// How many calls at this point were before it.
    pub(super) nth: usize,
    pub(super) call: String,
    /// Whether the decision was behind it.
    pub(super) is_decided: bool,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} number {} ({})", self.point, self.nth, self.call)
    }
}

/// The calls of a rotation on this road. Roads that lead back begin where they part from the one that leads forward.
pub(super) async fn spots(members: Members, road: Road) -> Vec<Spot> {
    let place = on_the_road(members, road).await;
    let faults = Faults::plan(road.standing(members));
    place.run(road.goal(), &faults).await;
    let spots = spots_of(&faults);
    let parting = if road == Road::Forward { Some(0) } else { spots.iter().position(|s| s.point == Point::Abort) };
    parting.map(|at| spots[at..].to_vec()).unwrap_or_default()
}

/// The calls so far.
pub(super) fn spots_of(faults: &Faults) -> Vec<Spot> {
    let points = faults.points();
    let is_decided = |at: usize| points[..at].contains(&Point::Commit);
    let spot = |(at, (&point, call)): (usize, (&Point, String))| Spot {
        point,
        nth: points[..at].iter().filter(|earlier| **earlier == point).count(),
        call,
        is_decided: is_decided(at),
    };
    points.iter().zip(faults.calls()).enumerate().map(spot).collect()
}

/// The place where the road begins, and what has been done to it.
pub(super) async fn on_the_road(members: Members, road: Road) -> Place {
    let place = Place::before_the_fault(members).await;
    if road != Road::Late {
        return place;
    }
    let last = members.iter().find(|m| m.is_rollover()).or(members.last()).unwrap();
    let verb = if last.is_single() && last.capability == Capability::RowFence { "commit" } else { "apply" };
    let crash = Faults::plan([Fault::nth_of(&format!("database.{verb}:{}", last.name), 0, Form::CrashAfter)]);
    place.run(Goal::Rotate, &crash).await;
    assert_eq!(crash.hits(), 1, "the first worker dies");
    tokio::time::advance(core::time::Duration::from_secs(21 * 60)).await;
    place
}
