//! The cells: generated from the calls of a rotation in which nothing goes wrong, never picked by hand; and the part of them that every
//! test run tries.

use core::fmt;

use dizzy_host::testkit::matrix::{Kind, Point};
use dizzy_sandbox::gates::{Deed, Plan, Refusal};

use super::{
    names::{ages, changes, point_of, swaps},
    world::Strategy,
};

/// Which way a rotation goes when nothing else goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Road {
    /// To its end.
    Forward,
    /// Back: a database refuses its change for good, as late as that can be.
    Refused,
    /// Back, by another worker: the first one dies after Oracle's change, and when nothing of it can act any more, no database lets
    /// its successor in.
    Late,
}

impl Road {
    /// What goes wrong on this road besides the cell's own fault.
    pub(crate) fn standing(self, strategy: Strategy) -> Option<Plan> {
        match (self, strategy) {
            (Self::Forward, _) => None,
            (Self::Refused, Strategy::Single) => Some(refused(|name| is_of(name, Point::ApplyFenced, "commit"))),
            (Self::Refused, Strategy::Alternating | Strategy::Rollover) => {
                Some(refused(|name| is_of(name, Point::ApplyUnfenced, "change")))
            }
            (Self::Late, _) => Some(Plan::next(Deed::Refuse(Refusal::Denied), goes_forward).stays()),
        }
    }

    /// What the worker is asked for that meets the cell's fault.
    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::Forward | Self::Refused => "rotate",
            Self::Late => "recover",
        }
    }
}

fn refused(fits: impl Fn(&str) -> bool + Send + Sync + 'static) -> Plan {
    Plan::next(Deed::Refuse(Refusal::Policy), fits).stays()
}

pub(crate) fn is_of(name: &str, point: Point, what: &str) -> bool {
    point_of(name) == point && name.split(", ").nth(1) == Some(what)
}

/// Changes of databases, and logins that show what works, before the decision and before it is given up.
pub(crate) fn goes_forward(name: &str) -> bool {
    let is_open = !name.ends_with(", undoing") && !name.ends_with(", decided");
    is_open && matches!(point_of(name), Point::ApplyFenced | Point::ApplyUnfenced | Point::Check)
}

/// Changes of databases before the decision.
pub(crate) fn changes_forward(name: &str) -> bool {
    goes_forward(name) && point_of(name) != Point::Check
}

/// How exactly a kind of fault comes about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// An error that says that nothing has happened.
    Told,
    /// The connection ends before anything has happened.
    Cut,
    /// It has happened; the connection ends.
    Lost,
    /// It happens once the generation has been given up.
    AfterAbort,
    /// It happens once the set has rotated again.
    AfterNext,
    /// SIGKILL before it.
    DeadBefore,
    /// SIGKILL after it.
    DeadAfter,
    /// SIGSTOP before it; another worker finishes; SIGCONT.
    AsleepBefore,
    /// SIGSTOP after it; another worker finishes; SIGCONT.
    AsleepAfter,
    /// The same, and the other worker rotates once more.
    OutrunBefore,
    /// The same, after it.
    OutrunAfter,
    /// The compare-and-swap fails.
    Swapped,
    /// Not now.
    Throttled,
    /// Never.
    Denied,
    /// The next read is old.
    Old,
    /// The successor of a killed worker meets an error there.
    DeadThenTold,
    /// The successor's reply is lost there.
    DeadThenLost,
    /// The successor is killed there, too.
    DeadThenDead,
}

impl Way {
    /// Every way; those of one kind one after the other.
    pub(crate) const ALL: [Self; 18] = [
        Self::Told,
        Self::Cut,
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
        Self::DeadThenDead,
    ];

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Told | Self::Cut => Kind::Error,
            Self::Lost => Kind::ReplyLost,
            Self::AfterAbort | Self::AfterNext => Kind::Delayed,
            Self::DeadBefore | Self::DeadAfter => Kind::Crash,
            Self::AsleepBefore | Self::AsleepAfter | Self::OutrunBefore | Self::OutrunAfter => Kind::Pause,
            Self::Swapped | Self::Throttled => Kind::Conflict,
            Self::Denied => Kind::Refusal,
            Self::Old => Kind::Stale,
            Self::DeadThenTold | Self::DeadThenLost | Self::DeadThenDead => Kind::Twice,
        }
    }

    pub(crate) const fn deed(self) -> Deed {
        match self {
            Self::Told => Deed::Refuse(Refusal::Broken),
            Self::Cut => Deed::CutBefore,
            Self::Lost => Deed::CutAfter,
            Self::AfterAbort | Self::AfterNext => Deed::Late,
            Self::DeadBefore
            | Self::AsleepBefore
            | Self::OutrunBefore
            | Self::DeadThenTold
            | Self::DeadThenLost
            | Self::DeadThenDead => Deed::HoldBefore,
            Self::DeadAfter | Self::AsleepAfter | Self::OutrunAfter => Deed::HoldAfter,
            Self::Swapped => Deed::Refuse(Refusal::Conflict),
            Self::Throttled => Deed::Refuse(Refusal::Throttled),
            Self::Denied => Deed::Refuse(Refusal::Denied),
            Self::Old => Deed::Old,
        }
    }

    /// What the successor of a killed worker meets at the same point.
    pub(crate) const fn second(self) -> Option<Deed> {
        match self {
            Self::DeadThenTold => Some(Deed::Refuse(Refusal::Broken)),
            Self::DeadThenLost => Some(Deed::CutAfter),
            Self::DeadThenDead => Some(Deed::HoldAfter),
            _ => None,
        }
    }

    pub(crate) const fn kills(self) -> bool {
        matches!(self.kind(), Kind::Crash | Kind::Twice)
    }

    /// Why this call cannot meet this; `None` where it can.
    pub(crate) fn absent_at(self, spot: &Spot) -> Option<&'static str> {
        if let Some(why) = self.kind().absent_at(spot.point) {
            return Some(why);
        }
        if self == Self::AfterAbort && spot.is_decided {
            return Some("after the decision nothing is given up");
        }
        let needs_effect = matches!(self, Self::Lost | Self::AfterAbort | Self::AfterNext | Self::DeadThenLost);
        if needs_effect && !changes(&spot.name) {
            return Some("a question has no effect");
        }
        if self == Self::Swapped && !swaps(&spot.name) {
            return Some("nothing is swapped there");
        }
        (self == Self::Old && !ages(&spot.name)).then_some("nothing is read there that could be old")
    }
}

