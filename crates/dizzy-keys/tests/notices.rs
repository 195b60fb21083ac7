//! Notices end to end: a webhook that is Python's own, a topic of SNS, and a program that does its work whether they arrive or not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at the first surprise")]

mod common;

use std::{collections::BTreeSet, fs, process::Command};

use common::{Told, assert_at_rest, binary, current_id, error, move_current, run};
use dizzy_sandbox::{
    Certificates, Installation, PostgresOptions, Receiver, SET, ServerCertificate, Users,
    moto::{Fault, Mishap, Unlabelled},
};
use serde_json::{Value, json};

const KEY: &str = "canary-signing-key-of-enough-bytes";

struct World {
    at: Installation,
    receiver: Receiver,
    _folder: tempfile::TempDir,
}

impl World {
    /// A prepared installation that tells a webhook with these statuses, and this besides.
    fn new(statuses: &[&str], more: &str) -> Self {
        let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::create(folder.path()).unwrap();
        let receiver = Receiver::start(&certificates, ServerCertificate::Good, statuses).unwrap();
        let text = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
        let notify = format!(
            "\n[[notify.receivers]]\nwebhook = \"env:HOOK\"\nsigning_key = \"env:HOOK_KEY\"\ntls_ca = \"file:{}\"\n{more}",
            certificates.ca_file().display()
        );
        at.write("dizzy-keys.toml", &(text + &notify)).unwrap();
        at.prepare().unwrap();
        Self { at, receiver, _folder: folder }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.at.command(args);
        command.env("HOOK", self.receiver.url()).env("HOOK_KEY", KEY);
        command
    }

    fn run(&self, args: &[&str]) -> Told {
        Told::of(&self.command(args).output().unwrap())
    }

    /// The notices so far, as soon as there are this many.
    fn notices(&self, at_least: usize) -> Vec<Value> {
        let requests = self.receiver.requests(at_least);
        requests.iter().map(|request| serde_json::from_str(request["body"].as_str().unwrap()).unwrap()).collect()
    }
}

const ALL: &str = "on = [\"failed\", \"stuck\", \"unfinished\", \"drift\", \"promoted\"]\n";

