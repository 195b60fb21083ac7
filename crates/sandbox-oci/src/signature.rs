//! Checks request signatures, version 1: the `Authorization: Signature ...` header, the headers that must be covered, the
//! hash of the body, the clock, and the RSA signature itself.
//!
//! Rules from Oracle documentation, "Request Signatures" (required headers per method, the PutObject and UploadPart exception,
//! five minutes of skew). Every breach is one `401 NotAuthenticated`; which one it was is for the log only.

use core::fmt;

use aws_lc_rs::{digest, signature as rsa};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};

use crate::{http::Request, route::Operation};

/// Requests further from the service's clock than this are refused.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What is wrong with a signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// There is no `Authorization` header.
    Unsigned,
    /// The header cannot be read; the text says where.
    Malformed(&'static str),
    /// A header that must be signed is not in the list.
    NotCovered(&'static str),
    /// A header of the list is not in the request.
    Absent(String),
    /// The date cannot be read.
    Date,
    /// The date is more than five minutes from the clock.
    Skew,
    /// `content-length` does not fit the body.
    Length,
    /// `x-content-sha256` does not fit the body.
    Hash,
    /// Nobody has this key.
    UnknownKey,
    /// The token is not one of the service's, or its time is over.
    Token,
    /// The signature was made with another key or over other text.
    Signature,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => out.write_str("no authorization header"),
            Self::Malformed(what) => write!(out, "authorization header: {what}"),
            Self::NotCovered(name) => write!(out, "{name} is not signed"),
            Self::Absent(name) => write!(out, "{name} is signed but not sent"),
            Self::Date => out.write_str("the date cannot be read"),
            Self::Skew => out.write_str("the date is more than five minutes off"),
            Self::Length => out.write_str("content-length does not fit the body"),
            Self::Hash => out.write_str("x-content-sha256 does not fit the body"),
            Self::UnknownKey => out.write_str("unknown key"),
            Self::Token => out.write_str("unknown or expired token"),
            Self::Signature => out.write_str("the signature does not fit"),
        }
    }
}

/// The parts of an `Authorization` header.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    pub(crate) key_id: String,
    headers: Vec<String>,
    signature: Vec<u8>,
}

impl Authorization {
    /// Reads the header of a request.
    pub(crate) fn of(request: &Request) -> Result<Self, Refusal> {
        let header = request.header("authorization").ok_or(Refusal::Unsigned)?;
        let list = header.trim().strip_prefix("Signature ").ok_or(Refusal::Malformed("its scheme is not Signature"))?;
        let (mut version, mut key_id, mut algorithm, mut headers, mut signature) = (None, None, None, None, None);
        for part in list.split(',') {
            let (name, value) = part.trim().split_once('=').ok_or(Refusal::Malformed("a part has no ="))?;
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.ok_or(Refusal::Malformed("a part is not quoted"))?;
            match name {
                "version" => version = Some(value),
                "keyId" => key_id = Some(value),
                "algorithm" => algorithm = Some(value),
                "headers" => headers = Some(value),
                "signature" => signature = Some(value),
                _ => return Err(Refusal::Malformed("it has an unknown part")),
            }
        }
        if version != Some("1") {
            return Err(Refusal::Malformed("its version is not 1"));
        }
        if algorithm != Some("rsa-sha256") {
            return Err(Refusal::Malformed("its algorithm is not rsa-sha256"));
        }
        let headers = headers.ok_or(Refusal::Malformed("it has no headers"))?;
        let signature = signature.ok_or(Refusal::Malformed("it has no signature"))?;
        Ok(Self {
            key_id: key_id.ok_or(Refusal::Malformed("it has no keyId"))?.to_owned(),
            headers: headers.split(' ').map(str::to_owned).collect(),
            signature: STANDARD.decode(signature).map_err(|_| Refusal::Malformed("its signature is no base64"))?,
        })
    }

    /// Everything but the key: which headers are covered, and that they tell the truth about body and time.
    pub(crate) fn check_coverage(
        &self,
        request: &Request,
        operation: Operation,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        check_headers(&self.headers, &request.method, operation)?;
        if self.covers("content-length") {
            let length = request.header("content-length").ok_or_else(|| absent("content-length"))?;
            if length.parse() != Ok(request.body.len()) {
                return Err(Refusal::Length);
            }
        }
        if self.covers("x-content-sha256") {
            let hash = request.header("x-content-sha256").ok_or_else(|| absent("x-content-sha256"))?;
            if hash != STANDARD.encode(digest::digest(&digest::SHA256, &request.body)) {
                return Err(Refusal::Hash);
            }
        }
        let date = if self.covers("x-date") { "x-date" } else { "date" };
        let date = request.header(date).ok_or_else(|| absent(date))?;
        let date = rfc2822::DateTimeParser::new().parse_timestamp(date).map_err(|_| Refusal::Date)?;
        if date.duration_since(now).abs() > SKEW { Err(Refusal::Skew) } else { Ok(()) }
    }

    /// Whether the holder of this key signed the request. The key is the DER of a PKCS#1 RSAPublicKey.
    pub(crate) fn check_key(&self, request: &Request, public_key: &[u8]) -> Result<(), Refusal> {
        let text = signing_string(&self.headers, &request.method, &request.target, &request.headers)?;
        rsa::UnparsedPublicKey::new(&rsa::RSA_PKCS1_2048_8192_SHA256, public_key)
            .verify(text.as_bytes(), &self.signature)
            .map_err(|_| Refusal::Signature)
    }

    fn covers(&self, name: &str) -> bool {
        self.headers.iter().any(|covered| covered == name)
    }
}

/// Whether a list of signed header names covers what the method and operation require.
///
/// # Errors
/// The first name that is missing.
pub fn check_headers(covered: &[String], method: &str, operation: Operation) -> Result<(), Refusal> {
    let covers = |name: &str| covered.iter().any(|covered| covered == name);
    let mut required = vec!["(request-target)"];
    if !covers("x-date") {
        required.push("date");
    }
    // The SDK signs the federation call without its host (measured with the oci Python SDK 2.189.0).
    if operation != Operation::FederateX509 {
        required.push("host");
    }
    if matches!(method, "POST" | "PUT" | "PATCH") && operation != Operation::PutObject {
        required.extend(["content-length", "content-type", "x-content-sha256"]);
    }
    required.into_iter().find(|name| !covers(name)).map_or(Ok(()), |name| Err(Refusal::NotCovered(name)))
}

/// The text that is signed: one line per covered header, in the order of the list.
///
/// # Errors
/// A header of the list that the request does not have.
pub fn signing_string(
    covered: &[String],
    method: &str,
    target: &str,
    headers: &[(String, String)],
) -> Result<String, Refusal> {
    let mut lines = Vec::with_capacity(covered.len());
    for name in covered {
        if name == "(request-target)" {
            lines.push(format!("(request-target): {} {target}", method.to_lowercase()));
            continue;
        }
        let values: Vec<&str> =
            headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.trim()).collect();
        if values.is_empty() {
            return Err(absent(name));
        }
        lines.push(format!("{name}: {}", values.join(", ")));
    }
    Ok(lines.join("\n"))
}

fn absent(name: &str) -> Refusal {
    Refusal::Absent(name.to_owned())
}

#[cfg(test)]
mod tests;
