//! AWS Lambda's Runtime API, as the developer guide describes it ("Using the Lambda runtime API for custom runtimes").
//!
//! One event at a time; a function that asks for the next before it has answered the last, or answers what it was not asked, has
//! broken the protocol. A deadline that passes is told to whoever invoked; ending the function's process, as Lambda does, is
//! the test's part.

use std::{
    collections::VecDeque,
    io::BufReader,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::wire::Message;

/// The Runtime API of one execution environment.
#[derive(Debug)]
pub struct LambdaApi {
    port: u16,
    shared: Arc<Shared>,
}

/// An event to hand to the function.
#[derive(Clone, Debug)]
pub struct Event {
    payload: Vec<u8>,
    time: Duration,
    deadline_ms: Option<String>,
    trace: Option<String>,
}

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// The function's answer.
    Response(Value),
    /// The function's error.
    Error {
        /// The header `Lambda-Runtime-Function-Error-Type`.
        kind: Option<String>,
        /// The body.
        body: Value,
    },
    /// There was no answer before the deadline. Lambda would have killed the process by now.
    TimedOut,
}

/// What the platform does to a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quirk {
    /// The next connection on which the function waits for an event is closed, as a thaw may find it.
    CloseWaiting,
    /// The next answer arrives, and its acknowledgement does not.
    LoseAcknowledgement,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    issued: u64,
    waiting: VecDeque<(String, Event)>,
    /// The event that the function has and has not answered.
    given: Option<String>,
    answers: Vec<(String, Answered)>,
    answered: Vec<String>,
    breaches: Vec<String>,
    quirks: Vec<Quirk>,
    /// How many connections wait for an event.
    idle: usize,
    init_error: Option<Value>,
}

impl Event {
    /// This payload, to be answered within a minute.
    #[must_use]
    pub fn new(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: payload.into(), time: Duration::from_secs(60), deadline_ms: None, trace: None }
    }

    /// To be answered within this time.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// With this text in the header of the deadline, whatever it means.
    #[must_use]
    pub fn deadline_header(mut self, text: &str) -> Self {
        self.deadline_ms = Some(text.to_owned());
        self
    }

    /// With this text in the header of the trace.
    #[must_use]
    pub fn trace(mut self, text: &str) -> Self {
        self.trace = Some(text.to_owned());
        self
    }
}

