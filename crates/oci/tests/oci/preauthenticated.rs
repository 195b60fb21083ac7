//! Pre-authenticated URLs: what they open, how each that opens nothing is told, and that none is ever shown.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use dizzy_host::{
    port::{Certainty, Deadline, Kind, PortError, PortResult},
    secret::SecretText,
};
use dizzy_oci::{PreauthenticatedUrl, UrlSettings};
use dizzy_sandbox_oci::{BucketOptions, Door, Fault, Mishap, Operation, Service};
use jiff::SignedDuration;
use zeroize::Zeroizing;

use crate::world::{World, soon};

const BUCKET: &str = "wallets";
const OBJECT: &str = "orders.zip";
const LIMIT: usize = 64 * 1024;

fn world() -> (World, String) {
    let world = World::new();
    world.oci.create_bucket(BUCKET, &BucketOptions::new()).unwrap();
    world.oci.put_object(BUCKET, OBJECT, "the wallet").unwrap();
    let url = world.oci.read_url(BUCKET, OBJECT, SignedDuration::from_hours(1)).unwrap();
    (world, url)
}

async fn fetch(url: &str) -> PortResult<Zeroizing<Vec<u8>>> {
    let settings = UrlSettings { backoff: core::time::Duration::from_millis(2), ..UrlSettings::default() };
    PreauthenticatedUrl::new(&SecretText::new(url.to_owned()), "env:WALLET_URL")?.fetch(LIMIT, &settings, soon()).await
}

/// A refusal that names the reference and shows no part of the URL.
async fn refused(url: &str) -> PortError {
    let error = fetch(url).await.unwrap_err();
    assert_eq!(error.certainty, Certainty::Refused, "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("env:WALLET_URL"), "{shown}");
    for part in url.split(['/', ':']).filter(|part| part.len() > 3 && !part.starts_with("http")) {
        assert!(!shown.contains(part), "`{part}` of the URL is in {shown}");
    }
    error
}

#[tokio::test]
async fn a_url_opens_its_object_without_a_signature() {
    let (world, url) = world();
    assert_eq!(fetch(&url).await.unwrap().as_slice(), b"the wallet");
    let calls = world.oci.log();
    assert!(
        calls.len() == 1 && calls[0].principal.is_none() && calls[0].header("authorization").is_none(),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_url_that_is_over_changed_or_without_its_object_is_not_found() {
    let (world, url) = world();
    let other_token = url.replacen("/p/", "/p/0", 1);
    for url in [&other_token, &url.replace(OBJECT, "other.zip")] {
        assert_eq!(refused(url).await.kind, Kind::NotFound);
    }
    assert!(world.oci.remove_object(BUCKET, OBJECT));
    assert_eq!(refused(&url).await.kind, Kind::NotFound);
    world.oci.put_object(BUCKET, OBJECT, "the wallet").unwrap();
    fetch(&url).await.unwrap();
    world.oci.set_clock_offset(SignedDuration::from_hours(2));
    let error = refused(&url).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::NotFound, Some("HTTP 404")));
    assert!(error.hint.unwrap().contains("make another"));
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_told() {
    for mishap in [Mishap::DropBefore, Mishap::Throttle, Mishap::Truncate, Mishap::Refuse(503, "ServiceUnavailable")] {
        let (world, url) = world();
        let fault = world.oci.inject(Fault::next(Operation::PreauthenticatedGet, mishap));
        assert_eq!(fetch(&url).await.unwrap().as_slice(), b"the wallet", "{mishap:?}");
        assert_eq!(fault.fired(), 1, "{mishap:?}");
    }
    let (world, url) = world();
    for (status, kind, tries) in [
        (429, Kind::Throttled, 3),
        (503, Kind::Busy, 3),
        (401, Kind::Denied, 1),
        (403, Kind::Denied, 1),
        (400, Kind::Other, 1),
    ] {
        let fault = Fault::next(Operation::PreauthenticatedGet, Mishap::Refuse(status, "canary-code")).always();
        let fault = world.oci.inject(fault);
        let error = refused(&url).await;
        assert_eq!((error.kind, error.code), (kind, Some(format!("HTTP {status}"))));
        assert_eq!(fault.fired(), tries, "{status}");
        world.oci.clear_faults();
    }
    world.oci.set_door(Service::ObjectStorage, Door::Refusing).unwrap();
    assert_eq!(refused(&url).await.kind, Kind::Unreachable);
    world.oci.set_door(Service::ObjectStorage, Door::Silent).unwrap();
    let silent = PreauthenticatedUrl::new(&SecretText::new(url), "env:WALLET_URL").unwrap();
    let short = Deadline::after(core::time::Duration::from_millis(600));
    let error = silent.fetch(LIMIT, &UrlSettings::default(), short).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test]
async fn an_answer_longer_than_any_wallet_is_not_taken_in() {
    let (world, url) = world();
    world.oci.put_object(BUCKET, OBJECT, vec![b'x'; LIMIT]).unwrap();
    assert_eq!(fetch(&url).await.unwrap().len(), LIMIT);
    world.oci.put_object(BUCKET, OBJECT, vec![b'x'; LIMIT + 1]).unwrap();
    assert_eq!(refused(&url).await.kind, Kind::Malformed);
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let (world, target) = world();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        assert!(read > 0);
        write!(stream, "HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    let error = refused(&format!("http://127.0.0.1:{port}/canary-token")).await;
    server.join().unwrap();
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Other, Some("HTTP 302")));
    assert!(error.hint.unwrap().contains("not followed"));
    assert!(world.oci.log().is_empty(), "the other address was not called");
}
