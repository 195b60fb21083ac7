//! A gate for plain HTTP: it reads whole requests, and passes them on and the answers back as they are.
//!
//! Signatures stay good, because nothing of a request is changed. Answers to questions are remembered, so that an old one can be given
//! once. Plain threads, one per connection.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{Deed, Gates, Refusal};

/// Whose errors a refusal looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HttpService {
    /// AWS: XML for S3, JSON for the rest.
    Aws,
    /// OCI.
    Oci,
}

/// A request, as the closure that names it sees it.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `x-amz-target`, if it has one.
    pub operation: String,
    /// The body.
    pub body: Vec<u8>,
    /// Everything as it came.
    bytes: Vec<u8>,
}

impl HttpCall {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_question(&self) -> bool {
        let verb = self.operation.rsplit('.').next().unwrap_or_default();
        if self.operation.is_empty() {
            matches!(self.method.as_str(), "GET" | "HEAD")
        } else {
            ["Get", "Describe", "List", "BatchGet"].iter().any(|start| verb.starts_with(start))
        }
    }

    fn question(&self) -> String {
        format!("{} {} {} {}", self.method, self.target, self.operation, String::from_utf8_lossy(&self.body))
    }
}

/// What names a call (`None`: it passes unnamed), and what hears that it was answered with this status.
pub trait Namer: Send + Sync {
    /// The name of a call.
    fn name(&self, call: &HttpCall) -> Option<String>;
    /// A call has happened.
    fn answered(&self, call: &HttpCall, status: u16);
}

/// A gate in front of one server on this machine. Dropping it ends every connection.
#[derive(Debug)]
pub struct HttpGate {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    shut: Arc<AtomicBool>,
    memory: Arc<Mutex<Memory>>,
}

struct Shared {
    upstream: String,
    service: HttpService,
    gates: Arc<Gates>,
    namer: Arc<dyn Namer>,
    memory: Arc<Mutex<Memory>>,
    shut: Arc<AtomicBool>,
}

/// Answers to questions, so that an old one can be given.
#[derive(Debug, Default)]
struct Memory {
    latest: BTreeMap<String, Vec<u8>>,
    old: BTreeMap<String, Vec<u8>>,
    /// The next question that has an old answer gets it.
    is_due: bool,
}

impl HttpGate {
    /// Starts a gate before `endpoint` (`http://127.0.0.1:PORT`).
    ///
    /// # Errors
    /// If no port can be had.
    pub fn start(endpoint: &str, service: HttpService, gates: &Arc<Gates>, namer: Arc<dyn Namer>) -> Result<Self> {
        let upstream = endpoint.strip_prefix("http://").context("a gate is for plain HTTP")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on a free port")?;
        let address = listener.local_addr().context("read the gate's port")?;
        let (stopping, shut) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let gates = Arc::clone(gates);
        let memory = Arc::<Mutex<Memory>>::default();
        let (remembered, closed) = (Arc::clone(&memory), Arc::clone(&shut));
        let shared = Arc::new(Shared { upstream, service, gates, namer, memory: remembered, shut: closed });
        let stop = Arc::clone(&stopping);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // An error means that one of the two sides left.
                thread::spawn(move || converse(&shared, &client).ok());
            }
        });
        Ok(Self { address, stopping, shut, memory })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether an old answer is still to be given; after this, none is.
    #[must_use]
    pub fn forget_old(&self) -> bool {
        core::mem::take(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner).is_due)
    }

    /// Shuts the gate: every connection ends as soon as it asks for something. Or opens it again.
    pub fn shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
    }
}

impl Drop for HttpGate {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.shut(true);
        // Wakes the accepting thread, so that it sees the flag.
        drop(TcpStream::connect_timeout(&self.address, Duration::from_secs(1)));
    }
}

fn converse(shared: &Shared, client: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(client.try_clone().context("share a connection")?);
    while let Some(call) = read_request(&mut reader)? {
        let deed = shared.namer.name(&call).and_then(|name| shared.gates.enter(&name));
        if shared.shut.load(Ordering::SeqCst) {
            break;
        }
        let Some(answer) = shared.meet(&call, deed, client) else { break };
        let mut client = client;
        client.write_all(&answer).context("answer")?;
    }
    // An error means that the other side was faster.
    client.shutdown(Shutdown::Both).ok();
    Ok(())
}

impl Shared {
    /// The answer to a call; `None` if the connection ends instead.
    fn meet(&self, call: &HttpCall, deed: Option<Deed>, client: &TcpStream) -> Option<Vec<u8>> {
        match deed {
            None => self.pass(call).ok(),
            Some(Deed::Refuse(refusal)) => Some(self.refusal(call, refusal)),
            Some(Deed::CutBefore) => None,
            Some(Deed::CutAfter) => {
                // What came of it is nobody's business any more.
                self.pass(call).ok();
                None
            }
            Some(Deed::HoldBefore) => {
                let goes_on = self.gates.wait();
                let answer = if goes_on { self.pass(call).ok() } else { None };
                self.gates.let_go();
                answer
            }
            Some(Deed::HoldAfter) => {
                let answer = self.pass(call).ok();
                let goes_on = self.gates.wait();
                self.gates.let_go();
                answer.filter(|_| goes_on)
            }
            Some(Deed::Late) => {
                client.shutdown(Shutdown::Both).ok();
                if self.gates.wait() {
                    self.pass(call).ok();
                }
                self.gates.let_go();
                None
            }
            Some(Deed::Old) => {
                self.memory().is_due = true;
                self.pass(call).ok()
            }
        }
    }

