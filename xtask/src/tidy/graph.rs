//! One TLS stack: what the linked graph must not contain.
//!
//! Cargo's metadata and Cargo.lock list packages that a weak feature names without linking them (`ring`, through
//! rustls-webpki), so what is linked is read from `cargo tree`, which resolves features as the build does.

use std::collections::{BTreeMap, BTreeSet};

/// A package of the graph as built.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Built {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) features: BTreeSet<String>,
}

/// Never linked, with the reason. They may stand in Cargo.lock.
const NOT_LINKED: [(&str, &str); 1] = [("ring", "the one crypto library is aws-lc-rs")];

/// Not even in Cargo.lock, with the reason.
const NOT_LOCKED: [(&str, &str); 3] = [
    ("native-tls", "the one TLS stack is rustls"),
    ("openssl", "the one TLS stack is rustls"),
    ("openssl-sys", "the one TLS stack is rustls"),
];

/// Reads `cargo tree --prefix=none --format='{p}|{f}'`.
pub(crate) fn parse(tree: &str) -> BTreeSet<Built> {
    let mut built = BTreeSet::new();
    for line in tree.lines() {
        let (package, features) = line.trim_end_matches(" (*)").split_once('|').unwrap_or((line, ""));
        let mut words = package.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        built.insert(Built {
            name: name.to_owned(),
            version: version.to_owned(),
            features: features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned).collect(),
        });
    }
    built
}

/// Every breach.
pub(crate) fn check(built: &BTreeSet<Built>, lock: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut rustls: BTreeMap<&str, &Built> = BTreeMap::new();
    for package in built {
        for (name, why) in NOT_LINKED {
            if package.name == name {
                breaches.push(format!("{name} {} is linked: {why} (cargo tree -i {name})", package.version));
            }
        }
        if package.name == "rustls" {
            rustls.insert(&package.version, package);
            if package.features.contains("ring") {
                breaches.push(format!("rustls {} is built with its feature `ring`", package.version));
            }
        }
    }
    if rustls.len() > 1 {
        let versions: Vec<&str> = rustls.keys().copied().collect();
        breaches.push(format!("more than one rustls is linked: {}", versions.join(", ")));
    }
    if rustls.is_empty() {
        breaches.push("no rustls is linked: the graph was not read, or the rule has lost its subject".to_owned());
    }
    for (name, why) in NOT_LOCKED {
        if lock.lines().any(|line| line == format!("name = \"{name}\"")) {
            breaches.push(format!("{name} is in Cargo.lock: {why}"));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "dizzy-keys v0.1.0 (crates/dizzy-keys)|\nrustls v0.23.46|aws_lc_rs,std\nrustls v0.23.46|aws_lc_rs,std (*)\n";

    #[test]
    fn one_rustls_on_aws_lc_passes_even_if_the_lock_names_ring() {
        let built = parse(GOOD);
        assert_eq!(built.len(), 2);
        assert_eq!(check(&built, "[[package]]\nname = \"ring\"\n"), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_breach_is_seen() {
        for (tree, lock, breach) in [
            (format!("{GOOD}ring v0.17.14|alloc"), "", "ring v0.17.14 is linked"),
            (format!("{GOOD}rustls v0.21.12|std"), "", "more than one rustls is linked: v0.21.12, v0.23.46"),
            ("rustls v0.23.46|ring,std".to_owned(), "", "built with its feature `ring`"),
            ("serde v1.0.0|".to_owned(), "", "no rustls is linked"),
            (GOOD.to_owned(), "name = \"openssl-sys\"", "openssl-sys is in Cargo.lock"),
            (GOOD.to_owned(), "name = \"native-tls\"", "native-tls is in Cargo.lock"),
        ] {
            let breaches = check(&parse(&tree), lock);
            assert_eq!(breaches.len(), 1, "{breaches:?}");
            assert!(breaches[0].contains(breach), "{breaches:?}");
        }
    }
}
