//! Inside the image there is no `nsswitch.conf` and no certificate: names come from `/etc/hosts` and DNS, trust from the configuration.

use std::{fs, os::unix::fs::PermissionsExt as _};

use dizzy_sandbox::{
    Installation, NameServer, PostgresOptions, SET, Users,
    certs::DATABASE_NAME,
    docker::{Ended, Plan},
};

use crate::{
    boxes::{image, replaced},
    common::{Told, assert_at_rest, binary, error},
};

/// One PostgreSQL database, known to the program by that name; its files are where the container may write.
fn installation() -> Installation {
    let at = Installation::start(binary(), &[("rds", Users::Alternating)], 1, &PostgresOptions::default()).unwrap();
    let folder = at.path("");
    let path = folder.display().to_string();
    let authority = at.members[0].server.certificates().ca_file();
    fs::copy(&authority, at.path("ca.pem")).unwrap();
    let text = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    let text = replaced(&text, &authority.display().to_string(), "/box/ca.pem");
    let text = replaced(&text, path.trim_end_matches('/'), "/box");
    let engine = format!("engine = \"postgres\"\nhost = \"{DATABASE_NAME}\"");
    at.write("dizzy-keys.toml", &replaced(&text, "engine = \"postgres\"", &engine)).unwrap();
    for file in fs::read_dir(&folder).unwrap() {
        fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    at
}

fn command(at: &Installation, args: &[&str], how: &[String]) -> Ended {
    let args = [&["--config", "/box/dizzy-keys.toml", "--output", "json"], args].concat();
    // A name for the other client too; without TLS it may only be this one.
    let aws = ("AWS_ENDPOINT_URL".to_owned(), at.moto.endpoint().replace("127.0.0.1", "localhost"));
    let plan = image().run(&args).env(at.moto.env()).env([aws]).writes(&at.path(""), "/box");
    // What it writes must be readable here; the image's own user is not who runs the tests, unless that is root.
    let user = rustix::process::getuid();
    let plan = if user.is_root() { plan } else { plan.option(&format!("--user={}", user.as_raw())) };
    how.iter().fold(plan, |plan, option| Plan::option(plan, option)).to_its_end().unwrap()
}

#[test]
fn names_come_from_hosts_and_from_dns_and_trust_from_the_configuration() {
    let at = installation();
    let hosts = [format!("--add-host={DATABASE_NAME}:127.0.0.1")];
    let server = NameServer::start(&[DATABASE_NAME]).unwrap();
    let dns = [format!("--dns={}", server.address())];
    let must = |args: &[&str], how: &[String]| {
        let ended = command(&at, args, how);
        assert_eq!(ended.exit, 0, "{args:?} {how:?}\n{}{}", ended.out, ended.err);
    };
    must(&["--yes", "prepare", SET], &hosts);
    must(&["rotate", SET], &hosts);
    assert_at_rest(&at, "names from /etc/hosts");
    assert_eq!(server.asked(), Vec::<String>::new());
    must(&["rotate", SET], &dns);
    assert_at_rest(&at, "names from DNS");
    assert!(server.asked().iter().any(|asked| asked == DATABASE_NAME), "{:?}", server.asked());

    let fails = |story: &str, how: &[String]| {
        let ended = command(&at, &["rotate", SET], how);
        assert_ne!(ended.exit, 0, "{story}: {}", ended.out);
        let told = Told { exit: Some(ended.exit), signal: None, out: ended.out, err: ended.err };
        let error = error(&told, story);
        println!("{story}: {error}");
        assert_at_rest(&at, story);
        error.to_string()
    };
    // A name server that knows no name.
    let other = NameServer::start(&[]).unwrap();
    let told = fails("no such name", &[format!("--dns={}", other.address())]);
    assert!(told.contains("the host name has no address"), "{told}");
    // The database's authority is no public one.
    let text = fs::read_to_string(at.path("dizzy-keys.toml")).unwrap();
    at.write("dizzy-keys.toml", &replaced(&text, "tls_ca = \"file:/box/ca.pem\"\n", "")).unwrap();
    let told = fails("a private authority that is not configured", &hosts);
    assert!(told.contains("tls_ca"), "{told}");
    at.write("dizzy-keys.toml", &text).unwrap();
    must(&["rotate", SET], &hosts);
    assert_at_rest(&at, "in the end");
}
