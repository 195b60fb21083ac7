//! Rules about types that hold secrets: they are wiped, they cannot be printed with their contents, and they cannot be serialized.
//!
//! Read from the source, line by line, as rustfmt leaves it: a field per line, `#[derive(..)]` above the type. The compiler refuses most of
//! this anyway, because `Password` and `SecretText` have neither Display nor Serialize; what it would let through is told here.

use super::TextFile;

/// Folders whose types may meet real secrets.
const PRODUCT: [&str; 9] = ["audit", "aws", "db", "dizzy-keys", "engine", "host", "oci", "oracle", "runtime"];
/// Equipment inside the product's packages.
const EQUIPMENT: [&str; 3] = ["/testkit/", "/memory/", "/tests"];
/// Types that are wiped and show their contents to `{:?}`.
const SHOWN: [&str; 1] = ["Zeroizing<"];
/// Types that hold secrets.
const HOLDERS: [&str; 4] = ["Password", "SecretText", "SecretString", "Zeroizing<"];
/// What fields are called whose type must be one that is wiped.
const NAMES: [&str; 8] = [
    "password",
    "passphrase",
    "pass_phrase",
    "private_key",
    "secret_key",
    "session_token",
    "wallet_password",
    "verifier",
];
/// Types that cannot hold a secret wiped.
const PLAIN: [&str; 6] = ["String", "&str", "Vec<u8>", "Option<String>", "Option<Vec<u8>>", "Box<[u8]>"];
/// Fields with such a name that hold no secret: the file, the type and the field, and why.
const NO_SECRET: [(&str, &str, &str); 1] =
    // A reference as the configuration writes it: where the wallet's password is.
    [("crates/host/src/config/model.rs", "DatabaseModel", "wallet_password")];

/// Every breach in every file of the product.
pub(crate) fn check(files: &[TextFile]) -> Vec<String> {
    files.iter().filter(|file| is_product(&file.path)).flat_map(types).collect()
}

fn is_product(path: &str) -> bool {
    let inside = PRODUCT.iter().any(|name| path.starts_with(&format!("crates/{name}/src/")));
    inside && path.ends_with(".rs") && !EQUIPMENT.iter().any(|part| path.contains(part))
}

/// A type while it is being read.
#[derive(Default)]
struct Open<'a> {
    name: &'a str,
    derives: String,
    indent: usize,
}

fn types(file: &TextFile) -> Vec<String> {
    let mut breaches = Vec::new();
    let mut derives = String::new();
    let mut open: Option<Open<'_>> = None;
    for (number, line) in (1..).zip(file.text.lines()) {
        // What follows is tests.
        if line == "#[cfg(test)]" {
            break;
        }
        let code = line.trim_start();
        let indent = line.len() - code.len();
        if let Some(list) = code.strip_prefix("#[derive(") {
            derives = list.to_owned();
        } else if let Some(name) = type_name(code) {
            let this = Open { name, derives: std::mem::take(&mut derives), indent };
            if code.ends_with(';') {
                // A tuple struct on one line is its own field.
                breaches.extend(field(file, number, &this, "0", code));
            } else if code.ends_with('{') {
                open = Some(this);
            }
        } else if open.as_ref().is_some_and(|open| code.starts_with('}') && indent == open.indent) {
            open = None;
        } else if let Some(this) = &open {
            let (name, kind) = code.split_once(": ").unwrap_or(("", code));
            let name = name.rsplit(' ').next().unwrap_or_default();
            if !code.starts_with("//") && !code.starts_with('#') {
                breaches.extend(field(file, number, this, name, kind.trim_end_matches(',')));
            }
        } else if !code.starts_with("#[") && !code.starts_with("//") {
            derives.clear();
        }
    }
    breaches
}

fn type_name(code: &str) -> Option<&str> {
    let code = code.strip_prefix("pub ").unwrap_or(code);
    let code = code.strip_prefix("pub(crate) ").or_else(|| code.strip_prefix("pub(super) ")).unwrap_or(code);
    let rest = code.strip_prefix("struct ").or_else(|| code.strip_prefix("enum "))?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

fn field(file: &TextFile, number: usize, of: &Open<'_>, name: &str, kind: &str) -> Option<String> {
    let has = |derive: &str| of.derives.split([',', ')', ' ']).any(|word| word == derive);
    let place = format!("{}:{number}: {}", file.path, of.name);
    if has("Serialize") && HOLDERS.iter().any(|holder| kind.contains(holder)) {
        return Some(format!("{place} holds a secret and can be serialized"));
    }
    if has("Debug") && SHOWN.iter().any(|shown| kind.contains(shown)) {
        return Some(format!("{place} derives Debug, and `{name}` would show its contents"));
    }
    let is_known = NO_SECRET.contains(&(file.path.as_str(), of.name, name));
    if NAMES.contains(&name) && PLAIN.contains(&kind) && !is_known {
        return Some(format!("{place}: `{name}` is not wiped; use a type of host::secret, or Zeroizing"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> Vec<String> {
        check(&[TextFile { path: path.to_owned(), text: text.to_owned() }])
    }

    #[test]
    fn types_that_keep_their_secrets_pass() {
        let text = "#[derive(Clone, Debug, PartialEq)]\npub struct Credential {\n    /// Its password.\n    pub password: Password,\n    \
                    host: Option<String>,\n}\n\nstruct Content {\n    content: Zeroizing<String>,\n}\n\n#[derive(Serialize)]\nstruct Ask<'a> {\n    \
                    content: &'a str,\n}\n\nfn password(password: &str) {}\n\n#[cfg(test)]\nmod tests {\n    struct T {\n        password: String,\n    }\n}\n";
        assert_eq!(breaches("crates/host/src/a.rs", text), Vec::<String>::new());
        let equipment = "struct T {\n    password: String,\n}\n";
        for path in
            ["crates/sandbox/src/a.rs", "crates/host/src/testkit/a.rs", "crates/host/src/tests/a.rs", "docs/a.rs"]
        {
            assert_eq!(breaches(path, equipment), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn every_kind_of_breach_is_seen() {
        for (text, breach) in [
            ("struct T {\n    password: String,\n}\n", "a.rs:2: T: `password` is not wiped"),
            (
                "enum T {\n    One {\n        private_key: Vec<u8>,\n    },\n}\n",
                "a.rs:3: T: `private_key` is not wiped",
            ),
            (
                "    pub(crate) struct T {\n        pub(crate) passphrase: Option<String>,\n    }\n",
                "`passphrase` is not wiped",
            ),
            ("#[derive(Clone, Debug)]\nstruct T {\n    content: Zeroizing<String>,\n}\n", "T derives Debug"),
            ("#[derive(Debug)]\nstruct T(Zeroizing<Vec<u8>>);\n", "T derives Debug"),
            (
                "#[derive(Debug, Serialize)]\n#[serde(untagged)]\nstruct T {\n    of: Option<Password>,\n}\n",
                "can be serialized",
            ),
            ("#[derive(Serialize)]\nenum T {\n    One(SecretText),\n}\n", "can be serialized"),
        ] {
            let found = breaches("crates/oci/src/a.rs", text);
            assert_eq!(found.len(), 1, "{found:?} in {text}");
            assert!(found[0].contains(breach), "{found:?}");
        }
    }
}
