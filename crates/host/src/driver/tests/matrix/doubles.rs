//! Two faults in turn: the second one hits the first call of its point that comes after the first fault, in whichever run that is.
//!
//! The first fault is met at the first call of each point, in one way per kind; the second at every point that is seen after it, in
//! one way per kind. `make matrix` tries all ordered pairs. A test run tries one kind at each point of each set, and after it one kind
//! at every second point that is seen; which ones goes round.

use core::fmt;
use std::collections::BTreeMap;

use super::{
    super::place::{MIXES, Members},
    Try, block_on,
    cell::{Road, Spot, Way, spots},
    each, report,
    story::{play, points_after},
};
use crate::testkit::matrix::{Kind, Point, Verdict};

/// One way per kind. What is a pair by itself is among the single tries.
const WAYS: [Way; 9] = [
    Way::Told,
    Way::Lost,
    Way::AfterNext,
    Way::DeadBefore,
    Way::DeadAfter,
    Way::AsleepBefore,
    Way::Throttled,
    Way::Denied,
    Way::Old,
];

/// A test run tries the second fault at every so-manieth point.
const STRIDE: usize = 2;

/// With this in the environment all pairs are tried.
const ALL_PAIRS: &str = "DIZZY_MATRIX";

/// One try of two faults.
struct Pair {
    first: Try,
    spot: Spot,
    way: Way,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; then {:?} at {}", self.first, self.way, self.spot.point)
    }
}

#[test]
fn two_faults_in_turn_leave_nothing_broken() {
    let all = is_asked_for_all();
    let firsts: Vec<Try> = MIXES.into_iter().flat_map(|members| firsts(members, all)).collect();
    let seconds = each(&firsts, |t| block_on(points_after(t.members, t.road, &t.spot, t.way)));
    let mut pairs = Vec::new();
    let mut turn = 0;
    for (first, points) in firsts.iter().zip(&seconds) {
        for spot in points {
            let ways: Vec<Way> = WAYS.into_iter().filter(|way| way.absent_at(spot).is_none()).collect();
            turn += 1;
            for (at, way) in ways.iter().enumerate() {
                if all || (turn % STRIDE == 0 && turn / STRIDE % ways.len() == at) {
                    let Try { members, road, spot: ref before, way: earlier } = *first;
                    let first = Try { members, road, spot: before.clone(), way: earlier };
                    pairs.push(Pair { first, spot: spot.clone(), way: *way });
                }
            }
        }
    }
    let results = each(&pairs, |p| {
        let first = &p.first;
        block_on(play(first.members, first.road, &first.spot, first.way, Some((&p.spot, p.way))))
    });
    show(&pairs, &results);
    let failed = pairs.iter().zip(&results).filter_map(|(pair, verdict)| match verdict {
        Verdict::Failed(why) => Some(format!("{pair}\n  {why}")),
        Verdict::Passed | Verdict::Absent(_) => None,
    });
    report(&failed.collect::<Vec<_>>());
    assert!(results.iter().filter(|v| **v == Verdict::Passed).count() > results.len() / 2, "most pairs exist");
}

/// The first fault: at the first call of each point of each road.
fn firsts(members: Members, all: bool) -> Vec<Try> {
    let mut tries = Vec::new();
    let mut turn = members.len() + members.first().map_or(0, |m| m.name.len());
    for road in Road::ALL {
        let mut seen = Vec::new();
        for spot in block_on(spots(members, road)) {
            if seen.contains(&spot.point) {
                continue;
            }
            seen.push(spot.point);
            let ways: Vec<Way> = WAYS.into_iter().filter(|way| way.absent_at(&spot).is_none()).collect();
            turn += 1;
            for (at, way) in ways.iter().enumerate() {
                if all || turn % ways.len() == at {
                    tries.push(Try { members, road, spot: spot.clone(), way: *way });
                }
            }
        }
    }
    tries
}

/// How many pairs there were, by the two kinds, and by the two points.
fn show(pairs: &[Pair], results: &[Verdict]) {
    let mut kinds: BTreeMap<(Kind, Kind), u32> = BTreeMap::new();
    let mut points: BTreeMap<(Point, Point), u32> = BTreeMap::new();
    let mut absent = 0;
    for (pair, verdict) in pairs.iter().zip(results) {
        if *verdict == Verdict::Passed {
            *kinds.entry((pair.first.way.kind(), pair.way.kind())).or_default() += 1;
            *points.entry((pair.first.spot.point, pair.spot.point)).or_default() += 1;
        } else if matches!(verdict, Verdict::Absent(_)) {
            absent += 1;
        }
    }
    print!("{:14}", "then");
    Kind::ALL.iter().for_each(|kind| print!("{kind:>11}"));
    println!();
    for first in Kind::ALL.iter().filter(|kind| **kind != Kind::Twice) {
        print!("{first:14}");
        Kind::ALL
            .iter()
            .for_each(|second| print!("{:>11}", kinds.get(&(*first, *second)).copied().unwrap_or_default()));
        println!();
    }
    let passed: u32 = kinds.values().sum();
    println!(
        "{passed} of {} pairs passed, over {} pairs of points; {absent} turned out not to exist",
        pairs.len(),
        points.len()
    );
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn is_asked_for_all() -> bool {
    std::env::var(ALL_PAIRS).is_ok()
}