/// One call of a rotation.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) point: Point,
    pub(crate) name: String,
    /// How many calls of this name were before it.
    pub(crate) nth: u32,
    /// Whether the decision was behind it.
    pub(crate) is_decided: bool,
}

impl Spot {
    /// A plan that meets this call.
    pub(crate) fn plan(&self, deed: Deed) -> Plan {
        let name = self.name.clone();
        Plan::next(deed, move |other| other == name).after(self.nth)
    }

    /// A plan that meets the first call at the same point, wherever it is that time.
    pub(crate) fn plan_again(&self, deed: Deed) -> Plan {
        let point = self.point;
        let needs_effect = deed == Deed::CutAfter;
        Plan::next(deed, move |other| point_of(other) == point && (!needs_effect || changes(other))).follows()
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (number {})", self.name, self.nth)
    }
}

/// Reads of a secret's labels that every run makes in each of its phases.
const SURE_READS: u32 = 2;

/// The calls that were recorded. Roads that lead back begin where they part from the one that leads forward.
pub(crate) fn spots(names: &[String], road: Road) -> Vec<Spot> {
    let spot = |(at, name): (usize, &String)| Spot {
        point: point_of(name),
        name: name.clone(),
        nth: u32::try_from(names[..at].iter().filter(|earlier| *earlier == name).count()).unwrap(),
        is_decided: names[..at].iter().any(|earlier| point_of(earlier) == Point::Commit),
    };
    // While Vault settles its labels are read again and again, more often on a slower machine: only the first reads are places.
    let comes_again = |spot: &Spot| spot.nth < SURE_READS || !spot.name.contains("labels");
    let spots: Vec<Spot> = names.iter().enumerate().map(spot).filter(comes_again).collect();
    let parting = if road == Road::Forward { Some(0) } else { spots.iter().position(|s| s.point == Point::Abort) };
    parting.map(|at| spots[at..].to_vec()).unwrap_or_default()
}

/// Every cell of these calls.
pub(crate) fn all(spots: &[Spot]) -> Vec<(Spot, Way)> {
    spots.iter().flat_map(|spot| Way::ALL.map(|way| (spot.clone(), way))).collect()
}

/// The part that every test run tries: each point once, each with the next kind of a round, so that a road with nine points has every
/// kind. Which call of a point and which way of a kind it is goes round as well, from a start that differs by strategy and road.
#[derive(Debug)]
pub(crate) struct Round {
    start: usize,
    turn: usize,
    waiting: Vec<Kind>,
}

impl Round {
    pub(crate) fn new(start: usize) -> Self {
        let mut waiting = Kind::ALL.to_vec();
        waiting.rotate_left(start % Kind::ALL.len());
        Self { start, turn: 0, waiting }
    }

    /// The cell of this point, if the road comes there.
    pub(crate) fn pick(&mut self, spots: &[Spot], point: Point) -> Option<(Spot, Way)> {
        self.turn += 1;
        let here: Vec<&Spot> = spots.iter().filter(|spot| spot.point == point).collect();
        let tries = self.waiting.iter().map(|kind| {
            let ways = || Way::ALL.into_iter().filter(|way| way.kind() == *kind);
            let all = here.iter().flat_map(|spot| ways().map(move |way| (*spot, way)));
            all.filter(|(spot, way)| way.absent_at(spot).is_none()).collect::<Vec<_>>()
        });
        let tries = tries.into_iter().find(|tries| !tries.is_empty())?;
        let (spot, way) = tries[(self.turn * 7 + self.start * 3) % tries.len()];
        // Whoever had its turn waits until all others had theirs.
        self.waiting.retain(|kind| *kind != way.kind());
        self.waiting.push(way.kind());
        Some((spot.clone(), way))
    }

    /// This kind turned out not to exist where it had its turn: it has the next one.
    pub(crate) fn again(&mut self, kind: Kind) {
        self.waiting.retain(|other| *other != kind);
        self.waiting.insert(0, kind);
    }
}
