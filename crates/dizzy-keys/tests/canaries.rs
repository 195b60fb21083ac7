//! No password is anywhere but in the secrets: server logs, the product's output, journal, trail, process, files.
//!
//! Every password that any version of any secret ever held is a canary, and so is the administrator's. The scanner must find
//! a planted one first. Verifiers may be in the server's log (they are in its statements), and nowhere else.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use common::{Told, assert_at_rest, binary, fails, meets_fault, run, start};
use dizzy_sandbox::{
    Installation, PostgresOptions, SET, Users,
    moto::{Fault, Mishap, Unlabelled},
};
use serde_json::{Value, json};

/// What the installation sets as the administrator's password.
const ADMIN_PASSWORD: &str = "canary-admin-password-7Qx";
/// A rotation of this set has more points than this, and is undecided there.
const KILL_AT: &str = "24";

#[test]
fn no_password_is_anywhere_but_in_the_secrets() {
    let databases = [("rds", Users::Alternating), ("billing", Users::Single)];
    let at = Installation::start(binary(), &databases, 2, &PostgresOptions::default()).unwrap();
    // So that every password that was ever stored can be read back at the end.
    at.moto.keep_unlabelled(Unlabelled::Stay).unwrap();
    let mut places = Places::default();
    let mut passwords = BTreeSet::from([ADMIN_PASSWORD.to_owned()]);
    let mut verifiers = BTreeSet::new();

    places.told("prepare", &run(&at, &["-vvv", "--yes", "prepare", SET]).expect(0));
    note(&at, &mut passwords, &mut verifiers);
    for (round, form) in ["text", "json", "text"].into_iter().enumerate() {
        places.told(&format!("rotation {round}"), &run(&at, &["-vvv", "--output", form, "rotate", SET]).expect(0));
        note(&at, &mut passwords, &mut verifiers);
    }

    at.moto.inject(&Fault::next("PutSecretValue", Mishap::Refuse(400, "AccessDeniedException")).after(1)).unwrap();
    fails(&at, "a rollback", &["rotate", SET], 1, "DK-501", &[]);
    at.moto.inject(&Fault::next("PutSecretValue", Mishap::Refuse(400, "AccessDeniedException")).after(1)).unwrap();
    places.told("rollback", &run(&at, &["-vvv", "rotate", SET]).expect(1));
    note(&at, &mut passwords, &mut verifiers);

    let mut killed = at.command(&["-vvv", "rotate", SET]);
    let killed = Told::of(&killed.env("DIZZY_KEYS_KILL_AT", KILL_AT).output().unwrap());
    assert_eq!(killed.signal, Some(9), "{}", killed.err);
    places.told("killed", &killed);
    note(&at, &mut passwords, &mut verifiers);
    places.told("recover", &run(&at, &["-vvv", "--output", "json", "recover", SET]).expect(0));
    for command in ["check", "plan", "status", "verify"] {
        places.told(command, &run(&at, &["-vvv", command, SET]).expect(0));
    }

    // The process itself, held while it waits for an answer with every password of the rotation in memory.
    at.moto.forget_calls().unwrap();
    at.moto.inject(&Fault::next("UpdateSecretVersionStage", Mishap::Late)).unwrap();
    let mut held = start(&at, &["-vvv", "rotate", SET]);
    assert!(meets_fault(&at, &mut held), "the worker waits");
    for file in ["environ", "cmdline"] {
        let bytes = fs::read(format!("/proc/{}/{file}", held.id())).unwrap();
        assert!(!bytes.is_empty(), "{file} of a living process");
        places.add(format!("/proc/.../{file}"), bytes);
    }
    at.moto.wait_until_held(1).unwrap();
    at.moto.release().unwrap();
    places.told("held", &held.told().expect(0));
    assert_at_rest(&at, "the last rotation");
    note(&at, &mut passwords, &mut verifiers);
    assert!(passwords.len() > 10 && verifiers.len() > 8, "{} and {}", passwords.len(), verifiers.len());

    let mut names = Vec::new();
    walk(&at.path("."), &mut |path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Written by the installation, not by the product.
        if name != "admin.json" {
            places.add(path.display().to_string(), fs::read(path).unwrap());
            names.push(name);
        }
    });
    for expected in ["orders.json", "000000.ndjson", "segment.ndjson"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    let mut logs = Places::default();
    for member in &at.members {
        let log = member.server.log_text().unwrap();
        assert!(log.contains("ALTER ROLE"), "the log shows statements");
        logs.add(format!("log of {}", member.name), log.into_bytes());
    }

    // The scanner must find what is planted: in a file, and in a server's log.
    for planted in ["canary-planted", passwords.first().unwrap()] {
        let mut planting = Places::default();
        planting.add("planted".to_owned(), format!("...{planted}\n").into_bytes());
        planting.add("planted as JSON".to_owned(), json!({"a": planted}).to_string().into_bytes());
        assert_eq!(planting.holding(&BTreeSet::from([planted.to_owned()])).len(), 2);
    }
    let member = at.members.first().unwrap();
    member.server.psql("SELECT 'canary-planted'").unwrap();
    let mut planting = Places::default();
    planting.add("log".to_owned(), member.server.log_text().unwrap().into_bytes());
    assert_eq!(planting.holding(&BTreeSet::from(["canary-planted".to_owned()])), ["log"]);

    assert_eq!(
        logs.holding(&verifiers).len(),
        at.members.len(),
        "the statements hold verifiers, or they were not logged"
    );
    // The installation itself gives the administrator a password, in a statement.
    passwords.remove(ADMIN_PASSWORD);
    assert_eq!(logs.holding(&passwords), Vec::<String>::new(), "a password in a server's log");
    passwords.insert(ADMIN_PASSWORD.to_owned());
    assert_eq!(places.holding(&passwords), Vec::<String>::new(), "a password outside the secrets");
    assert_eq!(places.holding(&verifiers), Vec::<String>::new(), "a verifier outside the server");
}

