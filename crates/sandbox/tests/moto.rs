//! The sandbox's AWS behaves as AWS documents it; judged by the AWS command line and by plain API calls.
#![allow(missing_docs, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _, stdin},
    net::TcpStream,
    process::{Command, Stdio, abort},
    thread,
};

use dizzy_sandbox::moto::{Fault, Mishap, Moto, Unlabelled};
use serde_json::{Value, json};

const SM: &str = "secretsmanager";

fn put(moto: &Moto, secret: &str, token: &str, text: &str, labels: &[&str]) -> Result<Value, String> {
    let input = json!({"SecretId": secret, "SecretString": text, "ClientRequestToken": token, "VersionStages": labels});
    moto.call(SM, "PutSecretValue", &input).map_err(|e| e.to_string())
}

fn relabel(moto: &Moto, secret: &str, label: &str, from: Option<&str>, to: Option<&str>) -> Result<Value, String> {
    let input = json!({"SecretId": secret, "VersionStage": label, "RemoveFromVersionId": from, "MoveToVersionId": to});
    moto.call(SM, "UpdateSecretVersionStage", &input).map_err(|e| e.to_string())
}

fn token(letter: char) -> String {
    letter.to_string().repeat(32)
}

fn labels_of(moto: &Moto, secret: &str, version: &str) -> Value {
    moto.versions(secret).unwrap().get(version).and_then(|v| v.get("labels")).cloned().unwrap_or_default()
}

#[test]
fn moto_is_corrected_to_what_aws_documents() {
    let moto = Moto::start().unwrap();
    a_used_token_never_overwrites(&moto);
    labels_move_by_compare_and_swap(&moto);
    a_version_without_labels_vanishes_unless_told_otherwise(&moto);
    the_label_quota_holds(&moto);
    an_empty_pending_version_can_be_filled(&moto);
    a_stale_read_shows_the_state_before_the_last_write(&moto);
    the_command_line_sees_the_same(&moto);
}

fn a_used_token_never_overwrites(moto: &Moto) {
    moto.create_secret("token", "zero").unwrap();
    let t = token('a');
    put(moto, "token", &t, "one", &["mine"]).unwrap();
    let again = put(moto, "token", &t, "one", &["mine"]).unwrap();
    assert_eq!((&again["VersionId"], &again["VersionStages"]), (&json!(t), &json!(["mine"])));
    assert_eq!(put(moto, "token", &t, "two", &["mine"]).unwrap_err(), "PutSecretValue: ResourceExistsException");
    // "Succeeds but does nothing" includes labels.
    put(moto, "token", &t, "one", &["other"]).unwrap();
    assert_eq!(labels_of(moto, "token", &t), json!(["mine"]));
    assert_eq!(moto.current_text("token").unwrap(), "zero");
}

fn labels_move_by_compare_and_swap(moto: &Moto) {
    let first = moto.create_secret("cas", "one").unwrap();
    let second = token('b');
    put(moto, "cas", &second, "two", &["mine"]).unwrap();
    for from in [None, Some(second.as_str())] {
        let refused = relabel(moto, "cas", "AWSCURRENT", from, Some(&second)).unwrap_err();
        assert_eq!(refused, "UpdateSecretVersionStage: InvalidParameterException", "{from:?}");
    }
    assert!(relabel(moto, "cas", "AWSCURRENT", Some(&first), None).is_err(), "CURRENT cannot be removed");
    relabel(moto, "cas", "AWSCURRENT", Some(&first), Some(&second)).unwrap();
    assert_eq!(labels_of(moto, "cas", &first), json!(["AWSPREVIOUS"]));
    assert_eq!(labels_of(moto, "cas", &second), json!(["mine", "AWSCURRENT"]));
    assert_eq!(moto.current_text("cas").unwrap(), "two", "a plain read follows the label");
    relabel(moto, "cas", "AWSCURRENT", Some(&second), Some(&first)).unwrap();
    assert_eq!(labels_of(moto, "cas", &first), json!(["AWSCURRENT"]));
    assert_eq!(labels_of(moto, "cas", &second), json!(["mine", "AWSPREVIOUS"]));
    let missing = relabel(moto, "cas", "mine", Some(&second), Some(&token('z'))).unwrap_err();
    assert_eq!(missing, "UpdateSecretVersionStage: InvalidParameterException");
}

fn a_version_without_labels_vanishes_unless_told_otherwise(moto: &Moto) {
    moto.create_secret("bare", "one").unwrap();
    for (kept, t) in [(Unlabelled::Stay, token('c')), (Unlabelled::Vanish, token('d'))] {
        moto.keep_unlabelled(kept).unwrap();
        put(moto, "bare", &t, "two", &["mine"]).unwrap();
        relabel(moto, "bare", "mine", Some(&t), None).unwrap();
        let there = moto.versions("bare").unwrap().get(&t).is_some();
        assert_eq!(there, kept == Unlabelled::Stay, "{kept:?}");
    }
    let seen = moto.call(SM, "DescribeSecret", &json!({"SecretId": "bare"})).unwrap();
    assert!(seen["VersionIdsToStages"].get(token('c')).is_none(), "unlabelled versions are not described");
}

