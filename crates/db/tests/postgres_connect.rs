//! Connecting: TLS that is not as it should be, hosts that do not answer, logins that the server refuses, and what each is told as.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::{io::Write as _, time::Duration};

use common::{User, World, config, database, options, soon, stamp};
use dizzy_db::{PostgresConfig, PostgresDatabase, PublicRoots, Roots};
use dizzy_host::port::{Certainty, Change, ChangeKind::Alternating, Database as _, Deadline, Kind, PortError};
use dizzy_sandbox::{Postgres, PostgresOptions, ServerCertificate, SilentHost, Tls};

async fn login_error(db: &PostgresDatabase, user: &User) -> PortError {
    db.login(user.login(), stamp(1, 1), soon()).await.unwrap_err()
}

#[tokio::test]
async fn each_untrustworthy_server_is_refused_in_its_own_words() {
    for (tls, words) in [
        (Tls::With(ServerCertificate::Expired), "has expired"),
        (Tls::With(ServerCertificate::UnknownCa), "not issued by a trusted root"),
        (Tls::With(ServerCertificate::WrongHost), "for another host name"),
        (Tls::Off, "does not offer TLS"),
    ] {
        let server = Postgres::start(&PostgresOptions { tls, ..options() }).unwrap();
        server.create_role("a", "a-0").unwrap();
        let db = database(&server, "localhost", server.port());
        let (a, new) = (User::new("a", "a-0"), User::new("a", "a-1"));
        let error = login_error(&db, &a).await;
        assert_eq!(error.kind, Kind::Tls, "{tls:?}: {error}");
        assert!(error.what.contains(words) && error.hint.is_some(), "{tls:?}: {error}");
        let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: Alternating };
        let error = db.apply(change, soon()).await.unwrap_err();
        assert_eq!((error.kind, error.certainty), (Kind::Tls, Certainty::Refused), "{tls:?}");
        let log = server.log_text().unwrap();
        assert!(
            !log.contains("connection authorized: user=a") && !log.contains("a@postgres"),
            "{tls:?}: no login was tried"
        );
    }
}

#[tokio::test]
async fn public_roots_alone_do_not_vouch_for_a_private_server() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let roots = Roots { public: PublicRoots::Trusted, private_pem: None };
    let db = PostgresDatabase::new(PostgresConfig { roots, ..config(&world.server, "localhost", world.server.port()) });
    let error = login_error(&db.unwrap(), &a).await;
    assert!(error.kind == Kind::Tls && error.what.contains("trusted root"), "{error}");
    let both = config(&world.server, "localhost", world.server.port());
    let both = PostgresConfig { roots: Roots { public: PublicRoots::Trusted, ..both.roots.clone() }, ..both };
    PostgresDatabase::new(both).unwrap().login(a.login(), stamp(1, 1), soon()).await.unwrap();
}

#[tokio::test]
async fn an_ip_address_is_verified_against_the_certificates_addresses() {
    let world = World::start();
    let a = world.user("a", "a-0");
    database(&world.server, "127.0.0.1", world.server.port()).login(a.login(), stamp(1, 1), soon()).await.unwrap();
    // 127.0.0.2 leads to the same machine, where a proxy answers, but the certificate does not carry it.
    let server = Postgres::start(&PostgresOptions {
        settings: vec![("listen_addresses".into(), "127.0.0.2".into())],
        ..options()
    })
    .unwrap();
    let error = login_error(&database(&server, "127.0.0.2", server.port()), &a).await;
    assert!(error.kind == Kind::Tls && error.what.contains("another host name"), "{error}");
}

#[tokio::test]
async fn the_login_binds_the_channel_and_carries_its_name() {
    let world = World::start();
    let a = world.user("a", "a-0");
    world.db.login(a.login(), stamp(7, 12), soon()).await.unwrap();
    let log = world.server.log_text().unwrap();
    assert!(log.contains("a@postgres/dizzy-keys/orders/12/7"), "{log}");
}

#[tokio::test]
async fn a_silent_host_times_out() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let silent = SilentHost::start().unwrap();
    let short = PostgresConfig {
        connect_timeout: Duration::from_millis(300),
        ..config(&world.server, "localhost", silent.port().unwrap())
    };
    let error = login_error(&PostgresDatabase::new(short).unwrap(), &a).await;
    assert_eq!((error.kind, error.certainty), (Kind::Timeout, Certainty::Refused));
    // The deadline of the call counts as well.
    let db = database(&world.server, "localhost", silent.port().unwrap());
    let error = db.login(a.login(), stamp(1, 1), Deadline::after(Duration::from_millis(300))).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unreachable() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    assert_eq!(login_error(&database(&world.server, "localhost", closed), &a).await.kind, Kind::Unreachable);
    assert_eq!(login_error(&database(&world.server, "not a host name", closed), &a).await.kind, Kind::Tls);
}

