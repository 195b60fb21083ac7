//! TLS is verified: the chain, the name, the time. There is no way around it, and a root that is added opens what it signed only.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use dizzy_host::{
    port::{Certainty, Kind, PortError, SecretStore as _},
    secret::SecretText,
};
use dizzy_oci::{OciClients, OciEndpoints, OciSettings, OciVaultStore, PreauthenticatedUrl, UrlSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::world::{World, settings, soon, version};

/// A service that answers everything with "not there", for a certificate of `authority`.
fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> String {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that does not trust us hangs up, which is the point.
            drop(answer(stream.unwrap(), &config));
        }
    });
    format!("https://localhost:{port}")
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(config)).unwrap(), stream);
    let mut request = Vec::new();
    while !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk)?;
        request.extend_from_slice(&chunk[..length]);
    }
    let body = "{\"code\":\"NotAuthorizedOrNotFound\",\"message\":\"\"}";
    let length = body.len();
    write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
    stream.flush()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Leaf {
    Good,
    OtherName,
    Expired,
    SignedByNobody,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn write(settings: OciSettings) -> PortError {
    let store = OciVaultStore::new(OciClients::new(settings), "ocid1.vaultsecret.oc1.iad.x");
    store.promote(&version(1), &version(2), soon()).await.unwrap_err()
}

#[tokio::test]
async fn only_a_good_certificate_of_a_trusted_authority_is_talked_to() {
    let world = World::new();
    let (trusted, other) = (authority(), authority());
    for leaf in [Leaf::Good, Leaf::OtherName, Leaf::Expired, Leaf::SignedByNobody] {
        let name = if leaf == Leaf::OtherName { "vaults.example.com" } else { "localhost" };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if leaf == Leaf::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = match leaf {
            Leaf::SignedByNobody => params.self_signed(&key).unwrap(),
            Leaf::Good | Leaf::OtherName | Leaf::Expired => params.signed_by(&key, &trusted).unwrap(),
        };
        let address = serve(certificate.der().clone(), &key);
        for (roots, is_trusted) in [(None, false), (Some(&other), false), (Some(&trusted), true)] {
            let mut settings = settings(&world.oci, &world.files);
            settings.endpoints = OciEndpoints { vaults: Some(address.clone()), ..OciEndpoints::default() };
            settings.extra_roots = roots.map(|authority| authority.pem().into_bytes());
            let roots = settings.extra_roots.clone();
            let error = write(settings).await;
            let kind = if is_trusted && leaf == Leaf::Good { Kind::NotFound } else { Kind::Tls };
            assert_eq!((error.certainty, error.kind), (Certainty::Refused, kind), "{leaf:?} {is_trusted}: {error:?}");
            let url = SecretText::new(format!("{address}/p/canary/o/wallet.zip"));
            let url = PreauthenticatedUrl::new(&url, "env:WALLET_URL").unwrap();
            let settings = UrlSettings { extra_roots: roots, ..UrlSettings::default() };
            let error = url.fetch(1024, &settings, soon()).await.unwrap_err();
            assert_eq!(error.kind, kind, "{leaf:?} {is_trusted}: {error:?}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
