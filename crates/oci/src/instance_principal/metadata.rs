//! The metadata service of an instance: a few short answers over plain HTTP that does not leave the machine's host.
//!
//! Never through a proxy. Oracle documentation: "Getting Instance Metadata".

use core::time::Duration;

use bytes::Bytes;
use dizzy_host::port::{Deadline, Kind, PortError, PortResult};
use dizzy_web::{Broken, Transport};
use http::{Request, header};
use http_body_util::Full;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use crate::{clients::TRIES, endpoints::Place};

/// A try; the service is on the machine's own host and answers within milliseconds. Elsewhere than on OCI nothing may answer at
/// all, and three tries of this are what that costs.
const ATTEMPT: Duration = Duration::from_secs(2);

/// A chain of certificates takes 2 to 6 KB.
const MAX_ANSWER: usize = 32 * 1024;

/// The metadata service at an address.
pub(super) struct Metadata<'a> {
    transport: Transport,
    base: &'a str,
    backoff: Duration,
}

/// The part of `instance/regionInfo` that is used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegionInfo {
    region_identifier: String,
    realm_domain_component: String,
}

impl<'a> Metadata<'a> {
    pub(super) fn new(base: &'a str, backoff: Duration) -> PortResult<Self> {
        Ok(Self { transport: Transport::new("the metadata service", None, None)?, base, backoff })
    }

    /// Region and realm of the machine. Where there is no `regionInfo`, the region alone, which is what Oracle's SDKs begin with.
    pub(super) async fn place(&self, deadline: Deadline) -> PortResult<Place> {
        let told = match self.get("instance/regionInfo", deadline).await {
            Err(error) if error.code.as_deref() == Some(NOT_THERE) => None,
            told => Some(told?),
        };
        if let Some(told) = told {
            let info: RegionInfo = serde_json::from_slice(&told).map_err(|_| no_region())?;
            return Ok(Place { region: Some(info.region_identifier), realm_domain: Some(info.realm_domain_component) });
        }
        let told = self.get("instance/region", deadline).await?;
        let region = str::from_utf8(&told).map_err(|_| no_region())?.trim().to_owned();
        Ok(Place { region: Some(region), realm_domain: None })
    }

    /// One answer. Passing failures are tried again.
    pub(super) async fn get(&self, path: &str, deadline: Deadline) -> PortResult<Zeroizing<Vec<u8>>> {
        let (mut tries, mut wait) = (1, self.backoff);
        loop {
            let error = match self.once(path, deadline).await {
                Ok(content) => return Ok(content),
                Err(error) => error,
            };
            let passing = matches!(error.kind, Kind::Busy | Kind::Throttled | Kind::Timeout | Kind::Unreachable);
            if !passing || tries == TRIES || wait >= deadline.left() {
                return Err(error);
            }
            tracing::debug!(kind = ?error.kind, tries, "the metadata service is asked again");
            sleep_until(Instant::now() + wait).await;
            (tries, wait) = (tries + 1, wait * 2);
        }
    }

    async fn once(&self, path: &str, deadline: Deadline) -> PortResult<Zeroizing<Vec<u8>>> {
        let told = |kind: Kind, words: &str| {
            let what = format!("read {path} of the OCI instance from its metadata service: {words}");
            PortError::refused(kind, what).with_hint(ELSEWHERE_HINT)
        };
        let refused = |kind: Kind| told(kind, kind.words());
        let request = Request::get(format!("{}/{path}", self.base))
            .header(header::AUTHORIZATION, "Bearer Oracle")
            .header(header::USER_AGENT, concat!("dizzy-keys/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::new()))
            .map_err(|_| refused(Kind::Other))?;
        let ends = deadline.at_most(ATTEMPT);
        let answer = match timeout_at(ends.instant(), self.transport.exchange(request, MAX_ANSWER)).await {
            Err(_) => return Err(refused(Kind::Timeout)),
            Ok(Err(Broken::TooLong)) => return Err(refused(Kind::Malformed)),
            Ok(Err(Broken::NotConnected | Broken::NotTrusted | Broken::Midway | Broken::Proxy(_))) => {
                return Err(refused(Kind::Unreachable));
            }
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status.as_u16();
        let kind = match status {
            200 => return Ok(answer.body),
            401 | 403 => Kind::Denied,
            // Not `NotFound`: what a caller is after would seem to be missing, and not the credentials.
            404 => return Err(told(Kind::Denied, "it is not there").with_code(NOT_THERE)),
            429 => Kind::Throttled,
            500.. => Kind::Busy,
            _ => Kind::Other,
        };
        Err(refused(kind).with_code(format!("HTTP {status}")))
    }
}

/// The code of an answer that there is nothing under a path.
const NOT_THERE: &str = "HTTP 404";

fn no_region() -> PortError {
    PortError::refused(Kind::Malformed, "read the region of the OCI instance from its metadata service: it is not one")
}

const ELSEWHERE_HINT: &str = "only an instance of OCI compute has an instance principal, and a firewall on it may keep programs from \
     169.254.169.254; elsewhere use auth = \"config\", with a profile in ~/.oci/config";