#[tokio::test]
async fn refused_logins_are_told_apart() {
    let world = World::start();
    let a = world.user("a", "a-0");
    assert_eq!(login_error(&world.db, &a.with("wrong")).await.kind, Kind::Credential);
    assert_eq!(login_error(&world.db, &User::new("nobody-here", "x")).await.kind, Kind::Credential);

    world.server.psql("ALTER ROLE a NOLOGIN").unwrap();
    assert_eq!(login_error(&world.db, &a).await.kind, Kind::Locked);
    world.server.psql("ALTER ROLE a LOGIN; REVOKE CONNECT ON DATABASE postgres FROM PUBLIC").unwrap();
    let error = login_error(&world.db, &a).await;
    assert!(error.kind == Kind::Denied && error.what.contains("CONNECT"), "{error}");
    world.server.psql("GRANT CONNECT ON DATABASE postgres TO a; ALTER ROLE a CONNECTION LIMIT 0").unwrap();
    assert_eq!(login_error(&world.db, &a).await.kind, Kind::Busy);
    world.server.psql("ALTER ROLE a CONNECTION LIMIT -1").unwrap();
    world.db.login(a.login(), stamp(1, 1), soon()).await.unwrap();

    let elsewhere =
        PostgresConfig { dbname: "no such".into(), ..config(&world.server, "localhost", world.server.port()) };
    assert_eq!(login_error(&PostgresDatabase::new(elsewhere).unwrap(), &a).await.kind, Kind::NotFound);
    for name in ["", &"x".repeat(64), "a\0b"] {
        assert_eq!(login_error(&world.db, &User::new(name, "x")).await.kind, Kind::Malformed);
    }
}

#[tokio::test]
async fn a_server_without_a_rule_for_us_denies() {
    let world = World::start();
    let a = world.user("a", "a-0");
    let file = world.server.psql("SHOW hba_file").unwrap();
    overwrite(&file, "local all postgres trust\n");
    world.server.psql("SELECT pg_reload_conf()").unwrap();
    while world.server.psql("SHOW max_connections").is_ok() && world.server.psql_as("a", "postgres", "SELECT 1").is_ok()
    {
    }
    let error = login_error(&world.db, &a).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Denied, Some("28000")), "{error}");
}

/// Keeps owner and mode of the file.
fn overwrite(path: &str, text: &str) {
    let mut file = std::fs::OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn too_many_connections_is_busy() {
    let settings = vec![("max_connections".into(), "4".into()), ("superuser_reserved_connections".into(), "2".into())];
    let world = World::start_with(&PostgresOptions { settings, ..options() });
    let (a, b) = (world.user("a", "a-0"), User::new("b", "b-0"));
    world.db.prepare(world.admin.login(), &["a", "b"], Some(b.login()), stamp(0, 0), soon()).await.unwrap();
    let change_a = Change { login: a.login(), new: &a.password, stamp: stamp(1, 1), kind: Alternating };
    let change_b = Change { login: b.login(), new: &b.password, ..change_a };
    // Two places are left for ordinary users.
    let held = [world.db.vote(change_a, soon()).await.unwrap(), world.db.vote(change_b, soon()).await.unwrap()];
    let error = login_error(&world.db, &a).await;
    assert_eq!((error.kind, error.code.as_deref()), (Kind::Busy, Some("53300")));
    assert_eq!(world.db.apply(change_a, soon()).await.unwrap_err().certainty, Certainty::Refused);
    drop(held);
}

#[tokio::test]
async fn a_standby_is_read_only() {
    let (world, a) = World::with_one().await;
    let standby = world.server.standby().unwrap();
    let db = database(&standby, "localhost", standby.port());
    let error = login_error(&db, &a).await;
    assert_eq!(error.kind, Kind::ReadOnly);
    let new = a.with("a-1");
    let change = Change { login: a.login(), new: &new.password, stamp: stamp(1, 1), kind: Alternating };
    let error = db.apply(change, soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::ReadOnly, Certainty::Refused), "{error}");
    let findings = db.inspect(a.login(), &["a"], stamp(0, 0), soon()).await.unwrap().findings;
    assert!(common::errors(&findings).iter().any(|finding| finding.what.contains("standby")));
    let error = db.prepare(world.admin.login(), &["a"], None, stamp(0, 0), soon()).await.unwrap_err();
    assert_eq!((error.kind, error.certainty), (Kind::ReadOnly, Certainty::Refused));
}
