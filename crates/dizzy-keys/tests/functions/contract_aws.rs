//! Secrets Manager's four steps, driven as the service drives them (user guide, "Lambda rotation functions").

use dizzy_sandbox::{
    OracleUsers, SET, Users,
    moto::{Fault, Mishap},
    platform::Answered,
    two_clouds::AWS_SECRET,
};
use serde_json::{Value, json};

use crate::world::{Lambda, World, documented, rotate};

const STEPS: [&str; 4] = ["createSecret", "setSecret", "testSecret", "finishSecret"];
const ROTATION_TOKEN: &str = "canary-rotation-token-0123456789";

fn token(number: u32) -> String {
    format!("a1b2c3d4-5678-90ab-cdef-{number:012}")
}

fn step(world: &World, step: &str, token: &str) -> Value {
    let answer = world.at.moto.call("secretsmanager", "DescribeSecret", &json!({"SecretId": AWS_SECRET})).unwrap();
    json!({"Step": step, "SecretId": answer["ARN"], "ClientRequestToken": token, "RotationToken": ROTATION_TOKEN})
}

/// The version that consumers read, by its id.
fn published_id(world: &World) -> String {
    let answer = world.at.moto.call("secretsmanager", "GetSecretValue", &json!({"SecretId": AWS_SECRET})).unwrap();
    answer["VersionId"].as_str().unwrap().to_owned()
}

/// All four steps, each this often.
fn drive(world: &World, lambda: &Lambda, token: &str, times: u32) {
    for name in STEPS {
        for _ in 0..times {
            let answer = lambda.must(&step(world, name, token));
            assert_eq!((&answer["step"], &answer["version"]), (&json!(name), &json!(token)), "{answer}");
        }
    }
}

#[test]
fn the_service_rotates_a_set_through_its_first_secret() {
    for (postgres, oracle) in [(Users::Alternating, OracleUsers::Alternating), (Users::Single, OracleUsers::Rollover)] {
        let world = World::new(postgres, oracle);
        let lambda = world.lambda();
        let before = world.at.published().unwrap();
        let token = token(1);
        world.at.moto.begin_rotation(AWS_SECRET, &token).unwrap();
        lambda.must(&step(&world, "createSecret", &token));
        assert_eq!(world.at.dead().unwrap(), Vec::<String>::new(), "no database has changed");
        lambda.must(&step(&world, "setSecret", &token));
        assert_eq!(world.at.published().unwrap(), before, "nothing is published");
        if postgres == Users::Alternating {
            assert_eq!(world.at.dead().unwrap(), Vec::<String>::new(), "consumers are not touched");
        }
        // PENDING logs in everywhere: who tries that next has no outage.
        let [pending, _] = world.at.staged("PENDING").unwrap();
        let pending = pending.unwrap();
        for database in ["rds", "adb"] {
            let (user, password) = pending.credential(database).unwrap();
            assert!(world.at.logs_in(database, &user, &password).unwrap(), "{database}");
        }
        lambda.must(&step(&world, "testSecret", &token));
        lambda.must(&step(&world, "finishSecret", &token));
        assert_eq!(published_id(&world), token, "the service's own version is published");
        world.assert_at_rest("after four steps");
        assert_ne!(world.at.published().unwrap(), before);
        // Again from the top: it is done.
        drive(&world, &lambda, &token, 2);
        assert_eq!((published_id(&world), world.current()), (token, 2));

        // The token for the service is passed on, and is not in the log.
        let calls = world.at.moto.calls(Some(AWS_SECRET)).unwrap();
        let put = calls.iter().rfind(|call| call["operation"] == "PutSecretValue").unwrap();
        assert_eq!(put["RotationTokenLength"], ROTATION_TOKEN.len(), "{put}");
        let log = lambda.told();
        assert!(!log.contains(ROTATION_TOKEN) && !log.contains("canary"), "{log}");
    }
}

#[test]
fn each_step_may_be_repeated_and_other_rotations_go_on_beside() {
    let world = World::alternating();
    let lambda = world.lambda();
    for number in 1..=2 {
        let token = token(number);
        world.at.moto.begin_rotation(AWS_SECRET, &token).unwrap();
        drive(&world, &lambda, &token, 2);
        assert_eq!(published_id(&world), token);
        world.assert_at_rest("after repeated steps");
        // The command line, or a schedule of our own, in between.
        lambda.must(&rotate());
        world.assert_at_rest("after a rotation of our own");
    }
    assert_eq!(world.current(), 5);
}

#[test]
fn a_step_does_what_the_ones_before_it_have_not() {
    let world = World::alternating();
    let lambda = world.lambda();
    for (number, name) in (1..).zip(["setSecret", "finishSecret"]) {
        let token = token(number);
        world.at.moto.begin_rotation(AWS_SECRET, &token).unwrap();
        lambda.must(&step(&world, name, &token));
        lambda.must(&step(&world, "finishSecret", &token));
        assert_eq!(published_id(&world), token, "{name}");
        world.assert_at_rest(name);
    }
}

