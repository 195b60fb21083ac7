//! Runs Oracle's SDK of the sandbox's Python environment against an emulator.

#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, in which a panic is the message")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use dizzy_sandbox_oci::{
    COMPARTMENT, KeyFormat, MASTER_KEY, NAMESPACE, OciEmulator, Options, Principal, Rights, SecretOptions, VAULT,
};

pub(crate) mod raw;

/// An emulator, a folder with a configuration, and the facts that scripts are told.
pub(crate) struct Scene {
    pub(crate) emulator: OciEmulator,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) user: Principal,
    env: Vec<(String, String)>,
}

impl Scene {
    /// A user who may do everything.
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), Rights::all())
    }

    /// A user with these rights.
    pub(crate) fn with(options: Options, rights: Rights) -> Self {
        let emulator = OciEmulator::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let user = emulator.principal("tester", rights).unwrap();
        let files = user.write_config(folder.path(), KeyFormat::Pkcs8).unwrap();
        let mut env = emulator.endpoint_env();
        let facts =
            [("COMPARTMENT", COMPARTMENT), ("VAULT", VAULT), ("MASTER_KEY", MASTER_KEY), ("NAMESPACE", NAMESPACE)];
        env.extend(facts.map(|(name, value)| (name.to_owned(), value.to_owned())));
        env.push(("OCI_CONFIG_FILE".to_owned(), files.config.display().to_string()));
        Self { emulator, folder, user, env }
    }

    /// A secret `orders` whose CURRENT version is `first`; scripts know it as SECRET.
    pub(crate) fn with_secret(self) -> (Self, String) {
        self.with_this_secret(&SecretOptions::new("orders", "first"))
    }

    /// As [`with_secret`](Self::with_secret), with rules or another content.
    pub(crate) fn with_this_secret(mut self, options: &SecretOptions) -> (Self, String) {
        let secret = self.emulator.create_secret(options).unwrap();
        self.tell("SECRET", &secret);
        (self, secret)
    }

    /// One more fact for scripts; the last of a name counts.
    pub(crate) fn tell(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a case of a script, which must succeed.
    pub(crate) fn sdk(&self, script: &str, case: &str) {
        let output = Command::new(python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(script))
            .arg(case)
            .env_clear()
            .envs(self.env.iter().cloned())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OCI_PYTHON_SDK_NO_SERVICE_IMPORTS", "false")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let log = self.emulator.log();
        let last: Vec<String> = log.iter().rev().take(5).rev().map(|entry| format!("{entry:?}")).collect();
        assert!(
            output.status.success() && output.stdout == b"ok\n",
            "{script} {case}: {}\n{}\nthe last requests:\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            last.join("\n")
        );
    }
}

/// The Python that `scripts/venv` made: where `DIZZY_VENV` says, else beside the build folder of the running test.
fn python() -> PathBuf {
    let named = std::env::var_os("DIZZY_VENV").map(PathBuf::from);
    let exe = std::env::current_exe().unwrap();
    let beside = exe.ancestors().map(|folder| folder.join("venv"));
    named
        .into_iter()
        .chain(beside)
        .find(|venv| venv.join("dizzy-stamp").is_file())
        .expect("the sandbox's Python environment is missing; run: make deps")
        .join("bin/python")
}