impl LambdaApi {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on loopback")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that ends badly is the function's affair; what it broke is noted.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Ok(Self { port, shared })
    }

    /// What Lambda sets for a custom runtime (developer guide, "Defined runtime environment variables"), as far as it matters.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("AWS_LAMBDA_RUNTIME_API", format!("127.0.0.1:{}", self.port).as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "dizzy-keys"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// Hands an event to the function, and waits for its answer until the deadline.
    #[must_use]
    pub fn invoke(&self, event: &Event) -> Answered {
        let mut state = self.shared.lock();
        state.issued += 1;
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", state.issued);
        state.waiting.push_back((id.clone(), event.clone()));
        self.shared.changed.notify_all();
        let (mut state, result) = self
            .shared
            .changed
            .wait_timeout_while(state, event.time, |state| !state.answers.iter().any(|(answered, _)| *answered == id))
            .unwrap_or_else(PoisonError::into_inner);
        if result.timed_out() {
            state.waiting.retain(|(waiting, _)| *waiting != id);
            state.given = None;
            return Answered::TimedOut;
        }
        let at = state.answers.iter().position(|(answered, _)| *answered == id);
        at.map_or(Answered::TimedOut, |at| state.answers.swap_remove(at).1)
    }

    /// The environment's process has died: whoever waits for its answer gets none.
    pub fn end(&self) {
        let mut state = self.shared.lock();
        if let Some(given) = state.given.take() {
            state.answers.push((given, Answered::TimedOut));
        }
        self.shared.changed.notify_all();
    }

    /// The next connection that fits meets this.
    pub fn quirk(&self, quirk: Quirk) {
        self.shared.lock().quirks.push(quirk);
        self.shared.changed.notify_all();
    }

    /// Waits until the function has asked for an event, or a minute is over; says whether it has.
    #[must_use]
    pub fn wait_until_ready(&self) -> bool {
        let ready = |state: &mut State| state.idle == 0;
        let minute = Duration::from_secs(60);
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), minute, ready);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until the function has taken the event that is waiting, or a minute is over; says whether it has.
    #[must_use]
    pub fn wait_until_taken(&self) -> bool {
        let not_taken = |state: &mut State| state.given.is_none();
        let minute = Duration::from_secs(60);
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), minute, not_taken);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// What the function did that the protocol does not know.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        self.shared.lock().breaches.clone()
    }

    /// What the function said instead of starting.
    #[must_use]
    pub fn init_error(&self) -> Option<Value> {
        self.shared.lock().init_error.clone()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut writer = stream.try_clone()?;
        while let Some(request) = Message::read(&mut reader)? {
            let mut words = request.first.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if request.header("host").is_none() {
                self.lock().breaches.push("a request without Host".to_owned());
            }
            let path = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
            match (method, path, path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/'))) {
                ("GET", "invocation/next", _) => {
                    let Some((id, event)) = self.next(stream)? else { return Ok(()) };
                    give(&mut writer, &id, &event)?;
                }
                ("POST", _, Some((id, kind @ ("response" | "error")))) => {
                    let taken = self.take(id, kind, &request);
                    if taken == 202 && self.quirked(Quirk::LoseAcknowledgement) {
                        return Ok(());
                    }
                    reply(&mut writer, taken)?;
                }
                ("POST", "init/error", _) => {
                    self.lock().init_error = serde_json::from_slice(&request.body).ok();
                    reply(&mut writer, 202)?;
                }
                _ => {
                    self.lock().breaches.push(format!("{method} {path}"));
                    reply(&mut writer, 404)?;
                }
            }
        }
        Ok(())
    }

    /// Waits for an event; `None` if the connection is to be closed, or was.
    fn next(&self, stream: &TcpStream) -> Result<Option<(String, Event)>> {
        let mut state = self.lock();
        if let Some(given) = state.given.clone() {
            state.breaches.push(format!("asked for an event before {given} was answered"));
        }
        state.idle += 1;
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.waiting.is_empty() && !state.quirks.contains(&Quirk::CloseWaiting))
            .unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        if let Some(at) = state.quirks.iter().position(|quirk| *quirk == Quirk::CloseWaiting) {
            state.quirks.swap_remove(at);
            stream.shutdown(std::net::Shutdown::Both)?;
            return Ok(None);
        }
        // The process may have been killed while it waited: its event is for the next one.
        stream.set_nonblocking(true)?;
        let gone = matches!(stream.peek(&mut [0]), Ok(0));
        stream.set_nonblocking(false)?;
        if gone {
            self.changed.notify_all();
            return Ok(None);
        }
        let Some((id, event)) = state.waiting.pop_front() else { return Ok(None) };
        state.given = Some(id.clone());
        self.changed.notify_all();
        Ok(Some((id, event)))
    }

    fn take(&self, id: &str, kind: &str, request: &Message) -> u16 {
        let mut state = self.lock();
        if state.given.as_deref() != Some(id) {
            // Also for an answer that is delivered a second time, which Lambda refuses and which does no harm.
            if !state.answered.iter().any(|answered| answered == id) {
                state.breaches.push(format!("answered {id}, which was not asked"));
            }
            return 400;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            state.breaches.push(format!("the answer to {id} is no JSON"));
            return 400;
        };
        let has = |name: &str| body.get(name).is_some_and(Value::is_string);
        if kind == "error" && !(has("errorType") && has("errorMessage")) {
            state.breaches.push(format!("the error of {id} has no type or message"));
        }
        let answered = match kind {
            "response" => Answered::Response(body),
            _ => {
                Answered::Error { kind: request.header("lambda-runtime-function-error-type").map(str::to_owned), body }
            }
        };
        state.given = None;
        state.answered.push(id.to_owned());
        state.answers.push((id.to_owned(), answered));
        self.changed.notify_all();
        202
    }

    fn quirked(&self, quirk: Quirk) -> bool {
        let mut state = self.lock();
        let at = state.quirks.iter().position(|known| *known == quirk);
        at.map(|at| state.quirks.swap_remove(at)).is_some()
    }
}

fn give(writer: &mut TcpStream, id: &str, event: &Event) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the platform's own clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let deadline = event.deadline_ms.clone().unwrap_or_else(|| (now + event.time).as_millis().to_string());
    let mut headers = vec![
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", id),
        ("Lambda-Runtime-Deadline-Ms", deadline.as_str()),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-west-2:123456789012:function:dizzy-keys"),
    ];
    if let Some(trace) = &event.trace {
        headers.push(("Lambda-Runtime-Trace-Id", trace));
    }
    Message::write(writer, "HTTP/1.1 200 OK", &headers, &event.payload)
}

fn reply(writer: &mut TcpStream, status: u16) -> Result<()> {
    let (reason, body) = match status {
        202 => ("Accepted", json!({"status": "OK"})),
        404 => ("Not Found", json!({"errorType": "NotFound"})),
        _ => ("Bad Request", json!({"errorType": "InvalidRequestID"})),
    };
    let first = format!("HTTP/1.1 {status} {reason}");
    Message::write(writer, &first, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}
