//! `cargo xtask guards`: takes every guard of the engine and every check of the audit verifier away, one at a time in a copy, and shows
//! which test notices.
//!
//! It runs on request, for some minutes. The ordinary tests only check that every change of text still applies (`list.rs`).

mod list;
mod verifier;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use list::{GUARDS, Guard};
use verifier::VERIFIER;

/// A package with guards: pure, so that a copy of it builds alone.
struct Part {
    /// Its folder.
    folder: &'static str,
    /// Its name.
    package: &'static str,
    /// What cargo runs, and what that is called in the table: the fast tests first, the others only if they notice nothing.
    tests: &'static [(&'static str, &'static [&'static str])],
    /// Its guards.
    guards: &'static [Guard],
}

const PARTS: [Part; 2] = [
    Part {
        folder: "crates/engine",
        package: "dizzy-engine",
        tests: &[
            ("stories", &["--test", "stories", "--config", ENGINE_QUICKLY]),
            ("explorer", &["--test", "explorer"]),
        ],
        guards: GUARDS,
    },
    Part {
        folder: "crates/audit",
        package: "dizzy-audit",
        tests: &[("unit tests", &["--lib", "--config", AUDIT_QUICKLY]), ("tampering", &["--test", "tampering"])],
        guards: VERIFIER,
    },
];

/// Compiling is all that takes time there.
const ENGINE_QUICKLY: &str = "profile.dev.package.dizzy-engine.opt-level=0";
const AUDIT_QUICKLY: &str = "profile.dev.package.dizzy-audit.opt-level=0";
/// A test that takes longer than this does not end: a guard against that was taken away.
const PATIENCE: Duration = Duration::from_secs(900);
const TICK: Duration = Duration::from_millis(50);

/// Takes every guard whose name contains `only` away, and prints what notices.
///
/// # Errors
/// If a guard is noticed by no test, does not apply, or does not compile.
#[expect(clippy::print_stdout, reason = "the table is the result")]
pub(crate) fn run(only: Option<&str>) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies below the root")?.to_owned();
    let copy = copy(&root)?;
    let mut unnoticed = Vec::new();
    println!("| guard | where | what notices that it is gone |\n|---|---|---|");
    for part in &PARTS {
        let guards = || part.guards.iter().filter(|g| only.is_none_or(|only| g.name.contains(only)));
        if guards().next().is_none() {
            continue;
        }
        ensure!(noticed(&copy, part)?.is_none(), "the tests of {} fail as it is", part.package);
        for guard in guards() {
            let path = copy.join(part.folder).join("src").join(guard.file);
            let whole = fs::read_to_string(&path)?;
            write(&path, &without(guard, &whole)?)?;
            let by = noticed(&copy, part).with_context(|| guard.name.to_owned());
            write(&path, &whole)?;
            let by = by?.unwrap_or_else(|| {
                unnoticed.push(guard.name);
                "NOTHING".to_owned()
            });
            println!("| {} | {} | {by} |", guard.name, guard.file);
        }
    }
    ensure!(unnoticed.is_empty(), "no test notices that these are gone: {}", unnoticed.join("; "));
    Ok(())
}

/// The text of a file without the guard.
fn without(guard: &Guard, whole: &str) -> anyhow::Result<String> {
    let Guard { name, file, from, to } = guard;
    let places = whole.matches(from).count();
    ensure!(places == 1, "{name}: its text is in {places} places of {file}");
    Ok(whole.replacen(from, to, 1))
}

/// A workspace of these packages alone, below the target folder.
fn copy(root: &Path) -> anyhow::Result<PathBuf> {
    let copy = root.join("target").join("guards");
    for part in PARTS {
        for below in ["src", "tests", "benches"] {
            let (from, to) = (root.join(part.folder).join(below), copy.join(part.folder).join(below));
            if to.exists() {
                fs::remove_dir_all(&to)?;
            }
            if from.exists() {
                copy_tree(&from, &to)?;
            }
        }
        let manifest = Path::new(part.folder).join("Cargo.toml");
        fs::copy(root.join(&manifest), copy.join(&manifest))?;
    }
    fs::copy(root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let members = r#"members = ["crates/*", "xtask"]"#;
    ensure!(workspace.contains(members), "the workspace names its members in another way");
    let folders = PARTS.map(|part| format!("{:?}", part.folder)).join(", ");
    write(&copy.join("Cargo.toml"), &workspace.replace(members, &format!("members = [{folders}]")))?;
    Ok(copy)
}

fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a scratch copy need not be durable")]
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The first test that fails in the copy.
fn noticed(copy: &Path, part: &Part) -> anyhow::Result<Option<String>> {
    for (test, which) in part.tests {
        let cargo = || {
            let mut command = Command::new(env!("CARGO"));
            let target = copy.join("target");
            command.current_dir(copy).env("CARGO_TARGET_DIR", target).args(["test", "--offline", "--quiet"]);
            command.args(["--package", part.package]).args(*which);
            command
        };
        let built = cargo().arg("--no-run").output()?;
        ensure!(built.status.success(), "does not compile:\n{}", String::from_utf8_lossy(&built.stderr));
        let log = copy.join("log");
        let mut child = cargo()
            .args(["--", "--format=pretty"])
            .env_remove("DIZZY_EXPLORE")
            .stdout(fs::File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()?;
        let mut waited = Duration::ZERO;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if waited > PATIENCE {
                child.kill()?;
                child.wait()?;
                break None;
            }
            thread::sleep(TICK);
            waited += TICK;
        };
        if status.is_some_and(|s| s.success()) {
            continue;
        }
        let text = fs::read_to_string(&log)?;
        let mut failed = text
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
            .map(|name| format!("{test}: {name}"));
        let first = failed.next().unwrap_or_else(|| {
            if status.is_some() { format!("{test}: dies") } else { format!("{test}: does not end") }
        });
        return Ok(Some(match failed.count() {
            0 => first,
            more => format!("{first} and {more} more"),
        }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_can_still_be_taken_away() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for part in PARTS {
            for guard in part.guards {
                let whole = fs::read_to_string(root.join(part.folder).join("src").join(guard.file)).unwrap();
                let changed = without(guard, &whole).unwrap();
                assert_ne!(changed, whole, "{}", guard.name);
            }
        }
    }

    #[test]
    fn every_guard_has_a_name_of_its_own() {
        let mut names: Vec<&str> = PARTS.iter().flat_map(|part| part.guards).map(|g| g.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn a_text_in_two_places_is_refused() {
        let guard = Guard { name: "g", file: "f", from: "a", to: "b" };
        assert_eq!(without(&guard, "xay").unwrap(), "xby");
        assert!(without(&guard, "aa").is_err());
        assert!(without(&guard, "x").is_err());
    }
}
