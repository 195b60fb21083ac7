//! AWS for tests and the demo: moto's server, corrected to what AWS documents (`python/corrections.py`,
//! `python/objects.py`), with faults.
//!
//! One [`Moto`] is one process on a free loopback port; it dies with its parent, however that dies, because it watches the
//! pipe on its standard input. The AWS command line of the same Python environment serves as a second judge.

use core::{fmt::Write as _, time::Duration};
use std::{
    collections::BTreeSet,
    env,
    fs::File,
    io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

mod objects;

pub use objects::BucketKind;

/// A running moto server. Dropping it ends the process.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    // Closing this is what ends the server when the parent is killed; held only for that.
    _alive: ChildStdin,
    port: u16,
    tls_port: Option<u16>,
    venv: PathBuf,
}

/// What the next fitting calls meet instead of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mishap {
    /// Refused with this HTTP status and AWS error code, before any effect.
    Refuse(u16, &'static str),
    /// Refused with `ThrottlingException`.
    Throttle,
    /// The connection closes; nothing happened.
    DropBefore,
    /// It happens; the connection closes without an answer.
    DropAfter,
    /// Nothing happens, and no answer comes for as long as the client waits.
    Hang,
    /// It happens, and no answer comes for as long as the client waits.
    HangAfter,
    /// It happens only when [`Moto::release`] is called; no answer comes, whether the client still waits or not.
    Late,
}

/// A fault to inject: which call it hits, how often, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    operation: String,
    mishap: Mishap,
    secret: Option<String>,
    skip: u32,
    times: u32,
}

impl Fault {
    /// The next call of `operation` (`PutSecretValue`, `GetParameter`, ...) meets `mishap`.
    #[must_use]
    pub fn next(operation: &str, mishap: Mishap) -> Self {
        Self { operation: operation.to_owned(), mishap, secret: None, skip: 0, times: 1 }
    }

    /// Only calls for this secret, or for this object (`BUCKET/KEY`).
    #[must_use]
    pub fn on(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }

    /// Lets this many fitting calls pass first.
    #[must_use]
    pub const fn after(mut self, passed: u32) -> Self {
        self.skip = passed;
        self
    }

    /// Hits this many calls.
    #[must_use]
    pub const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

impl Moto {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If the Python environment is missing (`make deps` makes it) or the server does not start.
    pub fn start() -> Result<Self> {
        Self::start_on(0)
    }

    /// Starts a server on this port; 0 takes a free one.
    ///
    /// # Errors
    /// As [`start`](Self::start), and if the port is taken.
    pub fn start_on(port: u16) -> Result<Self> {
        Self::launch(port, &[])
    }

    /// Starts a server that answers over TLS as well, with the certificate and key in these files.
    ///
    /// # Errors
    /// As [`start`](Self::start), and if the files cannot be read.
    pub fn start_with_tls(certificate: &Path, key: &Path) -> Result<Self> {
        Self::launch(0, &[certificate, key])
    }

