//! Bad input and bad worlds: the error is clear, has a code, says what is true and what helps, and nothing has changed.
//!
//! Real servers, real TLS, real file systems (a read-only and a full one, mounted for the product alone).

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

mod common;

use std::{
    fs,
    process::{Command, Output},
    thread,
    time::Duration,
};

use common::{
    Told, assert_at_rest, binary, current_id, edit_config, error, fails, move_current, publish, published, refuses,
    run, snapshot, verifiers,
};
use dizzy_sandbox::{
    Installation, PostgresOptions, SET, ServerCertificate, SilentHost, Users,
    moto::{Fault, Mishap},
};
use serde_json::{Value, json};

const ROTATE: [&str; 2] = ["rotate", SET];
const PREPARE: [&str; 3] = ["--yes", "prepare", SET];

fn installation() -> Installation {
    Installation::start(binary(), &[("rds", Users::Alternating)], 2, &PostgresOptions::default()).unwrap()
}

fn prepared() -> Installation {
    let at = installation();
    at.prepare().unwrap();
    run(&at, &ROTATE).expect(0);
    at
}

#[test]
fn a_configuration_that_cannot_be_meant_is_told_by_line_and_column() {
    const GOOD: &str = "[sets.orders.databases.rds]\nengine = \"postgres\"\nusers = [\"a\", \"b\"]\n\n\
                        [[sets.orders.secrets]]\nstore = \"aws-sm:prod/orders\"\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dizzy-keys.toml");
    let tell = |text: &str, set: &str| -> Told {
        let mut file = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let mut command = Command::new(binary());
        Told::of(&command.args(["rotate", set]).current_dir(folder.path()).env_clear().output().unwrap())
    };
    let cases = [
        ("unknown key", "users = ", "colour = \"red\"\nusers = ", "DK-104", ":3:1", "colour"),
        ("mistyped key", "users = ", "usres = ", "DK-104", ":3:1", "`users`"),
        ("mistyped table", "databases.rds", "database.rds", "DK-104", ":1:", "`databases`"),
        ("one user without a strategy", "[\"a\", \"b\"]", "[\"a\"]", "DK-105", ":", "strategy"),
        ("two equal users", "[\"a\", \"b\"]", "[\"a\", \"a\"]", "DK-105", ":3:", "users"),
        ("not TOML", "users = [", "users = = [", "DK-103", ":3:", ""),
        ("an engine that does not exist", "\"postgres\"", "\"postgers\"", "DK-10", ":2:", "postgres"),
    ];
    for (story, from, to, code, place, says) in cases {
        let told = tell(&GOOD.replace(from, to), SET).expect(2);
        println!("{story}:\n{}", told.err);
        assert!(told.err.starts_with(code), "{story}: {}", told.err);
        assert!(
            told.err.contains(&format!("dizzy-keys.toml{place}")) && told.err.contains(says),
            "{story}: {}",
            told.err
        );
        assert_eq!((told.out.as_str(), told.line("state: ")), ("", Some("nothing was done, and nothing was changed")));
    }
    let told = tell(GOOD, "order").expect(2);
    println!("set not found:\n{}", told.err);
    assert!(told.err.starts_with("DK-104: ") && told.line("hint: ").unwrap().contains("orders"), "{}", told.err);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["dizzy-keys.toml"], "nothing was made beside the configuration");
}

