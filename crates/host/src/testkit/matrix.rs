//! The fault matrix: the points of a rotation at which something can go wrong, the kinds of what goes wrong, which of them meet,
//! and the table that is printed of it.
//!
//! The same rows and columns serve the driver's matrix in memory and the one that runs the real program against real servers.
//! How a kind is brought about is the business of each.

use core::fmt::{self, Write as _};
use std::collections::BTreeMap;

/// Where in a rotation, as port calls are concerned.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Point {
    /// Reading the register, taking the set, renewing the lease, counting wrong logins.
    Lease,
    /// Recording a generation, and each change before it is sent.
    Intent,
    /// Putting a version into a store.
    Put,
    /// Looking at PENDING, and moving it.
    Pending,
    /// Reading a store before the decision.
    ReadBack,
    /// A change of a fenced database: by itself, as an open transaction, its COMMIT.
    ApplyFenced,
    /// A change of a database that checks nothing but the old password; the end of a rollover window.
    ApplyUnfenced,
    /// A login that shows which generation works.
    Check,
    /// Recording the decision.
    Commit,
    /// CURRENT in AWS: moving it, and looking at it after the decision.
    PromoteAws,
    /// CURRENT in OCI: moving it, and looking at it after the decision.
    PromoteOci,
    /// Dropping old names, and recording that the set is at rest.
    Finish,
    /// Recording that the generation is given up.
    Abort,
    /// Putting the base back.
    Undo,
    /// Raising the fence.
    Burn,
    /// Writing an audit event.
    Audit,
    /// Reading the wallet.
    Wallet,
    /// The first session with a database: TLS, and the look around.
    Session,
}

impl Point {
    /// Every point, in the order of a rotation.
    pub const ALL: [Self; 18] = [
        Self::Lease,
        Self::Intent,
        Self::Put,
        Self::Pending,
        Self::ReadBack,
        Self::ApplyFenced,
        Self::ApplyUnfenced,
        Self::Check,
        Self::Commit,
        Self::PromoteAws,
        Self::PromoteOci,
        Self::Finish,
        Self::Abort,
        Self::Undo,
        Self::Burn,
        Self::Audit,
        Self::Wallet,
        Self::Session,
    ];

    /// What is asked for there.
    #[must_use]
    pub const fn of(self) -> Place {
        match self {
            Self::Lease | Self::Intent | Self::Commit | Self::Finish | Self::Abort => Place::Journal,
            Self::Put | Self::Pending | Self::ReadBack | Self::PromoteAws | Self::PromoteOci => Place::Store,
            Self::ApplyFenced | Self::ApplyUnfenced | Self::Check | Self::Undo | Self::Burn => Place::Database,
            Self::Audit => Place::Audit,
            Self::Wallet | Self::Session => Place::Setup,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lease => "P1 lease",
            Self::Intent => "P2 intent",
            Self::Put => "P3 put version",
            Self::Pending => "P4 move PENDING",
            Self::ReadBack => "P5 read back",
            Self::ApplyFenced => "P6 apply PostgreSQL",
            Self::ApplyUnfenced => "P7 apply Oracle",
            Self::Check => "P8 check",
            Self::Commit => "P9 commit record",
            Self::PromoteAws => "P10 promote AWS",
            Self::PromoteOci => "P11 promote OCI",
            Self::Finish => "P12 finish",
            Self::Abort => "P13 abort record",
            Self::Undo => "P14 undo",
            Self::Burn => "P15 burn",
            Self::Audit => "P16 audit write",
            Self::Wallet => "P17 wallet fetch",
            Self::Session => "P18 session set-up",
        })
    }
}