    fn launch(port: u16, tls: &[&Path]) -> Result<Self> {
        let venv = venv()?;
        let mut errors = tempfile::tempfile().context("no temporary file for the server's messages")?;
        let mut child = Command::new(venv.join("bin/python"))
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/moto_server.py"))
            .arg(port.to_string())
            .args(tls)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {}/bin/python", venv.display()))?;
        let alive = child.stdin.take().context("the server has no standard input")?;
        let stdout = child.stdout.take().context("the server has no standard output")?;
        // Blocks until the line is there or the process has ended; nothing else is ever written to this pipe.
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ports: Option<Vec<u16>> = line
            .trim_end()
            .strip_prefix("listening on ")
            .and_then(|ports| ports.split(' ').map(|port| port.parse().ok()).collect());
        let ports = ports.unwrap_or_default();
        let Some(port) = ports.first().copied() else {
            drop(alive);
            let status = child.wait()?;
            bail!("moto did not start ({status}): {}", tail(&mut errors));
        };
        Ok(Self { child, _alive: alive, port, tls_port: ports.get(1).copied(), venv })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `https://localhost:PORT`, if started with TLS.
    #[must_use]
    pub fn tls_endpoint(&self) -> Option<String> {
        self.tls_port.map(|port| format!("https://localhost:{port}"))
    }

    /// The Python of the sandbox's environment.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    /// The environment that points an AWS client here and away from everything else: endpoint, region, a key that opens
    /// nothing, no configuration files, no instance metadata.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.endpoint().as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// Runs the AWS command line against this server and reads its JSON answer (`null` where it prints nothing).
    ///
    /// # Errors
    /// If it fails; the message holds what it printed.
    pub fn aws(&self, args: &[&str]) -> Result<Value> {
        let output = Command::new(self.venv.join("bin/aws"))
            .args(args)
            .args(["--output", "json"])
            .env_clear()
            .envs(self.env())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .output()
            .context("cannot start the AWS command line")?;
        if !output.status.success() {
            bail!("aws {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        if output.stdout.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&output.stdout).context("the AWS command line printed no JSON")
    }

    /// One API call of a JSON service (`secretsmanager`, `sqs`, `ssm`), unsigned, from outside the product: for setting a scene.
    /// It is counted and meets faults like any other call.
    ///
    /// # Errors
    /// The AWS error code and message, if it fails.
    pub fn call(&self, service: &str, operation: &str, input: &Value) -> Result<Value> {
        let target = match service {
            "sqs" => "AmazonSQS",
            "ssm" => "AmazonSSM",
            other => other,
        };
        let headers = format!(
            "X-Amz-Target: {target}.{operation}\r\nContent-Type: application/x-amz-json-1.1\r\nAuthorization: \
             AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/20200101/{REGION}/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\n"
        );
        let (status, answer) = self.http("POST", "/", &headers, input.to_string().as_bytes())?;
        ensure!(status == 200, "{operation}: {}", answer.get("__type").and_then(Value::as_str).unwrap_or("failed"));
        Ok(answer)
    }

    /// Creates a secret with this text as its CURRENT version, and returns the version's id.
    ///
    /// # Errors
    /// If it exists already.
    pub fn create_secret(&self, name: &str, text: &str) -> Result<String> {
        let answer = self.call("secretsmanager", "CreateSecret", &json!({"Name": name, "SecretString": text}))?;
        text_at(&answer, "VersionId")
    }

    /// The text that consumers of the secret read.
    ///
    /// # Errors
    /// If there is none.
    pub fn current_text(&self, name: &str) -> Result<String> {
        let answer = self.call("secretsmanager", "GetSecretValue", &json!({"SecretId": name}))?;
        text_at(&answer, "SecretString")
    }

    /// Injects a fault. Faults are taken in the order in which they were injected.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn inject(&self, fault: &Fault) -> Result<()> {
        let mut fields = json!({
            "operation": fault.operation, "secret": fault.secret, "skip": fault.skip, "times": fault.times,
            "fault": match fault.mishap {
                Mishap::Refuse(..) => "refuse",
                Mishap::Throttle => "throttle",
                Mishap::DropBefore => "drop-before",
                Mishap::DropAfter => "drop-after",
                Mishap::Hang => "hang",
                Mishap::HangAfter => "hang-after",
                Mishap::Late => "late",
            },
        });
        if let (Mishap::Refuse(status, code), Some(fields)) = (fault.mishap, fields.as_object_mut()) {
            fields.insert("status".to_owned(), status.into());
            fields.insert("code".to_owned(), code.into());
        }
        self.hook("POST", "/dizzy/faults", &fields).map(drop)
    }

    /// Takes back every fault and says how many would still have hit something.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn clear_faults(&self) -> Result<u64> {
        count_at(&self.hook("DELETE", "/dizzy/faults", &Value::Null)?, "unused")
    }

    /// Waits until at least this many requests hang or are late.
    ///
    /// # Errors
    /// If that does not come about within two minutes.
    pub fn wait_until_held(&self, at_least: u64) -> Result<()> {
        let held = count_at(&self.hook("GET", &format!("/dizzy/held?at_least={at_least}"), &Value::Null)?, "held")?;
        ensure!(held >= at_least, "only {held} requests are held");
        Ok(())
    }

    /// Lets every late request happen; returns how many there were, when they have happened.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn release(&self) -> Result<u64> {
        count_at(&self.hook("POST", "/dizzy/release", &json!({}))?, "released")
    }