#[test]
fn what_a_secret_holds_is_judged_before_anything_is_adopted() {
    let at = installation();
    let [first, second] = ["prod/orders-1", "prod/orders-2"];
    let text = at.moto.current_text(first).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let with = |field: &str, value: Value| {
        let mut document = good.clone();
        document["rds"][field] = value;
        document.to_string()
    };
    let both = |story: &str, exit: i32, code: &str, says: &[&str]| {
        refuses(&at, story, &PREPARE, exit, code, says);
        refuses(&at, story, &ROTATE, exit, code, says);
    };

    edit_config(&at, "aws-sm:prod/orders-2", "aws-sm:prod/nowhere");
    both("a secret that does not exist", 1, "DK-301", &["prod/nowhere"]);
    at.configure("").unwrap();

    for (story, bad, code, says) in [
        ("a secret that is not JSON", "canary-not-json".to_owned(), "DK-303", "JSON"),
        ("a secret that is no object", "[\"canary-list\"]".to_owned(), "DK-303", "object"),
        ("a secret without a password", json!({"rds": {"username": "rds_a"}}).to_string(), "DK-303", "password"),
        ("a secret with a number for a password", with("password", json!(17)), "DK-303", "password"),
    ] {
        publish(&at, second, &bad);
        both(story, 1, code, &[says, second]);
    }
    publish(&at, second, &text);

    edit_config(&at, "store = \"aws-sm:prod/orders-2\"\n", "store = \"aws-sm:prod/orders-2\"\nformat = \"rds\"\n");
    both("another format than configured", 1, "DK-304", &["blob", "rds", "--change-format"]);
    at.configure("").unwrap();

    publish(&at, second, &with("password", json!("canary-other-password")));
    both("two secrets that differ", 1, "DK-306", &["different credentials", "verify"]);
    for secret in [first, second] {
        publish(&at, secret, &with("username", json!("somebody")));
    }
    both("a user that is not configured", 1, "DK-303", &["somebody", "rds_a"]);
    for secret in [first, second] {
        publish(&at, secret, &with("password", json!("canary-other-password")));
    }
    both("a published credential that does not log in", 1, "DK-201", &["rds_a"]);
    let told = run(&at, &["--output", "json", "verify", SET]);
    assert_eq!((told.exit, error(&told, "verify")["code"].as_str()), (Some(3), Some("DK-505")));
    publish(&at, first, &text);
    publish(&at, second, &text);

    refuses(
        &at,
        "a second user without a password, and no administrator",
        &ROTATE,
        1,
        "DK-214",
        &["rds_b", "admin", "prepare"],
    );

    // Last, because nothing takes it back.
    at.moto.set_owning_service(second, "rds").unwrap();
    both("a secret that RDS manages", 1, "DK-305", &[second]);
}

#[test]
fn what_a_server_offers_is_judged_before_a_rotation_begins() {
    let at = prepared();
    let server = &at.members[0].server;
    let standby = server.standby().unwrap();
    edit_config(&at, "engine = \"postgres\"", &format!("engine = \"postgres\"\nport = {}", standby.port()));
    let ours = server.certificates().ca_file().display().to_string();
    edit_config(&at, &ours, &standby.certificates().ca_file().display().to_string());
    refuses(&at, "a standby", &ROTATE, 1, "DK-209", &["standby", "writer"]);
    drop(standby);
    at.configure("").unwrap();

    for (story, certificate, says) in [
        ("an expired certificate", Some(ServerCertificate::Expired), "expired"),
        ("a certificate for another host", Some(ServerCertificate::WrongHost), "name"),
        ("a certificate of an unknown authority", Some(ServerCertificate::UnknownCa), "tls_ca"),
        ("a server without TLS", None, "TLS"),
    ] {
        serve(&at, certificate);
        refuses(&at, story, &ROTATE, 1, "DK-210", &[says]);
    }
    serve(&at, Some(ServerCertificate::Good));

    edit_config(&at, "engine = \"postgres\"", "engine = \"postgres\"\nport = 1");
    refuses(&at, "a host that does not answer", &ROTATE, 1, "DK-211", &["rds"]);
    at.configure("").unwrap();

    let silent = SilentHost::start().unwrap();
    let port = silent.port().unwrap();
    edit_config(
        &at,
        "engine = \"postgres\"",
        &format!("engine = \"postgres\"\nport = {port}\nconnect_timeout = \"1s\""),
    );
    refuses(&at, "a host that accepts and stays silent", &ROTATE, 1, "DK-212", &["rds"]);
    at.configure("").unwrap();

    edit_config(&at, "engine = \"postgres\"", "engine = \"postgres\"\nhost = \"nowhere.invalid\"");
    refuses(&at, "a host without an address", &ROTATE, 1, "DK-211", &["DNS"]);
    at.configure("").unwrap();

    let live = common::credential(published(&at).first_key_value().unwrap().1, &at.members[0]).0;
    let idle = if live == "rds_a" { "rds_b" } else { "rds_a" };
    server.psql(&format!("ALTER ROLE {idle} VALID UNTIL '2020-01-01'")).unwrap();
    let told = refuses(&at, "an idle user that has expired", &ROTATE, 1, "DK-203", &["expired", idle]);
    server.psql(told["hint"].as_str().unwrap()).unwrap();
    server.psql(&format!("ALTER ROLE {live} VALID UNTIL '2020-01-01'")).unwrap();
    refuses(&at, "a published user that has expired", &ROTATE, 1, "DK-505", &[&live, "VALID UNTIL"]);
    server.psql(&format!("ALTER ROLE {live} VALID UNTIL 'infinity'")).unwrap();

    server.psql(&format!("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; ALTER ROLE {idle} NOLOGIN")).unwrap();
    refuses(&at, "a role that may not connect", &ROTATE, 1, "DK-204", &["CONNECT"]);
    server.psql("GRANT CONNECT ON DATABASE postgres TO PUBLIC").unwrap();
    let told = refuses(&at, "an idle user that may not log in", &ROTATE, 1, "DK-202", &["may not log in", idle]);
    server.psql(told["hint"].as_str().unwrap()).unwrap();

    run(&at, &ROTATE).expect(0);
    assert_at_rest(&at, "after every bad server");
}

