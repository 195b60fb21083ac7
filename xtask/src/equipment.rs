//! `demo`, `sandbox`, `bench` and `fuzz`: builds the product and the equipment, then runs the one on the other.

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How the product is built. The equipment is always built for debugging: it is not what is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Profile {
    Debug,
    Release,
}

impl Profile {
    const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Runs the demo. Always with a debug build: only that has the points at which the demo kills it.
pub(crate) fn demo(rest: &[String]) -> anyhow::Result<()> {
    if !rest.is_empty() {
        bail!("demo takes no arguments");
    }
    build("dizzy-keys", "dizzy-keys", Profile::Debug)?;
    build("dizzy-sandbox", "dizzy-demo", Profile::Debug)?;
    let folder = target()?;
    run(Command::new(folder.join("debug/dizzy-demo")).arg(folder.join("debug/dizzy-keys")))
}

/// Keeps a sandbox until it is interrupted. The child is in a process group of its own, so that Ctrl-C ends this process alone; the child
/// then finds its standard input at an end, and clears up before it ends as well.
pub(crate) fn sandbox(rest: &[String]) -> anyhow::Result<()> {
    if !rest.is_empty() {
        bail!("sandbox takes no arguments");
    }
    build("dizzy-keys", "dizzy-keys", Profile::Debug)?;
    build("dizzy-sandbox", "dizzy-sandbox-up", Profile::Debug)?;
    let folder = target()?.join("debug");
    let mut child = Command::new(folder.join("dizzy-sandbox-up"))
        .arg(folder.join("dizzy-keys"))
        .process_group(0)
        .stdin(Stdio::piped())
        .spawn()
        .context("run the sandbox")?;
    // Held until this process ends.
    let held = child.stdin.take();
    let status = child.wait().context("wait for the sandbox")?;
    drop(held);
    if !status.success() {
        bail!("the sandbox ended with {status}");
    }
    Ok(())
}

/// Runs the measurements, of a debug build or, with `--release`, of a release build.
pub(crate) fn bench(rest: &[String]) -> anyhow::Result<()> {
    let profile = match rest {
        [] => Profile::Debug,
        [option] if option == "--release" => Profile::Release,
        _ => bail!("bench takes --release, or nothing"),
    };
    build("dizzy-keys", "dizzy-keys", profile)?;
    build("dizzy-sandbox", "dizzy-bench", Profile::Debug)?;
    let folder = target()?;
    let product = folder.join(profile.folder()).join("dizzy-keys");
    run(Command::new(folder.join("debug/dizzy-bench")).arg(product).arg(profile.folder()))
}

/// Attacks every parser, or the named ones. Optimized, but with every check of a debug build: a number that runs over is a finding.
pub(crate) fn fuzz(rest: &[String]) -> anyhow::Result<()> {
    run(Command::new("cargo").args(["build", "--locked", "--package", "dizzy-fuzz", "--profile", "fuzz"]))?;
    let folder = target()?.join("fuzz");
    run(Command::new(folder.join("dizzy-fuzz")).arg("--findings").arg(folder.join("findings")).args(rest))
}

fn build(package: &str, binary: &str, profile: Profile) -> anyhow::Result<()> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--locked", "--package", package, "--bin", binary]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    run(&mut cargo)
}

/// The build folder, as Cargo tells it.
fn target() -> anyhow::Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--locked", "--no-deps"])
        .output()
        .context("run cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("read cargo's metadata")?;
    let folder = metadata.get("target_directory").and_then(Value::as_str);
    folder.map(PathBuf::from).context("cargo's metadata names no target folder")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
