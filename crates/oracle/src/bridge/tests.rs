//! The bridge against a listener of our own that speaks TLS and the opening packets, and against strangers on the loopback.
//!
//! Deadlines are asserted by what is returned, never by how fast.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test stops at the first surprise")]

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use dizzy_engine::{Epoch, Generation};
use dizzy_host::{
    port::{Certainty, Deadline, FenceStamp, Kind, Login, PortError, SystemClock, SystemRandomness},
    secret::Password,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{Bridge, packet, packet::tests::connect};
use crate::{
    session::{Limits, Session, Target},
    tls::{PublicRoots, Roots, client_config},
    tns::Place,
    trouble::Trouble,
    wallet::Expiry,
};

/// Long enough for anything that is going to happen.
const PLENTY: Duration = Duration::from_secs(30);
/// For what is not going to happen.
const SHORT: Duration = Duration::from_millis(300);

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(&[(DnType::CommonName, name)]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

fn subject(parts: &[(DnType, &str)]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for (kind, value) in parts {
        name.push(kind.clone(), *value);
    }
    name
}

/// A server certificate: names, subject, last year of validity.
struct Card {
    names: Vec<&'static str>,
    until: i32,
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl Default for Card {
    fn default() -> Self {
        Self { names: vec!["localhost", "127.0.0.1"], until: 2120, issuer: None }
    }
}

/// A listener, and the root that issued its certificate.
struct World {
    address: SocketAddr,
    root: String,
    task: JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// Serves every connection with `serve`, which gets the socket and what makes it TLS.
    async fn start<F>(card: Card, serve: impl Fn(TcpStream, TlsAcceptor) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (root, own) = authority("test root");
        let issuer = card.issuer.unwrap_or(own);
        let mut params =
            CertificateParams::new(card.names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = subject(&[
            (DnType::CountryName, "US"),
            (DnType::OrganizationName, "Example (Cloud)"),
            (DnType::CommonName, "adb.example"),
        ]);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(card.until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(serve(socket, acceptor.clone()));
            }
        });
        Self { address, root, task }
    }

    /// A listener that answers the request with one packet and then waits for the client to go.
    async fn answering(kind: u8, flags: u8, body: &'static [u8]) -> Self {
        Self::start(Card::default(), move |socket, tls| async move {
            let Ok(mut stream) = tls.accept(socket).await else { return };
            let Ok(_) = packet::Connect::read(&mut stream).await else { return };
            send(&mut stream, kind, flags, body).await;
            drained(stream).await;
        })
        .await
    }

    fn target(&self, host: &str) -> Target {
        self.target_at(Place::at(host, self.address.port(), "orders").unwrap(), Limits::default())
    }

    fn named(&self, dn: &str) -> Target {
        let descriptor = format!(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={}))(CONNECT_DATA=(SERVICE_NAME=orders))\
             (SECURITY=(SSL_SERVER_CERT_DN=\"{dn}\")))",
            self.address.port()
        );
        self.target_at(Place::parse(&descriptor).unwrap(), Limits::default())
    }

    fn hasty(&self, limits: Limits) -> Target {
        self.target_at(Place::at("localhost", self.address.port(), "orders").unwrap(), limits)
    }

    fn target_at(&self, place: Place, limits: Limits) -> Target {
        let roots = Roots { public: PublicRoots::Ignored, private_pem: Some(self.root.clone().into_bytes()) };
        let tls = Arc::new(client_config(&roots, None, place.dn.clone()).unwrap());
        Target {
            name: "adb".into(),
            place,
            tls,
            limits,
            randomness: Arc::new(SystemRandomness),
            clock: Arc::new(SystemClock),
            wallet: Expiry::default(),
        }
    }
}

async fn send(stream: &mut TlsStream<TcpStream>, kind: u8, flags: u8, body: &[u8]) {
    let length = u16::try_from(body.len() + 8).unwrap().to_be_bytes();
    let mut bytes = vec![length[0], length[1], 0, 0, kind, flags, 0, 0];
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await.ok();
    stream.flush().await.ok();
}

/// Waits until the client has gone.
async fn drained(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let mut bytes = [0; 256];
    while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
}

async fn log_in(target: &Target) -> PortError {
    let password = Password::new("Canary7d1f".to_owned());
    let stamp = FenceStamp { set: "s", register: "r", epoch: Epoch(1), generation: Generation(1) };
    let login = Login { user: "app", password: &password };
    let error =
        Session::open(target, login, &stamp, Deadline::after(PLENTY)).await.err().expect("nobody accepts this login");
    assert_eq!(error.certainty, Certainty::Refused);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("Canary") && !text.contains("127.0.0.1:"), "{text}");
    error
}

fn refusing() -> impl Future<Output = World> {
    World::answering(packet::REFUSE, 0, b"\x00\x00\x00\x20(DESCRIPTION=(ERR=12514)(VSNNUM=0))")
}

#[tokio::test]
async fn a_refused_service_is_told_with_its_number() {
    let world = refusing().await;
    for host in ["localhost", "127.0.0.1"] {
        let error = log_in(&world.target(host)).await;
        assert_eq!((error.kind, error.code.as_deref()), (Kind::NotFound, Some("ORA-12514")), "{host}");
    }
}

#[tokio::test]
async fn the_demanded_name_counts_in_either_order_and_instead_of_the_host() {
    let world = World::start(Card { names: vec!["elsewhere.test"], ..Card::default() }, |socket, tls| async move {
        let Ok(mut stream) = tls.accept(socket).await else { return };
        let Ok(_) = packet::Connect::read(&mut stream).await else { return };
        send(&mut stream, packet::REFUSE, 0, b"\x00\x00\x00\x0b(ERR=12514)").await;
        drained(stream).await;
    })
    .await;
    assert_eq!(log_in(&world.target("localhost")).await.kind, Kind::Tls, "without a demanded name the host counts");
    for dn in ["CN=adb.example, O=Example (Cloud), C=US", "C=US,O=Example (Cloud),CN=adb.example"] {
        assert_eq!(log_in(&world.named(dn)).await.code.as_deref(), Some("ORA-12514"), "{dn}");
    }
    for dn in ["CN=adb.example", "CN=adb.example,O=Example,C=US", "O=Example (Cloud),C=US,CN=adb.example"] {
        let error = log_in(&world.named(dn)).await;
        assert_eq!(error.kind, Kind::Tls, "{dn}");
        assert!(error.what.contains("another name"), "{}", error.what);
    }
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused_each_with_its_reason() {
    let serve = |socket, tls: TlsAcceptor| async move {
        if let Ok(stream) = tls.accept(socket).await {
            drained(stream).await;
        }
    };
    let (_, stranger) = authority("somebody else's root");
    for (card, why) in [
        (Card { names: vec!["elsewhere.test"], ..Card::default() }, "another name"),
        (Card { until: 2021, ..Card::default() }, "expired"),
        (Card { issuer: Some(stranger), ..Card::default() }, "not issued by a trusted root"),
        (Card { names: vec!["localhost"], ..Card::default() }, "another name"),
    ] {
        let world = World::start(card, serve).await;
        let error = log_in(&world.target("127.0.0.1")).await;
        assert_eq!(error.kind, Kind::Tls, "{why}");
        assert!(error.what.contains(why), "{}", error.what);
    }
}

#[tokio::test]
async fn a_demanded_name_does_not_replace_the_chain() {
    let (_, stranger) = authority("somebody else's root");
    let world = World::start(Card { issuer: Some(stranger), ..Card::default() }, |socket, tls| async move {
        if let Ok(stream) = tls.accept(socket).await {
            drained(stream).await;
        }
    })
    .await;
    let error = log_in(&world.named("CN=adb.example, O=Example (Cloud), C=US")).await;
    assert!(error.what.contains("not issued by a trusted root"), "{}", error.what);
}

#[tokio::test]
async fn a_redirect_is_refused() {
    let body = b"\x00\x30(ADDRESS=(PROTOCOL=tcp)(HOST=127.0.0.1)(PORT=1521))";
    let error = log_in(&World::answering(packet::REDIRECT, 0, body).await.target("localhost")).await;
    assert_eq!(error.kind, Kind::Unreachable);
    assert!(error.what.contains("another address"), "{}", error.what);
}

#[tokio::test]
async fn native_encryption_is_refused_before_the_driver_panics_over_it() {
    let mut body = [0; 32];
    (body[1], body[14]) = (0x3F, 0x10);
    let world = World::answering(packet::ACCEPT, 0, Box::leak(Box::new(body))).await;
    assert!(log_in(&world.target("localhost")).await.what.contains("native network encryption"));
}

#[tokio::test]
async fn strange_answers_of_a_listener_end_as_errors() {
    for (kind, body) in [(9, &b""[..]), (6, b"hello"), (packet::ACCEPT, b""), (packet::ACCEPT, b"\x01\x3f\x00\x00")] {
        let world = World::answering(kind, 0, body).await;
        let target = world.hasty(Limits { login: SHORT, ..Limits::default() });
        let error = log_in(&target).await;
        assert!(matches!(error.kind, Kind::Malformed | Kind::Timeout | Kind::Other), "{kind}: {error:?}");
    }
}

#[tokio::test]
async fn a_panic_of_the_driver_is_an_error_like_any_other() {
    let world = World::start(Card::default(), |socket, tls| async move {
        let Ok(mut stream) = tls.accept(socket).await else { return };
        let Ok(_) = packet::Connect::read(&mut stream).await else { return };
        // ACCEPT as of a 19c, with packets of 8192 bytes; then a packet that says it is shorter than its own header.
        let mut accept = [0; 37];
        (accept[0], accept[1], accept[26]) = (0x01, 0x3E, 0x20);
        send(&mut stream, packet::ACCEPT, 0, &accept).await;
        stream.write_all(&[0, 0, 0, 5, 6]).await.ok();
        stream.flush().await.ok();
        drained(stream).await;
    })
    .await;
    let error = log_in(&world.target("localhost")).await;
    assert_eq!(error.kind, Kind::Other, "{error:?}");
    assert!(error.what.contains("the driver gave up"), "{}", error.what);
}

#[tokio::test]
async fn a_request_for_the_request_is_answered_with_and_without_a_new_handshake() {
    for (flags, handshakes) in [(0x08_u8, 2), (0, 1)] {
        let world = World::start(Card::default(), move |socket, tls| async move {
            let Ok(mut stream) = tls.accept(socket).await else { return };
            let Ok(_) = packet::Connect::read(&mut stream).await else { return };
            send(&mut stream, packet::RESEND, flags, b"").await;
            if handshakes == 2 {
                let (socket, _) = stream.into_inner();
                let Ok(again) = tls.accept(socket).await else { return };
                stream = again;
            }
            let Ok(_) = packet::Connect::read(&mut stream).await else { return };
            send(&mut stream, packet::REFUSE, 0, b"\x00\x00\x00\x0b(ERR=12516)").await;
            drained(stream).await;
        })
        .await;
        let error = log_in(&world.target("localhost")).await;
        assert_eq!((error.kind, error.code.as_deref()), (Kind::Busy, Some("ORA-12516")), "{handshakes}");
    }
}

#[tokio::test]
async fn a_listener_that_asks_again_for_ever_is_given_up() {
    let world = World::start(Card::default(), |socket, tls| async move {
        let Ok(mut stream) = tls.accept(socket).await else { return };
        while packet::Connect::read(&mut stream).await.is_ok() {
            send(&mut stream, packet::RESEND, 0, b"").await;
        }
    })
    .await;
    assert_eq!(log_in(&world.target("localhost")).await.kind, Kind::Malformed);
}

#[tokio::test]
async fn silence_at_any_point_before_the_session_is_a_timeout() {
    let open = Limits { open: SHORT, ..Limits::default() };
    let login = Limits { login: SHORT, ..Limits::default() };
    let mute = World::start(Card::default(), |socket, _| drained(socket)).await;
    assert_eq!(log_in(&mute.hasty(open)).await.kind, Kind::Timeout, "after TCP");
    let deaf = World::start(Card::default(), |socket, tls| async move {
        let Ok(stream) = tls.accept(socket).await else { return };
        drained(stream).await;
    })
    .await;
    assert_eq!(log_in(&deaf.hasty(login)).await.kind, Kind::Timeout, "after CONNECT");
    let session = Limits { session: SHORT, ..Limits::default() };
    assert_eq!(log_in(&deaf.hasty(session)).await.kind, Kind::Timeout, "the whole session's limit");
}

#[tokio::test]
async fn a_handshake_of_single_bytes_is_a_timeout() {
    // One byte of a TLS record at a time, for ever; each is progress to whoever measures the wait for the next byte.
    let dripping = World::start(Card::default(), |mut socket, _| async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tick.tick().await;
            for byte in [0x16, 0x03, 0x03, 0x40, 0x00] {
                tick.tick().await;
                if socket.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
            if socket.write_all(&[0x02]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let error = log_in(&dripping.hasty(Limits { open: Duration::from_millis(60), ..Limits::default() })).await;
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let plain = World::start(Card::default(), |mut socket, _| async move {
        socket.write_all(b"\x00\x08\x00\x00\x0b\x00\x00\x00").await.ok();
        drained(socket).await;
    })
    .await;
    assert_eq!(log_in(&plain.target("localhost")).await.kind, Kind::Tls);
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World { address: listener.local_addr().unwrap(), root: authority("x").0, task: tokio::spawn(async {}) };
    drop(listener);
    assert_eq!(log_in(&world.target("localhost")).await.kind, Kind::Unreachable);
    assert_eq!(log_in(&world.target("no-such-host.invalid")).await.kind, Kind::Unreachable);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_closed() {
    let world = refusing().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let descriptor = format!(
        "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={port}))(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={}))\
         (CONNECT_DATA=(SERVICE_NAME=orders)))",
        world.address.port()
    );
    let target = world.target_at(Place::parse(&descriptor).unwrap(), Limits::default());
    assert_eq!(log_in(&target).await.code.as_deref(), Some("ORA-12514"));
}

/// Where a bridge listens, and its token.
fn door(bridge: &Bridge) -> (SocketAddr, String) {
    let text = bridge.connect_string();
    let after = |mark: &str| text.split_once(mark).unwrap().1.split_once(')').unwrap().0.to_owned();
    let port: u16 = after("(PORT=").parse().unwrap();
    (SocketAddr::from(([127, 0, 0, 1], port)), after("(SERVICE_NAME="))
}

async fn bridge(world: &World) -> Bridge {
    let target = world.target("localhost");
    Bridge::open(&target.place, &target.tls, &SystemRandomness, Deadline::after(PLENTY)).await.unwrap()
}

/// Drives a bridge while something else happens.
async fn beside<T>(bridge: &mut Bridge, happens: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = happens => done,
        () = async { bridge.run().await; std::future::pending().await } => unreachable!(),
    }
}

#[tokio::test]
async fn strangers_on_the_loopback_are_dropped_and_do_not_keep_the_driver_out() {
    let world = refusing().await;
    let mut bridge = bridge(&world).await;
    let (address, token) = door(&bridge);
    let request = |service: &str| connect(&format!("(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME={service})))"));
    let heard = beside(&mut bridge, async {
        // Silent ones, more than one, stay connected all the while.
        let mut silent = Vec::new();
        for _ in 0..5 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        for bytes in [request("orders"), request(&token[1..]), request(""), b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
            let mut stranger = TcpStream::connect(address).await.unwrap();
            stranger.write_all(&bytes).await.unwrap();
            assert_eq!(stranger.read(&mut [0; 64]).await.unwrap_or(0), 0, "a stranger got an answer");
        }
        let mut driver = TcpStream::connect(address).await.unwrap();
        driver.write_all(&request(&token)).await.unwrap();
        driver.read(&mut [0; 64]).await.unwrap_or(0)
    })
    .await;
    assert_eq!(heard, 0, "a refusal is told by the bridge, not through the driver");
    assert_eq!(bridge.reason(), Some(Trouble::Listener(12514)));
}

#[tokio::test]
async fn the_door_is_shut_behind_the_driver() {
    let world = World::start(Card::default(), |socket, tls| async move {
        if let Ok(stream) = tls.accept(socket).await {
            drained(stream).await;
        }
    })
    .await;
    let mut bridge = bridge(&world).await;
    let (address, token) = door(&bridge);
    beside(&mut bridge, async {
        let mut driver = TcpStream::connect(address).await.unwrap();
        driver.write_all(&connect(&format!("(DESCRIPTION=(CONNECT_DATA=(SERVICE_NAME={token})))"))).await.unwrap();
        // The listener is gone as soon as the token was seen.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        drop(driver);
    })
    .await;
}

#[tokio::test]
async fn tokens_differ() {
    let world = refusing().await;
    let (one, other) = (bridge(&world).await, bridge(&world).await);
    let (one, other) = (door(&one).1, door(&other).1);
    assert_eq!((one.len(), other.len()), (32, 32));
    assert_ne!(one, other);
}
