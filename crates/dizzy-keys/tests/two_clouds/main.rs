//! One set in two clouds: PostgreSQL and Oracle, published in Secrets Manager and in Vault, rotated by the real binary.
//!
//! The Oracle database and OCI are emulators that the vendor's own clients accept (their packages' tests show it); psycopg,
//! python-oracledb, boto3 and Oracle's SDK for OCI judge what is published and what logs in.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

#[path = "../common/mod.rs"]
mod common;

mod canaries;
mod kills;
mod mishaps;
mod revoke;
mod rotation;
mod scan;
mod wallets;
mod watcher;
mod worlds;

use common::{Told, binary};
use dizzy_sandbox::{
    OracleUsers, Users,
    two_clouds::{ORACLE, POSTGRES, TwoClouds},
};
use serde_json::Value;

/// An installation that is prepared and has not rotated.
fn prepared(postgres: Users, oracle: OracleUsers) -> TwoClouds {
    let at = TwoClouds::start(binary(), postgres, oracle).unwrap();
    at.prepare().unwrap();
    at
}

fn run(at: &TwoClouds, args: &[&str]) -> Told {
    Told::of(&at.run(args).unwrap())
}

/// Panics unless both stores publish the same credentials, they log in, and the register is at rest.
fn assert_at_rest(at: &TwoClouds, story: &str) {
    let [aws, vault] = at.published().unwrap();
    for database in [POSTGRES, ORACLE] {
        assert!(aws.credential(database) == vault.credential(database), "{story}: the stores differ about {database}");
    }
    assert_eq!(at.dead().unwrap(), Vec::<String>::new(), "{story}");
    let register = at.register().unwrap();
    assert_eq!((register["phase"].as_str(), &register["next"]), (Some("idle"), &Value::Null), "{story}: {register}");
    for user in &at.oracle_users {
        let state = at.oracle.user(user);
        let wrong = state.map(|state| state.failed_logins).unwrap_or_default();
        assert!(wrong <= 3, "{story}: {wrong} wrong logins of {user}; three is all we may cause");
    }
}

/// Runs the product, which must fail like this: exit code, error code, and words that it has to say.
fn fails(at: &TwoClouds, story: &str, args: &[&str], exit: i32, code: &str, says: &[&str]) -> Value {
    let told = run(at, &[&["--output", "json"], args].concat());
    let error = common::error(&told, story);
    println!("{story}: {} exits {:?}: {error:#}", args.join(" "), told.exit);
    assert_eq!((told.exit, error["code"].as_str()), (Some(exit), Some(code)), "{story}: {}{}", told.out, told.err);
    for text in says {
        assert!(error.to_string().contains(text), "{story}: no `{text}` in {error:#}");
    }
    error
}
