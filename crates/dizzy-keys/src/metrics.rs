//! What is measured of a set's run, in the form that the platform makes metrics of: CloudWatch's embedded metric format on standard
//! output in Lambda, log lines in OCI Functions, nothing on a command line.
//!
//! Dimensions are the set and how it ended, and nothing else: what is different in each run would make a metric of its own each time.
//! docs/observability.md has names and units.

use std::io::Write as _;

use dizzy_engine::Timestamp;
use serde_json::{Map, Value, json};

use crate::render::rotate::{Outcome, RotateRow};

/// The namespace in CloudWatch; the filters and alarms of the Terraform module use the same.
const NAMESPACE: &str = "dizzy-keys";

/// Where measurements go.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Metrics {
    /// CloudWatch's embedded metric format, on standard output.
    Embedded,
    /// Log lines, one per value.
    Lines,
    /// Nowhere.
    #[default]
    Off,
}

/// What was measured of one set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    set: &'a str,
    rotation: Option<&'a str>,
    outcome: Option<Outcome>,
    ms: Option<u64>,
    rotated_at: Option<Timestamp>,
}

impl<'a> Measured<'a> {
    /// A set that was looked at and left alone.
    pub(crate) const fn at_rest(set: &'a str, rotated_at: Option<Timestamp>) -> Self {
        Self { set, rotation: None, outcome: None, ms: None, rotated_at }
    }

    /// A set that was worked on.
    pub(crate) fn of(row: &'a RotateRow) -> Self {
        let (rotation, outcome) = (row.rotation.as_deref(), Some(row.outcome));
        Self { set: &row.set, rotation, outcome, ms: Some(row.ms), rotated_at: row.rotated_at }
    }

    /// A set whose rotation came to an end in one of several calls: no call knows how long all took.
    pub(crate) const fn in_steps(
        set: &'a str,
        rotation: Option<&'a str>,
        outcome: Outcome,
        rotated_at: Option<Timestamp>,
    ) -> Self {
        Self { set, rotation, outcome: Some(outcome), ms: None, rotated_at }
    }

    /// Seconds since the last rotation ended; a clock that was set back makes it none.
    fn age(&self, now: Timestamp) -> Option<u64> {
        let at = self.rotated_at?;
        Some(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0) / 1000)
    }
}

impl Metrics {
    /// Writes what was measured. A reader that has gone away is no error: the work is done.
    pub(crate) fn write(self, measured: &Measured<'_>, now: Timestamp) {
        match self {
            Self::Off => {}
            Self::Lines => lines(measured, now),
            Self::Embedded => {
                if let Some(document) = embedded(measured, now) {
                    let line = document.to_string() + "\n";
                    drop(std::io::stdout().lock().write_all(line.as_bytes()));
                }
            }
        }
    }
}

/// The document of the embedded metric format; `None` if nothing was measured.
fn embedded(measured: &Measured<'_>, now: Timestamp) -> Option<Value> {
    let (mut directives, mut root) = (Vec::new(), Map::new());
    let metric = |name: &str, unit: &str| json!({"Name": name, "Unit": unit});
    let mut put = |name: &str, value: Value| drop(root.insert(name.to_owned(), value));
    put("Set", json!(measured.set));
    if let Some(outcome) = measured.outcome {
        put("Outcome", json!(outcome.name()));
        put("Rotations", json!(1));
        let mut metrics = vec![metric("Rotations", "Count")];
        if let Some(ms) = measured.ms {
            put("RotationDuration", json!(ms));
            metrics.push(metric("RotationDuration", "Milliseconds"));
        }
        directives.push(json!({"Namespace": NAMESPACE, "Dimensions": [["Set", "Outcome"]], "Metrics": metrics}));
    }
    if let Some(age) = measured.age(now) {
        put("CredentialAge", json!(age));
        let metrics = [metric("CredentialAge", "Seconds")];
        directives.push(json!({"Namespace": NAMESPACE, "Dimensions": [["Set"]], "Metrics": metrics}));
    }
    if let Some(rotation) = measured.rotation {
        put("rotation", json!(rotation));
    }
    if directives.is_empty() {
        return None;
    }
    put("_aws", json!({"Timestamp": now.0, "CloudWatchMetrics": directives}));
    Some(Value::Object(root))
}

