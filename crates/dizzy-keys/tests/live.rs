//! `make live`, pointed at the stand-ins by the variables that point it at real clouds: every step of the script works, and without the
//! variables it says what is missing and fails.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod common;

use std::{path::Path, process::Command};

use common::{Told, binary};
use dizzy_sandbox::Stand;

fn script(before: &str) -> Told {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{before}exec scripts/live")]).current_dir(root);
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("DIZZY_KEYS", binary());
    Told::of(&shell.output().unwrap())
}

#[test]
fn the_script_for_real_clouds_runs_against_the_stand_ins() {
    let at = Stand::start(binary()).unwrap();
    let kept = tempfile::tempdir().unwrap();
    let env = format!(". '{}/env'; export TMPDIR='{}'; ", at.folder().display(), kept.path().display());
    let told = script(&env);
    println!("{}{}", told.out, told.err);
    let told = told.expect(0);
    for words in
        ["alternating: PostgreSQL and Oracle", "single", "rollover", "kill -9", "recover", "the audit trail verifies"]
    {
        assert!(told.out.lines().any(|line| line.starts_with("ok ") && line.contains(words)), "{words}: {}", told.out);
    }
    // One that is taken away again is missed by name.
    let told = script(&format!("{env}unset LIVE_OCI_SINGLE; ")).expect(1);
    assert_eq!(told.err, "NOT RUN: not set: LIVE_OCI_SINGLE (docs/live.md says what each names)\n");
}

#[test]
fn without_its_variables_it_says_in_one_line_which_are_missing() {
    let told = script("").expect(1);
    assert!(
        told.out.is_empty() && told.err.starts_with("NOT RUN: not set: LIVE_PG_ADMIN "),
        "{}{}",
        told.out,
        told.err
    );
    assert_eq!(told.err.lines().count(), 1);
}
