//! One HTTP exchange: connect, send, read at most so much. Knows nothing of signatures or clouds.
//!
//! HTTP/1.1 over TLS by rustls on aws-lc-rs, verified against Mozilla's roots built into the program and roots that are added;
//! through a proxy if one is given, no redirects. How far a request got is kept, because it decides whether a failed write can have happened.

use core::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use std::{io, sync::Arc};

use bytes::Bytes;
use dizzy_host::{
    port::{Kind, PortError, PortResult},
    proxy::{Proxy, ProxyTrouble},
};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tokio::time::timeout;
use tower_service::Service;
use zeroize::Zeroizing;

use crate::road::Road;

/// Name, TCP and TLS together; longer than any healthy handshake within or between regions.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Connections that nobody used for longer are not used again: a container that was frozen in between (OCI Functions does that
/// after each call) finds them dead, and a request on a dead connection ends as unknown.
const IDLE_LIMIT: Duration = Duration::from_secs(10);

/// The connection pool.
#[derive(Debug)]
pub struct Transport {
    client: Client<Limited, Full<Bytes>>,
}

/// A whole answer.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, wiped when dropped.
    pub body: Zeroizing<Vec<u8>>,
}

/// How far an exchange got that has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// No connection was made: no byte of the request left.
    NotConnected,
    /// TLS could not be verified: no byte of the request left.
    NotTrusted,
    /// The proxy made no connection: no byte of the request left.
    Proxy(ProxyTrouble),
    /// It broke with the request on its way, or while the answer was read.
    Midway,
    /// The answer is longer than any that is expected.
    TooLong,
}

impl Transport {
    /// A pool that trusts Mozilla's roots and those in `extra_roots` (PEM), and calls what is https through `proxy`. `whom` is who is
    /// called, for messages.
    ///
    /// # Errors
    /// `Tls` if `extra_roots` holds no certificate, or one that cannot be read. `Malformed` if the proxy's address cannot be used.
    pub fn new(whom: &str, extra_roots: Option<&[u8]>, proxy: Option<&Proxy>) -> PortResult<Self> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| PortError::refused(Kind::Tls, format!("set up TLS for {whom}")))?
            .with_root_certificates(roots(whom, extra_roots)?)
            .with_no_client_auth();
        // Plain http is for loopback and a machine's own metadata service: callers let no other through.
        let road = Road::new(whom, &config, proxy)?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(config);
        let connector = builder.https_or_http().enable_http1().wrap_connector(road);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_LIMIT).build(Limited(connector));
        Ok(Self { client })
    }

    /// Sends a request and reads an answer of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Broken`]: how far it got.
    pub async fn exchange(&self, request: Request<Full<Bytes>>, limit: usize) -> Result<Answer, Broken> {
        let answer = self.client.request(request).await.map_err(|error| how_far(&error))?;
        let (parts, mut stream) = answer.into_parts();
        // Never grows past what was reserved, so that no unwiped copy is left behind.
        let mut body = Zeroizing::new(Vec::with_capacity(limit));
        while let Some(frame) = stream.frame().await {
            let Ok(part) = frame.map_err(|_| Broken::Midway)?.into_data() else { continue };
            if body.len() + part.len() > limit {
                return Err(Broken::TooLong);
            }
            body.extend_from_slice(&part);
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

fn how_far(error: &hyper_util::client::legacy::Error) -> Broken {
    if !error.is_connect() {
        return Broken::Midway;
    }
    if let Some(trouble) = ProxyTrouble::of(error) {
        return Broken::Proxy(trouble);
    }
    if caused_by_tls(error) { Broken::NotTrusted } else { Broken::NotConnected }
}

/// Whether rustls is in the chain of causes, also inside of I/O errors, which hide theirs.
fn caused_by_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    for _ in 0..MAX_CAUSES {
        let Some(error) = next else { return false };
        if error.is::<rustls::Error>() {
            return true;
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Longer than any chain seen, so that a cyclic one ends.
const MAX_CAUSES: usize = 32;

fn roots(whom: &str, extra: Option<&[u8]>) -> PortResult<RootCertStore> {
    let refused = || {
        let what = format!("read the additional root certificates for {whom}: not PEM certificates");
        PortError::refused(Kind::Tls, what)
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(pem) = extra {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|_| refused())?).map_err(|_| refused())?;
        }
        if roots.len() == before {
            return Err(refused());
        }
    }
    Ok(roots)
}

/// A connector whose connections are made within [`CONNECT_LIMIT`], or count as not made.
#[derive(Clone, Debug)]
struct Limited(HttpsConnector<Road>);

type Connection = <HttpsConnector<Road> as Service<Uri>>::Response;
type BoxError = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Limited {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async {
            timeout(CONNECT_LIMIT, connecting)
                .await
                .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_roots_that_are_no_certificates_are_refused() {
        assert!(Transport::new("OCI", None, None).is_ok());
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "not PEM", broken] {
            let refused = Transport::new("OCI", Some(pem.as_bytes()), None).map(drop).unwrap_err();
            assert_eq!(refused.kind, Kind::Tls, "{pem}");
        }
    }
}
