//! The judge of both clouds: a Python process with the vendors' own clients, asked one thing at a time.
//!
//! `python/judge.py` says what it can be asked. What it answers is the caller's business; what it cannot answer is an error.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::Moto;

/// A running judge. Dropping it ends it.
#[derive(Debug)]
pub struct Judge {
    child: Child,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Judge {
    /// Starts the judge: AWS is moto; OCI is where `endpoints` say, with the identity in the file.
    ///
    /// # Errors
    /// If the Python environment lacks something (`make deps` makes it).
    pub fn start(moto: &Moto, oci_config: &Path, endpoints: &[(String, String)]) -> Result<Self> {
        let endpoints: serde_json::Map<String, Value> =
            endpoints.iter().map(|(name, url)| (name.clone(), Value::String(url.clone()))).collect();
        let settings = json!({"oci_config": oci_config, "endpoints": endpoints});
        let mut child = Command::new(moto.python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/judge.py"))
            .arg(settings.to_string())
            .env_clear()
            .envs(moto.env())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the judge")?;
        let stdin = child.stdin.take().context("the judge has no standard input")?;
        let stdout = child.stdout.take().context("the judge has no standard output")?;
        Ok(Self { child, talk: Mutex::new((stdin, BufReader::new(stdout))) })
    }

    /// Asks; the request names what is asked for in `ask`, and its arguments.
    ///
    /// # Errors
    /// If the judge has ended, or what was asked could not be done: the kind of the vendor's error.
    pub fn ask(&self, request: &Value) -> Result<Value> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *talk;
        writeln!(stdin, "{request}").context("ask the judge")?;
        let mut line = String::new();
        stdout.read_line(&mut line).context("hear the judge")?;
        let answer: Value =
            serde_json::from_str(&line).context("the judge has ended; if it lacks a package: make deps")?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => bail!("{}: {error}", request.get("ask").and_then(Value::as_str).unwrap_or_default()),
            None => Ok(answer),
        }
    }

    /// Whether a login worked.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn is_in(&self, request: &Value) -> Result<bool> {
        let answer = self.ask(request)?;
        answer.get("in").and_then(Value::as_bool).context("the judge does not say")
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
