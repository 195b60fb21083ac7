//! Every source of a wallet, through the real program: a rotation from each, what each says when it cannot be used, and that none leaves
//! a file anywhere, not even for a moment.

use std::path::{Path, PathBuf};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{ADB, BUCKET, OBJECT, TwoClouds, WALLET_PASSWORD},
};
use dizzy_sandbox_oci::{Fault, Mishap, NAMESPACE, Operation, Permission, Rights, SecretOptions};
use dizzy_sandbox_oracle::{Wallet, WalletKey, WalletOptions};
use jiff::SignedDuration;
use serde_json::json;

use super::{
    assert_at_rest, common, prepared, run,
    watcher::{Seen, watched},
    worlds::snapshot,
};

/// A source: its name in the table, what is configured, and the environment that goes with it.
struct Source {
    name: &'static str,
    wallet: String,
    has_password: bool,
    env: Vec<(&'static str, String)>,
}

impl Source {
    fn new(name: &'static str, wallet: impl Into<String>) -> Self {
        Self { name, wallet: wallet.into(), has_password: true, env: Vec::new() }
    }

    fn with_env(mut self, name: &'static str, value: String) -> Self {
        self.env.push((name, value));
        self
    }

    fn configure(&self, at: &TwoClouds) {
        let password = format!("file:{}", at.path("wallet-password").display());
        at.configure_wallet("", &self.wallet, self.has_password.then_some(password.as_str())).unwrap();
    }

