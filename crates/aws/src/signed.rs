//! Requests signed by hand, for services of which a few calls are needed: SSM, S3 and SNS.
//!
//! An SDK crate per service would double the build of this package. Region, credentials, endpoint and transport are those of
//! the SDK.

use core::time::Duration;

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::{
    client::{
        http::HttpConnector as _,
        identity::Identity,
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::{Headers, StatusCode},
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use dizzy_host::port::{Deadline, Kind, PortResult};
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::{
    clients::{Loaded, READ_ATTEMPTS, READ_BACKOFF},
    failure::{CREDENTIALS_HINT, Call},
};

/// A request, before it is signed.
pub(crate) struct Ask {
    /// The service's name in signatures.
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    /// Percent-encoded.
    pub(crate) url: String,
    /// Lower-case names; all are signed, and the host with them.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) settings: SigningSettings,
    /// Another region than the one that is set.
    pub(crate) region: Option<String>,
    /// The longest answer that is read.
    pub(crate) limit: usize,
}

/// A whole answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Headers,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// Sends a request once.
pub(crate) async fn send(aws: &Loaded, call: &Call<'_>, ask: Ask) -> PortResult<Reply> {
    let limit = ask.limit;
    let request = signed(aws, call, ask).await?;
    let answer = aws.connector.call(request).await.map_err(|error| call.not_delivered(&error))?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = read_body(call, answer, limit).await?;
    Ok(Reply { status, headers, body })
}

/// Tries a read again that failed for a passing reason.
pub(crate) async fn patiently<T, F>(call: &Call<'_>, deadline: Deadline, once: impl Fn() -> F) -> PortResult<T>
where
    F: Future<Output = PortResult<T>>,
{
    let mut wait = READ_BACKOFF;
    let mut tries = 1;
    loop {
        let attempt_ends = deadline.at_most((deadline.left() / READ_ATTEMPTS).max(SHORTEST_ATTEMPT));
        let attempt = timeout_at(attempt_ends.instant(), once());
        let error = match attempt.await.unwrap_or_else(|_| Err(call.refused(Kind::Timeout))) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let passing = matches!(error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable);
        if !passing || tries == READ_ATTEMPTS {
            return Err(error);
        }
        sleep_until(Instant::now() + wait).await;
        wait *= 2;
        tries += 1;
    }
}

/// A try gets at least this long, or a busy moment would look like an outage.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

async fn signed(aws: &Loaded, call: &Call<'_>, ask: Ask) -> PortResult<HttpRequest> {
    let broken = || call.refused(Kind::Other);
    let unsigned = || call.refused(Kind::Denied).with_hint(CREDENTIALS_HINT);
    let provider = aws.config.credentials_provider().ok_or_else(unsigned)?;
    let identity: Identity = provider
        .provide_credentials()
        .await
        .map_err(|error| call.without_credentials(&error).unwrap_or_else(unsigned))?
        .into();
    let host = authority(&ask.url).ok_or_else(broken)?.to_owned();
    let mut headers = vec![("host", host)];
    headers.extend(ask.headers);
    let signable = SignableRequest::new(
        ask.method,
        ask.url.as_str(),
        headers.iter().map(|(name, value)| (*name, value.as_str())),
        SignableBody::Bytes(&ask.body),
    );
    let time = aws.config.time_source().ok_or_else(broken)?.now();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(ask.region.as_deref().unwrap_or(&aws.region))
        .name(ask.service)
        .time(time)
        .settings(ask.settings)
        .build()
        .map_err(|_| broken())?
        .into();
    let (instructions, _signature) = sign(signable.map_err(|_| broken())?, &params).map_err(|_| broken())?.into_parts();
    let signature: Vec<(String, String)> =
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();

    let mut request = HttpRequest::new(SdkBody::from(ask.body));
    request.set_method(ask.method).map_err(|_| broken())?;
    request.set_uri(ask.url.as_str()).map_err(|_| broken())?;
    // The host too: it is signed as written in the endpoint, and the transport would leave out a default port.
    let unsigned = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
    for (name, value) in unsigned.chain(signature) {
        request.headers_mut().try_insert(name, value).map_err(|_| broken())?;
    }
    Ok(request)
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<&str> {
    url.split("://").nth(1)?.split(['/', '?']).next()
}

/// Answers that may hold a secret fit in here, so that they never move and leave no unwiped copy behind.
const RESERVED: usize = 128 * 1024;

async fn read_body(call: &Call<'_>, answer: HttpResponse, limit: usize) -> PortResult<Zeroizing<Vec<u8>>> {
    let mut stream = ByteStream::new(answer.into_body());
    let mut body = Zeroizing::new(Vec::with_capacity(limit.min(RESERVED)));
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| call.unclear(Kind::Unreachable))?;
        if body.len() + part.len() > limit {
            return Err(call.unclear(Kind::Malformed));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_signed_with_its_port_and_without_what_follows() {
        for (url, host) in [
            ("https://b.s3.us-west-2.amazonaws.com/a/b?c=d", "b.s3.us-west-2.amazonaws.com"),
            ("http://127.0.0.1:5000?versions=", "127.0.0.1:5000"),
            ("http://[::1]:5000/", "[::1]:5000"),
        ] {
            assert_eq!(authority(url), Some(host));
        }
        assert_eq!(authority("nowhere"), None);
    }
}