/// One line per value, so that a filter on `metric` finds one number in `value`.
fn lines(measured: &Measured<'_>, now: Timestamp) {
    let outcome = measured.outcome.map(Outcome::name);
    let set = measured.set;
    if outcome.is_some() {
        tracing::info!(metric = "rotations", value = 1_u64, unit = "count", set, outcome, "a metric");
    }
    if let Some(ms) = measured.ms {
        tracing::info!(metric = "rotation_duration", value = ms, unit = "milliseconds", set, outcome, "a metric");
    }
    if let Some(age) = measured.age(now) {
        tracing::info!(metric = "credential_age", value = age, unit = "seconds", set, "a metric");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// What the specification asks of a document ("Specification: Embedded metric format", CloudWatch user guide): members that must be
    /// there, their types, lengths and numbers, and that each reference leads to a member of the root.
    fn assert_is_emf(document: &Value) {
        let within = |text: &Value, longest: usize| (1..=longest).contains(&text.as_str().unwrap().len());
        let metadata = document["_aws"].as_object().unwrap();
        assert!(metadata["Timestamp"].is_u64(), "{document}");
        let directives = metadata["CloudWatchMetrics"].as_array().unwrap();
        assert!(!directives.is_empty(), "{document}");
        for directive in directives {
            let keys: Vec<&String> = directive.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["Namespace", "Dimensions", "Metrics"], "{document}");
            assert!(within(&directive["Namespace"], 1024));
            for set in directive["Dimensions"].as_array().unwrap() {
                let names = set.as_array().unwrap();
                assert!(names.len() <= 30);
                for name in names {
                    assert!(within(name, 250) && within(&document[name.as_str().unwrap()], 1024), "{document}");
                }
            }
            let metrics = directive["Metrics"].as_array().unwrap();
            assert!((1..=100).contains(&metrics.len()));
            for metric in metrics {
                assert!(within(&metric["Name"], 1024));
                assert!(["Count", "Milliseconds", "Seconds"].contains(&metric["Unit"].as_str().unwrap()), "{document}");
                assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{document}");
            }
        }
        assert!(document.to_string().len() < 256 * 1024);
    }

    #[test]
    fn documents_are_those_of_the_specification() {
        let measured = Measured {
            set: "orders",
            rotation: Some("dizzy-g0000000008-0123456789"),
            outcome: Some(Outcome::RolledBack),
            ms: Some(812),
            rotated_at: Some(Timestamp(NOW.0 - 90_500)),
        };
        let document = embedded(&measured, NOW).unwrap();
        assert_is_emf(&document);
        assert_eq!(
            document,
            json!({
                "Set": "orders", "Outcome": "rolled-back", "Rotations": 1, "RotationDuration": 812, "CredentialAge": 90,
                "rotation": "dizzy-g0000000008-0123456789",
                "_aws": {"Timestamp": NOW.0, "CloudWatchMetrics": [
                    {"Namespace": "dizzy-keys", "Dimensions": [["Set", "Outcome"]], "Metrics": [
                        {"Name": "Rotations", "Unit": "Count"}, {"Name": "RotationDuration", "Unit": "Milliseconds"}]},
                    {"Namespace": "dizzy-keys", "Dimensions": [["Set"]], "Metrics": [{"Name": "CredentialAge", "Unit": "Seconds"}]},
                ]},
            })
        );
        let steps = embedded(&Measured::in_steps("orders", None, Outcome::Rotated, None), NOW).unwrap();
        assert_is_emf(&steps);
        assert!(steps.get("RotationDuration").is_none() && steps.get("CredentialAge").is_none(), "{steps}");
        let rest = embedded(&Measured::at_rest("orders", Some(Timestamp(NOW.0 + 5_000))), NOW).unwrap();
        assert_is_emf(&rest);
        assert_eq!((&rest["CredentialAge"], rest.get("Outcome")), (&json!(0), None), "a clock that was set back");
        assert_eq!(embedded(&Measured::at_rest("orders", None), NOW), None, "nothing was measured");
    }
}
