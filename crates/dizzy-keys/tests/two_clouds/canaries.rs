//! No secret of a two-cloud set is where none may be: whatever a run prints, logs, records, leaves in files or shows in `/proc`, and
//! what databases and clouds were told in clear. Every command, succeeding and failing, at its most talkative.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose};
use dizzy_sandbox::{
    OracleUsers, SET, Users,
    two_clouds::{BUCKET, OBJECT, ORACLE, POSTGRES, TwoClouds, WALLET_PASSWORD},
};
use dizzy_sandbox_oci::{Fault as OciFault, Mishap, Operation, Settle};
use dizzy_sandbox_oracle::{Effect, Fault as OracleFault, Point};
use jiff::SignedDuration;
use serde_json::Value;

use super::{common::binary, scan::Scanner};

/// What AWS signs with. The emulator takes any; these are in the environment of every run.
const AWS_SECRET_KEY: &str = "canary/aws+secret/key-9Zq";
const AWS_SESSION_TOKEN: &str = "canary/aws+session/token==-9Zq";
/// Files of the installation that hold secrets by design: it wrote them, the product reads them.
const GIVEN: [&str; 9] = [
    "audit-key",
    "config",
    "dizzy-keys.toml",
    "oci_api_key.pem",
    "ora-admin.json",
    "pg-admin.json",
    "wallet",
    "wallet-password",
    "wallet.zip",
];
/// Largest file that is read whole. Nothing that a run may leave comes near.
const LARGEST_FILE: u64 = 4 << 20;
/// What is read of one file or folder among the machine's temporary ones, in bytes.
const MOST_OF_ONE: usize = 256 << 10;

#[test]
fn no_secret_is_where_none_may_be() {
    let at = TwoClouds::start(binary(), Users::Alternating, OracleUsers::Alternating).unwrap();
    at.oci.set_settle(Settle::AfterPolls(1));
    let before = listed(&std::env::temp_dir());
    let told_before = at.postgres.log_text().unwrap().len();
    let mut world = World::new(&at);
    world.learn();

    let set = |command: &'static str| [command, SET];
    world.run(&["init", "--force"]);
    at.configure("").unwrap();
    world.run(&["--yes", "prepare", SET]);
    for command in ["check", "plan", "rotate", "status", "verify", "recover"] {
        world.run_in_both_forms(&set(command));
    }
    world.run_in_both_forms(&["prepare", SET, "--print-sql"]);
    // Failing: refused and cut off by the database, refused by a store before and after the decision, killed, and badly configured.
    for (point, effect) in [(Point::BeforeChange, Effect::Refuse(28003)), (Point::AfterChange, Effect::Drop)] {
        drop(at.oracle.plant(OracleFault::at(point, effect)));
        world.run(&set("rotate"));
        world.run(&set("recover"));
    }
    for after in [0, 1] {
        let refused = Mishap::Refuse(404, "NotAuthorizedOrNotFound");
        drop(at.oci.inject(OciFault::next(Operation::UpdateSecret, refused).after(after).always()));
        world.run(&set("rotate"));
        world.run(&set("check"));
        at.oci.clear_faults();
        world.run(&set("recover"));
    }
    world.run_with(&set("rotate"), &["json"], &[("DIZZY_KEYS_KILL_AT", "24")]);
    world.run(&set("status"));
    world.run(&set("recover"));
    let panics = [("DIZZY_KEYS_PANIC_AT", "main"), ("DIZZY_KEYS_PANIC_WITH", WALLET_PASSWORD)];
    world.run_with(&set("status"), &["json", "text"], &panics);
    at.write("wallet-password", "not-the-password-1").unwrap();
    for command in ["check", "plan", "rotate", "verify"] {
        world.run(&set(command));
    }
    at.write("wallet-password", WALLET_PASSWORD).unwrap();
    world.run(&set("rotate"));
    // Wallets that are secrets by themselves: the URL is a password, and so is the archive.
    let url = at.oci.read_url(BUCKET, OBJECT, SignedDuration::from_hours(1)).unwrap();
    world.scanner.text("the URL of the wallet", url.split('/').nth(4).unwrap());
    let archive = general_purpose::STANDARD.encode(&at.wallet_zip);
    let password = format!("file:{}", at.path("wallet-password").display());
    for (name, value) in [("WALLET_URL", &url), ("WALLET", &archive)] {
        at.configure_wallet("", &format!("env:{name}"), Some(&password)).unwrap();
        for command in ["check", "rotate", "verify"] {
            world.run_with(&set(command), &["json"], &[(name, value)]);
        }
        // As it is when the URL is no longer good, or the archive is cut off.
        let short = value.get(..value.len() - 8).unwrap();
        world.run_with(&set("check"), &["json"], &[(name, short)]);
    }
    at.configure("").unwrap();
    world.run_in_both_forms(&["--yes", "revoke", SET]);
    for verb in ["verify", "show", "export", "heartbeat"] {
        world.run(&["audit", verb]);
    }
    world.run(&["audit", "report", "--max-age", "1d"]);
    assert!(world.exits.values().any(|exit| exit.contains(&Some(0))), "{:?}", world.exits);
    for command in ["audit", "init", "check", "plan", "prepare", "recover", "revoke", "rotate", "status", "verify"] {
        let exits = &world.exits[command];
        assert!(exits.contains(&Some(0)), "{command} has succeeded: {exits:?}");
    }
    for command in ["check", "plan", "rotate", "verify"] {
        let exits = &world.exits[command];
        assert!(exits.iter().any(|exit| *exit != Some(0)), "{command} has failed: {exits:?}");
    }

    let World { scanner, mut places, samples, .. } = world;
    let (forms, kinds) = scanner.size();
    assert!(kinds >= 9 && forms > 200, "{forms} forms of {kinds} kinds");
    assert!(samples > 20, "processes were looked at {samples} times");
    let log = at.postgres.log_text().unwrap();
    places.push(("the PostgreSQL server's log".to_owned(), log.as_bytes()[told_before..].to_vec()));
    places.push(("the Oracle server's log".to_owned(), at.oracle.log_text().into_bytes()));
    // The URL of the wallet is called, of course; no other call has it.
    let calls = at.oci.log().into_iter().filter(|call| !call.target.starts_with("/p/"));
    let calls: String = calls.map(|call| format!("{} {} {}\n", call.method, call.target, call.subject)).collect();
    places.push(("what OCI was called with".to_owned(), calls.into_bytes()));
    let calls = serde_json::to_vec(&at.moto.calls(None).unwrap()).unwrap();
    places.push(("what AWS was called with".to_owned(), calls));
    for (place, content) in &places {
        assert!(content.len() > 100, "{place} says something");
    }
    files(&at.path("."), &GIVEN, &mut places);
    for expected in ["journal/orders.json", "audit/v1/orders/", "audit-copy/v1/orders/", "output"] {
        assert!(places.iter().any(|(place, _)| place.contains(expected)), "{expected} is searched");
    }
    places.push(("what is new among temporary files".to_owned(), temporary(&before)));
    let bytes: usize = places.iter().map(|(_, content)| content.len()).sum();
    println!(
        "{} places, {bytes} bytes, {forms} forms of {kinds} kinds of secrets, {samples} looks at processes",
        places.len()
    );
    for (place, content) in &places {
        assert_eq!(scanner.proven_on(place, content), BTreeSet::new(), "{place} holds a secret");
    }
    assert!(!at.path("tls-keys").exists(), "no session keys for whoever records the traffic");
}

