//! OCI's request signature, version 1: which headers are signed, in which order, and how they become a text.
//!
//! Oracle documentation: "Request Signatures" (API/Concepts/signingrequests.htm). Every request signs `date`,
//! `(request-target)` and `host` (the federation call: no `host`); one with a body also its length, type and hash. PKCS#1 v1.5 padding has no randomness,
//! so that signatures can be compared with the vendor's byte for byte.

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// A private key and the name under which OCI knows its public half.
pub(crate) struct Signer {
    // AWS-LC wipes what it frees (`OPENSSL_free` in its mem.h).
    key: KeyPair,
    // With a token (`ST$...`) the name itself is a credential.
    key_id: Zeroizing<String>,
}

/// A request as it is signed: exactly what will be sent.
pub(crate) struct Signable<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// Path and query, percent-encoded as on the wire.
    pub(crate) target: &'a str,
    /// The `host` header, with the port if it is sent; `None` if it is not signed.
    pub(crate) host: Option<&'a str>,
    /// The `date` header.
    pub(crate) date: &'a str,
    /// Set for POST and PUT, also without a body.
    pub(crate) content: Option<Content<'a>>,
}

/// The three signed headers of a body.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    /// `content-length`.
    pub(crate) length: usize,
    /// `content-type`.
    pub(crate) kind: &'a str,
    /// `x-content-sha256`.
    pub(crate) sha256: &'a str,
}

/// The key could not sign; there is nothing to tell about it.
#[derive(Debug)]
pub(crate) struct CannotSign;

impl Signer {
    /// A signer under this key id. `None` if the id could break out of the header that it is quoted in.
    pub(crate) fn new(key: KeyPair, key_id: Zeroizing<String>) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        (!key_id.is_empty() && key_id.bytes().all(plain)).then_some(Self { key, key_id })
    }

    /// The `Authorization` header.
    pub(crate) fn authorization(&self, request: &Signable<'_>) -> Result<Zeroizing<String>, CannotSign> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), request.text().as_bytes(), &mut signature)
            .map_err(|_| CannotSign)?;
        Ok(Zeroizing::new(format!(
            "Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"",
            self.key_id.as_str(),
            request.names(),
            STANDARD.encode(signature)
        )))
    }
}

impl Signable<'_> {
    /// The names of the signed headers, in the order of [`text`](Self::text).
    fn names(&self) -> &'static str {
        match (self.host, self.content) {
            (None, None) => "date (request-target)",
            (Some(_), None) => "date (request-target) host",
            (None, Some(_)) => "date (request-target) content-length content-type x-content-sha256",
            (Some(_), Some(_)) => "date (request-target) host content-length content-type x-content-sha256",
        }
    }

    /// The signing string: a line per header, none after the last.
    fn text(&self) -> String {
        let Self { target, host, date, .. } = self;
        let method = self.method.as_str().to_ascii_lowercase();
        let mut text = format!("date: {date}\n(request-target): {method} {target}");
        if let Some(host) = host {
            text.push_str(&format!("\nhost: {host}"));
        }
        if let Some(Content { length, kind, sha256 }) = self.content {
            text.push_str(&format!("\ncontent-length: {length}\ncontent-type: {kind}\nx-content-sha256: {sha256}"));
        }
        text
    }
}

/// The `x-content-sha256` header of a body.
pub(crate) fn content_sha256(body: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::pem::private_key;

    /// Made with Oracle's Python SDK on a throw-away key.
    const VECTORS: &str = include_str!("../tests/signing_vectors.json");

    #[test]
    fn signatures_equal_those_of_the_vendors_sdk_byte_for_byte() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 5);
        for case in cases {
            let field = |name: &str| case[name].as_str().unwrap();
            let key = private_key(field("private_key_pem").as_bytes(), None).unwrap();
            let signer = Signer::new(key, Zeroizing::new(field("key_id").to_owned())).unwrap();
            let sha256 = case["body"].as_str().map(|body| content_sha256(body.as_bytes()));
            let method = Method::from_bytes(field("method").as_bytes()).unwrap();
            let signs_body = field("headers").contains("content-length");
            let request = Signable {
                method: &method,
                target: field("target"),
                host: Some(field("host")),
                date: field("date"),
                content: sha256.as_deref().filter(|_| signs_body).map(|sha256| Content {
                    length: field("body").len(),
                    kind: "application/json",
                    sha256,
                }),
            };
            assert_eq!(request.text(), field("signing_string"), "{}", field("name"));
            let expected = format!(
                "Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"",
                field("key_id"),
                field("headers"),
                field("signature")
            );
            assert_eq!(*signer.authorization(&request).unwrap(), expected, "{}", field("name"));
        }
    }

    /// The test values of Oracle's page on request signatures. Their key has 1024 bits, which AWS-LC refuses: the text only.
    #[test]
    fn signing_strings_equal_those_of_oracles_documentation() {
        let date = "Thu, 05 Jan 2014 21:31:40 GMT";
        let host = "iaas.us-phoenix-1.oraclecloud.com";
        let target = "/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compartment.oc1..\
                      aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=TeamXInstances&\
                      volumeId=ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";
        let get = Signable { method: &Method::GET, target, host: Some(host), date, content: None };
        assert_eq!(get.text(), format!("date: {date}\n(request-target): get {target}\nhost: {host}"));

        let body = "{\n    \"compartmentId\": \"ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa\",\n    \
                    \"instanceId\": \"ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a\",\n    \
                    \"volumeId\": \"ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q\"\n}";
        let sha256 = content_sha256(body.as_bytes());
        let content = Content { length: body.len(), kind: "application/json", sha256: &sha256 };
        let target = "/20160918/volumeAttachments";
        let post = Signable { method: &Method::POST, target, host: Some(host), date, content: Some(content) };
        assert_eq!(
            post.text(),
            "date: Thu, 05 Jan 2014 21:31:40 GMT\n(request-target): post /20160918/volumeAttachments\n\
             host: iaas.us-phoenix-1.oraclecloud.com\ncontent-length: 316\ncontent-type: application/json\n\
             x-content-sha256: V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0="
        );
    }

    #[test]
    fn a_key_id_that_would_break_out_of_its_quotes_is_refused() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let pem = vectors["cases"][0]["private_key_pem"].as_str().unwrap();
        for id in ["", "a\"b", "a\nb", "a b", "a\\b"] {
            let key = private_key(pem.as_bytes(), None).unwrap();
            assert!(Signer::new(key, Zeroizing::new(id.to_owned())).is_none(), "{id:?}");
        }
    }
}
