//! The one way to OCI: sign, send, judge, and try again what can do no harm.
//!
//! Nothing is read and nothing connects before the first call. Reads are tried again after passing faults. Writes are sent
//! once, except when OCI says that it did not look at them (429) or no connection was made: what any other end means is for the
//! caller to find out.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use dizzy_host::{
    port::{Clock, Deadline, Kind, PortResult, Randomness},
    proxy::Proxy,
};
use dizzy_web::{Answer, Transport};
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    endpoints::{Base, OciEndpoints, Place, Service},
    failure::{Call, Effect, Failure, Sent},
    http_date::http_date,
    provider::{OciAuth, Provider, Signed},
    sign::{Content, Signable, content_sha256},
};

/// What the clients need to know and have.
pub struct OciSettings {
    /// Who signs.
    pub auth: OciAuth,
    /// The region, before the one that the credentials' source names.
    pub region: Option<String>,
    /// The second-level domain of the region's realm, for regions that this version does not know (`oraclecloud.com`).
    pub realm_domain: Option<String>,
    /// Addresses that are set explicitly.
    pub endpoints: OciEndpoints,
    /// More roots to trust (PEM), for private endpoints.
    pub extra_roots: Option<Vec<u8>>,
    /// The proxy on the way there, if there is one.
    pub proxy: Option<Proxy>,
    /// Tells the time that goes into signatures.
    pub clock: Arc<dyn Clock>,
    /// Gives request ids, and keeps clients that wait from returning in step.
    pub randomness: Arc<dyn Randomness>,
    /// How long to wait between calls.
    pub pace: Pace,
}

/// Waits between calls. The defaults suit the service; tests are more impatient.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before a read, or a write that was certainly not executed, is sent again; doubled each time.
    pub backoff: Duration,
    /// Before a secret that is being updated is looked at again; doubled each time.
    pub first_poll: Duration,
    /// The longest wait between two such looks.
    pub longest_poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(200),
            // Updates take "seconds" (perspectivism/oci-secret-rotation); a look costs a call.
            first_poll: Duration::from_millis(300),
            longest_poll: Duration::from_secs(2),
        }
    }
}

/// Tries of a call before its failure is told.
pub(crate) const TRIES: u32 = 3;
/// A try of a read gets a share of the time, so that a connection that hangs does not use up all of it, but at least this
/// long, or a busy moment would look like an outage.
pub(crate) const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

/// Access to OCI; cheap to clone, all clones share one connection pool and one signer.
#[derive(Clone)]
pub struct OciClients {
    inner: Arc<Inner>,
}

struct Inner {
    settings: OciSettings,
    provider: Provider,
    transport: OnceCell<Transport>,
}

/// One request, before it is signed.
pub(crate) struct Ask {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// Path behind the version, and query; percent-encoded.
    pub(crate) target: String,
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// Set for POST and PUT, also without a body.
    pub(crate) body: Option<Body>,
    /// Where the object of the call is, if that is known better than where all the others are.
    pub(crate) region: Option<String>,
    /// The longest answer that is read.
    pub(crate) limit: usize,
}

/// A body and its type.
pub(crate) struct Body {
    pub(crate) kind: &'static str,
    /// Wiped when dropped if it was made with `Bytes::from_owner` over `Zeroizing`.
    pub(crate) bytes: Bytes,
}

impl OciClients {
    /// Remembers the settings; reads nothing and connects to nothing until the first call.
    #[must_use]
    pub fn new(settings: OciSettings) -> Self {
        let provider = Provider::new(settings.auth.clone());
        Self { inner: Arc::new(Inner { settings, provider, transport: OnceCell::new() }) }
    }

    pub(crate) fn pace(&self) -> Pace {
        self.inner.settings.pace
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.inner.settings.clock.as_ref()
    }

