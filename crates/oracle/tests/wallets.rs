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
use dizzy_sandbox_oracle::{CertificateVersion, Identity, Listener, Options, Pki, Profile, WalletKey, WalletOptions};

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
async fn a_client_certificate_that_ends_soon_is_told() {
    let world = World::start();
    let pki = world.server.pki();
    let expired = wallet(&pki.client_until(CertificateVersion::V3, 2021).unwrap(), pki);
    // The emulator, unlike a server, does not look at the time.
    let db = database(config_by_wallet(&world.server, expired));
    let findings = db.inspect(world.a.login(), &["app_a"], stamp(1, 1), soon()).await.unwrap().findings;
    let told = findings.iter().find(|finding| finding.what.contains("client certificate")).unwrap();
    assert_eq!((told.severity, told.kind), (Severity::Error, Kind::Expired));
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
