//! Layer rules: which package of the workspace may depend on what.
//!
//! A boundary that Cargo itself enforces is worth more than one in a document; this table says which boundaries there
//! are. A package that is not in the table is a breach, so that a new one has to state its place.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::Value;

/// One package of the workspace with what its manifest names.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Normal and build dependencies.
    pub(crate) linked: BTreeSet<String>,
    /// Dependencies of its tests only.
    pub(crate) tests: BTreeSet<String>,
}

/// What a package of the workspace may depend on among its sisters.
struct Layer {
    name: &'static str,
    /// Sisters it may link.
    below: &'static [&'static str],
    /// Sisters that its tests may use besides.
    in_tests: &'static [&'static str],
}

/// The adapters of databases and clouds: each stands alone above the host, and only the binary puts them together.
const ADAPTERS: &[&str] = &["dizzy-engine", "dizzy-host"];

const LAYERS: [Layer; 15] = [
    Layer { name: "dizzy-audit", below: &[], in_tests: &[] },
    Layer { name: "dizzy-engine", below: &[], in_tests: &[] },
    Layer { name: "dizzy-host", below: &["dizzy-audit", "dizzy-engine"], in_tests: &[] },
    Layer { name: "dizzy-db", below: ADAPTERS, in_tests: &["dizzy-engine", "dizzy-host", "dizzy-sandbox"] },
    Layer { name: "dizzy-aws", below: ADAPTERS, in_tests: &["dizzy-engine", "dizzy-host", "dizzy-sandbox"] },
    Layer {
        name: "dizzy-oci",
        below: &["dizzy-engine", "dizzy-host", "dizzy-web"],
        in_tests: &["dizzy-engine", "dizzy-host", "dizzy-sandbox-oci"],
    },
    Layer { name: "dizzy-web", below: ADAPTERS, in_tests: &["dizzy-engine", "dizzy-host", "dizzy-sandbox"] },
    Layer { name: "dizzy-oracle", below: ADAPTERS, in_tests: &["dizzy-engine", "dizzy-host", "dizzy-sandbox-oracle"] },
    Layer { name: "dizzy-runtime", below: ADAPTERS, in_tests: &["dizzy-sandbox"] },
    Layer {
        name: "dizzy-keys",
        below: &[
            "dizzy-audit",
            "dizzy-aws",
            "dizzy-db",
            "dizzy-engine",
            "dizzy-host",
            "dizzy-oci",
            "dizzy-oracle",
            "dizzy-runtime",
            "dizzy-web",
        ],
        in_tests: &[
            "dizzy-audit",
            "dizzy-aws",
            "dizzy-db",
            "dizzy-engine",
            "dizzy-host",
            "dizzy-sandbox",
            "dizzy-sandbox-oci",
            "dizzy-sandbox-oracle",
        ],
    },
    // What reads untrusted bytes, under attack. Nothing links it.
    Layer { name: "dizzy-fuzz", below: &["dizzy-engine", "dizzy-host", "dizzy-oracle"], in_tests: &[] },
    Layer { name: "dizzy-sandbox", below: &["dizzy-sandbox-oci", "dizzy-sandbox-oracle"], in_tests: &[] },
    Layer { name: "dizzy-sandbox-oci", below: &[], in_tests: &[] },
    Layer { name: "dizzy-sandbox-oracle", below: &[], in_tests: &[] },
    Layer { name: "xtask", below: &["dizzy-sandbox"], in_tests: &[] },
];

/// The engine decides and nothing else: with these two it cannot do I/O, tell the time or hold a secret type.
const ENGINE_LINKS: [&str; 2] = ["serde", "thiserror"];

/// The audit trail judges bytes and nothing else: codecs, hashes, signatures; nothing that reads, waits or tells the time.
const AUDIT_LINKS: [&str; 9] =
    ["base64", "ed25519-compact", "hkdf", "serde", "serde_json", "sha2", "subtle", "thiserror", "zeroize"];

/// Packages that only the binary may name.
const COMMAND_LINE: [&str; 2] = ["clap", "clap_complete"];

/// Reads the members and their manifests' dependencies from Cargo's metadata.
pub(crate) fn members(metadata: &Value) -> anyhow::Result<Vec<Member>> {
    let ids: BTreeSet<&str> =
        metadata["workspace_members"].as_array().context("no members")?.iter().filter_map(Value::as_str).collect();
    let mut members = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        if !package["id"].as_str().is_some_and(|id| ids.contains(id)) {
            continue;
        }
        let mut member = Member {
            name: package["name"].as_str().context("a package without a name")?.to_owned(),
            ..Member::default()
        };
        for dependency in package["dependencies"].as_array().context("no dependencies")? {
            let name = dependency["name"].as_str().context("a dependency without a name")?.to_owned();
            match dependency["kind"].as_str() {
                Some("dev") => member.tests.insert(name),
                _ => member.linked.insert(name),
            };
        }
        members.push(member);
    }
    Ok(members)
}

