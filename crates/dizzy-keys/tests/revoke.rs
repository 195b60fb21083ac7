//! `revoke` against real servers: afterwards psql is refused with everything that was ever published, and let in with what is.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod common;

use std::{collections::BTreeSet, time::Duration};

use common::{Running, Told, assert_at_rest, binary, credential, dead, fails, published, refuses, run};
use dizzy_sandbox::{Application, Installation, PostgresOptions, SET, Users};
use serde_json::Value;

const REVOKE: [&str; 3] = ["--yes", "revoke", SET];
/// No revoke has more points; a sweep that gets here has lost its way.
const MOST_POINTS: u32 = 300;
/// Fewer points mean that the sweep saw nothing.
const FEWEST_POINTS: u32 = 50;
/// With this in the environment a sweep kills at every point, not at some of them.
const EVERY_POINT: &str = "DIZZY_KILL_EVERYWHERE";

/// Database, user and password of everything that has been published.
type Known = BTreeSet<(usize, String, String)>;

fn know(at: &Installation, known: &mut Known) {
    for document in published(at).values() {
        for (place, member) in at.members.iter().enumerate() {
            let (user, password) = credential(document, member);
            known.insert((place, user, password));
        }
    }
}

fn still_in(at: &Installation, known: &Known) -> Vec<String> {
    let is_in =
        |(place, user, password): &&(usize, String, String)| at.members[*place].server.login(user, password).unwrap();
    known.iter().filter(is_in).map(|(place, user, _)| format!("{user} on {}", at.members[*place].name)).collect()
}

fn installation(databases: &[(&str, Users)]) -> (Installation, Known) {
    let at = Installation::start(binary(), databases, 2, &PostgresOptions::default()).unwrap();
    let mut known = Known::new();
    know(&at, &mut known);
    at.prepare().unwrap();
    for _ in 0..2 {
        run(&at, &["rotate", SET]).expect(0);
        know(&at, &mut known);
    }
    (at, known)
}

