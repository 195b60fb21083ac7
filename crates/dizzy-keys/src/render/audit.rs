//! `audit`: what a verification found, a record on one line, and the ages of credentials.

use dizzy_audit::{
    read::Record,
    verify::{Class, Finding, SetReport},
};
use dizzy_host::audit::Verification;
use serde::Serialize;

use super::{
    View,
    moment::Moment,
    text::{Text, Tone},
};

/// Findings that are shown one by one to people; the JSON form has more.
const SHOWN: usize = 50;

/// What `audit verify` found.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyView {
    /// The worst of all findings; null if there is none.
    pub worst: Option<Class>,
    /// One per set and place that was read together.
    pub sets: Vec<VerifiedTrail>,
}

/// A set.
#[derive(Clone, Debug, Serialize)]
pub struct VerifiedTrail {
    /// Its name.
    pub set: String,
    /// The worst finding.
    pub worst: Option<Class>,
    /// What was read, place by place.
    pub places: Vec<SetReport>,
    /// How many findings there are of each kind.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// The findings; of very many, the first thousand.
    pub findings: Vec<Finding>,
}

impl VerifyView {
    /// From what the verifier says. A set without a record and without a finding is left out.
    #[must_use]
    pub fn of(verifications: Vec<Verification>) -> Self {
        let has_trail = |v: &Verification| {
            v.places.iter().any(|place| place.summary.records > 0) || v.findings.worst() > Some(Class::Note)
        };
        let sets: Vec<VerifiedTrail> = verifications
            .into_iter()
            .filter(|verification| has_trail(verification))
            .map(|Verification { set, places, findings }| VerifiedTrail {
                set,
                worst: findings.worst(),
                places,
                counts: findings.counts.iter().map(|(kind, count)| (kind.code().to_owned(), *count)).collect(),
                findings: findings.kept,
            })
            .collect();
        Self { worst: sets.iter().filter_map(|set| set.worst).max(), sets }
    }
}

impl View for VerifyView {
    const KIND: &'static str = "audit-verify";

    fn text(&self, text: &mut Text) {
        for set in &self.sets {
            text.heading(&set.set);
            for place in &set.places {
                let s = &place.summary;
                let span = match (&s.first, &s.last) {
                    (Some(first), Some(last)) => format!(", {first} to {last}"),
                    _ => String::new(),
                };
                text.line(format_args!(
                    "{}: {} records in {} streams and {} objects{span}; {} signatures checked{}",
                    place.source,
                    s.records,
                    s.streams,
                    s.objects,
                    s.checked,
                    if s.covered > 0 { format!(", {} under a signed note", s.covered) } else { String::new() },
                ));
                if !s.kids.is_empty() {
                    text.line(format_args!("  keys {}", s.kids.join(", ")));
                }
                if let Some(head) = &s.head {
                    text.line(format_args!("  head {}:{}:{}", head.stream, head.seq, head.hash));
                }
            }
            for finding in set.findings.iter().take(SHOWN) {
                text.line(format_args!("  {}", told(finding)));
            }
            if set.findings.len() > SHOWN {
                text.line(format_args!("  ... and {} more", set.findings.len() - SHOWN));
            }
            text.line(match set.worst {
                None | Some(Class::Note) => Tone::Good.paint("checked, and nothing was found"),
                Some(Class::NotChecked) => {
                    Tone::Warn.paint("NOT EVERYTHING COULD BE CHECKED; nothing was found in what was")
                }
                Some(Class::Tampering) => Tone::Bad.paint("TAMPERED WITH: this is not what was written"),
            });
        }
    }
}

fn told(finding: &Finding) -> String {
    let Finding { kind, source, object, seq, offset, detail, .. } = finding;
    let mut place = source.clone();
    if !object.is_empty() {
        place = format!("{place} {object}");
    }
    if let Some(seq) = seq {
        place = format!("{place} record {seq}");
    }
    if let Some(offset) = offset {
        place = format!("{place} at byte {offset}");
    }
    format!("{kind} {place}: {detail}")
}

