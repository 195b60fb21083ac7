//! The emulator of `cargo-lambda`, as its package on PyPI brings it: a Runtime API and an Invoke API that this project had no part in.
//!
//! It serves functions by the names of a project's programs, so it is started in an empty project that has one of that name. The
//! deadline that it tells is ten minutes after the beginning of 1970 (seen with 1.9.2).

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::moto;

/// The one function.
const FUNCTION: &str = "dizzy-keys";
/// How often a free port is tried: somebody else may take it between our look and the emulator's start.
const PORT_TRIES: u32 = 5;
/// Looks at a starting emulator: generous, because a loaded machine is not a failed test.
const START_LOOKS: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// A running emulator. Dropping it ends it.
#[derive(Debug)]
pub struct CargoLambda {
    child: Child,
    folder: tempfile::TempDir,
    program: PathBuf,
    port: u16,
}

impl CargoLambda {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If it is not installed (`make deps` installs it) or does not start.
    pub fn start() -> Result<Self> {
        let program = moto::python()?.with_file_name("cargo-lambda");
        let folder = tempfile::tempdir().context("make a folder")?;
        let manifest = format!("[package]\nname = \"{FUNCTION}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
        fs::create_dir(folder.path().join("src"))?;
        File::create(folder.path().join("src/main.rs"))?.write_all(b"fn main() {}\n").context("write a program")?;
        File::create(folder.path().join("Cargo.toml"))?.write_all(manifest.as_bytes()).context("write a project")?;
        let mut failure = String::new();
        for _ in 0..PORT_TRIES {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let mut log = tempfile::tempfile().context("no temporary file for the emulator's messages")?;
            let mut child = Command::new(&program)
                .args(["lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port"])
                .arg(port.to_string())
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .spawn()
                .with_context(|| format!("cannot start {}; run: make deps", program.display()))?;
            if answers(&mut child, port)? {
                return Ok(Self { child, folder, program, port });
            }
            child.kill().ok();
            child.wait().ok();
            log.rewind()?;
            failure.clear();
            log.read_to_string(&mut failure)?;
        }
        bail!("cargo-lambda does not start: {}", failure.lines().last().unwrap_or("no message"))
    }

    /// What a function's environment has to say.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        let api = format!("127.0.0.1:{}/.rt/{FUNCTION}", self.port);
        vec![
            ("AWS_LAMBDA_RUNTIME_API".to_owned(), api),
            ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), FUNCTION.to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION".to_owned(), "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), "128".to_owned()),
        ]
    }

    /// Invokes the function with the emulator's own command line.
    ///
    /// # Errors
    /// If that cannot be started; what it says and how it exits is the caller's business.
    pub fn invoke(&self, event: &str) -> Result<Output> {
        Command::new(&self.program)
            .args(["lambda", "invoke", FUNCTION, "--invoke-address", "127.0.0.1", "--invoke-port"])
            .arg(self.port.to_string())
            .args(["--data-ascii", event])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .context("invoke by cargo-lambda")
    }
}

impl Drop for CargoLambda {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Whether it listens before it ends.
fn answers(child: &mut Child, port: u16) -> Result<bool> {
    for _ in 0..START_LOOKS {
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(true);
        }
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        thread::sleep(PAUSE);
    }
    Ok(false)
}
