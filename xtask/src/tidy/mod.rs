//! The house rules that a tool can check. Gathers the facts (Cargo's metadata, the graph as built, the files), hands them
//! to one pure function per rule, and prints every breach.
//!
//! Each rule lives in a file of its own with tests that show it failing; a rule returns sentences, one per breach.

mod error_pages;
mod graph;
mod layers;
mod licences;
mod secrets;
mod sources;
mod unverified;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// The platforms that releases are built for; the graph is checked as it would be linked there.
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Checks every rule and lists every breach.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the person at the terminal")]
pub(crate) fn run() -> anyhow::Result<()> {
    let metadata: Value = serde_json::from_slice(&cargo(&[
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        TARGETS[0],
    ])?)
    .context("read cargo's metadata")?;
    let root = PathBuf::from(
        metadata.get("workspace_root").and_then(Value::as_str).context("cargo's metadata names no workspace root")?,
    );

    let members = layers::members(&metadata)?;
    let mut breaches = layers::check(&members);

    let mut built = BTreeSet::new();
    for target in TARGETS {
        let tree = cargo(&[
            "tree",
            "--locked",
            "--workspace",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p}|{f}",
            "--target",
            target,
        ])?;
        built.extend(graph::parse(&String::from_utf8(tree).context("cargo's tree is not text")?));
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("read Cargo.lock")?;
    breaches.extend(graph::check(&built, &lock));
    breaches.extend(licences::check(&licences::packages(&metadata)?));

    let files = text_files(&root)?;
    breaches.extend(sources::check(&files));
    breaches.extend(secrets::check(&files));
    breaches.extend(error_pages::check(&files));
    breaches.extend(unverified::check(&files));

    if breaches.is_empty() {
        println!("tidy: {} packages, {} built, {} files", members.len(), built.len(), files.len());
        return Ok(());
    }
    for breach in &breaches {
        eprintln!("tidy: {breach}");
    }
    bail!("{} house rules are broken", breaches.len())
}

/// A file of the tree: its path from the root, with `/`, and its text.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every file that is, or would be, under version control and is text.
fn text_files(root: &Path) -> anyhow::Result<Vec<TextFile>> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("run git ls-files")?;
    if !listed.status.success() {
        bail!("git ls-files failed: tidy looks at the files of a clone");
    }
    let names: BTreeSet<&[u8]> = listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    let mut files = Vec::new();
    for name in names {
        let path = std::str::from_utf8(name).context("a file name is not UTF-8")?;
        // A deleted file is listed until the deletion is committed; a binary file has no lines to judge.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.push(TextFile { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn cargo(args: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("cargo").args(args).output().context("run cargo")?;
    if !output.status.success() {
        bail!("cargo {} failed:\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}