#[test]
fn a_missing_fence_or_right_is_mended_by_the_statement_that_is_printed() {
    let at = prepared();
    let server = &at.members[0].server;
    let mended = |story: &str, code: &str, mut says: &str| {
        for _ in 0..5 {
            if run(&at, &["check", SET]).exit == Some(0) {
                run(&at, &ROTATE).expect(0);
                assert_at_rest(&at, story);
                return;
            }
            let error = refuses(&at, story, &ROTATE, 1, code, &[says]);
            says = "";
            server.psql(error["hint"].as_str().unwrap()).unwrap();
        }
        panic!("{story}: the hints lead nowhere");
    };
    server.psql("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA dizzy FROM rds_a, rds_b").unwrap();
    mended("a missing right on the fence", "DK-207", "GRANT");
    server.psql("REVOKE USAGE ON SCHEMA dizzy FROM rds_a, rds_b").unwrap();
    mended("a missing right on the fence's schema", "DK-207", "GRANT");
    server.psql("DELETE FROM dizzy.fence WHERE role = 'rds_b'").unwrap();
    mended("a missing row of the fence", "DK-207", "INSERT");
    server.psql("DROP SCHEMA dizzy CASCADE").unwrap();
    mended("a missing fence", "DK-207", "CREATE SCHEMA");
}

