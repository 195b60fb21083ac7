//! A policy without one of its rights, made from its text.

use serde_json::{Value, json};

/// A right that is taken out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Removal {
    pub(crate) right: String,
    pub(crate) on: String,
    /// The policy without it.
    pub(crate) rest: Rest,
}

/// What is left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Rest {
    Aws(String),
    Oci(Vec<String>),
}

/// Every action on every resource of a policy of IAM, each with the policy that lacks it.
pub(crate) fn of_aws(text: &str) -> Vec<Removal> {
    let policy: Value = serde_json::from_str(text).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let mut all = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        for action in statement["Action"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap() {
                let mut rest = policy.clone();
                let mut left = vec![without(statement, "Resource", resource)];
                // The same resource with every other action.
                let mut same = without(statement, "Action", action);
                same["Resource"] = json!([resource]);
                left.push(same);
                left.retain(|part| ["Action", "Resource"].iter().all(|key| !part[*key].as_array().unwrap().is_empty()));
                rest["Statement"].as_array_mut().unwrap().splice(at..=at, left);
                let condition =
                    statement.get("Condition").map_or_else(String::new, |condition| format!(" if {condition}"));
                all.push(Removal {
                    right: format!("{}{condition}", action.as_str().unwrap()),
                    on: resource.as_str().unwrap().to_owned(),
                    rest: Rest::Aws(rest.to_string()),
                });
            }
        }
    }
    all
}

fn without(statement: &Value, key: &str, gone: &Value) -> Value {
    let mut statement = statement.clone();
    statement[key].as_array_mut().unwrap().retain(|one| one != gone);
    statement
}

/// Every permission of every statement, each with the statements that lack it.
pub(crate) fn of_oci(statements: &[String]) -> Vec<Removal> {
    const NAMED: &str = "request.permission = '";
    let mut all = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let permissions: Vec<&str> =
            statement.split(NAMED).skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
        assert!(!permissions.is_empty(), "a statement that names no permission grants more: {statement}");
        let (_, condition) = statement.split_once(" where ").unwrap();
        for permission in &permissions {
            let mut rest = statements.to_vec();
            if permissions.len() == 1 {
                rest.remove(at);
            } else {
                let test = format!("{NAMED}{permission}'");
                let shorter = rest[at].replace(&format!("{test}, "), "").replace(&format!(", {test}"), "");
                assert_ne!(shorter, rest[at]);
                rest[at] = shorter;
            }
            all.push(Removal {
                right: (*permission).to_owned(),
                on: condition.split(", any {").next().unwrap().split(", request.").next().unwrap().replace("all {", ""),
                rest: Rest::Oci(rest),
            });
        }
    }
    all
}
