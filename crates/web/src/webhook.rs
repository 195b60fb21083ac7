//! Notices by webhook: a POST with JSON to a URL that is a secret, signed as the Standard Webhooks specification describes.
//!
//! URL and key are read when a notice is sent, so that replacing them in their secrets is all that it takes. What the host answers
//! is never shown, and neither is the URL: errors name the reference to it.

use core::{fmt, time::Duration};
use std::sync::Arc;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dizzy_host::{
    notice::Notice,
    port::{Clock, Deadline, Kind, PortError, PortResult, Receiver, SecretReader},
    proxy::Proxy,
    reference::Reference,
    secret::SecretText,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderValue, Request, Uri, header};
use http_body_util::Full;
use sha2::Sha256;
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::{
    address::may_be_called,
    transport::{Broken, Transport},
};

/// Longest URL; those of chat services have some 200 characters.
const MAX_URL: usize = 4096;
/// Shortest key: what the specification asks for (24 bytes, "Symmetric").
const MIN_KEY: usize = 24;
/// The answer is not looked at; one that is longer has arrived all the same.
const MAX_ANSWER: usize = 64 * 1024;
/// Attempts, and the wait before the second; doubled for the third.
const TRIES: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(200);
/// An attempt gets a share of the time, but at least this long.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

/// Where a webhook's parts are.
#[derive(Clone, Debug)]
pub struct WebhookSource {
    /// The URL.
    pub url: Reference,
    /// The key that signs requests, if they are signed.
    pub signing_key: Option<Reference>,
    /// More roots to trust (PEM).
    pub tls_ca: Option<Reference>,
    /// The proxy on the way there, if there is one.
    pub proxy: Option<Proxy>,
}

/// A webhook.
pub struct Webhook {
    source: WebhookSource,
    name: String,
    reader: Arc<dyn SecretReader>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook whose parts `reader` reads; `clock` tells the time that is signed.
    #[must_use]
    pub fn new(source: WebhookSource, reader: Arc<dyn SecretReader>, clock: Arc<dyn Clock>) -> Self {
        let name = source.url.to_string();
        Self { source, name, reader, clock }
    }

    /// Reads and checks URL, key and roots, and sends nothing.
    ///
    /// # Errors
    /// What [`deliver`](Receiver::deliver) would stop at before it sends anything.
    pub async fn check(&self, deadline: Deadline) -> PortResult<()> {
        self.open(deadline).await.map(drop)
    }

    async fn open(&self, deadline: Deadline) -> PortResult<Opened> {
        let text = self.reader.read(&self.source.url, deadline).await?;
        let uri = self.uri(&text)?;
        let key = match &self.source.signing_key {
            None => None,
            Some(reference) => {
                let what = format!("use the key that {reference} holds");
                Some(key_of(&self.reader.read(reference, deadline).await?, &what)?)
            }
        };
        let roots = match &self.source.tls_ca {
            None => None,
            Some(reference) => Some(self.reader.read(reference, deadline).await?),
        };
        let transport =
            Transport::new("webhooks", roots.as_ref().map(|pem| pem.expose().as_bytes()), self.source.proxy.as_ref())?;
        Ok(Opened { uri, key, transport })
    }