/// The installation, what is looked for, and what was seen.
struct World<'a> {
    at: &'a TwoClouds,
    scanner: Scanner,
    places: Vec<(String, Vec<u8>)>,
    /// How each command ended.
    exits: BTreeMap<String, BTreeSet<Option<i32>>>,
    /// Looks at `/proc/PID`.
    samples: usize,
}

impl<'a> World<'a> {
    fn new(at: &'a TwoClouds) -> Self {
        let mut scanner = Scanner::default();
        scanner.text("the AWS secret key", AWS_SECRET_KEY);
        scanner.text("the AWS session token", AWS_SESSION_TOKEN);
        scanner.text("the wallet's password", WALLET_PASSWORD);
        let key = fs::read_to_string(at.path("audit-key")).unwrap();
        scanner.text("the audit key", key.trim().rsplit(':').next().unwrap());
        for (kind, file) in
            [("PostgreSQL's administrator", "pg-admin.json"), ("Oracle's administrator", "ora-admin.json")]
        {
            let login: Value = serde_json::from_slice(&fs::read(at.path(file)).unwrap()).unwrap();
            scanner.text(kind, login["password"].as_str().unwrap());
        }
        let wallet = fs::read_to_string(at.path("wallet/ewallet.pem")).unwrap();
        scanner.long("the wallet's key, encrypted", body(&wallet, "ENCRYPTED PRIVATE KEY").as_bytes());
        scanner.long("the wallet's key", &decrypted(&wallet));
        scanner.long("the wallet", &at.wallet_zip);
        let api_key = fs::read_to_string(at.path("oci_api_key.pem")).unwrap();
        scanner.long("the OCI API key, as text", body(&api_key, "PRIVATE KEY").as_bytes());
        scanner.long("the OCI API key", &der(&api_key, "PRIVATE KEY"));
        fs::create_dir(at.path("output")).unwrap();
        fs::create_dir(at.path("tmp")).unwrap();
        Self { at, scanner, places: Vec::new(), exits: BTreeMap::new(), samples: 0 }
    }

    fn run(&mut self, args: &[&str]) {
        self.run_with(args, &["json"], &[]);
    }

    fn run_in_both_forms(&mut self, args: &[&str]) {
        self.run_with(args, &["json", "text"], &[]);
    }

