//! A policy of IAM that somebody has, held against the one that the configuration needs.
//!
//! A right counts as granted if one statement of the given policy is at least as wide: its patterns match all that is needed, and it asks for
//! no condition that the need does not meet. The other way round, whatever is given and not covered by a need is too much.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    aws::{Conditions, Document},
    glob::covers,
};

/// Both directions, in words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Differences {
    pub(crate) too_little: Vec<String>,
    pub(crate) too_much: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// One action on one resource, under conditions.
#[derive(Clone, Debug)]
struct Grant {
    action: String,
    resource: String,
    conditions: Conditions,
}

/// Compares. `text` is a policy as IAM takes it, or what `aws iam get-role-policy` and `get-policy-version` print around it.
///
/// # Errors
/// Why the text cannot be compared.
pub(crate) fn compare(needed: &Document, text: &str) -> Result<Differences, String> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("it is not JSON (line {}, column {})", error.line(), error.column()))?;
    let statements = statements(&value).ok_or("it has no `Statement`: is it a policy of IAM?")?;
    let (mut allowed, mut denied, mut found) = (Vec::new(), Vec::new(), Differences::default());
    for (at, statement) in statements.iter().enumerate() {
        let name = statement.get("Sid").and_then(Value::as_str).map_or_else(|| format!("{}", at + 1), str::to_owned);
        for negation in ["NotAction", "NotResource"] {
            if statement.get(negation).is_some() {
                return Err(format!(
                    "statement {name} has {negation}, which cannot be compared: say what is allowed instead"
                ));
            }
        }
        let conditions =
            conditions(statement.get("Condition")).ok_or(format!("statement {name}: its condition cannot be read"))?;
        let list = |key: &str| texts(statement.get(key)).ok_or(format!("statement {name} has no {key}"));
        let (actions, resources) = (list("Action")?, list("Resource")?);
        let effect = statement.get("Effect").and_then(Value::as_str).unwrap_or_default();
        let into = match effect {
            "Allow" => &mut allowed,
            "Deny" => &mut denied,
            _ => return Err(format!("statement {name}: its effect is neither Allow nor Deny")),
        };
        for action in &actions {
            for resource in &resources {
                let (action, resource) = (action.clone(), resource.clone());
                into.push(Grant { action, resource, conditions: conditions.clone() });
            }
        }
    }
    let needed: Vec<Grant> = needed.statement.iter().flat_map(each).collect();
    for need in &needed {
        if !allowed.iter().any(|given| given.includes(need)) {
            found.too_little.push(need.words());
        }
        for given in denied.iter().filter(|given| given.meets(need)) {
            if given.conditions.is_empty() {
                found.too_little.push(format!("{}: a statement denies {}", need.words(), given.words()));
            } else {
                found.notes.push(format!("a statement denies {}, which may concern {}", given.words(), need.words()));
            }
        }
    }
    for given in &allowed {
        if needed.iter().any(|need| need.includes(given)) {
            continue;
        }
        let inside: Vec<String> = needed.iter().filter(|need| given.includes(need)).map(Grant::words).collect();
        found.too_much.push(match inside.as_slice() {
            [] => given.words(),
            needs => format!("{}; needed is only {}", given.words(), needs.join(", ")),
        });
    }
    Ok(found)
}

fn each(statement: &super::aws::Statement) -> Vec<Grant> {
    let mut all = Vec::new();
    for action in &statement.action {
        for resource in &statement.resource {
            let (action, resource) = (action.clone(), resource.clone());
            all.push(Grant { action, resource, conditions: statement.condition.clone() });
        }
    }
    all
}

impl Grant {
    /// Whether everything that `other` allows is allowed by this.
    fn includes(&self, other: &Self) -> bool {
        covers(&self.action.to_ascii_lowercase(), &other.action.to_ascii_lowercase())
            && covers(&self.resource, &other.resource)
            && flat(&self.conditions).all(|ours| flat(&other.conditions).any(|theirs| follows(&theirs, &ours)))
    }

    /// Whether this and `other` may concern the same request, conditions aside.
    fn meets(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.action.to_ascii_lowercase(), other.action.to_ascii_lowercase());
        (covers(&ours, &theirs) || covers(&theirs, &ours))
            && (covers(&self.resource, &other.resource) || covers(&other.resource, &self.resource))
    }

    fn words(&self) -> String {
        let conditions: Vec<String> =
            flat(&self.conditions).map(|(test, key, values)| format!("{test} {key} {}", values.join(" "))).collect();
        let when = if conditions.is_empty() { String::new() } else { format!(" if {}", conditions.join(", ")) };
        format!("{} on {}{when}", self.action, self.resource)
    }
}

type One<'a> = (&'a str, &'a str, &'a Vec<String>);

fn flat(conditions: &Conditions) -> impl Iterator<Item = One<'_>> {
    conditions.iter().flat_map(|(test, keys)| keys.iter().map(|(key, values)| (test.as_str(), key.as_str(), values)))
}

/// Whether a request that meets the condition `narrow` meets `wide`.
fn follows(narrow: &One<'_>, wide: &One<'_>) -> bool {
    if !narrow.1.eq_ignore_ascii_case(wide.1) {
        return false;
    }
    let (test, wanted) = (narrow.0.to_ascii_lowercase(), wide.0.to_ascii_lowercase());
    let wanted = wanted.trim_end_matches("ifexists");
    let is_pattern = |test: &str| matches!(test, "stringlike" | "arnlike" | "arnequals");
    if is_pattern(wanted) && (is_pattern(&test) || test == "stringequals") {
        return narrow.2.iter().all(|value| wide.2.iter().any(|pattern| covers(pattern, value)));
    }
    test == wanted && narrow.2.iter().all(|value| wide.2.contains(value))
}

/// The statements, wherever the tools put them.
fn statements(value: &Value) -> Option<Vec<&Value>> {
    let inside = ["PolicyDocument", "policy", "Document"].iter().find_map(|key| value.get(key));
    let inside = inside.or_else(|| value.get("PolicyVersion").and_then(|version| version.get("Document")));
    match inside.unwrap_or(value).get("Statement")? {
        Value::Array(all) => Some(all.iter().collect()),
        one @ Value::Object(_) => Some(vec![one]),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// One text or a list of them.
fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(one) => Some(vec![one.clone()]),
        Value::Array(all) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

fn conditions(value: Option<&Value>) -> Option<Conditions> {
    let Some(value) = value else { return Some(Conditions::new()) };
    let mut all = Conditions::new();
    for (test, keys) in value.as_object()? {
        let mut inner = BTreeMap::new();
        for (key, values) in keys.as_object()? {
            // Booleans may stand without quotes.
            let values = match values.as_bool() {
                Some(yes) => vec![yes.to_string()],
                None => texts(Some(values))?,
            };
            inner.insert(key.clone(), values);
        }
        all.insert(test.clone(), inner);
    }
    Some(all)
}
