//! Where calls go and whom they trust: private roots, no plaintext, bounded connecting, the host as it is really sent.

use core::time::Duration;
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    thread,
};

use dizzy_host::port::{Certainty, Deadline, Kind, PortError, SecretStore as _};
use dizzy_oci::{OciClients, OciEndpoints, OciSettings, OciVaultStore};

use crate::world::{World, name, settings, soon, text, version};

fn at(world: &World, vaults: &str) -> OciSettings {
    let mut settings = settings(&world.oci, &world.files);
    settings.endpoints = OciEndpoints { vaults: Some(vaults.to_owned()), ..settings.endpoints };
    settings
}

/// How a write ends that gets no further than its connection.
async fn write(settings: OciSettings, deadline: Deadline) -> PortError {
    let store = OciVaultStore::new(OciClients::new(settings), "ocid1.vaultsecret.oc1.iad.x");
    store.promote(&version(1), &version(2), deadline).await.unwrap_err()
}

#[tokio::test]
async fn what_never_left_is_refused_and_says_what_to_check() {
    let world = World::new();
    // A port that nobody listens on: taken, then given back.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let error = write(at(&world, &format!("http://127.0.0.1:{port}")), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Unreachable), "{error:?}");

    let error = write(at(&world, "http://10.255.255.1"), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Tls), "plaintext is not tried: {error:?}");

    // TLS is begun and never finished: the connection is given up after its own limit, and nothing was sent.
    // (Nobody accepts here, so that the system does, and nobody reads.)
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let error = write(at(&world, &format!("https://{}", silent.local_addr().unwrap())), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Unreachable), "{error:?}");

    let mut settings = settings(&world.oci, &world.files);
    settings.extra_roots = Some(b"canary".to_vec());
    let error = write(settings, soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Tls), "{error:?}");
}

#[tokio::test]
async fn a_call_past_its_deadline_is_not_begun() {
    let world = World::new();
    let (store, _) = world.secret("late", "value-0");
    world.oci.forget_log();
    let over = || Deadline::after(Duration::ZERO);
    assert_eq!(store.current(over()).await.err().unwrap().certainty, Certainty::Refused);
    for error in [
        store.stage(&name(1), &text("x"), over()).await.unwrap_err(),
        store.promote(&version(1), &version(2), over()).await.unwrap_err(),
        store.prune(&name(1), &version(1), over()).await.unwrap_err(),
    ] {
        assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Timeout), "{error:?}");
    }
    assert_eq!(world.oci.log().len(), 0);
}

/// Answers one connection with this text and returns what it was sent.
fn stranger(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut chunk = [0; 4096];
        while !seen.windows(4).any(|four| four == b"\r\n\r\n") {
            let length = stream.read(&mut chunk).unwrap();
            assert!(length > 0, "the request broke off");
            seen.extend_from_slice(&chunk[..length]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(seen).unwrap()
    });
    (address, served)
}

#[tokio::test]
async fn the_host_is_sent_as_it_is_signed_and_redirects_lead_nowhere() {
    let world = World::new();
    let (address, served) = stranger(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/canary\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    );
    let error = write(at(&world, &format!("http://{address}")), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Other), "{error:?}");
    assert!(error.code.as_deref().unwrap().starts_with("HTTP 307"), "{error:?}");
    let request = served.join().unwrap();
    assert!(request.starts_with("GET /20180608/secrets/ocid1.vaultsecret.oc1.iad.x HTTP/1.1\r\n"), "{request}");
    assert_eq!(request.matches(&format!("host: {address}\r\n")).count(), 1, "{request}");
    assert!(request.contains("headers=\"date (request-target) host\""), "{request}");
    let id = request.split("opc-request-id: ").nth(1).unwrap().lines().next().unwrap();
    assert!(error.code.unwrap().ends_with(&format!("opc-request-id {id}")));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let world = World::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\netag: x\r\n\r\n").unwrap();
        // Until the other side has had enough.
        while stream.write_all(&[b' '; 65_536]).is_ok() {}
    });
    let error = write(at(&world, &format!("http://{address}")), soon()).await;
    assert_eq!((error.certainty, error.kind), (Certainty::Refused, Kind::Malformed), "{error:?}");
    // The connection is closed by a task of this runtime.
    tokio::task::spawn_blocking(|| served.join()).await.unwrap().unwrap();
}
