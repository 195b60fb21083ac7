//! The committed inputs of a target: `corpus/TARGET/*`, read in the order of their names.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// Where the corpora are in the tree that this was built from.
#[must_use]
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

/// Every input of a target, with its file's name.
///
/// # Errors
/// If there is none, or one cannot be read.
pub fn read(target: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let folder = folder(target);
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry.context("read the folder")?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push((name, fs::read(&path).with_context(|| format!("read {}", path.display()))?));
    }
    ensure!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs.sort();
    Ok(inputs)
}
