//! The one call that SSM is needed for, signed by hand: GetParameter with decryption.
//!
//! The request holds no secret; the answer does, and is wiped.

use aws_config::SdkConfig;
use aws_sigv4::http_request::SigningSettings;
use dizzy_host::{
    port::{Deadline, Kind, PortResult},
    secret::SecretText,
};
use serde::Deserialize;

use crate::{
    clients::{AwsClients, Loaded, endpoint_override, until},
    failure::Call,
    signed::{Ask, patiently, send},
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
    let patient = patiently(call, deadline, || once(aws, call, name, version));
    until(deadline, call, Box::pin(patient)).await
}

async fn once(aws: &Loaded, call: &Call<'_>, name: &str, version: Option<u64>) -> PortResult<SecretText> {
    let name = version.map_or_else(|| name.to_owned(), |version| format!("{name}:{version}"));
    let body = serde_json::json!({ "Name": name, "WithDecryption": true }).to_string();
    let ask = Ask {
        service: "ssm",
        method: "POST",
        url: endpoint(&aws.config, &aws.region),
        headers: vec![("content-type", CONTENT_TYPE.to_owned()), ("x-amz-target", TARGET.to_owned())],
        body: body.into_bytes(),
        settings: SigningSettings::default(),
        region: None,
        limit: MAX_ANSWER,
    };
    let answer = send(aws, call, ask).await?;
    let (status, body) = (answer.status, &answer.body);
    let header = answer.header("x-amzn-errortype").map(str::to_owned);
    if !status.is_success() {
        // The code is in the header or the body; `#` and `:` frame it in some services.
        let code = header.or_else(|| serde_json::from_slice::<Failure>(body).ok().map(|failure| failure.code));
        let code = code.as_deref().and_then(|code| code.rsplit('#').next()).and_then(|code| code.split(':').next());
        return Err(call.answered(status, code));
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| call.refused(Kind::Malformed))?;
    Ok(SecretText::new(answer.parameter.value))
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
pub(crate) fn dns_suffix(region: &str, dual_stack: bool) -> &'static str {
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
