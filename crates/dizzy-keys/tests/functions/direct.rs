//! Commands as events, schedules, time that is short, freezes and kills.

use std::time::Duration;

use dizzy_sandbox::{
    SET,
    moto::{Fault, Mishap},
    platform::{Answered, Event, Quirk},
};
use serde_json::{Value, json};

use crate::{
    common::Told,
    world::{World, rotate},
};

const TRACE_ID: &str = "5759e988bd862e3fe1be46a994272793";

#[test]
fn commands_answer_with_the_documents_of_the_command_line() {
    let world = World::alternating();
    let lambda = world.lambda();
    let status = lambda.must(&json!({"action": "status"}));
    assert_eq!(
        (&status["kind"], &status["sets"][0]["phase"], &status["exit"]),
        (&json!("status"), &json!("idle"), &json!(0))
    );
    assert_eq!(lambda.must(&json!({"action": "check", "sets": [SET]}))["passes"], true);
    assert_eq!(lambda.must(&json!({"action": "plan", "sets": [SET]}))["to"], 2);
    let verify = lambda.must(&json!({"action": "verify"}));
    assert_eq!(verify["sets"][0]["logins"].as_array().unwrap().len(), 4, "{verify}");
    let rotated = lambda.must(&rotate());
    assert_eq!((&rotated["sets"][0]["outcome"], &rotated["sets"][0]["generation"]), (&json!("rotated"), &json!(2)));
    world.assert_at_rest("rotated by Lambda");
    assert_eq!(lambda.must(&json!({"action": "recover"}))["sets"][0]["outcome"], "nothing");
    let before = world.at.published().unwrap();
    let revoked = lambda.must(&json!({"action": "revoke", "sets": [SET]}));
    assert_eq!((&revoked["kind"], &revoked["exit"]), (&json!("revoke"), &json!(0)), "{revoked}");
    world.assert_at_rest("revoked by Lambda");
    for database in ["rds", "adb"] {
        let (user, password) = before[0].credential(database).unwrap();
        assert!(!world.at.logs_in(database, &user, &password).unwrap(), "{database}: what was published is dead");
    }
    // A schedule asks for what is due, and nothing is.
    let schedule =
        json!({"version": "0", "id": "1", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {}});
    assert_eq!(lambda.must(&schedule)["sets"], json!([]));

    // The same program in the other cloud, with that cloud's identity, on the same set.
    let (mut agent, process) = world.functions();
    let mut traced = rotate();
    traced["traceparent"] = json!(format!("00-{TRACE_ID}-53995c3f42cd8ad8-01"));
    let headers = [("Fn-Call-Id", "01ABC"), ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let answer = agent.call(&headers, traced.to_string().as_bytes()).unwrap();
    assert_eq!((answer.status, &answer.body["sets"][0]["generation"]), (200, &json!(5)), "{}", answer.body);
    world.assert_at_rest("rotated by a function of OCI");
    let answer = agent.call(&[], b"").unwrap();
    assert_eq!((answer.status, &answer.body["kind"], &answer.body["sets"]), (200, &json!("rotate"), &json!([])));

    // Every line of the log is one JSON object, those of a call carry its id, and there is no password among them.
    process.signal("KILL");
    let (functions, lambda) = (process.told(), lambda.ended());
    assert_measured(&lambda, &functions);
    let log = functions.err + &lambda.err;
    let lines = objects(&log);
    let flat = |line: &Value| line.as_object().unwrap().values().all(|value| !value.is_object() && !value.is_array());
    assert!(lines.iter().all(flat), "{log}");
    let called: Vec<&Value> = lines.iter().filter(|line| line["call"] == "01ABC").collect();
    assert!(called.iter().any(|line| line["message"] == "answered"), "{log}");
    // The platform's header and the event's own key: the latter is nearer to who asked.
    assert!(called.iter().all(|line| line["trace_id"] == TRACE_ID), "{called:?}");
    let ended = called.iter().find(|line| line["message"] == "a set has ended").unwrap();
    let rotation = world.register()["register"].as_str().unwrap()[..10].to_owned();
    assert_eq!((&ended["set"], &ended["rotation"]), (&json!(SET), &json!(format!("dizzy-g0000000005-{rotation}"))));
    let [aws, vault] = world.at.published().unwrap();
    for database in ["rds", "adb"] {
        for published in [&aws, &vault] {
            let (_, password) = published.credential(database).unwrap();
            assert!(!log.contains(&password));
        }
    }
    assert!(!log.contains("canary"), "{log}");
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Metrics as each platform takes them: documents of the embedded format on standard output, lines of the log.
fn assert_measured(lambda: &Told, functions: &Told) {
    // A rotation, nothing to recover, a revoke, and a look at what is not due.
    let documents = objects(&lambda.out);
    let outcomes: Vec<&Value> = documents.iter().map(|document| &document["Outcome"]).collect();
    assert_eq!(outcomes, [&json!("rotated"), &json!("nothing"), &json!("revoked"), &Value::Null], "{}", lambda.out);
    for document in &documents {
        let directives = document["_aws"]["CloudWatchMetrics"].as_array().unwrap();
        assert!(document["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000, "{document}");
        let names: Vec<&Value> = directives.iter().flat_map(|d| &d["Metrics"].as_array().unwrap()[..]).collect();
        assert!(names.iter().all(|metric| document[metric["Name"].as_str().unwrap()].is_u64()), "{document}");
        for directive in directives {
            assert_eq!(directive["Namespace"], "dizzy-keys", "{document}");
            let dimensions = directive["Dimensions"][0].as_array().unwrap();
            let few = |name: &Value| ["Set", "Outcome"].contains(&name.as_str().unwrap());
            assert!(dimensions.iter().all(few), "{document}");
            assert!(dimensions.iter().all(|name| document[name.as_str().unwrap()].is_string()), "{document}");
        }
        assert_eq!(document["Set"], SET);
        assert!(document["CredentialAge"].as_u64().unwrap() < 600, "{document}");
    }
    assert!(documents[0]["RotationDuration"].as_u64().unwrap() > 0, "{}", documents[0]);

    assert_eq!(functions.out, "");
    let lines: Vec<Value> = objects(&functions.err).into_iter().filter(|line| line["message"] == "a metric").collect();
    let of = |name: &str| lines.iter().filter(|line| line["metric"] == name).collect::<Vec<_>>();
    let [rotations] = of("rotations")[..] else { panic!("{lines:?}") };
    assert_eq!(
        (&rotations["value"], &rotations["set"], &rotations["outcome"]),
        (&json!(1), &json!(SET), &json!("rotated"))
    );
    assert!(of("rotation_duration")[0]["value"].as_u64().unwrap() > 0 && of("credential_age").len() == 2, "{lines:?}");
}

#[test]
fn a_configuration_comes_from_the_variable_itself_or_from_where_it_says() {
    let world = World::alternating();
    let text = std::fs::read_to_string(world.config()).unwrap();
    world.at.moto.put_object("registers", "conf/a.toml", text.as_bytes()).unwrap();
    let parameter = json!({"Name": "/dizzy/config", "Value": text, "Type": "SecureString"});
    world.at.moto.call("ssm", "PutParameter", &parameter).unwrap();
    world.at.oci.create_bucket("conf", &dizzy_sandbox_oci::BucketOptions::new()).unwrap();
    world.at.oci.put_object("conf", "a.toml", text.as_bytes()).unwrap();
    let oci = format!("oci://{}/conf/a.toml", dizzy_sandbox_oci::NAMESPACE);
    for config in [text.as_str(), "s3://registers/conf/a.toml", "aws-ssm:/dizzy/config", &oci] {
        let lambda = world.lambda_with(config);
        assert_eq!(lambda.must(&json!({"action": "status"}))["sets"][0]["set"], SET, "{config}");
    }
    for (config, code) in [
        ("s3://registers/conf/none.toml", "DK-107"),
        ("aws-ssm:/dizzy/none", "DK-107"),
        ("/no/such/file.toml", "DK-102"),
        ("s3://registers", "DK-102"),
        ("x = 'canary-value'", "DK-104"),
    ] {
        let lambda = world.lambda_with(config);
        let (told, body) = lambda.fails(&json!({"action": "status"}));
        assert_eq!(told, code, "{config}: {body}");
        assert!(!lambda.told().contains("canary"), "{config}");
    }
}

#[test]
fn a_function_in_lambda_has_its_key_to_the_other_cloud_from_a_secret() {
    let world = World::alternating();
    let user = world.at.oci.principal("lambda", dizzy_sandbox_oci::Rights::all()).unwrap();
    let key = json!({
        "tenancy": dizzy_sandbox_oci::TENANCY, "user": user.user(), "fingerprint": user.fingerprint(),
        "region": dizzy_sandbox_oci::REGION, "key": user.private_key_pem(dizzy_sandbox_oci::KeyFormat::Pkcs8).unwrap(),
    });
    world.at.moto.create_secret("ops/oci-key", &key.to_string()).unwrap();
    world.at.moto.create_secret("ops/no-key", r#"{"user":"canary-user","key":"canary-key"}"#).unwrap();
    let text = std::fs::read_to_string(world.config()).unwrap();
    let with = |name: &str| {
        let api = dizzy_sandbox::LambdaApi::start().unwrap();
        let mut command = world.function(&format!("{text}[oci]\nkey = \"aws-sm:{name}\"\n"), &api.env());
        let process = crate::common::Running::spawn(command.env_remove("OCI_CONFIG_FILE"));
        crate::world::Lambda { api, process }
    };
    let lambda = with("ops/oci-key");
    assert_eq!(lambda.must(&rotate())["sets"][0]["outcome"], "rotated");
    world.assert_at_rest("rotated with a key from a secret");
    let log = lambda.told();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
    let before = world.snapshot();
    let lambda = with("ops/no-key");
    let (_, body) = lambda.fails(&rotate());
    assert!(body["errorMessage"].as_str().unwrap().contains("tenancy, user, fingerprint and key"), "{body}");
    assert!(!lambda.told().contains("canary"), "{body}");
    assert_eq!(world.snapshot(), before);
}

#[test]
fn a_function_that_was_frozen_goes_on_as_if_nothing_was() {
    let world = World::alternating();
    let mut lambda = world.lambda();
    for generation in 2..=4 {
        let rotated = lambda.must(&rotate());
        assert_eq!(rotated["sets"][0]["generation"], generation, "{rotated}");
        assert!(lambda.api.wait_until_ready());
        lambda.process.signal("STOP");
        // While it is frozen its connection to the platform dies, and its credentials are replaced.
        lambda.api.quirk(Quirk::CloseWaiting);
        world.at.moto.forget_calls().unwrap();
        lambda.process.signal("CONT");
        assert!(!lambda.process.has_ended());
    }
    world.assert_at_rest("after three freezes");
}

#[test]
fn without_time_nothing_is_begun_and_the_answer_says_so() {
    let world = World::alternating();
    let lambda = world.lambda();
    let before = world.snapshot();
    let event = Event::new(rotate().to_string()).within(Duration::from_secs(10));
    let (code, body) = lambda.fails_with(&event);
    assert_eq!(code, "DK-701", "{body}");
    assert_eq!(body["document"]["error"]["exit"], 1, "{body}");
    assert_eq!(world.snapshot(), before, "nothing was changed");
    world.assert_at_rest("after a call without time");
    lambda.must(&rotate());
    world.assert_at_rest("after a call with time");
}

#[test]
fn a_store_that_never_answers_gets_an_answer_in_time_and_the_next_call_finishes() {
    let world = World::alternating();
    let lambda = world.lambda();
    // The promotion hangs: the generation is decided, and the platform's time runs out.
    world.at.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::Hang).times(100)).unwrap();
    let event = Event::new(rotate().to_string()).within(Duration::from_secs(20));
    let (code, body) = lambda.fails_with(&event);
    assert!(matches!(code.as_str(), "DK-502" | "DK-701"), "{body}");
    assert_eq!(world.register()["phase"], "commit", "{body}");
    world.at.moto.clear_faults().unwrap();
    world.end_the_lease();
    let recovered = lambda.must(&json!({"action": "recover"}));
    assert_eq!(recovered["sets"][0]["outcome"], "rotated", "{recovered}");
    world.assert_at_rest("after the next call");
}

#[test]
fn a_function_that_is_killed_is_followed_by_one_that_finishes() {
    let world = World::alternating();
    // Some points of a rotation: before the intent, among the stages, among the changes, at the promotions.
    for point in [2_u32, 9, 14, 20, 26] {
        let api = dizzy_sandbox::LambdaApi::start().unwrap();
        let mut command = world.function(&world.config(), &api.env());
        let process = crate::common::Running::spawn(command.env("DIZZY_KEYS_KILL_AT", point.to_string()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| api.invoke(&Event::new(rotate().to_string())));
            assert_eq!(process.told().signal, Some(9), "point {point}");
            api.end();
            assert_eq!(waiting.join().unwrap(), Answered::TimedOut);
        });
        world.end_the_lease();
        let lambda = world.lambda();
        let Answered::Response(_) = lambda.call(&json!({"action": "recover"})) else { panic!("point {point}") };
        world.assert_at_rest(&format!("killed at {point}"));
    }
}
