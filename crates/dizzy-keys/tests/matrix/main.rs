//! The fault matrix end to end: the real program, a real PostgreSQL, emulators of Oracle and OCI, moto; every call on the wire passes a
//! gate, and each of them is refused, lost, delayed, or the moment at which the program is killed or frozen.
//!
//! Places are recorded from one run without faults. An ordinary test run tries every point and every kind; `DIZZY_MATRIX=all` tries each
//! way of each kind at each call (`make matrix`), and `DIZZY_CELLS=TEXT` only those whose name has the text. Judges are psycopg,
//! python-oracledb, boto3 and Oracle's SDK for OCI.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;

mod away;
mod cell;
mod names;
mod story;
mod world;

use std::time::Instant;

use dizzy_host::testkit::matrix::{Kind, Point, Table, Verdict};

use self::{
    cell::{Road, Round, Way, all, spots},
    story::{NOT_FIRED, play, record},
    world::{Strategy, World},
};

/// Cells after which an installation is made anew: the emulated Vault takes some thirty new versions a day.
const CELLS_PER_INSTALLATION: usize = 12;

/// How often a cell is tried whose fault did not fire.
const MOST_TRIES: usize = 3;

#[test]
fn alternating_users_on_the_way_forward() {
    matrix(Strategy::Alternating, Road::Forward);
}

#[test]
fn alternating_users_on_the_way_back() {
    matrix(Strategy::Alternating, Road::Refused);
}

#[test]
fn single_users_on_the_way_forward() {
    matrix(Strategy::Single, Road::Forward);
}

#[test]
fn single_users_on_the_way_back() {
    matrix(Strategy::Single, Road::Refused);
}

#[test]
fn a_rollover_on_the_way_forward() {
    matrix(Strategy::Rollover, Road::Forward);
}

#[test]
fn a_rollover_on_the_way_back() {
    matrix(Strategy::Rollover, Road::Refused);
}

#[test]
fn a_rollover_that_another_worker_undoes() {
    matrix(Strategy::Rollover, Road::Late);
}

fn matrix(strategy: Strategy, road: Road) {
    let began = now();
    let mut world = World::start(strategy);
    let spots = spots(&record(&world, road), road);
    assert!(!spots.is_empty(), "nothing was recorded");
    let whole = variable("DIZZY_MATRIX").is_some();
    let only = variable("DIZZY_CELLS");
    let is_part = !whole && only.is_none();
    let mut round = Round::new(strategy as usize * 3 + road as usize);
    let mut cells = if is_part { Vec::new() } else { all(&spots) }.into_iter();
    let mut points = if is_part { Point::ALL.to_vec() } else { Vec::new() }.into_iter();
    let mut table = Table::new(&format!("{strategy:?}, {road:?}"));
    let (mut failures, mut passed, mut played) = (Vec::new(), Vec::new(), 0);
    while let Some((spot, first)) = cells.next().or_else(|| points.find_map(|point| round.pick(&spots, point))) {
        let mut ways = vec![first];
        if is_part {
            // A part in which a cell turns out not to exist has another of its kind instead, or the plainest one.
            ways.extend(Way::ALL.into_iter().filter(|other| other.kind() == first.kind() && *other != first));
            ways.push(Way::DeadBefore);
        }
        for way in ways {
            let story = format!("{strategy:?}, {road:?}: {way:?} at {spot}");
            if only.as_ref().is_some_and(|only| !story.contains(only)) {
                continue;
            }
            let exists = way.absent_at(&spot).is_none();
            if exists && played == CELLS_PER_INSTALLATION {
                (world, played) = (World::start(strategy), 0);
            }
            let since = now();
            // Calls that are made side by side are not the same number each time.
            let mut verdict = play(&world, road, &spot, way);
            for _ in 1..MOST_TRIES {
                if verdict != Verdict::Failed(NOT_FIRED.to_owned()) {
                    break;
                }
                verdict = play(&world, road, &spot, way);
            }
            table.count(spot.point, way.kind(), &verdict);
            if exists {
                played += 1;
                println!("{:5.1} s  {story}: {verdict:?}", since.elapsed().as_secs_f64());
            }
            match verdict {
                Verdict::Passed => {
                    passed.push((spot.point, way.kind()));
                    if way.kind() != first.kind() {
                        round.again(first.kind());
                    }
                }
                Verdict::Absent(_) => continue,
                Verdict::Failed(why) => {
                    failures.push(format!("{story}\n    {why}"));
                    // What is left of this one is nobody's rest.
                    (world, played) = (World::start(strategy), 0);
                }
            }
            break;
        }
    }
    for (point, kind) in table.unaccounted() {
        let reached = spots.iter().any(|spot| spot.point == point);
        table.count(point, kind, &Verdict::Absent(absence(strategy, road, point, kind, reached, whole)));
    }
    let (cells, absent) = table.cells();
    println!(
        "{table}  {cells} of 162 cells passed in {} tries, {absent} not tried; {:.0} s\n",
        table.passed(),
        began.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    if only.is_some() {
        return;
    }
    let missing = expected(strategy, road).into_iter().filter(|point| passed.iter().all(|(p, _)| p != point));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<Point>::new(), "points without a cell that passed");
    if road == Road::Forward {
        let missing = Kind::ALL.into_iter().filter(|kind| passed.iter().all(|(_, k)| k != kind));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<Kind>::new(), "kinds without a cell that passed");
    }
}

/// The points that a road must come to: a recording that misses one has lost its way.
fn expected(strategy: Strategy, road: Road) -> Vec<Point> {
    let all = Point::ALL.into_iter();
    match road {
        Road::Forward => all.filter(|p| !matches!(p, Point::Abort | Point::Undo | Point::Burn)).collect(),
        Road::Refused if strategy == Strategy::Single => vec![Point::Abort, Point::Undo, Point::Burn],
        Road::Refused => vec![Point::Abort],
        Road::Late => vec![Point::Abort, Point::Undo],
    }
}

/// Why a cell has no result.
fn absence(strategy: Strategy, road: Road, point: Point, kind: Kind, reached: bool, whole: bool) -> &'static str {
    if let Some(why) = kind.absent_at(point) {
        return why;
    }
    if reached {
        return if whole { "no call of this point can meet it" } else { "in the whole matrix (make matrix)" };
    }
    match (point, road, strategy) {
        (Point::Abort | Point::Undo | Point::Burn, Road::Forward, _) => "on the way back only",
        (Point::Burn, _, Strategy::Alternating | Strategy::Rollover) => "only a single user with a fence is burnt",
        (Point::Undo, _, Strategy::Alternating) => "an idle user is published nowhere: there is nothing to put back",
        (Point::Undo, _, Strategy::Rollover) => "put back once nothing of an earlier worker can act: see the road Late",
        _ => "before the roads part, or after the decision: see the way forward",
    }
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(clippy::disallowed_methods, reason = "how long a cell took is told, and nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}
