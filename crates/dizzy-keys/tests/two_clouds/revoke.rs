//! `revoke` in two clouds: psycopg and python-oracledb are refused with everything that was published before, on both sides.

use std::collections::BTreeSet;

use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{ORACLE, POSTGRES, TwoClouds},
};
use serde_json::Value;

use super::{assert_at_rest, fails, prepared, run};

const REVOKE: [&str; 3] = ["--yes", "revoke", SET];

type Known = BTreeSet<(&'static str, String, String)>;

fn know(at: &TwoClouds, known: &mut Known) {
    for published in at.published().unwrap() {
        for database in [POSTGRES, ORACLE] {
            let (user, password) = published.credential(database).unwrap();
            known.insert((database, user, password));
        }
    }
}

fn still_in(at: &TwoClouds, known: &Known) -> Vec<String> {
    let mut alive = Vec::new();
    for (database, user, password) in known {
        if at.logs_in(database, user, password).unwrap() {
            alive.push(format!("{user} on {database}"));
        }
        // The judge's own wrong logins are not the product's.
        at.forgive(user);
    }
    alive
}

fn revoked(postgres: Users, oracle: OracleUsers) -> TwoClouds {
    let at = prepared(postgres, oracle);
    let mut known = Known::new();
    know(&at, &mut known);
    run(&at, &["rotate", SET]).expect(0);
    know(&at, &mut known);
    assert_ne!(still_in(&at, &known), Vec::<String>::new(), "there is something to be revoked");
    for user in &at.oracle_users {
        at.forgive(user);
    }
    let told = run(&at, &REVOKE).expect(0);
    println!("{}", told.out);
    assert_at_rest(&at, "after a revoke");
    for user in &at.oracle_users {
        let wrong = at.oracle.user(user).map(|state| state.failed_logins);
        assert_eq!(wrong, Some(0), "each deliberate wrong login of {user} was followed by a right one");
    }
    assert_eq!(still_in(&at, &known), Vec::<String>::new(), "{postgres:?} + {oracle:?}");
    let register = at.register().unwrap();
    assert_eq!((&register["revoke"], register["revoked"].is_u64()), (&Value::Null, true), "{register}");
    at
}

#[test]
fn two_users_in_each_cloud() {
    let at = revoked(Users::Alternating, OracleUsers::Alternating);
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "the next rotation");
}

#[test]
fn a_rollover_window_is_ended_by_the_procedure() {
    revoked(Users::Alternating, OracleUsers::Rollover);
}

#[test]
fn single_users_in_each_cloud() {
    revoked(Users::Single, OracleUsers::Single);
}

#[test]
fn without_an_administrator_of_oracle_the_statements_are_told() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    run(&at, &["rotate", SET]).expect(0);
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("ora-admin.json")).collect();
    at.write("dizzy-keys.toml", lines.join("\n")).unwrap();
    let mut known = Known::new();
    know(&at, &mut known);
    fails(
        &at,
        "no right to end sessions",
        &REVOKE,
        3,
        "DK-513",
        &["ALTER SYSTEM KILL SESSION", "ORDERS_A", "refused by every database"],
    );
    assert_eq!(still_in(&at, &known), Vec::<String>::new(), "the passwords are dead all the same");
    assert_at_rest(&at, "with sessions left");
}

#[test]
fn a_window_that_nobody_may_end_is_said_and_finished_when_it_is_over() {
    let at = TwoClouds::start(super::binary(), Users::Alternating, OracleUsers::Rollover).unwrap();
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("ora-admin.json")).collect();
    at.write("dizzy-keys.toml", lines.join("\n")).unwrap();
    at.prepare().unwrap();
    let mut known = Known::new();
    know(&at, &mut known);
    let says = ["EXPIRE PASSWORD ROLLOVER PERIOD", "the revoke is remembered", "recover"];
    fails(&at, "a window", &REVOKE, 3, "DK-514", &says);
    assert_ne!(still_in(&at, &known), Vec::<String>::new(), "which is why it says so");
    let status = run(&at, &["status", SET]).expect(0);
    assert!(status.out.contains("to be revoked"), "{}", status.out);
    // A DBA runs the statement.
    for user in &at.oracle_users {
        at.oracle.end_window(user);
    }
    fails(&at, "sessions are left to the DBA too", &["recover", SET], 3, "DK-513", &["ALTER SYSTEM KILL SESSION"]);
    assert_eq!(still_in(&at, &known), Vec::<String>::new());
    assert_at_rest(&at, "after the DBA");
}
