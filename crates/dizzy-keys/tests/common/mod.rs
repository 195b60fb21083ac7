//! What the end-to-end tests share: the binary, one run of it as a test sees it, and judges that are not ours.
//!
//! Published credentials are read with the AWS command line and tried with psql. Nothing here looks into the product.

#![allow(dead_code, reason = "every test binary uses its own part")]
#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use dizzy_sandbox::{
    Installation, SET,
    installation::Member,
    moto::{Fault, Mishap},
};
use serde_json::{Value, json};

/// The product.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dizzy-keys"))
}

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) exit: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    pub(crate) fn of(output: &Output) -> Self {
        Self {
            exit: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics with everything that was said unless the run ended like this.
    pub(crate) fn expect(self, exit: i32) -> Self {
        assert_eq!(self.exit, Some(exit), "signal {:?}\n{}{}", self.signal, self.out, self.err);
        self
    }

    /// The line of standard error that starts so, without the start.
    pub(crate) fn line(&self, start: &str) -> Option<&str> {
        self.err.lines().find_map(|line| line.strip_prefix(start))
    }
}

/// Runs the product to its end.
pub(crate) fn run(at: &Installation, args: &[&str]) -> Told {
    Told::of(&at.run(args).unwrap())
}

/// Starts the product with its output caught.
pub(crate) fn start(at: &Installation, args: &[&str]) -> Running {
    Running::spawn(&mut at.command(args))
}

/// A process that dies with the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    /// Sends a signal by its name, as a person would.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    /// What it writes to standard output while it runs, line by line.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        let out = self.0.as_mut().unwrap().stdout.take().unwrap();
        BufReader::new(out).lines().map(Result::unwrap)
    }

    /// Waits for its end.
    pub(crate) fn told(mut self) -> Told {
        Told::of(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Waits until a call has met an injected fault, or the process has ended without one. Says whether one has.
pub(crate) fn meets_fault(at: &Installation, running: &mut Running) -> bool {
    loop {
        // In this order: a process that ended has made all its calls.
        let ended = running.has_ended();
        if at.moto.calls(None).unwrap().iter().any(|call| !call["fault"].is_null()) {
            return true;
        }
        if ended {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the product and kills it while a call to AWS is under way: the one that follows `passed` others of its operation. Says whether
/// there was such a call; without one the run has to succeed.
pub(crate) fn killed_at_call(at: &Installation, args: &[&str], operation: &str, mishap: Mishap, passed: u32) -> bool {
    at.moto.forget_calls().unwrap();
    at.moto.inject(&Fault::next(operation, mishap).after(passed)).unwrap();
    let mut running = start(at, args);
    let held = meets_fault(at, &mut running);
    if held {
        running.signal("KILL");
    }
    let told = running.told();
    at.moto.clear_faults().unwrap();
    assert_eq!(told.signal == Some(9), held, "{told:?}");
    if !held {
        told.expect(0);
    }
    held
}

/// What every secret publishes, by the AWS command line.
pub(crate) fn published(at: &Installation) -> BTreeMap<String, Value> {
    let mut args = vec!["secretsmanager", "batch-get-secret-value", "--secret-id-list"];
    args.extend(at.secrets.iter().map(String::as_str));
    let answer = at.moto.aws(&args).unwrap();
    let values = answer["SecretValues"].as_array().unwrap();
    assert_eq!(values.len(), at.secrets.len(), "{}", answer["Errors"]);
    values
        .iter()
        .map(|value| {
            let text = value["SecretString"].as_str().unwrap();
            (value["Name"].as_str().unwrap().to_owned(), serde_json::from_str(text).unwrap())
        })
        .collect()
}

/// What a secret holds under a label, if anything has the label.
pub(crate) fn labelled(at: &Installation, secret: &str, label: &str) -> Option<Value> {
    let input = json!({"SecretId": secret, "VersionStage": label});
    let answer = at.moto.call("secretsmanager", "GetSecretValue", &input).ok()?;
    Some(serde_json::from_str(answer["SecretString"].as_str().unwrap()).unwrap())
}

/// The credential of a database in a secret of format blob or rds.
pub(crate) fn credential(document: &Value, member: &Member) -> (String, String) {
    let entry = document.get(&member.name).unwrap_or(document);
    let text = |name: &str| entry[name].as_str().unwrap().to_owned();
    (text("username"), text("password"))
}

/// Published credentials that psql cannot log in with. Each different one is tried once.
pub(crate) fn dead(at: &Installation, documents: &BTreeMap<String, Value>) -> Vec<String> {
    let mut dead = Vec::new();
    for member in &at.members {
        let all: BTreeSet<_> = documents.values().map(|document| credential(document, member)).collect();
        for (user, password) in all {
            if !member.server.login(&user, &password).unwrap() {
                dead.push(format!("{user} on {}", member.name));
            }
        }
    }
    dead
}

/// Panics unless everything is as it is to be at rest: every secret publishes the same credentials, psql logs in with
/// them, and the register is idle with nothing open.
pub(crate) fn assert_at_rest(at: &Installation, story: &str) {
    let documents = published(at);
    for member in &at.members {
        let all: BTreeSet<_> = documents.values().map(|document| credential(document, member)).collect();
        assert_eq!(all.len(), 1, "{story}: the secrets differ about {}", member.name);
    }
    assert_eq!(dead(at, &documents), Vec::<String>::new(), "{story}");
    let register = at.register().unwrap();
    assert_eq!((register["phase"].as_str(), &register["next"]), (Some("idle"), &Value::Null), "{story}: {register}");
    for (name, database) in register["databases"].as_object().unwrap() {
        for (user, facts) in database["users"].as_object().unwrap() {
            let open = facts["maybe"].as_array().is_some_and(|maybe| !maybe.is_empty());
            assert!(!open || *user != database["live"], "{story}: {user} on {name}: {register}");
        }
    }
}

/// Everything that must not change when a run changes nothing: what the register says about the world (a worker that looks
/// takes a fresh epoch, notes expiries, and leaves word of a failure, which changes nothing), labels of every secret, password verifiers.
pub(crate) fn snapshot(at: &Installation) -> Vec<String> {
    let text = std::fs::read_to_string(at.path(&format!("journal/{SET}.json"))).unwrap_or_default();
    let mut register: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(fields) = register.as_object_mut() {
        for name in ["audit", "epoch", "owner", "taken", "quiet", "failures", "pause"] {
            fields.remove(name);
        }
    }
    let databases = register.get_mut("databases").and_then(Value::as_object_mut);
    for user in databases.into_iter().flat_map(|all| all.values_mut()).filter_map(|one| one["users"].as_object_mut()) {
        user.values_mut().filter_map(Value::as_object_mut).for_each(|facts| drop(facts.remove("expires")));
    }
    let mut all = vec![register.to_string()];
    all.extend(at.secrets.iter().map(|secret| at.moto.versions(secret).map(|v| v.to_string()).unwrap_or_default()));
    all.extend(at.members.iter().map(verifiers));
    all
}

/// The password verifiers of a server.
pub(crate) fn verifiers(member: &Member) -> String {
    member.server.psql("SELECT rolname, rolpassword FROM pg_authid ORDER BY 1").unwrap()
}

/// Runs the product, which must fail like this and change nothing. Returns the error: code, what, state, hint.
pub(crate) fn refuses(at: &Installation, story: &str, args: &[&str], exit: i32, code: &str, says: &[&str]) -> Value {
    let before = snapshot(at);
    let error = fails(at, story, args, exit, code, says);
    assert_eq!(snapshot(at), before, "{story}: something changed");
    error
}

/// Runs the product, which must fail like this.
pub(crate) fn fails(at: &Installation, story: &str, args: &[&str], exit: i32, code: &str, says: &[&str]) -> Value {
    let told = run(at, &[&["--output", "json"], args].concat());
    let error = error(&told, story);
    println!("{story}: {} exits {:?}\n  {}", args.join(" "), told.exit, words(&error));
    assert_eq!((told.exit, error["code"].as_str()), (Some(exit), Some(code)), "{story}: {}{}", told.out, told.err);
    for text in says {
        assert!(words(&error).contains(text), "{story}: no `{text}` in {}", words(&error));
    }
    error
}

/// The error that a run with `--output json` told, which must be whole.
pub(crate) fn error(told: &Told, story: &str) -> Value {
    let found =
        told.err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find(|v| v["error"].is_object());
    let error = found.unwrap_or_else(|| panic!("{story}: no error told\n{}{}", told.out, told.err))["error"].clone();
    for part in ["what", "state", "hint"] {
        assert!(error[part].as_str().is_some_and(|text| !text.is_empty()), "{story}: no {part} in {error}");
    }
    error
}

fn words(error: &Value) -> String {
    let text = |part: &str| error[part].as_str().unwrap_or_default().to_owned();
    format!("{}: {}\n  state: {}\n  hint: {}", text("code"), text("what"), text("state"), text("hint"))
}

/// Changes the configuration in one place; `at.configure("")` puts it back.
pub(crate) fn edit_config(at: &Installation, from: &str, to: &str) {
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    assert!(text.contains(from), "{text}");
    at.write("dizzy-keys.toml", &text.replace(from, to)).unwrap();
}

/// Publishes this text, as a person at the console would.
pub(crate) fn publish(at: &Installation, secret: &str, text: &str) {
    at.moto.call("secretsmanager", "PutSecretValue", &json!({"SecretId": secret, "SecretString": text})).unwrap();
}

/// The version that CURRENT is on.
pub(crate) fn current_id(at: &Installation, secret: &str) -> String {
    let answer = at.moto.call("secretsmanager", "GetSecretValue", &json!({"SecretId": secret})).unwrap();
    answer["VersionId"].as_str().unwrap().to_owned()
}

/// Puts CURRENT on another version.
pub(crate) fn move_current(at: &Installation, secret: &str, to: &str) {
    let from = current_id(at, secret);
    let input =
        json!({"SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": to, "RemoveFromVersionId": from});
    at.moto.call("secretsmanager", "UpdateSecretVersionStage", &input).unwrap();
}
