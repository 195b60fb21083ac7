//! What the audit trail costs a rotation: time, and calls of the places that hold it.
//!
//! A trail cannot be switched off, so the cheapest one (one folder, unsigned) is what the others are compared with. The places take turns,
//! rotation by rotation, so that all of them meet the same load. Buckets are those of moto and of the emulator: what a real one takes is not known.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use dizzy_sandbox_oci::{BucketOptions, NAMESPACE, Service};
use serde_json::Value;

use super::{figures, line, ms, now};
use crate::{OracleUsers, SET, TwoClouds, Users, moto::BucketKind};

/// Rotations with each trail.
const N: usize = 10;
const BUCKET: &str = "trail";

/// The trails: a name, and the lines of the configuration's table.
fn trails(folder: &str) -> [(&'static str, String); 4] {
    let key = format!("key = \"file:{folder}/audit-key\"\n");
    let (s3, oci) = (format!("\"s3://{BUCKET}/one\""), format!("\"oci://{NAMESPACE}/{BUCKET}/one\""));
    let both = format!("\"s3://{BUCKET}/two\", \"oci://{NAMESPACE}/{BUCKET}/two\"");
    [
        ("a folder, unsigned", format!("sinks = [\"file:{folder}/bare\"]\n")),
        ("S3 (moto), signed", format!("{key}sinks = [{s3}]\n")),
        ("OCI (emulator), signed", format!("{key}sinks = [{oci}]\n")),
        ("both, signed", format!("{key}sinks = [{both}]\n")),
    ]
}

/// One set with a database and a store in each cloud, rotated with each trail in turn; each goes on with its own.
pub(super) fn measure(binary: &Path) -> Result<()> {
    let at = TwoClouds::start(binary, Users::Alternating, OracleUsers::Alternating)?;
    at.moto.create_bucket(BUCKET, BucketKind::Plain)?;
    at.oci.create_bucket(BUCKET, &BucketOptions::new()).ok().context("create the bucket")?;
    at.prepare()?;
    at.must(&["rotate", SET])?;
    let config = fs::read_to_string(at.path("dizzy-keys.toml"))?;
    let (before, rest) = config.split_once("[audit]\n").context("no table of the trail")?;
    let after = rest.find("[sets.").and_then(|start| rest.get(start..)).context("no sets")?;
    let journal = at.path("journal");
    line("");
    line(&format!(
        "the trail of a rotation in two clouds, by its place; n = {N} each, in turn; a trail cannot be switched off"
    ));
    let trails = trails(&at.path("").display().to_string());
    let mut measured: Vec<(Vec<f64>, u64, usize, Value)> = vec![(Vec::new(), 0, 0, Value::Null); trails.len()];
    for round in 0..=N {
        for ((_, audit), (times, s3, oci, head)) in trails.iter().zip(&mut measured) {
            at.write("dizzy-keys.toml", format!("{before}[audit]\n{audit}{after}"))?;
            put_head(&journal, head)?;
            at.moto.forget_calls()?;
            at.oci.forget_log();
            let began = now();
            at.must(&["rotate", SET])?;
            let took = ms(began.elapsed());
            *head = at.register()?.get("audit").cloned().unwrap_or_default();
            // The first of each begins its trail.
            if round == 0 {
                continue;
            }
            times.push(took);
            let counts = at.moto.counts(None)?;
            let count = |operation: &str| counts.get(operation).and_then(Value::as_u64).unwrap_or_default();
            *s3 = (*s3).max(["PutObject", "GetObject", "GetBucket"].map(count).iter().sum());
            let buckets = at
                .oci
                .log()
                .iter()
                .filter(|call| call.service == Service::ObjectStorage && call.target.contains(BUCKET))
                .count();
            *oci = (*oci).max(buckets);
        }
    }
    for ((name, _), (times, s3, oci, _)) in trails.iter().zip(measured) {
        let how = format!("rotation, from spawn to exit; calls for the trail at most: S3 {s3}, OCI {oci}");
        line(&figures(name, times, &how));
    }
    Ok(())
}

/// The register names the head of one trail: that of the trail which is written next.
fn put_head(journal: &Path, head: &Value) -> Result<()> {
    let path = journal.join(format!("{SET}.json"));
    let mut register: Value = serde_json::from_slice(&fs::read(&path).context("read the register")?)?;
    *register.get_mut("audit").context("the register has no place for a head")? = head.clone();
    #[expect(clippy::disallowed_methods, reason = "equipment puts a register where nobody works with it")]
    fs::write(&path, serde_json::to_vec_pretty(&register)?)?;
    Ok(())
}
