//! Searches anything for secrets, in every form in which one could have been written down.
//!
//! A search is worth what it finds: [`Scanner::proven_on`] plants every secret in every form into what is searched, and must find all.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose};

/// How much of a long secret (a key, a wallet) is looked for, in bytes: enough to be no chance, little enough to be found in a part.
const WINDOW: usize = 24;

/// What is looked for.
#[derive(Default)]
pub(super) struct Scanner {
    /// What it is, in which form, and its bytes.
    needles: BTreeSet<(String, &'static str, Vec<u8>)>,
}

impl Scanner {
    /// A secret that is a text.
    pub(super) fn text(&mut self, kind: &str, secret: &str) {
        assert!(secret.len() >= 12, "{kind} is too short to be told from chance");
        self.bytes(kind, secret.as_bytes());
        self.form(kind, "UTF-16", &secret.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        let json = serde_json::to_string(secret).unwrap();
        self.form(kind, "JSON", json.trim_matches('"').as_bytes());
        let percent = |c: char| {
            if c.is_ascii_alphanumeric() || "-._~".contains(c) {
                c.to_string()
            } else {
                format!("%{:02X}", u32::from(c))
            }
        };
        self.form(kind, "percent", secret.chars().map(percent).collect::<String>().as_bytes());
        let all = secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        self.form(kind, "percent, all", all.as_bytes());
    }

    /// A secret that is bytes.
    pub(super) fn bytes(&mut self, kind: &str, secret: &[u8]) {
        self.form(kind, "raw", secret);
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.form(kind, "hex", hex.as_bytes());
        self.form(kind, "HEX", hex.to_uppercase().as_bytes());
        let list = secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        self.form(kind, "list of numbers", list.as_bytes());
        // Where it stands in what was encoded decides which letters come out: three ways, without those that depend on neighbours.
        for (before, name) in ["base64", "base64 + 1", "base64 + 2"].into_iter().enumerate() {
            let kept = &secret[(3 - before) % 3..];
            let whole = &kept[..kept.len() / 3 * 3];
            self.form(kind, name, general_purpose::STANDARD_NO_PAD.encode(whole).as_bytes());
            self.form(kind, name, general_purpose::URL_SAFE_NO_PAD.encode(whole).as_bytes());
        }
    }

    /// A secret that is long: some windows of it.
    pub(super) fn long(&mut self, kind: &str, secret: &[u8]) {
        let windows: Vec<&[u8]> = secret.chunks_exact(WINDOW).collect();
        assert!(windows.len() >= 4, "{kind} is long");
        // Not the beginning: keys of a kind share it.
        for window in windows.iter().skip(windows.len() / 4).step_by((windows.len() / 6).max(1)) {
            self.bytes(kind, window);
        }
    }

    fn form(&mut self, kind: &str, form: &'static str, bytes: &[u8]) {
        assert!(bytes.len() >= 8, "{kind}, {form}: too short to be told from chance");
        self.needles.insert((kind.to_owned(), form, bytes.to_vec()));
    }

    /// How many forms of how many kinds are looked for.
    pub(super) fn size(&self) -> (usize, usize) {
        let kinds: BTreeSet<&String> = self.needles.iter().map(|(kind, ..)| kind).collect();
        (self.needles.len(), kinds.len())
    }

    /// Which secrets are in there, and in which form.
    pub(super) fn found(&self, place: &[u8]) -> BTreeSet<(String, &'static str)> {
        // By their first two bytes, so that one pass finds all: there are hundreds.
        let mut starts: BTreeMap<[u8; 2], Vec<_>> = BTreeMap::new();
        let mut starting = vec![false; 1 << 16];
        for needle in &self.needles {
            let start = [needle.2[0], needle.2[1]];
            starting[usize::from(u16::from_be_bytes(start))] = true;
            starts.entry(start).or_default().push(needle);
        }
        let mut found = BTreeSet::new();
        for (at, pair) in place.windows(2).enumerate() {
            let pair = [pair[0], pair[1]];
            if starting[usize::from(u16::from_be_bytes(pair))] {
                let here = starts[&pair].iter().filter(|(_, _, needle)| place[at..].starts_with(needle));
                found.extend(here.map(|(kind, form, _)| (kind.clone(), *form)));
            }
        }
        found
    }

    /// The same, after it has been shown that everything would be found there.
    pub(super) fn proven_on(&self, name: &str, place: &[u8]) -> BTreeSet<(String, &'static str)> {
        let mut planted = place.to_vec();
        for (_, _, needle) in &self.needles {
            planted.push(b'\n');
            planted.extend(needle);
            planted.extend(place.iter().take(64));
        }
        let all: BTreeSet<_> = self.needles.iter().map(|(kind, form, _)| (kind.clone(), *form)).collect();
        assert_eq!(self.found(&planted), all, "{name}: the scanner finds what is there");
        self.found(place)
    }
}

#[test]
fn a_secret_is_found_however_it_is_written_and_wherever_it_stands() {
    let secret = "canary/with+odd \"chars\"-7Qx";
    let mut scanner = Scanner::default();
    scanner.text("secret", secret);
    for before in ["", "x", "xy", "xyz"] {
        let text = format!("{before}{secret}and more");
        for (form, written) in [
            ("raw", text.clone()),
            ("base64", general_purpose::STANDARD.encode(&text)),
            ("base64url", general_purpose::URL_SAFE_NO_PAD.encode(&text)),
            ("Debug of bytes", format!("{:?}", text.as_bytes())),
            ("Debug of text", format!("{text:?}")),
            ("hex", text.bytes().map(|byte| format!("{byte:02x}")).collect()),
        ] {
            assert!(!scanner.found(written.as_bytes()).is_empty(), "{form} after {before:?}");
        }
    }
    assert_eq!(scanner.found("canary/with+odd and nothing else".as_bytes()), BTreeSet::new());
}
