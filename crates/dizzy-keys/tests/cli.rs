//! The binary as a script meets it: exit codes, channels, the files it writes. What needs a database is tested elsewhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

/// Runs the binary in `folder`, without the caller's environment.
fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dizzy-keys")).args(args).current_dir(folder).env_clear().output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn exit(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn init_writes_the_example_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(folder.path(), &["init"]);
    assert_eq!((exit(&first), err(&first).as_str()), (0, ""));
    assert!(out(&first).starts_with("Wrote ./dizzy-keys.toml."), "{}", out(&first));
    let path = folder.path().join("dizzy-keys.toml");
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/dizzy-keys.toml")).unwrap()
    );

    edit(&path, "# mine\n");
    let second = run(folder.path(), &["init", "--yes"]);
    assert_eq!((exit(&second), out(&second).as_str()), (2, ""));
    assert_eq!(
        err(&second),
        "DK-109: ./dizzy-keys.toml exists already\n\
         state: nothing was done, and nothing was changed\n\
         hint: name another file with --config, or replace this one with --force\n"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine\n");

    assert_eq!(exit(&run(folder.path(), &["init", "--force"])), 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["dizzy-keys.toml"], "nothing is left beside it");
}

#[test]
fn init_speaks_json_and_quotes_its_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let written = run(folder.path(), &["init", "--output", "json", "--config", "my orders.toml"]);
    let document: serde_json::Value = serde_json::from_str(&out(&written)).unwrap();
    assert_eq!(document["kind"], "init");
    assert_eq!(document["file"], "my orders.toml");
    assert_eq!(document["next"][1], "dizzy-keys --config 'my orders.toml' check");
    assert!(folder.path().join("my orders.toml").exists());
}

#[test]
fn init_into_a_missing_folder_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let failed = run(folder.path(), &["--config", "nowhere/x.toml", "init"]);
    assert_eq!(exit(&failed), 1);
    assert!(err(&failed).starts_with("DK-110: nowhere/x.toml cannot be written"), "{}", err(&failed));
}

#[test]
fn schema_is_json_whatever_the_output_form() {
    let folder = tempfile::tempdir().unwrap();
    for form in ["text", "json"] {
        let schema = run(folder.path(), &["schema", "--output", form]);
        let schema: serde_json::Value = serde_json::from_str(&out(&schema)).unwrap();
        assert_eq!(schema["title"], "dizzy-keys.toml");
    }
}

#[test]
fn completions_are_for_the_shell_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef dizzy-keys"), ("fish", "complete -c dizzy-keys")] {
        let script = run(folder.path(), &["completions", shell]);
        assert_eq!(exit(&script), 0);
        assert!(out(&script).contains(sign), "{shell}");
    }
    assert_eq!(exit(&run(folder.path(), &["completions", "tcsh"])), 2);
}

#[test]
fn usage_errors_have_the_form_of_all_errors() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = run(folder.path(), &["rotat"]);
    assert_eq!((exit(&wrong), out(&wrong).as_str()), (2, ""));
    assert_eq!(
        err(&wrong),
        "DK-101: unrecognized subcommand 'rotat'\n\
         state: nothing was done, and nothing was changed\n\
         hint: did you mean `rotate`? `dizzy-keys --help` lists everything\n"
    );
    let wrong = run(folder.path(), &["--output", "json", "rotate", "--al"]);
    let error: serde_json::Value = serde_json::from_str(&err(&wrong)).unwrap();
    assert_eq!((&error["error"]["code"], &error["error"]["exit"]), (&"DK-101".into(), &2.into()));
    let wrong = run(folder.path(), &["rotate"]);
    assert_eq!(exit(&wrong), 2);
    assert!(err(&wrong).starts_with("DK-101: the following required arguments were not provided:"), "{}", err(&wrong));
}

#[test]
fn help_and_version_are_data() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["--help"][..], &["-h"], &["help"], &["rotate", "--help"], &["--version"]] {
        let help = run(folder.path(), args);
        assert_eq!((exit(&help), err(&help).as_str()), (0, ""), "{args:?}");
        assert!(out(&help).contains("dizzy-keys"), "{args:?}");
    }
    let nothing = run(folder.path(), &[]);
    assert_eq!(exit(&nothing), 2);
    assert!(err(&nothing).contains("Usage:"));
}

#[test]
fn every_command_that_needs_it_reads_the_configuration_first() {
    let folder = tempfile::tempdir().unwrap();
    for command in
        [&["check"][..], &["prepare"], &["plan", "x"], &["rotate", "--all"], &["status"], &["verify"], &["recover"]]
    {
        let missing = run(folder.path(), command);
        assert_eq!((exit(&missing), out(&missing).as_str()), (2, ""), "{command:?}");
        assert!(err(&missing).starts_with("DK-102: ./dizzy-keys.toml: there is no such file\n"), "{}", err(&missing));
    }
}

#[test]
fn mistakes_in_the_configuration_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dizzy-keys.toml");
    let good = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/minimal.toml")).unwrap();
    for (text, start) in [
        (
            good.replace("users", "usres"),
            "DK-104: ./dizzy-keys.toml:3:1: sets.orders.databases.rds.usres: there is no key",
        ),
        (
            good.replace("\"orders_a\", ", ""),
            "DK-105: ./dizzy-keys.toml:3:1: sets.orders.databases.rds.users: one user needs",
        ),
        (good.replace("[sets", "[[sets"), "DK-103: ./dizzy-keys.toml:1:"),
    ] {
        edit(&path, &text);
        let wrong = run(folder.path(), &["status"]);
        assert_eq!(exit(&wrong), 2);
        assert!(err(&wrong).starts_with(start), "{}", err(&wrong));
    }
    edit(&path, &good);
    let wrong = run(folder.path(), &["plan", "order", "--output=json"]);
    let error: serde_json::Value = serde_json::from_str(&err(&wrong)).unwrap();
    assert_eq!(error["error"]["code"], "DK-104");
    assert_eq!(error["error"]["hint"], "did you mean `orders`?");
}

#[test]
fn the_environment_names_the_configuration_unless_the_option_does() {
    let folder = tempfile::tempdir().unwrap();
    let with = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dizzy-keys"));
        command.args(args).current_dir(folder.path()).env_clear().env("DIZZY_KEYS_CONFIG", "env.toml").output().unwrap()
    };
    assert!(err(&with(&["status"])).starts_with("DK-102: env.toml:"));
    assert!(err(&with(&["status", "--config", "opt.toml"])).starts_with("DK-102: opt.toml:"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_dizzy-keys"))
        .arg("schema")
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((exit(&done), err(&done).as_str()), (0, ""));
}

#[expect(clippy::disallowed_methods, reason = "a test's own file needs no durability")]
fn edit(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}
