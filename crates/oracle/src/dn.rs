//! Distinguished names: the one that a descriptor demands of the server (`ssl_server_cert_dn`), and the one in its certificate.
//!
//! Both are lists of (type, value). They match if they are equal in the certificate's order or in the exact reverse of it, because
//! descriptors are written in both (python-oracledb, for comparison, ignores the order altogether). Values are compared exactly, and
//! a name with anything in it that is not understood matches nothing.

use crate::der::Elements;

const TAG_SEQUENCE: u8 = 0x30;
const TAG_SET: u8 = 0x31;
/// UTF8String, PrintableString, IA5String: the encodings whose bytes are text as they stand.
const TEXT_TAGS: [u8; 3] = [0x0C, 0x13, 0x16];

/// Attribute types by their object identifier (RFC 4519), with the names that Oracle's tools use.
const TYPES: [(&[u8], &str); 7] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25], "DC"),
];

/// A distinguished name, in one of its two orders.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct DistinguishedName(Vec<(&'static str, String)>);

impl DistinguishedName {
    /// Reads `CN=...,O=...`; a backslash takes the next character as it is.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                ',' => parts.push(String::new()),
                '\\' => parts.last_mut()?.push(characters.next()?),
                other => parts.last_mut()?.push(other),
            }
        }
        let attribute = |part: &String| {
            let (name, value) = part.split_once('=')?;
            let name = name.trim().to_ascii_uppercase();
            // Oracle's tools also write S for the state.
            let name = if name == "S" { "ST" } else { name.as_str() };
            let known = TYPES.iter().find_map(|(_, known)| (*known == name).then_some(*known))?;
            Some((known, value.trim().to_owned()))
        };
        parts.iter().map(attribute).collect::<Option<_>>().map(Self)
    }

    /// Reads a certificate's subject, a whole DER element.
    pub(crate) fn of_certificate(subject: &[u8]) -> Option<Self> {
        let mut sets = Elements::of(Elements::of(subject).take_tag(TAG_SEQUENCE)?.content);
        let mut attributes = Vec::new();
        while !sets.is_empty() {
            let mut set = Elements::of(sets.take_tag(TAG_SET)?.content);
            while !set.is_empty() {
                let mut pair = Elements::of(set.take_tag(TAG_SEQUENCE)?.content);
                let (kind, value) = (pair.take()?, pair.take()?);
                let name = TYPES.iter().find_map(|(oid, name)| (*oid == kind.content).then_some(*name))?;
                if !TEXT_TAGS.contains(&value.tag) {
                    return None;
                }
                attributes.push((name, core::str::from_utf8(value.content).ok()?.to_owned()));
            }
        }
        Some(Self(attributes))
    }

    /// Whether both name the same, in the same or in the opposite order. An empty name is nobody's.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        !self.0.is_empty() && (self.0.iter().eq(&other.0) || self.0.iter().rev().eq(&other.0))
    }
}

/// The common name in a certificate's subject, a whole DER element; `None` if there is none that can be read.
pub(crate) fn common_name(subject: &[u8]) -> Option<String> {
    let DistinguishedName(parts) = DistinguishedName::of_certificate(subject)?;
    parts.into_iter().rev().find(|(name, _)| *name == "CN").map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DistinguishedName {
        DistinguishedName::parse(text).unwrap()
    }

    #[test]
    fn order_may_be_reversed_but_not_shuffled() {
        let listed = name("CN=adb.example, OU=Cloud,OU=US, O=Example Corp, C=US");
        assert!(listed.matches(&name("CN=adb.example,OU=Cloud,OU=US,O=Example Corp,C=US")));
        assert!(listed.matches(&name("C=US,O=Example Corp,OU=US,OU=Cloud,CN=adb.example")));
        assert!(!listed.matches(&name("CN=adb.example,OU=US,OU=Cloud,O=Example Corp,C=US")));
    }

    #[test]
    fn a_part_a_longer_name_or_another_case_is_another_name() {
        let listed = name("CN=adb.example,O=Example");
        for other in
            ["CN=adb.example", "CN=adb.example,O=Example,C=US", "CN=ADB.example,O=Example", "O=adb.example,CN=Example"]
        {
            assert!(!listed.matches(&name(other)), "{other}");
        }
    }

    #[test]
    fn escapes_and_the_old_name_of_a_state_are_understood() {
        assert_eq!(name("cn=a\\,b, s=CA"), DistinguishedName(vec![("CN", "a,b".into()), ("ST", "CA".into())]));
    }

    #[test]
    fn what_is_not_understood_is_no_name() {
        for bad in ["", "CN", "CN=a,", "EMAIL=a@b", "CN=a\\"] {
            assert_eq!(DistinguishedName::parse(bad), None, "{bad}");
        }
        assert_eq!(DistinguishedName::of_certificate(&[0x30, 0x03, 0x31, 0x01, 0x00]), None);
        let empty = DistinguishedName::of_certificate(&[0x30, 0x00]).unwrap();
        assert!(!empty.matches(&empty));
    }
}
