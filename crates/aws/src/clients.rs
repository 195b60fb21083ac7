//! The one way to AWS: region, credentials, trust, transport. Built at the first call, not before.
//!
//! Settings come from AWS's own sources (environment, profile, container, instance), as for every AWS tool; a value in
//! [`AwsSettings`] goes before them. One connection pool serves all calls.

use core::{future::Future, time::Duration};
use std::sync::Arc;

use aws_config::{
    BehaviorVersion, SdkConfig,
    default_provider::credentials::DefaultCredentialsChain,
    environment::EnvironmentVariableRegionProvider,
    imds::{self, region::ImdsRegionProvider},
    meta::region::RegionProviderChain,
    profile::ProfileFileRegionProvider,
    provider_config::ProviderConfig,
};
use aws_credential_types::Credentials;
use aws_sdk_secretsmanager as sm;
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector, http_client_fn};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{region::Region, service_config::ServiceConfigKey};
use dizzy_host::{
    port::{Deadline, Kind, PortError, PortResult},
    proxy::Proxy,
};
use tokio::{sync::OnceCell, time::timeout_at};

use crate::{
    failure::Call,
    quiet::quietly,
    role::{AssumedRole, assumed},
    roots,
};

/// What is set explicitly; everything left out comes from AWS's own sources.
#[derive(Clone, Debug, Default)]
pub struct AwsSettings {
    /// The region, before `AWS_REGION` and the profile.
    pub region: Option<String>,
    /// The profile, before `AWS_PROFILE`.
    pub profile: Option<String>,
    /// One endpoint for every service, before `AWS_ENDPOINT_URL*`. Plain http is accepted for loopback addresses only.
    pub endpoint_url: Option<String>,
    /// Credentials, before the whole chain.
    pub credentials: Option<Credentials>,
    /// More roots to trust (PEM), for private endpoints.
    pub extra_roots: Option<Vec<u8>>,
    /// A role to assume with whatever credentials there are.
    pub role: Option<AssumedRole>,
    /// The proxy that everything over https goes through, if there is one. The metadata services of instances and containers speak
    /// plain http and are asked directly.
    pub proxy: Option<Proxy>,
}

impl AwsSettings {
    /// Credentials as the environment gives them, for a caller that has taken them out of it: they go before the whole chain, as
    /// the environment does.
    #[must_use]
    pub fn with_keys(mut self, id: &str, secret: &str, session_token: Option<&str>) -> Self {
        let token = session_token.map(str::to_owned);
        self.credentials = Some(Credentials::new(id, secret, token, None, "environment"));
        self
    }
}

/// Access to AWS; cheap to clone, all clones share one connection pool.
#[derive(Clone, Debug)]
pub struct AwsClients {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: AwsSettings,
    loaded: OnceCell<Loaded>,
}

/// What the first call finds out.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Region, credentials, endpoints.
    pub(crate) config: SdkConfig,
    /// The client of Secrets Manager.
    pub(crate) secrets_manager: sm::Client,
    /// The transport, for calls without an SDK crate.
    pub(crate) connector: SharedHttpConnector,
    /// The region.
    pub(crate) region: String,
}

impl AwsClients {
    /// Remembers the settings; reads nothing and connects to nothing until the first call.
    #[must_use]
    pub fn load(settings: AwsSettings) -> Self {
        Self { inner: Arc::new(Inner { settings, loaded: OnceCell::new() }) }
    }

    /// Finds region, endpoint and credential sources, once; `call` is what this is done for.
    ///
    /// # Errors
    /// `Denied` with a hint if there is no region, `Tls` if an endpoint is not https or a root is no certificate, `Timeout`.
    pub(crate) async fn loaded(&self, call: &Call<'_>, deadline: Deadline) -> PortResult<&Loaded> {
        if let Some(error) = call.too_late(deadline) {
            return Err(error);
        }
        let found = self.inner.loaded.get_or_try_init(|| quietly(Box::pin(find(&self.inner.settings))));
        timeout_at(deadline.instant(), found).await.map_err(|_| call.refused(Kind::Timeout))?
    }
}