    /// Asks the server, unless it is a question to which an old answer is due.
    fn pass(&self, call: &HttpCall) -> Result<Vec<u8>> {
        let question = call.question();
        if call.is_question() {
            let mut memory = self.memory();
            if memory.is_due
                && let Some(old) = memory.old.get(&question).cloned()
            {
                memory.is_due = false;
                return Ok(old);
            }
        }
        let mut server = TcpStream::connect(&self.upstream).context("reach the server")?;
        server.write_all(&call.bytes).context("ask the server")?;
        let answer = read_answer(&mut BufReader::new(server), &call.method)?;
        let status = status_of(&answer);
        if call.is_question() {
            self.memory().latest.insert(question, answer.clone());
        } else if status < 300 {
            let mut memory = self.memory();
            let latest = core::mem::take(&mut memory.latest);
            memory.old.extend(latest);
        }
        self.namer.answered(call, status);
        Ok(answer)
    }

    fn refusal(&self, call: &HttpCall, refusal: Refusal) -> Vec<u8> {
        let is_s3 = self.service == HttpService::Aws && call.operation.is_empty();
        let (status, code) = match (self.service, is_s3, refusal) {
            (HttpService::Oci, _, Refusal::Broken) => (500, "InternalServerError"),
            (HttpService::Oci, _, Refusal::Conflict) if call.target.starts_with("/n/") => {
                (409, "ConcurrentObjectUpdate")
            }
            (HttpService::Oci, _, Refusal::Conflict) => (409, "IncorrectState"),
            (HttpService::Oci, _, Refusal::Throttled) => (429, "TooManyRequests"),
            (HttpService::Oci, _, Refusal::Denied | Refusal::Policy) => (404, "NotAuthorizedOrNotFound"),
            (HttpService::Aws, true, Refusal::Broken) => (500, "InternalError"),
            (HttpService::Aws, true, Refusal::Conflict) => (409, "ConditionalRequestConflict"),
            (HttpService::Aws, true, Refusal::Throttled) => (503, "SlowDown"),
            (HttpService::Aws, true, Refusal::Denied | Refusal::Policy) => (403, "AccessDenied"),
            (HttpService::Aws, false, Refusal::Broken) => (500, "InternalServiceError"),
            (HttpService::Aws, false, Refusal::Conflict) => (400, "InvalidParameterException"),
            (HttpService::Aws, false, Refusal::Throttled) => (400, "ThrottlingException"),
            (HttpService::Aws, false, Refusal::Denied | Refusal::Policy) => (400, "AccessDeniedException"),
        };
        let (kind, body) = match (self.service, is_s3) {
            (HttpService::Oci, _) => ("application/json", format!("{{\"code\":\"{code}\",\"message\":\"a gate\"}}")),
            (_, true) => ("application/xml", format!("<Error><Code>{code}</Code><Message>a gate</Message></Error>")),
            (_, false) => ("application/x-amz-json-1.1", format!("{{\"__type\":\"{code}\",\"message\":\"a gate\"}}")),
        };
        format!(
            "HTTP/1.1 {status} Refused\r\nContent-Type: {kind}\r\nx-amzn-errortype: {code}\r\nopc-request-id: gate\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The largest head and body that a gate passes on.
const LARGEST: usize = 8 * 1024 * 1024;

fn read_request(reader: &mut BufReader<TcpStream>) -> Result<Option<HttpCall>> {
    let head = read_head(reader)?;
    if head.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut first = text.lines().next().unwrap_or_default().split(' ');
    let (method, target) = (first.next().unwrap_or_default().to_owned(), first.next().unwrap_or_default().to_owned());
    ensure!(header(&text, "transfer-encoding").is_none(), "a gate reads bodies with a length only");
    let body = read_body(reader, header(&text, "content-length").map_or(Ok(0), |length| length.parse())?)?;
    let operation = header(&text, "x-amz-target").unwrap_or_default().to_owned();
    let bytes = [head.as_slice(), body.as_slice()].concat();
    Ok(Some(HttpCall { method, target, operation, body, bytes }))
}

fn read_answer(reader: &mut BufReader<TcpStream>, method: &str) -> Result<Vec<u8>> {
    let head = read_head(reader)?;
    let text = String::from_utf8_lossy(&head).into_owned();
    ensure!(!head.is_empty(), "the server ended the connection");
    ensure!(header(&text, "transfer-encoding").is_none(), "a gate reads bodies with a length only");
    let has_body = method != "HEAD" && !matches!(status_of(&head), 204 | 304);
    let length = if has_body { header(&text, "content-length").map_or(Ok(0), |length| length.parse())? } else { 0 };
    let body = read_body(reader, length)?;
    Ok([head, body].concat())
}

fn read_head(reader: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let before = head.len();
        reader.read_until(b'\n', &mut head).context("read a head")?;
        ensure!(head.len() < LARGEST, "a head without an end");
        if head.len() == before {
            return Ok(Vec::new());
        }
        if head.ends_with(b"\r\n\r\n") {
            return Ok(head);
        }
    }
}

fn read_body(reader: &mut BufReader<TcpStream>, length: usize) -> Result<Vec<u8>> {
    ensure!(length < LARGEST, "a body of {length} bytes");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).context("read a body")?;
    Ok(body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn status_of(answer: &[u8]) -> u16 {
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
