//! A cloud is away: its database, its store, the register or the audit key, in each phase of a rotation. What happens is compared with
//! the table in docs/recovery.md, so that the page cannot say anything else.
//!
//! The set is brought into the phase by a worker that is killed there; then one thing is away, and `rotate` runs as a timer would run it.

use dizzy_host::testkit::matrix::Point;
use dizzy_sandbox::{
    SET,
    gates::{Deed, Plan},
    two_clouds::{ORACLE, POSTGRES},
};
use serde_json::Value;

use super::{
    cell::{Road, is_of},
    common::{Told, error},
    names::{AUDIT_KEY, point_of},
    story::{LEASE_OVER, MOST_RUNS, settled},
    world::{Home, Strategy, World},
};

const PAGE: &str = include_str!("../../../../docs/recovery.md");
/// The line of the page under which the table is.
const HEADING: &str = "## A cloud is away";

/// Where a rotation stands when the cloud goes.
const PHASES: [&str; 4] = ["at rest", "before the decision", "after the decision", "while undoing"];

#[test]
fn what_happens_when_aws_is_away_is_what_the_page_says() {
    compare("AWS", Home::Aws, [("database", ": rds,"), ("store", ": Secrets Manager,")]);
}

#[test]
fn what_happens_when_oci_is_away_is_what_the_page_says() {
    compare("OCI", Home::Oci, [("database", ": adb,"), ("store", ": Vault,")]);
}

fn compare(cloud: &str, home: Home, things: [(&'static str, &'static str); 2]) {
    let world = World::at_home(Strategy::Alternating, home);
    let others = [("register", ": journal,"), ("audit key", AUDIT_KEY)];
    let mut seen = Vec::new();
    for phase in PHASES {
        for (thing, place) in things.iter().chain(&others) {
            let row = format!("| {cloud} | {phase} | {thing} | {} |", play(&world, phase, place));
            println!("{row}");
            seen.push(row);
        }
    }
    let told: Vec<&str> =
        PAGE.split_once(HEADING).unwrap().1.lines().filter(|line| line.starts_with(&format!("| {cloud} |"))).collect();
    assert_eq!(told, seen, "the page on the left, the world on the right");
}

/// One row: how `rotate` ends, what is published then, and what `recover` says when everything is back.
fn play(world: &World, phase: &str, place: &'static str) -> String {
    settled(world);
    let before = world.published();
    world.gates.forget();
    bring_to(world, phase);
    world.pass(LEASE_OVER);
    world.gates.plan(Plan::next(Deed::CutBefore, move |name| name.contains(place)).stays());
    let told = world.run(&["rotate", SET]);
    assert!(world.gates.fired() > 0, "{phase}, {place}: nobody asked for it: {told:?}");
    let said = match told.exit {
        Some(0) => "0".to_owned(),
        Some(exit) => format!("{exit}, {}", error(&told, place)["code"].as_str().unwrap()),
        None => panic!("{told:?}"),
    };
    let after = world.published();
    assert_eq!(world.dead(), Vec::<String>::new(), "{phase}, {place}: what is published logs in, whatever is away");
    let is_old = [0, 1].map(|store| {
        [POSTGRES, ORACLE]
            .iter()
            .all(|database| before[store].credential(database) == after[store].credential(database))
    });
    let published = match is_old {
        [true, true] => "the old",
        [false, false] => "the next",
        [true, false] => "the old in AWS, the next in OCI",
        [false, true] => "the next in AWS, the old in OCI",
    };
    assert!(told.exit != Some(1) || is_old == [true, true], "{phase}, {place}: exit 1 means the old everywhere");
    world.gates.clear();
    world.pass(LEASE_OVER);
    let recovered = recovered(world);
    let outcome: Value = serde_json::from_str(&recovered.out).unwrap();
    let outcome = outcome["sets"][0]["outcome"].as_str().unwrap().replace("rolled-back", "undone");
    assert_eq!(world.unrest(), Vec::<String>::new(), "{phase}, {place}");
    format!("{said} | {published} | {outcome}")
}

