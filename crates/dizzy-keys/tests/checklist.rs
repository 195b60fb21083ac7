//! The checklist of `check`: what it prints is carried out as it stands, by psql, a shell and an editor, until nothing is left to do.
//!
//! Nobody corrects a text on the way. The one thing that a person adds is where the administrator's login is, which no program can know.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests panic and print as tests do"
)]

mod common;

use std::process::Command;

use common::{Told, binary, edit_config, run};
use dizzy_sandbox::{Installation, PostgresOptions, SET, Users};
use serde_json::{Value, json};

/// A person gives up after as many looks.
const ROUNDS: usize = 6;

fn installation() -> Installation {
    Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap()
}

/// Carries a step out as it is printed.
fn carry_out(at: &Installation, step: &Value) {
    let text = step["text"].as_str().unwrap();
    match step["do"].as_str().unwrap() {
        "sql" => drop(at.members.first().unwrap().server.psql(text).unwrap()),
        "run" => in_a_shell(at, text),
        "configure" => configure(at, text),
        other => panic!("nobody can carry out `{other}`: {text}"),
    }
}

fn in_a_shell(at: &Installation, command: &str) {
    on_a_terminal(at, command).expect(0);
}

/// On a terminal, where `prepare` asks; whoever sits there says yes.
fn on_a_terminal(at: &Installation, command: &str) -> Told {
    let path = [binary(), &at.moto.python()].map(|file| file.parent().unwrap().display().to_string());
    let mut shell = Command::new("script");
    shell.args(["--quiet", "--return", "--command", command, "/dev/null"]);
    shell.env_clear().envs(at.moto.env()).env("PATH", format!("{}:{}:/usr/bin:/bin", path[0], path[1]));
    shell.current_dir(at.path("")).stdin(std::process::Stdio::piped());
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = shell.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"y\n").unwrap();
    Told::of(&child.wait_with_output().unwrap())
}

/// Puts keys below the header of their table, as an editor would, in the place of those that are there.
fn configure(at: &Installation, toml: &str) {
    let admin = format!("file:{}", at.path("admin.json").display());
    let toml = toml.replace("REFERENCE", &admin);
    let (header, keys) = toml.split_once('\n').unwrap();
    let name = keys.split_once(" = ").unwrap().0;
    let text = std::fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    assert!(text.contains(&format!("{header}\n")), "{header}\n{text}");
    let mut inside = false;
    let kept: Vec<&str> = text
        .lines()
        .filter(|line| {
            inside = if line.starts_with('[') { *line == header } else { inside };
            !(inside && line.starts_with(&format!("{name} = ")))
        })
        .collect();
    let edited = kept.join("\n").replace(&format!("{header}\n"), &format!("{header}\n{keys}\n"));
    at.write("dizzy-keys.toml", &(edited + "\n")).unwrap();
}

fn checked(at: &Installation) -> (Told, Value) {
    let told = run(at, &["--output", "json", "check", SET]);
    let report = serde_json::from_str(&told.out).unwrap_or_else(|_| panic!("{}{}", told.out, told.err));
    (told, report)
}

/// Works through the list until it is empty; returns what was done, in order.
fn until_nothing_is_left(at: &Installation) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..ROUNDS {
        let (told, report) = checked(at);
        let list = report["checklist"].as_array().unwrap();
        assert_eq!(told.exit == Some(0), report["passes"] == true, "{}{}", told.out, told.err);
        if list.is_empty() {
            assert_eq!(report["passes"], true, "nothing to do, and it does not pass: {report}");
            return done;
        }
        for task in list {
            let mends = task["mends"].as_array().unwrap();
            assert!(!mends.is_empty() && !task["steps"].as_array().unwrap().is_empty(), "{task}");
            for step in task["steps"].as_array().unwrap() {
                println!("{}: {}", step["do"], step["text"]);
                carry_out(at, step);
                done.push(step["do"].as_str().unwrap().to_owned());
            }
        }
    }
    let (told, report) = checked(at);
    panic!("after {ROUNDS} rounds this is left: {}\n{}", report["checklist"], told.err)
}