fn the_label_quota_holds(moto: &Moto) {
    moto.create_secret("quota", "one").unwrap();
    let names: Vec<String> = (0..19).map(|n| format!("label-{n}")).collect();
    put(moto, "quota", &token('e'), "two", &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let refused = put(moto, "quota", &token('f'), "three", &["one-more"]).unwrap_err();
    assert_eq!(refused, "PutSecretValue: LimitExceededException");
}

fn an_empty_pending_version_can_be_filled(moto: &Moto) {
    moto.create_secret("rotation", "one").unwrap();
    let t = token('g');
    moto.begin_rotation("rotation", &t).unwrap();
    assert_eq!(labels_of(moto, "rotation", &t), json!(["AWSPENDING"]));
    let read = moto.call(SM, "GetSecretValue", &json!({"SecretId": "rotation", "VersionId": t}));
    assert_eq!(read.unwrap_err().to_string(), "GetSecretValue: ResourceNotFoundException");
    put(moto, "rotation", &t, "two", &["AWSPENDING"]).unwrap();
    assert_eq!(moto.versions("rotation").unwrap()[&t]["has_value"], json!(true));
}

fn a_stale_read_shows_the_state_before_the_last_write(moto: &Moto) {
    let first = moto.create_secret("stale", "one").unwrap();
    put(moto, "stale", &token('h'), "two", &["mine"]).unwrap();
    relabel(moto, "stale", "AWSCURRENT", Some(&first), Some(&token('h'))).unwrap();
    moto.answer_stale("stale", 1).unwrap();
    assert_eq!(moto.current_text("stale").unwrap(), "one");
    assert_eq!(moto.current_text("stale").unwrap(), "two");
}

fn the_command_line_sees_the_same(moto: &Moto) {
    let seen = moto.aws(&["secretsmanager", "get-secret-value", "--secret-id", "stale"]).unwrap();
    assert_eq!(seen["SecretString"], json!("two"));
    assert_eq!(seen["VersionStages"], json!(["mine", "AWSCURRENT"]));
    moto.set_owning_service("stale", "rds").unwrap();
    let seen = moto.aws(&["secretsmanager", "describe-secret", "--secret-id", "stale"]).unwrap();
    assert_eq!(seen["OwningService"], json!("rds"));
    let failed = moto.aws(&["secretsmanager", "get-secret-value", "--secret-id", "nowhere"]).unwrap_err();
    assert!(failed.to_string().contains("ResourceNotFoundException"), "{failed}");
}

#[test]
fn faults_hit_the_call_that_was_named_and_tell_the_log() {
    let moto = Moto::start().unwrap();
    moto.create_secret("mine", "one").unwrap();
    moto.create_secret("yours", "one").unwrap();
    let t = token('a');

    moto.inject(&Fault::next("PutSecretValue", Mishap::Refuse(400, "EncryptionFailure")).on("mine").after(1)).unwrap();
    put(&moto, "yours", &t, "two", &["x"]).unwrap();
    put(&moto, "mine", &t, "two", &["x"]).unwrap();
    assert_eq!(put(&moto, "mine", &token('b'), "two", &["x"]).unwrap_err(), "PutSecretValue: EncryptionFailure");
    assert!(moto.versions("mine").unwrap().get(token('b')).is_none());

    moto.inject(&Fault::next("PutSecretValue", Mishap::DropBefore)).unwrap();
    assert!(put(&moto, "mine", &token('c'), "two", &["y"]).is_err());
    assert!(moto.versions("mine").unwrap().get(token('c')).is_none());

    moto.inject(&Fault::next("PutSecretValue", Mishap::DropAfter)).unwrap();
    assert!(put(&moto, "mine", &token('d'), "two", &["y"]).is_err());
    assert!(moto.versions("mine").unwrap().get(token('d')).is_some());

    moto.inject(&Fault::next("PutSecretValue", Mishap::Late)).unwrap();
    thread::scope(|scope| {
        let late = scope.spawn(|| put(&moto, "mine", &token('e'), "two", &["z"]));
        moto.wait_until_held(1).unwrap();
        assert!(moto.versions("mine").unwrap().get(token('e')).is_none());
        assert_eq!(moto.release().unwrap(), 1);
        assert!(moto.versions("mine").unwrap().get(token('e')).is_some());
        assert!(late.join().unwrap().is_err(), "a late request is never answered");
    });

    assert_eq!(moto.clear_faults().unwrap(), 0);
    assert_eq!(moto.counts(Some("mine")).unwrap(), json!({"CreateSecret": 1, "PutSecretValue": 5}));
    let faults: Vec<Value> = moto.calls(Some("mine")).unwrap().iter().map(|call| call["fault"].clone()).collect();
    assert_eq!(json!(faults), json!([null, null, "refuse", "drop-before", "drop-after", "late"]));
    let log = json!(moto.calls(None).unwrap()).to_string();
    assert!(log.contains(r#""VersionStages":["x"]"#), "labels are logged");
    assert!(!log.contains("two"), "values are not");
}

#[test]
fn the_server_dies_with_its_parent() {
    const NAME: &str = "the_server_dies_with_its_parent";
    if env::var_os("DIZZY_MOTO_PARENT").is_some() {
        let moto = Moto::start().unwrap();
        println!("\nendpoint {}", moto.endpoint());
        stdin().lock().read_line(&mut String::new()).unwrap();
        abort();
    }
    let mut parent = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env("DIZZY_MOTO_PARENT", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let endpoint = lines.find_map(|line| line.unwrap().strip_prefix("endpoint http://").map(str::to_owned)).unwrap();
    let mut connection = TcpStream::connect(endpoint).unwrap();
    parent.stdin.take().unwrap().write_all(b"go\n").unwrap();
    // The server sends nothing unasked: this read ends when its process ends.
    assert!(matches!(connection.read(&mut [0]), Ok(0) | Err(_)));
    assert!(!parent.wait().unwrap().success());
}
