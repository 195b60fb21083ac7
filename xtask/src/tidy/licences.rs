//! Licences: every package of the graph must be usable under the allow-list, by its SPDX expression.
//!
//! `A OR B` needs one allowed side, `A AND B` both; an exception (`WITH`) only widens a licence, so it is skipped. Old
//! manifests write `/` for OR.

use anyhow::Context as _;
use serde_json::Value;

/// Licences that ask for nothing but notices. The same list stands in deny.toml.
pub(crate) const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "UPL-1.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A package and the expression in its manifest.
#[derive(Debug)]
pub(crate) struct Licensed {
    pub(crate) package: String,
    pub(crate) expression: Option<String>,
}

/// Reads the packages of the graph from Cargo's metadata.
pub(crate) fn packages(metadata: &Value) -> anyhow::Result<Vec<Licensed>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    Ok(packages
        .iter()
        .map(|package| Licensed {
            package: format!(
                "{} {}",
                package["name"].as_str().unwrap_or_default(),
                package["version"].as_str().unwrap_or_default()
            ),
            expression: package["license"].as_str().map(str::to_owned),
        })
        .collect())
}

/// Every package that the allow-list does not cover.
pub(crate) fn check(packages: &[Licensed]) -> Vec<String> {
    packages
        .iter()
        .filter_map(|Licensed { package, expression }| match expression {
            None => Some(format!("{package} names no licence")),
            Some(text) if allowed(text) => None,
            Some(text) => Some(format!("{package}: licence {text} is not on the list (xtask/src/tidy/licences.rs)")),
        })
        .collect()
}

/// Whether the expression can be satisfied from the list. What cannot be parsed is not allowed.
fn allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) == Some(true) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut outcome = both(words)?;
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        outcome |= both(words)?;
    }
    Some(outcome)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut outcome = one(words)?;
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        outcome &= one(words)?;
    }
    Some(outcome)
}

fn one(words: &mut &[&str]) -> Option<bool> {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let outcome = either(words)?;
            let [")", rest @ ..] = *words else { return None };
            *words = rest;
            Some(outcome)
        }
        [licence, "WITH", _, rest @ ..] | [licence, rest @ ..] => {
            *words = rest;
            Some(ALLOWED.contains(licence))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "ISC AND (Apache-2.0 OR ISC) AND MIT",
            "GPL-2.0 OR MIT",
        ] {
            assert!(allowed(good), "{good}");
        }
        for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND AGPL-3.0", "MIT OR", "(MIT", "MIT ISC", ""] {
            assert!(!allowed(bad), "{bad}");
        }
    }

    #[test]
    fn a_foreign_licence_and_a_missing_one_are_seen() {
        let licensed = |package: &str, expression: Option<&str>| Licensed {
            package: package.to_owned(),
            expression: expression.map(str::to_owned),
        };
        let breaches =
            check(&[licensed("a 1.0.0", Some("MIT")), licensed("b 1.0.0", Some("GPL-3.0")), licensed("c 1.0.0", None)]);
        assert_eq!(breaches.len(), 2);
        assert!(breaches[0].contains("b 1.0.0: licence GPL-3.0"));
        assert!(breaches[1].contains("c 1.0.0 names no licence"));
    }

    #[test]
    fn deny_toml_lists_the_same_licences() {
        let deny = include_str!("../../../deny.toml");
        let list = deny.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
        let names: Vec<&str> =
            list.split(',').map(|name| name.trim().trim_matches('"')).filter(|n| !n.is_empty()).collect();
        assert_eq!(names, ALLOWED);
    }
}