    /// Sends a request and returns the answer if it is a success.
    pub(crate) async fn ask(&self, call: &Call<'_>, ask: &Ask, deadline: Deadline) -> Result<Answer, Failure> {
        let mut signed = self.inner.provider.signed(self, deadline).await?;
        let (mut tries, mut wait, mut renewed) = (1, self.pace().backoff, false);
        loop {
            let failure = match self.once(call, ask, &signed, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.is("NotAuthenticated") && !renewed {
                // A token that expired a moment ago: whoever renews it has put another one into its file.
                let Some(fresh) = self.inner.provider.renewed(self, &signed, deadline).await? else {
                    return Err(failure);
                };
                (signed, renewed) = (fresh, true);
                continue;
            }
            if !failure.is_passing(call.effect) || tries == TRIES || wait >= deadline.left() {
                return Err(failure);
            }
            self.pause(&failure, tries, wait).await?;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    /// Sends a request in another name than the provider's: how a provider that needs OCI itself gets what it signs with.
    pub(crate) async fn ask_as(
        &self,
        call: &Call<'_>,
        ask: &Ask,
        signed: &Signed,
        deadline: Deadline,
    ) -> Result<Answer, Failure> {
        let (mut tries, mut wait) = (1, self.pace().backoff);
        loop {
            let failure = match self.once(call, ask, signed, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.is_passing(call.effect) || tries == TRIES || wait >= deadline.left() {
                return Err(failure);
            }
            self.pause(&failure, tries, wait).await?;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    async fn pause(&self, failure: &Failure, tries: u32, wait: Duration) -> PortResult<()> {
        tracing::debug!(kind = ?failure.error.kind, tries, "a call to OCI is tried again");
        sleep_until(Instant::now() + self.jittered(wait)?).await;
        Ok(())
    }

    async fn once(&self, call: &Call<'_>, ask: &Ask, signed: &Signed, deadline: Deadline) -> Result<Answer, Failure> {
        if let Some(error) = call.too_late(deadline) {
            return Err(error.into());
        }
        let settings = &self.inner.settings;
        let place = Place {
            region: ask.region.clone().or_else(|| settings.region.clone()).or_else(|| signed.region.clone()),
            realm_domain: settings.realm_domain.clone().or_else(|| signed.realm_domain.clone()),
        };
        let base = settings.endpoints.base(ask.service, &place)?;
        let request_id = self.request_id()?;
        let at = settings.clock.now();
        let date = http_date(at).ok_or_else(|| call.refused(Kind::Other))?;
        let request = request(ask, &base, signed, &date, &request_id).ok_or_else(|| call.refused(Kind::Other))?;
        let transport = self
            .inner
            .transport
            .get_or_try_init(async || Transport::new("OCI", settings.extra_roots.as_deref(), settings.proxy.as_ref()))
            .await?;

        let ends = match call.effect {
            Effect::Read => deadline.at_most((deadline.left() / TRIES).max(SHORTEST_ATTEMPT)),
            Effect::Write => deadline,
        };
        let sent = Sent { method: &ask.method, at, request_id: &request_id };
        let answer = timeout_at(ends.instant(), transport.exchange(request, ask.limit))
            .await
            .map_err(|_| call.unclear(Kind::Timeout).with_code(format!("opc-request-id {request_id}")))?
            .map_err(|broken| call.broken(broken, &sent))?;
        if answer.status.is_success() { Ok(answer) } else { Err(call.answered(&answer, &sent)) }
    }

    /// 32 hexadecimal digits, as Oracle's SDKs send them.
    pub(crate) fn request_id(&self) -> PortResult<String> {
        let mut id = [0; 16];
        self.inner.settings.randomness.fill(&mut id)?;
        Ok(id.iter().map(|byte| format!("{byte:02X}")).collect())
    }

    /// Between half of the wait and all of it.
    fn jittered(&self, wait: Duration) -> PortResult<Duration> {
        let mut random = [0];
        self.inner.settings.randomness.fill(&mut random)?;
        Ok(wait / 2 + wait / 2 * random.iter().map(|byte| u32::from(*byte)).sum::<u32>() / 255)
    }
}

/// The request as it goes out: what is signed and what is sent come from the same values. `None` if a header cannot be one.
fn request(ask: &Ask, base: &Base, signed: &Signed, date: &str, request_id: &str) -> Option<Request<Full<Bytes>>> {
    let target = format!("{}{}", base.prefix, ask.target);
    let sha256 = ask.body.as_ref().map(|body| content_sha256(&body.bytes));
    let content = ask.body.as_ref().zip(sha256.as_deref()).map(|(body, sha256)| Content {
        length: body.bytes.len(),
        kind: body.kind,
        sha256,
    });
    // The federation service is the one that Oracle's SDKs sign no host for.
    let host = (ask.service != Service::Auth).then_some(base.host.as_str());
    let signable = Signable { method: &ask.method, target: &target, host, date, content };
    let mut authorization = HeaderValue::from_str(&signed.signer.authorization(&signable).ok()?).ok()?;
    authorization.set_sensitive(true);

    // Object Storage has another name for it.
    let id_header = match ask.service {
        Service::Auth | Service::Database | Service::Notifications | Service::Secrets | Service::Vaults => {
            "opc-request-id"
        }
        Service::ObjectStorage => "opc-client-request-id",
    };
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(format!("{}{target}", base.origin))
        .header(header::HOST, &base.host)
        .header(header::DATE, date)
        .header(header::AUTHORIZATION, authorization)
        .header(header::USER_AGENT, concat!("dizzy-keys/", env!("CARGO_PKG_VERSION")))
        .header(id_header, request_id);
    if let Some(Content { length, kind, sha256 }) = content {
        request = request
            .header(header::CONTENT_LENGTH, length)
            .header(header::CONTENT_TYPE, kind)
            .header("x-content-sha256", sha256);
    }
    for (name, value) in &ask.headers {
        request = request.header(name, value);
    }
    let bytes = ask.body.as_ref().map(|body| body.bytes.clone()).unwrap_or_default();
    request.body(Full::new(bytes)).ok()
}

/// A part of a path or a value of a query, percent-encoded: everything but RFC 3986's unreserved characters.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_in_a_name_stays_one_part_of_the_path() {
        assert_eq!(encoded("2026/11/22/e.json"), "2026%2F11%2F22%2Fe.json");
        assert_eq!(encoded("../a?b=c&d#e %ü"), "..%2Fa%3Fb%3Dc%26d%23e%20%25%C3%BC");
        assert_eq!(encoded("ocid1.vaultsecret.oc1..x-y_z~"), "ocid1.vaultsecret.oc1..x-y_z~");
    }
}