#[test]
fn a_bare_test_logs_in_and_changes_nothing() {
    let world = World::alternating();
    let lambda = world.lambda();
    let current = world.at.moto.current_text(AWS_SECRET).unwrap();
    // With a copy of what is published, as the service makes one; empty; and with what does not log in.
    let copy = json!({"SecretId": AWS_SECRET, "ClientRequestToken": token(1), "SecretString": current, "VersionStages": ["AWSPENDING"]});
    world.at.moto.call("secretsmanager", "PutSecretValue", &copy).unwrap();
    let before = world.snapshot();
    lambda.must(&step(&world, "testSecret", &token(1)));
    assert_eq!(world.snapshot(), before);
    let wrong = current.replace("canary-initial-rds-K3f", "somebody-elses-password");
    let wrong = json!({"SecretId": AWS_SECRET, "ClientRequestToken": token(2), "SecretString": wrong, "VersionStages": ["AWSPENDING"]});
    world.at.moto.call("secretsmanager", "PutSecretValue", &wrong).unwrap();
    let before = world.snapshot();
    assert_eq!(lambda.fails(&step(&world, "testSecret", &token(2))).0, "DK-505");
    // Nor is a value that somebody else has put there ever used.
    for name in ["createSecret", "setSecret", "finishSecret"] {
        let (code, body) = lambda.fails(&step(&world, name, &token(2)));
        assert_eq!(code, "DK-706", "{body}");
    }
    assert_eq!(world.snapshot(), before);
    let log = lambda.told();
    assert!(!log.contains("somebody-elses-password") && !log.contains("canary"), "{log}");
}

#[test]
fn events_that_fit_nothing_here_are_refused() {
    let world = World::alternating();
    let lambda = world.lambda();
    world.at.moto.create_secret("prod/other", "{}").unwrap();
    let before = world.snapshot();
    let mut other = step(&world, "createSecret", &token(1));
    other["SecretId"] = json!("arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/other-AbCd12");
    assert_eq!(lambda.fails(&other).0, "DK-706");
    for name in STEPS {
        let (code, body) = lambda.fails(&step(&world, name, &token(9)));
        assert_eq!(code, "DK-706", "{name}: {body}");
    }
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_step_that_dies_anywhere_is_repeated_by_the_service_until_it_is_done() {
    let world = World::alternating();
    let mut number = 100;
    for name in ["createSecret", "setSecret", "finishSecret"] {
        for point in [1_u32, 2, 4] {
            number += 1;
            let token = token(number);
            world.at.moto.begin_rotation(AWS_SECRET, &token).unwrap();
            let lambda = world.lambda();
            for earlier in STEPS.iter().take_while(|step| **step != name) {
                lambda.must(&step(&world, earlier, &token));
            }
            // The reply of some call of this step is lost, and with it the process, as at the end of the platform's time.
            let event = step(&world, name, &token);
            world.at.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::DropAfter)).unwrap();
            world.at.moto.inject(&Fault::next("PutObject", Mishap::DropAfter).after(point)).unwrap();
            if let Answered::TimedOut = lambda.call(&event) {
                panic!("{name} at {point}");
            }
            world.at.moto.clear_faults().unwrap();
            world.end_the_lease();
            drive(&world, &lambda, &token, 1);
            assert_eq!(published_id(&world), token, "{name} at {point}");
            world.assert_at_rest(&format!("{name} at {point}"));
        }
    }
}

#[test]
fn a_version_whose_generation_was_given_up_asks_for_a_new_one() {
    let world = World::alternating();
    let lambda = world.lambda();
    let first = token(1);
    world.at.moto.begin_rotation(AWS_SECRET, &first).unwrap();
    lambda.must(&step(&world, "createSecret", &first));
    // The server refuses the change for good.
    world.at.postgres.psql("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dizzy FROM PUBLIC, orders_a, orders_b").unwrap();
    let (_, body) = lambda.fails(&step(&world, "setSecret", &first));
    world.assert_at_rest("after the way back");
    println!("{body}");
    world.at.prepare().unwrap();
    let (code, body) = lambda.fails(&step(&world, "createSecret", &first));
    assert_eq!(code, "DK-706", "{body}");
    assert!(body["errorMessage"].as_str().unwrap().contains("--version-stage AWSPENDING"), "{body}");
    // What the hint says, and the service begins again.
    let cure = json!({"SecretId": AWS_SECRET, "VersionStage": "AWSPENDING", "RemoveFromVersionId": first});
    world.at.moto.call("secretsmanager", "UpdateSecretVersionStage", &cure).unwrap();
    let second = token(2);
    world.at.moto.begin_rotation(AWS_SECRET, &second).unwrap();
    drive(&world, &lambda, &second, 1);
    assert_eq!(published_id(&world), second);
    world.assert_at_rest(SET);
}

/// docs/lambda.md shows what this says; where they differ, this prints what belongs there.
#[test]
fn the_transcript_in_the_documentation_is_what_happens() {
    let world = World::alternating();
    let lambda = world.lambda();
    let token = token(1);
    world.at.moto.begin_rotation(AWS_SECRET, &token).unwrap();
    let mut transcript = String::new();
    for name in STEPS {
        let event = step(&world, name, &token);
        let answer = lambda.must(&event);
        let arn = event["SecretId"].as_str().unwrap();
        for (arrow, value) in [("->", &event), ("<-", &answer)] {
            let line = value
                .to_string()
                .replace(arn, "arn:aws:secretsmanager:us-west-2:123456789012:secret:prod/orders-AbCdEf");
            transcript += &format!("{arrow} {}\n", line.replace(ROTATION_TOKEN, "..."));
        }
    }
    world.assert_at_rest("after the transcript");
    documented("lambda.md", &transcript);
}