/// Every breach of the layer rules.
pub(crate) fn check(members: &[Member]) -> Vec<String> {
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let mut breaches = Vec::new();
    for Member { name, linked, tests } in members {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            breaches.push(format!("{name} has no place in the layer table (xtask/src/tidy/layers.rs)"));
            continue;
        };
        for sister in linked.iter().filter(|dependency| names.contains(dependency.as_str())) {
            if !layer.below.contains(&sister.as_str()) {
                breaches.push(format!("{name} must not depend on {sister}"));
            }
        }
        for sister in tests.iter().filter(|dependency| names.contains(dependency.as_str())) {
            if !layer.in_tests.contains(&sister.as_str()) {
                breaches.push(format!("the tests of {name} must not depend on {sister}"));
            }
        }
        if name == "dizzy-engine" && !linked.iter().map(String::as_str).eq(ENGINE_LINKS) {
            breaches.push(format!("dizzy-engine links exactly {}, not {linked:?}", ENGINE_LINKS.join(" and ")));
        }
        if name == "dizzy-audit" && !linked.iter().map(String::as_str).eq(AUDIT_LINKS) {
            breaches.push(format!("dizzy-audit links exactly {}, not {linked:?}", AUDIT_LINKS.join(", ")));
        }
        if name != "dizzy-keys" {
            for dependency in linked.iter().chain(tests).filter(|name| COMMAND_LINE.contains(&name.as_str())) {
                breaches.push(format!("only dizzy-keys may name {dependency}; {name} does"));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, linked: &[&str], tests: &[&str]) -> Member {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Member { name: name.to_owned(), linked: set(linked), tests: set(tests) }
    }

    fn workspace(changed: Member) -> Vec<String> {
        let mut members = vec![
            member("dizzy-audit", &AUDIT_LINKS, &["proptest"]),
            member("dizzy-engine", &["serde", "thiserror"], &["proptest"]),
            member("dizzy-host", &["dizzy-audit", "dizzy-engine", "tokio"], &["proptest"]),
            member("dizzy-db", &["dizzy-host", "tokio-postgres"], &["dizzy-host", "dizzy-sandbox"]),
            member("dizzy-aws", &["dizzy-host"], &["dizzy-sandbox"]),
            member("dizzy-keys", &["clap", "dizzy-aws", "dizzy-db", "dizzy-host"], &["dizzy-sandbox"]),
            member("dizzy-sandbox", &["anyhow"], &[]),
            member("xtask", &["anyhow"], &[]),
        ];
        members.retain(|member| member.name != changed.name);
        members.push(changed);
        check(&members)
    }

    #[test]
    fn the_workspace_as_designed_passes() {
        assert_eq!(workspace(member("xtask", &["anyhow", "dizzy-sandbox"], &[])), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_breach_is_seen() {
        for (changed, breach) in [
            (member("dizzy-engine", &["serde", "thiserror", "tokio"], &[]), "links exactly serde and thiserror"),
            (member("dizzy-engine", &["serde"], &[]), "links exactly serde and thiserror"),
            (member("dizzy-engine", &["serde", "thiserror"], &["dizzy-host"]), "tests of dizzy-engine must not"),
            (member("dizzy-audit", &["serde", "tokio"], &[]), "dizzy-audit links exactly"),
            (member("dizzy-audit", &AUDIT_LINKS, &["dizzy-host"]), "tests of dizzy-audit must not"),
            (member("dizzy-host", &["dizzy-aws"], &[]), "dizzy-host must not depend on dizzy-aws"),
            (member("dizzy-host", &[], &["dizzy-sandbox"]), "tests of dizzy-host must not depend on dizzy-sandbox"),
            (member("dizzy-db", &["dizzy-aws"], &[]), "dizzy-db must not depend on dizzy-aws"),
            (member("dizzy-db", &["clap"], &[]), "only dizzy-keys may name clap"),
            (member("dizzy-aws", &[], &["clap_complete"]), "only dizzy-keys may name clap_complete"),
            (member("dizzy-aws", &["dizzy-sandbox"], &[]), "dizzy-aws must not depend on dizzy-sandbox"),
            (member("dizzy-keys", &["dizzy-sandbox"], &[]), "dizzy-keys must not depend on dizzy-sandbox"),
            (member("dizzy-extra", &[], &[]), "no place in the layer table"),
        ] {
            let breaches = workspace(changed);
            assert_eq!(breaches.len(), 1, "{breaches:?}");
            assert!(breaches[0].contains(breach), "{breaches:?}");
        }
    }

    #[test]
    fn build_dependencies_count_as_linked_and_dev_dependencies_do_not() {
        let metadata = serde_json::json!({
            "workspace_members": ["a"],
            "packages": [
                {"id": "a", "name": "dizzy-host", "dependencies": [
                    {"name": "x", "kind": null}, {"name": "y", "kind": "build"}, {"name": "z", "kind": "dev"}]},
                {"id": "b", "name": "elsewhere", "dependencies": []}
            ]
        });
        let members = members(&metadata).unwrap();
        assert_eq!(members.len(), 1);
        assert_eq!(members[0].linked.iter().map(String::as_str).collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(members[0].tests.iter().map(String::as_str).collect::<Vec<_>>(), ["z"]);
    }
}