    fn env(&self) -> Vec<(&str, &str)> {
        self.env.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

fn in_lines(text: &str) -> String {
    text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + "\n").collect()
}

/// Every source that the documentation names.
fn sources(at: &TwoClouds) -> Vec<Source> {
    let zip = &at.wallet_zip;
    at.write("wallet.zip", zip).unwrap();
    at.write("wallet.b64", in_lines(&STANDARD.encode(zip))).unwrap();
    let document = json!({"password": WALLET_PASSWORD, "wallet": URL_SAFE_NO_PAD.encode(zip)}).to_string();
    let vault = at.oci.create_secret(&SecretOptions::new("wallet", document.as_str())).unwrap();
    at.moto.create_secret("prod/wallet", &document).unwrap();
    let url = at.oci.read_url(BUCKET, OBJECT, SignedDuration::from_hours(1)).unwrap();
    at.moto.create_secret("prod/wallet-url", &url).unwrap();
    let made = Source::new("made by the database service", format!("oci-adb:{ADB}"));
    vec![
        Source::new("Object Storage", format!("oci://{NAMESPACE}/{BUCKET}/{OBJECT}")),
        Source::new("URL in the environment", "env:WALLET_URL").with_env("WALLET_URL", url),
        Source::new("URL in Secrets Manager", "aws-sm:prod/wallet-url"),
        Source { has_password: false, ..made },
        Source::new("folder", format!("file:{}", at.path("wallet").display())),
        Source::new("zip file", format!("file:{}", at.path("wallet.zip").display())),
        Source::new("base64 in a file", format!("file:{}", at.path("wallet.b64").display())),
        Source::new("base64 in the environment", "env:WALLET").with_env("WALLET", STANDARD.encode(zip)),
        Source::new("base64 in Secrets Manager", "aws-sm:prod/wallet#wallet"),
        Source::new("base64 in Vault", format!("oci-vault:{vault}#wallet")),
    ]
}

/// Where the trail is.
const TRAILS: [&str; 2] = ["audit", "audit-copy"];

/// What a run may bring into being: the journal's and the trail's own files.
fn is_ours(at: &TwoClouds, seen: &Seen) -> bool {
    let is_journal =
        seen.folder == at.path("journal") && ["orders.json", "orders.json.new"].contains(&seen.name.as_str());
    is_journal || TRAILS.iter().any(|trail| seen.folder.starts_with(at.path(trail)))
}

/// Every file below a folder.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

/// Panics if anything came into being that is not ours, or if one of ours holds a part of a wallet.
fn assert_nothing_left(at: &TwoClouds, story: &str, seen: &[Seen]) {
    let strangers: Vec<&Seen> = seen.iter().filter(|seen| !is_ours(at, seen)).collect();
    assert!(strangers.is_empty(), "{story}: {strangers:?}");
    // A trail makes a folder for each stream; the watcher has seen the folder, and what is in it is looked at here.
    let mut records = Vec::new();
    for trail in TRAILS {
        below(&at.path(trail), &mut records);
    }
    assert!(
        records.iter().all(|path| path.extension().is_some_and(|ending| ending == "ndjson")),
        "{story}: {records:?}"
    );
    let marks = [&b"PRIVATE KEY"[..], b"BEGIN CERTIFICATE", b"PK\x03\x04", b"retry_count=20"];
    let seen = seen.iter().map(|seen| seen.folder.join(&seen.name)).chain(records);
    for path in seen.collect::<std::collections::BTreeSet<PathBuf>>() {
        let Ok(content) = std::fs::read(&path) else { continue };
        for mark in marks {
            assert!(!content.windows(mark.len()).any(|window| window == mark), "{story}: {} holds it", path.display());
        }
    }
}

#[test]
fn every_source_of_a_wallet_opens_the_database_and_leaves_no_file() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    // So that journal and trail have their folders before the watcher comes.
    run(&at, &["rotate", SET]).expect(0);
    let mut said = String::new();
    println!("{:32} {:>5} {:>5}  created, in order", "source", "check", "files");
    for source in sources(&at) {
        source.configure(&at);
        let (check, seen) = watched(&at, &["check", SET], &source.env());
        let check = check.expect(0);
        assert!(check.out.contains("logs in over verified TLS"), "{}: {}", source.name, check.out);
        for days in ["client certificate in the wallet expires in", "`sandbox oracle root` in the wallet expires in"] {
            assert!(check.out.contains(days), "{}: {}", source.name, check.out);
        }
        assert_eq!(seen, [], "{}: a check leaves nothing at all", source.name);
        let (told, seen) = watched(&at, &["-vvv", "rotate", SET], &source.env());
        let told = told.expect(0);
        assert_nothing_left(&at, source.name, &seen);
        assert!(!seen.is_empty(), "{}: the journal was written under the watcher's eyes", source.name);
        let names: Vec<String> = seen.iter().map(|seen| shown(&at, seen)).collect();
        println!("{:32} {:>5} {:>5}  {}", source.name, "ok", seen.len(), names.join(" "));
        let url =
            source.env.iter().find(|(name, _)| *name == "WALLET_URL").map(|(_, url)| url.split('/').nth(4).unwrap());
        for secret in url.into_iter().chain([WALLET_PASSWORD, &STANDARD.encode(&at.wallet_zip)[..64]]) {
            assert!(!told.out.contains(secret) && !told.err.contains(secret), "{}: a secret was said", source.name);
        }
        assert_at_rest(&at, source.name);
        said += &format!("{}{}", told.out, told.err);
    }
    let made: Vec<_> = at
        .oci
        .log()
        .into_iter()
        .filter(|call| call.operation == Some(Operation::GenerateAutonomousDatabaseWallet))
        .collect();
    let passwords: std::collections::BTreeSet<&[u8]> = made.iter().map(dizzy_sandbox_oci::Logged::body).collect();
    for body in &passwords {
        let asked: serde_json::Value = serde_json::from_slice(body).unwrap();
        let password = asked["password"].as_str().unwrap();
        assert!(password.len() == 30 && !said.contains(password), "the password of a wallet was said");
        let journal = std::fs::read_to_string(at.path("journal/orders.json")).unwrap();
        assert!(!journal.contains(password), "the password of a wallet is in the journal");
    }
    assert!(made.len() == 2 && passwords.len() == 2, "one wallet a run, each under a password of its own: {made:?}");
}

fn shown(at: &TwoClouds, seen: &Seen) -> String {
    let folder = seen.folder.strip_prefix(at.path("")).unwrap_or(&seen.folder);
    folder.join(&seen.name).display().to_string()
}

/// A wallet as it should be, changed.
fn zip(at: &TwoClouds, options: WalletOptions, change: impl FnOnce(&mut Wallet)) -> Vec<u8> {
    let key = WalletKey::Encrypted(WALLET_PASSWORD.to_owned());
    let options = WalletOptions { key, database: SET.to_owned(), ..options };
    let mut wallet = Wallet::create(&at.oracle, &options).unwrap();
    change(&mut wallet);
    wallet.zip().unwrap()
}

fn edited(at: &TwoClouds, from: &str, to: &str) -> Vec<u8> {
    zip(at, WalletOptions::default(), |wallet| {
        let text = String::from_utf8(wallet.files.remove("tnsnames.ora").unwrap()).unwrap();
        assert!(text.contains(from), "{text}");
        wallet.files.insert("tnsnames.ora".to_owned(), text.replace(from, to).into_bytes());
    })
}

/// With this source, `check` and `rotate` fail like this, nothing changes, and nothing is left.
fn refuses(at: &TwoClouds, story: &str, source: &Source, exit: i32, code: &str, says: &[&str]) {
    source.configure(at);
    let before = snapshot(at);
    let (check, seen) = watched(at, &["check", SET], &source.env());
    let check = check.expect(1);
    assert!(check.out.contains(code), "{story}: no {code} in {}", check.out);
    assert_eq!(seen, [], "{story}: a check leaves nothing");
    let (told, seen) = watched(at, &["--output", "json", "rotate", SET], &source.env());
    let error = common::error(&told, story);
    println!(
        "{story:34} exit {:?}  {}  {}",
        told.exit.unwrap(),
        error["code"].as_str().unwrap(),
        error["what"].as_str().unwrap()
    );
    assert_eq!((told.exit, error["code"].as_str()), (Some(exit), Some(code)), "{story}: {error:#}");
    for text in says {
        assert!(error.to_string().contains(text), "{story}: no `{text}` in {error:#}");
    }
    assert!(error["hint"].is_string(), "{story}: {error:#}");
    assert_nothing_left(at, story, &seen);
    assert_eq!(snapshot(at), before, "{story}: something changed");
    assert!(at.oracle.sessions().is_empty(), "{story}: no session is left");
}

/// Everything that may be wrong with the bytes of a wallet: a name, the bytes, exit, code, and words.
fn bad_wallets(at: &TwoClouds) -> Vec<(&'static str, Vec<u8>, i32, &'static str, &'static str)> {
    let good = WalletOptions::default;
    let with =
        |name: &str, content: Vec<u8>| zip(at, good(), |wallet| drop(wallet.files.insert(name.to_owned(), content)));
    let truncated = at.wallet_zip[..at.wallet_zip.len() - 30].to_vec();
    let pem = |wallet: &mut Wallet, from: &str, to: &str| {
        let text = String::from_utf8(wallet.files["ewallet.pem"].clone()).unwrap();
        assert!(text.contains(from));
        wallet.files.insert("ewallet.pem".to_owned(), text.replace(from, to).into_bytes());
    };
    vec![
        ("zip slip", with("../../etc/cron.d/x", b"x".to_vec()), 2, "DK-107", "leads out of the archive"),
        ("zip bomb", with("cwallet.sso", vec![0; 3 << 20]), 2, "DK-107", "a hundred times its size"),
        ("truncated zip", truncated, 2, "DK-107", "cut off"),
        ("0 bytes", Vec::new(), 2, "DK-107", "it is empty"),
        ("HTML", b"<!DOCTYPE html><title>Sign in</title>".to_vec(), 2, "DK-107", "a web page"),
        ("JSON", b"{\"code\":\"x\"}".to_vec(), 2, "DK-107", "it is JSON"),
        ("longer than any wallet", vec![b'P'; (1 << 20) + 1], 2, "DK-107", "longer than"),
        (
            "PKCS#1 key",
            zip(at, good(), |wallet| pem(wallet, "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY")),
            2,
            "DK-107",
            "PKCS#1",
        ),
        (
            "expired client certificate",
            zip(at, WalletOptions { until: 2021, ..good() }, |_| {}),
            1,
            "DK-210",
            "has expired",
        ),
        ("wrong CA", zip(at, WalletOptions { wrong_authority: true, ..good() }, |_| {}), 1, "DK-210", "trusted root"),
        ("alias missing", edited(at, "orders_low", "orders_lower"), 1, "DK-214", "orders_lower"),
        ("descriptor without TLS", edited(at, "protocol=tcps", "protocol=tcp"), 1, "DK-214", "not TLS"),
    ]
}

#[test]
fn a_wallet_that_cannot_be_used_is_told_and_nothing_is_changed_or_left() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    run(&at, &["rotate", SET]).expect(0);
    let object = Source::new("object", format!("oci://{NAMESPACE}/{BUCKET}/{OBJECT}"));
    for (story, bytes, exit, code, says) in bad_wallets(&at) {
        at.oci.put_object(BUCKET, OBJECT, bytes).unwrap();
        refuses(&at, story, &object, exit, code, &[says]);
        if story == "expired client certificate" {
            let check = run(&at, &["check", SET]).expect(1);
            assert!(check.out.contains("DK-203") && check.out.contains("days ago"), "{}", check.out);
        }
    }
    at.oci.put_object(BUCKET, OBJECT, at.wallet_zip.as_slice()).unwrap();
    at.write("wallet-password", "not-the-password-1").unwrap();
    refuses(&at, "wrong password", &object, 2, "DK-107", &["the wallet password is wrong"]);
    at.write("wallet-password", WALLET_PASSWORD).unwrap();
    at.configure("").unwrap();
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "mended");
}

