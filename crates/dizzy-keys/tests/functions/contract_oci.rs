//! OCI Vault's rotation with a function as its target, driven in both ways in which version numbers are said to be passed on.

use dizzy_sandbox::{FnAgent, OracleUsers, Users};
use dizzy_sandbox_oci::Stage;
use serde_json::{Value, json};

use crate::world::{World, documented, rotate};

/// What step 3 is told: the number that step 2 returned, or the one that step 1 did.
#[derive(Clone, Copy, Debug)]
enum Passes {
    Last,
    Verified,
}

fn call(agent: &mut FnAgent, world: &World, step: &str, version: Option<u64>) -> Value {
    let event = json!({"step": step, "secretId": world.at.vault_secret, "versionNo": version});
    let answer = agent.call(&[], event.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{step}: {}", answer.body);
    let keys: Vec<&String> = answer.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["responseCode", "returnMessage", "versionNo"], "{step}");
    answer.body
}

fn must(agent: &mut FnAgent, world: &World, step: &str, version: Option<u64>) -> u64 {
    let body = call(agent, world, step, version);
    assert_eq!(body["responseCode"], 200, "{step}: {body}");
    body["versionNo"].as_u64().unwrap()
}

fn current(world: &World) -> u64 {
    world.at.oci.secret(&world.at.vault_secret).unwrap().at(Stage::Current).unwrap().number
}

#[test]
fn vault_rotates_a_set_whichever_number_it_passes_on() {
    for (postgres, oracle) in
        [(Users::Alternating, OracleUsers::Alternating), (Users::Single, OracleUsers::Alternating)]
    {
        let world = World::new(postgres, oracle);
        let (mut agent, process) = world.functions();
        for passes in [Passes::Last, Passes::Verified] {
            let before = current(&world);
            let verified = must(&mut agent, &world, "VERIFY_CONNECTION", None);
            assert_eq!(verified, before);
            // Each step twice: Vault may repeat it.
            let created = must(&mut agent, &world, "CREATE_PENDING_VERSION", Some(verified));
            assert_eq!(must(&mut agent, &world, "CREATE_PENDING_VERSION", Some(verified)), created);
            assert_eq!(must(&mut agent, &world, "VERIFY_CONNECTION", None), before, "PENDING logs in nowhere yet");
            let passed = match passes {
                Passes::Last => created,
                Passes::Verified => verified,
            };
            for _ in 0..2 {
                assert_eq!(must(&mut agent, &world, "UPDATE_TARGET_SYSTEM", Some(passed)), created, "{passes:?}");
            }
            assert_eq!(current(&world), before, "nothing is published");
            // A single user has the pending password by now, and no other.
            let logs_in = if postgres == Users::Single { created } else { before };
            assert_eq!(must(&mut agent, &world, "VERIFY_CONNECTION", None), logs_in);
            for _ in 0..2 {
                assert_eq!(must(&mut agent, &world, "PROMOTE_PENDING_VERSION", Some(created)), created);
            }
            assert_eq!(current(&world), created, "{passes:?}");
            world.assert_at_rest(&format!("{passes:?}"));
        }
        let event = rotate();
        assert_eq!(agent.call(&[], event.to_string().as_bytes()).unwrap().status, 200, "a rotation of our own");
        world.assert_at_rest("after a rotation of our own");
        process.signal("KILL");
        let log = process.told().err;
        assert!(!log.contains("canary"), "{log}");
    }
}

#[test]
fn a_step_that_fits_nothing_is_refused_in_vaults_form_and_changes_nothing() {
    let world = World::alternating();
    let (mut agent, _process) = world.functions();
    let before = world.snapshot();
    let published = current(&world);
    for (step, version) in [
        ("UPDATE_TARGET_SYSTEM", Some(published)),
        ("UPDATE_TARGET_SYSTEM", None),
        ("PROMOTE_PENDING_VERSION", Some(published + 7)),
        ("PROMOTE_PENDING_VERSION", None),
    ] {
        let body = call(&mut agent, &world, step, version);
        assert_eq!((&body["responseCode"], &body["versionNo"]), (&json!(500), &Value::Null), "{step}: {body}");
        assert!(body["returnMessage"].as_str().unwrap().starts_with("DK-706"), "{body}");
    }
    let unknown = json!({"step": "VERIFY_CONNECTION", "secretId": "ocid1.vaultsecret.oc1.iad.unknown"});
    let body = agent.call(&[], unknown.to_string().as_bytes()).unwrap().body;
    assert!(body["returnMessage"].as_str().unwrap().starts_with("DK-706"), "{body}");
    assert_eq!(
        must(&mut agent, &world, "PROMOTE_PENDING_VERSION", Some(published)),
        published,
        "it is CURRENT already"
    );
    assert_eq!(world.snapshot(), before);
    // A number that is not the pending one.
    let created = must(&mut agent, &world, "CREATE_PENDING_VERSION", None);
    must(&mut agent, &world, "UPDATE_TARGET_SYSTEM", None);
    let body = call(&mut agent, &world, "PROMOTE_PENDING_VERSION", Some(created + 1));
    assert_eq!(body["responseCode"], 500, "{body}");
    must(&mut agent, &world, "PROMOTE_PENDING_VERSION", Some(created));
    world.assert_at_rest("in the end");
}

/// docs/functions.md shows what this says; where they differ, this prints what belongs there.
#[test]
fn the_transcript_in_the_documentation_is_what_happens() {
    let world = World::alternating();
    let (mut agent, _process) = world.functions();
    let (mut transcript, mut version) = (String::new(), Value::Null);
    for step in ["VERIFY_CONNECTION", "CREATE_PENDING_VERSION", "UPDATE_TARGET_SYSTEM", "PROMOTE_PENDING_VERSION"] {
        let mut event = json!({"step": step, "secretId": world.at.vault_secret});
        if !version.is_null() {
            event["versionNo"] = version;
        }
        let answer = agent.call(&[], event.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{step}");
        for (arrow, value) in [("->", &event), ("<-", &answer.body)] {
            let line = value.to_string().replace(&world.at.vault_secret, "ocid1.vaultsecret.oc1..orders");
            transcript += &format!("{arrow} {line}\n");
        }
        version = answer.body["versionNo"].clone();
    }
    world.assert_at_rest("after the transcript");
    documented("functions.md", &transcript);
}
