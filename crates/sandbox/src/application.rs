//! An application that logs in all the time with what is published: a process of its own with an ordinary client.
//!
//! `python/application.py` is the application. Here its log is read while it runs: who waits for logins waits for lines, not for time.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{Installation, Moto};

/// Longest wait for logins that have to come: a login takes some ten milliseconds, on a loaded machine some hundred.
const PATIENCE: Duration = Duration::from_secs(60);

/// One login that the application tried.
#[derive(Clone, Debug)]
pub struct LoginTried {
    /// Whether it was in, and the server saw the published user.
    pub ok: bool,
    /// The secret it read.
    pub secret: String,
    /// The database it went to.
    pub database: String,
    /// The user that was published; none if the secret could not be read.
    pub user: Option<String>,
    /// What went wrong: the kind of error, never its text.
    pub why: Option<String>,
    /// When it began, in seconds since 1970.
    pub at: f64,
    /// From the read of the secret to the server's answer, in milliseconds.
    pub ms: f64,
    /// The connection alone (TCP, TLS, login), in milliseconds.
    pub connect_ms: Option<f64>,
}

/// A running application. Dropping it ends it.
#[derive(Debug)]
pub struct Application {
    child: Child,
    // Closing this ends the application, also when this process is killed.
    alive: Option<ChildStdin>,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Log {
    seen: Mutex<Seen>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    logins: Vec<LoginTried>,
    over: bool,
}

impl Application {
    /// Starts the application against every secret and database of an installation in AWS, with this pause between two logins.
    ///
    /// # Errors
    /// If the Python environment lacks something (`make deps` makes it).
    pub fn start(at: &Installation, pause: Duration) -> Result<Self> {
        let databases: BTreeMap<&str, Value> = at
            .members
            .iter()
            .map(|member| {
                let authority = member.server.certificates().ca_file();
                (member.name.as_str(), json!({"engine": "postgres", "authority": authority}))
            })
            .collect();
        let secrets: Vec<Value> = at.secrets.iter().map(|id| json!({"store": "aws", "id": id})).collect();
        Self::consuming(&at.moto, &json!({"secrets": secrets, "databases": databases, "pause": pause.as_secs_f64()}))
    }

    /// Starts the application with the settings that `python/application.py` describes.
    ///
    /// # Errors
    /// If the Python environment lacks something (`make deps` makes it).
    pub fn consuming(moto: &Moto, settings: &Value) -> Result<Self> {
        let mut child = Command::new(moto.python())
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/application.py"))
            .arg(settings.to_string())
            .env_clear()
            .envs(moto.env())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // A group of its own: an interrupt at the terminal ends it through its input, without a traceback.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the application")?;
        let alive = child.stdin.take();
        let stdout = child.stdout.take().context("the application has no standard output")?;
        let log = Arc::new(Log::default());
        let reader = {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    let Some(login) = line.ok().as_deref().and_then(login) else { break };
                    log.seen().logins.push(login);
                    log.news.notify_all();
                }
                log.seen().over = true;
                log.news.notify_all();
            })
        };
        Ok(Self { child, alive, log, reader: Some(reader) })
    }

    /// How many logins have been tried so far.
    #[must_use]
    pub fn tried(&self) -> usize {
        self.log.seen().logins.len()
    }

    /// The logins from number `from` up to but excluding `to`.
    #[must_use]
    pub fn logins(&self, from: usize, to: usize) -> Vec<LoginTried> {
        self.log.seen().logins.get(from..to).unwrap_or_default().to_vec()
    }

    /// Waits until `count` logins have been tried in all. Whether they worked is the caller's business.
    ///
    /// # Errors
    /// If the application has ended, or tries too few within a minute.
    pub fn wait_for(&self, count: usize) -> Result<()> {
        let waited =
            self.log.news.wait_timeout_while(self.log.seen(), PATIENCE, |seen| !seen.over && seen.logins.len() < count);
        let (seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if seen.logins.len() >= count {
            return Ok(());
        }
        ensure!(!seen.over, "the application has ended by itself; if it lacks psycopg: make deps");
        bail!("the application tried {} logins within {PATIENCE:?}, not {count}", seen.logins.len());
    }

    /// Ends the application and returns every login it tried.
    ///
    /// # Errors
    /// If it did not end well.
    pub fn end(mut self) -> Result<Vec<LoginTried>> {
        drop(self.alive.take());
        let status = self.child.wait().context("wait for the application")?;
        if let Some(reader) = self.reader.take() {
            ensure!(reader.join().is_ok(), "the application's log could not be read");
        }
        ensure!(status.success(), "the application ended with {status}");
        Ok(std::mem::take(&mut self.log.seen().logins))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Log {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn login(line: &str) -> Option<LoginTried> {
    let line: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| line.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(LoginTried {
        ok: line.get("ok")?.as_bool()?,
        secret: text("secret")?,
        database: text("database")?,
        user: text("user"),
        why: text("why"),
        at: line.get("at")?.as_f64()?,
        ms: line.get("ms")?.as_f64()?,
        connect_ms: line.get("connect_ms").and_then(Value::as_f64),
    })
}