#[test]
fn drift_and_other_installations_are_refused() {
    let at = prepared();
    let server = &at.members[0].server;
    let [first, second] = ["prod/orders-1", "prod/orders-2"];

    let id = current_id(&at, second);
    let text = at.moto.current_text(second).unwrap();
    publish(&at, second, &text.replace("kept as it is", "edited"));
    refuses(&at, "a CURRENT that somebody wrote", &ROTATE, 1, "DK-504", &[second]);
    move_current(&at, second, &id);
    run(&at, &ROTATE).expect(0);

    let (user, password) = common::credential(published(&at).get(first).unwrap(), &at.members[0]);
    let verifier = server.psql(&format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")).unwrap();
    server.psql(&format!("ALTER ROLE {user} PASSWORD 'canary-somebody-else'")).unwrap();
    refuses(&at, "a password that somebody changed", &ROTATE, 1, "DK-505", &[&user, "verify"]);
    server.psql(&format!("ALTER ROLE {user} PASSWORD '{verifier}'")).unwrap();
    assert!(server.login(&user, &password).unwrap());

    let register = server.psql("SELECT DISTINCT register FROM dizzy.fence").unwrap();
    server.psql("UPDATE dizzy.fence SET register = 'ffffffffffffffffffffffffffffffff'").unwrap();
    refuses(&at, "a fence of another installation", &ROTATE, 1, "DK-208", &["another installation"]);
    refuses(&at, "a fence of another installation", &PREPARE, 1, "DK-208", &["another installation"]);
    server.psql(&format!("UPDATE dizzy.fence SET register = '{register}'")).unwrap();

    fs::rename(at.path("journal"), at.path("away")).unwrap();
    refuses(&at, "secrets of another installation", &ROTATE, 1, "DK-309", &["another register"]);
    refuses(&at, "a fence and secrets of another installation", &PREPARE, 1, "DK-208", &["another installation"]);
    fs::remove_dir_all(at.path("journal")).unwrap();
    fs::rename(at.path("away"), at.path("journal")).unwrap();
    run(&at, &ROTATE).expect(0);
    assert_at_rest(&at, "after every drift");
}

#[test]
fn a_journal_that_cannot_be_used_is_told() {
    let at = prepared();
    let path = at.path(&format!("journal/{SET}.json"));
    let good = fs::read(&path).unwrap();
    let write = |bytes: &[u8]| {
        std::io::Write::write_all(&mut fs::File::create(&path).unwrap(), bytes).unwrap();
    };
    let mut register: Value = serde_json::from_slice(&good).unwrap();
    register["v"] = json!(register["v"].as_u64().unwrap() + 1);
    write(register.to_string().as_bytes());
    refuses(&at, "a register of a newer version", &ROTATE, 1, "DK-403", &["newer"]);
    refuses(&at, "a register of a newer version", &PREPARE, 1, "DK-403", &["newer"]);
    write(&good[..good.len() / 2]);
    fails(&at, "half a register", &ROTATE, 1, "DK-404", &["backup"]);
    let mut register: Value = serde_json::from_slice(&good).unwrap();
    register["set"] = json!("billing");
    write(register.to_string().as_bytes());
    refuses(&at, "the register of another set", &ROTATE, 1, "DK-405", &["billing"]);
    write(&good);

    for (story, folder, mode, code, errno) in [
        ("a journal on a read-only file system", "journal", "ro", "DK-402", "EROFS"),
        ("a journal on a full disk", "journal", "full", "DK-402", "ENOSPC"),
        ("an audit trail on a read-only file system", "audit", "ro", "DK-601", "EROFS"),
        ("an audit trail on a full disk", "audit", "full", "DK-601", "ENOSPC"),
    ] {
        let before = snapshot(&at);
        let told = Told::of(&on_a_bad_disk(&at, folder, mode));
        let error = error(&told, story);
        println!("{story}: exits {:?}\n  {error}", told.exit);
        assert_eq!((told.exit, error["code"].as_str()), (Some(1), Some(code)), "{story}: {}{}", told.out, told.err);
        assert!(error["what"].as_str().unwrap().contains(errno), "{story}: {error}");
        assert_eq!(snapshot(&at), before, "{story}: something changed");
    }
    run(&at, &ROTATE).expect(0);
    assert_at_rest(&at, "after every bad journal");
}

#[test]
fn a_password_that_the_server_refuses_is_rolled_back() {
    let at = prepared();
    let server = &at.members[0].server;
    // Raised inside the change, with the code that password checking modules use; their own check cannot be provoked, because
    // the one that PostgreSQL brings accepts every verifier whose password is not the user's name.
    server
        .psql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
             $$BEGIN RAISE 'no' USING ERRCODE = 'invalid_parameter_value'; END$$;\n\
             CREATE TRIGGER refuse BEFORE UPDATE ON dizzy.fence FOR EACH ROW EXECUTE FUNCTION refuse();",
        )
        .unwrap();
    let (before, passwords) = (published(&at), verifiers(&at.members[0]));
    fails(&at, "a password that the server refuses", &ROTATE, 1, "DK-501", &["is published", "verifiers"]);
    assert_eq!((published(&at), verifiers(&at.members[0])), (before, passwords));
    assert_at_rest(&at, "rolled back");
    server.psql("DROP TRIGGER refuse ON dizzy.fence").unwrap();
    run(&at, &ROTATE).expect(0);
    assert_at_rest(&at, "after the refusal");
}

