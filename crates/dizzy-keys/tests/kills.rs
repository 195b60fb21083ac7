//! `kill -9` before and after every effect of a rotation, then `recover`: for each kind of set, on one installation after the other.
//!
//! A debug build of the product kills itself at the point that `DIZZY_KEYS_KILL_AT` names. Judges are psql and the AWS command line.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::fmt::Write as _;

use common::{Told, assert_at_rest, binary, credential, dead, killed_at_call, labelled, published, run};
use dizzy_sandbox::{Installation, PostgresOptions, SET, Users, moto::Mishap};
use serde_json::{Value, json};

/// No rotation has more points; a sweep that gets here has lost its way.
const MOST_POINTS: u32 = 200;
/// A plain rotation is tried after every so many kills.
const ROTATE_EVERY: u32 = 9;

#[test]
fn alternating_users_log_in_whenever_the_worker_is_killed() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Alternating)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    sweep(&at, 30);
}

#[test]
fn a_mixed_set_always_has_a_label_that_logs_in_whenever_the_worker_is_killed() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    sweep(&at, 30);
}

#[test]
fn a_single_user_in_aws_own_format_survives_every_kill() {
    let mut at = Installation::start(binary(), &[("rds", Users::Single)], 0, &PostgresOptions::default()).unwrap();
    let text = json!({"engine": "postgres", "host": "localhost", "port": at.members[0].server.port(), "dbname": "postgres",
        "username": "rds_only", "password": "canary-initial-rds-K3f"});
    at.moto.create_secret("prod/flat", &text.to_string()).unwrap();
    at.secrets.push("prod/flat".to_owned());
    at.configure("").unwrap();
    at.prepare().unwrap();
    sweep(&at, 20);
    let (_, flat) = published(&at).pop_first().unwrap();
    assert_eq!((flat["dbname"].as_str(), flat["engine"].as_str()), (Some("postgres"), Some("postgres")));
}

#[test]
fn prepare_is_run_again_wherever_it_was_killed() {
    let reads = ["DescribeSecret", "GetSecretValue"].map(|read| (read, Mishap::Hang));
    let writes = ["UpdateSecretVersionStage", "PutSecretValue"];
    let writes = writes.into_iter().flat_map(|write| [Mishap::Hang, Mishap::HangAfter].map(|mishap| (write, mishap)));
    // The last run of each is not killed and completes the adoption, so each needs an installation of its own.
    for (operation, mishap) in reads.into_iter().chain(writes) {
        let at = Installation::start(binary(), &[("rds", Users::Alternating)], 2, &PostgresOptions::default()).unwrap();
        let kills = kill_prepare_at_each_call(&at, operation, mishap);
        println!("prepare: {kills} kills while {operation} was under way ({mishap:?})");
        assert!(kills >= 2, "{operation}, a call for each of two secrets");
        // Once more: a set that is prepared stays as it is.
        run(&at, &["--yes", "prepare", SET]).expect(0);
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, &format!("after prepare, killed at {operation} ({mishap:?})"));
    }
}

/// Kills `prepare` at the first call of an operation, then at the second, and so on until it makes no further one.
fn kill_prepare_at_each_call(at: &Installation, operation: &str, mishap: Mishap) -> u32 {
    let before = published(at);
    for nth in 0..MOST_POINTS {
        // A version that was stored before the kill is found, and not stored again; a label is asked for again.
        let passed = if (operation, mishap) == ("PutSecretValue", Mishap::HangAfter) { 0 } else { nth };
        if !killed_at_call(at, &["--yes", "prepare", SET], operation, mishap, passed) {
            return nth;
        }
        let documents = published(at);
        assert_eq!(documents, before, "what is published stays as it is");
        assert_eq!(dead(at, &documents), Vec::<String>::new());
        assert!(nth < 10, "{operation} is asked for again and again although it was done");
    }
    panic!("prepare never ends");
}

/// What was seen at one point.
struct Row {
    step: String,
    found: String,
    recovered: String,
}

/// Kills a rotation at every point, and recovers each time. `least` guards against a sweep that sees nothing.
fn sweep(at: &Installation, least: u32) {
    let mut rows = Vec::new();
    for point in 0..MOST_POINTS {
        let mut command = at.command(&["-vv", "rotate", SET]);
        let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", point.to_string()).output().unwrap());
        if told.signal.is_none() {
            told.expect(0);
            assert!(point >= least, "only {point} points");
            break;
        }
        assert_eq!(told.signal, Some(9), "point {point}: {}", told.err);
        let step = told.err.lines().rev().find(|line| line.contains("step=")).unwrap_or("?").to_owned();
        let story = format!("killed at point {point}: {step}");
        let found = phase(at);
        somebody_can_log_in(at, &story);
        let recovered = run(at, &["recover", SET]).expect(0);
        assert_at_rest(at, &story);
        let recovered = recovered.out.lines().find(|line| line.starts_with(SET)).unwrap_or("?").to_owned();
        rows.push(Row { step, found, recovered });
        if point % ROTATE_EVERY == ROTATE_EVERY - 1 {
            run(at, &["rotate", SET]).expect(0);
            assert_at_rest(at, &format!("rotated after: {story}"));
        }
    }
    show(&rows);
    run(at, &["rotate", SET]).expect(0);
    assert_at_rest(at, "the last rotation");
    for secret in &at.secrets {
        let versions = at.moto.versions(secret).unwrap();
        let labels: usize = versions.as_object().unwrap().values().map(|v| v["labels"].as_array().unwrap().len()).sum();
        println!("{secret}: {labels} labels in all");
        // AWS allows 20 labels on all versions of a secret together.
        assert!(labels <= 10, "names of generations that were given up pile up: {versions}");
    }
}

/// Before anything is recovered: an alternating database accepts everything that is published; a single one accepts
/// what one of the labels shows, and consumers may try them in this order.
fn somebody_can_log_in(at: &Installation, story: &str) {
    for secret in &at.secrets {
        for member in &at.members {
            let labels: &[&str] =
                if member.users.len() == 2 { &["AWSCURRENT"] } else { &["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] };
            let tries = labels.iter().filter_map(|label| labelled(at, secret, label));
            let in_vain: Vec<(String, String)> = tries.map(|document| credential(&document, member)).collect();
            let accepted = in_vain.iter().any(|(user, password)| member.server.login(user, password).unwrap());
            assert!(accepted, "{story}: nothing in {secret} opens {}", member.name);
        }
    }
}

fn phase(at: &Installation) -> String {
    let register = at.register().unwrap();
    let text = |name: &str| register.get(name).filter(|v| !v.is_null()).map(Value::to_string).unwrap_or_default();
    format!("{} g{} {}", register["phase"].as_str().unwrap(), text("current"), text("next"))
}

fn show(rows: &[Row]) {
    let mut table = String::new();
    for (point, row) in rows.iter().enumerate() {
        let step = row.step.split_once("step").map_or(row.step.as_str(), |(_, step)| step);
        writeln!(table, "{point:3}  {:14}  {:70}  {}", row.found, step.trim_start_matches('='), row.recovered).unwrap();
    }
    println!("{} points; every kill fired\n{table}", rows.len());
}