/// What the list says has to be the whole truth: a rotation starts now.
fn rotates(at: &Installation) {
    run(at, &["rotate", SET]).expect(0);
    assert_eq!(at.dead().unwrap(), Vec::<String>::new());
}

/// The trail has a key from the beginning, so that the list can become empty.
fn with_key(at: &Installation, key: &str) {
    edit_config(at, "[audit]\n", &format!("[audit]\nkey = \"file:{}\"\n", at.path(key).display()));
}

#[test]
fn with_an_administrator_one_command_makes_all_that_prepare_can_make() {
    let at = installation();
    let member = at.members.first().unwrap();
    let first = member.users.first().unwrap();
    let secret = at.secrets.first().unwrap();
    // JSON is for a script, which is not asked, whatever its terminal answers.
    let script = on_a_terminal(&at, &format!("dizzy-keys --config dizzy-keys.toml --output json prepare {SET}"));
    assert!(script.out.contains("DK-108") && !script.out.contains("[y/N]"), "{}", script.out);
    script.expect(2);
    assert!(!at.path("journal/orders.json").exists());
    // What stands in the way, and what only warns; `prepare` mends neither.
    member.server.psql(&format!("ALTER ROLE {first} VALID UNTIL 'tomorrow'; ALTER ROLE {first} CREATEROLE")).unwrap();
    at.moto.aws(&["secretsmanager", "delete-secret", "--secret-id", secret]).unwrap();
    let told = run(&at, &["check", SET]).expect(1);
    for words in ["To do", "restore-secret --secret-id", "Then: dizzy-keys --config "] {
        assert!(told.out.contains(words), "{words}: {}", told.out);
    }
    let done = until_nothing_is_left(&at);
    assert_eq!(done.iter().filter(|action| *action == "configure").count(), 1, "the key: {done:?}");
    assert!(done.contains(&"sql".to_owned()), "{done:?}");
    rotates(&at);
}

#[test]
fn without_one_the_statements_are_for_a_person_and_an_administrator_is_asked_for_where_nothing_else_helps() {
    let at = installation();
    at.write("key", &"k".repeat(40)).unwrap();
    with_key(&at, "key");
    let admin = format!("admin = \"file:{}\"\n", at.path("admin.json").display());
    edit_config(&at, &admin, "");
    let (told, report) = checked(&at);
    assert_eq!(told.exit, Some(1));
    let needs = |words: &str| report["checklist"].to_string().contains(words);
    assert!(needs("CREATE SCHEMA") && needs("admin = ") && needs("rds_b"), "{report}");
    until_nothing_is_left(&at);
    rotates(&at);
}

#[test]
fn with_statements_alone_a_set_is_adopted_whose_second_user_was_published_before() {
    let at = installation();
    at.write("key", &"k".repeat(40)).unwrap();
    with_key(&at, "key");
    let admin = format!("admin = \"file:{}\"\n", at.path("admin.json").display());
    edit_config(&at, &admin, "");
    let member = at.members.first().unwrap();
    let (first, second) = (member.users.first().unwrap(), member.users.get(1).unwrap());
    let password = "canary-second-user-8Zw";
    member.server.create_role(second, password).unwrap();
    // Published in turn, as somebody did who rotated by hand.
    let secret = at.secrets.first().unwrap();
    let now = at.moto.current_text(secret).unwrap();
    let mut before: Value = serde_json::from_str(&now).unwrap();
    before["rds"]["username"] = json!(second);
    before["rds"]["password"] = json!(password);
    common::publish(&at, secret, &before.to_string());
    common::publish(&at, secret, &now);
    // A right that the application needs: the second user reaches what the first one owns.
    member.server.psql(&format!("CREATE TABLE t (); ALTER TABLE t OWNER TO {first}")).unwrap();
    let done = until_nothing_is_left(&at);
    assert!(done.iter().any(|action| action == "sql") && !done.contains(&"configure".to_owned()), "{done:?}");
    rotates(&at);
}
