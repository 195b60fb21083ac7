//! Somebody who takes webhooks: an HTTPS server that is Python's own (`python/receiver.py`), with what it was sent.

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

use crate::{Certificates, certs::ServerCertificate, moto::python};

/// A receiver. Dropping it ends the process.
#[derive(Debug)]
pub struct Receiver {
    child: Child,
    // Closing this is what ends the server when the parent is killed; held only for that.
    _alive: ChildStdin,
    port: u16,
    taken: Arc<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    requests: Mutex<Vec<Value>>,
    more: Condvar,
}

/// Longer than a receiver is ever waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Receiver {
    /// Starts one with this certificate, which answers with these statuses in turn, the last one for ever; `hang` is no answer.
    ///
    /// # Errors
    /// If the Python environment is missing or the server does not start.
    pub fn start(certificates: &Certificates, which: ServerCertificate, statuses: &[&str]) -> Result<Self> {
        let mut child = Command::new(python()?)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/receiver.py"))
            .arg(certificates.certificate_file(which))
            .arg(certificates.key_file(which))
            .args(statuses)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the receiver")?;
        let alive = child.stdin.take().context("the receiver has no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().context("the receiver has no standard output")?).lines();
        let port = lines.next().context("the receiver did not start")??.parse().context("the receiver's port")?;
        let taken = Arc::<Taken>::default();
        let filled = Arc::clone(&taken);
        thread::spawn(move || {
            for request in lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()) {
                filled.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
                filled.more.notify_all();
            }
        });
        Ok(Self { child, _alive: alive, port, taken })
    }

    /// `https://localhost:PORT/canary-webhook`: the URL is a secret.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}/canary-webhook", self.port)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Every request so far, as soon as there are this many.
    #[must_use]
    pub fn requests(&self, at_least: usize) -> Vec<Value> {
        let requests = self.taken.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.taken.more.wait_timeout_while(requests, PATIENCE, |requests| requests.len() < at_least);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
