//! Runs the vendor's own clients against an emulator.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::disallowed_methods, reason = "files of a test need not survive a crash")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use dizzy_sandbox_oracle::{Account, Listener, Options, OracleEmulator, Profile};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A password that every rule here likes.
pub(crate) const FIRST: &str = "First_password_1";
/// Another one.
pub(crate) const SECOND: &str = "Second_password_2";
/// And a third.
pub(crate) const THIRD: &str = "Third_password_3";
/// The administrator's.
pub(crate) const ADMIN: &str = "Admin_password_9";

/// Options with an administrator ADMIN and users APP and OTHER. APP's profile is as Autonomous Database has it, OTHER's rolls over.
pub(crate) fn options() -> Options {
    Options {
        profiles: vec![
            ("ROLLING".to_owned(), Profile::autonomous().with_rollover(dizzy_sandbox_oracle::DAY)),
            ("CLASSIC".to_owned(), Profile::classic()),
        ],
        accounts: vec![
            Account::new("admin", ADMIN).with_profile("CLASSIC").administrator(),
            Account::new("app", FIRST),
            Account::new("other", FIRST).with_profile("ROLLING"),
        ],
        ..Options::default()
    }
}

/// An emulator with [`options`].
pub(crate) fn emulator() -> OracleEmulator {
    OracleEmulator::start(options()).expect("the emulator starts")
}

/// The connect descriptor of the listener without TLS.
pub(crate) fn plain(emulator: &OracleEmulator) -> String {
    emulator.descriptor(Listener::Tcp)
}

/// Runs steps with python-oracledb (`tests/python/steps.py` says which there are) and returns what each came to.
pub(crate) fn steps(emulator: &OracleEmulator, steps: Value) -> Vec<Value> {
    steps_at(&json!({ "dsn": plain(emulator) }), steps)
}

/// The same, with other parameters of the connection.
pub(crate) fn steps_at(connect: &Value, steps: Value) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/steps.py");
    let output = Command::new(venv().join("bin/python"))
        .arg(&script)
        .arg(json!({ "connect": connect, "steps": steps }).to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the client failed: {errors}");
    serde_json::from_slice(&output.stdout).expect("the client prints JSON")
}

/// A folder with an ewallet.pem of these parts.
pub(crate) fn wallet(parts: &[String]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("ewallet.pem"), parts.concat()).expect("the wallet is written");
    folder
}

/// The Python environment of the sandbox, which `make deps` makes.
fn venv() -> PathBuf {
    let exe = std::env::current_exe().expect("a test has a program");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let named = std::env::var_os("DIZZY_VENV").map(PathBuf::from);
    let places = exe.ancestors().map(Path::to_owned).chain([workspace]).map(|place| place.join("venv"));
    let mut places = named.into_iter().chain(places);
    places.find(|folder| folder.join("dizzy-stamp").is_file()).expect("the Python environment is there; run: make deps")
}

/// Writes a file of a test.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file is written");
}
