//! Logins through wallets: client certificates of either version, private roots, and what the server or the wallet turns down.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;

use common::{World, config, config_by_wallet, database, good, soon, stamp, tells_nothing};
use dizzy_host::{
    port::{Database as _, Kind, PortError, PortResult, Severity},
    secret::Password,
};
use dizzy_oracle::{OracleConfig, OracleDatabase, PublicRoots, Roots, Service, Wallet};
use dizzy_sandbox_oracle::{
    CertificateVersion, Identity, Listener, Mode, Options, Pki, Profile, WalletKey, WalletOptions,
};

/// An `ewallet.pem` with this client and these roots.
fn wallet(client: &Identity, pki: &Pki) -> Wallet {
    let key = pkcs8_pem(client.key_der());
    Wallet::from_pem(format!("{key}{}{}", client.certificate_pem(), pki.ca_pem()).as_bytes(), None).unwrap()
}

fn pkcs8_pem(der: &[u8]) -> String {
    let document = pkcs8::der::SecretDocument::try_from(der).unwrap();
    document.to_pem("PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
}

async fn login(world: &World, db: &OracleDatabase) -> PortResult<()> {
    db.login(world.a.login(), stamp(1, 1), soon()).await
}

async fn refused(world: &World, config: OracleConfig) -> PortError {
    let error = login(world, &database(config)).await.unwrap_err();
    tells_nothing(&error);
    error
}

#[tokio::test]
async fn client_certificates_of_both_versions_open_the_door_also_after_a_second_handshake() {
    for renegotiate in [false, true] {
        let world = World::with(Options { renegotiate, ..Options::default() }, Profile::classic());
        for version in [CertificateVersion::V1, CertificateVersion::V3] {
            let pki = world.server.pki();
            let wallet = wallet(&pki.client(version).unwrap(), pki);
            login(&world, &database(config_by_wallet(&world.server, wallet)))
                .await
                .unwrap_or_else(|error| panic!("{version:?} renegotiate={renegotiate}: {error}"));
        }
    }
}

#[tokio::test]
async fn a_root_of_version_1_is_a_root() {
    let pki = Arc::new(Pki::create(CertificateVersion::V1).unwrap());
    let world = World::with(Options { pki: Some(Arc::clone(&pki)), ..Options::default() }, Profile::classic());
    let wallet = wallet(&pki.client(CertificateVersion::V1).unwrap(), &pki);
    login(&world, &database(config_by_wallet(&world.server, wallet))).await.unwrap();
}

#[tokio::test]
async fn a_wallet_without_a_key_serves_as_roots_only() {
    let world = World::start();
    let roots = Wallet::from_pem(world.server.pki().ca_pem().as_bytes(), None).unwrap();
    let service = Service::Named(world.server.descriptor(Listener::Tls));
    let by_wallet = config_by_wallet(&world.server, roots.clone());
    login(&world, &database(OracleConfig { service, ..by_wallet.clone() })).await.unwrap();
    let error = refused(&world, by_wallet).await;
    // With TLS 1.3 the refusal comes after the handshake, and a server that hangs up at once may take its reason along.
    assert!(matches!(error.kind, Kind::Tls | Kind::Unreachable), "{error:?}");
}

#[tokio::test]
async fn a_client_that_the_server_did_not_expect_is_refused_as_tls() {
    let world = World::start();
    let stranger = Pki::create(CertificateVersion::V3).unwrap();
    let client = stranger.client(CertificateVersion::V3).unwrap();
    let error = refused(&world, config_by_wallet(&world.server, wallet(&client, world.server.pki()))).await;
    assert!(matches!(error.kind, Kind::Tls | Kind::Unreachable), "{error:?}");
}

#[tokio::test]
async fn a_wallet_for_another_database_does_not_trust_this_one() {
    let world = World::start();
    let other = Pki::create(CertificateVersion::V3).unwrap();
    let client = world.server.pki().client(CertificateVersion::V3).unwrap();
    let error = refused(&world, config_by_wallet(&world.server, wallet(&client, &other))).await;
    assert_eq!(error.kind, Kind::Tls);
    assert!(error.what.contains("not issued by a trusted root"), "{}", error.what);
}

#[tokio::test]
async fn nobody_is_trusted_without_roots() {
    let world = World::start();
    let roots = Roots { public: PublicRoots::Ignored, private_pem: None };
    let none = OracleDatabase::new(OracleConfig { roots, ..config(&world.server) });
    assert!(none.err().is_some_and(|error| error.what.contains("no root is trusted")));
    let public = Roots { public: PublicRoots::Trusted, private_pem: None };
    let error = refused(&world, OracleConfig { roots: public, ..config(&world.server) }).await;
    assert!(error.what.contains("not issued by a trusted root"), "{}", error.what);
}

#[tokio::test]
async fn roots_of_the_wallet_private_and_public_ones_add_up() {
    let world = World::start();
    let stranger = Pki::create(CertificateVersion::V3).unwrap();
    let client = world.server.pki().client(CertificateVersion::V3).unwrap();
    let own = world.server.pki().ca_pem().into_bytes();
    let other = stranger.ca_pem().into_bytes();
    for (authority, private_pem, public, trusted) in [
        (world.server.pki(), None, PublicRoots::Ignored, true),
        (world.server.pki(), None, PublicRoots::Trusted, true),
        (world.server.pki(), Some(&other), PublicRoots::Ignored, true),
        (&Arc::new(stranger), Some(&own), PublicRoots::Trusted, true),
        (&Arc::new(Pki::create(CertificateVersion::V3).unwrap()), Some(&other), PublicRoots::Trusted, false),
    ] {
        let roots = Roots { public, private_pem: private_pem.cloned() };
        let config = OracleConfig { roots, ..config_by_wallet(&world.server, wallet(&client, authority)) };
        match login(&world, &database(config)).await {
            Ok(()) => assert!(trusted, "nobody vouches for this server"),
            Err(error) => {
                assert!(!trusted && error.what.contains("not issued by a trusted root"), "{error:?}");
                assert_eq!(error.kind, Kind::Tls);
            }
        }
    }
}

#[tokio::test]
async fn switching_the_match_of_names_off_switches_nothing_off() {
    let pki = Arc::new(Pki::create(CertificateVersion::V3).unwrap());
    let name = [("C", "US"), ("O", "Example"), ("CN", "adb.example")];
    for (hosts, until, security, refusal) in [
        (&["elsewhere.test"][..], 2120, "(SSL_SERVER_DN_MATCH=no)", Some("another name")),
        (&["localhost"], 2120, "(SSL_SERVER_DN_MATCH=no)", None),
        (&["localhost"], 2021, "(SSL_SERVER_DN_MATCH=no)", Some("expired")),
        (&["elsewhere.test"], 2120, "(SSL_SERVER_DN_MATCH=no)(SSL_SERVER_CERT_DN=CN=adb.example,O=Example,C=US)", None),
        (
            &["localhost"],
            2120,
            "(SSL_SERVER_DN_MATCH=no)(SSL_SERVER_CERT_DN=CN=other,O=Example,C=US)",
            Some("another name"),
        ),
        (
            &["localhost"],
            2120,
            "(SSL_SERVER_DN_MATCH=yes)(SSL_SERVER_CERT_DN=CN=other,O=Example,C=US)",
            Some("another name"),
        ),
    ] {
        let identity = Some(pki.server_for(&name, hosts, until).unwrap());
        let options = Options { pki: Some(Arc::clone(&pki)), identity, ..Options::default() };
        let world = World::with(options, Profile::classic());
        let (port, service) = (world.server.port(Listener::Tls), world.server.service());
        let service = Service::Named(format!(
            "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcps)(HOST=localhost)(PORT={port}))(CONNECT_DATA=(SERVICE_NAME={service}))(SECURITY={security}))"
        ));
        let answer = login(&world, &database(OracleConfig { service, ..config(&world.server) })).await;
        match (answer, refusal) {
            (Ok(()), None) => {}
            (Err(error), Some(words)) => {
                assert!(error.kind == Kind::Tls && error.what.contains(words), "{security}: {error:?}");
            }
            (answer, refusal) => panic!("{security} {hosts:?} {until}: {answer:?}, not {refusal:?}"),
        }
    }
}

#[tokio::test]
async fn a_listener_without_tls_is_never_talked_to() {
    let world = World::start();
    let service = Service::Named(world.server.descriptor(Listener::Tcp));
    let error = OracleDatabase::new(OracleConfig { service, ..config(&world.server) }).err().unwrap();
    assert!(error.what.contains("not TLS"), "{}", error.what);
    let service = Service::At {
        host: "localhost".to_owned(),
        port: world.server.port(Listener::Tcp),
        service: world.server.service().to_owned(),
    };
    let limits = dizzy_oracle::Limits { open: common::SHORT, ..dizzy_oracle::Limits::default() };
    let error = refused(&world, OracleConfig { service, limits, ..config(&world.server) }).await;
    assert!(matches!(error.kind, Kind::Tls | Kind::Unreachable | Kind::Timeout), "{error:?}");
}

#[tokio::test]
async fn an_expired_client_certificate_is_named_as_the_reason() {
    for (mode, renegotiate) in [(Mode::V23, false), (Mode::V19, true)] {
        let world = World::with(Options { mode, renegotiate, ..Options::default() }, Profile::classic());
        let pki = world.server.pki();
        let expired = wallet(&pki.client_until(CertificateVersion::V3, 2021).unwrap(), pki);
        let db = database(config_by_wallet(&world.server, expired.clone()));
        for error in [
            login(&world, &db).await.unwrap_err(),
            db.inspect(world.a.login(), &["app_a"], stamp(1, 1), soon()).await.unwrap_err(),
        ] {
            tells_nothing(&error);
            assert!(error.kind == Kind::Tls && error.what.contains("has expired"), "{mode:?}: {error:?}");
        }
        let known = db.known();
        let told = known.iter().find(|finding| finding.what.contains("client certificate")).unwrap();
        assert_eq!((told.severity, told.kind), (Severity::Error, Kind::Expired));
        // A server that does not ask for it lets us in; a rotation is refused by the finding.
        let service = Service::Named(world.server.descriptor(Listener::Tls));
        let db = database(OracleConfig { service, ..config_by_wallet(&world.server, expired) });
        let findings = db.inspect(world.a.login(), &["app_a"], stamp(1, 1), soon()).await.unwrap().findings;
        assert!(findings.iter().any(|finding| finding.kind == Kind::Expired && finding.severity == Severity::Error));
        // A server that is not there is not blamed on the certificate.
        drop(world);
        let error = db.login(common::User::new("app_a", "x").login(), stamp(1, 1), soon()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unreachable, "{error:?}");
    }
}

#[tokio::test]
async fn the_days_that_a_wallet_has_left_are_told() {
    let world = World::start();
    let pki = world.server.pki();
    let db = database(config_by_wallet(&world.server, wallet(&pki.client(CertificateVersion::V1).unwrap(), pki)));
    let findings = db.inspect(world.a.login(), &["app_a"], stamp(1, 1), soon()).await.unwrap().findings;
    for what in [
        "the client certificate in the wallet expires in ",
        "authority `sandbox oracle root` in the wallet expires in ",
    ] {
        let told = findings.iter().find(|finding| finding.what.contains(what)).unwrap();
        assert_eq!(told.severity, Severity::Note);
        let days: i64 = told.what.rsplit(' ').nth(1).unwrap().parse().unwrap();
        assert!((30_000..40_000).contains(&days), "{}: valid until 2120", told.what);
    }
}

#[tokio::test]
async fn the_change_works_through_a_wallet_as_well() {
    let world = World::start();
    let pki = world.server.pki();
    let db = database(config_by_wallet(&world.server, wallet(&pki.client(CertificateVersion::V1).unwrap(), pki)));
    let changed = world.change_by(&db, &world.a, &good(10)).await.unwrap();
    assert!(world.logs_in(&changed) && !world.logs_in(&world.a));
}

#[tokio::test]
async fn the_archive_that_the_service_hands_out_opens_with_its_password_and_is_found_by_alias() {
    let world = World::start();
    let secret = Password::new("Canary-wallet-1".to_owned());
    for version in [CertificateVersion::V1, CertificateVersion::V3] {
        let key = WalletKey::Encrypted(secret.expose().to_owned());
        let made = handed_out(&world, &WalletOptions { key, version, ..WalletOptions::default() });
        let wallet = Wallet::from_zip(&made.zip().unwrap(), Some(&secret)).unwrap();
        assert!(wallet.aliases().any(|alias| alias == "SANDBOX_LOW"));
        let by_alias = OracleConfig {
            service: Service::Named("sandbox_low".to_owned()),
            ..config_by_wallet(&world.server, wallet)
        };
        login(&world, &database(by_alias)).await.unwrap();
        for wrong in [None, Some(Password::new("Canary-wrong-1".to_owned()))] {
            let error = Wallet::from_zip(&made.zip().unwrap(), wrong.as_ref()).unwrap_err();
            assert!(error.what.contains("wallet password"), "{}", error.what);
            tells_nothing(&error);
        }
    }
}

#[tokio::test]
async fn a_wallet_of_the_wrong_authority_an_unknown_alias_and_a_folder() {
    let world = World::start();
    let wrong = WalletOptions { key: WalletKey::Plain, wrong_authority: true, ..WalletOptions::default() };
    let wallet = Wallet::from_zip(&handed_out(&world, &wrong).zip().unwrap(), None).unwrap();
    let named = |wallet: Wallet, alias: &str| OracleConfig {
        service: Service::Named(alias.to_owned()),
        ..config_by_wallet(&world.server, wallet)
    };
    assert_eq!(refused(&world, named(wallet.clone(), "sandbox_low")).await.kind, Kind::Tls);
    let error = OracleDatabase::new(named(wallet, "sandbox_turbo")).err().unwrap();
    assert_eq!(error.kind, Kind::NotFound);
    assert!(error.hint.unwrap().contains("sandbox_tpurgent"));
    let folder = tempfile::tempdir().unwrap();
    let keyless = WalletOptions { key: WalletKey::Absent, ..WalletOptions::default() };
    handed_out(&world, &keyless).write_to(folder.path()).unwrap();
    let wallet = Wallet::from_folder(folder.path(), None).unwrap();
    login(&world, &database(named(wallet, "SANDBOX_TP"))).await.unwrap();
}

fn handed_out(world: &World, options: &WalletOptions) -> dizzy_sandbox_oracle::Wallet {
    dizzy_sandbox_oracle::Wallet::create(&world.server, options).unwrap()
}
