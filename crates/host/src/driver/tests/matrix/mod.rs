//! The fault matrix in memory: every point of a rotation, every kind of fault, every strategy; one fault, and two in turn.
//!
//! After every single call a judge of its own logs in with what is published (I3, I4) and looks whether any password is lost (I1).
//! After each cell the set must come to rest within three runs (I2), undone twice must be undone once, and the next rotation must
//! work. A cell whose fault did not fire fails; a cell that does not exist says why, and is not counted as passed.

mod cell;
mod doubles;
mod judge;
mod soak;
mod story;

use core::fmt;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use self::{
    cell::{Road, Spot, Way, spots},
    story::play,
};
use super::place::{MIXES, Members};
use crate::testkit::matrix::{Kind, Point, Table, Verdict};

/// The machine that counts has two.
const THREADS: usize = 2;
/// Failures that are told in full.
const TOLD: usize = 12;

/// One try: a fault at a call of a road.
struct Try {
    members: Members,
    road: Road,
    spot: Spot,
    way: Way,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<_> = self.members.iter().map(|m| format!("{} ({:?})", m.name, m.acceptance)).collect();
        write!(f, "{}, {:?}: {:?} at {}", members.join(" + "), self.road, self.way, self.spot)
    }
}

#[test]
fn a_fault_at_any_call_leaves_nothing_broken() {
    let tries: Vec<Try> = MIXES.into_iter().flat_map(singles).collect();
    let results = each(&tries, |t| block_on(play(t.members, t.road, &t.spot, t.way, None)));
    show_and_judge(&tries, &results);
}

fn show_and_judge(tries: &[Try], results: &[Verdict]) {
    let mut tables: BTreeMap<&str, Table> = BTreeMap::new();
    let mut failures = Vec::new();
    for (t, verdict) in tries.iter().zip(results) {
        let name = strategy(t.members);
        tables.entry(name).or_insert_with(|| Table::new(name)).count(t.spot.point, t.way.kind(), verdict);
        if let Verdict::Failed(why) = verdict {
            failures.push(format!("{t}\n  {why}"));
        }
    }
    for (name, table) in &mut tables {
        for (point, kind) in table.unaccounted() {
            table.count(point, kind, &Verdict::Absent(absence(name, point, kind)));
        }
        let (passed, absent) = table.cells();
        println!("{table}  {passed} of 162 cells passed in {} tries, {absent} do not exist\n", table.passed());
    }
    println!("{} tries", tries.len());
    report(&failures);
}

fn report(failures: &[String]) {
    let told =
        failures.iter().take(TOLD).map(|f| f.chars().take(900).collect::<String>()).collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failed, among them:\n{told}", failures.len());
}

/// Every try of one fault on one set.
fn singles(members: Members) -> Vec<Try> {
    let mut tries = Vec::new();
    for road in Road::ALL {
        for spot in block_on(spots(members, road)) {
            for way in Way::ALL {
                tries.push(Try { members, road, spot: spot.clone(), way });
            }
        }
    }
    tries
}

/// Why no rotation of these sets comes to a point at all.
fn absence(strategy: &str, point: Point, kind: Kind) -> &'static str {
    if let Some(why) = kind.absent_at(point) {
        return why;
    }
    match (point, strategy) {
        (Point::Wallet, _) => {
            "wallets are read when a set is opened, before the driver runs: see the matrix of the program"
        }
        (Point::ApplyFenced, "rollover") => "no database of these sets has a fence",
        (Point::Undo, "alternating") => "an idle user is published nowhere: there is nothing to put back",
        (Point::Burn, "alternating" | "rollover") => "only a single user with a fence is burnt",
        _ => "",
    }
}

fn strategy(members: Members) -> &'static str {
    match members {
        all if all.iter().all(|m| m.is_single()) => "single",
        all if all.iter().all(|m| m.is_rollover()) => "rollover",
        all if all.iter().all(|m| !m.is_single() && !m.is_rollover()) => "alternating",
        _ => "mixed",
    }
}

/// A world with a clock of its own.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Does the same with each, on as many threads as the machine has cores; results in order.
fn each<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((at, one)) =
                    Some(next.fetch_add(1, Ordering::SeqCst)).and_then(|at| Some((at, all.get(at)?)))
                {
                    let result = work(one);
                    results.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}
