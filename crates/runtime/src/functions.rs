//! OCI Functions, which are Fn functions: an HTTP server on a Unix socket that the platform's agent calls
//! (Fn project, `docs/developers/fn-container-contract` and the agent itself).
//!
//! The agent watches the folder and connects the moment the socket's name appears, so the name appears last: the socket is made
//! under another name, opened to the agent's user, and linked. Statuses other than 200, 502 and 504 make the agent end the
//! container; of a 502 it tells its caller no more than that the function failed, so the log must tell the rest.

use core::{convert::Infallible, time::Duration};
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink},
    path::Path,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use dizzy_engine::Timestamp;
use dizzy_host::port::Clock;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Mutex,
    task::{LocalSet, spawn_local},
    time::{Instant, sleep_until},
};
use zeroize::Zeroizing;

use crate::{Handler, Invocation, Payload, Reply, Trace, body::event, guard::answered, time::time_left};

/// The socket cannot be offered. The process ends, and the platform says that the function did not start.
#[derive(Debug, Error)]
pub enum FunctionsError {
    /// Something else has its name.
    #[error("FN_LISTENER: there is something at {0} that is no socket")]
    Occupied(String),
    /// It cannot be made.
    #[error("FN_LISTENER: the socket at {path} cannot be made ({})", error.kind())]
    Socket {
        /// Where.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// The longest path of a socket; see [`Place`](crate::Place).
const MAX_SOCKET_PATH: usize = 107;
/// The agent runs as another user: it must be able to connect.
const FOR_EVERYBODY: u32 = 0o666;
/// Before connections are taken again, when none could be.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest id that is passed on; real ones have 26 characters.
const MAX_ID: usize = 128;
const FDK_VERSION: &str = concat!("dizzy-keys/", env!("CARGO_PKG_VERSION"));

/// Answers calls for as long as the process lives.
///
/// # Errors
/// [`FunctionsError`] if the socket cannot be offered.
pub async fn serve_functions(
    socket: &Path,
    clock: Arc<dyn Clock>,
    handler: impl Handler + 'static,
) -> Result<Infallible, FunctionsError> {
    let listener = offer(socket)?;
    let server = Rc::new(Server { clock, handler, turn: Mutex::new(()) });
    LocalSet::new()
        .run_until(async move {
            loop {
                // Out of descriptors, or a connection that was gone before it was taken: the next one may be better.
                let Ok((stream, _)) = listener.accept().await else {
                    sleep_until(Instant::now() + PAUSE).await;
                    continue;
                };
                spawn_local(serve(Rc::clone(&server), stream));
            }
        })
        .await
}

/// Makes the socket, and its name last.
fn offer(socket: &Path) -> Result<UnixListener, FunctionsError> {
    let failed = |error| FunctionsError::Socket { path: socket.display().to_string(), error };
    let nameless = || failed(io::ErrorKind::InvalidInput.into());
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else { return Err(nameless()) };
    let mut phony = std::ffi::OsString::from("phony");
    phony.push(name);
    if folder.join(&phony).as_os_str().len() > MAX_SOCKET_PATH {
        phony = "p".into();
    }
    let at = folder.join(&phony);
    for left_over in [socket, &at] {
        remove(left_over).map_err(|error| {
            let occupied = error.kind() == io::ErrorKind::AlreadyExists;
            if occupied { FunctionsError::Occupied(left_over.display().to_string()) } else { failed(error) }
        })?;
    }
    let listener = UnixListener::bind(&at).map_err(failed)?;
    fs::set_permissions(&at, fs::Permissions::from_mode(FOR_EVERYBODY)).map_err(failed)?;
    // Relative: the agent sees the folder under another path.
    symlink(&phony, socket).map_err(failed)?;
    Ok(listener)
}

/// Removes what an earlier process left; anything but a socket or a link is somebody else's.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() || found.file_type().is_symlink() => fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

struct Server<H> {
    clock: Arc<dyn Clock>,
    handler: H,
    /// The agent sends one call at a time; a second connection waits.
    turn: Mutex<()>,
}

async fn serve<H: Handler + 'static>(server: Rc<Server<H>>, stream: UnixStream) {
    let service = service_fn(|request| {
        let server = Rc::clone(&server);
        async move { Ok::<_, Infallible>(server.call(request).await) }
    });
    // How a connection ended concerns only its agent, which ends the container for it.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

impl<H: Handler> Server<H> {
    async fn call(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let _turn = self.turn.lock().await;
        if request.method() != Method::POST || request.uri().path() != "/call" {
            let document = json!({"error": {"what": "functions are called by POST /call"}});
            return answer(StatusCode::BAD_GATEWAY, None, &document.to_string());
        }
        let (parts, body) = request.into_parts();
        let headers = &parts.headers;
        let gateway = text(headers, "fn-intent") == Some("httprequest");
        let id =
            ["fn-call-id", "opc-request-id"].into_iter().find_map(|name| text(headers, name)).filter(|id| is_id(id));
        let end = text(headers, "fn-deadline").and_then(|end| end.parse::<jiff::Timestamp>().ok());
        let end = end.map(|end| Timestamp(end.as_millisecond()));
        let trace = ["traceparent", "fn-http-h-traceparent"].into_iter().find_map(|name| text(headers, name));
        let invocation = Invocation {
            id: id.unwrap_or_default().to_owned(),
            left: end.and_then(|end| time_left(end, self.clock.now())),
            trace: trace.and_then(Trace::parse),
            // A connection that breaks here breaks the answer too; the handler is told of no event that nobody waits for.
            payload: event(body).await.unwrap_or(Payload::Whole(Zeroizing::default())),
        };
        in_the_agents_form(&answered(&self.handler, invocation).await, gateway)
    }
}

/// Behind an HTTP gateway the call itself always works, and the application's own status says how it ended.
fn in_the_agents_form(reply: &Reply, gateway: bool) -> Response<Full<Bytes>> {
    let (status, own, document) = match reply {
        Reply::Done { document } => (StatusCode::OK, StatusCode::OK, document),
        Reply::Failed { document, .. } => (StatusCode::BAD_GATEWAY, StatusCode::INTERNAL_SERVER_ERROR, document),
        Reply::Late { document, .. } => (StatusCode::GATEWAY_TIMEOUT, StatusCode::GATEWAY_TIMEOUT, document),
    };
    let status = if gateway { StatusCode::OK } else { status };
    answer(status, gateway.then_some(own), &document.to_string())
}

fn answer(status: StatusCode, own: Option<StatusCode>, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert("fn-fdk-version", header::HeaderValue::from_static(FDK_VERSION));
    if let Some(own) = own {
        headers.insert("fn-http-status", header::HeaderValue::from(own.as_u16()));
    }
    response
}

/// Ids go into log lines.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && id.bytes().all(|b| b.is_ascii_graphic())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