/// Remembers every password in any version of any secret, and every verifier that a server has.
fn note(at: &Installation, passwords: &mut BTreeSet<String>, verifiers: &mut BTreeSet<String>) {
    for secret in &at.secrets {
        for id in at.moto.versions(secret).unwrap().as_object().unwrap().keys() {
            let input = json!({"SecretId": secret, "VersionId": id});
            let answer = at.moto.call("secretsmanager", "GetSecretValue", &input).unwrap();
            let text = answer.get("SecretString").and_then(Value::as_str).unwrap();
            let document: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
            let found = document.values().filter_map(|entry| entry.get("password").and_then(Value::as_str));
            passwords.extend(found.map(str::to_owned));
        }
    }
    for member in &at.members {
        let all =
            member.server.psql("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname <> 'dba'");
        verifiers.extend(all.unwrap().lines().map(str::to_owned));
    }
}

/// Text that was seen, by where.
#[derive(Default)]
struct Places(BTreeMap<String, String>);

impl Places {
    fn add(&mut self, name: String, bytes: Vec<u8>) {
        // Canaries are ASCII, so what is no text cannot hide one.
        self.0.insert(name, String::from_utf8_lossy(&bytes).into_owned());
    }

    fn told(&mut self, name: &str, told: &Told) {
        self.add(format!("standard output of {name}"), told.out.clone().into_bytes());
        self.add(format!("standard error of {name}"), told.err.clone().into_bytes());
    }

    /// Where one of these is. Passwords and verifiers are made of characters that JSON and logs leave as they are.
    fn holding(&self, canaries: &BTreeSet<String>) -> Vec<String> {
        let holds = |text: &str| canaries.iter().any(|canary| text.contains(canary));
        self.0.iter().filter(|(_, text)| holds(text)).map(|(name, _)| name.clone()).collect()
    }
}

fn walk(folder: &Path, found: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found(&path) }
    }
}
