//! Bad input: a clear error in the platform's own form, and nothing changed.

use dizzy_sandbox::{
    FnAgent, LambdaApi, SET,
    platform::{Answered, Event},
};
use serde_json::{Value, json};

use crate::{
    common::{Running, error},
    world::World,
};

/// As long as an event may be.
const MAX_EVENT: usize = 256 * 1024;

fn bad_events() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), "DK-703"),
        (json!({"password": "canary"}), "DK-703"),
        (json!({"action": "canary"}), "DK-703"),
        (json!({"action": "rotate"}), "DK-703"),
        (json!({"action": "rotate", "sets": [SET], "due": true}), "DK-703"),
        (json!({"action": "rotate", "all": true, "shard": "canary"}), "DK-703"),
        (json!({"action": "status", "forward_only": true}), "DK-703"),
        (json!({"action": "revoke"}), "DK-703"),
        (json!({"action": "rotate", "sets": ["no-such-set"]}), "DK-104"),
        (json!({"Step": "setSecret", "SecretId": "canary"}), "DK-703"),
        (json!({"Records": [{"eventSource": "aws:sqs", "body": "canary"}]}), "DK-703"),
    ]
}

#[test]
fn events_that_mean_nothing_are_refused_by_both_platforms() {
    let world = World::alternating();
    let before = world.snapshot();
    let lambda = world.lambda();
    let (mut agent, process) = world.functions();
    for (event, code) in bad_events() {
        let (told, body) = lambda.fails(&event);
        assert_eq!(told, code, "{event}");
        // The names of what has no known shape are told; what they hold never is.
        if let Some(name @ ("password" | "Records")) = event.as_object().unwrap().keys().next().map(String::as_str) {
            let message = body["errorMessage"].as_str().unwrap();
            assert!(message.contains(&format!("its keys are {name}")), "{message}");
        }
        let answer = agent.call(&[], event.to_string().as_bytes()).unwrap();
        assert_eq!((answer.status, &answer.body["error"]["code"]), (502, &json!(code)), "{event}: {}", answer.body);
    }
    assert_eq!(lambda.fails_with(&Event::new("canary")).0, "DK-703");
    assert_eq!(lambda.fails_with(&Event::new(vec![b' '; MAX_EVENT + 1])).0, "DK-704");
    assert_eq!(agent.call(&[], &vec![b'x'; MAX_EVENT + 1]).unwrap().body["error"]["code"], "DK-704");
    process.signal("KILL");
    let log = process.told().err + &lambda.told();
    assert!(!log.contains("canary"), "{log}");
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_deadline_that_cannot_be_one_counts_as_unknown() {
    let world = World::alternating();
    let lambda = world.lambda();
    let (mut agent, _process) = world.functions();
    let verify = json!({"action": "verify"}).to_string();
    for absurd in ["", "0", "-1", "soon", "600000", "99999999999999999999999999"] {
        let Answered::Response(document) = lambda.api.invoke(&Event::new(verify.as_str()).deadline_header(absurd))
        else {
            panic!("{absurd}");
        };
        assert_eq!(document["exit"], 0, "{absurd}: {document}");
    }
    for absurd in ["", "soon", "1970-01-01T00:10:00Z", "9999-12-31T23:59:59Z"] {
        let answer = agent.call(&[("Fn-Deadline", absurd)], verify.as_bytes()).unwrap();
        assert_eq!((answer.status, &answer.body["exit"]), (200, &json!(0)), "{absurd}: {}", answer.body);
    }
    assert_eq!(lambda.told().matches("panicked").count(), 0);
}

#[test]
fn a_register_or_a_trail_on_the_disk_of_a_function_is_refused() {
    let world = World::alternating();
    let before = world.snapshot();
    let text = std::fs::read_to_string(world.config()).unwrap();
    for (bucket, folder) in
        [("s3://registers/journal", "file:/tmp/journal"), ("s3://registers/audit-copy", "file:/tmp/audit")]
    {
        assert!(text.contains(bucket));
        let lambda = world.lambda_with(&text.replace(bucket, folder));
        assert_eq!(lambda.fails(&json!({"action": "rotate", "sets": [SET]})).0, "DK-705", "{folder}");
    }
    assert_eq!(world.snapshot(), before);
}

#[test]
fn variables_that_contradict_each_other_are_refused_at_the_start() {
    let world = World::alternating();
    let (api, agent) = (LambdaApi::start().unwrap(), FnAgent::start().unwrap());
    let with = |env: &[(String, String)]| {
        let told = Running::spawn(&mut world.function(&world.config(), env)).told();
        assert_eq!(told.exit, Some(2), "{}{}", told.out, told.err);
        assert_eq!(error(&told, "start")["code"], "DK-702", "{}", told.err);
    };
    with(&[api.env(), agent.env()].concat());
    let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    with(&one("FN_LISTENER", "tcp:127.0.0.1:80"));
    with(&one("AWS_LAMBDA_RUNTIME_API", "https://127.0.0.1"));
    with(&[agent.env(), one("FN_FORMAT", "json")].concat());
}

#[test]
fn an_identity_of_another_version_or_past_its_end_is_told() {
    let world = World::alternating();
    let before = world.snapshot();
    let hour = jiff::SignedDuration::from_hours(1);
    let rights = dizzy_sandbox_oci::Rights::all;
    let format = dizzy_sandbox_oci::KeyFormat::Pkcs8;
    let folder = |name: &str| {
        let folder = world.at.path(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let good = world.at.oci.session("one", rights(), hour).unwrap();
    let expired = world.at.oci.session("two", rights(), -hour).unwrap();
    let mut other_version = good.write_resource_principal(&folder("version"), format).unwrap();
    other_version[0].1 = "1.1".to_owned();
    let expired = expired.write_resource_principal(&folder("expired"), format).unwrap();
    let mut mismatched = good.write_resource_principal(&folder("mismatched"), format).unwrap();
    // The token of one session with the key of another.
    mismatched[2].1.clone_from(&expired[2].1);
    let another = world.at.oci.session("three", rights(), hour).unwrap();
    let another = another.write_resource_principal(&folder("another"), format).unwrap();
    mismatched[2].1.clone_from(&another[2].1);
    for (env, says) in [(other_version, "2.2"), (expired, "401"), (mismatched, "401")] {
        let mut agent = FnAgent::start().unwrap();
        let env = [agent.env(), env].concat();
        let _process = Running::spawn(world.function(&world.config(), &env).env_remove("OCI_CONFIG_FILE"));
        agent.connect().unwrap();
        let answer = agent.call(&[], json!({"action": "rotate", "sets": [SET]}).to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 502, "{}", answer.body);
        let told = answer.body.to_string();
        println!("{told}");
        assert!(told.contains(says) || told.contains("NotAuthenticated"), "{told}");
    }
    assert_eq!(world.snapshot(), before);
}
