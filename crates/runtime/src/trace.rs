//! The trace that a call belongs to, as W3C Trace Context names it, so that our log lines can be found from the caller's.

use core::fmt;

/// A trace id and the id of the span that called: what the header `traceparent` carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trace {
    id: String,
    parent: String,
    sampled: bool,
}

impl Trace {
    /// Reads `traceparent` (W3C Trace Context, version 00, and what a later version must be read as).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(4, '-');
        let (version, id, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let flags = match version {
            "00" => flags,
            "ff" => return None,
            _ => flags.get(..2)?,
        };
        if !(hex(version, 2) && hex(flags, 2)) {
            return None;
        }
        Self::new(id, parent, u8::from_str_radix(flags, 16).ok()? & 1 == 1)
    }

    /// Reads Lambda's `X-Amzn-Trace-Id` (`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`), whose
    /// root is the same 32 digits in another dress.
    #[must_use]
    pub fn of_xray(text: &str) -> Option<Self> {
        let field = |name: &str| text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let (seconds, rest) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        Self::new(&format!("{seconds}{rest}"), field("Parent")?, field("Sampled") == Some("1"))
    }

    fn new(id: &str, parent: &str, sampled: bool) -> Option<Self> {
        let is_some = |text: &str| text.bytes().any(|b| b != b'0');
        let good = hex(id, 32) && hex(parent, 16) && is_some(id) && is_some(parent);
        good.then(|| Self { id: id.to_owned(), parent: parent.to_owned(), sampled })
    }

    /// The trace id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// As the header `traceparent`, to be passed on.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.id, self.parent, u8::from(self.sampled))
    }
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_dresses_of_a_trace_are_one() {
        let w3c = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
        let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:2a:0";
        let trace = Trace::parse(w3c).unwrap();
        assert_eq!(Trace::of_xray(xray), Some(trace.clone()));
        assert_eq!(trace.to_string(), w3c);
        assert_eq!(trace.id(), "5759e988bd862e3fe1be46a994272793");
        let later = "01-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-more";
        assert_eq!(Trace::parse(later), Some(trace));
    }

    #[test]
    fn what_is_no_trace_is_none() {
        let zero = "00000000000000000000000000000000";
        for text in [
            "",
            "00",
            "ff-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759E988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            &format!("00-{zero}-53995c3f42cd8ad8-01"),
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-1é",
            "01-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-é",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01\r\nx: y",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
        for text in ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-xx-yy;Parent=53995c3f42cd8ad8"] {
            assert_eq!(Trace::of_xray(text), None, "{text}");
        }
    }
}
