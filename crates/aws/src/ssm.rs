//! The one call that SSM is needed for, signed by hand: GetParameter with decryption.
//!
//! An SDK crate for one call would double the build of this package. Region, credentials, endpoint and transport are those
//! of the SDK. The request holds no secret; the answer does, and is wiped.

use core::time::Duration;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_runtime_api::client::{
    http::HttpConnector as _,
    identity::Identity,
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use dizzy_host::{
    port::{Deadline, Kind, PortResult},
    secret::SecretText,
};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::{
    clients::{AwsClients, Loaded, READ_ATTEMPTS, READ_BACKOFF, endpoint_override, until},
    failure::{CREDENTIALS_HINT, Call},
};

/// More than SSM ever answers: a parameter holds 8 KiB at most (advanced tier), and JSON may escape each byte to six.
const MAX_ANSWER: usize = 128 * 1024;

/// The parameter's value, decrypted; `version` pins one.
///
/// # Errors
/// `NotFound` if the parameter or the version does not exist; `Malformed` if the answer is not understood.
pub(crate) async fn parameter(
    clients: &AwsClients,
    call: &Call<'_>,
    name: &str,
    version: Option<u64>,
    deadline: Deadline,
) -> PortResult<SecretText> {
    let aws = clients.loaded(call, deadline).await?;
    until(deadline, call, Box::pin(patiently(aws, call, name, version, deadline))).await
}

/// Tries again what failed for a passing reason.
async fn patiently(
    aws: &Loaded,
    call: &Call<'_>,
    name: &str,
    version: Option<u64>,
    deadline: Deadline,
) -> PortResult<SecretText> {
    let mut wait = READ_BACKOFF;
    let mut tries = 1;
    loop {
        let attempt_ends = deadline.at_most((deadline.left() / READ_ATTEMPTS).max(Duration::from_millis(500)));
        let attempt = timeout_at(attempt_ends.instant(), once(aws, call, name, version));
        let error = match attempt.await.unwrap_or_else(|_| Err(call.refused(Kind::Timeout))) {
            Ok(text) => return Ok(text),
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

async fn once(aws: &Loaded, call: &Call<'_>, name: &str, version: Option<u64>) -> PortResult<SecretText> {
    let name = version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"));
    let body = serde_json::json!({ "Name": name, "WithDecryption": true }).to_string();
    let request = signed(aws, call, body).await?;
    let answer = aws.connector.call(request).await.map_err(|error| call.not_delivered(&error))?;
    let status = answer.status();
    let header = answer.headers().get("x-amzn-errortype").map(str::to_owned);
    let body = read_body(call, answer).await?;
    if !status.is_success() {
        // The code is in the header or the body; `#` and `:` frame it in some services.
        let code = header.or_else(|| serde_json::from_slice::<Failure>(&body).ok().map(|failure| failure.code));
        let code = code.as_deref().and_then(|code| code.rsplit('#').next()).and_then(|code| code.split(':').next());
        return Err(call.answered(status, code));
    }
    let answer: Answer = serde_json::from_slice(&body).map_err(|_| call.refused(Kind::Malformed))?;
    Ok(SecretText::new(answer.parameter.value))
}

async fn signed(aws: &Loaded, call: &Call<'_>, body: String) -> PortResult<HttpRequest> {
    let broken = || call.refused(Kind::Other);
    let unsigned = || call.refused(Kind::Denied).with_hint(CREDENTIALS_HINT);
    let provider = aws.config.credentials_provider().ok_or_else(unsigned)?;
    let identity: Identity = provider.provide_credentials().await.map_err(|_| unsigned())?.into();
    let url = endpoint(&aws.config, &aws.region);
    let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).ok_or_else(broken)?.to_owned();
    let headers = [("host", host.as_str()), ("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
    let signable =
        SignableRequest::new("POST", url.as_str(), headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
    let time = aws.config.time_source().ok_or_else(broken)?.now();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&aws.region)
        .name("ssm")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| broken())?
        .into();
    let (instructions, _signature) = sign(signable.map_err(|_| broken())?, &params).map_err(|_| broken())?.into_parts();
    let signature: Vec<(String, String)> =
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();

    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST").map_err(|_| broken())?;
    request.set_uri(url.as_str()).map_err(|_| broken())?;
    // The host too: it is signed as written in the endpoint, and the transport would leave out a default port.
    let unsigned = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in unsigned.chain(signature) {
        request.headers_mut().try_insert(name, value).map_err(|_| broken())?;
    }
    Ok(request)
}

async fn read_body(call: &Call<'_>, answer: HttpResponse) -> PortResult<Zeroizing<Vec<u8>>> {
    let mut stream = ByteStream::new(answer.into_body());
    // Never grows past what was reserved, so that no unwiped copy is left behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    while let Some(part) = stream.next().await {
        let part = part.map_err(|_| call.unclear(Kind::Unreachable))?;
        if body.len() + part.len() > MAX_ANSWER {
            return Err(call.refused(Kind::Malformed));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The endpoint that the user set, else the public one of the region.
fn endpoint(config: &SdkConfig, region: &str) -> String {
    if let Some(url) = endpoint_override(config, "SSM") {
        return format!("{}/", url.trim_end_matches('/'));
    }
    let fips = if config.use_fips() == Some(true) { "-fips" } else { "" };
    let suffix = dns_suffix(region, config.use_dual_stack() == Some(true));
    format!("https://ssm{fips}.{region}.{suffix}/")
}

/// The domain of a region's partition, as in the SDKs' `partitions.json` (botocore 1.44).
fn dns_suffix(region: &str, dual_stack: bool) -> &'static str {
    let suffixes = [
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
        ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    ];
    let found = suffixes.into_iter().find(|(prefix, _, _)| region.starts_with(prefix));
    let (_, plain, dual) = found.unwrap_or(("", "amazonaws.com", "api.aws"));
    if dual_stack { dual } else { plain }
}

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "AmazonSSM.GetParameter";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Parameter")]
    parameter: Parameter,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "Value")]
    value: String,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "__type")]
    code: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_its_own_domain() {
        for (region, plain, dual) in [
            ("us-west-2", "amazonaws.com", "api.aws"),
            ("us-gov-west-1", "amazonaws.com", "api.aws"),
            ("cn-north-1", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
            ("us-isob-east-1", "sc2s.sgov.gov", "api.aws.scloud"),
        ] {
            assert_eq!((dns_suffix(region, false), dns_suffix(region, true)), (plain, dual), "{region}");
        }
    }
}
