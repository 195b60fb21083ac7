//! The sandbox PostgreSQL keeps its own promises: real TLS, real logins, and no server left behind.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use dizzy_sandbox::{Postgres, PostgresOptions, ServerCertificate, Tls};

fn options() -> PostgresOptions {
    PostgresOptions { cache: Some(PathBuf::from(env!("CARGO_TARGET_TMPDIR"))), ..PostgresOptions::default() }
}

#[test]
fn a_password_is_judged_over_verified_tls() {
    let server = Postgres::start(&options()).unwrap();
    server.create_role("orders \"a\"", "right-one").unwrap();
    assert!(server.login("orders \"a\"", "right-one").unwrap());
    assert!(!server.login("orders \"a\"", "wrong-one").unwrap());
    let answer = server.psql_as("orders \"a\"", "postgres", "SELECT current_user").unwrap();
    assert_eq!(answer, "orders \"a\"");
    assert!(server.log_text().unwrap().contains("SELECT current_user"));
}

#[test]
fn each_bad_certificate_is_refused_by_psql() {
    for (which, reason) in [
        (ServerCertificate::Expired, "certificate verify failed"),
        (ServerCertificate::WrongHost, "does not match host name"),
        (ServerCertificate::UnknownCa, "certificate verify failed"),
    ] {
        let server = Postgres::start(&PostgresOptions { tls: Tls::With(which), ..options() }).unwrap();
        server.create_role("a", "p").unwrap();
        let said = server.login("a", "p").unwrap_err().to_string();
        assert!(said.contains(reason), "{which:?}: {said}");
    }
}

#[test]
fn a_server_without_tls_lets_psql_in_without_tls() {
    let server = Postgres::start(&PostgresOptions { tls: Tls::Off, ..options() }).unwrap();
    server.create_role("a", "p").unwrap();
    assert!(server.login("a", "p").unwrap());
}

#[test]
fn a_standby_is_in_recovery_and_knows_the_users() {
    let server = Postgres::start(&options()).unwrap();
    server.create_role("a", "p").unwrap();
    let standby = server.standby().unwrap();
    assert_eq!(standby.psql("SELECT pg_is_in_recovery()").unwrap(), "t");
    assert!(standby.login("a", "p").unwrap());
}

#[test]
fn dropping_a_server_stops_it_and_removes_its_folder() {
    let server = Postgres::start(&options()).unwrap();
    let (folder, pid) = place(&server);
    drop(server);
    assert!(!folder.exists());
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn killing_the_process_that_started_a_server_stops_the_server() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "start_a_server_and_wait_to_be_killed", "--nocapture", "--include-ignored"])
        .env("DIZZY_SANDBOX_HOLD", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told = lines.find_map(|line| line.split_once("HOLDING ").map(|(_, told)| told.to_owned())).unwrap();
    let (folder, pid) = told.split_once(' ').unwrap();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let gone = || !Path::new(&format!("/proc/{pid}")).exists() && !Path::new(folder).exists();
    let limit = 3_000;
    assert!((0..limit).any(|_| gone() || (thread::sleep(Duration::from_millis(10)), false).1), "still there: {told}");
}

/// Does nothing unless the test above runs it in a process of its own.
#[test]
fn start_a_server_and_wait_to_be_killed() {
    if std::env::vars_os().all(|(name, _)| name != "DIZZY_SANDBOX_HOLD") {
        return;
    }
    let server = Postgres::start(&options()).unwrap();
    let (folder, pid) = place(&server);
    println!("HOLDING {} {pid}", folder.display());
    loop {
        thread::park();
    }
}

fn place(server: &Postgres) -> (PathBuf, String) {
    let data = PathBuf::from(server.psql("SHOW data_directory").unwrap());
    let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
    (data.parent().unwrap().to_path_buf(), pid)
}
