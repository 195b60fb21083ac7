//! `POST /v1/x509`: an instance's certificate becomes a session token for a key that the caller just made.
//!
//! Request and answer as the oci Python SDK 2.189.0 sends and reads them, and with the hash that oci-go-sdk 65 names. The
//! certificate must be one that the emulator issued, and a certificate beside it the one that signed it; a chain is not built.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    clock::days_later,
    http::{Reply, Request, text_field},
    principals::{Instance, Principals},
    route::Operation,
    signature::{Authorization, Refusal},
    tokens,
};

/// Answers the federation call. It checks its own signature: the key is the certificate's.
pub(crate) fn answer(principals: &mut Principals, request: &Request, now: Timestamp) -> Result<Reply, Refusal> {
    let authorization = Authorization::of(request)?;
    authorization.check_coverage(request, Operation::FederateX509, now)?;
    let body = request.json().map_err(|_| Refusal::Malformed("the body is no JSON"))?;
    let der = |field: &str| {
        let text = text_field(&body, field).ok_or(Refusal::Malformed("a field of the body is missing"))?;
        STANDARD.decode(text).map_err(|_| Refusal::Malformed("a field of the body is no base64"))
    };
    let (certificate, session_key) = (der("certificate")?, der("publicKey")?);
    let instance = principals.instances.iter().find(|instance| instance.certificate == certificate).cloned();
    let key_id = |instance: &Instance| match text_field(&body, "fingerprintAlgorithm") {
        None => Some(instance.key_id()),
        Some("SHA256") => Some(instance.sha256_key_id()),
        Some(_) => None,
    };
    let instance = instance.filter(|instance| key_id(instance).as_ref() == Some(&authorization.key_id));
    let instance = instance.ok_or(Refusal::UnknownKey)?;
    check_chain(&body, &instance)?;
    if body.get("purpose").is_some() {
        return Err(Refusal::Malformed("an instance names no purpose"));
    }
    authorization.check_key(request, &instance.key.public())?;
    let (modulus, exponent) =
        tokens::components_of(&session_key).ok_or(Refusal::Malformed("publicKey is no RSA key"))?;
    let token = principals.issue(&instance.name, (&modulus, &exponent), now, days_later(now, 1));
    let token = token.map_err(|_| Refusal::Token)?;
    Ok(Reply::json(200, &json!({"token": token})))
}

/// What stands beside the certificate, if anything does.
fn check_chain(body: &Value, instance: &Instance) -> Result<(), Refusal> {
    let Some(chain) = body.get("intermediateCertificates") else { return Ok(()) };
    let own = Value::from(STANDARD.encode(&instance.intermediate));
    let fits = chain.as_array().is_some_and(|chain| *chain == [own]);
    if fits { Ok(()) } else { Err(Refusal::Malformed("intermediateCertificates is not the certificate's chain")) }
}