/// Runs a call until the deadline. What is cut off by it is unclear: the request may be on its way.
pub(crate) async fn until<T>(
    deadline: Deadline,
    call: &Call<'_>,
    request: impl Future<Output = PortResult<T>>,
) -> PortResult<T> {
    if let Some(error) = call.too_late(deadline) {
        return Err(error);
    }
    timeout_at(deadline.instant(), quietly(request)).await.unwrap_or_else(|_| Err(call.unclear(Kind::Timeout)))
}

/// For reads: the SDK tries again what failed for a passing reason. A third of the time for each try, so that a connection
/// that hangs does not use up all of it.
pub(crate) fn read_settings(deadline: Deadline) -> sm::config::Builder {
    let attempt = (deadline.left() / READ_ATTEMPTS).max(SHORTEST_ATTEMPT);
    let retry = RetryConfig::standard().with_max_attempts(READ_ATTEMPTS).with_initial_backoff(READ_BACKOFF);
    sm::Config::builder()
        .retry_config(retry)
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(attempt).build())
}

/// Tries of a read before its failure is told.
pub(crate) const READ_ATTEMPTS: u32 = 3;
/// The wait before the second try; doubled for the third, and randomised by the SDK.
pub(crate) const READ_BACKOFF: Duration = Duration::from_millis(100);
/// A try gets at least this long, or a busy moment would look like an outage.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

/// Name, TCP and TLS. AWS's SDKs use 3.1 s; longer than any healthy handshake within or between regions.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// The instance metadata service answers from the same host; anything slower is not there. Off EC2 its address leads
/// nowhere, and this is what one run without credentials waits.
const METADATA_LIMIT: Duration = Duration::from_secs(1);

async fn find(settings: &AwsSettings) -> PortResult<Loaded> {
    let connector = connector(settings)?;
    let http_client = http_client_fn({
        let connector = connector.clone();
        // The SDK asks for a transport per pair of timeouts and would open a pool for each; ours has its own limits.
        move |_settings, _components| connector.clone()
    });
    let provider_config = ProviderConfig::without_region().with_http_client(http_client.clone());
    let metadata = imds::Client::builder()
        .configure(&provider_config)
        .max_attempts(1)
        .connect_timeout(METADATA_LIMIT)
        .read_timeout(METADATA_LIMIT)
        .operation_attempt_timeout(METADATA_LIMIT)
        .operation_timeout(METADATA_LIMIT)
        .build();

    let region = find_region(settings, &provider_config, metadata.clone()).await.ok_or_else(no_region)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region.clone())
        .http_client(http_client)
        // Writes are sent once: the caller decides what an unclear end means and what to do about it. Reads say
        // otherwise per call.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader = match &settings.credentials {
        Some(credentials) => loader.credentials_provider(credentials.clone()),
        None => {
            let mut chain = DefaultCredentialsChain::builder()
                .configure(provider_config)
                .region(region.clone())
                .imds_client(metadata);
            if let Some(profile) = &settings.profile {
                chain = chain.profile_name(profile);
            }
            loader.credentials_provider(chain.build().await)
        }
    };
    let mut config = loader.load().await;
    if let Some(role) = &settings.role {
        config = assumed(config, role).await;
    }
    for service in ["Secrets Manager", "SSM", "STS"] {
        if let Some(url) = endpoint_override(&config, service) {
            refuse_plaintext(&url, service)?;
        }
    }
    let secrets_manager = sm::Client::new(&config);
    Ok(Loaded { secrets_manager, connector, region: region.to_string(), config })
}

