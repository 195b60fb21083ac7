//! The federation call: `POST /v1/x509`, signed by the certificate's key, answered by a token for the session key.
//!
//! A token more does no harm, so the call is tried again as a read is. No `purpose` is named: that is the form for instances.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dizzy_host::{
    port::{Deadline, Kind, PortError, PortResult},
    secret::SecretText,
};
use http::Method;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::leaf::Leaf;
use crate::{
    clients::{Ask, Body, OciClients},
    endpoints::{Place, Service},
    failure::{Call, Effect, SIGNATURE_HINT},
    provider::{Signed, wiped},
};

/// Longest answer: tokens have two to four kilobytes.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    certificate: String,
    public_key: String,
    intermediate_certificates: Vec<String>,
    /// Goes with `fed-x509-sha256` in the key id.
    fingerprint_algorithm: &'static str,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(deserialize_with = "wiped")]
    token: SecretText,
}

const CALL: Call<'static> = Call {
    doing: "exchange the certificate of the instance for a token of",
    subject: "the OCI instance principal",
    right: "be an instance",
    effect: Effect::Read,
};

/// The request; there is nothing secret in it.
pub(super) fn ask(leaf: &Leaf, chain: &[CertificateDer<'_>], public: &[u8], place: &Place) -> PortResult<Ask> {
    let details = Details {
        certificate: STANDARD.encode(leaf.der()),
        public_key: STANDARD.encode(public),
        intermediate_certificates: chain.iter().map(|one| STANDARD.encode(one)).collect(),
        fingerprint_algorithm: "SHA256",
    };
    let bytes = serde_json::to_vec(&details).map_err(|_| CALL.refused(Kind::Other))?;
    Ok(Ask {
        service: Service::Auth,
        method: Method::POST,
        target: "/x509".to_owned(),
        headers: Vec::new(),
        body: Some(Body { kind: "application/json", bytes: Bytes::from(bytes) }),
        // The token is for this machine, wherever the calls go that are signed with it.
        region: place.region.clone(),
        limit: MAX_ANSWER,
    })
}

/// The token.
pub(super) async fn token(
    clients: &OciClients,
    ask: &Ask,
    signed: Signed,
    deadline: Deadline,
) -> PortResult<SecretText> {
    let answer = clients.ask_as(&CALL, ask, &signed, deadline).await.map_err(|failure| {
        let error = PortError::from(failure);
        let is_signature = error.hint.as_deref() == Some(SIGNATURE_HINT);
        if is_signature { error.with_hint(CERTIFICATE_HINT) } else { error }
    })?;
    // What serde says may quote a value.
    let answered: Answered = serde_json::from_slice(&answer.body).map_err(|_| CALL.refused(Kind::Malformed))?;
    Ok(answered.token)
}

const CERTIFICATE_HINT: &str = "OCI does not accept the certificate that the metadata service gave: compare the machine's clock, and \
     if it stays so, restart the instance, which gives it another";