#[test]
fn every_end_is_told_once_and_no_secret_with_it() {
    let world = World::new(&["204"], ALL);
    let at = &world.at;
    at.moto.keep_unlabelled(Unlabelled::Stay).unwrap();
    let mut said = String::new();
    let mut tell = |story: &str, args: &[&str], exit: i32, told: usize, event: &str, code: Value| {
        let ended = world.run(&[&["-vvv", "--output", "json"], args].concat()).expect(exit);
        let notices = world.notices(told);
        assert_eq!(notices.len(), told, "{story}: {notices:?}");
        let last = notices.last().unwrap();
        println!("{story}: {last}");
        let shown = (last["event"].as_str(), &last["code"], last["exit"].as_i64(), last["set"].as_str());
        assert_eq!(shown, (Some(event), &code, Some(exit.into()), Some(SET)), "{story}");
        said.push_str(&(ended.out + &ended.err));
        notices.last().cloned().unwrap()
    };
    let rotated = tell("rotated", &["rotate", SET], 0, 1, "promoted", Value::Null);
    // The rotation's name is that of its version in the store.
    let labels = at.moto.versions(&at.secrets[0]).unwrap().to_string();
    assert!(labels.contains(rotated["rotation"].as_str().unwrap()), "{labels}");
    assert_eq!(rotated["generation"], at.register().unwrap()["current"]);

    at.moto.inject(&Fault::next("PutSecretValue", Mishap::Refuse(400, "AccessDeniedException"))).unwrap();
    let failed = tell("refused", &["rotate", SET], 1, 2, "failed", json!("DK-501"));
    for part in ["what", "state", "next", "text", "time", "key", "id", "rotation"] {
        assert!(failed[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {failed}");
    }
    assert_at_rest(at, "after a refusal");

    let always = Fault::next("UpdateSecretVersionStage", Mishap::Refuse(400, "AccessDeniedException")).times(1000);
    at.moto.inject(&always).unwrap();
    let mut limited = world.command(&["--output", "json", "rotate", SET]);
    let unfinished = Told::of(&limited.output().unwrap());
    let exit = unfinished.exit.unwrap();
    let last = world.notices(3).pop().unwrap();
    println!("unfinished: {last}");
    assert_eq!((exit, last["event"].as_str(), last["code"].as_str()), (6, Some("unfinished"), Some("DK-502")));
    at.moto.clear_faults().unwrap();
    world.run(&["recover", SET]).expect(0);
    assert_eq!(world.notices(4).len(), 4, "that it is finished is told too");

    let before = current_id(at, &at.secrets[0]);
    let versions = at.moto.versions(&at.secrets[0]).unwrap();
    let other = versions.as_object().unwrap().keys().find(|id| **id != before).unwrap().clone();
    move_current(at, &at.secrets[0], &other);
    let drift = world.run(&["--output", "json", "rotate", SET]).expect(1);
    assert_eq!(error(&drift, "drift")["code"], "DK-504");
    assert_eq!(world.notices(5)[4]["event"], "drift");
    move_current(at, &at.secrets[0], &before);

    // A set that is stuck is told by each scheduled run that meets it, under one key.
    let register_file = format!("journal/{SET}.json");
    let text = fs::read_to_string(at.path(&register_file)).unwrap();
    let mut register: Value = serde_json::from_str(&text).unwrap();
    register["phase"] = json!("stuck");
    register["next"] = json!(register["last"].as_u64().unwrap() + 1);
    register["last"] = register["next"].clone();
    at.write(&register_file, &register.to_string()).unwrap();
    for told in [6, 7] {
        world.run(&["--output", "json", "rotate", "--due"]).expect(3);
        let last = world.notices(told).pop().unwrap();
        assert_eq!((&last["event"], &last["key"]), (&json!("stuck"), &json!("orders/stuck/DK-503")));
    }
    at.write(&register_file, &text).unwrap();

    // No password was in a notice, and neither URL nor key is anywhere.
    let passwords = passwords(at);
    assert!(passwords.len() > 3, "{passwords:?}");
    let requests = world.receiver.requests(0);
    for request in &requests {
        assert!(request["headers"]["webhook-signature"].as_str().unwrap().starts_with("v1,"));
        let text = request.to_string();
        assert!(!passwords.iter().any(|password| text.contains(password)) && !text.contains(KEY), "{text}");
    }
    let ids: BTreeSet<String> = requests.iter().map(|request| request["headers"]["webhook-id"].to_string()).collect();
    assert_eq!(ids.len(), requests.len(), "each notice has an id of its own");
    for folder in ["journal", "audit"] {
        said.push_str(&everything_in(&at.path(folder)));
    }
    assert!(said.len() > 1000 && !said.contains("canary-webhook") && !said.contains(KEY), "{said}");
}

#[test]
fn a_receiver_that_is_gone_changes_nothing_but_the_log() {
    let mut world = World::new(&["500"], ALL);
    let told = world.run(&["rotate", SET]).expect(0);
    assert!(told.err.contains("a notice was not delivered") && told.err.contains("HTTP 500"), "{}", told.err);
    assert!(!told.err.contains("canary"), "{}", told.err);
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::create(folder.path()).unwrap();
    for (which, statuses, says) in [
        (ServerCertificate::Good, "hang", "no answer in time"),
        (ServerCertificate::UnknownCa, "204", "TLS cannot be verified"),
    ] {
        world.receiver = Receiver::start(&certificates, which, &[statuses]).unwrap();
        let text = fs::read_to_string(world.at.path("dizzy-keys.toml")).unwrap();
        // The receiver's own authority, which is the last in the file.
        let at = text.rfind("tls_ca = ").unwrap();
        let end = at + text[at..].find('\n').unwrap();
        let ca = format!("tls_ca = \"file:{}\"", certificates.ca_file().display());
        world.at.write("dizzy-keys.toml", &format!("{}{ca}{}", &text[..at], &text[end..])).unwrap();
        let told = world.run(&["rotate", SET]).expect(0);
        assert!(told.err.contains("a notice was not delivered") && told.err.contains(says), "{says}: {}", told.err);
    }
    // Not even the secret with the URL is there.
    let told = Told::of(&world.at.command(&["rotate", SET]).output().unwrap()).expect(0);
    assert!(told.err.contains("a notice was not delivered"), "{}", told.err);
    assert_at_rest(&world.at, "after notices that nobody took");
}

#[test]
fn a_test_reaches_every_receiver_and_check_sends_nothing() {
    let world = World::new(&["204"], "");
    let topic = world.at.moto.aws(&["sns", "create-topic", "--name", "ops"]).unwrap();
    let topic = topic["TopicArn"].as_str().unwrap().to_owned();
    let text = fs::read_to_string(world.at.path("dizzy-keys.toml")).unwrap();
    let with = |topic: &str| format!("{text}\n[[notify.receivers]]\ntopic = \"{topic}\"\n");
    world.at.write("dizzy-keys.toml", &with(&topic)).unwrap();
    let told = world.run(&["--output", "json", "notify", "test"]).expect(0);
    let document: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((&document["kind"], &document["exit"]), (&json!("notify"), &json!(0)), "{document}");
    assert!(document["receivers"].as_array().unwrap().iter().all(|row| row["delivered"] == true), "{document}");
    assert_eq!(world.notices(1)[0]["event"], "test");

    world.run(&["check"]).expect(0);
    assert_eq!(world.receiver.requests(0).len(), 1, "check sends nothing");
    let told = Told::of(&world.at.command(&["--output", "json", "check"]).output().unwrap()).expect(0);
    assert!(told.out.contains("notify: env:HOOK") && told.out.contains("warning"), "{}", told.out);

    // An ordinary rotation is not told by default, and a topic that is gone is an error of the test only.
    world.at.write("dizzy-keys.toml", &with(&format!("{topic}-none"))).unwrap();
    world.run(&["rotate", SET]).expect(0);
    assert_eq!(world.receiver.requests(0).len(), 1);
    let told = world.run(&["--output", "json", "notify", "test"]).expect(1);
    let failed = error(&told, "a topic that is not there");
    assert_eq!(failed["code"], "DK-801", "{failed}");
    assert_eq!(world.notices(2).len(), 2, "the other one was told");
    world.at.write("dizzy-keys.toml", text.split("[[notify").next().unwrap()).unwrap();
    assert_eq!(error(&run(&world.at, &["--output", "json", "notify", "test"]).expect(2), "nobody")["code"], "DK-105");
}

fn passwords(at: &Installation) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for secret in &at.secrets {
        for id in at.moto.versions(secret).unwrap().as_object().unwrap().keys() {
            let answer =
                at.moto.call("secretsmanager", "GetSecretValue", &json!({"SecretId": secret, "VersionId": id}));
            let document: Value = serde_json::from_str(answer.unwrap()["SecretString"].as_str().unwrap()).unwrap();
            found.extend(document["rds"]["password"].as_str().map(str::to_owned));
        }
    }
    found
}

fn everything_in(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        text.push_str(&if path.is_dir() {
            everything_in(&path)
        } else {
            fs::read_to_string(&path).unwrap_or_default()
        });
    }
    text
}
