//! The way to a host: straight there, or through a proxy by CONNECT (RFC 9110, section 9.3.6). TLS with the host begins behind it.

use core::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use dizzy_host::{
    port::{Kind, PortError, PortResult},
    proxy::Proxy,
};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

/// Any host over https: if the proxy is not for this one, its address was not understood.
const ANY: &str = "https://any.invalid/";

/// Connects, and leaves TLS with the host to its caller.
#[derive(Clone, Debug)]
pub(crate) struct Road {
    direct: HttpConnector,
    /// To a proxy that is itself reached over TLS.
    to_proxy: HttpsConnector<HttpConnector>,
    /// Which hosts are behind the proxy; `None` without one.
    behind: Option<Arc<Matcher>>,
}

impl Road {
    /// # Errors
    /// `Malformed` if the proxy's address cannot be used: nothing is called past a proxy that is asked for.
    pub(crate) fn new(whom: &str, config: &ClientConfig, proxy: Option<&Proxy>) -> PortResult<Self> {
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        let to_proxy =
            HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_or_http().enable_http1().build();
        let behind = match proxy {
            None => None,
            Some(proxy) => {
                let behind = |exceptions: &str| Matcher::builder().https(proxy.url().expose()).no(exceptions).build();
                if behind("").intercept(&Uri::from_static(ANY)).is_none() {
                    let what = format!("call {whom} through the proxy in HTTPS_PROXY: its address cannot be used");
                    return Err(PortError::refused(Kind::Malformed, what));
                }
                Some(Arc::new(behind(proxy.exceptions())))
            }
        };
        Ok(Self { direct, to_proxy, behind })
    }
}

type BoxError = Box<dyn Error + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Road {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.behind.as_ref().and_then(|behind| behind.intercept(&uri)) else {
            let connecting = self.direct.call(uri);
            return Box::pin(async { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        let mut tunnel = match proxy.basic_auth() {
            Some(credentials) => tunnel.with_auth(credentials.clone()),
            None => tunnel,
        };
        let connecting = tunnel.call(uri);
        Box::pin(async { Ok(connecting.await?) })
    }
}
