//! Session tokens: JWTs that name a principal and carry the public half of its session key.
//!
//! The claims `exp`, `res_tenant`, `res_compartment` and `jwk` are those that the oci Python SDK 2.189.0 reads; a client does not
//! verify the token, the services do.

use anyhow::Result;
use aws_lc_rs::{rsa::PublicKey, signature as rsa};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    COMPARTMENT, TENANCY,
    keys::{RsaKey, public_from_components},
    signature::Refusal,
};

/// Makes a token for a principal's session key.
pub(crate) fn issue(
    issuer: &RsaKey,
    principal: &str,
    (modulus, exponent): (&[u8], &[u8]),
    from: Timestamp,
    until: Timestamp,
) -> Result<String> {
    let jwk = json!({
        "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "session",
        "n": BASE64URL.encode(modulus), "e": BASE64URL.encode(exponent),
    });
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "sandbox"});
    let claims = json!({
        "sub": principal,
        "iss": "sandbox",
        "iat": from.as_second(),
        "exp": until.as_second(),
        "res_tenant": TENANCY,
        "res_compartment": COMPARTMENT,
        "jwk": jwk.to_string(),
    });
    let text = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
    let signature = issuer.sign(text.as_bytes())?;
    Ok(format!("{text}.{}", BASE64URL.encode(signature)))
}

/// The principal and session key (PKCS#1 DER) of a token that was issued here and is not over.
pub(crate) fn open(issuer: &RsaKey, token: &str, now: Timestamp) -> Result<(String, Vec<u8>), Refusal> {
    read(issuer, token, now).ok_or(Refusal::Token)
}

fn read(issuer: &RsaKey, token: &str, now: Timestamp) -> Option<(String, Vec<u8>)> {
    let (text, signature) = token.rsplit_once('.')?;
    let signature = BASE64URL.decode(signature).ok()?;
    rsa::UnparsedPublicKey::new(&rsa::RSA_PKCS1_2048_8192_SHA256, issuer.public())
        .verify(text.as_bytes(), &signature)
        .ok()?;
    let claims: Value = serde_json::from_slice(&BASE64URL.decode(text.split_once('.')?.1).ok()?).ok()?;
    if claims.get("exp")?.as_i64()? <= now.as_second() {
        return None;
    }
    let jwk: Value = serde_json::from_str(claims.get("jwk")?.as_str()?).ok()?;
    let part = |name: &str| BASE64URL.decode(jwk.get(name)?.as_str()?).ok();
    Some((claims.get("sub")?.as_str()?.to_owned(), public_from_components(&part("n")?, &part("e")?)))
}

/// Modulus and exponent of a public key in DER, with or without its SubjectPublicKeyInfo.
pub(crate) fn components_of(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let key = PublicKey::from_der(der).ok()?;
    let bytes = |part: aws_lc_rs::io::Positive<'_>| part.big_endian_without_leading_zero().to_vec();
    Some((bytes(key.modulus()), bytes(key.exponent())))
}
