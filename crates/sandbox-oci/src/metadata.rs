//! The metadata service of the instance that was made last: its certificate with its key, the chain, and where it is.
//!
//! Paths, the header and the fields of `regionInfo` as the oci Python SDK 2.189.0 asks for them. Oracle documentation, "Getting
//! Instance Metadata", has requests without the header, and forwarded ones, rejected; with which status it does not say.

use serde_json::json;

use crate::{
    REGION,
    http::{Refused, Reply, Request},
    keys::KeyFormat,
    principals::Principals,
    route::Target,
};

/// Headers of requests that somebody else passed on.
const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-forwarded-host"];

/// Answers one request; there is no signature.
pub(crate) fn answer(principals: &Principals, target: &Target, request: &Request) -> Result<Reply, Refused> {
    let forwarded = FORWARDED.into_iter().any(|name| request.header(name).is_some());
    if forwarded || request.header("authorization") != Some("Bearer Oracle") {
        return Err(Refused::new(403, "NotAuthorized", "the header is missing, or the request was forwarded"));
    }
    let nothing = || Refused::new(404, "NotFound", "there is nothing under this path");
    let instance = principals.instances.last().ok_or_else(nothing)?;
    let text = |text: String| Reply::bytes(200, "text/plain", text.into_bytes());
    match target.name(0) {
        "identity/cert.pem" => Ok(text(instance.certificate_pem.clone())),
        "identity/key.pem" => instance.key.pem(KeyFormat::Pkcs1).map(text).map_err(|_| nothing()),
        "identity/intermediate.pem" => Ok(text(instance.intermediate_pem.clone())),
        // Old regions by their code.
        "instance/region" => Ok(text("iad".to_owned())),
        "instance/regionInfo" => Ok(Reply::json(
            200,
            &json!({
                "realmKey": "oc1", "realmDomainComponent": "oraclecloud.com", "regionKey": "IAD", "regionIdentifier": REGION,
            }),
        )),
        _ => Err(nothing()),
    }
}
