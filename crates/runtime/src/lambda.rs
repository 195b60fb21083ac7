//! AWS Lambda's Runtime API: ask for the next event, answer it, ask again (Lambda developer guide, "Using the Lambda runtime
//! API for custom runtimes"; version 2018-06-01).
//!
//! Waiting for an event has no time limit: the platform freezes the process there. An answer that could not be delivered is sent
//! again, because it names the event that it answers; a second delivery is refused by the platform and does no harm.

use core::{convert::Infallible, time::Duration};

use bytes::Bytes;
use dizzy_engine::Timestamp;
use dizzy_host::port::Clock;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};
use zeroize::Zeroizing;

use crate::{Handler, Invocation, Payload, Reply, Trace, body::event, guard::answered, time::time_left};

/// The Runtime API cannot be spoken to any more. The process ends, and Lambda starts another one; whatever was under way is
/// finished by that.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LambdaError {
    /// There was no connection, or each broke.
    #[error("the Lambda Runtime API does not answer")]
    Unreachable,
    /// It refused to give the next event.
    #[error("the Lambda Runtime API refused to give the next event ({0})")]
    Refused(StatusCode),
    /// It gave an event without the header that names it.
    #[error("the Lambda Runtime API gave an event without an id")]
    NoId,
}

const VERSION: &str = "2018-06-01";
/// The platform's host is on the same machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long the delivery of an answer may take; as the connection, it is local.
const TELL_LIMIT: Duration = Duration::from_secs(2);
/// Connections in a row that may break before the platform counts as gone. One breaks after each thaw, at most.
const TRIES: u32 = 5;
/// Before the second connection; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Lambda takes answers of up to 6 MB (developer guide, "Lambda quotas").
const MAX_ANSWER: usize = 6 * 1024 * 1024;
/// Longest id that is passed on; real ones are UUIDs.
const MAX_ID: usize = 128;

/// Answers events for as long as the platform sends some.
///
/// # Errors
/// [`LambdaError`] when the platform is gone.
pub async fn serve_lambda(
    runtime_api: &str,
    clock: &dyn Clock,
    handler: &impl Handler,
) -> Result<Infallible, LambdaError> {
    let mut api = Api::new(runtime_api);
    loop {
        let invocation = api.next(clock).await?;
        let id = invocation.id.clone();
        let reply = answered(handler, invocation).await;
        api.tell(&id, &reply).await?;
    }
}

struct Api {
    /// `HOST:PORT`.
    authority: String,
    /// What stands before the version in each path.
    prefix: String,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Api {
    fn new(runtime_api: &str) -> Self {
        let (authority, path) = runtime_api.split_once('/').unwrap_or((runtime_api, ""));
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Self { authority: authority.to_owned(), prefix, connection: None }
    }

    /// Waits for the next event, however long that takes.
    async fn next(&mut self, clock: &dyn Clock) -> Result<Invocation, LambdaError> {
        let answer = self.send(Method::GET, "runtime/invocation/next", &[], &Bytes::new(), None).await?;
        if answer.status() != StatusCode::OK {
            return Err(LambdaError::Refused(answer.status()));
        }
        let (parts, body) = answer.into_parts();
        let id =
            text(&parts.headers, "lambda-runtime-aws-request-id").filter(|id| is_id(id)).ok_or(LambdaError::NoId)?;
        let end = text(&parts.headers, "lambda-runtime-deadline-ms").and_then(|ms| ms.parse().ok()).map(Timestamp);
        let left = end.and_then(|end| time_left(end, clock.now()));
        let trace = text(&parts.headers, "lambda-runtime-trace-id").and_then(Trace::of_xray);
        // A connection that broke in the middle of the event makes it one that cannot be read.
        let payload = event(body).await.unwrap_or(Payload::Whole(Zeroizing::default()));
        Ok(Invocation { id: id.to_owned(), payload, left, trace })
    }

    /// Delivers an answer.
    async fn tell(&mut self, id: &str, reply: &Reply) -> Result<(), LambdaError> {
        let (path, headers, document) = delivery(id, reply);
        let mut body = Bytes::from(document.to_string());
        if body.len() > MAX_ANSWER {
            body = Bytes::from(
                json!({"errorType": "DK-110", "errorMessage": "the answer is longer than Lambda takes"}).to_string(),
            );
        }
        let answer = self.send(Method::POST, &path, &headers, &body, Some(TELL_LIMIT)).await?;
        let status = answer.status();
        // To its end, so that the connection can be used again.
        if answer.into_body().collect().await.is_err() {
            self.connection = None;
        }
        if !status.is_success() {
            tracing::warn!(status = status.as_u16(), "Lambda did not take the answer: the call was over before");
        }
        Ok(())
    }

    /// Sends a request, on a fresh connection if the last one has died meanwhile.
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, String)],
        body: &Bytes,
        limit: Option<Duration>,
    ) -> Result<Response<Incoming>, LambdaError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            let mut request = Request::builder()
                .method(&method)
                .uri(format!("{}/{VERSION}/{path}", self.prefix))
                .header(header::HOST, &self.authority)
                .header(header::USER_AGENT, concat!("dizzy-keys/", env!("CARGO_PKG_VERSION")));
            for (name, value) in headers {
                request = request.header(*name, value);
            }
            let request = request.body(Full::new(body.clone())).map_err(|_| LambdaError::Unreachable)?;
            if let Some(answer) = self.once(request, limit).await {
                return Ok(answer);
            }
            self.connection = None;
            sleep_until(Instant::now() + pause).await;
            pause *= 2;
        }
        Err(LambdaError::Unreachable)
    }

    async fn once(&mut self, request: Request<Full<Bytes>>, limit: Option<Duration>) -> Option<Response<Incoming>> {
        let usable = self.connection.as_ref().is_some_and(|connection| !connection.sender.is_closed());
        if !usable {
            self.connection = Some(timeout(CONNECT_LIMIT, connect(&self.authority)).await.ok()??);
        }
        let connection = self.connection.as_mut()?;
        let exchange = async {
            connection.sender.ready().await.ok()?;
            connection.sender.send_request(request).await.ok()
        };
        match limit {
            Some(limit) => timeout(limit, exchange).await.ok()?,
            None => exchange.await,
        }
    }
}

async fn connect(authority: &str) -> Option<Connection> {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let stream = TcpStream::connect(address).await.ok()?;
    // Requests are single small writes that wait for an answer.
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // How it ended shows at the next request.
    let driver = tokio::spawn(async { drop(connection.await) });
    Some(Connection { sender, driver })
}

/// Where an answer goes, and in which form: a failed call in Lambda's own, with our document beside it.
fn delivery(id: &str, reply: &Reply) -> (String, Vec<(&'static str, String)>, Value) {
    match reply {
        Reply::Done { document } => (format!("runtime/invocation/{id}/response"), Vec::new(), document.clone()),
        Reply::Failed { code, message, document } | Reply::Late { code, message, document } => {
            let body = json!({"errorType": code, "errorMessage": message, "stackTrace": [], "document": document});
            let headers = vec![("lambda-runtime-function-error-type", format!("DizzyKeys.{code}"))];
            (format!("runtime/invocation/{id}/error"), headers, body)
        }
    }
}

/// An id becomes a part of a path: nothing may stand in it that ends one.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
