//! Objects behind a URL that opens them to whoever has it: pre-authenticated requests of Object Storage, and what other clouds have
//! of the kind. Such a URL is a password: it is in no error, log or Debug.
//!
//! One GET without a signature; redirects are not followed. Oracle documentation: "Using Pre-Authenticated Requests".

use core::{fmt, time::Duration};

use bytes::Bytes;
use dizzy_host::{
    port::{Deadline, Kind, PortError, PortResult},
    proxy::Proxy,
    secret::SecretText,
};
use dizzy_web::{Broken, Transport, may_be_called};
use http::{Request, Uri, header};
use http_body_util::Full;
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::clients::{SHORTEST_ATTEMPT, TRIES};

/// Longest URL; those of Object Storage have some 250 characters, signed ones of other services up to 2,000.
const MAX_URL: usize = 4096;

/// What is fetched with, besides the URL.
#[derive(Clone, Debug)]
pub struct UrlSettings {
    /// More roots to trust (PEM), for private endpoints.
    pub extra_roots: Option<Vec<u8>>,
    /// The proxy on the way there, if there is one.
    pub proxy: Option<Proxy>,
    /// The wait before a passing failure is tried again; doubled each time.
    pub backoff: Duration,
}

impl Default for UrlSettings {
    fn default() -> Self {
        Self { extra_roots: None, proxy: None, backoff: Duration::from_millis(200) }
    }
}

/// A URL that is a secret, and where it comes from.
pub struct PreauthenticatedUrl {
    uri: Uri,
    /// The reference in the configuration: all that messages say of it.
    subject: String,
}

impl fmt::Debug for PreauthenticatedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreauthenticatedUrl").field("subject", &self.subject).finish_non_exhaustive()
    }
}

impl PreauthenticatedUrl {
    /// Takes the text of the secret that `subject` (a reference) points at.
    ///
    /// # Errors
    /// `Malformed` if it is no URL, `Tls` if it is not https (http is accepted for loopback addresses only).
    pub fn new(text: &SecretText, subject: &str) -> PortResult<Self> {
        let what = || format!("use the URL that {subject} holds");
        let malformed = || PortError::refused(Kind::Malformed, format!("{}: it is not one", what()));
        let text = text.expose().trim();
        if text.len() > MAX_URL {
            return Err(malformed());
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(malformed());
        }
        if !may_be_called(&uri) {
            return Err(PortError::refused(Kind::Tls, format!("{}: it is not https", what()))
                .with_hint("the URL must begin with https://; http:// is accepted for loopback addresses only"));
        }
        Ok(Self { uri, subject: subject.to_owned() })
    }

    /// Reads what the URL opens, at most `limit` bytes. Passing failures are tried again.
    ///
    /// # Errors
    /// `NotFound` or `Denied` if the URL opens nothing any more, `Malformed` if the answer is longer, `Tls` if the host cannot be verified.
    pub async fn fetch(
        &self,
        limit: usize,
        settings: &UrlSettings,
        deadline: Deadline,
    ) -> PortResult<Zeroizing<Vec<u8>>> {
        let transport =
            Transport::new("pre-authenticated URLs", settings.extra_roots.as_deref(), settings.proxy.as_ref())?;
        let (mut tries, mut wait) = (1, settings.backoff);
        loop {
            let error = match self.once(&transport, limit, deadline).await {
                Ok(content) => return Ok(content),
                Err(error) => error,
            };
            let passing = matches!(error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable);
            if !passing || tries == TRIES || wait >= deadline.left() {
                return Err(error);
            }
            tracing::debug!(kind = ?error.kind, tries, "a pre-authenticated URL is tried again");
            sleep_until(Instant::now() + wait).await;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    async fn once(&self, transport: &Transport, limit: usize, deadline: Deadline) -> PortResult<Zeroizing<Vec<u8>>> {
        let request = Request::get(self.uri.clone())
            .header(header::USER_AGENT, concat!("dizzy-keys/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::new()))
            .map_err(|_| self.refused(Kind::Other))?;
        let ends = deadline.at_most((deadline.left() / TRIES).max(SHORTEST_ATTEMPT));
        let exchanged = timeout_at(ends.instant(), transport.exchange(request, limit)).await;
        let answer = match exchanged {
            Err(_) => return Err(self.refused(Kind::Timeout)),
            Ok(Err(Broken::NotConnected)) => return Err(self.refused(Kind::Unreachable).with_hint(REACH_HINT)),
            Ok(Err(Broken::NotTrusted)) => return Err(self.refused(Kind::Tls).with_hint(TRUST_HINT)),
            Ok(Err(Broken::Proxy(trouble))) => return Err(trouble.told(self.refused(trouble.kind()))),
            Ok(Err(Broken::Midway)) => return Err(self.refused(Kind::Unreachable)),
            Ok(Err(Broken::TooLong)) => {
                return Err(self
                    .refused(Kind::Malformed)
                    .with_hint(format!("the answer is longer than {limit} bytes")));
            }
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status.as_u16();
        let (kind, hint) = match status {
            200 => return Ok(answer.body),
            300..=399 => (Kind::Other, Some(REDIRECT_HINT)),
            401 | 403 | 407 => (Kind::Denied, Some(EXPIRED_HINT)),
            404 | 410 => (Kind::NotFound, Some(EXPIRED_HINT)),
            429 => (Kind::Throttled, None),
            500.. => (Kind::Busy, None),
            _ => (Kind::Other, None),
        };
        let error = self.refused(kind).with_code(format!("HTTP {status}"));
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    fn refused(&self, kind: Kind) -> PortError {
        PortError::refused(kind, format!("read what the URL in {} opens: {}", self.subject, kind.words()))
    }
}

const EXPIRED_HINT: &str = "a pre-authenticated URL ends at its time, with its object, or when it is deleted: make another for the object, and put it \
     into the secret";

const REDIRECT_HINT: &str =
    "the answer leads to another address, which is not followed: put the final URL into the secret";

const REACH_HINT: &str = "no connection could be made: check name resolution and the route to the URL's host";

const TRUST_HINT: &str =
    "the certificate of the URL's host is not trusted or is for another name; it must lead to a public root";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_nobody_can_read_along_are_used_and_none_is_shown() {
        let url = |text: &str| PreauthenticatedUrl::new(&SecretText::new(text.to_owned()), "env:WALLET_URL");
        for good in
            ["https://objectstorage.us-ashburn-1.oraclecloud.com/p/canary/n/x/b/y/o/z", " http://127.0.0.1:1/canary\n"]
        {
            let url = url(good).unwrap();
            assert_eq!(format!("{url:?}"), "PreauthenticatedUrl { subject: \"env:WALLET_URL\", .. }");
        }
        for (bad, kind) in [
            ("http://objectstorage.example.com/canary", Kind::Tls),
            ("ftp://127.0.0.1/canary", Kind::Tls),
            ("https://canary@objectstorage.example.com/", Kind::Malformed),
            ("/canary", Kind::Malformed),
            ("https://a b/canary", Kind::Malformed),
            ("", Kind::Malformed),
            (&format!("https://example.com/canary{}", "x".repeat(MAX_URL)), Kind::Malformed),
        ] {
            let error = url(bad).unwrap_err();
            assert_eq!(error.kind, kind, "{bad}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