    /// The next `times` reads of this secret (values and labels) answer from the state before its last write.
    ///
    /// # Errors
    /// If the secret was never written.
    pub fn answer_stale(&self, secret: &str, times: u32) -> Result<()> {
        self.hook("POST", "/dizzy/stale", &json!({"secret": secret, "times": times})).map(drop)
    }

    /// Whether a version that loses its last label is deleted at once (the start value, and the harshest that AWS may
    /// do) or stays.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn keep_unlabelled(&self, kept: Unlabelled) -> Result<()> {
        self.hook("POST", "/dizzy/switches", &json!({"drop_unlabelled": kept == Unlabelled::Vanish})).map(drop)
    }

    /// From here on moto checks signatures and the rights of users and roles, as far as it can: for Secrets Manager and SSM
    /// the action, not the resource.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn check_signatures(&self) -> Result<()> {
        let (status, _) = self.http("POST", "/moto-api/reset-auth", "Content-Type: text/plain\r\n", b"0")?;
        ensure!(status == 200, "moto does not check signatures");
        Ok(())
    }

    /// From here on requests that are signed with this key id are allowed what the policy of IAM says, its conditions and resources
    /// included (`python/iam.py`), and denied everything else as AWS denies it. Forgets what was asked and denied before.
    ///
    /// # Errors
    /// If the text is no policy, or has something in it that is not emulated.
    pub fn allow_only(&self, key_id: &str, policy: &str) -> Result<()> {
        self.hook("POST", "/dizzy/policy", &json!({"key": key_id, "policy": policy})).map(drop)
    }

    /// The actions that were denied since [`Moto::allow_only`], with their resources.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn denied(&self) -> Result<Vec<String>> {
        let answer = self.hook("GET", "/dizzy/policy", &Value::Null)?;
        let denied = answer.get("denied").and_then(Value::as_array).context("no list in the answer")?;
        Ok(denied.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect())
    }

    /// The operations that were asked for under a policy since [`Moto::allow_only`], each with its action.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn asked(&self) -> Result<BTreeSet<(String, String)>> {
        let answer = self.hook("GET", "/dizzy/policy", &Value::Null)?;
        let asked = answer.get("asked").cloned().context("no list in the answer")?;
        serde_json::from_value(asked).context("the list cannot be read")
    }

    /// Marks the secret as managed by another service, as RDS does with its master secrets.
    ///
    /// # Errors
    /// If there is no such secret.
    pub fn set_owning_service(&self, secret: &str, service: &str) -> Result<()> {
        self.hook("POST", "/dizzy/owning-service", &json!({"secret": secret, "service": service})).map(drop)
    }

    /// Does what RotateSecret does before it calls a rotation function: an empty version with this id, labelled AWSPENDING.
    ///
    /// # Errors
    /// If there is no such secret, or an earlier rotation is pending.
    pub fn begin_rotation(&self, secret: &str, token: &str) -> Result<()> {
        self.hook("POST", "/dizzy/begin-rotation", &json!({"secret": secret, "token": token})).map(drop)
    }

    /// The versions of a secret: id, labels, and whether there is a value; unlabelled ones too.
    ///
    /// # Errors
    /// If there is no such secret.
    pub fn versions(&self, secret: &str) -> Result<Value> {
        let answer = self.hook("GET", &format!("/dizzy/versions?secret={secret}"), &Value::Null)?;
        answer.get("versions").cloned().context("no versions in the answer")
    }

    /// The log of calls for a secret (`None`: all): operation, status, fault, labels and ids, never a value.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn calls(&self, secret: Option<&str>) -> Result<Vec<Value>> {
        let answer = self.hook("GET", &with_secret("/dizzy/calls", secret), &Value::Null)?;
        answer.get("calls").and_then(Value::as_array).cloned().context("no calls in the answer")
    }

    /// Number of calls per operation for a secret (`None`: all).
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn counts(&self, secret: Option<&str>) -> Result<Value> {
        let answer = self.hook("GET", &with_secret("/dizzy/counts", secret), &Value::Null)?;
        answer.get("counts").cloned().context("no counts in the answer")
    }

    /// Empties the log of calls.
    ///
    /// # Errors
    /// If the server cannot be reached.
    pub fn forget_calls(&self) -> Result<()> {
        self.hook("DELETE", "/dizzy/calls", &Value::Null).map(drop)
    }

    fn hook(&self, method: &str, path: &str, fields: &Value) -> Result<Value> {
        let body = if fields.is_null() { Vec::new() } else { fields.to_string().into_bytes() };
        let (status, answer) = self.http(method, path, "", &body)?;
        ensure!(status == 200, "{path}: {}", answer.get("error").and_then(Value::as_str).unwrap_or("failed"));
        Ok(answer)
    }

    fn http(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, Value)> {
        let (status, body) = self.exchange(method, path, headers, body)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    fn exchange(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).context("moto is gone")?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let mut head = String::new();
        write!(head, "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{headers}", self.port)?;
        write!(head, "Content-Length: {}\r\n\r\n", body.len())?;
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = BufReader::new(stream);
        let mut line = String::new();
        answer.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| anyhow!("{method} {path}: no answer"))?;
        let mut length = 0;
        loop {
            line.clear();
            answer.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body)?;
        Ok((status, body))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What becomes of a version without a label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unlabelled {
    /// It is deleted at once.
    Vanish,
    /// It stays, and can be read by its id.
    Stay,
}

