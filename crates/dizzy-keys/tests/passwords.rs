//! A generated password goes where people put it, unquoted, and comes back as it was: shells, DSNs, URLs, JSON, TOML, `.pgpass`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
};

use dizzy_host::{
    password::{Class, DEFAULT_LENGTH, MAX_LENGTH, ORACLE_LENGTH, Policy, Rules},
    port::SystemRandomness,
};
use dizzy_sandbox::moto;
use serde_json::Value;

/// Passwords of each policy. Every symbol stands at every place of some of them.
const EACH: usize = 400;

/// Gives the passwords to every carrier. Returns the carriers, and who changed which password.
fn carried(passwords: &[String]) -> (BTreeSet<String>, Vec<(String, usize)>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/carriers.py");
    let mut python = Command::new(moto::python().unwrap());
    let mut python = python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(&serde_json::to_vec(passwords).unwrap()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(answer["carriers"].clone())
        .and_then(|carriers| Ok((carriers, serde_json::from_value(answer["changed"].clone())?)))
        .unwrap()
}

#[test]
fn passwords_go_through_shells_dsns_urls_and_files_unquoted() {
    let without_symbols = Rules { exclude: "-._~", classes: &Class::ALL[..3], ..Rules::of_length(24) };
    let policies = [
        Policy::default(),
        Policy::new(&Rules::of_length(ORACLE_LENGTH)).unwrap(),
        Policy::new(&Rules::of_length(MAX_LENGTH)).unwrap(),
        Policy::new(&without_symbols).unwrap(),
    ];
    let draw = |policy: &Policy| policy.generate(&SystemRandomness, &["orders_a"]).unwrap().expose().to_owned();
    let passwords: Vec<String> = policies.iter().flat_map(|policy| (0..EACH).map(|_| draw(policy))).collect();
    for symbol in "-._~".chars() {
        for place in 1..DEFAULT_LENGTH {
            let there = passwords.iter().any(|password| password.chars().nth(place) == Some(symbol));
            assert!(there, "no password has {symbol} at {place}");
        }
    }
    let (carriers, changed) = carried(&passwords);
    assert!(carriers.len() >= 12, "{carriers:?}");
    assert_eq!(changed, [], "of {}", passwords.len());
}

#[test]
fn every_carrier_would_notice() {
    // What the policy never makes, so that each carrier is seen to change something.
    let awkward =
        ["a b", "a'b", "a\"b", "a$HOME", "a:b@c", "a/b?c", "a%41", "a\\b", "a&b=c", "~", "a\u{e9}"].map(str::to_owned);
    let (carriers, changed) = carried(&awkward);
    let noticed: BTreeSet<String> = changed.into_iter().map(|(carrier, _)| carrier).collect();
    assert_eq!(noticed, carriers);
}