/// A record on one line, with a line feed.
#[must_use]
pub fn line(record: &Record) -> String {
    let mut line = format!("{}  {}  {:<18} {:<7}", record.time, record.set, record.kind, record.outcome);
    let mut add = |what: String| {
        line.push(' ');
        line.push_str(&what);
    };
    if let Some(generation) = record.generation {
        add(format!("g{generation}"));
    }
    if let Some(target) = &record.target {
        add(target.clone());
    }
    if let Some(version) = &record.version_id {
        add(format!("version {version}"));
    }
    if let Some(code) = &record.code {
        add(format!("({code})"));
    }
    if let Some(ms) = record.ms {
        add(format!("{ms} ms"));
    }
    if let Some(lost) = record.lost {
        add(format!("{lost} records lost"));
    }
    if let Some(kid) = &record.next_kid {
        add(format!("next key {kid}"));
    }
    if let Some(actor) = &record.actor {
        add(format!("by {actor}"));
    }
    line.push('\n');
    line
}

/// What `audit report` tells.
#[derive(Clone, Debug, Serialize)]
pub struct AgeReport {
    /// When it was made.
    pub at: Moment,
    /// The sets.
    pub sets: Vec<SetAge>,
}

/// A set with its rotations.
#[derive(Clone, Debug, Serialize)]
pub struct SetAge {
    /// Its name.
    pub set: String,
    /// Its last rotation, of all that the trail has.
    pub last: Option<Moment>,
    /// The last record of any kind; a schedule that is alive leaves one a day.
    pub seen: Option<Moment>,
    /// Whether the last one is longer ago than was asked for.
    pub over_age: bool,
    /// The rotations in the time that was asked for.
    pub rotations: Vec<Rotated>,
}

/// A rotation that was decided.
#[derive(Clone, Debug, Serialize)]
pub struct Rotated {
    /// The generation that it published.
    pub generation: Option<u64>,
    /// When it was decided.
    pub at: Moment,
    /// Who did it.
    pub actor: Option<String>,
}

impl View for AgeReport {
    const KIND: &'static str = "audit-report";

    fn text(&self, text: &mut Text) {
        let rows: Vec<Vec<String>> = self
            .sets
            .iter()
            .map(|set| {
                let last = set.last.map_or_else(|| "never".to_owned(), |last| last.to_string());
                let age = set.last.map_or_else(String::new, |last| last.relative(self.at));
                let over = if set.over_age { Tone::Bad.paint("over age") } else { String::new() };
                let seen = set.seen.map_or_else(|| "never".to_owned(), |seen| seen.relative(self.at));
                vec![set.set.clone(), set.rotations.len().to_string(), last, age, seen, over]
            })
            .collect();
        text.table(&["set", "rotations", "last", "age", "last record", ""], &rows);
    }
}

/// One line per rotation, and one for a set without any.
#[must_use]
pub fn csv(report: &AgeReport) -> String {
    let mut text = "set,generation,rotated_at,actor,last_rotation,last_record,over_age\n".to_owned();
    let moment = |moment: Option<Moment>| moment.map_or_else(String::new, |moment| moment.to_string());
    for set in &report.sets {
        let tail = format!("{},{},{}", moment(set.last), moment(set.seen), set.over_age);
        if set.rotations.is_empty() {
            text.push_str(&format!("{},,,,{tail}\n", quoted(&set.set)));
        }
        for rotation in &set.rotations {
            let generation = rotation.generation.map_or_else(String::new, |generation| generation.to_string());
            let actor = quoted(rotation.actor.as_deref().unwrap_or_default());
            text.push_str(&format!("{},{generation},{},{actor},{tail}\n", quoted(&set.set), rotation.at));
        }
    }
    text
}

/// RFC 4180; and no field begins as a formula does, for spreadsheets.
fn quoted(field: &str) -> String {
    let field = if field.starts_with(['=', '+', '-', '@']) { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}
