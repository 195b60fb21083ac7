//! Whole rotations with the real binary against real PostgreSQL and Secrets Manager as moto plays it.

use std::path::Path;

use dizzy_sandbox::{Installation, PostgresOptions, SET, Users};

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dizzy-keys"))
}

#[test]
fn a_set_of_two_databases_and_two_secrets_rotates() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    println!("{}", at.must(&["check", SET]).unwrap());
    println!("{}", at.must(&["plan", SET]).unwrap());
    for _ in 0..3 {
        at.moto.forget_calls().unwrap();
        println!("{}", at.must(&["rotate", SET]).unwrap());
        println!("{}", at.moto.counts(None).unwrap());
        assert_eq!(at.dead().unwrap(), Vec::<String>::new());
    }
    println!("{}", at.must(&["status", SET]).unwrap());
    println!("{}", at.must(&["verify", SET]).unwrap());
}
