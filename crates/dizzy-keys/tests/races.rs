//! Races of three processes for one set, again and again; each round is judged by logins that are not ours.
//!
//! A short series runs with the others; `DIZZY_RACES=100` makes it as long as the promise.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use common::{Running, Told, binary};
use dizzy_sandbox::{Fleet, Installation, PostgresOptions, Registers, SET, Users};
use serde_json::Value;

/// Rounds in the ordinary run of the tests: some ten seconds each on two cores.
const ROUNDS: u64 = 25;

#[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
fn rounds() -> u64 {
    std::env::var("DIZZY_RACES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

/// Three workers, by what they are asked for.
const RACES: [[&str; 3]; 3] =
    [["rotate", "rotate", "recover"], ["rotate", "recover", "recover"], ["rotate", "rotate", "rotate"]];

#[test]
fn of_three_workers_on_an_alternating_set_one_wins_and_nothing_is_ever_wrong() {
    alternating("registers in a folder", Registers::Folder);
}

#[test]
fn of_three_workers_that_share_a_bucket_one_wins_and_nothing_is_ever_wrong() {
    alternating("registers in S3", Registers::S3);
}

fn alternating(story: &str, registers: Registers) {
    let fleet = Fleet::start(binary(), 1, registers, &PostgresOptions::default()).unwrap();
    fleet.must(&["--yes", "prepare"]).unwrap();
    let set = fleet.sets[0].clone();
    race(
        story,
        |args| Running::spawn(&mut fleet.command(args)),
        &set,
        || fleet.register(&set).unwrap(),
        || if fleet.logs_in(&set).unwrap() { Vec::new() } else { vec![set.clone()] },
    );
}

#[test]
fn of_three_workers_on_a_set_with_a_single_user_one_wins_and_nothing_is_ever_wrong() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 1, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    race("mixed", |args| common::start(&at, args), SET, || at.register().unwrap(), || at.dead().unwrap());
}

/// Rounds of three processes that start at the same moment. After each, everything must be at rest, what is published must log in, and
/// the generation must have grown by as many rotations as were told.
fn race(
    story: &str,
    start: impl Fn(&[&str]) -> Running,
    set: &str,
    register: impl Fn() -> Value,
    dead: impl Fn() -> Vec<String>,
) {
    let mut exits: BTreeMap<String, usize> = BTreeMap::new();
    let mut most = Duration::ZERO;
    let rounds = rounds();
    for round in 0..rounds {
        let before = register()["current"].as_u64().unwrap();
        let began = now();
        let verbs = RACES[usize::try_from(round).unwrap() % RACES.len()];
        let running = verbs.map(|verb| start(&["--output", "json", verb, set]));
        let told: Vec<Told> = running.map(Running::told).into();
        most = most.max(began.elapsed());
        let mut rotated = 0;
        for (verb, told) in verbs.iter().zip(&told) {
            assert!(matches!(told.exit, Some(0 | 4)), "{story}, round {round}: {verb}: {told:?}");
            *exits.entry(format!("{verb} {}", told.exit.unwrap())).or_default() += 1;
            let result: Value = serde_json::from_str(&told.out).unwrap();
            rotated += u64::from(result["sets"][0]["outcome"] == "rotated");
        }
        assert!(told.iter().any(|told| told.exit == Some(0)), "{story}, round {round}: one wins: {told:?}");
        assert_eq!(dead(), Vec::<String>::new(), "{story}, round {round}: {told:?}");
        let after = register();
        assert_eq!(
            (after["phase"].as_str(), &after["next"]),
            (Some("idle"), &Value::Null),
            "{story}, round {round}: {after}"
        );
        assert_eq!(after["current"].as_u64().unwrap(), before + rotated, "{story}, round {round}: {told:?}");
    }
    println!(
        "{story}: {rounds} rounds of three workers, 0 bad states; how they ended: {exits:?}; the longest race {most:?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "how long a race took is told, and nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}