#[test]
fn rights_in_aws_that_are_missing_are_named() {
    let at = prepared();
    for (operation, exit, code) in [("GetSecretValue", 1, "DK-302"), ("PutSecretValue", 1, "DK-501")] {
        let denied = Mishap::Refuse(400, "AccessDeniedException");
        at.moto.inject(&Fault::next(operation, denied).times(1000)).unwrap();
        let before = published_is_kept(&at);
        fails(&at, &format!("no right to {operation}"), &ROTATE, exit, code, &[operation]);
        at.moto.clear_faults().unwrap();
        assert_eq!(published_is_kept(&at), before);
        assert_at_rest(&at, operation);
    }
    run(&at, &ROTATE).expect(0);
}

/// What is published, by labels; asks for no value.
fn published_is_kept(at: &Installation) -> Vec<String> {
    let current = |secret: &String| {
        let versions = at.moto.versions(secret).unwrap();
        let has = |v: &Value| v["labels"].as_array().unwrap().contains(&json!("AWSCURRENT"));
        versions.as_object().unwrap().iter().find(|(_, v)| has(v)).unwrap().0.clone()
    };
    at.secrets.iter().map(current).collect()
}

/// What the server shows from here on; `None`: no TLS.
fn serve(at: &Installation, certificate: Option<ServerCertificate>) {
    let server = &at.members[0].server;
    let Some(which) = certificate else {
        server.psql("ALTER SYSTEM SET ssl = off;\nSELECT pg_reload_conf();").unwrap();
        return until(|| server.psql("SHOW ssl").unwrap() == "off");
    };
    let file = server.certificates().certificate_file(which).display().to_string();
    let key = server.certificates().key_file(which).display().to_string();
    let sql = format!(
        "ALTER SYSTEM SET ssl = on;\nALTER SYSTEM SET ssl_cert_file = '{file}';\nALTER SYSTEM SET ssl_key_file = '{key}';\n\
         SELECT pg_reload_conf();"
    );
    server.psql(&sql).unwrap();
    until(|| server.psql("SHOW ssl_cert_file").unwrap() == file && server.psql("SHOW ssl").unwrap() == "on");
}

fn until(holds: impl Fn() -> bool) {
    while !holds() {
        thread::sleep(Duration::from_millis(10));
    }
}

/// Rotates with a folder of the installation on a file system of its own that nobody else sees: read-only, or full.
fn on_a_bad_disk(at: &Installation, folder: &str, mode: &str) -> Output {
    const SCRIPT: &str = r#"set -e
folder=$1; mode=$2; shift 2
mkdir "$folder.copy"; cp -a "$folder/." "$folder.copy"
mount -t tmpfs -o size=256k tmpfs "$folder"; cp -a "$folder.copy/." "$folder"
case $mode in
ro) mount -o remount,ro "$folder" ;;
full) cat /dev/zero >"$folder/filler" 2>/dev/null || true ;;
esac
code=0; "$@" || code=$?
# Folders that were made for records which had no room.
find "$folder" -depth -type d -empty -delete 2>/dev/null || true
diff -r -x filler -x '*.run' -x '*.lock' "$folder.copy" "$folder" >/dev/null || code=99
rm -r "$folder.copy"
exit $code
"#;
    let rotate = at.command(&["--output", "json", "rotate", SET]);
    let mut command = Command::new("unshare");
    // Root in a user namespace of its own could not read what belongs to the server's user.
    let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    command.args([namespaces, "sh", "-c", SCRIPT, "sh"]).arg(at.path(folder)).arg(mode);
    command.arg(rotate.get_program()).args(rotate.get_args()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.envs(rotate.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(at.path("."));
    command.output().unwrap()
}