async fn find_region(
    settings: &AwsSettings,
    provider_config: &ProviderConfig,
    metadata: imds::Client,
) -> Option<Region> {
    if let Some(region) = &settings.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(provider_config);
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .or_else(ImdsRegionProvider::builder().configure(provider_config).imds_client(metadata).build())
        .region()
        .await
}

fn no_region() -> PortError {
    PortError::refused(Kind::Denied, "find the AWS region: there is none")
        .with_hint("set AWS_REGION, or `region` in the AWS profile; neither is set, and no instance metadata answered")
}

/// The endpoint that the user set for a service (`AWS_ENDPOINT_URL_SSM`, `AWS_ENDPOINT_URL`, profile), read as the SDK
/// crates read it.
pub(crate) fn endpoint_override(config: &SdkConfig, service: &str) -> Option<String> {
    if config.get_origin("endpoint_url").is_client_config() {
        return config.endpoint_url().map(str::to_owned);
    }
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let own = key.ok().and_then(|key| config.service_config().and_then(|found| found.load_config(key)));
    own.or_else(|| config.endpoint_url().map(str::to_owned))
}

/// There is no plaintext fallback: http is for emulators on the same machine.
pub(crate) fn refuse_plaintext(url: &str, service: &str) -> PortResult<()> {
    let refused = || {
        PortError::refused(Kind::Tls, format!("use the endpoint set for AWS {service}: it is not https"))
            .with_hint("the endpoint must begin with https://; http:// is accepted for loopback addresses only")
    };
    if url.starts_with("https://") {
        return Ok(());
    }
    let rest = url.strip_prefix("http://").ok_or_else(refused)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = host == "localhost" || host.parse().is_ok_and(|address: core::net::IpAddr| address.is_loopback());
    if loopback { Ok(()) } else { Err(refused()) }
}

fn connector(settings: &AwsSettings) -> PortResult<SharedHttpConnector> {
    let trust = roots::trust_store(settings.extra_roots.as_deref())?;
    let tls = TlsContext::builder()
        .with_trust_store(trust)
        .build()
        .map_err(|_| PortError::refused(Kind::Tls, "set up TLS for AWS"))?;
    let limits = HttpConnectorSettings::builder().connect_timeout(CONNECT_LIMIT).build();
    let connector = Connector::builder()
        .proxy_config(proxy_config(settings.proxy.as_ref())?)
        .connector_settings(limits)
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build();
    Ok(SharedHttpConnector::new(connector))
}

/// For https only. Without a proxy of ours none is used: the transport would not look into the environment by itself either.
fn proxy_config(proxy: Option<&Proxy>) -> PortResult<ProxyConfig> {
    let Some(proxy) = proxy else { return Ok(ProxyConfig::disabled()) };
    let config = ProxyConfig::https(proxy.url().expose()).map_err(|_| {
        PortError::refused(Kind::Malformed, "call AWS through the proxy in HTTPS_PROXY: its address cannot be used")
    })?;
    Ok(config.no_proxy(proxy.exceptions()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in
            ["https://vpce-1.secretsmanager.us-west-2.vpce.amazonaws.com", "http://127.0.0.1:5000", "http://[::1]/x"]
        {
            assert!(refuse_plaintext(url, "SSM").is_ok(), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com:80",
            "ftp://x",
            "HTTP://x",
        ] {
            assert_eq!(refuse_plaintext(url, "SSM").unwrap_err().kind, Kind::Tls, "{url}");
        }
    }

    #[tokio::test]
    async fn a_call_past_its_deadline_is_not_begun() {
        let call = Call {
            doing: "promote",
            subject: "aws-sm:x",
            action: "secretsmanager:UpdateSecretVersionStage",
            effect: crate::failure::Effect::Write,
        };
        let clients = AwsClients::load(AwsSettings::default());
        let error = clients.loaded(&call, Deadline::after(Duration::ZERO)).await.map(drop).unwrap_err();
        assert_eq!(error, PortError::refused(Kind::Timeout, "promote aws-sm:x: no answer in time"));
    }
}
