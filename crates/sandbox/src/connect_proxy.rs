//! A proxy of a company, and the internet behind it: an HTTP proxy in Python (`python/connect_proxy.py`) that says which tunnels it was asked
//! for, and plays hosts of the clouds with what listens on this machine.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{Certificates, moto::python};

/// A proxy. Dropping it ends the process.
#[derive(Debug)]
pub struct ConnectProxy {
    child: Child,
    // Closing this is what ends the proxy when the parent is killed; held only for that.
    _alive: ChildStdin,
    port: u16,
    asked: Arc<Asked>,
}

#[derive(Debug, Default)]
struct Asked {
    all: Mutex<Vec<Value>>,
    more: Condvar,
}

/// Longer than what a run has asked for is ever waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a proxy treats who asks it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// It connects.
    Open,
    /// It connects for this `USER:PASSWORD`.
    Asks(&'static str),
    /// It answers with this status.
    Refuses(u16),
}

impl ConnectProxy {
    /// Starts one that plays these hosts: by plain HTTP on a port of loopback, behind TLS with the certificate for clouds.
    ///
    /// # Errors
    /// If the Python environment is missing or the proxy does not start.
    pub fn start(certificates: &Certificates, manner: Manner, hosts: &[(&str, u16)]) -> Result<Self> {
        let (certificate, key) = certificates.clouds_files();
        let (credentials, refuse) = match manner {
            Manner::Open => ("", String::new()),
            Manner::Asks(credentials) => (credentials, String::new()),
            Manner::Refuses(status) => ("", status.to_string()),
        };
        let mut child = Command::new(python()?)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/connect_proxy.py"))
            .args([&certificate, &key])
            .args([credentials, &refuse])
            .args(hosts.iter().map(|(host, port)| format!("{host}={port}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the proxy")?;
        let alive = child.stdin.take().context("the proxy has no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("the proxy has no standard output")?).lines();
        let port = lines.next().context("the proxy did not start")??.parse().context("the proxy's port")?;
        let asked = Arc::<Asked>::default();
        let filled = Arc::clone(&asked);
        thread::spawn(move || {
            for request in lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()) {
                filled.all.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                filled.more.notify_all();
            }
        });
        Ok(Self { child, _alive: alive, port, asked })
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it was asked for, and with which status it has answered, as soon as there is so much: `CONNECT HOST:PORT STATUS`.
    #[must_use]
    pub fn asked(&self, at_least: usize) -> Vec<String> {
        let all = self.asked.all.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.asked.more.wait_timeout_while(all, PATIENCE, |all| all.len() < at_least);
        let all = waited.unwrap_or_else(PoisonError::into_inner).0;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.iter().map(|one| format!("{} {} {}", text(&one["method"]), text(&one["target"]), one["status"])).collect()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