/// Who answers at a point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The audit trail.
    Audit,
    /// A database.
    Database,
    /// The register.
    Journal,
    /// What is needed before the first question can be asked.
    Setup,
    /// A store.
    Store,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// An error, and nothing has happened.
    Error,
    /// It has happened, and the reply is lost.
    ReplyLost,
    /// It happens later: after the abort, or after the next rotation.
    Delayed,
    /// The worker dies, before or after.
    Crash,
    /// The worker stands still past its lease, another one finishes, and it goes on.
    Pause,
    /// A conflict or a throttle: 409, 412, 429, 503.
    Conflict,
    /// Refused for good: a rule, a right.
    Refusal,
    /// The next read shows what was before.
    Stale,
    /// The worker dies, and its successor meets a fault at the same point.
    Twice,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Error,
        Self::ReplyLost,
        Self::Delayed,
        Self::Crash,
        Self::Pause,
        Self::Conflict,
        Self::Refusal,
        Self::Stale,
        Self::Twice,
    ];

    /// Why this kind does not exist at a point; `None` where it does.
    #[must_use]
    pub const fn absent_at(self, point: Point) -> Option<&'static str> {
        match (self, point.of()) {
            (Self::ReplyLost | Self::Delayed, Place::Setup) => {
                Some("setting up has no effect that could be lost or late")
            }
            (Self::Conflict, Place::Database) => Some("a database neither throttles a change nor swaps a label"),
            (Self::Conflict, Place::Setup) => Some("nothing is swapped while setting up"),
            (Self::Stale, Place::Database) => Some("a login asks the server itself: its answer is never old"),
            (Self::Stale, Place::Audit) => Some("the trail is not read in a rotation"),
            (Self::Stale, Place::Setup) => Some("what is set up is not a label that moves"),
            (
                Self::Error
                | Self::ReplyLost
                | Self::Delayed
                | Self::Crash
                | Self::Pause
                | Self::Conflict
                | Self::Refusal
                | Self::Stale
                | Self::Twice,
                Place::Audit | Place::Database | Place::Journal | Place::Setup | Place::Store,
            ) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::ReplyLost => "reply lost",
            Self::Delayed => "delayed",
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::Conflict => "conflict",
            Self::Refusal => "refusal",
            Self::Stale => "stale read",
            Self::Twice => "twice",
        })
    }
}

/// What came of one try of a cell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The fault fired, and everything that must hold held.
    Passed,
    /// The cell does not exist here, for this reason. Not a success.
    Absent(&'static str),
    /// The fault did not fire, or something did not hold.
    Failed(String),
}

/// Counts the cells of one strategy.
#[derive(Clone, Debug, Default)]
pub struct Table {
    title: String,
    cells: BTreeMap<(Point, Kind), Tally>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
    absent: BTreeMap<&'static str, u32>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), cells: BTreeMap::new() }
    }

    /// Counts one try.
    pub fn count(&mut self, point: Point, kind: Kind, verdict: &Verdict) {
        let tally = self.cells.entry((point, kind)).or_default();
        match verdict {
            Verdict::Passed => tally.passed += 1,
            Verdict::Absent(why) => *tally.absent.entry(why).or_default() += 1,
            Verdict::Failed(_) => tally.failed += 1,
        }
    }

    /// Tries that passed.
    #[must_use]
    pub fn passed(&self) -> u32 {
        self.cells.values().map(|tally| tally.passed).sum()
    }

    /// Cells that were tried with success at least once, and cells that do not exist.
    #[must_use]
    pub fn cells(&self) -> (usize, usize) {
        let passed = self.cells.values().filter(|tally| tally.passed > 0 && tally.failed == 0).count();
        let absent = self.cells.values().filter(|tally| tally.passed == 0 && tally.failed == 0).count();
        (passed, absent)
    }

    /// The cells that have neither passed nor given a reason.
    #[must_use]
    pub fn unaccounted(&self) -> Vec<(Point, Kind)> {
        let all = Point::ALL.into_iter().flat_map(|point| Kind::ALL.map(|kind| (point, kind)));
        all.filter(|cell| !self.cells.contains_key(cell)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        write!(f, "{:20}", "")?;
        for kind in Kind::ALL {
            write!(f, "{kind:>11}")?;
        }
        writeln!(f)?;
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        for point in Point::ALL {
            write!(f, "{point:20}")?;
            for kind in Kind::ALL {
                let tally = self.cells.get(&(point, kind)).cloned().unwrap_or_default();
                let mut text = String::new();
                if tally.failed > 0 {
                    write!(text, "{} FAILED", tally.failed)?;
                } else if tally.passed > 0 {
                    write!(text, "{}", tally.passed)?;
                } else if let Some((why, _)) = tally.absent.iter().max_by_key(|(_, count)| **count) {
                    let number = reasons.len() + 1;
                    write!(text, "-{}", reasons.entry(why).or_insert(number))?;
                } else {
                    text.push('?');
                }
                write!(f, "{text:>11}")?;
            }
            writeln!(f)?;
        }
        let mut by_number: Vec<_> = reasons.into_iter().collect();
        by_number.sort_by_key(|(_, number)| *number);
        for (why, number) in by_number {
            writeln!(f, "  -{number}: {why}")?;
        }
        Ok(())
    }
}
