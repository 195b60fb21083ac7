//! The proxy that calls over HTTPS go through: its address, which is a secret if it has a password in it, and what can go wrong there.
//!
//! What is plain HTTP never leaves this machine (metadata services, a platform's own API, emulators) and goes through no proxy; sessions
//! with databases do not either.

use core::error::Error;
use std::io;

use crate::{
    port::{Kind, PortError},
    secret::SecretText,
};

/// Longest address; a name, a user and a password have some hundred characters.
const MAX_URL: usize = 4096;
/// Most of `NO_PROXY`: some hundreds of names.
const MAX_EXCEPTIONS: usize = 64 * 1024;

/// A proxy, and what is reached without it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proxy {
    url: SecretText,
    exceptions: String,
}

/// The address of the proxy is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAProxy;

impl Proxy {
    /// Reads an address as `HTTPS_PROXY` has it (`http://USER:PASSWORD@HOST:PORT`, `https://...`; without a scheme it is http) and
    /// exceptions as `NO_PROXY` has them (names with all below them, addresses, networks, `*`; with commas between them).
    ///
    /// # Errors
    /// [`NotAProxy`] for anything else, also for another kind of proxy.
    pub fn parse(url: &str, exceptions: &str) -> Result<Self, NotAProxy> {
        let url = url.trim();
        let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let (scheme, rest) = whole.split_once("://").ok_or(NotAProxy)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b));
        // A name or an address in brackets; what is behind the last colon is a port.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            Some(_) | None => (place, None),
        };
        let good_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let good_scheme = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        if !good_scheme || host.is_empty() || !good_port || !is_plain(&whole) || whole.len() > MAX_URL {
            return Err(NotAProxy);
        }
        if authority.matches('@').count() > 1 || exceptions.len() > MAX_EXCEPTIONS {
            return Err(NotAProxy);
        }
        let url = SecretText::new(format!("{}://{authority}", scheme.to_ascii_lowercase()));
        Ok(Self { url, exceptions: exceptions.to_owned() })
    }

    /// The address, with user and password if it has some: scheme, `://`, and what stands before the path.
    #[must_use]
    pub const fn url(&self) -> &SecretText {
        &self.url
    }

    /// What is reached without it, as `NO_PROXY` has it.
    #[must_use]
    pub fn exceptions(&self) -> &str {
        &self.exceptions
    }
}

/// What went wrong at the proxy. No byte of the request has left in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyTrouble {
    /// It wants a user and a password, or others (HTTP 407).
    Denied,
    /// It does not connect to this host, or its answer cannot be understood.
    Refused,
    /// It does not answer.
    Unreachable,
}

/// How `hyper-util` 0.1.21 begins what it says when no tunnel could be made, and the two causes that matter (`legacy/connect/proxy/tunnel.rs`).
/// Its type for them cannot be named. Constant texts; a test meets each of them.
const TUNNEL: &str = "tunnel error: ";
const DENIED: &str = "tunnel error: proxy authorization required";
const UNREACHABLE: &str = "tunnel error: failed to create underlying connection";

/// Longer than any chain of causes seen, so that a cyclic one ends.
const MAX_CAUSES: usize = 32;

impl ProxyTrouble {
    /// Whether the proxy is what an exchange failed for; looks through the chain of causes.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        for _ in 0..MAX_CAUSES {
            let error = next?;
            let text = error.to_string();
            if text.starts_with(TUNNEL) {
                return Some(match text.as_str() {
                    DENIED => Self::Denied,
                    UNREACHABLE => Self::Unreachable,
                    _ => Self::Refused,
                });
            }
            let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// The kind of the failure.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Denied => Kind::Denied,
            Self::Refused | Self::Unreachable => Kind::Unreachable,
        }
    }

    /// Says in `error`, which is of this [`kind`](Self::kind), what it was and what to do about it.
    #[must_use]
    pub fn told(self, error: PortError) -> PortError {
        let (code, hint) = match self {
            Self::Denied => (
                "the proxy answered HTTP 407",
                "the proxy in HTTPS_PROXY wants a user and a password, or others: http://USER:PASSWORD@HOST:PORT, percent-encoded",
            ),
            Self::Refused => (
                "the proxy refused",
                "the proxy in HTTPS_PROXY does not connect to this host: have it allowed there, or put the host into NO_PROXY",
            ),
            Self::Unreachable => (
                "the proxy does not answer",
                "no connection to the proxy in HTTPS_PROXY could be made: check its address, or put the host into NO_PROXY",
            ),
        };
        error.with_code(code).with_hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_other_tools_read_them() {
        for (text, read) in [
            ("http://proxy.example.com:3128", "http://proxy.example.com:3128"),
            ("HTTPS://proxy.example.com/", "https://proxy.example.com"),
            ("proxy:8080", "http://proxy:8080"),
            (" 10.0.0.1:3128\n", "http://10.0.0.1:3128"),
            ("http://[::1]:3128/x?y", "http://[::1]:3128"),
            ("http://[::1]", "http://[::1]"),
            ("user:canary%40@proxy:3128", "http://user:canary%40@proxy:3128"),
        ] {
            let proxy = Proxy::parse(text, "localhost,.internal").unwrap();
            assert_eq!(proxy.url().expose(), read, "{text}");
            assert!(!format!("{proxy:?}").contains("canary") && proxy.exceptions() == "localhost,.internal");
        }
        for text in [
            "",
            "http://",
            "socks5://proxy:1080",
            "http://proxy:0",
            "http://proxy:99999",
            "http://user@:3128",
            "http://pro xy:3128",
            "http://a@b@proxy:3128",
            "http://proxy\r\nx:1",
            &"x".repeat(MAX_URL + 1),
        ] {
            assert_eq!(Proxy::parse(text, ""), Err(NotAProxy), "{text}");
        }
    }

    #[test]
    fn other_failures_are_not_the_proxys() {
        let error = io::Error::other(io::Error::other("connection refused"));
        assert_eq!(ProxyTrouble::of(&error), None);
        let error = io::Error::other(io::Error::other("tunnel error: unsuccessful"));
        assert_eq!(ProxyTrouble::of(&error), Some(ProxyTrouble::Refused));
    }
}
