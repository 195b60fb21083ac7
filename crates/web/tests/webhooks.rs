//! Webhooks against an HTTPS server that is not ours: what arrives, what is trusted, what is tried again, what is never shown.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use core::time::Duration;
use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dizzy_engine::Timestamp;
use dizzy_host::{
    notice::{Event, Notice},
    port::{Deadline, Kind, PortError, PortResult, Receiver as _, SecretReader, SystemClock},
    reference::Reference,
    secret::SecretText,
};
use dizzy_sandbox::{Certificates, Receiver, certs::ServerCertificate};
use dizzy_web::{Webhook, WebhookSource};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;

const KEY: &str = "canary-key-of-24-bytes-or-more";

struct Secrets(BTreeMap<String, String>);

#[async_trait]
impl SecretReader for Secrets {
    async fn read(&self, reference: &Reference, _deadline: Deadline) -> PortResult<SecretText> {
        let missing = || PortError::refused(Kind::NotFound, format!("read {reference}"));
        self.0.get(&reference.to_string()).map(|text| SecretText::new(text.clone())).ok_or_else(missing)
    }
}

fn webhook(url: &str, key: Option<&str>, ca: Option<&str>) -> Webhook {
    let mut secrets = BTreeMap::from([("env:URL".to_owned(), url.to_owned())]);
    secrets.extend(key.map(|key| ("env:KEY".to_owned(), key.to_owned())));
    secrets.extend(ca.map(|ca| ("env:CA".to_owned(), ca.to_owned())));
    let reference = |name: &str| name.parse::<Reference>().unwrap();
    let source = WebhookSource {
        proxy: None,
        url: reference("env:URL"),
        signing_key: key.map(|_| reference("env:KEY")),
        tls_ca: ca.map(|_| reference("env:CA")),
    };
    Webhook::new(source, Arc::new(Secrets(secrets)), Arc::new(SystemClock))
}

fn notice() -> Notice {
    Notice {
        id: "0123456789abcdef0123456789abcdef".to_owned(),
        event: Event::Stuck,
        set: "orders".to_owned(),
        code: Some("DK-503"),
        what: "orders: the rotation can go neither on nor back by itself".to_owned(),
        state: Some("generation 7 is published".to_owned()),
        next: Some("dizzy-keys recover orders".to_owned()),
        exit: 3,
        generation: Some(7),
        rotation: Some("dizzy-g0000000008-0123456789".to_owned()),
        time: Timestamp(1_800_000_000_123),
        trace: Some("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01".to_owned()),
    }
}

/// Far longer than anything here takes.
fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(30))
}

fn certificates(folder: &tempfile::TempDir) -> Certificates {
    Certificates::create(folder.path()).unwrap()
}

#[tokio::test]
async fn a_notice_arrives_signed_and_with_its_trace() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(&folder);
    let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["204"]).unwrap();
    let webhook = webhook(&receiver.url(), Some(KEY), Some(certificates.ca_pem()));
    webhook.check(soon()).await.unwrap();
    webhook.deliver(&notice(), soon()).await.unwrap();
    let requests = receiver.requests(1);
    assert_eq!(requests.len(), 1, "a check sends nothing");
    let header = |name: &str| requests[0]["headers"][name].as_str().unwrap().to_owned();
    let body = requests[0]["body"].as_str().unwrap();
    assert_eq!(requests[0]["path"], "/canary-webhook");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), notice().document());
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("traceparent"), notice().trace.unwrap());
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    assert_eq!(header("webhook-id"), notice().id);
}

#[tokio::test]
async fn a_certificate_that_is_not_good_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(&folder);
    for which in [ServerCertificate::Expired, ServerCertificate::WrongHost, ServerCertificate::UnknownCa] {
        let receiver = Receiver::start(&certificates, which, &["204"]).unwrap();
        let webhook = webhook(&receiver.url(), None, Some(certificates.ca_pem()));
        let error = webhook.deliver(&notice(), soon()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Tls, "{which:?}: {error:?}");
        assert_eq!(receiver.requests(0).len(), 0, "{which:?}");
    }
    // Nor does a good one that leads to no root that is trusted.
    let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["204"]).unwrap();
    let error = webhook(&receiver.url(), None, None).deliver(&notice(), soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Tls, "{error:?}");
}

#[tokio::test]
async fn what_passes_is_tried_again_under_the_same_id_and_what_does_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(&folder);
    let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["503", "429", "200"]).unwrap();
    webhook(&receiver.url(), None, Some(certificates.ca_pem())).deliver(&notice(), soon()).await.unwrap();
    let requests = receiver.requests(3);
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request["headers"]["webhook-id"] == notice().id));
    assert!(requests.iter().all(|request| request["headers"]["webhook-signature"].is_null()), "there is no key");
    for (status, kind, tries) in
        [("404", Kind::Denied, 1), ("302", Kind::Other, 1), ("400", Kind::Other, 1), ("500", Kind::Busy, 3)]
    {
        let receiver = Receiver::start(&certificates, ServerCertificate::Good, &[status]).unwrap();
        let webhook = webhook(&receiver.url(), Some(KEY), Some(certificates.ca_pem()));
        let error = webhook.deliver(&notice(), soon()).await.unwrap_err();
        assert_eq!((error.kind, error.code.as_deref()), (kind, Some(format!("HTTP {status}").as_str())));
        assert_eq!(receiver.requests(tries).len(), tries, "{status}");
        assert!(!format!("{error:?} {webhook:?}").contains("canary"), "{error:?} {webhook:?}");
    }
}

#[tokio::test]
async fn a_host_that_is_silent_or_gone_costs_no_more_than_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificates(&folder);
    let receiver = Receiver::start(&certificates, ServerCertificate::Good, &["hang"]).unwrap();
    let silent = webhook(&receiver.url(), None, Some(certificates.ca_pem()));
    let error = silent.deliver(&notice(), Deadline::after(Duration::from_secs(2))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error:?}");
    let url = receiver.url();
    drop(receiver);
    let error = webhook(&url, None, Some(certificates.ca_pem())).deliver(&notice(), soon()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unreachable, "{error:?}");
}

#[tokio::test]
async fn a_url_that_is_none_or_not_https_is_refused_and_not_shown() {
    for (url, kind) in [
        ("http://hooks.example.com/canary", Kind::Tls),
        ("https://canary:canary@hooks.example.com/", Kind::Malformed),
        ("/canary", Kind::Malformed),
        ("", Kind::Malformed),
    ] {
        let error = webhook(url, None, None).deliver(&notice(), soon()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{url}");
        assert!(error.what.contains("env:URL") && !format!("{error:?}").contains("canary"), "{error:?}");
    }
    let error = webhook("https://localhost:1/", Some("short"), None).check(soon()).await.unwrap_err();
    assert!(error.what.contains("env:KEY"), "{error:?}");
}