/// Runs of `recover` until one is done: on a busy machine the short patience of the matrix may end in the middle.
fn recovered(world: &World) -> Told {
    let mut told = world.run(&["recover", SET]);
    for _ in 1..MOST_RUNS {
        if told.exit == Some(6) {
            told = world.run(&["recover", SET]);
        }
    }
    told.expect(0)
}

/// Brings the set into a phase: a worker comes there and is killed.
fn bring_to(world: &World, phase: &str) {
    let plan = match phase {
        "at rest" => return,
        "before the decision" => Plan::next(Deed::HoldBefore, |name| point_of(name) == Point::Commit),
        "after the decision" => Plan::next(Deed::HoldAfter, |name| is_of(name, Point::Commit, "write")),
        _ => Plan::next(Deed::HoldAfter, |name| is_of(name, Point::Abort, "write")),
    };
    world.gates.plan(plan);
    if let Some(refusal) = Road::Refused.standing(world.strategy).filter(|_| phase == "while undoing") {
        world.gates.plan(refusal);
    }
    let mut worker = world.start_worker(&["rotate", SET]);
    assert!(world.gates.wait_until_held(|| worker.has_ended()), "{phase}: {:?}", worker.told());
    worker.signal("KILL");
    worker.told();
    world.gates.abandon();
    world.gates.clear();
    world.gates.forget();
}

/// Clocks that jump by a day, of the program alone: with OCI, which bears five minutes, nothing begins and nothing is broken, and what
/// a killed worker with a wrong clock has left is finished by the next one with a right one.
#[test]
fn a_clock_that_jumps_by_a_day_breaks_nothing() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    let world = World::start(Strategy::Alternating);
    for jump in [DAY_MS, -DAY_MS] {
        // At rest.
        let before = world.published();
        world.shift_clock(jump);
        let told = world.run(&["rotate", SET]);
        println!("the clock is {jump} ms ahead, at rest: exits {:?}: {}", told.exit, told.err);
        if told.exit != Some(0) {
            error(&told.expect(1), "a wrong clock");
            assert!(world.published() == before, "nothing has changed");
        }
        assert_eq!(world.unrest(), Vec::<String>::new(), "a clock that is {jump} ms ahead");
        world.shift_clock(0);
        world.pass(LEASE_OVER);
        world.run(&["rotate", SET]).expect(0);
        assert_eq!(world.unrest(), Vec::<String>::new());

        // In the middle of a rotation, at the decision.
        world.gates.forget();
        world.gates.plan(Plan::next(Deed::HoldBefore, |name| point_of(name) == Point::Commit));
        let mut worker = world.start_worker(&["rotate", SET]);
        assert!(world.gates.wait_until_held(|| worker.has_ended()), "{:?}", worker.told());
        world.shift_clock(jump);
        world.gates.release();
        let told = worker.told();
        println!("the clock jumps by {jump} ms at the decision: exits {:?}: {}", told.exit, told.err);
        assert!(matches!(told.exit, Some(0 | 6)), "{told:?}");
        assert_eq!(world.dead(), Vec::<String>::new(), "what is published logs in");
        // Back again: a lease that was written tomorrow must keep nobody waiting until then.
        world.shift_clock(0);
        world.pass(LEASE_OVER);
        recovered(&world);
        assert_eq!(world.unrest(), Vec::<String>::new(), "the clock is right again");

        // A killed worker whose clock was wrong.
        world.gates.forget();
        world.gates.plan(Plan::next(Deed::HoldBefore, |name| point_of(name) == Point::Intent));
        let mut worker = world.start_worker(&["rotate", SET]);
        assert!(world.gates.wait_until_held(|| worker.has_ended()), "{:?}", worker.told());
        world.shift_clock(jump);
        world.gates.release();
        worker.signal("KILL");
        worker.told();
        world.shift_clock(0);
        world.pass(LEASE_OVER);
        recovered(&world);
        world.run(&["rotate", SET]).expect(0);
        assert_eq!(world.unrest(), Vec::<String>::new(), "after a worker of another day");
    }
}
