//! Exported events before the published schema of OCSF. `python/ocsf.py` says what it looks at.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// What the schema says of some events.
#[derive(Debug)]
pub struct Judgement {
    /// How many events of each class there were, by the class's number.
    pub classes: BTreeMap<String, u64>,
    /// What is wrong, and in which line.
    pub complaints: Vec<String>,
}

/// Judges events, one per line.
///
/// # Errors
/// If the environment of the tests is missing, or its program fails.
pub fn judge(events: &str) -> Result<Judgement> {
    let mut judge = Command::new(crate::moto::python()?)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/ocsf.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // It reads everything before it answers.
    judge.stdin.take().context("no standard input")?.write_all(events.as_bytes())?;
    let output = judge.wait_with_output()?;
    ensure!(output.status.success(), "ocsf.py failed; what it said is above");
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let classes = told.get("classes").and_then(Value::as_object).context("no classes")?.iter();
    let complaints = told.get("complaints").and_then(Value::as_array).context("no complaints")?.iter();
    Ok(Judgement {
        classes: classes.map(|(class, count)| (class.clone(), count.as_u64().unwrap_or_default())).collect(),
        complaints: complaints.map(|told| told.as_str().unwrap_or_default().to_owned()).collect(),
    })
}