#[test]
fn nothing_that_was_ever_published_opens_anything_after_it() {
    let (at, mut known) = installation(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    // Two who are in: one with what is published, one with what was published before.
    let server = &at.members[0].server;
    let alive: Vec<_> =
        known.iter().filter(|(place, user, password)| *place == 0 && server.login(user, password).unwrap()).collect();
    assert_eq!(alive.len(), 2, "the published user's password and the one before");
    let held: Vec<_> =
        alive.iter().map(|(_, user, password)| server.hold_session(user, password, "postgres").unwrap()).collect();

    let told = run(&at, &["revoke", SET, "--dry-run"]).expect(0);
    assert!(told.out.contains("everything up to g3") && told.out.contains("2 rotations"), "{}", told.out);
    refuses(&at, "nobody to ask", &["revoke", SET], 2, "DK-108", &["--yes"]);
    assert_ne!(still_in(&at, &known), Vec::<String>::new());

    let told = run(&at, &[&["--output", "json"], &REVOKE[..]].concat()).expect(0);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    let row = &answer["sets"][0];
    assert_eq!((row["outcome"].as_str(), row["generation"].as_u64()), (Some("revoked"), Some(5)), "{answer}");
    let ended: u64 = row["sessions"].as_array().unwrap().iter().map(|s| s["ended"].as_u64().unwrap()).sum();
    assert!(ended >= 2, "{answer}");
    let left = server.psql("SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'rds%'").unwrap();
    assert_eq!(left, "0", "both are out");
    drop(held);
    assert_eq!(still_in(&at, &known), Vec::<String>::new());
    assert_at_rest(&at, "after a revoke");
    let register = at.register().unwrap();
    assert_eq!((&register["revoke"], register["revoked"].as_u64()), (&Value::Null, Some(3)), "{register}");

    // It is an ordinary set again.
    know(&at, &mut known);
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the next rotation");
}

#[test]
fn an_application_logs_in_throughout() {
    let (at, known) = installation(&[("rds", Users::Alternating), ("billing", Users::Alternating)]);
    let application = Application::start(&at, Duration::from_millis(5)).unwrap();
    application.wait_for(20).unwrap();
    let before = application.tried();
    for _ in 0..3 {
        run(&at, &REVOKE).expect(0);
    }
    let during = application.tried();
    application.wait_for(during + 10).unwrap();
    let logins = application.end().unwrap();
    let failed: Vec<_> = logins.iter().filter(|login| !login.ok).collect();
    println!("{} logins, {} of them while three revokes ran; {} failed", logins.len(), during - before, failed.len());
    assert!(during > before, "the application was at work");
    assert_eq!(failed.len(), 0, "{failed:?}");
    assert_eq!(still_in(&at, &known), Vec::<String>::new());
}

#[test]
fn whoever_comes_finishes_a_revoke_that_was_killed() {
    #[expect(clippy::disallowed_methods, reason = "a test reads its own switch")]
    let stride = if std::env::var(EVERY_POINT).is_ok() { 1 } else { 13 };
    let (at, mut known) = installation(&[("rds", Users::Alternating), ("billing", Users::Single)]);
    let mut points = 0;
    let mut kills = 0;
    for point in (0..MOST_POINTS).step_by(stride) {
        know(&at, &mut known);
        let mut command = at.command(&[&["-vv"], &REVOKE[..]].concat());
        let told = Told::of(&command.env("DIZZY_KEYS_KILL_AT", point.to_string()).output().unwrap());
        if told.signal.is_none() {
            told.expect(0);
            points = point;
            break;
        }
        kills += 1;
        let story =
            format!("killed at point {point}: {}", told.err.lines().rev().find(|l| l.contains("step=")).unwrap_or("?"));
        let wished = at.register().unwrap()["revoke"].is_u64();
        if wished {
            let status = run(&at, &["status", SET]).expect(0);
            assert!(
                status.out.contains("to be revoked") && status.out.contains("recover orders"),
                "{story}: {}",
                status.out
            );
        }
        // Who comes: the one who pressed the button, a timer, or the one who repairs. Before its first write nobody knows of it.
        let who: [&[&str]; 3] = [&REVOKE, &["recover", SET], &["rotate", "--due"]];
        run(&at, if wished { who[kills % 3] } else { &REVOKE }).expect(0);
        assert_eq!(still_in(&at, &known), Vec::<String>::new(), "{story}");
        assert_at_rest(&at, &story);
        assert_eq!(at.register().unwrap()["revoke"], Value::Null, "{story}");
        // What is tried again and again is what counts: a few stay, for they were published too.
        known.clear();
    }
    println!("killed at {kills} of some {points} points");
    assert!(points >= FEWEST_POINTS, "only {points} points");
}

#[test]
fn consumers_who_are_still_on_the_idle_user_are_counted_named_and_waited_for() {
    let (at, mut known) = installation(&[("rds", Users::Alternating)]);
    let server = &at.members[0].server;
    // The second user is a member of the first, and so may see where its clients are.
    run(&at, &["rotate", SET]).expect(0);
    know(&at, &mut known);
    let live = credential(published(&at).first_key_value().unwrap().1, &at.members[0]).0;
    let (_, idle, password) =
        known.iter().find(|(_, user, password)| *user != live && server.login(user, password).unwrap()).unwrap();
    let held = server.hold_session(idle, password, "postgres").unwrap();
    let says = ["1 session", idle.as_str(), "psql at 127.0.0.1"];

    at.configure("on_active_sessions = \"refuse\"").unwrap();
    refuses(&at, "refuse", &["rotate", SET], 1, "DK-506", &says);

    // They do not leave.
    at.configure("on_active_sessions = \"wait\"").unwrap();
    refuses(&at, "wait in vain", &["rotate", SET], 1, "DK-506", &says);

    // They leave in time: the rotation that waits for them goes on.
    let mut waiting = Running::spawn(&mut at.command(&["-vv", "rotate", SET]));
    while server.psql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dizzy-keys/%'").unwrap()
        == "0"
    {
        assert!(!waiting.has_ended(), "it waits");
    }
    drop(held);
    let told = waiting.told().expect(0);
    assert!(told.err.contains("inspect a database"), "{}", told.err);
    assert_at_rest(&at, "after they have left");

    // They stay, and that is accepted.
    let (user, password) = credential(published(&at).first_key_value().unwrap().1, &at.members[0]);
    let held = server.hold_session(&user, &password, "postgres").unwrap();
    run(&at, &["rotate", SET]).expect(0);
    at.configure("on_active_sessions = \"warn\"").unwrap();
    let told = run(&at, &["rotate", SET]).expect(0);
    assert!(told.err.contains("sessions still use the idle user") || told.err.is_empty(), "{}", told.err);
    drop(held);
    assert_eq!(dead(&at, &published(&at)), Vec::<String>::new());
}

#[test]
fn a_revoke_that_cannot_go_on_is_remembered_and_said() {
    let (at, known) = installation(&[("rds", Users::Alternating)]);
    let server = &at.members[0].server;
    server.psql("DROP SCHEMA dizzy CASCADE").unwrap();
    let error = fails(&at, "no fence", &REVOKE, 1, "DK-207", &["fence"]);
    assert!(error["state"].as_str().unwrap().contains("still to be revoked"), "{error}");
    assert_ne!(still_in(&at, &known), Vec::<String>::new(), "which is why it says so");
    at.prepare().unwrap();
    run(&at, &["recover", SET]).expect(0);
    assert_eq!(still_in(&at, &known), Vec::<String>::new());
    assert_at_rest(&at, "after the fence was made again");
}