/// The region of everything in the sandbox.
pub const REGION: &str = "us-west-2";
/// The key id that [`Moto::env`] sets; it opens nothing.
pub const ACCESS_KEY_ID: &str = "AKIASANDBOX000000000";
/// The secret key that [`Moto::env`] sets; it opens nothing.
pub const SECRET_ACCESS_KEY: &str = "sandbox-secret-key-that-opens-nothing";

/// Longer than the server holds any request, so that this side never gives up first.
const ANSWER_LIMIT: Duration = Duration::from_secs(150);

/// The Python of the tests' environment, with the vendors' clients in it.
///
/// # Errors
/// If it is missing (`make deps` makes it).
pub fn python() -> Result<PathBuf> {
    Ok(venv()?.join("bin/python"))
}

/// Finds the Python environment that `scripts/venv` makes: where `DIZZY_VENV` says, else beside the running program's
/// build folder, else in the build folder that cargo names or defaults to.
fn venv() -> Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "test equipment; scripts/venv reads the same two variables")]
    let (named, build) = (env::var("DIZZY_VENV"), env::var("CARGO_TARGET_DIR"));
    if let Ok(named) = named {
        return made(PathBuf::from(&named))
            .ok_or_else(|| anyhow!("DIZZY_VENV names {named}, which scripts/venv has not made; run: make deps"));
    }
    let exe = env::current_exe()?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let places = exe.ancestors().map(Path::to_owned).chain(build.ok().map(PathBuf::from)).chain([workspace]);
    places
        .map(|place| place.join("venv"))
        .find_map(made)
        .context("the sandbox's Python environment (moto, the AWS command line) is missing; run: make deps")
}

/// The folder, if `scripts/venv` has finished with it.
fn made(folder: PathBuf) -> Option<PathBuf> {
    folder.join("dizzy-stamp").is_file().then_some(folder)
}

fn with_secret(path: &str, secret: Option<&str>) -> String {
    secret.map_or_else(|| path.to_owned(), |secret| format!("{path}?secret={secret}"))
}

fn text_at(answer: &Value, field: &str) -> Result<String> {
    let text = answer.get(field).and_then(Value::as_str);
    text.map(str::to_owned).ok_or_else(|| anyhow!("no {field} in the answer"))
}

fn count_at(answer: &Value, field: &str) -> Result<u64> {
    answer.get(field).and_then(Value::as_u64).ok_or_else(|| anyhow!("no {field} in the answer"))
}

/// The end of what the server wrote to its standard error.
fn tail(errors: &mut File) -> String {
    let mut text = String::new();
    if errors.rewind().and_then(|()| errors.read_to_string(&mut text)).is_err() {
        return "no message".to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" | ")
}
