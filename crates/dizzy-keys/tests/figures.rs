//! What a fault-free rotation costs in calls, and what alternating users reach, told from outside.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests panic and print as tests do")]

mod common;

use common::{assert_at_rest, binary, credential, published, run};
use dizzy_sandbox::{Installation, PostgresOptions, SET, Users};
use serde_json::Value;

/// What AWS bills, per secret, for one rotation without a fault.
const MOST_CALLS: u64 = 7;

#[test]
fn a_rotation_of_alternating_databases_makes_few_calls_per_secret() {
    let most = most_calls(&[("rds", Users::Alternating), ("billing", Users::Alternating)], 2);
    assert!(most <= MOST_CALLS, "{most} calls");
}

#[test]
fn a_rotation_of_single_databases_makes_few_calls_per_secret() {
    let most = most_calls(&[("rds", Users::Single), ("billing", Users::Single)], 2);
    assert!(most <= MOST_CALLS, "{most} calls");
}

/// The first secret of a set with both strategies takes one more: idle users' passwords are read, and PENDING moves
/// (docs/design/0103-calls-per-secret.md says why neither can be spared).
#[test]
fn a_rotation_of_both_strategies_makes_one_call_more_on_its_first_secret() {
    let most = most_calls(&[("rds", Users::Alternating), ("billing", Users::Single)], 2);
    assert_eq!(most, MOST_CALLS + 1);
}

/// The most calls for one secret in any of three rotations.
fn most_calls(databases: &[(&str, Users)], secrets: usize) -> u64 {
    let at = Installation::start(binary(), databases, secrets, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    let mut most = 0;
    for rotation in 1..=3 {
        at.moto.forget_calls().unwrap();
        run(&at, &["rotate", SET]).expect(0);
        for (place, secret) in at.secrets.iter().enumerate() {
            let counts = at.moto.counts(Some(secret)).unwrap();
            let sum = counts.as_object().unwrap().values().filter_map(Value::as_u64).sum();
            println!("rotation {rotation} of {databases:?}: {secret}: {sum} calls: {counts}");
            assert!(place == 0 || sum <= MOST_CALLS, "{secret}: {sum} calls");
            most = most.max(sum);
        }
    }
    assert_at_rest(&at, "three rotations");
    most
}

#[test]
fn both_users_reach_what_either_creates_over_three_rotations() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let member = at.members.first().unwrap();
    let server = &member.server;
    server.psql("CREATE SCHEMA app; GRANT ALL ON SCHEMA app TO rds_a").unwrap();
    server.psql_as("rds_a", "postgres", "CREATE TABLE app.before AS SELECT 1 AS one").unwrap();
    at.prepare().unwrap();
    let mut tables = vec!["app.before".to_owned()];
    let mut creators = Vec::new();
    for rotation in 1..=3 {
        run(&at, &["rotate", SET]).expect(0);
        let (user, password) = credential(published(&at).values().next().unwrap(), member);
        assert!(server.login(&user, &password).unwrap());
        let table = format!("app.t{rotation}");
        let other = member.users.iter().find(|name| **name != user).unwrap();
        // One table by the user that is published, one by the other, which consumers may still use.
        server.psql_as(&user, "postgres", &format!("CREATE TABLE {table} AS SELECT {rotation} AS one")).unwrap();
        server.psql_as(other, "postgres", &format!("CREATE TABLE {table}_late AS SELECT {rotation} AS one")).unwrap();
        tables.extend([table.clone(), format!("{table}_late")]);
        creators.push(user);
        for name in &member.users {
            for table in &tables {
                let sql = format!(
                    "INSERT INTO {table} VALUES (7); DELETE FROM {table} WHERE one = 7; ALTER TABLE {table} ADD COLUMN more int; \
                     ALTER TABLE {table} DROP COLUMN more; SELECT count(*) FROM {table}"
                );
                assert_eq!(server.psql_as(name, "postgres", &sql).unwrap(), "1", "{name} and {table}");
            }
        }
    }
    creators.dedup();
    assert_eq!(creators.len(), 3, "each rotation publishes the other user: {creators:?}");
    assert_at_rest(&at, "three rotations");
}
