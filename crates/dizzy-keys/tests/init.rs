//! `init` from secrets that exist: the file that it writes is used as it is, through `check`, `prepare`, `plan` and `rotate`.

#![expect(clippy::disallowed_methods, reason = "these tests edit files")]

mod common;

use std::fs;

use common::{binary, run};
use dizzy_sandbox::{
    Installation, PostgresOptions, Users,
    two_clouds::{AWS_SECRET, BUCKET, OBJECT, ORACLE, OracleUsers, TwoClouds},
};
use dizzy_sandbox_oci::NAMESPACE;
use serde_json::{Value, json};

const CANARY: &str = "canary-in-a-secret-4Wd";

#[test]
fn a_secret_in_aws_becomes_a_configuration_that_rotates() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let file = at.path("dizzy-keys.toml");
    fs::remove_file(&file).unwrap();
    let secret = at.secrets.first().unwrap();
    let member = at.members.first().unwrap();
    let (user, password) = at.published(secret, "rds").unwrap();
    let admin = format!("file:{}", at.path("admin.json").display());
    let roots = format!("file:{}", member.server.certificates().ca_file().display());
    let init = ["init", "--from-aws-secret", secret, "--admin", &admin, "--tls-ca", &roots, "--output", "json"];
    let told = run(&at, &init).expect(0);
    assert!(!told.out.contains(&password) && !told.err.contains(&password));

    let text = fs::read_to_string(&file).unwrap();
    let second = member.users.iter().find(|name| **name != user).unwrap();
    assert!(text.contains(&format!("users = [\"{user}\", \"{second}\"]")), "{text}");
    assert!(text.lines().count() <= 8 && !text.contains(&password), "{text}");

    // The steps that it names, without its program's name and the file.
    let said: Value = serde_json::from_str(&told.out).unwrap();
    assert!(said["found"][0].as_str().unwrap().contains(&user), "{said}");
    let steps: Vec<&str> = said["next"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
    assert_eq!(steps.len(), 3, "nothing is left to a person: {steps:?}");
    let set = steps.last().unwrap().rsplit(' ').next().unwrap();
    // Not prepared yet: `check` says so, and nothing else is wrong.
    let missing = run(&at, &["check", set]).expect(1);
    assert!(missing.out.contains("prepare"), "{}", missing.out);
    for command in [&["prepare", "--yes", set][..], &["check", set], &["plan", set], &["rotate", set]] {
        run(&at, command).expect(0);
    }
    let (now, changed) = at.published(secret, "rds").unwrap();
    assert!(now == *second && changed != password);
    assert_eq!(at.dead().unwrap(), Vec::<String>::new());

    // A file that is there is not replaced, whatever it was made from.
    run(&at, &init).expect(2);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn what_cannot_be_rotated_is_refused_and_nothing_is_written() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let file = at.path("dizzy-keys.toml");
    fs::remove_file(&file).unwrap();
    let postgres = json!({"engine": "postgres", "host": "h", "username": "a", "password": CANARY});
    let mut mysql = postgres.clone();
    mysql["engine"] = json!("mysql");
    let mut bare = postgres.clone();
    bare.as_object_mut().unwrap().remove("password");
    let worlds = [
        ("bad/text", CANARY.to_owned()),
        ("bad/list", json!([CANARY]).to_string()),
        ("bad/bare", bare.to_string()),
        ("bad/mysql", mysql.to_string()),
        ("bad/managed", postgres.to_string()),
        ("bad/deleted", postgres.to_string()),
    ];
    for (name, text) in &worlds {
        at.moto.create_secret(name, text).unwrap();
    }
    at.moto.set_owning_service("bad/managed", "rds").unwrap();
    at.moto.aws(&["secretsmanager", "delete-secret", "--secret-id", "bad/deleted"]).unwrap();
    let cases: [(&[&str], &str, i32); 10] = [
        (&["--from-aws-secret", "bad/none"], "DK-3", 1),
        (&["--from-aws-secret", "bad/text"], "DK-3", 1),
        (&["--from-aws-secret", "bad/list"], "DK-3", 1),
        (&["--from-aws-secret", "bad/bare"], "DK-3", 1),
        (&["--from-aws-secret", "bad/mysql"], "DK-106", 2),
        (&["--from-aws-secret", "bad/managed"], "DK-3", 1),
        (&["--from-aws-secret", "bad/deleted"], "DK-3", 1),
        (&["--from-oci-secret", "not-an-ocid"], "DK-101", 2),
        (&["--from-aws-secret", "bad/text", "--from-aws-secret", "aws-sm:bad/text"], "DK-101", 2),
        (&["--set", "orders"], "DK-101", 2),
    ];
    for (args, code, exit) in cases {
        let told = run(&at, &[&["init"], args].concat());
        assert!(told.err.starts_with(code), "{args:?}: {}", told.err);
        assert_eq!(told.exit, Some(exit), "{args:?}: {}", told.err);
        assert!(told.err.contains("\nhint: ") && told.out.is_empty(), "{args:?}: {}{}", told.out, told.err);
        assert!(!told.err.contains(CANARY), "{args:?}: {}", told.err);
        assert!(!file.exists(), "{args:?}");
    }
}

#[test]
fn secrets_of_both_clouds_become_one_set() {
    let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
    let file = at.path("dizzy-keys.toml");
    fs::remove_file(&file).unwrap();
    let roots = format!("file:{}", at.postgres.certificates().ca_file().display());
    let vault = at.vault_secret.clone();
    at.must(&[
        "init",
        "--set",
        "both",
        "--from-oci-secret",
        &vault,
        "--from-aws-secret",
        AWS_SECRET,
        "--tls-ca",
        &roots,
    ])
    .unwrap();
    // What no secret says: where the wallet is, and who may prepare.
    let mut engine = "";
    let mut lines = Vec::new();
    let text = fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        engine = if line.starts_with("[sets.both.databases") {
            line.trim_end_matches(']').rsplit('.').next().unwrap()
        } else {
            engine
        };
        let oracle = engine == ORACLE;
        let admin = at.path(if oracle { "ora-admin.json" } else { "pg-admin.json" });
        lines.push(match line {
            line if line.starts_with("# wallet = ") => format!(
                "wallet = \"oci://{NAMESPACE}/{BUCKET}/{OBJECT}\"\nwallet_password = \"file:{}\"",
                at.path("wallet-password").display()
            ),
            line if line.starts_with("# admin = ") => format!("admin = \"file:{}\"", admin.display()),
            // The emulator's roots come with its wallet.
            line if line.starts_with("tls_ca") && oracle => continue,
            line => line.to_owned(),
        });
    }
    fs::write(&file, lines.join("\n")).unwrap();
    let before = at.published().unwrap();
    for command in [&["prepare", "--yes", "both"][..], &["plan", "both"], &["rotate", "both"], &["verify", "both"]] {
        at.must(command).unwrap();
    }
    let after = at.published().unwrap();
    for (before, after) in before.iter().zip(&after) {
        for database in ["rds", ORACLE] {
            assert_ne!(before.credential(database), after.credential(database));
        }
    }
    assert_eq!(at.dead().unwrap(), Vec::<String>::new());
}
