//! The verifier against signatures that Oracle's SDK made.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;

use super::*;

/// Made with the signer of the oci Python SDK 2.189.0.
const VECTORS: &str = include_str!("../../tests/signing-vectors.json");

struct Vector {
    name: String,
    request: Request,
    signing_string: String,
    key: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let key = STANDARD.decode(file["public_key_pkcs1"].as_str().unwrap()).unwrap();
    let read = |case: &Value| {
        let text = |field: &str| case[field].as_str().unwrap().to_owned();
        let body = case["body"].as_str().unwrap_or_default().as_bytes().to_vec();
        let authorization = format!(
            "Signature version=\"1\",keyId=\"{}\",algorithm=\"rsa-sha256\",headers=\"{}\",signature=\"{}\"",
            text("key_id"),
            text("headers"),
            text("signature")
        );
        let mut headers = vec![
            ("date".to_owned(), text("date")),
            ("host".to_owned(), text("host")),
            ("authorization".to_owned(), authorization),
        ];
        if let Some(hash) = case["x_content_sha256"].as_str() {
            headers.push(("content-length".to_owned(), body.len().to_string()));
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
            headers.push(("x-content-sha256".to_owned(), hash.to_owned()));
        }
        let request = Request { method: text("method"), target: text("target"), headers, body };
        Vector { name: text("name"), request, signing_string: text("signing_string"), key: key.clone() }
    };
    file["cases"].as_array().unwrap().iter().map(read).collect()
}

fn operation(vector: &Vector) -> Operation {
    if vector.name.contains("put-object") { Operation::PutObject } else { Operation::GetSecretBundle }
}

/// The time of the vectors.
fn then() -> Timestamp {
    "2026-11-22T19:00:00Z".parse().unwrap()
}

fn check(vector: &Vector, now: Timestamp) -> Result<(), Refusal> {
    let authorization = Authorization::of(&vector.request)?;
    authorization.check_coverage(&vector.request, operation(vector), now)?;
    authorization.check_key(&vector.request, &vector.key)
}

#[test]
fn signatures_of_the_vendors_sdk_are_accepted() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 5);
    for vector in &vectors {
        let authorization = Authorization::of(&vector.request).unwrap();
        let request = &vector.request;
        let text = signing_string(&authorization.headers, &request.method, &request.target, &request.headers).unwrap();
        assert_eq!(text, vector.signing_string, "{}", vector.name);
        assert_eq!(check(vector, then()), Ok(()), "{}", vector.name);
    }
}

#[test]
fn each_part_of_a_request_is_covered_by_its_signature() {
    for vector in vectors() {
        let changed = |change: fn(&mut Request)| {
            let mut vector =
                Vector { request: vector.request.clone(), name: vector.name.clone(), ..vector_again(&vector) };
            change(&mut vector.request);
            check(&vector, then())
        };
        assert_eq!(changed(|request| request.target.push('0')), Err(Refusal::Signature), "{}", vector.name);
        assert_eq!(changed(|request| request.method = "DELETE".to_owned()), Err(Refusal::Signature), "{}", vector.name);
        let other_host =
            changed(|request| request.headers.iter_mut().find(|(name, _)| name == "host").unwrap().1.push('m'));
        assert_eq!(other_host, Err(Refusal::Signature), "{}", vector.name);
        if vector.request.header("x-content-sha256").is_some() {
            assert_eq!(changed(|request| request.body.push(b' ')), Err(Refusal::Length), "{}", vector.name);
        }
    }
}

#[test]
fn five_minutes_of_skew_are_accepted_and_no_more() {
    let vectors = vectors();
    let vector = vectors.first().unwrap();
    for (seconds, outcome) in [(300, Ok(())), (-300, Ok(())), (301, Err(Refusal::Skew)), (-301, Err(Refusal::Skew))] {
        let now = then().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        assert_eq!(check(vector, now), outcome, "{seconds}");
    }
}

#[test]
fn what_must_be_signed_depends_on_method_and_operation() {
    let covered = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let short = covered("date (request-target) host");
    let long = covered("date (request-target) host content-length content-type x-content-sha256");
    for method in ["GET", "HEAD", "DELETE"] {
        assert_eq!(check_headers(&short, method, Operation::GetSecret), Ok(()));
    }
    for method in ["POST", "PUT", "PATCH"] {
        let refusal = Err(Refusal::NotCovered("content-length"));
        assert_eq!(check_headers(&short, method, Operation::UpdateSecret), refusal);
        assert_eq!(check_headers(&long, method, Operation::UpdateSecret), Ok(()));
        for missing in ["date", "(request-target)", "host", "content-type", "x-content-sha256"] {
            let without: Vec<_> = long.iter().filter(|name| *name != missing).cloned().collect();
            assert_eq!(check_headers(&without, method, Operation::UpdateSecret), Err(Refusal::NotCovered(missing)));
        }
    }
    assert_eq!(check_headers(&short, "PUT", Operation::PutObject), Ok(()));
    assert_eq!(check_headers(&covered("x-date (request-target) host"), "GET", Operation::GetSecret), Ok(()));
}

fn vector_again(vector: &Vector) -> Vector {
    Vector {
        name: vector.name.clone(),
        request: vector.request.clone(),
        signing_string: vector.signing_string.clone(),
        key: vector.key.clone(),
    }
}

/// The two examples of Oracle documentation, "Request Signatures". Their key has 1024 bits, which aws-lc-rs refuses, and their
/// date is no date, so they prove the text and the hash of the body only.
#[test]
fn the_documented_examples_give_the_documented_text() {
    let target = "/20160918/instances?availabilityDomain=Pjwf%3A%20PHX-AD-1&compartmentId=ocid1.compartment.oc1..\
                  aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa&displayName=TeamXInstances&volumeId=\
                  ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let date = header("date", "Thu, 05 Jan 2014 21:31:40 GMT");
    let host = header("host", "iaas.us-phoenix-1.oraclecloud.com");
    let covered = |names: &str| names.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let text =
        signing_string(&covered("date (request-target) host"), "GET", target, &[date.clone(), host.clone()]).unwrap();
    let expected = format!(
        "date: Thu, 05 Jan 2014 21:31:40 GMT\n(request-target): get {target}\nhost: iaas.us-phoenix-1.oraclecloud.com"
    );
    assert_eq!(text, expected);

    let body = "{\n    \"compartmentId\": \
                \"ocid1.compartment.oc1..aaaaaaaam3we6vgnherjq5q2idnccdflvjsnog7mlr6rtdb25gilchfeyjxa\",\n    \
                \"instanceId\": \"ocid1.instance.oc1.phx.abuw4ljrlsfiqw6vzzxb43vyypt4pkodawglp3wqxjqofakrwvou52gb6s5a\",\n    \
                \"volumeId\": \"ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q\"\n}";
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
    let headers = [
        date,
        host,
        header("content-length", &body.len().to_string()),
        header("content-type", "application/json"),
        header("x-content-sha256", &hash),
    ];
    let covered = covered("date (request-target) host content-length content-type x-content-sha256");
    assert_eq!(
        signing_string(&covered, "POST", "/20160918/volumeAttachments", &headers).unwrap(),
        "date: Thu, 05 Jan 2014 21:31:40 GMT\n(request-target): post /20160918/volumeAttachments\n\
         host: iaas.us-phoenix-1.oraclecloud.com\ncontent-length: 316\ncontent-type: application/json\n\
         x-content-sha256: V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0="
    );
}
