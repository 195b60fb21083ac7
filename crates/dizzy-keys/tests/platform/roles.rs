//! A role that is assumed: who starts the program may do that and nothing else, so whatever works was done by the role.

use dizzy_sandbox::{Installation, PostgresOptions, SET, Users, moto::BucketKind};
use serde_json::{Value, json};

use crate::common::{Told, assert_at_rest, binary, error};

const ROLE: &str = "arn:aws:iam::123456789012:role/rotator";
const STARTER: &str = "AKIASTARTER000000000";

#[test]
fn everything_in_aws_is_done_as_the_role() {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    at.prepare().unwrap();
    // The trail in S3, whose calls are signed by hand.
    at.moto.create_bucket("trail", BucketKind::Versioned).unwrap();
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let text = text.replace(&format!("file:{}", at.path("audit").display()), "s3://trail/audit");
    let aws = format!("\n[aws]\nrole_arn = \"{ROLE}\"\nexternal_id = \"canary:1\"\nsession_name = \"nightly\"\n");
    at.write("dizzy-keys.toml", &(text + &aws)).unwrap();
    let run = |args: &[&str]| Told::of(&at.command(args).env("AWS_ACCESS_KEY_ID", STARTER).output().unwrap());

    let printed = run(&["policy", "aws", "--region", "us-west-2", "--account", "123456789012"]).expect(0);
    assert!(printed.err.contains("sts:AssumeRole is for the identity"), "{}", printed.err);
    let whole: Value = serde_json::from_str(&printed.out).unwrap();
    let statements = whole["Statement"].as_array().unwrap();
    let is_of_starter = |one: &&Value| one["Action"] == json!(["sts:AssumeRole"]);
    let starter: Vec<&Value> = statements.iter().filter(is_of_starter).collect();
    let [only] = starter.as_slice() else { panic!("{whole}") };
    assert_eq!(only["Resource"], json!([ROLE]));
    let policy = |statements: &[&Value]| json!({"Version": "2012-10-17", "Statement": statements}).to_string();

    at.moto.allow_only(STARTER, &policy(&starter)).unwrap();
    at.moto.forget_calls().unwrap();
    run(&["rotate", SET]).expect(0);
    assert_at_rest(&at, "as the role");
    let calls = at.moto.calls(None).unwrap();
    let taken: Vec<&Value> = calls.iter().filter(|call| call["operation"] == "AssumeRole").collect();
    let [taken] = taken.as_slice() else { panic!("once for a run: {taken:?}") };
    assert_eq!(
        (&taken["RoleArn"], &taken["RoleSessionName"], &taken["ExternalId"]),
        (&json!(ROLE), &json!("nightly"), &json!("canary:1"))
    );
    assert!(calls.iter().any(|call| call["operation"] == "PutObject"), "the trail is in S3");

    // With every other right and without this one, nothing works.
    let rest: Vec<&Value> = statements.iter().filter(|one| !is_of_starter(one)).collect();
    at.moto.allow_only(STARTER, &policy(&rest)).unwrap();
    let told = run(&["--output", "json", "rotate", SET]).expect(1);
    let found = error(&told, "not allowed to assume the role");
    assert_eq!(found["code"], "DK-302", "{found}");
    assert!(found["hint"].as_str().unwrap().contains("aws.role_arn"), "{found}");
    at.moto.allow_only(STARTER, &policy(&starter)).unwrap();
    run(&["rotate", SET]).expect(0);
    assert_at_rest(&at, "mended");
}
