//! `kill -9` at every point of a rotation in two clouds, then `recover`.

use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{ORACLE, POSTGRES, TwoClouds},
};
use dizzy_sandbox_oci::Settle;

use super::{assert_at_rest, common::Told, prepared, run};

/// No rotation has more points; a sweep that gets here has lost its way.
const MOST_POINTS: u32 = 200;
/// Fewer points mean that the sweep saw nothing.
const FEWEST_POINTS: u32 = 30;
/// A secret in Vault takes some thirty versions a day, and a kill costs up to two.
const KILLS_PER_INSTALLATION: u32 = 12;

/// With this in the environment every sweep kills at every point. Without it only the first does, and the others at every second or
/// third, each of which takes an installation of its own for a rollover.
const EVERY_POINT: &str = "DIZZY_KILL_EVERYWHERE";

#[test]
fn alternating_users_in_both_clouds_log_in_whenever_the_worker_is_killed() {
    sweep(Users::Alternating, OracleUsers::Alternating, 1);
}

#[test]
fn a_rollover_beside_alternating_users_logs_in_whenever_the_worker_is_killed() {
    sweep(Users::Alternating, OracleUsers::Rollover, unless_everywhere(3));
}

#[test]
fn single_users_in_both_clouds_always_have_a_label_that_logs_in() {
    sweep(Users::Single, OracleUsers::Single, unless_everywhere(2));
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn unless_everywhere(stride: usize) -> usize {
    if std::env::var(EVERY_POINT).is_ok() { 1 } else { stride }
}

fn sweep(postgres: Users, oracle: OracleUsers, stride: usize) {
    let mut at = quick(postgres, oracle);
    let (mut kills, mut points) = (0, 0);
    for point in (0..MOST_POINTS).step_by(stride) {
        // What a dead worker may have asked of a rollover keeps the next rotation waiting for twenty minutes.
        if kills > 0 && (at.has_rollover() || kills % KILLS_PER_INSTALLATION == 0) {
            at = quick(postgres, oracle);
        }
        let mut command = at.command(&["-vv", "rotate", SET]);
        let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", point.to_string()).output().unwrap());
        if told.signal.is_none() {
            told.expect(0);
            points = point;
            break;
        }
        assert_eq!(told.signal, Some(9), "point {point}: {}", told.err);
        kills += 1;
        let step = told.err.lines().rev().find(|line| line.contains("step=")).unwrap_or("?").to_owned();
        let story = format!("killed at point {point}: {step}");
        somebody_can_log_in(&at, &story);
        run(&at, &["recover", SET]).expect(0);
        assert_at_rest(&at, &story);
    }
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the last rotation");
    println!("{postgres:?} + {oracle:?}: killed and recovered at {kills} of some {points} points");
    assert!(points >= FEWEST_POINTS, "only {points} points");
}

/// An installation whose Vault is done with an update at the first look.
fn quick(postgres: Users, oracle: OracleUsers) -> TwoClouds {
    let at = prepared(postgres, oracle);
    at.oci.set_settle(Settle::AfterPolls(1));
    at
}

/// Before anything is recovered: what both stores publish logs in (alternating, rollover); for a single user, what one of the stages
/// shows does, in the order in which consumers may try them.
fn somebody_can_log_in(at: &TwoClouds, story: &str) {
    let all: Vec<_> = ["CURRENT", "PENDING", "PREVIOUS"].iter().map(|label| at.staged(label).unwrap()).collect();
    for (database, users) in [(POSTGRES, &at.postgres_users), (ORACLE, &at.oracle_users)] {
        let has_stages = users.len() == 1 && !(database == ORACLE && at.has_rollover());
        let stages = if has_stages { &all[..] } else { &all[..1] };
        for store in 0..2 {
            let credentials = stages.iter().filter_map(|stage| stage[store].as_ref()?.credential(database));
            let mut tried: Vec<(String, String)> = credentials.collect();
            tried.dedup();
            let accepted = tried.iter().any(|(user, password)| at.logs_in(database, user, password).unwrap());
            assert!(accepted, "{story}: nothing in store {store} opens {database}");
        }
        // The judge's own wrong logins are not the product's.
        for user in users {
            at.forgive(user);
        }
    }
}
