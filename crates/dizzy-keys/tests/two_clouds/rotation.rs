//! Every pair of strategies rotates as one, and what it costs.

use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{AWS_SECRET, ORACLE, POSTGRES},
};
use serde_json::Value;

use super::{assert_at_rest, prepared, run};

/// Rotations of each pair.
const ROTATIONS: u64 = 3;

#[test]
fn every_pair_of_strategies_rotates_as_one() {
    let mut table =
        vec!["PostgreSQL   Oracle       rotations  Secrets Manager calls  Vault calls (last rotation)".to_owned()];
    for postgres in [Users::Alternating, Users::Single] {
        for oracle in OracleUsers::ALL {
            let at = prepared(postgres, oracle);
            let mut before = at.published().unwrap();
            let mut calls = (0, 0);
            for rotation in 1..=ROTATIONS {
                let story = format!("{postgres:?} + {oracle:?}, rotation {rotation}");
                at.moto.forget_calls().unwrap();
                at.oci.forget_log();
                run(&at, &["rotate", SET]).expect(0);
                let counts = at.moto.counts(Some(AWS_SECRET)).unwrap();
                let aws: u64 = counts.as_object().unwrap().values().filter_map(Value::as_u64).sum();
                let vault = at.oci.log().iter().filter(|call| call.target.contains(&at.vault_secret)).count();
                calls = (aws, vault);
                assert_at_rest(&at, &story);
                let after = at.published().unwrap();
                for (old, new) in before.iter().zip(&after) {
                    assert_ne!(old.version, new.version, "{story}: every store moved");
                    for database in [POSTGRES, ORACLE] {
                        assert!(old.credential(database) != new.credential(database), "{story}: {database} moved");
                    }
                }
                assert_eq!(at.register().unwrap()["current"], 1 + rotation, "{story}");
                before = after;
            }
            table.push(format!(
                "{:12} {:12} {ROTATIONS:9} {:22} {:12}",
                format!("{postgres:?}"),
                format!("{oracle:?}"),
                calls.0,
                calls.1
            ));
        }
    }
    println!("{}", table.join("\n"));
}

#[test]
fn what_cannot_be_taken_back_comes_last_and_is_recorded_before_it_is_sent() {
    let at = prepared(Users::Single, OracleUsers::Single);
    let told = run(&at, &["-vv", "rotate", SET]).expect(0);
    let steps: Vec<&str> =
        told.err.lines().filter_map(|line| line.split_once("begins ")).map(|(_, step)| step).collect();
    let place =
        |what: &str| steps.iter().position(|step| step.contains(what)).unwrap_or_else(|| panic!("{what}: {steps:#?}"));
    let (staged, vote) = (place("read the staged generation back"), place("prepare the change of a password"));
    let (change, commit) = (place("\"change a password\""), place("commit the change of a password"));
    assert!(staged < vote && vote < change && change < commit, "{steps:#?}");
    assert!(steps[change - 1].contains("write the register"), "the mark comes right before the change: {steps:#?}");
    let decision = steps.iter().rposition(|step| step.contains("promote a secret")).unwrap();
    assert!(commit < decision, "{steps:#?}");
    assert_at_rest(&at, "in order");
}

#[test]
fn a_wallet_may_be_an_object_a_folder_or_an_archive() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    at.write("wallet.zip", &at.wallet_zip).unwrap();
    let object = text.lines().find(|line| line.starts_with("wallet = ")).unwrap();
    for place in [object.to_owned(), file(&at.path("wallet")), file(&at.path("wallet.zip"))] {
        at.write("dizzy-keys.toml", text.replace(object, &place)).unwrap();
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, &place);
    }
}

fn file(path: &std::path::Path) -> String {
    format!("wallet = \"file:{}\"", path.display())
}

#[test]
fn one_password_opens_both_databases_if_asked_for() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    at.configure("passwords = \"shared\"").unwrap();
    for rotation in 1..=2 {
        run(&at, &["rotate", SET]).expect(0);
        assert_at_rest(&at, &format!("shared, rotation {rotation}"));
        let [aws, _] = at.published().unwrap();
        let (rds, adb) = (aws.credential(POSTGRES).unwrap(), aws.credential(ORACLE).unwrap());
        assert!(rds.1 == adb.1, "one password in both");
        assert!((12..=30).contains(&adb.1.len()), "within Autonomous Database's limits");
    }
}
