//! Statements of OCI that somebody has, held against those that the configuration needs.
//!
//! Each statement is taken apart into single permissions with what must hold for them. Statements for other groups are left aside and told.

use std::collections::BTreeSet;

use dizzy_oci::rights::{PERMISSIONS, Verb};
use serde_json::Value;

use super::{
    compare_aws::Differences,
    glob::covers,
    statement::{Statement, Test, parse},
};

/// Kinds of resources that stand for several.
const FAMILIES: [(&str, &[&str]); 5] = [
    ("secret-family", &["secrets", "secret-versions", "secret-bundles"]),
    ("object-family", &["objects", "buckets", "objectstorage-namespaces"]),
    ("ons-family", &["ons-topics", "ons-subscriptions"]),
    ("autonomous-database-family", &["autonomous-databases", "autonomous-backups"]),
    (
        "all-resources",
        &[
            "secrets",
            "secret-versions",
            "secret-bundles",
            "objects",
            "autonomous-databases",
            "ons-topics",
            "keys",
            "everything else",
        ],
    ),
];

/// One permission, where, and when.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Grant {
    /// The permission; `use keys` for a kind whose permissions are not listed here.
    permission: String,
    place: String,
    tests: BTreeSet<Test>,
}

/// Compares. `text` has one statement per line, or is the JSON that `oci iam policy get` prints.
///
/// # Errors
/// Why the text cannot be compared.
pub(crate) fn compare(needed: &[String], text: &str) -> Result<Differences, String> {
    let mut found = Differences::default();
    let mut wanted = Vec::new();
    let mut subject = String::new();
    for statement in needed {
        let parsed = parse(statement)?;
        subject.clone_from(&parsed.subject);
        wanted.extend(grants(&parsed));
    }
    let (mut given, mut for_all) = (Vec::new(), Vec::new());
    for (at, line) in lines(text)?.iter().enumerate() {
        let parsed = parse(line).map_err(|error| format!("statement {}: {error}", at + 1))?;
        if parsed.subject != subject && parsed.subject != "any-user" {
            found.notes.push(format!("left aside, because it is for {}: {line}", parsed.subject));
            continue;
        }
        if parsed.subject == subject { &mut given } else { &mut for_all }.extend(grants(&parsed));
    }
    for want in &wanted {
        if !given.iter().chain(&for_all).any(|grant| grant.includes(want)) {
            found.too_little.push(want.words());
        }
    }
    found.too_much.extend(for_all.iter().map(|grant| format!("{} for any-user", grant.words())));
    for grant in &given {
        if !wanted.iter().any(|want| want.includes(grant)) {
            let inside: Vec<String> = wanted.iter().filter(|want| grant.includes(want)).map(Grant::words).collect();
            found.too_much.push(match inside.as_slice() {
                [] => grant.words(),
                needs => format!("{}; needed is only {}", grant.words(), needs.join("; ")),
            });
        }
    }
    for list in [&mut found.too_little, &mut found.too_much] {
        list.sort();
        list.dedup();
    }
    Ok(found)
}

/// The statements of a file.
fn lines(text: &str) -> Result<Vec<String>, String> {
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        let list = value.get("data").unwrap_or(&value);
        let list = list.get("statements").unwrap_or(list).as_array().ok_or("the JSON has no list of statements")?;
        let texts: Option<Vec<String>> = list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
        return texts.ok_or_else(|| "a statement is not a text".to_owned());
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

fn grants(statement: &Statement) -> Vec<Grant> {
    let mut all = Vec::new();
    for alternative in &statement.alternatives {
        let (chosen, tests): (Vec<&Test>, Vec<&Test>) =
            alternative.iter().partition(|test| test.variable == "request.permission");
        let tests: BTreeSet<Test> = tests.into_iter().cloned().collect();
        for permission in permissions(statement) {
            let is_chosen = chosen.iter().all(|test| test.value.eq_ignore_ascii_case(&permission) == test.is_equal);
            if is_chosen {
                all.push(Grant { permission, place: statement.place.clone(), tests: tests.clone() });
            }
        }
    }
    all
}

/// What verb and kind stand for, by Oracle's tables as far as they are known here.
fn permissions(statement: &Statement) -> Vec<String> {
    if !statement.permissions.is_empty() {
        return statement.permissions.clone();
    }
    let one = [statement.kind.as_str()];
    let kinds = FAMILIES.iter().find(|(family, _)| *family == statement.kind).map_or(&one[..], |(_, kinds)| kinds);
    let verb = [Verb::Inspect, Verb::Read, Verb::Use, Verb::Manage].into_iter().find(|v| v.name() == statement.verb);
    let mut all = Vec::new();
    for kind in kinds {
        let known: Vec<String> = PERMISSIONS
            .iter()
            .filter(|(_, of, least)| of.name() == *kind && verb.is_some_and(|verb| *least <= verb))
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        if known.is_empty() {
            all.push(format!("{} {kind}", statement.verb));
        }
        all.extend(known);
    }
    all
}

impl Grant {
    /// Whether everything that `other` allows is allowed by this.
    fn includes(&self, other: &Self) -> bool {
        self.permission == other.permission
            && (self.place == "tenancy" || self.place == other.place)
            && self.tests.iter().all(|ours| other.tests.iter().any(|theirs| follows(theirs, ours)))
    }

    fn words(&self) -> String {
        let test =
            |test: &Test| format!("{} {} '{}'", test.variable, if test.is_equal { "=" } else { "!=" }, test.value);
        let tests: Vec<String> = self.tests.iter().map(test).collect();
        let when = if tests.is_empty() { String::new() } else { format!(" where {}", tests.join(", ")) };
        format!("{} in {}{when}", self.permission, self.place)
    }
}

/// Whether a request that meets `narrow` meets `wide`. OCI compares without regard to case.
fn follows(narrow: &Test, wide: &Test) -> bool {
    if narrow.variable != wide.variable || narrow.is_equal != wide.is_equal {
        return false;
    }
    let (narrow, wanted) = (narrow.value.to_lowercase(), wide.value.to_lowercase());
    match wanted.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
        Some(pattern) if wide.is_equal => covers(pattern, narrow.trim_matches('/')),
        Some(_) | None => narrow == wanted,
    }
}