#[test]
fn a_source_that_gives_no_wallet_is_told_and_nothing_is_changed_or_left() {
    let at = prepared(Users::Alternating, OracleUsers::Alternating);
    run(&at, &["rotate", SET]).expect(0);
    let object = Source::new("object", format!("oci://{NAMESPACE}/{BUCKET}/{OBJECT}"));
    let url = at.oci.read_url(BUCKET, OBJECT, SignedDuration::from_hours(1)).unwrap();
    let by_url = |url: &str| Source::new("URL", "env:WALLET_URL").with_env("WALLET_URL", url.to_owned());
    let made = |ocid: &str| Source { has_password: false, ..Source::new("made", format!("oci-adb:{ocid}")) };
    let while_faulty = |story: &str, source: &Source, operation, status, code, exit, says: &[&str]| {
        let fault = at.oci.inject(Fault::next(operation, Mishap::Refuse(status, code)).always());
        refuses(&at, story, source, exit, "DK-107", says);
        assert!(fault.fired() >= 2, "{story}: check and rotate have met it");
        at.oci.clear_faults();
    };
    let get = Operation::GetObject;
    while_faulty("Object Storage 401", &object, get, 401, "NotAuthenticated", 2, &["NotAuthenticated"]);
    while_faulty("Object Storage 404", &object, get, 404, "ObjectNotFound", 2, &["ObjectNotFound", "read objects"]);
    while_faulty("Object Storage 429", &object, get, 429, "TooManyRequests", 1, &["TooManyRequests"]);
    let open = Operation::PreauthenticatedGet;
    while_faulty("URL 404", &by_url(&url), open, 404, "NotFound", 2, &["env:WALLET_URL", "HTTP 404", "make another"]);
    while_faulty("URL 429", &by_url(&url), open, 429, "TooManyRequests", 1, &["env:WALLET_URL", "HTTP 429"]);
    let dead = url.replacen("/p/", "/p/0", 1);
    refuses(&at, "URL that is over", &by_url(&dead), 2, "DK-107", &["HTTP 404"]);
    let plain = url.replacen("127.0.0.1", "objectstorage.example.com", 1);
    refuses(&at, "URL without TLS", &by_url(&plain), 2, "DK-107", &["not https"]);
    at.oci.put_object(BUCKET, "page", "<html>expired</html>").unwrap();
    let page = at.oci.read_url(BUCKET, "page", SignedDuration::from_hours(1)).unwrap();
    refuses(&at, "URL with a page behind it", &by_url(&page), 2, "DK-107", &["a web page"]);
    let make = Operation::GenerateAutonomousDatabaseWallet;
    while_faulty("no wallet in this state", &made(ADB), make, 409, "IncorrectState", 1, &["IncorrectState", "state"]);
    while_faulty("wallets throttled", &made(ADB), make, 429, "TooManyRequests", 1, &["TooManyRequests"]);
    refuses(
        &at,
        "no such database",
        &made("ocid1.autonomousdatabase.oc1.iad.none"),
        2,
        "DK-107",
        &["read autonomous-databases"],
    );
    at.oci.set_rights("rotator", &Rights::all().without(Permission::AutonomousDatabaseContentRead)).unwrap();
    refuses(&at, "no right to a wallet", &made(ADB), 2, "DK-107", &["read autonomous-databases"]);
    at.oci.set_rights("rotator", &Rights::all()).unwrap();
    for (story, text, says) in [
        ("no variable", None, "is not set"),
        ("a secret that is no wallet", Some("hunter2hunter2"), "neither a zip archive nor PEM"),
        ("a secret with fields", Some("{\"wallet\":\"x\"}"), "behind a `#`"),
    ] {
        let source = Source::new(story, "env:WALLET");
        let source = match text {
            Some(text) => source.with_env("WALLET", text.to_owned()),
            None => source,
        };
        refuses(&at, story, &source, 2, "DK-107", &[says]);
    }
    refuses(&at, "no such file", &Source::new("", "file:nowhere.zip"), 2, "DK-107", &["nowhere.zip"]);
    at.configure("").unwrap();
    run(&at, &["rotate", SET]).expect(0);
    assert_at_rest(&at, "mended");
}