    /// Runs a command in these forms of output, looks at its process all the while, and remembers what it said.
    fn run_with(&mut self, args: &[&str], forms: &[&str], env: &[(&str, &str)]) {
        for form in forms {
            let name = format!("{} {}, {form}", self.places.len(), args.join(" "));
            let [out, err] =
                ["out", "err"].map(|stream| self.at.path(&format!("output/{}-{stream}", self.places.len())));
            let mut command = self.at.command(&["-vvv", "--output", form]);
            command.args(args).envs(env.iter().copied()).envs([
                ("AWS_SECRET_ACCESS_KEY", AWS_SECRET_KEY),
                ("AWS_SESSION_TOKEN", AWS_SESSION_TOKEN),
                // Whatever may make a library talk.
                ("RUST_LOG", "trace"),
                ("RUST_BACKTRACE", "full"),
                ("RUST_LIB_BACKTRACE", "1"),
            ]);
            command.env("SSLKEYLOGFILE", self.at.path("tls-keys")).env("TMPDIR", self.at.path("tmp"));
            let seen = self.watch(&mut command, &out, &err, args);
            self.samples += seen.len();
            let mut said = seen.concat();
            said.extend(fs::read(&out).unwrap());
            said.extend(fs::read(&err).unwrap());
            said.extend(name.as_bytes().repeat(100));
            self.places.push((name, said));
            self.learn();
        }
    }

    /// Runs a command to its end. Returns its arguments and its environment, as they were seen once it had begun to speak: its
    /// first statement takes the secrets out, and only then can it say anything.
    fn watch(&mut self, command: &mut Command, out: &Path, err: &Path, args: &[&str]) -> Vec<Vec<u8>> {
        let streams = [out, err].map(|path| Stdio::from(File::create(path).unwrap()));
        let [out, err_stream] = streams;
        let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err_stream).spawn().unwrap();
        let mut seen = Vec::new();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if fs::metadata(err).unwrap().len() > 0 {
                // Only root may look at the environment, and not in every container; a process that has just ended shows nothing.
                let look = |file: &str| fs::read(format!("/proc/{}/{file}", child.id())).unwrap_or_default();
                seen.push([look("cmdline"), look("environ")].concat());
            }
            thread::sleep(Duration::from_millis(20));
        };
        let name = args.iter().find(|arg| !arg.starts_with('-')).unwrap();
        self.exits.entry((*name).to_owned()).or_default().insert(status.code());
        seen
    }

    /// Every password that any version of either store shows.
    fn learn(&mut self) {
        for label in ["CURRENT", "PENDING", "PREVIOUS"] {
            for published in self.at.staged(label).unwrap().into_iter().flatten() {
                for (database, kind) in [(POSTGRES, "a PostgreSQL password"), (ORACLE, "an Oracle password")] {
                    if let Some((_, password)) = published.credential(database) {
                        self.scanner.text(kind, &password);
                    }
                }
            }
        }
    }
}

/// The lines between a PEM's markers, together.
fn body(pem: &str, label: &str) -> String {
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----")).unwrap();
    let (inside, _) = rest.split_once(&format!("-----END {label}-----")).unwrap();
    inside.split_whitespace().collect()
}

fn der(pem: &str, label: &str) -> Vec<u8> {
    general_purpose::STANDARD.decode(body(pem, label)).unwrap()
}

fn decrypted(wallet: &str) -> Vec<u8> {
    let der = der(wallet, "ENCRYPTED PRIVATE KEY");
    let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).unwrap();
    encrypted.decrypt(WALLET_PASSWORD).unwrap().as_bytes().to_vec()
}

/// The files that are new in the machine's temporary folder. The product is given another one, so only what names this one by itself
/// could write here; other programs do too, and are read as far as there is room.
fn temporary(before: &BTreeSet<String>) -> Vec<u8> {
    let mut all = b"nothing is as good as something; ".repeat(4);
    for name in listed(&std::env::temp_dir()).difference(before) {
        // Folders of this kind belong to tests that run at the same time, and to this one.
        if !name.starts_with(".tmp") {
            let mut found = Vec::new();
            files(&std::env::temp_dir().join(name), &[], &mut found);
            all.extend(found.into_iter().flat_map(|(_, content)| content).take(MOST_OF_ONE));
        }
    }
    all
}

/// The names in a folder.
fn listed(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Every file below a path, but those named at its top. What vanishes meanwhile or may not be read belongs to somebody else.
fn files(path: &PathBuf, but: &[&str], found: &mut Vec<(String, Vec<u8>)>) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if metadata.is_dir() {
        for name in fs::read_dir(path).map(|_| listed(path)).unwrap_or_default() {
            if !but.contains(&name.as_str()) {
                files(&path.join(name), &[], found);
            }
        }
    } else if metadata.is_file() && metadata.len() <= LARGEST_FILE {
        found.push((path.display().to_string(), fs::read(path).unwrap_or_default()));
    }
}