    fn uri(&self, text: &SecretText) -> PortResult<Uri> {
        let what = || format!("use the URL that {} holds", self.name);
        let malformed = || PortError::refused(Kind::Malformed, format!("{}: it is not one", what()));
        let text = text.expose().trim();
        if text.len() > MAX_URL {
            return Err(malformed());
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let authority = uri.authority().ok_or_else(malformed)?;
        if authority.as_str().contains('@') {
            return Err(malformed().with_hint("a user and password in a URL are not sent"));
        }
        if !may_be_called(&uri) {
            return Err(PortError::refused(Kind::Tls, format!("{}: it is not https", what()))
                .with_hint("the URL must begin with https://; http:// is accepted for loopback addresses only"));
        }
        Ok(uri)
    }

    fn request(&self, opened: &Opened, notice: &Notice, body: &Bytes) -> PortResult<Request<Full<Bytes>>> {
        let broken = || self.refused(Kind::Other);
        // A new attempt is a new moment: the receiver refuses old ones.
        let seconds = self.clock.now().0 / 1000;
        let mut request = Request::post(opened.uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, body.len())
            .header(header::USER_AGENT, concat!("dizzy-keys/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", seconds);
        if let Some(key) = &opened.key {
            let mut signature = HeaderValue::from_str(&signature(key, &notice.id, seconds, body).ok_or_else(broken)?)
                .map_err(|_| broken())?;
            signature.set_sensitive(true);
            request = request.header("webhook-signature", signature);
        }
        if let Some(trace) = &notice.trace {
            request = request.header("traceparent", trace);
        }
        request.body(Full::new(body.clone())).map_err(|_| broken())
    }

    async fn once(&self, opened: &Opened, notice: &Notice, body: &Bytes, deadline: Deadline) -> PortResult<()> {
        let request = self.request(opened, notice, body)?;
        let ends = deadline.at_most((deadline.left() / TRIES).max(SHORTEST_ATTEMPT));
        let status = match timeout_at(ends.instant(), opened.transport.exchange(request, MAX_ANSWER)).await {
            Err(_) => return Err(self.refused(Kind::Timeout)),
            Ok(Err(Broken::NotTrusted)) => return Err(self.refused(Kind::Tls).with_hint(TRUST_HINT)),
            Ok(Err(Broken::NotConnected)) => return Err(self.refused(Kind::Unreachable).with_hint(REACH_HINT)),
            Ok(Err(Broken::Proxy(trouble))) => return Err(trouble.told(self.refused(trouble.kind()))),
            Ok(Err(Broken::Midway)) => return Err(self.refused(Kind::Unreachable)),
            // It has answered, at length.
            Ok(Err(Broken::TooLong)) => return Ok(()),
            Ok(Ok(answer)) => answer.status,
        };
        let (kind, hint) = match status.as_u16() {
            200..=299 => return Ok(()),
            300..=399 => (
                Kind::Other,
                Some("the answer leads to another address, which is not followed: put the final URL into the secret"),
            ),
            401 | 403 | 404 | 407 | 410 => {
                (Kind::Denied, Some("the URL opens nothing (any more): make another and put it into the secret"))
            }
            408 | 429 => (Kind::Throttled, None),
            500.. => (Kind::Busy, None),
            _ => (Kind::Other, Some("the host does not take a notice in this form: docs/notify.md shows what is sent")),
        };
        let error = self.refused(kind).with_code(format!("HTTP {}", status.as_u16()));
        Err(match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    fn refused(&self, kind: Kind) -> PortError {
        PortError::refused(kind, format!("tell the webhook in {}: {}", self.name, kind.words()))
    }
}

/// A webhook that is ready.
struct Opened {
    uri: Uri,
    key: Option<Zeroizing<Vec<u8>>>,
    transport: Transport,
}

#[async_trait]
impl Receiver for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    async fn deliver(&self, notice: &Notice, deadline: Deadline) -> PortResult<()> {
        let opened = self.open(deadline).await?;
        let body = Bytes::from(notice.body());
        let (mut tries, mut wait) = (1, BACKOFF);
        loop {
            let error = match self.once(&opened, notice, &body, deadline).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let passing = matches!(error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable);
            if !passing || tries == TRIES || wait >= deadline.left() {
                return Err(error);
            }
            tracing::debug!(kind = ?error.kind, tries, "a webhook is tried again");
            sleep_until(Instant::now() + wait).await;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }
}

/// The key: base64 behind `whsec_`, as the specification serializes keys, else the text's own bytes.
fn key_of(text: &SecretText, what: &str) -> PortResult<Zeroizing<Vec<u8>>> {
    let text = text.expose().trim();
    let key = match text.strip_prefix("whsec_") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| PortError::refused(Kind::Malformed, format!("{what}: what follows whsec_ is no base64")))?,
        None => text.as_bytes().to_vec(),
    };
    let key = Zeroizing::new(key);
    if key.len() < MIN_KEY {
        return Err(PortError::refused(Kind::Malformed, format!("{what}: it is too short"))
            .with_hint("at least 24 random bytes: printf 'whsec_%s' \"$(openssl rand -base64 32)\""));
    }
    Ok(key)
}

/// `v1,` and the base64 of HMAC-SHA256 over id, time and body (Standard Webhooks 1.0, "Signature scheme").
fn signature(key: &[u8], id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

const REACH_HINT: &str = "no connection could be made: check name resolution and the route to the URL's host";

const TRUST_HINT: &str = "the certificate of the URL's host is not trusted or is for another name; for a host with its own authority, set \
     `tls_ca` of the receiver";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the specification's reference libraries.
        let text = SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let key = key_of(&text, "use it").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn a_key_that_is_too_short_or_no_base64_is_refused_and_not_shown() {
        for text in ["whsec_canary!", "canary", ""] {
            let error = key_of(&SecretText::new(text.to_owned()), "use the key that env:K holds").unwrap_err();
            assert_eq!(error.kind, Kind::Malformed, "{text}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
        assert!(key_of(&SecretText::new("x".repeat(MIN_KEY)), "use it").is_ok());
    }
}
