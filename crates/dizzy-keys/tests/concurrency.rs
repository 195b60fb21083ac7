//! Two workers on one set: side by side, and with one of them frozen in the middle.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use common::{assert_at_rest, binary, error, meets_fault, run, start};
use dizzy_sandbox::{
    Installation, PostgresOptions, SET, Users,
    moto::{Fault, Mishap},
};

fn prepared() -> Installation {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    at
}

#[test]
fn of_two_workers_at_once_one_rotates_and_the_other_is_told_or_follows() {
    let at = prepared();
    let mut ends = Vec::new();
    for round in 0..10 {
        let before = at.register().unwrap()["current"].as_u64().unwrap();
        let (one, other) = (start(&at, &["rotate", SET]), start(&at, &["rotate", SET]));
        let told = [one.told(), other.told()];
        let exits = told.each_ref().map(|told| told.exit);
        assert!(exits.contains(&Some(0)), "round {round}: {told:?}");
        assert!(exits.iter().all(|exit| matches!(exit, Some(0 | 4))), "round {round}: {told:?}");
        let rotated = exits.iter().filter(|exit| **exit == Some(0)).count() as u64;
        assert_at_rest(&at, &format!("round {round}"));
        assert_eq!(at.register().unwrap()["current"].as_u64().unwrap(), before + rotated, "round {round}: {told:?}");
        for held in told.iter().filter(|told| told.exit == Some(4)) {
            assert!(held.err.starts_with("DK-401: ") && held.line("state: ").is_some(), "{}", held.err);
        }
        ends.push(rotated);
    }
    println!("of two workers started at once, this many rotated: {ends:?}");
}

#[test]
fn a_frozen_worker_keeps_others_out_and_finishes_when_it_thaws() {
    let at = prepared();
    for operation in ["PutSecretValue", "UpdateSecretVersionStage"] {
        at.moto.forget_calls().unwrap();
        at.moto.inject(&Fault::next(operation, Mishap::Late)).unwrap();
        let mut frozen = start(&at, &["rotate", SET]);
        assert!(meets_fault(&at, &mut frozen), "the worker asks for {operation}");
        at.moto.wait_until_held(1).unwrap();
        frozen.signal("STOP");
        let told = run(&at, &["--output", "json", "rotate", SET]).expect(4);
        assert_eq!(error(&told, operation)["code"], "DK-401");
        run(&at, &["recover", SET]).expect(4);
        run(&at, &["status", SET]).expect(0);
        at.moto.release().unwrap();
        frozen.signal("CONT");
        frozen.told().expect(0);
        assert_at_rest(&at, &format!("thawed after {operation}"));
    }
}

#[test]
fn who_takes_over_after_a_kill_is_not_disturbed_by_what_the_dead_had_asked_for() {
    let at = prepared();
    for operation in ["PutSecretValue", "UpdateSecretVersionStage"] {
        at.moto.forget_calls().unwrap();
        at.moto.inject(&Fault::next(operation, Mishap::Late)).unwrap();
        let mut dead = start(&at, &["rotate", SET]);
        assert!(meets_fault(&at, &mut dead), "the worker asks for {operation}");
        at.moto.wait_until_held(1).unwrap();
        dead.signal("KILL");
        assert_eq!(dead.told().signal, Some(9));
        run(&at, &["recover", SET]).expect(0);
        assert_at_rest(&at, "recovered while a request of the dead is still to come");
        at.moto.release().unwrap();
        assert_at_rest(&at, &format!("{operation} of the dead has happened at last"));
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, "and the next rotation");
    }
}
